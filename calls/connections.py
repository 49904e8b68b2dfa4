"""How the platforms that send by themselves are getting on: when each was last heard, what was refused, and gaps."""

import datetime as dt

from django.db import IntegrityError, transaction
from django.db.models import F

from calls.models import Connection
from configuration.models import Account


def note_accepted(*, account: Account, kind: str, name: str, n_events: int, at: dt.datetime) -> None:
    _note(account, kind, name, n_accepted=F("n_accepted") + n_events, last_heard_at=at)


def note_refused(*, account: Account, kind: str, name: str, reason: str, at: dt.datetime) -> None:
    """`reason` names the field at fault, never its value."""
    _note(account, kind, name, n_refused=F("n_refused") + 1, last_refused_at=at, last_refusal=reason[:200])


def note_gap(*, account: Account, kind: str, name: str, start: dt.datetime, end: dt.datetime | None) -> None:
    """Nothing was heard between two moments; `None`: the gap is still open."""
    _note(account, kind, name, gap_started_at=start, gap_ended_at=end)


def _note(account: Account, kind: str, name: str, **changes: object) -> None:
    row = Connection.objects.for_account(account).filter(kind=kind, name=name[:60])
    if row.update(**changes):
        return
    try:
        with transaction.atomic():
            Connection.objects.create(account=account, kind=kind, name=name[:60])
    except IntegrityError:  # somebody else noted it first
        pass
    row.update(**changes)
