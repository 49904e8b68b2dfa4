"""Ids of rows as they come in addresses and forms: anything may stand there."""

LONGEST = 18
"""Digits of an id that every database holds."""


def read_id(text: str) -> int | None:
    """The id somebody gave; None: what stands there is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST else None
