"""Ends wrap-ups whose time is over, as the timetable does by itself."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from agents.presence import end_wrap_ups


class Command(BaseCommand):
    help = "Ends the wrap-ups whose time is over."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Ended {end_wrap_ups(at=timezone.now())} wrap-ups.")
