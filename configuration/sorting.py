"""The order people give a list by dragging its rows."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet


@transaction.atomic
def put_in_order(*, rows: "QuerySet[Any]", ids: Sequence[int]) -> int:
    """Puts the rows named into the order named, and leaves all others where they stand: a page or a search shows only some.

    `rows` is the whole list, in its order; ids of no row of it are passed over. Returns how many rows got another number.
    """
    standing = list(rows.select_for_update())
    by_id = {row.pk: row for row in standing}
    moved = iter([by_id[pk] for pk in dict.fromkeys(ids) if pk in by_id])
    named = set(ids)
    n_changed = 0
    for order, row in enumerate(next(moved) if row.pk in named else row for row in standing):
        if row.order != order:
            row.order = order
            row.save(update_fields=["order"])
            n_changed += 1
    return n_changed


def next_order(rows: "QuerySet[Any]") -> int:
    """Where a new row goes: to the end."""
    last = rows.order_by("-order").values_list("order", flat=True).first()
    return 0 if last is None else last + 1
