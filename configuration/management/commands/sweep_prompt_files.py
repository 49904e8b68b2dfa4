"""Takes away files of IVR prompts that no row uses, as the timetable does by itself."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from configuration.prompts import loose_files, sweep_prompt_files


class Command(BaseCommand):
    help = "Takes away files of IVR prompts that were cut off while they were stored, or replaced and not deleted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        at = timezone.now()
        if dry_run:
            self.stdout.write(f"{loose_files(at=at).count()} files lie beside those in use.")
        else:
            self.stdout.write(f"Took away {sweep_prompt_files(at=at)} files.")
