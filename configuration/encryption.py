"""Personal columns, encrypted with keys of their account.

Each account has random data keys, kept wrapped by a key-encryption key from the environment (`ENCRYPTION_KEYS`, the
newest last; it wraps, the older ones still unwrap). Operators, who have no account, stand under keys of the installation.
Values are AES-256-GCM with table, column and account bound in as associated data, so a value copied to another column,
table or account does not open. An unknown key or a wrong tag raises; nothing is ever returned undecrypted. Destroying
an account's data keys makes all of it unreadable.

A value names its data key by number, and the highest number encrypts. The first stands in the account's own row; later
ones, made by a rotation (`configuration/key_rotation.py`), are `DataKey` rows. A process keeps what it unwrapped. It
learns of a new key when it meets a value under it, and before it encrypts if it has not asked for `STALE_SECONDS`; a
rotation reckons with that.

Equality search goes through `blind_index`: a keyed hash of the normalised value in a column of its own. Its keys are
others and stay as they are when data keys change, or nobody would be found during a rotation.
"""

import hashlib
import hmac
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute

NONCE_BYTES = 12
FIRST = b"\x01"
"""Begins a value under data key number 1."""
NUMBERED = b"\x02"
"""Begins a value under a later one; its number follows."""
NUMBER_BYTES = 2
HEAD_BYTES = 1 + NUMBER_BYTES
STALE_SECONDS = 30
"""How long a process goes on encrypting with the data key it knows before it asks whether there is a newer one."""

ACCOUNT_KEY = b"account-data-key"
"""What the first data key of an account, which stands in its row, is bound to."""


class DecryptionError(Exception):
    """A stored value does not open: its key is gone, or the value was changed or moved."""


class HasAccount(Protocol):
    account_id: int | None


@dataclass(frozen=True, slots=True)
class _Keyring:
    """The unwrapped keys of an account or of the installation."""

    asked_at: float
    data: dict[int, AESGCM]
    index: bytes | None
    sign_in: bytes | None = None

    @property
    def current(self) -> int:
        return max(self.data)


_keyrings: dict[int | None, _Keyring] = {}
"""By account id. A process asks the database once for each, and again when it must know of newer keys."""


def new_wrapped_key(associated: bytes = ACCOUNT_KEY) -> tuple[str, bytes]:
    """A fresh data key: the id of the key-encryption key and the wrapped bytes."""
    return wrap_key(os.urandom(32), associated)


def wrap_key(key: bytes, associated: bytes = ACCOUNT_KEY) -> tuple[str, bytes]:
    key_id = newest_key_id()
    return key_id, _seal(AESGCM(settings.ENCRYPTION_KEYS[key_id]), key, associated)


def unwrap_key(key_id: str, wrapped: bytes | memoryview, associated: bytes = ACCOUNT_KEY) -> bytes:
    if key_id not in settings.ENCRYPTION_KEYS:
        raise DecryptionError(f"ENCRYPTION_KEYS holds no key {key_id!r}")
    return _open(AESGCM(settings.ENCRYPTION_KEYS[key_id]), bytes(wrapped), associated)


def newest_key_id() -> str:
    return str(list(settings.ENCRYPTION_KEYS)[-1])


class KeepsKey:
    """Marks models whose rows keep a wrapped key, in columns `key_id` and `wrapped_key` (empty: destroyed). A rotation puts
    every one of them under the newest key of the environment, so that the older ones may go."""

    def bound_to(self) -> bytes:
        """What the key is bound to: put in the place of another, it does not open."""
        raise NotImplementedError


def rewrap(row: Any, **changes: Any) -> bool:
    """Puts the key that a row keeps under the newest of the environment; False: it was changed or destroyed meanwhile."""
    key_id, wrapped = wrap_key(unwrap_key(row.key_id, row.wrapped_key, row.bound_to()), row.bound_to())
    same = type(row)._base_manager.filter(pk=row.pk, key_id=row.key_id, wrapped_key=bytes(row.wrapped_key))
    if not same.update(key_id=key_id, wrapped_key=wrapped, **changes):
        return False
    row.key_id, row.wrapped_key = key_id, wrapped
    return True


def wrapped_for(owner: int, purpose: str, number: int) -> bytes:
    """What a `DataKey` is bound to: put in the place of another, it does not open."""
    return f"data-key:{owner}:{purpose}:{number}".encode()


def forget_keys() -> None:
    """Drop the unwrapped keys of this process: after a rotation, or when an account's keys were destroyed."""
    _keyrings.clear()


def encrypt(value: str, *, account_id: int | None, context: str) -> bytes:
    ring = _fresh_keyring(account_id)
    number = ring.current
    head = FIRST if number == 1 else NUMBERED + number.to_bytes(NUMBER_BYTES, "big")
    return head + _seal(ring.data[number], value.encode(), _associated(account_id, context))


def decrypt(stored: bytes, *, account_id: int | None, context: str) -> str:
    number = key_number(stored)
    if number is None:
        raise DecryptionError(f"{context}: unknown format")
    ring = _keyring(account_id)
    if number not in ring.data:
        ring = _ask(account_id)  # made by a rotation since this process asked
        if number not in ring.data:
            raise DecryptionError(f"{_owner_name(account_id)} has no data key number {number}")
    sealed = stored[1:] if stored[:1] == FIRST else stored[HEAD_BYTES:]
    return _open(ring.data[number], sealed, _associated(account_id, context)).decode()


def key_number(stored: bytes) -> int | None:
    """The number of the data key a value stands under, read from its first bytes; None: it is no value of ours."""
    if stored[:1] == FIRST:
        return 1
    if stored[:1] == NUMBERED and len(stored) >= HEAD_BYTES:
        return int.from_bytes(stored[1:HEAD_BYTES], "big")
    return None


def current_number(account_id: int | None) -> int:
    return _fresh_keyring(account_id).current


def blind_index(value: str, *, account_id: int | None, context: str) -> bytes:
    """Keyed hash of a normalised value, equal for equal values of one account and column only."""
    key = _keyring(account_id).index
    if key is None:
        raise DecryptionError(f"{_owner_name(account_id)} has no index key")
    return hmac.digest(key, f"{context}\0{value}".encode(), hashlib.sha256)


def installation_index(value: str, *, context: str) -> bytes:
    """The same across accounts, for what is unique in the whole installation: the login email."""
    key = _keyring(None).sign_in
    if key is None:
        raise DecryptionError("the installation has no key for login emails")
    return hmac.digest(key, f"{context}\0{value}".encode(), hashlib.sha256)


def derived_index_key(data_key: bytes) -> bytes:
    """The index key of whoever has none of their own stored: it follows from the first data key, and a rotation stores it
    before that one goes."""
    return hmac.digest(data_key, b"blind-index", hashlib.sha256)


def derived_installation_keys() -> dict[str, bytes]:
    """The installation's keys, by purpose, until a rotation has stored them: they follow from the oldest key of the
    environment, so that one must stay in its place until then."""
    oldest = next(iter(settings.ENCRYPTION_KEYS.values()))
    data = hmac.digest(oldest, b"operators", hashlib.sha256)
    return {"data": data, "index": derived_index_key(data), "sign_in": hmac.digest(oldest, b"blind-index", hashlib.sha256)}


def _keyring(account_id: int | None) -> _Keyring:
    return _keyrings.get(account_id) or _ask(account_id)


def _fresh_keyring(account_id: int | None) -> _Keyring:
    ring = _keyring(account_id)
    if time.monotonic() - ring.asked_at > STALE_SECONDS:
        ring = _ask(account_id)
    if not ring.data:
        raise DecryptionError(f"{_owner_name(account_id)} has no data key")
    return ring


def _ask(account_id: int | None) -> _Keyring:
    asked_at = time.monotonic()  # before the answer, which is as old as its question
    ring = _of_installation(asked_at) if account_id is None else _of_account(account_id, asked_at)
    _keyrings[account_id] = ring
    return ring


def _of_account(account_id: int, asked_at: float) -> _Keyring:
    below = [f"data_keys__{name}" for name in ("purpose", "number", "key_id", "wrapped_key")]
    rows = list(
        apps.get_model("configuration", "Account").objects.filter(pk=account_id).values_list("key_id", "wrapped_key", *below)
    )
    if not rows:
        raise DecryptionError(f"{_owner_name(account_id)} has no data key")
    data, others = _unwrapped(account_id, [row[2:] for row in rows if row[2] is not None])
    index = others.get("index")
    key_id, wrapped = rows[0][:2]
    if wrapped:
        first = unwrap_key(key_id, wrapped)
        data[1] = AESGCM(first)
        index = index or derived_index_key(first)
    if not data:
        raise DecryptionError(f"{_owner_name(account_id)} has no data key")
    return _Keyring(asked_at, data, index)


def _of_installation(asked_at: float) -> _Keyring:
    stored = apps.get_model("configuration", "DataKey").objects.filter(owner=0)
    data, others = _unwrapped(0, stored.values_list("purpose", "number", "key_id", "wrapped_key"))
    if not data:
        derived = derived_installation_keys()
        return _Keyring(asked_at, {1: AESGCM(derived["data"])}, derived["index"], derived["sign_in"])
    return _Keyring(asked_at, data, others.get("index"), others.get("sign_in"))


def _unwrapped(owner: int, rows: Iterable[Any]) -> tuple[dict[int, AESGCM], dict[str, bytes]]:
    """Data keys by number, and the others by purpose."""
    data: dict[int, AESGCM] = {}
    others: dict[str, bytes] = {}
    for purpose, number, key_id, wrapped in rows:
        if not wrapped:  # destroyed
            continue
        key = unwrap_key(key_id, wrapped, wrapped_for(owner, purpose, number))
        if purpose == "data":
            data[number] = AESGCM(key)
        else:
            others[purpose] = key
    return data, others


def _owner_name(account_id: int | None) -> str:
    return "the installation" if account_id is None else f"account {account_id}"


def _associated(account_id: int | None, context: str) -> bytes:
    return f"{context}:{account_id}".encode()


def _seal(key: AESGCM, plain: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + key.encrypt(nonce, plain, associated)


def _open(key: AESGCM, stored: bytes, associated: bytes) -> bytes:
    try:
        return key.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], associated)
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
            if key_number(value) == current_number(model_instance.account_id):
                return bytes(value)
            # Read before a rotation, written during it: the old key must not come back.
            value = decrypt(value, account_id=model_instance.account_id, context=self.context)
        if not value:
            return b""
        return encrypt(value, account_id=model_instance.account_id, context=self.context)

    def get_prep_value(self, value: Any) -> bytes | None:
        if value is None or isinstance(value, bytes):
            return value
        if value == "":
            return b""  # as `pre_save` writes it; a migration that adds a column asks for it
        raise TypeError(f"{self.context} is encrypted: write it with save(), look it up through its keyed hash")

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        value = self.get_prep_value(value)
        return None if value is None else connection.Database.Binary(value)

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**({"max_length": self.max_length} | kwargs))
