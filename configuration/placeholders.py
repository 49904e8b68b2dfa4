"""What stands in braces in a quick reply or in the address of a pop-up, and is filled in with the call at hand.

Callers choose much of what is filled in: their name, what they said, sometimes their number. So a value is never read
as a template again, brings no line breaks, and in an address cannot leave the place it stands in.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext


@dataclass(frozen=True)
class Placeholder:
    description: Any
    sample: str
    """Stands in previews."""


PLACEHOLDERS: dict[str, Placeholder] = {
    "caller_number": Placeholder(_("the number the customer calls from"), "+8613800138000"),
    "called_number": Placeholder(_("the number the customer dialled"), "+861055500001"),
    "provider": Placeholder(_("the telecom provider of the customer's number"), "China Mobile"),
    "location": Placeholder(_("where the customer's number is from"), "Beijing"),
    "skill_group": Placeholder(_("the skill group the call was queued for"), "Sales"),
    "agent_name": Placeholder(_("the name customers know the agent by"), "Li Na"),
    "agent_staff_id": Placeholder(_("the agent's staff ID"), "1001"),
    "call_id": Placeholder(_("the call's ID"), "c-20260304-000017"),
    "ivr_path": Placeholder(_("what the customer chose in the menus"), "Welcome > 1 > Sales"),
    "started_at": Placeholder(_("when the call began"), "2026-03-04 11:00"),
}

_IN_BRACES = re.compile(r"\{([^{}]*)\}")


def samples() -> dict[str, str]:
    return {name: placeholder.sample for name, placeholder in PLACEHOLDERS.items()}


def check_placeholders(text: str) -> None:
    """Raises `ValidationError` for a placeholder there is none of, and for a brace without its partner."""
    known = pgettext("between the items of a list", ", ").join(f"{{{name}}}" for name in PLACEHOLDERS)
    unknown = [name for name in _IN_BRACES.findall(text) if name not in PLACEHOLDERS]
    if unknown:
        raise ValidationError(
            _("There is no placeholder %(name)s. You can use: %(known)s."),
            code="unknown_placeholder",
            params={"name": f"{{{unknown[0][:40]}}}", "known": known},
        )
    left = re.search(r"[{}]", _IN_BRACES.sub("", text))
    if left:
        raise ValidationError(
            _("A %(brace)s has no partner. Write a placeholder like {caller_number}. You can use: %(known)s."),
            code="unbalanced_braces",
            params={"brace": left.group(), "known": known},
        )


def fill(template: str, values: Mapping[str, Any]) -> str:
    """The text with its placeholders filled in; one without a value is left out."""
    return _IN_BRACES.sub(lambda found: _one_line(values.get(found.group(1))), template)


def fill_url(template: str, values: Mapping[str, Any]) -> str:
    """The address with its placeholders filled in, every value percent-encoded.

    A value of dots alone is left out: encoded or not, browsers would read it as the folder above.
    """

    def encoded(found: re.Match[str]) -> str:
        value = _one_line(values.get(found.group(1)))
        return quote(value, safe="", errors="replace") if value.strip(".") else ""

    return _IN_BRACES.sub(encoded, template)


def _one_line(value: Any) -> str:
    text = "" if value is None else str(value)
    return "".join(" " if unicodedata.category(character) in _BREAKING else character for character in text).strip()


_BREAKING = frozenset({"Cc", "Zl", "Zp", "Cs"})
"""Control characters, line and paragraph separators, and halves of characters, which no encoding takes."""
