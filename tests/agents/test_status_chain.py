"""Status changes: any order and any repetition of the same changes leaves the same unbroken chain."""

import datetime as dt
import hashlib
import itertools
from collections.abc import Iterator

import pytest
import time_machine
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agents.models import Status, StatusChange
from agents.presence import change_status
from agents.status_chain import StatusFact, record_status_changes
from configuration import encryption
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

START = dt.datetime(2026, 3, 2, 1, 0, tzinfo=dt.UTC)


def at(minutes: float) -> dt.datetime:
    return START + dt.timedelta(minutes=minutes)


def fact(agent_id: int, minutes: float, status: str, name: str = "") -> StatusFact:
    key = hashlib.sha256(f"{agent_id} {minutes} {status} {name}".encode()).digest()
    return StatusFact(agent_id=agent_id, status=status, started_at=at(minutes), change_key=key)


def chain(agent) -> list[tuple[str, float, float | None]]:
    """The agent's rows as (status, from, until), in minutes after START."""

    def minutes(moment: dt.datetime | None) -> float | None:
        return None if moment is None else (moment - START).total_seconds() / 60

    rows = StatusChange.objects.filter(agent=agent).order_by("started_at", "change_key")
    return [(row.status, minutes(row.started_at), minutes(row.ended_at)) for row in rows]


@pytest.fixture(autouse=True)
def soon_after() -> Iterator[None]:
    with time_machine.travel(at(240), tick=False):
        yield


@pytest.fixture
def agent(account):
    return AgentFactory(account=account)


def test_each_change_ends_the_one_before(agent):
    change_status(agent=agent, status="available", at=at(0))
    change_status(agent=agent, status="break", at=at(20), reason="lunch")
    assert chain(agent) == [("available", 0, 20), ("break", 20, None)]
    assert (agent.status, agent.status_reason, agent.status_since) == ("break", "lunch", at(20))


def test_a_late_change_takes_its_place_and_leaves_the_present_alone(agent):
    change_status(agent=agent, status="available", at=at(0))
    change_status(agent=agent, status="offline", at=at(60))
    change_status(agent=agent, status="busy", at=at(30))
    assert chain(agent) == [("available", 0, 30), ("busy", 30, 60), ("offline", 60, None)]
    assert agent.status == "offline"


def test_a_change_before_all_others_ends_at_the_first_of_them(agent):
    change_status(agent=agent, status="busy", at=at(60))
    change_status(agent=agent, status="available", at=at(0))
    assert chain(agent) == [("available", 0, 60), ("busy", 60, None)]
    assert agent.status == "busy"


def test_the_same_change_again_is_one_row(agent):
    first = change_status(agent=agent, status="available", at=at(0))
    assert change_status(agent=agent, status="available", at=at(0)) == first
    assert chain(agent) == [("available", 0, None)]


def test_agents_do_not_end_each_others_changes(account, agent):
    other = AgentFactory(account=account)
    record_status_changes(
        account=account, changes=[fact(agent.pk, 0, "busy"), fact(other.pk, 5, "busy"), fact(agent.pk, 9, "break")]
    )
    assert chain(agent) == [("busy", 0, 9), ("break", 9, None)]
    assert chain(other) == [("busy", 5, None)]


def test_an_agent_of_another_account_is_refused(account):
    stranger = AgentFactory()
    with pytest.raises(ValueError, match="not of account"):
        record_status_changes(account=account, changes=[fact(stranger.pk, 0, "busy")])
    assert not StatusChange.objects.exists()


def test_an_unknown_status_is_refused(agent):
    with pytest.raises(ValidationError):
        change_status(agent=agent, status="asleep", at=at(0))


def test_a_batch_costs_the_same_queries_for_one_agent_or_many(account, django_assert_num_queries):
    agents = [AgentFactory(account=account) for _ in range(20)]
    record_status_changes(account=account, changes=[fact(one.pk, 0, "available") for one in agents])
    with django_assert_num_queries(10):  # two of them are the savepoint
        record_status_changes(account=account, changes=[fact(one.pk, 5, "busy") for one in agents])


def test_an_event_that_arrives_after_the_portal_ended_a_wrap_up_takes_the_place_of_that_end(account, agent):
    record_status_changes(account=account, changes=[fact(agent.pk, 0, "available"), fact(agent.pk, 10, "wrap_up")])
    over = StatusFact(agent_id=agent.pk, status="available", started_at=at(12), change_key=b"o" * 32, source="portal")
    record_status_changes(account=account, changes=[over])
    assert chain(agent)[1:] == [("wrap_up", 10, 12), ("available", 12, None)]
    record_status_changes(account=account, changes=[fact(agent.pk, 11, "break")])
    assert chain(agent) == [("available", 0, 10), ("wrap_up", 10, 11), ("break", 11, None)]
    agent.refresh_from_db()
    assert (agent.status, agent.status_since) == ("break", at(11))


def test_what_came_after_the_portals_end_of_a_wrap_up_stays_when_that_end_goes(account, agent):
    over = StatusFact(agent_id=agent.pk, status="available", started_at=at(12), change_key=b"o" * 32, source="portal")
    record_status_changes(
        account=account, changes=[fact(agent.pk, 10, "wrap_up"), over, fact(agent.pk, 20, "busy"), fact(agent.pk, 30, "offline")]
    )
    record_status_changes(account=account, changes=[fact(agent.pk, 11, "break")])
    assert chain(agent) == [("wrap_up", 10, 11), ("break", 11, 20), ("busy", 20, 30), ("offline", 30, None)]


def test_a_wrap_up_by_event_lasts_as_long_as_the_longest_of_the_agents_groups(account, agent):
    for seconds, is_active in ((20, True), (45, True), (90, False)):
        group = SkillGroupFactory(account=account, wrap_up_seconds=seconds, is_active=is_active)
        MemberFactory(skill_group=group, agent=agent)
    record_status_changes(account=account, changes=[fact(agent.pk, 0, "wrap_up")])
    agent.refresh_from_db()
    assert agent.wrap_up_until == at(0) + dt.timedelta(seconds=45)
    record_status_changes(account=account, changes=[fact(agent.pk, 1, "busy")])
    agent.refresh_from_db()
    assert agent.wrap_up_until is None


def test_a_wrap_up_by_event_of_somebody_in_no_group_waits_for_the_platform(account, agent):
    record_status_changes(account=account, changes=[fact(agent.pk, 0, "wrap_up")])
    agent.refresh_from_db()
    assert (agent.status, agent.wrap_up_until) == ("wrap_up", None)


CHANGES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 6), st.sampled_from(Status.values), st.sampled_from("ab")),
    min_size=1,
    max_size=12,
)


class AnyOrder(TestCase):
    @classmethod
    def setUpTestData(cls):
        encryption.forget_keys()  # this runs before the fixture that does it
        cls.accounts = [AccountFactory(), AccountFactory()]
        cls.people = [[AgentFactory(account=account), AgentFactory(account=account)] for account in cls.accounts]

    @settings(max_examples=40, deadline=None)
    @given(changes=CHANGES, data=st.data())
    def test_any_order_batching_and_repetition_gives_the_same_rows(self, changes, data):
        accounts, people = self.accounts, self.people

        def facts(agents) -> list[StatusFact]:
            """The key names the change without naming the agent's row, so that both accounts have equal keys."""
            return [
                StatusFact(
                    agent_id=agents[who].pk,
                    status=status,
                    started_at=at(10 * when),
                    change_key=hashlib.sha256(f"{who}{when}{status}{name}".encode()).digest(),
                )
                for who, when, status, name in changes
            ]

        record_status_changes(account=accounts[0], changes=facts(people[0]))
        shuffled = data.draw(st.permutations(facts(people[1])))
        while shuffled:
            size = data.draw(st.integers(1, len(shuffled)))
            batch, shuffled = shuffled[:size], shuffled[size:]
            for _ in range(data.draw(st.integers(1, 2))):
                record_status_changes(account=accounts[1], changes=batch)

        for straight, mixed in zip(people[0], people[1], strict=True):
            rows = chain(straight)
            assert rows == chain(mixed)
            for before, after in itertools.pairwise(rows):
                assert before[2] == after[1]
            if rows:
                assert rows[-1][2] is None
            for agent in (straight, mixed):
                agent.refresh_from_db()
            assert (straight.status, straight.status_reason) == (mixed.status, mixed.status_reason)
            assert straight.status == (rows[-1][0] if rows else Status.OFFLINE)
