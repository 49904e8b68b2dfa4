"""How calls and events are found by what people have at hand: a whole number, a whole call ID, the id of an event."""

from typing import Any

from callcenter_site.phone_numbers import canonical
from calls.envelope import call_key_of
from calls.models import Call
from calls.querysets import CallQuerySet

FEW_CALLS = 500


def find_calls(rows: CallQuerySet, text: str, *, account_id: int, region: str) -> CallQuerySet:
    """The call with this ID, else the calls from or to this number, in whatever form it is written."""
    found = rows.filter(call_key=call_key_of(account_id, text)).values_list("pk", flat=True).first()
    return rows.filter(pk=found) if found is not None else calls_with_number(rows, text, account_id=account_id, region=region)


def calls_with_number(rows: CallQuerySet, text: str, *, account_id: int, region: str) -> CallQuerySet:
    """`rows.with_number`, made fast: asked for either column at once, a database walks the whole account by time.

    That walk is right for a number with many calls, which soon fill a page. A rare one is looked up by index first.
    """
    number = canonical(text, region)
    found: set[int] = set()
    for column in ("calling_number", "called_number"):
        ids: Any = (
            Call.objects.for_account(account_id).filter(**{column: number}).order_by("-started_at").values_list("pk", flat=True)
        )
        found.update(ids[:FEW_CALLS])
        if len(found) >= FEW_CALLS:
            return rows.with_number(text, region=region)
    return rows.filter(pk__in=found)


def find_events(rows: Any, text: str, *, account_id: int) -> Any:
    """The events of this call, else the events with this id: whole, never a part of it."""
    of_call: Any = rows.filter(call_key=call_key_of(account_id, text))
    return of_call if of_call.exists() else rows.filter(event_id=text)
