"""The pages of break reasons and dispositions: short lists agents choose from."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import BooleanRadioFilter

from configuration.admin.imports import SheetAdmin
from configuration.admin.lists import SortedListAdmin
from configuration.models import BreakReason, Disposition
from configuration.sheets import BreakReasonSheet, DispositionSheet


class _ChoicesAdmin(SortedListAdmin):
    list_display = ["name", "is_active"]
    list_filter = [("is_active", BooleanRadioFilter)]
    search_fields = ["name"]
    fieldsets = [(None, {"fields": ["name", "is_active"]})]


@admin.register(BreakReason)
class BreakReasonAdmin(SheetAdmin, _ChoicesAdmin):
    sheet = BreakReasonSheet
    empty_icon = "free_breakfast"
    empty_title = _("No break reasons yet")
    empty_text = _("Agents choose one when they go on a break, in the order you give them here; dashboards count each.")
    starter_set = (_("Meal"), _("Rest"), _("Meeting"), _("Training"), _("Paperwork"))


@admin.register(Disposition)
class DispositionAdmin(SheetAdmin, _ChoicesAdmin):
    sheet = DispositionSheet
    empty_icon = "task_alt"
    empty_title = _("No dispositions yet")
    empty_text = _("The result codes agents give their calls, in the order you give them here.")
    starter_set = (_("Resolved"), _("Sale"), _("Call back"), _("No interest"), _("Complaint"), _("Wrong number"))
