"""The audit log: who did what to which row. It holds ids; names, emails and addresses stay where they are erased with
their person."""

from typing import Any

from auditlog.middleware import AuditlogMiddleware
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest


class AuditMiddleware(AuditlogMiddleware):
    """Names the person behind each logged change by id only; the package's own also copies email and address."""

    def get_extra_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"actor_id": request.user.pk if request.user.is_authenticated else None}


def log_access(row: Model, *, actor_id: int | None, account_id: int, **ids: int) -> LogEntry:
    """Says that somebody looked at a row; `ids` name what it belongs to."""
    return LogEntry.objects.create(
        content_type=ContentType.objects.get_for_model(row),
        object_pk=str(row.pk),
        object_id=row.pk,
        object_repr=f"{row._meta.label}#{row.pk}",
        action=LogEntry.Action.ACCESS,
        actor_id=actor_id,
        additional_data={"account": account_id, **ids},
    )
