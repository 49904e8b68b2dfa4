"""The dashboard of agents, and the page of one: whose figures, in which order, and what they lead to."""

import datetime as dt

import pytest
import time_machine
from django.urls import reverse

from agents.models import Status, StatusChange
from analytics.agent_views import strip_of
from calls.activity import Activity, Stretch
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.analytics.test_views import signed_in
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 4, 20, tzinfo=dt.UTC)  # 12:20 in Shanghai
URL = "/admin/dashboard/agents/"


@pytest.fixture(autouse=True)
def frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def team(account):
    group = SkillGroupFactory(account=account, name="Sales")
    people = [AgentFactory(account=account, staff_id=name, name=name) for name in ("Ann", "Bob")]
    for person in people:
        MemberFactory(skill_group=group, agent=person)
    StatusChange.objects.create(
        account=account, agent=people[0], status=Status.AVAILABLE, started_at=NOW - dt.timedelta(hours=3), change_key=b"1" * 32
    )
    morning = NOW - dt.timedelta(hours=2)
    take_in(
        Story(account, morning, "a").queued(0, "Sales").answered(5, "Ann").ended(65),
        Story(account, morning + dt.timedelta(minutes=5), "b").queued(0, "Sales").answered(5, "Ann").ended(125),
        Story(account, morning + dt.timedelta(minutes=9), "c").queued(0, "Sales").answered(5, "Bob").ended(12),
        at=NOW,
    )
    return people


def test_agents_stand_side_by_side_by_any_figure_and_lead_to_their_records(client, account, team):
    signed_in(client, account)
    answer = client.get(URL, {"column": ["calls_taken", "short_calls"]})
    rows = [(row["person"].name, [value for value, _link in row["values"]]) for row in answer.context["rows"]]
    assert rows == [("Ann", ["2", "0"]), ("Bob", ["1", "1"])]
    assert len(client.get(answer.context["rows"][0]["values"][0][1]).context["cl"].result_list) == 2
    turned = client.get(URL, {"column": ["calls_taken", "short_calls"], "sort": "-short_calls"})
    assert [row["person"].name for row in turned.context["rows"]] == ["Bob", "Ann"]
    assert 'aria-sort="descending"' in turned.text


def test_the_day_of_who_was_there_is_drawn(client, account, team):
    signed_in(client, account)
    context = client.get(URL).context
    assert [strip["person"].name for strip in context["strips"]] == ["Ann", "Bob"]
    assert context["strips"][0]["said"] == "On a call 3 min, Available 2 h 57 min"


def test_a_page_of_one_agent_has_their_figures_over_time_and_no_one_elses(client, account, team):
    signed_in(client, account)
    answer = client.get(f"{URL}{team[0].pk}/", {"step": "hour", "agent": team[1].pk, "direction": "outbound"})
    assert next(tile.value for tile in answer.context["tiles"] if tile.metric.name == "calls_taken") == "2"
    minutes = {dataset["label"]: sum(dataset["data"]) for dataset in answer.context["chart"]["datasets"]}
    assert minutes["Time on calls"] == pytest.approx(3, abs=0.2)
    assert answer.context["days"][0]["was_there"]
    assert f"/admin/agents/agent/{team[0].pk}/change/" in answer.text


def test_who_sees_only_themselves_finds_themselves(client, account, team):
    role = Role.objects.create(
        account=account,
        name="Clerk",
        permissions=["agents.enter_admin", "analytics.see_figures"],
        data_scope=Role.DataScope.OWN,
    )
    team[1].role = role
    team[1].save()
    client.force_login(team[1], backend="agents.sign_in.RoleBackend")
    assert [row["person"].name for row in client.get(URL).context["rows"]] == ["Bob"]
    assert client.get(f"{URL}{team[0].pk}/").status_code == 404
    own = client.get("/admin/dashboard/")
    assert own.context["source"] == "agents" and "the figures of your own work" in own.text


def test_an_agent_of_another_account_is_one_that_does_not_exist(client, account, team):
    stranger = AgentFactory(account=AccountFactory())
    signed_in(client, account)
    assert client.get(f"{URL}{stranger.pk}/").status_code == client.get(f"{URL}999999/").status_code == 404
    assert "There is no such agent." in client.get(URL, {"agent": stranger.pk}).text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"column": "calls"}, "There is no figure of agents called calls."),
        ({"sort": "beauty"}, "There is no figure of agents called beauty."),
        ({"page": "99999999999"}, ""),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "The period ends before it begins."),
        ({"from": "2006-03-02", "to": "2026-03-01"}, "A period may be at most 400 days long."),
    ],
)
def test_a_mistyped_address_never_breaks_the_page(client, account, team, query, said):
    signed_in(client, account)
    answer = client.get(URL, query)
    assert answer.status_code == 200 and said in answer.text


def test_a_strip_is_as_long_as_its_day_and_leaves_out_who_was_away():
    start = dt.datetime(2026, 3, 8, 5, tzinfo=dt.UTC)  # 23 hours long in New York
    end = start + dt.timedelta(hours=23)
    half = start + (end - start) / 2
    strip = strip_of([Stretch(Activity.OFFLINE, start, half), Stretch(Activity.BREAK, half, end, "Lunch")], start, end)
    assert strip["paths"] == [("break", "M720.0 0h720.0v20H720.0z")] and strip["was_there"]
    assert not strip_of([Stretch(Activity.OFFLINE, start, end)], start, end)["was_there"]


def test_the_page_of_an_agent_leads_to_their_figures_for_who_sees_figures(client, account):
    boss, agent = (AgentFactory(account=account, kind=kind) for kind in (Role.Kind.ADMINISTRATOR, Role.Kind.AGENT))
    client.force_login(boss)
    link = reverse("analytics:agent", args=[agent.pk])
    page = reverse("admin:agents_agent_change", args=[agent.pk])
    assert link in client.get(page).content.decode()
    role = Role.objects.create(
        account=account, name="x", data_scope="account", permissions=["agents.enter_admin", "agents.view_agent"]
    )
    client.force_login(AgentFactory(account=account, role=role))
    assert link not in client.get(page).content.decode()
