"""The page of an account: its name, days, numbers and service level."""

import zoneinfo
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelect2Widget

from callcenter_site.admin import AccountForm, PortalAdmin
from configuration.models import Account


class AccountSettingsForm(AccountForm):
    """The account is its own owner: it has no account column."""

    def clean_region(self) -> str:
        return str(self.cleaned_data["region"]).upper()


class AccountAdmin(PortalAdmin):
    """Operators see every account, everybody else their own. Registered by `agents`, where opening an account also
    makes its first administrator."""

    form = AccountSettingsForm
    list_display = ["name", "slug", "time_zone", "language", "created_at", "show_state"]
    search_fields = ["name", "slug"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "language"]}),
        (_("Days and numbers"), {"fields": ["time_zone", "region"]}),
        (_("Service level"), {"fields": ["service_level_seconds", "short_abandon_seconds", ("level_good", "level_poor")]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if request.user.is_superuser or obj is None else ["slug"]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name != "time_zone":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        zones = [(zone, zone.replace("_", " ")) for zone in sorted(zoneinfo.available_timezones())]
        return forms.ChoiceField(
            label=capfirst(db_field.verbose_name),
            help_text=db_field.help_text,
            choices=zones,
            initial=db_field.default,
            widget=UnfoldAdminSelect2Widget,
        )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Who has one account goes straight to it."""
        account_id = getattr(request.user, "account_id", None)
        if account_id is not None and self.has_view_permission(request):
            return redirect("admin:configuration_account_change", account_id)
        return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # an account ends by termination, which erases it in order

    @display(description=_("state"), label={"open": "success", "terminated": "danger"})
    def show_state(self, obj: Account) -> tuple[str, Any]:
        return ("open", _("Open")) if obj.is_open else ("terminated", _("Terminated"))
