"""Counts any range again, while the portal serves."""

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Max, Min
from django.utils import timezone
from tqdm import tqdm

from agents.models import StatusChange
from analytics.rollup import rebuild
from callcenter_site.slots import SLOT, day_bounds
from calls.models import Call
from configuration.models import Account


class Command(BaseCommand):
    help = (
        "Counts slots again from calls and statuses, and adds up their days. "
        "Safe to run while the portal serves, to stop and to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", metavar="SHORT_NAME", help="only this account; default: all")
        parser.add_argument(
            "--from", dest="first", metavar="DAY", type=_day, help="first local day, default: that of the first call"
        )
        parser.add_argument("--to", dest="last", metavar="DAY", type=_day, help="last local day, default: that of the last call")
        parser.add_argument(
            "--force",
            action="store_true",
            help="also lower the counts of slots whose calls have been erased: they cannot be counted again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = Account.objects.order_by("pk")
        if options["account"]:
            accounts = accounts.filter(slug=options["account"])
            if not accounts:
                raise CommandError(f"--account: there is no account {options['account']!r}.")
        if options["first"] and options["last"] and options["first"] > options["last"]:
            raise CommandError("--from: lies after --to.")
        for account in accounts:
            self._rebuild(account, options["first"], options["last"], force=options["force"])

    def _rebuild(self, account: Account, first: dt.date | None, last: dt.date | None, *, force: bool) -> None:
        calls = Call.objects.for_account(account).aggregate(first=Min("started_at"), last=Max("last_event_at"))
        statuses = StatusChange.objects.for_account(account).aggregate(first=Min("started_at"), last=Max("started_at"))
        firsts, lasts = ([one[key] for one in (calls, statuses) if one[key] is not None] for key in ("first", "last"))
        if not firsts and not (first and last):
            self.stdout.write(f"{account.slug}: no calls to count.")
            return
        # From a local midnight, so that the runs of the rebuild are the days that it adds up.
        start = day_bounds(first or min(firsts).astimezone(account.zone).date(), account.zone)[0]
        end = day_bounds(last, account.zone)[1] if last else max(lasts)
        n_changed = n_kept = 0
        with tqdm(total=max(1, -(-(end - start) // SLOT)), desc=account.slug, unit="slot", disable=None) as bar:
            for refilled in rebuild(account=account, start=start, end=end, at=timezone.now(), force=force):
                n_changed += len(refilled.changed)
                n_kept += len(refilled.kept)
                bar.update(refilled.n_slots)
        self.stdout.write(f"{account.slug}: {n_changed} slots changed.")
        if n_kept:
            self.stdout.write(f"{account.slug}: {n_kept} slots kept as they were, for calls counted there have been erased.")


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is not a day; write it like 2026-01-31.") from error
