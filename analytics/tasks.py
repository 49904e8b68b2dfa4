"""Counting, as scheduled jobs."""

import logging

from celery import shared_task
from django.utils import timezone

from analytics import alerts, report_runs, rollup

log = logging.getLogger(__name__)


@shared_task
def fill_intervals() -> None:
    n_slots = rollup.drain_stale_slots(at=timezone.now())
    if n_slots:
        log.info("counted %s slots again", n_slots)


@shared_task
def recount_intervals() -> None:
    n_drifted = rollup.recount_all(at=timezone.now())
    log.log(logging.WARNING if n_drifted else logging.INFO, "recounted the last days: %s slots had drifted", n_drifted)


@shared_task
def check_alerts() -> None:
    n_changed = alerts.check_all(at=timezone.now())
    if n_changed:
        log.info("%s alerts were raised or are well again", n_changed)


@shared_task
def send_alerts() -> None:
    n_sent = alerts.send_due(at=timezone.now())
    if n_sent:
        log.info("sent %s alert messages", n_sent)


@shared_task
def write_report(run_id: int) -> None:
    report_runs.work_on(run_id)


@shared_task
def run_reports() -> None:
    n_started = report_runs.start_due(at=timezone.now())
    n_taken = report_runs.continue_runs()
    n_sent = report_runs.send_mails(at=timezone.now())
    if n_started or n_taken or n_sent:
        log.info("reports: %d due, %d taken up, %d mails", n_started, n_taken, n_sent)


@shared_task
def forget_reports() -> None:
    log.info("removed %d reports", report_runs.forget_runs(at=timezone.now()))
