"""What an agent does when their part in a call is over."""

import datetime as dt
import itertools

import pytest

from agents.models import Agent, Status, StatusChange
from agents.presence import change_status, end_wrap_ups, plan_break
from calls import ingest
from calls.after_call import begin_wrap_ups
from calls.lifecycle import CallFacts
from configuration.models import Account
from tests.factories import AgentFactory, MemberFactory, SkillGroupFactory
from tests.scenarios import at, events_of

pytestmark = pytest.mark.django_db

CALL = """
    10:00:00 started
    10:00:10 queued skill_group=S
    10:00:15 ringing agent=1001
    10:00:20 answered agent=1001
    10:05:00 ended
"""
AFTER = "10:05:02"
Source = StatusChange.Source


@pytest.fixture
def group(account):
    return SkillGroupFactory(account=account, name="S", wrap_up_seconds=30)


@pytest.fixture
def agent(account, group) -> Agent:
    """At the desk and available since nine."""
    agent = AgentFactory(account=account, staff_id="1001")
    MemberFactory(skill_group=group, agent=agent)
    change_status(agent=agent, status="available", at=at("09:00:00"), source=Source.AGENT, terminal="web")
    Agent.objects.filter(pk=agent.pk).update(is_online=True, last_seen_at=at("10:04:55"))
    return agent


def take(account: Account, table: str = CALL, *, now: str = AFTER, call: str = "c1") -> None:
    ingest.accept_events(account=account, items=events_of(table, call=call), at=at(now))
    while ingest.fold_due(at=at(now)):
        pass


def say(account: Account, clock: str, status: str, *, now: str = AFTER) -> None:
    event = {
        "specversion": "1.0",
        "id": f"s-{clock}-{status}",
        "source": "test",
        "type": "agent.status_changed",
        "subject": "1001",
        "time": at(clock).isoformat(),
        "data": {"agent": "1001", "status": status},
    }
    ingest.accept_events(account=account, items=[event], at=at(now))
    ingest.fold_due(at=at(now))


def rows(agent: Agent) -> list[tuple[str, str, dt.datetime]]:
    changes = StatusChange.objects.filter(agent=agent, started_at__gt=at("09:00:00")).order_by("started_at", "change_key")
    return list(changes.values_list("status", "source", "started_at"))


def test_the_agent_wraps_up_for_the_groups_time_and_is_available_again(account, agent):
    take(account)
    agent.refresh_from_db()
    assert (agent.status, agent.status_since, agent.wrap_up_until) == ("wrap_up", at("10:05:00"), at("10:05:30"))
    end_wrap_ups(at=at("10:05:31"))
    assert rows(agent) == [("wrap_up", "portal", at("10:05:00")), ("available", "portal", at("10:05:30"))]
    assert set(StatusChange.objects.values_list("terminal", flat=True)) == {"web"}, "gone when the desk is"


def test_the_group_of_the_leg_decides_not_the_longest_of_the_agents(account, agent):
    MemberFactory(skill_group=SkillGroupFactory(account=account, wrap_up_seconds=300), agent=agent)
    take(account)
    agent.refresh_from_db()
    assert agent.wrap_up_until == at("10:05:30")


def test_a_call_of_no_group_is_followed_by_the_longest_wrap_up_of_the_agents_groups(account, agent):
    MemberFactory(skill_group=SkillGroupFactory(account=account, wrap_up_seconds=60), agent=agent)
    take(account, "10:00:00 started direction=outbound\n10:00:20 answered agent=1001\n10:05:00 ended")
    agent.refresh_from_db()
    assert agent.wrap_up_until == at("10:06:00")


def test_a_planned_break_follows_the_wrap_up(account, agent):
    plan_break(agent=agent, reason="lunch")
    take(account)
    end_wrap_ups(at=at("10:06:00"))
    agent.refresh_from_db()
    assert (agent.status, agent.status_reason, agent.status_since) == ("break", "lunch", at("10:05:30"))
    assert not agent.break_after_call


class TestNoWrapUp:
    @pytest.fixture
    def group(self, account):
        return SkillGroupFactory(account=account, name="S", wrap_up_seconds=0)

    def test_of_no_seconds(self, account, agent):
        take(account)
        assert rows(agent) == []

    def test_of_no_seconds_goes_straight_to_the_planned_break(self, account, agent):
        plan_break(agent=agent, reason="lunch")
        take(account)
        take(account)  # the same events again
        agent.refresh_from_db()
        assert (agent.status, agent.status_reason, agent.break_after_call) == ("break", "lunch", False)
        assert rows(agent) == [("break", "agent", at("10:05:00"))]


def test_who_chose_busy_gets_only_their_planned_break(account, agent):
    change_status(agent=agent, status="busy", at=at("09:30:00"), source=Source.AGENT)
    take(account)
    assert len(rows(agent)) == 1
    plan_break(agent=agent)
    take(account, CALL.replace("10:05:00", "10:06:00"), now="10:06:01", call="c2")
    assert rows(agent)[1:] == [("break", "agent", at("10:06:00"))]


@pytest.mark.parametrize("status", ["break", "offline", "wrap_up"])
def test_any_other_status_stands(account, agent, status):
    change_status(agent=agent, status=status, at=at("09:30:00"))
    take(account)
    assert [row[0] for row in rows(agent)] == [status]


def test_who_is_not_at_the_desk_is_left_alone(account, agent):
    Agent.objects.filter(pk=agent.pk).update(is_online=False)
    take(account)
    assert rows(agent) == []


def test_an_offer_that_was_not_answered_needs_no_wrap_up(account, agent):
    take(account, "10:00:00 started\n10:00:10 queued skill_group=S\n10:00:15 ringing agent=1001\n10:05:00 ended")
    assert rows(agent) == []


def test_a_part_that_ends_before_the_call_does_is_wrapped_up_at_once(account, agent):
    take(
        account,
        """
        10:00:00 started
        10:00:10 queued skill_group=S
        10:00:20 answered agent=1001
        10:04:00 transferred from=1001 to_skill_group=T
        """,
        now="10:04:01",
    )
    agent.refresh_from_db()
    assert (agent.status, agent.status_since) == ("wrap_up", at("10:04:00"))


def test_who_talks_in_another_call_wraps_up_when_that_is_over(account, agent):
    take(account, "10:01:00 started\n10:01:00 answered agent=1001", now="10:01:01", call="other")
    take(account)
    assert rows(agent) == []
    take(account, "10:01:00 started\n10:01:00 answered agent=1001\n10:07:00 ended", now="10:07:01", call="other")
    assert rows(agent) == [("wrap_up", "portal", at("10:07:00"))]


class TestThePlatformWins:
    @pytest.mark.parametrize("clock", ["10:05:00", "10:05:01"])
    def test_a_status_it_sent_after_the_leg_ended_stands(self, account, agent, clock):
        say(account, clock, "available")
        take(account)
        assert rows(agent) == [("available", "event", at(clock))]

    def test_a_status_of_the_same_batch_stands(self, account, agent):
        ingest.accept_events(account=account, items=events_of(CALL), at=at(AFTER))
        say(account, "10:05:01", "busy")
        while ingest.fold_due(at=at(AFTER)):
            pass
        assert rows(agent) == [("busy", "event", at("10:05:01"))]

    def test_a_status_that_comes_later_ends_the_wrap_up(self, account, agent):
        take(account)
        say(account, "10:05:20", "available", now="10:05:20")
        agent.refresh_from_db()
        assert (agent.status, agent.wrap_up_until) == ("available", None)
        assert end_wrap_ups(at=at("10:06:00")) == 0

    def test_its_end_of_the_wrap_up_is_the_end(self, account, agent):
        take(account)
        take(account, CALL + "10:05:12 wrap_up_ended agent=1001", now="10:05:13")
        end_wrap_ups(at=at("10:05:15"))
        assert rows(agent) == [("wrap_up", "portal", at("10:05:00")), ("available", "portal", at("10:05:12"))]

    def test_its_end_known_at_once_decides_the_length(self, account, agent):
        take(account, CALL + "10:05:12 wrap_up_ended agent=1001", now="10:05:13")
        end_wrap_ups(at=at("10:05:15"))
        assert rows(agent) == [("wrap_up", "portal", at("10:05:00")), ("available", "portal", at("10:05:12"))]


class TestAgainAndLate:
    def test_folding_again_changes_nothing(self, account, agent):
        take(account)
        ingest.refold(account=account, call_keys=[], at=at(AFTER))
        for now, more in ((AFTER, ""), ("10:05:10", "10:05:05 rated score=5 scale=5"), ("10:06:00", "10:05:06 recorded")):
            take(account, CALL + more, now=now, call="c1")
        end_wrap_ups(at=at("10:06:00"))
        take(account, CALL + "10:05:07 rated score=4 scale=5", now="10:06:05")
        assert [row[0] for row in rows(agent)] == ["wrap_up", "available"]

    def test_a_leg_that_ended_ten_minutes_ago_is_history(self, account, agent):
        take(account, now="10:15:00")
        assert rows(agent) == []

    def test_a_leg_that_ended_just_less_ago_is_not(self, account, agent):
        take(account, now="10:14:59")
        assert [row[0] for row in rows(agent)] == ["wrap_up"]
        end_wrap_ups(at=at("10:15:01"))
        agent.refresh_from_db()
        assert (agent.status, agent.status_since) == ("available", at("10:05:30"))

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_in_pieces_and_any_order_there_is_one_wrap_up(self, account, agent, order):
        events = events_of(CALL)
        pieces = [events[:2], events[2:4], events[4:]]
        for index in order:
            ingest.accept_events(account=account, items=pieces[index], at=at(AFTER))
            ingest.fold_due(at=at(AFTER))
        assert rows(agent) == [("wrap_up", "portal", at("10:05:00"))]


def test_agents_of_another_account_are_not_touched(account, agent):
    stranger = AgentFactory(staff_id="1001")
    change_status(agent=stranger, status=Status.AVAILABLE, at=at("09:00:00"), source=Source.AGENT, terminal="web")
    Agent.objects.filter(pk=stranger.pk).update(is_online=True, last_seen_at=at("10:04:55"))
    take(account)
    assert rows(stranger) == []


def test_it_costs_a_fold_nothing_when_no_leg_ended_lately(account, agent, django_assert_num_queries):
    with django_assert_num_queries(0):
        begin_wrap_ups(
            account=account,
            folded={b"k" * 32: CallFacts(started_at=at("10:00:00"), last_event_at=at("10:00:00"))},
            at=at("10:00:01"),
        )
