"""Ten minutes of a lab Asterisk (22.10, 109 calls): what it logged and sent, and what really happened, call by call.

No real person, number or company: the numbers come from ranges kept for fiction, the names are invented.
"""

import datetime as dt
import gzip
import json
import lzma
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from callcenter_site.phone_numbers import canonical
from calls.adapters.asterisk import Site
from calls.lifecycle import CallFacts, Event, fold

FOLDER = Path(__file__).parent / "capture"
AGENTS = {
    "alice moreau": "1001",
    "bob okafor": "1002",
    "carmen díaz": "1003",
    "david chen": "1004",
    "elena petrova": "1005",
    "farid haddad": "1006",
    "grace o'neil": "1007",
    "hugo lindqvist": "1008",
}
SITE = Site(
    agents=AGENTS, own_numbers=frozenset({"12025550100"}), exit_keys={"1": "callback", "2": "voicemail"}, outside_prefix="9"
)


@cache
def truth() -> dict[str, Any]:
    return json.loads(gzip.decompress((FOLDER / "truth.json.gz").read_bytes()))


@cache
def queue_log() -> list[str]:
    return gzip.decompress((FOLDER / "queue_log.gz").read_bytes()).decode().splitlines()


@cache
def ami() -> bytes:
    return lzma.decompress((FOLDER / "ami.txt.xz").read_bytes())


@cache
def arrivals() -> list[tuple[int, float]]:
    """Where each network read began in the session, and when it came."""
    rows = gzip.decompress((FOLDER / "ami.idx.gz").read_bytes()).decode().split("\n")
    return [(int(row.split()[0]), float(row.split()[1])) for row in rows if row.strip()]


def at(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def folded(events: list[dict[str, Any]]) -> dict[str, CallFacts]:
    """The records that events make, by call id."""
    calls: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event["type"].startswith("call."):
            moment = dt.datetime.fromisoformat(event["time"])
            key = event["id"].encode()
            made = Event(event["type"], moment, event["data"], key, event["source"], event.get("sequence", ""))
            calls[event["subject"]].append(made)
    return {subject: fold(own) for subject, own in calls.items()}


def number(text: str | None) -> str:
    return canonical(text, "US") if text else ""
