"""Finding an account's keywords in a text: what a caller said, what an agent wrote.

Letter case and width do not count (ＶＩＰ is vip), nor how words are spaced or broken into lines. A keyword of whole words
stands between the edges of words; Chinese, Japanese and their like write no edges, so there it is found anywhere. Phrases
are compared, never run as patterns, so no phrase or text can make it slow.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from configuration.models import Account, Keyword

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Scripts without spaces between words, and Korean, which hangs its particles on the word."""
_UNEVEN_SPACE = re.compile(r"\s\s|[^\S ]")
_HALF_WIDTH_VOICING = "\uff9e\uff9f"
"""Marks that stand beside a half-width Japanese letter and are one letter with it."""
_GRAVITY = {Keyword.Severity.INFO: 0, Keyword.Severity.WARNING: 1, Keyword.Severity.CRITICAL: 2}


@dataclass(frozen=True, slots=True)
class Hit:
    keyword: Keyword
    start: int
    end: int
    """Places in the text as it was given; `end` is the first character after the hit."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text that the same keywords cover; none: plain text."""

    text: str
    keywords: tuple[Keyword, ...]

    @property
    def severity(self) -> str:
        return max((keyword.severity for keyword in self.keywords), key=lambda one: _GRAVITY[Keyword.Severity(one)], default="")


def keyword_hits(*, account: Account | int, text: str) -> list[Hit]:
    """What of the account's keywords in use stands in the text."""
    keywords = Keyword.objects.for_account(account).filter(is_active=True) if text.strip() else ()
    return find_hits(text, keywords)


def find_hits(text: str, keywords: Iterable[Keyword]) -> list[Hit]:
    """Every place where a keyword stands, from the front; hits of different keywords may overlap."""
    return Finder(keywords).find(text)


class Finder:
    """Looks for the same keywords in many texts."""

    def __init__(self, keywords: Iterable[Keyword]) -> None:
        self._sought = [(one, fold(one.phrase), one.match_mode == Keyword.MatchMode.WORD) for one in keywords]

    def find(self, text: str) -> list[Hit]:
        folded, places = _folded(text)
        hits = [
            Hit(keyword, places[start][0], places[end - 1][1]) if places else Hit(keyword, start, end)
            for keyword, phrase, is_word in self._sought
            if phrase in folded
            for start, end in _found(folded, phrase, whole_word=is_word)
        ]
        return sorted(hits, key=lambda hit: (hit.start, -hit.end, hit.keyword.phrase))


def in_pieces(text: str, hits: Iterable[Hit]) -> list[Piece]:
    """The text cut where hits begin and end, for showing them."""
    hits = list(hits)
    starting: dict[int, list[Keyword]] = {}
    ending: dict[int, list[Keyword]] = {}
    for hit in hits:
        starting.setdefault(hit.start, []).append(hit.keyword)
        ending.setdefault(hit.end, []).append(hit.keyword)
    pieces: list[Piece] = []
    now: list[Keyword] = []
    cuts = sorted({0, len(text), *starting, *ending})
    for start, end in pairwise(cuts):
        for keyword in ending.get(start, ()):
            now.remove(keyword)
        now += starting.get(start, ())
        pieces.append(Piece(text[start:end], tuple(now)))
    return pieces


def fold(text: str) -> str:
    """The form in which phrases and texts are compared."""
    return _folded(text.strip())[0]


def _found(text: str, phrase: str, *, whole_word: bool) -> Iterator[tuple[int, int]]:
    if not phrase:
        return
    place = text.find(phrase)
    while place != -1:
        end = place + len(phrase)
        if not whole_word or not (_is_inside_a_word(text, place) or _is_inside_a_word(text, end)):
            yield place, end
            place = text.find(phrase, end)
        else:
            place = text.find(phrase, place + 1)


def _is_inside_a_word(text: str, place: int) -> bool:
    """Whether one word goes on from the character before this place to the one after."""
    return 0 < place < len(text) and _is_of_a_word(text[place - 1]) and _is_of_a_word(text[place])


def _is_of_a_word(character: str) -> bool:
    is_part = character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
    return is_part and not _UNSPACED.match(character)


def _folded(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The folded text and, for each of its characters, from where to where it stood. No list: just where it stands."""
    lowered = text.casefold()
    if len(lowered) == len(text) and unicodedata.is_normalized("NFKC", text) and not _UNEVEN_SPACE.search(text):
        return lowered, []
    folded: list[str] = []
    places: list[tuple[int, int]] = []
    for start, end in _letters(text):
        form = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text[start:end]).casefold())
        form = re.sub(r"\s+", " ", form)
        folded.append(form)
        places += [(start, end)] * len(form)
    return "".join(folded), places


def _letters(text: str) -> Iterator[tuple[int, int]]:
    """A letter with its marks, or a run of spaces, at a time."""
    start = 0
    while start < len(text):
        end = start + 1
        is_space = text[start].isspace()
        while end < len(text) and (
            text[end].isspace() if is_space else unicodedata.combining(text[end]) or text[end] in _HALF_WIDTH_VOICING
        ):
            end += 1
        yield start, end
        start = end
