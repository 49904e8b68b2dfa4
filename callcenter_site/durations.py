"""Lengths of time as people read them."""

import datetime as dt

from django.utils.translation import gettext as _


def milliseconds(moment: dt.datetime) -> int:
    """For scripts, which count time so."""
    return round(moment.timestamp() * 1000)


def clock(seconds: float | None) -> str:
    """For columns: 0:07, 12:30, 1:02:30. `None`: a dash."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def spoken(seconds: float) -> str:
    """For sentences: 0.4 s, 7 s, 12 min 30 s, 1 h 2 min. Below ten seconds tenths are kept, where there are any."""
    if seconds < 9.95:
        return _("%(n)s s") % {"n": f"{seconds:.1f}".removesuffix(".0")}
    whole = round(seconds)
    if whole < 60:
        return _("%(n)s s") % {"n": whole}
    if whole < 3600:
        minutes, left = divmod(whole, 60)
        return _("%(m)d min %(s)d s") % {"m": minutes, "s": left} if left else _("%(m)d min") % {"m": minutes}
    hours, minutes = divmod(round(whole / 60), 60)
    return _("%(h)d h %(m)d min") % {"h": hours, "m": minutes} if minutes else _("%(h)d h") % {"h": hours}
