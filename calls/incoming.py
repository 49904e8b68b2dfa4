"""Sound files on their way into records: from the API, from an announced address, from a folder.

What must never happen: a file that was said to be taken is lost, or stands in two records. So a file lies whole in the
spool before a row names it; the row goes on to the store and only then, in one transaction, into the record of its call.
Where the store is away the row waits with its file in the spool; where the call is not known, with its file in the
store, for a week. Killed anywhere, the next pass goes on from what the row says.
"""

import datetime as dt
import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Sum
from django.utils.translation import gettext_noop

from callcenter_site import legal_holds
from callcenter_site.erasure import delete_rows
from calls import spool
from calls.envelope import call_key_of
from calls.models import AudioState, Call, CallAudio, IncomingSound, Recording, SoundKind, Voicemail
from calls.recordings import MISSING, examined, new_key, peaks_of, write_file
from configuration.models import Account

log = logging.getLogger(__name__)

MODELS: dict[str, type[Recording] | type[Voicemail]] = {SoundKind.RECORDING: Recording, SoundKind.VOICEMAIL: Voicemail}
HAS = {SoundKind.RECORDING: "has_recording", SoundKind.VOICEMAIL: "has_voicemail"}
LEASE = dt.timedelta(minutes=10)
"""How long whoever stores a file has it for themselves."""
FIRST_RETRY = dt.timedelta(seconds=5)
LAST_RETRY = dt.timedelta(minutes=5)
WAITS_FOR_CALL = dt.timedelta(days=7)
MOST_WAITING = 20_000
"""Files of one account that wait for their calls."""
SHARE = 2
"""One account may take this part of the spool, so that the others have room when the store is away."""

OTHER_FILE = gettext_noop("another file is stored under this reference")
STORE_AWAY = gettext_noop("the store does not answer (%(error)s)")
ERRORS = (OTHER_FILE, STORE_AWAY)

State = IncomingSound.State


class OtherFileStored(Exception):
    """The platform's reference has its file already, and it is another one."""


class TooManyWaiting(Exception):
    """The account has no more room for files whose calls are not known."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file: it stands in a record, or is on its way there."""

    is_new: bool
    audio: CallAudio | None = None
    incoming: IncomingSound | None = None


def take(
    *,
    account: Account,
    kind: str,
    call_id: str,
    part: spool.Part,
    at: dt.datetime,
    reference: str = "",
    recorded_at: dt.datetime | None = None,
    duration_seconds: float | None = None,
) -> Taken:
    """Takes a file that lies in the spool, all of it; committed when this returns. The same again changes nothing.

    Raises `ValidationError` on `file`, `OtherFileStored`, `TooManyWaiting` and `spool.SpoolFull`.
    """
    sound = examined(part.file)
    call_key = call_key_of(account.pk, call_id)
    known = _known(account, kind, call_key, part.sha256)
    if known is not None:
        return known
    call = Call.objects.for_account(account).filter(call_key=call_key).first()
    if call is not None and _other_file(MODELS[kind], call, reference, part.sha256):
        raise OtherFileStored
    _make_room(account, part.n_bytes, is_known=call is not None)
    row = IncomingSound(
        account=account,
        kind=kind,
        call_id=call_id,
        call_key=call_key,
        reference=reference,
        recorded_at=recorded_at,
        duration_seconds=sound.seconds if duration_seconds is None else duration_seconds,
        content_type=sound.content_type,
        n_bytes=part.n_bytes,
        sha256=part.sha256,
        peaks=peaks_of(part.file, sound),
        received_at=at,
        attempts=1,
        retry_at=at + LEASE,
        spool_name=part.keep(),
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        spool.delete(row.spool_name)
        known = _known(account, kind, call_key, part.sha256)  # somebody else's, at the same time
        if known is None:
            raise
        return known
    _store(row, at=at)
    attached = _attach(row.pk, at=at)
    if attached is not None:
        return attached
    now = _known(account, kind, call_key, part.sha256)  # another worker may have put it in meanwhile
    return Taken(True, audio=now.audio if now else None, incoming=now.incoming if now else row)


def _known(account: Account, kind: str, call_key: bytes, sha256: str) -> Taken | None:
    rows = MODELS[kind].objects.for_account(account)
    audio = rows.filter(call__account=account, call__call_key=call_key, sha256=sha256, state=AudioState.STORED).first()
    if audio is not None:
        return Taken(False, audio=audio)
    waiting = IncomingSound.objects.for_account(account).filter(kind=kind, call_key=call_key, sha256=sha256).first()
    return Taken(False, incoming=waiting) if waiting is not None else None


def _other_file(model: type[CallAudio], call: Call, reference: str, sha256: str) -> bool:
    if not reference:
        return False
    stored = model._default_manager.filter(call=call, state=AudioState.STORED, reference=reference)
    return stored.exclude(sha256=sha256).exists()


def _make_room(account: Account, n_bytes: int, *, is_known: bool) -> None:
    mine = IncomingSound.objects.for_account(account)
    if not is_known and mine.filter(state=State.WAITING).order_by()[:MOST_WAITING].count() >= MOST_WAITING:
        raise TooManyWaiting
    spooled = mine.filter(state=State.SPOOLED).aggregate(total=Sum("n_bytes"))["total"] or 0
    if spooled and spooled + n_bytes > settings.SPOOL_BYTES // SHARE:
        raise spool.SpoolFull


# --- Into the store --------------------------------------------------------------------------------------------------


def _store(row: IncomingSound, *, at: dt.datetime) -> bool:
    """Moves a file that the caller has for itself from the spool into the store. A store that is away puts it off."""
    rows = IncomingSound.objects.filter(pk=row.pk, state=State.SPOOLED)
    left_over, key = row.key, new_key(row.kind, row.content_type)
    if rows.filter(key=left_over).update(key=key) != 1:
        return False
    try:
        if left_over:
            default_storage.delete(left_over)  # an earlier attempt may have been cut off after it was written
        with spool.path_of(row.spool_name).open("rb") as file:
            saved = write_file(key, file, row.sha256)
    except Exception as error:  # whatever a storage raises: the file waits, safe in the spool
        wait = min(LAST_RETRY, FIRST_RETRY * 2 ** min(row.attempts - 1, 10))
        log.warning("a sound file waits in the spool: %s", type(error).__name__)
        rows.filter(key=key).update(retry_at=at + wait, error=(STORE_AWAY % {"error": type(error).__name__})[:200])
        return False
    if saved != key or rows.filter(key=key).update(state=State.WAITING, retry_at=at, attempts=0, error="") != 1:
        default_storage.delete(saved)  # the row went, or another worker took over: nothing would name this file
        return False
    spool.delete(row.spool_name)
    IncomingSound.objects.filter(pk=row.pk).update(spool_name="")
    return True


def store_due(*, at: dt.datetime, limit: int = 50) -> int:
    """Moves files that wait in this machine's spool into the store, oldest first; how many. Stops where it is away."""
    n_stored = 0
    due = IncomingSound.objects.filter(state=State.SPOOLED, retry_at__lte=at).order_by("pk")
    for row in due[: limit * 4]:
        if not spool.holds(row.spool_name):
            if at - row.received_at > WAITS_FOR_CALL:
                _forget(row)
            continue  # another machine took it in, and stores it
        claimed = IncomingSound.objects.filter(pk=row.pk, state=State.SPOOLED, retry_at=row.retry_at)
        if claimed.update(retry_at=at + LEASE, attempts=min(row.attempts + 1, 1000)) != 1:
            continue
        row.attempts += 1
        if not _store(row, at=at):
            break
        _attach(row.pk, at=at)
        n_stored += 1
        if n_stored >= limit:
            break
    for row in IncomingSound.objects.filter(state=State.WAITING).exclude(spool_name="").order_by("pk")[:limit]:
        spool.delete(row.spool_name)  # cut off between the two
        IncomingSound.objects.filter(pk=row.pk).update(spool_name="")
    return n_stored


# --- Into the record -------------------------------------------------------------------------------------------------


def attach_due(*, at: dt.datetime, limit: int = 500) -> int:
    """Puts files into the records of calls that have become known meanwhile; how many."""
    calls = Call.objects.filter(account_id=OuterRef("account_id"), call_key=OuterRef("call_key"))
    waiting = IncomingSound.objects.filter(Exists(calls), state=State.WAITING, retry_at__lte=at).order_by("pk")
    return sum(_attach(pk, at=at) is not None for pk in list(waiting.values_list("pk", flat=True)[:limit]))


def _attach(pk: int, *, at: dt.datetime) -> Taken | None:
    """Puts a stored file into its call's record; as the row there, new unless the record had this file already. None where
    the call is not known, or somebody else has put it in."""
    unwanted = ""
    with transaction.atomic():
        row = IncomingSound.objects.select_for_update().filter(pk=pk, state=State.WAITING).first()
        if row is None:
            return None
        # Whoever appends to a call locks it, so that two files of one call come one after the other.
        call = Call.objects.for_account(row.account_id).filter(call_key=row.call_key).select_for_update().first()
        if call is None:
            return None
        model = MODELS[row.kind]
        audio: CallAudio | None = model._default_manager.filter(call=call, sha256=row.sha256, state=AudioState.STORED).first()
        is_new = audio is None
        if audio is not None:
            unwanted = row.key
        elif _other_file(model, call, row.reference, row.sha256):
            IncomingSound.objects.filter(pk=pk).update(error=OTHER_FILE, retry_at=at + WAITS_FOR_CALL)
            return None
        else:
            audio, unwanted = _put_in(model, call, row)
            Call.objects.filter(pk=call.pk).update(**{HAS[row.kind]: True})
            IncomingSound.objects.filter(pk=pk).delete()
    if unwanted:
        default_storage.delete(unwanted)  # the file goes before the row that names it
        IncomingSound.objects.filter(pk=pk).delete()
    return Taken(is_new, audio=audio)


def _put_in(model: type[Recording] | type[Voicemail], call: Call, row: IncomingSound) -> tuple[CallAudio, str]:
    """The record's row of the file, and a file that nothing names any more."""
    facts: dict[str, Any] = {
        "state": AudioState.STORED,
        "key": row.key,
        "content_type": row.content_type,
        "n_bytes": row.n_bytes,
        "sha256": row.sha256,
        "peaks": row.peaks,
        "retry_at": None,
        "error": "",
    }
    announced = _announced(model, call, row.reference)
    if announced is not None:
        left_over = announced.key
        if announced.duration_seconds is None:
            facts["duration_seconds"] = row.duration_seconds
        if model._default_manager.filter(pk=announced.pk, state__in=MISSING, key=left_over).update(**facts) == 1:
            announced.refresh_from_db()
            return announced, left_over
    group = {"skill_group_id": call.skill_group_id} if model is Voicemail else {}
    audio = model(
        account_id=call.account_id,
        call=call,
        event_key=upload_key(call.account_id, bytes(call.call_key), row.sha256),
        recorded_at=row.recorded_at or call.answered_at or call.started_at,
        duration_seconds=row.duration_seconds,
        reference=row.reference,
        **group,
    )
    for name, value in facts.items():
        setattr(audio, name, value)
    audio.save(force_insert=True)
    return audio, ""


def _announced(model: type[CallAudio], call: Call, reference: str) -> CallAudio | None:
    """The row that waits for this file: the one of its reference, or of a file of its name elsewhere; without a reference,
    the only row that waits."""
    waiting = list(model._default_manager.select_for_update().filter(call=call, state__in=MISSING).order_by("pk"))
    if not reference:
        return waiting[0] if len(waiting) == 1 else None
    exact = [row for row in waiting if row.reference == reference]
    named = exact or [row for row in waiting if same_file(row.reference, reference)]
    return named[0] if named else None


def same_file(one: str, other: str) -> bool:
    """Whether two references speak of one file: a platform tells a path, and the file comes by another or by its name."""
    names = {reference.partition("?")[0].replace("\\", "/").rpartition("/")[2] for reference in (one, other)}
    return len(names) == 1 and "" not in names


def upload_key(account_id: int, call_key: bytes, sha256: str) -> bytes:
    """What stands in place of an event's key where a file came without an event that announced it."""
    return hashlib.sha256(f"sound/{account_id}/{call_key.hex()}/{sha256}".encode()).digest()


# --- What nobody came for --------------------------------------------------------------------------------------------


def forget_unclaimed(*, at: dt.datetime, limit: int = 500) -> int:
    """Deletes files whose calls did not become known within a week, and what a dead process left in the spool."""
    old = IncomingSound.objects.filter(state=State.WAITING, received_at__lt=at - WAITS_FOR_CALL).order_by("pk")
    n_forgotten, after = 0, 0
    while page := list(old.filter(pk__gt=after)[:limit]):
        n_forgotten, after = n_forgotten + sum(_forget(row) for row in page), page[-1].pk
    left = [name for name in spool.left_behind() if not name.endswith(spool.PART)]
    named = set(IncomingSound.objects.filter(spool_name__in=left).values_list("spool_name", flat=True)) if left else set()
    spool.sweep(named)
    return n_forgotten


def _forget(row: IncomingSound) -> bool:
    with transaction.atomic():
        if legal_holds.kept([row]):
            return False
    try:
        if row.key:
            default_storage.delete(row.key)
    except Exception as error:  # whatever a storage raises: the row stays and names the file
        log.warning("a sound file could not be deleted: %s", type(error).__name__)
        return False
    if row.spool_name:
        spool.delete(row.spool_name)
    # Raw: the row of a person's call must not be told in any log.
    return bool(delete_rows(IncomingSound.objects.filter(pk=row.pk, key=row.key)))
