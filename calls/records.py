"""Service records, replaced as a whole by what the fold says.

The only writer of calls and their parts. Besides the rows it leaves a mark for every 15-minute slot whose figures the
change touches, in the same transaction, and notes the names it could not match. Recordings and voicemail are only
ever added here: their files belong to them, whatever is folded.
"""

import datetime as dt
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from django.db import connection

from agents.matching import find_agents, find_skill_groups
from agents.models import StaleAgentTime
from callcenter_site.bulk import insert_rows
from callcenter_site.phone_numbers import canonical
from callcenter_site.slots import SLOT, slot_of, slots_between
from calls.hits import note_hits
from calls.incoming import same_file, upload_key
from calls.lifecycle import AudioFacts, CallFacts, EntryFacts, Event, LegFacts, StepFacts, fold, seconds
from calls.lookup import look_up
from calls.models import (
    AudioState,
    Call,
    CallAudio,
    CallLeg,
    CallSeenBy,
    IvrStep,
    LegKind,
    QueueEntry,
    Recording,
    StaleCallSlot,
    UnknownName,
    Voicemail,
)
from calls.querysets import CallQuerySet
from configuration.models import Account

_COPIED = (
    "direction",
    "call_type",
    "state",
    "outcome",
    "provider",
    "location",
    "started_at",
    "answered_at",
    "ended_at",
    "end_is_inferred",
    "ivr_entered_at",
    "ivr_left_at",
    "ivr_exit",
    "ivr_seconds",
    "wait_seconds",
    "ring_seconds",
    "talk_seconds",
    "hold_seconds",
    "wrap_up_seconds",
    "disconnect_party",
    "end_cause",
    "n_transfers",
    "rating_asked",
    "rating_score",
    "rating_scale",
    "disposition",
    "remark",
    "last_event_at",
)
_WRITTEN = (
    *_COPIED,
    "calling_number",
    "called_number",
    "ended_on",
    "agent",
    "skill_group",
    "total_seconds",
    "has_remark",
    "has_recording",
    "has_voicemail",
    "is_provider_looked_up",
    "is_location_looked_up",
    "folded_at",
    "sealed_at",
)
ROWS_AT_ONCE = 200
"""Rows of one INSERT: with the longest texts that intake lets in they stay far below any server's packet limit."""

_LONGEST_MARKED = dt.timedelta(days=2)
"""A stretch longer than this is a broken clock; its first and last slots are marked, not all between."""


class _Names:
    """What the agents and groups named in a pass are to this account. Unknown ones stay as text."""

    def __init__(self, account: Account, folded: Iterable[CallFacts]) -> None:
        agents: set[str] = set()
        groups: set[str] = set()
        for facts in folded:
            agents.update(leg.party for leg in facts.agent_legs)
            agents.update(leg.transfer_to for leg in facts.legs if leg.transfers_to_agent)
            for parts in (facts.legs, facts.entries, facts.voicemails):
                groups.update(part.skill_group for part in parts if part.skill_group)
        self.agents = find_agents(account=account, references=agents) if agents else {}
        self.groups = find_skill_groups(account=account, names=groups) if groups else {}
        self.unknown = {(UnknownName.Kind.AGENT.value, name) for name in agents - self.agents.keys()}
        self.unknown |= {(UnknownName.Kind.SKILL_GROUP.value, name) for name in groups - self.groups.keys()}


def lock_calls(account: Account, call_keys: list[bytes]) -> dict[bytes, Call]:
    """The stored calls among the keys, locked in one order so that workers queue up instead of blocking each other."""
    rows = _by_key(account, call_keys).order_by("pk").select_for_update()
    return {bytes(call.call_key): call for call in rows}


def _by_key(account: Account, call_keys: list[bytes]) -> CallQuerySet:
    return Call.objects.for_account(account).filter(call_key__in=call_keys)


def replace(
    *,
    account: Account,
    stored: dict[bytes, Call],
    folded: dict[bytes, CallFacts],
    subjects: dict[bytes, str],
    at: dt.datetime,
) -> None:
    """Writes the records of a pass: new calls, changed calls, their parts, the marks. Unchanged parts stay as they are."""
    if not folded:
        return
    names = _Names(account, folded.values())
    touched: set[dt.datetime] = set()
    new: list[Call] = []
    changed: list[Call] = []
    for key in sorted(folded):
        facts = folded[key]
        call = stored.get(key)
        if call is None:
            call = Call(account=account, call_id=subjects[key], call_key=key)
            new.append(call)
        else:
            touched |= _slots_of_call(call)
            changed.append(call)
        _copy(account, facts, names, call)
        call.folded_at = at
        touched |= _slots_of_facts(facts)
    _insert(account, new)
    if changed:
        _update(changed)
    calls = {bytes(call.call_key): call for call in (*new, *changed)}
    whole = {key: facts for key, facts in folded.items() if not facts.is_addition}
    old_ids = [calls[key].pk for key in whole if key in stored]
    legs = [_leg_row(account, calls[key], leg, names) for key, facts in whole.items() for leg in facts.legs]
    entries = [_entry_row(account, calls[key], entry, names) for key, facts in whole.items() for entry in facts.entries]
    steps = [_step_row(account, calls[key], step) for key, facts in whole.items() for step in facts.steps]
    old_legs = _replace_parts(CallLeg, old_ids, legs)
    _mark_open(account, [leg.offered_at for leg in (*old_legs, *legs) if leg.kind == LegKind.AGENT and leg.ended_at is None], at)
    old_entries = _replace_parts(QueueEntry, old_ids, entries)
    _replace_parts(IvrStep, old_ids, steps)
    touched |= {slot for leg in old_legs for slot in _slots_of_leg(leg)}
    touched |= {slot for entry in old_entries for slot in _slots(entry.entered_at, entry.entered_at)}
    _note_seen_by([calls[key] for key in whole], legs, entries, old_ids)
    is_new = {calls[key].pk for key in folded if key not in stored}
    note_hits(account, list(calls.values()), steps, added_to={calls[key].pk for key in folded if key not in whole}, new=is_new)
    _add_audio(account, calls, folded, names)
    _mark(account, touched)
    note_unknown_names(account, names.unknown)


def amended(stored: Call, events: list[Event]) -> CallFacts:
    """A record without its raw events, with what came after the call added: ratings, remarks, recordings, voicemail."""
    added = fold(events)
    facts = CallFacts(
        started_at=stored.started_at, last_event_at=max(stored.last_event_at, added.last_event_at), is_addition=True
    )
    facts.recordings, facts.voicemails = added.recordings, added.voicemails
    types = {event.type for event in events}
    if "call.rated" in types:
        stored.rating_asked, stored.rating_score, stored.rating_scale = added.rating_asked, added.rating_score, added.rating_scale
    if "call.remarked" in types:
        stored.remark, stored.disposition = added.remark, added.disposition or stored.disposition
    return facts


def note_unknown_names(account: Account, names: Iterable[tuple[str, str]]) -> None:
    rows = [UnknownName(account=account, kind=kind, name=name, name_hash=name_hash(name)) for kind, name in sorted(names)]
    UnknownName.objects.bulk_create(rows, ignore_conflicts=True)


def name_hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def note_seen_by(*, account: Account, call_ids: Iterable[int]) -> None:
    """Brings in line who sees these calls, from what is stored of them."""
    calls = Call.objects.for_account(account).filter(pk__in=list(call_ids)).prefetch_related("legs", "queue_entries")
    for call in calls.iterator(chunk_size=500):
        _note_seen_by([call], call.legs.all(), call.queue_entries.all(), [call.pk])


def relist(*, account: Account, call_ids: Iterable[int]) -> None:
    """Brings agent and skill group of records in line with their parts, after names were matched, and marks their slots."""
    touched: set[dt.datetime] = set()
    calls = Call.objects.for_account(account).filter(pk__in=list(call_ids)).prefetch_related("legs", "queue_entries")
    for call in calls.iterator(chunk_size=500):
        legs = [leg for leg in call.legs.all() if leg.kind == LegKind.AGENT]
        answered = [leg for leg in legs if leg.answered_at]
        by_weight = (*legs, *call.queue_entries.all(), *answered)  # the last one that names a group decides
        groups = [part.skill_group_id for part in by_weight if part.skill_group_id]
        Call.objects.filter(pk=call.pk).update(
            agent_id=answered[-1].agent_id if answered else None, skill_group_id=groups[-1] if groups else None
        )
        call.skill_group_id = groups[-1] if groups else None
        _note_seen_by([call], call.legs.all(), call.queue_entries.all(), [call.pk])
        if groups:
            Voicemail.objects.filter(call_id=call.pk, skill_group=None).update(skill_group_id=groups[-1])
        touched |= _slots_of_call(call)
        for leg in legs:
            touched |= _slots_of_leg(leg)
        touched |= {slot for entry in call.queue_entries.all() for slot in _slots(entry.entered_at, entry.entered_at)}
    _mark(account, touched)


# --- Rows ------------------------------------------------------------------------------------------------------------


def _copy(account: Account, facts: CallFacts, names: _Names, call: Call) -> None:
    call.has_recording = call.has_recording or bool(facts.recordings)  # like their rows, only ever added
    call.has_voicemail = call.has_voicemail or bool(facts.voicemails)
    if facts.is_addition:  # `amended` has set what changed
        call.has_remark = bool(call.remark.strip())
        call.last_event_at = facts.last_event_at
        return
    call.sealed_at = None  # it was folded from its events, so they are here
    if facts.ended_at is None:
        call.ended_on = None
    elif facts.ended_at != call.ended_at:
        call.ended_on = facts.ended_at.astimezone(account.zone).date()
    for name in _COPIED:
        setattr(call, name, getattr(facts, name))
    call.total_seconds = seconds(facts.started_at, facts.ended_at)
    call.has_remark = bool(call.remark.strip())
    call.calling_number = canonical(facts.calling_number, account.region)
    call.called_number = canonical(facts.called_number, account.region)
    look_up(call, language=account.language)
    call.agent_id = names.agents.get(facts.last_agent)
    call.skill_group_id = names.groups.get(facts.last_skill_group)


def _insert(account: Account, calls: list[Call]) -> None:
    names = [field.attname for field in Call._meta.concrete_fields if not field.primary_key]
    insert_rows(Call, names, [[getattr(call, name) for name in names] for call in calls])
    ids = {bytes(key): pk for key, pk in _by_key(account, [call.call_key for call in calls]).values_list("call_key", "pk")}
    for call in calls:
        call.pk = ids[call.call_key]


def _update(calls: list[Call]) -> None:
    target = ["id"] if connection.features.supports_update_conflicts_with_target else None
    Call.objects.bulk_create(
        calls, batch_size=ROWS_AT_ONCE, update_conflicts=True, update_fields=list(_WRITTEN), unique_fields=target
    )


# Rows of parts carry their columns and nothing else: to make a model's instance of each took longer than to store it.


def _leg_row(account: Account, call: Call, leg: LegFacts, names: _Names) -> SimpleNamespace:
    is_agent = leg.kind == LegKind.AGENT
    agent_id = names.agents.get(leg.party) if is_agent else None
    group_id = names.groups.get(leg.skill_group)
    target_id = names.agents.get(leg.transfer_to) if leg.transfers_to_agent else None
    return SimpleNamespace(
        account_id=account.pk,
        call_id=call.pk,
        seq=leg.seq,
        kind=leg.kind,
        agent_id=agent_id,
        agent_reference=leg.party if is_agent and agent_id is None else "",
        skill_group_id=group_id,
        skill_group_reference=leg.skill_group if group_id is None else "",
        queue_seq=leg.queue_seq,
        is_at_once=leg.is_at_once,
        terminal=leg.terminal,
        number="" if is_agent else canonical(leg.party, account.region),
        provider=leg.provider,
        offered_at=leg.offered_at,
        answered_at=leg.answered_at,
        ended_at=leg.ended_at,
        wrap_up_ended_at=leg.wrap_up_ended_at,
        holds=[[_written(start), _written(end) if end else None] for start, end in leg.holds],
        hold_seconds=leg.hold_seconds,
        result=leg.result,
        transfer_kind=leg.transfer_kind,
        transfer_to="" if target_id else leg.transfer_to,
        transfer_agent_id=target_id,
        transferred_at=leg.transferred_at,
    )


def _written(moment: dt.datetime) -> str:
    """As the API writes its other times."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _entry_row(account: Account, call: Call, entry: EntryFacts, names: _Names) -> SimpleNamespace:
    group_id = names.groups.get(entry.skill_group)
    return SimpleNamespace(
        account_id=account.pk,
        call_id=call.pk,
        seq=entry.seq,
        skill_group_id=group_id,
        skill_group_reference=entry.skill_group if group_id is None else "",
        cause=entry.cause,
        priority=entry.priority,
        entered_at=entry.entered_at,
        left_at=entry.left_at,
        wait_seconds=entry.wait_seconds,
        outcome=entry.outcome,
        reason=entry.reason,
        while_ringing=entry.while_ringing,
    )


def _step_row(account: Account, call: Call, step: StepFacts) -> SimpleNamespace:
    return SimpleNamespace(
        account_id=account.pk,
        call_id=call.pk,
        seq=step.seq,
        step=step.step,
        prompt=step.prompt,
        prompt_kind=step.prompt_kind,
        prompted_at=step.prompted_at,
        input=step.input,
        input_kind=step.input_kind,
        input_at=step.input_at,
    )


def _replace_parts(model: Any, old_ids: list[int], rows: list[Any]) -> list[SimpleNamespace]:
    """Writes the parts of calls anew where they differ; what stood there before."""
    columns = [field.attname for field in model._meta.concrete_fields if not field.primary_key]
    before: dict[int, list[tuple[Any, ...]]] = {pk: [] for pk in old_ids}
    if old_ids:
        stored = model.objects.filter(call_id__in=old_ids).order_by("call_id", "seq")
        for call_id, *values in stored.values_list("call_id", *columns):
            before[call_id].append(tuple(values))
    after: dict[int, list[tuple[Any, ...]]] = {pk: [] for pk in old_ids}
    fresh: list[tuple[Any, ...]] = []
    values_of = attrgetter(*columns)
    for row in rows:
        after.setdefault(row.call_id, []).append(values_of(row))
    for call_id, parts in after.items():
        if before.get(call_id) != parts:
            fresh.extend(parts)
        else:
            before.pop(call_id)
    stale = [call_id for call_id, parts in before.items() if parts]
    if stale:
        gone = model.objects.filter(call_id__in=stale)
        gone._raw_delete(gone.db)
    insert_rows(model, columns, fresh)
    return [SimpleNamespace(**dict(zip(columns, values, strict=True))) for parts in before.values() for values in parts]


def _note_seen_by(calls: list[Call], legs: Iterable[Any], entries: Iterable[Any], old_ids: list[int]) -> None:
    """Brings in line who sees the calls; `old_ids` are those of calls that were stored before."""
    by_id = {call.pk: call for call in calls}
    wanted = {(call.pk, -call.skill_group_id, call.started_at) for call in calls if call.skill_group_id}
    wanted |= {(leg.call_id, leg.agent_id, by_id[leg.call_id].started_at) for leg in legs if leg.agent_id}
    wanted |= {(one.call_id, -one.skill_group_id, by_id[one.call_id].started_at) for one in entries if one.skill_group_id}
    stored = CallSeenBy.objects.filter(call_id__in=old_ids).values_list("call_id", "viewer", "started_at", "pk")
    known = {(call_id, viewer, at): pk for call_id, viewer, at, pk in stored} if old_ids else {}
    if stale := [pk for row, pk in known.items() if row not in wanted]:
        gone = CallSeenBy.objects.filter(pk__in=stale)
        gone._raw_delete(gone.db)
    fresh = sorted(wanted - known.keys())
    rows = [(by_id[call_id].account_id, call_id, viewer, at) for call_id, viewer, at in fresh]
    insert_rows(CallSeenBy, ("account_id", "call_id", "viewer", "started_at"), rows)


def _add_audio(account: Account, calls: dict[bytes, Call], folded: dict[bytes, CallFacts], names: _Names) -> None:
    for model, attribute in ((Recording, "recordings"), (Voicemail, "voicemails")):
        wanted = {audio.event_key: (calls[key], audio) for key, facts in folded.items() for audio in getattr(facts, attribute)}
        if not wanted:
            continue
        rows = {key: _audio_row(model, account, call, audio, names) for key, (call, audio) in wanted.items()}
        stored = model.objects.for_account(account).filter(event_key__in=list(rows))
        for row in stored:
            new = rows.pop(bytes(row.event_key))
            if model is Voicemail and row.skill_group_id != new.skill_group_id:
                model.objects.filter(pk=row.pk).update(skill_group_id=new.skill_group_id)
        if rows:
            _give_to_uploaded(model, account, rows)
        model.objects.bulk_create(rows.values(), batch_size=ROWS_AT_ONCE)


def _give_to_uploaded(model: Any, account: Account, rows: dict[bytes, Any]) -> None:
    """Files may come before the events that announce them; those take the file's row over, rather than wait for it again.

    They belong together by their reference, or where each is the only one of its call.
    """
    uploaded: dict[int, list[Any]] = defaultdict(list)
    call_keys = {row.call_id: bytes(row.call.call_key) for row in rows.values()}
    for row in model.objects.for_account(account).filter(call_id__in=list(call_keys), state=AudioState.STORED):
        if bytes(row.event_key) == upload_key(account.pk, call_keys[row.call_id], row.sha256):
            uploaded[row.call_id].append(row)
    if not uploaded:
        return
    n_announced = Counter(row.call_id for row in rows.values())
    for key, row in list(rows.items()):
        there = uploaded[row.call_id]
        named = [one for one in there if same_file(one.reference, row.reference)]
        nameless = [one for one in there if not one.reference] if n_announced[row.call_id] == len(there) == 1 else []
        for one in (named or nameless)[:1]:
            there.remove(one)
            del rows[key]
            facts = {"event_key": key, "recorded_at": row.recorded_at, "reference": row.reference}
            if row.duration_seconds is not None:
                facts["duration_seconds"] = row.duration_seconds
            if model is Voicemail:
                facts["skill_group_id"] = row.skill_group_id
            model.objects.filter(pk=one.pk).update(**facts)


def _audio_row(model: type[CallAudio], account: Account, call: Call, audio: AudioFacts, names: _Names) -> Any:
    group = {"skill_group_id": names.groups.get(audio.skill_group) or call.skill_group_id} if model is Voicemail else {}
    return model(
        account=account,
        call=call,
        event_key=audio.event_key,
        recorded_at=audio.recorded_at,
        duration_seconds=audio.duration_seconds,
        reference=audio.reference,
        # Addresses of platforms may live for hours only, so the file is fetched as soon as it is known of.
        retry_at=call.folded_at if audio.reference.startswith(("https://", "http://")) else None,
        **group,
    )


# --- Marks -----------------------------------------------------------------------------------------------------------


def _mark(account: Account, slots: set[dt.datetime]) -> None:
    StaleCallSlot.objects.bulk_create([StaleCallSlot(account=account, slot=slot) for slot in sorted(slots)])


def _mark_open(account: Account, offered: list[dt.datetime], at: dt.datetime) -> None:
    """A leg that went on was counted, as far as time had passed: where it now ends earlier, late news takes that back. And of
    one that is heard of late and still goes on, the time that has passed is not counted yet. The slot of now and the one
    before need no mark: they are counted again anyway."""
    late = [moment for moment in offered if slot_of(moment) + SLOT < slot_of(at)]
    if late:
        StaleAgentTime.objects.create(account=account, started_at=min(late))


def _slots_of_call(call: Call) -> set[dt.datetime]:
    return _slots(call.started_at, call.started_at)


def _slots_of_facts(facts: CallFacts) -> set[dt.datetime]:
    touched = _slots(facts.started_at, facts.started_at)
    for entry in facts.entries:
        touched |= _slots(entry.entered_at, entry.entered_at)
    for leg in facts.agent_legs:
        touched |= _slots_of_leg(leg)
    return touched


def _slots_of_leg(leg: Any) -> set[dt.datetime]:
    """Of a leg as it is folded or stored."""
    touched = _slots(leg.offered_at, leg.wrap_up_ended_at or leg.ended_at or leg.answered_at or leg.offered_at)
    if leg.answered_at is not None:  # answers are counted when they are given, also while the talk goes on
        touched |= _slots(leg.answered_at, leg.answered_at)
    return touched


def _slots(start: dt.datetime, end: dt.datetime) -> set[dt.datetime]:
    if end - start > _LONGEST_MARKED:
        return {*slots_between(start, start), *slots_between(end, end)}
    return set(slots_between(start, end))
