import datetime as dt
from collections.abc import Iterator

import pytest
import time_machine

from agents.models import Agent
from tests.isolation.worlds import World, make_world


@pytest.fixture(autouse=True)
def frozen_clock() -> Iterator[None]:
    """Two answers are compared letter by letter, so no second may pass between them."""
    with time_machine.travel(dt.datetime(2026, 3, 4, 3, 0, tzinfo=dt.UTC), tick=False):
        yield


@pytest.fixture
def ours(db, frozen_clock) -> World:
    return make_world("ouroak", 60_000_000)


@pytest.fixture
def theirs(db, frozen_clock) -> World:
    return make_world("theirfig", 70_000_000)


@pytest.fixture
def operator(db) -> Agent:
    return Agent.objects.create_superuser("operator@example.com", "correct horse battery", name="Operator")
