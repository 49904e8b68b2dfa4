"""Takes sound files from a folder that a telephone system writes into."""

import re
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections
from django.utils import timezone

from calls.folder import NAME, STILL_SECONDS, Watch, calls_of_cdr, take_folder, take_voicemail
from configuration.models import Account


class Command(BaseCommand):
    help = "Takes recordings from a folder into the records of their calls, and goes on watching it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--account", required=True, help="short name of the account")
        parser.add_argument("--after", choices=("move", "delete"), default="move", help="what happens to a file that was taken")
        parser.add_argument("--prefix", default="", help="what the connection puts before call IDs")
        parser.add_argument("--name", default="", help="regular expression with a group `id`, of names without their ending")
        parser.add_argument("--cdr", type=Path, help="CDR file with linkedid behind uniqueid, for recordings of transfers")
        parser.add_argument("--voicemail", action="store_true", help="the folder is Asterisk's voicemail spool")
        parser.add_argument("--still", type=float, default=STILL_SECONDS, help="seconds a file must be untouched")
        parser.add_argument("--once", action="store_true", help="look once and stop")
        parser.add_argument("--every", type=float, default=5.0, help="seconds between looks")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(slug=options["account"], terminated_at=None).first()
        if account is None:
            raise CommandError("There is no such account.")
        folder: Path = options["folder"]
        if not folder.is_dir():
            raise CommandError("There is no such folder.")
        try:
            name = re.compile(options["name"]) if options["name"] else NAME
        except re.error as error:
            raise CommandError(f"--name is no regular expression: {error}") from error
        if "id" not in name.groupindex:
            raise CommandError("--name needs a group named `id`, such as (?P<id>[0-9]+\\.[0-9]+)")
        watch = Watch(
            account,
            folder.resolve(),
            deletes=options["after"] == "delete",
            prefix=options["prefix"],
            name=name,
            still_seconds=options["still"],
        )
        while True:
            if options["cdr"]:
                with options["cdr"].open(encoding="utf-8", errors="replace", newline="") as lines:
                    watch.calls = calls_of_cdr(lines)
            if options["voicemail"]:
                counts = take_voicemail(account=account, folder=watch.folder, at=timezone.now())
            else:
                counts = take_folder(watch, at=timezone.now())
            if counts["taken"] or counts["waiting"] or counts["refused"] or options["once"]:
                self.stdout.write(", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "nothing there")
            if options["once"]:
                return
            close_old_connections()
            time.sleep(options["every"])
