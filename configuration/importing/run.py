"""The rows of a file on their way: checked, decided on, written.

What must never happen: half of a file goes in and nobody can tell which half. So rows are written in batches, each one
transaction together with the note that it was written. A worker killed anywhere is replaced by the next one, which finds
its place by those notes; one that was only slow finds that its lease has passed on, and stops.
"""

import datetime as dt
import json
import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from callcenter_site import audit, celery, legal_holds
from configuration.access import holds
from configuration.importing.columns import Column
from configuration.importing.sheet import CHANGED, NEW, SAME, SHEETS, Sheet, SheetRow
from configuration.models import ImportChunk, ImportRun

log = logging.getLogger(__name__)

LEASE_SECONDS = 60
MAX_LEASES = 8
"""A step of a run that failed so often will fail again."""
LEASES_PER_STEP = 100
"""Checking, and each decision to write, counts on from the next hundred: no number ever comes twice, so a worker of an
earlier step can hold none that is given out again."""
SECONDS_PER_ROW, MAX_LEASE_AHEAD = 0.02, 3600.0
"""How far ahead a lease reaches over rows that are written in one transaction; a worker killed then is missed that long."""
ROWS_KEPT = dt.timedelta(days=1)
PREVIEW_ROWS = 50


def nudge(run_id: int) -> None:
    from configuration.tasks import work_on_import  # tasks call this module

    celery.nudge(work_on_import, run_id)


class _Passed(Exception):
    """The lease is somebody else's by now, or the run was discarded."""


@dataclass(slots=True)
class _Work:
    run: ImportRun
    lease: int
    sheet: Sheet
    clock: Callable[[], dt.datetime]

    def mark(self, **changes: Any) -> None:
        """Notes progress under the lease; within a transaction, holds the run until its end."""
        mine = ImportRun._base_manager.filter(pk=self.run.pk, lease=self.lease, state=self.run.state)
        if mine.update(**{"heartbeat_at": self.clock(), **changes}) != 1:
            raise _Passed

    def rows_of(self, chunk: ImportChunk) -> list[SheetRow]:
        columns = self.run.columns
        return [
            SheetRow(number, {name: cells[index] if index < len(cells) else "" for index, name in enumerate(columns) if name})
            for number, cells in json.loads(chunk.rows or "[]")
        ]


def work_on(run_id: int, *, clock: Callable[[], dt.datetime] = timezone.now) -> bool:
    """Checks or writes a run, whichever it waits for; False if there was nothing to do or somebody else is at it."""
    run = _claim(run_id, clock())
    if run is None:
        return False
    actor = _actor_of(run)
    if actor is None or not _may_write(actor, run):
        _fail(run, "forbidden", clock())
        return True
    if run.lease % LEASES_PER_STEP > MAX_LEASES:
        _fail(run, "failed", clock())
        return True
    work = _Work(run, run.lease, SHEETS[run.sheet](actor=actor, chosen=run.options), clock)
    with translation.override(run.language), timezone.override(actor.account.zone), audit.acting(actor):
        try:
            if run.state == ImportRun.State.CHECKING:
                _check(work, then=ImportRun.State.CHECKED)
            else:
                _write(work)
        except _Passed:
            log.info("import %d passed on", run.pk)
        except Exception as error:  # tried again once the lease is over; what a database complains of quotes values
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error("import %d failed: %s in %s:%s", run.pk, type(error).__name__, where.filename, where.lineno)
    return True


def _claim(run_id: int, at: dt.datetime) -> ImportRun | None:
    due = ImportRun._base_manager.filter(pk=run_id).filter(_is_due(at))
    if due.update(lease=F("lease") + 1, heartbeat_at=at) != 1:
        return None
    run: ImportRun = ImportRun._base_manager.get(pk=run_id)
    return run


def _is_due(at: dt.datetime) -> Q:
    forgotten = Q(heartbeat_at=None) | Q(heartbeat_at__lt=at - dt.timedelta(seconds=LEASE_SECONDS))
    return forgotten & Q(state__in=ImportRun.AT_WORK)


def _actor_of(run: ImportRun) -> Any | None:
    people: Any = get_user_model()._base_manager
    return people.filter(pk=run.started_by, account_id=run.account_id, is_active=True).select_related("account", "role").first()


def _may_write(actor: Any, run: ImportRun) -> bool:
    """Whether somebody may write every column of the file, whoever uploaded it."""
    kind = SHEETS.get(run.sheet)
    return kind is not None and kind.may_import(actor) and not columns_refused(run, actor=actor)


def columns_refused(run: ImportRun, *, actor: Any) -> list[Column]:
    """The columns of a file that somebody may not write."""
    return [column for column in SHEETS[run.sheet].columns if column.name in run.columns and not holds(actor, column.needs)]


def _check(work: _Work, *, then: str) -> None:
    seen: dict[Any, int] = {}
    preview: list[dict[str, Any]] = []
    n_done = 0
    work.mark(n_done=0)
    for chunk in one_by_one(work.run.chunks.all()):
        batch = work.rows_of(chunk)
        work.sheet.check(batch, seen)
        n_done += len(batch)
        with transaction.atomic():
            work.mark(n_done=n_done)
            _keep_report(chunk, batch, [])
        for row in batch:
            if len(preview) < PREVIEW_ROWS and row.kind in (NEW, CHANGED):
                preview.append({"row": row.number, "kind": row.kind, "cells": row.cells, "was": row.was or {}})
    with transaction.atomic():
        work.run.preview = json.dumps(preview, ensure_ascii=False)
        work.mark(state=then, **_totals(work.run))
        work.run.save(update_fields=["preview"])


def one_by_one(chunks: Any) -> Iterator[ImportChunk]:
    """Each chunk read by itself: SQLite refuses to write on a connection whose reading began before somebody else wrote."""
    for pk in list(chunks.order_by("number").values_list("pk", flat=True)):
        yield chunks.model._base_manager.get(pk=pk)


def _keep_report(chunk: ImportChunk, batch: Sequence[SheetRow], before: list[Any], **changes: Any) -> None:
    errors = before + [[row.number, column, said.kept] for row in batch for column, said in row.errors]
    kinds = [row.kind for row in batch]
    chunk.errors = json.dumps(errors, ensure_ascii=False) if errors else ""
    chunk.n_new, chunk.n_changed, chunk.n_same = kinds.count(NEW), kinds.count(CHANGED), kinds.count(SAME)
    chunk.n_bad = len({number for number, _column, _said in errors})
    for name, value in changes.items():
        setattr(chunk, name, value)
    chunk.save(update_fields=["errors", "n_new", "n_changed", "n_same", "n_bad", *changes])


def _totals(run: ImportRun) -> dict[str, int]:
    names = ("n_new", "n_changed", "n_same", "n_bad")
    sums = run.chunks.aggregate(**{f"all_{name}": Sum(name) for name in names})
    return {name: sums[f"all_{name}"] or 0 for name in names}


def _write(work: _Work) -> None:
    run = work.run
    waiting = run.chunks.filter(written_at=None)
    if run.only_if_all_good and waiting.count() == run.chunks.count():
        _check_again(work)
        if run.state != ImportRun.State.WRITING:
            return
        _write_all_or_nothing(work, waiting)
        return
    _write_chunks(work, waiting)
    _finish(work)


def _write_chunks(work: _Work, waiting: Any) -> None:
    n_done = work.run.n_rows - (waiting.aggregate(n=Sum("n_rows"))["n"] or 0)
    for chunk in one_by_one(waiting):
        n_done += chunk.n_rows
        try:
            _write_chunk(work, chunk, n_done, one_by_one=False)
        except IntegrityError:  # somebody else wrote such a row since the batch was looked at
            chunk.refresh_from_db()
            _write_chunk(work, chunk, n_done, one_by_one=True)


def _write_all_or_nothing(work: _Work, waiting: Any) -> None:
    """Whatever turns out to be bad only while it is written takes back what was written before it."""
    # Nobody sees the marks of one long transaction, so the lease reaches as far as it may take.
    ahead = dt.timedelta(seconds=min(work.run.n_rows * SECONDS_PER_ROW, MAX_LEASE_AHEAD))
    work.mark(heartbeat_at=work.clock() + ahead)
    try:
        with transaction.atomic():
            _write_chunks(work, waiting)
            if _totals(work.run)["n_bad"]:
                reports = list(work.run.chunks.exclude(n_bad=0).values_list("pk", *_REPORT))
                raise _NotAllGood(reports)
            _finish(work)
    except _NotAllGood as found:
        with transaction.atomic():
            for pk, *report in found.reports:
                work.run.chunks.filter(pk=pk).update(**dict(zip(_REPORT, report, strict=True)))
            work.mark(state=ImportRun.State.CHECKED, problem="not_all_good", n_done=0, **_totals(work.run))
        work.run.state = ImportRun.State.CHECKED


_REPORT = ("errors", "n_new", "n_changed", "n_same", "n_bad")


class _NotAllGood(Exception):
    def __init__(self, reports: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.reports = reports


def _finish(work: _Work) -> None:
    run = work.run
    with transaction.atomic():
        work.mark(state=ImportRun.State.DONE, finished_at=work.clock(), n_done=run.n_rows, **_totals(run))
        note(run, work.sheet.actor, state=(run.state, ImportRun.State.DONE))


def _check_again(work: _Work) -> None:
    """All rows once more before any is written; back to whoever decides if one of them is bad."""
    _check(work, then=ImportRun.State.WRITING)
    if _totals(work.run)["n_bad"]:
        work.mark(state=ImportRun.State.CHECKED, problem="not_all_good")
        work.run.state = ImportRun.State.CHECKED
    else:
        work.mark(n_done=0)


def _write_chunk(work: _Work, chunk: ImportChunk, n_done: int, *, one_by_one: bool) -> None:
    before = json.loads(chunk.errors or "[]")
    refused = {number for number, _column, _said in before}
    batch = [row for row in work.rows_of(chunk) if row.number not in refused]
    with transaction.atomic():
        work.mark(n_done=n_done)
        if one_by_one:
            for row in batch:
                _write_one(work.sheet, row)
        else:
            work.sheet.check(batch, {})
            work.sheet.write([row for row in batch if not row.errors])
        bad = refused | {row.number for row in batch if row.errors}
        left = [row for row in json.loads(chunk.rows or "[]") if row[0] in bad]
        rows = json.dumps(left, ensure_ascii=False) if left else ""
        _keep_report(chunk, batch, before, rows=rows, written_at=work.clock())


def _write_one(sheet: Sheet, row: SheetRow) -> None:
    sheet.check([row], {})
    if row.errors:
        return
    try:
        with transaction.atomic():
            sheet.write([row])
    except IntegrityError:
        row.fail(sheet.key_column, _("This is in use already."))


def _fail(run: ImportRun, problem: str, at: dt.datetime) -> None:
    with transaction.atomic():
        ended = ImportRun._base_manager.filter(pk=run.pk, lease=run.lease, state=run.state)
        if ended.update(state=ImportRun.State.FAILED, problem=problem, finished_at=at):
            _forget_rows_of([run.pk])


# --- What people decide ----------------------------------------------------------------------------------------------


def choose_to_write(run: ImportRun, *, actor: Any, only_if_all_good: bool) -> bool:
    """Has the good rows written; False if somebody decided before.

    They are written with the rights of whoever decides: `PermissionDenied` for who may not write all the columns.
    """
    if not _may_write(actor, run):
        raise PermissionDenied
    with transaction.atomic():
        waiting = ImportRun._base_manager.filter(pk=run.pk, state=ImportRun.State.CHECKED)
        if not waiting.update(
            state=ImportRun.State.WRITING,
            only_if_all_good=only_if_all_good,
            problem="",
            n_done=0,
            lease=F("lease") - F("lease") % LEASES_PER_STEP + LEASES_PER_STEP,
            heartbeat_at=None,
            started_by=actor.pk,
        ):
            return False
        note(run, actor, state=(ImportRun.State.CHECKED, ImportRun.State.WRITING))
        transaction.on_commit(lambda: nudge(run.pk))
    return True


def discard(run: ImportRun, *, actor: Any, at: dt.datetime) -> bool:
    """Gives an import up before anything of it was written."""
    with transaction.atomic():
        unwritten = ImportRun._base_manager.filter(pk=run.pk, state__in=(ImportRun.State.CHECKING, ImportRun.State.CHECKED))
        if not unwritten.update(state=ImportRun.State.DISCARDED, finished_at=at):
            return False
        _forget_rows_of([run.pk])
        note(run, actor, state=(run.state, ImportRun.State.DISCARDED))
    return True


def note(run: ImportRun, actor: Any, **changes: tuple[str, str]) -> None:
    with audit.acting(actor):
        audit.log_update(run, **changes)


# --- The timetable ---------------------------------------------------------------------------------------------------


def continue_imports(*, clock: Callable[[], dt.datetime] = timezone.now) -> int:
    """Takes up runs whose nudge was lost or whose worker died; how many."""
    due = ImportRun._base_manager.filter(_is_due(clock())).order_by("created_at").values_list("pk", flat=True)
    return sum(work_on(pk, clock=clock) for pk in list(due))


def forget_rows(*, at: dt.datetime) -> int:
    """Removes the rows nobody needs any more; how many imports held some. Their reports stay."""
    with transaction.atomic():
        ImportRun._base_manager.filter(_is_late(at)).update(state=ImportRun.State.FAILED, problem="late", finished_at=at)
        holding = _not_held(rows_to_forget(at=at))
        _forget_rows_of(holding)
    return len(holding)


def _not_held(run_ids: set[int]) -> set[int]:
    # What a row says of people is read only where a hold may be on it.
    chunks = list(ImportChunk._base_manager.filter(run_id__in=run_ids).only("pk", "account_id", "run_id"))
    held = legal_holds.kept(chunks)
    held_runs = legal_holds.kept(ImportRun._base_manager.filter(pk__in=run_ids).only("pk", "account_id"))
    return run_ids - held_runs - {chunk.run_id for chunk in chunks if chunk.pk in held}


def _is_late(at: dt.datetime) -> Q:
    """Nobody decided in a day since it was uploaded, or since it came back to whoever decides."""
    limit = at - ROWS_KEPT
    undecided = Q(state__in=(ImportRun.State.CHECKING, ImportRun.State.CHECKED), created_at__lt=limit)
    return undecided & (Q(heartbeat_at=None) | Q(heartbeat_at__lt=limit))


def rows_to_forget(*, at: dt.datetime) -> set[int]:
    """Ids of imports that hold rows and ended, or wait for somebody to decide, for more than a day.

    One that is being written is not among them: somebody decided, and it goes on until it is done.
    """
    over = Q(finished_at__lt=at - ROWS_KEPT) | Q(state=ImportRun.State.FAILED)
    old = ImportRun._base_manager.filter(over | _is_late(at))
    in_chunks = ImportChunk._base_manager.filter(run__in=old).exclude(rows=b"")
    return {*old.exclude(preview=b"").values_list("pk", flat=True), *in_chunks.values_list("run_id", flat=True)}


def _forget_rows_of(run_ids: Iterable[int]) -> None:
    ids = list(run_ids)
    ImportChunk._base_manager.filter(run_id__in=ids).update(rows=b"")
    ImportRun._base_manager.filter(pk__in=ids).update(preview=b"")
