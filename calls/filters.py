"""How service records are narrowed: in the admin's list and in the API.

Every filter ends at an index that begins with the account and, but for the call ID, goes on with the time of start.
"""

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterator
from typing import Any, ClassVar

import django_filters
from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django_filters.fields import IsoDateTimeField
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from unfold.contrib.filters.admin import DropdownFilter

from agents.models import Agent, SkillGroup
from callcenter_site.admin import ScopedDropdownFilter, ScopedRelatedFilter
from callcenter_site.phone_numbers import canonical
from callcenter_site.slots import day_bounds
from calls.ingest import call_key_of
from calls.models import Call, Direction, EventState, Outcome
from calls.querysets import CallQuerySet
from calls.vocabulary import TYPES
from configuration.models import ServiceNumber

FEW_CALLS = 500

# --- The admin's lists -----------------------------------------------------------------------------------------------


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


class OutcomeFilter(_Choice):
    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Still open")), *Outcome.choices]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(outcome="" if value == "open" else value) if value else queryset


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


def find_calls(rows: CallQuerySet, text: str, *, account_id: int, region: str) -> CallQuerySet:
    """The call with this ID, else the calls from or to this number, in whatever form it is written."""
    found = rows.filter(call_key=call_key_of(account_id, text)).values_list("pk", flat=True).first()
    return rows.filter(pk=found) if found is not None else calls_with_number(rows, text, account_id=account_id, region=region)


def calls_with_number(rows: CallQuerySet, text: str, *, account_id: int, region: str) -> CallQuerySet:
    """`rows.with_number`, made fast: asked for either column at once, a database walks the whole account by time.

    That walk is right for a number with many calls, which soon fill a page. A rare one is looked up by index first.
    """
    number = canonical(text, region)
    found: set[int] = set()
    for column in ("calling_number", "called_number"):
        ids: Any = (
            Call.objects.for_account(account_id).filter(**{column: number}).order_by("-started_at").values_list("pk", flat=True)
        )
        found.update(ids[:FEW_CALLS])
        if len(found) >= FEW_CALLS:
            return rows.with_number(text, region=region)
    return rows.filter(pk__in=found)


def find_events(rows: Any, text: str, *, account_id: int) -> Any:
    """The events of this call, else the events with this id: whole, never a part of it."""
    of_call: Any = rows.filter(call_key=call_key_of(account_id, text))
    return of_call if of_call.exists() else rows.filter(event_id=text)


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


# --- The API ---------------------------------------------------------------------------------------------------------


class _MomentField(IsoDateTimeField):
    """A time that says its zone. A plus sign that was not percent-encoded arrives as a space and is read as meant."""

    default_error_messages = {"invalid": _("Write it as 2026-11-24T09:00:00+08:00 or …Z, with a zone.")}

    def to_python(self, value: Any) -> dt.datetime | None:
        text = re.sub(r" (\d\d:?\d\d)$", r"+\1", str(value or "").strip())
        if text and not re.search(r"(Z|z|[+-]\d\d:?\d\d)$", text):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        moment: dt.datetime | None = super().to_python(text)
        return moment


class _MomentFilter(django_filters.IsoDateTimeFilter):
    field_class = _MomentField


class _TruthFilter(django_filters.ChoiceFilter):
    """true or false, and nothing else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, choices=[("true", "true"), ("false", "false")], **kwargs)


class CallFilterSet(django_filters.FilterSet):
    started_after = _MomentFilter("started_at", "gte", help_text="Started at this time or later.")
    started_before = _MomentFilter("started_at", "lt", help_text="Started before this time.")
    direction = django_filters.ChoiceFilter(choices=Direction.choices)
    outcome = django_filters.ChoiceFilter(choices=Outcome.choices)
    answered = _TruthFilter(method="by_answered", help_text="Whether an agent spoke.")
    open = _TruthFilter(method="by_open", help_text="Whether the call is still going on.")
    agent = django_filters.CharFilter(
        method="by_agent", max_length=40, help_text="Staff ID of the agent the record is listed under."
    )
    skill_group = django_filters.CharFilter(method="by_skill_group", max_length=60, help_text="Name of the skill group.")
    number = django_filters.CharFilter(
        method="by_number", max_length=60, help_text="Calling or called number, whole, in any written form."
    )
    call_id = django_filters.CharFilter(method="by_call_id", max_length=255, help_text="The telephony platform's ID of the call.")

    class Meta:
        model = Call
        fields: ClassVar[list[str]] = []

    @extend_schema_field(OpenApiTypes.BOOL)
    def by_answered(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        return rows.filter(answered_at__isnull=value == "false")

    @extend_schema_field(OpenApiTypes.BOOL)
    def by_open(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        # The outcome is empty while a call is open, and has an index.
        return rows.open().filter(outcome="") if value == "true" else rows.closed()

    @extend_schema_field(OpenApiTypes.STR)
    def by_agent(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        # Looked up first: with the id at hand the database walks the index of the agent's calls.
        pk = Agent.objects.for_account(self.request.user.account_id).filter(staff_id=value).values_list("pk", flat=True).first()
        return rows.filter(agent_id=pk) if pk is not None else rows.none()

    @extend_schema_field(OpenApiTypes.STR)
    def by_skill_group(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        pk = SkillGroup.objects.for_account(self.request.user.account_id).filter(name=value).values_list("pk", flat=True).first()
        return rows.filter(skill_group_id=pk) if pk is not None else rows.none()

    @extend_schema_field(OpenApiTypes.STR)
    def by_number(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        account = self.request.user.account
        return calls_with_number(rows, value, account_id=account.pk, region=account.region)

    @extend_schema_field(OpenApiTypes.STR)
    def by_call_id(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        return rows.filter(call_key=call_key_of(self.request.user.account_id, value))
