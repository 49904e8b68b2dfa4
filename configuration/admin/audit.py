"""The audit log's page: read by administrators, changed and deleted by nobody."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from callcenter_site.admin import GrowingAdmin, GrowingList
from callcenter_site.admin_filters import Choice, PeriodFilter, RelatedChoice, RelatedFilter
from callcenter_site.audit import Look, log_export
from callcenter_site.bulk import parts
from callcenter_site.ids import read_id
from callcenter_site.sheets import CSV_TYPE, csv_chunks
from configuration import audit_log
from configuration.audit_log import DEEDS, Line, Named
from configuration.models import AuditEntry

MOST_EXPORTED = 20_000
COLOURS = {"created": "success", "changed": "info", "deleted": "danger", "looked": "warning"}
_DEED_NAMES = dict(zip(("created", "changed", "deleted"), DEEDS, strict=True))
MOST_CHANGES = 4
"""Changed fields that the list names."""


class AuditPeriod(PeriodFilter):
    time_field = "timestamp"


class ActionFilter(Choice):
    title = _("action")
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        deeds = [(name, capfirst(str(DEEDS[action]))) for name, action in _DEED_NAMES.items()]
        return [*deeds, *((value, capfirst(str(label))) for value, label in Look.choices)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        if not value:
            return queryset
        if value in _DEED_NAMES:
            return queryset.filter(action=_DEED_NAMES[value])
        return queryset.filter(action=AuditEntry.Action.ACCESS, look=value)


class KindFilter(Choice):
    title = _("kind of row")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        self.kinds = {model._meta.label_lower: pk for pk, model in audit_log.kinds().items()}
        named = [(model._meta.label_lower, capfirst(str(model._meta.verbose_name))) for model in audit_log.kinds().values()]
        return sorted(named, key=lambda one: one[1])

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(content_type_id=self.kinds[value]) if value else queryset


class AuditList(GrowingList):
    """The page's entries come in words."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        entries = list(self.result_list)
        for entry, line in zip(entries, audit_log.read(entries, request), strict=True):
            entry.line = line
        self.result_list = entries

    @property
    def period_choices(self) -> list[dict[str, Any]]:
        return [choice for spec in self.filter_specs if isinstance(spec, AuditPeriod) for choice in spec.choices(self)]

    @property
    def has_rows(self) -> bool:
        return bool(self.root_queryset.exists())

    @property
    def export_query(self) -> str:
        return str(self.get_query_string(remove=["p"]))


@admin.register(AuditEntry)
class AuditEntryAdmin(GrowingAdmin):
    list_display = ["when", "show_who", "show_deed", "show_row", "show_changes"]
    list_display_links = ["when"]
    list_filter = [AuditPeriod, ("actor", RelatedFilter), ("api_key", RelatedChoice), KindFilter, ActionFilter]
    list_before_template = "admin/configuration/auditentry/above_list.html"
    search_fields = ["object_id"]
    search_help_text = _("Number of a row, as in its page's address")
    sortable_by = ["when"]
    ordering = ["-timestamp", "-pk"]
    fields = ["when", "show_who", "deed", "show_row", "show_rows", "show_fields", "cid"]
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        export = path("export/", self.admin_site.admin_view(self.export), name="configuration_auditentry_export")
        return [export, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return AuditList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        entry = super().get_object(request, object_id, from_field)
        if entry is not None:
            (entry.line,) = audit_log.read([entry], request)
        return entry

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Entries on one row. All kinds are named, so that the index of rows serves."""
        text = search_term.strip().lstrip("#")
        if not text:
            return queryset, False
        pk = read_id(text)
        if pk is None:
            return queryset.none(), False
        return queryset.filter(content_type_id__in=list(audit_log.kinds()), object_id=pk), False

    def export(self, request: HttpRequest) -> HttpResponse:
        """The selection of the list as a file. It is small enough to be sent at once, or not sent at all."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            chosen = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            query = request.GET.urlencode()  # the list says what of it cannot be read
            return redirect(f"{reverse('admin:configuration_auditentry_changelist')}?{query}")
        entries = list(chosen[: MOST_EXPORTED + 1])
        if len(entries) > MOST_EXPORTED:
            messages.error(request, _("These are more than %(n)d entries. Choose a shorter period.") % {"n": MOST_EXPORTED})
            return redirect("admin:configuration_auditentry_changelist")
        log_export(AuditEntry, len(entries), actor=request.user)
        response = HttpResponse(csv_chunks(_rows(entries, request)), content_type=CSV_TYPE)
        response["Content-Disposition"] = f'attachment; filename="audit-log-{timezone.localdate():%Y-%m-%d}.csv"'
        response["Cache-Control"] = "private, no-store"
        return response

    @display(description=_("when"), ordering="timestamp")
    def when(self, entry: Any) -> str:
        return _moment(entry)

    @display(description=_("who"))
    def show_who(self, entry: Any) -> str:
        return _linked(entry.line.who)

    @display(description=_("what"), label=COLOURS)
    def show_deed(self, entry: Any) -> tuple[str, str]:
        return next((name for name, action in _DEED_NAMES.items() if action == entry.action), "looked"), entry.line.deed

    @display(description=_("what"))
    def deed(self, entry: Any) -> str:
        return str(entry.line.deed)

    @display(description=_("on"))
    def show_row(self, entry: Any) -> str:
        return _linked(entry.line.row)

    @display(description=_("fields"))
    def show_changes(self, entry: Any) -> SafeString | str:
        line: Line = entry.line
        if not line.changes:
            return "–"
        context = {"changes": line.changes[:MOST_CHANGES], "n_more": max(0, len(line.changes) - MOST_CHANGES)}
        return render_to_string("admin/configuration/auditentry/changes.html", context)

    @display(description=_("fields"))
    def show_fields(self, entry: Any) -> SafeString | str:
        if not entry.line.changes:
            return "–"
        return render_to_string("admin/configuration/auditentry/changes.html", {"changes": entry.line.changes})

    @display(description=_("rows shown"))
    def show_rows(self, entry: Any) -> SafeString | str:
        if not entry.line.rows:
            return "–"
        return render_to_string("admin/configuration/auditentry/rows.html", {"rows": entry.line.rows})


def _moment(entry: AuditEntry) -> str:
    return timezone.localtime(entry.timestamp).strftime("%Y-%m-%d %H:%M:%S")


def _linked(named: Named) -> str:
    return format_html('<a href="{}">{}</a>', named.link, named.text) if named.link else named.text


def _rows(entries: list[AuditEntry], request: HttpRequest) -> Any:
    yield [_("when"), _("who"), _("what"), _("on"), _("field"), _("from"), _("to"), _("request")]
    for part in parts(entries):
        for entry, line in zip(part, audit_log.read(part, request), strict=True):
            head = [_moment(entry), line.who.text, line.deed, line.row.text]
            if not line.changes:
                yield [*head, "", "", "", entry.cid or ""]
            for change in line.changes:
                values = ["…", "…"] if change.is_unsaid else [change.before, change.after]
                yield [*head, change.name, *values, entry.cid or ""]
