"""Counts the last days again and reports what had drifted."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from analytics.rollup import RECOUNT_DAYS, recount_all


class Command(BaseCommand):
    help = f"Counts the last {RECOUNT_DAYS} days of every account again, reports drift and repairs it. Scheduled every night."

    def handle(self, *args: Any, **options: Any) -> None:
        n_drifted = recount_all(at=timezone.now())
        self.stdout.write(f"{n_drifted} slots had drifted and were repaired." if n_drifted else "No drift.")
