"""What an agent's browser, sound, picture and network are good for: judged by one rule, for the desk and the admin alike.

The desk measures and reports; nothing it says is taken without a look at its shape and bounds. Advice is kept as codes,
so that everybody reads it in their own language.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agents.models import Agent, DeviceCheck

Part, Result = DeviceCheck.Part, DeviceCheck.Result

# ITU-T G.114: up to 150 ms from mouth to ear hardly anybody notices, beyond 400 ms people talk into each other. What is
# measured here goes both ways, and to the portal: the platform's own delay comes on top.
ROUND_TRIP_GOOD_MS = 2 * 150
ROUND_TRIP_USABLE_MS = 2 * 400
# A jitter buffer evens out about this much (Cisco's guideline for voice: 30 ms, twice that is heard).
JITTER_GOOD_MS = 30
JITTER_USABLE_MS = 60
# One call in G.711, which every WebRTC browser must speak (RFC 7874), takes 87 kbit/s with its RTP, UDP and IP headers;
# the desk's own pages want some room beside it.
DOWNLINK_USABLE_MBPS = 0.1
DOWNLINK_GOOD_MBPS = 0.5

CHECK_EVERY_SECONDS = 5
"""One agent may store a result this often."""

ADVICE: dict[str, Promise] = {
    "insecure_context": gettext_lazy(
        "The portal was opened without https, so the browser keeps microphone and camera closed. Open it with https://."
    ),
    "browser_without_calls": gettext_lazy(
        "This browser cannot carry calls (it has no WebRTC). Use a current Chrome, Edge, Firefox or Safari."
    ),
    "microphone_denied": gettext_lazy(
        "The browser may not use the microphone. Allow it in the site's settings beside the address, then check again."
    ),
    "microphone_missing": gettext_lazy("No microphone was found. Plug in the headset, then check again."),
    "microphone_silent": gettext_lazy(
        "The microphone is there, but nothing was heard. Look for a mute switch on the headset, and whether the right "
        "microphone is chosen."
    ),
    "microphone_failed": gettext_lazy(
        "The microphone could not be opened. Another program may be holding it: close it, or plug the headset in again."
    ),
    "microphone_skipped": gettext_lazy("The microphone was not checked."),
    "speaker_silent": gettext_lazy(
        "The test tone was not heard. Turn up the volume, and see that the sound goes to the headset and not to another device."
    ),
    "speaker_missing": gettext_lazy("No loudspeaker or headset was found. Plug one in, then check again."),
    "speaker_failed": gettext_lazy("The test tone could not be played. Plug the headset in again, or restart the browser."),
    "speaker_skipped": gettext_lazy("The sound was not checked."),
    "camera_denied": gettext_lazy("The browser may not use the camera. Phone calls do not need it."),
    "camera_missing": gettext_lazy("No camera was found. Phone calls do not need one."),
    "camera_failed": gettext_lazy("The camera could not be opened. Phone calls do not need it."),
    "round_trip_too_long": gettext_lazy(
        "Answers of the portal take so long that people on a call would talk into each other. Use a cable or another network."
    ),
    "round_trip_long": gettext_lazy(
        "Answers of the portal take long; on calls the delay may be heard. A cable is better than a wireless network."
    ),
    "jitter_too_high": gettext_lazy("The connection is so uneven that speech will break up. Use a cable or another network."),
    "jitter_high": gettext_lazy(
        "The connection is uneven; speech may break up. Go nearer to the wireless router, or use a cable."
    ),
    "downlink_too_low": gettext_lazy("The connection is too slow for a call. Use another network."),
    "downlink_low": gettext_lazy("The connection has little room beside a call. Stop downloads and videos on it."),
    "network_slow": gettext_lazy("The browser takes this network for a slow mobile one. Use Wi-Fi or a cable."),
    "network_unmeasured": gettext_lazy("The network was not checked."),
}
"""What to do about each finding. Codes are stored; one that is not here any more is left out."""

_OUT_OF_ORDER = {
    Result.BAD: {
        "insecure_context",
        "browser_without_calls",
        "microphone_denied",
        "microphone_missing",
        "microphone_silent",
        "microphone_failed",
        "speaker_silent",
        "speaker_missing",
        "speaker_failed",
        "round_trip_too_long",
        "jitter_too_high",
        "downlink_too_low",
    },
    Result.GOOD: {"camera_denied", "camera_missing", "camera_failed"},
}
"""How much a finding weighs: it makes calls impossible, or it is only worth saying. Any other makes them worse."""

_PARTS = ("microphone", "speaker", "camera")
_TEXTS = {"browser": 80, "operating_system": 80, "network_type": 20}
_NUMBERS = {"round_trip_ms": 60_000, "jitter_ms": 60_000, "downlink_mbps": 100_000}
_FACTS = ("is_secure", "has_webrtc")
_SLOW_NETWORKS = {"slow-2g", "2g"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class CheckedTooSoon(ValidationError):
    """The last result of this agent was stored only a moment ago."""

    wait_seconds = CHECK_EVERY_SECONDS

    def __init__(self) -> None:
        super().__init__(_("A result was stored just now. Wait %(n)d seconds, then try again.") % {"n": self.wait_seconds})


def judge(findings: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The result and the codes of advice, the gravest first. The camera is advice only: phone calls need none."""
    codes = [f"{part}_{findings[part]}" for part in _PARTS if f"{part}_{findings.get(part)}" in ADVICE]
    codes += [f"{part}_skipped" for part in ("microphone", "speaker") if part not in findings]
    if findings.get("is_secure") is False:
        # Without https the browser has neither to give, whatever is plugged in: that says nothing about them.
        codes = ["insecure_context", *(code for code in codes if not code.startswith(("microphone_", "camera_")))]
    if findings.get("has_webrtc") is False:
        codes.append("browser_without_calls")
    codes += _judge_network(findings)
    weights = {code: _weight(code) for code in codes}
    codes.sort(key=lambda code: [Result.BAD, Result.FAIR, Result.GOOD].index(weights[code]))
    for result in (Result.BAD, Result.FAIR):
        if result in weights.values():
            return result, codes
    return Result.GOOD, codes


def _weight(code: str) -> DeviceCheck.Result:
    return next((result for result, codes in _OUT_OF_ORDER.items() if code in codes), Result.FAIR)


def _judge_network(findings: Mapping[str, Any]) -> list[str]:
    codes = []
    round_trip, jitter, downlink = (findings.get(name) for name in _NUMBERS)
    if round_trip is None:
        codes.append("network_unmeasured")
    elif round_trip > ROUND_TRIP_USABLE_MS:
        codes.append("round_trip_too_long")
    elif round_trip > ROUND_TRIP_GOOD_MS:
        codes.append("round_trip_long")
    if jitter is not None and jitter > JITTER_GOOD_MS:
        codes.append("jitter_too_high" if jitter > JITTER_USABLE_MS else "jitter_high")
    if downlink is not None and downlink < DOWNLINK_GOOD_MBPS:
        codes.append("downlink_too_low" if downlink < DOWNLINK_USABLE_MBPS else "downlink_low")
    if findings.get("network_type") in _SLOW_NETWORKS:
        codes.append("network_slow")
    return codes


def advice_of(check: DeviceCheck) -> list[str]:
    """What a stored check advises, in the reader's language; a code that is known no more is left out."""
    return [str(ADVICE[code]) for code in check.advice if code in ADVICE]


def clean_findings(findings: Any) -> dict[str, Any]:
    """The findings, if each is known, of its type and within its bounds; else `ValidationError` by field."""
    if not isinstance(findings, Mapping):
        raise ValidationError(_("Send the findings as a JSON object."))
    wrong: dict[str, list[str]] = {}
    clean: dict[str, Any] = {}
    for name, value in findings.items():
        reason, read = _read(str(name), value)
        if reason:
            wrong[str(name)[:40]] = [reason]
        else:
            clean[str(name)] = read
    if wrong:
        raise ValidationError(wrong)
    return clean


def _read(name: str, value: Any) -> tuple[str, Any]:
    """Why a finding cannot be taken, or nothing and its value."""
    if name in _PARTS:
        said = isinstance(value, str) and value in Part.values
        return ("" if said else _("Say one of: %(values)s.") % {"values": ", ".join(Part.values)}), value
    if name in _TEXTS:
        said = isinstance(value, str) and len(value) <= _TEXTS[name] and not _CONTROL.search(value)
        reason = _("This must be plain text of at most %(n)d characters.") % {"n": _TEXTS[name]}
        return ("", value.strip()) if said else (reason, None)
    if name in _NUMBERS:
        return _why_no_number(value, _NUMBERS[name]), value
    if name in _FACTS:
        return ("" if isinstance(value, bool) else _("This must be true or false.")), value
    return _("This field is not known here."), None


def _why_no_number(value: Any, most: int) -> str:
    """Empty for a number within its bounds, and for `None`: not measured."""
    if value is None:
        return ""
    if not isinstance(value, int | float) or isinstance(value, bool):  # Python takes JSON's true for 1
        return _("This must be a number.")
    # Also refuses NaN and the infinities, which Python's reader lets in.
    return "" if 0 <= value <= most else _("This must be between 0 and %(n)d.") % {"n": most}


@transaction.atomic
def record_check(*, agent: Agent, findings: Mapping[str, Any], address: str, at: dt.datetime) -> DeviceCheck:
    """Judges what the desk found and keeps it. Raises `ValidationError` by field, and `CheckedTooSoon`."""
    clean = clean_findings(findings)
    if agent.account_id is None:
        raise ValidationError(_("An operator takes no calls."))
    # The agent's row is locked: of two results that come at once the second one sees the first.
    Agent.objects.select_for_update().get(pk=agent.pk)
    lately = DeviceCheck.objects.for_account(agent.account_id).filter(
        agent=agent, checked_at__gt=at - dt.timedelta(seconds=CHECK_EVERY_SECONDS)
    )
    if lately.exists():
        raise CheckedTooSoon
    result, codes = judge(clean)
    return DeviceCheck.objects.create(  # type: ignore[no-any-return]
        account_id=agent.account_id,
        agent=agent,
        checked_at=at,
        result=result,
        advice=codes,
        **{part: clean.get(part, Part.SKIPPED) for part in _PARTS},
        **{text: clean.get(text, "") for text in _TEXTS},
        round_trip_ms=_digits(clean.get("round_trip_ms"), places=0),
        downlink_mbps=_digits(clean.get("downlink_mbps"), places=2),
        address=address[:45],
    )


def _digits(value: float | None, *, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


# --- Which browser ---------------------------------------------------------------------------------------------------

_BROWSERS = [
    # A browser names those it descends from as well, so the youngest come first.
    ("WeChat", r"MicroMessenger/([\d.]+)"),
    ("WeCom", r"wxwork/([\d.]+)"),
    ("DingTalk", r"DingTalk/([\d.]+)"),
    ("QQ Browser", r"M?QQBrowser/([\d.]+)"),
    ("UC Browser", r"UC?Browser/([\d.]+)"),
    ("Quark", r"Quark/([\d.]+)"),
    ("360 Browser", r"(?:QIHU 360[SE]E|360[SE]E|QihooBrowser(?:HD)?)/?([\d.]*)"),
    ("Sogou Browser", r"(?:MetaSr|SogouMobileBrowser)[ /]([\d.]+)"),
    ("Huawei Browser", r"HuaweiBrowser/([\d.]+)"),
    ("Mi Browser", r"MiuiBrowser/([\d.]+)"),
    ("OPPO Browser", r"HeyTapBrowser/([\d.]+)"),
    ("vivo Browser", r"VivoBrowser/([\d.]+)"),
    ("Samsung Internet", r"SamsungBrowser/([\d.]+)"),
    ("Opera", r"(?:OPR|OPiOS)/([\d.]+)"),
    ("Edge", r"(?:Edg|EdgA|EdgiOS|Edge)/([\d.]+)"),
    ("Firefox", r"(?:Firefox|FxiOS)/([\d.]+)"),
    ("Chrome", r"(?:HeadlessChrome|Chrome|CriOS)/([\d.]+)"),
    ("Safari", r"Version/([\d.]+)[^)]* Safari/"),
    ("Internet Explorer", r"(?:MSIE |Trident/.*rv:)([\d.]+)"),
]
_SYSTEMS = [
    ("HarmonyOS", r"(?:HarmonyOS|OpenHarmony)[ /]?([\d.]*)"),
    ("iOS", r"(?:iPhone|iPad|iPod).*? OS ([\d_]+)"),
    ("Android", r"Android ([\d.]+)"),
    ("Android", r"Android()"),
    ("Chrome OS", r"CrOS \S+ ([\d.]+)"),
    # Since version 10.15 every Mac says 10_15_7, so the number says nothing.
    ("macOS", r"Mac OS X()"),
    # Windows 11 calls itself 10.0 as well: only the browser's hints tell them apart.
    ("Windows 10 / 11", r"Windows NT 10\.0()"),
    ("Windows 8.1", r"Windows NT 6\.3()"),
    ("Windows 8", r"Windows NT 6\.2()"),
    ("Windows 7", r"Windows NT 6\.1()"),
    ("Windows", r"Windows()"),
    ("Linux", r"Linux|X11()"),
]


def name_browser(user_agent: str) -> str:
    """ "Firefox 128", as far as a browser's own line tells; empty where it is none that is known."""
    return _first(_BROWSERS, user_agent)


def name_system(user_agent: str) -> str:
    """The operating system by a browser's own line."""
    return _first(_SYSTEMS, user_agent)


def _first(patterns: list[tuple[str, str]], user_agent: str) -> str:
    line = user_agent[:500]
    for name, pattern in patterns:
        if found := re.search(pattern, line):
            major = re.split(r"[._]", found.group(1) or "")[0]
            return f"{name} {major}".strip()
    return ""


def how_to_allow(user_agent: str) -> str:
    """How somebody gives a page of this browser its microphone or camera back."""
    browser, system = name_browser(user_agent), name_system(user_agent)
    if browser.startswith(("WeChat", "WeCom", "DingTalk")):
        return _("Open this page in the phone's own browser: the browser inside the chat program may not use the devices.")
    if system.startswith("iOS"):
        return _(
            "Tap the sign at the left of the address bar, then Website Settings, and allow microphone and camera. If they are "
            "not offered: Settings of the phone → Apps → your browser → allow microphone and camera."
        )
    if browser.startswith("Safari"):
        return _("In the menu: Safari → Settings for This Website → set Microphone and Camera to Allow, then reload the page.")
    if browser.startswith("Firefox"):
        return _(
            "Click the crossed-out microphone or camera at the left of the address, remove “Blocked” with the ×, then try again."
        )
    if system.startswith(("Android", "HarmonyOS")):
        return _(
            "Tap the sign at the left of the address → Permissions, and allow microphone and camera. If they are not offered: "
            "Settings of the phone → Apps → your browser → Permissions."
        )
    if browser.startswith(("Chrome", "Edge", "Opera")):
        return _(
            "Click the sign at the left of the address, set Microphone and Camera to Allow, then try again. If they are missing "
            "there, allow the browser in the privacy settings of the computer."
        )
    return _("Open the site's settings beside the address, allow microphone and camera, then try again.")
