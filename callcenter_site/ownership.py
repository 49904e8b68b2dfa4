"""Whose a row is, and whether its account has such a row already: asked by the admin's pages and by the API alike."""

from collections.abc import Container, Mapping
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils.translation import gettext_lazy as _

from callcenter_site.names import alike

IN_USE = _("This is in use already.")


def is_of_one_account(row: Any) -> bool:
    """Whether everything a row points to is of its own account."""
    for field in row._meta.concrete_fields:
        target = field.remote_field and field.remote_field.model
        if not target or field.name == "account" or not hasattr(target, "account"):
            continue
        value = getattr(row, field.attname)
        if value is not None and not target._base_manager.filter(pk=value, account_id=row.account_id).exists():
            return False
    return True


NAMES = frozenset({"name", "staff_id", "phrase", "code", "title"})
"""Columns compared as people read them. Numbers and hashes are of one form already, and their lists may be long."""


def taken(row: Any) -> bool:
    """Whether another row holds what must be unique. Columns worked out on saving are looked at once the row has them."""
    return bool(taken_on(row))


def taken_on(row: Any, among: Container[str] | None = None) -> list[str]:
    """The fields whose value another row holds already, by the name people know them by: of several that are unique
    together, the one that is typed. `among` leaves out what nobody asks about."""
    found = []
    for constraint in row._meta.total_unique_constraints:
        columns = [row._meta.get_field(name) for name in constraint.fields]
        named = next((column.name for column in columns if not column.is_relation), columns[-1].name)
        values = {column.attname: getattr(row, column.attname) for column in columns}
        if (among is not None and named not in among) or any(value is None or value == b"" for value in values.values()):
            continue
        if _is_held(row, values):
            found.append(named)
    return found


def _is_held(row: Any, values: Mapping[str, Any]) -> bool:
    """Whether another row has these values. A name that is kept as it was is not held against its row."""
    rows = row._meta.model._base_manager.order_by()
    name = next((name for name in values if name in NAMES and isinstance(values[name], str)), None)
    if name is None:
        return bool(rows.filter(**values).exclude(pk=row.pk).exists())
    held = rows.filter(**{column: value for column, value in values.items() if column != name})
    same = ExpressionWrapper(Q(**{name: values[name]}), output_field=BooleanField())  # as the database compares
    found = list(held.values_list("pk", name, same))
    if any(pk == row.pk and said == values[name] for pk, said, _is_same in found):
        return False
    wanted = alike(values[name])
    return any(pk != row.pk and (is_same or alike(said) == wanted) for pk, said, is_same in found)
