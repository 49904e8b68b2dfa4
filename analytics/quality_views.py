"""The dashboard of quality: how callers rated, and the calls that deserve to be listened to."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from analytics import asked as asking
from analytics import quality, reports, saved_views
from analytics.asked import Asked
from analytics.metrics import METRICS, Source
from analytics.periods import Period
from analytics.records import SHORT
from analytics.reports import Step
from analytics.views import tiles_of
from analytics.wording import percent
from callcenter_site.durations import clock
from calls.models import Call
from configuration.access import SEE_RECORDINGS
from configuration.models import Keyword

MAX_DAYS = 92
"""Single calls are looked at for so many days."""
TILES = {
    Source.CALLS: ("satisfaction", "csat", "ratings", "response_rate"),
    Source.AGENTS: ("agent_satisfaction", "agent_csat", "agent_ratings", "agent_response_rate"),
}
TREND = {Source.CALLS: ("ratings", "csat"), Source.AGENTS: ("agent_ratings", "agent_csat")}


def page(request: HttpRequest) -> HttpResponse:
    asked = asking.read(request)
    source = Source.CALLS if reports.applies(Source.CALLS, **asked.scope) else Source.AGENTS
    steps = reports.series(period=asked.period, step=asked.step, **asked.scope)
    figures = reports.figures(reports.total(steps), **asked.scope)
    before = reports.summary(period=asked.before, **asked.scope)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Quality"),
        "page": "quality",
        **asked.shown(),
        "saved": saved_views.menu_for(request, "quality"),
        "steps": asked.steps(),
        "step": asked.step,
        "tiles": tiles_of(asked, TILES[source], figures, before) if reports.applies(source, **asked.scope) else [],
        "trend": _trend(asked, steps, source),
        "may_see": asked.records.may_see,
    }
    if asked.records.may_see:
        context |= _lists(asked)
    return render(request, "analytics/quality.html", context)


def _trend(asked: Asked, steps: list[Step], source: Source) -> dict[str, Any]:
    given, satisfied = (METRICS[name] for name in TREND[source])
    shares = [satisfied.value(step.sums.of(source)) for step in steps]
    links = [asked.records.between(step.start, step.end, rating="given") for step in steps]
    return {
        "labels": [step.label for step in steps],
        "datasets": [
            {
                "type": "bar",
                "label": str(given.label),
                "data": [given.value(step.sums.of(source)) for step in steps],
                "color": "base",
                "links": links,
            },
            {
                "type": "line",
                "label": str(satisfied.label),
                "data": [percent(share) for share in shares],
                "color": "accent",
                "axis": "percent",
                "links": links,
            },
        ],
    }


def _lists(asked: Asked) -> dict[str, Any]:
    period = quality.longest_period(asked.period, MAX_DAYS)
    calls, account_id = quality.calls_of(asked.user, period, asked.filters), asked.user.account_id
    given = quality.scores(calls)
    low_to = max((one.score for one in given if one.is_low), default=None)
    n_short, short = quality.short_answered(calls, account_id=account_id)
    n_held, held = quality.long_held(calls, account_id=account_id)
    of_days = asked.records.of_days
    lists = [
        {
            "title": _("Low ratings"),
            "n": sum(one.n for one in given if one.is_low),
            "rows": [
                _call(asked, call, f"{call.rating_score:g} / {call.rating_scale or 5}")
                for call in quality.low_rated(calls, given)
            ],
            "heading": _("Rating"),
            "link": of_days(period, rating_to=f"{low_to:g}") if low_to is not None else "",
            "nothing": _("No low rating in this period."),
        },
        {
            "title": _("Answered, and over within ten seconds"),
            "n": n_short,
            "rows": [_call(asked, call, clock(call.talk_seconds)) for call in short],
            "heading": _("Talk"),
            "link": of_days(period, **SHORT) if n_short else "",
            "nothing": _("No answered call was over so soon."),
        },
        {
            "title": _("On hold for two minutes or more"),
            "n": n_held,
            "rows": [_call(asked, call, clock(call.hold_seconds)) for call in held],
            "heading": _("Hold"),
            "link": of_days(period, hold_from=str(quality.LONG_HOLD_SECONDS)) if n_held else "",
            "nothing": _("Nobody was held for so long."),
        },
    ]
    severities = dict(Keyword.Severity.choices)
    return {
        "is_cut": period != asked.period,
        "looked_at": asking.period_text(period),
        "scores": _scores_chart(asked, period, given),
        "lists": lists,
        "phrases": [
            {
                **one,
                "severity_text": severities.get(one["severity"], one["severity"]),
                "link": of_days(period, keyword=one["phrase"], keyword_severity=one["severity"]),
            }
            for one in quality.phrases(calls, account_id=account_id, period=period)
        ],
    }


def _scores_chart(asked: Asked, period: Period, given: list[quality.Score]) -> dict[str, Any]:
    return {
        "labels": [f"{one.score:g} / {one.scale}" for one in given],
        "datasets": [
            {
                "type": "bar",
                "label": _("Calls"),
                "data": [one.n for one in given],
                "color": "primary",
                "links": [
                    asked.records.of_days(period, rating_from=f"{one.score:g}", rating_to=f"{one.score:g}") for one in given
                ],
            }
        ],
    }


def _call(asked: Asked, call: Call, said: str) -> dict[str, Any]:
    return {
        "link": reverse("admin:calls_call_change", args=[call.pk]),
        "started": timezone.localtime(call.started_at, asked.period.zone),
        "agent": call.agent.name if call.agent else "",
        "group": call.skill_group.name if call.skill_group else "",
        "said": said,
        "is_heard": call.has_recording and asked.user.has_perm(SEE_RECORDINGS),
    }
