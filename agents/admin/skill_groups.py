"""The pages of skill groups and who is in them."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from agents.models import SkillGroup, SkillGroupMember
from callcenter_site.admin import (
    PortalAdmin,
    PortalInline,
)


class MembersOfGroup(PortalInline):
    model = SkillGroupMember
    fk_name = "skill_group"
    fields = ["agent", "priority"]
    autocomplete_fields = ["agent"]
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("agent")


@admin.register(SkillGroup)
class SkillGroupAdmin(PortalAdmin):
    list_display = ["name", "show_members", "show_target", "wrap_up_seconds", "is_active"]
    ordering = ["name"]  # said again: counting members drops the model's own
    list_filter = [("is_active", BooleanRadioFilter)]
    search_fields = ["name"]
    inlines = [MembersOfGroup]
    fieldsets = [
        (None, {"fields": ["name", "is_active"]}),
        (_("Service level"), {"fields": ["service_level_seconds", "short_abandon_seconds"]}),
        (_("Work"), {"fields": ["wrap_up_seconds"]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Records and figures speak of a group for as long as they live. One that is given up is no longer in use."""
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        active = Count("memberships", filter=Q(memberships__agent__is_active=True))
        return super().get_queryset(request).select_related("account").annotate(n_members=active)

    @display(description=_("members"), ordering="n_members")
    def show_members(self, obj: Any) -> int:
        return int(obj.n_members)

    @display(description=_("service level target"))
    def show_target(self, obj: SkillGroup) -> str:
        if obj.service_level_seconds is None:
            return _("%d s (account)") % obj.account.service_level_seconds
        return _("%d s") % obj.service_level_seconds
