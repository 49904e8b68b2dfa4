"""Live pages: what changes is told, within a moment, to everybody who watches, by server-sent events.

A message names a topic (`desk:17`, `account:3`) and ids, never what they stand for: the page then asks for what it may
see, like any other request. So a stream needs no database and no session; it is opened with a signed link, good for a
minute, that names the topics, and it ends after a few minutes, so that who has lost the right hears no more.

A topic may also be a view (`view:3:…`): figures that are worked out once for all who watch the same, at most once a
second, and sent to them as they are. What a view shows, and that it is gone, an app says (`settings.LIVE_VIEW`); ids are
all that is personal in one.

Each process holds one subscription to Redis and hands messages on to its watchers. Without Redis, messages stay in the
process, which is all there is. A message that is lost is no harm: pages ask anyway every few seconds, only later.
"""

import asyncio
import contextlib
import json
import logging
import os
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import redis
import redis.asyncio
from django.conf import settings
from django.core import signing
from django.db import close_old_connections
from django.utils.module_loading import import_string

from callcenter_site.prometheus import WATCHERS

log = logging.getLogger(__name__)

PATH = "/streams/"
LINK_SECONDS = 60
STREAM_SECONDS = 300
PING_SECONDS = 15
QUEUE_LENGTH = 100
WATCHERS_MAX = 2000
"""Of one process: beyond, streams are refused and pages go on asking by themselves."""
BROKER_REST_SECONDS = 5.0
"""After a failure nobody waits for Redis again for so long."""
WAITING_MAX = 10_000
"""Messages on their way to Redis; what comes beyond is left out, for whoever speaks never waits."""
ACCOUNT_EVERY_SECONDS = 1.0
"""Watchers of a whole account hear of it no more often."""
VIEW_EVERY_SECONDS = 1.0
VIEW_AT_LEAST_EVERY_SECONDS = 5.0
"""Some figures change by the clock alone; and a page knows that it is stale when it hears nothing."""
VIEWS_AT_ONCE = 2
"""Views of a process that are worked out at the same time."""
_SALT = "callcenter_site.streams"
CHANGED = "changed"
SHOWN = "shown"
GONE = "gone"
MISSED = "missed"
"""Said in place of what a slow watcher, or all during an outage of Redis, may have missed: ask for everything."""

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


_ACCOUNT = "account:"
_VIEW = "view:"


def desk_topic(agent_id: int) -> str:
    return f"desk:{agent_id}"


def account_topic(account_id: int) -> str:
    return f"{_ACCOUNT}{account_id}"


def view_topic(account_id: int, view: str) -> str:
    return f"{_VIEW}{account_id}:{view}"


def stream_link(topics: Iterable[str]) -> str:
    """The address at which a page hears of these topics. Whoever makes it has checked that the page may."""
    return f"{PATH}?to={signing.TimestampSigner(salt=_SALT).sign_object(list(topics))}"


# --- Saying ----------------------------------------------------------------------------------------------------------

_waiting: "queue.SimpleQueue[str]" = queue.SimpleQueue()
_sender: threading.Thread | None = None
_sender_lock = threading.Lock()
_say_again_at = 0.0
_client: Any = None


def publish(topics: Iterable[str], **ids: int | str) -> None:
    """Tells the watchers of some topics that something changed. Only makes things faster: it never waits, and a failure is
    ignored. Call it once the change is committed."""
    messages = [json.dumps({"topic": topic, **ids}) for topic in topics]
    if not settings.REDIS_URL:
        for message in messages:
            hub.deliver(message)
        return
    for message in messages:
        if _waiting.qsize() < WAITING_MAX:
            _waiting.put(message)
    if messages:
        _start_sender()


def _start_sender() -> None:
    """Redis may be slow or away; waiting for it is the work of a thread of its own."""
    global _sender  # noqa: PLW0603  (one per process)
    with _sender_lock:
        if _sender is None or not _sender.is_alive():
            _sender = threading.Thread(target=_send_for_ever, name="streams", daemon=True)
            _sender.start()


def _send_for_ever() -> None:
    while True:
        messages = [_waiting.get()]
        while len(messages) < 1000 and not _waiting.empty():
            messages.append(_waiting.get())
        _send_to_redis(messages)


def _send_to_redis(messages: list[str]) -> None:
    global _say_again_at, _client  # noqa: PLW0603  (one connection per process)
    if not settings.REDIS_URL or time.monotonic() < _say_again_at:
        return
    try:
        _client = _client or redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1)
        with _client.pipeline(transaction=False) as pipe:
            for message in messages:
                pipe.publish(_channel(), message)
            pipe.execute()
    except Exception as error:  # whatever a broken connection may raise: the thread goes on, with a new one
        _client = None
        _say_again_at = time.monotonic() + BROKER_REST_SECONDS
        log.warning("live pages could not be told: %s", type(error).__name__)


def _begin_anew() -> None:
    """A forked worker has neither its parent's thread nor its connection, and must not send what its parent has to."""
    global _sender, _client, _waiting, _sender_lock
    _sender, _client, _waiting, _sender_lock = None, None, queue.SimpleQueue(), threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


def _channel() -> str:
    return f"{settings.CACHES['default'].get('KEY_PREFIX', 'portal')}:streams"


# --- Hearing ---------------------------------------------------------------------------------------------------------


class Hub:
    """The watchers of one process, by topic."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        self._resting: dict[str, bool] = {}
        """Topics told a moment ago, and whether there is more to tell when they have rested."""
        self._showing: dict[str, asyncio.Task[None]] = {}
        self._shown: dict[str, str] = {}
        """What the watchers of each view were last sent: who joins has it at once."""
        self._due: dict[str, asyncio.Event] = {}
        self._workers: ThreadPoolExecutor | None = None
        self.n_watchers = 0

    def join(self, topics: Iterable[str]) -> "asyncio.Queue[str]":
        loop = asyncio.get_running_loop()
        with self._lock:
            self._loop = loop
        if settings.REDIS_URL and (self._listener is None or self._listener.done()):
            self._listener = loop.create_task(self._listen())
        messages: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)
        for topic in topics:
            self._watchers[topic].add(messages)
            if topic.startswith(_VIEW):
                self._begin_showing(topic, messages)
        self.n_watchers += 1
        WATCHERS.labels(_kind_of(topics)).inc()
        return messages

    def _begin_showing(self, topic: str, messages: "asyncio.Queue[str]") -> None:
        if topic in self._shown:
            _put(messages, self._shown[topic])
        task = self._showing.get(topic)
        if task is None or task.done():
            self._due[topic] = asyncio.Event()
            self._showing[topic] = asyncio.get_running_loop().create_task(self._show(topic))

    async def _show(self, topic: str) -> None:
        """Sends a view to all its watchers, again whenever something changed, for as long as it has any."""
        due = self._due[topic]
        try:
            while topic in self._watchers:
                due.clear()
                began = time.monotonic()
                if (frame := await self._worked_out(topic)) is not None:
                    self._shown[topic] = frame
                    for messages in self._watchers.get(topic, ()):
                        _put(messages, frame)
                await asyncio.sleep(max(0.0, began + VIEW_EVERY_SECONDS - time.monotonic()))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(due.wait(), VIEW_AT_LEAST_EVERY_SECONDS - VIEW_EVERY_SECONDS)
        finally:
            if self._showing.get(topic) is asyncio.current_task():
                self._showing.pop(topic, None)
                self._shown.pop(topic, None)
                self._due.pop(topic, None)

    async def _worked_out(self, topic: str) -> str | None:
        """None: it could not be worked out now. The watchers hear nothing, and see that they do."""
        if self._workers is None:
            self._workers = ThreadPoolExecutor(VIEWS_AT_ONCE, thread_name_prefix="views")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, _work_out, topic)
        except Exception as error:  # whatever a database or a cache may raise: the next second tries again
            log.warning("a live view could not be worked out: %s", type(error).__name__)
            return None

    def leave(self, topics: Iterable[str], messages: "asyncio.Queue[str]") -> None:
        self.n_watchers -= 1
        WATCHERS.labels(_kind_of(topics)).dec()
        for topic in topics:
            self._watchers[topic].discard(messages)
            if not self._watchers[topic]:
                del self._watchers[topic]
                if topic in self._due:
                    self._due[topic].set()  # nobody is left to show it to

    def deliver(self, message: str) -> None:
        """From any thread."""
        with self._lock:
            loop = self._loop
        if loop is None or loop.is_closed():
            return  # nobody watches
        loop.call_soon_threadsafe(self._hand_out, message)

    def _hand_out(self, message: str) -> None:
        try:
            told = json.loads(message)
            topic = told.pop("topic")
        except (ValueError, KeyError, AttributeError):
            return
        if topic.startswith(_ACCOUNT):
            views = f"{_VIEW}{topic.removeprefix(_ACCOUNT)}:"
            for view, due in self._due.items():
                if view.startswith(views):
                    due.set()
        if topic not in self._watchers:
            return
        if topic.startswith(_ACCOUNT):
            if topic in self._resting:
                self._resting[topic] = True
                return
            self._rest(topic)
        self._tell(topic, told)

    def _tell(self, topic: str, told: dict[str, Any]) -> None:
        for messages in self._watchers.get(topic, ()):
            _put(messages, _frame(CHANGED, told))

    def _rest(self, topic: str) -> None:
        self._resting[topic] = False
        asyncio.get_running_loop().call_later(ACCOUNT_EVERY_SECONDS, self._rested, topic)

    def _rested(self, topic: str) -> None:
        if self._resting.pop(topic, False):
            self._rest(topic)
            self._tell(topic, {})

    def _tell_everybody_to_ask(self) -> None:
        for due in self._due.values():
            due.set()
        for messages in {messages for watchers in self._watchers.values() for messages in watchers}:
            _put(messages, _frame(MISSED, {}))

    async def _listen(self) -> None:
        """The one subscription, made anew after every failure."""
        rest = 0.5
        # Asked for by name: what Redis's client awaits may swallow a cancellation that comes as it connects.
        task: Any = asyncio.current_task()
        while not task.cancelling():
            try:
                client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=3)
                async with client, client.pubsub() as subscription:
                    await subscription.subscribe(_channel())
                    self._tell_everybody_to_ask()
                    rest = 0.5
                    while not task.cancelling():
                        heard = await subscription.get_message(ignore_subscribe_messages=True, timeout=PING_SECONDS)
                        if heard is None:
                            await asyncio.wait_for(subscription.ping(), 3)  # a frozen Redis looks like a quiet one
                        elif heard["type"] == "message":
                            self._hand_out(heard["data"])
            except (redis.RedisError, OSError, TimeoutError) as error:
                log.warning("live pages hear nothing from Redis: %s", type(error).__name__)
                await asyncio.sleep(rest)
                rest = min(rest * 2, 10.0)


def _kind_of(topics: Iterable[str]) -> str:
    """What the page is: a wallboard follows a view, a desk one person."""
    kinds = {topic.partition(":")[0] for topic in topics}
    return next((kind for kind in ("view", "desk", "account") if kind in kinds), "other")


hub = Hub()


def _work_out(topic: str) -> str:
    _, account_id, view = topic.split(":", 2)
    close_old_connections()
    try:
        figures: str | None = import_string(settings.LIVE_VIEW)(int(account_id), view)
    finally:
        close_old_connections()
    return _frame(GONE, {}) if figures is None else f"event: {SHOWN}\ndata: {figures}\n\n"


def _put(messages: "asyncio.Queue[str]", frame: str) -> None:
    try:
        messages.put_nowait(frame)
    except asyncio.QueueFull:
        # Whoever does not keep up is told once to ask for everything, in place of what waited.
        while not messages.empty():
            messages.get_nowait()
        messages.put_nowait(_frame(MISSED, {}))


def _frame(event: str, data: dict[str, Any]) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


class Streams:
    """Serves the streams before Django sees a request: hundreds of them wait without a thread or a connection each."""

    def __init__(self, application: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._serve(scope, receive, send)
        else:
            await self.application(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        topics = _topics_of(scope)
        if scope["method"] != "GET" or topics is None:
            await _refuse(send, 405 if scope["method"] != "GET" else 403)
            return
        if hub.n_watchers >= WATCHERS_MAX:
            await _refuse(send, 503)
            return
        messages = hub.join(topics)
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await _send_text(send, "retry: 2000\n\n" + _frame(MISSED, {}))
            await self._pass_on(messages, leaving, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            pass  # the browser went
        finally:
            leaving.cancel()
            hub.leave(topics, messages)

    async def _pass_on(self, messages: "asyncio.Queue[str]", leaving: "asyncio.Future[None]", send: Send) -> None:
        until = time.monotonic() + STREAM_SECONDS
        while not leaving.done() and (left := until - time.monotonic()) > 0:
            waiting = asyncio.ensure_future(messages.get())
            either: set[asyncio.Future[Any]] = {waiting, leaving}
            done, _ = await asyncio.wait(either, timeout=min(PING_SECONDS, left), return_when=asyncio.FIRST_COMPLETED)
            if waiting in done:
                frames = [waiting.result()]
                while not messages.empty():
                    frames.append(messages.get_nowait())
                await _send_text(send, "".join(frames))
            else:
                waiting.cancel()
                await _send_text(send, ": still here\n\n")


_NEITHER_KEPT_NOR_GUESSED = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
    *_NEITHER_KEPT_NOR_GUESSED,
]


def _topics_of(scope: Scope) -> list[str] | None:
    given = parse_qs(scope["query_string"].decode("latin-1")).get("to", [""])[0]
    try:
        topics: list[str] = signing.TimestampSigner(salt=_SALT).unsign_object(given, max_age=LINK_SECONDS)
    except signing.BadSignature:
        return None
    return topics


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_text(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _refuse(send: Send, status: int) -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0"), *_NEITHER_KEPT_NOR_GUESSED]}
    )
    await send({"type": "http.response.body", "body": b""})
