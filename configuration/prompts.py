"""The sound files of IVR prompts: no file exists without a row that names it.

The row gets the new key first and is saved; the file is written under it; then the row says how large it is, which is
what makes it whole, and the file it replaces goes. One that is cut off leaves a row that names what may lie there.
"""

import io
import secrets
from typing import IO

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.files.storage import default_storage
from django.utils.translation import gettext_lazy as _

from callcenter_site.stored_audio import ENDINGS, audio_type
from configuration.models import IvrPrompt

MAX_BYTES = 5 * 1024 * 1024


def check_audio(content: IO[bytes]) -> str:
    """The type of an uploaded file by its content. Raises `ValidationError` where it is none to be played, or too large."""
    content.seek(0, io.SEEK_END)
    n_bytes = content.tell()
    content.seek(0)
    if n_bytes > MAX_BYTES:
        raise ValidationError(
            _("The file has %(size)s MB; at most %(limit)s MB are taken."),
            params={"size": f"{n_bytes / 1024**2:.1f}", "limit": MAX_BYTES // 1024**2},
        )
    kind = audio_type(content.read(4096))
    content.seek(0)
    if not kind:
        raise ValidationError(_("This is not a WAV, MP3 or OGG sound file, whatever its name says."))
    return kind


def store_audio(*, prompt: IvrPrompt, content: IO[bytes]) -> None:
    """Stores the file of a saved prompt and clears away the one before it. Not inside a transaction: the row must stand
    before the file does."""
    kind = check_audio(content)
    rows = IvrPrompt.objects.filter(pk=prompt.pk)
    name = secrets.token_hex(16)
    key, before = f"ivr-prompts/{name[:2]}/{name}.{ENDINGS[kind]}", prompt.audio_key
    if rows.filter(audio_key=before).update(audio_key=key, audio_type=kind, audio_bytes=0) != 1:
        raise ValidationError(_("Somebody else stored a file for this prompt just now."))
    content.seek(0)
    saved = default_storage.save(key, File(content, name=key))
    n_bytes = default_storage.size(saved)
    if saved != key or rows.filter(audio_key=key).update(audio_bytes=n_bytes) != 1:
        default_storage.delete(saved)  # the prompt went meanwhile, or got yet another file
        raise ValidationError(_("The prompt was changed or deleted while its file was being stored."))
    prompt.audio_key, prompt.audio_type, prompt.audio_bytes = key, kind, n_bytes
    if before:
        default_storage.delete(before)


def drop_audio(prompt: IvrPrompt) -> None:
    """Takes a prompt's file away: the file first, then what names it."""
    if not prompt.audio_key:
        return
    default_storage.delete(prompt.audio_key)
    IvrPrompt.objects.filter(pk=prompt.pk, audio_key=prompt.audio_key).update(audio_key="", audio_type="", audio_bytes=0)
    prompt.audio_key, prompt.audio_type, prompt.audio_bytes = "", "", 0
