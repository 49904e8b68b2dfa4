"""Counts everything that changed since the last count."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from analytics.rollup import drain_stale_slots


class Command(BaseCommand):
    help = "Counts the slots again whose calls have changed. The timetable does this every few seconds."

    def handle(self, *args: Any, **options: Any) -> None:
        n_slots = 0
        while filled := drain_stale_slots(at=timezone.now()):
            n_slots += filled
        self.stdout.write(f"Counted {n_slots} slots.")
