"""The pages of roles: who may do what, and how far they see."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy
from unfold.decorators import display

from callcenter_site.admin import AccountForm, PortalAdmin
from configuration.access import RIGHTS, holds, may_give_role, reaches
from configuration.admin.tick_boxes import TickBoxes
from configuration.models import Role


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
