"""Wallboards over the API."""

from typing import Any, ClassVar

import django_filters
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import SkillGroup
from analytics.models import Display, Tile
from analytics.wallboard import make_link, revoke_link
from callcenter_site.filters import SearchFilter
from callcenter_site.openapi import resource
from callcenter_site.rest import AccountSerializer, Deletes, PortalViewSet, permissions_on


class DisplaySerializer(AccountSerializer):
    natural_key = "name"
    group_ids = serializers.ListField(
        child=serializers.IntegerField(), max_length=200, required=False, help_text="Skill groups. Empty: the whole account."
    )
    tiles = serializers.ListField(child=serializers.ChoiceField(choices=Tile.choices), max_length=len(Tile), required=False)

    class Meta:
        model = Display
        fields: ClassVar[list[str]] = [
            "id",
            "name",
            "group_ids",
            "tiles",
            "language",
            "queue_warning",
            "queue_alarm",
            "wait_warning",
            "wait_alarm",
            "level_warning",
            "level_alarm",
            "has_sound",
            "has_link",
            "token_made_at",
            "token_seen_at",
        ]
        read_only_fields: ClassVar[list[str]] = ["has_link", "token_made_at", "token_seen_at"]

    def validate_group_ids(self, group_ids: list[int]) -> list[int]:
        seen = set(SkillGroup.objects.visible_to(self.asker).filter(pk__in=group_ids).values_list("pk", flat=True))
        if set(group_ids) - seen:
            raise serializers.ValidationError(_("There is no such row."))
        return group_ids


class DisplayLinkSerializer(serializers.Serializer[Any]):
    link = serializers.CharField(help_text="Opens the wallboard without signing in. It is said here and never again.")


class DisplayFilterSet(django_filters.FilterSet):
    search = SearchFilter("name")


_EXAMPLE: dict[str, Any] = {
    "id": 4,
    "name": "Sales floor",
    "group_ids": [7],
    "tiles": ["in_queue", "longest_wait_seconds", "service_level_rolling", "groups"],
    "language": "en",
    "queue_warning": 3,
    "queue_alarm": 6,
    "wait_warning": 20,
    "wait_alarm": 60,
    "level_warning": 80,
    "level_alarm": 60,
    "has_sound": False,
    "has_link": True,
    "token_made_at": "2026-11-24T08:00:00Z",
    "token_seen_at": None,
}


@resource(
    one="wallboard",
    many="wallboards",
    example=_EXAMPLE,
    written=[name for name in _EXAMPLE if name not in ("id", "has_link", "token_made_at", "token_seen_at")],
    note="A screen of live figures: for skill groups, or with none named for the whole account.",
)
class DisplayViewSet(Deletes, PortalViewSet):
    queryset = Display.objects.all()
    serializer_class = DisplaySerializer
    filterset_class = DisplayFilterSet
    required_permissions = permissions_on("analytics", "display")

    @extend_schema(
        methods=["POST"],
        summary="Make the link of a wallboard",
        description="A link that opens it without signing in. The one before ends.",
        request=None,
        responses={201: DisplayLinkSerializer},
        examples=[
            OpenApiExample(
                "A link", value={"link": "https://portal.example.com/wallboard/show/#5f0c1d2e3a4b.…"}, response_only=True
            )
        ],
    )
    @extend_schema(
        methods=["DELETE"],
        summary="Revoke the link of a wallboard",
        description="At once; also if there is none.",
        request=None,
        responses={204: None},
    )
    @action(
        detail=True,
        methods=["post", "delete"],
        required_permissions={"POST": "analytics.change_display", "DELETE": "analytics.change_display"},
    )
    def link(self, request: Request, pk: str) -> Response:
        with transaction.atomic():
            self.lock()
            display = self.get_object()
            if request.method == "DELETE":
                revoke_link(display=display)
                return Response(status=status.HTTP_204_NO_CONTENT)
            link = make_link(display=display, at=timezone.now())
        return Response({"link": link}, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})
