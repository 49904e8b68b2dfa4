"""The pages about people: what they show, and what they refuse."""

import datetime as dt
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.admin.agents import AgentForm
from agents.appointment import deactivate_agents, require_an_administrator
from agents.models import Agent, AgentPhone, SkillGroup, SkillGroupMember, Status, StatusChange, email_index, phone_index
from agents.presence import change_status
from configuration.models import Account, Role
from tests.factories import PASSWORD, AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

LIST, ADD = "admin:agents_agent_changelist", "admin:agents_agent_add"


@pytest.fixture
def boss(account) -> Agent:
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, name="Chen Wei")


@pytest.fixture
def desk_worker(account) -> Agent:
    return AgentFactory(account=account, name="Wang Fang", nickname="Fang", email="wang@example.com", staff_id="A7")


@pytest.fixture
def page(client: Client, boss) -> Client:
    client.force_login(boss, backend="agents.sign_in.RoleBackend")
    return client


def change_of(agent: Agent) -> str:
    return reverse("admin:agents_agent_change", args=[agent.pk])


def form_of(agent: Agent, **changes: Any) -> dict[str, Any]:
    """What the change page of a person sends back."""
    return {
        "name": agent.name,
        "nickname": agent.nickname,
        "staff_id": agent.staff_id,
        "role": agent.role_id,
        "cellphone_pickup": agent.cellphone_pickup,
        "email": agent.email,
        "new_password": "",
        "is_active": "on",
        "phones-TOTAL_FORMS": "0",
        "phones-INITIAL_FORMS": "0",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    } | changes


def errors_of(answer: Any) -> dict[str, list[str]]:
    return {name: [str(one) for one in said] for name, said in answer.context["adminform"].form.errors.items()}


class TestList:
    def test_its_queries_do_not_grow_with_the_people(self, page, account, django_assert_num_queries):
        group = SkillGroupFactory(account=account)
        for _ in range(3):
            MemberFactory(skill_group=group)
        with django_assert_num_queries(10) as few:
            page.get(reverse(LIST))
        for _ in range(20):
            MemberFactory(skill_group=group)
        with django_assert_num_queries(len(few)):
            page.get(reverse(LIST))

    @pytest.mark.parametrize("term", ["A7", "a", "wang@example.com", "WANG@example.com", "Wang", "fang", "ng fa"])
    def test_people_are_found_by_name_staff_id_and_email(self, page, desk_worker, account, term):
        AgentFactory(account=account, name="Somebody", staff_id="B1")
        found = page.get(reverse(LIST), {"q": term}).context["cl"].result_list
        assert desk_worker in found
        assert not [one for one in found if one.staff_id == "B1"]

    @pytest.mark.parametrize("term", ["7", "wang@example", "ang@example.com"])
    def test_a_part_of_an_email_or_the_end_of_a_staff_id_finds_nobody(self, page, desk_worker, term):
        assert desk_worker not in page.get(reverse(LIST), {"q": term}).context["cl"].result_list

    def test_filters_narrow_by_role_status_group_and_activity(self, page, desk_worker, account):
        group = SkillGroupFactory(account=account)
        SkillGroupMember.objects.create(account=account, skill_group=group, agent=desk_worker)
        change_status(agent=desk_worker, status=Status.BREAK, at=timezone.now())
        for query in (
            {"role__id__exact": desk_worker.role_id},
            {"status__exact": "break"},
            {"skill_groups__id__exact": group.pk},
        ):
            assert list(page.get(reverse(LIST), query).context["cl"].result_list) == [desk_worker], query
        assert desk_worker not in page.get(reverse(LIST), {"is_active__exact": "0"}).context["cl"].result_list

    def test_a_supervisor_sees_their_groups_people_and_no_others(self, client, account, desk_worker):
        group = SkillGroupFactory(account=account)
        supervisor = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
        for one in (supervisor, desk_worker):
            SkillGroupMember.objects.create(account=account, skill_group=group, agent=one)
        stranger = AgentFactory(account=account)
        client.force_login(supervisor, backend="agents.sign_in.RoleBackend")
        assert set(client.get(reverse(LIST)).context["cl"].result_list) == {supervisor, desk_worker}
        assert client.get(change_of(stranger)).status_code == 302
        assert client.post(change_of(desk_worker), form_of(desk_worker)).status_code == 403


class TestAdding:
    def form(self, account: Account, /, **changes: Any) -> dict[str, Any]:
        role = Role.objects.get(account=account, kind=Role.Kind.AGENT)
        person = Agent(account=account, role=role, name="Li Na", staff_id="2001", email="li@example.com")
        return form_of(person, new_password="a long enough password") | changes

    def test_a_new_person_is_of_the_account_and_can_sign_in(self, page, account, client):
        assert page.post(reverse(ADD), self.form(account)).status_code == 302
        person = Agent.objects.get(account=account, staff_id="2001")
        assert (person.name, person.email, person.is_superuser) == ("Li Na", "li@example.com", False)
        fresh = Client()
        assert (
            fresh.post("/admin/login/", {"username": "LI@example.com", "password": "a long enough password"}).status_code == 302
        )

    def test_the_account_cannot_be_chosen_by_the_form(self, page, account):
        other = AccountFactory()
        page.post(reverse(ADD), self.form(account, account=other.pk, account_id=other.pk, is_superuser="on"))
        person = Agent.objects.get(staff_id="2001")
        assert (person.account_id, person.is_superuser) == (account.pk, False)

    @pytest.mark.parametrize("weak", ["1234567890", "short", "password123", "li@example.com", "Li Na Li Na", "LINA.2001.lina"])
    def test_a_weak_password_or_one_like_the_person_is_refused(self, page, account, weak):
        form = self.form(account, new_password=weak, name="Li Na Lina", nickname="Lina.2001")
        assert set(errors_of(page.post(reverse(ADD), form))) == {"new_password"}
        assert not Agent.objects.filter(staff_id="2001").exists()

    def test_a_staff_id_is_unique_in_the_account_only(self, page, account):
        AgentFactory(account=account, staff_id="2001")
        assert errors_of(page.post(reverse(ADD), self.form(account))) == {"staff_id": ["This is in use already."]}
        AgentFactory(staff_id="2002")
        assert page.post(reverse(ADD), self.form(account, staff_id="2002")).status_code == 302

    def test_an_email_in_use_anywhere_gets_one_and_the_same_answer(self, page, account):
        AgentFactory(account=account, email="li@example.com")
        AgentFactory(email="far@example.com")
        Agent.objects.create_superuser("op@example.com", "x", name="x")
        answers = [
            errors_of(page.post(reverse(ADD), self.form(account, email=email)))
            for email in ("LI@example.com", "far@example.com", "op@example.com")
        ]
        assert answers == [{"email": ["This email cannot be used."]}] * 3

    def test_nothing_personal_is_left_in_log_messages_or_cookies(self, page, account):
        answer = page.post(reverse(ADD), self.form(account))
        person = Agent.objects.get(account=account, staff_id="2001")
        page.post(change_of(person), form_of(person, name="Li Nana"))
        left = str(list(LogEntry.objects.values())) + str(answer.cookies) + str(page.cookies) + str(dict(page.session))
        assert LogEntry.objects.filter(object_id=str(person.pk), object_repr=f"#{person.pk}").count() == 2
        assert "Li Na" not in left
        assert "li@example.com" not in left

    def test_the_title_of_a_persons_page_does_not_name_them(self, page, desk_worker):
        title = page.get(change_of(desk_worker)).content.decode().split("</title>")[0]
        assert "Wang" not in title


class TestSeeingOwnGroupsOnly:
    """Whoever sees the people of their own groups adds people to those, and groups they are in."""

    PERMISSIONS = (
        {"agents.enter_admin", "agents.use_desk", "calls.view_call", "calls.see_full_number"}
        | {f"agents.{action}_agent" for action in ("view", "add", "change")}
        | {f"agents.{action}_skillgroup" for action in ("view", "add", "change")}
        | {
            f"agents.{action}_{model}"
            for action in ("view", "add", "change", "delete")
            for model in ("skillgroupmember", "agentphone")
        }
    )

    @pytest.fixture
    def group(self, account) -> SkillGroup:
        return SkillGroupFactory(account=account)

    @pytest.fixture
    def lead(self, account, group) -> Agent:
        role = Role.objects.create(account=account, name="Lead", permissions=sorted(self.PERMISSIONS), data_scope="groups")
        lead = AgentFactory(account=account, role=role)
        MemberFactory(account=account, skill_group=group, agent=lead)
        return lead

    @pytest.fixture
    def page(self, client, lead) -> Client:
        client.force_login(lead, backend="agents.sign_in.RoleBackend")
        return client

    def form(self, account: Account, *groups: SkillGroup) -> dict[str, Any]:
        rows = {"memberships-TOTAL_FORMS": str(len(groups))}
        for n, group in enumerate(groups):
            rows |= {f"memberships-{n}-skill_group": group.pk, f"memberships-{n}-priority": "3", f"memberships-{n}-id": ""}
        return TestAdding().form(account, **rows)

    def test_a_person_is_added_to_ones_own_group(self, page, account, group):
        assert page.post(reverse(ADD), self.form(account, group)).status_code == 302
        assert list(SkillGroupMember.objects.filter(agent__staff_id="2001").values_list("skill_group", flat=True)) == [group.pk]

    def test_without_a_group_nothing_is_kept_and_the_form_comes_back_as_it_was_filled_in(self, page, account, mailoutbox):
        answer = page.post(reverse(ADD), self.form(account) | {"new_password": ""})
        assert "Put them into one of your own skill groups" in errors_of(answer)["__all__"][0]
        assert 'value="li@example.com"' in answer.content.decode()
        assert not Agent.objects.filter(staff_id="2001").exists()
        assert mailoutbox == []

    def test_a_person_is_not_taken_out_of_ones_sight(self, page, account, group):
        member = MemberFactory(account=account, skill_group=group, agent=AgentFactory(account=account))
        rows = {
            "memberships-TOTAL_FORMS": "1",
            "memberships-INITIAL_FORMS": "1",
            "memberships-0-id": member.pk,
            "memberships-0-agent": member.agent_id,
            "memberships-0-skill_group": group.pk,
            "memberships-0-priority": "3",
            "memberships-0-DELETE": "on",
        }
        answer = page.post(change_of(member.agent), form_of(member.agent, nickname="Gone", **rows))
        assert "nothing was kept" in errors_of(answer)["__all__"][0]
        assert SkillGroupMember.objects.filter(pk=member.pk).exists()
        assert Agent.objects.get(pk=member.agent_id).nickname != "Gone"


class TestMeanwhile:
    """Between reading a row and writing it, somebody else changes it."""

    def test_who_is_forced_offline_while_their_page_is_saved_stays_so(self, page, desk_worker, monkeypatch):
        clean = AgentForm.clean

        def clean_late(form: AgentForm) -> None:
            Agent.objects.filter(pk=desk_worker.pk).update(status=Status.OFFLINE, forced_offline_at=timezone.now())
            clean(form)

        change_status(agent=desk_worker, status=Status.AVAILABLE, at=timezone.now())
        monkeypatch.setattr(AgentForm, "clean", clean_late)
        assert page.post(change_of(desk_worker), form_of(desk_worker, nickname="Fa", email="fang@example.com")).status_code == 302
        desk_worker.refresh_from_db()
        assert (desk_worker.nickname, desk_worker.status) == ("Fa", Status.OFFLINE)
        assert desk_worker.forced_offline_at is not None
        assert Agent.objects.get(email_hash=email_index("fang@example.com")) == desk_worker

    def test_a_phone_whose_number_is_changed_is_found_by_the_new_one_and_keeps_the_rest(self, page, desk_worker, monkeypatch):
        phone = AgentPhone.objects.create(account=desk_worker.account, agent=desk_worker, kind="extension", number="8001")
        clean = AgentForm.clean

        def clean_late(form: AgentForm) -> None:
            AgentPhone.objects.filter(pk=phone.pk).update(kind="external")
            clean(form)

        monkeypatch.setattr(AgentForm, "clean", clean_late)
        row = {"phones-0-id": phone.pk, "phones-0-agent": desk_worker.pk, "phones-0-kind": "extension", "phones-0-number": "8002"}
        counts = {"phones-TOTAL_FORMS": "1", "phones-INITIAL_FORMS": "1"}
        assert page.post(change_of(desk_worker), form_of(desk_worker, **row, **counts)).status_code == 302
        stored = AgentPhone.objects.get()
        assert (stored.number, stored.kind) == ("8002", "external")
        assert stored.number_hash == phone_index("8002", account_id=desk_worker.account_id)

    def test_a_page_reads_its_row_under_a_lock_and_shows_it_without(self, page, desk_worker, monkeypatch):
        locked: list[str] = []
        monkeypatch.setattr(QuerySet, "select_for_update", lambda rows: locked.append(rows.model.__name__) or rows)
        page.get(change_of(desk_worker))
        assert locked == []
        page.post(change_of(desk_worker), form_of(desk_worker, nickname="Fa"))
        assert locked[0] == "Agent"


class TestOffice:
    def test_the_last_administrator_is_neither_demoted_nor_deactivated(self, account, page, boss):
        keeper_role = Role.objects.create(
            account=account, name="Keeper", permissions=boss.role.permissions, data_scope=Role.DataScope.ACCOUNT
        )
        keeper = AgentFactory(account=account, role=keeper_role)
        page.force_login(keeper, backend="agents.sign_in.RoleBackend")
        agent_role = Role.objects.get(account=account, kind=Role.Kind.AGENT)
        for changes in ({"role": agent_role.pk}, {"is_active": ""}):
            form = {name: value for name, value in form_of(boss, **changes).items() if value != "" or name != "is_active"}
            said = errors_of(page.post(change_of(boss), form))
            assert said == {"__all__": ["The account needs an active administrator: appoint another one first."]}
        AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        assert page.post(change_of(boss), form_of(boss, role=agent_role.pk)).status_code == 302
        boss.refresh_from_db()
        assert boss.role_id == agent_role.pk

    def test_an_administrator_of_another_account_does_not_count(self, account, boss):
        AgentFactory(kind=Role.Kind.ADMINISTRATOR)
        with pytest.raises(Exception, match="needs an active administrator"):
            require_an_administrator(account, besides=[boss.pk])

    def test_nobody_changes_their_own_role_or_ends_their_own_access(self, page, boss, account):
        AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        agent_role = Role.objects.get(account=account, kind=Role.Kind.AGENT)
        form = form_of(boss, role=agent_role.pk, name="Chen W.", new_password="another long password")
        del form["is_active"]
        assert page.post(change_of(boss), form).status_code == 302
        boss.refresh_from_db()
        assert (boss.role.kind, boss.is_active, boss.name) == (Role.Kind.ADMINISTRATOR, True, "Chen W.")
        assert boss.check_password(PASSWORD), "one's own password is changed with the old one"
        page.post(reverse(LIST), {"action": "deactivate", "_selected_action": [boss.pk]})
        boss.refresh_from_db()
        assert boss.is_active

    def test_who_may_do_more_is_out_of_reach(self, client, account, boss):
        role = Role.objects.create(
            account=account,
            name="Clerk",
            permissions=["agents.enter_admin", "agents.view_agent", "agents.change_agent", "agents.add_agent", "agents.use_desk"],
            data_scope=Role.DataScope.ACCOUNT,
        )
        clerk, victim = AgentFactory(account=account, role=role), AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
        client.force_login(clerk, backend="agents.sign_in.RoleBackend")
        for one in (boss, victim):
            assert client.get(change_of(one)).status_code == 200
            assert client.post(change_of(one), form_of(one, new_password="taken over completely")).status_code == 403
        client.post(reverse(LIST), {"action": "deactivate", "_selected_action": [victim.pk]})
        victim.refresh_from_db()
        assert victim.is_active
        offered = client.get(reverse(ADD)).context["adminform"].form.fields["role"].queryset
        assert set(offered) == {role}

    def test_deactivating_takes_people_offline_and_signs_them_out(self, page, desk_worker):
        change_status(agent=desk_worker, status=Status.AVAILABLE, at=timezone.now() - dt.timedelta(minutes=5))
        theirs = Client()
        theirs.force_login(desk_worker, backend="agents.sign_in.RoleBackend")
        assert theirs.get("/desk/").status_code == 200
        page.post(reverse(LIST), {"action": "deactivate", "_selected_action": [desk_worker.pk]})
        desk_worker.refresh_from_db()
        assert (desk_worker.is_active, desk_worker.status) == (False, Status.OFFLINE)
        assert theirs.get("/desk/").status_code == 302
        open_rows = StatusChange.objects.filter(agent=desk_worker, ended_at=None)
        assert [row.status for row in open_rows] == [Status.OFFLINE]

    def test_deactivation_is_all_or_none(self, account, boss, desk_worker):
        with pytest.raises(Exception, match="yourself"):
            deactivate_agents(agents=[desk_worker, boss], by=boss, at=timezone.now())
        desk_worker.refresh_from_db()
        assert desk_worker.is_active

    def test_people_are_not_deleted_here(self, page, desk_worker):
        assert page.post(reverse("admin:agents_agent_delete", args=[desk_worker.pk]), {"post": "yes"}).status_code == 403
        page.post(reverse(LIST), {"action": "delete_selected", "_selected_action": [desk_worker.pk], "post": "yes"})
        assert Agent.objects.filter(pk=desk_worker.pk).exists()

    def test_a_new_password_ends_the_sessions_of_the_old_one(self, page, desk_worker):
        theirs = Client()
        theirs.force_login(desk_worker, backend="agents.sign_in.RoleBackend")
        page.post(change_of(desk_worker), form_of(desk_worker, new_password="quite another password"))
        assert theirs.get("/desk/").status_code == 302


class TestGroups:
    def test_members_are_counted_without_those_who_left(self, page, account, django_assert_num_queries):
        group = SkillGroupFactory(account=account)
        MemberFactory(skill_group=group)
        MemberFactory(skill_group=group, agent=AgentFactory(account=account, is_active=False))
        with django_assert_num_queries(5):
            rows = page.get(reverse("admin:agents_skillgroup_changelist")).context["cl"].result_list
        assert [row.n_members for row in rows] == [1]

    def test_a_member_added_on_the_page_is_of_the_groups_account(self, page, account, desk_worker):
        group = SkillGroupFactory(account=account)
        form = {
            "name": group.name,
            "wrap_up_seconds": "30",
            "is_active": "on",
            "memberships-TOTAL_FORMS": "1",
            "memberships-INITIAL_FORMS": "0",
            "memberships-0-agent": desk_worker.pk,
            "memberships-0-priority": "2",
        }
        assert page.post(reverse("admin:agents_skillgroup_change", args=[group.pk]), form).status_code == 302
        member = SkillGroupMember.objects.get(skill_group=group)
        assert (member.agent, member.account, member.priority) == (desk_worker, account, 2)

    def test_a_name_is_used_once_in_an_account(self, page, account):
        SkillGroupFactory(account=account, name="Sales")
        form = {"name": "Sales", "wrap_up_seconds": "30", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
        assert errors_of(page.post(reverse("admin:agents_skillgroup_add"), form)) == {"name": ["This is in use already."]}
        assert SkillGroup.objects.filter(name="Sales").count() == 1

    def test_a_group_is_given_up_and_never_deleted(self, page, account):
        group = SkillGroupFactory(account=account)
        assert page.post(reverse("admin:agents_skillgroup_delete", args=[group.pk]), {"post": "yes"}).status_code == 403
        chosen = {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"}
        page.post(reverse("admin:agents_skillgroup_changelist"), chosen)
        assert SkillGroup.objects.filter(pk=group.pk).exists()
        form = {"name": group.name, "wrap_up_seconds": "30", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
        assert page.post(reverse("admin:agents_skillgroup_change", args=[group.pk]), form).status_code == 302
        group.refresh_from_db()
        assert group.is_active is False


class TestAccounts:
    @pytest.fixture
    def operator(self, client) -> Client:
        client.force_login(
            Agent.objects.create_superuser("op@example.com", PASSWORD, name="Op"), backend="agents.sign_in.RoleBackend"
        )
        return client

    def form(self, **changes: Any) -> dict[str, Any]:
        return {
            "name": "Harbour Travel",
            "slug": "harbour",
            "time_zone": "Asia/Shanghai",
            "region": "cn",
            "administrator_name": "Chen Wei",
            "administrator_email": "chen@example.com",
            "password": PASSWORD,
        } | changes

    def test_an_operator_opens_an_account_with_somebody_who_can_sign_in(self, operator):
        answer = operator.post(reverse("admin:configuration_account_add"), self.form())
        assert answer.status_code == 302, answer.content
        account = Account.objects.get(slug="harbour")
        assert (account.region, account.time_zone, Role.objects.filter(account=account).count()) == ("CN", "Asia/Shanghai", 4)
        assert Client().post("/admin/login/", {"username": "chen@example.com", "password": PASSWORD}).status_code == 302

    def test_what_is_wrong_is_said_on_the_field_and_nothing_is_left(self, operator, account):
        taken = AgentFactory(email="taken@example.com").email
        before = Account.objects.count()
        for changes, field in (
            ({"administrator_email": taken}, "administrator_email"),
            ({"administrator_email": "nonsense"}, "administrator_email"),
            ({"slug": account.slug}, "slug"),
            ({"password": "short"}, "password"),
            ({"region": "XX"}, "region"),
            ({"time_zone": "Mars/Olympus"}, "time_zone"),
            ({"administrator_name": " "}, "administrator_name"),
        ):
            assert set(errors_of(operator.post(reverse("admin:configuration_account_add"), self.form(**changes)))) == {field}
        assert Account.objects.count() == before

    def test_an_administrator_changes_their_own_account_and_not_its_short_name(self, page, account):
        address = reverse("admin:configuration_account_change", args=[account.pk])
        assert page.get(reverse("admin:configuration_account_changelist")).url == address
        form = {
            "name": "Renamed",
            "slug": "taken-over",
            "language": "zh-hans",
            "time_zone": "Asia/Tokyo",
            "region": "jp",
            "service_level_seconds": "30",
            "short_abandon_seconds": "3",
            "level_good": "80",
            "level_poor": "60",
        }
        assert page.post(address, form).status_code == 302
        slug = account.slug
        account.refresh_from_db()
        assert (account.name, account.slug, account.time_zone, account.region) == ("Renamed", slug, "Asia/Tokyo", "JP")

    def test_an_operator_sees_accounts_and_none_of_their_people(self, operator, desk_worker):
        assert desk_worker.account.name in operator.get(reverse("admin:configuration_account_changelist")).content.decode()
        assert operator.get(reverse(LIST)).status_code == 403


class TestNumbers:
    def test_a_number_is_stored_in_one_form_and_once(self, page, account):
        form = {"number": "010 5551 2345", "label": "Main", "direction": "both", "priority": "0", "is_active": "on"}
        assert page.post(reverse("admin:configuration_servicenumber_add"), form).status_code == 302
        again = page.post(reverse("admin:configuration_servicenumber_add"), form | {"number": "+86 (10) 5551-2345"})
        assert errors_of(again) == {"number": ["This is in use already."]}
        empty = page.post(reverse("admin:configuration_servicenumber_add"), form | {"number": "---"})
        assert errors_of(empty) == {"number": ["This is not a phone number."]}


class TestDesk:
    def test_an_agent_who_signs_in_arrives_at_the_desk(self, client, desk_worker):
        answer = client.post("/admin/login/", {"username": desk_worker.email, "password": PASSWORD}, follow=True)
        assert answer.redirect_chain[-1][0] == "/desk/"
        assert answer.status_code == 200

    def test_a_chosen_status_is_recorded_once(self, client, desk_worker):
        client.force_login(desk_worker, backend="agents.sign_in.RoleBackend")
        for _ in range(2):
            client.post("/desk/status/", {"status": "break", "reason": "lunch"})
        assert [(row.status, row.reason) for row in StatusChange.objects.filter(agent=desk_worker)] == [("break", "lunch")]

    @pytest.mark.parametrize("status", ["wrap_up", "asleep", ""])
    def test_a_status_one_cannot_choose_is_refused(self, client, desk_worker, status):
        client.force_login(desk_worker, backend="agents.sign_in.RoleBackend")
        client.post("/desk/status/", {"status": status})
        assert not StatusChange.objects.exists()

    def test_who_may_open_nothing_is_told_so(self, client, account):
        role = Role.objects.create(account=account, name="Nothing", permissions=[])
        client.force_login(AgentFactory(account=account, role=role), backend="agents.sign_in.RoleBackend")
        answer = client.get("/admin/", follow=True)
        assert (answer.status_code, answer.redirect_chain[-1][0]) == (403, "/desk/")
        assert "Ask an administrator" in answer.content.decode()

    def test_an_inspector_without_a_desk_goes_to_the_admin(self, client, account):
        client.force_login(AgentFactory(account=account, kind=Role.Kind.INSPECTOR), backend="agents.sign_in.RoleBackend")
        assert client.get("/desk/").url == reverse("admin:index")

    def test_nobody_signed_in_is_asked_to(self, client):
        assert client.get("/desk/").url == f"{reverse('admin:login')}?next=/desk/"


class TestSigningIn:
    def test_the_answer_does_not_say_what_was_wrong(self, client, desk_worker):
        AgentFactory(email="gone@example.com", is_active=False)
        said = set()
        for email, password in ((desk_worker.email, "wrong"), ("nobody@example.com", "wrong"), ("gone@example.com", PASSWORD)):
            answer = client.post("/admin/login/", {"username": email, "password": password})
            assert answer.status_code == 200
            said.add(str(answer.context["form"].non_field_errors()))
        assert len(said) == 1

    def test_too_many_failures_pause_signing_in_and_keep_no_email(self, client, desk_worker):
        from axes.models import AccessAttempt

        for _ in range(8):
            answer = client.post("/admin/login/", {"username": desk_worker.email, "password": "wrong"})
        assert answer.status_code == 429
        assert "Try again in 15 minutes" in answer.content.decode()
        assert int(answer["Retry-After"]) == 900
        assert client.post("/admin/login/", {"username": desk_worker.email, "password": PASSWORD}).status_code == 429
        assert "wang@" not in str(list(AccessAttempt.objects.values()))

    def test_nobody_of_a_terminated_account_signs_in(self, client, desk_worker):
        desk_worker.account.terminated_at = timezone.now()
        desk_worker.account.save()
        assert client.post("/admin/login/", {"username": desk_worker.email, "password": PASSWORD}).status_code == 200


class TestStatusChanges:
    def test_a_long_list_is_neither_counted_whole_nor_sorted(self, client, desk_worker):
        client.force_login(AgentFactory(account=desk_worker.account, kind=Role.Kind.ADMINISTRATOR))
        start = timezone.now()
        StatusChange.objects.bulk_create(
            StatusChange(
                account=desk_worker.account,
                agent=desk_worker,
                status=Status.BREAK,
                started_at=start - dt.timedelta(seconds=n),
                ended_at=start,
                change_key=n.to_bytes(32, "big"),
            )
            for n in range(1200)
        )
        with CaptureQueriesContext(connection) as queries:
            page = client.get("/admin/agents/statuschange/")
            oldest_first = client.get("/admin/agents/statuschange/?o=5")
        assert oldest_first.context["cl"].result_list[0].started_at == start - dt.timedelta(seconds=1199)
        assert [row.started_at for row in page.context["cl"].result_list[:2]] == [start, start - dt.timedelta(seconds=1)]
        assert "1,000+" in page.content.decode()
        asked = [query["sql"] for query in queries if "agents_statuschange" in query["sql"]]
        assert asked and all("LIMIT" in sql for sql in asked)
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                for sql in asked:
                    cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                    plan = str(cursor.fetchall())
                    assert "status_time" in plan and "TEMP B-TREE" not in plan, plan


def test_no_page_of_another_package_is_taken_in():
    assert {page.__module__.split(".")[0] for page in admin.site._registry.values()} <= {
        "configuration",
        "agents",
        "calls",
        "analytics",
        "retention",
        "callcenter_site",
    }
