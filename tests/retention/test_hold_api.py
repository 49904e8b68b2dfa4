"""Legal holds over the API."""

import datetime as dt

import pytest
from django.test import Client

from configuration.api_keys import create_api_key
from retention import holds
from retention.models import LedgerEntry, LegalHold
from tests.factories import AccountFactory, AgentFactory, CallFactory

URL = "/api/v1/legal-holds/"
NUMBER = "+8613911112222"


def key_of(account, *scopes):
    return Client(HTTP_AUTHORIZATION=f"Api-Key {create_api_key(account=account, name='legal', scopes=list(scopes))[1]}")


@pytest.fixture
def api(account):
    return key_of(account, "holds:write")


def place(api, **said):
    return api.post(URL, {"reference": "7 O 112/26", **said}, content_type="application/json")


def test_a_hold_is_placed_listed_and_released(account, api):
    placed = place(api, kind="number", number="139 1111 2222")
    assert placed.status_code == 201
    told = placed.json()
    assert told["kind"] == "number"
    assert NUMBER not in placed.content.decode()  # this key does not see whole numbers
    assert told["released_at"] is None
    assert holds.look(account).numbers == {NUMBER}
    assert [row["id"] for row in api.get(URL).json()["results"]] == [told["id"]]
    released = api.post(f"{URL}{told['id']}/release/")
    assert released.status_code == 200
    assert released.json()["released_at"]
    assert not holds.look(account).is_any
    assert api.post(f"{URL}{told['id']}/release/").status_code == 409
    assert list(LedgerEntry.objects.order_by("position").values_list("kind", flat=True)) == ["hold_placed", "hold_released"]


def test_a_hold_on_calls_agents_and_days(account, api):
    calls = [CallFactory(account=account) for _ in range(2)]
    agent = AgentFactory(account=account)
    told = place(api, kind="calls", call_ids=[call.call_id for call in calls]).json()
    assert told["n_calls"] == 2
    assert place(api, kind="agent", agent=agent.pk).json()["agent"] == agent.pk
    assert place(api, kind="days", from_day="2026-05-01", to_day="2026-05-02").status_code == 201
    held = holds.look(account)
    assert held.agents == {agent.pk}
    assert held.days == ((dt.date(2026, 5, 1), dt.date(2026, 5, 2)),)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"kind": "number", "number": "nobody"}, "number"),
        ({"kind": "agent"}, "agent"),
        ({"kind": "days", "from_day": "2026-05-02", "to_day": "2026-05-01"}, "to_day"),
        ({"kind": "calls"}, "call_ids"),
        ({"kind": "calls", "call_ids": ["no such call"]}, "call_ids"),
        ({"kind": "account", "reference": ""}, "reference"),
        ({"kind": "everything"}, "kind"),
        ({"kind": "account", "account": 7}, "account"),
    ],
)
def test_what_is_wrong_is_said_on_its_field(account, api, said, field):
    answer = place(api, **said)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not LegalHold.objects.exists()


def test_the_same_asked_twice_under_one_name_is_one_hold(account, api):
    for _ in range(2):
        api.post(
            URL,
            {"reference": "1", "kind": "account"},
            content_type="application/json",
            headers={"Idempotency-Key": "case-1"},
        )
    assert LegalHold.objects.count() == 1


def test_another_accounts_agent_call_and_hold_are_as_missing_as_nobodys(account, api):
    other = AccountFactory()
    call, agent = CallFactory(account=other), AgentFactory(account=other)
    theirs = holds.place(
        hold=LegalHold(account=other, kind="account", reference="1"), calls=(), by=None, at=dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    )
    assert place(api, kind="agent", agent=agent.pk).json() == place(api, kind="agent", agent=10**9).json()
    assert place(api, kind="calls", call_ids=[call.call_id]).status_code == 400
    assert api.post(f"{URL}{theirs.pk}/release/").status_code == 404
    assert holds.look(other).is_whole


def test_other_keys_neither_see_nor_release(account, api):
    hold_id = place(api, kind="account").json()["id"]
    other = key_of(account, "privacy:write", "configuration:write")
    assert other.get(URL).status_code == 403
    assert place(other, kind="account").status_code == 403
    assert other.post(f"{URL}{hold_id}/release/").status_code == 403
    assert holds.look(account).is_whole


def test_a_list_of_holds_costs_the_same_however_many(account, api, django_assert_max_num_queries):
    for _ in range(8):
        place(api, kind="calls", call_ids=[CallFactory(account=account).call_id])
    with django_assert_max_num_queries(8):
        assert len(api.get(URL).json()["results"]) == 8
