"""What agents were doing, derived from the status they chose and the calls they had (METRICS §2.4).

One timeline per agent: every moment of the window belongs to exactly one stretch. Where things overlap, a call comes
before wrap-up, wrap-up before ringing, and any of them before the chosen status; hold is part of the call. Wrap-up is
the same whether its call tells of it or the status does. What is still going on reaches to `at`, and nothing is said of
what comes after it.
"""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from django.db import models
from django.db.models import Max, Q
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, Status, StatusChange
from callcenter_site.bulk import parts
from calls.models import OPEN_STATES, Call, CallLeg, LegKind
from configuration.models import Account


class Activity(models.TextChoices):
    ON_CALL = "on_call", _("On a call")
    ACW = "acw", _("Wrap-up")
    RINGING = "ringing", _("Ringing")
    AVAILABLE = "available", _("Available")
    NOT_READY = "not_ready", _("Busy")
    BREAK = "break", _("Break")
    OFFLINE = "offline", _("Offline")


_OF_STATUS = {
    Status.AVAILABLE.value: Activity.AVAILABLE,
    Status.BUSY.value: Activity.NOT_READY,
    Status.BREAK.value: Activity.BREAK,
    Status.WRAP_UP.value: Activity.ACW,
    Status.OFFLINE.value: Activity.OFFLINE,
}
_RANK = {Activity.ON_CALL: 0, Activity.ACW: 1, Activity.RINGING: 3}
_RANK_OF_STATUS = {Activity.ACW: 2}
"""After a wrap-up that names its call, before ringing."""
_CHOSEN = 4
_LATELY = dt.timedelta(days=1)
_LONGEST_LEG = dt.timedelta(days=2)
"""A leg longer than this is a broken clock: it is not looked for."""
_MOST_LEGS, _LONG_CALL = dt.timedelta(hours=4), dt.timedelta(hours=2)
"""Nearly all legs are over this long after their offer; the others belong to calls of at least the second length, for
nobody wraps up for two hours."""
_OF_CHANGE = ("agent_id", "status", "reason", "started_at", "ended_at")
_OF_LEG = ("agent_id", "call_id", "offered_at", "answered_at", "ended_at", "wrap_up_ended_at")


@dataclass(frozen=True, slots=True)
class Stretch:
    state: str
    started_at: dt.datetime
    ended_at: dt.datetime
    reason: str = ""
    call_id: int | None = None
    """The row of the call it belongs to; None: it follows from the chosen status."""

    @property
    def seconds(self) -> float:
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Chosen:
    status: str
    reason: str
    started_at: dt.datetime
    ended_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Leg:
    call_id: int
    offered_at: dt.datetime
    answered_at: dt.datetime | None
    ended_at: dt.datetime | None
    wrap_up_ended_at: dt.datetime | None
    holds: Sequence[Sequence[str | None]] = ()
    """Stretches on hold as `[from, to]` in ISO time; no `to`: still held."""


@dataclass(slots=True)
class Doings:
    """What an agent's timeline is derived from."""

    chosen: list[Chosen] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)


def doings_within(*, account: Account, start: dt.datetime, end: dt.datetime) -> dict[int, Doings]:
    """Of everybody who did anything in the window. What it costs depends on the window, not on how much lies before or
    after it: of who changed nothing for a day only the last change is looked for, and of legs only those of calls that
    last long or go on are looked for further back than a few hours."""
    statuses = StatusChange.objects.for_account(account).order_by()
    changes = list(statuses.filter(started_at__gt=start - _LATELY, started_at__lte=end).values_list(*_OF_CHANGE))
    changes += _last_changes(
        account, before=start - _LATELY, known={agent_id for agent_id, _, _, at, _ in changes if at <= start}
    )
    legs = _legs_since(account, start).filter(agent__isnull=False)
    back_to = start - _MOST_LEGS
    long_calls = Call.objects.for_account(account).filter(
        Q(total_seconds__gt=_LONG_CALL.total_seconds()) | Q(state__in=list(OPEN_STATES)),
        started_at__gt=start - _LONGEST_LEG,
        started_at__lt=back_to,
    )
    long_ids = list(long_calls.order_by().values_list("pk", flat=True))
    of_legs = [legs.filter(offered_at__gt=back_to, offered_at__lt=end)]
    if long_ids:
        of_legs.append(legs.filter(call_id__in=long_ids, offered_at__gt=start - _LONGEST_LEG, offered_at__lte=back_to))
    return _gather(
        changes,
        (row for part in of_legs for row in part.order_by().values_list(*_OF_LEG, "holds").iterator(chunk_size=5000)),
    )


def _last_changes(account: Account, *, before: dt.datetime, known: Set[int]) -> list[Any]:
    """The last change of every agent but those who are known. Two that began at the same moment may both be given."""
    others = [pk for pk in Agent.objects.for_account(account).order_by().values_list("pk", flat=True) if pk not in known]
    statuses = StatusChange.objects.for_account(account).filter(started_at__lte=before).order_by()
    found: list[Any] = []
    for some in parts(others, 200):
        # Grouped, this is read off an index. As a subquery of each agent MariaDB walks all changes of the account, each time.
        last = statuses.filter(agent_id__in=some).values_list("agent_id").annotate(last=Max("started_at"))
        moments = [Q(agent_id=agent_id, started_at=started_at) for agent_id, started_at in last]
        if moments:
            found += statuses.filter(reduce(or_, moments)).values_list(*_OF_CHANGE)
    return found


def activity_of(
    *, account: Account, agent_ids: Iterable[int], start: dt.datetime, end: dt.datetime, at: dt.datetime
) -> dict[int, list[Stretch]]:
    """The timelines of agents from `start` to `end`, or to `at` where that is earlier. Who is not of the account was
    offline."""
    return activity_in(account=account, agent_ids=agent_ids, windows=[(start, end)], at=at)[0]


def activity_in(
    *, account: Account, agent_ids: Iterable[int], windows: Sequence[tuple[dt.datetime, dt.datetime]], at: dt.datetime
) -> list[dict[int, list[Stretch]]]:
    """What `activity_of` says of each window, read at once: they lie close together, as the days of a week do."""
    if not windows:
        return []
    ids, start, end = list(agent_ids), min(start for start, _ in windows), max(end for _, end in windows)
    statuses = StatusChange.objects.for_account(account).filter(
        Q(ended_at=None) | Q(ended_at__gt=start), agent_id__in=ids, started_at__lt=end
    )
    legs = _legs_since(account, start).filter(agent_id__in=ids, offered_at__gt=start - _LONGEST_LEG, offered_at__lt=end)
    found = _gather(statuses.order_by().values_list(*_OF_CHANGE), legs.order_by().values_list(*_OF_LEG))
    return [
        {pk: derive(chosen=found[pk].chosen, legs=_near(found[pk].legs, start), start=start, end=end, at=at) for pk in ids}
        for start, end in windows
    ]


def _legs_since(account: Account, start: dt.datetime) -> Any:
    """Agents' legs that went on after `start`."""
    went_on = Q(ended_at=None) | Q(ended_at__gt=start) | Q(wrap_up_ended_at__gt=start)
    return CallLeg.objects.for_account(account).filter(went_on, kind=LegKind.AGENT)


def _gather(changes: Iterable[Any], legs: Iterable[Any]) -> dict[int, Doings]:
    """By agent, from rows of `_OF_CHANGE` and `_OF_LEG`; of who is not among them nothing."""
    found: dict[int, Doings] = defaultdict(Doings)
    for agent_id, *values in changes:
        found[agent_id].chosen.append(Chosen(*values))
    for agent_id, *values in legs:
        found[agent_id].legs.append(Leg(*values))
    return found


def _near(legs: Iterable[Leg], start: dt.datetime) -> list[Leg]:
    return [leg for leg in legs if leg.offered_at > start - _LONGEST_LEG]


@dataclass(frozen=True, slots=True, order=True)
class _Claim:
    """A stretch that something lays claim to; of several at once the least wins."""

    rank: int
    started_at: dt.datetime
    tie: int
    ended_at: dt.datetime
    state: str
    reason: str
    call_id: int | None


def derive(
    *, chosen: Sequence[Chosen], legs: Sequence[Leg], start: dt.datetime, end: dt.datetime, at: dt.datetime
) -> list[Stretch]:
    """The timeline as a pure function of the rows: gapless, without overlaps, as long as the window."""
    # Two moments of one local zone are compared and subtracted by their wall clocks, wrongly where those are put back.
    start, end = start.astimezone(dt.UTC), min(end.astimezone(dt.UTC), at.astimezone(dt.UTC))
    if end <= start:
        return []
    claims = [*_claims_of_statuses(chosen, end), *(claim for leg in legs for claim in _claims_of_leg(leg, end))]
    claims = [
        claim for claim in claims if claim.started_at < end and claim.ended_at > start and claim.ended_at > claim.started_at
    ]
    borders = sorted(
        {start, end} | {moment for one in claims for moment in (one.started_at, one.ended_at) if start < moment < end}
    )
    beginning: dict[dt.datetime, list[_Claim]] = defaultdict(list)
    for claim in claims:
        beginning[max(claim.started_at, start)].append(claim)
    stretches: list[Stretch] = []
    going_on: list[_Claim] = []
    for moment, until in itertools.pairwise(borders):
        going_on = [claim for claim in going_on if claim.ended_at > moment] + beginning[moment]
        best = min(going_on, default=None)
        state, reason, call_id = (best.state, best.reason, best.call_id) if best else (Activity.OFFLINE.value, "", None)
        before = stretches[-1] if stretches else None
        if before is not None and (before.state, before.reason, before.call_id) == (state, reason, call_id):
            stretches[-1] = Stretch(state, before.started_at, until, reason, call_id)
        else:
            stretches.append(Stretch(state, moment, until, reason, call_id))
    return stretches


def _claims_of_statuses(chosen: Sequence[Chosen], end: dt.datetime) -> Iterable[_Claim]:
    for one in chosen:
        state = _OF_STATUS[one.status]
        rank = _RANK_OF_STATUS.get(state, _CHOSEN)
        # The chain knows no two at once.
        yield _Claim(rank, one.started_at, 0, one.ended_at or end, state.value, one.reason, None)


def _claims_of_leg(leg: Leg, end: dt.datetime) -> Iterable[_Claim]:
    def claim(state: Activity, started_at: dt.datetime, ended_at: dt.datetime | None) -> _Claim:
        return _Claim(_RANK[state], started_at, leg.call_id, ended_at or end, state.value, "", leg.call_id)

    yield claim(Activity.RINGING, leg.offered_at, leg.answered_at or leg.ended_at)
    if leg.answered_at is not None:
        yield claim(Activity.ON_CALL, leg.answered_at, leg.ended_at)
        if leg.ended_at is not None and leg.wrap_up_ended_at is not None:
            yield claim(Activity.ACW, leg.ended_at, leg.wrap_up_ended_at)
