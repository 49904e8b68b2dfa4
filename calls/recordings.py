"""The sound files of calls: stored so that no file ever exists without a row that names it.

The row gets the key first, then the file is written under it, then the row is marked stored. A store that is cut off
leaves a row that still expects its file and names what may lie there; the next attempt takes the row over under a new
key and clears that away. Two that meet write under different keys, and the one whose key is no longer in the row takes
its own file back.
"""

import hashlib
import io
import secrets
from typing import IO

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.files.storage import default_storage
from django.utils.translation import gettext_lazy as _

from callcenter_site.stored_audio import audio_type
from calls.models import AudioState, CallAudio

MAX_BYTES = 200 * 1024 * 1024
CHUNK = 64 * 1024
WAV = "audio/wav"
_NAMES_OF_WAV = frozenset({WAV, "audio/x-wav", "audio/wave", "audio/vnd.wave"})


def store_audio(*, audio: CallAudio, content: bytes | IO[bytes], content_type: str) -> None:
    """Stores the file an audio row expects. `content` as a file must be open for reading and able to go back.

    Raises `ValidationError` naming `content_type`, `file` (not what it claims to be, empty, too large) or `audio`
    (its file is there already, or the row has gone).
    """
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    n_bytes, digest = _checked(file, content_type)
    rows = type(audio)._default_manager.filter(pk=audio.pk, state=AudioState.EXPECTED)
    left_over = audio.key
    key = _new_key(audio)
    if rows.filter(key=left_over).update(key=key, content_type=WAV) != 1:
        raise ValidationError({"audio": _("This recording has its file already, or is being stored now.")})
    if left_over:
        # Only now: until the row had the new key, whoever wrote this one could still have finished.
        default_storage.delete(left_over)
    file.seek(0)
    saved = default_storage.save(key, File(file, name=key))
    if saved != key or rows.filter(key=key).update(state=AudioState.STORED, n_bytes=n_bytes, sha256=digest) != 1:
        # The row went, or another store took over: nothing would name this file.
        default_storage.delete(saved)
        raise ValidationError({"audio": _("The recording was changed or deleted while its file was being stored.")})
    audio.refresh_from_db()


def _new_key(audio: CallAudio) -> str:
    name = secrets.token_hex(16)
    return f"{audio._meta.model_name}/{name[:2]}/{name}.wav"


def _checked(file: IO[bytes], content_type: str) -> tuple[int, str]:
    """Size and SHA-256 of a file that is what it claims to be."""
    if content_type.partition(";")[0].strip().lower() not in _NAMES_OF_WAV:
        raise ValidationError({"content_type": _("Only WAV files are taken.")})
    file.seek(0)
    if audio_type(file.read(4096)) != WAV:
        raise ValidationError({"file": _("This is not a WAV file.")})
    file.seek(0)
    digest, n_bytes = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        n_bytes += len(chunk)
        if n_bytes > MAX_BYTES:
            raise ValidationError({"file": _("The file is larger than %(limit)s MB.") % {"limit": MAX_BYTES // 1024**2}})
        digest.update(chunk)
    return n_bytes, digest.hexdigest()
