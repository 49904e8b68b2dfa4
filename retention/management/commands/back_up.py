"""Makes what the nightly job makes: an account's last night, and whatever was changed since the last one."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from configuration.models import Account
from retention.backups.crypt import Keys
from retention.backups.night import back_up
from retention.backups.objects import ERRORS, verify
from retention.models import BackupObject, BackupRun


class Command(BaseCommand):
    help = "Writes encrypted backups of accounts into object storage and reads them back. See docs/operations.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", metavar="SLUG", help="only this account")
        parser.add_argument("--verify", action="store_true", help="write nothing; read back everything there is")
        parser.add_argument(
            "--accept-missing",
            action="store_true",
            help="write days again of which many rows are gone: the backup forgets them as well",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = Account.objects.filter(terminated_at=None, restoring_since=None).order_by("pk")
        if slug := options["account"]:
            accounts = accounts.filter(slug=slug)
            if not accounts.exists():
                raise CommandError(f"There is no account in use with the short name {slug!r}.")
        work = self._verify if options["verify"] else self._back_up
        failed = [account.slug for account in accounts if not work(account, options)]
        if failed:
            raise CommandError(f"Not finished: {', '.join(failed)}.")

    def _back_up(self, account: Account, options: dict[str, Any]) -> bool:
        run = back_up(account=account, at=timezone.now(), again=True, accept_missing=options["accept_missing"])
        if run is None:
            self.stdout.write(f"{account.slug}: is being backed up already")
            return True
        self.stdout.write(
            f"{account.slug}: night of {run.day:%Y-%m-%d}: {run.n_written} objects with {run.n_rows:,} rows written,"
            f" {run.n_expired} expired, {run.n_failed} failed"
        )
        self._tell_errors(account)
        return run.state == BackupRun.State.DONE

    def _verify(self, account: Account, options: dict[str, Any]) -> bool:
        keys = Keys.of(account.pk)
        rows = BackupObject.objects.for_account(account).without_manifest().exclude(key="")
        bad = [one for one in rows.order_by("day", "kind").iterator() if not verify(one, keys=keys)]
        self.stdout.write(f"{account.slug}: {rows.count()} objects read back, {len(bad)} bad")
        self._tell_errors(account)
        return not bad

    def _tell_errors(self, account: Account) -> None:
        for one in BackupObject.objects.for_account(account).exclude(error="").order_by("day", "kind"):
            self.stderr.write(f"  {one}: {ERRORS.get(one.error, one.error)}")
