"""The chain has no gap, no fork, and no link that was changed."""

import datetime as dt
import threading

import pytest
from django.db import connection, transaction

from retention import ledger
from retention.ledger import LedgerKind, append, hash_of
from retention.models import LedgerEntry, LedgerHead

AT = dt.datetime(2026, 7, 16, 2, 0, 0, 123456, tzinfo=dt.UTC)


def add(account=None, **fields):
    with transaction.atomic():
        return append(kind=LedgerKind.PURGE, account_id=account and account.pk, at=AT, **fields)


def test_each_entry_names_the_one_before_it(account):
    entries = [add(account, counts={"calls": n}) for n in range(3)]
    stored = list(LedgerEntry.objects.order_by("position"))
    assert [entry.position for entry in stored] == [1, 2, 3]
    assert [bytes(entry.previous_hash) for entry in stored] == [
        ledger.BEGINNING,
        *(bytes(entry.entry_hash) for entry in stored[:2]),
    ]
    assert [hash_of(entry) for entry in stored] == [bytes(entry.entry_hash) for entry in entries]
    head = LedgerHead.objects.get()
    assert (head.position, bytes(head.entry_hash)) == (3, bytes(entries[2].entry_hash))


def test_what_is_taken_back_leaves_no_gap(account):
    add(account)
    with pytest.raises(KeyboardInterrupt), transaction.atomic():
        append(kind=LedgerKind.PURGE, account_id=account.pk, at=AT)
        raise KeyboardInterrupt
    assert add(account).position == 2


@pytest.mark.django_db(transaction=True)
def test_an_entry_stands_in_the_transaction_of_what_it_tells_of(account):
    with pytest.raises(RuntimeError, match="in the transaction"):
        append(kind=LedgerKind.PURGE, account_id=account.pk, at=AT)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="threads cannot share SQLite's database in memory")
@pytest.mark.django_db(transaction=True)
def test_many_who_append_at_once_make_one_chain(account):
    failed = []

    def write():
        try:
            for n in range(10):
                add(account, counts={"n": n})
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    stored = list(LedgerEntry.objects.order_by("position"))
    assert [entry.position for entry in stored] == list(range(1, 41))
    assert [bytes(entry.previous_hash) for entry in stored[1:]] == [bytes(entry.entry_hash) for entry in stored[:-1]]
