"""Writes exports that wait or whose worker died, as the timetable does by itself."""

from typing import Any

from django.core.management.base import BaseCommand

from calls.exporting import continue_exports


class Command(BaseCommand):
    help = "Writes exports that wait or whose worker died."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Took up {continue_exports()} exports.")
