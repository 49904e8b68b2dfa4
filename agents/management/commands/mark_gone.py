"""Ends the online status of those whose desk went silent, as the timetable does by itself."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from agents.presence import mark_gone


class Command(BaseCommand):
    help = "Ends the online status of those whose desk has been silent for 30 seconds."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{mark_gone(at=timezone.now())} people are gone.")
