"""Counting, as scheduled jobs."""

import logging

from celery import shared_task
from django.utils import timezone

from analytics import alerts, rollup

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
