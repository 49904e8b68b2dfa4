"""Who may import whom: an app only what lies to its left, and the site no app, but where it names them all."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

APPS = ["configuration", "agents", "calls", "analytics", "retention"]
NAMES_THEM_ALL = {"urls.py", "api.py", "schedule.py", "navigation.py"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


@pytest.mark.parametrize("app", ["callcenter_site", *APPS])
def test_an_app_imports_only_what_lies_to_its_left(app):
    forbidden = APPS if app == "callcenter_site" else APPS[APPS.index(app) + 1 :]
    files = [
        path for path in (settings.BASE_DIR / app).rglob("*.py") if app != "callcenter_site" or path.name not in NAMES_THEM_ALL
    ]
    assert files
    found = [f"{path.name}: {name}" for path in files for name in imported(path) if name.split(".")[0] in forbidden]
    assert found == []
