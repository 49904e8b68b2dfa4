"""How much of a request is taken in before anybody knows whose it is.

Django writes a body to the disk before it looks at the request, so a stranger could fill the disk or hold a connection
open. Here a body that is too large, or that stops coming, is answered first.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils.module_loading import import_string

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

EVENTS = "/api/v1/events"


class _Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class BodyLimit:
    def __init__(self, application: Application) -> None:
        self.application = application
        self._n_uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        try:
            headers = dict(scope["headers"])
            path = scope["path"].rstrip("/")
            is_event = path == EVENTS
            if path in settings.UPLOAD_PATHS and scope["method"] == "POST":
                await self._take_upload(scope, headers, receive, send)
                return
            if b"transfer-encoding" in headers:
                # Django reads only a body of declared length. This one is held in memory until its length is known.
                body = _Body(receive, settings.EVENT_BODY_BYTES)
                scope, take = await _with_length(scope, body)
            else:
                body = _Body(receive, settings.EVENT_BODY_BYTES if is_event else settings.BODY_BYTES)
                body.expect(headers.get(b"content-length", b""))
                take = body.receive
            await self.application(scope, take, send)
        except _Refused as refused:  # raised while the body was read, which is before anything was answered
            await _answer(send, refused)

    async def _take_upload(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """A sound file: much larger than other bodies, so whose it is and whether there is room are asked first."""
        if b"transfer-encoding" in headers:
            raise _Refused(411, "Send Content-Length: the size is looked at before anything is taken.")
        body = _Body(receive, settings.BODY_BYTES)
        declared = headers.get(b"content-length", b"0")
        if not body.is_beyond(declared):
            await self.application(scope, body.receive, send)
            return
        body = _Body(receive, settings.UPLOAD_BODY_BYTES)
        body.expect(declared)
        refused = await sync_to_async(import_string(settings.UPLOAD_GATE))(headers, int(declared))
        if refused:
            raise _Refused(*refused)
        if self._n_uploads >= settings.UPLOADS_AT_ONCE:
            raise _Refused(503, "Too many files are coming in at once. Nothing was taken; send it again.")
        self._n_uploads += 1
        try:
            await self.application(scope, body.receive, send)
        finally:
            self._n_uploads -= 1


class _Body:
    """Passes a body on and counts it."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._n_bytes = 0
        self.is_whole = False

    def expect(self, declared: bytes) -> None:
        if self.is_beyond(declared):
            raise self._too_large()

    def is_beyond(self, declared: bytes) -> bool:
        digits = declared.lstrip(b"0") or b"0"
        # Very long digits cannot be turned into an integer at all.
        return digits.isdigit() and (len(digits) > 18 or int(digits) > self._most)

    async def receive(self) -> Message:
        if self.is_whole:  # what comes now is the end of the connection, however late
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), settings.BODY_STALL_SECONDS)
        except TimeoutError as error:
            raise _Refused(408, "The body stopped coming.") from error
        self.is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        self._n_bytes += len(message.get("body", b""))
        if self._n_bytes > self._most:
            raise self._too_large()
        return message

    def _too_large(self) -> _Refused:
        return _Refused(413, f"The body is larger than {self._most} bytes.")


async def _with_length(scope: Scope, body: _Body) -> tuple[Scope, Receive]:
    """The same request as if its length had been declared."""
    parts: list[bytes] = []
    while not body.is_whole:
        message = await body.receive()
        if message["type"] != "http.request":
            return scope, _once(message, body.receive)
        parts.append(message.get("body", b""))
    whole = b"".join(parts)
    kept = [(name, value) for name, value in scope["headers"] if name not in (b"transfer-encoding", b"content-length")]
    headers = [*kept, (b"content-length", str(len(whole)).encode())]
    return {**scope, "headers": headers}, _once({"type": "http.request", "body": whole, "more_body": False}, body.receive)


def _once(message: Message, then: Receive) -> Receive:
    waiting = [message]

    async def receive() -> Message:
        return waiting.pop() if waiting else await then()

    return receive


async def _answer(send: Send, refused: _Refused) -> None:
    body = json.dumps({"detail": refused.detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),  # the rest of the body is not read
    ]
    if refused.status in (503, 507):
        headers.append((b"retry-after", b"30"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
