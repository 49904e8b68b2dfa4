"""Imports Asterisk's queue_log.

It stands in this app because it must know how long calls are kept: one past its time is left out, not imported to be
purged the next night. Reading and sending are of the calls app, which knows nothing of that.
"""

import fcntl
import re
import signal
import threading
import zoneinfo
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from calls.adapters.asterisk_command import add_site_arguments, open_account, site_from
from calls.adapters.asterisk_import import Positions, QueueLogImport, size_of
from calls.adapters.queue_log import QueueLog
from calls.importing import Problems
from retention.policy import KEPT_MONTHS, cutoff, end_of_day


class Command(BaseCommand):
    help = "Imports Asterisk's queue_log, as events through the portal's intake. See docs/asterisk.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="queue_log, rotated or compressed ones too")
        add_site_arguments(parser)
        parser.add_argument("--time-zone", metavar="ZONE", help="of times that are written out (default: the account's)")
        parser.add_argument("--follow", action="store_true", help="go on reading the last file as it grows and is rotated")
        parser.add_argument("--from-start", action="store_true", help="do not go on where the last run stopped")
        parser.add_argument("--dry-run", action="store_true", help="read and check everything, import nothing")
        parser.add_argument("--errors", metavar="FILE", type=Path, help="where bad lines are listed (default: FILE.errors.csv)")

    def handle(self, *args: Any, **options: Any) -> None:
        account = open_account(options["account"])
        site = site_from(options, account)
        try:
            zone = zoneinfo.ZoneInfo(options["time_zone"]) if options["time_zone"] else account.zone
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
            raise CommandError("--time-zone: expected a time zone such as Europe/Berlin.") from error
        files: list[Path] = options["files"]
        folder = settings.VAR_DIR / "asterisk"
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{account.slug}-{site.source}")
        problems = Problems(options["errors"] or files[-1].with_name(f"{files[-1].name}.errors.csv"))
        with (folder / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CommandError(f"A queue_log of the source {site.source} is being imported already.") from error
            try:
                work = QueueLogImport(
                    account=account,
                    log=QueueLog(site, zone=zone, oldest=end_of_day(account, cutoff(account, at=timezone.now()))),
                    positions=Positions(folder / f"{name}.json"),
                    problems=problems,
                    is_dry_run=options["dry_run"],
                    is_from_start=options["from_start"],
                )
                with tqdm(total=sum(map(size_of, files)) or None, unit="B", unit_scale=True, disable=None) as bar:
                    work.run(files, tell=bar.update)
                self._say(work, problems)
                if options["follow"] and not options["dry_run"]:
                    self._follow(work, files[-1])
            except OSError as error:
                raise CommandError(f"{error.filename or files[-1]}: {error.strerror or error}.") from error
            except EOFError as error:
                raise CommandError("A compressed file ends too early.") from error
            except (KeyError, TypeError, ValueError) as error:
                raise CommandError(f"{folder / name}.json is damaged; remove it, and start with --from-start.") from error
            finally:
                problems.close()

    def _follow(self, work: QueueLogImport, path: Path) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: stopping.set())
        self.stdout.write(f"Reading on in {path}.")
        work.is_from_start = False  # that meant what was there at the start
        work.follow(path, is_stopped=stopping.is_set, pause=lambda: stopping.wait(1.0))

    def _say(self, work: QueueLogImport, problems: Problems) -> None:
        summary = work.summary
        unknown = ", ".join(f"{verb} ({n})" for verb, n in summary.unknown.most_common(20))
        lines = [
            (summary.n_lines, "lines"),
            (summary.n_events, "events would be imported" if work.is_dry_run else "events imported"),
            (summary.n_known, "events were in already"),
            (summary.n_expired, f"calls left out: over {KEPT_MONTHS} months old, and would be purged at once"),
            (summary.unknown.total(), f"lines of events that are not known: {unknown}"),
            (summary.n_in_error, f"in error, listed in {problems.path}"),
        ]
        for n, what in lines:
            if n or what in ("lines", lines[1][1]):
                self.stdout.write(f"{n:>10,} {what}")
        if work.is_dry_run:
            self.stdout.write("Nothing was written: this was a dry run.")
