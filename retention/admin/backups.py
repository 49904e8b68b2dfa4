"""What was backed up, and how it is: read, never typed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.decorators import display

from callcenter_site.admin import FactAdmin
from retention.backups.kinds import TITLES
from retention.backups.objects import ERRORS
from retention.models import BackupObject

COLOURS = {"verified": "success", "waiting": "info", "failed": "danger"}
STATES = {"verified": _("verified"), "waiting": _("being written"), "failed": _("failed")}


@admin.register(BackupObject)
class BackupObjectAdmin(FactAdmin):
    list_display = ("day", "shown_kind", "shown_state", "shown_rows", "shown_size", "verified_at", "shown_error")
    list_display_links = ("day",)
    list_filter = (("day", RangeDateFilter),)
    list_fullwidth = True
    ordering = ("-day", "kind")
    sortable_by = ("day",)
    list_max_show_all = 0
    fields = (
        "day",
        "shown_kind",
        "shown_state",
        "shown_rows",
        "shown_size",
        "sha256",
        "written_at",
        "verified_at",
        "shown_error",
    )
    readonly_fields = fields
    actions: Any = []

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).without_manifest()

    @display(description=_("Kind of data"))
    def shown_kind(self, row: BackupObject) -> Any:
        return TITLES.get(row.kind, row.kind)

    @display(description=_("State"), label=COLOURS)
    def shown_state(self, row: BackupObject) -> tuple[str, Any]:
        state = "failed" if row.error else "verified" if row.key else "waiting"
        return state, STATES[state]

    @display(description=_("Rows"))
    def shown_rows(self, row: BackupObject) -> str:
        return number_format(row.n_rows, force_grouping=True)

    @display(description=_("Size"))
    def shown_size(self, row: BackupObject) -> str:
        return filesizeformat(row.n_bytes)

    @display(description=_("Error"))
    def shown_error(self, row: BackupObject) -> Any:
        return ERRORS.get(row.error, row.error) or "–"
