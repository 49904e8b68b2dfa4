"""Matches names of agents and groups that events used before the portal knew them, as the timetable does by itself."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from calls.ingest import match_references


class Command(BaseCommand):
    help = "Gives records the agents and skill groups that are known by now."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Matched {match_references(at=timezone.now())} names.")
