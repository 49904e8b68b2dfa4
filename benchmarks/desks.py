"""How soon does a desk hear of its ringing call when 200 of them are open?

Starts the portal as it is run in production and opens a live stream for each of 200 desks, over HTTP, with heartbeats as
the desk's page sends them. Then posts calls that ring now here, now there, and takes the time from before the POST until the
message has arrived at the right desk and the pop-up's page part has been fetched. Prints p50, p95 and p99 of both, and the
server's memory. Exits with 1 where one of the limits is passed, or a message did not come or came to a wrong desk.

With nothing configured, everything runs in the one process of `manage.py serve`. With DATABASE_URL, REDIS_URL and
CELERY_BROKER_URL, a Celery worker folds in a process of its own.

    python benchmarks/desks.py [--desks 200] [--calls 300]
    python -m tests.services python benchmarks/desks.py
"""

import argparse
import asyncio
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
FOLDER = tempfile.TemporaryDirectory()
os.environ["VAR_DIR"] = FOLDER.name  # keys, files and, with nothing configured, the database: of this run alone
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import setup_databases, teardown_databases

from agents.models import Agent, SkillGroup
from configuration.access import create_built_in_roles
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey, Role

LIMIT_SECONDS = 1.0
LIMIT_MB = 300
PORT = 8976
PAUSE = 0.1
BEAT = 10.0
GROUP = "Sales"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--desks", type=int, default=200)
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args()
    if connection.vendor == "sqlite":
        settings.DATABASES["default"].setdefault("TEST", {})
        connection.settings_dict["TEST"]["NAME"] = str(Path(FOLDER.name) / "portal.sqlite3")
    made = setup_databases(verbosity=0, interactive=False)
    try:
        people, key = set_up(options.desks)
        connection.close()
        return with_servers(people, key, options.calls)
    finally:
        teardown_databases(made, verbosity=0)


def set_up(n_desks: int) -> tuple[dict[str, str], str]:
    """Cookies by staff ID: everybody has signed in."""
    account = Account.objects.create(name="Benchmark", slug="benchmark", time_zone="Asia/Shanghai", region="CN")
    role = create_built_in_roles(account)[Role.Kind.AGENT]
    SkillGroup.objects.create(account=account, name=GROUP)
    cookies = {}
    for number in range(n_desks):
        staff_id = f"{1000 + number}"
        agent = Agent(account=account, role=role, staff_id=staff_id, email=f"{staff_id}@example.com", name="A")
        agent.set_unusable_password()
        agent.save()
        client = Client()
        client.force_login(agent, backend="agents.sign_in.RoleBackend")
        cookies[staff_id] = client.cookies[settings.SESSION_COOKIE_NAME].value
    return cookies, create_api_key(account=account, name="benchmark", scopes=[ApiKey.Scope.EVENTS_WRITE])[1]


def with_servers(people: dict[str, str], key: str, n_calls: int) -> int:
    name = str(connection.settings_dict["NAME"])
    env = os.environ | {"LOG_LEVEL": "ERROR"}
    if connection.vendor != "sqlite":
        env["DATABASE_URL"] = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
    python = sys.executable
    commands = {"server": [python, "manage.py", "serve", "--port", str(PORT)]}
    if not settings.CELERY_EMBEDDED:
        commands["worker"] = [
            python,
            "-m",
            "celery",
            "-A",
            "callcenter_site",
            "worker",
            "-P",
            "solo",
            "-Q",
            "ingest",
            "-l",
            "ERROR",
        ]
    subprocess.run([python, "manage.py", "collectstatic", "--noinput", "-v0"], cwd=ROOT, env=env, check=True)
    processes = {
        what: subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL) for what, command in commands.items()
    }
    try:
        told, popped, wrong = asyncio.run(asyncio.wait_for(run(people, key, n_calls), 600))
        memory = {what: memory_of(process.pid) for what, process in processes.items()}
    finally:
        for process in processes.values():
            process.terminate()
            process.wait()
    return report(len(people), n_calls, told, popped, wrong, memory)


def report(
    n_desks: int, n_calls: int, told: list[float], popped: list[float], wrong: int, memory: dict[str, tuple[int, int]]
) -> int:
    broker = "embedded" if settings.CELERY_EMBEDDED else "Celery and Redis"
    print(f"{connection.vendor}, {broker}: {n_desks} desks, {n_calls} calls")
    print(f"{n_calls - len(told)} calls were not heard of, {wrong} messages came to a wrong desk")
    for what, spent in (("message", told), ("pop-up", popped)):
        cuts = statistics.quantiles(spent, n=100)
        print(f"{what:<8} p50 {cuts[49] * 1000:6.0f} ms   p95 {cuts[94] * 1000:6.0f} ms   p99 {cuts[98] * 1000:6.0f} ms")
    print("memory: " + ", ".join(f"{what} {now} MB (peak {peak} MB)" for what, (now, peak) in memory.items()))
    is_slow = statistics.quantiles(popped, n=100)[94] > LIMIT_SECONDS
    return int(is_slow or memory["server"][1] > LIMIT_MB or wrong > 0 or len(told) < n_calls)


# --- The desks ---------------------------------------------------------------------------------------------------------


class Desk:
    """One open desk: its stream, and a heartbeat every ten seconds."""

    def __init__(self, staff_id: str, cookie: str) -> None:
        self.staff_id = staff_id
        self.headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}", "Accept": "application/json"}
        self.heard: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
        self.is_open = asyncio.Event()

    async def live(self, started: float) -> None:
        await asyncio.sleep(started)
        _status, body = await request("GET", "/desk/stream/", self.headers)
        link = json.loads(body)["link"]
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(f"GET {link} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nAccept: text/event-stream\r\n\r\n".encode())
        async for line in reader:
            if line.startswith(b"event: missed"):
                self.is_open.set()
            elif line.startswith(b"data: ") and b'"call"' in line:
                self.heard.put_nowait((json.loads(line[6:])["call"], time.perf_counter()))
        writer.close()

    async def beat(self, started: float) -> None:
        await asyncio.sleep(started)
        while True:
            await request("GET", "/desk/state/", self.headers)
            await asyncio.sleep(BEAT)

    async def pop_up(self, call_id: int) -> None:
        status, body = await request("GET", f"/desk/call/{call_id}/", self.headers)
        if status != 200 or b"data-call=" not in body:
            raise RuntimeError(f"the pop-up answered {status}")


async def run(people: dict[str, str], key: str, n_calls: int) -> tuple[list[float], list[float], int]:
    await server_is_up()
    desks = [Desk(staff_id, cookie) for staff_id, cookie in people.items()]
    tasks = [asyncio.create_task(desk.live(number * 0.02)) for number, desk in enumerate(desks)]
    tasks += [asyncio.create_task(desk.beat(number * BEAT / len(desks))) for number, desk in enumerate(desks)]
    await asyncio.gather(*(desk.is_open.wait() for desk in desks))
    headers = {"Authorization": f"Api-Key {key}", "Content-Type": "application/json"}
    told, popped = [], []
    for number in range(n_calls):
        desk = desks[(number * 37) % len(desks)]
        began = time.perf_counter()
        status, _body = await request("POST", "/api/v1/events", headers, ringing(f"bench-{number}", desk.staff_id))
        if status != 202:
            raise RuntimeError(f"the events were answered {status}")
        try:
            call_id, heard_at = await asyncio.wait_for(desk.heard.get(), 10)
        except TimeoutError:
            continue
        told.append(heard_at - began)
        await desk.pop_up(call_id)
        popped.append(time.perf_counter() - began)
        await request("POST", "/api/v1/events", headers, ended(f"bench-{number}"))
        await asyncio.wait_for(desk.heard.get(), 10)
        await asyncio.sleep(PAUSE)
    wrong = sum(desk.heard.qsize() for desk in desks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return told, popped, wrong


def ringing(call: str, staff_id: str) -> bytes:
    numbers = {"calling_number": "+8613800138000", "called_number": "+861055500001"}
    return events(
        call,
        ("call.started", {"direction": "inbound", **numbers}),
        ("call.queued", {"skill_group": GROUP}),
        ("call.ringing", {"agent": staff_id, "skill_group": GROUP}),
    )


def ended(call: str) -> bytes:
    return events(call, ("call.ended", {"party": "customer"}))


def events(call: str, *said: tuple[str, dict[str, Any]]) -> bytes:
    now = dt.datetime.now(dt.UTC)
    return json.dumps(
        [
            {
                "specversion": "1.0",
                "source": "benchmark",
                "id": f"{call}-{kind}",
                "type": kind,
                "subject": call,
                "time": (now + dt.timedelta(milliseconds=place)).isoformat(),
                "data": data,
            }
            for place, (kind, data) in enumerate(said)
        ]
    ).encode()


async def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{PORT}", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    answer = await reader.read()
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


async def server_is_up() -> None:
    for _ in range(300):
        try:
            status, _body = await request("GET", "/healthz", {})
            if status == 200:
                await asyncio.sleep(3)  # the worker's start is not what is measured
                return
        except (OSError, IndexError):
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError("the server did not start")


def memory_of(pid: int) -> tuple[int, int]:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) // 1024, int(lines["VmHWM"].split()[0]) // 1024


if __name__ == "__main__":
    sys.exit(main())
