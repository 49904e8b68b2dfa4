"""Warns of deletion requests that come due now."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from retention import access_request, deadlines, deletion


class Command(BaseCommand):
    help = "Warns of deletion requests that come due, and destroys what nobody needs to read any more."

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        n_warned = deadlines.warn(at=at)
        n_forgotten = deletion.forget_subjects(at=at) + access_request.forget_files(at=at)
        self.stdout.write(f"warned of {n_warned} requests; {n_forgotten} were made unreadable")
