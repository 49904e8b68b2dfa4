"""What a sound file is, told by its content alone: its type, how long it lasts, and whether its end is missing.

Each container is walked from one length to the next, so that nothing is decoded and nothing is read into memory; a file
that says it is longer than it is was cut off on its way. No library is used: the one that reads all of these may not be
linked to by software under another licence (GPL), and the others do not look for the end.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from callcenter_site.stored_audio import audio_type

MAX_BYTES = 200 * 1024 * 1024
MAX_SECONDS = 12 * 3600
HEAD = 4096

NO_SOUND = _("This is not a WAV, MP3, OGG or M4A sound file, whatever its name says.")
EMPTY = _("The file holds no sound.")
TRUNCATED = _("The file is cut off: it says that it goes on where it ends.")
TOO_LONG = _("The sound lasts longer than %(hours)s hours.") % {"hours": MAX_SECONDS // 3600}
TOO_LARGE = _("The file is larger than %(limit)s MB.") % {"limit": MAX_BYTES // 1024**2}


class SoundError(ValueError):
    """Why a file is not taken, in words for whoever sent it."""

    def __init__(self, reason: "str | Promise") -> None:
        super().__init__(str(reason))
        self.reason = reason

    @property
    def is_empty(self) -> bool:
        return self.reason is EMPTY


@dataclass(frozen=True, slots=True)
class Sound:
    content_type: str
    seconds: float


def examine(file: IO[bytes]) -> Sound:
    """Type and length of a whole sound file. Raises `SoundError`."""
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    if n_bytes > MAX_BYTES:
        raise SoundError(TOO_LARGE)
    kind = audio_type(file.read(HEAD))
    if not kind:
        raise SoundError(EMPTY if n_bytes == 0 else NO_SOUND)
    file.seek(0)
    try:
        seconds = _LENGTHS[kind](file, n_bytes)
    except struct.error as error:
        raise SoundError(TRUNCATED) from error
    if seconds <= 0:
        raise SoundError(EMPTY)
    if seconds > MAX_SECONDS:
        raise SoundError(TOO_LONG)
    file.seek(0)
    return Sound(kind, round(seconds, 3))


# --- WAV -------------------------------------------------------------------------------------------------------------

_NOT_YET_KNOWN = 0x7FFF_F000
"""Who writes a WAV as it comes leaves its length open: 0, or the largest there is."""


@dataclass(frozen=True, slots=True)
class WavShape:
    encoding: int
    n_channels: int
    rate: int
    bytes_a_second: int
    block: int
    bits: int
    start: int
    """Where the sound begins."""
    n_bytes: int


def wav_shape(file: IO[bytes], n_bytes: int) -> WavShape:
    """Where the sound of a WAV file lies and how it is written. Raises `SoundError`."""
    place, shape = 12, None
    while place + 8 <= n_bytes:
        file.seek(place)
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"fmt ":
            encoding, n_channels, rate, a_second, block, bits = struct.unpack("<HHIIHH", file.read(16))
            if encoding == 0xFFFE and size >= 26:
                file.seek(place + 8 + 24)
                encoding = struct.unpack("<H", file.read(2))[0]
            shape = (encoding, n_channels, rate, a_second, block, bits)
        elif name == b"data":
            if shape is None or not shape[3]:
                raise SoundError(NO_SOUND)
            there = n_bytes - place - 8
            open_ended = size == 0 or size >= _NOT_YET_KNOWN
            if size > there and not open_ended:
                raise SoundError(TRUNCATED)
            return WavShape(*shape, start=place + 8, n_bytes=there if open_ended else size)
        place += 8 + size + size % 2
    raise SoundError(TRUNCATED)  # a file of headers, and no sound announced


def _wav_seconds(file: IO[bytes], n_bytes: int) -> float:
    shape = wav_shape(file, n_bytes)
    return shape.n_bytes / shape.bytes_a_second


# --- MP3 -------------------------------------------------------------------------------------------------------------

_BIT_RATES = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Of MPEG 1 and of MPEG 2 and 2.5, layer III, in kbit/s."""
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _mp3_seconds(file: IO[bytes], n_bytes: int) -> float:
    """Walks every frame: a file of changing bit rates tells its length nowhere else for certain."""
    place = _after_id3(file)
    end = n_bytes - _tags_at_the_end(file, n_bytes)
    n_samples, rate = 0, 0
    announced = 0
    file.seek(place)
    buffered, base = file.read(1 << 20), place
    while place + 4 <= end:
        if place + 200 > base + len(buffered) and base + len(buffered) < end:
            file.seek(place)
            buffered, base = file.read(1 << 20), place
        frame = _mp3_frame(buffered[place - base : place - base + 4])
        if frame is None:
            if not n_samples:
                raise SoundError(NO_SOUND)
            # Something else than sound at the end: tags of other kinds, or padding.
            return _whole_mp3(n_samples, rate, announced, place)
        size, samples, rate = frame
        if not n_samples and not announced and (told := _announced_bytes(buffered[place - base : place - base + 192])):
            announced = place + told
        else:
            if place + size > end:
                raise SoundError(TRUNCATED)
            n_samples += samples
        place += size
    return _whole_mp3(n_samples, rate, announced, end)


def _whole_mp3(n_samples: int, rate: int, announced: int, place: int) -> float:
    # A first frame without sound may say how many bytes there are; encoders differ by a frame in how they count.
    if announced > place + 2881:
        raise SoundError(TRUNCATED)
    return n_samples / rate if rate else 0


def _mp3_frame(head: bytes) -> tuple[int, int, int] | None:
    """Bytes and samples of a frame, and its rate; None where none begins."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, bits, sampling = (head[1] >> 3) & 3, head[2] >> 4, (head[2] >> 2) & 3
    if version == 1 or bits in (0, 15) or sampling == 3:
        return None
    rate = _RATES[version][sampling]
    bit_rate = _BIT_RATES[1 if version == 3 else 2][bits]
    samples = 1152 if version == 3 else 576
    return samples // 8 * bit_rate * 1000 // rate + ((head[2] >> 1) & 1), samples, rate


def _announced_bytes(frame: bytes) -> int:
    """What the tag of an encoder in the first frame says; 0: there is none, or it does not say."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name, 4, 48)
        if at > 0 and at + 16 <= len(frame):
            flags = frame[at + 7]
            if flags & 2:
                return int.from_bytes(frame[at + 8 + 4 * (flags & 1) : at + 12 + 4 * (flags & 1)], "big")
            return 1
    return 0


def _after_id3(file: IO[bytes]) -> int:
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3":
        return 0
    size = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _tags_at_the_end(file: IO[bytes], n_bytes: int) -> int:
    if n_bytes < 128:
        return 0
    file.seek(n_bytes - 128)
    return 128 if file.read(3) == b"TAG" else 0


# --- OGG -------------------------------------------------------------------------------------------------------------


def _ogg_pages(file: IO[bytes], n_bytes: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Stream, flags, position in samples and first bytes of each page. Raises `SoundError` where one is not whole."""
    place = 0
    while place < n_bytes:
        file.seek(place)
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            raise SoundError(TRUNCATED)
        position, stream = struct.unpack_from("<qI", head, 6)
        lengths = file.read(head[26])
        size = sum(lengths)
        if len(lengths) < head[26] or place + 27 + head[26] + size > n_bytes:
            raise SoundError(TRUNCATED)
        yield stream, head[5], position, file.read(min(size, 64))
        place += 27 + head[26] + size


def _ogg_seconds(file: IO[bytes], n_bytes: int) -> float:
    """The end of the first stream of sound, in samples, over its rate."""
    wanted, rate, skip, last = None, 0, 0, 0
    for stream, flags, position, start in _ogg_pages(file, n_bytes):
        if wanted is None and flags & 2:
            if start[:8] == b"OpusHead" and len(start) >= 16:
                wanted, rate, skip = stream, 48000, struct.unpack_from("<H", start, 10)[0]
            elif start[:7] == b"\x01vorbis" and len(start) >= 16:
                wanted, rate = stream, struct.unpack_from("<I", start, 12)[0]
            elif start[:8] == b"Speex   " and len(start) >= 40:
                wanted, rate = stream, struct.unpack_from("<I", start, 36)[0]
            elif start[:5] == b"\x7fFLAC" and len(start) >= 35:
                wanted, rate = stream, int.from_bytes(start[27:30], "big") >> 4
        elif stream == wanted and position > 0:
            last = position
    if not rate:
        raise SoundError(NO_SOUND)
    return (last - skip) / rate


# --- M4A -------------------------------------------------------------------------------------------------------------


def _mp4_boxes(file: IO[bytes], start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name of each box, and where its content begins and ends. Raises `SoundError` where one goes on beyond the end."""
    place = start
    while place < end:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            raise SoundError(TRUNCATED)
        size, name = struct.unpack(">I4s", head)
        content = place + 8
        if size == 1:
            size, content = struct.unpack(">Q", file.read(8))[0], place + 16
        elif size == 0:
            size = end - place
        if size < content - place:
            raise SoundError(NO_SOUND)
        if place + size > end:
            raise SoundError(TRUNCATED)
        yield name, content, place + size
        place += size


def _mp4_seconds(file: IO[bytes], n_bytes: int) -> float:
    top = list(_mp4_boxes(file, 0, n_bytes))
    movie = next(((start, end) for name, start, end in top if name == b"moov"), None)
    if movie is None:  # where it comes last, it is what a file that was cut off lacks
        raise SoundError(TRUNCATED)
    seconds, has_sound = 0.0, False
    for name, start, end in _mp4_boxes(file, *movie):
        if name != b"trak":
            continue
        for below, inner_start, inner_end in _mp4_boxes(file, start, end):
            if below != b"mdia":
                continue
            media = {what: (begin, stop) for what, begin, stop in _mp4_boxes(file, inner_start, inner_end)}
            if b"hdlr" not in media or b"mdhd" not in media:
                continue
            file.seek(media[b"hdlr"][0] + 8)
            kind = file.read(4)
            if kind == b"vide":
                raise SoundError(NO_SOUND)
            if kind == b"soun":
                has_sound = True
                seconds = max(seconds, _mdhd_seconds(file, media[b"mdhd"][0]))
    if not has_sound:
        raise SoundError(NO_SOUND)
    if not any(name == b"mdat" and end > start for name, start, end in top):
        raise SoundError(EMPTY)
    return seconds


def _mdhd_seconds(file: IO[bytes], start: int) -> float:
    file.seek(start)
    version = file.read(4)[0]
    if version == 1:
        file.read(16)
        scale, duration = struct.unpack(">IQ", file.read(12))
    else:
        file.read(8)
        scale, duration = struct.unpack(">II", file.read(8))
    return duration / scale if scale else 0


_LENGTHS = {"audio/wav": _wav_seconds, "audio/mpeg": _mp3_seconds, "audio/ogg": _ogg_seconds, "audio/mp4": _mp4_seconds}
