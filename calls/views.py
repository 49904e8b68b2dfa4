"""Listening to recordings and voicemail, and what the desk shows of an agent's calls.

Whoever presses play is checked here (permission, account, data scope), written into the audit log, and sent on to a
link that opens the file for a minute and for them alone. Nothing else in the portal hands out audio.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core import signing
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.core.files.storage import FileSystemStorage, default_storage
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe

from callcenter_site.audit import Look, log_look
from calls.desk import own_day
from calls.models import AudioState, Recording, Voicemail
from configuration.access import LISTEN, SEE_RECORDINGS, SEE_VOICEMAIL

LINK_SECONDS = 60
CHUNK = 64 * 1024
_MODELS: dict[str, tuple[type[Recording] | type[Voicemail], str]] = {
    "recording": (Recording, SEE_RECORDINGS),
    "voicemail": (Voicemail, SEE_VOICEMAIL),
}
"""What is listened to, and the permission to know of it, which goes before the one to listen."""
_SALT = "calls.listen"
_ENDINGS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@login_required
@require_GET
def listen(request: HttpRequest, kind: str, pk: int) -> HttpResponseBase:
    """Where a player points: checks, notes the listening, and sends the browser to the short-lived link."""
    audio = _audible(request, kind, pk)
    user: Any = request.user
    # A player asks again when somebody jumps to another place; that is the same listening. `add` answers False where it
    # was noted before, and None where the cache cannot be asked: then each time is noted, rather than none.
    if cache.add(f"listening:{kind}:{pk}:{user.pk}", 1, LINK_SECONDS) is not False:
        log_look(Look.LISTENED, type(audio), [audio.pk], actor=user, call=audio.call_id)
    if isinstance(audio, Voicemail):
        Voicemail.objects.filter(pk=audio.pk, heard_at=None).update(heard_by=user, heard_at=timezone.now())
    if isinstance(default_storage, FileSystemStorage):
        token = signing.TimestampSigner(salt=_SALT).sign_object([kind, audio.pk, user.pk])
        address = reverse("calls:audio", args=[token])
    else:
        address = _link_into_storage(audio)
    response = HttpResponseRedirect(address)
    response["Cache-Control"] = "private, no-store"
    return response


@login_required
@require_safe
def audio(request: HttpRequest, token: str) -> HttpResponseBase:
    """The file behind a link, whole or the part asked for. The link is good for a minute and for one person."""
    try:
        kind, pk, listener = signing.TimestampSigner(salt=_SALT).unsign_object(token, max_age=LINK_SECONDS)
    except signing.BadSignature:
        return HttpResponse(_("This link has expired. Press play again."), status=403, content_type="text/plain; charset=utf-8")
    if listener != request.user.pk:
        raise PermissionDenied
    stored = _audible(request, kind, pk)
    try:
        file = default_storage.open(stored.key, "rb")
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
        return _guarded(response, stored)
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
    return _guarded(response, stored)


def _audible(request: HttpRequest, kind: str, pk: int) -> Recording | Voicemail:
    """The row, if this person may listen to it. One that is not theirs to see is missing, like one that never was."""
    user: Any = request.user
    if not user.has_perm(LISTEN):
        raise PermissionDenied
    model, to_know_of_it = _MODELS.get(kind, (None, ""))
    if model is None or not user.has_perm(to_know_of_it):
        raise Http404
    row: Recording | Voicemail | None = model.objects.visible_to(user).filter(pk=pk, state=AudioState.STORED).first()
    if row is None or not row.key:
        raise Http404
    return row


def _guarded(response: HttpResponseBase, stored: Recording | Voicemail) -> HttpResponseBase:
    response["Content-Type"] = _content_type(stored)
    response["Content-Disposition"] = _disposition(stored)
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def _content_type(stored: Recording | Voicemail) -> str:
    return stored.content_type if stored.content_type in _ENDINGS else "application/octet-stream"


def _disposition(stored: Recording | Voicemail) -> str:
    ending = _ENDINGS.get(stored.content_type, "bin")
    return f'attachment; filename="{stored._meta.model_name}-{stored.pk}.{ending}"'


def _link_into_storage(stored: Recording | Voicemail) -> str:
    """A signed link of the S3 store itself, which answers with the same headers."""
    storage: Any = default_storage
    link: str = storage.url(
        stored.key,
        parameters={
            "ResponseContentType": _content_type(stored),
            "ResponseContentDisposition": _disposition(stored),
            "ResponseCacheControl": "private, no-store",
        },
        expire=LINK_SECONDS,
    )
    return link


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


@never_cache
@login_required
@require_GET
def desk_records(request: HttpRequest) -> HttpResponse:
    """An agent's own calls of today, as a part of the desk's page."""
    person: Any = request.user
    if not (person.has_perm("agents.use_desk") and person.has_perm("calls.view_call")):
        raise PermissionDenied
    return render(request, "calls/desk_records.html", {"day": own_day(agent=person, at=timezone.now())})
