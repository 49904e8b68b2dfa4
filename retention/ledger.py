"""The chain that proves what was deleted, when, and that nobody changed the tale since.

Each entry carries the hash of the one before it. One row, the head, says which is last, and whoever appends holds it
until their transaction ends: the chain has no gap and no fork, however many write at once. So append late in a
transaction, and keep what follows short. An entry has ids and counts, nothing personal and no free text.
"""

import datetime as dt
import enum
import hashlib
import json
from collections.abc import Mapping

from django.db import transaction

from retention.models import LedgerEntry, LedgerHead
from retention.policy import VERSION

BEGINNING = b"\0" * 32
"""What the first entry names as the one before it."""
HEAD_ID = 1


class LedgerKind(enum.StrEnum):
    PURGE = "purge"
    FILES = "files"
    HOLD_PLACED = "hold_placed"
    HOLD_RELEASED = "hold_released"
    PLAN = "plan"
    REQUEST_RECEIVED = "request_received"
    REQUEST_APPROVED = "request_approved"
    REQUEST_REJECTED = "request_rejected"
    REQUEST_CANCELLED = "request_cancelled"
    REQUEST_COMPLETED = "request_completed"
    ERASURE_STEP = "erasure_step"
    VERIFICATION = "verification"
    TERMINATION = "termination"
    REACTIVATION = "reactivation"
    KEY_DESTROYED = "key_destroyed"
    ACCESS_EXPORT = "access_export"
    EXPORT = "export"
    BACKUP = "backup"
    BACKUP_REWRITTEN = "backup_rewritten"
    RESTORE = "restore"
    SWEEP = "sweep"


class LedgerBusy(Exception):
    """Somebody else appended in between; the transaction is to be tried again."""


def append(
    *,
    kind: LedgerKind,
    account_id: int | None,
    at: dt.datetime,
    store: str = "",
    counts: Mapping[str, int] | None = None,
    request_id: str = "",
    note_code: str = "",
) -> LedgerEntry:
    """Adds the next link, in the caller's transaction."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("append to the ledger in the transaction of what it tells of")
    head = LedgerHead.objects.select_for_update().filter(pk=HEAD_ID).first()
    if head is None:  # a migration makes it; here is an emptied database
        LedgerHead.objects.get_or_create(pk=HEAD_ID, defaults={"entry_hash": BEGINNING})
        head = LedgerHead.objects.select_for_update().get(pk=HEAD_ID)
    entry = LedgerEntry(
        position=head.position + 1,
        at=at.astimezone(dt.UTC),
        kind=LedgerKind(kind).value,
        account_id=account_id,
        request_id=request_id,
        store=store,
        counts={name: int(n) for name, n in (counts or {}).items()},
        note_code=note_code,
        policy_version=VERSION,
        previous_hash=bytes(head.entry_hash),
    )
    entry.entry_hash = hash_of(entry)
    # SQLite knows no row locks, so the head moves only from where it was read.
    here = LedgerHead.objects.filter(pk=HEAD_ID, position=head.position)
    if here.update(position=entry.position, entry_hash=entry.entry_hash) != 1:
        raise LedgerBusy
    entry.save(force_insert=True)
    return entry


def told(entry: LedgerEntry) -> dict[str, object]:
    """An entry in the form that is hashed and kept outside of the database."""
    return {
        "position": entry.position,
        "at": entry.at.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        "kind": entry.kind,
        "account": entry.account_id,
        "request": entry.request_id,
        "store": entry.store,
        "counts": entry.counts,
        "note": entry.note_code,
        "policy": entry.policy_version,
        "previous": bytes(entry.previous_hash).hex(),
    }


def hash_of(entry: LedgerEntry) -> bytes:
    plain = json.dumps(told(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(plain.encode()).digest()
