"""Service records taken away as a file."""

import csv
import datetime as dt
import io
import tracemalloc
import urllib.request

import openpyxl
import pytest
from django.conf import settings as portal
from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from callcenter_site import file_runs, sheets
from calls import exporting, narrowing
from calls.models import Call, Direction, ExportRun, LegKind, Outcome
from configuration.api_keys import create_api_key
from configuration.models import ApiKey, AuditEntry, Role
from tests.factories import (
    AccountFactory,
    AgentFactory,
    CallFactory,
    CallLegFactory,
    MemberFactory,
    ServiceNumberFactory,
    SkillGroupFactory,
)

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 11, 24, 4, 0, tzinfo=dt.UTC)
LIST = "/admin/calls/call/"
State = ExportRun.State


@pytest.fixture
def administrator(account, client):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person)
    return person


def start(actor, *, kind="csv", with_legs=False, at=None, **asked) -> ExportRun:
    wanted = {name: [value] if isinstance(value, str) else value for name, value in asked.items()}
    return exporting.open_export(actor=actor, asked=wanted, kind=kind, with_legs=with_legs, at=at or timezone.now())


def written(actor, **how) -> list[list[str]]:
    run = start(actor, **how)
    assert exporting.work_on(run.pk)
    run.refresh_from_db()
    assert run.state == State.DONE, run.problem
    return rows_of(run)


def rows_of(run: ExportRun) -> list[list[str]]:
    with default_storage.open(run.key) as file:
        return list(csv.reader(io.StringIO(file.read().decode("utf-8-sig"))))


def ids(rows: list[list[str]]) -> list[str]:
    return [row[0] for row in rows[1:]]


# --- What stands in it -----------------------------------------------------------------------------------------------


def test_a_row_says_what_the_record_says_in_the_accounts_time_and_the_readers_language(account, administrator):
    group = SkillGroupFactory(account=account, name="Sales")
    agent = AgentFactory(account=account, name="Li Lei", staff_id="2001")
    CallFactory(
        account=account,
        call_id="c1",
        started_at=dt.datetime(2026, 11, 24, 1, 0, tzinfo=dt.UTC),
        agent=agent,
        skill_group=group,
        talk_seconds=61.5,
        total_seconds=300.0,
        remark="=HYPERLINK(1)",
        rating_asked=True,
        rating_score=4.0,
        rating_scale=5,
    )
    headings, row = written(administrator)
    said = dict(zip(headings, row, strict=True))
    assert said["Call ID"] == "c1" and said["Direction"] == "Inbound" and said["Outcome"] == "Answered"
    assert said["Started (account's time)"] == "2026-11-24 09:00:00"
    assert said["Agent"] == "Li Lei (2001)" and said["Skill group"] == "Sales"
    assert said["Talk, seconds"] == "61.5" and said["Whole call, seconds"] == "300"
    assert said["Rating"] == "4" and said["Rating scale"] == "5"
    assert said["Remark"] == "'=HYPERLINK(1)"
    run = start(administrator)
    ExportRun.objects.filter(pk=run.pk).update(language="zh-hans")
    exporting.work_on(run.pk)
    run.refresh_from_db()
    assert rows_of(run)[0] != headings


def test_calls_come_newest_first_each_once_across_pages_and_at_the_same_moment(account, administrator, monkeypatch):
    monkeypatch.setattr(exporting, "PAGE", 3)
    monkeypatch.setattr(exporting.pages, "__defaults__", (3,))
    moments = [NOW - dt.timedelta(minutes=n // 4) for n in range(14)]
    calls = [CallFactory(account=account, started_at=moment) for moment in moments]
    wanted = [call.call_id for call in sorted(calls, key=lambda call: (call.started_at, call.pk), reverse=True)]
    assert ids(written(administrator)) == wanted


def test_a_row_for_each_leg_repeats_the_call(account, administrator):
    two, none = CallFactory(account=account, call_id="two"), CallFactory(account=account, call_id="none")
    CallLegFactory(call=two, agent=AgentFactory(account=account, name="First"))
    CallLegFactory(call=two, kind=LegKind.EXTERNAL, agent=None, number="+8613700001111")
    rows = written(administrator, with_legs=True)
    column = rows[0].index("Who")
    assert [(row[0], row[column].partition(" ")[0]) for row in rows[1:] if row[0] == "two"] == [
        ("two", "First"),
        ("two", "'+8613700001111"),
    ]
    assert [row[column] for row in rows if row[0] == none.call_id] == [""]


def test_a_workbook_goes_on_in_another_sheet(account, administrator, monkeypatch):
    monkeypatch.setattr(sheets.write_xlsx, "__kwdefaults__", {**sheets.write_xlsx.__kwdefaults__, "last_row": 3})
    for n in range(5):
        CallFactory(account=account, call_id=f"c{n}", started_at=NOW - dt.timedelta(minutes=n))
    run = start(administrator, kind="xlsx")
    exporting.work_on(run.pk)
    run.refresh_from_db()
    with default_storage.open(run.key) as file:
        book = openpyxl.load_workbook(io.BytesIO(file.read()), read_only=True)
    found = [[row[0] for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets]
    assert found == [["Call ID", "c0", "c1"], ["Call ID", "c2", "c3"], ["Call ID", "c4"]]


def test_an_export_holds_few_rows_in_memory_at_once(account, administrator):
    call = CallFactory(account=account, remark="x" * 2000)
    columns = [column.attname for column in Call._meta.concrete_fields if not column.primary_key]
    same = {name: getattr(call, name) for name in columns}
    for first in range(0, 6000, 500):
        unlike = [{"call_id": f"c{n}", "call_key": n.to_bytes(32, "big")} for n in range(first, first + 500)]
        Call.objects.bulk_create([Call(**{**same, **one}) for one in unlike])
    run = start(administrator)
    tracemalloc.start()
    exporting.work_on(run.pk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    run.refresh_from_db()
    assert run.n_calls == 6001
    assert peak < 40_000_000  # a page of 2,000 and its neighbour; all of them would be three times that


# --- Whose rows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("few", [0, 20_000])
def test_each_sees_in_the_file_what_they_see_on_the_screen(account, few, monkeypatch):
    monkeypatch.setattr(narrowing, "FEW", few)
    boss = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    member = MemberFactory(account=account, agent=boss)
    CallFactory(account=account, call_id="own group", skill_group=member.skill_group)
    CallFactory(account=account, call_id="other group", skill_group=SkillGroupFactory(account=account))
    CallFactory(call_id="other account")
    assert ids(written(boss)) == ["own group"]


def test_numbers_are_masked_for_who_may_not_see_them_whole(account):
    inspector = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
    call = CallFactory(account=account, remark="call 13800138000 back", calling_number="+8613800138000")
    CallLegFactory(call=call, kind=LegKind.EXTERNAL, agent=None, number="+8613700001111", transfer_to="+8613700002222")
    CallFactory(account=account, direction=Direction.OUTBOUND, calling_number="+861055500001", called_number="+8613800138001")
    text = str(written(inspector, with_legs=True))
    for number in ("13800138000", "13700001111", "13700002222", "13800138001"):
        assert number not in text
    assert "+861055500001" in text


def test_rights_count_when_the_file_is_written(account, administrator):
    CallFactory(account=account)
    run = start(administrator)
    role = administrator.role
    role.permissions = [one for one in role.permissions if one != "calls.see_full_number"]
    role.save()
    exporting.work_on(run.pk)
    run.refresh_from_db()
    assert "13800138000" not in str(rows_of(run))
    other = start(administrator)
    administrator.is_active = False
    administrator.save()
    exporting.work_on(other.pk)
    other.refresh_from_db()
    assert (other.state, other.problem, other.key) == (State.FAILED, "forbidden", "")


def test_a_call_that_comes_after_the_export_was_asked_for_is_not_in_it(account, administrator):
    CallFactory(account=account, call_id="before", started_at=NOW)
    CallFactory(account=account, call_id="after", started_at=NOW + dt.timedelta(minutes=1))
    assert ids(written(administrator, at=NOW + dt.timedelta(seconds=1))) == ["before"]


def test_what_may_not_be_filtered_is_not_exported_by(account):
    role = Role.objects.create(account=account, name="plain", permissions=["calls.view_call"], data_scope="account")
    person = AgentFactory(account=account, role=role)
    with pytest.raises(Exception, match="") as refused:
        start(person, has_recording="true")
    assert type(refused.value).__name__ == "PermissionDenied"
    assert not ExportRun.objects.exists()


@pytest.mark.parametrize("asked", [{"nonsense": "1"}, {"talk_min": "x"}, {"account": "1"}, {"started_after": "yesterday"}])
def test_filters_that_cannot_be_read_are_refused_at_once(administrator, asked):
    with pytest.raises(ValidationError) as refused:
        start(administrator, **asked)
    assert list(refused.value.error_dict) == list(asked)


# --- The list's filters ----------------------------------------------------------------------------------------------


def test_the_list_is_exported_as_it_is_filtered(account, administrator, client):
    agent, group = AgentFactory(account=account), SkillGroupFactory(account=account, name="Sales")
    number = ServiceNumberFactory(account=account, number="+861055500009")
    wanted = CallFactory(
        account=account,
        call_id="wanted",
        agent=agent,
        skill_group=group,
        called_number=number.number,
        calling_number="+8613911112222",
        talk_seconds=100,
        total_seconds=200,
        provider="Mobile",
        disposition="sold",
        remark="x",
        has_remark=True,
        has_recording=True,
        rating_asked=True,
        rating_score=4,
        rating_scale=5,
    )
    CallFactory(account=account, outcome=Outcome.BLOCKED)
    queries = [
        "direction=inbound&outcome=answered&answered=yes",
        f"agent__id__exact={agent.pk}",
        f"skill_group__id__exact={group.pk}",
        f"service_number={number.pk}",
        "provider=Mobile&disposition=sold&remark=yes&recording=yes",
        "talk_from=1:40&talk_to=100&length_from=200&length_to=3:20",
        "rating=given&rating_from=4&rating_to=4.5",
        "q=wanted",
        "q=139-1111-2222",
        f"period=&from={timezone.localdate():%Y-%m-%d}&to={timezone.localdate() + dt.timedelta(days=1):%Y-%m-%d}&remark=yes",
    ]
    for query in queries:
        ExportRun.objects.all().delete()
        on_screen = {call.call_id for call in client.get(f"{LIST}?{query}").context["cl"].result_list}
        answer = client.post(f"{LIST}export/?{query}", {"kind": "csv"})
        run = ExportRun.objects.get()
        assert answer["Location"] == reverse("admin:calls_exportrun_change", args=[run.pk]), query
        exporting.work_on(run.pk)
        run.refresh_from_db()
        assert run.state == State.DONE, (query, run.problem, run.asked)
        assert set(ids(rows_of(run))) == on_screen == {wanted.call_id}, query
    assert "13911112222" not in ExportRun.objects.filter(pk=run.pk).values_list("state", "problem", "key").get()


def test_a_list_filtered_by_a_row_of_another_account_is_not_exported_whole(account, administrator, client):
    CallFactory(account=account)
    theirs = SkillGroupFactory(account=AccountFactory())
    answer = client.post(f"{LIST}export/?skill_group__id__exact={theirs.pk}", {"kind": "csv"}, follow=True)
    assert not ExportRun.objects.exists() and "cannot be exported" in answer.content.decode()


# --- Workers ---------------------------------------------------------------------------------------------------------


def test_a_worker_that_died_is_replaced_and_its_half_file_is_no_more(account, administrator, monkeypatch):
    CallFactory(account=account)
    run = start(administrator)
    real = exporting.sheets.csv_chunks

    def killed(rows):
        for _row in rows:
            raise SystemExit

    monkeypatch.setattr(exporting.sheets, "csv_chunks", killed)
    with pytest.raises(SystemExit):
        exporting.work_on(run.pk)
    monkeypatch.setattr(exporting.sheets, "csv_chunks", real)
    assert not exporting.work_on(run.pk), "its lease has not run out yet"
    late = timezone.now() + dt.timedelta(seconds=file_runs.LEASE_SECONDS + 1)
    assert exporting.continue_exports(clock=lambda: late) == 1
    run.refresh_from_db()
    assert (run.state, run.lease, run.n_calls) == (State.DONE, 2, 1)
    assert default_storage.listdir("exports")[1] == [run.key.partition("/")[2]]


def test_a_worker_that_was_only_slow_stops_and_keeps_nothing(account, administrator, monkeypatch):
    CallFactory(account=account)
    run = start(administrator)
    real = exporting.pages

    def taken_over(rows, size=2000):
        ExportRun.objects.filter(pk=run.pk).update(lease=7)
        yield from real(rows)

    monkeypatch.setattr(exporting, "pages", taken_over)
    exporting.work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, run.lease, run.key) == (State.WRITING, 7, "")
    assert not default_storage.exists("exports") or default_storage.listdir("exports")[1] == []


def test_what_fails_again_and_again_is_given_up(account, administrator, monkeypatch):
    CallFactory(account=account)
    run = start(administrator)
    monkeypatch.setattr(exporting, "pages", lambda rows: 1 / 0)
    at = timezone.now()
    for n in range(file_runs.MAX_LEASES + 2):
        exporting.work_on(run.pk, clock=lambda n=n: at + n * dt.timedelta(seconds=file_runs.LEASE_SECONDS + 1))
    run.refresh_from_db()
    assert (run.state, run.problem) == (State.FAILED, "failed")


def test_a_cancelled_export_stops_and_leaves_no_file(account, administrator, client, monkeypatch):
    CallFactory(account=account)
    run = start(administrator)

    def cancelled_meanwhile(file):
        client.post(reverse("admin:calls_exportrun_cancel", args=[run.pk]))
        return File(file)

    monkeypatch.setattr(file_runs, "File", cancelled_meanwhile)
    exporting.work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, run.key) == (State.CANCELLED, "")
    assert default_storage.listdir("exports")[1] == []


def test_an_account_has_so_many_at_once_and_others_are_not_in_its_way(account, administrator):
    runs = [start(administrator) for _ in range(exporting.MOST_AT_WORK)]
    with pytest.raises(ValidationError):
        start(administrator)
    start(AgentFactory(kind=Role.Kind.ADMINISTRATOR))
    exporting.cancel(runs[0], at=timezone.now())
    start(administrator)


def test_files_go_after_a_day_before_their_rows(account, administrator, monkeypatch):
    run = start(administrator)
    exporting.work_on(run.pk)
    run.refresh_from_db()
    assert exporting.forget_exports(at=run.created_at + exporting.KEPT_FOR) == 0
    late = run.created_at + exporting.KEPT_FOR + dt.timedelta(seconds=1)
    with monkeypatch.context() as patched:
        patched.setattr(default_storage, "delete", lambda key: 1 / 0)
        assert exporting.forget_exports(at=late) == 0
    assert default_storage.exists(run.key)
    assert exporting.forget_exports(at=late) == 1
    assert not default_storage.exists(run.key) and not ExportRun.objects.exists()
    assert exporting.forget_exports(at=late) == 0


# --- Getting it ------------------------------------------------------------------------------------------------------


def content_of(client, link: str) -> bytes:
    """What a link opens, here or in the store."""
    if portal.COS_BUCKET:
        with urllib.request.urlopen(link) as answer:
            assert answer.headers["Content-Disposition"].startswith("attachment")
            return answer.read()
    answer = client.get(link)
    assert answer["Content-Disposition"].startswith("attachment")
    return b"".join(answer.streaming_content)


def done(actor) -> ExportRun:
    run = start(actor)
    exporting.work_on(run.pk)
    run.refresh_from_db()
    return run


def test_the_file_is_fetched_by_a_link_and_both_are_audited(account, administrator, client):
    CallFactory(account=account, call_id="c1")
    run = done(administrator)
    page = client.get(reverse("admin:calls_exportrun_change", args=[run.pk])).content.decode()
    assert "1 call was written" in page and "Download" in page
    link = client.get(reverse("admin:calls_exportrun_file", args=[run.pk]))["Location"]
    assert b"c1" in content_of(client, link)
    looks = AuditEntry.objects.filter(account=account, look="exported").order_by("pk")
    assert [entry.content_type.model for entry in looks] == ["call", "exportrun"]
    assert looks[0].additional_data["n"] == 1 and looks[0].actor_id == administrator.pk


@pytest.mark.skipif(bool(portal.COS_BUCKET), reason="links into a store are the store's own")
def test_a_link_is_for_one_person_and_a_minute(account, administrator, client, monkeypatch):
    run = done(administrator)
    link = client.get(reverse("admin:calls_exportrun_file", args=[run.pk]))["Location"]
    stranger = Client()
    stranger.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    assert stranger.get(link).status_code == 403 and Client().get(link).status_code == 403
    assert stranger.get(reverse("admin:calls_exportrun_file", args=[run.pk])).status_code == 403
    assert client.get(link).status_code == 200
    assert client.get(link[:-1] + ("A" if link[-1] != "A" else "B")).status_code == 403
    monkeypatch.setattr("django.core.signing.time.time", lambda: timezone.now().timestamp() + 61)
    assert client.get(link).status_code == 403


def test_an_export_of_somebody_with_a_narrower_scope_is_missing_for_their_like(account, client):
    ours, other = (AgentFactory(account=account, kind=Role.Kind.SUPERVISOR) for _ in range(2))
    run = done(ours)
    client.force_login(other)
    for name in ("progress", "file", "cancel"):
        answers = [client.get(reverse(f"admin:calls_exportrun_{name}", args=[pk])).status_code for pk in (run.pk, 70_999_999)]
        assert answers == [404, 404], name


def test_programs_ask_for_exports_follow_and_fetch_them(account, api_key):
    CallFactory(account=account, call_id="c1", provider="Mobile")
    CallFactory(account=account, call_id="c2")
    program = Client(headers={"authorization": f"Api-Key {api_key}"})
    body = {"kind": "csv", "filters": {"provider": "Mobile", "outcome": ["answered"]}}
    made = program.post("/api/v1/exports/", body, content_type="application/json")
    assert made.status_code == 201 and made.json()["state"] == "waiting" and made.json()["link"] is None
    address = made["Location"]
    exporting.work_on(made.json()["id"])
    told = program.get(address).json()
    assert (told["state"], told["n_calls"]) == ("done", 1)
    text = content_of(Client(), told["link"])
    assert b"c1" in text and b"c2" not in text
    other_key = create_api_key(account=account, name="other", scopes=list(ApiKey.Scope.values))[1]
    assert Client(headers={"authorization": f"Api-Key {other_key}"}).get(address).status_code == 404
    assert program.delete(address).status_code == 204
    assert ExportRun.objects.get().state == State.DONE


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "pdf"}, "kind"),
        ({"filters": "Mobile"}, "filters"),
        ({"filters": {"provider": {"is": "Mobile"}}}, "filters.provider"),
        ({"filters": {"nothing": ["1"]}}, "filters.nothing"),
        ({"filters": {"talk_min": ["-1"]}}, "filters.talk_min"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_its_field(api_key, body, field):
    program = Client(headers={"authorization": f"Api-Key {api_key}"})
    answer = program.post("/api/v1/exports/", body, content_type="application/json")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not ExportRun.objects.exists()


def test_a_key_that_may_not_read_records_exports_none(account):
    text = create_api_key(account=account, name="events", scopes=[ApiKey.Scope.EVENTS_WRITE])[1]
    answer = Client(headers={"authorization": f"Api-Key {text}"}).post("/api/v1/exports/", {}, content_type="application/json")
    assert answer.status_code == 403


# --- Commands --------------------------------------------------------------------------------------------------------


def test_commands_do_what_the_timetable_does(account, administrator, capsys):
    CallFactory(account=account)
    run = start(administrator)
    call_command("continue_exports")
    run.refresh_from_db()
    assert run.state == State.DONE
    ExportRun.objects.update(created_at=timezone.now() - dt.timedelta(days=2))
    call_command("forget_exports", "--dry-run")
    assert ExportRun.objects.exists()
    call_command("forget_exports")
    call_command("match_keywords")
    assert not ExportRun.objects.exists()
    assert capsys.readouterr().out == (
        "Took up 1 exports.\n1 exports are older than a day.\nRemoved 1 exports.\nLooked through 0 calls.\n"
    )


def test_where_there_is_no_export_the_list_says_how_to_make_one(administrator, client):
    text = client.get("/admin/calls/exportrun/").content.decode()
    assert "No exports of the last day" in text and f'href="{LIST}"' in text
