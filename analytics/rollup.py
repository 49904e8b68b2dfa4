"""Counts calls into 15-minute slots.

A slot is always counted again from the facts, never added to: calls by when they started, queue entries by when they
were entered, agents' legs by when they were answered. So late, doubled or reordered events, a second run and a run cut
short all end in the same rows. Whoever changes a call leaves a `StaleCallSlot` mark in the same transaction; a mark is
deleted only together with the rows that were counted after it was read.

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
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, Model, OuterRef

from agents.models import SkillGroup
from analytics import erased_counts
from analytics.metrics import MAXIMA, WAIT_EDGES
from analytics.models import CallInterval, CallTotal, FillMark, GroupTotal, QueueInterval, QueueTotal
from callcenter_site.erasure import delete_rows
from callcenter_site.slots import SLOT, slot_of, slots_between
from calls.models import Call, CallLeg, Direction, EntryOutcome, LegKind, Outcome, QueueEntry, StaleCallSlot
from configuration.models import Account

log = logging.getLogger(__name__)

RECOUNT_DAYS = 8
MARKS_PER_PASS = 20_000
SLOTS_PER_RUN = 96
"""Slots read and replaced in one transaction: a day."""
GAP_READ_OVER = 4
"""Unmarked slots between marked ones that are cheaper to read along than to start another query for."""
DELETED_AT_ONCE = 500
SATISFIED_SHARE = 0.8
RATING_SCALE = 5

_FIRST, _LAST = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)

Counts = dict[tuple[Any, ...], dict[str, Any]]


def drain_stale_slots(*, at: dt.datetime, limit: int = MARKS_PER_PASS) -> int:
    """Counts the marked slots again, oldest marks first; how many slots. Call it until it returns 0 to empty the marks.

    Slots of an account that another worker fills at this moment are left to it.
    """
    marked: dict[int, set[dt.datetime]] = defaultdict(set)
    n_read = 0
    for account_id, slot in StaleCallSlot.objects.order_by("pk").values_list("account_id", "slot")[:limit]:
        marked[account_id].add(slot)
        n_read += 1
    n_filled = 0
    for account in Account.objects.filter(pk__in=marked).order_by("pk"):
        n_filled += _drain_account(account, marked[account.pk], filled_at=at if n_read < limit else None)
    return n_filled


def _drain_account(account: Account, slots: set[dt.datetime], *, filled_at: dt.datetime | None) -> int:
    """`filled_at`: the moment up to which everything is counted once these slots are; None: more marks are waiting."""
    started = time.monotonic()
    FillMark.objects.get_or_create(account=account)
    n_filled = 0
    for run in _runs(slots):
        with transaction.atomic():
            if not _lock(account, wait=False):
                return n_filled
            # Read before the facts: what is marked after this is counted again next time.
            marks = StaleCallSlot.objects.for_account(account).filter(slot__in=run).order_by("pk")
            mark_ids = list(marks.values_list("pk", flat=True)[:MARKS_PER_PASS])
            if not mark_ids:
                continue
            _refill(account, run)
            for first in range(0, len(mark_ids), DELETED_AT_ONCE):
                StaleCallSlot.objects.filter(pk__in=mark_ids[first : first + DELETED_AT_ONCE]).delete()
            n_filled += len(run)
    fresh: dict[str, Any] = {"n_slots": n_filled, "seconds": round(time.monotonic() - started, 3)}
    if filled_at is not None:
        fresh["filled_at"] = filled_at
    FillMark.objects.for_account(account).update(**fresh)
    return n_filled


def recount(*, account: Account, at: dt.datetime, days: int = RECOUNT_DAYS) -> int:
    """Counts the last days again and repairs what differs; how many slots had drifted without a mark. It should be 0."""
    n_drifted = 0
    FillMark.objects.get_or_create(account=account)
    for run in _runs(slots_between(at - dt.timedelta(days=days), at)):
        with transaction.atomic():
            _lock(account, wait=True)
            changed = _refill(account, run).changed
            # Read after the facts: a call that changed while they were read has left its mark by now.
            marked = set(StaleCallSlot.objects.for_account(account).filter(slot__in=changed).values_list("slot", flat=True))
        drifted = changed - marked
        if drifted:
            log.warning("account %s: %s slots had drifted, first %s", account.pk, len(drifted), min(drifted).isoformat())
        n_drifted += len(drifted)
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


def rebuild(*, account: Account, start: dt.datetime, end: dt.datetime, force: bool = False) -> Iterator[Refilled]:
    """Counts the slots of `[start, end)` again, a transaction for each run, while the portal serves.

    Where fewer calls are left than were counted, calls have been erased: those slots keep their counts unless forced.
    """
    FillMark.objects.get_or_create(account=account)
    for run in _runs(slots_between(start, end)):
        with transaction.atomic():
            _lock(account, wait=True)
            refilled = _refill(account, run, keep_erased=not force)
        yield refilled


def keep_counts(*, account: Account, call_ids: Collection[int], unnamed: Collection[str] = ()) -> None:
    """Keeps what calls count for, in the transaction that erases them. They have ended, or count as if they had.

    `unnamed` are numbers that must not be kept: what counts under one of them counts under none.
    """
    FillMark.objects.get_or_create(account=account)
    _lock(account, wait=True)
    counted = {"calls": _count_calls(account, only=call_ids), "queues": _count_queues(account, only=call_ids)}
    erased_counts.keep(account, counted, unnamed=unnamed, plus=plus)


def count_under_no_number(model: Any, *, account: Account, ids: Collection[int]) -> int:
    """Adds counts that stand under a number to those under none, and forgets the number; how many rows had one."""
    FillMark.objects.get_or_create(account=account)
    _lock(account, wait=True)
    n_rows = 0
    for row in model.objects.for_account(account).filter(pk__in=list(ids)):
        keys = {name: getattr(row, name) for name in _KEYS[model] if name != "service_number"}
        mine = model.objects.filter(pk=row.pk)
        there = model.objects.for_account(account).filter(slot=row.slot, service_number="", **keys).first()
        if there is None:
            n_rows += mine.update(service_number="")
        else:
            sums = {name: plus(name, getattr(there, name), getattr(row, name)) for name in _COUNTERS[model]}
            model.objects.filter(pk=there.pk).update(**sums)
            n_rows += delete_rows(mine)
    return n_rows


def _lock(account: Account, *, wait: bool) -> bool:
    """Holds the account's counts until the transaction ends; False if another worker has them and we do not wait."""
    skip = not wait and connection.features.has_select_for_update_skip_locked
    return FillMark.objects.for_account(account).select_for_update(skip_locked=skip).first() is not None


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


def _refill(account: Account, run: list[dt.datetime], *, keep_erased: bool = False) -> Refilled:
    """Counts the slots from the facts and replaces the rows of those that differ from what is stored."""
    wanted, end = set(run), run[-1] + SLOT
    changed: set[dt.datetime] = set()
    kept: set[dt.datetime] = set()
    calls = _count_calls(account, run[0], end, wanted)
    queues = _count_queues(account, run[0], end, wanted)
    erased_counts.add_to({"calls": calls, "queues": queues}, account=account, run=run, plus=plus)
    tables: tuple[tuple[Any, dict[dt.datetime, Counts], tuple[str, ...]], ...] = (
        (CallInterval, calls, _CALL_TOTALS),
        (CallTotal, _summed(calls, n_keys=0), _CALL_TOTALS),
        (QueueInterval, queues, _QUEUE_TOTALS),
        (GroupTotal, _summed(queues, n_keys=1), _QUEUE_TOTALS),
        (QueueTotal, _summed(queues, n_keys=0), _QUEUE_TOTALS),
    )
    for model, counted, totals in tables:
        stored, stored_ids = _stored(model, account, run)
        differing = {slot for slot in wanted if counted.get(slot, {}) != stored.get(slot, {})}
        if keep_erased:
            gone = {slot for slot in differing if _total(counted.get(slot), totals) < _total(stored.get(slot), totals)}
            kept |= gone
            differing -= gone
        if differing:
            model.objects.filter(pk__in=[pk for slot in differing for pk in stored_ids.get(slot, ())]).delete()
            model.objects.bulk_create(
                (
                    model(account=account, slot=slot, **dict(zip(_KEYS[model], key, strict=True)), **counts)
                    for slot in sorted(differing)
                    for key, counts in counted.get(slot, {}).items()
                ),
                batch_size=200,
            )
            changed |= differing
    return Refilled(len(run), changed, kept)


_CALL_TOTALS = ("n_calls", "n_blocked")
_QUEUE_TOTALS = ("n_entries", "n_at_once")
_KEYS: dict[Any, tuple[str, ...]] = {
    CallInterval: ("direction", "service_number"),
    CallTotal: (),
    QueueInterval: ("skill_group_id", "direction", "service_number"),
    GroupTotal: ("skill_group_id",),
    QueueTotal: (),
}


def _summed(counted: dict[dt.datetime, Counts], *, n_keys: int) -> dict[dt.datetime, Counts]:
    """The counts of each slot added up over all but the first keys."""
    result: dict[dt.datetime, Counts] = {}
    for slot, rows in counted.items():
        sums = result[slot] = {}
        for key, counts in rows.items():
            known = sums.get(key[:n_keys])
            sums[key[:n_keys]] = (
                dict(counts) if known is None else {name: plus(name, known[name], counts[name]) for name in counts}
            )
    return result


def plus(name: str, one: Any, other: Any) -> Any:
    if name in MAXIMA:
        return max(one, other)
    if isinstance(one, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    return round(one + other, 3) if isinstance(one, float) else one + other


def counters_of(model: type[Model]) -> tuple[str, ...]:
    """The columns of a table of counts that add up, in the order they are declared."""
    return tuple(
        field.name
        for field in model._meta.concrete_fields
        if field.name.startswith("n_") or field.name.endswith(("_seconds", "_sum", "_histogram"))
    )


_COUNTERS: dict[Any, tuple[str, ...]] = {model: counters_of(model) for model in _KEYS}


def _stored(
    model: Any, account: Account, run: list[dt.datetime]
) -> tuple[dict[dt.datetime, Counts], dict[dt.datetime, list[int]]]:
    n_keys = len(_KEYS[model])
    rows: dict[dt.datetime, Counts] = defaultdict(dict)
    ids: dict[dt.datetime, list[int]] = defaultdict(list)
    wanted = set(run)
    columns = ("pk", "slot", *_KEYS[model], *_COUNTERS[model])
    for pk, slot, *rest in model.objects.for_account(account).within(run[0], run[-1] + SLOT).values_list(*columns):
        if slot in wanted:
            rows[slot][tuple(rest[:n_keys])] = dict(zip(_COUNTERS[model], rest[n_keys:], strict=True))
            ids[slot].append(pk)
    # Two rows of one key can only be a fault of the past; making them differ has them replaced by one.
    for slot, of_slot in rows.items():
        if len(of_slot) != len(ids[slot]):
            of_slot[("doubled",)] = dict.fromkeys(_COUNTERS[model], 0)
    return rows, ids


def _total(rows: Counts | None, names: tuple[str, ...]) -> int:
    return sum(counts[name] for counts in (rows or {}).values() for name in names)


# --- Counting --------------------------------------------------------------------------------------------------------


class _Tally:
    """Counts being made: per slot and key, whole numbers only (times in milliseconds), so that no order of adding matters.

    Service numbers that differ in letter case are one number, as they are to MariaDB's unique constraint.
    """

    def __init__(self, model: type[Model]) -> None:
        self._names = _COUNTERS[model]
        self._counts: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._spelling: dict[tuple[Any, ...], str] = {}

    def at(self, slot: dt.datetime, *key: Any) -> dict[str, Any]:
        *head, number = key
        folded = (slot, *head, number.casefold())
        counts = self._counts.get(folded)
        if counts is None:
            counts = self._counts[folded] = dict.fromkeys(self._names, 0)
            if "wait_histogram" in counts:
                counts["wait_histogram"] = [0] * (len(WAIT_EDGES) + 1)
            self._spelling[folded] = number
        else:
            self._spelling[folded] = min(self._spelling[folded], number)
        return counts

    def by_slot(self) -> dict[dt.datetime, Counts]:
        result: dict[dt.datetime, Counts] = defaultdict(dict)
        for folded, counts in self._counts.items():
            slot, *head, _ = folded
            for name in self._names:
                if name.endswith(("_seconds", "_sum")):
                    counts[name] = counts[name] / 1000
            result[slot][(*head, self._spelling[folded])] = counts
        return result


def _count_calls(
    account: Account,
    start: dt.datetime = _FIRST,
    end: dt.datetime = _LAST,
    wanted: Collection[dt.datetime] | None = None,
    only: Collection[int] | None = None,
) -> dict[dt.datetime, Counts]:
    """`wanted`: these slots; None: all. `only`: these calls; None: all."""
    legs = CallLeg.objects.filter(call_id=OuterRef("pk"), kind=LegKind.AGENT)
    calls = Call.objects.for_account(account)
    calls = (
        (calls.started_within(start, end) if only is None else calls.filter(pk__in=only))
        .annotate(asked_for_a_person=Exists(QueueEntry.objects.filter(call_id=OuterRef("pk"))) | Exists(legs))
        .order_by()
    )
    tally = _Tally(CallInterval)
    for row in calls.values_list(*_CALL_COLUMNS, named=True).iterator(chunk_size=5000):
        slot = slot_of(row.started_at)
        if wanted is None or slot in wanted:
            direction = row.direction
            counts = tally.at(slot, direction, _service_number(direction, row.calling_number, row.called_number))
            if row.outcome == Outcome.BLOCKED:
                counts["n_blocked"] += 1
            else:
                _count_call(counts, row)
    return tally.by_slot()


_CALL_COLUMNS = (
    "started_at",
    "direction",
    "calling_number",
    "called_number",
    "outcome",
    "answered_at",
    "ended_at",
    "ivr_entered_at",
    "n_transfers",
    "talk_seconds",
    "hold_seconds",
    "wrap_up_seconds",
    "rating_asked",
    "rating_score",
    "rating_scale",
    "asked_for_a_person",
)
_TIMES = ("talk_seconds", "hold_seconds", "wrap_up_seconds")


def _count_call(counts: dict[str, Any], row: Any) -> None:
    is_open, is_answered = row.ended_at is None, row.answered_at is not None
    counts["n_calls"] += 1
    counts["n_open"] += is_open
    counts["n_answered"] += is_answered
    counts["n_answered_open"] += is_answered and is_open
    counts["n_entered_ivr"] += row.ivr_entered_at is not None
    counts["n_abandoned_in_ivr"] += row.outcome == Outcome.ABANDONED_IN_IVR
    counts["n_self_served"] += row.outcome == Outcome.SELF_SERVED
    counts["n_voicemail"] += row.outcome == Outcome.VOICEMAIL
    counts["n_transferred"] += row.n_transfers > 0
    if row.direction == Direction.INBOUND and (row.asked_for_a_person or is_answered):
        counts["n_to_manual"] += 1
        counts["n_manual_answered"] += is_answered
        counts["n_never_reached"] += not is_answered and not is_open
    if is_answered and not is_open:
        for name in _TIMES:
            counts[name] += _milliseconds(getattr(row, name))
    counts["n_rating_asked"] += row.rating_asked or row.rating_score is not None
    if row.rating_score is not None:
        share = row.rating_score / (row.rating_scale or RATING_SCALE)
        counts["n_rated"] += 1
        counts["n_satisfied"] += share >= SATISFIED_SHARE
        counts["rating_sum"] += _milliseconds(share * RATING_SCALE)


def _count_queues(
    account: Account,
    start: dt.datetime = _FIRST,
    end: dt.datetime = _LAST,
    wanted: Collection[dt.datetime] | None = None,
    only: Collection[int] | None = None,
) -> dict[dt.datetime, Counts]:
    tally = _Tally(QueueInterval)
    limits = _limits(account)
    entries = QueueEntry.objects.for_account(account).order_by()
    entries = entries.filter(entered_at__gte=start, entered_at__lt=end) if only is None else entries.filter(call_id__in=only)
    for row in (
        entries.exclude(call__outcome=Outcome.BLOCKED)
        .values_list("entered_at", "skill_group_id", "outcome", "wait_seconds", "while_ringing", *_OF_CALL, named=True)
        .iterator(chunk_size=5000)
    ):
        slot = slot_of(row.entered_at)
        if wanted is None or slot in wanted:
            _count_entry(tally.at(slot, row.skill_group_id, *_of_call(row)), row, *limits.get(row.skill_group_id, limits[None]))
    legs = CallLeg.objects.for_account(account).filter(kind=LegKind.AGENT, answered_at__isnull=False).order_by()
    legs = legs.filter(answered_at__gte=start, answered_at__lt=end) if only is None else legs.filter(call_id__in=only)
    for row in (
        legs.exclude(call__outcome=Outcome.BLOCKED)
        .exclude(skill_group=None, skill_group_reference="")
        .values_list(
            "answered_at", "ended_at", "wrap_up_ended_at", "hold_seconds", "skill_group_id", "is_at_once", *_OF_CALL, named=True
        )
        .iterator(chunk_size=5000)
    ):
        slot = slot_of(row.answered_at)
        if wanted is None or slot in wanted:
            _count_leg(tally.at(slot, row.skill_group_id, *_of_call(row)), row)
    return tally.by_slot()


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
    counts["wait_histogram"][bisect_right(_EDGES, wait)] += 1


_EDGES = [edge * 1000 for edge in WAIT_EDGES]


def _count_leg(counts: dict[str, Any], row: Any) -> None:
    counts["n_at_once"] += row.is_at_once
    if row.ended_at is not None:
        connected, hold = _between(row.answered_at, row.ended_at), _milliseconds(row.hold_seconds)
        counts["n_legs"] += 1
        counts["talk_seconds"] += max(0, connected - hold)
        counts["hold_seconds"] += min(connected, hold)
        counts["wrap_up_seconds"] += _between(row.ended_at, row.wrap_up_ended_at) if row.wrap_up_ended_at else 0


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
