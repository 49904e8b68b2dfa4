"""Lists from files: what is checked, what goes in, and what happens when somebody or something comes in between."""

import datetime as dt
import io

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.db.models import F
from django.utils import timezone, translation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.models import Agent
from callcenter_site import sheets as files
from calls.demo.lists import create_lists
from configuration.importing import report
from configuration.importing import run as running
from configuration.importing.report import preview_of
from configuration.importing.run import MAX_LEASES, choose_to_write, continue_imports, discard, forget_rows, work_on
from configuration.importing.sheet import BAD, CHANGED, NEW, SAME, SHEETS, Sheet, SheetRow, _loosely
from configuration.importing.upload import open_import
from configuration.models import (
    AuditEntry,
    BlockedNumber,
    BreakReason,
    ImportChunk,
    ImportRun,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
    ServiceNumber,
)
from configuration.sheets import (
    BlacklistSheet,
    BreakReasonSheet,
    IvrPromptSheet,
    KeywordSheet,
    QuickReplySheet,
    ServiceNumberSheet,
)
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


def errors_of(run) -> list[tuple[int, str, str, str]]:
    """What whoever uploaded it reads."""
    return list(report.errors_of(run, reader=Agent.objects.get(pk=run.started_by)))


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
    assert [(row["row"], row["kind"], row["was"]) for row in preview_of(run, reader=boss)[1]] == [
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


def test_a_report_is_read_in_the_language_of_whoever_reads_it(boss):
    with translation.override("zh-hans"):
        run = checked(BlacklistSheet, boss, ["number"], ["13800138001"], ["13800138001"], ["x"])
        chinese = [said for _row, _column, _cell, said in errors_of(run)]
    assert [said for _row, _column, _cell, said in errors_of(run)] == ["The same as in row 2.", "This is not a phone number."]
    assert chinese[1] == gettext_in("zh-hans", "This is not a phone number.") != "This is not a phone number."


def gettext_in(language: str, text: str) -> str:
    with translation.override(language):
        return translation.gettext(text)


def test_a_broad_prefix_is_for_somebody_to_add_by_hand(account, boss):
    BlockedNumber.objects.create(account=account, number="+44", is_prefix=True)
    run = written(BlacklistSheet, boss, ["number", "reason"], ["*", ""], ["+1*", ""], ["+86138*", ""], ["+44*", "there already"])
    assert [(row, "by hand" in said) for row, _column, _cell, said in errors_of(run)] == [(2, True), (3, True)]
    assert counts(run) == {NEW: 1, CHANGED: 1, SAME: 0, BAD: 2}


def test_a_time_that_passed_meanwhile_is_no_error_where_it_stood_before(account, boss):
    over = timezone.now().replace(microsecond=0) - dt.timedelta(days=3)
    BlockedNumber.objects.create(account=account, number="+8613800138001", blocked_until=over)
    text = over.astimezone(account.zone).strftime("%Y-%m-%d %H:%M:%S")
    run = checked(BlacklistSheet, boss, ["number", "until"], ["13800138001", text], ["13800138002", text])
    assert counts(run) == {NEW: 0, CHANGED: 0, SAME: 1, BAD: 1}


def test_a_huge_phrase_and_a_formula_are_nothing_special(account, boss):
    run = written(KeywordSheet, boss, ["Phrase"], ["x" * 9_999], ["=cmd|'/c calc'!A0"], ["‰‰"])
    assert counts(run) == {NEW: 1, CHANGED: 0, SAME: 0, BAD: 2}
    assert Keyword.objects.get().phrase == "=cmd|'/c calc'!A0"


def test_groups_of_quick_replies_are_made_once(account, boss):
    QuickReplyGroup.objects.create(account=account, name="There")
    run = written(
        QuickReplySheet,
        boss,
        ["Group", "Title", "Text"],
        ["There", "A", "a"],
        ["New  one", "A", "a"],
        ["New one", "B", "b {nonsense}"],
        ["New one", "C", "c"],
        ["", "D", "d"],
        ["x" * 61, "E", "e"],
    )
    assert counts(run) == {NEW: 3, CHANGED: 0, SAME: 0, BAD: 3}
    assert sorted(QuickReplyGroup.objects.values_list("name", flat=True)) == ["New one", "There"]
    assert {(row, column) for row, column, _cell, _said in errors_of(run)} == {(4, "Text"), (6, "Group"), (7, "Group")}


def test_a_new_row_without_an_order_goes_to_the_end(account, boss):
    BreakReason.objects.create(account=account, name="Lunch", order=7)
    written(BreakReasonSheet, boss, ["Name", "Order"], ["Training", ""], ["Meeting", "2"], ["Toilet", ""])
    assert list(BreakReason.objects.values_list("name", flat=True)) == ["Meeting", "Lunch", "Training", "Toilet"]


def test_the_words_of_the_other_language_are_understood(account, boss):
    with translation.override("zh-hans"):
        headings = [column.title for column in KeywordSheet.columns]
        severity, found = str(Keyword.Severity.CRITICAL.label), str(Keyword.MatchMode.ANYWHERE.label)
    run = written(KeywordSheet, boss, headings[::-1], ["否", found, severity, "", "退款"])
    row = Keyword.objects.get()
    assert (row.phrase, row.severity, row.match_mode, row.is_active) == ("退款", "critical", "anywhere", False), list(
        errors_of(run)
    )


# --- Files that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["Phrase"]], "headings and no rows"),
        ([["Phrase", "Colour"], ["a", "b"]], "There is no column Colour here"),
        ([["Category"], ["a"]], "The column Phrase is missing"),
        ([["Phrase", "phrase"], ["a", "b"]], "Two columns are called Phrase"),
        ([["Phrase"], ["a", "b"]], "a cell without a heading"),
    ],
)
def test_a_file_with_other_columns_is_refused_at_once(boss, rows, said):
    with pytest.raises(ValidationError, match=said):
        upload(KeywordSheet, boss, *rows)
    assert not ImportRun.objects.exists()


def test_a_file_of_too_many_rows_leaves_nothing_behind(boss):
    data = io.BytesIO(b"phrase\n" + b"x\n" * 200_001)
    with pytest.raises(ValidationError, match="200000 rows"):
        open_import(sheet=KeywordSheet, actor=boss, file=data, at=timezone.now())
    assert not ImportRun.objects.exists() and not ImportChunk.objects.exists()


# --- Accounts and people ---------------------------------------------------------------------------------------------


def test_rows_of_another_account_are_as_if_they_were_not_there(account, boss):
    other = AccountFactory()
    theirs = BlockedNumber.objects.create(account=other, number="+8613800138001", reason="theirs")
    run = written(BlacklistSheet, boss, ["number", "reason"], ["13800138001", "ours"])
    assert counts(run) == {NEW: 1, CHANGED: 0, SAME: 0, BAD: 0}
    theirs.refresh_from_db()
    assert (theirs.reason, theirs.account) == ("theirs", other)
    assert BlockedNumber.objects.get(account=account).reason == "ours"


def test_who_may_not_change_a_list_may_not_import_it(account):
    inspector = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
    with pytest.raises(PermissionDenied):
        upload(KeywordSheet, inspector, ["phrase"], ["a"])


def test_who_loses_the_right_meanwhile_writes_nothing_more(account, boss):
    run = checked(KeywordSheet, boss, ["phrase"], ["a"])
    choose_to_write(run, actor=boss, only_if_all_good=False)
    Agent.objects.filter(pk=boss.pk).update(is_active=False)
    work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, run.problem) == (State.FAILED, "forbidden")
    assert not Keyword.objects.exists()
    assert not ImportChunk.objects.exclude(rows=b"").exists()


def test_imports_are_seen_by_who_made_them_and_by_who_may_see_all(account, boss):
    supervisor = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    colleague = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    mine = upload(KeywordSheet, supervisor, ["phrase"], ["a"])
    others = upload(KeywordSheet, colleague, ["phrase"], ["b"])
    numbers = upload(ServiceNumberSheet, boss, ["number"], ["+861055500001"])
    assert set(ImportRun.objects.visible_to(supervisor)) == {mine}
    assert set(ImportRun.objects.visible_to(boss)) == {mine, others, numbers}
    assert not ImportRun.objects.visible_to(AgentFactory(kind=Role.Kind.ADMINISTRATOR)).exists()


@pytest.mark.parametrize("scope", [Role.DataScope.OWN, Role.DataScope.GROUPS])
def test_imports_of_others_are_for_who_sees_the_whole_account(account, boss, scope):
    """A file speaks of rows all over the account, whatever the list is."""
    role = Role.objects.create(account=account, name="Lead", permissions=boss.role.permissions, data_scope=scope)
    lead = AgentFactory(account=account, role=role)
    upload(KeywordSheet, boss, ["phrase"], ["a"])
    mine = upload(KeywordSheet, lead, ["phrase"], ["b"])
    assert set(ImportRun.objects.visible_to(lead)) == {mine}


def test_numbers_are_masked_for_who_may_not_see_them_whoever_uploaded_them(account, boss):
    BlockedNumber.objects.create(account=account, number="+8613800138001")
    run = checked(BlacklistSheet, boss, ["number", "reason"], ["13800138001", "a"], ["+86138001380020000000", "b"])
    everything = set(boss.role.permissions) - {"calls.see_full_number"}
    role = Role.objects.create(account=account, name="Masked", permissions=sorted(everything), data_scope="account")
    reader = AgentFactory(account=account, role=role)
    assert run in ImportRun.objects.visible_to(reader)
    said = str(list(report.errors_of(run, reader=reader))) + str(preview_of(run, reader=reader))
    assert "1380013" not in said and "001" in said
    assert "13800138001" in str(preview_of(run, reader=boss))


def test_rows_stand_encrypted_until_they_are_written_and_the_report_stays(account, boss):
    run = checked(BlacklistSheet, boss, ["number", "reason"], ["13800138001", "secret reason"], ["x", "bad reason"])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {connection.ops.quote_name('rows')} FROM configuration_importchunk")
        stored = bytes(cursor.fetchone()[0])
    assert stored and b"secret reason" not in stored
    choose_to_write(run, actor=boss, only_if_all_good=False)
    work_on(run.pk)
    chunk = ImportChunk.objects.get()
    assert "secret reason" not in chunk.rows  # written: gone
    assert "bad reason" in chunk.rows  # to be mended: for a day
    forget_rows(at=timezone.now() + dt.timedelta(days=1, seconds=1))
    chunk.refresh_from_db()
    assert chunk.rows == ""
    assert [(row, cell) for row, _column, cell, _said in errors_of(run)] == [(3, "")]


# --- Interruptions ---------------------------------------------------------------------------------------------------


def test_a_row_that_changes_gets_only_the_files_columns(boss, monkeypatch):
    prompt = IvrPrompt.objects.create(account=boss.account, code="welcome", text="Welcome.", audio_key="old")
    check = Sheet.check

    def check_late(sheet, batch, seen):
        check(sheet, batch, seen)
        IvrPrompt.objects.filter(pk=prompt.pk).update(audio_key="new", language="en")

    monkeypatch.setattr(Sheet, "check", check_late)
    written(IvrPromptSheet, boss, ["code", "text"], ["welcome", "Good day."])
    prompt.refresh_from_db()
    assert (prompt.text, prompt.audio_key, prompt.language) == ("Good day.", "new", "en")


def small_batches(monkeypatch, sheet, n=2):
    monkeypatch.setattr(sheet, "per_batch", n)


class Killed(BaseException):
    """As a worker's process ends: nothing catches it."""


def killed_after(monkeypatch, sheet, method, n):
    """The worker dies when it comes to this method for the n-th time."""
    real, calls = getattr(sheet, method), []

    def dies(self, *args):
        calls.append(1)
        if len(calls) == n:
            raise Killed
        return real(self, *args)

    monkeypatch.setattr(sheet, method, dies)


def later(run) -> None:
    """The worker that held it was last heard of two minutes ago."""
    ImportRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - dt.timedelta(minutes=2))


@pytest.mark.parametrize("sheet", [KeywordSheet, BlacklistSheet])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_check_whose_worker_dies_is_begun_again(monkeypatch, boss, sheet, n):
    small_batches(monkeypatch, sheet)
    rows = [[f"1380013800{number}"] for number in (1, 2, 3, 4, 1)]
    run = upload(sheet, boss, [sheet.key_column], *rows)
    with monkeypatch.context() as patch:
        killed_after(patch, sheet, "check", n)
        with pytest.raises(Killed):
            work_on(run.pk)
    assert not work_on(run.pk)  # it may only be slow
    later(run)
    assert continue_imports() == 1
    run.refresh_from_db()
    assert run.state == State.CHECKED
    assert counts(run) == {NEW: 4, CHANGED: 0, SAME: 0, BAD: 1}


@pytest.mark.parametrize("sheet", [KeywordSheet, BlacklistSheet])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_what_a_dying_worker_wrote_stands_once_and_the_rest_follows(monkeypatch, boss, sheet, n):
    small_batches(monkeypatch, sheet)
    rows = [[f"1380013800{number}"] for number in range(6)]
    run = checked(sheet, boss, [sheet.key_column], *rows)
    choose_to_write(run, actor=boss, only_if_all_good=False)
    with monkeypatch.context() as patch:
        killed_after(patch, sheet, "write", n)
        with pytest.raises(Killed):
            work_on(run.pk)
    assert sheet.model.objects.count() == 2 * (n - 1)
    assert ImportChunk.objects.exclude(written_at=None).count() == n - 1
    later(run)
    assert continue_imports() == 1
    run.refresh_from_db()
    assert run.state == State.DONE
    assert counts(run) == {NEW: 6, CHANGED: 0, SAME: 0, BAD: 0}
    assert sheet.model.objects.count() == 6
    assert (
        AuditEntry.objects.filter(action=AuditEntry.Action.CREATE, content_type__model=sheet.model._meta.model_name).count() == 6
    )


def test_a_worker_thought_dead_stops_when_it_comes_back(monkeypatch, boss):
    small_batches(monkeypatch, KeywordSheet)
    run = checked(KeywordSheet, boss, ["phrase"], *[[f"word {n}"] for n in range(4)])
    choose_to_write(run, actor=boss, only_if_all_good=False)
    real, calls = KeywordSheet.write, []

    def slow(self, batch):
        real(self, batch)
        calls.append(len(batch))
        if len(calls) == 1:  # meanwhile somebody else took it over and did the rest
            ImportRun.objects.filter(pk=run.pk).update(lease=99)

    monkeypatch.setattr(KeywordSheet, "write", slow)
    assert work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, len(calls)) == (State.WRITING, 1)
    assert Keyword.objects.count() == 2


def test_a_lease_never_comes_twice(monkeypatch, boss, account):
    """Whoever was slow since before the decision finds that somebody else holds the run."""
    group = QuickReplyGroup.objects.create(account=account, name="G")
    run = checked(QuickReplySheet, boss, ["Group", "Title", "Text"], ["G", "T", "t"])
    leases = [run.lease]
    for _again in range(3):
        assert choose_to_write(run, actor=boss, only_if_all_good=True)
        with monkeypatch.context() as patch:
            patch.setattr("configuration.models.check_placeholders", _refuse_the_last)
            work_on(run.pk)
        run.refresh_from_db()
        leases.append(run.lease)
    assert run.state == State.CHECKED and leases == sorted(set(leases))
    assert choose_to_write(run, actor=boss, only_if_all_good=False)
    for _attempt in range(MAX_LEASES):  # each decision has all its attempts
        ImportRun.objects.filter(pk=run.pk).update(lease=F("lease") + 1)
    ImportRun.objects.filter(pk=run.pk).update(lease=F("lease") - 1)
    work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, group.replies.count()) == (State.DONE, 0)


def test_no_reading_goes_on_while_a_batch_is_written(monkeypatch, boss):
    """What SQLite would refuse when somebody else writes in between, said without a second connection."""
    small_batches(monkeypatch, KeywordSheet)
    run = upload(KeywordSheet, boss, ["phrase"], *[[f"word {n}"] for n in range(8)])

    def no_open_cursor(self, *args, **kwargs):
        raise AssertionError("a cursor stays open between batches")

    monkeypatch.setattr("django.db.models.query.QuerySet.iterator", no_open_cursor)
    work_on(run.pk)
    choose_to_write(run, actor=boss, only_if_all_good=True)
    work_on(run.pk)
    run.refresh_from_db()
    assert run.state == State.DONE


def test_a_task_that_comes_twice_does_its_work_once(boss):
    run = written(KeywordSheet, boss, ["phrase"], ["a"])
    assert not work_on(run.pk)
    assert not choose_to_write(run, actor=boss, only_if_all_good=False)
    assert Keyword.objects.count() == 1


def test_a_run_that_fails_again_and_again_is_given_up(monkeypatch, boss):
    run = upload(KeywordSheet, boss, ["phrase"], ["a"])

    def fails(self, batch, seen):
        raise RuntimeError("13800138000")

    monkeypatch.setattr(KeywordSheet, "check", fails)
    for _attempt in range(MAX_LEASES + 1):
        work_on(run.pk)
        later(run)
    run.refresh_from_db()
    assert (run.state, run.problem) == (State.FAILED, "failed")


def test_what_fails_is_logged_without_what_it_was_about(monkeypatch, boss, caplog):
    run = upload(KeywordSheet, boss, ["phrase"], ["a"])

    def fails(self, batch, seen):
        raise RuntimeError("13800138000")

    monkeypatch.setattr(KeywordSheet, "check", fails)
    work_on(run.pk)
    assert "RuntimeError" in caplog.text
    assert "13800138000" not in caplog.text


# --- Two at once -----------------------------------------------------------------------------------------------------


def test_two_who_import_the_same_rows_end_with_each_once(account, boss):
    colleague = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    rows = (["number", "reason"], ["13800138001", "a"], ["13800138002", "b"])
    first, second = checked(BlacklistSheet, boss, *rows), checked(BlacklistSheet, colleague, *rows)
    for run, actor in ((first, boss), (second, colleague)):
        choose_to_write(run, actor=actor, only_if_all_good=False)
        work_on(run.pk)
        run.refresh_from_db()
    assert counts(first) == {NEW: 2, CHANGED: 0, SAME: 0, BAD: 0}
    assert counts(second) == {NEW: 0, CHANGED: 0, SAME: 2, BAD: 0}
    assert BlockedNumber.objects.count() == 2


@pytest.mark.parametrize("sheet", [BlacklistSheet, KeywordSheet])
def test_a_row_somebody_writes_between_look_and_write_costs_no_neighbour(monkeypatch, account, boss, sheet):
    """Both looked before either wrote: the unique key refuses the second, and the rest of its batch still goes in."""
    run = checked(sheet, boss, [sheet.key_column], ["13800138001"], ["13800138002"], ["13800138003"])
    choose_to_write(run, actor=boss, only_if_all_good=False)
    real = sheet.check

    def looks_too_early(self, batch, seen):
        hidden = self.model.objects.filter(account=account)
        ids = list(hidden.values_list("pk", flat=True))
        monkeypatch.setattr(sheet, "rows", lambda self: self.model.objects.exclude(pk__in=ids))
        real(self, batch, seen)

    number = "+8613800138002" if sheet is BlacklistSheet else "13800138002"
    sheet.model.objects.create(account=account, **{sheet.key_column: number})
    monkeypatch.setattr(sheet, "check", looks_too_early)
    work_on(run.pk)
    run.refresh_from_db()
    assert run.state == State.DONE
    assert counts(run) == {NEW: 2, CHANGED: 0, SAME: 0, BAD: 1}
    assert [(row, said) for row, _column, _cell, said in errors_of(run)] == [(3, "This is in use already.")]
    assert sheet.model.objects.count() == 3


def test_a_row_the_database_takes_for_another_is_told_and_costs_no_neighbour(account, boss):
    """MariaDB compares without regard to case, SQLite does not: neither is asked."""
    Keyword.objects.create(account=account, phrase="Refund")
    run = written(KeywordSheet, boss, ["phrase"], ["refund"], ["other"], ["Café"], ["cafe"])
    assert run.state == State.DONE
    assert counts(run) == {NEW: 2, CHANGED: 0, SAME: 0, BAD: 2}
    assert [row for row, _column, _cell, _said in errors_of(run)] == [2, 5]
    assert Keyword.objects.filter(phrase="other").exists()


def test_rows_of_a_file_that_nobody_tells_apart_are_found_before_anything_is_written(boss):
    run = checked(KeywordSheet, boss, ["phrase"], ["New1"], ["NEW1"], ["neW1\u200b"], ["Ｎew1"], ["new 1"])
    assert counts(run) == {NEW: 2, CHANGED: 0, SAME: 0, BAD: 3}
    assert {said for *_rest, said in errors_of(run)} == {"The same as in row 2."}


def test_quick_replies_of_one_group_in_two_spellings_share_it(account, boss):
    written(QuickReplySheet, boss, ["Group", "Title", "Text"], ["Sales", "a", "t"], ["SALES", "b", "t"])
    assert [(group.name, group.replies.count()) for group in QuickReplyGroup.objects.all()] == [("Sales", 2)]


@pytest.mark.parametrize(
    ("one", "other"), [("Café", "cafe"), ("Nai\u0308ve", "naive"), ("ＳＡＬＥＳ", "sales"), ("Straße", "strasse")]
)
def test_what_differs_only_in_case_and_accents_is_alike(account, boss, one, other):
    """As MariaDB compares: the look must say what the write would refuse."""
    Keyword.objects.create(account=account, phrase=one)
    assert KeywordSheet(actor=boss).held_as((other,)) == (one,)
    assert KeywordSheet(actor=AgentFactory(kind=Role.Kind.ADMINISTRATOR)).held_as((other,)) is None


@pytest.mark.parametrize("clash", [4, 1])
def test_only_if_every_row_is_good_writes_nothing_when_two_clash_while_writing(monkeypatch, account, boss, clash):
    """Somebody writes such a row after the last look: what went in before it is taken back, and the report says why."""
    small_batches(monkeypatch, KeywordSheet)
    run = checked(KeywordSheet, boss, ["phrase"], *[[f"word {n}"] for n in range(5)])
    choose_to_write(run, actor=boss, only_if_all_good=True)
    real = running._check_again

    def then_somebody_writes(work):
        real(work)
        monkeypatch.setattr(KeywordSheet, "rows", lambda self: Keyword.objects.none())
        Keyword.objects.create(account=account, phrase=f"word {clash}")

    monkeypatch.setattr(running, "_check_again", then_somebody_writes)
    work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, run.problem) == (State.CHECKED, "not_all_good")
    assert [row for row, *_rest in errors_of(run)] == [clash + 2]
    assert list(Keyword.objects.values_list("phrase", flat=True)) == [f"word {clash}"]
    assert not run.chunks.exclude(written_at=None).exists()
    monkeypatch.undo()
    choose_to_write(run, actor=boss, only_if_all_good=False)
    work_on(run.pk)
    assert Keyword.objects.count() == 5


def test_letters_of_another_script_are_not_alike():
    assert _loosely(("退款",)) != _loosely(("退貨",))


def test_only_if_every_row_is_still_good_writes_nothing_when_one_is_not(monkeypatch, account, boss):
    small_batches(monkeypatch, QuickReplySheet)
    group = QuickReplyGroup.objects.create(account=account, name="G")
    rows = [["G", f"T{n}", "t", "2099-01-01"][:3] for n in range(4)]
    run = checked(QuickReplySheet, boss, ["Group", "Title", "Text"], *rows)
    choose_to_write(run, actor=boss, only_if_all_good=True)
    monkeypatch.setattr("configuration.models.check_placeholders", _refuse_the_last)
    work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, run.problem) == (State.CHECKED, "not_all_good")
    assert counts(run)[BAD] == 4
    assert not QuickReply.objects.exists()
    monkeypatch.undo()
    choose_to_write(run, actor=boss, only_if_all_good=False)
    assert group.replies.count() == 0


def _refuse_the_last(text):
    raise ValidationError("not any more")


def test_all_of_it_goes_in_when_every_row_is_still_good(monkeypatch, boss):
    small_batches(monkeypatch, KeywordSheet)
    run = written(KeywordSheet, boss, ["phrase"], *[[f"word {n}"] for n in range(5)], only_if_all_good=True)
    assert run.state == State.DONE
    assert Keyword.objects.count() == 5


def test_what_is_discarded_is_never_written(boss):
    run = checked(KeywordSheet, boss, ["phrase"], ["a"])
    assert discard(run, actor=boss, at=timezone.now())
    assert not choose_to_write(run, actor=boss, only_if_all_good=False)
    assert not work_on(run.pk)
    assert not Keyword.objects.exists()
    assert not ImportChunk.objects.exclude(rows=b"").exists()


def test_nobody_decides_for_a_day_and_the_rows_are_gone(boss):
    run = checked(KeywordSheet, boss, ["phrase"], ["a"])
    day = run.heartbeat_at + dt.timedelta(days=1)
    assert forget_rows(at=day) == 0
    assert forget_rows(at=day + dt.timedelta(seconds=1)) == 1
    assert forget_rows(at=day + dt.timedelta(seconds=1)) == 0
    run.refresh_from_db()
    assert (run.state, run.problem, run.preview) == (State.FAILED, "late", "")
    assert not choose_to_write(run, actor=boss, only_if_all_good=False)


def test_an_import_decided_in_the_last_hour_is_written_to_its_end(monkeypatch, boss):
    small_batches(monkeypatch, KeywordSheet)
    run = checked(KeywordSheet, boss, ["phrase"], *[[f"word {n}"] for n in range(6)], ["‰‰"])
    created = run.created_at - dt.timedelta(hours=23, minutes=59)
    ImportRun.objects.filter(pk=run.pk).update(created_at=created, heartbeat_at=created)
    assert choose_to_write(run, actor=boss, only_if_all_good=False)
    real, calls = KeywordSheet.write, []

    def a_slow_one(self, batch):
        calls.append(forget_rows(at=timezone.now() + dt.timedelta(hours=1)))
        return real(self, batch)

    monkeypatch.setattr(KeywordSheet, "write", a_slow_one)
    work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, counts(run)[NEW], set(calls)) == (State.DONE, 6, {0})
    assert errors_of(run)[0][2] == "‰‰"  # to be mended: for a day from now
    done = run.finished_at
    assert forget_rows(at=done + dt.timedelta(hours=23)) == 0
    assert forget_rows(at=done + dt.timedelta(hours=25)) == 1
    assert not ImportChunk.objects.exclude(rows=b"").exists()


def test_an_import_that_came_back_to_whoever_decides_waits_another_day(monkeypatch, account, boss):
    QuickReplyGroup.objects.create(account=account, name="G")
    run = checked(QuickReplySheet, boss, ["Group", "Title", "Text"], ["G", "T", "t"])
    ImportRun.objects.filter(pk=run.pk).update(created_at=run.created_at - dt.timedelta(hours=23))
    choose_to_write(run, actor=boss, only_if_all_good=True)
    with monkeypatch.context() as patch:
        patch.setattr("configuration.models.check_placeholders", _refuse_the_last)
        work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, run.problem) == (State.CHECKED, "not_all_good")
    assert forget_rows(at=timezone.now() + dt.timedelta(hours=20)) == 0
    assert forget_rows(at=timezone.now() + dt.timedelta(hours=25)) == 1


# --- The same rules everywhere ---------------------------------------------------------------------------------------

written_numbers = st.one_of(
    st.sampled_from(
        [
            *("13800138000", "+86 138 0013 8000", "0086-138-0013-8000", "138*", "+1*", "*", "", "＋８６138…", "110"),
            *("x", "13 *  *", "+8613800138000", "1" * 33, "1" * 31, "+86138*", "8613800138000", "+44…"),
            *("010-6000 0000", "00", "**", "1-800-FLOWERS"),
        ]
    ),
    st.text("0123456789+* -x＊", max_size=14),
)
reasons = st.one_of(st.just(""), st.text(max_size=12), st.just("r" * 201), st.just(" a  b "))
untils = st.sampled_from(["", "2099-12-31", "2020-01-01", "2099-12-31 18:00", "soon", "2099-02-30"])


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(written_numbers, st.sampled_from(["", "both", "inbound", "up"]), reasons, untils), min_size=1, max_size=6)
)
def test_the_quick_way_to_check_the_blacklist_finds_what_the_models_rules_find(account, boss, rows):
    """One row by one, each with a row object of its own, `clean_fields` and `clean`, and the same file the quick way."""

    class Slow(BlacklistSheet):
        check = Sheet.check

        def shown(self, instance, names):
            return {name: self.by_name[name].show(instance, self) for name in names if name != "number"}

    BlockedNumber.objects.filter(account=account).delete()
    BlockedNumber.objects.create(account=account, number="+8613800138000", reason="there")
    BlockedNumber.objects.create(account=account, number="+1", is_prefix=True, blocked_until=timezone.now())
    found = []
    for kind in (BlacklistSheet, Slow):
        sheet = kind(actor=boss)
        batch = [
            SheetRow(number, dict(zip(("number", "direction", "reason", "blocked_until"), map(str.strip, cells), strict=True)))
            for number, cells in enumerate(rows, start=2)
        ]
        sheet.check(batch, {})
        found.append(
            [
                (row.kind, {(column, "by hand" in said or "Confirm" in said) for column, said in row.errors}, row.was)
                for row in batch
            ]
        )
    assert found[0] == found[1]


EXAMPLES = {
    "blacklist": lambda account: [
        BlockedNumber(account=account, number="+8613800138000", reason="=1+1", direction="both"),
        BlockedNumber(account=account, number="+86138", is_prefix=True, blocked_until=timezone.now() + dt.timedelta(days=1)),
        BlockedNumber(account=account, number="+1", is_prefix=True),
        BlockedNumber(account=account, number="10086", blocked_until=timezone.now() - dt.timedelta(days=1)),
        BlockedNumber(account=account, number="+491", is_prefix=True, blocked_until=dt.datetime(2099, 12, 31, 16, tzinfo=dt.UTC)),
    ],
    "service_numbers": lambda account: [
        ServiceNumber(account=account, number="+8613800138000", label="Hotline", provider="Somebody", direction="outbound"),
        ServiceNumber(account=account, number="+861055500001", default_skill_group="Sales", is_active=False),
    ],
    "keywords": lambda account: [
        Keyword(account=account, phrase="-40 %", category="@home", severity="critical", match_mode="anywhere", is_active=False),
        Keyword(account=account, phrase="我要投诉你们"),
    ],
}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("name", sorted(SHEETS))
def test_what_is_exported_comes_back_the_same_for_every_row(account, boss, name, kind, language):
    create_lists(account)
    for row in EXAMPLES.get(name, lambda account: [])(account):
        row.save()
    sheet = SHEETS[name](actor=boss)
    ids = sheet.ids(sheet.model.objects.visible_to(boss))
    assert ids
    with translation.override(language):
        rows = sheet.export(ids)
        file = io.BytesIO(b"".join(files.csv_chunks(rows))) if kind == "csv" else files.write_xlsx(rows, title="x")
        run = open_import(sheet=SHEETS[name], actor=boss, file=file, at=timezone.now())
    work_on(run.pk)
    run.refresh_from_db()
    assert counts(run) == {NEW: 0, CHANGED: 0, SAME: len(ids), BAD: 0}, errors_of(run)


def test_every_row_written_in_bulk_is_in_the_audit_log_by_its_id_alone(account, boss):
    BlockedNumber.objects.create(account=account, number="+8613800138002", reason="old")
    AuditEntry.objects.all().delete()
    written(BlacklistSheet, boss, ["number", "reason"], ["13800138001", "private reason"], ["13800138002", "private reason"])
    entries = AuditEntry.objects.filter(content_type__model="blockednumber")
    assert sorted((entry.action, entry.object_id, entry.actor_id, entry.account_id) for entry in entries) == sorted(
        (action, BlockedNumber.objects.get(number=number).pk, boss.pk, account.pk)
        for action, number in ((AuditEntry.Action.CREATE, "+8613800138001"), (AuditEntry.Action.UPDATE, "+8613800138002"))
    )
    everything = str(list(entries.values()))
    assert "private" not in everything
    assert "138001380" not in everything
