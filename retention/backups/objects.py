"""One object of a backup: written, read back, put in place, read.

What must never happen: an object counts as a backup that was not read back; a file lies in the store that no row names.
So a row names an object before there is one; a new object takes the place of the old only once it was opened and counted,
under the condition that nobody else did so meanwhile; the old one goes through the outbox, all its versions with it.
"""

import datetime as dt
import hashlib
import logging
import secrets
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from callcenter_site.object_store import read_object
from retention import outbox
from retention.backups.crypt import Hashing, Keys, Unreadable, Writer, read_lines
from retention.backups.kinds import places
from retention.backups.rows import Lines, Row, n_rows, rows_from
from retention.models import BackupObject

log = logging.getLogger(__name__)

LEASE = dt.timedelta(minutes=10)
RENEWED_EVERY = 2000

ERRORS: dict[str, Promise] = {
    "shrunk": _("Rows are gone that nobody asked to delete. The backup still has them and was left as it is."),
    "store": _("The store could not be written or read. It is tried again."),
    "missing": _("The object is not in the store."),
    "changed": _("What lies in the store is not what was written."),
    "unreadable": _("The object does not open."),
    "failed": _("It could not be written. The failure is in the portal's log."),
}


class Busy(Exception):
    """Somebody else is writing this object."""


class Superseded(Exception):
    """Somebody else has put another object in place."""


class Broken(Exception):
    """An object is not what was written. The message is a key of `ERRORS`."""


def replace(
    there: BackupObject,
    rows: Callable[[BackupObject], Iterable[Row]],
    *,
    keys: Keys,
    at: dt.datetime,
    fingerprint: str | None = None,
    cause: str = "",
) -> BackupObject | None:
    """Writes an object, reads it back and puts it in place; None: there were no rows, and there is no object any more.

    `rows` is asked once the object is ours, with the row as it stands then. A fingerprint of None stays as it is.
    """
    ours = _take(there, at)
    new_key, cause = ours.loose_key, cause or f"backup:{ours.pk}"
    try:
        n_lines, n_bytes, sha256 = _store(ours, rows(ours), keys=keys)
        if not n_lines:
            _give_up(ours, at=at, cause=cause, with_object=True)
            return None
        ours.n_rows, ours.n_bytes, ours.sha256, ours.key = n_lines, n_bytes, sha256, new_key
        _read_back(ours, keys=keys)
        return _put_in_place(ours, at=at, cause=cause, fingerprint=fingerprint)
    except BaseException as error:
        # Also where somebody else took the object over: what was stored since is named by nobody.
        code = str(error) if isinstance(error, Broken) else "store" if isinstance(error, OSError) else "failed"
        ours.loose_key = new_key
        _give_up(ours, at=at, cause=cause, error=code)
        raise


def drop(there: BackupObject, *, at: dt.datetime, cause: str) -> bool:
    """Deletes an object, unless somebody has put another in its place; the store follows through the outbox."""
    with transaction.atomic():
        mine = BackupObject.objects.filter(pk=there.pk, version=there.version, loose_key=there.loose_key)
        if mine.exclude(leased_until__gte=timezone.now()).delete()[0]:
            outbox.put(account=there.account_id, keys=[there.key, there.loose_key], at=at, cause=cause)
            return True
    return False


def rows_in(there: BackupObject, *, keys: Keys) -> Iterator[Row]:
    """The rows of an object. Read to the end, they are known to be all."""
    lines = read_lines(read_object(there.key), keys=keys, kind=there.kind, day=there.day.isoformat())
    return rows_from(lines, {place.label: place.model for place in places()})


def verify(there: BackupObject, *, keys: Keys) -> bool:
    """Reads an object back and notes how it is."""
    same = BackupObject.objects.filter(pk=there.pk, version=there.version)
    try:
        _read_back(there, keys=keys)
    except Broken as error:
        log.error("backup object %s: %s", there.pk, error)
        same.update(error=str(error))
        return False
    same.update(verified_at=timezone.now(), error="")
    return True


def _take(there: BackupObject, at: dt.datetime) -> BackupObject:
    now = timezone.now()
    with transaction.atomic():
        row: BackupObject | None = BackupObject.objects.select_for_update().filter(pk=there.pk).first()
        if row is None:
            raise Superseded
        free = BackupObject.objects.filter(pk=row.pk, version=row.version, lease=row.lease)
        if row.leased_until is not None and row.leased_until >= now:
            raise Busy
        outbox.put(account=row.account_id, keys=[row.loose_key], at=at, cause=f"backup:{row.pk}")
        row.loose_key, row.lease = new_name(row.account_id), secrets.randbits(62) + 1
        if not free.update(loose_key=row.loose_key, lease=row.lease, leased_until=now + LEASE):
            raise Busy
    return row


def new_name(account_id: int, prefix: str = "") -> str:
    return f"backups/{account_id}/{prefix}{uuid.uuid4().hex}"


def _store(ours: BackupObject, rows: Iterable[Row], *, keys: Keys) -> tuple[int, int, str]:
    lines, n_lines = Lines(), 0
    with tempfile.TemporaryFile() as file:
        hashing = Hashing(file)
        writer = Writer(hashing, keys=keys, kind=ours.kind, day=ours.day.isoformat())
        for row in rows:
            for line in lines.of(row):
                writer.write(line)
            n_lines += 1
            if n_lines % RENEWED_EVERY == 0:
                _renew(ours)
        writer.finish()
        _renew(ours)
        if n_lines:
            file.seek(0)
            stored = default_storage.save(ours.loose_key, File(file))
            if stored != ours.loose_key:
                raise Broken("store")
    return n_lines, hashing.n_bytes, hashing.sha256.hexdigest()


def _renew(ours: BackupObject) -> None:
    mine = BackupObject.objects.filter(pk=ours.pk, lease=ours.lease)
    if not mine.update(leased_until=timezone.now() + LEASE):
        raise Superseded


def _read_back(there: BackupObject, *, keys: Keys) -> None:
    sha256 = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for piece in read_object(there.key):
            sha256.update(piece)
            yield piece

    try:
        n = n_rows(read_lines(pieces(), keys=keys, kind=there.kind, day=there.day.isoformat()))
    except FileNotFoundError as error:
        raise Broken("missing") from error
    except Unreadable as error:
        raise Broken("unreadable") from error
    except Exception as error:  # whatever a storage raises
        raise Broken("store") from error
    if n != there.n_rows or sha256.hexdigest() != there.sha256:
        raise Broken("changed")


def _put_in_place(ours: BackupObject, *, at: dt.datetime, cause: str, fingerprint: str | None) -> BackupObject:
    now = timezone.now()
    with transaction.atomic():
        mine = BackupObject.objects.filter(pk=ours.pk, version=ours.version, lease=ours.lease).select_for_update()
        old_key = mine.values_list("key", flat=True).first()
        ours.fingerprint = ours.fingerprint if fingerprint is None else fingerprint
        n = mine.update(
            key=ours.key,
            loose_key="",
            version=F("version") + 1,
            lease=0,
            leased_until=None,
            fingerprint=ours.fingerprint,
            n_rows=ours.n_rows,
            n_bytes=ours.n_bytes,
            sha256=ours.sha256,
            written_at=now,
            verified_at=now,
            error="",
        )
        gone = [old_key or ""] if n else [ours.key]
        outbox.put(account=ours.account_id, keys=gone, at=at, cause=cause)
    if not n:
        raise Superseded
    ours.version += 1
    ours.loose_key, ours.written_at, ours.verified_at = "", now, now
    return ours


def _give_up(ours: BackupObject, *, at: dt.datetime, cause: str, error: str = "", with_object: bool = False) -> None:
    """Lets go of an object: what was begun goes, and with `with_object` what stood there as well."""
    with transaction.atomic():
        mine = BackupObject.objects.filter(pk=ours.pk, lease=ours.lease, version=ours.version)
        if with_object:
            old_key = mine.values_list("key", flat=True).first() or ""
            if not mine.delete()[0]:
                raise Superseded
            outbox.put(account=ours.account_id, keys=[old_key, ours.loose_key], at=at, cause=cause)
            return
        mine.update(lease=0, leased_until=None, loose_key="", error=error)
        outbox.put(account=ours.account_id, keys=[ours.loose_key], at=at, cause=cause)


def paged(rows: Iterable[Row], limit: int) -> Iterator[list[Row]]:
    page: list[Row] = []
    for row in rows:
        page.append(row)
        if len(page) == limit:
            yield page
            page = []
    if page:
        yield page
