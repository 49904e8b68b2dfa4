"""`/metrics`, for Prometheus: what the processes of this machine counted, and what the database says of the whole portal.

Every process, web or worker, counts into files of its own below `METRICS_DIR`; whichever is asked adds them all up. What a
process that ended has counted goes into one file first, so that a sum never falls: Prometheus would take that for a
restart and count everything again. What is read from the database, an app says (`settings.GAUGES`).

Labels are routes, names of jobs, queues and states. Nobody's name, number or account is one.
"""

import fcntl
import hmac
import ipaddress
import logging
import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

log = logging.getLogger(__name__)

HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
ENDED = "ended"
SILENT_SECONDS = 24 * 3600
"""A process of another machine or container is taken for ended when its file has not changed for so long."""
KEPT_SECONDS = 2.0
"""Several who ask at once get the same figures of the database."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
TASK_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 60.0, 300.0, 1800.0)
LAG_BUCKETS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)

Family = GaugeMetricFamily


def _process() -> str:
    """Containers that share the folder have the same process ids."""
    return f"{HOST}-{os.getpid()}"


values.ValueClass = values.MultiProcessValue(_process)  # type: ignore[no-untyped-call]

REQUESTS = Counter("portal_requests", "Answers by route, method and status.", ["route", "method", "status"])
REQUEST_SECONDS = Histogram("portal_request_seconds", "Time to the answer.", ["route", "method"], buckets=REQUEST_BUCKETS)
TASKS = Counter("portal_tasks", "Runs of tasks by how they ended.", ["task", "outcome"])
TASK_SECONDS = Histogram("portal_task_seconds", "What a run of a task took.", ["task"], buckets=TASK_BUCKETS)
TASK_WAIT_SECONDS = Histogram("portal_task_wait_seconds", "From the queue to a worker.", ["queue"], buckets=LAG_BUCKETS)
WATCHERS = Gauge("portal_live_watchers", "Live pages that are open.", ["kind"], multiprocess_mode="livesum")


# --- Requests --------------------------------------------------------------------------------------------------------


class RequestMetrics:
    """Stands before all other middleware, whose time is part of the answer's. Static files are not counted."""

    sync_capable, async_capable = True, False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = self.get_response(request)
        if not request.path_info.startswith(settings.STATIC_URL):
            route = route_of(request)
            method = request.method if request.method in METHODS else "other"
            REQUESTS.labels(route, method, response.status_code).inc()
            REQUEST_SECONDS.labels(route, method).observe(time.perf_counter() - began)
        return response


def route_of(request: HttpRequest) -> str:
    """The pattern of the address, which holds no value; "none" for an address that leads nowhere."""
    match = request.resolver_match
    return f"/{match.route}" if match is not None else "none"


# --- What processes counted ------------------------------------------------------------------------------------------


def fold_ended(folder: Path) -> None:
    """Moves what ended processes counted into one file for each kind, and forgets what they had open. Under the lock."""
    for path in folder.glob("*.db"):
        kind, _, process = path.stem.rpartition("_")
        if process == f"{HOST}-{ENDED}" or _is_alive(process, path):
            continue
        if not kind.startswith("gauge"):
            try:
                _add_up(path, folder / f"{kind}_{HOST}-{ENDED}.db")
            except (struct.error, RuntimeError, ValueError):  # killed as it was made
                log.warning("what a process counted could not be read: %s", path.name)
        path.unlink()


def _is_alive(process: str, path: Path) -> bool:
    host, _, pid = process.rpartition("-")
    if host != HOST:
        return pid == ENDED or time.time() - path.stat().st_mtime < SILENT_SECONDS
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user, and there
    return True


def _add_up(path: Path, into: Path) -> None:
    total = MmapedDict(str(into))  # type: ignore[no-untyped-call]
    try:
        for key, value, _timestamp, _position in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            before, _ = total.read_value(key)  # type: ignore[no-untyped-call]
            total.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
    finally:
        total.close()  # type: ignore[no-untyped-call]


@contextmanager
def _folder() -> Iterator[Path]:
    """The files, for one reader at a time."""
    folder = Path(settings.METRICS_DIR)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


# --- What the database says ------------------------------------------------------------------------------------------


def family(name: str, help_text: str, samples: Mapping[Any, float] | float, labels: Iterable[str] = ()) -> Family:
    """One measure with its samples, by the values of its labels."""
    found = GaugeMetricFamily(name, help_text, labels=tuple(labels))
    for key, value in (samples if isinstance(samples, Mapping) else {(): samples}).items():
        found.add_metric(key, value)
    return found


_kept: tuple[float, list[Family]] = (0.0, [])


def gauges() -> list[Family]:
    """What each app says of itself. One that cannot say it, because its database or broker is away, is named instead."""
    global _kept  # noqa: PLW0603  (one per process)
    read_at, found = _kept
    if found and time.monotonic() - read_at < KEPT_SECONDS:
        return found
    found, unread = [], {}
    for path in settings.GAUGES:
        try:
            found += import_string(path)()
        except Exception as error:  # whatever a broken part may raise
            log.warning("%s could not be measured: %s", path, type(error).__name__)
            unread[(path,)] = 1.0
        else:
            unread[(path,)] = 0.0
    found.append(family("portal_unread", "Parts of the portal whose state could not be read.", unread, ["part"]))
    _kept = (time.monotonic(), found)
    return found


class _Ready:
    def __init__(self, families: list[Family]) -> None:
        self.families = families

    def collect(self) -> list[Family]:
        return self.families

    def describe(self) -> list[Family]:
        return []


def exposition() -> bytes:
    registry = CollectorRegistry()
    registry.register(_Ready(gauges()))  # type: ignore[arg-type]
    with _folder() as folder:
        fold_ended(folder)
        MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
        return generate_latest(registry)


# --- The page --------------------------------------------------------------------------------------------------------


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Closed unless METRICS_TOKEN or METRICS_NETWORKS is set: to anybody else the page does not exist."""
    if not _may_read(request):
        return HttpResponse("Not Found\n", status=404, content_type="text/plain")
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "")
    if settings.METRICS_TOKEN and hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode()):
        return True
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # a Unix socket has none
        return False
    return any(address in network for network in settings.METRICS_NETWORKS)
