"""Sound files on this machine's disk until the store has them: bounded in files and bytes, and never half there.

A file is written under a name that ends in `.part`, and renamed once it is whole and on the disk. It is named by a row
from then on; what no row names after an hour was left by a process that died, and is swept away.
"""

import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from callcenter_site.health import disk_has_room
from callcenter_site.sound_files import MAX_BYTES

CHUNK = 256 * 1024
PART = ".part"
LEFT_BEHIND_SECONDS = 3600
BEHIND_SECONDS = 600
"""A file that has waited for so long has seen the store refuse it again and again."""
_NAME = re.compile(r"[0-9a-f]{32}")


class SpoolFull(Exception):
    """No more is taken for the moment."""


class DiskFull(SpoolFull):
    """The disk itself has no room."""


class TooLarge(ValueError):
    """The file is larger than any that is taken."""


class Part:
    """A file that is coming in."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self.file = file
        self.n_bytes = 0
        self.is_kept = False
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, chunk: bytes) -> None:
        self.n_bytes += len(chunk)
        if self.n_bytes > MAX_BYTES:
            raise TooLarge
        self._sha256.update(chunk)
        self._md5.update(chunk)
        try:
            self.file.write(chunk)
        except OSError as error:
            raise _full(error) from error

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    def keep(self) -> str:
        """Makes the file whole and lasting; its name in the spool. Who calls this names it in a row at once."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            os.rename(_folder() / f"{self.name}{PART}", path_of(self.name))
        except OSError as error:
            raise _full(error) from error
        self.is_kept = True
        return self.name


@contextmanager
def coming_in(n_bytes: int = 0) -> Iterator[Part]:
    """A new file of about so many bytes, which is gone at the end unless it was kept. Raises `SpoolFull`."""
    make_sure_of_room(n_bytes)
    name = secrets.token_hex(16)
    place = _folder() / f"{name}{PART}"
    try:
        file = place.open("w+b")
    except OSError as error:
        raise _full(error) from error
    with file:
        part = Part(name, file)
        try:
            yield part
        finally:
            if not part.is_kept:
                place.unlink(missing_ok=True)


def read_into(part: Part, read: Callable[[int], bytes]) -> None:
    while chunk := read(CHUNK):
        part.write(chunk)


def make_sure_of_room(n_bytes: int = 0) -> None:
    if not disk_has_room():
        raise DiskFull
    n_files, n_spooled = usage()
    if n_files >= settings.SPOOL_FILES or n_spooled + n_bytes > settings.SPOOL_BYTES:
        raise SpoolFull


def usage() -> tuple[int, int]:
    """Files in the spool, and their bytes."""
    sizes = [size for _, size, _ in _entries()]
    return len(sizes), sum(sizes)


def is_behind() -> bool:
    """Whether files wait for the store for long. Told by the folder: the database may be away as well."""
    before = time.time() - BEHIND_SECONDS
    return any(changed < before for name, _, changed in _entries() if not name.endswith(PART))


def path_of(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ValueError("no name of a spooled file")
    return _folder() / name


def holds(name: str) -> bool:
    """Whether the file lies on this machine: another one may have taken it in."""
    return bool(name) and path_of(name).exists()


def delete(name: str) -> None:
    path_of(name).unlink(missing_ok=True)


def left_behind() -> list[str]:
    """Whole files and parts that have not been written to for long; rows may name some of the whole ones."""
    before = time.time() - LEFT_BEHIND_SECONDS
    return [name for name, _, changed in _entries() if changed < before]


def sweep(named: Collection[str]) -> int:
    """Deletes what was left behind and is not among the names; how many."""
    gone = [name for name in left_behind() if name not in named]
    for name in gone:
        (_folder() / name).unlink(missing_ok=True)
    return len(gone)


def _entries() -> Iterator[tuple[str, int, float]]:
    with os.scandir(_folder()) as entries:
        for entry in entries:
            try:
                found: Any = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone since the folder was listed
                continue
            yield entry.name, found.st_size, found.st_mtime


def _folder() -> Path:
    folder = Path(settings.SPOOL_DIR)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _full(error: OSError) -> Exception:
    return DiskFull() if error.errno in (errno.ENOSPC, errno.EDQUOT) else error
