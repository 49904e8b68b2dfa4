"""Signed events of any platform: who is believed, what is kept, what is refused and counted."""

import datetime as dt
import json

import pytest
import time_machine
from auditlog import get_logentry_model
from django.test import Client
from django.utils import timezone

from callcenter_site import webhooks
from calls import incoming_webhooks
from calls.incoming_webhooks import create_webhook, end_old_secret, renew_secret
from calls.ingest import fold_due
from calls.models import Call, CallEvent, Connection, IncomingWebhook, WebhookDelivery
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook():
    return create_webhook(account=AccountFactory(), name="pbx")


def event(number=1, **changes):
    said = {
        "specversion": "1.0",
        "source": "pbx-1",
        "id": f"e{number}",
        "type": "call.started",
        "subject": "call-1",
        "time": timezone.now().isoformat(),
        "data": {"direction": "inbound", "calling_number": "+8613800138000", "called_number": "+864005550100"},
    }
    return said | changes


def post(webhook, items, *, message_id="m1", at=None, secret=None, prefix=None, **headers):
    row, known = webhook
    body = items if isinstance(items, bytes) else json.dumps(items).encode()
    signed = webhooks.signed_headers(secrets=[secret or known], message_id=message_id, at=at or timezone.now(), body=body)
    return Client().post(
        f"/hooks/events/{prefix or row.prefix}/",
        body,
        content_type="application/cloudevents+json",
        headers=signed | headers,
    )


def counted():
    connection = Connection.objects.get()
    return connection.kind, connection.n_accepted, connection.n_refused, connection.last_refusal


def test_signed_events_become_a_record_of_the_webhooks_account(webhook):
    AccountFactory()
    answer = post(webhook, [event(1), event(2, type="call.ended", data={"party": "customer"})])
    assert answer.status_code == 202
    assert [(one["id"], one["code"]) for one in answer.json()["results"]] == [("e1", 202), ("e2", 202)]
    fold_due(at=timezone.now())
    call = Call.objects.get()
    assert (call.account_id, call.call_id, call.state) == (webhook[0].account_id, "call-1", "ended")
    assert counted() == ("webhook", 2, 0, "")
    assert Connection.objects.get().name == webhook[0].prefix


def test_a_message_sent_again_with_a_new_time_is_answered_and_counts_nothing_twice(webhook):
    said, now = event(), timezone.now()
    assert post(webhook, said, at=now).status_code == 202
    answer = post(webhook, said, at=now + dt.timedelta(seconds=5))
    assert (answer.status_code, answer.json()["duplicate"]) == (200, 1)
    assert CallEvent.objects.count() == 1 and counted() == ("webhook", 1, 0, "")


def test_a_replay_is_refused_and_counted(webhook):
    said, now = event(), timezone.now()
    post(webhook, said, at=now)
    answer = post(webhook, said, at=now)
    assert answer.status_code == 409 and "taken before" in answer.json()["detail"]
    assert CallEvent.objects.count() == 1 and counted()[:3] == ("webhook", 1, 1)


def test_of_two_replays_at_once_one_is_taken(webhook, monkeypatch):
    said, now = event(), timezone.now()
    post(webhook, said, at=now)
    monkeypatch.setattr("calls.hooks.was_taken", lambda **_: False)  # both looked before either was noted
    assert post(webhook, said, at=now).status_code == 409
    assert (CallEvent.objects.count(), WebhookDelivery.objects.count()) == (1, 1)


def test_a_replay_is_refused_for_as_long_as_its_time_is_believed(webhook):
    now = timezone.now()
    ahead = now + webhooks.TOLERANCE - dt.timedelta(seconds=2)
    said = event()
    assert post(webhook, said, at=ahead).status_code == 202
    with time_machine.travel(ahead + webhooks.TOLERANCE - dt.timedelta(seconds=2), tick=False):
        post(webhook, event(9), message_id="m9")  # which forgets old ones
        assert post(webhook, said, at=ahead).status_code == 409
    with time_machine.travel(ahead + 4 * webhooks.TOLERANCE, tick=False):
        post(webhook, event(8), message_id="m8")
        assert WebhookDelivery.objects.count() == 1


def test_what_was_not_kept_is_taken_when_it_comes_again(webhook, settings):
    said, now = event(), timezone.now()
    settings.INBOX_MAX = -1
    answer = post(webhook, said, at=now)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    settings.INBOX_MAX = 1000
    assert post(webhook, said, at=now).status_code == 202


def test_a_bad_event_does_not_reject_its_neighbours_and_is_counted(webhook):
    answer = post(webhook, [event(1, type="call.exploded"), event(2)])
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 1, 1)
    assert counted() == ("webhook", 1, 1, "1 of 2 events: type is no event type the portal knows")
    assert post(webhook, event(3, subject="a\r\nb"), message_id="m2").status_code == 400
    assert counted()[3] == "1 of 1 events: subject has line breaks or other control characters"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 400, "no event"),
        (b"\xff", 400, "JSON"),
        (b" " * (1024 * 1024 + 1), 413, "larger"),
        (b" " * (5 * 1024 * 1024), 413, "larger"),
    ],
)
def test_what_cannot_be_read_is_refused_and_counted(webhook, body, status, reason):
    answer = post(webhook, body)
    assert answer.status_code == status and reason in answer.json()["detail"]
    assert counted()[1:3] == (0, 1) and not CallEvent.objects.exists() and not WebhookDelivery.objects.exists()


def test_too_many_events_at_once_are_refused_whole(webhook, settings):
    settings.EVENT_BATCH = 1
    assert post(webhook, [event(1), event(2)]).status_code == 413
    assert not CallEvent.objects.exists()


def test_a_wrong_secret_is_refused_and_counted_where_the_owner_looks(webhook):
    answer = post(webhook, event(), secret=webhooks.new_secret())
    assert answer.status_code == 401 and "WWW-Authenticate" not in answer
    assert counted()[1:3] == (0, 1) and not CallEvent.objects.exists()


def test_a_message_from_an_hour_ago_is_refused(webhook):
    assert post(webhook, event(), at=timezone.now() - dt.timedelta(hours=1)).status_code == 401
    assert "clock" in counted()[3]


def test_a_secret_of_another_account_signs_nothing(webhook):
    other = create_webhook(account=AccountFactory(), name="pbx")
    answer = post(webhook, event(), prefix=other[0].prefix)
    assert answer.status_code == 401 and not CallEvent.objects.exists()
    assert Connection.objects.get().account_id == other[0].account_id


def test_an_address_of_nobodys_answers_like_one_whose_secret_is_not_known(webhook):
    wrong = post(webhook, event(), secret=webhooks.new_secret())
    for prefix in ("0" * 12, "x", "0" * 300):
        answer = post(webhook, event(), prefix=prefix)
        assert (answer.status_code, answer.json()) == (wrong.status_code, wrong.json())


def test_one_that_is_not_in_use_answers_so_too_and_says_why_where_the_owner_looks(webhook):
    wrong = post(webhook, event(), secret=webhooks.new_secret())
    IncomingWebhook.objects.update(is_active=False)
    answer = post(webhook, event())
    assert (answer.status_code, answer.json()) == (401, wrong.json())
    assert counted()[1:] == (0, 2, "The webhook is not in use.")


def test_a_closed_account_takes_nothing(webhook):
    type(webhook[0].account).objects.update(terminated_at=timezone.now())
    assert post(webhook, event()).status_code == 401


def test_both_secrets_are_good_for_a_day_after_a_renewal(webhook):
    row, old = webhook
    now = timezone.now()
    new = renew_secret(webhook=row, at=now)
    assert new != old
    assert [post(webhook, event(n), secret=one, message_id=str(n)).status_code for n, one in enumerate([old, new])] == [202, 202]
    with time_machine.travel(now + incoming_webhooks.OLD_SECRET_GOOD_FOR, tick=False):
        assert post(webhook, event(3), secret=old, message_id="3").status_code == 401
        assert post(webhook, event(3), secret=new, message_id="3").status_code == 202


def test_a_second_renewal_ends_the_oldest_secret(webhook):
    row, oldest = webhook
    old = renew_secret(webhook=row, at=timezone.now())
    renew_secret(webhook=row, at=timezone.now())
    assert post(webhook, event(), secret=oldest).status_code == 401
    assert post(webhook, event(), secret=old).status_code == 202


def test_an_old_secret_can_be_ended_at_once(webhook):
    row, old = webhook
    renew_secret(webhook=row, at=timezone.now())
    assert end_old_secret(webhook=row, at=timezone.now()) and not end_old_secret(webhook=row, at=timezone.now())
    assert post(webhook, event(), secret=old).status_code == 401


def test_other_methods_are_refused(webhook):
    assert Client().get(f"/hooks/events/{webhook[0].prefix}/").status_code == 405


# --- The pages -------------------------------------------------------------------------------------------------------

LIST = "/admin/calls/incomingwebhook/"


@pytest.fixture
def administrator(account, client):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person)
    return person


def shown_secret(answer):
    text = answer.content.decode()
    return text.partition('id="webhook-secret" tabindex="0">')[2].partition("<")[0]


def test_a_webhook_is_made_and_its_secret_shown_once(client, administrator, django_assert_max_num_queries):
    answer = client.post(f"{LIST}add/", {"name": " pbx "})
    row = IncomingWebhook.objects.get()
    secret = shown_secret(answer)
    assert (row.name, row.account_id, row.secret) == ("pbx", administrator.account_id, secret)
    assert secret.startswith("whsec_") and "no-store" in answer["Cache-Control"]
    assert f"/hooks/events/{row.prefix}/" in answer.content.decode()
    assert post((row, secret), event()).status_code == 202
    for address in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/history/", f"{LIST}{row.pk}/renew/"):
        page = client.get(address)
        assert page.status_code == 200 and secret[6:] not in page.content.decode()
    assert "1 events in all" in client.get(LIST).content.decode()
    create_webhook(account=administrator.account, name="second")
    with django_assert_max_num_queries(9):
        client.get(LIST)


def test_a_secret_is_renewed_by_asking_twice_and_the_old_one_ended(client, administrator):
    row, old = create_webhook(account=administrator.account, name="pbx")
    assert "Make a new secret" in client.get(f"{LIST}{row.pk}/renew/").content.decode()
    new = shown_secret(client.post(f"{LIST}{row.pk}/renew/", {"renew": ""}))
    row.refresh_from_db()
    assert (row.secret, row.old_secret) == (new, old)
    client.post(f"{LIST}{row.pk}/renew/", {"end": ""})
    row.refresh_from_db()
    assert (row.secret, row.old_secret) == (new, "")


def test_a_secret_is_in_no_audit_entry(client, administrator):
    made = shown_secret(client.post(f"{LIST}add/", {"name": "pbx"}))
    row = IncomingWebhook.objects.get()
    renewed = shown_secret(client.post(f"{LIST}{row.pk}/renew/", {"renew": ""}))
    said = str(list(get_logentry_model().objects.values_list("changes", "object_repr", "additional_data")))
    assert said and made[6:] not in said and renewed[6:] not in said


def test_a_name_twice_is_said_on_the_field(client, administrator):
    create_webhook(account=administrator.account, name="pbx")
    answer = client.post(f"{LIST}add/", {"name": "pbx"})
    assert answer.status_code == 200 and "name" in answer.context["adminform"].form.errors


def test_another_accounts_webhook_is_not_there(client, administrator):
    row, _secret = create_webhook(account=AccountFactory(), name="pbx")
    assert client.post(f"{LIST}{row.pk}/renew/", {"renew": ""}).status_code == 404
    row.refresh_from_db()
    assert row.old_secret == ""
