"""The one clock a run that deletes goes by: the database's, which all machines share.

A machine whose clock is far from it does not delete at all: one of the two is wrong, and nobody knows which.
"""

import datetime as dt

from django.db import connection
from django.utils import timezone

MOST_APART = dt.timedelta(minutes=5)


class ClocksDiffer(Exception):
    """This machine's clock and the database's are more than five minutes apart."""


def time_of_run() -> dt.datetime:
    now = _now_of_database()
    if abs(now - timezone.now()) > MOST_APART:
        raise ClocksDiffer
    return now


def _now_of_database() -> dt.datetime:
    if connection.vendor != "mysql":
        return timezone.now()  # a file on this machine has no clock of its own
    with connection.cursor() as cursor:
        cursor.execute("SELECT UTC_TIMESTAMP(6)")
        now: dt.datetime = cursor.fetchone()[0]
    return now if now.tzinfo else now.replace(tzinfo=dt.UTC)
