"""The file of an export: a link that opens it for a minute, made when somebody asks for it, and what the link answers."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from callcenter_site import sheets, stored_audio
from callcenter_site.audit import Look, log_look
from calls import exporting
from calls.models import ExportRun

CONTENT_TYPES: dict[str, str] = {ExportRun.Kind.CSV: sheets.CSV_TYPE, ExportRun.Kind.XLSX: sheets.XLSX_TYPE}
_SALT = "calls.export"


def link_to(run: ExportRun, *, actor: Any) -> str:
    """Raises `PermissionDenied` for somebody else's file, and for one whose owner may not see records any more."""
    if not exporting.belongs_to(run, actor) or not actor.has_perm(exporting.MAY_EXPORT):
        raise PermissionDenied
    if run.state != ExportRun.State.DONE or not run.key:
        raise Http404
    log_look(Look.EXPORTED, ExportRun, [run.pk], actor=actor, place="file")
    return stored_audio.link_for(
        run, route="calls:export-file", salt=_SALT, actor=actor, content_type=CONTENT_TYPES[run.kind], name=file_name(run)
    )


@require_safe
def file(request: HttpRequest, token: str) -> HttpResponseBase:
    """A person's link is for that person; a program's is for whoever holds it."""
    done = ExportRun.objects.filter(state=ExportRun.State.DONE)
    run: ExportRun | None = stored_audio.row_behind(token, done, salt=_SALT, reader=request.user)
    if run is None:
        return stored_audio.expired()
    return stored_audio.answer(request, run.key, content_type=CONTENT_TYPES[run.kind], name=file_name(run))


def file_name(run: ExportRun) -> str:
    return f"service-records-{run.pk}.{run.kind}"
