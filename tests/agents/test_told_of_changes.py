"""Whoever's sign-in is changed hears of it by mail, where nobody who took a session over can read it first."""

import datetime as dt
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents import invitations, second_factor
from agents.models import Agent, SignInLink
from agents.tasks import send_sign_in_links
from configuration.models import Role
from tests.agents.test_second_factor import code_of, key_of, turned_on
from tests.factories import PASSWORD, AgentFactory

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 3, 4, 4, 0, tzinfo=dt.UTC)
NEW = "a battery of correct horses"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture(autouse=True)
def mail_server(settings):
    settings.MAIL_IS_SET = True
    settings.PUBLIC_URL = "https://portal.example.com"


@pytest.fixture
def boss(account) -> Agent:
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, email="boss@example.com")


@pytest.fixture
def agent(account) -> Agent:
    return AgentFactory(account=account, email="wang@example.com", name="Wang Fang", staff_id="A7")


def as_person(person: Agent) -> Client:
    client = Client()
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return client


def told() -> list[tuple[str, str]]:
    """To whom the mails that go out now are, and what each tells in its second paragraph."""
    mail.outbox.clear()
    send_sign_in_links()
    return [(one.to[0], one.body.split("\n\n")[1].split("\n")[0]) for one in mail.outbox]


def page_form(client: Client, agent: Agent, **changes: Any) -> Any:
    page = client.get(reverse("admin:agents_agent_change", args=[agent.pk]))
    form = {name: value for name, value in page.context["adminform"].form.initial.items() if isinstance(value, str | int)}
    form |= {"email": agent.email, "new_password": "", "is_active": "on"}
    for inline in page.context["inline_admin_formsets"]:
        form |= {bound.html_name: bound.value() for bound in inline.formset.management_form}
    return client.post(reverse("admin:agents_agent_change", args=[agent.pk]), form | changes)


def test_a_password_changed_by_its_owner(agent):
    form = {"password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    as_person(agent).post(reverse("sign_in:change-password"), form)
    assert told() == [("wang@example.com", "Your password was changed.")]
    (message,) = mail.outbox
    assert "Hello " in message.body and "https://portal.example.com/sign-in/password/forgotten/" in message.body
    assert "?key=" not in message.body + message.alternatives[0][0], "a mail that only tells carries no link that opens anything"
    assert told() == [], "once"


def test_a_password_typed_by_an_administrator(agent, boss):
    assert page_form(as_person(boss), agent, new_password=NEW).status_code == 302
    assert told() == [("wang@example.com", "Your password was changed.")]


def test_a_password_set_over_the_api(agent, boss):
    answer = as_person(boss).patch(f"/api/v1/agents/{agent.pk}/", {"password": NEW}, content_type="application/json")
    assert answer.status_code == 200
    assert told() == [("wang@example.com", "Your password was changed.")]


def test_a_password_set_with_a_link_for_who_forgot_theirs(agent):
    invitations.ask_for_reset(email=agent.email, address="203.0.113.7", at=timezone.now())
    invitations.set_password(link=SignInLink.objects.get(), password=NEW, at=timezone.now())
    assert told() == [("wang@example.com", "Your password was changed.")]


def test_a_first_password_is_no_change(agent, boss):
    agent.set_unusable_password()
    agent.save()
    (link,) = invitations.invite(agents=[agent], by=boss, at=timezone.now())
    send_sign_in_links()
    invitations.set_password(link=link, password=NEW, at=timezone.now())
    assert told() == []


@pytest.mark.parametrize("how", ["page", "api"])
def test_another_email_is_told_to_the_one_from_before(agent, boss, how):
    if how == "page":
        assert page_form(as_person(boss), agent, email="li@example.com").status_code == 302
    else:
        body = {"email": "li@example.com", "name": "Wang Fang"}
        assert as_person(boss).patch(f"/api/v1/agents/{agent.pk}/", body, content_type="application/json").status_code == 200
    assert b"wang@example.com" not in bytes(SignInLink.objects.values_list("sent_to", flat=True).get())
    assert told() == [("wang@example.com", "The email you sign in with was changed: from now on it is another than this one.")]
    assert "li@example.com" not in mail.outbox[0].body
    assert "forgotten" not in mail.outbox[0].body, "a new password cannot be set with this address any more"
    assert SignInLink.objects.get().sent_to == "", "the old address is kept no longer than the mail waits"


def test_what_stays_as_it_is_is_not_told(agent, boss):
    assert page_form(as_person(boss), agent, nickname="Fang").status_code == 302
    as_person(boss).patch(f"/api/v1/agents/{agent.pk}/", {"email": agent.email}, content_type="application/json")
    assert told() == []


def test_each_change_of_the_second_factor(agent, boss, clock):
    turned_on(agent)
    assert [what.split(" for ")[0] for _to, what in told()] == ["A second factor was set up"]
    second_factor.make_recovery_codes(agent=agent, at=timezone.now())
    assert [what.split(" for ")[0] for _to, what in told()] == ["New recovery codes were made"]
    client = as_person(agent)
    second_factor.reset(agent=Agent.objects.get(pk=agent.pk), by=boss, at=timezone.now())
    assert told() == [("wang@example.com", "The second factor of your sign-in was turned off.")]
    assert client.get("/sign-in/").status_code == 302


def test_a_second_factor_turned_off_by_its_owner_or_an_operator(agent, account):
    turned_on(agent)
    client = Client()
    client.post("/admin/login/", {"username": agent.email, "password": PASSWORD})
    client.post("/sign-in/code/", {"code": code_of(key_of(agent))})
    told()
    with time_machine.travel(NOON + dt.timedelta(minutes=2), tick=False):
        form = {"password": PASSWORD, "present_code": code_of(key_of(agent))}
        assert client.post("/sign-in/second-factor/turn-off/", form).status_code == 302
        assert [to for to, _what in told()] == ["wang@example.com"]
        turned_on(Agent.objects.get(pk=agent.pk))
        told()
        call_command("reset_second_factor", "A7", account=account.slug)
        assert told() == [("wang@example.com", "The second factor of your sign-in was turned off.")]


def test_it_is_told_in_the_language_and_by_the_clock_of_the_account(agent):
    agent.account.language, agent.account.time_zone = "zh-hans", "Asia/Shanghai"
    agent.account.save()
    form = {"password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    as_person(agent).post(reverse("sign_in:change-password"), form)
    told()
    (message,) = mail.outbox
    assert 'lang="zh-hans"' in message.alternatives[0][0]
    assert "12:00" in message.body


def test_word_of_a_change_opens_nothing_and_is_no_link_to_hand_over(agent, boss):
    (invited,) = invitations.invite(agents=[agent], by=boss, at=timezone.now())
    invitations.tell_of_change(agent=agent, kind=SignInLink.Kind.PASSWORD, at=timezone.now())
    word = SignInLink.objects.select_related("agent__account").latest("pk")
    key = invitations.address_of(word).partition("key=")[2]
    assert invitations.open_link(key, at=timezone.now()) is None
    assert not invitations.can_be_handed_over(word, at=timezone.now())
    assert invitations.newest_link(agent) == invited
    as_person(boss).post(reverse("admin:agents_agent_sign_in", args=[agent.pk]), {"do": "email"})
    assert SignInLink.objects.count() == 2


def test_a_change_that_is_taken_back_is_not_told(agent):
    """The mail waits in the transaction of the change."""
    from django.db import transaction

    with pytest.raises(RuntimeError), transaction.atomic():
        second_factor.make_recovery_codes(agent=agent, at=timezone.now())
        raise RuntimeError
    assert told() == []
