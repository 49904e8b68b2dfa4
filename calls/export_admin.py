"""Exports in the admin: asked for on the list of service records, followed on a page of their own."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold.decorators import display

from agents.models import Agent, SkillGroup
from callcenter_site.admin import GrowingAdmin
from callcenter_site.admin_filters import RangeFilter
from callcenter_site.ids import read_id
from calls import admin_filters as filters
from calls import exporting
from calls.envelope import call_key_of
from calls.export_views import LINK_SECONDS, link_to
from calls.models import Call, ExportRun

STATE_LABELS = {
    ExportRun.State.WAITING: "info",
    ExportRun.State.WRITING: "info",
    ExportRun.State.DONE: "success",
    ExportRun.State.CANCELLED: "default",
    ExportRun.State.FAILED: "danger",
}


def asked_of(listed: Any, user: Any) -> dict[str, list[str]]:
    """What the list is narrowed by, as parameters of the API's list. A period that moves with the days stands still."""
    asked: dict[str, list[str]] = defaultdict(list)
    for spec in listed.filter_specs:
        if isinstance(spec, filters.StartedFilter):
            start, end = spec.bounds()
            asked["started_after"] += [start.isoformat()] if start else []
            asked["started_before"] += [end.isoformat()] if end else []
            asked["week_hour"] += [spec.week_hour_typed] if spec.week_hour() else []
        elif isinstance(spec, RangeFilter):
            least, most = spec.bounds()
            asked[f"{spec.name}_min"] += [f"{least:g}"] if least is not None else []
            asked[f"{spec.name}_max"] += [f"{most:g}"] if most is not None else []
            asked[spec.name] += [spec.chosen()] if spec.choices_beside and spec.chosen() else []
        elif isinstance(spec, filters.OutcomeFilter):
            asked["outcome"] += [value for value in spec.value() or () if value]
        elif isinstance(spec, filters.ServiceNumberFilter):
            asked["service_number"] += [spec.numbers[spec.checked()]] if spec.checked() else []
        elif isinstance(spec, filters.Has | filters.AnsweredFilter):
            name = f"has_{spec.parameter_name}" if isinstance(spec, filters.Has) else "answered"
            asked[name] += [{"yes": "true", "no": "false"}[spec.checked()]] if spec.checked() else []
        elif isinstance(spec, filters.OpenChoice | filters.DirectionFilter):
            asked[str(spec.parameter_name)] += [spec.value()] if spec.value() else []
        else:
            _ask_for_related(asked, spec, user)
    if text := listed.query.strip():
        is_id = Call.objects.for_account(user.account_id).filter(call_key=call_key_of(user.account_id, text)).exists()
        asked["call_id" if is_id else "number"].append(text)
    return {name: values for name, values in asked.items() if values}


def _ask_for_related(asked: dict[str, list[str]], spec: Any, user: Any) -> None:
    values = [str(value) for value in _flat(spec.used_parameters.values()) if value]
    if not values:
        return
    rows: Any = {"agent": Agent, "skill_group": SkillGroup}[spec.field.name].objects.for_account(user.account_id)  # type: ignore[attr-defined]
    row = rows.filter(pk=pk).first() if (pk := read_id(values[0])) is not None else None
    if row is None:
        raise IncorrectLookupParameters(spec.field.name)
    asked[spec.field.name].append(row.staff_id if spec.field.name == "agent" else row.name)


def _flat(values: Any) -> list[Any]:
    return [one for value in values for one in (value if isinstance(value, Sequence) and not isinstance(value, str) else [value])]


class ExportsCalls:
    """For the page of service records: the address that its export buttons send to."""

    def get_urls(self) -> list[Any]:
        page: Any = self
        return [page.extra_path("export/", "export", self.export_view), *super().get_urls()]  # type: ignore[misc]

    def export_view(self, request: HttpRequest) -> HttpResponse:
        page: Any = self
        user: Any = request.user
        if request.method != "POST":
            raise Http404
        if not page.has_view_permission(request):
            raise PermissionDenied
        kind = request.POST.get("kind", "")
        if kind not in ExportRun.Kind.values:
            raise Http404
        try:
            asked = asked_of(page.get_changelist_instance(request), user)
            run = exporting.open_export(
                actor=user, asked=asked, kind=kind, with_legs=bool(request.POST.get("with_legs")), at=timezone.now()
            )
        except IncorrectLookupParameters:
            messages.error(request, _("The list cannot be exported as it is filtered. Take off the filter marked “?”."))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            return HttpResponseRedirect(reverse("admin:calls_exportrun_change", args=[run.pk]))
        query = request.GET.urlencode()
        return HttpResponseRedirect(page.address_of("changelist") + (f"?{query}" if query else ""))


@admin.register(ExportRun)
class ExportRunAdmin(GrowingAdmin):
    list_display = ("show_id", "show_created", "show_kind", "started_by", "show_state", "n_calls")
    list_display_links = ("show_id",)
    list_select_related = ("started_by",)
    ordering = ("-created_at", "-pk")
    sortable_by = ()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(exporting.MAY_EXPORT) and request.user.has_perm("agents.enter_admin")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[Any]:
        return [
            self.extra_path("<path:object_id>/progress/", "progress", self.progress_view),
            self.extra_path("<path:object_id>/file/", "file", self.file_view),
            self.extra_path("<path:object_id>/cancel/", "cancel", self.cancel_view),
            *super().get_urls(),
        ]

    @display(description=_("export"))
    def show_id(self, run: ExportRun) -> str:
        return f"#{run.pk}"

    @display(description=_("created"), ordering="created_at")
    def show_created(self, run: ExportRun) -> str:
        return timezone.localtime(run.created_at).strftime("%Y-%m-%d %H:%M:%S")

    @display(description=_("kind"))
    def show_kind(self, run: ExportRun) -> str:
        return run.get_kind_display()

    @display(description=_("state"), label=STATE_LABELS)
    def show_state(self, run: ExportRun) -> tuple[str, Any]:
        return run.state, run.get_state_display()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, unquote(object_id))
        if run is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Export %(n)d") % {"n": run.pk},
            "opts": self.opts,
            "run": run,
            "is_at_work": run.state in ExportRun.AT_WORK,
            "is_own": exporting.belongs_to(run, request.user),
            "problem": exporting.PROBLEMS.get(run.problem, ""),
            "gone_at": run.created_at + exporting.KEPT_FOR,
            "link_seconds": LINK_SECONDS,
        }
        response = render(request, "admin/calls/exportrun/run.html", context)
        response["Cache-Control"] = "private, no-store"
        return response

    def _run(self, request: HttpRequest, object_id: str) -> ExportRun:
        """The run, or the answer to one that is not there."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run: ExportRun | None = self.get_object(request, unquote(object_id))
        if run is None:
            raise Http404
        return run

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self._run(request, object_id)
        reached = timezone.localtime(run.reached_at).strftime("%Y-%m-%d %H:%M") if run.reached_at else ""
        answer = {"state": run.state, "calls": run.n_calls, "rows": run.n_rows, "reached": reached}
        return JsonResponse(answer, headers={"Cache-Control": "no-store"})

    def file_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        response = HttpResponseRedirect(link_to(self._run(request, object_id), actor=request.user))
        never_cache(lambda _request: response)(request)
        return response

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self._run(request, object_id)
        if request.method != "POST" or not exporting.belongs_to(run, request.user):
            raise PermissionDenied
        if exporting.cancel(run, at=timezone.now()):
            messages.success(request, _("Cancelled: nothing of it is kept."))
        else:
            messages.warning(request, _("It was over already."))
        return HttpResponseRedirect(self.address_of("change", run.pk))
