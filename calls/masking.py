"""What of a customer's number somebody sees who may not see it whole.

The customer's number is the calling one of an inbound call and the called one of an outbound call; the other is the
center's own and no secret. Numbers of external centers and what callers type are hidden the same way.
"""

import re
from typing import Any

from callcenter_site.phone_numbers import mask, mask_text
from calls.models import Call, Direction
from configuration.access import SEE_FULL_NUMBER

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?")


def sees_numbers(actor: Any) -> bool:
    """Asked of whoever is signed in or holds a key."""
    return bool(actor.has_perm(SEE_FULL_NUMBER))


def customer_number(call: Call) -> str:
    return call.calling_number if call.direction == Direction.INBOUND else call.called_number


def own_number(call: Call, *, whole: bool) -> str:
    """The center's own number, which is no secret. An internal call has none: both ends are people's."""
    return shown(service_number(call), whole=whole or call.direction != Direction.INTERNAL)


def service_number(call: Call) -> str:
    return call.called_number if call.direction == Direction.INBOUND else call.calling_number


def shown(number: str, *, whole: bool) -> str:
    return number if whole else mask(number)


def shown_text(text: str, *, whole: bool) -> str:
    """Free text with any digits long enough to be a number hidden."""
    return text if whole else mask_text(text)


def shown_event(data: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """The payload of an event as it may be shown. Platforms put numbers into any field, names and references too."""
    return data if whole else {name: _hidden(value) for name, value in data.items()}


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _hidden(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_hidden(one) for one in value]
    if isinstance(value, str):
        return value if _TIME.fullmatch(value) else mask_text(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 999_999:
        return mask_text(str(value))
    return value
