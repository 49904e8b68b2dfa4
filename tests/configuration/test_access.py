"""Roles: what they hold, who may give them, and what the page for them says."""

import pytest
from django.urls import reverse

from agents.models import Agent
from configuration.access import RIGHTS, ROLE_PERMISSIONS, create_built_in_roles, may_give_role, may_give_scope
from configuration.models import ApiKey, Role
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db


def person_with(account, *permissions: str, data_scope: str = Role.DataScope.ACCOUNT, name: str = "Special") -> Agent:
    role = Role.objects.create(
        account=account, name=name, permissions=["agents.enter_admin", *permissions], data_scope=data_scope
    )
    return AgentFactory(account=account, role=role)


def role_form(*keys: str, name: str = "Team lead", data_scope: str = Role.DataScope.OWN) -> dict[str, object]:
    return {"name": name, "data_scope": data_scope, "permissions": list(keys)}


def key_of(label: str) -> str:
    return next(right.key for _title, rights in RIGHTS for right in rights if str(right.label) == label)


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def test_every_permission_of_a_built_in_role_stands_on_the_page_in_words():
    worded = {permission for _title, rights in RIGHTS for right in rights for permission in right.permissions}
    held = set().union(*ROLE_PERMISSIONS.values())
    assert held - worded == set(), "give these permissions a line in RIGHTS"
    assert worded - held == set(), "nobody holds these, so nobody can give them"


def test_every_permission_exists():
    from django.contrib.auth.models import Permission

    there = {f"{app}.{code}" for app, code in Permission.objects.values_list("content_type__app_label", "codename")}
    assert set().union(*ROLE_PERMISSIONS.values()) - there == set()


def test_built_in_roles_are_brought_up_to_date_and_custom_ones_left_alone(account):
    Role.objects.filter(account=account, kind=Role.Kind.AGENT).update(permissions=[])
    custom = Role.objects.create(account=account, name="Custom", permissions=["calls.view_call"])
    create_built_in_roles(account)
    custom.refresh_from_db()
    assert custom.permissions == ["calls.view_call"]
    assert set(Role.objects.get(account=account, kind=Role.Kind.AGENT).permissions) == ROLE_PERMISSIONS[Role.Kind.AGENT]
    assert Role.objects.filter(account=account).count() == 5


def test_nobody_gives_a_role_that_holds_more_or_sees_further_than_their_own(account):
    narrow = person_with(account, "calls.view_call", data_scope=Role.DataScope.GROUPS)
    assert may_give_role(narrow, Role(permissions=["calls.view_call"], data_scope=Role.DataScope.OWN))
    assert not may_give_role(narrow, Role(permissions=["calls.view_call"], data_scope=Role.DataScope.ACCOUNT))
    assert not may_give_role(narrow, Role(permissions=["agents.add_agent"], data_scope=Role.DataScope.OWN))


def test_a_key_reaches_no_further_than_its_maker(account):
    assert not may_give_scope(person_with(account, "calls.view_call", name="a"), ApiKey.Scope.FIGURES_READ)
    everything_but_far = person_with(
        account, *ROLE_PERMISSIONS[Role.Kind.ADMINISTRATOR], data_scope=Role.DataScope.GROUPS, name="b"
    )
    assert not may_give_scope(everything_but_far, ApiKey.Scope.CALLS_READ)


class TestRolePage:
    def test_a_custom_role_is_made_of_what_is_ticked(self, client, boss):
        client.force_login(boss, backend="agents.sign_in.RoleBackend")
        ticked = [key_of("Add agents"), key_of("See roles")]
        assert client.post(reverse("admin:configuration_role_add"), role_form(*ticked)).status_code == 302
        role = Role.objects.get(account=boss.account, name="Team lead")
        phones = {f"agents.{action}_agentphone" for action in ("view", "add", "change", "delete")}
        assert set(role.permissions) == {"agents.view_agent", "agents.add_agent", "configuration.view_role"} | phones
        assert role.kind == Role.Kind.CUSTOM

    def test_what_one_does_not_hold_cannot_be_given(self, client, account):
        clerk = person_with(account, "configuration.view_role", "configuration.add_role")
        client.force_login(clerk, backend="agents.sign_in.RoleBackend")
        page = client.post(reverse("admin:configuration_role_add"), role_form(key_of("Add agents")))
        assert "You can give only what you may do yourself." in page.content.decode()
        page = client.post(reverse("admin:configuration_role_add"), role_form("agents.enter_admin,calls.view_call"))
        assert page.status_code == 200
        assert Role.objects.filter(name="Team lead").count() == 0

    def test_one_sees_no_further_through_a_role_one_makes(self, client, account):
        clerk = person_with(account, "configuration.view_role", "configuration.add_role", data_scope=Role.DataScope.GROUPS)
        client.force_login(clerk, backend="agents.sign_in.RoleBackend")
        client.post(reverse("admin:configuration_role_add"), role_form(data_scope=Role.DataScope.ACCOUNT))
        assert not Role.objects.filter(name="Team lead").exists()

    def test_of_built_in_roles_and_of_ones_own_only_the_second_factor_can_be_changed(self, client, boss, account):
        keeper = person_with(account, *ROLE_PERMISSIONS[Role.Kind.ADMINISTRATOR])
        for person, role in ((boss, Role.objects.get(account=account, kind=Role.Kind.AGENT)), (keeper, keeper.role)):
            client.force_login(person, backend="agents.sign_in.RoleBackend")
            address = reverse("admin:configuration_role_change", args=[role.pk])
            before = (role.name, role.kind, role.data_scope, role.permissions)
            assert client.get(address).status_code == 200
            wanted = role_form(key_of("Add agents"), data_scope=Role.DataScope.ACCOUNT) | {"requires_second_factor": "on"}
            assert client.post(address, wanted).status_code == 302
            role.refresh_from_db()
            assert (role.name, role.kind, role.data_scope, role.permissions) == before
            assert role.requires_second_factor
            assert client.post(reverse("admin:configuration_role_delete", args=[role.pk]), {"post": "yes"}).status_code in {
                302,
                403,
            }
            assert Role.objects.filter(pk=role.pk).exists()
            client.logout()

    def test_a_second_factor_is_not_asked_of_a_role_that_may_more(self, client, account):
        clerk = person_with(account, "configuration.view_role", "configuration.change_role")
        client.force_login(clerk, backend="agents.sign_in.RoleBackend")
        chief = Role.objects.get(account=account, kind=Role.Kind.ADMINISTRATOR)
        address = reverse("admin:configuration_role_change", args=[chief.pk])
        assert client.post(address, {"requires_second_factor": "on"}).status_code == 403
        chief.refresh_from_db()
        assert not chief.requires_second_factor

    def test_who_asks_it_of_their_own_role_is_told_and_led_to_the_set_up(self, client, boss):
        client.force_login(boss, backend="agents.sign_in.RoleBackend")
        address = reverse("admin:configuration_role_change", args=[boss.role_id])
        assert "you too, if it is your own role" in client.get(address).content.decode()
        client.post(address, {"requires_second_factor": "on"})
        page = client.get("/admin/", follow=True)
        assert page.redirect_chain[-1][0].startswith("/sign-in/second-factor/set-up/")
        assert "This is your own role" in page.content.decode()

    def test_a_role_in_use_is_not_deleted_and_one_without_people_is(self, client, boss):
        role = Role.objects.create(account=boss.account, name="Custom", permissions=[])
        holder = AgentFactory(account=boss.account, role=role)
        client.force_login(boss, backend="agents.sign_in.RoleBackend")
        client.post(reverse("admin:configuration_role_delete", args=[role.pk]), {"post": "yes"})
        assert Role.objects.filter(pk=role.pk).exists()
        holder.delete()
        client.post(reverse("admin:configuration_role_delete", args=[role.pk]), {"post": "yes"})
        assert not Role.objects.filter(pk=role.pk).exists()

    def test_a_name_may_be_used_by_two_accounts_and_once_in_each(self, client, boss):
        Role.objects.create(account=AccountFactory(), name="Team lead", permissions=[])
        client.force_login(boss, backend="agents.sign_in.RoleBackend")
        assert client.post(reverse("admin:configuration_role_add"), role_form()).status_code == 302
        again = client.post(reverse("admin:configuration_role_add"), role_form())
        assert again.context["adminform"].form.errors == {"name": ["This is in use already."]}
