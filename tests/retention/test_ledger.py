"""The chain has no gap, no fork, and no link that was changed."""

import datetime as dt

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from retention import anchors, ledger, signing
from retention.ledger import LedgerKind, append, hash_of
from retention.models import LedgerAnchor, LedgerEntry, LedgerHead, SigningKey
from tests.at_once import at_once

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
    LedgerHead.objects.get_or_create(pk=ledger.HEAD_ID, defaults={"entry_hash": ledger.BEGINNING})

    def write():
        for n in range(10):
            add(account, counts={"n": n})

    at_once(*[write] * 4)
    stored = list(LedgerEntry.objects.order_by("position"))
    assert [entry.position for entry in stored] == list(range(1, 41))
    assert [bytes(entry.previous_hash) for entry in stored[1:]] == [bytes(entry.entry_hash) for entry in stored[:-1]]


# --- Tampering -------------------------------------------------------------------------------------------------------


@pytest.fixture
def chain(account):
    """Ten entries, of which the first eight are anchored."""
    for n in range(8):
        add(account, counts={"calls": n})
    anchors.anchor(at=AT)
    for n in range(8, 10):
        add(account, counts={"calls": n})


def found():
    return [tuple(problem) for problem in anchors.verify(at=AT)]


def make_anew(first):
    """As somebody would who can write to the database: everything from an entry on is hashed again."""
    previous = LedgerEntry.objects.get(position=first - 1).entry_hash if first > 1 else ledger.BEGINNING
    for entry in LedgerEntry.objects.filter(position__gte=first).order_by("position"):
        entry.previous_hash = bytes(previous)
        previous = entry.entry_hash = hash_of(entry)
        entry.save()
    LedgerHead.objects.update(entry_hash=previous)


def test_a_whole_chain_is_in_order(chain, capsys):
    call_command("verify_ledger")
    assert "10 entries, all in order" in capsys.readouterr().out
    head = LedgerHead.objects.get()
    assert head.verified_at is not None and head.n_problems == 0


def test_an_edited_entry_is_found(chain):
    LedgerEntry.objects.filter(position=4).update(counts={"calls": 0})
    assert found() == [("edited", 4)]
    with pytest.raises(CommandError, match="1 things are wrong"):
        call_command("verify_ledger")
    assert LedgerHead.objects.get().n_problems == 1


def test_an_edited_entry_is_found_though_all_after_it_was_hashed_again(chain):
    LedgerEntry.objects.filter(position=4).update(counts={"calls": 0})
    make_anew(4)
    assert found() == [("rewritten", 8)]


def test_a_removed_entry_is_found(chain):
    LedgerEntry.objects.filter(position=4).delete()
    assert found() == [("removed", 4)]


def test_entries_cut_off_are_found_by_the_head_and_by_the_anchor(chain):
    LedgerEntry.objects.filter(position__gt=9).delete()
    assert found() == [("cut_off", 10)]
    LedgerEntry.objects.filter(position__gt=6).delete()
    LedgerHead.objects.update(position=6, entry_hash=LedgerEntry.objects.get(position=6).entry_hash)
    assert ("cut_off", 7) in found()


def test_an_anchor_that_is_gone_or_was_not_signed_here_is_found(chain):
    (anchor,) = LedgerAnchor.objects.all()
    forged = default_storage.open(anchor.key).read()
    default_storage.delete(anchor.key)
    assert found() == [("anchor_missing", 8)]
    forged = forged.replace(b'"position":8', b'"position":9')
    default_storage.save(anchor.key, ContentFile(forged))
    assert found() == [("anchor_forged", 9)]


def test_anchoring_again_adds_only_what_is_new(account, chain):
    assert anchors.anchor(at=AT) == 2
    assert anchors.anchor(at=AT) == 0
    assert [entry["position"] for entry in anchors.entries_in_storage()] == list(range(1, 11))
    assert found() == []


def test_nothing_personal_lies_in_storage(chain):
    (entry, *_) = anchors.entries_in_storage()
    assert set(entry) == {
        "position", "at", "kind", "account", "request", "store", "counts", "note", "policy", "previous", "hash",
    }  # fmt: skip


# --- The signature ---------------------------------------------------------------------------------------------------


def test_a_signature_verifies_with_the_published_key(db):
    signature = signing.sign(b"certificate")
    public = serialization.load_pem_public_key(signing.public_key_pem().encode())
    public.verify(signature, b"certificate")
    assert signing.verify(b"certificate", signature)
    assert not signing.verify(b"another", signature)
    assert SigningKey.objects.count() == 1


def test_a_certificate_of_before_verifies_after_a_key_was_set(db, settings):
    old = signing.sign(b"certificate")
    key = Ed25519PrivateKey.generate()
    settings.SIGNING_KEY = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    new = signing.sign(b"certificate")
    assert signing.verify(b"certificate", old) and signing.verify(b"certificate", new)
    assert len(signing.public_keys()) == 2
    assert signing.public_keys()[0][0] == signing.public_key_pem()


def test_the_key_goes_under_the_newest_key_of_the_environment_when_it_is_used(db, settings):
    signature = signing.sign(b"certificate")
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS | {"later": b"\1" * 32}
    signing.sign(b"certificate")
    assert SigningKey.objects.get().key_id == "later"
    settings.ENCRYPTION_KEYS = {"later": b"\1" * 32}
    assert signing.sign(b"certificate") == signature  # Ed25519: the same key makes the same signature
