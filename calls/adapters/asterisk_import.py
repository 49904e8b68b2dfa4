"""Files of queue_log, read into the inbox.

What must never happen: a line is passed over because reading stopped, or counts twice because it was read again. So
events are named by what their line says, and the place reached is written down only after they are in the database.
Files are known by how they begin, not by their name: a log that was rotated, copied or compressed meanwhile is the
same log. A truncated one begins differently and is read from its start.
"""

import bz2
import contextlib
import datetime as dt
import gc
import gzip
import hashlib
import json
import lzma
import os
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from django.utils import timezone

from callcenter_site.bulk import parts
from calls.adapters.asterisk import Event
from calls.adapters.queue_log import LONGEST_LINE, LineProblem, QueueLog, parse_line
from calls.envelope import call_key_of
from calls.importing import Problems
from calls.ingest import accept_events, fold_due, get_ready
from calls.models import Call
from calls.vocabulary import AGENT_TYPES
from configuration.models import Account

LINES_AT_ONCE = 10_000
EVENTS_AT_ONCE = 4000
HEAD_BYTES = 4096
FILES_REMEMBERED = 64
CONFLICT = 409
_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass(slots=True)
class Summary:
    n_lines: int = 0
    n_events: int = 0
    """Events that are new."""
    n_known: int = 0
    n_in_error: int = 0
    n_expired: int = 0
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read: bytes and lines."""

    offset: int = 0
    line: int = 0


class Positions:
    """How far each file of a source was read, and what was under way there; a file beside the portal's other ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[dict[str, Any]] = []
        self.log: dict[str, Any] | None = None
        self.held: list[Event] = []
        with contextlib.suppress(FileNotFoundError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            self.files, self.log, self.held = kept["files"], kept["log"], kept["held"]

    def of(self, head: bytes) -> dict[str, Any] | None:
        """What is known of the file that begins so."""
        return next((known for known in self.files if known["head"] == _digest(head[: known["n"]], known["n"])), None)

    def note(self, head: bytes, place: "Place") -> None:
        known = self.of(head)
        if known is not None:
            self.files.remove(known)
        kept = {"n": len(head), "head": _digest(head, len(head)), "at": place.offset, "line": place.line}
        self.files = [*self.files, kept][-FILES_REMEMBERED:]

    def save(self) -> None:
        """All or nothing, also when the machine stops."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"files": self.files, "log": self.log, "held": self.held}, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _digest(head: bytes, n: int) -> str:
    return hashlib.sha256(head).hexdigest() if len(head) == n else ""


@dataclass(slots=True)
class QueueLogImport:
    """One run over the files of one source. A dry run reads and checks, and sends and remembers nothing."""

    account: Account
    log: QueueLog
    positions: Positions
    problems: Problems
    is_dry_run: bool = False
    is_from_start: bool = False
    lines_at_once: int = LINES_AT_ONCE
    summary: Summary = field(default_factory=Summary)
    _held: dict[str, list[Event]] = field(default_factory=dict)
    """Events of calls that are not over: those of one call go in together, and it is folded once."""

    def __post_init__(self) -> None:
        if self.is_from_start:
            return
        if self.positions.log is not None:
            self.log.take_up(self.positions.log)
        for event in self.positions.held:
            self._held.setdefault(event["subject"], []).append(event)

    # --- Reading -----------------------------------------------------------------------------------------------------

    def run(self, paths: list[Path], *, tell: Callable[[int], Any] = lambda n: None) -> Summary:
        """Reads the files to their ends, oldest first. `tell` is called with the bytes read since it was called last."""
        with _collecting_seldom():
            for path in sorted(paths, key=_first_time):
                with _open(path) as file:
                    head = self._head(file)
                    place = self._place(head)
                    tell(place.offset)
                    self._read(file, head, place, tell=tell, is_whole=path.suffix in _OPENERS)
            self.finish()
        return self.summary

    def finish(self, at: dt.datetime | None = None) -> None:
        """Sends what is ready at the end of what there is to read."""
        ready = self._hold(self.log.idle(at or timezone.now()))
        ready += [event for events in self._held.values() for event in events]
        self._held = {}
        self._send(ready)
        self._save()
        self.summary.n_expired = self.log.n_expired
        self.summary.unknown = self.log.unknown

    def follow(self, path: Path, *, is_stopped: Callable[[], bool], pause: Callable[[], Any] = lambda: time.sleep(1)) -> None:
        """Goes on reading a log that is written and rotated meanwhile, until it is stopped."""
        while not is_stopped():
            try:
                file = path.open("rb")
            except FileNotFoundError:
                pause()
                continue
            with file:
                head = self._head(file)
                place = self._place(head)
                while True:
                    place = self._read(file, head, place)
                    self.finish()
                    if is_stopped() or self._is_replaced(path, file, head, place):
                        break
                    pause()
                    if len(head) < HEAD_BYTES:
                        grown = self._head(file)
                        head = grown if grown.startswith(head) else head

    def _is_replaced(self, path: Path, file: IO[bytes], head: bytes, place: Place) -> bool:
        """Whether the name leads to another file by now, or this one was cut. Its last lines have been read."""
        here = os.fstat(file.fileno())
        with contextlib.suppress(FileNotFoundError):  # renamed, and the new one is not made yet: read on
            there = path.stat()
            if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
                self._read(file, head, place)  # what was written between the last look and the renaming
                self.finish()
                return True
        return here.st_size < place.offset or not self._head(file).startswith(head)

    def _head(self, file: IO[bytes]) -> bytes:
        """The beginning of a file, whole lines only: a line that is still being written would change it."""
        file.seek(0)
        head = file.read(HEAD_BYTES)
        return head if len(head) == HEAD_BYTES else head[: head.rfind(b"\n") + 1]

    def _place(self, head: bytes) -> Place:
        known = None if self.is_from_start else self.positions.of(head)
        return Place(known["at"], known["line"]) if known else Place()

    def _read(
        self,
        file: IO[bytes],
        head: bytes,
        place: Place,
        *,
        tell: Callable[[int], Any] = lambda n: None,
        is_whole: bool = False,
    ) -> Place:
        """Reads whole lines from a place on, to the end; that place. Each batch is in the database before it is noted."""
        file.seek(place.offset)
        offset, number = place.offset, place.line
        ready: list[Event] = []
        for raw in _lines(file, is_whole=is_whole):
            number += 1
            offset += len(raw)
            ready += self._hold(self._line(raw, number))
            if (number - place.line) % self.lines_at_once == 0:
                tell(offset - place.offset)
                place = self._batch(ready, head, Place(offset, number))
                ready = []
        tell(offset - place.offset)
        return self._batch(ready, head, Place(offset, number))

    def _batch(self, ready: list[Event], head: bytes, place: Place) -> Place:
        self._send(ready)
        if head:
            self.positions.note(head, place)
        self._save()
        return place

    def _line(self, raw: bytes, number: int) -> list[Event]:
        text = raw.decode("utf-8", errors="replace").rstrip("\r\n")
        if not text.strip():
            return []
        self.summary.n_lines += 1
        try:
            return self.log.feed(text)
        except LineProblem as problem:
            self.summary.n_in_error += 1
            self.problems.write(number, "", str(problem))
            return []

    # --- Sending -----------------------------------------------------------------------------------------------------

    def _hold(self, events: list[Event]) -> list[Event]:
        """Keeps back what belongs to a call that goes on; what may go."""
        ready = []
        is_open = self.log.open_subjects
        for event in events:
            if event["type"] not in AGENT_TYPES and event["subject"] in is_open:
                self._held.setdefault(event["subject"], []).append(event)
            else:
                if event["type"] not in AGENT_TYPES:
                    ready += self._held.pop(event["subject"], [])
                ready.append(event)
        return ready

    def _send(self, events: list[Event]) -> None:
        if self.is_dry_run:
            self.summary.n_events += len(events)
            return
        for some in parts(events, EVENTS_AT_ONCE):
            self._post(self._unsealed(some))
        get_ready(at=timezone.now())
        while fold_due(at=timezone.now(), limit=EVENTS_AT_ONCE):
            pass

    def _unsealed(self, events: Sequence[Event]) -> list[Event]:
        """Without the events of calls whose events have left the inbox: it would not know them again."""
        keys = {call_key_of(self.account.pk, event["subject"]) for event in events if event["type"] not in AGENT_TYPES}
        stored = Call.objects.for_account(self.account).filter(call_key__in=keys, sealed_at__isnull=False)
        sealed = set(stored.values_list("call_id", flat=True))
        fresh = [event for event in events if event["type"] in AGENT_TYPES or event["subject"] not in sealed]
        self.summary.n_known += len(events) - len(fresh)
        return fresh

    def _post(self, events: list[Event]) -> None:
        answers = accept_events(account=self.account, items=events, at=timezone.now())
        for event, answer in zip(events, answers, strict=True):
            if answer["status"] == "accepted":
                self.summary.n_events += 1
            elif answer["status"] in ("duplicate", "dropped") or answer["code"] == CONFLICT:
                # Read from another place, the same line may stand otherwise in its second: the first one stands.
                self.summary.n_known += 1
            else:
                self.summary.n_in_error += 1
                reasons = "; ".join(f"{error['field']} {error['reason']}" for error in answer["errors"])
                self.problems.write(0, event["type"], reasons)

    def _save(self) -> None:
        if self.is_dry_run:
            return
        self.positions.log = self.log.state()
        self.positions.held = [event for events in self._held.values() for event in events]
        self.positions.save()


@contextlib.contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Millions of short-lived objects and hardly a cycle among them: looking for cycles took a quarter of the time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _open(path: Path) -> IO[bytes]:
    opener: Any = _OPENERS.get(path.suffix, open)
    file: IO[bytes] = opener(path, "rb")
    return file


def _lines(file: IO[bytes], *, is_whole: bool = False) -> Iterator[bytes]:
    """Whole lines, an endless one in pieces. The last one stays for the next time if its end is not written yet."""
    while raw := file.readline(LONGEST_LINE + 2):
        if not is_whole and not raw.endswith(b"\n") and len(raw) < LONGEST_LINE + 2:
            return
        yield raw


def _first_time(path: Path) -> tuple[float, str]:
    """When a log begins; files are named in any way."""
    with _open(path) as file:
        for raw in _lines(file, is_whole=True):
            with contextlib.suppress(LineProblem):
                return parse_line(raw.decode("utf-8", errors="replace")).at.timestamp(), path.name
    return float("inf"), path.name


def size_of(path: Path) -> int:
    """The bytes a progress bar counts to; 0 where they are not known before reading."""
    info = path.stat()
    return info.st_size if stat.S_ISREG(info.st_mode) and path.suffix not in _OPENERS else 0
