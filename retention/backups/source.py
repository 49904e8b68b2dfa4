"""Rows of the database, in the order in which they are written into an object, a page at a time.

Pages follow the ids: neither how much a day holds nor what happens meanwhile changes what a page costs or takes in memory.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Count, Max, Min, Q, Sum
from django.db.models.functions import Length

from callcenter_site.slots import day_bounds
from calls.models import Call, CallEvent, EventState
from configuration.encryption import EncryptedTextField
from configuration.models import Account
from retention.backups.kinds import OF_THE_NIGHT, Kind, Place, places_of
from retention.backups.rows import Row, read_page

PAGE = 1000
CALLS_AT_ONCE = 500
EVENTS_OF_CALLS = 100


class Seen(NamedTuple):
    """The rows of a kind and day, without reading them."""

    n_rows: int
    fingerprint: str


def first_day(account: Account, kind: Kind) -> dt.date | None:
    """The local day of the oldest row."""
    days = []
    for place in places_of(kind):
        if "__" in place.day:
            continue  # below a call, which has its own line
        oldest = _all(account, place).aggregate(oldest=Min(place.day))["oldest"]
        if oldest is not None:
            days.append(oldest if place.goes_by_date else oldest.astimezone(account.zone).date())
    return min(days, default=None)


def seen(account: Account, kind: Kind, day: dt.date) -> Seen:
    """How many rows there are, and a fingerprint that is another when one of them was added, changed or went."""
    n_rows, told = 0, []
    for place in places_of(kind):
        facts = _of_day(account, place, day).order_by().aggregate(**_sums(place.model))
        n_rows += facts["n"]
        told.append([place.label, {name: round(x, 3) if isinstance(x, float) else x for name, x in facts.items()}])
    plain = json.dumps(told, sort_keys=True, default=str)
    return Seen(n_rows, hashlib.sha256(plain.encode()).hexdigest())


def new_events(account: Account, day: dt.date, after: int) -> int:
    """The highest id of the raw events of calls that ended on a day, where it is above one; otherwise 0."""
    unsealed = Call.objects.for_account(account).filter(ended_on=day, sealed_at=None)
    highest = 0
    for keys in column_in_pages(unsealed, "call_key", CALLS_AT_ONCE):
        events = CallEvent.objects.for_account(account).filter(call_key__in=[bytes(key) for key in keys], pk__gt=after)
        highest = max(highest, events.order_by().aggregate(last=Max("pk"))["last"] or 0)
    return highest


def rows_of(account: Account, kind: Kind, day: dt.date) -> Iterator[Row]:
    match kind:
        case Kind.CALLS:
            yield from _calls(account, Call.objects.for_account(account).filter(ended_on=day))
        case Kind.EVENTS:
            yield from _events(account, Call.objects.for_account(account).filter(ended_on=day, sealed_at=None))
        case Kind.STATE:
            going_on = Call.objects.for_account(account).filter(ended_on=None)
            yield from _calls(account, going_on)
            yield from _events(account, going_on)
            unfolded = [state for state in EventState.values if state != EventState.FOLDED]
            for state in unfolded:
                yield from _table(CallEvent, CallEvent.objects.for_account(account).filter(state=state))
            for place in places_of(kind):
                yield from _table(place.model, _all(account, place))
        case _:
            for place in places_of(kind):
                rows = _all(account, place) if kind in OF_THE_NIGHT else _of_day(account, place, day)
                yield from _table(place.model, rows)
            if kind == Kind.PEOPLE:  # a status that goes on has no end and no day
                for place in places_of(Kind.STATUS_CHANGES):
                    yield from _table(place.model, _all(account, place).filter(**{place.day: None}))


def _calls(account: Account, calls: Any) -> Iterator[Row]:
    below = [place.model for place in places_of(Kind.CALLS) if place.model is not Call]
    after = 0
    while page := read_page(Call, calls.filter(pk__gt=after).order_by("pk")[:CALLS_AT_ONCE]):
        after = page[-1].pk
        yield from page
        for model in below:
            rows = model._base_manager.filter(account_id=account.pk, call_id__in=[row.pk for row in page])
            yield from read_page(model, rows.order_by("call_id", "pk"))


def _events(account: Account, calls: Any) -> Iterator[Row]:
    for keys in column_in_pages(calls, "call_key", EVENTS_OF_CALLS):
        events = CallEvent.objects.for_account(account).filter(call_key__in=[bytes(key) for key in keys])
        yield from read_page(CallEvent, events.order_by("pk"))


def _table(model: Any, rows: Any) -> Iterator[Row]:
    after = 0
    while page := read_page(model, rows.filter(pk__gt=after).order_by("pk")[:PAGE]):
        after = page[-1].pk
        yield from page


def column_in_pages(rows: Any, column: str, limit: int) -> Iterator[Sequence[Any]]:
    after = 0
    while page := list(rows.filter(pk__gt=after).order_by("pk").values_list("pk", column)[:limit]):
        after = page[-1][0]
        yield [value for _, value in page]


def _all(account: Account, place: Place) -> Any:
    if place.model is Account:
        return Account._base_manager.filter(pk=account.pk)
    return place.model._base_manager.filter(account_id=account.pk)


def _of_day(account: Account, place: Place, day: dt.date) -> Any:
    if place.goes_by_date:
        return _all(account, place).filter(**{place.day: day})
    start, end = day_bounds(day, account.zone)
    return _all(account, place).filter(**{f"{place.day}__gte": start, f"{place.day}__lt": end})


def _sums(model: Any) -> dict[str, Any]:
    sums: dict[str, Any] = {"n": Count("pk")}
    for field in model._meta.concrete_fields:
        name = field.attname
        if isinstance(field, models.BooleanField):
            sums[f"of_{name}"] = Count("pk", filter=Q(**{name: True}))
        elif field.remote_field or isinstance(field, models.IntegerField | models.FloatField):
            sums[f"of_{name}"] = Sum(name)
        elif isinstance(field, models.DateTimeField):
            sums[f"last_{name}"], sums[f"of_{name}"] = Max(name), Count(name)
        elif isinstance(field, models.CharField | models.TextField) and not isinstance(field, EncryptedTextField):
            sums[f"of_{name}"] = Sum(Length(name))
    return sums
