"""Rows as they stand in an object: a line that names table and columns, then a line of values for each row.

Encrypted columns stand as plain text inside the object, which is encrypted as a whole: a rotation of data keys does not
reach the store, and a search for somebody looks into every value.
"""

import base64
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from django.db import models

from configuration.encryption import EncryptedTextField

TABLE = "t"
"""Key of the line that begins the rows of a table."""


class Row(NamedTuple):
    """A row as it was backed up: values by column, moments as `datetime`, bytes as `bytes`."""

    label: str
    values: dict[str, Any]

    @property
    def pk(self) -> Any:
        return self.values["id"]


KEYS = frozenset({"wrapped_key", "key_id", "key_made_under"})
"""Columns that never stand in an object: a key that opens it must not outlive its destruction there."""


def columns_of(model: Any) -> list[Any]:
    return [field for field in model._meta.concrete_fields if field.name not in KEYS]


def read_page(model: Any, rows: Any) -> list[Row]:
    """A page of rows, with what is encrypted in plain text."""
    fields = columns_of(model)
    names = [field.attname for field in fields]
    if any(isinstance(field, EncryptedTextField) for field in fields):
        return [Row(model._meta.label, {name: getattr(one, name) for name in names}) for one in rows]
    return [Row(model._meta.label, dict(zip(names, values, strict=True))) for values in rows.values_list(*names)]


class Lines:
    """Turns rows into lines: the table's line comes whenever another table begins."""

    def __init__(self) -> None:
        self._last: tuple[str, tuple[str, ...]] | None = None

    def of(self, row: Row) -> Iterator[Any]:
        names = tuple(row.values)
        if self._last != (row.label, names):
            self._last = (row.label, names)
            yield {TABLE: row.label, "c": list(names)}
        yield [_plain(value) for value in row.values.values()]


def rows_from(lines: Iterable[Any], models_by_label: dict[str, Any]) -> Iterator[Row]:
    """The rows of an object. Columns that are there no more are left out; tables too."""
    label, readers, model = "", [], None
    for line in lines:
        if isinstance(line, dict):
            label = line[TABLE]
            model = models_by_label.get(label)
            readers = _readers(model, line["c"]) if model is not None else []
        elif model is not None:
            yield Row(
                label,
                {
                    name: value if read is None or value is None else read(value)
                    for (name, read), value in zip(readers, line, strict=True)
                    if name
                },
            )


def n_rows(lines: Iterable[Any]) -> int:
    """Reads an object to its end and counts its rows."""
    return sum(1 for line in lines if isinstance(line, list))


def _readers(model: Any, names: Sequence[str]) -> list[tuple[str, Any]]:
    by_name = {field.attname: field for field in model._meta.concrete_fields}
    return [(name, _reader(by_name[name])) if name in by_name else ("", None) for name in names]


def _reader(field: Any) -> Any:
    if isinstance(field, EncryptedTextField):
        return None
    if isinstance(field, models.DateTimeField):
        return dt.datetime.fromisoformat
    if isinstance(field, models.DateField):
        return dt.date.fromisoformat
    if isinstance(field, models.BinaryField):
        return base64.b64decode
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    return value
