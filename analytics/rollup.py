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
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from agents.models import StaleAgentTime, StatusChange
from analytics import erased_counts
from analytics.counting import KEPT_AS, answered_legs, count_agents, count_calls, count_queues, count_slots
from analytics.day_totals import BEFORE_ALL, days_to, next_day, sum_day, sum_touched_days
from analytics.erased_counts import Counts
from analytics.metrics import plus
from analytics.models import AgentInterval, AgentTotal, FillMark, QueueInterval
from analytics.tables import COUNTERS, MAKES_DAYS, OF_AGENTS, TABLES, Table
from callcenter_site.bulk import insert_rows
from callcenter_site.erasure import delete_by_id, delete_rows
from callcenter_site.slots import SLOT, slot_of, slots_between
from calls.models import Call, CallLeg, LegKind, QueueEntry, StaleCallSlot
from configuration.models import Account

log = logging.getLogger(__name__)

RECOUNT_DAYS = 8
MARKS_PER_PASS = 20_000
SLOTS_PER_RUN = 96
"""Slots read and replaced in one transaction: a day."""
GAP_READ_OVER = 4
"""Unmarked slots between marked ones that are cheaper to read along than to start another query for."""
OPEN_TIME_EVERY = dt.timedelta(seconds=30)
"""How old the time of agents who are there may be."""
LONGEST_STALE = dt.timedelta(days=200)
"""Nothing is kept for longer, so nothing before is counted again."""
BACKLOG_AT_ONCE = dt.timedelta(days=1)


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
            delete_by_id(StaleCallSlot, mark_ids)
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
            _refill(account, run, mark=mark, at=at, tables=OF_AGENTS)
    # A mark that was made meanwhile is another row. Cut off before this, the same slots are only counted once more.
    delete_by_id(StaleAgentTime, [pk for pk, _start, _end in rows])
    return sum(map(len, runs))


def _keep_up(account: Account, mark: FillMark, *, at: dt.datetime) -> int:
    """What comes due by itself: time that passed, days that are over, tables that are younger than their slots."""
    if mark.agents_to is None or at - mark.agents_to >= OPEN_TIME_EVERY:
        passed = slots_between(max(mark.agents_to or at, at - LONGEST_STALE), at)
        for run in _runs(passed):
            with transaction.atomic():
                held = _lock(account, wait=False)
                if held is None:
                    return 0
                _refill(account, run, mark=held, at=at, tables=OF_AGENTS)
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


def _close_days(account: Account, *, at: dt.datetime) -> None:
    """Adds up the days that are over, oldest first. After the account has moved to another zone all are made anew."""
    zone = account.zone
    while True:
        with transaction.atomic():
            mark = _lock(account, wait=False)
            if mark is None or mark.agents_to is None:
                return
            if days_to(account, mark) is None:
                for table in MAKES_DAYS.values():
                    delete_rows(table.days.objects.for_account(account))
                _set(account, zone=account.time_zone, days_to=BEFORE_ALL)
                continue
            today = min(at, mark.agents_to).astimezone(zone).date()
            if mark.days_to is None or mark.days_to >= today:
                return
            day = min(next_day(account, mark.days_to) or today, today)
            if day < today:
                sum_day(account, day, MAKES_DAYS)
                day += dt.timedelta(days=1)
            _set(account, days_to=day)


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
    legs = list(answered_legs(account).filter(call_id__in=list(call_ids)))
    counted: dict[Any, dict[dt.datetime, Counts]] = {
        **count_calls(calls),
        QueueInterval: count_queues(account, entries, legs),
        AgentInterval: _made_by(account, call_ids),
    }
    erased_counts.keep(account, {KEPT_AS[model]: slots for model, slots in counted.items()}, unnamed=unnamed)


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
        found = [count_agents(account, *window, set(run), at, without=out) for out in ((), call_ids)]
        for slot in run:
            whole, rest = (one.get(slot, {}) for one in found)
            for key in {*whole, *rest}:
                names = COUNTERS[AgentInterval]
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
            sums = {name: plus(name, getattr(there, name), getattr(row, name)) for name in COUNTERS[table.slots]}
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
    counted = count_slots(account, run[0], run[-1] + SLOT, wanted, at, tables)
    for table in tables:
        found = counted[table.slots]
        stored, stored_ids = _stored(table, account, run)
        differing = {slot for slot in wanted if found.get(slot, {}) != stored.get(slot, {})}
        if keep_erased:
            gone = {slot for slot in differing if _total(found.get(slot), table.guards) < _total(stored.get(slot), table.guards)}
            kept |= gone
            differing -= gone
        if differing:
            delete_by_id(table.slots, [pk for slot in differing for pk in stored_ids.get(slot, ())])
            insert_rows(
                table.slots,
                ("account_id", "slot", *table.keys, *COUNTERS[table.slots]),
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
    days = sum_touched_days(account, mark, changed, run if sums_all_days else ())
    return Refilled(len(run), everything, kept, everything - others, days)


def _stored(
    table: Table, account: Account, run: list[dt.datetime]
) -> tuple[dict[dt.datetime, Counts], dict[dt.datetime, list[int]]]:
    n_keys, names = len(table.keys), COUNTERS[table.slots]
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
