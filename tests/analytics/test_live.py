"""What goes on now."""

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Status
from agents.presence import change_status
from analytics import live
from calls.models import Call
from configuration.models import Role
from tests.analytics.events import Story, post
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 2, 0, tzinfo=dt.UTC)


@pytest.fixture
def center(account):
    """Six agents in group S: A rings, B talks, C wraps up, D is on a break, E is free, F is offline."""
    group = SkillGroupFactory(account=account, name="S", wrap_up_seconds=30)
    SkillGroupFactory(account=account, name="T")
    chosen = {"A": "available", "B": "available", "C": "available", "D": "break", "E": "available"}
    for staff_id in "ABCDEF":
        agent = AgentFactory(account=account, staff_id=staff_id)
        MemberFactory(skill_group=group, agent=agent)
        if staff_id in chosen:
            change_status(agent=agent, status=Status(chosen[staff_id]), at=NOW - dt.timedelta(hours=1))
    minute = NOW - dt.timedelta(seconds=60)
    stories = [
        Story(account, minute, "ivr").ivr(0),
        Story(account, minute, "queue").queued(10, "S"),
        Story(account, minute, "other queue").queued(0, "T"),
        Story(account, minute, "ring").queued(5, "S").rings(40, "A"),
        Story(account, minute, "talk").queued(0, "S").answered(20, "B"),
        Story(account, minute, "over").queued(0, "S").answered(20, "C").ended(50),
        Story(account, minute, "gone").queued(0, "S").ended(50),
    ]
    post(account, [item for story in stories for item in story.items], at=NOW)
    return group


def administrator(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def test_open_calls_are_counted_by_where_they_are(account, center):
    now = live.now(actor=administrator(account), at=NOW)
    assert (now.in_ivr, now.in_queue, now.ringing, now.talking) == (1, 2, 1, 1)
    assert now.longest_wait_seconds == 60


def test_each_agent_is_in_one_state_and_calls_go_before_what_they_chose(account, center):
    agents = live.now(actor=administrator(account), at=NOW).agents
    assert agents == {"available": 1, "ringing": 1, "on_call": 1, "acw": 1, "busy": 0, "break": 1, "offline": 1}


def test_wrap_up_ends_after_the_time_of_the_group_or_when_the_platform_says_so(account, center):
    later = NOW + dt.timedelta(seconds=25)
    assert live.now(actor=administrator(account), at=later).agents["acw"] == 0
    ended = Story(account, NOW - dt.timedelta(seconds=60), "over")
    ended.items = []
    post(account, ended.at(55, "call.wrap_up_ended", agent="C").items, at=NOW)
    assert live.now(actor=administrator(account), at=NOW).agents["acw"] == 0


def test_an_agent_on_a_break_who_talks_is_on_a_call(account, center):
    story = Story(account, NOW - dt.timedelta(seconds=60), "talk2").queued(0, "S").answered(20, "D")
    post(account, story.items, at=NOW)
    agents = live.now(actor=administrator(account), at=NOW).agents
    assert (agents["on_call"], agents["break"]) == (2, 0)


def test_own_groups_see_their_calls_only(account, center):
    supervisor = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    MemberFactory(skill_group=center, agent=supervisor)
    now = live.now(actor=supervisor, at=NOW)
    assert (now.in_ivr, now.in_queue, now.ringing, now.talking) == (0, 1, 1, 1)
    assert now.longest_wait_seconds == 55


def test_another_account_sees_nothing_of_it(account, center):
    now = live.now(actor=administrator(AccountFactory()), at=NOW)
    assert (now.in_ivr, now.in_queue, now.ringing, now.talking, now.longest_wait_seconds) == (0, 0, 0, 0, None)
    assert sum(now.agents.values()) == 0


def test_a_kept_answer_is_never_given_to_a_narrower_scope_or_another_account(account, center):
    boss = administrator(account)
    assert live.now(actor=boss).in_queue == 2
    assert live.now(actor=AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)).in_queue == 0
    assert live.now(actor=administrator(AccountFactory())).in_queue == 0
    assert live.now(actor=administrator(account)).in_queue == 2


def test_a_second_is_answered_once(account, center, django_assert_num_queries):
    boss = administrator(account)
    live.now(actor=boss)
    with django_assert_num_queries(0):
        live.now(actor=boss)


def test_it_asks_a_fixed_number_of_questions(account, center, django_assert_max_num_queries):
    boss = administrator(account)
    stories = [Story(account, NOW, f"more{n}").queued(0, "S") for n in range(20)]
    post(account, [item for story in stories for item in story.items], at=NOW)
    with django_assert_max_num_queries(5):
        live.now(actor=boss, at=NOW)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="reads SQLite's plans")
@pytest.mark.parametrize("kind", [Role.Kind.ADMINISTRATOR, Role.Kind.SUPERVISOR])
def test_no_question_walks_all_calls_of_the_account(account, center, kind):
    """A table of calls may be entered by an id or by an index beyond the account, never by the account alone."""
    actor = AgentFactory(account=account, kind=kind)
    MemberFactory(skill_group=center, agent=actor)
    with CaptureQueriesContext(connection) as asked:
        live.now(actor=actor, at=NOW)
    for query in [query["sql"] for query in asked if 'FROM "calls_' in query["sql"]]:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query}")
            plan = [row[3] for row in cursor.fetchall()]
        assert not [step for step in plan if step.startswith("SCAN calls_") or step.endswith("(account_id=?)")], (query, plan)


@pytest.mark.parametrize("scope", Role.DataScope.values)
def test_what_counts_is_what_the_list_of_records_would_show(account, center, scope):
    role = Role.objects.create(account=account, name="Scoped", permissions=[], data_scope=scope)
    actor = AgentFactory(account=account, role=role)
    MemberFactory(skill_group=center, agent=actor)
    story = Story(account, NOW - dt.timedelta(seconds=30), "own").queued(0, "T").answered(5, actor.staff_id)
    post(account, story.items, at=NOW)
    open_calls = live._read_open(account.pk)
    assert live._visible(actor, open_calls) == set(Call.objects.visible_to(actor).open().values_list("pk", flat=True))
