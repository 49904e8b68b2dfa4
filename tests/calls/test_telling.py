"""Who is told of a call, when, and that folding neither waits for it nor fails with it."""

import datetime as dt

import pytest
from django.db import transaction
from django.utils import timezone

from agents.models import Status
from agents.presence import change_status, force_offline, plan_break, restore_online, see_agent
from calls import telling
from calls.ingest import accept_events, fold_due
from calls.models import Call
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told(monkeypatch) -> list:
    """What was published, and that no transaction was open."""
    heard = []

    def publish(topics, **ids):
        assert not transaction.get_connection().in_atomic_block, "told inside a transaction"
        heard.extend((topic, ids) for topic in topics)

    monkeypatch.setattr("calls.telling.publish", publish)
    monkeypatch.setattr("agents.telling.publish", publish)
    return heard


def post(account, *events, at=None, call="c-1"):
    at = at or timezone.now()
    items = [
        {
            "specversion": "1.0",
            "source": "pbx",
            "id": f"{call}-{kind}-{seconds}",
            "type": kind,
            "subject": call,
            "time": (at + dt.timedelta(seconds=seconds)).isoformat(),
            "data": data,
        }
        for kind, seconds, data in events
    ]
    assert all(answer["status"] == "accepted" for answer in accept_events(account=account, items=items, at=timezone.now()))
    fold_due(at=timezone.now())


STARTED = ("call.started", -30, {"direction": "inbound", "calling_number": "+8613800138000", "called_number": "+861055500001"})


def ringing(agent, seconds=-1):
    return ("call.ringing", seconds, {"agent": agent.staff_id})


def desks(told):
    return sorted({(topic, *ids.items()) for topic, ids in told if topic.startswith("desk:") and "call" in ids})


def test_the_desk_it_rings_at_is_told_with_the_calls_id_and_nothing_else(account, told):
    agent, other = AgentFactory(account=account), AgentFactory(account=account)
    post(account, STARTED, ringing(agent))
    call = Call.objects.get()
    assert desks(told) == [(f"desk:{agent.pk}", ("call", call.pk))]
    assert (f"account:{account.pk}", {}) in told
    assert f"desk:{other.pk}" not in dict(told)


def test_nobody_is_told_of_a_call_that_rings_nowhere_but_those_who_watch_the_account(account, told):
    AgentFactory(account=account)
    post(account, STARTED)
    assert told == [(f"account:{account.pk}", {})]


def test_a_second_look_at_the_inbox_tells_nobody_again(account, told):
    agent = AgentFactory(account=account)
    post(account, STARTED, ringing(agent))
    told.clear()
    assert fold_due(at=timezone.now()) == 0
    assert told == []


def test_of_a_call_that_was_transferred_both_are_told_while_it_is_recent(account, told):
    first, second = AgentFactory(account=account), AgentFactory(account=account)
    post(
        account,
        STARTED,
        ringing(first, -20),
        ("call.answered", -15, {"agent": first.staff_id}),
        ("call.transferred", -5, {"kind": "blind", "from": first.staff_id, "to_agent": second.staff_id}),
        ringing(second),
    )
    assert {topic for topic, *_ in desks(told)} == {f"desk:{first.pk}", f"desk:{second.pk}"}


def test_old_calls_as_imports_bring_them_pop_up_nowhere(account, told):
    agent = AgentFactory(account=account)
    long_ago = timezone.now() - telling.RECENT - dt.timedelta(seconds=31)
    post(account, STARTED, ringing(agent), at=long_ago)
    assert desks(told) == []


def test_another_accounts_agent_of_the_same_staff_id_is_not_told(account, told):
    agent = AgentFactory(account=account, staff_id="7")
    stranger = AgentFactory(account=AccountFactory(), staff_id="7")
    post(account, STARTED, ringing(agent))
    assert {topic for topic, *_ in desks(told)} == {f"desk:{agent.pk}"}
    assert f"account:{stranger.account_id}" not in dict(told)


def test_a_failure_to_tell_breaks_no_folding(account, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no wire")

    monkeypatch.setattr("calls.telling.publish", fail)
    monkeypatch.setattr("agents.telling.publish", fail)
    agent = AgentFactory(account=account)
    post(account, STARTED, ringing(agent))
    assert Call.objects.get().state == "ringing"


def test_a_pass_that_is_rolled_back_tells_nobody(account, told, monkeypatch):
    agent = AgentFactory(account=account)
    monkeypatch.setattr("calls.ingest.begin_wrap_ups", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        post(account, STARTED, ringing(agent))
    assert told == []


def test_a_status_is_told_to_its_desk_and_to_the_account_whoever_set_it(account, told):
    agent, boss = AgentFactory(account=account), AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    to_the_desk = (f"desk:{agent.pk}", {"status": 1})
    at = timezone.now()
    for change in (
        lambda: change_status(agent=agent, status=Status.AVAILABLE, at=at, source="agent"),
        lambda: plan_break(agent=agent),
        lambda: force_offline(agents=[agent], by=boss, at=at + dt.timedelta(seconds=1)),
        lambda: restore_online(agents=[agent], by=boss, at=at + dt.timedelta(seconds=2)),
    ):
        told.clear()
        change()
        assert to_the_desk in told
        assert (f"account:{account.pk}", {}) in told


def test_who_comes_is_told_once_to_those_who_watch_the_account(account, told):
    agent = AgentFactory(account=account)
    see_agent(agent=agent, at=timezone.now())
    see_agent(agent=agent, at=timezone.now())
    assert told == [(f"account:{account.pk}", {})]
