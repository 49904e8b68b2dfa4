"""How people get in, as their administrator sees it: invited or active, links by mail, the second factor."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import display

from agents import invitations, second_factor
from agents.appointment import may_manage
from agents.models import Agent, SignInLink
from callcenter_site.audit import log_update

_GOES_ON = frozenset({"_addanother", "_popup"})
STATE_COLOURS = {"active": "success", "invited": "warning", "deactivated": "danger"}


def sign_in_state(agent: Agent) -> tuple[str, Any]:
    """Whether somebody can come in: `deactivated`, `invited` (no password yet) or `active`, and the word for it."""
    if not agent.is_active:
        return "deactivated", _("Deactivated")
    if not invitations.has_password(agent):
        return "invited", _("Invited")
    return "active", _("Active")


class PasswordOrInvitation:
    """The part of a person's form about their password: typed here, or left to them."""

    def prepare_password(self) -> None:
        form: Any = self
        if form.instance.pk is not None and form.instance.pk == form.asker.pk:
            for name in ("new_password", "email"):  # one's own are changed where the password is asked for
                form.fields.pop(name, None)
            return
        form.fields["new_password"].help_text = (
            _("Leave it empty: they get a link by mail and choose their own. Or type one of at least 10 characters.")
            if form.instance._state.adding
            else _("Leave empty to keep the present one.")
        )

    def check_password(self) -> None:
        """After the other fields are in the instance: a password must not be like the new name or email."""
        form: Any = self
        password = form.cleaned_data.get("new_password")
        if not password:
            return
        try:
            validate_password(password, form.instance)
        except ValidationError as error:
            form.add_error("new_password", error)


class SignInPages:
    """For the page of people: their sign-in on a page of its own, and links for many at once."""

    opts: Any

    def get_urls(self) -> list[URLPattern]:
        page: Any = self
        return [page.extra_path("<int:object_id>/sign-in/", "sign_in", self.sign_in_page), *super().get_urls()]  # type: ignore[misc]

    def sign_in_page(self, request: HttpRequest, object_id: int) -> HttpResponse:
        page: Any = self
        agent: Agent | None = page.get_object(request, str(object_id))
        if agent is None:
            return page._get_obj_does_not_exist_redirect(request, self.opts, str(object_id))  # type: ignore[no-any-return]
        if agent.pk == request.user.pk:
            return redirect("sign_in:overview")
        if not page.has_change_permission(request, agent):
            raise PermissionDenied
        shown = ""
        if request.method == "POST":
            answer = self._do(request, agent)
            if isinstance(answer, HttpResponse):
                return answer
            shown = answer
        now, link = timezone.now(), invitations.newest_link(agent)
        return page.answer_with(  # type: ignore[no-any-return]
            request,
            "admin/agents/agent/sign_in.html",
            title=_("Sign-in"),
            original=agent,
            state=sign_in_state(agent),
            link=link,
            link_is_over=link is not None and not invitations.is_good(link, at=now),
            why=invitations.why_not_delivered(link) if link is not None else "",
            can_show=invitations.can_be_handed_over(link, at=now),
            shown=shown,
            no_mail_server="" if settings.MAIL_IS_SET else invitations.NO_MAIL_SERVER,
            factor=agent.second_factor,
            is_required=agent.role is not None and agent.role.requires_second_factor,
        )

    def _do(self, request: HttpRequest, agent: Agent) -> HttpResponse | str:
        """Does what was pressed. Answers the way back to the page, or the link to show on it."""
        person: Any = request.user
        what, now = request.POST.get("do", ""), timezone.now()
        try:
            if what in invitations.LASTS:
                invitations.invite(agents=[agent], by=person, at=now, kind=what)
                if settings.MAIL_IS_SET:
                    messages.success(request, _("The link is on its way."))
            elif what == "show":
                link = invitations.newest_link(agent)
                if link is not None and invitations.can_be_handed_over(link, at=now):
                    log_update(agent, sign_in_link=("", "shown"))
                    return invitations.address_of(link)
            elif what == "reset_second_factor":
                second_factor.reset(agent=agent, by=person, at=now)
                messages.success(request, _("The second factor is reset, and the person is signed out everywhere."))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        return redirect("admin:agents_agent_sign_in", agent.pk)

    @admin.action(description=_("Send invitation again"), permissions=["change"])
    def send_invitations(self, request: HttpRequest, queryset: Any) -> None:
        self._send(request, queryset, SignInLink.Kind.INVITATION)

    @admin.action(description=_("Send password reset link"), permissions=["change"])
    def send_reset_links(self, request: HttpRequest, queryset: Any) -> None:
        self._send(request, queryset, SignInLink.Kind.RESET)

    def _send(self, request: HttpRequest, queryset: Any, kind: str) -> None:
        person: Any = request.user
        people = list(queryset.select_related("role", "account"))
        try:
            links = invitations.invite(agents=people, by=person, at=timezone.now(), kind=kind)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return
        messages.success(request, ngettext("%d link made.", "%d links made.", len(links)) % len(links))
        if not settings.MAIL_IS_SET:
            messages.warning(request, invitations.NO_MAIL_SERVER)

    @display(description=_("sign-in"), ordering="is_active", label=STATE_COLOURS)
    def show_sign_in(self, obj: Agent) -> tuple[str, Any]:
        state, word = sign_in_state(obj)
        return state, f"{word} · 2FA" if obj.second_factor is not None else word

    @display(description=_("Sign-in"))
    def show_sign_in_links(self, obj: Agent) -> SafeString | str:
        """On a person's page: how it stands, and the way to the rest."""
        if obj.pk is None:
            return "–"
        context = {"agent": obj, "state": sign_in_state(obj), "link": invitations.newest_link(obj)}
        return render_to_string("admin/agents/agent/sign_in_state.html", context)

    def invite_new_person(self, request: HttpRequest, agent: Agent) -> None:
        person: Any = request.user
        if agent.is_active and may_manage(person, agent):
            invitations.invite(agents=[agent], by=person, at=timezone.now())
            if settings.MAIL_IS_SET:
                messages.info(request, _("They are sent a link to choose their password."))
            elif _GOES_ON & set(request.POST):  # else the next page says it, beside the link
                messages.info(request, invitations.NO_MAIL_SERVER)

    def or_hand_link_over(self, request: HttpRequest, agent: Agent, answer: HttpResponse) -> HttpResponse:
        """Where no mail goes out, the next page is the one with the link."""
        if settings.MAIL_IS_SET or agent.has_usable_password() or not agent.is_active or _GOES_ON & set(request.POST):
            return answer
        return redirect("admin:agents_agent_sign_in", agent.pk)
