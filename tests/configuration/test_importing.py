"""Lists from files: what is checked, what goes in, and what happens when somebody or something comes in between."""

import datetime as dt
import io

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.models import Agent
from callcenter_site import sheets as files
from configuration import importing
from configuration.importing import BAD, CHANGED, NEW, SAME, SHEETS, choose_to_write, discard, errors_of, open_import, work_on
from configuration.models import (
    AuditEntry,
    BlockedNumber,
    ImportChunk,
    ImportRun,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
)
from configuration.sheets import BlacklistSheet, KeywordSheet, QuickReplySheet
from tests.factories import AccountFactory, AgentFactory

State = ImportRun.State


@pytest.fixture
def boss(account) -> Agent:
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def csv_of(*rows) -> io.BytesIO:
    return io.BytesIO(b"".join(files.csv_chunks(rows)))


def upload(sheet, actor, *rows, **more) -> ImportRun:
    return open_import(sheet=sheet, actor=actor, file=csv_of(*rows), at=timezone.now(), **more)


def checked(sheet, actor, *rows, **more) -> ImportRun:
    run = upload(sheet, actor, *rows, **more)
    assert work_on(run.pk)
    run.refresh_from_db()
    return run


def written(sheet, actor, *rows, only_if_all_good=False, **more) -> ImportRun:
    run = checked(sheet, actor, *rows, **more)
    assert choose_to_write(run, actor=actor, only_if_all_good=only_if_all_good)
    assert work_on(run.pk)
    run.refresh_from_db()
    return run


def counts(run) -> dict[str, int]:
    return {kind: getattr(run, f"n_{kind}") for kind in (NEW, CHANGED, SAME, BAD)}


# --- Checking --------------------------------------------------------------------------------------------------------


def test_each_row_is_found_new_changed_the_same_or_bad(account, boss):
    BlockedNumber.objects.create(account=account, number="+8613800138001")
    BlockedNumber.objects.create(account=account, number="+8613800138002", reason="old")
    run = checked(
        BlacklistSheet,
        boss,
        ["Number", "Direction", "Reason", "Until"],
        ["138 0013 8001", "inbound", "", ""],
        ["0086 138-0013-8002", "inbound", "new", ""],
        ["+86 13800138003", "both", "=1+1", "2099-12-31"],
        ["nobody", "sideways", "", "tomorrow"],
    )
    assert run.state == State.CHECKED
    assert counts(run) == {NEW: 1, CHANGED: 1, SAME: 1, BAD: 1}
    assert BlockedNumber.objects.count() == 2
    assert [(row, column) for row, column, _cell, _said in errors_of(run)] == [(5, "Direction"), (5, "Until"), (5, "Number")]
    assert [(row["row"], row["kind"], row["was"]) for row in importing.preview_of(run)] == [
        (3, CHANGED, {"reason": "old"}),
        (4, NEW, {}),
    ]


def test_good_rows_are_written_and_bad_ones_are_not(account, boss):
    run = written(
        BlacklistSheet,
        boss,
        ["Number", "Direction", "Reason", "Until"],
        ["138 0013 8001", "outbound", "prank", "2099-12-31"],
        ["not a number", "", "", ""],
        ["139*", "", "", ""],
    )
    assert run.state == State.DONE
    assert counts(run) == {NEW: 2, CHANGED: 0, SAME: 0, BAD: 1}
    rows = {row.written: row for row in BlockedNumber.objects.all()}
    assert set(rows) == {"+8613800138001", "+86139*"}
    blocked = rows["+8613800138001"]
    assert (blocked.account, blocked.direction, blocked.reason) == (account, "outbound", "prank")
    assert blocked.blocked_until == dt.datetime(2100, 1, 1, tzinfo=account.zone)


def test_a_row_that_stands_twice_is_told_the_number_of_the_first(boss):
    run = checked(BlacklistSheet, boss, ["number"], ["13800138001"], ["+86 138 0013 8001"], ["0086-13800138001"])
    assert counts(run) == {NEW: 1, CHANGED: 0, SAME: 0, BAD: 2}
    assert [(row, said) for row, _column, _cell, said in errors_of(run)] == [
        (3, "The same as in row 2."),
        (4, "The same as in row 2."),
    ]
