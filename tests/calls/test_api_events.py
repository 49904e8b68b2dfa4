"""`POST /api/v1/events` on the wire, good and bad."""

import json

import pytest
from django.utils import timezone

from calls import ingest, tasks
from calls.models import CallEvent
from configuration.api_keys import create_api_key
from tests.factories import AccountFactory
from tests.scenarios import events_of

pytestmark = pytest.mark.django_db

URL = "/api/v1/events"


@pytest.fixture
def post(client, api_key):
    def send(body, *, key=api_key, content_type="application/cloudevents-batch+json"):
        body = body if isinstance(body, str | bytes) else json.dumps(body)
        return client.post(URL, body, content_type=content_type, headers={"Authorization": f"Api-Key {key}"})

    return send


def event(**changes):
    (good,) = events_of("10:00:00 started")
    return {**good, "time": timezone.now().isoformat(), **changes}


def test_one_event_and_a_batch_are_accepted_in_each_content_type(post):
    assert post(event(), content_type="application/cloudevents+json").status_code == 202
    assert post([event(id="b"), event(id="c")]).json()["accepted"] == 2
    assert post(event(id="d"), content_type="application/json; charset=utf-8").status_code == 202
    assert CallEvent.objects.count() == 4


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"type": "call.exploded"}, "type", "no event type"),
        ({"type": None}, "type", "missing"),
        ({"type": ["call.started"]}, "type", "no event type"),
        ({"id": None}, "id", "missing"),
        ({"id": ""}, "id", "not empty"),
        ({"id": 7}, "id", "text"),
        ({"id": "x" * 10_000}, "id", "10000 characters; at most 255"),
        ({"id": "a\r\nb"}, "id", "control characters"),
        ({"id": "\ud800"}, "id", "surrogate"),
        ({"source": None}, "source", "missing"),
        ({"source": "portal"}, "source", "reserved"),
        ({"subject": None}, "subject", "missing"),
        ({"specversion": "0.3"}, "specversion", "1.0"),
        ({"sequence": 5}, "sequence", "text"),
        ({"time": None}, "time", "missing"),
        ({"time": "yesterday"}, "time", "must be a time like"),
        ({"time": 1700000000}, "time", "must be a time like"),
        ({"time": "2026-11-20T10:00:00"}, "time", "no zone"),
        ({"time": "3000-01-01T00:00:00Z"}, "time", "future"),
        ({"time": "1970-01-01T00:00:00Z"}, "time", "before 1990"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "time", "calendar"),
        ({"data": None}, "data", "missing"),
        ({"data": "text"}, "data", "object"),
        ({"data": {}}, "data.direction", "missing"),
        ({"data": {"direction": "up", "calling_number": "", "called_number": ""}}, "data.direction", "one of"),
        ({"data": {"direction": "inbound", "calling_number": 5, "called_number": ""}}, "data.calling_number", "text"),
        (
            {"data": {"direction": "inbound", "calling_number": "9" * 50, "called_number": ""}},
            "data.calling_number",
            "at most 32",
        ),
        ({"type": "call.rated", "data": {"asked": True, "score": 9, "scale": 5}}, "data.score", "higher than the scale"),
        ({"type": "call.rated", "data": {"asked": True, "score": 3}}, "data.scale", "missing"),
        ({"type": "call.transferred", "data": {"from": "1", "kind": "blind"}}, "data", "exactly one"),
        ({"type": "call.recorded", "data": {"duration": -1}}, "data.duration", "between"),
        ({"type": "call.queued", "data": {"skill_group": "S", "priority": 1.5}}, "data.priority", "whole"),
    ],
)
def test_a_bad_event_is_rejected_by_field_and_its_neighbours_are_kept(post, changes, field, reason):
    bad = {name: value for name, value in event(**changes).items() if value is not None}
    answer = post([event(id="before"), bad, event(id="after")])
    assert answer.status_code == 202
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["accepted", "rejected", "accepted"]
    assert field in {error["field"] for error in results[1]["errors"]}
    assert any(reason in error["reason"] for error in results[1]["errors"]), results[1]
    alone = post(bad)
    assert alone.status_code == 400
    assert CallEvent.objects.count() == 2


def test_text_that_is_half_a_surrogate_pair_spoils_only_its_own_event(post):
    body = json.dumps([event(id="a"), event(id="b", data={**event()["data"], "location": "\ud800"})])
    answer = post(body).json()
    assert [result["status"] for result in answer["results"]] == ["accepted", "rejected"]


def test_numbers_json_does_not_know_are_refused(post):
    good = json.dumps(event())
    assert post(good.replace('"inbound"', "NaN")).status_code == 400
    answer = post(good.replace('"direction": "inbound"', '"direction": "inbound", "extra": 1e999'))
    assert answer.status_code == 400 and "not finite" in answer.json()["results"][0]["errors"][0]["reason"]


def test_whole_numbers_no_database_keeps_are_refused(post):
    answer = post(event(data={**event()["data"], "extra": [{"n": 10**400}]}))
    assert "64 bits" in answer.json()["results"][0]["errors"][0]["reason"]


def test_data_nested_too_deep_is_refused(post):
    deep = json.loads("[" * 30 + "]" * 30)
    answer = post(event(data={**event()["data"], "extra": deep}))
    assert "nested deeper" in answer.json()["results"][0]["errors"][0]["reason"]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"[" * 100_000 + b"]" * 100_000, 400, "nested too deeply"),
        (b'{"id": ' * 50_000, 400, "nested too deeply"),
        (b"{", 400, "not JSON at line 1"),
        (b"\xff\xfe\x00", 400, "not"),
        (b"[]", 400, "no event"),
        (b" " * (2 * 1024 * 1024), 413, "larger than"),
    ],
)
def test_a_body_that_is_no_batch_of_events_gets_a_clear_answer(post, body, status, reason):
    answer = post(body)
    assert answer.status_code == status
    assert reason in json.dumps(answer.json())


@pytest.mark.parametrize("body", [b"5", b'"text"', b"[null, 3]", b"[[]]"])
def test_what_is_no_object_is_rejected_as_an_event(post, body):
    answer = post(body)
    assert answer.status_code == 400 and answer.json()["accepted"] == 0


def test_more_than_a_thousand_events_are_refused_whole(post):
    assert post([event(id=str(n)) for n in range(1001)]).status_code == 413
    assert not CallEvent.objects.exists()


def test_another_content_type_is_refused(post):
    assert post("x=1", content_type="application/x-www-form-urlencoded").status_code == 415


def test_a_wrong_key_a_missing_key_and_a_key_without_the_scope_are_told_apart(client, post, account):
    assert post(event(), key="nonsense").status_code == 401
    assert client.post(URL, "{}", content_type="application/json").status_code == 401
    _, reader = create_api_key(account=account, name="reader", scopes=["calls:read"])
    assert post(event(), key=reader).status_code == 403
    assert not CallEvent.objects.exists()


def test_the_account_comes_from_the_key_and_from_nowhere_else(post, account):
    other = AccountFactory()
    post(event(account=other.pk, account_id=other.pk))
    assert set(CallEvent.objects.values_list("account_id", flat=True)) == {account.pk}


def test_the_same_id_with_another_body_is_a_conflict(post):
    first = event()
    assert post(first).status_code == 202
    assert post(first).status_code == 200
    assert post({**first, "subject": "another"}).status_code == 409


def test_a_full_inbox_answers_429_with_the_time_to_wait_and_takes_nothing(post, settings, monkeypatch):
    monkeypatch.setattr(ingest, "DEPTH_KEPT_SECONDS", -1)
    settings.INBOX_MAX_PER_ACCOUNT = 2
    assert post([event(id="1"), event(id="2")]).status_code == 202
    answer = post(event(id="3"))
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 0
    settings.INBOX_MAX_PER_ACCOUNT, settings.INBOX_MAX = 100, 2
    answer = post(event(id="4"))
    assert answer.status_code == 503 and int(answer["Retry-After"]) > 0
    assert CallEvent.objects.count() == 2


def test_an_account_that_floods_does_not_block_another(post, settings, monkeypatch):
    monkeypatch.setattr(ingest, "DEPTH_KEPT_SECONDS", -1)
    settings.INBOX_MAX_PER_ACCOUNT = 1
    post(event())
    other = create_api_key(account=AccountFactory(), name="other", scopes=["events:write"])[1]
    assert post(event(id="2")).status_code == 429
    assert post(event(id="2"), key=other).status_code == 202


def test_a_database_that_is_gone_answers_503_and_says_to_send_again(post, monkeypatch):
    from django.db import OperationalError

    def gone(**kwargs):
        raise OperationalError(2006, "gone")

    monkeypatch.setattr(ingest, "accept_events", gone)
    answer = post(event())
    assert answer.status_code == 503 and answer["Retry-After"] and "send it again" in answer.json()["detail"]


def test_a_compressed_body_is_refused_as_such(client, api_key):
    answer = client.post(
        URL,
        b"\x1f\x8b",
        content_type="application/json",
        headers={"Authorization": f"Api-Key {api_key}", "Content-Encoding": "gzip"},
    )
    assert answer.status_code == 415


def test_another_method_is_not_allowed_and_a_closing_slash_is(client, api_key):
    headers = {"Authorization": f"Api-Key {api_key}"}
    assert client.get(URL, headers=headers).status_code == 405
    assert client.get(URL).status_code == 401
    assert client.post(f"{URL}/", json.dumps(event()), content_type="application/json", headers=headers).status_code == 202


def test_known_events_do_not_hide_a_refused_one(post):
    known = event()
    post(known)
    assert post([known, event(id="bad", type="call.exploded")]).status_code == 400


def test_a_broker_that_is_gone_is_not_waited_for_again_and_again(post, monkeypatch):
    tries = []

    def gone(**kwargs):
        tries.append(True)
        raise OSError("connection refused")

    if tasks._late_nudge is not None:  # of the test before
        tasks._late_nudge.cancel()
    monkeypatch.setattr(tasks, "_late_nudge", None)
    monkeypatch.setattr(tasks, "_next_nudge", 0.0)
    monkeypatch.setattr(tasks.fold_events, "apply_async", gone)
    for number in range(5):
        assert post(event(id=str(number))).status_code == 202
    assert len(tries) == 1
