"""What of a customer's number somebody sees who may not see it whole.

The customer's number is the calling one of an inbound call and the called one of an outbound call; the other is the
center's own and no secret. Numbers of external centers and what callers type are hidden the same way.
"""

import re
from typing import Any

from callcenter_site.phone_numbers import mask
from calls.models import Call, Direction
from configuration.access import SEE_FULL_NUMBER

_NUMBER_FIELDS = frozenset({"calling_number", "called_number", "number", "to_number", "prompt", "input", "text"})
_LONG_DIGITS = re.compile(r"\+?\d(?:[ \-]?\d){6,}")


def sees_numbers(actor: Any) -> bool:
    """Asked of whoever is signed in or holds a key."""
    return bool(actor.has_perm(SEE_FULL_NUMBER))


def customer_number(call: Call) -> str:
    return call.calling_number if call.direction == Direction.INBOUND else call.called_number


def service_number(call: Call) -> str:
    return call.called_number if call.direction == Direction.INBOUND else call.calling_number


def shown(number: str, *, whole: bool) -> str:
    return number if whole else mask(number)


def shown_text(text: str, *, whole: bool) -> str:
    """Free text with any digits long enough to be a number hidden."""
    return text if whole else _LONG_DIGITS.sub(lambda found: mask(found.group()), text)


def shown_event(data: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """The payload of an event as it may be shown."""
    if whole:
        return data
    return {name: _hidden(value) if name in _NUMBER_FIELDS else value for name, value in data.items()}


def _hidden(value: Any) -> Any:
    return shown_text(value, whole=False) if isinstance(value, str) else value
