"""How long does a day of Asterisk's queue_log take to become records?

Makes a throwaway database on whatever DATABASE_URL names and a log of 50,000 calls (about 217,000 lines), imports it as
the command does, folding included, and takes the time. Then writes the very rows of events, calls, legs and queue entries
again, for every twentieth call, the way one would without thinking: one model's save() at a time. Prints both, their ratio,
and the memory the import took. Exits with 1 if the import takes over 60 s, or is not twice as fast as the saves.

    python benchmarks/queue_log.py [--calls 50000]
    python -m tests.services python benchmarks/queue_log.py
"""

import argparse
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from agents.models import Agent, SkillGroup
from calls.adapters.asterisk import Site
from calls.adapters.asterisk_import import Positions, QueueLogImport
from calls.adapters.queue_log import QueueLog
from calls.importing import Problems
from calls.models import Call, CallEvent, CallLeg, EventState, QueueEntry
from configuration.access import create_built_in_roles
from configuration.models import Account, Role

SECONDS = 60.0
RATIO = 2.0
N_AGENTS = 80
QUEUES = ("support", "sales", "billing", "vip")
EVERY = 20
"""One call in so many is saved again."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=50_000)
    options = parser.parse_args()
    if connection.vendor == "sqlite":  # as in use: in a file, not in memory
        connection.settings_dict["TEST"]["NAME"] = str(Path(tempfile.mkdtemp()) / "benchmark.sqlite3")
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        account = set_up()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "queue_log"
            n_lines = write_log(path, options.calls)
            before = peak_mb()
            ours, own, n_events = import_log(account, path)
            memory = peak_mb() - before
        n_calls = Call.objects.count()
        assert n_calls == options.calls, n_calls
        assert not CallEvent.objects.exclude(state=EventState.FOLDED).exists()
        saves, n_rows = save_again()
    finally:
        teardown_databases(databases, verbosity=0)
    ratio = saves / ours
    print(f"{connection.vendor}: {n_lines} lines of {n_calls} calls, {n_events} events, peak memory +{memory:.0f} MB")
    print(
        f"imported and folded      {ours:7.2f} s (at most {SECONDS:g})   {n_lines / ours:8.0f} lines/s, {own:.1f} s of it at work"
    )
    print(f"their {n_rows} rows saved {saves:7.2f} s, reckoned from every {EVERY}th call")
    print(f"ratio {ratio:.2f} (at least {RATIO:g})")
    return 0 if ours <= SECONDS and ratio >= RATIO else 1


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def set_up() -> Account:
    account = Account.objects.create(name="Benchmark", slug="benchmark", time_zone="Asia/Shanghai", region="CN")
    roles = create_built_in_roles(account)
    for number in range(N_AGENTS):
        agent = Agent(
            account=account, role=roles[Role.Kind.AGENT], staff_id=str(1001 + number), email=f"{number}@example.com", name="A"
        )
        agent.set_unusable_password()
        agent.save()
    for name in QUEUES:
        SkillGroup.objects.create(account=account, name=name)
    return account


def write_log(path: Path, n_calls: int) -> int:
    """About what a center of eighty agents logs in two days; its lines are in order of time, as calls overlap."""
    lines = sorted(log_lines(n_calls), key=lambda line: line[0])
    path.write_text("".join(f"{text}\n" for _, text in lines), encoding="utf-8")
    return len(lines)


def log_lines(n_calls: int) -> Iterator[tuple[float, str]]:
    chance = random.Random(1)
    start = int(time.time()) - 2 * 86400
    step = 2 * 86400 / (n_calls + 1000)
    for number in range(N_AGENTS):
        for queue in QUEUES[:2]:
            yield start, f"{start}|MANAGER|{queue}|PJSIP/{1001 + number}|ADDMEMBER|"
    for n in range(n_calls):
        at = start + int(n * step)
        call = f"{at}.{n}"
        queue = chance.choice(QUEUES)
        yield at, f"{at}|{call}|{queue}|NONE|ENTERQUEUE||138{chance.randrange(10**8):08}|1"
        rung = 0
        while chance.random() < 0.60 and rung < 4:
            rung += 1
            agent = 1001 + chance.randrange(N_AGENTS)
            yield at + 10 * rung, f"{at + 10 * rung}|{call}|{queue}|PJSIP/{agent}|RINGNOANSWER|9000"
        wait = 10 * rung + chance.randrange(1, 9)
        if chance.random() < 0.12:
            yield at + wait, f"{at + wait}|{call}|{queue}|NONE|ABANDON|1|1|{wait}"
            continue
        agent, ring, talk = 1001 + chance.randrange(N_AGENTS), chance.randrange(1, 8), chance.randrange(20, 400)
        yield at + wait, f"{at + wait}|{call}|{queue}|PJSIP/{agent}|CONNECT|{wait}|{at + wait - ring}.{n}1|{ring}"
        verb = chance.choice(("COMPLETECALLER", "COMPLETECALLER", "COMPLETEAGENT"))
        yield at + wait + talk, f"{at + wait + talk}|{call}|{queue}|PJSIP/{agent}|{verb}|{wait}|{talk}|1"
        if chance.random() < 0.04:
            yield at + wait + talk + 1, f"{at + wait + talk + 1}|NONE|NONE|PJSIP/{agent}|PAUSEALL|lunch"
            yield at + wait + talk + 300, f"{at + wait + talk + 300}|NONE|NONE|PJSIP/{agent}|UNPAUSEALL|"


def import_log(account: Account, path: Path) -> tuple[float, float, int]:
    work = QueueLogImport(
        account=account,
        log=QueueLog(Site()),
        positions=Positions(path.with_suffix(".json")),
        problems=Problems(path.with_suffix(".errors")),
    )
    began, worked = time.perf_counter(), time.process_time()
    summary = work.run([path])
    took, own = time.perf_counter() - began, time.process_time() - worked
    assert summary.n_in_error == 0, summary
    return took, own, summary.n_events


def save_again() -> tuple[float, int]:
    """What it would take to save every row by itself, reckoned from those of some calls; and how many there are."""
    n_rows = sum(model.objects.count() for model in (CallEvent, Call, CallLeg, QueueEntry))
    some = list(Call.objects.order_by("pk").values_list("pk", "call_key"))[::EVERY]
    ids, keys = [pk for pk, _ in some], [key for _, key in some]
    rows: list[Any] = list(CallEvent.objects.filter(call_key__in=keys))
    rows += Call.objects.filter(pk__in=ids)
    for model in (CallLeg, QueueEntry):
        rows += model.objects.filter(call_id__in=ids)
    CallEvent.objects.filter(call_key__in=keys).delete()
    Call.objects.filter(pk__in=ids).delete()
    began = time.perf_counter()
    for row in rows:
        row.save(force_insert=True)
    took = time.perf_counter() - began
    return took * n_rows / len(rows), n_rows


if __name__ == "__main__":
    sys.exit(main())
