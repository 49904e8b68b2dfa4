"""Opens an account again that is being terminated, as long as nothing of it has gone."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from configuration.models import Account
from retention import deletion
from retention.models import DeletionRequest


class Command(BaseCommand):
    help = "Takes back the termination of an account, until the day it begins to be erased. Its people can sign in again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(slug=options["slug"]).first()
        if account is None:
            raise CommandError(f"There is no account with the short name {options['slug']!r}.")
        request = (
            DeletionRequest.objects.for_account(account).filter(kind="account", state=DeletionRequest.State.APPROVED).first()
        )
        if request is None:
            raise CommandError(f"No termination of {account.slug} can be taken back.")
        deletion.take_back(request, at=timezone.now())
        self.stdout.write(f"{account.slug} is open again.")
