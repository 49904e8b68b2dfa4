"""Which rows are backed up, in which kind of object. Every table is placed by its line in an app's `KEPT`, so that one
which is added later is backed up without anybody thinking of it; what cannot be placed fails a system check.

A kind goes by local day, or is the state of the night. An object names its kind and day and nothing else in the clear.
"""

import enum
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from callcenter_site.erasure import Kept, Lifetime
from calls.models import Call
from configuration.models import Account
from retention.erasure import KEPT


class Kind(enum.StrEnum):
    """In the order in which they are restored: what others point to comes first."""

    CONFIGURATION = "configuration"
    PEOPLE = "people"
    ERASED = "erased"
    STATUS_CHANGES = "status_changes"
    CALLS = "calls"
    EVENTS = "events"
    FIGURES = "figures"
    AUDIT = "audit"
    STATE = "state"


TITLES: dict[str, Promise] = {
    Kind.CONFIGURATION: _("Configuration"),
    Kind.PEOPLE: _("People"),
    Kind.ERASED: _("What was erased"),
    Kind.STATUS_CHANGES: _("Status changes"),
    Kind.CALLS: _("Calls"),
    Kind.EVENTS: _("Raw events"),
    Kind.FIGURES: _("Figures"),
    Kind.AUDIT: _("Audit log"),
    Kind.STATE: _("What goes on"),
}

OF_THE_NIGHT = frozenset({Kind.CONFIGURATION, Kind.PEOPLE, Kind.ERASED, Kind.STATE})
"""The state of the night. The others hold what belongs to one local day."""
EXPIRING = frozenset({Kind.STATUS_CHANGES, Kind.CALLS, Kind.EVENTS, Kind.FIGURES})
"""Days of these go with their calls; those of the audit log stay until the account is terminated."""

LEFT_OUT = {
    "configuration.DataKey": "stands wrapped in the manifest, which a termination deletes first",
    "retention.AccountGate": "a lock",
    "retention.BackupObject": "names these objects; the manifest does as well",
    "retention.BackupRun": "tells how a night went",
    "retention.RestoreRun": "tells how a restore goes",
    "retention.RestoredId": "belongs to a restore",
}
TAKEN_ALONG = frozenset({"calls.IncomingSound", "calls.StaleCallSlot"})
"""Short-lived rows without which something would be missing for good: sound without its call, figures never counted."""
NO_TIME = frozenset({Lifetime.CONFIGURATION, Lifetime.PEOPLE})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows of one table go."""

    model: Any
    kind: Kind
    day: str = ""
    """Path to the date or moment whose local day they belong to; empty: all of them, in the state of the night."""

    @property
    def label(self) -> str:
        return str(self.model._meta.label)

    @property
    def goes_by_date(self) -> bool:
        return type(_field(self.model, self.day)) is models.DateField


class Unplaced(Exception):
    """A table's line does not say where its rows belong."""


def place_of(line: Kept) -> Place | None:
    """Where a table's rows go; None: they are not backed up."""
    if line.model in LEFT_OUT or not line.account or line.lifetime in (Lifetime.PROOF, Lifetime.INSTALLATION):
        return None
    if line.lifetime == Lifetime.UNTIL_USED and line.model not in TAKEN_ALONG:
        return None
    model: Any = apps.get_model(line.model)
    kind = _by_day(line)
    if kind is not None:
        return Place(model, kind, "timestamp" if kind == Kind.AUDIT else line.clock)
    if line.model == "calls.Tombstone":
        return Place(model, Kind.ERASED)
    reached = _reached(model)
    if Call in reached or line.lifetime not in NO_TIME:
        return Place(model, Kind.STATE)
    is_personal = line.lifetime == Lifetime.PEOPLE or apps.get_model("agents.Agent") in reached
    return Place(model, Kind.PEOPLE if is_personal else Kind.CONFIGURATION)


def _by_day(line: Kept) -> Kind | None:
    """The kind of a table whose rows belong to days; None: they are part of the state of the night."""
    if line.lifetime == Lifetime.CALL_DATA and (line.model == "calls.Call" or line.clock == "call__ended_on"):
        return Kind.CALLS
    if line.model in (kinds := {"configuration.AuditEntry": Kind.AUDIT, "agents.StatusChange": Kind.STATUS_CHANGES}):
        return kinds[line.model]
    return {Lifetime.RAW_EVENTS: Kind.EVENTS, Lifetime.COUNTS: Kind.FIGURES}.get(line.lifetime)


@functools.cache
def places() -> tuple[Place, ...]:
    """All of them, each table after those it points to."""
    return tuple(_parents_first([place for line in KEPT if (place := place_of(line)) is not None]))


def places_of(kind: Kind) -> list[Place]:
    return [place for place in places() if place.kind == kind]


def problems(kept: Iterable[Kept]) -> Iterable[str]:
    """Why what is backed up could not be restored."""
    found = [place for line in kept if (place := place_of(line)) is not None]
    there = {place.model: place for place in found}
    order = list(Kind)
    for place in found:
        if place.day and not isinstance(_field(place.model, place.day), models.DateField):
            yield f"{place.label} is backed up by {place.day}, which is no date or moment"
        for column in place.model._meta.concrete_fields:
            target = column.remote_field.model if column.remote_field else None
            if target is None or target in (Account, ContentType):
                continue
            if target not in there:
                if not column.null:
                    yield f"{place.label}.{column.name} points to {target._meta.label}, which is not backed up"
            elif order.index(there[target].kind) > order.index(place.kind):
                yield f"{place.label} is restored before {target._meta.label}, which it points to"


def _field(model: Any, path: str) -> Any:
    name, _, rest = path.partition("__")
    field = model._meta.get_field(name)
    return _field(field.related_model, rest) if rest else field


def _reached(model: Any) -> set[Any]:
    """The tables a table points to, directly or by way of others."""
    reached: set[Any] = set()
    todo = [model]
    while todo:
        for column in todo.pop()._meta.concrete_fields:
            target = column.remote_field.model if column.remote_field else None
            if target is not None and target not in reached:
                reached.add(target)
                todo.append(target)
    return reached


def _parents_first(todo: list[Place]) -> list[Place]:
    ordered: list[Place] = []
    while todo:
        waiting = {place.model for place in todo}
        free = [place for place in todo if not (_pointed_at(place.model) - {place.model}) & waiting]
        if not free:
            raise Unplaced(f"tables that point at each other: {', '.join(place.label for place in todo)}")
        ordered += free
        todo = [place for place in todo if place not in free]
    return ordered


def _pointed_at(model: Any) -> set[Any]:
    return {column.remote_field.model for column in model._meta.concrete_fields if column.remote_field}
