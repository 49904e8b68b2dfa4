"""Sound files that are sent to the API: who may send a large body at all, and how one is read onto the disk.

A file goes to the spool as it comes, in pieces, whether it is the whole body or a part of a form. What was declared of
it, its length and its checksum, is looked at before anything else is done with it.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.db import DatabaseError, close_old_connections
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

from callcenter_site.rest import MomentField, PayloadTooLarge, StrictFields
from callcenter_site.sound_files import MAX_BYTES, TOO_LARGE
from calls import spool
from configuration.access import SEND_RECORDING, SEND_VOICEMAIL
from configuration.api_keys import ApiKeyActor, find_api_key

RETRY_SECONDS = 30


# --- Before the body -------------------------------------------------------------------------------------------------


def may_send(headers: Mapping[bytes, bytes], n_bytes: int) -> tuple[int, str] | None:
    """Why a large body is not to be read at all: status and words; None: let it in. The API asks everything again."""
    close_old_connections()
    try:
        scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        key = find_api_key(text.strip(), at=timezone.now()) if scheme.lower() in ("api-key", "bearer") else None
    except DatabaseError:
        return 503, "The database is not available. Nothing was accepted; send it again."
    finally:
        close_old_connections()
    if key is None:
        return 401, "The API key is missing, unknown, expired or revoked."
    actor = ApiKeyActor(key)
    if not (actor.has_perm(SEND_RECORDING) or actor.has_perm(SEND_VOICEMAIL)):
        return 403, "You do not have permission to perform this action."
    try:
        spool.make_sure_of_room(n_bytes)
    except spool.DiskFull:
        return 507, "The disk is full. Nothing was taken; send it again later."
    except spool.SpoolFull:
        return 503, "Too many files wait for the store. Nothing was taken; send it again later."
    return None


# --- The body --------------------------------------------------------------------------------------------------------


class Upload(dict[str, Any]):
    """The fields of an upload, as text, and its file."""

    part: spool.Part | None = None


class SoundBodyParser(BaseParser):
    """The file as the body itself; its facts stand in the query or in headers."""

    media_type = "audio/*"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Upload:
        request, stack = parser_context["request"], parser_context["stack"]
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise UnsupportedMediaType("compressed")
        upload = Upload(request.query_params.dict())
        for name, header in _HEADERS.items():
            if header in request.headers:
                upload.setdefault(name, request.headers[header])
        upload.part = stack.enter_context(spool.coming_in(_declared(request)))
        try:
            spool.read_into(upload.part, stream.read)
        except spool.TooLarge as error:
            raise PayloadTooLarge(str(TOO_LARGE)) from error
        return upload


class BytesBodyParser(SoundBodyParser):
    media_type = "application/octet-stream"


class OggBodyParser(SoundBodyParser):
    media_type = "application/ogg"


class SoundFormParser(BaseParser):
    """The file as the part `file` of a form."""

    media_type = "multipart/form-data"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Upload:
        request, stack = parser_context["request"], parser_context["stack"]
        handler = _IntoSpool(stack, _declared(request))
        meta = request.META.copy() | {"CONTENT_TYPE": media_type}
        try:
            fields, _files = MultiPartParser(meta, stream, [handler], parser_context["encoding"]).parse()
        except MultiPartParserError as error:
            raise ParseError("The form is not whole, or not a form.") from error
        except spool.TooLarge as error:
            raise PayloadTooLarge(str(TOO_LARGE)) from error
        if handler.problem:
            raise serializers.ValidationError({handler.problem: ["Send one file, as the part `file`."]})
        upload = Upload()
        for name, values in fields.lists():
            if len(values) > 1:
                raise serializers.ValidationError({name: ["This field came more than once."]})
            upload[name] = values[0]
        for name in ("sha256", "md5"):
            if _HEADERS.get(name, "") in request.headers:
                upload.setdefault(name, request.headers[_HEADERS[name]])
        upload.part = handler.part
        return upload


_HEADERS = {
    "call_id": "X-Call-Id",
    "recorded_at": "X-Recorded-At",
    "duration": "X-Duration",
    "reference": "X-Reference",
    "sha256": "X-Sha256",
}


class _IntoSpool(FileUploadHandler):
    chunk_size = spool.CHUNK

    def __init__(self, stack: ExitStack, n_bytes: int) -> None:
        super().__init__()
        self.part: spool.Part | None = None
        self.problem = ""
        self._stack = stack
        self._n_bytes = n_bytes

    def new_file(self, field_name: str, *args: Any, **kwargs: Any) -> None:
        super().new_file(field_name, *args, **kwargs)
        if field_name != "file" or self.part is not None:
            self.problem = field_name[:60] or "file"
            raise StopUpload(connection_reset=False)
        self.part = self._stack.enter_context(spool.coming_in(self._n_bytes))

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self.part is not None:
            self.part.write(raw_data)

    def file_complete(self, file_size: int) -> Any:
        return None


def _declared(request: Any) -> int:
    digits = request.META.get("CONTENT_LENGTH") or "0"
    return min(int(digits), MAX_BYTES) if digits.isdigit() and len(digits) < 19 else 0


# --- What was said of it ---------------------------------------------------------------------------------------------


def one_line(text: str) -> None:
    if not text.isprintable():
        raise serializers.ValidationError("Line breaks and control characters are not taken.")


class UploadSerializer(StrictFields):
    call_id = serializers.CharField(
        max_length=255, validators=[one_line], help_text="The telephony platform's ID of the call, the `subject` of its events."
    )
    recorded_at = MomentField(required=False, help_text="When it begins; absent: when the call was answered.")
    duration = serializers.FloatField(
        required=False, min_value=0, max_value=604_800, help_text="Seconds; absent: as long as the file says."
    )
    reference = serializers.CharField(
        required=False,
        max_length=2000,
        validators=[one_line],
        help_text="What the platform calls the file: the `file` of the event that announced it.",
    )
    sha256 = serializers.RegexField(r"^[0-9a-fA-F]{64}\Z", required=False, help_text="The file's SHA-256, in hexadecimal.")


def check_sums(upload: Upload, headers: Mapping[str, str]) -> None:
    """Compares the bytes that came with every checksum that was given. Raises `ValidationError`."""
    part = upload.part
    if part is None:
        raise serializers.ValidationError({"file": ["Send the sound file: as the body, or as the part `file` of a form."]})
    came = bytes.fromhex(part.sha256)
    is_form = headers.get("Content-Type", "").startswith("multipart/")
    given: list[tuple[str, bytes, bytes]] = []
    if upload.get("sha256"):
        given.append(("sha256", bytes.fromhex(str(upload["sha256"])), came))
    if not is_form:  # of a form, headers would speak of the whole form
        if "Content-MD5" in headers:
            given.append(("Content-MD5", _decoded("Content-MD5", headers["Content-MD5"]), part.md5))
        for name in ("Digest", "Content-Digest", "Repr-Digest"):
            found = re.search(r"(?i)\bsha-256=:?([A-Za-z0-9+/]+=*)", headers.get(name, ""))
            if found:
                given.append((name, _decoded(name, found[1]), came))
    for name, said, is_so in given:
        if not hmac.compare_digest(said, is_so):
            raise serializers.ValidationError({name: ["The bytes that came have another checksum. Send the file again."]})


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise serializers.ValidationError({name: ["This is not base64."]}) from error
