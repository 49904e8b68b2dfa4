"""Pushes over HTTP: who may push, what is kept, what is refused and counted."""

import base64
import json
from urllib.parse import urlencode

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from calls.ingest import fold_due
from calls.models import Call, CallEvent, Connection
from configuration.api_keys import create_api_key, revoke_api_keys
from configuration.models import ApiKey
from tests.calls.adapters import test_freeswitch as freeswitch
from tests.calls.adapters.test_tccc import cdr
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_cache():
    cache.clear()


@pytest.fixture
def key():
    return create_api_key(account=AccountFactory(), name="Tencent", scopes=[ApiKey.Scope.EVENTS_WRITE])


def push(key, body, *, action="cdr", password=None, prefix=None, uuid="u1", version="&version=1", **extra):
    row, text = key
    signed = base64.b64encode(f"portal:{text if password is None else password}".encode()).decode()
    return Client().post(
        f"/hooks/tccc/{prefix or row.prefix}/?action={action}{version}",
        body if isinstance(body, str) else json.dumps(body),
        content_type="application/json;charset=utf8",
        headers={"Authorization": f"Basic {signed}", "X-TCCC-PUSH-UUID": uuid, **extra},
    )


def test_a_push_becomes_a_record_of_the_keys_account(key):
    answer = push(key, cdr())
    assert (answer.status_code, answer.json()) == (200, {"ErrCode": 0, "ErrMsg": ""})
    fold_due(at=timezone.now())
    call = Call.objects.get()
    assert (call.account_id, call.call_id, call.outcome) == (key[0].account_id, "session-1", "answered")
    assert (call.calling_number, call.provider, call.rating_score) == ("+8613800138000", "China Mobile", 5)
    connection = Connection.objects.get()
    assert (connection.kind, connection.name, connection.n_refused) == ("tccc", key[0].prefix, 0)
    assert connection.n_accepted == CallEvent.objects.count()


def test_the_password_may_leave_out_the_prefix_that_the_address_names(key):
    assert push(key, cdr(), password=key[1].partition(".")[2]).status_code == 200


@pytest.mark.parametrize("version", ["", "&version=1&version=1", "&version=1&action=cdr"])
def test_a_version_may_be_left_out_or_stand_there_twice(key, version):
    assert push(key, cdr(), version=version).json() == {"ErrCode": 0, "ErrMsg": ""}
    assert CallEvent.objects.exists()


@pytest.mark.parametrize("uuid", ["u1", "u2"])
def test_a_push_that_comes_again_is_answered_alike_and_changes_nothing(key, uuid):
    push(key, cdr())
    before = sorted(CallEvent.objects.values_list("event_key", flat=True))
    answer = push(key, cdr(), uuid=uuid)
    assert (answer.status_code, answer.json()["ErrCode"]) == (200, 0)
    assert sorted(CallEvent.objects.values_list("event_key", flat=True)) == before


def test_a_push_that_was_refused_is_taken_when_it_comes_again_mended(key):
    assert push(key, cdr(StartTimestamp=0)).status_code == 400
    assert push(key, cdr()).status_code == 200
    assert CallEvent.objects.exists()


@pytest.mark.parametrize(
    ("body", "options", "status", "reason"),
    [
        (cdr(), {"action": "imcdr"}, 400, "action"),
        (cdr(), {"action": ""}, 400, "action"),
        (cdr(), {"action": "record&action=cdr"}, 400, "action"),
        (cdr(), {"version": "&version=2"}, 400, "version"),
        (cdr(), {"version": "&version="}, 400, "version"),
        (cdr(), {"version": "&version=2&version=1"}, 400, "version"),
        (cdr(Caller="1\r\nX: 1"), {}, 400, "Caller"),
        ("{", {}, 400, "JSON"),
        ("[" * 5000, {}, 400, "JSON"),
        ([], {}, 400, "object"),
        (cdr(SessionId="s" * 5, StartTimestamp=4_000_000_000, EndedTimestamp=4_000_000_001), {}, 400, "future"),
        (cdr(UserRemark="x" * (1024 * 1024)), {}, 413, "larger"),
        (cdr(UserRemark="x" * (5 * 1024 * 1024)), {}, 413, "larger"),
    ],
)
def test_what_is_refused_is_counted_and_leaves_nothing(key, body, options, status, reason):
    answer = push(key, body, **options)
    assert (answer.status_code, answer.json()["ErrCode"]) == (status, status)
    assert reason in answer.json()["ErrMsg"]
    connection = Connection.objects.get()
    assert (connection.n_accepted, connection.n_refused) == (0, 1)
    assert reason in connection.last_refusal
    assert not CallEvent.objects.exists()


def test_a_wrong_secret_is_refused_and_counted_where_the_keys_owner_looks(key):
    answer = push(key, cdr(), password="wrong")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Basic realm="portal"')
    assert Connection.objects.get().n_refused == 1


def test_a_key_that_is_unknown_revoked_or_of_another_address_opens_nothing(key):
    other = create_api_key(account=AccountFactory(), name="other", scopes=[ApiKey.Scope.EVENTS_WRITE])
    assert push(key, cdr(), prefix="0" * 12).status_code == 401
    assert push(key, cdr(), prefix=other[0].prefix).status_code == 401
    revoke_api_keys(keys=[key[0]], at=timezone.now())
    assert push(key, cdr()).status_code == 401
    assert not CallEvent.objects.exists()


def test_a_key_without_the_scope_is_refused():
    reader = create_api_key(account=AccountFactory(), name="reader", scopes=[ApiKey.Scope.CALLS_READ])
    assert push(reader, cdr()).status_code == 403


def test_other_methods_and_missing_credentials_are_refused(key):
    address = f"/hooks/tccc/{key[0].prefix}/?action=cdr"
    assert Client().get(address).status_code == 405
    assert Client().post(address, "{}", content_type="application/json").status_code == 401


def post(key, body, content_type="application/json", query=""):
    signed = base64.b64encode(f"pbx:{key[1]}".encode()).decode()
    address = f"/hooks/freeswitch/{key[0].prefix}/{query}"
    return Client().post(address, body, content_type=content_type, headers={"Authorization": f"Basic {signed}"})


def test_what_freeswitch_posts_becomes_one_record(key):
    assert post(key, json.dumps(freeswitch.LIVE)).status_code == 200
    assert post(key, json.dumps(freeswitch.cdr()), query=f"?uuid={freeswitch.CALL}").status_code == 200
    assert post(key, urlencode({"cdr": json.dumps(freeswitch.cdr())}), "application/x-www-form-urlencoded").status_code == 200
    fold_due(at=timezone.now())
    call = Call.objects.get()
    assert (call.call_id, call.outcome, call.talk_seconds) == (freeswitch.CALL, "answered", 120.0)
    assert (call.queue_entries.count(), call.legs.count()) == (1, 2)


@pytest.mark.parametrize(("body", "reason"), [("{", "JSON"), ("[1]", "object"), ("{}", "neither"), ("cdr=%7B", "JSON")])
def test_what_freeswitch_cannot_mean_is_refused_and_counted(key, body, reason):
    content_type = "application/x-www-form-urlencoded" if "=" in body else "application/json"
    answer = post(key, body, content_type)
    assert (answer.status_code, Connection.objects.get().n_refused) == (400, 1)
    assert reason in answer.json()["detail"]


def test_a_leg_of_an_agent_is_taken_and_makes_no_record(key):
    assert post(key, json.dumps(freeswitch.cdr(cc_side="agent"))).status_code == 200
    fold_due(at=timezone.now())
    assert not Call.objects.exists()
