"""Folds what waits in the inbox, as the worker does by itself."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from calls.ingest import fold_due


class Command(BaseCommand):
    help = "Folds all waiting events into service records."

    def handle(self, *args: Any, **options: Any) -> None:
        n_events = 0
        while folded := fold_due(at=timezone.now()):
            n_events += folded
        self.stdout.write(f"Folded {n_events} events.")
