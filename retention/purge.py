"""Deletes what has had its time, each account by its own calendar.

What must never happen: a row goes before its expiry, or another account's. Every batch is one short transaction that
repeats the condition its rows were chosen by, and adds its counts to the run's row in the same transaction. So a run
killed anywhere is finished by the next one, two at once do no harm, and each row is counted once.

The order is right to left through the apps: figures, calls, people's status changes.
"""

import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext_noop

from agents import erasure as agents
from analytics import erasure as analytics
from callcenter_site.erasure import Batch, Cursor
from calls import erasure as calls
from configuration.models import Account
from retention import policy
from retention.erasure import erase_sign_in_traces
from retention.models import PurgeRun

log = logging.getLogger(__name__)

State = PurgeRun.State

LEAST, MOST = 100, 5000
"""Rows in a batch."""
BATCH_SECONDS = 0.3
CUT_OFF_AFTER = dt.timedelta(minutes=10)
"""A run silent for this long is taken to be dead."""

CUT_OFF = gettext_noop("cut off before it was finished; the next run went on")
BROKE_OFF = gettext_noop("%(error)s; the next run goes on")
FILES_LEFT = gettext_noop("%(n)s files could not be deleted; their calls stay until they can")
ERRORS = (CUT_OFF, FILES_LEFT, BROKE_OFF)
"""What went wrong, as it is kept with the run."""


def purge_due(*, at: dt.datetime) -> list[PurgeRun]:
    """Purges every account that was not yet purged on its present local day, and is not being purged now."""
    erase_sign_in_traces(at=at, failed_before=at - policy.FAILED_SIGN_IN_AGE)
    runs = PurgeRun.objects.values("account_id")
    done = dict(runs.filter(state=State.DONE).annotate(last=Max("started_at")).values_list("account_id", "last"))
    running = set(runs.filter(state=State.RUNNING, heartbeat_at__gte=at - CUT_OFF_AFTER).values_list("account_id", flat=True))
    finished = []
    for account in Account.objects.order_by("pk"):
        last = done.get(account.pk)
        if account.pk in running or (last is not None and policy.local_day(account, last) >= policy.local_day(account, at)):
            continue
        try:
            finished.append(purge_account(account=account, at=at))
        except Exception:  # the run says so; the other accounts do not wait for this one
            log.exception("purge of account %s failed", account.pk)
    return finished


def purge_account(*, account: Account, at: dt.datetime, is_dry_run: bool = False) -> PurgeRun:
    """Deletes what has expired in one account. A dry run does the same, takes each batch back, and keeps no run."""
    run = PurgeRun(account=account, started_at=at, heartbeat_at=at, cutoff=policy.cutoff(account, at=at))
    if not is_dry_run:
        cut_off = PurgeRun.objects.for_account(account).filter(state=State.RUNNING, heartbeat_at__lt=at - CUT_OFF_AFTER)
        cut_off.update(state=State.FAILED, finished_at=at, error=CUT_OFF)
        run.save()
    work = _Work(run, account, at, is_dry_run=is_dry_run)
    try:
        work.do()
    except Exception as error:
        work.close(State.FAILED, BROKE_OFF % {"error": type(error).__name__})
        raise
    if work.n_blocked:
        work.close(State.FAILED, FILES_LEFT % {"n": work.n_blocked})
    else:
        work.close(State.DONE)
    return run


class _Work:
    """One run over one account, batch by batch."""

    def __init__(self, run: PurgeRun, account: Account, at: dt.datetime, *, is_dry_run: bool) -> None:
        self.run, self.account, self.at, self.is_dry_run = run, account, at, is_dry_run
        self.began = time.monotonic()
        self.size = LEAST
        self.n_blocked = 0
        self.up_to = policy.cutoff(account, at=at)
        self.before = policy.end_of_day(account, self.up_to)

    def do(self) -> None:
        # Marks before the calls: counted again now, an old slot would lose the calls that have gone from it.
        self._rows("marks", calls.erase_marks)
        for table in analytics.COUNTS:
            self._rows("intervals", partial(analytics.erase_counts, model=table))
        self._calls()
        self._rows("events", calls.erase_agent_events, before=self.at - policy.RAW_EVENT_AGE)
        self._raw_events()
        self._rows("events", calls.erase_stray_events)
        self._rows("unknown_names", calls.erase_unknown_names)
        self._rows("status_changes", agents.erase_status_changes)

    def close(self, state: str, error: str = "") -> None:
        self.run.state, self.run.error, self.run.finished_at = state, error, self._now()
        if not self.is_dry_run:
            self.run.save(update_fields=["state", "error", "finished_at"])

    def _rows(self, kind: str, erase: Callable[..., Batch], *, before: dt.datetime | None = None) -> None:
        def batch(after: Cursor | None) -> Cursor | None:
            with self._transaction() as counts:
                done = erase(account=self.account, before=before or self.before, after=after, limit=self.size)
                counts[kind] += done.n_rows
            return done.cursor

        self._walk(batch)

    def _calls(self) -> None:
        def batch(after: Cursor | None) -> Cursor | None:
            ids, cursor = calls.expired_calls(account=self.account, up_to=self.up_to, after=after, limit=self.size)
            if ids:
                keys = calls.file_keys(account=self.account, ids=ids)
                gone = keys if self.is_dry_run else calls.delete_files(keys)
                self.n_blocked += len(keys) - len(gone)
                with self._transaction() as counts:
                    counts.update(calls.erase_calls(account=self.account, ids=ids, up_to=self.up_to, gone=gone))
            return cursor

        self._walk(batch)

    def _raw_events(self) -> None:
        before = self.at - policy.RAW_EVENT_AGE

        def batch(after: Cursor | None) -> Cursor | None:
            with self._transaction() as counts:
                done, n_sealed = calls.seal_calls(
                    account=self.account, before=before, up_to=self.up_to, at=self.at, after=after, limit=self.size
                )
                counts.update(events=done.n_rows, sealed=n_sealed)
            return done.cursor

        self._walk(batch)

    def _walk(self, batch: Callable[[Cursor | None], Cursor | None]) -> None:
        """Batch after batch; their size follows the clock, so that nobody else waits long."""
        cursor: Cursor | None = None
        while True:
            began = time.monotonic()
            cursor = batch(cursor)
            if cursor is None:
                return
            took = time.monotonic() - began
            self.size = min(MOST, max(LEAST, int(self.size * min(2.0, BATCH_SECONDS / max(took, 0.001)))))

    @contextmanager
    def _transaction(self) -> Iterator[Counter[str]]:
        """One batch: what it deleted and the run's counts are committed together, or, in a dry run, taken back."""
        counts: Counter[str] = Counter()
        with transaction.atomic():
            yield counts
            total = dict(Counter(self.run.counts) + counts)
            if self.is_dry_run:
                transaction.set_rollback(True)
            else:
                PurgeRun.objects.filter(pk=self.run.pk).update(counts=total, heartbeat_at=self._now())
        self.run.counts = total

    def _now(self) -> dt.datetime:
        return self.at + dt.timedelta(seconds=time.monotonic() - self.began)
