"""The voicemail inbox: who takes care of a message, and what became of it.

Whoever does it is a person or an API key; of a key, no name stands in the row. Changes are told in the audit log.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from callcenter_site.audit import log_update
from calls.models import Call, Direction, Voicemail
from configuration.scoping import Actor


def mark_heard(*, messages: Iterable[Voicemail], by: Any, at: dt.datetime) -> int:
    """How many were unheard until now."""
    return _change(messages, {"heard_at": None}, heard_at=at, heard_by=_person(by))


def mark_unheard(*, messages: Iterable[Voicemail]) -> int:
    return _change(messages, {"heard_at__isnull": False}, heard_at=None, heard_by=None)


def mark_called_back(*, messages: Iterable[Voicemail], by: Any, at: dt.datetime) -> int:
    return _change(messages, {"called_back_at": None}, called_back_at=at, called_back_by=_person(by))


def mark_not_called_back(*, messages: Iterable[Voicemail]) -> int:
    return _change(messages, {"called_back_at__isnull": False}, called_back_at=None, called_back_by=None)


def assign(*, messages: Iterable[Voicemail], to: Agent | None, by: Actor) -> int:
    """Gives messages to an agent, or to nobody; how many have another owner now. Raises `ValidationError`."""
    if to is not None and (to.account_id != by.account_id or not to.is_active):
        raise ValidationError({"assigned_to": _("There is no such agent, or they no longer work here.")})
    others = [row for row in messages if row.assigned_to_id != (to.pk if to else None)]
    return _change(others, {}, assigned_to=to)


def _change(messages: Iterable[Voicemail], condition: dict[str, Any], **values: Any) -> int:
    """Guarded, row by row: two people at one message leave one mark."""
    n_changed = 0
    for row in messages:
        before = {name: getattr(row, f"{name}_id" if isinstance(value, Agent) else name) for name, value in values.items()}
        if Voicemail.objects.filter(pk=row.pk, **condition).update(**values) == 1:
            n_changed += 1
            # By id: what people are called is erased with them.
            log_update(row, **{name: (_id(before[name]), _id(value)) for name, value in values.items()})
            for name, value in values.items():
                setattr(row, name, value)
    return n_changed


def _id(value: Any) -> Any:
    return getattr(value, "pk", value)


def _person(by: Any) -> Agent | None:
    return by if isinstance(by, Agent) else None


def calls_back(messages: Sequence[Voicemail], *, seen_by: Actor) -> dict[int, Call]:
    """The first call to each message's caller after it, as far as the asker sees it, by message."""
    callers = {row.pk: row.call.calling_number for row in messages if row.call.calling_number}
    if not callers:
        return {}
    oldest = min(row.recorded_at for row in messages)
    found: dict[int, Call] = {}
    calls = (
        Call.objects.visible_to(seen_by)
        .filter(direction=Direction.OUTBOUND, called_number__in=set(callers.values()), started_at__gte=oldest)
        .order_by("started_at", "pk")
        .only("pk", "called_number", "started_at", "answered_at")
    )
    by_number: dict[str, list[Call]] = {}
    for call in calls[:1000]:
        by_number.setdefault(call.called_number, []).append(call)
    for row in messages:
        later = [call for call in by_number.get(callers.get(row.pk, ""), []) if call.started_at >= row.recorded_at]
        # One that was answered says more than an attempt.
        chosen = next((call for call in later if call.answered_at), later[0] if later else None)
        if chosen is not None:
            found[row.pk] = chosen
    return found
