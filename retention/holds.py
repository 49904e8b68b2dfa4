"""What is under a legal hold, asked by every path that deletes.

A path asks inside the transaction that deletes. Asking there takes the account's gate, which whoever places a hold takes
as well: a hold that stands is seen by every deletion that begins after it, and none is placed in the middle of one.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import unquote_plus

from django.core.exceptions import ValidationError
from django.db import connection, models, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from callcenter_site.celery import nudge
from callcenter_site.erasure import Kept, is_counting_only
from callcenter_site.subjects import Subject, SubjectKind
from calls.envelope import call_key_of
from calls.models import Call, CallLeg, CallSeenBy
from configuration.models import Account
from retention.erasure import KEPT
from retention.ledger import LedgerKind, append
from retention.models import AccountGate, DeletionRequest, HeldCall, LegalHold
from retention.models.holds import number_hash

Kind = LegalHold.Kind

MOST_CALLS = 500
MAY_RELEASE = "retention.change_legalhold"
LINKS = frozenset({"agents.SkillGroupMember"})
"""Who is in which group changes with daily work, and the audit log keeps each change: no hold stops that."""


@dataclass(frozen=True, slots=True)
class Held:
    """What an account's holds keep."""

    is_whole: bool
    """Whether the whole account is under a hold."""
    calls: Q | None
    """True of the calls under one; None: there is no hold at all."""
    numbers: frozenset[str]
    """In their canonical form."""
    agents: frozenset[int]
    days: tuple[tuple[dt.date, dt.date], ...]
    """Local days, first and last, whose data of any kind stays."""

    @property
    def is_any(self) -> bool:
        return self.calls is not None

    def kept(self, calls: Any) -> Any:
        """Of these calls, those under a hold."""
        return calls.none() if self.calls is None else calls.filter(self.calls)

    def free(self, calls: Any) -> Any:
        """Of these calls, those that no hold keeps."""
        return calls if self.calls is None else calls.exclude(self.calls)

    def keeps_day(self, day: dt.date) -> bool:
        return self.is_whole or any(first <= day <= last for first, last in self.days)

    def names(self, subject: Subject) -> bool:
        """Whether a hold names the subject itself, or everything there is."""
        return self.is_whole or bool(self.numbers & subject.numbers) or subject.agent_id in self.agents


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


def has_any(account_id: int) -> bool:
    return bool(open_holds(account_id).exists())


def look(account: Account | int) -> Held:
    """What is under a hold now, read behind the account's gate."""
    enter(account)
    holds = list(open_holds(account))
    calls: Q | None = None
    for hold in holds:
        calls = _calls_of(hold) if calls is None else calls | _calls_of(hold)
    return Held(
        is_whole=any(hold.kind == Kind.ACCOUNT for hold in holds),
        calls=calls,
        numbers=frozenset(hold.number for hold in holds if hold.kind == Kind.NUMBER),
        agents=frozenset(hold.agent_id for hold in holds if hold.kind == Kind.AGENT),
        days=tuple((hold.from_day, hold.to_day) for hold in holds if hold.kind == Kind.DAYS),
    )


def kept(rows: Iterable[models.Model]) -> set[Any]:
    """The ids of those of these rows of one table that a hold keeps: the account's, those that name a held number or agent or
    are part of a held call, and those of held days by their own clock. A row without an account is nobody's."""
    of_accounts: dict[int, list[Any]] = {}
    for row in rows:
        account_id = row.pk if isinstance(row, Account) else getattr(row, "account_id", None)
        if account_id is not None:
            of_accounts.setdefault(account_id, []).append(row)
    found: set[Any] = set()
    for account_id, own in of_accounts.items():
        held = look(account_id)
        if not held.is_any or own[0]._meta.label in LINKS:
            continue
        found |= {row.pk for row in own} if held.is_whole else _kept_in_part(Account.objects.get(pk=account_id), held, own)
    return found


def _kept_in_part(account: Account, held: Held, rows: list[Any]) -> set[Any]:
    line = _lines().get(rows[0]._meta.label)
    if line is None:
        return set()
    numbers = Subject(SubjectKind.NUMBER, account.pk, account.region, numbers=held.numbers)
    calls = held.kept(Call.objects.for_account(account))
    ids = {one for row in rows if isinstance(one := _call_id(row), int)}
    keys = {bytes(row.call_key) for row in rows if getattr(row, "call_key", None)}
    held_ids = set(calls.filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()
    held_keys = {bytes(key) for key in calls.filter(call_key__in=keys).values_list("call_key", flat=True)} if keys else set()
    found = set()
    for row in rows:
        is_part = _call_id(row) in held_ids or bytes(getattr(row, "call_key", None) or b"") in held_keys
        if is_part or _is_of_held_day(account, held, row, line) or any(_names(held, numbers, row, name) for name in line.people):
            found.add(row.pk)
    return found


@cache
def _lines() -> dict[str, Kept]:
    return {line.model: line for line in KEPT}


def _call_id(row: Any) -> Any:
    return row.pk if isinstance(row, Call) else getattr(row, "call_id", None)


def _is_of_held_day(account: Account, held: Held, row: Any, line: Kept) -> bool:
    if not held.days or not line.clock or "__" in line.clock:  # of parts of a call, the call says it
        return False
    said = getattr(row, line.clock)
    day = said.astimezone(account.zone).date() if isinstance(said, dt.datetime) else said
    return day is not None and held.keeps_day(day)


def _names(held: Held, numbers: Subject, row: Any, name: str) -> bool:
    field = row._meta.get_field(name)
    if isinstance(field, models.ForeignKey):
        return issubclass(field.related_model, Agent) and getattr(row, field.attname) in held.agents
    if isinstance(row, Agent):
        return row.pk in held.agents
    if not held.numbers:
        return False
    said = getattr(row, name)
    return numbers.stands_in(said) or (isinstance(said, str) and numbers.is_named(unquote_plus(said)))  # a filter is an address


def is_number_held(*, account: Account | int, number: str) -> bool:
    """Whether a hold names this number, given in its canonical form."""
    enter(account)
    return bool(open_holds(account).filter(number_hash=number_hash(id_of(account), number)).exists())


def calls_of_a_hold(hold: LegalHold, call_ids: Iterable[str]) -> list[Call]:
    """The calls that a hold is placed on, which names them by their IDs if it is one of certain calls."""
    if hold.kind != Kind.CALLS:
        return []
    wanted = list(dict.fromkeys(filter(None, (one.strip() for one in call_ids))))
    if not wanted:
        raise ValidationError(_("Write the calls' IDs."))
    return calls_named(hold.account_id, wanted, most=MOST_CALLS)


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
    """Ends a hold; False: it had ended before. What waited for it goes on at once: requests, and what has expired."""
    with transaction.atomic():
        enter(hold.account_id)
        ended = open_holds(hold.account_id).filter(pk=hold.pk).update(released_at=at, released_by=by)
        if not ended:
            return False
        HeldCall.objects.filter(hold=hold).delete()
        append(kind=LedgerKind.HOLD_RELEASED, account_id=hold.account_id, at=at, store=hold.kind, counts={"hold": hold.pk})
        waited = DeletionRequest.objects.for_account(hold.account_id).filter(state=DeletionRequest.State.HELD)
        waited.update(retry_at=at)
        transaction.on_commit(partial(_go_on, list(waited.values_list("pk", flat=True))))
    hold.released_at, hold.released_by = at, by
    return True


def _go_on(request_ids: list[int]) -> None:
    from retention import tasks  # they call this module

    for request_id in request_ids:
        nudge(tasks.work_on_request, request_id)
    nudge(tasks.purge_expired)


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
