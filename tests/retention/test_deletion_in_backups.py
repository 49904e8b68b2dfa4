"""A deletion request reaches the backups, completes only once they were read again, and nothing of it can be restored."""

import datetime as dt

import pytest
from django.core.files.storage import default_storage
from django.urls import reverse
from django.utils import timezone

from calls.models import Call, CallEvent
from configuration.models import BlockedNumber, DataKey, Role
from retention import deletion, holds, stores
from retention.backups import manifest, reach
from retention.backups import subjects as backups
from retention.backups.crypt import Keys
from retention.backups.night import back_up
from retention.backups.objects import rows_in
from retention.models import BackupObject, DeletionRequest, ErasureStep, FileDeletion, LedgerEntry
from retention.querysets import LEASE
from tests.factories import AccountFactory, AgentFactory
from tests.retention.backup_rows import AT, everything
from tests.retention.test_backup_restore import DAY, NUMBER, bring_back, ended, event_of, lose, scene, texts
from tests.retention.test_deletion import approved, ask, done, go_on, place, steps_of

pytestmark = pytest.mark.django_db

LATER = AT + dt.timedelta(hours=1)
State, StepState = DeletionRequest.State, ErasureStep.State
FORMS = (NUMBER, "13900139000'", "139 0013 9000", "139-0013-9000")


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def asked(account, boss, kind="number", said=None):
    return ask(account, boss, kind, {"number": NUMBER} if said is None else said, at=LATER)


def in_backups(request):
    return ErasureStep.objects.get(request=request, store=stores.BACKUPS)


def labels_of(call):
    """The rows of backups that are a call or hang on it."""
    keys = Keys.of(call.account_id)
    objects = BackupObject.objects.for_account(call.account_id).exclude(kind="manifest").exclude(key="")
    rows = [row for there in objects for row in rows_in(there, keys=keys)]
    return sorted(
        row.label for row in rows if row.values.get("call_key") == call.call_key or row.values.get("call_id", "") == call.pk
    )


# --- The whole way ---------------------------------------------------------------------------------------------------


def test_a_number_that_was_erased_is_in_no_backup_and_no_restore_brings_it_back(account, boss):
    mine, others = scene(account)
    neighbour = AccountFactory()
    ended(neighbour, calling_number=NUMBER)
    back_up(account=account, at=AT)
    back_up(account=neighbour, at=AT)
    theirs = texts(neighbour)
    old = {row.key for row in BackupObject.objects.for_account(account).exclude(key="") if row.kind in ("calls", "events")}
    request = go_on(asked(account, boss), LATER)
    assert in_backups(request).n_found == 6 and NUMBER in texts(account)  # counted, and nothing has gone
    deletion.approve(request, by=boss, at=LATER)
    go_on(request, LATER)
    assert request.state == State.COMPLETED, [(s.store, s.state, s.error, s.n_left) for s in steps_of(request).values()]
    step = in_backups(request)
    assert (step.state, step.n_held, step.n_left) == (StepState.DONE, 0, 0) and step.n_deleted > 6
    assert step.position == request.steps.count()
    told = {one["store"]: one for one in request.certificate["stores"]}
    assert told["backups"] == {"store": "backups", "found": 6, "deleted": step.n_deleted, "held": 0, "left": 0}
    assert LedgerEntry.objects.filter(account=account, kind="erasure_step", store="backups").exists()
    assert not any(form in texts(account) for form in FORMS)
    assert not any(default_storage.exists(key) for key in old) and not FileDeletion.objects.exists()
    assert texts(neighbour) == theirs and NUMBER in theirs
    lose(account)
    bring_back(account, with_raw_events=True)
    found = repr(everything(account))
    assert not any(form in found for form in FORMS)
    assert set(Call.objects.for_account(account).values_list("pk", flat=True)) == {others.pk} and mine.pk != others.pk
    assert not BlockedNumber.objects.for_account(account).exists()


@pytest.mark.parametrize("kind", ["call", "days", "agent"])
def test_whatever_was_asked_for_goes_from_the_backups(account, boss, kind):
    person = AgentFactory(account=account, name="Grace Hopper", email="grace@example.com")
    mine, other = ended(account), ended(account, at=dt.datetime(2026, 7, 13, 8, tzinfo=dt.UTC))
    event_of(mine)
    back_up(account=account, at=AT)
    assert labels_of(mine) == ["calls.Call", "calls.CallEvent"] and "Grace Hopper" in texts(account)
    said = {
        "call": {"call_id": mine.call_id},
        "days": {"first_day": DAY, "last_day": DAY},
        "agent": {"agent": person.pk},
    }[kind]
    request = done(asked(account, boss, kind, said), boss, LATER)
    assert request.state == State.COMPLETED, [(s.store, s.state, s.error, s.n_left) for s in steps_of(request).values()]
    step = in_backups(request)
    assert step.n_found >= 1 and step.n_deleted >= 1 and step.n_left == 0
    if kind == "agent":
        assert "Grace" not in texts(account)
    else:
        assert step.n_found == 2 and labels_of(mine) == []
    assert labels_of(other) == ["calls.Call"]


def test_nothing_backed_up_counts_as_nothing(account, boss):
    request = done(asked(account, boss), boss, LATER)
    assert request.state == State.COMPLETED
    assert (in_backups(request).n_found, in_backups(request).n_deleted, in_backups(request).n_left) == (0, 0, 0)


# --- Held up ---------------------------------------------------------------------------------------------------------


def test_a_worker_killed_between_two_objects_is_followed_by_one_that_goes_on_there(account, boss, monkeypatch):
    scene(account)
    ended(account, calling_number=NUMBER, at=dt.datetime(2026, 7, 13, 8, tzinfo=dt.UTC))
    back_up(account=account, at=AT)
    request = approved(asked(account, boss), boss, LATER)
    real, seen = reach._rewrite, []

    def killed(account, there, change, **kwargs):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(there.pk)
        return real(account, there, change, **kwargs)

    monkeypatch.setattr(reach, "_rewrite", killed)
    with pytest.raises(KeyboardInterrupt):
        go_on(request, LATER)
    assert in_backups(request).cursor[1] == seen[-1]
    n_before = in_backups(request).n_deleted
    later, again = LATER + LEASE * 2, []
    monkeypatch.setattr(
        reach, "_rewrite", lambda account, there, change, **more: again.append(there.pk) or real(account, there, change, **more)
    )
    go_on(request, later)
    assert request.state == State.COMPLETED and again and not set(again) & set(seen)
    assert in_backups(request).n_deleted > n_before
    assert not any(form in texts(account) for form in FORMS)
    listed = {row.key for row in manifest.read_manifest(account.pk).objects}
    assert all(default_storage.exists(key) for key in listed if key)


def test_an_object_that_is_being_written_keeps_the_request_open(account, boss):
    scene(account)
    back_up(account=account, at=AT)
    busy = BackupObject.objects.for_account(account).filter(kind="calls")
    busy.update(leased_until=timezone.now() + dt.timedelta(minutes=5))
    request = done(asked(account, boss), boss, LATER)
    step = in_backups(request)
    assert (request.state, step.state, step.error, step.cursor) == (State.RUNNING, StepState.FAILED, "backups_left", None)
    assert str(deletion.ERRORS[step.error]) and request.certificate is None
    busy.update(leased_until=None)
    go_on(request, LATER + dt.timedelta(hours=1))
    assert request.state == State.COMPLETED and not any(form in texts(account) for form in FORMS)


def test_an_object_that_does_not_open_is_never_called_searched(account, boss):
    scene(account)
    back_up(account=account, at=AT)
    there = BackupObject.objects.for_account(account).get(kind="calls")
    raw = default_storage.open(there.key).read()
    default_storage.delete(there.key)
    with default_storage.open(there.key, "wb") as file:
        file.write(raw[:-20] + bytes(20))
    request = approved(asked(account, boss), boss, LATER)
    for hours in range(1, 40, 8):
        go_on(request, LATER + dt.timedelta(hours=hours))
        assert request.state == State.RUNNING and in_backups(request).error == "backups_left"


def test_a_backup_that_was_made_meanwhile_is_found_by_the_search_and_rewritten(account, boss, monkeypatch):
    scene(account)
    back_up(account=account, at=AT)
    request = approved(asked(account, boss), boss, LATER)
    real, calls = backups.erase_subject, []

    def missed_at_first(**kwargs):
        calls.append(1)
        return real(**kwargs) if len(calls) > 1 else reach.Rewritten(0, 0, 0, 0, 0)

    monkeypatch.setattr(backups, "erase_subject", missed_at_first)
    go_on(request, LATER)
    assert request.state == State.COMPLETED and len(calls) == 2 and request.n_passes == 2
    assert not any(form in texts(account) for form in FORMS)


def test_backups_wait_until_the_live_rows_have_gone(account, boss, monkeypatch):
    scene(account)
    back_up(account=account, at=AT)
    request = approved(asked(account, boss), boss, LATER)

    def broken(self, step, store, subject):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(deletion._Worker, "_erase_store", broken)
        go_on(request, LATER)
    assert request.state == State.RUNNING and in_backups(request).state == StepState.WAITING and NUMBER in texts(account)
    go_on(request, LATER + dt.timedelta(hours=1))
    assert request.state == State.COMPLETED and NUMBER not in texts(account)


def test_a_request_that_was_scoped_before_backups_were_reached_reaches_them(account, boss):
    scene(account)
    back_up(account=account, at=AT)
    request = approved(asked(account, boss), boss, LATER)
    in_backups(request).delete()
    go_on(request, LATER)
    assert request.state == State.COMPLETED and in_backups(request).n_deleted and NUMBER not in texts(account)


# --- Holds and the end of an account ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["number", "account"])
def test_what_a_hold_keeps_stays_in_the_backups_and_goes_after_its_release(account, boss, kind):
    _mine, others = scene(account)
    back_up(account=account, at=AT)
    CallEvent.objects.filter(call_key=others.call_key).delete()  # its week is over; only the backup has it
    Call.objects.filter(pk=others.pk).update(sealed_at=AT)
    before = texts(account)
    hold = place(account, kind=kind, **({"number": NUMBER} if kind == "number" else {}))
    request = done(asked(account, boss), boss, LATER)
    assert request.state == State.HELD and texts(account) == before
    assert in_backups(request).n_deleted == 0
    holds.release(hold=hold, by=None, at=LATER)
    go_on(request, LATER + dt.timedelta(hours=2))
    assert request.state == State.COMPLETED and not any(form in texts(account) for form in FORMS)


def stored(account):
    try:
        return default_storage.listdir(f"backups/{account.pk}")[1]
    except FileNotFoundError:
        return []


def test_an_account_that_ended_leaves_no_backup_and_no_key(account, boss):
    other = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    scene(account)
    neighbour = AccountFactory()
    ended(neighbour)
    for one in (account, neighbour):
        back_up(account=one, at=AT)
    request = go_on(asked(account, boss, "account", {}), LATER)
    assert in_backups(request).n_found > 6 and stored(account)
    deletion.approve(request, by=other, at=LATER)
    go_on(request, LATER + dt.timedelta(days=14))
    assert request.state == State.COMPLETED, [(s.store, s.state, s.error, s.n_left) for s in steps_of(request).values()]
    assert stored(account) == [] and not BackupObject.objects.for_account(account).exists()
    assert not DataKey.objects.filter(account=account).exists() and not FileDeletion.objects.exists()
    told = {one["store"]: one for one in request.certificate["stores"]}
    assert told["backups"]["deleted"] == told["backups"]["found"] and told["backups"]["left"] == 0
    assert stored(neighbour) and "calls.Call" in texts(neighbour)


def test_a_held_call_of_an_account_that_ends_keeps_its_backup_until_the_hold_does(account, boss):
    other = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    held = ended(account)
    scene(account)
    back_up(account=account, at=AT)
    hold = place(account, kind="days", from_day=DAY, to_day=DAY)
    request = go_on(asked(account, boss, "account", {}), LATER)
    deletion.approve(request, by=other, at=LATER)
    go_on(request, LATER + dt.timedelta(days=14))
    assert request.state == State.HELD and "calls.Call" in labels_of(held)
    assert in_backups(request).n_held and in_backups(request).n_left
    holds.release(hold=hold, by=None, at=LATER)
    go_on(request, LATER + dt.timedelta(days=14, hours=2))
    assert request.state == State.COMPLETED and stored(account) == []


# --- Told ------------------------------------------------------------------------------------------------------------


def test_the_privacy_page_tells_open_requests_and_when_backups_were_verified(account, boss, client):
    back_up(account=account, at=AT)
    now = timezone.now()
    soon = ask(account, boss, at=now, received_at=now - dt.timedelta(days=26))
    ask(AccountFactory(), None, at=now)
    rejected = go_on(ask(account, boss, said={"number": "+8613900139002"}, at=now), now)
    deletion.reject(rejected, reason="mistake", by=boss, at=now)
    client.force_login(boss, backend="agents.sign_in.RoleBackend")
    page = client.get(reverse("retention:privacy"))
    shown = page.content.decode()
    assert [(one.pk, is_pressing) for one, _left, is_pressing in page.context["open_requests"]] == [(soon.pk, True)]
    assert f"#{soon.pk}" in shown and "3 days" in shown and f"Last verified {now.astimezone(account.zone):%Y-%m-%d}" in shown
    assert NUMBER not in shown


def test_the_page_of_a_request_names_the_backups(account, boss, client):
    request = done(asked(account, boss), boss, LATER)
    client.force_login(boss, backend="agents.sign_in.RoleBackend")
    steps = client.get(reverse("admin:retention_deletionrequest_change", args=[request.pk])).context["steps"]
    assert (steps[-1]["store"], steps[-1]["title"]) == ("backups", "backups")
