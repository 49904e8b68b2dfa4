"""Lines of Asterisk's queue_log, read as events.

The log says what a queue and its members did, and little else: where the call came from, what it went through before,
and what becomes of a caller who leaves a queue unanswered is not in it. So a call begins with its first line here, and
ends where the log says so; where it is silent (a transfer out of the queues, a timeout) the call ends with its last
line, once nothing more came for a while.

Pure: no database, no clock, no file. Whoever reads a file hands in its lines one by one. What is known about open
calls and agents can be written down (`state`) and taken up again, so that reading may stop after any line: the same
lines give the same events, with the same ids.
"""

import datetime as dt
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from calls.adapters.asterisk import UNKNOWN_TARGET, Event, Site, caller
from calls.envelope import MAX_ID

LONGEST_LINE = 16 * 1024
MOVED_ON = dt.timedelta(minutes=3)
"""A caller who left a queue and is not heard of in another for this long is taken for gone."""
REMEMBERED_SECONDS = 120
"""How long the id of an ended call is known: the other half of a local channel is logged a moment later."""
FORGOTTEN = dt.timedelta(hours=24)
"""An open call of which the log was silent for this long is no longer waited for; the portal closes it as lost."""
EQUAL_LINES_SECONDS = 10
SWEPT_EVERY_SECONDS = 10
NOBODY = frozenset({"", "NONE"})
NO_CALL = frozenset({"", "NONE", "MANAGER", "REALTIME", "CLI"})

_CHANNEL_ID = re.compile(r"(?P<before>.*?)(?P<epoch>\d{9,11})\.(?P<n>\d+)")


class LineProblem(Exception):
    """A line cannot be read; the message says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Line:
    at: dt.datetime
    call_id: str
    queue: str
    agent: str
    verb: str
    data: tuple[str, ...]

    def text(self, index: int) -> str:
        return self.data[index].strip() if index < len(self.data) else ""

    def seconds(self, index: int) -> float:
        """A duration; 0 where it is missing, and for a clock that ran backwards."""
        value = self.text(index)
        try:
            return min(max(float(value), 0.0), 7 * 86400.0) if value else 0.0
        except ValueError:
            raise LineProblem(f"{self.verb}: field {index + 1} must be a number of seconds") from None

    def ago(self, seconds: float) -> dt.datetime:
        return self.at - dt.timedelta(seconds=int(seconds))


def parse_line(text: str, *, zone: dt.tzinfo = dt.UTC) -> Line:
    """Raises `LineProblem`. `zone`: where times are written out instead of counted (logs kept in a database)."""
    if len(text) > LONGEST_LINE:
        raise LineProblem(f"has more than {LONGEST_LINE} characters")
    fields = text.rstrip("\r\n").split("|")
    if len(fields) < 5:
        raise LineProblem(f"has {len(fields)} fields; at least 5 are needed")
    time, call_id, queue, agent, verb = (part.strip() for part in fields[:5])
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", verb):
        raise LineProblem("has no event in its fifth field")
    for name, value, longest in (("call id", call_id, MAX_ID - 60), ("queue", queue, 60), ("agent", agent, MAX_ID)):
        if len(value) > longest:
            raise LineProblem(f"has a {name} of more than {longest} characters")
        if not value.isprintable():
            raise LineProblem(f"has control characters in its {name}")
    return Line(_read_time(time, zone), call_id, queue, agent, verb.upper(), tuple(fields[5:]))


def _read_time(text: str, zone: dt.tzinfo) -> dt.datetime:
    try:
        if re.fullmatch(r"\d{9,11}(\.\d{1,9})?", text):
            whole, _, part = text.partition(".")
            micro = int(part[:6].ljust(6, "0")) if part else 0
            return dt.datetime.fromtimestamp(int(whole), dt.UTC) + dt.timedelta(microseconds=micro)
        moment = dt.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise LineProblem("has no time in its first field") from None


# --- What is under way -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    subject: str
    last_at: dt.datetime
    n: int = 0
    """Lines of this call so far: puts what happened within one second in order."""
    queue: str = ""
    """Where the caller waits; empty: nowhere."""
    entered_at: dt.datetime | None = None
    ring_ended_at: dt.datetime | None = None
    talking: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Agents by name: the call id they talk under, that of their channel, and the queue."""
    number: str = ""
    """The caller's, as the carrier sent it."""
    ids: list[str] = field(default_factory=list)
    ending: list[str] | None = None
    """The end that stands unless more comes: time, party, cause, the key and the place of its line."""
    transfer: list[str] | None = None
    """A blind transfer whose target is not known yet: time, from, extension, key, place."""
    cancelled: list[list[str]] = field(default_factory=list)
    """Rings that were broken off, why not being known yet: time, agent, key, place."""
    is_dropped: bool = False
    """Past its time: nothing is told of it."""


@dataclass(slots=True)
class _Agent:
    queues: list[str] = field(default_factory=list)
    paused: dict[str, str] = field(default_factory=dict)
    """Reason by queue; `*` for all of them."""
    said: list[str] = field(default_factory=list)
    """Status and reason as they were told last."""


@dataclass(slots=True)
class QueueLog:
    """Reads a log line by line. `oldest`: calls that began before and statuses from before are left out."""

    site: Site
    zone: dt.tzinfo = dt.UTC
    oldest: dt.datetime | None = None
    n_lines: int = 0
    n_expired: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    """Events nobody knows here, by name."""
    _calls: dict[str, _Call] = field(default_factory=dict)
    _subjects: dict[str, str] = field(default_factory=dict)
    """The call a queue's call id belongs to, while it is open."""
    _closed: dict[str, float] = field(default_factory=dict)
    _dids: dict[str, tuple[str, float]] = field(default_factory=dict)
    _agents: dict[str, _Agent] = field(default_factory=dict)
    _managed: set[str] = field(default_factory=set)
    """Queues whose members come and go in this log."""
    _behind_local: set[str] = field(default_factory=set)
    """Agents who are reached through a local channel."""
    _seen: dict[int, dict[str, int]] = field(default_factory=dict)
    _at: dt.datetime | None = None
    _swept_at: float = 0.0
    _out: list[Event] = field(default_factory=list)

    # --- Reading -----------------------------------------------------------------------------------------------------

    def feed(self, text: str) -> list[Event]:
        """The events that a line makes, those it was waited for included. Raises `LineProblem`, and goes on after it."""
        self.n_lines += 1
        line = parse_line(text, zone=self.zone)
        key = self._key(line, text.rstrip("\r\n"))
        self._out = []
        handle = _VERBS.get(line.verb)
        if handle is None:
            self.unknown[line.verb[:40]] += 1
        else:
            _check(line)
            handle(self, line, key)
        self._at = max(line.at, self._at or line.at) if line.verb != "QUEUESTART" else line.at
        self._sweep(line.at)
        return self._out

    def idle(self, at: dt.datetime) -> list[Event]:
        """What can be told once the log is read to its end and is silent at a moment."""
        self._out = []
        self._sweep(at, force=True)
        return self._out

    @property
    def open_subjects(self) -> set[str]:
        return set(self._calls)

    def _key(self, line: Line, text: str) -> str:
        """Names a line: the same line in a copy of the file is the same; of two equal ones in a second each is itself."""
        epoch = int(line.at.timestamp())
        newest = max(self._seen, default=epoch)
        if epoch < newest - EQUAL_LINES_SECONDS:
            self._seen = {}  # the clock was put back
        elif epoch > newest:
            self._seen = {at: lines for at, lines in self._seen.items() if at >= epoch - EQUAL_LINES_SECONDS}
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()
        lines = self._seen.setdefault(epoch, {})
        lines[digest] = n = lines.get(digest, 0) + 1
        return digest if n == 1 else f"{digest}.{n}"

    def _sweep(self, at: dt.datetime, *, force: bool = False) -> None:
        """Ends the calls that were not heard of again. Looks at them every few seconds of the log."""
        now = at.timestamp()
        if 0 <= now - self._swept_at < SWEPT_EVERY_SECONDS and not force:
            return
        self._swept_at = now
        for call in [call for call in self._calls.values() if call.ending or call.cancelled or at - call.last_at > FORGOTTEN]:
            if call.cancelled and at > call.last_at:
                self._settle_rings(call)
            if call.ending and at - call.last_at > MOVED_ON:
                self._settle_transfer(call)
                moment, party, cause, key, place = call.ending
                self._tell(call, key, "call.ended", dt.datetime.fromisoformat(moment), {"party": party, "cause": cause}, place)
                self._close(call)
            elif at - call.last_at > FORGOTTEN:
                self._close(call)
        if self._closed:
            self._closed = {call_id: end for call_id, end in self._closed.items() if now - end <= REMEMBERED_SECONDS}
        if self._dids:
            kept = MOVED_ON.total_seconds()
            self._dids = {call_id: did for call_id, did in self._dids.items() if now - did[1] <= kept}

    # --- Calls -------------------------------------------------------------------------------------------------------

    def _tell(self, call: _Call, key: str, event_type: str, at: dt.datetime, data: Event, place: str) -> None:
        if not call.is_dropped:
            self._out.append(self.site.event(f"{key}-{event_type[5:]}", event_type, call.subject, at, data, place))

    def _call_of(self, line: Line) -> _Call | None:
        """The call a line is about, begun here if the log did not say so before; None: it is over."""
        subject = self._subjects.get(line.call_id)
        if subject is not None:
            return self._calls[subject]
        return None if line.call_id in self._closed else self._begin(line)

    def _begin(self, line: Line, at: dt.datetime | None = None) -> _Call:
        subject = self.site.call_id(line.call_id)
        call = self._calls.get(subject)
        if call is None:
            call = self._calls[subject] = _Call(subject, line.at)
            if self.oldest is not None and (at or line.at) < self.oldest:
                call.is_dropped = True
                self.n_expired += 1
        self._name(call, line.call_id)
        return call

    def _name(self, call: _Call, call_id: str) -> None:
        self._subjects[call_id] = call.subject
        call.ids.append(call_id)

    def _close(self, call: _Call) -> None:
        for call_id in call.ids:
            self._subjects.pop(call_id, None)
            self._closed[call_id] = call.last_at.timestamp()
        self._calls.pop(call.subject, None)

    def _next(self, call: _Call, line: Line) -> str:
        """The place of a line among those of its call."""
        call.n += 1
        call.last_at = max(call.last_at, line.at)
        return f"{call.n:05d}"

    def _start(self, call: _Call, line: Line, key: str, place: str, number: str) -> None:
        did, _ = self._dids.pop(line.call_id, ("", 0.0))
        data = {"direction": self.site.direction(number), "calling_number": caller(number), "called_number": did}
        self._tell(call, key, "call.started", line.at, data, f"{place}a")

    def _entered(self, call: _Call, line: Line, key: str, place: str, seconds: float) -> None:
        """Makes sure the call waits in the line's queue, where the log begins after it entered."""
        if call.n == 1:
            call.queue, call.entered_at = line.queue, line.ago(seconds)
            self._tell(call, f"{key}-in", "call.queued", call.entered_at, {"skill_group": line.queue}, f"{place}b")

    def _left(self, call: _Call) -> None:
        call.queue, call.entered_at = "", None

    def _settle_transfer(self, call: _Call, group: str = "") -> None:
        """A blind transfer went to the queue it was next seen in, else to the extension it names."""
        if call.transfer is None:
            return
        moment, agent, extension, key, place = call.transfer
        call.transfer = None
        if group:
            target = {"to_skill_group": group}
        elif self.site.is_internal(extension) or not re.fullmatch(r"\+?[\d*#]{2,31}", extension):
            target = {"to_agent": self.site.agent(interface=f"ext/{extension}") if extension else UNKNOWN_TARGET}
        else:
            target = {"to_number": self.site.outside(extension)}
        self._tell(
            call, key, "call.transferred", dt.datetime.fromisoformat(moment), {"kind": "blind", "from": agent} | target, place
        )

    def _settle_rings(self, call: _Call, *, is_over: bool = False) -> None:
        """Rings that were broken off while the caller went on waiting; what ended the wait explains the others."""
        for moment, agent, key, place in call.cancelled:
            if not is_over:
                at = dt.datetime.fromisoformat(moment)
                self._tell(call, key, "call.ring_ended", at, {"agent": agent, "reason": "cancelled"}, f"{place}m")
        call.cancelled = []

    def _went_on(self, call: _Call) -> None:
        call.ending = None

    def _finish(self, call: _Call, line: Line, key: str, place: str, party: str, cause: str) -> None:
        self._settle_transfer(call)
        self._tell(call, key, "call.ended", line.at, {"party": party, "cause": cause}, f"{place}z")
        self._close(call)

    def _may_end(self, call: _Call, line: Line, key: str, place: str, party: str, cause: str) -> None:
        call.ending = [line.at.isoformat(), party, cause, key, f"{place}z"]

    # Entering

    def _enterqueue(self, line: Line, key: str) -> None:
        number = line.text(1)
        self._closed.pop(line.call_id, None)
        subject = self._subjects.get(line.call_id)
        transferred_by = ""
        if subject is not None:
            call = self._calls[subject]
        elif (other := self._by_local_half(line.call_id, number)) is not None:
            call, transferred_by = other
            self._name(call, line.call_id)
        elif (consulted := self._by_consulting_agent(number)) is not None:
            call = consulted
            self._name(call, line.call_id)
        else:
            call = self._begin(line)
        place = self._next(call, line)
        self._settle_rings(call)
        self._went_on(call)
        if transferred_by:
            call.talking.pop(transferred_by, None)
            passed = {"kind": "blind", "from": transferred_by, "to_skill_group": line.queue}
            self._tell(call, key, "call.transferred", line.at, passed, f"{place}c")
        self._settle_transfer(call, group=line.queue)
        if call.n == 1:
            call.number = number
            self._start(call, line, key, place, number)
        call.queue, call.entered_at, call.ring_ended_at = line.queue, line.at, None
        self._tell(call, key, "call.queued", line.at, {"skill_group": line.queue}, f"{place}d")

    def _by_local_half(self, call_id: str, number: str) -> tuple[_Call, str] | None:
        """The call whose agent sits behind a local channel of which this is the other half: its number is the next one,
        and it goes by the same caller.

        The agent's phone passed that half on; the queue they spoke for does not notice.
        """
        match = _CHANNEL_ID.fullmatch(call_id)
        if match is None or match["n"] == "0":
            return None
        first = f"{match['before']}{match['epoch']}.{int(match['n']) - 1}"
        for call in self._calls.values():
            for name, (_, channel, _) in call.talking.items():
                # Where callers are withheld they are all alike, so the agent must be known to sit behind one.
                if channel == first and call.number == number and (number or name in self._behind_local):
                    return call, name
        return None

    def _by_consulting_agent(self, number: str) -> _Call | None:
        """The call of the agent who enters a queue from their own phone while they talk: they ask before they transfer."""
        if not number or not self.site.is_internal(number):
            return None
        name = self.site.agent(interface=f"ext/{number}")
        found = [call for call in self._calls.values() if name in call.talking]
        return found[0] if len(found) == 1 else None

    def _refused(self, line: Line, key: str) -> None:
        """The queue did not take the caller in (JOINEMPTY, FULL, CLOSED and those of Wazo)."""
        call = self._call_of(line)
        if call is None:
            return
        reason = _REFUSALS.get(line.verb, "overflow")
        place = self._next(call, line)
        self._went_on(call)
        if call.n == 1:
            self._start(call, line, key, place, "")
        self._tell(call, key, "call.queued", line.at, {"skill_group": line.queue}, f"{place}d")
        self._tell(call, key, "call.dequeued", line.at, {"reason": reason, "skill_group": line.queue}, f"{place}e")
        self._may_end(call, line, key, place, "system", reason if reason in ("no_agents", "full", "closed") else "completed")

    def _did(self, line: Line, key: str) -> None:
        if line.call_id not in self._subjects:
            self._dids[line.call_id] = (line.text(0)[:32], line.at.timestamp())

    # Ringing

    def _rings(self, call: _Call, line: Line, key: str, place: str, agent: str, since: dt.datetime) -> None:
        earliest = max((at for at in (call.entered_at, call.ring_ended_at) if at is not None), default=since)
        at = min(max(since, earliest), line.at)
        self._tell(call, key, "call.ringing", at, {"agent": agent, "skill_group": line.queue}, f"{place}f")

    def _ringnoanswer(self, line: Line, key: str) -> None:
        self._rang_out(line, key, "no_answer")

    def _agentdump(self, line: Line, key: str) -> None:
        self._rang_out(line, key, "rejected", seconds=0.0)

    def _rang_out(self, line: Line, key: str, reason: str, seconds: float | None = None) -> None:
        call = self._call_of(line)
        if call is None:
            return
        lasted = line.seconds(0) / 1000 if seconds is None else seconds
        place = self._next(call, line)
        self._entered(call, line, key, place, lasted)
        agent = self.site.agent_of_log(line.agent)
        # Several that rang at once are logged together: the first one's end is no bound for the others.
        before, call.ring_ended_at = call.ring_ended_at, None
        self._rings(call, line, key, place, agent, line.ago(lasted))
        call.ring_ended_at = max(line.at, before or line.at)
        self._tell(call, key, "call.ring_ended", line.at, {"agent": agent, "reason": reason}, f"{place}m")

    def _ringcanceled(self, line: Line, key: str) -> None:
        call = self._call_of(line)
        if call is None:
            return
        lasted = line.seconds(0) / 1000
        place = self._next(call, line)
        self._entered(call, line, key, place, lasted)
        agent = self.site.agent_of_log(line.agent)
        before, call.ring_ended_at = call.ring_ended_at, None
        self._rings(call, line, key, place, agent, line.ago(lasted))
        call.ring_ended_at = before
        call.cancelled.append([line.at.isoformat(), agent, key, place])

    def _connect(self, line: Line, key: str) -> None:
        call = self._call_of(line)
        if call is None:
            return
        hold, channel, ring = line.seconds(0), line.text(1), line.seconds(2)
        place = self._next(call, line)
        self._went_on(call)
        self._settle_rings(call, is_over=True)
        self._settle_transfer(call, group=line.queue)
        self._entered(call, line, key, place, hold)
        agent = self.site.agent_of_log(line.agent)
        self._rings(call, line, key, place, agent, _begun(channel, line) or line.ago(ring))
        call.talking[agent] = (line.call_id, channel, line.queue)
        self._left(call)
        self._tell(call, key, "call.answered", line.at, {"agent": agent, "skill_group": line.queue}, f"{place}n")

    # Leaving unanswered

    def _abandon(self, line: Line, key: str) -> None:
        call = self._unanswered(line, key)
        if call is None:
            return
        place = f"{call.n:05d}"
        if call.talking:  # the agent who asked gave up; the customer is still there
            self._settle_rings(call)
            self._tell(call, key, "call.dequeued", line.at, {"reason": "withdrawn", "skill_group": line.queue}, f"{place}p")
            self._left(call)
        else:
            self._settle_rings(call, is_over=True)
            self._finish(call, line, key, place, "customer", "completed")

    def _unanswered(self, line: Line, key: str) -> _Call | None:
        """The call that leaves its queue; these lines tell the wait last but one, or last."""
        call = self._call_of(line)
        if call is not None:
            place = self._next(call, line)
            waited = line.seconds({"EXITWITHKEY": 3}.get(line.verb, 2))
            self._entered(call, line, key, place, waited)
        return call

    def _leaves(self, line: Line, key: str, reason: str, cause: str) -> None:
        call = self._unanswered(line, key)
        if call is None:
            return
        place = f"{call.n:05d}"
        self._settle_rings(call, is_over=True)
        self._tell(call, key, "call.dequeued", line.at, {"reason": reason, "skill_group": line.queue}, f"{place}p")
        self._left(call)
        if not call.talking:
            self._may_end(call, line, key, place, "system", cause)

    def _exitwithtimeout(self, line: Line, key: str) -> None:
        reason = "no_agents" if self._is_empty(line.queue) else "timeout"
        self._leaves(line, key, reason, reason)

    def _is_empty(self, queue: str) -> bool:
        return queue in self._managed and not any(queue in agent.queues for agent in self._agents.values())

    def _exitempty(self, line: Line, key: str) -> None:
        self._leaves(line, key, "no_agents", "no_agents")

    def _exitwithkey(self, line: Line, key: str) -> None:
        self._leaves(line, key, self.site.exit_keys.get(line.text(0), "key"), "completed")

    def _withdraw(self, line: Line, key: str) -> None:
        self._leaves(line, key, "withdrawn", "completed")

    def _syscompat(self, line: Line, key: str) -> None:
        call = self._call_of(line)
        if call is not None:
            self._finish(call, line, key, self._next(call, line), "system", "error")

    # Leaving an agent

    def _talked(self, line: Line, key: str, hold: int, talk: int) -> tuple[_Call, str, str] | None:
        """The call, the place and the agent of a line that ends a talk; begun here where the log does not reach back."""
        call = self._call_of(line)
        if call is None:
            return None
        place = self._next(call, line)
        agent = self.site.agent_of_log(line.agent)
        if call.n == 1:
            spoke, waited = line.seconds(talk), line.seconds(hold)
            self._entered(call, line, key, place, spoke + waited)
            said = {"agent": agent, "skill_group": line.queue}
            self._tell(call, key, "call.answered", line.ago(spoke), said, f"{place}n")
            self._left(call)
        self._settle_rings(call)
        call.talking.pop(agent, None)
        return call, place, agent

    def _complete(self, line: Line, key: str) -> None:
        talked = self._talked(line, key, 0, 1)
        if talked is None:
            return
        call, place, agent = talked
        if call.talking:
            self._tell(call, key, "call.leg_ended", line.at, {"agent": agent}, f"{place}p")
        elif line.verb == "COMPLETECALLER":
            self._finish(call, line, key, place, "customer", "completed")
        else:  # the caller may go on to a question or another queue
            self._tell(call, key, "call.leg_ended", line.at, {"agent": agent}, f"{place}p")
            self._may_end(call, line, key, place, "agent", "completed")

    def _blindtransfer(self, line: Line, key: str) -> None:
        talked = self._talked(line, key, 2, 3)
        if talked is None:
            return
        call, place, agent = talked
        call.transfer = [line.at.isoformat(), agent, line.text(0), key, f"{place}c"]
        if not call.talking:
            self._may_end(call, line, key, place, "agent", "completed")

    def _attendedtransfer(self, line: Line, key: str) -> None:
        # LINK has two channels where the others have one name.
        first = 3 if line.text(0).upper() == "LINK" else 2
        talked = self._talked(line, key, first, first + 1)
        if talked is None:
            return
        call, place, agent = talked
        group = call.queue or next((queue for own, _, queue in call.talking.values() if own != line.call_id), "")
        target = {"to_skill_group": group} if group else {"to_agent": UNKNOWN_TARGET}
        passed = {"kind": "attended", "from": agent} | target
        self._tell(call, key, "call.transferred", line.at, passed, f"{place}c")
        self._tell(call, key, "call.leg_ended", line.at, {"agent": agent}, f"{place}p")
        if not call.talking and not call.queue:
            self._may_end(call, line, key, place, "agent", "completed")

    def _wrapupstart(self, line: Line, key: str) -> None:
        """Wazo logs that work after a call begins, and how long it lasts."""
        subject = self.site.call_id(line.call_id)
        if line.call_id in NO_CALL or line.agent in NOBODY:
            return
        end = line.at + dt.timedelta(seconds=min(line.seconds(0), 540))
        call = self._calls.get(subject) or _Call(subject, line.at, is_dropped=self.oldest is not None and line.at < self.oldest)
        self._tell(call, key, "call.wrap_up_ended", end, {"agent": self.site.agent_of_log(line.agent)}, "99999")

    def _queuestart(self, line: Line, key: str) -> None:
        """Asterisk came up: whatever was under way is gone, at the latest since the last thing the log says."""
        for call in list(self._calls.values()):
            self._settle_transfer(call)
            self._settle_rings(call, is_over=True)
            if call.ending:
                moment, party, cause, own, place = call.ending
                self._tell(call, own, "call.ended", dt.datetime.fromisoformat(moment), {"party": party, "cause": cause}, place)
            else:
                at = min(max(call.last_at, self._at or call.last_at), line.at)
                lost = {"party": "system", "cause": "lost_contact"}
                self._tell(call, f"{key}-{call.subject}"[: MAX_ID - 20], "call.ended", at, lost, f"{call.n + 1:05d}z")
            self._close(call)

    def _nothing(self, line: Line, key: str) -> None:
        """Known, and says nothing that a record holds."""

    # --- Agents ------------------------------------------------------------------------------------------------------

    def _agent(self, line: Line) -> tuple[str, _Agent] | None:
        if line.agent in NOBODY:
            return None
        name = self.site.agent_of_log(line.agent)
        return name, self._agents.setdefault(name, _Agent())

    def _addmember(self, line: Line, key: str) -> None:
        found = self._agent(line)
        if found is None:
            return
        name, agent = found
        self._managed.add(line.queue)
        if line.agent.startswith("Local/"):
            self._behind_local.add(name)
        if line.queue not in agent.queues:
            agent.queues.append(line.queue)
        agent.paused.pop(line.queue, None)
        if line.text(0).upper() == "PAUSED":
            agent.paused[line.queue] = ""
        self._say_status(name, agent, line, key)

    def _removemember(self, line: Line, key: str) -> None:
        found = self._agent(line)
        if found is None:
            return
        name, agent = found
        self._managed.add(line.queue)
        agent.queues = [queue for queue in agent.queues if queue != line.queue]
        agent.paused.pop(line.queue, None)
        if agent.queues:
            self._say_status(name, agent, line, key)
        else:
            agent.paused = {}
            self._say(name, agent, line.at, key, "offline")

    def _pause(self, line: Line, key: str) -> None:
        found = self._agent(line)
        if found is not None:
            name, agent = found
            reason = line.text(0)[:60]
            if line.verb == "PAUSEALL":
                agent.paused = dict.fromkeys([*agent.paused, "*"], reason)
            else:
                agent.paused[line.queue] = reason
            self._say_status(name, agent, line, key)

    def _unpause(self, line: Line, key: str) -> None:
        found = self._agent(line)
        if found is None:
            return
        name, agent = found
        if line.verb == "UNPAUSEALL":
            agent.paused = {}
        else:
            agent.paused.pop(line.queue, None)
            # Each queue is logged by itself beside the line for all of them.
            agent.paused.pop("*", None)
        self._say_status(name, agent, line, key)

    def _agentlogin(self, line: Line, key: str) -> None:
        found = self._agent(line)
        if found is not None:
            name, agent = found
            agent.paused = {}
            self._say(name, agent, line.at, key, "available")

    def _agentlogoff(self, line: Line, key: str) -> None:
        found = self._agent(line)
        if found is None:
            return
        name, agent = found
        lasted = line.seconds(1)
        if not agent.said and lasted:
            self._say(name, agent, line.ago(lasted), f"{key}-since", "available")
        agent.paused = {}
        self._say(name, agent, line.at, key, "offline")

    def _say_status(self, name: str, agent: _Agent, line: Line, key: str) -> None:
        everywhere = "*" in agent.paused or (bool(agent.queues) and all(queue in agent.paused for queue in agent.queues))
        if agent.paused and (everywhere or self.site.is_away_when_paused_in_part):
            reason = agent.paused.get("*") or next((why for why in reversed(agent.paused.values()) if why), "")
            self._say(name, agent, line.at, key, "break", reason)
        else:
            self._say(name, agent, line.at, key, "available")

    def _say(self, name: str, agent: _Agent, at: dt.datetime, key: str, status: str, reason: str = "") -> None:
        if agent.said == [status, reason]:
            return
        agent.said = [status, reason]
        if self.oldest is not None and at < self.oldest:
            return
        data = {"agent": name, "status": status} | ({"reason": reason} if reason else {})
        self._out.append(self.site.event(f"{key}-status", "agent.status_changed", name, at, data))

    # --- Taken up again ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What has to be known to read on: plain values, for a file."""
        return {
            "calls": [
                {
                    **{name: getattr(call, name) for name in _PLAIN},
                    **{name: _text(getattr(call, name)) for name in _TIMES},
                    "talking": {name: list(channels) for name, channels in call.talking.items()},
                }
                for call in self._calls.values()
            ],
            "closed": dict(self._closed),
            "dids": {call_id: list(did) for call_id, did in self._dids.items()},
            "agents": {name: [agent.queues, agent.paused, agent.said] for name, agent in self._agents.items()},
            "managed": sorted(self._managed),
            "behind_local": sorted(self._behind_local),
            "seen": {str(epoch): lines for epoch, lines in self._seen.items()},
            "at": _text(self._at),
            "swept_at": self._swept_at,
        }

    def take_up(self, state: dict[str, Any]) -> None:
        for item in state["calls"]:
            values = {name: item[name] for name in _PLAIN} | {name: _moment(item[name]) for name in _TIMES}
            talking = {name: (channels[0], channels[1], channels[2]) for name, channels in item["talking"].items()}
            call = _Call(**values, talking=talking)
            self._calls[call.subject] = call
            self._subjects.update(dict.fromkeys(call.ids, call.subject))
        self._closed = dict(state["closed"])
        self._dids = {call_id: (did[0], did[1]) for call_id, did in state["dids"].items()}
        self._agents = {name: _Agent(*parts) for name, parts in state["agents"].items()}
        self._managed, self._behind_local = set(state["managed"]), set(state["behind_local"])
        self._seen = {int(epoch): lines for epoch, lines in state["seen"].items()}
        self._at, self._swept_at = _moment(state["at"]), state["swept_at"]


_PLAIN = ("subject", "n", "queue", "number", "ids", "ending", "transfer", "cancelled", "is_dropped")
_TIMES = ("last_at", "entered_at", "ring_ended_at")


def _text(moment: dt.datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None


def _begun(channel: str, line: Line) -> dt.datetime | None:
    """When the agent's phone began to ring: its channel is named by the second it was made in. The ring time the log
    gives counts from the queue's last round, which may be earlier."""
    match = _CHANNEL_ID.fullmatch(channel)
    if match is None:
        return None
    at = dt.datetime.fromtimestamp(int(match["epoch"]), dt.UTC)
    return at if dt.timedelta(0) <= line.at - at < dt.timedelta(hours=1) else None


def _check(line: Line) -> None:
    if line.verb not in _OF_A_CALL:
        return
    if line.call_id in NO_CALL:
        raise LineProblem(f"{line.verb}: names no call")
    if line.queue in NOBODY and line.verb != "DID":
        raise LineProblem(f"{line.verb}: names no queue")
    if line.agent in NOBODY and line.verb in _OF_AN_AGENT:
        raise LineProblem(f"{line.verb}: names no agent")


_OF_AN_AGENT = frozenset(
    {
        "RINGNOANSWER",
        "RINGCANCELED",
        "CONNECT",
        "COMPLETECALLER",
        "COMPLETEAGENT",
        "BLINDTRANSFER",
        "TRANSFER",
        "ATTENDEDTRANSFER",
        "AGENTDUMP",
    }
)
_REFUSALS = {"JOINEMPTY": "no_agents", "FULL": "full", "CLOSED": "closed"}
_Handler = Callable[[QueueLog, Line, str], None]
_OF_A_CALL: dict[str, _Handler] = {
    "ENTERQUEUE": QueueLog._enterqueue,
    "RINGNOANSWER": QueueLog._ringnoanswer,
    "RINGCANCELED": QueueLog._ringcanceled,
    "CONNECT": QueueLog._connect,
    "COMPLETECALLER": QueueLog._complete,
    "COMPLETEAGENT": QueueLog._complete,
    "ABANDON": QueueLog._abandon,
    "EXITWITHTIMEOUT": QueueLog._exitwithtimeout,
    "EXITEMPTY": QueueLog._exitempty,
    "LEAVEEMPTY": QueueLog._exitempty,
    "EXITWITHKEY": QueueLog._exitwithkey,
    "WITHDRAW": QueueLog._withdraw,
    "BLINDTRANSFER": QueueLog._blindtransfer,
    "TRANSFER": QueueLog._blindtransfer,
    "ATTENDEDTRANSFER": QueueLog._attendedtransfer,
    "AGENTDUMP": QueueLog._agentdump,
    "SYSCOMPAT": QueueLog._syscompat,
    "JOINEMPTY": QueueLog._refused,
    "FULL": QueueLog._refused,
    "CLOSED": QueueLog._refused,
    "DIVERT_CA_RATIO": QueueLog._refused,
    "DIVERT_HOLDTIME": QueueLog._refused,
    "DID": QueueLog._did,
}
_VERBS: dict[str, _Handler] = _OF_A_CALL | {
    "ADDMEMBER": QueueLog._addmember,
    "REMOVEMEMBER": QueueLog._removemember,
    "PAUSE": QueueLog._pause,
    "PAUSEALL": QueueLog._pause,
    "UNPAUSE": QueueLog._unpause,
    "UNPAUSEALL": QueueLog._unpause,
    "AGENTLOGIN": QueueLog._agentlogin,
    "AGENTCALLBACKLOGIN": QueueLog._agentlogin,
    "AGENTLOGOFF": QueueLog._agentlogoff,
    "AGENTCALLBACKLOGOFF": QueueLog._agentlogoff,
    "WRAPUPSTART": QueueLog._wrapupstart,
    "QUEUESTART": QueueLog._queuestart,
    "CONFIGRELOAD": QueueLog._nothing,
    "PENALTY": QueueLog._nothing,
    "RINGINUSE": QueueLog._nothing,
    "OUTCALL": QueueLog._nothing,
}
"""TRANSFER is BLINDTRANSFER as Asterisk wrote it up to 1.8."""
