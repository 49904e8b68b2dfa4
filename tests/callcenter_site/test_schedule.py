"""The timetable, and what of it belongs to the operator."""

import pytest
from celery.schedules import crontab, schedule
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from callcenter_site.celery import app
from callcenter_site.schedule import TIMETABLE
from callcenter_site.timetable import sync_timetable

pytestmark = pytest.mark.django_db

FIRST = {"count": ("calls.tasks.count", schedule(5.0)), "clean": ("calls.tasks.clean", crontab(hour="2", minute="10"))}


def rows() -> set[tuple[str, str, str, bool]]:
    return {(row.name, row.task, str(row.scheduler), row.enabled) for row in PeriodicTask.objects.all()}


def test_every_task_of_the_timetable_exists():
    app.loader.import_default_modules()
    assert {task for task, _ in TIMETABLE.values()} <= set(app.tasks)


def test_every_task_of_the_timetable_runs_in_a_queue_the_portal_serves():
    from callcenter_site.management.commands.serve import QUEUES

    queues = {app.amqp.router.route({}, task)["queue"].name for task, _ in TIMETABLE.values()}
    assert queues == set(QUEUES.split(","))


def test_the_timetable_becomes_rows_once():
    assert sync_timetable(FIRST) == 2
    assert rows() == {
        ("count", "calls.tasks.count", "every 5 seconds", True),
        ("clean", "calls.tasks.clean", "10 2 * * * (m/h/dM/MY/d) UTC", True),
    }
    assert sync_timetable(FIRST) == 0
    assert (IntervalSchedule.objects.count(), CrontabSchedule.objects.count()) == (1, 1)


def test_a_tick_nobody_took_expires():
    sync_timetable(FIRST)
    assert dict(PeriodicTask.objects.values_list("name", "expire_seconds")) == {"count": 10, "clean": 3600}


def test_a_new_release_moves_rows_nobody_edited():
    sync_timetable(FIRST)
    assert sync_timetable(FIRST | {"count": ("calls.tasks.count_all", crontab(minute="*/5"))}) == 1
    assert ("count", "calls.tasks.count_all", "*/5 * * * * (m/h/dM/MY/d) UTC", True) in rows()


def test_times_an_operator_changed_stay_and_the_task_is_still_renamed():
    sync_timetable(FIRST)
    edited = PeriodicTask.objects.get(name="count")
    edited.interval = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    edited.expire_seconds = 60
    edited.save()
    sync_timetable(FIRST | {"count": ("calls.tasks.count_all", schedule(7.0))})
    sync_timetable(FIRST | {"count": ("calls.tasks.count_all", schedule(9.0))})
    assert ("count", "calls.tasks.count_all", "every hour", True) in rows()
    assert PeriodicTask.objects.get(name="count").expire_seconds == 60


def test_what_an_operator_switched_off_stays_off():
    sync_timetable(FIRST)
    PeriodicTask.objects.filter(name="clean").update(enabled=False)
    sync_timetable(FIRST | {"clean": ("calls.tasks.clean", crontab(hour="3", minute="0"))})
    assert ("clean", "calls.tasks.clean", "0 3 * * * (m/h/dM/MY/d) UTC", False) in rows()


def test_a_job_taken_out_goes_and_an_operators_own_job_stays():
    sync_timetable(FIRST)
    own = IntervalSchedule.objects.create(every=2, period=IntervalSchedule.DAYS)
    PeriodicTask.objects.create(name="own", task="calls.tasks.own", interval=own)
    PeriodicTask.objects.create(name="odd", task="calls.tasks.odd", interval=own, headers="not json")
    before = PeriodicTasks.last_change()
    assert sync_timetable({"count": FIRST["count"]}) == 1
    assert {name for name, *_ in rows()} == {"count", "own", "odd"}
    assert PeriodicTasks.last_change() > before  # beat reads the table again only when told


def test_an_operators_job_of_the_same_name_is_left_alone():
    own = IntervalSchedule.objects.create(every=2, period=IntervalSchedule.DAYS)
    PeriodicTask.objects.create(name="count", task="calls.tasks.own", interval=own)
    sync_timetable(FIRST)
    assert ("count", "calls.tasks.own", "every 2 days", True) in rows()
