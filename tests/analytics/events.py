"""Calls for the tests of figures, told as events and folded as in service."""

import datetime as dt
from itertools import count
from typing import Any

from analytics.rollup import drain_stale_slots
from calls.ingest import accept_events, fold_due
from configuration.models import Account

_numbers = count(1)


class Story:
    """Times are seconds from `start`; each method is one event and returns the story, so that a call reads as a line."""

    def __init__(
        self, account: Account, start: dt.datetime, name: str, called: str = "+861055500001", direction: str = "inbound"
    ) -> None:
        self.account, self.start, self.name = account, start, name
        self.items: list[dict[str, Any]] = []
        self.at(0, "call.started", direction=direction, calling_number="+8613800138000", called_number=called)

    def at(self, seconds: float, type: str, **data: Any) -> "Story":
        self.items.append(
            {
                "specversion": "1.0",
                "id": f"{self.name}-{next(_numbers)}",
                "source": "test",
                "type": type,
                "subject": self.name,
                "time": (self.start + dt.timedelta(seconds=seconds)).isoformat(),
                "data": data,
            }
        )
        return self

    def ivr(self, seconds: float) -> "Story":
        return self.at(seconds, "call.ivr_prompted", step="menu", prompt="welcome", kind="tts")

    def queued(self, seconds: float, group: str) -> "Story":
        return self.at(seconds, "call.queued", skill_group=group)

    def rings(self, seconds: float, agent: str, **data: Any) -> "Story":
        return self.at(seconds, "call.ringing", agent=agent, **data)

    def answered(self, seconds: float, agent: str, **data: Any) -> "Story":
        return self.at(seconds, "call.answered", agent=agent, **data)

    def ended(self, seconds: float, party: str = "customer", **data: Any) -> "Story":
        return self.at(seconds, "call.ended", party=party, **data)


def take_in(*stories: Story, at: dt.datetime) -> None:
    """Accepts, folds and counts the events of the stories."""
    post(stories[0].account, [item for story in stories for item in story.items], at=at)
    while drain_stale_slots(at=at):
        pass


def post(account: Account, items: list[dict[str, Any]], *, at: dt.datetime) -> None:
    answers = accept_events(account=account, items=items, at=at)
    assert not [answer for answer in answers if answer["status"] == "rejected"], answers
    while fold_due(at=at):
        pass
