"""Codes of events in words, for pages. A code nobody knows here is shown as the platform wrote it."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from callcenter_site.kept_sentences import in_readers_language
from calls import fetching, incoming
from calls.ingest import REASONS

_ENDINGS: dict[str, Promise] = {
    "completed": _("completed"),
    "blocked": _("blocked"),
    "self_served": _("served by the IVR"),
    "timeout": _("waited too long"),
    "no_agents": _("no agent online"),
    "closed": _("out of hours"),
    "full": _("queue full"),
    "no_answer": _("no answer"),
    "busy": _("line busy"),
    "rejected": _("rejected"),
    "unreachable": _("unreachable"),
    "invalid_number": _("invalid number"),
    "cancelled": _("cancelled"),
    "error": _("system error"),
    "lost_contact": _("lost contact"),
}
_DEPARTURES: dict[str, Promise] = {
    "timeout": _("waited too long"),
    "overflow": _("passed on to another queue"),
    "no_agents": _("no agent online"),
    "closed": _("out of hours"),
    "full": _("queue full"),
    "voicemail": _("to voicemail"),
    "callback": _("to be called back"),
    "key": _("left by a key"),
    "withdrawn": _("taken out of the queue"),
    "forwarded": _("to an external center"),
}
_PROMPTS: dict[str, Promise] = {
    "tts": _("text to speech"),
    "engine": _("from the dialog engine"),
    "audio": _("audio file"),
}
_INPUTS: dict[str, Promise] = {
    "keys": pgettext_lazy("what a caller entered", "keys"),
    "speech": pgettext_lazy("what a caller entered", "speech"),
    "audio": pgettext_lazy("what a caller entered", "audio"),
}
_CALL_TYPES: dict[str, Promise] = {"phone": _("phone"), "extension": _("extension")}


def ending(code: str) -> str:
    return _said(_ENDINGS, code)


def departure(code: str) -> str:
    """Why a call left a queue unanswered."""
    return _said(_DEPARTURES, code)


def prompt_kind(code: str) -> str:
    return _said(_PROMPTS, code)


def input_kind(code: str) -> str:
    return _said(_INPUTS, code)


def call_type(code: str) -> str:
    return _said(_CALL_TYPES, code)


def why_not_folded(reason: str) -> str:
    return in_readers_language(reason, REASONS)


def why_no_sound(reason: str) -> str:
    return in_readers_language(reason, fetching.ERRORS + incoming.ERRORS)


def _said(known: Mapping[str, Promise], code: str) -> str:
    return str(known[code]) if code in known else code.replace("_", " ")
