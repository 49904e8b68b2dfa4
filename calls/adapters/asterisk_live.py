"""Listens to an Asterisk and puts what it says into the inbox, for as long as it runs.

What must never happen: an event that was read is lost because the database was away for a moment, or the memory fills
because it stays away. So events are handed over in order and again until they are kept, and meanwhile no more is read
than fits; the rest stays with the server.

The manager interface does not repeat anything. After a start or a lost connection the server is asked what it has, and
the gap is told: calls that are gone are closed as lost contact, calls and statuses that changed are brought in line.
"""

import asyncio
import contextlib
import datetime as dt
import json
import logging
import random
import re
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from agents.matching import find_agents
from agents.models import Agent
from callcenter_site.bulk import parts
from calls import tasks
from calls.adapters.asterisk import Event, Site
from calls.adapters.asterisk_ami import ActionRefused, Frame, LoginRefused, Manager, ManagerError
from calls.adapters.asterisk_events import KnownCall, ManagerEvents
from calls.ingest import accept_events, fold_due
from calls.lifecycle import PORTAL_SOURCE, fold
from calls.lifecycle import Event as FoldedEvent
from calls.models import OPEN_STATES, Call, CallEvent, EventState
from configuration.models import Account

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
AUDIT_SECONDS = 300.0
TICK_SECONDS = 0.5
EVENTS_AT_ONCE = 500
RETRY_SECONDS = 0.5
MOST_RETRIES_AT_END = 5
LONGEST_PAUSE = 60.0
STATUS_SECONDS = 5.0
STATUS_KEPT_SECONDS = 24 * 3600
STALE_AFTER = dt.timedelta(seconds=30)
GAPS_SHOWN = 20
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Server:
    host: str
    port: int
    user: str
    secret: str
    tls: ssl.SSLContext | None = None


@dataclass(slots=True)
class Gap:
    since: str
    until: str
    n_lost: int


@dataclass(slots=True)
class Feed:
    """How the connection is doing, for whoever shows it: kept in the cache, and written to the log when it changes."""

    state: str = "connecting"
    problem: str = ""
    connected_since: str = ""
    heard_at: str = ""
    told_at: str = ""
    """When this was written: older than `STALE_AFTER`, and nobody listens."""
    n_calls: int = 0
    n_events: int = 0
    n_refused: int = 0
    gaps: list[dict[str, Any]] = field(default_factory=list)


def feed_key(account_id: int, source: str) -> str:
    return f"asterisk:{account_id}:{source}"


def feed_of(*, account: Account, source: str, at: dt.datetime) -> dict[str, Any]:
    """How a source is doing: `state` is connected, connecting, or silent where nobody listens.

    It is told through the cache, and through a file for where there is no cache that processes share.
    """
    known = cache.get(feed_key(account.pk, source)) or _read(notes_path(account, source)).get("feed")
    if not isinstance(known, dict):
        return {"state": "silent", "gaps": []}
    told_at = dt.datetime.fromisoformat(known["told_at"])
    is_silent = known["state"] != "stopped" and at - told_at > STALE_AFTER
    return {**known, "state": "silent"} if is_silent else known


def feeds_of(*, account: Account, at: dt.datetime) -> tuple[dict[str, Any], ...]:
    """How each source that is or was listened to for an account is doing, with its name; none that was stopped on purpose."""
    sources = cache.get(_sources_key(account.pk)) or _sources_noted(account)
    feeds = ({**feed_of(account=account, source=source, at=at), "source": source} for source in sorted(sources))
    return tuple(feed for feed in feeds if feed["state"] != "stopped")


def _sources_key(account_id: int) -> str:
    return f"asterisk:{account_id}"


def _sources_noted(account: Account) -> set[str]:
    folder = Path(settings.VAR_DIR) / "asterisk"
    notes = (_read(path) for path in folder.glob(f"{account.slug}-*-live.json"))
    return {str(one["source"]) for one in notes if one.get("source") and one.get("account") == account.pk}


def notes_path(account: Account, source: str) -> Path:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{account.slug}-{source}")
    return Path(settings.VAR_DIR) / "asterisk" / f"{name}-live.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


async def in_thread(work: Callable[[], Result]) -> Result:
    def run() -> Result:
        close_old_connections()
        return work()

    return await asyncio.to_thread(run)


@dataclass(slots=True)
class Listener:
    """Keeps one connection to one server, for one account."""

    account: Account
    site: Site
    server: Server
    notes: Path
    """A file that says how it goes, and which agents were seen last: who left while nobody listened is told then."""
    say: Callable[[str], Any] = lambda text: None
    run_in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = in_thread
    now: Callable[[], dt.datetime] = timezone.now
    longest_pause: float = LONGEST_PAUSE
    feed: Feed = field(default_factory=Feed)
    _events: ManagerEvents = field(init=False)
    _pending: list[Event] = field(default_factory=list)
    _heard_at: dt.datetime | None = None
    _n_lost: int = 0
    _told: float = 0.0

    def __post_init__(self) -> None:
        self._events = ManagerEvents(self.site)

    # --- The connection ----------------------------------------------------------------------------------------------

    async def run(self, stopping: asyncio.Event) -> None:
        """Listens until it is stopped. Raises `LoginRefused` if the very first login is refused."""
        self._remember()
        pause = 1.0
        was_connected = False
        while not stopping.is_set():
            try:
                server = self.server
                manager = await Manager.connect(server.host, server.port, server.user, server.secret, tls=server.tls)
            except (OSError, TimeoutError, ManagerError) as error:
                if isinstance(error, LoginRefused) and not was_connected:
                    raise
                await self._lost(error)
                await self._rest(pause * random.uniform(0.5, 1.0), stopping)  # noqa: S311  (apart from others, no secret)
                pause = min(pause * 2, self.longest_pause)
                continue
            try:
                was_connected = True
                await self._resume(manager)
                pause = 1.0
                await self._listen(manager, stopping)
            except DatabaseError as error:  # what the portal has could not be read; the server is asked anew
                await self._lost(error)
                await self._rest(min(pause, self.longest_pause), stopping)
                pause *= 2
            except (OSError, ManagerError) as error:
                for frame in manager.unread():
                    self._pending += self._events.feed(frame, self.now())
                await self._flush(stopping)
                await self._lost(error)
                await self._rest(min(pause, self.longest_pause), stopping)
            finally:
                await manager.close()
        await self._flush(stopping)
        self.feed.state = "stopped"
        await self._tell_feed()

    def _remember(self) -> None:
        """When the last run heard something, for the gap between."""
        before: Any = _read(self.notes).get("feed")
        with contextlib.suppress(KeyError, TypeError, ValueError):  # nothing of it is needed
            self.feed.gaps = list(before["gaps"])
            self._heard_at = dt.datetime.fromisoformat(before["heard_at"])

    async def _listen(self, manager: Manager, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        beats_at, audits_at = loop.time() + HEARTBEAT_SECONDS, loop.time() + AUDIT_SECONDS
        while not stopping.is_set():
            for frame in await manager.heard(TICK_SECONDS):
                self._pending += self._events.feed(frame, self.now())
                self._heard_at = self.now()
                if len(self._pending) >= EVENTS_AT_ONCE:
                    await self._flush(stopping)
            self._pending += self._events.tick(self.now())
            await self._flush(stopping)
            if loop.time() >= beats_at:
                await manager.ask("Ping")
                self._heard_at = self.now()
                beats_at = loop.time() + HEARTBEAT_SECONDS
            if loop.time() >= audits_at:
                self._pending += self._events.audit(await manager.ask_for_list("CoreShowChannels"), self.now())
                audits_at = loop.time() + AUDIT_SECONDS
            if loop.time() - self._told >= STATUS_SECONDS:
                await self._tell_feed()

    async def _rest(self, seconds: float, stopping: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stopping.wait()

    async def _lost(self, error: BaseException) -> None:
        problem = str(error) or type(error).__name__
        if self.feed.state != "connecting" or self.feed.problem != problem:
            log.warning("source %s: not connected: %s", self.site.source, problem)
            self.say(f"Not connected: {problem}. Trying again.")
        self.feed.state, self.feed.problem = "connecting", problem
        await self._tell_feed()

    # --- After a start or a gap --------------------------------------------------------------------------------------

    async def _resume(self, manager: Manager) -> None:
        try:
            status = await manager.ask_for_list("QueueStatus")
        except ActionRefused:  # a server without queues
            log.warning("source %s: QueueStatus is refused; nothing is known of queues", self.site.source)
            status = []
        channels = await manager.ask_for_list("CoreShowChannels")
        at = self.now()
        for frame in status:
            if frame.get("Event") == "QueueParams":
                self._events.feed(frame, at)
        members = [frame for frame in status if frame.get("Event") == "QueueMember"]
        since = self._heard_at
        known, statuses = await self.run_in_thread(lambda: self._what_the_portal_has(members))
        events = self._events.resume(
            members=members,
            waiting=[frame for frame in status if frame.get("Event") == "QueueEntry"],
            channels=channels,
            known=known,
            statuses=statuses,
            since=since,
            at=at,
        )
        n_lost = sum(event["source"] == PORTAL_SOURCE for event in events)
        self._pending += events
        self.feed.state, self.feed.problem, self.feed.connected_since = "connected", "", at.isoformat()
        if since is not None or n_lost:
            gap = Gap(since.isoformat() if since else "", at.isoformat(), n_lost)
            self.feed.gaps = [*self.feed.gaps, {"since": gap.since, "until": gap.until, "n_lost": gap.n_lost}][-GAPS_SHOWN:]
            log.warning("source %s: nothing was heard from %s to %s; %d calls lost", self.site.source, since, at, n_lost)
            self.say(f"Connected again. Nothing was heard from {since or 'before the start'} to {at}; {n_lost} calls were lost.")
        else:
            self.say(f"Connected to {self.server.host}:{self.server.port}.")
        log.info("source %s: connected, %d channels, %d members", self.site.source, len(channels), len(members))
        self._heard_at = at
        await self._tell_feed()

    def _what_the_portal_has(self, members: list[Frame]) -> tuple[dict[str, KnownCall], dict[str, tuple[str, str]]]:
        while fold_due(at=timezone.now()):
            pass
        names = {self.site.agent(frame.get("Location", ""), frame.get("Name", "")) for frame in members}
        names |= self._events.agents | self._agents_before()
        ids = find_agents(account=self.account, references=names)
        rows = Agent.objects.filter(pk__in=ids.values()).values_list("pk", "status", "status_reason")
        status_of = {pk: (status, reason) for pk, status, reason in rows}
        statuses = {name: status_of[pk] for name, pk in ids.items() if pk in status_of}
        return known_calls(account=self.account, source=self.site.source), statuses

    def _agents_before(self) -> set[str]:
        names = _read(self.notes).get("agents")
        return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()

    # --- Handing over ------------------------------------------------------------------------------------------------

    async def _flush(self, stopping: asyncio.Event) -> None:
        """Hands over what there is, again and again until it is kept."""
        pause, n_tries = RETRY_SECONDS, 0
        while self._pending:
            batch = self._pending[:EVENTS_AT_ONCE]
            try:
                await self.run_in_thread(lambda: self._keep(batch))  # noqa: B023  (it runs before the next round)
            except DatabaseError as error:
                log.error("source %s: the database does not take events: %s", self.site.source, type(error).__name__)
                self.feed.problem = "the database does not take events"
                n_tries += 1
                if stopping.is_set() and n_tries > MOST_RETRIES_AT_END:
                    log.error("source %s: stopped with %d events that are not kept", self.site.source, len(self._pending))
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0)
                continue
            self._pending = self._pending[len(batch) :]

    def _keep(self, events: list[Event]) -> None:
        at = timezone.now()
        for is_own, part in _by_speaker(events):
            answers = accept_events(account=self.account, items=part, at=at, is_own=is_own)
            for event, answer in zip(part, answers, strict=True):
                if answer["status"] == "accepted":
                    self.feed.n_events += 1
                elif answer["status"] == "rejected":
                    self.feed.n_refused += 1
                    fields = ", ".join(error["field"] for error in answer["errors"])
                    log.error("source %s: a %s was refused: %s", self.site.source, event["type"], fields)
        tasks.nudge()

    async def _tell_feed(self) -> None:
        self._told = asyncio.get_running_loop().time()
        self.feed.told_at = self.now().isoformat()
        self.feed.heard_at = self._heard_at.isoformat() if self._heard_at else ""
        self.feed.n_calls = self._events.n_calls
        told = {name: getattr(self.feed, name) for name in Feed.__slots__}
        with contextlib.suppress(Exception):  # whatever a cache may raise: it shows how it goes, and is in nobody's way
            await self.run_in_thread(lambda: self._tell_cache(told))
        # Before the first snapshot nothing is known of agents: what the last run noted stands.
        agents = self._events.agents if self.feed.connected_since else self._agents_before()
        try:
            beside = self.notes.with_suffix(".new")
            beside.write_text(
                json.dumps({"account": self.account.pk, "source": self.site.source, "feed": told, "agents": sorted(agents)}),
                encoding="utf-8",
            )
            beside.replace(self.notes)
        except OSError as error:
            log.warning("source %s: cannot note how it goes: %s", self.site.source, error.strerror)

    def _tell_cache(self, told: dict[str, Any]) -> None:
        cache.set(feed_key(self.account.pk, self.site.source), told, STATUS_KEPT_SECONDS)
        sources = set(cache.get(_sources_key(self.account.pk)) or _sources_noted(self.account))
        cache.set(_sources_key(self.account.pk), sources | {self.site.source}, STATUS_KEPT_SECONDS)


def _by_speaker(events: Iterable[Event]) -> Iterable[tuple[bool, list[Event]]]:
    """Events of the server, and those the portal says itself."""
    parts: dict[bool, list[Event]] = defaultdict(list)
    for event in events:
        parts[event["source"] == PORTAL_SOURCE].append(event)
    return parts.items()


def known_calls(*, account: Account, source: str) -> dict[str, KnownCall]:
    """The open calls of a source, with who talks and rings in them under the names the source has for them."""
    found: dict[str, KnownCall] = {}
    keys = list(Call.objects.for_account(account).filter(state__in=OPEN_STATES).values_list("call_key", flat=True))
    for some in parts(keys):
        rows = CallEvent.objects.for_account(account).filter(call_key__in=some)
        rows = rows.exclude(state=EventState.DEAD)
        calls: dict[str, list[FoldedEvent]] = defaultdict(list)
        own: set[str] = set()
        columns = ("subject", "source", "type", "occurred_at", "data", "event_key", "sequence")
        for subject, teller, event_type, at, data, key, sequence in rows.values_list(*columns):
            calls[subject].append(FoldedEvent(event_type, at, data, bytes(key), teller, sequence))
            if teller == source:
                own.add(subject)
        for subject in own:
            facts = fold(calls[subject])
            waiting = facts.entries[-1] if facts.entries and facts.entries[-1].left_at is None else None
            found[subject] = KnownCall(
                direction=str(facts.direction),
                last_at=facts.last_event_at,
                queue=waiting.skill_group if waiting else "",
                talking=frozenset(leg.party for leg in facts.agent_legs if leg.is_talking),
                ringing=frozenset(leg.party for leg in facts.agent_legs if leg.is_ringing),
            )
    return found
