"""Next week's calls by half hours, and how many agents they ask for.

A half hour is forecast as the mean of the same one on the last four same weekdays. Days that were nothing like their
weekday, holidays and outages among them, are left out on both sides. How far off that is gets said: by the same rule the
last weeks are forecast from what was known before them, and held against what came. The simplest guess, the same half
hour a week before, is measured beside it.
"""

import datetime as dt
import functools
import statistics
import zoneinfo
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import F, Sum

from agents.models import SkillGroup, SkillGroupMember
from analytics import staffing
from analytics.models import AgentInterval, GroupTotal
from analytics.periods import half_hour_of
from analytics.staffing import Aim, Load
from callcenter_site.slots import SLOT, day_bounds, slots_between
from configuration.models import Account

WEEKDAYS_USED = 4
WEEKS_READ = 12
WEEKS_MEASURED = 4
LEAST_SHARE, MOST_SHARE = 0.4, 2.5
"""A day with less or more than this share of its weekday's median is no usual day."""
HALF_HOUR_SECONDS = 1800
START = {"level": 80, "occupancy": 90, "shrinkage": 30}
"""What is aimed at where nothing is said, in percent."""
KEPT_SECONDS = 300
STAFFED = ("available_seconds", "ringing_seconds", "on_call_seconds", "acw_seconds", "not_ready_seconds")
"""Online and not on a break."""

Day = Mapping[int, float]
"""Calls by half hour of the local day, 0 to 47. An hour that comes twice counts as the mean of both."""
History = Mapping[dt.date, Day]


@dataclass(frozen=True, slots=True)
class HalfHour:
    start: dt.datetime
    calls: float | None
    """None: no usual day of this weekday is known."""
    required: int | None
    scheduled: int | None
    there: float | None
    """Agents who were there in this half hour of the last same weekday, on average; None: it was not counted."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Weighted absolute percentage errors, Σ|actual − forecast| ÷ Σ actual, over the same half hours."""

    wape: float
    wape_of_week_before: float
    n_days: int


@dataclass(frozen=True, slots=True)
class Forecast:
    half_hours: list[HalfHour]
    accuracy: Accuracy | None
    left_out: list[dt.date]
    """Days of the last weeks that were no usual ones."""
    handle_seconds: float | None
    patience_seconds: float | None


# --- From days to days -----------------------------------------------------------------------------------------------


def unusual_days(history: History) -> set[dt.date]:
    """Held against the other same weekdays that are known; of fewer than two others nothing can be said."""
    totals = {day: sum(halves.values()) for day, halves in history.items()}
    found = set()
    for day, total in totals.items():
        others = [n for other, n in totals.items() if other != day and other.weekday() == day.weekday()]
        if len(others) >= 2 and (median := statistics.median(others)) > 0 and not LEAST_SHARE <= total / median <= MOST_SHARE:
            found.add(day)
    return found


def usual_day(history: History, day: dt.date, *, before: dt.date, unusual: set[dt.date]) -> Day | None:
    """What is known before a day says of another: the mean of the last four same weekdays; None: none is known."""
    same = [
        past
        for weeks in range(1, WEEKS_READ + 1)
        if (past := day - dt.timedelta(weeks=weeks)) in history and past < before and past not in unusual
    ][:WEEKDAYS_USED]
    if not same:
        return None
    return {half: sum(history[past].get(half, 0) for past in same) / len(same) for half in range(48)}


def measure(history: History, *, today: dt.date) -> Accuracy | None:
    """Each of the last weeks as it would have been forecast when it began."""
    error = error_of_week_before = total = 0.0
    n_days = 0
    not_usual = unusual_days(history)
    for weeks in range(1, WEEKS_MEASURED + 1):
        origin = today - dt.timedelta(weeks=weeks)
        known = {day: halves for day, halves in history.items() if day < origin}
        unusual = unusual_days(known)
        for offset in range(7):
            day = origin + dt.timedelta(days=offset)
            week_before = day - dt.timedelta(weeks=1)
            guess = usual_day(known, day, before=origin, unusual=unusual)
            if guess is None or day not in history or day in not_usual or week_before not in known:
                continue
            n_days += 1
            for half in range(48):
                actual = history[day].get(half, 0)
                total += actual
                error += abs(actual - guess[half])
                error_of_week_before += abs(actual - known[week_before].get(half, 0))
    return Accuracy(error / total, error_of_week_before / total, n_days) if total else None


# --- Of a skill group ------------------------------------------------------------------------------------------------


def forecast(group: SkillGroup, *, at: dt.datetime, aim: Aim) -> Forecast:
    zone = group.account.zone
    today = at.astimezone(zone).date()
    history = read_history(group, today=today)
    handle, patience = _work(group, today=today)
    monday = today + dt.timedelta(days=7 - today.weekday())
    unusual = unusual_days(history)
    there = _who_was_there(group, today=today)

    @functools.cache
    def required(calls: float) -> int | None:
        if handle is None:
            return None
        try:
            return staffing.required(Load(calls, HALF_HOUR_SECONDS, handle), aim=aim, patience_seconds=patience)
        except ValueError:
            return None

    half_hours = []
    for day in (monday + dt.timedelta(days=n) for n in range(7)):
        usual = usual_day(history, day, before=today, unusual=unusual)
        before = _last_same_weekday(day, today)
        for start in half_hours_of(day, zone):
            half = half_hour_of(start)
            calls = None if usual is None else round(usual[half], 2)
            n = None if calls is None else required(calls)
            half_hours.append(
                HalfHour(
                    start=start,
                    calls=calls,
                    required=n,
                    scheduled=None if n is None else staffing.scheduled(n, shrinkage=aim.shrinkage),
                    there=there.get((before, half)),
                )
            )
    return Forecast(half_hours, measure(history, today=today), sorted(unusual), handle, patience)


def kept(group: SkillGroup, *, at: dt.datetime, level: float, occupancy: float, shrinkage: float) -> Forecast:
    """The forecast for an aim in percent, worked out at most every few minutes."""
    target = target_of(group, group.account)
    key = f"forecast:{group.pk}:{at.astimezone(group.account.zone).date()}:{target}:{level}:{occupancy}:{shrinkage}"
    known: Forecast | None = cache.get(key)
    if known is None:
        aim = Aim(service_level=level / 100, target_seconds=target, most_occupancy=occupancy / 100, shrinkage=shrinkage / 100)
        known = forecast(group, at=at, aim=aim)
        cache.set(key, known, KEPT_SECONDS)
    return known


def half_hours_of(day: dt.date, zone: zoneinfo.ZoneInfo) -> list[dt.datetime]:
    """46 to 50 of them, by the clock on the wall."""
    start, end = day_bounds(day, zone)
    starts = [slot.astimezone(zone) for slot in slots_between(start, end)]
    return [slot for slot in starts if slot.minute % 30 == 0]


def read_history(group: SkillGroup, *, today: dt.date) -> dict[dt.date, dict[int, float]]:
    """Calls that came for an agent of the group: those turned away at the door are none. From its first day on."""
    zone = group.account.zone
    first = today - dt.timedelta(weeks=WEEKS_READ)
    rows = GroupTotal.objects.for_account(group.account_id).filter(skill_group=group)
    rows = rows.within(day_bounds(first, zone)[0], day_bounds(today, zone)[0]).order_by("slot")
    counts = dict(rows.values_list("slot", F("n_entries") + F("n_at_once") - F("n_rejected")))
    if not counts:
        return {}
    day, history = min(counts).astimezone(zone).date(), {}
    while day < today:
        history[day] = _by_half_hour(counts, day, zone)
        day += dt.timedelta(days=1)
    return history


def _by_half_hour(counts: Mapping[dt.datetime, float], day: dt.date, zone: zoneinfo.ZoneInfo) -> dict[int, float]:
    start, end = day_bounds(day, zone)
    sums: defaultdict[int, float] = defaultdict(float)
    n_slots: defaultdict[int, int] = defaultdict(int)
    for slot in slots_between(start, end):
        half = half_hour_of(slot.astimezone(zone))
        sums[half] += counts.get(slot, 0)
        n_slots[half] += 1
    return {half: total * 2 / n_slots[half] for half, total in sums.items()}


def target_of(group: SkillGroup | None, account: Account) -> int:
    """Seconds within which calls of a group are to be answered: its own, else the account's."""
    own = group.service_level_seconds if group is not None else None
    return account.service_level_seconds if own is None else own


@dataclass(frozen=True, slots=True)
class Work:
    """Of one answered leg, and of one caller."""

    handle_seconds: float
    patience_seconds: float | None


def work_of(rows: Any) -> Work | None:
    """What slots of a skill group say of the work; None: nobody answered in them."""
    sums = rows.aggregate(
        legs=Sum("n_legs"),
        handle=Sum(F("talk_seconds") + F("hold_seconds") + F("wrap_up_seconds")),
        waits=Sum("wait_seconds"),
        abandoned=Sum("n_abandoned"),
    )
    if not sums["legs"]:
        return None
    patience = staffing.patience(wait_seconds=sums["waits"], n_abandoned=sums["abandoned"])
    return Work(sums["handle"] / sums["legs"], patience)


def _work(group: SkillGroup, *, today: dt.date) -> tuple[float | None, float | None]:
    """Handle time and patience of the weeks that were read."""
    zone = group.account.zone
    first = day_bounds(today - dt.timedelta(weeks=WEEKS_READ), zone)[0]
    rows = GroupTotal.objects.for_account(group.account_id).filter(skill_group=group, slot__gte=first)
    work = work_of(rows)
    if work is None or not work.handle_seconds:
        return None, None
    patience = work.patience_seconds
    return work.handle_seconds, None if patience is None else min(3600.0, max(1.0, patience))


def _last_same_weekday(day: dt.date, today: dt.date) -> dt.date:
    """The latest one that is over."""
    return day - dt.timedelta(weeks=1) if day - dt.timedelta(weeks=1) < today else day - dt.timedelta(weeks=2)


def _who_was_there(group: SkillGroup, *, today: dt.date) -> dict[tuple[dt.date, int], float]:
    """Of those who are in the group now: who serves several groups was there for each of them."""
    zone = group.account.zone
    first = today - dt.timedelta(days=14)
    members = SkillGroupMember.objects.for_account(group.account_id).filter(skill_group=group).values("agent_id")
    rows = (
        AgentInterval.objects.for_account(group.account_id)
        .filter(agent_id__in=members)
        .within(day_bounds(first, zone)[0], day_bounds(today, zone)[0])
        .order_by()
    )
    sums = rows.values("slot").annotate(**{f"n_{name}": Sum(name) for name in STAFFED})
    seconds = {row.pop("slot"): sum(row.values()) for row in sums}
    if not seconds:
        return {}
    found = {}
    for day in (first + dt.timedelta(days=n) for n in range(14)):
        for half, total in _by_half_hour(seconds, day, zone).items():
            found[day, half] = total / (2 * SLOT.total_seconds())
    return found
