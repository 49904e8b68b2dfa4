"""Closes calls of which nothing was heard for hours, as the timetable does by itself."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from calls.ingest import close_silent_calls


class Command(BaseCommand):
    help = "Closes silent calls as lost contact (SILENT_CALL_SECONDS)."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Closed {close_silent_calls(at=timezone.now())} silent calls.")
