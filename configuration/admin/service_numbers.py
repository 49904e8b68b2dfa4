"""The pages of the numbers a center owns."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import display

from callcenter_site.phone_numbers import canonical, readable
from configuration.admin.imports import SheetAdmin
from configuration.admin.lists import ListAdmin
from configuration.models import ServiceNumber
from configuration.sheets import ServiceNumberSheet


class ServiceNumberAdmin(SheetAdmin, ListAdmin):
    """Registered by `agents`, which knows the skill groups a number may lead to."""

    sheet = ServiceNumberSheet
    list_display = ["show_number", "label", "provider", "direction", "default_skill_group", "is_active"]
    list_filter = [("direction", ChoicesDropdownFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["number", "label"]
    search_help_text = _("Number in any written form, or label")
    fieldsets = [
        (None, {"fields": ["number", "label", "direction", "is_active"]}),
        (_("Details"), {"fields": ["provider", "default_skill_group", "priority"]}),
    ]
    empty_icon = "dialpad"
    empty_title = _("No service numbers yet")
    empty_text = _("The numbers customers call, and those your agents call out from. Records and figures are kept for each.")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """A number is found however it is written; one that is not whole, by its digits."""
        account = getattr(request.user, "account", None)
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        digits = "".join(character for character in search_term if character.isdigit())
        if account is None or len(digits) < 3:
            return found, may_have_duplicates
        return found | queryset.filter(number__in=[canonical(search_term, account.region), digits]), may_have_duplicates

    @display(description=_("number"), ordering="number")
    def show_number(self, obj: ServiceNumber) -> str:
        return readable(obj.number)
