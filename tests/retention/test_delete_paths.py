"""Every path that deletes obeys a legal hold: jobs, people in the admin, programs over the API. Walked, not listed: a new
job, page or route is asked the day it is made."""

import datetime as dt
import json

import pytest
import time_machine
from django.apps import apps
from django.contrib import admin
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from agents.models import AgentPhone
from analytics.models import ErasedCount
from callcenter_site import legal_holds
from callcenter_site.admin import PortalAdmin
from callcenter_site.api import router
from callcenter_site.erasure import Lifetime
from callcenter_site.legal_holds import UnderHold
from callcenter_site.rest import Deletes
from callcenter_site.schedule import TIMETABLE
from callcenter_site.subjects import Subject, SubjectKind
from calls import exporting
from calls.models import Call, ExportRun, IncomingSound, SavedFilter
from configuration.models import BlockedNumber, Role
from retention import deletion, holds, stores
from retention.erasure import KEPT
from retention.models import HeldCall, LegalHold
from tests.factories import AgentFactory, CallFactory
from tests.isolation.test_admin import as_person, request_of
from tests.isolation.worlds import make_world

MADE = dt.datetime(2026, 3, 4, 3, 0, tzinfo=dt.UTC)
A_YEAR_LATER = MADE + dt.timedelta(days=400)
PERSONAL = [
    line
    for line in KEPT
    if line.account == "account"
    and (line.people or line.files or line.lifetime in (Lifetime.CALL_DATA, Lifetime.RAW_EVENTS, Lifetime.COUNTS))
]
LEFT_OUT = {
    "send_alerts",
    "send_sign_in_links",
    "fetch_sounds",
    "watch_recordings",
    "fill_intervals",
    "recount_intervals",
    "back_up",
}
"""Jobs that speak to others, or would count a year of slots; and backups, which are tried with
objects that open (`test_deletion_in_backups`, `test_backup_restore`)."""


@pytest.fixture
def world(db):
    with time_machine.travel(MADE, tick=False):
        world = make_world("heldelm", 50_000_000)
        HeldCall.objects.all().delete()
        LegalHold.objects.update(released_at=MADE)
        ErasedCount.objects.update(counts={})  # of a shape that no canary has
        IncomingSound.objects.update(spool_name="", key="sounds/none.wav")
        yield world


def put_under_hold(world):
    holds.place(hold=LegalHold(account=world.account, kind="account", reference="7/26"), calls=(), by=None, at=MADE)


DELETED_BY_AGE = {
    "calls.Call",
    "calls.Recording",
    "calls.Voicemail",
    "calls.CallEvent",
    "calls.ExportRun",
    "calls.IncomingSound",
    "configuration.IdempotencyKey",
    "agents.SignInLink",
}
"""Among others: without a hold the same jobs do delete."""


def what_there_is(world):
    """Each row, with what it says of people and which files it names."""
    found = {}
    for line in PERSONAL:
        model = apps.get_model(line.model)
        names = [model._meta.get_field(name).attname for name in (*line.people, *line.files)]
        for pk, *values in model._base_manager.filter(account_id=world.account.pk).values_list("pk", *names):
            found[line.model, pk] = values
    return found


def run_every_job():
    for name, (path, _schedule) in TIMETABLE.items():
        if name not in LEFT_OUT:
            import_string(path)()


def test_a_year_later_no_job_has_deleted_anything_of_a_held_account(world, django_capture_on_commit_callbacks):
    put_under_hold(world)
    before = what_there_is(world)
    with time_machine.travel(A_YEAR_LATER, tick=False):
        run_every_job()
    after = what_there_is(world)
    assert {key for key in before if key not in after} == set()
    assert {key: (before[key], after[key]) for key in before if before[key] != after[key]} == {}


def test_without_the_hold_the_same_jobs_delete(world):
    before = what_there_is(world)
    with time_machine.travel(A_YEAR_LATER, tick=False):
        run_every_job()
    gone = {label for label, pk in set(before) - set(what_there_is(world))}
    assert gone >= DELETED_BY_AGE


def rows_of_pages(world):
    """Pages of the admin on which an administrator may delete a row, each with one."""
    chief = world.people[Role.Kind.ADMINISTRATOR]
    request = request_of(chief)
    for model, page in admin.site._registry.items():
        row = world.rows.get(model)
        if row is not None and isinstance(page, PortalAdmin) and page.has_delete_permission(request, row):
            yield model._meta.label, page, row


def test_under_a_hold_on_the_account_no_page_of_the_admin_deletes(world):
    put_under_hold(world)
    client = as_person(world.people[Role.Kind.ADMINISTRATOR])
    pages = list(rows_of_pages(world))
    assert len(pages) >= 12
    for label, page, row in pages:
        answer = client.post(page.address_of("delete", row.pk), {"post": "yes"})
        assert "legal hold" in answer.content.decode(), label
        chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes", "n": "1"}
        client.post(page.address_of("changelist"), chosen)
        with transaction.atomic(), pytest.raises(UnderHold):
            page.delete_model(request_of(world.people[Role.Kind.ADMINISTRATOR]), row)
        assert type(row)._base_manager.filter(pk=row.pk).exists(), label


def test_under_a_hold_on_the_account_no_route_of_the_api_deletes(world):
    put_under_hold(world)
    client = Client(HTTP_AUTHORIZATION=f"Api-Key {world.key}")
    views = [(basename, view) for _prefix, view, basename in router.registry if issubclass(view, Deletes)]
    assert len(views) >= 10
    for basename, view in views:
        row = world.rows[view.queryset.model]
        answer = client.delete(reverse(f"api:{basename}-detail", args=[row.pk]))
        if basename == "membership":  # who is in which group changes with daily work
            assert answer.status_code == 204
            continue
        if basename == "saved-report":  # a person's: no key sees one that is not shared, nor deletes any
            assert answer.status_code == 404 and type(row)._base_manager.filter(pk=row.pk).exists()
            continue
        assert answer.status_code == 409, basename
        assert "legal hold" in answer.json()["detail"], basename
        assert type(row)._base_manager.filter(pk=row.pk).exists(), basename


NUMBER = "+8613911112222"


@pytest.fixture
def held_number(account):
    hold = LegalHold(account=account, kind="number", reference="7/26", number=NUMBER)
    hold.clean()
    return holds.place(hold=hold, calls=(), by=None, at=MADE)


def test_a_hold_on_a_number_keeps_what_names_it_and_nothing_else(account, held_number):
    agent = AgentFactory(account=account)
    held = [
        AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number=NUMBER),
        BlockedNumber.objects.create(account=account, number=NUMBER, direction="inbound"),
        SavedFilter.objects.create(account=account, owner=agent, name="theirs", query="customer=139+1111+2222"),
        IncomingSound.objects.create(
            account=account,
            kind="recording",
            call_id="x",
            call_key=b"1" * 32,
            reference=f"out-{NUMBER}.wav",
            received_at=MADE,
            retry_at=MADE,
            n_bytes=1,
            sha256="0" * 64,
        ),
        ExportRun.objects.create(
            account=account, started_by=agent, kind="csv", asked=json.dumps({"customer": ["139 1111 2222"]})
        ),
    ]
    free = [
        AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number="+8613911112223"),
        BlockedNumber.objects.create(account=account, number="+8613911112223", direction="inbound"),
        SavedFilter.objects.create(account=account, owner=agent, name="mine", query="customer=139+1111+2223"),
        agent,
    ]
    assert [len(legal_holds.kept([row])) for row in held] == [1] * len(held)
    assert [legal_holds.kept([row]) for row in free] == [set()] * len(free)
    holds.release(hold=held_number, by=None, at=MADE)
    assert [legal_holds.kept([row]) for row in held] == [set()] * len(held)


def test_a_hold_on_an_agent_outlasts_the_end_of_the_account(account):
    agent, other = AgentFactory(account=account), AgentFactory(account=account)
    phones = [
        AgentPhone.objects.create(account=account, agent=one, kind="mobile", number=f"+861391111{one.pk:04}")
        for one in (agent, other)
    ]
    holds.place(hold=LegalHold(account=account, kind="agent", reference="1", agent=agent), calls=(), by=None, at=MADE)
    subject = Subject(SubjectKind.ACCOUNT, account.pk, account.region)
    for name, rows in (("agent_phones", phones), ("agents", [agent, other])):
        store = stores.store_named(name, "account")
        assert deletion.kept_by_holds(store, [row.pk for row in rows]) == {rows[0].pk}
        assert set(store.find(subject, None, 100).ids) >= {rows[0].pk}


def test_a_hold_on_days_keeps_what_is_of_them_by_the_accounts_clock(account):
    account.time_zone = "Asia/Shanghai"
    account.save()
    day = dt.date(2026, 5, 2)
    holds.place(hold=LegalHold(account=account, kind="days", reference="1", from_day=day, to_day=day), calls=(), by=None, at=MADE)
    agent = AgentFactory(account=account)

    def made_at(hour, minute, on):
        return ExportRun.objects.create(
            account=account, started_by=agent, kind="csv", created_at=dt.datetime(2026, 5, on, hour, minute, tzinfo=dt.UTC)
        )

    first, last = made_at(16, 0, 1), made_at(15, 59, 2)
    before, after = made_at(15, 59, 1), made_at(16, 0, 2)
    assert legal_holds.kept([first, last, before, after]) == {first.pk, last.pk}


def test_exports_under_a_hold_keep_their_file_and_go_after_its_release(account):
    hold = holds.place(hold=LegalHold(account=account, kind="account", reference="1"), calls=(), by=None, at=MADE)
    key = default_storage.save("exports/held.csv", ContentFile(b"a"))
    run = ExportRun.objects.create(
        account=account, started_by=AgentFactory(account=account), kind="csv", state="done", key=key, created_at=MADE
    )
    assert exporting.forget_exports(at=A_YEAR_LATER) == 0
    assert default_storage.exists(key)
    holds.release(hold=hold, by=None, at=A_YEAR_LATER)
    assert exporting.forget_exports(at=A_YEAR_LATER) == 1
    assert not default_storage.exists(key)
    assert not ExportRun.objects.filter(pk=run.pk).exists()


def test_a_release_lets_what_waited_go_on_at_once(account, held_number, monkeypatch, django_capture_on_commit_callbacks):
    call = CallFactory(account=account, calling_number=NUMBER)
    request = deletion.open_request(account=account, kind="call", said={"call_id": call.call_id}, by=None, at=timezone.now())
    deletion.work_on(request.pk)
    deletion.approve(request, by=AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), at=timezone.now())
    deletion.work_on(request.pk)
    request.refresh_from_db()
    assert request.state == "held"
    assert request.retry_at > timezone.now()
    nudged = []
    monkeypatch.setattr(holds, "nudge", lambda task, *args: nudged.append((task.name, *args)))
    with django_capture_on_commit_callbacks(execute=True):
        holds.release(hold=held_number, by=None, at=timezone.now())
    assert nudged == [("retention.tasks.work_on_request", request.pk), ("retention.tasks.purge_expired",)]
    deletion.work_on(request.pk)
    request.refresh_from_db()
    assert request.state == "completed"
    assert not Call.objects.filter(pk=call.pk).exists()
