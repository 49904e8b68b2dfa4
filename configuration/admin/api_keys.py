"""The pages of API keys: made, shown once, revoked."""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext, pgettext_lazy
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from callcenter_site.admin import AccountForm
from configuration.access import may_give_scope, reaches
from configuration.admin.lists import ListAdmin
from configuration.admin.tick_boxes import TickBoxes
from configuration.api_keys import check_end, create_api_key, revoke_api_keys
from configuration.models import Account, ApiKey, Role

_GROUPS: list[tuple[Any, list[ApiKey.Scope]]] = [
    (_("Telephony platform"), [ApiKey.Scope.EVENTS_WRITE, ApiKey.Scope.CALLS_SCREEN, ApiKey.Scope.BLACKLIST_CHECK]),
    (_("Recordings and voicemail"), [ApiKey.Scope.RECORDINGS_WRITE, ApiKey.Scope.RECORDINGS_READ, ApiKey.Scope.VOICEMAIL_WRITE]),
    (_("Reports and CRM"), [ApiKey.Scope.CALLS_READ, ApiKey.Scope.FIGURES_READ]),
    (_("People"), [ApiKey.Scope.AGENTS_READ, ApiKey.Scope.AGENTS_WRITE]),
    (_("Configuration"), [ApiKey.Scope.CONFIGURATION_READ, ApiKey.Scope.CONFIGURATION_WRITE]),
    (_("Operation"), [ApiKey.Scope.PRIVACY_WRITE, ApiKey.Scope.HOLDS_WRITE]),
]
_ABOUT: dict[str, Any] = {
    ApiKey.Scope.EVENTS_WRITE: _("Say what happened to calls and agents. The one a phone system needs."),
    ApiKey.Scope.CALLS_SCREEN: _("Ask whether a call is let in, and for the group, priority and prompts of its service number."),
    ApiKey.Scope.BLACKLIST_CHECK: _("Ask before a call is put through. The answer says nothing else."),
    ApiKey.Scope.RECORDINGS_WRITE: _("Send sound files into the records of calls. It reads nothing."),
    ApiKey.Scope.RECORDINGS_READ: _("List sound files and fetch what was said. Each fetching is in the audit log."),
    ApiKey.Scope.VOICEMAIL_WRITE: _("List voicemail, say who takes care of it, and mark it heard or called back."),
    ApiKey.Scope.CALLS_READ: _("Calls with whole phone numbers, and which recordings and voicemail they have."),
    ApiKey.Scope.FIGURES_READ: _("Counts and averages; they name no caller."),
    ApiKey.Scope.AGENTS_READ: _("Names, groups, phone numbers, status and device checks."),
    ApiKey.Scope.AGENTS_WRITE: _("Add and deactivate agents, move them between groups, set their status."),
    ApiKey.Scope.CONFIGURATION_READ: _("All lists on these pages, blocked numbers whole, without keys themselves."),
    ApiKey.Scope.CONFIGURATION_WRITE: _("Change all lists on these pages. Roles only as far as the key itself may."),
    ApiKey.Scope.HOLDS_WRITE: _("Keep calls, numbers, agents, days or the whole account from every deletion, and let them go."),
    ApiKey.Scope.PRIVACY_WRITE: _("Put down that somebody asked. An access request gives out all that is held on a person."),
}
DAYS_OFFERED = (30, 90, 365)


class ApiKeyForm(AccountForm):
    scopes = forms.MultipleChoiceField(label=pgettext_lazy("what a role or key allows", "May"), widget=TickBoxes)
    lasts = forms.ChoiceField(
        label=_("Expires"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_("A key that ends by itself cannot be forgotten. It can be given a later end at any time."),
    )

    class Meta:
        model = ApiKey
        fields = ["name", "scopes", "expires_at"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.fields.pop("scopes", None)
            self.fields.pop("lasts", None)
            return
        scopes: Any = self.fields["scopes"]
        grouped = [(title, [(one.value, one.label) for one in group]) for title, group in _GROUPS]
        rest = [one for one in ApiKey.Scope if not any(one in group for _title, group in _GROUPS)]
        scopes.choices = grouped + ([("", [(one.value, one.label) for one in rest])] if rest else [])
        scopes.widget.about = _ABOUT
        scopes.widget.why_withheld = _("You may not do this yourself, so you cannot give it.")
        scopes.widget.withheld = frozenset(scope for scope in ApiKey.Scope.values if not may_give_scope(self.asker, scope))
        if "lasts" in self.fields:
            days = [(str(n), ngettext("in %d day", "in %d days", n) % n) for n in DAYS_OFFERED]
            lasts: Any = self.fields["lasts"]
            lasts.choices = [*days, ("never", _("never")), ("", _("at a time of your choice"))]
            lasts.initial = str(DAYS_OFFERED[-1])
            at: Any = self.fields["expires_at"]
            at.label, at.widget.attrs["data-only-for"] = _("Expires at"), "lasts "

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        lasts = cleaned.get("lasts", "")
        if lasts.isdigit():
            cleaned["expires_at"] = timezone.now() + dt.timedelta(days=int(lasts))
        elif lasts == "never":
            cleaned["expires_at"] = None
        return cleaned

    def clean_scopes(self) -> list[str]:
        scopes: list[str] = self.cleaned_data["scopes"]
        if not all(may_give_scope(self.asker, scope) for scope in scopes):
            raise forms.ValidationError(_("You can give only what you may do yourself."))
        return scopes

    def clean_expires_at(self) -> Any:
        is_new = self.instance._state.adding
        if not is_new and "expires_at" not in self.changed_data:
            return self.instance.expires_at  # to the moment, which the field does not show
        expires_at = self.cleaned_data["expires_at"]
        check_end(expires_at=expires_at, key=None if is_new else self.instance, asker=self.asker, at=timezone.now())
        return expires_at


class StateFilter(DropdownFilter):  # type: ignore[misc]
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("usable", _("Usable")), ("expired", _("Expired")), ("revoked", _("Revoked"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """As the list says it: a key that was revoked has not expired."""
        if self.value() == "revoked":
            return queryset.exclude(revoked_at=None)
        is_over = Q(expires_at__lte=timezone.now())
        if self.value() == "expired":
            return queryset.filter(is_over, revoked_at=None)
        return queryset.filter(~is_over | Q(expires_at=None), revoked_at=None) if self.value() == "usable" else queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ListAdmin):
    """A key is made once and shown once; afterwards it can be renamed, given an end, or revoked."""

    form = ApiKeyForm
    list_display = ["name", "show_prefix", "show_scopes", "show_state", "last_used_at", "expires_at", "created_at"]
    list_filter = [StateFilter]
    search_fields = ["name", "prefix"]
    actions = ["revoke"]
    actions_detail = ["ask_to_revoke"]
    add_fieldsets = [(None, {"fields": ["name", "scopes", "lasts", "expires_at"]})]
    empty_icon = "key"
    empty_title = _("No API keys yet")
    empty_text = _(
        "A key lets another system post events or read from the portal. Make one for each system, with only what it needs."
    )
    fieldsets = [
        (None, {"fields": ["name", "expires_at"]}),
        (_("Facts"), {"fields": ["show_prefix", "show_scopes", "show_state", "created_at", "last_used_at", "revoked_at"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return []
        return ["show_prefix", "show_scopes", "show_state", "created_at", "last_used_at", "revoked_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and reaches(request.user, Role.DataScope.ACCOUNT)  # type: ignore[arg-type]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # revoked keys stay, so that it can be seen what once had access

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        return [self.extra_path("<path:object_id>/revoke/", "revoke", self.revoke_one), *urls]

    @action(description=_("Revoke"), permissions=["revoke"], icon="block")
    def ask_to_revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key: ApiKey = self.row_or_404(request, object_id)
        return self.answer_with(
            request,
            "admin/configuration/apikey/revoke.html",
            title=_("Revoke"),
            key=key,
            address=self.address_of("revoke", key.pk),
        )

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not self.has_change_permission(request):
            return False
        key: ApiKey | None = self.get_object(request, str(object_id)) if object_id else None
        return key is None or key.revoked_at is None

    def revoke_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key: ApiKey = self.row_to_change(request, object_id)
        self.revoke(request, self.get_queryset(request).filter(pk=key.pk))
        return HttpResponseRedirect(self.address_of("changelist"))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            return super().save_model(request, obj, form, change)
        account = Account.objects.visible_to(request.user).get()  # type: ignore[arg-type]  # a person, signed in
        key, obj.text_shown_once = create_api_key(account=account, name=obj.name, scopes=obj.scopes, expires_at=obj.expires_at)
        obj.pk, obj.prefix, obj.account_id, obj._state.adding = key.pk, key.prefix, key.account_id, False
        return None

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Shows the key in this answer and nowhere else: it is in no session, message, log or address."""
        template = "configuration/api_key_made.html"
        return self.answer_with(request, template, title=_("API key"), name=obj.name, text=obj.text_shown_once)

    @admin.action(description=_("Revoke"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        revoked = revoke_api_keys(keys=queryset, at=timezone.now())
        for key in revoked:
            self.log_change(request, key, [{"changed": {"fields": ["revoked"]}}])
        n = len(revoked)
        messages.success(request, ngettext("%d key revoked.", "%d keys revoked.", n) % n)

    @display(description=_("key"), ordering="prefix")
    def show_prefix(self, obj: ApiKey) -> str:
        return f"{obj.prefix}…"

    @display(description=pgettext_lazy("what a role or key allows", "may"))
    def show_scopes(self, obj: ApiKey) -> str:
        names = dict(ApiKey.Scope.choices)
        return pgettext("between the items of a list", ", ").join(str(names.get(scope, scope)) for scope in obj.scopes)

    @display(description=_("state"), label={"usable": "success", "expired": "warning", "revoked": "danger"})
    def show_state(self, obj: ApiKey) -> tuple[str, Any]:
        if obj.revoked_at is not None:
            return "revoked", _("Revoked")
        return ("usable", _("Usable")) if obj.is_usable(at=timezone.now()) else ("expired", _("Expired"))
