"""An account with a row of every table that is backed up."""

import datetime as dt
import os
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models

from agents.models import Agent
from callcenter_site.fields import Sha256Field
from callcenter_site.slots import slot_of
from configuration.encryption import EncryptedTextField
from configuration.models import Account, AuditEntry, Role
from retention.backups.kinds import places

ENDED = dt.datetime(2026, 7, 14, 8, 0, tzinfo=dt.UTC)
"""16:00 of the 14th in Shanghai."""
AT = dt.datetime(2026, 7, 15, 18, 0, tzinfo=dt.UTC)
"""02:00 of the 16th there: the night of the 15th is due."""


def fill(account: Account, word: str = "canary") -> dict[str, Any]:
    """A row of each, pointing at each other; by label."""
    rows: dict[str, Any] = {"configuration.Account": account}
    for place in places():
        if place.model is not Account:
            rows[place.label] = _row(place.model, account, rows, word)
    # What the audit log noted of all this.
    AuditEntry.objects.for_account(account).update(timestamp=ENDED)
    return rows


def _row(model: Any, account: Account, rows: dict[str, Any], word: str) -> Any:
    row = model()
    for column in model._meta.concrete_fields:
        if not column.primary_key and (value := _value(column, account, rows, word)) is not None:
            setattr(row, column.attname if column.remote_field else column.name, value)
    if isinstance(row, Agent):
        row.email = f"{word}-{account.pk}@example.com"
    if isinstance(row, Role):
        row.kind = Role.Kind.CUSTOM
    row.save(force_insert=True)
    return row


def _value(column: Any, account: Account, rows: dict[str, Any], word: str) -> Any:  # noqa: PLR0911 (one line per kind of column)
    if column.remote_field:
        target = column.remote_field.model
        if target is ContentType:
            return ContentType.objects.get_for_model(Account).pk
        return account.pk if target is Account else getattr(rows.get(target._meta.label), "pk", None)
    if isinstance(column, Sha256Field):
        return os.urandom(32)
    if isinstance(column, models.BinaryField):
        return b"\x00\xff" + word.encode()
    if column.choices:
        return column.flatchoices[-1][0]
    if column.name == "slot":
        return slot_of(ENDED)
    if isinstance(column, EncryptedTextField | models.CharField | models.TextField):
        return f"{word} é 🎧"[: column.max_length]
    if isinstance(column, models.JSONField):
        return {"note": [word, 1.5, None, "\u2028"]}
    if isinstance(column, models.DateTimeField):
        return ENDED + dt.timedelta(microseconds=123456)
    if isinstance(column, models.DateField):
        return dt.date(2026, 7, 14)
    if isinstance(column, models.BooleanField):
        return column.name != "is_superuser" and not column.get_default()
    if isinstance(column, models.FloatField):
        return 0.1 + 0.2
    return 7 if isinstance(column, models.IntegerField) else None


def everything(account: Account) -> dict[str, list[dict[str, Any]]]:
    """All that is backed up of an account, in plain text, by table."""
    found = {}
    for place in places():
        rows = place.model._base_manager.filter(**{"pk" if place.model is Account else "account_id": account.pk})
        names = [field.attname for field in place.model._meta.concrete_fields]
        found[place.label] = [{name: _plain(getattr(row, name)) for name in names} for row in rows.order_by("pk")]
    return found


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview | bytearray) else value
