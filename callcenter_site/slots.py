"""Fifteen-minute UTC slots: the grain in which the portal counts.

Every zone's day is a whole number of slots, also on the days a clock is changed. A slot is `[start, start + 15 min)`.
"""

import datetime as dt
import zoneinfo
from collections.abc import Iterator

SLOT = dt.timedelta(minutes=15)
SLOT_SECONDS = 900


def slot_of(at: dt.datetime) -> dt.datetime:
    """The start of the slot a moment belongs to."""
    seconds = int(at.timestamp())
    return dt.datetime.fromtimestamp(seconds - seconds % SLOT_SECONDS, dt.UTC)


def slots_between(start: dt.datetime, end: dt.datetime) -> Iterator[dt.datetime]:
    """The slots that `[start, end]` touches; the one of `start` always among them."""
    slot = slot_of(start)
    yield slot
    while (slot := slot + SLOT) < end:
        yield slot


def day_bounds(day: dt.date, zone: zoneinfo.ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
    """A local day in UTC: 23, 24 or 25 hours long."""
    start = dt.datetime.combine(day, dt.time(), tzinfo=zone)
    end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=zone)
    return start.astimezone(dt.UTC), end.astimezone(dt.UTC)
