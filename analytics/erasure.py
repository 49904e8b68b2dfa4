"""How long figures live: counts name nobody and go by their own day, whatever becomes of the calls in them.

Counts of agents point to people by their row alone: of one who was erased the row stays, empty, and so do the counts.
"""

import datetime as dt
from typing import Any

from django.db.models import Q

from analytics.models import (
    AgentDay,
    AgentInterval,
    AgentTotal,
    AlertCrossing,
    AlertNotice,
    CallDay,
    CallInterval,
    CallTotal,
    DispositionDay,
    DispositionInterval,
    ErasedCount,
    GroupDay,
    GroupTotal,
    OfDay,
    ProviderDay,
    ProviderInterval,
    QueueDay,
    QueueInterval,
    QueueTotal,
)
from callcenter_site.erasure import Batch, Cursor, Kept, Lifetime, cursor_after, delete_batch, delete_rows, in_turn
from configuration.models import Account

COUNTS: tuple[type[Any], ...] = (
    CallInterval,
    CallTotal,
    CallDay,
    ProviderInterval,
    ProviderDay,
    DispositionInterval,
    DispositionDay,
    QueueInterval,
    GroupTotal,
    QueueTotal,
    QueueDay,
    GroupDay,
    AgentInterval,
    AgentTotal,
    AgentDay,
    ErasedCount,
)


def clock_of(model: type[Any]) -> str:
    """The column that says which slot or day a table's counts are of."""
    return "day" if issubclass(model, OfDay) else "slot"


KEPT = (
    *(Kept(model._meta.label, Lifetime.COUNTS, clock=clock_of(model)) for model in COUNTS),
    Kept("analytics.FillMark", Lifetime.CONFIGURATION),
    Kept("analytics.Display", Lifetime.CONFIGURATION),
    Kept("analytics.SavedView", Lifetime.CONFIGURATION, people=("owner", "name", "query")),
    Kept("analytics.SavedReport", Lifetime.CONFIGURATION, people=("owner", "name", "query")),
    Kept("analytics.ReportReader", Lifetime.CONFIGURATION, people=("person",)),
    Kept("analytics.ReportRun", Lifetime.UNTIL_USED, clock="created_at", people=("owner", "name", "query"), files=("key",)),
    Kept("analytics.ReportMail", Lifetime.UNTIL_USED, clock="run__created_at", people=("person",)),
    Kept("analytics.AlertCrossing", Lifetime.COUNTS, clock="crossed_at"),
    Kept("analytics.AlertNotice", Lifetime.COUNTS, clock="crossing__crossed_at"),
    Kept("analytics.AlertRule", Lifetime.CONFIGURATION, people=("mail_to",)),
)


def erase_crossings(*, account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None) -> Batch:
    """Deletes what was told by alerts before a moment, each time with its messages. One that is not over yet stays."""
    rows = AlertCrossing.objects.for_account(account).filter(crossed_at__lt=before).exclude(recovered_at=None)
    rows = rows.exclude(keep) if keep else rows
    page = in_turn(rows, clock="crossed_at", after=after, limit=limit)
    ids = [pk for _, pk in page]
    delete_rows(AlertNotice.objects.for_account(account).filter(crossing_id__in=ids))
    return Batch(delete_rows(rows.filter(pk__in=ids)), cursor_after(page, limit))


def erase_counts(
    *, model: type[Any], account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None
) -> Batch:
    """Deletes counts, of one of the tables of `COUNTS`, whose slot or local day lies before a moment."""
    clock = clock_of(model)
    bound = before.astimezone(account.zone).date() if clock == "day" else before
    rows = model.objects.for_account(account).filter(**{f"{clock}__lt": bound})
    return delete_batch(rows, clock=clock, after=after, limit=limit, keep=keep)
