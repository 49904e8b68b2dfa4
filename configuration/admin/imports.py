"""Bringing lists in and taking them away: the buttons on their pages, and the pages of what was brought in."""

import datetime as dt
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from callcenter_site import sheets as files
from callcenter_site.admin import FactAdmin
from callcenter_site.audit import log_export
from configuration.importing.report import PROBLEMS, errors_of, preview_of
from configuration.importing.run import choose_to_write, columns_refused, discard
from configuration.importing.sheet import SHEETS, Sheet
from configuration.importing.upload import open_import
from configuration.models import ImportRun

KINDS = {"csv": files.CSV_TYPE, "xlsx": files.XLSX_TYPE}
ERRORS_SHOWN = 200
STATE_LABELS = {
    ImportRun.State.CHECKING: "info",
    ImportRun.State.CHECKED: "warning",
    ImportRun.State.WRITING: "info",
    ImportRun.State.DONE: "success",
    ImportRun.State.DISCARDED: "default",
    ImportRun.State.FAILED: "danger",
}


class UploadForm(forms.Form):
    file = forms.FileField(
        label=_("File"),
        allow_empty_file=True,  # said in plainer words once it is read
        widget=forms.FileInput(attrs={"accept": ".csv,.xlsx,.txt,.tsv,text/csv", "data-import-file": str(files.MAX_BYTES)}),
        error_messages={"required": _("Choose a file."), "missing": _("Choose a file."), "invalid": _("Choose a file.")},
    )


if TYPE_CHECKING:
    _Page = Any
else:
    _Page = object


class SheetAdmin(_Page):
    """For the page of a list that comes and goes as a file. Put before the page's base."""

    sheet: ClassVar[type[Sheet]]

    def get_urls(self) -> list[URLPattern]:
        def at(route: str, name: str, view: Any) -> URLPattern:
            pattern: URLPattern = path(route, self.admin_site.admin_view(view), name=self._url_name(name).removeprefix("admin:"))
            return pattern

        return [
            at("import/", "import", self.import_view),
            at("import/template.<str:kind>", "template", self.template_view),
            at("export.<str:kind>", "export", self.export_view),
            *super().get_urls(),
        ]

    def _url_name(self, name: str) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        offered: dict[str, Any] = {}
        if self.sheet.may_import(request.user):
            offered["sheet_import"] = reverse(self._url_name("import"))
        if self.sheet.may_export(request.user) and self.has_view_permission(request):
            narrowed = request.GET.copy()
            for name in ("p", "all", "e"):
                narrowed.pop(name, None)
            query = f"?{narrowed.urlencode()}" if narrowed else ""
            offered["sheet_exports"] = [(kind.upper(), reverse(self._url_name("export"), args=[kind]) + query) for kind in KINDS]
        return super().changelist_view(request, {**offered, **(extra_context or {})})

    def import_view(self, request: HttpRequest) -> HttpResponse:
        if not self.sheet.may_import(request.user):
            raise PermissionDenied
        form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
        if request.method == "POST" and form.is_valid():
            chosen = {name: True for name in self.sheet.options if request.POST.get(f"option-{name}")}
            try:
                run = open_import(
                    sheet=self.sheet, actor=request.user, file=form.cleaned_data["file"], at=timezone.now(), chosen=chosen
                )
            except ValidationError as error:
                form.add_error("file", error)
            else:
                return HttpResponseRedirect(reverse("admin:configuration_importrun_change", args=[run.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Import: %(what)s") % {"what": self.sheet.title},
            "form": form,
            "what": self.sheet.title,
            "note": self.sheet.note,
            "columns": self.sheet.columns_for(request.user),
            "options": [(name, said, bool(request.POST.get(f"option-{name}"))) for name, said in self.sheet.options.items()],
            "templates": [(kind.upper(), reverse(self._url_name("template"), args=[kind])) for kind in KINDS],
            "back": reverse(self._url_name("changelist")),
            "opts": self.opts,
            "limits": {"megabytes": files.MAX_BYTES // 1024**2, "rows": files.MAX_ROWS},
        }
        return render(request, "admin/configuration/importrun/upload.html", context, status=400 if form.errors else 200)

    def template_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        if not self.sheet.may_import(request.user):
            raise PermissionDenied
        sheet = self.sheet(actor=request.user)
        return file_of(request, f"{sheet.name}-template", kind, sheet.template(), sheet, self.sheet.columns_for(request.user))

    def export_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """The list as it is filtered and searched now, of what whoever asks may see."""
        if not self.has_view_permission(request) or not self.sheet.may_export(request.user):
            raise PermissionDenied
        if kind not in KINDS:
            raise Http404
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            query = request.GET.urlencode()  # the list says what of it cannot be read
            return HttpResponseRedirect(f"{reverse(self._url_name('changelist'))}?{query}")
        sheet = self.sheet(actor=request.user)
        ids = sheet.ids(rows)
        log_export(self.model, len(ids), actor=request.user, format=kind, sheet=sheet.name)
        name = f"{sheet.name}-{timezone.localtime():%Y-%m-%d}"
        return file_of(request, name, kind, sheet.export(ids), sheet, self.sheet.columns_shown_to(request.user))


def file_of(
    request: HttpRequest, name: str, kind: str, rows: Iterable[list[str]], sheet: Sheet, columns: list[Any]
) -> HttpResponseBase:
    """Rows as a download, a piece at a time."""
    if kind not in KINDS:
        raise Http404
    file: IO[bytes] | None = None
    if kind == "xlsx":
        file = files.write_xlsx(rows, title=str(sheet.title), widths=[column.width for column in columns])
        chunks: Iterable[bytes] = iter(lambda: file.read(64 * 1024), b"")
    else:
        chunks = files.csv_chunks(rows)
    return download(request, f"{name}.{kind}", KINDS[kind], chunks, file)


def download(
    request: HttpRequest, name: str, content_type: str, chunks: Iterable[bytes], file: IO[bytes] | None = None
) -> HttpResponseBase:
    spoken = _in_language(iter(chunks), translation.get_language() or "en", timezone.get_current_timezone())
    # The asynchronous server would read a plain iterator to its end before sending any of it.
    body: Any = _asynchronously(spoken) if isinstance(request, ASGIRequest) else spoken
    response = StreamingHttpResponse(body, content_type=content_type)
    if file is not None:
        response._resource_closers.append(file.close)  # type: ignore[attr-defined]
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def _in_language(chunks: Iterator[bytes], language: str, zone: dt.tzinfo) -> Iterator[bytes]:
    """A body is written after its request has ended, and with it the request's language."""
    while True:
        with translation.override(language), timezone.override(zone):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk


async def _asynchronously(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    following = sync_to_async(lambda: next(chunks, None))
    while (chunk := await following()) is not None:
        yield chunk


# --- What was brought in ---------------------------------------------------------------------------------------------


@admin.register(ImportRun)
class ImportRunAdmin(FactAdmin):
    list_display = ["show_what", "show_state", "created_at", "n_rows", "n_new", "n_changed", "n_same", "n_bad"]
    list_filter = [("state", ChoicesDropdownFilter)]
    list_fullwidth = True
    sortable_by = ["created_at"]
    search_fields: Any = []
    actions: Any = []
    change_list_template = "admin/configuration/importrun/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        def at(route: str, name: str, view: Any) -> URLPattern:
            pattern: URLPattern = path(
                f"<path:object_id>/{route}", self.admin_site.admin_view(view), name=f"configuration_importrun_{name}"
            )
            return pattern

        return [
            at("progress/", "progress", self.progress_view),
            at("write/", "write", self.write_view),
            at("discard/", "discard", self.discard_view),
            at("errors.csv", "errors", self.errors_view),
            *super().get_urls(),
        ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_see_imports(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_see_imports(request.user)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, unquote(object_id))
        if run is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        reader: Any = request.user
        sheet = SHEETS.get(run.sheet)
        errors = errors_of(run, reader=reader)
        names, rows = preview_of(run, reader=reader)
        titles = {column.name: column.title for column in sheet.columns} if sheet else {}
        model = sheet.model._meta if sheet else None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Import: %(what)s") % {"what": what_of(run)},
            "what": what_of(run),
            "opts": self.opts,
            "run": run,
            "percent": 100 * run.n_done // run.n_rows if run.n_rows else 0,
            "problem": PROBLEMS.get(run.problem, ""),
            "headings": [titles.get(name, name) for name in names],
            "preview": [{**row, "said": [(row["cells"].get(name, ""), row["was"].get(name)) for name in names]} for row in rows],
            "errors": [error for error, _n in zip(errors, range(ERRORS_SHOWN), strict=False)],
            "refused": [column.title for column in columns_refused(run, actor=reader)] if sheet else [],
            "n_good": run.n_new + run.n_changed,
            "back": reverse(f"admin:{model.app_label}_{model.model_name}_changelist") if model else "",
            "again": reverse(f"admin:{model.app_label}_{model.model_name}_import") if model else "",
            "is_at_work": run.state in ImportRun.AT_WORK,
        }
        response = render(request, "admin/configuration/importrun/run.html", context)
        response["Cache-Control"] = "private, no-store"
        return response

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self._run(request, object_id)
        if run is None:
            return JsonResponse({}, status=404)
        return JsonResponse({"state": run.state, "done": run.n_done, "rows": run.n_rows}, headers={"Cache-Control": "no-store"})

    def write_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self._run(request, object_id)
        if run is None or request.method != "POST":
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not choose_to_write(run, actor=request.user, only_if_all_good=bool(request.POST.get("only_if_all_good"))):
            messages.warning(request, _("Somebody decided before you."))
        return self._back_to(run)

    def discard_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self._run(request, object_id)
        if run is None or request.method != "POST":
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if discard(run, actor=request.user, at=timezone.now()):
            messages.success(request, _("Discarded: nothing was written, and the rows of the file are gone."))
        else:
            messages.warning(request, _("Somebody decided before you."))
        return self._back_to(run)

    def errors_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        run = self._run(request, object_id)
        if run is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        reader: Any = request.user
        heading = (gettext("Row"), gettext("Column"), gettext("Cell"), gettext("What is wrong"))

        def rows() -> Iterator[tuple[Any, ...]]:
            yield heading
            yield from errors_of(run, reader=reader)

        return download(request, f"import-{run.pk}-errors.csv", files.CSV_TYPE, files.csv_chunks(rows()))

    def _run(self, request: HttpRequest, object_id: str) -> ImportRun | None:
        if not self.has_view_permission(request):
            raise PermissionDenied
        run: ImportRun | None = self.get_object(request, unquote(object_id))
        return run

    def _back_to(self, run: ImportRun) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:configuration_importrun_change", args=[run.pk]))

    @display(description=_("what"))
    def show_what(self, obj: ImportRun) -> str:
        return what_of(obj)

    @display(description=_("state"), label=STATE_LABELS)
    def show_state(self, obj: ImportRun) -> tuple[str, Any]:
        return obj.state, obj.get_state_display()


def what_of(run: ImportRun) -> str:
    sheet = SHEETS.get(run.sheet)
    return str(sheet.title) if sheet else run.sheet


def sees_imports(request: HttpRequest) -> bool:
    """Whether the menu leads there."""
    return may_see_imports(request.user)


def may_see_imports(user: Any) -> bool:
    if getattr(user, "account_id", None) is None:
        return False
    return user.has_perm("configuration.view_importrun") or any(sheet.may_import(user) for sheet in SHEETS.values())
