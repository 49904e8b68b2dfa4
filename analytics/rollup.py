"""Counts calls, queues and agents into 15-minute slots, and adds slots up to local days.

A slot is always counted again from the facts, never added to: calls by when they started, queue entries by when they
were entered, agents' legs by when they were answered, agents' time by the wall clock. So late, doubled or reordered
events, a second run and a run cut short all end in the same rows. Whoever changes a call leaves a `StaleCallSlot` mark in
the same transaction, whoever changes what agents did a `StaleAgentTime`; a mark is deleted only together with the rows
that were counted after it was read.

Time passes without a mark: the slot of now, and those since the last fill, are counted again every half minute, with what
still goes on up to now. A local day is added up once it is over, and again whenever one of its slots changes; where its
totals are not there (today, or while days of another time zone are made), reports read the slots. So totals of days are
a shorter way to the same figures, never other ones.

One worker fills an account at a time: the account's `FillMark` row is locked for the transaction (MariaDB), or the whole
transaction is (SQLite). Erasing calls leaves no mark. What calls erased on request count for is kept beside the facts and
added to them (`analytics/erased_counts.py`), and a rebuild keeps what was counted where fewer facts are left than were
counted, as after a purge: erased calls are never uncounted.

Targets and short-abandon limits are those in force when a slot is counted. After one was changed, the nightly recount
brings the last days up to date, and `rebuild_intervals` any others.
"""

import datetime as dt
import logging
import time
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, Max, Min, Model, OuterRef, Q, Subquery, Sum
from django.utils import timezone

from agents.models import SkillGroup, StaleAgentTime, StatusChange
from analytics import erased_counts
from analytics.erased_counts import Counts
from analytics.metrics import ANSWERED_WAITS, MAXIMA, WAIT_EDGES, WAITED, Source, plus
from analytics.models import (
    AgentDay,
    AgentInterval,
    AgentTotal,
    CallDay,
    CallInterval,
    CallTotal,
    DispositionDay,
    DispositionInterval,
    FillMark,
    GroupDay,
    GroupTotal,
    ProviderDay,
    ProviderInterval,
    QueueDay,
    QueueInterval,
    QueueTotal,
)
from callcenter_site.bulk import insert_rows
from callcenter_site.erasure import delete_rows
from callcenter_site.slots import SLOT, SLOT_SECONDS, day_bounds, slot_of, slots_between
from calls.activity import Activity, Doings, derive, doings_within
from calls.models import Call, CallLeg, Direction, EntryOutcome, LegKind, LegResult, Outcome, QueueEntry, StaleCallSlot
from configuration.models import Account

log = logging.getLogger(__name__)

RECOUNT_DAYS = 8
MARKS_PER_PASS = 20_000
SLOTS_PER_RUN = 96
"""Slots read and replaced in one transaction: a day."""
GAP_READ_OVER = 4
"""Unmarked slots between marked ones that are cheaper to read along than to start another query for."""
DELETED_AT_ONCE = 500
OPEN_TIME_EVERY = dt.timedelta(seconds=30)
"""How old the time of agents who are there may be."""
LONGEST_STALE = dt.timedelta(days=200)
"""Nothing is kept for longer, so nothing before is counted again."""
BACKLOG_AT_ONCE = dt.timedelta(days=1)
SHORT_CALL_SECONDS = 10
SATISFIED_SHARE = 0.8
RATING_SCALE = 5


# --- The tables ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """A table of slots, what its rows are counted by, and where its local days stand."""

    source: Source
    slots: Any
    days: Any
    keys: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    """Counters that only grow less when facts were erased."""


_CALLS = ("n_calls", "n_blocked")
_QUEUES = ("n_entries", "n_at_once")
_STATES: dict[str, str] = {
    Activity.AVAILABLE.value: "available_seconds",
    Activity.RINGING.value: "ringing_seconds",
    Activity.ON_CALL.value: "on_call_seconds",
    Activity.ACW.value: "acw_seconds",
    Activity.NOT_READY.value: "not_ready_seconds",
    Activity.BREAK.value: "break_seconds",
}
_AGENTS = ("n_offers", "n_legs", *_STATES.values())

TABLES: tuple[Table, ...] = (
    Table(Source.CALLS, CallTotal, CallDay, (), _CALLS),
    Table(Source.CALLS, CallInterval, CallDay, ("direction", "service_number"), _CALLS),
    Table(Source.CALLS, ProviderInterval, ProviderDay, ("direction", "provider"), _CALLS),
    Table(Source.CALLS, DispositionInterval, DispositionDay, ("direction", "disposition"), _CALLS),
    Table(Source.QUEUES, QueueTotal, GroupDay, (), _QUEUES),
    Table(Source.QUEUES, GroupTotal, GroupDay, ("skill_group_id",), _QUEUES),
    Table(Source.QUEUES, QueueInterval, QueueDay, ("skill_group_id", "direction", "service_number"), _QUEUES),
    Table(Source.AGENTS, AgentTotal, AgentDay, (), _AGENTS),
    Table(Source.AGENTS, AgentInterval, AgentDay, ("agent_id",), _AGENTS),
)
"""In the order in which reports should try them: of each source the fewest rows first."""
_OF_AGENTS = tuple(table for table in TABLES if table.source is Source.AGENTS)
_MAKES_DAYS = {
    table.slots: table
    for table in TABLES
    if table.slots in (CallInterval, ProviderInterval, DispositionInterval, GroupTotal, QueueInterval, AgentInterval)
}
"""Those whose rows are summed to days, each into a table of its own."""


def counters_of(model: type[Model]) -> tuple[str, ...]:
    """The columns of a table of counts that add up, in the order they are declared."""
    return tuple(
        field.name
        for field in model._meta.concrete_fields
        if field.name.startswith("n_") or field.name.endswith(("_seconds", "_sum"))
    )


_COUNTERS: dict[Any, tuple[str, ...]] = {table.slots: counters_of(table.slots) for table in TABLES}


def added_up(names: Iterable[str]) -> dict[str, Any]:
    """How the database adds up counters of several rows."""
    return {name: Max(name) if name in MAXIMA else Sum(name) for name in names}


# --- Filling ---------------------------------------------------------------------------------------------------------


def drain_stale_slots(*, at: dt.datetime, limit: int = MARKS_PER_PASS) -> int:
    """Counts the marked slots again, oldest marks first; how many slots. Call it until it returns 0 to empty the marks.

    Slots of an account that another worker fills at this moment are left to it.
    """
    marked: dict[int, set[dt.datetime]] = defaultdict(set)
    n_read = 0
    for account_id, slot in StaleCallSlot.objects.order_by("pk").values_list("account_id", "slot")[:limit]:
        marked[account_id].add(slot)
        n_read += 1
    moved = set(StaleAgentTime.objects.order_by("pk").values_list("account_id", flat=True)[:limit])
    n_filled = 0
    for account in Account.objects.filter(pk__in=moved | set(marked)).order_by("pk"):
        n_filled += _drain_account(
            account, marked[account.pk], at=at, is_whole=n_read < limit, has_moved=account.pk in moved, limit=limit
        )
    for mark in FillMark.objects.select_related("account").order_by("pk"):
        n_filled += _keep_up(mark.account, mark, at=at)
    return n_filled


def _drain_account(
    account: Account, slots: set[dt.datetime], *, at: dt.datetime, is_whole: bool, has_moved: bool, limit: int
) -> int:
    """`is_whole`: once these slots are counted everything is; else more marks are waiting."""
    started = time.monotonic()
    FillMark.objects.get_or_create(account=account)
    n_filled = 0
    for run in _runs(slots):
        with transaction.atomic():
            mark = _lock(account, wait=False)
            if mark is None:
                return n_filled
            # Read before the facts: what is marked after this is counted again next time.
            marks = StaleCallSlot.objects.for_account(account).filter(slot__in=run).order_by("pk")
            mark_ids = list(marks.values_list("pk", flat=True)[:MARKS_PER_PASS])
            if not mark_ids:
                continue
            _refill(account, run, mark=mark, at=at)
            _forget(StaleCallSlot, mark_ids)
            n_filled += len(run)
    if has_moved:
        n_filled += _drain_agents(account, at=at, limit=limit)
    fresh: dict[str, Any] = {"n_slots": n_filled, "seconds": round(time.monotonic() - started, 3)}
    if is_whole:
        fresh["filled_at"] = at
    FillMark.objects.for_account(account).update(**fresh)
    return n_filled


def _drain_agents(account: Account, *, at: dt.datetime, limit: int) -> int:
    """Counts the agents of stretches again in which what they did has changed; how many slots."""
    marks = StaleAgentTime.objects.for_account(account).order_by("pk")
    rows = list(marks.values_list("pk", "started_at", "ended_at")[:limit])
    slots: set[dt.datetime] = set()
    for _pk, start, ended_at in rows:
        # Open or of tomorrow: what is not over yet is counted as it passes.
        end = min(ended_at or at, at)
        slots.update(slots_between(max(start, end - LONGEST_STALE), end))
    runs = list(_runs(slots))
    for run in runs:
        with transaction.atomic():
            mark = _lock(account, wait=False)
            if mark is None:
                return 0
            _refill(account, run, mark=mark, at=at, tables=_OF_AGENTS)
    # A mark that was made meanwhile is another row. Cut off before this, the same slots are only counted once more.
    _forget(StaleAgentTime, [pk for pk, _start, _end in rows])
    return sum(map(len, runs))


def _forget(marks: type[Model], ids: Sequence[int]) -> None:
    for first in range(0, len(ids), DELETED_AT_ONCE):
        delete_rows(marks._default_manager.filter(pk__in=ids[first : first + DELETED_AT_ONCE]))


def _keep_up(account: Account, mark: FillMark, *, at: dt.datetime) -> int:
    """What comes due by itself: time that passed, days that are over, tables that are younger than their slots."""
    if mark.agents_to is None or at - mark.agents_to >= OPEN_TIME_EVERY:
        passed = slots_between(max(mark.agents_to or at, at - LONGEST_STALE), at)
        for run in _runs(passed):
            with transaction.atomic():
                held = _lock(account, wait=False)
                if held is None:
                    return 0
                _refill(account, run, mark=held, at=at, tables=_OF_AGENTS)
                _set(account, agents_to=min(at, run[-1] + SLOT))
    n_filled = _work_off_backlog(account, at=at) if mark.backlog_to is not None else 0
    known_to = days_to(account, mark)
    if known_to is None or known_to < at.astimezone(account.zone).date():  # on most looks no day is over that was not before
        _close_days(account, at=at)
    return n_filled


def _work_off_backlog(account: Account, *, at: dt.datetime) -> int:
    first_call = Call.objects.for_account(account).aggregate(first=Min("started_at"))["first"]
    first_status = StatusChange.objects.for_account(account).aggregate(first=Min("started_at"))["first"]
    first = min((moment for moment in (first_call, first_status) if moment is not None), default=None)
    with transaction.atomic():
        mark = _lock(account, wait=False)
        if mark is None or mark.backlog_to is None:
            return 0
        if first is None or mark.backlog_to <= max(first, at - LONGEST_STALE):
            _set(account, backlog_to=None)
            return 0
        start = slot_of(mark.backlog_to - BACKLOG_AT_ONCE)
        run = list(slots_between(start, mark.backlog_to))
        _refill(account, run, mark=mark, at=at, keep_erased=True)
        _set(account, backlog_to=start)
    return len(run)


def recount(*, account: Account, at: dt.datetime, days: int = RECOUNT_DAYS) -> int:
    """Counts the last days again and repairs what differs; how many slots and totals of days had drifted without a mark.
    It should be 0."""
    n_drifted = 0
    FillMark.objects.get_or_create(account=account)
    for run in _runs(slots_between(at - dt.timedelta(days=days), at)):
        with transaction.atomic():
            mark = _lock(account, wait=True)
            refilled = _refill(account, run, mark=mark, at=at, sums_all_days=True)
            # Read after the facts: a call that changed while they were read has left its mark by now.
            marked = set(
                StaleCallSlot.objects.for_account(account).filter(slot__in=refilled.changed).values_list("slot", flat=True)
            )
            is_moving = StaleAgentTime.objects.for_account(account).exists()
        passing = slot_of(at)
        drifted = {slot for slot in refilled.changed - marked - refilled.agents_only if slot != passing}
        if mark is None or mark.backlog_to is not None:
            drifted = set()  # tables that are younger than their slots are being filled
        elif not is_moving:
            filled_to = slot_of(mark.agents_to) if mark.agents_to is not None else run[0]
            drifted |= {slot for slot in refilled.agents_only - marked if slot < filled_to}
        n_days = 0 if refilled.changed else len(refilled.days)
        if drifted or n_days:
            log.warning(
                "account %s: %s slots and %s days had drifted, from %s", account.pk, len(drifted), n_days, run[0].isoformat()
            )
        n_drifted += len(drifted) + n_days
    _set(account, recounted_at=at, n_drifted=n_drifted)
    return n_drifted


def recount_all(*, at: dt.datetime) -> int:
    """Recounts the last days of every account; how many slots had drifted."""
    return sum(recount(account=account, at=at) for account in Account.objects.order_by("pk"))


@dataclass(frozen=True, slots=True)
class Refilled:
    """What became of a run of slots."""

    n_slots: int
    changed: set[dt.datetime]
    kept: set[dt.datetime]
    """Left as they were, for fewer facts are there than were counted."""
    agents_only: set[dt.datetime]
    """Those changed in nothing but what agents did."""
    days: set[dt.date]
    """Days whose totals were not what they are now."""


def rebuild(
    *, account: Account, start: dt.datetime, end: dt.datetime, at: dt.datetime, force: bool = False
) -> Iterator[Refilled]:
    """Counts the slots of `[start, end)` again, a transaction for each run, while the portal serves.

    Where fewer calls are left than were counted, calls have been erased: those slots keep their counts unless forced.
    """
    FillMark.objects.get_or_create(account=account)
    for run in _runs(slots_between(start, end)):
        with transaction.atomic():
            mark = _lock(account, wait=True)
            refilled = _refill(account, run, mark=mark, at=at, keep_erased=not force, sums_all_days=True)
        yield refilled


def keep_counts(*, account: Account, call_ids: Collection[int], unnamed: Collection[str] = ()) -> None:
    """Keeps what calls count for, in the transaction that erases them. They have ended, or count as if they had.

    `unnamed` are numbers that must not be kept: what counts under one of them counts under none. Of agents the
    difference is kept that the calls make: what they did while they were on them is no longer told by anything.
    """
    FillMark.objects.get_or_create(account=account)
    _lock(account, wait=True)
    calls = Call.objects.for_account(account).filter(pk__in=list(call_ids))
    entries = QueueEntry.objects.for_account(account).filter(call_id__in=list(call_ids))
    legs = list(_answered_legs(account).filter(call_id__in=list(call_ids)))
    counted: dict[Any, dict[dt.datetime, Counts]] = {
        **_count_calls(calls),
        QueueInterval: _count_queues(account, entries, legs),
        AgentInterval: _made_by(account, call_ids),
    }
    erased_counts.keep(account, {_KEPT_AS[model]: slots for model, slots in counted.items()}, unnamed=unnamed)


_KEPT_AS = {
    CallInterval: "calls",
    ProviderInterval: "providers",
    DispositionInterval: "dispositions",
    QueueInterval: "queues",
    AgentInterval: "agents",
}
"""What the tables are called in `ErasedCount`."""


def _made_by(account: Account, call_ids: Collection[int]) -> dict[dt.datetime, Counts]:
    """What the counts of agents are more, or less, for these calls."""
    at = timezone.now()
    slots: set[dt.datetime] = set()
    for started_at, *ends in Call.objects.filter(pk__in=list(call_ids)).values_list("started_at", "ended_at", "last_event_at"):
        slots.add(slot_of(started_at))
        slots.update(slots_between(started_at, min(max(end for end in ends if end), started_at + LONGEST_STALE)))
    legs = CallLeg.objects.filter(call_id__in=list(call_ids), kind=LegKind.AGENT)
    for offered_at, *ends in legs.values_list("offered_at", "ended_at", "wrap_up_ended_at"):
        end = max((end for end in ends if end), default=min(at, offered_at + SLOT))
        slots.update(slots_between(offered_at, min(end, offered_at + LONGEST_STALE)))
    made: dict[dt.datetime, Counts] = defaultdict(dict)
    for run in _runs(slots):
        window = (run[0], run[-1] + SLOT)
        found = [_count_agents(account, *window, set(run), at, without=out) for out in ((), call_ids)]
        for slot in run:
            whole, rest = (one.get(slot, {}) for one in found)
            for key in {*whole, *rest}:
                names = _COUNTERS[AgentInterval]
                difference = {name: round(whole.get(key, {}).get(name, 0) - rest.get(key, {}).get(name, 0), 3) for name in names}
                if any(difference.values()):
                    made[slot][key] = difference
    return made


def count_under_no_number(model: Any, *, account: Account, ids: Collection[int]) -> int:
    """Adds counts that stand under a number to those under none, and forgets the number; how many rows had one."""
    FillMark.objects.get_or_create(account=account)
    _lock(account, wait=True)
    table = next(table for table in TABLES if "service_number" in table.keys and model in (table.slots, table.days))
    keys = ("slot" if model is table.slots else "day", *(name for name in table.keys if name != "service_number"))
    n_rows = 0
    for row in model.objects.for_account(account).filter(pk__in=list(ids)):
        mine = model.objects.filter(pk=row.pk)
        same = {name: getattr(row, name) for name in keys}
        there = model.objects.for_account(account).filter(service_number="", **same).first()
        if there is None:
            n_rows += mine.update(service_number="")
        else:
            sums = {name: plus(name, getattr(there, name), getattr(row, name)) for name in _COUNTERS[table.slots]}
            model.objects.filter(pk=there.pk).update(**sums)
            n_rows += delete_rows(mine)
    return n_rows


def _lock(account: Account, *, wait: bool) -> FillMark | None:
    """Holds the account's counts until the transaction ends; None if another worker has them and we do not wait."""
    skip = not wait and connection.features.has_select_for_update_skip_locked
    return FillMark.objects.for_account(account).select_for_update(skip_locked=skip).first()


def _set(account: Account, **values: Any) -> None:
    FillMark.objects.for_account(account).update(**values)


def _runs(slots: Iterable[dt.datetime]) -> Iterator[list[dt.datetime]]:
    """Slots that lie close together, in order, so that their facts are read as one range."""
    run: list[dt.datetime] = []
    for slot in sorted(slots):
        if run and (slot - run[-1] > SLOT * GAP_READ_OVER or slot - run[0] >= SLOT * SLOTS_PER_RUN):
            yield run
            run = []
        run.append(slot)
    if run:
        yield run


def _refill(
    account: Account,
    run: list[dt.datetime],
    *,
    mark: FillMark | None,
    at: dt.datetime,
    keep_erased: bool = False,
    tables: Sequence[Table] = TABLES,
    sums_all_days: bool = False,
) -> Refilled:
    """Counts the slots from the facts and replaces the rows of those that differ from what is stored."""
    wanted = set(run)
    changed: dict[Any, set[dt.datetime]] = {}
    kept: set[dt.datetime] = set()
    counted = _count(account, run[0], run[-1] + SLOT, wanted, at, tables)
    for table in tables:
        found = counted[table.slots]
        stored, stored_ids = _stored(table, account, run)
        differing = {slot for slot in wanted if found.get(slot, {}) != stored.get(slot, {})}
        if keep_erased:
            gone = {slot for slot in differing if _total(found.get(slot), table.guards) < _total(stored.get(slot), table.guards)}
            kept |= gone
            differing -= gone
        if differing:
            _forget(table.slots, [pk for slot in differing for pk in stored_ids.get(slot, ())])
            insert_rows(
                table.slots,
                ("account_id", "slot", *table.keys, *_COUNTERS[table.slots]),
                (
                    (account.pk, slot, *key, *counts.values())
                    for slot in sorted(differing)
                    for key, counts in found.get(slot, {}).items()
                ),
            )
            changed[table.slots] = differing
    others: set[dt.datetime] = set().union(
        *(slots for model, slots in changed.items() if model not in (AgentTotal, AgentInterval))
    )
    everything: set[dt.datetime] = set().union(*changed.values())
    days = _sum_touched_days(account, mark, changed, run if sums_all_days else ())
    return Refilled(len(run), everything, kept, everything - others, days)


def _stored(
    table: Table, account: Account, run: list[dt.datetime]
) -> tuple[dict[dt.datetime, Counts], dict[dt.datetime, list[int]]]:
    n_keys, names = len(table.keys), _COUNTERS[table.slots]
    rows: dict[dt.datetime, Counts] = defaultdict(dict)
    ids: dict[dt.datetime, list[int]] = defaultdict(list)
    wanted = set(run)
    columns = ("pk", "slot", *table.keys, *names)
    for pk, slot, *rest in table.slots.objects.for_account(account).within(run[0], run[-1] + SLOT).values_list(*columns):
        if slot in wanted:
            rows[slot][tuple(rest[:n_keys])] = dict(zip(names, rest[n_keys:], strict=True))
            ids[slot].append(pk)
    # Two rows of one key can only be a fault of the past; making them differ has them replaced by one.
    for slot, of_slot in rows.items():
        if len(of_slot) != len(ids[slot]):
            of_slot[("doubled",)] = dict.fromkeys(names, 0)
    return rows, ids


def _total(rows: Counts | None, names: tuple[str, ...]) -> float:
    total: float = sum(counts[name] for counts in (rows or {}).values() for name in names)
    return round(total, 3)


# --- Local days ------------------------------------------------------------------------------------------------------


def days_to(account: Account, mark: FillMark | None) -> dt.date | None:
    """The local day before which days have their totals; None: none have, or those of another zone."""
    return mark.days_to if mark is not None and mark.zone == account.time_zone else None


_BEFORE_ALL = dt.date(1970, 1, 1)


def _close_days(account: Account, *, at: dt.datetime) -> None:
    """Adds up the days that are over, oldest first. After the account has moved to another zone all are made anew."""
    zone = account.zone
    while True:
        with transaction.atomic():
            mark = _lock(account, wait=False)
            if mark is None or mark.agents_to is None:
                return
            if days_to(account, mark) is None:
                for table in _MAKES_DAYS.values():
                    delete_rows(table.days.objects.for_account(account))
                _set(account, zone=account.time_zone, days_to=_BEFORE_ALL)
                continue
            today = min(at, mark.agents_to).astimezone(zone).date()
            if mark.days_to is None or mark.days_to >= today:
                return
            day = min(_next_day(account, mark.days_to) or today, today)
            if day < today:
                _sum_day(account, day, _MAKES_DAYS)
                day += dt.timedelta(days=1)
            _set(account, days_to=day)


def _next_day(account: Account, day: dt.date) -> dt.date | None:
    """The first local day from this one on of which anything is counted."""
    firsts = []
    for table in (CallTotal, QueueTotal, AgentTotal):
        slots = table.objects.for_account(account)
        if day > _BEFORE_ALL:
            slots = slots.filter(slot__gte=day_bounds(day, account.zone)[0])
        firsts.append(slots.aggregate(first=Min("slot"))["first"])
    return min((slot.astimezone(account.zone).date() for slot in firsts if slot is not None), default=None)


def _sum_touched_days(
    account: Account, mark: FillMark | None, changed: dict[Any, set[dt.datetime]], checked: Sequence[dt.datetime]
) -> set[dt.date]:
    """Brings the totals of days up to date that have some: where slots have changed, and of the days that end among the
    slots checked. Those that were not what they are now."""
    known_to, zone = days_to(account, mark), account.zone
    if known_to is None:
        return set()
    touched: dict[dt.date, dict[Any, Table]] = defaultdict(dict)
    for model, slots in changed.items():
        if model in _MAKES_DAYS:
            for day in {slot.astimezone(zone).date() for slot in slots}:
                touched[day][model] = _MAKES_DAYS[model]
    for day in {slot.astimezone(zone).date() for slot in checked}:
        if checked[0] < day_bounds(day, zone)[1] <= checked[-1] + SLOT:
            touched[day] = _MAKES_DAYS
    return {day for day, tables in sorted(touched.items()) if day < known_to and _sum_day(account, day, tables)}


def _sum_day(account: Account, day: dt.date, tables: dict[Any, Table]) -> bool:
    """Adds up the slots of a day; whether that is something new."""
    start, end = day_bounds(day, account.zone)
    is_new = False
    for table in tables.values():
        names, n_keys = _COUNTERS[table.slots], len(table.keys)
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
            _forget(table.days, [*surplus, *(ids[key] for key in differing if key in ids)])
            insert_rows(
                table.days,
                ("account_id", "day", *table.keys, *names),
                ((account.pk, day, *key, *summed[key].values()) for key in differing if key in summed),
            )
    return is_new


# --- Counting --------------------------------------------------------------------------------------------------------


class _Tally:
    """Counts being made: per slot and key, whole numbers only (times in milliseconds), so that no order of adding matters.

    Texts that differ in letter case are one, as they are to MariaDB's constraints.
    """

    def __init__(self, model: type[Model]) -> None:
        self._names = _COUNTERS[model]
        self._counts: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._spelling: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def at(self, slot: dt.datetime, *key: Any) -> dict[str, Any]:
        folded = (slot, *(_folded(part) if isinstance(part, str) else part for part in key))
        counts = self._counts.get(folded)
        if counts is None:
            counts = self._counts[folded] = dict.fromkeys(self._names, 0)
            self._spelling[folded] = key
        elif self._spelling[folded] != key:
            self._spelling[folded] = min(self._spelling[folded], key, key=str)
        return counts

    def by_slot(self) -> dict[dt.datetime, Counts]:
        result: dict[dt.datetime, Counts] = defaultdict(dict)
        times = [name for name in self._names if name.endswith(("_seconds", "_sum"))]
        for folded, counts in self._counts.items():
            for name in times:
                counts[name] = counts[name] / 1000
            result[folded[0]][self._spelling[folded]] = counts
        return result


@lru_cache(maxsize=10_000)
def _folded(text: str) -> str:
    """Without case, accents, width and spaces at the end, which MariaDB does not tell apart either."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).rstrip()


def _summed(counted: dict[dt.datetime, Counts], *, n_keys: int) -> dict[dt.datetime, Counts]:
    """The counts of each slot added up over all but the first keys."""
    result: dict[dt.datetime, Counts] = {}
    for slot, rows in counted.items():
        sums = result[slot] = {}
        for key, counts in rows.items():
            known = sums.get(key[:n_keys])
            if known is None:
                sums[key[:n_keys]] = dict(counts)
                continue
            for name, value in counts.items():
                if value:
                    known[name] = plus(name, known[name], value)
    return result


def _count(
    account: Account,
    start: dt.datetime,
    end: dt.datetime,
    wanted: set[dt.datetime],
    at: dt.datetime,
    tables: Sequence[Table],
) -> dict[Any, dict[dt.datetime, Counts]]:
    """The counts of each of the tables."""
    legs = list(_answered_legs(account).filter(answered_at__gte=start, answered_at__lt=end))
    counted: dict[Any, dict[dt.datetime, Counts]] = {AgentInterval: _count_agents(account, start, end, wanted, at, legs)}
    if tables is not _OF_AGENTS:
        counted |= _count_calls(Call.objects.for_account(account).started_within(start, end), wanted)
        entries = QueueEntry.objects.for_account(account).filter(entered_at__gte=start, entered_at__lt=end)
        counted[QueueInterval] = _count_queues(account, entries, legs, wanted)
    _add_erased(counted, account, sorted(wanted))
    counted[AgentTotal] = _summed(counted[AgentInterval], n_keys=0)
    if tables is not _OF_AGENTS:
        counted[CallTotal] = _summed(counted[CallInterval], n_keys=0)
        counted[GroupTotal] = _summed(counted[QueueInterval], n_keys=1)
        counted[QueueTotal] = _summed(counted[GroupTotal], n_keys=0)
    return counted


def _add_erased(counted: dict[Any, dict[dt.datetime, Counts]], account: Account, run: list[dt.datetime]) -> None:
    """Adds what erased calls count for. Where what an agent did has changed since, a difference may be more than there is:
    nothing counts less than nothing."""
    by_name = {_KEPT_AS[model]: slots for model, slots in counted.items()}
    for table, slot in erased_counts.add_to(by_name, account=account, run=run):
        model = next(model for model, name in _KEPT_AS.items() if name == table)
        names = _COUNTERS[model]
        rows = {key: {name: max(0, counts.get(name, 0)) for name in names} for key, counts in by_name[table][slot].items()}
        counted[model][slot] = {key: counts for key, counts in rows.items() if any(counts.values())}


# --- Calls, by when they started


def _count_calls(rows: Any, wanted: Collection[dt.datetime] | None = None) -> dict[Any, dict[dt.datetime, Counts]]:
    """`wanted`: these slots; None: all."""
    entries = QueueEntry.objects.filter(call_id=OuterRef("pk"))
    legs = CallLeg.objects.filter(call_id=OuterRef("pk"), kind=LegKind.AGENT)
    calls = rows.order_by().annotate(
        has_queued=Exists(entries), has_waited=Exists(entries.filter(outcome__in=_WAITED)), has_rung=Exists(legs)
    )
    tallies = {model: _Tally(model) for model in (CallInterval, ProviderInterval, DispositionInterval)}
    for row in calls.values_list(*_CALL_COLUMNS, named=True).iterator(chunk_size=5000):
        slot = slot_of(row.started_at)
        if wanted is None or slot in wanted:
            direction = row.direction
            counts = _counts_of_call(row)
            for model, key in (
                (CallInterval, _service_number(direction, row.calling_number, row.called_number)),
                (ProviderInterval, row.provider),
                (DispositionInterval, row.disposition),
            ):
                sums = tallies[model].at(slot, direction, key)
                for name, value in counts:
                    sums[name] += value
    return {model: tally.by_slot() for model, tally in tallies.items()}


_WAITED = (EntryOutcome.ANSWERED, EntryOutcome.ABANDONED, EntryOutcome.FLOW_OUT)
_CALL_COLUMNS = (
    "started_at",
    "direction",
    "calling_number",
    "called_number",
    "provider",
    "disposition",
    "outcome",
    "answered_at",
    "ended_at",
    "ivr_entered_at",
    "n_transfers",
    "ivr_seconds",
    "wait_seconds",
    "talk_seconds",
    "hold_seconds",
    "wrap_up_seconds",
    "rating_asked",
    "rating_score",
    "rating_scale",
    "has_queued",
    "has_waited",
    "has_rung",
)
_TIMES = ("talk_seconds", "hold_seconds", "wrap_up_seconds")
_BY_OUTCOME = {
    Outcome.ABANDONED_IN_IVR.value: "n_abandoned_in_ivr",
    Outcome.ABANDONED_IN_QUEUE.value: "n_abandoned_in_queue",
    Outcome.ABANDONED_WHILE_RINGING.value: "n_abandoned_ringing",
    Outcome.SELF_SERVED.value: "n_self_served",
    Outcome.VOICEMAIL.value: "n_voicemail",
}
_SERVED = frozenset({Outcome.SELF_SERVED, Outcome.FORWARDED, Outcome.VOICEMAIL, Outcome.CALLBACK})
"""Ends of an inbound call without an agent after which the caller was not lost."""


def _counts_of_call(row: Any) -> list[tuple[str, int]]:
    """What a call adds to its slot; what is not said is 0."""
    if row.outcome == Outcome.BLOCKED:
        return [("n_blocked", 1)]
    is_open, is_answered = row.ended_at is None, row.answered_at is not None
    counts = [("n_calls", 1)]

    def count(name: str, value: int | bool = True) -> None:
        if value:
            counts.append((name, int(value)))

    count("n_open", is_open)
    count("n_answered", is_answered)
    count("n_answered_open", is_answered and is_open)
    count("n_entered_ivr", row.ivr_entered_at is not None)
    count("n_transferred", row.n_transfers > 0)
    if row.outcome in _BY_OUTCOME:
        count(_BY_OUTCOME[row.outcome])
    match row.direction:
        case Direction.INBOUND:
            count("n_inbound")
            count("n_inbound_answered", is_answered)
            count("n_rang", row.has_rung)
            count("n_lost", not is_open and not is_answered and row.outcome not in _SERVED)
            if row.has_queued or row.has_rung or is_answered:
                count("n_to_manual")
                count("n_manual_answered", is_answered)
                count("n_never_reached", not is_answered and not is_open)
        case Direction.OUTBOUND:
            count("n_outbound")
            count("n_outbound_answered", is_answered)
        case _:
            count("n_internal")
    count("ivr_seconds", _milliseconds(row.ivr_seconds))
    if row.has_waited:
        count("n_waited")
        count("wait_seconds", _milliseconds(row.wait_seconds))
    if is_answered and not is_open:
        for name in _TIMES:
            count(name, _milliseconds(getattr(row, name)))
    counts += _rating(row)
    return counts


def _rating(row: Any) -> Iterator[tuple[str, int]]:
    if row.rating_asked or row.rating_score is not None:
        yield "n_rating_asked", 1
    if row.rating_score is not None:
        share = row.rating_score / (row.rating_scale or RATING_SCALE)
        yield "n_rated", 1
        yield "n_satisfied", int(share >= SATISFIED_SHARE)
        yield "rating_sum", _milliseconds(share * RATING_SCALE)


# --- Queues, by when they were entered


def _count_queues(
    account: Account, entries: Any, legs: Sequence[Any], wanted: Collection[dt.datetime] | None = None
) -> dict[dt.datetime, Counts]:
    tally = _Tally(QueueInterval)
    limits = _limits(account)
    for row in (
        entries.exclude(call__outcome=Outcome.BLOCKED)
        .order_by()
        .values_list("entered_at", "skill_group_id", "outcome", "wait_seconds", "while_ringing", *_OF_CALL, named=True)
        .iterator(chunk_size=5000)
    ):
        slot = slot_of(row.entered_at)
        if wanted is None or slot in wanted:
            _count_entry(tally.at(slot, row.skill_group_id, *_of_call(row)), row, *limits.get(row.skill_group_id, limits[None]))
    for row in legs:
        slot = slot_of(row.answered_at)
        if (wanted is None or slot in wanted) and (row.skill_group_id is not None or row.skill_group_reference):
            counts = tally.at(slot, row.skill_group_id, *_of_call(row))
            counts["n_at_once"] += row.is_at_once
            if row.ended_at is not None:
                _count_leg(counts, row)
    return tally.by_slot()


def _answered_legs(account: Account) -> Any:
    """Of agents."""
    legs = CallLeg.objects.for_account(account).filter(kind=LegKind.AGENT, answered_at__isnull=False)
    return legs.exclude(call__outcome=Outcome.BLOCKED).order_by().values_list(*_LEG_COLUMNS, *_OF_CALL, named=True)


_LEG_COLUMNS = (
    "answered_at",
    "ended_at",
    "wrap_up_ended_at",
    "hold_seconds",
    "skill_group_id",
    "skill_group_reference",
    "is_at_once",
    "agent_id",
    "transfer_kind",
)


_OF_CALL = ("call__direction", "call__calling_number", "call__called_number")


def _of_call(row: Any) -> tuple[str, str]:
    return row.call__direction, _service_number(row.call__direction, row.call__calling_number, row.call__called_number)


def _count_entry(counts: dict[str, Any], row: Any, target: int, short: int) -> None:
    """`target` and `short` in milliseconds; both include the wait that is exactly as long."""
    wait = _milliseconds(row.wait_seconds)
    counts["n_entries"] += 1
    match row.outcome:
        case EntryOutcome.ANSWERED:
            counts["n_answered"] += 1
            counts["n_answered_in_target"] += wait <= target
            counts["answered_wait_seconds"] += wait
        case EntryOutcome.ABANDONED:
            counts["n_abandoned"] += 1
            counts["n_abandoned_in_target"] += wait <= target
            counts["n_abandoned_short"] += wait <= short
            counts["n_abandoned_ringing"] += row.while_ringing
            counts["abandoned_wait_seconds"] += wait
        case EntryOutcome.FLOW_OUT:
            counts["n_flow_out"] += 1
            counts["n_flow_out_in_target"] += wait <= target
        case EntryOutcome.REJECTED:
            counts["n_rejected"] += 1
            return
        case EntryOutcome.LOST:
            counts["n_lost"] += 1
            return
        case _:
            counts["n_open"] += 1
            return
    counts["wait_seconds"] += wait
    counts["longest_wait_seconds"] = max(counts["longest_wait_seconds"], wait)
    bucket = bisect_right(_EDGES, wait)
    counts[WAITED[bucket]] += 1
    if row.outcome == EntryOutcome.ANSWERED:
        counts[ANSWERED_WAITS[bucket]] += 1


_EDGES = [edge * 1000 for edge in WAIT_EDGES]


def _count_leg(counts: dict[str, Any], row: Any) -> int:
    """Of a leg that is over; how long it was connected, in milliseconds."""
    connected, hold = _between(row.answered_at, row.ended_at), _milliseconds(row.hold_seconds)
    counts["n_legs"] += 1
    counts["n_held"] += hold > 0
    counts["talk_seconds"] += max(0, connected - hold)
    counts["hold_seconds"] += min(connected, hold)
    counts["wrap_up_seconds"] += _between(row.ended_at, row.wrap_up_ended_at) if row.wrap_up_ended_at else 0
    return connected


# --- Agents


def _count_agents(
    account: Account,
    start: dt.datetime,
    end: dt.datetime,
    wanted: set[dt.datetime],
    at: dt.datetime,
    legs: Sequence[Any] | None = None,
    without: Collection[int] = (),
) -> dict[dt.datetime, Counts]:
    """`without`: as if these calls had not been."""
    left_out = list(without)
    if legs is None:
        legs = list(_answered_legs(account).filter(answered_at__gte=start, answered_at__lt=end).exclude(call_id__in=left_out))
    tally = _Tally(AgentInterval)
    slots = {int(slot.timestamp()) // SLOT_SECONDS: slot for slot in wanted}
    for agent_id, doings in doings_within(account=account, start=start, end=end).items():
        if left_out:
            doings.legs = [leg for leg in doings.legs if leg.call_id not in without]
        for stretch in derive(chosen=doings.chosen, legs=doings.legs, start=start, end=end, at=at):
            if (column := _STATES.get(stretch.state)) is not None:
                for number, part in _split(_clock(stretch.started_at), _clock(stretch.ended_at)):
                    if number in slots:
                        tally.at(slots[number], agent_id)[column] += part
        for held_from, held_to in _held(doings, start, min(end, at)):
            for number, part in _split(held_from, held_to):
                if number in slots:
                    tally.at(slots[number], agent_id)["on_hold_seconds"] += part
    offers = CallLeg.objects.for_account(account).filter(kind=LegKind.AGENT, offered_at__gte=start, offered_at__lt=end)
    offers = offers.exclude(call__direction=Direction.OUTBOUND).exclude(call__outcome=Outcome.BLOCKED)
    offers = offers.exclude(call_id__in=left_out)
    for agent_id, offered_at, answered_at, ended_at, result in (
        offers.order_by().values_list("agent_id", "offered_at", "answered_at", "ended_at", "result").iterator(chunk_size=5000)
    ):
        slot = slot_of(offered_at)
        if slot in wanted:
            counts = tally.at(slot, agent_id)
            counts["n_offers"] += 1
            counts["n_offers_answered"] += answered_at is not None
            counts["n_offers_open"] += answered_at is None and ended_at is None
            counts["n_not_taken"] += answered_at is None and result in _NOT_TAKEN
    for row in legs:
        slot = slot_of(row.answered_at)
        if slot in wanted:
            counts = tally.at(slot, row.agent_id)
            counts[_LEGS_OF.get(row.call__direction, "n_internal_legs")] += 1
            counts["n_at_once"] += row.is_at_once
            if row.ended_at is not None:
                counts["n_short"] += _count_leg(counts, row) < SHORT_CALL_SECONDS * 1000
                counts["n_passed_on"] += bool(row.transfer_kind)
    _count_answers(account, start, end, tally, wanted, left_out)
    return tally.by_slot()


_NOT_TAKEN = frozenset({LegResult.NO_ANSWER, LegResult.REJECTED, LegResult.BUSY})
_LEGS_OF = {Direction.INBOUND.value: "n_inbound_legs", Direction.OUTBOUND.value: "n_outbound_legs"}


def _count_answers(
    account: Account, start: dt.datetime, end: dt.datetime, tally: _Tally, wanted: set[dt.datetime], left_out: list[int]
) -> None:
    """The queue entries that agents answered, and the ratings of the calls they were the last to take."""
    answers = CallLeg.objects.filter(
        call_id=OuterRef("call_id"), queue_seq=OuterRef("seq"), kind=LegKind.AGENT, answered_at__isnull=False
    )
    entries = QueueEntry.objects.for_account(account).filter(
        entered_at__gte=start, entered_at__lt=end, outcome=EntryOutcome.ANSWERED
    )
    answered_by = Subquery(answers.order_by("seq").values("agent_id")[:1])
    for entered_at, wait, agent_id in (
        entries.exclude(call__outcome=Outcome.BLOCKED)
        .exclude(call_id__in=left_out)
        .order_by()
        .annotate(answered_by=answered_by)
        .values_list("entered_at", "wait_seconds", "answered_by")
        .iterator(chunk_size=5000)
    ):
        slot = slot_of(entered_at)
        if slot in wanted:
            counts = tally.at(slot, agent_id)
            counts["n_answered"] += 1
            counts["answered_wait_seconds"] += _milliseconds(wait)
    rated = Call.objects.for_account(account).started_within(start, end).exclude(outcome=Outcome.BLOCKED)
    rated = rated.exclude(pk__in=left_out)
    rated = rated.filter(Q(rating_asked=True) | Q(rating_score__isnull=False))
    columns = ("started_at", "agent_id", "rating_asked", "rating_score", "rating_scale")
    for row in rated.order_by().values_list(*columns, named=True).iterator(chunk_size=5000):
        slot = slot_of(row.started_at)
        if slot in wanted:
            counts = tally.at(slot, row.agent_id)
            for name, value in _rating(row):
                counts[name] += value


def _split(start: int, end: int) -> Iterator[tuple[int, int]]:
    """A stretch of milliseconds cut at the borders of slots: the number of each slot, and how much lies in it."""
    while start < end:
        number = start // _SLOT_MILLISECONDS
        border = min(end, (number + 1) * _SLOT_MILLISECONDS)
        yield number, border - start
        start = border


_SLOT_MILLISECONDS = SLOT_SECONDS * 1000


def _held(doings: Doings, start: dt.datetime, end: dt.datetime) -> Iterator[tuple[int, int]]:
    """When an agent had somebody on hold, within a window; several at once count once."""
    first, last = _clock(start), _clock(end)
    holds = sorted(
        (_clock(dt.datetime.fromisoformat(held_from)), _clock(dt.datetime.fromisoformat(held_to)) if held_to else last)
        for leg in doings.legs
        for held_from, held_to in leg.holds
        if held_from is not None
    )
    done = first
    for held_from, held_to in holds:
        if (until := min(held_to, last)) > (since := max(held_from, done)):
            yield since, until
            done = until


# --- Words of counting


def _limits(account: Account) -> dict[int | None, tuple[int, int]]:
    """Service-level target and short-abandon limit of each skill group, in milliseconds; None: the account's."""
    target, short = account.service_level_seconds, account.short_abandon_seconds
    limits: dict[int | None, tuple[int, int]] = {None: (target * 1000, short * 1000)}
    for pk, own_target, own_short in SkillGroup.objects.for_account(account).values_list(
        "pk", "service_level_seconds", "short_abandon_seconds"
    ):
        limits[pk] = (
            (target if own_target is None else own_target) * 1000,
            (short if own_short is None else own_short) * 1000,
        )
    return limits


def _service_number(direction: str, calling: str, called: str) -> str:
    """The center's own number in a call."""
    match direction:
        case Direction.INBOUND:
            return called
        case Direction.OUTBOUND:
            return calling
        case _:
            return ""


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _between(start: dt.datetime, end: dt.datetime) -> int:
    return max(0, round((end - start).total_seconds() * 1000))


def _clock(moment: dt.datetime) -> int:
    """Milliseconds since the epoch: stretches that meet are cut at one and the same number."""
    return round(moment.timestamp() * 1000)
