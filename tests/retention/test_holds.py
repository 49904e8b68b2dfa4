"""What is under a legal hold stays, and nothing else does."""

import datetime as dt

import pytest
from django.core.exceptions import ValidationError

from calls.models import Call
from retention import holds
from retention.ledger import LedgerKind
from retention.models import HeldCall, LedgerEntry, LegalHold
from tests.factories import AccountFactory, AgentFactory, CallFactory, CallLegFactory

AT = dt.datetime(2026, 7, 16, 2, 0, tzinfo=dt.UTC)
NUMBER = "+8613911112222"


def place(account, kind, calls=(), **fields):
    hold = LegalHold(account=account, kind=kind, reference="7/26", **fields)
    hold.clean()
    return holds.place(hold=hold, calls=calls, by=None, at=AT)


def held(account):
    return set(holds.look(account).kept(Call.objects.for_account(account)))


def free(account):
    return set(holds.look(account).free(Call.objects.for_account(account)))


@pytest.fixture
def calls(account):
    """Some calls, of which the first three have to do with a number, however it was written, as caller, callee and leg."""
    caller = CallFactory(account=account, calling_number=NUMBER)
    callee = CallFactory(account=account, called_number=NUMBER, direction="outbound")
    third = CallFactory(account=account)
    CallLegFactory(call=third, kind="external", number=NUMBER)
    CallFactory(account=account, open=True)
    return [caller, callee, third]


def test_without_a_hold_nothing_is_held(account, calls):
    assert held(account) == set()
    assert len(free(account)) == 4


@pytest.mark.parametrize("written", [NUMBER, "13911112222", "0086 139 1111 2222", "＋８６１３９１１１１２２２２"])
def test_a_hold_on_a_number_keeps_every_call_with_it(account, calls, written):
    place(account, "number", number=written)
    assert held(account) == set(calls)
    assert len(free(account)) == 1
    assert holds.look(account).numbers == {NUMBER}
    assert holds.is_number_held(account=account, number=NUMBER)
    assert not holds.is_number_held(account=account, number="+8613911112223")


def test_a_hold_on_an_agent_keeps_every_call_they_were_offered(account, calls):
    agent = AgentFactory(account=account)
    CallLegFactory(call=calls[0], agent=agent)
    CallLegFactory(call=calls[1], transfer_agent=agent)
    place(account, "agent", agent=agent)
    assert held(account) == set(calls[:2])
    assert holds.look(account).agents == {agent.pk}


def test_a_hold_on_days_keeps_what_ended_on_them(account):
    days = [dt.date(2026, 5, day) for day in (1, 2, 3, 4)]
    made = [CallFactory(account=account, started_at=dt.datetime.combine(day, dt.time(12), account.zone)) for day in days]
    place(account, "days", from_day=days[1], to_day=days[2])
    assert held(account) == set(made[1:3])
    assert free(account) == {made[0], made[3]}


def test_a_hold_on_the_account_keeps_open_calls_as_well(account, calls):
    place(account, "account")
    assert len(held(account)) == 4
    assert free(account) == set()
    assert holds.look(account).is_whole


def test_a_hold_on_certain_calls_keeps_just_these(account, calls):
    place(account, "calls", calls=calls[:1])
    assert held(account) == set(calls[:1])
    assert not holds.look(account).is_whole


def test_another_accounts_hold_keeps_nothing_here(account, calls):
    place(AccountFactory(), "number", number=NUMBER)
    assert held(account) == set()


def test_a_released_hold_keeps_nothing_and_both_are_in_the_ledger(account, calls):
    hold = place(account, "calls", calls=calls[:2])
    assert holds.release(hold=hold, by=None, at=AT)
    assert not holds.release(hold=hold, by=None, at=AT)
    assert held(account) == set()
    assert not HeldCall.objects.exists()
    told = list(LedgerEntry.objects.order_by("position").values_list("kind", "counts"))
    assert told == [
        (LedgerKind.HOLD_PLACED, {"hold": hold.pk, "calls": 2}),
        (LedgerKind.HOLD_RELEASED, {"hold": hold.pk}),
    ]


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("number", {"number": "nobody"}, "number"),
        ("agent", {}, "agent"),
        ("days", {"to_day": dt.date(2026, 1, 1)}, "from_day"),
        ("days", {"from_day": dt.date(2026, 1, 2), "to_day": dt.date(2026, 1, 1)}, "to_day"),
    ],
)
def test_a_hold_says_what_it_is_on(account, kind, fields, field):
    with pytest.raises(ValidationError) as refused:
        LegalHold(account=account, kind=kind, reference="7/26", **fields).clean()
    assert list(refused.value.message_dict) == [field]


def test_the_number_of_a_hold_stands_encrypted(account):
    hold = place(account, "number", number=NUMBER)
    stored = LegalHold.objects.filter(pk=hold.pk).extra(select={"raw": "number"}).values_list("raw", flat=True)[0]
    assert NUMBER.encode() not in bytes(stored)
    assert LegalHold.objects.get(pk=hold.pk).number == NUMBER
