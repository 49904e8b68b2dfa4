"""The file of an access request: a link that opens it for a minute, for the one person who asked for it."""

from typing import Any

from django.core import signing
from django.core.exceptions import PermissionDenied
from django.core.files.storage import FileSystemStorage, default_storage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from callcenter_site import stored_audio
from callcenter_site.audit import Look, log_look
from retention.access_request import MAY_ASK
from retention.models import AccessRequest

LINK_SECONDS = stored_audio.LINK_SECONDS
CONTENT_TYPE = "application/zip"
_SALT = "retention.access"


def link_to(row: AccessRequest, *, actor: Any) -> str:
    """Raises `PermissionDenied` for who may not ask for such a file themselves."""
    if not actor.has_perm(MAY_ASK):
        raise PermissionDenied
    if row.state != AccessRequest.State.DONE or not row.key:
        raise Http404
    log_look(Look.EXPORTED, AccessRequest, [row.pk], actor=actor, place="file")
    if not isinstance(default_storage, FileSystemStorage):
        return stored_audio.link_into_storage(row.key, content_type=CONTENT_TYPE, name=file_name(row))
    token = signing.TimestampSigner(salt=_SALT).sign_object([row.pk, row.key, getattr(actor, "pk", None) or 0])
    return reverse("retention:access-file", args=[token])


@require_safe
def file(request: HttpRequest, token: str) -> HttpResponseBase:
    """A person's link is for that person; a program's is for whoever holds it."""
    try:
        pk, key, person = signing.TimestampSigner(salt=_SALT).unsign_object(token, max_age=LINK_SECONDS)
    except signing.BadSignature:
        said = _("This link has expired. Ask for the file again.")
        return HttpResponse(said, status=403, content_type="text/plain; charset=utf-8")
    if person and request.user.pk != person:
        raise PermissionDenied
    row = AccessRequest.objects.filter(pk=pk, key=key, state=AccessRequest.State.DONE).first()
    if row is None:
        raise Http404
    return stored_audio.answer(request, row.key, content_type=CONTENT_TYPE, name=file_name(row))


def file_name(row: AccessRequest) -> str:
    return f"access-{row.pk}.zip"
