"""What an event must be to be kept: the CloudEvents envelope and the data of its type.

Answers name the field and what is wrong with it, and never repeat the value: it may be personal.
"""

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from calls.lifecycle import PORTAL_SOURCE
from calls.vocabulary import AGENT_TYPES, TYPES, problems_of
from configuration.models import Account

MAX_ID = 255
MAX_DATA_BYTES = 32 * 1024
MAX_DEPTH = 20
AHEAD = dt.timedelta(minutes=10)
EARLIEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A checked event that is not stored yet."""

    event_key: bytes
    body_hash: bytes
    call_key: bytes
    source: str
    event_id: str
    type: str
    subject: str
    sequence: str
    occurred_at: dt.datetime
    data: dict[str, Any]


def read_event(account: Account, item: Any, at: dt.datetime, *, is_own: bool) -> tuple[NewEvent | None, list[dict[str, str]]]:
    """The event, or what is wrong with it, one line a field. `is_own`: the portal itself says it."""
    if not isinstance(item, dict):
        return None, [{"field": "", "reason": "must be a CloudEvent: a JSON object"}]
    problems = [problem for name in ("id", "source", "subject") if (problem := _text_problem(item, name))]
    event_type: Any = item.get("type")
    is_known = isinstance(event_type, str) and event_type in TYPES
    if not is_known:
        problems.append({"field": "type", "reason": "is missing" if event_type is None else "is no event type the portal knows"})
    if item.get("specversion", "1.0") != "1.0":
        problems.append({"field": "specversion", "reason": "must be 1.0"})
    if item.get("source") == PORTAL_SOURCE and not is_own:
        problems.append({"field": "source", "reason": "is reserved for the portal's own events"})
    sequence = item.get("sequence", "")
    if not isinstance(sequence, str) or len(sequence) > 40:
        problems.append({"field": "sequence", "reason": "must be text of at most 40 characters"})
    occurred_at, time_problem = _read_time(item.get("time"), at)
    if time_problem:
        problems.append({"field": "time", "reason": time_problem})
    data: Any = item.get("data")
    if not isinstance(data, dict):
        problems.append({"field": "data", "reason": "is missing" if data is None else "must be an object"})
    elif reason := _shape_problem(data):
        problems.append({"field": "data", "reason": reason})
    elif is_known:
        problems.extend(problems_of(event_type, data))
    if problems or occurred_at is None:
        return None, problems
    try:
        body = json.dumps(
            [event_type, item["subject"], item["time"], sequence, data], ensure_ascii=False, sort_keys=True, allow_nan=False
        ).encode()
        key = f"{account.pk}\0{item['source']}\0{item['id']}".encode()
    except UnicodeEncodeError:
        return None, [{"field": "", "reason": "has text that is not valid Unicode (half of a surrogate pair)"}]
    except ValueError:
        return None, [{"field": "data", "reason": "has a number that is not finite"}]
    if len(body) > MAX_DATA_BYTES:
        return None, [{"field": "data", "reason": f"is larger than {MAX_DATA_BYTES} bytes"}]
    event = NewEvent(
        event_key=hashlib.sha256(key).digest(),
        body_hash=hashlib.sha256(body).digest(),
        call_key=call_key_of(account.pk, item["subject"], is_agent=event_type in AGENT_TYPES),
        source=item["source"],
        event_id=item["id"],
        type=event_type,
        subject=item["subject"],
        sequence=sequence,
        occurred_at=occurred_at,
        data=data,
    )
    return event, []


def call_key_of(account_id: int, subject: str, *, is_agent: bool = False) -> bytes:
    """What all events of one call share. An agent's share another key, even where a call is named like the agent."""
    return hashlib.sha256(f"{account_id}\0{'agent' if is_agent else 'call'}\0{subject}".encode()).digest()


def _text_problem(item: dict[str, Any], name: str) -> dict[str, str] | None:
    value = item.get(name)
    if value is None:
        return {"field": name, "reason": "is missing"}
    if not isinstance(value, str) or not value.strip():
        return {"field": name, "reason": "must be text that is not empty"}
    if len(value) > MAX_ID:
        return {"field": name, "reason": f"has {len(value)} characters; at most {MAX_ID} are allowed"}
    if not value.isprintable():
        try:
            value.encode()
        except UnicodeEncodeError:
            return {"field": name, "reason": "is not valid Unicode (half of a surrogate pair)"}
        return {"field": name, "reason": "has line breaks or other control characters"}
    return None


def _read_time(value: Any, at: dt.datetime) -> tuple[dt.datetime | None, str]:
    if value is None:
        return None, "is missing"
    try:
        moment = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None, "must be a time like 2026-03-01T09:30:00+08:00"
    if moment.tzinfo is None:
        return None, "has no zone; write it like 2026-03-01T09:30:00+08:00"
    try:
        moment = moment.astimezone(dt.UTC)
    except OverflowError:
        return None, "is outside the calendar"
    if moment > at + AHEAD:
        return None, "lies in the future; check the clock of the source"
    if moment < EARLIEST:
        return None, "lies before 1990"
    return moment, ""


def _shape_problem(data: dict[str, Any]) -> str:
    """What no database would keep as it is: endless nesting, and whole numbers beyond 64 bits."""
    layer: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        below = [value for item in layer for value in (item.values() if isinstance(item, dict) else item)]
        if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in below):
            return "has a whole number of more than 64 bits"
        layer = [value for value in below if isinstance(value, dict | list)]
        if not layer:
            return ""
    return f"is nested deeper than {MAX_DEPTH} levels"
