"""What an Asterisk site is like, and how what it says is written as events.

Sites differ in what they call agents, in dialplans and in numbering; nothing of that is guessed from one site's
traffic. `Site` holds it, with defaults that suit most. Pure: no database and no clock.
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calls.envelope import MAX_ID

Event = dict[str, Any]

UNKNOWN_AGENT = UNKNOWN_TARGET = "unknown"
"""Who it was, or whom a call was passed on to, where Asterisk does not say."""
WITHHELD = frozenset({"", "<unknown>", "anonymous", "unknown", "unavailable", "restricted", "private", "asserted", "s"})
INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9]*/[^\s|]+")
_LONGEST_NUMBER = 32


@dataclass(frozen=True, slots=True)
class Site:
    """What one site's settings are. `agents` leads from an interface, its number or a member name (in lower case) to
    the staff ID or email; where it is silent an agent goes by the number in their interface."""

    source: str = "asterisk"
    prefix: str = ""
    """Goes before call ids, where several systems of an account might use the same."""
    agents: Mapping[str, str] = field(default_factory=dict)
    internal: re.Pattern[str] = re.compile(r"\d{2,6}")
    """Numbers that are extensions of the house; the endpoints of phones are named so too."""
    trunks: re.Pattern[str] | None = None
    """Endpoints that are trunks although they look like an extension."""
    own_numbers: frozenset[str] = frozenset()
    """The house's own outside numbers, in digits: who seems to call from them is called by a dialler."""
    outside_prefix: str = ""
    """What is dialled before an outside number."""
    ivr_contexts: re.Pattern[str] = re.compile(r"ivr|menu", re.IGNORECASE)
    exit_keys: Mapping[str, str] = field(default_factory=dict)
    """What leaving a queue with a key means: `callback`, `voicemail`, `overflow`."""
    is_away_when_paused_in_part: bool = True
    """Whether a pause in one of several queues counts as a break."""
    rating_scale: int = 5

    def agent(self, interface: str = "", member: str = "") -> str:
        """How the portal is told of an agent. At least one of the two is known."""
        number = number_of(interface)
        for name in (interface, _bare(interface), number, member):
            if name and (known := self.agents.get(name.casefold())):
                return known
        return (number or member or interface or UNKNOWN_AGENT)[:MAX_ID]

    def agent_of_log(self, text: str) -> str:
        """The agent column of a queue_log: an interface in some lines, the member's name in others."""
        return self.agent(interface=text) if INTERFACE.fullmatch(text) else self.agent(member=text)

    def is_internal(self, number: str) -> bool:
        return self.internal.fullmatch(number) is not None

    def is_trunk(self, endpoint: str) -> bool:
        if self.trunks is not None and self.trunks.fullmatch(endpoint):
            return True
        return not self.is_internal(endpoint) and endpoint.casefold() not in self.agents

    def direction(self, calling: str) -> str:
        """Of a call that is first seen in a queue."""
        if self.is_internal(calling):
            return "internal"
        return "outbound" if calling.lstrip("+0") in self.own_numbers else "inbound"

    def outside(self, dialled: str) -> str:
        """An outside number without what was dialled to get out of the house."""
        number = dialled_number(dialled)
        if self.outside_prefix and number.startswith(self.outside_prefix) and len(number) > len(self.outside_prefix) + 4:
            return number[len(self.outside_prefix) :]
        plus = number.find("+")
        return number[plus:] if 0 < plus <= 3 else number

    def call_id(self, text: str) -> str:
        return f"{self.prefix}{text}"

    def event(self, key: str, event_type: str, subject: str, at: dt.datetime, data: Event, sequence: str = "") -> Event:
        event: Event = {
            "specversion": "1.0",
            "source": self.source,
            "id": key,
            "type": event_type,
            "subject": subject,
            "time": at.isoformat(),
            "data": data,
        }
        if sequence:
            event["sequence"] = sequence
        return event


def number_of(interface: str) -> str:
    """The extension in an interface: 1001 for PJSIP/1001, SIP/1001, Local/1001@agents/n; empty if it is no interface."""
    _, slash, rest = interface.partition("/")
    if not slash:
        return ""
    return rest.partition("/")[0].partition("@")[0]


def _bare(interface: str) -> str:
    """An interface without the options after its last slash: Local/1001@agents for Local/1001@agents/n."""
    tech, slash, rest = interface.partition("/")
    return f"{tech}{slash}{rest.partition('/')[0]}" if slash else interface


def dialled_number(text: str) -> str:
    """The number in a dial string: +15550100 for +15550100@carrier, carrier/15550100 or carrier/sip:+15550100@host."""
    text = text.rpartition("/")[2]
    text = re.sub(r"^(?:sips?|tel|iax2?):", "", text, flags=re.IGNORECASE)
    return text.partition("@")[0].partition(";")[0][:_LONGEST_NUMBER]


def caller(text: str) -> str:
    """A number as the carrier sends it; empty where it is withheld."""
    text = text.strip()
    return "" if text.casefold() in WITHHELD else text[:_LONGEST_NUMBER]


def content_key(*parts: Any) -> str:
    """Names an event by all it says, for a source that has no names for its events."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def read_agents(lines: list[str]) -> dict[str, str]:
    """A table of agents: each line an interface, extension or member name, a comma, and the staff ID or email.

    Raises ValueError with the line's number.
    """
    table: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, comma, reference = line.rpartition(",")
        name, reference = name.strip().strip('"'), reference.strip()
        if not comma or not name or not reference:
            raise ValueError(f"line {number}: expected an interface or a name, a comma, and a staff ID or email")
        table[name.casefold()] = reference
    return table
