"""The desk's addresses: who may ask, what they answer, and what they change."""

import datetime as dt
import json

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from agents.models import Agent, DeviceCheck, Status, StatusChange
from agents.presence import change_status, force_offline, mark_gone, restore_online
from configuration.models import BreakReason, Role
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory, signed_in

NOW = dt.datetime(2026, 3, 4, 3, 0, tzinfo=dt.UTC)  # 11:00 in Shanghai
JSON = {"HTTP_ACCEPT": "application/json"}
CHANGES = ("set-status", "break-after-call", "end-wrap-up", "extend-wrap-up")


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as moving:
        yield moving


@pytest.fixture
def agent(account) -> Agent:
    return AgentFactory(account=account, name="Wang Fang", staff_id="1001")


@pytest.fixture
def client(agent) -> Client:
    return signed_in(agent)


@pytest.fixture
def reasons(account) -> list[BreakReason]:
    names = ("Training", "Lunch", "Old habit")
    return [
        BreakReason.objects.create(account=account, name=name, order=order, is_active=name != "Old habit")
        for order, name in enumerate(names)
    ]


def post(client: Client, name: str, **data) -> tuple[int, dict]:
    answer = client.post(reverse(f"agents:{name}"), data, **JSON)
    return answer.status_code, answer.json()


def state_of(client: Client) -> dict:
    return client.get(reverse("agents:state"), **JSON).json()


def milliseconds(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


# --- Who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["state", "heartbeat", "device-check", "probe", *CHANGES])
def test_who_is_signed_out_is_told_so_in_json(db, name):
    address = reverse(f"agents:{name}")
    answer = Client().get(address, **JSON) if name in {"state", "probe"} else Client().post(address, **JSON)
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/json"
    if name != "device-check":
        assert answer.json()["sign_in"] == "/admin/login/?next=/desk/"


@pytest.mark.parametrize("name", ["desk", "device-check"])
def test_who_is_signed_out_is_asked_who_they_are(db, name):
    answer = Client().get(reverse(f"agents:{name}"))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/?next=/desk/")


@pytest.mark.parametrize("name", ["state", "heartbeat", "probe", *CHANGES])
def test_a_role_without_a_desk_is_refused(account, name):
    inspector = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
    address = reverse(f"agents:{name}")
    client = signed_in(inspector)
    answer = client.get(address, **JSON) if name in {"state", "probe"} else client.post(address, {"status": "available"}, **JSON)
    assert answer.status_code == 403
    assert "no desk" in answer.json()["detail"]
    assert not StatusChange.objects.exists()


def test_who_has_no_desk_and_an_admin_is_sent_there(account):
    client = signed_in(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
    for name in ("desk", "device-check"):
        assert client.get(reverse(f"agents:{name}")).headers["Location"] == "/admin/"


def test_who_has_neither_is_told_whom_to_ask(account):
    nothing = Role.objects.create(account=account, name="Nothing", permissions=[])
    answer = signed_in(AgentFactory(account=account, role=nothing)).get(reverse("agents:desk"))
    assert answer.status_code == 403
    assert "Ask an administrator" in answer.content.decode()


@pytest.mark.parametrize("kind", [Role.Kind.AGENT, Role.Kind.SUPERVISOR, Role.Kind.ADMINISTRATOR])
def test_everybody_with_a_desk_opens_it(account, kind):
    answer = signed_in(AgentFactory(account=account, kind=kind)).get(reverse("agents:desk"))
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("name", ["heartbeat", *CHANGES])
def test_nothing_is_changed_by_reading(client, name):
    assert client.get(reverse(f"agents:{name}"), **JSON).status_code == 405


@pytest.mark.parametrize("name", ["desk", "state", "probe"])
def test_pages_take_no_posts(client, name):
    assert client.post(reverse(f"agents:{name}"), **JSON).status_code == 405


@pytest.mark.parametrize("name", ["heartbeat", "device-check", *CHANGES])
def test_a_request_from_another_site_is_refused(agent, name):
    client = Client(enforce_csrf_checks=True)
    client.force_login(agent, backend="agents.sign_in.RoleBackend")
    assert client.post(reverse(f"agents:{name}"), {"status": "available"}, **JSON).status_code == 403
    agent.refresh_from_db()
    assert agent.status == Status.OFFLINE


def test_the_session_of_somebody_dismissed_is_over(client, agent):
    Agent.objects.filter(pk=agent.pk).update(is_active=False)
    assert client.get(reverse("agents:state"), **JSON).status_code == 401


# --- The state -------------------------------------------------------------------------------------------------------


def test_the_state_says_since_when_by_the_portals_clock_and_in_the_accounts_time(client, agent):
    change_status(agent=agent, status=Status.AVAILABLE, at=NOW - dt.timedelta(minutes=7), source="agent", terminal="web")
    state = state_of(client)
    assert (state["agent"], state["status"], state["label"]) == (agent.pk, "available", "Available")
    assert state["at"] - state["since"] == 7 * 60 * 1000
    assert state["since_text"] == "since 10:53"
    assert (state["note"], state["forced"], state["silent"], state["wrap_up_until"]) == ("", None, None, None)


def test_a_status_of_yesterday_says_its_day(client, agent):
    change_status(agent=agent, status=Status.OFFLINE, at=NOW - dt.timedelta(hours=20), source="agent")
    assert "2026-03-03 15:00" in state_of(client)["since_text"]


@pytest.mark.parametrize(("source", "note"), [("supervisor", "supervisor"), ("api", "telephone"), ("event", "telephone")])
def test_a_status_set_by_somebody_else_says_by_whom(client, agent, source, note):
    change_status(agent=agent, status=Status.BUSY, at=NOW, source=source)
    assert note in state_of(client)["note"]


def test_the_state_costs_few_queries_for_thousands_of_desks_ask_for_it(client, agent, django_assert_max_num_queries):
    change_status(agent=agent, status=Status.AVAILABLE, at=NOW, source="agent")
    state_of(client)
    with django_assert_max_num_queries(3):  # the session (cached_db), the person with account and role, the open change
        state_of(client)


# --- Choosing a status -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["available", "busy", "offline"])
def test_an_agent_sets_their_status(client, agent, status):
    change_status(agent=agent, status=Status.BREAK, at=NOW - dt.timedelta(hours=1), source="agent")
    code, state = post(client, "set-status", status=status, reason="ignored", agent=agent.pk)
    assert (code, state["status"], state["reason"]) == (200, status, "")
    row = StatusChange.objects.get(ended_at=None)
    assert (row.status, row.source, row.terminal, row.started_at) == (status, "agent", "web", NOW)


def test_without_a_script_the_form_comes_back_to_the_desk(client, agent):
    answer = client.post(reverse("agents:set-status"), {"status": "available"})
    assert (answer.status_code, answer["Location"]) == (302, "/desk/")
    agent.refresh_from_db()
    assert agent.status == "available"


def test_without_a_script_a_refusal_is_read_on_the_page(client, reasons):
    page = client.post(reverse("agents:set-status"), {"status": "break", "reason": "Nap"}, follow=True).content.decode()
    assert "Choose one of these reasons: Training, Lunch." in page


def test_a_break_has_one_of_the_accounts_reasons_in_their_order(client, agent, reasons):
    page = client.get(reverse("agents:desk")).content.decode()
    assert page.index('value="Training"') < page.index('value="Lunch"')
    assert "Old habit" not in page
    assert post(client, "set-status", status="break", reason="Lunch")[1]["reason"] == "Lunch"


@pytest.mark.parametrize("reason", ["", "Nap", "Old habit", "lunch"])
def test_a_break_for_another_reason_is_refused(client, agent, reasons, reason):
    code, answer = post(client, "set-status", status="break", reason=reason)
    assert code == 400
    assert answer["errors"][0]["field"] == "reason"
    assert answer["state"]["status"] == "offline"
    assert not StatusChange.objects.exists()


def test_reasons_of_another_account_are_not_ours(client, agent):
    BreakReason.objects.create(account=AccountFactory(), name="Theirs")
    assert "Theirs" not in client.get(reverse("agents:desk")).content.decode()
    assert post(client, "set-status", status="break", reason="")[0] == 200


def test_where_there_are_no_reasons_a_few_words_will_do(client, agent):
    assert post(client, "set-status", status="break", reason=" feeding the cat ")[1]["reason"] == "feeding the cat"
    assert post(client, "set-status", status="break", reason="x" * 61)[0] == 400


@pytest.mark.parametrize("status", ["", "wrap_up", "sleeping", "AVAILABLE"])
def test_what_is_no_choice_is_refused(client, agent, status):
    code, answer = post(client, "set-status", status=status)
    assert (code, answer["errors"][0]["field"]) == (400, "status")
    assert not StatusChange.objects.exists()


def test_the_same_choice_twice_is_one_change(client, agent, clock):
    post(client, "set-status", status="available")
    clock.shift(5)
    code, state = post(client, "set-status", status="available")
    assert code == 200
    assert StatusChange.objects.count() == 1
    assert state["since"] == milliseconds(NOW)


def test_nobody_sets_anybody_elses_status(client, agent):
    other, foreign = AgentFactory(account=agent.account), AgentFactory()
    for person in (other, foreign):
        code, answer = post(client, "set-status", status="available", agent=person.pk)
        assert (code, answer["detail"]) == (409, "Somebody else has signed in in this browser. Load the page again.")
        assert post(client, "heartbeat", agent=person.pk)[0] == 409
    assert not StatusChange.objects.exists()
    assert not Agent.objects.filter(is_online=True).exists()


# --- Taken offline by a supervisor -----------------------------------------------------------------------------------


@pytest.fixture
def supervisor(account, agent) -> Agent:
    leader = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR, name="Shen Yue")
    group = SkillGroupFactory(account=account)
    MemberFactory(skill_group=group, agent=agent)
    MemberFactory(skill_group=group, agent=leader)
    return leader


def test_who_was_taken_offline_reads_since_when_and_whom_to_ask_and_sets_nothing(client, agent, supervisor):
    post(client, "set-status", status="available")
    force_offline(agents=[agent], by=supervisor, at=NOW)
    state = state_of(client)
    assert state["status"] == "offline"
    assert "11:00" in state["forced"]["text"]
    assert state["forced"]["whom"] == "To come back, ask Shen Yue."
    assert state["silent"] is None
    assert not state["can_plan_break"]
    for name, data in (("set-status", {"status": "available"}), ("break-after-call", {"on": "1"})):
        code, answer = post(client, name, **data)
        assert code == 400
        assert answer["state"]["forced"]
    assert post(client, "set-status", status="offline")[0] == 200
    agent.refresh_from_db()
    assert agent.status == "offline"


def test_the_page_of_who_was_taken_offline_shows_no_choices(client, agent, supervisor):
    force_offline(agents=[agent], by=supervisor, at=NOW)
    page = client.get(reverse("agents:desk")).content.decode()
    assert 'class="desk-choices" data-choices hidden' in page
    assert "To come back, ask Shen Yue." in page


def test_who_was_let_back_chooses_again(client, agent, supervisor):
    force_offline(agents=[agent], by=supervisor, at=NOW)
    restore_online(agents=[agent], by=supervisor, at=NOW)
    assert state_of(client)["forced"] is None
    assert post(client, "set-status", status="available")[0] == 200


def test_to_be_asked_is_who_leads_the_group_then_who_administers_and_never_somebody_of_another_account(client, agent, account):
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, name="Gao Min")
    AgentFactory(account=account, kind=Role.Kind.SUPERVISOR, name="Of another group")
    AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, name="Gone", is_active=False)
    AgentFactory(kind=Role.Kind.ADMINISTRATOR, name="Foreign")
    force_offline(agents=[agent], by=boss, at=NOW)
    assert state_of(client)["forced"]["whom"] == "To come back, ask Gao Min."
    AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, name="Here", staff_id="9999", is_online=True)
    assert state_of(client)["forced"]["whom"] == "To come back, ask Here or Gao Min."


# --- Break after this call, wrap-up ----------------------------------------------------------------------------------


def test_a_break_after_this_call_is_switched_on_and_off(client, agent, reasons):
    post(client, "set-status", status="available")
    code, state = post(client, "break-after-call", on="1", reason="Lunch")
    assert (code, state["break_planned"], state["break_reason"]) == (200, True, "Lunch")
    state = post(client, "break-after-call", on="0")[1]
    assert (state["break_planned"], state["break_reason"]) == (False, "")


def test_a_planned_break_without_a_reason_has_the_first_one(client, agent, reasons):
    post(client, "set-status", status="busy")
    assert post(client, "break-after-call", on="1")[1]["break_reason"] == "Training"


def test_a_planned_break_has_no_invented_reason(client, agent, reasons):
    post(client, "set-status", status="available")
    code, answer = post(client, "break-after-call", on="1", reason="Nap")
    assert (code, answer["errors"][0]["field"], answer["state"]["break_planned"]) == (400, "reason", False)


@pytest.mark.parametrize("status", ["break", "offline"])
def test_who_is_not_at_work_plans_no_break(client, agent, status):
    post(client, "set-status", status=status)
    assert post(client, "break-after-call", on="1")[0] == 400
    assert not state_of(client)["can_plan_break"]


def wrap_up(agent: Agent, seconds: int | None = 30) -> None:
    change_status(agent=agent, status=Status.WRAP_UP, at=NOW)
    until = NOW + dt.timedelta(seconds=seconds) if seconds is not None else None
    Agent.objects.filter(pk=agent.pk).update(wrap_up_until=until)


def test_a_wrap_up_counts_down_and_is_ended_when_the_agent_is_ready(client, agent):
    wrap_up(agent)
    assert state_of(client)["wrap_up_until"] == milliseconds(NOW + dt.timedelta(seconds=30))
    with time_machine.travel(NOW + dt.timedelta(seconds=5), tick=False):
        code, state = post(client, "end-wrap-up")
    assert (code, state["status"], state["wrap_up_until"]) == (200, "available", None)


def test_a_planned_break_follows_a_wrap_up_that_is_ended(client, agent, reasons):
    wrap_up(agent)
    post(client, "break-after-call", on="1", reason="Lunch")
    with time_machine.travel(NOW + dt.timedelta(seconds=5), tick=False):
        state = post(client, "end-wrap-up")[1]
    assert (state["status"], state["reason"], state["break_planned"]) == ("break", "Lunch", False)


def test_more_time_lets_the_agent_say_when_the_wrap_up_is_over(client, agent):
    wrap_up(agent)
    code, state = post(client, "extend-wrap-up")
    assert (code, state["status"], state["wrap_up_until"]) == (200, "wrap_up", None)


def test_a_wrap_up_that_is_over_gets_no_more_time_and_being_ready_twice_is_no_fault(client, agent):
    post(client, "set-status", status="available")
    code, answer = post(client, "extend-wrap-up")
    assert (code, answer["detail"], answer["state"]["status"]) == (400, "The wrap-up is over.", "available")
    assert post(client, "end-wrap-up")[0] == 200


# --- Heartbeat, silence, leaving -------------------------------------------------------------------------------------


def test_a_heartbeat_says_that_the_agent_is_there_and_answers_with_the_state(client, agent):
    code, state = post(client, "heartbeat", agent=agent.pk)
    assert (code, state["status"]) == (200, "offline")
    agent.refresh_from_db()
    assert (agent.is_online, agent.last_seen_at) == (True, NOW)


def test_who_fell_silent_reads_since_when_and_comes_back_with_one_click(client, agent, clock, reasons):
    post(client, "set-status", status="break", reason="Lunch")
    post(client, "heartbeat")
    cache.clear()
    clock.shift(90)
    assert mark_gone(at=NOW + dt.timedelta(seconds=90)) == 1
    silent = state_of(client)["silent"]
    assert "11:00" in silent["text"]
    assert (silent["back"], silent["back_reason"], silent["back_text"]) == ("break", "Lunch", "Back to Break")
    state = post(client, "set-status", status=silent["back"], reason=silent["back_reason"])[1]
    assert (state["status"], state["reason"], state["silent"]) == ("break", "Lunch", None)


def test_silence_of_yesterday_is_not_told(client, agent, clock):
    post(client, "set-status", status="available")
    clock.shift(90)
    mark_gone(at=NOW + dt.timedelta(seconds=90))
    clock.shift(4 * 3600 + 1)
    assert state_of(client)["silent"] is None


def test_who_went_offline_by_choice_is_told_nothing(client, agent):
    post(client, "set-status", status="available")
    post(client, "set-status", status="offline")
    assert state_of(client)["silent"] is None


def test_who_signs_out_goes_offline(client, agent):
    post(client, "set-status", status="available")
    assert client.post(reverse("agents:sign-out")).headers["Location"] == "/admin/login/"
    agent.refresh_from_db()
    assert agent.status == "offline"
    assert StatusChange.objects.get(ended_at=None).source == "agent"
    assert client.get(reverse("agents:state"), **JSON).status_code == 401


def test_who_works_at_a_desk_phone_stays_there_when_they_sign_out(client, agent):
    change_status(agent=agent, status=Status.AVAILABLE, at=NOW, terminal="desk_phone")
    client.post(reverse("agents:sign-out"))
    agent.refresh_from_db()
    assert agent.status == "available"


# --- Device check ----------------------------------------------------------------------------------------------------

FINDINGS = {"microphone": "ok", "speaker": "ok", "camera": "skipped", "round_trip_ms": 20, "downlink_mbps": 20.0}


def store(client: Client, findings, **extra):
    body = findings if isinstance(findings, str | bytes) else json.dumps(findings)
    return client.post(reverse("agents:device-check"), body, content_type="application/json", **JSON, **extra)


def test_a_check_is_stored_for_whoever_made_it_with_their_address(client, agent):
    answer = store(client, FINDINGS | {"microphone": "silent"}, REMOTE_ADDR="203.0.113.9")
    assert answer.status_code == 201
    assert answer.json()["result"] == "bad"
    assert "mute switch" in answer.json()["advice"][0]
    assert "mute switch" in answer.json()["past"]
    check = DeviceCheck.objects.get()
    assert (check.agent, check.account_id, check.address) == (agent, agent.account_id, "203.0.113.9")


def test_an_address_somebody_writes_into_a_header_is_not_believed(client):
    store(client, FINDINGS, REMOTE_ADDR="203.0.113.9", HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert DeviceCheck.objects.get().address == "203.0.113.9"


@pytest.mark.parametrize("body", ["", "{", b"\xff\xfe", "[]", "null", '"ok"', "[" * 2000])
def test_what_is_no_object_of_findings_is_refused(client, body):
    assert store(client, body).status_code == 400
    assert not DeviceCheck.objects.exists()


def test_a_wrong_finding_is_named(client):
    answer = store(client, FINDINGS | {"round_trip_ms": "fast", "agent": 1})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["round_trip_ms", "agent"]


def test_numbers_that_json_has_not_are_refused(client):
    assert store(client, '{"round_trip_ms": NaN}').status_code == 400
    assert store(client, '{"round_trip_ms": 1e999}').status_code == 400


def test_more_than_a_check_can_say_is_refused(client):
    assert store(client, {"browser": "x" * 5000}).status_code == 413


def test_one_result_every_five_seconds(client, clock):
    assert store(client, FINDINGS).status_code == 201
    answer = store(client, FINDINGS)
    assert (answer.status_code, answer["Retry-After"]) == (429, "5")
    clock.shift(5)
    assert store(client, FINDINGS).status_code == 201


def test_own_checks_are_listed_and_nobody_elses(client, agent, account):
    for person, code in (
        (agent, "microphone_silent"),
        (AgentFactory(account=account), "speaker_silent"),
        (AgentFactory(), "jitter_high"),
    ):
        DeviceCheck.objects.create(account=person.account, agent=person, result="bad", advice=[code])
    page = client.get(reverse("agents:device-check")).content.decode()
    past = page[page.index("data-past") :]
    assert "mute switch" in past
    assert "test tone was not heard" not in past
    assert "uneven" not in past


def test_a_supervisor_sees_on_their_own_page_only_their_own_checks(account, agent):
    DeviceCheck.objects.create(account=account, agent=agent, result="bad", advice=["speaker_silent"])
    page = signed_in(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)).get(reverse("agents:device-check"))
    assert "No check yet" in page.content.decode()


@pytest.mark.parametrize(
    ("asked", "n_bytes"), [("", 0), ("1000", 1000), ("99999999", 1024 * 1024), ("-1", 0), ("1e3", 0), ("٣", 0), ("9" * 5000, 0)]
)
def test_the_probe_sends_as_many_bytes_as_asked_within_reason(client, asked, n_bytes):
    answer = client.get(reverse("agents:probe"), {"bytes": asked})
    assert (answer.status_code, len(answer.content)) == (200, n_bytes)
    assert "no-store" in answer["Cache-Control"]


# --- Language --------------------------------------------------------------------------------------------------------


def test_the_desk_speaks_the_accounts_language_until_the_agent_chooses_another(agent, account):
    account.language = "zh-hans"
    account.save()
    client = signed_in(agent)
    assert 'lang="zh-hans"' in client.get(reverse("agents:desk")).content.decode()
    client.post(reverse("set_language"), {"language": "en", "next": "/desk/"})
    assert 'lang="en"' in client.get(reverse("agents:desk")).content.decode()
