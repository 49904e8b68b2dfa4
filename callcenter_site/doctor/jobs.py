"""Jobs: who works on them, what waits, and when each last succeeded."""

from typing import Any

from django.conf import settings
from django.utils import timezone

from callcenter_site.celery import app
from callcenter_site.doctor.findings import Examined, examines
from callcenter_site.jobs import Job, all_jobs
from callcenter_site.queues import QUEUES, waiting
from callcenter_site.schedule import TIMETABLE

ANSWER_SECONDS = 2.0
MANY_WAITING = 1000
LONG_WAITING_SECONDS = 60
PAGE = "The page *Jobs* of the admin says more of each."


@examines("jobs", otherwise="See what the part on the queue says.")
def check_workers(examined: Examined) -> None:
    if settings.CELERY_EMBEDDED:
        return  # they live in another process, and show below by what they did
    answered: Any = app.control.inspect(timeout=ANSWER_SECONDS).active_queues() or {}
    for queue in QUEUES:
        n = sum(any(one["name"] == queue for one in served) for served in answered.values())
        examined.within(
            f"workers of {queue}",
            f"{n} answer." if n else "None answers.",
            is_ok=n > 0,
            mend=f"systemctl start portal-worker@{queue}, and look at `journalctl -u portal-worker@{queue}` if it runs.",
        )


@examines("jobs", otherwise="See what the part on the queue says.")
def check_depth(examined: Examined) -> None:
    for queue, (n, seconds) in waiting().items():
        examined.within(
            f"waiting in {queue}",
            f"{n} jobs wait, the next one for {seconds:.0f} s." if n else "No job waits.",
            is_ok=n < MANY_WAITING and seconds < LONG_WAITING_SECONDS,
            mend=f"More processes: `systemctl edit portal-worker@{queue}` and set CONCURRENCY, or a worker on another machine.",
            is_grave=False,
        )


@examines("jobs", otherwise="Run `manage.py migrate`: the timetable stands in the database.")
def check_jobs(examined: Examined) -> None:
    jobs = [job for job in all_jobs(at=timezone.now()) if job.name in TIMETABLE]
    missing = [job for job in jobs if job.row is None or job.state is None]
    examined.within(
        "timetable",
        f"{len(missing)} jobs of this release are not in it: {_names(missing)}." if missing else f"It has all {len(jobs)} jobs.",
        is_ok=not missing,
        mend="Start portal-beat (without a broker: `manage.py serve`), or run `manage.py sync_timetable`.",
    )
    off = [job for job in jobs if job.row is not None and not job.is_on]
    if off:
        examined.warn("switched off", f"{_names(off)}.", "Switch them on again on the page *Timetable*, unless it was meant.")
    late = [job for job in jobs if job.late_by is not None]
    expected = [job for job in jobs if job.is_on and job.state is not None]
    if late and len(late) == len(expected):
        where = "`manage.py serve`" if settings.CELERY_EMBEDDED else "portal-beat and the workers"
        examined.fail("last success", "Nothing is done: every job is late.", f"Start {where}.")
    elif late:
        examined.fail("last success", f"Late: {_names(late)}.", f"See that beat and the workers run. {PAGE}")
    elif expected:
        examined.ok("last success", f"All {len(expected)} jobs succeeded when they were due.")
    failing = [job for job in expected if job.state and job.state.n_failures]
    if failing:
        errors = ", ".join(f"{job.name} ({job.state.error})" for job in failing if job.state)
        examined.fail("failures", f"Their last run failed: {errors}.", f"The log has the failure with its task. {PAGE}")


def _names(jobs: list[Job]) -> str:
    named = sorted(job.name for job in jobs)
    return ", ".join(named[:8]) + (" …" if len(named) > 8 else "")
