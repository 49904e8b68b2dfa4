"""Who may appoint, change and dismiss whom.

Nobody gives more than they hold, nobody changes their own role, nobody changes a person who may more than they do
(their password would be a way up), and an account never loses its last administrator.
"""

import datetime as dt
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, AgentPhone, Status, StatusChange, email_index
from agents.presence import change_status
from configuration.access import may_give_role
from configuration.models import Account, Role
from configuration.scoping import Actor


def may_manage(actor: Actor, agent: Agent) -> bool:
    """Whether a person or a key may change another person: their role must hold nothing that the actor lacks."""
    return not is_oneself(actor, agent) and (agent.role is None or may_give_role(actor, agent.role))


def is_oneself(actor: Actor, agent: Agent) -> bool:
    return agent.pk is not None and agent.pk == getattr(actor, "pk", None)


def appoint(*, agent: Agent, role: Role, by: Actor) -> None:
    """Gives a person a role. The caller saves them, in the same transaction.

    Raises `ValidationError` on `role` for one's own, for one that may more than `by`, and for the last administrator's.
    """
    if agent.role_id == role.pk:
        return
    if is_oneself(by, agent):
        raise ValidationError({"role": _("You cannot change your own role.")})
    if not may_give_role(by, role):
        raise ValidationError({"role": _("You can give only a role that may do no more than you.")})
    try:
        keep_an_administrator(agent, role=role, is_active=agent.is_active)
    except ValidationError as error:
        raise ValidationError({"role": error.messages}) from error
    agent.role = role


EMAIL_CANNOT_BE_USED = _("This email cannot be used.")
OWN_EMAIL_IS_ELSEWHERE = _("Change your own email under “Your sign-in”, where your password is asked for.")
NUMBER_IN_USE = _("This is in use already.")


def holders_of_emails(emails: Iterable[str]) -> dict[bytes, int]:
    """Whose login emails these are, by their keyed hash: an email is unique in the whole installation."""
    rows = Agent._base_manager.filter(email_hash__in={email_index(email) for email in emails})
    return {bytes(digest): pk for digest, pk in rows.values_list("email_hash", "pk")}


def require_free_email(email: str, *, agent: Agent) -> None:
    """Raises `ValidationError` on `email` where somebody else has it; the message is the same whoever that is."""
    if set(holders_of_emails([email]).values()) - {agent.pk}:
        raise ValidationError({"email": EMAIL_CANNOT_BE_USED})


def phones_held(phones: Iterable[AgentPhone]) -> dict[tuple[str, bytes], AgentPhone]:
    """Rows of their account that hold such a number already, by kind and keyed hash: a number of a kind is one person's."""
    asked = list(phones)
    rows = AgentPhone._base_manager.filter(
        account_id__in={phone.account_id for phone in asked}, number_hash__in={phone.number_hash for phone in asked}
    )
    return {(row.kind, bytes(row.number_hash)): row for row in rows.only("kind", "number_hash", "agent_id")}


def keep_an_administrator(agent: Agent, *, role: Role | None, is_active: bool, besides: Iterable[int] = ()) -> bool:
    """Whether somebody who administers their account does so no more once they have this role and are active or not.

    `agent` is as they are in the database. Raises `ValidationError` if then nobody is left, counted without `besides`.
    """
    if agent.account is None or not agent.is_active or not administers(agent.role) or (is_active and administers(role)):
        return False
    require_an_administrator(agent.account, besides=[*besides, agent.pk])
    return True


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
def deactivate_agents(*, agents: Iterable[Agent], by: Actor, at: dt.datetime) -> list[Agent]:
    """Ends people's access and takes them offline; returns those who were active. All of them or none.

    Raises `ValidationError` for oneself, for somebody who may more than `by`, and for the last administrator.
    """
    leaving = [agent for agent in agents if agent.is_active]
    for agent in leaving:
        if is_oneself(by, agent):
            raise ValidationError(_("You cannot deactivate yourself."))
        if not may_manage(by, agent):
            raise ValidationError(_("You cannot deactivate somebody who may do more than you."))
    account = next((agent.account for agent in leaving if administers(agent.role)), None)
    if account is not None:
        require_an_administrator(account, besides=[agent.pk for agent in leaving])
    for agent in leaving:
        agent.is_active = False
        agent.save(update_fields=["is_active"])
        take_offline(agent, at=at)
    return leaving


@transaction.atomic
def reactivate_agents(*, agents: Iterable[Agent], by: Actor) -> list[Agent]:
    """Lets people in again; returns those who were not active. All of them or none.

    Raises `ValidationError` for somebody who may more than `by`.
    """
    returning = [agent for agent in agents if not agent.is_active]
    if not all(may_manage(by, agent) for agent in returning):
        raise ValidationError(_("You cannot activate somebody who may do more than you."))
    for agent in returning:
        agent.is_active = True
        agent.save(update_fields=["is_active"])
    return returning


def take_offline(agent: Agent, *, at: dt.datetime) -> None:
    if agent.status != Status.OFFLINE:
        change_status(agent=agent, status=Status.OFFLINE, at=at, source=StatusChange.Source.SUPERVISOR)


def administers(role: Role | None) -> bool:
    return role is not None and role.kind == Role.Kind.ADMINISTRATOR
