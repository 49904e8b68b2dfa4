"""Deletes what has had its time; with --dry-run, says what would go."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from configuration.models import Account
from retention import outbox
from retention.clock import ClocksDiffer, time_of_run
from retention.models import PurgeRun
from retention.purge import purge_account
from retention.wording import in_words


class Command(BaseCommand):
    help = "Deletes calls whose six months are over, with all below them and their files, and raw events after a week."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", metavar="SLUG", help="only this account")
        parser.add_argument("--dry-run", action="store_true", help="delete nothing, say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = Account.objects.order_by("pk")
        if slug := options["account"]:
            accounts = accounts.filter(slug=slug)
            if not accounts.exists():
                raise CommandError(f"There is no account with the short name {slug!r}.")
        try:
            at = time_of_run()
        except ClocksDiffer:
            raise CommandError(
                "This machine's clock and the database's are more than five minutes apart. Set them right."
            ) from None
        failed = []
        for account in accounts:
            try:
                run = purge_account(account=account, at=at, is_dry_run=options["dry_run"])
            except Exception as error:  # the other accounts do not wait for this one
                failed.append(account.slug)
                self.stderr.write(f"{account.slug}: failed ({type(error).__name__})")
                continue
            verb = "would delete " if options["dry_run"] else "deleted "
            what = verb + in_words(run.counts) if run.counts else "nothing was due"
            self.stdout.write(f"{account.slug}: calls ended up to {run.cutoff:%Y-%m-%d}: {what}")
            if run.error and run.state != PurgeRun.State.DONE:
                failed.append(account.slug)
                self.stderr.write(f"{account.slug}: {run.error}")
        if not options["dry_run"]:
            result = outbox.work_off(at=at)
            if result.n_deleted or result.n_failed:
                self.stdout.write(f"files: {result.n_deleted} deleted, {result.n_failed} to be tried again")
        if failed:
            raise CommandError(f"Not finished: {', '.join(dict.fromkeys(failed))}.")
