"""A real worker on a real broker: what becomes of its task when it is told to stop, or killed."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import redis
import structlog
from celery import Celery
from django.conf import settings

pytestmark = pytest.mark.skipif("CELERY_BROKER_URL" not in os.environ, reason="needs Redis as broker")

QUEUE = "ingest"


@pytest.fixture
def broker(monkeypatch):
    """Queues of this test alone."""
    monkeypatch.setenv("REDIS_PREFIX", f"worker-{uuid.uuid4().hex[:8]}")
    yield redis.Redis.from_url(os.environ["CELERY_BROKER_URL"])


@pytest.fixture
def start(tmp_path, broker):
    started = []

    def start(stop_seconds: float) -> subprocess.Popen:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.callcenter_site.worker_app", "worker", "-Q", QUEUE, "-c", "1",
             "-n", f"{uuid.uuid4().hex[:8]}@tests", "--without-mingle", "--without-gossip"],
            cwd=settings.BASE_DIR,
            env=os.environ | {"TESTS_FOLDER": str(tmp_path), "TESTS_STOP_SECONDS": str(stop_seconds), "VAR_DIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=(tmp_path / "log").open("ab"),
            start_new_session=True,
        )  # fmt: skip
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def publish(seconds: float) -> None:
    """From a process of its own mind: the suite's application has no broker."""
    prefix = f"{os.environ['REDIS_PREFIX']}:celery:"
    sender = Celery("tests", broker=os.environ["CELERY_BROKER_URL"], set_as_current=False)
    sender.conf.broker_transport_options = {"global_keyprefix": prefix}
    with structlog.contextvars.bound_contextvars(request_id="r-4711"), sender.connection_for_write() as connection:
        sender.send_task("tests.takes_its_time", [seconds], queue=QUEUE, connection=connection)


def eventually(fact, seconds=60.0):
    until = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.1)


def lines(folder, name):
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def waiting(broker) -> int:
    return broker.llen(f"{os.environ['REDIS_PREFIX']}:celery:{QUEUE}")


def test_a_worker_told_to_stop_finishes_what_it_has_begun(tmp_path, broker, start):
    worker = start(stop_seconds=20)
    publish(2)
    eventually(lambda: lines(tmp_path, "begun"))
    publish(0)  # comes while it stops: nobody takes it
    worker.send_signal(signal.SIGTERM)
    worker.wait(15)  # it does not wait for its whole time
    assert lines(tmp_path, "done") == ["done"]
    assert lines(tmp_path, "begun") == ["r-4711"]  # the request that started it
    assert waiting(broker) == 1


def test_a_worker_whose_time_is_up_gives_its_task_back_and_the_next_one_does_it(tmp_path, broker, start):
    worker = start(stop_seconds=1)
    publish(4)
    eventually(lambda: lines(tmp_path, "begun"))
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    worker.wait(30)
    assert time.monotonic() - began < 15
    assert lines(tmp_path, "done") == []
    eventually(lambda: waiting(broker) == 1, 5)
    start(stop_seconds=1)
    eventually(lambda: lines(tmp_path, "done"))
    assert lines(tmp_path, "begun") == ["r-4711"] * 2


def test_a_task_whose_child_is_killed_is_done_by_another(tmp_path, broker, start):
    worker = start(stop_seconds=5)
    publish(3)
    eventually(lambda: lines(tmp_path, "begun"))
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    eventually(lambda: lines(tmp_path, "done"))
    assert len(lines(tmp_path, "begun")) == 2
