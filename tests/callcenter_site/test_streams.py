"""Live streams: only with a fresh signed link, only their own topics, slow watchers told to ask, everything given back."""

import asyncio
import json
import socket
import threading
import time

import pytest
import time_machine
from django.conf import settings

from callcenter_site import streams
from callcenter_site.streams import Hub, Streams, publish, stream_link


async def no_application(scope, receive, send):
    raise AssertionError("the stream is answered before Django")


class Watcher:
    """A browser on a stream."""

    def __init__(self, link: str, method: str = "GET") -> None:
        path, _, query = link.partition("?")
        self.scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
        self.sent: asyncio.Queue = asyncio.Queue()
        self.incoming: asyncio.Queue = asyncio.Queue()

    async def __aenter__(self):
        self.task = asyncio.ensure_future(Streams(no_application)(self.scope, self.incoming.get, self.sent.put))
        self.status = (await self.sent.get())["status"]
        return self

    async def __aexit__(self, *error):
        await self.incoming.put({"type": "http.disconnect"})
        await asyncio.wait_for(self.task, 5)

    async def next(self):
        return (await asyncio.wait_for(self.sent.get(), 5))["body"].decode()


@pytest.fixture(autouse=True)
def own_hub(monkeypatch):
    monkeypatch.setattr(streams, "hub", Hub())
    monkeypatch.setattr(streams, "_say_again_at", 0.0)  # a test before this one may have taken Redis away


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 20))


async def heard_by(watcher):
    """What the watcher hears next of a change, past the welcome and pings."""
    while True:
        text = await watcher.next()
        if "event: changed" in text:
            return json.loads(text.partition("data: ")[2].partition("\n")[0])


def test_a_watcher_hears_of_its_own_topics_and_no_others():
    async def scene():
        async with Watcher(stream_link(["desk:1"])) as first, Watcher(stream_link(["desk:2", "account:9"])) as second:
            assert "event: missed" in await first.next()
            await second.next()
            for _ in range(20):  # with Redis the subscription comes a moment after the watcher
                publish(["desk:2"], call=7)
                try:
                    assert await asyncio.wait_for(asyncio.shield(heard_by(second)), 0.5) == {"call": 7}
                    break
                except TimeoutError:
                    continue
            publish(["desk:1"], call=8)
            assert await heard_by(first) == {"call": 8}

    run(scene())


def test_a_message_from_another_thread_arrives():
    async def scene():
        async with Watcher(stream_link(["account:3"])) as watcher:
            await watcher.next()
            await asyncio.sleep(0.3 if settings.REDIS_URL else 0)
            thread = threading.Thread(target=publish, args=(["account:3"],), kwargs={"call": 1})
            thread.start()
            assert await heard_by(watcher) == {"call": 1}
            thread.join()

    run(scene())


@pytest.mark.parametrize(
    "link", ["/streams/", "/streams/?to=", "/streams/?to=nonsense", stream_link(["desk:1"])[:-1] + "x"], ids=range(4)
)
def test_without_a_good_link_nothing_is_heard(link):
    async def scene():
        watcher = Watcher(link)
        watcher.incoming.put_nowait({"type": "http.request"})
        async with watcher:
            assert watcher.status == 403

    run(scene())


def test_a_link_opens_for_a_minute():
    with time_machine.travel("2026-03-04T03:00:00Z", tick=False):
        link = stream_link(["desk:1"])
    with time_machine.travel("2026-03-04T03:01:01Z", tick=True):
        run(refused(link, 403))


async def refused(link, status, method="GET"):
    async with Watcher(link, method) as watcher:
        assert watcher.status == status


def test_only_get_is_answered():
    run(refused(stream_link(["desk:1"]), 405, "POST"))


def test_a_full_process_refuses_more(monkeypatch):
    monkeypatch.setattr(streams, "WATCHERS_MAX", 0)
    run(refused(stream_link(["desk:1"]), 503))


def test_who_does_not_keep_up_is_told_to_ask_for_everything():
    async def scene():
        queue = streams.hub.join(["desk:1"])
        for number in range(streams.QUEUE_LENGTH + 1):
            streams.hub._hand_out(json.dumps({"topic": "desk:1", "call": number}))
        frames = [queue.get_nowait() for _ in range(queue.qsize())]
        assert [frame.splitlines()[0] for frame in frames] == ["event: missed"]

    run(scene())


def test_a_stream_ends_so_that_rights_are_asked_again(monkeypatch):
    monkeypatch.setattr(streams, "STREAM_SECONDS", 0.2)

    async def scene():
        watcher = Watcher(stream_link(["desk:1"]))
        async with watcher:
            await asyncio.wait_for(watcher.task, 5)

    run(scene())


def test_watchers_that_leave_are_forgotten():
    async def scene():
        for _ in range(3):
            async with Watcher(stream_link(["desk:1", "account:1"])) as watcher:
                await watcher.next()
        assert (streams.hub.n_watchers, dict(streams.hub._watchers)) == (0, {})

    run(scene())


def test_nobody_watching_is_no_error():
    publish(["desk:1"], call=1)


def test_a_redis_that_is_gone_keeps_nobody_waiting(settings, monkeypatch):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(streams, "_client", None)
    monkeypatch.setattr(streams, "_say_again_at", 0.0)
    publish(["desk:1"], call=1)
    until = time.monotonic() + 5
    while streams._say_again_at == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert streams._say_again_at > 0, "after a failure it rests"


def test_a_redis_that_hangs_keeps_nobody_waiting(settings, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections and never answers
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        monkeypatch.setattr(streams, "_client", None)
        monkeypatch.setattr(streams, "_say_again_at", 0.0)
        began = time.monotonic()
        for number in range(2 * streams.WAITING_MAX):
            publish(["desk:1"], call=number)
        assert time.monotonic() - began < 1
        assert streams._waiting.qsize() <= streams.WAITING_MAX


def test_a_whole_account_is_told_at_most_once_a_second_and_of_the_last_change(settings, monkeypatch):
    settings.REDIS_URL = ""  # a subscription would say something of its own
    monkeypatch.setattr(streams, "ACCOUNT_EVERY_SECONDS", 0.2)

    async def scene():
        messages = streams.hub.join(["account:3"])
        for _ in range(50):
            streams.hub._hand_out(json.dumps({"topic": "account:3"}))
        assert messages.qsize() == 1
        await asyncio.sleep(0.7)
        assert messages.qsize() == 2, "what came meanwhile is told when the second is over"
        assert (messages.qsize(), streams.hub._resting) == (2, {})
        streams.hub._hand_out(json.dumps({"topic": "account:3"}))
        assert messages.qsize() == 3, "after a rest it is told at once"

    run(scene())


def test_desks_are_told_of_each_call_at_once(settings):
    settings.REDIS_URL = ""

    async def scene():
        messages = streams.hub.join(["desk:1"])
        for number in range(3):
            streams.hub._hand_out(json.dumps({"topic": "desk:1", "call": number}))
        assert messages.qsize() == 3

    run(scene())


# --- Views -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def painted(monkeypatch):
    """What a view shows is how often it was worked out."""
    asked: list[tuple[int, str]] = []

    def work_out(name):
        assert name == settings.LIVE_VIEW
        return lambda account_id, view: (asked.append((account_id, view)), None if view == "gone" else json.dumps(len(asked)))[1]

    monkeypatch.setattr(streams, "import_string", work_out)
    monkeypatch.setattr(streams, "VIEW_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(streams, "VIEW_AT_LEAST_EVERY_SECONDS", 60)
    return asked


async def shown_to(watcher):
    while True:
        text = await watcher.next()
        if "event: shown" in text:
            return json.loads(text.partition("event: shown\ndata: ")[2].partition("\n")[0])


def test_a_view_is_worked_out_once_for_all_who_watch_it_and_again_when_something_changed(painted):
    async def scene():
        link = stream_link([streams.view_topic(3, "now:all::")])
        async with Watcher(link) as first, Watcher(link) as second:
            assert await shown_to(first) == await shown_to(second) == 1
            async with Watcher(link) as late:
                assert await shown_to(late) >= 1  # at once, though nothing changed
                await asyncio.sleep(1 if settings.REDIS_URL else 0)  # its subscription comes a moment after the watcher
                n = len(painted)
                publish(["account:33"])
                for _ in range(20):
                    publish(["account:3"])
                for watcher in (first, second, late):
                    while await shown_to(watcher) <= n:
                        pass
                assert len(painted) <= n + 2  # twenty changes in a moment are one or two
        await asyncio.sleep(0.5)
        assert not streams.hub._showing and not streams.hub._shown and not streams.hub._due

    run(scene())
    assert painted[:2] == [(3, "now:all::")] * 2


def test_a_view_that_failed_shows_nothing_and_comes_back(painted, monkeypatch):
    works, failures = streams.import_string, iter([OSError("the database is away")])

    def fails_once(name):
        for error in failures:
            raise error
        return works(name)

    monkeypatch.setattr(streams, "import_string", fails_once)

    async def scene():
        async with Watcher(stream_link([streams.view_topic(3, "now")])) as watcher:
            await watcher.next()
            await asyncio.sleep(0.3)
            publish(["account:3"])
            assert await shown_to(watcher) == 1

    run(scene())


def test_a_view_that_is_gone_says_so(painted):
    async def scene():
        async with Watcher(stream_link([streams.view_topic(3, "gone")])) as watcher:
            while "event: gone" not in await watcher.next():
                pass

    run(scene())
