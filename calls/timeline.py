"""A call drawn to scale: lanes, bands, marks and the same story as an ordered list.

Pure: works on a call whose parts are already loaded, asks no clock and no database. Times are moments; the page turns
them into local time. Positions are percentages of the drawn stretch, which runs from the first moment of the call to
its last (wrap-up included), or to `at` while the call is open.
"""

import datetime as dt
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from agents.wording import terminal
from callcenter_site.durations import spoken
from calls.masking import customer_number, shown, shown_text
from calls.models import Call, CallLeg, Direction, EntryOutcome, IvrStep, LegKind, LegResult, Party, QueueEntry
from calls.wording import departure

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_MOST_TICKS = 8
_SHORTEST = dt.timedelta(seconds=1)
_RANKS = {"start": 0, "transfer": 1, "hangup": 3, "recording": 4, "voicemail": 4}
"""What is told first of what happened at the same instant; 2 for the rest."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the story."""

    at: dt.datetime
    kind: str
    text: str
    detail: str = ""


@dataclass(slots=True)
class Band:
    """A stretch of a lane. `end` is None while it goes on."""

    kind: str
    label: str
    start: dt.datetime
    end: dt.datetime | None
    until: dt.datetime
    """Where it stops in the drawing: its end, or now."""
    detail: str = ""
    left: float = 0
    width: float = 0
    story: int = 1
    """Which line of the story tells of it, counted from 1."""

    @property
    def seconds(self) -> float:
        return max(0.0, (self.until - self.start).total_seconds())

    @property
    def length(self) -> str:
        return spoken(self.seconds)

    @property
    def is_late(self) -> bool:
        """Starts so far right that its note must open to the left."""
        return self.left > 55


@dataclass(slots=True)
class Mark:
    """Something that happened at one moment of a lane, or of the whole call."""

    kind: str
    label: str
    at: dt.datetime
    left: float = 0
    top: int = 0
    bottom: int = 0
    """Lanes it runs between, for a transfer."""
    points_up: bool = False
    story: int = 1

    @property
    def is_late(self) -> bool:
        return self.left > 55


@dataclass(slots=True)
class Lane:
    title: str
    kind: str
    note: str = ""
    bands: list[Band] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass(slots=True)
class Tick:
    at: dt.datetime
    left: float
    has_seconds: bool
    has_date: bool


@dataclass(slots=True)
class Timeline:
    start: dt.datetime
    end: dt.datetime
    is_running: bool
    lanes: list[Lane]
    ticks: list[Tick]
    transfers: list[Mark]
    hangup: Mark | None
    story: list[Moment]
    length: str
    """Of the call itself, without what came after it."""


def draw(call: Call, *, at: dt.datetime, zone: zoneinfo.ZoneInfo, whole_numbers: bool) -> Timeline:
    """`call` comes with legs, queue_entries, ivr_steps, recordings and voicemails loaded, and their agents and groups."""
    return _Drawing(call, at, zone, whole_numbers).timeline()


def agent_name(leg: CallLeg, *, whole: bool) -> str:
    """Who the leg belongs to, as far as the portal knows. What the platform called a stranger may be a number."""
    if leg.agent is not None:
        return str(leg.agent)
    return shown_text(leg.agent_reference, whole=whole) or _("agent no longer known")


def group_name(part: CallLeg | QueueEntry) -> str:
    return str(part.skill_group) if part.skill_group is not None else part.skill_group_reference


def holds_of(leg: CallLeg) -> list[tuple[dt.datetime, dt.datetime | None]]:
    return [(dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end) if end else None) for start, end in leg.holds]


class _Drawing:
    def __init__(self, call: Call, at: dt.datetime, zone: zoneinfo.ZoneInfo, whole_numbers: bool) -> None:
        self.call, self.at, self.zone, self.whole = call, at, zone, whole_numbers
        self.legs = sorted(call.legs.all(), key=lambda leg: leg.seq)
        self.entries = sorted(call.queue_entries.all(), key=lambda entry: entry.seq)
        self.steps = sorted(call.ivr_steps.all(), key=lambda step: step.seq)
        self.recordings = list(call.recordings.all())
        self.voicemails = list(call.voicemails.all())
        self.limit = call.ended_at or at

    def timeline(self) -> Timeline:
        lanes = [*self._ivr(), *(self._queue(entry) for entry in self.entries), *self._parties()]
        if not lanes:
            lanes = [Lane(_("Call"), "call", bands=[self._band("call", _("Call"), self.call.started_at, self.call.ended_at)])]
        lanes.sort(key=lambda lane: lane.bands[0].start if lane.bands else self.call.started_at)
        transfers = list(self._transfers(lanes))
        hangup = self._hangup()
        start, end = self._stretch(lanes)
        story = sorted(self._story(), key=lambda moment: (moment.at, _RANKS.get(moment.kind, 2)))
        for mark in [*transfers, *(mark for lane in lanes for mark in lane.marks), *([hangup] if hangup else [])]:
            mark.left = _share(mark.at, start, end)
            mark.story = _line(story, mark.at, mark.kind)
        for lane in lanes:
            for band in lane.bands:
                band.left = _share(band.start, start, end)
                band.story = _line(story, band.start, band.kind)
                band.width = max(0.0, round(_share(band.until, start, end) - band.left, 3))
        return Timeline(
            start=start,
            end=end,
            is_running=self.call.ended_at is None,
            lanes=lanes,
            ticks=list(_ticks(start, end, self.zone)),
            transfers=transfers,
            hangup=hangup,
            story=story,
            length=spoken(max(0.0, (self.limit - self.call.started_at).total_seconds())),
        )

    def _band(self, kind: str, label: str, start: dt.datetime, end: dt.datetime | None, detail: str = "") -> Band:
        return Band(kind, label, start, end, max(start, end or self.limit), detail)

    def _ivr(self) -> Iterable[Lane]:
        call = self.call
        if call.ivr_entered_at is None:
            return
        exit_note = str(call.get_ivr_exit_display()) if call.ivr_exit else ""
        lane = Lane(_("IVR"), "ivr", bands=[self._band("ivr", _("In IVR"), call.ivr_entered_at, call.ivr_left_at, exit_note)])
        for step in self.steps:
            if step.input_at is not None:
                lane.marks.append(Mark("ivr", self._input(step), step.input_at))
        yield lane

    def _queue(self, entry: QueueEntry) -> Lane:
        group = group_name(entry) or _("no skill group")
        band = self._band("queue", _("In queue"), entry.entered_at, entry.left_at, _left_queue(entry))
        return Lane(_("Queue: %(group)s") % {"group": group}, "queue", str(entry.get_cause_display()), [band])

    def _parties(self) -> Iterable[Lane]:
        """One lane for each agent and each external number, however often they were tried."""
        lanes: dict[object, Lane] = {}
        for leg in self.legs:
            party: object
            if leg.kind == LegKind.EXTERNAL:
                party, title, kind = (
                    ("external", leg.number),
                    shown(leg.number, whole=self.whole) or _("External center"),
                    "external",
                )
                note = leg.provider or _("external center")
            else:
                party, title, kind = (
                    leg.agent_id or ("agent", leg.agent_reference, leg.seq),
                    agent_name(leg, whole=self.whole),
                    "agent",
                )
                note = leg.agent.staff_id if leg.agent is not None else _("not in the portal")
            lane = lanes.setdefault(party, Lane(title, kind, note))
            lane.bands.extend(self._external_bands(leg) if leg.kind == LegKind.EXTERNAL else self._agent_bands(leg))
        for lane in lanes.values():
            lane.bands.sort(key=lambda band: band.start)
        return lanes.values()

    def _external_bands(self, leg: CallLeg) -> Iterable[Band]:
        yield self._band("external", _("At the external center"), leg.answered_at or leg.offered_at, leg.ended_at)

    def _agent_bands(self, leg: CallLeg) -> Iterable[Band]:
        result = str(leg.get_result_display()) if leg.result else ""
        if leg.answered_at is None or leg.answered_at > leg.offered_at:
            yield self._band("ring", _("Ringing"), leg.offered_at, leg.answered_at or leg.ended_at, result)
        if leg.answered_at is None:
            return
        spoke_from = leg.answered_at
        for held_at, resumed_at in holds_of(leg):
            if held_at > spoke_from:
                yield self._band("talk", _("Talk"), spoke_from, held_at)
            yield self._band("hold", _("On hold"), held_at, resumed_at or leg.ended_at)
            spoke_from = resumed_at or leg.ended_at or self.limit
        if not leg.holds or spoke_from < (leg.ended_at or self.limit):
            yield self._band("talk", _("Talk"), spoke_from, leg.ended_at)
        if leg.ended_at is not None and leg.wrap_up_ended_at is not None and leg.wrap_up_ended_at > leg.ended_at:
            yield self._band("wrap_up", _("Wrap-up"), leg.ended_at, leg.wrap_up_ended_at)

    def _transfers(self, lanes: list[Lane]) -> Iterable[Mark]:
        """An arrow from who passed the call on to the lane that starts next; without one, the arrow stays short."""
        for leg in self.legs:
            if not leg.transfer_kind:
                continue
            source = next((n for n, lane in enumerate(lanes) if any(self._is_of(band, leg) for band in lane.bands)), 0)
            moment = self._transferred_at(leg)
            target = next(
                (n for n, lane in enumerate(lanes) if n != source and any(band.start >= moment for band in lane.bands)), source
            )
            top, bottom = sorted((source, target))
            yield Mark("transfer", self._transfer_text(leg), moment, top=top, bottom=bottom, points_up=target < source)

    @staticmethod
    def _is_of(band: Band, leg: CallLeg) -> bool:
        return band.kind == "talk" and band.start == leg.answered_at

    def _transferred_at(self, leg: CallLeg) -> dt.datetime:
        return leg.transferred_at or leg.ended_at or self.limit

    def _transfer_text(self, leg: CallLeg) -> str:
        target = self._target(leg)
        if leg.transfer_kind == "attended":
            return _("%(agent)s transferred the call to %(target)s after talking to them") % {
                "agent": agent_name(leg, whole=self.whole),
                "target": target,
            }
        return _("%(agent)s transferred the call to %(target)s") % {"agent": agent_name(leg, whole=self.whole), "target": target}

    def _target(self, leg: CallLeg) -> str:
        if leg.transfer_agent is not None:
            return str(leg.transfer_agent)
        named = leg.transfer_to
        if any(other.number == named for other in self.legs if other.number):
            return shown(named, whole=self.whole)
        return shown_text(named, whole=self.whole) or _("somebody")

    def _hangup(self) -> Mark | None:
        call = self.call
        return Mark("hangup", self._end_text(), call.ended_at) if call.ended_at is not None else None

    def _end_text(self) -> str:
        call = self.call
        if call.end_is_inferred:
            return _("Lost contact")
        return {
            Party.CUSTOMER.value: _("The customer hung up"),
            Party.AGENT.value: _("The agent hung up"),
            Party.SYSTEM.value: _("The system ended the call"),
        }.get(call.disconnect_party, _("The call ended"))

    def _stretch(self, lanes: list[Lane]) -> tuple[dt.datetime, dt.datetime]:
        bands = [band for lane in lanes for band in lane.bands]
        start = min([self.call.started_at, *(band.start for band in bands)])
        end = max([self.limit, *(band.until for band in bands)])
        return start, max(end, start + _SHORTEST)

    def _story(self) -> Iterable[Moment]:
        call = self.call
        number = shown(customer_number(call), whole=self.whole) or _("a withheld number")
        opening = {
            Direction.INBOUND.value: _("Call from %(number)s"),
            Direction.OUTBOUND.value: _("Call to %(number)s"),
        }.get(call.direction, _("Internal call to %(number)s"))
        yield Moment(call.started_at, "start", opening % {"number": number})
        yield from self._ivr_story()
        for entry in self.entries:
            group = group_name(entry) or _("no skill group")
            yield Moment(entry.entered_at, "queue", _("Queued for %(group)s") % {"group": group}, str(entry.get_cause_display()))
            if entry.left_at is not None and entry.outcome != EntryOutcome.ANSWERED:
                waited = _("after %(time)s") % {"time": spoken(entry.wait_seconds)}
                yield Moment(
                    entry.left_at, "queue", _("%(group)s: %(how)s") % {"group": group, "how": _left_queue(entry)}, waited
                )
        for leg in self.legs:
            yield from self._leg_story(leg)
        for recording in self.recordings:
            length = spoken(recording.duration_seconds) if recording.duration_seconds is not None else ""
            yield Moment(recording.recorded_at, "recording", _("Recording made"), length)
        for voicemail in self.voicemails:
            length = spoken(voicemail.duration_seconds) if voicemail.duration_seconds is not None else ""
            yield Moment(voicemail.recorded_at, "voicemail", _("Voicemail left"), length)
        if call.ended_at is not None:
            inferred = _("No event came any more; the end is the portal's conclusion.") if call.end_is_inferred else ""
            yield Moment(call.ended_at, "hangup", self._end_text(), inferred or _cause_text(call))

    def _ivr_story(self) -> Iterable[Moment]:
        call = self.call
        for step in self.steps:
            if step.prompted_at is not None:
                prompt = shown_text(step.prompt, whole=self.whole)
                yield Moment(
                    step.prompted_at, "ivr", _("IVR: %(prompt)s") % {"prompt": prompt or step.step}, step.step if prompt else ""
                )
            if step.input_at is not None:
                yield Moment(step.input_at, "ivr", self._input(step), step.step)
        if call.ivr_entered_at is not None and not any(step.prompted_at for step in self.steps):
            yield Moment(call.ivr_entered_at, "ivr", _("Entered the IVR"))
        if call.ivr_left_at is not None:
            yield Moment(
                call.ivr_left_at,
                "ivr",
                _("Left the IVR: %(how)s") % {"how": call.get_ivr_exit_display()} if call.ivr_exit else _("Left the IVR"),
                _("after %(time)s") % {"time": spoken(call.ivr_seconds)},
            )

    def _input(self, step: IvrStep) -> str:
        entered = shown_text(step.input, whole=self.whole)
        if step.input_kind == "speech":
            return _("The caller said “%(input)s”") % {"input": entered}
        if step.input_kind == "audio":
            return _("The caller left an audio answer")
        return _("The caller pressed %(input)s") % {"input": entered}

    def _leg_story(self, leg: CallLeg) -> Iterable[Moment]:
        if leg.kind == LegKind.EXTERNAL:
            number = shown(leg.number, whole=self.whole) or _("an external center")
            yield Moment(leg.offered_at, "external", _("Connected to %(number)s") % {"number": number}, leg.provider)
            if leg.ended_at is not None:
                yield Moment(leg.ended_at, "external", _("%(number)s left the call") % {"number": number}, self._talked(leg))
            return
        name = {"agent": agent_name(leg, whole=self.whole)}
        if leg.answered_at != leg.offered_at:
            yield Moment(leg.offered_at, "ring", _("Rang at %(agent)s") % name, terminal(leg.terminal))
        if leg.answered_at is None:
            if leg.ended_at is not None:
                rang = _("rang %(time)s") % {"time": spoken((leg.ended_at - leg.offered_at).total_seconds())}
                yield Moment(leg.ended_at, "ring", _offer_text(leg) % name, rang)
            return
        waited = (leg.answered_at - leg.offered_at).total_seconds()
        yield Moment(
            leg.answered_at,
            "talk",
            _("%(agent)s answered") % name,
            _("after ringing %(time)s") % {"time": spoken(waited)} if waited > 0 else _("at once"),
        )
        for held_at, resumed_at in holds_of(leg):
            yield Moment(held_at, "hold", _("%(agent)s put the call on hold") % name)
            if resumed_at is not None and resumed_at != leg.ended_at:
                held = spoken((resumed_at - held_at).total_seconds())
                yield Moment(resumed_at, "hold", _("%(agent)s took the call back") % name, _("after %(time)s") % {"time": held})
        if leg.transfer_kind:
            yield Moment(self._transferred_at(leg), "transfer", self._transfer_text(leg))
        if leg.ended_at is not None and leg.transfer_kind != "blind":
            yield Moment(leg.ended_at, "talk", _("%(agent)s left the call") % name, self._talked(leg))
        if leg.ended_at is not None and leg.wrap_up_ended_at is not None:
            after = spoken(max(0.0, (leg.wrap_up_ended_at - leg.ended_at).total_seconds()))
            yield Moment(
                leg.wrap_up_ended_at, "wrap_up", _("%(agent)s finished the wrap-up") % name, _("after %(time)s") % {"time": after}
            )

    @staticmethod
    def _talked(leg: CallLeg) -> str:
        connected = ((leg.ended_at or leg.offered_at) - (leg.answered_at or leg.offered_at)).total_seconds()
        return _("%(time)s in the call") % {"time": spoken(max(0.0, connected))}


def _left_queue(entry: QueueEntry) -> str:
    if entry.outcome == EntryOutcome.ABANDONED and entry.while_ringing:
        return _("the caller gave up while it rang")
    if entry.outcome == EntryOutcome.ABANDONED:
        return _("the caller gave up")
    if entry.reason:
        return departure(entry.reason)
    return str(entry.get_outcome_display()) if entry.outcome else _("still waiting")


def _offer_text(leg: CallLeg) -> str:
    return {
        LegResult.NO_ANSWER.value: _("%(agent)s did not answer"),
        LegResult.REJECTED.value: _("%(agent)s rejected the call"),
        LegResult.BUSY.value: _("%(agent)s was busy"),
        LegResult.ELSEWHERE.value: _("%(agent)s stopped ringing: another answered"),
        LegResult.CALLER_GAVE_UP.value: _("%(agent)s stopped ringing: the caller gave up"),
    }.get(leg.result, _("%(agent)s stopped ringing"))


def _cause_text(call: Call) -> str:
    outcome = str(call.get_outcome_display()) if call.outcome else ""
    return pgettext("how the call ended", "outcome: %(outcome)s") % {"outcome": outcome} if outcome else ""


def _line(story: list[Moment], at: dt.datetime, kind: str) -> int:
    """The line that tells of this moment: of the same kind if there is one, else the first from then on."""
    same = next((n for n, moment in enumerate(story, 1) if moment.at == at and moment.kind == kind), None)
    return same or next((n for n, moment in enumerate(story, 1) if moment.at >= at), len(story))


def _share(moment: dt.datetime, start: dt.datetime, end: dt.datetime) -> float:
    return round(min(100.0, max(0.0, (moment - start) / (end - start) * 100)), 3)


def _ticks(start: dt.datetime, end: dt.datetime, zone: zoneinfo.ZoneInfo) -> Iterable[Tick]:
    """Round local times, at most eight of them."""
    length = (end - start).total_seconds()
    step = next(
        (step for step in _STEPS if length / step <= _MOST_TICKS), _STEPS[-1] * (int(length // (_STEPS[-1] * _MOST_TICKS)) + 1)
    )
    offset = int((start.astimezone(zone).utcoffset() or dt.timedelta()).total_seconds())
    first = -(-(start.timestamp() + offset) // step) * step - offset
    day = start.astimezone(zone).date()
    moment = dt.datetime.fromtimestamp(first, dt.UTC)
    while moment <= end:
        local_day = moment.astimezone(zone).date()
        yield Tick(moment, _share(moment, start, end), has_seconds=step < 60, has_date=local_day != day)
        day = local_day
        moment += dt.timedelta(seconds=step)
