"""Scheduled and nudged work on calls."""

import logging
import time

from celery import shared_task
from django.utils import timezone

from calls import ingest

log = logging.getLogger(__name__)

FOLD_SECONDS = 20
"""How long one task goes on folding before it makes room; the next one takes over where it stopped."""


@shared_task(expires=60)
def fold_events() -> None:
    until = time.monotonic() + FOLD_SECONDS
    n_events = 0
    while (folded := ingest.fold_due(at=timezone.now())) and time.monotonic() < until:
        n_events += folded
    if n_events:
        log.info("folded %d events", n_events)


@shared_task
def close_silent_calls() -> None:
    log.info("closed %d silent calls", ingest.close_silent_calls(at=timezone.now()))


@shared_task
def match_references() -> None:
    log.info("matched %d names", ingest.match_references(at=timezone.now()))


_nudged_at = 0.0
NUDGE_SECONDS = 0.3


def nudge() -> None:
    """Wakes a worker now instead of at the next tick. Only makes things faster: a failure is ignored, and bursts are one."""
    global _nudged_at  # noqa: PLW0603  (one clock per process)
    if time.monotonic() - _nudged_at < NUDGE_SECONDS:
        return
    _nudged_at = time.monotonic()
    try:
        fold_events.apply_async(retry=False)
    except Exception as error:  # whatever a broker may raise
        log.warning("a worker could not be nudged: %s", type(error).__name__)
