"""Removes exports older than a day with their files, as the timetable does by itself."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from calls.exporting import exports_to_forget, forget_exports


class Command(BaseCommand):
    help = "Removes exports older than a day, each file before its row."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many exports are that old")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        at = timezone.now()
        if dry_run:
            self.stdout.write(f"{exports_to_forget(at=at).count()} exports are older than a day.")
        else:
            self.stdout.write(f"Removed {forget_exports(at=at)} exports.")
