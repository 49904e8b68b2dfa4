"""What everybody's status was."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from agents.admin.panels import STATUS_COLOURS
from agents.models import StatusChange
from agents.wording import terminal, to_the_second
from callcenter_site.admin import GrowingAdmin
from callcenter_site.admin_filters import PeriodFilter, PeriodList, RelatedFilter
from callcenter_site.durations import clock


@admin.register(StatusChange)
class StatusChangeAdmin(GrowingAdmin):
    list_display = ["agent", "show_status", "reason", "source", "show_terminal", "show_start", "show_end", "show_length"]
    list_filter = [PeriodFilter, ("agent", RelatedFilter), ("status", ChoicesDropdownFilter), ("source", ChoicesDropdownFilter)]
    list_before_template = "admin/periods.html"
    list_select_related = ["agent"]
    ordering = ["-started_at", "-pk"]
    sortable_by = ["show_start"]
    fields = ["agent", "status", "reason", "source", "show_terminal", "show_start", "show_end"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return PeriodList

    @display(description=_("status"), label=STATUS_COLOURS)
    def show_status(self, obj: StatusChange) -> tuple[str, str]:
        return obj.status, obj.get_status_display()

    @display(description=_("terminal"))
    def show_terminal(self, obj: StatusChange) -> str:
        return terminal(obj.terminal) or "–"

    @display(description=_("from"), ordering="started_at")
    def show_start(self, obj: StatusChange) -> str:
        return to_the_second(obj.started_at)

    @display(description=_("until"))
    def show_end(self, obj: StatusChange) -> str:
        return to_the_second(obj.ended_at) if obj.ended_at else "–"

    @display(description=_("length"))
    def show_length(self, obj: StatusChange) -> str:
        until = obj.ended_at or timezone.now()
        return clock((until - obj.started_at).total_seconds())
