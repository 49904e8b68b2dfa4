"""How the API's list of service records is narrowed.

What the filters mean stands in `narrowing.py`.
"""

from decimal import Decimal
from typing import Any, ClassVar

import django_filters
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import PermissionDenied

from agents.models import Agent, SkillGroup
from callcenter_site.filters import MomentFilter, TruthFilter
from callcenter_site.phone_numbers import canonical
from calls import narrowing
from calls.envelope import call_key_of
from calls.models import Call, Direction, Outcome
from calls.querysets import CallQuerySet
from configuration.access import SEE_RECORDINGS, SEE_VOICEMAIL
from configuration.models import Keyword


class SecondsFilter(django_filters.NumberFilter):
    """A number of seconds or points, not below 0."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, min_value=0, max_value=10_000_000, max_digits=12, decimal_places=3)


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


class CallFilterSet(django_filters.FilterSet):
    started_after = MomentFilter("started_at", "gte", help_text="Started at this time or later.")
    started_before = MomentFilter("started_at", "lt", help_text="Started before this time.")
    week_hour = django_filters.CharFilter(
        method="by_range",
        validators=[RegexValidator(rf"\A{narrowing.WEEK_HOUR}\Z", _("Write day of the week and hour, like 1-10."))],
        help_text="Day of the week (1 is Monday) and hour of local time it started in, as `1-10`; of at most 400 days.",
    )
    direction = django_filters.ChoiceFilter(choices=Direction.choices)
    outcome = django_filters.MultipleChoiceFilter(
        choices=[(narrowing.OPEN, narrowing.OPEN), *Outcome.choices],
        method="by_outcome",
        help_text="May be given several times: any of these. `open` stands for calls that still go on.",
    )
    answered = TruthFilter(method="by_answered", help_text="Whether an agent spoke.")
    open = TruthFilter(method="by_open", help_text="Whether the call is still going on.")
    agent = django_filters.CharFilter(
        method="by_agent", max_length=40, help_text="Staff ID of the agent the record is listed under."
    )
    skill_group = django_filters.CharFilter(method="by_skill_group", max_length=60, help_text="Name of the skill group.")
    number = django_filters.CharFilter(
        method="by_number", max_length=60, help_text="Calling or called number, whole, in any written form."
    )
    service_number = django_filters.CharFilter(
        method="by_service_number", max_length=60, help_text="One of the center's own numbers: called, or called out from."
    )
    provider = django_filters.CharFilter(max_length=60, help_text="Telecom provider of the customer's number, exactly.")
    disposition = django_filters.CharFilter(max_length=60, help_text="Exactly as in the record.")
    talk_min = SecondsFilter(method="by_range", help_text="Answered, and at least so many seconds of talk, without hold.")
    talk_max = SecondsFilter(method="by_range", help_text="Answered, and at most so many seconds of talk, without hold.")
    length_min = SecondsFilter(method="by_range", help_text="Over, and at least so many seconds from start to end.")
    length_max = SecondsFilter(method="by_range", help_text="Over, and at most so many seconds from start to end.")
    wait_min = SecondsFilter(method="by_range", help_text="At least so many seconds in queues, all entries together.")
    wait_max = SecondsFilter(method="by_range", help_text="At most so many seconds in queues, all entries together.")
    hold_min = SecondsFilter(method="by_range", help_text="On hold for at least so many seconds, all together.")
    hold_max = SecondsFilter(method="by_range", help_text="On hold for at most so many seconds, all together.")
    rating = django_filters.ChoiceFilter(
        method="by_range",
        choices=[(narrowing.GIVEN, narrowing.GIVEN), (narrowing.NOT_GIVEN, narrowing.NOT_GIVEN)],
        help_text="Rated, or asked for a rating that was not given.",
    )
    rating_min = SecondsFilter(method="by_range", help_text="Rated with this score or a higher one, whatever its scale.")
    rating_max = SecondsFilter(method="by_range", help_text="Rated with this score or a lower one, whatever its scale.")
    keyword = django_filters.CharFilter(method="by_hit", max_length=100, help_text="Phrase of a keyword that was found.")
    keyword_category = django_filters.CharFilter(
        method="by_hit", max_length=60, help_text="Category of a keyword that was found."
    )
    keyword_severity = django_filters.ChoiceFilter(
        method="by_hit", choices=Keyword.Severity.choices, help_text="Severity of a keyword that was found."
    )
    has_remark = TruthFilter(field_name="has_remark", help_text="Whether somebody wrote a remark.")
    has_recording = TruthFilter(method="by_sound", help_text="Whether there is a recording; only for those who may know of it.")
    has_voicemail = TruthFilter(method="by_sound", help_text="Whether there is voicemail; only for those who may know of it.")
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
        return narrowing.by_number(rows, value, account_id=account.pk, region=account.region)

    def by_outcome(self, rows: CallQuerySet, name: str, value: list[str]) -> CallQuerySet:
        return narrowing.by_outcomes(rows, value, account_id=self.request.user.account_id) if value else rows

    @extend_schema_field(OpenApiTypes.STR)
    def by_service_number(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        account = self.request.user.account
        return narrowing.by_service_number(rows, canonical(value, account.region), account_id=account.pk)

    def by_range(self, rows: CallQuerySet, name: str, value: Any) -> CallQuerySet:
        """The ends of a range are looked at together, once all parameters are read: `filter_queryset`."""
        return rows

    @extend_schema_field(OpenApiTypes.STR)
    def by_hit(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        """Of one and the same hit: looked at together, in `filter_queryset`."""
        return rows

    @extend_schema_field(OpenApiTypes.BOOL)
    def by_sound(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        right = SEE_RECORDINGS if name == "has_recording" else SEE_VOICEMAIL
        if not self.request.user.has_perm(right):
            raise PermissionDenied
        return rows.filter(**{name: value == "true"})

    def filter_queryset(self, queryset: Any) -> Any:
        rows = super().filter_queryset(queryset)
        asked, account_id = self.form.cleaned_data, self.request.user.account_id
        if asked["week_hour"]:
            rows = narrowing.by_week_hour(
                rows,
                *narrowing.read_week_hour(asked["week_hour"]),
                zone=self.request.user.account.zone,
                start=asked["started_after"],
                end=asked["started_before"],
            )
        for name in narrowing.SECONDS:
            least, most = _number(asked[f"{name}_min"]), _number(asked[f"{name}_max"])
            rows = narrowing.by_seconds(rows, name, least, most, account_id=account_id)
        hit = (asked["keyword"], asked["keyword_category"], asked["keyword_severity"])
        rows = narrowing.by_keyword(rows, *hit, account_id=account_id)
        least, most = _number(asked["rating_min"]), _number(asked["rating_max"])
        return narrowing.by_rating(rows, asked["rating"], least, most, account_id=account_id)

    @extend_schema_field(OpenApiTypes.STR)
    def by_call_id(self, rows: CallQuerySet, name: str, value: str) -> CallQuerySet:
        return rows.filter(call_key=call_key_of(self.request.user.account_id, value))
