"""What goes on now, from the open rows only: calls that have not ended, and the last status of each agent.

Nothing here grows with the calls of the past. An answer is kept for one second, per account and per asker whose data
scope is narrower than the account; the key of the kept copy holds ids only.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, Status
from agents.querysets import own_groups, sees_account
from calls.models import Call, CallLeg, CallState, LegKind, QueueEntry
from configuration.models import Role
from configuration.scoping import Actor

KEPT_SECONDS = 1
OPEN_STATES = [state for state in CallState if state != CallState.ENDED]
MAX_OPEN_CALLS = 5000
"""More than this are not calls but a fault; the count stops there so that the answer stays quick."""
IDS_AT_ONCE = 500
LONGEST_CALL = dt.timedelta(hours=2)
"""How far back the offer may lie of a leg whose wrap-up still runs: it bounds what is read."""
LONGEST_WRAP_UP = dt.timedelta(hours=1)
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


@dataclass(frozen=True, slots=True)
class _Open:
    """The calls of an account that have not ended, and their parts, as plain rows."""

    calls: list[tuple[int, str, int | None]]
    """Id, state, skill group."""
    entries: list[tuple[int, int | None, dt.datetime, dt.datetime | None]]
    """Call, skill group, entered, left."""
    legs: list[tuple[int, int | None, dt.datetime | None, dt.datetime | None]]
    """Call, agent, answered, ended."""


def _read_open(account_id: int | None) -> _Open:
    calls = Call.objects.for_account(account_id or 0).filter(state__in=OPEN_STATES).order_by()
    rows = list(calls.values_list("pk", "state", "skill_group_id")[:MAX_OPEN_CALLS])
    # Parts are asked for by the calls' ids and nothing else. No index knows which parts are open, and a database that
    # has no statistics yet would walk all parts of the account if the account were named as well.
    entries = QueueEntry.objects.order_by().values_list("call_id", "skill_group_id", "entered_at", "left_at")
    legs = CallLeg.objects.filter(kind=LegKind.AGENT).order_by().values_list("call_id", "agent_id", "answered_at", "ended_at")
    ids = [pk for pk, _, _ in rows]
    return _Open(
        rows,
        [row for some in _some(ids) for row in entries.filter(call_id__in=some)],
        [row for some in _some(ids) for row in legs.filter(call_id__in=some)],
    )


def _some(ids: list[int]) -> Iterator[list[int]]:
    for first in range(0, len(ids), IDS_AT_ONCE):
        yield ids[first : first + IDS_AT_ONCE]


def _visible(actor: Actor, open_calls: _Open) -> set[int]:
    """The open calls that `Call.objects.visible_to` would give, from the rows at hand: asked as a query, the groups'
    part of it reads every call the groups ever had."""
    if sees_account(actor):
        return {pk for pk, _, _ in open_calls.calls}
    visible = {call_id for call_id, agent_id, _, _ in open_calls.legs if agent_id == getattr(actor, "pk", None)}
    if getattr(actor, "data_scope", None) == Role.DataScope.GROUPS:
        groups = set(own_groups(actor).values_list("skill_group_id", flat=True))
        visible |= {pk for pk, _, group_id in open_calls.calls if group_id in groups}
        visible |= {call_id for call_id, group_id, _, _ in open_calls.entries if group_id in groups}
    return visible


def _count(actor: Actor, at: dt.datetime) -> Live:
    open_calls = _read_open(actor.account_id)
    visible = _visible(actor, open_calls)
    of_state = Counter(state for pk, state, _ in open_calls.calls if pk in visible)
    oldest = min((entered for pk, _, entered, left in open_calls.entries if left is None and pk in visible), default=None)
    return Live(
        at=at,
        started=of_state[CallState.STARTED],
        in_ivr=of_state[CallState.IN_IVR],
        in_queue=of_state[CallState.QUEUED],
        ringing=of_state[CallState.RINGING],
        talking=of_state[CallState.TALKING],
        longest_wait_seconds=None if oldest is None else max(0.0, round((at - oldest).total_seconds(), 3)),
        agents=_agents(actor, open_calls, at),
    )


def _agents(actor: Actor, open_calls: _Open, at: dt.datetime) -> dict[str, int]:
    """Agents by what they do. Who is offline and in no skill group takes no calls and is not counted."""
    people = Agent.objects.visible_to(actor).filter(is_active=True)
    people = people.filter(~Q(status=Status.OFFLINE) | Q(memberships__isnull=False)).distinct().order_by()
    doing = {pk: _CHOSEN[Status(status)] for pk, status in people.values_list("pk", "status")}
    # Also on calls the actor may not see: the agent is theirs.
    busy = [(agent_id, "on_call" if answered else "ringing") for _, agent_id, answered, ended in open_calls.legs if ended is None]
    for agent_id, activity in (*busy, *_wrapping_up(actor, list(doing), at)):
        if agent_id in doing and _rank(activity) > _rank(doing[agent_id]):
            doing[agent_id] = activity
    counted = Counter(doing.values())
    return {name: counted[name] for name in ACTIVITIES}


def _rank(activity: str) -> int:
    return _PRECEDENCE.index(activity) if activity in _PRECEDENCE else -1


def _wrapping_up(actor: Actor, agent_ids: list[int], at: dt.datetime) -> Iterator[tuple[int | None, str]]:
    """Agents whose last call has just ended. Wrap-up ends when the platform says so, or after the group's time for it."""
    for ids in _some(agent_ids):
        just_ended = CallLeg.objects.filter(
            account_id=actor.account_id or 0,
            agent_id__in=ids,
            offered_at__gte=at - LONGEST_CALL,
            answered_at__isnull=False,
            ended_at__gte=at - LONGEST_WRAP_UP,
            wrap_up_ended_at=None,
        ).order_by()
        for agent_id, ended_at, seconds in just_ended.values_list("agent_id", "ended_at", "skill_group__wrap_up_seconds"):
            if at - ended_at < dt.timedelta(seconds=DEFAULT_WRAP_UP_SECONDS if seconds is None else seconds):
                yield agent_id, "acw"
