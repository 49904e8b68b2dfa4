"""Telling the desks concerned that a call changed, after it was folded and committed.

What must never happen: that folding waits for whoever listens, or fails because of them. So nothing is asked inside the
transaction, a failure is logged and forgotten, and of old calls, as imports and late events bring them, nobody is told.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping

from django.db import transaction
from django.db.models import Q

from callcenter_site.streams import account_topic, desk_topic, publish
from calls.lifecycle import CallFacts
from calls.models import CallLeg, LegKind

RECENT = dt.timedelta(minutes=10)
"""How long ago something happened that somebody at a desk still waits for."""


def tell_of_calls(*, account_id: int, folded: Mapping[bytes, CallFacts], at: dt.datetime) -> None:
    """Called in the transaction that writes the calls; does its work once that is committed."""
    if not folded:
        return
    recent = [key for key, facts in folded.items() if facts.last_event_at > at - RECENT]
    # No partial: where one fails, Django stumbles over its missing name instead of passing on.
    transaction.on_commit(lambda: _tell(account_id, recent, at), robust=True)


def _tell(account_id: int, call_keys: list[bytes], at: dt.datetime) -> None:
    if call_keys:
        for call_id, agent_ids in _agents_concerned(account_id, call_keys, at).items():
            publish([desk_topic(agent_id) for agent_id in sorted(agent_ids)], call=call_id)
    publish([account_topic(account_id)])


def _agents_concerned(account_id: int, call_keys: list[bytes], at: dt.datetime) -> dict[int, set[int]]:
    """By call, the agents it rings for, who speak in it, or whose part has ended a short while ago."""
    legs = CallLeg.objects.for_account(account_id).filter(call__call_key__in=call_keys, kind=LegKind.AGENT, agent__isnull=False)
    concerned: defaultdict[int, set[int]] = defaultdict(set)
    for call_id, agent_id in legs.filter(Q(ended_at=None) | Q(ended_at__gt=at - RECENT)).values_list("call_id", "agent_id"):
        concerned[call_id].add(agent_id)
    return concerned
