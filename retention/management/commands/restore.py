"""Brings an account back from its backups."""

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from callcenter_site.object_store import list_objects
from configuration.models import Account
from retention.backups.crypt import Unreadable
from retention.backups.kinds import Kind
from retention.backups.manifest import PREFIX, read_manifest
from retention.backups.restore import REFUSED, Fenced, Refused, restore
from retention.models import RestoreRun


class Command(BaseCommand):
    help = "Brings an account back from its backups, into this portal or an empty one. See docs/operations.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--list", action="store_true", help="say which accounts and nights the store holds")
        parser.add_argument("--account", metavar="NAME", help="short name, or the number that --list tells")
        parser.add_argument("--night", metavar="DAY", help="whose people and configuration (default: the last)")
        parser.add_argument("--into-existing", action="store_true", help="bring back what is missing beside what is there")
        parser.add_argument(
            "--with-raw-events", action="store_true", help="also those that have had their week, to fold calls again"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self._list()
            return
        if not options["account"]:
            raise CommandError("Say --account, or --list.")
        account_id = self._account_id(options["account"])
        try:
            night = dt.date.fromisoformat(options["night"]) if options["night"] else None
        except ValueError as error:
            raise CommandError("--night: expected a day such as 2026-11-24.") from error
        with tqdm(unit=" rows", disable=None) as bar:

            def tell(run: RestoreRun, n_done: int, n_all: int) -> None:
                bar.total = n_all
                bar.set_description(f"{run.kind} {run.day}")
                bar.update(n_done - bar.n)

            try:
                run = restore(
                    account_id=account_id,
                    at=timezone.now(),
                    night=night,
                    into_existing=options["into_existing"],
                    with_raw_events=options["with_raw_events"],
                    tell=tell,
                )
            except Refused as error:
                raise CommandError(str(REFUSED[str(error)])) from error
            except Fenced as error:
                raise CommandError("Another process has taken this restore up.") from error
            except (Unreadable, OSError) as error:
                raise CommandError(
                    f"An object could not be read ({error}). The account stays closed; run the same again."
                ) from error
        for name, n in sorted(run.counts.items()):
            self.stdout.write(f"{n:>12,} {name.replace('_', ' ')}")
        self.stdout.write(f"Account {account_id} is back as of the night of {run.night:%Y-%m-%d}, and open.")

    def _account_id(self, said: str) -> int:
        found = Account.objects.filter(slug=said).values_list("pk", flat=True).first()
        if found is None and not said.isdigit():
            raise CommandError(f"There is no account with the short name {said!r}. --list tells the numbers in the store.")
        return int(said) if found is None else int(found)

    def _list(self) -> None:
        names = [name.split("/") for name, _at, _size in list_objects("backups") if f"/{PREFIX}" in name]
        known = dict(Account.objects.values_list("pk", "slug"))
        for account_id in sorted({int(parts[1]) for parts in names}):
            try:
                manifest = read_manifest(account_id)
            except Unreadable as error:
                self.stdout.write(f"{account_id}: {REFUSED.get(str(error), error)}")
                continue
            if manifest is None:
                continue
            nights = sorted(one.day for one in manifest.objects if one.kind == Kind.CONFIGURATION)
            n_rows = sum(one.n_rows for one in manifest.objects)
            told = ", ".join(f"{night:%Y-%m-%d}" for night in nights)
            self.stdout.write(f"{account_id} ({known.get(account_id, 'not here')}): {n_rows:,} rows; nights {told}")
