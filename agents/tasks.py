"""Scheduled work on people."""

import logging

from celery import shared_task
from django.utils import timezone

from agents import invitations, presence

log = logging.getLogger(__name__)


@shared_task(expires=30)
def end_wrap_ups() -> None:
    if n_ended := presence.end_wrap_ups(at=timezone.now()):
        log.info("ended %d wrap-ups", n_ended)


@shared_task(expires=60)
def mark_gone() -> None:
    if n_gone := presence.mark_gone(at=timezone.now()):
        log.info("%d people are gone", n_gone)


@shared_task(expires=60)
def send_sign_in_links() -> None:
    if n_sent := invitations.deliver_due(at=timezone.now()):
        log.info("sent %d sign-in links", n_sent)
