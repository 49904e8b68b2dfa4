"""The ledger: read by the account it tells of."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from callcenter_site.admin import GrowingAdmin
from retention.models import LedgerEntry
from retention.wording import KINDS, counted


@admin.register(LedgerEntry)
class LedgerEntryAdmin(GrowingAdmin):
    list_display = ("position", "at", "show_kind", "request_id", "store", "show_counts")
    list_display_links = ("position",)
    list_filter: Any = []
    ordering = ("-position",)
    sortable_by = ()
    fields = (
        "position",
        "at",
        "show_kind",
        "request_id",
        "store",
        "show_counts",
        "note_code",
        "policy_version",
        "show_previous",
        "show_hash",
    )
    readonly_fields = fields

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("retention.view_ledgerentry")

    @display(description=_("kind"))
    def show_kind(self, entry: LedgerEntry) -> Any:
        return KINDS.get(entry.kind, entry.kind)

    @display(description=_("counts"))
    def show_counts(self, entry: LedgerEntry) -> str:
        return counted(entry.counts) or "–"

    @display(description=_("hash of the entry before"))
    def show_previous(self, entry: LedgerEntry) -> str:
        return bytes(entry.previous_hash).hex()

    @display(description=_("hash"))
    def show_hash(self, entry: LedgerEntry) -> str:
        return bytes(entry.entry_hash).hex()
