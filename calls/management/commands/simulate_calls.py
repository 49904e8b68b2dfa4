"""Live demo traffic: a simulated telephony platform that posts what happens to the events API, as it happens.

It knows the portal only by its address and a key. What it has under way is written to a file before it is told to the
portal, so that calls left open by a hard stop are ended by the next start.
"""

import datetime as dt
import fcntl
import http.client
import json
import logging
import signal
import threading
import time
import urllib.parse
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from calls.demo import files
from calls.demo.center import CENTER
from calls.demo.simulator import Event, Simulation, Steady, UnderWay

log = logging.getLogger(__name__)

EVENTS_PATH = "/api/v1/events"
TICK_SECONDS = 1.0
BATCH = 500
TIMEOUT_SECONDS = 10
LONGEST_PAUSE = 30.0
LAST_WORD_SECONDS = 4.0
WARM_UP = dt.timedelta(minutes=5)
LONGEST_GAP = dt.timedelta(minutes=5)
"""After a longer silence (portal away, machine asleep) the calls of before are ended and the day begins anew."""


class Command(BaseCommand):
    help = "Posts the traffic of a simulated center to the events API until it is stopped."
    requires_system_checks = []  # a client of the portal: whether that is well set up, it says itself

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=settings.PUBLIC_URL, help="where the portal is (default PUBLIC_URL)")
        parser.add_argument("--key-file", type=Path, help="file with the API key (default: that of the demo account)")
        parser.add_argument("--rate", type=float, default=120.0, help="calls an hour (default 120: about nine at a time)")
        parser.add_argument("--seed", type=int, help="for the same traffic again (default: by the clock)")

    def handle(self, *args: Any, url: str, key_file: Path | None, rate: float, seed: int | None, **options: Any) -> None:
        if not 0 < rate <= 20_000:
            raise CommandError("--rate: must be above 0 and at most 20000 calls an hour.")
        try:
            key = (key_file or files.path_of(files.API_KEY)).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise CommandError(f"--key-file: {error.strerror}: {error.filename}. Run load_demo first.") from error
        lock = files.path_of("live.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an agent can be on one call only
        except OSError as error:
            raise CommandError("The simulation is running already.") from error
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: stopping.set())
        try:
            feed = Feed(Portal(url, key), stopping, calls_per_hour=rate, seed=seed)
        except ValueError as error:
            raise CommandError(f"--url: {error}") from error
        self.stdout.write(f"Simulating {rate:g} calls an hour at {url}.")
        try:
            feed.run()
        except Refused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{feed.n_posted} events posted.")


class Refused(Exception):
    """The portal understood and will not take it; trying again would not help."""


class Portal:
    """The events API over one kept connection. No proxy is asked: the portal is next door."""

    def __init__(self, url: str, key: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write it like http://127.0.0.1:8000")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        self._path = parts.path.rstrip("/")
        self._key = key

    def is_up(self) -> bool:
        try:
            status, _, _ = self._ask("GET", "/healthz")
        except (OSError, http.client.HTTPException):
            return False
        return status == http.client.OK

    def post(self, events: list[Event]) -> float:
        """0 when the events are in; otherwise the seconds to wait before the same are posted again."""
        try:
            status, headers, body = self._ask("POST", EVENTS_PATH, json.dumps(events).encode())
        except (OSError, http.client.HTTPException):
            return 1.0
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN, http.client.NOT_FOUND):
            raise Refused(f"The portal answered {status} to the events; is the key right, and the address?")
        if status == http.client.TOO_MANY_REQUESTS or status >= http.client.INTERNAL_SERVER_ERROR:
            return _pause(headers.get("retry-after", ""))
        if reasons := _refused(body):
            log.warning("the portal refused an event: %s", reasons)
        elif status >= http.client.BAD_REQUEST:
            raise Refused(f"The portal answered {status} to the events.")
        return 0.0

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
        headers = {"Authorization": f"Api-Key {self._key}"}
        if body is not None:
            headers["Content-Type"] = "application/cloudevents-batch+json"
        try:
            self._connection.request(method, self._path + path, body=body, headers=headers)
            response = self._connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise


def _pause(retry_after: str) -> float:
    try:
        return min(LONGEST_PAUSE, max(0.5, float(retry_after)))
    except ValueError:  # absent, or a date
        return 2.0


def _refused(body: bytes) -> str:
    """The reasons of the first event that was not taken; "" when all were."""
    try:
        answers = json.loads(body)
    except ValueError:
        return ""
    if isinstance(answers, dict):
        answers = answers.get("results", [])
    for answer in answers if isinstance(answers, list) else []:
        if isinstance(answer, dict) and answer.get("status") == "rejected":
            return "; ".join(f"{error.get('field')} {error.get('reason')}" for error in answer.get("errors", []))
    return ""


class Feed:
    """Lets the simulation run with the clock and tells the portal what happens in it."""

    def __init__(self, portal: Portal, stopping: threading.Event, *, calls_per_hour: float, seed: int | None) -> None:
        self.n_posted = 0
        self._portal = portal
        self._stopping = stopping
        self._traffic = Steady(CENTER, calls_per_hour=calls_per_hour)
        self._seed = seed
        self._told = UnderWay()
        self._untold: list[Event] = []
        """What could not be posted when the stop came in between."""

    def run(self) -> None:
        if not self._wait_for_portal():
            return
        last = self._close_left_over()
        now = timezone.now()
        simulation = self._begin(max(last, now - WARM_UP))
        at = now
        while not self._stopping.is_set():
            now = timezone.now()
            if now - at > LONGEST_GAP:
                self._deliver(list(simulation.finish(at)), UnderWay(), at)
                simulation = self._begin(now)
            self._deliver(list(simulation.advance(now)), simulation.under_way(), now)
            at = now
            self._stopping.wait(TICK_SECONDS)
        at = max(at, timezone.now()) if timezone.now() - at < LONGEST_GAP else at
        self._deliver(list(simulation.finish(at)), UnderWay(), at, give_up_after=LAST_WORD_SECONDS)

    def _wait_for_portal(self) -> bool:
        while not self._portal.is_up():
            if self._stopping.wait(TICK_SECONDS):
                return False
        return not self._stopping.is_set()

    def _begin(self, start: dt.datetime) -> Simulation:
        seed = self._seed if self._seed is not None else start.microsecond + int(start.timestamp())
        run = f"live-{int(start.timestamp() * 1000):x}"
        return Simulation(CENTER, traffic=self._traffic, start=start, seed=seed, run=run)

    def _close_left_over(self) -> dt.datetime:
        """Ends what a run that was cut off had told the portal of, at the moment it was last heard of."""
        noted = files.read_json(files.LIVE) or {}
        try:
            at = min(dt.datetime.fromisoformat(noted["as_of"]), timezone.now())
            left = UnderWay(
                calls=frozenset(noted.get("calls", ())),
                work=frozenset((call, agent) for call, agent in noted.get("work", ())),
                online=frozenset(noted.get("online", ())),
            )
        except (KeyError, TypeError, ValueError):
            return timezone.now() - WARM_UP
        self._told = left
        self._deliver(left.closing_events(CENTER, at=at), UnderWay(), at)
        return at

    def _deliver(self, events: list[Event], under_way: UnderWay, at: dt.datetime, *, give_up_after: float | None = None) -> None:
        """Posts events, part by part: each part's beginnings are noted before the portal hears of them."""
        if not events and not self._untold:
            return
        self._untold += events
        deadline = None if give_up_after is None else time.monotonic() + give_up_after
        while part := self._untold[:BATCH]:
            before = self._told
            self._note(before | UnderWay.begun_in(part), at)
            if not self._post(part, deadline):
                self._note(before, at)
                return
            self.n_posted += len(part)
            del self._untold[:BATCH]
        self._note(under_way, at)

    def _post(self, events: list[Event], deadline: float | None) -> bool:
        """Whether they are in. Tries until stopped, then for as long as a last word may take."""
        while pause := self._portal.post(events):
            if self._stopping.is_set() and deadline is None:
                deadline = time.monotonic() + LAST_WORD_SECONDS
            if deadline is None:
                self._stopping.wait(pause)
            elif time.monotonic() + pause > deadline:
                return False
            else:
                time.sleep(pause)
        return True

    def _note(self, under_way: UnderWay, at: dt.datetime) -> None:
        self._told = under_way
        files.write_json(
            files.LIVE,
            {
                "as_of": at.isoformat(),
                "calls": sorted(under_way.calls),
                "work": sorted(under_way.work),
                "online": sorted(under_way.online),
            },
        )
