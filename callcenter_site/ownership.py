"""Whose a row is, and whether its account has such a row already: asked by the admin's pages and by the API alike."""

from typing import Any


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


def taken(row: Any) -> bool:
    """Whether another row holds what must be unique. Columns worked out on saving are looked at once the row has them."""
    for constraint in row._meta.total_unique_constraints:
        attnames = [row._meta.get_field(name).attname for name in constraint.fields]
        values = {name: getattr(row, name) for name in attnames}
        if any(value is None or value == b"" for value in values.values()):
            continue
        if row._meta.model._base_manager.filter(**values).exclude(pk=row.pk).exists():
            return True
    return False
