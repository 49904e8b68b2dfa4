"""What goes on now: open calls, the last status of each agent, and how today and the last half hour go.

One picture is made of an account, at most once a second, from open rows and from counts; whoever asks gets the part of
it that they may see, cut out without another question. So what it costs depends neither on how many watch nor on the
calls of the past. Pictures hold ids and names of skill groups, nothing of people.
"""

import datetime as dt
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.core.cache import cache
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Count, F, Q, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, SkillGroup, SkillGroupMember, Status
from agents.querysets import own_groups, sees_account
from analytics import reports
from analytics.metrics import METRICS
from analytics.models import CallTotal, GroupTotal
from callcenter_site.bulk import parts
from callcenter_site.slots import day_bounds
from calls.adapters.asterisk_live import feeds_of
from calls.models import Call, CallLeg, CallState, EntryOutcome, LegKind, Outcome, QueueEntry
from configuration.models import Account, Role
from configuration.scoping import Actor

KEPT_SECONDS = 1.0
STALE_SECONDS = 5.0
"""So old may a picture be that is given out while another process makes the next one."""
OPEN_STATES = [state for state in CallState if state != CallState.ENDED]
MAX_OPEN_CALLS = 5000
"""More than this are not calls but a fault; the count stops there so that the answer stays quick."""
LONGEST_CALL = dt.timedelta(hours=2)
"""How far back the offer may lie of a leg whose wrap-up still runs: it bounds what is read."""
LONGEST_WRAP_UP = dt.timedelta(hours=1)
DEFAULT_WRAP_UP_SECONDS = 30
ROLLING = dt.timedelta(minutes=30)

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


# --- What is told ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Doing:
    """What an agent does, and since when. `reason` is that of a break or of what else they chose."""

    agent_id: int
    activity: str
    since: dt.datetime
    reason: str
    group_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Queues:
    """Queues now, today and over the last half hour: of one skill group, or of several together."""

    in_queue: int
    ringing: int
    talking: int
    longest_wait_seconds: float | None
    """Of those who wait now, ringing included; None: nobody waits."""
    agents: dict[str, int]
    offered_today: int
    answered_today: int
    abandoned_today: int
    service_level_today: float | None
    service_level_rolling: float | None
    """Of what ended in the last 30 minutes. Whoever waits longer than the target counts against it already."""

    @property
    def staffed(self) -> int:
        """Agents who are there and not on a break."""
        return sum(n for activity, n in self.agents.items() if activity not in ("offline", "break"))


@dataclass(frozen=True, slots=True)
class GroupNow:
    group_id: int
    name: str
    queues: Queues


@dataclass(frozen=True, slots=True)
class Live:
    at: dt.datetime
    started: int
    in_ivr: int
    in_queue: int
    ringing: int
    talking: int
    longest_wait_seconds: float | None
    agents: dict[str, int]
    calls_today: int | None
    """None: calls as a whole are seen by those who see the whole account."""
    queues: Queues
    groups: tuple[GroupNow, ...]
    people: tuple[Doing, ...]
    feeds: tuple[dict[str, Any], ...]
    """Connections to telephony that the portal keeps itself, by source, with the state of each."""
    counted_to: dt.datetime | None
    """Everything accepted before this is in the picture."""

    @property
    def is_cut_off(self) -> bool:
        """Whether a connection to telephony is lost, so that what is shown may be of the past."""
        return any(feed["state"] != "connected" for feed in self.feeds)


# --- Who sees what ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scope:
    """What part of an account's picture somebody sees. `group_ids` None: all of it."""

    account_id: int
    group_ids: frozenset[int] | None
    agent_id: int | None

    @property
    def sees_account(self) -> bool:
        return self.group_ids is None

    @property
    def text(self) -> str:
        """As the names of views say it, within an account."""
        groups = "all" if self.group_ids is None else ",".join(map(str, sorted(self.group_ids)))
        return f"{groups}:{self.agent_id or ''}"

    @classmethod
    def read(cls, account_id: int, text: str) -> "Scope":
        groups, agent_id = text.split(":")
        own = None if groups == "all" else frozenset(int(pk) for pk in groups.split(",") if pk)
        return cls(account_id, own, int(agent_id) if agent_id else None)


def scope_of(actor: Actor) -> Scope:
    account_id = actor.account_id or 0
    if sees_account(actor):
        return Scope(account_id, None, None)
    agent_id = getattr(actor, "pk", None)
    if getattr(actor, "data_scope", None) != Role.DataScope.GROUPS:
        return Scope(account_id, frozenset(), agent_id)
    return Scope(account_id, frozenset(own_groups(actor).values_list("skill_group_id", flat=True)), agent_id)


def now(*, actor: Actor, at: dt.datetime | None = None) -> Live:
    """The live figures of what the actor may see; `at` (None: now, and a picture of up to a second ago will do)."""
    return seen(scope_of(actor), at=at)


def last_seen(*, actor: Actor) -> Live | None:
    """What was told within the last seconds, if anybody asked; nothing is worked out for it."""
    scope = scope_of(actor)
    kept: tuple[float, Picture] | None = cache.get(_key(scope.account_id))
    return _cut_out(kept[1], scope) if kept is not None else None


def seen(scope: Scope, *, at: dt.datetime | None = None) -> Live:
    picture = paint(scope.account_id, at) if at is not None else _kept_picture(scope.account_id)
    return _cut_out(picture, scope)


# --- The picture of an account ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Open:
    """The calls of an account that have not ended, and their parts, as plain rows."""

    calls: list[tuple[int, str, int | None]]
    """Id, state, skill group."""
    entries: list[tuple[int, int | None, dt.datetime, dt.datetime | None]]
    """Call, skill group, entered, left."""
    legs: list[tuple[int, int | None, dt.datetime | None, dt.datetime | None, dt.datetime]]
    """Call, agent, answered, ended, offered."""


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    target_seconds: float


@dataclass(frozen=True, slots=True)
class Picture:
    at: dt.datetime
    open: _Open
    people: list[Doing]
    groups: dict[int, _Group]
    default_target_seconds: float
    today: dict[int | None, dict[str, float]]
    """Counters of `GroupTotal` since local midnight, by skill group."""
    rolling: dict[int | None, dict[str, float]]
    """The same counters of what ended in the last half hour."""
    calls_today: int
    feeds: tuple[dict[str, Any], ...]
    counted_to: dt.datetime | None


def _kept_picture(account_id: int) -> Picture:
    """A picture of the last second. One process makes the next one while the others go on with the one before."""
    key = _key(account_id)
    kept: tuple[float, Picture] | None = cache.get(key)
    age = time.time() - kept[0] if kept is not None else STALE_SECONDS
    if kept is not None and 0 <= age < KEPT_SECONDS:
        return kept[1]
    is_mine = cache.add(f"{key}:making", 1, STALE_SECONDS)
    if is_mine is False and kept is not None and 0 <= age < STALE_SECONDS:
        return kept[1]
    try:
        picture = paint(account_id, timezone.now())
        cache.set(key, (time.time(), picture), STALE_SECONDS)
    finally:
        if is_mine:
            cache.delete(f"{key}:making")
    return picture


def _key(account_id: int) -> str:
    return f"live:{account_id}"


def paint(account_id: int, at: dt.datetime) -> Picture:
    """The same number of questions whatever goes on; each reads open rows, counts, or the last half hour."""
    account = Account.objects.filter(pk=account_id).first()
    if account is None:
        return Picture(at, _Open([], [], []), [], {}, 0, {}, {}, 0, (), at)
    open_calls = _read_open(account_id)
    groups = {
        pk: _Group(name, account.service_level_seconds if target is None else target)
        for pk, name, target in SkillGroup.objects.for_account(account)
        .filter(is_active=True)
        .order_by("name")
        .values_list("pk", "name", "service_level_seconds")
    }
    start, _end = day_bounds(at.astimezone(account.zone).date(), account.zone)
    return Picture(
        at=at,
        open=open_calls,
        people=_people(account_id, open_calls, at),
        groups=groups,
        default_target_seconds=account.service_level_seconds,
        today=_counted_today(account_id, start),
        rolling=_counted_lately(account, at),
        calls_today=CallTotal.objects.for_account(account_id).filter(slot__gte=start).aggregate(n=Sum("n_calls"))["n"] or 0,
        feeds=feeds_of(account=account, at=at),
        counted_to=reports.freshness(account=account, at=at).counted_to,
    )


def _read_open(account_id: int | None) -> _Open:
    calls = Call.objects.for_account(account_id or 0).filter(state__in=OPEN_STATES).order_by()
    rows = list(calls.values_list("pk", "state", "skill_group_id")[:MAX_OPEN_CALLS])
    # Parts are asked for by the calls' ids and nothing else. No index knows which parts are open, and a database that
    # has no statistics yet would walk all parts of the account if the account were named as well.
    entries = QueueEntry.objects.order_by().values_list("call_id", "skill_group_id", "entered_at", "left_at")
    legs = CallLeg.objects.filter(kind=LegKind.AGENT).order_by()
    leg_rows = legs.values_list("call_id", "agent_id", "answered_at", "ended_at", "offered_at")
    ids = [pk for pk, _, _ in rows]
    return _Open(
        rows,
        [row for some in parts(ids) for row in entries.filter(call_id__in=some)],
        [row for some in parts(ids) for row in leg_rows.filter(call_id__in=some)],
    )


def _people(account_id: int, open_calls: _Open, at: dt.datetime) -> list[Doing]:
    """Agents by what they do. Who is offline and in no skill group takes no calls and is not counted."""
    groups_of: dict[int, list[int]] = defaultdict(list)
    members = SkillGroupMember.objects.for_account(account_id).filter(skill_group__is_active=True).order_by("skill_group_id")
    for agent_id, group_id in members.values_list("agent_id", "skill_group_id"):
        groups_of[agent_id].append(group_id)
    doing = {
        pk: Doing(pk, _CHOSEN[Status(status)], since, reason, tuple(groups_of.get(pk, ())))
        for pk, status, since, reason in Agent.objects.for_account(account_id)
        .filter(is_active=True)
        .order_by("pk")
        .values_list("pk", "status", "status_since", "status_reason")
        if status != Status.OFFLINE or pk in groups_of
    }
    busy = [
        (agent_id, "on_call" if answered else "ringing", answered or offered)
        for _, agent_id, answered, ended, offered in open_calls.legs
        if ended is None
    ]
    for agent_id, activity, since in (*busy, *_wrapping_up(account_id, list(doing), at)):
        known = doing.get(agent_id or 0)
        if known is not None and _rank(activity) > _rank(known.activity):
            doing[known.agent_id] = replace(known, activity=activity, since=since, reason="")
    return list(doing.values())


def _rank(activity: str) -> int:
    return _PRECEDENCE.index(activity) if activity in _PRECEDENCE else -1


def _wrapping_up(account_id: int, agent_ids: list[int], at: dt.datetime) -> Iterator[tuple[int | None, str, dt.datetime]]:
    """Agents whose last call has just ended. Wrap-up ends when the platform says so, or after the group's time for it."""
    for ids in parts(agent_ids):
        just_ended = CallLeg.objects.filter(
            account_id=account_id,
            agent_id__in=ids,
            offered_at__gte=at - LONGEST_CALL,
            answered_at__isnull=False,
            ended_at__gte=at - LONGEST_WRAP_UP,
            wrap_up_ended_at=None,
        ).order_by()
        for agent_id, ended_at, seconds in just_ended.values_list("agent_id", "ended_at", "skill_group__wrap_up_seconds"):
            if at - ended_at < dt.timedelta(seconds=DEFAULT_WRAP_UP_SECONDS if seconds is None else seconds):
                yield agent_id, "acw", ended_at


_FIGURES = ("offered", "queue_answered", "abandoned", "service_level")
_COUNTERS = sorted({name for figure in _FIGURES for name in METRICS[figure].counters})


def _counted_today(account_id: int, start: dt.datetime) -> dict[int | None, dict[str, float]]:
    rows = GroupTotal.objects.for_account(account_id).filter(slot__gte=start).order_by()
    sums = rows.values("skill_group_id").annotate(**{name: Sum(name) for name in _COUNTERS})
    return {row.pop("skill_group_id"): row for row in sums}


def _counted_lately(account: Account, at: dt.datetime) -> dict[int | None, dict[str, float]]:
    """By when an entry ended. The same counters as those of the past, so that the same formulas hold."""
    since = at - ROLLING
    entries = QueueEntry.objects.for_account(account).filter(left_at__gt=since, left_at__lte=at).order_by()
    entries = entries.exclude(call__outcome=Outcome.BLOCKED).annotate(
        target=Coalesce(F("skill_group__service_level_seconds"), Value(account.service_level_seconds)),
        short=Coalesce(F("skill_group__short_abandon_seconds"), Value(account.short_abandon_seconds)),
    )
    answered, abandoned = Q(outcome=EntryOutcome.ANSWERED), Q(outcome=EntryOutcome.ABANDONED)
    rows = entries.values("skill_group_id").annotate(
        n_entries=Count("pk"),
        n_answered=Count("pk", filter=answered),
        n_answered_in_target=Count("pk", filter=answered & Q(wait_seconds__lte=F("target"))),
        n_abandoned=Count("pk", filter=abandoned),
        n_abandoned_short=Count("pk", filter=abandoned & Q(wait_seconds__lte=F("short"))),
    )
    found: dict[int | None, dict[str, float]] = {row.pop("skill_group_id"): {**_NOTHING, **row} for row in rows}
    at_once = CallLeg.objects.for_account(account).filter(answered_at__gt=since, answered_at__lte=at, is_at_once=True)
    for group_id, n in at_once.order_by().values_list("skill_group_id").annotate(n=Count("pk")):
        found.setdefault(group_id, dict(_NOTHING))["n_at_once"] = n
    return found


_NOTHING: dict[str, float] = dict.fromkeys(_COUNTERS, 0)


# --- A part of it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Placed:
    """The open calls as each group's figures read them, put in order once for all groups."""

    state_of: dict[int, tuple[str, int | None]]
    """State and skill group, by call."""
    waiting: list[tuple[int, int | None, dt.datetime]]
    """Call, skill group, entered."""
    queued: frozenset[int]


def _placed(open_calls: _Open) -> _Placed:
    waiting = [(pk, group_id, entered) for pk, group_id, entered, left in open_calls.entries if left is None]
    return _Placed(
        {pk: (state, group_id) for pk, state, group_id in open_calls.calls}, waiting, frozenset(pk for pk, _, _ in waiting)
    )


def _visible(scope: Scope, open_calls: _Open) -> set[int]:
    """The open calls that `Call.objects.visible_to` would give, from the rows at hand."""
    if scope.group_ids is None:
        return {pk for pk, _, _ in open_calls.calls}
    visible = {call_id for call_id, agent_id, *_ in open_calls.legs if agent_id == scope.agent_id}
    visible |= {pk for pk, _, group_id in open_calls.calls if group_id in scope.group_ids}
    return visible | {call_id for call_id, group_id, *_ in open_calls.entries if group_id in scope.group_ids}


def _cut_out(picture: Picture, scope: Scope) -> Live:
    calls, placed = _visible(scope, picture.open), _placed(picture.open)
    own = scope.group_ids
    groups = {pk: group for pk, group in picture.groups.items() if own is None or pk in own}
    people = tuple(
        one for one in picture.people if own is None or one.agent_id == scope.agent_id or not own.isdisjoint(one.group_ids)
    )
    counted: Any = {*picture.today, *picture.rolling, *groups, *(entry[1] for entry in picture.open.entries)}
    queues = _queues(picture, placed, counted if own is None else own, people)
    of_state = Counter(state for pk, (state, _) in placed.state_of.items() if pk in calls)
    oldest = min((entered for pk, _, entered in placed.waiting if pk in calls), default=None)
    return Live(
        at=picture.at,
        started=of_state[CallState.STARTED],
        in_ivr=of_state[CallState.IN_IVR],
        in_queue=of_state[CallState.QUEUED],
        ringing=of_state[CallState.RINGING],
        talking=of_state[CallState.TALKING],
        longest_wait_seconds=_seconds(oldest, picture.at),
        agents=queues.agents,
        calls_today=picture.calls_today if own is None else None,
        queues=queues,
        groups=tuple(
            GroupNow(pk, group.name, _queues(picture, placed, {pk}, [one for one in people if pk in one.group_ids]))
            for pk, group in groups.items()
        ),
        people=people,
        feeds=picture.feeds,
        counted_to=picture.counted_to,
    )


def _by_activity(people: Iterable[Doing]) -> dict[str, int]:
    counted = Counter(one.activity for one in people)
    return {name: counted[name] for name in ACTIVITIES}


def _queues(picture: Picture, placed: _Placed, group_ids: Any, people: Iterable[Doing]) -> Queues:
    state_of = placed.state_of
    waiting = [(pk, group, entered) for pk, group, entered in placed.waiting if group in group_ids]
    ringing = sum(state_of[pk][0] == CallState.RINGING for pk, _, _ in waiting)
    directly = sum(
        state == CallState.RINGING and group in group_ids and pk not in placed.queued for pk, (state, group) in state_of.items()
    )
    late = sum(
        (picture.at - entered).total_seconds()
        > (picture.groups[group].target_seconds if group in picture.groups else picture.default_target_seconds)
        for _, group, entered in waiting
    )
    today, rolling = _added(picture.today, group_ids), _added(picture.rolling, group_ids)
    return Queues(
        in_queue=len(waiting) - ringing,
        ringing=ringing + directly,
        talking=sum(state == CallState.TALKING and group in group_ids for state, group in state_of.values()),
        longest_wait_seconds=_seconds(min((entered for _, _, entered in waiting), default=None), picture.at),
        agents=_by_activity(people),
        offered_today=int(METRICS["offered"].value(today) or 0),
        answered_today=int(METRICS["queue_answered"].value(today) or 0),
        abandoned_today=int(METRICS["abandoned"].value(today) or 0),
        service_level_today=_service_level(today, late),
        service_level_rolling=_service_level(rolling, late),
    )


def _added(of_groups: Mapping[Any, dict[str, float]], group_ids: Any) -> dict[str, float]:
    sums = dict(_NOTHING)
    for group_id, counters in of_groups.items():
        if group_id in group_ids:
            for name in sums:
                sums[name] += counters[name]
    return sums


def _service_level(counters: dict[str, float], n_late: int) -> float | None:
    """The catalogue's formula, with those who have waited too long already among what it divides by."""
    top, bottom = METRICS["service_level"].parts(counters)
    return top / (bottom + n_late) if bottom + n_late else None


def _seconds(since: dt.datetime | None, at: dt.datetime) -> float | None:
    return None if since is None else max(0.0, round((at - since).total_seconds(), 3))


# --- As it is sent ---------------------------------------------------------------------------------------------------


def answer(live: Live) -> dict[str, Any]:
    """As the API and the live pages get it."""
    return {
        "at": live.at,
        "counted_to": live.counted_to,
        "calls": {
            "started": live.started,
            "in_ivr": live.in_ivr,
            "in_queue": live.in_queue,
            "ringing": live.ringing,
            "talking": live.talking,
            "today": live.calls_today,
        },
        "longest_wait_seconds": live.longest_wait_seconds,
        "agents": live.agents,
        "queues": queue_figures(live.queues),
        "skill_groups": [
            {"skill_group": group.group_id, "name": group.name, **queue_figures(group.queues), "agents": group.queues.agents}
            for group in live.groups
        ],
        "people": [
            {
                "agent": one.agent_id,
                "activity": one.activity,
                "since": one.since,
                "reason": one.reason,
                "skill_groups": list(one.group_ids),
            }
            for one in live.people
        ],
        "connections": connections(live),
    }


def connections(live: Live) -> list[dict[str, str]]:
    return [{"name": feed["source"], "state": feed["state"], "heard_at": feed.get("heard_at", "")} for feed in live.feeds]


def queue_figures(queues: Queues) -> dict[str, Any]:
    return {
        "in_queue": queues.in_queue,
        "ringing": queues.ringing,
        "talking": queues.talking,
        "longest_wait_seconds": queues.longest_wait_seconds,
        "staffed": queues.staffed,
        "available": queues.agents["available"],
        "offered_today": queues.offered_today,
        "answered_today": queues.answered_today,
        "abandoned_today": queues.abandoned_today,
        "service_level_today": queues.service_level_today,
        "service_level_rolling": queues.service_level_rolling,
    }


# --- Views that stay open --------------------------------------------------------------------------------------------


def view_of(scope: Scope, *, with_people: bool) -> str:
    """The name of a view on a picture. Whoever sees the same has the same, so that it is worked out for all of them once."""
    return f"now:{scope.text}:{'people' if with_people else ''}"


def render_view(account_id: int, view: str) -> str:
    """The JSON of a view named by `view_of`."""
    scope, _colon, people = view.removeprefix("now:").rpartition(":")
    told = answer(seen(Scope.read(account_id, scope)))
    if not people:
        del told["people"]
    return as_json(told)


def as_json(told: Any) -> str:
    return json.dumps(told, cls=DjangoJSONEncoder, separators=(",", ":"))
