"""The dashboard of a period. It reads interval counts for the past and `live` for now, and says which is which and how fresh."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agents.getting_started import steps_for
from agents.models import SkillGroup
from analytics import asked as asking
from analytics import breakdowns, live, reports
from analytics.asked import Asked
from analytics.breakdowns import HOUR_METRICS
from analytics.metrics import CATALOGUE, METRICS, Good, Metric, Source, Unit
from analytics.models import CallInterval
from analytics.records import ABANDONED, ANSWERED, BEHIND
from analytics.reports import Figures, Filters, Step
from analytics.wording import change, shown
from calls.models import CallEvent
from configuration.access import SEE_FIGURES
from configuration.models import Account, Role

CALL_TILES = (
    "calls",
    "answered",
    "connection_rate",
    "service_level",
    "average_wait",
    "average_duration",
    "abandonment_rate",
    "ivr_abandonment_rate",
)
QUEUE_TILES = (
    "offered",
    "queue_answered",
    "service_level",
    "abandonment_rate",
    "average_wait",
    "asa",
    "aht",
    "longest_wait",
)
"""Shown instead where calls cannot be counted: for one skill group, and to people who see only their own."""
GROUP_COLUMNS = ("offered", "queue_answered", "service_level", "average_wait", "longest_wait", "abandonment_rate", "aht")
CALL_COLUMNS = ("calls", "answered", "connection_rate", "average_duration", "ivr_abandonment_rate", "satisfaction")
LIMITED = frozenset({"service_level", "abandonment_rate"})
"""Tiles whose formula depends on seconds that an account or a group sets."""
LIVE_TILES = (
    ("in_ivr", gettext_lazy("In IVR")),
    ("in_queue", gettext_lazy("In queue")),
    ("ringing", gettext_lazy("Ringing")),
    ("talking", gettext_lazy("Talking")),
)
CALL_FUNNEL = ("calls", "entered_ivr", "to_manual", "answered", "transferred")
QUEUE_FUNNEL = ("offered", "queue_answered")
"""How far callers came. Beside each stage, which of the outcomes lie between it and the one before."""
LEFT_BEFORE: dict[str, tuple[str, ...]] = {
    "to_manual": ("abandoned_in_ivr", "self_served"),
    "answered": ("abandoned", "never_reached"),
    "queue_answered": ("abandoned", "left_queue", "turned_away"),
}


@dataclass(frozen=True, slots=True)
class Tile:
    metric: Metric
    value: str
    change: str
    mood: str
    before: str
    link: str
    note: str


def home(request: HttpRequest) -> HttpResponse:
    """The admin's front page: the dashboard for those who may see figures."""
    if request.user.has_perm(SEE_FIGURES):
        return redirect("analytics:dashboard")
    return admin.site.index(request)


def dashboard(request: HttpRequest) -> HttpResponse:
    asked = asking.read(request)
    user = asked.user
    steps = reports.series(period=asked.period, step=asked.step, **asked.scope)
    figures = reports.figures(reports.total(steps), **asked.scope)
    figures_before = reports.summary(period=asked.before, **asked.scope)
    by_calls = reports.applies(Source.CALLS, **asked.scope)
    context = {
        **admin.site.each_context(request),
        "title": _("Dashboard"),
        **asked.shown(),
        "steps": asked.steps(),
        "step": asked.step,
        "live": live.now(actor=user),
        "live_tiles": LIVE_TILES,
        "activities": live.ACTIVITIES.items(),
        "tiles": [
            _tile(
                METRICS[name],
                figures,
                figures_before,
                link=asked.records.of_metric(name, asked.period),
                note=_limits_in_force(user.account, asked.filters.skill_group) if name in LIMITED else "",
            )
            for name in (CALL_TILES if by_calls else QUEUE_TILES)
        ],
        "by_calls": by_calls,
        "sees_nothing": not any(reports.applies(source, **asked.scope) for source in (Source.CALLS, Source.QUEUES)),
        "sees_groups_only": user.data_scope == Role.DataScope.GROUPS,
        "chart": _chart(asked, steps, by_calls),
        "rows": [_row(asked, one, by_calls) for one in steps],
        "funnel": _funnel(asked, figures, by_calls),
        "hours": _hours(asked, by_calls),
        "parts": [_by_group(asked), *([_by_number(asked)] if by_calls else [])],
        "all_figures": [
            (metric, shown(metric.unit, figures[metric.name]), asked.records.of_metric(metric.name, asked.period))
            for metric in CATALOGUE
        ],
        "is_empty": _is_empty(user, figures),
        "setup_steps": steps_for(user),
    }
    return render(request, "analytics/dashboard.html", context)


def _tile(metric: Metric, now: Figures, before: Figures, *, link: str, note: str) -> Tile:
    text, mood = change(metric, now[metric.name], before[metric.name])
    return Tile(metric, shown(metric.unit, now[metric.name]), text, mood, shown(metric.unit, before[metric.name]), link, note)


def _limits_in_force(account: Account, group: SkillGroup | None) -> str:
    """The seconds that stand in the formulas. Where no group is chosen, groups with limits of their own differ."""
    target, short = account.service_level_seconds, account.short_abandon_seconds
    if group is not None:
        target = target if group.service_level_seconds is None else group.service_level_seconds
        short = short if group.short_abandon_seconds is None else group.short_abandon_seconds
        return _("Target: %(target)s s. Short: up to %(short)s s.") % {"target": target, "short": short}
    return _("Target: %(target)s s. Short: up to %(short)s s. Groups with limits of their own follow theirs.") % {
        "target": target,
        "short": short,
    }


# --- Over time -------------------------------------------------------------------------------------------------------


def _series_metrics(by_calls: bool) -> tuple[Metric, Metric, Metric, Metric]:
    names = ("calls", "answered") if by_calls else ("offered", "queue_answered")
    return METRICS[names[0]], METRICS[names[1]], METRICS["abandoned"], METRICS["service_level"]


def _chart(asked: Asked, steps: list[Step], by_calls: bool) -> dict[str, Any]:
    """What charts.js draws: bars of counts on the left axis, a line of shares on the right one. Each bar is a link."""
    every, answered, abandoned, level = _series_metrics(by_calls)
    values = {
        metric: [metric.value(step.sums.of(metric.source)) for step in steps] for metric in (every, answered, abandoned, level)
    }
    between = asked.records.between
    return {
        "labels": [step.label for step in steps],
        "datasets": [
            {
                "type": "bar",
                "label": str(metric.label),
                "data": values[metric],
                "color": color,
                "links": [between(step.start, step.end, **narrowed) for step in steps],
            }
            for metric, color, narrowed in (
                (every, "base", {}),
                (answered, "primary", ANSWERED),
                (abandoned, "bad", ABANDONED),
            )
        ]
        + [
            {
                "type": "line",
                "label": str(level.label),
                "data": [None if value is None else round(value * 100, 1) for value in values[level]],
                "color": "accent",
                "axis": "percent",
                "links": [between(step.start, step.end) for step in steps],
            },
        ],
    }


def _row(asked: Asked, step: Step, by_calls: bool) -> dict[str, Any]:
    metrics = _series_metrics(by_calls)
    return {
        "label": step.label,
        "link": asked.records.between(step.start, step.end),
        "values": [shown(metric.unit, metric.value(step.sums.of(metric.source))) for metric in metrics],
    }


# --- How far callers came --------------------------------------------------------------------------------------------


def _funnel(asked: Asked, figures: Figures, by_calls: bool) -> list[dict[str, Any]]:
    names = CALL_FUNNEL if by_calls else QUEUE_FUNNEL
    whole = figures[names[0]] or 0
    stages = []
    for name in names:
        value = figures[name] or 0
        stages.append(
            {
                "metric": METRICS[name],
                "value": shown(Unit.COUNT, value),
                "share": shown(Unit.RATIO, value / whole if whole else None),
                "width": round(100 * min(value / whole, 1), 1) if whole else 0,
                "link": asked.records.of_metric(name, asked.period),
                "left": [
                    {
                        "metric": METRICS[left],
                        "value": shown(Unit.COUNT, figures[left]),
                        "link": asked.records.of_metric(left, asked.period) if left in BEHIND else "",
                    }
                    for left in LEFT_BEFORE.get(name, ())
                    if figures[left]
                ],
            }
        )
    return stages


# --- The week by hours -----------------------------------------------------------------------------------------------


def _hours(asked: Asked, by_calls: bool) -> dict[str, Any]:
    """A table of weekdays by hours. How strong a cell is coloured says where it lies between nothing and the most."""
    metric = breakdowns.hour_metric(asked.query.get("hours", ""), by_calls=by_calls)
    cells = breakdowns.by_hour_of_week(metric, period=asked.period, **asked.scope)
    hours = breakdowns.hours_shown(cells)
    most = 1 if metric.unit is Unit.RATIO else max((value or 0 for value in cells.values()), default=0)
    choices = [
        (name, METRICS[name].label, asked.address({"hours": name}))
        for name in HOUR_METRICS
        if by_calls or METRICS[name].source is not Source.CALLS
    ]
    return {
        "metric": metric,
        "choices": choices,
        "hours": [f"{hour}:00" for hour in hours],
        "mood": {Good.UP: "good", Good.DOWN: "bad"}.get(metric.good, "plain"),
        "rows": [
            {
                "name": WEEKDAYS_ABBR[weekday - 1],
                "cells": [_hour_cell(asked, metric, cells.get((weekday, hour)), most, weekday, hour) for hour in hours],
            }
            for weekday in range(1, 8)
        ],
    }


def _hour_cell(asked: Asked, metric: Metric, value: int | float | None, most: float, weekday: int, hour: int) -> dict[str, Any]:
    link = asked.records.of_days(asked.period, week_hour=f"{weekday}-{hour}") if value is not None else ""
    return {
        "text": shown(metric.unit, value) if value is not None else "",
        "strength": round(100 * value / most) if value and most else 0,
        "link": link,
    }


# --- By group and number ---------------------------------------------------------------------------------------------


def _by_group(asked: Asked) -> dict[str, Any]:
    filters, groups = asked.filters, asked.groups
    found = reports.by_skill_group(period=asked.period, **asked.scope)
    order = [pk for pk in groups if pk in found] + [pk for pk in found if pk not in groups]
    rows = []
    for pk in order:
        group = groups.get(pk) if pk is not None else None
        figures = reports.figures(found[pk], actor=asked.user, filters=filters, sources=[Source.QUEUES])
        of_group = Filters(group, filters.direction, filters.service_number)
        rows.append(
            _part_row(asked, group.name if group else _("Unknown groups"), figures, GROUP_COLUMNS, of_group if group else None)
        )
    return {
        "title": _("By skill group"),
        "heading": _("Skill group"),
        "columns": [METRICS[name] for name in GROUP_COLUMNS],
        "rows": rows,
        "nothing": _("Nothing was offered to a skill group in this period."),
    }


def _by_number(asked: Asked) -> dict[str, Any]:
    found = breakdowns.by_service_number(period=asked.period, **asked.scope)
    labels = {row.number: f"{row.label} · {row.number}" if row.label else row.number for row in asked.numbers}
    rows = []
    for number, sums in sorted(found.items(), key=lambda one: -one[1].calls["n_calls"]):
        figures = reports.figures(sums, actor=asked.user, filters=asked.filters, sources=[Source.CALLS])
        of_number = Filters(asked.filters.skill_group, asked.filters.direction, number) if number in labels else None
        rows.append(_part_row(asked, labels.get(number) or number or _("No service number"), figures, CALL_COLUMNS, of_number))
    return {
        "title": _("By service number"),
        "heading": _("Service number"),
        "columns": [METRICS[name] for name in CALL_COLUMNS],
        "rows": rows,
        "nothing": _("No calls in this period."),
    }


def _part_row(asked: Asked, name: str, figures: Figures, columns: Sequence[str], filters: Filters | None) -> dict[str, Any]:
    """`filters`: those of the records behind the row; None: the list cannot be narrowed to them."""
    records = asked.records_of(filters) if filters is not None else None
    return {
        "name": name,
        "link": records.of_days(asked.period) if records else "",
        "values": [
            (shown(METRICS[column].unit, figures[column]), records.of_metric(column, asked.period) if records else "")
            for column in columns
        ],
    }


def _is_empty(user: Any, figures: Figures) -> bool:
    """Whether nothing was ever counted or received: a portal that waits for its first call."""
    if figures["calls"] or figures["offered"]:
        return False
    account = user.account
    return not (CallInterval.objects.for_account(account).exists() or CallEvent.objects.for_account(account).exists())
