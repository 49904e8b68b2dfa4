"""The audit log: who did what to which row. It holds ids; names, emails and addresses stay where they are erased with
their person."""

from typing import Any

from auditlog.middleware import AuditlogMiddleware
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.http import HttpRequest


class AuditMiddleware(AuditlogMiddleware):
    """Names the person behind each logged change by id only; the package's own also copies email and address."""

    def get_extra_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"actor_id": request.user.pk if request.user.is_authenticated else None}


@receiver(pre_save, sender=LogEntry, dispatch_uid="rows-by-id")
def name_row_by_id(sender: Any, instance: LogEntry, **kwargs: Any) -> None:
    """What a row is called may be a person's name; the package would copy it into the entry."""
    model = instance.content_type.model_class()
    instance.object_repr = f"{model._meta.label}#{instance.object_pk}"


def unsaid(value: str) -> str:
    """What an entry holds in place of a value that is personal or secret: that the field changed, and nothing of it."""
    return "…"


def log_update(row: Model, **changes: tuple[Any, Any]) -> LogEntry:
    """Says that fields of a row changed, each from one value to another, where no `save` says it: a guarded update sends
    no signal."""
    said = {name: [str(value) for value in pair] for name, pair in changes.items()}
    return LogEntry.objects.log_create(row, action=LogEntry.Action.UPDATE, changes=said)


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
