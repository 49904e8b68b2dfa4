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
from django.http import HttpRequest, JsonResponse

log = logging.getLogger(__name__)


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when every part answers, else 503. Only names and "ok" or "failed": reasons stand in the log."""
    parts = {name: _works(name, check) for name, check in CHECKS.items()}
    answer = {name: "ok" if fine else "failed" for name, fine in parts.items()}
    return JsonResponse(answer, status=200 if all(parts.values()) else 503)


def _works(name: str, check: Callable[[], bool]) -> bool:
    try:
        return check()
    except Exception as error:  # any failure of a part is the answer, whatever its type
        log.warning("%s does not answer: %s", name, type(error).__name__)
        return False


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone() == (1,))


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


CHECKS: dict[str, Callable[[], bool]] = {"database": _database, "cache": _cache, "storage": _storage, "disk": disk_has_room}
