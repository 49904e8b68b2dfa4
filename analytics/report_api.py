"""Saved reports and their files over the API."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import exceptions, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import saved
from agents.models import Agent
from analytics import report_files, report_runs, reporting
from analytics.models import ReportRun, SavedReport
from callcenter_site.file_run_api import FileRunSerializer
from callcenter_site.openapi import resource
from callcenter_site.paging import NewestFirst
from callcenter_site.rest import (
    AccountReadViewSet,
    AccountSerializer,
    Deletes,
    OwnRowField,
    StrictFields,
    as_query,
    once,
)
from configuration.access import SEE_FIGURES

_QUESTION = {"metrics": ["offered", "service_level"], "group_by": ["day", "skill_group"], "period": "last_week"}


@extend_schema_field({"type": "object", "additionalProperties": True, "example": _QUESTION})
class QuestionField(serializers.Field[Any, Any, Any, Any]):
    """A question as `reports/query` takes it, without its paging."""

    def to_representation(self, value: str) -> dict[str, Any]:
        return {name: said for name, said in reporting.asked_of(QueryDict(value)).items() if said}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Give an object, as reports/query takes it.")
        query = as_query(data)
        known = set(reporting.asked_of(QueryDict()))
        if unknown := sorted(set(query) - known):
            raise serializers.ValidationError({name: ["This parameter is not known here."] for name in unknown})
        return reporting.query_of(query)


class ReadersField(serializers.ListField):
    child = OwnRowField(queryset=Agent.objects.all())

    def get_attribute(self, instance: Any) -> list[int]:
        return [reader.person_id for reader in instance.readers.all()]

    def to_representation(self, data: Any) -> list[int]:
        return list(data)


class SavedReportSerializer(AccountSerializer):
    natural_key = "name"
    question = QuestionField(source="query")
    readers = ReadersField(required=False, help_text="Ids of people who are mailed beside the owner, and may take the files.")

    class Meta:
        model = SavedReport
        fields: ClassVar[list[str]] = [
            "id",
            "name",
            "owner",
            "is_shared",
            "question",
            "kind",
            "schedule",
            "weekday",
            "hour",
            "readers",
            "due_at",
            "stopped",
        ]
        read_only_fields: ClassVar[list[str]] = ["owner", "due_at", "stopped"]

    def fill(self, row: Any, attrs: dict[str, Any]) -> None:
        """A key owns no reports: what runs by itself runs with the rights of a person."""
        if getattr(self.asker, "key", None) is not None:
            raise exceptions.PermissionDenied("A report belongs to a person; a key may read and run those that are shared.")
        row.owner_id = row.owner_id or self.asker.pk
        super().fill(row, {name: value for name, value in attrs.items() if name != "readers"})

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        row, at = self.row, timezone.now()
        row.is_shared = row.is_shared and saved.may_share(self.asker)
        try:
            row.name = saved.checked_name(row.name)
        except ValidationError as error:
            raise serializers.ValidationError({"name": error.messages}) from error
        try:
            report_runs.check_schedule(row)
            report_runs.check_file(row, person=self.asker, at=at)
        except ValidationError as error:
            raise serializers.ValidationError(_on_question(error)) from error
        report_runs.plan(row, at=at)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Any:
        return self._saved(validated_data)

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        return self._saved(validated_data)

    def _saved(self, said: dict[str, Any]) -> Any:
        self.row.save()
        if "readers" in said or not self.partial:
            report_runs.set_readers(self.row, said.get("readers", []))
        return self.row


def _on_question(error: ValidationError) -> dict[str, Any]:
    """What is wrong with a question stands under it; what is wrong with the report, under its own field."""
    own = {name: texts for name, texts in error.message_dict.items() if name in ("schedule", "kind")}
    rest = {name: texts for name, texts in error.message_dict.items() if name not in own}
    return own | ({"question": rest} if rest else {})


_REPORT: dict[str, Any] = {
    "id": 4,
    "name": "Queues by day",
    "owner": 12,
    "is_shared": True,
    "question": _QUESTION,
    "kind": "xlsx",
    "schedule": "weekly",
    "weekday": 0,
    "hour": 6,
    "readers": [13],
    "due_at": "2026-11-29T22:00:00Z",
    "stopped": "",
}


class RunRequestSerializer(StrictFields):
    kind = serializers.ChoiceField(choices=SavedReport.Kind.choices, required=False, help_text="Default: as the report says.")
    is_mailed = serializers.BooleanField(default=False, help_text="Tells its owner and readers; only for one's own report.")


class ReportRunSerializer(FileRunSerializer):
    problems = report_runs.PROBLEMS
    kept_for = report_runs.KEPT_FOR

    class Meta:
        model = ReportRun
        fields: ClassVar[list[str]] = [
            "id",
            "report",
            "name",
            "owner",
            "kind",
            "state",
            "problem",
            "n_rows",
            "n_bytes",
            "due_at",
            "created_at",
            "finished_at",
            "gone_at",
            "link",
        ]

    def may_take(self, run: ReportRun, asker: Any) -> bool:
        return report_runs.may_take(run, asker)

    def link_to(self, run: ReportRun, asker: Any) -> str:
        return report_files.link_to(run, actor=asker)


@resource(
    one="saved report",
    many="saved reports",
    example=_REPORT,
    written=["name", "is_shared", "question", "kind", "schedule", "weekday", "hour", "readers"],
    note="A question of `reports/query` under a name, and when it is answered by itself as a file. It belongs to a person; keys "
    "read and run those that are shared.",
)
class SavedReportViewSet(Deletes):
    queryset = SavedReport.objects.prefetch_related("readers")
    serializer_class = SavedReportSerializer
    required_permissions = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), SEE_FIGURES)

    def lock(self) -> None:
        super().lock()
        if not saved.may_change(self.request.user, self.get_object()):
            raise exceptions.PermissionDenied("Only its owner changes a report.")

    @extend_schema(
        summary="Run a saved report",
        description="Puts it in line, with the rights of whoever asks. Follow it and fetch its file under `reports/runs/`.",
        request=RunRequestSerializer,
        responses={201: ReportRunSerializer},
        examples=[OpenApiExample("As CSV", value={"kind": "csv"}, request_only=True)],
    )
    @action(detail=True, methods=["post"], required_permissions={"POST": SEE_FIGURES})
    @once
    def run(self, request: Request, pk: str) -> Response:
        report = self.get_object()
        form = RunRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        said = form.validated_data
        try:
            run = report_runs.open_run(
                actor=request.user,
                data=QueryDict(report.query),
                kind=said.get("kind", report.kind),
                at=timezone.now(),
                report=report,
                is_mailed=said["is_mailed"],
            )
        except ValidationError as error:
            if not hasattr(error, "error_dict"):
                raise  # of the account, not of the report
            raise serializers.ValidationError({"question": error.message_dict}) from error
        place = request.build_absolute_uri(request.path.split("/saved/")[0] + f"/runs/{run.pk}/")
        body = ReportRunSerializer(run, context=self.get_serializer_context()).data
        return Response(body, status=status.HTTP_201_CREATED, headers={"Location": place})


@extend_schema_view(
    list=extend_schema(
        summary="List report runs", description="Of the last week, newest first: one's own, and those one is a reader of."
    ),
    retrieve=extend_schema(summary="Show a report run", description="How far it is, and a link to its file once it is done."),
)
class ReportRunViewSet(AccountReadViewSet):
    queryset = ReportRun.objects.all()
    serializer_class = ReportRunSerializer
    pagination_class = NewestFirst
    required_permissions = dict.fromkeys(("GET", "DELETE"), SEE_FIGURES)

    @extend_schema(summary="Cancel a report run", description="What is done already stays for its week.", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        run = self.get_object()
        if not report_runs.belongs_to(run, request.user):
            raise exceptions.PermissionDenied
        report_runs.cancel(run, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)
