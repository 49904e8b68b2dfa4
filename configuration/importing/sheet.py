"""A list as a file: its columns, whose rows they are, and how they are checked, written and exported.

What must never happen: rows of one account reach another, or a row goes in that the row's own page would refuse. So every
row passes the model's `clean`, and is looked up by its natural key among what its importer may see.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models, transaction
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from callcenter_site.bulk import parts
from callcenter_site.columns import changed_since, columns_of
from callcenter_site.names import alike
from configuration.access import SEE_FULL_NUMBER, holds
from configuration.importing.columns import Column, Text

NEW, CHANGED, SAME, BAD = "new", "changed", "same", "bad"


class Said(str):
    """What is wrong, in the language at hand, and in every other: whoever reads the report may speak another one than
    whoever uploaded the file."""

    in_languages: dict[str, str]

    @classmethod
    def of(cls, message: Any) -> "list[Said]":
        here = _texts(message)
        every: dict[str, list[str]] = {}
        for code, _name in settings.LANGUAGES:
            with translation.override(code):
                every[code] = _texts(message)
        found = []
        for place, text in enumerate(here):
            said = cls(text)
            said.in_languages = {code: texts[place] for code, texts in every.items()}
            found.append(said)
        return found

    @property
    def kept(self) -> str | dict[str, str]:
        """As it stands in the report: once, where it is the same in every language."""
        texts = set(self.in_languages.values())
        return texts.pop() if len(texts) == 1 else self.in_languages


def _texts(message: Any) -> list[str]:
    return list(message.messages) if isinstance(message, ValidationError) else [str(message)]


def in_readers_language(kept: str | dict[str, str]) -> str:
    if isinstance(kept, str):
        return kept
    return kept.get(translation.get_language() or "") or next(iter(kept.values()))


@dataclass(slots=True)
class SheetRow:
    """A row of a file on its way into the list."""

    number: int
    cells: dict[str, str]
    errors: "list[tuple[str, Said]]" = field(default_factory=list)
    """Column and what is wrong."""
    instance: Any = None
    was: dict[str, str] | None = None
    """What the changed columns say now; None: the row is new."""
    read: dict[str, Any] = field(default_factory=dict)
    """The row's columns before the file's cells were put on it."""
    more: dict[str, Any] = field(default_factory=dict)
    """What a sheet found out about the row while checking it, for writing it."""

    def fail(self, column: str, message: Any) -> None:
        for said in Said.of(message):
            if (column, said) not in self.errors:
                self.errors.append((column, said))

    @property
    def kind(self) -> str:
        if self.errors:
            return BAD
        if self.was is None:
            return NEW
        return CHANGED if self.was else SAME


class Sheet:
    """A list as a file: its columns, whose rows they are, and how they are checked and written.

    The rules are the model's own: a cell's text is put on a row, and `clean_fields` and `clean` say what is wrong.
    """

    name: ClassVar[str]
    model: ClassVar[type[models.Model]]
    title: ClassVar[Text]
    columns: ClassVar[Sequence[Column]]
    key: ClassVar[Sequence[str]]
    """Attributes of a row that together say which one it is in its account."""
    key_column: ClassVar[str]
    """Where it is said that a row is there twice."""
    key_paths: ClassVar[Sequence[str]] = ()
    """Where the database has the key, if elsewhere."""
    key_is_name: ClassVar[bool] = True
    """Whether keys are compared as people read them; numbers are of one form already, and there may be very many."""
    note: ClassVar[Text] = ""
    """What else somebody should know before they upload."""
    per_batch: ClassVar[int] = 500
    options: ClassVar[Mapping[str, Text]] = {}
    """Boxes to tick beside the file."""

    def __init__(self, *, actor: Any, chosen: Mapping[str, Any] | None = None) -> None:
        self.actor, self.account = actor, actor.account
        self.zone = self.account.zone
        self.chosen = chosen or {}
        self.held_keys: dict[tuple[str, ...], tuple[Any, ...]] | None = None
        """Read once: two rows of one file are compared with each other, and what others add meanwhile the database refuses."""
        self.by_name = {column.name: column for column in self.columns}

    # Who may what

    @classmethod
    def needs_to_import(cls) -> set[str]:
        meta = cls.model._meta
        return {f"{meta.app_label}.{action}_{meta.model_name}" for action in ("add", "change")}

    @classmethod
    def may_import(cls, actor: Any) -> bool:
        return getattr(actor, "account_id", None) is not None and holds(actor, cls.needs_to_import())

    @classmethod
    def may_export(cls, actor: Any) -> bool:
        meta = cls.model._meta
        return getattr(actor, "account_id", None) is not None and actor.has_perm(f"{meta.app_label}.view_{meta.model_name}")

    @classmethod
    def columns_for(cls, actor: Any) -> list[Column]:
        """The columns somebody may write."""
        return [column for column in cls.columns if holds(actor, column.needs)]

    @classmethod
    def columns_shown_to(cls, actor: Any) -> list[Column]:
        return [column for column in cls.columns if holds(actor, column.seen_with)]

    # Reading

    def rows(self) -> Any:
        """The rows that whoever imports may see, with what comparing them needs."""
        return self.model._default_manager.visible_to(self.actor)  # type: ignore[attr-defined]

    def new(self) -> Any:
        return self.model(account=self.account)

    def key_of(self, instance: Any) -> tuple[Any, ...]:
        return tuple(getattr(instance, name) for name in self.key)

    def find(self, keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], Any]:
        """Rows that are there already, by their natural key, letter by letter."""
        return self.by_key(self.held(self.rows().filter(**{f"{self.key[0]}__in": {key[0] for key in keys}})), keys)

    def held(self, rows: Any) -> Any:
        """Rows about to be written are locked before they are read, so that nobody's change in between is written over."""
        if transaction.get_connection().in_atomic_block:
            list(rows.select_related(None).prefetch_related(None).order_by("pk").select_for_update().values_list("pk"))
        return rows

    def by_key(self, rows: Any, keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], Any]:
        """MariaDB finds "Sales" for "sales", and its unique key lets only one of them in."""
        wanted = set(keys)
        found = {self.key_of(row): row for row in rows}
        return {key: row for key, row in found.items() if key in wanted}

    def held_as(self, key: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The key, letter by letter, of a row that nobody tells from this one, seen by its importer or not."""
        if self.held_keys is None:
            rows = self.model._base_manager.filter(account=self.account).order_by()
            self.held_keys = {_loosely(held): held for held in rows.values_list(*(self.key_paths or self.key))}
        return self.held_keys.get(_loosely(key))

    def read(self, row: SheetRow) -> dict[str, Any]:
        values = {}
        for name, text in row.cells.items():
            try:
                values[name] = self.by_name[name].read(text, self)
            except ValidationError as error:
                row.fail(name, error)
        return values

    def put(self, instance: Any, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self.by_name[name].put(instance, value)

    def shown(self, instance: Any, names: Iterable[str]) -> dict[str, str]:
        return {name: self.by_name[name].show(instance, self) for name in names}

    def prepare(self, batch: Sequence[SheetRow]) -> None:
        """Looks up, once for the whole batch, what its rows name."""

    def check(self, batch: Sequence[SheetRow], seen: dict[Any, int]) -> None:
        """Finds out about each row whether it is new, changed, the same or bad. `seen` holds the keys of earlier rows."""
        self.prepare(batch)
        values = [self.read(row) for row in batch]
        keys = []
        for row, told in zip(batch, values, strict=True):
            key = self._key_from(told)
            keys.append(key)
            first = seen.setdefault(_loosely(key) if self.key_is_name else key, row.number)
            if first != row.number and key[0]:
                row.fail(self.key_column, same_as(first))
        there = self.find(keys)
        for row, told, key in zip(batch, values, keys, strict=True):
            if self.key_is_name and key not in there and key[0] and (held := self.held_as(key)) is not None:
                differently = _("This is in use already, written a little differently.")
                row.fail(self.key_column, _("This is in use already.") if held == key else differently)
            self.compare(row, told, there.get(key))

    def _key_from(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The key of a row as `clean` writes it, whatever else is wrong with the row."""
        draft = self.new()
        self.put(draft, values)
        with contextlib.suppress(ValidationError):
            draft.clean()
        return self.key_of(draft)

    def compare(self, row: SheetRow, values: Mapping[str, Any], there: Any | None) -> None:
        before = self.shown(there, values) if there is not None else None
        row.instance = self.new() if there is None else there
        row.read = columns_of(row.instance)
        self.put(row.instance, values)
        if there is None:
            for column in self.columns:
                if column.needed_by_new and column.name not in row.cells:
                    row.fail(column.name, _("The file has no such column, and a new row needs it."))
        self.validate(row)
        if row.errors:
            return
        if before is not None:
            after = self.shown(row.instance, values)
            row.was = {name: said for name, said in before.items() if said != after[name]}

    def validate(self, row: SheetRow) -> None:
        """The row's own rules; each error under the column its field is filled from."""
        known = {column.field: column.name for column in self.columns}
        checked = {each.name for each in self.model._meta.concrete_fields if each.name in known and not each.is_relation}
        for rule in (lambda: row.instance.clean_fields(exclude=self._others(checked)), row.instance.clean):
            try:
                rule()
            except ValidationError as error:
                for name, errors in _by_field(error).items():
                    column = known.get(name, self.key_column)
                    if column not in {said for said, _message in row.errors}:
                        row.fail(column, ValidationError(errors))

    def _others(self, checked: set[str]) -> set[str]:
        return {each.name for each in self.model._meta.concrete_fields} - checked

    # Writing

    def write(self, batch: Sequence[SheetRow]) -> None:
        """Writes rows that were checked in this transaction, and says so in the audit log as saving them would."""
        for row in batch:
            if row.kind in (NEW, CHANGED):
                self.save(row)

    def save(self, row: SheetRow) -> None:
        row.instance.save(update_fields=None if row.kind == NEW else changed_since(row.read, row.instance))

    # Export

    def ids(self, rows: Any) -> list[int]:
        """Ids of rows in their order, each once: a search along a relation may find one twice."""
        return list(dict.fromkeys(rows.values_list("pk", flat=True)))

    def export(self, ids: Sequence[int]) -> Iterator[list[str]]:
        """Headings, then the rows in the order of their ids; never many of them in memory."""
        columns = self.columns_shown_to(self.actor)
        yield [column.title for column in columns]
        in_full = self.actor.has_perm(SEE_FULL_NUMBER)
        for part in parts(ids, 1000):
            page = {row.pk: row for row in self.rows().filter(pk__in=part).order_by()}
            for pk in part:
                if pk in page:
                    cells = (column.show(page[pk], self) for column in columns)
                    yield [cell if in_full else column.masked(cell) for column, cell in zip(columns, cells, strict=True)]

    def template(self) -> Iterator[list[str]]:
        columns = self.columns_for(self.actor)
        yield [column.title for column in columns]
        yield [str(column.example) for column in columns]


def _loosely(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(alike(str(part)) for part in key)


def _by_field(error: ValidationError) -> dict[str, list[ValidationError]]:
    return error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}


def same_as(row: int) -> ValidationError:
    return ValidationError(_("The same as in row %(row)d."), params={"row": row})


SHEETS: dict[str, type[Sheet]] = {}
S = TypeVar("S", bound=type[Sheet])


def register(sheet: S) -> S:
    SHEETS[sheet.name] = sheet
    return sheet
