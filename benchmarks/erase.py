"""How long until a number is erased from an account with a million calls and half a year of backups?

Fills an account with calls of 180 days and everything below them: every tenth with a remark and keys typed, every
fiftieth passed on to a number outside, each recording with an address. Backs all days up. Then asks for one number that
called now and then, and takes the time of each part of the request: what would go is counted, the live rows go, the
backups are rewritten, everything is searched again. Exits with 1 when the live rows took a minute or more, or when
something of the number is left.

    python -m tests.services python benchmarks/erase.py [--calls 1000000] [--of-number 200] [--no-backups]
"""

import argparse
import datetime as dt
import os
import resource
import sys
import time
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
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from agents.models import Agent
from benchmarks.purge import AT, BELOW, add_calls, cutoff, empty, fill_below, set_up, sql, table
from calls.models import Call, CallLeg, IvrStep, Recording
from configuration.models import Account, Role
from retention import deletion
from retention.backups.night import back_up
from retention.models import BackupObject, DeletionRequest

MOST_LIVE_SECONDS = 60
NUMBER = "+8613700137000"
DAYS = 180


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--of-number", type=int, default=200)
    parser.add_argument("--no-backups", action="store_true", help="leave the backups out: quicker to look at the live rows alone")
    options = parser.parse_args()
    if connection.vendor != "mysql" or not settings.COS_BUCKET:
        sys.exit("Set DATABASE_URL (MySQL or MariaDB) and COS_BUCKET, or run it beside `python -m tests.services`.")
    connection.settings_dict["OPTIONS"]["read_timeout"] = 3600
    client = default_storage.connection.meta.client
    client.create_bucket(Bucket=settings.COS_BUCKET)
    databases = setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
    try:
        account = set_up()
        empty()
        fill(account, options)
        if not options.no_backups:
            began = time.perf_counter()
            back_up(account=account, at=AT)
            n_objects = BackupObject.objects.for_account(account).count()
            print(f"backed up in {time.perf_counter() - began:.1f} s: {n_objects} objects", flush=True)
        return erase(account)
    finally:
        teardown_databases(databases, verbosity=0)


def fill(account: Account, options: Any) -> None:
    add_calls(account, options.calls, "s.seq", first_day=cutoff(account) + dt.timedelta(days=1), n_days=DAYS)
    fill_below(account, BELOW)
    every = max(1, options.calls // options.of_number)
    sql(f"UPDATE {table(Call)} SET calling_number = '{NUMBER}' WHERE id MOD {every} = 0")
    sql(f"UPDATE {table(Call)} SET has_remark = 1, remark = CONCAT('call back ', calling_number) WHERE id MOD 10 = 3")
    sql(f"UPDATE {table(IvrStep)} SET input = CONCAT('62258800', LPAD(id, 8, '0')) WHERE id MOD 10 = 4")
    sql(f"UPDATE {table(CallLeg)} SET transfer_to = CONCAT('+86136', LPAD(id, 8, '0')) WHERE id MOD 50 = 5")
    sql(f"UPDATE {table(Recording)} SET reference = CONCAT('https://pbx.example.com/', call_id, '.wav')")
    # In the calls of others, once each.
    sql(f"UPDATE {table(Call)} SET has_remark = 1, remark = '137-0013-7000 asked' WHERE id = 17")
    sql(f"UPDATE {table(IvrStep)} SET input = '13700137000' WHERE id = 18")
    sql(f"UPDATE {table(CallLeg)} SET transfer_to = '{NUMBER}' WHERE id = 19")
    print(f"filled {options.calls} calls of {DAYS} days, {of_number()} of them of the number", flush=True)


def of_number() -> int:
    return int(Call.objects.filter(calling_number=NUMBER).count())


def erase(account: Account) -> int:
    boss = Agent.objects.filter(account=account).first()
    if boss is None:
        raise RuntimeError("nobody")
    boss.role = Role.objects.get(account=account, kind=Role.Kind.ADMINISTRATOR)
    boss.save()
    began, marks = time.perf_counter(), {}

    def clock() -> dt.datetime:
        return AT + dt.timedelta(seconds=time.perf_counter() - began)

    request = deletion.open_request(account=account, kind="number", said={"number": NUMBER}, by=boss, at=AT)
    deletion.work_on(request.pk, clock=clock)
    marks["counting what would go"] = time.perf_counter()
    request.refresh_from_db()
    deletion.approve(request, by=boss, at=clock())
    parts = {"_erase_backups": "live rows erased", "_verify": "backups rewritten"}
    for name, title in parts.items():
        note_before(name, title, marks)
    while request.state not in (DeletionRequest.State.COMPLETED, DeletionRequest.State.CANCELLED):
        if not deletion.work_on(request.pk, clock=clock):
            time.sleep(1)
        request.refresh_from_db()
    marks["searched again, files gone, completed"] = time.perf_counter()
    last, seconds = began, {}
    for title, moment in sorted(marks.items(), key=lambda mark: mark[1]):
        seconds[title], last = moment - last, moment
        print(f"  {title:40} {seconds[title]:8.1f} s")
    print(f"  memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    for step in request.steps.order_by("position"):
        if step.n_found or step.n_deleted:
            print(f"    {step.store:24} found {step.n_found}, deleted {step.n_deleted}")
    left = of_number() + Call.objects.filter(remark__contains="137-0013-7000").count()
    live = seconds["live rows erased"]
    if left or live >= MOST_LIVE_SECONDS:
        print(f"MISSED: {left} left, {live:.1f} s for the live rows (less than {MOST_LIVE_SECONDS})")
        return 1
    print("all limits kept")
    return 0


def note_before(name: str, title: str, marks: dict[str, float]) -> None:
    real = getattr(deletion._Worker, name)

    def noted(self: Any, *rest: Any) -> Any:
        marks.setdefault(title, time.perf_counter())
        return real(self, *rest)

    setattr(deletion._Worker, name, noted)


if __name__ == "__main__":
    sys.exit(main())
