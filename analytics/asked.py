"""What the address of a dashboard asks for. It holds the whole view, so that it can be kept, sent and gone back to."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from agents.models import Agent, SkillGroup
from analytics import reports
from analytics.records import Records, records_for
from analytics.reports import Filters, Period
from calls.models import Direction
from configuration.access import SEE_FIGURES
from configuration.models import ServiceNumber

MAX_POINTS = 800
"""More points than a chart can show on any screen."""
STEP_POINTS = {"half_hour": 48, "hour": 24, "day": 1}
NARROWING = ("skill_group", "direction", "service_number", "agent")
CARRIED = ("period", "from", "to", *NARROWING)


@dataclass
class Asked:
    """Of one person. What could not be read stands in `errors`, and is left out."""

    user: Any
    at: dt.datetime
    query: dict[str, str]
    period: Period
    filters: Filters
    step: str
    compare: str
    before: Period
    agent: Agent | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def scope(self) -> dict[str, Any]:
        return {"actor": self.user, "filters": self.filters}

    @cached_property
    def groups(self) -> dict[int, SkillGroup]:
        rows = SkillGroup.objects.visible_to(self.user).only("pk", "name", "service_level_seconds", "short_abandon_seconds")
        return {group.pk: group for group in rows.order_by("name")}

    @cached_property
    def numbers(self) -> list[ServiceNumber]:
        return list(ServiceNumber.objects.visible_to(self.user).only("pk", "number", "label"))

    @cached_property
    def records(self) -> Records:
        return records_for(self.user, self.filters, self.numbers, agent_id=self.agent.pk if self.agent else None)

    def records_of(self, filters: Filters) -> Records:
        return records_for(self.user, filters, self.numbers, agent_id=self.agent.pk if self.agent else None)

    def address(self, changed: dict[str, str], without: tuple[str, ...] = ()) -> str:
        kept = {name: value for name, value in self.query.items() if name not in without and value}
        return "?" + urlencode(kept | {name: value for name, value in changed.items() if value})

    @property
    def carried(self) -> str:
        """What goes along from one dashboard to another."""
        carried = {name: value for name, value in self.query.items() if name in CARRIED}
        return "?" + urlencode(carried) if carried else ""

    def shown(self) -> dict[str, Any]:
        """What the bar above every dashboard shows."""
        presets = [
            (name, label, self.address({"period": name}, without=("from", "to", "step", "page")))
            for name, label in reports.PRESETS.items()
        ]
        return {
            "asked": self,
            "period": self.period,
            "period_text": period_text(self.period),
            "before_text": period_text(self.before),
            "compared_until": _compared_until(self.before),
            "presets": presets,
            "filters": self.filters,
            "directions": Direction.choices,
            "groups": list(self.groups.values()),
            "numbers": self.numbers,
            "comparisons": reports.COMPARISONS.items(),
            "is_narrowed": self.filters != Filters() or self.agent is not None,
            "reset_link": self.address({}, without=NARROWING),
            "errors": self.errors,
            "freshness": reports.freshness(account=self.user.account, at=self.at),
        }

    def steps(self) -> list[tuple[str, Any, str]]:
        """The steps of time a chart of the period can show."""
        return [
            (name, label, self.address({"step": name}))
            for name, label in reports.STEPS.items()
            if name in STEP_POINTS and 1 < self.period.n_days * STEP_POINTS[name] <= MAX_POINTS
        ]


def read(request: HttpRequest) -> Asked:
    """Refuses whoever may not see figures. A mistyped address still shows today, and says what was left out."""
    user: Any = request.user
    if not user.has_perm(SEE_FIGURES) or user.account is None:
        raise PermissionDenied
    at = timezone.now()
    query = {name: str(value) for name, value in request.GET.items() if value}
    errors: list[str] = []
    period, filters, agent = reports.read_period({}, zone=user.account.zone, at=at), Filters(), None
    try:
        period = reports.read_period(query, zone=user.account.zone, at=at)
    except ValidationError as error:
        errors += error.messages
    try:
        filters = reports.read_filters({name: value for name, value in query.items() if name != "agent"}, actor=user)
    except ValidationError as error:
        errors += error.messages
    try:
        agent = read_agent(query.get("agent", ""), user)
    except ValidationError as error:
        errors += error.messages
    try:
        step = reports.read_step(query, period)
    except ValidationError as error:
        errors += error.messages
        step = reports.read_step({}, period)
    if step not in STEP_POINTS or period.n_days * STEP_POINTS[step] > MAX_POINTS:
        step = reports.read_step({}, period)
    try:
        compare, before = reports.read_comparison(query, period, at=at)
    except ValidationError as error:
        errors += error.messages
        compare, before = reports.read_comparison({}, period, at=at)
    return Asked(user, at, query, period, filters, step, compare, before, agent, errors)


def read_agent(text: str, user: Any) -> Agent | None:
    """ValidationError for one that is not there, or another account's, or beyond what the person sees."""
    if not text:
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= 18
    agent: Agent | None = Agent.objects.visible_to(user).filter(pk=int(text)).first() if is_number else None
    if agent is None:
        raise ValidationError({"agent": _("There is no such agent.")})
    return agent


def period_text(period: Period) -> str:
    pattern = pgettext("date pattern", "j M Y")
    first, last = formats.date_format(period.first, pattern), formats.date_format(period.last, pattern)
    return first if period.first == period.last else f"{first} – {last}"


def _compared_until(before: Period) -> str:
    """The time of day at which the period before is cut, so that a running one is compared with as much of it."""
    return formats.date_format(before.until.astimezone(before.zone), "H:i") if before.until else ""
