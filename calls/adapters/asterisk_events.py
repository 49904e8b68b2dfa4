"""What an Asterisk tells over its manager interface, as it happens, read as events.

A call is what its channels share: the linked id. Channels come and go within it; one of them is the customer's, others
are phones of agents, and local channels stand between, which are nobody. `seats` are the parts agents have.

Some events mean nothing by themselves. QueueCallerAbandon is raised for a timeout and an emptied queue as well, and
tells a hang-up only if the caller's channel was asked to hang up; a caller who leaves with a key just leaves; a blind
transfer names an extension, and where that leads is seen a moment later; a phone that stops ringing was answered
elsewhere, or given up, or neither. Such things are kept until the next event, or for `SETTLED` at the longest.

Pure: no database, no socket and no clock but the times handed in. What is kept is bounded by what is under way: it goes
with its channels, and `resume` drops what the server no longer has.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from calls.adapters.asterisk import UNKNOWN_TARGET, Event, Site, caller, content_key, dialled_number
from calls.lifecycle import LOST_CONTACT, PORTAL_SOURCE

Frame = Mapping[str, str]

SETTLED = dt.timedelta(seconds=2)
KEYS_APART = dt.timedelta(seconds=4)
"""Keys pressed with a longer pause between them are two inputs."""
AHEAD = dt.timedelta(minutes=5)
_AN_INSTANT = dt.timedelta(microseconds=1)

_RINGING, _UP = "5", "6"
_INCOMING = "4"
_UNAVAILABLE = frozenset({"4", "5"})
_NOT_TAKING = frozenset({"0", "4", "5"})

_CAUSES = {
    1: "invalid_number",
    22: "invalid_number",
    28: "invalid_number",
    17: "busy",
    21: "rejected",
    2: "unreachable",
    3: "unreachable",
    20: "unreachable",
    27: "unreachable",
    34: "unreachable",
    38: "unreachable",
    41: "unreachable",
    42: "unreachable",
    44: "unreachable",
}
"""Why nobody was reached, by the cause of Q.850; any other: no answer."""


@dataclass(slots=True)
class KnownCall:
    """A call that the portal holds for open."""

    direction: str
    last_at: dt.datetime
    queue: str = ""
    talking: frozenset[str] = frozenset()
    ringing: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Seat:
    agent: str
    uid: str
    """The channel it was offered on."""
    queue: str = ""
    state: str = "ringing"
    """ringing, waiting (their own phone was called first and they wait for the customer), talking, over."""
    cancelled_at: dt.datetime | None = None
    refused_cause: int = 0
    has_rung: bool = False
    is_on_hold: bool = False
    spoke: bool = False


@dataclass(slots=True)
class _Channel:
    uid: str
    name: str
    kind: str
    """phone, trunk, local."""
    agent: str
    call: "_Call"
    pair: str = ""
    seat: _Seat | None = None
    is_up: bool = False
    bridge: str = ""
    asked_to_hang_up: bool = False
    last_key_at: dt.datetime | None = None


@dataclass(slots=True)
class _Wait:
    queue: str
    uid: str
    abandoned_at: dt.datetime | None = None
    left_at: dt.datetime | None = None
    was_empty: bool = False
    last_key: str = ""


@dataclass(slots=True)
class _Transfer:
    at: dt.datetime
    agent: str
    extension: str


@dataclass(slots=True)
class _Keys:
    text: str
    place: tuple[str, str]
    at: dt.datetime


@dataclass(slots=True)
class _Refusal:
    queue: str
    at: dt.datetime
    place: tuple[str, str]
    is_full: bool
    is_sure: bool = False
    went_on: bool = False


@dataclass(slots=True)
class _Call:
    linked: str
    subject: str
    created_at: dt.datetime
    last_at: dt.datetime
    root: str
    direction: str = ""
    """Empty: not known to be a call yet. A phone that dials a code of the house is none."""
    customer: str = ""
    has_ended: bool = False
    was_reached: bool = False
    """An outbound call: the other side picked up."""
    channels: set[str] = field(default_factory=set)
    seats: list[_Seat] = field(default_factory=list)
    wait: _Wait | None = None
    transfer: _Transfer | None = None
    consulted: Event | None = None
    """Whom an agent asks before they transfer."""
    keys: _Keys | None = None
    refusal: _Refusal | None = None
    queues: set[str] = field(default_factory=set)
    hung_up_by: str = ""
    cause: int = 0
    dial_status: str = ""
    dial_ended_at: dt.datetime | None = None
    external: dict[str, str] = field(default_factory=dict)
    """Numbers the call was passed on to, by their channel."""
    passed_on: set[str] = field(default_factory=set)
    """Those of them that were told."""
    is_in_ivr: bool = False
    beep_at: dt.datetime | None = None
    held_back: list[tuple[str, dt.datetime, Event]] = field(default_factory=list)
    """What can be told once it is known what kind of call it is."""


@dataclass(slots=True)
class _Member:
    agent: str
    is_paused: bool
    reason: str
    status: str
    is_dynamic: bool
    paused_at: float
    logged_in_at: float


@dataclass(slots=True)
class ManagerEvents:
    """Translates what one manager connection says; it may be lost and made again meanwhile."""

    site: Site
    _channels: dict[str, _Channel] = field(default_factory=dict)
    _calls: dict[str, _Call] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    """Local channels by name, until both halves are known."""
    _members: dict[tuple[str, str], _Member] = field(default_factory=dict)
    _said: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Status and reason that each agent was told to have last."""
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """How many may wait in a queue (0: any number) and how many do."""
    _lag: dt.timedelta = dt.timedelta(0)
    """By how much messages come later than they say: the way, and clocks that differ. Times asked for are less by it."""
    _missing: set[str] = field(default_factory=set)
    _sees_dialplan: bool = False
    _out: list[Event] = field(default_factory=list)

    # --- In and out --------------------------------------------------------------------------------------------------

    @property
    def n_channels(self) -> int:
        return len(self._channels)

    @property
    def n_calls(self) -> int:
        return sum(1 for call in self._calls.values() if call.direction and not call.has_ended)

    def feed(self, frame: Frame, arrived_at: dt.datetime) -> list[Event]:
        """The events that one message makes."""
        self._out = []
        handle = _HANDLERS.get(frame.get("Event", ""))
        if handle is not None and "Timestamp" not in frame and frame["Event"] in _UNTIMED:
            handle(self, frame, arrived_at - self._lag)  # part of an answer
        elif handle is not None:
            at = _time_of(frame, arrived_at)
            self._lag = arrived_at - at
            self._note(frame, at)
            handle(self, frame, at)
        return self._out

    def tick(self, at: dt.datetime) -> list[Event]:
        """What need not be waited for any longer. Call it every second or so."""
        self._out = []
        at -= self._lag
        for call in list(self._calls.values()):
            if call.transfer is not None and at - call.transfer.at > SETTLED:
                self._settle_transfer(call)
            if call.wait is not None and call.wait.left_at is not None and at - call.wait.left_at > SETTLED:
                self._left_by_key(call)
            if call.keys is not None and at - call.keys.at > KEYS_APART:
                self._settle_keys(call)
        return self._out

    def _note(self, frame: Frame, at: dt.datetime) -> None:
        """What any message of a channel tells by the way."""
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is None:
            return
        other = self._calls.get(frame.get("Linkedid", ""))
        if other is not None and other is not channel.call:
            self._move(channel, other, at)
        call = channel.call
        wait = call.wait
        if wait is not None and wait.left_at is not None and channel.uid == wait.uid and frame["Event"] in _AFTER_LEAVING:
            self._left_by_key(call, self._name_of(frame))
        if channel.uid == call.customer and call.direction == "inbound" and not call.has_ended:
            self._note_place(call, frame, at)

    def _note_place(self, call: _Call, frame: Frame, at: dt.datetime) -> None:
        context, extension = frame.get("Context", ""), frame.get("Exten", "")
        if not context:
            return
        if not (call.is_in_ivr or call.queues or call.seats) and self.site.ivr_contexts.search(context):
            call.is_in_ivr = True
            self._tell(call, "call.ivr_prompted", at, {"step": context[:100], "prompt": context[:100]})
        refusal = call.refusal
        if refusal is None:
            if extension in self._places and extension not in call.queues and not self._sees_dialplan:
                most, waiting = self._places[extension]
                call.refusal = _Refusal(extension[:60], at, (context, extension), is_full=0 < most <= waiting)
        elif refusal.place[0] != context:
            refusal.went_on = True

    def _at(self, call: _Call, at: dt.datetime) -> dt.datetime:
        """Messages come in order, whatever their times say: two of one call are never at one instant."""
        call.last_at = max(at, call.last_at + _AN_INSTANT)
        return call.last_at

    def _tell(self, call: _Call, event_type: str, at: dt.datetime, data: Event, *, is_noted: bool = False) -> None:
        """`is_noted`: the moment was taken before."""
        moment = at if is_noted else self._at(call, at)
        if not call.direction:
            call.held_back.append((event_type, moment, data))
        elif not call.has_ended or event_type in _ALSO_AFTER:
            key = content_key(event_type, call.subject, moment.isoformat(), data)
            self._out.append(self.site.event(key, event_type, call.subject, moment, data))

    # --- Calls and channels ------------------------------------------------------------------------------------------

    def _call_of(self, frame: Frame, at: dt.datetime, prefix: str = "") -> _Call:
        linked = frame.get(f"{prefix}Linkedid") or frame.get(f"{prefix}Uniqueid", "")
        call = self._calls.get(linked)
        if call is None:
            uid = frame.get(f"{prefix}Uniqueid", "")
            call = self._calls[linked] = _Call(linked, self.site.call_id(linked), at, at, root=uid)
        return call

    def _channel(self, frame: Frame, at: dt.datetime, prefix: str = "") -> _Channel | None:
        """The channel a message is about, also where its beginning was missed."""
        uid = frame.get(f"{prefix}Uniqueid", "")
        if not uid:
            return None
        channel = self._channels.get(uid)
        if channel is None:
            call = self._call_of(frame, at, prefix)
            name = frame.get(f"{prefix}Channel", "")
            tech, _, rest = name.partition("/")
            endpoint = rest.rpartition("-")[0] or rest
            interface = f"{tech}/{endpoint}"
            if tech == "Local":
                kind, agent = "local", ""
            elif self._is_member(interface) or not self.site.is_trunk(endpoint):
                kind, agent = "phone", self.site.agent(interface=interface)
            else:
                kind, agent = "trunk", ""
            channel = self._channels[uid] = _Channel(uid, name, kind, agent, call)
            channel.is_up = frame.get(f"{prefix}ChannelState") == _UP
            call.channels.add(uid)
        return channel

    def _is_member(self, interface: str) -> bool:
        return any(own == interface for _, own in self._members)

    def _start(self, call: _Call, direction: str, calling: str, called: str, customer: str = "") -> None:
        if call.direction or call.has_ended:
            return
        call.direction = direction
        call.customer = customer or call.customer
        data = {"direction": direction, "calling_number": caller(calling), "called_number": caller(called)}
        self._tell(call, "call.started", call.created_at, data, is_noted=True)
        for event_type, at, said in call.held_back:
            self._tell(call, event_type, at, said, is_noted=True)
        call.held_back = []

    def _move(self, channel: _Channel, call: _Call, at: dt.datetime) -> None:
        """A channel is part of another call now: two calls were joined by a transfer."""
        before = channel.call
        before.channels.discard(channel.uid)
        call.channels.add(channel.uid)
        channel.call = call
        seat = channel.seat
        if seat is not None and seat in before.seats:
            before.seats.remove(seat)
            if seat.state == "talking":
                self._tell(before, "call.leg_ended", at, {"agent": seat.agent})
                self._tell(call, "call.answered", at, {"agent": seat.agent})
            call.seats.append(seat)
        if channel.uid == before.customer and channel.kind == "trunk" and not call.customer:
            call.customer = channel.uid
        if not before.channels:
            before.hung_up_by = before.hung_up_by or "agent"
            self._end(before, at)

    def _newchannel(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channel(frame, at)
        if channel is None:
            return
        if channel.kind == "local":
            self._pair_by_name(channel)
        call = channel.call
        if channel.kind == "trunk" and call.root == channel.uid and frame.get("ChannelState") == _INCOMING:
            self._start(call, "inbound", frame.get("CallerIDNum", ""), frame.get("Exten", ""), channel.uid)

    def _pair_by_name(self, channel: _Channel) -> None:
        base, semicolon, half = channel.name.rpartition(";")
        if not semicolon:
            return
        other = self._channels.get(self._names.pop(f"{base};{'2' if half == '1' else '1'}", ""))
        if other is None:
            self._names[channel.name] = channel.uid
        else:
            channel.pair, other.pair = other.uid, channel.uid

    def _localbridge(self, frame: Frame, at: dt.datetime) -> None:
        one, two = (self._channels.get(frame.get(f"Local{half}Uniqueid", "")) for half in ("One", "Two"))
        if one is not None and two is not None:
            one.pair, two.pair = two.uid, one.uid

    def _newstate(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channel(frame, at)
        if channel is None:
            return
        state = frame.get("ChannelState")
        channel.is_up = channel.is_up or state == _UP
        if state == _RINGING and channel.seat is not None:
            channel.seat.has_rung = True
        call = channel.call
        if state == _UP and channel.kind == "trunk" and call.root == channel.uid and not call.direction:
            # It came in without ringing (some drivers), or its beginning was missed.
            self._start(call, "inbound", frame.get("CallerIDNum", ""), frame.get("Exten", ""), channel.uid)

    # --- Dialling and ringing ----------------------------------------------------------------------------------------

    def _agentcalled(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channel(frame, at, "Dest")
        if channel is None or channel.seat is not None:
            return
        agent = self.site.agent(interface=frame.get("Interface", ""), member=frame.get("MemberName", ""))
        self._offer(channel, agent, at, queue=frame.get("Queue", ""))

    def _offer(self, channel: _Channel, agent: str, at: dt.datetime, queue: str = "") -> _Seat:
        call = channel.call
        seat = channel.seat = _Seat(agent, channel.uid, queue[:60])
        call.seats.append(seat)
        data = {"agent": agent} | ({"skill_group": seat.queue} if queue else {}) | _terminal(channel)
        self._tell(call, "call.ringing", at, data)
        return seat

    def _dialbegin(self, frame: Frame, at: dt.datetime) -> None:
        target = self._channel(frame, at, "Dest")
        if target is None or target.seat is not None:
            return
        call = target.call
        source = self._channel(frame, at)
        if source is not None and source.uid == call.customer:
            self._settle_keys(call)
        pair = self._channels.get(source.pair) if source is not None else None
        if pair is not None and pair.seat is not None and pair.seat.state == "ringing":
            target.seat = pair.seat  # the phone behind a local channel that is offered already
        elif target.kind == "phone":
            self._dial_phone(call, source, target, at)
        elif target.kind == "trunk":
            self._dial_out(call, source, target, frame, at)

    def _dial_phone(self, call: _Call, source: _Channel | None, target: _Channel, at: dt.datetime) -> None:
        if source is not None and not call.direction:
            first = source.agent or next((seat.agent for seat in call.seats if seat.state == "waiting"), "")
            if first:
                self._start(call, "internal", first, target.agent, source.uid)
        self._settle_transfer(call, {"to_agent": target.agent})
        self._note_consultation(source, {"to_agent": target.agent})
        self._offer(target, target.agent, at)

    def _dial_out(self, call: _Call, source: _Channel | None, target: _Channel, frame: Frame, at: dt.datetime) -> None:
        number = self.site.outside(frame.get("DialString", "") or frame.get("DestCallerIDNum", ""))
        if not number or not any(letter.isdigit() for letter in number):
            number = self.site.outside(frame.get("Exten", ""))
        if call.transfer is not None and number:
            self._settle_transfer(call, {"to_number": number})
            call.external[target.uid] = number
            call.passed_on.add(target.uid)
        elif call.direction in ("inbound", "internal") and call.customer != target.uid:
            self._note_consultation(source, {"to_number": number} if number else None)
            call.external[target.uid] = number
        elif not call.was_reached:
            own = frame.get("CallerIDNum" if source is not None else "DestCallerIDNum", "")
            call.customer = target.uid
            if source is not None and source.kind == "phone" and source.seat is None:
                source.seat = _Seat(source.agent, source.uid, state="waiting")
                call.seats.append(source.seat)
            self._start(call, "outbound", own, number, target.uid)

    def _note_consultation(self, source: _Channel | None, target: Event | None) -> None:
        """A local channel that was offered to nobody, and is in the call of somebody who talks: they ask around."""
        if source is not None and source.kind == "local" and any(seat.state == "talking" for seat in source.call.seats):
            source.call.consulted = target

    def _originateresponse(self, frame: Frame, at: dt.datetime) -> None:
        """The portal or somebody else had a call made; only here is the number told, if nobody picked up."""
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is None or channel.call.direction or channel.kind != "phone":
            return
        number = dialled_number(frame.get("Exten", ""))
        if self.site.is_internal(number):
            self._start(channel.call, "internal", channel.agent, number, channel.uid)
        elif any(letter.isdigit() for letter in number):
            self._start(channel.call, "outbound", "", self.site.outside(number))

    def _dialend(self, frame: Frame, at: dt.datetime) -> None:
        target = self._channels.get(frame.get("DestUniqueid", ""))
        if target is None:
            return
        call, status, seat = target.call, frame.get("DialStatus", ""), target.seat
        if status == "ANSWER":
            self._picked_up(call, target, at)
            return
        if target.uid == call.customer or seat is not None:
            call.dial_status, call.dial_ended_at = status, at
        if seat is None or seat.state != "ringing" or seat.uid != target.uid:
            return
        if status == "CANCEL":
            seat.cancelled_at = seat.cancelled_at or self._at(call, at)
        else:
            self._rang_out(call, seat, at, status)

    def _picked_up(self, call: _Call, target: _Channel, at: dt.datetime) -> None:
        seat = target.seat
        if seat is not None and seat.uid == target.uid:
            if seat.state != "ringing" or seat.queue:
                return  # of a queue: AgentConnect says so
            is_first = not call.direction or target.uid == call.root
            if is_first or (call.direction == "outbound" and not call.was_reached):
                seat.state = "waiting"  # their own phone rang first; the other side is dialled now
            else:
                self._answer(call, seat, at, target)
        elif target.uid == call.customer and call.direction == "outbound":
            call.was_reached = True
            for waiting in [seat for seat in call.seats if seat.state == "waiting"]:
                self._answer(call, waiting, at, self._channels.get(waiting.uid))
        elif target.uid in call.external and not any(other.state == "talking" for other in call.seats):
            self._pass_on(call, target.uid, at)  # where somebody talks, they ask before they transfer

    def _pass_on(self, call: _Call, uid: str, at: dt.datetime) -> None:
        """The dialplan, not an agent, connects the caller with a number outside."""
        number = call.external[uid]
        if number and uid not in call.passed_on:
            call.passed_on.add(uid)
            self._tell(call, "call.transferred", at, {"kind": "blind", "to_number": number})

    def _answer(self, call: _Call, seat: _Seat, at: dt.datetime, channel: _Channel | None) -> None:
        seat.state, seat.spoke = "talking", True
        call.hung_up_by = ""
        data = {"agent": seat.agent} | ({"skill_group": seat.queue} if seat.queue else {})
        self._tell(call, "call.answered", at, data | (_terminal(channel) if channel else {}))

    def _rang_out(self, call: _Call, seat: _Seat, at: dt.datetime, status: str = "") -> None:
        seat.state = "over"
        was_refused = seat.refused_cause in (17, 21) or status == "BUSY"
        reason = ("rejected" if seat.has_rung else "busy") if was_refused else "no_answer"
        self._tell(call, "call.ring_ended", at, {"agent": seat.agent, "reason": reason})

    def _agentringnoanswer(self, frame: Frame, at: dt.datetime) -> None:
        target = self._channels.get(frame.get("DestUniqueid", ""))
        if target is not None and target.seat is not None and target.seat.state == "ringing":
            self._rang_out(target.call, target.seat, at)

    def _agentconnect(self, frame: Frame, at: dt.datetime) -> None:
        target = self._channel(frame, at, "Dest")
        if target is None:
            return
        call = target.call
        agent = self.site.agent(interface=frame.get("Interface", ""), member=frame.get("MemberName", ""))
        if target.seat is None:  # its ringing was missed
            target.seat = _Seat(agent, target.uid, frame.get("Queue", "")[:60])
            call.seats.append(target.seat)
        if call.wait is not None:
            self._settle_keys(call)
            call.wait = None
        self._answer(call, target.seat, at, target)
        for seat in call.seats:
            if seat.state == "ringing" and seat.queue == target.seat.queue:
                seat.state = "over"  # the record says that another one answered

    def _agentdump(self, frame: Frame, at: dt.datetime) -> None:
        target = self._channels.get(frame.get("DestUniqueid", ""))
        if target is not None and target.seat is not None and target.seat.state == "ringing":
            target.seat.refused_cause, target.seat.has_rung = 21, True
            self._rang_out(target.call, target.seat, at)

    # --- Talking -----------------------------------------------------------------------------------------------------

    def _agentcomplete(self, frame: Frame, at: dt.datetime) -> None:
        target = self._channels.get(frame.get("DestUniqueid", ""))
        if target is None or target.seat is None or target.seat.state != "talking":
            return
        call = target.call
        if frame.get("Reason") == "agent":
            call.hung_up_by = call.hung_up_by or "agent"
        self._leave(call, target.seat, at)

    def _leave(self, call: _Call, seat: _Seat, at: dt.datetime) -> None:
        if seat.state in ("talking", "waiting"):
            self._tell(call, "call.leg_ended", at, {"agent": seat.agent})
        seat.state = "over"

    def _bridgeenter(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channel(frame, at)
        if channel is not None:
            channel.bridge = frame.get("BridgeUniqueid", "")

    def _bridgeleave(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is not None and channel.bridge == frame.get("BridgeUniqueid", ""):
            channel.bridge = ""

    def _hold(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is None or channel.seat is None or channel.seat.state != "talking" or channel.seat.is_on_hold:
            return
        by_feature = channel.last_key_at is not None and at - channel.last_key_at <= KEYS_APART
        if "MusicClass" not in frame and by_feature:
            return  # the PBX holds the caller while the agent dials a transfer
        channel.seat.is_on_hold = True
        self._tell(channel.call, "call.held", at, {"agent": channel.seat.agent})

    def _unhold(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is not None and channel.seat is not None and channel.seat.is_on_hold:
            channel.seat.is_on_hold = False
            self._tell(channel.call, "call.resumed", at, {"agent": channel.seat.agent})

    def _blindtransfer(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channels.get(frame.get("TransfererUniqueid", ""))
        if channel is None or channel.seat is None or frame.get("Result", "Success") != "Success":
            return
        call = channel.call
        channel.seat.state = "over"
        call.hung_up_by = ""
        call.transfer = _Transfer(self._at(call, at), channel.seat.agent, frame.get("Extension", ""))

    def _settle_transfer(self, call: _Call, target: Event | None = None) -> None:
        """A blind transfer led to what is seen next, else to the extension it names."""
        transfer = call.transfer
        if transfer is None:
            return
        call.transfer = None
        extension = transfer.extension
        if target is None and extension and not self.site.is_internal(extension) and any(c.isdigit() for c in extension):
            target = {"to_number": self.site.outside(extension)}
        elif target is None:
            target = {"to_agent": self.site.agent(interface=f"ext/{extension}") if extension else UNKNOWN_TARGET}
        data = {"kind": "blind", "from": transfer.agent} | target
        self._tell(call, "call.transferred", transfer.at, data, is_noted=True)

    def _attendedtransfer(self, frame: Frame, at: dt.datetime) -> None:
        if frame.get("Result", "Success") != "Success":
            return
        first, second = (self._channels.get(frame.get(f"{which}TransfererUniqueid", "")) for which in ("Orig", "Second"))
        if first is None or first.seat is None:
            return
        call, seat = first.call, first.seat
        if second is not None and second.call is not call:
            target = self._asked_elsewhere(second.call, seat.agent)
        else:
            others = [other for other in call.seats if other is not seat and other.state == "talking"]
            target = call.consulted or ({"to_agent": others[-1].agent} if others else None)
        call.consulted = None
        data = {"kind": "attended", "from": seat.agent} | (target or {"to_agent": UNKNOWN_TARGET})
        self._tell(call, "call.transferred", at, data)
        self._leave(call, seat, at)
        call.hung_up_by = ""

    def _asked_elsewhere(self, other: _Call, agent: str) -> Event | None:
        """Whom an agent asked on a call of its own, made with their phone."""
        if other.queues:
            return {"to_skill_group": next(iter(other.queues))}
        seats = [seat for seat in other.seats if seat.agent != agent and seat.state == "talking"]
        if seats:
            return {"to_agent": seats[-1].agent}
        called = next((data for kind, _, data in other.held_back if kind == "call.started"), None)
        return {"to_number": called["called_number"]} if called else None

    # --- Queues ------------------------------------------------------------------------------------------------------

    def _queuecallerjoin(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channel(frame, at)
        queue = frame.get("Queue", "")[:60]
        if channel is None or not queue:
            return
        call = channel.call
        self._count(frame)
        if not call.direction:
            self._start_in_queue(call, channel, frame)
        self._settle_keys(call)
        self._settle_transfer(call, {"to_skill_group": queue})
        self._note_consultation(channel, {"to_skill_group": queue})
        call.refusal = None
        call.queues.add(frame.get("Queue", ""))
        call.wait = _Wait(queue, channel.uid)
        if not any(seat.state == "talking" for seat in call.seats):
            call.hung_up_by = ""
        self._tell(call, "call.queued", at, {"skill_group": queue})

    def _start_in_queue(self, call: _Call, channel: _Channel, frame: Frame) -> None:
        if channel.kind == "phone":
            self._start(call, "internal", channel.agent, frame.get("Exten", ""), channel.uid)
        else:
            number = caller(frame.get("CallerIDNum", ""))
            self._start(call, self.site.direction(number), number, "", channel.uid)

    def _count(self, frame: Frame) -> None:
        name = frame.get("Queue", "")
        if name:
            most, _ = self._places.get(name, (0, 0))
            self._places[name] = (most, _whole(frame.get("Count", "")))

    def _queuecallerabandon(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is not None and channel.call.wait is not None and channel.call.wait.uid == channel.uid:
            wait = channel.call.wait
            wait.abandoned_at = self._at(channel.call, at)
            wait.was_empty = self._takes_nobody(frame.get("Queue", ""))

    def _takes_nobody(self, queue: str) -> bool:
        """Nobody in a queue could take a call: all are paused or unavailable, or there are none."""
        members = [member for (name, _), member in self._members.items() if name == queue]
        return queue in self._places and all(member.is_paused or member.status in _NOT_TAKING for member in members)

    def _queuecallerleave(self, frame: Frame, at: dt.datetime) -> None:
        self._count(frame)
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is None or channel.call.wait is None or channel.call.wait.uid != channel.uid:
            return
        call, wait = channel.call, channel.call.wait
        wait.last_key = call.keys.text[-1:] if call.keys else ""
        self._settle_keys(call)
        if wait.abandoned_at is None:
            wait.left_at = self._at(call, at)  # to an agent, or by a key: what comes next tells
        elif not channel.asked_to_hang_up:
            reason = "no_agents" if wait.was_empty else "timeout"
            self._dequeue(call, wait, wait.abandoned_at, reason)
        elif channel.uid != call.customer:
            self._dequeue(call, wait, wait.abandoned_at, "withdrawn")  # the agent who asked gave up, not the customer

    def _dequeue(self, call: _Call, wait: _Wait, at: dt.datetime, reason: str) -> None:
        call.wait = None
        for seat in call.seats:
            if seat.state == "ringing" and seat.queue == wait.queue:
                seat.state = "over"
        self._tell(call, "call.dequeued", at, {"reason": reason, "skill_group": wait.queue}, is_noted=True)

    def _left_by_key(self, call: _Call, user_event: str = "") -> None:
        wait = call.wait
        if wait is None or wait.left_at is None:
            return
        channel = self._channels.get(wait.uid)
        if channel is not None and channel.asked_to_hang_up and wait.uid == call.customer:
            wait.left_at = None  # they hung up; the end of the call says it
            return
        reason = self.site.exit_keys.get(wait.last_key, "key")
        self._dequeue(call, wait, wait.left_at, "callback" if "callback" in user_event.casefold() else reason)

    def _queueparams(self, frame: Frame, at: dt.datetime) -> None:
        if name := frame.get("Queue", ""):
            self._places[name] = (_whole(frame.get("Max", "")), _whole(frame.get("Calls", "")))

    def _newexten(self, frame: Frame, at: dt.datetime) -> None:
        """The dialplan, step by step, for those who may see it: a caller whom a queue refuses never joins it."""
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is None or channel.uid != channel.call.customer:
            return
        self._sees_dialplan = True
        call = channel.call
        if call.refusal is not None and call.refusal.is_sure:
            call.refusal.went_on = True
        elif frame.get("Application", "").casefold() == "queue":
            name = frame.get("AppData", "").partition(",")[0]
            most, waiting = self._places.get(name, (0, 0))
            call.refusal = _Refusal(name[:60], at, ("", ""), is_full=0 < most <= waiting, is_sure=True)
        else:
            call.refusal = None

    def _settle_refusal(self, call: _Call) -> None:
        refusal = call.refusal
        call.refusal = None
        if refusal is None or not refusal.went_on or not refusal.queue or refusal.queue in call.queues:
            return
        data = {"skill_group": refusal.queue}
        self._tell(call, "call.queued", refusal.at, data, is_noted=True)
        reason = {"reason": "full" if refusal.is_full else "no_agents"}
        self._tell(call, "call.dequeued", refusal.at + _AN_INSTANT, reason | data, is_noted=True)

    # --- Keys, questions, voicemail ----------------------------------------------------------------------------------

    def _dtmfend(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is None or frame.get("Direction", "Received") != "Received":
            return
        channel.last_key_at = at
        call = channel.call
        if channel.uid != call.customer or call.direction not in ("inbound", "outbound") or channel.bridge:
            return
        place = (frame.get("Context", ""), frame.get("Exten", ""))
        if call.keys is not None and (call.keys.place != place or at - call.keys.at > KEYS_APART):
            self._settle_keys(call)
        text = (call.keys.text if call.keys is not None else "") + frame.get("Digit", "")[:1]
        call.keys = _Keys(text[:200], place, self._at(call, at))

    def _settle_keys(self, call: _Call, step: str = "") -> None:
        keys = call.keys
        call.keys = None
        if keys is not None and keys.text:
            context, extension = keys.place
            place = context if extension in ("", "s") else f"{context}/{extension}"
            data = {"step": (step or place or "keys")[:100], "input": keys.text, "kind": "keys"}
            self._tell(call, "call.ivr_input", keys.at, data, is_noted=True)

    @staticmethod
    def _name_of(frame: Frame) -> str:
        return frame.get("UserEvent", "") if frame.get("Event") == "UserEvent" else ""

    def _userevent(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is None or not channel.call.direction:
            return
        call, name = channel.call, frame.get("UserEvent", "").casefold()
        if name == "ivr":
            step = frame.get("Menu") or frame.get("Step") or ""
            if call.keys is not None:
                self._settle_keys(call, step)
            elif entered := frame.get("Input") or frame.get("Digits"):
                self._tell(call, "call.ivr_input", at, {"step": (step or "ivr")[:100], "input": entered[:2000], "kind": "keys"})
        elif name in ("survey", "rating"):
            self._settle_keys(call)
            rating = frame.get("Rating") or frame.get("Score") or ""
            data: Event = {"asked": True}
            if rating.isdigit() and int(rating) <= self.site.rating_scale:
                data |= {"score": int(rating), "scale": self.site.rating_scale}
            self._tell(call, "call.rated", at, data)

    def _cel(self, frame: Frame, at: dt.datetime) -> None:
        """The beep of the voicemail, where channel event logging tells of sounds: a message begins."""
        channel = self._channels.get(frame.get("UniqueID", ""))
        if channel is not None and frame.get("EventName", "").startswith("STREAM_") and '"beep"' in frame.get("Extra", ""):
            channel.call.beep_at = at

    def _messagewaiting(self, frame: Frame, at: dt.datetime) -> None:
        """A message is there. That the voicemail ran proves nothing: what is too short is thrown away."""
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is None or not channel.call.direction or not _whole(frame.get("New", "")):
            return
        call = channel.call
        self._settle_keys(call)
        self._settle_refusal(call)
        lasted = max((at - call.beep_at).total_seconds(), 0.0) if call.beep_at else 0.0
        data: Event = {"duration": round(lasted, 3)}
        if mailbox := frame.get("Mailbox"):
            data["file"] = mailbox[:500]
        self._tell(call, "call.voicemail_left", at, data)

    # --- Hanging up --------------------------------------------------------------------------------------------------

    def _hanguprequest(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channels.get(frame.get("Uniqueid", ""))
        if channel is None:
            return
        channel.asked_to_hang_up = True
        call, seat, cause = channel.call, channel.seat, _whole(frame.get("Cause", ""))
        if seat is not None and seat.state == "ringing":
            seat.refused_cause = cause
        if channel.uid == call.customer:
            is_own_doing = call.direction != "outbound" or call.was_reached
            who = "agent" if call.direction == "internal" and call.wait is None else "customer"
        else:
            is_own_doing = (seat is not None and seat.state in ("talking", "waiting")) or channel.uid == call.root
            who = "agent"
        if is_own_doing and channel.kind != "local" and not self._follows_dial(call, at):
            call.hung_up_by = call.hung_up_by or who

    @staticmethod
    def _follows_dial(call: _Call, at: dt.datetime) -> bool:
        """A phone that hangs up because nobody was reached; later it does so by itself, in a voicemail, say."""
        is_told = call.dial_status not in ("", "CANCEL") and not any(seat.spoke for seat in call.seats)
        return is_told and call.dial_ended_at is not None and at - call.dial_ended_at < SETTLED

    def _hangup(self, frame: Frame, at: dt.datetime) -> None:
        channel = self._channels.pop(frame.get("Uniqueid", ""), None)
        if channel is None:
            return
        call = channel.call
        call.channels.discard(channel.uid)
        self._names.pop(channel.name, None)
        self._gone(channel, call, at, _whole(frame.get("Cause", "")))

    def _gone(self, channel: _Channel, call: _Call, at: dt.datetime, cause: int) -> None:
        is_customer = channel.uid == call.customer
        if is_customer or (not call.customer and channel.uid == call.root):
            call.cause = cause
        if (number := call.external.pop(channel.uid, "")) and channel.uid in call.passed_on:
            self._tell(call, "call.leg_ended", at, {"number": number})
        seat = channel.seat
        if seat is not None and seat.uid == channel.uid:
            self._seat_gone(call, seat, at)
        was_there = call.direction == "inbound" or call.was_reached
        if not call.channels or (is_customer and was_there and channel.kind == "trunk"):
            self._end(call, at)
        if not call.channels:
            self._calls.pop(call.linked, None)

    def _seat_gone(self, call: _Call, seat: _Seat, at: dt.datetime) -> None:
        if seat.state == "talking":
            self._leave(call, seat, at)
        elif seat.state == "ringing":
            hung_up = self._channels.get(call.customer)
            gives_up = (hung_up is None or hung_up.asked_to_hang_up) and call.direction != "outbound"
            if gives_up or (call.wait is not None and call.wait.abandoned_at is not None):
                return  # what becomes of the caller says what became of the ring
            seat.state = "over"
            if seat.cancelled_at is not None:
                self._tell(
                    call, "call.ring_ended", seat.cancelled_at, {"agent": seat.agent, "reason": "cancelled"}, is_noted=True
                )
            else:
                seat.state = "ringing"
                self._rang_out(call, seat, at)

    def _end(self, call: _Call, at: dt.datetime) -> None:
        if call.has_ended or not call.direction:
            call.has_ended = True
            return
        self._settle_keys(call)
        self._settle_transfer(call)
        self._left_by_key(call)
        self._settle_refusal(call)
        for seat in call.seats:
            if seat.state == "waiting":
                self._leave(call, seat, at)
        party, cause = self._how_it_ended(call)
        self._tell(call, "call.ended", at, {"party": party, "cause": cause})
        call.has_ended = True

    def _how_it_ended(self, call: _Call) -> tuple[str, str]:
        if call.direction == "inbound":
            if not (call.queues or call.seats or call.is_in_ivr) and call.cause in (1, 28):
                return "system", "invalid_number"
            return call.hung_up_by or "system", "completed"
        if call.was_reached or call.queues or any(seat.spoke for seat in call.seats):
            return call.hung_up_by or "system", "completed"
        if call.hung_up_by == "agent" and call.dial_status in ("", "CANCEL"):
            return "agent", "cancelled"
        cause = "busy" if call.dial_status == "BUSY" else _CAUSES.get(call.cause, "no_answer")
        return call.hung_up_by or "system", cause

    # --- Agents ------------------------------------------------------------------------------------------------------

    def _member(self, frame: Frame, at: dt.datetime) -> None:
        queue, interface = frame.get("Queue", ""), frame.get("Interface") or frame.get("Location", "")
        if not queue or not interface:
            return
        self._places.setdefault(queue, (0, 0))
        name = frame.get("MemberName") or frame.get("Name", "")
        agent = self.site.agent(interface=interface, member=name)
        self._members[queue, interface] = _Member(
            agent=agent,
            is_paused=frame.get("Paused", "0") == "1",
            reason=frame.get("PausedReason", "") or frame.get("Reason", ""),
            status=frame.get("Status", "1"),
            is_dynamic=frame.get("Membership", "dynamic") != "static",
            paused_at=_seconds(frame.get("LastPause", "")),
            logged_in_at=_seconds(frame.get("LoginTime", "")),
        )
        if frame.get("Event") != "QueueMember":  # a snapshot is told when it is whole
            self._say(agent, at)

    def _memberremoved(self, frame: Frame, at: dt.datetime) -> None:
        interface = frame.get("Interface") or frame.get("Location", "")
        member = self._members.pop((frame.get("Queue", ""), interface), None)
        self._say(member.agent if member else self.site.agent(interface=interface, member=frame.get("MemberName", "")), at)

    def _say(self, agent: str, at: dt.datetime) -> None:
        status, reason = self._status_of(agent)
        if self._said.get(agent) == (status, reason):
            return
        if status == "offline":
            self._said.pop(agent, None)
        else:
            self._said[agent] = (status, reason)
        data = {"agent": agent, "status": status} | ({"reason": reason} if reason else {})
        key = content_key("status", agent, at.isoformat(), data)
        self._out.append(self.site.event(key, "agent.status_changed", agent, at, data))

    def _status_of(self, agent: str) -> tuple[str, str]:
        members = [member for member in self._members.values() if member.agent == agent]
        there = [member for member in members if member.is_dynamic or member.status not in _UNAVAILABLE]
        if not there:
            return "offline", ""
        paused = [member for member in there if member.is_paused]
        if paused and (len(paused) == len(there) or self.site.is_away_when_paused_in_part):
            return "break", max(paused, key=lambda member: member.paused_at).reason[:60]
        return "available", ""

    # --- After a gap -------------------------------------------------------------------------------------------------

    def resume(
        self,
        *,
        members: Iterable[Frame],
        waiting: Iterable[Frame],
        channels: Iterable[Frame],
        known: Mapping[str, KnownCall],
        statuses: Mapping[str, tuple[str, str]],
        since: dt.datetime | None,
        at: dt.datetime,
    ) -> list[Event]:
        """Brings what is known in line with what the server has, after a start or a gap.

        `known`: the calls of this source that the portal holds for open, by call id. `statuses`: of agents, as the
        portal has them. `since`: the last that was heard before the gap.
        """
        self._out = []
        at -= self._lag
        since = since - self._lag if since is not None else None
        self._resume_agents(list(members), statuses, since, at)
        rows = {row["Uniqueid"]: row for row in channels if row.get("Uniqueid")}
        entries = {row["Uniqueid"]: row for row in waiting if row.get("Uniqueid")}
        told = {call.subject: call.last_at for call in self._calls.values() if call.direction and not call.has_ended}
        told = {subject: call.last_at for subject, call in known.items()} | told
        for uid in [uid for uid in self._channels if uid not in rows]:
            self._vanish(self._channels.pop(uid))
        live = {self.site.call_id(row.get("Linkedid") or row["Uniqueid"]) for row in rows.values()}
        for subject in sorted(told.keys() - live):
            self._lose(subject, max(told[subject], since) if since is not None else told[subject])
        for uid in sorted(rows, key=lambda uid: (rows[uid].get("Linkedid") != uid, uid)):
            self._resume_channel(rows[uid], entries, known, at)
        for call in list(self._calls.values()):
            self._resume_seats(call, rows, known.get(call.subject), at)
        return self._out

    def audit(self, channels: Iterable[Frame], at: dt.datetime) -> list[Event]:
        """Drops what the server does not have any more although nothing said so; to be asked now and then.

        What is missing once may have hung up a moment ago, with the word of it on its way.
        """
        self._out = []
        there = {row["Uniqueid"] for row in channels if row.get("Uniqueid")}
        missing = {uid for uid in self._channels if uid not in there}
        for uid in missing & self._missing:
            channel = self._channels.pop(uid)
            self._vanish(channel)
            call = channel.call
            if not call.channels and call.direction:
                self._lose(call.subject, max(call.last_at, call.created_at))
        self._missing = missing - self._missing
        return self._out

    def _vanish(self, channel: _Channel) -> None:
        """A channel hung up unseen. Its call is told as lost if nothing of it is left, else the rest goes on."""
        call = channel.call
        call.channels.discard(channel.uid)
        self._names.pop(channel.name, None)
        if not call.channels:
            call.has_ended = True
            self._calls.pop(call.linked, None)

    def _lose(self, subject: str, at: dt.datetime) -> None:
        """The portal's own word, so that it is taken back where more of the call is told: by the queue_log, say."""
        data = {"party": "system", "cause": LOST_CONTACT}
        event = self.site.event(content_key(LOST_CONTACT, subject, at.isoformat()), "call.ended", subject, at, data)
        event["source"] = PORTAL_SOURCE
        self._out.append(event)

    def _resume_channel(self, row: Frame, entries: Mapping[str, Frame], known: Mapping[str, KnownCall], at: dt.datetime) -> None:
        begun = at - dt.timedelta(seconds=_clock(row.get("Duration", "")))
        is_new = row["Uniqueid"] not in self._channels
        channel = self._channel(row, begun)
        if channel is None:
            return
        channel.bridge = row.get("BridgeId", "")
        channel.is_up = row.get("ChannelState") == _UP
        if not is_new:
            return
        call = channel.call
        if channel.kind == "local":
            self._pair_by_name(channel)
        before = known.get(call.subject)
        if not call.direction and before is not None:
            call.direction, call.held_back = before.direction, []
            call.last_at = max(call.last_at, at)
            call.queues.update({before.queue} - {""})
        if channel.kind == "trunk" and not call.customer:
            call.customer = channel.uid
            if call.root == channel.uid:
                self._start(call, "inbound", row.get("CallerIDNum", ""), row.get("Exten", ""), channel.uid)
            elif call.direction in ("", "outbound"):
                call.was_reached = channel.is_up
                self._start(call, "outbound", "", self.site.outside(row.get("CallerIDNum", "")), channel.uid)
        entry = entries.get(channel.uid)
        if entry is not None and (queue := entry.get("Queue", "")[:60]):
            if not call.direction:
                self._start_in_queue(call, channel, row)
            call.queues.add(queue)
            call.wait = _Wait(queue, channel.uid)
            if before is None or before.queue != queue:
                entered = at - dt.timedelta(seconds=_seconds(entry.get("Wait", "")))
                self._tell(call, "call.queued", max(entered, call.created_at), {"skill_group": queue})

    def _resume_seats(self, call: _Call, rows: Mapping[str, Frame], before: KnownCall | None, at: dt.datetime) -> None:
        """Who talks and whose phone rings in a call that was going on meanwhile."""
        bridged = [rows[uid].get("BridgeId") for uid in call.channels if uid in rows]
        present: set[str] = set()
        for uid in sorted(call.channels):
            channel = self._channels[uid]
            if channel.kind != "phone" or uid not in rows:
                continue
            is_talking = channel.is_up and channel.bridge != "" and bridged.count(channel.bridge) > 1
            present.add(channel.agent)
            if channel.seat is None and call.direction and (is_talking or rows[uid].get("ChannelState") == _RINGING):
                channel.seat = _Seat(channel.agent, uid)
                call.seats.append(channel.seat)
                if not is_talking and (before is None or channel.agent not in before.ringing):
                    self._tell(call, "call.ringing", at, {"agent": channel.agent})
            seat = channel.seat
            if seat is not None and is_talking and seat.state in ("ringing", "waiting"):
                seat.state = "talking"
                if before is None or channel.agent not in before.talking:
                    self._tell(call, "call.answered", at, {"agent": seat.agent} | _terminal(channel))
                if call.wait is not None:
                    call.wait = None
        outside = [uid for uid in call.channels if self._channels[uid].kind == "trunk" and uid != call.customer]
        if before is None or outside:  # an agent may be reached on an outside number
            return
        for agent in sorted((before.talking | before.ringing) - present):
            self._tell(call, "call.leg_ended", at, {"agent": agent})
            for seat in call.seats:
                if seat.agent == agent:
                    seat.state = "over"

    def _resume_agents(
        self, members: list[Frame], statuses: Mapping[str, tuple[str, str]], since: dt.datetime | None, at: dt.datetime
    ) -> None:
        before = {member.agent for member in self._members.values()}
        self._members = {}
        for frame in members:
            self._member(frame, at)
        # Busy and wrap-up are the portal's own; to the server both are available.
        self._said = {
            agent: said if said[0] == "break" else ("available", "") for agent, said in statuses.items() if said[0] != "offline"
        }
        for agent in sorted(before | {member.agent for member in self._members.values()} | self._said.keys()):
            self._say(agent, self._changed_at(agent, since, at))

    def _changed_at(self, agent: str, since: dt.datetime | None, at: dt.datetime) -> dt.datetime:
        """When an agent got the status they have, where the server knows and it was in the gap; else now."""
        status, _ = self._status_of(agent)
        own = [member for member in self._members.values() if member.agent == agent]
        if status == "break":
            told = max((member.paused_at for member in own if member.is_paused), default=0.0)
        elif status == "available":
            told = min((member.logged_in_at for member in own), default=0.0)
        else:
            told = 0.0
        if not told:
            return at
        moment = dt.datetime.fromtimestamp(told, dt.UTC)
        return moment if (since or dt.datetime.min.replace(tzinfo=dt.UTC)) <= moment <= at else at

    @property
    def agents(self) -> set[str]:
        return {member.agent for member in self._members.values()} | set(self._said)


def _terminal(channel: _Channel) -> Event:
    name = channel.name.rpartition("-")[0] or channel.name
    return {"terminal": name[:20]} if name else {}


def _time_of(frame: Frame, arrived_at: dt.datetime) -> dt.datetime:
    """The server's time where it tells it and that is possible, else when the message came."""
    told = frame.get("Timestamp", "")
    if not told:
        return arrived_at
    whole, _, part = told.partition(".")
    if not whole.isdigit() or len(whole) > 11:
        return arrived_at
    at = dt.datetime.fromtimestamp(int(whole), dt.UTC) + dt.timedelta(microseconds=_whole(part[:6].ljust(6, "0")))
    return at if at <= arrived_at + AHEAD else arrived_at


def _whole(text: str) -> int:
    text = text.strip()
    return int(text) if text.isdigit() and len(text) < 10 else 0


def _seconds(text: str) -> float:
    text = text.strip()
    return float(text) if text.replace(".", "", 1).isdigit() and len(text) < 20 else 0.0


def _clock(text: str) -> float:
    """Seconds of h:mm:ss."""
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + _seconds(part)
    return total


_UNTIMED = frozenset({"QueueParams", "QueueMember"})
_ALSO_AFTER = frozenset({"call.voicemail_left", "call.rated"})
_AFTER_LEAVING = frozenset(
    {
        "UserEvent",
        "Hangup",
        "HangupRequest",
        "SoftHangupRequest",
        "QueueCallerJoin",
        "MessageWaiting",
        "DTMFBegin",
        "Newexten",
        "MixMonitorStart",
    }
)
"""What a caller's channel does once it went on in the dialplan, and never between leaving a queue and an agent."""
_Handler = Callable[[ManagerEvents, Frame, dt.datetime], None]
_HANDLERS: dict[str, _Handler] = {
    "Newchannel": ManagerEvents._newchannel,
    "Newstate": ManagerEvents._newstate,
    "LocalBridge": ManagerEvents._localbridge,
    "DialBegin": ManagerEvents._dialbegin,
    "DialEnd": ManagerEvents._dialend,
    "OriginateResponse": ManagerEvents._originateresponse,
    "AgentCalled": ManagerEvents._agentcalled,
    "AgentRingNoAnswer": ManagerEvents._agentringnoanswer,
    "AgentConnect": ManagerEvents._agentconnect,
    "AgentComplete": ManagerEvents._agentcomplete,
    "AgentDump": ManagerEvents._agentdump,
    "BridgeEnter": ManagerEvents._bridgeenter,
    "BridgeLeave": ManagerEvents._bridgeleave,
    "Hold": ManagerEvents._hold,
    "Unhold": ManagerEvents._unhold,
    "BlindTransfer": ManagerEvents._blindtransfer,
    "AttendedTransfer": ManagerEvents._attendedtransfer,
    "QueueCallerJoin": ManagerEvents._queuecallerjoin,
    "QueueCallerAbandon": ManagerEvents._queuecallerabandon,
    "QueueCallerLeave": ManagerEvents._queuecallerleave,
    "QueueParams": ManagerEvents._queueparams,
    "Newexten": ManagerEvents._newexten,
    "DTMFEnd": ManagerEvents._dtmfend,
    "UserEvent": ManagerEvents._userevent,
    "CEL": ManagerEvents._cel,
    "MessageWaiting": ManagerEvents._messagewaiting,
    "HangupRequest": ManagerEvents._hanguprequest,
    "Hangup": ManagerEvents._hangup,
    "QueueMember": ManagerEvents._member,
    "QueueMemberAdded": ManagerEvents._member,
    "QueueMemberStatus": ManagerEvents._member,
    "QueueMemberPause": ManagerEvents._member,
    "QueueMemberPaused": ManagerEvents._member,
    "QueueMemberPenalty": ManagerEvents._member,
    "QueueMemberRinginuse": ManagerEvents._member,
    "QueueMemberRemoved": ManagerEvents._memberremoved,
}
