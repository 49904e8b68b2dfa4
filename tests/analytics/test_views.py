"""The dashboard: who sees it, what it says, and what it costs."""

import datetime as dt

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from analytics.metrics import METRICS
from analytics.models import FillMark
from calls.models import Outcome
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.factories import AccountFactory, AgentFactory, CallFactory, MemberFactory, ServiceNumberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 4, 20, tzinfo=dt.UTC)  # 12:20 in Shanghai
URL = "/admin/dashboard/"
PARTS = "/admin/dashboard/parts/"


@pytest.fixture(autouse=True)
def frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def busy_day(account):
    group = SkillGroupFactory(account=account, name="Sales")
    agent = AgentFactory(account=account, staff_id="A")
    MemberFactory(skill_group=group, agent=agent)
    ServiceNumberFactory(account=account, number="+861055500001", label="Hotline")
    morning = NOW - dt.timedelta(hours=3)
    take_in(
        Story(account, morning, "a").ivr(0).queued(5, "Sales").answered(15, "A").ended(135),
        Story(account, morning, "b").ivr(0).queued(5, "Sales").ended(65),
        Story(account, morning, "c").ivr(0).ended(9),
        Story(account, morning - dt.timedelta(days=1), "yesterday").queued(0, "Sales").answered(3, "A").ended(63),
        at=NOW,
    )
    return group


def signed_in(client, account, kind=Role.Kind.ADMINISTRATOR):
    person = AgentFactory(account=account, kind=kind)
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return person


def tiles(answer):
    return {tile.metric.name: tile.value for tile in answer.context["tiles"]}


def test_the_front_page_of_the_admin_leads_to_the_dashboard(client, account):
    signed_in(client, account)
    answer = client.get("/admin/")
    assert answer.status_code == 302 and answer.url == URL == reverse("analytics:dashboard")


def test_who_may_not_see_figures_is_refused(client, account):
    role = Role.objects.create(
        account=account, name="Clerk", permissions=["agents.enter_admin"], data_scope=Role.DataScope.ACCOUNT
    )
    person = AgentFactory(account=account, role=role)
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    assert client.get(URL).status_code == 403
    assert client.get("/admin/").status_code == 200
    assert client.get("/api/v1/live/").status_code == 403
    assert client.get("/api/v1/summary/").status_code == 403


def test_strangers_are_asked_to_sign_in(client, db):
    assert client.get(URL).url == f"/admin/login/?next={URL}"
    assert client.get("/api/v1/live/").status_code == 401


def test_it_shows_the_figures_of_today(client, account, busy_day):
    signed_in(client, account)
    answer = client.get(URL)
    assert tiles(answer) == {
        "calls": "3",
        "answered": "1",
        "connection_rate": "33.3 %",
        "service_level": "50.0 %",
        "average_wait": "35.0 s",
        "average_duration": "2:00",
        "abandonment_rate": "50.0 %",
        "ivr_abandonment_rate": "33.3 %",
    }
    calls = next(tile for tile in answer.context["tiles"] if tile.metric.name == "calls")
    assert (calls.change, calls.before) == ("+200 %", "1")
    assert "up to 12:15" in answer.text
    assert "answered in target ÷ (answered + abandoned − short)" in answer.text
    assert "Target: 20 s. Short: up to 5 s. Groups with limits of their own follow theirs." in answer.text
    assert "Counted up to" in answer.text


def test_the_limits_of_the_chosen_group_stand_with_the_formula(client, account, busy_day):
    busy_day.service_level_seconds = 45
    busy_day.save()
    signed_in(client, account)
    assert "Target: 45 s. Short: up to 5 s.<" in client.get(URL, {"skill_group": busy_day.pk}).text


def test_tiles_lead_to_the_records_behind_them_with_the_same_filters(client, account, busy_day):
    signed_in(client, account)
    answer = client.get(URL, {"direction": "inbound", "service_number": "+861055500001"})
    links = [tile.link for tile in answer.context["tiles"]]
    assert all(link.startswith("/admin/calls/call/?from=2026-03-02&to=2026-03-02") for link in links)
    for link in links:
        records = client.get(link)
        assert records.status_code == 200, link
    assert len(client.get(links[0]).context["cl"].result_list) == 3
    assert len(client.get(links[1]).context["cl"].result_list) == 1
    group = client.get(PARTS, {"skill_group": busy_day.pk}).context["parts"][0]["rows"][0]
    assert len(client.get(group["link"]).context["cl"].result_list) == 2


def test_the_abandonment_tile_leads_to_all_who_gave_up_waiting_for_a_person(client, account, busy_day):
    signed_in(client, account)
    link = next(tile.link for tile in client.get(URL).context["tiles"] if tile.metric.name == "abandonment_rate")
    before = client.get(link).context["cl"].result_count
    started_at = dt.datetime(2026, 3, 2, 3, 0, tzinfo=dt.UTC)
    for outcome in (Outcome.ABANDONED_IN_QUEUE, Outcome.ABANDONED_WHILE_RINGING, Outcome.ABANDONED_IN_IVR):
        CallFactory(account=account, outcome=outcome, started_at=started_at)
    assert client.get(link).context["cl"].result_count == before + 2


def test_an_empty_account_is_told_what_to_do(client, account):
    signed_in(client, account)
    answer = client.get(URL)
    assert "No calls yet" in answer.text and "/api/v1/events" in answer.text and "import_calls" in answer.text
    assert "data-portal-chart" not in answer.text


def test_a_quiet_day_of_a_busy_account_shows_dashes_and_zeros(client, account, busy_day):
    signed_in(client, account)
    shown = tiles(client.get(URL, {"from": "2026-02-01", "to": "2026-02-01"}))
    assert (shown["calls"], shown["connection_rate"], shown["service_level"], shown["average_wait"]) == ("0", "–", "–", "–")


def test_another_account_sees_nothing_of_it(client, account, busy_day):
    other = AccountFactory()
    signed_in(client, other)
    answer = client.get(URL)
    assert "No calls yet" in answer.text
    assert "Sales" not in answer.text and "+861055500001" not in answer.text
    assert (
        client.get(URL, {"skill_group": busy_day.pk}).context["errors"]
        == client.get(URL, {"skill_group": 999999}).context["errors"]
    )


def test_a_supervisor_of_own_groups_sees_their_offers(client, account, busy_day):
    supervisor = signed_in(client, account, Role.Kind.SUPERVISOR)
    MemberFactory(skill_group=busy_day, agent=supervisor)
    shown = tiles(client.get(URL))
    assert (shown["offered"], shown["queue_answered"], shown["service_level"]) == ("2", "1", "50.0 %")
    assert "calls" not in shown


def test_an_operator_has_no_figures(client, db):
    from agents.models import Agent  # only this test makes one

    client.force_login(Agent.objects.create_superuser("op@example.com", "x", name="Op"), backend="agents.sign_in.RoleBackend")
    assert client.get(URL).status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "x"},
        {"period": "\0"},
        {"skill_group": "1 OR 1=1"},
        {"direction": "<script>alert(1)</script>"},
        {"step": "second"},
        {"from": "2025-02-01", "to": "2026-02-28", "step": "half_hour"},
        {"service_number": "😀" * 500},
    ],
)
def test_a_mistyped_address_never_breaks_the_page(client, account, busy_day, query):
    signed_in(client, account)
    answer = client.get(URL, query)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text


def test_it_asks_as_many_questions_for_a_year_as_for_a_day(client, account, busy_day, django_assert_max_num_queries):
    signed_in(client, account)
    client.get(URL)
    for query in ({"period": "today"}, {"period": "this_month"}, {"from": "2025-04-01", "to": "2026-03-02"}):
        with django_assert_max_num_queries(24 if query == {"period": "today"} else 12):
            assert client.get(URL, query).status_code == 200


def test_every_bar_and_every_hour_leads_to_its_records(client, account, busy_day):
    signed_in(client, account)
    answer = client.get(URL, {"period": "last_7_days", "step": "hour"})
    chart = answer.context["chart"]
    all_calls, answered, abandoned, _level = chart["datasets"]
    index = max(range(len(all_calls["data"])), key=lambda n: all_calls["data"][n])
    for dataset in (all_calls, answered, abandoned):
        assert len(client.get(dataset["links"][index]).context["cl"].result_list) == dataset["data"][index], dataset["label"]
    cells = [
        cell
        for row in client.get(PARTS, {"period": "last_7_days"}).context["hours"]["rows"]
        for cell in row["cells"]
        if cell["link"]
    ]
    assert [cell["text"] for cell in cells] == ["3", "1"]  # Monday, and Sunday, the last day of the week
    for cell in cells:
        assert len(client.get(cell["link"]).context["cl"].result_list) == int(cell["text"])


def test_service_numbers_have_their_own_figures_and_records(client, account, busy_day):
    ServiceNumberFactory(account=account, number="+861055500002", label="Other")
    take_in(Story(account, NOW - dt.timedelta(hours=1), "other", called="+861055500002").ivr(0).ended(9), at=NOW)
    signed_in(client, account)
    rows = client.get(PARTS).context["parts"][1]["rows"]
    assert [(row["name"], row["values"][0][0]) for row in rows] == [
        ("Hotline · +861055500001", "3"),
        ("Other · +861055500002", "1"),
    ]
    assert len(client.get(rows[1]["link"]).context["cl"].result_list) == 1


def test_a_period_is_compared_with_the_one_that_was_chosen(client, account, busy_day):
    take_in(Story(account, NOW - dt.timedelta(days=7, hours=3), "a week ago").ivr(0).ended(9), at=NOW)
    signed_in(client, account)
    for compare, before in (("", "1"), ("week", "1"), ("four_weeks", "0")):
        answer = client.get(URL, {"compare": compare})
        assert answer.context["tiles"][0].before == before, compare
    assert answer.context["before_text"] == "2 Feb 2026"
    assert "This is no comparison" in client.get(URL, {"compare": "eternity"}).text


@pytest.mark.parametrize("day", [dt.date(2026, 11, 1), dt.date(2026, 3, 8)])  # clocks are put back, and forward
def test_every_hour_of_a_day_of_another_length_leads_to_its_own_records(client, day):
    account = AccountFactory(time_zone="America/New_York")
    start, end = (
        dt.datetime.combine(day + dt.timedelta(days=n), dt.time(), tzinfo=account.zone).astimezone(dt.UTC) for n in (0, 1)
    )
    moments = [start + dt.timedelta(minutes=30 * n) for n in range(int((end - start).total_seconds()) // 1800)]
    with time_machine.travel(end, tick=False):
        signed_in(client, account)
        take_in(*(Story(account, moment, moment.isoformat()).ivr(0).ended(9) for moment in moments), at=end)
        chart = client.get(URL, {"period": "yesterday", "step": "half_hour"}).context["chart"]
        links = chart["datasets"][0]["links"]
        assert chart["datasets"][0]["data"] == [1] * len(moments) == [1] * len(set(links))
        for link, moment in zip(links[:8], moments[:8], strict=True):
            assert [call.started_at for call in client.get(link).context["cl"].result_list] == [moment], link
        hours = client.get(PARTS, {"period": "yesterday"}).context["hours"]["rows"][6]["cells"]
        for cell in hours[:4]:
            n_found = len(client.get(cell["link"]).context["cl"].result_list) if cell["link"] else 0
            assert n_found == int(cell["text"] or 0)


@pytest.mark.parametrize("url", [URL, PARTS, "/admin/dashboard/agents/"])
def test_a_page_asks_the_tables_of_figures_ten_times_at_most(client, account, busy_day, url):
    signed_in(client, account)
    client.get(url)
    for query in ({}, {"period": "this_month"}, {"skill_group": busy_day.pk}, {"from": "2025-04-01", "to": "2026-03-02"}):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url, query).status_code == 200
        counts = [one["sql"] for one in queries if "SUM(" in one["sql"] and '"analytics_' in one["sql"].replace("`", '"')]
        assert 1 <= len(counts) <= 10, len(counts)


def test_providers_and_dispositions_have_their_figures_and_records(client, account):
    morning = NOW - dt.timedelta(hours=1)
    take_in(
        Story(account, morning, "a").ivr(0).ended(9),
        Story(account, morning, "b")
        .queued(0, "Sales")
        .answered(5, "A")
        .at(60, "call.remarked", agent="A", text="Done", disposition="Resolved")
        .ended(65),
        at=NOW,
    )
    signed_in(client, account)
    tables = {part["title"]: part["rows"] for part in client.get(PARTS).context["parts"]}
    given = {row["name"]: row["values"][0][0] for row in tables["By disposition"]}
    assert given == {"Resolved": "1", "None given": "1"}
    resolved = next(row for row in tables["By disposition"] if row["name"] == "Resolved")
    assert len(client.get(resolved["link"]).context["cl"].result_list) == 1
    assert sum(int(row["values"][0][0]) for row in tables["By telecom provider"]) == 2


def test_waits_stand_in_buckets_that_lead_to_their_calls(client, account):
    SkillGroupFactory(account=account, name="Sales")
    AgentFactory(account=account, staff_id="A")
    morning = NOW - dt.timedelta(hours=1)
    take_in(
        Story(account, morning, "a").queued(0, "Sales").answered(20, "A").ended(60),  # exactly a border: of the bucket above
        Story(account, morning, "b").queued(0, "Sales").ended(7),
        at=NOW,
    )
    signed_in(client, account)
    waits = client.get(URL).context["waits"]
    answered, others = waits["datasets"]
    assert dict(zip(waits["labels"], answered["data"], strict=True))["20 to 30 s"] == 1 == sum(answered["data"])
    assert dict(zip(waits["labels"], others["data"], strict=True))["5 to 10 s"] == 1 == sum(others["data"])
    for dataset in (answered, others):
        for n, link in zip(dataset["data"], dataset["links"], strict=True):
            if n:
                assert len(client.get(link).context["cl"].result_list) == n


def test_the_page_and_its_parts_say_the_same(client, account, busy_day):
    """The page reads two periods at once, and its lower half asks by itself."""
    signed_in(client, account)
    for query in ({}, {"period": "last_7_days", "step": "day"}, {"from": "2026-02-20", "to": "2026-03-02", "compare": "week"}):
        page, below = client.get(URL, query), client.get(PARTS, query)
        listed = {metric.name: value for metric, value, _link in below.context["all_figures"]}
        assert len(listed) == len(METRICS)
        shown = tiles(page)
        assert {name: listed[name] for name in shown} == shown
        assert listed["calls_taken"] != "0" and "All figures and how they are worked out" in below.text


def test_live_tiles_wait_for_the_page_unless_somebody_has_just_asked(client, account, busy_day):
    signed_in(client, account)
    assert client.get(URL).context["live"] is None
    client.get("/api/v1/live/")
    assert client.get(URL).context["live"].in_queue == 0


def test_drift_that_the_night_repaired_is_said_on_the_dashboards(client, account):
    signed_in(client, account)
    FillMark.objects.create(account=account, filled_at=timezone.now(), recounted_at=timezone.now(), n_drifted=0)
    page = client.get(URL).content.decode()
    assert "checked" in page and "repaired</" not in page
    FillMark.objects.update(n_drifted=3)
    assert "3 slots differed and were repaired" in client.get(URL).content.decode()
