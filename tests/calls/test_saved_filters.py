"""Filters of the list of service records, kept under a name."""

import pytest
from auditlog import get_logentry_model
from django.db import connection
from django.urls import reverse

from calls import saved_filters
from calls.models import SavedFilter
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory, CallFactory, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/calls/call/"


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)


@pytest.fixture
def own_scope(account):
    """Somebody who opens the admin and sees their own calls only."""
    role = Role.objects.create(
        account=account, name="own", data_scope="own", permissions=["agents.enter_admin", "calls.view_call"]
    )
    return AgentFactory(account=account, role=role)


def save(client, query: str, name: str = "mine", **more):
    return client.post(f"{LIST}filters/save/?{query}", {"name": name, **more}, follow=True)


def raw_search(saved) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT search FROM calls_savedfilter WHERE id = %s", [saved.pk])
        return bytes(cursor.fetchone()[0])


def at(name: str, pk: int) -> str:
    return reverse(f"admin:calls_call_{name}", args=[pk])


def test_a_filter_is_saved_and_applied(boss):
    client = signed_in(boss)
    CallFactory(account=boss.account)
    page = save(client, "outcome=voicemail&outcome=answered&period=30d&p=3&q=13800138000&o=0&e=1")
    assert "Saved as “mine”" in page.content.decode()
    saved = SavedFilter.objects.get()
    assert (saved.owner, saved.account, saved.is_shared) == (boss, boss.account, False)
    assert saved.query == "outcome=voicemail&outcome=answered&period=30d", "no page, no order"
    assert saved.search == "13800138000" and b"13800138000" not in raw_search(saved)
    page = client.get(at("apply_filter", saved.pk), follow=True)
    assert page.redirect_chain == [(f"{LIST}?{saved.query}&q=13800138000", 302)]
    assert 'aria-current="true">mine</a>' in page.content.decode()


def test_a_filter_with_a_search_is_shared_with_nobody(boss):
    client = signed_in(boss)
    save(client, "q=13800138000", is_shared="1")
    assert not SavedFilter.objects.exists()
    save(client, "q=13800138000")
    saved = SavedFilter.objects.get()
    client.post(at("change_filter", saved.pk), {"name": "mine", "is_shared": "1"})
    saved.refresh_from_db()
    assert not saved.is_shared and saved.search == "13800138000"


def test_the_same_name_is_the_same_filter(boss):
    client = signed_in(boss)
    save(client, "direction=inbound")
    save(client, "direction=outbound", name="  mine ")
    assert SavedFilter.objects.get().query == "direction=outbound"


@pytest.mark.parametrize(
    ("query", "name"),
    [("direction=sideways", "x"), ("", "x"), ("direction=inbound", " "), ("direction=inbound", "x" * 61)],
)
def test_what_is_no_filter_or_has_no_name_is_not_saved(boss, query, name):
    page = save(signed_in(boss), query, name=name)
    assert page.status_code == 200 and not SavedFilter.objects.exists()


def test_a_parameter_that_is_no_filter_is_refused_or_left_out(boss):
    save(signed_in(boss), "remark__icontains=secret&direction=inbound")
    assert not SavedFilter.objects.filter(query__contains="secret").exists()


def test_a_shared_filter_is_for_all_of_the_account_to_apply_and_for_its_owner_to_change(boss, account):
    save(signed_in(boss), "direction=inbound", is_shared="1")
    saved = SavedFilter.objects.get()
    other = signed_in(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
    assert "mine" in other.get(LIST).content.decode()
    assert other.get(at("apply_filter", saved.pk)).status_code == 302
    assert other.post(at("change_filter", saved.pk), {"name": "theirs"}).status_code == 403
    assert other.post(at("delete_filter", saved.pk)).status_code == 403
    saved.refresh_from_db()
    assert (saved.name, saved.is_shared) == ("mine", True)


@pytest.mark.parametrize("name", ["apply_filter", "change_filter", "delete_filter"])
def test_a_private_filter_and_one_of_another_account_are_missing(boss, account, name):
    theirs = SavedFilter.objects.create(account=account, owner=AgentFactory(account=account), name="private", query="a=1")
    stranger = AgentFactory(account=AccountFactory())
    foreign = SavedFilter.objects.create(account=stranger.account, owner=stranger, name="foreign", query="a=1", is_shared=True)
    client = signed_in(boss)
    page = client.get(LIST).content.decode()
    assert "private" not in page and "foreign" not in page
    for method in (client.get, client.post):
        for pk in (theirs.pk, foreign.pk, 70_999_999):
            assert method(at(name, pk)).status_code == 404
    assert SavedFilter.objects.count() == 2


def test_the_owner_renames_shares_and_deletes(boss):
    client = signed_in(boss)
    save(client, "direction=inbound")
    save(client, "direction=outbound", name="other")
    saved = SavedFilter.objects.get(name="mine")
    client.post(at("change_filter", saved.pk), {"name": "renamed", "is_shared": "1"})
    saved.refresh_from_db()
    assert (saved.name, saved.is_shared) == ("renamed", True)
    page = client.post(at("change_filter", saved.pk), {"name": "other"}, follow=True)
    saved.refresh_from_db()
    assert saved.name == "renamed" and "of this name already" in page.content.decode()
    client.post(at("delete_filter", saved.pk))
    assert list(SavedFilter.objects.values_list("name", flat=True)) == ["other"]


def test_who_answers_for_their_own_calls_only_shares_nothing(own_scope):
    client = signed_in(own_scope)
    save(client, "direction=inbound", is_shared="1")
    assert not SavedFilter.objects.get().is_shared
    assert "For everybody" not in client.get(f"{LIST}?direction=inbound").content.decode()


def test_a_person_has_so_many(boss, monkeypatch):
    monkeypatch.setattr(saved_filters, "MOST_SAVED", 2)
    client = signed_in(boss)
    for name in "abc":
        save(client, "direction=inbound", name=name)
    assert SavedFilter.objects.count() == 2
    save(client, "direction=outbound", name="a")
    assert SavedFilter.objects.get(name="a").query == "direction=outbound"


def test_saving_is_in_the_audit_log_without_what_was_looked_for(boss):
    save(signed_in(boss), "direction=inbound")
    entries = get_logentry_model().objects.filter(content_type__model="savedfilter")
    assert [entry.actor_id for entry in entries] == [boss.pk] and "direction" not in str(entries[0].changes)


def test_whoever_may_not_see_records_has_no_filters_of_them(account):
    role = Role.objects.create(account=account, name="none", permissions=["agents.enter_admin"])
    client = signed_in(AgentFactory(account=account, role=role))
    assert client.post(f"{LIST}filters/save/?direction=inbound", {"name": "x"}).status_code == 403
    assert client.get(at("apply_filter", 1)).status_code == 403
