"""How long what is known about people lives, and how expired status changes go.

A status change that is still open is never deleted here, however old: it says what an agent is doing now.
"""

import datetime as dt

from django.db.models import Q

from agents.models import StaleAgentTime, StatusChange
from callcenter_site.erasure import Batch, Cursor, Kept, Lifetime, delete_batch
from configuration.models import Account

KEPT = (
    Kept("agents.Agent", Lifetime.PEOPLE, people=("staff_id", "email", "email_hash", "name", "nickname")),
    Kept("agents.AgentPhone", Lifetime.PEOPLE, people=("agent", "number", "number_hash")),
    Kept("agents.Authenticator", Lifetime.PEOPLE, people=("user", "key", "new_key")),
    Kept("agents.RecoveryCode", Lifetime.PEOPLE, people=("agent", "code_hash")),
    Kept("agents.SignInLink", Lifetime.UNTIL_USED, clock="created_at", people=("agent", "email_hash", "sent_to", "asked_from")),
    Kept("agents.SkillGroup", Lifetime.CONFIGURATION),
    Kept("agents.SkillGroupMember", Lifetime.PEOPLE, people=("agent",)),
    Kept(
        "agents.DeviceCheck",
        Lifetime.PEOPLE,
        people=("agent", "browser", "operating_system", "network_type", "round_trip_ms", "downlink_mbps", "address"),
    ),
    Kept("agents.StaleAgentTime", Lifetime.UNTIL_USED, clock="started_at"),
    Kept("agents.StatusChange", Lifetime.CALL_DATA, clock="ended_at", people=("agent",)),
)


def shell_name(agent_id: int) -> str:
    """What stands in place of the staff ID of somebody who was erased: their row's number, and nothing else."""
    return f"erased-{agent_id}"


def erase_status_changes(
    *, account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None
) -> Batch:
    """Deletes changes that were over before a moment."""
    rows = StatusChange.objects.for_account(account).filter(ended_at__lt=before)
    return delete_batch(rows, clock="ended_at", after=after, limit=limit, keep=keep)


def erase_marks(*, account: Account, before: dt.datetime, after: Cursor | None, limit: int, keep: Q | None = None) -> Batch:
    """Deletes marks of stretches that lie before a moment: what they stand for is being deleted."""
    rows = StaleAgentTime.objects.for_account(account).filter(started_at__lt=before, ended_at__lt=before)
    return delete_batch(rows, clock="started_at", after=after, limit=limit, keep=keep)
