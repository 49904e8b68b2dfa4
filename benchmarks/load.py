"""What does the portal carry, with everything of it on one machine?

Starts the portal as it is run in production: web processes, one Celery worker for each queue, and beat. Then a
believable day goes on for a while, quicker than by the clock: calls of agents who are free, told as events at a rate; a
desk for each agent, with its live stream and its heartbeats; supervisors who read dashboards, lists and records;
wallboards. Every five seconds it takes down what waits, how late records and counts are, and the processor and memory of
each process. At the end a burst may come, posted as fast as it is taken.

Prints rates, p50, p95 and p99 of each page, and what was taken down. Exits with 1 where a target is missed: the inbox grows,
the fold lag's p95 is above 2 s, a page's p95 above 300 ms, or the burst is not worked off.

The database must be one server, MariaDB or MySQL, with Redis as cache and broker; what makes the load runs here too, and takes
its share of the machine.

    python -m tests.services python benchmarks/load.py [--minutes 10] [--agents 200] [--rate 300] [--burst 50000]
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import heapq
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
FOLDER = tempfile.TemporaryDirectory()
os.environ["VAR_DIR"] = FOLDER.name  # keys and files of this run alone
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import setup_databases, teardown_databases
from django.utils import timezone

from agents.models import Agent, SkillGroup, SkillGroupMember
from analytics.models import Display
from callcenter_site.queues import QUEUES
from calls.demo import center as demo
from calls.demo.simulator import history
from calls.ingest import accept_events, fold_due
from configuration.access import create_built_in_roles
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey, Role

PORT = 8960
LAG_LIMIT, PAGE_LIMIT = 2.0, 0.3
SAMPLE_SECONDS, TICK_SECONDS, BEAT_SECONDS = 5.0, 0.2, 10.0
LINE = "+861055500001"
ASKED = ("portal_fold_lag_seconds_bucket", "portal_inbox_", "portal_rollup_lag_seconds", "portal_events_total")
PAGES = {
    "dashboard": "/admin/dashboard/",
    "dashboard figures": "/admin/dashboard/parts/",
    "now": "/admin/now/",
    "now figures": "/admin/now/figures/",
    "agents": "/admin/dashboard/agents/",
    "reports": "/admin/reports/?group=day",
    "service records": "/admin/calls/call/",
    "API: calls": "/api/v1/calls/?limit=50",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--agents", type=int, default=200, help="people at desks")
    parser.add_argument("--supervisors", type=int, default=5, help="who each open a page every two seconds")
    parser.add_argument("--wallboards", type=int, default=3)
    parser.add_argument("--rate", type=float, default=300, help="events a second")
    parser.add_argument("--burst", type=int, default=0, help="events posted at the end as fast as they are taken")
    parser.add_argument("--history", type=int, default=5000, help="calls that are there before")
    parser.add_argument("--web", type=int, default=2, help="web processes")
    options = parser.parse_args()
    if connection.vendor != "mysql" or settings.CELERY_EMBEDDED:
        sys.exit("Set DATABASE_URL, REDIS_URL and CELERY_BROKER_URL, or run it beside `python -m tests.services`.")
    made = setup_databases(verbosity=0, interactive=False)
    try:
        world = set_up(options)
        connection.close()
        with servers(options.web) as processes:
            return asyncio.run(Load(world, options, processes).run())
    finally:
        teardown_databases(made, verbosity=0)


# --- The portal --------------------------------------------------------------------------------------------------------


def set_up(options: argparse.Namespace) -> dict[str, Any]:
    account = Account.objects.create(name="Benchmark", slug="benchmark", time_zone=demo.TIME_ZONE, region=demo.REGION)
    roles = create_built_in_roles(account)
    groups = [SkillGroup.objects.create(account=account, name=f"Group {number}") for number in range(10)]
    cookies: dict[str, str] = {}
    n_people = options.agents + options.supervisors
    for number in range(n_people):
        is_agent = number < options.agents
        staff_id = f"{1000 + number}"
        person = Agent(
            account=account,
            role=roles[Role.Kind.AGENT if is_agent else Role.Kind.ADMINISTRATOR],
            staff_id=staff_id,
            email=f"{staff_id}@example.com",
            name=f"Person {number}",
        )
        person.set_unusable_password()
        person.save()
        if is_agent:
            SkillGroupMember.objects.create(account=account, agent=person, skill_group=groups[number % len(groups)])
        client = Client()
        client.force_login(person, backend="agents.sign_in.RoleBackend")
        cookies[staff_id] = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    people = list(cookies)
    walls = [Display.objects.create(account=account, name=f"Wall {number}").pk for number in range(options.wallboards)]
    end = timezone.now()
    past = history(demo.CENTER, start=end - dt.timedelta(days=7), end=end, n_calls=options.history, seed=1, run="before")
    while batch := list(itertools.islice(past, 1000)):
        accept_events(account=account, items=batch, at=timezone.now())
        while fold_due(at=timezone.now()):
            pass
    return {
        "agents": people[: options.agents],
        "supervisors": people[options.agents :],
        "groups": [group.name for group in groups],
        "cookies": cookies,
        "walls": walls,
        "key": create_api_key(account=account, name="benchmark", scopes=list(ApiKey.Scope.values))[1],
    }


@contextlib.contextmanager
def servers(n_web: int) -> Iterator[dict[str, int]]:
    """Names and process ids of everything the portal consists of."""
    name = str(connection.settings_dict["NAME"])
    env = os.environ | {
        "DATABASE_URL": urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}")),
        "METRICS_NETWORKS": "127.0.0.1",
        "INBOX_MAX_PER_ACCOUNT": "1000000",
        "INBOX_MAX": "1000000",
    }
    python = sys.executable
    subprocess.run([python, "manage.py", "collectstatic", "--noinput", "-v0"], cwd=ROOT, env=env, check=True)
    celery = [python, "-m", "celery", "-A", "callcenter_site"]
    commands = {f"web {n}": [python, "manage.py", "serve", "--port", str(PORT + n)] for n in range(n_web)}
    for queue in QUEUES:
        commands[f"worker {queue}"] = [*celery, "worker", "-Q", queue, "-n", f"{queue}@load", "-c", "1", "-l", "ERROR"]
    commands["beat"] = [*celery, "beat", "-l", "ERROR", "--pidfile=", "-s", f"{FOLDER.name}/beat"]
    started = {
        what: subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL) for what, command in commands.items()
    }
    try:
        yield {what: process.pid for what, process in started.items()} | services()
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()


def services() -> dict[str, int]:
    """MariaDB and Redis, where they run on this machine beside this process."""
    found = {}
    parents = {os.getppid(), os.getpid()}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text()
            program, parent = fields.partition("(")[2].rpartition(")")[0], int(fields.rpartition(")")[2].split()[1])
            if parent in parents and program.startswith(("mariadbd", "mysqld", "redis-server")):
                found[program.partition("-")[0]] = int(folder.name)
    return found


# --- The load ----------------------------------------------------------------------------------------------------------


class Load:
    def __init__(self, world: dict[str, Any], options: argparse.Namespace, processes: dict[str, int]) -> None:
        self.world, self.options, self.processes = world, options, processes
        self.ports = itertools.cycle([PORT + n for n in range(options.web)])
        self.events = {"Authorization": f"Api-Key {world['key']}", "Content-Type": "application/json"}
        self.spent: dict[str, list[float]] = defaultdict(list)
        self.failed: dict[str, int] = defaultdict(int)
        self.samples: list[dict[str, float]] = []
        self.n_posted = 0
        self.n_told = 0
        self.chance = random.Random(1)
        self.numbers = itertools.count()
        self.due: list[tuple[float, int, str, str, dict[str, Any]]] = []
        self.free = list(world["agents"])

    async def run(self) -> int:
        await self._is_up()
        tasks = [asyncio.create_task(self._desk(staff_id, n)) for n, staff_id in enumerate(self.world["agents"])]
        tasks += [asyncio.create_task(self._beats(staff_id, n)) for n, staff_id in enumerate(self.world["agents"])]
        tasks += [asyncio.create_task(self._wall(pk)) for pk in self.world["walls"]]
        await asyncio.sleep(min(30, len(self.world["agents"]) * 0.02 + 2))  # everybody has come
        await self._open_once()
        tasks += [asyncio.create_task(self._reads(staff_id, n)) for n, staff_id in enumerate(self.world["supervisors"])]
        sampler = asyncio.create_task(self._samples())
        before, cpu = await self._metrics(), {what: cpu_of(pid) for what, pid in self.processes.items()}
        own, began = time.process_time(), time.perf_counter()
        await self._calls(self.options.minutes * 60)
        took = time.perf_counter() - began
        after, now = await self._metrics(), {what: cpu_of(pid) for what, pid in self.processes.items()}
        shares = {what: (now[what] - cpu[what]) / took for what in self.processes}
        shares["this load"] = (time.process_time() - own) / took
        burst = await self._burst() if self.options.burst else None
        for task in (sampler, *tasks):
            task.cancel()
        await asyncio.gather(sampler, *tasks, return_exceptions=True)
        return self._report(took, before, after, shares, burst)

    # Calls: each takes a free agent through ten events; the rate decides how many go on at once.

    async def _calls(self, seconds: float) -> None:
        began = time.perf_counter()
        posting: set[asyncio.Task[None]] = set()
        n_due = 0.0
        while (now := time.perf_counter() - began) < seconds:
            n_due += TICK_SECONDS * self.options.rate / 10
            while n_due >= 1 and self.free:
                self._begin_call(now)
                n_due -= 1
            ready = []
            while self.due and self.due[0][0] <= now:
                ready.append(self._event(*heapq.heappop(self.due)[2:]))
            for first in range(0, len(ready), 100):
                task = asyncio.create_task(self._post(ready[first : first + 100]))
                posting.add(task)
                task.add_done_callback(posting.discard)
            await asyncio.sleep(max(0.0, TICK_SECONDS - (time.perf_counter() - began - now)))
        if posting:
            await asyncio.wait(posting)

    def _begin_call(self, now: float) -> None:
        agent = self.free.pop(self.chance.randrange(len(self.free)))
        group = self.chance.choice(self.world["groups"])
        call = f"load-{next(self.numbers)}"
        caller = f"+86138{self.chance.randrange(10**8):08}"
        steps = (
            (0.0, "call.started", {"direction": "inbound", "calling_number": caller, "called_number": LINE}),
            (0.1, "call.ivr_prompted", {"step": 1, "prompt": "menu", "kind": "tts"}),
            (0.4, "call.ivr_input", {"step": 1, "input": "1", "kind": "keys"}),
            (0.5, "call.queued", {"skill_group": group}),
            (0.8, "call.ringing", {"agent": agent, "skill_group": group}),
            (1.2, "call.answered", {"agent": agent}),
            (2.0, "call.held", {"agent": agent}),
            (2.4, "call.resumed", {"agent": agent}),
            (3.6, "call.leg_ended", {"agent": agent}),
            (3.7, "call.ended", {"party": "customer"}),
        )
        for after, kind, data in steps:
            heapq.heappush(self.due, (now + after, next(self.numbers), kind, call, data))

    def _event(self, kind: str, call: str, data: dict[str, Any]) -> dict[str, Any]:
        if kind == "call.ended":
            self.n_told += 1
        if kind == "call.leg_ended":
            self.free.append(data["agent"])
        return {
            "specversion": "1.0",
            "source": "load",
            "id": f"{call}-{kind}",
            "type": kind,
            "subject": call,
            "time": dt.datetime.now(dt.UTC).isoformat(),
            "data": data,
        }

    async def _post(self, events: list[dict[str, Any]], what: str = "API: events") -> None:
        if await self._ask(what, "POST", "/api/v1/events", self.events, json.dumps(events).encode()) == 202:
            self.n_posted += len(events)

    async def _burst(self) -> dict[str, float]:
        """As one who catches up after an outage: two connections, a thousand events at a time."""
        bodies = []
        past = history(
            demo.CENTER,
            start=timezone.now() - dt.timedelta(days=3),
            end=timezone.now(),
            n_calls=self.options.burst // 6,
            seed=7,
            run="burst",
        )
        events = itertools.islice(past, self.options.burst)
        while batch := list(itertools.islice(events, 1000)):
            bodies.append(batch)
        began = time.perf_counter()
        memory = {what: memory_of(pid) for what, pid in self.processes.items()}
        queue = list(reversed(bodies))

        async def client() -> None:
            while queue:
                await self._post(queue.pop(), "API: burst of 1000")

        await asyncio.gather(client(), client())
        taken = time.perf_counter() - began
        deepest = 0.0
        while time.perf_counter() - began < 900:
            depth = (await self._metrics())["portal_inbox_events"]
            deepest = max(deepest, depth)
            if depth == 0:
                break
            await asyncio.sleep(1)
        drained = time.perf_counter() - began
        grown = {what: memory_of(pid) - memory[what] for what, pid in self.processes.items()}
        most = max(grown, key=lambda what: grown[what])
        return {
            "events": float(sum(map(len, bodies))),
            "taken": taken,
            "drained": drained,
            "deepest": deepest,
            "left": depth,
            "grown": grown[most],
        }

    # People: desks, supervisors and walls.

    async def _desk(self, staff_id: str, number: int) -> None:
        await asyncio.sleep(number * 0.02)
        headers = {"Cookie": self.world["cookies"][staff_id], "Accept": "application/json"}
        await self._stream("/desk/stream/", headers)

    async def _wall(self, pk: int) -> None:
        headers = {"Cookie": self.world["cookies"][self.world["supervisors"][0]], "Accept": "application/json"}
        await self._stream(f"/wallboard/{pk}/figures/", headers)

    async def _stream(self, path: str, headers: dict[str, str]) -> None:
        """Opens a page's stream, and again when it ends, as the page does."""
        while True:
            port = next(self.ports)
            status = 0
            try:
                status, body = await request(port, "GET", path, headers)
                link = json.loads(body)["link"]
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {link} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode())
                while await reader.read(65536):
                    pass
                writer.close()
            except (OSError, ValueError, KeyError, IndexError):
                self.failed[f"stream of {path.strip('/').split('/')[0]} ({status})"] += 1
            await asyncio.sleep(2)

    async def _beats(self, staff_id: str, number: int) -> None:
        headers = {"Cookie": self.world["cookies"][staff_id], "Accept": "application/json"}
        await asyncio.sleep(number * BEAT_SECONDS / max(1, len(self.world["agents"])))
        while True:
            await self._ask("desk heartbeat", "GET", "/desk/state/", headers)
            await asyncio.sleep(BEAT_SECONDS)

    async def _reads(self, staff_id: str, number: int) -> None:
        headers = {"Cookie": self.world["cookies"][staff_id]}
        pages = list(PAGES.items())
        for turn in itertools.count(number):
            what, path = pages[turn % len(pages)]
            asked = self.events if what.startswith("API") else headers
            await self._ask(what, "GET", path, {**asked, "Accept": "application/json" if "figures" in what else "*/*"})
            await asyncio.sleep(self.chance.uniform(1, 3))

    async def _open_once(self) -> None:
        """Each page once at each process: the first reader of a new process waits for templates and code to be read."""
        headers = {"Cookie": self.world["cookies"][self.world["supervisors"][0]]}
        for path in PAGES.values():
            for port in range(PORT, PORT + self.options.web):
                await request(port, "GET", path, self.events if path.startswith("/api/") else headers)

    async def _ask(self, what: str, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> int:
        began = time.perf_counter()
        try:
            status, _body = await asyncio.wait_for(request(next(self.ports), method, path, headers, body), 60)
        except (OSError, IndexError, ValueError, TimeoutError):
            status = 0
        self.spent[what].append(time.perf_counter() - began)
        if not 200 <= status < 300:
            self.failed[f"{what} ({status})"] += 1
        return status

    # What the portal says of itself.

    async def _metrics(self) -> dict[str, float]:
        _status, body = await request(PORT, "GET", "/metrics", {})
        found: dict[str, float] = defaultdict(float)
        for line in body.decode().splitlines():  # the library's parser would hold everything up for longer than a page takes
            if line.startswith(ASKED):
                name, _, value = line.rpartition(" ")
                name, _, labels = name.partition("{")
                if name.endswith("_bucket"):
                    found["lag " + labels.partition('le="')[2].partition('"')[0]] += float(value)
                else:
                    found[name] += float(value)
        return found

    async def _samples(self) -> None:
        began = time.perf_counter()
        cpu = {what: cpu_of(pid) for what, pid in self.processes.items()}
        before = await self._metrics()
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            now = await self._metrics()
            used, memory = await asyncio.to_thread(self._cost)
            self.samples.append(
                {
                    "at": time.perf_counter() - began,
                    "inbox": now["portal_inbox_events"],
                    "oldest": now["portal_inbox_oldest_seconds"],
                    "lag": quantile(before, now, 0.95),
                    "rollup": now["portal_rollup_lag_seconds"],
                    "cpu": sum(used.values()) - sum(cpu.values()),
                    "memory": memory,
                    "accepted": now["portal_events_total"] - before["portal_events_total"],
                }
            )
            before, cpu = now, used

    def _cost(self) -> tuple[dict[str, float], float]:
        used = {what: cpu_of(pid) for what, pid in self.processes.items()}
        return used, sum(memory_of(pid) for pid in self.processes.values())

    async def _is_up(self) -> None:
        for port in range(PORT, PORT + self.options.web):
            for _ in range(600):
                with contextlib.suppress(OSError, IndexError):
                    if (await request(port, "GET", "/healthz", {}))[0] == 200:
                        break
                await asyncio.sleep(0.1)
            else:
                raise RuntimeError("a web process did not start")
        await asyncio.sleep(8)  # the workers' start is not what is measured

    # The report.

    def _report(
        self,
        took: float,
        before: dict[str, float],
        after: dict[str, float],
        shares: dict[str, float],
        burst: dict[str, float] | None,
    ) -> int:
        asked = self.options
        steady = [sample for sample in self.samples if sample["at"] <= took]
        lag = quantile(before, after, 0.95)
        n_accepted = after["portal_events_total"] - before["portal_events_total"]
        people = f"{asked.agents} agents at desks, {asked.supervisors} supervisors, {asked.wallboards} wallboards"
        print(f"{people}; {asked.web} web processes")
        print(f"{asked.rate:g} events/s asked for over {took:.0f} s; {os.cpu_count()} cores for everything, this load included")
        print(f"accepted {n_accepted / took:.0f} events/s, {self.n_told} calls")
        print(f"fold lag p50 {quantile(before, after, 0.5):.2f} s   p95 {lag:.2f} s   p99 {quantile(before, after, 0.99):.2f} s")
        print("\n   at   events/s   inbox  oldest   lag p95   counts   cores   memory")
        step = max(1, len(self.samples) // 40)
        for sample in self.samples[::step]:
            rate, cores = sample["accepted"] / SAMPLE_SECONDS, sample["cpu"] / SAMPLE_SECONDS
            waiting = f"{sample['at']:5.0f} s {rate:9.0f} {sample['inbox']:7.0f} {sample['oldest']:6.1f} s"
            print(f"{waiting} {sample['lag']:7.2f} s {sample['rollup']:6.0f} s {cores:7.2f} {sample['memory']:6.0f} MB")
        print(f"\n{'page':22} {'n':>6}      p50      p95      p99")
        slow = []
        for what, spent in sorted(self.spent.items()):
            if len(spent) < 2:
                continue
            cuts = statistics.quantiles(spent, n=100)
            print(f"{what:22} {len(spent):6} {cuts[49] * 1000:5.0f} ms {cuts[94] * 1000:5.0f} ms {cuts[98] * 1000:5.0f} ms")
            if what in PAGES and cuts[94] > PAGE_LIMIT:
                slow.append(what)
        print("\nprocess                cores   memory")
        for what, pid in self.processes.items():
            print(f"{what:20} {shares[what]:7.2f} {memory_of(pid):6.0f} MB")
        print(f"{'this load':20} {shares['this load']:7.2f}")
        if self.failed:
            print("\nnot answered well: " + ", ".join(f"{what}: {n}" for what, n in sorted(self.failed.items())))
        missed = [f"{what}: p95 above {PAGE_LIMIT:g} s" for what in slow]
        if lag > LAG_LIMIT:
            missed.append(f"fold lag: p95 above {LAG_LIMIT:g} s")
        third = len(steady) // 3
        if third and statistics.median(s["inbox"] for s in steady[-third:]) > 2 * asked.rate * LAG_LIMIT:
            missed.append("the inbox grew")
        if burst:
            rate = burst["events"] / burst["drained"]
            print(f"\nburst of {burst['events']:.0f} events: taken in {burst['taken']:.0f} s, done in {burst['drained']:.0f} s")
            print(f"{rate:.0f} events/s, {burst['deepest']:.0f} waited at most; no process grew by over {burst['grown']:.0f} MB")
            if burst["left"]:
                missed.append("the burst was not worked off in a quarter of an hour")
        print("\nmissed: " + "; ".join(missed) if missed else "\nevery target was met")
        return 1 if missed else 0


# --- Measuring ---------------------------------------------------------------------------------------------------------


def quantile(before: dict[str, float], after: dict[str, float], share: float) -> float:
    """Of the fold lag between two looks, read off its buckets as Prometheus does; the bucket's end is the most it can be."""
    ends = sorted((float(name.split()[1]), after[name] - before.get(name, 0.0)) for name in after if name.startswith("lag "))
    total = ends[-1][1] if ends else 0.0
    if not total:
        return 0.0
    low, counted = 0.0, 0.0
    for end, n in ends:
        if n >= share * total:
            return low if end == float("inf") else low + (end - low) * (share * total - counted) / max(n - counted, 1e-9)
        low, counted = end, n
    return low


def family_of(pid: int) -> list[int]:
    """A process and what it forked."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        return [pid, *(found for child in children.read_text().split() for found in family_of(int(child)))]
    return []


def cpu_of(pid: int) -> float:
    """Seconds of processor it and its children have used."""
    ticks = 0
    for one in family_of(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    """MB of it and its children; what they share counts once, in shares."""
    total = 0
    for one in family_of(pid):
        with contextlib.suppress(OSError, IndexError, ValueError):
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += int(text.partition("\nPss:")[2].split()[0])
    return total / 1024


async def request(port: int, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    answer = await reader.read()
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        content = unchunked(content)
    return int(head.split()[1]), content


def unchunked(content: bytes) -> bytes:
    whole = b""
    while content:
        size, _, content = content.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length:
            break
        whole, content = whole + content[:length], content[length + 2 :]
    return whole


if __name__ == "__main__":
    sys.exit(main())
