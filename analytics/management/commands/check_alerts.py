"""Holds live figures against the limits of alerts and sends what is to be said, as the timetable does by itself."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from analytics import alerts


class Command(BaseCommand):
    help = "Checks the limits of alerts and sends what is due."

    def handle(self, *args: Any, **options: Any) -> None:
        n_changed, n_sent = alerts.check_all(at=timezone.now()), alerts.send_due(at=timezone.now())
        self.stdout.write(f"{n_changed} alerts changed, {n_sent} messages were sent.")
