"""Files go after their rows: all of them, every version, and none that nothing named."""

import datetime as dt

import pytest
from django.conf import settings as portal
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction

from callcenter_site import object_store
from retention import holds, outbox
from retention.models import FileDeletion, LegalHold
from tests.factories import AccountFactory

AT = dt.datetime(2026, 7, 16, 2, 0, tzinfo=dt.UTC)
needs_bucket = pytest.mark.skipif(not portal.COS_BUCKET, reason="a bucket")


def store(n):
    return [default_storage.save(f"audio/{i:04d}", ContentFile(b"sound")) for i in range(n)]


def put(account, keys, cause="purge:1", at=AT):
    with transaction.atomic():
        return outbox.put(account=account, keys=keys, at=at, cause=cause)


def test_files_named_go_and_no_others(account):
    *named, other = store(4)
    assert put(account, named) == 3
    assert outbox.work(at=AT) == (3, 0, 0)
    assert [default_storage.exists(key) for key in [*named, other]] == [False, False, False, True]
    assert not FileDeletion.objects.exists()


def test_a_file_is_named_once_and_goes_with_the_later_cause(account):
    (key,) = store(1)
    put(account, [key, key, ""])
    put(account, [key], cause="request:7")
    assert [(row.key, row.cause) for row in FileDeletion.objects.all()] == [(key, "request:7")]
    assert (outbox.left(account=account, cause="request:7"), outbox.left(account=account, cause="purge:1")) == (1, 0)


def test_two_accounts_may_name_the_same_file(account):
    put(account, ["a"])
    put(AccountFactory(), ["a"])
    assert FileDeletion.objects.count() == 2


def test_what_is_taken_back_names_no_file(account):
    (key,) = store(1)
    with pytest.raises(KeyboardInterrupt), transaction.atomic():
        outbox.put(account=account, keys=[key], at=AT, cause="purge:1")
        raise KeyboardInterrupt
    assert outbox.work(at=AT) == (0, 0, 0)
    assert default_storage.exists(key)


def test_a_file_that_is_gone_already_is_done(account):
    put(account, ["audio/never"])
    assert outbox.work(at=AT) == (1, 0, 0)


def test_three_refused_of_a_thousand_stay_named_and_are_tried_again_ever_more_rarely(account, monkeypatch):
    keys = [f"audio/{n}" for n in range(1000)]
    put(account, keys)
    refused = dict.fromkeys(keys[10:13], "AccessDenied")
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "delete_objects", lambda names: {name: refused[name] for name in names if name in refused})
        assert outbox.work(at=AT) == (997, 3, 0)
        assert outbox.work(at=AT) == (0, 0, 0)  # not yet again
        at, pauses = AT, []
        for _ in range(6):
            due = FileDeletion.objects.order_by("due_at").first().due_at
            pauses.append((due - at).total_seconds())
            at = due
            result = outbox.work(at=at)
        assert pauses == [60, 120, 240, 480, 960, 1920]
        assert result == (0, 3, 3)
        assert {(row.state, row.error, row.attempts) for row in FileDeletion.objects.all()} == {("blocked", "AccessDenied", 7)}
    assert outbox.work(at=at + dt.timedelta(hours=6)) == (3, 0, 0)
    assert not FileDeletion.objects.exists()


def test_a_worker_that_died_gives_its_files_to_the_next(account, monkeypatch):
    put(account, store(2))

    def killed(names):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(outbox, "delete_objects", killed)
        outbox.work(at=AT)
    assert outbox.work(at=AT + dt.timedelta(minutes=5)) == (0, 0, 0)
    assert outbox.work(at=AT + dt.timedelta(minutes=11)) == (2, 0, 0)


def test_two_workers_at_once_never_have_the_same_file(account, monkeypatch):
    put(account, store(3))
    inner, real = [], object_store.delete_objects

    def meanwhile(names):
        if not inner:
            inner.append(None)
            inner.append(outbox.work(at=AT))
        return real(names)

    monkeypatch.setattr(outbox, "delete_objects", meanwhile)
    assert outbox.work(at=AT) == (3, 0, 0)
    assert inner[1] == (0, 0, 0)


def test_a_store_that_is_away_loses_no_name(account, monkeypatch):
    put(account, ["a", "b"])

    def away(names):
        raise ConnectionError

    monkeypatch.setattr(outbox, "delete_objects", away)
    assert outbox.work(at=AT) == (0, 2, 0)
    assert {row.error for row in FileDeletion.objects.all()} == {"ConnectionError"}


def test_files_of_an_account_under_a_hold_wait_until_it_is_released(account):
    (key,) = store(1)
    put(account, [key])
    hold = holds.place(hold=LegalHold(account=account, kind="account", reference="7/26"), by=None, at=AT)
    assert outbox.work(at=AT) == (0, 0, 0)
    assert default_storage.exists(key)
    holds.release(hold=hold, by=None, at=AT)
    assert outbox.work(at=AT) == (1, 0, 0)


@needs_bucket
def test_the_store_takes_a_thousand_names_in_one_request(account):
    keys = store(3) + [f"audio/none-{n}" for n in range(997)]
    assert object_store.delete_objects(keys) == {}
    assert not any(default_storage.exists(key) for key in keys[:3])


@needs_bucket
def test_every_version_and_marker_goes_and_a_longer_name_stays():
    client = default_storage.connection.meta.client
    client.put_bucket_versioning(Bucket=default_storage.bucket_name, VersioningConfiguration={"Status": "Enabled"})
    try:
        name, longer = "audio/one", "audio/one-more"
        full = {key: default_storage._normalize_name(key) for key in (name, longer)}
        for key in full.values():
            for body in (b"first", b"second"):
                client.put_object(Bucket=default_storage.bucket_name, Key=key, Body=body)
        client.delete_object(Bucket=default_storage.bucket_name, Key=full[name])  # leaves a marker
        assert object_store.delete_objects([name]) == {}
        listed = client.list_object_versions(Bucket=default_storage.bucket_name, Prefix=full[name])
        left = [one["Key"] for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))]
        assert left == [full[longer]] * 2
    finally:
        object_store.delete_objects([longer])
        client.put_bucket_versioning(Bucket=default_storage.bucket_name, VersioningConfiguration={"Status": "Suspended"})
