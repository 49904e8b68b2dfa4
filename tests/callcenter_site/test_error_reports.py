"""What goes to a Sentry: kinds and places, and nothing of anybody."""

import json
import logging

import pytest
import sentry_sdk
import structlog
from django.urls import path
from sentry_sdk.transport import Transport

from callcenter_site import error_reports
from tests.factories import AgentFactory

PERSONAL = ("Kanarine", "kanarine", "13800138999", "Vogelsang", "secret-cookie", "secret-header")


class Kept(Transport):
    def __init__(self, options=None):
        super().__init__(options)
        self.events = []

    def capture_envelope(self, envelope):
        self.events += [item.payload.json for item in envelope.items if item.type == "event"]


@pytest.fixture
def sent():
    transport = Kept()
    error_reports.start("https://key@sentry.example.com/1", environment="tests", transport=transport)
    yield transport.events
    sentry_sdk.init()  # reports nowhere


def fails(request):
    number = "+8613800138999"
    name = request.GET["name"]
    raise ValueError("no agent called " + name + " at " + number)


urlpatterns = [path("reports/<int:pk>/", lambda request, pk: fails(request))]


@pytest.mark.django_db
def test_a_failing_request_is_told_once_without_anything_of_anybody(client, sent, settings):
    settings.ROOT_URLCONF = __name__
    client.raise_request_exception = False
    person = AgentFactory(name="Kanarine Vogelsang", email="kanarine@vogelsang.example")
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    client.cookies["other"] = "secret-cookie"
    answer = client.get(
        "/reports/17/?name=Vogelsang", headers={"x-token": "secret-header", "user-agent": "Kanarine"}, REMOTE_ADDR="203.0.113.9"
    )
    assert answer.status_code == 500
    [event] = sent
    [error] = event["exception"]["values"]
    assert error["type"] == "ValueError" and "value" not in error
    assert error["stacktrace"]["frames"][-1]["function"] == "fails"
    assert event["tags"]["request_id"] == answer.headers["X-Request-ID"]
    text = json.dumps({**event, "exception": [{**frame, "context_line": "", "pre_context": "", "post_context": ""}
                                              for frame in error["stacktrace"]["frames"]]}, ensure_ascii=False)  # fmt: skip
    for personal in (*PERSONAL, "203.0.113.9"):
        assert personal not in text
    assert not {"request", "user", "breadcrumbs", "extra", "contexts"} & set(event)


def test_an_error_that_is_logged_is_told_by_its_words_in_the_code(sent):
    structlog.contextvars.bind_contextvars(task_id="t-1")
    logging.getLogger("calls").error("could not fold %s of %s", 17, "Kanarine")
    structlog.get_logger("calls").error("fetching_failed", address="https://vogelsang.example/Kanarine", number="13800138999")
    structlog.contextvars.clear_contextvars()
    assert [event["logentry"] for event in sent] == [{"message": "could not fold %s of %s"}, {"message": "fetching_failed"}]
    assert [event["tags"] for event in sent] == [{"task_id": "t-1"}] * 2
    text = json.dumps(sent)
    for personal in PERSONAL:
        assert personal not in text


def test_a_warning_is_no_error(sent):
    logging.getLogger("calls").warning("slow")
    assert sent == []


def test_what_the_library_may_add_one_day_stays_here():
    event = {"event_id": "1", "level": "error", "user": {"email": "kanarine@example.com"}, "new_field": "Vogelsang", "extra": {}}
    assert error_reports.only_what_may_go(event, {}) == {"event_id": "1", "level": "error", "tags": {}}
