"""The words in which every app's `subjects.py` says what it holds on somebody, and how that goes.

A `Store` is one place where a subject may stand. It is walked a page at a time: `find` names what is there, `erase`
takes it away in the caller's transaction, and finding again afterwards must find nothing. What stands under a legal hold
is found and not erased. Nothing here, and nothing of what is found, is ever logged.
"""

import datetime as dt
import enum
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import Q

from callcenter_site.erasure import delete_rows
from callcenter_site.phone_numbers import canonical, without_written, written_in


class SubjectKind(enum.StrEnum):
    NUMBER = "number"
    AGENT = "agent"
    CALL = "call"
    DAYS = "days"
    ACCOUNT = "account"


PEOPLE = frozenset({SubjectKind.NUMBER, SubjectKind.AGENT})
CALLS = frozenset({SubjectKind.NUMBER, SubjectKind.CALL, SubjectKind.DAYS, SubjectKind.ACCOUNT})


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom, or what, somebody asks to have erased or shown, within one account."""

    kind: SubjectKind
    account_id: int
    region: str
    """In which numbers without a country code are read."""
    numbers: frozenset[str] = frozenset()
    """In canonical form: the number asked for, or those an agent is reached on."""
    agent_id: int | None = None
    names: frozenset[str] = frozenset()
    """What an agent is called: staff ID, email, name, nickname."""
    call_key: bytes = b""
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    up_to: dt.datetime | None = None
    """What was made after this moment is not meant; None: now."""
    keeps_block: bool = False
    """Whether a number stays blocked, by a keyed hash that names it to nobody."""

    def is_number(self, written: str) -> bool:
        """Whether a value is the subject's number, in whatever form it is written."""
        return bool(self.numbers) and bool(written) and canonical(written, self.region) in self.numbers

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the subject's number stands in free text."""
        return [span for number in self.numbers for span in written_in(text, number, self.region)] if text else []

    def hidden(self, text: str) -> str:
        """The text with the subject's number hidden. Every other character keeps its place."""
        for number in self.numbers:
            text = without_written(text, number, self.region)
        return text

    def is_named(self, value: Any) -> bool:
        """Whether a value is the subject's number or one of its names, or holds the number among other text."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            return False
        text = str(value)
        return text in self.names or self.is_number(text) or bool(self.spans(text))

    def stands_in(self, value: Any) -> bool:
        """Whether the subject is named anywhere in what was read from JSON."""
        return any(self.is_named(one) for one in leaves(value))


def leaves(value: Any) -> Iterator[Any]:
    """What stands in what was read from JSON, keys as well."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += [*one, *one.values()]
        elif isinstance(one, list):
            todo += one
        else:
            yield one


class Page(NamedTuple):
    """What was found on a stretch of a store."""

    ids: list[Any]
    cursor: Any
    """Where the next stretch begins, in JSON; None: there is none."""


class Erased(NamedTuple):
    n_deleted: int
    n_held: int = 0


@dataclass(slots=True)
class Work:
    """What erasing needs of those who ask for it, and who alone know it."""

    at: dt.datetime
    put_files: Callable[[Collection[str]], None] = lambda keys: None
    """Has files deleted once the transaction is committed. A name that begins with `spool:` lies in the spool."""
    keep_figures: Callable[[Collection[int]], None] = lambda call_ids: None
    """Keeps what calls count for, before they go."""
    held_calls: Q | None = None
    """Calls under a legal hold; None: there are none."""
    after: list[Callable[[], None]] = field(default_factory=list)
    """What is done once the transaction is committed: caches emptied, streams closed."""


Find = Callable[[Subject, Any, int], Page]
Erase = Callable[[Subject, list[Any], Work], Erased]
Show = Callable[[Subject, list[Any]], Iterable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Store:
    """One place where a subject may stand."""

    name: str
    """As it is written in steps, the ledger and certificates. It never changes."""
    title: Any
    kinds: frozenset[SubjectKind]
    """What it can be asked about."""
    models: tuple[str, ...]
    """The tables it looks after, for these kinds."""
    find: Find
    erase: Erase
    show: Show | None = None
    """What an access request gets of what was found; None: only how much there is."""


def paged(rows: Iterable[tuple[Any, bool]], limit: int) -> Page:
    """A page of rows that were read in order of their id, each with whether the subject stands in it."""
    read = list(rows)
    return Page([pk for pk, is_there in read if is_there], read[-1][0] if len(read) == limit else None)


SCANNED = 5000
"""Rows of free text read at once."""


def scan(rows: Any, columns: Collection[str], is_there: Callable[..., bool], after: Any) -> Page:
    """Reads a stretch of rows in order of their id, and looks at these columns of each."""
    page = rows.filter(pk__gt=after or 0).order_by("pk").values_list("pk", *columns)[:SCANNED]
    return paged(((pk, is_there(*values)) for pk, *values in page.iterator(chunk_size=SCANNED)), SCANNED)


def first_ids(rows: Any, after: Any, limit: int) -> Page:
    """The next of rows that are all the subject's."""
    ids = list(rows.filter(pk__gt=after or 0).order_by("pk").values_list("pk", flat=True)[:limit])
    return Page(ids, ids[-1] if len(ids) == limit else None)


def whole_rows(rows: Callable[[Subject], Any]) -> tuple[Find, Erase]:
    """How rows that are all the subject's are found and deleted."""

    def find(subject: Subject, after: Any, limit: int) -> Page:
        return first_ids(rows(subject), after, limit)

    def erase(subject: Subject, ids: list[Any], work: Work) -> Erased:
        return Erased(delete_rows(rows(subject).filter(pk__in=ids)))

    return find, erase
