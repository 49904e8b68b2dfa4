"""The forecast over the API."""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import SkillGroup
from analytics import forecast
from callcenter_site.rest import OwnRowField, PortalView, StrictFields
from configuration.access import SEE_FIGURES


class AimSerializer(StrictFields):
    skill_group = OwnRowField(queryset=SkillGroup.objects.filter(is_active=True).select_related("account"))
    level = serializers.FloatField(min_value=1, max_value=99.9, default=forecast.START["level"])
    occupancy = serializers.FloatField(min_value=10, max_value=100, default=forecast.START["occupancy"])
    shrinkage = serializers.FloatField(min_value=0, max_value=90, default=forecast.START["shrinkage"])

    def to_internal_value(self, data: Any) -> Any:
        """An address holds text, and a row is asked for by a number."""
        asked = dict(data.items())
        if str(asked.get("skill_group", "")).isdecimal():
            asked["skill_group"] = int(asked["skill_group"])
        return super().to_internal_value(asked)


class HalfHourSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField(help_text="Local, with its offset.")
    calls = serializers.FloatField(allow_null=True, help_text="Null: no usual day of this weekday is known.")
    required = serializers.IntegerField(  # type: ignore[assignment]  # Field has a truth of its own
        allow_null=True, help_text="Agents who have to be there."
    )
    scheduled = serializers.IntegerField(allow_null=True, help_text="Agents to put on the rota, with shrinkage.")
    there = serializers.FloatField(allow_null=True, help_text="Who was there in this half hour of the last same weekday.")


class AccuracySerializer(serializers.Serializer[Any]):
    wape = serializers.FloatField(help_text="Of this forecast, over the last four weeks: the sum of misses by the sum of calls.")
    wape_of_week_before = serializers.FloatField(help_text="Of guessing the same half hour a week before.")
    n_days = serializers.IntegerField()


class ForecastSerializer(serializers.Serializer[Any]):
    half_hours = HalfHourSerializer(many=True)
    accuracy = AccuracySerializer(allow_null=True, help_text="Null: too little is known to measure it.")
    left_out = serializers.ListField(child=serializers.DateField(), help_text="Days that were nothing like their weekday.")
    handle_seconds = serializers.FloatField(allow_null=True)
    patience_seconds = serializers.FloatField(allow_null=True)


class ForecastView(PortalView):
    required_permissions = {"GET": SEE_FIGURES}

    @extend_schema(
        operation_id="forecast",
        summary="Next week's calls, and the agents they ask for",
        tags=["figures"],
        parameters=[
            OpenApiParameter("skill_group", OpenApiTypes.INT, required=True),
            OpenApiParameter("level", OpenApiTypes.FLOAT, description="Service level aimed at, in percent. Default: 80."),
            OpenApiParameter("occupancy", OpenApiTypes.FLOAT, description="At most, in percent. Default: 90."),
            OpenApiParameter("shrinkage", OpenApiTypes.FLOAT, description="In percent. Default: 30."),
        ],
        responses=ForecastSerializer,
        filters=False,
    )
    def get(self, request: Request) -> Response:
        """The half hours of the next seven days of a skill group, beside who was there a week before, and how far off such
        forecasts were."""
        asked = AimSerializer(data=request.query_params, context={"request": request})
        asked.is_valid(raise_exception=True)
        said = asked.validated_data
        group = said.pop("skill_group")
        found = forecast.kept(group, at=timezone.now(), **said)
        return Response(ForecastSerializer(found).data)
