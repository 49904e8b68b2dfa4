"""What an agent is shown of a call: theirs alone, masked by role, as the pop-up says, and at what cost."""

import datetime as dt

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent
from calls.models import Call
from calls.screen_pop import MOST_LAST_CALLS, WRITE_UP_WITHIN, open_calls, panel_of
from configuration.models import (
    AuditEntry,
    Disposition,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
    ScreenPop,
    ServiceNumber,
)
from tests.factories import (
    AccountFactory,
    AgentFactory,
    CallFactory,
    CallLegFactory,
    IvrStepFactory,
    QueueEntryFactory,
    SkillGroupFactory,
)

NUMBER, WHOLE = "+8613800138000", "+86 138 0013 8000"


@pytest.fixture
def group(account):
    replies = QuickReplyGroup.objects.create(account=account, name="Sales")
    QuickReply.objects.create(account=account, group=replies, title="Back", text="I call {caller_number} back, {agent_name}.")
    QuickReply.objects.create(account=account, group=replies, title="Old", text="x", is_active=False)
    pop = ScreenPop.objects.create(account=account, name="CRM", url_template="https://crm.example.com/?n={caller_number}")
    return SkillGroupFactory(account=account, name="Sales", screen_pop=pop, quick_reply_group=replies)


@pytest.fixture
def agent(account) -> Agent:
    return AgentFactory(account=account, nickname="Fang")


def blind(account) -> Agent:
    role = Role.objects.create(account=account, name="Blind", permissions=["agents.use_desk", "calls.view_call"])
    return AgentFactory(account=account, role=role)


def rings_for(agent, group=None, **call) -> Call:
    started = timezone.now() - dt.timedelta(seconds=30)
    made = CallFactory(account=agent.account, open=True, state="ringing", started_at=started, answered_at=None, **call)
    CallLegFactory(
        call=made, agent=agent, skill_group=group, offered_at=timezone.now(), answered_at=None, ended_at=None, result=""
    )
    return made


def took(agent, ended=dt.timedelta(minutes=1), **call) -> Call:
    at = timezone.now() - ended
    made = CallFactory(account=agent.account, started_at=at - dt.timedelta(minutes=3), ended_at=at, **call)
    CallLegFactory(call=made, agent=agent)
    return made


def shown(agent, call):
    panel = panel_of(agent=agent, call_id=call.pk, at=timezone.now())
    assert panel is not None
    return panel


def fetch(person, call_id):
    client = Client()
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return client.get(reverse("calls:desk-call", args=[call_id]))


def page_of(person, call) -> str:
    answer = fetch(person, call.pk)
    assert answer.status_code == 200
    return answer.content.decode()


def ids(agent) -> list[int]:
    return [one.call_id for one in open_calls(agent=agent, at=timezone.now())]


# --- Which calls -----------------------------------------------------------------------------------------------------


def test_a_call_stays_until_something_is_written_about_it(agent):
    rings, goes_on, to_write = rings_for(agent), rings_for(agent), took(agent)
    goes_on.legs.update(answered_at=timezone.now())
    took(agent, remark="Done.")
    took(agent, disposition="Sale")
    took(agent, ended=WRITE_UP_WITHIN + dt.timedelta(seconds=1))
    missed = rings_for(agent)
    missed.legs.update(ended_at=timezone.now(), result="no_answer")
    assert set(ids(agent)) == {rings.pk, goes_on.pk, to_write.pk}
    assert {one.call_id for one in open_calls(agent=agent, at=timezone.now()) if one.is_over} == {to_write.pk}


def test_a_leg_that_lost_its_end_is_over_with_its_call(agent):
    call = rings_for(agent)
    Call.objects.filter(pk=call.pk).update(ended_at=timezone.now(), state="ended", outcome="abandoned_while_ringing")
    assert ids(agent) == []
    assert shown(agent, call).stage == "missed"


def test_calls_of_others_are_not_listed(agent):
    rings_for(AgentFactory(account=agent.account))
    rings_for(AgentFactory(account=AccountFactory()))
    assert ids(agent) == []


# --- Whose -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Role.Kind.AGENT, Role.Kind.SUPERVISOR, Role.Kind.ADMINISTRATOR])
def test_a_call_that_is_not_ones_own_answers_like_one_that_does_not_exist(account, kind):
    person = AgentFactory(account=account, kind=kind)
    missing = fetch(person, 10**9)
    assert missing.status_code == 404
    for owner in (AgentFactory(account=account), AgentFactory(account=AccountFactory())):
        answer = fetch(person, rings_for(owner).pk)
        assert (answer.status_code, answer.content) == (404, missing.content)


def test_without_the_rights_there_is_no_pop_up(account):
    for permissions in (["agents.use_desk"], ["calls.view_call"]):
        role = Role.objects.create(account=account, name=permissions[0], permissions=permissions)
        person = AgentFactory(account=account, role=role)
        assert fetch(person, rings_for(person).pk).status_code == 403


# --- What is shown ---------------------------------------------------------------------------------------------------


def test_the_stage_follows_the_agents_own_part(agent):
    call = rings_for(agent)
    assert (shown(agent, call).stage, shown(agent, call).may_remark) == ("ringing", False)
    call.legs.update(answered_at=timezone.now())
    assert (shown(agent, call).stage, shown(agent, call).may_remark) == ("talking", True)
    held_at = timezone.now().isoformat()
    call.legs.update(holds=[[held_at, None]])
    assert shown(agent, call).stage == "held"
    call.legs.update(holds=[[held_at, held_at]], ended_at=timezone.now(), result="answered")
    assert (shown(agent, call).stage, shown(agent, call).may_remark) == ("write_up", True)


def test_whole_numbers_only_for_those_who_may_and_the_look_is_noted_once(agent, group):
    call = rings_for(agent, group)
    AuditEntry.objects.all().delete()
    for _ in range(2):
        assert WHOLE in page_of(agent, call)
    assert list(AuditEntry.objects.filter(look="numbers").values_list("actor_id", "object_id")) == [(agent.pk, call.pk)]


def test_a_role_that_sees_no_whole_number_finds_it_nowhere_in_the_panel(account, group):
    person = blind(account)
    call = rings_for(person, group)
    IvrStepFactory(call=call, input="my number is 138 0013 8000", input_kind="speech")
    CallFactory(account=account, started_at=timezone.now() - dt.timedelta(days=1), remark="Ring 13900001111 again.")
    page = page_of(person, call)
    for digits in ("13800138000", "138 0013 8000", "13900001111", WHOLE):
        assert digits not in page
    assert "+8613" in page
    assert 'href="https://crm.example.com/?n="' in page, "the customer's page is opened without it"
    assert not AuditEntry.objects.filter(look="numbers").exists()


def test_what_callers_say_cannot_change_the_page_or_its_address(agent, group):
    nasty = "<script>alert(1)</script>"
    call = rings_for(agent, group, provider=nasty, calling_number="x&id=1")
    IvrStepFactory(call=call, prompt=nasty, input=nasty, input_kind="speech")
    page = page_of(agent, call)
    assert nasty not in page
    assert "?n=x%26id%3D1" in page


def test_the_pop_up_of_the_group_says_what_is_shown_and_in_which_order(agent, group):
    ScreenPop.objects.update(fields_shown=["last_calls", "location"])
    panel = shown(agent, rings_for(agent, group, provider="China Mobile", location="Beijing"))
    assert panel.fields == ["last_calls", "location"]
    page = page_of(agent, rings_for(agent, group, provider="China Mobile", location="Beijing"))
    assert ("Beijing" in page, "China Mobile" in page, WHOLE in page) == (True, False, False)


def test_where_the_group_has_none_the_accounts_pop_ups_stand_in_their_order(agent, group):
    account = agent.account
    ScreenPop.objects.all().update(order=2)
    ScreenPop.objects.create(account=account, name="Orders", order=1, url_template="https://orders.example.com/")
    ScreenPop.objects.create(account=account, name="Off", order=0, is_active=False, url_template="https://off.example.com/")
    ScreenPop.objects.create(account=AccountFactory(), name="Theirs", order=0, url_template="https://theirs.example.com/")
    plain = SkillGroupFactory(account=account)
    panel = shown(agent, rings_for(agent, plain))
    assert [page.name for page in panel.pages] == ["Orders", "CRM"]
    assert panel.fields == ScreenPop.Field.values, "none names any field: all are shown"


def test_keywords_are_found_in_what_the_caller_said_and_not_in_keys(agent):
    Keyword.objects.create(account=agent.account, phrase="refund", severity="warning")
    Keyword.objects.create(account=AccountFactory(), phrase="money")
    call = rings_for(agent)
    IvrStepFactory(call=call, input="I want a Refund, my money", input_kind="speech")
    IvrStepFactory(call=call, input="refund", input_kind="keys")
    panel = shown(agent, call)
    assert [keyword.phrase for keyword in panel.hits] == ["refund"]
    assert page_of(agent, call).count('<mark class="is-warning">') == 1


def test_the_last_calls_are_the_customers_own_newest_first_and_bounded(agent):
    account, now = agent.account, timezone.now()
    for days in range(1, MOST_LAST_CALLS + 3):
        CallFactory(account=account, started_at=now - dt.timedelta(days=2 * days), remark=f"in {2 * days}")
    CallFactory(
        account=account,
        direction="outbound",
        calling_number="+861055500001",
        called_number=NUMBER,
        started_at=now - dt.timedelta(days=3),
        remark="out 3",
    )
    CallFactory(account=account, calling_number="+8613900000000", started_at=now, remark="another caller")
    CallFactory(account=AccountFactory(), started_at=now, remark="another account")
    call = rings_for(agent)
    assert [last.remark for last in shown(agent, call).last_calls] == ["in 2", "out 3", "in 4", "in 6", "in 8"]


def test_a_caller_who_withholds_their_number_has_no_last_calls(agent):
    CallFactory(account=agent.account, calling_number="", started_at=timezone.now() - dt.timedelta(days=1))
    assert shown(agent, rings_for(agent, calling_number="")).last_calls == []


def test_beyond_ones_scope_a_last_call_names_nobody(agent):
    colleague = AgentFactory(account=agent.account, name="Li Na")
    CallFactory(account=agent.account, agent=colleague, started_at=timezone.now() - dt.timedelta(days=1), remark="Paid.")
    CallFactory(account=agent.account, agent=agent, started_at=timezone.now() - dt.timedelta(days=2))
    assert [(last.agent, last.remark) for last in shown(agent, rings_for(agent)).last_calls] == [("", "Paid."), ("you", "")]
    boss = AgentFactory(account=agent.account, kind=Role.Kind.ADMINISTRATOR)
    assert [last.agent for last in shown(boss, rings_for(boss)).last_calls][1:] == ["Li Na", str(agent)]


def test_quick_replies_are_the_groups_own_in_use_and_filled(agent, group):
    assert shown(agent, rings_for(agent, group)).replies == [("Back", f"I call {NUMBER} back, Fang.")]
    assert shown(agent, rings_for(agent, SkillGroupFactory(account=agent.account))).replies == []


def test_the_wait_goes_on_while_it_rings_and_stands_still_after(agent, group):
    call = rings_for(agent, group)
    entered = timezone.now() - dt.timedelta(seconds=20)
    entry = QueueEntryFactory(call=call, skill_group=group, entered_at=entered, left_at=None, outcome="")
    panel = shown(agent, call)
    assert panel.waited_since == entered
    call.legs.update(answered_at=entered + dt.timedelta(seconds=20))
    entry.left_at, entry.wait_seconds = entered + dt.timedelta(seconds=20), 20
    entry.save()
    panel = shown(agent, call)
    assert (panel.waited_since, panel.waited_seconds) == (None, 20)


def test_the_cost_of_a_panel_does_not_grow_with_the_account(agent, group):
    account = agent.account
    ServiceNumber.objects.create(account=account, number="+861055500001", label="Hotline")

    def queries(call) -> int:
        panel_of(agent=agent, call_id=call.pk, at=timezone.now())  # the audit entry is made once an hour
        person = Agent.objects.get(pk=agent.pk)
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert panel_of(agent=person, call_id=call.pk, at=timezone.now())
        return len(caught)

    call = rings_for(agent, group)
    call.legs.update(answered_at=timezone.now())
    IvrStepFactory(call=call, input="yes", input_kind="speech")
    few = queries(call)
    for number in range(30):
        IvrStepFactory(call=call, input="yes", input_kind="speech")
        Keyword.objects.create(account=account, phrase=f"word {number}")
        Disposition.objects.create(account=account, name=f"d {number}")
        CallFactory(account=account, skill_group=group, agent=AgentFactory(account=account))
    assert queries(call) == few + 1, "and one to count the steps left out"
    assert few <= 12


def test_the_list_costs_one_query(agent):
    for _ in range(10):
        took(agent)
        rings_for(agent)
    with CaptureQueriesContext(connection) as caught:
        assert len(open_calls(agent=agent, at=timezone.now())) == 6
    assert len(caught) == 1
