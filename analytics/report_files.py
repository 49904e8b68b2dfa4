"""The file of a report: a link that opens it for a minute, made when somebody asks for it, and what the link answers."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from analytics import report_runs
from analytics.models import ReportRun
from callcenter_site import sheets, stored_audio
from callcenter_site.audit import Look, log_look

CONTENT_TYPES = {"csv": sheets.CSV_TYPE, "xlsx": sheets.XLSX_TYPE, "pdf": "application/pdf"}
_SALT = "analytics.report"


def link_to(run: ReportRun, *, actor: Any) -> str:
    """Raises `PermissionDenied` for whoever may not have it, or not any more."""
    if not report_runs.may_take(run, actor):
        raise PermissionDenied
    if run.state != ReportRun.State.DONE or not run.key:
        raise Http404
    log_look(Look.EXPORTED, ReportRun, [run.pk], actor=actor, place="file")
    return stored_audio.link_for(
        run,
        route="analytics:report-run-file",
        salt=_SALT,
        actor=actor,
        content_type=CONTENT_TYPES[run.kind],
        name=file_name(run),
    )


@require_safe
def file(request: HttpRequest, token: str) -> HttpResponseBase:
    """A person's link is for that person; a program's is for whoever holds it."""
    done = ReportRun.objects.filter(state=ReportRun.State.DONE)
    run: ReportRun | None = stored_audio.row_behind(token, done, salt=_SALT, reader=request.user)
    if run is None:
        return stored_audio.expired()
    return stored_audio.answer(request, run.key, content_type=CONTENT_TYPES[run.kind], name=file_name(run))


def file_name(run: ReportRun) -> str:
    return f"report-{run.pk}.{run.kind}"
