"""How long calls and all below them live, and how they go.

What must never happen: a file stays whose row has gone, or a row goes before its time. So files are deleted first,
outside any transaction (already gone is fine), and a call whose file could not be deleted keeps its rows. Then one
transaction deletes events, parts and calls, with the condition repeated: a call that does not fit it any more stays
whole. Nothing here leaves a mark for the figures: erasing a call does not uncount it.
"""

import datetime as dt
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from django.core.files.storage import default_storage

from callcenter_site.erasure import Batch, Cursor, Kept, Lifetime, cursor_after, delete_batch, delete_rows, in_turn
from calls import spool
from calls.models import (
    Call,
    CallAudio,
    CallEvent,
    CallLeg,
    CallSeenBy,
    EventState,
    IncomingSound,
    IvrStep,
    KeywordHit,
    QueueEntry,
    Recording,
    StaleCallSlot,
    Tombstone,
    UnknownName,
    Voicemail,
)
from calls.vocabulary import AGENT_TYPES
from configuration.models import Account

log = logging.getLogger(__name__)

KEPT = (
    Kept(
        "calls.Call",
        Lifetime.CALL_DATA,
        clock="ended_on",
        people=("call_id", "calling_number", "called_number", "agent", "remark"),
    ),
    Kept(
        "calls.CallLeg",
        Lifetime.CALL_DATA,
        clock="call__ended_on",
        people=("agent", "agent_reference", "number", "transfer_to", "transfer_agent"),
    ),
    Kept("calls.CallSeenBy", Lifetime.CALL_DATA, clock="call__ended_on", people=("viewer",)),
    Kept("calls.KeywordHit", Lifetime.CALL_DATA, clock="call__ended_on"),
    Kept("calls.KeywordMark", Lifetime.CONFIGURATION),
    Kept("calls.QueueEntry", Lifetime.CALL_DATA, clock="call__ended_on"),
    Kept("calls.IvrStep", Lifetime.CALL_DATA, clock="call__ended_on", people=("input",)),
    Kept("calls.Connection", Lifetime.CONFIGURATION),
    Kept("calls.Recording", Lifetime.CALL_DATA, clock="call__ended_on", people=("reference",), files=("key",)),
    Kept(
        "calls.Voicemail",
        Lifetime.CALL_DATA,
        clock="call__ended_on",
        people=("reference", "heard_by", "assigned_to", "called_back_by"),
        files=("key",),
    ),
    Kept(
        "calls.IncomingSound",
        Lifetime.UNTIL_USED,
        clock="received_at",
        people=("call_id", "reference"),
        files=("key", "spool_name"),
    ),
    Kept(
        "calls.ExportRun",
        Lifetime.UNTIL_USED,
        clock="created_at",
        people=("started_by", "asked"),
        files=("key",),
    ),
    Kept("calls.SavedFilter", Lifetime.CONFIGURATION, people=("owner", "name")),
    Kept("calls.SoundSource", Lifetime.CONFIGURATION),
    Kept("calls.IncomingWebhook", Lifetime.CONFIGURATION),
    Kept("calls.WebhookDelivery", Lifetime.UNTIL_USED, clock="received_at"),
    Kept("calls.CallEvent", Lifetime.RAW_EVENTS, clock="received_at", people=("subject", "data")),
    Kept("calls.UnknownName", Lifetime.CALL_DATA, clock="first_seen_at", people=("name",)),
    Kept("calls.StaleCallSlot", Lifetime.UNTIL_USED, clock="slot"),
    # Keyed hashes: they name nobody, and what they keep out would itself have expired after as long.
    Kept("calls.Tombstone", Lifetime.CALL_DATA, clock="up_to"),
)

_PARTS: Sequence[tuple[str, type[Any]]] = (("legs", CallLeg), ("queue_entries", QueueEntry), ("ivr_steps", IvrStep))
_AUDIO: Sequence[tuple[str, type[CallAudio]]] = (("recordings", Recording), ("voicemail", Voicemail))


# --- Calls -----------------------------------------------------------------------------------------------------------


def expired_calls(*, account: Account, up_to: dt.date, after: Cursor | None, limit: int) -> tuple[list[int], Cursor | None]:
    """Ids of the next calls that ended on a local day up to this one, oldest first, and where to go on."""
    page = in_turn(_ended(account, up_to), clock="ended_on", after=after, limit=limit)
    return [pk for _, pk in page], cursor_after(page, limit)


def file_keys(*, account: Account, ids: Sequence[int]) -> set[str]:
    """The files that belong to calls."""
    keys = {key for _, model in _AUDIO for key in _audio(model, account, ids).exclude(key="").values_list("key", flat=True)}
    for key, spool_name in _on_their_way(account, ids).values_list("key", "spool_name"):
        keys |= {key, f"{SPOOLED}{spool_name}" if spool_name else ""}
    return keys - {""}


SPOOLED = "spool:"
"""Put before the name of a file that lies in the spool, not in the store."""


def _on_their_way(account: Account, ids: Sequence[int]) -> Any:
    """Sound files of calls that are in no record yet."""
    keys = Call.objects.for_account(account).filter(pk__in=ids).values_list("call_key", flat=True)
    return IncomingSound.objects.for_account(account).filter(call_key__in=list(keys))


def delete_files(keys: Collection[str]) -> set[str]:
    """Deletes files from storage; those that are gone now, whoever deleted them."""
    gone = set()
    for key in sorted(keys):
        try:
            if key.startswith(SPOOLED):
                spool.delete(key.removeprefix(SPOOLED))
            else:
                default_storage.delete(key)
        except Exception:  # whatever a storage raises: the other files do not wait for this one
            log.exception("a file could not be deleted; its call stays until it can")
        else:
            gone.add(key)
    return gone


def erase_calls(*, account: Account, ids: Sequence[int], up_to: dt.date, gone: Collection[str]) -> dict[str, int]:
    """Deletes calls with everything below them, by kind how many. `gone` are the files deleted before.

    Runs in the caller's transaction. Calls that have a file which is not gone stay, as do those that no longer fit.
    """
    calls = _ended(account, up_to)
    # One order for all who lock calls. Who appends to a call now waits, and then finds it gone.
    locked = dict(calls.filter(pk__in=ids).order_by("pk").select_for_update().values_list("pk", "call_key"))
    n_files = 0
    for _, model in _AUDIO:
        for call_id, key in (
            _audio(model, account, list(locked)).exclude(key="").select_for_update().values_list("call_id", "key")
        ):
            if key in gone:
                n_files += 1
            else:
                locked.pop(call_id, None)
    coming = IncomingSound.objects.for_account(account)
    for call_key, key, spool_name in (
        coming.filter(call_key__in=list(locked.values())).select_for_update().values_list("call_key", "key", "spool_name")
    ):
        if not {key, f"{SPOOLED}{spool_name}" if spool_name else ""} - {""} <= set(gone):
            locked = {pk: one for pk, one in locked.items() if bytes(one) != bytes(call_key)}
    pks = list(locked)
    counts = Counter(files=n_files)
    for kind, model in (*_PARTS, *_AUDIO):
        counts[kind] += delete_rows(model._default_manager.filter(account_id=account.pk, call_id__in=pks))
    delete_rows(KeywordHit.objects.for_account(account).filter(call_id__in=pks))
    delete_rows(CallSeenBy.objects.for_account(account).filter(call_id__in=pks))
    counts["files"] += delete_rows(coming.filter(call_key__in=list(locked.values())))
    counts["events"] += delete_rows(CallEvent.objects.for_account(account).filter(call_key__in=list(locked.values())))
    counts["calls"] += delete_rows(calls.filter(pk__in=pks))
    return dict(counts)


def _ended(account: Account, up_to: dt.date) -> Any:
    return Call.objects.for_account(account).filter(ended_on__lte=up_to)


def _audio(model: type[CallAudio], account: Account, ids: Sequence[int]) -> Any:
    return model._default_manager.filter(account_id=account.pk, call_id__in=ids)


# --- Raw events ------------------------------------------------------------------------------------------------------


def seal_calls(
    *, account: Account, before: dt.datetime, up_to: dt.date, at: dt.datetime, after: Cursor | None, limit: int
) -> tuple[Batch, int]:
    """Deletes raw events that came, and whose calls closed, before a moment; the batch, and how many calls it sealed.

    Events that are not in a record yet hold back their whole call: it could not be folded again without the others.
    Calls that have expired, those that ended on a day up to `up_to`, take their events with them instead.
    Runs in the caller's transaction, so that no call is without its events and not sealed.
    """
    events = CallEvent.objects.for_account(account).exclude(type__in=AGENT_TYPES)
    page = list(
        events.filter(state=EventState.FOLDED, pk__gt=after[1] if after else 0)
        .order_by("pk")
        .values_list("received_at", "pk", "call_key")[:limit]
    )
    keys = {bytes(key) for received_at, _, key in page if received_at < before}
    # Events are stored in the order they come; where a whole page is young, so is all behind it.
    cursor = cursor_after([(received_at, pk) for received_at, pk, _ in page], limit) if keys else None
    # A call is looked at once, where its first event stands.
    if keys:
        keys -= _call_keys(events.filter(call_key__in=list(keys), state=EventState.FOLDED, pk__lt=page[0][1]))
    if not keys:
        return Batch(0, cursor), 0
    calls = Call.objects.for_account(account).filter(call_key__in=list(keys)).order_by("pk").select_for_update()
    closed: dict[bytes, int] = {}
    for pk, key, ended_at, ended_on in calls.values_list("pk", "call_key", "ended_at", "ended_on"):
        if ended_at is not None and ended_at < before and ended_on > up_to:
            closed[bytes(key)] = pk
        else:
            keys.discard(bytes(key))
    waiting = events.filter(call_key__in=list(keys)).exclude(state=EventState.FOLDED, received_at__lt=before)
    keys -= _call_keys(waiting)
    n_events = delete_rows(events.filter(call_key__in=list(keys), state=EventState.FOLDED, received_at__lt=before))
    sealed = [pk for key, pk in closed.items() if key in keys]
    n_sealed = Call.objects.for_account(account).filter(pk__in=sealed, sealed_at=None).update(sealed_at=at)
    return Batch(n_events, cursor), n_sealed


def _call_keys(events: Any) -> set[bytes]:
    return {bytes(key) for key in events.values_list("call_key", flat=True)}


def erase_agent_events(*, account: Account, before: dt.datetime, after: Cursor | None, limit: int) -> Batch:
    """Deletes agents' events that came before a moment and are in the record. Each stands for itself: the status
    changes they became are never made again from others, and an agent, unlike a call, never closes."""
    events = CallEvent.objects.for_account(account).filter(state=EventState.FOLDED, type__in=AGENT_TYPES)
    page = list(events.filter(pk__gt=after[1] if after else 0).order_by("pk").values_list("received_at", "pk")[:limit])
    old = [pk for received_at, pk in page if received_at < before]
    # Events are stored in the order they come; where a whole page is young, so is all behind it.
    return Batch(delete_rows(events.filter(pk__in=old)) if old else 0, cursor_after(page, limit) if old else None)


def erase_stray_events(*, account: Account, before: dt.datetime, after: Cursor | None, limit: int) -> Batch:
    """Deletes events that came before a moment and never got into a record: they have no call to go with."""
    unfolded = [state for state in EventState.values if state != EventState.FOLDED]  # a list: `exclude` would pass by the index
    rows = CallEvent.objects.for_account(account).filter(state__in=unfolded, received_at__lt=before)
    return delete_batch(rows, clock="received_at", after=after, limit=limit)


# --- What stands beside calls ----------------------------------------------------------------------------------------


def erase_marks(*, account: Account, before: dt.datetime, after: Cursor | None, limit: int) -> Batch:
    """Deletes marks of slots whose figures have gone: counting those again would bring back a part of them."""
    rows = StaleCallSlot.objects.for_account(account).filter(slot__lt=before)
    return delete_batch(rows, clock="slot", after=after, limit=limit)


def erase_tombstones(*, account: Account, before: dt.datetime, after: Cursor | None, limit: int) -> Batch:
    """Deletes tombstones of what was erased before a moment: whatever came late about it now has expired as well."""
    rows = Tombstone.objects.for_account(account).filter(up_to__lt=before)
    return delete_batch(rows, clock="up_to", after=after, limit=limit)


def erase_unknown_names(*, account: Account, before: dt.datetime, after: Cursor | None, limit: int) -> Batch:
    """Deletes names first seen before a moment that no call and no waiting event mentions any more."""
    rows = UnknownName.objects.for_account(account).filter(first_seen_at__lt=before)
    page = in_turn(rows, clock="first_seen_at", after=after, limit=limit)
    names = list(rows.filter(pk__in=[pk for _, pk in page]).values_list("pk", "kind", "name"))
    mentioned = {
        UnknownName.Kind.AGENT.value: _mentioned(CallLeg, "agent", account) | _waiting_agents(account) if names else set(),
        UnknownName.Kind.SKILL_GROUP.value: _mentioned(CallLeg, "skill_group", account)
        | _mentioned(QueueEntry, "skill_group", account)
        if names
        else set(),
    }
    ids = [pk for pk, kind, name in names if name not in mentioned[kind]]
    return Batch(delete_rows(rows.filter(pk__in=ids)) if ids else 0, cursor_after(page, limit))


def _mentioned(model: type[Any], what: str, account: Account) -> set[str]:
    rows = model._default_manager.filter(account_id=account.pk, **{what: None}).exclude(**{f"{what}_reference": ""})
    return set(rows.order_by().values_list(f"{what}_reference", flat=True).distinct())


def _waiting_agents(account: Account) -> set[str]:
    waiting = CallEvent.objects.for_account(account).filter(state=EventState.UNMATCHED)
    return {str(data.get("agent")) for data in waiting.values_list("data", flat=True)}
