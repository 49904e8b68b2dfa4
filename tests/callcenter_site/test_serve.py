"""`manage.py serve` for real: a process of its own on a free port, with a database and a folder of its own."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest
from django.conf import settings

from callcenter_site.management.commands.serve import lead_links_to

pytestmark = pytest.mark.skipif(bool(settings.REDIS_URL), reason="starts a portal with nothing configured; once is enough")

START_SECONDS = 40
STOP_SECONDS = 8
"""Requests and jobs get 4.5 together; the rest is for a busy machine."""


def manage(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", *arguments]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portal")
    command = manage("migrate", "--verbosity", "0")
    subprocess.run(command, cwd=settings.BASE_DIR, env=os.environ | {"VAR_DIR": str(folder)}, check=True)
    return folder


@pytest.fixture
def portal(folder) -> Iterator[tuple[subprocess.Popen, str]]:
    with subprocess.Popen(
        manage("serve", "--port", "0"),
        cwd=settings.BASE_DIR,
        env=os.environ | {"VAR_DIR": str(folder), "PYTHONUNBUFFERED": "1", "LOG_LEVEL": "DEBUG"},
        stdout=subprocess.PIPE,
        stderr=(folder / "log").open("wb"),
        text=True,
    ) as process:
        try:
            found = re.search(r"http://[\d.:]+/", process.stdout.readline())
            assert found, "the portal did not say where it serves"
            yield process, found[0]
        finally:
            if process.poll() is None:
                process.kill()


def get(url: str) -> tuple[int, bytes]:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def eventually(fact, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def runs_of(folder, job: str) -> int:
    with sqlite3.connect(folder / "portal.sqlite3", timeout=20) as database:
        row = database.execute("SELECT total_run_count FROM django_celery_beat_periodictask WHERE name = ?", [job]).fetchone()
    return row[0] if row else 0


def jobs_done(folder) -> int:
    return (folder / "log").read_text().count('"task_succeeded"')


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_process_serves_runs_the_timetable_and_stops_cleanly(portal, folder, number):
    process, url = portal
    assert get(f"{url}healthz") == (200, b'{"status": "ok"}')
    status, body = get(f"{url}readyz")
    assert status == 200 and set(json.loads(body).values()) == {"ok"}
    before, done = runs_of(folder, "fold_events"), jobs_done(folder)  # the folder has seen other runs of the portal
    # Timetable to queue to worker to job, the whole way: of so many jobs done, one at least is among the most frequent.
    assert eventually(lambda: jobs_done(folder) >= done + 12, START_SECONDS)

    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(STOP_SECONDS + 5) == 0
    assert time.monotonic() - began < STOP_SECONDS
    assert process.stdout.read().strip() == "Stopped."
    assert runs_of(folder, "fold_events") > before  # the timetable was written down on the way out


def test_a_connection_left_open_does_not_hold_the_stop(portal):
    process, url = portal
    get(f"{url}healthz")
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as held:
        held.sendall(b"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        time.sleep(0.5)
        began = time.monotonic()
        process.terminate()
        assert process.wait(STOP_SECONDS + 5) == 0
        assert time.monotonic() - began < STOP_SECONDS


def test_a_port_that_is_taken_is_named(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            manage("serve", "--port", str(port)),
            cwd=settings.BASE_DIR,
            env=os.environ | {"VAR_DIR": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert f"127.0.0.1:{port}" in done.stderr and "--port" in done.stderr and "Traceback" not in done.stderr


def test_a_database_without_its_tables_is_refused_with_what_to_do(tmp_path):
    done = subprocess.run(
        manage("serve", "--port", "0"),
        cwd=settings.BASE_DIR,
        env=os.environ | {"VAR_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0 and "manage.py migrate" in done.stderr and "Traceback" not in done.stderr


def test_with_a_broker_only_the_web_part_is_served_and_it_says_so(folder):
    with subprocess.Popen(
        manage("serve", "--port", "0"),
        cwd=settings.BASE_DIR,
        env=os.environ | {"VAR_DIR": str(folder), "PYTHONUNBUFFERED": "1", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        said = [process.stdout.readline() for _ in range(4)]
        process.terminate()
        assert process.wait(STOP_SECONDS + 5) == 0
    assert "pages and API only" in said[1] and "celery -A callcenter_site worker" in said[2]


@pytest.mark.parametrize(("is_set", "leads_to"), [(False, "http://127.0.0.1:8123"), (True, "https://portal.example.com")])
def test_links_lead_where_the_portal_listens_unless_it_is_told_its_address(settings, is_set, leads_to):
    settings.PUBLIC_URL, settings.PUBLIC_URL_IS_SET, settings.CSRF_TRUSTED_ORIGINS = "https://portal.example.com", is_set, []
    lead_links_to("http://127.0.0.1:8123")
    assert leads_to == settings.PUBLIC_URL
