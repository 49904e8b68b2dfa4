"""What calls, queue entries, legs and statuses count for in 15-minute slots.

Reads facts and gives counts; what is stored of them, when and by whom is `rollup`'s. Calls count where they started,
queue entries where they were entered, agents' legs where they were answered, agents' time by the wall clock. The same
facts always give the same counts, in whatever order they are read: times are added in whole milliseconds.
"""

import datetime as dt
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any

from django.db.models import Exists, Model, OuterRef, Q, Subquery

from agents.models import SkillGroup
from analytics import erased_counts
from analytics.erased_counts import Counts
from analytics.metrics import ANSWERED_WAITS, WAIT_EDGES, WAITED, plus
from analytics.models import (
    AgentInterval,
    AgentTotal,
    CallInterval,
    CallTotal,
    DispositionInterval,
    GroupTotal,
    ProviderInterval,
    QueueInterval,
    QueueTotal,
)
from analytics.tables import COUNTERS, OF_AGENTS, STATES, Table
from callcenter_site.slots import SLOT_SECONDS, slot_of
from calls.activity import Doings, derive, doings_within
from calls.models import Call, CallLeg, Direction, EntryOutcome, LegKind, LegResult, Outcome, QueueEntry
from configuration.models import Account

SHORT_CALL_SECONDS = 10
SATISFIED_SHARE = 0.8
RATING_SCALE = 5


class _Tally:
    """Counts being made: per slot and key, whole numbers only (times in milliseconds), so that no order of adding matters.

    Texts that differ in letter case are one, as they are to MariaDB's constraints.
    """

    def __init__(self, model: type[Model]) -> None:
        self._names = COUNTERS[model]
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


def count_slots(
    account: Account,
    start: dt.datetime,
    end: dt.datetime,
    wanted: set[dt.datetime],
    at: dt.datetime,
    tables: Sequence[Table],
) -> dict[Any, dict[dt.datetime, Counts]]:
    """The counts of each of the tables."""
    legs = list(answered_legs(account).filter(answered_at__gte=start, answered_at__lt=end))
    counted: dict[Any, dict[dt.datetime, Counts]] = {AgentInterval: count_agents(account, start, end, wanted, at, legs)}
    if tables is not OF_AGENTS:
        counted |= count_calls(Call.objects.for_account(account).started_within(start, end), wanted)
        entries = QueueEntry.objects.for_account(account).filter(entered_at__gte=start, entered_at__lt=end)
        counted[QueueInterval] = count_queues(account, entries, legs, wanted)
    _add_erased(counted, account, sorted(wanted))
    counted[AgentTotal] = _summed(counted[AgentInterval], n_keys=0)
    if tables is not OF_AGENTS:
        counted[CallTotal] = _summed(counted[CallInterval], n_keys=0)
        counted[GroupTotal] = _summed(counted[QueueInterval], n_keys=1)
        counted[QueueTotal] = _summed(counted[GroupTotal], n_keys=0)
    return counted


KEPT_AS = {
    CallInterval: "calls",
    ProviderInterval: "providers",
    DispositionInterval: "dispositions",
    QueueInterval: "queues",
    AgentInterval: "agents",
}
"""What the tables are called in `ErasedCount`."""


def _add_erased(counted: dict[Any, dict[dt.datetime, Counts]], account: Account, run: list[dt.datetime]) -> None:
    """Adds what erased calls count for. Where what an agent did has changed since, a difference may be more than there is:
    nothing counts less than nothing."""
    by_name = {KEPT_AS[model]: slots for model, slots in counted.items()}
    for table, slot in erased_counts.add_to(by_name, account=account, run=run):
        model = next(model for model, name in KEPT_AS.items() if name == table)
        names = COUNTERS[model]
        rows = {key: {name: max(0, counts.get(name, 0)) for name in names} for key, counts in by_name[table][slot].items()}
        counted[model][slot] = {key: counts for key, counts in rows.items() if any(counts.values())}


# --- Calls, by when they started


def count_calls(rows: Any, wanted: Collection[dt.datetime] | None = None) -> dict[Any, dict[dt.datetime, Counts]]:
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


def count_queues(
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


def answered_legs(account: Account) -> Any:
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


def count_agents(
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
        legs = list(answered_legs(account).filter(answered_at__gte=start, answered_at__lt=end).exclude(call_id__in=left_out))
    tally = _Tally(AgentInterval)
    slots = {int(slot.timestamp()) // SLOT_SECONDS: slot for slot in wanted}
    for agent_id, doings in doings_within(account=account, start=start, end=end).items():
        if left_out:
            doings.legs = [leg for leg in doings.legs if leg.call_id not in without]
        for stretch in derive(chosen=doings.chosen, legs=doings.legs, start=start, end=end, at=at):
            if (column := STATES.get(stretch.state)) is not None:
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
