"""How a deletion reaches the backups: a day that has expired, a subject that was erased, an account that was terminated.

What must never happen: what is gone from the database stays in a backup, or comes back with one; or what a legal hold
keeps goes. An object is never edited: another takes its place without the rows, and the old one goes with all its
versions. Whoever asks has deleted the live rows before, in a transaction that is committed: an object that is written
meanwhile was either begun before, and is then found busy and left to be done again, or begun after and has none of them.
"""

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q

from calls.models import Call
from configuration.models import Account
from retention import holds, outbox, policy
from retention.backups.crypt import Keys, Unreadable
from retention.backups.kinds import EXPIRING, Kind
from retention.backups.manifest import write_manifest
from retention.backups.objects import Busy, Superseded, drop, paged, replace, rows_in
from retention.backups.rows import Row
from retention.ledger import LedgerKind, append
from retention.models import BackupObject

log = logging.getLogger(__name__)

Change = Callable[[Sequence[Row]], Sequence[Row | None]]
"""What becomes of a page of rows, in their order: of each itself, another in its place, or None when it goes."""
Place = list[Any]
"""How far somebody has come, in JSON: day and id of the object looked at last."""
PAGE = 500


class Rewritten(NamedTuple):
    n_objects: int
    """Objects looked at."""
    n_found: int
    """Rows that were to go or to be changed."""
    n_changed: int
    """Of these, those that did."""
    n_held: int
    """Of these, those that a legal hold keeps."""
    n_left: int
    """Objects that could not be done, because they do not open or are being written: to be asked for again."""


class Found(NamedTuple):
    n_objects: int
    n_rows: int
    n_unreadable: int


def rewrite_days(
    *,
    account: Account,
    change: Change,
    at: dt.datetime,
    kinds: Collection[str] | None = None,
    request_id: str = "",
    cause: str = "",
    after: Place | None = None,
    told: Callable[[Place, Rewritten], None] | None = None,
) -> Rewritten:
    """Has rows of backups deleted or changed, in all objects, or in those of certain kinds.

    `told` hears of each object once it is done, and may stop the rest by raising; `after` goes on from there. Done twice,
    the second finds nothing. The old objects go through the outbox under `cause`; `outbox.left` says when they are gone.
    """
    total = Rewritten(0, 0, 0, 0, 0)
    for there in _objects(account, None, kinds, after):
        done = _rewrite(account, there, change, at=at, cause=cause or f"backup:{there.pk}")
        total = Rewritten(*(one + other for one, other in zip(total, done, strict=True)))
        if told is not None:
            told([there.day.isoformat(), there.pk], done)
    if total.n_changed or after:
        write_manifest(account=account, at=at, cause=cause or "backup:manifest")
    with transaction.atomic():
        counts = {name: n for name, n in total._asdict().items() if n}
        append(
            kind=LedgerKind.BACKUP_REWRITTEN,
            account_id=account.pk,
            at=at,
            store="backups",
            counts=counts,
            request_id=request_id,
        )
    return total


def search(
    *,
    account: Account,
    change: Change,
    days: Collection[dt.date] | None = None,
    kinds: Collection[str] | None = None,
    beat: Callable[[], None] | None = None,
) -> Found:
    """How many rows of backups a change would touch: those in which somebody stands. An object that does not open was not
    searched. `days` are those on which calls ended; `beat` is called before each object, to show that the caller lives."""
    keys = Keys.of(account.pk)
    n_objects = n_found = n_unreadable = 0
    for there in _objects(account, days, kinds):
        n_objects += 1
        if beat is not None:
            beat()
        try:
            n_found += _n_touched(there, change, keys)
        except (Unreadable, OSError):
            log.warning("backup object %s cannot be searched", there.pk)
            n_unreadable += 1
    return Found(n_objects, n_found, n_unreadable)


def expire(*, account: Account, at: dt.datetime) -> int:
    """Deletes objects of days whose calls have expired, or leaves in them what a legal hold keeps; how many went."""
    cutoff = policy.cutoff(account, at=at)
    n_gone = 0
    for there in BackupObject.objects.for_account(account).filter(kind__in=EXPIRING, day__lte=cutoff).order_by("day", "kind"):
        cause = f"backup:{there.pk}"
        with transaction.atomic():
            held = holds.look(account)
            if not held.is_any:
                n_gone += drop(there, at=at, cause=cause)
        if held.is_any and not held.keeps_day(there.day):
            done = _rewrite(account, there, lambda page: [None] * len(page), at=at, cause=cause)
            n_gone += bool(done.n_changed)
    return n_gone


def forget_account(*, account: Account, at: dt.datetime, cause: str) -> int:
    """Deletes everything that was backed up of an account, the manifest with its wrapped keys first; how many objects.

    Nothing may be made meanwhile: the account is terminated. Asked again until `outbox.left` is 0.
    """
    with transaction.atomic():
        if holds.look(account).is_whole:
            return 0
        rows = list(BackupObject.objects.for_account(account).order_by("-kind").select_for_update())
        rows.sort(key=lambda row: row.kind != BackupObject.MANIFEST)
        for row in rows:
            outbox.put(account=account, keys=[row.key, row.loose_key], at=at, cause=cause)
        BackupObject.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def _objects(
    account: Account, days: Collection[dt.date] | None, kinds: Collection[str] | None, after: Place | None = None
) -> Iterator[BackupObject]:
    rows = BackupObject.objects.for_account(account).without_manifest().exclude(key="")
    if after:
        day, pk = dt.date.fromisoformat(after[0]), int(after[1])
        rows = rows.filter(Q(day__gt=day) | Q(day=day, pk__gt=pk))
    for there in rows.order_by("day", "pk"):
        if kinds is not None and there.kind not in kinds:
            continue
        if days is not None and there.kind in (Kind.CALLS, Kind.EVENTS) and there.day not in days:
            continue
        yield there


class _Sieve:
    """Applies a change to rows, except to those under a hold."""

    def __init__(self, account: Account, change: Change) -> None:
        self.account, self.change = account, change
        self.n_found = self.n_changed = self.n_held = 0

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        for page in paged(rows, PAGE):
            new = self.change(page)
            touched = [row for row, other in zip(page, new, strict=True) if other is not row]
            held = self._held(touched) if touched else set()
            for row, other in zip(page, new, strict=True):
                if other is row:
                    yield row
                    continue
                self.n_found += 1
                if _call_of(row) in held:
                    self.n_held += 1
                    yield row
                    continue
                self.n_changed += 1
                if other is not None:
                    yield other

    def _held(self, rows: Iterable[Row]) -> set[object]:
        """Calls under a hold are still live, however old: what is held of a backup is what is held of them."""
        calls = holds.look(self.account).kept(Call.objects.for_account(self.account))
        keys = [row.values["call_key"] for row in rows if row.label == "calls.CallEvent"]
        ids = [one for row in rows if isinstance(one := _call_of(row), int)]
        found: set[object] = set(calls.filter(pk__in=ids).values_list("pk", flat=True))
        return found | {bytes(key) for key in calls.filter(call_key__in=keys).values_list("call_key", flat=True)}


def _call_of(row: Row) -> object:
    if row.label == "calls.CallEvent":
        return row.values["call_key"]
    return row.pk if row.label == "calls.Call" else row.values.get("call_id")


def _rewrite(account: Account, there: BackupObject, change: Change, *, at: dt.datetime, cause: str) -> Rewritten:
    keys = Keys.of(account.pk)
    try:
        # Read once before it is written: most objects hold nothing of what goes.
        touched = _n_touched(there, change, keys)
        if not touched:
            return Rewritten(1, 0, 0, 0, 0)
        with transaction.atomic():
            is_held = holds.look(account).keeps_day(there.day)
        if is_held:
            return Rewritten(1, touched, 0, touched, 0)
        sieve = _Sieve(account, change)
        replace(there, lambda now: sieve.through(rows_in(now, keys=keys)), keys=keys, at=at, cause=cause)
    except (Busy, Superseded, Unreadable, OSError) as error:
        log.warning("backup object %s is left: %s", there.pk, type(error).__name__)
        return Rewritten(1, 0, 0, 0, 1)
    return Rewritten(1, sieve.n_found, sieve.n_changed, sieve.n_held, 0)


def _n_touched(there: BackupObject, change: Change, keys: Keys) -> int:
    pages = paged(rows_in(there, keys=keys), PAGE)
    return sum(other is not row for page in pages for row, other in zip(page, change(page), strict=True))
