"""People of one account, and the pages as they see them."""

from collections.abc import Callable

import pytest
from django.test import Client

from agents.models import Agent, SkillGroup
from configuration.models import Account, Role
from tests.factories import AgentFactory, MemberFactory, SkillGroupFactory


def as_person(person: Agent) -> Client:
    client = Client()
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return client


@pytest.fixture
def group(account: Account) -> SkillGroup:
    return SkillGroupFactory(account=account, name="Sales")


@pytest.fixture
def agent(account: Account, group: SkillGroup) -> Agent:
    person = AgentFactory(account=account, name="Wang Fang", staff_id="A7")
    MemberFactory(skill_group=group, agent=person)
    return person


@pytest.fixture
def boss(account: Account) -> Agent:
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, name="Chen Wei")


@pytest.fixture
def supervisor(account: Account, group: SkillGroup) -> Agent:
    person = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    MemberFactory(skill_group=group, agent=person)
    return person


@pytest.fixture
def page(boss: Agent) -> Client:
    return as_person(boss)


@pytest.fixture
def sign_in() -> Callable[[Agent], Client]:
    return as_person
