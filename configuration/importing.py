"""Lists brought in from a file: read, checked row by row, shown, and written when somebody says so.

What must never happen: rows of one account reach another, a row goes in that the row's own page would refuse, or half of
a file goes in and nobody can tell which half. So every row passes the model's `clean`, is looked up by its natural key
among what its importer may see, and is written in batches, each one transaction together with the note that it was
written. A worker killed anywhere is replaced by the next one, which finds its place by those notes; one that was only
slow finds that its lease has passed on, and stops.
"""

import contextlib
import datetime as dt
import json
import logging
import re
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar, TypeVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from callcenter_site import audit, sheets
from callcenter_site.names import alike
from callcenter_site.phone_numbers import mask
from configuration.access import SEE_FULL_NUMBER, holds
from configuration.models import ImportChunk, ImportRun
from configuration.scoping import Actor

log = logging.getLogger(__name__)

Text = str | Promise
LEASE_SECONDS = 60
MAX_LEASES = 8
"""A step of a run that failed so often will fail again."""
LEASES_PER_STEP = 100
"""Checking, and each decision to write, counts on from the next hundred: no number ever comes twice, so a worker of an
earlier step can hold none that is given out again."""
SECONDS_PER_ROW, MAX_LEASE_AHEAD = 0.02, 3600.0
"""How far ahead a lease reaches over rows that are written in one transaction; a worker killed then is missed that long."""
ROWS_KEPT = dt.timedelta(days=1)
PREVIEW_ROWS = 50
MAX_CHUNK_CHARACTERS = 1_000_000

PROBLEMS: dict[str, Text] = {
    "forbidden": _("Whoever started this import may no longer change these rows. Nothing more was written."),
    "failed": _("The import failed several times. The failure is in the portal's log; nothing more was written."),
    "late": _("Nobody decided within a day, so the rows were removed. Upload the file again."),
    "not_all_good": _("Nothing was written: not every row is good any more. See the errors below."),
}


# --- Columns ---------------------------------------------------------------------------------------------------------


class _Keep:
    """In place of a value: the row keeps what it has."""


KEEP = _Keep()


def in_every_language(text: Text) -> dict[str, str]:
    """What a text reads in each language of the portal."""
    said = {}
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            said[code] = str(text)
    return said


def folded(text: str) -> str:
    """Text for comparing headings and choices: width, case and spaces do not count."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("_", " ").split()).rstrip("* :")


class Column:
    """A column of a sheet: how it is called, what its cells may say, and which field of a row they are about."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """Permissions to write it, beside those for the row."""
    seen_with: ClassVar[frozenset[str]] = frozenset()
    """Permissions to see it, beside that for the row."""

    def __init__(
        self,
        name: str,
        heading: Text,
        *,
        help: Text = "",
        example: Text = "",
        required: bool = False,
        needed_by_new: bool = False,
        field: str = "",
        width: int = 18,
    ) -> None:
        self.name, self.heading, self.help, self.example = name, heading, help, example
        self.required, self.field, self.width = required, field or name, width
        self.needed_by_new = needed_by_new
        """Whether only rows that are there already do without it."""
        self._known_as: frozenset[str] = frozenset()

    def known_as(self) -> frozenset[str]:
        if not self._known_as:
            self._known_as = frozenset(folded(said) for said in (self.name, *in_every_language(self.heading).values()))
        return self._known_as

    @property
    def title(self) -> str:
        said = str(self.heading)
        return said[:1].upper() + said[1:]

    def read(self, text: str, sheet: "Sheet") -> Any:
        """The value a cell means. Raises `ValidationError`."""
        return text

    def put(self, row: Any, value: Any) -> None:
        if value is not KEEP:
            setattr(row, self.field, value)

    def show(self, row: Any, sheet: "Sheet") -> str:
        """The cell of a row; `read` understands it."""
        return str(getattr(row, self.field))

    def masked(self, shown: str) -> str:
        """What somebody sees who may not see numbers in full."""
        return shown


class NumberColumn(Column):
    """A phone number of somebody outside the center."""

    def masked(self, shown: str) -> str:
        return mask(shown)


class WholeNumber(Column):
    def read(self, text: str, sheet: "Sheet") -> Any:
        if not text:
            return KEEP
        if re.fullmatch(r"[0-9]{1,9}", text) is None:
            raise ValidationError(_("Write a whole number."))
        return int(text)


class Choice(Column):
    """One of a few words, in any of the portal's languages."""

    def __init__(self, name: str, heading: Text, choices: type[models.Choices], **rest: Any) -> None:
        super().__init__(name, heading, **rest)
        self.choices = choices
        self._meant: dict[str, str] = {}

    def read(self, text: str, sheet: "Sheet") -> Any:
        if not text:
            return KEEP
        value = self.meant().get(folded(text))
        if value is None:
            raise ValidationError(
                _("Write one of: %(choices)s."), params={"choices": ", ".join(str(label) for label in self.choices.labels)}
            )
        return value

    def meant(self) -> dict[str, str]:
        if not self._meant:
            for value, label in self.choices.choices:
                for said in (str(value), *in_every_language(label or "").values()):
                    self._meant[folded(said)] = str(value)
        return self._meant

    def show(self, row: Any, sheet: "Sheet") -> str:
        value = getattr(row, self.field)
        return str(dict(self.choices.choices).get(value, value))


YES, NO = pgettext_lazy("in a cell of a list", "yes"), pgettext_lazy("in a cell of a list", "no")


class YesNo(Column):
    _meant: ClassVar[dict[str, bool]] = {}

    def read(self, text: str, sheet: "Sheet") -> Any:
        if not text:
            return KEEP
        if not self._meant:
            for value, words in ((True, "yes y true 1 on x 是 真 ✓"), (False, "no n false 0 off 否 假")):
                self._meant.update(dict.fromkeys(words.split(), value))
            for value, said in ((True, YES), (False, NO)):
                self._meant.update(dict.fromkeys(map(folded, in_every_language(said).values()), value))
        meant = self._meant.get(folded(text))
        if meant is None:
            raise ValidationError(_("Write yes or no."))
        return meant

    def show(self, row: Any, sheet: "Sheet") -> str:
        return str(YES if getattr(row, self.field) else NO)


class Moment(Column):
    """A day, which counts in full, or a time; both in the account's time zone. Empty: none."""

    _WRITTEN = re.compile(
        r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,6})?)?)?([+-]\d{2}:?\d{2}|Z)?"
    )

    def read(self, text: str, sheet: "Sheet") -> Any:
        if not text:
            return None
        found = self._WRITTEN.fullmatch(text)
        try:
            if found is None:
                raise ValueError
            year, month, day, hour, minute, second, fraction, offset = found.groups()
            date = dt.datetime(int(year), int(month), int(day))  # noqa: DTZ001  (given its zone below)
            if hour is None:
                return (date + dt.timedelta(days=1)).replace(tzinfo=sheet.zone).astimezone(dt.UTC)
            micro = round(float(fraction or 0) * 1_000_000)
            at = date.replace(hour=int(hour), minute=int(minute), second=int(second or 0), microsecond=micro)
            zone: dt.tzinfo | None = sheet.zone
            if offset:
                zone = dt.datetime.fromisoformat(f"2000-01-01T00:00:00{offset.replace('Z', '+00:00')}").tzinfo
            return at.replace(tzinfo=zone).astimezone(dt.UTC)
        except (ValueError, OverflowError) as error:
            raise ValidationError(_("Write a day or time like 2026-12-31 or 2026-12-31 18:00.")) from error

    def show(self, row: Any, sheet: "Sheet") -> str:
        value = getattr(row, self.field)
        if value is None:
            return ""
        local = value.astimezone(sheet.zone)
        # The hour that comes twice when clocks go back is told apart by its offset.
        is_twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        return str((local if is_twice else local.replace(tzinfo=None)).isoformat(sep=" "))


# --- Rows ------------------------------------------------------------------------------------------------------------

NEW, CHANGED, SAME, BAD = "new", "changed", "same", "bad"


@dataclass(slots=True)
class SheetRow:
    """A row of a file on its way into the list."""

    number: int
    cells: dict[str, str]
    errors: list[tuple[str, str]] = field(default_factory=list)
    """Column and what is wrong, in the language of the run."""
    instance: Any = None
    was: dict[str, str] | None = None
    """What the changed columns say now; None: the row is new."""
    more: dict[str, Any] = field(default_factory=dict)
    """What a sheet found out about the row while checking it, for writing it."""

    def fail(self, column: str, message: Any) -> None:
        for said in message.messages if isinstance(message, ValidationError) else [str(message)]:
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
                row.fail(self.key_column, _now("The same as in row %d.") % first)
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
        row.instance.save()

    # Export

    def ids(self, rows: Any) -> list[int]:
        """Ids of rows in their order, each once: a search along a relation may find one twice."""
        return list(dict.fromkeys(rows.values_list("pk", flat=True)))

    def export(self, ids: Sequence[int]) -> Iterator[list[str]]:
        """Headings, then the rows in the order of their ids; never many of them in memory."""
        columns = self.columns_shown_to(self.actor)
        yield [column.title for column in columns]
        in_full = self.actor.has_perm(SEE_FULL_NUMBER)
        for start in range(0, len(ids), 1000):
            part = ids[start : start + 1000]
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


SHEETS: dict[str, type[Sheet]] = {}
S = TypeVar("S", bound=type[Sheet])


def register(sheet: S) -> S:
    SHEETS[sheet.name] = sheet
    return sheet


# --- Upload ----------------------------------------------------------------------------------------------------------


def open_import(
    *, sheet: type[Sheet], actor: Any, file: IO[bytes], at: dt.datetime, chosen: Mapping[str, Any] | None = None
) -> ImportRun:
    """Reads the file and keeps its rows; checking them begins once this has committed.

    Raises `ValidationError` for a file that cannot be read or whose columns are not the sheet's, and then keeps nothing.
    """
    if not sheet.may_import(actor):
        raise PermissionDenied
    lines = sheets.read_lines(file)
    first = next(lines, None)
    if first is None:
        raise ValidationError(_("The file is empty."))
    columns = match_columns(sheet, first.cells, actor)
    chunks = list(_chunks(lines, columns, sheet.per_batch))
    if not chunks:
        raise ValidationError(_("The file has headings and no rows."))
    with transaction.atomic():
        run = ImportRun.objects.create(
            account=actor.account,
            sheet=sheet.name,
            started_by=actor.pk,
            language=translation.get_language() or settings.LANGUAGE_CODE,
            columns=columns,
            options=dict(chosen or {}),
            n_rows=sum(n_rows for n_rows, _rows in chunks),
            created_at=at,
        )
        for number, (n_rows, rows) in enumerate(chunks):
            ImportChunk.objects.create(account=actor.account, run=run, number=number, n_rows=n_rows, rows=rows)
        _note(run, actor, state=("", run.state))
        transaction.on_commit(lambda: nudge(run.pk))
    return run


def match_columns(sheet: type[Sheet], headings: Sequence[str], actor: Any) -> list[str]:
    """Which column of the sheet each column of the file is; empty where there is no heading."""
    known = {said: column for column in sheet.columns for said in column.known_as()}
    matched = [known.get(folded(heading)) for heading in headings]
    errors = []
    unknown = [heading.strip() for heading, column in zip(headings, matched, strict=True) if column is None and heading.strip()]
    if unknown:
        errors.append(
            ValidationError(
                _("There is no column %(names)s here. Take these: %(known)s."),
                params={"names": _named(unknown), "known": _named([column.title for column in sheet.columns_for(actor)])},
            )
        )
    found = [column for column in matched if column is not None]
    twice = [column.title for index, column in enumerate(found) if column in found[:index]]
    if twice:
        errors.append(ValidationError(_("Two columns are called %(names)s."), params={"names": _named(twice)}))
    missing = [column.title for column in sheet.columns if column.required and column not in found]
    if missing:
        errors.append(ValidationError(_("The column %(names)s is missing."), params={"names": _named(missing)}))
    forbidden = [column.title for column in found if not holds(actor, column.needs)]
    if forbidden:
        errors.append(
            ValidationError(_("You may not change the column %(names)s. Remove it."), params={"names": _named(forbidden)})
        )
    if errors:
        raise ValidationError(errors)
    return [column.name if column else "" for column in matched]


def _named(names: Sequence[str]) -> str:
    return ", ".join(name[:60] for name in names[:20])


def _chunks(lines: Iterator[sheets.Line], columns: Sequence[str], n_rows: int) -> Iterator[tuple[int, str]]:
    """Rows in batches, as they are kept. A cell beyond the headings has nowhere to go."""
    part: list[Any] = []
    size = 0
    for number, cells in lines:
        for index, cell in enumerate(cells):
            if cell.strip() and (index >= len(columns) or not columns[index]):
                raise ValidationError(_("Row %(row)d has a cell without a heading above it."), params={"row": number})
        part.append([number, [cell.strip() for cell in cells[: len(columns)]]])
        size += sum(map(len, cells))
        if len(part) >= n_rows or size > MAX_CHUNK_CHARACTERS:
            yield len(part), json.dumps(part, ensure_ascii=False, separators=(",", ":"))
            part, size = [], 0
    if part:
        yield len(part), json.dumps(part, ensure_ascii=False, separators=(",", ":"))


# --- The run ---------------------------------------------------------------------------------------------------------


def nudge(run_id: int) -> None:
    """Wakes a worker now. Only makes things faster: a lost nudge is made up for by the timetable."""
    from configuration.tasks import work_on_import  # tasks call this module

    try:
        work_on_import.apply_async((run_id,), retry=False)
    except Exception as error:  # whatever a broker may raise
        log.warning("a worker could not be nudged: %s", type(error).__name__)


class _Passed(Exception):
    """The lease is somebody else's by now, or the run was discarded."""


@dataclass(slots=True)
class _Work:
    run: ImportRun
    lease: int
    sheet: Sheet
    clock: Callable[[], dt.datetime]

    def mark(self, **changes: Any) -> None:
        """Notes progress under the lease; within a transaction, holds the run until its end."""
        mine = ImportRun._base_manager.filter(pk=self.run.pk, lease=self.lease, state=self.run.state)
        if mine.update(**{"heartbeat_at": self.clock(), **changes}) != 1:
            raise _Passed

    def rows_of(self, chunk: ImportChunk) -> list[SheetRow]:
        columns = self.run.columns
        return [
            SheetRow(number, {name: cells[index] if index < len(cells) else "" for index, name in enumerate(columns) if name})
            for number, cells in json.loads(chunk.rows or "[]")
        ]


def work_on(run_id: int, *, clock: Callable[[], dt.datetime] = timezone.now) -> bool:
    """Checks or writes a run, whichever it waits for; False if there was nothing to do or somebody else is at it."""
    run = _claim(run_id, clock())
    if run is None:
        return False
    actor = _actor_of(run)
    if actor is None or not _may_write(actor, run):
        _fail(run, "forbidden", clock())
        return True
    if run.lease % LEASES_PER_STEP > MAX_LEASES:
        _fail(run, "failed", clock())
        return True
    work = _Work(run, run.lease, SHEETS[run.sheet](actor=actor, chosen=run.options), clock)
    with translation.override(run.language), timezone.override(actor.account.zone), audit.acting(actor):
        try:
            if run.state == ImportRun.State.CHECKING:
                _check(work, then=ImportRun.State.CHECKED)
            else:
                _write(work)
        except _Passed:
            log.info("import %d passed on", run.pk)
        except Exception as error:  # tried again once the lease is over; what a database complains of quotes values
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error("import %d failed: %s in %s:%s", run.pk, type(error).__name__, where.filename, where.lineno)
    return True


def _claim(run_id: int, at: dt.datetime) -> ImportRun | None:
    due = ImportRun._base_manager.filter(pk=run_id).filter(_is_due(at))
    if due.update(lease=F("lease") + 1, heartbeat_at=at) != 1:
        return None
    run: ImportRun = ImportRun._base_manager.get(pk=run_id)
    return run


def _is_due(at: dt.datetime) -> Q:
    forgotten = Q(heartbeat_at=None) | Q(heartbeat_at__lt=at - dt.timedelta(seconds=LEASE_SECONDS))
    return forgotten & Q(state__in=ImportRun.AT_WORK)


def _actor_of(run: ImportRun) -> Any | None:
    people: Any = get_user_model()._base_manager
    return people.filter(pk=run.started_by, account_id=run.account_id, is_active=True).select_related("account", "role").first()


def _may_write(actor: Any, run: ImportRun) -> bool:
    """Whether somebody may write every column of the file, whoever uploaded it."""
    kind = SHEETS.get(run.sheet)
    return kind is not None and kind.may_import(actor) and not columns_refused(run, actor=actor)


def columns_refused(run: ImportRun, *, actor: Any) -> list[Column]:
    """The columns of a file that somebody may not write."""
    return [column for column in SHEETS[run.sheet].columns if column.name in run.columns and not holds(actor, column.needs)]


def _check(work: _Work, *, then: str) -> None:
    seen: dict[Any, int] = {}
    preview: list[dict[str, Any]] = []
    n_done = 0
    work.mark(n_done=0)
    for chunk in _one_by_one(work.run.chunks.all()):
        batch = work.rows_of(chunk)
        work.sheet.check(batch, seen)
        n_done += len(batch)
        with transaction.atomic():
            work.mark(n_done=n_done)
            _keep_report(chunk, batch, [])
        for row in batch:
            if len(preview) < PREVIEW_ROWS and row.kind in (NEW, CHANGED):
                preview.append({"row": row.number, "kind": row.kind, "cells": row.cells, "was": row.was or {}})
    with transaction.atomic():
        work.run.preview = json.dumps(preview, ensure_ascii=False)
        work.mark(state=then, **_totals(work.run))
        work.run.save(update_fields=["preview"])


def _one_by_one(chunks: Any) -> Iterator[ImportChunk]:
    """Each chunk read by itself: SQLite refuses to write on a connection whose reading began before somebody else wrote."""
    for pk in list(chunks.order_by("number").values_list("pk", flat=True)):
        yield chunks.model._base_manager.get(pk=pk)


def _keep_report(chunk: ImportChunk, batch: Sequence[SheetRow], before: list[Any], **changes: Any) -> None:
    errors = before + [[row.number, column, said] for row in batch for column, said in row.errors]
    kinds = [row.kind for row in batch]
    chunk.errors = json.dumps(errors, ensure_ascii=False) if errors else ""
    chunk.n_new, chunk.n_changed, chunk.n_same = kinds.count(NEW), kinds.count(CHANGED), kinds.count(SAME)
    chunk.n_bad = len({number for number, _column, _said in errors})
    for name, value in changes.items():
        setattr(chunk, name, value)
    chunk.save(update_fields=["errors", "n_new", "n_changed", "n_same", "n_bad", *changes])


def _totals(run: ImportRun) -> dict[str, int]:
    names = ("n_new", "n_changed", "n_same", "n_bad")
    sums = run.chunks.aggregate(**{f"all_{name}": Sum(name) for name in names})
    return {name: sums[f"all_{name}"] or 0 for name in names}


def _write(work: _Work) -> None:
    run = work.run
    waiting = run.chunks.filter(written_at=None)
    if run.only_if_all_good and waiting.count() == run.chunks.count():
        _check_again(work)
        if run.state != ImportRun.State.WRITING:
            return
        _write_all_or_nothing(work, waiting)
        return
    _write_chunks(work, waiting)
    _finish(work)


def _write_chunks(work: _Work, waiting: Any) -> None:
    n_done = work.run.n_rows - (waiting.aggregate(n=Sum("n_rows"))["n"] or 0)
    for chunk in _one_by_one(waiting):
        n_done += chunk.n_rows
        try:
            _write_chunk(work, chunk, n_done, one_by_one=False)
        except IntegrityError:  # somebody else wrote such a row since the batch was looked at
            chunk.refresh_from_db()
            _write_chunk(work, chunk, n_done, one_by_one=True)


def _write_all_or_nothing(work: _Work, waiting: Any) -> None:
    """Whatever turns out to be bad only while it is written takes back what was written before it."""
    # Nobody sees the marks of one long transaction, so the lease reaches as far as it may take.
    ahead = dt.timedelta(seconds=min(work.run.n_rows * SECONDS_PER_ROW, MAX_LEASE_AHEAD))
    work.mark(heartbeat_at=work.clock() + ahead)
    try:
        with transaction.atomic():
            _write_chunks(work, waiting)
            if _totals(work.run)["n_bad"]:
                reports = list(work.run.chunks.exclude(n_bad=0).values_list("pk", *_REPORT))
                raise _NotAllGood(reports)
            _finish(work)
    except _NotAllGood as found:
        with transaction.atomic():
            for pk, *report in found.reports:
                work.run.chunks.filter(pk=pk).update(**dict(zip(_REPORT, report, strict=True)))
            work.mark(state=ImportRun.State.CHECKED, problem="not_all_good", n_done=0, **_totals(work.run))
        work.run.state = ImportRun.State.CHECKED


_REPORT = ("errors", "n_new", "n_changed", "n_same", "n_bad")


class _NotAllGood(Exception):
    def __init__(self, reports: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.reports = reports


def _finish(work: _Work) -> None:
    run = work.run
    with transaction.atomic():
        work.mark(state=ImportRun.State.DONE, finished_at=work.clock(), n_done=run.n_rows, **_totals(run))
        _note(run, work.sheet.actor, state=(run.state, ImportRun.State.DONE))


def _check_again(work: _Work) -> None:
    """All rows once more before any is written; back to whoever decides if one of them is bad."""
    _check(work, then=ImportRun.State.WRITING)
    if _totals(work.run)["n_bad"]:
        work.mark(state=ImportRun.State.CHECKED, problem="not_all_good")
        work.run.state = ImportRun.State.CHECKED
    else:
        work.mark(n_done=0)


def _write_chunk(work: _Work, chunk: ImportChunk, n_done: int, *, one_by_one: bool) -> None:
    before = json.loads(chunk.errors or "[]")
    refused = {number for number, _column, _said in before}
    batch = [row for row in work.rows_of(chunk) if row.number not in refused]
    with transaction.atomic():
        work.mark(n_done=n_done)
        if one_by_one:
            for row in batch:
                _write_one(work.sheet, row)
        else:
            work.sheet.check(batch, {})
            work.sheet.write([row for row in batch if not row.errors])
        bad = refused | {row.number for row in batch if row.errors}
        left = [row for row in json.loads(chunk.rows or "[]") if row[0] in bad]
        rows = json.dumps(left, ensure_ascii=False) if left else ""
        _keep_report(chunk, batch, before, rows=rows, written_at=work.clock())


def _write_one(sheet: Sheet, row: SheetRow) -> None:
    sheet.check([row], {})
    if row.errors:
        return
    try:
        with transaction.atomic():
            sheet.write([row])
    except IntegrityError:
        row.fail(sheet.key_column, _now("This is in use already."))


def _fail(run: ImportRun, problem: str, at: dt.datetime) -> None:
    with transaction.atomic():
        ended = ImportRun._base_manager.filter(pk=run.pk, lease=run.lease, state=run.state)
        if ended.update(state=ImportRun.State.FAILED, problem=problem, finished_at=at):
            _forget_rows_of([run.pk])


# --- What people decide ----------------------------------------------------------------------------------------------


def choose_to_write(run: ImportRun, *, actor: Any, only_if_all_good: bool) -> bool:
    """Has the good rows written; False if somebody decided before.

    They are written with the rights of whoever decides: `PermissionDenied` for who may not write all the columns.
    """
    if not _may_write(actor, run):
        raise PermissionDenied
    with transaction.atomic():
        waiting = ImportRun._base_manager.filter(pk=run.pk, state=ImportRun.State.CHECKED)
        if not waiting.update(
            state=ImportRun.State.WRITING,
            only_if_all_good=only_if_all_good,
            problem="",
            n_done=0,
            lease=F("lease") - F("lease") % LEASES_PER_STEP + LEASES_PER_STEP,
            heartbeat_at=None,
            started_by=actor.pk,
        ):
            return False
        _note(run, actor, state=(ImportRun.State.CHECKED, ImportRun.State.WRITING))
        transaction.on_commit(lambda: nudge(run.pk))
    return True


def discard(run: ImportRun, *, actor: Any, at: dt.datetime) -> bool:
    """Gives an import up before anything of it was written."""
    with transaction.atomic():
        unwritten = ImportRun._base_manager.filter(pk=run.pk, state__in=(ImportRun.State.CHECKING, ImportRun.State.CHECKED))
        if not unwritten.update(state=ImportRun.State.DISCARDED, finished_at=at):
            return False
        _forget_rows_of([run.pk])
        _note(run, actor, state=(run.state, ImportRun.State.DISCARDED))
    return True


def _note(run: ImportRun, actor: Any, **changes: tuple[str, str]) -> None:
    with audit.acting(actor):
        audit.log_update(run, **changes)


# --- Reports ---------------------------------------------------------------------------------------------------------


def errors_of(run: ImportRun, *, reader: Actor) -> Iterator[tuple[int, str, str, str]]:
    """Row, heading of the column, what stands there (as long as it is kept), and what is wrong.

    Of a column the reader may not see, only that something is wrong.
    """
    kind = SHEETS.get(run.sheet)
    titles = {column.name: column.title for column in kind.columns} if kind else {}
    shown = _shown_to(reader, run)
    for chunk in _one_by_one(run.chunks.exclude(n_bad=0)):
        cells = {number: dict(zip(run.columns, said, strict=False)) for number, said in json.loads(chunk.rows or "[]")}
        for number, name, said in json.loads(chunk.errors or "[]"):
            if name in titles and name not in shown:
                yield number, titles[name], "", _now("You may not see this column.")
            else:
                cell = cells.get(number, {}).get(name, "")
                yield number, titles.get(name, name), shown[name](cell) if name in shown else "", said


def preview_of(run: ImportRun, *, reader: Actor) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns the reader may see, and the first rows that would be written, with these columns only."""
    shown = _shown_to(reader, run)
    names = [name for name in run.columns if name in shown]
    rows = json.loads(run.preview) if run.preview and run.state in ImportRun.OPEN else []
    for row in rows:
        for part in ("cells", "was"):
            row[part] = {name: shown[name](said) for name, said in row[part].items() if name in shown}
    return names, rows


def _shown_to(reader: Actor, run: ImportRun) -> dict[str, Callable[[str], str]]:
    """How each column of a run that somebody may see reads to them."""
    kind = SHEETS.get(run.sheet)
    in_full = reader.has_perm(SEE_FULL_NUMBER)
    return {column.name: str if in_full else column.masked for column in (kind.columns_shown_to(reader) if kind else ())}


# --- The timetable ---------------------------------------------------------------------------------------------------


def continue_imports(*, clock: Callable[[], dt.datetime] = timezone.now) -> int:
    """Takes up runs whose nudge was lost or whose worker died; how many."""
    due = ImportRun._base_manager.filter(_is_due(clock())).order_by("created_at").values_list("pk", flat=True)
    return sum(work_on(pk, clock=clock) for pk in list(due))


def forget_rows(*, at: dt.datetime) -> int:
    """Removes the rows nobody needs any more; how many imports held some. Their reports stay."""
    with transaction.atomic():
        ImportRun._base_manager.filter(_is_late(at)).update(state=ImportRun.State.FAILED, problem="late", finished_at=at)
        holding = rows_to_forget(at=at)
        _forget_rows_of(holding)
    return len(holding)


def _is_late(at: dt.datetime) -> Q:
    """Nobody decided in a day since it was uploaded, or since it came back to whoever decides."""
    limit = at - ROWS_KEPT
    undecided = Q(state__in=(ImportRun.State.CHECKING, ImportRun.State.CHECKED), created_at__lt=limit)
    return undecided & (Q(heartbeat_at=None) | Q(heartbeat_at__lt=limit))


def rows_to_forget(*, at: dt.datetime) -> set[int]:
    """Ids of imports that hold rows and ended, or wait for somebody to decide, for more than a day.

    One that is being written is not among them: somebody decided, and it goes on until it is done.
    """
    over = Q(finished_at__lt=at - ROWS_KEPT) | Q(state=ImportRun.State.FAILED)
    old = ImportRun._base_manager.filter(over | _is_late(at))
    in_chunks = ImportChunk._base_manager.filter(run__in=old).exclude(rows=b"")
    return {*old.exclude(preview=b"").values_list("pk", flat=True), *in_chunks.values_list("run_id", flat=True)}


def _forget_rows_of(run_ids: Iterable[int]) -> None:
    ids = list(run_ids)
    ImportChunk._base_manager.filter(run_id__in=ids).update(rows=b"")
    ImportRun._base_manager.filter(pk__in=ids).update(preview=b"")
