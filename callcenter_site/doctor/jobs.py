"""Jobs: who works on them, what waits, and when each was last begun."""

import datetime as dt
from typing import Any

from django.conf import settings
from django_celery_beat.models import PeriodicTask

from callcenter_site.celery import app
from callcenter_site.doctor.findings import Examined, examines
from callcenter_site.schedule import TIMETABLE

ANSWER_SECONDS = 2.0
MANY_WAITING = 1000
LATE_AFTER = dt.timedelta(minutes=10)
"""Beat writes down only every few minutes when it last woke a job."""


def queues() -> list[str]:
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    return sorted(routed | {settings.CELERY_TASK_DEFAULT_QUEUE})


@examines("jobs", otherwise="See what the part on the queue says.")
def check_workers(examined: Examined) -> None:
    if settings.CELERY_EMBEDDED:
        return  # they live in another process, and show below by what they did
    answered: Any = app.control.inspect(timeout=ANSWER_SECONDS).active_queues() or {}
    serving = {queue: sorted(worker for worker, served in answered.items() if queue in _names(served)) for queue in queues()}
    for queue, workers in serving.items():
        examined.within(
            f"workers of {queue}",
            f"{len(workers)} answer." if workers else "None answers.",
            is_ok=bool(workers),
            mend=f"systemctl start portal-worker@{queue}, and look at `journalctl -u portal-worker@{queue}` if it runs.",
        )


@examines("jobs", otherwise="See what the part on the queue says.")
def check_depth(examined: Examined) -> None:
    if settings.CELERY_EMBEDDED:
        return
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        missing = connection.channel_errors
        waiting = {queue: _depth(channel, queue, missing) for queue in queues()}
    for queue, n in waiting.items():
        examined.within(
            f"waiting in {queue}",
            f"{n} jobs wait.",
            is_ok=n < MANY_WAITING,
            mend=f"More processes: `systemctl edit portal-worker@{queue}` and set CONCURRENCY, or a worker on another machine.",
            is_grave=False,
        )


@examines("jobs", otherwise="Run `manage.py migrate`: the timetable stands in the database.")
def check_timetable(examined: Examined) -> None:
    rows = {row.name: row for row in PeriodicTask.objects.select_related("interval", "crontab")}
    if missing := sorted(set(TIMETABLE) - set(rows)):
        examined.fail(
            "timetable",
            f"{len(missing)} jobs of this release are not in it: {', '.join(missing[:5])}.",
            "Start portal-beat, or run `manage.py sync_timetable`.",
        )
    off = sorted(name for name in TIMETABLE if name in rows and not rows[name].enabled)
    if off:
        examined.warn("switched off", f"{', '.join(off)}.", "Switch them on again on the page *Timetable*, unless it was meant.")
    timed = [rows[name] for name in TIMETABLE if name in rows and rows[name].enabled]
    late = sorted(row.name for row in timed if is_late(row))
    if timed and len(late) == len(timed):
        where = "`manage.py serve`" if settings.CELERY_EMBEDDED else "portal-beat"
        examined.fail("timetable", "It stands still: every job is late.", f"Start {where}.")
    elif late:
        examined.fail(
            "late",
            f"Not begun when they were due: {', '.join(late)}.",
            "See that beat and the workers run and that their clocks are right.",
        )
    elif timed:
        examined.ok("timetable", f"All {len(timed)} jobs were begun when they were due.")


def is_late(row: PeriodicTask) -> bool:
    """Whether a job was due more than ten minutes ago and nobody woke it. One that is new has as long from its first day."""
    since = row.last_run_at or row.date_changed
    estimate: dt.timedelta = row.schedule.remaining_estimate(since)
    return estimate < -LATE_AFTER


def _names(served: list[dict[str, Any]]) -> set[str]:
    return {queue["name"] for queue in served}


def _depth(channel: Any, queue: str, missing: tuple[type[BaseException], ...]) -> int:
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except missing:
        return 0  # an empty queue is not there
