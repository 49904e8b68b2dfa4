import datetime as dt
import io
import json
import zipfile

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.urls import reverse

from agents.models import AgentPhone
from configuration.models import AuditEntry, Role
from retention import access_request, outbox
from retention.access_views import link_to
from retention.models import AccessRequest, LedgerEntry
from retention.querysets import LEASE
from tests.factories import AccountFactory, AgentFactory
from tests.retention.test_subjects import everywhere

pytestmark = pytest.mark.django_db

NUMBER = "+8613800138000"
NOW = dt.datetime(2026, 11, 23, 20, tzinfo=dt.UTC)
State = AccessRequest.State


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def answered(account, by, kind="number", said=None):
    request = access_request.open_request(
        account=account, kind=kind, said={"number": "138 0013 8000"} if said is None else said, by=by, at=NOW
    )
    assert access_request.work_on(request.pk, clock=lambda: NOW)
    request.refresh_from_db()
    return request


def contents(request):
    with default_storage.open(request.key) as file, zipfile.ZipFile(io.BytesIO(file.read())) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def test_what_is_held_on_a_number_is_counted_and_shown(account, boss):
    AgentFactory(account=account, staff_id="1001")
    everywhere(account)
    other = AccountFactory()
    AgentFactory(account=other, staff_id="1001")
    everywhere(other)
    request = answered(account, boss)
    assert request.state == State.DONE
    assert request.counts["calls"] == 2 and request.counts["remarks"] == 2
    told = contents(request)
    call, pending = told["calls.json"]
    assert pending["call_id"] == "pending"
    assert (call["call_id"], call["calling_number"], call["remark"]) == ("c0", NUMBER, "Call back 138 0013 8000")
    assert call["ivr_steps"] and call["recording"]
    assert told["blacklist.json"][0]["number"] == NUMBER
    assert told["summary.json"]["found"] == request.counts
    assert LedgerEntry.objects.get(kind="access_export").request_id == f"access:{request.pk}"


def test_what_is_held_on_an_agent_is_shown(account, boss):
    agent = AgentFactory(account=account, name="Li Wei", email="liwei@example.com")
    AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number=NUMBER)
    told = contents(answered(account, boss, "agent", {"agent": agent.pk}))
    assert told["agents.json"][0]["email"] == "liwei@example.com"
    assert told["agent_phones.json"] == [{"kind": "mobile", "number": NUMBER}]


def test_nothing_held_is_said_as_well(account, boss):
    request = answered(account, boss)
    assert request.state == State.DONE and sum(request.counts.values()) == 0
    assert list(contents(request)) == ["summary.json"]


def test_only_of_a_person_or_a_call(account, boss):
    with pytest.raises(ValidationError):
        answered(account, boss, "account", {})


def test_two_workers_write_one_file(account, boss):
    request = access_request.open_request(account=account, kind="number", said={"number": NUMBER}, by=boss, at=NOW)
    AccessRequest.objects.filter(pk=request.pk).update(heartbeat_at=NOW)
    assert not access_request.work_on(request.pk, clock=lambda: NOW)
    assert access_request.work_due(clock=lambda: NOW + LEASE * 2) == 1
    assert access_request.work_due(clock=lambda: NOW + LEASE * 2) == 0


def test_one_that_fails_again_and_again_is_failed(account, boss, monkeypatch):
    request = access_request.open_request(account=account, kind="number", said={"number": NUMBER}, by=boss, at=NOW)
    monkeypatch.setattr(access_request, "pages", lambda *_: 1 / 0)
    for attempt in range(access_request.MOST_ATTEMPTS):
        access_request.work_on(request.pk, clock=lambda attempt=attempt: NOW + dt.timedelta(minutes=10 * attempt))
    request.refresh_from_db()
    assert request.state == State.FAILED


def test_the_file_goes_after_a_week_with_whom_it_was_about(account, boss):
    request = answered(account, boss)
    key = request.key
    assert access_request.forget_files(at=NOW + access_request.KEPT_FOR) == 0
    later = NOW + access_request.KEPT_FOR + dt.timedelta(minutes=1)
    assert access_request.forget_files(at=later) == 1
    outbox.work(at=later)
    request.refresh_from_db()
    assert (request.state, bytes(request.wrapped_key), bytes(request.value)) == (State.GONE, b"", b"")
    assert not default_storage.exists(key)


def test_a_link_is_for_one_person_and_a_minute(account, boss, client, settings):
    request = answered(account, boss)
    client.force_login(boss)
    page = reverse("admin:retention_accessrequest_file", args=[request.pk])
    link = client.get(page).headers["Location"]
    if not settings.COS_BUCKET:
        answer = client.get(link)
        assert answer.status_code == 200 and "attachment" in answer.headers["Content-Disposition"]
        client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
        assert client.get(link).status_code == 403
        assert client.get(f"{link}x").status_code == 403
    assert AuditEntry.objects.filter(look="exported", actor_id=boss.pk, object_id=request.pk).exists()
    client.force_login(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
    assert client.get(page).status_code == 403
    other = AccountFactory()
    client.force_login(AgentFactory(account=other, kind=Role.Kind.ADMINISTRATOR))
    assert client.get(page).status_code == 404
    assert link_to(request, actor=boss)
