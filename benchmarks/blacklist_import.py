"""How long do 100,000 blacklist rows take, from the upload to the report, and how near is that to the database's own speed?

Uploads a CSV file of numbers in the forms people write (national, +86, with spaces, other countries, some prefixes and
some mistakes), checks it, writes it, and writes the report of its errors, as a worker does. Then copies the very rows this
made with plain multi-row INSERTs into a table of the same shape. Prints seconds of both, their ratio and the peak memory.
Exits with 1 above the limit. Runs on the database that is configured, in one of its own.

    python benchmarks/blacklist_import.py [--rows 100000]
    python -m tests.services python benchmarks/blacklist_import.py
"""

import argparse
import io
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
from django.utils import timezone

from agents.models import Agent
from callcenter_site.sheets import csv_chunks
from configuration.access import create_built_in_roles
from configuration.importing import run as running
from configuration.importing import upload
from configuration.importing.report import errors_of
from configuration.importing.run import choose_to_write, work_on
from configuration.importing.upload import open_import
from configuration.models import Account, AuditEntry, BlockedNumber, ImportRun, Role
from configuration.sheets import BlacklistSheet

LIMIT_SECONDS = 60
BATCH = 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    if connection.vendor == "sqlite":  # a file, as in production, not memory
        connection.settings_dict["TEST"]["NAME"] = str(settings.VAR_DIR / "benchmark.sqlite3")
    upload.nudge = running.nudge = lambda run_id: None  # this process is the worker
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        boss = set_up()
        file = a_file(options.rows)
        before = peak_megabytes()
        steps = through_the_portal(boss, file)
        grown = peak_megabytes() - before
        run = ImportRun.objects.get()
        assert run.state == ImportRun.State.DONE, run.state
        n_written, n_entries = BlockedNumber.objects.count(), AuditEntry.objects.filter(action=0).count()
        assert n_written == run.n_new and n_entries >= n_written
        plain = plain_inserts()
    finally:
        teardown_databases(databases, verbosity=0)
    ours = sum(steps.values())
    print(f"{connection.vendor}: {options.rows} rows, {n_written} written with an audit entry each, {run.n_bad} refused")
    print("  ".join(f"{name} {seconds:.2f} s" for name, seconds in steps.items()))
    print(f"through the portal {ours:7.2f} s (at most {LIMIT_SECONDS})   {options.rows / ours:9.0f} rows/s")
    print(f"plain INSERT       {plain:7.2f} s   {n_written / plain:9.0f} rows/s   ratio {plain / ours:.3f}")
    print(f"peak memory grew by {grown:.0f} MB")
    return 0 if ours <= LIMIT_SECONDS else 1


def set_up() -> Agent:
    account = Account.objects.create(name="Benchmark", slug="benchmark", time_zone="Asia/Shanghai", region="CN")
    role = create_built_in_roles(account)[Role.Kind.ADMINISTRATOR]
    boss = Agent(account=account, role=role, staff_id="1", name="Benchmark", email="benchmark@example.com")
    boss.save()
    return boss


def a_file(n_rows: int) -> io.BytesIO:
    numbers = random.Random(7)
    forms = (
        lambda n: f"1{38_0000_0000 + n}",
        lambda n: f"+86 1{38_0000_0000 + n}",
        lambda n: f"0086-138-{n // 10000:04}-{n % 10000:04}",
        lambda n: f"010-{6000_0000 + n}",
        lambda n: f"+1 415 {200 + n // 10000 % 700}-{n % 10000:04}",
        lambda n: f"+49 30 {2000_0000 + n}",
    )
    reasons = ("", "prank calls", "spam, reported twice", "骚扰电话")

    def rows() -> Iterator[tuple[str, str, str, str]]:
        yield "Number", "Direction", "Reason", "Until"
        for n in range(n_rows):
            if n % 1000 == 13:
                yield f"?{n % 10}", "inbound", "", ""
            elif n % 500 == 7:
                yield f"13{n % 10}{n:06}*", "both", "", ""
            else:
                form = numbers.choices(forms, weights=(40, 20, 10, 10, 10, 10))[0]
                until = "2099-12-31" if n % 5 == 0 else ""
                yield form(n), "both" if n % 3 == 0 else "inbound", reasons[n % 4], until

    return io.BytesIO(b"".join(csv_chunks(rows())))


def through_the_portal(boss: Agent, file: io.BytesIO) -> dict[str, float]:
    steps: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        steps[name] = time.perf_counter() - start
        return result

    run = timed("upload", lambda: open_import(sheet=BlacklistSheet, actor=boss, file=file, at=timezone.now()))
    timed("check", lambda: work_on(run.pk))
    run.refresh_from_db()
    timed("write", lambda: choose_to_write(run, actor=boss, only_if_all_good=False) and work_on(run.pk))
    timed("report", lambda: sum(1 for _ in csv_chunks(errors_of(run, reader=boss))))
    return steps


def plain_inserts() -> float:
    """The same rows with what the database itself takes, committed in the same batches."""
    names = ["account_id", "number", "is_prefix", "direction", "reason", "blocked_until", "created_at"]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(names)} FROM configuration_blockednumber")
        rows = cursor.fetchall()
        cursor.execute("DELETE FROM configuration_blockednumber")
        statement = f"INSERT INTO configuration_blockednumber ({', '.join(names)}) VALUES "
        marks = f"({', '.join(['%s'] * len(names))})"
        size = 100 if connection.vendor == "sqlite" else BATCH
        start = time.perf_counter()
        for at in range(0, len(rows), size):
            part = rows[at : at + size]
            cursor.execute(statement + ", ".join([marks] * len(part)), [value for row in part for value in row])
        return time.perf_counter() - start


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
