"""What an object of a backup is made of: JSON lines, packed by zstd, in frames of AES-256-GCM.

Each object has a key of its own, derived from the account's backup key and random bytes in its head. A frame is bound to
its place, the head and whether it is the last, so an object that was cut, put together from two, or put in the place of
another does not open. The backup key is one of the account's `DataKey`s: what a rotation replaces are the keys of columns,
and objects that lie in the store would not open afterwards. Destroying it makes all of the account's backups unreadable.

Nothing here holds more than a few frames in memory.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from typing import IO, Any

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.db import IntegrityError, transaction

from configuration.encryption import unwrap_key, wrap_key, wrapped_for
from configuration.models import DataKey

MAGIC = b"CCBACKUP1"
FRAME = 256 * 1024
MOST_HEAD = 4096
MOST_LINE = 64 * 1024 * 1024
LEVEL = 6
_TAG = 16
_LENGTH = struct.Struct(">I")
_NONCE = struct.Struct(">QxxxB")


class Unreadable(Exception):
    """An object does not open: it was changed or cut, or its key is gone. The message is a code."""


class Keys:
    """An account's backup keys, by number. The highest encrypts."""

    def __init__(self, account_id: int, keys: dict[int, bytes]) -> None:
        self.account_id, self._keys = account_id, keys

    @classmethod
    def of(cls, account_id: int) -> "Keys":
        """Those there are; the first is made when it is first needed."""
        keys = cls._stored(account_id)
        if not keys:
            cls._make(account_id)
            keys = cls._stored(account_id)
        return cls(account_id, keys)

    @property
    def newest(self) -> int:
        return max(self._keys)

    def derived(self, number: int, salt: bytes, purpose: bytes) -> bytes:
        if number not in self._keys:
            raise Unreadable("no_key")
        info = b"backup:" + purpose + b":" + str(self.account_id).encode()
        return HKDF(hashes.SHA256(), 32, salt=salt, info=info).derive(self._keys[number])

    @classmethod
    def stored_of(cls, account_id: int) -> "Keys":
        """Those there are; none is made."""
        return cls(account_id, cls._stored(account_id))

    def is_same_as(self, other: "Keys") -> bool:
        """Whether these open what the others do."""
        return any(other._keys.get(number) == key for number, key in self._keys.items())

    @staticmethod
    def _stored(account_id: int) -> dict[int, bytes]:
        rows = DataKey.objects.filter(owner=account_id, purpose=DataKey.Purpose.BACKUP).exclude(wrapped_key=b"")
        return {row.number: unwrap_key(row.key_id, row.wrapped_key, row.bound_to()) for row in rows}

    @staticmethod
    def _make(account_id: int) -> None:
        purpose = DataKey.Purpose.BACKUP
        key_id, wrapped = wrap_key(os.urandom(32), wrapped_for(account_id, purpose, 1))
        try:
            with transaction.atomic():
                DataKey.objects.create(
                    account_id=account_id, purpose=purpose, key_id=key_id, wrapped_key=wrapped, made_under=key_id
                )
        except IntegrityError:  # another has made it meanwhile, and that one counts
            pass


class Hashing:
    """A file that is written through, and counted and hashed meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.n_bytes = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.n_bytes += len(data)
        return self._file.write(data)


class Writer:
    """Lines in, frames out. Closed without `finish`, what was written has no last frame and does not open."""

    def __init__(self, file: Any, *, keys: Keys, kind: str, day: str) -> None:
        self._file = file
        salt = os.urandom(32)
        head = {"account": keys.account_id, "kind": kind, "day": day, "key": keys.newest, "salt": salt.hex()}
        plain = MAGIC + _sized(json.dumps(head, sort_keys=True).encode())
        self._file.write(plain)
        self._bound_to = hashlib.sha256(plain).digest()
        self._cipher = AESGCM(keys.derived(keys.newest, salt, b"object"))
        self._packer = zstandard.ZstdCompressor(level=LEVEL).compressobj()
        self._buffer = bytearray()
        self._n_frames = 0

    def write(self, line: Any) -> None:
        self._take(self._packer.compress(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"))

    def finish(self) -> None:
        self._take(self._packer.flush())
        self._frame(bytes(self._buffer), is_last=True)

    def _take(self, packed: bytes) -> None:
        self._buffer += packed
        while len(self._buffer) > FRAME:
            self._frame(bytes(self._buffer[:FRAME]), is_last=False)
            del self._buffer[:FRAME]

    def _frame(self, plain: bytes, *, is_last: bool) -> None:
        sealed = self._cipher.encrypt(_NONCE.pack(self._n_frames, is_last), plain, self._bound_to)
        self._file.write(_sized(sealed))
        self._n_frames += 1


def read_lines(pieces: Iterable[bytes], *, keys: Keys, kind: str, day: str) -> Iterator[Any]:
    """The lines of an object that comes in pieces of any size. Whoever stops before the end knows nothing about the rest."""
    packed = _frames(_Pieces(pieces), keys=keys, kind=kind, day=day)
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    for frame in packed:
        try:
            data = rest + unpacker.decompress(frame)
        except zstandard.ZstdError as error:
            raise Unreadable("packing") from error
        *lines, rest = data.split(b"\n")
        if len(rest) > MOST_LINE:
            raise Unreadable("line_too_long")
        for line in lines:
            yield json.loads(line)
    if rest or not unpacker.eof:
        raise Unreadable("cut")


def _frames(pieces: "_Pieces", *, keys: Keys, kind: str, day: str) -> Iterator[bytes]:
    magic = pieces.take(len(MAGIC))
    if magic != MAGIC:
        raise Unreadable("format")
    length = pieces.take(_LENGTH.size)
    (size,) = _LENGTH.unpack(length)
    if size > MOST_HEAD:
        raise Unreadable("format")
    written = pieces.take(size)
    try:
        head = json.loads(written)
        said = (head["account"], head["kind"], head["day"])
        number, salt = int(head["key"]), bytes.fromhex(head["salt"])
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable("format") from error
    if said != (keys.account_id, kind, day):
        raise Unreadable("another_object")
    bound_to = hashlib.sha256(magic + length + written).digest()
    cipher = AESGCM(keys.derived(number, salt, b"object"))
    n_frames, is_last = 0, False
    while not is_last:
        (size,) = _LENGTH.unpack(pieces.take(_LENGTH.size))
        if size > FRAME + _TAG:
            raise Unreadable("format")
        sealed = pieces.take(size)
        is_last = pieces.is_through()
        try:
            yield cipher.decrypt(_NONCE.pack(n_frames, is_last), sealed, bound_to)
        except InvalidTag as error:
            raise Unreadable("tampered") from error
        n_frames += 1


class _Pieces:
    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = bytearray()

    def take(self, n: int) -> bytes:
        while len(self._buffer) < n:
            piece = next(self._pieces, None)
            if piece is None:
                raise Unreadable("cut")
            self._buffer += piece
        taken = bytes(self._buffer[:n])
        del self._buffer[:n]
        return taken

    def is_through(self) -> bool:
        while not self._buffer:
            piece = next(self._pieces, None)
            if piece is None:
                return True
            self._buffer += piece
        return False


def _sized(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data
