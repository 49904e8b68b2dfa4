"""Integrators' credentials."""

import datetime as dt
import hashlib

import pytest
from django.urls import reverse
from django.utils import timezone

from callcenter_site.tokens import SEEN_EVERY
from configuration.api_keys import ApiKeyActor, create_api_key, find_api_key, revoke_api_keys
from configuration.models import ApiKey, Role
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 3, 4, 3, 0, tzinfo=dt.UTC)


@pytest.fixture
def made(account) -> tuple[ApiKey, str]:
    return create_api_key(account=account, name="PBX", scopes=[ApiKey.Scope.EVENTS_WRITE], expires_at=NOW + dt.timedelta(days=1))


def test_a_key_is_found_by_its_whole_text_and_nothing_less(made):
    key, text = made
    assert find_api_key(text, at=NOW) == key
    prefix, secret = text.split(".", 1)
    for wrong in (
        "",
        ".",
        prefix,
        f"{prefix}.",
        secret,
        f"{prefix}.{secret}x",
        f"{prefix}.{secret[:-1]}",
        f"{prefix[:-1]}.{secret}",
        text.swapcase(),
    ):
        assert find_api_key(wrong, at=NOW) is None, wrong


def test_text_that_no_key_can_be_is_refused_quietly(made):
    for wrong in ("\ud800" * 3, "é" * 12 + ".x", "a" * 12 + "." + "\udcff", "0" * 100_000, "\0" * 12 + ".x"):
        assert find_api_key(wrong, at=NOW) is None


def test_the_database_holds_a_hash_and_no_secret(made):
    key, text = made
    stored = str(ApiKey.objects.filter(pk=key.pk).values().get())
    secret = text.split(".", 1)[1]
    assert secret not in stored
    assert key.secret_hash == hashlib.sha256(secret.encode()).hexdigest()


def test_a_key_ends_at_its_expiry_to_the_moment(made):
    key, text = made
    assert find_api_key(text, at=key.expires_at - dt.timedelta(microseconds=1)) == key
    assert find_api_key(text, at=key.expires_at) is None


def test_a_revoked_key_is_refused_at_once_and_revoking_again_changes_nothing(made):
    key, text = made
    assert revoke_api_keys(keys=[key], at=NOW) == [key]
    assert find_api_key(text, at=NOW) is None
    assert revoke_api_keys(keys=[key], at=NOW + dt.timedelta(hours=1)) == []
    key.refresh_from_db()
    assert key.revoked_at == NOW


def test_the_keys_of_a_terminated_account_are_refused(made):
    key, text = made
    key.account.terminated_at = NOW
    key.account.save()
    assert find_api_key(text, at=NOW) is None


def test_last_use_is_written_at_most_once_a_minute(made, django_assert_num_queries):
    key, text = made
    find_api_key(text, at=NOW)
    with django_assert_num_queries(1):
        find_api_key(text, at=NOW + SEEN_EVERY)
    key.refresh_from_db()
    assert key.last_used_at == NOW
    later = NOW + SEEN_EVERY + dt.timedelta(seconds=1)
    find_api_key(text, at=later)
    key.refresh_from_db()
    assert key.last_used_at == later


def test_a_key_may_what_its_scopes_say_in_its_own_account(made):
    actor = ApiKeyActor(made[0])
    assert actor.account_id == made[0].account_id
    assert actor.has_perm("calls.add_callevent")
    assert not actor.has_perm("calls.view_call")


def test_a_scope_that_is_not_known_any_more_gives_nothing(account):
    key, _text = create_api_key(account=account, name="old", scopes=["gone:read"])
    assert not ApiKeyActor(key).has_perm("calls.view_call")


@pytest.mark.parametrize("header", ["Api-Key {}", "api-key {}", "Bearer {}"])
def test_the_api_takes_the_key_from_the_header(client, account, header):
    _key, text = create_api_key(account=account, name="x", scopes=[ApiKey.Scope.CALLS_READ])
    assert client.get(reverse("api:call-list"), HTTP_AUTHORIZATION=header.format(text)).status_code == 200


@pytest.mark.parametrize("header", ["", "Api-Key", "Api-Key ", "Api-Key nonsense", "Basic YTpi", "Api-Key \xff\xfe.x"])
def test_the_api_refuses_anything_else(client, account, header):
    assert client.get(reverse("api:call-list"), HTTP_AUTHORIZATION=header).status_code == 401


class TestKeyPage:
    @pytest.fixture
    def boss(self, account, client):
        boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        client.force_login(boss, backend="agents.sign_in.RoleBackend")
        return boss

    def test_a_new_key_is_shown_once_and_works(self, client, boss):
        form = {"name": "PBX", "scopes": [ApiKey.Scope.EVENTS_WRITE], "expires_at_0": "", "expires_at_1": ""}
        answer = client.post(reverse("admin:configuration_apikey_add"), form)
        key = ApiKey.objects.get(account=boss.account, name="PBX")
        text = answer.context["text"]
        assert find_api_key(text, at=timezone.now()) == key
        assert text in answer.content.decode()
        assert "no-store" in answer["Cache-Control"]
        secret = text.split(".", 1)[1]
        for page in (
            reverse("admin:configuration_apikey_changelist"),
            reverse("admin:configuration_apikey_change", args=[key.pk]),
        ):
            assert secret not in client.get(page).content.decode()
        assert secret not in str(client.session.items()) + str(client.cookies)

    def test_the_scopes_and_the_secret_of_a_made_key_stay(self, client, boss):
        key, text = create_api_key(account=boss.account, name="PBX", scopes=[ApiKey.Scope.EVENTS_WRITE])
        form = {
            "name": "Renamed",
            "scopes": list(ApiKey.Scope.values),
            "secret_hash": "0" * 64,
            "expires_at_0": "",
            "expires_at_1": "",
        }
        assert client.post(reverse("admin:configuration_apikey_change", args=[key.pk]), form).status_code == 302
        found = find_api_key(text, at=timezone.now())
        assert (found.name, found.scopes) == ("Renamed", [ApiKey.Scope.EVENTS_WRITE])

    def test_the_page_of_a_made_key_saves_what_it_shows(self, client, boss):
        key, _text = create_api_key(account=boss.account, name="PBX", scopes=[ApiKey.Scope.EVENTS_WRITE])
        form = {"name": "Renamed", "expires_at_0": "2099-01-01", "expires_at_1": "00:00"}
        assert client.post(reverse("admin:configuration_apikey_change", args=[key.pk]), form).status_code == 302
        key.refresh_from_db()
        assert (key.name, key.expires_at.year) == ("Renamed", 2098)  # midnight of the account's own time zone

    def test_revoking_reaches_the_accounts_own_keys_only(self, client, boss):
        mine, _ = create_api_key(account=boss.account, name="mine", scopes=[])
        theirs, _ = create_api_key(account=AccountFactory(), name="theirs", scopes=[])
        form = {"action": "revoke", "_selected_action": [mine.pk, theirs.pk]}
        client.post(reverse("admin:configuration_apikey_changelist"), form)
        mine.refresh_from_db()
        theirs.refresh_from_db()
        assert mine.revoked_at is not None
        assert theirs.revoked_at is None

    def test_an_expiry_in_the_past_is_refused(self, client, boss):
        form = {"name": "PBX", "scopes": [ApiKey.Scope.EVENTS_WRITE], "expires_at_0": "2020-01-01", "expires_at_1": "00:00"}
        client.post(reverse("admin:configuration_apikey_add"), form)
        assert not ApiKey.objects.exists()
