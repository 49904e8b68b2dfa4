"""How long calls and all below them live, and how they go.

What must never happen: a file stays and nothing names it, or a row goes before its time. So one transaction deletes
events, parts and calls, with the condition repeated (a call that does not fit it any more stays whole), and whoever
erases puts the files those rows named into an outbox in the same transaction. Nothing here leaves a mark for the
figures: erasing a call does not uncount it.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db.models import Exists, OuterRef, Q

from callcenter_site.erasure import (
    Batch,
    Cursor,
    Kept,
    Lifetime,
    among,
    between,
    cursor_after,
    delete_batch,
    delete_rows,
    in_turn,
    is_counting_only,
    locked,
    stretch,
    update_rows,
)
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
    Kept("calls.SavedFilter", Lifetime.CONFIGURATION, people=("owner", "name", "query", "search")),
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


def next_calls(calls: Any, *, after: Cursor | None, limit: int) -> tuple[list[int], Cursor | None]:
    """Ids of the next of these calls, by the day they ended, and where to go on."""
    page = in_turn(calls, clock="ended_on", after=after, limit=limit)
    return [pk for _, pk in page], cursor_after(page, limit)


SPOOLED = "spool:"
"""Put before the name of a file that lies in the spool, not in the store."""


def ended_calls(*, account: Account, up_to: dt.date) -> Any:
    """Calls that ended on a local day up to this one."""
    return Call.objects.for_account(account).filter(ended_on__lte=up_to)


def erase_calls(*, account: Account, calls: Any, ids: Sequence[int]) -> tuple[Counter[str], set[str]]:
    """Deletes those of the calls that have these ids, with everything below them; by kind how many, and the files that
    are to go with them, for which nothing else stands any more.

    Runs in the caller's transaction. The condition of `calls` is repeated: what no longer fits it stays.
    """
    held, span = _lock(account, calls, ids)
    counts: Counter[str] = Counter()
    if not held:
        return counts, set()
    pks, call_keys = list(held), list(held.values())
    below = between("call_id", span) if span else among("call_id", pks)
    files: set[str] = set()
    for kind, model in _AUDIO:
        rows = model._default_manager.filter(below, account_id=account.pk)
        if named := list(locked(rows.order_by("pk")).values_list("key", flat=True)):
            files.update(named)
            counts[kind] += delete_rows(rows)
    files -= {""}
    counts["files"] += len(files)
    # Those that are on their way and in no record yet.
    coming = IncomingSound.objects.for_account(account)
    if coming.exists():  # mostly there are none at all, and no call need be looked for
        coming = coming.filter(call_key__in=call_keys)
        for key, spool_name in locked(coming.order_by("pk")).values_list("key", "spool_name"):
            files |= {key, f"{SPOOLED}{spool_name}" if spool_name else ""} - {""}
        counts["files"] += delete_rows(coming)
    for kind, model in _PARTS:
        counts[kind] += delete_rows(model._default_manager.filter(below, account_id=account.pk))
    delete_rows(KeywordHit.objects.for_account(account).filter(below))
    delete_rows(CallSeenBy.objects.for_account(account).filter(below))
    counts["events"] += delete_rows(CallEvent.objects.for_account(account).filter(call_key__in=call_keys))
    counts["calls"] += delete_rows(calls.filter(between("pk", span) if span else among("pk", pks)))
    if span and Call.objects.for_account(account).filter(between("pk", span)).select_for_update().order_by("pk")[:1]:
        raise MovedMeanwhile  # a call came between, and what hangs on it may have gone
    return counts, files


class MovedMeanwhile(Exception):
    """What was to be deleted is not what was looked at: the transaction is to be rolled back and run again."""


def _lock(account: Account, calls: Any, ids: Sequence[int]) -> tuple[dict[int, bytes], tuple[int, int] | None]:
    """Locks those of the calls that have these ids, by id their keys. Where the ids lie close together, and every call of
    the account between them is to go as well, those are locked too, and the stretch is told."""

    def of(rows: Any) -> dict[int, bytes]:
        # One order for all who lock calls. Who appends to a call now waits, and then finds it gone.
        return dict(locked(rows.order_by("pk")).values_list("pk", "call_key"))

    span = None if is_counting_only() else stretch(ids)
    if span is None:
        return of(calls.filter(among("pk", ids))), None
    held = of(calls.filter(between("pk", span)))
    if Call.objects.for_account(account).filter(between("pk", span)).count() == len(held):
        return held, span
    wanted = set(ids)
    return {pk: key for pk, key in held.items() if pk in wanted}, None


# --- Raw events ------------------------------------------------------------------------------------------------------


def seal_calls(
    *,
    account: Account,
    before: dt.datetime,
    up_to: dt.date,
    at: dt.datetime,
    after: Cursor | None,
    limit: int,
    keep: Q | None = None,
) -> tuple[Batch, int]:
    """Deletes raw events that came, and whose calls closed, before a moment; the batch, and how many calls it sealed.

    Events that are not in a record yet hold back their whole call: it could not be folded again without the others.
    Calls that have expired, those that ended on a day up to `up_to`, take their events with them instead; calls of which
    `keep` is true keep theirs.
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
    calls = Call.objects.for_account(account).filter(call_key__in=list(keys))
    kept = set(calls.filter(keep).values_list("pk", flat=True)) if keep else set()
    closed: dict[bytes, int] = {}
    for pk, key, ended_at, ended_on in locked(calls.order_by("pk")).values_list("pk", "call_key", "ended_at", "ended_on"):
        if pk not in kept and ended_at is not None and ended_at < before and ended_on > up_to:
            closed[bytes(key)] = pk
        else:
            keys.discard(bytes(key))
    waiting = events.filter(call_key__in=list(keys)).exclude(state=EventState.FOLDED, received_at__lt=before)
    keys -= _call_keys(waiting)
    n_events = delete_rows(events.filter(call_key__in=list(keys), state=EventState.FOLDED, received_at__lt=before))
    sealed = [pk for key, pk in closed.items() if key in keys]
    n_sealed = update_rows(Call.objects.for_account(account).filter(pk__in=sealed, sealed_at=None), sealed_at=at)
    return Batch(n_events, cursor), n_sealed


def _call_keys(events: Any) -> set[bytes]:
    return {bytes(key) for key in events.values_list("call_key", flat=True)}


def erase_agent_events(
    *, account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None
) -> Batch:
    """Deletes agents' events that came before a moment and are in the record. Each stands for itself: the status
    changes they became are never made again from others, and an agent, unlike a call, never closes."""
    events = CallEvent.objects.for_account(account).filter(state=EventState.FOLDED, type__in=AGENT_TYPES)
    page = list(events.filter(pk__gt=after[1] if after else 0).order_by("pk").values_list("received_at", "pk")[:limit])
    old = [pk for received_at, pk in page if received_at < before]
    # Events are stored in the order they come; where a whole page is young, so is all behind it.
    gone = events.filter(among("pk", old)).exclude(keep) if keep else events.filter(among("pk", old))
    return Batch(delete_rows(gone) if old else 0, cursor_after(page, limit) if old else None)


def erase_stray_events(
    *, account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None
) -> Batch:
    """Deletes events that came before a moment and never got into a record. Those of a call that is there go with it."""
    unfolded = [state for state in EventState.values if state != EventState.FOLDED]  # a list: `exclude` would pass by the index
    rows = CallEvent.objects.for_account(account).filter(state__in=unfolded, received_at__lt=before)
    rows = rows.exclude(Exists(Call.objects.for_account(account).filter(call_key=OuterRef("call_key"))))
    return delete_batch(rows, clock="received_at", after=after, limit=limit, keep=keep)


# --- What stands beside calls ----------------------------------------------------------------------------------------


def erase_marks(*, account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None) -> Batch:
    """Deletes marks of slots whose figures have gone: counting those again would bring back a part of them."""
    rows = StaleCallSlot.objects.for_account(account).filter(slot__lt=before)
    return delete_batch(rows, clock="slot", after=after, limit=limit, keep=keep)


def erase_tombstones(*, account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None) -> Batch:
    """Deletes tombstones of what was erased before a moment: whatever came late about it now has expired as well."""
    rows = Tombstone.objects.for_account(account).filter(up_to__lt=before)
    return delete_batch(rows, clock="up_to", after=after, limit=limit, keep=keep)


def erase_unknown_names(
    *, account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None
) -> Batch:
    """Deletes names first seen before a moment that no call and no waiting event mentions any more."""
    rows = UnknownName.objects.for_account(account).filter(first_seen_at__lt=before)
    rows = rows.exclude(keep) if keep else rows
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
