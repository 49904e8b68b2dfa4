"""A folder a telephone system writes into: each whole file into its call, once, and nothing else is touched."""

import datetime as dt
import gzip
import json
import os
import re
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from calls import incoming, spool
from calls.demo import sound
from calls.folder import Watch, call_of, calls_of_cdr, take_folder, take_voicemail
from calls.models import AudioState, Call, IncomingSound, Recording, Voicemail
from tests.calls.adapters.asterisk.capture import truth
from tests.calls.sounds import WAV
from tests.factories import CallFactory, VoicemailFactory

pytestmark = pytest.mark.django_db

CAPTURE = Path(__file__).parent / "adapters" / "asterisk" / "capture"
UID = "1795474707.11"
NAME = f"20261123-225833-support-{UID}.wav"


@pytest.fixture(autouse=True)
def spool_of_this_test(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "monitor"
    path.mkdir()
    return path


@pytest.fixture
def call(account):
    return CallFactory(account=account, call_id=UID)


def put(folder: Path, name=NAME, content=WAV, age=60.0) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = timezone.now().timestamp() - age
    os.utime(path, (moment, moment))
    return path


def take(account, folder, **fields):
    return dict(take_folder(Watch(account, folder, **fields), at=timezone.now()))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def test_a_file_goes_into_its_call_and_is_moved_aside(account, folder, call):
    put(folder, f"2026/11/{NAME}")
    assert take(account, folder) == {"taken": 1} and take(account, folder) == {}
    row = Recording.objects.get()
    assert (row.call, row.state, row.reference) == (call, AudioState.STORED, f"2026/11/{NAME}")
    assert files(folder) == [f".stored/2026/11/{NAME}"]


def test_or_is_deleted_where_that_was_chosen(account, folder, call):
    put(folder)
    take(account, folder, deletes=True)
    assert files(folder) == [] and Recording.objects.count() == 1


def test_a_file_that_is_still_written_is_left(account, folder, call):
    put(folder, age=2)
    assert take(account, folder) == {"being_written": 1} and files(folder) == [NAME]


def test_so_is_one_whose_call_goes_on(account, folder, call):
    Call.objects.update(ended_at=None)
    put(folder, age=3600)
    assert take(account, folder) == {"being_written": 1}


def test_a_file_before_its_call_waits_for_it(account, folder):
    put(folder)
    assert take(account, folder) == {"waiting": 1}
    call = CallFactory(account=account, call_id=UID)
    incoming.attach_due(at=timezone.now())
    assert Recording.objects.get().call == call


def test_a_copy_of_a_file_is_no_second_recording(account, folder, call):
    put(folder)
    put(folder, f"again-{UID}.wav")
    assert take(account, folder) == {"taken": 1, "known": 1} and Recording.objects.count() == 1
    put(folder)
    assert take(account, folder) == {"known": 1} and len(files(folder)) == 3


def test_one_without_sound_is_put_aside_and_no_recording(account, folder, call):
    put(folder, content=WAV[:40] + bytes(4))
    assert take(account, folder) == {"empty": 1} and not Recording.objects.exists()
    assert files(folder) == [f".stored/{NAME}"]


@pytest.mark.parametrize("content", [b"no sound at all", WAV[:-9]], ids=["text", "cut off"])
def test_what_is_no_whole_sound_file_is_put_aside_by_itself(account, folder, call, content):
    put(folder, content=content)
    assert take(account, folder, deletes=True) == {"refused": 1} and files(folder) == [f".refused/{NAME}"]


@pytest.mark.parametrize("name", ["conference.wav", "20261123-225833.wav", "notes.txt", ".hidden-1795474707.11.wav"])
def test_names_that_speak_of_no_call_are_left_alone(account, folder, call, name):
    put(folder, name)
    assert take(account, folder).get("taken") is None and files(folder) == [name]


def test_links_are_not_followed(account, folder, call, tmp_path):
    outside = put(tmp_path / "outside", NAME)
    (folder / NAME).symlink_to(outside)
    (folder / "more").symlink_to(outside.parent)
    assert take(account, folder) == {} and outside.exists() and not Recording.objects.exists()


def test_a_link_put_in_place_of_a_file_is_not_read(account, folder, call, tmp_path, monkeypatch):
    outside = put(tmp_path / "outside", NAME)
    (folder / NAME).symlink_to(outside)
    monkeypatch.setattr("calls.folder._files", lambda folder: [folder / NAME])
    assert take(account, folder) == {"unreadable": 1} and not Recording.objects.exists()


def test_a_full_spool_leaves_the_files_where_they_are(account, folder, call, settings):
    settings.SPOOL_FILES = 0
    put(folder)
    assert take(account, folder) == {"no_room": 1} and files(folder) == [NAME]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["calls.folder._move_aside", "calls.incoming._store", "calls.incoming._attach"])
def test_killed_at_any_step_the_next_look_ends_the_same(account, folder, call, monkeypatch, step):
    put(folder)

    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(step, die)
        with pytest.raises(Killed):
            take(account, folder)
    take(account, folder)
    later = timezone.now() + incoming.LEASE
    incoming.store_due(at=later)
    incoming.attach_due(at=later)
    row = Recording.objects.get()
    with default_storage.open(row.key) as file:
        assert file.read() == WAV
    assert files(folder) == [f".stored/{NAME}"] and not IncomingSound.objects.exists() and spool.usage() == (0, 0)


@pytest.mark.parametrize(
    ("stem", "call_id"),
    [
        (f"20261123-225833-support-{UID}", UID),
        (UID, UID),
        (f"{UID}-in", UID),
        (f"q-600_{UID}", UID),
        (f"20261123-225833-madrid2-{UID}", f"madrid2-{UID}"),
        ("20261123-225833-out-camp-d2e708c833080a1d", "camp-d2e708c833080a1d"),
    ],
)
def test_the_id_in_a_name_is_the_one_that_is_known(account, folder, stem, call_id):
    call = CallFactory(account=account, call_id=call_id)
    assert call_of(Watch(account, folder), stem) == (call_id, call)


def test_an_id_that_is_not_known_yet_is_the_plain_one(account, folder):
    assert call_of(Watch(account, folder), f"a-b-{UID}") == (UID, None)
    assert call_of(Watch(account, folder), "exten-1001-unknown") == ("", None)
    assert call_of(Watch(account, folder, prefix="pbx/"), UID) == (f"pbx/{UID}", None)


def test_a_name_of_another_kind_can_be_told(account, folder):
    watch = Watch(account, folder, name=re.compile(r"^(?P<id>[^_]+)_"))
    assert call_of(watch, "abc_2026")[0] == "abc"


def test_every_recording_of_the_capture_finds_its_call(account, folder):
    """The truth of the lab's recordings: 105 files, 35 of them without a sound in them."""
    listed = json.loads(gzip.decompress((CAPTURE / "recordings.json.gz").read_bytes()))
    linked = {call["ref"]: call["pbx"]["linkedid"] for call in truth()["calls"]}
    for linked_id in set(linked.values()):
        CallFactory(account=account, call_id=linked_id)
    for number, told in enumerate(listed):
        put(folder, told["file"], sound.wav(seconds=0.05 + number / 1000, seed=1) if told["seconds"] else WAV[:40] + bytes(4))
    with gzip.open(CAPTURE / "cdr.csv.gz", "rt", encoding="utf-8", newline="") as lines:
        calls = calls_of_cdr(lines)
    with_sound = {told["file"]: linked[told["call"]] for told in listed if told["seconds"]}
    assert take(account, folder, calls=calls) == {"taken": len(with_sound), "empty": len(listed) - len(with_sound)}
    assert dict(Recording.objects.values_list("reference", "call__call_id")) == with_sound


# --- Voicemail -------------------------------------------------------------------------------------------------------

LEFT_AT = 1795475216
NOTE = f"""\ufeff;
; Message Information file
;
[message]
origmailbox=1006
callerid="ACME \\\\\\"Parts\\\\\\" Ltd" <+17025550157>
origtime={LEFT_AT}
duration=3
"""


@pytest.fixture
def message(account, folder):
    (folder / "1006" / "INBOX").mkdir(parents=True)
    put(folder / "1006" / "INBOX", "msg0000.wav")
    (folder / "1006" / "INBOX" / "msg0000.txt").write_text(NOTE.removeprefix("\ufeff"))
    at = dt.datetime.fromtimestamp(LEFT_AT + 4, dt.UTC)
    return VoicemailFactory(call__account=account, state=AudioState.EXPECTED, key="", reference="1006@default", recorded_at=at)


def take_messages(account, folder):
    return dict(take_voicemail(account=account, folder=folder, at=dt.datetime.fromtimestamp(LEFT_AT + 60, dt.UTC)))


def test_a_message_goes_to_the_row_of_its_mailbox_and_time_and_stays_where_it_is(account, folder, message):
    before = files(folder)
    assert take_messages(account, folder) == {"taken": 1} and take_messages(account, folder) == {"known": 1}
    row = Voicemail.objects.get()
    assert row.pk == message.pk and row.state == AudioState.STORED and files(folder) == before


@pytest.mark.parametrize("change", [{"reference": "1007@default"}, {"recorded_at": dt.datetime(2026, 11, 1, tzinfo=dt.UTC)}])
def test_another_mailbox_or_time_is_another_message(account, folder, message, change):
    Voicemail.objects.update(**change)
    assert take_messages(account, folder) == {"unknown_call": 1} and Voicemail.objects.get().state == AudioState.EXPECTED


def test_a_note_that_says_nothing_is_passed_over(account, folder, message):
    (folder / "1006" / "INBOX" / "msg0000.txt").write_text("nothing")
    assert take_messages(account, folder) == {"unreadable": 1}


def test_the_command_looks_once_and_says_what_it_did(account, folder, call, capsys):
    put(folder)
    call_command("watch_recordings", str(folder), account=account.slug, once=True)
    assert capsys.readouterr().out == "taken 1\n"
