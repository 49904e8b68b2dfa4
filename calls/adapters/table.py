"""Rows of a table of finished calls, read as events.

A mapping file (TOML; its language is in docs/import.md) says which column means what. Pure: no database and no clock.
A row that cannot be read as a whole gives no event at all, and says which column is wrong and why.
"""

import codecs
import datetime as dt
import tomllib
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calls.lifecycle import Event, fold
from calls.models import Outcome, Party
from calls.vocabulary import problems_of

MAPPINGS = Path(__file__).parent / "mappings"
UNKNOWN_AGENT = "unknown"
"""Who answered, where the table does not say."""

Row = Mapping[str, str]
DAY = dt.timedelta(days=1)
HALF_A_DAY = dt.timedelta(hours=12)

FIELDS = (
    "id",
    "direction",
    "calling_number",
    "called_number",
    "provider",
    "location",
    "call_type",
    "ivr_prompt",
    "skill_group",
    "agent",
    "terminal",
    "outcome",
    "ended_by",
    "rating",
    "rating_scale",
    "remark",
    "disposition",
)
TIMES = ("started", "ivr", "queued", "ringing", "answered", "ended", "wrap_up_ended")
"""In the order in which they happen."""

ENDINGS: dict[str, tuple[str, str]] = {
    Outcome.ANSWERED: (Party.CUSTOMER, ""),
    Outcome.ABANDONED_IN_IVR: (Party.CUSTOMER, ""),
    Outcome.ABANDONED_IN_QUEUE: (Party.CUSTOMER, ""),
    Outcome.ABANDONED_WHILE_RINGING: (Party.CUSTOMER, ""),
    Outcome.SELF_SERVED: (Party.CUSTOMER, "self_served"),
    Outcome.TIMED_OUT: (Party.SYSTEM, "timeout"),
    Outcome.OVERFLOWED: (Party.SYSTEM, "full"),
    Outcome.NO_AGENT: (Party.SYSTEM, "no_agents"),
    Outcome.CLOSED: (Party.SYSTEM, "closed"),
    Outcome.BLOCKED: (Party.SYSTEM, "blocked"),
    Outcome.NOT_ANSWERED: (Party.SYSTEM, "no_answer"),
    Outcome.LINE_BUSY: (Party.SYSTEM, "busy"),
    Outcome.REFUSED: (Party.CUSTOMER, "rejected"),
    Outcome.UNREACHABLE: (Party.SYSTEM, "unreachable"),
    Outcome.CANCELLED: (Party.AGENT, "cancelled"),
    Outcome.LOST_CONTACT: (Party.SYSTEM, "lost_contact"),
    Outcome.FAILED: (Party.SYSTEM, "error"),
}
"""Outcomes a table can state, with who ended the call unless `ended_by` says so, and the cause."""


class MappingError(Exception):
    """The mapping, or the table's header, is not usable; the message names the place."""


class RowProblem(Exception):
    """One row cannot be read."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"{column}: {reason}")
        self.column, self.reason = column, reason


@dataclass(frozen=True, slots=True)
class FinishedCall:
    call_id: str
    events: list[dict[str, Any]]
    """CloudEvents, in order."""
    started_at: dt.datetime
    ended_at: dt.datetime
    last_at: dt.datetime
    """Its last event; work after the call may go on past its end."""


# --- Conditions ------------------------------------------------------------------------------------------------------


Condition = Callable[[Row], bool]


def _condition(spec: Any, place: str, columns: set[str]) -> Condition:
    table = _table(spec, place)
    if len(table) == 1 and (word := next(iter(table))) in ("all", "any"):
        parts = [_condition(part, f"{place}.{word}", columns) for part in _list(table[word], f"{place}.{word}")]
        return (lambda row: all(part(row) for part in parts)) if word == "all" else (lambda row: any(part(row) for part in parts))
    if set(table) == {"not"}:
        inner = _condition(table["not"], f"{place}.not", columns)
        return lambda row: not inner(row)
    _known(table, place, {"column", *_COMPARISONS})
    words = [word for word in _COMPARISONS if word in table]
    if "column" not in table or len(words) != 1:
        raise MappingError(f"{place}: a condition has a column and one of {', '.join(_COMPARISONS)}; or one of all, any, not")
    column, word = _text(table["column"], f"{place}.column"), words[0]
    columns.add(column)
    return _COMPARISONS[word](column, table[word], f"{place}.{word}")


def _is(column: str, wanted: Any, place: str) -> Condition:
    text = _scalar(wanted, place)
    return lambda row: row[column] == text


def _in(column: str, wanted: Any, place: str) -> Condition:
    texts = {_scalar(item, place) for item in _list(wanted, place)}
    return lambda row: row[column] in texts


def _empty(column: str, wanted: Any, place: str) -> Condition:
    if not isinstance(wanted, bool):
        raise MappingError(f"{place}: expected true or false")
    return lambda row: (row[column] == "") is wanted


def _above(column: str, wanted: Any, place: str) -> Condition:
    limit = _number(wanted, place)
    return lambda row: _seconds(row, column) > limit


def _below(column: str, wanted: Any, place: str) -> Condition:
    limit = _number(wanted, place)
    return lambda row: _seconds(row, column) < limit


def _negated(comparison: Callable[[str, Any, str], Condition]) -> Callable[[str, Any, str], Condition]:
    def negated(column: str, wanted: Any, place: str) -> Condition:
        holds = comparison(column, wanted, place)
        return lambda row: not holds(row)

    return negated


_COMPARISONS: dict[str, Callable[[str, Any, str], Condition]] = {
    "is": _is,
    "is_not": _negated(_is),
    "in": _in,
    "not_in": _negated(_in),
    "above": _above,
    "below": _below,
    "empty": _empty,
}


# --- Values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    """Where a field's text comes from."""

    columns: tuple[str, ...] = ()
    join: str = "/"
    constant: str = ""
    when: Condition | None = None
    unknown: frozenset[str] = frozenset()
    values: Mapping[str, str] | None = None
    otherwise: str = ""

    def read(self, row: Row) -> str:
        if not self.columns:
            return self.constant
        text = self.join.join(row[column] for column in self.columns) if any(row[column] for column in self.columns) else ""
        if not text or text in self.unknown:
            return self.otherwise
        if self.values is None:
            return text
        if text not in self.values:
            raise RowProblem(self.name, f"{_shown(text)} is not among the values the mapping lists")
        return self.values[text]

    @property
    def name(self) -> str:
        return " + ".join(self.columns)


@dataclass(frozen=True, slots=True)
class Field:
    """A field's cases: the first whose condition holds is read; none: the field is empty."""

    cases: tuple[Value, ...] = ()

    def read(self, row: Row) -> str:
        for case in self.cases:
            if case.when is None or case.when(row):
                return case.read(row)
        return ""

    @property
    def name(self) -> str:
        return next((case.name for case in self.cases if case.columns), "")


def _field(spec: Any, place: str, columns: set[str]) -> Field:
    return Field(tuple(_value(case, where, columns) for case, where in _cases(spec, place)))


def _value(spec: Any, place: str, columns: set[str]) -> Value:
    table = {"column": spec} if isinstance(spec, str) else _table(spec, place)
    _known(table, place, {"column", "columns", "join", "value", "when", "unknown", "values", "otherwise"})
    _just_one(table, place, ("column", "columns", "value"))
    named = table["columns"] if "columns" in table else [table["column"]] if "column" in table else []
    names = tuple(_text(name, place) for name in _list(named, f"{place}.columns"))
    columns.update(names)
    values = table.get("values")
    return Value(
        columns=names,
        join=_text(table.get("join", "/"), f"{place}.join"),
        constant=_scalar(table.get("value", ""), f"{place}.value"),
        when=_condition(table["when"], f"{place}.when", columns) if "when" in table else None,
        unknown=frozenset(_scalar(item, f"{place}.unknown") for item in _list(table.get("unknown", []), f"{place}.unknown")),
        values=None
        if values is None
        else {text: _scalar(meaning, f"{place}.values.{text}") for text, meaning in _table(values, f"{place}.values").items()},
        otherwise=_scalar(table.get("otherwise", ""), f"{place}.otherwise"),
    )


# --- Times -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Formats:
    date: str
    time: str
    moment: str
    """`iso` or a format; a moment without an offset is wall time."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a time comes from: a column, a date and a time column, or another time and a length."""

    column: str = ""
    date: str = ""
    time: str = ""
    after: str = ""
    seconds: str = ""
    between: tuple[str, ...] = ()
    negative_is_zero: bool = False
    not_before: str = ""
    when: Condition | None = None
    unknown: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.column or self.time or self.seconds or " + ".join(self.between) or self.after


@dataclass(slots=True)
class _Clock:
    """Reads the times of one row. Local wall time becomes UTC; what was read already stands in `times`."""

    row: Row
    zone: zoneinfo.ZoneInfo
    formats: Formats
    times: dict[str, dt.datetime] = field(default_factory=dict)

    def read(self, spec: Moment) -> dt.datetime | None:
        if spec.when is not None and not spec.when(self.row):
            return None
        moment = self._elapsed(spec) if spec.after else self._stated(spec)
        if moment is not None and spec.not_before in self.times:
            moment = max(moment, self.times[spec.not_before])
        return moment

    def _elapsed(self, spec: Moment) -> dt.datetime | None:
        start = self.times.get(spec.after)
        if start is None:
            return None
        if spec.between:
            first, last = (self._time(column) for column in spec.between)
            if first is None or last is None:
                return None
            length = (last - first) % DAY
        elif not spec.seconds:
            length = dt.timedelta()
        elif self.row[spec.seconds] == "":
            return None
        else:
            length = dt.timedelta(seconds=_seconds(self.row, spec.seconds))
        if length < dt.timedelta():
            if not spec.negative_is_zero:
                raise RowProblem(spec.name, f"{_shown(self.row[spec.seconds])} is a negative length")
            length = dt.timedelta()
        return start + length

    def _stated(self, spec: Moment) -> dt.datetime | None:
        if spec.column:
            text = self.row[spec.column]
            if not text or text in spec.unknown:
                return None
            moment = self._parse(spec.column, text, self.formats.moment)
            return moment.astimezone(dt.UTC) if moment.tzinfo else self._utc(moment)
        if self.row[spec.time] in spec.unknown:
            return None
        time = self._time(spec.time)
        if time is None:
            return None
        started = self.times.get("started")
        midnight = self._date(spec.date) if spec.date else self._midnight_of(started)
        moment = self._utc(midnight + time)
        if started is not None and moment < started - HALF_A_DAY:
            moment = self._utc(midnight + DAY + time)  # the call went on past midnight
        return moment

    def _date(self, column: str) -> dt.datetime:
        if not self.row[column]:
            raise RowProblem(column, "is empty")
        return _midnight(self._parse(column, self.row[column], self.formats.date))

    def _midnight_of(self, started: dt.datetime | None) -> dt.datetime:
        if started is None:
            raise RowProblem("", "has a time of day, but no start whose day it could be of")
        return _midnight(started.astimezone(self.zone))

    def _time(self, column: str) -> dt.timedelta | None:
        """A time of day, as what has passed since midnight by the wall clock."""
        text = self.row[column]
        if not text:
            return None
        time = self._parse(column, text, self.formats.time)
        return dt.timedelta(hours=time.hour, minutes=time.minute, seconds=time.second, microseconds=time.microsecond)

    def _parse(self, column: str, text: str, form: str) -> dt.datetime:
        try:
            return dt.datetime.fromisoformat(text) if form == "iso" else dt.datetime.strptime(text, form)  # noqa: DTZ007  (wall time)
        except ValueError:
            raise RowProblem(column, f"{_shown(text)} does not read as {form}") from None

    def _utc(self, wall: dt.datetime) -> dt.datetime:
        """Of a wall time that comes twice the first is meant, unless that lies before the call's last known time. One
        that the clock skipped is counted on from before the change, as calendars do (RFC 5545): 02:30 is then 03:30."""
        moment = wall.replace(tzinfo=self.zone).astimezone(dt.UTC)
        if moment < max(self.times.values(), default=moment):
            moment = max(moment, wall.replace(tzinfo=self.zone, fold=1).astimezone(dt.UTC))
        return moment


def _midnight(moment: dt.datetime) -> dt.datetime:
    """The start of its day, as wall time."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def _moment(spec: Any, place: str, name: str, columns: set[str]) -> Moment:
    table = {"column": spec} if isinstance(spec, str) else _table(spec, place)
    _known(table, place, {"column", "date", "time", "after", "seconds", "between", "negative", "not_before", "when", "unknown"})
    _just_one(table, place, ("column", "time", "after"))
    earlier = TIMES[: TIMES.index(name)]
    for word in ("after", "not_before"):
        if word in table and table[word] not in earlier:
            raise MappingError(
                f"{place}.{word}: expected one of {', '.join(earlier) or 'nothing: no time comes before this one'}"
            )
    if "date" in table and "time" not in table:
        raise MappingError(f"{place}: a date column needs a time column beside it")
    if "after" not in table and (wrong := {"seconds", "between", "negative"} & set(table)):
        raise MappingError(f"{place}: {', '.join(sorted(wrong))} goes with after")
    if "seconds" in table and "between" in table:
        raise MappingError(f"{place}: expected seconds or between, not both")
    if name == "started" and "time" in table and "date" not in table:
        raise MappingError(f"{place}: the start of a call needs a date column beside its time")
    if table.get("negative", "error") not in ("error", "zero"):
        raise MappingError(f'{place}.negative: expected "error" or "zero"')
    between = tuple(_text(item, f"{place}.between") for item in _list(table.get("between", []), f"{place}.between"))
    if between and len(between) != 2:
        raise MappingError(f"{place}.between: expected two columns")
    texts = {word: _text(table.get(word, ""), f"{place}.{word}") for word in ("column", "date", "time", "seconds")}
    columns.update(text for text in (*texts.values(), *between) if text)
    return Moment(
        **texts,
        after=table.get("after", ""),
        between=between,
        negative_is_zero=table.get("negative") == "zero",
        not_before=table.get("not_before", ""),
        when=_condition(table["when"], f"{place}.when", columns) if "when" in table else None,
        unknown=frozenset(_scalar(item, f"{place}.unknown") for item in _list(table.get("unknown", []), f"{place}.unknown")),
    )


# --- The mapping -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableMapping:
    source: str
    """Where the calls come from: the events' source, and so a part of what makes a row the same row next time."""
    delimiter: str
    """Empty: found in the header."""
    encoding: str
    zone: zoneinfo.ZoneInfo | None
    """None: the account's."""
    formats: Formats
    skips: tuple[tuple[Condition, str], ...]
    fields: Mapping[str, Field]
    times: Mapping[str, tuple[Moment, ...]]
    columns: frozenset[str]
    """Every column it names."""
    optional: frozenset[str]
    """Those of them that a file need not have; they are read as empty."""

    def skipped(self, row: Row) -> str | None:
        """Why a row is left out; None: it is not."""
        return next((reason for holds, reason in self.skips if holds(row)), None)

    def read(self, row: Row, *, zone: zoneinfo.ZoneInfo, shift_days: int = 0) -> FinishedCall:
        """The events of a row. `zone` is that of wall times, unless the mapping names its own.

        A shift moves the call's start by whole days of wall time; what follows keeps its distance from it.
        """
        clock = _Clock(row, self.zone or zone, self.formats)
        for name in TIMES:
            self._read_time(clock, name)
        if "ended" not in clock.times:
            raise RowProblem(self._column_of("ended"), "is empty: only finished calls are imported")
        times = _shifted(clock.times, clock.zone, shift_days)
        texts = {name: spec.read(row) for name, spec in self.fields.items()}
        call_id = texts["id"]
        if not call_id:
            raise RowProblem(self.fields["id"].name, "is empty: every call needs an id")
        if len(call_id) > 200 or not call_id.isprintable():
            raise RowProblem(self.fields["id"].name, "must be at most 200 characters, none of them control characters")
        events = [
            {
                "specversion": "1.0",
                "id": f"{call_id}/{event_type}",
                "source": self.source,
                "type": event_type,
                "subject": call_id,
                "time": at.isoformat(),
                "sequence": f"{number:02}",
                "data": data,
            }
            for number, (event_type, at, data) in enumerate(self._events(texts, times))
        ]
        self._check(events, texts)
        return FinishedCall(call_id, events, times["started"], times["ended"], max(times.values()))

    def _read_time(self, clock: _Clock, name: str) -> None:
        for spec in self.times.get(name, ()):
            try:
                moment = clock.read(spec)
            except OverflowError:
                raise RowProblem(spec.name, "is outside the calendar") from None
            if moment is None:
                continue
            if clock.times:
                last = max(clock.times, key=lambda known: (clock.times[known], TIMES.index(known)))
                if moment < clock.times[last]:
                    raise RowProblem(spec.name, f"lies before {self._column_of(last)}")
            clock.times[name] = moment
            return
        if name == "started":
            raise RowProblem(self._column_of("started"), "is empty: every call needs its start")

    def _events(
        self, texts: Mapping[str, str], times: Mapping[str, dt.datetime]
    ) -> Iterator[tuple[str, dt.datetime, dict[str, Any]]]:
        group = {"skill_group": texts["skill_group"]} if texts["skill_group"] else {}
        agent = {"agent": texts["agent"] or UNKNOWN_AGENT}
        terminal = {"terminal": texts["terminal"]} if texts["terminal"] else {}
        numbers = {name: texts[name] for name in ("calling_number", "called_number")}
        extras = {name: texts[name] for name in ("provider", "location", "call_type") if texts[name]}
        yield "call.started", times["started"], {"direction": texts["direction"] or "inbound", **numbers, **extras}
        if "ivr" in times:
            yield "call.ivr_prompted", times["ivr"], {"step": "ivr", "prompt": texts["ivr_prompt"] or "IVR"}
        if "queued" in times:
            yield "call.queued", times["queued"], group
        if "ringing" in times:
            yield "call.ringing", times["ringing"], {**agent, **group, **terminal}
        if "answered" in times:
            yield "call.answered", times["answered"], {**agent, **group, **terminal}
        party, cause = ENDINGS.get(texts["outcome"], (Party.CUSTOMER, ""))
        ended = {"party": texts["ended_by"] or str(party), **({"cause": cause} if cause else {})}
        yield "call.ended", times["ended"], ended
        if "wrap_up_ended" in times and "answered" in times:
            yield "call.wrap_up_ended", times["wrap_up_ended"], agent
        if texts["rating"]:
            scores = {name: self._score(texts, name) for name in ("rating", "rating_scale")}
            yield "call.rated", times["ended"], {"asked": True, "score": scores["rating"], "scale": scores["rating_scale"]}
        if texts["remark"] or texts["disposition"]:
            disposition = {"disposition": texts["disposition"]} if texts["disposition"] else {}
            yield "call.remarked", times["ended"], {"text": texts["remark"], **disposition}

    def _score(self, texts: Mapping[str, str], name: str) -> float:
        try:
            score = float(texts[name].replace(",", "."))
        except ValueError:
            raise RowProblem(self.fields[name].name or f"call.{name}", f"{_shown(texts[name])} is no number") from None
        return int(score) if score.is_integer() else score

    def _check(self, events: list[dict[str, Any]], texts: Mapping[str, str]) -> None:
        """What the intake would refuse is refused here, so that a call comes in whole or not at all; and the times must
        make the outcome that the table states."""
        for event in events:
            for problem in problems_of(event["type"], event["data"]):
                name = _FIELD_OF.get(problem["field"].removeprefix("data."), "")
                column = self.fields[name].name if name in self.fields else ""
                raise RowProblem(column or name or problem["field"], problem["reason"])
        stated = texts["outcome"]
        if not stated:
            return
        column = self.fields["outcome"].name or "outcome"
        if stated not in ENDINGS:
            raise RowProblem(column, f"{_shown(stated)} is no outcome; expected one of {', '.join(map(str, ENDINGS))}")
        facts = fold(
            Event(event["type"], dt.datetime.fromisoformat(event["time"]), event["data"], b"", sequence=event["sequence"])
            for event in events
        )
        if facts.outcome != stated:
            raise RowProblem(column, f"says {stated}, but by its times the call was {facts.outcome}")

    def _column_of(self, name: str) -> str:
        return next((spec.name for spec in self.times.get(name, ())), name)


_FIELD_OF = {
    **{name: name for name in FIELDS},
    "prompt": "ivr_prompt",
    "party": "ended_by",
    "score": "rating",
    "scale": "rating_scale",
    "text": "remark",
}


def load_mapping(name_or_path: str) -> TableMapping:
    """A mapping that is shipped, by its name, or one in a file."""
    path = Path(name_or_path)
    if path.suffix != ".toml" and len(path.parts) == 1:
        path = MAPPINGS / f"{name_or_path}.toml"
        if not path.exists():
            shipped = ", ".join(sorted(found.stem for found in MAPPINGS.glob("*.toml")))
            raise MappingError(f"There is no mapping {name_or_path!r}. Shipped: {shipped}; or give the path of a .toml file.")
    try:
        return read_mapping(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MappingError(f"The mapping {name_or_path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MappingError(f"The mapping {name_or_path} is not written in UTF-8.") from error
    except MappingError as error:
        raise MappingError(f"The mapping {name_or_path} is not usable. {error}.") from error


def read_mapping(text: str) -> TableMapping:
    try:
        spec = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"It is no TOML: {error}") from error
    _known(spec, "", {"source", "file", "skip", "call", "times"})
    columns: set[str] = set()
    source = _text(spec.get("source", ""), "source")
    if not source:
        raise MappingError("source is missing: a name for where these calls come from")
    file = _table(spec.get("file", {}), "file")
    _known(file, "file", {"delimiter", "encoding", "time_zone", "date", "time", "moment", "optional"})
    call, times = _table(spec.get("call", {}), "call"), _table(spec.get("times", {}), "times")
    _known(call, "call", set(FIELDS))
    _known(times, "times", set(TIMES))
    for table, name in ((call, "id"), (times, "started"), (times, "ended")):
        if name not in table:
            raise MappingError(f"{'call' if table is call else 'times'}.{name} is missing")
    fields = {name: _field(call[name], f"call.{name}", columns) if name in call else Field() for name in FIELDS}
    if "rating" in call and "rating_scale" not in call:
        raise MappingError("call.rating_scale is missing: the highest score possible goes with a rating")
    return TableMapping(
        source=source,
        delimiter=_delimiter(file),
        encoding=_encoding(file),
        zone=_zone(file),
        formats=Formats(
            date=_text(file.get("date", "%Y-%m-%d"), "file.date"),
            time=_text(file.get("time", "%H:%M:%S"), "file.time"),
            moment=_text(file.get("moment", "iso"), "file.moment"),
        ),
        skips=tuple(_skip(item, f"skip[{n}]", columns) for n, item in enumerate(_list(spec.get("skip", []), "skip"), 1)),
        fields=fields,
        times={
            name: tuple(_moment(case, place, name, columns) for case, place in _cases(times[name], f"times.{name}"))
            for name in TIMES
            if name in times
        },
        columns=frozenset(columns),
        optional=frozenset(_text(name, "file.optional") for name in _list(file.get("optional", []), "file.optional")),
    )


def _skip(spec: Any, place: str, columns: set[str]) -> tuple[Condition, str]:
    table = _table(spec, place)
    _known(table, place, {"when", "reason"})
    if "when" not in table or "reason" not in table:
        raise MappingError(f"{place}: expected when and reason")
    return _condition(table["when"], f"{place}.when", columns), _text(table["reason"], f"{place}.reason")


def _delimiter(file: Mapping[str, Any]) -> str:
    text = _text(file.get("delimiter", "auto"), "file.delimiter")
    if text == "auto":
        return ""
    text = {"tab": "\t", "comma": ",", "semicolon": ";"}.get(text, text)
    if len(text) != 1 or text in '"\r\n':
        raise MappingError("file.delimiter: expected auto, comma, semicolon, tab or one character")
    return text


def _encoding(file: Mapping[str, Any]) -> str:
    text = _text(file.get("encoding", "utf-8"), "file.encoding")
    try:
        known = codecs.lookup(text).name
    except LookupError:
        raise MappingError(f"file.encoding: {text!r} is no encoding") from None
    return "utf-8-sig" if known == "utf-8" else known  # spreadsheets write a byte order mark


def _zone(file: Mapping[str, Any]) -> zoneinfo.ZoneInfo | None:
    if "time_zone" not in file:
        return None
    try:
        return zoneinfo.ZoneInfo(_text(file["time_zone"], "file.time_zone"))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise MappingError(f"file.time_zone: {file['time_zone']!r} is no time zone; write it like Asia/Shanghai") from None


def _shifted(times: Mapping[str, dt.datetime], zone: zoneinfo.ZoneInfo, days: int) -> dict[str, dt.datetime]:
    if not days:
        return dict(times)
    started = times["started"]
    wall = started.astimezone(zone)
    try:
        moved = (wall.replace(tzinfo=None) + days * DAY).replace(tzinfo=zone, fold=wall.fold).astimezone(dt.UTC)
    except OverflowError:
        raise RowProblem("", "would be shifted outside the calendar") from None
    return {name: moved + (moment - started) for name, moment in times.items()}


# --- Reading specifications ------------------------------------------------------------------------------------------


def _cases(spec: Any, place: str) -> Iterable[tuple[Any, str]]:
    return [(case, f"{place}[{n}]") for n, case in enumerate(spec, 1)] if isinstance(spec, list) else [(spec, place)]


def _known(table: Mapping[str, Any], place: str, words: set[str]) -> None:
    if unknown := sorted(set(table) - words):
        raise MappingError(
            f"{f'{place}: ' if place else ''}unknown key {', '.join(unknown)}; known are {', '.join(sorted(words))}"
        )


def _just_one(table: Mapping[str, Any], place: str, words: tuple[str, ...]) -> None:
    if sum(word in table for word in words) != 1:
        raise MappingError(f"{place}: expected one of {', '.join(words)}")


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MappingError(f"{place}: expected a table")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise MappingError(f"{place}: expected a list")
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise MappingError(f"{place}: expected text")
    return value


def _scalar(value: Any, place: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise MappingError(f"{place}: expected text or a number")
    return str(value)


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MappingError(f"{place}: expected a number")
    return float(value)


def _seconds(row: Row, column: str) -> float:
    """A length: seconds, or minutes:seconds, or hours:minutes:seconds."""
    text = row[column]
    sign = -1 if text.startswith("-") else 1
    total = 0.0
    try:
        for part in text.lstrip("-").split(":"):
            total = total * 60 + float(part)
    except ValueError:
        raise RowProblem(column, f"{_shown(text)} is no length of time in seconds or h:mm:ss") from None
    if not total < 7 * 86400:
        raise RowProblem(column, f"{_shown(text)} is longer than a week")
    return sign * total


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
