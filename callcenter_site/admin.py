"""What every admin page stands on. Accounts never meet here, whatever is clicked or typed into the address.

Scoping `get_queryset` alone is not enough: choices of forms and filters, autocompletes, inlines and writes are
narrowed to the account as well, and a saved row is read back through the scoped queryset or rolled back. A row of
another account and a row that does not exist get the same answer, to the letter.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters, get_content_type_for_model
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.admin.widgets import AutocompleteMixin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RelatedDropdownFilter
from unfold.forms import PaginationInlineFormSet
from unfold.views import ChangeList

from callcenter_site import legal_holds
from callcenter_site.audit import Look, log_look
from callcenter_site.columns import changed_since, columns_of
from callcenter_site.ownership import IN_USE, is_of_one_account, taken_on
from callcenter_site.paging import BoundedPaginator, CountingPaginator, page_asked_for

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Any]
else:
    _ModelForm = forms.ModelForm

_FIELD_FILTER_ENDINGS = ("", "__exact", "__id__exact", "__isnull", "__in", "__gte", "__lt", "__lte", "_from", "_to")


def scoped_choices(db_field: Any, request: HttpRequest) -> Any:
    return db_field.remote_field.model._default_manager.visible_to(request.user)


class NotKept(Exception):
    """What was saved would not be the asker's to see, or points into another account. Nothing of it stays."""


class AccountForm(_ModelForm):
    """A form on a row of an account. What must be unique in the account is checked here, on the field it is typed in:
    the account itself is no field of the form, so Django would leave such constraints to the database."""

    asker: Any = None
    refused: Any = ""
    """Why what this form holds was taken back after it was saved."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read = columns_of(self.instance)
        if self.instance._state.adding and hasattr(self.instance, "account_id"):
            self.instance.account_id = self.asker.account_id

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.refused:
            self.add_error(None, self.refused)
        for name in taken_on(self.instance, among=self.cleaned_data):
            self.add_error(name, IN_USE)

    def columns_changed(self) -> list[str]:
        """Whether typed or worked out."""
        return changed_since(self._read, self.instance)


class _Scoped:
    """Rows and choices of the asker's account only; shared by pages and inlines."""

    model: type[models.Model]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).visible_to(request.user)  # type: ignore[misc]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", scoped_choices(db_field, request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", scoped_choices(db_field, request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


class _Logged:
    """The admin's own history names rows by id: what a row is called may be a person's name, and is erased with them."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return _log(request, obj, ADDITION, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return _log(request, obj, CHANGE, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        return LogEntry.objects.bulk_create([_entry(request, obj, DELETION, "") for obj in queryset])

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Names only people whom the reader may see."""
        response = super().history_view(request, object_id, extra_context)  # type: ignore[misc]
        page: Any = (getattr(response, "context_data", None) or {}).get("action_list")
        if page is not None:
            page.object_list = list(page.object_list)
            _name_only_visible(page.object_list, reader=request.user)
        return response

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Says nothing of what was asked for: whether it is another account's or nobody's makes no difference."""
        messages.warning(request, _("There is no such record."))
        if self.has_view_or_change_permission(request):  # type: ignore[attr-defined]
            return redirect(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        return redirect("admin:index")


_UNREADABLE = (DisallowedModelAdminLookup, IncorrectLookupParameters, OverflowError)
"""The last: an id that SQLite cannot hold."""


class _ReadsAddress:
    """A parameter of a list's address that nothing reads, or whose value cannot be read, is left out, and the reader told.

    Such addresses come from old bookmarks and edited links: no fault of the portal's, so they make no noise in its log.
    """

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        try:
            return super().get_changelist_instance(request)  # type: ignore[misc]
        except _UNREADABLE as error:
            request.unread = self._unread(request)  # type: ignore[attr-defined]
            raise IncorrectLookupParameters from error

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        response = super().changelist_view(request, extra_context)  # type: ignore[misc]
        unread = getattr(request, "unread", None)
        if not unread:
            return response
        said = _("This filter could not be read, so the list is shown without it: %(names)s.")
        messages.warning(request, said % {"names": ", ".join(name[:40] for name in unread)})
        kept = request.GET.copy()
        for name in (*unread, ERROR_FLAG):
            kept.pop(name, None)
        return redirect(f"{request.path}?{kept.urlencode()}" if kept else request.path)

    def _unread(self, request: HttpRequest) -> list[str]:
        """Each parameter is asked for alone; where each of them is fine, all of them are to blame together."""
        asked = request.GET
        names = [name for name in asked if name != ERROR_FLAG]
        found = []
        try:
            for name in names[:20]:
                alone: Any = QueryDict(mutable=True)
                alone.setlist(name, asked.getlist(name))
                request.GET = alone
                try:
                    super().get_changelist_instance(request)  # type: ignore[misc]
                except _UNREADABLE:
                    found.append(name)
        finally:
            request.GET = asked
        return found or names


class PortalList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        """The theme offers to show all wherever the whole table was not counted; here only where something is left out."""
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class PortalAdmin(_Logged, _Scoped, _ReadsAddress, ModelAdmin):
    """A page for rows that people edit."""

    form = AccountForm
    view_on_site = False
    show_full_result_count = False
    list_filter_submit = True
    list_per_page = 50
    paginator: "type[Paginator[Any]]" = CountingPaginator
    not_kept: Any = _("What you saved would not be yours to see, so it was not kept.")

    def list_shows(self, request: HttpRequest) -> Look | None:
        """What the list shows of its rows that each view of it is told in the audit log."""
        return None

    def row_shows(self, request: HttpRequest) -> Look | None:
        """The same of the page of one row."""
        return None

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        try:
            response = super().changelist_view(request, extra_context)
        except legal_holds.UnderHold:  # one that was placed after the question
            messages.error(request, legal_holds.SAID)
            return redirect(request.get_full_path())
        shown: Any = (getattr(response, "context_data", None) or {}).get("cl")
        if shown is not None and (look := self.list_shows(request)):
            log_look(look, self.model, [row.pk for row in shown.result_list], actor=request.user, place="list")
        return response

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        pages: Any = super()
        try:
            if request.method == "POST":
                with transaction.atomic():
                    if object_id is not None and self.has_change_permission(request):
                        self._lock(request, object_id)
                    response = pages.changeform_view(request, object_id, form_url, extra_context)
            else:
                response = pages.changeform_view(request, object_id, form_url, extra_context)
        except NotKept:
            # Rolled back. The form is gone through once more, now with an error, so that it comes back as it was filled in.
            request.refused = self.not_kept  # type: ignore[attr-defined]
            response = pages.changeform_view(request, object_id, form_url, extra_context)
        except legal_holds.UnderHold:
            request.refused = legal_holds.SAID  # type: ignore[attr-defined]
            response = pages.changeform_view(request, object_id, form_url, extra_context)
        shown: Any = (getattr(response, "context_data", None) or {}).get("original")
        if shown is not None and (look := self.row_shows(request)):
            log_look(look, self.model, [shown.pk], actor=request.user, place="row")
        return response

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except legal_holds.UnderHold:
            messages.error(request, legal_holds.SAID)
            return redirect(self.address_of("change", object_id))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        going, counts, needed, held = super().get_deleted_objects(objs, request)
        return going, counts, needed, [*held, *self.kept_by_holds(objs, request)]

    def kept_by_holds(self, rows: Any, request: HttpRequest) -> list[str]:
        """What is said of rows that a legal hold keeps, where they were to be deleted."""
        account_id = getattr(request.user, "account_id", None)
        if account_id is not None and not legal_holds.has_any(account_id):
            return []
        n = len(legal_holds.kept(rows))
        if not n:
            return []
        return [str(legal_holds.SAID) if n == 1 and len(rows) == 1 else str(legal_holds.SAID_OF_SOME) % {"n": n}]

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        legal_holds.refuse(obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        legal_holds.refuse(*queryset)
        super().delete_queryset(request, queryset)

    def extra_path(self, route: str, name: str, view: Any) -> URLPattern:
        pattern: URLPattern = path(
            route, self.admin_site.admin_view(view), name=f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        )
        return pattern

    def address_of(self, name: str, *args: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}", args=args)

    def row_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """The row of a page of its own, for whoever may see it."""
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        return row

    def row_to_change(self, request: HttpRequest, object_id: str) -> Any:
        """The same by a press of a button, for whoever may change it."""
        row = self.row_or_404(request, object_id)
        if request.method != "POST" or not self.has_change_permission(request, row):
            raise PermissionDenied
        return row

    def answer_with(self, request: HttpRequest, template: str, *, title: Any, **context: Any) -> TemplateResponse:
        """A page of its own, kept by nobody on its way: what is on it may be shown this once."""
        shell = {**self.admin_site.each_context(request), "title": title, "opts": self.opts}
        return TemplateResponse(request, template, {**shell, **context}, headers={"Cache-Control": "no-store"})

    def _lock(self, request: HttpRequest, object_id: str) -> None:
        """Two changes of one row come one after the other, here and over the API."""
        try:
            pk = self.opts.pk.to_python(unquote(object_id))
        except (ValidationError, ValueError):
            return
        rows: Any = self.model._default_manager
        rows.visible_to(request.user).filter(pk=pk).order_by().select_for_update().values_list("pk").first()

    def get_inline_formsets(self, *args: Any, **kwargs: Any) -> Any:
        shown: Any = super().get_inline_formsets(*args, **kwargs)
        for one in shown:
            data = partial(_with_lower_case, one.inline_formset_data, str(one.opts.verbose_name))
            vars(one)["inline_formset_data"] = data
        return shown

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PortalList

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"asker": request.user, "refused": getattr(request, "refused", "")})

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
        obj.save(update_fields=form.columns_changed() if change else None)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Read back once all of it stands: a new agent is in a group, and so to be seen, when its memberships are saved."""
        super().save_related(request, form, formsets, change)
        if not self.get_queryset(request).filter(pk=form.instance.pk).exists() or not is_of_one_account(form.instance):
            raise NotKept

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save(commit=False)
        for row in formset.new_objects:
            row.account_id = form.instance.account_id
            row.save()
        for row, names in formset.changed_objects:
            row.save(update_fields=[name for name in names if name in columns_of(row)])
        if not all(map(is_of_one_account, [*formset.new_objects, *(row for row, _names in formset.changed_objects)])):
            raise NotKept
        legal_holds.refuse(*formset.deleted_objects)
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


class GrowingList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # The theme's header would state the bounded count as if it were the whole; the foot of the list says it right.
        self.full_result_count = self.result_count

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Turned round, the page's own order is still that of its index only if every column is turned round."""
        ordering = super().get_ordering(request, queryset)
        turned = [name[1:] if name.startswith("-") else f"-{name}" for name in self.model_admin.get_ordering(request)]
        return turned if turned and ordering[:1] == turned[:1] else ordering  # type: ignore[no-any-return]


class GrowingAdmin(FactAdmin):
    """A page for a table of any size: never counted whole, sorted only along an index."""

    paginator = BoundedPaginator
    empty_value_display = "–"
    list_fullwidth = True
    list_max_show_all = 0
    show_facets = admin.ShowFacets.NEVER  # each of them counts the whole table
    actions: Any = []

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return GrowingList

    def get_paginator(self, request: HttpRequest, queryset: Any, per_page: int, *args: Any, **kwargs: Any) -> BoundedPaginator:
        return BoundedPaginator(queryset, per_page, page_asked_for=page_asked_for(request), allow_empty_first_page=True)


class OperatorAdmin(_Logged, _ReadsAddress, ModelAdmin):
    """A page of the installation itself. Only operators open it, whatever a role holds."""

    view_on_site = False
    list_filter_submit = True
    paginator = CountingPaginator

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_operator(request) and super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_operator(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request) and super().has_delete_permission(request, obj)


class InlineRows(PaginationInlineFormSet):
    """The ids of rows said to be edited must be of the rows shown. Django looks them up among all rows there are, and so
    tells an id of another account from one of nobody's."""

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        ids = form.fields[self._pk_field.name]
        if hasattr(ids, "queryset"):
            ids.queryset = self.queryset
        for name, field in form.fields.items():
            widget: Any = getattr(field.widget, "widget", field.widget)
            held = form.instance._state.fields_cache.get(name)
            if isinstance(widget, AutocompleteMixin) and held is not None:
                vars(widget)["optgroups"] = partial(_with_the_one_held, widget.optgroups, widget, held, field)


def _with_lower_case(told: Callable[[], str], name: str) -> str:
    """The button says "Add another phone"; Django puts a capital in the middle of it."""
    data = json.loads(told())
    data["options"]["addText"] = gettext("Add another %(verbose_name)s") % {"verbose_name": name}
    return json.dumps(data)


def _with_the_one_held(looked_up: Any, widget: Any, held: Any, field: Any, name: str, value: Any, attrs: Any = None) -> Any:
    """The choice that a row holds, which was read with the row; the widget would ask the database for each row's."""
    if [str(one) for one in value] != [str(held.pk)]:
        return looked_up(name, value, attrs)
    options = [] if widget.is_required else [widget.create_option(name, "", "", False, 0)]
    options.append(widget.create_option(name, held.pk, field.label_from_instance(held), {str(held.pk)}, len(options)))
    return [(None, options, 0)]


class PortalInline(_Scoped, TabularInline):
    formset = InlineRows
    extra = 0
    view_on_site = False


class ScopedRelatedFilter(AutocompleteSelectFilter):
    """Filter by a related row: found through the related page's search, which knows only the account's rows.

    The chosen row's name is looked up in the account as well, so an id typed into the address names nobody.
    """

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """What no database holds as an id would be looked up once more where the filter is shown."""
        for given in self.used_parameters.values():
            if any(len(str(value)) > 18 for value in (given if isinstance(given, list) else [given])):
                raise IncorrectLookupParameters(self.field_path)
        return super().queryset(request, queryset)

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            chosen = choice["form"].fields[self.lookup_kwarg]
            chosen.queryset = chosen.queryset.visible_to(self.request.user)
            yield choice


class ScopedDropdownFilter(RelatedDropdownFilter):
    """Filter by one of few related rows, all of them listed."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[int, str]]:
        return [(row.pk, str(row)) for row in field.remote_field.model._default_manager.visible_to(request.user)]


def _name_only_visible(entries: "list[LogEntry]", *, reader: Any) -> None:
    person: Any = get_user_model()
    ids = {entry.user_id for entry in entries}
    seen = {reader.pk}
    if reader.has_perm("agents.view_agent"):
        seen |= set(person.objects.visible_to(reader).filter(pk__in=ids).order_by().values_list("pk", flat=True))
    elif reader.account_id is None:  # operators see one another
        seen |= {entry.user_id for entry in entries if entry.user.account_id is None}
    for entry in entries:
        if entry.user_id not in seen:
            entry.user = person(pk=entry.user_id, email=str(_("somebody else")))


def _log(request: HttpRequest, obj: Any, action: int, message: Any) -> LogEntry:
    entry = _entry(request, obj, action, message)
    entry.save()
    return entry


def _entry(request: HttpRequest, obj: Any, action: int, message: Any) -> LogEntry:
    return LogEntry(
        user_id=int(str(request.user.pk)),
        content_type_id=get_content_type_for_model(obj).pk,
        object_id=str(obj.pk),
        object_repr=f"#{obj.pk}",
        action_flag=action,
        change_message=message if isinstance(message, str) else _as_json(message),
    )


def _as_json(message: Any) -> str:
    """The fields that changed; what their rows are called is left out."""
    for entry in message:
        for what in entry.values():
            if "object" in what:
                what["object"] = ""
    return json.dumps(message)


def _is_operator(request: HttpRequest) -> bool:
    return bool(request.user.is_active and getattr(request.user, "is_superuser", False))


def _account_of(request: HttpRequest) -> int:
    account_id: int | None = getattr(request.user, "account_id", None)
    if account_id is None:
        raise PermissionDenied
    return account_id
