"""What deserves listening to: ratings, keywords, calls that were over too soon, callers who were held for long.

Read from service records, not from counts, for it leads to single calls; so periods are bounded, and every list is short.
What narrows the lists is what narrows the list of records, so that each leads to the same ones.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from analytics.periods import Period
from analytics.records import SHORT_SECONDS
from analytics.reports import Filters
from calls import narrowing
from calls.models import Call, KeywordHit
from calls.querysets import CallQuerySet

LOW_SHARE = 0.4
"""Scores up to this share of their scale are low: 1 and 2 of 5."""
LONG_HOLD_SECONDS = 120
LISTED = 10
MOST_PHRASES = 15


@dataclass(frozen=True, slots=True)
class Score:
    score: float
    scale: int
    n: int

    @property
    def share(self) -> float:
        return self.score / self.scale if self.scale else 0

    @property
    def is_low(self) -> bool:
        return self.share <= LOW_SHARE


def calls_of(actor: Any, period: Period, filters: Filters) -> CallQuerySet:
    """The service records of a period that somebody sees, narrowed as their list would be."""
    rows = narrowing.listed_for(actor, start=period.start, end=period.end).started_within(period.start, period.end)
    for name in ("direction", "provider", "disposition"):
        if value := getattr(filters, name):
            rows = rows.filter(**{name: value})
    if filters.skill_group is not None:
        rows = rows.filter(skill_group=filters.skill_group)
    if filters.agent is not None:
        rows = rows.filter(agent=filters.agent)
    if filters.service_number:
        rows = narrowing.by_service_number(rows, filters.service_number, account_id=actor.account_id)
    return rows


def scores(calls: CallQuerySet) -> list[Score]:
    """How often each score was given, by scale."""
    rated = calls.filter(rating_asked=True, rating_score__isnull=False).order_by()
    rows = rated.values_list("rating_scale", "rating_score").annotate(n=Count("pk"))
    return sorted((Score(score, scale or 5, n) for scale, score, n in rows), key=lambda one: (one.scale, one.score))


def low_rated(calls: CallQuerySet, given: Iterable[Score]) -> list[Call]:
    """The newest calls with a low score."""
    low: dict[int, list[float]] = defaultdict(list)
    for one in given:
        if one.is_low:
            low[one.scale].append(one.score)
    if not low:
        return []
    rows = calls.filter(rating_asked=True, rating_score__lte=max(max(found) for found in low.values()))
    newest = rows.select_related("agent", "skill_group").order_by("-started_at", "-pk")
    # Another scale's high score may lie under the bound: looked at row by row, of few rows.
    return [call for call in newest[: LISTED * 5] if call.rating_score in low.get(call.rating_scale or 5, ())][:LISTED]


def short_answered(calls: CallQuerySet, *, account_id: int) -> tuple[int, list[Call]]:
    """Answered, and spoken for less than ten seconds; how many, and the newest."""
    return _counted(narrowing.by_seconds(calls, "talk", None, SHORT_SECONDS, account_id=account_id))


def long_held(calls: CallQuerySet, *, account_id: int) -> tuple[int, list[Call]]:
    return _counted(narrowing.by_seconds(calls, "hold", LONG_HOLD_SECONDS, None, account_id=account_id), "-hold_seconds")


def _counted(rows: Any, *order: str) -> tuple[int, list[Call]]:
    found = rows.order_by(*order, "-started_at", "-pk").select_related("agent", "skill_group")
    return narrowing.up_to_few(rows), list(found[:LISTED])


def phrases(calls: CallQuerySet, *, account_id: int, period: Period) -> list[dict[str, Any]]:
    """The keywords that were found in most calls."""
    hits = KeywordHit.objects.for_account(account_id).filter(started_at__gte=period.start, started_at__lt=period.end)
    rows = hits.filter(call__in=calls.order_by().values("pk")).order_by().values("phrase", "category", "severity")
    return list(rows.annotate(n=Count("call", distinct=True)).order_by("-n", "phrase")[:MOST_PHRASES])


def longest_period(period: Period, days: int) -> Period:
    """The last days of a period that is too long to look at call by call."""
    if period.n_days <= days:
        return period
    return Period(period.last - dt.timedelta(days=days - 1), period.last, period.zone)
