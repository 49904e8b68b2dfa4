"""What waits in the queues of the broker, asked of Redis itself: no worker need be alive to answer."""

import json
import time
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from callcenter_site.jobs import PUBLISHED_AT
from callcenter_site.prometheus import Family, family

QUEUES = tuple(sorted({route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}))
SECONDS = 1


def broker() -> Any:
    """A client of the broker that gives up soon; by itself it would try again and again."""
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(settings.CELERY_BROKER_URL, socket_connect_timeout=SECONDS, socket_timeout=SECONDS, retry=once)


def waiting() -> dict[str, tuple[int, float]]:
    """By queue: how many tasks wait, and for how long the one that is next has; nothing without a broker."""
    if settings.CELERY_EMBEDDED:
        return {}
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
    with broker() as client:
        pipe = client.pipeline(transaction=False)
        for name in QUEUES:
            pipe.llen(f"{prefix}{name}")
            pipe.lindex(f"{prefix}{name}", -1)
        answers = pipe.execute()
    return {name: (answers[2 * i], _age(answers[2 * i + 1])) for i, name in enumerate(QUEUES)}


def _age(message: bytes | None) -> float:
    try:
        published_at = json.loads(message or b"{}")["headers"][PUBLISHED_AT]
        return max(0.0, time.time() - float(published_at))
    except (ValueError, KeyError, TypeError):
        return 0.0


def gauges() -> list[Family]:
    found = waiting()
    n_tasks = {(name,): float(n) for name, (n, _age) in found.items()}
    ages = {(name,): age for name, (_n, age) in found.items()}
    return [
        family("portal_queue_tasks", "Tasks that wait for a worker.", n_tasks, ["queue"]),
        family("portal_queue_oldest_seconds", "How long the next task of a queue has waited.", ages, ["queue"]),
    ]
