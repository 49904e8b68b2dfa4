"""A client of Asterisk's manager interface (AMI): a connection that logs in, asks, and hears.

Written here because nothing fit: the asyncio clients have had no release for years, and the one that is kept up runs in
threads and answers a list with its first line only. The protocol is small: messages of `Key: value` lines, each ended by
an empty one. What a server sends is not trusted to be short: a message beyond `LONGEST_MESSAGE` ends the connection, and
what is not read in time stays with the server.
"""

import asyncio
import contextlib
import hashlib
import ssl
from collections import deque
from typing import Self

Frame = dict[str, str]

LONGEST_MESSAGE = 1024 * 1024
MOST_UNREAD = 20_000
"""Messages kept for a reader who is behind; then no more are taken off the line."""
ANSWER_SECONDS = 15.0


class ManagerError(Exception):
    """The connection cannot be used any more."""


class LoginRefused(ManagerError):
    """The server does not know the user, or not this secret."""


def read_message(raw: bytes) -> Frame:
    """The fields of a message. Of a name that comes twice the first counts: a dialplan's own fields come last."""
    frame: Frame = {}
    for line in raw.decode("utf-8", errors="replace").split("\n"):
        name, colon, value = line.rstrip("\r").partition(":")
        if colon and name not in frame:
            frame[name] = value[1:] if value.startswith(" ") else value
    return frame


def write_message(fields: dict[str, str]) -> bytes:
    """Raises ValueError where a value would begin a field of its own."""
    for name, value in fields.items():
        if any(letter in f"{name}{value}" for letter in "\r\n") or ":" in name:
            raise ValueError(f"{name}: line breaks are not allowed")
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode() + b"\r\n"


class ActionRefused(ManagerError):
    """The user may not ask this, or the server does not know how to answer."""


class Manager:
    """One connection. `heard` gives its events one by one; `ask` and `ask_for_list` may be used meanwhile."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._unread: deque[Frame] = deque()
        self._has_news = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._waiting: dict[str, tuple[asyncio.Future[list[Frame]], list[Frame], bool]] = {}
        self._n_asked = 0
        self._problem: Exception | None = None
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, host: str, port: int, user: str, secret: str, *, tls: ssl.SSLContext | None = None, timeout: float = ANSWER_SECONDS
    ) -> Self:
        """Connects and logs in; the secret itself does not go over the line. Raises `ManagerError` or OSError."""
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=LONGEST_MESSAGE)
            manager = cls(reader, writer)
            try:
                banner = await reader.readline()
                if not banner.startswith(b"Asterisk Call Manager"):
                    raise ManagerError("what answers is no Asterisk manager")
                manager._listening = asyncio.create_task(manager._listen())
                challenge = await manager.ask("Challenge", AuthType="MD5")
                # What the protocol prescribes; better than the secret in clear.
                key = hashlib.md5(f"{challenge.get('Challenge', '')}{secret}".encode(), usedforsecurity=False).hexdigest()
                answer = await manager.ask("Login", AuthType="MD5", Username=user, Key=key, Events="on")
                if answer.get("Response") != "Success":
                    raise LoginRefused("the server refuses the login")
            except BaseException:
                await manager.close()
                raise
        return manager

    async def ask(self, action: str, **fields: str) -> Frame:
        """The response to an action."""
        return (await self._ask(action, fields, is_list=False))[0]

    async def ask_for_list(self, action: str, **fields: str) -> list[Frame]:
        """The events that an action answers with, without the response before and the end after them."""
        answers = await self._ask(action, fields, is_list=True)
        if answers[0].get("Response") != "Success":
            raise ActionRefused(f"the server refuses {action}; look at the rights of this user")
        return [frame for frame in answers if "Event" in frame and frame.get("EventList", "").casefold() != "complete"]

    async def _ask(self, action: str, fields: dict[str, str], *, is_list: bool) -> list[Frame]:
        self._n_asked += 1
        name = f"portal-{self._n_asked}"
        future: asyncio.Future[list[Frame]] = asyncio.get_running_loop().create_future()
        self._waiting[name] = (future, [], is_list)
        self._has_room.set()  # an answer may stand behind events nobody has read yet
        try:
            self._check()
            self._writer.write(write_message({"Action": action, "ActionID": name, **fields}))
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._writer.drain()
                return await future
        except (TimeoutError, ConnectionError) as error:
            raise ManagerError(f"no answer to {action}") from error
        finally:
            self._waiting.pop(name, None)

    async def heard(self, timeout: float) -> list[Frame]:
        """What came since the last time, in order; waits for something, or until the time is up. Raises `ManagerError`."""
        if not self._unread:
            self._check()
            self._has_news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._has_news.wait()
        frames = list(self._unread)
        self._unread.clear()
        self._has_room.set()
        return frames

    def unread(self) -> list[Frame]:
        """What came before the connection ended."""
        frames = list(self._unread)
        self._unread.clear()
        return frames

    def _check(self) -> None:
        if self._problem is not None:
            raise ManagerError(str(self._problem)) from self._problem

    async def _listen(self) -> None:
        try:
            while True:
                raw = await self._reader.readuntil(b"\r\n\r\n")
                self._take(read_message(raw))
                if len(self._unread) >= MOST_UNREAD and not self._waiting:
                    self._has_room.clear()
                    await self._has_room.wait()
        except asyncio.IncompleteReadError:
            self._fail(ManagerError("the server closed the connection"))
        except asyncio.LimitOverrunError:
            self._fail(ManagerError("the server sent a message without end"))
        except OSError as error:
            self._fail(error)

    def _take(self, frame: Frame) -> None:
        asked = self._waiting.get(frame.get("ActionID", ""))
        if asked is None:
            if "Event" in frame:
                self._unread.append(frame)
                self._has_news.set()
            return
        future, answers, is_list = asked
        answers.append(frame)
        is_done = frame.get("EventList", "").casefold() in ("complete", "cancelled") or (
            "Response" in frame and (not is_list or frame["Response"] != "Success")
        )
        if is_done and not future.done():
            future.set_result(answers)

    def _fail(self, problem: Exception) -> None:
        self._problem = problem
        self._has_news.set()
        for future, _, _ in self._waiting.values():
            if not future.done():
                future.set_exception(ManagerError(str(problem)))

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                await self._writer.wait_closed()
