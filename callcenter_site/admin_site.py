"""The admin itself: which pages it takes in, and how people come in.

Pages of other packages know nothing of accounts, so none of them is taken in; ours must stand on the bases in
`callcenter_site.admin`, or the portal does not start.
"""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver
from django.utils.module_loading import import_string
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.sites import UnfoldAdminSite


class AskedForAutocomplete(AutocompleteJsonView):
    """Offers only what some form or filter asks for. Django offers whatever the address names, and a search made for no
    form may walk a table that grows."""

    def process_request(self, request: HttpRequest) -> Any:
        term, model_admin, source_field, to_field_name = super().process_request(request)
        if source_field not in self._asked_for():
            raise PermissionDenied
        return term, model_admin, source_field, to_field_name

    def _asked_for(self) -> set[Any]:
        fields: set[Any] = set()
        for page in admin.site._registry.values():
            for form in (page, *page.inlines):
                fields.update(form.model._meta.get_field(name) for name in form.autocomplete_fields)
            for item in page.list_filter:
                if isinstance(item, tuple) and issubclass(item[1], AutocompleteSelectFilter):
                    fields.add(get_fields_from_path(page.model, str(item[0]))[-1])
        return fields


class PortalSite(UnfoldAdminSite):
    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        from callcenter_site.admin import OperatorAdmin, PortalAdmin  # that module registers pages with this site

        if admin_class is not None and issubclass(admin_class, (PortalAdmin, OperatorAdmin)):
            if admin_class.list_editable:
                raise ImproperlyConfigured(f"{admin_class.__qualname__}: rows edited in a list are looked up unscoped")
            super().register(model_or_iterable, admin_class, **options)
        elif admin_class is not None and (settings.BASE_DIR / admin_class.__module__.split(".")[0]).is_dir():
            raise ImproperlyConfigured(f"{admin_class.__qualname__} must be a PortalAdmin, FactAdmin or OperatorAdmin")

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Without the redirect to any object of any model, which looks rows up unscoped, and a page nothing leads to."""
        left_out = {"view_on_site", "password_change_done"}
        return [url for url in super().get_urls() if getattr(url, "name", "") not in left_out]

    def autocomplete_view(self, request: HttpRequest) -> HttpResponseBase:
        return AskedForAutocomplete.as_view(admin_site=self)(request)

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().search(request, extra_context)  # type: ignore[no-any-return]
        except InvalidPage as error:
            raise Http404 from error

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """One door for everybody, with a second step behind it."""
        return import_string(settings.SIGN_IN_VIEW).as_view()(request)  # type: ignore[no-any-return]

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """One page for everybody, where wrong guesses count."""
        return redirect(settings.CHANGE_PASSWORD_PAGE)
