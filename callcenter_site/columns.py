"""What of a row was changed since it was read, so that nothing else is written: what others set meanwhile, such as a status or
a revocation, stays."""

from collections.abc import Mapping
from typing import Any


def columns_of(row: Any) -> dict[str, Any]:
    unread = row.get_deferred_fields()
    return {field.name: getattr(row, field.attname) for field in row._meta.concrete_fields if field.attname not in unread}


def changed_since(read: Mapping[str, Any], row: Any) -> list[str]:
    """Names of the columns that differ from what was read, for `save(update_fields=…)`."""
    return [name for name, value in columns_of(row).items() if name not in read or read[name] != value]
