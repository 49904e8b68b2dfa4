import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent
from configuration.models import Role
from retention import access_request, deletion
from retention.models import AccessRequest, DeletionRequest
from tests.factories import AccountFactory, AgentFactory, CallFactory

pytestmark = pytest.mark.django_db

NUMBER = "+8613800138000"
LIST = reverse("admin:retention_deletionrequest_changelist")
State = DeletionRequest.State


@pytest.fixture
def boss(account, client):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person)
    return person


def page_of(request, name="change"):
    return reverse(f"admin:retention_deletionrequest_{name}", args=[request.pk])


def enter(client, **said):
    return client.post(reverse("admin:retention_deletionrequest_add"), {"kind": "number", **said})


def test_a_request_is_entered_approved_and_followed_on_its_pages(account, boss, client):
    CallFactory(account=account, calling_number=NUMBER)
    answer = enter(client, number="138 0013 8000", reference="T-1")
    request = DeletionRequest.objects.get()
    assert answer.headers["Location"] == page_of(request)
    deletion.work_on(request.pk)
    text = client.get(page_of(request)).content.decode()
    assert "Approve and erase" in text and NUMBER in text
    client.post(page_of(request, "decide"), {"decision": "approve"})
    deletion.work_on(request.pk)
    progress = client.get(page_of(request, "progress")).json()
    assert progress["state"] == "completed" and progress["steps"]["calls"]["deleted"] == 1
    text = client.get(page_of(request)).content.decode()
    assert "Certificate of deletion" in text and "Approve" not in text.replace("Approved", "")
    pdf = client.get(page_of(request, "pdf"))
    assert pdf.headers["Content-Type"] == "application/pdf" and b"".join([pdf.content]).startswith(b"%PDF")
    assert client.get(page_of(request, "certificate")).json()["certificate"]["request"] == request.pk


def test_the_list_masks_numbers_and_shows_the_days_left(account, boss, client):
    enter(client, number=NUMBER)
    text = client.get(LIST).content.decode()
    assert NUMBER not in text and "29 days" in text
    DeletionRequest.objects.update(due_at=timezone.now() - dt.timedelta(days=2, hours=1))
    text = client.get(LIST).content.decode()
    assert "overdue by 3 days" in text and "due within a week, or overdue" in text


def test_errors_stand_on_their_fields(account, boss, client):
    text = enter(client, number="nobody").content.decode()
    assert "This is not a phone number." in text
    text = enter(client, number=NUMBER, received_on="2020-01-01").content.decode()
    assert "more than 30 days ago" in text
    text = enter(client, kind="days", first_day="2026-11-02", last_day="2026-11-01").content.decode()
    assert "The last day lies before the first." in text
    assert not DeletionRequest.objects.exists()


def test_a_received_day_moves_the_due_day(account, boss, client):
    day = timezone.now().astimezone(account.zone).date() - dt.timedelta(days=5)
    enter(client, number=NUMBER, received_on=day.isoformat())
    request = DeletionRequest.objects.get()
    assert request.due_at.astimezone(account.zone).date() == day + dt.timedelta(days=30)


def test_rejecting_and_cancelling_say_what_went(account, boss, client):
    enter(client, number=NUMBER)
    first = DeletionRequest.objects.get()
    client.post(page_of(first, "decide"), {"decision": "reject"})
    first.refresh_from_db()
    assert first.state == State.RECEIVED  # without a reason nothing is rejected
    client.post(page_of(first, "decide"), {"decision": "reject", "reason": "law"})
    first.refresh_from_db()
    assert first.state == State.REJECTED
    enter(client, number=NUMBER)
    second = DeletionRequest.objects.order_by("pk").last()
    answer = client.post(page_of(second, "decide"), {"decision": "cancel"}, follow=True)
    assert "Cancelled. Nothing was erased." in answer.content.decode()
    assert client.get(page_of(second, "decide")).status_code == 403


def test_who_asked_for_the_end_of_the_account_does_not_approve_it(account, boss, client):
    AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    enter(client, kind="account")
    request = DeletionRequest.objects.get()
    deletion.work_on(request.pk)
    text = client.get(page_of(request)).content.decode()
    assert "Approve and erase" not in text and "A second administrator has to approve this" in text
    client.post(page_of(request, "decide"), {"decision": "approve"})
    request.refresh_from_db()
    assert request.state == State.SCOPED


def test_a_supervisor_sees_none_of_it(account, client):
    client.force_login(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
    assert client.get(LIST).status_code == 403
    assert client.get(reverse("admin:retention_deletionrequest_add")).status_code == 403


def test_another_accounts_request_answers_like_one_that_does_not_exist(account, boss, client, api_key):
    other = AccountFactory()
    person = AgentFactory(account=other, kind=Role.Kind.ADMINISTRATOR)
    theirs = deletion.open_request(account=other, kind="number", said={"number": NUMBER}, by=person, at=timezone.now())
    deletion.work_on(theirs.pk)
    for name in ("progress", "decide", "certificate", "pdf"):
        assert client.get(page_of(theirs, name)).status_code == 404
    assert client.get(page_of(theirs)).status_code == 302
    assert client.post(page_of(theirs, "decide"), {"decision": "approve"}).status_code == 404
    for rest in ("", "certificate/"):
        answer = client.get(f"/api/v1/deletion-requests/{theirs.pk}/{rest}", headers={"Authorization": f"Bearer {api_key}"})
        assert answer.status_code == 404
    answer = client.delete(f"/api/v1/deletion-requests/{theirs.pk}/", headers={"Authorization": f"Bearer {api_key}"})
    assert answer.status_code == 404
    theirs.refresh_from_db()
    assert theirs.state == State.SCOPED


def test_an_agent_of_another_account_is_no_choice(account, boss, client):
    stranger = AgentFactory(account=AccountFactory(), name="Stranger Canary")
    assert "Stranger Canary" not in client.get(reverse("admin:retention_deletionrequest_add")).content.decode()
    enter(client, kind="agent", agent=stranger.pk)
    assert not DeletionRequest.objects.exists() and Agent.objects.get(pk=stranger.pk).name


# --- Over the API ----------------------------------------------------------------------------------------------------


@pytest.fixture
def api(client, api_key):
    def ask(method, path, body=None, **headers):
        send = getattr(client, method)
        more = {"data": body, "content_type": "application/json"} if body is not None else {}
        return send(f"/api/v1/{path}", **more, headers={"Authorization": f"Bearer {api_key}", **headers})

    return ask


def test_a_key_enters_follows_and_cancels_but_does_not_approve(account, api):
    answer = api("post", "deletion-requests/", {"kind": "number", "number": "138 0013 8000", "reference": "T-1"})
    assert answer.status_code == 201
    row = answer.json()
    assert (row["state"], row["days_left"], row["reference"]) == ("received", 29, "T-1")
    assert "138" not in answer.content.decode().replace(str(row["id"]), "")
    again = api("post", "deletion-requests/", {"kind": "number", "number": NUMBER}).json()
    assert (again["state"], again["duplicate_of"]) == ("duplicate", row["id"])
    deletion.work_on(row["id"])
    steps = api("get", f"deletion-requests/{row['id']}/").json()["steps"]
    assert {"store": "calls", "state": "waiting", "found": 0, "deleted": 0, "held": 0, "left": None, "error": ""} in steps
    assert api("get", f"deletion-requests/{row['id']}/certificate/").status_code == 404
    assert api("delete", f"deletion-requests/{row['id']}/").status_code == 204
    assert api("delete", f"deletion-requests/{row['id']}/").status_code == 400
    assert [one["state"] for one in api("get", "deletion-requests/").json()["results"]] == ["duplicate", "cancelled"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "number"}, "number"),
        ({"kind": "agent", "agent": 1}, "agent"),
        ({"kind": "call", "call_id": "none"}, "call_id"),
        ({"kind": "days", "first_day": "2026-01-02"}, "last_day"),
        ({"kind": "nothing"}, "kind"),
        ({"kind": "number", "number": NUMBER, "state": "completed"}, "state"),
        ({"kind": "call", "call_id": "x", "keeps_block": "fraud"}, "keeps_block"),
    ],
)
def test_what_is_wrong_is_said_of_its_field(api, body, field):
    answer = api("post", "deletion-requests/", body)
    assert answer.status_code == 400 and field in answer.content.decode()
    assert not DeletionRequest.objects.exists()


def test_the_same_request_sent_twice_is_entered_once(api):
    body = {"kind": "number", "number": NUMBER}
    first = api("post", "deletion-requests/", body, **{"Idempotency-Key": "k1"})
    second = api("post", "deletion-requests/", body, **{"Idempotency-Key": "k1"})
    assert first.json()["id"] == second.json()["id"] and DeletionRequest.objects.count() == 1


def test_a_key_asks_what_is_held_and_fetches_the_file(account, api, client):
    CallFactory(account=account, calling_number=NUMBER)
    row = api("post", "access-requests/", {"kind": "number", "number": NUMBER}).json()
    access_request.work_on(row["id"])
    told = api("get", f"access-requests/{row['id']}/").json()
    assert told["state"] == "done" and told["counts"]["calls"] == 1
    assert told["link"].startswith("http")
    assert api("post", "access-requests/", {"kind": "account"}).status_code == 400
    assert AccessRequest.objects.count() == 1
