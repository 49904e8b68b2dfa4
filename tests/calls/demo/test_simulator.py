import dataclasses
import datetime as dt
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from calls.demo.center import CARE, CENTER, SALES
from calls.demo.simulator import Simulation, Steady, UnderWay, history
from calls.ingest import accept_events
from calls.lifecycle import Event, fold
from calls.models import Direction, EntryOutcome, LegKind, Outcome
from calls.vocabulary import TYPES, problems_of

END = dt.datetime(2026, 11, 24, 17, 30, tzinfo=CENTER.zone)


def past(center=CENTER, *, days=30, n_calls=20_000, seed=1, **options):
    return history(center, start=END - dt.timedelta(days=days), end=END, n_calls=n_calls, seed=seed, run="t", **options)


def live(seed=1, rate=110.0, start=END):
    return Simulation(CENTER, traffic=Steady(CENTER, calls_per_hour=rate), start=start, seed=seed, run="live")


def folded(events):
    by_call = defaultdict(list)
    for event in events:
        if event["type"].startswith("call."):
            at = dt.datetime.fromisoformat(event["time"])
            by_call[event["subject"]].append(
                Event(event["type"], at, event["data"], event["id"].encode(), event["source"], event["sequence"])
            )
    return {subject: fold(its) for subject, its in by_call.items()}


@pytest.fixture(scope="module")
def month():
    return list(past(records_from=END - dt.timedelta(days=4)))


@pytest.fixture(scope="module")
def records(month):
    return folded(month)


def test_the_same_seed_gives_the_same_events():
    first = list(past(days=2, n_calls=300, seed=7))
    assert first == list(past(days=2, n_calls=300, seed=7))
    assert first != list(past(days=2, n_calls=300, seed=8))


def test_looking_often_or_once_sees_the_same_events():
    often, once = live(), live()
    seen = [event for n in range(7200) for event in often.advance(END + dt.timedelta(seconds=n))]
    assert seen == list(once.advance(END + dt.timedelta(seconds=7199)))


def test_a_month_has_every_type_of_event(month):
    assert {event["type"] for event in month} == set(TYPES)


def test_a_month_has_about_as_many_calls_as_asked_for(records):
    assert 18_000 < len(records) < 21_000


def test_events_come_in_the_order_of_time_and_each_once(month):
    times = [event["time"] for event in month]
    assert times == sorted(times)
    assert len({event["id"] for event in month}) == len(month)


def test_every_event_says_what_its_type_must(month):
    assert [(event, found) for event in month if (found := problems_of(event["type"], event["data"]))] == []


def test_intake_takes_a_day_without_a_complaint(account):
    events = list(past(days=1, n_calls=300))
    answers = accept_events(account=account, items=events, at=END)
    assert Counter(answer["status"] for answer in answers) == {"accepted": len(events)}


def test_every_call_ends(records):
    assert [subject for subject, facts in records.items() if facts.ended_at is None] == []
    assert all(leg.ended_at for facts in records.values() for leg in facts.legs)


def test_nobody_is_on_two_calls_at_once(records):
    taken = defaultdict(list)
    for facts in records.values():
        for leg in facts.legs:
            if leg.kind == LegKind.AGENT:
                taken[leg.party].append((leg.offered_at, leg.wrap_up_ended_at or leg.ended_at))
    assert len(taken) == len(CENTER.seats)
    for stretches in taken.values():
        stretches.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(stretches))


def test_nobody_answers_who_is_not_available(month):
    status = defaultdict(lambda: "offline")
    for event in month:
        if event["type"] == "agent.status_changed":
            status[event["subject"]] = event["data"]["status"]
        elif event["type"] in ("call.ringing", "call.answered"):
            assert status[event["data"]["agent"]] == "available", event


def test_everybody_has_gone_home_at_the_end(month):
    last = {event["subject"]: event["data"]["status"] for event in month if event["type"] == "agent.status_changed"}
    assert set(last.values()) == {"offline"}
    assert len(last) == len(CENTER.seats)


def test_statuses_tell_the_whole_day(month):
    seen = Counter(event["data"]["status"] for event in month if event["type"] == "agent.status_changed")
    assert set(seen) == {"available", "busy", "break", "wrap_up", "offline"}
    reasons = {e["data"].get("reason") for e in month if e["type"] == "agent.status_changed" and e["data"]["status"] == "break"}
    assert {"Meal", "Short break", "Training", "Meeting", "No answer"} <= reasons


def test_how_calls_end_is_believable(records):
    inbound = Counter(facts.outcome for facts in records.values() if facts.direction == Direction.INBOUND)
    total = sum(inbound.values())
    assert 0.55 < inbound[Outcome.ANSWERED] / total < 0.8
    assert 0.03 < inbound[Outcome.ABANDONED_IN_QUEUE] / total < 0.15
    assert 0.04 < inbound[Outcome.ABANDONED_IN_IVR] / total < 0.12
    for outcome in (
        Outcome.SELF_SERVED,
        Outcome.ABANDONED_WHILE_RINGING,
        Outcome.TIMED_OUT,
        Outcome.NO_AGENT,
        Outcome.CLOSED,
        Outcome.VOICEMAIL,
        Outcome.BLOCKED,
    ):
        assert inbound[outcome] > 10, outcome
    outbound = Counter(facts.outcome for facts in records.values() if facts.direction == Direction.OUTBOUND)
    assert 0.5 < outbound[Outcome.ANSWERED] / sum(outbound.values()) < 0.7
    for outcome in (Outcome.NOT_ANSWERED, Outcome.LINE_BUSY, Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.CANCELLED):
        assert outbound[outcome] > 10, outcome
    assert any(facts.direction == Direction.INTERNAL for facts in records.values())


def test_service_is_good_but_not_perfect(records):
    entries = [entry for facts in records.values() for entry in facts.entries]
    answered = [entry.wait_seconds for entry in entries if entry.outcome == EntryOutcome.ANSWERED]
    gave_up = [e.wait_seconds for e in entries if e.outcome == EntryOutcome.ABANDONED and e.wait_seconds > 5]
    assert 0.7 < sum(wait <= 20 for wait in answered) / (len(answered) + len(gave_up)) < 0.92
    assert max(answered) > 60


def test_fewer_agents_make_callers_wait_and_leave():
    def abandoned(center):
        facts = folded(past(center, days=5, n_calls=3500)).values()
        return sum(one.outcome == Outcome.ABANDONED_IN_QUEUE for one in facts)

    assert abandoned(dataclasses.replace(CENTER, seats=CENTER.seats[::2])) > 1.5 * abandoned(CENTER)


def test_days_have_two_peaks_and_weekends_are_quieter(records):
    starts = [facts.started_at.astimezone(CENTER.zone) for facts in records.values()]
    hours = Counter(start.hour for start in starts)
    assert hours[10] > 1.3 * hours[12] < hours[15] and hours[3] < 0.05 * hours[10]
    weekdays = Counter(start.weekday() for start in starts)
    assert weekdays[6] < 0.7 * weekdays[2]


def test_a_group_that_is_closed_takes_no_calls(records):
    for facts in records.values():
        for entry in facts.entries:
            at = entry.entered_at.astimezone(CENTER.zone)
            if entry.skill_group == SALES:
                assert 8 <= at.hour < 20
    assert any(
        e.skill_group == CARE and e.entered_at.astimezone(CENTER.zone).hour == 2 for f in records.values() for e in f.entries
    )


def test_transfers_go_to_agents_groups_and_an_external_center_in_both_ways(month):
    transfers = [event["data"] for event in month if event["type"] == "call.transferred"]
    ways = {(name, data["kind"]) for data in transfers for name in ("to_agent", "to_skill_group", "to_number") if name in data}
    assert ways == {(n, k) for n in ("to_agent", "to_skill_group", "to_number") for k in ("blind", "attended")}
    assert all(data["provider"] for data in transfers if "to_number" in data)


def test_recordings_are_kept_from_the_day_they_are_asked_for(month):
    recorded = [dt.datetime.fromisoformat(event["time"]) for event in month if event["type"] == "call.recorded"]
    assert recorded
    assert min(recorded) >= END - dt.timedelta(days=4)


def test_memory_does_not_grow_with_the_period():
    simulation = live(rate=400)
    at = END
    for _ in range(48):
        at += dt.timedelta(hours=1)
        for _ in simulation.advance(at):
            pass
        assert len(simulation._agenda) < 2000
        assert len(simulation.open_calls) < 200


@pytest.mark.parametrize("hour", [0, 3, 9, 15, 21])
def test_live_traffic_moves_at_every_hour(hour):
    start = END.replace(hour=hour)
    simulation = live(start=start)
    counts = []
    for minute in range(10, 70):
        for _ in simulation.advance(start + dt.timedelta(minutes=minute)):
            pass
        counts.append(len(simulation.open_calls))
    assert 4 < sum(counts) / len(counts) < 14
    assert len(simulation.under_way().online) >= 10


def test_finishing_ends_what_is_under_way():
    simulation = live()
    at = END + dt.timedelta(hours=1)
    events = list(simulation.advance(at))
    assert simulation.open_calls
    events += simulation.finish(at)
    assert all(facts.ended_at and facts.ended_at <= at for facts in folded(events).values())
    assert simulation.under_way() == UnderWay()
    assert list(simulation.advance(at + dt.timedelta(hours=1))) == []


def test_what_a_killed_run_left_is_closed_from_its_note_and_twice_is_once():
    simulation = live()
    at = END + dt.timedelta(hours=1)
    events = list(simulation.advance(at))
    left = simulation.under_way()
    closing = left.closing_events(CENTER, at=at)
    assert closing == left.closing_events(CENTER, at=at)
    facts = folded(events + closing)
    assert all(one.ended_at for one in facts.values())
    answered = [leg for one in facts.values() for leg in one.agent_legs if leg.answered_at]
    assert all(leg.wrap_up_ended_at for leg in answered)
    assert [e for e in closing if problems_of(e["type"], e["data"])] == []
    statuses = {e["subject"]: e["data"]["status"] for e in events + closing if e["type"] == "agent.status_changed"}
    assert set(statuses.values()) == {"offline"}
