"""Links by mail: good once, for a time, for one person; nothing about who is known here is given away."""

import datetime as dt
import re
import smtplib
from typing import Any

import pytest
import time_machine
from auditlog import get_logentry_model
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents import invitations
from agents.admin.sign_in import sign_in_state
from agents.models import Agent, SignInLink
from agents.tasks import send_sign_in_links
from configuration.models import Role
from retention.erasure import erase_sign_in_traces
from tests.factories import PASSWORD, AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 3, 4, 4, 0, tzinfo=dt.UTC)
NEW = "a long enough password"
SET, FORGOTTEN = "/sign-in/password/set/", "/sign-in/password/forgotten/"


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
    agent = AgentFactory(account=account, email="wang@example.com", name="Wang Fang", nickname="", staff_id="A7")
    agent.set_unusable_password()
    agent.save()
    return agent


def invite(agent: Agent, boss: Agent) -> SignInLink:
    return invitations.invite(agents=[agent], by=boss, at=timezone.now())[0]


def key_in(text: str) -> str:
    return re.search(r"\?key=(\S+)", text)[1]


def key_of(link: SignInLink) -> str:
    return key_in(invitations.address_of(SignInLink.objects.select_related("agent").get(pk=link.pk)))


def set_password(client: Client, key: str, password: str = NEW) -> Any:
    client.get(SET, {"key": key})
    return client.post(SET, {"new_password1": password, "new_password2": password})


def can_sign_in(agent: Agent, password: str) -> bool:
    client = Client()
    client.post("/admin/login/", {"username": agent.email, "password": password})
    return "_auth_user_id" in client.session


class TestLinks:
    def test_an_invitation_leads_from_the_mail_to_the_desk(self, client, agent, boss):
        invite(agent, boss)
        assert sign_in_state(agent)[0] == "invited"
        send_sign_in_links()
        message = mail.outbox[0]
        assert message.to == ["wang@example.com"]
        key = key_in(message.body)
        assert key in message.alternatives[0][0]
        first = client.get(SET, {"key": key})
        assert first.url == SET, "the key does not stay in the address"
        assert first.headers["Referrer-Policy"] == "no-referrer"
        page = client.get(SET)
        assert "Hello Wang Fang" in page.content.decode()
        assert "at least 10 characters" in page.content.decode(), "the rules stand beside the field"
        answer = client.post(SET, {"new_password1": NEW, "new_password2": NEW})
        assert answer.url == "/admin/login/"
        assert "_auth_user_id" not in client.session, "it is typed once more"
        assert client.post("/admin/login/", {"username": "wang@example.com", "password": NEW}).url == "/desk/"
        agent.refresh_from_db()
        assert sign_in_state(agent)[0] == "active"

    def test_a_link_is_good_once(self, client, agent, boss):
        key = key_of(invite(agent, boss))
        set_password(client, key)
        again = Client()
        assert set_password(again, key, "yet another password").status_code == 410
        assert can_sign_in(agent, NEW)

    def test_two_who_use_it_at_the_same_moment_are_one_too_many(self, agent, boss):
        link = invitations.open_link(key_of(invite(agent, boss)), at=timezone.now())
        twin = invitations.open_link(key_of(link), at=timezone.now())
        invitations.set_password(link=link, password=NEW, at=timezone.now())
        with pytest.raises(ValidationError, match="used already"):
            invitations.set_password(link=twin, password="yet another password", at=timezone.now())

    @pytest.mark.parametrize(("kind", "seconds"), [("invitation", 3 * 24 * 3600), ("reset", 3600)])
    def test_a_link_ends_with_its_time(self, agent, boss, clock, kind, seconds):
        link = invitations.invite(agents=[agent], by=boss, at=timezone.now(), kind=kind)[0]
        key = key_of(link)
        clock.shift(seconds - 1)
        assert invitations.open_link(key, at=timezone.now()) is not None
        clock.shift(1)
        assert invitations.open_link(key, at=timezone.now()) is None

    def test_a_newer_link_of_its_kind_takes_its_place_and_one_of_the_other_does_not(self, agent, boss):
        first = key_of(invite(agent, boss))
        second = key_of(invite(agent, boss))
        invitations.ask_for_reset(email=agent.email, address="203.0.113.7", at=timezone.now())
        assert invitations.open_link(first, at=timezone.now()) is None
        assert invitations.open_link(second, at=timezone.now()) is not None

    @pytest.mark.parametrize("change", ["password", "email", "left", "closed"])
    def test_a_link_ends_when_what_it_was_made_for_has_changed(self, agent, boss, change):
        key = key_of(invite(agent, boss))
        if change == "password":
            agent.set_password(PASSWORD)
        elif change == "email":
            agent.email = "other@example.com"
        elif change == "left":
            agent.is_active = False
        else:
            agent.account.terminated_at = timezone.now()
            agent.account.save()
        agent.save()
        assert invitations.open_link(key, at=timezone.now()) is None

    @pytest.mark.parametrize(
        "change", [lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"), lambda key: "", lambda key: "1-x"]
    )
    def test_a_link_that_was_changed_opens_nothing(self, agent, boss, change):
        assert invitations.open_link(change(key_of(invite(agent, boss))), at=timezone.now()) is None

    def test_the_link_of_one_person_does_not_open_that_of_another(self, agent, boss):
        one, other = invite(agent, boss), invite(AgentFactory(account=agent.account), boss)
        secret = key_of(one).partition("-")[2]
        assert invitations.open_link(f"{other.pk}-{secret}", at=timezone.now()) is None

    def test_a_weak_password_or_one_like_the_person_leaves_the_link_good(self, client, agent, boss):
        key = key_of(invite(agent, boss))
        for weak in ("1234567890", "short", "wang@example.com", "Wang Fang!"):
            assert set_password(client, key, weak).status_code == 200, weak
        assert set_password(client, key).status_code == 302

    def test_the_key_is_in_no_log_and_no_table(self, client, agent, boss, caplog, django_db_blocker):
        from django.db import connection

        key = key_of(invite(agent, boss))
        send_sign_in_links()
        set_password(client, key)
        secret = key.partition("-")[2]
        assert secret not in caplog.text
        assert "key=" not in caplog.text
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM agents_signinlink")
            assert secret not in repr(cursor.fetchall())

    def test_setting_a_password_ends_every_session_and_the_lockout(self, client, agent, boss):
        theirs = Client()
        theirs.force_login(agent, backend="agents.sign_in.RoleBackend")
        for _n in range(8):
            Client().post("/admin/login/", {"username": agent.email, "password": "wrong"})
        assert not can_sign_in(agent, NEW)
        set_password(client, key_of(invite(agent, boss)))
        assert theirs.get("/desk/").status_code == 302
        assert can_sign_in(agent, NEW)

    def test_the_second_factor_is_asked_for_all_the_same(self, client, agent, boss):
        from tests.agents.test_second_factor import turned_on

        turned_on(agent)
        set_password(client, key_of(invite(agent, boss)))
        assert client.post("/admin/login/", {"username": agent.email, "password": NEW}).url == "/sign-in/code/"

    def test_the_mail_is_in_the_language_and_time_of_the_account(self, boss):
        account = AccountFactory(language="zh-hans", time_zone="Asia/Shanghai")
        chief = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
        invite(AgentFactory(account=account), chief)
        send_sign_in_links()
        assert "12:00" in mail.outbox[0].body, "noon in Shanghai"
        assert 'lang="zh-hans"' in mail.outbox[0].alternatives[0][0]

    def test_a_name_cannot_write_into_the_mail(self, agent, boss):
        agent.name = "<b>x</b>"
        agent.save()
        invite(agent, boss)
        send_sign_in_links()
        assert "<b>x</b>" not in mail.outbox[0].alternatives[0][0]
        assert "<b>x</b>" in mail.outbox[0].body


class TestForgotten:
    def ask(self, email: str, client: Client | None = None, address: str = "203.0.113.7") -> Any:
        return (client or Client()).post(FORGOTTEN, {"email": email}, REMOTE_ADDR=address)

    def test_the_answer_is_the_same_whoever_has_the_email(self, agent, boss, django_assert_num_queries):
        AgentFactory(account=agent.account, email="gone@example.com", is_active=False)
        answers, counted = set(), set()
        for email in ("wang@example.com", "nobody@example.com", "gone@example.com"):
            from django.db import connection
            from django.test.utils import CaptureQueriesContext

            with CaptureQueriesContext(connection) as queries:
                answer = self.ask(email)
            counted.add(len([one for one in queries if "SAVEPOINT" not in one["sql"]]))
            answers.add((answer.status_code, answer.url, Client().get(answer.url).content.count(b"known here")))
        assert len(answers) == 1
        assert len(counted) == 1, "the same work, so the same time"
        send_sign_in_links()
        assert [message.to for message in mail.outbox] == [["wang@example.com"]]

    def test_the_link_sets_a_new_password(self, client, agent, boss):
        self.ask("WANG@example.com")
        send_sign_in_links()
        set_password(client, key_in(mail.outbox[0].body))
        assert can_sign_in(agent, NEW)

    def test_operators_get_one_too(self, client):
        operator = Agent.objects.create_superuser("op@example.com", PASSWORD, name="Op")
        self.ask("op@example.com")
        send_sign_in_links()
        set_password(client, key_in(mail.outbox[0].body))
        assert can_sign_in(operator, NEW)

    def test_one_email_gets_three_an_hour_and_the_answer_stays_the_same(self, agent, boss, clock):
        said = {self.ask("wang@example.com", address=f"203.0.113.{n}").url for n in range(6)}
        assert len(said) == 1
        send_sign_in_links()
        newest = key_in(mail.outbox[-1].body)
        assert SignInLink.objects.filter(agent=agent).count() == 3
        assert invitations.open_link(newest, at=timezone.now()) is not None, "asking on takes no link away"
        clock.shift(3601)
        self.ask("wang@example.com")
        assert SignInLink.objects.filter(agent=agent).count() == 4

    def test_one_address_is_answered_twenty_times_an_hour(self, agent, boss, clock):
        for n in range(20):
            assert self.ask(f"x{n}@example.com").status_code == 302
        refused = self.ask("wang@example.com")
        assert refused.status_code == 429
        assert "Too many" in refused.content.decode()
        assert not SignInLink.objects.filter(agent=agent).exists()
        assert self.ask("wang@example.com", address="198.51.100.1").status_code == 302
        clock.shift(3601)
        assert self.ask("wang@example.com").status_code == 302

    @pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP"])
    def test_a_header_does_not_make_another_address(self, agent, boss, header):
        for n in range(20):
            Client().post(FORGOTTEN, {"email": f"x{n}@example.com"}, **{header: f"198.51.100.{n}"})
        assert Client().post(FORGOTTEN, {"email": "y@example.com"}, **{header: "198.51.100.99"}).status_code == 429

    def test_no_row_holds_email_or_address(self, agent, boss):
        self.ask("nobody@example.com")
        kept = repr(list(SignInLink.objects.values()))
        assert "nobody" not in kept and "203.0.113" not in kept

    def test_without_a_mail_server_the_page_says_whom_to_ask(self, client, agent, settings):
        settings.MAIL_IS_SET = False
        assert "Ask your administrator" in client.get(FORGOTTEN).content.decode()
        assert self.ask("wang@example.com").status_code == 200
        assert not SignInLink.objects.exists()


class Refusing(EmailBackend):
    """A mail server in a bad mood."""

    error: Exception = OSError("no route to host")
    n_asked = 0

    def send_messages(self, messages: Any) -> int:
        Refusing.n_asked += 1
        raise self.error


class TestDelivery:
    @pytest.fixture
    def refusing(self, settings, monkeypatch) -> type[Refusing]:
        settings.EMAIL_BACKEND = f"{__name__}.Refusing"
        monkeypatch.setattr(Refusing, "n_asked", 0)
        return Refusing

    def test_it_is_tried_five_times_and_then_said_to_be_not_delivered(self, agent, boss, refusing, clock, client):
        link = invite(agent, boss)
        for minutes in (0, 1, 5, 15, 30):
            clock.shift(dt.timedelta(minutes=minutes))
            send_sign_in_links()
            send_sign_in_links()
        link.refresh_from_db()
        assert (Refusing.n_asked, link.state, link.problem) == (5, "failed", "unreachable")
        clock.shift(dt.timedelta(days=1))
        send_sign_in_links()
        assert Refusing.n_asked == 5
        client.force_login(boss, backend="agents.sign_in.RoleBackend")
        page = client.get(reverse("admin:agents_agent_sign_in", args=[agent.pk])).content.decode()
        assert "not delivered" in page and "could not be reached" in page
        assert "mail not delivered" in client.get(reverse("admin:agents_agent_change", args=[agent.pk])).content.decode()

    def test_an_address_the_server_refuses_is_not_tried_again(self, agent, boss, refusing, monkeypatch):
        monkeypatch.setattr(Refusing, "error", smtplib.SMTPRecipientsRefused({"wang@example.com": (550, b"unknown wang")}))
        link = invite(agent, boss)
        send_sign_in_links()
        link.refresh_from_db()
        assert (link.state, link.problem, link.n_tries) == ("failed", "refused", 1)
        assert "wang" not in link.problem

    def test_a_greylisting_server_is_tried_again(self, agent, boss, refusing, monkeypatch, settings, clock):
        monkeypatch.setattr(Refusing, "error", smtplib.SMTPRecipientsRefused({"wang@example.com": (451, b"later")}))
        link = invite(agent, boss)
        send_sign_in_links()
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        clock.shift(60)
        send_sign_in_links()
        link.refresh_from_db()
        assert (link.state, len(mail.outbox)) == ("sent", 1)

    def test_two_workers_send_one_mail(self, agent, boss):
        link = invite(agent, boss)
        assert invitations.deliver(link_id=link.pk, at=timezone.now()) == "sent"
        assert invitations.deliver(link_id=link.pk, at=timezone.now()) == ""
        assert len(mail.outbox) == 1

    def test_a_mail_whose_worker_died_is_sent_by_the_timetable(self, agent, boss, clock, monkeypatch):
        invite(agent, boss)

        def die(link: SignInLink) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(invitations, "_mail", die)
            send_sign_in_links()
        send_sign_in_links()
        assert mail.outbox == [], "somebody may still be at it"
        clock.shift(121)
        send_sign_in_links()
        assert len(mail.outbox) == 1

    def test_a_link_that_ran_out_or_was_replaced_is_not_sent(self, agent, boss, clock):
        first, second = invite(agent, boss), invite(agent, boss)
        clock.shift(dt.timedelta(days=3))
        send_sign_in_links()
        assert mail.outbox == []
        first.refresh_from_db(), second.refresh_from_db()
        assert (first.state, second.state, second.problem) == ("failed", "failed", "late")

    def test_one_task_is_started_on_commit_however_many_mails_wait(
        self, account, boss, django_capture_on_commit_callbacks, monkeypatch
    ):
        """A broker that does not answer costs seconds each time; two hundred invitations would cost minutes."""
        people, started = AgentFactory.create_batch(5, account=account), []
        monkeypatch.setattr(send_sign_in_links, "apply_async", lambda **more: started.append(more))
        with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
            invitations.invite(agents=people[:4], by=boss, at=timezone.now())
            invitations.invite(agents=people[4:], by=boss, at=timezone.now())
            assert started == []
        assert started == [{"retry": False}]
        send_sign_in_links()
        assert sorted(one.to[0] for one in mail.outbox) == sorted(one.email for one in people)

    def test_a_mail_late_in_a_long_row_is_still_claimed_by_one_worker(self, account, boss, monkeypatch):
        """Each mail takes a minute here; another worker comes by while the last is being sent."""
        people, spent = AgentFactory.create_batch(4, account=account), iter(range(0, 600, 60))
        invitations.invite(agents=people, by=boss, at=timezone.now())
        monkeypatch.setattr(invitations.time, "monotonic", lambda: next(spent))
        found, send = [], invitations.EmailMultiAlternatives.send

        def slowly(message: Any, **more: Any) -> int:
            if len(mail.outbox) == 3:
                now = timezone.now() + dt.timedelta(minutes=4, seconds=1)
                last = SignInLink.objects.latest("pk")
                found.append(invitations.deliver(link_id=last.pk, at=now))
            return send(message, **more)

        monkeypatch.setattr(invitations.EmailMultiAlternatives, "send", slowly)
        assert invitations.deliver_due(at=timezone.now()) == 4
        assert (found, len(mail.outbox)) == ([""], 4)

    def test_a_broker_that_is_away_keeps_nobody(self, agent, boss, django_capture_on_commit_callbacks, monkeypatch):
        def fail(*args: Any, **more: Any) -> None:
            raise OSError("broker")

        monkeypatch.setattr(send_sign_in_links, "apply_async", fail)
        with django_capture_on_commit_callbacks(execute=True):
            invite(agent, boss)
        send_sign_in_links()
        assert len(mail.outbox) == 1


class TestAdministrators:
    @pytest.fixture
    def page(self, client, boss) -> Client:
        client.force_login(boss, backend="agents.sign_in.RoleBackend")
        return client

    def form(self, account: Any, **changes: Any) -> dict[str, Any]:
        role = Role.objects.get(account=account, kind=Role.Kind.AGENT)
        form = {"name": "Li Na", "staff_id": "2001", "role": role.pk, "cellphone_pickup": "off", "email": "li@example.com"}
        form |= {"new_password": "", "is_active": "on"}
        for prefix in ("memberships", "phones"):
            form |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
        return form | changes

    def test_adding_somebody_without_a_password_invites_them(self, page, account):
        answer = page.post(reverse("admin:agents_agent_add"), self.form(account))
        assert answer.url == reverse("admin:agents_agent_changelist")
        person = Agent.objects.get(account=account, staff_id="2001")
        assert not person.has_usable_password()
        send_sign_in_links()
        assert mail.outbox[0].to == ["li@example.com"]
        assert "Invited" in page.get(reverse("admin:agents_agent_changelist")).content.decode()

    def test_adding_somebody_with_a_password_sends_nothing(self, page, account):
        page.post(reverse("admin:agents_agent_add"), self.form(account, new_password=NEW))
        assert not SignInLink.objects.exists()
        assert can_sign_in(Agent.objects.get(staff_id="2001"), NEW)

    def test_without_a_mail_server_the_link_is_handed_over(self, page, account, settings):
        settings.MAIL_IS_SET = False
        answer = page.post(reverse("admin:agents_agent_add"), self.form(account))
        person = Agent.objects.get(account=account, staff_id="2001")
        address = reverse("admin:agents_agent_sign_in", args=[person.pk])
        assert answer.url == address
        shown = page.get(address).content.decode()
        assert "No mail server" in shown and "?key=" not in shown
        handed = page.post(address, {"do": "show"})
        assert "no-store" in handed.headers["Cache-Control"]
        key = key_in(handed.content.decode().partition("<code")[2].partition("</code>")[0] + " ")
        set_password(Client(), key)
        assert can_sign_in(person, NEW)
        assert get_logentry_model().objects.filter(object_id=person.pk, changes__sign_in_link=["", "shown"]).count() == 1
        kept = repr(list(get_logentry_model().objects.values("changes", "additional_data")))
        assert key not in kept

    def test_a_link_that_a_mail_brought_is_shown_to_nobody_else(self, page, agent, boss):
        invite(agent, boss)
        send_sign_in_links()
        answer = page.post(reverse("admin:agents_agent_sign_in", args=[agent.pk]), {"do": "show"}, follow=True)
        assert "?key=" not in answer.content.decode()

    def test_links_are_sent_again_and_to_many_at_once(self, page, account, agent):
        second = AgentFactory(account=account)
        page.post(reverse("admin:agents_agent_sign_in", args=[agent.pk]), {"do": "invitation"})
        page.post(
            reverse("admin:agents_agent_changelist"),
            {"action": "send_reset_links", "_selected_action": [agent.pk, second.pk]},
        )
        made = {(link.agent_id, link.kind) for link in SignInLink.objects.all()}
        assert made == {(agent.pk, "invitation"), (agent.pk, "reset"), (second.pk, "reset")}

    def test_all_of_them_or_none(self, page, account, boss, agent):
        gone = AgentFactory(account=account, is_active=False)
        for who in (boss, gone):
            page.post(
                reverse("admin:agents_agent_changelist"),
                {"action": "send_invitations", "_selected_action": [agent.pk, who.pk]},
            )
        assert not SignInLink.objects.exists()

    def test_nobody_sends_a_link_to_who_may_more(self, client, account, boss, agent):
        role = Role.objects.create(
            account=account,
            name="Clerk",
            permissions=["agents.enter_admin", "agents.view_agent", "agents.change_agent"],
            data_scope=Role.DataScope.ACCOUNT,
        )
        clerk = AgentFactory(account=account, role=role)
        client.force_login(clerk, backend="agents.sign_in.RoleBackend")
        address = reverse("admin:agents_agent_sign_in", args=[boss.pk])
        assert client.get(address).status_code == 403
        for what in ("reset", "invitation", "show"):
            assert client.post(address, {"do": what}).status_code == 403
        client.post(reverse("admin:agents_agent_changelist"), {"action": "send_reset_links", "_selected_action": [boss.pk]})
        assert not SignInLink.objects.exists()

    def test_a_person_of_another_account_is_nobody(self, page):
        stranger = AgentFactory()
        answer = page.post(reverse("admin:agents_agent_sign_in", args=[stranger.pk]), {"do": "reset"}, follow=True)
        assert "There is no such record" in answer.content.decode()
        page.post(reverse("admin:agents_agent_changelist"), {"action": "send_reset_links", "_selected_action": [stranger.pk]})
        assert not SignInLink.objects.exists()

    def test_ones_own_sign_in_is_elsewhere(self, page, boss):
        assert page.get(reverse("admin:agents_agent_sign_in", args=[boss.pk])).url == "/sign-in/"


def test_old_links_are_deleted_with_the_other_traces_of_signing_in(agent, boss):
    old, fresh = invite(agent, boss), invite(agent, boss)
    week = dt.timedelta(days=7)
    SignInLink.objects.filter(pk=old.pk).update(created_at=timezone.now() - week - dt.timedelta(seconds=1))
    SignInLink.objects.filter(pk=fresh.pk).update(created_at=timezone.now() - week)
    assert erase_sign_in_traces(at=timezone.now(), failed_before=timezone.now() - week) >= 1
    assert list(SignInLink.objects.values_list("pk", flat=True)) == [fresh.pk]
