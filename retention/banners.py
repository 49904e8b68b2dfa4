"""What must not be overlooked about an account's data, said on every page to those who may act on it."""

import datetime as dt
from typing import Any, NamedTuple

from django.db.models import Count, Exists, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from configuration.models import Account
from retention import deadlines
from retention.deletion import APPROVE
from retention.models import BackupObject, PurgeRun

MAY_SEE_REQUESTS = "retention.view_deletionrequest"
MAY_CONFIRM = "retention.change_purgerun"
MAY_SEE_BACKUPS = "retention.view_backupobject"


class Pressing(NamedTuple):
    n_requests: int
    """Come due within a week, or are overdue."""
    n_overdue: int
    has_waiting_run: bool
    has_bad_backups: bool


NOTHING = Pressing(0, 0, False, False)


def pressing(request: HttpRequest) -> Pressing:
    """Of the account of whoever asks, in one query for each page."""
    found: Pressing | None = getattr(request, "_pressing", None)
    if found is None:
        user: Any = request.user
        account_id = getattr(user, "account_id", None)
        found = NOTHING
        if account_id is not None and any(map(user.has_perm, (MAY_SEE_REQUESTS, MAY_CONFIRM, MAY_SEE_BACKUPS))):
            found = _read(account_id, at=timezone.now())
        request._pressing = found  # type: ignore[attr-defined]
    return found


def _read(account_id: int, *, at: dt.datetime) -> Pressing:
    due = deadlines.pressing_rows(account_id, at=at)
    own = {"account": OuterRef("pk")}
    bad = BackupObject.objects.filter(**own).exclude(error="")
    row = (
        Account.objects.filter(pk=account_id)
        .annotate(n_requests=_count(due), n_overdue=_count(due.filter(due_at__lt=at)))
        .annotate(waits=Exists(PurgeRun.objects.filter(state=PurgeRun.State.WAITING, **own)), is_bad=Exists(bad))
        .values_list("n_requests", "n_overdue", "waits", "is_bad")
        .first()
    )
    return Pressing(row[0], row[1], bool(row[2]), bool(row[3])) if row else NOTHING


def _count(rows: Any) -> Any:
    counted = rows.order_by().values("account_id").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def banners(request: HttpRequest) -> list[tuple[str, str]]:
    """What is said, and the route where it is dealt with."""
    user: Any = request.user
    if not getattr(user, "is_authenticated", False):
        return []
    now, found = pressing(request), []
    if now.n_overdue and user.has_perm(APPROVE):
        text = ngettext("%d deletion request is overdue.", "%d deletion requests are overdue.", now.n_overdue) % now.n_overdue
        found.append((text, "admin:retention_deletionrequest_changelist"))
    if now.has_waiting_run and user.has_perm(MAY_CONFIRM):
        text = _("A purge waits for your confirmation: far more than usual would go.")
        found.append((text, "admin:retention_purgerun_changelist"))
    if now.has_bad_backups and user.has_perm(MAY_SEE_BACKUPS):
        found.append((_("Some backups could not be made or read back."), "admin:retention_backupobject_changelist"))
    return found
