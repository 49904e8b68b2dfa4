"""How fast are service records written into a file, and does the file's length show in the memory?

Makes a throwaway database on whatever DATABASE_URL names, fills in calls with two legs each, and writes them as the worker
does: as CSV, a row for each call and a row for each leg, and as XLSX. Beside it, in the same run, reads the same columns
and writes them with the standard library's csv module and nothing else. Prints rows per second, the ratio of both, and how
much the memory grew while a file was written. Exits with 1 where CSV takes more than three times as long as the plain
writing, or the memory grows by more than 60 MB.

    python benchmarks/export.py [--calls 100000]
    python -m tests.services python benchmarks/export.py --calls 1000000
"""

import argparse
import csv
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
import datetime as dt

from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases, teardown_databases
from django.utils import timezone

from agents.models import Agent, SkillGroup
from calls.envelope import call_key_of
from calls.exporting import open_export, work_on
from calls.models import Call, CallLeg, CallState, Direction, ExportRun, LegKind, LegResult, Outcome, Party
from configuration.access import create_built_in_roles
from configuration.models import Account, Role

RATIO = 3.0
GROWN_MB = 60.0
AT_ONCE = 5000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings.STORAGES = settings.STORAGES | {
            "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": folder}}
        }
        settings.CELERY_TASK_ALWAYS_EAGER = False
        if connection.vendor == "sqlite":
            connection.settings_dict["TEST"]["NAME"] = str(Path(folder) / "benchmark.sqlite3")
        made = setup_databases(verbosity=0, interactive=False)
        try:
            return measure(options.calls)
        finally:
            teardown_databases(made, verbosity=0)


def measure(n_calls: int) -> int:
    person = set_up(n_calls)
    written(person, "csv", n_calls=min(n_calls, 2000))  # the first one loads what later ones have
    plain_took = plain()
    print(f"{connection.vendor}, {n_calls:,} calls; plain csv {n_calls / plain_took:,.0f} rows/s")
    is_good = True
    for kind, with_legs in (("csv", False), ("csv", True), ("xlsx", False)):
        before = peak_mb()
        took, n_rows = written(person, kind, with_legs=with_legs)
        grown = peak_mb() - before
        ratio = (took / n_rows) / (plain_took / n_calls)
        name = f"{kind}, a row for each {'leg' if with_legs else 'call'}"
        print(f"{name:<26} {n_rows / took:9,.0f} rows/s   {ratio:5.2f} times the plain writing   memory +{grown:.0f} MB")
        is_good = is_good and grown <= GROWN_MB and (kind != "csv" or with_legs or ratio <= RATIO)
    return 0 if is_good else 1


def written(person: Agent, kind: str, *, with_legs: bool = False, n_calls: int | None = None) -> tuple[float, int]:
    asked: dict[str, list[str]] = {}
    if n_calls is not None:
        last = Call.objects.order_by("-started_at")[n_calls - 1].started_at
        asked = {"started_after": [last.isoformat()]}
    run = open_export(actor=person, asked=asked, kind=kind, with_legs=with_legs, at=timezone.now())
    if run.state == ExportRun.State.WAITING:
        began = time.perf_counter()
        assert work_on(run.pk)
        took = time.perf_counter() - began
    run.refresh_from_db()
    assert run.state == ExportRun.State.DONE, (run.state, run.problem)
    return took, run.n_rows


def plain() -> float:
    names = [field.attname for field in Call._meta.concrete_fields]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(Call.objects.order_by("-started_at").values_list(*names).iterator(chunk_size=2000))
    return time.perf_counter() - began


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def set_up(n_calls: int) -> Agent:
    account = Account.objects.create(name="Benchmark", slug="benchmark", time_zone="Asia/Shanghai", region="CN")
    role = create_built_in_roles(account)[Role.Kind.ADMINISTRATOR]
    group = SkillGroup.objects.create(account=account, name="Support")
    person = Agent(account=account, role=role, staff_id="1001", email="a@example.com", name="Ada")
    person.set_unusable_password()
    person.save()
    start = timezone.now() - dt.timedelta(days=60)
    for first in range(0, n_calls, AT_ONCE):
        calls = Call.objects.bulk_create(
            (a_call(account, person, group, n, start) for n in range(first, min(first + AT_ONCE, n_calls))), batch_size=500
        )
        pks = dict(Call.objects.filter(call_id__in=[f"c{n}" for n in range(first, first + AT_ONCE)]).values_list("call_id", "pk"))
        CallLeg.objects.bulk_create(
            (
                CallLeg(
                    account=account,
                    call_id=pks[call.call_id],
                    seq=seq,
                    kind=LegKind.AGENT,
                    agent=person,
                    skill_group=group,
                    terminal="web",
                    offered_at=call.started_at,
                    answered_at=call.answered_at,
                    ended_at=call.ended_at,
                    hold_seconds=4.5,
                    result=LegResult.ANSWERED,
                )
                for call in calls
                for seq in (1, 2)
            ),
            batch_size=500,
        )
    return person


def a_call(account: Account, person: Agent, group: SkillGroup, n: int, start: dt.datetime) -> Any:
    at = start + dt.timedelta(seconds=5 * n)
    return Call(
        account=account,
        call_id=f"c{n}",
        call_key=call_key_of(account.pk, f"c{n}"),
        direction=Direction.INBOUND,
        state=CallState.ENDED,
        outcome=Outcome.ANSWERED,
        disconnect_party=Party.CUSTOMER,
        calling_number=f"+86139{n % 2000:08}",
        called_number="+861055500001",
        provider="China Mobile",
        location="Beijing",
        is_location_looked_up=True,
        started_at=at,
        answered_at=at + dt.timedelta(seconds=12),
        ended_at=at + dt.timedelta(seconds=132.5),
        last_event_at=at,
        total_seconds=132.5,
        wait_seconds=10.0,
        ring_seconds=2.0,
        talk_seconds=120.5,
        agent=person,
        skill_group=group,
        rating_score=5.0,
        rating_scale=5,
        remark="Wants a paper bill; call back on Monday.",
        has_remark=True,
    )


if __name__ == "__main__":
    sys.exit(main())
