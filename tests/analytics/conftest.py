"""What tests of figures share."""

from pathlib import Path

import pytest


@pytest.fixture
def files_in_a_folder(settings, tmp_path: Path) -> None:
    """For tests that freeze the clock: an object store refuses what comes from another time. `test_exporting` writes runs into
    the store, by the same code."""
    folder = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "reports"}}
    settings.STORAGES = settings.STORAGES | {"default": folder}
