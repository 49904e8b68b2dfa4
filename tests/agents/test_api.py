"""People, groups and status over the API."""

import datetime as dt
import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, AgentPhone, DeviceCheck, SignInLink, SkillGroup, SkillGroupMember, Status, StatusChange
from agents.presence import change_status
from configuration.api_keys import create_api_key
from configuration.models import ApiKey, QuickReplyGroup, Role, ScreenPop
from tests.factories import PASSWORD, AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

AGENTS = "/api/v1/agents/"
GROUPS = "/api/v1/skill-groups/"
MEMBERSHIPS = "/api/v1/memberships/"
CHECKS = "/api/v1/device-checks/"
CHANGES = "/api/v1/status-changes/"
STATUSES = "/api/v1/agent-statuses/"


class Api:
    """Somebody who asks: with a key of these scopes, or signed in."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __getattr__(self, method: str) -> Any:
        def ask(address: str, body: Any = None) -> Any:
            sent = (
                {} if method == "get" else {"data": json.dumps({} if body is None else body), "content_type": "application/json"}
            )
            return getattr(self.client, method)(address, **sent)

        return ask


def key_of(account, *scopes: str) -> Api:
    text = create_api_key(account=account, name="test", scopes=list(scopes))[1]
    return Api(Client(headers={"authorization": f"Api-Key {text}"}))


def signed_in(agent: Agent) -> Api:
    client = Client()
    client.force_login(agent, backend="agents.sign_in.RoleBackend")
    return Api(client)


@pytest.fixture
def api(account) -> Api:
    return key_of(account, "agents:write")


@pytest.fixture
def boss(account) -> Agent:
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def role_of(account, kind: str) -> Role:
    role: Role = Role.objects.get(account=account, kind=kind)
    return role


def faults(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.content
    return [error["field"] for error in answer.json()["errors"]]


def reasons(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.content
    return [error["reason"] for error in answer.json()["errors"]]


def new(account, /, **more: Any) -> dict[str, Any]:
    return {
        "staff_id": "2001",
        "email": "wang.wei@example.com",
        "name": "Wang Wei",
        "role": role_of(account, Role.Kind.AGENT).pk,
    } | more


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


class TestMakingAgents:
    def test_an_agent_is_made_with_phones_and_groups_and_comes_in_by_mail(self, api, account):
        group = SkillGroupFactory(account=account)
        answer = api.post(
            AGENTS,
            new(
                account,
                phones=[{"kind": "mobile", "number": "138 0013 8000"}, {"number": "8001"}],
                memberships=[{"skill_group": group.pk}],
                invite=True,
            ),
        )
        assert answer.status_code == 201, answer.content
        body = answer.json()
        assert answer["Location"].endswith(f"{AGENTS}{body['id']}/")
        assert body["phones"] == [{"kind": "mobile", "number": "+8613800138000"}, {"kind": "extension", "number": "8001"}]
        assert body["memberships"] == [{"skill_group": group.pk, "priority": 3}]
        assert (body["status"], body["is_online"], body["is_active"]) == ("offline", False, True)
        assert "password" not in body and "invite" not in body
        agent = Agent.objects.get(pk=body["id"])
        assert agent.account == account and not agent.has_usable_password()
        assert SignInLink.objects.filter(agent=agent, kind=SignInLink.Kind.INVITATION).count() == 1

    def test_with_a_password_they_sign_in_at_once(self, api, account):
        answer = api.post(AGENTS, new(account, password="quite a long secret 7"))
        assert answer.status_code == 201, answer.content
        assert Agent.objects.get(pk=answer.json()["id"]).check_password("quite a long secret 7")
        assert SignInLink.objects.count() == 0

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"staff_id": ""}, "staff_id"),
            ({"staff_id": "x" * 41}, "staff_id"),
            ({"email": "nobody"}, "email"),
            ({"name": " "}, "name"),
            ({"name": None}, "name"),
            ({"role": None}, "role"),
            ({"role": "1"}, "role"),
            ({"role": True}, "role"),
            ({"role": 10**30}, "role"),
            ({"password": "short"}, "password"),
            ({"password": "wang.wei@example.com"}, "password"),
            ({"cellphone_pickup": "sometimes"}, "cellphone_pickup"),
            ({"phones": [{"number": "nonsense"}]}, "phones[0].number"),
            ({"phones": [{}]}, "phones[0].number"),
            ({"phones": [{"number": "8001"}, {"number": "8001"}]}, "phones[1].number"),
            ({"phones": {"number": "8001"}}, "phones"),
            ({"phones": [{"number": "8001", "label": "x"}]}, "phones[0].label"),
            ({"memberships": [{"skill_group": 10**30}]}, "memberships[0].skill_group"),
            ({"memberships": [{"skill_group": 1, "priority": 6}]}, "memberships[0].priority"),
            ({"is_superuser": True}, "is_superuser"),
            ({"account": 1}, "account"),
        ],
    )
    def test_what_is_wrong_is_named_and_nothing_is_kept(self, api, account, wrong, field):
        before = Agent.objects.count()
        assert faults(api.post(AGENTS, new(account, **wrong))) == [field]
        assert (Agent.objects.count(), AgentPhone.objects.count()) == (before, 0)

    def test_a_staff_id_is_unique_in_the_account_and_an_email_everywhere(self, api, account):
        AgentFactory(staff_id="2001", email="Wang.Wei@example.com")
        answer = api.post(AGENTS, new(account))
        assert (faults(answer), reasons(answer)) == (["email"], ["This email cannot be used."])
        assert api.post(AGENTS, new(account, email="other@example.com")).status_code == 201
        assert faults(api.post(AGENTS, new(account, email="third@example.com"))) == ["staff_id"]

    def test_a_number_is_one_persons_within_the_account(self, api, account):
        agent = AgentFactory(account=account)
        AgentPhone.objects.create(account=account, agent=agent, kind="extension", number="8001")
        AgentPhone.objects.create(
            account=(other := AccountFactory()), agent=AgentFactory(account=other), kind="extension", number="8002"
        )
        assert faults(api.post(AGENTS, new(account, phones=[{"number": "8002"}, {"number": "8001"}]))) == ["phones[1].number"]
        assert api.patch(f"{AGENTS}{agent.pk}/", {"phones": [{"number": "8001"}]}).status_code == 200

    def test_ids_of_another_account_are_as_missing_as_nobodys(self, api, account):
        there = AccountFactory()
        their_role, their_group = role_of(there, Role.Kind.AGENT), SkillGroupFactory(account=there)
        for field, pk in (("role", their_role.pk), ("memberships", their_group.pk)):
            answers = []
            for one in (pk, 70_999_999):
                value: Any = one if field == "role" else [{"skill_group": one}]
                answers.append(api.post(AGENTS, new(account, **{field: value})).json())
            assert answers[0] == answers[1] and answers[0]["errors"][0]["reason"] == "There is no such row."
        group = SkillGroupFactory(account=account)
        their_pop = ScreenPop.objects.create(account=there, name="Pop")
        their_replies = QuickReplyGroup.objects.create(account=there, name="Replies")
        for field, row in (("screen_pop", their_pop), ("quick_reply_group", their_replies)):
            assert faults(api.post(GROUPS, {"name": "New", field: row.pk})) == [field]
            assert faults(api.patch(f"{GROUPS}{group.pk}/", {field: row.pk})) == [field]
        their_agent, ours = AgentFactory(account=there), AgentFactory(account=account)
        assert faults(api.post(MEMBERSHIPS, {"skill_group": group.pk, "agent": their_agent.pk})) == ["agent"]
        assert faults(api.post(MEMBERSHIPS, {"skill_group": their_group.pk, "agent": ours.pk})) == ["skill_group"]
        write = key_of(account, "agents:write")
        assert faults(write.post(CHECKS, {"agent": their_agent.pk, "microphone": "ok"})) == ["agent"]


class TestOffice:
    """Who may appoint, change and dismiss whom."""

    def test_a_key_gives_the_role_of_agents_and_none_that_may_more(self, api, account):
        for kind in (Role.Kind.SUPERVISOR, Role.Kind.INSPECTOR, Role.Kind.ADMINISTRATOR):
            assert faults(api.post(AGENTS, new(account, role=role_of(account, kind).pk))) == ["role"]
        everything = key_of(account, *ApiKey.Scope.values)
        assert faults(everything.post(AGENTS, new(account, role=role_of(account, Role.Kind.ADMINISTRATOR).pk))) == ["role"]
        assert api.post(AGENTS, new(account)).status_code == 201

    def test_a_key_does_not_hand_on_more_than_the_work_of_agents(self, api, account):
        sees_all = Role.objects.create(account=account, name="Sees all", data_scope="account", permissions=["calls.view_call"])
        listens = Role.objects.create(account=account, name="Listens", data_scope="own", permissions=["calls.listen_recording"])
        for role in (sees_all, listens):
            assert faults(api.post(AGENTS, new(account, role=role.pk))) == ["role"]

    def test_a_key_changes_nobody_who_may_more_than_it_gives(self, api, account, boss):
        for answer in (
            api.patch(f"{AGENTS}{boss.pk}/", {"password": "taken over by a key"}),
            api.patch(f"{AGENTS}{boss.pk}/", {"email": "mine@example.com"}),
        ):
            assert answer.status_code == 403
        assert api.post(f"{AGENTS}{boss.pk}/deactivate/").status_code == 400
        assert api.post(f"{AGENTS}{boss.pk}/invite/").status_code == 400
        boss.refresh_from_db()
        assert boss.is_active and boss.check_password(PASSWORD) and boss.email != "mine@example.com"

    def test_nobody_changes_their_own_role_or_password_here(self, account, boss):
        me = signed_in(boss)
        own = f"{AGENTS}{boss.pk}/"
        assert faults(me.patch(own, {"role": role_of(account, Role.Kind.AGENT).pk})) == ["role"]
        assert faults(me.patch(own, {"password": "another long one 7"})) == ["password"]
        assert me.patch(own, {"nickname": "Chief"}).status_code == 200
        assert me.post(f"{own}deactivate/").status_code == 400

    def test_the_last_administrator_stays(self, account, boss):
        second = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        me = signed_in(boss)
        assert me.patch(f"{AGENTS}{second.pk}/", {"role": role_of(account, Role.Kind.AGENT).pk}).status_code == 200
        Agent.objects.filter(pk=boss.pk).update(is_active=False)
        third = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        twin = Role.objects.create(
            account=account,
            name="Twin",
            data_scope="account",
            permissions=role_of(account, Role.Kind.ADMINISTRATOR).permissions,
        )
        deputy = signed_in(AgentFactory(account=account, role=twin))
        assert faults(deputy.patch(f"{AGENTS}{third.pk}/", {"role": role_of(account, Role.Kind.AGENT).pk})) == ["role"]
        assert deputy.post(f"{AGENTS}{third.pk}/deactivate/").status_code == 400
        third.refresh_from_db()
        assert third.is_active and third.role == role_of(account, Role.Kind.ADMINISTRATOR)

    def test_deactivating_ends_their_work_and_reactivating_lets_them_back(self, api, account):
        agent = AgentFactory(account=account)
        change_status(agent=agent, status=Status.AVAILABLE, at=timezone.now())
        gone = api.post(f"{AGENTS}{agent.pk}/deactivate/").json()
        assert (gone["is_active"], gone["status"]) == (False, "offline")
        assert api.post(f"{AGENTS}{agent.pk}/deactivate/").status_code == 200  # again: nothing more
        assert api.put(f"{AGENTS}{agent.pk}/status/", {"status": "available"}).status_code == 400
        assert faults(api.patch(f"{AGENTS}{agent.pk}/", {"invite": True})) == ["invite"]
        assert api.post(f"{AGENTS}{agent.pk}/reactivate/").json()["is_active"] is True
        assert api.delete(f"{AGENTS}{agent.pk}/").status_code == 405

    def test_a_supervisor_keeps_within_their_groups_and_their_rights(self, account):
        group = SkillGroupFactory(account=account)
        boss = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
        MemberFactory(skill_group=group, agent=boss)
        mine = MemberFactory(skill_group=group).agent
        other = AgentFactory(account=account)
        me = signed_in(boss)
        assert set(ids(me.get(AGENTS))) == {boss.pk, mine.pk}
        assert me.get(f"{AGENTS}{other.pk}/").status_code == 404
        assert me.patch(f"{AGENTS}{mine.pk}/", {"name": "x"}).status_code == 403  # no right to change agents
        assert me.post(AGENTS, new(account)).status_code == 403

    def test_memberships_in_groups_the_asker_does_not_see_are_left_alone(self, account):
        seen, unseen = SkillGroupFactory(account=account), SkillGroupFactory(account=account)
        permissions = ["agents.use_desk", "calls.view_call", "calls.see_full_number"]
        manage = [f"agents.{act}_{what}" for act in ("view", "add", "change", "delete") for what in ("agent", "skillgroupmember")]
        role = Role.objects.create(account=account, name="Lead", data_scope="groups", permissions=[*permissions, *manage])
        lead, agent = AgentFactory(account=account, role=role), AgentFactory(account=account)
        for member in (lead, agent):
            MemberFactory(skill_group=seen, agent=member)
        MemberFactory(skill_group=unseen, agent=agent)
        me = signed_in(lead)
        assert faults(me.patch(f"{AGENTS}{agent.pk}/", {"memberships": [{"skill_group": unseen.pk}]})) == [
            "memberships[0].skill_group"
        ]
        # Out of the last group they share, the agent would be out of sight: so it is not kept.
        assert me.patch(f"{AGENTS}{agent.pk}/", {"memberships": []}).status_code == 403
        assert set(agent.skill_groups.all()) == {seen, unseen}
        answer = me.patch(f"{AGENTS}{agent.pk}/", {"memberships": [{"skill_group": seen.pk, "priority": 1}]})
        assert answer.status_code == 200 and set(agent.skill_groups.all()) == {seen, unseen}

    def test_what_one_may_not_see_is_null_and_not_looked_for(self, account):
        inspector = signed_in(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
        agent = AgentFactory(account=account)
        AgentPhone.objects.create(account=account, agent=agent, kind="extension", number="8001")
        body = inspector.get(f"{AGENTS}{agent.pk}/").json()
        assert body["phones"] is None and body["memberships"] == []
        assert inspector.get(f"{AGENTS}?number=8001").status_code == 403


class TestChangingAgents:
    def test_put_replaces_and_patch_changes_and_lists_left_out_stay(self, api, account):
        agent = AgentFactory(account=account, nickname="Nick", cellphone_pickup="always")
        AgentPhone.objects.create(account=account, agent=agent, kind="extension", number="8001")
        MemberFactory(skill_group=SkillGroupFactory(account=account), agent=agent)
        address = f"{AGENTS}{agent.pk}/"
        assert api.patch(address, {"name": "New name"}).json()["nickname"] == "Nick"
        body = api.put(address, new(account)).json()
        assert (body["nickname"], body["cellphone_pickup"], body["staff_id"]) == ("", "off", "2001")
        assert len(body["phones"]) == len(body["memberships"]) == 1
        assert faults(api.put(address, {"name": "x"})) == ["staff_id", "email", "role"]
        body = api.patch(address, {"phones": [], "memberships": []}).json()
        assert body["phones"] == body["memberships"] == []

    def test_what_was_read_can_be_written_back(self, api, account):
        agent = AgentFactory(account=account)
        AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number="+8613800138000")
        MemberFactory(skill_group=SkillGroupFactory(account=account), agent=agent, priority=2)
        address = f"{AGENTS}{agent.pk}/"
        read = api.get(address).json()
        assert api.put(address, read).json() == read
        kept = AgentPhone.objects.get(agent=agent).pk
        api.put(address, read)
        assert AgentPhone.objects.get(agent=agent).pk == kept  # the same row, not another one like it


class TestFindingAgents:
    def test_each_filter_narrows_to_what_it_says(self, api, account):
        group = SkillGroupFactory(account=account)
        a = AgentFactory(account=account, staff_id="A1", email="a@example.com")
        b = AgentFactory(account=account, staff_id="B1", kind=Role.Kind.SUPERVISOR)
        c = AgentFactory(account=account, staff_id="C1", is_active=False)
        AgentFactory(staff_id="A1x")
        MemberFactory(skill_group=group, agent=b)
        AgentPhone.objects.create(account=account, agent=a, kind="mobile", number="+8613800138000")
        change_status(agent=a, status=Status.AVAILABLE, at=timezone.now())
        for query, found in (
            ("", [c, b, a]),
            ("staff_id=A1", [a]),
            ("email=A%40Example.com", [a]),
            ("email=a%40example", []),
            ("number=138-0013-8000", [a]),
            ("number=1380013", []),
            (f"role={b.role_id}", [b]),
            (f"skill_group={group.pk}", [b]),
            ("skill_group=70999999", []),
            ("status=available", [a]),
            ("is_active=false", [c]),
            ("is_online=true", []),
        ):
            assert ids(api.get(f"{AGENTS}?{query}")) == [agent.pk for agent in found], query

    @pytest.mark.parametrize("query", ["role=x", "role=" + "9" * 30, "role=0", "status=x", "is_active=1", "name=x", "number=%00"])
    def test_a_wrong_filter_is_named(self, api, query):
        assert faults(api.get(f"{AGENTS}?{query}")) == [query.partition("=")[0]]

    @pytest.mark.parametrize("address", [AGENTS, GROUPS, MEMBERSHIPS, CHECKS, CHANGES, STATUSES])
    def test_a_list_costs_the_same_for_few_and_for_many(self, account, address):
        def make(n: int) -> None:
            for _ in range(n):
                member = MemberFactory(skill_group=SkillGroupFactory(account=account))
                number = str(8000 + AgentPhone.objects.count())
                AgentPhone.objects.create(account=account, agent=member.agent, kind="extension", number=number)
                DeviceCheck.objects.create(account=account, agent=member.agent, result="good")
                change_status(agent=member.agent, status=Status.AVAILABLE, at=timezone.now())

        def n_queries() -> int:
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert api.get(address).status_code == 200
            return len(queries)

        api = key_of(account, "agents:read")
        make(1)
        api.get(address)  # notes the use of the key, and the look of this minute
        few = n_queries()
        make(9)
        assert n_queries() == few <= 4

    def test_the_list_for_wallboards_is_one_query_besides_the_key(self, account):
        AgentFactory(account=account, is_active=False)
        shown = MemberFactory(skill_group=SkillGroupFactory(account=account)).agent
        AgentFactory()
        api = key_of(account, "agents:read")
        api.get(STATUSES)
        with CaptureQueriesContext(connection) as queries:
            rows = api.get(STATUSES).json()["results"]
        assert len(queries) == 2
        assert [(row["agent"], row["status"], row["is_online"]) for row in rows] == [(shown.pk, "offline", False)]


class TestStatus:
    def test_it_is_set_with_its_reason_and_says_who_set_it(self, api, account):
        agent = AgentFactory(account=account)
        address = f"{AGENTS}{agent.pk}/status/"
        answer = api.put(address, {"status": "break", "reason": "Lunch"})
        assert (answer.json()["status"], answer.json()["status_reason"]) == ("break", "Lunch")
        assert api.get(address).json()["status"] == "break"
        assert StatusChange.objects.get(agent=agent).source == StatusChange.Source.API
        assert api.put(address, {"status": "break", "reason": "Lunch"}).status_code == 200
        assert StatusChange.objects.filter(agent=agent).count() == 1

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "status"),
            ({"status": "wrap_up"}, "status"),
            ({"status": "asleep"}, "status"),
            ({"status": "break", "reason": "x" * 61}, "reason"),
            ({"status": "break", "until": "later"}, "until"),
        ],
    )
    def test_what_is_wrong_is_named(self, api, account, body, field):
        agent = AgentFactory(account=account)
        assert faults(api.put(f"{AGENTS}{agent.pk}/status/", body)) == [field]

    def test_whoever_is_taken_offline_stays_so_until_let_back(self, api, account):
        agent = AgentFactory(account=account)
        api.put(f"{AGENTS}{agent.pk}/status/", {"status": "available"})
        taken = api.post(f"{AGENTS}{agent.pk}/force-offline/").json()
        assert taken["status"] == "offline" and taken["forced_offline_at"]
        assert faults(api.put(f"{AGENTS}{agent.pk}/status/", {"status": "available"})) == ["status"]
        assert api.post(f"{AGENTS}{agent.pk}/restore-online/").json()["forced_offline_at"] is None
        assert api.put(f"{AGENTS}{agent.pk}/status/", {"status": "available"}).status_code == 200

    def test_an_agent_sets_their_own_and_nobody_elses(self, account):
        agent, other = AgentFactory(account=account), AgentFactory(account=account)
        me = signed_in(agent)
        assert me.put(f"{AGENTS}{agent.pk}/status/", {"status": "available"}).status_code == 200
        assert StatusChange.objects.get(agent=agent).source == StatusChange.Source.AGENT
        assert me.get(f"{AGENTS}{agent.pk}/status/").json()["status"] == "available"
        assert me.put(f"{AGENTS}{other.pk}/status/", {"status": "available"}).status_code == 403
        assert me.get(f"{AGENTS}{other.pk}/status/").status_code == 403
        assert me.post(f"{AGENTS}{agent.pk}/force-offline/").status_code == 403
        assert me.get(AGENTS).status_code == 403

    def test_a_supervisor_sets_that_of_their_people(self, account):
        group = SkillGroupFactory(account=account)
        boss = MemberFactory(skill_group=group, agent=AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)).agent
        mine, other = MemberFactory(skill_group=group).agent, AgentFactory(account=account)
        me = signed_in(boss)
        assert me.put(f"{AGENTS}{mine.pk}/status/", {"status": "busy"}).status_code == 200
        assert StatusChange.objects.get(agent=mine).source == StatusChange.Source.SUPERVISOR
        assert me.put(f"{AGENTS}{other.pk}/status/", {"status": "busy"}).status_code == 404

    def test_a_key_that_reads_does_not_set(self, account):
        agent, api = AgentFactory(account=account), key_of(account, "agents:read")
        assert api.get(f"{AGENTS}{agent.pk}/status/").status_code == 200
        assert api.put(f"{AGENTS}{agent.pk}/status/", {"status": "busy"}).status_code == 403
        assert api.post(AGENTS, new(account)).status_code == 403

    def test_the_history_is_paged_by_time_and_filtered(self, api, account):
        agent, other = AgentFactory(account=account, staff_id="A1"), AgentFactory(account=account)
        start = dt.datetime(2026, 11, 24, 1, 0, tzinfo=dt.UTC)
        for minutes, status in enumerate(["available", "busy", "break", "offline"]):
            change_status(agent=agent, status=status, at=start + dt.timedelta(minutes=minutes))
        change_status(agent=other, status="available", at=start)

        def statuses(query: str) -> list[str]:
            return [row["status"] for row in api.get(f"{CHANGES}?{query}").json()["results"]]

        assert statuses(f"agent={agent.pk}") == statuses("staff_id=A1") == ["offline", "break", "busy", "available"]
        assert statuses(f"agent={agent.pk}&started_after=2026-11-24T01:01:00Z&started_before=2026-11-24T01:03:00Z") == [
            "break",
            "busy",
        ]
        assert statuses("status=break") == ["break"]
        assert sorted(statuses("open=true")) == ["available", "offline"]
        assert len(statuses("source=event")) == 5 and statuses("source=api") == []
        page = api.get(f"{CHANGES}?agent={agent.pk}&limit=3").json()
        assert [row["status"] for row in api.get(page["next"]).json()["results"]] == ["available"]
        assert api.get(page["next"]).json()["next"] is None


class TestGroupsAndMemberships:
    def test_a_group_is_made_changed_and_set_out_of_use(self, api, account):
        made = api.post(GROUPS, {"name": "Sales", "service_level_seconds": 15}).json()
        assert (made["wrap_up_seconds"], made["n_members"], made["is_active"]) == (30, 0, True)
        address = f"{GROUPS}{made['id']}/"
        assert faults(api.post(GROUPS, {"name": "Sales"})) == ["name"]
        assert api.patch(address, {"is_active": False}).json()["service_level_seconds"] == 15
        assert api.put(address, {"name": "Sales"}).json()["service_level_seconds"] is None
        assert api.delete(address).status_code == 405
        MemberFactory(skill_group_id=made["id"], skill_group=SkillGroup.objects.get(pk=made["id"]))
        MemberFactory(skill_group=SkillGroup.objects.get(pk=made["id"]), agent=AgentFactory(account=account, is_active=False))
        assert api.get(address).json()["n_members"] == 1

    def test_a_membership_is_made_once_changed_in_priority_and_deleted(self, api, account):
        group, agent = SkillGroupFactory(account=account), AgentFactory(account=account)
        body = {"skill_group": group.pk, "agent": agent.pk}
        made = api.post(MEMBERSHIPS, body).json()
        assert made["priority"] == 3
        assert faults(api.post(MEMBERSHIPS, body)) == ["agent"]
        address = f"{MEMBERSHIPS}{made['id']}/"
        assert api.patch(address, {"priority": 1}).json()["priority"] == 1
        assert faults(api.patch(address, {"priority": 0})) == ["priority"]
        assert faults(api.patch(address, {"agent": AgentFactory(account=account).pk})) == ["agent"]
        assert api.delete(address).status_code == 204 and api.delete(address).status_code == 404
        assert not SkillGroupMember.objects.exists()

    def test_a_key_does_not_widen_what_somebody_sees_who_may_more(self, api, account):
        boss = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
        group = SkillGroupFactory(account=account)
        assert faults(api.post(MEMBERSHIPS, {"skill_group": group.pk, "agent": boss.pk})) == ["agent"]
        member = MemberFactory(skill_group=group, agent=boss)
        assert api.delete(f"{MEMBERSHIPS}{member.pk}/").status_code == 400
        assert SkillGroupMember.objects.filter(pk=member.pk).exists()


class TestDeviceChecks:
    def test_a_softphone_says_what_it_found_and_hears_what_to_do(self, api, account):
        agent = AgentFactory(account=account)
        answer = api.post(CHECKS, {"agent": agent.pk, "microphone": "missing", "speaker": "ok", "round_trip_ms": 38.4})
        assert answer.status_code == 201, answer.content
        body = answer.json()
        assert (body["result"], body["advice"], body["round_trip_ms"]) == ("bad", ["microphone_missing"], 38.0)
        assert body["advice_text"] == ["No microphone was found. Plug in the headset, then check again."]
        again = api.post(CHECKS, {"agent": agent.pk, "microphone": "ok"})
        assert again.status_code == 429 and int(again["Retry-After"]) > 0
        assert ids(api.get(f"{CHECKS}?agent={agent.pk}&result=bad")) == [body["id"]]
        assert ids(api.get(f"{CHECKS}?result=good")) == []

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"microphone": "loud"}, "microphone"),
            ({"round_trip_ms": -1}, "round_trip_ms"),
            ({"round_trip_ms": 1e308}, "round_trip_ms"),
            ({"downlink_mbps": "fast"}, "downlink_mbps"),
            ({"address": "here"}, "address"),
            ({"result": "good"}, "result"),
            ({"browser": "x" * 81}, "browser"),
            ({"browser": "a\nb"}, "browser"),
        ],
    )
    def test_what_is_wrong_is_named(self, api, account, wrong, field):
        agent = AgentFactory(account=account)
        assert faults(api.post(CHECKS, {"agent": agent.pk} | wrong)) == [field]
        assert DeviceCheck.objects.count() == 0

    def test_people_add_none_here(self, account, boss):
        agent = AgentFactory(account=account)
        assert signed_in(boss).post(CHECKS, {"agent": agent.pk, "microphone": "ok"}).status_code == 403
