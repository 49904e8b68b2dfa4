"""The sound files of IVR prompts: no file exists without a row that names it.

The row names the new file beside the one in use; it is written; then the two change places, and the old one goes. Whoever
is cut off leaves callers what they heard before, and a row that names what may lie there: the next file or the sweep takes it.
"""

import contextlib
import datetime as dt
import io
import logging
import secrets
from typing import IO

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from callcenter_site.stored_audio import ENDINGS, audio_type
from configuration.models import IvrPrompt
from configuration.scoping import AccountQuerySet

log = logging.getLogger(__name__)

MAX_BYTES = 5 * 1024 * 1024
CUT_OFF_AFTER = dt.timedelta(hours=1)
"""Nobody takes so long to store 5 MB."""


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
        raise ValidationError(_("This is not a WAV, MP3, OGG or M4A sound file, whatever its name says."))
    return kind


def store_audio(*, prompt: IvrPrompt, content: IO[bytes], at: dt.datetime) -> None:
    """Stores the file of a saved prompt and clears away the one before it. Not inside a transaction: the row must stand
    before the file does. Raises `ValidationError` for what is no sound or came at the same time as another, and whatever the
    store raises where it fails; then callers go on hearing what they heard."""
    kind = check_audio(content)
    rows = IvrPrompt.objects.filter(pk=prompt.pk)
    name = secrets.token_hex(16)
    key = f"ivr-prompts/{name[:2]}/{name}.{ENDINGS[kind]}"
    left = rows.values_list("loose_key", flat=True).first() or ""
    if left:
        default_storage.delete(left)  # of one that was cut off; who is at it right now finds below that it is not theirs
    if rows.filter(loose_key=left).update(loose_key=key, loose_since=at) != 1:
        raise ValidationError(_("Somebody else stored a file for this prompt just now."))
    content.seek(0)
    try:
        n_bytes = _written(key, content)
    except Exception:
        with contextlib.suppress(Exception):  # if not now, the sweep takes it
            _take_away(prompt.pk, key)
        raise
    before = _put_in_use(prompt.pk, key, kind=kind, n_bytes=n_bytes, at=at)
    if before is None:
        default_storage.delete(key)
        raise ValidationError(_("The prompt was changed or deleted while its file was being stored."))
    prompt.audio_key, prompt.audio_type, prompt.audio_bytes = key, kind, n_bytes
    if before:
        try:
            _take_away(prompt.pk, before)
        except Exception as error:  # whatever a store raises: the new file is heard, and the sweep takes the old one
            log.warning("could not delete the replaced file of prompt %s: %s", prompt.pk, type(error).__name__)


def drop_audio(prompt: IvrPrompt) -> None:
    """Takes a prompt's files away: the files first, then what names them."""
    named = IvrPrompt.objects.filter(pk=prompt.pk).values("audio_key", "loose_key").first()
    if named is None or not any(named.values()):
        return
    for key in filter(None, named.values()):
        default_storage.delete(key)
    IvrPrompt.objects.filter(pk=prompt.pk, **named).update(
        audio_key="", audio_type="", audio_bytes=0, loose_key="", loose_since=None
    )
    prompt.audio_key, prompt.audio_type, prompt.audio_bytes = "", "", 0


def loose_files(*, at: dt.datetime) -> AccountQuerySet:
    """Prompts with a file beside the one in use that nobody can be at any more."""
    return IvrPrompt.objects.exclude(loose_key="").filter(loose_since__lt=at - CUT_OFF_AFTER)


def sweep_prompt_files(*, at: dt.datetime) -> int:
    """Takes away what was left beside the files in use, and says how many there were."""
    n_files = 0
    for pk, key in loose_files(at=at).order_by("pk").values_list("pk", "loose_key"):
        try:
            n_files += _take_away(pk, key)
        except Exception as error:  # whatever a store raises: the row goes on naming it
            log.warning("could not delete a loose file of prompt %s: %s", pk, type(error).__name__)
    return n_files


def _written(key: str, content: IO[bytes]) -> int:
    saved = default_storage.save(key, File(content, name=key))
    if saved != key:
        default_storage.delete(saved)  # no row names it
        raise OSError("the store gave the file another name")
    return int(default_storage.size(key))


@transaction.atomic
def _put_in_use(pk: int, key: str, *, kind: str, n_bytes: int, at: dt.datetime) -> str | None:
    """Exchanges the file in use for the one written; the old one's name, or `None` where the row names another by now."""
    rows = IvrPrompt.objects.filter(pk=pk, loose_key=key)
    before: str | None = rows.select_for_update().values_list("audio_key", flat=True).first()
    if before is not None:
        since = at if before else None
        rows.update(loose_key=before, loose_since=since, audio_key=key, audio_type=kind, audio_bytes=n_bytes)
    return before


def _take_away(pk: int, key: str) -> int:
    default_storage.delete(key)
    return IvrPrompt.objects.filter(pk=pk, loose_key=key).update(loose_key="", loose_since=None)
