"""The second factor: codes count once, guesses wait, and nobody is in before it has passed."""

import datetime as dt
import json
import re
from base64 import b32decode
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from auditlog import get_logentry_model
from axes.models import AccessAttempt
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import get_resolver, reverse
from django.utils import timezone
from django_otp.oath import totp

from agents import second_factor
from agents.models import Agent, Authenticator, RecoveryCode
from agents.sign_in import SecondFactorGate
from configuration.models import Role
from tests.at_once import at_once
from tests.factories import PASSWORD, AgentFactory
from tests.isolation.test_routes import ROUTES, Row, of_the_registry, walk

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 3, 4, 4, 0, tzinfo=dt.UTC)
SIGN_IN, CODE, SET_UP = "/admin/login/", "/sign-in/code/", "/sign-in/second-factor/set-up/"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def agent(account) -> Agent:
    return AgentFactory(account=account, email="wang@example.com", name="Wang Fang", staff_id="A7")


@pytest.fixture
def codes(agent) -> list[str]:
    """Turns the second factor on; the next code is already a new one."""
    return turned_on(agent)


def turned_on(agent: Agent) -> list[str]:
    before = timezone.now() - dt.timedelta(minutes=5)
    key = second_factor.begin_set_up(agent=agent, at=before)
    return second_factor.confirm_set_up(agent=agent, code=code_of(key, before), at=before)


def code_of(key: str, at: dt.datetime | None = None) -> str:
    return f"{totp(b32decode(key), t0=int(_now() - (at or timezone.now()).timestamp())):06d}"


def _now() -> float:
    return timezone.now().timestamp()


def key_of(agent: Agent) -> str:
    return Authenticator.objects.get(user=agent).key


def with_password(client: Client, agent: Agent, **more: str) -> Any:
    return client.post(SIGN_IN, {"username": agent.email, "password": PASSWORD, **more})


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def wrong(agent: Agent) -> str:
    return f"{(int(code_of(key_of(agent))) + 1) % 1_000_000:06d}"


class TestCodes:
    def test_a_code_opens_once(self, agent, codes):
        text = code_of(key_of(agent))
        assert second_factor.check_code(agent=agent, text=text, at=timezone.now()).user_id == agent.pk
        with pytest.raises(ValidationError, match="not right, or was used"):
            second_factor.check_code(agent=agent, text=text, at=timezone.now())

    def test_a_code_from_before_the_last_one_opens_nothing(self, agent, codes, clock):
        early = code_of(key_of(agent))
        clock.shift(30)
        second_factor.check_code(agent=agent, text=code_of(key_of(agent)), at=timezone.now())
        with pytest.raises(ValidationError):
            second_factor.check_code(agent=agent, text=early, at=timezone.now())

    def test_the_code_that_confirmed_the_set_up_does_not_sign_in(self, agent):
        key = second_factor.begin_set_up(agent=agent, at=timezone.now())
        text = code_of(key)
        second_factor.confirm_set_up(agent=agent, code=text, at=timezone.now())
        with pytest.raises(ValidationError):
            second_factor.check_code(agent=agent, text=text, at=timezone.now())

    @pytest.mark.parametrize(("steps", "opens"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
    def test_a_phones_clock_may_be_wrong_by_half_a_minute(self, agent, codes, steps, opens):
        text = code_of(key_of(agent), NOON + dt.timedelta(seconds=30 * steps))
        if opens:
            second_factor.check_code(agent=agent, text=text, at=NOON)
        else:
            with pytest.raises(ValidationError):
                second_factor.check_code(agent=agent, text=text, at=NOON)

    def test_gaps_and_full_width_digits_are_read(self, agent, codes):
        text = code_of(key_of(agent))
        wide = "".join(chr(ord(digit) + 0xFEE0) for digit in text)
        second_factor.check_code(agent=agent, text=f" {wide[:3]} {wide[3:]} ", at=timezone.now())

    @pytest.mark.parametrize("text", ["", "12345", "1234567", "abcdef", "-12345", "१२३४५६x", "0" * 4000])
    def test_what_is_no_code_is_wrong(self, agent, codes, text):
        with pytest.raises(ValidationError):
            second_factor.check_code(agent=agent, text=text, at=timezone.now())

    def test_each_recovery_code_opens_once_in_any_writing(self, agent, codes):
        assert len(set(codes)) == 10
        for one in codes:
            second_factor.check_code(agent=agent, text=f" {one.upper().replace('-', ' ')}", at=timezone.now())
        assert second_factor.n_recovery_codes(agent) == 0
        with pytest.raises(ValidationError):
            second_factor.check_code(agent=agent, text=codes[0], at=timezone.now())

    def test_a_recovery_code_of_somebody_else_opens_nothing(self, agent, codes):
        other = AgentFactory(account=agent.account)
        turned_on(other)
        with pytest.raises(ValidationError):
            second_factor.check_code(agent=other, text=codes[0], at=timezone.now())
        assert second_factor.n_recovery_codes(agent) == 10

    def test_new_recovery_codes_end_the_old(self, agent, codes, clock):
        fresh = second_factor.make_recovery_codes(agent=agent, at=timezone.now())
        assert not set(fresh) & set(codes)
        with pytest.raises(ValidationError):
            second_factor.check_code(agent=agent, text=codes[0], at=timezone.now())
        clock.shift(60)
        second_factor.check_code(agent=agent, text=fresh[0], at=timezone.now())

    def test_recovery_codes_cannot_be_guessed(self):
        assert len(second_factor.LETTERS) ** second_factor.CODE_LETTERS > 2**64

    def test_guesses_wait_longer_each_time_and_never_for_good(self, agent, codes, clock):
        waits = []
        for _n in range(14):
            with pytest.raises(ValidationError) as said:
                second_factor.check_code(agent=agent, text=wrong(agent), at=timezone.now())
            assert not isinstance(said.value, second_factor.TooSoon)
            seconds = 0
            while True:
                try:
                    second_factor.check_code(agent=agent, text="000000x", at=timezone.now())
                except second_factor.TooSoon as error:
                    step = int(re.findall(r"\d+", " ".join(error.messages))[0])
                    clock.shift(step)
                    seconds += step
                    break
                except ValidationError:
                    pytest.fail("a guess right after a wrong one was looked at")
            waits.append(seconds)
        assert waits[:5] == [1, 2, 4, 8, 16]
        assert waits[-1] == waits[-2] == 512
        second_factor.check_code(agent=agent, text=code_of(key_of(agent)), at=timezone.now())
        assert Authenticator.objects.get(user=agent).throttling_failure_count == 0

    def test_the_right_code_is_not_looked_at_during_the_pause_and_stays_good(self, agent, codes, clock):
        for _n in range(3):
            clock.shift(60)
            with pytest.raises(ValidationError):
                second_factor.check_code(agent=agent, text=wrong(agent), at=timezone.now())
        with pytest.raises(second_factor.TooSoon):
            second_factor.check_code(agent=agent, text=codes[0], at=timezone.now())
        clock.shift(60)
        second_factor.check_code(agent=agent, text=codes[0], at=timezone.now())

    def test_neither_key_nor_codes_stand_in_the_database(self, agent, codes):
        key = key_of(agent)
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM agents_authenticator")
            kept = repr(cursor.fetchall())
            cursor.execute("SELECT * FROM agents_recoverycode")
            kept += repr(cursor.fetchall())
        assert key not in kept and b32decode(key).hex() not in kept
        assert not [one for one in codes if one in kept or one.replace("-", "") in kept]
        entries = json.dumps(list(get_logentry_model().objects.values("changes", "additional_data")), default=str)
        assert key not in entries and not [one for one in codes if one in entries]
        assert '"second_factor": ["off", "on"]' in entries.replace("'", '"')

    def test_of_another_account_the_key_does_not_open(self, agent, codes):
        other = AgentFactory()
        Authenticator.objects.filter(user=agent).update(account=other.account)
        with pytest.raises(Exception, match="does not open"):
            second_factor.check_code(agent=agent, text="123456", at=timezone.now())


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="its tables in memory let one writer in at a time anyway")
class TestTwoAtOnce:
    def together(self, agent: Agent, texts: list[str]) -> list[str]:
        """What each of several attempts at the same moment came to."""

        def attempt(text: str) -> str:
            try:
                second_factor.check_code(agent=agent, text=text, at=timezone.now())
            except second_factor.TooSoon:
                return "wait"
            except ValidationError:
                return "wrong"
            return "in"

        return sorted(at_once(*(partial(attempt, text) for text in texts)))

    def test_a_code_lets_one_of_them_in(self, agent, codes):
        assert self.together(agent, [code_of(key_of(agent))] * 4).count("in") == 1

    def test_a_recovery_code_lets_one_of_them_in(self, agent, codes):
        assert self.together(agent, [codes[0]] * 4).count("in") == 1
        assert second_factor.n_recovery_codes(agent) == 9

    def test_of_guesses_at_the_same_moment_one_is_looked_at(self, agent, codes):
        assert self.together(agent, [wrong(agent)] * 6) == ["wait"] * 5 + ["wrong"]


class TestSettingUp:
    def test_the_key_stays_the_same_until_it_is_confirmed_or_an_hour_old(self, agent, clock):
        first = second_factor.begin_set_up(agent=agent, at=timezone.now())
        clock.shift(3599)
        assert second_factor.begin_set_up(agent=agent, at=timezone.now()) == first
        clock.shift(2)
        with pytest.raises(ValidationError, match="expired"):
            second_factor.confirm_set_up(agent=agent, code=code_of(first), at=timezone.now())
        assert second_factor.begin_set_up(agent=agent, at=timezone.now()) != first

    def test_a_key_not_confirmed_asks_nobody_for_a_code(self, client, agent):
        second_factor.begin_set_up(agent=agent, at=timezone.now())
        with_password(client, agent)
        assert is_signed_in(client)

    def test_the_page_shows_the_key_as_picture_and_text_and_then_the_codes_once(self, client, agent):
        with_password(client, agent)
        page = client.get(SET_UP)
        key = Authenticator.objects.get(user=agent).new_key
        text = page.content.decode()
        assert second_factor.reads_as_groups(key) in text
        assert "<svg" in text
        assert page.headers["Cache-Control"].count("no-store") == 1
        address = urlsplit(page.context["address"])
        assert (address.scheme, address.netloc) == ("otpauth", "totp")
        assert parse_qs(address.query)["secret"] == [key]
        made = client.post(SET_UP, {"code": code_of(key)})
        shown = re.findall(r"<code>([a-z0-9-]{19})</code>", made.content.decode())
        assert len(shown) == 10
        assert "no-store" in made.headers["Cache-Control"]
        assert shown[0] not in client.get("/sign-in/").content.decode()
        assert client.get("/desk/").status_code == 200, "the session that set it up goes on"
        second_factor.check_code(agent=agent, text=shown[0], at=timezone.now())

    def test_a_wrong_code_turns_nothing_on(self, client, agent):
        with_password(client, agent)
        client.get(SET_UP)
        key = Authenticator.objects.get(user=agent).new_key
        answer = client.post(SET_UP, {"code": f"{(int(code_of(key)) + 1) % 1_000_000:06d}"})
        assert "does not fit" in answer.content.decode()
        assert not Authenticator.objects.get(user=agent).confirmed
        assert not RecoveryCode.objects.exists()

    def test_some_minutes_after_signing_in_the_password_is_asked_for(self, client, agent, clock):
        with_password(client, agent)
        clock.shift(601)
        client.get(SET_UP)
        text = code_of(Authenticator.objects.get(user=agent).new_key)
        assert "password" in client.post(SET_UP, {"code": text}).context["form"].errors
        assert "not your password" in client.post(SET_UP, {"code": text, "password": "wrong"}).content.decode()
        assert not Authenticator.objects.get(user=agent).confirmed
        assert AccessAttempt.objects.get().failures_since_start == 1
        client.post(SET_UP, {"code": text, "password": PASSWORD})
        assert Authenticator.objects.get(user=agent).confirmed

    def test_turning_it_on_ends_the_sessions_elsewhere(self, client, agent):
        elsewhere = Client()
        with_password(elsewhere, agent)
        with_password(client, agent)
        client.get(SET_UP)
        client.post(SET_UP, {"code": code_of(Authenticator.objects.get(user=agent).new_key)})
        assert client.get("/desk/").status_code == 200
        assert elsewhere.get("/desk/").status_code == 302

    def test_another_phone_needs_a_code_of_the_present_one(self, client, agent, codes, clock):
        with_password(client, agent)
        client.post(CODE, {"code": code_of(key_of(agent))})
        client.get(SET_UP)
        old, new = key_of(agent), Authenticator.objects.get(user=agent).new_key
        clock.shift(30)
        client.post(SET_UP, {"code": code_of(new), "present_code": wrong(agent)})
        assert key_of(agent) == old
        clock.shift(30)
        client.post(SET_UP, {"code": code_of(new), "present_code": code_of(old)})
        assert key_of(agent) == new
        clock.shift(30)
        with pytest.raises(ValidationError):
            second_factor.check_code(agent=agent, text=code_of(old), at=timezone.now())
        assert client.get("/desk/").status_code == 200

    def test_turning_it_off_needs_password_and_code(self, client, agent, codes, clock):
        with_password(client, agent)
        client.post(CODE, {"code": code_of(key_of(agent))})
        clock.shift(30)
        page = "/sign-in/second-factor/turn-off/"
        client.post(page, {"password": "wrong", "present_code": code_of(key_of(agent))})
        client.post(page, {"password": PASSWORD, "present_code": wrong(agent)})
        assert Authenticator.objects.filter(user=agent, confirmed=True).exists()
        clock.shift(30)
        client.post(page, {"password": PASSWORD, "present_code": code_of(key_of(agent))})
        assert not Authenticator.objects.filter(user=agent).exists()
        assert not RecoveryCode.objects.filter(agent=agent).exists()
        assert client.get("/desk/").status_code == 200
        fresh = Client()
        with_password(fresh, agent)
        assert is_signed_in(fresh)

    def test_who_has_to_have_one_cannot_turn_it_off(self, client, agent, codes, clock):
        Role.objects.filter(pk=agent.role_id).update(requires_second_factor=True)
        with_password(client, agent)
        client.post(CODE, {"code": code_of(key_of(agent))})
        clock.shift(30)
        assert "turn-off" not in client.get("/sign-in/").content.decode()
        client.post("/sign-in/second-factor/turn-off/", {"password": PASSWORD, "present_code": code_of(key_of(agent))})
        assert Authenticator.objects.filter(user=agent, confirmed=True).exists()

    def test_new_recovery_codes_are_shown_to_who_gives_a_code(self, client, agent, codes, clock):
        with_password(client, agent)
        client.post(CODE, {"code": code_of(key_of(agent))})
        clock.shift(30)
        page = "/sign-in/second-factor/recovery-codes/"
        assert "present_code" in client.post(page, {"present_code": wrong(agent)}).context["form"].errors
        clock.shift(30)
        made = client.post(page, {"present_code": code_of(key_of(agent))}).content.decode()
        shown = re.findall(r"<code>([a-z0-9-]{19})</code>", made)
        assert len(shown) == 10 and not set(shown) & set(codes)


class TestSigningIn:
    def test_nobody_is_in_before_the_code(self, client, agent, codes):
        answer = with_password(client, agent)
        assert answer.url == CODE
        assert not is_signed_in(client)
        for page in ("/desk/", "/admin/", "/sign-in/", "/sign-in/second-factor/set-up/", "/api/v1/calls/"):
            assert client.get(page).status_code in {302, 401, 403}, page
        answer = client.post(CODE, {"code": code_of(key_of(agent))})
        assert answer.url == "/desk/"
        assert client.get("/desk/").status_code == 200

    def test_the_page_asked_for_opens_after_the_code(self, client, agent, codes):
        client.post(f"{SIGN_IN}?next=/desk/%3Fa%3D1", {"username": agent.email, "password": PASSWORD})
        assert client.post(CODE, {"code": code_of(key_of(agent))}).url == "/desk/?a=1"

    @pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
    def test_nobody_is_sent_to_another_site(self, client, agent, codes, target):
        client.post(f"{SIGN_IN}?next={target}", {"username": agent.email, "password": PASSWORD, "next": target})
        assert client.post(CODE, {"code": code_of(key_of(agent))}).url == "/desk/"

    def test_half_way_lasts_five_minutes(self, client, agent, codes, clock):
        with_password(client, agent)
        clock.shift(300)
        answer = client.post(CODE, {"code": code_of(key_of(agent))}, follow=True)
        assert not is_signed_in(client)
        assert "took too long" in answer.content.decode()
        with_password(client, agent)
        clock.shift(299)
        client.post(CODE, {"code": code_of(key_of(agent))})
        assert is_signed_in(client)

    def test_half_way_is_of_one_browser(self, client, agent, codes):
        with_password(client, agent)
        assert Client().post(CODE, {"code": code_of(key_of(agent))}).url == SIGN_IN
        assert not is_signed_in(client)

    def test_half_way_ends_with_another_password_typed_right_or_wrong(self, client, agent, codes):
        for typed in ({"username": "x@example.com", "password": "wrong"}, None):
            with_password(client, agent)
            client.post(SIGN_IN, typed) if typed else client.get(SIGN_IN)
            assert client.post(CODE, {"code": code_of(key_of(agent))}).url == SIGN_IN
            assert not is_signed_in(client)

    def test_half_way_ends_when_the_password_changes_or_the_person_leaves(self, client, agent, codes):
        for change in ({"password": "!"}, {"is_active": False}):
            with_password(client, agent)
            before = {name: getattr(agent, name) for name in change}
            Agent.objects.filter(pk=agent.pk).update(**change)
            assert client.post(CODE, {"code": code_of(key_of(agent))}).url == SIGN_IN
            assert not is_signed_in(client)
            Agent.objects.filter(pk=agent.pk).update(**before)

    def test_the_password_signs_out_whoever_was_in_this_browser(self, client, agent, codes):
        client.force_login(AgentFactory(account=agent.account), backend="agents.sign_in.RoleBackend")
        with_password(client, agent)
        assert client.get("/desk/").status_code == 302

    def test_a_recovery_code_signs_in_once_and_says_how_many_are_left(self, client, agent, codes):
        with_password(client, agent)
        answer = client.post(f"{CODE}?recovery", {"code": codes[0]}, follow=True)
        assert is_signed_in(client)
        assert "9 recovery codes are left" in answer.content.decode()
        again = Client()
        with_password(again, agent)
        again.post(CODE, {"code": codes[0]})
        assert not is_signed_in(again)

    def test_wrong_codes_lock_out_like_wrong_passwords(self, client, agent, codes, clock):
        with_password(client, agent)
        for n in range(8):
            clock.shift(2**n)
            if n and n % 4 == 0:
                with_password(client, agent)
            answer = client.post(CODE, {"code": wrong(agent)})
            if answer.status_code == 302:  # five minutes were over
                with_password(client, agent)
                answer = client.post(CODE, {"code": wrong(agent)})
        assert answer.status_code == 429
        assert with_password(client, agent).status_code == 429, "the right password does not lift it"
        kept = str(list(AccessAttempt.objects.values()))
        assert "wang@" not in kept and wrong(agent) not in kept

    def test_wrong_passwords_and_wrong_codes_count_together(self, client, agent, codes, clock):
        for _n in range(7):
            client.post(SIGN_IN, {"username": agent.email, "password": "wrong"})
        with_password(client, agent)
        assert client.post(CODE, {"code": wrong(agent)}).status_code == 429
        clock.shift(600)
        assert client.post(CODE, {"code": code_of(key_of(agent))}).status_code in {302, 429}
        assert not is_signed_in(client)

    def test_a_password_alone_does_not_wipe_out_failures(self, client, agent, codes):
        for _n in range(3):
            client.post(SIGN_IN, {"username": agent.email, "password": "wrong"})
        with_password(client, agent)
        assert AccessAttempt.objects.get().failures_since_start == 3
        client.post(CODE, {"code": code_of(key_of(agent))})
        assert not AccessAttempt.objects.exists()

    def test_a_session_that_never_saw_the_second_factor_ends(self, client, agent, codes):
        client.force_login(agent, backend="agents.sign_in.RoleBackend")
        assert client.get("/desk/").url.startswith(SIGN_IN)
        assert not is_signed_in(client)

    def test_operators_may_have_one_too(self, client):
        operator = Agent.objects.create_superuser("op@example.com", PASSWORD, name="Op")
        turned_on(operator)
        with_password(client, operator)
        assert not is_signed_in(client)
        assert client.post(CODE, {"code": code_of(key_of(operator))}).url == "/admin/"
        assert client.get("/admin/configuration/account/").status_code == 200


class TestRequiredByRole:
    @pytest.fixture
    def confined(self, client, account) -> Client:
        boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, email="boss@example.com")
        Role.objects.filter(pk=boss.role_id).update(requires_second_factor=True)
        with_password(client, boss)
        return client

    def test_the_way_in_leads_to_the_set_up_and_then_to_the_page_asked_for(self, confined):
        answer = confined.get("/admin/agents/agent/")
        assert answer.url == f"{SET_UP}?next=%2Fadmin%2Fagents%2Fagent%2F"
        page = confined.get(answer.url)
        assert "Your role signs in with a second factor" in page.content.decode()
        key = Authenticator.objects.get().new_key
        made = confined.post(answer.url, {"code": code_of(key)})
        assert made.context["next_page"] == "/admin/agents/agent/"
        assert confined.get("/admin/agents/agent/").status_code == 200

    def test_nothing_else_opens_before_it_is_done(self, confined):
        """Every route there is, of the admin's registry too, with every method."""
        names = set(walk(get_resolver())) | {name for name in of_the_registry() if "(" not in name}
        tried = 0
        for name in sorted(names - SecondFactorGate.OPEN):
            for address in some_addresses(name):
                for method in ("get", "post", "put", "patch", "delete"):
                    answer = getattr(confined, method)(address)
                    if address.startswith("/api/"):
                        assert answer.status_code == 403, f"{method} {address}"
                        assert "second factor" in answer.json()["detail"]
                    else:
                        assert answer.status_code == 302, f"{method} {address}"
                        assert answer.url.startswith(SET_UP), f"{method} {address}"
                    tried += 1
        assert tried > 300

    def test_what_is_open_shows_nothing_of_the_account(self, confined, account):
        for name in sorted(SecondFactorGate.OPEN - {"agents:sign-out", "admin:logout"}):
            answer = confined.get(reverse(name), follow=True)
            assert answer.status_code in {200, 405} or name == "readyz", name
            text = answer.content.decode() if not answer.streaming else ""
            assert "admin/agents/agent" not in text, name
        assert is_signed_in(confined)
        confined.post(reverse("agents:sign-out"))
        assert not is_signed_in(confined)

    def test_an_api_key_needs_no_second_factor(self, confined, api_key):
        assert Client().get("/api/v1/calls/", HTTP_AUTHORIZATION=f"Api-Key {api_key}").status_code == 200

    def test_it_reaches_sessions_that_are_there_already(self, client, agent):
        with_password(client, agent)
        assert client.get("/desk/").status_code == 200
        Role.objects.filter(pk=agent.role_id).update(requires_second_factor=True)
        assert client.get("/desk/").url.startswith(SET_UP)
        assert client.post("/desk/status/", {"status": "available"}).url.startswith(SET_UP)

    def test_whose_role_does_not_require_it_goes_on(self, confined, account):
        other = Client()
        with_password(other, AgentFactory(account=account))
        assert other.get("/desk/").status_code == 200


def some_addresses(name: str) -> list[str]:
    """An address of a route, whatever it needs in its place."""
    told = ROUTES.get(name)
    if isinstance(told, list):
        rows = [reverse(name, kwargs={row.parameter: 1, **row.rest}) for row in told if isinstance(row, Row)]
        return rows + [reverse(name, kwargs=one) for one in told if isinstance(one, dict)]
    for args in ([], [1], ["x"], [1, "x"], ["x", 1]):
        try:
            return [reverse(name, args=args)]
        except Exception:
            continue
    return []


class TestSessions:
    def test_another_role_ends_the_sessions_at_once(self, client, agent):
        with_password(client, agent)
        agent.role = Role.objects.get(account=agent.account, kind=Role.Kind.SUPERVISOR)
        agent.save()
        assert client.get("/desk/").url.startswith(SIGN_IN)

    @pytest.mark.parametrize("page", ["/desk/", "/sign-in/", "/api/v1/calls/"])
    def test_deactivation_ends_them(self, client, agent, page):
        with_password(client, agent)
        Agent.objects.filter(pk=agent.pk).update(is_active=False)
        assert client.get(page).status_code in {302, 401, 403}

    def test_going_offline_by_force_does_not(self, client, agent):
        with_password(client, agent)
        Agent.objects.filter(pk=agent.pk).update(forced_offline_at=timezone.now(), is_online=False)
        assert client.get("/desk/").status_code == 200

    def test_a_new_password_keeps_only_the_session_it_was_set_in(self, client, agent):
        elsewhere = Client()
        with_password(elsewhere, agent)
        with_password(client, agent)
        fresh = "quite another password"
        form = {"password": PASSWORD, "new_password1": fresh, "new_password2": fresh}
        assert client.post("/sign-in/password/", form).status_code == 302
        assert client.get("/desk/").status_code == 200
        assert elsewhere.get("/desk/").status_code == 302

    def test_ones_own_new_password_is_not_like_oneself(self, client, agent):
        with_password(client, agent)
        like = "Wang-Fang-A7"
        form = {"password": PASSWORD, "new_password1": like, "new_password2": like}
        answer = client.post("/sign-in/password/", form)
        assert "too similar" in answer.content.decode()


class TestReset:
    @pytest.fixture
    def boss(self, account) -> Agent:
        return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)

    def page_of(self, agent: Agent) -> str:
        return reverse("admin:agents_agent_sign_in", args=[agent.pk])

    def test_an_administrator_resets_it_and_the_sessions_end(self, client, agent, boss, codes):
        theirs = Client()
        with_password(theirs, agent)
        theirs.post(CODE, {"code": code_of(key_of(agent))})
        client.force_login(boss, backend="agents.sign_in.RoleBackend")
        assert "Reset second factor" in client.get(self.page_of(agent)).content.decode()
        client.post(self.page_of(agent), {"do": "reset_second_factor"})
        assert not Authenticator.objects.exists() and not RecoveryCode.objects.exists()
        assert theirs.get("/desk/").status_code == 302
        entry = get_logentry_model().objects.filter(changes__second_factor=["on", "off"]).get()
        assert (entry.actor_id, entry.object_id) == (boss.pk, agent.pk)

    def test_nobody_resets_their_own_or_that_of_who_may_more(self, client, account, agent, boss, codes):
        turned_on(boss)
        clerk_role = Role.objects.create(
            account=account,
            name="Clerk",
            permissions=["agents.enter_admin", "agents.view_agent", "agents.change_agent", "agents.use_desk"],
            data_scope=Role.DataScope.ACCOUNT,
        )
        clerk = AgentFactory(account=account, role=clerk_role)
        client.force_login(clerk, backend="agents.sign_in.RoleBackend")
        assert client.post(self.page_of(boss), {"do": "reset_second_factor"}).status_code == 403
        assert Authenticator.objects.filter(user=boss, confirmed=True).exists()
        for person in (boss, clerk):
            with pytest.raises(ValidationError):
                second_factor.reset(agent=person, by=clerk, at=timezone.now())

    def test_a_person_of_another_account_is_nobody(self, client, boss):
        stranger = AgentFactory()
        turned_on(stranger)
        client.force_login(boss, backend="agents.sign_in.RoleBackend")
        answer = client.post(self.page_of(stranger), {"do": "reset_second_factor"}, follow=True)
        assert "There is no such record" in answer.content.decode()
        assert Authenticator.objects.filter(user=stranger, confirmed=True).exists()

    def test_a_command_does_it_for_operators_and_in_any_account(self, agent, codes, capsys):
        operator = Agent.objects.create_superuser("op@example.com", PASSWORD, name="Op")
        turned_on(operator)
        call_command("reset_second_factor", "A7", account=agent.account.slug)
        assert not Authenticator.objects.filter(user=agent).exists()
        call_command("reset_second_factor", operator="OP@example.com")
        assert not Authenticator.objects.exists()
        assert "op@" not in capsys.readouterr().out
        for wrong_words in ({"operator": "op@example.com"}, {"operator": "wang@example.com"}):
            with pytest.raises(CommandError):
                call_command("reset_second_factor", **wrong_words)
        with pytest.raises(CommandError):
            call_command("reset_second_factor", "A7", account=agent.account.slug)
        with pytest.raises(CommandError, match="no account"):
            call_command("reset_second_factor", "A7", account="nobody")


def test_every_page_of_people_shows_whether_somebody_has_one(client, account, agent, codes, django_assert_num_queries):
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
    assert admin.site.is_registered(Agent)
    text = client.get("/admin/agents/agent/").content.decode()
    assert text.count("Active · 2FA") == 1
