"""Views of the dashboards that people keep under a name, and the menu they stand in."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from agents import saved
from analytics import asked as asking
from analytics import now_choice
from analytics.models import SavedView
from callcenter_site import legal_holds

MOST_SAVED = 100
"""Of one person, of all dashboards together."""
_OF_DASHBOARDS = ("period", "from", "to", "compare", *asking.NARROWING)
PARAMETERS: dict[str, tuple[str, ...]] = {
    SavedView.Page.NOW: now_choice.PARAMETERS,
    SavedView.Page.PERIOD: (*_OF_DASHBOARDS, "step", "hours"),
    SavedView.Page.AGENTS: (*_OF_DASHBOARDS, "sort", "column"),
    SavedView.Page.QUALITY: (*_OF_DASHBOARDS, "step"),
}
"""What of a dashboard's address is its view; a page of a long list is not."""
_ROUTES = {
    SavedView.Page.NOW: "analytics:now",
    SavedView.Page.PERIOD: "analytics:dashboard",
    SavedView.Page.AGENTS: "analytics:agents",
    SavedView.Page.QUALITY: "analytics:quality",
}


def query_of(request: HttpRequest, page: str) -> str:
    """The part of an address that is the view, in one order."""
    kept = QueryDict(mutable=True)
    for name in PARAMETERS[page]:
        if values := [value for value in request.GET.getlist(name) if value]:
            kept.setlist(name, values if name in ("column", "group") else values[-1:])
    return kept.urlencode()


def menu_for(request: HttpRequest, page: str) -> dict[str, Any]:
    user: Any = request.user
    query = query_of(request, page)
    return saved.menu(
        SavedView.objects.visible_to(user).filter(page=page)[: 4 * MOST_SAVED],
        person=user,
        is_on=lambda row: row.query == query,
        query=query,
        address=lambda row: {name: reverse(f"analytics:view-{name}", args=[row.pk]) for name in ("open", "change", "delete")},
        title=_("Saved views"),
        empty=_("None yet. Choose a period and filters, then save here how you look at it."),
        save=_("Save this view"),
        new_name=_("Name of the new view"),
        save_to=reverse("analytics:view-save", args=[page]),
        always=True,
    )


def save(request: HttpRequest, page: str) -> HttpResponse:
    person = asking.watcher(request)
    if page not in PARAMETERS or request.method != "POST":
        raise Http404
    query = query_of(request, page)
    try:
        _refuse_unreadable(request, page)
        name, is_shared = saved.named(request)
        row = saved.keep(
            SavedView, person=person, name=name, is_shared=is_shared, most=MOST_SAVED, among={"page": page}, query=query
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("Saved as “%(name)s”.") % {"name": row.name})
    return _to(page, query)


def _refuse_unreadable(request: HttpRequest, page: str) -> None:
    """Raises `ValidationError` with what the dashboard says of such an address."""
    errors = now_choice.read(request).errors if page == SavedView.Page.NOW else asking.read(request).errors
    if errors:
        raise ValidationError(errors)


def open_view(request: HttpRequest, pk: int) -> HttpResponse:
    row = _row(request, pk)
    return _to(row.page, row.query)


def change(request: HttpRequest, pk: int) -> HttpResponse:
    return _changed(request, pk, lambda row: _rename(request, row))


def delete(request: HttpRequest, pk: int) -> HttpResponse:
    return _changed(request, pk, lambda row: _delete(request, row))


def _changed(request: HttpRequest, pk: int, act: Callable[[SavedView], None]) -> HttpResponse:
    row = _row(request, pk)
    if request.method != "POST":
        raise Http404
    if not saved.may_change(request.user, row):
        raise PermissionDenied
    act(row)
    return _to(row.page, row.query)


def _rename(request: HttpRequest, row: SavedView) -> None:
    name, is_shared = saved.named(request)
    try:
        saved.change(person=request.user, saved=row, name=name, is_shared=is_shared)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))


def _delete(request: HttpRequest, row: SavedView) -> None:
    try:
        saved.remove(row)
    except legal_holds.UnderHold:
        messages.error(request, legal_holds.SAID)
    else:
        messages.success(request, _("The view was deleted."))


def _row(request: HttpRequest, pk: int) -> SavedView:
    row: SavedView | None = SavedView.objects.visible_to(asking.watcher(request)).filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def _to(page: str, query: str) -> HttpResponse:
    return HttpResponseRedirect(reverse(_ROUTES[SavedView.Page(page)]) + (f"?{query}" if query else ""))
