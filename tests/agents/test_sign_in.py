"""The door: how failures are counted, who can be kept out by whom, and for how long."""

import asyncio
import datetime as dt
from base64 import b32decode
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import totp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from agents import second_factor
from agents.models import Agent, SignInLink
from configuration.models import Role
from tests.factories import PASSWORD, AgentFactory

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 3, 4, 4, 0, tzinfo=dt.UTC)
SIGN_IN = "/admin/login/"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def agent(account) -> Agent:
    return AgentFactory(account=account, email="wang@example.com")


def attempt(agent: Agent, password: str = "wrong", address: str = "203.0.113.7", **headers: str) -> Any:
    return Client().post(SIGN_IN, {"username": agent.email, "password": password}, REMOTE_ADDR=address, **headers)


def test_the_pause_is_fifteen_minutes_from_the_last_failure_that_counted(agent, clock):
    for _n in range(8):
        answer = attempt(agent)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "900")
    clock.shift(600)
    answer = attempt(agent)
    assert answer.headers["Retry-After"] == "300", "trying on does not make it longer"
    assert "Try again in 5 minutes" in answer.content.decode()
    clock.shift(299)
    assert attempt(agent, PASSWORD).status_code == 429
    clock.shift(2)
    assert attempt(agent, PASSWORD).status_code == 302


def test_failures_elsewhere_keep_nobody_out(agent):
    for _n in range(20):
        attempt(agent, address="198.51.100.1")
    assert attempt(agent, PASSWORD, address="198.51.100.1").status_code == 429
    assert attempt(agent, PASSWORD).status_code == 302


def test_failures_with_another_email_keep_nobody_out(agent, account):
    other = AgentFactory(account=account)
    for _n in range(20):
        attempt(other)
    assert attempt(agent, PASSWORD).status_code == 302


def test_another_browser_is_no_way_round_the_pause(agent):
    for n in range(8):
        answer = attempt(agent, HTTP_USER_AGENT=f"Browser {n}")
    assert answer.status_code == 429


def test_another_way_to_write_the_email_is_no_way_round_the_pause(agent):
    for _n in range(8):
        attempt(agent)
    spelt = Client().post(SIGN_IN, {"username": " WANG@Example.com", "password": PASSWORD}, REMOTE_ADDR="203.0.113.7")
    assert spelt.status_code == 429


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_CLIENT_IP", "HTTP_VIA"])
def test_a_header_that_says_another_address_is_no_way_round_the_pause(agent, header):
    for n in range(8):
        answer = attempt(agent, **{header: f"198.51.100.{n}"})
    assert answer.status_code == 429
    assert {row.ip_address for row in AccessAttempt.objects.all()} == {"203.0.113.7"}


@pytest.mark.parametrize(
    ("peer", "trusted", "seen"),
    [
        ("203.0.113.7", "127.0.0.1", "203.0.113.7"),
        ("127.0.0.1", "127.0.0.1", "192.0.2.9"),
        ("10.0.0.2", "10.0.0.2", "192.0.2.9"),
    ],
)
def test_the_server_believes_only_the_proxies_it_was_told_of(peer, trusted, seen):
    """And of what a proxy appended, the last part: the one before it a visitor wrote."""
    found = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(scope["client"][0])

    scope = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", b"6.6.6.6, 192.0.2.9")], "scheme": "http"}
    asyncio.run(ProxyHeadersMiddleware(app, trusted_hosts=trusted)(scope, None, None))
    assert found == [seen]


def test_the_table_of_attempts_holds_neither_email_nor_password(agent):
    attempt(agent, "my secret password")
    kept = str(list(AccessAttempt.objects.values()))
    assert "wang" not in kept and "secret" not in kept


def test_the_page_says_what_belongs_in_its_fields(client):
    page = client.get(SIGN_IN).content.decode()
    assert 'autocomplete="username"' in page and 'autocomplete="current-password"' in page
    assert "autofocus" in page


@pytest.mark.parametrize(
    ("kind", "landing"),
    [
        (Role.Kind.ADMINISTRATOR, "admin:index"),
        (Role.Kind.SUPERVISOR, "admin:index"),
        (Role.Kind.INSPECTOR, "admin:index"),
        (Role.Kind.AGENT, "agents:desk"),
    ],
)
def test_everybody_lands_where_they_work(client, account, kind, landing):
    person = AgentFactory(account=account, kind=kind)
    answer = client.post(SIGN_IN, {"username": person.email, "password": PASSWORD})
    assert answer.url == reverse(landing)
    assert client.get(SIGN_IN).url == reverse(landing), "who is in already is not asked again"


def test_the_pages_on_the_way_in_are_kept_by_nobody(client, agent):
    client.post(SIGN_IN, {"username": agent.email, "password": PASSWORD})
    for name in ("overview", "set-up", "change-password", "forgotten", "link-sent"):
        assert "no-store" in client.get(reverse(f"sign_in:{name}")).headers["Cache-Control"], name


# --- One's own password ----------------------------------------------------------------------------------------------

CHANGE = "/sign-in/password/"
NEW = "a battery of correct horses"


def signed_in(agent: Agent) -> Client:
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(agent, backend="agents.sign_in.RoleBackend")
    return client


def change(client: Client, present: str, new: str = NEW, again: str | None = None) -> Any:
    return client.post(CHANGE, {"password": present, "new_password1": new, "new_password2": new if again is None else again})


def test_whoever_knows_it_changes_their_password_and_stays_signed_in(agent):
    client = signed_in(agent)
    assert change(client, PASSWORD).status_code == 302
    agent.refresh_from_db()
    assert agent.check_password(NEW)
    assert "Your password is changed" in client.get("/sign-in/").content.decode()


@pytest.mark.parametrize(
    ("present", "new", "again", "said"),
    [("wrong", NEW, None, "not your password"), (PASSWORD, "short", None, "too short"), (PASSWORD, NEW, "other", "match")],
)
def test_a_password_that_will_not_do_is_refused_beside_its_field(agent, present, new, again, said):
    answer = change(signed_in(agent), present, new, again)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    agent.refresh_from_db()
    assert agent.check_password(PASSWORD)


def test_guesses_of_the_present_password_count_like_those_at_the_door(agent):
    client = signed_in(agent)
    for n in range(8):
        answer = change(client, f"guess {n}")
    assert answer.status_code == 429
    assert change(client, PASSWORD).status_code == 429, "the right one does not lift the pause"
    assert attempt(agent, PASSWORD).status_code == 429
    agent.refresh_from_db()
    assert agent.check_password(PASSWORD)
    kept = str(list(AccessAttempt.objects.values()))
    assert NEW not in kept and "guess" not in kept and agent.email not in kept


def test_the_admins_own_page_for_it_is_the_same(account):
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client = signed_in(boss)
    assert client.get("/admin/password_change/").headers["Location"] == CHANGE
    form = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert client.post("/admin/password_change/", form).headers["Location"] == CHANGE
    boss.refresh_from_db()
    assert boss.check_password(PASSWORD)


def test_writing_the_password_touches_nothing_else_of_the_person(agent):
    """Somebody else may change them between the reading and the writing."""
    client = signed_in(agent)
    Agent.objects.filter(pk=agent.pk).update(status_reason="Lunch")
    with CaptureQueriesContext(connection) as queries:
        change(client, PASSWORD)
    (written,) = [
        one["sql"] for one in queries if one["sql"].startswith('UPDATE "agents_agent"') or "UPDATE `agents_agent`" in one["sql"]
    ]
    assert "status_reason" not in written


# --- One's own email -------------------------------------------------------------------------------------------------

EMAIL = "/sign-in/email/"


@pytest.fixture
def boss(account) -> Agent:
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, email="boss@example.com", staff_id="boss")


def email_of(person: Agent) -> str:
    return Agent.objects.get(pk=person.pk).email


def test_ones_own_email_changes_with_the_password_alone(boss):
    client = signed_in(boss)
    assert client.post(EMAIL, {"email": "new@example.com", "password": "wrong"}).status_code == 200
    assert client.post(EMAIL, {"email": "new@example.com"}).status_code == 200, "also if it was typed just now"
    assert email_of(boss) == "boss@example.com"
    assert client.post(EMAIL, {"email": "new@example.com", "password": PASSWORD}).status_code == 302
    assert "new@example.com" in client.get("/sign-in/").content.decode(), "and the session goes on"
    assert attempt(Agent.objects.get(pk=boss.pk), PASSWORD).status_code == 302
    assert [(one.kind, one.sent_to) for one in SignInLink.objects.all()] == [("email", "boss@example.com")]


def test_ones_own_email_changes_with_the_second_factor_where_there_is_one(boss):
    begun = timezone.now() - dt.timedelta(minutes=5)
    key = second_factor.begin_set_up(agent=boss, at=begun)
    second_factor.confirm_set_up(agent=boss, code=f"{totp(b32decode(key), t0=300):06d}", at=begun)
    client = Client()
    client.post(SIGN_IN, {"username": boss.email, "password": PASSWORD})
    client.post("/sign-in/code/", {"code": f"{totp(b32decode(key)):06d}"})
    answer = client.post(EMAIL, {"email": "new@example.com", "password": PASSWORD})
    assert "present_code" in answer.context["form"].errors
    assert email_of(boss) == "boss@example.com"


def test_guesses_beside_a_new_email_count_like_those_at_the_door(boss):
    client = signed_in(boss)
    for n in range(8):
        answer = client.post(EMAIL, {"email": "new@example.com", "password": f"guess {n}"})
    assert answer.status_code == 429
    assert client.post(EMAIL, {"email": "new@example.com", "password": PASSWORD}).status_code == 429
    assert email_of(boss) == "boss@example.com"
    assert "new@example.com" not in str(list(AccessAttempt.objects.values()))


def test_an_email_of_somebody_else_is_refused_in_words_that_say_nothing_of_them(boss):
    AgentFactory(email="taken@example.com")
    answer = signed_in(boss).post(EMAIL, {"email": "Taken@example.com", "password": PASSWORD})
    assert "This email cannot be used." in answer.content.decode()
    assert email_of(boss) == "boss@example.com"


def test_whoever_may_not_change_people_does_not_change_how_they_sign_in(agent):
    client = signed_in(agent)
    assert "Change email" not in client.get("/sign-in/").content.decode()
    assert client.post(EMAIL, {"email": "new@example.com", "password": PASSWORD}).status_code == 302
    assert email_of(agent) == "wang@example.com"


def test_a_session_alone_does_not_change_ones_own_email(boss):
    """Neither on the page of people nor over the API: with another email it could mail itself a new password."""
    client, page = signed_in(boss), reverse("admin:agents_agent_change", args=[boss.pk])
    shown = client.get(page)
    assert "email" not in shown.context["adminform"].form.fields
    assert "Your sign-in" in shown.content.decode()
    form = {"name": "Boss", "staff_id": "boss", "cellphone_pickup": "off", "email": "new@example.com"}
    for inline in shown.context["inline_admin_formsets"]:
        form |= {bound.html_name: bound.value() for bound in inline.formset.management_form}
    assert client.post(page, form).status_code == 302
    for method, body in (("patch", {}), ("put", {"staff_id": "boss", "name": "Boss", "role": boss.role_id})):
        address = f"/api/v1/agents/{boss.pk}/"
        answer = getattr(client, method)(address, {**body, "email": "new@example.com"}, content_type="application/json")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "email")
        same = getattr(client, method)(address, {**body, "email": "boss@example.com"}, content_type="application/json")
        assert same.status_code == 200
    assert email_of(boss) == "boss@example.com"
    assert not SignInLink.objects.exists()
