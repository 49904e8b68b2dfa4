"""What comes late about something that was erased, and must not be taken in again.

What must never happen: an event sent again, or one that was on its way, brings back what somebody had erased; or a new
call of the same number is kept out. So a tombstone says up to which moment it is meant, and intake and fold both ask:
intake before an event is stored, the fold once it has locked the call, for an event stored a moment before the erasure.
"""

import datetime as dt
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from agents.erasure import shell_name
from agents.matching import find_agents
from callcenter_site.bulk import parts
from callcenter_site.erasure import delete_rows
from callcenter_site.phone_numbers import canonical
from calls.envelope import NewEvent
from calls.models import Call, CallEvent, Tombstone
from calls.vocabulary import AGENT_TYPES, agents_named
from configuration.encryption import blind_index
from configuration.models import Account

ERASED = "erased"
"""What stands in place of a number that was somebody's. It has letters, so it is no number."""
SOUND_TYPES = frozenset({"call.recorded", "call.voicemail_left"})
_PARTIES = ("calling_number", "called_number")
_OTHERS = ("number", "to_number")

Kind = Tombstone.Kind


def hash_of(account_id: int, kind: str, value: str) -> bytes:
    return blind_index(f"{kind}\0{value}", account_id=account_id, context="calls_tombstone.key")


def plant(account_id: int, kind: str, values: Iterable[str], *, up_to: dt.datetime, agent_id: int | None = None) -> None:
    """Says that these were erased up to a moment. Again is fine, and moves the moment on."""
    hashes = sorted({hash_of(account_id, kind, value) for value in values})
    rows = [Tombstone(account_id=account_id, kind=kind, key_hash=one, up_to=up_to, agent_id=agent_id) for one in hashes]
    Tombstone.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
    there = Tombstone.objects.for_account(account_id).filter(kind=kind, up_to__lt=up_to)
    for some in parts(hashes):
        there.filter(key_hash__in=some).update(up_to=up_to, agent_id=agent_id)


def erased_calls(account_id: int, call_keys: Collection[bytes], *, kind: str = Kind.CALL) -> set[bytes]:
    """Those of the calls that were erased."""
    rows = Tombstone.objects.for_account(account_id).filter(kind=kind)
    if not call_keys or not rows.exists():
        return set()
    hashes = {hash_of(account_id, kind, key.hex()): key for key in call_keys}
    found = rows.filter(key_hash__in=list(hashes)).values_list("key_hash", flat=True)
    return {hashes[bytes(one)] for one in found}


def sift(account: Account, events: Sequence[NewEvent]) -> list[NewEvent | None]:
    """The events as they may be stored, in their order: None in place of one about what was erased."""
    if not events or not Tombstone.objects.for_account(account).exists():
        return list(events)
    stones = _stones(account, events)
    if not stones:
        return list(events)
    began = _began(account, {event.call_key for event in events})
    sifted: list[NewEvent | None] = [_sift_one(account, event, stones, began) for event in events]
    # A call of the number from before is known by its start; the rest of it says no number, and goes with it.
    gone = {one.call_key for one, kept in zip(events, sifted, strict=True) if kept is None and one.type == "call.started"}
    if gone:
        starts = {event.call_key: event.occurred_at for event in events if event.call_key in gone}
        plant(account.pk, Kind.CALL, [key.hex() for key in gone], up_to=max(starts.values()))
    return [None if event is None or event.call_key in gone else event for event in sifted]


Stones = Mapping[tuple[str, str], Tombstone]


def _stones(account: Account, events: Sequence[NewEvent]) -> Stones:
    """The tombstones that the events touch, by kind and value."""
    asked: set[tuple[str, str]] = set()
    for event in events:
        asked |= {(Kind.CALL, event.call_key.hex())}
        if event.type in SOUND_TYPES:
            asked |= {(Kind.AUDIO, event.call_key.hex())}
        asked |= {(Kind.NUMBER, number) for _, number in _numbers(account, event)}
        asked |= {(Kind.AGENT, name) for _, name in agents_named(event.type, event.data)}
    by_hash = {(kind, hash_of(account.pk, kind, value)): (kind, value) for kind, value in asked}
    found: dict[tuple[str, str], Tombstone] = {}
    for some in parts([digest for _, digest in by_hash]):
        for stone in Tombstone.objects.for_account(account).filter(key_hash__in=some):
            if what := by_hash.get((stone.kind, bytes(stone.key_hash))):
                found[what] = stone
    if names := {name for kind, name in found if kind == Kind.AGENT}:
        # Somebody new may have been given the staff ID: it is theirs, but in calls from before.
        for name in find_agents(account=account, references=names):
            found[(_TAKEN, name)] = found[(Kind.AGENT, name)]
    return found


_TAKEN = "taken"


def _numbers(account: Account, event: NewEvent) -> list[tuple[str, str]]:
    said = [(name, event.data.get(name)) for name in (*_PARTIES, *_OTHERS)]
    return [(name, canonical(value, account.region)) for name, value in said if isinstance(value, str) and value]


def _began(account: Account, call_keys: Collection[bytes]) -> dict[bytes, dt.datetime]:
    """When the calls began that are known already."""
    rows = Call.objects.for_account(account).filter(call_key__in=list(call_keys))
    return {bytes(key): at for key, at in rows.values_list("call_key", "started_at")}


def _sift_one(account: Account, event: NewEvent, stones: Stones, began: Mapping[bytes, dt.datetime]) -> NewEvent | None:
    key = event.call_key.hex()
    if (Kind.CALL, key) in stones or (event.type in SOUND_TYPES and (Kind.AUDIO, key) in stones):
        return None
    since = min(event.occurred_at, began.get(event.call_key, event.occurred_at))
    data = event.data
    for name, number in _numbers(account, event):
        stone = stones.get((Kind.NUMBER, number))
        if stone is not None and since <= stone.up_to:
            if name in _PARTIES:
                return None
            data = {**data, name: ERASED}
    for name, reference in agents_named(event.type, event.data):
        stone = stones.get((Kind.AGENT, reference))
        if stone is None:
            continue
        if since <= stone.up_to:
            if event.type in AGENT_TYPES:
                return None
            data = {**data, name: shell_name(stone.agent_id or 0)}
        elif event.type in AGENT_TYPES and (_TAKEN, reference) not in stones:
            return None  # a platform that goes on reporting somebody who is no longer here
    return event if data is event.data else replace(event, data=data, body_hash=unlike_any())


def unlike_any() -> bytes:
    """A body hash that says nothing: the plain one of a changed event could be used to guess what was taken out of it."""
    return os.urandom(32)


def erase_stored(account_id: int, call_keys: Collection[bytes]) -> int:
    """Deletes events of erased calls that were stored in the very moment of the erasure."""
    return delete_rows(CallEvent.objects.for_account(account_id).filter(call_key__in=list(call_keys)))
