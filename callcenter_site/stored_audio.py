"""Handing out files: the type of sound told by its content, a link that lives for a minute, the part a player asks for.

Who may listen is asked by the page that hands out the link; nothing here looks at rows or people.
"""

import asyncio
import itertools
import re
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.core import signing
from django.core.exceptions import PermissionDenied
from django.core.files.storage import FileSystemStorage, default_storage
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from callcenter_site.object_store import read_object

LINK_SECONDS = 60
CHUNK = 64 * 1024
ENDINGS = {"audio/wav": "wav", "audio/mpeg": "mp3", "audio/ogg": "ogg", "audio/mp4": "m4a"}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_WAV_ENCODINGS = frozenset({1, 3, 6, 7, 0x11, 0x31, 0xFFFE})
"""PCM, float, A-law, µ-law, IMA ADPCM, GSM 6.10, and the extensible header that names one of them."""
_MP4_BRANDS = frozenset(
    {b"M4A ", b"M4B ", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"dash", b"3gp4", b"3gp5", b"3gp6"}
)
_OGG_CODECS = (b"\x01vorbis", b"OpusHead", b"Speex   ", b"\x7fFLAC")


def audio_type(head: bytes) -> str:
    """The type of a sound file by its first bytes (4 kB do), whatever it is called; empty for anything else."""
    if _is_wav(head):
        return "audio/wav"
    if _is_mp3(head):
        return "audio/mpeg"
    if head[:4] == b"OggS" and any(codec in head[:128] for codec in _OGG_CODECS):
        return "audio/ogg"
    if head[4:8] == b"ftyp" and len(head) >= 16 and head[8:12] in _MP4_BRANDS:
        return "audio/mp4"
    return ""


def link_into_storage(key: str, *, content_type: str, name: str, seconds: int = LINK_SECONDS) -> str:
    """A signed link of the S3 store itself, which answers with the same headers as `answer`."""
    storage: Any = default_storage
    link: str = storage.url(
        key,
        parameters={
            "ResponseContentType": content_type,
            "ResponseContentDisposition": f'attachment; filename="{name}"',
            "ResponseCacheControl": "private, no-store",
        },
        expire=seconds,
    )
    return link


def link_for(row: Any, *, route: str, salt: str, actor: Any, content_type: str, name: str) -> str:
    """A link to the file of a row, by its `key`: for the person it is made for; a program's is for whoever holds it."""
    if not isinstance(default_storage, FileSystemStorage):
        return link_into_storage(row.key, content_type=content_type, name=name)
    token = signing.TimestampSigner(salt=salt).sign_object([row.pk, row.key, getattr(actor, "pk", None) or 0])
    return reverse(route, args=[token])


def row_behind(token: str, rows: Any, *, salt: str, reader: Any) -> Any:
    """The one of these rows whose file a link opens; None: the link has expired, or is none."""
    try:
        pk, key, person = signing.TimestampSigner(salt=salt).unsign_object(token, max_age=LINK_SECONDS)
    except signing.BadSignature:
        return None
    if person and reader.pk != person:
        raise PermissionDenied
    row = rows.filter(pk=pk, key=key).first()
    if row is None:
        raise Http404
    return row


def expired() -> HttpResponse:
    said = _("This link has expired. Ask for the file again.")
    return HttpResponse(said, status=403, content_type="text/plain; charset=utf-8")


def answer(request: HttpRequest, key: str, *, content_type: str, name: str) -> HttpResponseBase:
    """The file, whole or the part asked for."""
    try:
        file = default_storage.open(key, "rb")
    except FileNotFoundError as error:
        raise Http404 from error
    size = file.size
    response: HttpResponseBase
    try:
        part = _asked_part(request.headers.get("Range", ""), size) if "If-Range" not in request.headers else None
    except _NothingThere:
        file.close()
        response = HttpResponse(status=416)
        response["Content-Range"] = f"bytes */{size}"
        return _guarded(response, content_type, name)
    start, end = part or (0, size - 1)
    if request.method == "HEAD":
        file.close()
        response = HttpResponse()
    else:
        chunks = _async_chunks if isinstance(request, ASGIRequest) else _chunks
        response = StreamingHttpResponse(chunks(file, start, end + 1 - start))
        response._resource_closers.append(file.close)  # type: ignore[attr-defined]
    if part is not None:
        response.status_code = 206
        response["Content-Range"] = f"bytes {start}-{end}/{size}"
    response["Content-Length"] = str(end + 1 - start)
    response["Accept-Ranges"] = "bytes"
    return _guarded(response, content_type, name)


def whole(request: HttpRequest, key: str, *, content_type: str, name: str) -> HttpResponseBase:
    """The whole file, piece by piece as the store gives it out."""
    pieces = read_object(key, storage=default_storage)
    try:
        first = next(pieces, b"")
    except FileNotFoundError as error:
        raise Http404 from error
    rest = itertools.chain([first], pieces)
    response = StreamingHttpResponse(_async_pieces(rest) if isinstance(request, ASGIRequest) else rest)
    response._resource_closers.append(pieces.close)  # type: ignore[attr-defined]
    return _guarded(response, content_type, name)


def _guarded(response: HttpResponseBase, content_type: str, name: str) -> HttpResponseBase:
    response["Content-Type"] = content_type
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


class _NothingThere(Exception):
    """The part asked for lies beyond the end of the file."""


def _asked_part(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte, by RFC 9110 §14; None where the whole file is to be sent (also for several parts at once)."""
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        if int(last) == 0 or size == 0:
            raise _NothingThere
        return max(0, size - int(last)), size - 1
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise _NothingThere
    return int(first), min(int(last), size - 1) if last else size - 1


def _chunks(file: Any, start: int, length: int) -> Iterator[bytes]:
    file.seek(start)
    while length > 0 and (chunk := file.read(min(CHUNK, length))):
        length -= len(chunk)
        yield chunk


async def _async_chunks(file: Any, start: int, length: int) -> AsyncIterator[bytes]:
    """The same for the asynchronous server, which would read a plain iterator to its end before sending any of it."""
    await asyncio.to_thread(file.seek, start)
    while length > 0 and (chunk := await asyncio.to_thread(file.read, min(CHUNK, length))):
        length -= len(chunk)
        yield chunk


async def _async_pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


def _is_wav(head: bytes) -> bool:
    """A RIFF file of kind WAVE whose format chunk, the first that matters, names a sound encoding and a sane rate."""
    if len(head) < 44 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return False
    place = 12
    while place + 8 <= len(head):
        name, size = head[place : place + 4], struct.unpack_from("<I", head, place + 4)[0]
        if name == b"fmt ":
            if size < 16 or place + 24 > len(head):
                return False
            encoding, n_channels, rate = struct.unpack_from("<HHI", head, place + 8)
            return encoding in _WAV_ENCODINGS and 1 <= n_channels <= 8 and 4000 <= rate <= 192_000
        place += 8 + size + size % 2
    return False


def _is_mp3(head: bytes) -> bool:
    """An ID3 tag, or a frame header that names no reserved version, layer, bit rate or sampling rate."""
    if head[:3] == b"ID3" and len(head) >= 10:
        return head[3] in (2, 3, 4) and all(byte < 0x80 for byte in head[6:10])
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer, bit_rate, sampling = (head[1] >> 3) & 3, (head[1] >> 1) & 3, head[2] >> 4, (head[2] >> 2) & 3
    return version != 1 and layer == 1 and bit_rate not in (0, 15) and sampling != 3
