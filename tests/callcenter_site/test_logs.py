"""Log lines carry ids, never people."""

import io
import json
import logging
import logging.config
import re

import pytest
import structlog
from django.db import IntegrityError
from django.utils import timezone

from callcenter_site.celery import app
from callcenter_site.jobs import has_task
from callcenter_site.logs import logging_settings, scrub, shown_path, without_quotes
from callcenter_site.schedule import TIMETABLE
from calls import ingest
from tests.factories import PASSWORD, AgentFactory, CallFactory

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


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("Duplicate entry 'O'Brien-7' for key 'event_once'", "Duplicate entry '…' for key '…'"),
        ("Field 'id' expected a number but got 'Wang Fang'.", "Field '…' expected a number but got '…'."),
        ('no agent called "王芳" at +8613800138000', "no agent called '…' at [number]"),
        ("it isn't there", "it isn't there"),
    ],
)
def test_what_an_error_quotes_is_taken_out(said, written):
    assert without_quotes(said) == written


def test_no_error_on_the_way_quotes_what_it_choked_on(lines):
    try:
        try:
            raise KeyError("Wang Fang")
        except KeyError as error:
            raise ExceptionGroup("told 'Li Na'", [ValueError("invalid literal: 'Zhao Min'")]) from error
    except ExceptionGroup as error:
        error.add_note("of Chen Wei")
        logging.getLogger("calls").exception("could not be read")
    [line] = lines()
    assert "KeyError" in line["exception"] and "ValueError" in line["exception"] and "direct cause" in line["exception"]
    for name in ("Wang Fang", "Li Na", "Zhao Min", "Chen Wei"):
        # The source of the raising line stands in a traceback; here it holds the names.
        assert name not in re.sub(r"^ *\|? *raise .*$", "", line["exception"], flags=re.M).replace(
            'error.add_note("of Chen Wei")', ""
        )


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v1/calls/17/", "/api/v1/calls/17/"),
        ("/admin/agents/agent/17/change/", "/admin/agents/agent/17/change/"),
        (f"/api/v1/calls/{UUID}/", f"/api/v1/calls/{UUID}/"),
        ("/api/v1/agents/Wang Fang/", "/api/v1/agents/…/"),
        ("/hooks/tccc/Zm9vYmFyc2VjcmV0/", "/hooks/tccc/…/"),
        ("/wp-admin/setup.php", "/…/…"),
    ],
)
def test_a_path_shows_words_of_the_portal_and_ids(path, shown):
    assert shown_path(path) == shown


CHOKED_ON = "Duplicate entry 'Kanarine O'Vogelsang-+8613800138999' for key 'x'; params: ('Vogelsang',)"
CANARIES = ("Kanarine", "kanarine", "Vogelsang", "vogelsang", "13800138999", "555019999", "staff-vogel")


@pytest.mark.django_db
def test_nobody_is_in_any_line_of_a_walk_through_the_portal(client, lines, api_key, account, monkeypatch):
    """Pages, API, tasks and failures, with a name, an email and numbers wherever something can be typed."""
    person = AgentFactory(account=account, name="Kanarine Vogelsang", email="kanarine@vogelsang.example", staff_id="staff-vogel")
    call = CallFactory(account=account, calling_number="+8613800138999", agent=person)
    client.raise_request_exception = False
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    key = {"authorization": f"Api-Key {api_key}"}
    for path in (
        "/admin/",
        "/admin/agents/agent/?q=Kanarine",
        "/admin/calls/call/?q=%2B8613800138999",
        "/admin/agents/agent/Vogelsang/change/",
        "/admin/agents/agent/kanarine@vogelsang.example/change/",
        f"/admin/calls/call/{call.pk}/change/",
        "/admin/Kanarine/Vogelsang/",
        "/desk/",
        "/Kanarine/+8613800138999",
        "/sign-in/set-password/kanarine/vogelsang/",
    ):
        client.get(path, headers={"user-agent": "Kanarine", "x-correlation-id": "Vogelsang", "referer": "/Kanarine"})
    for path in (
        "agents/",
        "agents/?staff_id=staff-vogel",
        "calls/?number=%2B8613800138999",
        "agents/Vogelsang/",
        "calls/13800138999/",
    ):
        client.get(f"/api/v1/{path}", headers=key)
    client.post("/admin/login/", {"username": "kanarine@vogelsang.example", "password": "Vogelsang"})
    event = {"specversion": "1.0", "source": "Kanarine", "id": "Vogelsang", "type": "call.started", "subject": "13800138999"}
    data = {"direction": "inbound", "calling_number": "+8613800138999", "called_number": "+49555019999"}
    posted = [event | {"time": timezone.now().isoformat(), "data": data}, event | {"data": {"agent": "Kanarine Vogelsang"}}]
    answer = client.post("/api/v1/events", posted, content_type="application/json", headers=key)
    assert answer.status_code == 202
    client.post("/api/v1/agents/", {"name": "Vogelsang", "email": "Kanarine"}, content_type="application/json", headers=key)

    def choke(*args, **kwargs):
        raise IntegrityError(CHOKED_ON)

    for name, (task, _times) in TIMETABLE.items():
        assert has_task(task)
        if name in ("fold_events", "match_references", "match_keywords", "fill_intervals"):
            app.tasks[task].apply(throw=False)
    try:
        choke()
    except IntegrityError as error:  # as a worker tells of a task that failed
        structlog.get_logger("django_structlog.celery.receivers").exception("task_failed", error=str(error), exception=error)
    monkeypatch.setattr(ingest, "accept_events", choke)
    failed = client.post("/api/v1/events", posted, content_type="application/json", headers=key)
    assert failed.status_code >= 500
    written = [line for line in lines() if "IntegrityError" in json.dumps(line)]
    assert len(written) >= 2  # of the task and of the request: what failed is told
    for line in lines():
        text = json.dumps(line, ensure_ascii=False)
        for canary in CANARIES:
            assert canary not in text, line


@pytest.mark.django_db
def test_a_task_carries_the_id_of_the_request_that_started_it(lines):
    """Through a broker: published within a request, taken from the queue, and run as a worker runs it."""
    structlog.contextvars.bind_contextvars(request_id="r-4711")
    taken = {}
    with app.connection_for_write() as connection, connection.SimpleQueue("tests-request-id") as queue:
        app.tasks["agents.tasks.mark_gone"].apply_async(queue="tests-request-id", connection=connection)
        message = queue.get(timeout=5)
        taken.update(message.headers)
        message.ack()
    structlog.contextvars.clear_contextvars()
    assert taken["__django_structlog__"] == {"request_id": "r-4711"}
    assert not structlog.contextvars.get_contextvars()
    app.tasks["agents.tasks.mark_gone"].apply(__django_structlog__=taken["__django_structlog__"], headers=taken)


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
