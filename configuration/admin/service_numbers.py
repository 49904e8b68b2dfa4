"""The pages of the numbers a center owns."""

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter

from callcenter_site.admin import AccountForm, PortalAdmin
from callcenter_site.phone_numbers import canonical
from configuration.models import ServiceNumber


class ServiceNumberForm(AccountForm):
    def clean_number(self) -> str:
        number = canonical(self.cleaned_data["number"], self.asker.account.region)
        if not number:
            raise forms.ValidationError(_("This is not a phone number."))
        return number


@admin.register(ServiceNumber)
class ServiceNumberAdmin(PortalAdmin):
    form = ServiceNumberForm
    list_display = ["number", "label", "provider", "direction", "default_skill_group", "is_active"]
    list_filter = [("direction", ChoicesDropdownFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["number", "label"]
