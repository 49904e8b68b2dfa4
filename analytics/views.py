"""The dashboard of a period. It reads interval counts for the past and `live` for now, and says which is which and how fresh."""

from collections.abc import Iterable, Mapping, Sequence
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
from analytics import breakdowns, live, reports, saved_views
from analytics.asked import Asked
from analytics.metrics import CATALOGUE, METRICS, Good, Metric, Source, Unit
from analytics.models import CallInterval
from analytics.records import ABANDONED, ANSWERED, BEHIND, Narrowed, Records
from analytics.reports import Figures, Step
from analytics.wording import change, percent, shown
from calls.models import CallEvent
from configuration.access import SEE_FIGURES
from configuration.models import Account

TILES: dict[Source, tuple[str, ...]] = {
    Source.CALLS: (
        "calls",
        "answered",
        "connection_rate",
        "service_level",
        "average_wait",
        "average_duration",
        "abandonment_rate",
        "ivr_abandonment_rate",
    ),
    Source.QUEUES: (
        "offered",
        "queue_answered",
        "service_level",
        "abandonment_rate",
        "average_wait",
        "asa",
        "aht",
        "longest_wait",
    ),
    Source.AGENTS: (
        "calls_taken",
        "agent_answer_rate",
        "agent_aht",
        "occupancy",
        "online_time",
        "on_call_time",
        "agent_satisfaction",
        "short_call_rate",
    ),
}
"""Whole calls are counted neither by skill group nor by agent: with one of these, and for people who do not see all calls,
the page tells of queues or of agents instead."""
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
FUNNELS: dict[Source, tuple[str, ...]] = {
    Source.CALLS: ("inbound_calls", "entered_ivr", "calls_waited", "calls_rang", "inbound_answered", "transferred"),
    Source.QUEUES: ("offered", "queue_answered"),
    Source.AGENTS: ("offers", "offers_answered"),
}
"""How far callers came, and what became of those who did not come to the next stage: …"""
LEFT_BEFORE: dict[str, tuple[str, ...]] = {
    "calls_waited": ("abandoned_in_ivr", "self_served"),
    "calls_rang": ("calls_abandoned_in_queue", "voicemail"),
    "inbound_answered": ("calls_abandoned_ringing", "lost_calls"),
    "queue_answered": ("abandoned", "left_queue", "turned_away"),
    "offers_answered": ("non_responses", "not_taken"),
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
    source = _source(asked)
    # Those of agents stand below, in a part of its own, unless they are all there is.
    sources = (source,) if source is Source.AGENTS else (Source.CALLS, Source.QUEUES)
    steps, sums_before = reports.compared(
        period=asked.period,
        before=asked.before,
        step=asked.step,
        known_to=asked.counted.known_to,
        sources=sources,
        **asked.scope,
    )
    sums = reports.total(steps)
    figures = reports.figures(sums, sources=sources, **asked.scope)
    figures_before = reports.figures(sums_before, sources=sources, **asked.scope)
    live_now = live.last_seen(actor=user)
    context = {
        **admin.site.each_context(request),
        "title": _("Dashboard"),
        "page": "period",
        **asked.shown(),
        "saved": saved_views.menu_for(request, "period"),
        "steps": asked.steps(),
        "step": asked.step,
        "live": live_now,
        "live_at": live_now.at if live_now is not None else asked.at,
        "live_tiles": LIVE_TILES,
        "activities": live.ACTIVITIES.items(),
        "source": source.value if source else "",
        "tiles": tiles_of(asked, TILES[source], figures, figures_before) if source else [],
        "sees_nothing": source is None,
        "is_own": source is Source.AGENTS and asked.filters.agent is None,
        "parts_link": asked.address({}),
        "is_empty": _is_empty(user, figures),
        "setup_steps": [] if request.GET else steps_for(user),  # of the front page, not of each view that is chosen
    }
    if source is not None:
        context["chart"] = _chart(asked, steps, source)
        context["rows"] = [_row(asked, one, source) for one in steps]
        context["funnel"] = _funnel(asked, figures, source)
        if source is not Source.AGENTS:
            found = breakdowns.waits(sums)
            context["waits"] = _waits_chart(asked, found)
    return render(request, "analytics/dashboard.html", context)


def parts(request: HttpRequest) -> HttpResponse:
    """The lower half of the dashboard: the period taken apart, and all its figures. The page asks for it once it is seen."""
    asked = asking.read(request)
    source = _source(asked)
    context: dict[str, Any] = {"parts": []}
    if source is not None:
        context["hours"] = _hours(asked, source)
        context["parts"] = _parts(asked, source)
        figures = reports.summary(period=asked.period, **asked.scope)
        context["all_figures"] = [
            (metric, shown(metric.unit, figures[metric.name]), asked.records.of_metric(metric.name, asked.period))
            for metric in CATALOGUE
        ]
    return render(request, "analytics/parts.html", context)


def _source(asked: Asked) -> Source | None:
    """What the page tells of: whole calls if they can be counted so, else queues, else agents."""
    return next((source for source in Source if reports.applies(source, **asked.scope)), None)


def tiles_of(asked: Asked, names: Iterable[str], now: Figures, before: Figures) -> list[Tile]:
    limits = _limits_in_force(asked.user.account, asked.filters.skill_group)
    return [
        _tile(
            METRICS[name],
            now,
            before,
            link=asked.records.of_metric(name, asked.period),
            note=limits if name in LIMITED else "",
        )
        for name in names
    ]


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


_BARS: dict[Source, tuple[tuple[str, str, Narrowed], ...]] = {
    Source.CALLS: (("calls", "base", {}), ("answered", "primary", ANSWERED), ("abandoned", "bad", ABANDONED)),
    Source.QUEUES: (("offered", "base", {}), ("queue_answered", "primary", ANSWERED), ("abandoned", "bad", ABANDONED)),
    Source.AGENTS: (("offers", "base", {}), ("calls_taken", "primary", ANSWERED), ("non_responses", "bad", {})),
}
_LINES = {Source.CALLS: "service_level", Source.QUEUES: "service_level", Source.AGENTS: "occupancy"}


def _chart(asked: Asked, steps: list[Step], source: Source) -> dict[str, Any]:
    """What charts.js draws: bars of counts on the left axis, a line of shares on the right one. Each point is a link."""
    between = asked.records.between
    line = METRICS[_LINES[source]]
    shares = [line.value(step.sums.of(line.source)) for step in steps]
    bars = [
        {
            "type": "bar",
            "label": str(METRICS[name].label),
            "data": [METRICS[name].value(step.sums.of(METRICS[name].source)) for step in steps],
            "color": color,
            "links": [between(step.start, step.end, **narrowed) for step in steps],
        }
        for name, color, narrowed in _BARS[source]
    ]
    over = {
        "type": "line",
        "label": str(line.label),
        "data": [percent(share) for share in shares],
        "color": "accent",
        "axis": "percent",
        "links": [between(step.start, step.end) for step in steps],
    }
    return {"labels": [step.label for step in steps], "datasets": [*bars, over]}


def _row(asked: Asked, step: Step, source: Source) -> dict[str, Any]:
    metrics = [METRICS[name] for name in (*(name for name, _color, _narrowed in _BARS[source]), _LINES[source])]
    return {
        "label": step.label,
        "link": asked.records.between(step.start, step.end),
        "values": [shown(metric.unit, metric.value(step.sums.of(metric.source))) for metric in metrics],
    }


# --- How far callers came, and how long they waited ------------------------------------------------------------------


def _funnel(asked: Asked, figures: Figures, source: Source) -> list[dict[str, Any]]:
    names = FUNNELS[source]
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


def _waits_chart(asked: Asked, found: list[dict[str, Any]]) -> dict[str, Any]:
    def link(one: dict[str, Any], narrowed: Narrowed) -> str:
        bounds: Narrowed = {"wait_from": str(one["start"])}
        if one["end"]:
            bounds["wait_to"] = f"{one['end'] - 0.001:g}"
        return asked.records.of_days(asked.period, **bounds | narrowed)

    not_answered: Narrowed = {"answered": "no"}
    bars = (("answered", _("Answered"), "primary", ANSWERED), ("others", _("Not answered"), "bad", not_answered))
    return {
        "labels": [one["label"] for one in found],
        "datasets": [
            {
                "type": "bar",
                "label": label,
                "data": [one[name] for one in found],
                "color": color,
                "stack": "waits",
                "links": [link(one, narrowed) for one in found],
            }
            for name, label, color, narrowed in bars
        ],
    }


# --- The week by hours -----------------------------------------------------------------------------------------------


def _hours(asked: Asked, source: Source) -> dict[str, Any]:
    """A table of weekdays by hours. How strong a cell is coloured says where it lies between nothing and the most."""
    metric = breakdowns.hour_metric(asked.query.get("hours", ""), source)
    cells = breakdowns.by_hour_of_week(metric, period=asked.period, **asked.scope)
    hours = breakdowns.hours_shown(cells)
    most = 1 if metric.unit is Unit.RATIO else max((value or 0 for value in cells.values()), default=0)
    return {
        "metric": metric,
        "choices": [(name, METRICS[name].label, asked.address({"hours": name})) for name in breakdowns.hour_choices(source)],
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
        "strength": _strength(value / most) if value and most else 0,
        "link": link,
    }


DARK_UP_TO = 65
"""Percent of the colour on which dark letters can be read; white ones can from 84 on, and between the two neither."""


def _strength(share: float) -> int:
    percent_of_most = round(100 * min(share, 1))
    if percent_of_most <= DARK_UP_TO:
        return percent_of_most
    return 84 + round((percent_of_most - DARK_UP_TO) * 16 / (100 - DARK_UP_TO))


# --- By group, number, provider, disposition -------------------------------------------------------------------------


def _parts(asked: Asked, source: Source) -> list[dict[str, Any]]:
    numbers = {one.number: one.label_and_number for one in asked.numbers}
    groups = {pk: group.name for pk, group in asked.groups.items()}
    people = {pk: person.name for pk, person in asked.people.items()}
    found = []
    if source is not Source.AGENTS:
        nothing = _("Nothing was offered to a skill group in this period.")
        found.append(_part(asked, "skill_group", _("By skill group"), GROUP_COLUMNS, groups, _("Unknown groups"), nothing))
    if source is Source.CALLS:
        nothing = _("No calls in this period.")
        found += [
            _part(asked, "service_number", _("By service number"), CALL_COLUMNS, numbers, _("No service number"), nothing),
            _part(asked, "provider", _("By telecom provider"), CALL_COLUMNS, None, _("Not known"), nothing),
            _part(asked, "disposition", _("By disposition"), CALL_COLUMNS, None, _("None given"), nothing),
        ]
    if source is Source.AGENTS and asked.filters.agent is None:
        found.append(_part(asked, "agent", _("By agent"), TILES[Source.AGENTS], people, _("Unknown agents"), ""))
    return [part for part in found if part is not None]


def _part(
    asked: Asked,
    name: str,
    title: str,
    columns: Sequence[str],
    names: Mapping[Any, str] | None,
    nobody: str,
    nothing: str,
) -> dict[str, Any] | None:
    """A table by one dimension. `names`: those of the account's rows; None: the values are texts themselves."""
    metrics = [METRICS[column] for column in columns]
    dimensions = {name, *asked.filters.narrowed}
    if not all(reports.is_counted(metric.source, dimensions, actor=asked.user) for metric in metrics):
        return None
    rows = []
    for row in breakdowns.by(name, columns, period=asked.period, **asked.scope):
        value = row.values[name]
        is_known = bool(value) and (names is None or value in names)
        records = _records_behind(asked, name, value) if is_known else None
        rows.append(
            {
                "name": (value if names is None else names.get(value, value if isinstance(value, str) else "")) or nobody,
                "link": records.of_days(asked.period) if records else "",
                "values": [
                    (
                        shown(metric.unit, row.figures[metric.name]),
                        records.of_metric(metric.name, asked.period) if records else "",
                    )
                    for metric in metrics
                ],
            }
        )
    return {"title": title, "heading": reports.DIMENSIONS[name], "columns": metrics, "rows": rows, "nothing": nothing}


def _records_behind(asked: Asked, name: str, value: Any) -> Records:
    if name == "skill_group":
        return asked.records_of(skill_group=asked.groups[value])
    if name == "agent":
        return asked.records_of(agent=asked.people[value])
    return asked.records_of(**{name: value})


def _is_empty(user: Any, figures: Figures) -> bool:
    """Whether nothing was ever counted or received: a portal that waits for its first call."""
    if figures["calls"] or figures["offered"]:
        return False
    account = user.account
    return not (CallInterval.objects.for_account(account).exists() or CallEvent.objects.for_account(account).exists())
