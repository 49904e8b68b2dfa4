"""Brings the timetable of `schedule.py` into the tables that beat reads and operators edit.

The code says which jobs there are; how often they run and whether they run at all belongs to the operator once they
have changed it. What was shipped last is kept in the row's headers: a row still on it follows a new release, a row
that differs was edited and keeps its times. On and off is never touched. Rows without that mark are not ours.
"""

import json
from typing import Any

from celery.schedules import crontab, schedule
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler

from callcenter_site.jobs import know
from callcenter_site.schedule import TIMETABLE

SHIPPED = "shipped"


def sync_timetable(timetable: dict[str, tuple[str, Any]] = TIMETABLE) -> int:
    """Adds, moves and removes the rows of the timetable; returns how many rows changed."""
    with transaction.atomic():
        rows = {row.name: row for row in PeriodicTask.objects.select_related("interval", "crontab")}
        changed = sum(_store(rows.get(name), name, task, times) for name, (task, times) in timetable.items())
        gone = [row.pk for row in rows.values() if _shipped(row) is not None and row.name not in timetable]
        PeriodicTask.objects.filter(pk__in=gone).delete()
        if gone:
            PeriodicTasks.update_changed()
        know(PeriodicTask.objects.values_list("name", flat=True))
    return changed + len(gone)


class TimetableScheduler(DatabaseScheduler):
    """Reads its jobs from the database, after bringing in those of this release: a new portal has none there yet."""

    def setup_schedule(self) -> None:
        sync_timetable()
        super().setup_schedule()


def _store(row: PeriodicTask | None, name: str, task: str, times: Any) -> bool:
    shipped = _plain(times)
    if row is None:
        row = PeriodicTask(name=name, enabled=True)
    elif _shipped(row) is None:
        return False  # an operator's own job of that name
    elif row.task == task and _shipped(row) == shipped:
        return False
    if row._state.adding or _plain(row.schedule) == _shipped(row):
        row.interval, row.crontab = _rows_of(times)
        # A tick nobody took in time is dropped: the next one does the same work, and a stopped worker finds no backlog.
        row.expire_seconds = max(10, int(times.run_every.total_seconds())) if _is_interval(times) else 3600
    row.task = task
    row.headers = json.dumps({SHIPPED: shipped})
    row.save()
    return True


def _shipped(row: PeriodicTask) -> str | None:
    """The times a row was last shipped with; None when the timetable did not make it."""
    try:
        headers = json.loads(row.headers or "{}")
    except ValueError:
        return None
    return headers.get(SHIPPED) if isinstance(headers, dict) else None


def _plain(times: Any) -> str:
    if isinstance(times, crontab):
        cron: Any = times
        fields = [cron._orig_minute, cron._orig_hour, cron._orig_day_of_month, cron._orig_month_of_year, cron._orig_day_of_week]
        return f"cron {' '.join(map(str, fields))} {cron.tz}"
    if _is_interval(times):
        return f"every {int(times.run_every.total_seconds())} s"
    return repr(times)  # sunrises and single dates are an operator's choice, never shipped


def _is_interval(times: Any) -> bool:
    return type(times) is schedule  # crontabs and sunrises are subclasses


def _rows_of(times: Any) -> tuple[IntervalSchedule | None, CrontabSchedule | None]:
    row = (CrontabSchedule if isinstance(times, crontab) else IntervalSchedule).from_schedule(times)
    if row.pk is None:
        row.save()
    return (None, row) if isinstance(times, crontab) else (row, None)
