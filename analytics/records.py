"""Addresses of the service records behind a figure: the list, narrowed to the same time and by the same filters."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from analytics.periods import Period
from analytics.reports import Filters
from configuration.models import ServiceNumber

MAY_SEE = "calls.view_call"

Narrowed = dict[str, str | list[str]]
ANSWERED: Narrowed = {"answered": "yes"}
ABANDONED: Narrowed = {"outcome": ["abandoned_in_queue", "abandoned_while_ringing"]}
SHORT_SECONDS = 9.999
SHORT: Narrowed = {**ANSWERED, "talk_to": f"{SHORT_SECONDS}"}
BEHIND: dict[str, Narrowed] = {
    "answered": ANSWERED,
    "reception_volume": ANSWERED,
    "connection_rate": ANSWERED,
    "average_duration": ANSWERED,
    "queue_answered": ANSWERED,
    "asa": ANSWERED,
    "aht": ANSWERED,
    "offers_answered": ANSWERED,
    "calls_taken": ANSWERED,
    "agent_aht": ANSWERED,
    "short_calls": SHORT,
    "short_call_rate": SHORT,
    "agent_ratings": {"rating": "given"},
    "agent_satisfaction": {"rating": "given"},
    "agent_csat": {"rating": "given"},
    "inbound_taken": {"direction": "inbound", **ANSWERED},
    "outbound_taken": {"direction": "outbound", **ANSWERED},
    "internal_taken": {"direction": "internal", **ANSWERED},
    "abandoned": ABANDONED,
    "abandonment_rate": ABANDONED,
    "abandonment_rate_raw": ABANDONED,
    "abandoned_ringing": {"outcome": "abandoned_while_ringing"},
    "calls_abandoned_in_queue": {"outcome": "abandoned_in_queue"},
    "calls_abandoned_ringing": {"outcome": "abandoned_while_ringing"},
    "abandoned_in_ivr": {"outcome": "abandoned_in_ivr"},
    "ivr_abandonment_rate": {"outcome": "abandoned_in_ivr"},
    "self_served": {"outcome": "self_served"},
    "voicemail": {"voicemail": "yes"},
    "inbound_calls": {"direction": "inbound"},
    "inbound_answered": {"direction": "inbound", **ANSWERED},
    "outbound_calls": {"direction": "outbound"},
    "outbound_answered": {"direction": "outbound", **ANSWERED},
    "internal_calls": {"direction": "internal"},
    "ratings": {"rating": "given"},
    "satisfaction": {"rating": "given"},
    "csat": {"rating": "given"},
    "open_calls": {"outcome": "open"},
}
"""How the list is narrowed to the records that a metric is about, where it can be. The others lead to all of the time."""


@dataclass(frozen=True, slots=True)
class Records:
    """Links for one person; all empty for somebody who may not see records."""

    may_see: bool
    filters: Filters
    numbers: dict[str, int]
    """Service numbers of the account, by number."""

    def of_days(self, period: Period, **narrowed: Any) -> str:
        return self._link({"from": period.first.isoformat(), "to": period.last.isoformat()}, narrowed)

    def of_metric(self, name: str, period: Period, **narrowed: Any) -> str:
        return self.of_days(period, **BEHIND.get(name, {}) | narrowed)

    def between(self, start: dt.datetime, end: dt.datetime, **narrowed: Any) -> str:
        """Local times, the end left out."""
        return self._link({"from": local_text(start), "to": local_text(end)}, narrowed)

    def _link(self, time: dict[str, str], narrowed: dict[str, Any]) -> str:
        if not self.may_see:
            return ""
        query: dict[str, Any] = {**time}
        if self.filters.direction:
            query["direction"] = self.filters.direction
        if self.filters.skill_group is not None:
            query["skill_group__id__exact"] = str(self.filters.skill_group.pk)
        if self.filters.agent is not None:
            query["agent__id__exact"] = str(self.filters.agent.pk)
        for name in ("provider", "disposition"):
            if value := getattr(self.filters, name):
                query[name] = value
        if number := self.numbers.get(self.filters.service_number):
            query["service_number"] = str(number)
        return f"{reverse('admin:calls_call_changelist')}?{urlencode(query | narrowed, doseq=True)}"


def records_for(user: Any, filters: Filters, numbers: Iterable[ServiceNumber]) -> Records:
    return Records(user.has_perm(MAY_SEE), filters, {row.number: row.pk for row in numbers})


def local_text(moment: dt.datetime) -> str:
    """A local time as an address holds it; of an hour that comes twice, with the offset that tells which."""
    wall = moment.replace(fold=0)
    is_twice = wall.utcoffset() != moment.replace(fold=1).utcoffset()
    return moment.isoformat(timespec="minutes") if is_twice else wall.replace(tzinfo=None).isoformat(timespec="minutes")
