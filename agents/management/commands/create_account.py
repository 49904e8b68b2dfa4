"""Opens an account with its first administrator."""

import getpass
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from agents.onboarding import free_slug, open_account
from configuration.models import Account

FROM_ENVIRONMENT = ("ACCOUNT_NAME", "ADMIN_EMAIL", "ADMIN_PASSWORD")


class Command(BaseCommand):
    help = (
        "Opens an account with its first administrator. Asks for what is missing; without a terminal it takes "
        "ACCOUNT_NAME, ADMIN_NAME, ADMIN_EMAIL and ADMIN_PASSWORD from the environment."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--time-zone",
            default=os.environ.get("ACCOUNT_TIME_ZONE", "UTC"),
            help="like Asia/Shanghai; days and reports follow it",
        )
        parser.add_argument(
            "--region", default=os.environ.get("ACCOUNT_REGION", "CN"), help="country in which numbers without + are read"
        )
        parser.add_argument("--if-none", action="store_true", help="do nothing when there is an account already")

    def handle(self, *args: Any, time_zone: str, region: str, if_none: bool, **options: Any) -> None:
        if if_none and Account.objects.exists():
            return
        answers = self._ask() if sys.stdin.isatty() else self._from_environment()
        try:
            administrator = open_account(slug=free_slug(answers["name"]), time_zone=time_zone, region=region, **answers)
        except ValidationError as error:
            raise CommandError(
                "; ".join(f"{field}: {' '.join(reasons)}" for field, reasons in error.message_dict.items())
            ) from error
        self.stdout.write(f"Account “{administrator.account}” is open. Its administrator signs in with the email given.")

    def _from_environment(self) -> dict[str, str]:
        missing = [name for name in FROM_ENVIRONMENT if not os.environ.get(name)]
        if missing:
            raise CommandError(
                "There is no terminal to ask on. Set ACCOUNT_NAME, ADMIN_EMAIL and ADMIN_PASSWORD "
                f"(and ADMIN_NAME if you like); missing: {', '.join(missing)}."
            )
        return {
            "name": os.environ["ACCOUNT_NAME"],
            "administrator_name": os.environ.get("ADMIN_NAME") or "Administrator",
            "administrator_email": os.environ["ADMIN_EMAIL"],
            "password": os.environ["ADMIN_PASSWORD"],
        }

    def _ask(self) -> dict[str, str]:
        self.stdout.write("The first account of this portal, and the administrator who signs in to it.")
        try:
            return {
                "name": self._answer("Account name", "ACCOUNT_NAME"),
                "administrator_name": self._answer("Your name", "ADMIN_NAME"),
                "administrator_email": self._answer("Your email", "ADMIN_EMAIL"),
                "password": os.environ.get("ADMIN_PASSWORD") or self._new_password(),
            }
        except (KeyboardInterrupt, EOFError) as error:
            raise CommandError("Nothing was created.") from error

    def _answer(self, question: str, name: str, read: Callable[[str], str] = input) -> str:
        given = os.environ.get(name, "").strip()
        while not given:
            given = read(f"{question}: ").strip()
        return given

    def _new_password(self) -> str:
        while True:
            password = getpass.getpass("Password (at least 10 characters): ")
            if password == getpass.getpass("The same again: "):
                return password
            self.stderr.write("The two differ.")
