"""A new account comes whole or not at all."""

from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError

from agents.models import Agent
from agents.onboarding import free_slug, open_account
from configuration.models import Account, Role
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db

GOOD = {
    "name": "Nord GmbH",
    "slug": "nord",
    "time_zone": "Europe/Berlin",
    "region": "de",
    "administrator_name": "Ines",
    "administrator_email": "ines@nord.example",
    "password": "a long enough phrase",
}


def test_an_account_comes_with_its_roles_and_somebody_who_can_sign_in(client):
    administrator = open_account(**GOOD)
    account = Account.objects.get()
    assert (account.name, account.slug, account.time_zone, account.region) == ("Nord GmbH", "nord", "Europe/Berlin", "DE")
    assert set(Role.objects.values_list("account", "kind")) == {(account.pk, kind) for kind in Role.BUILT_IN}
    assert administrator.account == account and administrator.role.kind == Role.Kind.ADMINISTRATOR
    answer = client.post("/admin/login/", {"username": "Ines@Nord.example", "password": GOOD["password"]})
    assert answer.status_code == 302
    assert client.get("/admin/agents/agent/").status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", "x" * 101),
        ("slug", "not a slug"),
        ("slug", ""),
        ("time_zone", "Mars/Olympus"),
        ("region", "XX"),
        ("administrator_name", "  "),
        ("administrator_email", "ines"),
        ("administrator_email", ""),
        ("password", "short"),
        ("password", "1234567890123"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_made(field, value):
    with pytest.raises(ValidationError) as caught:
        open_account(**GOOD | {field: value})
    assert set(caught.value.message_dict) == {field}
    assert not Account.objects.exists() and not Agent.objects.exists() and not Role.objects.exists()


def test_everything_wrong_is_named_at_once():
    with pytest.raises(ValidationError) as caught:
        open_account(**GOOD | {"slug": "", "administrator_email": "x", "password": "x"})
    assert set(caught.value.message_dict) == {"slug", "administrator_email", "password"}


def test_an_email_of_another_account_is_refused_without_saying_whose_it_is():
    AgentFactory(email="INES@nord.example", account=AccountFactory(name="Hidden"))
    with pytest.raises(ValidationError) as caught:
        open_account(**GOOD)
    assert caught.value.message_dict == {"administrator_email": ["This email cannot be used."]}


def test_an_email_taken_in_the_same_moment_leaves_no_account_behind(monkeypatch):
    def lost_the_race(self, *args, **kwargs):
        raise IntegrityError("Duplicate entry")

    monkeypatch.setattr(Agent, "save", lost_the_race)
    with pytest.raises(ValidationError):
        open_account(**GOOD)
    assert not Account.objects.exists() and not Role.objects.exists()


def test_a_short_name_is_made_from_the_name():
    assert free_slug("Nord & Söhne GmbH") == "nord-sohne-gmbh"
    AccountFactory(slug="nord")
    AccountFactory(slug="nord-2")
    AccountFactory(slug="nordic")
    assert free_slug("Nord") == "nord-3"
    assert free_slug("呼叫中心") == "account"


def command(monkeypatch, *arguments, **environment) -> str:
    out = StringIO()
    monkeypatch.setattr("sys.stdin", StringIO())
    for name in ("ACCOUNT_NAME", "ADMIN_NAME", "ADMIN_EMAIL", "ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    call_command("create_account", *arguments, stdout=out)
    return out.getvalue()


def test_without_a_terminal_the_answers_come_from_the_environment(monkeypatch):
    given = {"ACCOUNT_NAME": "Nord", "ADMIN_EMAIL": "ines@nord.example", "ADMIN_PASSWORD": "a long enough phrase"}
    said = command(monkeypatch, "--time-zone", "Asia/Shanghai", **given)
    assert "Nord" in said and given["ADMIN_PASSWORD"] not in said
    assert Account.objects.get().time_zone == "Asia/Shanghai"
    assert Agent.objects.get().check_password(given["ADMIN_PASSWORD"])


def test_without_a_terminal_what_is_missing_is_named(monkeypatch):
    with pytest.raises(CommandError, match=r"missing: ADMIN_EMAIL, ADMIN_PASSWORD"):
        command(monkeypatch, ACCOUNT_NAME="Nord")


def test_a_weak_password_is_refused_with_the_reason(monkeypatch):
    with pytest.raises(CommandError, match=r"password: .*too short"):
        command(monkeypatch, ACCOUNT_NAME="Nord", ADMIN_EMAIL="ines@nord.example", ADMIN_PASSWORD="x")


def test_a_portal_with_an_account_is_left_alone_when_asked_to(monkeypatch):
    AccountFactory()
    assert command(monkeypatch, "--if-none") == ""
    assert Account.objects.count() == 1
