"""How a person signs in: by email, which the database knows only as a keyed hash, password, and second factor.

Nobody is signed in before the second factor has passed. Between password and code a person stands half-way: five
minutes, in the browser the password was typed in, and only as long as that password is theirs.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from agents.appointment import EMAIL_CANNOT_BE_USED, require_free_email
from agents.invitations import tell_of_change
from agents.models import Agent, Authenticator, SignInLink, email_index
from callcenter_site.limits import address_key, seconds_to_wait

BACKEND = "agents.sign_in.RoleBackend"
HALF_WAY = "half_way"
HALF_WAY_LASTS = dt.timedelta(minutes=5)
SIGNED_IN_AT = "signed_in_at"
FRESH = dt.timedelta(minutes=10)


class RoleBackend(ModelBackend):
    """Checks email and password. What a person may do is answered by `Agent.has_perm`, from their role."""

    def user_can_authenticate(self, user: Any) -> bool:
        return bool(user.is_active) and (user.account is None or user.account.is_open)

    def get_user(self, user_id: Any) -> Agent | None:
        agent = Agent.objects.select_related("account", "role", "authenticator").filter(pk=user_id).first()
        return agent if agent is not None and self.user_can_authenticate(agent) else None


def sign_in_name(request: HttpRequest | None, credentials: dict[str, Any] | None) -> str:
    """What failed attempts are counted under: a hash, so that the table of attempts holds no email."""
    given = (credentials or {}).get("username") or (request.POST.get("username", "") if request else "")
    return email_index(str(given)).hex()


def stand_half_way(request: HttpRequest, agent: Agent, *, next_page: str, at: dt.datetime) -> None:
    """The password was right. Whoever was signed in in this browser no longer is."""
    request.session.flush()
    request.session[HALF_WAY] = {
        "agent": agent.pk,
        "begun_with": agent.get_session_auth_hash(),
        "until": (at + HALF_WAY_LASTS).timestamp(),
        "next": next_page,
    }


def who_stands_half_way(request: HttpRequest, *, at: dt.datetime) -> Agent | None:
    said = request.session.get(HALF_WAY)
    if not said or at.timestamp() >= said["until"]:
        return None
    agent = RoleBackend().get_user(said["agent"])
    if agent is None or not constant_time_compare(said["begun_with"], agent.get_session_auth_hash()):
        return None
    return agent


def step_back(request: HttpRequest) -> str:
    """Ends the half-way state; returns the page that was asked for."""
    said = request.session.pop(HALF_WAY, None)
    return str(said["next"]) if said else ""


def let_in(request: HttpRequest, agent: Agent, *, device: Authenticator | None, at: dt.datetime) -> None:
    if device is not None:
        agent.otp_device = device  # type: ignore[attr-defined]  # django_otp keeps it with the session
    login(request, agent, backend=BACKEND)
    request.session[SIGNED_IN_AT] = at.timestamp()


def came_in_just_now(request: HttpRequest, *, at: dt.datetime) -> bool:
    """Whether the password was typed so lately that it need not be asked for again."""
    return at.timestamp() - float(request.session.get(SIGNED_IN_AT, 0)) < FRESH.total_seconds()


def is_locked_out(request: HttpRequest, agent: Agent) -> bool:
    """Whether this person failed too often from this address. Marks the request, so that the answer says it."""
    credentials = {"username": agent.email}
    if AxesProxyHandler.is_allowed(request, credentials):
        return False
    request.axes_locked_out, request.axes_credentials = True, credentials  # type: ignore[attr-defined]
    return True


def count_failure(request: HttpRequest, agent: Agent) -> None:
    """A wrong code, or a wrong password asked for again, counts like a wrong password at the door."""
    user_login_failed.send(sender=__name__, credentials={"username": agent.email}, request=request)


def count_at_address(sender: Any, request: HttpRequest | None = None, **kwargs: Any) -> None:
    """Somebody failed to sign in, with whichever email: passwords are also tried on one email after the other."""
    if request is not None:
        seconds_to_wait("sign-in", _address(request), most=settings.LIMIT_PER_ADDRESS)


def seconds_for_address(request: HttpRequest) -> int:
    """For how long nobody signs in from an address from which too many failed; asked before a password is looked at."""
    return seconds_to_wait("sign-in", _address(request), most=settings.LIMIT_PER_ADDRESS, counts=False)


def _address(request: HttpRequest) -> str:
    return address_key(request.META.get("REMOTE_ADDR", ""))


def pause_left(request: HttpRequest, credentials: dict[str, Any] | None, *, at: dt.datetime) -> dt.timedelta:
    """How long somebody who failed too often has to wait yet."""
    whole = dt.timedelta(hours=settings.AXES_COOLOFF_TIME)
    attempts: Any = AxesProxyHandler.get_implementation().get_user_attempts(request, credentials)
    last = max((one.attempt_time for rows in attempts for one in rows), default=at)
    return min(whole, max(dt.timedelta(seconds=1), last + whole - at))


def may_change_own_email(agent: Agent) -> bool:
    """Operators, and who may change people; of the others their administrator says how they sign in."""
    return agent.is_superuser or agent.has_perm("agents.change_agent")


def change_own_email(*, agent: Agent, email: str, at: dt.datetime) -> None:
    """Whoever calls this knows that it is really them: with another email a stolen session would mail itself a new password.

    Raises `ValidationError` on `email`.
    """
    if not may_change_own_email(agent):
        raise ValidationError({"email": _("Your administrator changes it.")})
    require_free_email(email, agent=agent)
    before, agent.email = agent.email, email
    try:
        with transaction.atomic():
            agent.save(update_fields=["email"])
            if before != email:
                tell_of_change(agent=agent, kind=SignInLink.Kind.EMAIL, at=at, address=before)
    except IntegrityError as error:  # somebody took it since it was looked up
        agent.email = before
        raise ValidationError({"email": EMAIL_CANNOT_BE_USED}) from error


class SecondFactorGate:
    """Keeps everything but the set-up from people whose role requires a second factor and who have none yet, and
    whoever has one out of sessions that never saw it. The one place where this is enforced."""

    OPEN = frozenset(
        {
            "sign_in:set-up",
            "agents:sign-out",
            "admin:logout",
            "admin:login",
            "admin:jsi18n",
            "set_language",
            "healthz",
            "readyz",
        }
    )

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        person: Any = request.user
        if not person.is_authenticated:
            return None
        if person.second_factor is not None and getattr(person, "otp_device", None) is None:
            logout(request)
            return _turn_away(request, reverse("admin:login"), "Sign in with the second factor.")
        if person.second_factor is None and person.role is not None and person.role.requires_second_factor:
            match = request.resolver_match
            if match is None or match.view_name not in self.OPEN:
                return _turn_away(request, reverse("sign_in:set-up"), "Set up the second factor first; your role requires it.")
        return None


def _turn_away(request: HttpRequest, page: str, why: str) -> HttpResponseBase:
    if request.path_info.startswith("/api/"):
        return JsonResponse({"detail": why}, status=403)
    if request.method not in ("GET", "HEAD"):
        return redirect(page)
    return redirect(f"{page}?{urlencode({'next': request.get_full_path()})}")
