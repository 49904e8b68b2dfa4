"""Status changes as one unbroken chain per agent.

Each change is a row, keyed so that the same change twice is one row, and each row ends where the next one starts. A
change may come late or again: it is put in its place and its neighbours' ends are moved, so the rows depend only on
which changes there were, never on the order they arrived in. Two rows of one agent must never overlap.

The portal ends a wrap-up by itself. That end is a guess about what comes next, so it stands only directly behind the
wrap-up: a change that arrives late and belongs between the two takes its place.
"""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max, OuterRef, Q, Subquery

from agents.models import Agent, SkillGroupMember, StaleAgentTime, Status, StatusChange
from agents.telling import tell_of_status
from callcenter_site.bulk import update_alike
from configuration.models import Account

BY_PEOPLE = frozenset({StatusChange.Source.AGENT, StatusChange.Source.SUPERVISOR, StatusChange.Source.API})
"""Who decides anew when they set a status: a break planned before is off."""

_KEPT_ON_AGENT = (
    "status",
    "status_reason",
    "status_since",
    "wrap_up_until",
    "break_after_call",
    "break_after_call_reason",
)


@dataclass(frozen=True)
class StatusFact:
    """One change as it is known: `change_key` is a SHA-256 that names it."""

    agent_id: int
    status: str
    started_at: dt.datetime
    change_key: bytes
    reason: str = ""
    terminal: str = ""
    source: str = StatusChange.Source.EVENT
    wrap_up_seconds: float | None = None
    """How long a wrap-up lasts; None: the longest of the agent's skill groups."""


@transaction.atomic
def record_status_changes(*, account: Account, changes: list[StatusFact]) -> int:
    """Puts changes into their agents' chains and returns how many were new."""
    facts = {fact.change_key: fact for fact in changes}
    if not facts:
        return 0
    # The agents' rows are locked, in one order for everybody: whoever comes second sees the chain the first one left.
    # SQLite has no row locks; there a writing transaction is alone from its start.
    agent_ids = {fact.agent_id for fact in facts.values()}
    agents = {
        agent.pk: agent
        for agent in Agent.objects.for_account(account)
        .filter(pk__in=agent_ids)
        .only("pk", *_KEPT_ON_AGENT)
        .order_by("pk")
        .select_for_update()
    }
    if missing := agent_ids - set(agents):
        raise ValueError(f"agents {sorted(missing)} are not of account {account.pk}")
    known = set(StatusChange.objects.for_account(account).filter(change_key__in=list(facts)).values_list("change_key", flat=True))
    known = {bytes(key) for key in known}
    new = [_row(account, fact) for key, fact in facts.items() if key not in known]
    if not new:
        return 0
    _chain(account, agents, new, facts)
    tell_of_status(account_id=account.pk, agent_ids=agent_ids)
    return len(new)


def _row(account: Account, fact: StatusFact) -> StatusChange:
    return StatusChange(
        account=account,
        agent_id=fact.agent_id,
        status=fact.status,
        reason=fact.reason[:60],
        terminal=fact.terminal[:20],
        source=fact.source,
        started_at=fact.started_at,
        change_key=fact.change_key,
    )


def _chain(account: Account, agents: dict[int, Agent], new: list[StatusChange], facts: dict[bytes, StatusFact]) -> None:
    """Writes the new rows and the ends that moved, and brings the agents' own rows up to date."""
    first, last = min(row.started_at for row in new), max(row.started_at for row in new)
    chains: dict[int, list[StatusChange]] = defaultdict(list)
    for row in new:
        chains[row.agent_id].append(row)
    rows = StatusChange.objects.for_account(account).filter(agent_id__in=chains)
    after = rows.filter(agent_id=OuterRef("pk"), started_at__gt=last).order_by("started_at", "change_key")
    nexts = dict(Agent.objects.filter(pk__in=chains).values_list("pk", Subquery(after.values("pk")[:1])))
    # A row that ends in or after the window begins is a neighbour of it: the one before the window always does.
    neighbours = list(rows.filter(Q(ended_at=None) | Q(ended_at__gte=first), started_at__lte=last))
    if following := [pk for pk in nexts.values() if pk is not None]:
        neighbours += StatusChange.objects.filter(pk__in=following)
    for row in neighbours:
        chains[row.agent_id].append(row)

    created: list[StatusChange] = []
    moved: list[StatusChange] = []
    dropped: list[StatusChange] = []
    stale: set[tuple[dt.datetime, dt.datetime | None]] = set()
    current: list[tuple[Agent, StatusChange]] = []
    for agent_id, chain in chains.items():
        chain.sort(key=lambda row: (row.started_at, bytes(row.change_key)))
        end = chain[-1].ended_at if nexts[agent_id] is not None else None
        kept, overtaken = _without_overtaken(chain)
        dropped += [row for row in overtaken if row.pk is not None]
        created += [row for row in kept if row.pk is None]
        for row, ends_at in zip(kept, [*(row.started_at for row in kept[1:]), end], strict=True):
            if row.pk is None:
                stale.add((row.started_at, ends_at))
            elif row.ended_at != ends_at:
                moved.append(row)
                if ends_at is None or (row.ended_at is not None and row.ended_at < ends_at):
                    stale.add((row.ended_at or row.started_at, ends_at))
            row.ended_at = ends_at
        if end is None:
            current.append((agents[agent_id], kept[-1]))
    stale |= {(row.started_at, row.ended_at) for row in dropped}
    if dropped:
        StatusChange.objects.filter(pk__in=[row.pk for row in dropped]).delete()
    StatusChange.objects.bulk_create(created, batch_size=500)
    update_alike(StatusChange, moved, ["ended_at"])
    # What a row that was cut short gave up is the stretch of the row that came behind it.
    StaleAgentTime.objects.bulk_create(
        [StaleAgentTime(account=account, started_at=start, ended_at=end) for start, end in sorted(stale, key=lambda one: one[0])],
        batch_size=500,
    )
    _bring_up_to_date(current, facts)


def _without_overtaken(chain: list[StatusChange]) -> tuple[list[StatusChange], list[StatusChange]]:
    """A chain without those ends of wrap-ups that another change came before."""
    kept: list[StatusChange] = []
    overtaken: list[StatusChange] = []
    for row in chain:
        ends_wrap_up = row.source == StatusChange.Source.PORTAL and row.status in (Status.AVAILABLE, Status.BREAK)
        (overtaken if ends_wrap_up and kept and kept[-1].status != Status.WRAP_UP else kept).append(row)
    return kept, overtaken


def _bring_up_to_date(current: list[tuple[Agent, StatusChange]], facts: dict[bytes, StatusFact]) -> None:
    """Makes the agents' own rows say what the latest rows of their chains say."""
    changed = [
        (agent, row)
        for agent, row in current
        if (agent.status, agent.status_reason, agent.status_since) != (row.status, row.reason, row.started_at)
    ]
    wrapping = [agent.pk for agent, row in changed if row.status == Status.WRAP_UP]
    seconds = longest_wrap_ups(wrapping) if wrapping else {}
    for agent, row in changed:
        agent.status, agent.status_reason, agent.status_since = row.status, row.reason, row.started_at
        agent.wrap_up_until = None
        if row.status == Status.WRAP_UP:
            fact = facts.get(bytes(row.change_key))
            given = fact.wrap_up_seconds if fact else None
            lasts = given if given is not None else seconds.get(agent.pk, 0)
            # Where no group says how long, whoever began the wrap-up ends it.
            agent.wrap_up_until = row.started_at + dt.timedelta(seconds=lasts) if lasts else None
        if row.source in BY_PEOPLE or row.status in (Status.BREAK, Status.OFFLINE):
            agent.break_after_call, agent.break_after_call_reason = False, ""
    update_alike(Agent, [agent for agent, _ in changed], _KEPT_ON_AGENT)


def longest_wrap_ups(agent_ids: list[int]) -> dict[int, int]:
    groups = SkillGroupMember.objects.filter(agent_id__in=agent_ids, skill_group__is_active=True).order_by()
    longest = groups.values("agent_id").annotate(longest=Max("skill_group__wrap_up_seconds"))
    return dict(longest.values_list("agent_id", "longest"))
