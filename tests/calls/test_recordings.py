import datetime as dt
import hashlib
import io
import struct

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage

from calls import recordings
from calls.demo import sound
from calls.models import AudioState, Call, Recording, Voicemail
from calls.recordings import store_audio

AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
SOUND = sound.wav(seconds=0.5, seed=1)


@pytest.fixture
def row(account):
    call = Call.objects.create(account=account, call_id="call-417", call_key=b"k" * 32, started_at=AT)
    return Recording.objects.create(account=account, call=call, event_key=b"e" * 32, recorded_at=AT, duration_seconds=180)


class Storage:
    """The storage with another way of saving."""

    def __init__(self, save):
        self.save = save

    def __getattr__(self, name):
        return getattr(default_storage, name)


def stored_files(kind="recording"):
    try:
        folders, _ = default_storage.listdir(kind)
    except FileNotFoundError:  # an S3 store knows no folders, and lists none
        return set()
    return {f"{kind}/{folder}/{name}" for folder in folders for name in default_storage.listdir(f"{kind}/{folder}")[1]}


@pytest.mark.parametrize("content", [SOUND, io.BytesIO(SOUND)], ids=["bytes", "file"])
def test_a_stored_file_is_named_measured_and_marked(row, content):
    store_audio(audio=row, content=content, content_type="audio/x-wav; charset=binary")
    assert (row.state, row.n_bytes, row.content_type) == (AudioState.STORED, len(SOUND), "audio/wav")
    assert row.sha256 == hashlib.sha256(SOUND).hexdigest()
    assert row.duration_seconds == 180
    assert stored_files() == {row.key}
    assert default_storage.open(row.key).read() == SOUND


def test_a_key_tells_nothing_about_the_call(row):
    store_audio(audio=row, content=SOUND, content_type="audio/wav")
    assert row.call.call_id not in row.key and len(row.key.split("/")[-1]) == 36


def test_voicemail_is_stored_the_same_way(row):
    voicemail = Voicemail.objects.create(account=row.account, call=row.call, event_key=b"v" * 32, recorded_at=AT)
    store_audio(audio=voicemail, content=SOUND, content_type="audio/wav")
    assert stored_files("voicemail") == {voicemail.key}


def test_a_stored_file_is_not_replaced(row):
    store_audio(audio=row, content=SOUND, content_type="audio/wav")
    with pytest.raises(ValidationError, match="already"):
        store_audio(audio=row, content=sound.wav(seconds=1, seed=2), content_type="audio/wav")
    row.refresh_from_db()
    assert default_storage.open(row.key).read() == SOUND


def test_a_stale_row_does_not_take_away_the_stored_file(row):
    stale = Recording.objects.get(pk=row.pk)
    store_audio(audio=row, content=SOUND, content_type="audio/wav")
    with pytest.raises(ValidationError, match="already"):
        store_audio(audio=stale, content=SOUND, content_type="audio/wav")
    assert stored_files() == {row.key}


def test_a_row_that_was_read_while_its_file_was_being_stored_does_not_take_it_away(row, monkeypatch):
    """The second one holds the first one's key; by the time it acts, the file is in place."""
    seen = []

    def read_in_between(name, content, **options):
        seen.append(Recording.objects.get(pk=row.pk))
        return default_storage.save(name, content, **options)

    monkeypatch.setattr(recordings, "default_storage", Storage(read_in_between))
    store_audio(audio=row, content=SOUND, content_type="audio/wav")
    with pytest.raises(ValidationError, match="already"):
        store_audio(audio=seen[0], content=SOUND, content_type="audio/wav")
    assert stored_files() == {row.key}


def test_a_cut_off_store_is_cleared_away_by_the_next(row, monkeypatch):

    def die(name, content, **options):
        default_storage.save(name, content, **options)
        raise OSError("connection lost")

    monkeypatch.setattr(recordings, "default_storage", Storage(die))
    with pytest.raises(OSError, match="lost"):
        store_audio(audio=row, content=SOUND, content_type="audio/wav")
    left = Recording.objects.get(pk=row.pk)
    assert left.state == AudioState.EXPECTED and stored_files() == {left.key}
    monkeypatch.setattr(recordings, "default_storage", default_storage)
    store_audio(audio=left, content=SOUND, content_type="audio/wav")
    assert stored_files() == {left.key}


def test_a_row_erased_meanwhile_leaves_no_file(row, monkeypatch):

    def erase(name, content, **options):
        Recording.objects.filter(pk=row.pk).delete()
        return default_storage.save(name, content, **options)

    monkeypatch.setattr(recordings, "default_storage", Storage(erase))
    with pytest.raises(ValidationError, match="deleted"):
        store_audio(audio=row, content=SOUND, content_type="audio/wav")
    assert stored_files() == set()


def test_two_that_meet_leave_one_file(row, monkeypatch):

    def overtaken(name, content, **options):
        monkeypatch.setattr(recordings, "default_storage", default_storage)
        store_audio(audio=Recording.objects.get(pk=row.pk), content=SOUND, content_type="audio/wav")
        return default_storage.save(name, content, **options)

    monkeypatch.setattr(recordings, "default_storage", Storage(overtaken))
    with pytest.raises(ValidationError, match="changed"):
        store_audio(audio=row, content=SOUND, content_type="audio/wav")
    row.refresh_from_db()
    assert row.state == AudioState.STORED and stored_files() == {row.key}


def header(encoding=1, channels=1, rate=8000, kind=b"WAVE"):
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, encoding, channels, rate, rate * 2, 2, 16)
    return b"RIFF" + struct.pack("<I", 100) + kind + fmt + b"data" + struct.pack("<I", 8) + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"<html>" + bytes(100),
        b"ID3" + bytes(100),
        header(kind=b"AVI "),
        header(encoding=0x55),
        header(channels=0),
        header(rate=0),
        b"RIFF" + bytes(4) + b"WAVE" + b"junk" + b"\xff\xff\xff\xff" + bytes(80),
    ],
    ids=["empty", "short", "html", "mp3", "avi", "mp3 in wav", "no channel", "no rate", "endless chunk"],
)
def test_what_is_no_wav_is_refused_by_its_content(row, content):
    with pytest.raises(ValidationError) as refused:
        store_audio(audio=row, content=content, content_type="audio/wav")
    assert set(refused.value.message_dict) == {"file"}
    row.refresh_from_db()
    assert (row.state, row.key, stored_files()) == (AudioState.EXPECTED, "", set())


def test_a_format_chunk_may_come_after_another(row):
    content = header()
    content = content[:12] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + content[12:]
    store_audio(audio=row, content=content, content_type="audio/wav")
    assert row.state == AudioState.STORED


def test_another_type_is_refused(row):
    with pytest.raises(ValidationError) as refused:
        store_audio(audio=row, content=SOUND, content_type="text/html")
    assert set(refused.value.message_dict) == {"content_type"}


def test_a_file_beyond_the_limit_is_refused(row, monkeypatch):
    monkeypatch.setattr(recordings, "MAX_BYTES", len(SOUND) - 1)
    with pytest.raises(ValidationError, match="larger"):
        store_audio(audio=row, content=SOUND, content_type="audio/wav")
    monkeypatch.setattr(recordings, "MAX_BYTES", len(SOUND))
    store_audio(audio=row, content=SOUND, content_type="audio/wav")
