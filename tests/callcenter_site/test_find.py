"""Lists that are asked for with their filters in the body: numbers and emails need not stand in an address."""

from typing import Any

import pytest
from django.test import Client

from agents.models import AgentPhone
from calls.models import Call
from configuration.api_keys import create_api_key
from configuration.models import Account, AuditEntry, BlockedNumber
from tests.factories import AccountFactory, AgentFactory, CallFactory

pytestmark = pytest.mark.django_db


def key_of(account: Account, *scopes: str) -> Client:
    _key, text = create_api_key(account=account, name="finds", scopes=list(scopes))
    return Client(headers={"authorization": f"Api-Key {text}"})


def find(client: Client, what: str, body: Any, query: str = "") -> Any:
    return client.post(f"/api/v1/{what}/find/{query}", body, content_type="application/json")


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


@pytest.fixture
def reader(account) -> Client:
    return key_of(account, "agents:read", "calls:read", "configuration:read")


def test_an_agent_by_email_and_by_number(reader, account):
    agent = AgentFactory(account=account, email="li.na@example.com")
    AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number="+8613800138000")
    AgentFactory(account=account)
    AgentFactory(account=AccountFactory(), email="other@example.com")
    for body in ({"email": "Li.Na@example.com"}, {"number": "138 0013 8000"}, {"email": "li.na@example.com", "is_active": True}):
        assert ids(find(reader, "agents", body)) == [agent.pk]
    for body in ({"email": "other@example.com"}, {"email": "li.na@example.com", "is_active": False}):
        assert ids(find(reader, "agents", body)) == []


def test_a_call_by_number_and_by_any_of_several_outcomes(reader, account):
    calls = [
        CallFactory(account=account, calling_number="+8613800138000", outcome=outcome)
        for outcome in ("answered", "abandoned_in_queue", "voicemail")
    ]
    CallFactory(account=AccountFactory(), calling_number="+8613800138000", outcome="answered")
    assert set(ids(find(reader, "calls", {"number": "138 0013 8000"}))) == {call.pk for call in calls}
    asked = {"number": "138 0013 8000", "outcome": ["answered", "voicemail"]}
    assert set(ids(find(reader, "calls", asked))) == {calls[0].pk, calls[2].pk}


def test_a_blocked_number(reader, account):
    row = BlockedNumber.objects.create(account=account, number="+8613800138000")
    BlockedNumber.objects.create(account=account, number="+8613800138001")
    assert ids(find(reader, "blacklist", {"number": "138 0013 8000"})) == [row.pk]


def test_what_is_found_reads_as_in_the_list(reader, account):
    AgentFactory.create_batch(3, account=account)
    listed = reader.get("/api/v1/agents/").json()["results"]
    assert find(reader, "agents", {}).json() == {"cursor": None, "results": listed}


def test_pages_go_on_without_anything_in_an_address(reader, account):
    for _n in range(5):
        CallFactory(account=account, calling_number="+8613800138000")
    asked: dict[str, Any] = {"number": "138 0013 8000", "limit": 2}
    seen, n_pages = [], 0
    while True:
        answer = find(reader, "calls", asked)
        seen += ids(answer)
        n_pages += 1
        assert "138" not in (answer.json()["cursor"] or "")
        if answer.json()["cursor"] is None:
            break
        asked["cursor"] = answer.json()["cursor"]
    assert (n_pages, sorted(seen)) == (3, sorted(Call.objects.values_list("pk", flat=True)))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"phone": "1"}, "phone"),
        ({"email": None}, "email"),
        ({"email": {"is": "a"}}, "email"),
        ({"is_active": "perhaps"}, "is_active"),
        ({"limit": 0}, "limit"),
        ({"cursor": "no"}, "cursor"),
    ],
)
def test_what_is_no_filter_is_refused(reader, body, field):
    answer = find(reader, "agents", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_filters_stand_in_one_place(reader):
    assert find(reader, "agents", {}, "?email=li.na@example.com").status_code == 400
    assert find(reader, "agents", []).status_code == 400


def test_to_find_needs_what_the_list_needs(account):
    writer = key_of(account, "events:write")
    for what in ("agents", "calls", "blacklist"):
        assert find(writer, what, {}).status_code == 403
        assert find(Client(), what, {}).status_code == 401


def test_whoever_may_not_see_numbers_does_not_find_by_one(account):
    agent = AgentFactory(account=account)
    agent.role.permissions = ["agents.view_agent"]
    agent.role.data_scope = "own"
    agent.role.save()
    client = Client()
    client.force_login(agent, backend="agents.sign_in.RoleBackend")
    assert find(client, "agents", {"number": "13800138000"}).status_code == 403
    AgentFactory(account=account, email="colleague@example.com")
    assert ids(find(client, "agents", {"email": "colleague@example.com"})) == []


def test_what_is_found_is_a_look_like_what_is_listed(reader, account):
    agent = AgentFactory(account=account, email="li.na@example.com")
    find(reader, "agents", {"email": "li.na@example.com"})
    entry = AuditEntry.objects.filter(action=AuditEntry.Action.ACCESS).get()
    assert entry.account_id == account.pk
    assert (entry.object_id, entry.look) == (agent.pk, "person")


def test_the_answer_to_a_number_of_another_account_is_that_to_nobodys(reader):
    stranger = AgentFactory(account=AccountFactory(), email="stranger@example.com")
    CallFactory(account=stranger.account, calling_number="+8613800138000")
    BlockedNumber.objects.create(account=stranger.account, number="+8613800138000")
    for what, body in (
        ("agents", {"email": stranger.email}),
        ("calls", {"number": "13800138000"}),
        ("blacklist", {"number": "13800138000"}),
    ):
        assert find(reader, what, body).json() == {"cursor": None, "results": []}
