"""Deletion and access requests over the API: entered, followed, cancelled. Approving is for people."""

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from callcenter_site.openapi import also_answers
from callcenter_site.paging import NewestFirst
from callcenter_site.rest import AccountReadViewSet, AccountSerializer, MomentField, StrictFields, once
from retention import access_request, certificate, deletion
from retention.access_views import LINK_SECONDS, link_to
from retention.models import AccessRequest, DeletionRequest
from retention.models.requests import KINDS


class SubjectFields(StrictFields):
    number = serializers.CharField(required=False, max_length=40, help_text="In any written form; with the kind `number`.")
    agent = serializers.IntegerField(required=False, help_text="Id of an agent; with the kind `agent`.")
    call_id = serializers.CharField(required=False, max_length=255, help_text="With the kind `call`.")
    reference = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=60,
        help_text="Your own, such as a ticket number. Nothing personal.",
    )


class DeletionRequestedSerializer(SubjectFields):
    kind = serializers.ChoiceField(choices=KINDS)
    first_day = serializers.DateField(required=False, help_text="With the kind `days`: calls that ended from this local day on.")
    last_day = serializers.DateField(required=False, help_text="The last of the days, included.")
    received_at = MomentField(
        required=False, help_text="When the person asked, if that was before now: the 30 days run from here."
    )
    keeps_block = serializers.ChoiceField(
        choices=DeletionRequest.BlockReason.choices,
        required=False,
        allow_blank=True,
        default="",
        help_text="Why the number stays blocked, by a keyed hash that names it to nobody. Empty: it leaves the blacklist.",
    )


class DeletionStepSerializer(serializers.Serializer[Any]):
    store = serializers.CharField()
    state = serializers.CharField()
    found = serializers.IntegerField(source="n_found")
    deleted = serializers.IntegerField(source="n_deleted")
    held = serializers.IntegerField(source="n_held")
    left = serializers.IntegerField(source="n_left", allow_null=True)
    error = serializers.CharField()


class DeletionRequestSerializer(AccountSerializer):
    duplicate_of = serializers.IntegerField(source="duplicate_of_id", allow_null=True, read_only=True)
    keeps_block = serializers.ChoiceField(choices=DeletionRequest.BlockReason.choices, allow_blank=True, read_only=True)
    rejected_for = serializers.ChoiceField(choices=DeletionRequest.Reason.choices, allow_blank=True, read_only=True)
    days_left = serializers.SerializerMethodField(help_text="Until it is due; below 0: overdue. Null once it is over.")
    steps = DeletionStepSerializer(many=True, read_only=True)

    class Meta:
        model = DeletionRequest
        fields: ClassVar[list[str]] = [
            "id",
            "kind",
            "state",
            "reference",
            "received_at",
            "due_at",
            "days_left",
            "keeps_block",
            "rejected_for",
            "duplicate_of",
            "approved_at",
            "started_at",
            "erased_at",
            "verified_at",
            "finished_at",
            "steps",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": "integer", "nullable": True})
    def get_days_left(self, row: DeletionRequest) -> int | None:
        return None if row.is_over else row.days_left(at=timezone.now())


_EXAMPLE = {"kind": "number", "number": "138 0013 8000", "reference": "TICKET-4711"}


@extend_schema_view(
    list=extend_schema(summary="List deletion requests", description="Newest first. Whom they are about is not told."),
    retrieve=extend_schema(
        summary="Show a deletion request", description="Its state, and what was found and erased store by store."
    ),
)
class DeletionRequestViewSet(AccountReadViewSet):
    queryset = DeletionRequest.objects.prefetch_related("steps")
    serializer_class = DeletionRequestSerializer
    pagination_class = NewestFirst
    required_permissions = {
        "GET": "retention.view_deletionrequest",
        "POST": "retention.add_deletionrequest",
        "DELETE": "retention.add_deletionrequest",
    }

    @extend_schema(
        summary="Ask for a deletion",
        description=(
            "Puts down that somebody asked to have erased what is held on them. The portal counts what would go; a person "
            "approves it in the admin. It is due 30 days after it was received. The same while one is open is a duplicate."
        ),
        request=DeletionRequestedSerializer,
        responses={201: DeletionRequestSerializer},
        examples=[OpenApiExample("A phone number", value=_EXAMPLE, request_only=True)],
    )
    @once
    def create(self, request: Request) -> Response:
        form = DeletionRequestedSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        said = form.validated_data
        asker: Any = request.user
        row = deletion.open_request(
            account=asker.account,
            kind=said["kind"],
            said=said,
            by=asker,
            at=timezone.now(),
            received_at=said.get("received_at"),
            keeps_block=said["keeps_block"],
            reference=said["reference"],
        )
        headers = {"Location": request.build_absolute_uri(f"{request.path}{row.pk}/")}
        return Response(self.get_serializer(row).data, status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(
        summary="Cancel a deletion request",
        description="Only one's own, and only before it is over. What has gone by then is gone: see its steps.",
        responses={204: None},
    )
    @also_answers(400)
    def destroy(self, request: Request, pk: str) -> Response:
        deletion.cancel(self.get_object(), by=request.user, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="The certificate of a deletion",
        description="Signed with Ed25519. Only of a completed request.",
        responses={200: OpenApiTypes.OBJECT},
    )
    @action(detail=True, methods=["get"])
    def certificate(self, request: Request, pk: str) -> Response:
        row: DeletionRequest = self.get_object()
        if not row.certificate:
            raise NotFound
        return Response(certificate.as_file(row))


class AccessRequestedSerializer(SubjectFields):
    kind = serializers.ChoiceField(choices=[(value, label) for value, label in KINDS if value in access_request.KINDS])


class AccessRequestSerializer(AccountSerializer):
    link = serializers.SerializerMethodField(
        help_text=f"Opens the file for {LINK_SECONDS} seconds; null until it is done. Only where one request is shown."
    )

    class Meta:
        model = AccessRequest
        fields: ClassVar[list[str]] = [
            "id",
            "kind",
            "state",
            "reference",
            "created_at",
            "finished_at",
            "counts",
            "n_bytes",
            "link",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": "string", "format": "uri", "nullable": True})
    def get_link(self, row: AccessRequest) -> str | None:
        view, request = self.context["view"], self.context["request"]
        if (
            view.action != "retrieve"
            or row.state != AccessRequest.State.DONE
            or not request.user.has_perm(access_request.MAY_ASK)
        ):
            return None
        return str(request.build_absolute_uri(link_to(row, actor=request.user)))


@extend_schema_view(
    list=extend_schema(summary="List access requests", description="Newest first. Whom they are about is not told."),
    retrieve=extend_schema(summary="Show an access request", description="How much was found by store, and a link to the file."),
)
class AccessRequestViewSet(AccountReadViewSet):
    queryset = AccessRequest.objects.all()
    serializer_class = AccessRequestSerializer
    pagination_class = NewestFirst
    required_permissions = {"GET": access_request.MAY_SEE, "POST": access_request.MAY_ASK}

    @extend_schema(
        summary="Ask what is held on somebody",
        description="Searches all stores, counts what is there, and writes it into a file that is kept for a week.",
        request=AccessRequestedSerializer,
        responses={201: AccessRequestSerializer},
        examples=[OpenApiExample("A phone number", value=_EXAMPLE, request_only=True)],
    )
    @once
    def create(self, request: Request) -> Response:
        form = AccessRequestedSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        said = form.validated_data
        asker: Any = request.user
        row = access_request.open_request(
            account=asker.account, kind=said["kind"], said=said, by=asker, at=timezone.now(), reference=said["reference"]
        )
        headers = {"Location": request.build_absolute_uri(f"{request.path}{row.pk}/")}
        return Response(self.get_serializer(row).data, status=status.HTTP_201_CREATED, headers=headers)
