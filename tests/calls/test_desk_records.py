"""An agent's own calls of today: which they are, and what is said of each."""

import datetime as dt

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from calls.desk import MOST_SHOWN, own_day
from calls.models import LegKind
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory, CallFactory, CallLegFactory, SkillGroupFactory

NOW = dt.datetime(2026, 3, 4, 3, 0, tzinfo=dt.UTC)  # 11:00 in Shanghai
MIDNIGHT = dt.datetime(2026, 3, 3, 16, 0, tzinfo=dt.UTC)  # of the same day in Shanghai
NUMBER = "+8613800138000"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def agent(account) -> Agent:
    return AgentFactory(account=account)


def leg_of(agent: Agent, at: dt.datetime = NOW - dt.timedelta(hours=1), call: dict | None = None, **leg):
    made = CallFactory(account=agent.account, started_at=at, **(call or {}))
    return CallLegFactory(call=made, agent=agent, **leg)


def page_of(person: Agent) -> str:
    answer = fetch(person)
    assert answer.status_code == 200
    return answer.content.decode()


def fetch(person: Agent):
    client = Client()
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return client.get(reverse("calls:desk-records"))


# --- Which calls -----------------------------------------------------------------------------------------------------


def test_the_day_begins_at_the_accounts_midnight_and_ends_at_the_next(agent):
    times = [MIDNIGHT - dt.timedelta(seconds=1), MIDNIGHT, NOW, MIDNIGHT + dt.timedelta(hours=24)]
    for time in times:
        leg_of(agent, time)
    assert [call.offered_at for call in own_day(agent=agent, at=NOW).calls] == [NOW, MIDNIGHT]


def test_the_day_on_which_clocks_go_forward_has_23_hours(db):
    agent = AgentFactory(account=AccountFactory(time_zone="Europe/Berlin"))
    start, end = dt.datetime(2026, 3, 28, 23, 0, tzinfo=dt.UTC), dt.datetime(2026, 3, 29, 22, 0, tzinfo=dt.UTC)
    for time in (start - dt.timedelta(seconds=1), start, end - dt.timedelta(seconds=1), end):
        leg_of(agent, time)
    times = [call.offered_at for call in own_day(agent=agent, at=dt.datetime(2026, 3, 29, 12, 0, tzinfo=dt.UTC)).calls]
    assert times == [end - dt.timedelta(seconds=1), start]


@pytest.mark.parametrize("kind", [Role.Kind.AGENT, Role.Kind.SUPERVISOR, Role.Kind.ADMINISTRATOR])
def test_only_own_parts_are_shown_whatever_else_one_may_see(account, kind):
    person = AgentFactory(account=account, kind=kind)
    own = leg_of(person, call={"calling_number": "+8613811110000"})
    CallLegFactory(call=own.call, agent=AgentFactory(account=account), offered_at=NOW)
    leg_of(AgentFactory(account=account), call={"calling_number": "+8613822220000"})
    leg_of(AgentFactory(), call={"calling_number": "+8613833330000"})
    day = own_day(agent=person, at=NOW)
    assert (day.n_calls, [call.number for call in day.calls]) == (1, ["+8613811110000"])


def test_the_stretch_at_an_external_center_is_nobodys_own(agent):
    call = leg_of(agent).call
    CallLegFactory(call=call, kind=LegKind.EXTERNAL, agent=None, number="+861055559999")
    assert own_day(agent=agent, at=NOW).n_calls == 1


def test_of_very_many_calls_the_newest_are_shown_and_the_rest_is_counted(agent, django_assert_num_queries):
    for n in range(MOST_SHOWN + 3):
        leg_of(agent, NOW - dt.timedelta(minutes=n))
    own_day(agent=agent, at=NOW)  # the first time, the audit log is told
    with django_assert_num_queries(2):
        day = own_day(agent=agent, at=NOW)
    assert (len(day.calls), day.n_calls, day.n_left_out) == (MOST_SHOWN, MOST_SHOWN + 3, 3)
    assert day.calls[0].offered_at == NOW
    assert "3 earlier calls of today are not shown." in page_of(agent)


# --- What is said of each --------------------------------------------------------------------------------------------


def test_an_answered_call_has_its_talk_time_without_hold(agent):
    leg_of(agent, hold_seconds=40, skill_group=SkillGroupFactory(account=agent.account, name="Sales"))
    (call,) = own_day(agent=agent, at=NOW).calls
    assert (call.number, call.group, call.talk_seconds, call.outcome) == (NUMBER, "Sales", 260, "answered")


def test_a_call_nobody_answered_has_no_talk_time(agent):
    leg_of(agent, answered_at=None, result="no_answer")
    day = own_day(agent=agent, at=NOW)
    assert (day.calls[0].talk_seconds, day.calls[0].outcome, day.n_answered) == (None, "no_answer", 0)


@pytest.mark.parametrize(("answered", "outcome", "seconds"), [(True, "talking", 60), (False, "ringing", None)])
def test_a_call_that_goes_on_says_so(agent, answered, outcome, seconds):
    start = NOW - dt.timedelta(seconds=60)
    leg_of(agent, start, call={"open": True}, ended_at=None, result="", answered_at=start if answered else None)
    (call,) = own_day(agent=agent, at=NOW).calls
    assert (call.outcome, call.talk_seconds) == (outcome, seconds)


def test_of_an_outbound_call_the_number_called_is_the_other_side(agent):
    leg_of(agent, call={"direction": "outbound", "calling_number": "+861055500001", "called_number": NUMBER})
    assert own_day(agent=agent, at=NOW).calls[0].number == NUMBER


def test_a_group_the_portal_does_not_know_is_named_as_the_platform_names_it(agent):
    leg_of(agent, skill_group_reference="queue-7")
    assert own_day(agent=agent, at=NOW).calls[0].group == "queue-7"


def test_a_number_is_masked_for_who_may_not_see_it_whole(account):
    role = Role.objects.create(account=account, name="Plain", permissions=["agents.use_desk", "calls.view_call"])
    person = AgentFactory(account=account, role=role)
    leg_of(person)
    page = page_of(person)
    assert NUMBER not in page
    assert "+8613" in page and "•" in page


def test_what_a_caller_sends_as_a_number_is_text_on_the_page(agent):
    leg_of(agent, call={"calling_number": "<b>sip@x.y"})
    page = page_of(agent)
    assert "<b>sip" not in page
    assert "&lt;b&gt;sip@x.y" in page


# --- The page --------------------------------------------------------------------------------------------------------


def test_a_day_without_calls_says_how_to_get_some(agent):
    assert "Set your status to Available" in page_of(agent)


def test_the_page_costs_the_same_for_one_call_and_for_many(agent, django_assert_max_num_queries):
    for n in range(30):
        leg_of(agent, NOW - dt.timedelta(minutes=n), skill_group=SkillGroupFactory(account=agent.account))
    page_of(agent)
    client = Client()
    client.force_login(agent, backend="agents.sign_in.RoleBackend")
    with django_assert_max_num_queries(4):  # the session, the person, the two of the day
        client.get(reverse("calls:desk-records"))


def test_times_are_the_accounts(agent):
    leg_of(agent, NOW)
    assert ">11:00<" in page_of(agent)


@pytest.mark.parametrize("permissions", [["agents.use_desk"], ["calls.view_call"], []])
def test_both_permissions_are_needed(account, permissions):
    role = Role.objects.create(account=account, name="Less", permissions=permissions)
    assert fetch(AgentFactory(account=account, role=role)).status_code == 403


def test_who_is_signed_out_gets_nothing(db):
    answer = Client().get(reverse("calls:desk-records"))
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/")


def test_an_operator_gets_nothing(db):
    assert fetch(Agent.objects.create_superuser("op@example.com", "x", name="Op")).status_code == 403


def test_a_desk_that_may_see_no_records_does_not_ask_for_them(account):
    role = Role.objects.create(account=account, name="Deaf", permissions=["agents.use_desk"])
    client = Client()
    client.force_login(AgentFactory(account=account, role=role), backend="agents.sign_in.RoleBackend")
    assert "desk/records" not in client.get("/desk/").content.decode()
