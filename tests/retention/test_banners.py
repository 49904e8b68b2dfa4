"""What must not be overlooked is said on every page, to those who may act on it, and by mail once."""

import datetime as dt

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from configuration.models import Role
from retention import purge
from retention.models import BackupObject, DeletionRequest, PurgeRun
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:configuration_keyword_changelist")
OVERDUE, WAITS, BAD = "1 deletion request is overdue.", "A purge waits for your confirmation", "Some backups could not be made"


def in_trouble(account):
    now = timezone.now()
    DeletionRequest.objects.create(
        account=account,
        kind="number",
        state="received",
        received_at=now - dt.timedelta(days=31),
        due_at=now - dt.timedelta(days=1),
        subject_hash=b"x" * 32,
    )
    PurgeRun.objects.create(account=account, state="waiting", n_due=900)
    BackupObject.objects.create(account=account, kind="calls", day=now.date(), error="shrunk")


def seen_by(client, account, kind):
    client.force_login(AgentFactory(account=account, kind=kind), backend="agents.sign_in.RoleBackend")
    return client.get(PAGE).content.decode()


def test_administrators_are_told_on_any_page_and_others_are_not(account, client):
    in_trouble(account)
    page = seen_by(client, account, Role.Kind.ADMINISTRATOR)
    assert all(text in page for text in (OVERDUE, WAITS, BAD))
    page = seen_by(client, account, Role.Kind.SUPERVISOR)
    assert not any(text in page for text in (OVERDUE, WAITS, BAD))


def test_another_accounts_trouble_is_not_told(account, client):
    in_trouble(AccountFactory())
    page = seen_by(client, account, Role.Kind.ADMINISTRATOR)
    assert not any(text in page for text in (OVERDUE, WAITS, BAD))


def test_all_of_it_costs_one_query(account, client, django_assert_num_queries):
    quiet = AccountFactory()
    in_trouble(account)
    counts = []
    for one in (quiet, account):
        client.force_login(AgentFactory(account=one, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
        client.get(PAGE)
        with django_assert_num_queries(6) as asked:
            client.get(PAGE)
        counts.append(sum("deletionrequest" in query["sql"] for query in asked.captured_queries))
    assert counts == [1, 1]


def test_a_run_that_waits_is_mailed_once_until_it_is_confirmed(account):
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    run = PurgeRun.objects.create(account=account, state="waiting", n_due=900)
    at = timezone.now()
    assert purge.tell_that_it_waits(run, account, at=at)
    assert not purge.tell_that_it_waits(run, account, at=at)
    assert [one.to for one in mail.outbox] == [[boss.email]]
    assert "900" in mail.outbox[0].body and reverse("admin:retention_purgerun_change", args=[run.pk]) in mail.outbox[0].body
    purge.confirm(run=run, by=boss, at=at)
    PurgeRun.objects.filter(pk=run.pk).update(state="waiting")  # it grew since, and waits again
    assert purge.tell_that_it_waits(run, account, at=at)


def test_where_the_mail_server_is_away_the_next_run_tells(account, monkeypatch):
    AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    run = PurgeRun.objects.create(account=account, state="waiting", n_due=900)

    def away(**kwargs):
        raise ConnectionRefusedError

    with monkeypatch.context() as patched:
        patched.setattr(purge.telling, "tell_administrators", away)
        assert not purge.tell_that_it_waits(run, account, at=timezone.now())
    assert purge.tell_that_it_waits(run, account, at=timezone.now())
    assert len(mail.outbox) == 1
