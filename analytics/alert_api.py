"""Alerts over the API."""

from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from analytics.models import AlertCrossing, AlertNotice, AlertRule
from callcenter_site.filters import SearchFilter, TruthFilter
from callcenter_site.openapi import resource
from callcenter_site.rest import AccountReadViewSet, AccountSerializer, Deletes, PortalViewSet, permissions_on


class AlertRuleSerializer(AccountSerializer):
    natural_key = "name"
    weekdays = serializers.ListField(child=serializers.IntegerField(min_value=0, max_value=6), max_length=7, required=False)
    mail_to = serializers.CharField(max_length=5000, required=False, allow_blank=True)
    webhook_url = serializers.CharField(
        max_length=1000, required=False, allow_blank=True, help_text="Its messages are signed as standardwebhooks.com specifies."
    )

    class Meta:
        model = AlertRule
        fields: ClassVar[list[str]] = [
            "id",
            "name",
            "metric",
            "threshold",
            "skill_group",
            "hold_seconds",
            "weekdays",
            "starts_at",
            "ends_at",
            "mail_to",
            "webhook_url",
            "is_active",
            "is_raised",
        ]
        read_only_fields: ClassVar[list[str]] = ["is_raised"]


class AlertRuleFilterSet(django_filters.FilterSet):
    is_active = TruthFilter("is_active")
    search = SearchFilter("name")


_RULE: dict[str, Any] = {
    "id": 3,
    "name": "Queue too long",
    "metric": "in_queue",
    "threshold": 5,
    "skill_group": 7,
    "hold_seconds": 30,
    "weekdays": [0, 1, 2, 3, 4],
    "starts_at": "08:00:00",
    "ends_at": "20:00:00",
    "mail_to": "shift@example.com",
    "webhook_url": "",
    "is_active": True,
    "is_raised": False,
}


@resource(
    one="alert",
    many="alerts",
    example=_RULE,
    written=[name for name in _RULE if name not in ("id", "is_raised")],
    note="A limit of a live figure. `service_level` is in percent and crossed from above, the others from below.",
)
class AlertRuleViewSet(Deletes, PortalViewSet):
    queryset = AlertRule.objects.all()
    serializer_class = AlertRuleSerializer
    filterset_class = AlertRuleFilterSet
    required_permissions = permissions_on("analytics", "alertrule")


class AlertNoticeSerializer(serializers.ModelSerializer[AlertNotice]):
    class Meta:
        model = AlertNotice
        fields: ClassVar[list[str]] = ["about", "channel", "state", "n_tries", "sent_at", "problem"]


class AlertCrossingSerializer(serializers.ModelSerializer[AlertCrossing]):
    notices = AlertNoticeSerializer(many=True, read_only=True)

    class Meta:
        model = AlertCrossing
        fields: ClassVar[list[str]] = [
            "id",
            "rule",
            "skill_group",
            "metric",
            "threshold",
            "value",
            "began_at",
            "crossed_at",
            "recovered_at",
            "notices",
        ]


class AlertCrossingFilterSet(django_filters.FilterSet):
    open = TruthFilter("recovered_at__isnull")


@extend_schema_view(
    list=extend_schema(summary="List past alerts", description="Times for which an alert was raised, newest first."),
    retrieve=extend_schema(summary="Show a past alert", description="When it was raised, and how telling of it went."),
)
class AlertCrossingViewSet(AccountReadViewSet):
    queryset = AlertCrossing.objects.prefetch_related("notices")
    serializer_class = AlertCrossingSerializer
    filterset_class = AlertCrossingFilterSet
    required_permissions = {"GET": "analytics.view_alertcrossing"}
