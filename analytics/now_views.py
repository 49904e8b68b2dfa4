"""The page of what goes on now, and the figures it is kept current with."""

import datetime as dt
from collections import defaultdict
from typing import Any

from django.contrib import admin
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from agents.models import Agent, SkillGroup, Status
from analytics import live, now_choice, saved_views
from analytics.asked import watcher
from analytics.metrics import METRICS, Source
from analytics.models import CallTotal, GroupTotal
from analytics.periods import half_hour_of
from analytics.reports import Filters, applies
from callcenter_site.slots import SLOT, day_bounds, slots_between
from callcenter_site.streams import stream_link, view_topic
from configuration.access import SEE_AGENTS

WEEKS_USUAL = 4
CURVE_KEPT_SECONDS = 300
GROUP_COLUMNS = (
    ("in_queue", gettext_lazy("In queue")),
    ("ringing", gettext_lazy("Ringing")),
    ("talking", gettext_lazy("Talking")),
    ("longest_wait_seconds", gettext_lazy("Longest wait")),
    ("available", gettext_lazy("Available")),
    ("staffed", gettext_lazy("Staffed")),
    ("service_level_rolling", gettext_lazy("Service level, 30 min")),
    ("service_level_today", gettext_lazy("Service level today")),
    ("offered_today", gettext_lazy("Offered today")),
    ("answered_today", gettext_lazy("Answered today")),
    ("abandoned_today", gettext_lazy("Abandoned today")),
)


def now(request: HttpRequest) -> HttpResponse:
    user = watcher(request)
    at = timezone.now()
    scope = live.scope_of(user)
    told = _told(user, scope)
    chosen = now_choice.read(request)
    groups = told["skill_groups"]
    people = _people(user) if user.has_perm(SEE_AGENTS) else []
    context = {
        **admin.site.each_context(request),
        "title": _("Now"),
        "live": told,
        "activities": [{"name": name, "label": label, "n": told["agents"][name]} for name, label in live.ACTIVITIES.items()],
        "group_columns": GROUP_COLUMNS,
        "groups": [one for one in groups if not chosen.group_ids or one["skill_group"] in chosen.group_ids],
        "group_choices": [(one["skill_group"], one["name"], one["skill_group"] in chosen.group_ids) for one in groups],
        "is_chosen": bool(chosen.group_ids),
        "activity": chosen.activity,
        "errors": chosen.errors,
        "saved": saved_views.menu_for(request, "now"),
        "people": people,
        "sees_people": user.has_perm(SEE_AGENTS),
        "sees_status": user.has_perm("agents.view_statuschange"),
        "told": {
            "figures": told,
            "activities": {name: str(label) for name, label in live.ACTIVITIES.items()},
            "levels": _levels(user),
        },
        "curve": today_and_usual(user, scope, at=at),
        "zone": user.account.time_zone,
    }
    return render(request, "analytics/now.html", context)


@never_cache
def figures(request: HttpRequest) -> HttpResponse:
    """What the page shows, and the link at which it hears of the next. Asked for again whenever that ends."""
    user = watcher(request)
    scope = live.scope_of(user)
    told = _told(user, scope)
    topic = view_topic(scope.account_id, live.view_of(scope, with_people=user.has_perm(SEE_AGENTS)))
    body = live.as_json({"figures": told, "link": stream_link([topic])})
    return HttpResponse(body, content_type="application/json")


def _levels(user: Any) -> dict[str, tuple[float, float]]:
    """From which service level a group is shown as doing well, and below which as doing badly. Under "": the account."""
    groups = SkillGroup.objects.visible_to(user).select_related("account").only("level_good", "level_poor", "account")
    account = user.account
    shown = {"": (account.level_good, account.level_poor)} | {str(group.pk): group.levels for group in groups}
    return {name: (good / 100, poor / 100) for name, (good, poor) in shown.items()}


def _told(user: Any, scope: live.Scope) -> dict[str, Any]:
    told = live.answer(live.seen(scope))
    if not user.has_perm(SEE_AGENTS):
        del told["people"]
    return told


def _people(user: Any) -> list[dict[str, Any]]:
    """Names for the list of agents; what they do comes with the figures, by their ids."""
    rows = Agent.objects.visible_to(user).filter(is_active=True).only("pk", "staff_id", "name", "nickname", "status")
    return [
        {"id": agent.pk, "name": agent.name, "staff_id": agent.staff_id, "is_offline": agent.status == Status.OFFLINE}
        for agent in rows.order_by("staff_id")
    ]


# --- Today beside a usual day ----------------------------------------------------------------------------------------


def today_and_usual(user: Any, scope: live.Scope, *, at: dt.datetime) -> dict[str, Any]:
    """Calls of each half hour of today, and the mean of the last four same weekdays; of queues for who sees only groups."""
    key = f"live-curve:{live.view_of(scope, with_people=False)}:{user.account_id}"
    by_calls = applies(Source.CALLS, actor=user, filters=Filters())
    zone = user.account.zone
    today = at.astimezone(zone).date()
    usual: dict[str, Any] | None = cache.get(key)
    if usual is None or usual["day"] != today:
        days = [today - dt.timedelta(weeks=n) for n in range(1, WEEKS_USUAL + 1)]
        past = [counts for counts in (_by_half_hour(user, day, by_calls) for day in days) if sum(counts.values())]
        sums: defaultdict[int, float] = defaultdict(float)
        for counts in past:
            for half, n in counts.items():
                sums[half] += n / len(past)
        usual = {"day": today, "by_half_hour": dict(sums), "n_days": len(past)}
        cache.set(key, usual, CURVE_KEPT_SECONDS)
    here = _by_half_hour(user, today, by_calls)
    passed = half_hour_of(at.astimezone(zone))
    metric = METRICS["calls" if by_calls else "offered"]
    return {
        "labels": [f"{half // 2:02}:{half % 2 * 30:02}" for half in range(48)],
        "n_days": usual["n_days"],
        "datasets": [
            {
                "type": "bar",
                "label": _("%(what)s today") % {"what": metric.label},
                "data": [here.get(half, 0) if half <= passed else None for half in range(48)],
                "color": "primary",
            },
            {
                "type": "line",
                "label": _("usual on this weekday"),
                "data": [round(usual["by_half_hour"].get(half, 0), 1) if usual["n_days"] else None for half in range(48)],
                "color": "accent",
            },
        ],
    }


def _by_half_hour(user: Any, day: dt.date, by_calls: bool) -> dict[int, int]:
    """By wall time: the hour that comes twice counts as one, one that is left out has nothing."""
    zone = user.account.zone
    start, end = day_bounds(day, zone)
    model: Any = CallTotal if by_calls else GroupTotal
    rows = model.objects.visible_to(user).within(start, end).order_by()
    metric = METRICS["calls" if by_calls else "offered"]
    counts: dict[int, int] = dict.fromkeys(
        {half_hour_of(slot.astimezone(zone)) for slot in slots_between(start, end - SLOT / 2)}, 0
    )
    for slot, *values in rows.values_list("slot", *metric.top):
        counts[half_hour_of(slot.astimezone(zone))] += sum(values)
    return counts
