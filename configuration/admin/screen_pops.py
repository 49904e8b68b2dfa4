"""The pages of inbound pop-ups, with a preview that opens nothing."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from callcenter_site.admin import AccountForm
from configuration.admin.imports import SheetAdmin
from configuration.admin.lists import SortedListAdmin, fragment, posted
from configuration.models import ScreenPop
from configuration.placeholders import PLACEHOLDERS, fill_url, samples
from configuration.screen_pops import check_address
from configuration.sheets import ScreenPopSheet

_SAMPLE_CALLS = (_("2 March, 15:04 – answered, 3 min, Sale"), _("17 February, 09:41 – abandoned in the queue"))


class OrderedTicks(forms.CheckboxSelectMultiple):
    """Boxes to tick, in an order to choose: what is ticked is sent in the order in which it stands."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        chosen = list(value or ())
        labels = dict(self.choices)
        keys = [key for key in chosen if key in labels] + [key for key in labels if key not in chosen]
        boxes = [(key, labels[key], key in chosen) for key in keys]
        return render_to_string("configuration/ordered_ticks.html", {"name": name, "boxes": boxes})


class ScreenPopForm(AccountForm):
    fields_shown = forms.MultipleChoiceField(
        label=_("Fields shown"),
        choices=ScreenPop.Field.choices,
        required=False,
        widget=OrderedTicks,
        help_text=_("Beside the ringing call, from top to bottom. Drag them into order."),
    )


@admin.register(ScreenPop)
class ScreenPopAdmin(SheetAdmin, SortedListAdmin):
    sheet = ScreenPopSheet
    form = ScreenPopForm
    list_display = ["name", "show_host", "show_fields", "is_active"]
    list_filter = [("is_active", BooleanRadioFilter)]
    search_fields = ["name", "url_template"]
    search_help_text = _("Name or address")
    fieldsets = [(None, {"fields": ["name", "url_template", "fields_shown", "is_active"]})]
    change_form_after_template = "admin/configuration/screenpop/preview.html"
    empty_icon = "open_in_new"
    empty_title = _("No inbound pop-ups yet")
    empty_text = _(
        "What agents see beside a ringing call: facts about the caller, and a page of your own system such as the CRM."
    )

    def get_urls(self) -> list[URLPattern]:
        return [self.extra_path("preview/", "preview", self.preview), *super().get_urls()]

    @property
    def preview_address(self) -> str:
        return self.address_of("preview")

    @property
    def placeholders(self) -> dict[str, Any]:
        return PLACEHOLDERS

    def preview(self, request: HttpRequest) -> HttpResponse:
        """The address as it would be filled in; it is shown, never asked for, by the portal or by the browser."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        data = posted(request)
        template, chosen = data.get("url_template", "").strip()[:1000], data.getlist("fields_shown")
        values: dict[str, Any] = {**samples(), "last_calls": _SAMPLE_CALLS}
        labels = dict(ScreenPop.Field.choices)
        context: dict[str, Any] = {
            "fields": [
                (labels[one], values[one], one == ScreenPop.Field.LAST_CALLS) for one in dict.fromkeys(chosen) if one in labels
            ]
        }
        if template:
            try:
                check_address(template)
                context["address"] = fill_url(template, samples())
            except ValidationError as error:
                context["errors"] = error.messages
        return fragment(request, render_to_string("admin/configuration/screenpop/previewed.html", context, request))

    @display(description=_("opens"))
    def show_host(self, obj: ScreenPop) -> str:
        return obj.url_template.partition("://")[2].partition("/")[0].partition("?")[0] or "–"

    @display(description=_("fields shown"))
    def show_fields(self, obj: ScreenPop) -> str:
        labels = dict(ScreenPop.Field.choices)
        known = [str(labels[one]) for one in obj.fields_shown if one in labels]
        return pgettext("between the items of a list", ", ").join(known) or "–"
