"""Figures of the past: sums of interval counts over a period, as a whole, in steps of local time, and by skill group.

Periods are whole local days of the account. A step is a stretch of local wall time; where a clock is put back, the
hour that comes twice is two steps, told apart by their offset from UTC. Nothing here reads a call.
"""

import datetime as dt
import re
import zoneinfo
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Max, Min, Sum
from django.utils import formats
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from agents.models import SkillGroup
from agents.querysets import sees_account
from analytics.metrics import CATALOGUE, MAXIMA, Counters, Source
from analytics.models import CallInterval, CallTotal, FillMark, GroupTotal, QueueInterval, QueueTotal
from callcenter_site.slots import SLOT, day_bounds, slot_of, slots_between
from calls.models import CallEvent, Direction, EventState, StaleCallSlot
from configuration.models import Account, Role
from configuration.scoping import Actor

MAX_DAYS = 400
PRESETS: dict[str, Promise] = {
    "today": gettext_lazy("Today"),
    "yesterday": gettext_lazy("Yesterday"),
    "last_7_days": gettext_lazy("Last 7 days"),
    "this_month": gettext_lazy("This month"),
    "last_month": gettext_lazy("Last month"),
}
STEPS: dict[str, Promise] = {
    "half_hour": gettext_lazy("Half hour"),
    "hour": gettext_lazy("Hour"),
    "day": gettext_lazy("Day"),
}
COMPARISONS: dict[str, Promise] = {
    "before": gettext_lazy("The period before"),
    "week": gettext_lazy("A week earlier"),
    "four_weeks": gettext_lazy("Four weeks earlier"),
    "year": gettext_lazy("52 weeks earlier"),
}
_WEEKS_EARLIER = {"week": 1, "four_weeks": 4, "year": 52}
_STEP_MINUTES = {"half_hour": 30, "hour": 60}
_ONE_DAY = dt.timedelta(days=1)

Figures = dict[str, int | float | None]


# --- Which period ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Period:
    """Local days from `first` to `last`, both included. `until` cuts the last day short, for a fair comparison."""

    first: dt.date
    last: dt.date
    zone: zoneinfo.ZoneInfo
    preset: str = ""
    until: dt.datetime | None = None

    @property
    def start(self) -> dt.datetime:
        return day_bounds(self.first, self.zone)[0]

    @property
    def end(self) -> dt.datetime:
        end = day_bounds(self.last, self.zone)[1]
        return min(end, self.until) if self.until else end

    @property
    def n_days(self) -> int:
        return (self.last - self.first).days + 1

    def before(self, *, at: dt.datetime, weeks: int = 0) -> "Period":
        """The period to compare with: as many days just before, months with months; or the same days so many weeks
        earlier. A period that still runs is compared with as much of the other as has passed of it."""
        if weeks:
            first, last = self.first - _ONE_DAY * 7 * weeks, self.last - _ONE_DAY * 7 * weeks
        elif self.preset in ("this_month", "last_month"):
            last = self.first - _ONE_DAY
            first = last.replace(day=1)
        else:
            first, last = self.first - _ONE_DAY * self.n_days, self.first - _ONE_DAY
        if not self.start <= at < self.end:
            return Period(first, last, self.zone)
        here = at.astimezone(self.zone)
        cut = dt.datetime.combine(min(first + (here.date() - self.first), last), here.time(), tzinfo=self.zone)
        return Period(first, cut.date(), self.zone, until=slot_of(cut))


def read_period(parameters: Mapping[str, str], *, zone: zoneinfo.ZoneInfo, at: dt.datetime) -> Period:
    """The period that `period` names, or `from` and `to` bound; today if nothing is said. ValidationError names the field."""
    today = at.astimezone(zone).date()
    if parameters.get("from") or parameters.get("to"):
        first, last = _day(parameters, "from", zone), _day(parameters, "to", zone)
        first, last = first or last or today, last or max(first or today, today)
        if first > last:
            raise ValidationError({"to": _("The period ends before it begins.")})
        if (last - first).days >= MAX_DAYS:
            raise ValidationError({"to": _("A period may be at most %(n)s days long.") % {"n": MAX_DAYS}})
        return Period(first, last, zone)
    preset = parameters.get("period") or "today"
    if preset not in PRESETS:
        raise ValidationError(
            {
                "period": _("%(value)s is no period; choose one of %(known)s.")
                % {"value": preset[:40], "known": ", ".join(PRESETS)}
            }
        )
    first, last = _preset_days(preset, today)
    return Period(first, last, zone, preset)


def read_comparison(parameters: Mapping[str, str], period: Period, *, at: dt.datetime) -> tuple[str, Period]:
    """What the period is compared with, and its name. ValidationError names the field."""
    name = parameters.get("compare") or "before"
    if name not in COMPARISONS:
        raise ValidationError(
            {"compare": _("This is no comparison; choose one of %(known)s.") % {"known": ", ".join(COMPARISONS)}}
        )
    return name, period.before(at=at, weeks=_WEEKS_EARLIER.get(name, 0))


def _preset_days(preset: str, today: dt.date) -> tuple[dt.date, dt.date]:
    match preset:
        case "yesterday":
            return today - _ONE_DAY, today - _ONE_DAY
        case "last_7_days":
            return today - 6 * _ONE_DAY, today
        case "this_month":
            return today.replace(day=1), today
        case "last_month":
            last = today.replace(day=1) - _ONE_DAY
            return last.replace(day=1), last
        case _:
            return today, today


def _day(parameters: Mapping[str, str], name: str, zone: zoneinfo.ZoneInfo) -> dt.date | None:
    text = parameters.get(name, "").strip()
    if not text:
        return None
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise ValueError
        day = dt.date.fromisoformat(text)
        if not 1970 <= day.year <= 9998:
            raise ValueError
        day_bounds(day, zone)
    except (ValueError, OverflowError) as error:
        raise ValidationError({name: _("This is not a day; write it like 2026-01-31.")}) from error
    return day


# --- Whose calls -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filters:
    """Narrows the counts. Calls are not counted by skill group: with one, only the figures of queues apply."""

    skill_group: SkillGroup | None = None
    direction: str = ""
    service_number: str = ""


def read_filters(parameters: Mapping[str, str], *, actor: Actor) -> Filters:
    """ValidationError names the field. A skill group of another account is one that does not exist."""
    group: SkillGroup | None = None
    if text := parameters.get("skill_group", ""):
        rows = SkillGroup.objects.visible_to(actor)
        is_number = text.isascii() and text.isdecimal() and len(text) <= 18
        group = rows.filter(pk=int(text)).first() if is_number else None
        if group is None:
            raise ValidationError({"skill_group": _("There is no such skill group.")})
    direction = parameters.get("direction", "")
    if direction and direction not in Direction.values:
        raise ValidationError(
            {"direction": _("This is not a direction; choose one of %(known)s.") % {"known": ", ".join(Direction.values)}}
        )
    return Filters(group, direction, parameters.get("service_number", "")[:64])


def read_step(parameters: Mapping[str, str], period: Period) -> str:
    """The step asked for, else the finest that a chart of the period can show."""
    step = parameters.get("step", "")
    if step and step not in STEPS:
        raise ValidationError({"step": _("This is not a step; choose one of %(known)s.") % {"known": ", ".join(STEPS)}})
    if step:
        return step
    return "half_hour" if period.n_days <= 2 else "hour" if period.n_days <= 7 else "day"


def applies(source: Source, *, actor: Actor, filters: Filters) -> bool:
    """Whether figures of a source can be given: counts of calls know no skill group, counts of queues no person."""
    if source is Source.CALLS:
        return filters.skill_group is None and sees_account(actor)
    return sees_account(actor) or getattr(actor, "data_scope", None) == Role.DataScope.GROUPS


# --- Sums ------------------------------------------------------------------------------------------------------------


_CALL_COUNTERS = tuple(sorted({name for metric in CATALOGUE if metric.source is Source.CALLS for name in metric.counters}))
_QUEUE_COUNTERS = tuple(sorted({name for metric in CATALOGUE if metric.source is Source.QUEUES for name in metric.counters}))


@dataclass(slots=True)
class Sums:
    """The counters of some slots, added up; of each source."""

    calls: dict[str, int | float] = field(default_factory=lambda: dict.fromkeys(_CALL_COUNTERS, 0))
    queues: dict[str, int | float] = field(default_factory=lambda: dict.fromkeys(_QUEUE_COUNTERS, 0))

    def of(self, source: Source) -> dict[str, int | float]:
        return self.calls if source is Source.CALLS else self.queues

    def add(self, source: Source, counters: Counters) -> None:
        sums = self.of(source)
        for name, value in counters.items():
            sums[name] = max(sums[name], value) if name in MAXIMA else sums[name] + value


_COUNTERS = {Source.CALLS: _CALL_COUNTERS, Source.QUEUES: _QUEUE_COUNTERS}


def figures(sums: Sums, *, actor: Actor, filters: Filters, sources: Iterable[Source] = tuple(Source)) -> Figures:
    """Every metric of the catalogue; None without a denominator, and where source or filters leave it without a meaning."""
    given = {source: source in sources and applies(source, actor=actor, filters=filters) for source in Source}
    return {metric.name: metric.value(sums.of(metric.source)) if given[metric.source] else None for metric in CATALOGUE}


def summary(*, actor: Actor, period: Period, filters: Filters) -> Figures:
    """Every metric over the whole period."""
    return figures(sum_up(actor=actor, period=period, filters=filters), actor=actor, filters=filters)


def sum_up(*, actor: Actor, period: Period, filters: Filters) -> Sums:
    """The counters of the whole period; two queries."""
    sums = Sums()
    for source, names in _COUNTERS.items():
        if applies(source, actor=actor, filters=filters):
            sums.add(source, _none_is_zero(_rows(source, actor, period, filters).aggregate(**_totals(names))))
    return sums


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of local time. `start` and `end` are aware; `label` is unique within a series."""

    start: dt.datetime
    end: dt.datetime
    label: str
    sums: Sums


def series(*, actor: Actor, period: Period, filters: Filters, step: str) -> list[Step]:
    """The period in steps, in order, those without a call included; two queries."""
    steps = _steps(period, step)
    step_of = {slot: index for index, slots in enumerate(steps) for slot in slots}
    sums = [Sums() for _ in steps]
    for source, names in _COUNTERS.items():
        if applies(source, actor=actor, filters=filters):
            rows = _rows(source, actor, period, filters).values("slot").annotate(**_totals(names))
            for row in rows:
                sums[step_of[row.pop("slot")]].add(source, row)
    labels = _labels([slots[0].astimezone(period.zone) for slots in steps], period, step)
    return [
        Step(slots[0].astimezone(period.zone), (slots[-1] + SLOT).astimezone(period.zone), label, of_step)
        for slots, label, of_step in zip(steps, labels, sums, strict=True)
    ]


def total(steps: Iterable[Step]) -> Sums:
    """The steps of a period added up: the period."""
    sums = Sums()
    for step in steps:
        for source in Source:
            sums.add(source, step.sums.of(source))
    return sums


def by_skill_group(*, actor: Actor, period: Period, filters: Filters) -> dict[int | None, Sums]:
    """Counters of queues per skill group that had any; None: groups the portal does not know. One query."""
    found: dict[int | None, Sums] = {}
    if applies(Source.QUEUES, actor=actor, filters=filters):
        rows = (
            _rows(Source.QUEUES, actor, period, filters, by_group=True)
            .values("skill_group_id")
            .annotate(**_totals(_QUEUE_COUNTERS))
        )
        for row in rows:
            group_id = row.pop("skill_group_id")
            found[group_id] = Sums()
            found[group_id].add(Source.QUEUES, row)
    return found


def grouped(
    source: Source, key: str, *, actor: Actor, period: Period, filters: Filters, counters: tuple[str, ...] | None = None
) -> Any:
    """Counters of a source, all or some, added up per value of a column. One query; `applies` must have said yes."""
    rows = _rows(source, actor, period, filters, by_number=key == "service_number")
    return rows.values(key).annotate(**_totals(counters or _COUNTERS[source]))


def _rows(
    source: Source, actor: Actor, period: Period, filters: Filters, *, by_group: bool = False, by_number: bool = False
) -> Any:
    """The fewest rows that can answer: totals where nothing narrows them."""
    model: Any
    by_group = by_group or filters.skill_group is not None or not sees_account(actor)
    narrowed = {name: value for name in ("direction", "service_number") if (value := getattr(filters, name))}
    if source is Source.CALLS:
        model = CallInterval if narrowed or by_number else CallTotal
    else:
        model = QueueInterval if narrowed or by_number else GroupTotal if by_group else QueueTotal
    rows = model.objects.visible_to(actor).within(period.start, period.end).filter(**narrowed).order_by()
    if source is Source.QUEUES and filters.skill_group is not None:
        rows = rows.filter(skill_group=filters.skill_group)
    return rows


def _totals(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: Max(name) if name in MAXIMA else Sum(name) for name in names}


def _none_is_zero(row: dict[str, Any]) -> dict[str, int | float]:
    return {name: value or 0 for name, value in row.items()}


# --- Steps of local time ---------------------------------------------------------------------------------------------


def _steps(period: Period, step: str) -> list[list[dt.datetime]]:
    """The slots of each step. A step is keyed by wall time and offset, so the hour that comes twice makes two."""
    steps: dict[tuple[Any, ...], list[dt.datetime]] = defaultdict(list)
    for slot in slots_between(period.start, period.end) if period.start < period.end else ():
        local = slot.astimezone(period.zone)
        if step == "day":
            steps[(local.date(),)].append(slot)
        else:
            minutes = _STEP_MINUTES[step]
            steps[local.date(), (local.hour * 60 + local.minute) // minutes, local.utcoffset()].append(slot)
    return list(steps.values())


def _labels(starts: list[dt.datetime], period: Period, step: str) -> list[str]:
    if step == "day":
        return [formats.date_format(start, pgettext("date pattern", "D j M")) for start in starts]
    pattern = "H:i" if period.n_days == 1 else pgettext("date pattern", "j M H:i")
    labels = [formats.date_format(start, pattern) for start in starts]
    twice = {label for label in labels if labels.count(label) > 1} if _changes_clock(starts) else set()
    return [label + _offset(start) if label in twice else label for start, label in zip(starts, labels, strict=True)]


def _changes_clock(starts: list[dt.datetime]) -> bool:
    return len({start.utcoffset() for start in starts}) > 1


def _offset(moment: dt.datetime) -> str:
    """−04:00, as it stands behind a label that comes twice."""
    text = moment.isoformat()[-6:]
    return text.replace("-", "−")


# --- How fresh -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Freshness:
    counted_to: dt.datetime | None
    """Everything accepted before this is in the counts. None: nothing was ever counted."""
    is_behind: bool


BEHIND_AFTER = dt.timedelta(seconds=30)


def freshness(*, account: Account, at: dt.datetime) -> Freshness:
    """How far the counts have come: up to now, unless events wait to be folded or slots to be counted again."""
    counted_to: dt.datetime | None = at
    # The least id is read off the index; ordered by id, MySQL would rather walk the whole inbox.
    oldest = CallEvent.objects.for_account(account).filter(state=EventState.PENDING).order_by().aggregate(pk=Min("pk"))["pk"]
    received_at = CallEvent.objects.filter(pk=oldest).values_list("received_at", flat=True).first() if oldest else None
    if received_at is not None:
        counted_to = min(received_at, at)
    if StaleCallSlot.objects.for_account(account).exists():
        filled_at = FillMark.objects.for_account(account).values_list("filled_at", flat=True).first()
        counted_to = min(filled_at, counted_to or at) if filled_at else None
    return Freshness(counted_to, is_behind=counted_to is None or at - counted_to > BEHIND_AFTER)
