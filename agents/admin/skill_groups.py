"""The pages of skill groups and who is in them."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from agents.admin.panels import STATUS_COLOURS, label
from agents.models import SkillGroup, SkillGroupMember, Status
from callcenter_site.admin import (
    PortalAdmin,
    PortalInline,
)


class MembersOfGroup(PortalInline):
    model = SkillGroupMember
    fk_name = "skill_group"
    fields = ["agent", "priority", "show_status"]
    readonly_fields = ["show_status"]
    autocomplete_fields = ["agent"]
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("agent")

    @display(description=_("status"))
    def show_status(self, obj: SkillGroupMember) -> str:
        if obj.pk is None:
            return ""
        agent = obj.agent
        if not agent.is_active:
            return label("default", _("not active"))
        return label(STATUS_COLOURS[agent.status], agent.get_status_display())


@admin.register(SkillGroup)
class SkillGroupAdmin(PortalAdmin):
    list_display = ["name", "show_members", "show_now", "show_target", "wrap_up_seconds", "screen_pop", "is_active"]
    ordering = ["name"]  # said again: counting members drops the model's own
    list_filter = [("is_active", BooleanRadioFilter)]
    search_fields = ["name"]
    inlines = [MembersOfGroup]
    fieldsets = [
        (None, {"fields": ["name", "is_active"]}),
        (_("Service level"), {"fields": ["service_level_seconds", "short_abandon_seconds"]}),
        (_("Work"), {"fields": ["wrap_up_seconds", "screen_pop", "quick_reply_group"]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Records and figures speak of a group for as long as they live. One that is given up is no longer in use."""
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        active = Q(memberships__agent__is_active=True)
        rows = super().get_queryset(request).select_related("account", "screen_pop")
        return rows.annotate(
            n_members=Count("memberships", filter=active),
            n_available=Count("memberships", filter=active & Q(memberships__agent__status=Status.AVAILABLE)),
            n_working=Count("memberships", filter=active & ~Q(memberships__agent__status=Status.OFFLINE)),
        )

    @display(description=_("members"), ordering="n_members")
    def show_members(self, obj: Any) -> int:
        return int(obj.n_members)

    @display(description=_("now"), ordering="n_available")
    def show_now(self, obj: Any) -> str:
        if not obj.n_working:
            return str(_("nobody at work"))
        look = "is-online" if obj.n_available else "is-away"
        said = _("%(available)d of %(working)d available") % {"available": obj.n_available, "working": obj.n_working}
        return format_html('<span class="presence-dot {}"><span>{}</span></span>', look, said)

    @display(description=_("service level target"))
    def show_target(self, obj: SkillGroup) -> str:
        if obj.service_level_seconds is None:
            return _("%d s (account)") % obj.account.service_level_seconds
        return _("%d s") % obj.service_level_seconds
