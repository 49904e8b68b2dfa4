"""What is said of an import, to those who may see the columns it is about."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from configuration.access import SEE_FULL_NUMBER
from configuration.importing.columns import Text
from configuration.importing.run import one_by_one
from configuration.importing.sheet import SHEETS, in_readers_language
from configuration.models import ImportRun
from configuration.scoping import Actor

PROBLEMS: dict[str, Text] = {
    "forbidden": _("Whoever started this import may no longer change these rows. Nothing more was written."),
    "failed": _("The import failed several times. The failure is in the portal's log; nothing more was written."),
    "late": _("Nobody decided within a day, so the rows were removed. Upload the file again."),
    "not_all_good": _("Nothing was written: not every row is good any more. See the errors below."),
}


def errors_of(run: ImportRun, *, reader: Actor) -> Iterator[tuple[int, str, str, str]]:
    """Row, heading of the column, what stands there (as long as it is kept), and what is wrong.

    Of a column the reader may not see, only that something is wrong.
    """
    kind = SHEETS.get(run.sheet)
    titles = {column.name: column.title for column in kind.columns} if kind else {}
    shown = _shown_to(reader, run)
    for chunk in one_by_one(run.chunks.exclude(n_bad=0)):
        cells = {number: dict(zip(run.columns, said, strict=False)) for number, said in json.loads(chunk.rows or "[]")}
        for number, name, kept in json.loads(chunk.errors or "[]"):
            said = in_readers_language(kept)
            if name in titles and name not in shown:
                yield number, titles[name], "", gettext("You may not see this column.")
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
