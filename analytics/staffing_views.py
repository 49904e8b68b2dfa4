"""The staffing calculator: what a load asks for, and what one agent more or less would change."""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agents.models import SkillGroup
from analytics import staffing
from analytics.asked import watcher
from analytics.forecast import target_of, work_of
from analytics.metrics import Unit
from analytics.models import GroupTotal
from analytics.periods import half_hour_of
from analytics.staffing import Aim, Load, Service
from analytics.wording import NOTHING, percent, shown

FEWER, MORE = 3, 5
"""Agents below and above the number needed that the table shows."""
SEEN_DAYS = 28
PERIODS = ((15, gettext_lazy("15 minutes")), (30, gettext_lazy("30 minutes")), (60, gettext_lazy("60 minutes")))
_START: dict[str, Any] = {
    "calls": 100,
    "minutes": 30,
    "handle": 180,
    "level": 80,
    "target": 20,
    "occupancy": 90,
    "shrinkage": 30,
    "patience": None,
}


class CalculatorForm(forms.Form):
    """Bounds keep an answer quick: what lies beyond is no call center."""

    calls = forms.FloatField(label=gettext_lazy("Calls"), min_value=0, max_value=20_000)
    minutes = forms.TypedChoiceField(label=gettext_lazy("In"), choices=PERIODS, coerce=int)
    handle = forms.FloatField(label=gettext_lazy("Handle time (s)"), min_value=1, max_value=7200)
    level = forms.FloatField(label=gettext_lazy("Service level (%)"), min_value=1, max_value=99.9)
    target = forms.FloatField(label=gettext_lazy("within (s)"), min_value=0, max_value=3600)
    occupancy = forms.FloatField(label=gettext_lazy("Occupancy at most (%)"), min_value=10, max_value=100)
    shrinkage = forms.FloatField(label=gettext_lazy("Shrinkage (%)"), min_value=0, max_value=90)
    patience = forms.FloatField(label=gettext_lazy("Patience (s)"), min_value=1, max_value=3600, required=False)


def calculator(request: HttpRequest) -> HttpResponse:
    user = watcher(request)
    rows = SkillGroup.objects.visible_to(user).select_related("account").only("pk", "name", "service_level_seconds", "account")
    groups = list(rows.order_by("name"))
    group = next((one for one in groups if str(one.pk) == request.GET.get("skill_group", "")), None)
    seen = what_was_seen(group, at=timezone.now()) if group else {}
    # A group chosen alone fills the fields in; a whole form is worked out as it was typed.
    typed = {name: request.GET[name] for name in CalculatorForm.base_fields if name in request.GET}
    form = CalculatorForm(_START | {"target": target_of(group, user.account)} | seen | typed)
    context = {
        **admin.site.each_context(request),
        "title": _("Staffing calculator"),
        "form": form,
        "groups": groups,
        "group": group,
        "was_seen": bool(seen),
        "result": _result(form.cleaned_data) if form.is_valid() else None,
    }
    return render(request, "analytics/staffing.html", context)


def what_was_seen(group: SkillGroup, *, at: dt.datetime) -> dict[str, Any]:
    """Handle time, patience and the busiest half hour of a usual day, of the last four weeks; empty without calls."""
    rows = GroupTotal.objects.for_account(group.account_id).filter(
        skill_group=group, slot__gte=at - dt.timedelta(days=SEEN_DAYS), slot__lt=at
    )
    work = work_of(rows)
    if work is None:
        return {}
    by_day: dict[tuple[dt.date, int], int] = {}
    zone = group.account.zone
    for slot, n in rows.order_by().values_list("slot", F("n_entries") + F("n_at_once")):
        local = slot.astimezone(zone)
        half_hour = (local.date(), half_hour_of(local))
        by_day[half_hour] = by_day.get(half_hour, 0) + n
    n_days = len({day for day, _half in by_day})
    usual: dict[int, int] = {}
    for (_day, half), n in by_day.items():
        usual[half] = usual.get(half, 0) + n
    return {
        "calls": round(max(usual.values()) / n_days, 1),
        "minutes": 30,
        "handle": round(work.handle_seconds, 1) or 1,
        "patience": min(3600, max(1, round(work.patience_seconds))) if work.patience_seconds else None,
    }


def _result(given: dict[str, Any]) -> dict[str, Any]:
    load = Load(given["calls"], given["minutes"] * 60, given["handle"])
    aim = Aim(
        service_level=given["level"] / 100,
        target_seconds=given["target"],
        most_occupancy=given["occupancy"] / 100,
        shrinkage=given["shrinkage"] / 100,
    )
    patience = given["patience"]
    try:
        needed = staffing.required(load, aim=aim, patience_seconds=patience)
    except ValueError:
        return {"is_too_large": True, "most": staffing.MOST_AGENTS}
    services = [
        staffing.serve(load, agents=n, aim=aim, patience_seconds=patience)
        for n in range(max(1, needed - FEWER), max(1, needed) + MORE + 1)
    ]
    return {
        "needed": needed,
        "scheduled": staffing.scheduled(needed, shrinkage=aim.shrinkage),
        "erlangs": shown(Unit.SCORE, load.erlangs),
        "has_patience": patience is not None,
        "rows": [_row(service, needed) for service in services],
        "chart": _chart(services),
    }


def _row(service: Service, needed: int) -> dict[str, Any]:
    return {
        "agents": service.agents,
        "is_needed": service.agents == needed,
        "is_stable": service.is_stable,
        "values": [
            shown(Unit.RATIO, service.service_level),
            shown(Unit.SECONDS, service.asa_seconds),
            shown(Unit.RATIO, service.occupancy),
            NOTHING if service.queue is None else shown(Unit.SCORE, service.queue),
            shown(Unit.RATIO, service.wait_probability),
            shown(Unit.RATIO, service.abandonment_rate),
        ],
    }


def _chart(services: list[Service]) -> dict[str, Any]:
    return {
        "labels": [str(service.agents) for service in services],
        "datasets": [
            {
                "type": "bar",
                "label": _("Average speed of answer (s)"),
                "data": [None if service.asa_seconds is None else round(service.asa_seconds, 1) for service in services],
                "color": "base",
            },
            {
                "type": "line",
                "label": _("Service level"),
                "data": [percent(service.service_level) for service in services],
                "color": "primary",
                "axis": "percent",
            },
            {
                "type": "line",
                "label": _("Occupancy"),
                "data": [percent(service.occupancy) for service in services],
                "color": "accent",
                "axis": "percent",
            },
        ],
    }
