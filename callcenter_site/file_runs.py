"""A file that a worker writes for somebody, and the row that says how far it is.

What must never happen: a file outlives its row, or two workers write one run. So a row names its file before there is one, and
the file goes before the row. A worker killed anywhere is replaced by the next one, which starts anew; one that was only slow
finds that its lease has passed on, and stops.
"""

import datetime as dt
import logging
import traceback
import uuid
from collections.abc import Callable
from typing import IO, Any

from django.core.exceptions import PermissionDenied
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from callcenter_site import legal_holds

log = logging.getLogger(__name__)

LEASE_SECONDS = 60
MAX_LEASES = 5
"""A run that failed so often will fail again."""
PACKING = dt.timedelta(minutes=20)
"""How long nothing may be heard of a worker that has written all rows: a workbook is packed, a file sent to its store."""
Clock = Callable[[], dt.datetime]


class Passed(Exception):
    """The lease is somebody else's by now, or the run was cancelled."""


class FileRun(models.Model):
    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        WRITING = "writing", _("being written")
        DONE = "done", _("done")
        CANCELLED = "cancelled", _("cancelled")
        FAILED = "failed", _("failed")

    AT_WORK = frozenset({State.WAITING, State.WRITING})

    language = models.CharField(max_length=10, default="en", editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING, editable=False)
    problem = models.CharField(_("problem"), max_length=20, blank=True, editable=False)
    """Why it stopped, in a word that its app has a sentence for."""
    n_rows = models.PositiveIntegerField(_("rows"), default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    lease = models.PositiveIntegerField(default=0, editable=False)
    """Counts who took it up; a worker that was thought dead finds another number here and stops."""
    heartbeat_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)
    key = models.CharField(max_length=200, blank=True, editable=False)
    n_bytes = models.PositiveBigIntegerField(_("size"), default=0, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"#{self.pk}"


def is_due(at: dt.datetime) -> Q:
    """Runs at work of which nothing is heard."""
    forgotten = Q(heartbeat_at=None) | Q(heartbeat_at__lt=at - dt.timedelta(seconds=LEASE_SECONDS))
    return forgotten & Q(state__in=FileRun.AT_WORK)


def take_up(rows: Any, *, at: dt.datetime, **reset: Any) -> bool:
    """Takes the lease of the one run among these rows; False: there is nothing to do, or somebody else is at it."""
    due = rows.filter(is_due(at))
    return bool(due.update(lease=F("lease") + 1, heartbeat_at=at, state=FileRun.State.WRITING, n_rows=0, **reset) == 1)


def work(run: Any, write: Callable[[], None], *, clock: Clock) -> None:
    """Lets a run be written by whoever holds its lease. What fails is tried again once the lease is over."""
    try:
        write()
    except Passed:
        log.info("%s %d passed on", run._meta.model_name, run.pk)
    except PermissionDenied:
        fail(run, "forbidden", at=clock())
    except Exception as error:  # what a database complains of quotes values
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind, name = run._meta.model_name, type(error).__name__
        log.error("%s %d failed: %s in %s:%s", kind, run.pk, name, where.filename, where.lineno)


def mark(run: Any, *, at: dt.datetime, then_silent_for: dt.timedelta = dt.timedelta(), **changes: Any) -> None:
    """Notes progress under the lease. Raises `Passed`."""
    mine = type(run)._base_manager.filter(pk=run.pk, lease=run.lease, state=FileRun.State.WRITING)
    if mine.update(heartbeat_at=at + then_silent_for, **changes) != 1:
        raise Passed


def store(run: Any, file: IO[bytes], *, clock: Clock, done: Callable[[], dict[str, Any]]) -> None:
    """Puts the whole file away and ends the run. `done` is called in the same transaction, and says what else to note."""
    size = file.seek(0, 2)
    file.seek(0)
    delete_file(run)  # of a worker that was cut off
    key = f"exports/{uuid.uuid4().hex}.{run.kind}"
    mark(run, at=clock(), key=key, then_silent_for=PACKING)
    saved = default_storage.save(key, File(file))
    try:
        with transaction.atomic():
            at = clock()
            mark(run, at=at, state=FileRun.State.DONE, finished_at=at, n_bytes=size, key=saved, **done())
    except BaseException:
        default_storage.delete(saved)  # the row went, or another worker took over: nothing would name this file
        raise


def fail(run: Any, problem: str, *, at: dt.datetime, **changes: Any) -> None:
    mine = type(run)._base_manager.filter(pk=run.pk, lease=run.lease, state=FileRun.State.WRITING)
    if mine.update(state=FileRun.State.FAILED, problem=problem, finished_at=at, **changes):
        delete_file(run)


def cancel(run: Any, *, at: dt.datetime, **changes: Any) -> bool:
    """Gives a run up; False if it was over already. Its worker stops at the next page."""
    waiting = type(run)._base_manager.filter(pk=run.pk, state__in=FileRun.AT_WORK)
    if waiting.update(state=FileRun.State.CANCELLED, finished_at=at, **changes) != 1:
        return False
    delete_file(run)
    return True


def forget(rows: Any, *, at: dt.datetime, limit: int = 1000) -> int:
    """Removes these runs, each file before its row; how many rows went. What is under a legal hold stays."""
    rows.filter(state__in=FileRun.AT_WORK).update(state=FileRun.State.FAILED, problem="late", finished_at=at)
    n_gone = 0
    for run in list(rows.order_by("pk")[:limit]):
        with transaction.atomic():
            is_held = bool(legal_holds.kept([run]))
        if not is_held and delete_file(run):
            n_gone += rows.model._base_manager.filter(pk=run.pk, key="").delete()[0]
    return n_gone


def delete_file(run: Any) -> bool:
    """Deletes a run's file, if it has one; whether it has none now."""
    rows = type(run)._base_manager.filter(pk=run.pk)
    key = rows.values_list("key", flat=True).first()
    if not key:
        return True
    try:
        default_storage.delete(key)
    except Exception:  # whatever a storage raises: it is tried again with the timetable
        log.exception("the file of %s %d could not be deleted", run._meta.model_name, run.pk)
        return False
    rows.filter(key=key).update(key="", n_bytes=0)
    return True
