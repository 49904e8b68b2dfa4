"""Files that are to go and have not gone yet."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from callcenter_site.admin import GrowingAdmin
from retention.models import FileDeletion


@admin.register(FileDeletion)
class FileDeletionAdmin(GrowingAdmin):
    list_display = ("key", "cause", "show_state", "attempts", "error", "put_at", "due_at")
    list_filter = (("state", ChoicesDropdownFilter),)
    ordering = ("put_at", "pk")
    sortable_by = ()
    fields = ("key", "cause", "state", "attempts", "error", "put_at", "due_at")
    readonly_fields = fields
    actions = ("try_again",)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("retention.change_filedeletion")

    @admin.action(description=_("Try again now"), permissions=["retry"])
    def try_again(self, request: HttpRequest, queryset: Any) -> None:
        n = queryset.update(due_at=timezone.now())
        messages.success(request, ngettext("%d file is tried again.", "%d files are tried again.", n) % n)

    @display(description=_("State"), label={"waiting": "info", "blocked": "danger"})
    def show_state(self, row: FileDeletion) -> tuple[str, str]:
        return row.state, row.get_state_display()
