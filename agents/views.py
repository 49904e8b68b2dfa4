"""The desk: an agent's own page."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from agents.models import Status
from agents.presence import CHOSEN_BY_AGENTS, change_status

ICONS = {Status.AVAILABLE: "call", Status.BUSY: "do_not_disturb_on", Status.BREAK: "coffee", Status.OFFLINE: "power_settings_new"}


@never_cache
@login_required
@require_GET
def desk(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    if not person.has_perm("agents.use_desk"):
        return _turned_away(request)
    choices = [(status.value, status.label, ICONS[status], person.status == status) for status in CHOSEN_BY_AGENTS]
    return _page(request, "agents/desk.html", {"title": _("Desk"), "person": person, "choices": choices})


@never_cache
@login_required
@require_POST
def set_status(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    if not person.has_perm("agents.use_desk"):
        return _turned_away(request)
    status, reason = request.POST.get("status", ""), request.POST.get("reason", "").strip()
    if status not in CHOSEN_BY_AGENTS:
        messages.error(request, _("Choose one of the statuses."))
    elif (status, reason) != (person.status, person.status_reason):
        try:
            change_status(agent=person, status=status, reason=reason, terminal="web", at=timezone.now())
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
    return redirect("agents:desk")


def _turned_away(request: HttpRequest) -> HttpResponse:
    """For those who have no desk: to the admin if they may enter it, else a page that says whom to ask."""
    if admin.site.has_permission(request):
        return redirect("admin:index")
    return _page(request, "agents/turned_away.html", {"title": _("Nothing to open")}, status=403)


def _page(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return render(request, template, {**admin.site.each_context(request), **context}, status=status)
