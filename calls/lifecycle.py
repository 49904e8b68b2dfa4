"""The life of a call: its events in, its facts out.

Pure: no database, no clock. The events of a call are put in order (by time, then the source's sequence, then the
order in which things happen to a call) and folded into one `CallFacts`. So the same events give the same record,
however late, doubled or mixed up they came. Outcome and state are decided here and nowhere else.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from calls.models import CallState, Direction, EntryCause, EntryOutcome, IvrExit, LegKind, LegResult, Outcome, Party

PORTAL_SOURCE = "portal"
"""The source of events the portal writes itself, when a call went silent."""

LOST_CONTACT = "lost_contact"

TURNED_AWAY_SECONDS = 1.0
"""Leaving a queue for want of agents within this time means that no wait was offered (METRICS §1: rejected)."""


@dataclass(frozen=True, slots=True)
class Event:
    """What the fold needs of a `CallEvent`."""

    type: str
    at: dt.datetime
    data: dict[str, Any]
    key: bytes
    source: str = ""
    sequence: str = ""


@dataclass(slots=True)
class LegFacts:
    seq: int
    kind: str
    offered_at: dt.datetime
    party: str = ""
    """The agent as the platform names them, or the external number."""
    skill_group: str = ""
    queue_seq: int | None = None
    is_at_once: bool = False
    terminal: str = ""
    provider: str = ""
    answered_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    wrap_up_ended_at: dt.datetime | None = None
    holds: list[tuple[dt.datetime, dt.datetime | None]] = field(default_factory=list)
    result: str = ""
    transfer_kind: str = ""
    transfer_to: str = ""
    transfers_to_agent: bool = False
    transferred_at: dt.datetime | None = None

    @property
    def is_ringing(self) -> bool:
        return self.answered_at is None and self.ended_at is None

    @property
    def is_talking(self) -> bool:
        return self.answered_at is not None and self.ended_at is None

    @property
    def is_on_hold(self) -> bool:
        return bool(self.holds) and self.holds[-1][1] is None

    def resume(self, at: dt.datetime) -> None:
        if self.is_on_hold:
            self.holds[-1] = (self.holds[-1][0], at)

    def end(self, at: dt.datetime, result: str = "") -> None:
        """A transfer may put the end before what the platform still told of this party: no hold outlasts its leg."""
        if self.ended_at is None:
            self.holds = [(start, min(end or at, at)) for start, end in self.holds if start < at]
            self.ended_at = at
            self.result = self.result or result

    @property
    def connected_seconds(self) -> float:
        return seconds(self.answered_at, self.ended_at)

    @property
    def hold_seconds(self) -> float:
        return round(sum(seconds(start, end) for start, end in self.holds), 3)

    @property
    def wrap_up_seconds(self) -> float:
        return seconds(self.ended_at, self.wrap_up_ended_at) if self.answered_at else 0.0


@dataclass(slots=True)
class EntryFacts:
    seq: int
    skill_group: str
    cause: str
    entered_at: dt.datetime
    priority: int | None = None
    left_at: dt.datetime | None = None
    outcome: str = ""
    reason: str = ""
    while_ringing: bool = False

    @property
    def wait_seconds(self) -> float:
        return seconds(self.entered_at, self.left_at)

    def leave(self, at: dt.datetime, outcome: str, reason: str = "") -> None:
        self.left_at, self.outcome, self.reason = at, outcome, reason


@dataclass(slots=True)
class StepFacts:
    seq: int
    step: str
    prompt: str = ""
    prompt_kind: str = ""
    prompted_at: dt.datetime | None = None
    input: str = ""
    input_kind: str = ""
    input_at: dt.datetime | None = None


@dataclass(slots=True)
class AudioFacts:
    """A recording or a voicemail that the platform says exists."""

    event_key: bytes
    recorded_at: dt.datetime
    duration_seconds: float | None
    reference: str
    skill_group: str = ""


@dataclass(slots=True)
class CallFacts:
    """Everything the events say about one call."""

    started_at: dt.datetime
    last_event_at: dt.datetime
    direction: str = Direction.INBOUND
    call_type: str = ""
    calling_number: str = ""
    called_number: str = ""
    provider: str = ""
    location: str = ""
    state: str = CallState.STARTED
    outcome: str = ""
    answered_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    end_is_inferred: bool = False
    disconnect_party: str = ""
    end_cause: str = ""
    ivr_entered_at: dt.datetime | None = None
    ivr_left_at: dt.datetime | None = None
    ivr_exit: str = ""
    n_transfers: int = 0
    rating_asked: bool = False
    rating_score: float | None = None
    rating_scale: int | None = None
    disposition: str = ""
    remark: str = ""
    legs: list[LegFacts] = field(default_factory=list)
    entries: list[EntryFacts] = field(default_factory=list)
    steps: list[StepFacts] = field(default_factory=list)
    recordings: list[AudioFacts] = field(default_factory=list)
    voicemails: list[AudioFacts] = field(default_factory=list)
    is_addition: bool = False
    """Only what came after the call; the record's own events have left the database, so the rest of it stands."""

    @property
    def agent_legs(self) -> list[LegFacts]:
        return [leg for leg in self.legs if leg.kind == LegKind.AGENT]

    @property
    def answered_legs(self) -> list[LegFacts]:
        return [leg for leg in self.agent_legs if leg.answered_at is not None]

    @property
    def last_agent(self) -> str:
        """Who spoke last: the agent a record is listed under."""
        return self.answered_legs[-1].party if self.answered_legs else ""

    @property
    def last_skill_group(self) -> str:
        """The group of the last answer, else the last queued for, else the last that rang."""
        by_weight: tuple[LegFacts | EntryFacts, ...] = (*self.agent_legs, *self.entries, *self.answered_legs)
        return next((part.skill_group for part in reversed(by_weight) if part.skill_group), "")

    @property
    def ivr_seconds(self) -> float:
        return seconds(self.ivr_entered_at, self.ivr_left_at)

    @property
    def wait_seconds(self) -> float:
        return round(sum(entry.wait_seconds for entry in self.entries), 3)

    @property
    def ring_seconds(self) -> float:
        """Wall-clock time in which at least one agent's phone rang."""
        total, until = 0.0, None
        for leg in sorted(self.agent_legs, key=lambda leg: leg.offered_at):
            end = leg.answered_at or leg.ended_at
            if end is not None and (until is None or end > until):
                total += seconds(leg.offered_at if until is None else max(until, leg.offered_at), end)
                until = end
        return round(total, 3)

    @property
    def hold_seconds(self) -> float:
        return round(sum(leg.hold_seconds for leg in self.answered_legs), 3)

    @property
    def talk_seconds(self) -> float:
        ended = [leg for leg in self.answered_legs if leg.ended_at is not None]
        return round(sum(leg.connected_seconds - leg.hold_seconds for leg in ended), 3)

    @property
    def wrap_up_seconds(self) -> float:
        return round(sum(leg.wrap_up_seconds for leg in self.answered_legs), 3)


def seconds(start: dt.datetime | None, end: dt.datetime | None) -> float:
    """From one moment to the next, to the millisecond; 0 while either is open, and for clocks that run backwards."""
    if start is None or end is None or end <= start:
        return 0.0
    return round((end - start).total_seconds(), 3)


# The order in which things that carry the same time happened. Platforms write whole seconds, so ties are common.
_ORDER = {
    name: rank
    for rank, name in enumerate(
        (
            "call.started",
            "call.ivr_prompted",
            "call.ivr_input",
            "call.resumed",
            "call.transferred",
            "call.leg_ended",
            "call.queued",
            "call.dequeued",
            "call.ring_ended",
            "call.ringing",
            "call.answered",
            "call.held",
            "call.voicemail_left",
            "call.ended",
            "call.recorded",
            "call.wrap_up_ended",
            "call.rated",
            "call.remarked",
        )
    )
}
AFTER_CALL = frozenset({"call.recorded", "call.voicemail_left", "call.wrap_up_ended", "call.rated", "call.remarked"})
"""What may still come when the call is over."""


def in_order(events: Iterable[Event]) -> list[Event]:
    """One order for one set of events, whatever order they came in."""
    return sorted(events, key=lambda event: (event.at, event.sequence, _ORDER.get(event.type, 99), event.key))


def fold(events: Iterable[Event]) -> CallFacts:
    """The record that a call's events make. At least one event is needed."""
    ordered = in_order(events)
    ordered = [event for event in ordered if not _is_refuted(event, ordered)]
    first = next((event for event in ordered if event.type == "call.started"), ordered[0])
    facts = CallFacts(started_at=min(first.at, ordered[0].at), last_event_at=ordered[-1].at)
    if first.type == "call.started":
        _start(facts, first.data)
    for _, tied in groupby(ordered, key=lambda event: event.at):
        for event in _settle_tie(list(tied), facts):
            handle = _HANDLERS.get(event.type)
            if handle is not None and (facts.ended_at is None or event.type in AFTER_CALL):
                handle(facts, event)
    facts.state = _state(facts)
    if facts.ended_at is not None:
        facts.outcome = _outcome(facts)
    return facts


def _is_refuted(event: Event, ordered: list[Event]) -> bool:
    """The portal gave a silent call up, and then more of it came: it was not over, or ended otherwise."""
    if not _gives_up(event):
        return False
    return any(
        not _gives_up(other) and (other.type == "call.ended" or (other.at > event.at and other.type not in AFTER_CALL))
        for other in ordered
    )


def _gives_up(event: Event) -> bool:
    return event.source == PORTAL_SOURCE and event.data.get("cause") == LOST_CONTACT


def _settle_tie(tied: list[Event], facts: CallFacts) -> list[Event]:
    """At one instant a caller leaves the queue they were in before they enter the next one."""
    if len(tied) > 1 and _open_entry(facts) is not None and not any(event.sequence for event in tied):
        tied.sort(key=lambda event: event.type != "call.dequeued")
    return tied


# --- What each event does --------------------------------------------------------------------------------------------


def _start(facts: CallFacts, data: dict[str, Any]) -> None:
    """What the first start says of the whole call, wherever a wrong clock put it; a second one says nothing new."""
    facts.direction = data.get("direction", facts.direction)
    for name in ("call_type", "calling_number", "called_number", "provider", "location"):
        setattr(facts, name, data.get(name) or "")


def _ivr_prompted(facts: CallFacts, event: Event) -> None:
    _enter_ivr(facts, event.at)
    data = event.data
    facts.steps.append(
        StepFacts(
            seq=len(facts.steps) + 1,
            step=data.get("step", ""),
            prompt=data.get("prompt", ""),
            prompt_kind=data.get("kind") or "",
            prompted_at=event.at,
        )
    )


def _ivr_input(facts: CallFacts, event: Event) -> None:
    _enter_ivr(facts, event.at)
    data = event.data
    step = next((s for s in reversed(facts.steps) if s.step == data.get("step") and s.input_at is None), None)
    if step is None:
        step = StepFacts(seq=len(facts.steps) + 1, step=data.get("step", ""))
        facts.steps.append(step)
    step.input, step.input_kind, step.input_at = data.get("input", ""), data.get("kind") or "keys", event.at


def _queued(facts: CallFacts, event: Event) -> None:
    group = event.data["skill_group"]
    waiting = _open_entry(facts)
    if waiting is not None:
        if waiting.skill_group == group:
            return  # still waiting there: rung out and put back in line, the wait goes on
        waiting.leave(event.at, EntryOutcome.FLOW_OUT, "overflow")
    _leave_ivr(facts, event.at, IvrExit.TO_QUEUE)
    before = facts.entries[-1] if facts.entries else None
    if facts.answered_legs:
        cause = EntryCause.TRANSFER
    elif before is not None:
        cause = EntryCause.REQUEUE if before.skill_group == group else EntryCause.OVERFLOW
    else:
        cause = EntryCause.IVR if facts.ivr_entered_at else EntryCause.DIRECT
    facts.entries.append(
        EntryFacts(len(facts.entries) + 1, group, cause, entered_at=event.at, priority=event.data.get("priority"))
    )


def _dequeued(facts: CallFacts, event: Event) -> None:
    group, reason = event.data.get("skill_group"), event.data["reason"]
    entry = _open_entry(facts)
    if entry is None or (group and entry.skill_group != group):
        return
    _leave_for(entry, event.at, reason)
    _stop_ringing(facts, event.at, LegResult.CANCELLED, queue_seq=entry.seq)


def _ringing(facts: CallFacts, event: Event) -> None:
    if _ringing_leg(facts, event.data["agent"]) is None:
        _offer(facts, event)


def _ring_ended(facts: CallFacts, event: Event) -> None:
    leg = _ringing_leg(facts, event.data["agent"])
    if leg is not None:
        leg.end(event.at, _RING_RESULTS[event.data["reason"]])


_RING_RESULTS = {
    "no_answer": LegResult.NO_ANSWER,
    "rejected": LegResult.REJECTED,
    "busy": LegResult.BUSY,
    "cancelled": LegResult.CANCELLED,
}


def _answered(facts: CallFacts, event: Event) -> None:
    agent = event.data["agent"]
    if _talking_leg(facts, agent) is not None:
        return
    leg = _ringing_leg(facts, agent) or _offer(facts, event)
    _leave_queue_for(facts, leg, event.at)
    leg.is_at_once = bool(leg.skill_group) and not facts.entries and not facts.answered_legs and _is_inbound(facts)
    leg.answered_at, leg.result = event.at, LegResult.ANSWERED
    leg.terminal = event.data.get("terminal") or leg.terminal
    facts.answered_at = facts.answered_at or event.at
    if leg.queue_seq is not None:
        _stop_ringing(facts, event.at, LegResult.ELSEWHERE, queue_seq=leg.queue_seq)


def _leave_queue_for(facts: CallFacts, leg: LegFacts, at: dt.datetime) -> None:
    """Whoever speaks to an agent waits no longer, however the platform named the group or ordered its events."""
    entry = _open_entry(facts)
    if entry is None:
        return
    if leg.skill_group in ("", entry.skill_group):
        leg.queue_seq, leg.skill_group = entry.seq, entry.skill_group
        entry.leave(at, EntryOutcome.ANSWERED)
    else:
        entry.leave(at, EntryOutcome.FLOW_OUT, "overflow")
        leg.queue_seq = None


def _held(facts: CallFacts, event: Event) -> None:
    leg = _talking_leg(facts, event.data["agent"])
    if leg is not None and not leg.is_on_hold:
        leg.holds.append((event.at, None))


def _resumed(facts: CallFacts, event: Event) -> None:
    leg = _talking_leg(facts, event.data["agent"])
    if leg is not None:
        leg.resume(event.at)


def _transferred(facts: CallFacts, event: Event) -> None:
    data = event.data
    facts.n_transfers += 1
    leg = _talking_leg(facts, data.get("from") or "")
    if leg is not None:
        leg.transfer_kind, leg.transferred_at = data["kind"], event.at
        leg.transfers_to_agent = bool(data.get("to_agent"))
        leg.transfer_to = data.get("to_agent") or data.get("to_skill_group") or data.get("to_number") or ""
        if data["kind"] == "blind":
            leg.end(event.at)
    if data.get("to_number"):
        _leave_ivr(facts, event.at, IvrExit.FORWARDED)
        entry = _open_entry(facts)
        if entry is not None:
            entry.leave(event.at, EntryOutcome.FLOW_OUT, "forwarded")
        facts.legs.append(
            LegFacts(
                len(facts.legs) + 1,
                LegKind.EXTERNAL,
                offered_at=event.at,
                party=data["to_number"],
                provider=data.get("provider") or "",
                answered_at=event.at,
                result=LegResult.ANSWERED,
            )
        )


def _leg_ended(facts: CallFacts, event: Event) -> None:
    party = event.data.get("agent") or event.data.get("number") or ""
    leg = _leg(facts, party, lambda leg: leg.ended_at is None)
    if leg is not None:
        leg.end(event.at, LegResult.CANCELLED)


def _wrap_up_ended(facts: CallFacts, event: Event) -> None:
    leg = _leg(facts, event.data["agent"], lambda leg: leg.answered_at is not None and leg.wrap_up_ended_at is None)
    if leg is not None:
        leg.end(event.at)  # a platform may tell the end of the work only
        leg.wrap_up_ended_at = event.at


def _voicemail_left(facts: CallFacts, event: Event) -> None:
    facts.voicemails.append(_audio(event))
    if facts.ended_at is None:
        _leave_ivr(facts, event.at, IvrExit.VOICEMAIL)
        entry = _open_entry(facts)
        if entry is not None:
            entry.leave(event.at, EntryOutcome.FLOW_OUT, "voicemail")


def _recorded(facts: CallFacts, event: Event) -> None:
    facts.recordings.append(_audio(event))


def _rated(facts: CallFacts, event: Event) -> None:
    facts.rating_asked = facts.rating_asked or event.data["asked"] or event.data.get("score") is not None
    if event.data.get("score") is not None:
        facts.rating_score, facts.rating_scale = event.data["score"], event.data["scale"]


def _remarked(facts: CallFacts, event: Event) -> None:
    facts.remark = event.data["text"]
    facts.disposition = event.data.get("disposition") or facts.disposition


def _ended(facts: CallFacts, event: Event) -> None:
    party, cause = event.data["party"], event.data.get("cause") or ""
    facts.ended_at, facts.disconnect_party, facts.end_cause = event.at, party, cause
    facts.end_is_inferred = event.source == PORTAL_SOURCE and cause == LOST_CONTACT
    entry = _open_entry(facts)
    if entry is not None:
        if party == Party.CUSTOMER:
            entry.leave(event.at, EntryOutcome.ABANDONED)
            entry.while_ringing = any(leg.is_ringing and leg.queue_seq == entry.seq for leg in facts.legs)
        elif cause in (LOST_CONTACT, "error") or (party == Party.SYSTEM and not cause):
            entry.leave(event.at, EntryOutcome.LOST, cause or party)
        else:
            _leave_for(entry, event.at, cause or party)
    unanswered = LegResult.CALLER_GAVE_UP if party == Party.CUSTOMER else LegResult.CANCELLED
    if not _is_inbound(facts) and cause in ("no_answer", "busy", "rejected"):
        unanswered = _RING_RESULTS[cause]
    _stop_ringing(facts, event.at, unanswered)
    for leg in facts.legs:
        passed_on = leg.transferred_at if leg.transfer_kind == "attended" and leg.is_talking else None
        leg.end(passed_on or event.at)
    _leave_ivr(facts, event.at, _ivr_exit(party, cause))


_HANDLERS: dict[str, Callable[[CallFacts, Event], None]] = {
    "call.ivr_prompted": _ivr_prompted,
    "call.ivr_input": _ivr_input,
    "call.queued": _queued,
    "call.dequeued": _dequeued,
    "call.ringing": _ringing,
    "call.ring_ended": _ring_ended,
    "call.answered": _answered,
    "call.held": _held,
    "call.resumed": _resumed,
    "call.transferred": _transferred,
    "call.leg_ended": _leg_ended,
    "call.wrap_up_ended": _wrap_up_ended,
    "call.voicemail_left": _voicemail_left,
    "call.recorded": _recorded,
    "call.rated": _rated,
    "call.remarked": _remarked,
    "call.ended": _ended,
}


# --- Parts of a call -------------------------------------------------------------------------------------------------


def _open_entry(facts: CallFacts) -> EntryFacts | None:
    return facts.entries[-1] if facts.entries and facts.entries[-1].left_at is None else None


def _leg(facts: CallFacts, party: str, fits: Callable[[LegFacts], bool]) -> LegFacts | None:
    """The latest leg of a party that fits; letter case of an email does not count."""
    wanted = party.casefold()
    return next((leg for leg in reversed(facts.legs) if leg.party.casefold() == wanted and fits(leg)), None)


def _ringing_leg(facts: CallFacts, agent: str) -> LegFacts | None:
    return _leg(facts, agent, lambda leg: leg.is_ringing)


def _talking_leg(facts: CallFacts, agent: str) -> LegFacts | None:
    return _leg(facts, agent, lambda leg: leg.is_talking)


def _offer(facts: CallFacts, event: Event) -> LegFacts:
    entry = _open_entry(facts)
    named = event.data.get("skill_group") or ""
    belongs = entry is not None and named in ("", entry.skill_group)
    _leave_ivr(facts, event.at, IvrExit.TO_AGENT)
    leg = LegFacts(
        len(facts.legs) + 1,
        LegKind.AGENT,
        offered_at=event.at,
        party=event.data["agent"],
        skill_group=named or (entry.skill_group if entry is not None else ""),
        queue_seq=entry.seq if entry is not None and belongs else None,
        terminal=event.data.get("terminal") or "",
    )
    facts.legs.append(leg)
    return leg


def _stop_ringing(facts: CallFacts, at: dt.datetime, result: str, queue_seq: int | None = None) -> None:
    for leg in facts.legs:
        if leg.is_ringing and queue_seq in (None, leg.queue_seq):
            leg.end(at, result)


def _leave_for(entry: EntryFacts, at: dt.datetime, reason: str) -> None:
    turned_away = reason in ("no_agents", "closed", "full", "blocked") and seconds(entry.entered_at, at) <= TURNED_AWAY_SECONDS
    entry.leave(at, EntryOutcome.REJECTED if turned_away else EntryOutcome.FLOW_OUT, reason)


def _enter_ivr(facts: CallFacts, at: dt.datetime) -> None:
    """The stay before a person is asked for; questions after the talk, such as a rating, are steps but no stay."""
    if facts.ivr_entered_at is None and not facts.entries and not facts.legs:
        facts.ivr_entered_at = at


def _leave_ivr(facts: CallFacts, at: dt.datetime, how: str) -> None:
    if facts.ivr_entered_at is not None and facts.ivr_left_at is None:
        facts.ivr_left_at, facts.ivr_exit = at, how


def _is_inbound(facts: CallFacts) -> bool:
    return facts.direction == Direction.INBOUND


def _ivr_exit(party: str, cause: str) -> str:
    """How an IVR stay ended that led to nobody. Served is what the flow says it is, or a flow that came to its end."""
    if cause == "self_served":
        return IvrExit.SELF_SERVED
    if cause in ("blocked", "closed", "no_agents", "full"):
        return IvrExit.REJECTED
    if cause in ("error", LOST_CONTACT):
        return IvrExit.ERROR
    return IvrExit.SELF_SERVED if party == Party.SYSTEM and cause in ("", "completed") else IvrExit.HANGUP


def _audio(event: Event) -> AudioFacts:
    data = event.data
    return AudioFacts(event.key, event.at, data.get("duration"), data.get("file") or "", data.get("skill_group") or "")


# --- What it comes to ------------------------------------------------------------------------------------------------


def _state(facts: CallFacts) -> str:
    if facts.ended_at is not None:
        return CallState.ENDED
    if any(leg.is_talking for leg in facts.legs):
        return CallState.TALKING
    if any(leg.is_ringing for leg in facts.legs):
        return CallState.RINGING
    if _open_entry(facts) is not None:
        return CallState.QUEUED
    return CallState.IN_IVR if facts.ivr_entered_at and facts.ivr_left_at is None else CallState.STARTED


def _outcome(facts: CallFacts) -> str:  # noqa: PLR0911  (a decision list: one line a rule)
    """How a closed call ended, from the strongest statement down."""
    cause = facts.end_cause
    if facts.answered_legs:
        return Outcome.ANSWERED
    if cause == "blocked":
        return Outcome.BLOCKED
    if any(leg.kind == LegKind.EXTERNAL for leg in facts.legs):
        return Outcome.FORWARDED
    if facts.voicemails:
        return Outcome.VOICEMAIL
    if cause == LOST_CONTACT:
        return Outcome.LOST_CONTACT
    if cause == "error":
        return Outcome.FAILED
    if not _is_inbound(facts) and not (facts.entries and facts.entries[-1].outcome == EntryOutcome.ABANDONED):
        return _outbound_outcome(facts)
    if facts.entries:
        return _queue_outcome(facts.entries[-1])
    if facts.agent_legs:
        return Outcome.ABANDONED_WHILE_RINGING if facts.disconnect_party == Party.CUSTOMER else Outcome.NOT_ANSWERED
    if cause in _TURNED_AWAY:
        return _TURNED_AWAY[cause]
    if facts.ivr_entered_at is not None:
        return Outcome.SELF_SERVED if facts.ivr_exit == IvrExit.SELF_SERVED else Outcome.ABANDONED_IN_IVR
    return Outcome.NOT_ANSWERED


_LEFT_FOR = {
    "timeout": Outcome.TIMED_OUT,
    "overflow": Outcome.OVERFLOWED,
    "full": Outcome.OVERFLOWED,
    "no_agents": Outcome.NO_AGENT,
    "closed": Outcome.CLOSED,
    "callback": Outcome.CALLBACK,
}
_TURNED_AWAY = {"no_agents": Outcome.NO_AGENT, "closed": Outcome.CLOSED, "full": Outcome.OVERFLOWED}
_OUTBOUND = {
    "busy": Outcome.LINE_BUSY,
    "rejected": Outcome.REFUSED,
    "unreachable": Outcome.UNREACHABLE,
    "invalid_number": Outcome.UNREACHABLE,
    "cancelled": Outcome.CANCELLED,
}


def _outbound_outcome(facts: CallFacts) -> str:
    if facts.end_cause in _OUTBOUND:
        return _OUTBOUND[facts.end_cause]
    if facts.disconnect_party == Party.AGENT and facts.end_cause != "no_answer":
        return Outcome.CANCELLED
    return Outcome.NOT_ANSWERED


def _queue_outcome(entry: EntryFacts) -> str:
    if entry.outcome == EntryOutcome.ABANDONED:
        return Outcome.ABANDONED_WHILE_RINGING if entry.while_ringing else Outcome.ABANDONED_IN_QUEUE
    if entry.outcome == EntryOutcome.LOST:
        return Outcome.FAILED
    return _LEFT_FOR.get(entry.reason, Outcome.NOT_ANSWERED)
