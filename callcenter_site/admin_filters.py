"""Filters of the admin's lists that no app owns: by local days, and dropdowns that refuse what they do not offer."""

import datetime as dt
import zoneinfo
from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter

from callcenter_site.admin import GrowingList, ScopedDropdownFilter, ScopedRelatedFilter
from callcenter_site.ids import read_id
from callcenter_site.slots import day_bounds


class PeriodFilter(admin.ListFilter):
    """Local days: a quick choice, or from and to (both included). Without any, the last seven days.

    Figures lead here with times of day as well: `from` and `to` then are moments of local time, `to` itself left out.

    A search looks at all times unless a period is chosen with it: who knows the number rarely knows the day.
    """

    title = _("period")  # type: ignore[assignment]
    template = "admin/period_filter.html"
    parameter_names: tuple[str, ...] = ("period", "from", "to")
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
    def typed_as(self) -> str:
        """The kind of field that can hold what was typed: a day, a time of day, or one of an hour that comes twice."""
        if all(len(text) <= _DAY_LENGTH for text in self.days_typed):
            return "date"
        return "datetime-local" if all(len(text) <= len("2026-01-31T10:30:00") for text in self.days_typed) else "text"

    def shown_value(self) -> str:
        """What a list says it is narrowed by, beyond whole days."""
        if self.typed_as == "date":
            return ""
        first, last = (text.replace("T", " ") for text in self.days_typed)
        if first[:_DAY_LENGTH] == last[:_DAY_LENGTH]:
            last = last[_DAY_LENGTH + 1 :]
        return f"{first} – {last}"

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
            begins, ends = (_typed(text, zone) for text in self.days_typed)
            return begins[0] if begins else None, ends[1] if ends else None
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


class PeriodList(GrowingList):
    """A list whose period choices stand above it as links: `list_before_template = "admin/periods.html"`."""

    @property
    def period_choices(self) -> list[dict[str, Any]]:
        return [choice for spec in self.filter_specs if isinstance(spec, PeriodFilter) for choice in spec.choices(self)]

    @property
    def has_rows(self) -> bool:
        """Whether there may be rows that this selection hides."""
        return bool(self.root_queryset.exists())


class Named:
    """Labelled by its title alone; the theme would put "By" before it."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):  # type: ignore[misc]
            for field in choice["form"].fields.values():
                field.label = capfirst(str(self.title))  # type: ignore[attr-defined]
            yield choice


class OfRelated:
    """By a related row. What is shown of an id typed into the address is looked up among the asker's rows."""

    def shown_value(self) -> str:
        spec: Any = self
        given = str(_last(spec.used_parameters.get(spec.lookup_kwarg, "")))
        if not given:
            return ""
        rows = spec.field.remote_field.model._default_manager.visible_to(spec.request.user)
        row = rows.filter(pk=pk).first() if (pk := read_id(given)) is not None else None
        return str(row) if row is not None else "?"


class RelatedFilter(OfRelated, Named, ScopedRelatedFilter):
    """By one of many related rows, found by search."""


class RelatedChoice(OfRelated, Named, ScopedDropdownFilter):
    """By one of few related rows."""

    def has_output(self) -> bool:
        return True  # with nothing to choose from, what the address narrows by must still be shown


class Choice(Named, DropdownFilter):
    """A dropdown that refuses what it does not offer."""

    def has_output(self) -> bool:
        return True  # with nothing to choose from, a value in the address must still be refused

    def shown_value(self) -> str:
        value = self.value() or ""
        return next((str(label) for name, label in self.lookup_choices if str(name) == value), value)

    def checked(self) -> str:
        value = self.value() or ""
        if value and value not in {str(name) for name, _label in self.lookup_choices}:
            raise IncorrectLookupParameters(value)
        return value


class RangeFilter(admin.ListFilter):
    """From one value to another, either of them left out; beside it there may be a choice."""

    template = "admin/range_filter.html"
    name = ""
    hint: Any = ""
    choices_beside: ClassVar[tuple[tuple[str, Any], ...]] = ()
    parameter_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.parameter_names = (f"{cls.name}_from", f"{cls.name}_to", *((cls.name,) if cls.choices_beside else ()))

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.parameter_names:
            if name in params and (value := _last(params.pop(name))):
                self.used_parameters[name] = value

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameter_names)

    def typed(self, end: str) -> str:
        return str(self.used_parameters.get(f"{self.name}_{end}", ""))

    def read(self, text: str) -> float:
        """The value somebody typed. Raises `ValueError`."""
        raise NotImplementedError

    def bounds(self) -> tuple[float | None, float | None]:
        try:
            least, most = (self.read(text) if text else None for text in (self.typed("from"), self.typed("to")))
        except ValueError as error:
            raise IncorrectLookupParameters(self.name) from error
        return least, most

    def chosen(self) -> str:
        value = str(self.used_parameters.get(self.name, ""))
        if value and value not in {name for name, _label in self.choices_beside}:
            raise IncorrectLookupParameters(value)
        return value

    def shown_value(self) -> str:
        beside = str(dict(self.choices_beside).get(str(self.used_parameters.get(self.name, "")), ""))
        range_typed = f"{self.typed('from') or '…'} – {self.typed('to') or '…'}" if self.typed("from") or self.typed("to") else ""
        return " · ".join(filter(None, (beside, range_typed)))

    def choices(self, changelist: Any) -> Iterator[Any]:
        yield {
            "name": self.name,
            "from": self.typed("from"),
            "to": self.typed("to"),
            "hint": self.hint,
            "beside": [
                {"value": name, "label": label, "selected": name == self.used_parameters.get(self.name, "")}
                for name, label in self.choices_beside
            ],
        }


def _last(values: Any) -> str:
    return str(values[-1] if isinstance(values, list) else values).strip()


_DAY_LENGTH = len("2026-01-31")


def _typed(text: str, zone: zoneinfo.ZoneInfo) -> tuple[dt.datetime, dt.datetime] | None:
    """From when to when something typed lasts: a local day, or a moment, which lasts no time."""
    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
        if not 1970 <= moment.year <= 2200:
            raise ValueError(text)
    except ValueError as error:
        raise IncorrectLookupParameters(text) from error
    if len(text) <= _DAY_LENGTH:
        return day_bounds(moment.date(), zone)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(dt.UTC), moment.astimezone(dt.UTC)
