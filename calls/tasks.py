"""Scheduled and nudged work on calls."""

import logging
import threading
import time

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from callcenter_site import celery
from calls import exporting, fetching, folder, hits, incoming, ingest

log = logging.getLogger(__name__)

FOLD_SECONDS = 20
"""How long one task goes on folding before it makes room; the next one takes over where it stopped."""


@shared_task(expires=60)
def fold_events() -> None:
    ingest.get_ready(at=timezone.now())
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


@shared_task
def store_sounds() -> None:
    now = timezone.now()
    n_stored, n_attached = incoming.store_due(at=now), incoming.attach_due(at=now)
    n_forgotten = incoming.forget_unclaimed(at=now)
    if n_stored or n_attached or n_forgotten:
        log.info("sound files: stored %d, put into records %d, forgot %d", n_stored, n_attached, n_forgotten)


@shared_task
def fetch_sounds() -> None:
    if n_fetched := fetching.fetch_due(at=timezone.now()):
        log.info("fetched %d sound files", n_fetched)


@shared_task
def watch_recordings() -> None:
    if settings.RECORDINGS_DIR:
        log.info("recordings folder: %s", folder.watch_configured(at=timezone.now()))


@shared_task
def match_keywords() -> None:
    if n_calls := hits.match_anew(clock=timezone.now):
        log.info("looked for changed keywords in %d calls", n_calls)


@shared_task
def write_export(run_id: int) -> None:
    exporting.work_on(run_id)


@shared_task
def continue_exports() -> None:
    if n_runs := exporting.continue_exports():
        log.info("took up %d exports", n_runs)


@shared_task
def forget_exports() -> None:
    log.info("removed %d exports", exporting.forget_exports(at=timezone.now()))


NUDGE_SECONDS = 0.3
BROKER_REST_SECONDS = 30.0
"""After a failed nudge nobody waits for the broker again for so long; the timetable finds what came meanwhile."""

_next_nudge = 0.0
_late_nudge: threading.Timer | None = None


def nudge() -> None:
    """Wakes a worker now instead of at the next tick. Only makes things faster: a failure is ignored, and bursts are one:
    what comes shortly after a nudge waits for the next, for `NUDGE_SECONDS` at most."""
    global _late_nudge  # noqa: PLW0603  (one clock per process)
    rest = _next_nudge - time.monotonic()
    if rest <= 0:
        _wake()
    elif rest <= NUDGE_SECONDS and _late_nudge is None:
        _late_nudge = threading.Timer(rest, _wake)
        _late_nudge.daemon = True
        _late_nudge.start()


def _wake() -> None:
    global _next_nudge, _late_nudge  # noqa: PLW0603  (as above)
    _late_nudge = None
    _next_nudge = time.monotonic() + NUDGE_SECONDS
    if not celery.nudge(fold_events):
        _next_nudge = time.monotonic() + BROKER_REST_SECONDS
