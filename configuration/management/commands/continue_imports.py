"""Takes up imports whose worker died, as the timetable does by itself."""

from typing import Any

from django.core.management.base import BaseCommand

from configuration.importing.run import continue_imports


class Command(BaseCommand):
    help = "Checks or writes imports that wait for a worker."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Took up {continue_imports()} imports.")
