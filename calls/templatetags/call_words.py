"""`{{ call.end_cause|ending }}` and the like: see `calls.wording`."""

from django import template

from calls import wording

register = template.Library()
for name in ("ending", "departure", "prompt_kind", "input_kind", "terminal", "call_type", "why_not_folded"):
    register.filter(name, getattr(wording, name))
