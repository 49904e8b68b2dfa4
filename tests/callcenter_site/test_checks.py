"""What the system checks find, and that the portal as it is has nothing to find."""

import base64
import secrets
from types import SimpleNamespace
from unittest import mock

import pytest
from django.contrib import admin
from django.core.checks import run_checks
from django.db import connection
from django.http import HttpResponse
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView
from unfold.admin import ModelAdmin, TabularInline

from agents.models import Agent, SkillGroupMember
from callcenter_site import checks
from callcenter_site.admin import OperatorAdmin, PortalAdmin
from callcenter_site.rest import PortalView, RequiredPermission


def ids(found) -> list[str]:
    return [message.id for message in found]


@pytest.fixture
def production(settings, monkeypatch):
    monkeypatch.setattr(checks, "_on_mysql", lambda: True)
    settings.PUBLIC_URL = "https://portal.example.com"
    settings.REDIS_URL = "redis://redis/0"
    settings.CELERY_EMBEDDED = False
    settings.COS_BUCKET = "recordings"
    settings.MAIL_IS_SET = True
    settings.DEFAULT_FROM_EMAIL = "portal@example.com"
    monkeypatch.setenv("SECRET_KEY", secrets.token_urlsafe(64))
    monkeypatch.setenv("ENCRYPTION_KEYS", "2026:" + base64.b64encode(b"k" * 32).decode())
    monkeypatch.setenv("COS_SECRET_ID", "id")
    monkeypatch.setenv("COS_SECRET_KEY", "key")
    monkeypatch.setenv("COS_ENDPOINT", "https://cos.example.com")
    return settings


def deploy() -> list[str]:
    return ids([*checks.check_secrets(None), *checks.check_addresses(None), *checks.check_services(None)])


def test_a_production_site_passes(production):
    assert deploy() == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SECRET_KEY", ["callcenter.E001"]),
        ("ENCRYPTION_KEYS", ["callcenter.E002"]),
        ("COS_SECRET_ID", ["callcenter.E004"]),
        ("COS_SECRET_KEY", ["callcenter.E004"]),
    ],
)
def test_a_secret_that_is_missing_is_named(production, monkeypatch, name, expected):
    monkeypatch.delenv(name)
    assert deploy() == expected


def test_a_secret_in_a_file_counts(production, monkeypatch, tmp_path):
    monkeypatch.delenv("SECRET_KEY")
    (tmp_path / "key").write_text("x" * 60)
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))
    assert deploy() == []


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("PUBLIC_URL", "http://portal.example.com", ["callcenter.E003"]),
        ("REDIS_URL", "", ["callcenter.W006"]),
        ("CELERY_EMBEDDED", True, ["callcenter.W007"]),
        ("COS_BUCKET", "", ["callcenter.W008"]),
        ("MAIL_IS_SET", False, ["callcenter.W009"]),
        ("DEFAULT_FROM_EMAIL", "portal@localhost.localdomain", ["callcenter.W010"]),
    ],
)
def test_what_production_lacks_is_told(production, setting, value, expected):
    setattr(production, setting, value)
    assert deploy() == expected


def test_a_store_without_encryption_on_the_way_is_told(production, monkeypatch):
    monkeypatch.setenv("COS_ENDPOINT", "http://cos.example.com")
    assert deploy() == ["callcenter.W005"]


def test_one_machine_with_nothing_set_may_keep_its_own_secrets(production, monkeypatch):
    monkeypatch.setattr(checks, "_on_mysql", lambda: False)
    production.REDIS_URL = production.COS_BUCKET = ""
    production.CELERY_EMBEDDED = True
    monkeypatch.delenv("SECRET_KEY")
    assert deploy() == []


def test_every_message_has_a_hint(production, monkeypatch):
    for name in ("SECRET_KEY", "ENCRYPTION_KEYS", "COS_SECRET_ID"):
        monkeypatch.delenv(name)
    found = [*checks.check_secrets(None), *checks.check_addresses(None)]
    assert found and all(message.hint for message in found)


@pytest.mark.django_db
def test_the_database_of_the_tests_passes_the_checks_of_the_database():
    assert checks.check_database(None, databases=["default"]) == []


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "mysql", reason="asks MySQL and MariaDB")
@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SET SESSION sql_mode = ''", "callcenter.E011"),
        ("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "callcenter.E012"),
        ("SET SESSION default_storage_engine = 'MyISAM'", "callcenter.E013"),
        ("SET SESSION character_set_database = 'latin1'", "callcenter.E010"),
    ],
)
def test_a_database_that_would_lose_something_is_told(statement, expected):
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(statement)
        with mock.patch.object(checks, "connections", {"default": other}):
            assert ids(checks.check_database(None, databases=["default"])) == [expected]
    finally:
        other.close()


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "mysql", reason="asks MySQL and MariaDB")
def test_a_page_that_drills_into_dates_needs_the_zones_of_the_database(monkeypatch):
    page = admin.site._registry[Agent]
    monkeypatch.setattr(page, "date_hierarchy", "created_at")
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONVERT_TZ('2000-01-01', 'UTC', 'Asia/Shanghai')")
        knows_zones = cursor.fetchone() != (None,)
    assert ids(checks.check_database(None, databases=["default"])) == ([] if knows_zones else ["callcenter.E014"])


def test_the_portal_itself_passes():
    assert [message for message in run_checks() if not message.is_silenced()] == []
    assert list(checks.api_routes())


# --- Accounts apart --------------------------------------------------------------------------------------------------
def page_faults(page_class) -> list[str]:
    """What the check finds when this page is the only one."""
    with mock.patch.dict(admin.site._registry, {Agent: page_class(Agent, admin.site)}, clear=True):
        return ids(checks.check_admin_pages(None))


def test_a_page_that_stands_on_no_base_of_ours_is_refused():
    assert page_faults(ModelAdmin) == ["callcenter.E021"]
    assert page_faults(PortalAdmin) == []


def test_an_operators_page_on_rows_of_customers_is_refused():
    assert page_faults(OperatorAdmin) == ["callcenter.E020"]


def test_an_unscoped_inline_is_refused():
    inline = type("Inline", (TabularInline,), {"model": SkillGroupMember})
    assert page_faults(type("Page", (PortalAdmin,), {"inlines": [inline]})) == ["callcenter.E022"]


def test_raw_ids_are_refused():
    assert page_faults(type("Page", (PortalAdmin,), {"raw_id_fields": ["role"]})) == ["callcenter.E023"]


def view_faults(view) -> list[str]:
    return ids(checks._api_view("api/v1/x", view, {"calls.view_call"}))


def answer(self, request):
    return HttpResponse()


def test_an_api_view_must_stand_on_our_bases():
    assert view_faults(lambda request: HttpResponse()) == ["callcenter.E030"]
    assert view_faults(SimpleNamespace(cls=type("View", (APIView,), {"get": answer}))) == ["callcenter.E030"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"get": answer, "required_permissions": {"GET": "calls.view_call"}}, []),
        ({"get": answer, "post": answer, "required_permissions": {"GET": "calls.view_call"}}, ["callcenter.E032"]),
        ({"get": answer, "required_permissions": {"GET": "calls.veiw_call"}}, ["callcenter.E032"]),
        ({"get": answer, "required_permissions": {"GET": ""}}, ["callcenter.E032"]),
        (
            {"get": answer, "required_permissions": {"GET": "calls.view_call"}, "permission_classes": [AllowAny]},
            ["callcenter.E031"],
        ),
        (
            {
                "get": answer,
                "required_permissions": {"GET": "calls.view_call"},
                "permission_classes": [type("Stricter", (RequiredPermission,), {})],
            },
            [],
        ),
    ],
)
def test_an_api_view_names_a_permission_for_each_method(body, expected):
    assert view_faults(SimpleNamespace(cls=type("View", (PortalView,), body))) == expected


def test_a_viewset_answers_for_the_methods_it_is_routed_with():
    body = {"list": answer, "create": answer, "required_permissions": {"GET": "calls.view_call"}}
    view = type("ViewSet", (PortalView,), body)
    assert view_faults(SimpleNamespace(cls=view, actions={"get": "list"})) == []
    assert view_faults(SimpleNamespace(cls=view, actions={"get": "list", "post": "create"})) == ["callcenter.E032"]
