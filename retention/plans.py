"""Storage plans: bought, tried, changed, and the notices when one has lapsed."""

import datetime as dt
import logging
from collections.abc import Sequence
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop

from configuration.models import Account
from retention import policy, telling
from retention.ledger import LedgerKind, append
from retention.models import PlanNotice, StoragePlan

log = logging.getLogger(__name__)

Step = PlanNotice.Step

_BEFORE_END = {Step.DAY: 1, Step.WEEK: 7}
"""Days before the last day of the grace; what is nearest first."""
SUBJECT = gettext_noop("Your storage plan has lapsed: calls are deleted after %(day)s")
TEXT = gettext_noop(
    "The storage plan of %(account)s ended on %(ended)s. Until %(day)s its calls are kept for %(months)s months as before. "
    "Then those older than %(rest)s months are deleted for good, with their recordings. "
    "Renew the plan before that day to keep them: %(link)s"
)


def note(*, plan: StoragePlan, at: dt.datetime) -> None:
    """Tells the ledger what a plan says now."""
    counts = {"plan": plan.pk, "months": plan.months, "from": int(f"{plan.from_day:%Y%m%d}")}
    if plan.to_day:
        counts["to"] = int(f"{plan.to_day:%Y%m%d}")
    with transaction.atomic():
        append(kind=LedgerKind.PLAN, account_id=plan.account_id, at=at, store=plan.kind, counts=counts)


class Lapsed(NamedTuple):
    plan: StoragePlan
    ended_on: dt.date
    counts_to: dt.date
    """The last day of its grace."""


def lapsed(counting: Sequence[StoragePlan], *, today: dt.date) -> list[Lapsed]:
    """Plans in their grace whose end will shorten what is kept: no other goes on for as long."""
    over = [Lapsed(plan, plan.to_day, plan.to_day + policy.GRACE) for plan in counting if plan.to_day and plan.to_day < today]
    rest = months_after(counting, today=today)
    return [one for one in over if one.plan.months > rest]


def months_after(counting: Sequence[StoragePlan], *, today: dt.date) -> int:
    """For how many months calls are kept once every grace that runs is over."""
    return policy.longest(plan for plan in counting if plan.to_day is None or plan.to_day >= today)


def tell_of_ends(*, at: dt.datetime) -> int:
    """Tells administrators of lapsed plans when the grace begins, 7 days and 1 day before its end, each once; how many notices.

    After an outage only the nearest of several that are due is sent.
    """
    n_told = 0
    for account in Account.objects.filter(terminated_at=None).order_by("pk"):
        today = policy.local_day(account, at)
        counting = policy.counting_plans(account, today=today)
        for one in lapsed(counting, today=today):
            n_told += _tell(account, one, rest=months_after(counting, today=today), today=today, at=at)
    return n_told


def step_due(one: Lapsed, *, today: dt.date) -> str:
    for step, days in _BEFORE_END.items():
        if today >= one.counts_to - dt.timedelta(days=days):
            return step
    return Step.START


def _tell(account: Account, one: Lapsed, *, rest: int, today: dt.date, at: dt.datetime) -> int:
    plan, ended_on, counts_to = one
    step = step_due(one, today=today)
    if PlanNotice.objects.filter(plan=plan, to_day=ended_on, step=step).exists():
        return 0
    values = {
        "account": account.name,
        "ended": ended_on.isoformat(),
        "day": counts_to.isoformat(),
        "months": plan.months,
        "rest": rest,
        "link": telling.address_of("admin:retention_storageplan_changelist"),
    }
    try:
        with transaction.atomic():  # the notice stands only if the mails went; of two who tell at once, one finds it there
            notice = PlanNotice.objects.create(account=account, plan=plan, to_day=ended_on, step=step, told_at=at)
            n_mails = telling.tell_administrators(account=account, subject=SUBJECT, text=TEXT, values=values)
            PlanNotice.objects.filter(pk=notice.pk).update(n_mails=n_mails)
    except IntegrityError:
        return 0
    except OSError:  # the mail server is away: told by the next run
        log.warning("the end of plan %s could not be told", plan.pk)
        return 0
    return 1
