"""Many rows at once, with the least work in Python and few statements.

`bulk_create` prepares every value of every row through its field, which costs more than the database takes to store
it. Here each column's kind is looked at once, and rows are plain tuples.
"""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isfinite
from typing import Any, TypeVar

from django.db import connection, models

Adapter = Callable[[Any], Any]
Item = TypeVar("Item")
STATEMENT_SIZE = 256 * 1024
"""About so many bytes; a server takes a megabyte at least."""
FEW_ALIKE = 5
"""From so many on, rows that say the same are written by a statement of their own."""


def insert_rows(model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Inserts rows of values in the order of `names` (such as `account_id`), in statements of a bounded size.

    Nothing is validated, no defaults are filled in, and no ids come back.
    """
    by_name = {field.attname: field for field in model._meta.concrete_fields}
    fields = [by_name[name] for name in names]
    adapters = [_adapter(field) for field in fields]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    head = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES "  # noqa: S608  (names of our own)
    adapted = [
        [value if adapt is None or value is None else adapt(value) for adapt, value in zip(adapters, row, strict=True)]
        for row in rows
    ]
    if not adapted:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            for written, values in _statements(adapted):
                cursor.execute(head + written, values)
        else:
            cursor.executemany(f"{head}({', '.join(['%s'] * len(fields))})", adapted)


def _statements(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
    """What follows VALUES, with the values that are left to the driver. It would escape numbers one by one, like texts, and
    counts are nearly nothing else."""
    written: list[str] = []
    values: list[Any] = []
    size = 0
    for row in rows:
        texts = []
        for value in row:
            kind = type(value)
            if kind is int or (kind is float and isfinite(value)):
                texts.append(repr(value))
            else:
                texts.append("%s")
                values.append(value)
                size += len(value) * 2 if isinstance(value, str | bytes) else 30
        text = f"({','.join(texts)})"
        written.append(text)
        size += len(text)
        if size > STATEMENT_SIZE:
            yield ",".join(written), values
            written, values, size = [], [], 0
    if written:
        yield ",".join(written), values


def update_alike(model: type[models.Model], rows: Iterable[models.Model], names: Sequence[str]) -> None:
    """Writes these fields of stored rows. Rows that now say the same are written together: one change for thousands of
    people is a few statements."""
    alike: dict[tuple[Any, ...], list[models.Model]] = defaultdict(list)
    for row in rows:
        alike[tuple(getattr(row, name) for name in names)].append(row)
    single: list[models.Model] = []
    for values, those in alike.items():
        if len(those) < FEW_ALIKE:
            single += those
            continue
        for part in parts(those):
            some = model._base_manager.filter(pk__in=[row.pk for row in part])
            some.update(**dict(zip(names, values, strict=True)))
    model._base_manager.bulk_update(single, names, batch_size=200)


def parts(items: Sequence[Item], size: int = 500) -> Iterator[Sequence[Item]]:
    """The items in order, no more at once than a statement takes."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _adapter(field: Any) -> Adapter | None:
    if isinstance(field, models.DateTimeField):
        return _as_moment if connection.timezone is dt.UTC else connection.ops.adapt_datetimefield_value
    if isinstance(field, models.DateField):
        return connection.ops.adapt_datefield_value
    if isinstance(field, models.JSONField):
        return json.dumps
    if isinstance(field, models.BinaryField):
        binary: Adapter = connection.Database.Binary  # type: ignore[attr-defined]
        return binary
    return None


def _as_moment(value: dt.datetime) -> Any:
    """What both databases are given for a time, without asking what zone theirs is for each."""
    if value.tzinfo is dt.UTC:
        return value.isoformat(" ")[: -len("+00:00")]
    return connection.ops.adapt_datetimefield_value(value)
