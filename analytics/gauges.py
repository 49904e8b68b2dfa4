"""What `/metrics` says of counting."""

from django.db.models import Count
from django.utils import timezone

from agents.models import StaleAgentTime
from analytics.models import AlertNotice, FillMark
from callcenter_site.prometheus import Family, family
from calls.models import StaleCallSlot

MOST = 100_000


def gauges() -> list[Family]:
    at = timezone.now()
    n_marks = sum(model.objects.order_by()[:MOST].count() for model in (StaleCallSlot, StaleAgentTime))
    behind = set(StaleCallSlot.objects.order_by().values_list("account_id", flat=True).distinct())
    behind |= set(StaleAgentTime.objects.order_by().values_list("account_id", flat=True).distinct())
    lag = 0.0
    for mark in FillMark.objects.filter(account__in=behind, account__terminated_at=None):
        known = [moment for moment in (mark.filled_at, mark.agents_to) if moment is not None]
        if known:
            lag = max(lag, (at - max(known)).total_seconds())
    drifted = FillMark.objects.filter(n_drifted__gt=0).aggregate(n=Count("pk"))["n"]
    waiting = AlertNotice.objects.filter(state=AlertNotice.State.WAITING).count()
    return [
        family("portal_rollup_marks", "Marks of what must be counted again; 100000 at most of each kind.", float(n_marks)),
        family("portal_rollup_lag_seconds", "How old the counts of the account are that is furthest behind; 0: none is.", lag),
        family("portal_drifted_accounts", "Accounts of which the last recount found counts that were wrong.", float(drifted)),
        family("portal_alert_notices_waiting", "Messages of alerts that are still to be sent.", float(waiting)),
    ]
