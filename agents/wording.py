"""Codes of events in words, for pages. A code nobody knows here is shown as the platform wrote it."""

import datetime as dt

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_TERMINALS: dict[str, Promise] = {"web": _("web"), "desk_phone": _("desk phone"), "mobile": _("mobile")}


def to_the_second(moment: dt.datetime) -> str:
    """For columns: statuses follow each other within a minute."""
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S")


def terminal(code: str) -> str:
    """Where an agent takes calls."""
    return str(_TERMINALS[code]) if code in _TERMINALS else code.replace("_", " ")
