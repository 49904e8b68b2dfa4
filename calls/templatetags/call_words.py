"""`{{ call.end_cause|ending }}` and the like: see `calls.wording`."""

import base64

from django import template

from agents.wording import terminal
from calls import wording
from calls.waveform import browser_draws

register = template.Library()
register.filter("terminal", terminal)
register.filter("browser_draws", browser_draws)
for name in ("ending", "departure", "prompt_kind", "input_kind", "call_type", "why_not_folded", "why_no_sound"):
    register.filter(name, getattr(wording, name))


@register.filter("base64")
def in_base64(content: bytes | memoryview | None) -> str:
    """For scripts; nothing stays nothing."""
    return base64.b64encode(bytes(content or b"")).decode()
