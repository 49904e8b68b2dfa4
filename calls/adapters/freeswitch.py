"""What FreeSWITCH posts, read as events: the CDRs of mod_json_cdr and the events of mod_callcenter.

A CDR tells of one leg when it is over; mod_callcenter tells of queues and agents while it happens. Both name the
caller's channel, which is the call. Agents' own legs (`cc_side` agent, or a leg that another one called) are no calls.
Pure: no database and no clock. The same post gives the same events with the same ids; where both sources tell of one
thing, they give it one id.
"""

import base64
import binascii
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

SOURCE = "freeswitch"
STATUSES = {"Available": "available", "Available (On Demand)": "available", "On Break": "break", "Logged Out": "offline"}
LEFT_QUEUE = {"TIMEOUT": "timeout", "NO_AGENT_TIMEOUT": "no_agents", "EXIT_WITH_KEY": "overflow"}
"""`CC-Cancel-Reason`; BREAK_OUT and NONE are told by the end of the call."""
RING_RESULTS = {
    "NO_ANSWER": "no_answer",
    "NO_USER_RESPONSE": "no_answer",
    "ALLOTTED_TIMEOUT": "no_answer",
    "USER_BUSY": "busy",
    "CALL_REJECTED": "rejected",
}
CAUSES = {
    "NORMAL_CLEARING": "completed",
    "USER_BUSY": "busy",
    "NO_ANSWER": "no_answer",
    "NO_USER_RESPONSE": "no_answer",
    "ALLOTTED_TIMEOUT": "no_answer",
    "CALL_REJECTED": "rejected",
    "ORIGINATOR_CANCEL": "cancelled",
    "UNALLOCATED_NUMBER": "invalid_number",
    "INVALID_NUMBER_FORMAT": "invalid_number",
    "SUBSCRIBER_ABSENT": "unreachable",
    "USER_NOT_REGISTERED": "unreachable",
    "DESTINATION_OUT_OF_ORDER": "unreachable",
    "NETWORK_OUT_OF_ORDER": "error",
    "NORMAL_TEMPORARY_FAILURE": "error",
    "SWITCH_CONGESTION": "error",
    "RECOVERY_ON_TIMER_EXPIRE": "error",
    "MEDIA_TIMEOUT": "error",
}
DIRECTIONS = {"inbound": "inbound", "outbound": "outbound", "local": "internal"}


class PostError(ValueError):
    """A post that cannot be read: which field, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def read_body(body: bytes, content_type: str) -> list[dict[str, Any]]:
    """The JSON objects of a post: as the body itself, or as the form field `cdr`, plain or in base64."""
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        text = parse_qs(body.decode(errors="replace")).get("cdr", [""])[0]
        if not text.lstrip().startswith(("{", "[")):
            try:
                text = base64.b64decode(text, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise PostError("cdr", "is neither JSON nor base64 of it") from error
    else:
        text = body.decode(errors="replace")
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PostError("", "is no JSON") from error
    items = read if isinstance(read, list) else [read]
    if not all(isinstance(item, dict) for item in items):
        raise PostError("", "must be a JSON object, or a list of them")
    return items


def events_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one CDR or one mod_callcenter event. Raises `PostError`."""
    if "variables" in item:
        return list(_of_cdr(item))
    if "CC-Action" in item:
        return list(_of_callcenter({name: value for name, value in item.items() if isinstance(value, str | int | float)}))
    raise PostError("", "is neither a CDR (variables) nor an event of mod_callcenter (CC-Action)")


# --- CDR -------------------------------------------------------------------------------------------------------------


def _of_cdr(cdr: dict[str, Any]) -> Iterator[dict[str, Any]]:
    said = _variables(cdr)
    if said.get("cc_side") == "agent" or said.get("originating_leg_uuid") or said.get("originator"):
        return
    call = _required(said, "uuid")
    started, ended = _moment(said, "start"), _moment(said, "end")
    if started is None:
        raise PostError("variables.start_epoch", "is missing or 0")
    if ended is None or ended < started:
        raise PostError("variables.end_epoch", "is missing, 0 or before the start")
    profile = _caller_profile(cdr)
    direction = DIRECTIONS.get(said.get("call_direction", ""), "outbound" if said.get("direction") == "outbound" else "inbound")
    yield _event(
        call,
        "call.started",
        started,
        direction=direction,
        calling_number=(said.get("caller_id_number") or profile.get("caller_id_number") or said.get("sip_from_user") or "")[:32],
        called_number=(profile.get("destination_number") or said.get("sip_to_user") or "")[:32],
    )
    if keys := said.get("digits_dialed", "none").replace("none", ""):
        yield _event(call, "call.ivr_prompted", started, "digits", step="IVR", prompt="IVR")
        yield _event(call, "call.ivr_input", started, "digits", step="IVR", input=keys[:2000], kind="keys")
    agents = list(_with_queue(call, said) if said.get("cc_queue") else _without_queue(call, said, direction))
    yield from agents
    was_answered = any(event["type"] == "call.answered" for event in agents)
    cause = CAUSES.get(said.get("hangup_cause", ""), "")
    yield _event(
        call,
        "call.ended",
        ended,
        party=_who_hung_up(said, was_answered),
        cause="" if cause == "completed" and not was_answered else cause,
    )
    if file := said.get("cc_record_filename") or said.get("record_name"):
        folder = "" if said.get("cc_record_filename") else said.get("record_path", "")
        path = f"{folder.rstrip('/')}/{file}" if folder else file
        yield _event(call, "call.recorded", ended, path[-60:], file=path[:2000], duration=_seconds(said, "billsec"))


def _with_queue(call: str, said: dict[str, str]) -> Iterator[dict[str, Any]]:
    group, domain = _queue(said["cc_queue"])
    member = said.get("cc_member_uuid", "1")
    joined, answered, left = (_moment(said, f"cc_queue_{name}") for name in ("joined", "answered", "canceled"))
    if joined:
        yield _event(call, "call.queued", joined, member, skill_group=group)
    agent = _agent(said.get("cc_agent", ""), domain)
    if answered and agent:
        yield _event(call, "call.answered", answered, f"{member}:{agent}", agent=agent, skill_group=group)
        if over := _moment(said, "cc_queue_terminated"):
            yield _event(call, "call.leg_ended", over, f"{member}:{agent}", agent=agent)
    elif left and (reason := LEFT_QUEUE.get(said.get("cc_cancel_reason", ""))):
        yield _event(call, "call.dequeued", left, member, reason=reason, skill_group=group)


def _without_queue(call: str, said: dict[str, str], direction: str) -> Iterator[dict[str, Any]]:
    """A call that reached somebody directly: the person dialled, or for one that went out, the one whose phone called."""
    answered = _moment(said, "bridge") or _moment(said, "answer")
    person = said.get("dialed_user") if direction == "inbound" else said.get("user_name") or said.get("sip_auth_username")
    if answered and person and said.get("bridge_uuid", said.get("last_bridge_to", "")):
        yield _event(call, "call.answered", answered, person, agent=person)


def _who_hung_up(said: dict[str, str], was_answered: bool) -> str:
    """By who sent the end: BYE and CANCEL that came in on the caller's channel are the caller's."""
    disposition = said.get("sip_hangup_disposition", "")
    if disposition in ("recv_bye", "recv_cancel") or said.get("cc_cancel_reason") == "BREAK_OUT":
        return "customer"
    return "agent" if was_answered else "system"


def _variables(cdr: dict[str, Any]) -> dict[str, str]:
    """The channel variables as text. mod_json_cdr writes each of them URL-encoded unless told otherwise."""
    given = cdr["variables"]
    if not isinstance(given, dict):
        raise PostError("variables", "must be an object")
    texts = {str(name): unquote(str(value)) for name, value in given.items() if isinstance(value, str | int | float)}
    return {name: text for name, text in texts.items() if text not in ("", "_undef_")}


def _caller_profile(cdr: dict[str, Any]) -> dict[str, str]:
    flow = cdr.get("callflow")
    first = flow[-1] if isinstance(flow, list) and flow else flow  # the oldest stands last
    profile = first.get("caller_profile") if isinstance(first, dict) else None
    if not isinstance(profile, dict):
        return {}
    return {name: unquote(str(value)) for name, value in profile.items() if isinstance(value, str | int)}


# --- mod_callcenter --------------------------------------------------------------------------------------------------


def _of_callcenter(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    told = {name: unquote(str(value)) for name, value in said.items()}
    action = told["CC-Action"]
    at = _event_time(told)
    if action == "agent-status-change":
        agent, status = _agent(_required(told, "CC-Agent"), ""), STATUSES.get(told.get("CC-Agent-Status", ""))
        if status is None:
            raise PostError("CC-Agent-Status", f"must be one of {', '.join(STATUSES)}")
        yield _event(agent, "agent.status_changed", at, f"{at.timestamp():.6f}", agent=agent, status=status)
        return
    call = told.get("CC-Member-Session-UUID")
    if not call or "CC-Queue" not in told:
        return
    group, domain = _queue(told["CC-Queue"])
    member, agent = told.get("CC-Member-UUID", "1"), _agent(told.get("CC-Agent", ""), domain)
    leg = f"{member}:{agent}"
    if action in ("member-queue-start", "member-queue-resume"):
        numbers = {
            "calling_number": told.get("CC-Member-CID-Number", "")[:32],
            "called_number": (told.get("CC-Member-DNIS") or told.get("Caller-Destination-Number", ""))[:32],
        }
        yield _event(call, "call.started", at, "queue", direction="inbound", **numbers)
        yield _event(call, "call.queued", _moment(told, "CC-Member-Joined-Time", "") or at, member, skill_group=group)
    elif action == "agent-offering" and agent:
        yield _event(call, "call.ringing", at, f"{leg}:{at.timestamp():.6f}", agent=agent, skill_group=group)
    elif action == "bridge-agent-start" and agent:
        answered = _moment(told, "CC-Agent-Answered-Time", "") or at
        yield _event(call, "call.answered", answered, leg, agent=agent, skill_group=group)
    elif action == "bridge-agent-fail" and agent:
        reason = RING_RESULTS.get(told.get("CC-Hangup-Cause", ""), "cancelled")
        yield _event(call, "call.ring_ended", at, f"{leg}:{at.timestamp():.6f}", agent=agent, reason=reason)
    elif action == "bridge-agent-end" and agent:
        yield _event(call, "call.leg_ended", _moment(told, "CC-Bridge-Terminated-Time", "") or at, leg, agent=agent)
    elif action == "member-queue-end" and (left_for := LEFT_QUEUE.get(told.get("CC-Cancel-Reason", ""))):
        left = _moment(told, "CC-Member-Leaving-Time", "") or at
        yield _event(call, "call.dequeued", left, member, reason=left_for, skill_group=group)


def _event_time(said: dict[str, str]) -> dt.datetime:
    stamp = said.get("Event-Date-Timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()):
        raise PostError("Event-Date-Timestamp", "is missing: microseconds since 1970")
    return _from_seconds("Event-Date-Timestamp", int(stamp) / 1_000_000)


# --- Both ------------------------------------------------------------------------------------------------------------


def _event(subject: str, type_: str, at: dt.datetime, name: str = "", **data: Any) -> dict[str, Any]:
    kept = {
        field: value for field, value in data.items() if value not in (None, "") or field in ("calling_number", "called_number")
    }
    return {
        "specversion": "1.0",
        "source": SOURCE,
        "id": f"{subject}:{type_}{':' if name else ''}{name}",
        "type": type_,
        "subject": subject,
        "time": at.isoformat(),
        "data": kept,
    }


def _queue(text: str) -> tuple[str, str]:
    """A queue is `name@domain`; its name is the skill group."""
    name, _, domain = text.partition("@")
    return name[:60] or "unknown", domain


def _agent(text: str, domain: str) -> str:
    """An agent of the queue's own domain is known by the part before it; any other may be an email, and stays whole."""
    name, _, its_domain = text.partition("@")
    return name[:255] if its_domain in ("", domain) or "." not in its_domain else text[:255]


def _required(said: dict[str, str], field: str) -> str:
    value = said.get(field, "")
    if not value:
        raise PostError(field, "is missing")
    return value[:200]


def _moment(said: dict[str, str], name: str, ending: str = "_epoch") -> dt.datetime | None:
    """Microseconds if there are any, else whole seconds; 0 or nothing: it never happened."""
    exact = said.get(f"{name}_uepoch", "") if ending else ""
    if exact.isascii() and exact.isdigit() and int(exact):
        return _from_seconds(f"{name}_uepoch", int(exact) / 1_000_000)
    text = said.get(f"{name}{ending}", "")
    if not text or text == "0":
        return None
    if not (text.isascii() and text.isdigit()):
        raise PostError(f"{name}{ending}", "must be whole seconds since 1970")
    return _from_seconds(f"{name}{ending}", int(text))


def _from_seconds(field: str, seconds: float) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise PostError(field, "is no time") from error


def _seconds(said: dict[str, str], name: str) -> int | None:
    text = said.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None
