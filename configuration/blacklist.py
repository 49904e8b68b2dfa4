"""Whether a number is blocked, and by which row of the account's blacklist."""

import datetime as dt
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import phonenumbers
from django.db import IntegrityError, transaction
from django.db.models import Q

from callcenter_site.audit import log_rows
from callcenter_site.bulk import insert_rows
from callcenter_site.phone_numbers import canonical, is_broad
from configuration.access import SEE_FULL_NUMBER
from configuration.encryption import blind_index
from configuration.models import Account, AuditEntry, BlockedNumber
from configuration.scoping import AccountQuerySet, Actor

__all__ = [
    "beginnings_of",
    "block_hash",
    "block_numbers",
    "closeness",
    "covering",
    "find_block",
    "insert_blocked",
    "is_broad",
    "rows_covering",
    "sees_numbers",
    "shown",
    "stand_in",
]


def find_block(*, account: Account, number: str, direction: str, at: dt.datetime) -> BlockedNumber | None:
    """The row that blocks a number, written in any form, in this direction at this time: the number itself before a
    prefix, a longer prefix before a shorter one. One query along an index, whatever the length of the list."""
    itself, beginnings = _keys(account, number)
    rows = BlockedNumber.objects.for_account(account).filter(number__in=sorted({*itself, *beginnings})).order_by()
    # The index leaves a handful of rows; to have the rest asked by the database takes longer than to look at them.
    blocking = [
        row
        for row in rows
        if (row.number in beginnings if row.is_prefix else row.number in itself)
        and row.direction in (direction, BlockedNumber.Direction.BOTH)
        and (row.blocked_until is None or row.blocked_until > at)
    ]
    return max(blocking, key=closeness, default=None)


def block_numbers(*, account: Account, rows: Sequence[BlockedNumber], by: Actor) -> list[int | None]:
    """Stores checked rows in few statements, however many; the id of each, None where the list has its number already."""
    for _attempt in range(3):
        try:
            with transaction.atomic():
                return _insert(account, rows, by)
        except IntegrityError:  # somebody else added one of them meanwhile: now it is seen
            pass
    return [None] * len(rows)


def _insert(account: Account, rows: Sequence[BlockedNumber], by: Actor) -> list[int | None]:
    there = _ids_by_key(account, {row.number for row in rows})
    new: dict[tuple[str, bool], BlockedNumber] = {}
    for row in rows:
        if (row.number, row.is_prefix) not in there:
            new.setdefault((row.number, row.is_prefix), row)
    made = insert_blocked(account=account, rows=list(map(_written, new.values())), by=by)
    first = {id(row) for row in new.values()}
    return [made[row.number, row.is_prefix] if id(row) in first else None for row in rows]


WRITTEN = ("account_id", "number", "is_prefix", "direction", "reason", "blocked_until", "created_at")
_written = attrgetter(*WRITTEN)


def insert_blocked(*, account: Account, rows: Sequence[Sequence[Any]], by: Actor) -> dict[tuple[str, bool], int]:
    """Stores rows of values in the order of `WRITTEN`, checked and not in the list yet, with the entries that saving each of
    them would leave; their ids."""
    if not rows:
        return {}
    insert_rows(BlockedNumber, WRITTEN, rows)
    keys = {(number, is_prefix) for _account_id, number, is_prefix, *_others in rows}
    there = _ids_by_key(account, {number for number, _is_prefix in keys})
    made = {key: pk for key, pk in there.items() if key in keys}
    log_rows(BlockedNumber, list(made.values()), actor=by, action=AuditEntry.Action.CREATE, names=WRITTEN[1:])
    return made


def _ids_by_key(account: Account, numbers: set[str]) -> dict[tuple[str, bool], int]:
    found = BlockedNumber.objects.for_account(account).filter(number__in=numbers).order_by()
    return {(number, is_prefix): pk for pk, number, is_prefix in found.values_list("pk", "number", "is_prefix")}


def rows_covering(*, account: Account, number: str) -> AccountQuerySet:
    """Rows whose number is this one, or whose prefix it begins with; in force or not."""
    return BlockedNumber.objects.for_account(account).filter(_one_of(*_keys(account, number))).order_by()


def _keys(account: Account, number: str) -> tuple[set[str], list[str]]:
    """What may stand in the list for a number, written in any form: itself, erased or not, and its beginnings."""
    found = canonical(number, account.region)
    return {found, stand_in(account, found)}, beginnings_of(found, account.region)


def block_hash(account: Account, number: str) -> bytes:
    """Keyed, of a canonical number that was erased and stays blocked."""
    return blind_index(number, account_id=account.pk, context="configuration_blockednumber.number")


def stand_in(account: Account, number: str) -> str:
    """What stands in the list in place of a canonical number that was erased: so it is found along the same index."""
    return f"erased-{block_hash(account, number).hex()[:24]}"


def covering(*, number: str, region: str) -> Q:
    """Rows whose number is this one, or whose prefix it begins with."""
    found = canonical(number, region)
    return _one_of({found}, beginnings_of(found, region))


def _one_of(itself: set[str], beginnings: list[str]) -> Q:
    """One list of numbers for the index to be searched by; by the alternatives alone SQLite would not use it."""
    itself = itself - {""}
    either = Q(number__in=itself, is_prefix=False) | Q(number__in=beginnings, is_prefix=True)
    return Q(number__in=sorted({*itself, *beginnings})) & either


def sees_numbers(actor: Actor) -> bool:
    return actor.has_perm(SEE_FULL_NUMBER)


def shown(row: BlockedNumber, *, to: Actor) -> str:
    """The number or prefix of a row, as far as somebody may see it."""
    return row.written if sees_numbers(to) else row.masked


def closeness(row: BlockedNumber) -> tuple[bool, int]:
    return not row.is_prefix, len(row.number)


def beginnings_of(number: str, region: str) -> list[str]:
    """Every prefix that could stand in the list for a canonical number. A short number such as 10086 has no country code,
    and the prefixes people type for it have."""
    if not number.startswith("+") and number.isdigit():
        number = f"+{phonenumbers.country_code_for_region(region)}{number}"
    return [number[:length] for length in range(len(number) + 1)] if number.startswith("+") else [""]
