"""Removes reports older than a week with their files, as the timetable does by itself."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from analytics.report_runs import forget_runs, runs_to_forget


class Command(BaseCommand):
    help = "Removes reports older than a week, each file before its row."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many reports are that old")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        at = timezone.now()
        if dry_run:
            self.stdout.write(f"{runs_to_forget(at=at).count()} reports are older than a week.")
        else:
            self.stdout.write(f"Removed {forget_runs(at=at)} reports.")
