"""The page for everybody that says who may do what, how data is protected, and whom to tell of a fault."""

import datetime as dt
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from configuration.access import RIGHTS, ROLE_PERMISSIONS, ROLE_SCOPES
from configuration.models import ApiKey, Role

SHOWN = (Role.Kind.ADMINISTRATOR, Role.Kind.SUPERVISOR, Role.Kind.INSPECTOR, Role.Kind.AGENT)
CONTACT_IS_GOOD_FOR = dt.timedelta(days=180)


@require_safe
def security(request: HttpRequest) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": _("Security"),
        "roles": [{"name": kind.label, "sees": ROLE_SCOPES[kind].label} for kind in SHOWN],
        "groups": rights_of_roles(),
        "scopes": [scope.label for scope in ApiKey.Scope],
        "contact": settings.SECURITY_CONTACT,
        "failures": settings.AXES_FAILURE_LIMIT,
        "pause_minutes": round(settings.AXES_COOLOFF_TIME * 60),
        "session_hours": settings.SESSION_COOKIE_AGE // 3600,
    }
    return render(request, "configuration/security.html", context)


def rights_of_roles() -> list[tuple[Any, list[dict[str, Any]]]]:
    """Each right of the catalogue with which built-in role holds it: the roles themselves are asked, nothing is told twice."""
    return [
        (
            title,
            [
                {"label": one.label, "about": one.about, "held": [one.permissions <= ROLE_PERMISSIONS[kind] for kind in SHOWN]}
                for one in rights
            ],
        )
        for title, rights in RIGHTS
    ]


@require_safe
def contact_file(request: HttpRequest) -> HttpResponse:
    """RFC 9116, for those who look for faults with programs."""
    if not settings.SECURITY_CONTACT:
        raise Http404
    lines = (
        f"Contact: {settings.SECURITY_CONTACT}",
        f"Expires: {timezone.now() + CONTACT_IS_GOOD_FOR:%Y-%m-%dT%H:%M:%SZ}",
        "Preferred-Languages: en, zh",
        f"Canonical: {settings.PUBLIC_URL}/.well-known/security.txt",
        f"Policy: {settings.PUBLIC_URL}/security/",
    )
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")
