"""Figures over the API."""

import datetime as dt

import pytest
import time_machine
from django.urls import reverse

from analytics.metrics import METRICS
from configuration.api_keys import create_api_key
from configuration.models import ApiKey
from tests.analytics.events import Story, take_in
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 4, 20, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def group(account):
    group = SkillGroupFactory(account=account, name="Sales")
    AgentFactory(account=account, staff_id="A")
    take_in(
        Story(account, NOW - dt.timedelta(hours=3), "a").ivr(0).queued(5, "Sales").answered(15, "A").ended(135),
        Story(account, NOW - dt.timedelta(hours=3), "b", called="01055500002").queued(5, "Sales").ended(65),
        Story(account, NOW - dt.timedelta(seconds=30), "c").queued(5, "unheard of"),
        at=NOW,
    )
    return group


@pytest.fixture
def get(client, api_key):
    def get(path, query=None, key=api_key):
        return client.get(path, query or {}, headers={"Authorization": f"Api-Key {key}"})

    return get


SUMMARY, LIVE = "/api/v1/summary/", "/api/v1/live/"


def test_the_summary_has_every_metric_of_the_catalogue(get, group):
    body = get(SUMMARY).json()
    assert set(body["figures"]) == set(METRICS)
    assert (body["figures"]["calls"], body["figures"]["service_level"], body["figures"]["csat"]) == (3, 0.5, None)
    assert (body["start"], body["end"], body["time_zone"]) == ("2026-03-01T16:00:00Z", "2026-03-02T16:00:00Z", "Asia/Shanghai")
    assert body["counted_to"] == "2026-03-02T04:20:00Z"
    assert [(one["skill_group"], one["name"], one["figures"]["offered"]) for one in body["skill_groups"]] == [
        (group.pk, "Sales", 2),
        (None, "", 1),
    ]
    assert (body["step"], body["series"]) == (None, [])


def test_steps_are_given_when_asked_for(get, group):
    body = get(SUMMARY, {"step": "half_hour"}).json()
    assert len(body["series"]) == 48
    assert [(one["label"], one["figures"]["calls"]) for one in body["series"] if one["figures"]["calls"]] == [
        ("09:00", 2),
        ("12:00", 1),
    ]


def test_a_service_number_is_found_in_national_form(get, group):
    assert get(SUMMARY, {"service_number": "010 5550 0002"}).json()["figures"]["calls"] == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-03-02", "to": "2026-03-01"}, "to"),
        ({"from": "2025-01-01", "to": "2026-03-01"}, "to"),
        ({"from": "soon"}, "from"),
        ({"skill_group": "999999"}, "skill_group"),
        ({"direction": "up"}, "direction"),
        ({"step": "second"}, "step"),
        ({"period": "always"}, "period"),
        ({"grup": "1"}, "grup"),
    ],
)
def test_what_cannot_be_read_names_its_field(get, group, query, field):
    answer = get(SUMMARY, query)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_key_without_the_scope_is_refused(get, account):
    key = create_api_key(account=account, name="writer", scopes=[ApiKey.Scope.EVENTS_WRITE])[1]
    assert get(SUMMARY, key=key).status_code == get(LIVE, key=key).status_code == 403


def test_a_key_of_another_account_sees_nothing_of_it(get, group):
    key = create_api_key(account=AccountFactory(), name="other", scopes=[ApiKey.Scope.FIGURES_READ])[1]
    assert get(SUMMARY, key=key).json()["figures"]["calls"] == 0
    assert get(SUMMARY, key=key).json()["skill_groups"] == []
    foreign, unknown = (get(SUMMARY, {"skill_group": pk}, key=key) for pk in (group.pk, 999999))
    assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
    assert get(LIVE, key=key).json()["calls"]["in_queue"] == 0


def test_live_says_what_goes_on_and_since_when(get, group):
    answer = get(LIVE)
    nobody = {"available": 0, "ringing": 0, "on_call": 0, "acw": 0, "busy": 0, "break": 0, "offline": 0}
    queues = {
        "in_queue": 1,
        "ringing": 0,
        "talking": 0,
        "longest_wait_seconds": 25.0,
        "staffed": 0,
        "available": 0,
        "offered_today": 3,
        "answered_today": 1,
        "abandoned_today": 1,
        "service_level_today": 1 / 3,
        "service_level_rolling": 0,
    }
    of_group = {"in_queue": 0, "longest_wait_seconds": None, "offered_today": 2, "service_level_today": 0.5}
    assert answer.json() == {
        "at": "2026-03-02T04:20:00Z",
        "counted_to": "2026-03-02T04:20:00Z",
        "calls": {"started": 0, "in_ivr": 0, "in_queue": 1, "ringing": 0, "talking": 0, "today": 3},
        "longest_wait_seconds": 25.0,
        "agents": nobody,
        "queues": queues,
        "skill_groups": [
            {"skill_group": group.pk, "name": "Sales", **queues, **of_group, "service_level_rolling": None, "agents": nobody}
        ],
        "people": [],
        "connections": [],
    }
    assert answer.headers["Cache-Control"] == "no-store"


def test_who_does_what_is_told_to_keys_that_may_see_agents(get, account, group):
    agent = AgentFactory(account=account, staff_id="B")
    MemberFactory(skill_group=group, agent=agent)
    figures = create_api_key(account=account, name="figures", scopes=[ApiKey.Scope.FIGURES_READ])[1]
    assert get(LIVE, key=figures).json()["people"] == []
    both = create_api_key(account=account, name="both", scopes=[ApiKey.Scope.FIGURES_READ, ApiKey.Scope.AGENTS_READ])[1]
    assert [(one["agent"], one["activity"], one["skill_groups"]) for one in get(LIVE, key=both).json()["people"]] == [
        (agent.pk, "offline", [group.pk])
    ]


def test_the_schema_describes_every_metric_with_its_formula(client, db):
    schema = client.get(reverse("schema"), headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    figures = schema["components"]["schemas"]["Figures"]["properties"]
    assert set(figures) == set(METRICS)
    assert all(str(METRICS[name].formula) in text["description"] for name, text in figures.items())
    assert {one["name"] for one in schema["paths"]["/api/v1/summary/"]["get"]["parameters"]} >= {
        "from",
        "to",
        "step",
        "skill_group",
    }


def test_the_catalogue_is_told_in_the_language_asked_for(get):
    english, chinese = (get("/api/v1/metrics/", {"language": language}).json() for language in ("en", "zh-hans"))
    assert [one["name"] for one in english] == [one["name"] for one in chinese] == list(METRICS)
    assert english == get("/api/v1/metrics/").json()
    level = next(one for one in english if one["name"] == "service_level")
    assert (level["label"], level["unit"], level["source"], level["good"]) == ("Service level", "ratio", "queues", "up")
    assert level["formula"] == "answered in target ÷ (answered + abandoned − short)"
    assert next(one for one in chinese if one["name"] == "service_level")["label"] == "服务水平"
    assert [error["field"] for error in get("/api/v1/metrics/", {"language": "tlh"}).json()["errors"]] == ["language"]


REPORT = "/api/v1/reports/query"


def test_a_report_is_asked_by_address_or_body_alike(get, client, api_key, group):
    asked = {"metrics": ["offered", "service_level"], "group_by": ["hour", "skill_group"], "totals": True}
    posted = client.post(REPORT, asked, content_type="application/json", headers={"Authorization": f"Api-Key {api_key}"}).json()
    got = get(REPORT, {"metrics": "offered,service_level", "group_by": "hour,skill_group", "totals": "true"}).json()
    assert got == posted
    assert [(row["group"], row["figures"]) for row in got["rows"]] == [
        ({"hour": "2026-03-02T09:00:00+08:00", "skill_group": group.pk}, {"offered": 2, "service_level": 0.5}),
        ({"hour": "2026-03-02T12:00:00+08:00", "skill_group": None}, {"offered": 1, "service_level": None}),
    ]
    assert (got["totals"], got["next"]) == ({"offered": 3, "service_level": 0.5}, None)


def test_pages_of_a_report_are_the_report(get, group):
    query = {"metrics": "calls,offered", "group_by": "half_hour", "period": "last_7_days"}
    whole = get(REPORT, query | {"limit": 10_000}).json()
    assert len(whole["rows"]) == 7 * 48 and whole["next"] is None
    rows, cursor = [], ""
    for _ in range(10):
        page = get(REPORT, query | {"limit": 50, "cursor": cursor}).json()
        rows, cursor = rows + page["rows"], page["next"]
        if cursor is None:
            break
    assert rows == whole["rows"]


def test_every_dimension_can_be_asked_by(get, group):
    for name in ("interval", "half_hour", "hour", "day", "week", "month", "weekday_hour", "direction", "service_number"):
        rows = get(REPORT, {"metrics": "calls", "group_by": name}).json()["rows"]
        assert sum(row["figures"]["calls"] for row in rows) == 3, name
    for name in ("provider", "disposition"):
        rows = get(REPORT, {"metrics": "calls", "group_by": f"{name},direction"}).json()["rows"]
        assert sum(row["figures"]["calls"] for row in rows) == 3, name
    taken = get(REPORT, {"metrics": "calls_taken,agent_aht", "group_by": "agent", "order_by": "-calls_taken"}).json()["rows"]
    assert [row["figures"] for row in taken] == [{"calls_taken": 1, "agent_aht": 120}]
    assert [
        row["group"]["weekday_hour"] for row in get(REPORT, {"metrics": "calls", "group_by": "weekday_hour"}).json()["rows"]
    ] == [
        [1, 9],
        [1, 12],
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"metrics": "clals"}, "metrics"),
        ({"metrics": "calls", "group_by": "skill_group"}, "metrics"),
        ({"metrics": "asa", "group_by": "agent"}, "metrics"),
        ({"group_by": "agent,skill_group"}, "group_by"),
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": "day,hour"}, "group_by"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "to"),
        ({"from": "2006-03-02", "to": "2026-03-01"}, "to"),
        ({"skill_group": "999999"}, "skill_group[0]"),
        ({"agent": "999999"}, "agent"),
        ({"direction": "up"}, "direction"),
        ({"limit": "10001"}, "limit"),
        ({"cursor": "last"}, "cursor"),
        ({"metrics": "calls", "order_by": "-asa"}, "order_by"),
        ({"metrics": "calls", "group_by": "day", "order_by": "calls"}, "order_by"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_a_report_cannot_be_asked_names_its_field(get, group, query, field):
    answer = get(REPORT, query)
    assert answer.status_code == 400
    assert [error["field"].partition("[")[0] for error in answer.json()["errors"]] == [field.partition("[")[0]]


def test_groups_of_another_account_are_not_there_in_a_report(get, group):
    key = create_api_key(account=AccountFactory(), name="other", scopes=[ApiKey.Scope.FIGURES_READ])[1]
    foreign, unknown = (get(REPORT, {"metrics": "asa", "skill_group": pk}, key=key) for pk in (group.pk, 999999))
    assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content) and foreign.status_code == 400
    assert get(REPORT, {"metrics": "calls", "group_by": "service_number"}, key=key).json()["rows"] == []
