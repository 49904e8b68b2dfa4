"""Sentences that jobs keep with a row. They are stored in English and read in the language of whoever looks."""

import re
from collections.abc import Iterable

from django.utils.translation import gettext


def in_readers_language(text: str, sentences: Iterable[str]) -> str:
    """`text` was made from one of the sentences, marked with `gettext_noop`; their gaps are written `%(name)s`.
    Anything else stays as it is."""
    for sentence in sentences:
        pattern = re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(sentence))
        if found := re.fullmatch(pattern, text):
            return gettext(sentence) % found.groupdict()
    return text
