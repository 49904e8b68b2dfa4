"""Prompts with a sound file: what is taken, where it lies, who hears it, and that it goes with its prompt."""

import datetime as dt
import io
import math
import struct
import wave

import pytest
import time_machine
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from callcenter_site import stored_audio
from configuration import prompts, views
from configuration.admin import ivr_prompts
from configuration.models import IvrPrompt, Role
from tests.configuration.admin.conftest import client_of, errors_on, page
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db


def wav(seconds: float = 0.5) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(n / 4))) for n in range(int(8000 * seconds))))
    return file.getvalue()


MP3 = b"\xff\xfb\x90\x44" + bytes(413)
ID3 = b"ID3\x04\x00\x00\x00\x00\x02\x01" + bytes(500)
OGG = b"OggS\x00\x02" + bytes(22) + b"\x01\x1eOpusHead" + bytes(100)


def form(content: bytes | None, name: str = "hello.wav", **fields):
    data = {"code": "welcome", "kind": "audio", "text": "", "language": "", "is_active": "on", **fields}
    return data | ({"audio": SimpleUploadedFile(name, content)} if content is not None else {})


@pytest.fixture
def save(client, django_capture_on_commit_callbacks):
    def save(data, prompt: IvrPrompt | None = None):
        address = page(IvrPrompt, "change", prompt.pk) if prompt else page(IvrPrompt, "add")
        with django_capture_on_commit_callbacks(execute=True):
            return client.post(address, data)

    return save


@pytest.fixture
def prompt(save) -> IvrPrompt:
    assert save(form(wav())).status_code == 302
    return IvrPrompt.objects.get()


class StoreWith:
    """The store, with another way to save."""

    def __init__(self, save) -> None:
        self.save = save

    def __getattr__(self, name: str):
        return getattr(default_storage, name)


def files() -> set[str]:
    found: set[str] = set()

    def walk(folder: str) -> None:
        try:
            folders, names = default_storage.listdir(folder)
        except FileNotFoundError:
            return
        found.update(f"{folder}/{name}" for name in names)
        for one in folders:
            walk(f"{folder}/{one}")

    walk("ivr-prompts")
    return found


@pytest.mark.parametrize(
    ("content", "kind", "ending"),
    [(wav(), "audio/wav", "wav"), (MP3, "audio/mpeg", "mp3"), (ID3, "audio/mpeg", "mp3"), (OGG, "audio/ogg", "ogg")],
)
def test_a_sound_file_is_told_by_its_content_and_lies_under_a_name_of_ours(save, content, kind, ending):
    assert save(form(content, name="../../Anna's greeting.exe")).status_code == 302
    prompt = IvrPrompt.objects.get()
    assert (prompt.audio_type, prompt.audio_bytes) == (kind, len(content))
    assert prompt.audio_key.startswith("ivr-prompts/")
    assert prompt.audio_key.endswith(f".{ending}")
    assert "Anna" not in prompt.audio_key
    assert default_storage.open(prompt.audio_key).read() == content


@pytest.mark.parametrize(
    "content",
    [
        b"<html><script>alert(1)</script>",
        b"RIFF\x00\x00\x00\x00AVI " + bytes(100),
        b"OggS" + bytes(200) + b"theora",
        b"\xff\xd8\xff\xe0" + bytes(100),
        b"MZ" + bytes(500),
        wav()[:30],
    ],
)
def test_what_is_no_sound_is_refused_whatever_it_is_called(save, content):
    assert "not a WAV, MP3, OGG or M4A" in errors_on(save(form(content)))["audio"][0]
    assert not IvrPrompt.objects.exists()


def test_a_file_that_is_too_large_says_how_large_it_is(save, monkeypatch):
    monkeypatch.setattr(prompts, "MAX_BYTES", 2048)
    assert list(errors_on(save(form(wav())))) == ["audio"]
    assert files() == set()


def test_an_audio_prompt_needs_a_file_and_a_text_prompt_its_text(save):
    assert list(errors_on(save(form(None)))) == ["audio"]
    assert list(errors_on(save(form(None, kind="tts")))) == ["text"]
    assert save(form(None, kind="tts", text="Welcome")).status_code == 302


def test_a_new_file_takes_the_place_of_the_old_one(save, prompt):
    before = prompt.audio_key
    save(form(MP3), prompt)
    prompt.refresh_from_db()
    assert prompt.audio_type == "audio/mpeg"
    assert files() == {prompt.audio_key} != {before}


def test_saving_without_a_file_keeps_the_one_there_is(save, prompt):
    save(form(None, language="zh_cn"), prompt)
    before = prompt.audio_key
    prompt.refresh_from_db()
    assert (prompt.audio_key, prompt.language) == (before, "zh-CN")
    assert files() == {before}


def test_a_prompt_that_becomes_text_gives_up_its_file(save, prompt):
    save(form(None, kind="tts", text="Welcome"), prompt)
    prompt.refresh_from_db()
    assert (prompt.audio_key, prompt.audio_bytes) == ("", 0)
    assert files() == set()


def test_a_file_stored_while_the_page_is_saved_stays_the_prompts(save, prompt, monkeypatch):
    clean = ivr_prompts.IvrPromptForm.clean

    def clean_late(form):
        prompts.store_audio(prompt=IvrPrompt.objects.get(pk=prompt.pk), content=io.BytesIO(MP3), at=timezone.now())
        return clean(form)

    monkeypatch.setattr(ivr_prompts.IvrPromptForm, "clean", clean_late)
    save(form(None, language="en"), prompt)
    prompt.refresh_from_db()
    assert (prompt.language, prompt.audio_type) == ("en", "audio/mpeg")
    assert files() == {prompt.audio_key}


def test_a_deleted_prompt_takes_its_file_along(client, prompt):
    client.post(page(IvrPrompt, "delete", prompt.pk), {"post": "yes"})
    assert not IvrPrompt.objects.exists()
    assert files() == set()


def test_prompts_deleted_together_take_their_files_along(client, prompt):
    data = {"action": "delete_selected", "_selected_action": [prompt.pk], "post": "yes"}
    client.post(page(IvrPrompt, "changelist"), data)
    assert not IvrPrompt.objects.exists()
    assert files() == set()


def test_a_store_that_fails_leaves_a_row_that_says_so_and_can_be_mended(client, save, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no space")

    with monkeypatch.context() as broken:
        broken.setattr(prompts, "default_storage", StoreWith(fail))
        save(form(wav()))
    prompt = IvrPrompt.objects.get()
    assert (prompt.audio_bytes, prompt.audio_key, prompt.loose_key) == (0, "", "")
    assert "did not arrive" in client.get(page(IvrPrompt, "change", prompt.pk)).content.decode()
    assert client.get(page(IvrPrompt, "listen", prompt.pk)).status_code == 404
    save(form(wav()), prompt)
    prompt.refresh_from_db()
    assert prompt.audio_bytes == len(wav())
    assert files() == {prompt.audio_key}


def test_a_prompt_deleted_while_its_file_is_stored_leaves_no_file(prompt, monkeypatch):
    def save_late(key, content):
        saved = default_storage.save(key, content)
        IvrPrompt.objects.all().delete()
        return saved

    before = prompt.audio_key
    monkeypatch.setattr(prompts, "default_storage", StoreWith(save_late))
    with pytest.raises(Exception, match="changed or deleted"):
        prompts.store_audio(prompt=prompt, content=io.BytesIO(MP3), at=timezone.now())
    assert files() <= {before}  # the file of the row that somebody deleted past the page


class PowerCut(BaseException):
    """What no `except Exception` sees, as none sees a process that is killed."""


class TestCutOff:
    """Callers go on hearing what they heard, and no file stays that nothing names."""

    NOW = dt.datetime(2026, 3, 4, 3, 0, tzinfo=dt.UTC)
    LATER = NOW + prompts.CUT_OFF_AFTER + dt.timedelta(seconds=1)

    def put(self, prompt: IvrPrompt, content: bytes = MP3, at: dt.datetime = NOW) -> None:
        prompts.store_audio(prompt=prompt, content=io.BytesIO(content), at=at)

    def store_that(self, monkeypatch, **methods) -> None:
        class Broken:
            def __getattr__(self, name: str):
                return methods.get(name) or getattr(default_storage, name)

        monkeypatch.setattr(prompts, "default_storage", Broken())

    def assert_heard(self, prompt: IvrPrompt, content: bytes) -> None:
        prompt.refresh_from_db()
        assert default_storage.open(prompt.audio_key).read() == content
        assert prompt.audio_bytes == len(content)

    @pytest.fixture
    def cut_while_writing(self, prompt, monkeypatch) -> IvrPrompt:
        def save(key, content):
            default_storage.save(key, content)
            raise PowerCut

        with monkeypatch.context() as broken:
            self.store_that(broken, save=save)
            with pytest.raises(PowerCut):
                self.put(prompt)
        return prompt

    def test_a_store_that_fails_leaves_the_old_sound(self, prompt, monkeypatch):
        def save(key, content):
            raise ConnectionError

        self.store_that(monkeypatch, save=save)
        with pytest.raises(ConnectionError):
            self.put(prompt)
        self.assert_heard(prompt, wav())
        assert (files(), prompt.loose_key) == ({prompt.audio_key}, "")

    def test_what_was_cut_off_is_named_and_the_next_file_takes_it_away(self, cut_while_writing):
        prompt = cut_while_writing
        self.assert_heard(prompt, wav())
        assert files() == {prompt.audio_key, prompt.loose_key}
        self.put(prompt, OGG)
        self.assert_heard(prompt, OGG)
        assert files() == {prompt.audio_key}

    def test_the_sweep_takes_it_after_an_hour_and_not_while_somebody_may_be_at_it(self, cut_while_writing):
        prompt = cut_while_writing
        assert prompts.sweep_prompt_files(at=self.NOW + prompts.CUT_OFF_AFTER) == 0
        assert len(files()) == 2
        assert prompts.sweep_prompt_files(at=self.LATER) == 1
        assert prompts.sweep_prompt_files(at=self.LATER) == 0
        self.assert_heard(prompt, wav())
        assert files() == {prompt.audio_key}

    def test_who_was_overtaken_takes_their_own_file_away(self, prompt, monkeypatch):
        def save(key, content):
            monkeypatch.undo()
            self.put(IvrPrompt.objects.get(pk=prompt.pk), OGG)
            return default_storage.save(key, content)

        self.store_that(monkeypatch, save=save)
        with pytest.raises(ValidationError):
            self.put(prompt, MP3)
        self.assert_heard(prompt, OGG)
        assert files() == {prompt.audio_key}

    @pytest.mark.parametrize("fault", [PowerCut, ConnectionError])
    def test_an_old_file_that_was_not_deleted_goes_with_the_sweep(self, prompt, monkeypatch, fault):
        old = prompt.audio_key

        def delete(key):
            raise fault

        with monkeypatch.context() as broken:
            self.store_that(broken, delete=delete)
            if fault is PowerCut:
                with pytest.raises(PowerCut):
                    self.put(prompt)
            else:
                self.put(prompt)
        self.assert_heard(prompt, MP3)
        assert files() == {prompt.audio_key, old}
        call_command("sweep_prompt_files", "--dry-run")
        assert len(files()) == 2
        call_command("sweep_prompt_files")  # long after NOW
        assert files() == {prompt.audio_key}

    def test_a_prompt_that_goes_takes_what_was_cut_off_along(self, cut_while_writing, client):
        client.post(page(IvrPrompt, "delete", cut_while_writing.pk), {"post": "yes"})
        assert files() == set()

    def test_a_file_that_the_store_keeps_does_not_hold_the_sweep_up(self, account, cut_while_writing, monkeypatch):
        other = IvrPrompt.objects.create(account=account, code="other", text="x", loose_key="gone", loose_since=self.NOW)
        stuck = cut_while_writing.pk

        def delete(key):
            if key != "gone":
                raise ConnectionError
            default_storage.delete(key)

        self.store_that(monkeypatch, delete=delete)
        assert prompts.sweep_prompt_files(at=self.LATER) == 1
        assert list(IvrPrompt.objects.exclude(loose_key="").values_list("pk", flat=True)) == [stuck]
        assert other.pk != stuck


def heard(client, prompt) -> tuple[int, bytes]:
    answer = client.get(page(IvrPrompt, "listen", prompt.pk), follow=True)
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return answer.status_code, content


@pytest.mark.skipif(bool(settings.COS_BUCKET), reason="the store answers for itself; see the test of its link")
class TestListening:
    def test_who_may_see_prompts_hears_them(self, account, client, prompt):
        assert heard(client, prompt) == (200, wav())
        inspector = client_of(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
        assert heard(inspector, prompt) == (200, wav())

    def test_it_is_sent_as_a_file_of_its_type_and_nothing_else(self, client, prompt):
        answer = client.get(page(IvrPrompt, "listen", prompt.pk), follow=True)
        assert answer["Content-Type"] == "audio/wav"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Disposition"].startswith("attachment")
        assert "no-store" in answer["Cache-Control"]
        assert "welcome.wav" in answer["Content-Disposition"]

    def test_a_part_is_sent_when_a_part_is_asked_for(self, client, prompt):
        link = client.get(page(IvrPrompt, "listen", prompt.pk))["Location"]
        answer = client.get(link, headers={"Range": "bytes=4-7"})
        assert (answer.status_code, b"".join(answer.streaming_content)) == (206, wav()[4:8])
        assert client.get(link, headers={"Range": "bytes=99999999-"}).status_code == 416

    def test_the_link_is_for_one_person_and_a_minute(self, account, client, prompt):
        link = client.get(page(IvrPrompt, "listen", prompt.pk))["Location"]
        colleague = client_of(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
        assert colleague.get(link).status_code == 403
        with time_machine.travel(timezone.now() + dt.timedelta(seconds=stored_audio.LINK_SECONDS + 1)):
            assert client.get(link).status_code == 403

    def test_another_account_finds_nothing(self, client, prompt):
        stranger = client_of(AgentFactory(account=AccountFactory(), kind=Role.Kind.ADMINISTRATOR))
        missing = reverse("admin:configuration_ivrprompt_listen", args=[987654])
        assert stranger.get(page(IvrPrompt, "listen", prompt.pk)).status_code == stranger.get(missing).status_code == 404
        link = client.get(page(IvrPrompt, "listen", prompt.pk))["Location"]
        assert stranger.get(link).status_code in (403, 404)


def test_an_s3_store_gets_a_link_of_its_own_for_a_minute(client, prompt, monkeypatch):
    asked = {}

    class Store:
        def url(self, name, **options):
            asked.update(options, name=name)
            return "https://store.example.com/x?signature=1"

    for module in (stored_audio, views):
        monkeypatch.setattr(module, "default_storage", Store())
    answer = client.get(page(IvrPrompt, "listen", prompt.pk))
    assert answer["Location"].startswith("https://store.example.com/")
    assert (asked["expire"], asked["name"]) == (60, prompt.audio_key)
    assert asked["parameters"]["ResponseContentDisposition"].startswith("attachment")
    assert asked["parameters"]["ResponseContentType"] == "audio/wav"
