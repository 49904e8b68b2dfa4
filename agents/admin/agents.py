"""The pages of agents and administrators."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordToggleWidget, UnfoldAdminTextInputWidget

from agents.admin.panels import STATUS_COLOURS, Panel, own_panels
from agents.admin.people_actions import ActsOnPeople
from agents.admin.sign_in import PasswordOrInvitation, SignInPages
from agents.appointment import (
    NUMBER_IN_USE,
    OWN_EMAIL_IS_ELSEWHERE,
    keep_an_administrator,
    may_manage,
    phones_held,
    require_free_email,
    take_offline,
)
from agents.invitations import has_password, tell_of_change
from agents.models import Agent, AgentPhone, SignInLink, SkillGroupMember, email_index, phone_index
from agents.sheets import AgentSheet
from callcenter_site.admin import (
    AccountForm,
    InlineRows,
    PortalAdmin,
    PortalInline,
    ScopedDropdownFilter,
)
from callcenter_site.audit import Look
from callcenter_site.phone_numbers import canonical, is_number
from configuration.access import may_give_role
from configuration.admin.imports import SheetAdmin
from configuration.encryption import EncryptedTextField
from configuration.models import Role

SEE_MEMBERS = "agents.view_skillgroupmember"


class AgentForm(PasswordOrInvitation, AccountForm):
    email = forms.EmailField(label=_("Email"), max_length=254, widget=UnfoldAdminEmailInputWidget)
    new_password = forms.CharField(
        label=_("Password"), required=False, strip=False, widget=UnfoldAdminPasswordToggleWidget({"autocomplete": "new-password"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepare_password()

    def _post_clean(self) -> None:
        super()._post_clean()
        self.check_password()

    def clean(self) -> None:
        super().clean()
        if "email" in self.cleaned_data:
            try:
                require_free_email(self.cleaned_data["email"], agent=self.instance)
            except ValidationError as error:
                self.add_error(None, error)
        if self.instance._state.adding:
            return
        before = Agent.objects.select_related("role", "account").get(pk=self.instance.pk)
        role, is_active = self.cleaned_data.get("role", before.role), self.cleaned_data.get("is_active", True)
        keep_an_administrator(before, role=role, is_active=is_active)


class PhoneForm(AccountForm):
    """A number is checked as it will be stored, and is one agent's of its kind."""

    def _post_clean(self) -> None:
        super()._post_clean()
        if self.errors or not self.cleaned_data.get("number"):
            return
        phone = self.instance
        phone.number_hash = phone_index(phone.number, account_id=phone.account_id)
        held = phones_held([phone]).get((phone.kind, phone.number_hash))
        if held is not None and held.pk != phone.pk:
            self.add_error("number", NUMBER_IN_USE)


class PhoneRows(InlineRows):
    def clean(self) -> None:
        super().clean()
        seen: set[tuple[str, bytes]] = set()
        for form in self.forms:
            phone = form.instance
            if not form.is_valid() or not form.cleaned_data.get("number") or form.cleaned_data.get("DELETE"):
                continue
            if (phone.kind, phone.number_hash) in seen:
                form.add_error("number", _("This number stands in the list twice."))
            seen.add((phone.kind, phone.number_hash))


class PhonesOfAgent(PortalInline):
    model = AgentPhone
    fk_name = "agent"
    form = PhoneForm
    formset = PhoneRows
    fields = ["kind", "number"]
    formfield_overrides = {EncryptedTextField: {"widget": UnfoldAdminTextInputWidget}}
    hide_title = True

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        kwargs["form"] = type("PhoneForm", (self.form,), {"asker": request.user})
        return super().get_formset(request, obj, **kwargs)


class GroupsOfAgent(PortalInline):
    model = SkillGroupMember
    fk_name = "agent"
    fields = ["skill_group", "priority"]
    autocomplete_fields = ["skill_group"]
    hide_title = True
    verbose_name = _("skill group")
    verbose_name_plural = _("skill groups")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("skill_group")


@admin.register(Agent)
class AgentAdmin(SheetAdmin, SignInPages, ActsOnPeople, PortalAdmin):
    """People are never deleted here: who leaves is deactivated, and who asks to be forgotten goes through erasure."""

    sheet = AgentSheet
    form = AgentForm
    formfield_overrides = {EncryptedTextField: {"widget": UnfoldAdminTextInputWidget}}
    list_display = [
        "show_person",
        "staff_id",
        "show_phone",
        "role",
        "show_groups",
        "show_online",
        "show_status",
        "show_since",
        "show_sign_in",
    ]
    list_display_links = ["show_person", "staff_id"]
    list_filter = [
        ("role", ScopedDropdownFilter),
        ("status", ChoicesDropdownFilter),
        ("is_online", BooleanRadioFilter),
        ("skill_groups", ScopedDropdownFilter),
        ("is_active", BooleanRadioFilter),
    ]
    list_select_related = ["role", "authenticator"]
    search_fields = ["staff_id__istartswith"]
    search_help_text = _("Name, start of the staff ID, or the whole email or phone number")
    list_fullwidth = True
    actions = [
        "set_status",
        "force_offline",
        "restore_online",
        "move_to_group",
        "send_invitations",
        "send_reset_links",
        "deactivate",
        "reactivate",
    ]
    inlines = [GroupsOfAgent, PhonesOfAgent]
    not_kept = _("You would not see this person, so nothing was kept. Put them into one of your own skill groups below.")
    panels: ClassVar[list[Panel]] = own_panels()
    change_form_outer_before_template = "admin/agents/agent/panels_before.html"
    change_form_outer_after_template = "admin/agents/agent/panels_after.html"
    fieldsets = [
        (_("Person"), {"fields": ["name", "nickname", "staff_id"]}),
        (_("Work"), {"fields": ["role", "cellphone_pickup"]}),
        (_("Sign-in"), {"fields": ["email", "new_password", "is_active", "show_sign_in_links"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("skill_groups", "phones")

    def list_shows(self, request: HttpRequest) -> Look | None:
        return Look.PHONES if request.user.has_perm("agents.view_agentphone") else None

    def row_shows(self, request: HttpRequest) -> Look:
        return Look.PERSON

    def get_list_display(self, request: HttpRequest) -> Any:
        seen_with = {"show_phone": "agents.view_agentphone", "show_groups": SEE_MEMBERS}
        return [name for name in self.list_display if name not in seen_with or request.user.has_perm(seen_with[name])]

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Who may not see who is in which group does not find it out by asking group by group either."""
        may_see = request.user.has_perm(SEE_MEMBERS)
        return [one for one in self.list_filter if may_see or one[0] != "skill_groups"]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        agent = kwargs.get("obj")
        if agent is not None:
            context["panels"] = [one.shown(request, agent) for one in self.panels if request.user.has_perm(one.permission)]
        return super().render_change_form(request, context, *args, **kwargs)  # type: ignore[no-any-return]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:  # how they sign in is said once they are there
            return [*self.fieldsets[:2], (_("Sign-in"), {"fields": ["email", "new_password", "is_active"]})]
        if may_manage(request.user, obj):  # type: ignore[arg-type]
            return super().get_fieldsets(request, obj)
        is_own = obj.pk == request.user.pk
        return [
            (_("Person"), {"fields": ["name", "nickname", "staff_id"]}),
            (_("Work"), {"fields": ["role", "cellphone_pickup"]}),
            (_("Sign-in"), {"fields": ["email", "is_active"]} | ({"description": OWN_EMAIL_IS_ELSEWHERE} if is_own else {})),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """One's own page: what one is called, not what one may."""
        own = ["role", "is_active", "email"] if obj is not None and obj.pk == request.user.pk else []
        return [*own, "show_sign_in_links"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        return obj is None or obj.pk == request.user.pk or may_manage(request.user, obj)  # type: ignore[arg-type]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "role":
            roles = Role.objects.visible_to(request.user)  # type: ignore[arg-type]
            kwargs["queryset"] = roles.filter(pk__in=[role.pk for role in roles if may_give_role(request.user, role)])  # type: ignore[arg-type]
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "role" and field is not None:
            field.required = True
            for offer in ("can_add_related", "can_change_related", "can_view_related", "can_delete_related"):
                setattr(field.widget, offer, False)
        return field

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        meant = Q(staff_id__istartswith=term) | Q(email_hash=email_index(term)) | Q(pk__in=called(queryset, term))
        return queryset.filter(meant | _with_number(request.user, term)), False

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The title of a page stays in the browser's history, so it holds no name."""
        return super().changeform_view(request, object_id, form_url, {"subtitle": None} | (extra_context or {}))  # type: ignore[no-any-return]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        had_password = change and has_password(obj)
        if form.cleaned_data.get("new_password"):
            obj.set_password(form.cleaned_data["new_password"])
        elif not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)
        if had_password and form.cleaned_data.get("new_password"):
            tell_of_change(agent=obj, kind=SignInLink.Kind.PASSWORD, at=timezone.now())
        if change and "email" in form.changed_data:
            tell_of_change(agent=obj, kind=SignInLink.Kind.EMAIL, at=timezone.now(), address=form.initial["email"])
        if not change and not obj.has_usable_password():
            self.invite_new_person(request, obj)
        if not obj.is_active:
            take_offline(obj, at=timezone.now())

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        answer: HttpResponse = super().response_add(request, _unnamed(obj), post_url_continue)
        return self.or_hand_link_over(request, obj, answer)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return super().response_change(request, _unnamed(obj))  # type: ignore[no-any-return]

    @display(description=_("person"), header=True)
    def show_person(self, obj: Agent) -> list[str]:
        return [obj.name, obj.nickname, "".join(word[:1] for word in obj.name.split()[:2]).upper()]

    @display(description=_("skill groups"))
    def show_groups(self, obj: Agent) -> str:
        return pgettext("between the items of a list", ", ").join(group.name for group in obj.skill_groups.all())

    @display(description=_("phone"))
    def show_phone(self, obj: Agent) -> str:
        """The extension, else whichever number comes first."""
        phones = list(obj.phones.all())
        return next((one.number for one in phones if one.kind == AgentPhone.Kind.EXTENSION), phones[0].number if phones else "–")

    @display(description=_("online"), ordering="is_online")
    def show_online(self, obj: Agent) -> str:
        said = _("forced offline") if obj.forced_offline_at else _("online") if obj.is_online else _("not online")
        look = "is-forced" if obj.forced_offline_at else "is-online" if obj.is_online else "is-away"
        return format_html('<span class="presence-dot {}" title="{}"><span>{}</span></span>', look, said, said)

    @display(description=_("status"), ordering="status", label=STATUS_COLOURS)
    def show_status(self, obj: Agent) -> tuple[str, str]:
        said = str(obj.get_status_display())
        return obj.status, f"{said} ({obj.status_reason})" if obj.status_reason else said

    @display(description=_("since"), ordering="status_since")
    def show_since(self, obj: Agent) -> str:
        return timesince(obj.status_since, depth=1)


def called(people: Any, text: str) -> list[int]:
    """Ids of those among some people whose name or nickname contains a text. Names are encrypted, so they are compared
    here: an account's people are few thousand at most, and one name opens in microseconds."""
    wanted = text.casefold()
    rows = people.order_by().prefetch_related(None).select_related(None).only("account_id", "name", "nickname")
    return [row.pk for row in rows if wanted in row.name.casefold() or wanted in row.nickname.casefold()]


def _with_number(asker: Any, text: str) -> Q:
    """The agents with a phone number, in whatever form it is written; for those who may see numbers."""
    if asker.account is None or not asker.has_perm("agents.view_agentphone"):
        return Q()
    number = canonical(text, asker.account.region)
    if not is_number(number):
        return Q()
    index = phone_index(number, account_id=asker.account_id)
    return Q(pk__in=AgentPhone.objects.for_account(asker.account_id).filter(number_hash=index).values("agent_id"))


def _unnamed(agent: Agent) -> Agent:
    """The message after saving is kept for the next page, so it says the staff ID."""
    agent.name = ""
    return agent
