"""How the jobs of the timetable do: noted where they run, and told in words on the page of jobs and in `/metrics`.

Noting must never keep a job from running, nor cost more than the job: a success soon after the last one that was noted is
not written down, a failure always is. A job is late by the clock alone, so one that nobody starts any more is late as well.
"""

import contextlib
import datetime as dt
import importlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from celery import signals
from django.apps import apps
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from callcenter_site.celery import app
from callcenter_site.models import JobState
from callcenter_site.prometheus import TASK_SECONDS, TASK_WAIT_SECONDS, TASKS, Family, family
from callcenter_site.schedule import TIMETABLE, TITLES

log = logging.getLogger(__name__)

NOTED_EVERY_SECONDS = 15.0
LATE_AFTER = dt.timedelta(minutes=1)
"""So long a job may wait for a worker, and run, before it is called late; one that runs at a time of day, longer."""
LATE_AFTER_OF_DAY = dt.timedelta(minutes=15)
CUT_OFF_AFTER = dt.timedelta(hours=6)
"""A run that began so long ago and never ended was killed."""
PUBLISHED_AT = "published_at"

_JOB_OF = {task: name for name, (task, _times) in TIMETABLE.items()}


# --- Noting ----------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    began: float
    waited: float | None
    error: str = ""


_running: dict[str, _Run] = {}
_noted: dict[str, tuple[float, bool]] = {}
"""When this process last wrote a job's success down, and whether a failure came after."""


@signals.before_task_publish.connect
def _stamp(headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    if headers is not None:
        headers[PUBLISHED_AT] = time.time()


@signals.task_prerun.connect
def _begins(task_id: str, task: Any, **kwargs: Any) -> None:
    published_at = getattr(task.request, PUBLISHED_AT, None) or (task.request.headers or {}).get(PUBLISHED_AT)
    waited = max(0.0, time.time() - published_at) if published_at else None
    _running[task_id] = _Run(time.perf_counter(), waited)
    if waited is not None:
        TASK_WAIT_SECONDS.labels(_queue_of(task.name)).observe(waited)
    name = _JOB_OF.get(task.name)
    if name and not _is_frequent(name):
        _write(name, started_at=timezone.now())


@signals.task_failure.connect
def _failed(task_id: str, exception: BaseException, **kwargs: Any) -> None:
    if task_id in _running:
        _running[task_id].error = type(exception).__name__


@signals.task_postrun.connect
def _ended(task_id: str, task: Any, state: str | None = None, **kwargs: Any) -> None:
    run = _running.pop(task_id, None)
    if run is None:
        return
    seconds = time.perf_counter() - run.began
    outcome = "failed" if run.error else (state or "unknown").lower()
    TASKS.labels(task.name, outcome).inc()
    TASK_SECONDS.labels(task.name).observe(seconds)
    name = _JOB_OF.get(task.name)
    if name is not None:
        note(name, seconds=seconds, waited=run.waited, error=run.error, task_id=task_id, at=timezone.now())


def note(name: str, *, seconds: float, waited: float | None, error: str, task_id: str, at: dt.datetime) -> None:
    """Writes a finished run down."""
    noted_at, has_failed = _noted.get(name, (0.0, False))
    if not error and not has_failed and time.monotonic() - noted_at < NOTED_EVERY_SECONDS and _is_frequent(name):
        return
    _noted[name] = (time.monotonic(), bool(error))
    facts: dict[str, Any] = {"finished_at": at, "seconds": round(seconds, 3), "waited_seconds": waited and round(waited, 3)}
    if error:
        _write(name, n_failures=F("n_failures") + 1, error=error[:100], task_id=task_id, **facts)
    else:
        _write(name, n_failures=0, succeeded_at=at, **facts)


def _write(name: str, **facts: Any) -> None:
    try:
        with transaction.atomic():
            if not JobState.objects.filter(name=name).update(**facts):
                first = {**facts, **({"n_failures": 1} if facts.get("error") else {})}
                JobState.objects.bulk_create([JobState(name=name, **first)], ignore_conflicts=True)
    except (DatabaseError, InterfaceError) as error:
        log.warning("how %s went could not be noted: %s", name, type(error).__name__)


def _is_frequent(name: str) -> bool:
    times: Any = TIMETABLE[name][1]
    return not hasattr(times, "hour") and bool(times.run_every.total_seconds() <= 60)


def _queue_of(task: str) -> str:
    return str(app.amqp.router.route({}, task)["queue"].name)


# --- Telling ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A line of the page: what is known of a job, from its code, its times and its runs."""

    name: str
    row: PeriodicTask | None
    """None: the timetable has no such job (any more), so nothing starts it."""
    state: JobState | None
    times: Any
    """None: it has none, so nothing starts it."""
    is_known: bool
    """Whether this release has the task."""
    at: dt.datetime

    @property
    def title(self) -> str:
        return str(TITLES.get(self.name, self.name))

    @property
    def is_on(self) -> bool:
        return self.row is not None and self.row.enabled

    @property
    def started_at(self) -> dt.datetime | None:
        """The last moment it is known to have begun. Beat writes its own down only every few minutes."""
        of_run = self.state.started_at or self.state.finished_at if self.state else None
        return max(filter(None, (of_run, self.row.last_run_at if self.row else None)), default=None)

    @property
    def is_running(self) -> bool:
        state = self.state
        if state is None or state.started_at is None:
            return False
        has_ended = state.finished_at is not None and state.finished_at >= state.started_at
        return not has_ended and self.at - state.started_at < CUT_OFF_AFTER

    @property
    def was_cut_off(self) -> bool:
        state = self.state
        if state is None or state.started_at is None or self.is_running:
            return False
        return state.finished_at is None or state.finished_at < state.started_at

    @property
    def next_at(self) -> dt.datetime | None:
        if not self.is_on or self.times is None:
            return None
        since = self.started_at or (self.state.known_at if self.state else self.at)
        return max(self.at, self._after(since))

    @property
    def late_by(self) -> dt.timedelta | None:
        """How long ago it should have succeeded; None: it is in time, or nothing is expected of it."""
        if not self.is_on or self.times is None or self.state is None:
            return None
        grace = LATE_AFTER_OF_DAY if hasattr(self.times, "hour") else max(LATE_AFTER, 2 * self.times.run_every)
        due_at = self._after(self.state.succeeded_at or self.state.known_at)
        return self.at - due_at if self.at - due_at > grace else None

    @property
    def is_troubled(self) -> bool:
        return not self.is_known or self.row is None or self.times is None or self.late_by is not None or self._fails

    @property
    def _fails(self) -> bool:
        return self.is_on and self.state is not None and self.state.n_failures > 0

    def _after(self, since: dt.datetime) -> dt.datetime:
        """When it runs next after a moment."""
        if not hasattr(self.times, "hour") and hasattr(self.times, "run_every"):
            return since + self.times.run_every  # type: ignore[no-any-return]
        last, step, _now = self.times.remaining_delta(since)
        return (last + step).astimezone(dt.UTC)  # type: ignore[no-any-return]


def all_jobs(*, at: dt.datetime) -> list[Job]:
    """Every job of this release and every other row of the timetable, those in trouble first."""
    states = {state.name: state for state in JobState.objects.all()}
    rows = {row.name: row for row in PeriodicTask.objects.select_related("interval", "crontab", "solar", "clocked")}
    jobs = []
    for name in (*TIMETABLE, *(name for name in rows if name not in TIMETABLE)):
        row = rows.get(name)
        jobs.append(Job(name, row, states.get(name), _times_of(row), row is None or has_task(row.task), at))
    return sorted(jobs, key=lambda job: (not job.is_troubled, job.title))


def has_task(name: str) -> bool:
    """Whether this release has it; web processes import tasks only as they start them."""
    module = name.rpartition(".")[0]
    if name not in app.tasks and module in {f"{config.name}.tasks" for config in apps.get_app_configs()}:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    return name in app.tasks


def _times_of(row: PeriodicTask | None) -> Any:
    if row is None or not any((row.interval_id, row.crontab_id, row.solar_id, row.clocked_id)):
        return None
    times = row.schedule
    return times if hasattr(times, "run_every") or hasattr(times, "remaining_delta") else None


def know(names: Iterable[str]) -> None:
    """From now on these jobs are expected to run, and no others."""
    names = set(names)
    JobState.objects.exclude(name__in=names).delete()
    known = set(JobState.objects.values_list("name", flat=True))
    JobState.objects.bulk_create([JobState(name=name) for name in sorted(names - known)], ignore_conflicts=True)


def gauges() -> list[Family]:
    at = timezone.now()
    jobs = [job for job in all_jobs(at=at) if job.name in TIMETABLE]
    seen = [job for job in jobs if job.state is not None]
    last = {(job.name,): job.state.succeeded_at.timestamp() for job in seen if job.state and job.state.succeeded_at}
    late = {(job.name,): job.late_by.total_seconds() if job.late_by else 0.0 for job in jobs}
    failures = {(job.name,): float(job.state.n_failures) for job in seen if job.state}
    off = {(job.name,): 0.0 if job.is_on else 1.0 for job in jobs}
    return [
        family("portal_job_last_success_timestamp_seconds", "When a job last succeeded.", last, ["job"]),
        family("portal_job_late_seconds", "How long ago a job should have succeeded; 0: it is in time.", late, ["job"]),
        family("portal_job_failures", "Failures of a job since its last success.", failures, ["job"]),
        family("portal_job_off", "1: nothing starts the job.", off, ["job"]),
    ]
