"""How often somebody may ask: exactly so often within any minute, whoever else asks, with and without the shared cache."""

import pytest

from agents.models import Agent
from callcenter_site import limits
from callcenter_site.limits import seconds_to_wait
from configuration.api_keys import create_api_key
from configuration.models import ApiKey
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db
WRONG = {"HTTP_AUTHORIZATION": "Api-Key nobody.knows"}


class Clock:
    def __init__(self, now: float = 6_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["shared", "alone"])
def counting(request, monkeypatch):
    """With the cache, and while it is away: as django-redis answers then."""
    monkeypatch.setattr(limits, "_local", {})
    if request.param == "alone":
        monkeypatch.setattr(limits, "_shared", lambda name, n: None)


def asked(clock: Clock, n: int, *, most: int = 10, who: object = 1) -> list[int]:
    return [seconds_to_wait("key", who, most=most, clock=clock) for _ in range(n)]


def test_so_many_are_let_through_and_no_more(counting):
    clock = Clock()
    assert asked(clock, 10) == [0] * 10
    assert all(asked(clock, 3))
    assert asked(clock, 1, who=2) == [0]


def test_no_minute_holds_more_wherever_it_begins(counting):
    clock = Clock(6_000_000.0 + 59)
    assert asked(clock, 10) == [0] * 10
    clock.now += 2  # the next window has begun, the minute has not passed
    assert all(asked(clock, 10))
    clock.now += 57
    assert asked(clock, 12).count(0) == 9
    clock.now += 120
    assert asked(clock, 12).count(0) == 10


def test_whoever_waits_as_long_as_said_is_let_through(counting):
    for before_at, n in ((0, 10), (30, 10), (59, 10), (59, 7)):
        clock = Clock(7_000_020.0 + before_at)
        who = f"{before_at}-{n}"
        asked(clock, n, who=who)
        clock.now += 1
        for _ in range(30):
            wait = seconds_to_wait("key", who, most=10, clock=clock)
            if wait:
                assert wait <= 120
                clock.now += wait
                assert seconds_to_wait("key", who, most=10, clock=clock) == 0
                break
        else:
            pytest.fail("nothing was refused")


def test_whoever_does_not_wait_gets_what_they_are_due_all_the_same(counting):
    clock = Clock()
    let_through = 0
    for _ in range(1800):  # ten a second for three minutes
        let_through += asked(clock, 1) == [0]
        clock.now += 0.1
    assert 20 <= let_through <= 31


def test_nothing_is_counted_without_a_limit():
    assert asked(Clock(), 50, most=0) == [0] * 50


def test_counts_of_a_process_do_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(limits, "_local", {})
    monkeypatch.setattr(limits, "_shared", lambda name, n: None)
    monkeypatch.setattr(limits, "MOST_KEPT", 5)
    for who in range(50):
        asked(Clock(), 1, who=who)
    assert len(limits._local) <= 5


# --- At the API ------------------------------------------------------------------------------------------------------
def test_a_key_that_asks_too_fast_is_told_when_to_come_back(client, api_key, settings):
    settings.LIMIT_PER_KEY = 3
    answers = [client.get("/api/v1/agents/", HTTP_AUTHORIZATION=f"Api-Key {api_key}") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[3]["Retry-After"]) <= 120
    assert answers[3].json()["detail"].startswith("Too many requests.")


def test_other_keys_and_other_accounts_go_on(client, account, api_key, settings):
    settings.LIMIT_PER_KEY = 1
    second = create_api_key(account=account, name="second", scopes=[ApiKey.Scope.AGENTS_READ])[1]
    foreign = create_api_key(account=AccountFactory(), name="theirs", scopes=[ApiKey.Scope.AGENTS_READ])[1]
    codes = [
        client.get("/api/v1/agents/", HTTP_AUTHORIZATION=f"Api-Key {key}").status_code
        for key in (api_key, api_key, second, foreign)
    ]
    assert codes == [200, 429, 200, 200]


def test_the_keys_of_an_account_together_have_a_limit_too(client, account, api_key, settings):
    settings.LIMIT_PER_ACCOUNT = 2
    second = create_api_key(account=account, name="second", scopes=[ApiKey.Scope.AGENTS_READ])[1]
    foreign = create_api_key(account=AccountFactory(), name="theirs", scopes=[ApiKey.Scope.AGENTS_READ])[1]
    codes = [
        client.get("/api/v1/agents/", HTTP_AUTHORIZATION=f"Api-Key {key}").status_code
        for key in (api_key, second, api_key, foreign)
    ]
    assert codes == [200, 200, 429, 200]


def test_events_are_counted_as_well(client, api_key, settings):
    settings.LIMIT_PER_KEY = 1
    codes = [
        client.post("/api/v1/events", "{}", content_type="application/json", HTTP_AUTHORIZATION=f"Api-Key {api_key}").status_code
        for _ in range(2)
    ]
    assert codes[1] == 429 and codes[0] != 429


def test_an_address_that_tries_keys_is_shut_out_and_valid_keys_behind_it_are_not(client, api_key, settings):
    settings.LIMIT_PER_ADDRESS = 2
    codes = [client.get("/api/v1/agents/", **WRONG).status_code for _ in range(3)]
    assert codes == [401, 401, 429]
    assert client.get("/api/v1/agents/").status_code == 429  # without any key
    assert client.get("/api/v1/agents/", REMOTE_ADDR="192.0.2.9").status_code == 401
    assert client.get("/api/v1/agents/", HTTP_AUTHORIZATION=f"Api-Key {api_key}").status_code == 200


def test_no_address_stands_in_the_cache(client, settings, monkeypatch):
    names: list[str] = []
    monkeypatch.setattr(limits, "_shared", lambda name, n: names.append(name) or 1)
    client.get("/api/v1/agents/", REMOTE_ADDR="192.0.2.9", **WRONG)
    assert names and not any("192" in name for name in names)


# --- At the door -----------------------------------------------------------------------------------------------------
def tried(client, email: str, address: str = "192.0.2.1", password: str = "wrong"):
    return client.post("/admin/login/", {"username": email, "password": password}, REMOTE_ADDR=address)


def test_an_address_that_tries_one_email_after_the_other_has_to_wait(client, settings):
    settings.LIMIT_PER_ADDRESS = 3
    codes = [tried(client, f"person{number}@example.com").status_code for number in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert tried(client, "person9@example.com", "192.0.2.2").status_code == 200


def test_while_an_address_waits_no_password_is_looked_at(client, account, settings):
    settings.LIMIT_PER_ADDRESS = 1
    agent: Agent = AgentFactory(account=account)
    agent.set_password("right-password-1")
    agent.save()
    tried(client, "somebody@example.com")
    answer = tried(client, agent.email, password="right-password-1")
    assert answer.status_code == 429 and 1 <= int(answer["Retry-After"]) <= 120
    assert "_auth_user_id" not in client.session
    assert tried(client, agent.email, "192.0.2.2", "right-password-1").status_code == 302


def test_those_who_sign_in_are_not_counted(client, account, settings):
    settings.LIMIT_PER_ADDRESS = 1
    agent: Agent = AgentFactory(account=account)
    agent.set_password("right-password-1")
    agent.save()
    for _ in range(3):
        assert tried(client, agent.email, password="right-password-1").status_code == 302
        client.logout()
