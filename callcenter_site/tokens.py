"""Credentials that are one text, `prefix.secret`: made and shown once, kept as a hash.

A secret is 256 random bits, so a plain SHA-256 is enough at rest; a password hash per request would only slow every
event down. The prefix finds the row, the hash is compared in constant time.
"""

import datetime as dt
import hashlib
import hmac
import secrets
from typing import NamedTuple

SEEN_EVERY = dt.timedelta(minutes=1)
"""How exactly it is noted when a credential was last used."""
_PREFIX_LENGTH = 12


class Token(NamedTuple):
    prefix: str
    secret: str

    @property
    def text(self) -> str:
        return f"{self.prefix}.{self.secret}"

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.secret.encode(errors="replace")).hexdigest()

    def fits(self, kept: str) -> bool:
        """Whether it is the one of which this hash is kept."""
        return hmac.compare_digest(kept, self.hash)


def new_token() -> Token:
    return Token(secrets.token_hex(_PREFIX_LENGTH // 2), secrets.token_urlsafe(32))


def read_token(text: str) -> Token | None:
    """None: no token begins so. Least of all one with nothing before its dot, for rows without a token have no prefix."""
    prefix, _dot, secret = text.partition(".")
    return Token(prefix, secret) if len(prefix) == _PREFIX_LENGTH else None


def is_to_be_noted(seen_at: dt.datetime | None, *, at: dt.datetime) -> bool:
    """Whether a use is noted, given the one noted last: a write per request would be too many."""
    return seen_at is None or at - seen_at > SEEN_EVERY
