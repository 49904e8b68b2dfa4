"""Reports that a worker writes: with whose rights, when by themselves, who is told, who may take them, how long they stay."""

import csv
import datetime as dt
import io
import smtplib
import zoneinfo

import pytest
import time_machine
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from analytics import report_runs, reporting, reports
from analytics.models import ReportMail, ReportReader, ReportRun, SavedReport
from callcenter_site import file_runs
from configuration.models import AuditEntry, Role
from tests.analytics.events import Story, take_in
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory, signed_in

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 4, 20, tzinfo=dt.UTC)  # Monday, 12:20 in Shanghai
BY_GROUP = "metrics=offered&metrics=service_level&group_by=skill_group&period=yesterday"
State = ReportRun.State


@pytest.fixture(autouse=True)
def frozen(files_in_a_folder):
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, name="Boss")


@pytest.fixture
def groups(account):
    found = [SkillGroupFactory(account=account, name=name) for name in ("Sales", "Support")]
    agent = AgentFactory(account=account, staff_id="A")
    for group in found:
        MemberFactory(skill_group=group, agent=agent)
    yesterday = NOW - dt.timedelta(days=1)
    take_in(
        Story(account, yesterday, "a").queued(0, "Sales").answered(10, "A").ended(60),
        Story(account, yesterday, "b").queued(0, "Support").answered(30, "A").ended(60),
        at=NOW,
    )
    return found


@pytest.fixture
def supervisor(account, groups):
    """Sees Sales only."""
    person = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR, name="Supervisor")
    MemberFactory(skill_group=groups[0], agent=person)
    return person


def saved(owner, query=BY_GROUP, **more) -> SavedReport:
    report = report_runs.save_report(
        person=owner, name=more.pop("name", "Queues"), data=QueryDict(query), is_shared=more.pop("is_shared", False), at=NOW
    )
    for name, value in ({"kind": "csv", "hour": 6} | more).items():
        setattr(report, name, value)
    report_runs.plan(report, at=NOW)
    report.save()
    return report


def started(owner, at=NOW, query=BY_GROUP, kind="csv", **more) -> ReportRun:
    return report_runs.open_run(actor=owner, data=QueryDict(query), kind=kind, at=at, **more)


def written(run, at=NOW) -> ReportRun:
    report_runs.work_on(run.pk, clock=lambda: at)
    run.refresh_from_db()
    return run


def rows_of(run) -> list[list[str]]:
    with default_storage.open(run.key) as file:
        return list(csv.reader(io.StringIO(file.read().decode("utf-8-sig"))))


# --- Written ---------------------------------------------------------------------------------------------------------


def test_a_run_holds_what_its_owner_sees_and_whole_accounts_see_more(boss, supervisor, groups):
    assert rows_of(written(started(boss)))[1:] == [["Sales", "1", "100"], ["Support", "1", "0"]]
    run = written(started(supervisor))
    assert rows_of(run)[1:] == [["Sales", "1", "100"]]
    assert (run.state, run.n_rows, run.scope, run.group_ids) == (State.DONE, 1, "groups", [groups[0].pk])
    assert AuditEntry.objects.filter(look="exported", actor_id=supervisor.pk).exists()


@pytest.mark.parametrize("kind", ["csv", "xlsx", "pdf"])
def test_each_kind_of_file_begins_as_it_must(boss, groups, kind):
    run = written(started(boss, kind=kind))
    with default_storage.open(run.key) as file:
        head = file.read(4)
    assert head == {"csv": '\ufeff"'.encode(), "xlsx": b"PK\x03\x04", "pdf": b"%PDF"}[kind]
    assert run.n_bytes == default_storage.size(run.key)


def test_rows_of_many_pages_come_each_once(boss, groups, monkeypatch):
    monkeypatch.setattr(reporting, "PAGE", 7)
    run = written(started(boss, query="metrics=calls&group_by=hour&period=yesterday"))
    hours = [row[0] for row in rows_of(run)[1:]]
    assert len(hours) == 24 == len(set(hours)) == run.n_rows


def test_a_report_longer_than_its_file_stops_and_keeps_nothing(boss, groups, monkeypatch):
    monkeypatch.setattr(report_runs, "MOST_ROWS", {"csv": 23, "xlsx": 1, "pdf": 1})
    run = written(started(boss, query="metrics=calls&group_by=hour&period=yesterday"))
    assert (run.state, run.problem, run.key) == (State.FAILED, "too_long", "")


def test_rights_lost_between_asking_and_writing_count(account, supervisor, groups):
    run = started(supervisor)
    supervisor.role.permissions = ["agents.enter_admin"]
    supervisor.role.save()
    assert (written(run).state, run.problem) == (State.FAILED, "forbidden")


def test_a_group_that_its_owner_sees_no_more_stops_the_run(supervisor, groups):
    run = started(supervisor, query=f"{BY_GROUP}&skill_group={groups[0].pk}")
    supervisor.memberships.all().delete()
    assert (written(run).state, run.problem) == (State.FAILED, "changed")


def test_a_worker_that_died_is_replaced_and_only_one_file_is_left(boss, groups, monkeypatch):
    run = started(boss)
    real = reports.query
    monkeypatch.setattr(reports, "query", lambda *said, **more: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        report_runs.work_on(run.pk, clock=lambda: NOW)
    monkeypatch.setattr(reports, "query", real)
    assert report_runs.continue_runs(clock=lambda: NOW) == 0, "its lease is not over"
    late = NOW + dt.timedelta(seconds=file_runs.LEASE_SECONDS + 1)
    assert report_runs.continue_runs(clock=lambda: late) == 1
    run.refresh_from_db()
    assert (run.state, run.lease) == (State.DONE, 2)
    assert default_storage.listdir("exports")[1] == [run.key.partition("/")[2]]


def test_a_worker_whose_run_was_cancelled_meanwhile_leaves_no_file(boss, groups, monkeypatch):
    run = started(boss)

    def cancelled(file):
        report_runs.cancel(run, at=NOW)
        return File(file)

    monkeypatch.setattr(file_runs, "File", cancelled)
    assert (written(run).state, run.key) == (State.CANCELLED, "")
    assert default_storage.listdir("exports")[1] == []


def test_an_account_has_so_many_at_once_and_the_timetable_is_not_in_their_way(boss, account):
    for _n in range(report_runs.MOST_AT_WORK):
        started(boss)
    with pytest.raises(ValidationError, match="are being written"):
        started(boss)
    started(AgentFactory(account=AccountFactory(), kind=Role.Kind.ADMINISTRATOR))
    ReportRun.objects.for_account(account).update(due_at=NOW)
    started(boss)


# --- By themselves ---------------------------------------------------------------------------------------------------

SHANGHAI, NEW_YORK = zoneinfo.ZoneInfo("Asia/Shanghai"), "America/New_York"


@pytest.mark.parametrize(
    ("plan", "after", "due"),
    [
        ({"schedule": "daily"}, "2026-03-02T05:59:59", "2026-03-02T06:00:00"),
        ({"schedule": "daily"}, "2026-03-02T06:00:00", "2026-03-03T06:00:00"),
        ({"schedule": "weekly", "weekday": 0}, "2026-03-02T06:00:00", "2026-03-09T06:00:00"),
        ({"schedule": "weekly", "weekday": 4}, "2026-03-02T12:00:00", "2026-03-06T06:00:00"),
        ({"schedule": "monthly"}, "2026-01-31T23:00:00", "2026-02-01T06:00:00"),
        ({"schedule": "monthly", "hour": 0}, "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_a_timetable_follows_the_clock_of_the_account(boss, plan, after, due):
    report = saved(boss, **plan)
    moment, expected = (dt.datetime.fromisoformat(one).replace(tzinfo=SHANGHAI) for one in (after, due))
    assert report_runs.next_due(report, after=moment) == expected


def test_a_timetable_runs_once_a_day_when_clocks_change(boss):
    boss.account.time_zone = NEW_YORK
    report = saved(boss, schedule="daily", hour=2)
    report.account = boss.account
    zone = zoneinfo.ZoneInfo(NEW_YORK)
    for first in (dt.datetime(2026, 3, 6, 12, tzinfo=zone), dt.datetime(2026, 10, 30, 12, tzinfo=zone)):
        moments = [first]
        for _n in range(5):
            moments.append(report_runs.next_due(report, after=moments[-1]).astimezone(zone))
        days = [one.date() for one in moments[1:]]
        assert days == [first.date() + dt.timedelta(days=n) for n in range(1, 6)], "no day twice, none left out"


def test_what_is_due_runs_once_with_the_days_before_and_is_told_to_owner_and_readers(boss, account, groups, settings):
    settings.PUBLIC_URL = "https://portal.example"
    reader = AgentFactory(account=account, kind=Role.Kind.INSPECTOR, name="Reader")
    report = saved(boss, schedule="daily", hour=6)
    report_runs.set_readers(report, [reader])
    due = NOW + dt.timedelta(days=1)
    assert report_runs.start_due(at=report.due_at - dt.timedelta(seconds=1)) == 0
    SavedReport.objects.update(query=BY_GROUP.replace("yesterday", "last_7_days"))
    assert report_runs.start_due(at=due) == 1
    assert report_runs.start_due(at=due) == 0
    run = written(ReportRun.objects.get(), at=due)
    assert run.due_at == dt.datetime(2026, 3, 2, 22, tzinfo=dt.UTC) and run.state == State.DONE
    assert rows_of(run)[1:] == [["Sales", "1", "100"], ["Support", "1", "0"]]
    assert report_runs.send_mails(at=due) == 2 and report_runs.send_mails(at=due + dt.timedelta(days=1)) == 0
    assert {tuple(one.to) for one in mail.outbox} == {(boss.email,), (reader.email,)}
    link = f"https://portal.example{reverse('admin:analytics_reportrun_change', args=[run.pk])}"
    for one in mail.outbox:
        assert link in one.body and "Sales" not in one.body, "a link that needs signing in, and no figure"


def test_what_was_missed_while_nothing_ran_is_made_up_for_once_and_for_the_last_time(boss, groups):
    report = saved(boss, schedule="daily", hour=6)
    late = NOW + dt.timedelta(days=10)
    assert report_runs.start_due(at=late) == 1
    run = ReportRun.objects.get()
    assert run.due_at == dt.datetime(2026, 3, 11, 22, tzinfo=dt.UTC), "6:00 of the day on which it is made up for"
    report.refresh_from_db()
    assert report.due_at == run.due_at + dt.timedelta(days=1)


def test_two_workers_that_look_at_once_make_one_run(boss, groups):
    report = saved(boss, schedule="daily")
    due = report.due_at + dt.timedelta(minutes=1)
    stale = SavedReport.objects.select_related("account", "owner__role", "owner__account").get()
    assert report_runs._start(stale, due) and not report_runs._start(stale, due)
    SavedReport.objects.update(due_at=stale.due_at)  # as if the first had died between the two rows
    assert not report_runs._start(stale, due)
    assert ReportRun.objects.count() == 1


def test_a_report_whose_owner_left_stops_and_says_so(boss, account, groups):
    leaver = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    report = saved(leaver, schedule="daily", is_shared=True)
    leaver.is_active = False
    leaver.save()
    assert report_runs.start_due(at=NOW + dt.timedelta(days=1)) == 0
    report.refresh_from_db()
    assert (report.due_at, report.stopped) == (None, "owner") and not ReportRun.objects.exists()
    page = signed_in(boss).get(reverse("admin:analytics_savedreport_changelist")).content.decode()
    assert "stopped: its owner is not active any more" in page


def test_an_owner_who_lost_the_right_stops_their_reports(supervisor, groups):
    report = saved(supervisor, schedule="daily")
    supervisor.role.permissions = ["agents.enter_admin"]
    supervisor.role.save()
    report_runs.start_due(at=NOW + dt.timedelta(days=1))
    report.refresh_from_db()
    assert (report.stopped, ReportRun.objects.count()) == ("owner", 0)


def test_a_question_that_cannot_be_read_any_more_stops_the_timetable_and_tells_only_the_owner(supervisor, boss, groups):
    report = saved(supervisor, query=f"{BY_GROUP}&skill_group={groups[0].pk}", schedule="daily")
    colleague = AgentFactory(account=boss.account, kind=Role.Kind.SUPERVISOR)
    MemberFactory(skill_group=groups[0], agent=colleague)
    report_runs.set_readers(report, [colleague])
    supervisor.memberships.all().delete()
    due = NOW + dt.timedelta(days=1)
    report_runs.start_due(at=due)
    run = written(ReportRun.objects.get(), at=due)
    report.refresh_from_db()
    assert (run.problem, report.stopped, report.due_at) == ("changed", "changed", None)
    report_runs.send_mails(at=due)
    assert [one.to for one in mail.outbox] == [[supervisor.email]]
    assert "could not be written" in mail.outbox[0].body


def test_fixed_days_have_no_timetable(boss):
    report = saved(boss, query="metrics=calls&from=2026-02-01&to=2026-02-03")
    report.schedule = "daily"
    with pytest.raises(ValidationError, match="moves with the days"):
        report_runs.check_schedule(report)


def test_reports_of_a_terminated_account_rest(boss, account):
    saved(boss, schedule="daily")
    account.terminated_at = NOW
    account.save()
    assert report_runs.start_due(at=NOW + dt.timedelta(days=2)) == 0


# --- Mail ------------------------------------------------------------------------------------------------------------


def due_mail(owner, readers=()):
    report = saved(owner, schedule="daily")
    report_runs.set_readers(report, readers)
    at = NOW + dt.timedelta(days=1)
    report_runs.start_due(at=at)
    return written(ReportRun.objects.get(), at=at), at


def test_a_mail_server_that_refuses_is_tried_again_and_given_up_in_the_end(boss, groups, monkeypatch):
    run, at = due_mail(boss)
    monkeypatch.setattr(
        "django.core.mail.EmailMessage.send", lambda self, *said: (_ for _ in ()).throw(smtplib.SMTPException("no"))
    )
    assert report_runs.send_mails(at=at) == 0
    assert report_runs.send_mails(at=at + dt.timedelta(seconds=59)) == 0
    assert ReportMail.objects.get().n_tries == 1
    for n in range(1, 10):
        report_runs.send_mails(at=at + dt.timedelta(hours=n))
    found = ReportMail.objects.get()
    assert (found.state, found.n_tries) == (ReportMail.State.FAILED, len(report_runs.TRY_MAIL_AGAIN) + 1)
    assert "not delivered" in signed_in(boss).get(reverse("admin:analytics_reportrun_change", args=[run.pk])).content.decode()


def test_a_mail_whose_sender_died_is_sent_after_its_lease(boss, groups, monkeypatch):
    _run, at = due_mail(boss)
    with monkeypatch.context() as patched:
        patched.setattr("django.core.mail.EmailMessage.send", lambda self, *said: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            report_runs.send_mails(at=at)
    assert report_runs.send_mails(at=at) == 0
    assert report_runs.send_mails(at=at + report_runs.MAIL_LEASE) == 1


def test_a_reader_who_sees_less_by_now_is_not_told_and_gets_no_file(boss, account, groups, supervisor):
    reader = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
    run, at = due_mail(boss, [reader])
    reader.role = supervisor.role
    reader.save()
    report_runs.send_mails(at=at)
    assert dict(ReportMail.objects.values_list("person_id", "state")) == {boss.pk: "sent", reader.pk: "skipped"}
    assert not report_runs.may_take(run, reader)
    assert signed_in(reader).get(reverse("admin:analytics_reportrun_file", args=[run.pk])).status_code == 403


def test_only_who_sees_as_much_can_be_a_reader(boss, account, groups, supervisor):
    colleague = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    MemberFactory(skill_group=groups[1], agent=colleague)
    agent = AgentFactory(account=account, kind=Role.Kind.AGENT)
    report, theirs = saved(boss), saved(supervisor)
    for person in (supervisor, agent, AgentFactory(account=AccountFactory(), kind=Role.Kind.ADMINISTRATOR)):
        with pytest.raises(ValidationError, match="do not see all"):
            report_runs.set_readers(report, [person])
    with pytest.raises(ValidationError):
        report_runs.set_readers(theirs, [colleague])
    MemberFactory(skill_group=groups[0], agent=colleague)
    report_runs.set_readers(theirs, [colleague])
    report_runs.set_readers(theirs, [])
    assert not ReportReader.objects.exists()


# --- Taken away ------------------------------------------------------------------------------------------------------


def file_of(client, run):
    return client.get(reverse("admin:analytics_reportrun_file", args=[run.pk]))


def test_a_link_is_for_one_person_and_a_minute(boss, account, groups, monkeypatch):
    run = written(started(boss))
    client = signed_in(boss)
    link = file_of(client, run).headers["Location"]
    answer = client.get(link)
    assert b"".join(answer.streaming_content).decode("utf-8-sig").startswith('"Skill group"')
    assert answer.headers["Cache-Control"] == "private, no-store" and "report-" in answer.headers["Content-Disposition"]
    other = signed_in(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    assert other.get(link).status_code == 403 == file_of(other, run).status_code
    assert Client().get(link).status_code == 403
    monkeypatch.setattr("django.core.signing.time.time", lambda: timezone.now().timestamp() + 61)
    assert client.get(link).status_code == 403


def test_an_owner_whose_role_sees_less_now_gets_no_file_of_before(boss, supervisor, groups):
    run = written(started(boss))
    boss.role = supervisor.role
    boss.save()
    client = signed_in(boss)
    assert file_of(client, run).status_code == 403
    page = client.get(reverse("admin:analytics_reportrun_change", args=[run.pk])).content.decode()
    assert "Your role sees less now" in page and "Download" not in page


def test_files_go_after_a_week_before_their_rows(boss, groups, monkeypatch):
    run = written(started(boss))
    late = NOW + report_runs.KEPT_FOR + dt.timedelta(seconds=1)
    assert report_runs.forget_runs(at=NOW + report_runs.KEPT_FOR) == 0
    with monkeypatch.context() as patched:
        patched.setattr(default_storage, "delete", lambda key: (_ for _ in ()).throw(OSError))
        assert report_runs.forget_runs(at=late) == 0 and ReportRun.objects.exists()
    assert report_runs.forget_runs(at=late) == 1
    assert not default_storage.exists(run.key) and not ReportRun.objects.exists()


# --- Pages -----------------------------------------------------------------------------------------------------------


def test_a_report_is_built_saved_planned_and_run_on_the_pages(boss, account, groups):
    client = signed_in(boss)
    answer = client.post(f"{reverse('analytics:report-save')}?{BY_GROUP}&x=1", {"name": "Queues"})
    report = SavedReport.objects.get()
    page = reverse("admin:analytics_savedreport_change", args=[report.pk])
    assert answer.headers["Location"] == page and report.query == BY_GROUP
    form = {"name": "Queues", "kind": "pdf", "schedule": "weekly", "weekday": "4", "hour": "7"}
    assert client.post(page, form).status_code == 302
    report.refresh_from_db()
    assert (report.schedule, report.weekday, report.kind) == ("weekly", 4, "pdf")
    assert report.due_at.astimezone(account.zone).strftime("%a %H:%M") == "Fri 07:00"
    answer = client.post(reverse("admin:analytics_savedreport_run", args=[report.pk]), {"kind": "csv"})
    run = ReportRun.objects.get()
    assert answer.headers["Location"] == reverse("admin:analytics_reportrun_change", args=[run.pk])
    written(run)
    assert "2 rows were written" in client.get(answer.headers["Location"]).content.decode()
    assert [one["name"] for one in client.get(f"/admin/reports/?{BY_GROUP}").context["saved"]["rows"]] == ["Queues"]


def test_a_form_with_a_fault_keeps_nothing_and_names_the_field(boss, groups):
    wide = "&".join(f"metrics={one.name}" for one in reports.CATALOGUE if one.source.value == "calls")
    report = saved(boss, query=f"{wide}&period=yesterday")
    page = reverse("admin:analytics_savedreport_change", args=[report.pk])
    form = {"name": "Queues", "kind": "pdf", "schedule": "", "weekday": "0", "hour": "7"}
    answer = signed_in(boss).post(page, form)
    assert list(answer.context["adminform"].form.errors) == ["kind"]
    report.refresh_from_db()
    assert report.kind == "csv"


def test_a_shared_report_is_run_by_a_colleague_with_their_own_rights(boss, supervisor, groups):
    report = saved(boss, is_shared=True)
    client = signed_in(supervisor)
    assert client.post(reverse("admin:analytics_savedreport_run", args=[report.pk]), {"is_mailed": "1"}).status_code == 302
    run = written(ReportRun.objects.get())
    assert (run.owner, rows_of(run)[1:], run.is_mailed) == (supervisor, [["Sales", "1", "100"]], False)
    page = reverse("admin:analytics_savedreport_change", args=[report.pk])
    client.post(page, {"name": "theirs", "kind": "csv", "schedule": "", "weekday": "0", "hour": "7"})
    assert client.post(reverse("admin:analytics_savedreport_delete", args=[report.pk]), {"post": "yes"}).status_code == 403
    report.refresh_from_db()
    assert report.name == "Queues"


def test_a_private_report_and_its_runs_are_missing_for_a_colleague_of_narrower_sight(boss, supervisor, groups):
    report, run = saved(boss), written(started(boss))
    client = signed_in(supervisor)
    assert client.get(reverse("admin:analytics_savedreport_change", args=[report.pk]), follow=True).redirect_chain
    assert file_of(client, run).status_code == 404
    assert [one["name"] for one in client.get("/admin/reports/").context["saved"]["rows"]] == []


def test_deleting_a_report_leaves_its_files_to_who_asked_for_them(boss, groups):
    report = saved(boss)
    run = written(started(boss, report=report))
    client = signed_in(boss)
    client.post(reverse("admin:analytics_savedreport_delete", args=[report.pk]), {"post": "yes"})
    assert not SavedReport.objects.exists()
    assert file_of(client, run).status_code == 302


def test_the_list_of_reports_asks_no_more_for_more_of_them(boss, groups, django_assert_num_queries):
    client, address = signed_in(boss), reverse("admin:analytics_savedreport_changelist")
    written(started(boss, report=saved(boss, name="first")))
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for n in range(10):
        report = saved(boss, name=f"more {n}")
        ReportRun.objects.create(account=boss.account, owner=boss, report=report, query=BY_GROUP, state=State.FAILED)
    with django_assert_num_queries(len(few)):
        client.get(address)
