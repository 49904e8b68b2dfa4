"""Erases once more what was erased since a copy of the database was made, before anybody is let in."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from configuration.models import Account
from retention.backups.crypt import Unreadable
from retention.backups.restore import replay


class Command(BaseCommand):
    help = "Run it after putting back an older copy of the database, before starting the portal. See docs/operations.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", metavar="SLUG", help="only this account")

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = Account.objects.order_by("pk")
        if slug := options["account"]:
            accounts = accounts.filter(slug=slug)
            if not accounts.exists():
                raise CommandError(f"There is no account with the short name {slug!r}.")
        for account in accounts:
            try:
                counts = replay(account=account, at=timezone.now())
            except (Unreadable, OSError) as error:
                raise CommandError(f"{account.slug}: what was erased could not be read from the store ({error}).") from error
            told = ", ".join(f"{n:,} {store}" for store, n in sorted(counts.items()))
            self.stdout.write(f"{account.slug}: {'erased again: ' + told if told else 'nothing had come back'}")
