"""The dashboard of agents: each one's day as a strip, all of them side by side by any of their figures, and one of them over
time."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from agents.models import Agent
from analytics import asked as asking
from analytics import reports, saved_views
from analytics.asked import Asked
from analytics.metrics import CATALOGUE, METRICS, Metric, Source
from analytics.reports import Filters, Question, Row, Step
from analytics.views import TILES, tiles_of
from analytics.wording import shown
from callcenter_site.durations import spoken
from callcenter_site.slots import day_bounds
from calls.activity import Activity, Stretch, activity_in, activity_of

OF_AGENTS = {metric.name: metric for metric in CATALOGUE if metric.source is Source.AGENTS}
COLUMNS = (
    "calls_taken",
    "agent_answer_rate",
    "agent_aht",
    "online_time",
    "occupancy",
    "not_taken",
    "agent_satisfaction",
    "short_calls",
)
"""Unless others are chosen."""
MOST_COLUMNS = 12
PAGE = 50
STRIP_DAYS = 7
"""Days of an agent's page that are drawn as strips."""
STRIP_WIDTH = 1440.0


def agents(request: HttpRequest) -> HttpResponse:
    asked = asking.read(request)
    columns, order_by = _columns(request, asked), _order(asked)
    if order_by.removeprefix("-") not in {one.name for one in columns}:
        order_by = f"-{columns[0].name}"
    number = _page(asked)
    narrowed = {"agent": (asked.filters.agent.pk,)} if asked.filters.agent else {}
    cursor = (0, (number - 1) * PAGE)
    question = Question(
        tuple(columns), asked.period, by=("agent",), narrowed=narrowed, order_by=order_by, limit=PAGE, cursor=cursor
    )
    answer = reports.query(question, actor=asked.user)
    ids = [row.values["agent"] for row in answer.rows if row.values["agent"] is not None]
    people = {person.pk: person for person in Agent.objects.visible_to(asked.user).filter(pk__in=ids)}
    context = {
        **admin.site.each_context(request),
        "title": _("Agents"),
        "page": "agents",
        "kept_parameters": ["sort"],
        **asked.shown(),
        "saved": saved_views.menu_for(request, "agents"),
        "columns": [_heading(asked, metric, order_by) for metric in columns],
        "choices": [(metric, metric in columns) for metric in OF_AGENTS.values()],
        "most_columns": MOST_COLUMNS,
        "rows": [_row(asked, row, columns, people.get(row.values["agent"])) for row in answer.rows],
        "number": number,
        "earlier": asked.address({"page": str(number - 1)}) if number > 1 else "",
        "later": asked.address({"page": str(number + 1)}) if answer.next else "",
        **_strips(asked, list(people.values()) if answer.rows else _some_people(asked)),
    }
    return render(request, "analytics/agents.html", context)


def _some_people(asked: Asked) -> list[Agent]:
    return asked.agents[:PAGE]


def _columns(request: HttpRequest, asked: Asked) -> list[Metric]:
    names = list(dict.fromkeys(request.GET.getlist("column")))
    unknown = [name for name in names if name not in OF_AGENTS]
    if unknown:
        asked.errors.append(_("There is no figure of agents called %(name)s.") % {"name": unknown[0][:40]})
    known = [OF_AGENTS[name] for name in names if name in OF_AGENTS]
    if len(known) > MOST_COLUMNS:
        asked.errors.append(_("Choose at most %(n)d figures.") % {"n": MOST_COLUMNS})
    return known[:MOST_COLUMNS] or [OF_AGENTS[name] for name in COLUMNS]


def _order(asked: Asked) -> str:
    order_by = asked.query.get("sort", f"-{COLUMNS[0]}")
    if order_by.removeprefix("-") not in OF_AGENTS:
        asked.errors.append(_("There is no figure of agents called %(name)s.") % {"name": order_by[:40]})
        return f"-{COLUMNS[0]}"
    return order_by


def _page(asked: Asked) -> int:
    text = asked.query.get("page", "1")
    return int(text) if text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 10_000 and len(text) <= 5 else 1


def _heading(asked: Asked, metric: Metric, order_by: str) -> dict[str, Any]:
    is_down, is_up = order_by == f"-{metric.name}", order_by == metric.name
    return {
        "metric": metric,
        "sorted": "descending" if is_down else "ascending" if is_up else "none",
        "link": asked.address({"sort": metric.name if is_down else f"-{metric.name}"}, without=("page",)),
    }


def _row(asked: Asked, row: Row, columns: list[Metric], person: Agent | None) -> dict[str, Any]:
    records = asked.records_of(agent=person) if person is not None else None
    return {
        "person": person,
        "link": _agent_link(asked, person.pk) if person is not None else "",
        "values": [
            (
                shown(metric.unit, row.figures[metric.name]),
                records.of_metric(metric.name, asked.period) if records is not None else "",
            )
            for metric in columns
        ],
    }


def _agent_link(asked: Asked, pk: int) -> str:
    return reverse("analytics:agent", args=[pk]) + asked.carried_without("agent")


# --- The day as a strip ----------------------------------------------------------------------------------------------


def _strips(asked: Asked, people: list[Agent]) -> dict[str, Any]:
    """What each of them did on the last day of the period, or today if that is to come."""
    day = min(asked.period.last, asked.at.astimezone(asked.period.zone).date())
    start, end = day_bounds(day, asked.period.zone)
    found = activity_of(account=asked.user.account, agent_ids=[person.pk for person in people], start=start, end=end, at=asked.at)
    strips = [
        {
            "person": person,
            "link": f"{_agent_link(asked, person.pk)}",
            **strip_of(found[person.pk], start, end),
        }
        for person in people
    ]
    return {
        "day": day,
        "strips": [one for one in strips if one["was_there"]],
        "n_away": sum(not one["was_there"] for one in strips),
        "ticks": _ticks(start, end, asked.period.zone),
        "states": [(one.value, one.label) for one in Activity if one is not Activity.OFFLINE],
    }


def strip_of(stretches: Iterable[Stretch], start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    """One path for each state, so that a day of many short calls stays a small picture."""
    seconds: dict[str, float] = {}
    paths: dict[str, list[str]] = {}
    scale = STRIP_WIDTH / (end - start).total_seconds()
    for one in stretches:
        seconds[one.state] = seconds.get(one.state, 0) + one.seconds
        if one.state != Activity.OFFLINE:
            left = (one.started_at.astimezone(dt.UTC) - start).total_seconds() * scale
            paths.setdefault(one.state, []).append(f"M{left:.1f} 0h{max(one.seconds * scale, 0.3):.1f}v20H{left:.1f}z")
    there = [(state, seconds[state]) for state in Activity if state in seconds and state != Activity.OFFLINE]
    return {
        "was_there": bool(there),
        "paths": [(str(state), "".join(paths[state])) for state in paths],
        "said": ", ".join(f"{Activity(state).label} {spoken(length)}" for state, length in there),
    }


def _ticks(start: dt.datetime, end: dt.datetime, zone: dt.tzinfo) -> list[dict[str, Any]]:
    """Every third hour of the clock; a day on which clocks change is drawn as long as it is."""
    hours = [start + dt.timedelta(hours=n) for n in range(int((end - start).total_seconds()) // 3600)]
    return [
        {"left": f"{(moment - start) / (end - start) * 100:.3f}", "text": f"{moment.astimezone(zone):%H:%M}"}
        for moment in hours
        if moment.astimezone(zone).hour % 3 == 0
    ]


# --- One agent -------------------------------------------------------------------------------------------------------


def agent(request: HttpRequest, pk: int) -> HttpResponse:
    asked = asking.read(request)
    person = Agent.objects.visible_to(asked.user).filter(pk=pk).first()
    if person is None:
        raise Http404
    asked.filters = Filters(agent=person)
    steps = reports.series(period=asked.period, step=asked.step, **asked.scope)
    figures = reports.figures(reports.total(steps), **asked.scope)
    before = reports.summary(period=asked.before, **asked.scope)
    context = {
        **admin.site.each_context(request),
        "title": person.name,
        "page": "agents",
        "is_one_agent": True,
        **asked.shown(),
        "person": person,
        "person_link": reverse("admin:agents_agent_change", args=[pk]) if asked.user.has_perm("agents.view_agent") else "",
        "records_link": asked.records.of_days(asked.period),
        "steps": asked.steps(),
        "step": asked.step,
        "tiles": tiles_of(asked, TILES[Source.AGENTS], figures, before),
        "chart": _time_chart(asked, steps),
        "all_figures": [
            (metric, shown(metric.unit, figures[metric.name]), asked.records.of_metric(metric.name, asked.period))
            for metric in OF_AGENTS.values()
        ],
        "days": _days_of(asked, person),
    }
    return render(request, "analytics/agent.html", context)


_STATES = (
    ("on_call_time", "primary"),
    ("acw_time", "accent"),
    ("ringing_time", "ringing"),
    ("available_time", "good"),
    ("not_ready_time", "bad"),
    ("break_time", "break"),
)


def _time_chart(asked: Asked, steps: list[Step]) -> dict[str, Any]:
    """Minutes in each state, on top of one another."""
    return {
        "labels": [step.label for step in steps],
        "datasets": [
            {
                "type": "bar",
                "label": str(METRICS[name].label),
                "data": [round((METRICS[name].value(step.sums.agents) or 0) / 60, 1) for step in steps],
                "color": color,
                "stack": "time",
                "links": [asked.records.between(step.start, step.end) for step in steps],
            }
            for name, color in _STATES
        ],
    }


def _days_of(asked: Asked, person: Agent) -> list[dict[str, Any]]:
    """The last days of the period as strips, the latest first."""
    last = min(asked.period.last, asked.at.astimezone(asked.period.zone).date())
    days = [last - dt.timedelta(days=n) for n in range(STRIP_DAYS) if last - dt.timedelta(days=n) >= asked.period.first]
    windows = [day_bounds(day, asked.period.zone) for day in days]
    found = activity_in(account=asked.user.account, agent_ids=[person.pk], windows=windows, at=asked.at)
    return [
        {"day": day, "ticks": _ticks(start, end, asked.period.zone), **strip_of(doings[person.pk], start, end)}
        for day, (start, end), doings in zip(days, windows, found, strict=True)
    ]
