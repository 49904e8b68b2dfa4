"""Periods of whole local days, and how they are cut into stretches of local time.

A stretch is keyed by wall time and offset from UTC, so that the hour that comes twice when a clock is put back makes
two, and the hour that is skipped makes none.
"""

import datetime as dt
import re
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import formats
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from callcenter_site.slots import SLOT, day_bounds, slot_of, slots_between

MAX_DAYS = 400
PRESETS: dict[str, Promise] = {
    "today": gettext_lazy("Today"),
    "yesterday": gettext_lazy("Yesterday"),
    "last_7_days": gettext_lazy("Last 7 days"),
    "last_30_days": gettext_lazy("Last 30 days"),
    "this_week": gettext_lazy("This week"),
    "last_week": gettext_lazy("Last week"),
    "this_month": gettext_lazy("This month"),
    "last_month": gettext_lazy("Last month"),
}
STEPS: dict[str, Promise] = {
    "interval": gettext_lazy("Quarter of an hour"),
    "half_hour": gettext_lazy("Half hour"),
    "hour": gettext_lazy("Hour"),
    "day": gettext_lazy("Day"),
    "week": gettext_lazy("Week"),
    "month": gettext_lazy("Month"),
}
"""How a period is cut. Weeks begin on Monday; one that the period cuts has the days that are in it."""
COMPARISONS: dict[str, Promise] = {
    "before": gettext_lazy("The period before"),
    "week": gettext_lazy("A week earlier"),
    "four_weeks": gettext_lazy("Four weeks earlier"),
    "year": gettext_lazy("52 weeks earlier"),
}
_WEEKS_EARLIER = {"week": 1, "four_weeks": 4, "year": 52}
OF_DAYS = frozenset({"day", "week", "month"})
_STEP_MINUTES = {"interval": 15, "half_hour": 30, "hour": 60}
_ONE_DAY = dt.timedelta(days=1)


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
        elif self.preset in ("this_week", "last_week"):
            first, last = self.first - 7 * _ONE_DAY, self.first - _ONE_DAY
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
    monday = today - today.weekday() * _ONE_DAY
    match preset:
        case "yesterday":
            return today - _ONE_DAY, today - _ONE_DAY
        case "last_7_days":
            return today - 6 * _ONE_DAY, today
        case "last_30_days":
            return today - 29 * _ONE_DAY, today
        case "this_week":
            return monday, today
        case "last_week":
            return monday - 7 * _ONE_DAY, monday - _ONE_DAY
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


# --- Stretches of local time -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a period, with its borders in the period's zone."""

    start: dt.datetime
    end: dt.datetime
    value: str
    """As programs read it: 2026-03-02T10:30:00+08:00, 2026-03-02 (of a week its Monday), 2026-03."""

    @property
    def first(self) -> dt.date:
        return self.start.date()

    @property
    def last(self) -> dt.date:
        return (self.end.astimezone(dt.UTC) - SLOT).astimezone(self.start.tzinfo).date()


def stretches(period: Period, step: str) -> list[Stretch]:
    """The period in steps, in order and without gaps."""
    if period.start >= period.end:
        return []
    return _of_days(period, step) if step in OF_DAYS else _of_slots(period, step)


def half_hour_of(local: dt.datetime) -> int:
    """Which of the 48 of a local day; an hour that comes twice has the same ones twice."""
    return local.hour * 2 + local.minute // 30


def beginning(day: dt.date, step: str) -> dt.date:
    """The day by which a step of days is known."""
    if step == "week":
        return day - day.weekday() * _ONE_DAY
    return day.replace(day=1) if step == "month" else day


def _of_days(period: Period, step: str) -> list[Stretch]:
    days: dict[dt.date, list[dt.date]] = defaultdict(list)
    for n in range(period.n_days):
        day = period.first + n * _ONE_DAY
        days[beginning(day, step)].append(day)
    return [
        Stretch(
            day_bounds(of_step[0], period.zone)[0].astimezone(period.zone),
            min(day_bounds(of_step[-1], period.zone)[1], period.end).astimezone(period.zone),
            key.isoformat()[:7] if step == "month" else key.isoformat(),
        )
        for key, of_step in days.items()
    ]


def _of_slots(period: Period, step: str) -> list[Stretch]:
    minutes = _STEP_MINUTES[step]
    slots: dict[tuple[Any, ...], list[dt.datetime]] = defaultdict(list)
    for slot in slots_between(period.start, period.end):
        local = slot.astimezone(period.zone)
        slots[local.date(), (local.hour * 60 + local.minute) // minutes, local.utcoffset()].append(local)
    return [
        Stretch(of_step[0], (of_step[-1].astimezone(dt.UTC) + SLOT).astimezone(period.zone), of_step[0].isoformat())
        for of_step in slots.values()
    ]


def labels(parts: list[Stretch], period: Period, step: str) -> list[str]:
    """As people read them; unique within the period."""
    starts = [part.start for part in parts]
    if step == "month":
        return [formats.date_format(start, pgettext("date pattern", "M Y")) for start in starts]
    if step in OF_DAYS:
        return [formats.date_format(start, pgettext("date pattern", "D j M")) for start in starts]
    pattern = "H:i" if period.n_days == 1 else pgettext("date pattern", "j M H:i")
    found = [formats.date_format(start, pattern) for start in starts]
    changes_clock = len({start.utcoffset() for start in starts}) > 1
    twice = {label for label, n in Counter(found).items() if n > 1} if changes_clock else set()
    return [label + _offset(start) if label in twice else label for start, label in zip(starts, found, strict=True)]


def _offset(moment: dt.datetime) -> str:
    """−04:00, as it stands behind a label that comes twice."""
    return moment.isoformat()[-6:].replace("-", "−")
