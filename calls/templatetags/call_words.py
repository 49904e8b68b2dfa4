"""`{{ call.end_cause|ending }}` and the like: see `calls.wording`."""

from django import template

from agents.wording import terminal
from calls import wording

register = template.Library()
register.filter("terminal", terminal)
for name in ("ending", "departure", "prompt_kind", "input_kind", "call_type", "why_not_folded"):
    register.filter(name, getattr(wording, name))
