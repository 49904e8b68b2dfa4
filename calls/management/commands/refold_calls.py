"""Folds stored calls again from their raw events: after the fold was mended, or to check that it agrees.

Calls older than a week have no raw events any more and stay as they are.
"""

import datetime as dt
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from callcenter_site.slots import day_bounds
from calls.ingest import fold_due, refold
from calls.models import Call
from configuration.models import Account

BATCH = 500


class Command(BaseCommand):
    help = "Folds calls again from their raw events, while the portal serves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, help="short name of the account")
        parser.add_argument("--from", dest="first", type=_day, required=True, help="first local day, like 2026-11-01")
        parser.add_argument("--to", dest="last", type=_day, required=True, help="last local day")

    def handle(self, *args: Any, account: str, first: dt.date, last: dt.date, **options: Any) -> None:
        found = Account.objects.filter(slug=account).first()
        if found is None:
            raise CommandError(f"--account: there is no account {account!r}.")
        if last < first:
            raise CommandError("--to: lies before --from.")
        start, end = day_bounds(first, found.zone)[0], day_bounds(last, found.zone)[1]
        calls = Call.objects.for_account(found).started_within(start, end).filter(sealed_at=None).order_by("pk")
        keys = list(calls.values_list("call_key", flat=True))
        n_sealed = Call.objects.for_account(found).started_within(start, end).filter(sealed_at__isnull=False).count()
        for position in tqdm(range(0, len(keys), BATCH), desc="Calls", unit=f"×{BATCH}", disable=None):
            refold(account=found, call_keys=keys[position : position + BATCH], at=timezone.now())
            while fold_due(at=timezone.now()):
                pass
        self.stdout.write(f"Folded {len(keys)} calls again; {n_sealed} have no raw events any more.")


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError("must be a day like 2026-11-01") from error
