"""How long figures live: counts name nobody and go by their own day, whatever becomes of the calls in them."""

import datetime as dt
from typing import Any

from django.db.models import Q

from analytics.models import CallInterval, CallTotal, ErasedCount, GroupTotal, QueueInterval, QueueTotal
from callcenter_site.erasure import Batch, Cursor, Kept, Lifetime, delete_batch
from configuration.models import Account

COUNTS: tuple[type[Any], ...] = (CallInterval, CallTotal, QueueInterval, GroupTotal, QueueTotal, ErasedCount)

KEPT = (
    *(Kept(model._meta.label, Lifetime.COUNTS, clock="slot") for model in COUNTS),
    Kept("analytics.FillMark", Lifetime.CONFIGURATION),
    Kept("analytics.Display", Lifetime.CONFIGURATION),
)


def erase_counts(
    *, model: type[Any], account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None
) -> Batch:
    """Deletes counts, of one of the tables of `COUNTS`, whose slot lies before a moment."""
    rows = model.objects.for_account(account).filter(slot__lt=before)
    rows = rows.exclude(keep) if keep else rows
    return delete_batch(rows, clock="slot", after=after, limit=limit)
