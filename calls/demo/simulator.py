"""A simulated telephony platform: believable traffic of a call center, as the events any platform would post.

Nothing here is drawn to a wanted result. Callers arrive at random, agents are one at a time on one call, a caller who
waits longer than their patience hangs up; waiting, abandonment and service level are what comes of it. The same seed,
set-up and period give the same events. One engine serves two uses: a past period (`history`), and traffic as it
happens (`Simulation.advance` up to the present, again and again). Only events leave this module.
"""

import datetime as dt
import heapq
import itertools
import math
import random
import zoneinfo
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar

Event = dict[str, Any]
T = TypeVar("T")
Steps = Generator[float, Any, T]
"""A course of things: yields how many seconds pass until it goes on, `FOREVER` to wait until it is woken."""

FOREVER = math.inf
FAVORED = 9
"""The priority of good customers; all others have none."""
BUCKET_SECONDS = 900.0


# --- The set-up ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Topic:
    """What a call was about: the result code and a remark in the language of the agent who writes it."""

    disposition: str
    english: str
    chinese: str


@dataclass(frozen=True, slots=True)
class Group:
    """A skill group. Times in seconds; opening hours in local hours, `(0, 24)` never closes."""

    name: str
    key: str
    share: float
    talk: float
    wrap_up: float
    patience: float
    topics: tuple[Topic, ...]
    hours: tuple[float, float] = (8, 20)
    longest_wait: float = 600
    queue_limit: int = 25
    overflow_to: str = ""
    overflow_after: float = 90


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent: skill groups, and the local hours of the shift; a shift may end after midnight (20 to 32)."""

    staff_id: str
    groups: tuple[str, ...]
    shift: tuple[float, float]
    days_off: frozenset[int]
    terminal: str = "web"
    writes_chinese: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """A number callers dial. `skill_group` empty: through the menu."""

    number: str
    share: float
    skill_group: str = ""


@dataclass(frozen=True, slots=True)
class CallerRange:
    """Numbers that customers have: `stem` and four more digits."""

    stem: str
    provider: str
    locations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Center:
    source: str
    zone: zoneinfo.ZoneInfo
    groups: tuple[Group, ...]
    seats: tuple[Seat, ...]
    lines: tuple[Line, ...]
    outbound_number: str
    outbound_groups: tuple[str, ...]
    fallback_group: str
    partner_number: str
    partner_provider: str
    caller_ranges: tuple[CallerRange, ...]
    blocked_numbers: tuple[str, ...]
    spoken_wishes: tuple[tuple[str, str], ...]
    """What callers say when asked, and the skill group it leads to."""
    rings_agent: float = 20.0


@dataclass(frozen=True, slots=True)
class Caller:
    number: str
    provider: str
    location: str
    is_favored: bool


# --- When calls come and who is there ---------------------------------------------------------------------------------


class Traffic(Protocol):
    def rate(self, at: float) -> float:
        """Calls a second, all directions together, in the quarter of an hour that begins at `at`."""

    def hours(self, position: int, seat: Seat, day: dt.date) -> tuple[float, float] | None:
        """The local hours a seat works on a day; None: a day off."""

    def is_open(self, group: Group, local: dt.datetime) -> bool: ...


_HOURLY = (2, 1, 1, 1, 1, 2, 5, 14, 48, 86, 100, 84, 52, 62, 90, 96, 82, 62, 44, 30, 14, 9, 6, 4)
_WEEKDAY = (1.12, 1.02, 1.0, 0.98, 1.06, 0.58, 0.46)


class PastPeriod:
    """The day's curve with a peak before noon and one after, quieter weekends, some days busier than others."""

    def __init__(self, center: Center, *, start: dt.datetime, end: dt.datetime, n_calls: int, seed: int) -> None:
        self._zone = center.zone
        self._seed = seed
        first, last = start.timestamp(), end.timestamp()
        n_buckets = max(1, math.ceil((last - first) / BUCKET_SECONDS))
        weight = sum(self._weight(first + n * BUCKET_SECONDS) for n in range(n_buckets)) * BUCKET_SECONDS
        self._scale = n_calls / weight

    def rate(self, at: float) -> float:
        return self._scale * self._weight(at)

    def hours(self, position: int, seat: Seat, day: dt.date) -> tuple[float, float] | None:
        if day.weekday() in seat.days_off or self._chance(f"sick {position} {day}") < 0.03:
            return None
        return seat.shift

    def is_open(self, group: Group, local: dt.datetime) -> bool:
        opens, closes = group.hours
        return opens <= local.hour + local.minute / 60 < closes

    def _weight(self, at: float) -> float:
        local = dt.datetime.fromtimestamp(at, self._zone)
        hour = local.hour + local.minute / 60
        before, after = _HOURLY[int(hour)], _HOURLY[(int(hour) + 1) % 24]
        busy = 0.86 + 0.28 * self._chance(f"day {local.date()}")
        return (before + (after - before) * (hour % 1)) * _WEEKDAY[local.weekday()] * busy

    def _chance(self, what: str) -> float:
        return random.Random(f"{self._seed} {what}").random()  # noqa: S311 - a simulation, no secret


class Steady:
    """The same traffic at every hour, in gentle waves; shifts follow each other round the clock."""

    SHIFT_HOURS = 15.0

    def __init__(self, center: Center, *, calls_per_hour: float) -> None:
        self._per_second = calls_per_hour / 3600
        self._n_seats = len(center.seats)

    def rate(self, at: float) -> float:
        return self._per_second * (1 + 0.15 * math.sin(at / 1200 * math.tau))

    def hours(self, position: int, seat: Seat, day: dt.date) -> tuple[float, float] | None:
        begin = (position * 7 % self._n_seats) * 24 / self._n_seats  # neighbours share groups: spread them over the day
        return begin, begin + self.SHIFT_HOURS

    def is_open(self, group: Group, local: dt.datetime) -> bool:
        return True


# --- What is going on -------------------------------------------------------------------------------------------------


class Doing(Enum):
    OFFLINE = 0
    AWAY = 1
    FREE = 2
    ENGAGED = 3


@dataclass(order=True, slots=True)
class Duty:
    """Something other than calls that an agent is to do at a time."""

    at: float
    status: str = field(compare=False)
    reason: str = field(compare=False)
    seconds: float = field(compare=False)


@dataclass(slots=True, eq=False)
class Desk:
    """An agent at work."""

    seat: Seat
    doing: Doing = Doing.OFFLINE
    status: str = "offline"
    free_since: float = 0.0
    leaves_at: float = 0.0
    serves: "OpenCall | None" = None
    """The call that is talked in or worked on afterwards."""

    @property
    def is_free(self) -> bool:
        return self.doing is Doing.FREE

    duties: list[Duty] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class OpenCall:
    id: str
    direction: str
    opened_at: float
    priority: int = 0
    n_events: int = 0
    talking: Desk | None = None
    answered_at: float = 0.0
    is_ended: bool = False
    gave_up: bool = False


class Process:
    """A course of things under way. Its ticket tells a call to go on that still counts from one that came too late."""

    __slots__ = ("steps", "ticket")

    def __init__(self, steps: Steps[None]) -> None:
        self.steps = steps
        self.ticket = 0


@dataclass(slots=True, eq=False)
class Waiting:
    call: OpenCall
    group: Group
    process: Process
    since: float

    def rank(self) -> tuple[int, float]:
        return -self.call.priority, self.since


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What a simulation that vanished would leave behind without an end."""

    calls: frozenset[str] = frozenset()
    work: frozenset[tuple[str, str]] = frozenset()
    """Call and agent: talk or wrap-up."""
    online: frozenset[str] = frozenset()

    @classmethod
    def begun_in(cls, events: Iterable[Event]) -> "UnderWay":
        """Everything that events began, also what they ended again: ending it once more changes nothing."""
        calls, work, online = set(), set(), set()
        for event in events:
            if event["type"] == "agent.status_changed":
                online.add(event["subject"])
            else:
                calls.add(event["subject"])
            if event["type"] == "call.answered":
                work.add((event["subject"], event["data"]["agent"]))
        return cls(frozenset(calls), frozenset(work), frozenset(online))

    def __or__(self, other: "UnderWay") -> "UnderWay":
        return UnderWay(self.calls | other.calls, self.work | other.work, self.online | other.online)

    def closing_events(self, center: Center, *, at: dt.datetime) -> list[Event]:
        """What a platform would report that finds these after a restart. The same left-overs give the same events."""
        time = at.astimezone(center.zone).isoformat(timespec="milliseconds")
        events = [
            _event(center, time, f"{call}-lost", "call.ended", call, {"party": "system", "cause": "lost_contact"}, "9998")
            for call in sorted(self.calls)
        ]
        events += [
            _event(center, time, f"{call}-{agent}-lost", "call.wrap_up_ended", call, {"agent": agent}, "9999")
            for call, agent in sorted(self.work)
        ]
        events += [
            _event(
                center, time, f"{agent}-{time}-lost", "agent.status_changed", agent, {"agent": agent, "status": "offline"}, "9"
            )
            for agent in sorted(self.online)
        ]
        return events


def _event(center: Center, time: str, event_id: str, event_type: str, subject: str, data: dict[str, Any], sequence: str) -> Event:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": center.source,
        "type": event_type,
        "subject": subject,
        "time": time,
        "sequence": sequence,
        "data": data,
    }


class Simulation:
    """A center at work from `start` on. `run` names it: events of two runs never share an id."""

    def __init__(
        self,
        center: Center,
        *,
        traffic: Traffic,
        start: dt.datetime,
        seed: int,
        run: str,
        records_from: dt.datetime | None = None,
        recorded_share: float = 0.1,
    ) -> None:
        self.center = center
        self.traffic = traffic
        self.run = run
        self.now = start.timestamp()
        self.open_calls: dict[str, OpenCall] = {}
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._records_from = records_from.timestamp() if records_from else FOREVER
        self._recorded_share = recorded_share
        self._agenda: list[tuple[float, int, Process, int, Any]] = []
        self._order = itertools.count()
        self._emitted: list[Event] = []
        self._n_calls = itertools.count(1)
        self._n_changes = itertools.count(1)
        self._running: Process | None = None
        self._groups = {group.name: group for group in center.groups}
        self._desks = [Desk(seat) for seat in center.seats]
        self._members = {name: [desk for desk in self._desks if name in desk.seat.groups] for name in self._groups}
        self._queues: dict[str, deque[Waiting]] = {name: deque() for name in self._groups}
        self._begin(self._roster())
        self._begin(self._arrivals())

    # --- Time --------------------------------------------------------------------------------------------------------

    def advance(self, until: dt.datetime) -> Iterator[Event]:
        """What happens up to a moment, in the order of time."""
        horizon = until.timestamp()
        while self._agenda and self._agenda[0][0] <= horizon:
            self.now, _, process, ticket, value = heapq.heappop(self._agenda)
            if ticket == process.ticket:
                self._go_on(process, value)
                yield from self._taken()
        self.now = max(self.now, horizon)

    def finish(self, at: dt.datetime) -> Iterator[Event]:
        """Closes the center: calls under way end, everybody signs off. Nothing happens afterwards."""
        self.now = max(self.now, at.timestamp())
        self._agenda.clear()
        for call in list(self.open_calls.values()):
            if call.talking is not None:
                self._end(call, "agent", "completed")
            elif call.direction == "inbound" or call.answered_at:
                self._end(call, "customer")
            else:
                self._end(call, "agent", "cancelled")
        for desk in self._desks:
            self._stop_work(desk)
            if desk.status != "offline":
                self._set_status(desk, "offline")
        yield from self._taken()

    def under_way(self) -> UnderWay:
        return UnderWay(
            calls=frozenset(self.open_calls),
            work=frozenset((desk.serves.id, desk.seat.staff_id) for desk in self._desks if desk.serves is not None),
            online=frozenset(desk.seat.staff_id for desk in self._desks if desk.status != "offline"),
        )

    def _taken(self) -> list[Event]:
        taken, self._emitted = self._emitted, []
        return taken

    def _begin(self, steps: Steps[None], after: float = 0.0) -> None:
        self._put(Process(steps), after)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        def steps() -> Steps[None]:
            yield seconds
            act()

        self._begin(steps())

    def _put(self, process: Process, after: float, value: Any = None) -> None:
        process.ticket += 1
        if after != FOREVER:
            heapq.heappush(self._agenda, (self.now + max(0.0, after), next(self._order), process, process.ticket, value))

    def _go_on(self, process: Process, value: Any) -> None:
        self._running = process
        try:
            seconds = process.steps.send(value)
        except StopIteration:
            process.ticket += 1
        else:
            self._put(process, seconds)
        self._running = None

    def _current(self) -> Process:
        assert self._running is not None  # noqa: S101 - only courses of things ask
        return self._running

    def _local(self, at: float | None = None) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.now if at is None else at, self.center.zone)

    # --- Events ------------------------------------------------------------------------------------------------------

    def _emit(self, call: OpenCall, event_type: str, **data: Any) -> None:
        call.n_events += 1
        sequence = f"{call.n_events:04d}"
        self._emitted.append(self._event(f"{call.id}-{sequence}", event_type, call.id, data, sequence))

    def _set_status(self, desk: Desk, status: str, reason: str = "") -> None:
        desk.status = status
        data = {"agent": desk.seat.staff_id, "status": status, "terminal": desk.seat.terminal}
        if reason:
            data["reason"] = reason
        number = f"{next(self._n_changes):07d}"
        self._emitted.append(self._event(f"{self.run}-s{number}", "agent.status_changed", desk.seat.staff_id, data, number))

    def _event(self, event_id: str, event_type: str, subject: str, data: dict[str, Any], sequence: str) -> Event:
        time = self._local().isoformat(timespec="milliseconds")
        return _event(self.center, time, event_id, event_type, subject, data, sequence)

    # --- Chance ------------------------------------------------------------------------------------------------------

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _between(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def _around(self, mean: float, spread: float = 0.6) -> float:
        """Mostly near the mean and sometimes far above it, as the length of talks is."""
        return self._random.lognormvariate(math.log(mean) - spread * spread / 2, spread)

    def _caller(self) -> Caller:
        """One of many customers; some call more often than others."""
        ranges = self.center.caller_ranges
        known = int(6000 * self._random.random() ** 1.5)
        numbers = ranges[known % len(ranges)]
        location = numbers.locations[known // len(ranges) % len(numbers.locations)]
        return Caller(f"{numbers.stem}{known * 7919 % 10000:04d}", numbers.provider, location, known % 29 == 0)

    # --- People ------------------------------------------------------------------------------------------------------

    def _roster(self) -> Steps[None]:
        """Begins each agent's day of work; also those that began the evening before the simulation did."""
        day = self._local().date() - dt.timedelta(days=1)
        while True:
            midnight = dt.datetime.combine(day, dt.time(), tzinfo=self.center.zone).timestamp()
            for position, desk in enumerate(self._desks):
                hours = self.traffic.hours(position, desk.seat, day)
                if hours is not None and midnight + hours[1] * 3600 > self.now + 600:
                    self._begin(self._workday(desk, midnight + hours[0] * 3600, midnight + hours[1] * 3600))
            day += dt.timedelta(days=1)
            tomorrow = dt.datetime.combine(day, dt.time(), tzinfo=self.center.zone).timestamp()
            yield tomorrow - 600 - self.now

    def _workday(self, desk: Desk, begin: float, end: float) -> Steps[None]:
        yield max(begin + self._between(-420, 90) - self.now, self._between(0, 15))
        if desk.doing is not Doing.OFFLINE:
            return
        desk.leaves_at = end + self._between(0, 300)
        desk.duties = self._duties(max(begin, self.now), end, begin)
        self._free(desk)
        for at in [duty.at for duty in desk.duties] + [desk.leaves_at]:
            yield at - self.now
            if desk.is_free:
                self._free(desk)

    def _duties(self, start: float, end: float, begin: float) -> list[Duty]:
        """Two short breaks, a meal, and now and then something else. What would lie in the past is left out."""
        middle = (begin + end) / 2
        quarter = (end - begin) / 4
        duties = [
            Duty(middle + self._between(-2700, 2700), "break", "Meal", self._between(1800, 2700)),
            Duty(begin + quarter + self._between(-1200, 1200), "break", "Short break", self._between(480, 900)),
            Duty(end - quarter + self._between(-1200, 1200), "break", "Short break", self._between(480, 900)),
        ]
        if self._chance(0.12):
            duties.append(Duty(begin + self._between(0.1, 0.9) * (end - begin), "break", "Training", self._between(1800, 3600)))
        if self._chance(0.15):
            duties.append(Duty(begin + self._between(0.1, 0.9) * (end - begin), "break", "Meeting", self._between(900, 2400)))
        for _ in range(self._random.choice((0, 1, 1, 2))):
            duties.append(Duty(begin + self._between(0.1, 0.9) * (end - begin), "busy", "Back office", self._between(300, 1200)))
        return sorted(duty for duty in duties if duty.at > start)

    def _free(self, desk: Desk) -> None:
        """An agent is done with the last thing: the next is going home, a duty, a caller, or waiting for one."""
        if self.now >= desk.leaves_at:
            desk.doing = Doing.OFFLINE
            self._set_status(desk, "offline")
        elif desk.duties and desk.duties[0].at <= self.now:
            duty = desk.duties.pop(0)
            self._send_away(desk, duty.status, duty.reason, duty.seconds)
        else:
            desk.doing, desk.free_since = Doing.FREE, self.now
            if desk.status != "available":
                self._set_status(desk, "available")
            self._take_next(desk)

    def _send_away(self, desk: Desk, status: str, reason: str, seconds: float) -> None:
        desk.doing = Doing.AWAY
        self._set_status(desk, status, reason)
        self._later(seconds, lambda: self._free(desk))

    def _take_next(self, desk: Desk) -> None:
        """The caller with the highest priority in the agent's queues, then the one who has waited longest."""
        first = [self._queues[name][0] for name in desk.seat.groups if self._queues[name]]
        if first:
            waiting = min(first, key=Waiting.rank)
            self._queues[waiting.group.name].popleft()
            desk.doing = Doing.ENGAGED
            self._put(waiting.process, 0.0, desk)

    def _claim(self, group: Group, *, but: Desk | None = None) -> Desk | None:
        """The agent of a group who has been free longest."""
        free = [desk for desk in self._members[group.name] if desk.is_free and desk is not but]
        if not free:
            return None
        desk = min(free, key=lambda desk: desk.free_since)
        desk.doing = Doing.ENGAGED
        return desk

    def _anyone_online(self, group: Group) -> bool:
        return any(desk.doing is not Doing.OFFLINE for desk in self._members[group.name])

    # --- Calls come --------------------------------------------------------------------------------------------------

    def _arrivals(self) -> Steps[None]:
        """A Poisson process whose rate holds for a quarter of an hour, then is looked up again."""
        while True:
            ends = (self.now // BUCKET_SECONDS + 1) * BUCKET_SECONDS
            rate = self.traffic.rate(self.now - self.now % BUCKET_SECONDS)
            gap = self._random.expovariate(rate) if rate > 0 else FOREVER
            if self.now + gap >= ends:
                yield ends - self.now
                continue
            yield gap
            kind = self._random.random()
            if kind < 0.80:
                self._begin(self._inbound(self._caller(), self._line()))
            elif kind < 0.97:
                self._begin(self._outbound(self._caller()))
            else:
                self._begin(self._internal())

    def _line(self) -> Line:
        lines = self.center.lines
        return self._random.choices(lines, [line.share for line in lines])[0]

    def _open(self, direction: str, **data: Any) -> OpenCall:
        call = OpenCall(f"{self.run}-{next(self._n_calls):06d}", direction, self.now)
        self.open_calls[call.id] = call
        self._emit(call, "call.started", direction=direction, **data)
        return call

    def _end(self, call: OpenCall, party: str, cause: str = "") -> None:
        data = {"party": party, "cause": cause} if cause else {"party": party}
        self._emit(call, "call.ended", **data)
        call.is_ended = True
        del self.open_calls[call.id]
        if call.answered_at and self.now >= self._records_from and self._chance(self._recorded_share):
            length = round(self._between(3, 8), 1)  # an excerpt is kept
            file = f"recordings/{call.id}.wav"
            self._later(self._between(1, 4), lambda: self._emit(call, "call.recorded", duration=length, file=file))

    # --- Inbound -----------------------------------------------------------------------------------------------------

    def _inbound(self, caller: Caller, line: Line) -> Steps[None]:
        number, provider, location = caller.number, caller.provider, caller.location
        is_blocked = self._chance(0.006)
        if is_blocked:
            number = self._random.choice(self.center.blocked_numbers)
        call = self._open(
            "inbound", calling_number=number, called_number=line.number, provider=provider, location=location, call_type="phone"
        )
        yield self._between(0.2, 0.8)
        if is_blocked:
            self._end(call, "system", "blocked")
            return
        if line.skill_group:
            group: Group | None = self._groups[line.skill_group]
        else:
            group = yield from self._menu(call)
        if group is None:
            return
        if caller.is_favored:
            call.priority = FAVORED
        if group.overflow_to and not self._anyone_online(group) and self._chance(0.75):
            group = self._groups[group.overflow_to]  # most menus lead nobody where nobody is
        if not self.traffic.is_open(group, self._local()):
            yield from self._turn_away(call, group)
            return
        desk, group = yield from self._find_agent(call, group)
        if desk is None:
            if call.gave_up and self._chance(0.3):
                self._begin(self._inbound(caller, line), self._between(60, 900))  # they try again
            return
        yield from self._conversation(call, desk, group)

    def _menu(self, call: OpenCall) -> Steps[Group | None]:
        """The voice menu; None when the call ended in it."""
        self._emit(call, "call.ivr_prompted", step="welcome", prompt="welcome", kind="audio")
        yield self._between(2.5, 4.5)
        if self._chance(0.02):
            self._end(call, "customer")
            return None
        if self._chance(0.2):
            return (yield from self._spoken_menu(call))
        self._emit(call, "call.ivr_prompted", step="menu", prompt=MENU_TEXT, kind="tts")
        yield self._between(3, 13)
        if self._chance(0.045):
            self._end(call, "customer")
            return None
        if self._chance(0.05):
            self._emit(call, "call.ivr_input", step="menu", input=self._random.choice("678*"), kind="keys")
            yield 0.4
            self._emit(call, "call.ivr_prompted", step="menu", prompt=f"That was not a choice. {MENU_TEXT}", kind="tts")
            yield self._between(4, 11)
            if self._chance(0.15):
                self._end(call, "customer")
                return None
        if self._chance(0.2):
            return (yield from self._order_status(call))
        group = self._wanted_group()
        self._emit(call, "call.ivr_input", step="menu", input=group.key, kind="keys")
        yield self._between(0.5, 1.5)
        return group

    def _spoken_menu(self, call: OpenCall) -> Steps[Group | None]:
        self._emit(call, "call.ivr_prompted", step="wish", prompt="Please say in a few words how we can help.", kind="engine")
        yield self._between(3, 8)
        if self._chance(0.05):
            self._end(call, "customer")
            return None
        wish, name = self._random.choice(self.center.spoken_wishes)
        self._emit(call, "call.ivr_input", step="wish", input=wish, kind="speech")
        yield self._between(0.8, 2)
        if self._chance(0.08):
            self._emit(call, "call.ivr_prompted", step="name", prompt="ask-name", kind="audio")
            yield self._between(2, 5)
            self._emit(call, "call.ivr_input", step="name", input=f"clips/{call.id}.wav", kind="audio")
            yield 0.5
        return self._groups[name]

    def _wanted_group(self) -> Group:
        groups = self.center.groups
        return self._random.choices(groups, [group.share for group in groups])[0]

    def _order_status(self, call: OpenCall) -> Steps[Group | None]:
        self._emit(call, "call.ivr_input", step="menu", input="9", kind="keys")
        yield 0.4
        self._emit(call, "call.ivr_prompted", step="order", prompt="Please enter your order number and press hash.", kind="tts")
        yield self._between(6, 15)
        if self._chance(0.12):
            self._end(call, "customer")
            return None
        self._emit(call, "call.ivr_input", step="order", input=f"{self._random.randrange(10**7, 10**8)}#", kind="keys")
        yield self._between(0.8, 2)
        day = self._local() + dt.timedelta(days=self._random.randrange(1, 5))
        self._emit(call, "call.ivr_prompted", step="order-status", prompt=f"Your order arrives on {day:%d %B}.", kind="tts")
        yield self._between(5, 12)
        if self._chance(0.22):
            self._emit(call, "call.ivr_input", step="order-status", input="0", kind="keys")
            yield 0.5
            return self._groups[self.center.fallback_group]
        self._end(call, "customer" if self._chance(0.4) else "system", "self_served")
        return None

    def _turn_away(self, call: OpenCall, group: Group) -> Steps[None]:
        """Out of hours: a message, and for some a voicemail."""
        self._emit(call, "call.ivr_prompted", step="closed", prompt="closed", kind="audio")
        yield self._between(5, 11)
        if self._chance(0.3):
            self._emit(call, "call.ivr_input", step="closed", input="1", kind="keys")
            yield from self._voicemail(call, group)
        elif self._chance(0.3):
            self._end(call, "customer", "closed")
        else:
            self._end(call, "system", "closed")

    def _voicemail(self, call: OpenCall, group: Group) -> Steps[None]:
        length = round(self._between(4, 8), 1)
        yield length + 1.5
        self._emit(call, "call.voicemail_left", duration=length, skill_group=group.name, file=f"voicemail/{call.id}.wav")
        self._end(call, "customer")

    # --- Queue -------------------------------------------------------------------------------------------------------

    def _find_agent(self, call: OpenCall, group: Group) -> Steps[tuple[Desk | None, Group]]:
        """Queues a call, and queues it elsewhere when that takes too long. No agent: the call ended or found its end."""
        patience = self._random.expovariate(1 / group.patience)
        while True:
            desk, why = yield from self._queue(call, group, self.now + patience)
            if desk is not None or call.is_ended:
                return desk, group
            self._emit(call, "call.dequeued", reason=why, skill_group=group.name)
            if why == "overflow":
                group = self._groups[group.overflow_to]
                patience = self._random.expovariate(1 / group.patience)
                continue
            if why == "timeout" and self._chance(0.4):
                yield 0.3
                self._emit(call, "call.ivr_prompted", step="voicemail", prompt="leave-message", kind="audio")
                yield from self._voicemail(call, group)
            else:
                yield 0.4
                self._end(call, "system", why)
            return None, group

    def _queue(self, call: OpenCall, group: Group, gives_up_at: float) -> Steps[tuple[Desk | None, str]]:
        """One stay in a group's queue: an agent who answered, or why the caller left it; "" when the call ended."""
        data: dict[str, Any] = {"skill_group": group.name}
        if call.priority:
            data["priority"] = call.priority
        self._emit(call, "call.queued", **data)
        if not self._anyone_online(group):
            return None, "no_agents"
        if len(self._queues[group.name]) >= group.queue_limit:
            return None, "full"
        since = self.now
        overflows_at = since + group.overflow_after if group.overflow_to else FOREVER
        times_out_at = since + group.longest_wait
        while True:
            desk = self._claim(group)
            if desk is None:
                waiting = Waiting(call, group, self._current(), since)
                self._line_up(waiting)
                desk = yield min(gives_up_at, overflows_at, times_out_at) - self.now
                if desk is None:
                    self._queues[group.name].remove(waiting)
                    if self.now >= gives_up_at - 1e-6:
                        self._give_up(call)
                        return None, ""
                    if self.now >= overflows_at - 1e-6:
                        return None, "overflow"
                    return None, "timeout" if self._anyone_online(group) else "no_agents"
            answered = yield from self._ring(call, desk, group, gives_up_at)
            if answered:
                return desk, ""
            if call.is_ended:
                return None, ""

    def _give_up(self, call: OpenCall) -> None:
        call.gave_up = True
        self._end(call, "customer")

    def _line_up(self, waiting: Waiting) -> None:
        """Who was offered to an agent in vain keeps their place, by when they first came."""
        queue = self._queues[waiting.group.name]
        place = next((n for n, other in enumerate(queue) if other.rank() > waiting.rank()), len(queue))
        queue.insert(place, waiting)

    def _ring(self, call: OpenCall, desk: Desk, group: Group | None, gives_up_at: float) -> Steps[bool]:
        """Rings one agent: True when they answered. Otherwise the agent is freed, and the call may have ended."""
        data = {"agent": desk.seat.staff_id, "terminal": desk.seat.terminal}
        if group is not None:
            data["skill_group"] = group.name
        self._emit(call, "call.ringing", **data)
        kind = self._random.random()
        if kind < 0.022:
            rings, reason = self.center.rings_agent, "no_answer"
        elif kind < 0.028:
            rings, reason = self._between(2, 6), "rejected"
        elif kind < 0.031:
            rings, reason = 0.6, "busy"
        else:
            rings, reason = self._between(1.5, 8.5), ""
        if gives_up_at < self.now + rings:
            yield gives_up_at - self.now
            self._give_up(call)
            self._free(desk)
            return False
        yield rings
        if not reason:
            self._emit(call, "call.answered", **data)
            self._connect(call, desk)
            return True
        self._emit(call, "call.ring_ended", agent=desk.seat.staff_id, reason=reason)
        if reason == "busy":
            self._send_away(desk, "busy", "On another line", self._between(20, 90))
        elif reason == "rejected":
            self._send_away(desk, "busy", "Back office", self._between(60, 240))
        else:
            self._send_away(desk, "break", "No answer", self._between(60, 300))
        return False

    def _connect(self, call: OpenCall, desk: Desk) -> None:
        call.talking, call.answered_at = desk, call.answered_at or self.now
        desk.serves = call

    # --- Conversation ------------------------------------------------------------------------------------------------

    def _conversation(self, call: OpenCall, desk: Desk, group: Group) -> Steps[None]:
        """From the first word to the end of the call, whoever takes part in it."""
        while True:
            yield from self._talk(call, desk, group)
            if not self._chance(0.065):
                break
            passed_on = yield from self._pass_on(call, desk, group)
            if passed_on is None:
                return
            if passed_on[0] is desk:
                break
            desk, group = passed_on
        yield from self._say_goodbye(call, desk, group)

    def _talk(self, call: OpenCall, desk: Desk, group: Group) -> Steps[None]:
        length = max(8.0, self._around(group.talk))
        if self._chance(0.13):
            first = length * self._between(0.2, 0.7)
            yield first
            self._emit(call, "call.held", agent=desk.seat.staff_id)
            yield self._between(12, 95)
            self._emit(call, "call.resumed", agent=desk.seat.staff_id)
            yield length - first
        else:
            yield length

    def _say_goodbye(self, call: OpenCall, desk: Desk, group: Group) -> Steps[None]:
        """The agent may hang up first; only then the caller is still there to be asked for a rating."""
        if self._chance(0.4):
            self._emit(call, "call.leg_ended", agent=desk.seat.staff_id)
            call.talking = None
            self._begin(self._wrap_up(call, desk, group))
            if self._chance(0.85):
                yield 0.5
                self._emit(call, "call.ivr_prompted", step="rating", prompt="rate-1-to-5", kind="audio")
                yield self._between(3, 9)
                self._emit(call, "call.rated", **self._rating(call))
            self._end(call, "agent", "completed")
            return
        call.talking = None
        if self._chance(0.02):
            self._end(call, "system", "error")
        else:
            self._end(call, "customer", "completed")
        self._begin(self._wrap_up(call, desk, group))

    def _rating(self, call: OpenCall) -> dict[str, Any]:
        """Six in ten answer; who waited long is harder to please."""
        if not self._chance(0.6):
            return {"asked": True}
        weights = (8, 9, 19, 32, 32) if call.answered_at - call.opened_at > 120 else (3, 4, 11, 31, 51)
        return {"asked": True, "score": self._random.choices((1, 2, 3, 4, 5), weights)[0], "scale": 5}

    def _wrap_up(self, call: OpenCall, desk: Desk, group: Group) -> Steps[None]:
        length = max(3.0, self._around(group.wrap_up, 0.5))
        if self._chance(0.42):
            yield length * 0.8
            topic = self._random.choice(group.topics)
            self._emit(
                call,
                "call.remarked",
                agent=desk.seat.staff_id,
                text=topic.chinese if desk.seat.writes_chinese else topic.english,
                disposition=topic.disposition,
            )
            yield length * 0.2
        else:
            yield length
        self._stop_work(desk)
        if self._chance(0.03):
            self._send_away(desk, "wrap_up", "More to write down", self._between(45, 240))
        else:
            self._free(desk)

    def _stop_work(self, desk: Desk) -> None:
        if desk.serves is not None:
            self._emit(desk.serves, "call.wrap_up_ended", agent=desk.seat.staff_id)
            desk.serves = None

    # --- Transfers ---------------------------------------------------------------------------------------------------

    def _pass_on(self, call: OpenCall, desk: Desk, group: Group) -> Steps[tuple[Desk, Group] | None]:
        """Passes a call on to an agent, a group or an external center. None: the call is over."""
        attended = self._chance(0.4)
        way = self._random.random()
        others = [
            other for other in self.center.groups if other.name != group.name and self.traffic.is_open(other, self._local())
        ]
        if way < 0.2 or not others:
            yield from self._to_partner(call, desk, group, attended)
            return None
        other = self._random.choice(others)
        if way < 0.65:
            return (yield from self._to_group(call, desk, group, other, attended))
        return (yield from self._to_agent(call, desk, group, other, attended))

    def _leave(self, call: OpenCall, desk: Desk, group: Group) -> None:
        self._emit(call, "call.leg_ended", agent=desk.seat.staff_id, reason="transferred")
        if call.talking is desk:
            call.talking = None
        self._begin(self._wrap_up(call, desk, group))

    def _to_partner(self, call: OpenCall, desk: Desk, group: Group, attended: bool) -> Steps[None]:
        if attended:
            self._emit(call, "call.held", agent=desk.seat.staff_id)
            yield self._between(10, 30)
        self._emit(
            call,
            "call.transferred",
            **{"from": desk.seat.staff_id, "to_number": self.center.partner_number},
            provider=self.center.partner_provider,
            kind="attended" if attended else "blind",
        )
        self._leave(call, desk, group)
        yield self._around(180)
        self._emit(call, "call.leg_ended", number=self.center.partner_number)
        self._end(call, "customer", "completed")

    def _to_group(
        self, call: OpenCall, desk: Desk, group: Group, other: Group, attended: bool
    ) -> Steps[tuple[Desk, Group] | None]:
        transfer = {"from": desk.seat.staff_id, "to_skill_group": other.name, "kind": "attended" if attended else "blind"}
        if attended:
            self._emit(call, "call.held", agent=desk.seat.staff_id)
        else:
            self._emit(call, "call.transferred", **transfer)
            self._leave(call, desk, group)
        answering, other = yield from self._find_agent(call, other)
        if answering is None:
            if attended:
                call.talking = None
                self._begin(self._wrap_up(call, desk, group))
            return None
        if attended:
            yield self._between(5, 20)
            self._emit(call, "call.transferred", **transfer)
            self._leave(call, desk, group)
        return answering, other

    def _to_agent(
        self, call: OpenCall, desk: Desk, group: Group, other: Group, attended: bool
    ) -> Steps[tuple[Desk, Group] | None]:
        """A colleague who is free now; if there is none, or they do not answer, the first agent keeps the call."""
        colleague = self._claim(other, but=desk)
        if colleague is None:
            return desk, group
        transfer = {"from": desk.seat.staff_id, "to_agent": colleague.seat.staff_id, "kind": "attended" if attended else "blind"}
        gives_up_at = self.now + self._random.expovariate(1 / 240)
        if attended:
            self._emit(call, "call.held", agent=desk.seat.staff_id)
        else:
            self._emit(call, "call.transferred", **transfer)
            self._leave(call, desk, group)
        answered = yield from self._ring(call, colleague, None, gives_up_at)
        if answered and attended:
            yield self._between(5, 20)
            self._emit(call, "call.transferred", **transfer)
            self._leave(call, desk, group)
        if answered:
            return colleague, other
        if call.is_ended:
            if attended:
                call.talking = None
                self._begin(self._wrap_up(call, desk, group))
            return None
        if attended:
            self._emit(call, "call.resumed", agent=desk.seat.staff_id)
            return desk, group
        answering, other = yield from self._find_agent(call, other)
        return (answering, other) if answering is not None else None

    # --- Outbound and internal ---------------------------------------------------------------------------------------

    def _outbound(self, caller: Caller) -> Steps[None]:
        """An agent who is free calls a customer; when all are busy nobody does."""
        group = self._groups[self._random.choice(self.center.outbound_groups)]
        if not self.traffic.is_open(group, self._local()):
            return
        desk = self._claim(group)
        if desk is None:
            return
        call = self._open(
            "outbound",
            calling_number=self.center.outbound_number,
            called_number=caller.number,
            provider=caller.provider,
            location=caller.location,
            call_type="phone",
        )
        data = {"agent": desk.seat.staff_id, "skill_group": group.name, "terminal": desk.seat.terminal}
        self._emit(call, "call.ringing", **data)
        rings, party, cause = self._how_outbound_goes()
        yield rings
        if cause:
            self._end(call, party, cause)
            yield self._between(4, 15)
            self._free(desk)
            return
        self._emit(call, "call.answered", **data)
        self._connect(call, desk)
        yield from self._talk(call, desk, group)
        yield from self._say_goodbye(call, desk, group)

    def _how_outbound_goes(self) -> tuple[float, str, str]:
        """How long it rings, and who ends it and why; no cause: the customer answers."""
        kind = self._random.random()
        if kind < 0.60:
            return self._between(5, 22), "", ""
        if kind < 0.80:
            return self._between(28, 45), "system", "no_answer"
        if kind < 0.88:
            return self._between(2, 5), "system", "busy"
        if kind < 0.93:
            return self._between(4, 14), "customer", "rejected"
        if kind < 0.96:
            return self._between(2, 6), "system", "unreachable"
        if kind < 0.97:
            return self._between(1, 3), "system", "invalid_number"
        return self._between(6, 25), "agent", "cancelled"

    def _internal(self) -> Steps[None]:
        """One agent calls another by extension; both are taken up by it."""
        free = [desk for desk in self._desks if desk.is_free]
        if len(free) < 4:
            return  # callers come first
        first, second = self._random.sample(free, 2)
        first.doing = second.doing = Doing.ENGAGED
        call = self._open(
            "internal", calling_number=first.seat.staff_id, called_number=second.seat.staff_id, call_type="extension"
        )
        answered = yield from self._ring(call, second, None, FOREVER)
        if not answered:
            self._end(call, "system", "no_answer")
            self._free(first)
            return
        yield max(6.0, self._around(70))
        call.talking = None
        self._end(call, "agent", "completed")
        self._stop_work(second)
        self._free(first)
        self._free(second)


MENU_TEXT = (
    "For sales press 1, for technical support press 2, for billing press 3, for complaints press 4, "
    "for your order's status press 9, for everything else press 0."
)


def history(
    center: Center,
    *,
    start: dt.datetime,
    end: dt.datetime,
    n_calls: int,
    seed: int,
    run: str,
    records_from: dt.datetime | None = None,
    recorded_share: float = 0.1,
) -> Iterator[Event]:
    """About `n_calls` calls of a past period, event by event in the order of time; all calls end by its end."""
    traffic = PastPeriod(center, start=start, end=end, n_calls=n_calls, seed=seed)
    simulation = Simulation(
        center,
        traffic=traffic,
        start=start,
        seed=seed,
        run=run,
        records_from=records_from,
        recorded_share=recorded_share,
    )
    yield from simulation.advance(end)
    yield from simulation.finish(end)
