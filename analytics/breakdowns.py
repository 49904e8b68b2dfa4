"""Figures of a period taken apart: by service number, and by hour of the week."""

from collections.abc import Iterable

from analytics import reports
from analytics.metrics import METRICS, Metric, Source
from analytics.reports import Filters, Period, Sums
from configuration.scoping import Actor

HOUR_METRICS = ("calls", "answered", "offered", "service_level", "abandonment_rate", "average_wait", "aht")
"""What the map of hours may show."""


def by_service_number(*, actor: Actor, period: Period, filters: Filters) -> dict[str, Sums]:
    """Counters of calls per number of the center's own; empty: no number."""
    return reports.split(Source.CALLS, "service_number", actor=actor, period=period, filters=filters)


def by_hour_of_week(
    metric: Metric, *, actor: Actor, period: Period, filters: Filters
) -> dict[tuple[int, int], int | float | None]:
    """One metric per day of the week (1 is Monday) and hour, of local time. Hours that had nothing are left out."""
    cells = reports.split(
        metric.source, reports.WEEKDAY_HOUR, actor=actor, period=period, filters=filters, counters=sorted(metric.counters)
    )
    return {cell: metric.value(sums.of(metric.source)) for cell, sums in sorted(cells.items())}


def hour_metric(name: str, *, by_calls: bool) -> Metric:
    """The metric asked for, if the map can show it; else how much there was to do."""
    metric = METRICS.get(name if name in HOUR_METRICS else "")
    if metric is None or (metric.source is Source.CALLS and not by_calls):
        return METRICS["calls" if by_calls else "offered"]
    return metric


def hours_shown(cells: Iterable[tuple[int, int]]) -> range:
    """The hours of the day that had anything, and those of a working day."""
    hours = {hour for _weekday, hour in cells}
    return range(min({*hours, 8}), max({*hours, 17}) + 1)
