"""Log lines carry ids, never people."""

import io
import json
import logging
import logging.config

import pytest
from django.db import IntegrityError

from callcenter_site.logs import logging_settings, scrub
from tests.factories import PASSWORD, AgentFactory

UUID = "550e8400-e29b-41d4-a716-446655440000"


@pytest.fixture
def lines(settings):
    """What a JSON handler writes, as dictionaries."""
    stream = io.StringIO()
    config = logging_settings("DEBUG", for_people=False)
    config["handlers"]["console"]["stream"] = stream
    logging.config.dictConfig(config)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.config.dictConfig(settings.LOGGING)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("called +8613800138000 twice", "called [number] twice"),
        ("called 13800138000", "called [number]"),
        ("Duplicate entry '7-13800138000' for key", "Duplicate entry '7-[number]' for key"),
        ("wang.fang+x@mail.example.com signed in", "[email] signed in"),
        ("('Wang@Example.com',)", "('[email]',)"),
        ("call 12345678 folded in 0.123456789 s", "call 12345678 folded in 0.123456789 s"),
        (f"request {UUID}", f"request {UUID}"),
        ("2026-11-24T09:22:51.813538Z", "2026-11-24T09:22:51.813538Z"),
        ("deadbeef1234567890abc", "deadbeef1234567890abc"),
    ],
)
def test_what_looks_like_a_person_is_taken_out(text, written):
    assert scrub(text) == written


def test_a_traceback_does_not_quote_the_value_the_database_choked_on(lines):
    try:
        raise IntegrityError("Duplicate entry 'li@example.com' for key 'email', number +8613800138000")
    except IntegrityError:
        logging.getLogger("calls").exception("could not store %s", "wang@example.com")
    written = json.dumps(lines())
    assert "IntegrityError" in written and "Traceback" in written
    assert "li@" not in written and "wang@" not in written and "13800138000" not in written


@pytest.mark.django_db
def test_a_request_is_one_line_with_its_id_and_without_its_query(client, lines):
    client.force_login(AgentFactory(), backend="agents.sign_in.RoleBackend")
    answer = client.get("/api/v1/calls/?number=13800138000", headers={"user-agent": "Firefox", "x-request-id": "forged"})
    finished = [line for line in lines() if line["event"] == "request_finished"]
    assert len(finished) == 1
    assert finished[0]["request"] == "GET /api/v1/calls/"
    assert finished[0]["request_id"] == answer.headers["X-Request-ID"] != "forged"
    assert finished[0]["milliseconds"] >= 0
    assert "13800138000" not in json.dumps(lines()) and "Firefox" not in json.dumps(lines())


@pytest.mark.django_db
def test_signing_in_logs_no_email(client, lines):
    AgentFactory(email="li@example.com")
    client.post("/admin/login/", {"username": "li@example.com", "password": "wrong"})
    client.post("/admin/login/", {"username": "li@example.com", "password": PASSWORD})
    assert lines()
    assert "li@example.com" not in json.dumps(lines())


def test_probes_are_not_logged(client, lines):
    client.get("/healthz")
    assert [line for line in lines() if line["event"] == "request_finished"] == []


def test_a_terminal_gets_lines_for_people():
    stream = io.StringIO()
    config = logging_settings("INFO", for_people=True)
    config["handlers"]["console"]["stream"] = stream
    try:
        logging.config.dictConfig(config)
        logging.getLogger("calls").info("folded %d events", 3)
    finally:
        from django.conf import settings

        logging.config.dictConfig(settings.LOGGING)
    assert "folded 3 events" in stream.getvalue() and not stream.getvalue().startswith("{")
