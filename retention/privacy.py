"""What an auditor asks of an account: what is kept, since when, how much, what goes next, and what proves it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Max, Min, Q, Sum
from django.utils.formats import number_format
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from agents.models import Agent, StatusChange
from analytics.models import CallTotal, ReportRun
from calls.models import Call, CallEvent, ExportRun, IncomingSound, Recording, Voicemail
from configuration.models import Account
from retention import deadlines, holds, plans, policy, purge
from retention.models import (
    BackupObject,
    BackupRun,
    DeletionRequest,
    FileDeletion,
    LedgerAnchor,
    LedgerEntry,
    LedgerHead,
    PurgeRun,
    StoragePlan,
)
from retention.wording import days_in_words

COUNTED_FOR_SECONDS = 60

PROMISE: list[tuple[Any, Any, Any, Any]] = [
    (
        gettext_lazy("Agents and administrators"),
        gettext_lazy("until the account ends, or the person asks"),
        gettext_lazy("30 days"),
        gettext_lazy("sessions, caches and backups"),
    ),
    (
        gettext_lazy("Calls, recordings, voicemail, IVR input, figures of persons"),
        gettext_lazy("6 calendar months after the call ended; longer only under a storage plan; until a request to delete"),
        gettext_lazy("the next daily run; 30 days of a request"),
        gettext_lazy("object storage and backups"),
    ),
    (gettext_lazy("Configuration"), gettext_lazy("until the account ends"), gettext_lazy("30 days"), gettext_lazy("backups")),
    (
        gettext_lazy("Raw events, exports, uploads on their way"),
        gettext_lazy("7 days, exports for a day"),
        gettext_lazy("the next daily run"),
        gettext_lazy("object storage"),
    ),
    (
        gettext_lazy("Counts that name no one"),
        gettext_lazy("6 calendar months, by their own day"),
        gettext_lazy("the next daily run"),
        gettext_lazy("backups"),
    ),
]
"""Data, kept until, then gone within, also lives in."""


@dataclass(frozen=True, slots=True)
class Category:
    name: Any
    n: int
    since: dt.date | None = None
    n_bytes: int | None = None
    kept: str = ""
    next_on: dt.date | None = None
    """The first day on which the oldest of it is gone; None: by no clock."""
    n_next: int | None = None

    @property
    def n_said(self) -> str:
        return number_format(self.n, force_grouping=True)

    @property
    def n_next_said(self) -> str:
        return number_format(self.n_next or 0, force_grouping=True)


def categories(account: Account, *, at: dt.datetime) -> list[Category]:
    """Counting large tables takes a while, so what was counted within the last minute is shown again."""
    key = f"retention:kept:{account.pk}:{get_language()}"
    found: list[Category] | None = cache.get(key)
    if found is None:
        found = _count(account, at)
        cache.set(key, found, COUNTED_FOR_SECONDS)
    return found


def _count(account: Account, at: dt.datetime) -> list[Category]:
    months = policy.months(account, today=policy.local_day(account, at))
    kept = _("%(n)s calendar months") % {"n": months}

    def rows(model: Any) -> Any:
        return model.objects.for_account(account)

    def gone_on(day: dt.date | None) -> dt.date | None:
        return policy.last_day_kept(day, months) + dt.timedelta(days=1) if day else None

    def local(moment: dt.datetime | None) -> dt.date | None:
        return policy.local_day(account, moment) if moment else None

    def aged(name: Any, model: Any, clock: str) -> Category:
        facts = rows(model).aggregate(n=Count("pk"), since=Min(clock))
        since = local(facts["since"])
        return Category(name, facts["n"], since, None, kept, gone_on(since))

    def short(name: Any, model: Any, clock: str, text: str, pause: dt.timedelta) -> Category:
        facts = rows(model).aggregate(n=Count("pk"), since=Min(clock))
        since = local(facts["since"])
        return Category(name, facts["n"], since, None, text, since + pause if since else None)

    calls = rows(Call).aggregate(n=Count("pk"), since=Min("ended_on"))
    n_next = rows(Call).filter(ended_on=calls["since"]).count() if calls["since"] else None
    sounds = [
        rows(model).aggregate(n=Count("pk"), since=Min("recorded_at"), size=Sum("n_bytes")) for model in (Recording, Voicemail)
    ]
    firsts = [local(sound["since"]) for sound in sounds]
    return [
        Category(gettext_lazy("Calls"), calls["n"], calls["since"], None, kept, gone_on(calls["since"]), n_next),
        *(
            Category(name, sound["n"], first, sound["size"] or 0, kept, gone_on(first))
            for name, sound, first in zip((gettext_lazy("Recordings"), gettext_lazy("Voicemail")), sounds, firsts, strict=True)
        ),
        aged(gettext_lazy("Agents' status changes"), StatusChange, "ended_at"),
        aged(gettext_lazy("Counts that name no one"), CallTotal, "slot"),
        short(gettext_lazy("Raw events"), CallEvent, "received_at", _("a week after their call closed"), policy.RAW_EVENT_AGE),
        short(gettext_lazy("Uploads whose call is not known"), IncomingSound, "received_at", _("a week"), policy.RAW_EVENT_AGE),
        short(gettext_lazy("Exports"), ExportRun, "created_at", _("a day"), dt.timedelta(days=1)),
        short(gettext_lazy("Files of reports"), ReportRun, "created_at", _("a week"), dt.timedelta(days=7)),
        Category(
            gettext_lazy("Agents and administrators"),
            rows(Agent).count(),
            kept=_("until the account ends, or the person asks"),
        ),
    ]


def state(account: Account, *, counting: Sequence[StoragePlan], at: dt.datetime) -> dict[str, Any]:
    """Everything the page of an account shows beside its categories. `counting`: its plans of today (`policy.py`)."""
    today = policy.local_day(account, at)
    runs = PurgeRun.objects.for_account(account)
    head = LedgerHead.objects.first()
    lapsed = {one.plan.pk for one in plans.lapsed(counting, today=today)}
    return {
        "months": policy.longest(counting),
        "months_after": plans.months_after(counting, today=today),
        "plans": [(plan, plan.pk in lapsed, plan.to_day + policy.GRACE if plan.to_day else None) for plan in counting],
        "plans_to_come": list(StoragePlan.objects.for_account(account).filter(from_day__gt=today).order_by("from_day")),
        "last_done": runs.filter(state=PurgeRun.State.DONE).first(),
        "open_run": runs.filter(state__in=PurgeRun.OPEN).first(),
        "is_switched_off": purge.is_switched_off(account),
        "holds": list(holds.open_holds(account)),
        "files": FileDeletion.objects.for_account(account).aggregate(n=Count("pk"), oldest=Min("put_at")),
        "n_blocked": FileDeletion.objects.for_account(account).filter(state=FileDeletion.State.BLOCKED).count(),
        "n_entries": LedgerEntry.objects.for_account(account).count(),
        "anchored_at": LedgerAnchor.objects.aggregate(last=Max("anchored_at"))["last"],
        "verified_at": head.verified_at if head else None,
        "n_problems": head.n_problems if head else 0,
        "backups": BackupObject.objects.for_account(account)
        .without_manifest()
        .aggregate(
            n=Count("pk"), n_bad=Count("pk", filter=~Q(error="")), size=Sum("n_bytes"), first=Min("day"), read=Max("verified_at")
        ),
        "open_requests": [
            (one, days_in_words(one.days_left(at=at)), one.days_left(at=at) < deadlines.AHEAD[0])
            for one in DeletionRequest.objects.for_account(account)
            .filter(state__in=DeletionRequest.OPEN)
            .order_by("due_at", "pk")
        ],
        "last_night": BackupRun.objects.for_account(account).filter(state=BackupRun.State.DONE).first(),
    }


def warnings(account: Account, *, counting: Sequence[StoragePlan], at: dt.datetime) -> list[tuple[Any, str]]:
    """What administrators must look at, and the route where."""
    today = policy.local_day(account, at)
    found: list[tuple[Any, str]] = []
    late = DeletionRequest.objects.for_account(account).filter(state__in=DeletionRequest.OPEN, due_at__lt=at)
    if n := late.count():
        text = ngettext("%d deletion request is overdue.", "%d deletion requests are overdue.", n) % n
        found.append((text, "admin:retention_deletionrequest_changelist"))
    rest = plans.months_after(counting, today=today)
    for one in plans.lapsed(counting, today=today):
        text = _("A storage plan has lapsed. Calls older than %(months)s months are deleted after %(day)s.")
        found.append((text % {"day": one.counts_to.isoformat(), "months": rest}, "admin:retention_storageplan_changelist"))
    if PurgeRun.objects.for_account(account).filter(state=PurgeRun.State.WAITING).exists():
        text = _("A purge waits for your confirmation: far more than usual would go.")
        found.append((text, "admin:retention_purgerun_changelist"))
    if FileDeletion.objects.for_account(account).filter(state=FileDeletion.State.BLOCKED).exists():
        found.append((_("The store does not delete some files."), "admin:retention_filedeletion_changelist"))
    if BackupObject.objects.for_account(account).exclude(error="").exists():
        found.append((_("Some backups could not be made or read back."), "admin:retention_backupobject_changelist"))
    head = LedgerHead.objects.first()
    if head is not None and head.n_problems:
        text = _("The ledger does not verify. Somebody may have tampered with it.")
        found.append((text, "admin:retention_ledgerentry_changelist"))
    return found
