"""Posts of mod_json_cdr and mod_callcenter, read as events and folded into records."""

import base64
import datetime as dt
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls.adapters.freeswitch import PostError, events_of, read_body
from calls.envelope import read_event
from calls.lifecycle import Event, fold
from configuration.models import Account

T0 = 1_795_000_000
CALL = "5f0c0000-0000-4000-8000-000000000001"


def cdr(**changes: Any) -> dict[str, Any]:
    said = {
        "uuid": CALL,
        "direction": "inbound",
        "start_epoch": str(T0),
        "answer_epoch": str(T0 + 1),
        "end_epoch": str(T0 + 135),
        "billsec": "134",
        "cc_side": "member",
        "cc_queue": "support@pbx",
        "cc_queue_joined_epoch": str(T0 + 5),
        "cc_queue_answered_epoch": str(T0 + 15),
        "cc_queue_terminated_epoch": str(T0 + 135),
        "cc_queue_canceled_epoch": "_undef_",
        "cc_agent": "2002@pbx",
        "cc_member_uuid": "m1",
        "hangup_cause": "NORMAL_CLEARING",
        "sip_hangup_disposition": "recv_bye",
        **changes,
    }
    profile = {"caller_id_number": "%2B8613800138000", "destination_number": "861055500001"}
    return {
        "core-uuid": "x",
        "variables": {name: quote(value) for name, value in said.items()},
        "callflow": [{"caller_profile": profile}],
    }


def callcenter(action: str, seconds: float, **headers: str) -> dict[str, str]:
    return {
        "Event-Subclass": "callcenter::info",
        "Event-Date-Timestamp": str(int((T0 + seconds) * 1_000_000)),
        "CC-Action": action,
        "CC-Queue": "support@pbx",
        "CC-Member-UUID": "m1",
        "CC-Member-Session-UUID": CALL,
        **headers,
    }


def kept(*items: dict[str, Any]) -> dict[str, Any]:
    """As the intake keeps them: by id, the first one stands."""
    account, events = Account(pk=1, region="CN"), {}
    for item in items:
        for told in events_of(item):
            event, problems = read_event(account, told, dt.datetime(2030, 1, 1, tzinfo=dt.UTC), is_own=False)
            assert problems == [] and event is not None
            events.setdefault(told["id"], Event(event.type, event.occurred_at, event.data, event.event_key))
    return events


def folded(*items: dict[str, Any]) -> Any:
    return fold(kept(*items).values())


LIVE = [
    callcenter("member-queue-start", 5, **{"CC-Member-CID-Number": "+8613800138000", "CC-Member-DNIS": "861055500001"}),
    callcenter("agent-offering", 6, **{"CC-Agent": "2001@pbx"}),
    callcenter("bridge-agent-fail", 11, **{"CC-Agent": "2001@pbx", "CC-Hangup-Cause": "NO_ANSWER"}),
    callcenter("agent-offering", 12, **{"CC-Agent": "2002@pbx"}),
    callcenter("bridge-agent-start", 15.2, **{"CC-Agent": "2002@pbx", "CC-Agent-Answered-Time": str(T0 + 15)}),
    callcenter("bridge-agent-end", 135, **{"CC-Agent": "2002@pbx", "CC-Bridge-Terminated-Time": str(T0 + 135)}),
    callcenter("member-queue-end", 135, **{"CC-Cause": "Terminated"}),
]


def test_a_cdr_alone_is_a_whole_record():
    facts = folded(cdr())
    assert (facts.direction, facts.outcome, facts.calling_number, facts.called_number) == (
        "inbound",
        "answered",
        "+8613800138000",
        "861055500001",
    )
    assert [(entry.skill_group, entry.wait_seconds) for entry in facts.entries] == [("support", 10.0)]
    assert [(leg.party, leg.skill_group) for leg in facts.legs] == [("2002", "support")]
    assert (facts.talk_seconds, facts.disconnect_party, facts.end_cause) == (120.0, "customer", "completed")


def test_events_and_cdr_together_tell_of_one_call_once():
    facts = folded(*LIVE, cdr())
    assert facts.started_at == dt.datetime.fromtimestamp(T0, dt.UTC)
    assert [(entry.skill_group, entry.wait_seconds, entry.outcome) for entry in facts.entries] == [("support", 10.0, "answered")]
    assert [(leg.party, leg.result) for leg in facts.legs] == [("2001", "no_answer"), ("2002", "answered")]
    assert facts.talk_seconds == 120.0
    backwards = folded(cdr(), *reversed(LIVE))
    assert [(leg.party, leg.result) for leg in backwards.legs] == [(leg.party, leg.result) for leg in facts.legs]


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"cc_cancel_reason": "BREAK_OUT", "sip_hangup_disposition": "recv_bye"}, "abandoned_in_queue"),
        ({"cc_cancel_reason": "TIMEOUT", "sip_hangup_disposition": "send_bye"}, "timed_out"),
        ({"cc_cancel_reason": "NO_AGENT_TIMEOUT", "sip_hangup_disposition": "send_bye"}, "no_agent"),
    ],
)
def test_a_caller_who_reached_nobody(changes, outcome):
    bare = {"cc_queue_answered_epoch": "_undef_", "cc_queue_terminated_epoch": "0", "cc_queue_canceled_epoch": str(T0 + 130)}
    assert folded(cdr(**bare, **changes)).outcome == outcome


def test_legs_of_agents_and_called_legs_are_no_calls():
    assert events_of(cdr(cc_side="agent")) == []
    assert events_of(cdr(originating_leg_uuid="other")) == []


def test_a_call_from_an_agents_phone_goes_out():
    facts = folded(
        cdr(cc_queue="", cc_side="", call_direction="outbound", user_name="2002", bridge_uuid="b", bridge_epoch=str(T0 + 20))
    )
    assert (facts.direction, facts.outcome) == ("outbound", "answered")
    assert [leg.party for leg in facts.legs] == ["2002"]


def test_statuses_of_agents():
    events = events_of(callcenter("agent-status-change", 0, **{"CC-Agent": "2002@pbx", "CC-Agent-Status": "On%20Break"}))
    assert [event["data"] for event in events] == [{"agent": "2002", "status": "break"}]
    assert events_of(callcenter("agent-state-change", 0, **{"CC-Agent": "2002@pbx", "CC-Agent-State": "Waiting"})) == []


def test_an_agent_named_by_email_stays_whole():
    events = events_of(callcenter("bridge-agent-start", 1, **{"CC-Agent": "li@example.com"}))
    assert events[0]["data"]["agent"] == "li@example.com"


@pytest.mark.parametrize("wrapped", ["plain", "form", "form in base64", "list"])
def test_a_body_is_read_however_it_is_wrapped(wrapped):
    text, form = json.dumps(cdr()), "application/x-www-form-urlencoded"
    bodies = {
        "plain": (text.encode(), "application/json"),
        "form": (urlencode({"cdr": text}).encode(), form),
        "form in base64": (urlencode({"cdr": base64.b64encode(text.encode()).decode()}).encode(), form),
        "list": (f"[{text}]".encode(), "application/json"),
    }
    assert read_body(*bodies[wrapped]) == [cdr()]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({}, ""),
        (cdr(uuid=""), "uuid"),
        (cdr(start_epoch="0"), "variables.start_epoch"),
        (cdr(end_epoch="1"), "variables.end_epoch"),
        (cdr(cc_queue_joined_epoch="soon"), "cc_queue_joined_epoch"),
        (callcenter("agent-status-change", 0, **{"CC-Agent": "1", "CC-Agent-Status": "Asleep"}), "CC-Agent-Status"),
        ({"CC-Action": "agent-offering"}, "Event-Date-Timestamp"),
    ],
)
def test_what_cannot_be_read_names_the_field(item, field):
    with pytest.raises(PostError) as refused:
        events_of(item)
    assert refused.value.field == field


VALUES = st.text(max_size=12) | st.integers().map(str)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(cdr()["variables"])), VALUES, max_size=6))
def test_no_post_does_more_than_raise_its_own_error(changes):
    try:
        events_of(cdr(**changes))
    except PostError as refused:
        assert refused.reason
