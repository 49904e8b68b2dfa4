"""When two names are one, and whether a name can be seen, whatever the database underneath thinks of its letters."""

import unicodedata

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(code) for code in range(0xFE00, 0xFE10)}
"""Fillers and selectors that Unicode counts among letters, signs and marks."""


def alike(text: str) -> str:
    """What names that nobody tells apart have in common: without width, case, accents, what is not seen, and spare blanks.

    SQLite tells all of these apart and MariaDB does not. Names are compared in this form before either is asked.
    """
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    seen = (
        " " if letter.isspace() else letter
        for letter in apart
        if letter not in _UNSEEN and not unicodedata.combining(letter)
        if letter.isspace() or unicodedata.category(letter) not in ("Cc", "Cf")
    )
    return " ".join("".join(seen).split())


def is_visible(text: str) -> bool:
    return any(unicodedata.category(letter)[0] in "LNPS" and letter not in _UNSEEN for letter in text)
