"""The record page in a real browser: drawn to scale, usable by keyboard, sound that plays, nothing the policy forbids."""

import datetime as dt
import io
import math
import struct
import wave
from collections.abc import Iterator

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page

from configuration.models import AuditEntry, Role
from tests.browser.conftest import PLAYS_UNASKED, chromium
from tests.factories import (
    PASSWORD,
    AgentFactory,
    CallFactory,
    CallLegFactory,
    QueueEntryFactory,
    RecordingFactory,
    SkillGroupFactory,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(PLAYS_UNASKED) as running:
        yield running


def tone(seconds: int, *, is_silent: bool = False) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        n_frames = 8000 * seconds
        sound.writeframes(
            bytes(2 * n_frames)
            if is_silent
            else b"".join(struct.pack("<h", int(9000 * math.sin(n / 4))) for n in range(n_frames))
        )
    return file.getvalue()


@pytest.fixture
def call(account):
    start = timezone.now() - dt.timedelta(minutes=10)

    def at(seconds: int) -> dt.datetime:
        return start + dt.timedelta(seconds=seconds)

    call = CallFactory(account=account, started_at=start, ended_at=at(200))
    QueueEntryFactory(call=call, skill_group=SkillGroupFactory(account=account, name="Sales"), entered_at=start, left_at=at(50))
    CallLegFactory(
        call=call,
        agent=AgentFactory(account=account, name="Li Na"),
        offered_at=at(30),
        answered_at=at(50),
        ended_at=at(200),
        holds=[[at(100).isoformat(), at(120).isoformat()]],
        hold_seconds=20,
    )
    RecordingFactory(call=call, content=tone(12))
    return call


@pytest.fixture
def page(browser, live_server, account) -> Iterator[Page]:
    """Signed in; fails the test if the page asks for what the security policy forbids, or a script breaks."""
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{live_server.url}/admin/login/")
    page.fill("input[name=username]", person.email)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_load_state("networkidle")
    complaints.clear()  # of the page one lands on
    page.complaints = complaints
    yield page
    page.close()
    assert complaints == []


def open_record(page, live_server, call) -> None:
    page.goto(live_server.url + reverse("admin:calls_call_change", args=[call.pk]))


def test_bands_have_the_width_of_their_time(page, live_server, call):
    open_record(page, live_server, call)
    track = page.locator(".timeline-track").last.bounding_box()
    talks = [band.bounding_box() for band in page.locator(".band.is-talk").all()]
    hold = page.locator(".band.is-hold").bounding_box()
    assert hold["width"] / track["width"] == pytest.approx(20 / 200, abs=0.01)
    assert talks[0]["width"] / track["width"] == pytest.approx(50 / 200, abs=0.01)
    assert (hold["x"] - track["x"]) / track["width"] == pytest.approx(100 / 200, abs=0.01)


def test_the_timeline_is_walked_by_keyboard_and_says_exact_times(page, live_server, call):
    open_record(page, live_server, call)
    band = page.locator(".band.is-hold")
    assert band.locator(".tip").evaluate("tip => getComputedStyle(tip).opacity") == "0"
    page.locator(".band.is-talk").first.focus()
    page.keyboard.press("Tab")
    assert band.evaluate("band => band === document.activeElement")
    assert band.locator(".tip").evaluate("tip => getComputedStyle(tip).opacity") == "1"
    assert "20 s" in band.locator(".tip").inner_text()
    page.keyboard.press("Enter")
    assert page.locator(".story li:target").inner_text().endswith("put the call on hold")


def test_a_recording_plays_and_can_be_jumped_about_in(page, live_server, call):
    open_record(page, live_server, call)
    # Nothing is fetched before somebody presses play.
    assert not AuditEntry.objects.filter(look="listened").exists()
    page.evaluate("document.querySelector('audio').play()")
    page.wait_for_function("document.querySelector('audio').currentTime > 0.2")
    page.evaluate("document.querySelector('audio').currentTime = 9")
    page.wait_for_function("document.querySelector('audio').currentTime > 9.2")
    assert page.evaluate("Math.round(document.querySelector('audio').duration)") == 12
    assert AuditEntry.objects.filter(look="listened").count() == 1


def test_the_page_fits_a_phone(page, live_server, call):
    page.set_viewport_size({"width": 390, "height": 800})
    open_record(page, live_server, call)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_jumping_far_after_the_link_has_died_goes_on_with_a_new_one(page, live_server, call, monkeypatch):
    """Forty minutes of sound: the browser does not hold the whole file and has to ask again."""
    monkeypatch.setattr("calls.views.LINK_SECONDS", 2)
    call.recordings.all().delete()
    RecordingFactory(call=call, content=tone(2400, is_silent=True), duration_seconds=2400)
    open_record(page, live_server, call)
    page.evaluate("document.querySelector('audio').play()")
    page.wait_for_function("document.querySelector('audio').currentTime > 0.2")
    page.wait_for_timeout(3000)
    page.evaluate("document.querySelector('audio').currentTime = 2300")
    page.wait_for_function("document.querySelector('audio').currentTime > 2300.2")
    page.complaints[:] = [text for text in page.complaints if "403" not in text]  # the dead link
