"""The file of an export: a link that opens it for a minute, made when somebody asks for it, and what the link answers."""

from typing import Any

from django.core import signing
from django.core.exceptions import PermissionDenied
from django.core.files.storage import FileSystemStorage, default_storage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from callcenter_site import sheets, stored_audio
from callcenter_site.audit import Look, log_look
from calls import exporting
from calls.models import ExportRun

LINK_SECONDS = stored_audio.LINK_SECONDS
CONTENT_TYPES: dict[str, str] = {ExportRun.Kind.CSV: sheets.CSV_TYPE, ExportRun.Kind.XLSX: sheets.XLSX_TYPE}
_SALT = "calls.export"


def link_to(run: ExportRun, *, actor: Any) -> str:
    """Raises `PermissionDenied` for somebody else's file, and for one whose owner may not see records any more."""
    if not exporting.belongs_to(run, actor) or not actor.has_perm(exporting.MAY_EXPORT):
        raise PermissionDenied
    if run.state != ExportRun.State.DONE or not run.key:
        raise Http404
    log_look(Look.EXPORTED, ExportRun, [run.pk], actor=actor, place="file")
    if not isinstance(default_storage, FileSystemStorage):
        return stored_audio.link_into_storage(run.key, content_type=CONTENT_TYPES[run.kind], name=file_name(run))
    token = signing.TimestampSigner(salt=_SALT).sign_object([run.pk, run.key, getattr(actor, "pk", None) or 0])
    return reverse("calls:export-file", args=[token])


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
    run = ExportRun.objects.filter(pk=pk, key=key, state=ExportRun.State.DONE).first()
    if run is None:
        raise Http404
    return stored_audio.answer(request, run.key, content_type=CONTENT_TYPES[run.kind], name=file_name(run))


def file_name(run: ExportRun) -> str:
    return f"service-records-{run.pk}.{run.kind}"
