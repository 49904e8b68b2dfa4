import copy
import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
import time_machine
from django.db import transaction

from agents.models import Agent
from configuration.encryption import forget_keys
from tests.isolation.worlds import World, make_world

Made = TypeVar("Made")
NOW = dt.datetime(2026, 3, 4, 3, 0, tzinfo=dt.UTC)


@contextmanager
def kept_around_tests(make: Callable[[], Made], blocker: Any) -> Iterator[Made]:
    """Rows that all tests of a module start from: made once, in a transaction around those of the tests."""
    with blocker.unblock(), time_machine.travel(NOW, tick=False):
        around = transaction.atomic()
        around.__enter__()
        forget_keys()  # account ids come again from module to module
        made = make()
    yield made
    with blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def frozen_clock() -> Iterator[None]:
    """Two answers are compared letter by letter, so no second may pass between them."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(scope="module")
def two_worlds(django_db_setup, django_db_blocker) -> Iterator[tuple[World, World]]:
    with kept_around_tests(
        lambda: (make_world("ouroak", 60_000_000), make_world("theirfig", 70_000_000)), django_db_blocker
    ) as worlds:
        yield worlds


@pytest.fixture
def ours(two_worlds, db) -> World:
    return copy.deepcopy(two_worlds[0])


@pytest.fixture
def theirs(two_worlds, db) -> World:
    return copy.deepcopy(two_worlds[1])


@pytest.fixture
def operator(db) -> Agent:
    return Agent.objects.create_superuser("operator@example.com", "correct horse battery", name="Operator")
