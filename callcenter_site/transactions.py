"""Transactions that lost to another writer: rolled back whole, they are run again."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection

DEADLOCKS = frozenset({1205, 1213})
"""What MySQL says of a lock that was waited for too long, and of a deadlock."""
TRIES = 8

Result = TypeVar("Result")


def again_on_deadlock(work: Callable[[], Result], *, also: tuple[type[Exception], ...] = ()) -> Result:
    """Runs a transaction, and again when another writer was in its way. `also`: what else says so."""
    for n_tried in range(TRIES - 1):
        try:
            return work()
        except Exception as error:
            if not isinstance(error, also) and not _lost(error):
                raise
            time.sleep(0.01 * 2**n_tried * (0.5 + random.random()))  # noqa: S311  (apart from the others, no secret)
    return work()


def _lost(error: Exception) -> bool:
    """Whether all was rolled back and may be run again: of a transaction around it, more was lost than is known here."""
    is_deadlock = isinstance(error, OperationalError) and bool(error.args) and error.args[0] in DEADLOCKS
    return is_deadlock and not connection.in_atomic_block
