"""Personal columns, encrypted with a key of their account.

Each account has a random data key, kept wrapped by a key-encryption key from the environment (`ENCRYPTION_KEYS`, the
newest last; it wraps, the older ones still unwrap). Values are AES-256-GCM with table, column and account bound in
as associated data, so a value copied to another column, table or account does not open. An unknown key or a wrong
tag raises; nothing is ever returned undecrypted. Destroying an account's data key makes all of it unreadable.

Equality search goes through `blind_index`: a keyed hash of the normalised value in a column of its own.
"""

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute

NONCE_BYTES = 12
VERSION = b"\x01"

_data_keys: dict[int, bytes] = {}
"""Unwrapped data keys by account id; a process asks the database once for each."""


class DecryptionError(Exception):
    """A stored value does not open: its key is gone, or the value was changed or moved."""


class HasAccount(Protocol):
    account_id: int | None


def new_wrapped_key() -> tuple[str, bytes]:
    """A fresh data key: the id of the key-encryption key and the wrapped bytes."""
    key_id = list(settings.ENCRYPTION_KEYS)[-1]
    return key_id, _seal(settings.ENCRYPTION_KEYS[key_id], os.urandom(32), b"account-data-key")


def unwrap_key(key_id: str, wrapped: bytes) -> bytes:
    if key_id not in settings.ENCRYPTION_KEYS:
        raise DecryptionError(f"ENCRYPTION_KEYS holds no key {key_id!r}")
    return _open(settings.ENCRYPTION_KEYS[key_id], bytes(wrapped), b"account-data-key")


def data_key(account_id: int | None) -> bytes:
    """The key that encrypts an account's values; for operators, who have no account, one of the installation."""
    if account_id is None:
        return _installation_key(b"operators")
    if account_id not in _data_keys:
        account = apps.get_model("configuration", "Account").objects.only("key_id", "wrapped_key").get(pk=account_id)
        if not account.wrapped_key:
            raise DecryptionError(f"account {account_id} has no data key")
        _data_keys[account_id] = unwrap_key(account.key_id, account.wrapped_key)
    return _data_keys[account_id]


def forget_keys() -> None:
    """Drop the unwrapped keys of this process: after a rotation, or when an account's key was destroyed."""
    _data_keys.clear()


def encrypt(value: str, *, account_id: int | None, context: str) -> bytes:
    return VERSION + _seal(data_key(account_id), value.encode(), _associated(account_id, context))


def decrypt(stored: bytes, *, account_id: int | None, context: str) -> str:
    if stored[:1] != VERSION:
        raise DecryptionError(f"{context}: unknown format")
    return _open(data_key(account_id), stored[1:], _associated(account_id, context)).decode()


def blind_index(value: str, *, account_id: int | None, context: str) -> bytes:
    """Keyed hash of a normalised value, equal for equal values of one account and column only."""
    key = hmac.digest(data_key(account_id), b"blind-index", hashlib.sha256)
    return hmac.digest(key, f"{context}\0{value}".encode(), hashlib.sha256)


def installation_index(value: str, *, context: str) -> bytes:
    """The same across accounts, for what is unique in the whole installation: the login email."""
    return hmac.digest(_installation_key(b"blind-index"), f"{context}\0{value}".encode(), hashlib.sha256)


def _installation_key(purpose: bytes) -> bytes:
    oldest = next(iter(settings.ENCRYPTION_KEYS.values()))
    return hmac.digest(oldest, purpose, hashlib.sha256)


def _associated(account_id: int | None, context: str) -> bytes:
    return f"{context}:{account_id}".encode()


def _seal(key: bytes, plain: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, associated)


def _open(key: bytes, stored: bytes, associated: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], associated)
    except (InvalidTag, ValueError) as error:  # a value cut short has no whole nonce
        raise DecryptionError("a stored value does not open with its account's key") from error


if TYPE_CHECKING:
    _TextField = models.Field[str, str]
else:
    _TextField = models.Field


class _Sealed(bytes):
    """Ciphertext as it came from the database, told apart from a value somebody assigned."""


class EncryptedAttribute(DeferredAttribute):
    """Decrypts on first use, so a list that does not show a column does not pay for it."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        value = super().__get__(instance, owner)
        if not isinstance(value, _Sealed):
            return value
        field: Any = self.field
        plain = decrypt(value, account_id=instance.account_id, context=field.context)
        instance.__dict__[field.attname] = plain
        return plain

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class EncryptedTextField(_TextField):
    """Text that the database sees only encrypted. Written by `save` and `bulk_create`; never filtered on."""

    descriptor_class = EncryptedAttribute
    empty_values = [None, ""]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("default", "")
        super().__init__(*args, **kwargs)

    @property
    def context(self) -> str:
        return f"{self.model._meta.db_table}.{self.column}"

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        if kwargs.get("default") == "":
            del kwargs["default"]
        return name, path, args, kwargs

    def get_internal_type(self) -> str:
        return "BinaryField"

    def from_db_value(self, value: bytes | None, expression: Any, connection: Any) -> Any:
        return "" if value in (None, b"") else _Sealed(value)

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, _Sealed) or value is None else str(value)

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        value = model_instance.__dict__.get(self.attname, "")
        if isinstance(value, _Sealed):
            return bytes(value)
        if not value:
            return b""
        return encrypt(value, account_id=model_instance.account_id, context=self.context)

    def get_prep_value(self, value: Any) -> bytes | None:
        if value is None or isinstance(value, bytes):
            return value
        raise TypeError(f"{self.context} is encrypted: write it with save(), look it up through its keyed hash")

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        value = self.get_prep_value(value)
        return None if value is None else connection.Database.Binary(value)

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**({"max_length": self.max_length} | kwargs))
