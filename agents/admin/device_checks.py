"""What the desk found about browsers, sound, picture and network, and what to do about it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from agents.admin.panels import RESULT_COLOURS, label
from agents.devices import advice_of
from agents.models import DeviceCheck
from agents.wording import to_the_second
from callcenter_site.admin import GrowingAdmin
from callcenter_site.admin_filters import PeriodFilter, PeriodList, RelatedFilter
from callcenter_site.audit import Look

PART_COLOURS: dict[str, str] = {
    DeviceCheck.Part.OK: "success",
    DeviceCheck.Part.SILENT: "warning",
    DeviceCheck.Part.SKIPPED: "default",
    DeviceCheck.Part.DENIED: "danger",
    DeviceCheck.Part.MISSING: "danger",
    DeviceCheck.Part.FAILED: "danger",
}


class CheckedPeriod(PeriodFilter):
    """Checks are few: all of them, until somebody narrows."""

    time_field = "checked_at"
    default = "all"


@admin.register(DeviceCheck)
class DeviceCheckAdmin(GrowingAdmin):
    list_display = ["show_time", "agent", "show_result", "show_microphone", "show_speaker", "show_camera", "show_network"]
    list_filter = [CheckedPeriod, ("agent", RelatedFilter), ("result", ChoicesDropdownFilter)]
    list_before_template = "admin/periods.html"
    list_select_related = ["agent"]
    ordering = ["-checked_at", "-pk"]
    sortable_by = ["show_time"]
    fieldsets = [
        (None, {"fields": ["agent", "show_time", "show_result", "show_advice"]}),
        (_("Sound and picture"), {"fields": ["show_microphone", "show_speaker", "show_camera"]}),
        (_("Browser"), {"fields": ["browser", "operating_system"]}),
        (_("Network"), {"fields": ["network_type", "round_trip_ms", "downlink_mbps", "address"]}),
    ]
    readonly_fields = ["show_time", "show_result", "show_advice", "show_microphone", "show_speaker", "show_camera"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return PeriodList

    def list_shows(self, request: HttpRequest) -> Look:
        return Look.DEVICES

    def row_shows(self, request: HttpRequest) -> Look:
        return Look.DEVICES

    @display(description=_("checked"), ordering="checked_at")
    def show_time(self, obj: DeviceCheck) -> str:
        return to_the_second(obj.checked_at)

    @display(description=_("result"))
    def show_result(self, obj: DeviceCheck) -> str:
        return label(RESULT_COLOURS.get(obj.result, "default"), obj.get_result_display())

    @display(description=_("microphone"))
    def show_microphone(self, obj: DeviceCheck) -> str:
        return label(PART_COLOURS.get(obj.microphone, "default"), obj.get_microphone_display())

    @display(description=_("speaker"))
    def show_speaker(self, obj: DeviceCheck) -> str:
        return label(PART_COLOURS.get(obj.speaker, "default"), obj.get_speaker_display())

    @display(description=_("camera"))
    def show_camera(self, obj: DeviceCheck) -> str:
        return label(PART_COLOURS.get(obj.camera, "default"), obj.get_camera_display())

    @display(description=_("network"))
    def show_network(self, obj: DeviceCheck) -> str:
        if not obj.round_trip_ms:
            return obj.network_type or "–"
        return " · ".join(filter(None, [obj.network_type, f"{obj.round_trip_ms} ms"]))

    @display(description=_("advice"))
    def show_advice(self, obj: DeviceCheck) -> str:
        return format_html_join("\n", "<p>{}</p>", ((text,) for text in advice_of(obj))) or "–"
