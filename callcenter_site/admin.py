"""What every admin page stands on. Accounts never meet here, whatever is clicked or typed into the address.

Scoping `get_queryset` alone is not enough: choices of forms and filters, autocompletes, inlines and writes are
narrowed to the account as well, and a saved row is read back through the scoped queryset or rolled back.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter


class _Scoped:
    """Rows and choices of the asker's account only; shared by pages and inlines."""

    model: type[models.Model]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).visible_to(request.user)  # type: ignore[misc]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = scoped_choices(db_field, request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = scoped_choices(db_field, request)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


def scoped_choices(db_field: Any, request: HttpRequest) -> Any:
    return db_field.remote_field.model._default_manager.visible_to(request.user)


_FIELD_FILTER_ENDINGS = ("", "__exact", "__id__exact", "__isnull", "__in", "__gte", "__lt", "__lte", "_from", "_to")


class PortalAdmin(_Scoped, ModelAdmin):
    """A page for rows that people edit."""

    view_on_site = False
    show_full_result_count = False
    list_filter_submit = True
    list_per_page = 50

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what a declared filter asks for: any other lookup lets a hidden column be guessed letter by letter."""
        return lookup in self._declared_lookups(request)

    def _declared_lookups(self, request: HttpRequest | None) -> set[str]:
        declared: set[str] = set()
        for item in self.get_list_filter(request):  # type: ignore[arg-type]
            if isinstance(item, type):
                declared.update(getattr(item, "parameter_names", ()), {getattr(item, "parameter_name", "")})
            else:
                name = item if isinstance(item, str) else item[0]
                declared.update(f"{name}{ending}" for ending in _FIELD_FILTER_ENDINGS)
        return declared

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.account_id = _account_of(request)
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            if not self.get_queryset(request).filter(pk=obj.pk).exists():
                raise PermissionDenied  # rolled back: the row would not be the asker's to see

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for row in formset.save(commit=False):
            if row._state.adding:
                row.account_id = form.instance.account_id
            row.save()
        for row in formset.deleted_objects:
            row.delete()
        formset.save_m2m()


class FactAdmin(PortalAdmin):
    """A page for facts: they are read, never typed."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PortalInline(_Scoped, TabularInline):
    extra = 0
    view_on_site = False


class ScopedRelatedFilter(AutocompleteSelectFilter):
    """Filter by a related row: found through the related page's search, which knows only the account's rows.

    The chosen row's name is looked up in the account as well, so an id typed into the address names nobody.
    """

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            chosen = choice["form"].fields[self.lookup_kwarg]
            chosen.queryset = chosen.queryset.visible_to(self.request.user)
            yield choice


def _account_of(request: HttpRequest) -> int:
    account_id: int | None = getattr(request.user, "account_id", None)
    if account_id is None:
        raise PermissionDenied
    return account_id


if admin.site.is_registered(LogEntry):
    admin.site.unregister(LogEntry)
