"""Looks for keywords that changed in the calls of the last month, as the timetable does by itself."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from calls.hits import match_anew


class Command(BaseCommand):
    help = "Looks for keywords that changed in the calls of the last 30 days. What was interrupted goes on where it stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        n_calls = match_anew(clock=timezone.now, seconds=float("inf"))
        self.stdout.write(f"Looked through {n_calls} calls.")
