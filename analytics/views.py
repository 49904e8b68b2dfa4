"""The dashboards. They read interval counts for the past and `live` for now, and say which is which and how fresh."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from agents.getting_started import steps_for
from agents.models import SkillGroup
from analytics import live, reports
from analytics.metrics import CATALOGUE, METRICS, Metric, Source
from analytics.models import CallInterval
from analytics.reports import Figures, Filters, Period, Step
from analytics.wording import change, shown
from calls.models import CallEvent, Direction
from configuration.access import SEE_FIGURES
from configuration.models import Account, Role, ServiceNumber

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
LIMITED = frozenset({"service_level", "abandonment_rate"})
"""Tiles whose formula depends on seconds that an account or a group sets."""
RECORDS_BEHIND: dict[str, dict[str, str | list[str]]] = {
    "answered": {"answered": "yes"},
    "connection_rate": {"answered": "yes"},
    "average_duration": {"answered": "yes"},
    "ivr_abandonment_rate": {"outcome": "abandoned_in_ivr"},
    "abandonment_rate": {"outcome": ["abandoned_in_queue", "abandoned_while_ringing"]},
    "queue_answered": {"answered": "yes"},
    "asa": {"answered": "yes"},
    "aht": {"answered": "yes"},
}
"""How the list of service records is narrowed to the calls that a tile is about, where that can be said."""
LIVE_TILES = (
    ("in_ivr", gettext_lazy("In IVR")),
    ("in_queue", gettext_lazy("In queue")),
    ("ringing", gettext_lazy("Ringing")),
    ("talking", gettext_lazy("Talking")),
)
MAX_POINTS = 800
"""More points than a chart can show on any screen."""
_STEP_POINTS = {"half_hour": 48, "hour": 24, "day": 1}


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
    user: Any = request.user
    if not user.has_perm(SEE_FIGURES) or user.account is None:
        raise PermissionDenied
    at = timezone.now()
    query = {name: str(value) for name, value in request.GET.items() if value}
    period, filters, step, errors = _read(query, user, at)
    scope: dict[str, Any] = {"actor": user, "filters": filters}
    steps = reports.series(period=period, step=step, **scope)
    figures = reports.figures(reports.total(steps), **scope)
    before = period.before(at=at)
    figures_before = reports.summary(period=before, **scope)
    by_calls = reports.applies(Source.CALLS, **scope)
    groups = {
        group.pk: group
        for group in SkillGroup.objects.visible_to(user)
        .only("pk", "name", "service_level_seconds", "short_abandon_seconds")
        .order_by("name")
    }
    numbers = list(ServiceNumber.objects.visible_to(user).only("pk", "number", "label"))
    context = {
        **admin.site.each_context(request),
        "title": _("Dashboard"),
        "period": period,
        "period_text": _period_text(period),
        "before_text": _period_text(before),
        "compared_until": _compared_until(before),
        "presets": [
            (name, label, _address(query, {"period": name}, without=("from", "to", "step")))
            for name, label in reports.PRESETS.items()
        ],
        "steps": [
            (name, label, _address(query, {"step": name}))
            for name, label in reports.STEPS.items()
            if 1 < period.n_days * _STEP_POINTS[name] <= MAX_POINTS
        ],
        "step": step,
        "filters": filters,
        "directions": Direction.choices,
        "groups": list(groups.values()),
        "numbers": numbers,
        "is_narrowed": filters != Filters(),
        "reset_link": _address(query, {}, without=("skill_group", "direction", "service_number")),
        "errors": errors,
        "live": live.now(actor=user),
        "live_tiles": LIVE_TILES,
        "activities": live.ACTIVITIES.items(),
        "tiles": [
            _tile(
                METRICS[name],
                figures,
                figures_before,
                link=_records(user, period, filters, numbers, RECORDS_BEHIND.get(name, {})),
                note=_limits_in_force(user.account, filters.skill_group) if name in LIMITED else "",
            )
            for name in (CALL_TILES if by_calls else QUEUE_TILES)
        ],
        "by_calls": by_calls,
        "sees_nothing": not any(reports.applies(source, **scope) for source in Source),
        "sees_groups_only": user.data_scope == Role.DataScope.GROUPS,
        "chart": _chart(steps, by_calls),
        "rows": [_row(one, by_calls) for one in steps],
        "group_columns": [METRICS[name] for name in GROUP_COLUMNS],
        "group_rows": _group_rows(user, period, filters, numbers, groups),
        "all_figures": [(metric, shown(metric.unit, figures[metric.name])) for metric in CATALOGUE],
        "freshness": reports.freshness(account=user.account, at=at),
        "is_empty": _is_empty(user, figures),
        "setup_steps": steps_for(user),
    }
    return render(request, "analytics/dashboard.html", context)


def _read(query: dict[str, str], user: Any, at: dt.datetime) -> tuple[Period, Filters, str, list[str]]:
    """What the address asks for. What cannot be read is said and left out, so that a mistyped address still shows today."""
    errors: list[str] = []
    period, filters = reports.read_period({}, zone=user.account.zone, at=at), Filters()
    try:
        period = reports.read_period(query, zone=user.account.zone, at=at)
    except ValidationError as error:
        errors += error.messages
    try:
        filters = reports.read_filters(query, actor=user)
    except ValidationError as error:
        errors += error.messages
    try:
        step = reports.read_step(query, period)
    except ValidationError as error:
        errors += error.messages
        step = reports.read_step({}, period)
    if period.n_days * _STEP_POINTS[step] > MAX_POINTS:
        step = reports.read_step({}, period)
    return period, filters, step, errors


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


def _records(user: Any, period: Period, filters: Filters, numbers: list[Any], narrowed: dict[str, Any]) -> str:
    """The list of service records with the same period and filters; empty for people who may not see it."""
    if not user.has_perm("calls.view_call"):
        return ""
    query: dict[str, Any] = {"from": period.first.isoformat(), "to": period.last.isoformat(), **narrowed}
    if filters.direction:
        query["direction"] = filters.direction
    if filters.skill_group is not None:
        query["skill_group__id__exact"] = str(filters.skill_group.pk)
    if number := next((row for row in numbers if row.number == filters.service_number), None):
        query["service_number"] = str(number.pk)
    return f"{reverse('admin:calls_call_changelist')}?{urlencode(query, doseq=True)}"


def _group_rows(
    user: Any, period: Period, filters: Filters, numbers: list[Any], groups: dict[int, SkillGroup]
) -> list[dict[str, Any]]:
    found = reports.by_skill_group(actor=user, period=period, filters=filters)
    order = [pk for pk in groups if pk in found] + [pk for pk in found if pk not in groups]
    rows = []
    for pk in order:
        group = groups.get(pk) if pk is not None else None
        figures = reports.figures(found[pk], actor=user, filters=filters, sources=[Source.QUEUES])
        of_group = Filters(group, filters.direction, filters.service_number)
        rows.append(
            {
                "name": group.name if group else _("Unknown groups"),
                "link": _records(user, period, of_group, numbers, {}) if group else "",
                "values": [shown(METRICS[name].unit, figures[name]) for name in GROUP_COLUMNS],
                "service_level": figures["service_level"],
            }
        )
    return rows


def _series_metrics(by_calls: bool) -> tuple[Metric, Metric, Metric]:
    names = ("calls", "answered", "service_level") if by_calls else ("offered", "queue_answered", "service_level")
    return METRICS[names[0]], METRICS[names[1]], METRICS[names[2]]


def _chart(steps: list[Step], by_calls: bool) -> dict[str, Any]:
    """What charts.js draws: bars of counts on the left axis, a line of shares on the right one."""
    all_calls, answered, level = _series_metrics(by_calls)
    values = {metric: [metric.value(step.sums.of(metric.source)) for step in steps] for metric in (all_calls, answered, level)}
    return {
        "labels": [step.label for step in steps],
        "datasets": [
            {"type": "bar", "label": str(all_calls.label), "data": values[all_calls], "color": "base"},
            {"type": "bar", "label": str(answered.label), "data": values[answered], "color": "primary"},
            {
                "type": "line",
                "label": str(level.label),
                "data": [None if value is None else round(value * 100, 1) for value in values[level]],
                "color": "accent",
                "axis": "percent",
            },
        ],
    }


def _row(step: Step, by_calls: bool) -> dict[str, Any]:
    metrics = _series_metrics(by_calls)
    values = [metric.value(step.sums.of(metric.source)) for metric in metrics]
    return {"label": step.label, "values": [shown(metric.unit, value) for metric, value in zip(metrics, values, strict=True)]}


def _is_empty(user: Any, figures: Figures) -> bool:
    """Whether nothing was ever counted or received: a portal that waits for its first call."""
    if figures["calls"] or figures["offered"]:
        return False
    account = user.account
    return not (CallInterval.objects.for_account(account).exists() or CallEvent.objects.for_account(account).exists())


def _period_text(period: Period) -> str:
    pattern = pgettext("date pattern", "j M Y")
    first, last = formats.date_format(period.first, pattern), formats.date_format(period.last, pattern)
    return first if period.first == period.last else f"{first} – {last}"


def _compared_until(before: Period) -> str:
    """The time of day at which the period before is cut, so that a running one is compared with as much of it."""
    return formats.date_format(before.until.astimezone(before.zone), "H:i") if before.until else ""


def _address(query: dict[str, str], changed: dict[str, str], without: tuple[str, ...] = ()) -> str:
    kept = {name: value for name, value in query.items() if name not in without}
    return "?" + urlencode({**kept, **changed})
