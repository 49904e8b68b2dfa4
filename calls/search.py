"""How calls and events are found by what people have at hand: a whole number, a whole call ID, the id of an event."""

from typing import Any

from calls.envelope import call_key_of
from calls.narrowing import by_number
from calls.querysets import CallQuerySet


def find_calls(rows: CallQuerySet, text: str, *, account_id: int, region: str) -> CallQuerySet:
    """The call with this ID, else the calls from or to this number, in whatever form it is written."""
    found = rows.filter(call_key=call_key_of(account_id, text)).values_list("pk", flat=True).first()
    return rows.filter(pk=found) if found is not None else by_number(rows, text, account_id=account_id, region=region)


def find_events(rows: Any, text: str, *, account_id: int) -> Any:
    """The events of this call, else the events with this id: whole, never a part of it."""
    of_call: Any = rows.filter(call_key=call_key_of(account_id, text))
    return of_call if of_call.exists() else rows.filter(event_id=text)
