"""Reports as files that a worker writes: asked for, or due by the timetable of a saved report; kept for a week, told by mail.

What must never happen: somebody gets a figure or a name that they would not see on the screen. So the worker reads the question
anew with the rights its owner has then, and notes what they saw; nobody takes the file who sees less, the owner included. A
timetable's run is one row per report and due time, so two workers that look at once make one.
"""

import datetime as dt
import logging
import smtplib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.mail import EmailMessage
from django.db import IntegrityError, transaction
from django.http import QueryDict
from django.urls import reverse
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agents import saved
from agents.models import Agent
from agents.querysets import own_groups, sees_account
from analytics import reporting
from analytics.models import CallTotal, ReportMail, ReportReader, ReportRun, SavedReport
from callcenter_site import audit, celery, file_runs
from configuration.access import ENTER_ADMIN, SEE_FIGURES
from configuration.api_keys import ApiKeyActor
from configuration.models import Account, Role, in_one_line

log = logging.getLogger(__name__)

MOST_AT_WORK = 3
"""Reports of one account that people wait for; those of the timetable are written besides."""
MOST_SAVED = 100
MOST_READERS = 50
MOST_ROWS = {"csv": 100_000, "xlsx": 100_000, "pdf": 5_000}
KEPT_FOR = dt.timedelta(days=7)
TRY_MAIL_AGAIN = tuple(dt.timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
MAIL_LEASE = dt.timedelta(minutes=2)
PROBLEMS: dict[str, Any] = {
    "forbidden": gettext_lazy("Whoever asked for this report may no longer see figures."),
    "changed": gettext_lazy("Something the report asks for is gone, or not seen by its owner any more. Build it again."),
    "too_long": gettext_lazy(
        "The report has more rows than such a file holds. Choose longer steps, a shorter period or filters."
    ),
    "failed": gettext_lazy("The report failed several times. The failure is in the portal's log."),
    "late": gettext_lazy("The report was not finished within a week."),
}


# --- Keeping one -----------------------------------------------------------------------------------------------------


def save_report(*, person: Any, name: str, data: QueryDict, is_shared: bool, at: dt.datetime) -> SavedReport:
    """Keeps the question of an address; under a name of one's own that is there already, in its place. Raises
    `ValidationError`."""
    reporting.read(data, actor=person, at=at, limit=1)
    query = reporting.query_of(data)
    kept: SavedReport = saved.keep(
        SavedReport, person=person, name=name, is_shared=is_shared, most=MOST_SAVED, among={}, query=query
    )
    if kept.schedule:  # a question of fixed days has no timetable
        try:
            check_schedule(kept)
        except ValidationError:
            kept.schedule = SavedReport.Schedule.NEVER
        plan(kept, at=at)
        kept.save(update_fields=["schedule", "due_at", "stopped"])
    return kept


def check_schedule(report: SavedReport) -> None:
    """Raises `ValidationError` for a timetable that would give the same days for ever, or more columns than fit."""
    if report.schedule and not _period_of(report.query):
        text = _("A report that runs by itself needs a period that moves with the days, like yesterday or last week.")
        raise ValidationError({"schedule": text})


def check_file(report: SavedReport, *, person: Any, at: dt.datetime) -> None:
    """Raises `ValidationError` where the question cannot be read, or not be written as such a file."""
    question = reporting.read(QueryDict(report.query), actor=person, at=at, limit=1)
    try:
        reporting.check_columns(question, report.kind)
    except ValidationError as error:
        raise ValidationError({"kind": error.messages}) from error


def _period_of(query: str) -> bool:
    """Whether a question names its period, rather than days."""
    data = QueryDict(query)
    return not data.get("from") and not data.get("to")


def plan(report: SavedReport, *, at: dt.datetime) -> None:
    """Sets when it runs next. A report that stopped goes on."""
    report.stopped = ""
    report.due_at = next_due(report, after=at) if report.schedule else None


def next_due(report: SavedReport, *, after: dt.datetime) -> dt.datetime:
    """The next moment of a timetable, by the clock of the account. An hour that the clock skips comes as the one behind it."""
    zone = report.account.zone
    day = after.astimezone(zone).date()
    while True:
        fits = {
            SavedReport.Schedule.DAILY: True,
            SavedReport.Schedule.WEEKLY: day.weekday() == report.weekday,
            SavedReport.Schedule.MONTHLY: day.day == 1,
        }[SavedReport.Schedule(report.schedule)]
        moment = dt.datetime.combine(day, dt.time(report.hour), tzinfo=zone).astimezone(dt.UTC)
        if fits and moment > after:
            return moment
        day += dt.timedelta(days=1)


def possible_readers(person: Any) -> list[Agent]:
    """People of the account who may see what somebody's reports hold, but not this one; by name."""
    scope, group_ids = _sight(person)
    rows = Agent.objects.visible_to(person).filter(is_active=True).exclude(pk=person.pk).select_related("role", "account")
    found = [one for one in rows if may_read(one) and covers(one, scope, group_ids)]
    return sorted(found, key=lambda one: str(one.name).casefold())


def set_readers(report: SavedReport, people: Iterable[Agent]) -> None:
    """Raises `ValidationError` for whoever may not see what the report holds."""
    wanted = {one.pk: one for one in people}
    if len(wanted) > MOST_READERS:
        raise ValidationError({"readers": _("At most %(n)d people.") % {"n": MOST_READERS}})
    there = set(report.readers.values_list("person_id", flat=True))
    if new := set(wanted) - there:
        allowed = {one.pk for one in possible_readers(report.owner)}
        if new - allowed:
            text = _("Some of these people do not see all that the report holds. Choose people whose role sees as much as yours.")
            raise ValidationError({"readers": text})
    ReportReader.objects.filter(report=report, person_id__in=there - set(wanted)).delete()
    for pk in sorted(set(wanted) - there):
        ReportReader.objects.create(account_id=report.account_id, report=report, person_id=pk)


# --- Who may take a file ---------------------------------------------------------------------------------------------


def may_read(person: Any) -> bool:
    return bool(person.is_active and person.has_perm(SEE_FIGURES) and person.has_perm(ENTER_ADMIN))


def covers(person: Any, scope: str, group_ids: Sequence[int]) -> bool:
    """Whether somebody sees at least what was seen."""
    if sees_account(person):
        return True
    if scope != Role.DataScope.GROUPS or person.data_scope != Role.DataScope.GROUPS:
        return False
    return set(group_ids) <= set(own_groups(person).values_list("skill_group_id", flat=True))


def may_take(run: ReportRun, actor: Any) -> bool:
    """Whether somebody may have the file now: its owner, or a reader of its report, who sees as much as stands in it."""
    if actor.account_id != run.account_id or not actor.has_perm(SEE_FIGURES):
        return False
    key = getattr(actor, "key", None)
    if key is not None:
        return bool(run.api_key_id == key.pk)
    is_owner = run.owner_id is not None and run.owner_id == actor.pk
    if not is_owner and not _is_reader(run, actor):
        return False
    is_own_work = is_owner and run.scope == Role.DataScope.OWN
    return is_own_work or covers(actor, run.scope, run.group_ids)


def _is_reader(run: ReportRun, person: Any) -> bool:
    return run.report_id is not None and ReportReader.objects.filter(report_id=run.report_id, person_id=person.pk).exists()


def belongs_to(run: ReportRun, actor: Any) -> bool:
    key = getattr(actor, "key", None)
    return run.api_key_id == key.pk if key is not None else run.owner_id is not None and run.owner_id == actor.pk


def _sight(actor: Any) -> tuple[str, list[int]]:
    if sees_account(actor):
        return Role.DataScope.ACCOUNT, []
    if actor.data_scope == Role.DataScope.GROUPS:
        return Role.DataScope.GROUPS, sorted(own_groups(actor).values_list("skill_group_id", flat=True))
    return Role.DataScope.OWN, []


# --- Asking for one --------------------------------------------------------------------------------------------------


def open_run(
    *,
    actor: Any,
    data: QueryDict,
    kind: str,
    at: dt.datetime,
    report: SavedReport | None = None,
    is_mailed: bool = False,
) -> ReportRun:
    """Puts a report in line. Raises `ValidationError` where it cannot be read, or where enough are at work. Mail goes to the
    readers of one's own report only."""
    if getattr(actor, "account_id", None) is None or not actor.has_perm(SEE_FIGURES):
        raise PermissionDenied
    if kind not in SavedReport.Kind.values:
        raise ValidationError({"kind": _("Choose CSV, XLSX or PDF.")})
    question = reporting.read(data, actor=actor, at=at, limit=1)
    reporting.check_columns(question, kind)
    key = getattr(actor, "key", None)
    is_own = report is not None and key is None and saved.may_change(actor, report)
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=actor.account_id)  # two at once are counted one after the other
        at_work = ReportRun.objects.for_account(actor.account_id).filter(state__in=ReportRun.AT_WORK, due_at=None)
        if at_work.count() >= MOST_AT_WORK:
            text = _("%(n)d reports of your account are being written. Wait for one of them, or cancel it.")
            raise ValidationError(text, params={"n": MOST_AT_WORK})
        run: ReportRun = ReportRun.objects.create(
            account=actor.account,
            report=report,
            owner_id=None if key is not None else actor.pk,
            api_key=key,
            name=report.name if report else "",
            query=reporting.query_of(data),
            kind=kind,
            language=translation.get_language() or settings.LANGUAGE_CODE,
            is_mailed=is_mailed and is_own,
            created_at=at,
        )
        transaction.on_commit(lambda: nudge(run.pk))
    return run


def start_due(*, at: dt.datetime) -> int:
    """Puts the reports in line whose time has come; how many. What was missed while nothing ran is made up for once."""
    n_started = 0
    due = SavedReport.objects.filter(due_at__lte=at, account__terminated_at=None)
    due = due.select_related("account", "owner__role", "owner__account")
    for report in due.order_by("due_at")[:500]:
        n_started += _start(report, at)
    return n_started


def _start(report: SavedReport, at: dt.datetime) -> bool:
    seen, due_at = report.due_at, report.due_at
    if due_at is None:
        return False
    while (after := next_due(report, after=due_at)) <= at:
        due_at = after
    rows = SavedReport.objects.filter(pk=report.pk, due_at=seen)
    if not may_read(report.owner) or report.owner.account_id != report.account_id:
        rows.update(due_at=None, stopped=SavedReport.Stopped.OWNER)
        return False
    try:
        with transaction.atomic():
            if rows.update(due_at=after) != 1:
                return False  # another worker was quicker, or its owner changed it
            run = ReportRun.objects.create(
                account=report.account,
                report=report,
                owner=report.owner,
                name=report.name,
                query=report.query,
                kind=report.kind,
                language=report.account.language,
                due_at=due_at,
                is_mailed=True,
                created_at=at,
            )
            transaction.on_commit(lambda: nudge(run.pk))
    except IntegrityError:
        return False
    return True


def nudge(run_id: int) -> None:
    from analytics.tasks import write_report  # tasks call this module

    celery.nudge(write_report, run_id)


def cancel(run: ReportRun, *, at: dt.datetime) -> bool:
    return file_runs.cancel(run, at=at)


# --- Writing it ------------------------------------------------------------------------------------------------------


def work_on(run_id: int, *, clock: Callable[[], dt.datetime] = timezone.now) -> bool:
    """Writes a run; False if there was nothing to do or somebody else is at it."""
    at = clock()
    if not file_runs.take_up(ReportRun.objects.filter(pk=run_id), at=at):
        return False
    run: ReportRun = ReportRun.objects.select_related("account", "api_key__account", "report").get(pk=run_id)
    if run.lease > file_runs.MAX_LEASES:
        _fail(run, "failed", at)
        return True
    actor = actor_of(run, at=at)
    if actor is None:
        _fail(run, "forbidden", at)
        return True
    with translation.override(run.language), timezone.override(run.account.zone), audit.acting(actor):
        file_runs.work(run, lambda: _write(run, actor, clock), clock=clock)
    return True


def actor_of(run: ReportRun, *, at: dt.datetime) -> Any | None:
    """Whoever asked, if they still may see figures."""
    if not run.account.is_open:
        return None
    if run.api_key is not None:
        key = ApiKeyActor(run.api_key) if run.api_key.is_usable(at=at) else None
        return key if key is not None and key.has_perm(SEE_FIGURES) else None
    person = Agent.objects.select_related("account", "role").filter(pk=run.owner_id or 0).first()
    return person if person is not None and person.account_id == run.account_id and may_read(person) else None


def _write(run: ReportRun, actor: Any, clock: Callable[[], dt.datetime]) -> None:
    # A timetable's report is about the days before it was due, however late it is written.
    try:
        question = reporting.read(QueryDict(run.query), actor=actor, at=run.due_at or run.created_at, limit=1)
        scope, group_ids = _sight(actor)
        n_rows = 0

        def tell(n: int) -> None:
            nonlocal n_rows
            n_rows = n
            file_runs.mark(run, at=clock(), n_rows=n)

        rows = reporting.all_rows(question, actor=actor, most=MOST_ROWS[run.kind], tell=tell)
        title = run.name or _("Report")
        file = reporting.write_file(question, rows, run.kind, actor=actor, title=title, language=run.language)
    except ValidationError:
        _fail(run, "changed", clock())
        return
    except reporting.TooLong:
        _fail(run, "too_long", clock())
        return

    def done() -> dict[str, Any]:
        audit.log_export(CallTotal, n_rows, actor=actor, report=run.pk, kind=run.kind)
        _announce(run, at=clock(), with_readers=True)
        return {"n_rows": n_rows, "scope": scope, "group_ids": group_ids}

    with file:
        file_runs.store(run, file, clock=clock, done=done)


def _fail(run: ReportRun, problem: str, at: dt.datetime) -> None:
    """A timetable goes on after a failure that may pass, and stops where it would fail for ever."""
    file_runs.fail(run, problem, at=at)
    if not ReportRun.objects.filter(pk=run.pk, lease=run.lease, state=ReportRun.State.FAILED).exists():
        return
    _announce(run, at=at, with_readers=False)
    reason = {"forbidden": SavedReport.Stopped.OWNER, "changed": SavedReport.Stopped.CHANGED}.get(problem)
    if run.due_at is not None and reason is not None:
        SavedReport.objects.filter(pk=run.report_id or 0, query=run.query).update(due_at=None, stopped=reason)


def _announce(run: ReportRun, *, at: dt.datetime, with_readers: bool) -> None:
    if not run.is_mailed or run.owner_id is None:
        return
    people = {run.owner_id}
    if with_readers and run.report_id is not None:
        people |= set(ReportReader.objects.filter(report_id=run.report_id).values_list("person_id", flat=True))
    for pk in sorted(people):
        ReportMail.objects.get_or_create(run=run, person_id=pk, defaults={"account_id": run.account_id, "next_try_at": at})


# --- Telling of it ---------------------------------------------------------------------------------------------------


def send_mails(*, at: dt.datetime, limit: int = 100) -> int:
    """Tells people that their reports are there, or why not; how many were told."""
    due = ReportMail.objects.filter(state=ReportMail.State.WAITING, next_try_at__lte=at).order_by("next_try_at", "pk")
    n_sent = 0
    for mail in list(due.select_related("run__account", "person__role", "person__account")[:limit]):
        claimed = ReportMail.objects.filter(pk=mail.pk, state=ReportMail.State.WAITING, next_try_at=mail.next_try_at)
        # The lease is also what is left where this process dies: the mail is due again then.
        if claimed.update(next_try_at=at + MAIL_LEASE, n_tries=mail.n_tries + 1) == 1:
            n_sent += _send(mail, at)
    return n_sent


def _send(mail: ReportMail, at: dt.datetime) -> bool:
    rows = ReportMail.objects.filter(pk=mail.pk)
    run, person = mail.run, mail.person
    is_there = run.state == ReportRun.State.DONE
    if not may_read(person) or (is_there and not may_take(run, person)):
        rows.update(state=ReportMail.State.SKIPPED, next_try_at=None)
        return False
    try:
        _message(run, person).send()
    except (smtplib.SMTPException, OSError) as error:
        log.info("mail %d of a report was not taken: %s", mail.pk, type(error).__name__)
        if mail.n_tries >= len(TRY_MAIL_AGAIN):
            rows.update(state=ReportMail.State.FAILED, next_try_at=None)
        else:
            rows.update(next_try_at=at + TRY_MAIL_AGAIN[mail.n_tries])
        return False
    rows.update(state=ReportMail.State.SENT, next_try_at=None)
    return True


def _message(run: ReportRun, person: Agent) -> EmailMessage:
    """A link that needs signing in, and no figure: mail is read by more than those it is for."""
    account = run.account
    with translation.override(account.language), timezone.override(account.zone):
        name = in_one_line(run.name) or _("Report")
        link = f"{settings.PUBLIC_URL}{reverse('admin:analytics_reportrun_change', args=[run.pk])}"
        if run.state == ReportRun.State.DONE:
            until = formats.date_format(timezone.localtime(run.created_at + KEPT_FOR), "DATETIME_FORMAT")
            subject = _("Report: %(name)s") % {"name": name}
            lines = [
                _("The report “%(name)s” is there. Sign in to take it:") % {"name": name},
                "",
                link,
                "",
                _("It is kept until %(until)s (%(zone)s).") % {"until": until, "zone": account.time_zone},
            ]
        else:
            subject = _("Report failed: %(name)s") % {"name": name}
            why = str(PROBLEMS.get(run.problem, ""))
            lines = [_("The report “%(name)s” could not be written.") % {"name": name}, why, "", link]
        mail = EmailMessage(subject, "\n".join(lines), to=[person.email])
    mail.extra_headers["Auto-Submitted"] = "auto-generated"
    return mail


# --- Looking after them ----------------------------------------------------------------------------------------------


def continue_runs(*, clock: Callable[[], dt.datetime] = timezone.now) -> int:
    """Takes up runs whose nudge was lost or whose worker died; how many."""
    due = ReportRun.objects.filter(file_runs.is_due(clock())).order_by("created_at").values_list("pk", flat=True)
    return sum(work_on(pk, clock=clock) for pk in list(due))


def runs_to_forget(*, at: dt.datetime) -> Any:
    return ReportRun.objects.filter(created_at__lt=at - KEPT_FOR)


def forget_runs(*, at: dt.datetime) -> int:
    """Removes reports older than a week, each file before its row; how many rows went."""
    return file_runs.forget(runs_to_forget(at=at), at=at)
