"""Goes through the ledger and its anchors in object storage, and says what is wrong with them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from retention import anchors
from retention.models import LedgerEntry

SAID = {
    "edited": "was changed after it was written",
    "removed": "is missing",
    "cut_off": "and all after it are missing: the end of the chain was cut off",
    "rewritten": "does not fit what came before it, or what was anchored",
    "anchor_missing": "has no anchor in object storage any more",
    "anchor_forged": "has an anchor that this portal did not sign",
    "anchor_unreadable": "has an anchor that cannot be read",
}


class Command(BaseCommand):
    help = "Checks that no entry of the ledger was changed, taken out or cut off."

    def handle(self, *args: Any, **options: Any) -> None:
        problems = anchors.verify(at=timezone.now())
        for code, position in problems:
            self.stderr.write(f"entry {position} {SAID[code]}")
        if problems:
            raise CommandError(f"{len(problems)} things are wrong with the ledger.")
        self.stdout.write(f"{LedgerEntry.objects.count()} entries, all in order.")
