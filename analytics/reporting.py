"""Reports: a question of rows, columns, filters and period that an address holds, its answer on the screen and as a file.

A figure or name is in a file only if whoever it is written for would see it on the screen. What is taken away at once is
bounded, so that it is written while it is waited for; what a worker writes (`report_runs`) may be longer.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _

from agents.models import Agent, SkillGroup
from analytics import report_pdf, reports
from analytics.metrics import METRICS, Metric, Unit
from analytics.periods import OF_DAYS, PRESETS, STEPS
from analytics.reports import KEYS, WEEKDAY_HOUR, Question, Row
from analytics.wording import shown, weekday_hour
from callcenter_site import sheets
from calls.models import Direction
from configuration.models import ServiceNumber

KINDS = {"csv": "CSV", "xlsx": "XLSX", "pdf": "PDF"}
MOST_ROWS = {"csv": 10_000, "xlsx": 10_000, "pdf": 2_000}
MOST_COLUMNS = {"csv": 60, "xlsx": 60, "pdf": 12}
PREVIEW = 50
PAGE = 2000


class TooLong(Exception):
    """More rows than such a file holds."""


def asked_of(data: QueryDict) -> dict[str, Any]:
    """What an address of the report builder asks for, as `reports.read_question` takes it."""
    asked: dict[str, Any] = {name: [one for one in data.getlist(name) if one] for name in ("metrics", "group_by", *KEYS)}
    return asked | {name: data.get(name, "") for name in ("period", "from", "to")}


def query_of(data: QueryDict) -> str:
    """The part of an address that is the question, in one order."""
    kept = QueryDict(mutable=True)
    for name, value in asked_of(data).items():
        if value:
            kept.setlist(name, value if isinstance(value, list) else [value])
    return kept.urlencode()


def read(data: QueryDict, *, actor: Any, at: dt.datetime, limit: int) -> Question:
    """Raises `ValidationError` naming the field, also for rows of another account or beyond what the person sees."""
    asked = asked_of(data)
    if not asked["metrics"]:
        raise ValidationError({"metrics": _("Choose at least one figure.")})
    return reports.read_question(asked | {"limit": limit}, actor=actor, account=actor.account, at=at)


def write(data: QueryDict, kind: str, *, actor: Any, at: dt.datetime, language: str) -> tuple[IO[bytes], int]:
    """The report as a file, to be read from its start, and how many rows it has.

    Raises `ValidationError`, also for one that is too large.
    """
    question = read(data, actor=actor, at=at, limit=MOST_ROWS[kind])
    check_columns(question, kind)
    answer = reports.query(question, actor=actor)
    if answer.next is not None:
        text = _("A file of this kind holds at most %(n)d rows. Choose longer steps, a shorter period or filters.")
        raise ValidationError({"group_by": text % {"n": MOST_ROWS[kind]}})
    return write_file(question, answer.rows, kind, actor=actor, title=_("Report"), language=language), len(answer.rows)


def check_columns(question: Question, kind: str) -> None:
    n_columns = len(question.metrics) + len(dimensions(question))
    if n_columns > MOST_COLUMNS[kind]:
        said = {"n": MOST_COLUMNS[kind], "asked": n_columns}
        raise ValidationError({"metrics": _("A file of this kind holds at most %(n)d columns; these are %(asked)d.") % said})


def write_file(question: Question, rows: Iterable[Row], kind: str, *, actor: Any, title: str, language: str) -> IO[bytes]:
    lines = Lines(question, actor, rows, is_read_by_people=kind == "pdf")
    if kind == "xlsx":
        return sheets.write_xlsx(lines, title=title, widths=[20] * (len(question.metrics) + len(dimensions(question))))
    if kind == "pdf":
        return report_pdf.write(lines, title=title, about=lines.about(), language=language)
    return sheets.write_csv(lines)


def all_rows(question: Question, *, actor: Any, most: int, tell: Callable[[int], None]) -> Iterator[Row]:
    """Page by page; `tell` hears after each how many there were. Raises `TooLong`."""
    cursor: tuple[int, int] | None = (0, 0)
    n_rows = 0
    while cursor is not None:
        answer = reports.query(replace(question, limit=PAGE, cursor=cursor), actor=actor)
        n_rows += len(answer.rows)
        if n_rows > most:
            raise TooLong
        tell(n_rows)
        yield from answer.rows
        cursor = answer.next


class Lines:
    """The rows of a file, the first of them headings. Names are looked up among what the owner sees."""

    def __init__(self, question: Question, actor: Any, rows: Iterable[Row], *, is_read_by_people: bool) -> None:
        self.question, self.rows, self.is_read_by_people = question, rows, is_read_by_people
        self.names = Names(actor)

    def about(self) -> str:
        period = self.question.period
        text = f"{period.first.isoformat()} – {period.last.isoformat()} · {period.zone.key}"
        for name, values in self.question.narrowed.items():
            said = ", ".join(self.names.of(name, value) for value in values)
            text += f" · {reports.DIMENSIONS[name]}: {said}"
        return text

    def __iter__(self) -> Iterator[Sequence[object]]:
        question = self.question
        yield headings(question, with_units=not self.is_read_by_people)
        for row in self.rows:
            yield self.line(row)

    def line(self, row: Row) -> list[object]:
        cells = [self.names.shown(name, row) for name in dimensions(self.question)]
        figure = shown if self.is_read_by_people else plain
        return [*cells, *(figure(metric.unit, row.figures[metric.name]) for metric in self.question.metrics)]


def in_words(query: str) -> str:
    """What a question asks for: figures, by what, of when. Its filters are ids, and left out."""
    asked = asked_of(QueryDict(query))
    figures = ", ".join(str(METRICS[name].label) for name in asked["metrics"] if name in METRICS)
    rows = ", ".join(str(reports.DIMENSIONS[name]) for name in asked["group_by"] if name in reports.DIMENSIONS)
    days = (
        f"{asked['from']} – {asked['to']}" if asked["from"] or asked["to"] else str(PRESETS.get(asked["period"] or "today", ""))
    )
    return " · ".join(part for part in (figures, rows, days) if part)


def dimensions(question: Question) -> tuple[str, ...]:
    return ((question.time,) if question.time else ()) + question.by


def headings(question: Question, *, with_units: bool) -> list[str]:
    named = [str(reports.DIMENSIONS[name]) for name in dimensions(question)]
    return named + [_heading(metric) if with_units else str(metric.label) for metric in question.metrics]


def _heading(metric: Metric) -> str:
    unit = {Unit.SECONDS: "s", Unit.RATIO: "%"}.get(metric.unit)
    return f"{metric.label} ({unit})" if unit else str(metric.label)


def plain(unit: Unit, value: int | float | None) -> str:
    """A figure as spreadsheets reckon with it; one that does not exist is an empty cell."""
    if value is None:
        return ""
    if unit is Unit.COUNT:
        return str(round(value))
    return f"{value * 100 if unit is Unit.RATIO else value:.3f}".rstrip("0").rstrip(".")


class Names:
    """What a row's values are called. Looked up once for a report."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self._known: dict[str, dict[Any, str]] = {}

    def of(self, name: str, value: Any) -> str:
        if name not in self._known:
            self._known[name] = self._look_up(name)
        if value in (None, ""):
            return _("(none)")
        return self._known[name].get(value, str(value) if isinstance(value, str) else f"#{value}")

    def shown(self, name: str, row: Row) -> str:
        value = row.values[name]
        if name == WEEKDAY_HOUR:
            return weekday_hour(*value)
        if name in STEPS:
            if name in OF_DAYS or row.start is None:
                return str(value)
            return row.start.isoformat(sep=" ", timespec="minutes")
        return self.of(name, value)

    def _look_up(self, name: str) -> dict[Any, str]:
        if name == "agent":
            people = Agent.objects.visible_to(self.actor)
            return {one.pk: f"{one.name} ({one.staff_id})" for one in people}
        if name == "skill_group":
            return dict(SkillGroup.objects.visible_to(self.actor).values_list("pk", "name"))
        if name == "service_number":
            numbers = ServiceNumber.objects.visible_to(self.actor)
            return {one.number: one.label_and_number for one in numbers}
        if name == "direction":
            return {value: str(label) for value, label in Direction.choices}
        return {}
