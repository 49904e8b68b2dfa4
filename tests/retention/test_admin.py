"""The page of purge runs."""

import datetime as dt

import pytest
from django.contrib import admin
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent
from configuration.access import SEE_FULL_NUMBER
from configuration.models import Role
from retention import holds, outbox, purge
from retention.models import FileDeletion, LedgerEntry, LegalHold, PurgeRun, StoragePlan
from tests.factories import AccountFactory, AgentFactory, CallFactory, RecordingFactory

LIST = reverse("admin:retention_purgerun_changelist")


@pytest.fixture
def chief(account, client):
    chief = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(chief, backend="agents.sign_in.RoleBackend")
    return chief


def make_run(account, **fields):
    now = timezone.now()
    return PurgeRun.objects.create(
        account=account,
        started_at=now,
        finished_at=now + dt.timedelta(seconds=75),
        **{"state": "done", "cutoff": now.date()} | fields,
    )


def test_the_list_says_in_words_what_went(account, chief, client, django_assert_max_num_queries):
    for n in range(1, 20):
        make_run(account, counts={"calls": 1200 + n, "files": 1, "sealed": 3, "intervals": 0})
    make_run(account, state="failed", counts={}, error="2 files could not be deleted; their calls stay until they can")
    with django_assert_max_num_queries(12):
        page = client.get(LIST).content.decode()
    assert "1,201 calls, 1 file, 3 calls sealed" in page
    assert "interval" not in page
    assert "2 files could not be deleted" in page
    assert "nothing was due" in page


def test_without_a_run_the_page_says_what_will_happen(account, chief, client):
    assert "calls that ended more than 6 calendar months ago are deleted" in client.get(LIST).content.decode()


def test_runs_are_read_only_and_of_the_own_account(account, chief, client):
    mine, theirs = make_run(account, counts={"legs": 7}), make_run(AccountFactory(), counts={"legs": 8})
    assert "8 legs" not in client.get(LIST).content.decode()
    assert "7 legs" in client.get(reverse("admin:retention_purgerun_change", args=[mine.pk])).content.decode()
    assert client.get(reverse("admin:retention_purgerun_change", args=[theirs.pk])).status_code == 302
    for url in (reverse("admin:retention_purgerun_add"), reverse("admin:retention_purgerun_delete", args=[mine.pk])):
        assert client.post(url, {"post": "yes"}).status_code == 403
    assert PurgeRun.objects.count() == 2


def at(name, *args):
    return reverse(f"admin:retention_{name}", args=args)


# --- Runs that wait, and the switch ------------------------------------------------------------------------------------


def test_a_run_that_waits_says_so_and_goes_on_once_it_is_confirmed(account, chief, client):
    run = make_run(account, state="waiting", n_due=1200, error=purge.FAR_MORE)
    page = client.get(at("purgerun_change", run.pk)).content.decode()
    assert "1,200 calls would go: far more than usual" in page
    client.post(at("purgerun_confirm", run.pk))
    run.refresh_from_db()
    assert (run.state, run.confirmed_by) == ("stopped", chief)


def test_nobody_confirms_without_the_right_or_for_another_account(account, chief, client):
    run, theirs = make_run(account, state="waiting"), make_run(AccountFactory(), state="waiting")
    assert client.post(at("purgerun_confirm", theirs.pk)).status_code == 404
    assert client.get(at("purgerun_confirm", run.pk)).status_code == 403
    chief.role.permissions = [one for one in chief.role.permissions if one != "retention.change_purgerun"]
    chief.role.save()
    assert client.post(at("purgerun_confirm", run.pk)).status_code == 403
    assert client.post(at("purgerun_switch"), {"is_on": "no"}).status_code == 403
    assert {one.state for one in PurgeRun.objects.all()} == {"waiting"}


def test_the_purge_of_an_account_is_stopped_and_started_on_its_page(account, chief, client):
    client.post(at("purgerun_switch"), {"is_on": "no"})
    assert purge.is_switched_off(account) and not purge.is_switched_off(AccountFactory())
    assert "until you start it" in client.get(LIST).content.decode()
    client.post(at("purgerun_switch"), {"is_on": "yes"})
    assert not purge.is_switched_off(account)


# --- Holds -----------------------------------------------------------------------------------------------------------


def place(client, **fields):
    return client.post(at("legalhold_add"), {"reference": "7/26", **fields})


def test_a_hold_is_placed_on_a_number_in_any_form_and_released_on_its_page(account, chief, client):
    call = CallFactory(account=account, calling_number="+8613911112222")
    assert place(client, kind="number", number="139 1111 2222").status_code == 302
    hold = LegalHold.objects.get()
    assert (hold.number, hold.placed_by, hold.account) == ("+8613911112222", chief, account)
    assert list(holds.look(account).kept(type(call).objects)) == [call]
    assert "7/26" in client.get(at("legalhold_changelist")).content.decode()
    assert "It" not in client.get(at("legalhold_change", hold.pk)).context["errors"]
    client.post(at("legalhold_release", hold.pk))
    hold.refresh_from_db()
    assert (hold.is_open, hold.released_by) == (False, chief)
    assert [entry.kind for entry in LedgerEntry.objects.order_by("position")] == ["hold_placed", "hold_released"]


def test_of_two_readers_at_once_each_sees_the_number_as_far_as_they_may(account, chief, client, rf):
    place(client, kind="number", number="+8613911112222")
    role = Role.objects.create(
        account=account,
        name="Masked",
        kind=Role.Kind.CUSTOM,
        data_scope=Role.DataScope.ACCOUNT,
        permissions=[one for one in chief.role.permissions if one != SEE_FULL_NUMBER],
    )
    other = AgentFactory(account=account, role=role)
    page = admin.site._registry[LegalHold]

    def read(person):
        request = rf.get("/")
        request.user = Agent.objects.get(pk=person.pk)
        return page.get_queryset(request).get()

    for first, second in ((chief, other), (other, chief)):
        rows = {person.pk: read(person) for person in (first, second)}
        assert page.show_what(rows[chief.pk]) == "+8613911112222"
        assert "1111" not in page.show_what(rows[other.pk])


def test_a_hold_on_calls_names_them_by_their_ids(account, chief, client):
    ours, theirs = CallFactory(account=account), CallFactory()
    page = place(client, kind="calls", call_ids=f"{ours.call_id}\n{theirs.call_id}").content.decode()
    assert f"There is no call {theirs.call_id}" in page
    assert not LegalHold.objects.exists()
    place(client, kind="calls", call_ids=f"\n {ours.call_id} \n")
    assert [held.call for held in LegalHold.objects.get().held_calls.all()] == [ours]


def test_a_hold_on_a_number_says_which_field_is_wrong(account, chief, client):
    assert "This is not a phone number." in place(client, kind="number", number="nobody").content.decode()
    assert "Choose the agent." in place(client, kind="agent").content.decode()


def test_a_hold_of_another_account_is_not_there(account, chief, client):
    other = AccountFactory()
    hold = LegalHold(account=other, kind="account", reference="their case")
    holds.place(hold=hold, by=None, at=timezone.now())
    assert "their case" not in client.get(at("legalhold_changelist")).content.decode()
    assert client.post(at("legalhold_release", hold.pk)).status_code == 404
    hold.refresh_from_db()
    assert hold.is_open


def test_a_hold_on_another_accounts_agent_is_refused(account, chief, client):
    place(client, kind="agent", agent=AgentFactory().pk)
    assert not LegalHold.objects.exists()


# --- Plans -------------------------------------------------------------------------------------------------------------


def test_a_plan_is_added_and_the_ledger_says_so(account, chief, client):
    today = timezone.localdate()
    client.post(at("storageplan_add"), {"kind": "purchased", "months": "12", "from_day": today.isoformat(), "to_day": ""})
    plan = StoragePlan.objects.get()
    assert (plan.account, plan.months, plan.to_day) == (account, 12, None)
    assert LedgerEntry.objects.get().kind == "plan"
    assert "runs" in client.get(at("storageplan_changelist")).content.decode()
    assert client.post(at("storageplan_delete", plan.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"to_day": "2026-01-01"}, "The last day lies before the first."),
        ({"kind": "trial"}, "A trial has a last day."),
        ({"months": "3"}, "greater than or equal to 7"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(account, chief, client, fields, message):
    data = {"kind": "purchased", "months": "12", "from_day": "2026-02-01", "to_day": ""} | fields
    assert message in client.post(at("storageplan_add"), data).content.decode()
    assert not StoragePlan.objects.exists()


# --- Files, ledger, privacy ----------------------------------------------------------------------------------------------


def test_a_blocked_file_is_tried_again_at_once(account, chief, client):
    for owner in (account, AccountFactory()):
        with transaction.atomic():
            outbox.put(account=owner, keys=["audio/1"], at=timezone.now(), cause="purge:1")
    later = timezone.now() + dt.timedelta(hours=6)
    FileDeletion.objects.update(state="blocked", error="AccessDenied", due_at=later)
    assert "AccessDenied" in client.get(at("filedeletion_changelist")).content.decode()
    rows = [row.pk for row in FileDeletion.objects.all()]
    client.post(at("filedeletion_changelist"), {"action": "try_again", "_selected_action": rows})
    assert [row.account for row in FileDeletion.objects.filter(due_at__lt=later)] == [account]


def test_the_privacy_page_says_what_is_kept_what_goes_next_and_what_proves_it(
    account, chief, client, django_assert_max_num_queries
):
    call = CallFactory(account=account)
    RecordingFactory(call=call)
    CallFactory()
    hold = LegalHold(account=account, kind="account", reference="7/26")
    holds.place(hold=hold, by=chief, at=timezone.now())
    make_run(account, counts={"calls": 3})
    make_run(account, state="waiting")
    StoragePlan.objects.create(account=account, kind="trial", months=9, from_day=dt.date(2020, 1, 1), to_day=timezone.localdate())
    with django_assert_max_num_queries(40):
        page = client.get(reverse("retention:privacy"))
    shown = page.content.decode()
    assert "A purge waits for your confirmation" in shown
    assert "9 months" in shown and "7/26" in shown and "3 calls" in shown
    calls = page.context["categories"][0]
    assert (calls.n, calls.since, calls.n_next) == (1, call.ended_on, 1)


def test_two_who_read_the_privacy_page_within_a_minute_each_read_their_language(account, chief, client):
    for language, said in (("en", "a week"), ("zh-hans", None), ("en", "a week")):
        client.cookies["django_language"] = language
        kept = {str(one.kept) for one in client.get(reverse("retention:privacy")).context["categories"]}
        assert (said in kept) if said else ("a week" not in kept)


def test_whoever_may_not_see_it_gets_no_privacy_page(account, client):
    client.force_login(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR), backend="agents.sign_in.RoleBackend")
    assert client.get(reverse("retention:privacy")).status_code == 403


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_promise_and_the_key_are_there_for_everybody(db, client, language):
    client.cookies["django_language"] = language
    page = client.get(reverse("retention:promise"))
    assert page.status_code == 200
    key = client.get(reverse("retention:signing-key")).content.decode()
    assert key.startswith("-----BEGIN PUBLIC KEY-----")
    assert key.splitlines()[1] in page.content.decode()
