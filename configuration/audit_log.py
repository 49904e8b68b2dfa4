"""The audit log as people read it.

Entries hold ids. What these are called is looked up when somebody reads, among the rows this reader may see: a person
who was erased, or a row of a page the reader may not open, stays a number.
"""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from auditlog.registry import auditlog
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from callcenter_site.audit import Look
from callcenter_site.phone_numbers import mask_text
from configuration.access import RIGHTS, SEE_FULL_NUMBER, Right
from configuration.models import ApiKey, AuditEntry, Role

Action = AuditEntry.Action
DEEDS = {
    Action.CREATE: gettext_lazy("created"),
    Action.UPDATE: gettext_lazy("changed"),
    Action.DELETE: gettext_lazy("deleted"),
}
MOST_CHARACTERS = 200
MOST_ROWS = 100
"""Rows of a list that an entry's own page names one by one."""
_NOTHING = ("None", "", "[]", "{}")


@dataclass(frozen=True, slots=True)
class Change:
    """One field, as the reader knows it. Empty: there was nothing, or there is nothing."""

    name: str
    before: str
    after: str
    is_unsaid: bool = False
    """That it changed is kept, and its values are not."""


@dataclass(frozen=True, slots=True)
class Named:
    text: str
    link: str = ""


@dataclass(slots=True)
class Line:
    """An entry in words."""

    who: Named
    deed: str
    row: Named
    changes: list[Change]
    rows: list[Named] = field(default_factory=list)
    """The rows of a list that was looked at."""


def kinds() -> dict[int, type[models.Model]]:
    """Models of which the log may tell, by the id of their content type."""
    ours = {model for model in admin.site._registry if _has_account(model) and model is not AuditEntry}
    logged = {model for model in auditlog.get_models() if _has_account(model) or model.__name__ == "Account"}
    return {found.pk: model for model, found in ContentType.objects.get_for_models(*(ours | logged)).items()}


def read(entries: Iterable[AuditEntry], request: HttpRequest) -> list[Line]:
    """The entries in words, in a number of queries that depends on the kinds of rows and not on the entries."""
    return _Reader(list(entries), request).lines()


def _has_account(model: type[models.Model]) -> bool:
    return any(column.name == "account" for column in model._meta.concrete_fields)


class _Reader:
    def __init__(self, entries: list[AuditEntry], request: HttpRequest) -> None:
        self.entries = entries
        self.request = request
        self.user: Any = request.user
        self.models = {one: self._model(one) for one in {entry.content_type_id for entry in entries}}
        self.wanted: dict[type[models.Model], set[int]] = defaultdict(set)
        for entry in entries:
            model = self.models[entry.content_type_id]
            if model is not None:
                ids = [entry.object_id] if entry.object_id else ids_of(entry)[:MOST_ROWS] if len(entries) == 1 else []
                self.wanted[model].update(ids)
                self._want_targets(entry, model)
        self.names: dict[tuple[type[models.Model], int], Named] = {}
        for kind, pks in list(self.wanted.items()):
            self.names |= {(kind, pk): name for pk, name in self._look_up(kind, pks).items()}
        self._people()
        self.keys = self._keys()

    @staticmethod
    def _model(content_type_id: int) -> type[models.Model] | None:
        try:
            return ContentType.objects.get_for_id(content_type_id).model_class()
        except ContentType.DoesNotExist:
            return None

    def lines(self) -> list[Line]:
        return [self._line(entry) for entry in self.entries]

    def _line(self, entry: AuditEntry) -> Line:
        model = self.models[entry.content_type_id]
        deed = Look(entry.look).label if entry.look in Look.values else DEEDS.get(entry.action, gettext_lazy("looked at"))
        rows = [self.names.get((model, pk), Named(f"#{pk}")) for pk in ids_of(entry)[:MOST_ROWS]] if model else []
        changes = [one for name, pair in (entry.changes or {}).items() for one in self._changes(model, name, pair)]
        return Line(self._who(entry), str(deed), self._row(entry, model), changes, rows)

    # --- Who ---

    def _people(self) -> None:
        people: Any = get_user_model()
        ids = {entry.actor_id for entry in self.entries if entry.actor_id}
        self.people = self._look_up(people, ids, named=str)
        strangers = ids - set(self.people)
        operators = people._base_manager.filter(pk__in=strangers, account=None).values_list("pk", flat=True) if strangers else ()
        self.people |= {pk: Named(_("Operator #%(id)d") % {"id": pk}) for pk in operators}

    def _keys(self) -> dict[int, Named]:
        ids = {entry.api_key_id for entry in self.entries if entry.api_key_id}
        return self._look_up(ApiKey, ids) if ids else {}

    def _who(self, entry: AuditEntry) -> Named:
        if entry.api_key_id:
            key = self.keys.get(entry.api_key_id)
            name = key.text if key else f"#{entry.api_key_id}"
            return Named(_("API key %(name)s") % {"name": name}, key.link if key else "")
        if entry.actor_id:
            return self.people.get(entry.actor_id) or Named(_("Person #%(id)d") % {"id": entry.actor_id})
        return Named(_("The portal"))

    # --- On which row ---

    def _row(self, entry: AuditEntry, model: type[models.Model] | None) -> Named:
        if model is None:
            return Named(entry.object_repr)
        ids = ids_of(entry)
        if entry.object_id is None:
            n = (entry.additional_data or {}).get("n", len(ids))
            many = capfirst(str(model._meta.verbose_name_plural))
            return Named(_("%(rows)s: %(n)d") % {"rows": many, "n": n})
        kind = capfirst(str(model._meta.verbose_name))
        found = self.names.get((model, entry.object_id))
        return Named(f"{kind} {found.text}", found.link) if found else Named(f"{kind} #{entry.object_id}")

    def _look_up(self, model: type[models.Model], ids: set[int], named: Any = None) -> dict[int, Named]:
        """Names and links of the rows this reader may see. A kind without a page of its own goes by what it belongs to."""
        page = self._page(model)
        rows: Any = model._default_manager
        if not ids or not hasattr(rows.all(), "visible_to"):
            return {}
        if page is not None:
            found = rows.visible_to(self.user).filter(pk__in=ids)
            return {row.pk: Named(self._shown((named or _named)(row)), _link(model, row.pk)) for row in found}
        if named is not None:
            return {row.pk: Named(named(row)) for row in rows.visible_to(self.user).filter(pk__in=ids)}
        owner = self._owner(model)
        if owner is None:
            return {}
        of_owners = dict(rows.visible_to(self.user).filter(pk__in=ids).values_list("pk", owner.attname))
        owners = self._look_up(owner.remote_field.model, set(of_owners.values()) - {None})
        return {
            pk: Named(f"#{pk} · {owners[owner_id].text}", owners[owner_id].link)
            for pk, owner_id in of_owners.items()
            if owner_id in owners
        }

    def _shown(self, name: str) -> str:
        """A blocked number is called by itself."""
        return name if self.user.has_perm(SEE_FULL_NUMBER) else mask_text(name)

    def _page(self, model: type[models.Model]) -> Any:
        """The page of a kind, if this reader may open it."""
        page = admin.site._registry.get(model)
        return page if page is not None and page.has_view_permission(self.request) else None

    def _owner(self, model: type[models.Model]) -> Any:
        columns: list[Any] = [one for one in model._meta.concrete_fields if one.remote_field and one.name != "account"]
        return next((one for one in columns if self._page(one.remote_field.model) is not None), None)

    # --- What changed ---

    def _want_targets(self, entry: AuditEntry, model: type[models.Model]) -> None:
        for name, pair in (entry.changes or {}).items():
            column = _column(model, name)
            if column is not None and column.remote_field and isinstance(pair, list | tuple):
                self.wanted[column.remote_field.model].update(int(one) for one in pair if str(one).isdecimal())

    def _changes(self, model: type[models.Model] | None, name: str, pair: Any) -> Iterable[Change]:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or name in ("id", "account"):
            return
        column = _column(model, name) if model else None
        if model is not None and column is None:  # the other end of a relation, or a field that is gone
            return
        label = capfirst(str(column.verbose_name if column is not None else name))
        if set(pair) == {"…"}:
            yield Change(label, "", "", is_unsaid=True)
        elif model is Role and name == "permissions":
            yield from _rights(*(str(one) for one in pair))
        else:
            before, after = (self._value(column, str(one)) for one in pair)
            if before != after:
                yield Change(label, before, after)

    def _value(self, column: Any, text: str) -> str:
        if text in _NOTHING:
            return ""
        if column is None:
            return _short(text)
        if column.remote_field:
            named = self.names.get((column.remote_field.model, int(text))) if text.isdecimal() else None
            return named.text if named else f"#{text}"
        if column.choices:
            return str(dict(column.flatchoices).get(int(text) if text.isdecimal() else text, text))
        if isinstance(column, models.BooleanField):
            return pgettext("a box is ticked", "yes") if text == "True" else pgettext("a box is ticked", "no")
        if isinstance(column, models.DateTimeField):
            return _moment(text)
        if isinstance(column, models.JSONField):
            return _listed(text)
        return _short(text)


def ids_of(entry: AuditEntry) -> list[int]:
    """Rows of a list that was looked at."""
    said = entry.additional_data if isinstance(entry.additional_data, dict) else {}
    return [one for one in said.get("ids", ()) if isinstance(one, int)]


def _named(row: models.Model) -> str:
    return str(row) or f"#{row.pk}"


def _link(model: type[models.Model], pk: int) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


def _column(model: type[models.Model], name: str) -> Any:
    try:
        found = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return found if found.concrete else None


def _moment(text: str) -> str:
    """The library writes times in UTC and without saying so."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return _short(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return date_format(timezone.localtime(moment), "Y-m-d H:i:s")


def _rights(before: str, after: str) -> Iterable[Change]:
    """A role's permissions as its page calls them: what was given, and what was taken away."""
    had, has = ({one.key: str(one.label) for one in _rights_in(text)} for text in (before, after))
    comma = pgettext("between the items of a list", ", ")
    for label, left in ((_("May now"), has.keys() - had.keys()), (_("May no longer"), had.keys() - has.keys())):
        if left:
            yield Change(label, "", comma.join(sorted((has | had)[key] for key in left)))


def _rights_in(text: str) -> list[Right]:
    try:
        held = json.loads(text)
    except ValueError:  # "None": the role was made, or is gone
        held = []
    return [right for _title, rights in RIGHTS for right in rights if isinstance(held, list) and right.permissions <= set(held)]


def _listed(text: str) -> str:
    try:
        held = json.loads(text)
    except ValueError:
        return _short(text)
    if isinstance(held, list) and all(isinstance(one, str | int) for one in held):
        return _short(pgettext("between the items of a list", ", ").join(str(one) for one in held))
    return _short(text)


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"
