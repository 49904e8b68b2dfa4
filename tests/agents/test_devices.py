"""The device check: what is taken from a browser, how it is judged, and what is kept."""

import datetime as dt
import math

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from agents.devices import (
    ADVICE,
    CheckedTooSoon,
    advice_of,
    clean_findings,
    how_to_allow,
    judge,
    name_browser,
    name_system,
    record_check,
)
from agents.models import Agent, DeviceCheck
from tests.factories import AgentFactory

GOOD = {
    "microphone": "ok",
    "speaker": "ok",
    "camera": "ok",
    "browser": "Chrome 141",
    "operating_system": "Windows 11",
    "network_type": "wifi",
    "round_trip_ms": 35,
    "jitter_ms": 4,
    "downlink_mbps": 48.5,
    "is_secure": True,
    "has_webrtc": True,
}
NOW = dt.datetime(2026, 3, 4, 3, 0, tzinfo=dt.UTC)


# --- Judging ---------------------------------------------------------------------------------------------------------


def test_everything_in_order_is_good_and_needs_no_advice():
    assert judge(GOOD) == ("good", [])


@pytest.mark.parametrize("state", ["denied", "missing", "failed", "skipped"])
def test_a_phone_call_needs_no_camera(state):
    result, codes = judge(GOOD | {"camera": state})
    assert result == "good"
    assert codes == ([] if state == "skipped" else [f"camera_{state}"])


@pytest.mark.parametrize(
    ("part", "state"),
    [("microphone", state) for state in ("denied", "missing", "failed", "silent")]
    + [("speaker", state) for state in ("missing", "failed", "silent")],
)
def test_without_a_microphone_or_sound_no_call_can_be_taken(part, state):
    assert judge(GOOD | {part: state}) == ("bad", [f"{part}_{state}"])


@pytest.mark.parametrize("part", ["microphone", "speaker"])
def test_what_was_not_checked_is_never_called_good(part):
    assert judge(GOOD | {part: "skipped"}) == ("fair", [f"{part}_skipped"])
    assert judge({name: value for name, value in GOOD.items() if name != part}) == ("fair", [f"{part}_skipped"])


@pytest.mark.parametrize(
    ("name", "value", "result", "codes"),
    [
        ("round_trip_ms", 300, "good", []),
        ("round_trip_ms", 301, "fair", ["round_trip_long"]),
        ("round_trip_ms", 800, "fair", ["round_trip_long"]),
        ("round_trip_ms", 801, "bad", ["round_trip_too_long"]),
        ("round_trip_ms", None, "fair", ["network_unmeasured"]),
        ("jitter_ms", 30, "good", []),
        ("jitter_ms", 31, "fair", ["jitter_high"]),
        ("jitter_ms", 61, "bad", ["jitter_too_high"]),
        ("downlink_mbps", 0.5, "good", []),
        ("downlink_mbps", 0.49, "fair", ["downlink_low"]),
        ("downlink_mbps", 0.1, "fair", ["downlink_low"]),
        ("downlink_mbps", 0.09, "bad", ["downlink_too_low"]),
        ("downlink_mbps", 0, "bad", ["downlink_too_low"]),
        ("network_type", "2g", "fair", ["network_slow"]),
        ("has_webrtc", False, "bad", ["browser_without_calls"]),
    ],
)
def test_the_limits_of_the_network_are_exact(name, value, result, codes):
    assert judge(GOOD | {name: value}) == (result, codes)


def test_without_https_the_cause_is_named_and_not_its_effect():
    result, codes = judge(GOOD | {"is_secure": False, "microphone": "failed", "camera": "missing"})
    assert result == "bad"
    assert codes == ["insecure_context"]


def test_the_gravest_advice_comes_first():
    _result, codes = judge(GOOD | {"camera": "denied", "round_trip_ms": 400, "microphone": "silent"})
    assert codes == ["microphone_silent", "round_trip_long", "camera_denied"]


def test_every_code_that_can_be_given_has_its_words():
    for part in ("microphone", "speaker", "camera"):
        for state in DeviceCheck.Part.values:
            for code in judge(GOOD | {part: state})[1]:
                assert str(ADVICE[code])


# --- What is taken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("microphone", "splendid"),
        ("microphone", None),
        ("microphone", ["ok"]),
        ("browser", "x" * 81),
        ("browser", 7),
        ("browser", "Chrome\r\nX-Evil: 1"),
        ("network_type", "w" * 21),
        ("round_trip_ms", -1),
        ("round_trip_ms", 60_001),
        ("round_trip_ms", "35"),
        ("round_trip_ms", True),
        ("round_trip_ms", math.nan),
        ("downlink_mbps", math.inf),
        ("downlink_mbps", 10**400),
        ("is_secure", "yes"),
        ("is_secure", 1),
        ("result", "good"),
        ("account", 1),
    ],
)
def test_a_wrong_finding_is_refused_by_its_name(name, value):
    with pytest.raises(ValidationError) as refused:
        clean_findings(GOOD | {name: value})
    assert list(refused.value.message_dict) == [name]


def test_every_wrong_field_is_named_at_once():
    with pytest.raises(ValidationError) as refused:
        clean_findings({"microphone": "no", "round_trip_ms": "fast", "shoe_size": 43})
    assert set(refused.value.message_dict) == {"microphone", "round_trip_ms", "shoe_size"}


@pytest.mark.parametrize("body", [None, [], "ok", 3])
def test_findings_are_an_object(body):
    with pytest.raises(ValidationError):
        clean_findings(body)


# --- What is kept ----------------------------------------------------------------------------------------------------


def test_a_check_is_kept_with_its_verdict_and_the_address(db):
    agent = AgentFactory()
    record_check(agent=agent, findings=GOOD | {"microphone": "silent"}, address="203.0.113.9", at=NOW)
    check = DeviceCheck.objects.get()
    assert (check.agent, check.account, check.checked_at) == (agent, agent.account, NOW)
    assert (check.result, check.advice) == ("bad", ["microphone_silent"])
    assert (check.microphone, check.speaker, check.camera) == ("silent", "ok", "ok")
    assert (check.browser, check.operating_system, check.network_type) == ("Chrome 141", "Windows 11", "wifi")
    assert (check.round_trip_ms, check.downlink_mbps, check.address) == ("35", "48.50", "203.0.113.9")


def test_nothing_personal_of_a_check_stands_in_the_database_in_clear(db):
    from django.db import connection

    record_check(agent=AgentFactory(), findings=GOOD, address="203.0.113.9", at=NOW)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM agents_devicecheck")
        stored = repr(cursor.fetchall())
    for value in ("203.0.113.9", "Chrome 141", "Windows 11", "48.50"):
        assert value not in stored


def test_what_was_left_out_counts_as_not_checked(db):
    check = record_check(agent=AgentFactory(), findings={}, address="", at=NOW)
    assert (check.result, check.microphone, check.round_trip_ms) == ("fair", "skipped", "")
    assert check.advice == ["microphone_skipped", "speaker_skipped", "network_unmeasured"]


def test_nothing_is_kept_of_wrong_findings(db):
    with pytest.raises(ValidationError):
        record_check(agent=AgentFactory(), findings=GOOD | {"camera": "?"}, address="", at=NOW)
    assert not DeviceCheck.objects.exists()


def test_a_second_result_within_five_seconds_is_refused_and_one_after_them_is_kept(db):
    agent, other = AgentFactory(), AgentFactory()
    record_check(agent=agent, findings=GOOD, address="", at=NOW)
    with pytest.raises(CheckedTooSoon):
        record_check(agent=agent, findings=GOOD, address="", at=NOW + dt.timedelta(seconds=4.9))
    record_check(agent=other, findings=GOOD, address="", at=NOW + dt.timedelta(seconds=1))
    record_check(agent=agent, findings=GOOD, address="", at=NOW + dt.timedelta(seconds=5))
    assert DeviceCheck.objects.filter(agent=agent).count() == 2


def test_an_operator_takes_no_calls(db):
    operator = Agent.objects.create_superuser("op@example.com", "x", name="Op")
    with pytest.raises(ValidationError):
        record_check(agent=operator, findings=GOOD, address="", at=NOW)


def test_advice_is_read_in_the_readers_language_and_old_codes_are_left_out():
    check = DeviceCheck(advice=["microphone_silent", "flux_capacitor_empty"], checked_at=timezone.now())
    assert advice_of(check) == [str(ADVICE["microphone_silent"])]
    with translation.override("en"):
        assert "mute switch" in advice_of(check)[0]


# --- Which browser ---------------------------------------------------------------------------------------------------

MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("line", "browser", "system"),
    [
        (f"{WINDOWS} {WEBKIT} Chrome/141.0.0.0 Safari/537.36", "Chrome 141", "Windows 10 / 11"),
        (f"{WINDOWS} {WEBKIT} Chrome/141.0.0.0 Safari/537.36 Edg/141.0.3537.57", "Edge 141", "Windows 10 / 11"),
        (f"{WINDOWS} {WEBKIT} Chrome/127.0.0.0 Safari/537.36 OPR/113.0.0.0", "Opera 113", "Windows 10 / 11"),
        ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer 11", "Windows 7"),
        (f"{WINDOWS} {WEBKIT} Chrome/94.0.4606.71 Safari/537.36 SE 2.X MetaSr 1.0", "Sogou Browser 1", "Windows 10 / 11"),
        (f"{WINDOWS} {WEBKIT} Chrome/116.0.0.0 Safari/537.36 QQBrowser/12.0.5492.400", "QQ Browser 12", "Windows 10 / 11"),
        (f"{WINDOWS} {WEBKIT} Chrome/86.0.4240.198 Safari/537.36 QIHU 360SE", "360 Browser", "Windows 10 / 11"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "Firefox 128",
            "Windows 10 / 11",
        ),
        (f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", "Safari 17", "macOS"),
        (f"{MAC} {WEBKIT} Chrome/141.0.0.0 Safari/537.36", "Chrome 141", "macOS"),
        (f"{PHONE} Version/17.5 Mobile/15E148 Safari/604.1", "Safari 17", "iOS 17"),
        (f"{PHONE} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1", "Chrome 126", "iOS 17"),
        (f"{PHONE} FxiOS/127.0 Mobile/15E148 Safari/605.1.15", "Firefox 127", "iOS 17"),
        (f"{PHONE} Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI", "WeChat 8", "iOS 17"),
        ("Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) AppleWebKit/605.1.15 Version/16.6 Safari/604.1", "Safari 16", "iOS 16"),
        (
            f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {WEBKIT} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
            "Samsung Internet 25",
            "Android 14",
        ),
        (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/141.0.0.0 Mobile Safari/537.36", "Chrome 141", "Android 10"),
        ("Mozilla/5.0 (Android; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0", "Firefox 128", "Android"),
        (
            f"Mozilla/5.0 (Linux; Android 12; HarmonyOS; NOH-AN00) {WEBKIT} Chrome/114.0.5735.196 HuaweiBrowser/15.0.4.312",
            "Huawei Browser 15",
            "HarmonyOS",
        ),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/126.0.0.0 Safari/537.36", "Chrome 126", "Chrome OS 14541"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/126.0.0.0 Safari/537.36", "Chrome 126", "Linux"),
        ("curl/8.5.0", "", ""),
        ("", "", ""),
    ],
)
def test_browser_and_system_are_read_from_the_browsers_own_line(line, browser, system):
    assert (name_browser(line), name_system(line)) == (browser, system)


def test_a_line_made_to_be_slow_is_read_at_once():
    import time

    start = time.perf_counter()
    name_browser("Trident/" * 20_000)
    name_system("iPhone" * 20_000)
    assert time.perf_counter() - start < 0.2


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (f"{WINDOWS} {WEBKIT} Chrome/141.0.0.0 Safari/537.36", "left of the address"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "crossed-out"),
        (f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", "Settings for This Website"),
        (f"{PHONE} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1", "Website Settings"),
        (f"{PHONE} Mobile/15E148 MicroMessenger/8.0.49", "phone's own browser"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/141.0.0.0 Mobile Safari/537.36", "Permissions"),
        ("curl/8.5.0", "site's settings"),
    ],
)
def test_each_browser_is_told_its_own_way_to_give_permission_back(line, word):
    assert word in how_to_allow(line)
