"""What every test stands on: fresh caches, files in a temporary folder, one account and its people."""

import contextlib
import os
import uuid
from collections.abc import Iterator

import pytest
from django.conf import settings as portal
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.utils import translation

from callcenter_site.celery import app as celery_app
from configuration import encryption
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey
from tests.factories import AccountFactory


def pytest_configure(config: pytest.Config) -> None:
    """Runs before anything is connected: what the workers of xdist must not share gets the number of the worker.

    pytest-django gives each worker a database of its own. Clearing the cache empties a whole Redis database.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    if portal.REDIS_URL:
        portal.REDIS_URL = portal.CACHES["default"]["LOCATION"] = f"{portal.REDIS_URL.rpartition('/')[0]}/{number}"
    if portal.COS_BUCKET:
        portal.COS_BUCKET = portal.STORAGES["default"]["OPTIONS"]["bucket_name"] = f"{portal.COS_BUCKET}-{number}"
    # No worker listens: a task started by a test must not wait for a portal that runs on the same machine.
    celery_app.conf.broker_url = "memory://"
    celery_app.conf.broker_transport_options = {}


@pytest.fixture(autouse=True, scope="session")
def bucket() -> None:
    if portal.COS_BUCKET:
        client = default_storage.connection.meta.client
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=portal.COS_BUCKET)


@pytest.fixture(autouse=True)
def fresh_process_state() -> Iterator[None]:
    """Account ids come again after a rollback; keys unwrapped for the last test must not."""
    encryption.forget_keys()
    cache.clear()
    yield
    translation.deactivate()  # a page leaves the language it was written in


@pytest.fixture(autouse=True)
def files_in_a_temporary_folder(tmp_path, settings):
    """Static files need no collecting in tests, and stored files go to a place of this test alone."""
    storages = settings.STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    if settings.COS_BUCKET:
        options = storages["default"]["OPTIONS"] | {"location": uuid.uuid4().hex}
    else:
        options = {"location": tmp_path / "files"}
    storages["default"] = storages["default"] | {"OPTIONS": options}
    settings.STORAGES = storages


@pytest.fixture(autouse=True)
def quick_passwords(settings):
    """A password hash is slow on purpose; no test is about that."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def account(db) -> Account:
    return AccountFactory()


@pytest.fixture
def api_key(account) -> str:
    """The text of a key that may do everything keys can."""
    return create_api_key(account=account, name="test", scopes=list(ApiKey.Scope.values))[1]
