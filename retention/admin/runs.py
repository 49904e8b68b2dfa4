"""The runs of the purge: read, confirmed and stopped, never typed."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import display

from callcenter_site.admin import FactAdmin
from callcenter_site.durations import spoken
from callcenter_site.kept_sentences import in_readers_language
from retention import purge
from retention.models import PurgeRun
from retention.policy import KEPT_MONTHS, RAW_EVENT_AGE
from retention.purge import ERRORS
from retention.wording import in_words

STATE_COLOURS = {
    PurgeRun.State.RUNNING: "info",
    PurgeRun.State.WAITING: "warning",
    PurgeRun.State.STOPPED: "warning",
    PurgeRun.State.DONE: "success",
    PurgeRun.State.FAILED: "danger",
}
MAY_CONFIRM = "retention.change_purgerun"


@admin.register(PurgeRun)
class PurgeRunAdmin(FactAdmin):
    list_display = ("started", "shown_state", "cutoff", "deleted", "shown_error", "took")
    list_display_links = ("started",)
    empty_value_display = "–"
    list_filter = (("state", ChoicesDropdownFilter), ("cutoff", RangeDateFilter))
    list_fullwidth = True
    ordering = ("-started_at", "-pk")
    list_max_show_all = 0
    fields = (
        "started_at",
        "finished_at",
        "state",
        "shown_error",
        "cutoff",
        "n_due",
        "deleted",
        "confirmed_at",
        "confirmed_by",
    )
    readonly_fields = fields
    actions: Any = []

    def get_urls(self) -> list[Any]:
        def at(route: str, name: str, view: Any) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"retention_purgerun_{name}")

        return [
            at("switch/", "switch", self.switch_view),
            at("<path:object_id>/confirm/", "confirm", self.confirm_view),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        user: Any = request.user
        account_id = user.account_id
        facts = {
            "kept_months": KEPT_MONTHS,
            "raw_event_days": RAW_EVENT_AGE.days,
            "may_confirm": user.has_perm(MAY_CONFIRM) and account_id is not None,
            "is_off": account_id is not None and purge.is_switched_off(account_id),
            "is_off_for_all": purge.is_switched_off(),
            "refreshes": self.get_queryset(request).filter(state=PurgeRun.State.RUNNING).exists(),
        }
        return super().changelist_view(request, {**(extra_context or {}), **facts})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run: PurgeRun | None = self.get_object(request, object_id)
        facts: dict[str, Any] = {}
        if run is not None:
            facts = {
                "refreshes": run.state == PurgeRun.State.RUNNING,
                "waits": run.state == PurgeRun.State.WAITING,
                "n_gone": run.counts.get("calls", 0),
                "n_due": run.n_due,
                "n_due_said": number_format(run.n_due, force_grouping=True),
                "may_confirm": request.user.has_perm(MAY_CONFIRM),
            }
        page: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **facts})
        return page

    def confirm_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run: PurgeRun | None = self.get_object(request, object_id)
        if run is None or not self.has_view_permission(request, run):
            raise Http404
        if request.method != "POST" or not request.user.has_perm(MAY_CONFIRM):
            raise PermissionDenied
        user: Any = request.user
        if purge.confirm(run=run, by=user, at=timezone.now()):
            self.log_change(request, run, [{"changed": {"fields": ["confirmed"]}}])
            messages.success(request, _("Confirmed. It goes on with the next run, within the hour."))
        else:
            messages.warning(request, _("This run does not wait any more."))
        return HttpResponseRedirect(reverse("admin:retention_purgerun_change", args=[run.pk]))

    def switch_view(self, request: HttpRequest) -> HttpResponse:
        user: Any = request.user
        if request.method != "POST" or not user.has_perm(MAY_CONFIRM) or user.account_id is None:
            raise PermissionDenied
        is_on = request.POST.get("is_on") == "yes"
        purge.switch(account=user.account_id, is_on=is_on, at=timezone.now())
        messages.success(
            request,
            _("The purge goes on.") if is_on else _("The purge is stopped. Nothing is deleted by age until you start it."),
        )
        return HttpResponseRedirect(reverse("admin:retention_purgerun_changelist"))

    @display(description=pgettext_lazy("time", "Started"), ordering="started_at")
    def started(self, run: PurgeRun) -> Any:
        return run.started_at

    @display(description=_("State"), label=STATE_COLOURS)
    def shown_state(self, run: PurgeRun) -> tuple[str, str]:
        return run.state, run.get_state_display()

    @display(description=_("Deleted"))
    def deleted(self, run: PurgeRun) -> Any:
        return in_words(run.counts) or (_("nothing yet") if run.state in PurgeRun.OPEN else _("nothing was due"))

    @display(description=_("Error"))
    def shown_error(self, run: PurgeRun) -> str:
        return in_readers_language(run.error, ERRORS) or "–"

    @display(description=_("Took"))
    def took(self, run: PurgeRun) -> str:
        return spoken((run.finished_at - run.started_at).total_seconds()) if run.finished_at else "–"
