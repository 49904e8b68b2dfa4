"""Figures of a period taken apart: by what was counted, by hour of the week, and by how long callers waited."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from analytics import reports
from analytics.metrics import ANSWERED_WAITS, METRICS, WAIT_EDGES, WAITED, Metric, Source
from analytics.periods import Period
from analytics.reports import WEEKDAY_HOUR, Filters, Question, Row, Sums
from configuration.scoping import Actor

HOUR_METRICS = (
    "calls",
    "answered",
    "offered",
    "service_level",
    "abandonment_rate",
    "average_wait",
    "aht",
    "calls_taken",
    "occupancy",
)
"""What the map of hours may show."""
MOST_ROWS = 200


def by(name: str, metrics: Iterable[str], *, actor: Actor, period: Period, filters: Filters) -> list[Row]:
    """Rows per value of a dimension, those of the largest first metric first."""
    asked = tuple(METRICS[metric] for metric in metrics)
    question = Question(asked, period, by=(name,), narrowed=filters.narrowed, order_by=f"-{asked[0].name}", limit=MOST_ROWS)
    return reports.query(question, actor=actor).rows


def by_hour_of_week(
    metric: Metric, *, actor: Actor, period: Period, filters: Filters
) -> dict[tuple[int, int], int | float | None]:
    """One metric per day of the week (1 is Monday) and hour, of local time. Hours that had nothing are left out."""
    question = Question((metric,), period, time=WEEKDAY_HOUR, narrowed=filters.narrowed, limit=reports.MOST_ROWS)
    rows = reports.query(question, actor=actor).rows
    return {tuple(row.values[WEEKDAY_HOUR]): row.figures[metric.name] for row in rows}


def hour_metric(name: str, source: Source) -> Metric:
    """The metric asked for, if the map can show it; else how much there was to do."""
    start = {Source.CALLS: "calls", Source.QUEUES: "offered", Source.AGENTS: "calls_taken"}[source]
    return METRICS[name if name in hour_choices(source) else start]


def hour_choices(source: Source) -> list[str]:
    """Where whole calls are counted, queues are too."""
    sources = (Source.CALLS, Source.QUEUES) if source is Source.CALLS else (source,)
    return [name for name in HOUR_METRICS if METRICS[name].source in sources]


def hours_shown(cells: Iterable[tuple[int, int]]) -> range:
    """The hours of the day that had anything, and those of a working day."""
    hours = {hour for _weekday, hour in cells}
    return range(min({*hours, 8}), max({*hours, 17}) + 1)


def waits(sums: Sums) -> list[dict[str, Any]]:
    """How long callers waited in queues: from and to how many seconds, how many of them were answered and how many not."""
    counters = sums.queues
    found = []
    for n, (start, end) in enumerate(zip((0, *WAIT_EDGES), (*WAIT_EDGES, None), strict=True)):
        at_once = counters["n_at_once"] if not n else 0
        answered = counters[ANSWERED_WAITS[n]]
        label = _("%(from)s to %(to)s s") % {"from": start, "to": end} if end else _("%(from)s s or more") % {"from": start}
        found.append(
            {"start": start, "end": end, "label": label, "answered": answered + at_once, "others": counters[WAITED[n]] - answered}
        )
    return found
