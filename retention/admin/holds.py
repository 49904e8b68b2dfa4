"""Legal holds: placed and released, never edited."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Value
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from callcenter_site.admin import AccountForm
from calls import masking
from calls.models import Call
from configuration.admin.lists import ListAdmin
from retention import holds
from retention.holds import MAY_RELEASE, MOST_CALLS
from retention.models import LegalHold


class LegalHoldForm(AccountForm):
    call_ids = forms.CharField(
        label=_("call IDs"),
        required=False,
        max_length=MOST_CALLS * 256,
        widget=UnfoldAdminTextareaWidget,
        help_text=_("One a line, at most 500."),
    )

    class Meta:
        model = LegalHold
        fields = ["kind", "reference", "number", "agent", "from_day", "to_day"]

    def clean_call_ids(self) -> list[Call]:
        hold = LegalHold(account_id=self.asker.account_id, kind=self.cleaned_data.get("kind") or "")
        return holds.calls_of_a_hold(hold, self.cleaned_data["call_ids"].splitlines())


@admin.register(LegalHold)
class LegalHoldAdmin(ListAdmin):
    form = LegalHoldForm
    list_display = ["show_id", "kind", "show_what", "reference", "show_state", "placed_at", "placed_by"]
    list_display_links = ["show_id"]
    list_select_related = ["agent", "placed_by"]
    list_filter: Any = []
    actions: Any = []
    actions_detail = ["ask_to_release"]
    autocomplete_fields = ["agent"]
    empty_value_display = "–"
    empty_icon = "gavel"
    empty_title = _("No legal holds")
    empty_text = _("What is under a hold is deleted by nothing: not by age, not by a request, not by the end of the account.")
    add_fieldsets = [
        (None, {"fields": ["kind", "reference"]}),
        (
            _("What is held"),
            {
                "fields": ["number", "agent", "call_ids", "from_day", "to_day"],
                "description": _("Fill in what belongs to your choice above. Nothing for the whole account."),
            },
        ),
    ]
    fieldsets = [(None, {"fields": ["kind", "show_what", "reference", "placed_at", "placed_by", "released_at", "released_by"]})]
    shown = ("kind", "show_what", "reference", "placed_at", "placed_by", "released_at", "released_by")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.shown

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.add_fieldsets if obj is None else self.fieldsets

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a hold that could be edited would prove nothing

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("retention.view_legalhold") or request.user.has_perm(MAY_RELEASE)

    def get_urls(self) -> list[Any]:
        release = path(
            "<path:object_id>/release/", self.admin_site.admin_view(self.release_view), name="retention_legalhold_release"
        )
        return [release, *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        user: Any = request.user
        obj.account_id = user.account_id
        holds.place(hold=obj, calls=form.cleaned_data["call_ids"], by=user, at=timezone.now())

    @action(description=_("Release"), permissions=["release"], icon="lock_open")
    def ask_to_release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        hold: LegalHold | None = self.get_object(request, object_id)
        if hold is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": _("Release the hold"),
            "opts": self.opts,
            "hold": hold,
            "address": reverse("admin:retention_legalhold_release", args=[hold.pk]),
        }
        return TemplateResponse(request, "admin/retention/legalhold/release.html", context)

    def has_release_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not request.user.has_perm(MAY_RELEASE):
            return False
        hold: LegalHold | None = self.get_object(request, str(object_id)) if object_id else None
        return hold is None or hold.is_open

    def release_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        hold: LegalHold | None = self.get_object(request, object_id)
        if hold is None or not self.has_view_permission(request, hold):
            raise Http404
        if request.method != "POST" or not request.user.has_perm(MAY_RELEASE):
            raise PermissionDenied
        user: Any = request.user
        if holds.release(hold=hold, by=user, at=timezone.now()):
            self.log_change(request, hold, [{"changed": {"fields": ["released"]}}])
            messages.success(request, _("Released. What waited for it goes now."))
        return HttpResponseRedirect(reverse("admin:retention_legalhold_changelist"))

    @display(description=_("hold"))
    def show_id(self, hold: LegalHold) -> str:
        return f"#{hold.pk}"

    @display(description=_("What is held"))
    def show_what(self, hold: Any) -> Any:
        match hold.kind:
            case LegalHold.Kind.NUMBER:
                return masking.shown(hold.number, whole=hold.sees_numbers)
            case LegalHold.Kind.AGENT:
                return hold.agent
            case LegalHold.Kind.DAYS:
                return f"{hold.from_day} – {hold.to_day}"
            case LegalHold.Kind.CALLS:
                n = hold.held_calls.count()
                return _("%(n)s calls") % {"n": n} if hold.is_open else "–"
            case _:
                return _("everything")

    def get_queryset(self, request: HttpRequest) -> Any:
        # On the row: all readers share this page's object.
        return super().get_queryset(request).annotate(sees_numbers=Value(masking.sees_numbers(request.user)))

    @display(description=_("State"), label={"open": "warning", "released": "default"})
    def show_state(self, hold: LegalHold) -> tuple[str, Any]:
        return ("open", _("in force")) if hold.is_open else ("released", _("released"))
