"""The pages of the blacklist: a list that may be long, and who is blocked by what."""

import datetime as dt
import re
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldBooleanSwitchWidget

from callcenter_site import legal_holds
from callcenter_site.admin import AccountForm, GrowingAdmin
from callcenter_site.audit import Look, log_rows
from callcenter_site.erasure import delete_rows
from callcenter_site.phone_numbers import canonical, canonical_prefix, is_number
from configuration.admin.imports import SheetAdmin
from configuration.admin.lists import ListAdmin, fragment, posted
from configuration.blacklist import closeness, covering, find_block, rows_covering, sees_numbers, shown
from configuration.models import Account, AuditEntry, BlockedNumber
from configuration.sheets import BlacklistSheet

MOST_DIGITS = 32


class BlockedNumberForm(AccountForm):
    """Asks whether a prefix is meant that takes in a country, and only then."""

    confirm = forms.BooleanField(
        label=_("Block all of them"),
        required=False,
        widget=forms.HiddenInput,
        help_text=_("Yes, I mean every number that begins so."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.initial["number"] = self.instance.written

    def clean_number(self) -> str:
        """A star taken away makes a prefix a number; the model cannot tell that from one that was never typed."""
        number = str(self.cleaned_data["number"])
        if number != self.initial.get("number"):
            self.instance.is_prefix = False
        return number

    def _post_clean(self) -> None:
        self.instance.confirm_broad = bool(self.cleaned_data.get("confirm"))
        super()._post_clean()
        if "confirm" in self.fields and (self.has_error("number", "broad") or self.instance.confirm_broad):
            self.fields["confirm"].widget = UnfoldBooleanSwitchWidget()


class StateFilter(DropdownFilter):  # type: ignore[misc]
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("blocking", _("In force")), ("expired", _("Expired"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        expired = Q(blocked_until__lte=timezone.now())
        if self.value() == "expired":
            return queryset.filter(expired)
        if self.value() == "blocking":
            return queryset.filter(Q(blocked_until=None) | Q(blocked_until__gt=timezone.now()))
        return queryset


class WrittenFilter(DropdownFilter):  # type: ignore[misc]
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("number", _("Numbers")), ("prefix", _("Prefixes"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(is_prefix=self.value() == "prefix") if self.value() in ("number", "prefix") else queryset


@admin.register(BlockedNumber)
class BlockedNumberAdmin(SheetAdmin, ListAdmin):
    sheet = BlacklistSheet
    form = BlockedNumberForm
    list_display = ["show_number", "direction", "reason", "show_state", "show_until", "show_created"]
    list_filter = [("direction", ChoicesDropdownFilter), WrittenFilter, StateFilter]
    search_fields = ["number"]
    search_help_text = _("Number in any written form, beginning of a number, or reason")
    sortable_by = ["show_created"]
    ordering = ["-created_at", "-pk"]
    list_before_template = "admin/configuration/blockednumber/check.html"
    empty_icon = "block"
    empty_title = _("Nobody is blocked")
    empty_text = _("Calls from a number on this list are refused. End it with * to block all numbers that begin so.")
    # It may be long: never counted whole, sorted only along its index.
    paginator = GrowingAdmin.paginator
    list_max_show_all = 0
    show_facets = admin.ShowFacets.NEVER
    get_changelist = GrowingAdmin.get_changelist
    get_paginator: Any = GrowingAdmin.get_paginator

    def list_shows(self, request: HttpRequest) -> Look | None:
        return Look.NUMBERS if sees_numbers(request.user) else None  # type: ignore[arg-type]

    def row_shows(self, request: HttpRequest) -> Look | None:
        return self.list_shows(request)

    def get_list_display(self, request: HttpRequest) -> list[str]:
        columns = list(super().get_list_display(request))
        return columns if sees_numbers(request.user) else ["show_masked", *columns[1:]]  # type: ignore[arg-type]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Whoever may not see a number may give it another end or direction, or take it off the list."""
        is_whole = obj is None or sees_numbers(request.user)  # type: ignore[arg-type]
        number = ["number", "confirm"] if is_whole else ["show_masked"]
        return [(None, {"fields": [*number, "direction", "reason", "blocked_until"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["show_masked"]

    def said_before_it_goes(self, request: HttpRequest, obj: Any) -> str:
        return shown(obj, to=request.user)  # type: ignore[arg-type]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()[:200]
        account: Account | None = getattr(request.user, "account", None)
        if not term or account is None:
            return queryset, False
        return queryset.filter(_looked_for(account, term, in_part=sees_numbers(request.user))), False  # type: ignore[arg-type]

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Maybe very many: in two statements, with the entries that deleting each by itself would leave."""
        legal_holds.refuse(*queryset)
        ids = list(queryset.order_by().values_list("pk", flat=True))
        names = [field.name for field in self.model._meta.concrete_fields if field.name not in ("id", "account")]
        log_rows(BlockedNumber, ids, actor=request.user, action=AuditEntry.Action.DELETE, names=names)
        delete_rows(BlockedNumber.objects.visible_to(request.user).filter(pk__in=ids))  # type: ignore[arg-type]

    def get_urls(self) -> list[URLPattern]:
        return [self.extra_path("check/", "check", self.check_number), *super().get_urls()]

    @property
    def check_address(self) -> str:
        return self.address_of("check")

    @property
    def directions(self) -> list[tuple[str, Any]]:
        return [one for one in BlockedNumber.Direction.choices if one[0] != BlockedNumber.Direction.BOTH]

    def check_number(self, request: HttpRequest) -> HttpResponse:
        """Who blocks a number, now; and what else on the list would, in the other direction or until its end."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        account: Account | None = getattr(request.user, "account", None)
        if account is None:
            raise PermissionDenied
        data, now = posted(request), timezone.now()
        written, direction = data.get("number", "").strip()[:64], data.get("direction", "")
        number = canonical(written, account.region)
        context: dict[str, Any] = {
            "written": written,
            "number": number,
            "is_number": is_number(number),
            "is_whole": sees_numbers(request.user),  # type: ignore[arg-type]
        }
        if context["is_number"]:
            block = find_block(account=account, number=written, direction=direction, at=now)
            rows = sorted(rows_covering(account=account, number=written), key=closeness, reverse=True)
            context |= {
                "block": block,
                "others": [(row, row.is_expired(at=now)) for row in rows if block is None or row.pk != block.pk],
            }
        return fragment(request, render_to_string("admin/configuration/blockednumber/checked.html", context, request))

    @display(description=_("number"))
    def show_number(self, obj: BlockedNumber) -> str:
        return obj.written

    @display(description=_("number"))
    def show_masked(self, obj: BlockedNumber) -> str:
        return obj.masked

    @display(description=_("until"))
    def show_until(self, obj: BlockedNumber) -> str:
        return _written(obj.blocked_until) if obj.blocked_until else "–"

    @display(description=_("created"), ordering="created_at")
    def show_created(self, obj: BlockedNumber) -> str:
        return _written(obj.created_at)

    @display(description=_("state"), label={"blocking": "danger", "expired": "default"})
    def show_state(self, obj: BlockedNumber) -> tuple[str, Any]:
        return ("expired", _("Expired")) if obj.is_expired(at=timezone.now()) else ("blocking", _("In force"))


def _written(moment: dt.datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M")


def _looked_for(account: Account, term: str, *, in_part: bool) -> Q:
    """What stands for this number, takes it in, or, for who may look for a part of one, begins with it; for anything else,
    the reason."""
    begins = canonical_prefix(re.sub(r"[*＊…]+$", "", term), account.region)
    if not re.fullmatch(r"\+?[0-9]{1,32}", begins):
        return Q(reason__icontains=term)
    found = covering(number=term, region=account.region)
    short = re.sub(r"\D", "", term)
    if not in_part:
        return found | Q(number=short, is_prefix=False)
    # Between the two rather than "like": only so do both databases go along the index.
    below = Q(number__gte=begins, number__lte=begins.ljust(MOST_DIGITS, "9"))
    return found | below | (Q(number=short) if short else Q())
