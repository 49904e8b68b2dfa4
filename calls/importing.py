"""Finished calls from a file, sent through the same intake as live ones.

What must never happen: a call comes in by half. So a row is read and checked as a whole before any event of it is
sent, and all its events go in one transaction. A row that cannot go in is written to a side file with its line, its
column and the reason; its neighbours go in. Events are named by their row, so a file may be imported again, in any
order, or after a stop in the middle: what is in already stays as it is.
"""

import csv
import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from django.utils import timezone

from calls.adapters.table import FinishedCall, MappingError, Row, RowProblem, TableMapping
from calls.envelope import EARLIEST, call_key_of
from calls.ingest import accept_events, fold_due
from calls.models import Call
from configuration.models import Account

LONGEST_CELL = 1_000_000
CONFLICT = 409


@dataclass(slots=True)
class Summary:
    n_rows: int = 0
    n_imported: int = 0
    n_known: int = 0
    """Calls that were in already, with the same content."""
    n_expired: int = 0
    n_in_error: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Rows left out as the mapping says, by its reason."""

    @property
    def n_skipped(self) -> int:
        return self.skipped.total()


class Problems:
    """The side file: one line a bad row. It is not made before there is one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def write(self, line: int, column: str, reason: str) -> None:
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(["line", "column", "reason"])
        csv.writer(self._file).writerow([line, _inert(column), _inert(reason)])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _inert(text: str) -> str:
    """Spreadsheets run what begins like a formula, and column names come from a file that anybody may have written."""
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@", "\t", "\r") else text


@dataclass(slots=True)
class CallImport:
    """One import of one file. A dry run reads and checks all of it and sends nothing."""

    account: Account
    mapping: TableMapping
    at: dt.datetime
    is_expired: Callable[[dt.date], bool]
    """Whether calls that ended on a local day would be purged at once. Such rows are refused."""
    problems: Problems
    shift_days: int = 0
    batch: int = 1000
    """Rows that go in together."""
    is_dry_run: bool = False
    summary: Summary = field(default_factory=Summary)

    def run(self, file: IO[str], *, tell: Callable[[], Any] = lambda: None) -> Summary:
        """Imports the rows of a table with a header, opened with `newline=""`. `tell` is called after every batch.

        Raises `MappingError` when the file has no header, or not the columns that the mapping names.
        """
        waiting: list[tuple[int, FinishedCall]] = []
        for line, row in self._rows(file):
            call = self._read(row, line)
            if call is not None:
                waiting.append((line, call))
            if len(waiting) == self.batch:
                self._send(waiting)
                waiting = []
            if self.summary.n_rows % self.batch == 0:
                tell()
        self._send(waiting)
        tell()
        return self.summary

    def _rows(self, file: IO[str]) -> Iterator[tuple[int, Row]]:
        """Rows by their columns, with the line each begins on. Cells are stripped; empty lines are passed over."""
        csv.field_size_limit(LONGEST_CELL)
        first = file.readline()
        if not first.strip():
            raise MappingError(
                "The file's first line, its header, is empty." if first else "The file is empty: it has no header."
            )
        delimiter = self.mapping.delimiter or max(",;\t", key=first.count)
        header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
        self._check_header(header)
        absent = dict.fromkeys(self.mapping.columns - set(header), "")
        reader = csv.reader(file, delimiter=delimiter)
        while True:
            line = reader.line_num + 2
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.summary.n_rows += 1
                self._refuse(line, "", f"cannot be read: {error}")
                continue
            if not any(cells):
                continue
            self.summary.n_rows += 1
            if len(cells) == len(header):
                yield line, absent | dict(zip(header, map(str.strip, cells), strict=True))
            else:
                self._refuse(line, "", f"has {len(cells)} cells where the header has {len(header)}")

    def _check_header(self, header: list[str]) -> None:
        if twice := sorted(name for name, n in Counter(header).items() if n > 1 and name in self.mapping.columns):
            raise MappingError(f"The file has the column {', '.join(twice)} more than once.")
        if missing := sorted(self.mapping.columns - self.mapping.optional - set(header)):
            named = "columns" if len(missing) > 1 else "a column"
            has = ", ".join(header)
            raise MappingError(f"The mapping names {named} that the file does not have: {', '.join(missing)}. It has: {has}.")

    def _read(self, row: Row, line: int) -> FinishedCall | None:
        try:
            if reason := self.mapping.skipped(row):
                self.summary.skipped[reason] += 1
                return None
            call = self.mapping.read(row, zone=self.account.zone, shift_days=self.shift_days)
        except RowProblem as problem:
            self._refuse(line, problem.column, problem.reason)
            return None
        if call.last_at > self.at:
            self._refuse(line, "", "lies in the future; only finished calls are imported")
        elif call.started_at < EARLIEST:
            self._refuse(line, "", f"lies before {EARLIEST:%Y}")
        elif self.is_expired(call.ended_at.astimezone(self.account.zone).date()):
            self.summary.n_expired += 1
        else:
            return call
        return None

    def _send(self, rows: list[tuple[int, FinishedCall]]) -> None:
        if self.is_dry_run:
            self.summary.n_imported += len(rows)
            return
        # The events of a sealed call have left the inbox: it would not know them again.
        keys = {call_key_of(self.account.pk, call.call_id) for _, call in rows}
        stored = Call.objects.for_account(self.account).filter(call_key__in=keys, sealed_at__isnull=False)
        sealed = {bytes(key) for key in stored.values_list("call_key", flat=True)}
        fresh = [(line, call) for line, call in rows if call_key_of(self.account.pk, call.call_id) not in sealed]
        self.summary.n_known += len(rows) - len(fresh)
        items = [event for _, call in fresh for event in call.events]
        answers = iter(accept_events(account=self.account, items=items, at=timezone.now()))
        for line, call in fresh:
            self._note(line, [next(answers) for _ in call.events])
        while fold_due(at=timezone.now()):
            pass

    def _note(self, line: int, answers: list[dict[str, Any]]) -> None:
        refused = [answer for answer in answers if answer["status"] == "rejected"]
        if any(answer["code"] == CONFLICT for answer in refused):
            self._refuse(line, "", "a row with this id was imported before with other content; the first one stands")
        elif refused:
            self._refuse(line, "", "; ".join(f"{error['field']} {error['reason']}" for error in refused[0]["errors"]))
        elif all(answer["status"] in ("duplicate", "dropped") for answer in answers):
            self.summary.n_known += 1
        else:
            self.summary.n_imported += 1

    def _refuse(self, line: int, column: str, reason: str) -> None:
        self.summary.n_in_error += 1
        self.problems.write(line, column, reason)
