"""Imports finished calls from a CSV or TSV file.

It stands in this app because it must know how long calls are kept: a row past its time is refused, not imported to be
purged the next night. Reading and sending are of the calls app, which knows nothing of that.
"""

import io
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from calls.adapters.table import MappingError, load_mapping
from calls.importing import CallImport, Problems, Summary
from configuration.models import Account
from retention.policy import KEPT_MONTHS, is_expired, local_day


class Command(BaseCommand):
    help = "Imports finished calls from a CSV or TSV file, as events through the portal's intake. See docs/import.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--account", metavar="SLUG", required=True, help="short name of the account the calls belong to")
        parser.add_argument(
            "--mapping",
            metavar="NAME_OR_PATH",
            default="generic",
            help="what the columns mean: a shipped mapping or a .toml file",
        )
        parser.add_argument("--shift-days", metavar="N", type=int, default=0, help="move all times by whole local days")
        parser.add_argument("--dry-run", action="store_true", help="read and check everything, import nothing")
        parser.add_argument("--batch", metavar="N", type=int, default=1000, help="rows that go in together (default 1000)")
        parser.add_argument("--errors", metavar="FILE", type=Path, help="where bad rows are listed (default: FILE.errors.csv)")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(slug=options["account"]).first()
        if account is None:
            raise CommandError(f"There is no account with the short name {options['account']!r}.")
        if not account.is_open:
            raise CommandError(f"The account {account.slug} is terminated.")
        if not 1 <= options["batch"] <= 5000:
            raise CommandError("--batch: expected a number from 1 to 5000.")
        path: Path = options["file"]
        problems = Problems(options["errors"] or path.with_name(f"{path.name}.errors.csv"))
        at = timezone.now()
        today = local_day(account, at)
        try:
            mapping = load_mapping(options["mapping"])
            with path.open("rb") as raw, self._bar(path) as bar:
                work = CallImport(
                    account=account,
                    mapping=mapping,
                    at=at,
                    is_expired=lambda day: is_expired(day, today=today),
                    problems=problems,
                    shift_days=options["shift_days"],
                    batch=options["batch"],
                    is_dry_run=options["dry_run"],
                )
                text = io.TextIOWrapper(raw, encoding=mapping.encoding, newline="")
                summary = work.run(text, tell=lambda: bar.update(raw.tell() - bar.n))
        except MappingError as error:
            raise CommandError(str(error)) from error
        except UnicodeDecodeError as error:
            raise CommandError(
                f"{path} is not written in {error.encoding}; set file.encoding in the mapping. Rows before that are in."
            ) from error
        except OSError as error:
            raise CommandError(f"{error.filename or path}: {error.strerror}.") from error
        finally:
            problems.close()
        self._say(summary, problems, is_dry_run=options["dry_run"])

    def _bar(self, path: Path) -> "tqdm[Any]":
        # Without a terminal there is no bar: a log would fill with them.
        return tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name, disable=None)

    def _say(self, summary: Summary, problems: Problems, *, is_dry_run: bool) -> None:
        lines = [
            (summary.n_rows, "rows"),
            (summary.n_imported, "calls would be imported" if is_dry_run else "calls imported"),
            (summary.n_known, "calls were in already"),
            *((n, f"skipped: {reason}") for reason, n in sorted(summary.skipped.items())),
            (summary.n_expired, f"refused: ended over {KEPT_MONTHS} months ago, and would be purged at once"),
            (summary.n_in_error, f"in error, listed in {problems.path}"),
        ]
        for n, what in lines:
            if n or what in ("rows", lines[1][1]):
                self.stdout.write(f"{n:>10,} {what}")
        if is_dry_run:
            self.stdout.write("Nothing was written: this was a dry run.")
