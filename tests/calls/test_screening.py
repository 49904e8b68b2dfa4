"""Whether a call is let in: by the blacklist alone, with what its service number says, in few queries."""

import datetime as dt

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls.screening import MOST_PROMPTS, screen_call
from calls.serializers import ScreeningSerializer
from configuration.api_keys import create_api_key
from configuration.blacklist import stand_in
from configuration.models import BlockedNumber, IvrPrompt
from tests.factories import AccountFactory, CallFactory, ServiceNumberFactory

CALLER, CENTER = "+8613800138000", "+861055500001"


@pytest.fixture
def hotline(account):
    return ServiceNumberFactory(account=account, number=CENTER, label="Hotline", default_skill_group="Sales", priority=5)


def key_of(account, *scopes) -> str:
    return create_api_key(account=account, name="pbx", scopes=list(scopes))[1]


def ask(account, key=None, path="/api/v1/calls/screen", **body):
    body = {"calling_number": "138 0013 8000", "called_number": "010 5550 0001"} | body
    key = key or key_of(account, "calls:screen")
    return Client().post(path, body, content_type="application/json", headers={"Authorization": f"Api-Key {key}"})


def test_a_call_is_let_in_with_what_its_service_number_says(account, hotline):
    CallFactory(account=account, provider="China Unicom", location="Beijing")
    answer = ask(account)
    assert answer.status_code == 200
    assert answer.json() == {
        "decision": "allow",
        "reason": "",
        "rule": None,
        "service_number": CENTER,
        "service_number_label": "Hotline",
        "skill_group": "Sales",
        "priority": 5,
        "provider": "China Unicom",
        "location": "Beijing",
        "prompts": [],
        "warnings": [],
    }
    assert ask(account, path="/api/v1/calls/screen/").json() == answer.json()


def test_a_blocked_number_is_turned_away_with_the_rule_that_does_it(account, hotline):
    row = BlockedNumber(account=account, number=CALLER, reason="Abuse", direction="inbound")
    row.full_clean()
    row.save()
    answer = ask(account).json()
    assert (answer["decision"], answer["reason"]) == ("reject", "Abuse")
    assert answer["rule"] == {"id": row.pk, "match": CALLER, "until": None}
    assert ask(account, calling_number="13800138001").json()["decision"] == "allow"


def test_the_customers_number_decides_in_either_direction(account, hotline):
    BlockedNumber.objects.create(account=account, number=CALLER, direction="outbound")
    assert ask(account).json()["decision"] == "allow"
    out = ask(account, calling_number=CENTER, called_number=CALLER, direction="outbound").json()
    assert (out["decision"], out["service_number"]) == ("reject", CENTER)


def test_a_block_that_has_ended_blocks_nothing_more(account, hotline):
    now = timezone.now()
    row = BlockedNumber.objects.create(account=account, number=CALLER, blocked_until=now + dt.timedelta(seconds=60))

    def decides(at):
        question = {"calling_number": CALLER, "called_number": CENTER, "direction": "inbound", "prompt_codes": []}
        return screen_call(account=account, at=at, **question).block

    assert decides(now) == row
    assert decides(row.blocked_until) is None


def test_another_accounts_rows_decide_nothing(account, hotline):
    other = AccountFactory()
    BlockedNumber.objects.create(account=other, number=CALLER)
    ServiceNumberFactory(account=other, number="+861055500002", label="Theirs")
    IvrPrompt.objects.create(account=other, code="theirs", text="x")
    CallFactory(account=other, provider="Theirs", location="Theirs")
    answer = ask(account, called_number="+861055500002").json()
    assert (answer["decision"], answer["service_number"], answer["prompts"]) == ("allow", None, [])
    assert "Theirs" not in str(answer)


@pytest.mark.parametrize(
    ("change", "called", "word"),
    [
        ({}, "+861099999999", "no service number"),
        ({"is_active": False}, CENTER, "not in use"),
        ({"direction": "outbound"}, CENTER, "not for inbound calls"),
    ],
)
def test_what_is_odd_about_the_called_number_is_a_warning_and_no_refusal(account, hotline, change, called, word):
    for name, value in change.items():
        setattr(hotline, name, value)
    hotline.save()
    answer = ask(account, called_number=called).json()
    assert answer["decision"] == "allow"
    [warning] = answer["warnings"]
    assert (warning["field"], word in warning["reason"]) == ("called_number", True)


def test_a_withheld_number_is_let_in_and_stopped_only_by_a_block_of_everybody(account, hotline):
    assert ask(account, calling_number="").json()["decision"] == "allow"
    BlockedNumber.objects.create(account=account, number="", is_prefix=True, direction="inbound")
    assert ask(account, calling_number="").json()["decision"] == "reject"


def test_prompts_are_those_in_use_or_those_asked_for(account, hotline):
    IvrPrompt.objects.create(account=account, code="welcome", text="Welcome.", language="en")
    IvrPrompt.objects.create(account=account, code="old", text="Old.", is_active=False)
    IvrPrompt.objects.create(
        account=account, code="tune", kind="audio", text="left over", audio_key="k", audio_type="audio/wav", audio_bytes=9
    )
    everything = ask(account).json()["prompts"]
    assert [prompt["code"] for prompt in everything] == ["tune", "welcome"]
    assert everything[1] == {"code": "welcome", "kind": "tts", "language": "en", "text": "Welcome.", "audio_url": None}
    assert everything[0]["text"] == ""
    assert everything[0]["audio_url"].startswith("http")
    answer = ask(account, prompts=["welcome", "old"]).json()
    assert [prompt["code"] for prompt in answer["prompts"]] == ["welcome"]
    assert "old" in answer["warnings"][0]["reason"]
    assert ask(account, prompts=[]).json()["prompts"] == []


def test_more_prompts_than_an_answer_holds_are_said_to_be_left_out(account, hotline):
    IvrPrompt.objects.bulk_create(
        IvrPrompt(account=account, code=f"p{number:03}", text="x") for number in range(MOST_PROMPTS + 1)
    )
    answer = ask(account).json()
    assert (len(answer["prompts"]), answer["warnings"][0]["field"]) == (MOST_PROMPTS, "prompts")


@pytest.mark.parametrize("scope", ["calls:read", "blacklist:check", "events:write", "configuration:read"])
def test_other_scopes_do_not_screen(account, scope):
    assert ask(account, key=key_of(account, scope)).status_code == 403


def test_a_key_that_screens_does_nothing_else(account):
    key = key_of(account, "calls:screen")
    for path in ("/api/v1/calls/", "/api/v1/blacklist/", "/api/v1/service-numbers/"):
        assert Client().get(path, headers={"Authorization": f"Api-Key {key}"}).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"calling_number": None}, "calling_number"),
        ({"called_number": "9" * 61}, "called_number"),
        ({"calling_number": "138 0013\r\n8000"}, "calling_number"),
        ({"called_number": "010 5550\n0001"}, "called_number"),
        ({"direction": "internal"}, "direction"),
        ({"prompts": "welcome"}, "prompts"),
        ({"number": "1"}, "number"),
    ],
)
def test_what_cannot_be_read_is_named(account, body, field):
    answer = ask(account, **body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_four_queries_however_long_the_lists(account, hotline):
    for number in range(40):
        BlockedNumber.objects.create(account=account, number=f"+86139{number:08}")
        IvrPrompt.objects.create(account=account, code=f"p{number}", text="x")
        CallFactory(account=account)
    stand_in(account, CALLER)  # a process asks for the account's keys once
    with CaptureQueriesContext(connection) as caught:
        screen_call(
            account=account,
            calling_number=CALLER,
            called_number=CENTER,
            direction="inbound",
            prompt_codes=None,
            at=timezone.now(),
        )
    assert len(caught) == 4


def test_the_answer_has_the_fields_that_are_described(account):
    """It is put together by hand, for speed."""
    until = timezone.now() + dt.timedelta(days=1)
    BlockedNumber.objects.create(account=account, number=CALLER, blocked_until=until)
    IvrPrompt.objects.create(account=account, code="p", text="Welcome.")
    answer, described = ask(account).json(), ScreeningSerializer()
    assert list(answer) == list(described.fields)
    for name, one in (("rule", answer["rule"]), ("prompts", answer["prompts"][0]), ("warnings", answer["warnings"][0])):
        below = described.fields[name]
        assert list(one) == list(getattr(below, "child", below).fields)
    assert dt.datetime.fromisoformat(answer["rule"]["until"]) == until
