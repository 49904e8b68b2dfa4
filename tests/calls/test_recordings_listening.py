"""Listening: who may, what is noted, and that a link dies."""

import asyncio
import datetime as dt
import io
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pytest
import time_machine
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.utils import timezone

from callcenter_site import stored_audio
from calls import views
from calls.models import AudioState, Voicemail
from calls.waveform import MOST_DRAWN_BYTES
from configuration.models import AuditEntry, Role
from tests.factories import AccountFactory, AgentFactory, CallFactory, CallLegFactory, RecordingFactory, VoicemailFactory

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 8


@pytest.fixture(autouse=True)
def stored_as_files(request, settings, tmp_path):
    """Also where the suite runs beside an S3 store; one test below uses that."""
    if "object_store" not in request.fixturenames:
        files = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "files"}}
        settings.STORAGES = settings.STORAGES | {"default": files}


@pytest.fixture
def object_store(settings):
    if not settings.COS_BUCKET:
        pytest.skip("no S3 store is running beside the tests")


@pytest.fixture
def inspector(account, client):
    person = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
    client.force_login(person)
    return person


@pytest.fixture
def recording(account):
    return RecordingFactory(call=CallFactory(account=account), content=CONTENT)


def listenings():
    return AuditEntry.objects.filter(action=AuditEntry.Action.ACCESS, look="listened")


def listen(client, audio, kind="recording"):
    return client.get(f"/admin/calls/listen/{kind}/{audio.pk}/")


def played(client, audio, **headers):
    return client.get(listen(client, audio)["Location"], headers=headers)


def test_a_recording_is_played_through_a_guarded_link(client, inspector, recording):
    answer = played(client, recording)
    assert answer.status_code == 200 and answer.getvalue() == CONTENT
    assert answer["Content-Type"] == "audio/wav" and answer["Content-Length"] == str(len(CONTENT))
    assert answer["Content-Disposition"] == f'attachment; filename="recording-{recording.pk}.wav"'
    assert answer["X-Content-Type-Options"] == "nosniff" and "no-store" in answer["Cache-Control"]


def test_one_listening_leaves_one_row_of_ids_in_the_audit_log(client, inspector, recording):
    for _ in range(3):  # a player that jumps about asks again
        listen(client, recording)
    entry = listenings().get()
    assert (entry.action, entry.actor_id, entry.object_id) == (AuditEntry.Action.ACCESS, inspector.pk, recording.pk)
    assert (entry.account_id, entry.additional_data) == (recording.account_id, {"call": recording.call_id})
    assert entry.object_repr == f"calls.Recording#{recording.pk}"
    assert (entry.changes, entry.serialized_data, entry.api_key_id) == (None, None, None)


def test_listening_again_later_is_noted_again(client, inspector, recording):
    listen(client, recording)
    cache.clear()  # Redis keeps its own time, so the minute is not waited for
    listen(client, recording)
    assert listenings().count() == 2


def test_without_redis_listening_goes_on_and_each_time_is_noted(client, inspector, recording, settings):
    settings.DJANGO_REDIS_IGNORE_EXCEPTIONS = True
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",  # nobody listens there
            "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 1},
        }
    }
    for _ in range(2):
        assert listen(client, recording).status_code == 302
    assert list(listenings().values_list("actor_id", "object_id")) == [(inspector.pk, recording.pk)] * 2


@pytest.mark.parametrize(("age", "status"), [(59, 200), (61, 403)])
def test_a_link_lives_for_a_minute(client, inspector, recording, age, status):
    with time_machine.travel(timezone.now(), tick=False) as clock:
        link = listen(client, recording)["Location"]
        clock.shift(age)
        assert client.get(link).status_code == status


def test_a_link_is_good_for_one_person_only(client, inspector, recording):
    link = listen(client, recording)["Location"]
    client.force_login(AgentFactory(account=recording.account, kind=Role.Kind.INSPECTOR))
    assert client.get(link).status_code == 403
    client.logout()
    assert client.get(link).status_code == 302 and "/login/" in client.get(link)["Location"]


def test_a_tampered_link_opens_nothing(client, inspector, recording):
    link = listen(client, recording)["Location"]
    assert client.get(link[:-2] + ("aa" if not link.endswith("aa") else "bb")).status_code == 403
    assert client.get("/admin/calls/audio/nonsense").status_code == 403


def test_a_link_dies_with_the_permission(client, inspector, recording):
    link = listen(client, recording)["Location"]
    inspector.role.permissions = ["agents.enter_admin", "calls.view_call"]
    inspector.role.save()
    assert client.get(link).status_code == 403


def test_another_accounts_recording_answers_like_one_that_never_was(client, inspector):
    foreign = RecordingFactory()
    answers = [listen(client, foreign), client.get("/admin/calls/listen/recording/99999999/")]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].content == answers[1].content
    assert not listenings().exists()


def test_who_may_not_listen_is_refused_for_every_id_alike(client, recording):
    client.force_login(AgentFactory(account=recording.account, kind=Role.Kind.AGENT))
    assert listen(client, recording).status_code == 403
    assert client.get("/admin/calls/listen/recording/99999999/").status_code == 403
    assert not listenings().exists()


def test_own_records_only_means_own_recordings_only(client, account, recording):
    role = Role.objects.create(
        account=account,
        name="Coach",
        data_scope=Role.DataScope.OWN,
        permissions=["agents.enter_admin", "calls.listen_recording", "calls.view_recording"],
    )
    person = AgentFactory(account=account, role=role)
    client.force_login(person)
    assert listen(client, recording).status_code == 404
    CallLegFactory(call=recording.call, agent=person)
    assert listen(client, recording).status_code == 302


def test_a_file_that_is_only_announced_is_not_played(client, inspector, account):
    assert listen(client, RecordingFactory(call__account=account, state=AudioState.EXPECTED, key="")).status_code == 404


def test_a_file_that_is_gone_is_missing_and_no_error(client, inspector, recording):
    default_storage.delete(recording.key)
    assert played(client, recording).status_code == 404


def test_hearing_a_voicemail_says_who_heard_it_first_and_when(client, inspector, account):
    voicemail = VoicemailFactory(call__account=account)
    listen(client, voicemail, "voicemail")
    heard = Voicemail.objects.get()
    assert heard.heard_by == inspector and heard.heard_at is not None
    client.force_login(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
    listen(client, voicemail, "voicemail")
    assert Voicemail.objects.get().heard_at == heard.heard_at and Voicemail.objects.get().heard_by == inspector
    assert listenings().count() == 2


def test_only_looking_hears_nothing(client, inspector, account):
    voicemail = VoicemailFactory(call__account=account)
    client.head(f"/admin/calls/listen/voicemail/{voicemail.pk}/")
    assert Voicemail.objects.get().heard_at is None and not listenings().exists()


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-", 206, 0, 2047),
        ("bytes=100-199", 206, 100, 199),
        ("bytes=2047-", 206, 2047, 2047),
        ("bytes=2000-9999", 206, 2000, 2047),
        ("bytes=-10", 206, 2038, 2047),
        ("bytes=-99999", 206, 0, 2047),
        ("bytes=5-1", 200, 0, 2047),  # not a range at all
        ("bytes=0-1,5-6", 200, 0, 2047),  # several parts: the whole file is a right answer
        ("chapters=1-2", 200, 0, 2047),
        ("bytes=" + "9" * 5000 + "-", 200, 0, 2047),
    ],
)
def test_parts_of_a_file_are_sent_as_asked(client, inspector, recording, asked, status, start, end):
    answer = played(client, recording, range=asked)
    assert answer.status_code == status and answer.getvalue() == CONTENT[start : end + 1]
    assert answer["Content-Length"] == str(end - start + 1) and answer["Accept-Ranges"] == "bytes"
    assert answer.get("Content-Range") == (f"bytes {start}-{end}/2048" if status == 206 else None)


@pytest.mark.parametrize("asked", ["bytes=2048-", "bytes=-0"])
def test_a_part_beyond_the_end_is_416(client, inspector, recording, asked):
    answer = played(client, recording, range=asked)
    assert answer.status_code == 416 and answer["Content-Range"] == "bytes */2048"


def test_an_empty_file_is_sent_empty(client, inspector, account):
    answer = played(client, RecordingFactory(call__account=account, content=b""))
    assert answer.status_code == 200 and answer.getvalue() == b""


def test_a_type_nobody_plays_is_sent_as_bytes(client, inspector, account):
    """What an upload once claimed must not make a page of ours out of a file."""
    answer = played(client, RecordingFactory(call__account=account, content_type="text/html", content=b"<script>"))
    assert answer["Content-Type"] == "application/octet-stream"


def test_the_asynchronous_server_sends_the_same_bytes_in_pieces():
    async def collected() -> list[bytes]:
        return [chunk async for chunk in stored_audio._async_chunks(io.BytesIO(b"x" * 200_000), 1000, 150_000)]

    chunks = asyncio.run(collected())
    assert sum(map(len, chunks)) == 150_000 and max(map(len, chunks)) <= stored_audio.CHUNK


def test_an_s3_store_gets_a_link_of_its_own_for_a_minute(client, inspector, recording, monkeypatch):
    asked = {}

    class Store:
        def url(self, name, **options):
            asked.update(options, name=name)
            return "https://store.example.com/x?signature=1"

    for module in (views, stored_audio):
        monkeypatch.setattr(module, "default_storage", Store())
    answer = listen(client, recording)
    assert urlsplit(answer["Location"]).netloc == "store.example.com" and "no-store" in answer["Cache-Control"]
    assert asked["expire"] == 60 and asked["name"] == recording.key
    assert asked["parameters"]["ResponseContentDisposition"].startswith("attachment")
    assert listenings().count() == 1


def waveform(client, audio, kind="recording"):
    return client.get(f"/admin/calls/waveform/{kind}/{audio.pk}/")


def test_the_players_script_reads_a_file_it_must_draw_as_one_listening(client, inspector, recording):
    listen(client, recording)
    answer = waveform(client, recording)
    assert b"".join(answer.streaming_content) == CONTENT
    assert (answer["Cache-Control"], answer["X-Content-Type-Options"]) == ("private, no-store", "nosniff")
    assert listenings().count() == 1
    cache.clear()
    waveform(client, recording)
    assert listenings().count() == 2, "whoever reads it without playing it has listened too"


@pytest.mark.parametrize(
    "change", [{"peaks": b"\x01"}, {"n_bytes": MOST_DRAWN_BYTES + 1}, {"duration_seconds": 3601.0}, {"key": "gone"}]
)
def test_a_file_that_no_browser_draws_is_not_read_for_it(client, inspector, recording, change):
    type(recording).objects.filter(pk=recording.pk).update(**change)
    assert waveform(client, recording).status_code == 404


def test_reading_a_message_for_its_waveform_is_hearing_it(client, inspector, account):
    voicemail = VoicemailFactory(call=CallFactory(account=account), content=CONTENT)
    assert waveform(client, voicemail, "voicemail").status_code == 200
    assert Voicemail.objects.get().heard_by == inspector


def test_who_may_not_listen_reads_no_sound_for_a_waveform(client, recording):
    client.force_login(AgentFactory(account=recording.account, kind=Role.Kind.AGENT))
    assert waveform(client, recording).status_code == 403
    assert not listenings().exists()


def test_another_accounts_sound_is_not_read_for_a_waveform(client, recording):
    client.force_login(AgentFactory(account=AccountFactory(), kind=Role.Kind.INSPECTOR))
    answers = [waveform(client, recording), client.get("/admin/calls/waveform/recording/99999999/")]
    assert [one.status_code for one in answers] == [404, 404] and answers[0].content == answers[1].content
    assert not listenings().exists()


def test_the_asynchronous_server_passes_pieces_on_as_the_store_gives_them():
    async def collected() -> list[bytes]:
        return [piece async for piece in stored_audio._async_pieces(iter([b"a", b"b", b"c"]))]

    assert asyncio.run(collected()) == [b"a", b"b", b"c"]


def test_a_real_s3_store_is_read_for_the_waveform(object_store, client, inspector, recording):
    assert b"".join(waveform(client, recording).streaming_content) == CONTENT


def test_the_clock_of_the_link_is_at_most_a_minute():
    assert dt.timedelta(seconds=views.LINK_SECONDS) <= dt.timedelta(minutes=1)


def test_a_real_s3_store_plays_parts_and_refuses_a_changed_link(object_store, client, inspector, recording):
    link = listen(client, recording)["Location"]
    asked = Request(link, headers={"Range": "bytes=100-199"})
    with urlopen(asked) as answer:
        assert answer.status == 206 and answer.read() == CONTENT[100:200]
        assert answer.headers["Content-Disposition"] == f'attachment; filename="recording-{recording.pk}.wav"'
        assert answer.headers["Content-Type"] == "audio/wav"
    with pytest.raises(HTTPError):
        urlopen(link[:-2] + "zz")
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["60"]
