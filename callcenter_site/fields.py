"""Column types that no app owns."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    _BinaryField = models.BinaryField[bytes, bytes]
else:
    _BinaryField = models.BinaryField


class Sha256Field(_BinaryField):
    """A SHA-256 as 32 raw bytes that can be indexed.

    Text keys are compared by a collation, and MariaDB's default one merges ids that differ only in case or accents
    into one row; bytes are compared as bytes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = 32
        super().__init__(*args, **kwargs)

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "binary(32)" if connection.vendor == "mysql" else "BLOB"
