"""What erased calls count for. Counts name nobody and stay when a call is erased on request; but a slot is always counted
again from the facts there are, and would lose it.

So what a call counts for is worked out in the transaction that erases it, and kept per slot; whoever counts a slot adds
it to what the facts say. A call that was still going on is counted as one that was lost at that moment: its end will not
be told any more.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from analytics.metrics import plus
from analytics.models import ErasedCount
from configuration.models import Account

Counts = dict[tuple[Any, ...], dict[str, Any]]
"""Of a slot: the counters by key."""
Counted = Mapping[str, Mapping[dt.datetime, Counts]]
"""By the table's name, slot and key."""


def keep(account: Account, counted: Counted, *, unnamed: Collection[str] = ()) -> None:
    """Adds to what is kept; what counts under a number of `unnamed` counts under none. Runs in the transaction that erases
    what was counted, with the account's counts locked."""
    wanted: dict[dt.datetime, dict[str, Counts]] = defaultdict(dict)
    for table, slots in counted.items():
        for slot, rows in slots.items():
            wanted[slot][table] = _sum({}, rows, unnamed)
    there = {row.slot: row for row in ErasedCount.objects.for_account(account).filter(slot__in=list(wanted)).select_for_update()}
    for slot in sorted(wanted):
        kept = _read(there[slot].counts) if slot in there else {}
        for table, rows in wanted[slot].items():
            kept[table] = _sum(kept.get(table, {}), rows)
        if slot in there:
            ErasedCount.objects.filter(pk=there[slot].pk).update(counts=_written(kept))
        else:
            ErasedCount.objects.create(account=account, slot=slot, counts=_written(kept))


def add_to(
    counted: dict[str, dict[dt.datetime, Counts]], *, account: Account, run: list[dt.datetime]
) -> list[tuple[str, dt.datetime]]:
    """Adds what is kept of these slots to what was counted of them; which tables and slots it was added to."""
    added = []
    wanted = set(run)
    rows = ErasedCount.objects.for_account(account).within(run[0], run[-1] + dt.timedelta(minutes=1))
    for slot, counts in rows.values_list("slot", "counts"):
        if slot not in wanted:
            continue
        for table, kept in _read(counts).items():
            if table in counted:
                counted[table][slot] = _sum(counted[table].get(slot, {}), kept)
                added.append((table, slot))
    return added


def names(counts: Mapping[str, Collection[Any]], numbers: Collection[str]) -> bool:
    """Whether one of the numbers stands in what a row keeps."""
    return any(part in numbers for rows in counts.values() for key, _ in rows for part in key)


def without(counts: Mapping[str, Collection[Any]], numbers: Collection[str]) -> dict[str, Any]:
    """What a row keeps, with what counts under one of the numbers counted under none."""
    return _written({table: _sum({}, rows, numbers) for table, rows in _read(counts).items()})


def _sum(one: Counts, other: Counts, unnamed: Collection[str] = ()) -> Counts:
    result = {key: dict(counts) for key, counts in one.items()}
    for full_key, counts in other.items():
        key = tuple("" if part in unnamed else part for part in full_key)
        known = result.get(key)
        result[key] = dict(counts) if known is None else {name: plus(name, known[name], counts.get(name, 0)) for name in known}
    return result


def _written(kept: Mapping[str, Counts]) -> dict[str, list[Any]]:
    return {table: [[list(key), counts] for key, counts in sorted(rows.items(), key=repr)] for table, rows in kept.items()}


def _read(counts: Mapping[str, Collection[Any]]) -> dict[str, Counts]:
    return {table: {tuple(key): values for key, values in rows} for table, rows in counts.items()}
