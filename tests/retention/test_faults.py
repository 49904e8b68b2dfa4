"""What goes wrong outside of the portal: workers that die, run twice or meet; a store that refuses; clocks and calendars.

Those who meet are threads with connections of their own, which SQLite in memory does not have.
"""

import datetime as dt
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as portal
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection

from analytics.models import CallTotal
from callcenter_site.transactions import again_on_deadlock
from calls.models import Call, CallEvent, CallLeg, IvrStep, QueueEntry, Recording, Voicemail
from configuration.models import Role
from retention import deletion, outbox, policy, purge
from retention.models import DeletionRequest, ErasureStep, FileDeletion, LedgerEntry, PurgeRun, StoragePlan
from retention.tasks import purge_expired
from tests.at_once import at_once
from tests.factories import AccountFactory, AgentFactory, CallFactory
from tests.retention.test_purge import AT, FIRST_KEPT, LAST_EXPIRED, below, files, moment, rows, whole_call

SHANGHAI, SANTIAGO, NEW_YORK = "Asia/Shanghai", "America/Santiago", "America/New_York"
NUMBER = "+8613911112222"
WHOLE = {CallLeg: 2, QueueEntry: 1, IvrStep: 1, Recording: 1, Voicemail: 1}

meet = pytest.mark.skipif(connection.vendor == "sqlite", reason="threads cannot share SQLite's database in memory")
needs_bucket = pytest.mark.skipif(not portal.COS_BUCKET, reason="a bucket")


@pytest.fixture
def account(db):
    return AccountFactory(time_zone=SHANGHAI)


# --- Killed ----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


@contextmanager
def killed_at(n, *, since):
    """Dies before the n-th statement after the first one of which `since` is true."""
    n_seen = 0

    def count(execute, statement, *rest):
        nonlocal n_seen
        n_seen += bool(n_seen) or since(statement)
        if n_seen == n:
            raise Killed
        return execute(statement, *rest)

    with connection.execute_wrapper(count):
        yield


def test_killed_before_each_statement_of_a_batch_nothing_of_it_has_happened(account, monkeypatch):
    """A worker that dies takes its transaction with it. Then the next one does the batch whole, and counts it once."""
    monkeypatch.setattr(purge, "LEAST", 3)
    monkeypatch.setattr(purge, "MOST", 3)
    monkeypatch.setattr(purge, "CUT_OFF_AFTER", dt.timedelta(seconds=1))
    expired = [whole_call(account, LAST_EXPIRED) for _ in range(3)]
    kept, keys = whole_call(account, FIRST_KEPT), files(*expired)
    CallEvent.objects.filter(call_key=kept.call_key).delete()
    before = rows()
    for n in range(1, 80):
        try:
            with killed_at(n, since=lambda statement: "ended_on" in statement and "ORDER BY" in statement):
                run = purge.purge_account(account=account, at=AT + dt.timedelta(minutes=n))
        except Killed:
            if PurgeRun.objects.get().counts:  # it had been committed: what died was the next batch
                break
            assert rows() == before, n
        else:
            break
    assert n > 15  # the statements of a batch
    run = purge.purge_account(account=account, at=AT + dt.timedelta(hours=3))
    assert (run.state, run.counts["calls"], run.counts["legs"], run.counts["files"]) == ("done", 3, 6, 6)
    assert list(Call.objects.all()) == [kept] and below(kept) == WHOLE
    assert {row.key for row in FileDeletion.objects.all()} == keys
    assert PurgeRun.objects.count() == 1


def test_a_request_killed_again_and_again_comes_to_the_same_end(account):
    """Again and again, ever later on its way: each row is counted once, and nothing is left."""
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    heard = {"calling_number": NUMBER, "last_event_at": moment(FIRST_KEPT, 13)}
    expired = [whole_call(account, FIRST_KEPT, **heard) for _ in range(2)]
    other, keys = whole_call(account, FIRST_KEPT), files(*expired)
    request = deletion.open_request(account=account, kind="number", said={"number": NUMBER}, by=boss, at=AT)
    deletion.work_on(request.pk, clock=lambda: AT)
    request.refresh_from_db()
    deletion.approve(request, by=boss, at=AT)
    at, n_killed = AT, 0
    for n in range(5, 3000, 23):
        at += dt.timedelta(hours=1)
        try:
            with killed_at(n, since=lambda statement: True):
                deletion.work_on(request.pk, clock=lambda: at)  # noqa: B023  (called before the loop goes on)
        except Killed:
            n_killed += 1
            continue
        break
    request.refresh_from_db()
    assert n_killed > 3
    assert request.state == DeletionRequest.State.COMPLETED, list(request.steps.values_list("store", "state", "error"))
    assert request.steps.get(store="calls").n_deleted == 2
    assert list(Call.objects.all()) == [other] and below(other) == WHOLE
    assert not FileDeletion.objects.exists()
    assert {default_storage.exists(key) for key in keys} == {False}
    assert LedgerEntry.objects.filter(kind="request_completed").count() == 1


# --- At once ---------------------------------------------------------------------------------------------------------


@meet
@pytest.mark.django_db(transaction=True)
def test_a_task_delivered_twice_and_run_at_once_deletes_each_row_once(monkeypatch):
    monkeypatch.setattr(purge, "LEAST", 2)
    monkeypatch.setattr(purge, "MOST", 2)
    account = AccountFactory(time_zone=SHANGHAI)
    for _ in range(7):
        whole_call(account, LAST_EXPIRED)
    kept = whole_call(account, FIRST_KEPT)
    work = lambda: purge.purge_account(account=account, at=AT).pk  # noqa: E731
    assert len(set(at_once(work, work, work))) == 1
    run = PurgeRun.objects.get()
    assert (run.state, run.counts["calls"], run.counts["legs"], run.counts["files"]) == ("done", 7, 14, 14)
    assert list(Call.objects.all()) == [kept] and below(kept) == WHOLE
    assert FileDeletion.objects.count() == 14
    assert LedgerEntry.objects.filter(kind="purge").count() == 1


@meet
@pytest.mark.django_db(transaction=True)
def test_a_request_entered_twice_at_once_runs_once():
    account = AccountFactory(time_zone=SHANGHAI)
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    whole_call(account, FIRST_KEPT, calling_number=NUMBER)

    def ask(written):
        made = again_on_deadlock(
            lambda: deletion.open_request(account=account, kind="number", said={"number": written}, by=boss, at=AT)
        )
        return made.state

    assert sorted(at_once(lambda: ask(NUMBER), lambda: ask("139 1111 2222"))) == ["duplicate", "received"]
    request = DeletionRequest.objects.get(state="received")
    assert DeletionRequest.objects.get(state="duplicate").duplicate_of == request
    deletion.work_on(request.pk, clock=lambda: AT)
    request.refresh_from_db()
    deletion.approve(request, by=boss, at=AT)
    work = lambda: deletion.work_on(request.pk, clock=lambda: AT)  # noqa: E731
    assert sorted(at_once(work, work, work)) == [False, False, True]
    request.refresh_from_db()
    assert request.state == DeletionRequest.State.COMPLETED
    assert ErasureStep.objects.get(request=request, store="calls").n_deleted == 1
    assert not Call.objects.exists()


@meet
@pytest.mark.django_db(transaction=True)
def test_purge_and_request_that_meet_over_the_same_calls_leave_none_and_name_every_file(monkeypatch):
    monkeypatch.setattr(purge, "LEAST", 2)
    monkeypatch.setattr(purge, "MOST", 2)
    monkeypatch.setattr(deletion, "BATCH", 2)
    account = AccountFactory(time_zone=SHANGHAI)
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    calls = [whole_call(account, LAST_EXPIRED, calling_number=NUMBER) for _ in range(9)]
    keys, kept = files(*calls), whole_call(account, FIRST_KEPT)
    request = deletion.open_request(account=account, kind="number", said={"number": NUMBER}, by=boss, at=AT)
    deletion.work_on(request.pk, clock=lambda: AT)
    request.refresh_from_db()
    deletion.approve(request, by=boss, at=AT)
    at_once(
        lambda: purge.purge_account(account=account, at=AT).pk,
        lambda: deletion.work_on(request.pk, clock=lambda: AT),
    )
    later = AT + dt.timedelta(hours=2)
    for _ in range(3):  # files the purge named first are waited for
        deletion.work_on(request.pk, clock=lambda: later)  # noqa: B023  (called before the loop goes on)
        outbox.work_off(at=later)
        later += dt.timedelta(hours=2)
    request.refresh_from_db()
    assert (request.state, PurgeRun.objects.get().state) == (DeletionRequest.State.COMPLETED, "done")
    gone_by_purge = PurgeRun.objects.get().counts.get("calls", 0)
    assert gone_by_purge + ErasureStep.objects.get(request=request, store="calls").n_deleted == 9
    assert list(Call.objects.all()) == [kept] and below(kept) == WHOLE
    assert {default_storage.exists(key) for key in keys} == {False}


# --- A store that refuses --------------------------------------------------------------------------------------------


@needs_bucket
def test_a_store_that_refuses_three_of_a_thousand_is_asked_again_for_those_three_alone(account):
    """The store of the tests refuses what is named so, inside an answer of 200 to all of them."""
    refused = [default_storage.save(f"audio/refused-{n}", ContentFile(b"sound")) for n in range(3)]
    gone = [default_storage.save(f"audio/gives-up-{n}", ContentFile(b"sound")) for n in range(5)]
    names = [*refused, *gone, *(f"audio/never-{n}" for n in range(992))]
    assert outbox.put(account=account, keys=names, at=AT, cause="purge:1") == 1000
    assert outbox.work(at=AT) == (997, 3, 0)
    left = FileDeletion.objects.all()
    assert {row.key for row in left} == set(refused) and {row.error for row in left} == {"AccessDenied"}
    assert [default_storage.exists(name) for name in (*refused, *gone)] == [True] * 3 + [False] * 5
    assert outbox.work(at=AT + dt.timedelta(seconds=59)) == (0, 0, 0)
    results = [outbox.work(at=AT + dt.timedelta(hours=n)) for n in range(1, 5)]
    assert results == [(0, 3, 0)] * 3 + [(0, 3, 3)]  # shown as blocked, and never given up
    assert FileDeletion.objects.filter(state="blocked").count() == 3


# --- Calendars and clocks --------------------------------------------------------------------------------------------


def local(zone, *parts):
    return dt.datetime(*parts, tzinfo=ZoneInfo(zone))


CALENDAR = {
    "a month that has no such day": (SHANGHAI, (2025, 8, 31), local(SHANGHAI, 2026, 3, 1)),
    "a leap day six months later": (SHANGHAI, (2027, 8, 31), local(SHANGHAI, 2028, 3, 1)),
    "the day before, in a leap year": (SHANGHAI, (2027, 8, 28), local(SHANGHAI, 2028, 2, 29)),
    "a call on a leap day": (SHANGHAI, (2028, 2, 29), local(SHANGHAI, 2028, 8, 30)),
    "the end of a year": (SHANGHAI, (2026, 6, 30), local(SHANGHAI, 2026, 12, 31)),
    "a zone behind": (NEW_YORK, (2026, 1, 15), local(NEW_YORK, 2026, 7, 16)),
    "an hour that does not exist": (NEW_YORK, (2025, 9, 8), local(NEW_YORK, 2026, 3, 9)),  # the clock was put on on the 8th
    "an hour that comes twice": (NEW_YORK, (2026, 5, 1), local(NEW_YORK, 2026, 11, 2)),  # and back on the 1st
    "a midnight that does not exist": (SANTIAGO, (2026, 3, 5), dt.datetime(2026, 9, 6, 4, tzinfo=dt.UTC)),  # 01:00 there
    "a midnight that comes twice": (SANTIAGO, (2025, 10, 4), local(SANTIAGO, 2026, 4, 5)),  # 23:00 to 24:00 came twice
}


@pytest.mark.parametrize("case", CALENDAR)
def test_a_call_goes_with_the_first_moment_after_its_last_day_and_not_before(db, case):
    zone, ended_on, over = CALENDAR[case]
    account = AccountFactory(time_zone=zone)
    day = dt.date(*ended_on)
    noon = dt.datetime.combine(day, dt.time(12), ZoneInfo(zone))
    call = CallFactory(account=account, started_at=noon)
    next_day = CallFactory(account=account, started_at=noon + dt.timedelta(days=1))
    assert (call.ended_on, next_day.ended_on) == (day, day + dt.timedelta(days=1))
    over = over.astimezone(dt.UTC)
    assert purge.purge_account(account=account, at=over - dt.timedelta(seconds=1)).counts == {}
    expired = {one for one in (call, next_day) if policy.is_expired(one.ended_on, today=policy.local_day(account, over))}
    assert call in expired
    assert purge.purge_account(account=account, at=over).counts == {"calls": len(expired)}
    assert set(Call.objects.all()) == {call, next_day} - expired


def test_figures_of_the_day_after_a_midnight_that_does_not_exist_stay_from_its_first_quarter(db):
    account = AccountFactory(time_zone=SANTIAGO)
    first = dt.datetime(2026, 9, 6, 4, tzinfo=dt.UTC)  # 01:00 there; the quarter before is 23:45 of the day before
    for slot in (first - dt.timedelta(minutes=15), first):
        CallTotal.objects.create(account=account, slot=slot)
    midnight = local(SANTIAGO, 2027, 3, 6)
    assert purge.purge_account(account=account, at=midnight - dt.timedelta(seconds=1)).counts == {}
    assert purge.purge_account(account=account, at=midnight).counts == {"intervals": 1}
    assert [row.slot for row in CallTotal.objects.all()] == [first]


def test_an_account_that_moves_to_another_zone_keeps_the_days_its_calls_ended_on(account):
    """The day was frozen when the call ended; only today is told by the new zone."""
    call = whole_call(account, LAST_EXPIRED, sealed_at=AT)
    CallEvent.objects.all().delete()
    account.time_zone = "Pacific/Honolulu"
    account.save()
    assert purge.purge_account(account=account, at=AT).counts == {}  # there it is still the 15th
    assert Call.objects.get() == call
    assert purge.purge_account(account=account, at=AT + dt.timedelta(hours=9)).counts["calls"] == 1


# --- Late, and while it runs -----------------------------------------------------------------------------------------


def test_after_an_outage_of_weeks_one_run_goes_up_to_today_in_each_zone(account, monkeypatch):
    monkeypatch.setattr(purge, "ALWAYS_ALLOWED", 2)
    monkeypatch.setattr(purge, "SHARE", 1)
    west = AccountFactory(time_zone="Pacific/Honolulu")
    weeks = dt.timedelta(days=38)
    for owner in (account, west):
        for n in range(41):
            CallFactory(account=owner, started_at=moment(LAST_EXPIRED - weeks + dt.timedelta(days=n), zone=owner.time_zone))
        run = PurgeRun.objects.create(account=owner, started_at=AT - weeks, state="done", counts={"calls": 1})
        assert run.counts == {"calls": 1}
    done = {run.account: run for run in purge.purge_due(at=AT)}  # the 16th in Shanghai, the 15th in Honolulu
    assert {run.state for run in done.values()} == {"done"}
    assert (done[account].counts["calls"], done[west].counts["calls"]) == (39, 38)
    for owner in (account, west):
        assert {call.ended_on for call in Call.objects.for_account(owner)} == {
            day for n in range(41) if (day := LAST_EXPIRED - weeks + dt.timedelta(days=n)) > policy.cutoff(owner, at=AT)
        }
    assert purge.purge_due(at=AT + dt.timedelta(hours=1)) == []
    later = purge.purge_due(at=AT + dt.timedelta(hours=9))  # now it is the 16th there as well
    assert [(run.account, run.counts["calls"]) for run in later] == [(west, 1)]


def test_an_outage_is_no_leave_for_more_than_its_days_bring(account, monkeypatch):
    monkeypatch.setattr(purge, "ALWAYS_ALLOWED", 2)
    monkeypatch.setattr(purge, "SHARE", 1)
    for _ in range(20):
        CallFactory(account=account, started_at=moment(LAST_EXPIRED))
    PurgeRun.objects.create(account=account, started_at=AT - dt.timedelta(days=6), state="done", counts={"calls": 1})
    (run,) = purge.purge_due(at=AT)
    assert (run.state, run.n_due) == ("waiting", 20)  # six days of three times one are eighteen
    assert Call.objects.count() == 20


def test_a_plan_that_lapses_while_a_run_goes_on_counts_no_more_from_the_next_batch(account, monkeypatch):
    """Past midnight in the middle of a run: up to the batch before, twelve months were kept."""
    monkeypatch.setattr(purge, "LEAST", 1)
    monkeypatch.setattr(purge, "MOST", 1)
    last_day = dt.date(2026, 7, 2)  # with its grace, until the end of the 16th
    StoragePlan.objects.create(account=account, months=12, from_day=dt.date(2025, 1, 1), to_day=last_day)
    assert policy.months(account, today=dt.date(2026, 7, 16)) == 12 and policy.months(account, today=dt.date(2026, 7, 17)) == 6
    old = [CallFactory(account=account, started_at=moment(dt.date(2025, 7, 1))) for _ in range(3)]
    CallFactory(account=account, started_at=moment(LAST_EXPIRED))  # kept by the plan alone
    kept = CallFactory(account=account, started_at=moment(dt.date(2026, 1, 17)))
    before_midnight = local(SHANGHAI, 2026, 7, 16, 23, 59, 59)
    seen = []

    def now(work):
        gone = work.run.counts.get("calls", 0)
        seen.append((gone, work.run.cutoff))
        return before_midnight if gone < len(old) else before_midnight + dt.timedelta(seconds=2)

    monkeypatch.setattr(purge._Work, "_now", now)
    run = purge.purge_account(account=account, at=before_midnight)
    assert (run.state, run.counts["calls"]) == ("done", 4)
    assert list(Call.objects.all()) == [kept]
    assert (2, dt.date(2025, 7, 15)) in seen and run.cutoff == dt.date(2026, 1, 16)


def test_a_plan_bought_while_a_run_goes_on_keeps_what_the_next_batch_would_have_taken(account, monkeypatch):
    monkeypatch.setattr(purge, "LEAST", 1)
    monkeypatch.setattr(purge, "MOST", 1)
    days = [dt.date(2025, 6, 1), LAST_EXPIRED - dt.timedelta(days=1), LAST_EXPIRED]
    calls = [CallFactory(account=account, started_at=moment(day)) for day in days]
    real = purge.calls.erase_calls

    def then_bought(**arguments):
        if not StoragePlan.objects.exists():
            StoragePlan.objects.create(account=account, months=12, from_day=AT.date() - dt.timedelta(days=1))
        return real(**arguments)

    monkeypatch.setattr(purge.calls, "erase_calls", then_bought)
    run = purge.purge_account(account=account, at=AT)
    assert (run.state, run.counts["calls"]) == ("done", 1)
    assert set(Call.objects.all()) == set(calls[1:])


def test_the_job_that_was_delivered_again_after_it_was_done_deletes_nothing_more(account):
    whole_call(account, dt.date(2020, 1, 31))
    purge_expired()
    before, n_runs = rows(), PurgeRun.objects.count()
    purge_expired()
    assert rows() == before and PurgeRun.objects.count() == n_runs == 1
