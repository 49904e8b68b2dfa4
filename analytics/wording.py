"""Figures as people read them. Rounded here and nowhere earlier, halves up; a figure that does not exist is a dash."""

from decimal import ROUND_HALF_UP, Decimal

from django.utils import formats
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext as _

from analytics.metrics import Good, Metric, Unit
from callcenter_site.durations import clock

NOTHING = "–"


def shown(unit: Unit, value: int | float | None) -> str:
    if value is None:
        return NOTHING
    match unit:
        case Unit.COUNT:
            return formats.number_format(value, decimal_pos=0, force_grouping=True)
        case Unit.RATIO:
            return _("%(n)s %%") % {"n": _number(value * 100, 1)}
        case Unit.SECONDS:
            return _("%(n)s s") % {"n": _number(value, 1)} if _rounded(value, 1) < 60 else clock(float(_rounded(value, 0)))
        case Unit.SCORE:
            return _number(value, 1)


def percent(share: float | None) -> float | None:
    """A share as charts draw it."""
    return None if share is None else round(share * 100, 1)


def change(metric: Metric, now: int | float | None, before: int | float | None) -> tuple[str, str]:
    """How a figure moved against the period before, and whether that is "good", "bad" or "even". Empty: not comparable.

    Shares move by percentage points; everything else by its own share.
    """
    if now is None or before is None:
        return "", "even"
    if metric.unit is Unit.RATIO:
        moved = _rounded((now - before) * 100, 1)
        text = _("%(n)s pp") % {"n": _signed(moved)}
    elif before:
        moved = _rounded((now - before) / before * 100, 0)
        text = _("%(n)s %%") % {"n": _signed(moved)}
    else:
        return "", "even"
    if not moved or metric.good is Good.NEITHER:
        return text, "even"
    return text, "good" if (moved > 0) == (metric.good is Good.UP) else "bad"


def weekday_hour(weekday: int, hour: int) -> str:
    """Of a day of the week (1 is Monday), as in "Mon 10:00"."""
    return f"{WEEKDAYS_ABBR[weekday - 1]} {hour}:00"


def _signed(number: Decimal) -> str:
    text = formats.number_format(abs(number), decimal_pos=max(0, -int(number.as_tuple().exponent)), force_grouping=True)
    return ("+" if number > 0 else "−" if number < 0 else "±") + text


def _number(value: int | float, places: int) -> str:
    return formats.number_format(_rounded(value, places), decimal_pos=places, force_grouping=True)


def _rounded(value: int | float, places: int) -> Decimal:
    # From the shortest text of the number: 2.675 means 2.675, not the binary fraction just below it.
    return Decimal(repr(round(value, 9))).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
