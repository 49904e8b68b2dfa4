"""Listening to recordings and voicemail, what the desk shows of an agent's calls, and what people write about them.

Whoever presses play is checked here (permission, account, data scope), written into the audit log, and sent on to a
link that opens the file for a minute and for them alone. Nothing else in the portal hands out audio.
"""

import functools
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core import signing
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.storage import FileSystemStorage, default_storage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from callcenter_site import stored_audio
from callcenter_site.audit import Look, log_look
from calls import tasks
from calls.desk import own_day
from calls.masking import sees_numbers, shown_text
from calls.models import AudioState, Call, Recording, Voicemail
from calls.remarks import ChangedMeanwhile, Remark, may_remark, new_token, only_adds, write_remark
from calls.screen_pop import open_calls, panel_of
from calls.waveform import browser_draws
from configuration.access import LISTEN, SEE_RECORDINGS, SEE_VOICEMAIL

LINK_SECONDS = stored_audio.LINK_SECONDS
_MODELS: dict[str, tuple[type[Recording] | type[Voicemail], str]] = {
    "recording": (Recording, SEE_RECORDINGS),
    "voicemail": (Voicemail, SEE_VOICEMAIL),
}
"""What is listened to, and the permission to know of it, which goes before the one to listen."""
_SALT = "calls.listen"
_ENDINGS = {**stored_audio.ENDINGS, "audio/x-wav": "wav", "audio/mp4": "m4a", "audio/webm": "webm"}


@login_required
@require_GET
def listen(request: HttpRequest, kind: str, pk: int) -> HttpResponseBase:
    """Where a player points: checks, notes the listening, and sends the browser to the short-lived link."""
    audio = _audible(request, kind, pk)
    user: Any = request.user
    _note_listening(audio, user)
    if isinstance(default_storage, FileSystemStorage):
        token = signing.TimestampSigner(salt=_SALT).sign_object([kind, audio.pk, user.pk])
        address = reverse("calls:audio", args=[token])
    else:
        address = stored_audio.link_into_storage(
            audio.key, content_type=_content_type(audio), name=_file_name(audio), seconds=LINK_SECONDS
        )
    response = HttpResponseRedirect(address)
    response["Cache-Control"] = "private, no-store"
    return response


@login_required
@require_GET
def waveform(request: HttpRequest, kind: str, pk: int) -> HttpResponseBase:
    """The same sound for the player's script, which draws from it how loud it is along its length: through the portal, for
    a script may not read what a store at another address answers. Only of files whose waveform is not known."""
    audio = _audible(request, kind, pk)
    if not browser_draws(audio):
        raise Http404
    _note_listening(audio, request.user)
    return stored_audio.whole(request, audio.key, content_type=_content_type(audio), name=_file_name(audio))


def _note_listening(audio: Recording | Voicemail, user: Any) -> None:
    # A player asks again when somebody jumps to another place; that is the same listening. `add` answers False where it
    # was noted before, and None where the cache cannot be asked: then each time is noted, rather than none.
    if cache.add(f"listening:{audio._meta.model_name}:{audio.pk}:{user.pk}", 1, LINK_SECONDS) is not False:
        log_look(Look.LISTENED, type(audio), [audio.pk], actor=user, call=audio.call_id)
    if isinstance(audio, Voicemail):
        Voicemail.objects.filter(pk=audio.pk, heard_at=None).update(heard_by=user, heard_at=timezone.now())


@login_required
@require_safe
def audio(request: HttpRequest, token: str) -> HttpResponseBase:
    """The file behind a link, whole or the part asked for. The link is good for a minute and for one person."""
    try:
        kind, pk, listener = signing.TimestampSigner(salt=_SALT).unsign_object(token, max_age=LINK_SECONDS)
    except signing.BadSignature:
        return HttpResponse(_("This link has expired. Press play again."), status=403, content_type="text/plain; charset=utf-8")
    if listener != request.user.pk:
        raise PermissionDenied
    stored = _audible(request, kind, pk)
    return stored_audio.answer(request, stored.key, content_type=_content_type(stored), name=_file_name(stored))


_PROGRAMS_SALT = "calls.sound"


def link_for_programs(stored: Recording | Voicemail) -> str:
    """A link that opens one file for a minute, whoever has it. Who may have it is asked where it is handed out."""
    if not isinstance(default_storage, FileSystemStorage):
        return stored_audio.link_into_storage(
            stored.key, content_type=_content_type(stored), name=_file_name(stored), seconds=LINK_SECONDS
        )
    token = signing.TimestampSigner(salt=_PROGRAMS_SALT).sign_object([stored._meta.model_name, stored.pk, stored.key])
    return reverse("calls:sound", args=[token])


@require_safe
def sound(request: HttpRequest, token: str) -> HttpResponseBase:
    """The file behind a link that a program got from the API, if the record still has it."""
    try:
        kind, pk, key = signing.TimestampSigner(salt=_PROGRAMS_SALT).unsign_object(token, max_age=LINK_SECONDS)
    except signing.BadSignature:
        return JsonResponse({"detail": "This link has expired."}, status=403)
    stored = _MODELS[kind][0].objects.filter(pk=pk, key=key, state=AudioState.STORED).first()
    if stored is None:
        raise Http404
    return stored_audio.answer(request, stored.key, content_type=_content_type(stored), name=_file_name(stored))


def _audible(request: HttpRequest, kind: str, pk: int) -> Recording | Voicemail:
    """The row, if this person may listen to it. One that is not theirs to see is missing, like one that never was."""
    user: Any = request.user
    if not user.has_perm(LISTEN):
        raise PermissionDenied
    model, to_know_of_it = _MODELS.get(kind, (None, ""))
    if model is None or not user.has_perm(to_know_of_it):
        raise Http404
    row: Recording | Voicemail | None = model.objects.visible_to(user).filter(pk=pk, state=AudioState.STORED).first()
    if row is None or not row.key:
        raise Http404
    return row


def _content_type(stored: Recording | Voicemail) -> str:
    return stored.content_type if stored.content_type in _ENDINGS else "application/octet-stream"


def _file_name(stored: Recording | Voicemail) -> str:
    return f"{stored._meta.model_name}-{stored.pk}.{_ENDINGS.get(stored.content_type, 'bin')}"


# --- The desk --------------------------------------------------------------------------------------------------------


def _at_a_desk(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponseBase]:
    """Parts of the desk's page, for whoever has a desk and may see calls."""

    @never_cache
    @login_required
    @require_GET
    @functools.wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        person: Any = request.user
        if not (person.has_perm("agents.use_desk") and person.has_perm("calls.view_call")):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


@_at_a_desk
def desk_calls(request: HttpRequest) -> HttpResponse:
    """Which calls belong on the desk now; the page fetches those that are new or have changed."""
    person: Any = request.user
    calls = open_calls(agent=person, at=timezone.now())
    return JsonResponse(
        {"agent": person.pk, "calls": [{"id": one.call_id, "version": one.version, "is_over": one.is_over} for one in calls]}
    )


@_at_a_desk
def desk_call(request: HttpRequest, pk: int) -> HttpResponse:
    """One call as its agent is shown it. Of a call they have no part in, nobody is told that there is one."""
    panel = panel_of(agent=request.user, call_id=pk, at=timezone.now())  # type: ignore[arg-type]
    if panel is None:
        raise Http404
    return render(request, "calls/pop_up.html", {"panel": panel, "token": new_token()})


@_at_a_desk
def desk_records(request: HttpRequest) -> HttpResponse:
    """An agent's own calls of today, as a part of the desk's page."""
    person: Any = request.user
    return render(request, "calls/desk_records.html", {"day": own_day(agent=person, at=timezone.now())})


@never_cache
@login_required
@require_POST
def remark(request: HttpRequest, pk: int) -> HttpResponse:
    """What the desk's form sends: the remark as it stands then, or why it does not."""
    person: Any = request.user
    if not (person.has_perm("agents.use_desk") and person.has_perm("calls.view_call")):
        raise PermissionDenied
    call = Call.objects.visible_to(person).select_related("account").filter(pk=pk).first()
    if call is None:
        raise Http404
    if not may_remark(person, call):
        raise PermissionDenied
    try:
        now = write_remark(call=call, by=person, form=request.POST, at=timezone.now())
    except ValidationError as error:
        return JsonResponse({"detail": " ".join(error.messages)}, status=400)
    except ChangedMeanwhile as change:
        return JsonResponse({"detail": str(change), **_as_json(change.now, person)}, status=409)
    tasks.nudge()
    return JsonResponse({"said": _("Saved."), **_as_json(now, person)})


def _as_json(now: Remark, person: Any) -> dict[str, Any]:
    return {
        "text": shown_text(now.text, whole=sees_numbers(person)),
        "disposition": now.disposition,
        "began_with": now.fingerprint,
        "token": new_token(),
        "only_adds": only_adds(person, now),
    }
