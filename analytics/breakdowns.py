"""Figures of a period taken apart: by service number, and by hour of the week."""

from collections import defaultdict
from collections.abc import Iterable

from analytics import reports
from analytics.metrics import METRICS, Metric, Source
from analytics.reports import Filters, Period, Sums
from configuration.scoping import Actor

HOUR_METRICS = ("calls", "answered", "offered", "service_level", "abandonment_rate", "average_wait", "aht")
"""What the map of hours may show."""


def by_service_number(*, actor: Actor, period: Period, filters: Filters) -> dict[str, Sums]:
    """Counters of calls per number of the center's own; empty: no number. One query."""
    found: dict[str, Sums] = {}
    if reports.applies(Source.CALLS, actor=actor, filters=filters):
        for row in reports.grouped(Source.CALLS, "service_number", actor=actor, period=period, filters=filters):
            number = row.pop("service_number")
            found.setdefault(number, Sums()).add(Source.CALLS, row)
    return found


def by_hour_of_week(
    metric: Metric, *, actor: Actor, period: Period, filters: Filters
) -> dict[tuple[int, int], int | float | None]:
    """One metric per day of the week (1 is Monday) and hour, of local time. Hours that had nothing are left out. One query."""
    if not reports.applies(metric.source, actor=actor, filters=filters):
        return {}
    cells: dict[tuple[int, int], Sums] = defaultdict(Sums)
    rows = reports.grouped(
        metric.source, "slot", actor=actor, period=period, filters=filters, counters=tuple(sorted(metric.counters))
    )
    for row in rows:
        local = row.pop("slot").astimezone(period.zone)
        cells[local.isoweekday(), local.hour].add(metric.source, row)
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
