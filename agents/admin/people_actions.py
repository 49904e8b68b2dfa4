"""What is done to many people at once from their list, or to one from their page."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from agents.appointment import deactivate_agents, reactivate_agents
from agents.membership import Move, move_agents
from agents.models import Agent, SkillGroup, Status
from agents.presence import CHOSEN_BY_AGENTS, break_reasons, force_offline, restore_online, set_statuses
from configuration.access import SET_STATUS, holds

MEMBERSHIP = [f"agents.{action}_skillgroupmember" for action in ("add", "change", "delete")]


class MoveForm(forms.Form):
    move = forms.ChoiceField(label=_("What to do"), choices=Move.choices, initial=Move.ADD, widget=UnfoldAdminRadioSelectWidget)
    skill_group: Any = forms.ModelChoiceField(
        label=_("Skill group"), queryset=SkillGroup.objects.none(), widget=UnfoldAdminSelectWidget
    )
    priority = forms.TypedChoiceField(
        label=_("Priority"),
        coerce=int,
        choices=[(n, str(n)) for n in range(1, 6)],
        initial=3,
        help_text=_("1 is asked first, 5 last."),
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, asker: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups: Any = self.fields["skill_group"]
        groups.queryset = SkillGroup.objects.visible_to(asker).order_by("-is_active", "name")


class StatusForm(forms.Form):
    status = forms.ChoiceField(label=_("Status"), choices=[(one.value, one.label) for one in CHOSEN_BY_AGENTS])
    reason = forms.CharField(label=_("Reason"), max_length=60, required=False)

    def __init__(self, *args: Any, asker: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["status"].widget = UnfoldAdminSelectWidget(choices=self.fields["status"].choices)  # type: ignore[attr-defined]
        names = break_reasons(asker.account_id)
        if names:
            choices = [("", _("none")), *((name, name) for name in names)]
            self.fields["reason"].widget = UnfoldAdminSelectWidget(choices=choices)
        else:
            self.fields["reason"].widget = UnfoldAdminTextInputWidget()


class ActsOnPeople:
    """Actions of the list of people, and the buttons of their page. Everybody is reached through the asker's own rows."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        page = path("<int:object_id>/status/", self.admin_site.admin_view(self.status_of_one), name="agents_agent_status")
        return [page, *super().get_urls()]  # type: ignore[misc]

    def has_set_status_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(SET_STATUS)

    def has_move_permission(self, request: HttpRequest) -> bool:
        return holds(request.user, MEMBERSHIP)  # type: ignore[arg-type]

    # --- One person, from their page ---------------------------------------------------------------------------------

    def status_of_one(self, request: HttpRequest, object_id: int) -> HttpResponse:
        page: Any = self
        if not self.has_set_status_permission(request):
            raise PermissionDenied
        agent = page.get_object(request, str(object_id)) if object_id < 2**63 else None
        if agent is None:
            return page._get_obj_does_not_exist_redirect(request, self.opts, str(object_id))  # type: ignore[no-any-return]
        if request.method == "POST":
            what = request.POST.get("do", "")
            if what == "force_offline":
                self._force_offline(request, [agent])
            elif what == "restore":
                self._restore(request, [agent])
            else:
                form = StatusForm(request.POST, asker=request.user)
                if not form.is_valid() or not self._set_status(request, [agent], form):
                    return self._ask_again(request, agent, form)
        return redirect("admin:agents_agent_change", object_id)

    # --- Many, from the list -----------------------------------------------------------------------------------------

    @admin.action(description=_("Deactivate"), permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: Any) -> None:
        try:
            gone = deactivate_agents(agents=_people(queryset), by=request.user, at=timezone.now())  # type: ignore[arg-type]
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return
        self._log_activity(request, gone)
        messages.success(request, ngettext("%d person deactivated.", "%d people deactivated.", len(gone)) % len(gone))

    @admin.action(description=_("Reactivate"), permissions=["change"])
    def reactivate(self, request: HttpRequest, queryset: Any) -> None:
        try:
            back = reactivate_agents(agents=_people(queryset), by=request.user)  # type: ignore[arg-type]
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return
        self._log_activity(request, back)
        messages.success(request, ngettext("%d person reactivated.", "%d people reactivated.", len(back)) % len(back))

    @admin.action(description=_("Change skill groups"), permissions=["move"])
    def move_to_group(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        user: Any = request.user
        form = MoveForm(request.POST if "apply" in request.POST else None, asker=user)
        if form.is_valid():
            try:
                given = form.cleaned_data
                n_changed = move_agents(
                    agents=_people(queryset),
                    skill_group=given["skill_group"],
                    move=given["move"],
                    priority=given["priority"],
                    by=user,
                )
            except ValidationError as error:
                form.add_error(None, error)
            else:
                messages.success(request, ngettext("%d person changed.", "%d people changed.", n_changed) % n_changed)
                return None
        return self._ask(request, queryset, form, "move_to_group", _("Change skill groups"))

    @admin.action(description=_("Set status"), permissions=["set_status"])
    def set_status(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        form = StatusForm(request.POST if "apply" in request.POST else None, asker=request.user)
        if form.is_valid() and self._set_status(request, _people(queryset), form):
            return None
        return self._ask(request, queryset, form, "set_status", _("Set status"))

    @admin.action(description=_("Force offline"), permissions=["set_status"])
    def force_offline(self, request: HttpRequest, queryset: Any) -> None:
        self._force_offline(request, _people(queryset))

    @admin.action(description=_("Let back online"), permissions=["set_status"])
    def restore_online(self, request: HttpRequest, queryset: Any) -> None:
        self._restore(request, _people(queryset))

    # --- What both do ------------------------------------------------------------------------------------------------

    def _ask(self, request: HttpRequest, queryset: Any, form: forms.Form, action: str, title: Any) -> HttpResponse | None:
        """The page between choosing people and doing something to them."""
        n_people = queryset.order_by().count()
        if not n_people:
            messages.warning(request, _("Nobody is chosen."))
            return None
        across = request.POST.get("select_across", "0") == "1"
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "action": action,
            "n_people": n_people,
            "select_across": "1" if across else "0",
            "chosen": chosen[:1] if across else chosen,
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/agents/agent/ask.html", context)

    def _ask_again(self, request: HttpRequest, agent: Agent, form: forms.Form) -> HttpResponse:
        """What was typed on somebody's page and could not be, with the reason."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("Set status"),
            "opts": self.opts,
            "form": form,
            "n_people": 1,
            "person": agent,
        }
        return TemplateResponse(request, "admin/agents/agent/ask.html", context)

    def _set_status(self, request: HttpRequest, people: list[Agent], form: forms.Form) -> bool:
        """Whether it was set for anybody; if not, the form says why."""
        status, reason = form.cleaned_data["status"], form.cleaned_data["reason"]
        user: Any = request.user
        said = reason if status == Status.BREAK else ""
        try:
            those, reasons = set_statuses(agents=people, status=status, reason=said, by=user, at=timezone.now())
        except ValidationError as error:
            form.add_error(None, error)
            return False
        n_left = len(people) - len(those)
        left = ngettext("The status of %d person stays as it was:", "The status of %d people stays as it was:", n_left)
        refusal = f"{left % n_left} {' '.join(reasons)}"
        if not those:
            form.add_error(None, refusal)
            return False
        text = ngettext("The status of %d person is set.", "The status of %d people is set.", len(those)) % len(those)
        messages.success(request, text)
        if n_left:
            messages.error(request, refusal)
        return True

    def _force_offline(self, request: HttpRequest, people: list[Agent]) -> None:
        try:
            n_forced = len(force_offline(agents=people, by=request.user, at=timezone.now()))  # type: ignore[arg-type]
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return
        text = ngettext(
            "%d person is offline until somebody lets them back.",
            "%d people are offline until somebody lets them back.",
            n_forced,
        )
        messages.success(request, text % n_forced)

    def _restore(self, request: HttpRequest, people: list[Agent]) -> None:
        try:
            n_back = len(restore_online(agents=people, by=request.user, at=timezone.now()))  # type: ignore[arg-type]
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return
        text = ngettext("%d person may come online again.", "%d people may come online again.", n_back)
        messages.success(request, text % n_back)

    def _log_activity(self, request: HttpRequest, people: list[Agent]) -> None:
        page: Any = self
        for agent in people:
            page.log_change(request, agent, [{"changed": {"fields": ["is_active"]}}])


def _people(queryset: Any) -> list[Agent]:
    return list(queryset.select_related("role", "account"))
