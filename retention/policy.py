"""How long data is kept. These are promises to the customer, not settings, and they stand nowhere else.

Months are calendar months: adding six of them and taking six away are not inverse at the ends of months, so days are
always compared by their expiry, and `today - 6 months` is computed by nobody.
"""

import calendar
import datetime as dt
from collections.abc import Iterable

from django.db.models import Q

from callcenter_site.slots import day_bounds
from configuration.models import Account
from retention.models import StoragePlan

VERSION = "2026-11"
"""Kept with every entry of the ledger: which promises it was made under. Changed with any of them."""

KEPT_MONTHS = 6
"""Calls and all below them, files and status changes: after the local day they ended. Counts: after their own day."""

RAW_EVENT_AGE = dt.timedelta(days=7)
"""Raw events: after their call closed; those of an agent, after they came."""

GRACE = dt.timedelta(days=14)
"""For which a plan counts after its last day."""

FAILED_SIGN_IN_AGE = dt.timedelta(days=7)
"""Failed sign-ins, with their network address."""


def months_later(day: dt.date, months: int) -> dt.date:
    """The same day of a later month, or that month's last day where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def last_day_kept(day: dt.date, months: int = KEPT_MONTHS) -> dt.date:
    """The last day on which a call that ended on `day` is kept; it counts in full."""
    return months_later(day, months)


def is_expired(day: dt.date, *, today: dt.date, months: int = KEPT_MONTHS) -> bool:
    return last_day_kept(day, months) < today


def months(account: Account | int, *, today: dt.date) -> int:
    """For how many months an account's calls are kept on a day of its calendar: the promise, or a longer plan that runs or is
    in its grace."""
    return longest(counting_plans(account, today=today))


def longest(plans: Iterable[StoragePlan]) -> int:
    return max([KEPT_MONTHS, *(plan.months for plan in plans)])


def counting_plans(account: Account | int, *, today: dt.date) -> list[StoragePlan]:
    plans = StoragePlan.objects.for_account(account).filter(from_day__lte=today)
    return list(plans.filter(Q(to_day=None) | Q(to_day__gte=today - GRACE)).order_by("from_day", "pk"))


def local_day(account: Account, at: dt.datetime) -> dt.date:
    return at.astimezone(account.zone).date()


def cutoff(account: Account, *, at: dt.datetime) -> dt.date:
    """The last local day whose calls have expired at a moment, by the account's calendar and plans."""
    today = local_day(account, at)
    return last_expired(today=today, months=months(account, today=today))


def last_expired(*, today: dt.date, months: int) -> dt.date:
    """The last day of which everything has expired, when data is kept for so many months."""
    day = months_later(today, -months) + dt.timedelta(days=3)
    while not is_expired(day, today=today, months=months):
        day -= dt.timedelta(days=1)
    return day


def end_of_day(account: Account, day: dt.date) -> dt.datetime:
    """The first moment after a local day."""
    return day_bounds(day, account.zone)[1]


def start_of_day(account: Account, day: dt.date) -> dt.datetime:
    return day_bounds(day, account.zone)[0]
