"""The list of what a new account still needs: who sees it, what ticks it off, and when it goes."""

import datetime as dt

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.getting_started import steps_for
from configuration.api_keys import create_api_key
from configuration.models import ApiKey, BreakReason, Role
from tests.factories import AccountFactory, AgentFactory, MemberFactory, ServiceNumberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def done(boss) -> list[bool]:
    return [step.is_done for step in steps_for(boss)]


def test_each_step_is_ticked_off_by_what_it_asks_for_and_the_list_goes_with_the_last(account, boss, client):
    client.force_login(boss, backend="agents.sign_in.RoleBackend")
    assert done(boss) == [False] * 6
    address = reverse("admin:configuration_account_change", args=[account.pk])
    form = client.get(address).context["adminform"].form
    client.post(address, {name: form.initial.get(name, "") for name in form.fields})
    assert done(boss) == [True] + [False] * 5
    group = SkillGroupFactory(account=account)
    assert done(boss) == [True, True] + [False] * 4
    member = MemberFactory(skill_group=group)
    assert done(boss) == [True] * 3 + [False] * 3
    number = ServiceNumberFactory(account=account)
    BreakReason.objects.create(account=account, name="Meal")
    assert done(boss) == [True] * 5 + [False]
    key, _text = create_api_key(account=account, name="PBX", scopes=[ApiKey.Scope.EVENTS_WRITE])
    assert done(boss) == []
    for row, change in [
        (member.agent, {"is_active": False}),
        (number, {"is_active": False}),
        (key, {"expires_at": timezone.now() - dt.timedelta(seconds=1)}),
        (key, {"expires_at": None, "revoked_at": timezone.now()}),
    ]:
        before = {name: getattr(row, name) for name in change}
        type(row).objects.filter(pk=row.pk).update(**change)
        assert done(boss).count(False) == 1
        type(row).objects.filter(pk=row.pk).update(**before)
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=None)


def test_what_another_account_has_ticks_nothing_off(boss):
    other = AccountFactory()
    SkillGroupFactory(account=other)
    ServiceNumberFactory(account=other)
    assert done(boss) == [False] * 6


@pytest.mark.parametrize("kind", [Role.Kind.SUPERVISOR, Role.Kind.INSPECTOR, Role.Kind.AGENT])
def test_only_who_may_do_it_all_sees_it(account, kind):
    assert steps_for(AgentFactory(account=account, kind=kind)) == []


def test_it_costs_the_front_page_one_query(boss, django_assert_num_queries):
    steps_for(boss)  # the content type is remembered
    with django_assert_num_queries(1):
        assert len(steps_for(boss)) == 6


def test_it_stands_on_the_front_page_with_links_that_open(boss):
    client = Client()
    client.force_login(boss, backend="agents.sign_in.RoleBackend")
    text = client.get("/admin/", follow=True).content.decode()
    for step in steps_for(boss):
        assert f'href="{step.address}"' in text
        assert client.get(step.address, follow=True).status_code == 200
