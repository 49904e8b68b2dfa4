"""What retention itself keeps, and how long rows of libraries live, which have no `erasure.py` of their own.

Every app's lines together are `KEPT`; `retention/checks.py` holds them against the models there are.
"""

import datetime as dt

from axes.models import AccessAttempt, AccessAttemptExpiration
from django.contrib.sessions.models import Session
from django.db import transaction

from agents import erasure as agents_erasure
from agents.models import SignInLink
from analytics import erasure as analytics_erasure
from callcenter_site import legal_holds
from callcenter_site.erasure import Kept, Lifetime, delete_rows
from calls import erasure as calls_erasure
from configuration import erasure as configuration_erasure

OWN = (
    Kept("retention.PurgeRun", Lifetime.PROOF),
    # Whom they are about is unreadable a week after their end: the key it stands under is destroyed.
    Kept("retention.DeletionRequest", Lifetime.PROOF, people=("value", "subject_hash", "requested_by", "approved_by")),
    Kept("retention.ErasureStep", Lifetime.PROOF),
    Kept("retention.AccessRequest", Lifetime.PROOF, people=("value", "subject_hash", "requested_by"), files=("key",)),
    Kept("retention.LedgerEntry", Lifetime.PROOF),
    Kept("retention.LedgerHead", Lifetime.PROOF, account=""),
    Kept("retention.LedgerAnchor", Lifetime.PROOF, account=""),
    Kept("retention.SigningKey", Lifetime.INSTALLATION, account=""),
    Kept("retention.FileDeletion", Lifetime.UNTIL_USED, clock="put_at", files=("key",)),
    Kept("retention.AccountGate", Lifetime.CONFIGURATION),
    Kept("retention.LegalHold", Lifetime.CONFIGURATION, people=("number", "number_hash", "agent", "placed_by", "released_by")),
    Kept("retention.HeldCall", Lifetime.CONFIGURATION, people=("call",)),
    Kept("retention.StoragePlan", Lifetime.CONFIGURATION),
    Kept("retention.PlanNotice", Lifetime.CONFIGURATION),
    Kept("retention.BackupObject", Lifetime.CONFIGURATION, files=("key", "loose_key")),
    Kept("retention.BackupRun", Lifetime.CONFIGURATION),
    Kept("retention.RestoreRun", Lifetime.CONFIGURATION),
    Kept("retention.RestoredId", Lifetime.CONFIGURATION),
)

LIBRARIES = (
    # The admin's history: ids of rows and of those who changed them, no names (callcenter_site/admin.py).
    Kept("admin.LogEntry", Lifetime.PEOPLE, clock="action_time", people=("user",), account=""),
    Kept("sessions.Session", Lifetime.UNTIL_USED, clock="expire_date", people=("session_data",), account=""),
    Kept("axes.AccessAttempt", Lifetime.UNTIL_USED, clock="attempt_time", people=("username", "ip_address"), account=""),
    Kept("axes.AccessAttemptExpiration", Lifetime.UNTIL_USED, clock="expires_at", account=""),
    Kept("axes.AccessFailureLog", Lifetime.UNTIL_USED, clock="attempt_time", people=("username", "ip_address"), account=""),
    Kept("axes.AccessLog", Lifetime.UNTIL_USED, clock="attempt_time", people=("username", "ip_address"), account=""),
    Kept("auth.Permission", Lifetime.INSTALLATION, account=""),
    Kept("auth.Group", Lifetime.INSTALLATION, account=""),
    Kept("auth.Group_permissions", Lifetime.INSTALLATION, account=""),
    Kept("contenttypes.ContentType", Lifetime.INSTALLATION, account=""),
    Kept("callcenter_site.JobState", Lifetime.INSTALLATION, account=""),
    Kept("django_celery_beat.PeriodicTask", Lifetime.INSTALLATION, account=""),
    Kept("django_celery_beat.PeriodicTasks", Lifetime.INSTALLATION, account=""),
    Kept("django_celery_beat.IntervalSchedule", Lifetime.INSTALLATION, account=""),
    Kept("django_celery_beat.CrontabSchedule", Lifetime.INSTALLATION, account=""),
    Kept("django_celery_beat.SolarSchedule", Lifetime.INSTALLATION, account=""),
    Kept("django_celery_beat.ClockedSchedule", Lifetime.INSTALLATION, account=""),
)

KEPT: tuple[Kept, ...] = (
    *OWN,
    *analytics_erasure.KEPT,
    *calls_erasure.KEPT,
    *agents_erasure.KEPT,
    *configuration_erasure.KEPT,
    *LIBRARIES,
)


def erase_sign_in_traces(*, at: dt.datetime, failed_before: dt.datetime) -> int:
    """Deletes sessions that have run out, and failed sign-ins and links to set a password from before a moment; how many."""
    with transaction.atomic():
        failed = AccessAttempt.objects.filter(attempt_time__lt=failed_before)
        ids = list(failed.values_list("pk", flat=True)[:10_000])
        delete_rows(AccessAttemptExpiration.objects.filter(access_attempt_id__in=ids))
        links = legal_holds.delete_free(
            SignInLink.objects.filter(created_at__lt=failed_before), clock="created_at", limit=10_000
        ).n_rows
        return links + delete_rows(failed.filter(pk__in=ids)) + delete_rows(Session.objects.filter(expire_date__lt=at))
