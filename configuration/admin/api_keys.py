"""The pages of API keys: made, shown once, revoked."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext, pgettext_lazy
from unfold.decorators import display

from callcenter_site.admin import AccountForm, PortalAdmin
from configuration.access import may_give_scope, reaches
from configuration.admin.tick_boxes import TickBoxes
from configuration.api_keys import create_api_key, revoke_api_keys
from configuration.models import Account, ApiKey, Role


class ApiKeyForm(AccountForm):
    scopes = forms.MultipleChoiceField(
        label=pgettext_lazy("what a role or key allows", "May"), choices=[("", ApiKey.Scope.choices)], widget=TickBoxes
    )

    class Meta:
        model = ApiKey
        fields = ["name", "scopes", "expires_at"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            del self.fields["scopes"]
        else:
            self.fields["scopes"].widget.withheld = frozenset(
                scope for scope in ApiKey.Scope.values if not may_give_scope(self.asker, scope)
            )

    def clean_scopes(self) -> list[str]:
        scopes: list[str] = self.cleaned_data["scopes"]
        if not all(may_give_scope(self.asker, scope) for scope in scopes):
            raise forms.ValidationError(_("You can give only what you may do yourself."))
        return scopes

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError(_("This time has passed."))
        return expires_at


@admin.register(ApiKey)
class ApiKeyAdmin(PortalAdmin):
    """A key is made once and shown once; afterwards it can be renamed, given an end, or revoked."""

    form = ApiKeyForm
    list_display = ["name", "show_prefix", "show_scopes", "show_state", "last_used_at", "expires_at", "created_at"]
    search_fields = ["name", "prefix"]
    actions = ["revoke"]
    add_fieldsets = [(None, {"fields": ["name", "scopes", "expires_at"]})]
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

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            return super().save_model(request, obj, form, change)
        account = Account.objects.visible_to(request.user).get()  # type: ignore[arg-type]  # a person, signed in
        key, obj.text_shown_once = create_api_key(account=account, name=obj.name, scopes=obj.scopes, expires_at=obj.expires_at)
        obj.pk, obj.prefix, obj.account_id, obj._state.adding = key.pk, key.prefix, key.account_id, False
        return None

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Shows the key in this answer and nowhere else: it is in no session, message, log or address."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("API key"),
            "opts": self.opts,
            "name": obj.name,
            "text": obj.text_shown_once,
        }
        return TemplateResponse(request, "configuration/api_key_made.html", context, headers={"Cache-Control": "no-store"})

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
