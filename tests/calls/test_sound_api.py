"""Sending recordings: taken once, whole, for the right call; refused with words otherwise."""

import base64
import datetime as dt
import hashlib
import os
import time

import pytest
from asgiref.sync import async_to_sync
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from calls import incoming, spool
from calls.models import AudioState, Call, IncomingSound, Recording, Voicemail
from configuration.api_keys import create_api_key
from configuration.models import ApiKey, AuditEntry
from tests.at_once import at_once
from tests.calls.sounds import OTHER_WAV, WAV, read
from tests.factories import AgentFactory, CallFactory, RecordingFactory, SkillGroupFactory, VoicemailFactory

pytestmark = pytest.mark.django_db

RECORDINGS, VOICEMAIL = "/api/v1/recordings/", "/api/v1/voicemail/"


@pytest.fixture(autouse=True)
def spool_of_this_test(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"
    return settings.SPOOL_DIR


@pytest.fixture
def call(account):
    return CallFactory(account=account)


@pytest.fixture
def headers(api_key):
    return {"HTTP_AUTHORIZATION": f"Api-Key {api_key}"}


def key_of(account, *scopes):
    return {"HTTP_AUTHORIZATION": f"Api-Key {create_api_key(account=account, name='k', scopes=list(scopes))[1]}"}


@pytest.fixture
def send(client, headers):
    """Sends a file as the body."""

    def send_(content=WAV, path=RECORDINGS, content_type="audio/wav", query=None, **extra):
        return client.generic(
            "POST", path, content, content_type=content_type, QUERY_STRING="&".join(query or []), **headers | extra
        )

    return send_


def form(client, headers, call_id, content=WAV, path=RECORDINGS, **fields):
    from django.core.files.uploadedfile import SimpleUploadedFile

    return client.post(path, {"call_id": call_id, "file": SimpleUploadedFile("../../x.wav", content), **fields}, **headers)


def stored(key):
    with default_storage.open(key) as file:
        return file.read()


def reasons(answer):
    return {error["field"]: error["reason"] for error in answer.json()["errors"]}


def nothing_is_left(spool_dir):
    return not IncomingSound.objects.exists() and not Recording.objects.exists() and not list(spool_dir.glob("*"))


def test_a_file_as_the_body_stands_in_the_record(send, call, spool_of_this_test):
    answer = send(query=[f"call_id={call.call_id}", "reference=a/b.wav", "duration=12.5"])
    assert answer.status_code == 201, answer.json()
    row = Recording.objects.get()
    assert answer.json() == {
        "id": row.pk,
        "state": "stored",
        "call_id": call.call_id,
        "recorded_at": row.recorded_at.isoformat().replace("+00:00", "Z"),
        "duration_seconds": 12.5,
        "content_type": "audio/wav",
        "n_bytes": len(WAV),
        "sha256": hashlib.sha256(WAV).hexdigest(),
    }
    assert (row.call, row.reference, row.account) == (call, "a/b.wav", call.account)
    assert stored(row.key) == WAV and row.peaks
    assert not IncomingSound.objects.exists() and not list(spool_of_this_test.glob("*"))
    assert Call.objects.get().has_recording


def test_a_form_with_a_file_does_the_same(client, headers, call):
    answer = form(client, headers, call.call_id, recorded_at="2026-11-24T09:00:00+08:00", sha256=hashlib.sha256(WAV).hexdigest())
    assert answer.status_code == 201, answer.json()
    row = Recording.objects.get()
    assert row.recorded_at == dt.datetime(2026, 11, 24, 1, tzinfo=dt.UTC) and stored(row.key) == WAV


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pcm.wav", "audio/wav"),
        ("alaw.wav", "audio/wav"),
        ("vbr.mp3", "audio/mpeg"),
        ("opus.ogg", "audio/ogg"),
        ("vorbis.ogg", "audio/ogg"),
        ("aac.m4a", "audio/mp4"),
    ],
)
def test_the_type_is_what_the_content_says(send, call, name, kind):
    answer = send(read(name), content_type="application/octet-stream", HTTP_X_CALL_ID=call.call_id)
    assert answer.status_code == 201, answer.json()
    assert answer.json()["content_type"] == kind and answer.json()["duration_seconds"] > 0.4


def test_sent_again_it_is_answered_and_nothing_is_made(send, call):
    first, again = (send(query=[f"call_id={call.call_id}"]) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() and Recording.objects.count() == 1


def test_a_voicemail_gets_the_group_of_its_call(send, account):
    group = SkillGroupFactory(account=account)
    call = CallFactory(account=account, skill_group=group)
    assert send(path=VOICEMAIL, query=[f"call_id={call.call_id}"]).status_code == 201
    assert Voicemail.objects.get().skill_group == group and not Recording.objects.exists()


def test_the_row_that_waits_for_the_reference_is_filled(send, call):
    others = [
        RecordingFactory(call=call, state=AudioState.EXPECTED, key="", reference=name, duration_seconds=None)
        for name in ("one.wav", "rec/two.wav")
    ]
    assert send(query=[f"call_id={call.call_id}", "reference=two.wav"]).json()["id"] == others[1].pk
    row = Recording.objects.get(pk=others[1].pk)
    assert row.state == AudioState.STORED and row.duration_seconds == 0.5 and row.reference == "rec/two.wav"
    assert Recording.objects.get(pk=others[0].pk).state == AudioState.EXPECTED and Recording.objects.count() == 2


def test_another_file_under_a_stored_reference_is_a_conflict(send, call):
    query = [f"call_id={call.call_id}", "reference=one.wav"]
    send(query=query)
    before = Recording.objects.values().get()
    answer = send(OTHER_WAV, query=query)
    assert answer.status_code == 409 and Recording.objects.values().get() == before


def test_two_files_of_one_call_are_two_recordings(send, call):
    for content in (WAV, OTHER_WAV):
        assert send(content, query=[f"call_id={call.call_id}"]).status_code == 201
    assert Recording.objects.filter(call=call).count() == 2


def test_the_only_row_that_waits_is_filled_without_a_reference(send, call):
    row = RecordingFactory(call=call, state=AudioState.EXPECTED, key="", reference="somewhere/else")
    assert send(query=[f"call_id={call.call_id}"]).json()["id"] == row.pk


BAD = {
    "page": b"<html>" + bytes(100),
    "cut off": WAV[:-100],
    "empty wav": WAV[:40] + bytes(4),
    "empty": b"",
    "ogg cut off": read("opus.ogg")[:-50],
    "m4a cut off": read("aac.m4a")[:-50],
    "mp3 cut off": read("vbr.mp3")[:-50],
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_what_is_no_whole_sound_file_is_refused(send, call, content, spool_of_this_test):
    answer = send(content, query=[f"call_id={call.call_id}"])
    assert answer.status_code == 400 and set(reasons(answer)) == {"file"}
    assert nothing_is_left(spool_of_this_test)


def test_one_that_lasts_too_long_is_refused(send, call, monkeypatch, spool_of_this_test):
    monkeypatch.setattr("callcenter_site.sound_files.MAX_SECONDS", 0.4)
    answer = send(query=[f"call_id={call.call_id}"])
    assert answer.status_code == 400 and "longer" in reasons(answer)["file"] and nothing_is_left(spool_of_this_test)


def test_one_that_is_too_large_is_refused_while_it_comes(client, headers, send, call, monkeypatch, spool_of_this_test):
    monkeypatch.setattr("calls.spool.MAX_BYTES", len(WAV) - 1)
    assert send(query=[f"call_id={call.call_id}"]).status_code == 413
    assert form(client, headers, call.call_id).status_code == 413
    assert nothing_is_left(spool_of_this_test)


WRONG = b"\0" * 32


@pytest.mark.parametrize(
    ("field", "query", "extra"),
    [
        ("sha256", [f"sha256={WRONG.hex()}"], {}),
        ("sha256", [], {"HTTP_X_SHA256": WRONG.hex()}),
        ("Content-MD5", [], {"HTTP_CONTENT_MD5": base64.b64encode(WRONG[:16]).decode()}),
        ("Digest", [], {"HTTP_DIGEST": f"SHA-256={base64.b64encode(WRONG).decode()}"}),
        ("Content-Digest", [], {"HTTP_CONTENT_DIGEST": f"sha-256=:{base64.b64encode(WRONG).decode()}:"}),
    ],
)
def test_another_checksum_than_was_said_refuses_the_file(send, call, field, query, extra, spool_of_this_test):
    answer = send(query=[f"call_id={call.call_id}", *query], **extra)
    assert answer.status_code == 400 and set(reasons(answer)) == {field}
    assert nothing_is_left(spool_of_this_test)


def test_right_checksums_are_taken(send, call):
    digest = base64.b64encode(hashlib.sha256(WAV).digest()).decode()
    md5 = base64.b64encode(hashlib.md5(WAV).digest()).decode()
    answer = send(
        query=[f"call_id={call.call_id}", f"sha256={hashlib.sha256(WAV).hexdigest().upper()}"],
        HTTP_DIGEST=f"SHA-256={digest}",
        HTTP_CONTENT_MD5=md5,
    )
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ([], "call_id"),
        (["call_id=a%0d%0ab"], "call_id"),
        (["call_id=x", "reference=a%0ab"], "reference"),
        (["call_id=x", "duration=-1"], "duration"),
        (["call_id=x", "recorded_at=2026-11-24T09:00:00"], "recorded_at"),
        (["call_id=x", "acount=1"], "acount"),
        (["call_id=x", "sha256=abc"], "sha256"),
    ],
)
def test_wrong_fields_are_named(send, query, field, spool_of_this_test):
    answer = send(query=query)
    assert answer.status_code == 400 and field in reasons(answer), answer.json()
    assert nothing_is_left(spool_of_this_test)


def test_a_form_without_a_file_or_with_two_is_refused(client, headers, call, spool_of_this_test):
    from django.core.files.uploadedfile import SimpleUploadedFile

    answer = client.post(RECORDINGS, {"call_id": call.call_id}, **headers)
    assert answer.status_code == 400 and set(reasons(answer)) == {"file"}
    two = {name: SimpleUploadedFile("x.wav", WAV) for name in ("file", "other")}
    answer = client.post(RECORDINGS, {"call_id": call.call_id, **two}, **headers)
    assert answer.status_code == 400 and set(reasons(answer)) == {"other"}
    assert nothing_is_left(spool_of_this_test)


def test_json_is_no_sound_file(client, headers):
    assert client.post(RECORDINGS, "{}", content_type="application/json", **headers).status_code == 415


# --- Whose call it is ------------------------------------------------------------------------------------------------


def test_a_file_for_an_unknown_call_waits_for_it(send, account, spool_of_this_test):
    query = ["call_id=later", "reference=x.wav"]
    answer = send(query=query)
    assert answer.status_code == 202 and (answer.json()["id"], answer.json()["state"]) == (None, "waiting")
    assert send(query=query).status_code == 200 and IncomingSound.objects.count() == 1
    assert incoming.attach_due(at=timezone.now()) == 0 and not list(spool_of_this_test.glob("*"))
    call = CallFactory(account=account, call_id="later")
    assert incoming.attach_due(at=timezone.now()) == 1 and incoming.attach_due(at=timezone.now()) == 0
    row = Recording.objects.get()
    assert (row.call, row.state, stored(row.key)) == (call, AudioState.STORED, WAV)
    assert not IncomingSound.objects.exists()
    assert send(query=query).json()["id"] == row.pk


def test_a_call_of_another_account_is_as_unknown_as_none(send, account):
    foreign = CallFactory()
    answers = [send(query=[f"call_id={call_id}"]) for call_id in (foreign.call_id, "nobody's")]
    assert {answer.status_code for answer in answers} == {202}
    assert {(answer.json()["id"], answer.json()["state"]) for answer in answers} == {(None, "waiting")}
    incoming.attach_due(at=timezone.now())
    assert not Recording.objects.exists()


def test_what_waits_for_no_call_goes_after_a_week(send):
    send(query=["call_id=never"])
    row = IncomingSound.objects.get()
    assert incoming.forget_unclaimed(at=row.received_at + dt.timedelta(days=7)) == 0
    assert incoming.forget_unclaimed(at=row.received_at + dt.timedelta(days=7, seconds=1)) == 1
    assert not IncomingSound.objects.exists() and not default_storage.exists(row.key)


def test_the_event_that_comes_after_its_file_takes_the_row_over(send, account, client, headers):
    send(query=["call_id=c-1", "reference=x.wav"])
    post_call(client, headers, recorded="rec/x.wav")
    fold()
    incoming.attach_due(at=timezone.now())
    fold_again(account)
    row = Recording.objects.get()
    assert (row.state, row.call.call_id) == (AudioState.STORED, "c-1")


def test_the_event_may_come_after_the_file_is_in_the_record(send, account, client, headers):
    post_call(client, headers)
    fold()
    send(query=["call_id=c-1", "reference=x.wav"])
    uploaded = Recording.objects.get()
    post_call(client, headers, recorded="rec/x.wav")
    fold()
    fold_again(account)
    row = Recording.objects.get()
    assert row.pk == uploaded.pk and row.state == AudioState.STORED and row.duration_seconds == 9.0
    assert row.reference == "rec/x.wav" and row.event_key != uploaded.event_key


def post_call(client, headers, recorded=None):
    at = "2026-11-24T01:00:{:02d}Z"
    base = {"specversion": "1.0", "source": "test", "subject": "c-1"}
    events = [
        base
        | {
            "id": "1",
            "type": "call.started",
            "time": at.format(0),
            "data": {"direction": "inbound", "calling_number": "+8613800138000", "called_number": "+861055500001"},
        },
        base | {"id": "2", "type": "call.ended", "time": at.format(30), "data": {"party": "customer"}},
    ]
    if recorded:
        events.append(
            base | {"id": "3", "type": "call.recorded", "time": at.format(30), "data": {"file": recorded, "duration": 9}}
        )
    answer = client.post("/api/v1/events", events, content_type="application/json", **headers)
    assert answer.status_code in (200, 202), answer.json()


def fold():
    from calls import ingest

    while ingest.fold_due(at=timezone.now()):
        pass


def fold_again(account):
    from calls import ingest

    ingest.refold(account=account, call_keys=list(Call.objects.values_list("call_key", flat=True)), at=timezone.now())
    fold()


# --- Who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", sorted(set(ApiKey.Scope.values) - {"recordings:write"}))
def test_no_other_scope_sends_recordings(client, account, call, scope):
    answer = client.generic(
        "POST", RECORDINGS, WAV, content_type="audio/wav", QUERY_STRING=f"call_id={call.call_id}", **key_of(account, scope)
    )
    assert answer.status_code == 403 and not Recording.objects.exists()


def test_a_key_that_sends_reads_nothing(client, account, call):
    row, sender = RecordingFactory(call=call), key_of(account, "recordings:write")
    for path in (RECORDINGS, f"{RECORDINGS}{row.pk}/", f"{RECORDINGS}{row.pk}/link/", VOICEMAIL):
        assert client.get(path, **sender).status_code == 403


def test_a_key_fetches_a_recording_by_a_link_that_dies(client, account, call):
    row = RecordingFactory(call=call, content=WAV)
    reader = key_of(account, "recordings:read")
    answer = client.get(f"{RECORDINGS}{row.pk}/link/", **reader)
    assert answer.status_code == 200
    assert AuditEntry.objects.get(look="listened").object_id == row.pk
    if not hasattr(default_storage, "bucket_name"):
        assert Client().get(answer.json()["url"]).getvalue() == WAV
        Recording.objects.filter(pk=row.pk).update(key="other")
        assert Client().get(answer.json()["url"]).status_code == 404


def test_knowing_of_a_recording_is_not_hearing_it(client, account, call):
    row, reader = RecordingFactory(call=call), key_of(account, "calls:read")
    assert client.get(f"{RECORDINGS}{row.pk}/", **reader).status_code == 200
    assert client.get(f"{RECORDINGS}{row.pk}/link/", **reader).status_code == 403
    assert not AuditEntry.objects.filter(look="listened").exists()


def test_each_recording_fetched_by_a_key_is_told_in_the_audit_log(client, account, call):
    rows, reader = [RecordingFactory(call=call) for _ in range(2)], key_of(account, "recordings:read")
    for row in rows:
        client.get(f"{RECORDINGS}{row.pk}/link/", **reader)
    heard = AuditEntry.objects.filter(look="listened").values_list("object_id", flat=True)
    assert sorted(heard) == sorted(row.pk for row in rows)


def test_lists_show_the_accounts_own_and_cost_the_same_for_many(client, account, call, django_assert_num_queries, headers):
    RecordingFactory()
    mine = [RecordingFactory(call=call) for _ in range(3)]
    answer = client.get(RECORDINGS, **headers)  # the key's last use is noted once
    assert [row["id"] for row in answer.json()["results"]] == [row.pk for row in reversed(mine)]
    with django_assert_num_queries(2):
        client.get(RECORDINGS, **headers)
    assert [row["id"] for row in client.get(f"{RECORDINGS}?call_id=none", **headers).json()["results"]] == []


# --- The inbox -------------------------------------------------------------------------------------------------------


def test_a_message_is_assigned_heard_and_called_back(client, account, headers):
    row, agent = VoicemailFactory(call__account=account), AgentFactory(account=account)
    change = {"assigned_to": agent.staff_id, "heard": True, "called_back": True}
    answer = client.patch(f"{VOICEMAIL}{row.pk}/", change, content_type="application/json", **headers)
    assert answer.status_code == 200, answer.json()
    row.refresh_from_db()
    assert row.assigned_to == agent and row.heard_at and row.called_back_at and row.heard_by is None
    told = AuditEntry.objects.filter(object_id=row.pk, action=AuditEntry.Action.UPDATE)
    assert {name for entry in told for name in entry.changes} == {
        "assigned_to",
        "heard_at",
        "heard_by",
        "called_back_at",
        "called_back_by",
    }
    client.patch(f"{VOICEMAIL}{row.pk}/", {"heard": False, "assigned_to": None}, content_type="application/json", **headers)
    row.refresh_from_db()
    assert row.assigned_to is None and row.heard_at is None and row.called_back_at


def test_a_message_is_assigned_to_nobody_of_another_account(client, account, headers):
    row = VoicemailFactory(call__account=account)
    answers = [
        client.patch(f"{VOICEMAIL}{row.pk}/", {"assigned_to": staff_id}, content_type="application/json", **headers)
        for staff_id in (AgentFactory().staff_id, "nobody")
    ]
    assert {answer.status_code for answer in answers} == {400} and answers[0].json() == answers[1].json()


# --- When the store is away ------------------------------------------------------------------------------------------


class Away:
    """A store that refuses, or takes what it is given and loses a byte."""

    def __init__(self, monkeypatch, *, loses=False):
        self.loses, self.monkeypatch = loses, monkeypatch
        for module in ("calls.recordings", "calls.incoming"):
            monkeypatch.setattr(f"{module}.default_storage", self)

    def __getattr__(self, name):
        return getattr(default_storage, name)

    def save(self, name, content, **options):
        if not self.loses:
            raise ConnectionError("the store is away")
        from django.core.files.base import ContentFile

        return default_storage.save(name, ContentFile(content.read()[:-1] + b"\0"))

    def is_back(self):
        for module in ("calls.recordings", "calls.incoming"):
            self.monkeypatch.setattr(f"{module}.default_storage", default_storage)


@pytest.mark.parametrize("loses", [False, True], ids=["refuses", "loses a byte"])
def test_while_the_store_is_away_files_wait_in_the_spool(send, call, monkeypatch, spool_of_this_test, loses):
    away = Away(monkeypatch, loses=loses)
    answer = send(query=[f"call_id={call.call_id}"])
    assert answer.status_code == 202 and answer.json()["state"] == "spooled"
    assert send(query=[f"call_id={call.call_id}"]).status_code == 200
    row = IncomingSound.objects.get()
    assert spool.path_of(row.spool_name).read_bytes() == WAV and not Recording.objects.exists()
    assert not default_storage.exists(row.key)
    assert incoming.store_due(at=timezone.now()) == 0  # not due yet
    later = timezone.now() + dt.timedelta(minutes=1)
    assert incoming.store_due(at=later) == 0  # still away, put off
    assert IncomingSound.objects.get().retry_at > later
    away.is_back()
    assert incoming.store_due(at=later + dt.timedelta(hours=1)) == 1
    recording = Recording.objects.get()
    assert stored(recording.key) == WAV and recording.state == AudioState.STORED
    assert not list(spool_of_this_test.glob("*")) and not IncomingSound.objects.exists()


def test_a_full_spool_takes_nothing_and_says_when_to_come_back(send, call, settings, monkeypatch, spool_of_this_test):
    settings.SPOOL_BYTES = 2 * len(WAV) - 1
    Away(monkeypatch)
    assert send(query=[f"call_id={call.call_id}"]).status_code == 202
    answer = send(OTHER_WAV, query=[f"call_id={call.call_id}"])
    assert answer.status_code == 503 and answer["Retry-After"] and IncomingSound.objects.count() == 1
    assert len(list(spool_of_this_test.glob("*"))) == 1


def test_a_full_disk_takes_nothing(send, call, monkeypatch):
    monkeypatch.setattr("calls.spool.disk_has_room", lambda: False)
    answer = send(query=[f"call_id={call.call_id}"])
    assert answer.status_code == 507 and answer["Retry-After"]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    "step", ["calls.incoming.write_file", "calls.incoming._attach", "calls.incoming.spool.delete", "calls.incoming._store"]
)
def test_killed_at_any_step_it_goes_on_where_it_was(send, call, monkeypatch, step, spool_of_this_test):
    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(step, die)
        with pytest.raises(Killed):
            send(query=[f"call_id={call.call_id}"])
    later = timezone.now() + incoming.LEASE + dt.timedelta(seconds=1)
    for _ in range(2):
        incoming.store_due(at=later)
        incoming.attach_due(at=later)
    row = Recording.objects.get()
    assert stored(row.key) == WAV and not IncomingSound.objects.exists() and not list(spool_of_this_test.glob("*"))
    folders = (
        [name for kind in ("recording",) for name in default_storage.listdir(kind)[0]]
        if not hasattr(default_storage, "bucket_name")
        else []
    )
    files = [name for folder in folders for name in default_storage.listdir(f"recording/{folder}")[1]]
    assert len(files) == 1 or not folders


def test_what_a_dead_process_left_in_the_spool_is_swept(spool_of_this_test):
    spool.usage()
    for name, age in (("a" * 32, 4000), ("b" * 32 + ".part", 4000), ("c" * 32, 10)):
        path = spool_of_this_test / name
        path.write_bytes(b"x")
        old = timezone.now().timestamp() - age
        os.utime(path, (old, old))
    incoming.forget_unclaimed(at=timezone.now())
    assert [path.name for path in spool_of_this_test.glob("*")] == ["c" * 32]


@pytest.mark.django_db(transaction=True)
def test_the_same_file_sent_by_several_at_once_is_one_recording(call, api_key):
    put_off = []

    def send_once():
        return Client().generic(
            "POST",
            RECORDINGS,
            WAV,
            content_type="audio/wav",
            QUERY_STRING=f"call_id={call.call_id}",
            HTTP_AUTHORIZATION=f"Api-Key {api_key}",
        )

    def go():
        while (answer := send_once()).status_code == 503:  # SQLite lets one write at a time; the sender comes again
            put_off.append(answer.status_code)
            time.sleep(0.05)
        return answer.status_code

    answers = at_once(*[go] * 4)
    later = timezone.now() + incoming.LEASE  # who was put off between two writes left the file to the next pass
    incoming.store_due(at=later)
    incoming.attach_due(at=later)
    assert Recording.objects.count() == 1 and not IncomingSound.objects.exists()
    # They find their own file known when they come again.
    assert sorted(answers) == [200, 200, 200, 201] or (put_off and answers == [200] * 4)


def test_readiness_says_when_files_wait_for_long(client, spool_of_this_test):
    spool.usage()
    path = spool_of_this_test / ("a" * 32)
    path.write_bytes(b"x")
    assert client.get("/readyz").json()["spool"] == "ok"
    old = timezone.now().timestamp() - spool.BEHIND_SECONDS - 1
    os.utime(path, (old, old))
    answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["spool"] == "failed"


# --- Large bodies, before Django reads them --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("scopes", "extra", "status"),
    [
        (None, {}, 401),
        (["events:write"], {}, 403),
        (["recordings:write"], {}, 200),
        (["recordings:write"], {"n_bytes": 300 * 1024**2}, 413),
        (["recordings:write"], {"chunked": True}, 411),
        (["recordings:write"], {"full": True}, 503),
        (["recordings:write"], {"path": "/api/v1/agents/"}, 413),
        (["recordings:write"], {"method": "PATCH"}, 413),
    ],
)
def test_a_large_body_is_let_in_only_from_who_may_send_files(account, settings, scopes, extra, status):
    from callcenter_site.body_limit import BodyLimit

    if extra.get("full"):
        settings.SPOOL_FILES = 0
    headers = [(b"content-length", str(extra.get("n_bytes", 50 * 1024**2)).encode())]
    if extra.get("chunked"):
        headers = [(b"transfer-encoding", b"chunked")]
    if scopes:
        headers.append((b"authorization", key_of(account, *scopes)["HTTP_AUTHORIZATION"].encode()))
    sent, read = [], []

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        read.append(1)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": extra.get("method", "POST"),
        "path": extra.get("path", RECORDINGS),
        "headers": headers,
    }
    async_to_sync(BodyLimit(application))(scope, receive, send)
    assert sent[0]["status"] == status and not read
    assert status != 503 or (b"retry-after", b"30") in sent[0]["headers"]


def test_a_call_that_is_erased_takes_its_files_on_the_way_along(send, call, monkeypatch, spool_of_this_test):
    from calls import erasure

    away = Away(monkeypatch)
    send(query=[f"call_id={call.call_id}"])
    away.is_back()
    Call.objects.filter(pk=call.pk).update(ended_on=dt.date(2026, 1, 1))
    (name,) = (path.name for path in spool_of_this_test.glob("*"))
    due = erasure.ended_calls(account=call.account, up_to=dt.date(2026, 1, 1))
    counts, files = erasure.erase_calls(account=call.account, calls=due, ids=[call.pk])
    assert f"spool:{name}" in files and not IncomingSound.objects.exists()
    assert (counts["calls"], counts["files"]) == (1, 1)
