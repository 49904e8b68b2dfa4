"""How the admin's lists of service records and events are narrowed.

Every filter of records ends at an index that begins with the account and goes on with the time of start.
"""

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import MultipleDropdownFilter

from callcenter_site.admin_filters import Choice, Named
from calls.models import Direction, EventState, Outcome
from calls.vocabulary import TYPES
from configuration.models import ServiceNumber


class DirectionFilter(Choice):
    title = _("direction")
    parameter_name = "direction"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Direction.choices)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(direction=value) if value else queryset


class OutcomeFilter(Named, MultipleDropdownFilter):
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


class AnsweredFilter(Choice):
    title = _("answered by an agent")
    parameter_name = "answered"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(answered_at__isnull=value == "no") if value else queryset


class ServiceNumberFilter(Choice):
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


class EventStateFilter(Choice):
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


class EventTypeFilter(Choice):
    title = _("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, name) for name in sorted(TYPES)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(type=value) if value else queryset
