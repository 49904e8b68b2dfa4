"""The dashboard of quality: the calls that deserve to be listened to, and nobody else's."""

import datetime as dt

import pytest
import time_machine

from analytics import quality
from calls.models import HitPlace, KeywordHit, Outcome
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.analytics.test_views import signed_in
from tests.factories import AccountFactory, AgentFactory, CallFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 4, 20, tzinfo=dt.UTC)  # 12:20 in Shanghai
URL = "/admin/dashboard/quality/"


@pytest.fixture(autouse=True)
def frozen():
    with time_machine.travel(NOW, tick=False):
        yield


def call(account, **more):
    started_at = NOW - dt.timedelta(hours=1)
    return CallFactory(account=account, started_at=started_at, answered_at=started_at, outcome=Outcome.ANSWERED, **more)


def rated(account, score, scale=5, **more):
    return call(account, talk_seconds=60, rating_asked=True, rating_score=score, rating_scale=scale, **more)


def lists_of(client, **query):
    return {one["title"]: one for one in client.get(URL, query).context["lists"]}


def test_low_is_low_of_its_own_scale(client, account):
    low = [rated(account, 1), rated(account, 2), rated(account, 4, scale=10)]
    rated(account, 3)
    rated(account, 2, scale=2)
    rated(AccountFactory(), 1)
    signed_in(client, account)
    found = lists_of(client)["Low ratings"]
    assert found["n"] == 3 == len(found["rows"])
    assert {row["link"] for row in found["rows"]} == {f"/admin/calls/call/{one.pk}/change/" for one in low}
    scores = client.get(URL).context["scores"]
    assert dict(zip(scores["labels"], scores["datasets"][0]["data"], strict=True)) == {
        "2 / 2": 1,
        "1 / 5": 1,
        "2 / 5": 1,
        "3 / 5": 1,
        "4 / 10": 1,
    }


def test_short_calls_and_long_holds_are_those_their_links_show(client, account):
    short = [call(account, talk_seconds=seconds) for seconds in (0, 9.999)]
    call(account, talk_seconds=10)
    CallFactory(account=account, started_at=NOW - dt.timedelta(hours=1), talk_seconds=0, answered_at=None)
    held = call(account, talk_seconds=60, hold_seconds=120)
    call(account, talk_seconds=60, hold_seconds=119.9)
    signed_in(client, account)
    lists = lists_of(client)
    for title, wanted in (
        ("Answered, and over within ten seconds", short),
        ("On hold for two minutes or more", [held]),
    ):
        assert lists[title]["n"] == len(wanted), title
        listed = client.get(lists[title]["link"]).context["cl"].result_list
        assert {one.pk for one in listed} == {one.pk for one in wanted}, title


def test_keywords_are_counted_by_call_and_lead_to_them(client, account):
    first, second = call(account, talk_seconds=60), call(account, talk_seconds=60)
    for one, start in ((first, 0), (first, 9), (second, 0)):
        KeywordHit.objects.create(
            account=account,
            call=one,
            started_at=one.started_at,
            phrase="refund",
            category="Money",
            severity="warning",
            place=HitPlace.REMARK,
            start=start,
            end=start + 6,
        )
    signed_in(client, account)
    (phrase,) = client.get(URL).context["phrases"]
    assert (phrase["phrase"], phrase["n"]) == ("refund", 2)
    assert len(client.get(phrase["link"]).context["cl"].result_list) == 2


def test_who_sees_own_groups_gets_the_calls_of_these(client, account):
    mine, other = SkillGroupFactory(account=account, name="Mine"), SkillGroupFactory(account=account, name="Other")
    person = signed_in(client, account, Role.Kind.SUPERVISOR)
    AgentFactory(account=account, staff_id="A")
    person.memberships.create(account=account, skill_group=mine)
    morning = NOW - dt.timedelta(hours=1)
    take_in(
        *(
            Story(account, morning, group.name)
            .queued(0, group.name)
            .answered(5, "A")
            .at(60, "call.rated", asked=True, score=1, scale=5)
            .ended(65)
            for group in (mine, other)
        ),
        at=NOW,
    )
    found = lists_of(client)["Low ratings"]
    assert (found["n"], [row["group"] for row in found["rows"]]) == (1, ["Mine"])


def test_without_the_right_to_records_no_call_is_told_of(client, account):
    rated(account, 1)
    role = Role.objects.create(
        account=account, name="Figures", permissions=["agents.enter_admin", "analytics.see_figures"], data_scope="account"
    )
    client.force_login(AgentFactory(account=account, role=role), backend="agents.sign_in.RoleBackend")
    answer = client.get(URL)
    assert "lists" not in answer.context and "does not see service records" in answer.text


def test_a_year_is_looked_at_for_its_last_three_months(client, account, django_assert_max_num_queries):
    signed_in(client, account)
    client.get(URL)
    with django_assert_max_num_queries(45):
        answer = client.get(URL, {"from": "2025-04-01", "to": "2026-03-02"})
    assert answer.context["looked_at"].startswith("1 Dec 2025")
    period = quality.longest_period(answer.context["period"], 92)
    assert (period.n_days, period.last) == (92, dt.date(2026, 3, 2))


def test_scores_lead_to_the_calls_that_were_looked_at(client, account):
    seen = rated(account, 4)
    before = NOW - dt.timedelta(days=200)
    CallFactory(
        account=account,
        started_at=before,
        answered_at=before,
        outcome=Outcome.ANSWERED,
        talk_seconds=60,
        rating_asked=True,
        rating_score=4,
        rating_scale=5,
    )
    signed_in(client, account)
    scores = client.get(URL, {"from": "2025-04-01", "to": "2026-03-02"}).context["scores"]["datasets"][0]
    assert scores["data"] == [1]
    assert [one.pk for one in client.get(scores["links"][0]).context["cl"].result_list] == [seen.pk]
