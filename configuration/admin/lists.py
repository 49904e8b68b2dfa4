"""What the pages of an account's lists have in common: in use or not, sorted by hand, empty, pointed to."""

import json
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from callcenter_site.admin import PortalAdmin
from callcenter_site.bulk import parts
from configuration.sorting import next_order, put_in_order

MOST_IDS = 2_000
NAMED_BEFORE_DELETION = 50
DELETED_AT_ONCE = 1_000
DELETE_SELECTED: Any = delete_selected.short_description  # type: ignore[attr-defined]


class ListAdmin(PortalAdmin):
    """A list an account keeps. `empty_*` is what stands there before it has a row."""

    change_list_template = "admin/configuration/list.html"
    empty_icon: ClassVar[str] = "list"
    empty_title: ClassVar[Any] = _("Nothing here yet")
    empty_text: ClassVar[Any] = ""
    starter_set: ClassVar[tuple[Any, ...]] = ()
    """Names of rows offered in one click while there are none."""

    class Media:
        js = ("configuration/lists.js",)

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        if not _has_field(self.model, "is_active"):
            for name in ("use", "stop_using"):
                actions.pop(name, None)
        return actions

    actions = ["use", "stop_using", "delete_selected"]
    delete_selected_confirmation_template = "admin/configuration/delete_selected.html"

    @admin.action(description=_("Use"), permissions=["change"])
    def use(self, request: HttpRequest, queryset: Any) -> None:
        n = self._set_use(request, queryset, True)
        messages.success(request, ngettext("%d is in use now.", "%d are in use now.", n) % n)

    @admin.action(description=_("Stop using"), permissions=["change"])
    def stop_using(self, request: HttpRequest, queryset: Any) -> None:
        n = self._set_use(request, queryset, False)
        messages.success(request, ngettext("%d is no longer in use.", "%d are no longer in use.", n) % n)

    def _set_use(self, request: HttpRequest, queryset: Any, is_active: bool) -> int:
        with transaction.atomic():
            rows = list(queryset.filter(is_active=not is_active))
            for row in rows:
                row.is_active = is_active
                row.save(update_fields=["is_active"])
                self.log_change(request, row, [{"changed": {"fields": ["is_active"]}}])
        return len(rows)

    @admin.action(description=DELETE_SELECTED, permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """Django's own, for any number of rows: the question names some and counts all, and they go in batches."""
        named, counts, needed, held = self.get_deleted_objects(queryset, request)
        n, is_all = sum(counts.values()), request.POST.get("select_across") == "1"
        # All that fit: where rows came or went since the question, it is asked again.
        if request.POST.get("post") and not held and (not is_all or request.POST.get("n") == str(n)):
            if needed:
                raise PermissionDenied
            n = self._delete_in_batches(request, queryset)
            messages.success(request, ngettext("%d was deleted.", "%d were deleted.", n) % n)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Cannot delete these") if needed or held else ngettext("Delete %d?", "Delete %d?", n) % n,
            "subtitle": None,
            "objects_name": str(self.opts.verbose_name_plural),
            "deletable_objects": [named],
            "model_count": counts.items(),
            "ids": [] if is_all else list(queryset.values_list("pk", flat=True)),
            "n": n,
            "n_said": number_format(n, force_grouping=True),
            "is_all": is_all,
            "perms_lacking": needed,
            "protected": held[:NAMED_BEFORE_DELETION],
            "opts": self.opts,
            "media": self.media,
        }
        return TemplateResponse(request, self.delete_selected_confirmation_template, context)

    def _delete_in_batches(self, request: HttpRequest, queryset: Any) -> int:
        ids, n = list(queryset.order_by().values_list("pk", flat=True)), 0
        for some in parts(ids, DELETED_AT_ONCE):
            with transaction.atomic():
                rows = self.get_queryset(request).filter(pk__in=some)
                n += len(self.log_deletions(request, rows))
                self.delete_queryset(request, rows)
        return n

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Says how many rows point to what is to be deleted, and never which: they may be people's, or out of sight."""
        is_list = isinstance(objs, list)
        n = len(objs) if is_list else objs.count()
        relations = _pointing_at(self.model)
        # Each row is looked at where others may point to it; of the rest it is enough to know how many there are.
        looked_at = objs if is_list or relations else objs[:NAMED_BEFORE_DELETION]
        notes: dict[Any, list[str]] = {}
        held = []
        for relation in relations:
            name, what = relation.field.name, relation.related_model._meta.verbose_name_plural
            pointing = relation.related_model._base_manager.filter(**{f"{name}__in": [obj.pk for obj in looked_at]})
            counts = dict(pointing.order_by().values_list(name).annotate(n=models.Count("pk")))
            for obj in looked_at:
                if (n_pointing := counts.get(obj.pk, 0)) == 0:
                    continue
                if relation.on_delete is models.PROTECT:
                    text = _("%(row)s is still used: %(what)s, %(count)d. Give them another first.")
                    held.append(text % {"row": obj, "what": what, "count": n_pointing})
                else:
                    text = _("%(what)s that will have none: %(count)d")
                    notes.setdefault(obj.pk, []).append(text % {"what": what, "count": n_pointing})
        held += self.kept_by_holds(objs, request)
        needed = set() if all(self.has_delete_permission(request, obj) for obj in looked_at) else {self.opts.verbose_name}
        going = []
        for obj in looked_at[:NAMED_BEFORE_DELETION]:
            said = self.said_before_it_goes(request, obj)
            going.append(f"{said} ({'; '.join(notes[obj.pk])})" if obj.pk in notes else said)
        if n > len(going):
            going.append(_("and %d more") % (n - len(going)))
        return going, {self.opts.verbose_name_plural: n}, needed, held

    def said_before_it_goes(self, request: HttpRequest, obj: Any) -> str:
        return str(obj)

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        if self.starter_set:
            urls.insert(0, self.extra_path("starter-set/", "starter_set", self.add_starter_set))
        return urls

    @property
    def starter_set_address(self) -> str:
        return self.address_of("starter_set") if self.starter_set else ""

    def add_starter_set(self, request: HttpRequest) -> HttpResponse:
        """The usual rows, in the language of the account; only where there is none, so that twice is once."""
        if request.method != "POST" or not self.has_add_permission(request):
            raise PermissionDenied
        account_id = getattr(request.user, "account_id", None)
        if account_id is None:
            raise PermissionDenied
        with transaction.atomic():
            rows = [] if self.get_queryset(request).exists() else list(map(gettext, self.starter_set))
            for order, name in enumerate(rows):
                row = self.model(account_id=account_id, name=name, order=order)  # type: ignore[attr-defined]
                row.full_clean()
                row.save()
                self.log_addition(request, row, [{"added": {}}])
        if rows:
            n = len(rows)
            messages.success(request, ngettext("%d was added.", "%d were added.", n) % n)
        return HttpResponseRedirect(self.address_of("changelist"))


class SortedListAdmin(ListAdmin):
    """A list whose order people choose: they drag a row by its handle, or move it with the arrow keys."""

    sortable_by: Any = ()
    list_per_page = 200

    def get_list_display(self, request: HttpRequest) -> list[str]:
        columns = list(super().get_list_display(request))
        return ["show_handle", *columns] if self.has_change_permission(request) else columns

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> list[str]:
        return [next(name for name in list_display if name != "show_handle")]

    @display(description="")
    def show_handle(self, obj: Any) -> SafeString:
        return format_html(
            '<button type="button" class="sort-handle" data-sort-handle data-sort-id="{}" data-sort-group="{}" '
            'aria-label="{}"><span class="material-symbols-outlined" aria-hidden="true">drag_indicator</span></button>',
            obj.pk,
            self.sort_group(obj),
            _("Move %(name)s: drag, or press the arrow keys") % {"name": obj},
        )

    def sort_group(self, obj: Any) -> Any:
        """Rows are moved only among those of the same group."""
        return ""

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        return [self.extra_path("sort/", "sort", self.sort), *urls]

    @property
    def sort_address(self) -> str:
        return self.address_of("sort")

    def sort(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST" or not self.has_change_permission(request):
            raise PermissionDenied
        try:
            ids = [int(one) for one in json.loads(request.POST.get("ids", ""))]
        except (ValueError, TypeError):
            return HttpResponseBadRequest()
        if len(ids) > MOST_IDS:
            return HttpResponseBadRequest()
        n = put_in_order(rows=self.get_queryset(request).order_by(*(self.model._meta.ordering or ())), ids=ids)
        return JsonResponse({"moved": n})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change and not obj.order:
            obj.order = next_order(self.get_queryset(request))
        super().save_model(request, obj, form, change)


class Suggesting(UnfoldAdminTextInputWidget):  # type: ignore[misc]
    """A text field that suggests what was typed in it before, and takes anything."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.suggestions: list[str] = []

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        list_id = f"{name}-suggestions"
        field = super().render(name, value, {**(attrs or {}), "list": list_id, "autocomplete": "off"}, renderer)
        options = format_html_join("", '<option value="{}">', ((one,) for one in self.suggestions))
        return format_html('{}<datalist id="{}">{}</datalist>', field, list_id, options)


def fragment(request: HttpRequest, content: SafeString | str) -> HttpResponse:
    """A piece of a page that a script puts in its place. It may hold a number or what somebody wrote."""
    return HttpResponse(content, headers={"Cache-Control": "no-store"})


def posted(request: HttpRequest) -> Any:
    if request.method != "POST":
        raise Http404
    return request.POST


def _pointing_at(model: Any) -> list[Any]:
    """Relations of other models to this one, those without a name included."""
    return [one for one in model._meta.get_fields(include_hidden=True) if one.auto_created and one.one_to_many]


def _has_field(model: Any, name: str) -> bool:
    return any(field.name == name for field in model._meta.concrete_fields)
