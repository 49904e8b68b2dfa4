"""What `manage.py doctor` asks about events and sound files on their way."""

import datetime as dt

from django.conf import settings
from django.utils import timezone

from callcenter_site.doctor.findings import Examined, examines
from calls import spool
from calls.models import CallEvent, EventState

WAITS_LONG = dt.timedelta(minutes=1)


@examines("events", otherwise="See what the part on the database says.")
def check_inbox(examined: Examined) -> None:
    now = timezone.now()
    due = CallEvent.objects.filter(state=EventState.PENDING, retry_at__lte=now).order_by()
    n = due[: settings.INBOX_MAX].count()
    oldest = due.order_by("retry_at").values_list("retry_at", flat=True).first()
    waits = now - oldest if oldest else dt.timedelta()
    examined.within(
        "waiting",
        f"{n} events wait, the oldest for {waits.total_seconds():.0f} s." if n else "No event waits.",
        is_ok=waits < WAITS_LONG,
        mend="See that a worker of the queue ingest runs; `manage.py fold_events` works them off at once.",
    )
    dead = CallEvent.objects.filter(state=EventState.DEAD).order_by()[:1000].count()
    examined.within(
        "failed",
        f"{dead}{' and more' if dead == 1000 else ''} events could not be made into records." if dead else "None failed.",
        is_ok=not dead,
        mend="The page *Events* says why, and puts them back in line.",
        is_grave=False,
    )


@examines("events", otherwise="Give VAR_DIR to the portal's user.")
def check_spool(examined: Examined) -> None:
    is_behind = spool.is_behind()
    examined.within(
        "sound files",
        "Files wait for the store for long." if is_behind else "None waits for the store for long.",
        is_ok=not is_behind,
        mend="See what the part on the store says, and that a worker of the queue sounds runs.",
    )
