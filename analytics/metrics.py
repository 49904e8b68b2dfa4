"""The catalogue of figures: name, formula, unit and meaning of each, defined here and nowhere else.

A metric is a formula over the counters of one of the two tables of counts: a sum of counters, divided by a sum of
counters where it is a ratio or an average. Dashboards, API, exports and help texts all read this catalogue, so adding
a figure is adding one entry. Counters are added up over slots first and divided last; averages are never averaged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WAIT_EDGES = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
"""Seconds that divide waits into `[0, 5) [5, 10) … [600, ∞)`."""

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
    """Which counts a metric is made of. Calls know no skill group."""

    CALLS = "calls"
    QUEUES = "queues"


MAXIMA = frozenset({"longest_wait_seconds"})
"""Counters of which the largest stands for several slots, not the sum."""


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

    def value(self, counters: Counters) -> int | float | None:
        """None where there is nothing to divide by."""
        top = _total(self.top, counters)
        if not self.bottom:
            return top
        bottom = _total(self.bottom, counters)
        return top / bottom if bottom else None

    @property
    def counters(self) -> frozenset[str]:
        return frozenset(name.removeprefix("-") for name in self.top + self.bottom)


def _total(names: tuple[str, ...], counters: Counters) -> int | float:
    total: int | float = 0
    for name in names:
        total = total - counters[name[1:]] if name[0] == "-" else total + counters[name]
    # Sums of exact milliseconds: what binary fractions add behind the third digit is not part of them.
    return round(total, 3) if isinstance(total, float) else total


_ANSWERED = ("n_answered", "n_at_once")
_IN_TARGET = ("n_answered_in_target", "n_at_once")
_OFFERED_CLOSED = (*_ANSWERED, "n_abandoned", "n_flow_out", "n_lost")
_HANDLE = ("talk_seconds", "hold_seconds", "wrap_up_seconds")

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
        "average_duration",
        _("Average call duration"),
        Unit.SECONDS,
        Source.CALLS,
        ("talk_seconds", "hold_seconds"),
        _("How long answered calls that are over were connected to agents: all agents of the call, hold included, wrap-up not."),
        _("(talk + hold) ÷ answered calls that are over"),
        ("n_answered", "-n_answered_open"),
    ),
    Metric(
        "call_handle_time",
        _("Handle time per call"),
        Unit.SECONDS,
        Source.CALLS,
        _HANDLE,
        _("Work that an answered call takes, all its agents together. Handle time per agent's leg is another figure."),
        _("(talk + hold + wrap-up) ÷ answered calls that are over"),
        ("n_answered", "-n_answered_open"),
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
        "blocked",
        _("Blocked"),
        Unit.COUNT,
        Source.CALLS,
        ("n_blocked",),
        _("Calls turned away by the blacklist. They are part of no other figure."),
        _("calls with the outcome blocked"),
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
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in CATALOGUE}
