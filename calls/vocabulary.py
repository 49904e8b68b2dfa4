"""The event types the portal understands, and what each must carry.

One table, read by intake to accept or reject, and by the documentation. Fields not listed here are kept with the
event and mean nothing to the record, so that a platform may send more than the portal knows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from callcenter_site.phone_numbers import MAX_LENGTH as NUMBER_LENGTH

Problem = str
"""What is wrong with a value and what to send instead; never the value, which may be personal."""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    problem: Callable[[Any], Problem | None]
    is_required: bool = False


def _text(longest: int, *, may_be_empty: bool = False) -> Callable[[Any], Problem | None]:
    def problem(value: Any) -> Problem | None:
        if not isinstance(value, str):
            return "must be text"
        if not value.strip() and not may_be_empty:
            return "must not be empty"
        if len(value) > longest:
            return f"has {len(value)} characters; at most {longest} are allowed"
        return None

    return problem


def _one_of(*allowed: str) -> Callable[[Any], Problem | None]:
    known = frozenset(allowed)
    expected = f"must be one of {', '.join(allowed)}"

    def problem(value: Any) -> Problem | None:
        return None if isinstance(value, str) and value in known else expected

    return problem


def _number(least: float, most: float) -> Callable[[Any], Problem | None]:
    def problem(value: Any) -> Problem | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "must be a number"
        return None if least <= value <= most else f"must be between {least:g} and {most:g}"

    return problem


def _whole(least: int, most: int) -> Callable[[Any], Problem | None]:
    in_range = _number(least, most)

    def problem(value: Any) -> Problem | None:
        return in_range(value) or (None if value == int(value) else "must be a whole number")

    return problem


def _truth(value: Any) -> Problem | None:
    return None if isinstance(value, bool) else "must be true or false"


_REFERENCE = _text(255)
_GROUP = _text(60)
_NUMBER = _text(NUMBER_LENGTH)
_DURATION = _number(0, 7 * 86400)

ENDING_CAUSES = (
    "completed",
    "blocked",
    "self_served",
    "timeout",
    "no_agents",
    "closed",
    "full",
    "no_answer",
    "busy",
    "rejected",
    "unreachable",
    "invalid_number",
    "cancelled",
    "error",
    "lost_contact",
)
DEPARTURES = ("timeout", "overflow", "no_agents", "closed", "full", "voicemail", "callback", "key", "withdrawn")
"""Why a caller left a queue without an agent. `key`: they pressed one, and where it led is not known."""


def _fields(required: Iterable[tuple[str, Any]], optional: Iterable[tuple[str, Any]] = ()) -> tuple[Field, ...]:
    return tuple(Field(name, check, is_required=True) for name, check in required) + tuple(Field(*line) for line in optional)


_agent = [("agent", _REFERENCE)]
_terminal = ("terminal", _text(20))

TYPES: dict[str, tuple[Field, ...]] = {
    "call.started": _fields(
        [
            ("direction", _one_of("inbound", "outbound", "internal")),
            ("calling_number", _text(NUMBER_LENGTH, may_be_empty=True)),
            ("called_number", _text(NUMBER_LENGTH, may_be_empty=True)),
        ],
        [("provider", _text(60)), ("location", _text(100)), ("call_type", _text(40))],
    ),
    "call.ivr_prompted": _fields([("step", _text(100)), ("prompt", _text(2000))], [("kind", _one_of("tts", "engine", "audio"))]),
    "call.ivr_input": _fields(
        [("step", _text(100)), ("input", _text(2000, may_be_empty=True))], [("kind", _one_of("keys", "speech", "audio"))]
    ),
    "call.queued": _fields([("skill_group", _GROUP)], [("priority", _whole(-1000, 1000))]),
    "call.dequeued": _fields(
        [("reason", _one_of(*DEPARTURES))],
        [("skill_group", _GROUP)],
    ),
    "call.ringing": _fields(_agent, [("skill_group", _GROUP), _terminal]),
    "call.ring_ended": _fields([*_agent, ("reason", _one_of("no_answer", "rejected", "busy", "cancelled"))]),
    "call.answered": _fields(_agent, [("skill_group", _GROUP), _terminal]),
    "call.held": _fields(_agent),
    "call.resumed": _fields(_agent),
    "call.transferred": _fields(
        [("kind", _one_of("blind", "attended"))],
        [
            ("from", _REFERENCE),
            ("to_agent", _REFERENCE),
            ("to_skill_group", _GROUP),
            ("to_number", _NUMBER),
            ("provider", _text(60)),
        ],
    ),
    "call.leg_ended": _fields([], [("agent", _REFERENCE), ("number", _NUMBER), ("reason", _text(40))]),
    "call.wrap_up_ended": _fields(_agent),
    "call.voicemail_left": _fields([], [("duration", _DURATION), ("skill_group", _GROUP), ("file", _text(2000))]),
    "call.recorded": _fields([], [("duration", _DURATION), ("file", _text(2000))]),
    "call.rated": _fields([("asked", _truth)], [("score", _number(0, 100)), ("scale", _whole(1, 100))]),
    "call.remarked": _fields([("text", _text(5000, may_be_empty=True))], [("agent", _REFERENCE), ("disposition", _text(60))]),
    "call.ended": _fields([("party", _one_of("customer", "agent", "system"))], [("cause", _one_of(*ENDING_CAUSES))]),
    "agent.status_changed": _fields(
        [*_agent, ("status", _one_of("available", "busy", "break", "wrap_up", "offline"))], [("reason", _text(60)), _terminal]
    ),
}
AGENT_TYPES = frozenset(name for name in TYPES if name.startswith("agent."))

_EXACTLY_ONE: dict[str, tuple[str, ...]] = {
    "call.transferred": ("to_agent", "to_skill_group", "to_number"),
    "call.leg_ended": ("agent", "number"),
}


def problems_of(event_type: str, data: dict[str, Any]) -> list[dict[str, str]]:
    """What is wrong with an event's data, one line a field; empty: nothing."""
    found = []
    for field in TYPES[event_type]:
        value = data.get(field.name)
        if value is None:
            if field.is_required:
                found.append({"field": f"data.{field.name}", "reason": "is missing"})
        elif (problem := field.problem(value)) is not None:
            found.append({"field": f"data.{field.name}", "reason": problem})
    one_of = _EXACTLY_ONE.get(event_type)
    if one_of and sum(data.get(name) is not None for name in one_of) != 1:
        found.append({"field": "data", "reason": f"must have exactly one of {', '.join(one_of)}"})
    if event_type == "call.rated" and data.get("score") is not None and not found:
        if data.get("scale") is None:
            found.append({"field": "data.scale", "reason": "is missing: the highest score possible goes with a score"})
        elif data["score"] > data["scale"]:
            found.append({"field": "data.score", "reason": "is higher than the scale"})
    return found


def agents_named(event_type: str, data: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """The fields of an event that name an agent, with what they say."""
    names = ("from", "to_agent") if event_type == "call.transferred" else ("agent",)
    return ((name, data[name]) for name in names if data.get(name))


def skill_groups_named(event_type: str, data: dict[str, Any]) -> Iterable[tuple[str, str]]:
    name = "to_skill_group" if event_type == "call.transferred" else "skill_group"
    return ((name, data[name]),) if data.get(name) else ()
