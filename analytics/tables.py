"""The tables of counts: what their rows are counted by, which reports should try first, and where local days stand.

The rows themselves are declared in `models`; who counts and who reads them find here what they have in common.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, Model, Sum

from analytics.metrics import MAXIMA, Source
from analytics.models import (
    AgentDay,
    AgentInterval,
    AgentTotal,
    CallDay,
    CallInterval,
    CallTotal,
    DispositionDay,
    DispositionInterval,
    GroupDay,
    GroupTotal,
    ProviderDay,
    ProviderInterval,
    QueueDay,
    QueueInterval,
    QueueTotal,
)
from calls.activity import Activity


@dataclass(frozen=True, slots=True)
class Table:
    """A table of slots, what its rows are counted by, and where its local days stand."""

    source: Source
    slots: Any
    days: Any
    keys: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    """Counters that only grow less when facts were erased."""


_CALLS = ("n_calls", "n_blocked")
_QUEUES = ("n_entries", "n_at_once")
STATES: dict[str, str] = {
    Activity.AVAILABLE.value: "available_seconds",
    Activity.RINGING.value: "ringing_seconds",
    Activity.ON_CALL.value: "on_call_seconds",
    Activity.ACW.value: "acw_seconds",
    Activity.NOT_READY.value: "not_ready_seconds",
    Activity.BREAK.value: "break_seconds",
}
_AGENTS = ("n_offers", "n_legs", *STATES.values())

TABLES: tuple[Table, ...] = (
    Table(Source.CALLS, CallTotal, CallDay, (), _CALLS),
    Table(Source.CALLS, CallInterval, CallDay, ("direction", "service_number"), _CALLS),
    Table(Source.CALLS, ProviderInterval, ProviderDay, ("direction", "provider"), _CALLS),
    Table(Source.CALLS, DispositionInterval, DispositionDay, ("direction", "disposition"), _CALLS),
    Table(Source.QUEUES, QueueTotal, GroupDay, (), _QUEUES),
    Table(Source.QUEUES, GroupTotal, GroupDay, ("skill_group_id",), _QUEUES),
    Table(Source.QUEUES, QueueInterval, QueueDay, ("skill_group_id", "direction", "service_number"), _QUEUES),
    Table(Source.AGENTS, AgentTotal, AgentDay, (), _AGENTS),
    Table(Source.AGENTS, AgentInterval, AgentDay, ("agent_id",), _AGENTS),
)
"""In the order in which reports should try them: of each source the fewest rows first."""
OF_AGENTS = tuple(table for table in TABLES if table.source is Source.AGENTS)
MAKES_DAYS = {
    table.slots: table
    for table in TABLES
    if table.slots in (CallInterval, ProviderInterval, DispositionInterval, GroupTotal, QueueInterval, AgentInterval)
}
"""Those whose rows are summed to days, each into a table of its own."""


def counters_of(model: type[Model]) -> tuple[str, ...]:
    """The columns of a table of counts that add up, in the order they are declared."""
    return tuple(
        field.name
        for field in model._meta.concrete_fields
        if field.name.startswith("n_") or field.name.endswith(("_seconds", "_sum"))
    )


COUNTERS: dict[Any, tuple[str, ...]] = {table.slots: counters_of(table.slots) for table in TABLES}


def added_up(names: Iterable[str]) -> dict[str, Any]:
    """How the database adds up counters of several rows."""
    return {name: Max(name) if name in MAXIMA else Sum(name) for name in names}
