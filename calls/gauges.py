"""What `/metrics` says of events on their way into records."""

import datetime as dt
from collections import Counter as Tally
from collections.abc import Iterable

from django.conf import settings
from django.db.models import Min
from django.utils import timezone
from prometheus_client import Counter, Histogram

from callcenter_site.prometheus import LAG_BUCKETS, Family, family
from calls.models import CallEvent, EventState

EVENTS = Counter("portal_events", "Events that came, by what became of them.", ["answer"])
FOLDED = Counter("portal_folded_events", "Events that were worked off, of calls and of agents.", ["of"])
FOLD_LAG = Histogram(
    "portal_fold_lag_seconds", "From an event's time to be folded until its record stood, by batch.", ["of"], buckets=LAG_BUCKETS
)


def count_answers(answers: Iterable[dict[str, object]]) -> None:
    for answer, n in Tally(str(one["status"]) for one in answers).items():
        EVENTS.labels(answer).inc(n)


def count_folded(of: str, due_at: list[dt.datetime]) -> None:
    """Once they are committed. Events that came together count as one lag."""
    now = timezone.now()
    FOLDED.labels(of).inc(len(due_at))
    for moment in set(due_at):
        FOLD_LAG.labels(of).observe(max(0.0, (now - moment).total_seconds()))


def gauges() -> list[Family]:
    waiting = CallEvent.objects.filter(state=EventState.PENDING).order_by()
    n_waiting = waiting[: settings.INBOX_MAX + 1].count()
    oldest = waiting.aggregate(due_at=Min("retry_at"))["due_at"]  # the first entry of the index, no walk
    age = max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0
    states = (EventState.DEAD, EventState.UNMATCHED)
    unused = {(state.value,): float(CallEvent.objects.filter(state=state).order_by()[:10_000].count()) for state in states}
    return [
        family("portal_inbox_events", "Accepted events that wait to be folded.", float(n_waiting)),
        family("portal_inbox_oldest_seconds", "How long the first of them has been due.", age),
        family("portal_events_unused", "Events in no record: failed, or of unknown agents; 10000 at most.", unused, ["state"]),
    ]
