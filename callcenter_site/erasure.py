"""What every app's `erasure.py` is written in: the words for how long rows live, and the one way to delete many of them.

Rows go by raw deletes, in batches, each selected and deleted under the same condition. A collector would load every row
and follow every relation, and `Model.delete()` would leave what is erased in the audit log.
"""

import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection, models
from django.db.models import Q

from callcenter_site.bulk import parts


class Lifetime(enum.Enum):
    """Until when rows are kept; the periods themselves stand in `retention/policy.py`."""

    CONFIGURATION = "until the account is terminated"
    PEOPLE = "until the account is terminated or the person asks"
    CALL_DATA = "six calendar months after the call ended"
    COUNTS = "six calendar months, by their own day"
    RAW_EVENTS = "a week after their call closed, an agent's after they came"
    UNTIL_USED = "until they are worked off, at most as long as what they stand for"
    PROOF = "kept: says what was deleted, never about whom"
    INSTALLATION = "kept: belongs to no customer"


@dataclass(frozen=True, slots=True)
class Kept:
    """One model's line. A system check (`retention/checks.py`) fails for a model without one, or with a wrong name in it."""

    model: str
    lifetime: Lifetime
    clock: str = ""
    """The field the time is counted from, `call__…` for rows below a call; empty: not by time."""
    people: Sequence[str] = ()
    """Fields that name a person or point to one."""
    files: Sequence[str] = ()
    """Fields that name a file in storage, which goes before the row."""
    account: str = "account"
    """The field that says whose row it is; empty: nobody's."""


Cursor = tuple[Any, int]
"""How far a walk came: the clock and the id of the last row looked at."""


class Batch(NamedTuple):
    n_rows: int
    cursor: Cursor | None
    """Where the next batch begins; None: there is none."""


def in_turn(rows: "models.QuerySet[Any]", *, clock: str, after: Cursor | None, limit: int) -> list[Cursor]:
    """The next rows in the order of their clock."""
    if after is not None:
        moment, pk = after
        rows = rows.filter(Q(**{f"{clock}__gt": moment}) | Q(**{clock: moment, "pk__gt": pk}), **{f"{clock}__gte": moment})
    return list(rows.order_by(clock, "pk").values_list(clock, "pk")[:limit])


def cursor_after(page: list[Cursor], limit: int) -> Cursor | None:
    return page[-1] if len(page) == limit else None


_only_counts: ContextVar[bool] = ContextVar("only_counts", default=False)


@contextmanager
def counting_only() -> Iterator[None]:
    """Within, whatever deletes counts what would go, and the connection cannot write."""
    token = _only_counts.set(True)
    forbid, allow = (
        ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE")
        if connection.vendor == "mysql"
        else ("PRAGMA query_only = ON", "PRAGMA query_only = OFF")
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(forbid)
        yield
    finally:
        _only_counts.reset(token)
        with connection.cursor() as cursor:
            cursor.execute(allow)


def is_counting_only() -> bool:
    return _only_counts.get()


def delete_rows(rows: "models.QuerySet[Any]") -> int:
    """Deletes just these rows, in one statement. Whoever points to them must have gone before."""
    if is_counting_only():
        return int(rows.order_by().count())
    return int(rows.order_by()._raw_delete(rows.db) or 0)


def delete_by_id(model: type[models.Model], ids: Sequence[int]) -> None:
    """Like `delete_rows`, as many of them at a time as a statement should name."""
    for some in parts(ids):
        delete_rows(model._default_manager.filter(pk__in=some))


def update_rows(rows: "models.QuerySet[Any]", **values: Any) -> int:
    return int(rows.order_by().count() if is_counting_only() else rows.order_by().update(**values))


def locked(rows: "models.QuerySet[Any]") -> "models.QuerySet[Any]":
    """The rows, locked until the transaction ends where something is to be deleted."""
    return rows if is_counting_only() else rows.select_for_update()


def among(name: str, ids: Sequence[int]) -> Q:
    """A condition that is true for just these ids. Ids without a gap are one stretch, which a database walks fastest."""
    if len(ids) > 1 and max(ids) - min(ids) + 1 == len(ids):
        return between(name, (min(ids), max(ids)))
    return Q(**{f"{name}__in": list(ids)})


def between(name: str, ends: tuple[int, int]) -> Q:
    """A condition that is true from the first to the last, both included."""
    return Q(**{f"{name}__gte": ends[0], f"{name}__lte": ends[1]})  # `range` is not offered for a foreign key


def stretch(ids: Sequence[int]) -> tuple[int, int] | None:
    """The first and the last of these ids, where at most as many others lie between: walking such a stretch costs a database
    far less than looking up a list. None: they lie too far apart."""
    if not ids:
        return None
    first, last = min(ids), max(ids)
    return (first, last) if last - first < 2 * len(ids) else None


def delete_batch(rows: "models.QuerySet[Any]", *, clock: str, after: Cursor | None, limit: int, keep: Q | None = None) -> Batch:
    """Deletes the next rows, except those of which `keep` is true. Their condition is repeated: one that no longer fits it
    stays."""
    rows = rows.exclude(keep) if keep else rows
    page = in_turn(rows, clock=clock, after=after, limit=limit)
    n_rows = delete_rows(rows.filter(among("pk", [pk for _, pk in page]))) if page else 0
    return Batch(n_rows, cursor_after(page, limit))
