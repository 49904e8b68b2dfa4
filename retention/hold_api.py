"""Legal holds over the API: placed, listed, released. A hold is never edited."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Agent
from callcenter_site.paging import NewestFirst
from callcenter_site.rest import AccountReadViewSet, AccountSerializer, Conflict, OwnRowField, once
from calls import masking
from calls.models import Call
from retention import holds
from retention.holds import MAY_RELEASE, MOST_CALLS
from retention.models import LegalHold


class LegalHoldSerializer(AccountSerializer):
    agent = OwnRowField(
        queryset=Agent.objects.all(), required=False, allow_null=True, help_text="Id of an agent; with the kind `agent`."
    )
    number = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=40,
        help_text="In any written form; with the kind `number`. Masked unless the asker sees whole numbers.",
    )
    call_ids = serializers.ListField(
        child=serializers.CharField(max_length=255),
        required=False,
        write_only=True,
        help_text=f"As the platform names them, at most {MOST_CALLS}; with the kind `calls`.",
    )
    n_calls = serializers.SerializerMethodField(help_text="With the kind `calls`: how many are held; null once it is released.")
    placed_by = serializers.IntegerField(source="placed_by_id", allow_null=True, read_only=True)
    released_by = serializers.IntegerField(source="released_by_id", allow_null=True, read_only=True)

    calls: list[Call]
    """That the hold is placed on; found where the body is checked."""

    class Meta:
        model = LegalHold
        fields: ClassVar[list[str]] = [
            "id",
            "kind",
            "reference",
            "number",
            "agent",
            "call_ids",
            "n_calls",
            "from_day",
            "to_day",
            "placed_at",
            "placed_by",
            "released_at",
            "released_by",
        ]
        read_only_fields = ("placed_at", "released_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        call_ids = attrs.pop("call_ids", [])
        attrs = super().validate(attrs)
        try:
            self.calls = holds.calls_of_a_hold(self.row, call_ids)
        except DjangoValidationError as error:
            raise serializers.ValidationError({"call_ids": error.messages}) from error
        return attrs

    def create(self, validated_data: dict[str, Any]) -> LegalHold:
        by = self.asker if isinstance(self.asker, Agent) else None
        return holds.place(hold=self.row, calls=self.calls, by=by, at=timezone.now())

    def to_representation(self, instance: LegalHold) -> dict[str, Any]:
        told: dict[str, Any] = super().to_representation(instance)
        told["number"] = masking.shown(instance.number, whole=masking.sees_numbers(self.asker)) if instance.number else ""
        return told

    @extend_schema_field({"type": "integer", "nullable": True})
    def get_n_calls(self, row: Any) -> int | None:
        return len(row.held_calls.all()) if row.kind == LegalHold.Kind.CALLS and row.is_open else None


_EXAMPLE = {"kind": "number", "number": "138 0013 8000", "reference": "7 O 112/26"}


@extend_schema_view(
    list=extend_schema(summary="List legal holds", description="Newest first, those that were released as well."),
    retrieve=extend_schema(summary="Show a legal hold"),
)
class LegalHoldViewSet(AccountReadViewSet):
    queryset = LegalHold.objects.prefetch_related("held_calls")
    serializer_class = LegalHoldSerializer
    pagination_class = NewestFirst
    required_permissions = {"GET": "retention.view_legalhold", "POST": "retention.add_legalhold"}

    @extend_schema(
        summary="Place a legal hold",
        description=(
            "From now on nothing deletes what is under it: no age, no request, no person, not the end of the account. "
            "`days` are local days and hold whatever is of them."
        ),
        examples=[OpenApiExample("A phone number", value=_EXAMPLE, request_only=True)],
    )
    @once
    def create(self, request: Request) -> Response:
        form = self.get_serializer(data=request.data)
        form.is_valid(raise_exception=True)
        hold = form.save()
        headers = {"Location": request.build_absolute_uri(f"{request.path}{hold.pk}/")}
        return Response(self.get_serializer(hold).data, status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(
        summary="Release a legal hold",
        description="What waited for it goes on at once. One that was released already answers `409`.",
        request=None,
        responses=LegalHoldSerializer,
    )
    @action(detail=True, methods=["post"], required_permissions={"POST": MAY_RELEASE})
    def release(self, request: Request, pk: str) -> Response:
        hold: LegalHold = self.get_object()
        by = request.user if isinstance(request.user, Agent) else None
        if not holds.release(hold=hold, by=by, at=timezone.now()):
            raise Conflict("It was released already.")
        return Response(self.get_serializer(self.get_queryset().get(pk=hold.pk)).data)
