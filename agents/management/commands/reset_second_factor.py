"""For who lost phone and recovery codes, and whose administrator cannot help: the last administrator, and operators."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from agents.models import Agent, email_index
from agents.second_factor import turn_off
from configuration.models import Account


class Command(BaseCommand):
    help = "Turns off the second factor of people who lost it. First make sure that it is really them who ask."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("staff_id", nargs="*", help="staff IDs in the account")
        parser.add_argument("--account", help="short name of their account")
        parser.add_argument("--operator", help="email of an operator, who belongs to no account")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["operator"]) == bool(options["account"] and options["staff_id"]):
            raise CommandError("Say --account NAME with staff IDs, or --operator EMAIL.")
        for agent in [self._operator(options["operator"])] if options["operator"] else self._people(options):
            if not turn_off(agent=agent, at=timezone.now()):
                raise CommandError(f"{agent.staff_id or 'The operator'} has no second factor.")
            self.stdout.write(f"The second factor of {agent.staff_id or 'the operator'} is off; their sessions have ended.")

    def _operator(self, email: str) -> Agent:
        operator: Agent | None = Agent.objects.filter(email_hash=email_index(email), is_superuser=True).first()
        if operator is None:
            raise CommandError("There is no operator with this email.")
        return operator

    def _people(self, options: dict[str, Any]) -> list[Agent]:
        account = Account.objects.filter(slug=options["account"]).first()
        if account is None:
            raise CommandError(f"There is no account {options['account']!r}.")
        people = {agent.staff_id: agent for agent in Agent.objects.for_account(account).filter(staff_id__in=options["staff_id"])}
        if missing := [one for one in options["staff_id"] if one not in people]:
            raise CommandError(f"Nobody in {account.slug} has the staff ID {', '.join(missing)}.")
        return [people[one] for one in options["staff_id"]]
