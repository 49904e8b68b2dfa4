"""What calls hold on somebody, and how it goes.

A call of a number goes whole: record, parts, events, sound. Where somebody only appears in the call of another, as the
number it was passed on to, as keys typed, in a remark or an event, that place is emptied and the sound goes with it, for
they may be heard. An agent who goes leaves the calls behind, and nothing in them that names the agent.

What must never happen: a refold brings back what was taken out, so events are changed with the record; a call leaves the
figures, so what it counts for is kept before it goes (`Work.keep_figures`); a file outlives the row that named it.
"""

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any

from django.db.models import Q
from django.db.models.functions import Length
from django.utils.translation import gettext_lazy as _

from agents.erasure import shell_name
from agents.subjects import saved_store
from callcenter_site.bulk import parts
from callcenter_site.erasure import delete_rows
from callcenter_site.streams import account_topic, publish
from callcenter_site.subjects import (
    CALLS,
    PEOPLE,
    Erased,
    Page,
    Store,
    Subject,
    SubjectKind,
    Work,
    first_ids,
    scan,
)
from calls import records
from calls.erasure import SPOOLED
from calls.models import (
    Call,
    CallAudio,
    CallEvent,
    CallLeg,
    EntryOutcome,
    ExportRun,
    HitPlace,
    IncomingSound,
    IvrStep,
    KeywordHit,
    Outcome,
    QueueEntry,
    Recording,
    SavedFilter,
    Tombstone,
    UnknownName,
    Voicemail,
)
from calls.tombstones import ERASED, SOUND_TYPES, plant, unlike_any
from calls.vocabulary import AGENT_TYPES
from configuration.models import Account

NUMBER, AGENT, CALL, ACCOUNT = SubjectKind.NUMBER, SubjectKind.AGENT, SubjectKind.CALL, SubjectKind.ACCOUNT
_AUDIO: tuple[type[CallAudio], ...] = (Recording, Voicemail)


def remember(subject: Subject, *, at: dt.datetime) -> None:
    """Leaves the tombstones of a number or an agent, before anything is looked for."""
    if subject.kind == NUMBER:
        plant(subject.account_id, Tombstone.Kind.NUMBER, subject.numbers, up_to=at)
    elif subject.kind == AGENT:
        references = {*subject.names, *subject.numbers}
        plant(subject.account_id, Tombstone.Kind.AGENT, references, up_to=at, agent_id=subject.agent_id)


# --- Whole calls -----------------------------------------------------------------------------------------------------


def _of_account(subject: Subject) -> Any:
    return Call.objects.for_account(subject.account_id)


def _whole_calls(subject: Subject) -> Any:
    rows = _of_account(subject)
    if subject.up_to is not None:
        rows = rows.filter(started_at__lte=subject.up_to)
    match subject.kind:
        case "call":
            return rows.filter(call_key=subject.call_key)
        case "days":
            return rows.filter(ended_on__gte=subject.first_day, ended_on__lte=subject.last_day)
        case "account":
            return rows
        case _:
            raise ValueError(subject.kind)


def _find_calls(subject: Subject, after: Any, limit: int) -> Page:
    if subject.kind != NUMBER:
        return first_ids(_whole_calls(subject), after, limit)
    return _find_by_number(subject, after, limit)


def _find_by_number(subject: Subject, after: Any, limit: int) -> Page:
    rows = _of_account(subject)
    if subject.up_to is not None:
        rows = rows.filter(started_at__lte=subject.up_to)
    ids: set[int] = set()
    # Each side along its own index; by the alternative alone the database would read all calls.
    for name in ("calling_number", "called_number"):
        side = rows.filter(**{f"{name}__in": sorted(subject.numbers)}, pk__gt=after or 0)
        ids.update(side.order_by("pk").values_list("pk", flat=True)[:limit])
    page = sorted(ids)[:limit]
    return Page(page, page[-1] if len(page) == limit else None)


def _erase_calls(subject: Subject, ids: list[Any], work: Work) -> Erased:
    calls = _of_account(subject).filter(pk__in=ids)
    # One order for all who lock calls. Who appends to a call now waits, and then finds it gone.
    locked = {pk: bytes(key) for pk, key in calls.order_by("pk").select_for_update().values_list("pk", "call_key")}
    held = _held(work, locked)
    for pk in held:
        del locked[pk]
    _erase_whole(subject.account_id, locked, work, with_stones=subject.kind != ACCOUNT)
    return Erased(len(locked), len(held))


def _held(work: Work, ids: Collection[int]) -> set[int]:
    if work.held_calls is None or not ids:
        return set()
    return set(Call.objects.filter(work.held_calls, pk__in=list(ids)).values_list("pk", flat=True))


def _erase_whole(account_id: int, locked: dict[int, bytes], work: Work, *, with_stones: bool = True) -> None:
    """Deletes calls that the caller has locked, with all that is theirs."""
    if not locked:
        return
    pks, keys = list(locked), list(locked.values())
    _end_open(pks, work.at)
    work.keep_figures(pks)
    if with_stones:
        plant(account_id, Tombstone.Kind.CALL, [key.hex() for key in keys], up_to=work.at)
    coming = IncomingSound.objects.for_account(account_id).filter(call_key__in=keys)
    work.put_files(_files(_sound(model, account_id).filter(call_id__in=pks) for model in _AUDIO) | _on_their_way(coming))
    delete_rows(coming)
    delete_rows(CallEvent.objects.for_account(account_id).filter(call_key__in=keys))
    for model, name in _below_a_call():
        delete_rows(model._base_manager.filter(**{f"{name}__in": pks}))
    delete_rows(Call.objects.for_account(account_id).filter(pk__in=pks))
    work.after.append(lambda: publish([account_topic(account_id)]))


def _end_open(call_ids: list[int], at: dt.datetime) -> None:
    """What still goes on ends here, as lost: figures would otherwise wait for its end for ever."""
    going_on = list(Call.objects.filter(pk__in=call_ids, ended_at=None).values_list("pk", flat=True))
    if going_on:
        QueueEntry.objects.filter(call_id__in=going_on, outcome="").update(outcome=EntryOutcome.LOST)
        CallLeg.objects.filter(call_id__in=going_on, ended_at=None).update(ended_at=at)
        Call.objects.filter(pk__in=going_on).update(ended_at=at, outcome=Outcome.LOST_CONTACT)


def _below_a_call() -> Iterable[tuple[Any, str]]:
    """Every table of ours below a call, whichever there are: one that is added later is not forgotten here."""
    for relation in Call._meta.get_fields(include_hidden=True):
        if relation.auto_created and not relation.concrete and relation.related_model._meta.app_label == Call._meta.app_label:  # type: ignore[union-attr]
            yield relation.related_model, relation.field.name  # type: ignore[union-attr]


def _sound(model: type[CallAudio], account_id: int) -> Any:
    return model._default_manager.filter(account_id=account_id)


def _files(rows: Iterable[Any]) -> set[str]:
    return {key for some in rows for key in some.exclude(key="").values_list("key", flat=True)}


def _on_their_way(coming: Any) -> set[str]:
    names = set()
    for key, spool_name in coming.values_list("key", "spool_name"):
        names |= {key, f"{SPOOLED}{spool_name}" if spool_name else ""}
    return names - {""}


def _show_calls(subject: Subject, ids: list[Any]) -> Iterable[dict[str, Any]]:
    columns = (
        "call_id",
        "direction",
        "calling_number",
        "called_number",
        "provider",
        "location",
        "started_at",
        "answered_at",
        "ended_at",
        "outcome",
        "wait_seconds",
        "talk_seconds",
        "rating_score",
        "disposition",
        "remark",
    )
    calls = _of_account(subject).filter(pk__in=ids).order_by("pk")
    steps: dict[int, list[Any]] = {}
    for call_id, step, said, kind, at in (
        IvrStep.objects.filter(call_id__in=ids)
        .order_by("call_id", "seq")
        .values_list("call_id", "step", "input", "input_kind", "input_at")
    ):
        steps.setdefault(call_id, []).append({"step": step, "input": said, "kind": kind, "entered_at": at})
    sounds: dict[str, dict[int, list[Any]]] = {}
    for model in _AUDIO:
        of_calls = sounds[model._meta.model_name or ""] = {}
        for said in model._default_manager.filter(call_id__in=ids).values(
            "call_id", "recorded_at", "duration_seconds", "state", "n_bytes"
        ):
            of_calls.setdefault(said.pop("call_id"), []).append(said)
    for pk, *values in calls.values_list("pk", *columns):
        heard = {name: of_calls.get(pk, []) for name, of_calls in sounds.items()}
        yield dict(zip(columns, values, strict=True)) | {"ivr_steps": steps.get(pk, [])} | heard


# --- In the calls of others ------------------------------------------------------------------------------------------


def _silence(account_id: int, call_ids: Collection[int], work: Work) -> None:
    """Deletes the sound of calls in which the subject may be heard, and keeps it from coming again."""
    calls = {pk: bytes(key) for pk, key in Call.objects.filter(pk__in=list(call_ids)).values_list("pk", "call_key")}
    keys = list(calls.values())
    coming = IncomingSound.objects.for_account(account_id).filter(call_key__in=keys)
    sounds = [_sound(model, account_id).filter(call_id__in=list(calls)) for model in _AUDIO]
    work.put_files(_files(sounds) | _on_their_way(coming))
    plant(account_id, Tombstone.Kind.AUDIO, [key.hex() for key in keys], up_to=work.at)
    for rows in (*sounds, coming):
        delete_rows(rows)
    delete_rows(CallEvent.objects.for_account(account_id).filter(call_key__in=keys, type__in=SOUND_TYPES))
    Call.objects.filter(pk__in=list(calls)).update(has_recording=False, has_voicemail=False)


def _lock(calls: Any, work: Work) -> tuple[set[int], set[int]]:
    """Locks calls; those that may be changed, and those under a hold."""
    locked = set(calls.order_by("pk").select_for_update().values_list("pk", flat=True))
    held = _held(work, locked)
    return locked - held, held


def _lock_calls_of(rows: Any, work: Work) -> tuple[set[int], set[int]]:
    """Of parts of calls."""
    return _lock(Call.objects.filter(pk__in=set(rows.values_list("call_id", flat=True))), work)


def _external(subject: Subject) -> Any:
    return CallLeg.objects.for_account(subject.account_id).filter(~Q(number="") | ~Q(transfer_to=""))


def _find_transfers(subject: Subject, after: Any, limit: int) -> Page:
    def is_there(number: str, transfer_to: str) -> bool:
        return subject.is_number(number) or subject.is_number(transfer_to)

    return scan(_external(subject), ("number", "transfer_to"), is_there, after)


def _erase_transfers(subject: Subject, ids: list[Any], work: Work) -> Erased:
    rows = _external(subject).filter(pk__in=ids)
    free, held = _lock_calls_of(rows, work)
    n_erased = 0
    heard: set[int] = set()
    for leg in rows.filter(call_id__in=free).order_by("pk").only("number", "transfer_to", "call_id", "kind"):
        changes: dict[str, Any] = {}
        if subject.is_number(leg.number):
            changes |= {"number": ERASED, "provider": ""}
            heard.add(leg.call_id)
        if subject.is_number(leg.transfer_to):
            changes["transfer_to"] = ERASED
            heard.add(leg.call_id)
        n_erased += CallLeg.objects.filter(pk=leg.pk).update(**changes) if changes else 0
    if heard:
        _silence(subject.account_id, heard, work)
        _change_events(subject, _keys_of(heard))
    return Erased(n_erased, rows.filter(call_id__in=held).count())


def _keys_of(call_ids: Collection[int]) -> list[bytes]:
    return [bytes(key) for key in Call.objects.filter(pk__in=list(call_ids)).values_list("call_key", flat=True)]


def _inputs(subject: Subject) -> Any:
    return IvrStep.objects.for_account(subject.account_id).annotate(n=Length("input")).filter(n__gte=3)


def _find_inputs(subject: Subject, after: Any, limit: int) -> Page:
    return scan(_inputs(subject), ("input",), subject.is_named, after)


def _erase_inputs(subject: Subject, ids: list[Any], work: Work) -> Erased:
    rows = IvrStep.objects.for_account(subject.account_id).filter(pk__in=ids)
    free, held = _lock_calls_of(rows, work)
    mine = rows.filter(call_id__in=free)
    for call_id, seq in list(mine.values_list("call_id", "seq")):
        delete_rows(KeywordHit.objects.filter(call_id=call_id, place=HitPlace.IVR, seq=seq))
    n_erased = mine.update(input="")
    _change_events(subject, _keys_of(free))
    return Erased(n_erased, rows.filter(call_id__in=held).count())


def _find_remarks(subject: Subject, after: Any, limit: int) -> Page:
    rows = Call.objects.for_account(subject.account_id).filter(has_remark=True)
    return scan(rows, ("remark",), lambda remark: bool(subject.spans(remark)), after)


def _erase_remarks(subject: Subject, ids: list[Any], work: Work) -> Erased:
    calls = _of_account(subject).filter(pk__in=ids)
    free, held = _lock(calls, work)
    n_erased = 0
    changed = []
    for pk, remark in calls.filter(pk__in=free).values_list("pk", "remark"):
        spans = subject.spans(remark)
        hits = KeywordHit.objects.for_account(subject.account_id).filter(call_id=pk, place=HitPlace.REMARK)
        for start, end in spans:
            delete_rows(hits.filter(start__lt=end, end__gt=start))
        n_erased += Call.objects.filter(pk=pk).update(remark=subject.hidden(remark))
        changed.append(pk)
    _change_events(subject, _keys_of(changed))
    return Erased(n_erased, len(held))


def _references(subject: Subject, model: type[CallAudio]) -> Any:
    return _sound(model, subject.account_id).exclude(reference="")


def _find_references(model: type[CallAudio]) -> Any:
    def find(subject: Subject, after: Any, limit: int) -> Page:
        return scan(_references(subject, model), ("reference",), lambda one: bool(subject.spans(one)), after)

    return find


def _erase_references(model: type[CallAudio]) -> Any:
    """A file that is named after a number holds the voice of whoever has it."""

    def erase(subject: Subject, ids: list[Any], work: Work) -> Erased:
        rows = _references(subject, model).filter(pk__in=ids)
        free, held = _lock_calls_of(rows, work)
        n_erased = rows.filter(call_id__in=free).count()
        _silence(subject.account_id, free, work)
        return Erased(n_erased, rows.filter(call_id__in=held).count())

    return erase


# --- Events ----------------------------------------------------------------------------------------------------------


def _find_events(subject: Subject, after: Any, limit: int) -> Page:
    if subject.kind == ACCOUNT:  # those of no record: the others have gone with their calls
        return first_ids(CallEvent.objects.for_account(subject.account_id), after, limit)

    def is_there(event_type: str, whose: str, data: Any) -> bool:
        return subject.stands_in(data) or (event_type in AGENT_TYPES and subject.is_named(whose))

    return scan(CallEvent.objects.for_account(subject.account_id), ("type", "subject", "data"), is_there, after)


def _erase_events(subject: Subject, ids: list[Any], work: Work) -> Erased:
    """Changes events of calls that are in a record, and deletes the others: an agent's, and those that no record came of."""
    events = CallEvent.objects.for_account(subject.account_id).filter(pk__in=ids)
    keys = {bytes(key) for key in events.exclude(type__in=AGENT_TYPES).values_list("call_key", flat=True)}
    calls = _of_account(subject).filter(call_key__in=keys)
    stored = {bytes(key): pk for pk, key in calls.order_by("pk").select_for_update().values_list("pk", "call_key")}
    held_ids = _held(work, stored.values())
    held = {key for key, pk in stored.items() if pk in held_ids}
    n_held = events.filter(call_key__in=held).count()
    if subject.kind == ACCOUNT:
        return Erased(delete_rows(events.exclude(call_key__in=held)), n_held)
    waiting = keys - stored.keys()
    n_erased = delete_rows(events.filter(type__in=AGENT_TYPES))
    if waiting and subject.kind == NUMBER:
        plant(subject.account_id, Tombstone.Kind.CALL, [key.hex() for key in waiting], up_to=work.at)
        n_erased += events.filter(call_key__in=waiting).count()
        delete_rows(CallEvent.objects.for_account(subject.account_id).filter(call_key__in=waiting))
    elif waiting:
        n_erased += _change(subject, events.filter(call_key__in=waiting))
    n_erased += _change(subject, events.filter(call_key__in=stored.keys() - held))
    return Erased(n_erased, n_held)


def _change_events(subject: Subject, call_keys: list[bytes]) -> None:
    """Takes the subject out of the events of calls, so that folding them again does not bring it back."""
    for some in parts(call_keys):
        _change(subject, CallEvent.objects.for_account(subject.account_id).filter(call_key__in=some))


def _change(subject: Subject, events: Any) -> int:
    n_changed = 0
    for pk, data in list(events.values_list("pk", "data")):
        changed = _without(subject, data)
        if changed != data:
            n_changed += CallEvent.objects.filter(pk=pk).update(data=changed, body_hash=unlike_any(), error="")
    return n_changed


def _without(subject: Subject, value: Any, name: str = "") -> Any:
    """What was read from JSON, with nothing of the subject in it."""
    if isinstance(value, dict):
        return {ERASED if subject.is_named(key) else key: _without(subject, below, key) for key, below in value.items()}
    if isinstance(value, list):
        return [_without(subject, one, name) for one in value]
    if not subject.is_named(value):
        return value
    if name in ("calling_number", "called_number", "input"):
        return ""
    if subject.kind == AGENT and (str(value) in subject.names or subject.is_number(str(value))):
        return shell_name(subject.agent_id or 0)
    if isinstance(value, str) and not subject.is_number(value):
        return subject.hidden(value)
    return ERASED


# --- An agent in calls -----------------------------------------------------------------------------------------------


def _named_legs(subject: Subject) -> Any:
    said = sorted({*subject.names, *subject.numbers})
    return CallLeg.objects.for_account(subject.account_id).filter(
        Q(agent=None, agent_reference__in=said) | Q(transfer_agent=None, transfer_to__in=said) | Q(number__in=said)
    )


def _find_named_legs(subject: Subject, after: Any, limit: int) -> Page:
    return first_ids(_named_legs(subject), after, limit)


def _erase_named_legs(subject: Subject, ids: list[Any], work: Work) -> Erased:
    """Gives the agent's empty row what went by a name, so that it still adds up."""
    rows = _named_legs(subject).filter(pk__in=ids)
    free, held = _lock_calls_of(rows, work)
    said = {*subject.names, *subject.numbers}
    mine = CallLeg.objects.filter(pk__in=list(rows.filter(call_id__in=free).values_list("pk", flat=True)))
    n_erased = mine.count()
    mine.filter(agent=None, agent_reference__in=said).update(agent_id=subject.agent_id, agent_reference="")
    mine.filter(transfer_agent=None, transfer_to__in=said).update(transfer_agent_id=subject.agent_id, transfer_to="")
    mine.filter(number__in=said).update(number=ERASED)
    records.relist(account=Account.objects.get(pk=subject.account_id), call_ids=free)
    _change_events(subject, _keys_of(free))
    return Erased(n_erased, rows.filter(call_id__in=held).count())


def _erase_own_numbers(subject: Subject, ids: list[Any], work: Work) -> Erased:
    """Customers' calls stay; the agent's own number goes from them."""
    calls = _of_account(subject).filter(pk__in=ids)
    free, held = _lock(calls, work)
    for name in ("calling_number", "called_number"):
        mine = _of_account(subject).filter(pk__in=free, **{f"{name}__in": sorted(subject.numbers)})
        mine.update(**{name: ""})
    _change_events(subject, _keys_of(free))
    return Erased(len(free), len(held))


# --- Beside calls ----------------------------------------------------------------------------------------------------


def _find_incoming(subject: Subject, after: Any, limit: int) -> Page:
    rows = IncomingSound.objects.for_account(subject.account_id)
    if subject.kind == CALL:
        return first_ids(rows.filter(call_key=subject.call_key), after, limit)
    if subject.kind == ACCOUNT:
        return first_ids(rows, after, limit)
    return scan(rows, ("call_id", "reference"), lambda *said: any(subject.spans(one) for one in said), after)


def _erase_incoming(subject: Subject, ids: list[Any], work: Work) -> Erased:
    rows = IncomingSound.objects.for_account(subject.account_id).filter(pk__in=ids)
    work.put_files(_on_their_way(rows))
    return Erased(delete_rows(rows))


def _find_exports(subject: Subject, after: Any, limit: int) -> Page:
    """All of them: what stands in a file is not known without reading it, and they are gone after a day anyway."""
    rows = ExportRun.objects.for_account(subject.account_id)
    if subject.up_to is not None:
        rows = rows.filter(created_at__lte=subject.up_to)
    return first_ids(rows, after, limit)


def _erase_exports(subject: Subject, ids: list[Any], work: Work) -> Erased:
    rows = ExportRun.objects.for_account(subject.account_id).filter(pk__in=ids)
    rows.select_for_update().order_by("pk").values_list("pk").first()
    work.put_files(set(rows.exclude(key="").values_list("key", flat=True)))
    return Erased(delete_rows(rows))


def _find_unknown(subject: Subject, after: Any, limit: int) -> Page:
    rows = UnknownName.objects.for_account(subject.account_id)
    if subject.kind == ACCOUNT:
        return first_ids(rows, after, limit)
    return scan(rows, ("name",), subject.is_named, after)


def _delete_of(model: Any) -> Any:
    def erase(subject: Subject, ids: list[Any], work: Work) -> Erased:
        return Erased(delete_rows(model.objects.for_account(subject.account_id).filter(pk__in=ids)))

    return erase


_BELOW_CALLS = (
    "calls.Call",
    "calls.CallLeg",
    "calls.CallSeenBy",
    "calls.KeywordHit",
    "calls.QueueEntry",
    "calls.IvrStep",
    "calls.Recording",
    "calls.Voicemail",
    "calls.CallEvent",
)
_WITH_EVENTS = frozenset({NUMBER, AGENT, ACCOUNT})

STORES: tuple[Store, ...] = (
    Store("calls", _("calls"), CALLS, _BELOW_CALLS, _find_calls, _erase_calls, _show_calls),
    Store("transfers", _("transfers to the number"), frozenset({NUMBER}), ("calls.CallLeg",), _find_transfers, _erase_transfers),
    Store("ivr_inputs", _("IVR inputs"), frozenset({NUMBER}), ("calls.IvrStep",), _find_inputs, _erase_inputs),
    Store("remarks", _("remarks"), PEOPLE, ("calls.Call", "calls.KeywordHit"), _find_remarks, _erase_remarks),
    *(
        Store(
            f"{model._meta.model_name}_references",
            title,
            PEOPLE,
            (model._meta.label,),
            _find_references(model),
            _erase_references(model),
        )
        for model, title in (
            (Recording, _("recordings named after the number")),
            (Voicemail, _("voicemail named after the number")),
        )
    ),
    Store(
        "agent_legs", _("legs that name the agent"), frozenset({AGENT}), ("calls.CallLeg",), _find_named_legs, _erase_named_legs
    ),
    Store(
        "agent_numbers",
        _("calls from the agent's own numbers"),
        frozenset({AGENT}),
        ("calls.Call",),
        _find_by_number,
        _erase_own_numbers,
    ),
    Store("events", _("raw events"), _WITH_EVENTS, ("calls.CallEvent",), _find_events, _erase_events),
    Store(
        "incoming_sounds",
        _("sound files on their way"),
        frozenset({NUMBER, CALL, ACCOUNT}),
        ("calls.IncomingSound",),
        _find_incoming,
        _erase_incoming,
    ),
    Store("exports", _("exports"), frozenset(SubjectKind), ("calls.ExportRun",), _find_exports, _erase_exports),
    saved_store("saved_filters", _("saved filters"), SavedFilter, says=lambda row: (row.search,)),
    Store(
        "unknown_names", _("unknown names"), PEOPLE | {ACCOUNT}, ("calls.UnknownName",), _find_unknown, _delete_of(UnknownName)
    ),
)
