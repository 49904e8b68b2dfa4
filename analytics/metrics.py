"""The catalogue of figures: name, formula, unit and meaning of each, defined here and nowhere else.

A metric is a formula over the counters of calls, of queues, or of agents: a sum of counters, divided by a sum of counters
where it is a ratio or an average. Dashboards, API, exports and help texts all read this catalogue, so adding a figure is
adding one entry. Counters are added up over slots first and divided last; averages are never averaged, and a percentile
is read off the added up buckets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

WAIT_EDGES = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
"""Seconds that divide waits into `[0, 5) [5, 10) … [600, ∞)`."""
WAITED = tuple(f"n_waited_{edge}" for edge in (0, *WAIT_EDGES))
"""Counters of waits in these buckets, by where the bucket begins: of all who waited, …"""
ANSWERED_WAITS = tuple(f"n_answered_wait_{edge}" for edge in (0, *WAIT_EDGES))
"""… and of those who were answered."""
BUCKETS = WAITED + ANSWERED_WAITS

Counters = Mapping[str, int | float]


class Unit(Enum):
    COUNT = "count"
    SECONDS = "seconds"
    RATIO = "ratio"
    SCORE = "score"


class Good(Enum):
    """Which direction of a change is good news."""

    UP = "up"
    DOWN = "down"
    NEITHER = "neither"


class Source(Enum):
    """Which counts a metric is made of. Calls and agents know no skill group, queues no agent."""

    CALLS = "calls"
    QUEUES = "queues"
    AGENTS = "agents"


MAXIMA = frozenset({"longest_wait_seconds"})
"""Counters of which the largest stands for several slots, not the sum."""


def plus(name: str, one: Any, other: Any) -> Any:
    """Counters of two rows as one."""
    if name in MAXIMA:
        return max(one, other)
    # Sums of exact milliseconds: what binary fractions add behind the third digit is not part of them.
    return round(one + other, 3) if isinstance(one, float) or isinstance(other, float) else one + other


@dataclass(frozen=True, slots=True)
class Metric:
    """`top` and `bottom` are counters to be added; a leading minus subtracts. No bottom: the figure is the sum itself."""

    name: str
    label: Promise
    unit: Unit
    source: Source
    top: tuple[str, ...]
    help: Promise
    formula: Promise
    bottom: tuple[str, ...] = ()
    good: Good = Good.NEITHER
    percentile: float | None = None
    """The wait that this share did not exceed; `top` then are buckets of waits."""

    def value(self, counters: Counters) -> int | float | None:
        """None where there is nothing to divide by."""
        if self.percentile is not None:
            return _quantile(self.percentile, [counters[name] for name in self.top], counters["longest_wait_seconds"])
        top, bottom = self.parts(counters)
        if not self.bottom:
            return top
        return top / bottom if bottom else None

    def parts(self, counters: Counters) -> tuple[int | float, int | float]:
        """What is divided by what, where it is no percentile."""
        return _total(self.top, counters), _total(self.bottom, counters)

    @property
    def counters(self) -> frozenset[str]:
        names = frozenset(name.removeprefix("-") for name in self.top + self.bottom)
        return names if self.percentile is None else names | {"longest_wait_seconds"}


def _total(names: tuple[str, ...], counters: Counters) -> int | float:
    total: int | float = 0
    for name in names:
        total = total - counters[name[1:]] if name[0] == "-" else total + counters[name]
    # Sums of exact milliseconds: what binary fractions add behind the third digit is not part of them.
    return round(total, 3) if isinstance(total, float) else total


def _quantile(share: float, buckets: Sequence[int | float], longest: int | float) -> float | None:
    """Read off a histogram, as if the waits of a bucket lay evenly in it; none is longer than the longest."""
    rank = share * sum(buckets)
    if not rank:
        return None
    below: float = 0
    for n, start, end in zip(buckets, (0, *WAIT_EDGES), (*WAIT_EDGES, math.inf), strict=True):
        if n and below + n >= rank:
            return round(start + (rank - below) / n * (max(start, min(end, longest)) - start), 3)
        below += n
    return float(longest)


_ANSWERED = ("n_answered", "n_at_once")
_IN_TARGET = ("n_answered_in_target", "n_at_once")
_OFFERED_CLOSED = (*_ANSWERED, "n_abandoned", "n_flow_out", "n_lost")
_HANDLE = ("talk_seconds", "hold_seconds", "wrap_up_seconds")
_BUSY = ("ringing_seconds", "on_call_seconds", "acw_seconds")
_ONLINE = (*_BUSY, "available_seconds", "not_ready_seconds", "break_seconds")
_TAKEN = ("n_inbound_legs", "n_outbound_legs", "n_internal_legs")
_OVER = ("n_answered", "-n_answered_open")


def _answered_under(edge: int) -> Metric:
    """A service level for a threshold that is an edge of the buckets. They are half-open: under the edge, not up to it."""
    return Metric(
        f"service_level_{edge}",
        format_lazy(_("Service level under {n} s"), n=edge),
        Unit.RATIO,
        Source.QUEUES,
        (*ANSWERED_WAITS[: WAIT_EDGES.index(edge) + 1], "n_at_once"),
        format_lazy(
            _("Share answered in under {n} s, whatever the target of the skill group. Short abandons are left out."), n=edge
        ),
        format_lazy(_("answered in under {n} s ÷ (answered + abandoned − short)"), n=edge),
        (*_ANSWERED, "n_abandoned", "-n_abandoned_short"),
        Good.UP,
    )


CATALOGUE: tuple[Metric, ...] = (
    # --- Calls, by when they started ---------------------------------------------------------------------------------
    Metric(
        "calls",
        _("Calls"),
        Unit.COUNT,
        Source.CALLS,
        ("n_calls",),
        _("Calls that started in the period; outbound: attempts. Blocked callers are left out."),
        _("calls"),
    ),
    Metric(
        "answered",
        _("Answered calls"),
        Unit.COUNT,
        Source.CALLS,
        ("n_answered",),
        _("Calls in which at least one agent spoke."),
        _("calls with an answered leg of an agent"),
        good=Good.UP,
    ),
    Metric(
        "reception_volume",
        _("Reception volume"),
        Unit.COUNT,
        Source.CALLS,
        ("n_answered",),
        _("Calls taken by agents. Of today: since midnight, in the zone of the account."),
        _("answered calls"),
    ),
    Metric(
        "connection_rate",
        _("Connection rate"),
        Unit.RATIO,
        Source.CALLS,
        ("n_answered",),
        _("Share of all calls in which an agent spoke."),
        _("answered calls ÷ calls"),
        ("n_calls",),
        Good.UP,
    ),
    Metric(
        "inbound_calls",
        _("Inbound calls"),
        Unit.COUNT,
        Source.CALLS,
        ("n_inbound",),
        _("Calls that customers made."),
        _("inbound calls"),
    ),
    Metric(
        "inbound_answered",
        _("Inbound calls answered"),
        Unit.COUNT,
        Source.CALLS,
        ("n_inbound_answered",),
        _("Calls of customers in which an agent spoke."),
        _("inbound calls with an answered leg of an agent"),
        good=Good.UP,
    ),
    Metric(
        "inbound_connection_rate",
        _("Inbound connection rate"),
        Unit.RATIO,
        Source.CALLS,
        ("n_inbound_answered",),
        _("Share of the inbound calls in which an agent spoke."),
        _("answered inbound calls ÷ inbound calls"),
        ("n_inbound",),
        Good.UP,
    ),
    Metric(
        "outbound_calls",
        _("Outbound calls"),
        Unit.COUNT,
        Source.CALLS,
        ("n_outbound",),
        _("Calls that agents made: attempts."),
        _("outbound calls"),
    ),
    Metric(
        "outbound_answered",
        _("Outbound calls answered"),
        Unit.COUNT,
        Source.CALLS,
        ("n_outbound_answered",),
        _("Outbound calls that the customer answered."),
        _("outbound calls answered"),
        good=Good.UP,
    ),
    Metric(
        "outbound_connection_rate",
        _("Outbound connection rate"),
        Unit.RATIO,
        Source.CALLS,
        ("n_outbound_answered",),
        _("Share of the attempts that the customer answered."),
        _("answered outbound calls ÷ outbound calls"),
        ("n_outbound",),
        Good.UP,
    ),
    Metric(
        "internal_calls",
        _("Internal calls"),
        Unit.COUNT,
        Source.CALLS,
        ("n_internal",),
        _("Calls between agents."),
        _("internal calls"),
    ),
    Metric(
        "open_calls",
        _("Not over yet"),
        Unit.COUNT,
        Source.CALLS,
        ("n_open",),
        _("Calls of the period that go on; the period's figures are provisional until they end."),
        _("calls without an end"),
    ),
    Metric(
        "to_manual",
        _("Transferred to manual"),
        Unit.COUNT,
        Source.CALLS,
        ("n_to_manual",),
        _("Inbound calls whose caller asked for a person: they entered a queue or rang an agent."),
        _("inbound calls with a queue entry or an agent's leg"),
    ),
    Metric(
        "never_reached",
        _("Never reached manual"),
        Unit.COUNT,
        Source.CALLS,
        ("n_never_reached",),
        _("Calls that asked for a person and ended without speaking to one."),
        _("ended calls transferred to manual − those of them that were answered"),
        good=Good.DOWN,
    ),
    Metric(
        "manual_answer_rate",
        _("Manual answer rate"),
        Unit.RATIO,
        Source.CALLS,
        ("n_manual_answered",),
        _("Share of the calls that asked for a person in which one spoke."),
        _("answered calls transferred to manual ÷ calls transferred to manual"),
        ("n_to_manual",),
        Good.UP,
    ),
    Metric(
        "lost_calls",
        _("Lost calls"),
        Unit.COUNT,
        Source.CALLS,
        ("n_lost",),
        _("Inbound calls that ended with nobody and nothing having served the caller."),
        _("ended inbound calls − answered − served by IVR − forwarded − voicemail − callback"),
        good=Good.DOWN,
    ),
    Metric(
        "call_loss_rate",
        _("Call-loss rate"),
        Unit.RATIO,
        Source.CALLS,
        ("n_lost",),
        _("Share of the inbound calls that were lost: in the IVR, in a queue, while ringing, or turned away."),
        _("lost calls ÷ inbound calls"),
        ("n_inbound",),
        Good.DOWN,
    ),
    Metric(
        "calls_waited",
        _("Calls that waited"),
        Unit.COUNT,
        Source.CALLS,
        ("n_waited",),
        _("Calls that waited in at least one queue, and wait no more."),
        _("calls with an ended queue entry that was no turning away"),
    ),
    Metric(
        "average_call_wait",
        _("Average wait per call"),
        Unit.SECONDS,
        Source.CALLS,
        ("wait_seconds",),
        _("Wait of a call in all the queues it was in, ringing included. Per queue entry is another figure."),
        _("Σ wait ÷ calls that waited"),
        ("n_waited",),
        Good.DOWN,
    ),
    Metric(
        "calls_rang",
        _("Reached an agent's phone"),
        Unit.COUNT,
        Source.CALLS,
        ("n_rang",),
        _("Inbound calls for which an agent's phone rang, or who answered at once."),
        _("inbound calls with an agent's leg"),
    ),
    Metric(
        "calls_abandoned_in_queue",
        _("Calls abandoned in queue"),
        Unit.COUNT,
        Source.CALLS,
        ("n_abandoned_in_queue",),
        _("Calls whose caller hung up while waiting, before any agent's phone rang."),
        _("calls with the outcome abandoned in queue"),
        good=Good.DOWN,
    ),
    Metric(
        "calls_abandoned_ringing",
        _("Calls abandoned while ringing"),
        Unit.COUNT,
        Source.CALLS,
        ("n_abandoned_ringing",),
        _("Calls whose caller hung up while an agent's phone rang."),
        _("calls with the outcome abandoned while ringing"),
        good=Good.DOWN,
    ),
    Metric(
        "average_duration",
        _("Average call duration"),
        Unit.SECONDS,
        Source.CALLS,
        ("talk_seconds", "hold_seconds"),
        _("How long answered calls that are over were connected to agents: all agents of the call, hold included, wrap-up not."),
        _("(talk + hold) ÷ answered calls that are over"),
        _OVER,
    ),
    Metric(
        "call_handle_time",
        _("Handle time per call"),
        Unit.SECONDS,
        Source.CALLS,
        _HANDLE,
        _("Work that an answered call takes, all its agents together. Handle time per agent's leg is another figure."),
        _("(talk + hold + wrap-up) ÷ answered calls that are over"),
        _OVER,
        Good.DOWN,
    ),
    Metric(
        "call_talk_time",
        _("Talk per call"),
        Unit.SECONDS,
        Source.CALLS,
        ("talk_seconds",),
        _("Speaking, without hold, per answered call that is over."),
        _("talk ÷ answered calls that are over"),
        _OVER,
    ),
    Metric(
        "call_hold_time",
        _("Hold per call"),
        Unit.SECONDS,
        Source.CALLS,
        ("hold_seconds",),
        _("Time on hold per answered call that is over, calls without a hold included."),
        _("hold ÷ answered calls that are over"),
        _OVER,
        Good.DOWN,
    ),
    Metric(
        "call_wrap_up_time",
        _("Wrap-up per call"),
        Unit.SECONDS,
        Source.CALLS,
        ("wrap_up_seconds",),
        _("Work after the call, of all its agents, per answered call that is over."),
        _("wrap-up ÷ answered calls that are over"),
        _OVER,
        Good.DOWN,
    ),
    Metric(
        "entered_ivr",
        _("Entered the IVR"),
        Unit.COUNT,
        Source.CALLS,
        ("n_entered_ivr",),
        _("Calls that heard an IVR prompt before a person was asked for."),
        _("calls with an IVR stay"),
    ),
    Metric(
        "abandoned_in_ivr",
        _("Abandoned in IVR"),
        Unit.COUNT,
        Source.CALLS,
        ("n_abandoned_in_ivr",),
        _("Callers who hung up in the IVR before any queue, not served by it."),
        _("calls ended by hanging up in the IVR"),
        good=Good.DOWN,
    ),
    Metric(
        "ivr_abandonment_rate",
        _("IVR abandonment rate"),
        Unit.RATIO,
        Source.CALLS,
        ("n_abandoned_in_ivr",),
        _("Share of the calls in the IVR whose caller hung up there. Callers the IVR served are no abandonment."),
        _("abandoned in IVR ÷ entered the IVR"),
        ("n_entered_ivr",),
        Good.DOWN,
    ),
    Metric(
        "average_ivr_time",
        _("Average time in IVR"),
        Unit.SECONDS,
        Source.CALLS,
        ("ivr_seconds",),
        _("How long callers stayed in the IVR."),
        _("Σ time in IVR ÷ entered the IVR"),
        ("n_entered_ivr",),
    ),
    Metric(
        "self_served",
        _("Served by IVR"),
        Unit.COUNT,
        Source.CALLS,
        ("n_self_served",),
        _("Calls that the IVR brought to their end without a person."),
        _("calls with the outcome served by IVR"),
        good=Good.UP,
    ),
    Metric(
        "voicemail",
        _("Voicemail"),
        Unit.COUNT,
        Source.CALLS,
        ("n_voicemail",),
        _("Calls that reached nobody and left a message."),
        _("calls with the outcome voicemail"),
    ),
    Metric(
        "transferred",
        _("Transferred by agents"),
        Unit.COUNT,
        Source.CALLS,
        ("n_transferred",),
        _("Calls that an agent passed on to another agent, skill group or number."),
        _("calls with a transfer"),
    ),
    Metric(
        "transfer_rate",
        _("Transfer rate"),
        Unit.RATIO,
        Source.CALLS,
        ("n_transferred",),
        _("Share of the answered calls that an agent passed on."),
        _("calls with a transfer ÷ answered calls"),
        ("n_answered",),
    ),
    Metric(
        "blocked",
        _("Blocked"),
        Unit.COUNT,
        Source.CALLS,
        ("n_blocked",),
        _("Calls turned away by the blacklist. They are part of no other figure."),
        _("calls with the outcome blocked"),
    ),
    Metric(
        "ratings_asked",
        _("Ratings asked"),
        Unit.COUNT,
        Source.CALLS,
        ("n_rating_asked",),
        _("Calls whose caller was asked for a rating."),
        _("calls with a rating asked"),
    ),
    Metric(
        "ratings",
        _("Ratings given"),
        Unit.COUNT,
        Source.CALLS,
        ("n_rated",),
        _("Calls whose caller gave a score."),
        _("calls with a score"),
        good=Good.UP,
    ),
    Metric(
        "satisfaction",
        _("Satisfaction"),
        Unit.SCORE,
        Source.CALLS,
        ("rating_sum",),
        _("Mean of the scores given, brought to a scale of 5. Who gave none is not a 0."),
        _("Σ scores ÷ scores given"),
        ("n_rated",),
        Good.UP,
    ),
    Metric(
        "csat",
        _("CSAT"),
        Unit.RATIO,
        Source.CALLS,
        ("n_satisfied",),
        _("Share of the scores given that are at least 4 of 5."),
        _("scores ≥ 4 of 5 ÷ scores given"),
        ("n_rated",),
        Good.UP,
    ),
    Metric(
        "response_rate",
        _("Rating response rate"),
        Unit.RATIO,
        Source.CALLS,
        ("n_rated",),
        _("Share of the callers asked for a rating who gave one."),
        _("scores given ÷ ratings asked"),
        ("n_rating_asked",),
        Good.UP,
    ),
    # --- Queues, by when they were entered ---------------------------------------------------------------------------
    Metric(
        "queue_entries",
        _("Queue entries"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_entries",),
        _("Entries into a skill group's queue. A call that is passed on to another group enters again."),
        _("queue entries"),
    ),
    Metric(
        "answered_at_once",
        _("Answered at once"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_at_once",),
        _("Answers by an agent of the group without queueing: a wait of 0."),
        _("answered legs of the group without a queue entry"),
        good=Good.UP,
    ),
    Metric(
        "offered",
        _("Offered"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_entries", "n_at_once"),
        _("What came to the group: queue entries and answers at once."),
        _("queue entries + answered at once"),
    ),
    Metric(
        "queue_answered",
        _("Answered by group"),
        Unit.COUNT,
        Source.QUEUES,
        _ANSWERED,
        _("Offers to the group that an agent answered, at once or from the queue."),
        _("answered from the queue + answered at once"),
        good=Good.UP,
    ),
    Metric(
        "waiting",
        _("Not over yet"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_open",),
        _("Entries of the period whose caller still waits; the period's figures are provisional until they end."),
        _("queue entries without an end"),
    ),
    Metric(
        "average_wait",
        _("Average wait"),
        Unit.SECONDS,
        Source.QUEUES,
        ("wait_seconds",),
        _("Time in the queue, ringing included, over all who waited: answered, gave up or left the queue otherwise."),
        _("Σ wait ÷ entries that waited and ended"),
        ("n_answered", "n_abandoned", "n_flow_out"),
        Good.DOWN,
    ),
    Metric(
        "asa",
        _("Average speed of answer"),
        Unit.SECONDS,
        Source.QUEUES,
        ("answered_wait_seconds",),
        _("Wait of those who were answered; an answer at once counts as a wait of 0."),
        _("Σ wait of answered ÷ answered"),
        _ANSWERED,
        Good.DOWN,
    ),
    Metric(
        "longest_wait",
        _("Longest wait"),
        Unit.SECONDS,
        Source.QUEUES,
        ("longest_wait_seconds",),
        _("The longest wait that ended, whoever ended it."),
        _("max wait"),
        good=Good.DOWN,
    ),
    Metric(
        "median_wait",
        _("Median wait"),
        Unit.SECONDS,
        Source.QUEUES,
        WAITED,
        _("Half of those who waited did so for no longer. Read off buckets of waits."),
        _("half of the waits ≤"),
        good=Good.DOWN,
        percentile=0.5,
    ),
    Metric(
        "wait_90",
        _("Wait of 90 %"),
        Unit.SECONDS,
        Source.QUEUES,
        WAITED,
        _("Nine of ten who waited did so for no longer. Read off buckets of waits."),
        _("nine of ten waits ≤"),
        good=Good.DOWN,
        percentile=0.9,
    ),
    Metric(
        "wait_95",
        _("Wait of 95 %"),
        Unit.SECONDS,
        Source.QUEUES,
        WAITED,
        _("Nineteen of twenty who waited did so for no longer. Read off buckets of waits."),
        _("nineteen of twenty waits ≤"),
        good=Good.DOWN,
        percentile=0.95,
    ),
    Metric(
        "average_abandon_wait",
        _("Average wait before giving up"),
        Unit.SECONDS,
        Source.QUEUES,
        ("abandoned_wait_seconds",),
        _("How long callers waited who gave up."),
        _("Σ wait of abandoned ÷ abandoned"),
        ("n_abandoned",),
    ),
    Metric(
        "aht",
        _("Average handle time"),
        Unit.SECONDS,
        Source.QUEUES,
        _HANDLE,
        _("Work per answered leg of the group's agents, by when it was answered; legs that are over."),
        _("(talk + hold + wrap-up) ÷ answered legs"),
        ("n_legs",),
        Good.DOWN,
    ),
    Metric(
        "group_talk_time",
        _("Average talk"),
        Unit.SECONDS,
        Source.QUEUES,
        ("talk_seconds",),
        _("Speaking, without hold, per answered leg of the group's agents."),
        _("talk ÷ answered legs"),
        ("n_legs",),
    ),
    Metric(
        "group_hold_time",
        _("Average hold"),
        Unit.SECONDS,
        Source.QUEUES,
        ("hold_seconds",),
        _("Time on hold, over the legs that had a hold."),
        _("hold ÷ answered legs with a hold"),
        ("n_held",),
        Good.DOWN,
    ),
    Metric(
        "group_wrap_up_time",
        _("Average wrap-up"),
        Unit.SECONDS,
        Source.QUEUES,
        ("wrap_up_seconds",),
        _("Work after the call, per answered leg of the group's agents."),
        _("wrap-up ÷ answered legs"),
        ("n_legs",),
        Good.DOWN,
    ),
    Metric(
        "abandoned",
        _("Abandoned in queue"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_abandoned",),
        _("Callers who hung up while waiting or while an agent's phone rang, short abandons included."),
        _("queue entries abandoned"),
        good=Good.DOWN,
    ),
    Metric(
        "abandoned_short",
        _("Short abandons"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_abandoned_short",),
        _("Callers who gave up within the short-abandon seconds of the skill group."),
        _("queue entries abandoned with wait ≤ short"),
    ),
    Metric(
        "abandoned_ringing",
        _("Abandoned while ringing"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_abandoned_ringing",),
        _("Entries whose caller gave up while an agent's phone rang."),
        _("queue entries abandoned while ringing"),
        good=Good.DOWN,
    ),
    Metric(
        "abandonment_rate",
        _("Abandonment in queue"),
        Unit.RATIO,
        Source.QUEUES,
        ("n_abandoned", "-n_abandoned_short"),
        _("Share of the offers whose caller gave up. Short abandons are left out above and below, turned-away callers below."),
        _("(abandoned − short) ÷ (answered + abandoned + left the queue + lost − short)"),
        (*_OFFERED_CLOSED, "-n_abandoned_short"),
        Good.DOWN,
    ),
    Metric(
        "abandonment_rate_raw",
        _("Abandonment in queue, all"),
        Unit.RATIO,
        Source.QUEUES,
        ("n_abandoned",),
        _("Share of the offers whose caller gave up, however soon."),
        _("abandoned ÷ (answered + abandoned + left the queue + lost)"),
        _OFFERED_CLOSED,
        Good.DOWN,
    ),
    Metric(
        "left_queue",
        _("Left the queue"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_flow_out",),
        _("Entries that ended otherwise: timeout, overflow, callback, voicemail."),
        _("queue entries that flowed out"),
        good=Good.DOWN,
    ),
    Metric(
        "turned_away",
        _("Turned away"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_rejected",),
        _("Entries to which no wait was offered: full, out of hours, nobody online."),
        _("queue entries rejected"),
        good=Good.DOWN,
    ),
    Metric(
        "lost_entries",
        _("Lost by a failure"),
        Unit.COUNT,
        Source.QUEUES,
        ("n_lost",),
        _("Entries that a failure or restart of the platform ended."),
        _("queue entries lost"),
        good=Good.DOWN,
    ),
    # --- Service level: the default first, then the variants of other vendors ----------------------------------------
    Metric(
        "service_level",
        _("Service level"),
        Unit.RATIO,
        Source.QUEUES,
        _IN_TARGET,
        _("Share answered within the target of the skill group. Short abandons are left out."),
        _("answered in target ÷ (answered + abandoned − short)"),
        (*_ANSWERED, "n_abandoned", "-n_abandoned_short"),
        Good.UP,
    ),
    Metric(
        "service_level_of_answered",
        _("Service level, of answered only"),
        Unit.RATIO,
        Source.QUEUES,
        _IN_TARGET,
        _("Share of the answered that were answered within the target. Hides every abandon."),
        _("answered in target ÷ answered"),
        _ANSWERED,
        Good.UP,
    ),
    Metric(
        "service_level_abandons_negative",
        _("Service level, abandons against"),
        Unit.RATIO,
        Source.QUEUES,
        _IN_TARGET,
        _("Every abandon counts as a miss."),
        _("answered in target ÷ (answered + abandoned)"),
        (*_ANSWERED, "n_abandoned"),
        Good.UP,
    ),
    Metric(
        "service_level_abandons_ignored",
        _("Service level, early abandons ignored"),
        Unit.RATIO,
        Source.QUEUES,
        _IN_TARGET,
        _("Who gave up within the target is left out."),
        _("answered in target ÷ (answered + abandoned − abandoned in target)"),
        (*_ANSWERED, "n_abandoned", "-n_abandoned_in_target"),
        Good.UP,
    ),
    Metric(
        "service_level_abandons_positive",
        _("Service level, early abandons for"),
        Unit.RATIO,
        Source.QUEUES,
        (*_IN_TARGET, "n_abandoned_in_target"),
        _("Who gave up within the target counts as served in time."),
        _("(answered in target + abandoned in target) ÷ (answered + abandoned)"),
        (*_ANSWERED, "n_abandoned"),
        Good.UP,
    ),
    Metric(
        "service_level_removed_from_queue",
        _("Service level, removed from queue"),
        Unit.RATIO,
        Source.QUEUES,
        (*_IN_TARGET, "n_abandoned_in_target", "n_flow_out_in_target"),
        _("Share of all that queued which left the queue within the target, for whatever reason."),
        _("(answered + abandoned + left the queue, all in target) ÷ (queue entries − turned away + answered at once)"),
        ("n_entries", "-n_rejected", "n_at_once"),
        Good.UP,
    ),
    Metric(
        "service_level_with_flow_outs",
        _("Service level, with flow-outs"),
        Unit.RATIO,
        Source.QUEUES,
        _IN_TARGET,
        _("Like the service level, but who left the queue otherwise counts as a miss."),
        _("answered in target ÷ (answered + abandoned − short + left the queue)"),
        (*_ANSWERED, "n_abandoned", "-n_abandoned_short", "n_flow_out"),
        Good.UP,
    ),
    *(_answered_under(edge) for edge in (10, 30, 60, 120)),
    # --- Agents: time by wall clock, the rest by when it was offered or answered ---------------------------------------
    Metric(
        "online_time",
        _("Time online"),
        Unit.SECONDS,
        Source.AGENTS,
        _ONLINE,
        _("Signed in and not offline: everything below together."),
        _("available + ringing + on a call + wrap-up + busy + break"),
    ),
    Metric(
        "available_time",
        _("Time available"),
        Unit.SECONDS,
        Source.AGENTS,
        ("available_seconds",),
        _("Free, and waiting for a call."),
        _("Σ available"),
    ),
    Metric(
        "ringing_time",
        _("Time ringing"),
        Unit.SECONDS,
        Source.AGENTS,
        ("ringing_seconds",),
        _("A call rang and was not answered yet."),
        _("Σ ringing"),
    ),
    Metric(
        "on_call_time",
        _("Time on calls"),
        Unit.SECONDS,
        Source.AGENTS,
        ("on_call_seconds",),
        _("In a conversation, hold included; several at once count once."),
        _("Σ on a call"),
    ),
    Metric(
        "on_hold_time",
        _("Time with a caller on hold"),
        Unit.SECONDS,
        Source.AGENTS,
        ("on_hold_seconds",),
        _("A part of the time on calls."),
        _("Σ hold, by wall clock"),
    ),
    Metric(
        "acw_time",
        _("Time in wrap-up"),
        Unit.SECONDS,
        Source.AGENTS,
        ("acw_seconds",),
        _("Work after a call while no other goes on."),
        _("Σ wrap-up"),
    ),
    Metric(
        "not_ready_time",
        _("Time busy by choice"),
        Unit.SECONDS,
        Source.AGENTS,
        ("not_ready_seconds",),
        _("Status busy, and no call."),
        _("Σ busy"),
    ),
    Metric(
        "break_time",
        _("Time on break"),
        Unit.SECONDS,
        Source.AGENTS,
        ("break_seconds",),
        _("Status break, and no call."),
        _("Σ break"),
    ),
    Metric(
        "busy_time",
        _("Time at work"),
        Unit.SECONDS,
        Source.AGENTS,
        (*_BUSY, "not_ready_seconds"),
        _("What shows as busy: ringing, calls, wrap-up, and busy by choice."),
        _("ringing + on a call + wrap-up + busy"),
    ),
    Metric(
        "occupancy",
        _("Occupancy"),
        Unit.RATIO,
        Source.AGENTS,
        _BUSY,
        _("How much of the time in which agents could work with callers they did. Breaks and busy by choice are outside."),
        _("(ringing + on a call + wrap-up) ÷ (that + available)"),
        (*_BUSY, "available_seconds"),
    ),
    Metric(
        "utilization",
        _("Utilization"),
        Unit.RATIO,
        Source.AGENTS,
        ("on_call_seconds", "acw_seconds"),
        _("How much of the time online agents handled calls, by wall clock."),
        _("(on a call + wrap-up) ÷ time online"),
        _ONLINE,
    ),
    Metric(
        "offers",
        _("Offers to agents"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_offers",),
        _("Times a call rang at an agent; again for each try."),
        _("offers of inbound and internal calls"),
    ),
    Metric(
        "offers_answered",
        _("Offers answered"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_offers_answered",),
        _("Offers that the agent answered."),
        _("answered offers"),
        good=Good.UP,
    ),
    Metric(
        "non_responses",
        _("Non-responses"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_offers", "-n_offers_answered", "-n_offers_open"),
        _("Offers that ended without an answer of the agent, for whatever reason; each counts."),
        _("offers − answered − still ringing"),
        good=Good.DOWN,
    ),
    Metric(
        "not_taken",
        _("Not taken"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_not_taken",),
        _("The non-responses that were the agent's: no answer, refused, phone busy. Not callers who gave up."),
        _("offers not answered, refused or met by a busy phone"),
        good=Good.DOWN,
    ),
    Metric(
        "agent_answer_rate",
        _("Agent answer rate"),
        Unit.RATIO,
        Source.AGENTS,
        ("n_offers_answered",),
        _("Share of the offers that the agent answered."),
        _("answered offers ÷ offers that no longer ring"),
        ("n_offers", "-n_offers_open"),
        Good.UP,
    ),
    Metric(
        "calls_taken",
        _("Calls taken"),
        Unit.COUNT,
        Source.AGENTS,
        _TAKEN,
        _("Conversations of the agent: answered legs, by when they were answered."),
        _("answered legs"),
    ),
    Metric(
        "inbound_taken",
        _("Inbound calls taken"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_inbound_legs",),
        _("Answered legs of inbound calls."),
        _("answered legs of inbound calls"),
    ),
    Metric(
        "outbound_taken",
        _("Outbound calls made"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_outbound_legs",),
        _("Answered legs of outbound calls."),
        _("answered legs of outbound calls"),
    ),
    Metric(
        "internal_taken",
        _("Internal calls taken"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_internal_legs",),
        _("Answered legs of calls between agents."),
        _("answered legs of internal calls"),
    ),
    Metric(
        "agent_handle_time",
        _("Handle time of agents"),
        Unit.SECONDS,
        Source.AGENTS,
        _HANDLE,
        _("Work of all answered legs that are over; legs that overlap count each."),
        _("talk + hold + wrap-up"),
    ),
    Metric(
        "agent_aht",
        _("Average handle time of agents"),
        Unit.SECONDS,
        Source.AGENTS,
        _HANDLE,
        _("Work per answered leg that is over."),
        _("(talk + hold + wrap-up) ÷ answered legs"),
        ("n_legs",),
        Good.DOWN,
    ),
    Metric(
        "agent_talk_time",
        _("Average talk of agents"),
        Unit.SECONDS,
        Source.AGENTS,
        ("talk_seconds",),
        _("Speaking, without hold, per answered leg."),
        _("talk ÷ answered legs"),
        ("n_legs",),
    ),
    Metric(
        "agent_hold_time",
        _("Average hold of agents"),
        Unit.SECONDS,
        Source.AGENTS,
        ("hold_seconds",),
        _("Time on hold, over the legs that had a hold."),
        _("hold ÷ answered legs with a hold"),
        ("n_held",),
        Good.DOWN,
    ),
    Metric(
        "agent_wrap_up_time",
        _("Average wrap-up of agents"),
        Unit.SECONDS,
        Source.AGENTS,
        ("wrap_up_seconds",),
        _("Work after the call per answered leg."),
        _("wrap-up ÷ answered legs"),
        ("n_legs",),
        Good.DOWN,
    ),
    Metric(
        "short_calls",
        _("Short calls"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_short",),
        _("Answered and over within ten seconds. They stay in every average."),
        _("answered legs connected < 10 s"),
        good=Good.DOWN,
    ),
    Metric(
        "short_call_rate",
        _("Share of short calls"),
        Unit.RATIO,
        Source.AGENTS,
        ("n_short",),
        _("Share of the answered legs that were over within ten seconds."),
        _("short calls ÷ answered legs that are over"),
        ("n_legs",),
        Good.DOWN,
    ),
    Metric(
        "passed_on",
        _("Calls passed on"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_passed_on",),
        _("Conversations that the agent transferred."),
        _("answered legs whose agent transferred the call"),
    ),
    Metric(
        "pass_on_rate",
        _("Share of calls passed on"),
        Unit.RATIO,
        Source.AGENTS,
        ("n_passed_on",),
        _("Share of the conversations that the agent transferred."),
        _("calls passed on ÷ answered legs that are over"),
        ("n_legs",),
    ),
    Metric(
        "answered_from_queue",
        _("Answered from the queue"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_answered", "n_at_once"),
        _("Offers to skill groups that the agent answered, by when the queue was entered."),
        _("queue entries answered + answered at once"),
        good=Good.UP,
    ),
    Metric(
        "agent_asa",
        _("Speed of answer of agents"),
        Unit.SECONDS,
        Source.AGENTS,
        ("answered_wait_seconds",),
        _("How long those waited whom the agent answered; an answer at once counts as a wait of 0."),
        _("Σ wait of answered ÷ answered"),
        ("n_answered", "n_at_once"),
        Good.DOWN,
    ),
    Metric(
        "agent_ratings",
        _("Ratings of agents"),
        Unit.COUNT,
        Source.AGENTS,
        ("n_rated",),
        _("Scores given for calls that the agent was the last to take."),
        _("scores given"),
    ),
    Metric(
        "agent_satisfaction",
        _("Satisfaction with agents"),
        Unit.SCORE,
        Source.AGENTS,
        ("rating_sum",),
        _("Mean of the scores given for calls that the agent was the last to take, brought to a scale of 5."),
        _("Σ scores ÷ scores given"),
        ("n_rated",),
        Good.UP,
    ),
    Metric(
        "agent_csat",
        _("CSAT of agents"),
        Unit.RATIO,
        Source.AGENTS,
        ("n_satisfied",),
        _("Share of the scores for the agent's calls that are at least 4 of 5."),
        _("scores ≥ 4 of 5 ÷ scores given"),
        ("n_rated",),
        Good.UP,
    ),
    Metric(
        "agent_response_rate",
        _("Rating response rate of agents"),
        Unit.RATIO,
        Source.AGENTS,
        ("n_rated",),
        _("Share of the agent's callers asked for a rating who gave one."),
        _("scores given ÷ ratings asked"),
        ("n_rating_asked",),
        Good.UP,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in CATALOGUE}
