"""What the page of an agent says of their calls: a day as a strip drawn to scale, and their latest records."""

import datetime as dt
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from agents.admin.panels import Panel
from agents.models import Agent
from callcenter_site.audit import Look, log_look
from callcenter_site.durations import spoken
from calls import masking
from calls.activity import Activity, Stretch, activity_of
from calls.models import Call, CallLeg

RECORDS_SHOWN = 10
_LEGS_LOOKED_AT = 4 * RECORDS_SHOWN
"""Several legs may be of one call, and some of calls the asker does not see."""
_FIRST_DAY = dt.date(2000, 1, 1)


def day_strip(request: HttpRequest, agent: Agent) -> dict[str, Any]:
    user: Any = request.user
    zone, at = user.account.zone, timezone.now()
    today = at.astimezone(zone).date()
    day = _day_asked_for(request.GET.get("day", ""), today)
    start, end = (dt.datetime.combine(one, dt.time(), zone).astimezone(dt.UTC) for one in (day, day + dt.timedelta(days=1)))
    stretches = activity_of(account=user.account, agent_ids=[agent.pk], start=start, end=end, at=at)[agent.pk]
    return {
        "agent": agent,
        "day": day,
        "before": day - dt.timedelta(days=1) if day > _FIRST_DAY else None,
        "after": day + dt.timedelta(days=1) if day < today else None,
        "today": today,
        "is_today": day == today,
        "zone": user.account.time_zone,
        "bands": [_band(one, start, end) for one in stretches],
        "ticks": _ticks(start, end, zone),
        "now": _percent(at, start, end) if start <= at < end else None,
        "totals": _totals(stretches),
        "was_online": any(one.state != Activity.OFFLINE for one in stretches),
        "may_open_calls": user.has_perm("calls.view_call"),
    }


def _day_asked_for(text: str, today: dt.date) -> dt.date:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        return today
    return min(max(day, _FIRST_DAY), today)


def _band(one: Stretch, start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    left = _percent(one.started_at, start, end)
    return {
        "row": one,
        "label": Activity(one.state).label,
        "left": f"{left:.4f}",
        "width": f"{_percent(one.ended_at, start, end) - left:.4f}",
        "length": spoken(one.seconds),
    }


def _ticks(start: dt.datetime, end: dt.datetime, zone: dt.tzinfo) -> list[dict[str, Any]]:
    """Every third hour of the clock. A day on which clocks change has one hour more or less, and is drawn so."""
    hours = (start + dt.timedelta(hours=n) for n in range(round((end - start).total_seconds() / 3600)))
    local = [moment.astimezone(zone) for moment in hours]
    return [
        {"left": f"{_percent(moment, start, end):.4f}", "text": f"{moment:%H:%M}"}
        for moment, before in zip(local, [None, *local], strict=False)
        if moment.hour % 3 == 0 and (before is None or before.hour != moment.hour)
    ]


def _percent(moment: dt.datetime, start: dt.datetime, end: dt.datetime) -> float:
    return (moment.astimezone(dt.UTC) - start) / (end - start) * 100


def _totals(stretches: list[Stretch]) -> list[dict[str, Any]]:
    """Every state there was, in one order, with its length: the legend of the strip."""
    seconds: dict[str, float] = {}
    for one in stretches:
        seconds[one.state] = seconds.get(one.state, 0) + one.seconds
    return [{"state": one.value, "label": one.label, "length": spoken(seconds[one])} for one in Activity if one in seconds]


def latest_records(request: HttpRequest, agent: Agent) -> dict[str, Any]:
    user: Any = request.user
    legs = CallLeg.objects.for_account(user.account_id).filter(agent=agent).order_by("-offered_at", "-pk")
    call_ids = list(dict.fromkeys(legs.values_list("call_id", flat=True)[:_LEGS_LOOKED_AT]))
    calls = Call.objects.visible_to(user).filter(pk__in=call_ids).select_related("skill_group").order_by("-started_at", "-pk")
    whole = masking.sees_numbers(user)
    rows = [
        {"row": call, "customer": masking.shown(masking.customer_number(call), whole=whole)} for call in calls[:RECORDS_SHOWN]
    ]
    if whole:
        log_look(Look.NUMBERS, Call, [row["row"].pk for row in rows], actor=user, place="agent")
    return {"agent": agent, "records": rows}


PANELS = [
    Panel("agents.view_statuschange", "admin/calls/agent/strip.html", day_strip, is_before_form=True),
    Panel("calls.view_call", "admin/calls/agent/records.html", latest_records),
]
