"""What was backed up comes back as it was, whole, in its own account, and nothing of what was erased."""

import datetime as dt
import hashlib

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils import timezone

from agents.models import Agent
from callcenter_site.erasure import delete_rows
from callcenter_site.subjects import Subject, SubjectKind
from calls import subjects as calls_subjects
from calls.models import Call, CallEvent, CallLeg, EventState, IvrStep, Tombstone
from configuration.encryption import forget_keys
from configuration.models import Account, BlockedNumber, DataKey
from retention import holds, outbox
from retention.backups import manifest, reach, restore, subjects
from retention.backups.crypt import Keys, Unreadable
from retention.backups.kinds import Kind, places
from retention.backups.night import back_up
from retention.backups.objects import rows_in
from retention.models import (
    BackupObject,
    DeletionRequest,
    ErasureStep,
    FileDeletion,
    LedgerEntry,
    LegalHold,
    RestoredId,
    RestoreRun,
)
from tests.factories import AccountFactory, AgentFactory, CallFactory, CallLegFactory, IvrStepFactory, RecordingFactory
from tests.retention.backup_rows import AT, ENDED, everything, fill

pytestmark = pytest.mark.django_db

NUMBER = "+8613900139000"
DAY = dt.date(2026, 7, 14)


def ended(account, at=ENDED, **kwargs):
    return CallFactory(account=account, started_at=at - dt.timedelta(minutes=5), ended_at=at, **kwargs)


def event_of(call, n=1, **kwargs):
    key = hashlib.sha256(f"{call.pk}-{n}".encode()).digest()
    values = {"event_key": key, "body_hash": key, "call_key": call.call_key, "source": "pbx", "event_id": f"{n}"}
    values |= {"type": "call.started", "subject": call.call_id, "occurred_at": call.started_at, "state": EventState.FOLDED}
    return CallEvent.objects.create(account=call.account, **(values | kwargs))


def lose(account, *, also_account=True):
    """All rows of an account vanish, as with a lost database."""
    RestoredId.objects.all().delete()
    for model in (RestoreRun, BackupObject, FileDeletion, ErasureStep, DeletionRequest):
        delete_rows(model.objects.for_account(account))
    for place in reversed(places()):
        if place.model is not Account:
            delete_rows(place.model._base_manager.filter(account_id=account.pk))
    if also_account:
        from retention.models import AccountGate, BackupRun

        for model in (AccountGate, BackupRun, LedgerEntry):
            delete_rows(model.objects.filter(account_id=account.pk))
        delete_rows(DataKey.objects.filter(owner=account.pk))
        delete_rows(Account.objects.filter(pk=account.pk))
        forget_keys()


def without_times_of_the_store(found):
    """The account's own columns of keys are not backed up but brought by the manifest, so they are compared as well."""
    return {label: rows for label, rows in found.items() if label != "configuration.AuditEntry"}


def bring_back(account, **kwargs):
    return restore.restore(account_id=account.pk, at=AT, **kwargs)


def test_an_account_comes_back_into_an_empty_portal_as_it_was(account):
    fill(account)
    before = everything(account)
    back_up(account=account, at=AT)
    lose(account)
    assert not Account.objects.filter(pk=account.pk).exists()
    run = bring_back(account)
    after = everything(account)
    assert without_times_of_the_store(after) == without_times_of_the_store(before)
    logged = {row["id"]: row for row in after["configuration.AuditEntry"]}
    assert all(logged[row["id"]] == row for row in before["configuration.AuditEntry"])
    assert (run.state, Account.objects.get(pk=account.pk).is_open) == ("done", True)
    assert LedgerEntry.objects.filter(kind="restore").count() == 1
    # It knows its objects again, and the next night goes on from them.
    assert back_up(account=Account.objects.get(pk=account.pk), at=AT + dt.timedelta(days=1)).state == "done"


def test_a_second_restore_changes_nothing(account):
    fill(account)
    back_up(account=account, at=AT)
    before = everything(account)
    with pytest.raises(restore.Refused, match="not_empty"):
        bring_back(account)
    assert Account.objects.get(pk=account.pk).is_open
    run = bring_back(account, into_existing=True)
    assert everything(account) == before
    assert run.counts.get("restored", 0) == 0


def test_what_is_missing_comes_back_beside_what_is_there(account):
    calls = [ended(account) for _ in range(3)]
    for call in calls:
        CallLegFactory(call=call, agent=AgentFactory(account=account))
    back_up(account=account, at=AT)
    before = everything(account)
    delete_rows(CallLeg.objects.filter(call=calls[1]))
    from calls.models import CallSeenBy

    delete_rows(CallSeenBy.objects.filter(call=calls[1]))
    delete_rows(Call.objects.filter(pk=calls[1].pk))
    Call.objects.filter(pk=calls[2].pk).update(remark="written since")
    bring_back(account, into_existing=True)
    after = everything(account)
    assert after["calls.CallLeg"] == before["calls.CallLeg"]
    assert [row["remark"] for row in after["calls.Call"]] == ["", "", "written since"]


def test_ids_that_another_account_has_by_now_are_given_anew_and_everything_points_right(account):
    fill(account, "mine")
    back_up(account=account, at=AT)
    before = everything(account)
    lose(account)
    other = AccountFactory()
    assert other.pk != account.pk
    fill(other, "theirs")
    taken = take_ids(other, before)
    theirs = everything(other)
    run = bring_back(account)
    assert run.counts["other_ids"] >= len(taken)
    assert everything(other) == theirs
    after = everything(account)
    assert {label: len(rows) for label, rows in after.items() if label != "configuration.AuditEntry"} == {
        label: len(rows) for label, rows in before.items() if label != "configuration.AuditEntry"
    }
    for place in places():
        for column in place.model._meta.concrete_fields:
            target = column.remote_field.model if column.remote_field else None
            if target is None or not hasattr(target, "account_id"):
                continue
            for row in place.model._base_manager.filter(account_id=account.pk).exclude(**{column.attname: None}):
                assert getattr(row, column.name).account_id == account.pk, (place.label, column.name)
    assert not RestoredId.objects.exists()
    mine = Call.objects.for_account(account).exclude(agent=None).get()
    assert "mine" in mine.agent.name


def take_ids(other, before):
    """Gives rows of another account ids that were the lost account's."""
    from agents.models import SkillGroup
    from configuration.models import Role

    taken = []
    for model, values in (
        (Role, {"name": "taken"}),
        (SkillGroup, {"name": "taken"}),
        (Call, {"call_id": "taken", "call_key": b"t" * 32, "started_at": ENDED}),
    ):
        old = before[model._meta.label][0]["id"]
        model.objects.bulk_create([model(pk=old, account=other, **values)])
        taken.append(old)
    return taken


@pytest.mark.parametrize("after", [1, 2, 4, 7])
def test_a_restore_that_was_cut_off_goes_on_and_each_row_comes_once(account, monkeypatch, after):
    fill(account)
    for _ in range(5):
        CallLegFactory(call=ended(account), agent=AgentFactory(account=account))
    back_up(account=account, at=AT)
    before = everything(account)
    n_rows = sum(len(rows) for label, rows in before.items() if label != "configuration.AuditEntry")
    n_rows += sum(row["timestamp"] < AT for row in before["configuration.AuditEntry"])
    lose(account)
    monkeypatch.setattr(restore, "PAGE", 3)
    real, n_pages = restore._Restore._rows, [0]

    def cut(self, label, rows):
        n_pages[0] += 1
        if n_pages[0] > after * 3:
            raise KeyboardInterrupt
        return real(self, label, rows)

    monkeypatch.setattr(restore._Restore, "_rows", cut)
    with pytest.raises(KeyboardInterrupt):
        bring_back(account)
    assert not Account.objects.get(pk=account.pk).is_open
    with pytest.raises(restore.Refused, match="running"):
        bring_back(account)
    monkeypatch.setattr(restore._Restore, "_rows", real)
    RestoreRun.objects.update(heartbeat_at=timezone.now() - dt.timedelta(hours=1))
    run = bring_back(account)
    assert without_times_of_the_store(everything(account)) == without_times_of_the_store(before)
    # The account's own row, and the tombstones, which come before everything.
    assert run.counts["restored"] == n_rows - len(before["calls.Tombstone"])
    assert Account.objects.get(pk=account.pk).is_open


def test_nobody_signs_in_while_a_restore_is_not_through(account, client, monkeypatch):
    client.force_login(AgentFactory(account=account), backend="agents.sign_in.RoleBackend")
    assert client.get("/desk/").status_code == 200
    back_up(account=account, at=AT)
    monkeypatch.setattr(restore, "erase_again", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bring_back(account, into_existing=True)
    assert client.get("/desk/").status_code == 302
    assert RestoreRun.objects.get().state == "failed"
    monkeypatch.undo()
    bring_back(account)
    assert Account.objects.get(pk=account.pk).is_open


def test_a_tampered_object_stops_a_restore_and_the_account_stays_closed(account):
    ended(account)
    back_up(account=account, at=AT)
    there = BackupObject.objects.get(kind=Kind.CALLS)
    raw = bytearray(default_storage.open(there.key).read())
    raw[-5] ^= 1
    default_storage.delete(there.key)
    default_storage.save(there.key, ContentFile(bytes(raw)))
    lose(account)
    with pytest.raises(Unreadable):
        bring_back(account)
    assert not Account.objects.get(pk=account.pk).is_open


def test_without_the_key_of_the_environment_nothing_is_begun(account, settings):
    back_up(account=account, at=AT)
    lose(account)
    settings.ENCRYPTION_KEYS = {"another": b"k" * 32}
    with pytest.raises(restore.Refused, match="no_key"):
        bring_back(account)
    assert not Account.objects.filter(pk=account.pk).exists()


def test_another_account_under_the_same_number_is_not_overwritten(account):
    ended(account)
    back_up(account=account, at=AT)
    pk = account.pk
    lose(account)
    other = AccountFactory(pk=pk)
    Keys.of(pk)
    with pytest.raises(restore.Refused, match="another"):
        bring_back(other, into_existing=True)
    assert Call.objects.count() == 0
    assert Account.objects.get(pk=pk).is_open


def test_an_older_night_brings_back_older_people(account):
    agent = AgentFactory(account=account, name="Before")
    back_up(account=account, at=AT)
    agent.name = "After"
    agent.save()
    back_up(account=account, at=AT + dt.timedelta(days=1))
    lose(account)
    bring_back(account, night=dt.date(2026, 7, 15))
    assert Agent.objects.get(pk=agent.pk).name == "Before"
    with pytest.raises(restore.Refused, match="no_night"):
        bring_back(account, night=dt.date(2026, 7, 1), into_existing=True)


def test_raw_events_of_sealed_calls_come_back_when_asked_for(account):
    call = ended(account)
    event_of(call)
    back_up(account=account, at=AT)
    Call.objects.update(sealed_at=AT)
    back_up(account=account, at=AT + dt.timedelta(days=1))
    lose(account)
    bring_back(account)
    assert not CallEvent.objects.exists()
    lose(account)
    bring_back(account, with_raw_events=True)
    assert CallEvent.objects.count() == 1
    assert Call.objects.get().sealed_at is None


# --- Erased --------------------------------------------------------------------------------------------------------


def subject_of(account, number=NUMBER, **kwargs):
    return Subject(SubjectKind.NUMBER, account.pk, account.region, numbers=frozenset({number}), up_to=AT, **kwargs)


def erase_live(subject, account):
    calls_subjects.remember(subject, at=AT)
    for store in restore.stores_for(subject.kind):
        restore._erase_from(store, subject, account, AT)


def scene(account):
    """A call of the number, a call of somebody else in which it is typed, said and written, and it on the blacklist."""
    mine, others = ended(account, calling_number=NUMBER), ended(account, remark="call back 139 0013 9000 please", has_remark=True)
    CallLegFactory(call=mine, agent=AgentFactory(account=account))
    RecordingFactory(call=mine)
    IvrStepFactory(call=others, input="13900139000")
    event_of(mine, data={"calling_number": NUMBER})
    event_of(others, 2, type="call.ivr_input", data={"input": "139-0013-9000", "kind": "keys"})
    BlockedNumber.objects.create(account=account, number=NUMBER)
    return mine, others


def texts(account):
    """Every value of every row of every backup."""
    keys = Keys.of(account.pk)
    rows = BackupObject.objects.for_account(account).exclude(kind="manifest").exclude(key="")
    return repr([row for there in rows for row in rows_in(there, keys=keys)])


def test_a_number_that_was_erased_is_in_no_backup_and_nothing_else_is_missing(account):
    _mine, others = scene(account)
    bystander = ended(account, calling_number="+8613900139001")
    back_up(account=account, at=AT)
    old = set(BackupObject.objects.exclude(key="").values_list("key", flat=True))
    subject = subject_of(account)
    # Two calls, an input, two events, a blacklist entry.
    assert subjects.count_subject(subject=subject).n_rows == 6
    assert subjects.search_subject(subject=subject).n_rows == 0  # it is all live, and not erased
    CallEvent.objects.filter(call_key=others.call_key).delete()  # its week is over; the backup has it still
    Call.objects.filter(pk=others.pk).update(sealed_at=AT)
    erase_live(subject, account)
    assert subjects.search_subject(subject=subject).n_rows > 6
    done = subjects.erase_subject(subject=subject, at=AT, request_id="7", cause="request:7")
    assert (done.n_left, done.n_held, done.n_found) == (0, 0, done.n_changed)
    assert subjects.search_subject(subject=subject) == (done.n_objects, 0, 0)
    told = texts(account)
    assert not any(form in told for form in (NUMBER, "13900139000'", "139 0013 9000", "139-0013-9000"))
    assert bystander.calling_number in told
    assert subjects.erase_subject(subject=subject, at=AT).n_changed == 0
    outbox.work(at=AT)
    assert outbox.left(account=account, cause="request:7") == 0
    assert not any(default_storage.exists(key) for key in old - set(BackupObject.objects.values_list("key", flat=True)))
    entry = LedgerEntry.objects.filter(kind="backup_rewritten").order_by("position").first()
    assert entry.request_id == "7"
    lose(account)
    bring_back(account, with_raw_events=True)
    assert set(Call.objects.values_list("pk", flat=True)) == {others.pk, bystander.pk}
    assert CallEvent.objects.get().data == {"input": "erased", "kind": "keys"}
    assert "139" not in IvrStep.objects.get().input
    assert not BlockedNumber.objects.exists()
    assert Tombstone.objects.filter(kind="number").count() == 1


def test_a_restored_old_backup_after_an_erasure_brings_nothing_back(account, monkeypatch):
    """The objects themselves were put back from a copy of the bucket, from before."""
    _mine, others = scene(account)
    person = AgentFactory(account=account, name="Grace Hopper", email="grace@example.com")
    back_up(account=account, at=AT)
    old = {row.pk: row for row in BackupObject.objects.all()}
    copies = {row.key: default_storage.open(row.key).read() for row in old.values()}
    number, agent = subject_of(account), Subject(
        SubjectKind.AGENT, account.pk, account.region, agent_id=person.pk, names=frozenset({"Grace Hopper", "grace@example.com"})
    )  # fmt: skip
    for subject in (number, agent):
        erase_live(subject, account)
        subjects.erase_subject(subject=subject, at=AT)
    assert "Grace" not in texts(account)
    stale = manifest.read_manifest(account.pk)
    newest = next(one for one in stale.objects if one.kind == Kind.ERASED)
    outbox.work(at=AT)
    for key, raw in copies.items():
        if not default_storage.exists(key):
            default_storage.save(key, ContentFile(raw))
    # All objects are the old ones again; only what was erased is known as of now.
    kept = [one for one in stale.objects if one.kind == Kind.ERASED]
    listed = [row for row in old.values() if row.kind not in ("manifest", Kind.ERASED)] + kept
    monkeypatch.setattr(manifest.Manifest, "objects", property(lambda self: listed))
    assert newest.n_rows
    lose(account)
    run = bring_back(account, with_raw_events=True, night=dt.date(2026, 7, 15))
    assert run.counts["erased"] > 0
    assert set(Call.objects.values_list("pk", flat=True)) == {others.pk}
    assert Agent.objects.get(pk=person.pk).erased_at is not None
    found = repr(everything(account))
    assert not any(word in found for word in (NUMBER, "Grace", "grace@", "139 0013 9000", "'13900139000'"))
    assert Account.objects.get(pk=account.pk).is_open


def test_an_older_copy_of_the_database_is_cleaned_before_it_is_used(account):
    scene(account)
    back_up(account=account, at=AT)
    before = {label: rows for label, rows in everything(account).items() if rows}
    erase_live(subject_of(account), account)
    subjects.erase_subject(subject=subject_of(account), at=AT)
    # The copy: the call is there again, and nothing says that it was erased.
    delete_rows(Tombstone.objects.all())
    Call.objects.bulk_create([Call(**before["calls.Call"][0])])
    assert Call.objects.filter(calling_number=NUMBER).exists()
    call_command("replay_erasures")
    assert not Call.objects.filter(calling_number=NUMBER).exists()
    assert Tombstone.objects.filter(kind="number").exists()
    assert restore.replay(account=account, at=AT).total() == 0


def test_a_colleague_with_the_name_of_somebody_erased_stays(account):
    gone = AgentFactory(account=account, name="Li Na")
    other = AgentFactory(account=account, name="Li Na")
    subject = Subject(SubjectKind.AGENT, account.pk, account.region, agent_id=gone.pk, names=frozenset({"Li Na", gone.email}))
    erase_live(subject, account)
    assert restore.erase_again(account, at=AT).total() == 0
    other.refresh_from_db()
    assert other.name == "Li Na"


def test_a_later_call_of_an_erased_number_stays_in_the_backups(account):
    scene(account)
    back_up(account=account, at=AT)
    erase_live(subject_of(account), account)
    later = ended(account, AT + dt.timedelta(hours=12), calling_number=NUMBER)
    back_up(account=account, at=AT + dt.timedelta(days=1))
    subjects.erase_subject(subject=subject_of(account), at=AT)
    there = BackupObject.objects.get(kind=Kind.CALLS, day=dt.date(2026, 7, 16))
    assert [row.pk for row in rows_in(there, keys=Keys.of(account.pk)) if row.label == "calls.Call"] == [later.pk]


def test_an_object_that_is_being_written_is_left_and_asked_for_again(account):
    scene(account)
    back_up(account=account, at=AT)
    erase_live(subject_of(account), account)
    BackupObject.objects.filter(kind=Kind.CALLS).update(lease=7, leased_until=timezone.now() + dt.timedelta(minutes=5))
    assert subjects.erase_subject(subject=subject_of(account), at=AT).n_left == 1
    BackupObject.objects.update(leased_until=None)
    assert subjects.erase_subject(subject=subject_of(account), at=AT).n_left == 0
    assert NUMBER not in texts(account)


def test_an_object_that_is_rewritten_while_it_is_appended_loses_nothing_and_keeps_nothing(account, monkeypatch):
    """An erasure comes while the night writes the day: the night has read the rows already."""
    scene(account)
    back_up(account=account, at=AT)
    ended(account)
    subject, real, results = subject_of(account), reach._rewrite, []
    from retention.backups import objects

    stored = objects._store

    def between(ours, rows, **kwargs):
        result = stored(ours, rows, **kwargs)
        if ours.kind == Kind.CALLS and not results:
            erase_live(subject, account)
            results.append(subjects.erase_subject(subject=subject, at=AT))
        return result

    monkeypatch.setattr(objects, "_store", between)
    back_up(account=account, at=AT + dt.timedelta(days=1))
    assert results[0].n_left == 1
    assert NUMBER in texts(account)  # the night put in place what it had read …
    assert subjects.erase_subject(subject=subject, at=AT).n_left == 0  # … so the request asks again
    assert NUMBER not in texts(account)
    assert real is reach._rewrite
    assert Call.objects.count() == 2


def test_a_held_call_stays_in_the_backup(account):
    mine, _others = scene(account)
    back_up(account=account, at=AT)
    hold = LegalHold(account=account, kind=LegalHold.Kind.CALLS, reference="AZ 1")
    holds.place(hold=hold, calls=[mine], by=None, at=AT)
    done = reach.rewrite_days(account=account, change=lambda page: [None] * len(page), at=AT, kinds=[Kind.CALLS])
    assert done.n_held
    there = BackupObject.objects.get(kind=Kind.CALLS)
    left = list(rows_in(there, keys=Keys.of(account.pk)))
    assert {row.pk if row.label == "calls.Call" else row.values["call_id"] for row in left} == {mine.pk}


@pytest.mark.parametrize("kind", ["account", "days"])
def test_a_day_under_a_hold_does_not_expire(account, kind):
    ended(account)
    back_up(account=account, at=AT)
    days = {"from_day": DAY, "to_day": DAY} if kind == "days" else {}
    hold = LegalHold(account=account, kind=kind, reference="AZ 1", **days)
    holds.place(hold=hold, by=None, at=AT)
    at = AT + dt.timedelta(days=400)
    assert reach.expire(account=account, at=at) == 0
    holds.release(hold=hold, by=None, at=at)
    assert reach.expire(account=account, at=at) >= 1
    assert not BackupObject.objects.filter(kind=Kind.CALLS).exists()


def test_a_terminated_account_loses_its_manifest_and_all_objects(account):
    fill(account)
    other = AccountFactory()
    fill(other, "other")
    for one in (account, other):
        back_up(account=one, at=AT)
    LegalHold.objects.update(released_at=AT)
    n = reach.forget_account(account=account, at=AT, cause="termination:1")
    assert n
    while outbox.work(at=AT).n_deleted:
        pass
    from callcenter_site.object_store import list_objects

    assert list(list_objects(f"backups/{account.pk}")) == []
    assert list(list_objects(f"backups/{other.pk}"))
    assert manifest.read_manifest(account.pk) is None
    with pytest.raises(restore.Refused, match="no_backup"):
        bring_back(account)


def test_the_command_restores_lists_and_says_what_is_wrong(account, capsys):
    fill(account)
    back_up(account=account, at=AT)
    call_command("restore", list=True)
    assert "nights 2026-07-15" in capsys.readouterr().out
    with pytest.raises(CommandError, match="into-existing"):
        call_command("restore", account=account.slug)
    with pytest.raises(CommandError, match="no account"):
        call_command("restore", account="nobody")
    with pytest.raises(CommandError, match="no backup"):
        call_command("restore", account="999999")
    lose(account)
    call_command("restore", account=str(account.pk))
    assert "open" in capsys.readouterr().out
