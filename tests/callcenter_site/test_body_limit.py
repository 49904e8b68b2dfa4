"""Bodies that are too large, or never end, are answered before anything of them is kept."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from callcenter_site.body_limit import BodyLimit
from configuration.api_keys import create_api_key
from configuration.models import ApiKey
from tests.factories import AccountFactory

EVENTS = "/api/v1/events"


class Server:
    """Plays an ASGI server: hands out the given pieces of a body, and keeps what is answered."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self.messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        if ends:
            self.messages.append({"type": "http.request", "body": b"", "more_body": False})
        self.n_taken = 0
        self.sent: list = []

    async def receive(self):
        if self.n_taken == len(self.messages):
            await asyncio.sleep(3600)
        self.n_taken += 1
        return self.messages[self.n_taken - 1]

    async def send(self, message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return self.sent[0]["status"]


class Application:
    """Reads the body to its end, as Django does, and answers 200."""

    def __init__(self) -> None:
        self.headers: list = []
        self.body = None

    async def __call__(self, scope, receive, send) -> None:
        self.headers = scope["headers"]
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.body = body
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def ask(server: Server, *headers: tuple[bytes, bytes], path: str = EVENTS) -> Application:
    application = Application()
    scope = {"type": "http", "path": path, "headers": list(headers)}
    asyncio.run(BodyLimit(application)(scope, server.receive, server.send))
    return application


CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize("length", [b"1048577", b"9" * 18, b"0" * 5000 + b"1048577", b"9" * 5000])
def test_a_declared_length_beyond_the_limit_is_refused_unread(length):
    server = Server(b"x")
    application = ask(server, (b"content-length", length))
    assert (server.status, server.n_taken, application.body) == (413, 0, None)
    assert (b"connection", b"close") in server.sent[0]["headers"]
    assert "1048576" in json.loads(server.sent[1]["body"])["detail"]


def test_a_body_of_just_the_limit_is_passed_on(settings):
    server = Server(b"x" * settings.EVENT_BODY_BYTES)
    application = ask(server, (b"content-length", str(settings.EVENT_BODY_BYTES).encode()))
    assert (server.status, len(application.body)) == (200, settings.EVENT_BODY_BYTES)


def test_pages_take_more_than_events_and_not_without_end(settings):
    settings.BODY_BYTES, settings.EVENT_BODY_BYTES = 100, 10
    for size, status in ((100, 200), (101, 413)):
        server = Server(b"x" * size)
        ask(server, (b"content-length", str(size).encode()), path="/admin/login/")
        assert server.status == status


@pytest.mark.parametrize("path", [EVENTS, "/admin/login/"])
def test_chunks_without_end_are_refused_as_soon_as_they_are_too_many(settings, path):
    settings.EVENT_BODY_BYTES = 10
    server = Server(*[b"x" * 4] * 1000, ends=False)
    application = ask(server, CHUNKED, path=path)
    assert (server.status, server.n_taken, application.body) == (413, 3, None)


def test_a_body_longer_than_it_was_said_to_be_is_refused(settings):
    settings.EVENT_BODY_BYTES = 10
    server = Server(*[b"x" * 4] * 1000)
    ask(server, (b"content-length", b"4"))
    assert (server.status, server.n_taken) == (413, 3)


def test_chunks_reach_the_application_whole_and_with_a_length():
    application = ask(Server(b"[1,", b"2]"), CHUNKED, (b"content-length", b"1"), (b"content-type", b"application/json"))
    assert application.body == b"[1,2]"
    assert application.headers == [(b"content-type", b"application/json"), (b"content-length", b"5")]


@pytest.mark.parametrize("header", [CHUNKED, (b"content-length", b"9")])
def test_a_body_that_stops_coming_is_given_up(settings, header):
    settings.BODY_STALL_SECONDS = 0.05
    server = Server(b"x", ends=False)
    ask(server, header)
    assert server.status == 408


@pytest.mark.parametrize("header", [CHUNKED, (b"content-length", b"9")])
def test_a_sender_that_is_gone_is_answered_nothing(header):
    server = Server(b"x", ends=False)
    server.messages.append({"type": "http.disconnect"})
    assert ask(server, header).body is None
    assert server.sent == []


def test_waiting_for_the_end_of_the_connection_has_no_limit(settings):
    """A live stream stays open long after its request was read."""
    settings.BODY_STALL_SECONDS = 0.05

    async def stream(scope, receive, send) -> None:
        await receive()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.3)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    server = Server()
    asyncio.run(BodyLimit(stream)({"type": "http", "path": "/", "headers": []}, server.receive, server.send))
    assert server.status == 200


@pytest.fixture
def port() -> Iterator[int]:
    config = uvicorn.Config("callcenter_site.asgi:application", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(10)


@pytest.mark.django_db(transaction=True)
def test_chunks_through_a_real_server_are_read_with_a_key_and_refused_without(port):
    key = create_api_key(account=AccountFactory(), name="chunks", scopes=[ApiKey.Scope.EVENTS_WRITE])[1]
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "pbx",
        "type": "call.started",
        "subject": "call-1",
        "time": "2026-11-24T01:00:00Z",
        "data": {"direction": "inbound", "calling_number": "13800138000", "called_number": "01055500001"},
    }
    text = json.dumps(event).encode()

    def post(*pieces: bytes, **headers: str) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", EVENTS, iter(pieces), {"Content-Type": "application/json", **headers}, encode_chunked=True)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    status, answer = post(text[:40], text[40:], Authorization=f"Api-Key {key}")
    assert (status, answer["accepted"]) == (202, 1), answer
    assert post(text)[0] == 401
    assert post(b" " * 1024 * 1024, b"{}")[0] == 413
