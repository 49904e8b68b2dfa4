"""Questions about people, in the field's words."""

from typing import TYPE_CHECKING, Any, Self

from django.contrib.auth.base_user import BaseUserManager
from django.db.models import Q

from configuration.models import Role
from configuration.scoping import AccountQuerySet, Actor

if TYPE_CHECKING:
    from agents.models import Agent


def sees_account(actor: Actor) -> bool:
    """Whether an actor's data scope is the whole account. API keys have no narrower scope."""
    return getattr(actor, "data_scope", Role.DataScope.OWN) == Role.DataScope.ACCOUNT


class AgentManager(BaseUserManager["Agent"]):
    def get_by_natural_key(self, username: str | None) -> "Agent":
        from agents.models import email_index  # the model imports its querysets

        return self.select_related("account", "role", "authenticator").get(email_hash=email_index(username or ""))

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "Agent":
        """An operator: runs the installation, belongs to no account."""
        operator = self.model(email=email, is_superuser=True, staff_id="", **fields)
        operator.set_password(password)
        operator.save(using=self._db)
        return operator


class AgentQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        if sees_account(actor):
            return rows
        if getattr(actor, "data_scope", None) == Role.DataScope.GROUPS:
            return rows.filter(pk__in=_colleagues(actor)) | rows.filter(pk=actor.pk)  # type: ignore[attr-defined]
        return rows.filter(pk=actor.pk)  # type: ignore[attr-defined]


class SkillGroupQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.filter(pk__in=own_groups(actor))


class OfAgentQuerySet(AccountQuerySet):
    """Rows that belong to one agent each: seen by whoever sees the agent."""

    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        if sees_account(actor):
            return rows
        if getattr(actor, "data_scope", None) == Role.DataScope.GROUPS:
            return rows.filter(Q(agent_id__in=_colleagues(actor)) | Q(agent_id=actor.pk))  # type: ignore[attr-defined]
        return rows.filter(agent_id=actor.pk)  # type: ignore[attr-defined]


def own_groups(actor: Actor) -> Any:
    """Ids of the skill groups an actor is a member of, as a subquery."""
    from agents.models import SkillGroupMember  # the models import their querysets

    return SkillGroupMember.objects.filter(account_id=actor.account_id, agent_id=actor.pk).values("skill_group_id")  # type: ignore[attr-defined,misc]


def _colleagues(actor: Actor) -> Any:
    from agents.models import SkillGroupMember  # the models import their querysets

    return SkillGroupMember.objects.filter(account_id=actor.account_id, skill_group_id__in=own_groups(actor)).values("agent_id")  # type: ignore[attr-defined,misc]
