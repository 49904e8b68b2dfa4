"""Removes the rows of imports older than a day, as the timetable does by itself."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from configuration.importing.run import forget_rows, rows_to_forget


class Command(BaseCommand):
    help = "Removes the rows of imports older than a day. Their reports stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many imports hold such rows")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        at = timezone.now()
        if dry_run:
            self.stdout.write(f"{len(rows_to_forget(at=at))} imports hold rows older than a day.")
        else:
            self.stdout.write(f"Removed the rows of {forget_rows(at=at)} imports.")
