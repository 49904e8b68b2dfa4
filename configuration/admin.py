"""Pages on which an account sets itself up."""

import zoneinfo
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext, pgettext_lazy
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelect2Widget

from callcenter_site.admin import AccountForm, PortalAdmin
from callcenter_site.phone_numbers import canonical
from configuration.access import RIGHTS, holds, may_give_role, may_give_scope, reaches
from configuration.api_keys import create_api_key, revoke_api_keys
from configuration.models import Account, ApiKey, Role, ServiceNumber


class TickBoxes(forms.CheckboxSelectMultiple):
    """Groups of boxes with a title each; those the asker may not give are shown and cannot be ticked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.withheld: frozenset[str] = frozenset()

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        chosen = set(value or ())
        groups = [
            (title, [(key, label, key in chosen, key in self.withheld) for key, label in options])
            for title, options in self.choices
        ]
        return render_to_string("configuration/tick_boxes.html", {"name": name, "groups": groups})


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
        (_("Service level"), {"fields": ["service_level_seconds", "short_abandon_seconds"]}),
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

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.save()
        self.read_back(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # an account ends by termination, which erases it in order

    @display(description=_("state"), label={"open": "success", "terminated": "danger"})
    def show_state(self, obj: Account) -> tuple[str, Any]:
        return ("open", _("Open")) if obj.is_open else ("terminated", _("Terminated"))


class RoleForm(AccountForm):
    permissions = forms.MultipleChoiceField(
        label=pgettext_lazy("what a role or key allows", "May"), required=False, widget=TickBoxes
    )

    class Meta:
        model = Role
        fields = ["name", "data_scope", "permissions"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "permissions" not in self.fields:
            return
        permissions: Any = self.fields["permissions"]
        permissions.choices = [(title, [(one.key, one.label) for one in rights]) for title, rights in RIGHTS]
        permissions.widget.withheld = frozenset(
            one.key for _title, rights in RIGHTS for one in rights if not holds(self.asker, one.permissions)
        )
        self.initial["permissions"] = rights_in(self.instance.permissions)

    def clean_permissions(self) -> list[str]:
        given = sorted({permission for key in self.cleaned_data["permissions"] for permission in key.split(",")})
        if not holds(self.asker, given):
            raise forms.ValidationError(_("You can give only what you may do yourself."))
        return given

    def clean_data_scope(self) -> str:
        scope = str(self.cleaned_data["data_scope"])
        if not reaches(self.asker, scope):
            raise forms.ValidationError(_("You can let others see only as far as you do."))
        return scope


def rights_in(permissions: list[str]) -> list[str]:
    """The lines of the role page that a list of permissions ticks."""
    held = set(permissions)
    return [one.key for _title, rights in RIGHTS for one in rights if one.permissions <= held]


@admin.register(Role)
class RoleAdmin(PortalAdmin):
    form = RoleForm
    list_display = ["show_name", "show_kind", "data_scope", "show_rights"]
    search_fields = ["name"]
    fieldsets = [(None, {"fields": ["name", "data_scope", "permissions"]})]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return [(None, {"fields": ["name", "data_scope", "show_permissions"]})]
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["show_permissions"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or _is_theirs_to_change(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or _is_theirs_to_change(request.user, obj))

    @display(description=_("name"), ordering="name")
    def show_name(self, obj: Role) -> str:
        return str(obj)

    @display(description=_("kind"), label={"built-in": "info", "custom": "success"})
    def show_kind(self, obj: Role) -> tuple[str, Any]:
        return ("built-in", _("built-in")) if obj.is_built_in else ("custom", _("custom"))

    @display(description=pgettext_lazy("what a role or key allows", "may"))
    def show_rights(self, obj: Role) -> str:
        n = len(rights_in(obj.permissions))
        return ngettext("%d thing", "%d things", n) % n

    @display(description=pgettext_lazy("what a role or key allows", "may"))
    def show_permissions(self, obj: Role) -> SafeString:
        held = set(rights_in(obj.permissions))
        groups = [(title, [(one.key, one.label, one.key in held, True) for one in rights]) for title, rights in RIGHTS]
        return render_to_string("configuration/tick_boxes.html", {"name": "shown", "groups": groups})


def _is_theirs_to_change(actor: Any, role: Role) -> bool:
    """Built-in roles stay as they are, nobody changes their own, and nobody one that may more than they do."""
    return not role.is_built_in and role.pk != actor.role_id and may_give_role(actor, role)


class ServiceNumberForm(AccountForm):
    def clean_number(self) -> str:
        number = canonical(self.cleaned_data["number"], self.asker.account.region)
        if not number:
            raise forms.ValidationError(_("This is not a phone number."))
        return number


@admin.register(ServiceNumber)
class ServiceNumberAdmin(PortalAdmin):
    form = ServiceNumberForm
    list_display = ["number", "label", "provider", "direction", "default_skill_group", "is_active"]
    list_filter = [("direction", ChoicesDropdownFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["number", "label"]


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
