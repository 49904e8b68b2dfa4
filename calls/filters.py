"""How the API's list of service records is narrowed.

Every filter ends at an index that begins with the account and, but for the call ID, goes on with the time of start.
"""

from typing import ClassVar

import django_filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from agents.models import Agent, SkillGroup
from callcenter_site.filters import MomentFilter, TruthFilter
from calls.envelope import call_key_of
from calls.models import Call, Direction, Outcome
from calls.querysets import CallQuerySet
from calls.search import calls_with_number


class CallFilterSet(django_filters.FilterSet):
    started_after = MomentFilter("started_at", "gte", help_text="Started at this time or later.")
    started_before = MomentFilter("started_at", "lt", help_text="Started before this time.")
    direction = django_filters.ChoiceFilter(choices=Direction.choices)
    outcome = django_filters.ChoiceFilter(choices=Outcome.choices)
    answered = TruthFilter(method="by_answered", help_text="Whether an agent spoke.")
    open = TruthFilter(method="by_open", help_text="Whether the call is still going on.")
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
