"""What is said where a page cannot be shown: in the reader's language, or as JSON to programs."""

import sys
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from callcenter_site.rest import RETRY_SECONDS


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Never says what was asked for, nor whether it exists for somebody else."""
    if _is_for_programs(request):
        # To the letter what the API answers where the address is right and the row is not.
        return JsonResponse({"detail": "Not found."}, status=404, json_dumps_params={"separators": (",", ":")})
    return _page(request, 404, _("There is no such page"), _("The address may be mistyped, or what it showed is gone."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_programs(request):
        return JsonResponse({"detail": "You do not have permission to do this."}, status=403)
    said = str(exception) if isinstance(exception, PermissionDenied) else ""
    return _page(request, 403, _("This is not open to you"), said or _("Your role does not include it. Ask an administrator."))


def failed(request: HttpRequest) -> HttpResponse:
    """Asks nothing of the portal that may be what failed. Without its database the portal is only away for a while."""
    is_away = isinstance(sys.exception(), OperationalError)
    if _is_for_programs(request):
        detail = "The portal is away for the moment." if is_away else "The portal failed; the failure is in its log."
        answer: HttpResponse = JsonResponse({"detail": detail})
    else:
        answer = render(request, "failed.html", {"is_away": is_away})
    answer.status_code = 503 if is_away else 500
    if is_away:
        answer["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _is_for_programs(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _page(request: HttpRequest, status: int, title: Any, text: Any) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, "text": text}
    return render(request, "error.html", context, status=status)
