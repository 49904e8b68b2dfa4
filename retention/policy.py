"""How long data is kept. These are promises to the customer, not settings, and they stand nowhere else.

Months are calendar months: adding six of them and taking six away are not inverse at the ends of months, so days are
always compared by their expiry, and `today - 6 months` is computed by nobody.
"""

import calendar
import datetime as dt

from callcenter_site.slots import day_bounds
from configuration.models import Account

KEPT_MONTHS = 6
"""Calls and all below them, files and status changes: after the local day they ended. Counts: after their own day."""

RAW_EVENT_AGE = dt.timedelta(days=7)
"""Raw events: after their call closed; those of an agent, after they came."""

FAILED_SIGN_IN_AGE = dt.timedelta(days=7)
"""Failed sign-ins, with their network address."""


def months_later(day: dt.date, months: int) -> dt.date:
    """The same day of a later month, or that month's last day where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def last_day_kept(day: dt.date) -> dt.date:
    """The last day on which a call that ended on `day` is kept; it counts in full."""
    return months_later(day, KEPT_MONTHS)


def is_expired(day: dt.date, *, today: dt.date) -> bool:
    return last_day_kept(day) < today


def local_day(account: Account, at: dt.datetime) -> dt.date:
    return at.astimezone(account.zone).date()


def cutoff(account: Account, *, at: dt.datetime) -> dt.date:
    """The last local day whose calls have expired at a moment, by the account's calendar."""
    today = local_day(account, at)
    day = months_later(today, -KEPT_MONTHS) + dt.timedelta(days=3)
    while not is_expired(day, today=today):
        day -= dt.timedelta(days=1)
    return day


def end_of_day(account: Account, day: dt.date) -> dt.datetime:
    """The first moment after a local day."""
    return day_bounds(day, account.zone)[1]
