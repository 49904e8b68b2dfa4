"""The sound of IVR prompts behind a link that programs got from the API, and players from a page.

Who may listen is asked where the link is handed out. It is good for a minute and for one file: for whoever has it, or, from
a page, for the one person who pressed play.
"""

from typing import Any

from django.core import signing
from django.core.exceptions import PermissionDenied
from django.core.files.storage import FileSystemStorage, default_storage
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from callcenter_site import stored_audio
from configuration.models import IvrPrompt

_SALT = "configuration.views.prompt_sound"


def prompt_link(prompt: IvrPrompt, *, listener: int | None = None) -> str:
    """`listener`: the id of the only person it opens for, as far as the files are ours to hand out."""
    if not isinstance(default_storage, FileSystemStorage):
        return stored_audio.link_into_storage(prompt.audio_key, content_type=prompt.audio_type, name=_file_name(prompt))
    token = signing.TimestampSigner(salt=_SALT).sign_object([prompt.pk, prompt.audio_key, listener])
    return reverse("configuration:prompt-sound", args=[token])


@require_safe
def prompt_sound(request: HttpRequest, token: str) -> HttpResponseBase:
    """The file behind a link, if the prompt still has it."""
    try:
        pk, key, listener = signing.TimestampSigner(salt=_SALT).unsign_object(token, max_age=stored_audio.LINK_SECONDS)
    except signing.BadSignature:
        return JsonResponse({"detail": "This link has expired. Ask for another, or press play again."}, status=403)
    person: Any = request.user
    if listener is not None and listener != person.pk:
        raise PermissionDenied
    prompt = IvrPrompt.objects.filter(pk=pk, audio_key=key, audio_bytes__gt=0).first()
    if prompt is None:
        raise Http404
    return stored_audio.answer(request, prompt.audio_key, content_type=prompt.audio_type, name=_file_name(prompt))


def _file_name(prompt: IvrPrompt) -> str:
    return f"{prompt.code}.{stored_audio.ENDINGS.get(prompt.audio_type, 'bin')}"
