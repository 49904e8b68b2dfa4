"""How the admin's lists of service records and events are narrowed.

What those of records mean stands in `narrowing.py`.
"""

import re
from collections.abc import Iterable
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import MultipleDropdownFilter

from callcenter_site.admin_filters import Choice, Named, PeriodFilter, RangeFilter
from calls import narrowing
from calls.models import Call, Direction, EventState, Outcome
from calls.vocabulary import TYPES
from configuration.models import Disposition, Keyword, ServiceNumber


class StartedFilter(PeriodFilter):
    """Also by one hour of a day of the week, within the period: `week_hour=1-10` is Monday from ten to eleven."""

    parameter_names = (*PeriodFilter.parameter_names, "week_hour")

    @property
    def week_hour_typed(self) -> str:
        return str(self.used_parameters.get("week_hour", ""))

    def week_hour(self) -> tuple[int, int] | None:
        try:
            return narrowing.read_week_hour(self.week_hour_typed) if self.week_hour_typed else None
        except ValueError as error:
            raise IncorrectLookupParameters(self.week_hour_typed) from error

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        rows = super().queryset(request, queryset)
        if (asked := self.week_hour()) is None:
            return rows
        user: Any = request.user
        start, end = self.bounds()
        return narrowing.by_week_hour(rows, *asked, zone=user.account.zone, start=start, end=end)

    def shown_value(self) -> str:
        said = [super().shown_value()]
        if (asked := self.week_hour()) is not None:
            said.append(f"{WEEKDAYS[asked[0] - 1]} {asked[1]}:00–{asked[1] + 1}:00")
        return " · ".join(filter(None, said))


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
        if not chosen:
            return queryset
        try:
            return narrowing.by_outcomes(queryset, chosen, account_id=_account_of(request))
        except ValueError as error:
            raise IncorrectLookupParameters(chosen) from error

    def shown_value(self) -> str:
        return ", ".join(str(label) for name, label in self.lookup_choices if name in (self.value() or ()))


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
        return [(str(row.pk), row.label_and_number) for row in rows]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        if not value:
            return queryset
        return narrowing.by_service_number(queryset, self.numbers[value], account_id=_account_of(request))


class OpenChoice(Choice):
    """By a value of a column. Those there are, or were at some time, are offered; any other finds nothing."""

    column = ""

    def values(self, request: HttpRequest) -> Iterable[str]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        chosen = request.GET.get(str(self.parameter_name), "")
        return [(value, value) for value in sorted({*self.values(request), chosen} - {""})]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        return queryset.filter(**{self.column: value}) if value else queryset


class ProviderFilter(OpenChoice):
    title = _("telecom provider")
    parameter_name = column = "provider"

    def values(self, request: HttpRequest) -> Iterable[str]:
        return providers_of(_account_of(request))


class DispositionFilter(OpenChoice):
    title = _("disposition")
    parameter_name = column = "disposition"

    def values(self, request: HttpRequest) -> Iterable[str]:
        user: Any = request.user
        return Disposition.objects.visible_to(user).values_list("name", flat=True)


class KeywordFilter(OpenChoice):
    """By a keyword that was found. The three are of one hit, so the first of them that is on narrows by all."""

    title = _("keyword")
    parameter_name = "keyword"
    names = ("keyword", "keyword_category", "keyword_severity")

    def values(self, request: HttpRequest) -> Iterable[str]:
        return [phrase for phrase, _category in self.known(request)]

    def known(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Phrase and category of the account's keywords; asked for once for a page."""
        asker: Any = request
        if not hasattr(asker, "_keywords_known"):
            rows = Keyword.objects.visible_to(asker.user).values_list("phrase", "category")
            asker._keywords_known = list(rows[:2000])
        found: list[tuple[str, str]] = asker._keywords_known
        return found

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        asked = [request.GET.get(name, "") for name in self.names]
        first = next((name for name, value in zip(self.names, asked, strict=True) if value), "")
        if first != self.parameter_name:
            return queryset
        return narrowing.by_keyword(queryset, *asked, account_id=_account_of(request))


class KeywordCategoryFilter(KeywordFilter):
    title = _("keyword's category")
    parameter_name = "keyword_category"

    def values(self, request: HttpRequest) -> Iterable[str]:
        return {category for _phrase, category in self.known(request)}


class KeywordSeverityFilter(KeywordFilter):
    title = _("keyword's severity")
    parameter_name = "keyword_severity"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Keyword.Severity.choices)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        self.checked()
        return super().queryset(request, queryset)


class Has(Choice):
    """Whether a record holds something."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(**{f"has_{self.parameter_name}": value == "yes"}) if value else queryset


class RecordingFilter(Has):
    title = _("with a recording")
    parameter_name = "recording"


class VoicemailFilter(Has):
    title = _("with voicemail")
    parameter_name = "voicemail"


class RemarkFilter(Has):
    title = _("with a remark")
    parameter_name = "remark"


class DurationFilter(RangeFilter):
    """By seconds of a call; its name is one of `narrowing.SECONDS`."""

    hint = _("Seconds, or minutes and seconds as 1:30.")

    def read(self, text: str) -> float:
        whole, dot, fraction = text.partition(".")
        parts = whole.split(":")
        if len(parts) > 3 or not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts):
            raise ValueError(text)
        if dot and re.fullmatch(r"[0-9]{1,3}", fraction, re.ASCII) is None:
            raise ValueError(text)
        return float(sum(int(part) * 60**place for place, part in enumerate(reversed(parts)))) + float(f"0.{fraction or 0}")

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return narrowing.by_seconds(queryset, self.name, *self.bounds(), account_id=_account_of(request))


class TalkFilter(DurationFilter):
    title = _("talk time")  # type: ignore[assignment]
    name = "talk"


class LengthFilter(DurationFilter):
    title = _("length of the whole call")  # type: ignore[assignment]
    name = "length"


class WaitFilter(DurationFilter):
    title = _("wait in queues")  # type: ignore[assignment]
    name = "wait"


class HoldFilter(DurationFilter):
    title = _("time on hold")  # type: ignore[assignment]
    name = "hold"


class RatingFilter(RangeFilter):
    title = _("rating")  # type: ignore[assignment]
    name = "rating"
    hint = _("Lowest and highest score.")
    choices_beside = ((narrowing.GIVEN, _("Given")), (narrowing.NOT_GIVEN, _("Asked, not given")))

    def read(self, text: str) -> float:
        if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text) is None:
            raise ValueError(text)
        return float(text)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return narrowing.by_rating(queryset, self.chosen(), *self.bounds(), account_id=_account_of(request))


PROVIDERS_SECONDS = 600


def providers_of(account_id: int) -> list[str]:
    """The telecom providers in an account's records, as of a few minutes ago."""
    key = f"calls:providers:{account_id}"
    found = cache.get(key)
    if found is None:
        rows: Any = Call.objects.for_account(account_id).order_by().exclude(provider="")
        found = sorted(rows.values_list("provider", flat=True).distinct()[:500])
        cache.set(key, found, PROVIDERS_SECONDS)
    return list(found)


def _account_of(request: HttpRequest) -> int:
    user: Any = request.user
    return int(user.account_id or 0)


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
