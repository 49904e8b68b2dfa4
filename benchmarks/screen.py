"""How long does a platform wait for the portal's word on a call?

Makes a throwaway database on whatever DATABASE_URL names, with 100,000 blocked numbers, service numbers, prompts and past
calls, and asks `POST /api/v1/calls/screen` through Django's test client, key and middleware included: for numbers that are
blocked, numbers under a blocked prefix, and numbers nobody blocks. Beside it, in the same run, a plain indexed lookup of
the same numbers in the same table. Prints median, p95 and p99 of both and the ratio of the medians. Exits with 1 above the
limit.

    python benchmarks/screen.py [--blocked 100000] [--questions 2000]
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
import datetime as dt

from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import setup_databases, setup_test_environment, teardown_databases
from django.utils import timezone

from calls.envelope import call_key_of
from calls.models import Call, CallState, Direction
from configuration.access import create_built_in_roles
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey, BlockedNumber, IvrPrompt, ServiceNumber

LIMIT_MS = 10.0
CALLED = "+861055500001"
N_PREFIXES = 500
N_CALLS = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocked", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=2000)
    options = parser.parse_args()
    setup_test_environment()
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with tempfile.TemporaryDirectory() as folder:
        if connection.vendor == "sqlite":
            settings.DATABASES["default"].setdefault("TEST", {})
            connection.settings_dict["TEST"]["NAME"] = str(Path(folder) / "benchmark.sqlite3")
        made = setup_databases(verbosity=0, interactive=False)
        try:
            return measure(options.blocked, options.questions)
        finally:
            teardown_databases(made, verbosity=0)


def measure(n_blocked: int, n_questions: int) -> int:
    account, key = set_up(n_blocked)
    numbers = questions(n_blocked, n_questions)
    client = Client()
    headers = {"Authorization": f"Api-Key {key}"}

    def screen(number: str) -> str:
        body = {"calling_number": number, "called_number": CALLED}
        answer = client.post("/api/v1/calls/screen", body, content_type="application/json", headers=headers)
        return str(answer.json()["decision"])

    def look_up(number: str) -> object:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM configuration_blockednumber WHERE account_id = %s AND number = %s", [account.pk, number]
            )
            return cursor.fetchone()

    for number in numbers[:50]:  # the first answers load what later ones have
        screen(number), look_up(number)
    asked, plain = timed(screen, numbers), timed(look_up, numbers)
    n_rejected = sum(screen(number) == "reject" for number in numbers[:400])
    print(
        f"{connection.vendor}, {n_blocked:,} blocked numbers, {n_questions:,} questions; {n_rejected} of the first 400 rejected"
    )
    for name, spent in (("screen", asked), ("plain lookup", plain)):
        p95, p99 = (statistics.quantiles(spent, n=100)[at] for at in (94, 98))
        print(f"{name:<13} median {statistics.median(spent):7.3f} ms   p95 {p95:7.3f} ms   p99 {p99:7.3f} ms")
    p95 = statistics.quantiles(asked, n=100)[94]
    ratio = statistics.median(asked) / statistics.median(plain)
    print(f"ratio of medians {ratio:.1f}; p95 {p95:.2f} ms (at most {LIMIT_MS:g})")
    return int(p95 > LIMIT_MS)


def timed(ask: Callable[[str], object], numbers: list[str]) -> list[float]:
    spent = []
    for number in numbers:
        began = time.perf_counter()
        ask(number)
        spent.append((time.perf_counter() - began) * 1000)
    return spent


def set_up(n_blocked: int) -> tuple[Account, str]:
    account = Account.objects.create(name="Benchmark", slug="benchmark", time_zone="Asia/Shanghai", region="CN")
    create_built_in_roles(account)
    rows = [BlockedNumber(account=account, number=f"+86138{n:08}", reason="Abuse") for n in range(n_blocked - N_PREFIXES)]
    rows += [BlockedNumber(account=account, number=f"+86170{n:04}", is_prefix=True, reason="Abuse") for n in range(N_PREFIXES)]
    BlockedNumber.objects.bulk_create(rows, batch_size=2000)
    ServiceNumber.objects.bulk_create(
        ServiceNumber(account=account, number=f"+8610555{n:05}", label=f"Line {n}", default_skill_group="Sales")
        for n in range(200)
    )
    IvrPrompt.objects.bulk_create(IvrPrompt(account=account, code=f"p{n:02}", text="Welcome. " * 20) for n in range(20))
    at = timezone.now()
    Call.objects.bulk_create(
        (
            Call(
                account=account,
                call_id=f"c{n}",
                call_key=call_key_of(account.pk, f"c{n}"),
                direction=Direction.INBOUND,
                state=CallState.ENDED,
                calling_number=f"+86139{n % 2000:08}",
                called_number=CALLED,
                provider="China Mobile",
                location="Beijing",
                started_at=at - dt.timedelta(minutes=n),
                ended_at=at,
            )
            for n in range(N_CALLS)
        ),
        batch_size=1000,
    )
    return account, create_api_key(account=account, name="pbx", scopes=[ApiKey.Scope.CALLS_SCREEN])[1]


def questions(n_blocked: int, n_questions: int) -> list[str]:
    chance = random.Random(1)
    kinds = (
        lambda: f"+86138{chance.randrange(n_blocked - N_PREFIXES):08}",
        lambda: f"+86170{chance.randrange(N_PREFIXES):04}{chance.randrange(10_000):04}",
        lambda: f"+86139{chance.randrange(100_000_000):08}",
        lambda: f"+86139{chance.randrange(2000):08}",
    )
    return [kinds[n % len(kinds)]() for n in range(n_questions)]


if __name__ == "__main__":
    sys.exit(main())
