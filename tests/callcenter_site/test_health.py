"""`/healthz` says the process lives, `/readyz` what it can reach, and neither says more."""

import socket
import time
from unittest import mock

import pytest
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from django.conf import settings as portal
from django.core.files.storage import default_storage
from django.db import OperationalError, connection, connections

from callcenter_site import health

PARTS = ["database", "migrations", "cache", "broker", "storage", "disk", "spool"]


def test_the_process_is_healthy_without_its_database(client, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_a_ready_portal_names_each_part(client):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        dict.fromkeys(PARTS, "ok"),
    )


@pytest.mark.django_db
def test_a_lost_database_is_named_without_its_reason(client, monkeypatch):
    def lost(*args, **kwargs):
        raise OperationalError("Access denied for user 'portal'@'db' (using password: YES)")

    monkeypatch.setattr(type(connections["default"]), "cursor", lost)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == dict.fromkeys(PARTS, "ok") | {"database": "failed", "migrations": "failed"}


@pytest.mark.django_db
@pytest.mark.parametrize(("answer", "said"), [(200, "ok"), (403, "failed"), (404, "failed")])
def test_a_store_without_the_bucket_is_named(client, settings, monkeypatch, answer, said):
    """Such a store says of any file that it is not there, as a store with an empty bucket does."""
    options = {
        "bucket_name": "lost",
        "region_name": "x",
        "access_key": "x",
        "secret_key": "x",
        "endpoint_url": "http://127.0.0.1:1",
    }
    settings.COS_BUCKET = "lost"
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}}

    def send(self, request):
        assert request.url == "http://127.0.0.1:1/lost" and request.method == "HEAD"
        return AWSResponse(request.url, answer, {}, mock.Mock(stream=lambda: [b""]))

    monkeypatch.setattr(URLLib3Session, "send", send)
    assert client.get("/readyz").json()["storage"] == said


@pytest.mark.django_db
@pytest.mark.skipif(bool(portal.COS_BUCKET), reason="asks the store of files")
def test_a_lost_store_is_named(client, monkeypatch):
    def lost(self, name):
        raise OSError("no route to host")

    default_storage.exists("x")  # makes it choose its class

    monkeypatch.setattr(type(default_storage._wrapped), "exists", lost)
    assert client.get("/readyz").json()["storage"] == "failed"


def test_a_full_disk_is_not_ready(settings):
    assert health.disk_has_room()
    settings.DISK_FREE_BYTES = 2**60
    assert not health.disk_has_room()


@pytest.mark.django_db
def test_probes_answer_without_a_redirect_to_https(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["post", "put", "delete", "options", "head"])
def test_probes_survive_any_method(client, method):
    assert getattr(client, method)("/healthz").status_code < 500


@pytest.mark.django_db
def test_tables_that_are_behind_are_named(client, monkeypatch):
    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *args: [("calls", "0099_later")])
    assert client.get("/readyz").json()["migrations"] == "failed"
    monkeypatch.undo()
    monkeypatch.setattr(health, "_migrated", False)
    assert client.get("/readyz").json()["migrations"] == "ok"


@pytest.mark.django_db
def test_tables_once_in_order_are_not_looked_through_again(client, django_assert_max_num_queries):
    client.get("/readyz")
    with django_assert_max_num_queries(2):
        client.get("/readyz")


@pytest.mark.django_db
def test_a_broker_that_is_away_is_named(client, settings):
    settings.CELERY_EMBEDDED, settings.CELERY_BROKER_URL = False, "redis://127.0.0.1:1/0"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, dict.fromkeys(PARTS, "ok") | {"broker": "failed"})


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "mysql", reason="asks a frozen MySQL or MariaDB")
def test_a_frozen_database_freezes_nobody_who_asks(monkeypatch):
    """A server that takes the connection and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        frozen = connection.settings_dict | {"HOST": "127.0.0.1", "PORT": silent.getsockname()[1]}
        monkeypatch.setattr(connections["default"], "settings_dict", frozen)
        began = time.monotonic()
        assert not health._works("database", health._database)
        assert time.monotonic() - began < 5
