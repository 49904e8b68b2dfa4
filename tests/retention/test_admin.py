"""The page of purge runs."""

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from configuration.models import Role
from retention.models import PurgeRun
from tests.factories import AccountFactory, AgentFactory

LIST = reverse("admin:retention_purgerun_changelist")


@pytest.fixture
def chief(account, client):
    chief = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(chief, backend="agents.sign_in.RoleBackend")
    return chief


def make_run(account, **fields):
    now = timezone.now()
    return PurgeRun.objects.create(
        account=account,
        started_at=now,
        finished_at=now + dt.timedelta(seconds=75),
        **{"state": "done", "cutoff": now.date()} | fields,
    )


def test_the_list_says_in_words_what_went(account, chief, client, django_assert_max_num_queries):
    for n in range(1, 20):
        make_run(account, counts={"calls": 1200 + n, "files": 1, "sealed": 3, "intervals": 0})
    make_run(account, state="failed", counts={}, error="2 files could not be deleted; their calls stay until they can")
    with django_assert_max_num_queries(8):
        page = client.get(LIST).content.decode()
    assert "1,201 calls, 1 file, 3 calls sealed" in page
    assert "interval" not in page
    assert "2 files could not be deleted" in page
    assert "nothing was due" in page


def test_without_a_run_the_page_says_what_will_happen(account, chief, client):
    assert "calls that ended more than 6 calendar months ago are deleted" in client.get(LIST).content.decode()


def test_runs_are_read_only_and_of_the_own_account(account, chief, client):
    mine, theirs = make_run(account, counts={"legs": 7}), make_run(AccountFactory(), counts={"legs": 8})
    assert "8 legs" not in client.get(LIST).content.decode()
    assert "7 legs" in client.get(reverse("admin:retention_purgerun_change", args=[mine.pk])).content.decode()
    assert client.get(reverse("admin:retention_purgerun_change", args=[theirs.pk])).status_code == 302
    for url in (reverse("admin:retention_purgerun_add"), reverse("admin:retention_purgerun_delete", args=[mine.pk])):
        assert client.post(url, {"post": "yes"}).status_code == 403
    assert PurgeRun.objects.count() == 2
