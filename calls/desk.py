"""An agent's own calls of today, for their desk."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from callcenter_site.audit import Look, log_look
from calls.masking import customer_number, sees_numbers, shown
from calls.models import Call, CallLeg, CallState, Direction, LegKind, LegResult

MOST_SHOWN = 100

_COLUMNS = (
    "offered_at",
    "answered_at",
    "ended_at",
    "hold_seconds",
    "result",
    "account_id",
    "call__direction",
    "call__calling_number",
    "call__called_number",
    "call__state",
    "skill_group__name",
    "skill_group_reference",
)


@dataclass(frozen=True, slots=True)
class OwnCall:
    """An agent's part in a call, as one line."""

    call_id: int
    offered_at: dt.datetime
    direction: Direction
    number: str
    group: str
    talk_seconds: float | None
    """Speaking, without hold; up to now where the call goes on; `None`: never answered."""
    outcome: str
    outcome_label: str | Promise


@dataclass(frozen=True, slots=True)
class OwnDay:
    calls: list[OwnCall]
    n_calls: int
    n_answered: int

    @property
    def n_left_out(self) -> int:
        return self.n_calls - len(self.calls)


def own_day(*, agent: Agent, at: dt.datetime) -> OwnDay:
    """What was offered to an agent since their account's midnight, the newest first. Two queries, however many,
    and an entry in the audit log for who sees whole numbers."""
    if agent.account is None:  # an operator takes no calls
        return OwnDay(calls=[], n_calls=0, n_answered=0)
    start, end = _day_of(at, agent.account.zone)
    legs = CallLeg.objects.visible_to(agent).filter(agent=agent, kind=LegKind.AGENT, offered_at__gte=start, offered_at__lt=end)
    counted = legs.aggregate(n_calls=Count("pk"), n_answered=Count("pk", filter=Q(answered_at__isnull=False)))
    newest = legs.select_related("call", "skill_group").only(*_COLUMNS).order_by("-offered_at", "-pk")[:MOST_SHOWN]
    whole = sees_numbers(agent)
    calls = [_own_call(leg, whole=whole, at=at) for leg in newest]
    if whole:  # the desk fetches them again and again: what it shows is told when it changes, and once an hour
        ids = [one.call_id for one in calls]
        log_look(Look.NUMBERS, Call, ids, actor=agent, place="desk", once_in_seconds=3600)
    return OwnDay(calls=calls, **counted)


def _day_of(at: dt.datetime, zone: dt.tzinfo) -> tuple[dt.datetime, dt.datetime]:
    """The local day of a moment; 23 or 25 hours long where the clocks are changed."""
    today = at.astimezone(zone).date()
    start, end = (dt.datetime.combine(day, dt.time(), tzinfo=zone) for day in (today, today + dt.timedelta(days=1)))
    return start.astimezone(dt.UTC), end.astimezone(dt.UTC)


def _own_call(leg: CallLeg, *, whole: bool, at: dt.datetime) -> OwnCall:
    call: Any = leg.call
    outcome, label = _outcome(leg)
    return OwnCall(
        call_id=leg.call_id,
        offered_at=leg.offered_at,
        direction=Direction(call.direction),
        number=shown(customer_number(call), whole=whole),
        group=leg.skill_group.name if leg.skill_group else leg.skill_group_reference,
        talk_seconds=_talk_seconds(leg, at),
        outcome=outcome,
        outcome_label=label,
    )


def _talk_seconds(leg: CallLeg, at: dt.datetime) -> float | None:
    if leg.answered_at is None:
        return None
    return max(0.0, ((leg.ended_at or at) - leg.answered_at).total_seconds() - leg.hold_seconds)


def _outcome(leg: CallLeg) -> tuple[str, str | Promise]:
    if leg.ended_at is None and leg.call.state != CallState.ENDED:
        return ("talking", _("Talking")) if leg.answered_at else ("ringing", _("Ringing"))
    return leg.result, LegResult(leg.result).label if leg.result in LegResult.values else ""
