"""Every night, what there is stands a second time, encrypted, read back, and nothing else."""

import datetime as dt
import hashlib

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from calls.models import Call, CallEvent, EventState
from configuration.models import DataKey
from retention import outbox
from retention.backups import kinds, manifest, night, objects, source
from retention.backups.crypt import Keys, Unreadable
from retention.backups.kinds import Kind, places
from retention.backups.night import back_up, back_up_due
from retention.backups.objects import rows_in
from retention.models import BackupObject, BackupRun, FileDeletion, LedgerEntry
from tests.factories import AccountFactory, AgentFactory, CallFactory, CallLegFactory
from tests.retention.backup_rows import AT, ENDED, everything, fill

pytestmark = pytest.mark.django_db

DAY = dt.date(2026, 7, 14)


def ended(account, at=ENDED, **kwargs):
    return CallFactory(account=account, started_at=at - dt.timedelta(minutes=5), ended_at=at, **kwargs)


def event_of(call, n=1, **kwargs):
    key = hashlib.sha256(f"{call.pk}-{n}".encode()).digest()
    values = {"event_key": key, "body_hash": key, "call_key": call.call_key, "source": "pbx", "event_id": f"{n}"}
    values |= {"type": "call.started", "subject": call.call_id, "occurred_at": call.started_at, "state": EventState.FOLDED}
    return CallEvent.objects.create(account=call.account, **(values | kwargs))


def stored(account, kind, day=DAY):
    there = BackupObject.objects.get(account=account, kind=kind, day=day)
    return list(rows_in(there, keys=Keys.of(account.pk)))


def days_of(account, kind):
    rows = BackupObject.objects.for_account(account).filter(kind=kind).exclude(key="")
    return [day.isoformat() for day in rows.order_by("day").values_list("day", flat=True)]


def test_every_row_of_every_table_is_in_some_object_as_it_was(account):
    fill(account)
    before = everything(account)
    run = back_up(account=account, at=AT)
    assert (run.state, run.n_failed) == ("done", 0)
    keys = Keys.of(account.pk)
    found = {}
    for there in BackupObject.objects.for_account(account).exclude(kind="manifest"):
        assert there.verified_at
        for row in rows_in(there, keys=keys):
            found.setdefault(row.label, {})[row.pk] = row.values
    assert set(found) == {place.label for place in places()}
    for label, rows in before.items():
        expected = {row["id"]: row for row in rows}
        if label == "configuration.Account":
            expected = {pk: {name: row[name] for name in found[label][pk]} for pk, row in expected.items()}
            assert "wrapped_key" not in found[label][account.pk]
        assert found[label] == expected, label


def test_an_account_s_backup_has_no_row_of_another(account):
    other = AccountFactory()
    fill(account, "mine")
    fill(other, "theirs")
    back_up_due(at=AT)
    for one, word in ((account, "theirs"), (other, "mine")):
        for there in BackupObject.objects.for_account(one).exclude(kind="manifest"):
            assert there.key.startswith(f"backups/{one.pk}/")
            rows = list(rows_in(there, keys=Keys.of(one.pk)))
            assert rows
            assert {row.values.get("account_id", one.pk) for row in rows} == {one.pk}
            assert word not in repr(rows)
            raw = default_storage.open(there.key).read()
            assert b"mine" not in raw and b"theirs" not in raw


def test_the_second_run_of_a_night_writes_nothing(account):
    fill(account)
    assert len(back_up_due(at=AT)) == 1
    keys = set(BackupObject.objects.values_list("key", flat=True))
    assert back_up_due(at=AT) == []
    assert back_up_due(at=AT + dt.timedelta(hours=3)) == []
    assert set(BackupObject.objects.values_list("key", flat=True)) == keys
    [run] = back_up_due(at=AT + dt.timedelta(days=1))
    assert run.n_written == len(kinds.OF_THE_NIGHT)  # the state of the night; no day was changed
    assert LedgerEntry.objects.filter(kind="backup").count() == 2


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Asia/Shanghai", "2026-07-15T16:59:59+00:00", "2026-07-14"),
        ("Asia/Shanghai", "2026-07-15T17:00:00+00:00", "2026-07-15"),
        ("America/New_York", "2026-11-01T04:59:59+00:00", "2026-10-30"),
        ("America/New_York", "2026-11-01T05:00:00+00:00", "2026-10-31"),
        ("America/New_York", "2026-11-02T05:59:00+00:00", "2026-10-31"),  # a day of 25 hours
        ("America/New_York", "2026-11-02T06:00:00+00:00", "2026-11-01"),
        ("America/Sao_Paulo", "2018-11-04T03:30:00+00:00", "2018-11-02"),  # no midnight that night
        ("America/Sao_Paulo", "2018-11-04T04:00:00+00:00", "2018-11-03"),
    ],
)
def test_a_night_is_due_an_hour_after_the_local_day(zone, at, day, db):
    account = AccountFactory(time_zone=zone)
    assert night.night(account, dt.datetime.fromisoformat(at)).isoformat() == day


def test_rows_by_moment_go_to_the_local_day_and_an_hour_that_comes_twice_is_in_once(db):
    account = AccountFactory(time_zone="America/New_York")
    from analytics.models import CallTotal

    start = dt.datetime(2026, 11, 1, 3, 45, tzinfo=dt.UTC)  # 23:45 of 31 October
    slots = [start + dt.timedelta(minutes=15 * n) for n in range(1 + 100 + 1)]  # and the 100 slots of the day of 25 hours
    CallTotal.objects.bulk_create(CallTotal(account=account, slot=slot) for slot in slots)
    back_up(account=account, at=dt.datetime(2026, 11, 3, 12, 0, tzinfo=dt.UTC))
    assert {day: len(stored(account, Kind.FIGURES, dt.date.fromisoformat(day))) for day in days_of(account, Kind.FIGURES)} == {
        "2026-10-31": 1,
        "2026-11-01": 100,
        "2026-11-02": 1,
    }


def test_days_missed_by_an_outage_are_caught_up_with(account):
    for n in range(4):
        ended(account, ENDED - dt.timedelta(days=n))
    back_up(account=account, at=AT)
    assert days_of(account, Kind.CALLS) == ["2026-07-11", "2026-07-12", "2026-07-13", "2026-07-14"]
    for n in range(1, 4):
        ended(account, ENDED + dt.timedelta(days=n))
    run = back_up(account=account, at=AT + dt.timedelta(days=3))
    assert days_of(account, Kind.CALLS)[-3:] == ["2026-07-15", "2026-07-16", "2026-07-17"]
    assert run.n_written == 3 + 1  # and the configuration of the night


def test_today_s_calls_wait_for_tomorrow(account):
    ended(account, AT - dt.timedelta(minutes=30))
    back_up(account=account, at=AT)
    assert days_of(account, Kind.CALLS) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda call: Call.objects.filter(pk=call.pk).update(remark="called back"),
        lambda call: Call.objects.filter(pk=call.pk).update(rating_asked=True),
        lambda call: CallLegFactory(call=call, agent=AgentFactory(account=call.account)),
        lambda call: ended(call.account),
    ],
)
def test_a_day_that_was_changed_is_written_again_and_the_old_object_goes(account, change):
    call = ended(account)
    back_up(account=account, at=AT)
    was = BackupObject.objects.get(kind=Kind.CALLS)
    change(call)
    back_up(account=account, at=AT + dt.timedelta(days=1))
    now = BackupObject.objects.get(kind=Kind.CALLS)
    assert (now.key != was.key, now.version) == (True, 2)
    assert FileDeletion.objects.filter(key=was.key).exists()
    outbox.work(at=AT + dt.timedelta(days=1))
    assert not default_storage.exists(was.key)
    assert default_storage.exists(now.key)


def test_raw_events_stay_beside_their_call_after_their_week(account):
    call = ended(account)
    first = event_of(call, 1)
    back_up(account=account, at=AT)
    late = event_of(call, 2)
    back_up(account=account, at=AT + dt.timedelta(days=1))
    assert {row.pk for row in stored(account, Kind.EVENTS)} == {first.pk, late.pk}
    CallEvent.objects.filter(pk=first.pk).delete()
    later = event_of(call, 3)
    back_up(account=account, at=AT + dt.timedelta(days=2))
    assert {row.pk for row in stored(account, Kind.EVENTS)} == {first.pk, late.pk, later.pk}
    CallEvent.objects.all().delete()
    Call.objects.update(sealed_at=AT)
    back_up(account=account, at=AT + dt.timedelta(days=9))
    assert {row.pk for row in stored(account, Kind.EVENTS)} == {first.pk, late.pk, later.pk}


def test_a_backup_does_not_follow_a_loss(account):
    calls = [ended(account) for _ in range(30)]
    back_up(account=account, at=AT)
    Call.objects.filter(pk__in=[call.pk for call in calls[:25]]).delete()
    run = back_up(account=account, at=AT + dt.timedelta(days=1))
    there = BackupObject.objects.get(kind=Kind.CALLS)
    assert (run.state, there.error, there.n_rows) == ("failed", "shrunk", 30)
    assert len(stored(account, Kind.CALLS)) == 30
    call_command("back_up", account=account.slug, accept_missing=True)
    there.refresh_from_db()
    assert there.n_rows == 5 or not BackupObject.objects.filter(kind=Kind.CALLS).exists()


def test_a_writer_that_was_cut_off_leaves_no_file_behind(account, monkeypatch):
    ended(account)
    real = objects._read_back

    def cut(there, **kwargs):
        if there.kind == Kind.CALLS:
            raise KeyboardInterrupt
        return real(there, **kwargs)

    monkeypatch.setattr(objects, "_read_back", cut)
    with pytest.raises(KeyboardInterrupt):
        back_up(account=account, at=AT)
    assert BackupRun.objects.get().state == "running"
    monkeypatch.setattr(objects, "_read_back", real)
    BackupRun.objects.update(heartbeat_at=timezone.now() - dt.timedelta(hours=1))
    [run] = back_up_due(at=AT + dt.timedelta(hours=1))
    assert run.state == "done"
    outbox.work(at=AT + dt.timedelta(hours=1))
    assert files_of(account) == set(BackupObject.objects.exclude(key="").values_list("key", flat=True))


def files_of(account):
    from callcenter_site.object_store import list_objects

    return {name for name, _at, _size in list_objects(f"backups/{account.pk}")}


def test_a_writer_killed_with_its_process_leaves_a_row_that_names_its_file(account, monkeypatch):
    ended(account)
    monkeypatch.setattr(objects, "_give_up", lambda *args, **kwargs: None)
    monkeypatch.setattr(objects, "_put_in_place", lambda *args, **kwargs: 1 / 0)
    assert back_up(account=account, at=AT).state == "failed"
    monkeypatch.undo()
    BackupObject.objects.update(leased_until=timezone.now() - dt.timedelta(minutes=1))
    assert back_up(account=account, at=AT).state == "done"
    outbox.work(at=AT)
    assert files_of(account) == set(BackupObject.objects.exclude(key="").values_list("key", flat=True))


def test_two_at_once_one_night_is_done_once(account):
    BackupRun.objects.create(
        account=account, day=dt.date(2026, 7, 15), started_at=timezone.now(), heartbeat_at=timezone.now(), lease=1
    )
    assert back_up(account=account, at=AT) is None
    assert not BackupObject.objects.exists()


def test_a_writer_thought_dead_does_not_put_its_object_in_place(account):
    ended(account)
    there = BackupObject.objects.create(account=account, kind=Kind.CALLS, day=DAY)
    keys = Keys.of(account.pk)

    def slow(now):
        BackupObject.objects.update(leased_until=timezone.now() - dt.timedelta(minutes=1))
        objects.replace(there, lambda now: source.rows_of(account, Kind.CALLS, DAY), keys=keys, at=AT)
        yield from source.rows_of(account, Kind.CALLS, DAY)

    with pytest.raises(objects.Superseded):
        objects.replace(there, slow, keys=keys, at=AT)
    there.refresh_from_db()
    assert there.version == 1
    outbox.work(at=AT)
    assert files_of(account) == {there.key}


def test_an_object_that_is_being_written_is_left_alone(account):
    ended(account)
    BackupObject.objects.create(
        account=account, kind=Kind.CALLS, day=DAY, lease=5, leased_until=timezone.now() + dt.timedelta(minutes=5)
    )
    assert back_up(account=account, at=AT).n_failed == 1


def damage(there, change):
    raw = bytearray(default_storage.open(there.key).read())
    raw = change(raw)
    default_storage.delete(there.key)
    assert default_storage.save(there.key, ContentFile(bytes(raw))) == there.key


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw[:-40], lambda raw: raw + b"x", lambda raw: raw[:150]])
def test_an_object_that_was_cut_or_grew_does_not_open(account, change):
    ended(account)
    back_up(account=account, at=AT)
    there = BackupObject.objects.get(kind=Kind.CALLS)
    damage(there, change)
    with pytest.raises(Unreadable):
        list(rows_in(there, keys=Keys.of(account.pk)))
    assert objects.verify(there, keys=Keys.of(account.pk)) is False
    there.refresh_from_db()
    assert there.error == "unreadable"


def test_no_byte_of_an_object_can_be_changed(account):
    ended(account)
    back_up(account=account, at=AT)
    there = BackupObject.objects.get(kind=Kind.CALLS)
    keys, raw = Keys.of(account.pk), default_storage.open(there.key).read()
    for n in range(0, len(raw), max(1, len(raw) // 60)):
        changed = raw[:n] + bytes([raw[n] ^ 1]) + raw[n + 1 :]
        with pytest.raises(Unreadable):
            list(objects.read_lines([changed], keys=keys, kind=there.kind, day=there.day.isoformat()))


def test_an_object_of_another_day_or_account_does_not_open_in_its_place(account):
    other = AccountFactory()
    for one in (account, other):
        ended(one)
        ended(one, ENDED - dt.timedelta(days=1))
        back_up(account=one, at=AT)
    mine, theirs = BackupObject.objects.filter(kind=Kind.CALLS, day=DAY).order_by("account_id")
    earlier = BackupObject.objects.get(account=account, kind=Kind.CALLS, day=DAY - dt.timedelta(days=1))
    for key in (theirs.key, earlier.key):
        mine.key = key
        with pytest.raises(Unreadable):
            list(rows_in(mine, keys=Keys.of(account.pk)))


def test_without_its_key_nothing_opens(account):
    ended(account)
    back_up(account=account, at=AT)
    there = BackupObject.objects.get(kind=Kind.CALLS)
    DataKey.objects.filter(owner=account.pk, purpose="backup").update(wrapped_key=b"")
    with pytest.raises(Unreadable):
        list(rows_in(there, keys=Keys(account.pk, {})))


def test_a_missing_object_is_found_by_reading_back(account):
    ended(account)
    back_up(account=account, at=AT)
    there = BackupObject.objects.get(kind=Kind.CALLS)
    default_storage.delete(there.key)
    BackupObject.objects.update(verified_at=timezone.now() - dt.timedelta(days=8))
    run = back_up(account=account, at=AT + dt.timedelta(days=1))
    there.refresh_from_db()
    assert (run.state, there.error) == ("failed", "missing")


def test_after_an_outage_objects_are_read_back_and_the_manifest_which_is_none_is_no_failure(account):
    ended(account)
    back_up(account=account, at=AT)
    long_ago = timezone.now() - dt.timedelta(days=8)
    BackupObject.objects.update(verified_at=long_ago)
    run = back_up(account=account, at=AT + dt.timedelta(days=1))
    assert (run.state, run.n_failed) == ("done", 0)
    assert not BackupObject.objects.exclude(error="").exists()
    assert not BackupObject.objects.without_manifest().filter(verified_at__lte=long_ago).exists()


def test_the_state_of_seven_nights_is_kept(account):
    for n in range(9):
        back_up(account=account, at=AT + dt.timedelta(days=n))
    assert days_of(account, Kind.CONFIGURATION) == [f"2026-07-{day}" for day in range(17, 24)]


def test_an_expired_day_goes_and_the_audit_log_s_stay(account):
    fill(account)
    back_up(account=account, at=AT)
    keys = set(BackupObject.objects.filter(kind__in=kinds.EXPIRING).values_list("key", flat=True))
    assert keys
    at = dt.datetime(2027, 1, 14, 18, 0, tzinfo=dt.UTC)  # 02:00 of the 15th: the 14th was the last day
    back_up(account=account, at=at - dt.timedelta(days=1))
    assert set(BackupObject.objects.filter(kind__in=kinds.EXPIRING).values_list("key", flat=True)) == keys
    run = back_up(account=account, at=at)
    assert run.n_expired == 3  # its raw event is of no call, and so in the state of the night
    assert not BackupObject.objects.filter(kind__in=kinds.EXPIRING).exists()
    assert days_of(account, Kind.AUDIT)
    outbox.work(at=at)
    assert not keys & files_of(account)


def test_the_manifest_names_what_there_is_and_opens_it_without_the_database(account):
    ended(account)
    back_up(account=account, at=AT)
    found = manifest.read_manifest(account.pk)
    expected = dict(BackupObject.objects.exclude(kind="manifest").values_list("key", "n_rows"))
    assert {one.key: one.n_rows for one in found.objects} == expected
    DataKey.objects.all().delete()
    calls = next(one for one in found.objects if one.kind == Kind.CALLS)
    assert next(row.label for row in rows_in(calls, keys=found.keys)) == "calls.Call"
    outbox.work(at=AT)
    assert sum("manifest" in name for name in files_of(account)) == 1


def test_a_changed_manifest_is_refused(account):
    back_up(account=account, at=AT)
    row = BackupObject.objects.get(kind="manifest")
    damage(row, lambda raw: raw.replace(b"configuration", b"configuratiom", 1))
    with pytest.raises(Unreadable):
        manifest.read_manifest(account.pk)


def test_a_table_whose_row_points_to_one_that_is_not_backed_up_fails_the_check():
    from callcenter_site.erasure import Kept, Lifetime

    lines = [line for line in kinds.KEPT if line.model != "agents.SkillGroup"]
    assert any("agents.SkillGroup" in problem for problem in kinds.problems(lines))
    wrong = Kept("calls.SavedFilter", Lifetime.COUNTS, clock="name")
    assert any("no date or moment" in problem for problem in kinds.problems([wrong]))
    assert list(kinds.problems(kinds.KEPT)) == []
