"""The guide for integrators says what the code does: its tables, its limits, and the call it tells as an example."""

import datetime as dt
import io
import json
import os
import re
import subprocess
import urllib.request

import pytest
from django.conf import settings
from django.utils import timezone

from callcenter_site import webhooks
from calls import envelope, ingest
from calls.incoming_webhooks import OLD_SECRET_GOOD_FOR, create_webhook
from calls.models import Call, Outcome
from calls.vocabulary import ENDING_CAUSES, TYPES
from tests.factories import AgentFactory, SkillGroupFactory

GUIDE = (settings.BASE_DIR / "docs" / "events.md").read_text()


def section(title: str) -> str:
    """What stands under a heading, up to the next one of its rank or a higher one."""
    rank = title.split(" ", 1)[0]
    found = re.search(rf"^{re.escape(title)}\n(.*?)(?=^#{{1,{len(rank)}}} |\Z)", GUIDE, re.M | re.S)
    assert found, f"docs/events.md has no heading {title!r}"
    return found[1]


def blocks(language: str, text: str = GUIDE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def rows(text: str) -> list[list[str]]:
    """The cells of its tables' rows, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def fields_told(event_type: str) -> list[list[str]]:
    """Name, needed or not, and meaning; a table of two columns beside it tells of one field's words."""
    return [row for row in rows(section(f"### `{event_type}`")) if len(row) == 3]


@pytest.mark.parametrize("event_type", TYPES)
def test_every_field_of_an_event_type_is_told_and_no_other(event_type):
    told = {names(field)[0]: needed == "required" for field, needed, _ in fields_told(event_type)}
    assert told == {field.name: field.is_required for field in TYPES[event_type]}


def test_no_event_type_is_told_that_does_not_exist():
    assert set(re.findall(r"^### `([a-z_]+\.[a-z_]+)`$", GUIDE, re.M)) == set(TYPES)


def test_the_words_a_field_allows_are_told():
    for event_type, fields in TYPES.items():
        told = {names(field)[0]: names(meaning) for field, _, meaning in fields_told(event_type)}
        for field in fields:
            problem = field.problem("no such word") or ""
            if problem.startswith("must be one of ") and field.name != "cause":  # causes have a table of their own
                assert set(problem.removeprefix("must be one of ").split(", ")) <= set(told[field.name]), event_type


def test_every_cause_of_an_end_and_every_outcome_is_told():
    causes = [row[0] for row in rows(section("### `call.ended`")) if len(row) == 2]
    assert sorted(name for cell in causes for name in names(cell)) == sorted(ENDING_CAUSES)
    outcomes = rows(section("## Outcomes"))
    assert {name for row in outcomes for name in names(row[0])} == set(Outcome.values)
    for cell, label, _ in outcomes:
        if label != "as above":
            assert label == Outcome(names(cell)[0]).label


def test_the_limits_are_those_of_the_code():
    assert f"more than {settings.EVENT_BATCH:,} events" in GUIDE
    assert f"({settings.EVENT_BODY_BYTES:,} bytes)" in GUIDE
    assert f"at most {envelope.MAX_DATA_BYTES // 1024} KiB as JSON" in GUIDE
    assert f"{envelope.MAX_DEPTH} levels deep" in re.sub(r"\s+", " ", GUIDE)
    assert f"may have {ingest.MAX_EVENTS_PER_CALL:,} events" in GUIDE
    assert f"{envelope.AHEAD // dt.timedelta(minutes=1)} minutes ahead" in GUIDE
    assert f"not before {envelope.EARLIEST.year}" in re.sub(r"\s+", " ", GUIDE)


# --- The call told as an example -------------------------------------------------------------------------------------


@pytest.fixture
def people(account):
    for staff_id in ("1003", "1017"):
        AgentFactory(account=account, staff_id=staff_id)
    for name in ("Customer care", "Billing"):
        SkillGroupFactory(account=account, name=name)


def assert_the_record_is_as_told(client, api_key, call_id):
    while ingest.fold_due(at=timezone.now()):
        pass
    told = json.loads(blocks("json", section("## A whole call"))[0])
    answer = client.get("/api/v1/calls/", {"call_id": call_id}, headers={"Authorization": f"Api-Key {api_key}"})
    (record,) = answer.json()["results"]
    assert {name: record[name] for name in told} == told


def test_the_call_told_in_curl_makes_the_record_told(client, account, api_key, people):
    (script,) = [block for block in blocks("sh") if "call.transferred" in block]
    began = timezone.now() - dt.timedelta(minutes=5)
    told = re.findall(r"^\$\(event (\d+) (\d+) (\S+) '(.*)'\),?$", script, re.M)
    assert len(told) == script.count("$(event ")
    items = [
        {
            "specversion": "1.0",
            "source": "pbx-1",
            "id": f"c-{number}",
            "subject": "c",
            "time": (began + dt.timedelta(seconds=int(seconds))).isoformat(),
            "type": event_type,
            "data": json.loads(data),
        }
        for number, seconds, event_type, data in told
    ]
    answers = ingest.accept_events(account=account, items=items, at=timezone.now())
    assert [(answer["status"], answer["warnings"]) for answer in answers] == [("accepted", [])] * len(told)
    assert_the_record_is_as_told(client, api_key, "c")


def test_the_python_program_runs_and_makes_the_record_told(client, api_key, people, monkeypatch, capsys):
    def urlopen(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        sent = {name: value for name, value in request.header_items() if name != "Content-type"}
        answer = client.post("/api/v1/events", request.data, content_type=request.get_header("Content-type"), headers=sent)
        assert answer.status_code == 202
        return io.BytesIO(answer.content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setenv("PORTAL_KEY", api_key)
    (program,) = [block for block in blocks("python") if "PORTAL_KEY" in block]
    exec(compile(program, "docs/events.md", "exec"), {"__name__": "told"})
    (said,) = capsys.readouterr().out.splitlines()  # no warnings, only where the record is
    assert_the_record_is_as_told(client, api_key, said.partition("call_id=")[2])
    assert Call.objects.count() == 1


# --- Signed webhooks -------------------------------------------------------------------------------------------------

SIGNED = section("## Signed webhooks")


@pytest.fixture
def webhook(account):
    return create_webhook(account=account, name="pbx")


def test_the_python_program_signs_what_the_portal_takes(client, webhook, monkeypatch, capsys):
    def urlopen(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        headers = {name: value for name, value in request.header_items() if name != "Content-type"}
        answer = client.post(request.full_url, request.data, content_type=request.get_header("Content-type"), headers=headers)
        assert answer.status_code == 202, answer.content
        return io.BytesIO(answer.content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setenv("WEBHOOK_URL", f"http://testserver/hooks/events/{webhook[0].prefix}/")
    monkeypatch.setenv("WEBHOOK_SECRET", webhook[1])
    (program,) = blocks("python", SIGNED)
    exec(compile(program, "docs/events.md", "exec"), {"__name__": "told"})
    assert capsys.readouterr().out == "1\n"


def test_the_shell_signs_what_the_portal_takes(client, webhook, tmp_path):
    """The lines run as they stand; only the last step goes to the portal of this test."""
    (script,) = blocks("sh", SIGNED)
    assert "url=http://127.0.0.1:8000/hooks/events/PREFIX/" in script
    script = script.replace("secret=whsec_…", f"secret={webhook[1]}")
    (tmp_path / "curl").write_text('#!/bin/sh\nfor one in "$@"; do printf "%s\\0" "$one"; done\n')
    (tmp_path / "curl").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    ran = subprocess.run(["/bin/sh", "-euc", script], env={"PATH": path}, capture_output=True, check=True)
    assert not ran.stderr
    said = ran.stdout.decode().split("\0")[:-1]
    headers = dict(said[at + 1].split(": ", 1) for at, word in enumerate(said) if word == "-H")
    body = said[said.index("--data-binary") + 1]
    content_type = headers.pop("Content-Type")
    address = f"/hooks/events/{webhook[0].prefix}/"
    answer = client.post(address, body, content_type=content_type, headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert client.post(address, body, content_type=content_type, headers=headers).status_code == 409


def test_the_limits_of_a_signed_message_are_those_of_the_code():
    assert f"More than {webhooks.TOLERANCE.total_seconds():.0f} seconds off" in SIGNED
    assert f"up to {webhooks.MAX_ID} printable" in SIGNED
    assert f"good for {OLD_SECRET_GOOD_FOR.total_seconds() / 3600:.0f} hours" in SIGNED
