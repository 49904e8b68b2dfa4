"""What all of the API has in common: how it describes itself, refuses, pages, and makes nothing twice."""

import datetime as dt
import io
import json
import time
import wave
from functools import partial
from typing import Any

import jsonschema
import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from agents.models import DeviceCheck, SkillGroup, SkillGroupMember, StatusChange
from analytics.models import AlertCrossing, AlertRule, Display
from configuration.api_keys import create_api_key
from configuration.idempotency import GIVEN_UP_AFTER, forget_answers
from configuration.models import (
    ApiKey,
    BlockedNumber,
    BreakReason,
    Disposition,
    IdempotencyKey,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
    ScreenPop,
    ServiceNumber,
)
from retention import access_request, deletion, holds
from retention.models import LegalHold
from tests.at_once import at_once
from tests.factories import AgentFactory, CallFactory, RecordingFactory, SkillGroupFactory, VoicemailFactory

pytestmark = pytest.mark.django_db

REASONS = "/api/v1/break-reasons/"


@pytest.fixture
def api(api_key):
    return Client(headers={"authorization": f"Api-Key {api_key}"})


def faults(answer) -> list[str]:
    assert answer.status_code == 400, answer.content
    assert answer.json()["detail"] == "The request is not valid."
    return [error["field"] for error in answer.json()["errors"]]


def post(api, address: str, body: Any, **headers: str):
    return api.post(address, json.dumps(body), content_type="application/json", headers=headers)


# --- What it says of itself is what it does --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema(tmp_path_factory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", validate=True, fail_on_warn=True, format="openapi-json", file=str(path))
    told: dict[str, Any] = json.loads(path.read_text())
    return told


@pytest.fixture
def world(account, api_key) -> dict[str, Any]:
    """A row behind each id that the documentation's examples use."""
    Role.objects.all().delete()  # the built-in ones may have the ids of the examples
    role = Role.objects.create(pk=3, account=account, name="Reader", permissions=[])
    Role.objects.create(pk=4, account=account, name="Hotline", permissions=["agents.use_desk"], data_scope="own")
    replies = QuickReplyGroup.objects.create(pk=5, account=account, name="Replies")
    pop = ScreenPop.objects.create(pk=2, account=account, name="Pop", url_template="https://crm.example.com/?n={caller_number}")
    group = SkillGroup.objects.create(pk=7, account=account, name="Support", screen_pop=pop, quick_reply_group=replies)
    agent = AgentFactory(pk=42, account=account, role=Role.objects.get(pk=4), staff_id="77")
    other = AgentFactory(account=account, role=Role.objects.get(pk=4), staff_id="78")
    key = create_api_key(account=account, name="other", scopes=["calls:read"])[0]
    prompt = IvrPrompt(account=account, code="hello", kind="audio", audio_type="audio/wav", audio_bytes=4)
    prompt.audio_key = default_storage.save("ivr-prompts/hello.wav", ContentFile(b"RIFF"))
    prompt.save()
    now, about = timezone.now(), {"number": "+8613900000008"}
    alert = AlertRule.objects.create(account=account, name="Long queue", mail_to="shift@example.com")
    asker = ApiKey.objects.get(account=account, name="test")  # cancels its own
    erasure = deletion.open_request(account=account, kind="number", said=about, by=None, at=now)
    type(erasure).objects.filter(pk=erasure.pk).update(api_key=asker.pk)
    check = DeviceCheck.objects.create(account=account, agent=other, result="good", round_trip_ms="38")
    return {
        "agents": agent,
        "status-changes": StatusChange.objects.create(
            account=account, agent=other, status="offline", started_at=timezone.now(), change_key=b"k" * 32
        ),
        "skill-groups": group,
        "memberships": SkillGroupMember.objects.create(account=account, agent=other, skill_group=group),
        "device-checks": check,
        "service-numbers": ServiceNumber.objects.create(account=account, number="+861055500009"),
        "ivr-prompts": prompt,
        "blacklist": BlockedNumber.objects.create(account=account, number="+8613900000009"),
        "keywords": Keyword.objects.create(account=account, phrase="angry"),
        "quick-reply-groups": replies,
        "quick-replies": QuickReply.objects.create(account=account, group=replies, title="Hello", text="Hello"),
        "screen-pops": pop,
        "break-reasons": BreakReason.objects.create(account=account, name="Training"),
        "dispositions": Disposition.objects.create(account=account, name="Callback"),
        "roles": role,
        "api-keys": key,
        "calls": CallFactory(account=account),
        "recordings": RecordingFactory(call__account=account),
        "voicemail": VoicemailFactory(call__account=account),
        "alerts": alert,
        "alert-crossings": AlertCrossing.objects.create(
            account=account, rule=alert, metric="in_queue", threshold=5, began_at=now, crossed_at=now
        ),
        "wallboards": Display.objects.create(account=account, name="Hall"),
        "deletion-requests": erasure,
        "legal-holds": holds.place(
            hold=LegalHold(account=account, kind="days", from_day="2020-01-01", to_day="2020-01-02", reference="7/26"),
            by=None,
            at=now,
        ),
        "access-requests": access_request.open_request(account=account, kind="number", said=about, by=None, at=now),
    }


NEEDS_ANOTHER_STATE = {
    ("delete", "/api/v1/quick-reply-groups/{id}/"): 409,  # a skill group and a quick reply use it
    ("delete", "/api/v1/ivr-prompts/{id}/audio/"): 409,  # it is an audio prompt
    ("get", "/api/v1/deletion-requests/{id}/certificate/"): 404,  # it is not completed
}
"""Operations whose basic request, in the world above, gets a documented refusal."""

ASKED = {"/api/v1/staffing/forecast/": "?skill_group=7"}
"""What an operation cannot be asked without."""

OF_A_PERSON = ("/api/v1/reports/saved/", "/api/v1/reports/runs/")
"""What a key owns none of; tested in tests/analytics/test_report_api.py."""


def operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, told) for path, methods in schema["paths"].items() for method, told in methods.items()]


def example_body(told: dict[str, Any]) -> Any:
    content = told.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    examples = content.get("examples")
    assert examples, f"{told['operationId']} has a body and shows none"
    return next(iter(examples.values()))["value"]


def as_json_schema(part: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema says a type."""
    if isinstance(part, list):
        return [as_json_schema(one) for one in part]
    if not isinstance(part, dict):
        return part
    plain = {name: as_json_schema(below) for name, below in part.items() if name not in ("example", "examples")}
    if plain.pop("nullable", False):
        return {"anyOf": [plain, {"type": "null"}]}
    if isinstance(plain.get("properties"), dict) and plain.get("type") == "object":
        plain.setdefault("additionalProperties", False)
    return plain


def test_each_operation_answers_a_basic_request_as_it_is_documented(schema, world, api):
    components = as_json_schema({"components": schema["components"]})
    for method, path, told in operations(schema):
        kind = path.split("/")[3]
        if path.endswith("/events") or kind == "exports" or (method == "post" and kind in ("recordings", "voicemail")):
            continue  # their own tests: tests/calls/test_api_events.py, test_sound_api.py and test_exporting.py
        if path.startswith(OF_A_PERSON):
            continue
        address = path.replace("{id}", str(world[kind].pk)) if "{id}" in path else path
        address += ASKED.get(path, "")
        body = example_body(told)
        sent = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        if path.endswith("/audio/") and method == "put":
            sent = {"data": a_wav(), "content_type": "audio/wav"}
        with transaction.atomic():  # each operation finds the world as it was
            answer = getattr(api, method)(address, **sent)
            transaction.set_rollback(True)
        name = f"{method} {path}: {answer.status_code} {answer.content[:300]!r}"
        expected = NEEDS_ANOTHER_STATE.get((method, path))
        assert answer.status_code == expected if expected else answer.status_code < 300, name
        assert str(answer.status_code) in told["responses"], name
        content = told["responses"][str(answer.status_code)].get("content")
        if content is None:
            assert answer.content == b"", name
            continue
        validator = jsonschema.Draft202012Validator(as_json_schema(content["application/json"]["schema"]) | components)
        problems = [f"{'/'.join(map(str, one.path))}: {one.message}" for one in validator.iter_errors(answer.json())]
        assert problems == [], name


def a_wav() -> bytes:
    """A second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16_000))
    return file.getvalue()


def test_each_operation_is_told_in_words_with_its_refusals(schema):
    for method, path, told in operations(schema):
        name = f"{method} {path}"
        assert told.get("summary"), name
        assert {"401", "403"} <= set(told["responses"]), name
        if "{id}" in path:
            assert "404" in told["responses"], name
        if "requestBody" in told:
            assert {"400", "413", "415"} <= set(told["responses"]), name
        for code in ("400", "401", "403", "404", "409", "422"):
            if code in told["responses"] and not path.endswith("/events"):
                ref = told["responses"][code]["content"]["application/json"]["schema"]["$ref"]
                assert ref == "#/components/schemas/Error", name


def test_names_of_kinds_of_values_are_stable(schema):
    names = {name for name, told in schema["components"]["schemas"].items() if "enum" in told}
    assert not [name for name in names if any(digit in name for digit in "0123456789")]


def views() -> list[tuple[str, Any]]:
    found = []

    def walk(patterns: list[Any], prefix: str) -> None:
        for pattern in patterns:
            here = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                found.append((here, pattern.callback))
            else:
                walk(pattern.url_patterns, here)

    walk(get_resolver().url_patterns, "")
    return [(route, view) for route, view in found if route.startswith("api/v1/") and hasattr(view, "cls")]


KNOWN_BY_THEIR_FILE = {"api/v1/^recordings/$", "api/v1/^voicemail/$"}
"""The same file sent again is the same recording: what is streamed is not held to be compared by a key."""


def test_every_route_that_makes_something_takes_an_idempotency_key():
    makes = [
        (route, getattr(view.cls, action))
        for route, view in views()
        for method, action in getattr(view, "actions", {}).items()
        if method == "post" and action in ("create", "bulk") and route not in KNOWN_BY_THEIR_FILE
    ]
    assert len(makes) >= 15
    assert [route for route, handler in makes if not getattr(handler, "takes_idempotency_key", False)] == []


# --- Refusals --------------------------------------------------------------------------------------------------------


class TestRefusals:
    def test_without_a_credential_it_is_401(self, account):
        answer = Client().get(REASONS)
        assert answer.status_code == 401 and list(answer.json()) == ["detail"]

    def test_a_method_there_is_none_of_is_405_and_says_which_there_are(self, api, account):
        group = SkillGroupFactory(account=account)
        answer = api.delete(f"/api/v1/skill-groups/{group.pk}/")
        assert answer.status_code == 405 and "DELETE" not in answer["Allow"] and "PATCH" in answer["Allow"]

    @pytest.mark.parametrize(
        ("body", "kind", "status"),
        [
            (b"{", "application/json", 400),
            (b"\xff\xfe", "application/json", 400),
            (b'{"name": NaN}', "application/json", 400),
            (b"[" * 100_000, "application/json", 400),
            (b'{"order": ' + b"9" * 5000 + b"}", "application/json", 400),
            (b"name=x", "application/x-www-form-urlencoded", 415),
            (b"<name/>", "text/xml", 415),
            (b'{"name": "' + b"x" * 1024 * 1024 + b'"}', "application/json", 413),
        ],
    )
    @pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
    def test_what_is_not_a_body_of_ours_is_refused_in_our_words(self, api, body, kind, status, key):
        answer = api.post(REASONS, body, content_type=kind, headers=key)
        assert answer.status_code == status, answer.content
        assert answer.json()["detail"] and BreakReason.objects.count() == 0

    def test_a_body_beyond_what_django_reads_is_413_also_with_a_key(self, api):
        answer = api.post(REASONS, b"x" * (5 * 1024**2), content_type="application/json", headers={"Idempotency-Key": "k"})
        assert answer.status_code == 413 and list(answer.json()) == ["detail"]

    @pytest.mark.parametrize("body", [[], "x", 1, None, True])
    def test_a_body_that_is_no_object_is_refused(self, api, body):
        assert faults(post(api, REASONS, body)) == [""]

    def test_every_unknown_field_is_named(self, api):
        assert faults(post(api, REASONS, {"name": "Lunch", "colour": 1, "account": 5})) == ["account", "colour"]

    def test_a_name_that_cannot_be_encoded_is_answered_all_the_same(self, api):
        answer = api.post(REASONS, b'{"name": "x", "\\ud800": 1}', content_type="application/json")
        assert faults(answer) == ["?"]
        answer = api.post("/api/v1/keywords/", b'{"phrase": "x", "severity": "\\ud800"}', content_type="application/json")
        assert faults(answer) == ["severity"]

    @pytest.mark.parametrize("pk", ["0", "9" * 30, "9" * 5000, "x", "-1", "1%00", "%D9%A3"])
    def test_an_id_nobody_has_is_404_however_it_is_written(self, api, pk):
        for method in ("get", "put", "patch", "delete"):
            answer = api.generic(method.upper(), f"{REASONS}{pk}/", "{}", content_type="application/json")
            assert (answer.status_code, answer.content) == (404, b'{"detail":"Not found."}'), method

    def test_options_and_head_answer_without_a_body_of_rows(self, api, account):
        BreakReason.objects.create(account=account, name="Lunch")
        options = api.options(REASONS)
        assert options.status_code == 200 and "Lunch" not in options.content.decode()
        assert set(options.json()["methods"]) == {"GET", "POST", "HEAD", "OPTIONS"}
        head = api.head(REASONS)
        assert (head.status_code, head.content) == (200, b"")

    @pytest.mark.parametrize("query", ["colour=1", "account=1", "name__startswith=L", "ordering=name", "page=2"])
    def test_a_parameter_there_is_none_of_is_an_error(self, api, query):
        assert faults(api.get(f"{REASONS}?{query}")) == [query.partition("=")[0]]

    @pytest.mark.parametrize(
        "value", [None, True, 1, -1, 10**30, 1.5, "", "x", "\0", "\ud800", [], [1], {}, {"a": 1}, "x" * 5000]
    )
    def test_no_value_of_any_field_of_any_kind_makes_the_portal_fail(self, api, schema, world, value):
        """And each refusal names the field that was wrong."""
        api.raise_request_exception = True
        for method, path, told in operations(schema):
            body = example_body(told)
            if not isinstance(body, dict) or path.endswith("/events") or path.startswith(OF_A_PERSON):
                continue
            address = path.replace("{id}", str(world[path.split("/")[3]].pk)) if "{id}" in path else path
            for name in body:
                sent = json.dumps(body | {name: value})
                answer = getattr(api, method)(address, sent, content_type="application/json")
                assert answer.status_code < 500, f"{method} {path} {name}: {answer.content[:200]!r}"
                assert set(answer.json()) <= {"detail", "errors"} or answer.status_code < 300


# --- Pages -----------------------------------------------------------------------------------------------------------


class TestPages:
    def test_pages_give_each_row_once_though_rows_come_and_go(self, api, account):
        rows = [BreakReason.objects.create(account=account, name=f"r{n:03}") for n in range(12)]
        seen: list[int] = []
        address: str | None = f"{REASONS}?limit=5&is_active=true"
        while address:
            answer = api.get(address).json()
            seen += [row["id"] for row in answer["results"]]
            if len(seen) == 5:
                BreakReason.objects.create(account=account, name="new")
                rows[6].delete()
            address = answer["next"]
        assert seen == [row.pk for row in reversed(rows) if row.pk is not None]

    @pytest.mark.parametrize("limit", ["0", "501", "x", "-1", "", "1e3", "٣"])
    def test_a_limit_out_of_bounds_is_refused(self, api, limit):
        assert faults(api.get(f"{REASONS}?limit={limit}")) == ["limit"]

    @pytest.mark.parametrize("cursor", ["x", "W10", "WzEsMl0", "WyJhIl0", "W3RydWVd", "Wy0xXQ", "bnVsbA", "é", "%00"])
    def test_a_cursor_that_is_not_ours_is_refused(self, api, cursor):
        assert faults(api.get(f"{REASONS}?cursor={cursor}")) == ["cursor"]


# --- Once ------------------------------------------------------------------------------------------------------------


class TestIdempotencyKey:
    def make(self, api, key: str = "first", **body: Any):
        return post(api, REASONS, {"name": "Lunch"} | body, **{"Idempotency-Key": key})

    def test_the_same_request_again_makes_nothing_and_gets_the_same_answer(self, api, account):
        first, again = self.make(api), self.make(api)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json() and first["Location"] == again["Location"]
        assert "Idempotency-Replayed" not in first and again["Idempotency-Replayed"] == "true"
        assert BreakReason.objects.count() == 1

    def test_another_body_or_another_address_under_the_same_key_is_422(self, api, account):
        self.make(api)
        assert self.make(api, order=2).status_code == 422
        assert post(api, "/api/v1/dispositions/", {"name": "Lunch"}, **{"Idempotency-Key": "first"}).status_code == 422
        assert (BreakReason.objects.count(), Disposition.objects.count()) == (1, 0)

    def test_two_who_choose_the_same_key_do_not_meet(self, api, account):
        other = create_api_key(account=account, name="other", scopes=["configuration:write"])[1]
        self.make(api)
        answer = self.make(Client(headers={"authorization": f"Api-Key {other}"}), name="Training")
        assert answer.status_code == 201 and BreakReason.objects.count() == 2

    def test_a_refusal_is_not_remembered(self, api, account):
        assert self.make(api, name="").status_code == 400
        assert IdempotencyKey.objects.count() == 0
        assert self.make(api).status_code == 201

    def test_while_it_is_being_answered_the_same_request_is_409(self, api, account):
        self.make(api)
        IdempotencyKey.objects.update(status_code=None, answer=b"", claimed_at=timezone.now())
        answer = self.make(api)
        assert answer.status_code == 409 and answer["Retry-After"] == "1"

    def test_a_claim_whose_worker_died_is_taken_over(self, api, account):
        self.make(api)
        BreakReason.objects.all().delete()
        IdempotencyKey.objects.update(status_code=None, answer=b"", claimed_at=timezone.now() - GIVEN_UP_AFTER * 2)
        assert self.make(api).status_code == 201 and BreakReason.objects.count() == 1

    def test_whoever_lost_the_claim_keeps_nothing(self, api, account, monkeypatch):
        save = BreakReason.save

        def slow(row: BreakReason, *args: Any, **kwargs: Any) -> None:
            save(row, *args, **kwargs)
            IdempotencyKey.objects.update(claimed_at=timezone.now() + dt.timedelta(seconds=1))  # somebody took over meanwhile

        monkeypatch.setattr(BreakReason, "save", slow)
        assert self.make(api).status_code == 409
        assert BreakReason.objects.count() == 0

    @pytest.mark.parametrize("key", ["", " ", "x" * 256, "é"])
    def test_a_key_must_be_printable_and_short(self, api, account, key):
        assert faults(self.make(api, key)) == ["Idempotency-Key"]

    def test_what_is_kept_of_an_answer_is_encrypted_and_forgotten_after_a_day(self, api, account):
        self.make(api, name="Lunchbreakcanary")
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM configuration_idempotencykey")
            assert "Lunchbreakcanary" not in repr(cursor.fetchall())
        now = timezone.now()
        assert forget_answers(at=now + dt.timedelta(hours=23)) == 0
        assert forget_answers(at=now + dt.timedelta(hours=25)) == 1
        assert forget_answers(at=now + dt.timedelta(hours=25)) == 0

    def test_after_a_day_the_key_is_free_though_no_job_came_by(self, api, account):
        self.make(api)
        with time_machine.travel(timezone.now() + dt.timedelta(hours=25)):
            assert self.make(api, name="Training").status_code == 201

    def test_the_text_of_an_api_key_is_not_said_again(self, api, account):
        body, header = {"name": "CRM", "scopes": ["calls:read"]}, {"Idempotency-Key": "k"}
        first, again = (post(api, "/api/v1/api-keys/", body, **header).json() for _ in range(2))
        assert first["text"] and again == first | {"text": None}
        assert ApiKey.objects.filter(name="CRM").count() == 1


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    """The test database of SQLite, in memory, turns a second writer away instead of letting it wait; 503 says to send it
    again, and so they do."""

    def send(self, method: str, address: str, body: Any, api_key: str, **headers: str) -> Any:
        client = Client(headers={"authorization": f"Api-Key {api_key}"})
        while True:
            answer = getattr(client, method)(address, json.dumps(body), content_type="application/json", headers=headers)
            if answer.status_code != 503:
                return answer
            assert answer["Retry-After"]

    def together(self, work: Any, n: int = 4) -> list[Any]:
        return at_once(*(partial(work, number) for number in range(n)))

    def test_the_same_request_many_times_at_once_makes_one_row(self, account, api_key, monkeypatch):
        """Also where one is turned away by the database with its claim still standing: another takes that over."""
        monkeypatch.setattr("configuration.idempotency.GIVEN_UP_AFTER", dt.timedelta(seconds=0.5))

        def send(number: int) -> list[int]:
            codes: list[int] = []
            while codes[-1:] != [201]:
                answer = self.send("post", REASONS, {"name": "Lunch"}, api_key, **{"Idempotency-Key": "k"})
                codes.append(answer.status_code)
                time.sleep(0.02)
            return codes

        codes = {code for seen in self.together(send) for code in seen}
        assert BreakReason.objects.filter(account=account).count() == 1
        assert codes <= {201, 409}

    def test_the_same_name_many_times_at_once_is_taken_once_and_refused_on_its_field(self, account, api_key):
        def send(number: int) -> tuple[int, list[str]]:
            answer = self.send("post", REASONS, {"name": "Lunch"}, api_key)
            return answer.status_code, [error["field"] for error in answer.json().get("errors", [])]

        answers = sorted(self.together(send))
        assert answers == [(201, []), (400, ["name"]), (400, ["name"]), (400, ["name"])]

    def test_changes_of_different_fields_at_once_both_stay(self, account, api_key):
        reason = BreakReason.objects.create(account=account, name="Lunch", order=1)
        changes = [{"name": "Dinner"}, {"order": 9}, {"is_active": False}, {"order": 9}]

        def send(number: int) -> int:
            return int(self.send("patch", f"{REASONS}{reason.pk}/", changes[number], api_key).status_code)

        assert set(self.together(send)) == {200}
        reason.refresh_from_db()
        assert (reason.name, reason.order, reason.is_active) == ("Dinner", 9, False)
