"""Telling open desks, and pages that watch a whole account, that something about agents changed.

Only ids are told, after the change is committed. Nothing depends on it: pages ask by themselves, only later.
"""

from collections.abc import Iterable

from django.db import transaction

from callcenter_site.streams import account_topic, desk_topic, publish


def tell_of_status(*, account_id: int, agent_ids: Iterable[int]) -> None:
    """Has the desks of these agents ask for their state, once the transaction at hand is committed."""
    topics = [*map(desk_topic, sorted(agent_ids))]
    transaction.on_commit(lambda: _tell(topics, account_topic(account_id)), robust=True)


def tell_of_presence(*, account_id: int) -> None:
    """For what desks do not show and live pages do: who is there."""
    transaction.on_commit(lambda: _tell([], account_topic(account_id)), robust=True)


def _tell(topics: list[str], account: str) -> None:
    publish(topics, status=1)
    publish([account])
