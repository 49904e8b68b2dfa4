"""Exports over the API: asked for, followed, fetched."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from callcenter_site.file_run_api import FileRunSerializer
from callcenter_site.paging import NewestFirst
from callcenter_site.rest import AccountReadViewSet, StrictFields, as_query, once
from calls import exporting
from calls.export_views import link_to
from calls.models import ExportRun


class ExportRequestSerializer(StrictFields):
    kind = serializers.ChoiceField(choices=ExportRun.Kind.choices, default=ExportRun.Kind.CSV)
    with_legs = serializers.BooleanField(default=False, help_text="A row for each leg instead of one for each call.")
    filters = serializers.DictField(
        default=dict, help_text="Filters of the list of service records; one that may be given several times is a list."
    )


class ExportRunSerializer(FileRunSerializer):
    problems = exporting.PROBLEMS
    kept_for = exporting.KEPT_FOR

    class Meta:
        model = ExportRun
        fields: ClassVar[list[str]] = [
            "id",
            "kind",
            "with_legs",
            "state",
            "problem",
            "n_calls",
            "n_rows",
            "n_bytes",
            "created_at",
            "finished_at",
            "gone_at",
            "link",
        ]

    def may_take(self, run: ExportRun, asker: Any) -> bool:
        return exporting.belongs_to(run, asker)

    def link_to(self, run: ExportRun, asker: Any) -> str:
        return link_to(run, actor=asker)


@extend_schema_view(
    list=extend_schema(summary="List exports", description="One's own, newest first, of the last day."),
    retrieve=extend_schema(summary="Show an export", description="How far it is, and a link to its file once it is done."),
)
class ExportViewSet(AccountReadViewSet):
    queryset = ExportRun.objects.all()
    serializer_class = ExportRunSerializer
    pagination_class = NewestFirst
    required_permissions = {"GET": exporting.MAY_EXPORT, "POST": exporting.MAY_EXPORT, "DELETE": exporting.MAY_EXPORT}

    @extend_schema(
        summary="Export service records",
        description=(
            "Puts an export of the service records in line: as CSV or XLSX, one row for each call or leg, of what the key or "
            f"person may see. At most {exporting.MOST_AT_WORK} of an account are written at once. The file is kept for a day."
        ),
        request=ExportRequestSerializer,
        responses={201: ExportRunSerializer},
        examples=[
            OpenApiExample("Answered calls", value={"kind": "csv", "filters": {"outcome": ["answered"]}}, request_only=True)
        ],
    )
    @once
    def create(self, request: Request) -> Response:
        form = ExportRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        said = form.validated_data
        try:
            asked = dict(as_query(said["filters"]).lists())
            run = exporting.open_export(
                actor=request.user, asked=asked, kind=said["kind"], with_legs=said["with_legs"], at=timezone.now()
            )
        except serializers.ValidationError as error:
            raise serializers.ValidationError({"filters": error.detail}) from error
        except ValidationError as error:
            if not hasattr(error, "error_dict"):
                raise  # of the account, not of a filter
            raise serializers.ValidationError({"filters": error.message_dict}) from error
        headers = {"Location": request.build_absolute_uri(f"{request.path}{run.pk}/")}
        return Response(self.get_serializer(run).data, status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(summary="Cancel an export", description="What is done already stays for its day.", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        exporting.cancel(self.get_object(), at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)
