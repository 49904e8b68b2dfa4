"""Rows in few words."""

from typing import Any

import factory
from factory.django import DjangoModelFactory

from agents.models import Agent, SkillGroup, SkillGroupMember
from configuration.access import create_built_in_roles
from configuration.models import Account, Role, ServiceNumber

PASSWORD = "correct horse battery"


class AccountFactory(DjangoModelFactory):
    class Meta:
        model = Account
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Account {n}")
    slug = factory.Sequence(lambda n: f"account-{n}")
    time_zone = "Asia/Shanghai"
    region = "CN"

    @factory.post_generation
    def roles(self: Account, create: bool, extracted: Any, **kwargs: Any) -> None:
        create_built_in_roles(self)


class AgentFactory(DjangoModelFactory):
    """`AgentFactory(account=…, kind=Role.Kind.SUPERVISOR)`; signs in with PASSWORD."""

    class Meta:
        model = Agent
        exclude = ["kind"]
        skip_postgeneration_save = True

    account = factory.SubFactory(AccountFactory)
    kind = Role.Kind.AGENT
    role = factory.LazyAttribute(lambda o: Role.objects.get(account=o.account, kind=o.kind))
    staff_id = factory.Sequence(lambda n: f"{1000 + n}")
    email = factory.Sequence(lambda n: f"agent{n}@example.com")
    name = factory.Sequence(lambda n: f"Agent {n}")

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> Agent:
        agent = model_class(*args, **kwargs)
        agent.set_password(PASSWORD)
        agent.save()
        return agent


class SkillGroupFactory(DjangoModelFactory):
    class Meta:
        model = SkillGroup

    account = factory.SubFactory(AccountFactory)
    name = factory.Sequence(lambda n: f"Group {n}")


class MemberFactory(DjangoModelFactory):
    class Meta:
        model = SkillGroupMember

    skill_group = factory.SubFactory(SkillGroupFactory)
    agent = factory.LazyAttribute(lambda o: AgentFactory(account=o.skill_group.account))
    account = factory.LazyAttribute(lambda o: o.skill_group.account)


class ServiceNumberFactory(DjangoModelFactory):
    class Meta:
        model = ServiceNumber

    account = factory.SubFactory(AccountFactory)
    number = factory.Sequence(lambda n: f"+8610555{n:05d}")
