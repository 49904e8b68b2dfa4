"""What every test stands on: fresh caches, files in a temporary folder, one account and its people."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache

from configuration import encryption
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey
from tests.factories import AccountFactory


@pytest.fixture(autouse=True)
def fresh_process_state() -> Iterator[None]:
    """Account ids come again after a rollback; keys unwrapped for the last test must not."""
    encryption.forget_keys()
    cache.clear()
    yield


@pytest.fixture(autouse=True)
def files_in_a_temporary_folder(tmp_path, settings):
    """Static files need no collecting in tests, and stored files go where pytest clears up."""
    storages = settings.STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    if not settings.COS_BUCKET:
        storages["default"] = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "files"}}
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
