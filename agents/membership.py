"""Who is in which skill group, changed for many people at once.

Somebody whose data scope is their own skill groups sees more with every group they are in. So only who may manage
them puts them into one, and nobody reaches a group they do not see themselves.
"""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from agents.appointment import is_oneself, may_manage
from agents.models import Agent, SkillGroup, SkillGroupMember
from configuration.models import Role
from configuration.scoping import Actor

ALREADY_IN_GROUP = _("This agent is in the skill group already.")


class Move(models.TextChoices):
    ADD = "add", _("Add to the skill group")
    MOVE = "move", _("Move to the skill group, out of all others")
    REMOVE = "remove", _("Remove from the skill group")


@transaction.atomic
def move_agents(*, agents: Iterable[Agent], skill_group: SkillGroup, move: str, priority: int = 3, by: Actor) -> int:
    """Puts people into a skill group or out of it; for how many that changed something. All of them or none.

    Who is in the group already gets the priority. Moving leaves alone the groups that `by` does not see.
    """
    # Locked in one order for everybody: two who move the same people wait for each other.
    locked = Agent.objects.filter(pk__in=[agent.pk for agent in agents]).order_by("pk").select_for_update()
    people = list(locked.prefetch_related("role"))
    seen = set(SkillGroup.objects.visible_to(by).values_list("pk", flat=True))
    if skill_group.pk not in seen or any(agent.account_id != skill_group.account_id for agent in people):
        raise ValidationError(_("There is no such skill group."))
    require_movable(people, by=by)
    held = SkillGroupMember.objects.for_account(skill_group.account_id).filter(agent__in=people, skill_group__in=seen)
    changed: set[int] = set()
    there: dict[int, SkillGroupMember] = {}
    for member in held.order_by("pk").select_for_update():
        if member.skill_group_id == skill_group.pk:
            there[member.agent_id] = member
        elif move == Move.MOVE:
            member.delete()
            changed.add(member.agent_id)
    for agent in people:
        if move == Move.REMOVE:
            if (member := there.get(agent.pk)) is not None:
                member.delete()
                changed.add(agent.pk)
        elif (member := there.get(agent.pk)) is None:
            SkillGroupMember.objects.create(
                account_id=skill_group.account_id, skill_group=skill_group, agent=agent, priority=priority
            )
            changed.add(agent.pk)
        elif member.priority != priority:
            member.priority = priority
            member.save(update_fields=["priority"])
            changed.add(agent.pk)
    return len(changed)


def require_movable(agents: Iterable[Agent], *, by: Actor) -> None:
    """Raises `ValidationError` for somebody who sees by their groups, and may do more than `by`."""
    if any(_sees_by_group(agent) and not is_oneself(by, agent) and not may_manage(by, agent) for agent in agents):
        raise ValidationError(_("You cannot change what somebody sees who may do more than you."))


def _sees_by_group(agent: Agent) -> bool:
    return agent.data_scope == Role.DataScope.GROUPS
