"""A store that serves from another address may not be read by scripts of a page; the browser notes it in its console."""

import pytest
from django.conf import settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if settings.COS_BUCKET and item.path.name in {"test_player.py", "test_record_page.py"}:
            item.add_marker(pytest.mark.xfail(reason="no waveform of sound in a foreign store yet", strict=False))
