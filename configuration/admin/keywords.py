"""The pages of keywords, with a box to try them out."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import display

from callcenter_site.admin import AccountForm
from configuration.admin.imports import SheetAdmin
from configuration.admin.lists import ListAdmin, Suggesting, fragment, posted
from configuration.keywords import in_pieces, keyword_hits
from configuration.models import Keyword
from configuration.sheets import KeywordSheet

MOST_CHARACTERS = 10_000
MOST_SUGGESTIONS = 100


class KeywordForm(AccountForm):
    class Meta:
        model = Keyword
        fields = ["phrase", "category", "severity", "match_mode", "is_active"]
        widgets = {"category": Suggesting}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "category" in self.fields:
            known = Keyword.objects.visible_to(self.asker).exclude(category="").order_by("category")
            self.fields["category"].widget.suggestions = known.values_list("category", flat=True).distinct()[:MOST_SUGGESTIONS]


class CategoryFilter(AllValuesCheckboxFilter):  # type: ignore[misc]
    """The categories of the account; the package's own would list everybody's."""

    def __init__(self, field: Any, request: HttpRequest, params: Any, model: Any, model_admin: Any, field_path: str) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        rows = model_admin.get_queryset(request).exclude(category="")
        self.lookup_choices = rows.order_by("category").values_list("category", flat=True).distinct()


@admin.register(Keyword)
class KeywordAdmin(SheetAdmin, ListAdmin):
    sheet = KeywordSheet
    form = KeywordForm
    list_display = ["phrase", "category", "show_severity", "match_mode", "is_active"]
    list_filter = [("severity", ChoicesDropdownFilter), ("category", CategoryFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["phrase", "category"]
    search_help_text = _("Phrase or category")
    list_before_template = "admin/configuration/keyword/try.html"
    fieldsets = [
        (None, {"fields": ["phrase", "match_mode", "is_active"]}),
        (_("What a hit means"), {"fields": ["category", "severity"]}),
    ]
    empty_icon = "match_word"
    empty_title = _("No keywords yet")
    empty_text = _("Phrases looked for in what callers say and agents write, such as refund, 投诉 or the name of a competitor.")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "match_mode":
            field.help_text = _("Letter case and width never count. Chinese and Japanese phrases are found anywhere in any case.")
        return field

    def get_urls(self) -> list[URLPattern]:
        return [self.extra_path("try/", "try", self.try_out), *super().get_urls()]

    @property
    def try_address(self) -> str:
        return self.address_of("try")

    @property
    def most_characters(self) -> int:
        return MOST_CHARACTERS

    def try_out(self, request: HttpRequest) -> HttpResponse:
        account = getattr(request.user, "account", None)
        if not self.has_view_permission(request) or account is None:
            raise PermissionDenied
        text = posted(request).get("text", "").replace("\r\n", "\n")[:MOST_CHARACTERS]
        hits = keyword_hits(account=account, text=text)
        context = {"pieces": in_pieces(text, hits) if hits else [], "hits": hits, "has_text": bool(text.strip())}
        return fragment(request, render_to_string("admin/configuration/keyword/tried.html", context, request))

    @display(description=_("severity"), ordering="severity", label={"info": "info", "warning": "warning", "critical": "danger"})
    def show_severity(self, obj: Keyword) -> tuple[str, str]:
        return obj.severity, obj.get_severity_display()
