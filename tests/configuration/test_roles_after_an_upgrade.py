"""Roles of accounts that were there before a new version have the permissions that it knows."""

import pytest
from django.core.management import call_command

from configuration.access import ROLE_PERMISSIONS
from configuration.models import Role
from tests.factories import AccountFactory


@pytest.mark.django_db
def test_migrating_brings_built_in_roles_up_to_date_and_leaves_custom_ones_alone():
    account = AccountFactory()
    Role.objects.filter(account=account, kind=Role.Kind.AGENT).update(permissions=[], data_scope="account")
    custom = Role.objects.create(account=account, name="Night shift", permissions=["calls.view_call"])

    call_command("migrate", verbosity=0)

    agent = Role.objects.get(account=account, kind=Role.Kind.AGENT)
    assert (set(agent.permissions), agent.data_scope) == (ROLE_PERMISSIONS[Role.Kind.AGENT], Role.DataScope.OWN)
    custom.refresh_from_db()
    assert custom.permissions == ["calls.view_call"]
