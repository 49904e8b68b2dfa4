"""Looks at a running installation from end to end; the word of exit says whether something needs a hand."""

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.module_loading import autodiscover_modules

from callcenter_site.doctor.findings import ERROR, NOT_IN_USE, OK, PARTS, WARNING, Finding, examine, worst_of


class Command(BaseCommand):
    help = (
        "Looks at everything the portal stands on - settings, machine, database, Redis, store, mail, jobs, public address - and "
        "says how to mend what is wrong. Changes nothing. Ends with 1 if something is wrong, with --strict also at a warning."
    )
    requires_system_checks: list[str] = []  # type: ignore[assignment]  # they are part of what it looks at

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object, for programs")
        parser.add_argument("--strict", action="store_true", help="end with 1 at a warning as well")
        parser.add_argument(
            "--only", action="append", default=[], choices=PARTS, metavar="PART", help="one part only: " + ", ".join(PARTS)
        )

    def handle(self, *args: Any, as_json: bool, strict: bool, only: list[str], **options: Any) -> None:
        autodiscover_modules("doctor")  # each app's own
        found = []
        part = ""
        for finding in examine(only):
            found.append(finding)
            if as_json:
                continue
            if finding.part != part:
                part = finding.part
                self.stdout.write(self.style.MIGRATE_HEADING(f"\n{part}"))
            self._show(finding)
        worst = worst_of(found)
        if as_json:
            self.stdout.write(json.dumps({"state": worst, "findings": [one.as_dict() for one in found]}, indent=2))
        else:
            counted = Counter(finding.state for finding in found)
            self.stdout.write(f"\n{counted[ERROR]} wrong, {counted[WARNING]} to look at, {counted[OK]} well.")
        if worst == ERROR or (strict and worst == WARNING):
            sys.exit(1)

    def _show(self, finding: Finding) -> None:
        paint = {OK: self.style.SUCCESS, WARNING: self.style.WARNING, ERROR: self.style.ERROR, NOT_IN_USE: self.style.NOTICE}
        mark = {OK: "ok", WARNING: "look", ERROR: "WRONG", NOT_IN_USE: "-"}[finding.state]
        if finding.state == NOT_IN_USE:
            self.stdout.write(f"  {mark:<6} {finding.name}: {finding.said}")
        else:
            self.stdout.write(f"  {paint[finding.state](f'{mark:<6}')} {finding.name}: {finding.said}")
        if finding.mend:
            self.stdout.write(f"         -> {finding.mend}")
        self.stdout.flush()
