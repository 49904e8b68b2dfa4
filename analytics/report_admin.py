"""The pages of saved reports, with their timetable and readers, and of the files that were written of them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import URLPattern, reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from agents import saved
from analytics import report_files, report_runs, reporting
from analytics.models import ReportMail, ReportRun, SavedReport
from callcenter_site.admin import AccountForm, PortalAdmin
from callcenter_site.file_run_admin import STATE_LABELS, FileRunAdmin
from configuration.access import ENTER_ADMIN, SEE_FIGURES
from configuration.admin.tick_boxes import TickBoxes

LAST_RUNS = 10


class SavedReportForm(AccountForm):
    readers = forms.TypedMultipleChoiceField(
        label=_("Mailed to"),
        coerce=int,
        empty_value=[],
        required=False,
        widget=TickBoxes,
        help_text=_("Beside yourself. Only who sees as much as you do can be chosen; the mail holds a link and no figures."),
    )

    class Meta:
        model = SavedReport
        fields = ["name", "is_shared", "kind", "schedule", "weekday", "hour"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "readers" not in self.fields:
            return  # only looked at
        field: Any = self.fields["readers"]
        people = {one.pk: one for one in report_runs.possible_readers(self.asker)}
        chosen = {one.person_id: one.person for one in self.instance.readers.select_related("person__account")}
        self.people = people | chosen
        field.choices = [("", [(pk, f"{one.name} ({one.staff_id})") for pk, one in self.people.items()])]
        if not self.people:
            field.help_text = _("Nobody else in the account sees as much as you do and may see figures.")
        self.initial["readers"] = list(chosen)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("is_shared") and not saved.may_share(self.asker):
            self.add_error("is_shared", _("Your role sees only its own records, so what you keep is for yourself."))
        return data

    def _post_clean(self) -> None:
        super()._post_clean()
        if self.errors:
            return
        try:
            report_runs.check_schedule(self.instance)
            report_runs.check_file(self.instance, person=self.asker, at=timezone.now())
        except ValidationError as error:
            for name, texts in error.message_dict.items():
                self.add_error(name if name in self.fields else None, texts)


@admin.register(SavedReport)
class SavedReportAdmin(PortalAdmin):
    form = SavedReportForm
    list_display = ("name", "owner", "show_schedule", "show_next", "show_last", "is_shared")
    list_select_related = ("owner", "account")
    search_fields = ("name",)
    ordering = ("name", "pk")
    actions_detail = ("open_it", "run_it")
    readonly_fields = ("show_question", "show_next", "show_runs")
    fieldsets = (
        (None, {"fields": ("name", "is_shared", "show_question")}),
        (_("By itself"), {"fields": ("schedule", "weekday", "hour", "kind", "readers", "show_next")}),
        (_("Last runs"), {"fields": ("show_runs",)}),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("runs")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(SEE_FIGURES) and request.user.has_perm(ENTER_ADMIN)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a report is saved where it is built

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request) and (obj is None or saved.may_change(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Administrators may take away what others left behind."""
        return self.has_change_permission(request, obj) or (
            self.has_view_permission(request, obj) and request.user.has_perm("configuration.change_account")
        )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.has_change_permission(request, obj):
            return self.fieldsets
        return (
            (None, {"fields": ("name", "owner", "is_shared", "show_question")}),
            (_("By itself"), {"fields": ("show_schedule", "show_next")}),
            (_("Last runs"), {"fields": ("show_runs",)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "owner", "show_schedule")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        report_runs.plan(obj, at=timezone.now())
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        chosen = [form.people[pk] for pk in form.cleaned_data.get("readers", []) if pk in form.people]
        report_runs.set_readers(form.instance, chosen)
        super().save_related(request, form, formsets, change)

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        return [self.extra_path("<path:object_id>/run/", "run", self.run_view), *urls]

    @action(description=_("Open"), icon="table_chart")
    def open_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.row_or_404(request, object_id)
        return HttpResponseRedirect(f"{reverse('analytics:reports')}?{row.query}")

    @action(description=_("Run now"), icon="play_arrow")
    def run_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.row_or_404(request, object_id)
        is_own = saved.may_change(request.user, row)
        return self.answer_with(
            request,
            "admin/analytics/savedreport/run.html",
            title=gettext("Run now"),
            report=row,
            is_own=is_own,
            n_readers=row.readers.count() if is_own else 0,
            kinds=SavedReport.Kind.choices,
            start=self.address_of("run", row.pk),
        )

    def run_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """With the rights of whoever presses the button, whose report it ever is."""
        row = self.row_or_404(request, object_id)
        if request.method != "POST":
            raise Http404
        try:
            run = report_runs.open_run(
                actor=request.user,
                data=QueryDict(row.query),
                kind=request.POST.get("kind", row.kind),
                at=timezone.now(),
                report=row,
                is_mailed=bool(request.POST.get("is_mailed")),
            )
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return HttpResponseRedirect(self.address_of("change", row.pk))
        return HttpResponseRedirect(reverse("admin:analytics_reportrun_change", args=[run.pk]))

    @display(description=_("runs"))
    def show_schedule(self, obj: SavedReport) -> str:
        return schedule_in_words(obj)

    @display(description=_("next run"), ordering="due_at")
    def show_next(self, obj: SavedReport) -> str:
        if obj.stopped:
            return gettext("stopped: %(why)s") % {"why": obj.get_stopped_display()}
        return formats.date_format(timezone.localtime(obj.due_at), "SHORT_DATETIME_FORMAT") if obj.due_at else "–"

    @display(description=_("last run"), label=STATE_LABELS)
    def show_last(self, obj: SavedReport) -> Any:
        last = next(iter(obj.runs.all()), None)
        return (last.state, last.get_state_display()) if last is not None else "–"

    @display(description=_("asks for"))
    def show_question(self, obj: SavedReport) -> Any:
        return format_html('<a href="{}?{}">{}</a>', reverse("analytics:reports"), obj.query, reporting.in_words(obj.query))

    @display(description="")
    def show_runs(self, obj: SavedReport) -> Any:
        runs = list(obj.runs.all()[:LAST_RUNS])
        if not runs:
            return gettext("None in the last week.")
        return format_html(
            "<ul>{}</ul>",
            format_html(
                "".join(["<li>{}</li>"] * len(runs)),
                *(
                    format_html(
                        '<a href="{}">{}</a> · {}{}',
                        reverse("admin:analytics_reportrun_change", args=[run.pk]),
                        formats.date_format(timezone.localtime(run.created_at), "SHORT_DATETIME_FORMAT"),
                        run.get_state_display(),
                        f" · {report_runs.PROBLEMS[run.problem]}" if run.problem in report_runs.PROBLEMS else "",
                    )
                    for run in runs
                ),
            ),
        )


def schedule_in_words(report: SavedReport) -> str:
    values = {"hour": f"{report.hour}:00", "day": report.get_weekday_display()}
    match report.schedule:
        case SavedReport.Schedule.DAILY:
            return gettext("every day at %(hour)s") % values
        case SavedReport.Schedule.WEEKLY:
            return gettext("every %(day)s at %(hour)s") % values
        case SavedReport.Schedule.MONTHLY:
            return gettext("on the first of every month at %(hour)s") % values
        case _:
            return gettext("only when asked for")


@admin.register(ReportRun)
class ReportRunAdmin(FileRunAdmin):
    list_display = ("show_id", "show_created", "show_name", "show_kind", "owner", "show_state", "show_rows", "show_problem")
    list_select_related = ("owner", "report")
    permissions = (SEE_FIGURES, ENTER_ADMIN)
    page = "admin/analytics/reportrun/run.html"
    problems = report_runs.PROBLEMS
    kept_for = report_runs.KEPT_FOR

    def belongs_to(self, run: ReportRun, user: Any) -> bool:
        return report_runs.belongs_to(run, user)

    def link_to(self, run: ReportRun, user: Any) -> str:
        return report_files.link_to(run, actor=user)

    def told_of(self, run: ReportRun, user: Any) -> dict[str, Any]:
        mails: Any = run.mails.select_related("person__account") if self.belongs_to(run, user) else ()
        return {
            "title": run.name or gettext("Report"),
            "may_take": run.state == ReportRun.State.DONE and report_runs.may_take(run, user),
            "mails": [(one.person.name, one.get_state_display(), one.state == ReportMail.State.SENT) for one in mails],
            "about": reporting.in_words(run.query),
        }

    @display(description=_("run"))
    def show_id(self, run: ReportRun) -> str:
        return f"#{run.pk}"

    @display(description=_("report"))
    def show_name(self, run: ReportRun) -> Any:
        return run.name or _("not saved")

    @display(description=_("file"))
    def show_kind(self, run: ReportRun) -> str:
        return run.get_kind_display()

    @display(description=_("rows"))
    def show_rows(self, run: ReportRun) -> int:
        return run.n_rows

    @display(description=_("problem"))
    def show_problem(self, run: ReportRun) -> Any:
        return report_runs.PROBLEMS.get(run.problem, "")
