"""Who may appoint, change and dismiss whom.

Nobody gives more than they hold, nobody changes their own role, nobody changes a person who may more than they do
(their password would be a way up), and an account never loses its last administrator.
"""

import datetime as dt
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, Status, StatusChange
from agents.presence import change_status
from configuration.access import may_give_role
from configuration.models import Account, Role


def may_manage(actor: Agent, agent: Agent) -> bool:
    """Whether an actor may change another person: their role must hold nothing that the actor lacks."""
    return agent.pk != actor.pk and (agent.role is None or may_give_role(actor, agent.role))


def require_an_administrator(account: Account, *, besides: Iterable[int]) -> None:
    """Raises `ValidationError` if nobody but these people can administer the account.

    Called inside the transaction that takes the office away. The account's row is locked, so that two administrators
    who dismiss each other at the same moment do not both succeed.
    """
    Account.objects.select_for_update().get(pk=account.pk)
    left = Agent.objects.for_account(account).filter(role__kind=Role.Kind.ADMINISTRATOR, is_active=True)
    if not left.exclude(pk__in=list(besides)).exists():
        raise ValidationError(_("The account needs an active administrator: appoint another one first."))


@transaction.atomic
def deactivate_agents(*, agents: Iterable[Agent], by: Agent, at: dt.datetime) -> list[Agent]:
    """Ends people's access and takes them offline; returns those who were active. All of them or none.

    Raises `ValidationError` for oneself, for somebody who may more than `by`, and for the last administrator.
    """
    leaving = [agent for agent in agents if agent.is_active]
    for agent in leaving:
        if agent.pk == by.pk:
            raise ValidationError(_("You cannot deactivate yourself."))
        if not may_manage(by, agent):
            raise ValidationError(_("You cannot deactivate somebody who may do more than you."))
    if by.account is not None and any(_administers(agent) for agent in leaving):
        require_an_administrator(by.account, besides=[agent.pk for agent in leaving])
    for agent in leaving:
        agent.is_active = False
        agent.save(update_fields=["is_active"])
        take_offline(agent, at=at)
    return leaving


def take_offline(agent: Agent, *, at: dt.datetime) -> None:
    if agent.status != Status.OFFLINE:
        change_status(agent=agent, status=Status.OFFLINE, at=at, source=StatusChange.Source.SUPERVISOR)


def _administers(agent: Agent) -> bool:
    return agent.role is not None and agent.role.kind == Role.Kind.ADMINISTRATOR
