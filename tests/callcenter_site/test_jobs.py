"""How jobs do: noted where they run, late by the clock, told in words."""

import datetime as dt
import json

import pytest
import time_machine
from celery import shared_task
from celery.exceptions import Reject
from django.db import DatabaseError
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from callcenter_site import jobs, queues
from callcenter_site.celery import app
from callcenter_site.models import JobState
from callcenter_site.schedule import TIMETABLE
from callcenter_site.timetable import sync_timetable
from tests.factories import AgentFactory
from tests.isolation.test_admin import as_person

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 11, 24, 9, 0, tzinfo=dt.UTC)
JOBS_PAGE = "/admin/django_celery_beat/periodictask/jobs/"


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch):
    monkeypatch.setattr(jobs, "_noted", {})


@pytest.fixture
def timetable():
    with time_machine.travel(NOW, tick=False):
        sync_timetable()


def job(name, at):
    [found] = [one for one in jobs.all_jobs(at=at) if one.name == name]
    return found


def task_of(name):
    assert jobs.has_task(TIMETABLE[name][0])
    return app.tasks[TIMETABLE[name][0]]


def run(name, monkeypatch, failing=None):
    """Runs the job's task the way a worker does, with the signals it sends."""
    task = task_of(name)
    monkeypatch.setattr(task, "run", failing or (lambda: None))
    task.apply(throw=False)
    return JobState.objects.get(name=name)


def raising(error):
    def fails():
        raise error

    return fails


# --- Noting ----------------------------------------------------------------------------------------------------------


def test_a_run_is_noted_with_its_success(timetable, monkeypatch):
    state = run("back_up", monkeypatch)
    assert state.started_at <= state.finished_at == state.succeeded_at
    assert (state.n_failures, state.error) == (0, "") and state.seconds >= 0


def test_failures_are_counted_until_one_succeeds_and_quote_nothing(timetable, monkeypatch):
    run("back_up", monkeypatch)
    succeeded_at = JobState.objects.get(name="back_up").succeeded_at
    for _ in range(3):
        state = run("back_up", monkeypatch, raising(ValueError("Wang Fang +8613800138000")))
    assert (state.n_failures, state.error, state.succeeded_at) == (3, "ValueError", succeeded_at)
    assert state.task_id
    assert run("back_up", monkeypatch).n_failures == 0


def test_a_first_run_that_fails_is_noted_without_a_timetable(monkeypatch):
    state = run("verify_ledger", monkeypatch, raising(OSError()))
    assert (state.n_failures, state.error, state.succeeded_at) == (1, "OSError", None)


def test_a_frequent_job_is_written_down_now_and_then_and_its_failure_always(timetable, monkeypatch, django_assert_num_queries):
    run("fold_events", monkeypatch)
    task = task_of("fold_events")
    with django_assert_num_queries(0):
        for _ in range(5):
            task.apply()
    assert run("fold_events", monkeypatch, raising(OSError())).n_failures == 1
    assert run("fold_events", monkeypatch).n_failures == 0  # well again at once, not after the pause


def test_a_job_runs_though_it_cannot_be_noted(timetable, monkeypatch):
    done = []
    monkeypatch.setattr(JobState.objects, "filter", raising_any(DatabaseError("away")))
    task = task_of("back_up")
    monkeypatch.setattr(task, "run", lambda: done.append(1))
    assert task.apply().successful() and done == [1]


def raising_any(error):
    def fails(*args, **kwargs):
        raise error

    return fails


def test_a_task_of_no_job_leaves_no_row(timetable):
    @shared_task(name="tests.own")
    def own():
        raise Reject("no")

    n_rows = JobState.objects.count()
    own.apply()
    assert JobState.objects.count() == n_rows == len(TIMETABLE)


def test_a_task_is_stamped_when_it_is_published():
    headers = {}
    jobs._stamp(headers=headers)
    assert abs(headers["published_at"] - timezone.now().timestamp()) < 5


# --- Telling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "after", "is_late"),
    [
        ("fold_events", dt.timedelta(seconds=62), False),
        ("fold_events", dt.timedelta(seconds=63), True),
        ("close_silent_calls", dt.timedelta(minutes=15), False),
        ("close_silent_calls", dt.timedelta(minutes=15, seconds=1), True),
        ("verify_ledger", dt.timedelta(hours=18, minutes=20), False),  # 03:05 and a quarter of an hour
        ("verify_ledger", dt.timedelta(hours=18, minutes=20, seconds=1), True),
    ],
)
def test_a_job_that_never_ran_is_late_from_when_it_was_known(timetable, name, after, is_late):
    assert (job(name, NOW + after).late_by is not None) is is_late


def test_a_job_is_late_by_its_last_success_however_often_it_fails(timetable):
    JobState.objects.filter(name="back_up").update(succeeded_at=NOW, finished_at=NOW + dt.timedelta(hours=5), n_failures=5)
    late = job("back_up", NOW + dt.timedelta(hours=5, minutes=1)).late_by
    assert late == dt.timedelta(hours=4, minutes=11)  # since 09:50


def test_a_job_of_a_time_of_day_in_another_zone_is_due_by_that_zone(timetable):
    shanghai = CrontabSchedule.objects.create(hour="2", minute="0", timezone="Asia/Shanghai")
    PeriodicTask.objects.filter(name="verify_ledger").update(crontab=shanghai)
    assert job("verify_ledger", NOW).next_at == dt.datetime(2026, 11, 24, 18, 0, tzinfo=dt.UTC)


def test_a_job_that_is_switched_off_is_neither_late_nor_expected(timetable):
    PeriodicTask.objects.filter(name="fold_events").update(enabled=False)
    found = job("fold_events", NOW + dt.timedelta(days=1))
    assert (found.late_by, found.next_at, found.is_troubled) == (None, None, False)


def test_a_run_that_never_ended_was_cut_off_after_a_while(timetable):
    JobState.objects.filter(name="back_up").update(started_at=NOW)
    assert job("back_up", NOW + dt.timedelta(hours=1)).is_running
    later = job("back_up", NOW + dt.timedelta(hours=6))
    assert (later.is_running, later.was_cut_off) == (False, True)


def test_the_timetable_knows_its_jobs_and_forgets_those_that_are_gone():
    times = TIMETABLE["back_up"]
    sync_timetable({"back_up": times, "old": times})
    assert set(JobState.objects.values_list("name", flat=True)) == {"back_up", "old"}
    JobState.objects.filter(name="back_up").update(n_failures=2)
    sync_timetable({"back_up": times})
    assert list(JobState.objects.values_list("name", "n_failures")) == [("back_up", 2)]


# --- The page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(db):
    return as_person(AgentFactory(account=None, role=None, is_superuser=True))


def test_the_page_names_every_job_and_says_what_is_wrong(operator, timetable):
    PeriodicTask.objects.filter(name="mark_gone").delete()
    PeriodicTask.objects.filter(name="fetch_sounds").update(interval=None, crontab=None)
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS)
    PeriodicTask.objects.create(name="own job", task="calls.tasks.unheard_of", interval=every)
    JobState.objects.filter(name="back_up").update(n_failures=2, error="OperationalError", task_id="abc-1")
    with time_machine.travel(NOW + dt.timedelta(minutes=3)):
        page = operator.get(JOBS_PAGE).content.decode()
    for name in (*TIMETABLE, "own job"):
        assert name in page
    assert "run manage.py sync_timetable" in page
    assert "neither an interval nor a time of day" in page
    assert "This release has no task calls.tasks.unheard_of" in page
    assert "It failed 2 times in a row, last with OperationalError" in page and "abc-1" in page
    assert "It should have succeeded 2 min 58 s ago" in page  # fold_events, every two seconds


def test_the_page_asks_little(operator, timetable, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        operator.get(JOBS_PAGE)


def test_who_is_no_operator_finds_no_jobs(timetable):
    person = as_person(AgentFactory())
    assert person.get(JOBS_PAGE).status_code in (302, 403)


def test_the_badge_counts_jobs_in_trouble(operator, timetable):
    with time_machine.travel(NOW):
        assert "2</span>" not in operator.get("/admin/").content.decode()
        JobState.objects.filter(name__in=["back_up", "verify_ledger"]).update(n_failures=1)
        page = operator.get(JOBS_PAGE).content.decode()
    assert page.count("jobs-state is-bad") == 2


def test_a_broker_that_is_away_is_said(operator, timetable, settings):
    settings.CELERY_EMBEDDED, settings.CELERY_BROKER_URL = False, "redis://127.0.0.1:1/0"
    assert "The broker does not answer" in operator.get(JOBS_PAGE).content.decode()


def test_the_age_of_what_waits_is_read_from_its_stamp():
    with time_machine.travel(NOW, tick=False):
        message = json.dumps({"headers": {"published_at": NOW.timestamp() - 7}, "body": ""}).encode()
        assert queues._age(message) == pytest.approx(7)
        assert queues._age(None) == queues._age(b"{}") == queues._age(b"no json") == 0
