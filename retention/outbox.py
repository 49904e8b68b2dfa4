"""Files go after their rows, by way of an outbox: rows and what is to be deleted with them are committed together.

What must never happen: a file stays and nothing names it. A worker leases rows, deletes all versions of exactly these
files, and deletes the rows of those that are gone. A file the store does not give up is tried again, ever more rarely,
and shown as blocked; it is never given up.
"""

import datetime as dt
import hashlib
import logging
import secrets
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F

from callcenter_site.erasure import delete_rows
from callcenter_site.object_store import MOST_AT_ONCE, delete_objects
from calls import spool
from calls.erasure import SPOOLED
from configuration.models import Account
from retention.models import FileDeletion, LegalHold

log = logging.getLogger(__name__)

WORK_SECONDS = 50
LEASE = dt.timedelta(minutes=10)
FIRST_PAUSE = dt.timedelta(minutes=1)
LONGEST_PAUSE = dt.timedelta(hours=6)
BLOCKED_AFTER = 5
"""Failed tries until a file is shown as blocked; it is tried further."""


class OutboxResult(NamedTuple):
    n_deleted: int
    n_failed: int
    """Not gone; to be tried again."""
    n_blocked: int
    """Of those, failed so often that somebody should look."""


def put(*, account: Account | int, keys: Iterable[str], at: dt.datetime, cause: str) -> int:
    """Names files to be deleted, in the caller's transaction; how many. Named again, a file goes with the later cause."""
    account_id = account.pk if isinstance(account, Account) else account
    rows = [
        FileDeletion(account_id=account_id, key=key, key_hash=_hash(key), cause=cause, put_at=at, due_at=at)
        for key in sorted(set(keys) - {""})
    ]
    by_name: dict[str, Any] = {} if connection.vendor == "mysql" else {"unique_fields": ["account", "key_hash"]}
    FileDeletion.objects.bulk_create(rows, batch_size=2000, update_conflicts=True, update_fields=["cause", "due_at"], **by_name)
    return len(rows)


def left(*, account: Account | int, cause: str) -> int:
    """How many files named for a cause are not gone yet."""
    return int(FileDeletion.objects.for_account(account).filter(cause=cause).count())


def work(*, at: dt.datetime, limit: int = MOST_AT_ONCE) -> OutboxResult:
    """Deletes files that are due, at most so many. Files of an account that is wholly under a hold wait."""
    rows = _lease(at, min(limit, MOST_AT_ONCE))
    if not rows:
        return OutboxResult(0, 0, 0)
    failed = _delete({row.key for row in rows})
    lease = rows[0].lease
    gone = [row.pk for row in rows if row.key not in failed]
    n_deleted = delete_rows(FileDeletion.objects.filter(pk__in=gone, lease=lease))
    n_blocked = 0
    for row in rows:
        if row.key in failed:
            row.attempts += 1
            row.state = FileDeletion.State.BLOCKED if row.attempts >= BLOCKED_AFTER else row.state
            n_blocked += row.state == FileDeletion.State.BLOCKED
            FileDeletion.objects.filter(pk=row.pk, lease=lease).update(
                attempts=F("attempts") + 1,
                state=row.state,
                error=failed[row.key][:60],
                due_at=at + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(row.attempts - 1, 12)),
                lease=0,
                leased_until=None,
            )
    if failed:
        log.warning("%s of %s files could not be deleted; they are tried again", len(failed), len(rows))
    return OutboxResult(n_deleted, len(failed), n_blocked)


def work_off(*, at: dt.datetime, seconds: float = WORK_SECONDS) -> OutboxResult:
    """Works until nothing is due or the time is over."""
    began, total = time.monotonic(), OutboxResult(0, 0, 0)
    while True:
        result = work(at=at)
        total = OutboxResult(*(one + other for one, other in zip(total, result, strict=True)))
        if not (result.n_deleted or result.n_failed) or time.monotonic() - began > seconds:
            return total


def _lease(at: dt.datetime, limit: int) -> list[FileDeletion]:
    """Rows that are this worker's for a while. Two workers never get the same one: the second finds it leased."""
    held = LegalHold.objects.filter(kind=LegalHold.Kind.ACCOUNT, released_at=None).values("account_id")
    due = FileDeletion.objects.filter(due_at__lte=at).exclude(account_id__in=list(held.values_list("account_id", flat=True)))
    free = due.exclude(leased_until__gte=at)
    ids = list(free.order_by("due_at", "pk").values_list("pk", flat=True)[:limit])
    if not ids:
        return []
    lease = secrets.randbits(62) + 1
    with transaction.atomic():
        free.filter(pk__in=ids).order_by().update(lease=lease, leased_until=at + LEASE)
    return list(FileDeletion.objects.filter(lease=lease).order_by("pk"))


def _delete(keys: set[str]) -> dict[str, str]:
    """Deletes files of the store and of the spool; for those that are not gone, why."""
    failed = {}
    spooled = {key for key in keys if key.startswith(SPOOLED)}
    for key in spooled:
        try:
            spool.delete(key.removeprefix(SPOOLED))
        except (OSError, ValueError) as error:
            failed[key] = type(error).__name__
    stored = keys - spooled
    try:
        return failed | delete_objects(stored)
    except Exception as error:  # whatever a storage raises: all of it is tried again
        log.exception("the store could not be asked to delete files")
        return failed | dict.fromkeys(stored, type(error).__name__)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
