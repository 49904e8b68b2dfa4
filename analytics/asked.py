"""What the address of a dashboard asks for. It holds the whole view, so that it can be kept, sent and gone back to."""

import datetime as dt
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.functional import cached_property
from django.utils.translation import pgettext

from agents.models import Agent, SkillGroup
from analytics import periods, reports
from analytics.periods import Period
from analytics.records import Records, records_for
from analytics.reports import Filters
from calls.models import Direction
from configuration.access import SEE_FIGURES
from configuration.models import ServiceNumber

MAX_POINTS = 800
"""More points than a chart can show on any screen."""
STEP_POINTS = {"interval": 96.0, "half_hour": 48.0, "hour": 24.0, "day": 1.0, "week": 1 / 7, "month": 1 / 30}
NARROWING = ("skill_group", "direction", "service_number", "agent", "provider", "disposition")
MOST_AGENTS = 1000
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
    errors: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    """Figures chosen for a table: the one parameter that may come several times."""

    @property
    def scope(self) -> dict[str, Any]:
        return {"actor": self.user, "filters": self.filters}

    @cached_property
    def counted(self) -> reports.Counted:
        return reports.counted(account=self.user.account, at=self.at)

    @cached_property
    def groups(self) -> dict[int, SkillGroup]:
        rows = SkillGroup.objects.visible_to(self.user).only("pk", "name", "service_level_seconds", "short_abandon_seconds")
        return {group.pk: group for group in rows.order_by("name")}

    @cached_property
    def numbers(self) -> list[ServiceNumber]:
        return list(ServiceNumber.objects.visible_to(self.user).only("pk", "number", "label"))

    @cached_property
    def records(self) -> Records:
        return records_for(self.user, self.filters, self.numbers)

    def records_of(self, **changed: Any) -> Records:
        return replace(self.records, filters=replace(self.filters, **changed))

    @cached_property
    def agents(self) -> list[Agent]:
        """Those to choose from: who is there, and who is chosen though they left."""
        rows = Agent.objects.visible_to(self.user).only("pk", "account_id", "name", "staff_id", "is_active")
        people = sorted(rows.filter(is_active=True)[:MOST_AGENTS], key=lambda one: one.name.casefold())
        chosen = self.filters.agent
        return people if chosen is None or chosen in people else [chosen, *people]

    @cached_property
    def people(self) -> dict[int, Agent]:
        return {person.pk: person for person in self.agents}

    def address(self, changed: dict[str, str], without: tuple[str, ...] = ()) -> str:
        kept: dict[str, Any] = {name: value for name, value in self.query.items() if name not in without and value}
        if self.columns:
            kept["column"] = self.columns
        return "?" + urlencode(kept | {name: value for name, value in changed.items() if value}, doseq=True)

    @property
    def carried(self) -> str:
        """What goes along from one dashboard to another."""
        return self.carried_without()

    def carried_without(self, *names: str) -> str:
        carried = {name: value for name, value in self.query.items() if name in CARRIED and name not in names}
        return "?" + urlencode(carried) if carried else ""

    def shown(self) -> dict[str, Any]:
        """What the bar above every dashboard shows."""
        presets = [
            (name, label, self.address({"period": name}, without=("from", "to", "step", "page")))
            for name, label in periods.PRESETS.items()
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
            "comparisons": periods.COMPARISONS.items(),
            "is_narrowed": self.filters != Filters(),
            "reset_link": self.address({}, without=NARROWING),
            "errors": self.errors,
            "freshness": self.counted.freshness,
        }

    def steps(self) -> list[tuple[str, Any, str]]:
        """The steps of time a chart of the period can show."""
        return [
            (name, label, self.address({"step": name}))
            for name, label in periods.STEPS.items()
            if 1 < self.period.n_days * STEP_POINTS[name] <= MAX_POINTS
        ]


def watcher(request: HttpRequest) -> Any:
    """Who asks for figures. Whoever may not see them, or belongs to no account, is refused."""
    user: Any = request.user
    if not user.has_perm(SEE_FIGURES) or user.account is None:
        raise PermissionDenied
    return user


def read(request: HttpRequest) -> Asked:
    """Refuses whoever may not see figures. A mistyped address still shows today, and says what was left out."""
    user = watcher(request)
    at = timezone.now()
    query = {name: str(value) for name, value in request.GET.items() if value}
    errors: list[str] = []
    period, filters = periods.read_period({}, zone=user.account.zone, at=at), Filters()
    try:
        period = periods.read_period(query, zone=user.account.zone, at=at)
    except ValidationError as error:
        errors += error.messages
    try:
        filters = reports.read_filters(query, actor=user)
    except ValidationError as error:
        errors += error.messages
    try:
        step = reports.read_step(query, period)
    except ValidationError as error:
        errors += error.messages
        step = reports.read_step({}, period)
    if period.n_days * STEP_POINTS[step] > MAX_POINTS:  # of a wrong one: the finest that fits
        step = reports.read_step({}, period)
    try:
        compare, before = periods.read_comparison(query, period, at=at)
    except ValidationError as error:
        errors += error.messages
        compare, before = periods.read_comparison({}, period, at=at)
    return Asked(user, at, query, period, filters, step, compare, before, errors, request.GET.getlist("column"))


def period_text(period: Period) -> str:
    pattern = pgettext("date pattern", "j M Y")
    first, last = formats.date_format(period.first, pattern), formats.date_format(period.last, pattern)
    return first if period.first == period.last else f"{first} – {last}"


def _compared_until(before: Period) -> str:
    """The time of day at which the period before is cut, so that a running one is compared with as much of it."""
    return formats.date_format(before.until.astimezone(before.zone), "H:i") if before.until else ""
