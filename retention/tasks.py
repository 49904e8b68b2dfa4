"""The purge, as a scheduled job."""

import logging

from celery import shared_task
from django.utils import timezone

from retention import purge

log = logging.getLogger(__name__)


@shared_task
def purge_expired() -> None:
    """Wakes every hour: an account's day begins when its own clock says so."""
    for run in purge.purge_due(at=timezone.now()):
        log.info("purged account %s: %s", run.account_id, run.counts or "nothing was due")
