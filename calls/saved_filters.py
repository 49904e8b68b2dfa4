"""Filters of the list of service records that people keep under a name, and the menu they stand in.

A saved filter narrows and never widens: it holds parameters of the list's own filters, and whoever applies it sees what they
may see. What was searched for may be somebody's number: it is kept encrypted, and for its owner alone.
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.translation import gettext_lazy as _

from callcenter_site.names import is_visible
from calls.models import SavedFilter
from configuration.models import Role, in_one_line

MOST_SAVED = 50
"""Of one person."""
MOST_SEARCHED = 255


def may_share(person: Any) -> bool:
    """Whoever answers for more than their own calls."""
    return getattr(person, "data_scope", Role.DataScope.OWN) != Role.DataScope.OWN


def may_change(person: Any, saved: SavedFilter) -> bool:
    return bool(saved.owner_id == person.pk)


def save_filter(*, person: Any, name: str, query: str, is_shared: bool, search: str = "") -> SavedFilter:
    """Keeps how the list is narrowed; under a name of one's own that is there already, in its place.

    Raises `ValidationError`.
    """
    name = _checked_name(name)
    if not query and not search:
        raise ValidationError(_("Narrow the list first: there is nothing to save."))
    if len(query) > SavedFilter._meta.get_field("query").max_length or len(search) > MOST_SEARCHED:  # type: ignore[operator,union-attr]
        raise ValidationError(_("So many filters cannot be kept."))
    _check_sharing(search, is_shared)
    own = SavedFilter.objects.for_account(person.account_id).filter(owner_id=person.pk)
    with transaction.atomic():
        there: SavedFilter | None = own.select_for_update().filter(name=name).first()
        if there is None and own.count() >= MOST_SAVED:
            raise ValidationError(_("You have %(n)d saved filters. Delete one first."), params={"n": MOST_SAVED})
        saved = there or SavedFilter(account_id=person.account_id, owner_id=person.pk)
        saved.name, saved.query, saved.search = name, query, search
        saved.is_shared = is_shared and may_share(person)
        saved.save()
    return saved


def change_filter(*, person: Any, saved: SavedFilter, name: str, is_shared: bool) -> None:
    """Renames and shares one's own. Raises `ValidationError`."""
    if not may_change(person, saved):
        raise PermissionDenied
    _check_sharing(saved.search, is_shared)
    saved.name, saved.is_shared = _checked_name(name), is_shared and may_share(person)
    try:
        with transaction.atomic():
            saved.save()
    except IntegrityError as error:
        raise ValidationError(_("You have a filter of this name already.")) from error


def _check_sharing(search: str, is_shared: bool) -> None:
    if search and is_shared:
        raise ValidationError(_("A filter with a search is for yourself only, for it may hold somebody's number."))


def _checked_name(name: str) -> str:
    name = in_one_line(name)
    if not is_visible(name):
        raise ValidationError(_("Give the filter a name."))
    if len(name) > 60:
        raise ValidationError(_("A name has at most 60 characters."))
    return name


def _joined(query: str, search: str) -> str:
    return "&".join(part for part in (query, urlencode({"q": search}) if search else "") if part)


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
        now, search = self._query_of(request), self._search_of(request)
        rows = [
            {"row": row, "is_on": (row.query, row.search) == (now, search), "may_change": may_change(user, row)}
            for row in SavedFilter.objects.visible_to(user)[: 4 * MOST_SAVED]
        ]
        return {
            "saved_filters": rows,
            "may_share_filters": may_share(user),
            "filter_query": _joined(now, search),
            "filter_search": search,
        }

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
        saved: SavedFilter | None = SavedFilter.objects.visible_to(user).filter(pk=pk).first()
        if saved is None or (posted and request.method != "POST"):
            raise Http404
        return saved

    def save_view(self, request: HttpRequest) -> HttpResponse:
        page: Any = self
        if not page.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            raise Http404
        query = self._query_of(request)
        try:
            page.get_changelist_instance(request)  # filters that cannot be read are none to keep
            name, is_shared = request.POST.get("name", ""), bool(request.POST.get("is_shared"))
            saved = save_filter(person=request.user, name=name, query=query, is_shared=is_shared, search=self._search_of(request))
        except IncorrectLookupParameters:
            messages.error(request, _("These filters cannot be read, so they were not saved."))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, _("Saved as “%(name)s”.") % {"name": saved.name})
        return self._back(_joined(query, self._search_of(request)))

    def apply_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        saved = self._asked(request, pk, posted=False)
        return self._back(_joined(saved.query, saved.search))

    def change_filter_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        saved = self._asked(request, pk, posted=True)
        name, is_shared = request.POST.get("name", ""), bool(request.POST.get("is_shared"))
        try:
            change_filter(person=request.user, saved=saved, name=name, is_shared=is_shared)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        return self._back(_joined(saved.query, saved.search))

    def delete_filter_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        saved = self._asked(request, pk, posted=True)
        if not may_change(request.user, saved):
            raise PermissionDenied
        saved.delete()
        messages.success(request, _("The filter was deleted."))
        return self._back("")
