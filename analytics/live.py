"""What goes on now, from the open rows only: calls that have not ended, and the last status of each agent.

Nothing here grows with the calls of the past. An answer is kept for one second, per account and per asker whose data
scope is narrower than the account; the key of the kept copy holds ids only.
"""

import datetime as dt
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, Status
from agents.querysets import sees_account
from calls.models import Call, CallLeg, CallState, LegKind, QueueEntry
from configuration.scoping import Actor

KEPT_SECONDS = 1
OPEN_STATES = [state for state in CallState if state != CallState.ENDED]
MAX_OPEN_CALLS = 5000
"""More than this are not calls but a fault; the count stops there so that the answer stays quick."""
IDS_AT_ONCE = 500
LONGEST_CALL = dt.timedelta(hours=4)
"""How far back an answered leg may lie whose wrap-up still runs."""
DEFAULT_WRAP_UP_SECONDS = 30

ACTIVITIES: dict[str, Promise] = {
    "available": _("Available"),
    "ringing": _("Ringing"),
    "on_call": _("On a call"),
    "acw": _("Wrap-up"),
    "busy": _("Busy"),
    "break": _("Break"),
    "offline": _("Offline"),
}
"""What an agent does, of which exactly one is true: on_call, then acw, then ringing go before what they chose."""

_CHOSEN = {
    Status.AVAILABLE: "available",
    Status.BUSY: "busy",
    Status.BREAK: "break",
    Status.WRAP_UP: "acw",
    Status.OFFLINE: "offline",
}
_PRECEDENCE = ("ringing", "acw", "on_call")


@dataclass(frozen=True, slots=True)
class Live:
    at: dt.datetime
    started: int
    in_ivr: int
    in_queue: int
    ringing: int
    talking: int
    longest_wait_seconds: float | None
    """Of those who wait now, ringing included; None: nobody waits."""
    agents: dict[str, int]


def now(*, actor: Actor, at: dt.datetime | None = None) -> Live:
    """The live figures of what the actor may see; `at` (None: now, and a copy of up to a second ago will do)."""
    if at is not None:
        return _count(actor, at)
    key = f"live:{actor.account_id}:{'account' if sees_account(actor) else getattr(actor, 'pk', '')}"
    kept: dict[str, Any] | None = cache.get(key)
    if kept is None:
        live = _count(actor, timezone.now())
        cache.set(key, asdict(live), KEPT_SECONDS)
        return live
    return Live(**kept)


def _count(actor: Actor, at: dt.datetime) -> Live:
    calls = Call.objects.visible_to(actor).filter(state__in=OPEN_STATES).order_by()
    states = dict(calls.values_list("pk", "state")[:MAX_OPEN_CALLS])
    of_state = Counter(states.values())
    waiting = [pk for pk, state in states.items() if state in (CallState.QUEUED, CallState.RINGING)]
    oldest = _oldest_entry(actor, waiting)
    return Live(
        at=at,
        started=of_state[CallState.STARTED],
        in_ivr=of_state[CallState.IN_IVR],
        in_queue=of_state[CallState.QUEUED],
        ringing=of_state[CallState.RINGING],
        talking=of_state[CallState.TALKING],
        longest_wait_seconds=None if oldest is None else max(0.0, round((at - oldest).total_seconds(), 3)),
        agents=_agents(actor, at),
    )


def _oldest_entry(actor: Actor, call_ids: list[int]) -> dt.datetime | None:
    """When the one who waits longest entered the queue. Asked by call ids: no index knows which entries are open."""
    entered = [
        moment
        for first in range(0, len(call_ids), IDS_AT_ONCE)
        for moment in QueueEntry.objects.for_account(actor.account_id or 0)
        .filter(call_id__in=call_ids[first : first + IDS_AT_ONCE], left_at=None)
        .values_list("entered_at", flat=True)
    ]
    return min(entered, default=None)


def _agents(actor: Actor, at: dt.datetime) -> dict[str, int]:
    """Agents by what they do. Who is offline and in no skill group takes no calls and is not counted."""
    people = Agent.objects.visible_to(actor).filter(is_active=True)
    people = people.filter(~Q(status=Status.OFFLINE) | Q(memberships__isnull=False)).distinct().order_by()
    doing = {pk: _CHOSEN[Status(status)] for pk, status in people.values_list("pk", "status")}
    for agent_id, activity in _activities(actor, list(doing), at):
        if agent_id in doing and _rank(activity) > _rank(doing[agent_id]):
            doing[agent_id] = activity
    counted = Counter(doing.values())
    return {name: counted[name] for name in ACTIVITIES}


def _rank(activity: str) -> int:
    return _PRECEDENCE.index(activity) if activity in _PRECEDENCE else -1


def _activities(actor: Actor, agent_ids: list[int], at: dt.datetime) -> list[tuple[int, str]]:
    """What calls have agents do. Wrap-up ends when the platform says so, or after the group's time for it."""
    account = actor.account_id or 0
    legs = CallLeg.objects.for_account(account).filter(kind=LegKind.AGENT, agent_id__isnull=False).order_by()
    found = [
        (agent_id, "on_call" if answered_at else "ringing")
        for agent_id, answered_at in legs.filter(
            call__in=Call.objects.for_account(account).filter(state__in=OPEN_STATES).order_by().values("pk"), ended_at=None
        ).values_list("agent_id", "answered_at")
    ]
    wrapping_up = legs.filter(
        agent_id__in=agent_ids[:MAX_OPEN_CALLS],
        answered_at__gte=at - LONGEST_CALL,
        ended_at__gte=at - dt.timedelta(seconds=3600),
        wrap_up_ended_at=None,
    ).values_list("agent_id", "ended_at", "skill_group__wrap_up_seconds")
    for agent_id, ended_at, seconds in wrapping_up:
        if at - ended_at < dt.timedelta(seconds=DEFAULT_WRAP_UP_SECONDS if seconds is None else seconds):
            found.append((agent_id, "acw"))
    return found
