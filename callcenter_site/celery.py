"""The Celery application. Its timetable stands in `schedule.py`, its settings in `settings.py` under `CELERY_`."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")

app = Celery("callcenter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)  # a task's log lines carry the id of the request that started it


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Being connected is enough: Celery then leaves the logging that settings set up alone."""
