"""What `manage.py doctor` asks about backups and what was promised."""

import datetime as dt

from django.utils import timezone

from callcenter_site.doctor.findings import Examined, examines
from configuration.models import Account
from retention.models import BackupObject, DeletionRequest

OLDEST = dt.timedelta(hours=50)
"""A night, the next one, and an hour for each."""


@examines("backups", otherwise="See what the part on the database says.")
def check_backups(examined: Examined) -> None:
    now = timezone.now()
    backed_up = BackupObject.objects.filter(kind=BackupObject.MANIFEST, written_at__gte=now - OLDEST).values("account")
    late = Account.objects.filter(terminated_at=None, created_at__lt=now - OLDEST).exclude(pk__in=backed_up).count()
    examined.within(
        "nightly",
        f"{late} accounts were not backed up for two nights." if late else "Every account was backed up in the last two nights.",
        is_ok=not late,
        mend="The page *Backups* of the account, or `manage.py back_up`, says why.",
    )
    broken = BackupObject.objects.exclude(error="").count()
    examined.within(
        "readable",
        f"{broken} objects could not be written or read." if broken else "Each that was read back was whole.",
        is_ok=not broken,
        mend="`manage.py back_up --verify` names them.",
    )


@examines("backups", otherwise="See what the part on the database says.")
def check_requests(examined: Examined) -> None:
    overdue = DeletionRequest.objects.filter(state__in=DeletionRequest.OPEN, due_at__lt=timezone.now()).count()
    examined.within(
        "deletion requests",
        f"{overdue} are past the day they were promised for." if overdue else "None is overdue.",
        is_ok=not overdue,
        mend="The page *Deletion requests* of the account says what each waits for.",
    )
