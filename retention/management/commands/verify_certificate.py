"""Says whether a certificate of deletion is genuine."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from retention import certificate


class Command(BaseCommand):
    help = "Verifies the signature of a certificate of deletion (its JSON file), and that the ledger holds its entry."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            said = json.loads(options["file"].read_bytes())
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}.") from error
        except ValueError as error:
            raise CommandError(f"{options['file']} is no JSON.") from error
        try:
            told = certificate.verify(said)
        except certificate.Invalid as error:
            raise CommandError(f"Not genuine: {error}.") from error
        self.stdout.write(f"Genuine: request {told['request']} of account {told['account']}, completed {told['completed_at']}.")
