"""What is under a legal hold, asked by every path that deletes.

A path asks inside the transaction that deletes. Asking there takes the account's gate, which whoever places a hold takes
as well: a hold that stands is seen by every deletion that begins after it, and none is placed in the middle of one.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from callcenter_site.erasure import is_counting_only
from calls.envelope import call_key_of
from calls.models import Call, CallLeg, CallSeenBy
from configuration.models import Account
from retention.ledger import LedgerKind, append
from retention.models import AccountGate, HeldCall, LegalHold
from retention.models.holds import number_hash

Kind = LegalHold.Kind


class HeldSubjects(NamedTuple):
    """Whom holds name: numbers in their canonical form, ids of agents."""

    numbers: frozenset[str]
    agents: frozenset[int]


def enter(account: Account | int) -> None:
    """Takes the account's gate until the transaction ends; outside of one, does nothing."""
    if connection.in_atomic_block and not is_counting_only():
        gate = AccountGate.objects.for_account(account).order_by().select_for_update().values_list("pk")
        if gate.first() is None:
            AccountGate.objects.get_or_create(account_id=id_of(account))
            gate.first()


def id_of(account: Account | int) -> int:
    return account.pk if isinstance(account, Account) else account


def open_holds(account: Account | int) -> Any:
    return LegalHold.objects.for_account(account).filter(released_at=None)


def is_held(*, account: Account | int) -> bool:
    """Whether the whole account is under a hold."""
    enter(account)
    return bool(open_holds(account).filter(kind=Kind.ACCOUNT).exists())


def held_calls(*, account: Account | int) -> Q:
    """What is true of the calls under a hold; of none where there is no hold."""
    enter(account)
    held = Q(pk__in=[])
    for hold in open_holds(account):
        held |= _calls_of(hold)
    return held


def without_held(calls: Any, account: Account | int) -> Any:
    """Of these calls, those that no hold keeps."""
    return calls.exclude(held_calls(account=account)) if _is_any(account) else calls


def held_subjects(*, account: Account | int) -> HeldSubjects:
    enter(account)
    holds = list(open_holds(account).filter(kind__in=[Kind.NUMBER, Kind.AGENT]))
    return HeldSubjects(
        frozenset(hold.number for hold in holds if hold.kind == Kind.NUMBER),
        frozenset(hold.agent_id for hold in holds if hold.kind == Kind.AGENT),
    )


def is_number_held(*, account: Account | int, number: str) -> bool:
    """Whether a hold names this number, given in its canonical form."""
    enter(account)
    return bool(open_holds(account).filter(number_hash=number_hash(id_of(account), number)).exists())


def held_days(*, account: Account | int) -> list[tuple[dt.date, dt.date]]:
    """Local days, first and last, whose data of any kind stays."""
    enter(account)
    return list(open_holds(account).filter(kind=Kind.DAYS).values_list("from_day", "to_day"))


def calls_named(account: Account | int, call_ids: list[str], *, most: int) -> list[Call]:
    """The account's calls with these IDs, as the platform names them; an error names one that is not there."""
    if len(call_ids) > most:
        raise ValidationError(_("These are %(n)s calls; name at most %(most)s."), params={"n": len(call_ids), "most": most})
    keys = {call_key_of(id_of(account), call_id): call_id for call_id in call_ids}
    found = {bytes(call.call_key): call for call in Call.objects.for_account(account).filter(call_key__in=list(keys))}
    for key, call_id in keys.items():
        if key not in found:
            raise ValidationError(_("There is no call %(id)s."), params={"id": call_id[:60]})
    return list(found.values())


def place(*, hold: LegalHold, calls: Iterable[Call] = (), by: Agent | None, at: dt.datetime) -> LegalHold:
    """Puts a hold, that was cleaned, in force."""
    with transaction.atomic():
        enter(hold.account_id)
        hold.placed_at, hold.placed_by = at, by
        hold.save(force_insert=True)
        held = HeldCall.objects.bulk_create([HeldCall(account_id=hold.account_id, hold=hold, call=call) for call in calls])
        counts = {"hold": hold.pk, **({"calls": len(held)} if held else {})}
        append(kind=LedgerKind.HOLD_PLACED, account_id=hold.account_id, at=at, store=hold.kind, counts=counts)
    return hold


def release(*, hold: LegalHold, by: Agent | None, at: dt.datetime) -> bool:
    """Ends a hold; False: it had ended before. What waited for it goes with the next run and the next try of each request."""
    with transaction.atomic():
        enter(hold.account_id)
        ended = open_holds(hold.account_id).filter(pk=hold.pk).update(released_at=at, released_by=by)
        if not ended:
            return False
        HeldCall.objects.filter(hold=hold).delete()
        append(kind=LedgerKind.HOLD_RELEASED, account_id=hold.account_id, at=at, store=hold.kind, counts={"hold": hold.pk})
    hold.released_at, hold.released_by = at, by
    return True


def _is_any(account: Account | int) -> bool:
    enter(account)
    return bool(open_holds(account).exists())


def _calls_of(hold: LegalHold) -> Q:
    match hold.kind:
        case Kind.ACCOUNT:
            return Q(account_id=hold.account_id)
        case Kind.NUMBER:
            legs = CallLeg.objects.filter(account_id=hold.account_id, call=OuterRef("pk"))
            named = legs.filter(Q(number=hold.number) | Q(transfer_to=hold.number))
            return Q(calling_number=hold.number) | Q(called_number=hold.number) | Q(Exists(named))
        case Kind.AGENT:
            seen = CallSeenBy.objects.filter(account_id=hold.account_id, viewer=hold.agent_id or 0, call=OuterRef("pk"))
            legs = CallLeg.objects.filter(account_id=hold.account_id, transfer_agent=hold.agent_id, call=OuterRef("pk"))
            return Q(agent_id=hold.agent_id) | Q(Exists(seen)) | Q(Exists(legs))
        case Kind.CALLS:
            return Q(Exists(HeldCall.objects.filter(hold=hold, call=OuterRef("pk"))))
        case _:
            return Q(ended_on__range=(hold.from_day, hold.to_day))
