"""Files of queue_log on their way into the database."""

import gzip
import json
import os
import shutil

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from agents.models import StatusChange
from calls.adapters import asterisk_import
from calls.adapters.asterisk_import import Positions, QueueLogImport
from calls.adapters.queue_log import QueueLog
from calls.importing import Problems
from calls.lifecycle import Event, fold
from calls.models import Call, CallEvent, CallLeg, EventState, QueueEntry
from tests.calls.adapters.asterisk.capture import AGENTS, SITE, at, queue_log, truth
from tests.calls.adapters.asterisk.truth import of_agents, of_log
from tests.factories import AccountFactory, AgentFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

THAT_NIGHT = at(1795475289 + 3600)


@pytest.fixture(autouse=True)
def that_night():
    with time_machine.travel(THAT_NIGHT, tick=True):
        yield


@pytest.fixture
def account():
    account = AccountFactory(region="US", time_zone="America/New_York")
    for extension in sorted(AGENTS.values()):
        AgentFactory(account=account, staff_id=extension)
    for queue in ("support", "sales", "billing", "vip", "overflow"):
        SkillGroupFactory(account=account, name=queue)
    return account


def importer(account, folder, **options):
    return QueueLogImport(
        account=account,
        log=QueueLog(SITE),
        positions=Positions(folder / "position.json"),
        problems=Problems(folder / "errors.csv"),
        **options,
    )


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def rows(model, *without):
    """A table as it is, but for ids and clocks of the work itself."""
    names = [field.attname for field in model._meta.concrete_fields if field.attname not in {"id", "call_id", *without}]
    return sorted(map(str, model.objects.values_list(*names)))


def everything():
    return [
        rows(CallEvent, "received_at", "retry_at"),
        rows(Call, "folded_at", "last_event_at"),
        rows(CallLeg),
        rows(QueueEntry),
        rows(StatusChange),
    ]


def test_the_captured_log_makes_the_true_records(account, tmp_path):
    summary = importer(account, tmp_path).run([write(tmp_path / "queue_log", queue_log())])
    assert (summary.n_lines, summary.n_in_error, summary.unknown.total()) == (349, 0, 0)
    calls = {call["pbx"]["linkedid"]: call for call in truth()["calls"] if call["legs"]}
    assert set(Call.objects.values_list("call_id", flat=True)) == set(calls)
    assert not CallEvent.objects.exclude(state=EventState.FOLDED).exists()
    differences = []
    stored = [
        {"type": event.type, "time": event.occurred_at.isoformat(), "data": event.data, "subject": event.subject}
        for event in CallEvent.objects.all()
    ]
    for call_id, call in calls.items():
        events = CallEvent.objects.filter(subject=call_id, type__startswith="call.")
        facts = fold(Event(e.type, e.occurred_at, e.data, bytes(e.event_key), e.source, e.sequence) for e in events)
        differences += of_log(call, facts)
        record = Call.objects.get(call_id=call_id)
        assert (record.outcome, record.talk_seconds, record.wait_seconds) == (
            facts.outcome,
            facts.talk_seconds,
            facts.wait_seconds,
        )
        assert not record.legs.exclude(agent_reference="").exists()
        assert not record.queue_entries.filter(skill_group=None).exists()
    assert differences + of_agents(stored, within=1.05) == []


def test_a_second_run_reads_nothing_and_one_from_the_start_changes_nothing(account, tmp_path):
    path = write(tmp_path / "queue_log", queue_log())
    first = importer(account, tmp_path).run([path])
    before = everything()
    again = importer(account, tmp_path).run([path])
    assert (again.n_lines, again.n_events) == (0, 0)
    anew = importer(account, tmp_path, is_from_start=True).run([path])
    assert (anew.n_lines, anew.n_events, anew.n_known) == (349, 0, first.n_events)
    assert everything() == before


@pytest.mark.parametrize("every", [1, 40, 97])
def test_a_stop_after_any_batch_ends_in_the_same_rows(account, tmp_path, monkeypatch, every):
    """Also a stop between the events and the note of how far they go: they are sent again."""
    path = write(tmp_path / "queue_log", queue_log())
    importer(account, tmp_path).run([path])
    whole = everything()
    Call.objects.all().delete()
    for model in (CallEvent, StatusChange):
        model.objects.all().delete()
    (tmp_path / "position.json").unlink()
    n_saved = 0
    save = Positions.save

    def stop_now_and_then(positions):
        nonlocal n_saved
        n_saved += 1
        if n_saved % 3 == 0:
            raise KeyboardInterrupt
        save(positions)

    monkeypatch.setattr(Positions, "save", stop_now_and_then)
    for _ in range(1000):
        try:
            importer(account, tmp_path, lines_at_once=every).run([path])
        except KeyboardInterrupt:
            continue
        break
    assert everything() == whole


def test_a_log_that_grows_is_read_on_from_where_it_ended(account, tmp_path):
    path = tmp_path / "queue_log"
    text = "".join(f"{line}\n" for line in queue_log()).encode()
    for end in (1000, 1001, 4095, 5000, 15_000, len(text)):
        path.write_bytes(text[:end])
        importer(account, tmp_path).run([path])
    grown = everything()
    Call.objects.all().delete()
    for model in (CallEvent, StatusChange):
        model.objects.all().delete()
    importer(account, tmp_path, is_from_start=True).run([path])
    assert [len(table) for table in everything()] == [len(table) for table in grown]
    assert everything() == grown


def test_rotated_and_compressed_logs_are_known_again_and_read_oldest_first(account, tmp_path):
    lines = queue_log()
    path = write(tmp_path / "queue_log", lines[:200])
    importer(account, tmp_path).run([path])
    text = path.read_bytes()
    (tmp_path / "queue_log.1.gz").write_bytes(gzip.compress(text))
    write(path, lines[200:])
    summary = importer(account, tmp_path).run([path, tmp_path / "queue_log.1.gz"])
    assert summary.n_lines == 149
    rotated = everything()
    Call.objects.all().delete()
    for model in (CallEvent, StatusChange):
        model.objects.all().delete()
    summary = importer(account, tmp_path, is_from_start=True).run([path, tmp_path / "queue_log.1.gz"])
    assert summary.n_lines == 349
    assert everything() == rotated


def test_a_truncated_log_is_read_from_its_start(account, tmp_path):
    path = write(tmp_path / "queue_log", queue_log()[:100])
    importer(account, tmp_path).run([path])
    write(path, queue_log()[100:])
    assert importer(account, tmp_path).run([path]).n_lines == 249


def test_bad_lines_are_listed_with_their_numbers_and_their_neighbours_go_in(account, tmp_path):
    lines = [*queue_log()[:20], "no line at all", "", *queue_log()[20:40], "1795474750|c|q|a|CONNECT|x|y|z", "\x00" * 40_000]
    path = tmp_path / "queue_log"
    path.write_bytes(b"".join(line.encode() + b"\n" for line in lines) + b"\xff\xfe\x80|\n")
    summary = importer(account, tmp_path).run([path])
    assert CallEvent.objects.exists()
    places = [row.split(",")[0] for row in (tmp_path / "errors.csv").read_text().splitlines()[1:]]
    assert places[:2] == ["21", "43"]
    assert summary.n_in_error == len(places) >= 4


def test_names_that_are_not_utf8_are_read_all_the_same(account, tmp_path):
    path = tmp_path / "queue_log"
    path.write_bytes("1795474734|NONE|NONE|José|PAUSEALL|Café\n".encode("latin-1"))
    assert importer(account, tmp_path).run([path]).n_events == 1


def test_following_reads_what_is_written_and_goes_over_to_the_next_log(account, tmp_path):
    lines = queue_log()
    path = write(tmp_path / "queue_log", lines[:100])
    steps = iter(range(100))

    def pause():
        step = next(steps)
        if step == 0:
            with path.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines[100:150]) + "\n" + lines[150][:10])
        elif step == 1:  # rotated while a line is being written
            with path.open("a", encoding="utf-8") as file:
                file.write(lines[150][10:] + "\n")
            path.rename(tmp_path / "queue_log.1")
        elif step == 2:
            write(path, lines[151:300])
        elif step == 3:  # copied and cut
            shutil.copy(path, tmp_path / "queue_log.2")
            os.truncate(path, 0)
        elif step == 4:
            with path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines[300:]))

    work = importer(account, tmp_path)
    looks = iter(range(100))
    work.follow(path, is_stopped=lambda: next(looks) > 12, pause=pause)
    assert work.summary.n_lines == 349
    calls = {call["pbx"]["linkedid"] for call in truth()["calls"] if call["legs"]}
    assert set(Call.objects.values_list("call_id", flat=True)) == calls


def test_memory_holds_only_the_calls_under_way(account, tmp_path, monkeypatch):
    monkeypatch.setattr(asterisk_import, "accept_events", lambda *, items, **_: [{"status": "accepted"} for _ in items])
    monkeypatch.setattr(asterisk_import, "fold_due", lambda **_: 0)
    work = importer(account, tmp_path, lines_at_once=100)
    most = 0

    def watch(positions):
        nonlocal most
        most = max(most, len(positions.held) + len(json.dumps(positions.log)))

    monkeypatch.setattr(Positions, "save", watch)
    start = 1795474000
    lines = []
    for n in range(3000):
        begun = start + n
        lines += [f"{begun}|{begun}.{n}|q|NONE|ENTERQUEUE||1380013|1", f"{begun + 1}|{begun}.{n}|q|NONE|ABANDON|1|1|1"]
    work.run([write(tmp_path / "queue_log", lines)])
    assert work.summary.n_events == 9000
    assert most < 60_000


# --- The command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(account, tmp_path, settings, capsys):
    settings.VAR_DIR = tmp_path / "var"
    agents = tmp_path / "agents.csv"
    agents.write_text("".join(f'"{name}",{extension}\n' for name, extension in AGENTS.items()), encoding="utf-8")

    def run(*args):
        call_command("import_queue_log", "--account", account.slug, "--agents", str(agents), *map(str, args))
        return capsys.readouterr().out

    return run


def test_the_command_imports_and_says_what_it_did(account, command, tmp_path):
    path = write(tmp_path / "queue_log", [*queue_log(), "1795475289|c|q|a|NOVELTY|", "nonsense"])
    said = command(path)
    assert "351 lines" in said and "NOVELTY (1)" in said and "1 in error" in said
    assert Call.objects.count() == 68
    assert "0 lines" in command(path)
    assert command(path, "--dry-run", "--from-start").endswith("Nothing was written: this was a dry run.\n")


def test_a_dry_run_writes_nothing(command, tmp_path):
    assert "events would be imported" in command(write(tmp_path / "queue_log", queue_log()), "--dry-run")
    assert not CallEvent.objects.exists()
    assert "349 lines" in command(tmp_path / "queue_log")


def test_calls_past_their_time_are_left_out(command, tmp_path):
    with time_machine.travel(THAT_NIGHT + timezone.timedelta(days=200)):
        said = command(write(tmp_path / "queue_log", queue_log()))
    assert "68 calls left out: over 6 months old" in said
    assert not Call.objects.exists() and not StatusChange.objects.exists()


def test_two_at_once_are_refused(account, command, tmp_path, settings):
    import fcntl

    folder = settings.VAR_DIR / "asterisk"
    folder.mkdir(parents=True)
    with (folder / f"{account.slug}-asterisk.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="being imported already"):
            command(write(tmp_path / "queue_log", queue_log()))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--time-zone", "Mars/Olympus"),
        ("--exit-key", "1=nowhere"),
        ("--internal", "("),
        ("--source", "portal"),
        ("--agents", "nowhere.csv"),
    ],
)
def test_a_wrong_option_is_named(command, tmp_path, option, value):
    with pytest.raises(CommandError, match=option):
        command(write(tmp_path / "queue_log", queue_log()), option, value)


def test_a_damaged_note_of_the_position_is_said(account, command, tmp_path, settings):
    folder = settings.VAR_DIR / "asterisk"
    folder.mkdir(parents=True)
    (folder / f"{account.slug}-asterisk.json").write_text("{")
    with pytest.raises(CommandError, match="is damaged"):
        command(write(tmp_path / "queue_log", queue_log()))


def test_a_file_that_is_not_there_is_named(command, tmp_path):
    with pytest.raises(CommandError, match="nowhere"):
        command(tmp_path / "nowhere")


def test_the_options_of_a_site_are_used(command, tmp_path):
    command(
        write(tmp_path / "queue_log", queue_log()),
        "--exit-key",
        "1=callback",
        "--own-number",
        "+12025550100",
        "--call-prefix",
        "pbx-",
    )
    assert Call.objects.filter(outcome="callback").count() == 2
    assert Call.objects.filter(direction="outbound").count() == 3
    assert all(call_id.startswith("pbx-") for call_id in Call.objects.values_list("call_id", flat=True))
