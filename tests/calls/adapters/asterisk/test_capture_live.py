"""The captured session makes the records of what happened, whatever a site's settings leave out of it."""

import random

import pytest

from calls.adapters.asterisk import Site
from calls.adapters.asterisk_events import ManagerEvents
from calls.vocabulary import problems_of
from tests.calls.adapters.asterisk.capture import SITE, at, folded, truth
from tests.calls.adapters.asterisk.server import World, events, queue_params
from tests.calls.adapters.asterisk.truth import of_agents, of_live


def hear(change=lambda frame: frame, site: Site = SITE):
    heard, told = ManagerEvents(site), []
    for frame in queue_params():
        heard.feed(frame, at(events()[0][1]))
    for frame, came_at in events():
        sent = change(frame)
        if sent is not None:
            told += heard.feed(sent, at(came_at))
        told += heard.tick(at(came_at))
    assert (heard.n_channels, heard.n_calls, len(heard._calls), len(heard._names)) == (0, 0, 0, 0)
    return told


def differences(records, **options):
    calls = {call["pbx"]["linkedid"]: call for call in truth()["calls"]}
    assert set(records) == set(calls)
    return [line for call_id, call in calls.items() for line in of_live(call, records[call_id], **options)]


def without(*names):
    return lambda frame: None if frame["Event"] in names else frame


def test_every_call_is_told_as_it_happened():
    assert differences(folded(hear())) == []


def test_agents_were_there_and_on_breaks_as_they_really_were():
    assert of_agents(hear(), within=1.05) == []


def test_every_event_is_one_the_portal_takes():
    told = hear()
    assert [problem for event in told for problem in problems_of(event["type"], event["data"])] == []
    assert len({event["id"] for event in told}) == len(told)


def test_without_times_of_the_server_they_are_those_of_arrival():
    untimed = hear(lambda frame: {name: value for name, value in frame.items() if name != "Timestamp"})
    assert differences(folded(untimed), within=0.3) == []


def test_times_that_cannot_be_are_those_of_arrival():
    wrong = hear(lambda frame: frame | {"Timestamp": "2795474697.000000"})
    assert differences(folded(wrong), within=0.3) == []


def test_a_system_name_in_ids_changes_nothing_but_the_ids():
    names = ("Uniqueid", "Linkedid", "UniqueID", "LinkedID")

    def renamed(frame):
        return {name: f"madrid2-{value}" if name.endswith(names) and value else value for name, value in frame.items()} | {
            "SystemName": "madrid2"
        }

    records = {call_id.removeprefix("madrid2-"): facts for call_id, facts in folded(hear(renamed)).items()}
    assert differences(records) == []


def test_keys_are_heard_where_the_dialplan_raises_no_events_of_its_own():
    def silent(frame):
        return None if frame.get("UserEvent") == "IVR" else frame

    assert differences(folded(hear(silent))) == []


def test_what_a_key_in_a_queue_means_may_be_said_by_the_site_alone():
    def silent(frame):
        return None if frame.get("UserEvent") == "CallbackRequest" else frame

    assert differences(folded(hear(silent))) == []


def test_classes_that_are_not_heard_are_not_missed():
    """Channel event logging, call records, device states: nothing hangs on them but the length of a voicemail."""
    assert differences(folded(hear(without("CEL", "Cdr", "DeviceStateChange", "DialState", "NewCallerid")))) == []


def test_events_in_any_order_and_twice_make_the_same_records():
    told = hear()
    mixed = told * 2
    random.Random(11).shuffle(mixed)
    assert folded(list({event["id"]: event for event in mixed}.values())) == folded(told)


def test_members_are_phones_however_their_endpoints_are_named():
    """Where endpoints are not named by their extension, being a queue's member makes one a phone."""
    people = {str(extension): f"phone-{extension}" for extension in range(1001, 1012)}

    def named(frame):
        changed = dict(frame)
        for name, value in frame.items():
            if "/10" in value and name not in ("AppData",):
                for extension, endpoint in people.items():
                    changed[name] = changed[name].replace(f"PJSIP/{extension}", f"PJSIP/{endpoint}")
        return changed

    site = Site(agents={endpoint: extension for extension, endpoint in people.items()}, own_numbers=SITE.own_numbers,
                exit_keys=SITE.exit_keys, outside_prefix="9")  # fmt: skip
    assert differences(folded(hear(named, site))) == []


# --- Gaps ----------------------------------------------------------------------------------------------------------------


def hear_with_gap(first: int, last: int):
    """The events outside a gap, with what the server has after it; and when the gap was."""
    heard, told, world = ManagerEvents(SITE), [], World()
    for frame in queue_params():
        heard.feed(frame, at(events()[0][1]))
    for n, (frame, came_at) in enumerate(events()):
        world.play(frame, came_at)
        if n == last:
            queues = world.show_queues()
            told += heard.resume(
                members=[frame for frame in queues if frame["Event"] == "QueueMember"],
                waiting=[frame for frame in queues if frame["Event"] == "QueueEntry"],
                channels=world.show_channels(),
                known={},
                statuses=dict(heard._said),
                since=at(events()[first - 1][1]),
                at=at(came_at),
            )
        elif not first <= n < last:
            told += heard.feed(frame, at(came_at))
        told += heard.tick(at(came_at))
    assert (heard.n_channels, len(heard._calls)) == (0, 0)
    return told, events()[first - 1][1], events()[last][1]


@pytest.mark.parametrize(("first", "last"), [(300, 301), (700, 900), (2000, 2600), (3000, 3003), (4000, 5500), (6000, 6100)])
def test_after_a_gap_what_is_gone_is_lost_and_the_rest_goes_on(first, last):
    told, gap_began, gap_ended = hear_with_gap(first, last)
    assert [problem for event in told for problem in problems_of(event["type"], event["data"])] == []
    records = folded(told)
    for call in truth()["calls"]:
        facts = records.get(call["pbx"]["linkedid"])
        if call["end_t"] < gap_began - 0.3 or call["start_t"] > gap_ended + 0.3:
            assert list(of_live(call, facts)) == []
        elif call["end_t"] < gap_ended - 0.3:
            if call["start_t"] < gap_began - 0.3 and call["direction"] == "inbound":
                assert (facts.end_cause, facts.end_is_inferred) == ("lost_contact", True)
                assert abs(facts.ended_at.timestamp() - gap_began) < 1
        elif call["end_t"] > gap_ended + 0.3 and call["direction"] == "inbound":
            assert abs(facts.ended_at.timestamp() - call["end_t"]) < 0.15, call["id"]
            spoke_later = [str(leg["agent_ext"]) for leg in call["legs"] if leg["answer_t"] and leg["end_t"] > gap_ended + 0.3]
            assert set(spoke_later) <= {leg.party for leg in facts.answered_legs}, call["id"]


def test_statuses_that_changed_in_a_gap_are_told_with_their_own_time():
    told, *_ = hear_with_gap(700, 900)
    last = {}
    for event in told:
        if event["type"] == "agent.status_changed":
            last[event["data"]["agent"]] = event["data"]["status"]
    assert set(last.values()) == {"offline"}


def test_what_hung_up_unheard_is_dropped_when_it_is_missed_twice():
    heard = ManagerEvents(SITE)
    told = []
    for frame, came_at in events():
        if frame["Event"] == "Hangup" and frame["Linkedid"] == "1795474707.11":
            continue
        told += heard.feed(frame, at(came_at))
    assert heard.n_channels > 0
    end = at(events()[-1][1])
    assert heard.audit([], end) == []
    lost = heard.audit([], end)
    assert [(event["subject"], event["data"]["cause"], event["source"]) for event in lost] == [
        ("1795474707.11", "lost_contact", "portal")
    ]
    assert (heard.n_channels, len(heard._calls)) == (0, 0)
