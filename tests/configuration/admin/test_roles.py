"""The pages of roles: compared, copied, explained, and given no further than one may oneself."""

import csv
import io

import pytest
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent
from configuration.access import RIGHTS
from configuration.admin.lists import ListAdmin
from configuration.admin.roles import RoleAdmin
from configuration.importing.report import errors_of
from configuration.importing.run import choose_to_write, work_on
from configuration.importing.upload import open_import
from configuration.models import ImportRun, Role
from configuration.sheets import RoleSheet
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


def test_what_no_line_stands_for_is_said_and_kept_when_the_page_is_saved(client, account):
    held = ["agents.view_agent", "configuration.add_blockednumber", "configuration.view_blockednumber"]
    role = Role.objects.create(account=account, name="Over the API", permissions=held, data_scope=Role.DataScope.ACCOUNT)
    address = page(Role, "change", role.pk)
    assert "set over the API: configuration.add_blockednumber" in client.get(address).content.decode()
    ticked = ["configuration.view_blockednumber", "configuration.view_keyword"]
    assert client.post(address, {"name": "Renamed", "data_scope": "account", "permissions": ticked}).status_code == 302
    role.refresh_from_db()
    assert (role.name, set(role.permissions)) == ("Renamed", {*ticked, "configuration.add_blockednumber"})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"kind": "custom"}, {"custom"}),
        ({"kind": "built-in"}, Role.BUILT_IN),
        ({"data_scope__exact": "groups"}, {"supervisor"}),
        ({"requires_second_factor__exact": "1"}, {"custom"}),
    ],
)
def test_roles_are_filtered(client, account, query, found):
    Role.objects.create(account=account, name="Mine", permissions=[], requires_second_factor=True)
    shown = client.get(page(Role, "changelist"), query).context["cl"].result_list
    assert {role.kind for role in shown} == set(found)


def test_an_empty_list_of_roles_says_what_a_role_is():
    assert RoleAdmin.empty_title != ListAdmin.empty_title
    assert "what its people may do" in str(RoleAdmin.empty_text)


class TestAsAFile:
    def export(self, client) -> list[list[str]]:
        answer = client.get(reverse("admin:configuration_role_export", args=["csv"]))
        return list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))

    def run(self, actor, rows: list[list[str]]) -> ImportRun:
        file = io.StringIO()
        csv.writer(file).writerows(rows)
        run = open_import(sheet=RoleSheet, actor=actor, file=io.BytesIO(file.getvalue().encode()), at=timezone.now())
        work_on(run.pk)
        run.refresh_from_db()
        return run

    @pytest.mark.parametrize("language", ["en", "zh-hans"])
    def test_what_went_out_comes_in_as_it_was(self, client, boss, account, language):
        held = ["agents.view_agent", "configuration.add_blockednumber"]
        Role.objects.create(account=account, name="Mine", permissions=held, data_scope=Role.DataScope.GROUPS)
        Role.objects.create(account=AccountFactory(), name="Their own role")
        client.cookies["django_language"] = language
        rows = self.export(client)
        assert [row[0] for row in rows[1:]] == ["Administrator", "Agent", "Inspector", "Mine", "Supervisor"]
        run = self.run(boss, rows)
        assert (run.n_rows, run.n_same, run.n_bad) == (5, 5, 0)

    def test_a_role_is_made_and_changed(self, boss, account):
        Role.objects.create(account=account, name="Mine", permissions=["agents.view_agent"], data_scope=Role.DataScope.OWN)
        rows = [
            ["Name", "May", "Sees", "Second factor required"],
            ["Mine", "See agents; See keywords", "own skill groups", "yes"],
            ["New", "configuration.view_keyword", "", ""],
        ]
        run = self.run(boss, rows)
        assert (run.n_new, run.n_changed, run.n_bad) == (1, 1, 0)
        choose_to_write(run, actor=boss, only_if_all_good=True)
        work_on(run.pk)
        mine, new = Role.objects.get(name="Mine"), Role.objects.get(name="New")
        assert set(mine.permissions) == {"agents.view_agent", "configuration.view_keyword"}
        assert (mine.data_scope, mine.requires_second_factor) == ("groups", True)
        assert (new.permissions, new.data_scope, new.kind) == (["configuration.view_keyword"], "own", "custom")

    def test_nobody_gives_in_a_file_what_they_could_not_give_on_the_page(self, account):
        clerk = person_with(
            account, *(f"configuration.{one}_role" for one in ("view", "add", "change")), data_scope=Role.DataScope.GROUPS
        )
        Role.objects.create(account=account, name="Powerful", permissions=["agents.change_agent"])
        rows = [
            ["Name", "May", "Sees", "Second factor required"],
            ["Greedy", "See agents", "", ""],
            ["Far", "", "whole account", ""],
            ["Powerful", "", "", ""],
            ["Special", "", "", ""],
            ["Agent", "", "", "yes"],
            ["Unknown", "Fly", "", ""],
            ["Modest", "See roles", "own skill groups", ""],
        ]
        run = self.run(clerk, rows)
        assert (run.n_bad, run.n_new, run.n_changed) == (6, 1, 0)
        columns = [column for _row, column, *_rest in errors_of(run, reader=clerk)]
        assert columns == ["May", "Sees", "Name", "Name", "Name", "May"]

    def test_the_second_factor_of_a_built_in_role_is_asked_for_and_nothing_else_of_it_changes(self, boss, account):
        rows = [["Name", "Second factor required"], ["Inspector", "yes"]]
        assert (self.run(boss, rows).n_changed, self.run(boss, [["Name", "May"], ["Inspector", "See agents"]]).n_bad) == (1, 1)

    def test_nobody_turns_off_the_second_factor_of_their_own_role(self, account):
        clerk = person_with(account, *(f"configuration.{one}_role" for one in ("view", "add", "change")))
        Role.objects.filter(pk=clerk.role_id).update(requires_second_factor=True)
        clerk.refresh_from_db()
        run = self.run(clerk, [["Name", "Second factor required"], ["Special", "no"]])
        assert [column for _row, column, *_rest in errors_of(run, reader=clerk)] == ["Second factor required"]


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
