"""Forgets the answers to requests that named themselves, as the timetable does by itself."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from configuration.idempotency import answers_to_forget, forget_answers


class Command(BaseCommand):
    help = "Forgets the answers to requests with an Idempotency-Key that are older than a day."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many answers are older than a day")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        at = timezone.now()
        if dry_run:
            self.stdout.write(f"{answers_to_forget(at=at).count()} answers are older than a day.")
        else:
            self.stdout.write(f"Forgot {forget_answers(at=at)} answers.")
