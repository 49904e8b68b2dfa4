"""The sound files of calls: stored so that no file ever exists without a row that names it.

The row gets the key first, then the file is written under it and read back, then the row is marked stored. A store that
is cut off leaves a row that still expects its file and names what may lie there; the next attempt takes the row over
under a new key and clears that away. Two that meet write under different keys, and the one whose key is no longer in the
row takes its own file back.
"""

import hashlib
import io
import secrets
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.files.storage import default_storage
from django.utils.translation import gettext_lazy as _

from callcenter_site import sound_files
from callcenter_site.object_store import read_object
from callcenter_site.sound_files import MAX_BYTES, TOO_LARGE, Sound, SoundError
from callcenter_site.stored_audio import ENDINGS
from calls.models import AudioState, CallAudio
from calls.waveform import peaks_of_wav

CHUNK = 64 * 1024
WAV = "audio/wav"
_NAMES = {
    "audio/x-wav": WAV,
    "audio/wave": WAV,
    "audio/vnd.wave": WAV,
    "audio/mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/opus": "audio/ogg",
    "audio/vorbis": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/aac": "audio/mp4",
}
"""Other names of the types that are taken."""
MISSING = frozenset({AudioState.EXPECTED, AudioState.FAILED})
"""States in which a row's file may still come."""


class StoreError(Exception):
    """The store took a file and gives back another."""


def store_audio(*, audio: CallAudio, content: bytes | IO[bytes], content_type: str) -> None:
    """Stores the file an audio row expects. `content` as a file must be open for reading and able to go back.

    Raises `ValidationError` naming `content_type`, `file` (not what it claims to be, empty, cut off, too large) or
    `audio` (its file is there already, or the row has gone).
    """
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    said = plain_type(content_type)
    if said not in ENDINGS:
        raise ValidationError({"content_type": _("Only WAV, MP3, OGG and M4A files are taken.")})
    sound = examined(file)
    if sound.content_type != said:
        raise ValidationError({"file": _("The file is not of the type it is said to be.")})
    n_bytes, digest = size_and_sha256(file)
    rows = type(audio)._default_manager.filter(pk=audio.pk, state__in=MISSING)
    left_over = audio.key
    key = new_key(audio._meta.model_name or "", sound.content_type)
    if rows.filter(key=left_over).update(key=key, content_type=sound.content_type) != 1:
        raise ValidationError({"audio": _("This recording has its file already, or is being stored now.")})
    if left_over:
        # Only now: until the row had the new key, whoever wrote this one could still have finished.
        default_storage.delete(left_over)
    saved = write_file(key, file, digest)
    facts = {"n_bytes": n_bytes, "sha256": digest, "peaks": peaks_of(file, sound), "retry_at": None, "error": ""}
    if saved != key or rows.filter(key=key).update(state=AudioState.STORED, **facts) != 1:
        # The row went, or another store took over: nothing would name this file.
        default_storage.delete(saved)
        raise ValidationError({"audio": _("The recording was changed or deleted while its file was being stored.")})
    type(audio)._default_manager.filter(pk=audio.pk, duration_seconds=None).update(duration_seconds=sound.seconds)
    audio.refresh_from_db()


def plain_type(content_type: str) -> str:
    name = content_type.partition(";")[0].strip().lower()
    return _NAMES.get(name, name)


def examined(file: IO[bytes]) -> Sound:
    """What the file is. Raises `ValidationError` on `file`."""
    try:
        return sound_files.examine(file)
    except SoundError as error:
        raise ValidationError({"file": error.reason}) from error


def peaks_of(file: IO[bytes], sound: Sound) -> bytes | None:
    if sound.content_type != WAV:
        return None
    n_bytes = file.seek(0, io.SEEK_END)
    return peaks_of_wav(file, sound_files.wav_shape(file, n_bytes))


def new_key(folder: str, content_type: str) -> str:
    name = secrets.token_hex(16)
    return f"{folder}/{name[:2]}/{name}.{ENDINGS[content_type]}"


def write_file(key: str, file: IO[bytes], sha256: str) -> str:
    """Writes a file into the store and reads it back; the name it has there. Raises `StoreError` where that is not what
    was written; whatever then lies there has gone again."""
    file.seek(0)
    left_open: Any = _LeftOpen(file)
    saved = default_storage.save(key, File(left_open, name=key))
    digest = hashlib.sha256()
    for chunk in read_object(saved, storage=default_storage):
        digest.update(chunk)
    if digest.hexdigest() != sha256:
        default_storage.delete(saved)
        raise StoreError("the store gives back other bytes than it was given")
    return saved


class _LeftOpen:
    """The store's client closes what it has sent; whoever gave it still reads it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        pass


def size_and_sha256(file: IO[bytes]) -> tuple[int, str]:
    file.seek(0)
    digest, n_bytes = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        n_bytes += len(chunk)
        if n_bytes > MAX_BYTES:
            raise ValidationError({"file": TOO_LARGE})
        digest.update(chunk)
    return n_bytes, digest.hexdigest()
