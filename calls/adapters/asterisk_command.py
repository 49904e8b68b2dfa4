"""What the commands that listen to an Asterisk have in common: the account, and what its site is like."""

import re
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from callcenter_site.phone_numbers import canonical
from calls.adapters.asterisk import Site, read_agents
from calls.lifecycle import PORTAL_SOURCE
from calls.vocabulary import DEPARTURES
from configuration.models import Account, ServiceNumber


def add_site_arguments(parser: CommandParser) -> None:
    parser.add_argument("--account", metavar="SLUG", required=True, help="short name of the account the calls belong to")
    parser.add_argument("--source", metavar="NAME", default="asterisk", help="names this Asterisk (default asterisk)")
    parser.add_argument("--call-prefix", metavar="TEXT", default="", help="goes before call ids, where two systems share some")
    parser.add_argument(
        "--agents",
        metavar="FILE",
        type=Path,
        help="who is who: lines of interface, extension or member name, and staff ID or email",
    )
    parser.add_argument("--internal", metavar="REGEX", default=r"\d{2,6}", help=r"extensions of the house (default \d{2,6})")
    parser.add_argument("--trunks", metavar="REGEX", help="endpoints that are trunks, though named like an extension")
    parser.add_argument("--outside-prefix", metavar="DIGITS", default="", help="dialled before an outside number")
    parser.add_argument(
        "--own-number",
        metavar="NUMBER",
        action="append",
        default=[],
        help="a number of the house besides its service numbers; repeatable",
    )
    parser.add_argument(
        "--ivr-context", metavar="REGEX", default="ivr|menu", help="dialplan contexts that are an IVR (default ivr|menu)"
    )
    parser.add_argument(
        "--exit-key",
        metavar="KEY=REASON",
        action="append",
        default=[],
        help="what leaving a queue with a key means, such as 1=callback or 2=voicemail; repeatable",
    )
    parser.add_argument(
        "--paused",
        choices=("any", "all"),
        default="any",
        help="whether an agent is on a break when paused in any of their queues (default) or in all",
    )


def open_account(slug: str) -> Account:
    account: Account | None = Account.objects.filter(slug=slug).first()
    if account is None:
        raise CommandError(f"There is no account with the short name {slug!r}.")
    if not account.is_open:
        raise CommandError(f"The account {account.slug} is terminated.")
    return account


def site_from(options: dict[str, Any], account: Account) -> Site:
    source = options["source"]
    if not source.strip() or len(source) > 100 or not source.isprintable() or source == PORTAL_SOURCE:
        raise CommandError(f"--source: expected a name of at most 100 characters other than {PORTAL_SOURCE}.")
    if len(options["call_prefix"]) > 40 or not options["call_prefix"].isprintable():
        raise CommandError("--call-prefix: expected at most 40 printable characters.")
    own = [*options["own_number"], *ServiceNumber.objects.for_account(account).values_list("number", flat=True)]
    return Site(
        source=source,
        prefix=options["call_prefix"],
        agents=_agents(options["agents"]),
        internal=_regex("--internal", options["internal"]),
        trunks=_regex("--trunks", options["trunks"]) if options["trunks"] else None,
        own_numbers=frozenset(canonical(number, account.region).lstrip("+0") for number in own),
        outside_prefix=options["outside_prefix"],
        ivr_contexts=_regex("--ivr-context", options["ivr_context"], re.IGNORECASE),
        exit_keys=dict(_exit_key(text) for text in options["exit_key"]),
        is_away_when_paused_in_part=options["paused"] == "any",
    )


def _agents(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        return read_agents(path.read_text(encoding="utf-8-sig").splitlines())
    except OSError as error:
        raise CommandError(f"--agents: {path}: {error.strerror}.") from error
    except ValueError as error:
        raise CommandError(f"--agents: {path}: {error}.") from error


def _regex(option: str, text: str, flags: int = 0) -> re.Pattern[str]:
    try:
        return re.compile(text, flags)
    except re.error as error:
        raise CommandError(f"{option}: expected a regular expression ({error}).") from error


def _exit_key(text: str) -> tuple[str, str]:
    key, equals, reason = text.partition("=")
    if not equals or len(key) != 1 or reason not in DEPARTURES:
        raise CommandError(f"--exit-key: expected a key, = and one of {', '.join(DEPARTURES)}.")
    return key, reason
