"""Configuration over the API: numbers, prompts, lists, roles, keys."""

import datetime as dt
import io
import json
import wave
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.exceptions import PermissionDenied

from callcenter_site.audit import Look
from configuration.access import RIGHTS, frees_oneself
from configuration.admin.roles import RoleForm
from configuration.api_keys import create_api_key
from configuration.models import (
    ApiKey,
    AuditEntry,
    BlockedNumber,
    BreakReason,
    Disposition,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
    ScreenPop,
    ServiceNumber,
)
from configuration.serializers import RoleSerializer
from tests.factories import AccountFactory, AgentFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

V1 = "/api/v1/"
BLACKLIST = "/api/v1/blacklist/"
PROMPTS = "/api/v1/ivr-prompts/"
KEYS = "/api/v1/api-keys/"
ROLES = "/api/v1/roles/"


def a_wav(seconds: float = 0.1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(int(16_000 * seconds)))
    return file.getvalue()


class Api:
    def __init__(self, client: Client) -> None:
        self.client = client

    def __getattr__(self, method: str) -> Any:
        def ask(address: str, body: Any = None) -> Any:
            sent = (
                {} if method == "get" else {"data": json.dumps({} if body is None else body), "content_type": "application/json"}
            )
            return getattr(self.client, method)(address, **sent)

        return ask


def key_of(account, *scopes: str, **more: Any) -> Api:
    text = create_api_key(account=account, name="test", scopes=list(scopes), **more)[1]
    return Api(Client(headers={"authorization": f"Api-Key {text}"}))


def signed_in(account, kind: str) -> Api:
    client = Client()
    client.force_login(AgentFactory(account=account, kind=kind), backend="agents.sign_in.RoleBackend")
    return Api(client)


@pytest.fixture
def api(account) -> Api:
    return key_of(account, "configuration:write")


def faults(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.content
    return [error["field"] for error in answer.json()["errors"]]


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


KINDS: dict[str, tuple[type, dict[str, Any], dict[str, Any], str]] = {
    "service-numbers": (ServiceNumber, {"number": "010 5550 0001"}, {"label": "Sales"}, "number"),
    "ivr-prompts": (IvrPrompt, {"code": "welcome", "text": "Welcome."}, {"text": "Hello."}, "code"),
    "blacklist": (BlockedNumber, {"number": "138 0013 8000"}, {"reason": "Abuse"}, "number"),
    "keywords": (Keyword, {"phrase": "refund"}, {"severity": "critical"}, "phrase"),
    "quick-reply-groups": (QuickReplyGroup, {"name": "Greetings"}, {"order": 3}, "name"),
    "screen-pops": (
        ScreenPop,
        {"name": "CRM", "url_template": "https://crm.example.com/?n={caller_number}"},
        {"fields_shown": ["location"]},
        "name",
    ),
    "break-reasons": (BreakReason, {"name": "Lunch"}, {"is_active": False}, "name"),
    "dispositions": (Disposition, {"name": "Order placed"}, {"order": 4}, "name"),
    "roles": (
        Role,
        {"name": "Editor", "permissions": ["configuration.view_quickreply"]},
        {"requires_second_factor": True},
        "name",
    ),
}


class TestEveryKind:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_row_is_made_read_changed_replaced_and_deleted(self, api, account, kind):
        model, body, change, natural_key = KINDS[kind]
        before = set(model.objects.values_list("pk", flat=True))
        answer = api.post(f"{V1}{kind}/", body)
        assert answer.status_code == 201, answer.content
        made = answer.json()
        address = f"{V1}{kind}/{made['id']}/"
        assert answer["Location"].endswith(address)
        assert model.objects.get(pk=made["id"]).account == account
        assert api.get(address).json() == made
        assert made["id"] in ids(api.get(f"{V1}{kind}/"))
        changed = api.patch(address, change).json()
        assert changed == made | change
        assert api.put(address, body).json() == made
        assert faults(api.post(f"{V1}{kind}/", body)) == [natural_key]
        assert faults(api.put(address, {})) == [name for name in body if name in required_of(model)]
        assert api.delete(address).status_code == 204
        assert api.get(address).status_code == 404
        assert set(model.objects.values_list("pk", flat=True)) == before

    @pytest.mark.parametrize("kind", KINDS)
    def test_who_reads_does_not_write_and_other_scopes_do_neither(self, account, kind):
        _model, body, _change, _key = KINDS[kind]
        reads, other = key_of(account, "configuration:read"), key_of(account, "agents:write", "calls:read", "blacklist:check")
        assert reads.get(f"{V1}{kind}/").status_code == 200
        assert reads.post(f"{V1}{kind}/", body).status_code == 403
        assert other.get(f"{V1}{kind}/").status_code == other.post(f"{V1}{kind}/", body).status_code == 403

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_same_name_is_free_in_another_account(self, api, kind):
        body = KINDS[kind][1]
        assert key_of(AccountFactory(), "configuration:write").post(f"{V1}{kind}/", body).status_code == 201
        assert api.post(f"{V1}{kind}/", body).status_code == 201

    @pytest.mark.parametrize("kind", [*KINDS, "quick-replies", "api-keys"])
    def test_a_list_costs_the_same_for_few_and_for_many(self, account, kind):
        reads = key_of(account, "configuration:read")

        def make(first: int, last: int) -> None:
            for n in range(first, last):
                if kind == "quick-replies":
                    group = QuickReplyGroup.objects.create(account=account, name=f"g{n}")
                    QuickReply.objects.create(account=account, group=group, title=f"t{n}", text="x")
                elif kind == "api-keys":
                    create_api_key(account=account, name="other", scopes=["calls:read"])
                else:
                    model, _body, _change, name = KINDS[kind]
                    model.objects.create(account=account, **{name: f"{n:08}"})

        def n_queries() -> int:
            with CaptureQueriesContext(connection) as queries:
                assert reads.get(f"{V1}{kind}/").status_code == 200
            return len(queries)

        make(0, 1)
        n_queries()
        few = n_queries()
        make(1, 12)
        assert n_queries() == few == 2  # the key, and the page


def required_of(model: type) -> set[str]:
    from django.db.models import NOT_PROVIDED

    return {
        field.name
        for field in model._meta.concrete_fields  # type: ignore[attr-defined]
        if field.default is NOT_PROVIDED and not field.blank and not field.null
    }


class TestMeaning:
    """What a value must be like is said by the models; here, that the API says it on the right field."""

    @pytest.mark.parametrize(
        ("kind", "body", "field"),
        [
            ("service-numbers", {"number": "hello"}, "number"),
            ("service-numbers", {"number": "+861055500001", "direction": "up"}, "direction"),
            ("ivr-prompts", {"code": "a b", "text": "x"}, "code"),
            ("ivr-prompts", {"code": "a", "text": ""}, "text"),
            ("ivr-prompts", {"code": "a", "kind": "audio"}, "kind"),
            ("ivr-prompts", {"code": "a", "text": "x", "language": "Klingon!"}, "language"),
            ("ivr-prompts", {"code": "a", "text": "x", "audio_type": "audio/wav"}, None),
            ("keywords", {"phrase": "x" * 101}, "phrase"),
            ("keywords", {"phrase": "!!!"}, "phrase"),
            ("keywords", {"phrase": "x" * 10_000}, "phrase"),
            ("screen-pops", {"name": "a", "url_template": "http://crm.example.com"}, "url_template"),
            ("screen-pops", {"name": "a", "url_template": "https://{caller_number}.example.com"}, "url_template"),
            ("screen-pops", {"name": "a", "url_template": "https://a.example.com/{nobody}"}, "url_template"),
            ("screen-pops", {"name": "a", "fields_shown": ["colour"]}, "fields_shown[0]"),
            ("blacklist", {"number": "*"}, "number"),
            ("blacklist", {"number": "+86*"}, "number"),
            ("blacklist", {"number": "13800138000", "blocked_until": "2020-01-01T00:00:00Z"}, "blocked_until"),
            ("blacklist", {"number": "13800138000", "blocked_until": "2030-01-01T00:00:00"}, "blocked_until"),
            ("blacklist", {"number": "13800138000", "blocked_until": "0001-01-01T00:00:00+23:59"}, "blocked_until"),
            ("blacklist", {"number": "13800138000", "is_prefix": True}, None),
            ("break-reasons", {"name": "   "}, "name"),
            ("break-reasons", {"name": "a", "order": -1}, "order"),
            ("break-reasons", {"name": "a", "order": 2**31}, "order"),
            ("roles", {"name": "a", "permissions": ["auth.delete_user"]}, "permissions[0]"),
            ("roles", {"name": "a", "permissions": ["agents.enter_admin"]}, "permissions"),
        ],
    )
    def test_what_is_wrong_is_named(self, api, kind, body, field):
        answer = api.post(f"{V1}{kind}/", body)
        if field is None:  # what only the portal sets is passed over: what was read can be written back
            assert answer.status_code == 201
        else:
            assert faults(answer) == [field]

    def test_the_id_of_a_group_of_another_account_is_as_missing_as_nobodys(self, api, account):
        theirs = QuickReplyGroup.objects.create(account=AccountFactory(), name="Theirs")
        answers = [
            api.post(f"{V1}quick-replies/", {"group": pk, "title": "a", "text": "b"}).json() for pk in (theirs.pk, 70_999_999)
        ]
        assert answers[0] == answers[1] and answers[0]["errors"] == [{"field": "group", "reason": "There is no such row."}]
        ours = QuickReplyGroup.objects.create(account=account, name="Ours")
        made = api.post(f"{V1}quick-replies/", {"group": ours.pk, "title": "a", "text": "{caller_number}"}).json()
        assert faults(api.patch(f"{V1}quick-replies/{made['id']}/", {"group": theirs.pk})) == ["group"]
        assert faults(api.post(f"{V1}quick-replies/", {"group": ours.pk, "title": "a", "text": "b"})) == ["title"]
        assert ids(api.get(f"{V1}quick-replies/?group={ours.pk}")) == [made["id"]]
        assert ids(api.get(f"{V1}quick-replies/?group={theirs.pk}")) == []

    def test_what_is_in_use_stays(self, api, account):
        group = QuickReplyGroup.objects.create(account=account, name="Ours")
        QuickReply.objects.create(account=account, group=group, title="a", text="b")
        answer = api.delete(f"{V1}quick-reply-groups/{group.pk}/")
        assert answer.status_code == 409 and QuickReplyGroup.objects.filter(pk=group.pk).exists()
        pop = ScreenPop.objects.create(account=account, name="Pop")
        sales = SkillGroupFactory(account=account, screen_pop=pop)
        assert api.delete(f"{V1}screen-pops/{pop.pk}/").status_code == 204
        sales.refresh_from_db()
        assert sales.screen_pop is None

    def test_each_list_is_searched_and_filtered(self, api, account):
        for n, (phrase, category) in enumerate([("refund", "Money"), ("angry", "Mood"), ("money back", "")]):
            Keyword.objects.create(account=account, phrase=phrase, category=category, is_active=n != 1)
        refund, angry, back = Keyword.objects.order_by("pk")
        Keyword.objects.create(account=AccountFactory(), phrase="refund")
        assert ids(api.get(f"{V1}keywords/?search=MONEY")) == [back.pk, refund.pk]
        assert ids(api.get(f"{V1}keywords/?search=money&is_active=true&category=Money")) == [refund.pk]
        assert ids(api.get(f"{V1}keywords/?is_active=false")) == [angry.pk]
        ServiceNumber.objects.create(account=account, number="+861055500001", direction="inbound")
        assert len(ids(api.get(f"{V1}service-numbers/?number=010-5550-0001&direction=inbound"))) == 1


class TestBlacklist:
    def test_a_broad_prefix_is_blocked_by_who_confirms_it(self, api):
        assert api.post(BLACKLIST, {"number": "+86 *"}).status_code == 400
        made = api.post(BLACKLIST, {"number": "+86 *", "confirm_broad": True})
        assert made.status_code == 201
        assert (made.json()["number"], made.json()["is_prefix"]) == ("+86*", True)
        assert "confirm_broad" not in made.json()
        # It stays what it is when something else of it changes.
        assert api.patch(f"{BLACKLIST}{made.json()['id']}/", {"reason": "Storm"}).json()["number"] == "+86*"

    def test_it_is_filtered_by_number_and_whether_it_is_in_force(self, api, account):
        now = timezone.now()
        one = BlockedNumber.objects.create(account=account, number="+8613800138000")
        many = BlockedNumber.objects.create(account=account, number="+8613800138", is_prefix=True)
        over = BlockedNumber.objects.create(account=account, number="+8613900000000", blocked_until=now - dt.timedelta(hours=1))
        assert ids(api.get(f"{BLACKLIST}?number=138 0013 8000")) == [one.pk]
        assert ids(api.get(f"{BLACKLIST}?number=13800138*")) == [many.pk]
        assert ids(api.get(f"{BLACKLIST}?number=nonsense")) == ids(api.get(f"{BLACKLIST}?number=138")) == []
        assert ids(api.get(f"{BLACKLIST}?in_force=false")) == [over.pk]
        assert set(ids(api.get(f"{BLACKLIST}?in_force=true"))) == {one.pk, many.pk}
        assert ids(api.get(f"{BLACKLIST}?is_prefix=true")) == [many.pk]

    def test_many_are_blocked_at_once_each_answered_by_itself(self, api, account):
        BlockedNumber.objects.create(account=account, number="+8613900000000")
        items = [
            {"number": "138 0013 8000", "reason": "Abuse"},
            {"number": "13900000000"},
            {"number": "+8613800138000"},
            {"number": "hello"},
            {"number": "170*", "direction": "both", "colour": "red"},
            {"number": "170*", "direction": "both"},
            {},
        ]
        answer = api.post(f"{BLACKLIST}bulk/", {"items": items})
        assert answer.status_code == 200, answer.content
        body = answer.json()
        assert (body["created"], body["rejected"]) == (2, 5)
        assert [(one["status"], [fault["field"] for fault in one["errors"]]) for one in body["results"]] == [
            ("created", []),
            ("rejected", ["number"]),
            ("rejected", ["number"]),
            ("rejected", ["number"]),
            ("rejected", ["colour"]),
            ("created", []),
            ("rejected", ["number"]),
        ]
        assert BlockedNumber.objects.count() == 3

    def test_a_thousand_are_blocked_in_a_few_statements_and_each_is_in_the_audit_log(
        self, api, account, django_assert_max_num_queries
    ):
        items = [{"number": f"+86138{n:08}"} for n in range(300)]
        with django_assert_max_num_queries(25):
            body = api.post(f"{BLACKLIST}bulk/", {"items": items}).json()
        assert (body["created"], body["rejected"]) == (300, 0)
        row = BlockedNumber.objects.get(pk=body["results"][7]["id"])
        assert (row.number, row.is_prefix, row.direction) == ("+8613800000007", False, "inbound")
        assert AuditEntry.objects.filter(action=AuditEntry.Action.CREATE, object_id=row.pk).count() == 1
        assert api.post(f"{BLACKLIST}bulk/", {"items": items}).json()["rejected"] == 300
        assert BlockedNumber.objects.count() == 300

    def test_who_may_not_see_whole_numbers_reads_and_writes_none(self, account):
        row = BlockedNumber.objects.create(account=account, number="+8613800138000")
        permissions = [f"configuration.{action}_blockednumber" for action in ("view", "change")]
        role = Role.objects.create(account=account, name="Masked", permissions=permissions, data_scope=Role.DataScope.ACCOUNT)
        client = Client()
        client.force_login(AgentFactory(account=account, role=role), backend="agents.sign_in.RoleBackend")
        masked, address = Api(client), f"{BLACKLIST}{row.pk}/"
        read = masked.get(address).json()
        assert read["number"] == masked.get(BLACKLIST).json()["results"][0]["number"] == "+8613••••••000"
        assert faults(masked.put(address, {"number": read["number"]})) == ["number"]
        assert masked.patch(address, {"reason": "Abuse"}).json()["number"] == "+8613••••••000"
        row.refresh_from_db()
        assert row.number == "+8613800138000"
        assert not AuditEntry.objects.filter(look=Look.NUMBERS).exists()

    def test_each_look_at_whole_numbers_is_in_the_audit_log(self, account):
        row = BlockedNumber.objects.create(account=account, number="+8613800138000")
        boss = signed_in(account, Role.Kind.ADMINISTRATOR)
        assert boss.get(BLACKLIST).json()["results"][0]["number"] == "+8613800138000"
        assert boss.get(f"{BLACKLIST}{row.pk}/").json()["number"] == "+8613800138000"
        assert list(AuditEntry.objects.filter(look=Look.NUMBERS).values_list("object_id", flat=True)) == [row.pk, row.pk]
        assert key_of(account, "configuration:read").get(BLACKLIST).json()["results"][0]["number"] == "+8613800138000"

    @pytest.mark.parametrize("items", [[], None, "x", [1], [{}] * 1001])
    def test_a_list_that_is_none_is_refused_whole(self, api, items):
        assert api.post(f"{BLACKLIST}bulk/", {"items": items}).status_code == 400
        assert BlockedNumber.objects.count() == 0


class TestBlacklistCheck:
    CHECK = f"{BLACKLIST}check/"

    def test_it_says_whether_by_what_why_and_until_when(self, account):
        until = timezone.now().replace(microsecond=0) + dt.timedelta(days=1)
        row = BlockedNumber.objects.create(
            account=account, number="+8613800138", is_prefix=True, reason="Storm", blocked_until=until
        )
        check = key_of(account, "blacklist:check")
        assert check.post(self.CHECK, {"number": "138 0013 8000"}).json() == {
            "blocked": True,
            "id": row.pk,
            "match": "+8613800138*",
            "reason": "Storm",
            "until": until.isoformat().replace("+00:00", "Z"),
        }
        free = {"blocked": False, "id": None, "match": None, "reason": "", "until": None}
        assert check.post(self.CHECK, {"number": "13900000000"}).json() == free
        assert check.post(self.CHECK, {"number": "13800138000", "direction": "outbound"}).json() == free
        with time_machine.travel(until):
            assert check.post(self.CHECK, {"number": "13800138000"}).json() == free

    def test_the_list_of_another_account_does_not_count(self, account):
        BlockedNumber.objects.create(account=AccountFactory(), number="+8613800138000")
        assert key_of(account, "blacklist:check").post(self.CHECK, {"number": "13800138000"}).json()["blocked"] is False

    def test_it_is_one_query_besides_the_key(self, account):
        for n in range(30):
            BlockedNumber.objects.create(account=account, number=f"+86138{n:02}", is_prefix=True)
        check = key_of(account, "blacklist:check")
        check.post(self.CHECK, {"number": "13800138000"})
        with CaptureQueriesContext(connection) as queries:
            assert check.post(self.CHECK, {"number": "13800138000"}).json()["blocked"] is True
        assert len(queries) == 2

    def test_a_change_counts_at_once(self, api, account):
        check = key_of(account, "blacklist:check")
        made = api.post(BLACKLIST, {"number": "13800138000"}).json()
        assert check.post(self.CHECK, {"number": "13800138000"}).json()["blocked"] is True
        api.delete(f"{BLACKLIST}{made['id']}/")
        assert check.post(self.CHECK, {"number": "13800138000"}).json()["blocked"] is False

    def test_scopes(self, account):
        for scope, status in (
            ("configuration:read", 200),
            ("configuration:write", 200),
            ("calls:read", 403),
            ("agents:write", 403),
        ):
            assert key_of(account, scope).post(self.CHECK, {"number": "1"}).status_code == status, scope
        assert key_of(account, "blacklist:check").get(BLACKLIST).status_code == 403

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "number"),
            ({"number": ""}, "number"),
            ({"number": "1", "direction": "both"}, "direction"),
            ({"number": "1", "a": 1}, "a"),
        ],
    )
    def test_what_is_wrong_is_named(self, account, body, field):
        assert faults(key_of(account, "blacklist:check").post(self.CHECK, body)) == [field]


class TestKeywordsAndPreviews:
    def test_keywords_are_found_with_their_places(self, api, account):
        Keyword.objects.create(account=account, phrase="refund", severity="warning")
        Keyword.objects.create(account=account, phrase="fund", is_active=False, match_mode="anywhere")
        Keyword.objects.create(account=AccountFactory(), phrase="customer")
        hits = api.post(f"{V1}keywords/match/", {"text": "The customer wants a REFUND."}).json()["hits"]
        assert [(hit["phrase"], hit["severity"], hit["start"], hit["end"]) for hit in hits] == [("refund", "warning", 21, 27)]
        assert api.post(f"{V1}keywords/match/", {"text": ""}).json() == {"hits": []}
        assert faults(api.post(f"{V1}keywords/match/", {"text": "x" * 20_001})) == ["text"]
        assert key_of(account, "configuration:read").post(f"{V1}keywords/match/", {"text": "a"}).status_code == 200

    def test_a_pop_up_is_previewed_with_sample_data_percent_encoded(self, api, account):
        pop = ScreenPop.objects.create(account=account, name="CRM", url_template="https://crm.example.com/?n={caller_number}")
        body = api.get(f"{V1}screen-pops/{pop.pk}/preview/").json()
        assert body["url"] == "https://crm.example.com/?n=%2B8613800138000"
        assert body["sample"]["caller_number"] == "+8613800138000"


@pytest.mark.django_db(transaction=True)
class TestSound:
    """In real transactions: a file goes when what named it has gone for good."""

    @pytest.fixture
    def prompt(self, account) -> IvrPrompt:
        prompt: IvrPrompt = IvrPrompt.objects.create(account=account, code="welcome", text="Welcome.")
        return prompt

    def put(self, api: Api, prompt: IvrPrompt, content: bytes, kind: str = "audio/wav") -> Any:
        return api.client.put(f"{PROMPTS}{prompt.pk}/audio/", content, content_type=kind)

    def test_it_is_put_as_the_body_replaced_and_fetched_by_a_link(self, api, prompt):
        body = self.put(api, prompt, a_wav()).json()
        assert (body["kind"], body["audio_type"], body["audio_bytes"]) == ("audio", "audio/wav", len(a_wav()))
        prompt.refresh_from_db()
        first = prompt.audio_key
        assert self.put(api, prompt, a_wav(0.2), "application/octet-stream").json()["audio_bytes"] == len(a_wav(0.2))
        assert not default_storage.exists(first)
        answer = api.get(f"{PROMPTS}{prompt.pk}/audio/")
        assert answer.status_code == 200 and answer["Cache-Control"] == "no-store"
        if not answer.json()["url"].startswith("http://testserver/"):
            return  # a store of its own answers there
        fetched = Client().get(answer.json()["url"])
        assert fetched.status_code == 200 and b"".join(fetched.streaming_content) == a_wav(0.2)
        assert fetched["X-Content-Type-Options"] == "nosniff" and fetched["Content-Type"] == "audio/wav"
        assert "welcome.wav" in fetched["Content-Disposition"]
        with time_machine.travel(timezone.now() + dt.timedelta(seconds=61)):
            assert Client().get(answer.json()["url"]).status_code == 403
        assert Client().get("/api/prompt-sound/made-up/").status_code == 403
        self.put(api, prompt, a_wav())  # another file: the link opened just that one
        assert Client().get(answer.json()["url"]).status_code == 404

    def test_it_is_put_as_a_part_of_a_form(self, api, prompt):
        from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

        form = encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("x.exe", a_wav(), content_type="text/html")})
        body = self.put(api, prompt, form, MULTIPART_CONTENT).json()
        assert (body["audio_type"], body["audio_bytes"]) == ("audio/wav", len(a_wav()))
        assert faults(self.put(api, prompt, encode_multipart(BOUNDARY, {"file": "text"}), MULTIPART_CONTENT)) == ["file"]

    def test_what_is_no_sound_or_too_large_is_refused_and_leaves_nothing(self, api, prompt):
        assert faults(self.put(api, prompt, b"<script>alert(1)</script>" * 10)) == ["file"]
        assert faults(self.put(api, prompt, b"")) == ["file"]
        assert self.put(api, prompt, a_wav() + bytes(5 * 1024**2)).status_code == 413
        assert self.put(api, prompt, b"{}", "application/json").status_code == 415
        prompt.refresh_from_db()
        assert (prompt.kind, prompt.audio_key) == ("tts", "")
        assert api.get(f"{PROMPTS}{prompt.pk}/audio/").status_code == 404

    def test_the_file_goes_with_its_row_or_when_the_prompt_becomes_a_text(self, api, prompt):
        self.put(api, prompt, a_wav())
        prompt.refresh_from_db()
        key = prompt.audio_key
        assert api.delete(f"{PROMPTS}{prompt.pk}/audio/").status_code == 409
        body = api.patch(f"{PROMPTS}{prompt.pk}/", {"kind": "tts"}).json()
        assert (body["kind"], body["audio_bytes"]) == ("tts", 0) and not default_storage.exists(key)
        self.put(api, prompt, a_wav())
        prompt.refresh_from_db()
        assert api.delete(f"{PROMPTS}{prompt.pk}/").status_code == 204 and not default_storage.exists(prompt.audio_key)

    def test_a_key_of_another_account_gets_no_link_and_who_reads_puts_nothing(self, account, prompt):
        IvrPrompt.objects.filter(pk=prompt.pk).update(
            kind="audio", audio_bytes=4, audio_type="audio/wav", audio_key=default_storage.save("a.wav", ContentFile(b"RIFF"))
        )
        there = key_of(AccountFactory(), "configuration:write")
        assert there.get(f"{PROMPTS}{prompt.pk}/audio/").status_code == 404
        assert self.put(there, prompt, a_wav()).status_code == 404
        assert self.put(key_of(account, "configuration:read"), prompt, a_wav()).status_code == 403


class TestRolesAndRights:
    def test_rights_are_said_in_words_with_stable_permissions(self, account):
        answer = key_of(account, "configuration:read").get(f"{V1}rights/").json()
        assert [(group["title"], len(group["rights"])) for group in answer] == [
            (str(title), len(rights)) for title, rights in RIGHTS
        ]
        right = next(right for group in answer for right in group["rights"] if right["label"] == "See keywords")
        assert right == {"label": "See keywords", "permissions": ["configuration.view_keyword"], "may_give": True}
        assert any(not right["may_give"] for group in answer for right in group["rights"])

    def test_nobody_gives_more_than_they_hold_or_sees(self, account):
        api = key_of(account, "configuration:write")
        assert faults(api.post(ROLES, {"name": "a", "permissions": ["calls.listen_recording"]})) == ["permissions"]
        permissions = sorted({one for _title, rights in RIGHTS for right in rights for one in right.permissions})
        lead = Role.objects.create(account=account, name="Lead", data_scope="groups", permissions=permissions)
        client = Client()
        client.force_login(AgentFactory(account=account, role=lead), backend="agents.sign_in.RoleBackend")
        me = Api(client)
        assert faults(me.post(ROLES, {"name": "a", "data_scope": "account"})) == ["data_scope"]
        assert me.post(ROLES, {"name": "a", "data_scope": "groups", "permissions": permissions}).status_code == 201
        assert me.patch(f"{ROLES}{lead.pk}/", {"name": "mine"}).status_code == 403

    def test_built_in_roles_and_those_that_may_more_stay_as_they_are(self, api, account):
        built_in = Role.objects.get(account=account, kind=Role.Kind.INSPECTOR)
        more = Role.objects.create(account=account, name="More", permissions=["calls.listen_recording"])
        for role in (built_in, more):
            assert api.patch(f"{ROLES}{role.pk}/", {"permissions": []}).status_code == 403
            assert api.delete(f"{ROLES}{role.pk}/").status_code == 403
            assert api.get(f"{ROLES}{role.pk}/").status_code == 200

    def test_the_second_factor_can_be_asked_of_a_built_in_role_and_of_ones_own(self, account):
        boss = signed_in(account, Role.Kind.ADMINISTRATOR)
        for kind in (Role.Kind.AGENT, Role.Kind.ADMINISTRATOR):
            role = Role.objects.get(account=account, kind=kind)
            address = f"{ROLES}{role.pk}/"
            read = boss.get(address).json()
            assert boss.put(address, read).json() == read  # what was read can be written back
            assert boss.patch(address, {"name": "x"}).status_code == 403
            assert boss.patch(address, {"permissions": []}).status_code == 403
            body = boss.patch(address, {"requires_second_factor": True}).json()
            assert body == read | {"requires_second_factor": True}
        assert boss.get(ROLES).status_code == 403  # their own role asks for it now: first they set it up

    def test_the_second_factor_of_ones_own_role_is_turned_off_by_somebody_else(self, account):
        boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        own, other = boss.role, Role.objects.get(account=account, kind=Role.Kind.AGENT)
        for role in (own, other):
            role.requires_second_factor = True
        assert frees_oneself(boss, own, asks=False)
        assert not frees_oneself(boss, own, asks=True)
        assert not frees_oneself(boss, other, asks=False)
        for role, is_let in ((own, False), (other, True)):
            serializer = RoleSerializer(
                role, {"requires_second_factor": False}, partial=True, context={"request": SimpleNamespace(user=boss)}
            )
            with nullcontext() if is_let else pytest.raises(PermissionDenied, match="Somebody else"):
                assert serializer.is_valid(raise_exception=True)
            role.requires_second_factor = True
            page: Any = type("Page", (RoleForm,), {"asker": boss})
            form = page({"name": role.name, "data_scope": role.data_scope, "permissions": []}, instance=role)
            form.is_valid()
            assert ("requires_second_factor" in form.errors) is not is_let

    def test_a_role_somebody_has_stays(self, api, account):
        role = Role.objects.create(account=account, name="Used", permissions=[])
        AgentFactory(account=account, role=role)
        assert api.delete(f"{ROLES}{role.pk}/").status_code == 409

    def test_a_key_may_not_give_through_a_role_what_only_agents_do(self, account):
        both = key_of(account, "configuration:write", "agents:write")
        assert faults(both.post(ROLES, {"name": "a", "permissions": ["calls.view_call"]})) == ["permissions"]


class TestAccount:
    ADDRESS = f"{V1}account/"

    def test_the_settings_are_read_and_changed(self, api, account):
        assert api.get(self.ADDRESS).json()["slug"] == account.slug
        body = api.patch(self.ADDRESS, {"service_level_seconds": 30, "region": "us"}).json()
        assert (body["service_level_seconds"], body["region"]) == (30, "US")
        assert api.patch(self.ADDRESS, {"slug": "other"}).json()["slug"] == account.slug
        assert api.delete(self.ADDRESS).status_code == api.post(self.ADDRESS).status_code == 405

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"time_zone": "Mars/Phobos"}, "time_zone"),
            ({"region": "XX"}, "region"),
            ({"language": "fr"}, "language"),
            ({"service_level_seconds": 0}, "service_level_seconds"),
            ({"short_abandon_seconds": 3601}, "short_abandon_seconds"),
            ({"name": ""}, "name"),
            ({"terminated_at": None}, "terminated_at"),
        ],
    )
    def test_what_is_wrong_is_named(self, api, body, field):
        assert faults(api.patch(self.ADDRESS, body)) == [field]

    def test_who_only_reads_changes_nothing(self, account):
        assert key_of(account, "configuration:read").patch(self.ADDRESS, {"name": "x"}).status_code == 403
        assert signed_in(account, Role.Kind.SUPERVISOR).get(self.ADDRESS).status_code == 403
        assert signed_in(account, Role.Kind.ADMINISTRATOR).get(self.ADDRESS).status_code == 200


class TestApiKeys:
    def test_a_key_is_said_once_works_at_once_and_can_be_revoked(self, api, account):
        answer = api.post(KEYS, {"name": "CRM", "scopes": ["configuration:read"]})
        assert answer.status_code == 201 and answer["Cache-Control"] == "no-store"
        made = answer.json()
        crm = Api(Client(headers={"authorization": f"Api-Key {made['text']}"}))
        assert crm.get(f"{V1}keywords/").status_code == 200
        address = f"{KEYS}{made['id']}/"
        read = api.get(address).json()
        assert "text" not in read and made["text"] not in json.dumps(api.get(KEYS).json())
        assert api.patch(address, {"name": "CRM 2"}).json()["name"] == "CRM 2"
        assert api.post(f"{address}revoke/").json()["is_usable"] is False
        assert crm.get(f"{V1}keywords/").status_code == 401
        assert api.delete(address).status_code == 405
        assert made["id"] not in ids(api.get(f"{KEYS}?is_usable=true")) and made["id"] in ids(api.get(f"{KEYS}?is_usable=false"))

    @pytest.mark.parametrize("scope", ["calls:read", "agents:write", "events:write", "figures:read"])
    def test_a_key_gives_only_scopes_it_holds_itself(self, api, scope):
        assert faults(api.post(KEYS, {"name": "a", "scopes": [scope]})) == ["scopes"]

    def test_a_person_gives_what_their_role_holds(self, account):
        boss = signed_in(account, Role.Kind.ADMINISTRATOR)
        assert boss.post(KEYS, {"name": "a", "scopes": list(ApiKey.Scope.values)}).status_code == 201

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"scopes": ["configuration:read"]}, "name"),
            ({"name": "a"}, "scopes"),
            ({"name": "a", "scopes": []}, "scopes"),
            ({"name": "a", "scopes": ["root"]}, "scopes[0]"),
            ({"name": "a", "scopes": ["configuration:read"], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({"name": "a", "scopes": ["configuration:read"], "text": "mine"}, "text"),
        ],
    )
    def test_what_is_wrong_is_named(self, api, body, field):
        assert faults(api.post(KEYS, body)) == [field]

    def test_a_key_that_ends_makes_none_that_lasts_longer(self, account):
        end = timezone.now() + dt.timedelta(days=1)
        api = key_of(account, "configuration:write", expires_at=end)
        own = ApiKey.objects.get()
        body = {"name": "a", "scopes": ["configuration:read"]}
        assert faults(api.post(KEYS, body)) == ["expires_at"]
        later = (end + dt.timedelta(seconds=1)).isoformat()
        assert faults(api.post(KEYS, body | {"expires_at": later})) == ["expires_at"]
        assert faults(api.patch(f"{KEYS}{own.pk}/", {"expires_at": None})) == ["expires_at"]
        assert faults(api.put(f"{KEYS}{own.pk}/", {"name": "a"})) == ["expires_at"]
        assert api.post(KEYS, body | {"expires_at": end.isoformat()}).status_code == 201
        assert api.patch(f"{KEYS}{own.pk}/", {"name": "renamed"}).status_code == 200

    def test_who_may_not_give_what_a_key_may_cannot_let_it_last_longer_but_ends_it(self, account):
        permissions = [f"configuration.{action}_apikey" for action in ("view", "add", "change")]
        role = Role.objects.create(account=account, name="Keys", permissions=permissions, data_scope=Role.DataScope.OWN)
        client = Client()
        client.force_login(AgentFactory(account=account, role=role), backend="agents.sign_in.RoleBackend")
        keeper, over = Api(client), timezone.now() - dt.timedelta(days=1)
        crm = key_of(account, "calls:read", expires_at=over)
        key = ApiKey.objects.get()
        address = f"{KEYS}{key.pk}/"
        for later in (None, "2099-01-01T00:00:00Z"):
            for answer in (
                keeper.patch(address, {"expires_at": later}),
                keeper.put(address, {"name": "x", "expires_at": later}),
            ):
                assert faults(answer) == ["expires_at"]
        assert crm.get(f"{V1}calls/").status_code == 401
        assert keeper.put(address, keeper.get(address).json()).status_code == 200  # what was read can be written back
        ApiKey.objects.update(expires_at=None)
        assert keeper.patch(address, {"name": "y", "expires_at": "2099-01-01T00:00:00Z"}).status_code == 200
        assert keeper.post(f"{address}revoke/").status_code == 200

    def test_a_key_touches_none_that_may_more_but_may_end_itself(self, api, account):
        own = ApiKey.objects.get(account=account)
        more = create_api_key(account=account, name="more", scopes=["calls:read"])[0]
        assert api.post(f"{KEYS}{more.pk}/revoke/").status_code == 403
        assert api.patch(f"{KEYS}{more.pk}/", {"name": "x"}).status_code == 403
        assert api.post(f"{KEYS}{own.pk}/revoke/").status_code == 200
        assert api.get(KEYS).status_code == 401
