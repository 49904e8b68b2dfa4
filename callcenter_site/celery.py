"""The Celery application. Its timetable stands in `schedule.py`, its settings in `settings.py` under `CELERY_`."""

import logging
import os
import signal
import threading
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_shutting_down
from django_structlog.celery.steps import DjangoStructLogInitStep

log = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")

app = Celery("callcenter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)  # a task's log lines carry the id of the request that started it


@worker_shutting_down.connect
def stop_in_time(how: str = "", **kwargs: Any) -> None:
    """Told to stop, a worker ends once what it has begun is done. What takes longer than settings say it gives back, for it
    would wait as long as that takes. Celery's own soft shutdown always lets the whole time pass."""
    if how == "Warm":
        timer = threading.Timer(app.conf.portal_stop_seconds, os.kill, (os.getpid(), signal.SIGQUIT))
        timer.daemon = True
        timer.start()


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Being connected is enough: Celery then leaves the logging that settings set up alone."""


def nudge(task: Any, *args: Any) -> bool:
    """Starts a task now; False: the broker does not answer. Only makes things faster: a lost nudge is made up for by the
    timetable."""
    try:
        task.apply_async(*((args,) if args else ()), retry=False)
    except Exception as error:  # whatever a broker may raise
        log.warning("a worker could not be nudged: %s", type(error).__name__)
        return False
    return True
