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
from callcenter_site.audit import log_rows
from callcenter_site.bulk import insert_rows, parts
from callcenter_site.erasure import delete_rows
from configuration.models import AuditEntry, Role
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
    there: dict[int, SkillGroupMember] = {}
    going: list[SkillGroupMember] = []
    for member in held.order_by("pk").select_for_update():
        if member.skill_group_id == skill_group.pk:
            there[member.agent_id] = member
        elif move == Move.MOVE:
            going.append(member)
    if move == Move.REMOVE:
        going += there.values()
        _delete(going, by)
        return len(going)
    coming = [agent.pk for agent in people if agent.pk not in there]
    other = [member for member in there.values() if member.priority != priority]
    _delete(going, by)
    _create(coming, skill_group, priority, by)
    for part in parts(other):
        SkillGroupMember.objects.filter(pk__in=[member.pk for member in part]).order_by().update(priority=priority)
    for was in sorted({member.priority for member in other}):
        ids = [member.pk for member in other if member.priority == was]
        said = {"priority": (was, priority)}
        log_rows(SkillGroupMember, ids, actor=by, action=AuditEntry.Action.UPDATE, changes=said)
    return len({member.agent_id for member in (*going, *other)} | set(coming))


_COLUMNS = ("account_id", "skill_group_id", "agent_id", "priority")


def _create(agent_ids: list[int], group: SkillGroup, priority: int, by: Actor) -> None:
    """Maybe thousands at once, with the entries that saving each of them would leave."""
    insert_rows(SkillGroupMember, _COLUMNS, [(group.account_id, group.pk, pk, priority) for pk in agent_ids])
    for part in parts(agent_ids):
        rows = SkillGroupMember.objects.filter(skill_group=group, agent__in=part).order_by()
        made = dict(rows.values_list("agent_id", "pk"))
        said = [{"skill_group": (None, group.pk), "agent": (None, pk), "priority": (None, priority)} for pk in part]
        log_rows(SkillGroupMember, [made[pk] for pk in part], actor=by, action=AuditEntry.Action.CREATE, changes=said)


def _delete(members: list[SkillGroupMember], by: Actor) -> None:
    for part in parts(members):
        ids = [member.pk for member in part]
        said = [
            {"skill_group": (one.skill_group_id, None), "agent": (one.agent_id, None), "priority": (one.priority, None)}
            for one in part
        ]
        log_rows(SkillGroupMember, ids, actor=by, action=AuditEntry.Action.DELETE, changes=said)
        delete_rows(SkillGroupMember.objects.filter(pk__in=ids))


def require_movable(agents: Iterable[Agent], *, by: Actor) -> None:
    """Raises `ValidationError` for somebody who sees by their groups, and may do more than `by`."""
    if any(_sees_by_group(agent) and not is_oneself(by, agent) and not may_manage(by, agent) for agent in agents):
        raise ValidationError(_("You cannot change what somebody sees who may do more than you."))


def _sees_by_group(agent: Agent) -> bool:
    return agent.data_scope == Role.DataScope.GROUPS
