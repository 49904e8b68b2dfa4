"""Pages on which an account sets itself up, one module per kind."""

from configuration.admin import (
    accounts,
    api_keys,
    audit,
    blacklist,
    break_reasons,
    imports,
    ivr_prompts,
    keywords,
    quick_replies,
    roles,
    screen_pops,
    service_numbers,
)

__all__ = [
    "accounts",
    "api_keys",
    "audit",
    "blacklist",
    "break_reasons",
    "imports",
    "ivr_prompts",
    "keywords",
    "quick_replies",
    "roles",
    "screen_pops",
    "service_numbers",
]
