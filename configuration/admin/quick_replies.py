"""The pages of quick replies and of the groups they stand in."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Prefetch
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext
from unfold.contrib.filters.admin import BooleanRadioFilter, DropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from callcenter_site.admin import AccountForm, PortalInline, ScopedDropdownFilter
from configuration.admin.imports import SheetAdmin
from configuration.admin.lists import SortedListAdmin, fragment, posted
from configuration.models import QuickReply, QuickReplyGroup
from configuration.placeholders import PLACEHOLDERS, check_placeholders, fill, samples
from configuration.sheets import QuickReplySheet

TITLES_SHOWN = 6
MOST_ON_PAGE = 50
"""Replies that a group's own page shows; of more it says where they are."""


class QuickReplyForm(AccountForm):
    text = forms.CharField(
        label=_("Text"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        help_text=_("What is in braces is filled in with the call at hand."),
    )


@admin.register(QuickReply)
class QuickReplyAdmin(SheetAdmin, SortedListAdmin):
    sheet = QuickReplySheet
    form = QuickReplyForm
    list_display = ["title", "show_text", "group", "is_active"]
    list_select_related = ["group"]
    list_filter = [("group", ScopedDropdownFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["title", "text", "group__name"]
    search_help_text = _("Title, text or group")
    fieldsets = [(None, {"fields": ["group", "title", "text", "is_active"]})]
    change_form_after_template = "admin/configuration/quickreply/preview.html"
    empty_icon = "quickreply"
    empty_title = _("No quick replies yet")
    empty_text = _(
        "Sentences agents send or read out with one click. Make a group first, for example Greetings, then its replies."
    )

    def sort_group(self, obj: Any) -> Any:
        return obj.group_id

    @display(description=_("text"))
    def show_text(self, obj: QuickReply) -> str:
        return Truncator(obj.text).chars(90)

    def get_urls(self) -> list[URLPattern]:
        return [self.extra_path("preview/", "preview", self.preview), *super().get_urls()]

    @property
    def preview_address(self) -> str:
        return self.address_of("preview")

    @property
    def placeholders(self) -> dict[str, Any]:
        return PLACEHOLDERS

    def preview(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = posted(request).get("text", "")[:2000]
        context: dict[str, Any] = {"text": fill(text, samples()).strip(), "n_characters": len(text)}
        try:
            check_placeholders(text)
        except ValidationError as error:
            context["errors"] = error.messages
        return fragment(request, render_to_string("admin/configuration/quickreply/previewed.html", context, request))


class RepliesOfGroup(PortalInline):
    model = QuickReply
    form = QuickReplyForm
    fields = ["title", "text", "is_active", "order"]
    ordering = ["order", "title"]
    ordering_field = "order"
    hide_ordering_field = True
    hide_title = True

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.form = type("QuickReplyForm", (formset.form,), {"asker": request.user})
        return formset

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "order":
            field.required = False
        if db_field.name == "text":
            field.widget.attrs["rows"] = 2
        return field


class FilledFilter(DropdownFilter):  # type: ignore[misc]
    title = _("replies")
    parameter_name = "filled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("With replies")), ("no", _("Empty"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return (
            queryset.filter(n_replies__gt=0)
            if self.value() == "yes"
            else (queryset.filter(n_replies=0) if self.value() == "no" else queryset)
        )


@admin.register(QuickReplyGroup)
class QuickReplyGroupAdmin(SortedListAdmin):
    list_display = ["name", "show_number", "show_replies"]
    list_filter = [FilledFilter]
    search_fields = ["name", "replies__title"]
    search_help_text = _("Group or title of a reply")
    inlines = [RepliesOfGroup]
    empty_icon = "folder_open"
    empty_title = _("No groups yet")
    empty_text = _("A group holds the replies that belong together; a skill group points to the one its agents need.")
    starter_set = (_("Greetings"), _("Hold and transfer"), _("Closing"))

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return [] if self._is_large(obj) else super().get_inlines(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["name", "show_where"] if self._is_large(obj) else ["name"]
        return [(None, {"fields": fields})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["show_where"]

    def _is_large(self, obj: Any) -> bool:
        return obj is not None and obj.n_replies > MOST_ON_PAGE

    @display(description=_("replies"))
    def show_where(self, obj: Any) -> SafeString:
        """A form with a row for each of very many takes seconds to open and to send."""
        address = f"{reverse('admin:configuration_quickreply_changelist')}?group__id__exact={obj.pk}"
        said = _("Open the %(n)s replies of this group, to change and sort them") % {"n": number_format(obj.n_replies)}
        return format_html('<a class="portal-link" href="{}">{}</a>', address, said)

    def get_queryset(self, request: HttpRequest) -> Any:
        replies = Prefetch("replies", QuickReply.objects.order_by("order", "title"))
        rows = super().get_queryset(request).annotate(n_replies=Count("replies"))
        return rows.order_by("order", "name").prefetch_related(replies)

    @display(description=_("replies"))
    def show_number(self, obj: Any) -> int:
        return int(obj.n_replies)

    @display(description=_("titles"))
    def show_replies(self, obj: Any) -> str:
        titles = [reply.title for reply in obj.replies.all()]
        shown = pgettext("between the items of a list", ", ").join(titles[:TITLES_SHOWN])
        return f"{shown} …" if len(titles) > TITLES_SHOWN else shown or "–"
