"""Purge and backups, as scheduled jobs."""

import logging

from celery import shared_task
from django.utils import timezone

from retention import access_request, anchors, deadlines, deletion, outbox, plans, purge
from retention.backups.night import back_up_due
from retention.clock import time_of_run

log = logging.getLogger(__name__)


@shared_task
def purge_expired() -> None:
    """Wakes every hour: an account's day begins when its own clock says so."""
    for run in purge.purge_due(at=time_of_run()):
        log.info("purged account %s: %s, %s", run.account_id, run.state, run.counts or "nothing was due")
    delete_files()


@shared_task
def delete_files() -> None:
    """Files whose rows have gone."""
    result = outbox.work_off(at=timezone.now())
    if result.n_deleted or result.n_failed:
        log.info("deleted %s files, %s failed, %s of them blocked", *result)


@shared_task
def anchor_ledger() -> None:
    """Every hour: what was appended goes, signed, into object storage."""
    if n_entries := anchors.anchor(at=timezone.now()):
        log.info("anchored %s entries of the ledger", n_entries)


@shared_task
def verify_ledger() -> None:
    for code, position in anchors.verify(at=timezone.now()):
        log.error("ledger entry %s: %s", position, code)


@shared_task
def back_up() -> None:
    """Wakes every hour: an account's night is over when its own clock says so."""
    for run in back_up_due(at=time_of_run()):
        log.info("backed up account %s: %s objects, %s failed", run.account_id, run.n_written, run.n_failed)


@shared_task
def tell_of_plan_ends() -> None:
    """Every hour: an account's day begins when its own clock says so."""
    if n_told := plans.tell_of_ends(at=timezone.now()):
        log.info("told the end of %s storage plans", n_told)


@shared_task
def work_on_requests() -> None:
    """Deletion requests and access requests whose nudge was lost, that wait for something, or whose worker died."""
    if n_requests := deletion.work_due():
        log.info("worked on %s deletion requests", n_requests)
    if n_requests := access_request.work_due():
        log.info("worked on %s access requests", n_requests)


@shared_task
def mind_deadlines() -> None:
    """Warns of requests that come due, and destroys what nobody needs to read any more."""
    at = timezone.now()
    if n_warned := deadlines.warn(at=at):
        log.info("warned of %s deletion requests", n_warned)
    deletion.forget_subjects(at=at)
    access_request.forget_files(at=at)


@shared_task
def answer_access_request(request_id: int) -> None:
    access_request.work_on(request_id)


@shared_task
def work_on_request(request_id: int) -> None:
    deletion.work_on(request_id)
