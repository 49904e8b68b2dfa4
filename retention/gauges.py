"""What `/metrics` says of the promises about how long data live."""

import datetime as dt

from django.db.models import Count, Max, Min
from django.utils import timezone

from callcenter_site.prometheus import Family, family
from configuration.models import Account
from retention.models import AccessRequest, BackupRun, DeletionRequest, FileDeletion, PurgeRun

DAY = dt.timedelta(days=1)
_ANSWERS = {("at work",): AccessRequest.AT_WORK, ("failed",): [AccessRequest.State.FAILED]}


def gauges() -> list[Family]:
    at = timezone.now()
    return [*_purges(at), *_files(at), *_requests(at), *_backups(at)]


def _purges(at: dt.datetime) -> list[Family]:
    """A failed run counts while no other has begun since: the account's newest is the failed one."""
    newest = PurgeRun.objects.order_by().values("account_id").annotate(newest=Max("pk")).values_list("newest", flat=True)
    runs = list(PurgeRun.objects.filter(pk__in=list(newest)).order_by())
    by_state = {(state.value,): float(sum(run.state == state for run in runs)) for state in PurgeRun.State if state != "done"}
    open_runs = [run for run in runs if run.state in PurgeRun.OPEN]
    n_due, n_deleted = sum(run.n_due for run in open_runs), sum(run.n_deleted for run in open_runs)
    silent = [run.heartbeat_at for run in runs if run.state == PurgeRun.State.RUNNING]
    done = _oldest_of_open_accounts(PurgeRun.objects.filter(state=PurgeRun.State.DONE))
    return [
        family("portal_purge_runs", "Accounts whose newest purge is not done, by its state.", by_state, ["state"]),
        family("portal_purge_calls_due", "Calls that the open purges began with.", float(n_due)),
        family("portal_purge_rows_deleted", "Rows that they have deleted so far.", float(n_deleted)),
        family("portal_purge_silent_seconds", "Since the last batch of a running purge.", _since(min(silent, default=None), at)),
        family("portal_purge_oldest_success_seconds", "Since the last purge of the account whose is oldest.", _since(done, at)),
    ]


def _files(at: dt.datetime) -> list[Family]:
    rows = FileDeletion.objects.order_by().values("state").annotate(n=Count("pk"), oldest=Min("put_at"))
    found = {row["state"]: row for row in rows}
    numbers = {(state.value,): float(found.get(state.value, {}).get("n", 0)) for state in FileDeletion.State}
    oldest = min((row["oldest"] for row in found.values()), default=None)
    return [
        family("portal_files_to_delete", "Files whose rows have gone, and which are still in the store.", numbers, ["state"]),
        family("portal_files_to_delete_oldest_seconds", "Since the first of them was to go.", _since(oldest, at)),
    ]


def _requests(at: dt.datetime) -> list[Family]:
    deletions = DeletionRequest.objects.filter(state__in=DeletionRequest.OPEN).order_by()
    answers = AccessRequest.objects.order_by()
    due = deletions.aggregate(first=Min("due_at"))["first"]
    answered = {state: float(answers.filter(state__in=states).count()) for state, states in _ANSWERS.items()}
    left = (due - at).total_seconds() if due else 30 * DAY.total_seconds()
    return [
        family("portal_deletion_requests_open", "Deletion requests that are not over.", float(deletions.count())),
        family("portal_deletion_requests_overdue", "Those past their day.", float(deletions.filter(due_at__lte=at).count())),
        family("portal_deletion_requests_due_seconds", "Until the first of them is due; 30 days: none is open.", left),
        family("portal_access_requests", "Access requests, those at work and those that failed.", answered, ["state"]),
    ]


def _backups(at: dt.datetime) -> list[Family]:
    done = _oldest_of_open_accounts(BackupRun.objects.filter(state=BackupRun.State.DONE))
    failed = BackupRun.objects.filter(state=BackupRun.State.FAILED, started_at__gte=at - DAY).count()
    return [
        family("portal_backup_oldest_seconds", "Since the last backup of the account whose is oldest.", _since(done, at)),
        family("portal_backups_failed", "Backups that failed in the last day and were not made up for.", float(failed)),
    ]


def _oldest_of_open_accounts(runs: object) -> dt.datetime | None:
    """The last success of the account where it is furthest back; of one that had none yet, when it was opened."""
    last = dict(runs.values_list("account_id").order_by("account_id").annotate(at=Max("finished_at")))  # type: ignore[attr-defined]
    accounts = Account.objects.filter(terminated_at=None).values_list("pk", "created_at")
    return min((last.get(pk) or created_at for pk, created_at in accounts), default=None)


def _since(moment: dt.datetime | None, at: dt.datetime) -> float:
    return max(0.0, (at - moment).total_seconds()) if moment is not None else 0.0
