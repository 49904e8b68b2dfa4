"""The desk: an agent's own page, and the small answers it lives on.

Every change works as a plain form, and as a request of the page's script, which asks for JSON and gets the new state.
"""

import datetime as dt
import functools
import json
import os
from collections.abc import Callable
from typing import Any

from axes.helpers import get_client_ip_address
from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LogoutView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents.desk import AT_WORK, choose_break_after_call, choose_status, desk_state, leave_desk
from agents.devices import ADVICE, CheckedTooSoon, advice_of, how_to_allow, name_browser, name_system, record_check
from agents.models import Agent, DeviceCheck, Status
from agents.presence import break_reasons, cancel_planned_break, end_wrap_up, extend_wrap_up, see_agent
from callcenter_site.navigation import DESK_CALLS, DESK_RECORDS
from callcenter_site.streams import desk_topic, stream_link

ICONS = {Status.AVAILABLE: "call", Status.BUSY: "do_not_disturb_on", Status.OFFLINE: "power_settings_new"}
CHECKS_SHOWN = 10
FINDINGS_BYTES = 4096
PROBE_BYTES = 1024 * 1024

View = Callable[..., HttpResponseBase]


def for_agents(view: View) -> View:
    """Only who is signed in and has a desk. Scripts are told so in JSON, where a redirect would lead them astray."""

    @never_cache
    @functools.wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        person: Any = request.user
        if not person.is_authenticated:
            if _wants_json(request):
                return JsonResponse({"detail": _("You are signed out."), "sign_in": _sign_in_address()}, status=401)
            return login_required(view)(request, *args, **kwargs)
        if not person.has_perm("agents.use_desk"):
            if _wants_json(request):
                return JsonResponse({"detail": _("Your role has no desk. Ask an administrator.")}, status=403)
            return _turned_away(request)
        return view(request, *args, **kwargs)

    return guarded


# --- The page --------------------------------------------------------------------------------------------------------


@require_GET
@for_agents
def desk(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    # Where the page's script does not run, the page loads itself again; that is its heartbeat.
    see_agent(agent=person, at=timezone.now())
    newest = DeviceCheck.objects.visible_to(person).filter(agent=person).order_by("-checked_at", "-pk").first()
    context = {
        "title": _("Desk"),
        "choices": [(status.value, status.label, ICONS[status]) for status in ICONS],
        "reasons": break_reasons(person.account_id),
        "newest_check": newest,
        "records_url": DESK_RECORDS if person.has_perm("calls.view_call") else "",
    }
    return _page(request, "agents/desk.html", context)


@require_GET
@for_agents
def state(request: HttpRequest) -> HttpResponse:
    return JsonResponse(_state(request))


@require_POST
@for_agents
def heartbeat(request: HttpRequest) -> HttpResponse:
    """Sent by an open desk; whoever is silent for half a minute is gone."""
    person: Any = request.user
    if refused := _of_somebody_else(request):
        return refused
    see_agent(agent=person, at=timezone.now())
    return JsonResponse(_state(request))


@require_GET
@for_agents
def stream(request: HttpRequest) -> HttpResponse:
    """Where an open desk hears at once of what concerns its agent. The link is good for a minute, and the stream ends after
    five; the page then asks again, so that whoever may no longer hear does not."""
    return JsonResponse({"agent": request.user.pk, "link": stream_link([desk_topic(request.user.pk)])})  # type: ignore[arg-type]


# --- What an agent changes -------------------------------------------------------------------------------------------


def _changes(change: Callable[[HttpRequest, Any, dt.datetime], None]) -> View:
    """A view that changes something about whoever asks, and answers with the state after it."""

    @require_POST
    @for_agents
    @functools.wraps(change)
    def view(request: HttpRequest) -> HttpResponse:
        if refused := _of_somebody_else(request):
            return refused
        person: Any = request.user
        try:
            change(request, person, timezone.now())
        except ValidationError as error:
            # What the request was refused for may be what has just changed: the page is told how things stand.
            person.refresh_from_db()
            return _refusal(request, error)
        return JsonResponse(_state(request)) if _wants_json(request) else redirect("agents:desk")

    return view


@_changes
def set_status(request: HttpRequest, person: Agent, at: dt.datetime) -> None:
    status, reason = request.POST.get("status", ""), request.POST.get("reason", "").strip()
    choose_status(agent=person, status=status, reason=reason, at=at)


@_changes
def set_break_after_call(request: HttpRequest, person: Agent, at: dt.datetime) -> None:
    if request.POST.get("on") == "1":
        choose_break_after_call(agent=person, reason=request.POST.get("reason", "").strip())
    else:
        cancel_planned_break(agent=person)


@_changes
def end_own_wrap_up(request: HttpRequest, person: Agent, at: dt.datetime) -> None:
    """Ready now. Somebody whose wrap-up has ended meanwhile is ready already."""
    end_wrap_up(agent=person, at=at)


@_changes
def extend_own_wrap_up(request: HttpRequest, person: Agent, at: dt.datetime) -> None:
    extend_wrap_up(agent=person, at=at)


# --- The device check ------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@for_agents
def device_check(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _store_check(request)
    line = request.headers.get("User-Agent", "")
    context = {
        "title": _("Device check"),
        "browser": name_browser(line),
        "system": name_system(line),
        "how_to_allow": how_to_allow(line),
        "checks": _own_checks(request),
        "words": _words_of_the_check(),
    }
    return _page(request, "agents/device_check.html", context)


def _store_check(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    if len(request.body) > FINDINGS_BYTES:
        return JsonResponse({"detail": _("This is more than a device check can say.")}, status=413)
    try:
        findings = json.loads(request.body)
    except (ValueError, RecursionError):  # no JSON, no text at all, or brackets without end
        return JsonResponse({"detail": _("Send the findings as a JSON object.")}, status=400)
    try:
        address = get_client_ip_address(request) or ""
        check = record_check(agent=person, findings=findings, address=address, at=timezone.now())
    except CheckedTooSoon as error:
        response = JsonResponse({"detail": " ".join(error.messages)}, status=429)
        response["Retry-After"] = str(error.wait_seconds)
        return response
    except ValidationError as error:
        return JsonResponse(_reasons(error), status=400)
    past = render_to_string("agents/past_checks.html", {"checks": _own_checks(request)}, request)
    return JsonResponse(
        {"result": check.result, "label": DeviceCheck.Result(check.result).label, "advice": advice_of(check), "past": past},
        status=201,
    )


def _own_checks(request: HttpRequest) -> list[tuple[DeviceCheck, list[str]]]:
    rows = DeviceCheck.objects.visible_to(request.user).filter(agent=request.user)  # type: ignore[arg-type]
    return [(check, advice_of(check)) for check in rows.order_by("-checked_at", "-pk")[:CHECKS_SHOWN]]


@require_GET
@for_agents
def probe(request: HttpRequest) -> HttpResponse:
    """As many bytes as asked for, for a page that times how long they take. Random ones: no proxy makes them fewer."""
    asked = request.GET.get("bytes", "0")
    size = min(int(asked), PROBE_BYTES) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 0
    return HttpResponse(os.urandom(size), content_type="application/octet-stream")


# --- Leaving ---------------------------------------------------------------------------------------------------------


class SignOut(LogoutView):
    next_page = "admin:login"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        person: Any = request.user
        if person.is_authenticated and person.account_id is not None:
            leave_desk(agent=person, at=timezone.now())
        return super().post(request, *args, **kwargs)


# --- Answers ---------------------------------------------------------------------------------------------------------


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _state(request: HttpRequest) -> dict[str, Any]:
    person: Any = request.user
    return desk_state(agent=person, at=timezone.now())


def _of_somebody_else(request: HttpRequest) -> HttpResponse | None:
    """A page says whose it is. Once somebody else has signed in in the same browser, its clicks are not theirs."""
    whose = request.POST.get("agent", "")
    if not whose or whose == str(request.user.pk):
        return None
    text = _("Somebody else has signed in in this browser. Load the page again.")
    if _wants_json(request):
        return JsonResponse({"detail": text}, status=409)
    messages.error(request, text)
    return redirect("agents:desk")


def _refusal(request: HttpRequest, error: ValidationError) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse({**_reasons(error), "state": _state(request)}, status=400)
    messages.error(request, " ".join(error.messages))
    return redirect("agents:desk")


def _reasons(error: ValidationError) -> dict[str, Any]:
    """In the shape the API has: what is wrong, and with which field."""
    by_field = error.message_dict if hasattr(error, "error_dict") else {}
    errors = [{"field": field, "reason": reason} for field, reasons in by_field.items() for reason in reasons]
    return {"detail": " ".join(error.messages), "errors": errors}


def _turned_away(request: HttpRequest) -> HttpResponse:
    """For those who have no desk: to the admin if they may enter it, else a page that says whom to ask."""
    if admin.site.has_permission(request):
        return redirect("admin:index")
    return _page(request, "agents/turned_away.html", {"title": _("Nothing to open")}, status=403)


def _page(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return render(request, template, {**_frame(request), **context}, status=status)


def _frame(request: HttpRequest) -> dict[str, Any]:
    """What stands round every page of the desk, and what its script needs."""
    person: Any = request.user
    context = {**admin.site.each_context(request), "person": person}
    if not person.has_perm("agents.use_desk"):
        return context
    now = _state(request)
    return {
        **context,
        "has_desk": True,
        "calls_url": DESK_CALLS if person.has_perm("calls.view_call") else "",
        "state": now,
        "at_work": AT_WORK,
        "elapsed_seconds": max(0, now["at"] - now["since"]) // 1000,
        "config": {"state": now, "urls": _addresses(), "words": _words()},
    }


def _addresses() -> dict[str, str]:
    names = (
        "state",
        "stream",
        "heartbeat",
        "set-status",
        "break-after-call",
        "end-wrap-up",
        "extend-wrap-up",
        "device-check",
        "probe",
    )
    return {name: reverse(f"agents:{name}") for name in names} | {"sign-in": _sign_in_address()}


def _sign_in_address() -> str:
    return f"{reverse('admin:login')}?next={reverse('agents:desk')}"


def _words() -> dict[str, str]:
    """What the script says by itself; `{…}` is filled in there."""
    return {
        "lost": _("No connection to the portal"),
        "lost_text": _("Calls may pass you by until it is back. Next try in {seconds} s."),
        "trying": _("Trying to reach the portal…"),
        "back": _("The connection is back."),
        "signed_out": _("You are signed out"),
        "signed_out_text": _("Sign in again to get calls."),
        "somebody_else": _("Somebody else has signed in in this browser"),
        "somebody_else_text": _("This page is not theirs. Load it again to go on."),
        "no_desk": _("Your role has no desk any more"),
        "no_desk_text": _("Ask an administrator of your call center."),
        "not_saved": _("That did not reach the portal, so nothing changed. Try again."),
        "now": _("Your status: {status}"),
        "ends_in": _("Ends by itself in {time}"),
        "ends_open": _("Ends when you say so"),
        "copied": _("Copied: {what}"),
        "not_copied": _("The browser did not let it be copied. Select the text and copy it by hand."),
        "call_now": _("{stage}: {who}"),
        "draft": _("Draft kept in this browser"),
        "not_written": _("That did not reach the portal; your draft is kept. Try again."),
        "page_blocked": _("The browser blocked the page. Allow pop-ups for this site in the address bar, or use the button."),
        "records_failed": _("The records could not be loaded. They are tried again."),
    }


def _words_of_the_check() -> dict[str, Any]:
    """What the script of the device check says by itself. Where a finding has its advice, that is what is said of it."""
    said_at_once = [f"microphone_{state}" for state in ("missing", "silent", "failed")]
    said_at_once += [f"speaker_{state}" for state in ("missing", "silent", "failed")]
    said_at_once += [f"camera_{state}" for state in ("denied", "missing", "failed")]
    return {
        **{code: str(ADVICE[code]) for code in said_at_once},
        "insecure": str(ADVICE["insecure_context"]),
        "microphone_denied": _("The browser may not use the microphone. This is how you allow it:"),
        "parts": {str(part.value): part.label.capitalize() for part in DeviceCheck.Part},
        "results": {
            DeviceCheck.Result.GOOD: _("All is well: you can take calls"),
            DeviceCheck.Result.FAIR: _("You can take calls, with some reservations"),
            DeviceCheck.Result.BAD: _("Not fit for calls yet"),
        },
        "dismissed": _("The question was closed without an answer. Try again, and choose Allow."),
        "not_supported": _("This browser gives pages no microphone or camera. Use a current Chrome, Edge, Firefox or Safari."),
        "unplugged": _("The microphone is gone: it was unplugged, or another program took it."),
        "device": _("Device {n}"),
        "asking": _("The browser asks for permission: choose Allow."),
        "speak": _("Say a few words…"),
        "heard": _("You can be heard."),
        "playing": _("The tone is playing…"),
        "seen": _("The camera works."),
        "measuring": _("Measuring…"),
        "network": _("{round_trip} ms there and back · {downlink} Mbit/s"),
        "network_failed": _("The network could not be measured: the portal did not answer in time."),
        "storing": _("Storing the result…"),
        "not_stored": _("The result is not stored"),
        "not_reached": _("The portal could not be reached."),
    }
