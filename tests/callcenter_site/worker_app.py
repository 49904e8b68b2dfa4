"""The portal's Celery application with a task that takes its time, for a worker of the tests."""

import os
import time
from pathlib import Path

import django

django.setup()

import structlog  # noqa: E402

from callcenter_site.celery import app  # noqa: E402

app.conf.portal_stop_seconds = float(os.environ.get("TESTS_STOP_SECONDS", "10"))
FOLDER = Path(os.environ.get("TESTS_FOLDER", "."))


@app.task(name="tests.takes_its_time")
def takes_its_time(seconds: float) -> None:
    with (FOLDER / "begun").open("a") as file:
        file.write(f"{structlog.contextvars.get_contextvars().get('request_id')}\n")
    time.sleep(seconds)
    with (FOLDER / "done").open("a") as file:
        file.write("done\n")
