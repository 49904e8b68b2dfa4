"""The list of backups and the line on the privacy page say how backups are, and name no other account's."""

import pytest
from django.urls import reverse

from configuration.models import Role
from retention.backups.night import back_up
from retention.models import BackupObject
from tests.factories import AccountFactory, AgentFactory
from tests.retention.backup_rows import AT, fill

pytestmark = pytest.mark.django_db
LIST = reverse("admin:retention_backupobject_changelist")


@pytest.fixture
def administrator(account, client):
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
    return client


def test_the_list_says_what_was_read_back_and_what_failed(account, administrator, django_assert_max_num_queries):
    fill(account)
    back_up(account=account, at=AT)
    BackupObject.objects.filter(kind="calls").update(error="shrunk")
    with django_assert_max_num_queries(12):
        page = administrator.get(LIST).content.decode()
    assert "verified" in page
    assert "Rows are gone that nobody asked to delete" in page
    assert "manifest" not in page
    row = BackupObject.objects.get(kind="calls")
    assert row.sha256 in administrator.get(reverse("admin:retention_backupobject_change", args=[row.pk])).content.decode()
    assert "Some backups could not be made or read back" in administrator.get(reverse("retention:privacy")).content.decode()


def test_another_account_s_backups_are_not_there(account, administrator):
    other = AccountFactory()
    back_up(account=other, at=AT)
    theirs = BackupObject.objects.exclude(kind="manifest").first()
    assert str(theirs.day) not in administrator.get(LIST).content.decode()
    assert administrator.get(reverse("admin:retention_backupobject_change", args=[theirs.pk])).status_code == 302
    assert "None yet. It runs an hour after" in administrator.get(reverse("retention:privacy")).content.decode()
