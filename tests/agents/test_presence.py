"""Who may set which status, who is there, and what ends by itself."""

import datetime as dt
from functools import partial
from typing import Any

import pytest
from auditlog import get_logentry_model
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection

from agents import presence
from agents.models import Agent, Status, StatusChange
from agents.presence import (
    cancel_planned_break,
    change_status,
    end_wrap_up,
    end_wrap_ups,
    extend_wrap_up,
    force_offline,
    mark_gone,
    plan_break,
    restore_online,
    see_agent,
    set_statuses,
)
from configuration.models import AuditEntry, BreakReason, Role
from tests.at_once import at_once
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

START = dt.datetime(2026, 3, 2, 1, 0, tzinfo=dt.UTC)
Source = StatusChange.Source


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def rows(agent: Agent) -> list[tuple[str, str, float]]:
    """The agent's changes as (status, set by, seconds after START)."""
    changes = StatusChange.objects.filter(agent=agent).order_by("started_at", "change_key")
    return [(row.status, row.source, (row.started_at - START).total_seconds()) for row in changes]


@pytest.fixture
def agent(account) -> Agent:
    return AgentFactory(account=account)


@pytest.fixture
def supervisor(account, agent) -> Agent:
    group = SkillGroupFactory(account=account, wrap_up_seconds=30)
    boss = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    for one in (boss, agent):
        MemberFactory(skill_group=group, agent=one)
    return boss


class TestSettingTheStatusOfMany:
    def test_it_is_set_for_those_it_can_be_and_the_rest_is_said(self, account, supervisor, agent):
        group = supervisor.skill_groups.get()
        others = [MemberFactory(skill_group=group).agent for _ in range(4)]
        boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        force_offline(agents=[others[0]], by=boss, at=at(0))
        Agent.objects.filter(pk=others[1].pk).update(is_active=False)
        change_status(agent=others[2], status="break", reason="lunch", at=at(1))
        hidden, foreign = AgentFactory(account=account), AgentFactory()
        those, reasons = set_statuses(
            agents=[agent, *others, hidden, foreign], status="break", reason="lunch", by=supervisor, at=at(5)
        )
        assert {one.pk for one in those} == {agent.pk, others[2].pk, others[3].pk}
        assert len(reasons) == 2 and "not active" in reasons[1]
        assert rows(agent) == [("break", "supervisor", 5)] == rows(others[3])
        assert rows(others[2]) == [("break", "event", 1)]
        assert rows(hidden) == rows(foreign) == rows(others[1]) == []

    def test_they_go_on_where_they_work_and_have_the_last_word(self, account, supervisor, agent):
        see_agent(agent=agent, at=at(0))
        change_status(agent=agent, status="available", at=at(3), source=Source.AGENT, terminal="web")
        set_statuses(agents=[agent], status="busy", by=supervisor, at=at(1))
        last = StatusChange.objects.filter(agent=agent).latest("started_at")
        assert (last.status, last.terminal, last.ended_at) == ("busy", "web", None)
        agent.refresh_from_db()
        assert agent.status == "busy"

    def test_what_may_not_be_chosen_changes_nothing(self, supervisor, agent):
        for status, reason in (("wrap_up", ""), ("asleep", ""), ("busy", "why"), ("break", "x" * 61)):
            with pytest.raises(ValidationError):
                set_statuses(agents=[agent], status=status, reason=reason, by=supervisor, at=at(0))
        assert rows(agent) == []

    def test_it_asks_the_database_no_more_for_many_than_for_few(self, account, django_assert_max_num_queries):
        boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        for n_people in (2, 40):
            people = [AgentFactory(account=account) for _ in range(n_people)]
            with django_assert_max_num_queries(20):
                those, _reasons = set_statuses(agents=people, status="busy", by=boss, at=at(0))
            assert len(those) == n_people
            assert StatusChange.objects.filter(agent__in=people, status="busy").count() == n_people


class TestSettingAStatus:
    @pytest.mark.parametrize("source", [Source.AGENT, Source.SUPERVISOR, Source.API])
    def test_choosing_what_is_so_already_changes_nothing(self, agent, source):
        first = change_status(agent=agent, status="break", reason="lunch", at=at(0), source=source)
        again = change_status(agent=agent, status="break", reason="lunch", at=at(5), source=source)
        assert first == again and rows(agent) == [("break", source, 0)]
        change_status(agent=agent, status="break", reason="meeting", at=at(9), source=source)
        assert len(rows(agent)) == 2

    @pytest.mark.parametrize("source", [Source.AGENT, Source.SUPERVISOR, Source.API])
    def test_nobody_chooses_wrap_up_but_events_say_it(self, agent, source):
        with pytest.raises(ValidationError) as refused:
            change_status(agent=agent, status="wrap_up", at=at(0), source=source)
        assert "status" in refused.value.message_dict
        change_status(agent=agent, status="wrap_up", at=at(0))
        assert rows(agent) == [("wrap_up", "event", 0)]

    def test_a_reason_too_long_is_refused_for_people_and_cut_for_events(self, agent):
        with pytest.raises(ValidationError) as refused:
            change_status(agent=agent, status="break", reason="x" * 61, at=at(0), source=Source.AGENT)
        assert "reason" in refused.value.message_dict
        change_status(agent=agent, status="break", reason="x" * 61, at=at(0))
        assert StatusChange.objects.get().reason == "x" * 60

    @pytest.mark.parametrize("source", [Source.AGENT, Source.SUPERVISOR, Source.API])
    def test_a_break_is_for_one_of_the_accounts_reasons_whoever_sets_it(self, agent, source):
        BreakReason.objects.create(account=agent.account, name="Lunch")
        BreakReason.objects.create(account=agent.account, name="Old habit", is_active=False)
        BreakReason.objects.create(account=AccountFactory(), name="Theirs")
        for reason in ("lunch", "Old habit", "Theirs", "Nap"):
            with pytest.raises(ValidationError) as refused:
                change_status(agent=agent, status="break", reason=reason, at=at(0), source=source)
            assert refused.value.message_dict == {"reason": ["Choose one of these reasons: Lunch."]}
        assert rows(agent) == []
        change_status(agent=agent, status="break", reason="Lunch", at=at(1), source=source)
        change_status(agent=agent, status="break", reason="as the platform says", at=at(2))
        assert [status for status, _, _ in rows(agent)] == ["break", "break"]

    def test_agents_say_why_and_who_sends_them_on_a_break_need_not(self, agent):
        BreakReason.objects.create(account=agent.account, name="Lunch")
        with pytest.raises(ValidationError):
            change_status(agent=agent, status="break", at=at(0), source=Source.AGENT)
        change_status(agent=agent, status="break", at=at(1), source=Source.SUPERVISOR)
        assert rows(agent) == [("break", "supervisor", 1)]

    @pytest.mark.parametrize("status", ["available", "busy", "offline"])
    def test_only_a_break_has_a_reason(self, agent, status):
        with pytest.raises(ValidationError) as refused:
            change_status(agent=agent, status=status, reason="+8613800138000 called", at=at(0), source=Source.API)
        assert list(refused.value.message_dict) == ["reason"]
        change_status(agent=agent, status=status, reason="from the platform", at=at(0))
        assert agent.status_reason == "from the platform"

    def test_who_chooses_has_the_last_word_also_where_the_platforms_clock_is_ahead(self, agent):
        change_status(agent=agent, status="available", at=at(3))
        change_status(agent=agent, status="break", at=at(0), source=Source.AGENT)
        assert agent.status == "break"
        assert [status for status, _, _ in rows(agent)] == ["available", "break"]

    def test_who_is_not_active_can_only_be_offline(self, account):
        gone = AgentFactory(account=account, is_active=False)
        with pytest.raises(ValidationError):
            change_status(agent=gone, status="available", at=at(0), source=Source.SUPERVISOR)
        change_status(agent=gone, status="offline", at=at(0), source=Source.SUPERVISOR)

    def test_a_status_set_by_a_supervisor_lives_where_the_agents_own_did(self, agent):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT, terminal="web")
        assert change_status(agent=agent, status="break", at=at(1), source=Source.SUPERVISOR).terminal == "web"
        change_status(agent=agent, status="available", at=at(2), terminal="desk_phone")
        assert change_status(agent=agent, status="busy", at=at(3), source=Source.API).terminal == "desk_phone"


class TestOfflineByOrder:
    def test_it_ends_the_status_and_holds_until_somebody_lets_them_back(self, agent, supervisor):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT)
        assert force_offline(agents=[agent], by=supervisor, at=at(10)) == [agent]
        agent.refresh_from_db()
        assert (agent.status, agent.forced_offline_at) == ("offline", at(10))
        for source in (Source.AGENT, Source.SUPERVISOR, Source.API):
            with pytest.raises(ValidationError):
                change_status(agent=agent, status="available", at=at(20), source=source)
        change_status(agent=agent, status="offline", at=at(20), source=Source.AGENT)
        assert restore_online(agents=[agent], by=supervisor, at=at(30)) == [agent]
        agent.refresh_from_db()
        assert agent.status == "offline", "they choose themselves"
        change_status(agent=agent, status="available", at=at(40), source=Source.AGENT)
        assert rows(agent) == [("available", "agent", 0), ("offline", "supervisor", 10), ("available", "agent", 40)]

    def test_what_the_platform_says_is_kept_and_the_block_stays(self, agent, supervisor):
        force_offline(agents=[agent], by=supervisor, at=at(0))
        change_status(agent=agent, status="available", at=at(5))
        agent.refresh_from_db()
        assert agent.status == "available" and agent.forced_offline_at is not None

    def test_a_second_time_changes_nothing(self, agent, supervisor):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT)
        force_offline(agents=[agent], by=supervisor, at=at(10))
        assert force_offline(agents=[agent], by=supervisor, at=at(11)) == []
        assert len(rows(agent)) == 2
        restore_online(agents=[agent], by=supervisor, at=at(12))
        assert restore_online(agents=[agent], by=supervisor, at=at(13)) == []

    def test_nobody_does_it_to_themselves(self, supervisor):
        with pytest.raises(ValidationError):
            force_offline(agents=[supervisor], by=supervisor, at=at(0))
        Agent.objects.filter(pk=supervisor.pk).update(forced_offline_at=at(0))
        with pytest.raises(ValidationError):
            restore_online(agents=[supervisor], by=supervisor, at=at(1))

    def test_all_of_them_or_none(self, agent, supervisor):
        with pytest.raises(ValidationError):
            force_offline(agents=[agent, supervisor], by=supervisor, at=at(0))
        agent.refresh_from_db()
        assert agent.forced_offline_at is None

    def test_people_of_other_groups_and_accounts_are_left_alone(self, account, supervisor):
        others = [AgentFactory(account=account), AgentFactory(account=AccountFactory())]
        assert force_offline(agents=others, by=supervisor, at=at(0)) == []
        assert not Agent.objects.filter(forced_offline_at__isnull=False).exists()

    def test_it_is_in_the_audit_log(self, agent, supervisor):
        force_offline(agents=[agent], by=supervisor, at=at(0))
        entry = get_logentry_model().objects.filter(object_pk=str(agent.pk)).latest("pk")
        assert "forced_offline_at" in entry.changes


class TestBreakAfterThisCall:
    def test_it_is_planned_and_taken_back(self, agent):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT)
        plan_break(agent=agent, reason="lunch")
        assert (agent.break_after_call, agent.break_after_call_reason) == (True, "lunch")
        cancel_planned_break(agent=agent)
        assert (agent.break_after_call, agent.break_after_call_reason) == (False, "")

    @pytest.mark.parametrize("status", ["offline", "break"])
    def test_who_is_not_at_work_plans_none(self, agent, status):
        change_status(agent=agent, status=status, at=at(0))
        with pytest.raises(ValidationError):
            plan_break(agent=agent)

    def test_it_comes_when_the_wrap_up_is_over(self, agent):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT)
        plan_break(agent=agent, reason="lunch")
        change_status(agent=agent, status="wrap_up", at=at(60))
        Agent.objects.filter(pk=agent.pk).update(wrap_up_until=at(90))
        assert end_wrap_ups(at=at(91)) == 1
        agent.refresh_from_db()
        assert (agent.status, agent.status_reason, agent.status_since) == ("break", "lunch", at(90))
        assert not agent.break_after_call and agent.break_after_call_reason == ""

    @pytest.mark.parametrize(("status", "source"), [("busy", Source.AGENT), ("offline", Source.EVENT), ("break", Source.EVENT)])
    def test_another_decision_calls_it_off(self, agent, status, source):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT)
        plan_break(agent=agent)
        change_status(agent=agent, status=status, at=at(5), source=source)
        assert not agent.break_after_call

    def test_what_the_platform_says_of_the_call_leaves_it(self, agent):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT)
        plan_break(agent=agent)
        change_status(agent=agent, status="busy", at=at(5))
        assert agent.break_after_call


class TestWrapUp:
    @pytest.fixture
    def wrapping(self, agent, supervisor) -> Agent:
        """In wrap-up from 0 to 30."""
        change_status(agent=agent, status="wrap_up", at=at(0), terminal="web")
        assert agent.wrap_up_until == at(30)
        return agent

    def test_it_ends_at_its_time_and_not_before(self, wrapping):
        assert end_wrap_ups(at=at(29.999)) == 0
        assert end_wrap_ups(at=at(30)) == 1
        assert rows(wrapping) == [("wrap_up", "event", 0), ("available", "portal", 30)]

    def test_a_late_run_dates_the_end_where_it_belongs_and_a_second_run_does_nothing(self, wrapping, supervisor):
        call_command("end_wrap_ups")  # months later
        assert end_wrap_ups(at=at(5000)) == 0
        wrapping.refresh_from_db()
        assert (wrapping.status, wrapping.status_since, wrapping.wrap_up_until) == ("available", at(30), None)
        assert StatusChange.objects.latest("started_at").terminal == "web"

    def test_it_costs_one_query_when_nothing_is_due(self, wrapping, django_assert_num_queries):
        with django_assert_num_queries(1):
            assert end_wrap_ups(at=at(10)) == 0

    def test_it_costs_the_same_for_one_or_many(self, wrapping, account, supervisor, django_assert_num_queries):
        group = supervisor.skill_groups.get()
        for _ in range(10):
            change_status(agent=MemberFactory(skill_group=group).agent, status="wrap_up", at=at(0))
        with django_assert_num_queries(16):
            assert end_wrap_ups(at=at(31)) == 11

    def test_a_choice_made_meanwhile_stands(self, wrapping):
        change_status(agent=wrapping, status="busy", at=at(20), source=Source.AGENT)
        assert end_wrap_ups(at=at(31)) == 0
        assert wrapping.status == "busy" and wrapping.wrap_up_until is None

    def test_an_extended_one_waits_for_the_agent(self, wrapping):
        extend_wrap_up(agent=wrapping, at=at(29))
        assert wrapping.wrap_up_until is None
        assert end_wrap_ups(at=at(3000)) == 0
        change_status(agent=wrapping, status="available", at=at(3001), source=Source.AGENT)
        with pytest.raises(ValidationError):
            extend_wrap_up(agent=wrapping, at=at(3002))

    def test_one_that_is_over_is_not_extended_however_late_its_end_is_written(self, wrapping):
        with pytest.raises(ValidationError):
            extend_wrap_up(agent=wrapping, at=at(30))

    def test_it_can_be_ended_early_with_the_break_that_was_planned(self, wrapping):
        plan_break(agent=wrapping, reason="lunch")
        assert end_wrap_up(agent=wrapping, at=at(10))
        assert (wrapping.status, wrapping.status_reason, wrapping.status_since) == ("break", "lunch", at(10))
        assert not end_wrap_up(agent=wrapping, at=at(11))
        assert len(rows(wrapping)) == 2

    def test_an_extended_one_can_be_ended_too(self, wrapping):
        extend_wrap_up(agent=wrapping, at=at(5))
        assert end_wrap_up(agent=wrapping, at=at(50))
        assert (wrapping.status, wrapping.status_since) == ("available", at(50))

    def test_a_repeated_event_does_not_begin_it_again(self, wrapping):
        end_wrap_ups(at=at(31))
        change_status(agent=wrapping, status="wrap_up", at=at(0), terminal="web")
        assert wrapping.status == "available"


class TestThereOrGone:
    def beat(self, agent: Agent, seconds: float) -> None:
        see_agent(agent=Agent.objects.get(pk=agent.pk), at=at(seconds))

    def seen(self, agent: Agent) -> tuple[bool, Any]:
        return Agent.objects.values_list("is_online", "last_seen_at").get(pk=agent.pk)

    def test_the_database_hears_of_a_heartbeat_only_when_it_says_something_new(self, agent, django_assert_num_queries):
        self.beat(agent, 0)
        assert self.seen(agent) == (True, at(0))
        person = Agent.objects.get(pk=agent.pk)
        with django_assert_num_queries(0):
            see_agent(agent=person, at=at(10))
            see_agent(agent=person, at=at(20))
        with django_assert_num_queries(1):
            see_agent(agent=person, at=at(21))
        assert self.seen(agent) == (True, at(21))

    def test_silent_for_thirty_seconds_is_still_there_and_a_moment_more_is_gone(self, agent):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT, terminal="web")
        self.beat(agent, 0)
        self.beat(agent, 10)  # known to the cache only
        assert mark_gone(at=at(40)) == 0
        assert mark_gone(at=at(40.001)) == 1
        assert self.seen(agent) == (False, at(10))
        assert rows(agent) == [("available", "agent", 0), ("offline", "portal", 10)]

    def test_an_emptied_cache_throws_nobody_out(self, agent):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT, terminal="web")
        self.beat(agent, 0)
        self.beat(agent, 20)  # not written: the last write is not older than 20 s
        cache.clear()
        assert mark_gone(at=at(49)) == 0, "the last heartbeat may be 29 s old, for all the database knows"
        assert mark_gone(at=at(51)) == 1

    def test_a_cache_that_is_down_throws_nobody_out(self, agent, monkeypatch):
        self.beat(agent, 0)
        monkeypatch.setattr(presence.cache, "get_many", lambda keys: None)
        monkeypatch.setattr(presence.cache, "set", lambda *values: None)
        self.beat(agent, 20)
        assert mark_gone(at=at(49)) == 0
        assert mark_gone(at=at(51)) == 1

    def test_a_status_that_came_from_a_phone_outlives_the_desk(self, agent):
        change_status(agent=agent, status="available", at=at(0), terminal="desk_phone")
        self.beat(agent, 0)
        assert mark_gone(at=at(60)) == 1
        agent.refresh_from_db()
        assert (agent.status, agent.is_online) == ("available", False)

    def test_a_second_run_and_one_costs_one_query_when_all_are_there(self, agent, django_assert_num_queries):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT, terminal="web")
        self.beat(agent, 0)
        with django_assert_num_queries(1):
            assert mark_gone(at=at(20)) == 0
        assert mark_gone(at=at(60)) == 1
        with django_assert_num_queries(1):
            assert mark_gone(at=at(70)) == 0
        assert len(rows(agent)) == 2

    def test_who_comes_back_is_there_again_and_chooses_their_status(self, agent):
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT, terminal="web")
        self.beat(agent, 0)
        mark_gone(at=at(60))
        self.beat(agent, 65)
        agent.refresh_from_db()
        assert (agent.is_online, agent.status) == (True, "offline")

    def test_a_wrap_up_that_ended_after_they_were_last_seen_leaves_them_offline(self, agent, supervisor):
        self.beat(agent, 0)
        change_status(agent=agent, status="wrap_up", at=at(5), terminal="web")
        end_wrap_ups(at=at(36))
        assert mark_gone(at=at(40)) == 1
        agent.refresh_from_db()
        assert agent.status == "offline"

    def test_who_is_not_active_is_not_there(self, account):
        gone = AgentFactory(account=account, is_active=False)
        self.beat(gone, 0)
        assert self.seen(gone) == (False, None)

    def test_a_late_heartbeat_does_not_turn_the_clock_back(self, agent):
        self.beat(agent, 100)
        see_agent(agent=Agent(pk=agent.pk, is_online=False), at=at(50))
        assert self.seen(agent) == (True, at(100))

    def test_the_command_says_how_many(self, agent, capsys):
        self.beat(agent, 0)
        call_command("mark_gone")
        assert "1 people are gone." in capsys.readouterr().out

    def test_accounts_do_not_mix(self, agent):
        stranger = AgentFactory(account=AccountFactory())
        for one in (agent, stranger):
            change_status(agent=one, status="available", at=at(0), source=Source.AGENT, terminal="web")
            self.beat(one, 0)
        assert mark_gone(at=at(60)) == 2
        assert [rows(one)[-1][0] for one in (agent, stranger)] == ["offline", "offline"]


def together(*works: Any) -> list[Any]:
    """What each of these gave at the same moment, or was refused with."""

    def answer(work: Any) -> Any:
        try:
            return work()
        except ValidationError as error:
            return error

    return at_once(*(partial(answer, work) for work in works))


@pytest.mark.skipif(connection.vendor == "sqlite", reason="threads cannot share SQLite's database in memory")
@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_a_wrap_up_ends_once(self, account):
        agent = AgentFactory(account=account)
        change_status(agent=agent, status="wrap_up", at=at(0))
        Agent.objects.filter(pk=agent.pk).update(wrap_up_until=at(30))
        ended = together(*[lambda: end_wrap_ups(at=at(31))] * 3)
        assert sorted(ended) == [0, 0, 1]
        assert rows(agent) == [("wrap_up", "event", 0), ("available", "portal", 30)]

    def test_somebody_is_gone_once(self, account):
        agent = AgentFactory(account=account)
        change_status(agent=agent, status="available", at=at(0), source=Source.AGENT, terminal="web")
        see_agent(agent=agent, at=at(0))
        gone = together(*[lambda: mark_gone(at=at(60))] * 3)
        assert sorted(gone) == [0, 0, 1]
        assert len(rows(agent)) == 2

    def test_nobody_is_available_after_being_taken_offline(self, account):
        group = SkillGroupFactory(account=account)
        agent, boss = AgentFactory(account=account), AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        MemberFactory(skill_group=group, agent=agent)
        for second in range(0, 50, 10):
            change_status(agent=agent, status="break", at=at(second), source=Source.AGENT)
            mine, theirs = Agent.objects.get(pk=agent.pk), Agent.objects.get(pk=agent.pk)
            together(
                lambda mine=mine, second=second: change_status(
                    agent=mine, status="available", at=at(second + 1), source=Source.AGENT
                ),
                lambda theirs=theirs, second=second: force_offline(agents=[theirs], by=boss, at=at(second + 1)),
            )
            agent.refresh_from_db()
            assert agent.status == Status.OFFLINE
            restore_online(agents=[agent], by=boss, at=at(second + 5))


def test_many_are_taken_offline_and_let_back_in_a_few_statements(account, django_assert_max_num_queries):
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    people = [AgentFactory(account=account) for _n in range(30)]
    set_statuses(agents=people, status=Status.AVAILABLE, by=boss, at=at(0))
    set_statuses(agents=people[:10], status=Status.BUSY, by=boss, at=at(5))
    AuditEntry.objects.all().delete()
    with django_assert_max_num_queries(20):
        assert len(force_offline(agents=people, by=boss, at=at(10))) == 30
    assert rows(people[0]) == [("available", "supervisor", 0), ("busy", "supervisor", 5), ("offline", "supervisor", 10)]
    assert rows(people[29]) == [("available", "supervisor", 0), ("offline", "supervisor", 10)]
    assert StatusChange.objects.filter(ended_at=None).count() == 30
    assert set(Agent.objects.filter(pk__in=[one.pk for one in people]).values_list("status", "forced_offline_at")) == {
        (Status.OFFLINE, at(10))
    }
    with django_assert_max_num_queries(10):
        assert len(restore_online(agents=people, by=boss, at=at(20))) == 30
    said = list(AuditEntry.objects.filter(object_id=people[3].pk).order_by("pk").values_list("actor", "changes"))
    when = str(at(10))
    assert said == [
        (boss.pk, {"forced_offline_at": ["None", when]}),
        (boss.pk, {"forced_offline_at": [when, "None"]}),
    ]
