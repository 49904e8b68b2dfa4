"""Does the dashboard's answer stay the same when there are fifty times the calls?

Makes a throwaway database on whatever DATABASE_URL names, with two accounts that differ only in their number of calls
over the same month, counts them with the real rollup, and asks the real page through Django's test client. Prints the
time of each answer, the ratio, and the peak memory. Exits with 1 if a ratio is above the limit.

    python benchmarks/dashboard.py [--small 20000] [--large 1000000]
"""

import argparse
import datetime as dt
import os
import random
import resource
import statistics
import sys
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
from django.conf import settings
from django.core.cache import cache
from django.db import connection, models, transaction
from django.test import Client
from django.test.utils import setup_databases, setup_test_environment, teardown_databases
from django.utils import timezone
from tqdm import tqdm

from agents.models import Agent, SkillGroup
from analytics.models import CallInterval, CallTotal, GroupTotal, QueueInterval, QueueTotal
from analytics.rollup import rebuild
from callcenter_site.slots import SLOT
from calls.models import Call, CallLeg, QueueEntry
from configuration.access import create_built_in_roles
from configuration.models import Account, Role, ServiceNumber

LIMIT = 1.3
DAYS = 30
ROUNDS = 15
BATCH = 5000
QUERIES = ("", "?period=last_7_days", "?period=month", "?period=month&step=hour")
NUMBERS = ("+861055500001", "+861055500002", "+861055500003")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    options = parser.parse_args()
    setup_test_environment()
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with tempfile.TemporaryDirectory() as folder:
        if connection.vendor == "sqlite":  # in memory the database itself would be the peak
            settings.DATABASES["default"].setdefault("TEST", {})
            connection.settings_dict["TEST"]["NAME"] = str(Path(folder) / "benchmark.sqlite3")
        made = setup_databases(verbosity=0, interactive=False)
        try:
            return measure(options.small, options.large)
        finally:
            teardown_databases(made, verbosity=0)


def measure(small: int, large: int) -> int:
    print(f"{connection.vendor}, {small:,} against {large:,} calls over {DAYS} days")
    end = timezone.now().replace(second=0, microsecond=0)
    answers = {n: make_account(n, end) for n in (small, large)}
    worst, n_failed = 0.0, 0
    first, last = (end - dt.timedelta(days=DAYS - 1)).date(), end.date()
    for query in QUERIES:
        asked = query.replace("period=month", f"from={first}&to={last}")
        seconds = {n: [] for n in answers}
        for client in answers.values():
            ask(client, asked)
        for _ in range(ROUNDS):  # in turn, so that what else the machine does falls on both
            for n, client in answers.items():
                seconds[n].append(ask(client, asked))
        typical = {n: statistics.median(times) for n, times in seconds.items()}
        ratio = typical[large] / typical[small]
        worst, n_failed = max(worst, ratio), n_failed + (ratio > LIMIT)
        print(f"  {query or 'today':24} {typical[small] * 1000:7.1f} ms {typical[large] * 1000:7.1f} ms   ratio {ratio:.2f}")
    tracemalloc.start()
    for query in QUERIES:
        ask(answers[large], query.replace("period=month", f"from={first}&to={last}"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"worst ratio {worst:.2f} (limit {LIMIT}); peak of an answer {peak / 1e6:.1f} MB, of the whole run {rss / 1e3:.0f} MB")
    return 1 if n_failed else 0


def ask(client: Client, query: str) -> float:
    cache.clear()
    started = time.perf_counter()
    answer = client.get(f"/admin/dashboard/{query}")
    seconds = time.perf_counter() - started
    assert answer.status_code == 200, answer.status_code
    return seconds


def make_account(n_calls: int, end: dt.datetime) -> Client:
    account = Account.objects.create(name=f"{n_calls} calls", slug=f"calls-{n_calls}", time_zone="Asia/Shanghai")
    create_built_in_roles(account)
    role = Role.objects.get(account=account, kind=Role.Kind.ADMINISTRATOR)
    boss = Agent(account=account, role=role, staff_id="1", email=f"boss-{n_calls}@example.com", name="Boss")
    boss.save()
    for number in NUMBERS:
        ServiceNumber.objects.create(account=account, number=number)
    groups = [SkillGroup.objects.create(account=account, name=f"Group {n}").pk for n in range(5)]
    start = end - dt.timedelta(days=DAYS)
    with tqdm(total=n_calls, desc=f"{n_calls:,} calls", unit="call", disable=None) as bar:
        for calls, entries, legs in batches(account.pk, boss.pk, groups, n_calls, start):
            with transaction.atomic():
                for model, rows in ((Call, calls), (QueueEntry, entries), (CallLeg, legs)):
                    insert(model, rows)
            bar.update(len(calls))
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    started = time.perf_counter()
    with tqdm(total=DAYS * 96, desc="counting", unit="slot", disable=None) as bar:
        for run in rebuild(account=account, start=start, end=end + SLOT, at=timezone.now()):
            bar.update(run.n_slots)
    seconds = time.perf_counter() - started
    tables = (CallInterval, CallTotal, QueueInterval, GroupTotal, QueueTotal)
    n_rows = sum(model.objects.for_account(account).count() for model in tables)
    print(f"  counted {n_calls:,} calls in {seconds:.1f} s ({n_calls / seconds:,.0f} a second) into {n_rows:,} rows")
    client = Client()
    client.force_login(boss, backend="agents.sign_in.RoleBackend")
    return client


def batches(
    account_id: int, agent_id: int, groups: list[int], n_calls: int, start: dt.datetime
) -> Iterator[tuple[list, list, list]]:
    """Rows of calls with their queue entry and leg, as the fold leaves them."""
    chance = random.Random(n_calls)
    next_id = (Call.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1
    for first in range(0, n_calls, BATCH):
        calls, entries, legs = [], [], []
        for pk in range(next_id + first, next_id + min(first + BATCH, n_calls)):
            at = start + dt.timedelta(seconds=chance.random() * DAYS * 86_400)
            wait, talk = round(chance.expovariate(1 / 15), 3), round(chance.expovariate(1 / 180), 3)
            group, number, fate = chance.choice(groups), chance.choice(NUMBERS), chance.random()
            queued_at = at + dt.timedelta(seconds=12)
            left_at = queued_at + dt.timedelta(seconds=wait)
            is_queued, is_answered = fate < 0.9, fate < 0.75
            ended_at = left_at + dt.timedelta(seconds=talk if is_answered else 0)
            call = {
                "id": pk,
                "account_id": account_id,
                "call_id": uuid.UUID(int=pk).hex,
                "call_key": pk.to_bytes(32, "big"),
                "state": "ended",
                "outcome": "answered" if is_answered else "abandoned_in_queue" if is_queued else "abandoned_in_ivr",
                "calling_number": f"+86138{pk % 10**8:08d}",
                "called_number": number,
                "started_at": at,
                "answered_at": left_at if is_answered else None,
                "ended_at": ended_at,
                "ended_on": ended_at.date(),
                "ivr_entered_at": at,
                "ivr_left_at": queued_at,
                "talk_seconds": talk if is_answered else 0.0,
                "agent_id": agent_id if is_answered else None,
                "skill_group_id": group,
                "last_event_at": ended_at,
            }
            calls.append(call)
            part = {"account_id": account_id, "call_id": pk, "seq": 1, "skill_group_id": group}
            if is_queued:
                outcome = "answered" if is_answered else "abandoned"
                entries.append(
                    {
                        **part,
                        "cause": "ivr",
                        "entered_at": queued_at,
                        "left_at": left_at,
                        "wait_seconds": wait,
                        "outcome": outcome,
                    }
                )
            if is_answered:
                answer = {"offered_at": left_at, "answered_at": left_at, "ended_at": ended_at, "result": "answered"}
                legs.append({**part, **answer, "kind": "agent", "agent_id": agent_id, "queue_seq": 1})
        yield calls, entries, legs


def insert(model: type[models.Model], rows: list[dict[str, Any]]) -> None:
    """Plain multi-row INSERTs; what a row does not say is the column's default."""
    if not rows:
        return
    fields = [field for field in model._meta.concrete_fields if not (field.primary_key and "id" not in rows[0])]
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    usual = [field.get_db_prep_save(field.get_default(), connection) for field in fields]
    places = [(place, field) for place, field in enumerate(fields) if field.attname in rows[0]]
    values = []
    for row in rows:
        one = usual.copy()
        for place, field in places:
            one[place] = field.get_db_prep_save(row[field.attname], connection)
        values.append(one)
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({marks})", values)


if __name__ == "__main__":
    sys.exit(main())
