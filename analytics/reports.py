"""Figures of the past: sums of counts over a period, by time and by what was counted. Nothing here reads a call.

`query` answers any question of metrics x dimensions x filters; `summary`, `series` and `by_skill_group` are the questions
a dashboard asks most. All of them choose the smallest table that can answer (`tables.TABLES`), read whole local days that
are over from the totals of days and the rest from the slots, and add counters up first and divide last. So an answer
costs as much as it has rows, whatever the number of calls, and a figure is the same on every page.

Periods are whole local days of the account (`periods`). What an actor may see follows from their data scope: the whole
account, the queues of their own skill groups and their colleagues, or themselves as an agent. What a source cannot say
under a scope or filter is None in `figures`; `read_question` refuses it with a reason.
"""

import datetime as dt
import difflib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import (
    BigIntegerField,
    DateField,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    Func,
    Subquery,
    Value,
)
from django.db.models.functions import ExtractHour, ExtractIsoWeekDay, TruncMonth, TruncWeek
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agents.models import Agent, SkillGroup, StaleAgentTime
from agents.querysets import sees_account
from analytics.day_totals import days_to
from analytics.metrics import BUCKETS, CATALOGUE, METRICS, Counters, Metric, Source, plus
from analytics.models import FillMark
from analytics.periods import (
    MAX_DAYS,
    OF_DAYS,
    PRESETS,
    STEPS,
    Period,
    Stretch,
    beginning,
    labels,
    read_period,
    stretches,
)
from analytics.tables import TABLES, Table, added_up
from callcenter_site.phone_numbers import canonical
from callcenter_site.slots import SLOT, day_bounds
from calls.models import CallEvent, Direction, EventState, StaleCallSlot
from configuration.models import Account, Role
from configuration.scoping import Actor

__all__ = [  # what callers find here beside our own
    "MAX_DAYS",
    "PRESETS",
    "STEPS",
    "Period",
    "read_period",
]

Figures = dict[str, int | float | None]
_ONE_DAY = dt.timedelta(days=1)

WEEKDAY_HOUR = "weekday_hour"
KEYS: dict[str, str] = {
    "direction": "direction",
    "service_number": "service_number",
    "provider": "provider",
    "disposition": "disposition",
    "skill_group": "skill_group_id",
    "agent": "agent_id",
}
"""What figures can be asked by and narrowed to, with the column that says it. None as a skill group or agent stands for
those in events that the portal does not know, "" as a provider or disposition for none given."""
DIMENSIONS: dict[str, Promise] = {
    **STEPS,
    WEEKDAY_HOUR: gettext_lazy("Weekday and hour"),
    "direction": gettext_lazy("Direction"),
    "service_number": gettext_lazy("Service number"),
    "provider": gettext_lazy("Telecom provider"),
    "disposition": gettext_lazy("Disposition"),
    "skill_group": gettext_lazy("Skill group"),
    "agent": gettext_lazy("Agent"),
}


# --- Whose calls -----------------------------------------------------------------------------------------------------

Narrowed = Mapping[str, tuple[Any, ...]]
"""Of each key dimension the values that count; a dimension that is not named counts whole."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a dashboard is narrowed to. Calls are not counted by skill group: with one, only the figures of queues apply;
    with an agent, only those of agents."""

    skill_group: SkillGroup | None = None
    direction: str = ""
    service_number: str = ""
    agent: Agent | None = None
    provider: str = ""
    disposition: str = ""

    @property
    def narrowed(self) -> Narrowed:
        values: dict[str, Any] = {
            "direction": self.direction,
            "service_number": self.service_number,
            "provider": self.provider,
            "disposition": self.disposition,
            "skill_group": self.skill_group.pk if self.skill_group else None,
            "agent": self.agent.pk if self.agent else None,
        }
        return {name: (value,) for name, value in values.items() if value}


def read_filters(parameters: Mapping[str, str], *, actor: Actor) -> Filters:
    """ValidationError names the field. A row of another account is one that does not exist."""
    group = _visible(SkillGroup, parameters.get("skill_group", ""), "skill_group", actor)
    agent = _visible(Agent, parameters.get("agent", ""), "agent", actor)
    direction = parameters.get("direction", "")
    if direction and direction not in Direction.values:
        raise ValidationError({"direction": _no_direction()})
    return Filters(
        group,
        direction,
        parameters.get("service_number", "")[:64],
        agent,
        parameters.get("provider", "")[:60],
        parameters.get("disposition", "")[:60],
    )


def _visible(model: Any, text: str, name: str, actor: Actor) -> Any:
    if not text:
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= 18
    row = model.objects.visible_to(actor).filter(pk=int(text)).first() if is_number else None
    if row is None:
        raise ValidationError({name: _unknown(name)})
    return row


def _unknown(name: str) -> str:
    return _("There is no such skill group.") if name == "skill_group" else _("There is no such agent.")


def _no_direction() -> str:
    return _("This is not a direction; choose one of %(known)s.") % {"known": ", ".join(Direction.values)}


def read_step(parameters: Mapping[str, str], period: Period) -> str:
    """The step asked for, else the finest that a chart of the period can show."""
    step = parameters.get("step", "")
    if step and step not in STEPS:
        raise ValidationError({"step": _("This is not a step; choose one of %(known)s.") % {"known": ", ".join(STEPS)}})
    if step:
        return step
    return "half_hour" if period.n_days <= 2 else "hour" if period.n_days <= 7 else "day"


def applies(source: Source, *, actor: Actor, filters: Filters) -> bool:
    """Whether figures of a source can be given."""
    return is_counted(source, filters.narrowed, actor=actor)


def is_counted(source: Source, dimensions: Iterable[str], *, actor: Actor) -> bool:
    """Whether a source is counted by all of these together, for this actor."""
    return _table(source, set(dimensions), actor) is not None


def _table(source: Source, dimensions: set[str], actor: Actor) -> Table | None:
    """The fewest rows that tell these dimensions apart; None: nothing does, or not for this actor's scope."""
    needed = {KEYS[name] for name in dimensions}
    if not sees_account(actor):
        is_of_groups = getattr(actor, "data_scope", None) == Role.DataScope.GROUPS
        if source is Source.CALLS or (source is Source.QUEUES and not is_of_groups) or getattr(actor, "pk", None) is None:
            return None
        needed.add("skill_group_id" if source is Source.QUEUES else "agent_id")
    return next((table for table in TABLES if table.source is source and needed <= set(table.keys)), None)


# --- Sums ------------------------------------------------------------------------------------------------------------

_COUNTERS: dict[Source, tuple[str, ...]] = {
    source: tuple(
        sorted(
            {name for metric in CATALOGUE if metric.source is source for name in metric.counters}
            | (set(BUCKETS) if source is Source.QUEUES else set())
        )
    )
    for source in Source
}


@dataclass(slots=True)
class Sums:
    """Counters added up; of each source."""

    calls: dict[str, int | float] = field(default_factory=lambda: dict.fromkeys(_COUNTERS[Source.CALLS], 0))
    queues: dict[str, int | float] = field(default_factory=lambda: dict.fromkeys(_COUNTERS[Source.QUEUES], 0))
    agents: dict[str, int | float] = field(default_factory=lambda: dict.fromkeys(_COUNTERS[Source.AGENTS], 0))

    def of(self, source: Source) -> dict[str, int | float]:
        counters: dict[str, int | float] = getattr(self, source.value)
        return counters

    def add(self, source: Source, counters: Counters) -> None:
        sums = self.of(source)
        for name, value in counters.items():
            if value:
                sums[name] = plus(name, sums[name], value)


def figures(sums: Sums, *, actor: Actor, filters: Filters, sources: Iterable[Source] = tuple(Source)) -> Figures:
    """Every metric of the catalogue; None without a denominator, and where source or filters leave it without a meaning."""
    given = {source: source in sources and applies(source, actor=actor, filters=filters) for source in Source}
    return {metric.name: metric.value(sums.of(metric.source)) if given[metric.source] else None for metric in CATALOGUE}


def summary(*, actor: Actor, period: Period, filters: Filters) -> Figures:
    """Every metric over the whole period."""
    return figures(sum_up(actor=actor, period=period, filters=filters), actor=actor, filters=filters)


def sum_up(*, actor: Actor, period: Period, filters: Filters) -> Sums:
    """The counters of the whole period; four queries."""
    sums = Sums()
    known_to = _days_to(actor)
    for source in Source:
        table = _table(source, set(filters.narrowed), actor)
        if table is not None:
            for _found, counters in _asked(table, period, filters.narrowed, known_to=known_to).rows(actor):
                sums.add(source, counters)
    return sums


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of local time. `start` and `end` are aware; `label` is unique within a series."""

    start: dt.datetime
    end: dt.datetime
    label: str
    sums: Sums


def series(*, actor: Actor, period: Period, filters: Filters, step: str) -> list[Step]:
    """The period in steps, in order, those without a call included; four queries."""
    parts = stretches(period, step)
    place_of = _places(parts, step)
    sums = [Sums() for _part in parts]
    known_to = _days_to(actor)
    for source in Source:
        table = _table(source, set(filters.narrowed), actor)
        if table is not None and parts:
            asked = _asked(table, period, filters.narrowed, step=step, known_to=known_to)
            for (when, *_keys), counters in asked.rows(actor):
                sums[place_of[when]].add(source, counters)
    return _steps(parts, sums, period, step)


def compared(
    *,
    actor: Actor,
    period: Period,
    before: Period,
    filters: Filters,
    step: str,
    known_to: dt.date | None,
    sources: Iterable[Source] = tuple(Source),
) -> tuple[list[Step], Sums]:
    """The period in steps, and the whole of another one to compare it with. A query for each source, or two."""
    parts = stretches(period, step)
    place_of = _places(parts, step)
    sums, sums_before = [Sums() for _part in parts], Sums()
    for source in sources:
        table = _table(source, set(filters.narrowed), actor)
        if table is None:
            continue
        other = _asked(table, before, filters.narrowed, known_to=known_to).parts(actor)
        for (when, *_keys), counters in _asked(table, period, filters.narrowed, step=step, known_to=known_to).rows(actor, other):
            (sums_before if when is None else sums[place_of[when]]).add(source, counters)
    return _steps(parts, sums, period, step), sums_before


def _steps(parts: list[Stretch], sums: Sequence[Sums], period: Period, step: str) -> list[Step]:
    return [
        Step(part.start, part.end, label, of_step)
        for part, label, of_step in zip(parts, labels(parts, period, step), sums, strict=True)
    ]


def total(steps: Iterable[Step]) -> Sums:
    """The steps of a period added up: the period."""
    sums = Sums()
    for step in steps:
        for source in Source:
            sums.add(source, step.sums.of(source))
    return sums


def by_skill_group(*, actor: Actor, period: Period, filters: Filters) -> dict[Any, Sums]:
    """Counters of queues per skill group that had any; None: groups the portal does not know. Two queries."""
    return split(Source.QUEUES, "skill_group", actor=actor, period=period, filters=filters)


def by_agent(*, actor: Actor, period: Period, filters: Filters) -> dict[Any, Sums]:
    """Counters of agents per agent who did anything; None: agents the portal does not know. Two queries."""
    return split(Source.AGENTS, "agent", actor=actor, period=period, filters=filters)


def split(source: Source, dimension: str, *, actor: Actor, period: Period, filters: Filters) -> dict[Any, Sums]:
    """Counters of a source by one of `KEYS`; empty where the source does not apply. Two queries."""
    found: dict[Any, Sums] = defaultdict(Sums)
    table = _table(source, {dimension, *filters.narrowed}, actor)
    if table is not None:
        keys, known_to = (KEYS[dimension],), _days_to(actor)
        asked = _asked(table, period, filters.narrowed, keys=keys, known_to=known_to)
        for (_when, key), counted in asked.rows(actor):
            found[key].add(source, counted)
    return dict(found)


# --- Reading ---------------------------------------------------------------------------------------------------------


def _days_to(actor: Actor) -> dt.date | None:
    """The local day before which days have totals of the account's own zone."""
    mark = FillMark.objects.visible_to(actor).select_related("account").first()
    return None if mark is None else days_to(mark.account, mark)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be read of a table for a period: the days from their totals, the rest from the slots.

    Sums come by step and keys: `(when, *keys)` with the counters. `when` is a slot, the first day of a step of days, a
    weekday (1 is Monday) with its hour, or None if no step is asked for; the same one may come twice.
    """

    table: Table
    period: Period
    filters: Mapping[str, Any]
    keys: Sequence[str]
    step: str
    names: tuple[str, ...]
    days: tuple[dt.date, dt.date] | None
    start: dt.datetime
    """From when on slots are read."""

    def slots(self, actor: Actor) -> Any:
        rows = self.table.slots.objects.visible_to(actor).within(self.start, self.period.end)
        return rows.filter(**self.filters).order_by()

    def parts(self, actor: Actor) -> list[Any]:
        """What can be read in one query, for its `when` is of one kind."""
        parts = []
        if self.days is not None:
            rows = self.table.days.objects.visible_to(actor).on_days(*self.days).filter(**self.filters).order_by()
            parts.append(_grouped(rows.annotate(when=_FIRST_DAY[self.step]), self.keys, self.names))
        if self.start < self.period.end and self._is_told_by_days:
            here = self.start.astimezone(self.period.zone).date()
            one_day = Value(beginning(here, self.step) if self.step else None, output_field=DateField(null=True))
            parts.append(_grouped(self.slots(actor).annotate(when=one_day), self.keys, self.names))
        return parts

    def rows(self, actor: Actor, besides: Sequence[Any] = ()) -> Iterator[tuple[tuple[Any, ...], dict[str, int | float]]]:
        """One query where the days that are not added up yet are one at most, else two. `besides`: parts of another period,
        read along; their `when` is None."""
        if self.step == WEEKDAY_HOUR:
            yield from _weekday_hours(self.slots(actor), self.period, self.keys, self.names)
            return
        parts = [*self.parts(actor), *besides]
        if parts:
            together = parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0]
            yield from _rows(together, len(self.keys), self.names)
        if self.start < self.period.end and not self._is_told_by_days:
            by_slot = _grouped(self.slots(actor).annotate(when=F("slot")), self.keys, self.names)
            for (slot, *found), sums in _rows(by_slot, len(self.keys), self.names):
                is_of_days = self.step in OF_DAYS
                when = beginning(slot.astimezone(self.period.zone).date(), self.step) if is_of_days else slot
                yield (when, *found), sums

    @property
    def _is_told_by_days(self) -> bool:
        """Whether the slots all belong to one step of days, or to the whole."""
        if not self.step:
            return True
        return self.step in OF_DAYS and self.start.astimezone(self.period.zone).date() == self.period.last


def _asked(
    table: Table,
    period: Period,
    narrowed: Narrowed,
    *,
    keys: Sequence[str] = (),
    step: str = "",
    known_to: dt.date | None,
    counters: Sequence[str] = (),
) -> _Asked:
    names = tuple(counters) or _COUNTERS[table.source]
    filters = {f"{KEYS[name]}__in": values for name, values in narrowed.items()}
    days, start = _whole_days(period, known_to) if step in OF_DAYS or not step else (None, period.start)
    return _Asked(table, period, filters, keys, step, names, days, start)


_FIRST_DAY: dict[str, Any] = {
    "": Value(None, output_field=DateField(null=True)),
    "day": F("day"),
    "week": TruncWeek("day"),
    "month": TruncMonth("day"),
}


def _grouped(rows: Any, keys: Sequence[str], names: Sequence[str]) -> Any:
    return rows.values("when", *keys).annotate(**added_up(names)).values_list("when", *keys, *names)


def _rows(grouped: Any, n_keys: int, names: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], dict[str, int | float]]]:
    for row in grouped:
        if row[n_keys + 1] is not None:  # the sum of no rows
            # MariaDB gives a day that was put into the statement back as text.
            when = dt.date.fromisoformat(row[0]) if isinstance(row[0], str) else row[0]
            yield (when, *row[1 : n_keys + 1]), dict(zip(names, row[n_keys + 1 :], strict=True))


def _whole_days(period: Period, known_to: dt.date | None) -> tuple[tuple[dt.date, dt.date] | None, dt.datetime]:
    """The days of a period that are to be read from totals, and from when on the slots are."""
    last = period.last - _ONE_DAY if period.end < day_bounds(period.last, period.zone)[1] else period.last
    if known_to is None or min(last, known_to - _ONE_DAY) < period.first:
        return None, period.start
    last = min(last, known_to - _ONE_DAY)
    return (period.first, last), day_bounds(last, period.zone)[1]


def _weekday_hours(
    rows: Any, period: Period, keys: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], dict[str, int | float]]]:
    """Sums by local weekday and hour. The database is asked once for each offset from UTC that the period has, for a
    MariaDB without its tables of zones knows none."""
    borders = [period.start]
    for day in (period.first + n * _ONE_DAY for n in range(period.n_days)):
        start, end = day_bounds(day, period.zone)
        if end - start != _ONE_DAY:
            slots = [start + n * SLOT for n in range((end - start) // SLOT)]
            borders += [b for a, b in itertools.pairwise(slots) if _offset(a, period) != _offset(b, period)]
        elif borders[-1] < start and _offset(borders[-1], period) != _offset(start, period):
            borders.append(start)
    for start, end in itertools.pairwise([*borders, period.end]):
        local = ExpressionWrapper(F("slot") + Value(_offset(start, period)), output_field=DateTimeField())
        part = rows.filter(slot__gte=start, slot__lt=end).annotate(
            weekday=ExtractIsoWeekDay(local, tzinfo=dt.UTC), hour=ExtractHour(local, tzinfo=dt.UTC)
        )
        part = part.values("weekday", "hour", *keys).annotate(**added_up(names))
        for weekday, hour, *rest in part.values_list("weekday", "hour", *keys, *names):
            yield ((weekday, hour), *rest[: len(keys)]), dict(zip(names, rest[len(keys) :], strict=True))


def _offset(moment: dt.datetime, period: Period) -> dt.timedelta:
    return moment.astimezone(period.zone).utcoffset() or dt.timedelta()


def _places(parts: Sequence[Stretch], step: str) -> dict[Any, int]:
    """By what rows call it, the place of each step."""
    if step in OF_DAYS:
        return {beginning(part.first, step): place for place, part in enumerate(parts)}
    places = {}
    for place, part in enumerate(parts):
        slot, end = part.start.astimezone(dt.UTC), part.end.astimezone(dt.UTC)
        while slot < end:
            places[slot] = place
            slot += SLOT
    return places


# --- Any question ----------------------------------------------------------------------------------------------------

LIMIT, MOST_ROWS = 1000, 10_000
MOST_VALUES = 500
"""Of one filter."""


@dataclass(frozen=True, slots=True)
class Question:
    """Metrics of a period, by dimensions. `time` is a step, "weekday_hour" or "" for the period as one; `by` are names of
    `KEYS`. `order_by` is a metric, with a minus for the largest first; it needs `time` to be "". `cursor` goes on where
    an answer stopped: how many steps and how many rows of the next step have been given."""

    metrics: tuple[Metric, ...]
    period: Period
    time: str = ""
    by: tuple[str, ...] = ()
    narrowed: Narrowed = field(default_factory=dict)
    order_by: str = ""
    limit: int = LIMIT
    cursor: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """`start` and `end` are the part of the period the row is of; None of a weekday's hour, which is many."""

    start: dt.datetime | None
    end: dt.datetime | None
    values: dict[str, Any]
    """Of each dimension asked by: of a step its text, of "weekday_hour" `[weekday, hour]`, of the others ids and texts."""
    figures: Figures
    sums: Sums


@dataclass(frozen=True, slots=True)
class Answer:
    rows: list[Row]
    next: tuple[int, int] | None
    """Where the next page begins; None: this is the last."""


def query(question: Question, *, actor: Actor) -> Answer:
    """The rows of a question, in the order of time and then of the dimensions' values; without dimensions of time those
    of `order_by`. With nothing but time every step has a row, else only what was counted has one.

    What the actor may not see is not there: `read_question` refuses such questions, else they get sums of nothing.
    """
    known_to = _days_to(actor)
    if question.time in STEPS:
        return _by_time(question, actor, known_to)
    found = _sums(question, actor, question.period, known_to)
    if not question.time and not question.by and not found:
        found[(None,)] = Sums()
    rows = [_row(question, key, sums, question.period.start, question.period.end) for key, sums in found.items()]
    if question.order_by:
        name = question.order_by.removeprefix("-")
        rows.sort(key=lambda row: _sortable(row.values.values()))
        rows.sort(key=lambda row: row.figures[name] or 0, reverse=question.order_by.startswith("-"))
        rows.sort(key=lambda row: row.figures[name] is None)
    else:
        rows.sort(key=lambda row: _sortable(row.values.values()))
    done = question.cursor[1]
    page = rows[done : done + question.limit]
    return Answer(page, (0, done + question.limit) if len(rows) > done + question.limit else None)


def totals(question: Question, *, actor: Actor) -> Figures:
    """The figures of the whole period under the filters of a question: what its rows are parts of."""
    whole = Question(question.metrics, question.period, narrowed=question.narrowed)
    return query(whole, actor=actor).rows[0].figures


def _by_time(question: Question, actor: Actor, known_to: dt.date | None) -> Answer:
    """Step by step, only as far as the page reaches, so that a long report costs by the page."""
    parts = stretches(question.period, question.time)
    place, done = question.cursor
    rows: list[Row] = []
    at_once = max(1, (question.limit + 1) // _expected(question.by, actor))
    while place < len(parts) and len(rows) <= question.limit:
        some = parts[place : place + at_once]
        last = some[-1]
        window = Period(some[0].first, last.last, question.period.zone, until=last.end.astimezone(dt.UTC))
        cut = some[0].start.astimezone(dt.UTC) if question.time not in OF_DAYS else None
        found = _sums(question, actor, window, known_to, since=cut)
        of_step: dict[int, list[Row]] = defaultdict(list)
        places = _places(some, question.time)
        for key, sums in _by_place(found, places).items():
            part = some[key[0]]
            of_step[key[0]].append(_row(question, (part.value, *key[1:]), sums, part.start, part.end))
        for n, part in enumerate(some):
            if not question.by and not of_step[n]:
                of_step[n] = [_row(question, (part.value,), Sums(), part.start, part.end)]
            ready = sorted(of_step[n], key=lambda row: _sortable(row.values.values()))[done:]
            room = question.limit - len(rows)
            if len(ready) > room:
                return Answer(rows + ready[:room], (place + n, done + room))
            rows += ready
            done = 0
            if len(rows) == question.limit and place + n + 1 < len(parts):
                return Answer(rows, (place + n + 1, 0))
        place += len(some)
        at_once = min(at_once * 2, 5000)
    return Answer(rows, None)


def _by_place(found: Mapping[tuple[Any, ...], Sums], places: Mapping[Any, int]) -> dict[tuple[Any, ...], Sums]:
    result: dict[tuple[Any, ...], Sums] = defaultdict(Sums)
    for (when, *keys), sums in found.items():
        if when in places:
            for source in Source:
                result[(places[when], *keys)].add(source, sums.of(source))
    return result


def _expected(by: Sequence[str], actor: Actor) -> int:
    """About how many rows a step has."""
    n = 1
    for name in by:
        if name in ("skill_group", "agent"):
            rows: Any = SkillGroup.objects if name == "skill_group" else Agent.objects
            n *= max(1, rows.visible_to(actor).count())
        else:
            n *= 3 if name == "direction" else 10
    return n


def _sums(
    question: Question, actor: Actor, period: Period, known_to: dt.date | None, since: dt.datetime | None = None
) -> dict[tuple[Any, ...], Sums]:
    found: dict[tuple[Any, ...], Sums] = defaultdict(Sums)
    keys = tuple(KEYS[name] for name in question.by)
    for source in {metric.source: None for metric in question.metrics}:
        table = _table(source, {*question.by, *question.narrowed}, actor)
        if table is None:
            continue
        counters = tuple(sorted({name for metric in question.metrics if metric.source is source for name in metric.counters}))
        asked = _asked(table, period, question.narrowed, keys=keys, step=question.time, known_to=known_to, counters=counters)
        for key, counted in asked.rows(actor):
            if since is None or key[0] >= since:
                found[key].add(source, counted)
    return found


def _row(question: Question, key: tuple[Any, ...], sums: Sums, start: dt.datetime, end: dt.datetime) -> Row:
    when, *keys = key
    values: dict[str, Any] = {question.time: list(when) if question.time == WEEKDAY_HOUR else when} if question.time else {}
    values.update(zip(question.by, keys, strict=True))
    is_many = question.time == WEEKDAY_HOUR
    return Row(
        None if is_many else start.astimezone(question.period.zone),
        None if is_many else end.astimezone(question.period.zone),
        values,
        {metric.name: metric.value(sums.of(metric.source)) for metric in question.metrics},
        sums,
    )


def _sortable(values: Iterable[Any]) -> list[tuple[bool, Any]]:
    """Values of one kind each, those of nobody last."""
    return [(value is None, "" if value is None else value) for value in values]


# --- Reading a question ----------------------------------------------------------------------------------------------


def read_question(asked: Mapping[str, Any], *, actor: Actor, account: Account, at: dt.datetime) -> Question:
    """A question as programs ask it: `metrics`, `group_by` and the filters are lists, everything else is text. Every
    fault is a ValidationError that names its field; rows of another account are rows that do not exist."""
    period = read_period({name: str(asked.get(name) or "") for name in ("period", "from", "to")}, zone=account.zone, at=at)
    time, by = _read_group_by(asked.get("group_by") or [])
    narrowed = _read_narrowed(asked, actor, account)
    metrics = _read_metrics(asked.get("metrics") or [], {*by, *narrowed}, actor)
    order_by = str(asked.get("order_by") or "")
    if order_by:
        if time:
            raise ValidationError({"order_by": _("Rows by time are in the order of time. Leave the time out of group_by.")})
        if order_by.removeprefix("-") not in {metric.name for metric in metrics}:
            raise ValidationError({"order_by": _("Order by one of the metrics asked for, with a minus for the largest first.")})
    return Question(
        metrics, period, time, by, narrowed, order_by, _read_limit(asked.get("limit")), _read_cursor(asked.get("cursor"))
    )


def _read_metrics(names: Sequence[str], dimensions: set[str], actor: Actor) -> tuple[Metric, ...]:
    if not names:
        known = tuple(metric for metric in CATALOGUE if _table(metric.source, dimensions, actor) is not None)
        if not known:
            raise ValidationError({"group_by": _("Nothing is counted by all of these together, or nothing that your role sees.")})
        return known
    metrics = []
    for name in dict.fromkeys(names):
        metric = METRICS.get(name)
        if metric is None:
            near = difflib.get_close_matches(str(name), METRICS, n=3)
            text = _("There is no metric %(name)s.") % {"name": str(name)[:40]}
            raise ValidationError({"metrics": f"{text} {_near(near)}".strip()})
        if _table(metric.source, dimensions, actor) is None:
            raise ValidationError({"metrics": _not_countable(metric, dimensions, actor)})
        metrics.append(metric)
    return tuple(metrics)


def _near(names: Sequence[str]) -> str:
    return _("Did you mean %(names)s?") % {"names": ", ".join(names)} if names else _("See metrics/ for all there are.")


def _not_countable(metric: Metric, dimensions: set[str], actor: Actor) -> str:
    if _table(metric.source, set(), actor) is None:
        return _("%(name)s counts more than your role sees.") % {"name": metric.name}
    tables = [table for table in TABLES if table.source is metric.source]
    names = {column: name for name, column in KEYS.items()}
    known = sorted({names[column] for table in tables for column in table.keys})
    return _("%(name)s is not counted by %(asked)s together; it is by %(known)s.") % {
        "name": metric.name,
        "asked": ", ".join(sorted(dimensions)),
        "known": ", ".join(known),
    }


def _read_group_by(names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    time, by = "", []
    for name in dict.fromkeys(names):
        if name in KEYS:
            by.append(name)
        elif name in DIMENSIONS:
            if time:
                raise ValidationError({"group_by": _("Group by one kind of time only.")})
            time = name
        else:
            raise ValidationError(
                {
                    "group_by": _("%(name)s is nothing to group by; choose from %(known)s.")
                    % {"name": str(name)[:40], "known": ", ".join(DIMENSIONS)}
                }
            )
    return time, tuple(by)


def _read_narrowed(asked: Mapping[str, Any], actor: Actor, account: Account) -> Narrowed:
    narrowed: dict[str, tuple[Any, ...]] = {}
    for name in KEYS:
        values = asked.get(name) or []
        if len(values) > MOST_VALUES:
            raise ValidationError({name: _("Name at most %(n)s.") % {"n": MOST_VALUES}})
        texts = [str(value) for value in values]
        if not texts:
            continue
        if name in ("skill_group", "agent"):
            model: Any = SkillGroup if name == "skill_group" else Agent
            ids = {int(text) for text in texts if text.isascii() and text.isdecimal() and len(text) <= 18}
            found = set(model.objects.visible_to(actor).filter(pk__in=ids).values_list("pk", flat=True))
            if len(found) < len(set(texts)):
                raise ValidationError({name: _unknown(name)})
            narrowed[name] = tuple(sorted(found))
        elif name == "direction":
            if not set(texts) <= set(Direction.values):
                raise ValidationError({name: _no_direction()})
            narrowed[name] = tuple(sorted(set(texts)))
        elif name == "service_number":
            narrowed[name] = tuple(sorted({canonical(text[:64], account.region) for text in texts}))
        else:
            narrowed[name] = tuple(sorted({text[:60] for text in texts}))
    return narrowed


def _read_limit(given: Any) -> int:
    text = str(given if given is not None else LIMIT)
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= MOST_ROWS:
        raise ValidationError({"limit": _("Give a number from 1 to %(n)s.") % {"n": MOST_ROWS}})
    return int(text)


def _read_cursor(given: Any) -> tuple[int, int]:
    if not given:
        return 0, 0
    place, dot, done = str(given).partition(".")
    if not dot or not all(part.isascii() and part.isdecimal() and len(part) <= 9 for part in (place, done)):
        raise ValidationError({"cursor": _("Give the cursor of an answer as it is, or none.")})
    return int(place), int(done)


# --- How fresh -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Freshness:
    counted_to: dt.datetime | None
    """Everything accepted before this is in the counts. None: nothing was ever counted."""
    is_behind: bool
    recounted_at: dt.datetime | None = None
    """When the last days were counted again, to find what the fill had missed."""
    n_drifted: int = 0
    """How many slots and days that found wrong, and repaired."""


BEHIND_AFTER = dt.timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Counted:
    """How far an account's counts have come: read once for everything on a page."""

    known_to: dt.date | None
    """The local day before which days have totals of the account's own zone."""
    freshness: Freshness


def freshness(*, account: Account, at: dt.datetime) -> Freshness:
    """How far the counts have come: up to now, unless events wait to be folded or slots to be counted again."""
    return counted(account=account, at=at).freshness


def counted(*, account: Account, at: dt.datetime) -> Counted:
    """One query."""
    pending = CallEvent.objects.for_account(account).filter(state=EventState.PENDING).order_by()
    # The least id is read off the index; ordered by id, MySQL would rather walk the whole inbox. A plain function, for an
    # aggregate would group, and walk the whole index.
    oldest = pending.annotate(least=Func("pk", function="MIN", output_field=BigIntegerField())).values("least")
    received_at = CallEvent.objects.filter(pk=Subquery(oldest)).values("received_at")
    waiting = [Exists(marks.objects.for_account(account)) for marks in (StaleCallSlot, StaleAgentTime)]
    found = Account.objects.filter(pk=account.pk).order_by()
    columns = {name: Subquery(FillMark.objects.for_account(account).order_by().values(name)[:1]) for name in _OF_MARK}
    row = found.values(received_at=Subquery(received_at), calls_wait=waiting[0], agents_wait=waiting[1], **columns).first()
    if row is None:
        return Counted(None, Freshness(at, is_behind=False))
    counted_to: dt.datetime | None = at
    if row["received_at"] is not None:
        counted_to = min(row["received_at"], at)
    if row["calls_wait"] or row["agents_wait"]:
        counted_to = min(row["filled_at"], counted_to) if row["filled_at"] is not None and counted_to is not None else None
    is_behind = counted_to is None or at - counted_to > BEHIND_AFTER
    known_to = row["days_to"] if row["zone"] == account.time_zone else None
    return Counted(known_to, Freshness(counted_to, is_behind, row["recounted_at"], row["n_drifted"] or 0))


_OF_MARK = ("filled_at", "recounted_at", "n_drifted", "zone", "days_to")
