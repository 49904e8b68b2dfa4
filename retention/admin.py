"""The runs of the purge: read, never typed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import display

from callcenter_site.admin import FactAdmin
from callcenter_site.durations import spoken
from callcenter_site.kept_sentences import in_readers_language
from retention.models import PurgeRun
from retention.policy import KEPT_MONTHS, RAW_EVENT_AGE
from retention.purge import ERRORS
from retention.wording import in_words

STATE_COLOURS = {PurgeRun.State.RUNNING: "info", PurgeRun.State.DONE: "success", PurgeRun.State.FAILED: "danger"}


@admin.register(PurgeRun)
class PurgeRunAdmin(FactAdmin):
    list_display = ("started", "shown_state", "cutoff", "deleted", "shown_error", "took")
    list_display_links = ("started",)
    empty_value_display = "–"
    list_filter = (("state", ChoicesDropdownFilter), ("cutoff", RangeDateFilter))
    list_fullwidth = True
    ordering = ("-started_at", "-pk")
    list_max_show_all = 0
    fields = ("started_at", "finished_at", "state", "shown_error", "cutoff", "deleted")
    readonly_fields = fields
    actions: Any = []

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        promise = {"kept_months": KEPT_MONTHS, "raw_event_days": RAW_EVENT_AGE.days}
        return super().changelist_view(request, {**(extra_context or {}), **promise})

    @display(description=pgettext_lazy("time", "Started"), ordering="started_at")
    def started(self, run: PurgeRun) -> Any:
        return run.started_at

    @display(description=_("State"), label=STATE_COLOURS)
    def shown_state(self, run: PurgeRun) -> tuple[str, str]:
        return run.state, run.get_state_display()

    @display(description=_("Deleted"))
    def deleted(self, run: PurgeRun) -> Any:
        return in_words(run.counts) or (_("nothing yet") if run.state == PurgeRun.State.RUNNING else _("nothing was due"))

    @display(description=_("Error"))
    def shown_error(self, run: PurgeRun) -> str:
        return in_readers_language(run.error, ERRORS) or "–"

    @display(description=_("Took"))
    def took(self, run: PurgeRun) -> str:
        return spoken((run.finished_at - run.started_at).total_seconds()) if run.finished_at else "–"
