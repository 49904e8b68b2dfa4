"""Redis, as a cache and as the queue of jobs: does it answer, may it forget, does it keep."""

import time
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings

from callcenter_site.doctor.findings import Examined, examines

TIMEOUT_SECONDS = 3
ANSWER_MS = 20
LEAST_VERSION = (6, 0)
FULL = 0.9
OUT_OF_REACH = "See that it runs, and that address and password in {} are right. Pages go on without it, slower; jobs do not."


@examines("cache", otherwise=OUT_OF_REACH.format("REDIS_URL"))
def check_cache(examined: Examined) -> None:
    if not settings.REDIS_URL:
        examined.not_in_use("REDIS_URL", "Each process keeps what it needs in its own memory.")
        return
    told = _check_server(examined, settings.REDIS_URL)
    _check_memory(examined, told)
    _check_policy(
        examined,
        told,
        # Copies all have an end, so any policy finds some to throw out; without one it takes nothing new.
        is_ok=lambda policy: policy != "noeviction" or not int(told.get("maxmemory", 0)),
        mend="Set maxmemory-policy volatile-lru: with noeviction a full Redis takes nothing new, and pages get slow.",
        is_grave=False,
    )


@examines("queue", otherwise=OUT_OF_REACH.format("CELERY_BROKER_URL"))
def check_broker(examined: Examined) -> None:
    if settings.CELERY_EMBEDDED:
        examined.not_in_use("CELERY_BROKER_URL", "Worker and timetable run inside `manage.py serve`.")
        return
    told = _check_server(examined, settings.CELERY_BROKER_URL)
    _check_memory(examined, told)
    _check_policy(
        examined,
        told,
        is_ok=lambda policy: not policy.startswith("allkeys"),
        mend="Set maxmemory-policy volatile-lru (or noeviction): the queue of jobs must not be thrown out.",
    )
    keeps = bool(int(told.get("aof_enabled", 0))) or int(told.get("rdb_last_save_time", 0)) > int(_started_at(told)) + 1
    examined.within(
        "persistence",
        "It writes down what it holds." if keeps else "A restart empties it.",
        is_ok=keeps,
        mend="Set appendonly yes. The timetable finds jobs again that were lost, but some only minutes later.",
        is_grave=False,
    )
    for field, what in (("rdb_last_bgsave_status", "snapshot"), ("aof_last_write_status", "log")):
        if told.get(field, "ok") != "ok":
            examined.fail(
                f"last {what}",
                f"Its last {what} could not be written.",
                "Look at its log and its disk: it may refuse every write until then.",
            )


def _check_server(examined: Examined, address: str) -> dict[str, Any]:
    options: dict[str, Any] = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    client = redis.Redis.from_url(address, **options)
    try:
        client.ping()
        began = time.monotonic()
        client.ping()
        took = (time.monotonic() - began) * 1000
        examined.within(
            "answers",
            f"It answers within {took:.1f} ms.",
            is_ok=took < ANSWER_MS,
            mend="Have it on the same network as the portal.",
            is_grave=False,
        )
        told: dict[str, Any] = client.info()
        name = f"doctor:{time.monotonic_ns()}"
        client.set(name, "1", ex=10)  # refused where it is full, or a replica
        client.delete(name)
    finally:
        client.close()
    version = str(told.get("redis_version", "?"))
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    examined.within(
        "version",
        f"Redis {version}.",
        is_ok=number >= LEAST_VERSION,
        mend="At least Redis 6 is needed; the tests run on Redis 7.",
    )
    return told


def _check_memory(examined: Examined, told: dict[str, Any]) -> None:
    used, most = int(told.get("used_memory", 0)), int(told.get("maxmemory", 0))
    megabyte = 1024**2
    if not most:
        examined.warn(
            "memory",
            f"It uses {used / megabyte:.0f} MB and may take all the machine has.",
            "Set maxmemory, 512mb to begin with: else the machine ends it, or the database, when memory runs out.",
        )
        return
    examined.within(
        "memory",
        f"It uses {used / megabyte:.0f} of {most / megabyte:.0f} MB.",
        is_ok=used < most * FULL,
        mend="Raise maxmemory.",
        is_grave=False,
    )


def _check_policy(
    examined: Examined, told: dict[str, Any], *, is_ok: Callable[[str], bool], mend: str, is_grave: bool = True
) -> None:
    policy = str(told.get("maxmemory_policy", ""))
    said = f"It goes by {policy or 'a policy it does not tell'}."
    examined.within("when it is full", said, is_ok=is_ok(policy), mend=mend, is_grave=is_grave)


def _started_at(told: dict[str, Any]) -> float:
    return time.time() - int(told.get("uptime_in_seconds", 0))
