"""How the admin's lists of service records and events are narrowed.

Every filter of records ends at an index that begins with the account and goes on with the time of start.
"""

import datetime as dt
import zoneinfo
from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter, MultipleDropdownFilter

from callcenter_site.admin import ScopedDropdownFilter, ScopedRelatedFilter
from callcenter_site.slots import day_bounds
from calls.models import Direction, EventState, Outcome
from calls.vocabulary import TYPES
from configuration.models import ServiceNumber


class PeriodFilter(admin.ListFilter):
    """Local days: a quick choice, or from and to (both included). Without any, the last seven days.

    A search looks at all times unless a period is chosen with it: who knows the number rarely knows the day.
    """

    title = _("period")  # type: ignore[assignment]
    template = "admin/calls/period_filter.html"
    parameter_names = ("period", "from", "to")
    time_field = "started_at"
    default = "7d"
    quick_choices: ClassVar[tuple[tuple[str, Any, int | None, int], ...]] = (
        # name, label, first day and last day counted back from today
        ("today", _("Today"), 0, 0),
        ("yesterday", _("Yesterday"), 1, 1),
        ("7d", _("Last 7 days"), 6, 0),
        ("30d", _("Last 30 days"), 29, 0),
        ("all", _("All"), None, 0),
    )

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.searching = bool(request.GET.get("q", "").strip())
        for name in self.parameter_names:
            if name in params and (value := _last(params.pop(name))):
                self.used_parameters[name] = value

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameter_names)

    @property
    def days_typed(self) -> tuple[str, str]:
        return str(self.used_parameters.get("from", "")), str(self.used_parameters.get("to", ""))

    @property
    def chosen(self) -> str:
        """The quick choice in force; empty where days were typed."""
        if any(self.days_typed):
            return ""
        return str(self.used_parameters.get("period") or ("all" if self.searching else self.default))

    def bounds(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        zone = timezone.get_current_timezone()
        if not isinstance(zone, zoneinfo.ZoneInfo):
            zone = zoneinfo.ZoneInfo("UTC")
        if any(self.days_typed):
            first, last = (_day(text) for text in self.days_typed)
        else:
            found = next((row for row in self.quick_choices if row[0] == self.chosen), None)
            if found is None:
                raise IncorrectLookupParameters(self.chosen)
            if found[2] is None:
                return None, None
            today = timezone.localdate()
            first, last = today - dt.timedelta(days=found[2]), today - dt.timedelta(days=found[3])
        return day_bounds(first, zone)[0] if first else None, day_bounds(last, zone)[1] if last else None

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        start, end = self.bounds()
        if start is not None:
            queryset = queryset.filter(**{f"{self.time_field}__gte": start})
        if end is not None:
            queryset = queryset.filter(**{f"{self.time_field}__lt": end})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        for name, label, _first, _last_day in self.quick_choices:
            yield {
                "selected": name == self.chosen,
                "query_string": changelist.get_query_string({"period": name}, ["from", "to", "p"]),
                "display": label,
            }


class _Named:
    """Labelled by its title alone; the theme would put "By" before it."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):  # type: ignore[misc]
            for field in choice["form"].fields.values():
                field.label = capfirst(str(self.title))  # type: ignore[attr-defined]
            yield choice


class AgentFilter(_Named, ScopedRelatedFilter):
    pass


class SkillGroupFilter(_Named, ScopedDropdownFilter):
    pass


class _Choice(_Named, DropdownFilter):
    """A dropdown that refuses what it does not offer."""

    def has_output(self) -> bool:
        return True  # with nothing to choose from, a value in the address must still be refused

    def checked(self) -> str:
        value = self.value() or ""
        if value and value not in {str(name) for name, _label in self.lookup_choices}:
            raise IncorrectLookupParameters(value)
        return value


class DirectionFilter(_Choice):
    title = _("direction")
    parameter_name = "direction"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Direction.choices)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(direction=value) if value else queryset


class OutcomeFilter(_Named, MultipleDropdownFilter):
    """One outcome or several."""

    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Still open")), *Outcome.choices]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen = [value for value in self.value() or () if value]
        if unknown := set(chosen) - {"open", *Outcome.values}:
            raise IncorrectLookupParameters(unknown)
        return queryset.filter(outcome__in=["" if value == "open" else value for value in chosen]) if chosen else queryset


class AnsweredFilter(_Choice):
    title = _("answered by an agent")
    parameter_name = "answered"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(answered_at__isnull=value == "no") if value else queryset


class ServiceNumberFilter(_Choice):
    """One of the center's own numbers: dialled by the caller, or called out from."""

    title = _("service number")
    parameter_name = "service_number"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        user: Any = request.user
        rows = ServiceNumber.objects.visible_to(user).only("number", "label")
        self.numbers = {str(row.pk): row.number for row in rows}
        return [(str(row.pk), f"{row.label} · {row.number}" if row.label else row.number) for row in rows]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        if not value:
            return queryset
        number = self.numbers[value]
        return queryset.filter(
            Q(called_number=number, direction=Direction.INBOUND)
            | Q(calling_number=number, direction__in=[Direction.OUTBOUND, Direction.INTERNAL])
        )


class EventStateFilter(_Choice):
    """Without a choice, what is not settled: no index orders the events of all states, and these are the ones to look at.

    A search looks at all of them.
    """

    title = _("state")
    parameter_name = "state"
    all_option = None
    unsettled = (EventState.PENDING, EventState.UNMATCHED, EventState.DEAD)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        self.searching = bool(request.GET.get("q", "").strip())
        return [("unsettled", _("Waiting or failed")), *EventState.choices, ("all", _("All"))][: None if self.searching else -1]

    def value(self) -> str:
        return super().value() or ("all" if self.searching else "unsettled")

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        if value == "all":
            return queryset
        return queryset.filter(state__in=self.unsettled) if value == "unsettled" else queryset.filter(state=value)


class EventTypeFilter(_Choice):
    title = _("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, name) for name in sorted(TYPES)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(type=value) if value else queryset


def _last(values: Any) -> str:
    return str(values[-1] if isinstance(values, list) else values).strip()


def _day(text: str) -> dt.date | None:
    if not text:
        return None
    try:
        day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise IncorrectLookupParameters(text) from error
    if not 1970 <= day.year <= 2200:
        raise IncorrectLookupParameters(text)
    return day
