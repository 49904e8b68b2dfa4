"""One number, one agent and one day walk through every store, are erased, and found nowhere."""

import datetime as dt
import json

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q

from agents.models import Agent, AgentPhone
from analytics import rollup
from analytics.models import CallInterval, CallTotal, ErasedCount, QueueInterval
from callcenter_site.erasure import Kept, Lifetime
from callcenter_site.subjects import Subject, SubjectKind, Work
from calls import ingest, subjects, tombstones
from calls.envelope import read_event
from calls.models import (
    Call,
    CallEvent,
    CallLeg,
    Connection,
    ExportRun,
    IncomingSound,
    IvrStep,
    Recording,
    SavedFilter,
    Tombstone,
    UnknownName,
)
from calls.records import name_hash
from configuration.blacklist import find_block
from configuration.models import Account, BlockedNumber, IdempotencyKey, ImportChunk, ImportRun, Role
from retention import stores
from retention.checks import problems_of
from tests.factories import AccountFactory, AgentFactory, CallFactory, RecordingFactory, SkillGroupFactory
from tests.scenarios import at, events_of

pytestmark = pytest.mark.django_db

NUMBER = "+8613800138000"
OTHER = "+8613900139000"
FORMS = ("13800138000", "138 0013 8000", "138-0013-8000", "１３８００１３８０００")
NOW = at("20:00:00")


def subject_of(account, **more):
    return Subject(
        SubjectKind.NUMBER, account.pk, account.region, numbers=frozenset({NUMBER}), up_to=more.pop("up_to", NOW), **more
    )


def erase(subject, *, moment=NOW, size=100, held=None):
    """What a request does: each store page by page; how many went, by store, and the files that are to go."""
    counts, files = {}, set()
    account_id = subject.account_id
    subjects.remember(subject, at=moment)
    for store in stores.stores_for(subject.kind):
        cursor = None
        while True:
            page = store.find(subject, cursor, size)
            if page.ids:
                work = Work(
                    at=moment,
                    put_files=files.update,
                    keep_figures=lambda ids: rollup.keep_counts(
                        account=Account.objects.get(pk=account_id), call_ids=ids, unnamed=subject.numbers
                    ),
                    held_calls=held,
                )
                with transaction.atomic():
                    counts[store.name] = counts.get(store.name, 0) + store.erase(subject, page.ids, work).n_deleted
                for then in work.after:
                    then()
            if page.cursor is None:
                break
            cursor = page.cursor
    for key in files:
        if not key.startswith("spool:"):
            default_storage.delete(key)
    return counts


def found(subject):
    """Ids of what a second search still finds, by store."""
    left = {}
    for store in stores.stores_for(subject.kind):
        cursor, ids = None, []
        while True:
            page = store.find(subject, cursor, 100)
            ids += page.ids
            cursor = page.cursor
            if cursor is None:
                break
        if ids:
            left[store.name] = ids
    return left


def dump():
    """Every row of every table as text, encrypted columns opened."""
    lines = []
    for model in apps.get_models(include_auto_created=True):
        for row in model._base_manager.all():
            lines.append(
                f"{model._meta.label} " + " ".join(str(getattr(row, field.attname)) for field in model._meta.concrete_fields)
            )
    return "\n".join(lines)


def files_left():
    def walk(folder):
        folders, names = default_storage.listdir(folder)
        yield from (f"{folder}/{name}" for name in names)
        for below in folders:
            yield from walk(f"{folder}/{below}")

    try:
        return list(walk("audio"))
    except FileNotFoundError:
        return []


def take_in(account, *tables, **changes):
    """Events into records; `changes` by the name of the call."""
    items = []
    for number, table in enumerate(tables):
        items += events_of(table, call=f"c{number}")
    for item in items:
        item["data"] |= changes.get(item["type"].removeprefix("call."), {})
    answers = ingest.accept_events(account=account, items=items, at=NOW)
    while ingest.fold_due(at=NOW):
        pass
    rollup.drain_stale_slots(at=NOW)
    return answers


OF_THE_NUMBER = """
    10:00:00 started calling_number=0086-138-0013-8000
    10:00:00 ivr_prompted
    10:00:05 ivr_input input=13800138000
    10:00:10 queued skill_group=S
    10:00:20 answered agent=1001
    10:05:00 ended
    10:05:05 recorded
    10:05:10 voicemail_left
    10:05:20 remarked text="Call back 138 0013 8000"
"""
OF_ANOTHER = """
    10:10:00 started calling_number=+8613900139000
    10:10:05 ivr_input step=callback input="138-0013-8000"
    10:10:10 queued skill_group=S
    10:10:20 answered agent=1001
    10:11:00 transferred from=1001 to_number=13800138000
    10:13:00 ended
    10:13:05 recorded
    10:13:20 remarked text="Husband is on 138 0013 8000, order 77"
"""


@pytest.fixture
def world(account):
    AgentFactory(account=account, staff_id="1001")
    SkillGroupFactory(account=account, name="S")
    return account


def everywhere(account):
    """Puts the number in every place where one can stand."""
    take_in(account, OF_THE_NUMBER, OF_ANOTHER)
    for call in Call.objects.for_account(account):
        RecordingFactory(call=call, reference=f"https://pbx.example.com/{call.call_id}.wav")
    third = CallFactory(account=account, calling_number=OTHER, started_at=at("09:00:00"))
    RecordingFactory(call=third, reference="https://pbx.example.com/20261123-13800138000.wav")
    agent = Agent.objects.get(account=account, staff_id="1001")
    AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number=NUMBER)
    BlockedNumber.objects.create(account=account, number=NUMBER, reason="complained")
    BlockedNumber.objects.create(account=account, number=OTHER, reason="same man as 138 0013 8000")
    SavedFilter.objects.create(account=account, owner=agent, name="him", query="calling=138+0013+8000&outcome=answered")
    SavedFilter.objects.create(account=account, owner=agent, name="again", query="", search="138 0013 8000")
    ExportRun.objects.create(
        account=account,
        asked="{}",
        created_at=at("12:00:00"),
        state="done",
        key=default_storage.save("audio/x.csv", ContentFile(b"13800138000")),
    )
    UnknownName.objects.create(account=account, kind="agent", name="13800138000", name_hash=name_hash("13800138000"))
    key = IdempotencyKey(account=account, key_hash=b"k" * 32, request_hash=b"r" * 32, claimed_at=NOW, created_at=NOW)
    key.answer = json.dumps({"data": {"number": NUMBER}})
    key.save()
    run = ImportRun.objects.create(
        account=account, sheet="blacklist", state="checked", preview=json.dumps([{"cells": {"number": "138 0013 8000"}}])
    )
    ImportChunk.objects.create(account=account, run=run, number=1, rows=json.dumps([[2, ["13800138000"]]]), errors="[]")
    IncomingSound.objects.create(
        account=account,
        kind="recording",
        call_id="nobody",
        call_key=b"n" * 32,
        reference="13800138000.wav",
        content_type="audio/wav",
        n_bytes=1,
        sha256="0",
        key=default_storage.save("audio/waits", ContentFile(b"x")),
        state="waiting",
    )
    ingest.accept_events(
        account=account,
        items=events_of("18:00:00 started calling_number=13800138000\n18:00:01 ivr_prompted", call="pending"),
        at=NOW,
    )


def test_a_number_is_erased_everywhere_and_found_nowhere(world):
    everywhere(world)
    subject = subject_of(world)
    assert {"calls", "transfers", "ivr_inputs", "remarks", "events", "exports", "blacklist", "agent_phones"} <= found(
        subject
    ).keys()
    counts = erase(subject)
    assert found(subject) == {}
    text = dump()
    for form in (NUMBER, *FORMS):
        assert form not in text, [line for line in text.splitlines() if form in line]
    assert counts["calls"] == 1 and counts["transfers"] == 2 and counts["ivr_inputs"] == 1 and counts["remarks"] == 1
    # Others keep what is theirs.
    other = Call.objects.get(call_id="c1")
    assert other.remark == "Husband is on •••••••••••••, order 77"
    assert (other.calling_number, other.has_recording) == (OTHER, False)
    assert BlockedNumber.objects.get().number == OTHER
    assert files_left() == []


def test_folding_again_brings_nothing_back(world):
    everywhere(world)
    erase(subject_of(world))
    ingest.refold(account=world, call_keys=[bytes(call.call_key) for call in Call.objects.all()], at=NOW)
    while ingest.fold_due(at=NOW):
        pass
    assert "13800138000" not in dump() and "138 0013 8000" not in dump()
    assert Recording.objects.count() == 0
    leg = CallLeg.objects.get(call__call_id="c1", kind="external")
    assert leg.number == "erased"
    assert IvrStep.objects.get(call__call_id="c1").input == ""


def test_erasing_twice_erases_nothing_more(world):
    everywhere(world)
    erase(subject_of(world))
    before = dump()
    assert erase(subject_of(world)) == {}
    assert dump() == before


def test_the_same_number_in_another_account_stays(world):
    other = AccountFactory()
    AgentFactory(account=other, staff_id="1001")
    everywhere(other)
    ingest.fold_due(at=NOW)
    before = {
        model: list(model._base_manager.filter(account=other).order_by("pk").values())
        for model in (Call, CallEvent, CallLeg, BlockedNumber, ExportRun)
    }
    everywhere(world)
    erase(subject_of(world))
    for model, rows in before.items():
        assert list(model._base_manager.filter(account=other).order_by("pk").values()) == rows
    assert found(subject_of(other))


# --- What comes late -------------------------------------------------------------------------------------------------


def test_late_events_of_an_erased_call_are_dropped_and_a_new_call_is_kept(world):
    take_in(world, OF_THE_NUMBER)
    erase(subject_of(world))
    late = events_of("10:06:00 rated score=5 scale=5\n10:07:00 recorded", call="c0")
    for number, item in enumerate(late):
        item["id"] = f"late-{number}"
    answers = ingest.accept_events(account=world, items=late, at=NOW)
    assert [(one["status"], one["code"]) for one in answers] == [("dropped", 200)] * 2
    again = ingest.accept_events(account=world, items=events_of(OF_THE_NUMBER, call="c0"), at=NOW)
    assert {one["status"] for one in again} == {"dropped"}
    assert Call.objects.count() == CallEvent.objects.count() == 0
    tomorrow = NOW + dt.timedelta(days=1)
    new = events_of("10:00:00 started calling_number=13800138000\n10:01:00 ended", call="new", day=tomorrow.date())
    assert {one["status"] for one in ingest.accept_events(account=world, items=new, at=tomorrow)} == {"accepted"}
    ingest.fold_due(at=tomorrow)
    assert Call.objects.get().calling_number == NUMBER


def test_a_call_of_the_number_that_was_not_known_yet_is_dropped_whole(world):
    erase(subject_of(world))
    answers = ingest.accept_events(account=world, items=events_of(OF_THE_NUMBER, call="spooled"), at=NOW)
    assert {one["status"] for one in answers} == {"dropped"}
    rest = ingest.accept_events(account=world, items=events_of("10:09:00 rated score=1 scale=5", call="spooled"), at=NOW)
    assert rest[0]["status"] == "dropped"


def test_an_event_stored_in_the_moment_of_the_erasure_makes_no_record(world):
    take_in(world, OF_THE_NUMBER)
    key = bytes(Call.objects.get().call_key)
    erase(subject_of(world))
    late = events_of("10:06:00 rated score=5 scale=5", call="c0")[0]
    CallEvent.objects.create(
        account=world,
        event_key=b"e" * 32,
        body_hash=b"b" * 32,
        call_key=key,
        source="s",
        event_id="e",
        type=late["type"],
        subject="c0",
        occurred_at=NOW,
        received_at=NOW,
        retry_at=NOW,
        data=late["data"],
    )
    ingest.fold_due(at=NOW)
    assert Call.objects.count() == CallEvent.objects.count() == 0


def test_the_late_sound_of_a_call_the_subject_was_passed_on_in_is_dropped(world):
    take_in(world, OF_ANOTHER)
    erase(subject_of(world))
    late = events_of("10:14:00 recorded\n10:14:10 rated score=5 scale=5", call="c0")
    for number, item in enumerate(late):
        item["id"] = f"late-{number}"
    answers = ingest.accept_events(account=world, items=late, at=NOW)
    assert [one["status"] for one in answers] == ["dropped", "accepted"]


# --- Figures ---------------------------------------------------------------------------------------------------------


def figures():
    rows = {}
    for model in (CallInterval, CallTotal, QueueInterval):
        names = [field.attname for field in model._meta.concrete_fields if field.name != "id"]
        rows[model] = sorted(map(str, model.objects.values_list(*names)))
    return rows


def test_figures_stand_as_they_were_whatever_counts_them_again(world):
    take_in(world, OF_THE_NUMBER, OF_ANOTHER)
    before = figures()
    erase(subject_of(world))
    assert rollup.recount(account=world, at=NOW) == 0
    assert figures() == before
    for _ in rollup.rebuild(account=world, start=at("00:00:00"), end=NOW, at=NOW, force=True):
        pass
    assert figures() == before
    # A neighbour in the same slot changes, and is counted again together with what is kept.
    items = events_of("10:14:00 rated score=5 scale=5", call="c1")
    items[0]["id"] = "rated"
    ingest.accept_events(account=world, items=items, at=NOW)
    ingest.fold_due(at=NOW)
    rollup.drain_stale_slots(at=NOW)
    total = CallTotal.objects.get(slot=at("10:00:00"))
    assert (total.n_calls, total.n_answered, total.n_rated) == (2, 2, 1)


def test_marks_that_were_not_counted_yet_count_the_erased_call_once(world):
    items = events_of(OF_THE_NUMBER, call="c0")
    ingest.accept_events(account=world, items=items, at=NOW)
    ingest.fold_due(at=NOW)
    erase(subject_of(world))
    rollup.drain_stale_slots(at=NOW)
    assert CallTotal.objects.get().n_calls == 1


def test_a_call_that_goes_on_is_counted_as_ended_and_its_end_is_dropped(world):
    take_in(world, "19:59:00 started\n19:59:05 queued skill_group=S")
    erase(subject_of(world))
    rollup.recount(account=world, at=NOW)
    total = CallTotal.objects.get()
    assert (total.n_calls, total.n_open, total.n_never_reached) == (1, 0, 1)
    assert QueueInterval.objects.get().n_lost == 1
    answer = ingest.accept_events(account=world, items=events_of("20:00:00 ended", call="c0"), at=NOW)
    assert answer[0]["status"] == "dropped"


def test_a_person_taken_for_a_service_number_leaves_the_figures_whole(world):
    table = "10:00:00 started direction=inbound calling_number=+8613900139000 called_number=13800138000\n10:01:00 ended"
    take_in(world, table, "10:02:00 started calling_number=+8613900139000 called_number=''\n10:03:00 ended")
    assert CallInterval.objects.filter(service_number=NUMBER).exists()
    erase(subject_of(world))
    assert CallInterval.objects.get().n_calls == 2
    assert NUMBER not in str(list(ErasedCount.objects.values_list("counts")))
    assert rollup.recount(account=world, at=NOW) == 0


# --- The blacklist ---------------------------------------------------------------------------------------------------


def test_a_blocked_number_may_stay_blocked_without_being_named(world):
    BlockedNumber.objects.create(account=world, number=NUMBER, reason="threats")
    subject = subject_of(world, keeps_block=True)
    assert erase(subject)["blacklist"] == 1
    assert found(subject) == {}
    row = BlockedNumber.objects.get()
    assert "138" not in row.number and row.reason == ""
    for form in FORMS:
        assert find_block(account=world, number=form, direction="inbound", at=NOW) == row
    assert find_block(account=world, number=OTHER, direction="inbound", at=NOW) is None
    row.full_clean()  # it can still be changed: until when, and in which direction


# --- Calls and days --------------------------------------------------------------------------------------------------


def test_one_call_is_erased_and_its_neighbour_stays(world):
    take_in(world, OF_THE_NUMBER, OF_ANOTHER)
    call = Call.objects.get(call_id="c0")
    erase(Subject(SubjectKind.CALL, world.pk, "CN", call_key=bytes(call.call_key), up_to=NOW))
    assert [one.call_id for one in Call.objects.all()] == ["c1"]
    assert set(CallEvent.objects.values_list("subject", flat=True)) == {"c1"}


def test_a_range_of_days_ends_with_its_last_day(world):
    for day in (1, 2, 3, 4):
        CallFactory(account=world, call_id=f"d{day}", started_at=dt.datetime(2026, 3, day, 4, tzinfo=dt.UTC))
    erase(
        Subject(SubjectKind.DAYS, world.pk, "CN", first_day=dt.date(2026, 3, 2), last_day=dt.date(2026, 3, 3), up_to=NOW), size=1
    )
    assert set(Call.objects.values_list("call_id", flat=True)) == {"d1", "d4"}


def test_what_is_held_stays_and_is_counted(world):
    take_in(world, OF_THE_NUMBER, OF_ANOTHER)
    subject = subject_of(world)
    erase(subject, held=Q(call_id="c0"))
    assert set(found(subject)) == {"calls", "events", "ivr_inputs", "remarks"}
    assert {one.call_id for one in Call.objects.all()} == {"c0", "c1"}
    assert NUMBER not in str(list(CallLeg.objects.values_list("number", "transfer_to")))


# --- An agent --------------------------------------------------------------------------------------------------------


def agent_subject(agent):
    return Subject(
        SubjectKind.AGENT,
        agent.account_id,
        "CN",
        numbers=frozenset({NUMBER}),
        agent_id=agent.pk,
        names=frozenset({agent.staff_id, agent.email, agent.name}),
        up_to=NOW,
    )


def test_an_agent_leaves_an_empty_row_and_the_calls(account, client):
    agent = AgentFactory(
        account=account, staff_id="LW-77", email="liwei@example.com", name="Li Wei Canary", kind=Role.Kind.SUPERVISOR
    )
    AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    SkillGroupFactory(account=account, name="S")
    AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number=NUMBER)
    client.force_login(agent)
    take_in(account, OF_ANOTHER.replace("1001", "LW-77"))
    before = figures()
    subject = agent_subject(agent)
    erase(subject)
    assert found(subject) == {}
    text = dump()
    for canary in ("LW-77", "liwei@example.com", "Li Wei Canary", NUMBER):
        assert canary not in text, [line for line in text.splitlines() if canary in line]
    agent.refresh_from_db()
    assert not agent.is_active and not agent.has_usable_password() and agent.role is None
    assert str(agent) == "erased agent"
    assert Call.objects.get().agent_id == agent.pk
    assert client.get("/desk/").status_code == 302
    rollup.recount(account=account, at=NOW)
    assert figures() == before


def test_an_agent_erased_during_a_call_is_not_named_by_its_end(account):
    agent = AgentFactory(account=account, staff_id="LW-77", email="liwei@example.com", name="Li Wei")
    take_in(
        account, "19:50:00 started calling_number=+8613900139000\n19:50:05 ringing agent=LW-77\n19:50:10 answered agent=LW-77"
    )
    erase(agent_subject(agent))
    rest = events_of(
        "20:01:00 held agent=LW-77\n20:02:00 resumed agent=LW-77\n20:03:00 ended\n20:03:30 wrap_up_ended agent=LW-77", call="c0"
    )
    for number, item in enumerate(rest):
        item["id"] = f"rest-{number}"
    later = NOW + dt.timedelta(minutes=5)
    assert {one["status"] for one in ingest.accept_events(account=account, items=rest, at=later)} == {"accepted"}
    status = {
        "specversion": "1.0",
        "id": "s",
        "source": "test",
        "type": "agent.status_changed",
        "subject": "LW-77",
        "time": later.isoformat(),
        "data": {"agent": "LW-77", "status": "available"},
    }
    assert ingest.accept_events(account=account, items=[status], at=later)[0]["status"] == "dropped"
    while ingest.fold_due(at=later):
        pass
    assert "LW-77" not in dump()
    leg = CallLeg.objects.get()
    assert (leg.agent_id, leg.hold_seconds) == (agent.pk, 60)
    assert not UnknownName.objects.exists()


def test_somebody_new_may_have_the_staff_id_of_one_who_was_erased(account):
    agent = AgentFactory(account=account, staff_id="1001")
    erase(agent_subject(agent))
    new = AgentFactory(account=account, staff_id="1001")
    later = NOW + dt.timedelta(hours=1)
    items = events_of("20:30:00 started\n20:30:05 ringing agent=1001\n20:30:10 answered agent=1001\n20:31:00 ended", call="n")
    ingest.accept_events(account=account, items=items, at=later)
    ingest.fold_due(at=later)
    assert Call.objects.get().agent_id == new.pk


# --- Nothing is left out ---------------------------------------------------------------------------------------------


def test_every_table_that_names_people_is_in_a_store():
    assert stores.uncovered() == []


def test_a_tombstone_moves_on_and_is_one(account):
    for moment in (NOW, NOW + dt.timedelta(hours=1)):
        subjects.remember(subject_of(account), at=moment)
    assert Tombstone.objects.get().up_to == NOW + dt.timedelta(hours=1)


def test_where_nothing_was_erased_intake_asks_one_question_more(world, django_assert_num_queries):
    event, _ = read_event(world, events_of(OF_ANOTHER)[0], NOW, is_own=False)
    with django_assert_num_queries(1):
        assert tombstones.sift(world, [event] * 3) == [event] * 3


def test_a_table_that_no_store_reaches_fails_the_check():
    line = Kept("calls.Connection", Lifetime.CONFIGURATION, people=("name",))
    assert [one.id for one in problems_of([line], [Connection])] == ["retention.E007"]
