"""The pages of roles: compared, copied, explained, and given no further than one may oneself."""

import pytest
from django.urls import reverse

from agents.models import Agent
from configuration.access import RIGHTS
from configuration.models import Role
from tests.configuration.admin.conftest import client_of, page
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db


def role_of(account, kind: str) -> Role:
    return Role.objects.get(account=account, kind=kind)


def person_with(account, *permissions: str, data_scope: str = Role.DataScope.ACCOUNT) -> Agent:
    role = Role.objects.create(
        account=account, name="Special", permissions=["agents.enter_admin", *permissions], data_scope=data_scope
    )
    return AgentFactory(account=account, role=role)


def test_all_roles_stand_side_by_side_with_every_right(client, account):
    Role.objects.create(account=AccountFactory(), name="Their own role")
    answer = client.get(page(Role, "changelist"))
    roles, matrix = answer.context["roles"], answer.context["matrix"]
    assert {role.kind for role in roles} == Role.BUILT_IN
    shown = {
        str(right.label): dict(zip([role.kind for role in roles], cells, strict=True))
        for _t, rights in matrix
        for right, cells in rights
    }
    assert set(shown) == {str(right.label) for _t, rights in RIGHTS for right in rights}
    assert shown["Use the agent desk"] == {"administrator": True, "supervisor": True, "inspector": False, "agent": True}
    assert shown["Manage roles"] == {"administrator": True, "supervisor": False, "inspector": False, "agent": False}
    assert "Their own role" not in answer.content.decode()


def test_most_rights_are_explained_in_a_sentence(client):
    text = client.get(page(Role, "add")).content.decode()
    explained = [right for _t, rights in RIGHTS for right in rights if right.about]
    assert len(explained) > 30
    assert all(str(right.about).endswith(".") for right in explained)
    assert "A supervisor of Sales sees Sales" in text


def test_the_list_counts_who_has_a_role_and_links_to_them(client, account):
    AgentFactory.create_batch(3, account=account, kind=Role.Kind.AGENT)
    AgentFactory(account=account, kind=Role.Kind.AGENT, is_active=False)
    rows = {role.kind: role.n_holders for role in client.get(page(Role, "changelist")).context["cl"].result_list}
    assert rows == {"administrator": 1, "agent": 3, "supervisor": None, "inspector": None}
    role = role_of(account, Role.Kind.AGENT)
    address = f"{reverse('admin:agents_agent_changelist')}?role__id__exact={role.pk}"
    assert address in client.get(page(Role, "changelist")).content.decode()
    assert client.get(address).status_code == 200


def test_a_built_in_role_is_copied_as_one_of_ones_own(client, account):
    supervisor = role_of(account, Role.Kind.SUPERVISOR)
    answer = client.post(page(Role, "copy", supervisor.pk))
    copy = Role.objects.get(account=account, kind=Role.Kind.CUSTOM)
    assert answer["Location"] == page(Role, "change", copy.pk)
    assert (copy.name, copy.data_scope, set(copy.permissions)) == ("Supervisor (copy)", "groups", set(supervisor.permissions))
    client.post(page(Role, "copy", supervisor.pk))
    assert set(Role.objects.filter(kind=Role.Kind.CUSTOM).values_list("name", flat=True)) == {
        "Supervisor (copy)",
        "Supervisor (copy) 2",
    }


def test_a_copy_holds_no_more_than_who_makes_it(account):
    clerk = person_with(account, "configuration.view_role", "configuration.add_role", data_scope=Role.DataScope.GROUPS)
    client_of(clerk).post(page(Role, "copy", role_of(account, Role.Kind.ADMINISTRATOR).pk))
    copy = Role.objects.get(name="Administrator (copy)")
    assert set(copy.permissions) == {"agents.enter_admin", "configuration.view_role", "configuration.add_role"}
    assert copy.data_scope == Role.DataScope.GROUPS


def test_a_copy_is_made_by_a_form_and_by_who_may_add_roles(client, account):
    role = role_of(account, Role.Kind.AGENT)
    assert client.get(page(Role, "copy", role.pk)).status_code == 403
    assert "Copy" in client.get(page(Role, "copy_role", role.pk), follow=True).content.decode()
    onlooker = person_with(account, "configuration.view_role")
    assert client_of(onlooker).post(page(Role, "copy", role.pk)).status_code == 403
    assert not Role.objects.filter(name="Agent (copy)").exists()


def test_a_role_of_another_account_is_not_there_to_be_copied(client):
    theirs = role_of(AccountFactory(), Role.Kind.AGENT)
    assert client.post(page(Role, "copy", theirs.pk)).status_code == client.post(page(Role, "copy", 987654)).status_code == 404


def test_what_one_may_not_give_is_shown_with_the_reason_and_cannot_be_ticked(account):
    clerk = person_with(account, "configuration.view_role", "configuration.add_role", data_scope=Role.DataScope.GROUPS)
    text = client_of(clerk).get(page(Role, "add")).content.decode()
    assert "You may not do this yourself, so you cannot give it." in text
    assert "You do not see this far yourself, so you cannot give it." in text
    assert 'value="account" disabled' in " ".join(text.split())


def test_a_role_somebody_has_is_not_deleted_and_nobody_is_named(client, account):
    role = Role.objects.create(account=account, name="Team lead", permissions=[])
    AgentFactory(account=account, role=role, name="Li Na")
    text = client.post(page(Role, "delete", role.pk), {"post": "yes"}).content.decode()
    assert "Team lead is still used: agents, 1" in text
    assert "Li Na" not in text
    assert Role.objects.filter(pk=role.pk).exists()
