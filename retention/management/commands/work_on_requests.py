"""Goes on with deletion and access requests now."""

from typing import Any

from django.core.management.base import BaseCommand

from retention import access_request, deletion


class Command(BaseCommand):
    help = "Goes on with every deletion and access request that is due, as the timetable does."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{deletion.work_due()} deletion requests, {access_request.work_due()} access requests")
