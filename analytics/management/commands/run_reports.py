"""Writes reports that are due, wait or whose worker died, and tells people, as the timetable does by itself."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from analytics import report_runs


class Command(BaseCommand):
    help = "Writes reports that are due, wait or whose worker died, and tells people by mail."

    def handle(self, *args: Any, **options: Any) -> None:
        n_started = report_runs.start_due(at=timezone.now())
        n_taken = report_runs.continue_runs()
        n_sent = report_runs.send_mails(at=timezone.now())
        self.stdout.write(f"{n_started} reports were due, {n_taken} taken up, {n_sent} mails sent.")
