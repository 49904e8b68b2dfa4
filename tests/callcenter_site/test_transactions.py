"""A transaction that another writer was in the way of is run again; any other failure is told at once."""

from types import SimpleNamespace

import pytest
from django.db import IntegrityError, OperationalError

from callcenter_site import transactions
from callcenter_site.transactions import TRIES, again_on_deadlock


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    slept = []
    monkeypatch.setattr(transactions.time, "sleep", slept.append)
    monkeypatch.setattr(transactions, "connection", SimpleNamespace(in_atomic_block=False))
    return slept


def failing(error, times):
    tried = []

    def work():
        tried.append(True)
        if len(tried) <= times:
            raise error
        return len(tried)

    work.tried = tried
    return work


@pytest.mark.parametrize("code", [1205, 1213])
def test_a_deadlock_is_tried_again_after_a_longer_and_longer_pause(code, pauses):
    assert again_on_deadlock(failing(OperationalError(code, "locked"), times=4)) == 5
    assert len(pauses) == 4 and pauses[3] > pauses[0]


def test_after_the_last_try_it_is_told(pauses):
    work = failing(OperationalError(1213, "locked"), times=99)
    with pytest.raises(OperationalError):
        again_on_deadlock(work)
    assert len(work.tried) == TRIES


@pytest.mark.parametrize("error", [OperationalError(2006, "gone"), OperationalError(), IntegrityError("twice"), ValueError()])
def test_what_is_no_deadlock_is_told_at_once(error, pauses):
    work = failing(error, times=1)
    with pytest.raises(type(error)):
        again_on_deadlock(work)
    assert len(work.tried) == 1 and not pauses


def test_what_else_says_that_another_was_faster_is_tried_again(pauses):
    assert again_on_deadlock(failing(IntegrityError("twice"), times=1), also=(IntegrityError,)) == 2


def test_within_another_transaction_more_was_lost_than_can_be_run_again(monkeypatch):
    monkeypatch.setattr(transactions, "connection", SimpleNamespace(in_atomic_block=True))
    work = failing(OperationalError(1213, "locked"), times=1)
    with pytest.raises(OperationalError):
        again_on_deadlock(work)
    assert len(work.tried) == 1
