"""Wallboards on a screen: of who is signed in, and by a link that needs no sign-in."""

from typing import Any

from axes.helpers import get_client_ip_address
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from analytics import live, wallboard
from analytics.asked import watcher
from analytics.models import Display
from callcenter_site.streams import stream_link

WRONG_PER_MINUTE = 20
"""Wrong links that one address may try."""
ASKED_PER_MINUTE = 600
"""How often the screens of one link may ask, all together: each asks every two seconds at most."""


@require_GET
@login_required(login_url="admin:login")
def wall(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    user = watcher(request)
    displays = Display.objects.visible_to(user).only("pk", "name")
    if pk is not None and not displays.filter(pk=pk).exists():
        raise Http404
    context = {"pk": pk, "displays": displays, "may_manage": user.has_perm("analytics.view_display")}
    return render(request, "analytics/wallboard.html", context)


@require_GET
@never_cache
@login_required(login_url="admin:login")
def figures(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    user = watcher(request)
    if pk is None:
        scope = live.scope_of(user)
        board = wallboard.board_of(None, name=user.account.name, language=get_language() or "")
        return _answer(board, wallboard.figures(scope), wallboard.topic_of_scope(scope))
    display = Display.objects.visible_to(user).filter(pk=pk).first()
    if display is None:
        raise Http404
    return _of_display(display, by_link=False)


@require_GET
def by_link(request: HttpRequest) -> HttpResponse:
    """The empty page of a link. What stands behind the `#` of its address only its script reads."""
    return render(request, "analytics/wallboard.html", {"by_link": True})


@require_GET
@never_cache
def figures_by_link(request: HttpRequest) -> HttpResponse:
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    address = salted_hmac("analytics.wallboard", get_client_ip_address(request) or "", algorithm="sha256").hexdigest()[:32]
    wrong_key = f"wallboard:wrong:{address}"
    if int(cache.get(wrong_key) or 0) >= WRONG_PER_MINUTE:
        return _too_many()
    display = wallboard.find_by_token(token.strip(), at=timezone.now()) if scheme.lower() == "display" else None
    if display is None:
        _count(wrong_key)
        return JsonResponse({"detail": _("This link shows nothing any more. Ask for a new one.")}, status=404)
    if _count(f"wallboard:asked:{display.pk}") > ASKED_PER_MINUTE:
        return _too_many()
    return _of_display(display, by_link=True)


def _of_display(display: Display, *, by_link: bool) -> HttpResponse:
    told = wallboard.figures(wallboard.scope_of_display(display), version=display.version)
    return _answer(wallboard.board_of(display), told, wallboard.topic_of_display(display, by_link=by_link))


def _answer(board: dict[str, Any], told: dict[str, Any], topic: str) -> HttpResponse:
    body = live.as_json({"board": board, "figures": told, "link": stream_link([topic])})
    return HttpResponse(body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _count(key: str) -> int:
    """How often within a minute. Where the cache is away nothing is counted, and nobody is shut out."""
    cache.add(key, 0, 60)
    try:
        return int(cache.incr(key) or 0)
    except (ValueError, TypeError):
        return 0


def _too_many() -> HttpResponse:
    return JsonResponse({"detail": _("Too many requests. Wait a minute.")}, status=429, headers={"Retry-After": "60"})
