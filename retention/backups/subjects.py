"""How somebody who asks to be erased goes from the backups.

The live rows go first (`retention/stores.py`), and what is left of them decides here. Calls that were erased left a
tombstone each; whatever belongs to them goes. A row that names the subject, or is the agent's own, is replaced by what
stands in the database now, or goes where nothing does. Only raw events that left the database after their week are
changed here, in the words in which live ones are.
"""

import datetime as dt
import functools
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.db.models import Sum

from agents.erasure import shell_name
from agents.models import Agent
from callcenter_site.subjects import Subject, SubjectKind, leaves
from calls.models import Call, CallEvent, Tombstone
from calls.tombstones import ERASED, SOUND_TYPES, erased_calls, unlike_any
from configuration.models import Account
from retention import holds
from retention.backups import source
from retention.backups.crypt import Keys
from retention.backups.kinds import Kind, places, places_of
from retention.backups.manifest import write_manifest
from retention.backups.night import night
from retention.backups.objects import replace
from retention.backups.reach import Change, Found, Place, Rewritten, forget_account, rewrite_days, search
from retention.backups.rows import Row, read_page
from retention.models import BackupObject

OF_CALLS = frozenset({Kind.CALLS, Kind.EVENTS})
SOUND = frozenset({"calls.Recording", "calls.Voicemail"})
PEOPLE = frozenset({SubjectKind.NUMBER, SubjectKind.AGENT})


def erase_subject(
    *,
    subject: Subject,
    at: dt.datetime,
    request_id: str = "",
    cause: str = "",
    after: Place | None = None,
    told: Callable[[Place, Rewritten], None] | None = None,
) -> Rewritten:
    """Takes a subject out of all backups of its account; `n_left` objects are to be asked for again. Its live rows have gone
    before, and its tombstones stand."""
    account = Account.objects.get(pk=subject.account_id)
    change: Change = Scrub(account.pk, subject)
    if subject.kind == SubjectKind.ACCOUNT:
        if not holds.open_holds(account).exists():
            n_rows = _n_rows(account)
            n_objects = forget_account(account=account, at=at, cause=cause)
            done = Rewritten(n_objects, n_rows, n_rows, 0, 0)
            if told is not None:
                told([], done)
            return done
        change = _nothing_stays  # except what is held, until that is released
    else:
        keep_tombstones(account=account, at=at, cause=cause)
    return rewrite_days(account=account, change=change, at=at, request_id=request_id, cause=cause, after=after, told=told)


def search_subject(*, subject: Subject, beat: Callable[[], None] | None = None) -> Found:
    """How many rows of backups are not as the erased subject leaves them: after an erasure, none. What is live and stays, like
    a later call of the number or one under a hold, is no trace."""
    account = Account.objects.get(pk=subject.account_id)
    if subject.kind == SubjectKind.ACCOUNT:
        if holds.open_holds(account).exists():
            return search(account=account, change=_nothing_stays, beat=beat)
        n = BackupObject.objects.for_account(account).count()
        return Found(n, n, 0)
    return search(account=account, change=Scrub(account.pk, subject), beat=beat)


def count_subject(*, subject: Subject, beat: Callable[[], None] | None = None) -> Found:
    """How many rows of backups a subject stands in, erased or not: what a request is told before it runs."""
    account = Account.objects.get(pk=subject.account_id)
    objects = BackupObject.objects.for_account(account)
    match subject.kind:
        case SubjectKind.ACCOUNT:
            return Found(objects.count(), _n_rows(account), 0)
        case SubjectKind.DAYS:
            days = objects.filter(kind__in=OF_CALLS, day__range=(subject.first_day, subject.last_day))
            return Found(days.count(), days.aggregate(n=Sum("n_rows"))["n"] or 0, 0)
        case SubjectKind.CALL:
            call = Call.objects.for_account(account).filter(call_key=subject.call_key).first()
            days_of_it = {call.ended_on} if call is not None and call.ended_on is not None else None
            return search(account=account, change=_PartsOf(subject.call_key), days=days_of_it, kinds=OF_CALLS, beat=beat)
    named = _Named(subject)
    return search(account=account, change=lambda page: [None if named.stands_in(row) else row for row in page], beat=beat)


def _n_rows(account: Account) -> int:
    return BackupObject.objects.for_account(account).without_manifest().aggregate(n=Sum("n_rows"))["n"] or 0


def _nothing_stays(page: Sequence[Row]) -> Sequence[Row | None]:
    return [None] * len(page)


class _PartsOf:
    """Finds a call and what hangs on it, which comes after it."""

    def __init__(self, call_key: bytes) -> None:
        self.call_key, self._ids = call_key, set[Any]()

    def __call__(self, page: Sequence[Row]) -> list[Row | None]:
        self._ids |= {row.pk for row in page if row.label == "calls.Call" and row.values["call_key"] == self.call_key}
        return [
            None if row.values.get("call_key") == self.call_key or row.values.get("call_id", "") in self._ids else row
            for row in page
        ]


def keep_tombstones(*, account: Account, at: dt.datetime, cause: str = "") -> None:
    """Writes what was erased into the store at once: an older copy of the database, restored tonight, knows nothing of it."""
    rows = BackupObject.objects.for_account(account).filter(kind=Kind.ERASED)
    there = rows.order_by("-day").first()
    if there is None:
        there, _is_new = BackupObject.objects.get_or_create(account=account, kind=Kind.ERASED, day=night(account, at))
    replace(there, lambda now: source.rows_of(account, Kind.ERASED, now.day), keys=Keys.of(account.pk), at=at, cause=cause)
    write_manifest(account=account, at=at, cause=cause or "backup:manifest")


class Scrub:
    """Says what becomes of a page of rows. Without a subject, only of what tombstones name: that is how a restore is cleaned.

    It remembers the calls that went, for their parts follow them.
    """

    def __init__(self, account_id: int, subject: Subject | None = None) -> None:
        self.account_id = account_id
        self._named = _Named(subject) if subject is not None and subject.kind in PEOPLE else None
        self._gone: set[int] = set()
        self._silent: set[int] = set()
        self._has_stones = Tombstone.objects.for_account(account_id).exists()
        self._models = {place.label: place.model for place in places()}

    def __call__(self, page: Sequence[Row]) -> list[Row | None]:
        new: list[Row | None] = self._without_erased_calls(page) if self._has_stones else list(page)
        if self._named is not None:
            found = [(n, row) for n, row in enumerate(new) if row is not None and self._named.stands_in(row)]
            live = self._as_they_are([row for _n, row in found])
            for n, row in found:
                new[n] = self._named.now(row, live.get((row.label, row.pk)))
        return new

    def _without_erased_calls(self, page: Sequence[Row]) -> list[Row | None]:
        keys = {row.values["call_key"] for row in page if "call_key" in row.values}
        gone = erased_calls(self.account_id, keys) if keys else set()
        silent = erased_calls(self.account_id, keys, kind=Tombstone.Kind.AUDIO) if keys else set()
        for row in page:
            if row.label == "calls.Call":
                if row.values["call_key"] in gone:
                    self._gone.add(row.pk)
                elif row.values["call_key"] in silent:
                    self._silent.add(row.pk)
        return [self._after_stones(row, gone, silent) for row in page]

    def _after_stones(self, row: Row, gone: Collection[bytes], silent: Collection[bytes]) -> Row | None:
        values = row.values
        key, call_id = values.get("call_key"), values.get("call_id")
        if key in gone or (row.label != "calls.Call" and isinstance(call_id, int) and call_id in self._gone):
            return None
        if row.label in SOUND and call_id in self._silent:
            return None
        if key in silent and (row.label == "calls.IncomingSound" or values.get("type") in SOUND_TYPES):
            return None
        if row.label == "calls.Call" and row.pk in self._silent and (values["has_recording"] or values["has_voicemail"]):
            return Row(row.label, values | {"has_recording": False, "has_voicemail": False})
        return row

    def _as_they_are(self, rows: Sequence[Row]) -> dict[tuple[str, Any], Row]:
        """Rows as they stand in the database now."""
        by_label: dict[str, set[Any]] = {}
        for row in rows:
            by_label.setdefault(row.label, set()).add(row.pk)
        live: dict[tuple[str, Any], Row] = {}
        for label, ids in by_label.items():
            model = self._models[label]
            mine = {"pk": self.account_id} if model is Account else {"account_id": self.account_id, "pk__in": ids}
            live |= {(label, one.pk): one for one in read_page(model, model._base_manager.filter(**mine).order_by("pk"))}
        return live


class _Named:
    """Finds the rows of a number or an agent."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.may_stand_in = _prefilter(subject)

    def stands_in(self, row: Row) -> bool:
        if self.subject.agent_id is not None and _owner(row) == self.subject.agent_id:
            return True
        # Numbers of rows and lengths are no names, even where a staff ID has the same digits.
        values = [value for value in row.values.values() if isinstance(value, str | dict | list)]
        return bool(self.may_stand_in(_text(values))) and any(self.subject.stands_in(value) for value in values)

    def now(self, row: Row, live: Row | None) -> Row | None:
        if live is not None:
            return row if live.values == row.values else live
        return self._cleared(row) if row.label == CallEvent._meta.label else None

    def _cleared(self, event: Row) -> Row:
        subject = self.subject
        stand_in = shell_name(subject.agent_id) if subject.agent_id is not None else ERASED
        values = {name: _without(subject, event.values[name], stand_in) for name in ("subject", "event_id", "error", "data")}
        return Row(event.label, {**event.values, **values, "body_hash": unlike_any()})


def _without(subject: Subject, value: Any, stand_in: str) -> Any:
    if isinstance(value, dict):
        return {stand_in if subject.is_named(key) else key: _without(subject, below, stand_in) for key, below in value.items()}
    if isinstance(value, list):
        return [_without(subject, one, stand_in) for one in value]
    if not subject.is_named(value):
        return value
    hidden = subject.hidden(str(value))
    return stand_in if hidden == str(value) or subject.is_number(str(value)) else hidden


def _owner(row: Row) -> int | None:
    """Whose own a row is: their page, their phones, their sign-in, their checks."""
    if row.label == "agents.Agent":
        return int(row.pk)
    if row.label not in _own_tables():
        return None
    return row.values.get("agent_id") or row.values.get("user_id")


@functools.cache
def _own_tables() -> frozenset[str]:
    own = {"agent_id", "user_id"}
    return frozenset(
        place.label
        for place in places_of(Kind.PEOPLE)
        if place.model is not Agent
        and place.label.startswith("agents.")
        and own & {field.attname for field in place.model._meta.concrete_fields}
    )


def _prefilter(subject: Subject) -> Callable[[str], Any]:
    """Whether the subject may stand in a text, quickly: most rows hold no trace of it."""
    tells = [re.escape(name) for name in subject.names if name]
    for number in subject.numbers:
        digits = [one for one in number if one.isdigit()][-5:]
        tells.append(r"\D{0,12}".join(_written_as()[int(one)] for one in digits))
    return re.compile("|".join(tells)).search if tells else lambda text: None


@functools.cache
def _written_as() -> list[str]:
    forms: list[list[str]] = [[] for _ in range(10)]
    for code in range(0x1FFFF):
        digit = unicodedata.digit(chr(code), None)
        if digit is not None:
            forms[digit].append(chr(code))
    return [f"[{''.join(one)}]" for one in forms]


def _text(values: Sequence[Any]) -> str:
    return "\0".join(str(one) for one in leaves(list(values)) if isinstance(one, str | int) and not isinstance(one, bool))
