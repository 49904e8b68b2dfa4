"""Events in: accepted, then folded into service records.

What must never happen: an event that was answered with "accepted" is lost, or counts twice. So accepting only writes
the event and commits; folding takes what waits, reads *all* events of the calls concerned, and writes records, marks
and the events' own state in one transaction. Killed anywhere, it starts over and ends the same.

Two workers that meet on one call are put in line by the call's row; for a call that has no row yet, by the unique
key, and the loser's transaction runs again.
"""

import datetime as dt
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db import DataError, IntegrityError, OperationalError, ProgrammingError, transaction
from django.utils.translation import gettext_noop

from agents.matching import find_agents, find_skill_groups
from agents.status_chain import StatusFact, record_status_changes
from callcenter_site.bulk import insert_rows
from callcenter_site.health import disk_has_room
from callcenter_site.phone_numbers import canonical
from callcenter_site.transactions import again_on_deadlock
from calls import lifecycle, lookup, records, tombstones
from calls.after_call import begin_wrap_ups
from calls.envelope import MAX_ID, NewEvent, read_event
from calls.gauges import count_answers, count_folded
from calls.models import OPEN_STATES, Call, CallEvent, CallLeg, EventState, QueueEntry, UnknownName
from calls.telling import tell_of_calls
from calls.vocabulary import AGENT_TYPES, agents_named, skill_groups_named
from configuration.models import Account

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
MAX_EVENTS_PER_CALL = 2000

NO_SUCH_AGENT = gettext_noop("no agent has this staff ID or email")
FOLD_FAILED = gettext_noop("%(error)s while folding")
TOO_LATE = gettext_noop("the call's other events have left the database after a week; send the whole call again")
REASONS = (NO_SUCH_AGENT, FOLD_FAILED, TOO_LATE)
"""Why an event is in no record, as it is kept with the event."""

Answer = dict[str, Any]


# --- Accepting -------------------------------------------------------------------------------------------------------


def accept_events(*, account: Account, items: Sequence[Any], at: dt.datetime, is_own: bool = False) -> list[Answer]:
    """Checks CloudEvents and keeps the good ones; one answer each, in order, and committed when this returns.

    An answer's `status` is accepted, duplicate (same id, same content), dropped (about something that was erased) or
    rejected, with `code` 202, 200, 200, 400 or 409 (same id, other content) and `errors` of field and reason. `is_own` marks
    the portal's own events.
    """
    answers: list[Answer] = [{} for _ in items]
    rows: list[tuple[int, NewEvent]] = []
    for index, item in enumerate(items):
        event, problems = read_event(account, item, at, is_own=is_own)
        if event is None:
            answers[index] = _answer(index, item, "rejected", 400, problems)
        else:
            rows.append((index, event))
    try:
        again_on_deadlock(lambda: _keep(account, rows, answers, at), also=(IntegrityError,))
    except IntegrityError as error:  # the same events from several senders at once, again and again
        raise OperationalError("other writers were in the way") from error
    _warn_of_unknown_names(account, rows, answers)
    count_answers(answers)
    return answers


def _keep(account: Account, rows: list[tuple[int, NewEvent]], answers: list[Answer], at: dt.datetime) -> None:
    with transaction.atomic():
        known = {
            bytes(key): bytes(body)
            for key, body in CallEvent.objects.for_account(account)
            .filter(event_key__in=[event.event_key for _, event in rows])
            .values_list("event_key", "body_hash")
        }
        fresh: list[NewEvent] = []
        taken: list[int] = []
        for index, event in rows:
            before = known.get(event.event_key)
            if before is None:
                known[event.event_key] = event.body_hash
                fresh.append(event)
                answers[index] = _answer(index, event, "accepted", 202)
                taken.append(index)
            elif before == event.body_hash:
                answers[index] = _answer(index, event, "duplicate", 200)
            else:
                reason = "was used before with other content; the first one stands"
                answers[index] = _answer(index, event, "rejected", 409, [{"field": "id", "reason": reason}])
        kept = []
        for index, sifted in zip(taken, tombstones.sift(account, fresh), strict=True):
            if sifted is None:
                answers[index] |= {"status": "dropped", "code": 200, "warnings": [ABOUT_ERASED]}
            else:
                kept.append(sifted)
        _insert(account, kept, at)


ABOUT_ERASED = {"field": "subject", "reason": "is about something that was erased; not kept"}


def _insert(account: Account, events: list[NewEvent], at: dt.datetime) -> None:
    ordered = sorted(events, key=lambda event: event.event_key)  # writers of the same events queue up in one order
    insert_rows(
        CallEvent,
        (*_OF_EVENT, "account_id", "received_at", "retry_at", "state", "attempts", "error"),
        [[*_values(event), account.pk, at, at, EventState.PENDING.value, 0, ""] for event in ordered],
    )


_OF_EVENT = tuple(field.name for field in fields(NewEvent))
_values = attrgetter(*_OF_EVENT)


def _answer(index: int, item: Any, status: str, code: int, errors: list[dict[str, str]] | None = None) -> Answer:
    event_id = item.event_id if isinstance(item, NewEvent) else item.get("id") if isinstance(item, dict) else None
    shown = event_id.encode(errors="replace").decode() if isinstance(event_id, str) and len(event_id) <= MAX_ID else None
    return {"index": index, "id": shown, "status": status, "code": code, "errors": errors or [], "warnings": []}


def _warn_of_unknown_names(account: Account, rows: list[tuple[int, NewEvent]], answers: list[Answer]) -> None:
    """Tells the sender which agents and groups the portal does not know; the event is kept all the same."""
    rows = [(index, event) for index, event in rows if answers[index]["status"] != "dropped"]
    named_agents = {name for _, event in rows for _, name in agents_named(event.type, event.data)}
    named_groups = {name for _, event in rows for _, name in skill_groups_named(event.type, event.data)}
    agents = find_agents(account=account, references=named_agents) if named_agents else {}
    groups = find_skill_groups(account=account, names=named_groups) if named_groups else {}
    if len(agents) == len(named_agents) and len(groups) == len(named_groups):
        return
    for index, event in rows:
        warnings = answers[index]["warnings"]
        for field, name in agents_named(event.type, event.data):
            if name not in agents:
                warnings.append({"field": f"data.{field}", "reason": "is no staff ID or email of an agent; kept by name"})
        for field, name in skill_groups_named(event.type, event.data):
            if name not in groups:
                warnings.append({"field": f"data.{field}", "reason": "is no skill group of this account; kept by name"})


NO_EVENT = "The list holds no event."
TOO_MANY_EVENTS = "The list holds %(n)d events; at most %(most)d are taken at once."


# --- Room for more ---------------------------------------------------------------------------------------------------

_depths: dict[int | None, tuple[float, int]] = {}
DEPTH_KEPT_SECONDS = 1.0


def inbox_depth(account: Account | None = None) -> int:
    """Events waiting to be folded, of one account or of all; never counted further than the limit, or twice a second."""
    key = account.pk if account else None
    counted_at, depth = _depths.get(key, (0.0, 0))
    if time.monotonic() - counted_at > DEPTH_KEPT_SECONDS:
        waiting = CallEvent.objects.filter(state=EventState.PENDING)
        limit = settings.INBOX_MAX
        if account is not None:
            waiting, limit = waiting.for_account(account), settings.INBOX_MAX_PER_ACCOUNT
        depth = waiting.order_by()[: limit + 1].count()
        _depths[key] = (time.monotonic(), depth)
    return depth


def portal_is_full() -> bool:
    return not disk_has_room() or inbox_depth() >= settings.INBOX_MAX


def account_is_full(account: Account) -> bool:
    """Asked for itself, so that a flood of one account does not drown the others."""
    return inbox_depth(account) >= settings.INBOX_MAX_PER_ACCOUNT


# --- Folding ---------------------------------------------------------------------------------------------------------


def get_ready(*, at: dt.datetime) -> None:
    """Does what takes seconds the first time before anything is locked, and only where there is something to fold."""
    if not lookup.is_warm() and CallEvent.objects.due(at=at).exists():
        lookup.warm()


def fold_due(*, at: dt.datetime, limit: int = 2000) -> int:
    """Folds one bounded pass of waiting events; how many were taken. Call it until it returns 0.

    When the database refuses what a pass would write, the pass runs again call by call, so that only the call at fault
    is put off.
    """
    try:
        taken = again_on_deadlock(lambda: _fold_pass(at, limit, _write_together), also=(IntegrityError,))
    except (DataError, IntegrityError, ProgrammingError):
        log.warning("a pass was refused by the database; folding call by call")
        taken = again_on_deadlock(lambda: _fold_pass(at, limit, _write_one_by_one), also=(IntegrityError,))
    for of, is_of_agents in (("calls", False), ("agents", True)):
        if due_at := [row.retry_at for row in taken if (row.type in AGENT_TYPES) is is_of_agents]:
            count_folded(of, due_at)
    return len(taken)


Writer = Callable[["_Pass"], dict[bytes, str]]
"""Writes the records of a pass and says which calls it could not write, and why."""


@dataclass(slots=True)
class _Pass:
    """What one pass found out about the calls of one account, before it is written."""

    account: Account
    at: dt.datetime
    stored: dict[bytes, Call]
    subjects: dict[bytes, str]
    folded: dict[bytes, lifecycle.CallFacts]

    def write(self, keys: Iterable[bytes]) -> None:
        folded = {key: self.folded[key] for key in keys}
        records.replace(account=self.account, stored=self.stored, folded=folded, subjects=self.subjects, at=self.at)


def _write_together(work: _Pass) -> dict[bytes, str]:
    work.write(work.folded)
    return {}


def _write_one_by_one(work: _Pass) -> dict[bytes, str]:
    refused = {}
    for key in sorted(work.folded):
        try:
            with transaction.atomic():
                work.write([key])
        except (DataError, IntegrityError, ProgrammingError) as error:
            refused[key] = f"{type(error).__name__} while writing"
    return refused


def _fold_pass(at: dt.datetime, limit: int, write: Writer) -> list[Any]:
    with transaction.atomic():
        claimed = list(
            CallEvent.objects.due(at=at)
            .select_for_update(skip_locked=True)
            .values_list("id", "account_id", "call_key", "type", "retry_at", named=True)[:limit]
        )
        by_account: dict[int, list[Any]] = defaultdict(list)
        for row in claimed:
            by_account[row.account_id].append(row)
        for account in Account.objects.filter(pk__in=by_account).order_by("pk"):
            rows = by_account[account.pk]
            status_ids = [row.id for row in rows if row.type in AGENT_TYPES]
            calls: dict[bytes, list[int]] = defaultdict(list)
            for row in rows:
                if row.type not in AGENT_TYPES:
                    calls[bytes(row.call_key)].append(row.id)
            # Calls are locked before agents, by everybody. A status of this pass counts before what follows from a call.
            folded = _fold_calls(account, calls, at, write) if calls else {}
            if status_ids:
                _fold_statuses(account, status_ids)
            begin_wrap_ups(account=account, folded=folded, at=at)
            tell_of_calls(account_id=account.pk, folded=folded, at=at)
    return claimed


def _fold_calls(
    account: Account, calls: dict[bytes, list[int]], at: dt.datetime, write: Writer
) -> dict[bytes, lifecycle.CallFacts]:
    """Folds and writes calls; what was written."""
    stored = records.lock_calls(account, sorted(calls))
    if gone := tombstones.erased_calls(account.pk, [key for key in calls if key not in stored]):
        tombstones.erase_stored(account.pk, gone)
        calls = {key: ids for key, ids in calls.items() if key not in gone}
    events, subjects = _events_of(account, calls)
    work = _Pass(account, at, stored, subjects, folded={})
    for key, event_ids in calls.items():
        if len(events[key]) > MAX_EVENTS_PER_CALL:
            _bury(account, key)
            continue
        try:
            facts = _facts(stored.get(key), list(events[key].values()))
        except Exception as error:  # one poisoned call must not keep its neighbours waiting
            log.exception("fold failed for events %s", event_ids[:5])
            facts = _put_off_the_poisoned(stored.get(key), events[key], at, FOLD_FAILED % {"error": type(error).__name__})
        else:
            if facts is None:
                _put_off(event_ids, at, TOO_LATE)
        if facts is not None:
            work.folded[key] = facts
    refused = write(work)
    for key, reason in refused.items():
        _put_off(calls[key], at, reason)
    written = {key: facts for key, facts in work.folded.items() if key not in refused}
    done = [pk for key in written for pk in calls[key]]
    CallEvent.objects.filter(pk__in=done, state=EventState.PENDING, retry_at__lte=at).update(
        state=EventState.FOLDED, attempts=0, error=""
    )
    return written


def _events_of(
    account: Account, calls: dict[bytes, list[int]]
) -> tuple[dict[bytes, dict[int, lifecycle.Event]], dict[bytes, str]]:
    """All events of the calls but those put off until later, by call and row; and the ids the calls go by."""
    claimed = {pk for ids in calls.values() for pk in ids}
    events: dict[bytes, dict[int, lifecycle.Event]] = defaultdict(dict)
    subjects: dict[bytes, str] = {}
    rows = (
        CallEvent.objects.for_account(account)
        .filter(call_key__in=list(calls))
        .exclude(state=EventState.DEAD)
        .values_list("pk", "attempts", "call_key", "type", "occurred_at", "data", "event_key", "source", "sequence", "subject")
    )
    for pk, attempts, call_key, event_type, occurred_at, data, event_key, source, sequence, subject in rows.iterator(
        chunk_size=2000
    ):
        if attempts and pk not in claimed:
            continue
        key = bytes(call_key)
        subjects[key] = subject
        for name in ("number", "to_number"):  # one party, however its number is written
            if data.get(name):
                data[name] = canonical(data[name], account.region)
        events[key][pk] = lifecycle.Event(event_type, occurred_at, data, bytes(event_key), source, sequence)
    return events, subjects


def _put_off_the_poisoned(
    stored: Call | None, events: dict[int, lifecycle.Event], at: dt.datetime, reason: str
) -> lifecycle.CallFacts | None:
    """Finds the events that cannot be folded and puts off those alone; the record that the others make."""
    good: list[lifecycle.Event] = []
    facts = None
    for pk in sorted(events):
        try:
            facts = _facts(stored, [*good, events[pk]])
        except Exception:  # whatever it raises, this one is at fault
            _put_off([pk], at, reason)
        else:
            good.append(events[pk])
    return facts


def _bury(account: Account, call_key: bytes) -> None:
    """A call of endless events is broken at its source; its record stands as it was, and folding goes on for the others."""
    waiting = CallEvent.objects.for_account(account).filter(call_key=call_key, state=EventState.PENDING)
    waiting.update(state=EventState.DEAD, error=f"the call has more than {MAX_EVENTS_PER_CALL} events")


def _facts(stored: Call | None, events: list[lifecycle.Event]) -> lifecycle.CallFacts | None:
    """The fold; for a record whose raw events have left, only from a set that is whole or an addition after the call."""
    if stored is not None and stored.sealed_at is not None:
        types = {event.type for event in events}
        if not {"call.started", "call.ended"} <= types:
            return records.amended(stored, events) if types <= lifecycle.AFTER_CALL - {"call.wrap_up_ended"} else None
    return lifecycle.fold(events)


def _fold_statuses(account: Account, event_ids: list[int]) -> None:
    events = list(CallEvent.objects.filter(pk__in=event_ids))
    agents = find_agents(account=account, references={event.data["agent"] for event in events})
    record_status_changes(
        account=account,
        changes=[
            StatusFact(
                agent_id=agents[event.data["agent"]],
                status=event.data["status"],
                reason=event.data.get("reason") or "",
                terminal=event.data.get("terminal") or "",
                started_at=event.occurred_at,
                change_key=bytes(event.event_key),
            )
            for event in events
            if event.data["agent"] in agents
        ],
    )
    known = [event.pk for event in events if event.data["agent"] in agents]
    unknown = [event for event in events if event.data["agent"] not in agents]
    CallEvent.objects.filter(pk__in=known).update(state=EventState.FOLDED, error="")
    if unknown:
        CallEvent.objects.filter(pk__in=[event.pk for event in unknown]).update(state=EventState.UNMATCHED, error=NO_SUCH_AGENT)
        records.note_unknown_names(account, {(UnknownName.Kind.AGENT, event.data["agent"]) for event in unknown})


def _put_off(event_ids: list[int], at: dt.datetime, reason: str) -> None:
    """Tries again later, ever more seldom; after the last try the events are dead: kept, shown, and re-drivable."""
    for event in CallEvent.objects.filter(pk__in=event_ids).only("attempts"):
        attempts = event.attempts + 1
        CallEvent.objects.filter(pk=event.pk).update(
            attempts=attempts,
            retry_at=at + dt.timedelta(seconds=2**attempts),
            state=EventState.DEAD if attempts >= MAX_ATTEMPTS else EventState.PENDING,
            error=reason,
        )


# --- Looking after the inbox -----------------------------------------------------------------------------------------


def redrive(*, account: Account, ids: Iterable[int], at: dt.datetime) -> int:
    """Puts dead and unmatched events back in line; how many."""
    return (
        CallEvent.objects.for_account(account)
        .filter(pk__in=list(ids), state__in=[EventState.DEAD, EventState.UNMATCHED])
        .update(state=EventState.PENDING, attempts=0, retry_at=at, error="")
    )


def refold(*, account: Account, call_keys: Iterable[bytes], at: dt.datetime) -> int:
    """Folds stored calls again from their events, where those are still there; how many events were put back in line."""
    return (
        CallEvent.objects.for_account(account)
        .filter(call_key__in=list(call_keys), state=EventState.FOLDED)
        .update(state=EventState.PENDING, attempts=0, retry_at=at)
    )


def close_silent_calls(*, at: dt.datetime, silent_for: dt.timedelta | None = None, limit: int = 1000) -> int:
    """Ends calls of which nothing was heard for a long time, as lost contact; how many.

    The end is an event like any other, at the time of the last one: nothing is known of what came after. It is
    disregarded as soon as the call is heard of again.
    """
    quiet_since = at - (silent_for or dt.timedelta(seconds=settings.SILENT_CALL_SECONDS))
    n_closed = 0
    for account in Account.objects.filter(terminated_at=None).order_by("pk"):
        silent = Call.objects.for_account(account).filter(state__in=OPEN_STATES, started_at__lt=quiet_since)
        calls = silent.filter(last_event_at__lt=quiet_since, folded_at__lt=quiet_since)[:limit]
        items = [
            {
                "specversion": "1.0",
                "source": lifecycle.PORTAL_SOURCE,
                "id": f"lost-contact-{call.call_key.hex()[:32]}-{call.last_event_at.timestamp():.6f}",
                "type": "call.ended",
                "subject": call.call_id,
                "time": call.last_event_at.isoformat(),
                "data": {"party": "system", "cause": lifecycle.LOST_CONTACT},
            }
            for call in calls
        ]
        answers = accept_events(account=account, items=items, at=at, is_own=True)
        n_closed += sum(answer["status"] == "accepted" for answer in answers)
    return n_closed


def match_references(*, at: dt.datetime) -> int:
    """Gives records and statuses their agents and groups once the portal knows them; how many names were matched."""
    n_matched = 0
    for account in Account.objects.filter(pk__in=UnknownName.objects.values("account_id").distinct()):
        names = {kind: set(_unknown(account, kind)) for kind in UnknownName.Kind.values}
        agents = find_agents(account=account, references=names[UnknownName.Kind.AGENT])
        groups = find_skill_groups(account=account, names=names[UnknownName.Kind.SKILL_GROUP])
        if agents or groups:
            with transaction.atomic():
                _match(account, agents, groups, at)
            n_matched += len(agents) + len(groups)
    return n_matched


def _unknown(account: Account, kind: str) -> Iterable[str]:
    return UnknownName.objects.for_account(account).filter(kind=kind).values_list("name", flat=True)


def _match(account: Account, agents: dict[str, int], groups: dict[str, int], at: dt.datetime) -> None:
    legs = CallLeg.objects.for_account(account)
    entries = QueueEntry.objects.for_account(account)
    call_ids: set[int] = set()
    for name, agent_id in agents.items():
        matching = _exactly(legs.filter(agent=None), "agent_reference", name)
        call_ids.update(matching.values_list("call_id", flat=True))
        matching.update(agent_id=agent_id, agent_reference="")
        passed_on = _exactly(legs.filter(transfer_agent=None).exclude(transfer_kind=""), "transfer_to", name)
        passed_on.update(transfer_agent_id=agent_id, transfer_to="")
    for name, group_id in groups.items():
        for rows in (legs, entries):
            matching = _exactly(rows.filter(skill_group=None), "skill_group_reference", name)
            call_ids.update(matching.values_list("call_id", flat=True))
            matching.update(skill_group_id=group_id, skill_group_reference="")
    records.relist(account=account, call_ids=call_ids)
    waiting = CallEvent.objects.for_account(account).filter(state=EventState.UNMATCHED)
    ids = [pk for pk, data in waiting.values_list("pk", "data") if data.get("agent") in agents]
    redrive(account=account, ids=ids, at=at)
    for kind, names in ((UnknownName.Kind.AGENT, agents), (UnknownName.Kind.SKILL_GROUP, groups)):
        hashes = [records.name_hash(name) for name in names]
        UnknownName.objects.for_account(account).filter(kind=kind, name_hash__in=hashes).delete()


def _exactly(rows: Any, field: str, name: str) -> Any:
    """The rows with exactly this text: MariaDB compares without regard to case, accents and trailing spaces."""
    ids = [pk for pk, text in rows.filter(**{field: name}).values_list("pk", field) if text == name]
    return rows.model.objects.filter(pk__in=ids)
