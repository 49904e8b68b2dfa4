"""The list of people and the page of one: what they show, to whom, and at what cost."""

import datetime as dt
from collections.abc import Iterator

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, AgentPhone, DeviceCheck, SkillGroup, SkillGroupMember, StatusChange
from agents.presence import change_status, force_offline
from callcenter_site.phone_numbers import mask
from calls.activity import Activity
from configuration.models import BreakReason, Role
from tests.factories import AccountFactory, AgentFactory, CallFactory, CallLegFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

LIST = "admin:agents_agent_changelist"


def change_of(agent: Agent) -> str:
    return reverse("admin:agents_agent_change", args=[agent.pk])


def form_of(agent: Agent, phones: list[dict[str, str]], **changes: str) -> dict[str, str]:
    """What the page of a person sends back, with these phone numbers."""
    data = {
        "name": agent.name,
        "nickname": "",
        "staff_id": agent.staff_id,
        "role": str(agent.role_id),
        "cellphone_pickup": agent.cellphone_pickup,
        "email": agent.email,
        "is_active": "on",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
        "phones-TOTAL_FORMS": str(len(phones)),
        "phones-INITIAL_FORMS": str(sum("id" in one for one in phones)),
    }
    for index, phone in enumerate(phones):
        data |= {f"phones-{index}-{name}": value for name, value in phone.items()} | {f"phones-{index}-agent": str(agent.pk)}
    return data | changes


def phone(agent: Agent, number: str, kind: str = "extension") -> AgentPhone:
    return AgentPhone.objects.create(account=agent.account, agent=agent, kind=kind, number=number)


def phone_errors(answer) -> list[dict[str, list[str]]]:
    formset = next(one.formset for one in answer.context["inline_admin_formsets"] if one.formset.model is AgentPhone)
    return [{name: [str(text) for text in said] for name, said in form.errors.items()} for form in formset.forms]


class TestList:
    def test_its_queries_do_not_grow_with_people_phones_or_groups(self, page, account, group, django_assert_num_queries):
        def more(n: int) -> None:
            for _ in range(n):
                one = MemberFactory(skill_group=group).agent
                phone(one, f"9{one.pk}")
                change_status(agent=one, status="available", at=timezone.now())

        more(3)
        with django_assert_num_queries(10):
            page.get(reverse(LIST))
        more(20)
        with django_assert_num_queries(10):
            page.get(reverse(LIST))

    @pytest.mark.parametrize("written", ["+8613800138000", "138 0013 8000", "0086-138-0013-8000"])
    def test_people_are_found_by_a_phone_number_however_it_is_written(self, page, account, agent, written):
        phone(agent, "+8613800138000", "mobile")
        phone(AgentFactory(account=account), "+8613800138001", "mobile")
        assert list(page.get(reverse(LIST), {"q": written}).context["cl"].result_list) == [agent]

    def test_a_number_of_another_account_finds_nobody(self, page, boss):
        stranger = AgentFactory(account=AccountFactory())
        phone(stranger, "8001")
        assert list(page.get(reverse(LIST), {"q": "8001"}).context["cl"].result_list) == []

    def test_who_may_not_see_numbers_finds_nobody_by_one_and_has_no_column(self, account, agent, sign_in):
        inspector = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
        phone(agent, "8001")
        client = sign_in(inspector)
        assert "8001" not in client.get(reverse(LIST)).content.decode()
        assert list(client.get(reverse(LIST), {"q": "8001"}).context["cl"].result_list) == []

    def test_who_is_online_is_a_filter(self, page, account, agent, boss):
        Agent.objects.filter(pk=agent.pk).update(is_online=True)
        assert list(page.get(reverse(LIST), {"is_online__exact": "1"}).context["cl"].result_list) == [agent]

    def test_the_extension_is_shown_before_other_numbers(self, page, agent):
        phone(agent, "+8613800138000", "external")
        assert "+8613800138000" in page.get(reverse(LIST)).content.decode()
        phone(agent, "8001")
        shown = page.get(reverse(LIST)).content.decode()
        assert "8001" in shown and "+8613800138000" not in shown


class TestPhones:
    def test_a_number_is_stored_in_one_form(self, page, agent):
        answer = page.post(change_of(agent), form_of(agent, [{"kind": "mobile", "number": "138 0013 8000"}]))
        assert answer.status_code == 302
        row = AgentPhone.objects.get()
        assert (row.agent, row.account, row.kind, row.number) == (agent, agent.account, "mobile", "+8613800138000")

    def test_what_is_no_number_is_said_on_the_field(self, page, agent):
        answer = page.post(change_of(agent), form_of(agent, [{"kind": "mobile", "number": "call me"}]))
        assert phone_errors(answer) == [{"number": ["This is not a phone number."]}]

    def test_a_number_of_a_colleague_is_refused_and_one_of_another_account_is_not(self, page, account, agent):
        phone(AgentFactory(account=account), "8001")
        phone(AgentFactory(account=AccountFactory()), "8002")
        answer = page.post(change_of(agent), form_of(agent, [{"kind": "extension", "number": "8001"}]))
        assert phone_errors(answer) == [{"number": ["This is in use already."]}]
        assert page.post(change_of(agent), form_of(agent, [{"kind": "extension", "number": "8002"}])).status_code == 302

    def test_the_same_number_twice_in_the_form_is_refused(self, page, agent):
        rows = [{"kind": "mobile", "number": "138 0013 8000"}, {"kind": "mobile", "number": "+8613800138000"}]
        answer = page.post(change_of(agent), form_of(agent, rows))
        assert phone_errors(answer) == [{}, {"number": ["This number stands in the list twice."]}]
        assert not AgentPhone.objects.exists()

    def test_numbers_are_changed_and_taken_away(self, page, agent):
        first, second = phone(agent, "8001"), phone(agent, "8002")
        rows = [
            {"id": str(first.pk), "kind": "extension", "number": "8003"},
            {"id": str(second.pk), "kind": "extension", "number": "8002", "DELETE": "on"},
        ]
        assert page.post(change_of(agent), form_of(agent, rows)).status_code == 302
        assert [row.number for row in AgentPhone.objects.all()] == ["8003"]

    def test_who_may_not_see_members_neither_sees_nor_finds_them_by_group(self, account, agent, group, sign_in):
        role = Role.objects.create(
            account=account, name="Names", data_scope="account", permissions=["agents.enter_admin", "agents.view_agent"]
        )
        client = sign_in(AgentFactory(account=account, role=role))
        shown = client.get(reverse(LIST))
        assert "Wang Fang" in shown.content.decode() and "Sales" not in shown.content.decode()
        assert client.get(reverse(LIST), {"skill_groups__id__exact": group.pk})["Location"] == reverse(LIST)
        assert client.get("/api/v1/agents/").status_code == 200
        for path in ("/api/v1/agents/", "/api/v1/agent-statuses/"):
            assert client.get(path, {"skill_group": group.pk}).status_code == 403, path

    def test_who_may_see_them_finds_them_by_group(self, agent, group, page):
        AgentFactory(account=group.account)
        for path, name in ((reverse(LIST), "skill_groups__id__exact"), ("/api/v1/agents/", "skill_group")):
            answer = page.get(path, {name: group.pk})
            rows = answer.context["cl"].result_list if answer.context else answer.json()["results"]
            assert [getattr(row, "pk", None) or row["id"] for row in rows] == [agent.pk]


class TestPage:
    @pytest.fixture
    def worked(self, agent) -> Agent:
        """Available since an hour, a call of ten minutes with two of wrap-up, and a device check."""
        now = timezone.now()
        change_status(agent=agent, status="available", at=now - dt.timedelta(minutes=60), terminal="web")
        call = CallFactory(
            account=agent.account, started_at=now - dt.timedelta(minutes=40), ended_at=now - dt.timedelta(minutes=30), agent=agent
        )
        CallLegFactory(
            call=call,
            agent=agent,
            offered_at=now - dt.timedelta(minutes=41),
            answered_at=now - dt.timedelta(minutes=40),
            ended_at=now - dt.timedelta(minutes=30),
            wrap_up_ended_at=now - dt.timedelta(minutes=28),
        )
        DeviceCheck.objects.create(
            account=agent.account,
            agent=agent,
            result="bad",
            advice=["microphone_denied", "gone"],
            microphone="denied",
            browser="Firefox 140",
        )
        return agent

    def panels(self, answer) -> dict[str, dict]:
        return {one["template"]: one for one in answer.context["panels"]}

    @pytest.fixture
    def noon(self) -> Iterator[None]:
        """So that all of the last hour is of one day."""
        with time_machine.travel(dt.datetime(2026, 3, 4, 4, 0, tzinfo=dt.UTC), tick=False):
            yield

    def test_the_day_is_drawn_without_a_gap_and_told_in_words(self, noon, page, worked):
        now = timezone.now()
        answer = page.get(change_of(worked), {"day": f"{now.astimezone(worked.account.zone):%Y-%m-%d}"})
        strip = self.panels(answer)["admin/calls/agent/strip.html"]
        bands = strip["bands"]
        assert {band["row"].state for band in bands} >= {Activity.ON_CALL, Activity.ACW, Activity.RINGING, Activity.AVAILABLE}
        left = 0.0
        for band in bands:
            assert float(band["left"]) == pytest.approx(left, abs=0.001)
            left = float(band["left"]) + float(band["width"])
        assert left == pytest.approx(strip["now"], abs=0.1)
        lengths = {one["state"]: one["length"] for one in strip["totals"]}
        assert (lengths["on_call"], lengths["acw"], lengths["ringing"]) == ("10 min", "2 min", "1 min")
        assert "As a table" in answer.content.decode()

    @pytest.mark.parametrize("day", ["", "tomorrow", "2999-01-01", "0001-01-01", "2026-02-30"])
    def test_a_day_that_is_none_or_not_yet_is_answered(self, page, worked, day):
        answer = page.get(change_of(worked), {"day": day})
        assert answer.status_code == 200
        today = timezone.now().astimezone(worked.account.zone).date()
        strip = self.panels(answer)["admin/calls/agent/strip.html"]
        assert strip["day"] == (dt.date(2000, 1, 1) if day == "0001-01-01" else today)

    @pytest.mark.parametrize(("day", "hours", "ticks"), [("2026-03-08", 23, 8), ("2025-11-02", 25, 8)])
    def test_a_day_on_which_clocks_change_is_drawn_to_its_length(self, sign_in, day, hours, ticks):
        account = AccountFactory(time_zone="America/New_York", region="US")
        boss, agent = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), AgentFactory(account=account)
        strip = self.panels(sign_in(boss).get(change_of(agent), {"day": day}))["admin/calls/agent/strip.html"]
        (band,) = strip["bands"]
        assert (band["row"].seconds, band["width"]) == (hours * 3600, "100.0000")
        texts = [tick["text"] for tick in strip["ticks"]]
        assert texts == ["00:00", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"] and len(texts) == ticks
        noon = next(tick for tick in strip["ticks"] if tick["text"] == "12:00")
        assert float(noon["left"]) == pytest.approx((hours - 12) / hours * 100, abs=0.001)

    def test_a_check_is_shown_with_advice_in_words(self, page, worked):
        shown = page.get(change_of(worked)).content.decode()
        assert "The browser may not use the microphone" in shown and "Firefox 140" in shown

    def test_each_part_asks_its_own_permission(self, account, worked, sign_in):
        inspector = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
        seen = set(self.panels(sign_in(inspector).get(change_of(worked))))
        assert seen == {
            "admin/agents/agent/status.html",
            "admin/calls/agent/records.html",
            "admin/analytics/agent/figures.html",
        }

    def test_records_are_those_the_asker_sees_with_numbers_masked_for_them(self, account, worked, sign_in):
        inspector = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
        records = self.panels(sign_in(inspector).get(change_of(worked)))["admin/calls/agent/records.html"]["records"]
        assert [one["customer"] for one in records] == [mask("+8613800138000")]

    def test_buttons_are_for_those_who_may_set_a_status(self, account, agent, supervisor, sign_in):
        change_status(agent=agent, status="available", at=timezone.now())
        address = reverse("admin:agents_agent_status", args=[agent.pk])
        assert address in sign_in(supervisor).get(change_of(agent)).content.decode()
        inspector = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
        assert address not in sign_in(inspector).get(change_of(agent)).content.decode()
        assert sign_in(inspector).post(address, {"do": "force_offline"}).status_code == 403

    def test_the_buttons_do_what_they_say(self, agent, supervisor, sign_in):
        client, address = sign_in(supervisor), reverse("admin:agents_agent_status", args=[agent.pk])
        client.post(address, {"do": "set", "status": "break", "reason": "Lunch"})
        agent.refresh_from_db()
        assert (agent.status, agent.status_reason) == ("break", "Lunch")
        client.post(address, {"do": "force_offline"})
        agent.refresh_from_db()
        assert agent.status == "offline" and agent.forced_offline_at is not None
        client.post(address, {"do": "set", "status": "available"})
        agent.refresh_from_db()
        assert agent.status == "offline"
        client.post(address, {"do": "restore"})
        agent.refresh_from_db()
        assert agent.forced_offline_at is None
        assert set(StatusChange.objects.values_list("source", flat=True)) == {"supervisor"}

    @pytest.mark.parametrize("data", [{}, {"do": "set"}, {"do": "set", "status": "wrap_up"}, {"do": "set", "status": "asleep"}])
    def test_a_status_that_is_none_to_choose_changes_nothing(self, agent, supervisor, sign_in, data):
        answer = sign_in(supervisor).post(reverse("admin:agents_agent_status", args=[agent.pk]), data, follow=True)
        assert answer.status_code == 200 and not StatusChange.objects.exists()
        assert answer.context["form"].errors

    def test_looking_at_the_address_of_the_buttons_changes_nothing(self, agent, supervisor, sign_in):
        answer = sign_in(supervisor).get(reverse("admin:agents_agent_status", args=[agent.pk]), {"do": "force_offline"})
        assert answer.status_code == 302
        agent.refresh_from_db()
        assert agent.forced_offline_at is None

    def test_who_is_out_of_the_supervisors_groups_is_not_there(self, account, supervisor, sign_in):
        stranger = AgentFactory(account=account)
        client = sign_in(supervisor)
        answers = [
            client.post(reverse("admin:agents_agent_status", args=[pk]), {"do": "force_offline"}, follow=True)
            for pk in (stranger.pk, 10**9)
        ]
        assert answers[0].redirect_chain == answers[1].redirect_chain
        stranger.refresh_from_db()
        assert stranger.forced_offline_at is None


class TestActions:
    def act(self, client, action: str, people: list[Agent], **data):
        return client.post(reverse(LIST), {"action": action, "_selected_action": [one.pk for one in people], **data}, follow=True)

    def groups(self, agent: Agent) -> dict[str, int]:
        return dict(SkillGroupMember.objects.filter(agent=agent).values_list("skill_group__name", "priority"))

    def test_people_are_put_into_a_group_moved_there_and_taken_out(self, page, account, agent, group):
        target = MemberFactory(skill_group__account=account, skill_group__name="Support").skill_group
        asked = self.act(page, "move_to_group", [agent])
        assert asked.status_code == 200 and "Support" in asked.content.decode()
        chosen = {"apply": "1", "skill_group": target.pk}
        self.act(page, "move_to_group", [agent], move="add", priority="1", **chosen)
        assert self.groups(agent) == {"Sales": 3, "Support": 1}
        self.act(page, "move_to_group", [agent], move="add", priority="2", **chosen)
        assert self.groups(agent) == {"Sales": 3, "Support": 2}
        self.act(page, "move_to_group", [agent], move="move", priority="5", **chosen)
        assert self.groups(agent) == {"Support": 5}
        self.act(page, "move_to_group", [agent], move="remove", priority="3", **chosen)
        assert self.groups(agent) == {}

    def test_a_group_of_another_account_is_none_to_choose(self, page, agent):
        foreign = MemberFactory().skill_group
        for pk in (foreign.pk, 10**9):
            answer = self.act(page, "move_to_group", [agent], apply="1", move="add", priority="3", skill_group=pk)
            assert "skill_group" in answer.context["form"].errors
        assert self.groups(agent) == {"Sales": 3}

    def test_whole_lists_are_moved_too(self, page, account, group):
        for _ in range(60):
            AgentFactory(account=account)
        everybody = Agent.objects.filter(account=account)
        self.act(
            page, "move_to_group", [everybody[0]], select_across="1", apply="1", move="add", priority="3", skill_group=group.pk
        )
        assert SkillGroupMember.objects.filter(skill_group=group).count() == everybody.count()

    def test_a_status_is_set_for_many_and_what_could_not_be_is_said(self, account, agent, supervisor, sign_in, boss):
        other = MemberFactory(skill_group=supervisor.skill_groups.get()).agent
        force_offline(agents=[other], by=boss, at=timezone.now())
        answer = self.act(sign_in(supervisor), "set_status", [agent, other], apply="1", status="break", reason="")
        said = [(message.level_tag, str(message)) for message in answer.context["messages"]]
        assert [level for level, _ in said] == ["success", "error"]
        assert "A supervisor has taken this agent offline" in said[1][1]
        agent.refresh_from_db()
        assert agent.status == "break"

    @pytest.mark.parametrize(
        ("typed", "wrong"),
        [
            ({"status": "break", "reason": "Nap"}, "Choose one of these reasons: Lunch."),
            ({"status": "available", "reason": ""}, "A supervisor"),
        ],
    )
    def test_what_was_typed_and_refused_stands_there_still(self, account, agent, supervisor, boss, sign_in, typed, wrong):
        BreakReason.objects.create(account=account, name="Lunch")
        force_offline(agents=[agent], by=boss, at=timezone.now())
        address = reverse("admin:agents_agent_status", args=[agent.pk])
        answer = sign_in(supervisor).post(address, {"do": "set", **typed})
        assert answer.status_code == 200 and wrong in answer.content.decode()
        form = answer.context["form"]
        assert {name: form[name].value() for name in typed} == typed
        assert change_of(agent) in answer.content.decode()
        again = sign_in(supervisor).post(address, {"status": "offline", "reason": "", "apply": "1"})
        assert (again.status_code, again.url) == (302, change_of(agent))

    def test_nobody_out_of_the_supervisors_groups_is_reached(self, account, supervisor, sign_in):
        stranger = AgentFactory(account=account)
        client = sign_in(supervisor)
        for action, data in (("set_status", {"apply": "1", "status": "break"}), ("force_offline", {}), ("restore_online", {})):
            self.act(client, action, [stranger], **data)
        stranger.refresh_from_db()
        assert stranger.forced_offline_at is None and not StatusChange.objects.exists()

    def test_people_are_deactivated_and_come_back(self, page, agent):
        change_status(agent=agent, status="available", at=timezone.now())
        self.act(page, "deactivate", [agent])
        agent.refresh_from_db()
        assert (agent.is_active, agent.status) == (False, "offline")
        self.act(page, "reactivate", [agent])
        agent.refresh_from_db()
        assert agent.is_active

    def test_who_may_not_is_not_offered(self, account, agent, supervisor, sign_in):
        """A supervisor sets statuses; changing people and groups is the administrator's."""
        shown = sign_in(supervisor).get(reverse(LIST)).content.decode()
        assert 'value="force_offline"' in shown and 'value="set_status"' in shown
        assert 'value="move_to_group"' not in shown and 'value="deactivate"' not in shown
        self.act(sign_in(supervisor), "deactivate", [agent])
        agent.refresh_from_db()
        assert agent.is_active


def test_the_groups_somebody_is_in_cost_no_query_each(account, agent, sign_in, django_assert_max_num_queries):
    for _n in range(20):
        MemberFactory(agent=agent, skill_group=SkillGroupFactory(account=account))
    client = sign_in(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    client.get(change_of(agent))
    with django_assert_max_num_queries(25):
        text = client.get(change_of(agent)).content.decode()
    last = SkillGroup.objects.for_account(account).order_by("-pk")[0]
    assert f'<option value="{last.pk}" selected' in text and last.name in text


def test_the_form_for_somebody_new_puts_them_into_groups_first_and_says_nothing_of_a_sign_in_yet(account, sign_in):
    client = sign_in(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    text = client.get(reverse("admin:agents_agent_add")).content.decode()
    assert text.index('id="memberships-group"') < text.index('id="phones-group"')
    assert "agent-sign-in" not in text
    assert "Add another phone" in text and "Add another Phone" not in text


def test_only_who_is_there_is_forced_offline(account, agent, sign_in):
    client = sign_in(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    assert "force_offline" not in client.get(change_of(agent)).content.decode()
    change_status(agent=agent, status="available", at=timezone.now())
    assert "force_offline" in client.get(change_of(agent)).content.decode()
