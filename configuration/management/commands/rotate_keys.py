"""Changes keys while the portal serves."""

import time
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from configuration import key_rotation
from configuration.encryption import newest_key_id
from configuration.key_rotation import INSTALLATION, RotationRefused
from configuration.models import Account, DataKey


class Command(BaseCommand):
    help = (
        "Puts every stored key under the newest of ENCRYPTION_KEYS, so that older ones can be removed. With --data it also "
        "makes new data keys and writes all personal columns anew. The portal may serve meanwhile; stopped and run again, "
        "it goes on where it was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", action="store_true", help="also renew data keys that an older key ever wrapped")
        parser.add_argument("--again", action="store_true", help="with --data: renew also data keys made under the newest key")
        parser.add_argument("--account", metavar="NAME", help="only this account, by its short name")
        parser.add_argument("--check", action="store_true", help="change nothing; say how many values hang on which key")

    def handle(self, *args: Any, data: bool, again: bool, account: str | None, check: bool, **options: Any) -> None:
        only = self._account(account)
        if again and not data:
            raise CommandError("--again goes with --data.")
        if check:
            self._check(only)
            return
        with tqdm(
            total=key_rotation.count_rows(only) if data else 0, unit="row", desc="Rows", disable=None if data else True
        ) as bar:

            def wait(seconds: float) -> None:
                bar.set_description(f"Waiting {seconds:.0f} s until every process knows the new keys")
                time.sleep(min(seconds, 5.0))

            def seen(n: int) -> None:
                bar.update(n)

            try:
                outcome = key_rotation.rotate(account=only, data=data, again=again, seen=seen, wait=wait)
            except RotationRefused as error:
                raise CommandError(str(error)) from error
        if outcome.did_nothing and not outcome.unreadable:
            self.stdout.write("Nothing to do.")
            return
        self.stdout.write(f"{outcome.n_rewrapped} keys put under {newest_key_id()!r}.")
        if data:
            self.stdout.write(
                f"{outcome.n_new_keys} data keys made, {outcome.n_values} values written anew, "
                f"{outcome.n_destroyed} old data keys destroyed."
            )
        if outcome.unreadable:
            listed = ", ".join(outcome.unreadable[:20])
            raise CommandError(
                f"{len(outcome.unreadable)} values open with no key and were left as they are, with the keys they name: {listed}"
            )

    def _account(self, slug: str | None) -> Account | None:
        if slug is None:
            return None
        try:
            return Account.objects.get(slug=slug)
        except Account.DoesNotExist as error:
            raise CommandError(f"There is no account {slug!r}.") from error

    def _check(self, only: Account | None) -> None:
        values = key_rotation.count_values(only)
        stored = {(key.owner, key.number): key.key_id for key in DataKey.objects.filter(purpose=DataKey.Purpose.DATA)}
        accounts = Account.objects.all() if only is None else Account.objects.filter(pk=only.pk)
        slugs = {INSTALLATION: "(installation)"}
        for account in accounts.order_by("slug"):
            slugs[account.pk] = account.slug
            if account.wrapped_key:
                stored[account.pk, 1] = account.key_id
        wrapped_by: Counter[str] = Counter(key_id for (owner, _number), key_id in stored.items() if owner in slugs)
        self.stdout.write(f"{'account':<30} {'data key':>8}  {'wrapped by':<20} {'values':>9}")
        for owner, number in sorted({*stored, *values}, key=lambda one: (slugs.get(one[0], ""), one[1] or 0)):
            if owner not in slugs or (only is not None and owner != only.pk):
                continue
            wrapped = stored.get((owner, number or 0)) or self._unstored(owner, number)
            self.stdout.write(f"{slugs[owner]:<30} {number or '?':>8}  {wrapped:<20} {values[owner, number]:>9}")
        for key_id, n in sorted(wrapped_by.items()):
            self.stdout.write(f"{key_id}: {n} data keys" + (" (newest)" if key_id == newest_key_id() else ""))
        for key_id, n in sorted((key_rotation.count_keys(only) - wrapped_by).items()):
            self.stdout.write(f"{key_id}: {n} other keys" + (" (newest)" if key_id == newest_key_id() else ""))
        if only is None and not DataKey.objects.filter(owner=INSTALLATION).exists():
            self.stdout.write(
                "The installation's keys still follow from the first of ENCRYPTION_KEYS: run rotate_keys to store them."
            )

    @staticmethod
    def _unstored(owner: int, number: int | None) -> str:
        return "(first of all)" if owner == INSTALLATION and number == 1 else "(missing)"
