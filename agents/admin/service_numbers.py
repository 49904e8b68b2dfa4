"""A service number leads to a skill group: the choice is offered here, where skill groups are known."""

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget

from agents.models import SkillGroup
from callcenter_site.admin import AccountForm
from configuration.admin.service_numbers import ServiceNumberAdmin
from configuration.models import ServiceNumber


class ServiceNumberForm(AccountForm):
    default_skill_group = forms.ChoiceField(
        label=_("Default skill group"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_("Where calls to this number go unless the call flow says otherwise."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "default_skill_group" not in self.fields:
            return
        names = list(SkillGroup.objects.visible_to(self.asker).filter(is_active=True).values_list("name", flat=True))
        kept = self.instance.default_skill_group
        if kept and kept not in names:
            names.append(kept)  # renamed, given up, or typed before the group was made: said as it is, until changed
        field: Any = self.fields["default_skill_group"]
        field.choices = [("", _("None")), *((name, name) for name in names)]


@admin.register(ServiceNumber)
class ServiceNumberWithGroupsAdmin(ServiceNumberAdmin):
    form = ServiceNumberForm
