"""Takes sound files from a folder that a telephone system writes recordings into.

A file is taken once it is whole: untouched for a while, and its call, where that is known, over. Its name holds the id of
the call. What was taken is moved aside or deleted, only after it stands in a row; what cannot be taken is moved aside
with a count of why. Links are not followed, and nothing outside the folder is read. Cut off anywhere, the next look
finds the same files, and a file taken twice is one.
"""

import configparser
import csv
import datetime as dt
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import ValidationError

from callcenter_site import sound_files
from callcenter_site.sound_files import SoundError
from calls import incoming, spool
from calls.envelope import call_key_of
from calls.models import Call, SoundKind, Voicemail
from calls.recordings import MISSING
from configuration.models import Account

log = logging.getLogger(__name__)

STILL_SECONDS = 10
OPEN_CALL = dt.timedelta(hours=12)
"""How long a file waits for the end of its call; one that never ends must not hold it for good."""
DEPTH = 5
ENDINGS = frozenset({".wav", ".mp3", ".ogg", ".opus", ".m4a", ".mp4"})
STORED, REFUSED = ".stored", ".refused"
OLD = dt.timedelta(days=8)
NAME = re.compile(r"(?:^|[-_])(?P<id>[0-9]{9,11}\.[0-9]+)$")
"""How MixMonitor's files usually end: the channel's unique id."""
_HALF = re.compile(r"[-_](?:in|out|rx|tx|mix)$")
_LINKED_ID = re.compile(r"(?:[A-Za-z0-9_]+-)*[0-9]{9,11}\.[0-9]+")


@dataclass(slots=True)
class Watch:
    """What is looked at, and how."""

    account: Account
    folder: Path
    deletes: bool = False
    prefix: str = ""
    """What the connection puts before the platform's ids, where several platforms share an account."""
    name: re.Pattern[str] = NAME
    calls: dict[str, str] = field(default_factory=dict)
    """Ids of channels, with the id of the call each was a part of (`calls_of_cdr`)."""
    kind: str = SoundKind.RECORDING
    still_seconds: float = STILL_SECONDS


def watch_configured(*, at: dt.datetime) -> dict[str, int]:
    """The folder of the settings, once."""
    account = Account.objects.filter(slug=settings.RECORDINGS_ACCOUNT, terminated_at=None).first()
    if account is None:
        log.error("RECORDINGS_ACCOUNT names no account; the recordings folder is not looked at")
        return {}
    return dict(take_folder(Watch(account, Path(settings.RECORDINGS_DIR), deletes=settings.RECORDINGS_AFTER == "DELETE"), at=at))


def take_folder(watch: Watch, *, at: dt.datetime) -> Counter[str]:
    """Takes what is there and whole; how many by what became of them. Stops where the spool is full."""
    counts: Counter[str] = Counter()
    for path in _files(watch.folder):
        try:
            counts[_take_file(watch, path, at)] += 1
        except spool.SpoolFull:
            counts["no_room"] += 1
            break
        except OSError as error:  # it went meanwhile, or may not be read: the others do not wait for it
            log.warning("a file in the recordings folder could not be read: %s", type(error).__name__)
            counts["unreadable"] += 1
    return counts


def _take_file(watch: Watch, path: Path, at: dt.datetime) -> str:
    call_id, call = call_of(watch, path.stem)
    if not call_id:
        return "unknown_name"
    with _opened(path) as file:
        changed = dt.datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, dt.UTC)
        quiet_for = at - changed
        if quiet_for < dt.timedelta(seconds=watch.still_seconds):
            return "being_written"
        if call is not None and call.ended_at is None and quiet_for < OPEN_CALL:
            return "being_written"  # on hold nothing is written, and the file goes on after it
        with spool.coming_in(os.fstat(file.fileno()).st_size) as part:
            try:
                spool.read_into(part, file.read)
                sound = sound_files.examine(part.file)
                taken = incoming.take(
                    account=watch.account,
                    kind=watch.kind,
                    call_id=call_id,
                    part=part,
                    at=at,
                    reference=str(path.relative_to(watch.folder))[:2000],
                    recorded_at=_began(call, changed - dt.timedelta(seconds=sound.seconds)),
                )
            except (SoundError, ValidationError, spool.TooLarge, incoming.OtherFileStored) as error:
                is_empty = isinstance(error, SoundError) and error.is_empty
                _move_aside(watch, path, STORED if is_empty else REFUSED)
                return "empty" if is_empty else "refused"
            except incoming.TooManyWaiting as error:
                raise spool.SpoolFull from error
    _move_aside(watch, path, STORED)
    if not taken.is_new:
        return "known"
    return "taken" if taken.audio is not None else "waiting"


def call_of(watch: Watch, stem: str) -> tuple[str, Call | None]:
    """Id of the call that a file's name speaks of, and the call if it is known; an empty id: none.

    Where an id begins cannot be told from a name alone: a system's name stands before some, and a queue's looks the same.
    So of what it may be, the one that is known counts.
    """
    stem = _HALF.sub("", stem)
    found = watch.name.search(stem)
    if watch.name is not NAME:
        possible = [found["id"]] if found is not None else []
    else:
        words = stem.split("-")
        possible = ([found["id"]] if found else []) + ["-".join(words[n:]) for n in range(len(words) - 1, -1, -1)][:4]
    of_parts = next((watch.calls[one] for one in possible if one in watch.calls), None)
    ids = [f"{watch.prefix}{one}" for one in ([of_parts] if of_parts else possible)]
    keys = {call_key_of(watch.account.pk, one): one for one in ids}
    known = {keys[bytes(call.call_key)]: call for call in Call.objects.for_account(watch.account).filter(call_key__in=list(keys))}
    for one in ids:
        if one in known:
            return one, known[one]
    return (ids[0], None) if ids and (found or of_parts) else ("", None)


def _began(call: Call | None, moment: dt.datetime) -> dt.datetime | None:
    """When the file was begun, by its own time: only where that can be, for a copied file tells when it was copied."""
    if call is None or call.ended_at is None:
        return None
    slack = dt.timedelta(seconds=5)
    return moment if call.started_at - slack <= moment <= call.ended_at + slack else None


def _files(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Sound files in a folder and those below it, by name. No links, and nothing that begins with a dot."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_file(follow_symlinks=False) and Path(entry.name).suffix.lower() in ENDINGS:
            yield Path(entry.path)
        elif depth > 1 and entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), depth - 1)


def _opened(path: Path) -> IO[bytes]:
    """A plain file, also where somebody puts a link in its place after it was listed."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _move_aside(watch: Watch, path: Path, where: str) -> None:
    if watch.deletes and where == STORED:
        path.unlink(missing_ok=True)
        return
    target = watch.folder / where / path.relative_to(watch.folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    while target.exists():
        target = target.with_name(f"{target.stem}~{target.suffix}")
    shutil.move(path, target)


def calls_of_cdr(lines: Iterator[str]) -> dict[str, str]:
    """From a CDR file of Asterisk with `linkedid` behind `uniqueid`: which call each channel was a part of.

    A recording of the second part of an attended transfer is named by a channel that is not the call's own.
    """
    calls: dict[str, str] = {}
    for row in csv.reader(lines):
        for unique, linked in pairwise(row):
            if _LINKED_ID.fullmatch(linked) and re.fullmatch(r"[\w.-]{6,150}", unique) and re.search(r"[0-9]", unique):
                calls[unique] = linked
    return calls


# --- Voicemail -------------------------------------------------------------------------------------------------------


def take_voicemail(*, account: Account, folder: Path, at: dt.datetime) -> Counter[str]:
    """Takes the messages of Asterisk's voicemail that records wait for. The files stay: their numbers are Asterisk's."""
    counts: Counter[str] = Counter()
    for path in _files(folder):
        note = path.with_suffix(".txt")
        if path.suffix.lower() != ".wav" or not note.is_file() or note.is_symlink():
            continue
        try:
            counts[_take_message(account, folder, path, note, at)] += 1
        except spool.SpoolFull:
            counts["no_room"] += 1
            break
        except OSError as error:
            log.warning("a voicemail could not be read: %s", type(error).__name__)
            counts["unreadable"] += 1
    return counts


def _take_message(account: Account, folder: Path, path: Path, note: Path, at: dt.datetime) -> str:
    message = _read_note(note)
    if message is None:
        return "unreadable"
    mailbox, left_at, seconds = message
    if at - left_at > OLD:
        return "old"
    # The platform tells of a message when it is there, so its row has the time of its end.
    near = Voicemail.objects.for_account(account).filter(
        recorded_at__gte=left_at - dt.timedelta(seconds=5), recorded_at__lte=left_at + dt.timedelta(seconds=seconds + 60)
    )
    rows = [row for row in near.select_related("call").order_by("recorded_at") if row.reference.partition("@")[0] == mailbox]
    waiting = [row for row in rows if row.state in MISSING]
    if not waiting:
        return "known" if rows else "unknown_call"
    row = min(waiting, key=lambda one: abs((one.recorded_at - left_at).total_seconds() - seconds))
    with _opened(path) as file, spool.coming_in(os.fstat(file.fileno()).st_size) as part:
        try:
            spool.read_into(part, file.read)
            taken = incoming.take(
                account=account,
                kind=SoundKind.VOICEMAIL,
                call_id=row.call.call_id,
                part=part,
                at=at,
                reference=row.reference,
                recorded_at=left_at,
            )
        except (ValidationError, spool.TooLarge, incoming.OtherFileStored):
            return "refused"
        except incoming.TooManyWaiting as error:
            raise spool.SpoolFull from error
    return "taken" if taken.is_new else "known"


def _read_note(path: Path) -> tuple[str, dt.datetime, int] | None:
    """Mailbox, time and length that the text beside a message tells."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        with _opened(path) as file:
            parser.read_string(file.read(16_384).decode(errors="replace"))
        told: Any = parser["message"]
        left_at = dt.datetime.fromtimestamp(int(told["origtime"]), dt.UTC)
        return told["origmailbox"].partition("@")[0], left_at, int(told.get("duration") or 0)
    except (configparser.Error, KeyError, ValueError, OverflowError):
        return None
