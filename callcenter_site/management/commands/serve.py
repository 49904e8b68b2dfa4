"""The whole portal in one process: pages and API, the worker, and the timetable.

A part that falls over is started again after a pause; stopping waits a few seconds for running jobs and then leaves:
every job may stop anywhere and is taken up again by the timetable.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from celery.beat import Service
from celery.worker import WorkController
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from callcenter_site import queues
from callcenter_site.celery import app
from callcenter_site.timetable import TimetableScheduler

log = logging.getLogger(__name__)

QUEUES = ",".join(queues.QUEUES)
TASK_THREADS = 4
AGAIN_AFTER_SECONDS = 5.0
REQUESTS_MAY_TAKE_SECONDS = 2
JOBS_MAY_TAKE_SECONDS = 2.5


class Command(BaseCommand):
    help = "Serves the portal. Without CELERY_BROKER_URL its worker and timetable run in the same process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000; 0 takes a free one)")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        _refuse_old_tables()
        listener = _listen(host, port)
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, _leave)
        lead_links_to(f"http://{_shown(host)}:{listener.getsockname()[1]}")
        jobs = _Jobs() if settings.CELERY_EMBEDDED else None
        web = uvicorn.Server(
            uvicorn.Config(
                "callcenter_site.asgi:application",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # An open live stream would hold the stop for ever.
                timeout_graceful_shutdown=REQUESTS_MAY_TAKE_SECONDS,
            )
        )
        try:
            if jobs:
                jobs.start()
            self.stdout.write(f"Serving on http://{_shown(host)}:{listener.getsockname()[1]}/ - stop with Ctrl-C.")
            if not jobs:
                self.stdout.write(
                    "CELERY_BROKER_URL is set: this process serves pages and API only. Run beside it\n"
                    f"  celery -A callcenter_site worker -Q {QUEUES}\n  celery -A callcenter_site beat"
                )
            self.stdout.flush()
            web.run(sockets=[listener])
        except (SystemExit, KeyboardInterrupt):
            pass  # uvicorn raises the signal again once it has stopped
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            listener.close()
            finished = jobs.stop() if jobs else True
            self.stdout.write("Stopped." if finished else "Stopped; a running job was left and will be taken up again.")
        if not finished:
            # The interpreter would wait for the job's thread.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def lead_links_to(address: str) -> None:
    """Has links in mails and on pages lead where the portal listens, unless PUBLIC_URL says where people reach it. Jobs run
    in this process and read it as well."""
    if not settings.PUBLIC_URL_IS_SET:
        settings.PUBLIC_URL = address
        settings.CSRF_TRUSTED_ORIGINS = [address]


class _Jobs:
    """The worker and the timetable, each in a thread of its own."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._worker: WorkController | None = None
        self._beat: Service | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        app.set_default()
        app.finalize()
        for name, run in (("worker", self._run_worker), ("timetable", self._run_timetable)):
            thread = threading.Thread(target=self._keep_running, args=(name, run), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> bool:
        """Whether everything came to its end in time."""
        self._stopping.set()
        if self._beat:
            self._beat.stop()
        if self._worker:
            # Waits for running jobs, so it gets a thread that may be left behind.
            stopper = threading.Thread(target=self._worker.stop, kwargs={"in_sighandler": False}, daemon=True)
            stopper.start()
            self._threads.append(stopper)
        until = time.monotonic() + JOBS_MAY_TAKE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run_worker(self) -> None:
        self._worker = WorkController(
            app=app,
            pool="threads",
            concurrency=TASK_THREADS,
            queues=QUEUES,
            hostname="embedded@localhost",
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._worker.start()

    def _run_timetable(self) -> None:
        self._beat = Service(app, scheduler_cls=TimetableScheduler, max_interval=1)  # it hears of a stop only between naps
        self._beat.start()

    def _keep_running(self, name: str, run: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                run()
            except Exception:
                log.exception("the %s failed and is started again", name)
            self._stopping.wait(AGAIN_AFTER_SECONDS)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _refuse_old_tables() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError("The database is not up to date: run `manage.py migrate` first.")
    connection.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OverflowError as error:
        raise CommandError(f"--port {port}: a port is a number up to 65535.") from error
    except OSError as error:
        raise CommandError(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --host and --port.") from error


def _shown(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
