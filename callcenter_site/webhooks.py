"""Signed webhooks, as standardwebhooks.com specifies them: the headers `webhook-id`, `webhook-timestamp` and
`webhook-signature` say who sends a body and when, by an HMAC-SHA256 over `id.timestamp.body`.

A message that is sent again keeps its id and gets a new time. What must never happen: a body is believed that was signed
by nobody who knows the secret, or long ago. Whoever takes messages also refuses one of the same id and time twice.
"""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import re
import secrets as random_bytes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TOLERANCE = dt.timedelta(seconds=300)
"""How far the sender's clock may be off, both ways."""
SECRET_PREFIX = "whsec_"  # noqa: S105  (what secrets begin with, so that they are known when they lie about)
SECRET_BYTES = 32
MAX_ID = 255
MOST_SIGNATURES = 20


class SignatureError(Exception):
    """Why a message is not believed; names what is at fault and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Message:
    """Whose signature is good."""

    id: str
    timestamp: int


def new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(random_bytes.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature, such as `v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=`."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()}"


def signed_headers(*, secrets: Iterable[str], message_id: str, at: dt.datetime, body: bytes) -> dict[str, str]:
    """What is sent along with a body. While a secret is being replaced, the message is signed with both."""
    timestamp = int(at.timestamp())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets),
    }


def verify(*, secrets: Iterable[str], headers: Mapping[str, str], body: bytes, at: dt.datetime) -> Message:
    """The message, if one of its signatures was made with one of the secrets, lately. Raises `SignatureError`."""
    message_id, written, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and written and signatures):
        raise SignatureError("The headers webhook-id, webhook-timestamp and webhook-signature are needed.")
    if len(message_id) > MAX_ID or not message_id.isprintable() or not message_id.isascii():
        raise SignatureError(f"webhook-id must be at most {MAX_ID} printable ASCII characters.")
    if not re.fullmatch(r"[0-9]{1,11}", written, re.ASCII):
        raise SignatureError("webhook-timestamp must be a whole number of seconds since 1970.")
    timestamp = int(written)
    if abs(at.timestamp() - timestamp) > TOLERANCE.total_seconds():
        seconds = int(TOLERANCE.total_seconds())
        raise SignatureError(f"webhook-timestamp is more than {seconds} seconds off; check the clock of the sender.")
    given = [one.encode(errors="replace") for one in signatures.split(" ")[:MOST_SIGNATURES]]
    expected = [sign(secret, message_id, timestamp, body).encode() for secret in secrets]
    # Every pair is compared, so that the time it takes tells nothing.
    if not sum(hmac.compare_digest(one, other) for one in given for other in expected):
        raise SignatureError("No signature fits. Sign id.timestamp.body, as it is sent, with the secret of this address.")
    return Message(message_id, timestamp)


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("the secret of a webhook is no base64") from error
