"""The command that imports finished calls: what goes in, what is refused, and that it may be run again."""

import csv
import datetime as dt

import pytest
import time_machine
from django.core.management import CommandError, call_command

from calls import importing
from calls.adapters.table import FIELDS, TIMES
from calls.models import Call, CallEvent, CallLeg, QueueEntry, StaleCallSlot
from retention.purge import purge_account
from tests.factories import AccountFactory

NOW = dt.datetime(2026, 7, 16, 4, tzinfo=dt.UTC)
HEADER = [
    "call_id",
    "called_number",
    "skill_group",
    "agent",
    "queued_at",
    "answered_at",
    "started_at",
    "ended_at",
    "outcome",
    "remark",
]


@pytest.fixture(autouse=True)
def today():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def account(db):
    return AccountFactory(slug="shop", time_zone="Asia/Shanghai")


def row(call_id, *, day="2026-07-10", answered=True, **cells):
    start = f"{day} 10:00"
    full = {
        "call_id": call_id,
        "called_number": "+861055500001",
        "skill_group": "Sales",
        "agent": "1001" if answered else "",
        "queued_at": f"{start}:10",
        "answered_at": f"{start}:20" if answered else "",
        "started_at": f"{start}:00",
        "ended_at": f"{start}:50",
        "outcome": "answered" if answered else "abandoned_in_queue",
        "remark": "",
    }
    return [(full | cells)[name] for name in HEADER]


def write(path, rows, *, header=HEADER, delimiter=",", encoding="utf-8", before=""):
    with path.open("w", encoding=encoding, newline="") as file:
        file.write(before)
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def run(path, *options, capsys=None):
    call_command("import_calls", str(path), "--account", "shop", *options)
    return capsys.readouterr().out.splitlines() if capsys else None


def facts():
    """Everything that was stored, without row numbers and the clock of the import."""
    return {
        model.__name__: sorted(
            tuple(sorted((name, repr(value)) for name, value in values.items() if name not in left_out))
            for values in model.objects.values()
        )
        for model, left_out in (
            (Call, {"id", "folded_at"}),
            (CallLeg, {"id", "call_id"}),
            (QueueEntry, {"id", "call_id"}),
            (CallEvent, {"id", "received_at", "retry_at"}),
        )
    }


def errors(path):
    with path.with_name(f"{path.name}.errors.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def test_rows_become_service_records(account, tmp_path, capsys):
    out = run(write(tmp_path / "a.csv", [row("1"), row("2", answered=False)]), capsys=capsys)
    assert [" ".join(line.split()) for line in out] == ["2 rows", "2 calls imported"]
    calls = {call.call_id: call for call in Call.objects.all()}
    assert {key: call.outcome for key, call in calls.items()} == {"1": "answered", "2": "abandoned_in_queue"}
    assert calls["1"].started_at == dt.datetime(2026, 7, 10, 2, tzinfo=dt.UTC)
    assert (calls["1"].wait_seconds, calls["1"].talk_seconds, calls["2"].wait_seconds) == (10, 30, 40)
    assert not list(tmp_path.glob("*.errors.csv"))


def test_bad_rows_name_their_line_column_and_reason_and_their_neighbours_go_in(account, tmp_path, capsys):
    path = write(
        tmp_path / "a.csv",
        [
            row("1", remark="two\nlines"),
            row("2", started_at="yesterday"),
            ["only", "three", "cells"],
            [],
            row("3", day="2026-07-17"),
            row("4", outcome="abandoned_in_ivr"),
            row("5", day="1969-07-10"),
            row("6"),
        ],
    )
    out = run(path, capsys=capsys)
    assert errors(path) == [
        ["4", "started_at", "'yesterday' does not read as iso"],
        ["5", "", "has 3 cells where the header has 10"],
        ["7", "", "lies in the future; only finished calls are imported"],
        ["8", "outcome", "says abandoned_in_ivr, but by its times the call was answered"],
        ["9", "", "lies before 1990"],
    ]
    assert [" ".join(line.split()) for line in out] == ["7 rows", "2 calls imported", f"5 in error, listed in {path}.errors.csv"]
    assert set(Call.objects.values_list("call_id", flat=True)) == {"1", "6"}


def test_rows_past_their_six_months_are_refused_with_a_count(account, tmp_path, capsys):
    path = write(tmp_path / "a.csv", [row("1", day="2026-01-15"), row("2", day="2026-01-16"), row("3", day="2020-02-01")])
    out = run(path, capsys=capsys)
    assert "2 refused: ended over 6 months ago" in " ".join(" ".join(out).split())
    assert [call.call_id for call in Call.objects.all()] == ["2"]
    assert purge_account(account=account, at=NOW).counts.get("calls", 0) == 0


def test_a_shift_brings_an_old_month_into_the_present(account, tmp_path):
    run(write(tmp_path / "a.csv", [row("1", day="1999-01-01")]), "--shift-days", str(7 * 1435))
    call = Call.objects.get()
    assert call.started_at == dt.datetime(2026, 7, 3, 2, tzinfo=dt.UTC)
    assert call.ended_on == dt.date(2026, 7, 3)
    assert call.ended_on.weekday() == dt.date(1999, 1, 1).weekday()


def test_importing_twice_or_in_another_order_changes_nothing(account, tmp_path, capsys):
    rows = [row(str(n), answered=n % 3 > 0) for n in range(20)]
    run(write(tmp_path / "a.csv", rows), "--batch", "7")
    before = facts()
    StaleCallSlot.objects.all().delete()
    capsys.readouterr()
    out = run(write(tmp_path / "b.csv", rows[::-1]), "--batch", "3", capsys=capsys)
    assert [" ".join(line.split()) for line in out] == ["20 rows", "0 calls imported", "20 calls were in already"]
    assert facts() == before
    assert not StaleCallSlot.objects.exists()


def test_an_import_stopped_in_the_middle_is_finished_by_the_next(account, tmp_path, monkeypatch, capsys):
    path = write(tmp_path / "a.csv", [row(str(n)) for n in range(10)])
    real, n_folds = importing.fold_due, 0

    def stop(**arguments):
        nonlocal n_folds
        n_folds += 1
        if n_folds == 4:
            raise KeyboardInterrupt
        return real(**arguments)

    with monkeypatch.context() as patch:
        patch.setattr(importing, "fold_due", stop)
        with pytest.raises(KeyboardInterrupt):
            run(path, "--batch", "3")
    assert 0 < Call.objects.count() < 10
    capsys.readouterr()
    out = run(path, "--batch", "3", capsys=capsys)
    assert " ".join(out[2].split()) == "6 calls were in already"
    stopped = facts()
    for model in (CallEvent, CallLeg, QueueEntry, Call):
        model.objects.all().delete()
    run(path)
    assert facts() == stopped


def test_a_row_that_came_before_with_other_content_does_not_change_the_first(account, tmp_path):
    run(write(tmp_path / "a.csv", [row("1")]))
    before = facts()
    path = write(
        tmp_path / "b.csv", [row("1", ended_at="2026-07-10 10:09:00"), row("2"), row("2", ended_at="2026-07-10 10:09:00")]
    )
    run(path)
    reason = "a row with this id was imported before with other content; the first one stands"
    assert errors(path) == [["2", "", reason], ["4", "", reason]]
    Call.objects.filter(call_id="2").delete()
    CallEvent.objects.filter(subject="2").delete()
    assert facts() == before


def test_a_call_whose_raw_events_have_left_is_known_all_the_same(account, tmp_path, capsys):
    path = write(tmp_path / "a.csv", [row("1", day="2026-06-01")])
    run(path)
    later = NOW + dt.timedelta(days=8)
    assert purge_account(account=account, at=later).counts == {"events": 4, "sealed": 1}
    before = facts()
    capsys.readouterr()
    assert " ".join(run(path, capsys=capsys)[2].split()) == "1 calls were in already"
    assert facts() == before


def test_a_dry_run_reads_everything_and_writes_nothing(account, tmp_path, capsys):
    path = write(tmp_path / "a.csv", [row("1"), row("2", agent="", answered_at="x")])
    out = run(path, "--dry-run", capsys=capsys)
    assert [" ".join(line.split()) for line in out] == [
        "2 rows",
        "1 calls would be imported",
        f"1 in error, listed in {path}.errors.csv",
        "Nothing was written: this was a dry run.",
    ]
    assert not CallEvent.objects.exists()


@pytest.mark.parametrize(
    "form", [{"delimiter": ";"}, {"delimiter": "\t"}, {"before": "\ufeff"}, {"delimiter": ";", "before": "\ufeff"}]
)
def test_semicolons_tabs_and_a_byte_order_mark_are_understood(account, tmp_path, form):
    run(write(tmp_path / "a.csv", [row("1", remark="a, b; c")], **form))
    assert Call.objects.get().remark == "a, b; c"


def test_columns_in_any_order_and_columns_unknown_to_the_mapping_are_fine(account, tmp_path):
    path = write(tmp_path / "a.csv", [[*row("1")[::-1], "x"]], header=[*HEADER[::-1], "shoe size"])
    run(path)
    assert Call.objects.get().outcome == "answered"


def test_a_cell_that_a_spreadsheet_would_run_is_made_harmless(account, tmp_path):
    mapping = tmp_path / "m.toml"
    mapping.write_text('source = "t"\n[call]\nid = "=id"\n[times]\nstarted = "s"\nended = "s"')
    path = write(tmp_path / "a.csv", [["", "2026-07-10 10:00"]], header=["=id", "s"])
    run(path, "--mapping", str(mapping))
    assert errors(path)[0][1] == "'=id"


def test_names_that_the_portal_knows_are_matched(account, tmp_path):
    from tests.factories import AgentFactory, SkillGroupFactory

    agent, group = AgentFactory(account=account, staff_id="1001"), SkillGroupFactory(account=account, name="Sales")
    run(write(tmp_path / "a.csv", [row("1")]))
    call = Call.objects.get()
    assert (call.agent, call.skill_group) == (agent, group)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty: it has no header"),
        (b"\n1,2\n", "its header, is empty"),
        (
            b"id,when\n1,2\n",
            "columns that the file does not have: call_id, called_number, ended_at, started_at. It has: id, when",
        ),
        (b"call_id,called_number,started_at,ended_at,call_id\n", "has the column call_id more than once"),
        ("call_id,called_number,started_at,ended_at\n1,2,3,ü\n".encode("latin-1"), "is not written in utf-8"),
    ],
)
def test_a_file_that_is_not_usable_says_why(account, tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(CommandError, match=message) as caught:
        run(path)
    assert caught.value.returncode == 1
    assert not Call.objects.exists()


def test_a_header_alone_is_no_error(account, tmp_path, capsys):
    assert [" ".join(line.split()) for line in run(write(tmp_path / "a.csv", []), capsys=capsys)] == [
        "0 rows",
        "0 calls imported",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere.csv", "--account", "shop"], "nowhere.csv: No such file"),
        (["a.csv", "--account", "nobody"], "no account with the short name 'nobody'"),
        (["a.csv", "--account", "shop", "--mapping", "avaya"], "There is no mapping 'avaya'"),
        (["a.csv", "--account", "shop", "--batch", "0"], "--batch"),
    ],
)
def test_wrong_arguments_are_named(account, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.csv", [row("1")])
    with pytest.raises(CommandError, match=message):
        call_command("import_calls", *options)


def test_the_documentation_describes_every_word_of_the_mapping_language(settings):
    text = (settings.BASE_DIR / "docs" / "import.md").read_text()
    words = {
        *FIELDS,
        *TIMES,
        "delimiter",
        "encoding",
        "time_zone",
        "moment",
        "optional",
        "unknown",
        "otherwise",
        "values",
        "between",
    }
    assert [word for word in sorted(words) if f"`{word}`" not in text] == []
