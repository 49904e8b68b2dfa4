"""Runs that were cut off are taken up by one worker alone; whoever had it before writes nothing any more."""

import datetime as dt
from typing import Any

from django.db.models import F


def take_over(run: Any, *, at: dt.datetime, cut_off_after: dt.timedelta, **fresh: Any) -> bool:
    """Gives an open run a lease of ours; False: another worker is at it. Called behind the account's gate.

    `fresh`: what begins anew with it.
    """
    running = type(run).State.RUNNING
    if run.state == running and run.heartbeat_at >= at - cut_off_after:
        return False
    same = type(run)._base_manager.filter(pk=run.pk, lease=run.lease, state=run.state)
    if not same.update(state=running, lease=F("lease") + 1, heartbeat_at=at, error="", **fresh):
        return False
    run.refresh_from_db()
    return True
