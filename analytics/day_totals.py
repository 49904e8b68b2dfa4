"""Adds the slots of a local day up to its totals.

The totals of a day are always the sums of its slots, so they are a shorter way to the same figures, never other ones. They
are of the account's own zone: after it has moved to another one they are made anew.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db.models import Min

from analytics.erased_counts import Counts
from analytics.models import AgentTotal, CallTotal, FillMark, QueueTotal
from analytics.tables import COUNTERS, MAKES_DAYS, Table, added_up
from callcenter_site.bulk import insert_rows
from callcenter_site.erasure import delete_by_id
from callcenter_site.slots import SLOT, day_bounds
from configuration.models import Account


def days_to(account: Account, mark: FillMark | None) -> dt.date | None:
    """The local day before which days have their totals; None: none have, or those of another zone."""
    return mark.days_to if mark is not None and mark.zone == account.time_zone else None


BEFORE_ALL = dt.date(1970, 1, 1)


def next_day(account: Account, day: dt.date) -> dt.date | None:
    """The first local day from this one on of which anything is counted."""
    firsts = []
    for table in (CallTotal, QueueTotal, AgentTotal):
        slots = table.objects.for_account(account)
        if day > BEFORE_ALL:
            slots = slots.filter(slot__gte=day_bounds(day, account.zone)[0])
        firsts.append(slots.aggregate(first=Min("slot"))["first"])
    return min((slot.astimezone(account.zone).date() for slot in firsts if slot is not None), default=None)


def sum_touched_days(
    account: Account, mark: FillMark | None, changed: dict[Any, set[dt.datetime]], checked: Sequence[dt.datetime]
) -> set[dt.date]:
    """Brings the totals of days up to date that have some: where slots have changed, and of the days that end among the
    slots checked. Those that were not what they are now."""
    known_to, zone = days_to(account, mark), account.zone
    if known_to is None:
        return set()
    touched: dict[dt.date, dict[Any, Table]] = defaultdict(dict)
    for model, slots in changed.items():
        if model in MAKES_DAYS:
            for day in {slot.astimezone(zone).date() for slot in slots}:
                touched[day][model] = MAKES_DAYS[model]
    for day in {slot.astimezone(zone).date() for slot in checked}:
        if checked[0] < day_bounds(day, zone)[1] <= checked[-1] + SLOT:
            touched[day] = MAKES_DAYS
    return {day for day, tables in sorted(touched.items()) if day < known_to and sum_day(account, day, tables)}


def sum_day(account: Account, day: dt.date, tables: dict[Any, Table]) -> bool:
    """Adds up the slots of a day; whether that is something new."""
    start, end = day_bounds(day, account.zone)
    is_new = False
    for table in tables.values():
        names, n_keys = COUNTERS[table.slots], len(table.keys)
        rows = table.slots.objects.for_account(account).within(start, end).order_by()
        summed: Counts = {}
        for row in rows.values(*table.keys).annotate(**added_up(names)).values_list(*table.keys, *names):
            counts = {
                name: round(value, 3) if isinstance(value, float) else value
                for name, value in zip(names, row[n_keys:], strict=True)
            }
            summed[tuple(row[:n_keys])] = counts
        stored: Counts = {}
        ids: dict[tuple[Any, ...], int] = {}
        surplus: list[int] = []
        for pk, *values in table.days.objects.for_account(account).on_days(day, day).values_list("pk", *table.keys, *names):
            key = tuple(values[:n_keys])
            if key in ids:
                surplus.append(pk)
            else:
                stored[key], ids[key] = dict(zip(names, values[n_keys:], strict=True)), pk
        differing = {key for key in {*summed, *stored} if summed.get(key) != stored.get(key)}
        if differing or surplus:
            is_new = True
            delete_by_id(table.days, [*surplus, *(ids[key] for key in differing if key in ids)])
            insert_rows(
                table.days,
                ("account_id", "day", *table.keys, *names),
                ((account.pk, day, *key, *summed[key].values()) for key in differing if key in summed),
            )
    return is_new
