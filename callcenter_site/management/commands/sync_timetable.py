"""Brings the timetable into the tables that beat reads; beat does the same whenever it starts."""

from typing import Any

from django.core.management.base import BaseCommand

from callcenter_site.timetable import sync_timetable


class Command(BaseCommand):
    help = "Adds the jobs of this release to the timetable. Times and switches an operator changed stay as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{sync_timetable()} entries of the timetable changed.")
