"""The fold: what the events of a call make of it."""

import datetime as dt
import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.lifecycle import PORTAL_SOURCE, CallFacts, Event, fold
from calls.models import CallState, EntryCause, EntryOutcome, IvrExit, LegResult, Outcome
from calls.vocabulary import problems_of
from tests.scenarios import at, events_of


def to_events(table: str) -> list[Event]:
    found = []
    for raw in events_of(table):
        assert problems_of(raw["type"], raw["data"]) == [], raw
        key = hashlib.sha256(raw["id"].encode()).digest()
        when = dt.datetime.fromisoformat(raw["time"])
        found.append(Event(raw["type"], when, raw["data"], key, raw["source"], raw.get("sequence", "")))
    return found


def record(table: str) -> CallFacts:
    return fold(to_events(table))


ANSWERED = """
    10:00:00 started
    10:00:00 ivr_prompted
    10:00:15 ivr_input input=2
    10:00:20 queued skill_group=S
    10:00:26 ringing agent=A
    10:00:30 answered agent=A terminal=web
    10:02:00 held agent=A
    10:02:30 resumed agent=A
    10:04:30 ended party=customer
    10:04:30 recorded duration=240
    10:05:00 wrap_up_ended agent=A
    10:05:05 rated score=4 scale=5
"""


def test_an_answered_call_has_all_its_times():
    facts = record(ANSWERED)
    assert (facts.outcome, facts.state, facts.disconnect_party) == (Outcome.ANSWERED, CallState.ENDED, "customer")
    assert (facts.ivr_seconds, facts.wait_seconds, facts.ring_seconds) == (20, 10, 4)
    assert (facts.talk_seconds, facts.hold_seconds, facts.wrap_up_seconds) == (210, 30, 30)
    assert facts.ivr_exit == IvrExit.TO_QUEUE
    assert (facts.last_agent, facts.last_skill_group) == ("A", "S")
    assert (facts.rating_asked, facts.rating_score, facts.rating_scale) == (True, 4, 5)
    (entry,) = facts.entries
    assert (entry.outcome, entry.cause, entry.wait_seconds) == (EntryOutcome.ANSWERED, EntryCause.IVR, 10)
    (leg,) = facts.legs
    assert (leg.result, leg.queue_seq, leg.terminal, leg.skill_group) == (LegResult.ANSWERED, 1, "web", "S")
    assert [step.input for step in facts.steps] == ["2"]
    assert len(facts.recordings) == 1


@pytest.mark.parametrize(
    ("table", "outcome"),
    [
        ("10:00:00 started\n10:00:00 ivr_prompted\n10:00:25 ended", Outcome.ABANDONED_IN_IVR),
        ("10:00:00 started\n10:00:00 ivr_prompted\n10:00:25 ended cause=self_served", Outcome.SELF_SERVED),
        ("10:00:00 started\n10:00:00 ivr_prompted\n10:00:25 ended party=system", Outcome.SELF_SERVED),
        ("10:00:00 started\n10:00:00 ivr_prompted\n10:00:25 ended party=system cause=closed", Outcome.CLOSED),
        ("10:00:00 started\n10:00:20 queued skill_group=S\n10:00:50 ended", Outcome.ABANDONED_IN_QUEUE),
        (
            "10:00:00 started\n10:00:20 queued skill_group=S\n10:00:40 ringing agent=A\n10:00:50 ended",
            Outcome.ABANDONED_WHILE_RINGING,
        ),
        (
            "10:00:00 started\n10:00:20 queued skill_group=S\n10:01:20 dequeued\n10:01:25 ended party=system",
            Outcome.TIMED_OUT,
        ),
        ("10:00:00 started\n10:00:20 queued skill_group=S\n10:01:20 ended party=system cause=timeout", Outcome.TIMED_OUT),
        ("10:00:00 started\n10:00:20 queued skill_group=S\n10:00:20 ended party=system cause=no_agents", Outcome.NO_AGENT),
        ("10:00:00 started\n10:00:20 queued skill_group=S\n10:00:20 dequeued reason=closed\n10:00:22 ended", Outcome.CLOSED),
        ("10:00:00 started\n10:00:00 ended party=system cause=blocked", Outcome.BLOCKED),
        ("10:00:00 started\n10:00:00 ivr_prompted\n10:00:25 ended party=system cause=timeout", Outcome.ABANDONED_IN_IVR),
        ("10:00:00 started\n10:00:20 queued skill_group=S\n10:00:50 ended party=system", Outcome.FAILED),
        (
            "10:00:00 started\n10:00:20 queued skill_group=S\n10:00:50 dequeued reason=callback\n10:00:52 ended",
            Outcome.CALLBACK,
        ),
        (
            "10:00:00 started\n10:00:20 queued skill_group=S\n10:00:50 dequeued reason=overflow\n10:00:52 ended",
            Outcome.OVERFLOWED,
        ),
        (
            "10:00:00 started\n10:00:20 queued skill_group=S\n10:00:50 voicemail_left duration=12\n10:00:51 ended",
            Outcome.VOICEMAIL,
        ),
        ("10:00:00 started\n10:00:05 transferred to_number=+861088880000\n10:01:00 ended", Outcome.FORWARDED),
        ("10:00:00 started\n10:00:20 queued skill_group=S\n10:00:50 ended party=system cause=lost_contact", Outcome.LOST_CONTACT),
        ("10:00:00 started\n10:00:20 queued skill_group=S\n10:00:50 ended party=system cause=error", Outcome.FAILED),
        ("10:00:00 started\n10:00:02 ringing agent=A\n10:00:20 ended", Outcome.ABANDONED_WHILE_RINGING),
        ("10:00:00 started direction=outbound\n10:00:09 answered agent=A\n10:00:50 ended", Outcome.ANSWERED),
        (
            "10:00:00 started direction=outbound\n10:00:01 ringing agent=A\n10:00:30 ended party=system cause=no_answer",
            Outcome.NOT_ANSWERED,
        ),
        (
            "10:00:00 started direction=outbound\n10:00:01 ringing agent=A\n10:00:30 ended party=system cause=busy",
            Outcome.LINE_BUSY,
        ),
        ("10:00:00 started direction=outbound\n10:00:01 ringing agent=A\n10:00:30 ended cause=rejected", Outcome.REFUSED),
        ("10:00:00 started direction=outbound\n10:00:30 ended party=system cause=invalid_number", Outcome.UNREACHABLE),
        ("10:00:00 started direction=outbound\n10:00:01 ringing agent=A\n10:00:30 ended party=agent", Outcome.CANCELLED),
        (
            "10:00:00 started direction=outbound\n10:00:09 queued skill_group=S\n10:00:20 ended",
            Outcome.ABANDONED_IN_QUEUE,
        ),
        (
            "10:00:00 started direction=outbound\n10:00:09 queued skill_group=S\n10:00:20 ended party=system cause=busy",
            Outcome.LINE_BUSY,
        ),
        ("10:00:00 started\n10:00:20 queued skill_group=S\n10:00:50 dequeued reason=key\n10:00:52 ended", Outcome.NOT_ANSWERED),
        ("10:00:00 started\n10:00:05 ended", Outcome.NOT_ANSWERED),
    ],
)
def test_every_way_to_end_has_its_outcome(table, outcome):
    assert record(table).outcome == outcome


def test_a_call_abandoned_while_ringing_marks_the_offer_as_given_up():
    facts = record("10:00:00 started\n10:00:20 queued skill_group=S\n10:00:40 ringing agent=A\n10:00:50 ended")
    assert facts.legs[0].result == LegResult.CALLER_GAVE_UP
    assert (facts.entries[0].outcome, facts.entries[0].while_ringing, facts.wait_seconds) == (EntryOutcome.ABANDONED, True, 30)


def test_a_rung_out_agent_leaves_the_wait_running():
    facts = record("""
        10:00:00 started
        10:00:00 queued skill_group=S
        10:00:05 ringing agent=A
        10:00:20 ring_ended agent=A reason=no_answer
        10:00:22 ringing agent=B
        10:00:25 answered agent=B
        10:03:00 ended party=agent
    """)
    assert [(leg.party, leg.result) for leg in facts.legs] == [("A", "no_answer"), ("B", "answered")]
    assert len(facts.entries) == 1
    assert (facts.wait_seconds, facts.ring_seconds, facts.last_agent) == (25, 18, "B")


def test_ringing_several_phones_at_once_counts_the_time_once_and_one_answer():
    facts = record("""
        10:00:00 started
        10:00:00 queued skill_group=S
        10:00:05 ringing agent=A
        10:00:05 ringing agent=B
        10:00:15 answered agent=B
        10:01:00 ended
    """)
    assert facts.ring_seconds == 10
    assert {leg.party: leg.result for leg in facts.legs} == {"A": LegResult.ELSEWHERE, "B": LegResult.ANSWERED}


def test_a_blind_transfer_to_a_group_makes_a_second_entry_and_ends_the_first_leg():
    facts = record("""
        10:40:00 started
        10:40:10 queued skill_group=S
        10:40:20 answered agent=A
        10:42:20 transferred from=A to_skill_group=T kind=blind
        10:42:20 queued skill_group=T
        10:42:25 ringing agent=B
        10:42:40 ring_ended agent=B reason=no_answer
        10:42:40 wrap_up_ended agent=A
        10:42:50 ringing agent=C
        10:43:00 answered agent=C
        10:48:00 ended party=customer
        10:48:20 wrap_up_ended agent=C
    """)
    assert [(e.skill_group, e.outcome, e.cause, e.wait_seconds) for e in facts.entries] == [
        ("S", "answered", "ivr" if facts.ivr_entered_at else "direct", 10),
        ("T", "answered", "transfer", 40),
    ]
    assert [(leg.party, leg.connected_seconds, leg.wrap_up_seconds) for leg in facts.answered_legs] == [
        ("A", 120, 20),
        ("C", 300, 20),
    ]
    assert (facts.talk_seconds, facts.n_transfers, facts.last_agent, facts.last_skill_group) == (420, 1, "C", "T")


def test_an_attended_transfer_ends_the_first_leg_when_that_agent_leaves():
    facts = record("""
        10:00:00 started
        10:00:10 queued skill_group=S
        10:00:20 answered agent=A
        10:02:00 held agent=A
        10:02:05 ringing agent=B
        10:02:10 answered agent=B
        10:02:30 transferred from=A to_agent=B kind=attended
        10:02:31 leg_ended agent=A
        10:05:00 ended
    """)
    first, second = facts.legs
    assert (first.ended_at, first.hold_seconds, first.transfer_to) == (at("10:02:31"), 31, "B")
    assert second.ended_at == at("10:05:00") and second.queue_seq is None


def test_an_attended_transfer_without_a_word_of_the_first_agent_ends_them_at_the_transfer():
    facts = record("""
        10:00:00 started
        10:00:20 answered agent=A
        10:02:10 answered agent=B
        10:02:30 transferred from=A to_agent=B kind=attended
        10:05:00 ended
    """)
    assert facts.legs[0].ended_at == at("10:02:30")


def test_no_hold_outlasts_the_leg_of_an_agent_who_passed_the_call_on():
    facts = record("""
        10:00:00 started
        10:00:01 answered agent=A
        10:00:10 transferred from=A to_agent=B kind=attended
        10:00:20 held agent=A
        10:02:00 resumed agent=A
        10:03:20 ended
    """)
    assert (facts.talk_seconds, facts.hold_seconds) == (9, 0)


def test_a_start_with_a_wrong_clock_still_says_what_the_call_was():
    facts = record(
        "10:00:05 queued skill_group=S\n10:00:30 ended\n10:01:00 started direction=outbound called_number=+861055500009"
    )
    assert (facts.started_at, facts.direction, facts.called_number) == (at("10:00:05"), "outbound", "+861055500009")


def test_a_transfer_to_an_external_center_is_a_leg_with_number_and_provider():
    facts = record("""
        10:00:00 started
        10:00:20 answered agent=A
        10:02:00 transferred from=A to_number=+861088880000 provider="China Unicom" kind=blind
        10:06:00 leg_ended number=+861088880000
        10:06:00 ended
    """)
    external = facts.legs[1]
    assert (external.kind, external.provider, external.connected_seconds) == ("external", "China Unicom", 240)
    assert (facts.outcome, facts.talk_seconds) == (Outcome.ANSWERED, 100)


def test_an_open_call_on_hold_has_not_talked_less_than_nothing():
    facts = record("10:00:00 started\n10:00:20 answered agent=A\n10:01:00 held agent=A\n10:02:00 resumed agent=A")
    assert (facts.talk_seconds, facts.hold_seconds, facts.state) == (0, 60, CallState.TALKING)


def test_overflow_closes_one_entry_and_opens_the_next_at_the_same_second():
    facts = record("""
        10:50:00 started
        10:50:05 queued skill_group=S
        10:51:05 queued skill_group=T
        10:51:05 dequeued reason=timeout
        10:51:35 ended
    """)
    assert [(e.skill_group, e.outcome, e.reason, e.cause) for e in facts.entries] == [
        ("S", "flow_out", "timeout", "direct"),
        ("T", "abandoned", "", "overflow"),
    ]
    assert facts.wait_seconds == 90


def test_answered_then_abandoned_elsewhere_stays_answered():
    facts = record("""
        10:00:00 started
        10:00:05 queued skill_group=A
        10:00:10 answered agent=A
        10:01:00 transferred from=A to_skill_group=B kind=blind
        10:01:00 queued skill_group=B
        10:01:40 ended
    """)
    assert facts.outcome == Outcome.ANSWERED and facts.entries[1].outcome == EntryOutcome.ABANDONED


def test_an_answer_without_a_queue_is_at_once():
    facts = record("10:00:00 started\n10:00:20 answered agent=A skill_group=S\n10:01:00 ended")
    assert (facts.entries, facts.wait_seconds, facts.legs[0].queue_seq, facts.last_skill_group) == ([], 0, None, "S")
    assert facts.legs[0].is_at_once


def test_only_the_first_answer_of_a_caller_who_did_not_queue_is_at_once():
    queued_before = record("""
        10:00:00 started
        10:00:00 queued skill_group=S
        10:01:05 answered agent=A
        10:02:00 transferred from=A to_agent=B
        10:02:05 answered agent=B skill_group=S
        10:03:00 ended
    """)
    transferred = record("""
        10:00:00 started
        10:00:05 answered agent=A skill_group=S
        10:02:00 transferred from=A to_agent=B
        10:02:05 answered agent=B skill_group=S
        10:03:00 ended
    """)
    outbound = record("10:00:00 started direction=outbound\n10:00:20 answered agent=A skill_group=S\n10:01:00 ended")
    assert [leg.is_at_once for facts in (queued_before, transferred, outbound) for leg in facts.legs] == [
        False,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("table", "outcome", "reason"),
    [
        (
            "10:00:00 queued skill_group=S\n10:00:10 ringing agent=A skill_group=T\n10:00:20 answered agent=A\n10:20:00 ended",
            EntryOutcome.FLOW_OUT,
            "overflow",
        ),
        (
            "10:00:00 ringing agent=A\n10:00:02 queued skill_group=S\n10:00:20 answered agent=A\n10:20:00 ended",
            EntryOutcome.ANSWERED,
            "",
        ),
        ("10:00:00 queued skill_group=S\n10:00:20 answered agent=A skill_group=S\n10:20:00 ended", EntryOutcome.ANSWERED, ""),
    ],
)
def test_whoever_speaks_to_an_agent_has_left_the_queue(table, outcome, reason):
    facts = record(table)
    assert [(entry.outcome, entry.reason) for entry in facts.entries] == [(outcome, reason)]
    assert facts.wait_seconds <= 20 and facts.outcome == Outcome.ANSWERED


def test_questions_after_the_talk_are_steps_but_no_stay_in_the_ivr():
    facts = record(
        "10:00:00 started\n10:00:02 answered agent=A\n10:01:00 leg_ended agent=A\n10:01:01 ivr_prompted step=rate\n10:01:05 ended"
    )
    assert (len(facts.steps), facts.ivr_entered_at, facts.outcome) == (1, None, Outcome.ANSWERED)


@pytest.mark.parametrize(
    ("table", "state"),
    [
        ("10:00:00 started", CallState.STARTED),
        ("10:00:00 started\n10:00:00 ivr_prompted", CallState.IN_IVR),
        ("10:00:00 started\n10:00:10 queued skill_group=S", CallState.QUEUED),
        ("10:00:00 started\n10:00:10 queued skill_group=S\n10:00:12 ringing agent=A", CallState.RINGING),
        ("10:00:00 started\n10:00:10 queued skill_group=S\n10:00:12 answered agent=A", CallState.TALKING),
    ],
)
def test_an_open_call_says_where_it_is(table, state):
    facts = record(table)
    assert (facts.state, facts.outcome, facts.ended_at) == (state, "", None)


def test_events_without_a_start_still_make_a_record():
    facts = record("10:00:10 queued skill_group=S\n10:00:30 ended")
    assert (facts.started_at, facts.outcome) == (at("10:00:10"), Outcome.ABANDONED_IN_QUEUE)


def test_what_comes_after_the_end_adds_to_the_record_and_moves_nothing():
    facts = record(ANSWERED + "\n10:30:00 remarked text=later disposition=sold\n10:31:00 answered agent=B")
    assert (facts.remark, facts.disposition, facts.ended_at, len(facts.legs)) == ("later", "sold", at("10:04:30"), 1)


def given_up(clock: str) -> Event:
    return Event("call.ended", at(clock), {"party": "system", "cause": "lost_contact"}, b"z" * 32, PORTAL_SOURCE)


def test_a_call_given_up_for_lost_is_taken_back_when_it_speaks_again():
    events = to_events("10:00:00 started\n10:00:10 answered agent=A")
    lost = fold([*events, given_up("10:00:10")])
    assert lost.end_is_inferred and lost.outcome == Outcome.ANSWERED and lost.talk_seconds == 0
    found = fold([*to_events("10:00:00 started\n10:00:10 answered agent=A\n18:00:00 ended"), given_up("10:00:10")])
    assert not found.end_is_inferred and found.talk_seconds == 28790


def test_a_late_remark_does_not_reopen_a_call_given_up_for_lost():
    events = to_events("10:00:00 started\n10:00:10 answered agent=A\n19:00:00 remarked text=x")
    assert fold([*events, given_up("10:00:10")]).end_is_inferred


def test_clocks_running_backwards_make_no_negative_times():
    facts = record(
        "10:00:00 started\n09:59:58 ivr_prompted\n10:00:10 queued skill_group=S\n10:00:10 answered agent=A\n10:00:09 ended"
    )
    assert min(facts.ivr_seconds, facts.wait_seconds, facts.talk_seconds, facts.ring_seconds) >= 0


EVERYTHING = to_events("""
    10:00:00 started
    10:00:00 ivr_prompted
    10:00:05 ivr_input
    10:00:10 queued skill_group=S
    10:00:15 ringing agent=A
    10:00:20 ring_ended agent=A
    10:00:20 ringing agent=B
    10:00:20 answered agent=B
    10:01:00 held agent=B
    10:01:10 resumed agent=B
    10:02:00 transferred from=B to_skill_group=T
    10:02:00 queued skill_group=T
    10:02:30 dequeued reason=overflow
    10:02:30 queued skill_group=U
    10:02:40 answered agent=C
    10:03:00 transferred from=C to_number=+861088880000 kind=attended
    10:03:00 leg_ended agent=C
    10:05:00 ended
    10:05:00 recorded
    10:05:10 wrap_up_ended agent=C
    10:05:20 rated score=5 scale=5
    10:06:00 remarked text=done
""")


@settings(max_examples=150, deadline=None)
@given(st.permutations(EVERYTHING))
def test_any_order_of_the_same_events_gives_the_same_record(shuffled):
    assert fold(shuffled) == fold(EVERYTHING)


def test_the_fold_of_any_prefix_never_fails():
    for cut in range(1, len(EVERYTHING) + 1):
        assert fold(EVERYTHING[:cut]).state
    for pair in itertools.combinations(EVERYTHING, 2):
        assert fold(pair).state
