"""Deletion requests from the day they come to the certificate, and every way in which they may be held up."""

import datetime as dt
import io
import json
import os

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError

from agents.models import Agent
from callcenter_site.subjects import Erased, Page, Store, SubjectKind
from calls.models import Call
from configuration import encryption
from configuration.key_rotation import RotationRefused, rotate
from configuration.models import Account, DataKey, Role
from retention import access_request, certificate, deadlines, deletion, holds, outbox, signing, stores, subject_values
from retention.models import DeletionRequest, ErasureStep, FileDeletion, LedgerEntry, LegalHold
from retention.querysets import LEASE
from tests.factories import AccountFactory, AgentFactory, CallFactory, RecordingFactory
from tests.retention.test_subjects import dump, everywhere, files_left

pytestmark = pytest.mark.django_db

NUMBER = "+8613800138000"
NOW = dt.datetime(2026, 11, 23, 20, tzinfo=dt.UTC)
State = DeletionRequest.State
PAGE = "/admin/retention/deletionrequest/"


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def ask(account, by, kind="number", said=None, at=NOW, **more):
    return deletion.open_request(
        account=account, kind=kind, said={"number": NUMBER} if said is None else said, by=by, at=at, **more
    )


def go_on(request, at=NOW):
    deletion.work_on(request.pk, clock=lambda: at)
    request.refresh_from_db()
    return request


def approved(request, by, at=NOW):
    go_on(request, at)
    deletion.approve(request, by=by, at=at)
    request.refresh_from_db()
    return request


def done(request, by, at=NOW):
    return go_on(approved(request, by, at), at)


def steps_of(request):
    return {step.store: step for step in ErasureStep.objects.filter(request=request)}


# --- The way through -------------------------------------------------------------------------------------------------


def test_a_request_goes_from_received_to_a_certificate_that_verifies(account, boss, tmp_path):
    AgentFactory(account=account, staff_id="1001")
    everywhere(account)
    request = ask(account, boss, reference="T-1")
    assert (request.state, request.due_at) == (State.RECEIVED, NOW + dt.timedelta(days=30))
    go_on(request)
    assert request.state == State.SCOPED
    found = {name: step.n_found for name, step in steps_of(request).items()}
    assert found["calls"] == 1 and found["exports"] == 1 and found["saved_filters"] == 2
    assert Call.objects.count() == 3  # scoping erases nothing
    deletion.approve(request, by=boss, at=NOW)
    go_on(request)
    assert request.state == State.COMPLETED, steps_of(request)
    text = dump()
    for form in (NUMBER, "13800138000", "138 0013 8000", "138-0013-8000"):
        assert form not in text, [line for line in text.splitlines() if form in line]
    assert files_left() == [] and not FileDeletion.objects.exists()
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(certificate.as_file(request)))
    call_command("verify_certificate", str(file))
    kinds = list(LedgerEntry.objects.order_by("position").values_list("kind", flat=True))
    assert kinds[:2] == ["request_received", "request_approved"] and kinds[-2:] == ["verification", "request_completed"]
    assert "138" not in str(list(LedgerEntry.objects.values_list("counts", "store", "note_code")))


def test_a_certificate_that_was_changed_does_not_verify(account, boss, tmp_path):
    request = done(ask(account, boss), boss)
    said = certificate.as_file(request)
    said["certificate"]["stores"][0]["deleted"] += 1
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(said))
    with pytest.raises(CommandError, match="changed"):
        call_command("verify_certificate", str(file))
    file.write_text("{}")
    with pytest.raises(CommandError, match="no certificate"):
        call_command("verify_certificate", str(file))


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_a_certificate_is_a_pdf_in_the_readers_language(account, boss, language):
    from django.utils import translation

    request = done(ask(account, boss), boss)
    with translation.override(language):
        pdf = certificate.as_pdf(request, titles={"calls": "通话"})
    assert pdf.startswith(b"%PDF-") and (b"STSong" in pdf) == (language == "zh-hans")


def test_a_number_nobody_called_completes_and_says_so(account, boss):
    request = done(ask(account, boss), boss)
    assert request.state == State.COMPLETED
    assert {(one["found"], one["deleted"], one["left"]) for one in request.certificate["stores"]} == {(0, 0, 0)}


def test_whom_it_was_about_is_unreadable_a_week_after_its_end(account, boss):
    request = done(ask(account, boss), boss)
    assert subject_values.said_in(request) == {"number": NUMBER}
    assert NUMBER.encode() not in bytes(request.value)
    assert deletion.forget_subjects(at=NOW + dt.timedelta(days=7)) == 0
    assert deletion.forget_subjects(at=NOW + dt.timedelta(days=7, seconds=1)) == 1
    request.refresh_from_db()
    assert subject_values.said_in(request) is None and request.subject_hash is None


def test_after_a_rotation_the_old_key_can_go_and_a_request_that_waits_still_opens(account, boss, settings):
    CallFactory(account=account, calling_number=NUMBER, started_at=NOW - dt.timedelta(hours=1))
    request = go_on(ask(account, boss))
    asked = access_request.open_request(account=account, kind="number", said={"number": NUMBER}, by=boss, at=NOW)
    signed = signing.sign(b"before")
    (old,) = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS | {"newer": os.urandom(32)}
    encryption.forget_keys()
    assert f"{old}: 4 other keys" in checked()  # of two requests, of signatures, of the backups
    rotate()
    assert "newer: 6 other keys (newest)" in checked() and old not in checked()  # with the installation's
    assert rotate().did_nothing
    settings.ENCRYPTION_KEYS = {"newer": settings.ENCRYPTION_KEYS["newer"]}
    encryption.forget_keys()
    request.refresh_from_db()
    asked.refresh_from_db()
    assert subject_values.said_in(request) == subject_values.said_in(asked) == {"number": NUMBER}
    assert signing.sign(b"before") == signed
    deletion.approve(request, by=boss, at=NOW)
    assert go_on(request).state == State.COMPLETED and not Call.objects.exists()


def checked():
    said = io.StringIO()
    call_command("rotate_keys", "--check", stdout=said)
    return said.getvalue()


def test_a_rotation_that_lacks_the_key_of_a_request_is_refused(account, boss, settings):
    ask(account, boss)
    rotate()
    DeletionRequest.objects.update(key_id="gone")
    with pytest.raises(RotationRefused, match="gone: missing, needed by 1"):
        rotate()


def test_a_destroyed_key_stays_destroyed_whoever_had_read_the_request_before(account, boss, settings):
    request = done(ask(account, boss), boss)
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS | {"newer": os.urandom(32)}
    deletion.forget_subjects(at=NOW + dt.timedelta(days=8))
    assert subject_values.said_in(request) == {"number": NUMBER}  # as it was read
    request.refresh_from_db()
    assert (request.key_id, bytes(request.wrapped_key)) == ("", b"")


@pytest.mark.parametrize("written", ["", "abc", "12", "liwei@example.com"])
def test_what_is_no_number_is_refused_on_its_field(account, boss, written):
    with pytest.raises(ValidationError) as refused:
        ask(account, boss, said={"number": written})
    assert list(refused.value.message_dict) == ["number"]


def test_a_number_of_the_center_itself_is_refused(account, boss):
    from tests.factories import ServiceNumberFactory

    ServiceNumberFactory(account=account, number=NUMBER)
    with pytest.raises(ValidationError, match="service number"):
        ask(account, boss)


def test_the_thirty_days_run_from_receipt(account, boss):
    assert ask(account, boss, received_at=NOW - dt.timedelta(days=10)).due_at == NOW + dt.timedelta(days=20)
    with pytest.raises(ValidationError):
        ask(account, boss, received_at=NOW + dt.timedelta(days=1))
    with pytest.raises(ValidationError):
        ask(account, boss, received_at=NOW - dt.timedelta(days=31))


# --- Twice, stopped, killed ------------------------------------------------------------------------------------------


def test_entered_twice_one_runs(account, boss):
    first, second = ask(account, boss), ask(account, boss, said={"number": "138 0013 8000"})
    assert (second.state, second.duplicate_of) == (State.DUPLICATE, first)
    done(first, boss)
    assert ask(account, boss).state == State.RECEIVED  # once it is over, the number may have called again
    other = AccountFactory()
    assert ask(other, AgentFactory(account=other, kind=Role.Kind.ADMINISTRATOR)).state == State.RECEIVED


def test_two_workers_at_once_run_it_once(account, boss):
    request = approved(ask(account, boss), boss)
    DeletionRequest.objects.filter(pk=request.pk).update(heartbeat_at=NOW)
    assert not deletion.work_on(request.pk, clock=lambda: NOW + dt.timedelta(seconds=10))
    assert deletion.work_on(request.pk, clock=lambda: NOW + LEASE + dt.timedelta(seconds=1))


def test_a_worker_that_lost_its_lease_erases_nothing(account, boss, monkeypatch):
    CallFactory(account=account, calling_number=NUMBER)
    request = approved(ask(account, boss), boss)
    real = stores.store_named("calls", SubjectKind.NUMBER).find

    def taken_over(subject, after, limit):
        DeletionRequest.objects.filter(pk=request.pk).update(lease=99)
        return real(subject, after, limit)

    _replace(monkeypatch, "calls", find=taken_over)
    go_on(request, NOW + dt.timedelta(minutes=10))
    assert Call.objects.count() == 1 and request.state == State.RUNNING


def _replace(monkeypatch, name, **changes):
    from dataclasses import replace

    changed = tuple(replace(store, **changes) if store.name == name else store for store in stores._BY_HAND)
    monkeypatch.setattr(stores, "_BY_HAND", changed)


def test_killed_between_batches_the_next_worker_goes_on_from_the_cursor(account, boss, monkeypatch):
    monkeypatch.setattr(deletion, "BATCH", 2)
    for _ in range(5):
        CallFactory(account=account, calling_number=NUMBER, started_at=NOW - dt.timedelta(hours=1))
    request = approved(ask(account, boss), boss)
    real = stores.store_named("calls", SubjectKind.NUMBER).erase
    calls = []

    class Killed(BaseException):
        pass

    def dies(subject, ids, work):
        calls.append(ids)
        if len(calls) == 2:
            raise Killed
        return real(subject, ids, work)

    _replace(monkeypatch, "calls", erase=dies)
    with pytest.raises(Killed):
        go_on(request)
    assert Call.objects.count() == 3
    go_on(request, NOW + LEASE + dt.timedelta(seconds=1))
    assert request.state == State.COMPLETED
    assert steps_of(request)["calls"].n_deleted == 5


def test_cancelled_before_it_ran_nothing_has_gone(account, boss):
    CallFactory(account=account, calling_number=NUMBER)
    request = approved(ask(account, boss), boss)
    assert deletion.cancel(request, by=boss, at=NOW) == {}
    go_on(request)
    assert request.state == State.CANCELLED and Call.objects.count() == 1
    with pytest.raises(ValidationError, match="too late"):
        deletion.cancel(request, by=boss, at=NOW)


def test_cancelled_half_way_says_what_went(account, boss, monkeypatch):
    monkeypatch.setattr(deletion, "BATCH", 1)
    for _ in range(3):
        CallFactory(account=account, calling_number=NUMBER, started_at=NOW - dt.timedelta(hours=1))
    request = approved(ask(account, boss), boss)
    real = stores.store_named("calls", SubjectKind.NUMBER).erase
    told = []

    def cancelled_after_one(subject, ids, work):
        erased = real(subject, ids, work)
        work.after.append(lambda: told.append(deletion.cancel(DeletionRequest.objects.get(pk=request.pk), by=boss, at=NOW)))
        return erased

    _replace(monkeypatch, "calls", erase=cancelled_after_one)
    go_on(request)
    assert request.state == State.CANCELLED
    assert told == [{"calls": 1}] and Call.objects.count() == 2
    assert LedgerEntry.objects.get(kind="request_cancelled").counts == {"calls": 1}


def test_a_rejected_request_erases_nothing_and_says_why(account, boss):
    request = go_on(ask(account, boss))
    deletion.reject(request, reason="identity", by=boss, at=NOW)
    assert (request.state, request.rejected_for) == (State.REJECTED, "identity")
    with pytest.raises(ValidationError):
        deletion.approve(request, by=boss, at=NOW)
    with pytest.raises(PermissionDenied):
        deletion.reject(ask(account, boss), reason="identity", by=AgentFactory(account=account), at=NOW)


# --- What is missing or fails ----------------------------------------------------------------------------------------


def test_a_store_without_a_handler_fails_and_the_request_does_not_complete(account, boss, monkeypatch):
    request = go_on(ask(account, boss))
    monkeypatch.setattr(stores, "_BY_HAND", tuple(one for one in stores._BY_HAND if one.name != "blacklist"))
    deletion.approve(request, by=boss, at=NOW)
    go_on(request)
    step = steps_of(request)["blacklist"]
    assert (request.state, step.state, step.error) == (State.RUNNING, "failed", deletion.NO_STORE)
    assert request.retry_at > NOW


def test_a_table_in_no_store_fails_the_request(account, boss, monkeypatch):
    monkeypatch.setattr(stores, "uncovered", lambda *_: ["calls.NewThing"])
    request = done(ask(account, boss), boss)
    assert request.state == State.RUNNING
    assert steps_of(request)["calls.NewThing"].error == deletion.NO_STORE


def test_a_store_that_fails_is_tried_again_and_the_others_go_on(account, boss, monkeypatch):
    CallFactory(account=account, calling_number=NUMBER, started_at=NOW - dt.timedelta(hours=1))
    request = approved(ask(account, boss), boss)
    real = stores.store_named("remarks", SubjectKind.NUMBER).find
    is_broken = [True]

    def find(subject, after, limit):
        if is_broken[0]:
            raise IntegrityError("no")
        return real(subject, after, limit)

    _replace(monkeypatch, "remarks", find=find)
    go_on(request)
    assert request.state == State.RUNNING and Call.objects.count() == 0
    assert (steps_of(request)["remarks"].state, steps_of(request)["remarks"].error) == ("failed", "IntegrityError")
    is_broken[0] = False
    go_on(request, request.retry_at)
    assert request.state == State.COMPLETED


def test_what_the_search_afterwards_finds_is_erased_in_another_pass(account, boss, monkeypatch):
    request = approved(ask(account, boss), boss)
    left = [3]

    def find(subject, after, limit):
        return Page([1] if left[0] else [], None)

    def erase(subject, ids, work):
        left[0] -= 1
        return Erased(1)

    _replace(monkeypatch, "remarks", find=find, erase=erase)
    go_on(request)
    assert request.state == State.COMPLETED and request.n_passes == 3


def test_what_is_found_again_and_again_is_never_called_complete(account, boss, monkeypatch):
    request = approved(ask(account, boss), boss)
    _replace(monkeypatch, "remarks", find=lambda *_: Page([1], None), erase=lambda *_: Erased(1))
    go_on(request)
    assert request.state == State.RUNNING
    assert steps_of(request)["remarks"].error == deletion.LEFT_OVER


def test_a_file_the_store_does_not_give_up_keeps_the_request_open(account, boss, monkeypatch):
    call = CallFactory(account=account, calling_number=NUMBER, started_at=NOW - dt.timedelta(hours=1))
    RecordingFactory(call=call)
    monkeypatch.setattr(outbox, "delete_objects", lambda keys: dict.fromkeys(keys, "AccessDenied"))
    request = done(ask(account, boss), boss)
    assert request.state == State.ERASED and len(files_left()) == 1
    monkeypatch.undo()
    go_on(request, NOW + dt.timedelta(hours=7))
    assert request.state == State.COMPLETED and files_left() == []


# --- Holds -----------------------------------------------------------------------------------------------------------


def place(account, **more):
    hold = LegalHold(account=account, reference="C-1", **more)
    hold.clean()
    return holds.place(hold=hold, by=None, at=NOW)


def test_what_is_held_stays_and_goes_by_itself_when_the_hold_is_released(account, boss):
    held = CallFactory(account=account, calling_number=NUMBER, started_at=dt.datetime(2026, 11, 1, 4, tzinfo=dt.UTC))
    CallFactory(account=account, calling_number=NUMBER, started_at=dt.datetime(2026, 11, 2, 4, tzinfo=dt.UTC))
    hold = place(account, kind="days", from_day=dt.date(2026, 11, 1), to_day=dt.date(2026, 11, 1))
    request = done(ask(account, boss), boss)
    assert request.state == State.HELD and list(Call.objects.all()) == [held]
    assert (steps_of(request)["calls"].n_deleted, steps_of(request)["calls"].n_held) == (1, 1)
    go_on(request, NOW + dt.timedelta(hours=2))
    assert request.state == State.HELD and steps_of(request)["calls"].n_held == 1
    holds.release(hold=hold, by=None, at=NOW)
    go_on(request, NOW + dt.timedelta(hours=4))
    assert request.state == State.COMPLETED and not Call.objects.exists()


@pytest.mark.parametrize("kind", ["number", "account"])
def test_a_hold_on_the_subject_or_the_account_keeps_all_of_it(account, boss, kind):
    AgentFactory(account=account, staff_id="1001")
    everywhere(account)
    place(account, kind=kind, **({"number": NUMBER} if kind == "number" else {}))
    before = Call.objects.count()
    request = done(ask(account, boss), boss)
    assert request.state == State.HELD and Call.objects.count() == before
    assert not any(step.n_deleted for step in steps_of(request).values())


# --- Deadlines -------------------------------------------------------------------------------------------------------


def test_each_warning_is_sent_once(account, boss, settings):
    settings.PUBLIC_URL = "https://portal.example.com"
    request = ask(account, boss)
    assert deadlines.warn(at=NOW + dt.timedelta(days=22)) == 0
    sent = []
    for day in (23, 23.5, 26, 27, 28, 30.5, 31, 40):
        n = deadlines.warn(at=NOW + dt.timedelta(days=day))
        sent += [mail.outbox[-1].subject] if n else []
        assert len(mail.outbox) == len(sent)
    assert sent == [
        f"Deletion request #{request.pk} is due in 7 days",
        f"Deletion request #{request.pk} is due in 3 days",
        f"Deletion request #{request.pk} is overdue",
    ]
    assert mail.outbox[0].to == [boss.email] and "138" not in mail.outbox[0].body
    done(request, boss, NOW + dt.timedelta(days=41))
    assert deadlines.pressing(account.pk, at=NOW + dt.timedelta(days=60)) == []


def test_one_that_nobody_was_warned_of_is_told_overdue_at_once(account, boss):
    ask(account, boss)
    assert deadlines.warn(at=NOW + dt.timedelta(days=35)) == 1
    assert deadlines.warn(at=NOW + dt.timedelta(days=36)) == 0


# --- People and accounts ---------------------------------------------------------------------------------------------


def test_the_last_administrator_is_not_erased(account, boss):
    with pytest.raises(ValidationError) as refused:
        ask(account, boss, "agent", {"agent": boss.pk})
    assert list(refused.value.message_dict) == ["agent"]
    with pytest.raises(ValidationError):
        ask(account, boss, "agent", {"agent": AgentFactory(account=AccountFactory()).pk})


def test_an_agent_renamed_after_the_request_is_erased_under_every_name(account, boss):
    agent = AgentFactory(account=account, staff_id="LW-77", name="Li Wei")
    request = ask(account, boss, "agent", {"agent": agent.pk})
    agent.name = "Wei Canary"
    agent.save()
    done(request, boss)
    assert request.state == State.COMPLETED, steps_of(request)
    text = dump()
    assert "Wei Canary" not in text and "Li Wei" not in text and "LW-77" not in text


def terminated(account, boss, other):
    request = go_on(ask(account, boss, "account", {}))
    deletion.approve(request, by=other, at=NOW)
    request.refresh_from_db()
    return request


def test_terminating_needs_a_second_administrator_and_ends_access_at_once(account, boss, client):
    other = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(boss)
    assert client.get(PAGE).status_code == 200
    request = go_on(ask(account, boss, "account", {}))
    with pytest.raises(ValidationError, match="second administrator"):
        deletion.approve(request, by=boss, at=NOW)
    deletion.approve(request, by=other, at=NOW)
    assert client.get(PAGE).status_code == 302
    request.refresh_from_db()
    assert request.runs_from == NOW + dt.timedelta(days=14)
    go_on(request, NOW + dt.timedelta(days=13))
    assert request.state == State.APPROVED
    deletion.cancel(request, by=boss, at=NOW + dt.timedelta(days=13))
    account.refresh_from_db()
    assert account.is_open and client.get(PAGE).status_code == 200


def test_an_account_leaves_its_shell_and_its_ledger(account, boss):
    other = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, email="canary@example.com", name="Canary Name")
    neighbour = AccountFactory(name="Neighbour")
    CallFactory(account=neighbour)
    AgentFactory(account=account, staff_id="1001")
    everywhere(account)
    Account.objects.filter(pk=account.pk).update(name="Canary Account", slug="canary")
    request = terminated(account, boss, other)
    go_on(request, NOW + dt.timedelta(days=14))
    assert request.state == State.COMPLETED, {
        name: (step.state, step.error, step.n_left) for name, step in steps_of(request).items()
    }
    account.refresh_from_db()
    assert bytes(account.wrapped_key) == b"" and not DataKey.objects.filter(account=account).exists()
    assert not Agent.objects.filter(account=account).exists()
    left = {line.split()[0] for line in dump().splitlines() if "canary" in line.lower() or "138 0013" in line or NUMBER in line}
    assert left <= {"calls.Call"}  # the neighbour's
    assert Call.objects.get().account == neighbour and files_left() == []
    assert LedgerEntry.objects.filter(account=account, kind="key_destroyed").exists()
    go_on(request, NOW + dt.timedelta(days=15))
    assert request.state == State.COMPLETED


def test_every_table_of_an_account_is_in_a_step_of_its_end(account, boss):
    named = {label for store in stores.stores_for(SubjectKind.ACCOUNT) for label in store.models}
    from retention.erasure import KEPT

    ours = {line.model for line in KEPT if line.model.split(".")[0] in stores.OURS and line.account == "account"}
    assert ours - named <= stores.SHELLS
    assert isinstance(stores.stores_for(SubjectKind.ACCOUNT)[0], Store)
