"""Several workers count at once, while events come in: the rows are those of one quiet count."""

import datetime as dt
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from django.db import OperationalError, connection

from analytics import rollup
from analytics.erasure import COUNTS
from analytics.models import CallTotal, QueueInterval
from callcenter_site.slots import SLOT
from calls.models import StaleCallSlot
from tests.analytics.events import Story, post
from tests.at_once import at_once
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db(transaction=True)

TEN = dt.datetime(2026, 3, 2, 2, tzinfo=dt.UTC)
LATER = dt.datetime(2026, 3, 3, tzinfo=dt.UTC)


def everything() -> list[list[tuple]]:
    rows = []
    for model in COUNTS:
        names = [field.attname for field in model._meta.concrete_fields if not field.primary_key]
        rows.append(sorted(model.objects.values_list(*names), key=repr))
    return rows


def stories(account, n: int) -> list[Story]:
    """Calls of groups the portal does not know: their rows no constraint keeps from doubling."""
    return [
        Story(account, TEN + SLOT * (number % 6), f"call{number}").queued(1, "unheard of").answered(9, "A").ended(60)
        for number in range(n)
    ]


def insist(job: Callable[[], object]) -> None:
    """Runs a job again that the database turned away, as the timetable does."""
    for _ in range(500):
        try:
            job()
        except OperationalError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("never let in")


def drain() -> None:
    for _ in range(30):
        insist(lambda: rollup.drain_stale_slots(at=LATER))


def test_workers_that_count_while_calls_come_in_double_and_lose_nothing():
    account = AccountFactory()
    AgentFactory(account=account, staff_id="A")
    told = stories(account, 48)

    def take_in() -> None:
        for first in range(0, len(told), 6):
            items = [item for story in told[first : first + 6] for item in story.items]
            insist(lambda items=items: post(account, items, at=LATER))

    def recount() -> None:
        for _ in range(5):
            list(rollup.rebuild(account=account, start=TEN, end=TEN + 6 * SLOT, at=LATER))

    at_once(*(partial(insist, job) for job in (take_in, drain, drain, recount)))
    while rollup.drain_stale_slots(at=LATER):
        pass
    assert not StaleCallSlot.objects.exists()
    found = everything()
    assert sum(row.n_calls for row in CallTotal.objects.all()) == 48
    assert QueueInterval.objects.count() == 6
    for model in COUNTS:
        model.objects.all().delete()
    list(rollup.rebuild(account=account, start=TEN, end=TEN + 6 * SLOT, at=LATER))
    assert everything() == found


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_an_account_that_is_being_filled_is_left_to_its_worker():
    busy, free = AccountFactory(), AccountFactory()
    for account in (busy, free):
        AgentFactory(account=account, staff_id="A")
        post(account, stories(account, 1)[0].items, at=LATER)
    rollup.FillMark.objects.create(account=busy)
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        from django.db import transaction  # the lock lives in this thread's connection

        with transaction.atomic():
            assert rollup._lock(busy, wait=True)
            locked.set()
            done.wait(30)

    def fill() -> None:
        locked.wait(30)
        try:
            assert rollup.drain_stale_slots(at=LATER) == 1
        finally:
            done.set()

    at_once(*(partial(insist, job) for job in (hold, fill)))
    assert set(StaleCallSlot.objects.values_list("account_id", flat=True)) == {busy.pk}
    assert list(CallTotal.objects.values_list("account_id", flat=True)) == [free.pk]
