"""The pages of skill groups and who is in them."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from agents.admin.panels import STATUS_COLOURS, label
from agents.membership import ALREADY_IN_GROUP, require_movable
from agents.models import Agent, SkillGroup, SkillGroupMember, Status
from callcenter_site.admin import (
    InlineRows,
    PortalAdmin,
    PortalInline,
)
from callcenter_site.ids import read_id

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[SkillGroupMember]
else:
    _ModelForm = forms.ModelForm


class PersonWidget(forms.Widget):
    """Somebody who is in the group already: read, and followed to their page by who may see it."""

    is_link = False

    def render(self, name: str, value: Agent, attrs: Any = None, renderer: Any = None) -> Any:
        said = format_html("{} · {}", value.name, value.staff_id)
        return (
            format_html('<a href="{}">{}</a>', reverse("admin:agents_agent_change", args=[value.pk]), said)
            if self.is_link
            else said
        )


class KnownRow(forms.Field):
    """The id of a row that is shown: looked for among the rows at hand, where Django would ask the database for each."""

    widget = forms.HiddenInput
    default_error_messages = {"invalid_choice": _("There is no such record.")}

    def __init__(self, rows: Any, **rest: Any) -> None:
        super().__init__(**rest)
        self.rows = rows

    def clean(self, value: Any) -> Any:
        row = self.rows.get(str(value))
        if row is None:
            raise ValidationError(self.error_messages["invalid_choice"])
        return row

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class MemberForm(_ModelForm):
    def _get_validation_exclusions(self) -> set[str]:
        """Who is in the group already is so in one row: only the priority can change."""
        settled = {"agent", "skill_group"} if self.instance.pk is not None else set()
        return super()._get_validation_exclusions() | settled  # type: ignore[misc,no-any-return]


class MemberRows(InlineRows):
    """A page of the members. What is sent back is found by its ids, for the pages may have moved since."""

    asker: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_bound:
            self._queryset = self.queryset.filter(pk__in=self._sent_ids())
        self._at_hand: dict[str, SkillGroupMember] | None = None

    def _sent_ids(self) -> list[int]:
        sent = (
            self.data.get(f"{self.add_prefix(index)}-{self.model._meta.pk.name}", "")
            for index in range(self.initial_form_count())
        )
        return [pk for pk in map(read_id, sent) if pk is not None]

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        if form.instance.pk is None or "agent" not in form.fields:
            return
        if self._at_hand is None:
            self._at_hand = {str(row.pk): row for row in self.get_queryset()}
        form.fields[self._pk_field.name] = KnownRow(self._at_hand, initial=form.instance.pk)
        person = forms.Field(label=form.fields["agent"].label, disabled=True, required=False, widget=PersonWidget())
        person.widget.is_link = self.asker.has_perm("agents.view_agent")
        form.fields["agent"], form.initial["agent"] = person, form.instance.agent

    def clean(self) -> None:
        super().clean()
        rows = SkillGroupMember.objects.filter(skill_group=self.instance) if self.instance.pk is not None else None
        for form in self.forms:
            agent = getattr(form, "cleaned_data", {}).get("agent")
            leaves = self.can_delete and self._should_delete_form(form)
            is_new = form.instance.pk is None
            if agent is None or (leaves and is_new) or not (leaves or form.has_changed()):
                continue
            try:
                require_movable([agent], by=self.asker)
            except ValidationError as error:
                if leaves:  # errors of a row that goes are not looked at
                    raise
                form.add_error("agent", error)
            if is_new and rows is not None and rows.filter(agent=agent).exists():  # on another page
                form.add_error("agent", ALREADY_IN_GROUP)


class MembersOfGroup(PortalInline):
    model = SkillGroupMember
    fk_name = "skill_group"
    form = MemberForm
    formset = MemberRows
    per_page = 50
    fields = ["agent", "priority", "show_status"]
    readonly_fields = ["show_status"]
    autocomplete_fields = ["agent"]
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("agent__role")

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        return type(formset.__name__, (formset,), {"asker": request.user})

    @display(description=_("status"))
    def show_status(self, obj: SkillGroupMember) -> str:
        if obj.pk is None:
            return ""
        agent = obj.agent
        if not agent.is_active:
            return label("default", _("not active"))
        return label(STATUS_COLOURS[agent.status], agent.get_status_display())


@admin.register(SkillGroup)
class SkillGroupAdmin(PortalAdmin):
    list_display = ["name", "show_members", "show_now", "show_target", "wrap_up_seconds", "screen_pop", "is_active"]
    ordering = ["name"]  # said again: counting members drops the model's own
    list_filter = [("is_active", BooleanRadioFilter)]
    search_fields = ["name"]
    not_kept = _("You would not see this group, so nothing was kept. Add yourself to its members as well.")
    inlines = [MembersOfGroup]
    fieldsets = [
        (None, {"fields": ["name", "is_active"]}),
        (_("Service level"), {"fields": ["service_level_seconds", "short_abandon_seconds", ("level_good", "level_poor")]}),
        (_("Work"), {"fields": ["wrap_up_seconds", "screen_pop", "quick_reply_group"]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Records and figures speak of a group for as long as they live. One that is given up is no longer in use."""
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        active = Q(memberships__agent__is_active=True)
        rows = super().get_queryset(request).select_related("account", "screen_pop")
        return rows.annotate(
            n_members=Count("memberships", filter=active),
            n_available=Count("memberships", filter=active & Q(memberships__agent__status=Status.AVAILABLE)),
            n_working=Count("memberships", filter=active & ~Q(memberships__agent__status=Status.OFFLINE)),
        )

    @display(description=_("members"), ordering="n_members")
    def show_members(self, obj: Any) -> int:
        return int(obj.n_members)

    @display(description=_("now"), ordering="n_available")
    def show_now(self, obj: Any) -> str:
        if not obj.n_working:
            return str(_("nobody at work"))
        look = "is-online" if obj.n_available else "is-away"
        said = _("%(available)d of %(working)d available") % {"available": obj.n_available, "working": obj.n_working}
        return format_html('<span class="presence-dot {}"><span>{}</span></span>', look, said)

    @display(description=_("service level target"))
    def show_target(self, obj: SkillGroup) -> str:
        if obj.service_level_seconds is None:
            return _("%d s (account)") % obj.account.service_level_seconds
        return _("%d s") % obj.service_level_seconds
