"""Filters of the list of service records that people keep under a name, and the menu they stand in.

A saved filter narrows and never widens: it holds parameters of the list's own filters, and whoever applies it sees what they
may see. What was searched for may be somebody's number: it is kept encrypted, and for its owner alone.
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.translation import gettext_lazy as _

from agents import saved
from callcenter_site import legal_holds
from calls.models import SavedFilter

MOST_SAVED = 50
"""Of one person."""
MOST_SEARCHED = 255


def save_filter(*, person: Any, name: str, query: str, is_shared: bool, search: str = "") -> SavedFilter:
    """Raises `ValidationError`."""
    if not query and not search:
        raise ValidationError(_("Narrow the list first: there is nothing to save."))
    if len(search) > MOST_SEARCHED:
        raise ValidationError(_("So much cannot be kept. Choose less."))
    _check_sharing(search, is_shared)
    kept: SavedFilter = saved.keep(
        SavedFilter, person=person, name=name, is_shared=is_shared, most=MOST_SAVED, among={}, query=query, search=search
    )
    return kept


def _check_sharing(search: str, is_shared: bool) -> None:
    if search and is_shared:
        raise ValidationError(_("A filter with a search is for yourself only, for it may hold somebody's number."))


def _joined(query: str, search: str) -> str:
    return "&".join(part for part in (query, urlencode({"q": search}) if search else "") if part)


_ROUTES = {"open": "apply_filter", "change": "change_filter", "delete": "delete_filter"}


class KeepsFilters:
    """For the page of service records: its menu of saved filters."""

    def get_urls(self) -> list[Any]:
        page: Any = self
        return [
            page.extra_path("filters/save/", "save_filter", self.save_view),
            page.extra_path("filters/<int:pk>/", "apply_filter", self.apply_view),
            page.extra_path("filters/<int:pk>/change/", "change_filter", self.change_filter_view),
            page.extra_path("filters/<int:pk>/delete/", "delete_filter", self.delete_filter_view),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def saved_filters_of(self, request: HttpRequest) -> dict[str, Any]:
        user: Any = request.user
        page: Any = self
        now, search = self._query_of(request), self._search_of(request)
        shown = saved.menu(
            SavedFilter.objects.visible_to(user)[: 4 * MOST_SAVED],
            person=user,
            is_on=lambda row: (row.query, row.search) == (now, search),
            address=lambda row: {name: page.address_of(route, row.pk) for name, route in _ROUTES.items()},
            shareable=lambda row: not row.search,
            query=_joined(now, search),
            title=_("Saved filters"),
            empty=_("None yet. Narrow the list with its filters, then save them here under a name."),
            save=_("Save these filters"),
            new_name=_("Name of the new filter"),
            save_to=page.address_of("save_filter"),
        )
        return {"saved": shown | {"may_share": shown["may_share"] and not search}}

    def _query_of(self, request: HttpRequest) -> str:
        """The address's parameters that belong to a filter, in one order; whatever else stands there is left out."""
        page: Any = self
        declared = page._declared_lookups(request)
        kept = QueryDict(mutable=True)
        for name in sorted(set(request.GET) & declared):
            kept.setlist(name, [value for value in request.GET.getlist(name) if value])
        return kept.urlencode()

    def _search_of(self, request: HttpRequest) -> str:
        return request.GET.get("q", "").strip()

    def _back(self, query: str) -> HttpResponse:
        page: Any = self
        return HttpResponseRedirect(page.address_of("changelist") + (f"?{query}" if query else ""))

    def _asked(self, request: HttpRequest, pk: int, *, posted: bool) -> SavedFilter:
        page: Any = self
        if not page.has_view_permission(request):
            raise PermissionDenied
        user: Any = request.user
        row: SavedFilter | None = SavedFilter.objects.visible_to(user).filter(pk=pk).first()
        if row is None or (posted and request.method != "POST"):
            raise Http404
        return row

    def save_view(self, request: HttpRequest) -> HttpResponse:
        page: Any = self
        if not page.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            raise Http404
        query = self._query_of(request)
        try:
            page.get_changelist_instance(request)  # filters that cannot be read are none to keep
            name, is_shared = saved.named(request)
            row = save_filter(person=request.user, name=name, query=query, is_shared=is_shared, search=self._search_of(request))
        except IncorrectLookupParameters:
            messages.error(request, _("These filters cannot be read, so they were not saved."))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, _("Saved as “%(name)s”.") % {"name": row.name})
        return self._back(_joined(query, self._search_of(request)))

    def apply_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self._asked(request, pk, posted=False)
        return self._back(_joined(row.query, row.search))

    def change_filter_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self._asked(request, pk, posted=True)
        name, is_shared = saved.named(request)
        try:
            _check_sharing(row.search, is_shared)
            saved.change(person=request.user, saved=row, name=name, is_shared=is_shared)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        return self._back(_joined(row.query, row.search))

    def delete_filter_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self._asked(request, pk, posted=True)
        if not saved.may_change(request.user, row):
            raise PermissionDenied
        try:
            saved.remove(row)
        except legal_holds.UnderHold:
            messages.error(request, legal_holds.SAID)
            return self._back(_joined(row.query, row.search))
        messages.success(request, _("The filter was deleted."))
        return self._back("")
