"""Intake and folding against the database."""

import datetime as dt
import random

import pytest
from django.db import DataError, IntegrityError, connection
from django.utils import timezone

from agents.models import StatusChange
from calls import ingest, lifecycle, records
from calls.models import (
    Call,
    CallEvent,
    CallLeg,
    EventState,
    IvrStep,
    Outcome,
    QueueEntry,
    Recording,
    StaleCallSlot,
    UnknownName,
    Voicemail,
)
from calls.narrowing import by_number
from tests.factories import AccountFactory, AgentFactory, SkillGroupFactory
from tests.scenarios import at, events_of

pytestmark = pytest.mark.django_db

NOW = at("20:00:00")

TRANSFERRED = """
    10:00:00 started
    10:00:00 ivr_prompted
    10:00:10 queued skill_group=S
    10:00:15 ringing agent=1001
    10:00:20 answered agent=1001
    10:01:00 held agent=1001
    10:01:10 resumed agent=1001
    10:02:00 transferred from=1001 to_skill_group=T
    10:02:00 queued skill_group=T
    10:02:30 answered agent=1002
    10:05:00 ended
    10:05:00 recorded
    10:05:10 wrap_up_ended agent=1002
"""
LEFT_A_MESSAGE = "11:00:00 started\n11:00:10 queued skill_group=S\n11:00:50 voicemail_left\n11:00:55 ended"
ABANDONED = "11:00:00 started\n11:00:10 queued skill_group=S\n11:00:50 ended"


@pytest.fixture
def people(account):
    return {
        "1001": AgentFactory(account=account, staff_id="1001"),
        "1002": AgentFactory(account=account, staff_id="1002"),
        "S": SkillGroupFactory(account=account, name="S"),
        "T": SkillGroupFactory(account=account, name="T"),
    }


def accept(account, *tables: str, now=NOW):
    items = [event for number, table in enumerate(tables) for event in events_of(table, call=f"call-{number}")]
    return ingest.accept_events(account=account, items=items, at=now)


def fold_all(now=NOW) -> int:
    total = 0
    while n := ingest.fold_due(at=now, limit=7):
        total += n
    return total


def whole_tables() -> dict[str, list]:
    """Everything that a fold decides, without ids and clocks of the portal."""
    keys = dict(Call.objects.values_list("pk", "call_id"))
    tables = {
        "calls": sorted(
            map(repr, Call.objects.defer("folded_at").values("call_id", *records._COPIED, "ended_on", "agent", "skill_group"))
        )
    }
    for model in (CallLeg, QueueEntry, IvrStep):
        rows = [{**row, "id": None, "call_id": keys[row["call_id"]]} for row in model.objects.values()]
        tables[model.__name__] = sorted(map(repr, rows))
    tables["voicemails"] = sorted(map(repr, Voicemail.objects.values("event_key", "skill_group")))
    tables["recordings"] = sorted(map(repr, Recording.objects.values("event_key", "duration_seconds")))
    return tables


def test_a_call_becomes_a_record_with_all_its_parts(account, people):
    answers = accept(account, TRANSFERRED)
    assert {answer["status"] for answer in answers} == {"accepted"} and not any(answer["warnings"] for answer in answers)
    fold_all()
    call = Call.objects.get()
    assert (call.outcome, call.agent, call.skill_group) == (Outcome.ANSWERED, people["1002"], people["T"])
    assert (call.wait_seconds, call.talk_seconds, call.hold_seconds, call.n_transfers) == (40, 240, 10, 1)
    assert str(call.ended_on) == "2026-11-23"
    assert [leg.agent for leg in call.legs.all()] == [people["1001"], people["1002"]]
    assert call.queue_entries.count() == 2 and call.recordings.count() == 1
    assert set(CallEvent.objects.values_list("state", flat=True)) == {EventState.FOLDED}


def test_the_day_a_call_ended_is_the_day_of_its_account():
    for zone, day in (("Asia/Shanghai", "2026-11-24"), ("America/New_York", "2026-11-23")):
        account = AccountFactory(time_zone=zone)
        accept(account, "17:00:00 started\n17:01:00 ended")
        fold_all()
        assert str(Call.objects.for_account(account).get().ended_on) == day


@pytest.mark.parametrize("seed", range(4))
def test_any_order_doubling_and_batching_gives_identical_rows(account, people, seed):
    accept(account, TRANSFERRED, LEFT_A_MESSAGE)
    fold_all()
    expected = whole_tables()
    for model in (Recording, Voicemail, CallLeg, QueueEntry, IvrStep, Call, CallEvent, StaleCallSlot):
        model.objects.all().delete()
    chance = random.Random(seed)
    items = [*events_of(TRANSFERRED, call="call-0"), *events_of(LEFT_A_MESSAGE, call="call-1")] * 2
    chance.shuffle(items)
    while items:
        size = chance.randint(1, 5)
        batch, items = items[:size], items[size:]
        ingest.accept_events(account=account, items=batch, at=NOW)
        if chance.random() < 0.6:
            ingest.fold_due(at=NOW, limit=chance.randint(1, 9))
    fold_all()
    assert whole_tables() == expected
    assert CallEvent.objects.count() == len(events_of(TRANSFERRED)) + len(events_of(LEFT_A_MESSAGE))


def test_the_same_event_twice_is_a_duplicate_and_with_other_content_a_conflict(account):
    (event,) = events_of("10:00:00 started")
    changed = {**event, "data": {**event["data"], "called_number": "+861055500002"}}
    answers = ingest.accept_events(account=account, items=[event, event, changed], at=NOW)
    assert [(a["status"], a["code"]) for a in answers] == [("accepted", 202), ("duplicate", 200), ("rejected", 409)]
    again = ingest.accept_events(account=account, items=[event, changed], at=NOW)
    assert [a["code"] for a in again] == [200, 409]
    assert CallEvent.objects.count() == 1


def test_ids_that_differ_only_in_case_or_accents_are_different_events(account):
    (event,) = events_of("10:00:00 started")
    items = [{**event, "id": name, "subject": name} for name in ("call", "CALL", "cäll", "call ")]
    assert {a["status"] for a in ingest.accept_events(account=account, items=items, at=NOW)} == {"accepted"}
    fold_all()
    assert Call.objects.count() == 4


def test_accounts_may_use_the_same_ids(account):
    other = AccountFactory()
    accept(account, ABANDONED)
    assert {a["status"] for a in accept(other, ABANDONED)} == {"accepted"}
    fold_all()
    assert Call.objects.for_account(account).count() == Call.objects.for_account(other).count() == 1


def test_folding_again_changes_nothing_and_leaves_ids_alone(account, people):
    accept(account, TRANSFERRED)
    fold_all()
    before = list(Call.objects.values("pk", "started_at")), list(CallLeg.objects.values())
    ingest.refold(account=account, call_keys=Call.objects.values_list("call_key", flat=True), at=NOW)
    assert fold_all() > 0
    assert (list(Call.objects.values("pk", "started_at")), list(CallLeg.objects.values())) == before


def test_a_known_agent_is_stored_by_row_and_never_by_the_email_the_platform_used(account, people):
    first, second = people["1001"].email, people["1002"].email
    accept(
        account,
        f"""
        10:00:00 started
        10:00:20 answered agent={first}
        10:01:00 transferred from={first} to_agent={second}
        10:01:05 answered agent={second}
        10:02:00 ended
        """,
    )
    fold_all()
    first, second = CallLeg.objects.order_by("seq")
    assert (first.agent, first.transfer_agent, second.agent) == (people["1001"], people["1002"], people["1002"])
    assert "@" not in first.transfer_to + first.agent_reference + second.agent_reference


def test_every_slot_a_call_touches_is_marked(account, people):
    accept(account, "10:14:50 started\n10:14:55 queued skill_group=S\n10:15:05 answered agent=1001\n10:31:00 ended")
    fold_all()
    marked = {slot.strftime("%H:%M") for slot in StaleCallSlot.objects.values_list("slot", flat=True)}
    assert marked == {"10:00", "10:15", "10:30"}


def test_unknown_agents_and_groups_are_kept_by_name_told_and_matched_later(account):
    answers = accept(account, "10:00:00 started\n10:00:10 queued skill_group=S\n10:00:20 answered agent=1001\n10:01:00 ended")
    assert [w["field"] for a in answers for w in a["warnings"]] == ["data.skill_group", "data.agent"]
    fold_all()
    assert CallLeg.objects.get().agent_reference == "1001" and UnknownName.objects.count() == 2
    agent, group = AgentFactory(account=account, staff_id="1001"), SkillGroupFactory(account=account, name="S")
    StaleCallSlot.objects.all().delete()
    assert ingest.match_references(at=NOW) == 2
    call = Call.objects.get()
    assert (call.agent, call.skill_group, UnknownName.objects.count()) == (agent, group, 0)
    leg = CallLeg.objects.get()
    assert (leg.agent, leg.agent_reference, leg.skill_group) == (agent, "", group)
    assert StaleCallSlot.objects.exists()


def test_a_name_is_matched_letter_by_letter(account):
    accept(
        account,
        "10:00:00 started\n10:00:20 answered agent=BOB\n10:01:00 ended",
        "10:00:00 started\n10:00:20 answered agent=bob\n10:01:00 ended",
    )
    fold_all()
    agent = AgentFactory(account=account, staff_id="bob")
    ingest.match_references(at=NOW)
    legs = CallLeg.objects.order_by("agent_reference").values_list("agent", "agent_reference")
    assert list(legs) == [(agent.pk, ""), (None, "BOB")]
    assert list(UnknownName.objects.values_list("name", flat=True)) == ["BOB"]


def test_the_longest_texts_there_may_be_are_written(account):
    text = "😀" * 5000
    items = [
        event | {"subject": f"call-{number}", "id": f"{number}-{event['id']}"}
        for number in range(300)
        for event in events_of(f"10:00:00 started\n10:00:50 ended\n10:00:55 remarked text={text}")
    ]
    for first in range(0, len(items), 300):
        ingest.accept_events(account=account, items=items[first : first + 300], at=NOW)
    while ingest.fold_due(at=NOW):
        pass
    assert Call.objects.filter(remark=text).count() == 300


def test_an_agent_of_another_account_is_unknown_here(account):
    AgentFactory(staff_id="1001", email="someone@example.com")
    answers = accept(account, "10:00:00 started\n10:00:20 answered agent=1001\n10:01:00 answered agent=someone@example.com")
    assert sum(len(a["warnings"]) for a in answers) == 2
    fold_all()
    assert set(CallLeg.objects.values_list("agent", flat=True)) == {None}


def status_event(number: int, clock: str, status: str, agent: str = "1001") -> dict:
    return {
        "id": f"s{number}",
        "source": "test",
        "type": "agent.status_changed",
        "subject": agent,
        "time": at(clock).isoformat(),
        "data": {"agent": agent, "status": status},
    }


def test_status_events_make_a_chain_and_unknown_agents_wait(account, people):
    ingest.accept_events(
        account=account,
        items=[
            status_event(1, "10:00:00", "available"),
            status_event(2, "12:00:00", "offline"),
            status_event(3, "11:00:00", "break"),
        ],
        at=NOW,
    )
    ingest.accept_events(account=account, items=[status_event(4, "10:00:00", "available", "9999")], at=NOW)
    fold_all()
    chain = StatusChange.objects.order_by("started_at").values_list("status", "ended_at")
    assert list(chain) == [("available", at("11:00:00")), ("break", at("12:00:00")), ("offline", None)]
    assert CallEvent.objects.get(event_id="s4").state == EventState.UNMATCHED
    AgentFactory(account=account, staff_id="9999")
    ingest.match_references(at=NOW)
    fold_all()
    assert StatusChange.objects.count() == 4


def test_a_poisoned_event_is_put_off_then_dead_and_its_neighbours_go_on(account, people, monkeypatch):
    accept(account, TRANSFERRED, ABANDONED)
    real = lifecycle.fold

    def fails_on_transfers(events):
        if any(event.type == "call.transferred" for event in events):
            raise RuntimeError("poison")
        return real(events)

    monkeypatch.setattr(lifecycle, "fold", fails_on_transfers)
    now = NOW
    for _ in range(ingest.MAX_ATTEMPTS):
        fold_all(now)
        now += dt.timedelta(hours=1)
    (dead,) = CallEvent.objects.filter(state=EventState.DEAD)
    assert (dead.type, dead.error) == ("call.transferred", "RuntimeError while folding")
    assert CallEvent.objects.filter(state=EventState.PENDING).count() == 0
    assert Call.objects.get(call_id="call-0").n_transfers == 0 and Call.objects.count() == 2
    monkeypatch.setattr(lifecycle, "fold", real)
    assert ingest.redrive(account=account, ids=[dead.pk], at=now) == 1
    fold_all(now)
    assert Call.objects.get(call_id="call-0").n_transfers == 1


def test_a_call_the_database_refuses_does_not_hold_up_the_others(account, people, monkeypatch):
    other = AccountFactory()
    accept(account, TRANSFERRED, ABANDONED)
    accept(other, ABANDONED)
    real = records.replace

    def refuses_transfers(*, folded, **given):
        if any(facts.n_transfers for facts in folded.values()):
            raise DataError("out of range")
        real(folded=folded, **given)

    monkeypatch.setattr(records, "replace", refuses_transfers)
    assert ingest.fold_due(at=NOW) > 0
    assert Call.objects.count() == 2
    refused = CallEvent.objects.filter(state=EventState.PENDING)
    assert {event.error for event in refused} == {"DataError while writing"} and {e.attempts for e in refused} == {1}
    monkeypatch.setattr(records, "replace", real)
    fold_all(NOW + dt.timedelta(minutes=1))
    assert Call.objects.count() == 3


def test_a_call_of_endless_events_is_set_aside_and_the_others_go_on(account, people, monkeypatch):
    monkeypatch.setattr(ingest, "MAX_EVENTS_PER_CALL", 10)
    accept(account, "10:00:00 started\n" + "10:00:01 ivr_prompted\n" * 20, ABANDONED)
    fold_all()
    assert list(Call.objects.values_list("call_id", flat=True)) == ["call-1"]
    assert set(CallEvent.objects.filter(subject="call-0").values_list("state", flat=True)) == {EventState.DEAD}


def test_a_silent_call_is_closed_as_lost_contact_and_comes_back_when_heard_of(account, people):
    accept(account, "10:00:00 started\n10:00:10 queued skill_group=S", now=at("10:00:11"))
    fold_all(at("10:00:12"))
    assert ingest.close_silent_calls(at=at("13:59:00")) == 0
    assert ingest.close_silent_calls(at=at("14:01:00")) == 1
    assert ingest.close_silent_calls(at=at("14:01:00")) == 0
    fold_all(at("14:01:00"))
    call = Call.objects.get()
    assert (call.outcome, call.end_is_inferred, call.wait_seconds) == (Outcome.LOST_CONTACT, True, 0)
    late = events_of("10:00:00 started\n10:00:10 queued skill_group=S\n15:00:00 ended", call="call-0")[2]
    ingest.accept_events(account=account, items=[late], at=at("15:00:01"))
    fold_all(at("15:00:02"))
    call.refresh_from_db()
    assert (call.outcome, call.end_is_inferred) == (Outcome.ABANDONED_IN_QUEUE, False)


def seal(account) -> None:
    Call.objects.update(sealed_at=NOW)
    CallEvent.objects.all().delete()


def test_a_sealed_record_takes_a_rating_and_keeps_the_rest(account, people):
    accept(account, TRANSFERRED)
    fold_all()
    before = whole_tables()
    seal(account)
    rated = events_of("19:00:00 rated score=3 scale=5", call="call-0")[0] | {"id": "late"}
    ingest.accept_events(account=account, items=[rated], at=NOW)
    fold_all()
    call = Call.objects.get()
    assert (call.rating_score, call.outcome, call.sealed_at) == (3, Outcome.ANSWERED, NOW)
    assert whole_tables()["CallLeg"] == before["CallLeg"]


def test_a_sealed_record_sent_again_whole_is_the_same_and_half_of_it_changes_nothing(account, people):
    accept(account, TRANSFERRED)
    fold_all()
    before = whole_tables()
    seal(account)
    items = events_of(TRANSFERRED, call="call-0")
    ingest.accept_events(account=account, items=items[:5], at=NOW)
    fold_all()
    assert whole_tables() == before
    assert "send the whole call again" in CallEvent.objects.first().error
    ingest.accept_events(account=account, items=items, at=NOW)
    fold_all(NOW + dt.timedelta(hours=1))
    assert whole_tables() == before and Call.objects.get().sealed_at is None


def test_two_workers_that_meet_on_a_new_call_end_with_one_record(account, people, monkeypatch):
    """The other worker commits its record between this one's look and its insert; the pass runs again."""
    accept(account, ABANDONED)
    real = records.lock_calls
    met = []

    def meanwhile(account, keys):
        found = real(account, keys)
        if not met:
            met.append(True)
            raise IntegrityError
        return found

    monkeypatch.setattr(records, "lock_calls", meanwhile)
    fold_all()
    assert Call.objects.count() == 1 and Call.objects.get().outcome == Outcome.ABANDONED_IN_QUEUE


def test_folding_takes_few_statements_whatever_the_number_of_calls(account, people, django_assert_max_num_queries):
    accept(account, *[TRANSFERRED] * 40)
    with django_assert_max_num_queries(24):
        assert ingest.fold_due(at=NOW) == 40 * len(events_of(TRANSFERRED))
    assert Call.objects.count() == 40
    assert connection.vendor in ("sqlite", "mysql")


def test_numbers_are_stored_in_one_form(account):
    accept(account, "10:00:00 started calling_number=008613800138000 called_number=010-55500001\n10:01:00 ended")
    fold_all()
    call = Call.objects.get()
    assert (call.calling_number, call.called_number) == ("+8613800138000", "+861055500001")
    assert by_number(Call.objects.all(), "138 0013 8000", account_id=call.account_id, region="CN").get() == call


def test_events_accepted_now_are_due_now(account):
    accept(account, ABANDONED, now=timezone.now())
    assert ingest.fold_due(at=timezone.now()) == 3
