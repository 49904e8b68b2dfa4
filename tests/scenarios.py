"""Calls told as small text tables.

One line an event: `10:00:20 queued skill_group=S`. The type is written without `call.`; values may be quoted.
"""

import datetime as dt
import shlex
from typing import Any

DAY = dt.date(2026, 11, 23)

_DEFAULTS: dict[str, dict[str, Any]] = {
    "started": {"direction": "inbound", "calling_number": "+8613800138000", "called_number": "+861055500001"},
    "ivr_prompted": {"step": "menu", "prompt": "welcome", "kind": "tts"},
    "ivr_input": {"step": "menu", "input": "1", "kind": "keys"},
    "dequeued": {"reason": "timeout"},
    "ring_ended": {"reason": "no_answer"},
    "transferred": {"kind": "blind"},
    "recorded": {"duration": 10},
    "voicemail_left": {"duration": 10},
    "rated": {"asked": True},
    "ended": {"party": "customer"},
}
_NUMBERS = {"priority", "score", "scale", "duration"}


def at(clock: str, day: dt.date = DAY) -> dt.datetime:
    """A moment of the scenario's day, UTC; a time past 24 h is the day after."""
    hours, minutes, seconds = clock.split(":")
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) + dt.timedelta(
        hours=int(hours), minutes=int(minutes), seconds=float(seconds)
    )


def events_of(table: str, *, call: str = "c1", day: dt.date = DAY) -> list[dict[str, Any]]:
    """The CloudEvents of one call."""
    found = []
    for number, line in enumerate(filter(None, (line.strip() for line in table.splitlines()))):
        clock, name, *words = shlex.split(line)
        given = dict(word.split("=", 1) for word in words)
        values: dict[str, Any] = {key: float(value) if key in _NUMBERS else value for key, value in given.items()}
        for key in ("priority", "scale"):
            if key in values:
                values[key] = int(values[key])
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{call}-{number}",
            "source": "test",
            "type": f"call.{name}",
            "subject": call,
            "time": at(clock, day).isoformat(),
            "data": _DEFAULTS.get(name, {}) | values,
        }
        if "sequence" in values:
            event["sequence"] = event["data"].pop("sequence")
        found.append(event)
    return found
