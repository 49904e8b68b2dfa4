"""`/healthz`: the process answers. `/readyz`: each part it needs answers, by name."""

import logging
import shutil
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

from callcenter_site import queues
from callcenter_site.prometheus import Family, family

log = logging.getLogger(__name__)

DATABASE_SECONDS = 2
"""A database that is frozen must not freeze who asks whether it is."""


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when every part answers, else 503. Only names and "ok" or "failed": reasons stand in the log."""
    parts: dict[str, bool] = {}
    for name, check in CHECKS.items():
        # What stands in the database is not looked for where the database is away: each look would wait for it again.
        parts[name] = (parts.get("database", True) or name not in IN_DATABASE) and _works(name, check)
    answer = {name: "ok" if fine else "failed" for name, fine in parts.items()}
    return JsonResponse(answer, status=200 if all(parts.values()) else 503)


def _works(name: str, check: Callable[[], bool]) -> bool:
    try:
        return check()
    except Exception as error:  # any failure of a part is the answer, whatever its type
        log.warning("%s does not answer: %s", name, type(error).__name__)
        return False


def _database() -> bool:
    if connection.vendor != "mysql":
        return _answers(connection)
    probe: Any = connection.copy()
    times = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), DATABASE_SECONDS)
    probe.settings_dict = probe.settings_dict | {"OPTIONS": probe.settings_dict["OPTIONS"] | times}
    try:
        return _answers(probe)
    finally:
        probe.close()


def _answers(database: Any) -> bool:
    with database.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone() == (1,))


_migrated = False


def _migrations() -> bool:
    """Asked until it is so: tables that are ahead of this process are as good, and nothing takes them back beneath it."""
    global _migrated  # noqa: PLW0603  (one per process)
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated


def _broker() -> bool:
    """In one process there is none to ask."""
    if settings.CELERY_EMBEDDED:
        return True
    with queues.broker() as client:
        return bool(client.ping())


def _cache() -> bool:
    token = uuid.uuid4().hex
    cache.set("readyz", token, 30)
    return cache.get("readyz") == token if settings.REDIS_URL else True


def _storage() -> bool:
    if settings.COS_BUCKET:
        # Asked for by itself: a store without the bucket also answers that a file is not there.
        store: Any = default_storage
        store.connection.meta.client.head_bucket(Bucket=store.bucket_name)
    else:
        default_storage.exists("readyz")
    return True


def disk_has_room() -> bool:
    return shutil.disk_usage(settings.VAR_DIR).free >= settings.DISK_FREE_BYTES


CHECKS: dict[str, Callable[[], bool]] = {
    "database": _database,
    "migrations": _migrations,
    "cache": _cache,
    "broker": _broker,
    "storage": _storage,
    "disk": disk_has_room,
}
IN_DATABASE = {"migrations"}


def gauges() -> list[Family]:
    free = shutil.disk_usage(settings.VAR_DIR).free
    return [
        family("portal_disk_free_bytes", "Room left under VAR_DIR.", float(free)),
        family("portal_disk_limit_bytes", "Below this, no more events are accepted.", float(settings.DISK_FREE_BYTES)),
    ]
