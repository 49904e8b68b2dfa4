"""The ledger outside of the database, and the check that finds a chain somebody tampered with.

Whoever can write to the database can write a whole new chain. So its head goes into object storage every hour, signed,
with the entries since the last time: an entry that was changed, taken out or cut off no longer fits what lies there. The
same objects tell a restored database what was erased since it was copied.
"""

import base64
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction

from callcenter_site.object_store import list_objects
from retention import ledger, signing
from retention.models import LedgerAnchor, LedgerEntry, LedgerHead

FOLDER = "ledger/"
MOST_ENTRIES = 10_000
"""In one object."""
AT_ONCE = 1000


class Problem(NamedTuple):
    code: str
    """`edited`, `removed`, `cut_off`, `rewritten`, `anchor_missing`, `anchor_forged` or `anchor_unreadable`."""
    position: int


def anchor(*, at: dt.datetime) -> int:
    """Writes what was appended since the last anchor into object storage; how many entries."""
    n_written = 0
    while True:
        last = LedgerAnchor.objects.order_by("-position").first()
        new = LedgerEntry.objects.filter(position__gt=last.position if last else 0).order_by("position")
        entries = list(new[:MOST_ENTRIES])
        if not entries:
            return n_written
        head = entries[-1]
        name = default_storage.save(f"{FOLDER}{head.position:012d}.json", ContentFile(_told(entries)))
        try:
            with transaction.atomic():
                LedgerAnchor.objects.create(position=head.position, entry_hash=head.entry_hash, key=name, anchored_at=at)
        except IntegrityError:  # another worker was as far; what it wrote says the same
            return n_written
        n_written += len(entries)


def entries_in_storage() -> Iterator[dict[str, Any]]:
    """Every entry that lies in object storage, in order, as `ledger.told` says it. Anchors that do not verify raise."""
    for name in _names():
        found, problem = _read(name)
        if problem:
            raise ValueError(f"{name}: {problem}")
        yield from found["entries"]


def verify(*, at: dt.datetime) -> list[Problem]:
    """Goes through the whole chain and all its anchors; what is wrong with them, in order."""
    problems, hashes = _problems_of_chain(_anchored_positions())
    problems += _problems_of_anchors(hashes)
    LedgerHead.objects.filter(pk=ledger.HEAD_ID).update(verified_at=at, n_problems=len(problems))
    return sorted(set(problems), key=lambda problem: (problem.position, problem.code))


def _told(entries: list[LedgerEntry]) -> bytes:
    told = [ledger.told(entry) | {"hash": bytes(entry.entry_hash).hex()} for entry in entries]
    head = {"position": entries[-1].position, "hash": bytes(entries[-1].entry_hash).hex()}
    signature = base64.b64encode(signing.sign(_signed(head))).decode()
    return json.dumps({"head": head, "signature": signature, "entries": told}, separators=(",", ":")).encode()


def _signed(head: dict[str, Any]) -> bytes:
    return f"ledger {head['position']} {head['hash']}".encode()


def _names() -> list[str]:
    return sorted(name for name, _, _ in list_objects(FOLDER))


def _anchored_positions() -> set[int]:
    return set(LedgerAnchor.objects.values_list("position", flat=True))


def _problems_of_chain(wanted: set[int]) -> tuple[list[Problem], dict[int, str]]:
    """What is wrong within the database, and the hashes at the positions that are wanted and at the last one."""
    problems: list[Problem] = []
    hashes: dict[int, str] = {}
    position, previous = 0, ledger.BEGINNING
    for entry in LedgerEntry.objects.order_by("position").iterator(chunk_size=AT_ONCE):
        if entry.position != position + 1:
            first = position + 1
            problems += [Problem("removed", missing) for missing in range(first, min(entry.position, first + AT_ONCE))]
        elif bytes(entry.previous_hash) != previous:
            problems.append(Problem("rewritten", entry.position))
        if ledger.hash_of(entry) != bytes(entry.entry_hash):
            problems.append(Problem("edited", entry.position))
        position, previous = entry.position, bytes(entry.entry_hash)
        if position in wanted:
            hashes[position] = previous.hex()
    hashes[position] = previous.hex()
    head = LedgerHead.objects.filter(pk=ledger.HEAD_ID).first()
    if head is not None and head.position > position:
        problems.append(Problem("cut_off", position + 1))
    elif position and (head is None or (head.position, bytes(head.entry_hash)) != (position, previous)):
        problems.append(Problem("rewritten", position))
    return problems, hashes


def _problems_of_anchors(hashes: dict[int, str]) -> list[Problem]:
    problems: list[Problem] = []
    last = max(hashes)
    names = set(_names())
    for kept in LedgerAnchor.objects.order_by("position"):
        if kept.key not in names:
            problems.append(Problem("anchor_missing", kept.position))
    for name in sorted(names):
        found, problem = _read(name)
        if problem:
            problems.append(Problem(problem, int(found.get("head", {}).get("position", 0))))
            continue
        position, hashed = found["head"]["position"], found["head"]["hash"]
        if position > last:
            problems.append(Problem("cut_off", last + 1))
            continue
        here = hashes.get(position) or _hash_at(position)
        if here and here != hashed:
            problems.append(Problem("rewritten", position))
    return problems


def _hash_at(position: int) -> str:
    entry = LedgerEntry.objects.filter(position=position).first()
    return bytes(entry.entry_hash).hex() if entry else ""


def _read(name: str) -> tuple[dict[str, Any], str]:
    """An anchor, and what is wrong with it by itself."""
    try:
        with default_storage.open(name) as file:
            found = json.loads(file.read())
        signature = base64.b64decode(found["signature"], validate=True)
        signed, entries = _signed(found["head"]), found["entries"]
        links = [(entry["position"], entry["hash"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return {}, "anchor_unreadable"
    is_whole = bool(links) and links[-1] == (found["head"]["position"], found["head"]["hash"])
    return found, "" if is_whole and signing.verify(signed, signature) else "anchor_forged"
