"""How far the replica for reports is behind. Deleting faster than it follows would leave it ever further behind.

Asked only where one is configured, as the database `replica`. What it does not say counts as behind.
"""

import time

from django.conf import settings
from django.db import connections

ALIAS = "replica"
MOST_SECONDS = 10
WAIT_SECONDS = 300


def seconds_behind() -> float | None:
    """None: not known."""
    try:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SHOW REPLICA STATUS")
            row = cursor.fetchone()
            names = [column[0] for column in cursor.description]
    except Exception:  # whatever the driver raises: it is not known
        return None
    told = dict(zip(names, row, strict=True)) if row else {}
    behind = told.get("Seconds_Behind_Source", told.get("Seconds_Behind_Master"))
    return None if behind is None else float(behind)


def wait_until_close() -> bool:
    """Waits while the replica is behind; False: it stayed so."""
    if ALIAS not in settings.DATABASES:
        return True
    end = time.monotonic() + WAIT_SECONDS
    while (behind := seconds_behind()) is None or behind > MOST_SECONDS:
        if time.monotonic() > end:
            return False
        time.sleep(1)
    return True
