"""The installation's signature under what it says it deleted: certificates, and the anchors of the ledger.

Ed25519. The private key comes from the environment (`SIGNING_KEY`, PEM), where an operator wants it outside of the
database; otherwise it is made when it is first needed and kept wrapped by the newest of `ENCRYPTION_KEYS`. Every public
key that ever signed is kept and published, so that an old certificate verifies after a change of keys.
"""

import datetime as dt
import functools

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from configuration.encryption import newest_key_id, rewrap, unwrap_key, wrap_key
from retention.models import SigningKey


def sign(payload: bytes) -> bytes:
    return _private_key().sign(payload)


def verify(payload: bytes, signature: bytes) -> bool:
    """Whether a key of this installation, the present one or an older, made the signature."""
    for row in SigningKey.objects.order_by("-pk"):
        try:
            Ed25519PublicKey.from_public_bytes(bytes(row.public_key)).verify(signature, payload)
        except InvalidSignature:
            continue
        return True
    return False


def public_key_pem() -> str:
    """The key that signs now."""
    return _pem(_private_key().public_key())


def public_keys() -> list[tuple[str, dt.datetime]]:
    """All keys that ever signed, the present one first: PEM, and since when."""
    present = _private_key().public_key().public_bytes_raw()
    rows = sorted(SigningKey.objects.order_by("-pk"), key=lambda row: bytes(row.public_key) != present)
    return [(_pem(Ed25519PublicKey.from_public_bytes(bytes(row.public_key))), row.made_at) for row in rows]


def _private_key() -> Ed25519PrivateKey:
    if settings.SIGNING_KEY:
        key = _read(settings.SIGNING_KEY)
        _note(key)
        return key
    row = SigningKey.objects.exclude(wrapped_key=b"").order_by("-pk").first()
    if row is None:
        _make()
        row = SigningKey.objects.exclude(wrapped_key=b"").order_by("-pk").get()
    return _unwrapped(row)


def _unwrapped(row: SigningKey) -> Ed25519PrivateKey:
    raw = unwrap_key(row.key_id, row.wrapped_key, row.bound_to())
    if row.key_id != newest_key_id():  # so that the older key of the environment can be taken away
        rewrap(row)
    return Ed25519PrivateKey.from_private_bytes(raw)


def _make() -> None:
    """The first key has a fixed id: of two who make it at once, one stores theirs and both use it."""
    key = Ed25519PrivateKey.generate()
    row = SigningKey(pk=1, public_key=key.public_key().public_bytes_raw(), made_at=timezone.now())
    row.key_id, row.wrapped_key = wrap_key(key.private_bytes_raw(), row.bound_to())
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        if not SigningKey.objects.exclude(wrapped_key=b"").exists():  # one from the environment has that place
            row.pk = None
            row.save(force_insert=True)


def _note(key: Ed25519PrivateKey) -> None:
    public = key.public_key().public_bytes_raw()
    if not SigningKey.objects.filter(public_key=public).exists():
        SigningKey.objects.create(public_key=public, key_id="", wrapped_key=b"", made_at=timezone.now())


@functools.lru_cache(maxsize=2)
def _read(pem: str) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("SIGNING_KEY is not an Ed25519 key in PEM")
    return key


def _pem(key: Ed25519PublicKey) -> str:
    encoded = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()
