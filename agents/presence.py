"""What an agent is doing, as one unbroken chain of status changes.

Each change is a row, keyed so that the same change twice is one row, and each row ends where the next one starts. A
change may come late or again: it is put in its place and its neighbours' ends are moved, so the rows depend only on
which changes there were, never on the order they arrived in. Two rows of one agent must never overlap.
"""

import datetime as dt
import hashlib
from collections import defaultdict
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils.translation import gettext as _

from agents.models import Agent, Status, StatusChange
from configuration.models import Account

CHOSEN_BY_AGENTS = (Status.AVAILABLE, Status.BUSY, Status.BREAK, Status.OFFLINE)
"""What an agent picks; wrap-up comes from the calls."""


@dataclass(frozen=True)
class StatusFact:
    """One change as it is known: `change_key` is a SHA-256 that names it."""

    agent_id: int
    status: str
    started_at: dt.datetime
    change_key: bytes
    reason: str = ""
    terminal: str = ""


def change_status(
    *, agent: Agent, status: str, at: dt.datetime, reason: str = "", terminal: str = "", change_key: bytes | None = None
) -> StatusChange:
    """Records that an agent's status changed at a moment; without a key, agent, moment and status name the change."""
    if status not in Status.values:
        raise ValidationError({"status": [_("%(status)s is not a status.") % {"status": status}]})
    if agent.account is None:
        raise ValidationError(_("An operator has no status."))
    key = change_key or hashlib.sha256(f"{agent.pk}\0{at.astimezone(dt.UTC).isoformat()}\0{status}".encode()).digest()
    fact = StatusFact(agent_id=agent.pk, status=status, started_at=at, change_key=key, reason=reason, terminal=terminal)
    record_status_changes(account=agent.account, changes=[fact])
    agent.refresh_from_db(fields=["status", "status_reason", "status_since"])
    change: StatusChange = StatusChange.objects.for_account(agent.account).get(change_key=key)
    return change


@transaction.atomic
def record_status_changes(*, account: Account, changes: list[StatusFact]) -> int:
    """Puts changes into their agents' chains and returns how many were new."""
    facts = {fact.change_key: fact for fact in changes}
    if not facts:
        return 0
    # The agents' rows are locked, in one order for everybody: whoever comes second sees the chain the first one left.
    # SQLite has no row locks; there a writing transaction is alone from its start.
    first, last = min(fact.started_at for fact in facts.values()), max(fact.started_at for fact in facts.values())
    agent_ids = {fact.agent_id for fact in facts.values()}
    agents = {
        agent.pk: agent
        for agent in Agent.objects.for_account(account)
        .filter(pk__in=agent_ids)
        .only("pk", "status", "status_reason", "status_since")
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
    _chain(account, agents, new, first, last)
    return len(new)


def _row(account: Account, fact: StatusFact) -> StatusChange:
    return StatusChange(
        account=account,
        agent_id=fact.agent_id,
        status=fact.status,
        reason=fact.reason[:60],
        terminal=fact.terminal[:20],
        started_at=fact.started_at,
        change_key=fact.change_key,
    )


def _chain(
    account: Account,
    agents: dict[int, Agent],
    new: list[StatusChange],
    first: dt.datetime,
    last: dt.datetime,
) -> None:
    """Writes the new rows and the ends that moved, and brings `Agent.status` up to date."""
    chains: dict[int, list[StatusChange]] = defaultdict(list)
    for row in new:
        chains[row.agent_id].append(row)
    rows = StatusChange.objects.for_account(account).filter(agent_id__in=chains)
    # A row that ends in or after the window begins is a neighbour of it: the one before the window always does.
    for row in rows.filter(Q(ended_at=None) | Q(ended_at__gte=first), started_at__lte=last):
        chains[row.agent_id].append(row)
    after = rows.filter(agent_id=OuterRef("pk"), started_at__gt=last).order_by("started_at", "change_key")
    nexts = dict(Agent.objects.filter(pk__in=chains).values_list("pk", Subquery(after.values("started_at")[:1])))

    moved: list[StatusChange] = []
    current: list[Agent] = []
    for agent_id, chain in chains.items():
        chain.sort(key=lambda row: (row.started_at, bytes(row.change_key)))
        ends = [row.started_at for row in chain[1:]] + [nexts[agent_id]]
        for row, end in zip(chain, ends, strict=True):
            if row.pk is not None and row.ended_at != end:
                moved.append(row)
            row.ended_at = end
        if nexts[agent_id] is None and _bring_up_to_date(agents[agent_id], chain[-1]):
            current.append(agents[agent_id])
    StatusChange.objects.bulk_create(new, batch_size=500)
    StatusChange.objects.bulk_update(moved, ["ended_at"], batch_size=200)
    Agent.objects.bulk_update(current, ["status", "status_reason", "status_since"], batch_size=200)


def _bring_up_to_date(agent: Agent, latest: StatusChange) -> bool:
    """Whether the agent's row had to change to say what the latest row of the chain says."""
    said = (agent.status, agent.status_reason, agent.status_since)
    agent.status, agent.status_reason, agent.status_since = latest.status, latest.reason, latest.started_at
    return said != (latest.status, latest.reason, latest.started_at)
