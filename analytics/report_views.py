"""The report builder: choose rows, figures, filters and a period, look at the answer, and take it away as a file."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agents import saved
from analytics import asked as asking
from analytics import report_runs, reporting, reports
from analytics.metrics import CATALOGUE, Source
from analytics.models import CallTotal, SavedReport
from analytics.periods import PRESETS, STEPS
from analytics.wording import shown
from callcenter_site import audit, sheets
from calls.models import Direction

SOURCES = {
    Source.CALLS: gettext_lazy("Calls"),
    Source.QUEUES: gettext_lazy("Queues"),
    Source.AGENTS: gettext_lazy("Agents"),
}
CONTENT_TYPES = {"csv": sheets.CSV_TYPE, "xlsx": sheets.XLSX_TYPE, "pdf": "application/pdf"}


def builder(request: HttpRequest) -> HttpResponse:
    return _page(request, problems=[])


def _page(request: HttpRequest, *, problems: list[str]) -> HttpResponse:
    view = asking.read(request)
    user, at = view.user, view.at
    asked = reporting.asked_of(request.GET)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Reports"),
        "asked": asked,
        "times": [(name, reports.DIMENSIONS[name], name in asked["group_by"]) for name in (*STEPS, reports.WEEKDAY_HOUR)],
        "keys": [(name, reports.DIMENSIONS[name], name in asked["group_by"]) for name in reports.KEYS],
        "sources": [
            (label, [(metric, metric.name in asked["metrics"]) for metric in CATALOGUE if metric.source is source])
            for source, label in SOURCES.items()
        ],
        "presets": PRESETS.items(),
        "filters": [
            (name, reports.DIMENSIONS[name], [(value, text, value in asked[name]) for value, text in choices])
            for name, choices in (
                ("skill_group", [(str(group.pk), group.name) for group in view.groups.values()]),
                ("agent", [(str(person.pk), person.name) for person in view.agents]),
                ("service_number", [(one.number, str(one)) for one in view.numbers]),
                ("direction", Direction.choices),
            )
        ],
        "kinds": [
            (label, f"{reverse('analytics:report-file')}?{reporting.query_of(request.GET)}&kind={kind}")
            for kind, label in reporting.KINDS.items()
        ],
        "errors": problems,
        "saved": _saved_menu(request),
        "start_kinds": SavedReport.Kind.choices,
        "query": reporting.query_of(request.GET),
    }
    if request.GET and not problems:
        try:
            question = reporting.read(request.GET, actor=user, at=at, limit=reporting.PREVIEW)
            answer = reports.query(question, actor=user)
        except ValidationError as error:
            context["errors"] = error.messages
        else:
            lines = reporting.Lines(question, user, answer.rows, is_read_by_people=True)
            headings, *rows = lines
            n_names = len(reporting.dimensions(question))
            context |= {"headings": headings, "rows": rows, "is_more": answer.next is not None, "about": lines.about()}
            context["n_names"] = n_names
            if rows and n_names:
                totals = reports.totals(question, actor=user)
                context["totals"] = [_("Together"), *[""] * (n_names - 1)]
                context["totals"] += [shown(metric.unit, totals[metric.name]) for metric in question.metrics]
    return render(request, "analytics/reports.html", context, status=400 if problems else 200)


def _saved_menu(request: HttpRequest) -> dict[str, Any]:
    user: Any = request.user
    query = reporting.query_of(request.GET)

    def address(row: SavedReport) -> dict[str, str]:
        page = reverse("admin:analytics_savedreport_change", args=[row.pk])
        return {"open": f"{reverse('analytics:reports')}?{row.query}", "edit": page}

    return saved.menu(
        SavedReport.objects.all().kept_by(user)[: 4 * report_runs.MOST_SAVED],
        person=user,
        is_on=lambda row: row.query == query,
        query=query,
        address=address,
        title=_("Saved reports"),
        empty=_("None yet. Build a report, then save it here; its page says when it runs by itself, and who is mailed."),
        save=_("Save this report"),
        new_name=_("Name of the new report"),
        save_to=reverse("analytics:report-save"),
        more=reverse("admin:analytics_savedreport_changelist"),
        more_text=_("Timetables and last runs"),
    )


def save(request: HttpRequest) -> HttpResponse:
    person = asking.watcher(request)
    if request.method != "POST":
        raise Http404
    name, is_shared = saved.named(request)
    try:
        report = report_runs.save_report(person=person, name=name, data=request.GET, is_shared=is_shared, at=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return HttpResponseRedirect(f"{reverse('analytics:reports')}?{reporting.query_of(request.GET)}")
    messages.success(request, _("Saved as “%(name)s”. Here it can be told to run by itself.") % {"name": report.name})
    return HttpResponseRedirect(reverse("admin:analytics_savedreport_change", args=[report.pk]))


def start(request: HttpRequest) -> HttpResponse:
    """Lets a worker write what would be too long to wait for."""
    person = asking.watcher(request)
    if request.method != "POST":
        raise Http404
    try:
        kind = request.POST.get("kind", "")
        run = report_runs.open_run(actor=person, data=request.GET, kind=kind, at=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return HttpResponseRedirect(f"{reverse('analytics:reports')}?{reporting.query_of(request.GET)}")
    return HttpResponseRedirect(reverse("admin:analytics_reportrun_change", args=[run.pk]))


def file(request: HttpRequest) -> HttpResponseBase:
    user = asking.watcher(request)
    kind = request.GET.get("kind", "csv")
    if kind not in reporting.KINDS:
        raise Http404
    try:
        language = translation.get_language() or "en"
        written, n_rows = reporting.write(request.GET, kind, actor=user, at=timezone.now(), language=language)
    except ValidationError as error:
        return _page(request, problems=error.messages)
    audit.log_export(CallTotal, n_rows, actor=user, kind=kind)
    name = f"report-{timezone.localdate(timezone=user.account.zone).isoformat()}.{kind}"
    response = FileResponse(written, as_attachment=True, filename=name, content_type=CONTENT_TYPES[kind])
    response["Cache-Control"] = "private, no-store"
    return response
