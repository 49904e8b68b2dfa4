"""`/healthz` says the process lives, `/readyz` what it can reach, and neither says more."""

import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError, connection

from callcenter_site import health


def test_the_process_is_healthy_without_its_database(client, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_a_ready_portal_names_each_part(client):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"database": "ok", "cache": "ok", "storage": "ok", "disk": "ok"})


@pytest.mark.django_db
def test_a_lost_database_is_named_without_its_reason(client, monkeypatch):
    def lost(*args, **kwargs):
        raise OperationalError("Access denied for user 'portal'@'db' (using password: YES)")

    monkeypatch.setattr(connection, "cursor", lost)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"database": "failed", "cache": "ok", "storage": "ok", "disk": "ok"}


@pytest.mark.django_db
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
