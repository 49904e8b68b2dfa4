"""The pages of API keys: made with an end, shown once, revoked after a question."""

import datetime as dt

import pytest
from django.utils import timezone

from configuration.access import SCOPE_PERMISSIONS
from configuration.admin import api_keys
from configuration.admin.api_keys import ApiKeyForm
from configuration.api_keys import create_api_key, find_api_key, revoke_api_keys
from configuration.models import ApiKey, Role
from tests.configuration.admin.conftest import client_of, errors_on, page
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db


def form(**fields):
    return {"name": "PBX", "scopes": ["events:write"], "expires_at_0": "", "expires_at_1": "", **fields}


@pytest.mark.parametrize(("lasts", "days"), [("30", 30), ("365", 365)])
def test_a_key_ends_after_the_days_chosen(client, lasts, days):
    assert client.post(page(ApiKey, "add"), form(lasts=lasts)).status_code == 200
    left = ApiKey.objects.get().expires_at - timezone.now()
    assert dt.timedelta(days=days, seconds=-60) < left <= dt.timedelta(days=days)


def test_a_key_may_last_for_good_or_until_a_time_of_ones_choice(client):
    client.post(page(ApiKey, "add"), form(lasts="never"))
    client.post(page(ApiKey, "add"), form(name="CRM", lasts="", expires_at_0="2099-01-01", expires_at_1="08:00:00"))
    assert list(ApiKey.objects.order_by("name").values_list("expires_at", flat=True)) == [
        dt.datetime(2099, 1, 1, 0, 0, tzinfo=dt.UTC),
        None,
    ]


def test_a_time_that_has_passed_and_a_choice_there_is_none_of_are_refused(client):
    past = form(lasts="", expires_at_0="2020-01-01", expires_at_1="00:00:00")
    assert list(errors_on(client.post(page(ApiKey, "add"), past))) == ["expires_at"]
    assert list(errors_on(client.post(page(ApiKey, "add"), form(lasts="99999")))) == ["lasts"]
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("state", ["usable", "expired", "revoked"])
def test_keys_are_filtered_by_the_state_the_list_says(client, account, state):
    now, day = timezone.now(), dt.timedelta(days=1)
    for name, expires_at, revoked_at in [
        ("usable", None, None),
        ("usable too", now + day, None),
        ("expired", now - day, None),
        ("revoked", None, now),
        ("revoked, then expired", now - day, now - day),
    ]:
        key, _secret = create_api_key(account=account, name=name, scopes=["events:write"], expires_at=expires_at)
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=revoked_at)
    shown = client.get(page(ApiKey, "changelist"), {"state": state}).context["cl"].result_list
    assert {key.name for key in shown} == {"usable": {"usable", "usable too"}, "expired": {"expired"}}.get(
        state, {"revoked", "revoked, then expired"}
    )


def test_every_scope_is_offered_once_with_what_it_means(client):
    text = client.get(page(ApiKey, "add")).content.decode()
    for scope in SCOPE_PERMISSIONS:
        assert text.count(f'name="scopes" value="{scope}"') == 1
    assert "The one a phone system needs." in text
    assert "Put down that somebody asked." in text
    assert {scope for _title, group in api_keys._GROUPS for scope in group} == set(api_keys._ABOUT) == set(ApiKey.Scope)


def test_a_key_is_revoked_after_a_question_and_refused_at_once(client, account):
    key, secret = create_api_key(account=account, name="PBX", scopes=["events:write"])
    question = client.get(page(ApiKey, "ask_to_revoke", key.pk)).content.decode()
    assert "It was never used." in question
    assert find_api_key(secret, at=timezone.now())
    assert client.get(page(ApiKey, "revoke", key.pk)).status_code == 403
    assert client.post(page(ApiKey, "revoke", key.pk)).status_code == 302
    assert find_api_key(secret, at=timezone.now()) is None


def test_who_may_not_give_what_a_key_may_cannot_let_it_last_longer_but_ends_it_and_renames_it(account):
    over = timezone.now().replace(microsecond=7) - dt.timedelta(days=1)
    key, secret = create_api_key(account=account, name="PBX", scopes=["agents:write", "calls:read"], expires_at=over)
    permissions = ["agents.enter_admin", *(f"configuration.{action}_apikey" for action in ("view", "add", "change"))]
    role = Role.objects.create(account=account, name="Keys", permissions=permissions, data_scope=Role.DataScope.ACCOUNT)
    keeper = client_of(AgentFactory(account=account, role=role))
    address = page(ApiKey, "change", key.pk)

    for later in ({"expires_at_0": "2099-01-01", "expires_at_1": "08:00:00"}, {}):
        assert "may do more than you may give" in errors_on(keeper.post(address, form(**later)))["expires_at"][0]
    local = over.astimezone(account.zone)
    as_it_is = {"expires_at_0": local.strftime("%Y-%m-%d"), "expires_at_1": local.strftime("%H:%M:%S")}
    assert keeper.post(address, form(name="Old PBX", **as_it_is)).status_code == 302
    key.refresh_from_db()
    assert (key.name, key.expires_at) == ("Old PBX", over)
    assert find_api_key(secret, at=timezone.now()) is None

    ApiKey.objects.filter(pk=key.pk).update(expires_at=None)
    sooner = {"expires_at_0": "2098-01-01", "expires_at_1": "08:00:00"}
    assert keeper.post(address, form(**sooner)).status_code == 302
    assert ApiKey.objects.get().expires_at == dt.datetime(2098, 1, 1, 0, 0, tzinfo=dt.UTC)
    assert keeper.post(page(ApiKey, "revoke", key.pk)).status_code == 302


def test_who_may_give_what_a_key_may_lets_it_last_longer(client, account):
    key, secret = create_api_key(account=account, name="PBX", scopes=["agents:write"], expires_at=timezone.now())
    assert (
        client.post(page(ApiKey, "change", key.pk), form(expires_at_0="2099-01-01", expires_at_1="08:00:00")).status_code == 302
    )
    assert find_api_key(secret, at=timezone.now())


def test_a_key_revoked_while_its_page_is_saved_stays_revoked(client, account, monkeypatch):
    key, secret = create_api_key(account=account, name="PBX", scopes=["events:write"])
    clean = ApiKeyForm.clean

    def clean_late(form):
        revoke_api_keys(keys=[key], at=timezone.now())
        return clean(form)

    monkeypatch.setattr(ApiKeyForm, "clean", clean_late)
    assert client.post(page(ApiKey, "change", key.pk), form(name="Renamed")).status_code == 302
    key.refresh_from_db()
    assert (key.name, key.revoked_at is None) == ("Renamed", False)
    assert find_api_key(secret, at=timezone.now()) is None


def test_a_key_of_another_account_is_not_there_to_be_revoked(client):
    key, secret = create_api_key(account=AccountFactory(), name="Theirs", scopes=["events:write"])
    assert client.post(page(ApiKey, "revoke", key.pk)).status_code == 404
    assert client.post(page(ApiKey, "revoke", 987654)).status_code == 404
    assert find_api_key(secret, at=timezone.now())


def test_only_who_may_manage_keys_revokes_them(account):
    key, secret = create_api_key(account=account, name="PBX", scopes=["events:write"])
    supervisor = client_of(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
    assert supervisor.post(page(ApiKey, "revoke", key.pk)).status_code in (403, 404)
    assert find_api_key(secret, at=timezone.now())
