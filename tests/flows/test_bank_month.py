"""A real month of calls, imported as anybody would, gives the figures that are known of it, to the last call.

The data is not the portal's to ship. Where it is not there, nothing is checked, and the report says so.
"""

import csv
import datetime as dt
import os
import random
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Count, Sum
from django.utils import timezone

from analytics.models import CallInterval, CallTotal, GroupTotal, QueueInterval, QueueTotal
from analytics.reports import Filters, Period, summary
from analytics.rollup import drain_stale_slots
from calls.models import Call, CallEvent, CallLeg, IvrStep, QueueEntry
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(os.environ.get("BANK_MONTH") or ROOT.parent / "shared" / "samples" / "bank1999" / "january.tsv")
MAPPING = ROOT / "docs" / "examples" / "bank1999.toml"
FIRST = dt.date(1999, 1, 1)

pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"the bank's month is not at {FILE}; set BANK_MONTH to its path")


@pytest.fixture(autouse=True)
def one_database_is_enough(db):
    if connection.vendor != "sqlite" and "BANK_MONTH" not in os.environ:
        pytest.skip("runs on SQLite; set BANK_MONTH to run it here too")


@pytest.fixture
def account(db):
    return AccountFactory(slug="bank", time_zone="Asia/Jerusalem", region="IL")


def bring_in(file: Path, account, shift: int):
    call_command(
        "import_calls",
        str(file),
        "--account",
        account.slug,
        "--mapping",
        str(MAPPING),
        "--shift-days",
        str(shift),
        "--batch",
        "5000",
    )
    while drain_stale_slots(at=timezone.now()):
        pass


def whole_weeks_to_the_present() -> int:
    """Days by which January 1999 ends a week or two ago, on the same days of the week."""
    return (timezone.now().date() - dt.timedelta(days=8) - dt.date(1999, 1, 31)).days // 7 * 7


def stored(account):
    """Every row of the account, without row numbers and the clock of the import."""
    names = dict(Call.objects.for_account(account).values_list("pk", "call_id"))
    tables = {}
    for model in (Call, CallLeg, QueueEntry, IvrStep, CallEvent, CallInterval, CallTotal, QueueInterval, GroupTotal, QueueTotal):
        columns = [
            f.attname
            for f in model._meta.concrete_fields
            if f.attname not in {"id", "account_id", "folded_at", "received_at", "retry_at", "event_key", "call_key"}
        ]
        rows = model.objects.for_account(account).values_list(*columns)
        call = columns.index("call_id") if "call_id" in columns and model is not Call else None
        tables[model.__name__] = sorted(
            repr(tuple(names[value] if index == call else value for index, value in enumerate(row))) for row in rows
        )
    return tables


def test_the_month_matches_to_the_last_call_and_importing_it_again_shuffled_changes_nothing(account, tmp_path, capsys):
    shift = whole_weeks_to_the_present()
    bring_in(FILE, account, shift)
    assert said(capsys) == "31,599 rows 31,359 calls imported 240 skipped: phantom rows, not calls"

    day = dt.timedelta(days=1)
    period = Period(first=FIRST + shift * day, last=dt.date(1999, 1, 31) + shift * day, zone=account.zone)
    chief = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    figures = summary(actor=chief, period=period, filters=Filters())
    known = {
        "calls": 31_359,
        "answered": 27_060,
        "to_manual": 30_161,
        "never_reached": 3_101,
        "queue_entries": 16_686,
        "answered_at_once": 13_475,
        "abandoned": 3_101,
        "abandoned_in_ivr": 1_198,
    }
    assert {name: figures[name] for name in known} == known
    counted = QueueTotal.objects.for_account(account).aggregate(
        entries=Sum("n_entries"), answered=Sum("n_answered"), at_once=Sum("n_at_once"), abandoned=Sum("n_abandoned")
    )
    assert counted == {"entries": 16_686, "answered": 13_585, "at_once": 13_475, "abandoned": 3_101}

    calls = Call.objects.for_account(account)
    assert dict(calls.values_list("outcome").annotate(n=Count("pk")).order_by()) == {
        "answered": 27_060,
        "abandoned_in_queue": 3_101,
        "abandoned_in_ivr": 1_198,
    }
    with FILE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["outcome"] != "PHANTOM"]
    assert calls.aggregate(wait=Sum("wait_seconds"), talk=Sum("talk_seconds"), ivr=Sum("ivr_seconds")) == {
        "wait": sum(int(row["q_time"]) for row in rows),
        "talk": sum(int(row["ser_time"]) for row in rows if row["outcome"] == "AGENT"),
        "ivr": sum(max(0, int(row["vru_time"])) for row in rows),
    }

    before = stored(account)
    bring_in(shuffled(FILE, tmp_path), account, shift)
    expected = "31,599 rows 0 calls imported 31,359 calls were in already 240 skipped: phantom rows, not calls"
    assert said(capsys) == expected
    assert stored(account) == before


def test_some_days_imported_shuffled_are_the_same_days(account, tmp_path):
    days = tmp_path / "days.tsv"
    header, *lines = FILE.read_text().splitlines(keepends=True)
    days.write_text("".join([header, *(line for line in lines if "990103" <= line.split("\t")[5] <= "990105")]))
    other = AccountFactory(slug="bank-shuffled", time_zone="Asia/Jerusalem", region="IL")
    shift = whole_weeks_to_the_present()
    bring_in(days, account, shift)
    bring_in(shuffled(days, tmp_path), other, shift)
    assert stored(other) == stored(account)
    assert Call.objects.for_account(other).count() > 3000


def said(capsys) -> str:
    return " ".join(capsys.readouterr().out.split())


def shuffled(path: Path, folder: Path) -> Path:
    header, *lines = path.read_text().splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    target = folder / "shuffled.tsv"
    target.write_text("".join([header, *lines]))
    return target
