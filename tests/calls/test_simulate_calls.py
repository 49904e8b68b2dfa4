import datetime as dt
import http.server
import io
import json
import threading
import time

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from calls.demo import files
from calls.demo.center import CENTER
from calls.lifecycle import Event, fold
from calls.management.commands import simulate_calls
from calls.management.commands.simulate_calls import Feed, Portal, Refused

RATE = 20_000.0


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.VAR_DIR = tmp_path


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(simulate_calls, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(simulate_calls, "LAST_WORD_SECONDS", 0.3)


class FakePortal:
    """Takes events, or answers with the pauses it is told to; `stop_after` posts it asks for the end."""

    def __init__(self, pauses=(), stop_after=3):
        self.events, self.pauses, self.n_posts, self.stop_after = [], list(pauses), 0, stop_after
        self.stopping = threading.Event()

    def is_up(self):
        return True

    def post(self, events):
        self.n_posts += 1
        if self.n_posts >= self.stop_after:
            self.stopping.set()
        if self.pauses:
            return self.pauses.pop(0)
        self.events += events
        return 0.0


def run(portal, rate=RATE):
    Feed(portal, portal.stopping, calls_per_hour=rate, seed=1).run()
    return portal.events


def ends(events):
    calls = {}
    for event in events:
        if event["type"].startswith("call."):
            at = dt.datetime.fromisoformat(event["time"])
            one = Event(event["type"], at, event["data"], event["id"].encode(), event["source"], event["sequence"])
            calls.setdefault(event["subject"], []).append(one)
    return {subject: fold(its) for subject, its in calls.items()}


def noted():
    return json.loads(files.path_of(files.LIVE).read_text())


def test_calls_open_when_it_is_stopped_are_ended():
    events = run(FakePortal())
    facts = ends(events)
    assert len(facts) > 20
    assert all(one.ended_at for one in facts.values())
    assert noted()["calls"] == noted()["work"] == noted()["online"] == []


def test_nothing_lies_in_the_future_and_nothing_before_the_history():
    before = timezone.now()
    files.write_json(files.LIVE, {"as_of": (before - dt.timedelta(seconds=90)).isoformat()})
    times = [dt.datetime.fromisoformat(event["time"]) for event in run(FakePortal())]
    assert min(times) >= before - dt.timedelta(seconds=91)
    assert max(times) <= timezone.now()


def test_what_was_not_taken_is_posted_again_in_order_and_once():
    events = run(FakePortal(pauses=[0.01, 0.01, 0.01], stop_after=8))
    ids = [event["id"] for event in events]
    assert len(ids) == len(set(ids))
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_a_killed_run_is_closed_by_the_next():
    first = FakePortal(stop_after=10**6)

    def killed(events):
        first.events += events
        if len(first.events) > 200:
            raise SystemError("killed")
        return 0.0

    first.post = killed
    with pytest.raises(SystemError):
        run(first)
    left_at = dt.datetime.fromisoformat(noted()["as_of"])
    left = [subject for subject, facts in ends(first.events).items() if facts.ended_at is None]
    assert left
    second = run(FakePortal())
    facts = ends(first.events + second)
    assert all(one.ended_at for one in facts.values())
    assert all(facts[subject].ended_at <= left_at for subject in left)
    assert all(leg.wrap_up_ended_at for one in facts.values() for leg in one.agent_legs if leg.answered_at)


def test_a_portal_that_never_took_anything_leaves_nothing_to_close():
    portal = FakePortal(pauses=[0.01] * 1000, stop_after=3)
    assert run(portal) == []
    assert noted()["calls"] == noted()["online"] == []


def test_after_a_long_silence_the_old_calls_end_where_it_began(monkeypatch):
    portal = FakePortal(stop_after=6)
    files.write_json(files.LIVE, {"as_of": timezone.now().isoformat()})
    real, jump = timezone.now, []
    monkeypatch.setattr(simulate_calls.timezone, "now", lambda: real() + sum(jump, dt.timedelta()))
    post = portal.post

    def sleep_at_the_third(events):
        answer = post(events)
        if portal.n_posts == 3:
            jump.append(dt.timedelta(hours=8))
        return answer

    portal.post = sleep_at_the_third
    facts = ends(run(portal))
    assert all(one.ended_at and one.ended_at - one.started_at < dt.timedelta(minutes=30) for one in facts.values())
    assert len({subject.rsplit("-", 1)[0] for subject in facts}) == 2


@pytest.mark.parametrize("note", ['{"as_of": "yesterday", "calls": 7}', '{"as_of": "2026-11-24T10:00:00"}', "[]", "{", ""])
def test_a_damaged_note_does_not_stop_the_start(note):
    files.write(files.LIVE, note)
    assert run(FakePortal())


# --- Over HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.server.seen.append((self.command, self.path, self.headers, body))
            status, headers, answer = self.server.answers.pop(0) if self.server.answers else (200, {}, b"{}")
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = answer

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen, server.answers = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(server):
    return f"http://127.0.0.1:{server.server_port}"


def test_events_are_posted_with_the_key(server):
    assert Portal(url(server), "the-key").post([{"id": "1"}]) == 0
    method, path, headers, body = server.seen[0]
    assert (method, path, json.loads(body)) == ("POST", "/api/v1/events", [{"id": "1"}])
    assert headers["Authorization"] == "Api-Key the-key"


@pytest.mark.parametrize(
    ("status", "retry_after", "pause"),
    [
        (429, "7", 7),
        (503, "1", 1),
        (503, "9999", 30),
        (503, "Tue, 24 Nov 2026 09:00:00 GMT", 2),
        (500, None, 2),
        (429, "-4", 0.5),
    ],
)
def test_a_busy_portal_is_given_the_time_it_asks_for(server, status, retry_after, pause):
    server.answers.append((status, {"Retry-After": retry_after} if retry_after else {}, b"{}"))
    portal = Portal(url(server), "k")
    assert portal.post([{}]) == pause
    assert portal.post([{}]) == 0


@pytest.mark.parametrize("status", [401, 403, 404, 400, 413])
def test_a_refusal_is_not_tried_again(server, status):
    server.answers.append((status, {}, b'{"detail": "no"}'))
    with pytest.raises(Refused, match=str(status)):
        Portal(url(server), "k").post([{}])


def test_a_portal_that_is_away_is_waited_for(server):
    port = server.server_port
    server.shutdown()
    server.server_close()
    portal = Portal(f"http://127.0.0.1:{port}", "k")
    assert not portal.is_up()
    assert portal.post([{}]) > 0


def test_a_proxy_in_the_environment_is_not_asked(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert Portal(url(server), "k").is_up()


def test_the_start_waits_for_the_portal_and_a_stop_ends_the_waiting():
    portal = FakePortal()
    portal.is_up = lambda: False
    feed = Feed(portal, portal.stopping, calls_per_hour=RATE, seed=1)
    thread = threading.Thread(target=feed.run)
    thread.start()
    time.sleep(0.2)
    assert portal.events == []
    portal.stopping.set()
    thread.join(2)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("options", "named"),
    [({"rate": 0}, "--rate"), ({"url": "portal"}, "--url"), ({"key_file": "/nowhere"}, "--key-file")],
)
def test_a_wrong_option_is_named(options, named, tmp_path):
    files.write(files.API_KEY, "k")
    if "key_file" in options:
        options = {"key_file": tmp_path / "nowhere"}
    with pytest.raises(CommandError, match=named):
        call_command("simulate_calls", stdout=io.StringIO(), **options)


def test_only_one_simulation_runs_at_a_time():
    import fcntl

    files.write(files.API_KEY, "k")
    with files.path_of("live.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="already"):
            call_command("simulate_calls", stdout=io.StringIO())


def test_every_agent_is_signed_in_once():
    portal = FakePortal(stop_after=1)
    events = [event for event in run(portal, rate=60.0) if event["type"] == "agent.status_changed"]
    signed_in = [event["subject"] for event in events if event["data"]["status"] == "available"]
    assert signed_in and set(signed_in) <= {seat.staff_id for seat in CENTER.seats}
