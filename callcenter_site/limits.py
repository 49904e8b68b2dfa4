"""How often somebody may ask within a minute: a key, an account, an address.

The minute slides: of the minute before counts as much as still lies within the last sixty seconds. What is refused is not
counted, so whoever goes on asking too fast gets what they are due and no less. Counts are shared through the cache; while it
is away each process counts for itself, so a limit is then a limit of each. Nothing personal is in a key of the cache.
"""

import math
import time
from collections.abc import Callable

from django.core.cache import cache
from django.utils.crypto import salted_hmac

WINDOW = 60
KEPT_SECONDS = 2 * WINDOW + 10
MOST_KEPT = 50_000
"""Counts a process keeps for itself; beyond, it begins anew."""

_local: dict[str, int] = {}


def seconds_to_wait(kind: str, who: object, *, most: int, counts: bool = True, clock: Callable[[], float] = time.time) -> int:
    """Counts one more of somebody, unless that is too much: then for how long to wait. 0 of `most` means no limit. Without
    `counts` it only says whether one more would be."""
    if not most:
        return 0
    window, elapsed = divmod(clock(), WINDOW)
    name = f"limit:{kind}:{who}:{int(window)}"
    before = min(_count(f"limit:{kind}:{who}:{int(window) - 1}"), most)
    now = _add(name, 1) if counts else _count(name) + 1
    share = elapsed / WINDOW
    if now + before * (1 - share) <= most:
        return 0
    if counts:
        _add(name, -1)
    return _wait(now - 1, before, share, most)


def address_key(address: str) -> str:
    """What an address is counted under: not the address itself, which says who somebody is."""
    return salted_hmac("callcenter_site.limits", address, algorithm="sha256").hexdigest()[:32]


def _wait(now: int, before: int, share: float, most: int) -> int:
    """Until when the minute has slid far enough for one more, rounded up."""
    if before and now < most:
        needed = 1 - (most - 1 - now) / before - share
    else:  # not before the next window, in which what is now counts as before
        needed = 1 - share + max(0.0, 1 - (most - 1) / max(now, 1))
    return max(1, math.ceil(needed * WINDOW))


def _count(name: str) -> int:
    return max(int(cache.get(name) or 0), _local.get(name, 0))


def _add(name: str, n: int) -> int:
    counted = _shared(name, n)
    if counted is not None:
        return counted
    if len(_local) >= MOST_KEPT:
        _local.clear()
    _local[name] = _local.get(name, 0) + n
    return _local[name]


def _shared(name: str, n: int) -> int | None:
    """The new count; None: the cache is away."""
    for _ in range(2):
        try:
            counted = cache.incr(name, n)
        except ValueError:  # the first of this minute
            if cache.add(name, max(n, 0), KEPT_SECONDS):
                return max(n, 0)
            continue  # somebody else was first, or the cache is away
        return int(counted) if counted is not None else None
    return None
