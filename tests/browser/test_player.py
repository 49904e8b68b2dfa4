"""The player and the voicemail inbox in a real browser: mouse, keys, speed, and what a screen reader is told."""

import time

import pytest
from playwright.sync_api import expect

from calls.models import Voicemail
from calls.recordings import store_audio
from configuration.models import AuditEntry
from tests.browser.test_record_page import browser, call, page, tone  # noqa: F401  (fixtures)
from tests.calls.sounds import WAV, read
from tests.factories import CallFactory, RecordingFactory, VoicemailFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PLACE = "document.querySelector('audio').currentTime"


def stored(row, content, content_type):
    type(row).objects.filter(pk=row.pk).update(state="expected", key="", duration_seconds=None)
    row.refresh_from_db()
    store_audio(audio=row, content=content, content_type=content_type)
    return row


PIXELS = """(() => {
  const canvas = document.querySelector('.player canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return { data, width: canvas.width, height: canvas.height };
})()"""


def n_colours(page) -> int:  # noqa: F811
    return page.evaluate(
        f"""() => {{
          const {{ data }} = {PIXELS};
          const seen = new Set();
          for (let n = 0; n < data.length; n += 4) if (data[n + 3] === 255) seen.add(data.slice(n, n + 3).join());
          return seen.size;
        }}"""
    )


def drawn_heights(page) -> int:  # noqa: F811
    """How many different heights the waveform's bars have."""
    return page.evaluate(
        f"""() => {{
          const {{ data, width, height }} = {PIXELS};
          const seen = new Set();
          for (let x = 0; x < width; x += 3) {{
            let n = 0;
            for (let y = 0; y < height; y += 1) n += data[4 * (y * width + x) + 3] > 0;
            seen.add(n);
          }}
          return seen.size;
        }}"""
    )


def open_record(page, live_server, call):  # noqa: F811
    page.goto(f"{live_server.url}/admin/calls/call/{call.pk}/change/")
    page.wait_for_load_state("networkidle")


def test_a_recording_is_played_by_mouse_and_keys(page, live_server, call):  # noqa: F811
    call.recordings.all().delete()
    stored(RecordingFactory(call=call), tone(60), "audio/wav")
    open_record(page, live_server, call)
    track, button = page.locator(".player-track"), page.locator(".player-play")
    assert track.get_attribute("aria-valuetext") == "0:00 of 1:00" and n_colours(page) == 1
    box = track.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert track.get_attribute("aria-valuetext") == "0:30 of 1:00" and n_colours(page) == 2
    assert not AuditEntry.objects.filter(look="listened").exists()  # to point is not to listen
    button.click()
    page.wait_for_function(f"{PLACE} > 30.2")
    expect(button).to_have_attribute("aria-pressed", "true")
    track.focus()
    page.keyboard.press(" ")
    expect(button).to_have_attribute("aria-pressed", "false")
    before = page.evaluate(PLACE)
    for key, change in (("ArrowRight", 5), ("ArrowLeft", 0), ("Home", -before)):
        page.keyboard.press(key)
        page.wait_for_function(f"Math.abs({PLACE} - {before + change}) < 0.3")
    page.select_option(".player-speed", "2")
    assert page.evaluate("document.querySelector('audio').playbackRate") == 2
    page.emulate_media(color_scheme="dark")
    assert not page.complaints


@pytest.mark.parametrize(
    ("name", "content_type"), [("vbr.mp3", "audio/mpeg"), ("opus.ogg", "audio/ogg"), ("aac.m4a", "audio/mp4"), ("", "audio/wav")]
)
def test_every_format_has_a_waveform(page, live_server, call, name, content_type):  # noqa: F811
    """A WAV file's is there before it plays; another's once it does, also where the store is at another address."""
    call.recordings.all().delete()
    row = stored(RecordingFactory(call=call), read(name) if name else WAV, content_type)
    assert (row.peaks is None) == bool(name)
    open_record(page, live_server, call)
    assert (drawn_heights(page) <= 2) == bool(name)
    page.locator(".player-play").click()
    page.wait_for_function(f"{PLACE} > 0")
    deadline = time.monotonic() + 8
    while drawn_heights(page) <= 4 and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert drawn_heights(page) > 4
    assert AuditEntry.objects.filter(look="listened").count() == 1
    assert not page.complaints


def test_a_file_that_is_gone_is_said_in_words(page, live_server, call):  # noqa: F811
    call.recordings.all().delete()
    RecordingFactory(call=call, key="nowhere", n_bytes=10)
    open_record(page, live_server, call)
    page.locator(".player-play").click()
    page.wait_for_selector(".player-problem:not([hidden])")
    assert "cannot be played" in page.locator(".player-problem").inner_text()
    page.complaints.clear()  # the browser tells of the 404


def test_the_inbox_plays_a_message_which_is_heard_then(page, live_server, account):  # noqa: F811
    row = stored(VoicemailFactory(call=CallFactory(account=account)), tone(5), "audio/wav")
    page.goto(f"{live_server.url}/admin/calls/voicemail/?period=all")
    assert page.locator("text=Not heard yet").count() >= 1
    page.locator(".player-play").click()
    page.wait_for_function(f"{PLACE} > 0.2")
    assert Voicemail.objects.get(pk=row.pk).heard_at
    page.reload()
    assert page.locator("td >> text=Not heard yet").count() == 0
    page.locator("input[name=_selected_action]").check()
    page.select_option("select[name=action]", "mark_called_back")
    page.locator("button[name=index]").click()
    page.wait_for_load_state("networkidle")
    assert Voicemail.objects.get(pk=row.pk).called_back_at
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not page.complaints
