"""An agent's own desk: what it says about them, and what they may choose there.

Everything in the state is in the reader's language and the account's time, so the page only shows it. Moments stand
beside the moment the state was made, both by the portal's clock: a wrong clock of a computer changes no timer.
"""

import datetime as dt
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from agents.models import Agent, SkillGroupMember, Status, StatusChange
from agents.presence import DESK, break_reasons, change_status, current_status, plan_break, see_agent
from configuration.access import SET_STATUS
from configuration.models import Role

AT_WORK = (Status.AVAILABLE, Status.BUSY, Status.WRAP_UP)
"""In which a break can be planned for after the call."""
BACK_WITHIN = dt.timedelta(hours=4)
"""For so long somebody whose page fell silent is told of it; later it is simply another day."""
MOST_NAMES = 3
Source = StatusChange.Source


def choose_status(*, agent: Agent, status: str, reason: str, at: dt.datetime) -> StatusChange:
    """What an agent picks at the desk. Raises `ValidationError`; only a break has a reason."""
    see_agent(agent=agent, at=at)
    said = reason if status == Status.BREAK else ""
    return change_status(agent=agent, status=status, reason=said, terminal=DESK, source=Source.AGENT, at=at)


def choose_break_after_call(*, agent: Agent, reason: str) -> None:
    """As `plan_break`; without a reason, the first of the account's."""
    plan_break(agent=agent, reason=reason or next(iter(break_reasons(agent.account_id)), ""))


def leave_desk(*, agent: Agent, at: dt.datetime) -> None:
    """Takes whoever signs out offline, unless they work elsewhere than at the desk."""
    now = current_status(agent)
    if now is not None and now.status != Status.OFFLINE and now.terminal == DESK:
        change_status(agent=agent, status=Status.OFFLINE, source=Source.AGENT, terminal=DESK, at=at)


def desk_state(*, agent: Agent, at: dt.datetime) -> dict[str, Any]:
    """All the page shows of its agent."""
    now = current_status(agent)
    is_forced = agent.forced_offline_at is not None
    return {
        "agent": agent.pk,
        "at": _milliseconds(at),
        "status": agent.status,
        "label": Status(agent.status).label,
        "reason": agent.status_reason,
        "since": _milliseconds(agent.status_since),
        "since_text": _("since %(time)s") % {"time": _clock(agent.status_since, at)},
        "note": _note(now, agent, at) if not is_forced else "",
        "forced": _forced(agent, at),
        "silent": None if is_forced else _silent(now, at),
        "wrap_up_until": _milliseconds(agent.wrap_up_until) if agent.status == Status.WRAP_UP and agent.wrap_up_until else None,
        "can_plan_break": not is_forced and agent.status in AT_WORK,
        "break_planned": agent.break_after_call,
        "break_reason": agent.break_after_call_reason,
    }


def _note(now: StatusChange | None, agent: Agent, at: dt.datetime) -> str:
    """Who set the status, where it was not the agent."""
    if now is None or now.status != agent.status:
        return ""
    if now.source == Source.SUPERVISOR:
        return _("Set by a supervisor.")
    if now.source == Source.API or (now.source == Source.EVENT and now.status != Status.WRAP_UP):
        return _("Set by the telephone system.")
    return ""


def _forced(agent: Agent, at: dt.datetime) -> dict[str, str] | None:
    if agent.forced_offline_at is None:
        return None
    names = whom_to_ask(agent)
    whom = _("To come back, ask %(names)s.") % {"names": _listed(names)} if names else _("To come back, ask your supervisor.")
    return {
        "title": _("A supervisor has taken you offline"),
        "text": _("Since %(time)s you get no calls, and no status can be set.") % {"time": _clock(agent.forced_offline_at, at)},
        "whom": whom,
    }


def _silent(now: StatusChange | None, at: dt.datetime) -> dict[str, str] | None:
    """For whoever was taken offline because their page was gone: since when, and what takes them back."""
    if now is None or (now.status, now.source, now.terminal) != (Status.OFFLINE, Source.PORTAL, DESK):
        return None
    if at - now.started_at > BACK_WITHIN:
        return None
    rows = StatusChange.objects.for_account(now.account_id).filter(agent_id=now.agent_id, started_at__lt=now.started_at)
    before = rows.order_by("-started_at", "-change_key").first()
    back = before if before is not None and before.status in (Status.AVAILABLE, Status.BUSY, Status.BREAK) else None
    status = Status(back.status) if back else Status.AVAILABLE
    return {
        "title": _("You were taken offline"),
        "text": _("This page was closed or without connection; nothing was heard of it after %(time)s.")
        % {"time": _clock(now.started_at, at)},
        "back": status.value,
        "back_reason": back.reason if back else "",
        "back_text": _("Back to %(status)s") % {"status": status.label},
    }


def whom_to_ask(agent: Agent) -> list[str]:
    """Names of those who may let an agent back: first who leads their groups, else who sees the whole account; those
    who are there before those who are not."""
    able = [role for role in Role.objects.for_account(agent.account_id or 0) if SET_STATUS in role.permissions]
    groups = SkillGroupMember.objects.for_account(agent.account_id or 0).filter(agent=agent).values("skill_group_id")
    colleagues = SkillGroupMember.objects.for_account(agent.account_id or 0).filter(skill_group_id__in=groups).values("agent_id")
    people = Agent.objects.for_account(agent.account_id or 0).filter(is_active=True).exclude(pk=agent.pk)
    people = people.order_by("-is_online", "staff_id")
    for scope, among in (
        (Role.DataScope.GROUPS, people.filter(pk__in=colleagues)),
        (Role.DataScope.ACCOUNT, people),
    ):
        roles = [role.pk for role in able if role.data_scope == scope]
        if names := [str(one) for one in among.filter(role_id__in=roles)[:MOST_NAMES]]:
            return names
    return []


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else _("%(names)s or %(last)s") % {"names": ", ".join(names[:-1]), "last": names[-1]}


def _clock(moment: dt.datetime, at: dt.datetime) -> str:
    """The time of day in the account's zone, with the date where it is not today."""
    local, today = timezone.localtime(moment), timezone.localtime(at).date()
    return (
        date_format(local, "H:i") if local.date() == today else date_format(local, "SHORT_DATE_FORMAT") + local.strftime(" %H:%M")
    )


def _milliseconds(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)
