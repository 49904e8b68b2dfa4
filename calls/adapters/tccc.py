"""Tencent Cloud Contact Center's data pushes, read as events.

A push tells of a call that is over: a CDR (the whole call, its legs in `ServeParticipants`), a recording or a voicemail.
Pure: no database and no clock. The same push gives the same events with the same ids, so that one pushed again, or out
of order, changes nothing. What the samples of the documentation do is understood: null instead of lists, keys in lower
case, 0 for "never", numbers with 00.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Push = dict[str, Any]

CAUSES = {
    "ok": "completed",
    "blackList": "blocked",
    "noSeatOnline": "no_agents",
    "notWorkTime": "closed",
    "ivrEnd": "self_served",
    "clientError": "error",
    "restrictedCallee": "error",
    "tooManyRequest": "error",
    "restrictedArea": "error",
    "restrictedTime": "error",
    "notAnswer": "no_answer",
    "userReject": "rejected",
    "powerOff": "unreachable",
    "numberNotExist": "invalid_number",
    "busy": "busy",
    "outOfCredit": "unreachable",
    "operatorError": "error",
    "callerCancel": "cancelled",
    "callerCancelWhileRing": "cancelled",
    "callerCancelWithoutRing": "cancelled",
    "notInService": "unreachable",
    "carrierBlocked": "error",
    "callReminder": "unreachable",
    "numberInvalid": "invalid_number",
    "callRestricted": "error",
    "calleeRestricted": "error",
    "areaRestricted": "error",
    "promptCallForwarding": "unreachable",
    "voiceMailReached": "no_answer",
    "callConflict": "busy",
    "clientTimeout": "error",
    "voipClientError": "error",
    "error": "error",
}
"""`EndStatusString` as the cause of `call.ended`. Callers who gave up (`ivrGiveUp`, `waitingGiveUp`, `ringingGiveUp`) need
none: where they were says it."""
VERSION = "1"
PARTIES = {"seat": "agent", "user": "customer", "system": "system"}
CALL_TYPES = {1: "outbound", 2: "inbound", 3: "audio", 5: "predictive", 6: "internal"}
TERMINALS = {"staffSeat": "web", "staffPhoneSeat": "mobile"}
EXTERNAL = "outboundSeat"
NEVER_ANSWERED = {"seatGiveUp": "no_answer", "userReject": "rejected", "busy": "busy", "clientError": "no_answer"}
"""How a leg's `EndStatusString` ended the ringing; any other: it was called off."""
SCORES = {"非常满意": 5, "满意": 4, "一般": 3, "不满意": 2, "非常不满意": 1, "very satisfied": 5, "satisfied": 4}
SCORES |= {"neutral": 3, "dissatisfied": 2, "very dissatisfied": 1}
"""What a rating key stands for where its label says it; else the key itself is the score, out of 5."""
NOT_PRESSED = "noinput"
FREE_TEXT = frozenset({"UserRemark", "Remark", "Uui", "OriginalContent", "TTSPrompt"})
"""Where people's own words stand, which may run over several lines."""


class PushError(ValueError):
    """A push that cannot be read: which field, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def action_of(actions: Sequence[str], versions: Sequence[str]) -> str:
    """What a push tells of, by its address. Raises `PushError`.

    It says so once, or the same again where the console added what the address had. Voicemail names no version. What the
    fields of another version mean is not known.
    """
    if set(versions) - {VERSION}:
        raise PushError("version", f"must be {VERSION}; no other version of the data push is known")
    return actions[0] if len(set(actions)) == 1 else ""


def events_of(action: str, push: Any) -> list[dict[str, Any]]:
    """The events of one push, in the order they happened. Raises `PushError`."""
    readers = {"cdr": _of_cdr, "record": _of_recording, "voicemail": _of_voicemail}
    if action not in readers:
        raise PushError("action", f"must be one of {', '.join(readers)}")
    if not isinstance(push, dict):
        raise PushError("", "must be a JSON object")
    push = _canonical_keys(push)
    _refuse_line_breaks(push)
    return list(readers[action](push))


# --- A whole call ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Writer:
    """Gives each event of a push its envelope; ids count what a call has of each type."""

    source: str
    session: str

    def __call__(self, type_: str, at: dt.datetime, name: str = "", **data: Any) -> dict[str, Any]:
        kept = {field: value for field, value in data.items() if value not in (None, "")} | {
            field: value for field, value in data.items() if field in ("calling_number", "called_number", "text", "input")
        }
        return {
            "specversion": "1.0",
            "source": self.source,
            "id": f"{self.session}:{type_}{':' if name else ''}{name}",
            "type": type_,
            "subject": self.session,
            "time": at.isoformat(),
            "data": kept,
        }


def _of_cdr(push: Push) -> Iterator[dict[str, Any]]:
    write = _writer(push)
    started = _time(push, "StartTimestamp") or _time(push, "Time")
    ended = _time(push, "EndedTimestamp")
    if started is None:
        raise PushError("StartTimestamp", "is missing or 0")
    if ended is None or ended < started:
        raise PushError("EndedTimestamp", "is missing, 0 or before StartTimestamp")
    direction = _direction(push)
    place: Any = push.get("TelLocation") if isinstance(push.get("TelLocation"), dict) else {}
    yield write(
        "call.started",
        started,
        direction=direction,
        calling_number=_number(push, "Caller"),
        called_number=_number(push, "Callee"),
        provider=_text(place.get("Operator"), 60),
        location=_location(place) or _text(push.get("CallerLocation"), 100),
        call_type=CALL_TYPES.get(_whole(push, "CallType") or 0, ""),
    )
    if direction == "inbound":
        yield from _ivr(push, write, started)
        if queued := _time(push, "QueuedTimestamp"):
            yield write("call.queued", queued, skill_group=_queued_group(push))
    yield from _legs(push, write, direction, ended)
    status = _text(push.get("EndStatusString"), 60)
    party = PARTIES.get(_text(push.get("HungUpSide"), 20).lower(), "customer" if status.endswith("GiveUp") else "system")
    yield write("call.ended", ended, party=party, cause=CAUSES.get(status, ""))
    yield from _rating(push, write, ended)
    if remark := _text(push.get("UserRemark") or push.get("Remark"), 5000):
        # Its words are part of the id: a remark that was written anew is pushed again and counts.
        name = hashlib.sha256(remark.encode()).hexdigest()[:16]
        yield write("call.remarked", ended, name, text=remark, agent=_mail(push.get("SeatUser")))


def _ivr(push: Push, write: _Writer, started: dt.datetime) -> Iterator[dict[str, Any]]:
    """What the caller pressed or said, with the prompts; without any, a stay of `IVRDuration` is still told."""
    presses = _list(push, "IVRKeyPressedEx") or _list(push, "IVRKeyPressed")
    presses = [press for press in presses if isinstance(press, dict)]
    if not presses and _whole(push, "IVRDuration"):
        yield write("call.ivr_prompted", started, "1", step="IVR", prompt="IVR")
    before = started
    for position, press in enumerate(presses, start=1):
        step = _text(press.get("NodeLabel"), 100) or _text(press.get("Label"), 100) or f"{position}"
        at = max(_milliseconds(press.get("Timestamp")) or before, before)
        yield write(
            "call.ivr_prompted", before, f"{position}", step=step, prompt=_text(press.get("TTSPrompt"), 2000) or step, kind="tts"
        )
        key = _text(press.get("Key"), 2000)
        said = _text(press.get("OriginalContent"), 2000) or key
        is_keys = re.fullmatch(r"[\d*#]*", said) is not None
        yield write("call.ivr_input", at, f"{position}", step=step, input=said, kind="keys" if is_keys else "speech")
        before = at


def _legs(push: Push, write: _Writer, direction: str, ended: dt.datetime) -> Iterator[dict[str, Any]]:
    """One leg per participant; a CDR without any has the one that its own times tell of."""
    legs = [leg for leg in _list(push, "ServeParticipants") if isinstance(leg, dict)]
    legs.sort(key=lambda leg: _whole(leg, "Sequence") or 0)
    if not legs and _mail(push.get("SeatUser")):
        legs = [{**push, "Mail": _mail(push["SeatUser"]), "SkillGroupName": "", "SkillGroupId": None, "Type": "staffSeat"}]
    last_agent = ""
    for position, leg in enumerate(legs, start=1):
        name = f"{position}"
        begun = _time(leg, "StartTimestamp") or _time(leg, "RingTimestamp") or _time(leg, "AcceptTimestamp")
        rang, accepted = _time(leg, "RingTimestamp"), _time(leg, "AcceptTimestamp")
        over = _time(leg, "EndedTimestamp") or ended
        if _text(leg.get("Type"), 40) == EXTERNAL:
            if (number := _number(leg, "Phone")) and begun:
                yield write("call.transferred", begun, name, **{"from": last_agent}, to_number=number, kind="blind")
                yield write("call.leg_ended", over, name, number=number)
            continue
        agent = _mail(leg)
        if not agent:
            continue
        group = _text(leg.get("SkillGroupName"), 60) or _text(leg.get("SkillGroupId"), 60)
        with_whom = {"agent": agent, "skill_group": group, "terminal": TERMINALS.get(_text(leg.get("Type"), 40), "")}
        if rang or (begun and not accepted):
            yield write("call.ringing", rang or begun or ended, name, **with_whom)
        if accepted:
            yield write("call.answered", accepted, name, **with_whom)
            last_agent = agent
            yield from _passing_on(leg, write, name, agent, over)
            if over < ended:
                yield write("call.leg_ended", over, name, agent=agent)
        elif over < ended:
            status = _text(leg.get("EndStatusString"), 60)
            yield write("call.ring_ended", over, name, agent=agent, reason=NEVER_ANSWERED.get(status, "cancelled"))


def _passing_on(leg: Push, write: _Writer, name: str, agent: str, over: dt.datetime) -> Iterator[dict[str, Any]]:
    """The transfer that ended an agent's leg. One to an outside line is told by the leg of that line."""
    target, kind = _text(leg.get("TransferTo"), 255), _text(leg.get("TransferToType"), 40).lower()
    if not target or "outbound" in kind or "phone" in kind:
        return
    if "@" in target:
        yield write("call.transferred", over, name, **{"from": agent}, to_agent=target, kind="blind")
    elif "skill" in kind or "group" in kind:
        yield write("call.transferred", over, name, **{"from": agent}, to_skill_group=target[:60], kind="blind")


def _rating(push: Push, write: _Writer, at: dt.datetime) -> Iterator[dict[str, Any]]:
    presses = _list(push, "PostIVRKeyPressedEx") or _list(push, "PostIVRKeyPressed")
    press = next((press for press in presses if isinstance(press, dict)), None)
    if press is None:
        return
    key, label = _text(press.get("Key"), 20), _text(press.get("Label"), 40).strip().lower()
    score = SCORES.get(label)
    if score is None and key.isascii() and key.isdigit() and 1 <= int(key) <= 5:
        score = int(key)
    if score is None:
        yield write("call.rated", at, asked=True)
        return
    yield write("call.rated", at, asked=True, score=score, scale=5)


# --- Sound -----------------------------------------------------------------------------------------------------------


def _of_recording(push: Push) -> Iterator[dict[str, Any]]:
    """One per participant of the call; its own copy in the customer's store, if there is one, outlives Tencent's."""
    write, at = _writer(push), _moment_of(push)
    name = _text(push.get("RecordId"), 120)
    if not name:
        raise PushError("RecordId", "is missing")
    yield write("call.recorded", at, name, file=_address(push, "CustomRecordURL") or _address(push, "RecordURL"))


def _of_voicemail(push: Push) -> Iterator[dict[str, Any]]:
    write, at = _writer(push), _moment_of(push)
    yield write("call.voicemail_left", at, f"{int(at.timestamp())}", file=_address(push, "RecordURL"))


def _moment_of(push: Push) -> dt.datetime:
    at = _time(push, "Timestamp")
    if at is None:
        raise PushError("Timestamp", "is missing or 0")
    return at


def _address(push: Push, field: str) -> str:
    return _text(push.get(field), 2000)


# --- Fields ----------------------------------------------------------------------------------------------------------

# fmt: off
_KNOWN = (
    "Caller", "Callee", "ProtectedCaller", "ProtectedCallee", "CallerLocation", "Direction", "CallType", "Time",
    "StartTimestamp", "QueuedTimestamp", "RingTimestamp", "AcceptTimestamp", "EndedTimestamp", "IVRDuration",
    "QueuedSkillGroupId", "QueuedSkillGroupName", "EndStatusString", "HungUpSide", "IVRKeyPressed", "IVRKeyPressedEx",
    "PostIVRKeyPressed", "PostIVRKeyPressedEx", "SeatUser", "ServeParticipants", "UserRemark", "Remark", "TelLocation",
    "SdkAppId", "SessionId", "RecordId", "Timestamp", "EndpointUser", "RecordURL", "CustomRecordURL", "Operator", "Country",
    "Province", "City", "Key", "Label", "NodeLabel", "OriginalContent", "TTSPrompt", "Mail", "Phone", "Sequence", "Type",
    "TransferTo", "TransferToType", "SkillGroupId", "SkillGroupName", "SkillGroupNameList", "Uui",
)
# fmt: on
_BY_LOWER = {name.lower(): name for name in _KNOWN}


def _canonical_keys(value: Any) -> Any:
    """Field names as the documentation writes them, however a push does."""
    if isinstance(value, dict):
        return {_BY_LOWER.get(str(name).lower(), str(name)): _canonical_keys(below) for name, below in value.items()}
    return [_canonical_keys(below) for below in value] if isinstance(value, list) else value


def _refuse_line_breaks(value: Any, field: str = "") -> None:
    if isinstance(value, dict):
        for name, below in value.items():
            _refuse_line_breaks(below, f"{field}.{name}" if field else name)
    elif isinstance(value, list):
        for below in value:
            _refuse_line_breaks(below, field)
    elif isinstance(value, str) and ("\r" in value or "\n" in value) and field.rpartition(".")[2] not in FREE_TEXT:
        raise PushError(field, "has a line break")


def _writer(push: Push) -> _Writer:
    session = _text(push.get("SessionId"), 200)
    if not session:
        raise PushError("SessionId", "is missing")
    return _Writer(f"tccc/{_text(push.get('SdkAppId'), 40) or 'unknown'}", session)


def _direction(push: Push) -> str:
    if _whole(push, "CallType") == 6:
        return "internal"
    direction = _whole(push, "Direction")
    if direction not in (0, 1):
        raise PushError("Direction", "must be 0 (inbound) or 1 (outbound)")
    return "outbound" if direction else "inbound"


def _queued_group(push: Push) -> str:
    """Its name, found beside its id where the push does not give it; else the id, which is then shown for mapping."""
    if name := _text(push.get("QueuedSkillGroupName"), 60):
        return name
    number = _text(push.get("QueuedSkillGroupId"), 60)
    for leg in _list(push, "ServeParticipants"):
        if isinstance(leg, dict) and _text(leg.get("SkillGroupId"), 60) == number and leg.get("SkillGroupName"):
            return _text(leg["SkillGroupName"], 60)
    return number or "unknown"


def _location(place: Push) -> str:
    parts = dict.fromkeys(_text(place.get(name), 50) for name in ("Province", "City"))
    return " ".join(part for part in parts if part)[:100]


def _mail(person: Any) -> str:
    return _text(person.get("Mail"), 255) if isinstance(person, dict) else ""


def _number(push: Push, field: str) -> str:
    """A number; where the platform protects it, what it gives instead, if that is short enough for one."""
    number = _text(push.get(field), 60) or _text(push.get(f"Protected{field}"), 60)
    return number if len(number) <= 32 else ""


def _list(push: Push, field: str) -> list[Any]:
    value = push.get(field)
    return value if isinstance(value, list) else []


def _text(value: Any, longest: int) -> str:
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return str(value).strip()[:longest]


def _whole(push: Push, field: str) -> int | None:
    value = push.get(field)
    if isinstance(value, bool) or value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise PushError(field, "must be a whole number") from error


def _time(push: Push, field: str) -> dt.datetime | None:
    """Unix seconds; 0 or null: it never happened."""
    seconds = _whole(push, field)
    if not seconds:
        return None
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise PushError(field, "must be a time in Unix seconds") from error


def _milliseconds(value: Any) -> dt.datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    try:
        return dt.datetime.fromtimestamp(value / 1000, dt.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise PushError("IVRKeyPressedEx.Timestamp", "must be a time in Unix milliseconds") from error
