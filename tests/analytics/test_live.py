"""What goes on now."""

import datetime as dt
import json

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, Status
from agents.presence import change_status
from analytics import live
from calls.models import Call
from configuration.models import BreakReason, Role
from tests.analytics.events import Story, post, take_in
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
    inspector = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    with django_assert_num_queries(1):  # which groups are theirs
        live.now(actor=inspector)


def test_while_one_process_makes_the_picture_the_others_go_on_with_the_one_before(account, center, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(live.time, "time", lambda: clock[0])
    boss = administrator(account)
    before = live.now(actor=boss)
    clock[0] += 2
    made = []

    def paint(account_id, at):
        made.append(live.now(actor=boss).at)  # somebody else asks meanwhile
        return painted(account_id, at)

    painted = live.paint
    monkeypatch.setattr(live, "paint", paint)
    after = live.now(actor=boss)
    assert made == [before.at]
    assert after.at > before.at
    clock[0] += live.STALE_SECONDS + 1
    cache.add(f"live:{account.pk}:making", 1)  # who was at it died
    monkeypatch.setattr(live, "paint", painted)
    assert live.now(actor=boss).at > after.at


def test_each_group_has_its_own_figures_and_together_they_are_the_account(account, center):
    now = live.now(actor=administrator(account), at=NOW)
    s, t = (group.queues for group in now.groups)
    assert (s.in_queue, s.ringing, s.talking, s.longest_wait_seconds) == (1, 1, 1, 55.0)
    assert (t.in_queue, t.ringing, t.talking, t.longest_wait_seconds) == (1, 0, 0, 60.0)
    assert (now.queues.in_queue, now.queues.ringing, now.queues.talking) == (2, 1, 1)
    assert (s.agents["available"], s.staffed, sum(t.agents.values())) == (1, 4, 0)


def test_an_agent_says_since_when_and_why(account, center):
    BreakReason.objects.create(account=account, name="Meal")
    agent = Agent.objects.get(staff_id="D")
    change_status(agent=agent, status=Status.BREAK, reason="Meal", at=NOW - dt.timedelta(minutes=7))
    people = {one.agent_id: one for one in live.now(actor=administrator(account), at=NOW).people}
    doing = people[agent.pk]
    assert (doing.activity, doing.reason, doing.since) == ("break", "Meal", NOW - dt.timedelta(minutes=7))
    ringing, talking, wrapping = (people[Agent.objects.get(staff_id=one).pk] for one in "ABC")
    assert (ringing.activity, ringing.since) == ("ringing", NOW - dt.timedelta(seconds=20))
    assert (talking.activity, talking.since) == ("on_call", NOW - dt.timedelta(seconds=40))
    assert (wrapping.activity, wrapping.since) == ("acw", NOW - dt.timedelta(seconds=10))


def level_of(account, at=NOW):
    return live.now(actor=administrator(account), at=at).groups[0].queues


def test_the_last_half_hour_counts_what_ended_in_it_and_who_waits_too_long(account):
    SkillGroupFactory(account=account, name="S", service_level_seconds=20)
    AgentFactory(account=account, staff_id="B")
    half_hour = dt.timedelta(minutes=30)
    take_in(
        Story(account, NOW - half_hour - dt.timedelta(seconds=60), "ended before").queued(0, "S").answered(60, "B").ended(70),
        Story(account, NOW - half_hour - dt.timedelta(seconds=60), "long").queued(0, "S").answered(61, "B").ended(70),
        Story(account, NOW - dt.timedelta(minutes=9), "in time").queued(0, "S").answered(20, "B").ended(60),
        Story(account, NOW - dt.timedelta(minutes=8), "short").queued(0, "S").ended(5),
        Story(account, NOW - dt.timedelta(minutes=7), "gave up").queued(0, "S").ended(5.001),
        at=NOW,
    )
    assert level_of(account).service_level_rolling == 1 / 3  # long, in time, gave up
    post(account, Story(account, NOW - dt.timedelta(seconds=20), "waits").queued(0, "S").items, at=NOW)
    assert level_of(account).service_level_rolling == 1 / 3
    late = level_of(account, NOW + dt.timedelta(milliseconds=1))  # waits for more than 20 s now; what ended at the edge is out
    assert (late.service_level_rolling, late.longest_wait_seconds) == (1 / 4, 20.001)
    assert late.service_level_today == 1 / 5


def test_a_queue_that_nobody_answers_is_at_nought_and_one_that_nobody_called_has_no_level(account):
    SkillGroupFactory(account=account, name="S")
    assert level_of(account).service_level_rolling is None
    post(account, Story(account, NOW - dt.timedelta(seconds=90), "waits").queued(0, "S").items, at=NOW)
    assert level_of(account).service_level_rolling == 0


def test_today_begins_at_local_midnight_also_when_the_clock_is_changed():
    account = AccountFactory(time_zone="America/New_York")
    SkillGroupFactory(account=account, name="S")
    AgentFactory(account=account, staff_id="B")
    midnight = dt.datetime(2026, 11, 1, 4, tzinfo=dt.UTC)  # a day of 25 hours
    take_in(
        *(
            Story(account, at, name).queued(0, "S").answered(5, "B").ended(60)
            for name, at in {
                "day before": midnight - dt.timedelta(seconds=1),
                "first": midnight,
                "last": midnight + dt.timedelta(hours=24, minutes=59),
            }.items()
        ),
        at=midnight + dt.timedelta(hours=25),
    )
    now = live.now(actor=administrator(account), at=midnight + dt.timedelta(hours=24, minutes=59, seconds=59))
    assert (now.calls_today, now.queues.offered_today, now.queues.answered_today) == (2, 2, 2)
    assert live.now(actor=administrator(account), at=midnight + dt.timedelta(hours=25)).calls_today == 0


def test_a_lost_telephony_connection_is_told(account, center):
    told = {"state": "connected", "told_at": NOW.isoformat(), "heard_at": NOW.isoformat(), "gaps": []}
    boss = administrator(account)
    assert not live.now(actor=boss, at=NOW).is_cut_off
    cache.set(f"asterisk:{account.pk}", {"asterisk"})
    cache.set(f"asterisk:{account.pk}:asterisk", told)
    assert not live.now(actor=boss, at=NOW).is_cut_off
    silent = live.now(actor=boss, at=NOW + dt.timedelta(seconds=31))
    assert (silent.is_cut_off, silent.feeds[0]["state"]) == (True, "silent")
    assert not live.now(actor=administrator(AccountFactory()), at=NOW).feeds


def test_who_sees_the_same_shares_one_view(account, center):
    supervisor, other = (AgentFactory(account=account, kind=Role.Kind.SUPERVISOR) for _ in range(2))
    MemberFactory(skill_group=center, agent=supervisor)
    views = {live.view_of(live.scope_of(one), with_people=True) for one in (administrator(account), administrator(account))}
    assert len(views) == 1
    own = live.view_of(live.scope_of(supervisor), with_people=False)
    assert own not in views
    told = json.loads(live.render_view(account.pk, own))
    assert "people" not in told
    assert [group["name"] for group in told["skill_groups"]] == ["S"]
    nothing = json.loads(live.render_view(account.pk, live.view_of(live.scope_of(other), with_people=True)))
    assert (nothing["skill_groups"], [one["agent"] for one in nothing["people"]]) == ([], [])


def test_it_asks_a_fixed_number_of_questions(account, center, django_assert_max_num_queries):
    boss = administrator(account)
    stories = [Story(account, NOW, f"more{n}").queued(0, "S") for n in range(20)]
    post(account, [item for story in stories for item in story.items], at=NOW)
    with django_assert_max_num_queries(16):
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
        if "LIMIT 1" in query or "MIN(" in query:  # whether anything waits to be counted
            continue
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
    assert live._visible(live.scope_of(actor), open_calls) == set(
        Call.objects.visible_to(actor).open().values_list("pk", flat=True)
    )
