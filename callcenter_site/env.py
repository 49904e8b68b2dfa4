"""Reads one setting from the environment, or from the file that `<NAME>_FILE` points to.

A wrong value stops the start with the setting's name and what it should have been; the value itself is not
repeated, for it may be a secret; nor is the error below it shown, which would quote it.
"""

import base64
import binascii
import ipaddress
import os
import secrets
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

_environ = environ.Env()


def _raw(name: str) -> str | None:
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE: cannot be read ({error.strerror})") from error
    value = os.environ.get(name)
    return value if value not in (None, "") else None


def text(name: str, default: str = "") -> str:
    value = _raw(name)
    return default if value is None else value


def signing_key(name: str) -> str:
    """An Ed25519 private key in PEM; empty where none is set."""
    pem = _raw(name) or ""
    if pem:
        try:
            key = serialization.load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None  # type: ignore[assignment]
        if not isinstance(key, Ed25519PrivateKey):
            raise ImproperlyConfigured(f"{name}: expected an Ed25519 private key in PEM, without a password")
    return pem


def boolean(name: str, default: bool) -> bool:
    value = _raw(name)
    if value is None:
        return default
    if value.lower() in environ.Env.BOOLEAN_TRUE_STRINGS:
        return True
    if value.lower() in ("false", "off", "n", "no", "0"):
        return False
    raise ImproperlyConfigured(f"{name}: expected true or false")


def integer(name: str, default: int, *, minimum: int = 0) -> int:
    value = _raw(name)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}: expected a whole number") from None
    if number < minimum:
        raise ImproperlyConfigured(f"{name}: expected a whole number of at least {minimum}")
    return number


def choice(name: str, options: tuple[str, ...], *, default: str) -> str:
    """One of the options, given in any letter case."""
    value = text(name, default).upper()
    if value not in options:
        raise ImproperlyConfigured(f"{name}: expected one of {', '.join(options)}")
    return value


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list."""
    value = _raw(name)
    return list(default) if value is None else [word.strip() for word in value.split(",") if word.strip()]


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Addresses and networks, separated by commas: `127.0.0.1,10.20.0.0/24`."""
    try:
        return [ipaddress.ip_network(word) for word in words(name)]
    except ValueError:
        raise ImproperlyConfigured(f"{name}: expected networks like 10.20.0.0/24 or addresses") from None


def url(name: str, *, schemes: tuple[str, ...], default: str = "") -> str:
    value = _raw(name)
    if value is None:
        return default
    starts = tuple(f"{scheme}:" if scheme == "mailto" else f"{scheme}://" for scheme in schemes)
    if not value.startswith(starts):
        raise ImproperlyConfigured(f"{name}: expected an address starting with {' or '.join(starts)}")
    return value


def database(name: str, *, default: str) -> dict[str, Any]:
    """A `DATABASES` entry from an address like `mysql://user:password@host/name` or `sqlite:////path`."""
    value = url(name, schemes=("mysql", "sqlite"), default=default)
    try:
        config = dict(_environ.db_url_config(value))
    except (environ.ImproperlyConfigured, ValueError, KeyError):
        raise ImproperlyConfigured(f"{name}: expected mysql://user:password@host/name or sqlite:////path") from None
    if not config.get("NAME"):
        raise ImproperlyConfigured(f"{name}: names no database")
    return config


def mail(name: str, *, fallback: Path) -> dict[str, Any]:
    """Django's settings for mail from `smtp://`, `smtp+tls://` (STARTTLS) or `smtps://` (TLS from the start), like
    `smtps://user:password@mail.example.com:465`. Nothing set: mails become files."""
    value = url(name, schemes=("smtp", "smtp+tls", "smtps"))
    if not value:
        return {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": fallback}
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.path.strip("/") or parts.query:
        raise ImproperlyConfigured(f"{name}: expected smtps://user:password@host:port")
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": port or {"smtp": 25, "smtp+tls": 587, "smtps": 465}[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_USE_SSL": parts.scheme == "smtps",
    }


def sender(name: str, *, default: str) -> str:
    """Who mails come from: `portal@example.com`, or `Call center <portal@example.com>`."""
    value = text(name, default)
    try:
        validate_email(parseaddr(value)[1])
    except ValidationError:
        raise ImproperlyConfigured(f"{name}: expected an email address, or a name and <address>") from None
    return value


def keys(name: str, *, fallback: Path) -> dict[str, bytes]:
    """Key-encryption keys as `id:base64,id:base64`, 32 bytes each, the newest last."""
    value = _raw(name)
    if value is None:
        value = "local:" + kept_secret(fallback)
    found: dict[str, bytes] = {}
    for part in value.split(","):
        key_id, _, encoded = part.strip().partition(":")
        try:
            key = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        except (binascii.Error, ValueError):
            raise ImproperlyConfigured(f"{name}: expected id:base64 pairs, each key of 32 bytes") from None
        if not key_id or len(key_id) > 20 or len(key) != 32:
            raise ImproperlyConfigured(f"{name}: expected id:base64 pairs, each key of 32 bytes")
        found[key_id] = key
    return found


def kept_secret(path: Path, *, n_bytes: int = 32) -> str:
    """A random secret made once and kept in a file only its owner reads, for a machine where nothing is configured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        secret = secrets.token_urlsafe(n_bytes)
        file.write(secret)
    return secret
