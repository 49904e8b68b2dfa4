"""Every night, each account by its own calendar: what is new or was changed is written, read back, and put in place.

What must never happen: a backup follows a loss. A day of which much has vanished that nobody asked to delete is not
written again, it is shown.

A night that was cut off is taken up by the next tick. What an outage left out is caught up with: days are looked at by
what is in them, not by when the job last ran.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Iterator

from django.db import transaction
from django.utils import timezone

from calls.models import Call, CallEvent
from configuration.models import Account
from retention import holds, policy
from retention.backups import source
from retention.backups.crypt import Keys
from retention.backups.kinds import EXPIRING, OF_THE_NIGHT, Kind
from retention.backups.manifest import write_manifest
from retention.backups.objects import LEASE, Broken, Busy, Superseded, drop, paged, replace, rows_in, verify
from retention.backups.reach import expire
from retention.backups.rows import Row
from retention.ledger import LedgerKind, append
from retention.models import BackupObject, BackupRun
from retention.taking_over import take_over

log = logging.getLogger(__name__)

State = BackupRun.State

SETTLED = dt.timedelta(hours=1)
"""After midnight, until what arrived in the last moments of a day is committed."""
NIGHTS = 7
"""For so many nights the state of people and configuration is kept."""
READ_AGAIN_AFTER = dt.timedelta(days=7)
READ_AGAIN_AT_MOST = 30
"""Objects of an account that are read back again in one night."""
MISSING_ROWS, MISSING_SHARE = 20, 0.2
"""So many rows, and this share of a day, may be gone without anybody being asked."""


def night(account: Account, at: dt.datetime) -> dt.date:
    """The last local day that is over and settled."""
    return (at - SETTLED).astimezone(account.zone).date() - dt.timedelta(days=1)


def back_up_due(*, at: dt.datetime) -> list[BackupRun]:
    """Backs up every account whose last night was not yet done, and is not being done now."""
    runs = []
    for account in Account.objects.filter(terminated_at=None, restoring_since=None).order_by("pk"):
        if BackupRun.objects.for_account(account).filter(day=night(account, at), state=State.DONE).exists():
            continue
        try:
            if (run := back_up(account=account, at=at)) is not None:
                runs.append(run)
        except Exception:  # the run says so; the other accounts do not wait for this one
            log.exception("backup of account %s failed", account.pk)
    return runs


def back_up(*, account: Account, at: dt.datetime, again: bool = False, accept_missing: bool = False) -> BackupRun | None:
    """Does an account's last night, or what is left of it; None: another worker is at it. `again`: the state of the night is
    written once more, as it is now."""
    run = _take_up(account, night(account, at))
    if run is None:
        return None
    work = _Night(run, account, at, again=again, accept_missing=accept_missing)
    try:
        work.do()
    except Exception as error:
        work.close(State.FAILED, type(error).__name__)
        raise
    work.close(State.FAILED if run.n_failed else State.DONE)
    return run


def _take_up(account: Account, day: dt.date) -> BackupRun | None:
    now = timezone.now()
    with transaction.atomic():
        holds.enter(account)
        run, is_new = BackupRun.objects.get_or_create(
            account=account, day=day, defaults={"started_at": now, "heartbeat_at": now, "lease": 1}
        )
        if is_new:
            return run
        fresh = {"started_at": now, "finished_at": None, "n_written": 0, "n_rows": 0, "n_expired": 0, "n_failed": 0}
        return run if take_over(run, at=now, cut_off_after=LEASE, **fresh) else None


class _Night:
    def __init__(self, run: BackupRun, account: Account, at: dt.datetime, *, again: bool, accept_missing: bool) -> None:
        self.run, self.account, self.at, self.accept_missing = run, account, at, accept_missing
        self.again, self.day = again, run.day
        self.keys = Keys.of(account.pk)

    def do(self) -> None:
        self.run.n_expired = expire(account=self.account, at=self.at)
        for kind in Kind:
            if kind in OF_THE_NIGHT:
                self._snapshot(kind)
            else:
                self._days(kind)
        self._drop_old_nights()
        self._read_again()
        write_manifest(account=self.account, at=self.at, keys=self.keys)

    def close(self, state: str, error: str = "") -> None:
        run = self.run
        run.state, run.error, run.finished_at = state, error[:60], timezone.now()
        counts = {"written": run.n_written, "rows": run.n_rows, "expired": run.n_expired, "failed": run.n_failed}
        with transaction.atomic():
            self._save("state", "error", "finished_at")
            append(
                kind=LedgerKind.BACKUP, account_id=self.account.pk, at=self.at, store="backups", counts=counts, note_code=state
            )

    def _snapshot(self, kind: Kind) -> None:
        done = BackupObject.objects.for_account(self.account).filter(kind=kind, day=self.day, error="").exclude(key="")
        if not self.again and done.exists():
            return
        self._write(kind, self.day, "", lambda old: source.rows_of(self.account, kind, self.day))

    def _days(self, kind: Kind) -> None:
        by_day = Kind.CALLS if kind == Kind.EVENTS else kind
        first = source.first_day(self.account, by_day)
        objects = {one.day: one for one in BackupObject.objects.for_account(self.account).filter(kind=kind)}
        first = min(filter(None, [first, *objects]), default=None)
        if first is None:
            return
        if kind in EXPIRING:
            first = max(first, policy.cutoff(self.account, at=self.at) + dt.timedelta(days=1))
        day = first
        while day <= self.day:
            self._day(kind, day, objects.get(day))
            day += dt.timedelta(days=1)
            self._beat()

    def _day(self, kind: Kind, day: dt.date, there: BackupObject | None) -> None:
        if kind == Kind.EVENTS:
            known = int(there.fingerprint or 0) if there is not None and there.key else 0
            if highest := source.new_events(self.account, day, known):
                self._write(kind, day, str(highest), lambda old: self._events(day, old))
            return
        seen = source.seen(self.account, kind, day)
        if there is not None and there.key and there.fingerprint == seen.fingerprint:
            if there.error == "shrunk":
                BackupObject.objects.filter(pk=there.pk).update(error="")
            return
        missing = there.n_rows - seen.n_rows if there is not None and there.key else 0
        if there is not None and missing > max(MISSING_ROWS, there.n_rows * MISSING_SHARE) and not self.accept_missing:
            BackupObject.objects.filter(pk=there.pk).update(error="shrunk")
            self.run.n_failed += 1
            return
        if seen.n_rows or there is not None:
            self._write(kind, day, seen.fingerprint, lambda old: source.rows_of(self.account, kind, day))

    def _events(self, day: dt.date, old: BackupObject) -> Iterator[Row]:
        """What there is, and what was there and has left the database after its week: a call is folded from both."""
        yield from source.rows_of(self.account, Kind.EVENTS, day)
        if not old.key:
            return
        for page in paged(rows_in(old, keys=self.keys), source.PAGE):
            ids = {row.pk for row in page}
            live = set(CallEvent.objects.for_account(self.account).filter(pk__in=ids).values_list("pk", flat=True))
            call_keys = {row.values["call_key"] for row in page}
            calls = Call.objects.for_account(self.account).filter(call_key__in=list(call_keys))
            kept = {bytes(key) for key in calls.values_list("call_key", flat=True)}
            yield from (row for row in page if row.pk not in live and row.values["call_key"] in kept)

    def _write(self, kind: Kind, day: dt.date, fingerprint: str, rows: Callable[[BackupObject], Iterable[Row]]) -> None:
        there, _is_new = BackupObject.objects.get_or_create(account=self.account, kind=kind, day=day)
        try:
            written = replace(there, rows, keys=self.keys, at=self.at, fingerprint=fingerprint)
        except (Busy, Superseded):
            self.run.n_failed += 1  # whoever is at it may have begun before what changed; looked at again
        except Broken:
            self.run.n_failed += 1
        except Exception:
            log.exception("backup of account %s: %s of %s failed", self.account.pk, kind, day)
            self.run.n_failed += 1
        else:
            self.run.n_written += written is not None
            self.run.n_rows += written.n_rows if written is not None else 0
        self._beat()

    def _drop_old_nights(self) -> None:
        if holds.look(self.account).is_whole:
            return  # who people were then is part of what is held
        oldest = self.day - dt.timedelta(days=NIGHTS - 1)
        kinds = BackupObject.objects.for_account(self.account).filter(kind__in=OF_THE_NIGHT)
        for one in kinds.filter(day__lt=oldest):
            # A night without a successor stays: better an old state than none.
            if kinds.filter(kind=one.kind, day__gt=one.day).exclude(key="").exists():
                drop(one, at=self.at, cause=f"backup:{self.run.pk}")

    def _read_again(self) -> None:
        old = BackupObject.objects.for_account(self.account).without_manifest().exclude(key="")
        old = old.filter(verified_at__lt=timezone.now() - READ_AGAIN_AFTER).order_by("verified_at", "pk")
        for one in old[:READ_AGAIN_AT_MOST]:
            self.run.n_failed += not verify(one, keys=self.keys)
            self._beat()

    def _beat(self) -> None:
        self.run.heartbeat_at = timezone.now()
        self._save("heartbeat_at")

    def _save(self, *names: str) -> None:
        counted = ("n_written", "n_rows", "n_expired", "n_failed")
        values = {name: getattr(self.run, name) for name in (*names, *counted)}
        if not BackupRun.objects.filter(pk=self.run.pk, lease=self.run.lease).update(**values):
            raise Superseded
