"""What a legal hold keeps, asked by every app that deletes. Who places holds, and on what, is known to the right of them all.

What must never happen: a path that deletes asks nobody. So there is no answer by default: as long as nobody says what is
held, asking is an error.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from django.db import models, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext_lazy as _

from callcenter_site.erasure import Batch, Cursor, cursor_after, delete_rows, in_turn

Answer = Callable[[Sequence[Any]], set[Any]]

SAID = _("This is under a legal hold. It stays until the hold is released.")
SAID_OF_SOME = _("%(n)s of these are under a legal hold. They stay until the hold is released.")

_answers: list[tuple[Answer, Callable[[int], bool]]] = []


class UnderHold(ProtectedError):
    """Somebody wanted to delete what a hold keeps. Nothing of it went."""

    def __init__(self, rows: Collection[Any]) -> None:
        super().__init__(str(SAID), set(rows))


def answered_by(answer: Answer, has_any: Callable[[int], bool]) -> None:
    """`has_any`: whether an account has a hold at all, so that many rows need not be read to hear that none is held."""
    _answers[:] = [(answer, has_any)]


def _answer() -> tuple[Answer, Callable[[int], bool]]:
    if not _answers:
        raise RuntimeError("nobody says what is under a legal hold")
    return _answers[0]


def has_any(account_id: int) -> bool:
    return _answer()[1](account_id)


def kept(rows: Iterable[models.Model]) -> set[Any]:
    """The ids of those of these rows of one table that a hold keeps. Asked inside the transaction that deletes, no hold is
    placed before it ends."""
    return _answer()[0](list(rows))


def delete_free(rows: Any, *, clock: str, after: Cursor | None = None, limit: int) -> Batch:
    """Deletes the next rows, oldest first, except those that a hold keeps."""
    with transaction.atomic():
        page = in_turn(rows, clock=clock, after=after, limit=limit)
        ids = [pk for _, pk in page]
        # What a row says of people is read only where a hold may be on it.
        ids = list(set(ids) - kept(rows.filter(pk__in=ids).only("pk", "account_id", clock)))
        return Batch(delete_rows(rows.filter(pk__in=ids)) if ids else 0, cursor_after(page, limit))


def refuse(*rows: models.Model) -> None:
    """Raises `UnderHold` where a hold keeps one of these rows of one table."""
    if keeps := kept(rows):
        raise UnderHold([row for row in rows if row.pk in keeps])
