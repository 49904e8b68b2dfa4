"""No right on the page for roles, and no scope of a key, is an empty word: somebody asks for each of them."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver

from configuration import access
from configuration.access import RIGHTS, SCOPE_PERMISSIONS
from configuration.models import ApiKey

APPS = ("callcenter_site", "configuration", "agents", "calls", "analytics", "retention")
SAY_AND_DO_NOT_ASK = {"configuration/access.py", "callcenter_site/navigation.py"}
"""Where permissions are given, or shown as links."""
NAMES = {name: value for name, value in vars(access).items() if name.isupper() and isinstance(value, str)}


class Asked:
    """Somebody who holds everything, and remembers what was asked."""

    pk = 1
    is_active = is_authenticated = is_staff = True
    is_superuser = False
    account_id = None
    data_scope = "account"

    def __init__(self) -> None:
        self.permissions: set[str] = set()

    def has_perm(self, permission: str, obj: Any = None) -> bool:
        self.permissions.add(permission)
        return True

    def has_module_perms(self, app: str) -> bool:
        return True


@functools.cache
def asked_in_sources() -> set[str]:
    """Permissions that stand in code, as text or by their name in `access`."""
    found: set[str] = set()
    for app in APPS:
        for path in (Path(settings.BASE_DIR) / app).rglob("*.py"):
            if "migrations" in path.parts or str(path.relative_to(settings.BASE_DIR)) in SAY_AND_DO_NOT_ASK:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
                elif isinstance(node, ast.Name) and node.id in NAMES:
                    found.add(NAMES[node.id])
    return found


@functools.cache
def asked_by_admin_pages() -> set[str]:
    """Permissions by which a page of the admin, or a table on one, lets somebody do something."""
    found: set[str] = set()
    for page in admin.site._registry.values():
        request: Any = RequestFactory().get("/admin/")
        request.user = Asked()
        for part in [page, *page.get_inline_instances(request)]:
            for action in ("view", "add", "change", "delete"):
                request.user = asker = Asked()
                if getattr(part, f"has_{action}_permission")(request, *([None] if part is not page else [])):
                    found |= asker.permissions & {f"{part.opts.app_label}.{action}_{part.opts.model_name}"}
    return found


def routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, here)
        elif isinstance(pattern, URLPattern):
            yield here, pattern.callback


def asked_by_api_routes() -> set[str]:
    views = [callback for route, callback in routes(get_resolver().url_patterns) if route.startswith("api/v1/")]
    return {
        permission for view in views for permission in getattr(getattr(view, "cls", None), "required_permissions", {}).values()
    }


@pytest.mark.parametrize(
    "permission", sorted({one for _title, rights in RIGHTS for right in rights for one in right.permissions})
)
def test_every_right_is_asked_for_somewhere(permission):
    assert permission in asked_in_sources() | asked_by_admin_pages()


@pytest.mark.parametrize("scope", ApiKey.Scope.values)
def test_every_scope_opens_a_route(scope):
    assert SCOPE_PERMISSIONS[scope] & asked_by_api_routes()


def test_every_scope_has_its_permissions():
    assert set(SCOPE_PERMISSIONS) == set(ApiKey.Scope.values)
