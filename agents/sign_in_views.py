"""The pages on the way in, and those on which people look after their own sign-in."""

import datetime as dt
import math
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from django_otp import DEVICE_ID_SESSION_KEY

from agents import invitations, second_factor, sign_in
from agents.models import Agent, SignInLink
from agents.sign_in_forms import (
    ChangeEmailForm,
    ChangePasswordForm,
    CodeForm,
    ForgottenForm,
    NewPasswordForm,
    ProvenForm,
    SetUpForm,
    SignInForm,
)

LINK = "sign_in_link"
FEW_CODES = 3

form_page = require_http_methods(["GET", "HEAD", "POST"])


# --- The way in ------------------------------------------------------------------------------------------------------
@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class SignIn(LoginView):
    """Email and password. Who has a second factor goes on to the code, and nobody is signed in meanwhile."""

    template_name = "admin/login.html"
    authentication_form = SignInForm

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect(_landing(request))
        sign_in.step_back(request)
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        sign_in.step_back(request)
        if seconds := sign_in.seconds_for_address(request):
            return _pause(request, seconds, of_address=True)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        agent: Agent = form.get_user()
        next_page = self.get_redirect_url()
        if agent.second_factor is not None:
            sign_in.stand_half_way(self.request, agent, next_page=next_page, at=timezone.now())
            return redirect("sign_in:code")
        sign_in.let_in(self.request, agent, device=None, at=timezone.now())
        return redirect(next_page or _landing(self.request))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = {"title": _("Sign in"), "app_path": self.request.get_full_path()}
        return {**super().get_context_data(**kwargs), **admin.site.each_context(self.request), **page}


@never_cache
@sensitive_post_parameters()
@form_page
def code(request: HttpRequest) -> HttpResponseBase:
    """The second step. The person is in the session only half-way."""
    now = timezone.now()
    agent = sign_in.who_stands_half_way(request, at=now)
    if agent is None or agent.second_factor is None:
        was_here = bool(request.session.get(sign_in.HALF_WAY))
        sign_in.step_back(request)
        if was_here:
            messages.warning(request, _("That took too long. Sign in again."))
        return redirect("admin:login")
    with_recovery_code = "recovery" in request.GET
    if request.method == "POST" and (seconds := sign_in.seconds_for_address(request)):
        return _pause(request, seconds, of_address=True)
    form = CodeForm(request.POST or None, with_recovery_code=with_recovery_code)
    if form.is_valid() and not sign_in.is_locked_out(request, agent):
        try:
            device = second_factor.check_code(agent=agent, text=form.cleaned_data["code"], at=now)
        except ValidationError as error:
            form.add_error("code", error)
            if not isinstance(error, second_factor.TooSoon):
                sign_in.count_failure(request, agent)
        else:
            next_page = sign_in.step_back(request)
            sign_in.let_in(request, agent, device=device, at=now)
            _remind_of_codes(request, agent, used_one=second_factor.is_recovery_code(form.cleaned_data["code"]))
            return redirect(next_page or _landing(request))
    context = {"title": _("Second step"), "form": form, "with_recovery_code": with_recovery_code}
    return _page(request, "sign_in/code.html", context)


def show_lockout(request: HttpRequest, original_response: HttpResponse | None, credentials: Any) -> HttpResponse:
    """What somebody sees who has failed too often, and for how long yet; it does not say whether the email exists."""
    return _pause(request, math.ceil(sign_in.pause_left(request, credentials, at=timezone.now()).total_seconds()))


def _pause(request: HttpRequest, seconds: int, *, of_address: bool = False) -> HttpResponse:
    context = {"title": _("Sign-in is paused"), "minutes": math.ceil(seconds / 60), "of_address": of_address}
    response = _page(request, "sign_in/locked_out.html", context, status=429)
    response["Retry-After"] = str(seconds)
    return response


# --- The second factor -----------------------------------------------------------------------------------------------
@never_cache
@login_required
@require_http_methods(["GET", "HEAD"])
def overview(request: HttpRequest) -> HttpResponse:
    """How one signs in oneself."""
    person = _person(request)
    context = {
        "title": _("Your sign-in"),
        "factor": person.second_factor,
        "n_codes": second_factor.n_recovery_codes(person) if person.second_factor else 0,
        "is_required": _is_required(person),
        "few": FEW_CODES,
        "may_change_email": sign_in.may_change_own_email(person),
        "back": _landing(request),
    }
    return _page(request, "sign_in/overview.html", context)


@never_cache
@sensitive_post_parameters()
@login_required
@form_page
def set_up(request: HttpRequest) -> HttpResponse:
    """A key for the app on a phone: the first, or another in its place."""
    person, now = _person(request), timezone.now()
    form = SetUpForm(request.POST or None, **_proof_asked(request, person))
    if form.is_valid() and _is_proven(request, form, person, now):
        try:
            codes = second_factor.confirm_set_up(agent=person, code=form.cleaned_data["code"], at=now)
        except ValidationError as error:
            form.add_error("code", error)
        else:
            _stay_signed_in(request, person)
            return _codes_page(request, codes, _("Your second factor is on"), _next(request) or _landing(request))
    key = second_factor.begin_set_up(agent=person, at=now)
    issuer = f"{settings.UNFOLD['SITE_TITLE']} {person.account.name if person.account else ''}".strip()
    address = second_factor.key_address(agent=person, key=key, issuer=issuer)
    must = _is_required(person) and person.second_factor is None
    context = {
        "title": _("Set up the second factor") if person.second_factor is None else _("Change to another phone"),
        "form": form,
        "key": second_factor.reads_as_groups(key),
        "address": address,
        "picture": second_factor.picture_of(address),
        "must": must,
    }
    return _page(request, "sign_in/set_up.html", context)


@never_cache
@sensitive_post_parameters()
@login_required
@form_page
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """Ten new codes in place of those from before."""
    person, now = _person(request), timezone.now()
    if person.second_factor is None:
        return redirect("sign_in:overview")
    form = ProvenForm(request.POST or None, **_proof_asked(request, person))
    if form.is_valid() and _is_proven(request, form, person, now):
        codes = second_factor.make_recovery_codes(agent=person, at=now)
        return _codes_page(request, codes, _("New recovery codes"), reverse("sign_in:overview"))
    return _page(request, "sign_in/recovery_codes.html", {"title": _("New recovery codes"), "form": form})


@never_cache
@sensitive_post_parameters()
@login_required
@form_page
def turn_off(request: HttpRequest) -> HttpResponse:
    """Not for those whose role requires a second factor."""
    person, now = _person(request), timezone.now()
    if person.second_factor is None or _is_required(person):
        return redirect("sign_in:overview")
    form = ProvenForm(request.POST or None, asks_password=True, asks_code=True)
    if form.is_valid() and _is_proven(request, form, person, now):
        second_factor.turn_off(agent=person, at=now)
        _stay_signed_in(request, person)
        messages.success(request, _("The second factor is off. You sign in with your password alone."))
        return redirect("sign_in:overview")
    return _page(request, "sign_in/turn_off.html", {"title": _("Turn off the second factor"), "form": form})


# --- Passwords -------------------------------------------------------------------------------------------------------
@never_cache
@sensitive_post_parameters()
@login_required
@form_page
def change_password(request: HttpRequest) -> HttpResponse:
    """One's own, for everybody: the desk and the admin lead here. Sessions in other browsers end."""
    person, now = _person(request), timezone.now()
    form = ChangePasswordForm(person, request.POST or None)
    if form.is_valid() and _is_proven(request, form, person, now):
        with transaction.atomic():
            person.set_password(form.cleaned_data["new_password1"])
            person.save(update_fields=["password"])
            invitations.tell_of_change(agent=person, kind=SignInLink.Kind.PASSWORD, at=now)
        _stay_signed_in(request, person)
        messages.success(request, _("Your password is changed. Everywhere else you are signed out."))
        return redirect("sign_in:overview")
    return _page(request, "sign_in/change_password.html", {"title": _("Change password"), "form": form})


# --- The email -------------------------------------------------------------------------------------------------------
@never_cache
@sensitive_post_parameters()
@login_required
@form_page
def change_email(request: HttpRequest) -> HttpResponse:
    """One's own, for those who may change people. The old address is told."""
    person, now = _person(request), timezone.now()
    if not sign_in.may_change_own_email(person):
        return redirect("sign_in:overview")
    form = ChangeEmailForm(request.POST or None, asks_password=True, asks_code=person.second_factor is not None)
    if form.is_valid() and _is_proven(request, form, person, now):
        try:
            sign_in.change_own_email(agent=person, email=form.cleaned_data["email"], at=now)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, _("Your email is changed. You sign in with the new one from now on."))
            return redirect("sign_in:overview")
    return _page(request, "sign_in/change_email.html", {"title": _("Change email"), "form": form})


# --- Forgotten -------------------------------------------------------------------------------------------------------
@never_cache
@form_page
def forgotten(request: HttpRequest) -> HttpResponse:
    """The answer is the same whoever has the email, and whether anybody has it."""
    form = ForgottenForm(request.POST or None)
    status = 200
    if settings.MAIL_IS_SET and form.is_valid():
        address = request.META.get("REMOTE_ADDR", "")
        try:
            invitations.ask_for_reset(email=form.cleaned_data["email"], address=address, at=timezone.now())
        except invitations.TooMany as error:
            form.add_error(None, error)
            status = 429
        else:
            return redirect("sign_in:link-sent")
    context = {"title": _("Forgotten your password?"), "form": form, "mail_is_set": settings.MAIL_IS_SET}
    return _page(request, "sign_in/forgotten.html", context, status=status)


@never_cache
@require_http_methods(["GET", "HEAD"])
def link_sent(request: HttpRequest) -> HttpResponse:
    return _page(request, "sign_in/link_sent.html", {"title": _("Look into your mail")})


@never_cache
@sensitive_post_parameters()
@form_page
def set_password(request: HttpRequest) -> HttpResponse:
    """Behind a link from a mail. The key moves into the session at once, so that no later page has it in its address."""
    if "key" in request.GET:
        request.session[LINK] = request.GET["key"][:100]
        answer = redirect("sign_in:set-password")
        answer["Referrer-Policy"] = "no-referrer"
        return answer
    now = timezone.now()
    link = invitations.open_link(str(request.session.get(LINK, "")), at=now)
    if link is None or link.agent is None:
        request.session.pop(LINK, None)
        context = {"title": _("This link is not good any more"), "mail_is_set": settings.MAIL_IS_SET}
        return _page(request, "sign_in/link_over.html", context, status=410)
    form = NewPasswordForm(link.agent, request.POST or None)
    if form.is_valid():
        try:
            invitations.set_password(link=link, password=form.cleaned_data["new_password1"], at=now)
        except ValidationError as error:
            form.add_error("new_password1", error)
        else:
            logout(request)  # whoever was signed in in this browser; the new password is typed once more
            messages.success(request, _("Your password is set. Sign in with it."))
            return redirect("admin:login")
    is_invitation = link.kind == SignInLink.Kind.INVITATION
    title = _("Welcome") if is_invitation else _("Set a new password")
    context = {"title": title, "form": form, "person": link.agent, "is_invitation": is_invitation}
    return _page(request, "sign_in/set_password.html", context)


# --- Shared ----------------------------------------------------------------------------------------------------------
def _person(request: HttpRequest) -> Agent:
    person: Any = request.user
    return person  # type: ignore[no-any-return]


def _is_required(person: Agent) -> bool:
    return person.role is not None and person.role.requires_second_factor


def _proof_asked(request: HttpRequest, person: Agent) -> dict[str, bool]:
    return {
        "asks_password": not sign_in.came_in_just_now(request, at=timezone.now()),
        "asks_code": person.second_factor is not None,
    }


def _is_proven(request: HttpRequest, form: Any, person: Agent, now: dt.datetime) -> bool:
    """Checks what the form asked for. A wrong answer counts as a failed sign-in, and the errors are on the form."""
    if sign_in.is_locked_out(request, person):
        return False
    if "password" in form.fields and not person.check_password(form.cleaned_data["password"]):
        form.add_error("password", _("This is not your password."))
        sign_in.count_failure(request, person)
        return False
    if "present_code" in form.fields:
        try:
            second_factor.check_code(agent=person, text=form.cleaned_data["present_code"], at=now)
        except ValidationError as error:
            form.add_error("present_code", error)
            if not isinstance(error, second_factor.TooSoon):
                sign_in.count_failure(request, person)
            return False
    return True


def _stay_signed_in(request: HttpRequest, person: Agent) -> None:
    """The other sessions of the person end, this one goes on with what is now the second factor."""
    factor = person.second_factor
    if factor is not None:
        request.session[DEVICE_ID_SESSION_KEY] = factor.persistent_id
    else:
        request.session.pop(DEVICE_ID_SESSION_KEY, None)
    update_session_auth_hash(request, person)


def _remind_of_codes(request: HttpRequest, agent: Agent, *, used_one: bool) -> None:
    left = second_factor.n_recovery_codes(agent)
    if not used_one and left > FEW_CODES:
        return
    said = ngettext("%d recovery code is left.", "%d recovery codes are left.", left) % left
    advice = _("Make new ones under “Your sign-in”; if your phone is gone, set up another there.")
    messages.warning(request, f"{said} {advice}")


def _codes_page(request: HttpRequest, codes: list[str], title: str, next_page: str) -> HttpResponse:
    """Shows recovery codes in this answer and nowhere else."""
    text = "\n".join([_("Recovery codes for the call center portal; each works once."), "", *codes, ""])
    context = {"title": title, "codes": codes, "text": text, "next_page": next_page}
    return _page(request, "sign_in/codes_made.html", context)


def _landing(request: HttpRequest) -> str:
    return reverse("admin:index") if admin.site.has_permission(request) else reverse("agents:desk")


def _next(request: HttpRequest) -> str:
    asked = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(asked, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return asked if is_ours else ""


def _page(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return render(request, template, {**admin.site.each_context(request), **context}, status=status)
