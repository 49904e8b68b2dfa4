"""How near does intake come to the database's own speed?

Posts a believable month of events in batches over HTTP to the production server (uvicorn), folded meanwhile by a
Celery worker, and takes the time from the first post until every event is in its record. Then copies the very rows
this made (events, records, legs, queue entries, IVR steps, recordings, voicemail, statuses) with plain multi-row
INSERTs of the same batch size into tables of the same shape. Prints events per second of both, their ratio and the
peak memory of server and worker. Exits with 1 below the limit.

    python -m tests.services python benchmarks/intake.py [--calls 10000] [--clients 2]
"""

import argparse
import datetime as dt
import http.client
import json
import os
import subprocess
import sys
import threading
import time
import zoneinfo
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from agents.models import Agent, SkillGroup, StatusChange
from calls.demo import center as demo
from calls.demo.simulator import history
from calls.models import Call, CallEvent, CallLeg, CallSeenBy, EventState, IvrStep, KeywordHit, QueueEntry, Recording, Voicemail
from calls.tasks import fold_events
from configuration.access import create_built_in_roles
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey, Role

LIMIT = 0.25
BATCH = 1000
PORT = 8977
TABLES = (CallEvent, Call, CallLeg, CallSeenBy, KeywordHit, QueueEntry, IvrStep, Recording, Voicemail, StatusChange)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=2)
    options = parser.parse_args()
    if connection.vendor != "mysql" or settings.CELERY_EMBEDDED:
        sys.exit("Set DATABASE_URL (MySQL or MariaDB) and CELERY_BROKER_URL, or run it beside `python -m tests.services`.")
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        account, key = set_up()
        bodies = batches(options.calls)
        n_events = sum(n for n, _ in bodies)
        ours, memory = through_the_portal(account, key, bodies, options.clients, n_events)
        plain, n_rows = plain_inserts()
    finally:
        teardown_databases(databases, verbosity=0)
    ratio = plain / ours
    print(f"{n_events} events of {options.calls} calls made {n_rows} rows")
    print(f"through the portal   {ours:7.2f} s   {n_events / ours:9.0f} events/s")
    print(f"plain INSERT         {plain:7.2f} s   {n_events / plain:9.0f} events/s")
    print(f"ratio {ratio:.3f} (at least {LIMIT}); peak memory: " + ", ".join(f"{who} {mb} MB" for who, mb in memory.items()))
    return 0 if ratio >= LIMIT else 1


def set_up() -> tuple[Account, str]:
    account = Account.objects.create(name="Benchmark", slug="benchmark", time_zone=demo.TIME_ZONE, region=demo.REGION)
    roles = create_built_in_roles(account)
    for seat in demo.CENTER.seats:
        agent = Agent(
            account=account, role=roles[Role.Kind.AGENT], staff_id=seat.staff_id, email=f"{seat.staff_id}@example.com", name="A"
        )
        agent.set_unusable_password()
        agent.save()
    for group in demo.CENTER.groups:
        SkillGroup.objects.create(account=account, name=group.name)
    return account, create_api_key(account=account, name="benchmark", scopes=[ApiKey.Scope.EVENTS_WRITE])[1]


def batches(n_calls: int) -> list[tuple[int, bytes]]:
    end = dt.datetime.now(zoneinfo.ZoneInfo("UTC")).replace(microsecond=0)
    start = end - dt.timedelta(days=max(1, n_calls // 700))
    events = history(demo.CENTER, start=start, end=end, n_calls=n_calls, seed=1, run="bench")
    found = []
    while batch := list(islice(events, BATCH)):
        found.append((len(batch), json.dumps(batch).encode()))
    return found


def through_the_portal(
    account: Account, key: str, bodies: list[tuple[int, bytes]], n_clients: int, n_events: int
) -> tuple[float, dict[str, int]]:
    address = urlsplit(os.environ["DATABASE_URL"])
    env = os.environ | {
        "DATABASE_URL": urlunsplit(address._replace(path="/" + str(connection.settings_dict["NAME"]))),
        "INBOX_MAX_PER_ACCOUNT": "10000000",
        "INBOX_MAX": "10000000",
    }
    python = sys.executable
    server = [
        python,
        "-m",
        "uvicorn",
        "callcenter_site.asgi:application",
        "--port",
        str(PORT),
        "--log-level",
        "error",
        "--lifespan",
        "off",
    ]
    worker = [python, "-m", "celery", "-A", "callcenter_site", "worker", "-P", "solo", "-Q", "ingest", "-l", "ERROR"]
    processes = {name: subprocess.Popen(command, env=env, cwd=ROOT) for name, command in (("server", server), ("worker", worker))}
    try:
        wait_for_server()
        fold_events.delay()
        time.sleep(3)  # the worker's start is not what is measured
        queue, lock = list(reversed(bodies)), threading.Lock()
        clients = [threading.Thread(target=post_all, args=(key, queue, lock)) for _ in range(n_clients)]
        began = time.perf_counter()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        posted = time.perf_counter() - began
        while True:
            fold_events.delay()  # the timetable's part
            n_folded = CallEvent.objects.for_account(account).filter(state=EventState.FOLDED).count()
            if n_folded == n_events:
                break
            time.sleep(0.1)
        took = time.perf_counter() - began
        print(f"accepted in {posted:.2f} s, folded {took - posted:.2f} s later")
        return took, {name: peak_memory(process.pid) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.terminate()
            process.wait()


def wait_for_server() -> None:
    for _ in range(200):
        try:
            client = http.client.HTTPConnection("127.0.0.1", PORT, timeout=1)
            client.request("GET", "/healthz")
            if client.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("The server did not start.")


def post_all(key: str, queue: list[tuple[int, bytes]], lock: threading.Lock) -> None:
    client = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    headers = {"Authorization": f"Api-Key {key}", "Content-Type": "application/cloudevents-batch+json"}
    while True:
        with lock:
            if not queue:
                return
            n_events, body = queue.pop()
        client.request("POST", "/api/v1/events", body, headers)
        answer = json.loads(client.getresponse().read())
        if answer.get("accepted") != n_events:
            sys.exit(f"Not all accepted: {str(answer)[:500]}")


def peak_memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


def plain_inserts() -> tuple[float, int]:
    """The same rows, read back, into copies of the tables: seconds for the inserts alone, and how many rows."""
    took, n_rows = 0.0, 0
    with connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        for model in TABLES:
            name = model._meta.db_table
            cursor.execute(f"SELECT * FROM {name} ORDER BY id")
            rows: list[Any] = cursor.fetchall()
            constraints = foreign_keys(cursor, name)
            cursor.execute(f"CREATE TABLE copy_{name} LIKE {name}")
            for position, (column, table) in enumerate(constraints):
                key = f"CONSTRAINT copy_{name}_{position} FOREIGN KEY ({column}) REFERENCES {table} (id)"
                cursor.execute(f"ALTER TABLE copy_{name} ADD {key}")
            if not rows:
                continue
            n_rows += len(rows)
            statement = f"INSERT INTO copy_{name} VALUES ({', '.join(['%s'] * len(rows[0]))})"
            cursor.execute("SET foreign_key_checks = 1")
            began = time.perf_counter()
            for first in range(0, len(rows), BATCH):
                cursor.executemany(statement, rows[first : first + BATCH])
                connection.commit()
            took += time.perf_counter() - began
            cursor.execute("SET foreign_key_checks = 0")
    return took, n_rows


def foreign_keys(cursor: Any, table: str) -> list[tuple[str, str]]:
    cursor.execute(
        "SELECT column_name, referenced_table_name FROM information_schema.key_column_usage "
        "WHERE table_schema = DATABASE() AND table_name = %s AND referenced_table_name IS NOT NULL",
        [table],
    )
    return list(cursor.fetchall())


if __name__ == "__main__":
    sys.exit(main())
