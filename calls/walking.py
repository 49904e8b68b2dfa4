"""Lists of calls that several conditions narrow: looked through from one end, for a bounded time.

An index serves one condition. How many calls have to be looked at until a page of them fits several, nobody knows ahead:
where hardly any do, it is all there are. So they are looked through stretch by stretch, and when the time is over the list
says how far it came; whoever wants to goes on from there.
"""

import datetime as dt
import math
import time
from dataclasses import dataclass, field
from typing import Any

from calls.models import Call

BUDGET_SECONDS = 0.6
MOST_BUDGETS = 5
"""For a page that was asked for by its number."""
AIM_SECONDS = 0.1
FIRST_STRETCH = dt.timedelta(hours=1)
LONGEST_STRETCH = dt.timedelta(days=4000)
SECOND = dt.timedelta(seconds=1)


@dataclass(slots=True)
class Walk:
    """Through an account's calls, within the times that the list asks for."""

    account_id: int
    start: dt.datetime | None
    end: dt.datetime | None
    is_newest_first: bool = True
    reached: dt.datetime | None = field(default=None, init=False)
    """The calls beyond were not looked at; newest first, those that started before it. None: all were, or there are more
    than were wanted."""

    def ids(self, rows: Any, *, wanted: int, needed: int) -> list[int]:
        """Of the first so many that fit; of fewer when the time is over. Those `needed` before the page asked for are looked
        for longer."""
        found: list[int] = []
        if (ends := self._ends()) is None:
            return found
        first, last = ends
        began, place, span = time.monotonic(), last if self.is_newest_first else first, FIRST_STRETCH
        while True:
            looked_at = time.monotonic()
            span = dt.timedelta(seconds=math.ceil(span.total_seconds()))
            low, high = (max(first, place - span), place) if self.is_newest_first else (place, min(last, place + span))
            part = rows.filter(started_at__gte=low, started_at__lt=high).values_list("pk", flat=True)
            found += part[: wanted - len(found)]
            place = low if self.is_newest_first else high
            if len(found) >= wanted or place == (first if self.is_newest_first else last):
                return found
            now = time.monotonic()
            if now - began > BUDGET_SECONDS * (1 if len(found) >= needed else MOST_BUDGETS):
                self.reached = place
                return found
            span = min(LONGEST_STRETCH, span * min(4.0, max(0.5, AIM_SECONDS / max(now - looked_at, 0.001))))

    def _ends(self) -> tuple[dt.datetime, dt.datetime] | None:
        """From the first call on, to after the last one, in whole seconds; None: there is none."""
        times = Call.objects.for_account(self.account_id).values_list("started_at", flat=True)
        if self.start is not None:
            times = times.filter(started_at__gte=self.start)
        if self.end is not None:
            times = times.filter(started_at__lt=self.end)
        first, last = times.order_by("started_at").first(), times.order_by("-started_at").first()
        if first is None or last is None:
            return None
        return first.replace(microsecond=0), last.replace(microsecond=0) + SECOND
