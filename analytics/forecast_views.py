"""The page of next week's calls and of the agents they ask for."""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from agents.models import SkillGroup
from analytics import forecast
from analytics.asked import watcher
from analytics.forecast import Forecast, HalfHour
from analytics.metrics import Unit
from analytics.models import GroupTotal
from analytics.wording import NOTHING, shown
from callcenter_site import sheets
from callcenter_site.audit import log_export


class AimForm(forms.Form):
    level = forms.FloatField(label=gettext_lazy("Service level (%)"), min_value=1, max_value=99.9)
    occupancy = forms.FloatField(label=gettext_lazy("Occupancy at most (%)"), min_value=10, max_value=100)
    shrinkage = forms.FloatField(label=gettext_lazy("Shrinkage (%)"), min_value=0, max_value=90)


def next_week(request: HttpRequest) -> HttpResponseBase:
    user = watcher(request)
    groups = list(SkillGroup.objects.visible_to(user).filter(is_active=True).select_related("account").order_by("name"))
    group = next((one for one in groups if str(one.pk) == request.GET.get("skill_group", "")), groups[0] if groups else None)
    form = AimForm(forecast.START | {name: request.GET[name] for name in forecast.START if name in request.GET})
    found = forecast.kept(group, at=timezone.now(), **form.cleaned_data) if group is not None and form.is_valid() else None
    kind = request.GET.get("download", "")
    if found is not None and group is not None and kind in ("csv", "xlsx"):
        return _download(request, group, found, kind)
    context = {
        **admin.site.each_context(request),
        "title": _("Forecast"),
        "groups": groups,
        "group": group,
        "form": form,
        "found": found,
        "days": _days(found) if found else [],
        "chart": _chart(found) if found else None,
        "error": _error(found) if found else None,
        "handle": shown(Unit.SECONDS, found.handle_seconds) if found else "",
        "patience": shown(Unit.SECONDS, found.patience_seconds) if found else "",
        "has_history": bool(found and any(one.calls is not None for one in found.half_hours)),
        "zone": user.account.time_zone,
        "query": request.GET.urlencode(),
    }
    return render(request, "analytics/forecast.html", context)


def _open(found: Forecast) -> list[HalfHour]:
    """The half hours between the first and the last in which anybody calls, the same on all days."""
    times = [one.start.time() for one in found.half_hours if one.calls]
    if not times:
        return []
    return [one for one in found.half_hours if min(times) <= one.start.time() <= max(times)]


def _cells(one: HalfHour) -> list[str]:
    gap = None if one.required is None or one.there is None else one.there - one.required
    return [
        NOTHING if one.calls is None else formats.number_format(one.calls, decimal_pos=1),
        NOTHING if one.required is None else str(one.required),
        NOTHING if one.scheduled is None else str(one.scheduled),
        NOTHING if one.there is None else formats.number_format(one.there, decimal_pos=1),
        NOTHING if gap is None else formats.number_format(gap, decimal_pos=1),
    ]


def _days(found: Forecast) -> list[dict[str, Any]]:
    days: dict[dt.date, list[HalfHour]] = {}
    for one in _open(found):
        days.setdefault(one.start.date(), []).append(one)
    return [
        {
            "label": formats.date_format(day, pgettext("date pattern", "l j M")),
            "calls": sum(one.calls or 0 for one in of_day),
            "most": max((one.required or 0 for one in of_day), default=0),
            "rows": [
                {
                    "label": formats.date_format(one.start, "H:i"),
                    "cells": _cells(one),
                    "is_short": one.there is not None and one.required is not None and one.there < one.required - 0.5,
                }
                for one in of_day
            ],
        }
        for day, of_day in days.items()
    ]


def _chart(found: Forecast) -> dict[str, Any]:
    shown_ones = _open(found)
    return {
        "labels": [formats.date_format(one.start, pgettext("date pattern", "D H:i")) for one in shown_ones],
        "datasets": [
            {"type": "bar", "label": _("Calls"), "data": [one.calls for one in shown_ones], "color": "base"},
            {"type": "line", "label": _("Agents needed"), "data": [one.required for one in shown_ones], "color": "primary"},
            {
                "type": "line",
                "label": _("There the week before"),
                "data": [None if one.there is None else round(one.there, 1) for one in shown_ones],
                "color": "accent",
            },
        ],
    }


def _error(found: Forecast) -> dict[str, Any] | None:
    if found.accuracy is None:
        return None
    return {
        "wape": shown(Unit.RATIO, found.accuracy.wape),
        "week_before": shown(Unit.RATIO, found.accuracy.wape_of_week_before),
        "is_better": found.accuracy.wape < found.accuracy.wape_of_week_before,
        "n_days": found.accuracy.n_days,
    }


def _download(request: HttpRequest, group: SkillGroup, found: Forecast, kind: str) -> HttpResponseBase:
    head = [_("Skill group"), _("From"), _("Calls"), _("Agents needed"), _("To put on the rota"), _("There the week before")]
    rows = [
        [
            group.name,
            one.start.isoformat(timespec="minutes"),
            *("" if value is None else round(value, 2) for value in (one.calls, one.required, one.scheduled, one.there)),
        ]
        for one in found.half_hours
    ]
    log_export(GroupTotal, len(rows), actor=request.user, what="forecast")
    name = f"forecast-{found.half_hours[0].start:%Y-%m-%d}.{kind}"
    if kind == "csv":
        content = b"".join(sheets.csv_chunks([head, *rows]))
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(content, content_type=sheets.CSV_TYPE, headers=headers)
    file = sheets.write_xlsx([head, *rows], title=_("Forecast"))
    return FileResponse(file, as_attachment=True, filename=name, content_type=sheets.XLSX_TYPE)
