"""The pages of roles: who may do what, how far they see, and all roles side by side."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display

from callcenter_site.admin import AccountForm
from configuration.access import RIGHTS, beyond_rights, frees_oneself, holds, may_change_role, may_give_role, reaches, rights_in
from configuration.admin.imports import SheetAdmin
from configuration.admin.lists import ListAdmin
from configuration.admin.tick_boxes import TickBoxes
from configuration.models import Role
from configuration.sheets import RoleSheet

SCOPE_WORDS: dict[str, Any] = {
    Role.DataScope.OWN: _("their own calls, status and records only. For agents."),
    Role.DataScope.GROUPS: _(
        "the people of the skill groups they are a member of, and those people's calls. "
        "A supervisor of Sales sees Sales, and nothing of Support."
    ),
    Role.DataScope.ACCOUNT: _("everybody and every call. For administrators and quality inspectors."),
}
WITHHELD = _("You may not do this yourself, so you cannot give it.")
SCOPE_WITHHELD = _("You do not see this far yourself, so you cannot give it.")


class RoleForm(AccountForm):
    permissions = forms.MultipleChoiceField(
        label=pgettext_lazy("what a role or key allows", "May"), required=False, widget=TickBoxes
    )

    class Meta:
        model = Role
        fields = ["name", "data_scope", "requires_second_factor", "permissions"]
        help_texts = {
            "requires_second_factor": _(
                "Its people sign in with a code from their phone as well. Who has none yet sets it up on their next page; "
                "you too, if it is your own role."
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "permissions" not in self.fields:
            return
        permissions: Any = self.fields["permissions"]
        permissions.choices = [(title, [(one.key, one.label) for one in rights]) for title, rights in RIGHTS]
        permissions.widget.about = {one.key: one.about for _title, rights in RIGHTS for one in rights}
        permissions.widget.why_withheld = WITHHELD
        permissions.widget.withheld = frozenset(
            one.key for _title, rights in RIGHTS for one in rights if not holds(self.asker, one.permissions)
        )
        self.initial["permissions"] = rights_in(self.instance.permissions)
        self.beyond = beyond_rights(self.instance.permissions)
        if self.beyond:
            kept = _("Kept as well, because no line here stands for it; it was set over the API: %s")
            permissions.help_text = kept % ", ".join(self.beyond)
        if "data_scope" in self.fields:
            self.fields["data_scope"].widget = DataScopes(choices=Role.DataScope.choices)
            self.fields["data_scope"].widget.withheld = frozenset(
                scope for scope in Role.DataScope.values if not reaches(self.asker, scope)
            )

    def clean_permissions(self) -> list[str]:
        ticked = {permission for key in self.cleaned_data["permissions"] for permission in key.split(",")}
        given = sorted(ticked.union(self.beyond))
        if not holds(self.asker, given):
            raise forms.ValidationError(_("You can give only what you may do yourself."))
        return given

    def clean_requires_second_factor(self) -> bool:
        asks = bool(self.cleaned_data["requires_second_factor"])
        stored = Role(pk=self.instance.pk, requires_second_factor=bool(self.initial.get("requires_second_factor")))
        if frees_oneself(self.asker, stored, asks=asks):
            raise forms.ValidationError(_("This is your own role: somebody else has to turn its second factor off."))
        return asks

    def clean_data_scope(self) -> str:
        scope = str(self.cleaned_data["data_scope"])
        if not reaches(self.asker, scope):
            raise forms.ValidationError(_("You can let others see only as far as you do."))
        return scope


class DataScopes(forms.RadioSelect):
    """How far a role sees, each with an example; what reaches further than the asker is shown and cannot be chosen."""

    withheld: frozenset[str] = frozenset()

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        scopes = [
            (key, label, SCOPE_WORDS[key], key == value, SCOPE_WITHHELD if key in self.withheld else "")
            for key, label in self.choices
        ]
        return render_to_string("configuration/data_scopes.html", {"name": name, "scopes": scopes})


class KindFilter(DropdownFilter):  # type: ignore[misc]
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("built-in", _("built-in")), ("custom", _("custom"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "built-in":
            return queryset.filter(kind__in=Role.BUILT_IN)
        return queryset.exclude(kind__in=Role.BUILT_IN) if self.value() == "custom" else queryset


@admin.register(Role)
class RoleAdmin(SheetAdmin, ListAdmin):
    sheet = RoleSheet
    form = RoleForm
    list_display = ["show_name", "show_kind", "show_scope", "show_rights", "show_holders"]
    list_filter = [("data_scope", ChoicesDropdownFilter), ("requires_second_factor", BooleanRadioFilter), KindFilter]
    search_fields = ["name"]
    list_after_template = "admin/configuration/role/matrix.html"
    fieldsets = [(None, {"fields": ["name", "data_scope", "requires_second_factor", "permissions"]})]
    actions_detail = ["copy_role"]
    empty_icon = "badge"
    empty_title = _("No roles yet")
    empty_text = _("A role says what its people may do and whose records they see. Each agent has one.")

    def get_queryset(self, request: HttpRequest) -> Any:
        relations: Any = Role._meta.get_fields(include_hidden=True)
        people = next(one for one in relations if one.one_to_many and one.field.name == "role")
        holders = people.related_model._base_manager.filter(role=OuterRef("pk"), is_active=True).order_by().values("role")
        return super().get_queryset(request).annotate(n_holders=Subquery(holders.annotate(n=Count("pk")).values("n")))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not may_change_role(request.user, obj):  # type: ignore[arg-type]
            return [(None, {"fields": ["name", "show_scope", "requires_second_factor", "show_permissions"]})]
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Of a built-in role, and of one's own, only the second factor can be asked for."""
        if obj is None or may_change_role(request.user, obj):  # type: ignore[arg-type]
            return ["show_permissions", "show_scope"]
        return ["show_permissions", "show_scope", "name", "data_scope", "permissions"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may_give_role(request.user, obj))  # type: ignore[arg-type]

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        asker: Any = request.user
        if obj.requires_second_factor and obj.pk == asker.role_id and asker.second_factor is None:
            messages.warning(request, _("This is your own role: on your next page you are asked to set up your second factor."))
        return super().response_change(request, obj)  # type: ignore[no-any-return]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or may_change_role(request.user, obj))  # type: ignore[arg-type]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        roles = list(self.get_queryset(request)) if self.has_view_permission(request) else []
        held = [set(rights_in(role.permissions)) for role in roles]
        matrix = [(title, [(one, [one.key in keys for keys in held]) for one in rights]) for title, rights in RIGHTS]
        return super().changelist_view(request, {**(extra_context or {}), "roles": roles, "matrix": matrix})

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        return [self.extra_path("<path:object_id>/copy/", "copy", self.make_copy), *urls]

    def make_copy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A custom role that may do what this one may, as far as the asker may give it; then changed as one likes."""
        role: Role = self.row_or_404(request, object_id)
        if request.method != "POST" or not self.has_add_permission(request):
            raise PermissionDenied
        asker: Any = request.user
        scopes = [scope for scope in (role.data_scope, Role.DataScope.GROUPS, Role.DataScope.OWN) if reaches(asker, scope)]
        with transaction.atomic():
            copy = Role(
                account_id=asker.account_id,
                name=_free_name(role),
                data_scope=scopes[0],
                requires_second_factor=role.requires_second_factor,
                permissions=sorted(permission for permission in role.permissions if holds(asker, [permission])),
            )
            copy.full_clean(exclude=["account"])
            copy.save()
            self.log_addition(request, copy, [{"added": {}}])
        return HttpResponseRedirect(self.address_of("change", copy.pk))

    @action(description=_("Copy as custom role"), permissions=["copy"], icon="content_copy")
    def copy_role(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks first: a link must not make rows."""
        role: Role | None = self.get_object(request, object_id)
        if role is None:
            raise Http404
        context = {**self.admin_site.each_context(request), "opts": self.opts, "role": role, "title": _("Copy as custom role")}
        return HttpResponse(
            render_to_string(
                "admin/configuration/role/copy.html", {**context, "address": self.address_of("copy", role.pk)}, request
            )
        )

    def has_copy_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(self.has_add_permission(request))

    @display(description=_("name"), ordering="name")
    def show_name(self, obj: Role) -> str:
        return str(obj)

    @display(description=_("kind"), label={"built-in": "info", "custom": "success"})
    def show_kind(self, obj: Role) -> tuple[str, Any]:
        return ("built-in", _("built-in")) if obj.is_built_in else ("custom", _("custom"))

    @display(description=_("sees"), ordering="data_scope")
    def show_scope(self, obj: Role) -> str:
        return obj.get_data_scope_display()

    @display(description=pgettext_lazy("what a role or key allows", "may"))
    def show_rights(self, obj: Role) -> str:
        n = len(rights_in(obj.permissions))
        return ngettext("%d thing", "%d things", n) % n

    @display(description=_("people"), ordering="n_holders")
    def show_holders(self, obj: Any) -> SafeString:
        n = obj.n_holders or 0
        address = f"{reverse('admin:agents_agent_changelist')}?role__id__exact={obj.pk}"
        return format_html('<a class="setup-link" href="{}">{}</a>', address, n) if n else format_html("{}", 0)

    @display(description=pgettext_lazy("what a role or key allows", "may"))
    def show_permissions(self, obj: Role) -> SafeString:
        held = set(rights_in(obj.permissions))
        groups = [(title, [(one.key, one.label, one.about, one.key in held, True) for one in rights]) for title, rights in RIGHTS]
        return render_to_string("configuration/tick_boxes.html", {"name": "shown", "groups": groups})


def _free_name(role: Role) -> str:
    taken = set(Role.objects.for_account(role.account_id).values_list("name", flat=True))
    base = str(_("%(name)s (copy)") % {"name": role})[:50]
    return next(name for name in (base, *(f"{base} {n}" for n in range(2, len(taken) + 3))) if name not in taken)
