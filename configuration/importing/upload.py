"""From an uploaded file to rows that are kept, encrypted, until they are checked and written."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from callcenter_site import sheets
from configuration.access import holds
from configuration.importing.columns import folded
from configuration.importing.run import note, nudge
from configuration.importing.sheet import Sheet
from configuration.models import ImportChunk, ImportRun

MAX_CHUNK_CHARACTERS = 1_000_000


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
        note(run, actor, state=("", run.state))
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
