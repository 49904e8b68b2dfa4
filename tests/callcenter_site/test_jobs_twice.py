"""Lost ticks and doubled beats do nothing: every job runs, twice at once and once more, and ends in the same tables."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone

from agents.models import StatusChange
from callcenter_site.celery import app
from callcenter_site.jobs import has_task
from callcenter_site.schedule import TIMETABLE
from calls.demo import center as demo
from calls.demo.simulator import history
from calls.ingest import accept_events
from calls.models import Call, CallEvent, EventState
from retention.models import DeletionRequest, FileDeletion
from tests.at_once import at_once
from tests.factories import AccountFactory, AgentFactory, CallFactory, RecordingFactory

OUTSIDE = {"callcenter_site.JobState", "django_celery_beat.PeriodicTask", "django_celery_beat.PeriodicTasks"}
"""About runs, not about what they do."""
OF_THE_RUN = {
    "heartbeat_at", "seconds", "n_slots", "lease", "leased_until", "n_read", "verified_at", "recounted_at", "key", "loose_key",
    "sha256", "fingerprint", "version", "n_bytes",
}  # fmt: skip
"""Columns that say when and by whom a run was made; the names and bytes of backups are random."""


def tables() -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    for model in apps.get_models():
        if model._meta.label not in OUTSIDE and model._meta.managed:
            columns = [field.attname for field in model._meta.concrete_fields if field.attname not in OF_THE_RUN]
            found[model._meta.label] = sorted(map(repr, model._base_manager.values_list(*columns)))
    return found


@pytest.fixture
def work(transactional_db) -> Iterator[tuple[dt.datetime, int]]:
    """Something is due of every kind that costs no minutes to make."""
    account = AccountFactory(time_zone="UTC", created_at=timezone.now() - dt.timedelta(days=300))
    agent = AgentFactory(account=account, staff_id=demo.CENTER.seats[0].staff_id)
    now = timezone.now()
    past = list(history(demo.CENTER, start=now - dt.timedelta(days=1), end=now, n_calls=25, seed=3, run="twice"))
    accept_events(account=account, items=past, at=now)
    old = now - dt.timedelta(days=230)
    for _ in range(3):
        call = CallFactory(account=account, started_at=old, ended_at=old, ended_on=old.date(), agent=agent)
        RecordingFactory(call=call)
    key = default_storage.save("recordings/bb/gone.wav", ContentFile(b"RIFF"))
    FileDeletion.objects.create(account=account, key=key, key_hash=b"k" * 32, cause="purge:0", put_at=now, due_at=now)
    DeletionRequest.objects.create(account=account, kind="number", due_at=now - dt.timedelta(days=1), state="scoped")
    StatusChange.objects.create(account=account, agent=agent, status="available", started_at=old, change_key=b"c" * 32)
    yield now, len({event["subject"] for event in past if event["type"].startswith("call.")})


def run(name: str) -> None:
    task = TIMETABLE[name][0]
    assert has_task(task)
    app.tasks[task].run()


def twice_at_once(name: str) -> None:
    """On a server by two threads; SQLite in memory lets one write at a time anyway, so there one after the other."""
    if connection.vendor != "mysql":
        run(name)
        run(name)
        return
    at_once(*[lambda: run(name)] * 2)


def test_every_job_twice_at_once_and_once_more_ends_the_same(work):
    now, n_calls = work
    # Some jobs go by the database's clock, which cannot be held; what they make due must be so for the others.
    with time_machine.travel(now + dt.timedelta(minutes=2), tick=False):
        for _ in range(2):  # each leaves something to the others
            for name in TIMETABLE:
                twice_at_once(name)
        first = tables()
        assert not CallEvent.objects.filter(state=EventState.PENDING).exists()
        assert Call.objects.count() == n_calls > 15  # the old ones have gone, the new ones came once
        assert first["analytics.CallInterval"] and not FileDeletion.objects.exists()
        changed = {}
        for name in TIMETABLE:
            before = tables()
            run(name)
            after = tables()
            changed[name] = [label for label in after if after[label] != before[label]]
    assert {name: labels for name, labels in changed.items() if labels} == {}
