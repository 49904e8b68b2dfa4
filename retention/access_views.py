"""The file of an access request: a link that opens it for a minute, for the one person who asked for it."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
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
    return stored_audio.link_for(
        row, route="retention:access-file", salt=_SALT, actor=actor, content_type=CONTENT_TYPE, name=file_name(row)
    )


@require_safe
def file(request: HttpRequest, token: str) -> HttpResponseBase:
    """A person's link is for that person; a program's is for whoever holds it."""
    done = AccessRequest.objects.filter(state=AccessRequest.State.DONE)
    row: AccessRequest | None = stored_audio.row_behind(token, done, salt=_SALT, reader=request.user)
    if row is None:
        return stored_audio.expired()
    return stored_audio.answer(request, row.key, content_type=CONTENT_TYPE, name=file_name(row))


def file_name(row: AccessRequest) -> str:
    return f"access-{row.pk}.zip"
