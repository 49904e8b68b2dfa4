"""Exports in the admin: asked for on the list of service records, followed on a page of their own."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from agents.models import Agent, SkillGroup
from callcenter_site.admin_filters import RangeFilter
from callcenter_site.file_run_admin import FileRunAdmin
from callcenter_site.ids import read_id
from calls import admin_filters as filters
from calls import exporting
from calls.envelope import call_key_of
from calls.export_views import link_to
from calls.models import Call, ExportRun
from configuration.access import ENTER_ADMIN


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
class ExportRunAdmin(FileRunAdmin):
    list_display = ("show_id", "show_created", "show_kind", "started_by", "show_state", "n_calls")
    list_select_related = ("started_by",)
    permissions = (exporting.MAY_EXPORT, ENTER_ADMIN)
    page = "admin/calls/exportrun/run.html"
    problems = exporting.PROBLEMS
    kept_for = exporting.KEPT_FOR

    def belongs_to(self, run: ExportRun, user: Any) -> bool:
        return exporting.belongs_to(run, user)

    def link_to(self, run: ExportRun, user: Any) -> str:
        return link_to(run, actor=user)

    def told_of(self, run: ExportRun, user: Any) -> dict[str, Any]:
        return {"title": _("Export %(n)d") % {"n": run.pk}}

    def progress_of(self, run: ExportRun) -> dict[str, Any]:
        reached = timezone.localtime(run.reached_at).strftime("%Y-%m-%d %H:%M") if run.reached_at else ""
        return {"calls": run.n_calls, "rows": run.n_rows, "reached": reached}

    @display(description=_("export"))
    def show_id(self, run: ExportRun) -> str:
        return f"#{run.pk}"

    @display(description=_("kind"))
    def show_kind(self, run: ExportRun) -> str:
        return run.get_kind_display()
