"""What the filters of service records mean, for the admin's list, the API and exports alike, and how their rows are found.

A list shows the newest calls first. Where a filter asks for one value of a column, an index gives them in that order. For
all others there are two ways: to walk the calls from the newest on and look at each, which is right where many fit and soon
fill a page; or to seek those that fit by an index of their own and then sort them, which is right where few do. Databases
choose the wrong way often enough, and then read every call there is. So what fits is counted first, up to a bound, and the
other way is closed: a condition inside an expression has no index, and one inside a subquery of ids has.

But for `listed_for`, which says the same as `visible_to`, each function only adds conditions.
"""

import datetime as dt
import re
import zoneinfo
from typing import Any, TypeVar

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact, GreaterThanOrEqual, In, LessThanOrEqual
from django.utils import timezone

from agents.querysets import own_groups, sees_account
from callcenter_site.phone_numbers import canonical
from calls.models import Call, CallSeenBy, Direction, KeywordHit, Outcome
from calls.querysets import CallQuerySet, with_viewer
from configuration.models import Role

FEW = 15_000
"""Up to so many calls are sought and sorted. Of more in a million, a page with its count is found among the newest 70,000,
which takes as long."""
OPEN = "open"

Rows = TypeVar("Rows", bound=CallQuerySet)


def listed_for(actor: Any, *, start: dt.datetime | None = None, end: dt.datetime | None = None) -> CallQuerySet:
    """`visible_to` for a list: the same rows, found in the way that suits how many there are in the time asked for.

    Whose they are is looked up now: this is for the answer being given, `visible_to` for rows that are asked for later.
    """
    if sees_account(actor):
        return Call.objects.visible_to(actor)
    viewers = [actor.pk]
    if getattr(actor, "data_scope", Role.DataScope.OWN) == Role.DataScope.GROUPS:
        viewers += [-pk for pk in own_groups(actor).values_list("skill_group_id", flat=True)]
    calls = Call.objects.for_account(actor.account_id)
    seen: Any = CallSeenBy.objects.for_account(actor.account_id).filter(viewer__in=viewers)
    if start is not None:
        seen = seen.filter(started_at__gte=start)
    if end is not None:
        seen = seen.filter(started_at__lt=end)
    if up_to_few(seen) <= FEW:
        return calls.sought(pk__in=seen.values("call_id"))
    return calls.filter(with_viewer(Q(viewer__in=viewers), "pk"))


def by_outcomes(rows: Rows, outcomes: list[str], *, account_id: int) -> Rows:
    """Ended in one of these ways; `OPEN` stands for not ended yet. Raises `ValueError` for others."""
    if unknown := set(outcomes) - {OPEN, *Outcome.values}:
        raise ValueError(unknown)
    stored = sorted({"" if outcome == OPEN else outcome for outcome in outcomes})
    if len(stored) == 1:
        return rows.filter(outcome=stored[0])
    hidden = Q(In(Coalesce(F("outcome"), Value("")), stored))
    return _either_way(rows, Q(outcome__in=stored), hidden, Q(), account_id=account_id)


def by_service_number(rows: Rows, number: str, *, account_id: int) -> Rows:
    """To this number of the center's own, or from it."""
    to_it, from_it = Q(direction=Direction.INBOUND), Q(direction__in=[Direction.OUTBOUND, Direction.INTERNAL])
    return _with_number(rows, number, to_it, from_it, account_id=account_id)


def by_number(rows: Rows, number: str, *, account_id: int, region: str) -> Rows:
    """To or from this number, in whatever form it is written; the whole number, never a part of it."""
    return _with_number(rows, canonical(number, region), Q(), Q(), account_id=account_id)


SECONDS = {
    "talk": ("talk_seconds", Q(answered_at__isnull=False)),
    "length": ("total_seconds", Q(ended_at__isnull=False)),
    "wait": ("wait_seconds", Q()),
    "hold": ("hold_seconds", Q()),
}
"""Column, and what must hold besides: spoken for, hold left out; from start to end of a call that is over; in queues, all
entries together, none where a call entered none; held, all together."""


def by_seconds(rows: Rows, name: str, least: float | None, most: float | None, *, account_id: int) -> Rows:
    """So many seconds of one of `SECONDS`."""
    column, also = SECONDS[name]
    return _by_range(rows, column, least, most, also, account_id=account_id)


GIVEN, NOT_GIVEN = "given", "not_given"


def by_rating(rows: Rows, rating: str, least: float | None, most: float | None, *, account_id: int) -> Rows:
    """Rated, or asked for a rating and not answered; and with a score in this range, whatever its scale."""
    if rating == NOT_GIVEN:
        rows = rows.filter(rating_asked=True, rating_score=None)
    if rating == GIVEN:
        rows = rows.filter(rating_asked=True, rating_score__isnull=False) if least is most is None else rows
    # Whether it was asked for comes before the score in the index.
    return _by_range(rows, "rating_score", least, most, Q(), account_id=account_id, begins_with=Q(rating_asked=True))


def by_keyword(rows: Rows, phrase: str, category: str, severity: str, *, account_id: int) -> Rows:
    """With a hit that is all of these; empty: any."""
    asked = {"phrase": phrase, "category": category, "severity": severity}
    asked = {name: value for name, value in asked.items() if value}
    return _among(rows, KeywordHit.objects.for_account(account_id).filter(**asked)) if asked else rows


WEEK_HOUR = r"([1-7])-([0-9]|1[0-9]|2[0-3])"
LONGEST_OF_WEEK_HOURS = dt.timedelta(days=400)


def by_week_hour(
    rows: Rows, weekday: int, hour: int, *, zone: zoneinfo.ZoneInfo, start: dt.datetime | None, end: dt.datetime | None
) -> Rows:
    """Started on this day of the week (1 is Monday) in this hour of local time. Without a start, 400 days are looked at;
    without an end, up to now.

    As stretches of time, which the index knows: no database need know the zone.
    """
    end = end or timezone.now()
    start = max(start, end - LONGEST_OF_WEEK_HOURS) if start is not None else end - LONGEST_OF_WEEK_HOURS
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    day = first + dt.timedelta(days=(weekday - first.isoweekday()) % 7)
    stretches = Q(pk__in=[])
    while day <= last:
        midnight = dt.datetime.combine(day, dt.time(), tzinfo=zone)
        begins, ends = (midnight + dt.timedelta(hours=n) for n in (hour, hour + 1))
        stretches |= Q(started_at__gte=begins.astimezone(dt.UTC), started_at__lt=ends.astimezone(dt.UTC))
        day += dt.timedelta(days=7)
    return rows.filter(stretches)


def read_week_hour(text: str) -> tuple[int, int]:
    """Day of the week and hour of something like `1-10`. Raises `ValueError`."""
    if (found := re.fullmatch(WEEK_HOUR, text, re.ASCII)) is None:
        raise ValueError(text)
    return int(found[1]), int(found[2])


# --- The two ways ----------------------------------------------------------------------------------------------------


def _by_range(
    rows: Rows, column: str, least: float | None, most: float | None, also: Q, *, account_id: int, begins_with: Q | None = None
) -> Rows:
    if least is None and most is None:
        return rows
    plain, hidden = begins_with or Q(), begins_with or Q()
    unindexed = Coalesce(F(column), Value(-1.0))
    if least is not None:
        plain, hidden = plain & Q(**{f"{column}__gte": least}), hidden & Q(GreaterThanOrEqual(unindexed, least))
    if most is not None:
        plain, hidden = plain & Q(**{f"{column}__lte": most}), hidden & Q(LessThanOrEqual(unindexed, most))
        if least is None:  # a missing value is no small one
            hidden &= Q(GreaterThanOrEqual(unindexed, 0.0))
    return _either_way(rows, plain, hidden, also, account_id=account_id)


def _either_way(rows: Rows, plain: Q, hidden: Q, also: Q, *, account_id: int) -> Rows:
    """`plain` and `hidden` say the same, the second so that no index serves it. What must hold `also` is not counted: the
    index that counts does not know it."""
    fitting: Any = Call.objects.for_account(account_id).filter(plain).order_by()
    rows = rows.filter(also)
    return rows.sought(pk__in=fitting.values("pk")) if up_to_few(fitting) <= FEW else rows.filter(hidden)


def _with_number(rows: Rows, number: str, if_called: Q, if_calling: Q, *, account_id: int) -> Rows:
    calls: Any = Call.objects.for_account(account_id).order_by()
    called, calling = Q(called_number=number) & if_called, Q(calling_number=number) & if_calling
    # Counted by the number alone, along its index; which direction it has stands in the row.
    n_to, n_from = up_to_few(calls.filter(called_number=number)), up_to_few(calls.filter(calling_number=number))
    if not n_to or not n_from:  # nearly always: one column, whose index gives its calls in order
        return rows.filter(called if n_to else calling)
    if n_to + n_from <= FEW:
        return rows.sought(pk__in={pk for one in (called, calling) for pk in calls.filter(one).values_list("pk", flat=True)})
    return rows.filter(
        (Q(Exact(Coalesce(F("called_number"), Value("")), number)) & if_called)
        | (Q(Exact(Coalesce(F("calling_number"), Value("")), number)) & if_calling)
    )


def _among(rows: Rows, found: "QuerySet[Any]") -> Rows:
    """The calls that rows beside them tell of."""
    found = found.order_by()  # in an order of their own, the rows of each call would be sorted, call by call
    if up_to_few(found) <= FEW:
        return rows.sought(pk__in=found.values("call_id"))
    one = found.filter(call_id=OuterRef("pk")).values_list(Value(1), flat=True)[:1]
    return rows.filter(Exact(Coalesce(Subquery(one), Value(0)), 1))


def up_to_few(found: Any) -> int:
    """How many there are; one more than few stands for any number above."""
    return int(found.order_by()[: FEW + 1].count())
