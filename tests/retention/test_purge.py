"""What has had its time goes, and nothing else."""

import datetime as dt
import hashlib
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from agents.models import StatusChange
from analytics.erasure import COUNTS
from analytics.models import CallInterval, CallTotal, GroupTotal, QueueInterval, QueueTotal
from analytics.rollup import drain_stale_slots
from callcenter_site.slots import slot_of
from calls import erasure
from calls.ingest import accept_events, fold_due
from calls.models import (
    Call,
    CallEvent,
    CallLeg,
    CallSeenBy,
    IvrStep,
    QueueEntry,
    Recording,
    StaleCallSlot,
    Tombstone,
    UnknownName,
    Voicemail,
)
from calls.tombstones import plant
from retention import clock, holds, outbox, purge, replica
from retention.models import FileDeletion, LedgerEntry, LegalHold, PurgeRun, StoragePlan
from retention.policy import cutoff
from retention.tasks import purge_expired
from tests.factories import (
    AccountFactory,
    AgentFactory,
    CallFactory,
    CallLegFactory,
    IvrStepFactory,
    QueueEntryFactory,
    RecordingFactory,
    SkillGroupFactory,
    VoicemailFactory,
)

AT = dt.datetime(2026, 7, 16, 2, 0, tzinfo=dt.UTC)
LAST_EXPIRED = dt.date(2026, 1, 15)
FIRST_KEPT = dt.date(2026, 1, 16)
CALL_TABLES = (Call, CallLeg, QueueEntry, IvrStep, Recording, Voicemail, CallEvent)


def moment(day, hour=12, zone="Asia/Shanghai"):
    return dt.datetime.combine(day, dt.time(hour), ZoneInfo(zone))


def whole_call(account, ended_on, **fields):
    """A call with something of everything below it, that ended on a local day."""
    zone = account.time_zone
    call = CallFactory(account=account, started_at=moment(ended_on, zone=zone), **fields)
    assert call.ended_on == ended_on
    group = SkillGroupFactory(account=account)
    CallLegFactory(call=call, skill_group=group)
    CallLegFactory(call=call, skill_group=group)
    QueueEntryFactory(call=call, skill_group=group)
    IvrStepFactory(call=call)
    RecordingFactory(call=call)
    VoicemailFactory(call=call)
    event(call, "call.started")
    return call


def event(call, event_type, *, state="folded", received_at=None, key=""):
    return CallEvent.objects.create(
        account=call.account,
        event_key=hashlib.sha256(f"{call.pk}{event_type}{key}".encode()).digest(),
        body_hash=b"\0" * 32,
        call_key=call.call_key,
        source="test",
        event_id=f"{call.pk}{event_type}{key}",
        type=event_type,
        subject=call.call_id,
        occurred_at=call.started_at,
        received_at=received_at or call.started_at,
        state=state,
        data={"calling_number": call.calling_number},
    )


TRACES = ("retention.PurgeRun", "retention.LedgerEntry", "retention.LedgerHead", "retention.AccountGate")


def rows(*, without=TRACES):
    """Every row of every table of ours, as it stands."""
    return {
        model._meta.label: sorted(map(repr, model._base_manager.values_list()))
        for model in apps.get_models()
        if model._meta.app_label in ("configuration", "agents", "calls", "analytics", "retention")
        and model._meta.label not in without
    }


def files(*calls):
    """Names of the stored sounds of these calls, or of all."""
    found = [model.objects.filter(call__in=calls) if calls else model.objects.all() for model in (Recording, Voicemail)]
    return {name for rows in found for name in rows.values_list("key", flat=True)}


def below(call):
    return {model: model.objects.filter(call=call).count() for model in CALL_TABLES[1:6]}


@pytest.fixture
def account(db):
    return AccountFactory(time_zone="Asia/Shanghai")


# --- Exactly at the cutoff -------------------------------------------------------------------------------------------


def test_a_tombstone_goes_when_whatever_it_could_keep_out_has_expired_as_well(account):
    expired, kept = moment(LAST_EXPIRED, 23), moment(FIRST_KEPT, 0)
    for n, up_to in enumerate((expired, kept)):
        plant(account.pk, Tombstone.Kind.NUMBER, [f"+861390013900{n}"], up_to=up_to)
    run = purge.purge_account(account=account, at=AT)
    assert Tombstone.objects.get().up_to == kept and run.counts["tombstones"] == 1


def test_a_call_goes_the_day_after_its_six_months_with_all_below_it(account):
    expired, kept = whole_call(account, LAST_EXPIRED), whole_call(account, FIRST_KEPT)
    keys = {call: files(call) for call in (expired, kept)}
    run = purge.purge_account(account=account, at=AT)
    assert list(Call.objects.all()) == [kept]
    assert below(kept) == {CallLeg: 2, QueueEntry: 1, IvrStep: 1, Recording: 1, Voicemail: 1}
    assert all(model.objects.exclude(call=kept).count() == 0 for model in CALL_TABLES[1:6])
    assert outbox.work(at=AT) == (2, 0, 0)
    assert {default_storage.exists(key) for key in keys[expired]} == {False}
    assert {default_storage.exists(key) for key in keys[kept]} == {True}
    run.refresh_from_db()
    assert run.counts == {
        "calls": 1,
        "legs": 2,
        "queue_entries": 1,
        "ivr_steps": 1,
        "recordings": 1,
        "voicemail": 1,
        "files": 2,
        "events": 2,  # one with its call, one of the call that stays, which is sealed
        "sealed": 1,
    }
    assert (run.state, run.cutoff, run.error) == ("done", LAST_EXPIRED, "")


def test_on_the_last_day_a_call_is_still_there(account):
    whole_call(account, LAST_EXPIRED, sealed_at=AT)
    CallEvent.objects.all().delete()
    before = rows()
    one_day_earlier = moment(dt.date(2026, 7, 15), 23)
    assert purge.purge_account(account=account, at=one_day_earlier).counts == {}
    assert rows() == before


def test_the_day_turns_in_the_accounts_zone(account):
    west = AccountFactory(time_zone="Pacific/Honolulu")
    for owner in (account, west):
        whole_call(owner, LAST_EXPIRED)
    at = dt.datetime(2026, 7, 15, 16, 30, tzinfo=dt.UTC)  # the 16th in Shanghai, the 15th in Honolulu
    purge.purge_due(at=at)
    assert [call.account for call in Call.objects.all()] == [west]


def test_an_open_call_never_goes_however_old(account):
    CallFactory(account=account, open=True, started_at=AT - dt.timedelta(days=900))
    assert purge.purge_account(account=account, at=AT).counts == {}
    assert Call.objects.count() == 1


# --- Again, cut off, together ----------------------------------------------------------------------------------------


def test_a_second_run_finds_nothing(account):
    whole_call(account, LAST_EXPIRED)
    purge.purge_account(account=account, at=AT)
    before = rows()
    assert purge.purge_account(account=account, at=AT).counts == {}
    assert rows() == before


LINES = {
    "its look": (holds, "look"),
    "the next calls": (erasure, "next_calls"),
    "a row deleted": (erasure, "delete_rows"),
    "calls erased": (erasure, "erase_calls"),
    "its files put out": (outbox, "put"),
    "the end of the batch": (purge._Work, "_now"),
}


@pytest.mark.parametrize("place", LINES)
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_run_killed_at_each_line_of_a_batch_is_taken_up_and_counts_each_row_once(account, monkeypatch, place, is_after):
    """Killed the first time each line is reached, the second time, and so on, until it gets through."""
    monkeypatch.setattr(purge, "LEAST", 2)
    monkeypatch.setattr(purge, "MOST", 2)
    expired = [whole_call(account, LAST_EXPIRED) for _ in range(5)]
    kept = whole_call(account, FIRST_KEPT)
    keys = files(*expired)
    where, name = LINES[place]
    real = getattr(where, name)
    n_kills = 0
    for n in range(60):
        n_reached = 0

        def cut(*args, __at=n, **kwargs):
            nonlocal n_reached
            n_reached += 1
            if not is_after and n_reached == __at % 9 + 1:
                raise KeyboardInterrupt
            result = real(*args, **kwargs)
            if is_after and n_reached == __at % 9 + 1:
                raise KeyboardInterrupt
            return result

        with monkeypatch.context() as patch:
            patch.setattr(where, name, cut)
            try:
                run = purge.purge_account(account=account, at=AT + dt.timedelta(minutes=11 * n))
            except KeyboardInterrupt:
                n_kills += 1
                continue
        break
    else:
        run = purge.purge_account(account=account, at=AT + dt.timedelta(minutes=671))
    assert n_kills
    assert list(Call.objects.all()) == [kept]
    assert below(kept) == {CallLeg: 2, QueueEntry: 1, IvrStep: 1, Recording: 1, Voicemail: 1}
    assert (run.state, run.step, run.cursor) == ("done", "", [])
    assert PurgeRun.objects.count() == 1
    counts = run.counts
    assert (counts["calls"], counts["legs"], counts["recordings"], counts["files"]) == (5, 10, 5, 10)
    assert (counts["events"], counts["sealed"]) == (6, 1)
    assert {row.key for row in FileDeletion.objects.all()} == keys
    assert outbox.work(at=AT + dt.timedelta(days=9)).n_deleted == 10
    assert {default_storage.exists(key) for key in keys} == {False}


def test_two_at_once_do_no_harm(account, monkeypatch):
    """The second finds the first at work, and leaves it alone."""
    for _ in range(3):
        whole_call(account, LAST_EXPIRED)
    real, inner = erasure.next_calls, []

    def meanwhile(*args, **kwargs):
        if not inner:
            inner.append(None)
            inner.append(purge.purge_account(account=account, at=AT))
        return real(*args, **kwargs)

    monkeypatch.setattr(erasure, "next_calls", meanwhile)
    outer = purge.purge_account(account=account, at=AT)
    assert inner[1] == outer
    assert outer.counts["calls"] == 3
    assert [run.state for run in PurgeRun.objects.all()] == ["done"]
    assert all(not model.objects.exists() for model in CALL_TABLES)


def test_a_worker_that_was_thought_dead_deletes_nothing_more(account, monkeypatch):
    """It slept for long; another took its run up and finished it."""
    monkeypatch.setattr(purge, "LEAST", 2)
    monkeypatch.setattr(purge, "MOST", 2)
    for _ in range(5):
        whole_call(account, LAST_EXPIRED)
    other = []

    def slept():
        """Between two batches."""
        if not other and PurgeRun.objects.get().step == "calls":
            other.append(None)
            other.append(purge.purge_account(account=account, at=AT + dt.timedelta(minutes=11)))
        return True

    monkeypatch.setattr(replica, "wait_until_close", slept)
    sleeper = purge.purge_account(account=account, at=AT)
    assert other[1].counts["calls"] == 5
    assert (sleeper.state, sleeper.counts["calls"], sleeper.lease) == ("done", 5, 2)
    assert PurgeRun.objects.count() == 1
    assert LedgerEntry.objects.filter(kind="purge").count() == 1


def test_a_call_that_no_longer_fits_stays_whole(account, monkeypatch):
    """Heard of again between the look and the deletes: its end moved."""
    call = whole_call(account, LAST_EXPIRED)
    real = erasure.next_calls

    def then_moved(*args, **arguments):
        found = real(*args, **arguments)
        Call.objects.filter(pk=call.pk).update(ended_on=FIRST_KEPT)
        return found

    monkeypatch.setattr(erasure, "next_calls", then_moved)
    assert "calls" not in purge.purge_account(account=account, at=AT).counts
    assert below(call) == {CallLeg: 2, QueueEntry: 1, IvrStep: 1, Recording: 1, Voicemail: 1}


def test_calls_that_stay_between_calls_that_go_lose_nothing(account):
    """Of the same account, of another, and one that goes on; and an expired one of a later day that lies among them."""
    other = AccountFactory(time_zone="Asia/Shanghai")
    days = [LAST_EXPIRED - dt.timedelta(days=1), LAST_EXPIRED]
    for n in range(4):
        whole_call(account, days[n % 2])
    theirs = whole_call(other, LAST_EXPIRED)
    for n in range(4):
        whole_call(account, days[n % 2])
    kept = whole_call(account, FIRST_KEPT)
    whole_call(account, days[0])
    going_on = CallFactory(account=account, open=True)
    whole_call(account, days[1])
    run = purge.purge_account(account=account, at=AT)
    assert set(Call.objects.all()) == {theirs, kept, going_on}
    assert below(kept) == below(theirs) == {CallLeg: 2, QueueEntry: 1, IvrStep: 1, Recording: 1, Voicemail: 1}
    assert {model.objects.count() for model in CALL_TABLES[2:6]} == {2}
    assert (run.counts["calls"], run.counts["legs"], run.counts["files"]) == (10, 20, 20)
    assert {row.key for row in FileDeletion.objects.all()}.isdisjoint(files())


def test_a_call_that_comes_into_the_stretch_meanwhile_keeps_what_is_below_it(account, monkeypatch):
    """Imported with an id that was given out before, between the look and the deletes."""
    calls = [whole_call(account, LAST_EXPIRED) for _ in range(4)]
    late_id = calls[1].pk
    whole = dict(Call.objects.filter(pk=late_id).values().get(), ended_on=FIRST_KEPT)
    for model in (CallLeg, QueueEntry, IvrStep, Recording, Voicemail, CallSeenBy):
        model.objects.filter(call_id=late_id).delete()
    Call.objects.filter(pk=late_id).delete()
    real, came = erasure._lock, []

    def then_comes(*args):
        found = real(*args)
        if not came:
            came.append(Call.objects.create(**whole))
            CallLegFactory(call=came[0])
        return found

    monkeypatch.setattr(erasure, "_lock", then_comes)
    run = purge.purge_account(account=account, at=AT)
    assert run.state == "done" and run.counts["calls"] == 3
    left = list(Call.objects.values_list("pk", flat=True))
    # Where all is one transaction, as on SQLite, what came in it was rolled back with it.
    assert left in ([], [late_id])
    assert not CallLeg.objects.exclude(call_id__in=left).exists()


def test_another_account_is_not_touched(account):
    other = AccountFactory(time_zone="Asia/Shanghai")
    whole_call(account, LAST_EXPIRED)
    theirs = whole_call(other, LAST_EXPIRED)
    StatusChange.objects.create(
        account=other,
        agent=AgentFactory(account=other),
        status="busy",
        started_at=moment(LAST_EXPIRED, 1),
        ended_at=moment(LAST_EXPIRED, 2),
        change_key=b"\1" * 32,
    )
    purge.purge_account(account=account, at=AT)
    assert list(Call.objects.all()) == [theirs]
    assert below(theirs) == {CallLeg: 2, QueueEntry: 1, IvrStep: 1, Recording: 1, Voicemail: 1}
    assert {model.objects.count() for model in (StatusChange, CallEvent)} == {1}
    assert {default_storage.exists(key) for key in files()} == {True}


# --- Files -----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_gone_already_holds_nothing_up(account):
    call = whole_call(account, LAST_EXPIRED)
    default_storage.delete(call.recordings.get().key)
    purge.purge_account(account=account, at=AT)
    assert not Call.objects.exists()


def test_a_file_stored_while_its_call_is_erased_is_not_left_without_a_name(account, monkeypatch):
    call = whole_call(account, LAST_EXPIRED)
    real = erasure.next_calls

    def then_stored(*args, **kwargs):
        found = real(*args, **kwargs)
        new = default_storage.save("audio/late", ContentFile(b"late"))
        Recording.objects.filter(call=call).update(key=new)
        return found

    monkeypatch.setattr(erasure, "next_calls", then_stored)
    purge.purge_account(account=account, at=AT)
    assert not Call.objects.exists()
    outbox.work(at=AT)
    assert not default_storage.exists("audio/late")


def test_a_batch_that_is_rolled_back_names_no_file(account, monkeypatch):
    call = whole_call(account, LAST_EXPIRED)
    keys = files(call)

    def fail(*args, **kwargs):
        raise RuntimeError

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        real = outbox.put
        patch.setattr(outbox, "put", lambda **kwargs: (real(**kwargs), fail()))
        purge.purge_account(account=account, at=AT)
    assert not FileDeletion.objects.exists()
    assert files(call) == keys
    assert outbox.work(at=AT) == (0, 0, 0)
    assert {default_storage.exists(key) for key in keys} == {True}


# --- Holds, plans, brakes --------------------------------------------------------------------------------------------


def place(account, kind, calls=(), **fields):
    hold = LegalHold(account=account, kind=kind, reference="7/26", **fields)
    hold.clean()
    return holds.place(hold=hold, calls=calls, by=None, at=AT)


def test_what_a_hold_names_stays_whole_and_goes_by_itself_once_it_is_released(account):
    held, goes = whole_call(account, LAST_EXPIRED, calling_number="+8613911112222"), whole_call(account, LAST_EXPIRED)
    hold = place(account, "number", number="139 1111 2222")
    purge.purge_due(at=AT)
    assert list(Call.objects.all()) == [held]
    assert below(held) == {CallLeg: 2, QueueEntry: 1, IvrStep: 1, Recording: 1, Voicemail: 1}
    assert CallEvent.objects.filter(call_key=held.call_key).exists()
    assert not CallEvent.objects.filter(call_key=goes.call_key).exists()
    later = AT + dt.timedelta(hours=1)
    assert purge.purge_due(at=later) == []
    holds.release(hold=hold, by=None, at=later)
    purge.purge_due(at=later + dt.timedelta(minutes=1))
    assert not Call.objects.exists()


def test_a_hold_keeps_the_raw_events_of_its_calls(account):
    calls = [CallFactory(account=account, started_at=CLOSED) for _ in range(2)]
    for call in calls:
        event(call, "call.started")
    place(account, "calls", calls=calls[:1])
    assert purge.purge_account(account=account, at=AT).counts == {"events": 1, "sealed": 1}
    assert CallEvent.objects.get().call_key == calls[0].call_key


def test_under_a_hold_on_the_account_nothing_at_all_goes(account):
    other = AccountFactory(time_zone="Asia/Shanghai")
    for owner in (account, other):
        whole_call(owner, LAST_EXPIRED)
        CallTotal.objects.create(account=owner, slot=moment(LAST_EXPIRED))
    place(account, "account")
    runs = {run.account: run for run in purge.purge_due(at=AT)}
    assert (runs[account].counts, runs[account].error) == ({}, purge.UNDER_HOLD)
    assert {call.account for call in Call.objects.all()} == {row.account for row in CallTotal.objects.all()} == {account}


def test_a_hold_on_days_keeps_what_is_of_those_days_of_every_kind(account):
    agent = AgentFactory(account=account)
    days = [LAST_EXPIRED - dt.timedelta(days=n) for n in (2, 1, 0)]
    for n, day in enumerate(days):
        whole_call(account, day)
        CallTotal.objects.create(account=account, slot=moment(day, 0))
        StatusChange.objects.create(
            account=account,
            agent=agent,
            status="busy",
            started_at=moment(day, 1),
            ended_at=moment(day, 2),
            change_key=bytes([n]) * 32,
        )
    place(account, "days", from_day=days[1], to_day=days[1])
    purge.purge_account(account=account, at=AT)
    assert [call.ended_on for call in Call.objects.all()] == [days[1]]
    assert [row.slot for row in CallTotal.objects.all()] == [moment(days[1], 0)]
    assert [row.ended_at for row in StatusChange.objects.all()] == [moment(days[1], 2)]


def test_a_hold_on_an_agent_keeps_their_status_changes(account):
    held, other = AgentFactory(account=account), AgentFactory(account=account)
    for n, agent in enumerate((held, other)):
        StatusChange.objects.create(
            account=account,
            agent=agent,
            status="busy",
            started_at=moment(LAST_EXPIRED, 1),
            ended_at=moment(LAST_EXPIRED, 2),
            change_key=bytes([n]) * 32,
        )
    place(account, "agent", agent=held)
    assert purge.purge_account(account=account, at=AT).counts == {"status_changes": 1}
    assert [row.agent for row in StatusChange.objects.all()] == [held]


def test_a_hold_placed_between_two_batches_is_seen_by_the_next(account, monkeypatch):
    monkeypatch.setattr(purge, "LEAST", 1)
    monkeypatch.setattr(purge, "MOST", 1)
    calls = [whole_call(account, LAST_EXPIRED) for _ in range(3)]
    real, n = purge._Work._walk, []

    def batch(self, step, after, do):
        if step == "calls" and len(n) == 0 and after:
            n.append(place(account, "calls", calls=calls[1:2]))
        return real_batch(self, step, after, do)

    real_batch = purge._Work._one_batch
    assert real
    monkeypatch.setattr(purge._Work, "_one_batch", batch)
    purge.purge_account(account=account, at=AT)
    assert list(Call.objects.all()) == [calls[1]]


def test_a_plan_keeps_calls_from_its_first_day(account):
    call = whole_call(account, LAST_EXPIRED, sealed_at=AT)
    StoragePlan.objects.create(account=account, months=12, from_day=AT.date())
    purge.purge_account(account=account, at=AT)
    assert Call.objects.filter(pk=call.pk).exists()


def test_a_run_that_would_take_far_more_than_usual_waits_until_it_is_confirmed(account, monkeypatch):
    monkeypatch.setattr(purge, "ALWAYS_ALLOWED", 2)
    calls = [whole_call(account, LAST_EXPIRED) for _ in range(5)] + [whole_call(account, FIRST_KEPT)]
    chief = AgentFactory(account=account)
    (run,) = purge.purge_due(at=AT)
    assert (run.state, run.n_due, run.error) == ("waiting", 5, purge.FAR_MORE)
    assert Call.objects.count() == 6
    later = AT + dt.timedelta(hours=1)
    (again,) = purge.purge_due(at=later)
    assert (again, again.state) == (run, "waiting")  # it is one run that waits, not one an hour
    assert purge.confirm(run=run, by=chief, at=later)
    assert not purge.confirm(run=run, by=chief, at=later)
    (done,) = purge.purge_due(at=later)
    assert (done, done.state, done.counts["calls"], done.confirmed_by) == (run, "done", 5, chief)
    assert list(Call.objects.all()) == calls[5:]


def test_what_was_confirmed_is_no_leave_for_far_more(account, monkeypatch):
    monkeypatch.setattr(purge, "ALWAYS_ALLOWED", 2)
    for _ in range(5):
        whole_call(account, LAST_EXPIRED)
    (run,) = purge.purge_due(at=AT)
    purge.confirm(run=run, by=None, at=AT)
    for _ in range(5):
        whole_call(account, LAST_EXPIRED)
    (again,) = purge.purge_due(at=AT + dt.timedelta(hours=1))
    assert (again.state, again.n_due, again.confirmed_at) == ("waiting", 10, None)
    assert Call.objects.count() == 10


def test_three_times_the_usual_is_allowed_and_days_without_a_run_count(account, monkeypatch):
    monkeypatch.setattr(purge, "ALWAYS_ALLOWED", 1)
    monkeypatch.setattr(purge, "SHARE", 1)
    for _ in range(4):
        CallFactory(account=account)
    yesterday, before = AT - dt.timedelta(days=1), AT - dt.timedelta(days=5)
    run = PurgeRun.objects.create(account=account, started_at=yesterday, state="done", counts={"calls": 1})
    assert purge.n_allowed(account, at=AT) == 3
    PurgeRun.objects.filter(pk=run.pk).update(started_at=before)
    assert purge.n_allowed(account, at=AT) == 4  # of five days fifteen, but there are four


def test_switched_off_a_run_stops_before_its_next_batch_and_goes_on_where_it_was(account, monkeypatch):
    monkeypatch.setattr(purge, "LEAST", 1)
    monkeypatch.setattr(purge, "MOST", 1)
    for _ in range(3):
        whole_call(account, LAST_EXPIRED)
    real = erasure.erase_calls

    def then_off(**arguments):
        purge.switch(account=account, is_on=False, at=AT)
        return real(**arguments)

    with monkeypatch.context() as patch:
        patch.setattr(erasure, "erase_calls", then_off)
        run = purge.purge_account(account=account, at=AT)
    assert (run.state, run.step, run.counts["calls"]) == ("stopped", "calls", 1)
    assert purge.purge_due(at=AT + dt.timedelta(hours=1)) == []
    assert Call.objects.count() == 2
    purge.switch(account=account, is_on=True, at=AT)
    (done,) = purge.purge_due(at=AT + dt.timedelta(hours=2))
    assert (done, done.state, done.counts["calls"]) == (run, "done", 3)


def test_the_operators_switch_in_the_timetable_stops_every_account(account):
    whole_call(account, LAST_EXPIRED)
    every_hour = IntervalSchedule.objects.create(every=1, period="hours")
    job = PeriodicTask.objects.create(
        name="purge_expired", task="retention.tasks.purge_expired", interval=every_hour, enabled=False
    )
    assert purge.purge_due(at=AT) == []
    assert purge.purge_account(account=account, at=AT).state == "stopped"
    assert Call.objects.count() == 1
    PeriodicTask.objects.filter(pk=job.pk).update(enabled=True)
    assert [run.state for run in purge.purge_due(at=AT)] == ["done"]


def test_a_machine_whose_clock_is_wrong_does_not_delete(account, monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(clock, "_now_of_database", lambda: now - dt.timedelta(minutes=6))
    with pytest.raises(clock.ClocksDiffer):
        purge_expired()
    monkeypatch.setattr(clock, "_now_of_database", lambda: now - dt.timedelta(minutes=4))
    assert clock.time_of_run() == now - dt.timedelta(minutes=4)


@pytest.mark.parametrize(("behind", "state"), [(3.0, "done"), (None, "stopped"), (60.0, "stopped")])
def test_a_replica_that_is_behind_or_does_not_say_holds_the_purge_up(account, monkeypatch, settings, behind, state):
    whole_call(account, LAST_EXPIRED)
    monkeypatch.setattr(replica, "WAIT_SECONDS", 0)
    monkeypatch.setattr(replica, "seconds_behind", lambda: behind)
    assert replica.wait_until_close()  # there is none
    monkeypatch.setattr(replica, "settings", type("S", (), {"DATABASES": {"default": {}, "replica": {}}}))
    assert purge.purge_account(account=account, at=AT).state == state
    assert Call.objects.exists() == (state != "done")


def test_after_an_outage_everything_that_expired_meanwhile_goes(account):
    for n in range(20):
        whole_call(account, LAST_EXPIRED - dt.timedelta(days=n))
    assert purge.purge_account(account=account, at=AT).counts["calls"] == 20


def test_what_went_is_in_the_ledger(account):
    whole_call(account, LAST_EXPIRED)
    run = purge.purge_account(account=account, at=AT)
    entry = LedgerEntry.objects.get()
    assert (entry.kind, entry.account, entry.counts) == ("purge", account, {"run": run.pk, **run.counts})


# --- Raw events ------------------------------------------------------------------------------------------------------

CLOSED = AT - dt.timedelta(days=8)


def test_raw_events_go_a_week_after_their_call_closed_and_the_record_is_sealed(account):
    call = CallFactory(account=account, started_at=CLOSED)
    event(call, "call.started")
    event(call, "call.ended")
    run = purge.purge_account(account=account, at=AT)
    assert not CallEvent.objects.exists()
    call.refresh_from_db()
    assert call.sealed_at == AT
    assert run.counts == {"events": 2, "sealed": 1}


def test_exactly_a_week_is_not_more_than_a_week(account):
    call = CallFactory(account=account, started_at=CLOSED, ended_at=AT - dt.timedelta(days=7))
    event(call, "call.started")
    assert purge.purge_account(account=account, at=AT).counts == {}
    assert purge.purge_account(account=account, at=AT + dt.timedelta(seconds=1)).counts == {"events": 1, "sealed": 1}


@pytest.mark.parametrize("state", ["pending", "dead", "unmatched"])
def test_an_event_that_is_not_in_the_record_yet_holds_its_whole_call_back(account, state):
    call = CallFactory(account=account, started_at=CLOSED)
    event(call, "call.started")
    event(call, "call.rated", state=state)
    assert purge.purge_account(account=account, at=AT).counts == {}
    call.refresh_from_db()
    assert (call.sealed_at, CallEvent.objects.count()) == (None, 2)


def test_a_call_that_was_imported_yesterday_keeps_its_events_for_a_week(account):
    call = CallFactory(account=account, started_at=CLOSED)
    event(call, "call.started", received_at=AT - dt.timedelta(days=1))
    assert purge.purge_account(account=account, at=AT).counts == {}


def test_an_open_call_keeps_its_events(account):
    call = CallFactory(account=account, started_at=CLOSED, open=True)
    event(call, "call.started")
    assert purge.purge_account(account=account, at=AT).counts == {}


def test_events_of_agents_go_by_themselves(account):
    AgentFactory(account=account, staff_id="7")
    item = {
        "id": "1",
        "source": "test",
        "type": "agent.status_changed",
        "subject": "7",
        "time": CLOSED.isoformat(),
        "data": {"agent": "7", "status": "available"},
    }
    accept_events(account=account, items=[item], at=CLOSED)
    fold_due(at=CLOSED)
    assert purge.purge_account(account=account, at=AT).counts == {"events": 1}
    assert StatusChange.objects.count() == 1


def test_an_agent_who_works_every_day_does_not_hold_back_their_events_of_before(account):
    agent = AgentFactory(account=account, staff_id="7")
    days = [AT - dt.timedelta(days=n) for n in reversed(range(31))]
    for n, day in enumerate(days):
        item = {
            "id": str(n),
            "source": "test",
            "type": "agent.status_changed",
            "subject": "7",
            "time": day.isoformat(),
            "data": {"agent": "7", "status": "available" if n % 2 else "break"},
        }
        accept_events(account=account, items=[item], at=day)
    fold_due(at=AT)
    # A call that the platform happens to call by the same name keeps to its own rule.
    call = CallFactory(account=account, call_id="7", started_at=days[0], open=True)
    event(call, "call.started")
    waiting = CallEvent.objects.get(type="call.started")
    assert purge.purge_account(account=account, at=AT).counts == {"events": 23}
    kept = CallEvent.objects.exclude(pk=waiting.pk).order_by("received_at")
    assert list(kept.values_list("received_at", flat=True)) == days[-8:]  # exactly a week is not more than a week
    assert CallEvent.objects.filter(pk=waiting.pk).exists()
    assert StatusChange.objects.filter(agent=agent).count() == 31
    assert purge.purge_account(account=account, at=AT).counts == {}


@pytest.mark.parametrize("state", ["pending", "unmatched"])
def test_an_agents_event_that_is_not_in_the_record_yet_stays(account, state):
    call = CallFactory.build(account=account, pk=0, started_at=CLOSED)
    event(call, "agent.status_changed", state=state)
    assert purge.purge_account(account=account, at=AT).counts == {}


def test_many_small_batches_forget_every_agents_event(account, monkeypatch):
    monkeypatch.setattr(purge, "LEAST", 3)
    monkeypatch.setattr(purge, "MOST", 3)
    call = CallFactory.build(account=account, pk=0, started_at=CLOSED)
    for n in range(10):
        event(call, "agent.status_changed", key=str(n))
    assert purge.purge_account(account=account, at=AT).counts == {"events": 10}


def test_an_event_that_never_got_into_a_record_goes_with_the_calls_of_its_day(account):
    call = CallFactory.build(account=account, pk=0, started_at=moment(LAST_EXPIRED))
    event(call, "call.started", state="dead")
    event(call, "call.ended", state="dead", received_at=moment(FIRST_KEPT, 0))
    assert purge.purge_account(account=account, at=AT).counts == {"events": 1}
    assert CallEvent.objects.get().type == "call.ended"


def test_many_small_batches_seal_every_call(account, monkeypatch):
    monkeypatch.setattr(purge, "LEAST", 3)
    monkeypatch.setattr(purge, "MOST", 3)
    made = [CallFactory(account=account, started_at=CLOSED) for _ in range(8)]
    for name in ("call.started", "call.answered", "call.ended"):  # the events of a call lie apart
        for call in made:
            event(call, name)
    assert purge.purge_account(account=account, at=AT).counts == {"events": 24, "sealed": 8}


# --- Figures, statuses, marks ----------------------------------------------------------------------------------------


def test_erasing_a_call_does_not_uncount_it_and_figures_go_by_their_own_day(account):
    def items(name, at):
        return [
            {"id": f"{name}{n}", "source": "test", "type": kind, "subject": name, "time": time.isoformat(), "data": data}
            for n, (kind, time, data) in enumerate(
                [
                    ("call.started", at, {"direction": "inbound", "calling_number": "+8613800138000", "called_number": "1"}),
                    ("call.queued", at, {"skill_group": "sales"}),
                    ("call.ended", at + dt.timedelta(minutes=20), {"party": "customer"}),
                ]
            )
        ]

    evening = dt.datetime(2026, 1, 15, 23, 50, tzinfo=ZoneInfo("Asia/Shanghai"))  # ends after midnight: kept a day longer
    accept_events(account=account, items=items("a", moment(LAST_EXPIRED)) + items("b", evening), at=evening)
    while fold_due(at=AT):
        pass
    while drain_stale_slots(at=AT):
        pass
    counts = (CallInterval, CallTotal, QueueInterval, GroupTotal, QueueTotal)
    assert {model.objects.count() for model in counts} == {2}
    before = {model: sorted(map(repr, model.objects.values_list())) for model in counts}

    due = erasure.ended_calls(account=account, up_to=LAST_EXPIRED)
    gone, _ = erasure.erase_calls(account=account, calls=due, ids=[Call.objects.get(call_id="a").pk])
    assert gone["calls"] == 1
    assert not StaleCallSlot.objects.exists()
    while drain_stale_slots(at=AT):
        pass
    assert {model: sorted(map(repr, model.objects.values_list())) for model in counts} == before

    n_rows = sum(model.objects.count() for model in COUNTS)
    run = purge.purge_account(account=account, at=AT)
    assert run.counts["intervals"] == n_rows > 10
    assert not any(model.objects.exists() for model in COUNTS)
    assert [call.call_id for call in Call.objects.all()] == ["b"]
    assert not StaleCallSlot.objects.exists()


def test_figures_of_the_first_day_kept_stay_from_its_first_slot(account):
    first = slot_of(moment(FIRST_KEPT, 0))
    for slot in (first - dt.timedelta(minutes=15), first):
        CallTotal.objects.create(account=account, slot=slot)
        StaleCallSlot.objects.create(account=account, slot=slot)
    assert purge.purge_account(account=account, at=AT).counts == {"intervals": 1, "marks": 1}
    for model in (CallTotal, StaleCallSlot):
        assert [row.slot for row in model.objects.all()] == [first]


def test_status_changes_go_by_the_day_they_ended_and_open_ones_stay(account):
    agent = AgentFactory(account=account)
    midnight = moment(FIRST_KEPT, 0)
    starts = [midnight - dt.timedelta(days=2), midnight - dt.timedelta(days=1), midnight - dt.timedelta(seconds=1), midnight]
    for n, (start, end) in enumerate(zip(starts, [*starts[1:], None], strict=True)):
        StatusChange.objects.create(
            account=account, agent=agent, status="busy", started_at=start, ended_at=end, change_key=bytes([n]) * 32
        )
    assert purge.purge_account(account=account, at=AT).counts == {"status_changes": 2}
    assert [row.ended_at for row in StatusChange.objects.order_by("started_at")] == [midnight, None]


def test_an_unknown_name_stays_as_long_as_a_call_mentions_it(account):
    call = CallFactory(account=account, started_at=moment(FIRST_KEPT))
    CallLegFactory(call=call, agent=None, agent_reference="still there")
    for name in ("still there", "long gone"):
        UnknownName.objects.create(
            account=account,
            kind="agent",
            name=name,
            name_hash=hashlib.sha256(name.encode()).digest(),
            first_seen_at=moment(LAST_EXPIRED),
        )
    assert purge.purge_account(account=account, at=AT).counts == {"unknown_names": 1}
    assert UnknownName.objects.get().name == "still there"


# --- Dry run, command, job -------------------------------------------------------------------------------------------


def test_a_dry_run_counts_the_same_and_deletes_nothing(account, monkeypatch):
    monkeypatch.setattr(purge, "LEAST", 2)
    for _ in range(5):
        whole_call(account, LAST_EXPIRED)
    kept = [whole_call(account, FIRST_KEPT) for _ in range(3)]
    for call in kept:  # the events of a call lie in several batches
        event(call, "call.ended")
    CallTotal.objects.create(account=account, slot=moment(LAST_EXPIRED))
    before, keys = rows(without=()), files()
    would = purge.purge_account(account=account, at=AT, is_dry_run=True).counts
    assert rows(without=()) == before
    assert {default_storage.exists(key) for key in keys} == {True}
    assert would == purge.purge_account(account=account, at=AT).counts
    assert (would["calls"], would["sealed"]) == (5, 3)


def test_the_command_says_in_words_what_went(account, capsys):
    whole_call(account, dt.date(2020, 1, 31))
    call_command("purge_expired", "--dry-run", "--account", account.slug)
    assert "would delete 1 call, 2 legs, 1 queue entry, 1 IVR step, 1 recording" in capsys.readouterr().out
    assert Call.objects.count() == 1
    call_command("purge_expired")
    assert "deleted 1 call, 2 legs" in capsys.readouterr().out
    call_command("purge_expired")
    assert "nothing was due" in capsys.readouterr().out


def test_the_command_names_an_account_that_is_not_there(db):
    with pytest.raises(CommandError, match="'nowhere'"):
        call_command("purge_expired", "--account", "nowhere")


def test_the_job_purges_each_account_once_a_local_day(account, django_assert_max_num_queries):
    assert [run.account for run in purge.purge_due(at=AT)] == [account]
    with django_assert_max_num_queries(14):
        assert purge.purge_due(at=AT + dt.timedelta(hours=1)) == []
    assert len(purge.purge_due(at=AT + dt.timedelta(days=1))) == 1
    assert PurgeRun.objects.count() == 2


def test_the_job_takes_up_what_went_silent_and_leaves_alone_what_is_running(account):
    running = PurgeRun.objects.create(account=account, started_at=AT, heartbeat_at=AT)
    assert purge.purge_due(at=AT + dt.timedelta(minutes=5)) == []
    assert purge.purge_due(at=AT + dt.timedelta(minutes=30)) == [running]
    running.refresh_from_db()
    assert (running.state, running.lease) == ("done", 1)


def test_one_account_that_fails_does_not_keep_the_others_waiting(account, monkeypatch):
    other = AccountFactory()
    whole_call(account, LAST_EXPIRED)
    whole_call(other, cutoff(other, at=AT))
    real = erasure.erase_calls

    def fail(**arguments):
        if arguments["account"] == account:
            raise RuntimeError("+8613800138000")
        return real(**arguments)

    monkeypatch.setattr(erasure, "erase_calls", fail)
    assert [run.account for run in purge.purge_due(at=AT)] == [other]
    failed = PurgeRun.objects.get(account=account)
    assert (failed.state, failed.error) == ("failed", "RuntimeError; the next run goes on")


def test_the_task_runs_the_purge(account):
    purge_expired()
    assert PurgeRun.objects.get().state == "done"
