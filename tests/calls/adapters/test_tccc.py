"""Pushes as Tencent's documentation shows them, with their oddities, read as events and folded into records."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls.adapters.tccc import PushError, events_of
from calls.envelope import read_event
from calls.lifecycle import Event, fold
from configuration.models import Account

T0 = 1_795_000_000


def cdr(**changes: Any) -> dict[str, Any]:
    """An inbound call: menu, queue, an agent who missed it, one who took it, rating asked."""
    return {
        "SdkAppId": 1400000000,
        "SessionId": "session-1",
        "Caller": "008613800138000",
        "Callee": "00861055500001",
        "Direction": 0,
        "CallType": 2,
        "StartTimestamp": T0,
        "QueuedTimestamp": T0 + 12,
        "RingTimestamp": T0 + 32,
        "AcceptTimestamp": T0 + 38,
        "EndedTimestamp": T0 + 158,
        "Duration": 120,
        "IVRDuration": 12,
        "QueuedSkillGroupId": 77,
        "EndStatusString": "ok",
        "HungUpSide": "user",
        "IVRKeyPressed": None,
        "IVRKeyPressedEx": [
            {"Key": "1", "Label": "Sales", "Timestamp": (T0 + 8) * 1000, "NodeLabel": "menu", "TTSPrompt": "Press 1"}
        ],
        "PostIVRKeyPressed": [{"key": "1", "label": "非常满意"}],
        "SeatUser": {"Mail": "li@example.com", "Name": "Li"},
        "CallerLocation": "Beijing",
        "TelLocation": {"Country": "China", "Province": "Beijing", "City": "Beijing", "Operator": "China Mobile"},
        "ServeParticipants": [
            {
                "Sequence": 0,
                "Mail": "wang@example.com",
                "Type": "staffSeat",
                "StartTimestamp": T0 + 12,
                "RingTimestamp": T0 + 14,
                "AcceptTimestamp": 0,
                "EndedTimestamp": T0 + 30,
                "EndStatusString": "seatGiveUp",
                "SkillGroupId": 77,
                "SkillGroupName": "Sales",
            },
            {
                "Sequence": 1,
                "Mail": "li@example.com",
                "Type": "staffPhoneSeat",
                "StartTimestamp": T0 + 30,
                "RingTimestamp": T0 + 32,
                "AcceptTimestamp": T0 + 38,
                "EndedTimestamp": T0 + 158,
                "EndStatusString": "ok",
                "SkillGroupId": 77,
                "SkillGroupName": "Sales",
            },
        ],
        "UserRemark": "wants an offer\nby Friday",
        **changes,
    }


def folded(*pushes: tuple[str, dict[str, Any]]) -> Any:
    account = Account(pk=1, region="CN")
    events = []
    for action, push in pushes:
        for item in events_of(action, push):
            event, problems = read_event(account, item, dt.datetime(2030, 1, 1, tzinfo=dt.UTC), is_own=False)
            assert problems == [] and event is not None
            events.append(Event(event.type, event.occurred_at, event.data, event.event_key))
    return fold(events)


def test_an_inbound_call_is_the_record_its_cdr_tells():
    facts = folded(("cdr", cdr()))
    assert (facts.direction, facts.provider, facts.location, facts.call_type) == ("inbound", "China Mobile", "Beijing", "inbound")
    assert (facts.end_cause, facts.disconnect_party) == ("completed", "customer")
    assert (facts.ivr_seconds, facts.talk_seconds) == (12.0, 120.0)
    assert [(step.step, step.prompt, step.input, step.input_kind) for step in facts.steps] == [("menu", "Press 1", "1", "keys")]
    assert [(entry.skill_group, entry.wait_seconds) for entry in facts.entries] == [("Sales", 26.0)]
    assert [(leg.party, leg.result, leg.terminal) for leg in facts.legs] == [
        ("wang@example.com", "no_answer", "web"),
        ("li@example.com", "answered", "mobile"),
    ]
    assert (facts.rating_asked, facts.rating_score, facts.rating_scale) == (True, 5, 5)
    assert facts.remark == "wants an offer\nby Friday"


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"EndStatusString": "blackList", "HungUpSide": "system"}, "blocked"),
        ({"EndStatusString": "notWorkTime", "HungUpSide": "system"}, "closed"),
        ({"EndStatusString": "noSeatOnline", "HungUpSide": "system"}, "no_agent"),
        ({"EndStatusString": "ivrEnd", "HungUpSide": "system", "IVRDuration": 9}, "self_served"),
        ({"EndStatusString": "ivrGiveUp", "IVRDuration": 9}, "abandoned_in_ivr"),
        ({"EndStatusString": "waitingGiveUp", "QueuedTimestamp": T0 + 5}, "abandoned_in_queue"),
        (
            {
                "EndStatusString": "ringingGiveUp",
                "QueuedTimestamp": T0 + 5,
                "ServeParticipants": [
                    {
                        "Sequence": 0,
                        "Mail": "li@example.com",
                        "RingTimestamp": T0 + 9,
                        "EndedTimestamp": T0 + 158,
                        "SkillGroupId": 77,
                    }
                ],
            },
            "abandoned_while_ringing",
        ),
        ({"Direction": 1, "CallType": 1, "EndStatusString": "busy", "HungUpSide": "user"}, "line_busy"),
        ({"Direction": 1, "CallType": 1, "EndStatusString": "powerOff", "HungUpSide": "system"}, "unreachable"),
        ({"Direction": 1, "CallType": 1, "EndStatusString": "callerCancel", "HungUpSide": "seat"}, "cancelled"),
        ({"Direction": 1, "CallType": 1, "EndStatusString": "notAnswer", "HungUpSide": "system"}, "not_answered"),
    ],
)
def test_an_unanswered_call_ends_as_its_status_says(changes, outcome):
    bare = {
        "QueuedTimestamp": 0,
        "RingTimestamp": 0,
        "AcceptTimestamp": 0,
        "IVRDuration": 0,
        "IVRKeyPressedEx": None,
        "ServeParticipants": None,
        "SeatUser": None,
        "HungUpSide": "user",
        "PostIVRKeyPressed": None,
        "UserRemark": "",
    }
    facts = folded(("cdr", cdr(**{**bare, **changes})))
    assert facts.outcome == outcome


def test_a_transfer_outside_is_a_leg_of_its_own():
    legs = cdr()["ServeParticipants"][1:]
    legs[0] |= {"EndedTimestamp": T0 + 100, "TransferTo": "00862155509000", "TransferToType": "outboundSeat"}
    legs.append(
        {
            "Sequence": 2,
            "Type": "outboundSeat",
            "Phone": "00862155509000",
            "StartTimestamp": T0 + 100,
            "AcceptTimestamp": T0 + 105,
            "EndedTimestamp": T0 + 158,
        }
    )
    facts = folded(("cdr", cdr(ServeParticipants=legs)))
    assert [(leg.kind, leg.party) for leg in facts.legs] == [("agent", "li@example.com"), ("external", "00862155509000")]
    assert facts.n_transfers == 1
    assert facts.legs[0].transfer_to == "00862155509000"


def test_a_transfer_to_a_colleague_names_them():
    legs = cdr()["ServeParticipants"][1:]
    legs[0] |= {"EndedTimestamp": T0 + 100, "TransferTo": "wang@example.com", "TransferToType": "staffSeat"}
    legs.append({"Sequence": 2, "Mail": "wang@example.com", "RingTimestamp": T0 + 100, "AcceptTimestamp": T0 + 104})
    facts = folded(("cdr", cdr(ServeParticipants=legs)))
    assert [(leg.party, leg.transfer_to) for leg in facts.legs] == [
        ("li@example.com", "wang@example.com"),
        ("wang@example.com", ""),
    ]


@pytest.mark.parametrize(
    ("press", "score"),
    [
        ({"Key": "noInput"}, None),
        ({"Key": "3"}, 3),
        ({"Key": "1", "Label": "非常满意"}, 5),
        ({"key": "3", "label": "不满意"}, 2),
        ({"Key": "9"}, None),
    ],
)
def test_a_rating_is_its_label_else_its_key(press, score):
    facts = folded(("cdr", cdr(PostIVRKeyPressed=[press])))
    assert (facts.rating_asked, facts.rating_score) == (True, score)


def test_a_remark_written_anew_is_another_event_and_the_rest_the_same():
    first, second = events_of("cdr", cdr()), events_of("cdr", cdr(UserRemark="wants two"))
    assert {event["id"] for event in first} ^ {event["id"] for event in second} == {
        event["id"] for event in first + second if event["type"] == "call.remarked"
    }


def test_recordings_and_voicemail_hang_on_their_call():
    recording = {
        "SessionId": "session-1",
        "RecordId": "r1",
        "Timestamp": T0 + 160,
        "RecordURL": "https://a",
        "CustomRecordURL": "https://b",
    }
    voicemail = {"SessionId": "session-1", "Timestamp": T0 + 20, "RecordURL": "https://c", "EndpointUser": 8613800138000}
    facts = folded(("cdr", cdr()), ("record", recording), ("record", recording | {"RecordId": "r2"}), ("voicemail", voicemail))
    assert [audio.reference for audio in facts.recordings] == ["https://b", "https://b"]
    assert [audio.reference for audio in facts.voicemails] == ["https://c"]


@pytest.mark.parametrize(
    ("action", "changes", "field"),
    [
        ("imcdr", {}, "action"),
        ("cdr", {"SessionId": None}, "SessionId"),
        ("cdr", {"StartTimestamp": 0}, "StartTimestamp"),
        ("cdr", {"EndedTimestamp": T0 - 1}, "EndedTimestamp"),
        ("cdr", {"Direction": 7}, "Direction"),
        ("cdr", {"Direction": "x"}, "Direction"),
        ("cdr", {"StartTimestamp": 10**30}, "StartTimestamp"),
        ("cdr", {"Caller": "0086138\r\nX: y"}, "Caller"),
        ("record", {"Timestamp": T0, "RecordId": ""}, "RecordId"),
    ],
)
def test_what_cannot_be_read_names_the_field(action, changes, field):
    with pytest.raises(PushError) as refused:
        events_of(action, cdr(**changes))
    assert refused.value.field == field


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.none() | st.integers(), max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(cdr())), VALUES, max_size=6), st.sampled_from(["cdr", "record", "voicemail"]))
def test_no_push_does_more_than_raise_its_own_error(changes, action):
    try:
        events_of(action, cdr(**changes))
    except PushError as refused:
        assert refused.reason
