"""What an agent does when their part in a call is over: wrap-up, and the break they planned.

Only for agents at the desk who were available, and only soon after the leg ended: a record that is folded again, or
that arrives hours late, sends nobody into wrap-up. Whatever the platform or the agent said since the leg ended stands.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from agents.models import Agent, Status, StatusChange
from agents.status_chain import StatusFact, longest_wrap_ups, record_status_changes
from calls.lifecycle import CallFacts
from calls.models import CallLeg, LegKind
from configuration.models import Account

SOON = dt.timedelta(minutes=10)
_LONGEST_CALL = dt.timedelta(days=2)


def begin_wrap_ups(*, account: Account, folded: Mapping[bytes, CallFacts], at: dt.datetime) -> int:
    """Moves on the agents whose legs in these calls have just ended; how many changes of status that made.

    Called in the transaction that writes the calls.
    """
    since = at - SOON
    recent = [
        key
        for key, facts in folded.items()
        if any(leg.answered_at and leg.ended_at and leg.ended_at > since for leg in facts.agent_legs)
    ]
    if not recent:
        return 0
    last = _last_legs(account, recent, since)
    agents = {
        agent.pk: agent
        for agent in Agent.objects.for_account(account)
        .filter(pk__in=last, is_online=True, is_active=True)
        .only("account", "status", "status_since", "wrap_up_until", "break_after_call", "break_after_call_reason")
        .order_by("pk")
        .select_for_update()
    }
    if not agents:
        return 0
    busy, terminals = _in_another_call(account, agents, at), _terminals(account, agents)
    seconds = longest_wrap_ups(list(agents))
    changes = []
    for agent_id, agent in agents.items():
        leg = last[agent_id]
        if agent.status == Status.WRAP_UP and leg.wrap_up_ended_at is not None:
            _end_with_the_platform(agent, leg)
        elif agent_id not in busy:
            changes += _what_follows(agent, leg, seconds.get(agent_id, 0), terminals.get(agent_id, ""))
    return record_status_changes(account=account, changes=changes)


def _last_legs(account: Account, call_keys: Iterable[bytes], since: dt.datetime) -> dict[int, Any]:
    """By agent, the leg that ended last."""
    legs = CallLeg.objects.for_account(account).filter(
        call__call_key__in=list(call_keys), kind=LegKind.AGENT, agent__isnull=False, answered_at__isnull=False, ended_at__gt=since
    )
    rows = legs.order_by("ended_at", "pk").values_list(
        "agent_id", "ended_at", "wrap_up_ended_at", "skill_group_id", "skill_group__wrap_up_seconds", "call__call_key", named=True
    )
    return {row.agent_id: row for row in rows}


def _in_another_call(account: Account, agent_ids: Iterable[int], at: dt.datetime) -> set[int]:
    legs = CallLeg.objects.for_account(account).filter(agent_id__in=list(agent_ids), offered_at__gt=at - _LONGEST_CALL)
    return set(legs.filter(answered_at__isnull=False, ended_at=None).values_list("agent_id", flat=True))


def _terminals(account: Account, agent_ids: Iterable[int]) -> dict[int, str]:
    rows = StatusChange.objects.for_account(account).filter(agent_id__in=list(agent_ids), ended_at=None)
    return dict(rows.values_list("agent_id", "terminal"))


def _what_follows(agent: Agent, leg: Any, longest: int, terminal: str) -> list[StatusFact]:
    if agent.status not in (Status.AVAILABLE, Status.BUSY) or agent.status_since >= leg.ended_at:
        return []
    lasts = longest if leg.skill_group_id is None else leg.skill_group__wrap_up_seconds
    if leg.wrap_up_ended_at is not None:
        lasts = (leg.wrap_up_ended_at - leg.ended_at).total_seconds()
    named: dict[str, Any] = {"agent_id": agent.pk, "started_at": leg.ended_at, "terminal": terminal}
    if agent.status == Status.AVAILABLE and lasts > 0:
        key = _key("wrap-up", leg)
        source = StatusChange.Source.PORTAL
        return [StatusFact(status=Status.WRAP_UP, change_key=key, source=source, wrap_up_seconds=lasts, **named)]
    if agent.break_after_call:  # there is no wrap-up that would end with it; the agent chose it, only earlier
        key, reason = _key("break", leg), agent.break_after_call_reason
        return [StatusFact(status=Status.BREAK, change_key=key, source=StatusChange.Source.AGENT, reason=reason, **named)]
    return []


def _end_with_the_platform(agent: Agent, leg: Any) -> None:
    """A wrap-up that began with this leg ends when the platform says it did, unless it is over by then."""
    running = Agent.objects.filter(pk=agent.pk, status=Status.WRAP_UP, status_since=leg.ended_at)
    running.exclude(wrap_up_until__lte=leg.wrap_up_ended_at).update(wrap_up_until=leg.wrap_up_ended_at)


def _key(what: str, leg: Any) -> bytes:
    moment = leg.ended_at.astimezone(dt.UTC).isoformat()
    return hashlib.sha256(f"{what}\0{bytes(leg.call__call_key).hex()}\0{leg.agent_id}\0{moment}".encode()).digest()
