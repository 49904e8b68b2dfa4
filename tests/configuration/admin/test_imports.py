"""The pages of an import, and the files a list goes away as."""

import csv
import io

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from callcenter_site import sheets as files
from configuration.importing.report import errors_of
from configuration.importing.run import work_on
from configuration.importing.sheet import SHEETS
from configuration.models import AuditEntry, BlockedNumber, ImportRun, Keyword, Role
from tests.factories import AccountFactory, AgentFactory
from tests.isolation.test_admin import as_person


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


@pytest.fixture
def client(boss):
    return as_person(boss)


def page_of(sheet: str, name: str, *args: str) -> str:
    meta = SHEETS[sheet].model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=args)


def a_file(*rows, name="list.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, b"".join(files.csv_chunks(rows)), content_type="text/csv")


def body_of(response) -> bytes:
    return b"".join(response.streaming_content)


def rows_of(response) -> list[list[str]]:
    return [line.cells for line in files.read_lines(io.BytesIO(body_of(response)))]


@pytest.mark.parametrize("sheet", sorted(SHEETS))
def test_every_list_offers_import_and_export(client, sheet):
    page = client.get(page_of(sheet, "changelist"), follow=True).content.decode()
    assert page_of(sheet, "import") in page
    assert page_of(sheet, "export", "csv") in page


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("sheet", sorted(SHEETS))
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_template_of_a_list_is_read_back_as_its_own(client, boss, sheet, kind, language):
    client.cookies["django_language"] = language
    lines = rows_of(client.get(page_of(sheet, "template", kind)))
    assert len(lines) == 2
    uploaded = client.post(page_of(sheet, "import"), {"file": a_file(*lines)})
    assert uploaded.status_code == 302, uploaded.content.decode()
    run = ImportRun.objects.get()
    work_on(run.pk)
    run.refresh_from_db()
    excused = {"There is no skill group Sales:1.", "There is no such skill group in use."}
    said = {said for _row, _column, _cell, said in errors_of(run, reader=boss)}
    assert language != "en" or said <= excused


def test_the_walk_from_a_file_to_the_list(client, account):
    answer = client.post(page_of("blacklist", "import"), {"file": a_file(["number", "reason"], ["13800138001", "a"], ["x", "b"])})
    run = ImportRun.objects.get()
    assert answer.url == reverse("admin:configuration_importrun_change", args=[run.pk])
    progress = client.get(reverse("admin:configuration_importrun_progress", args=[run.pk])).json()
    assert progress == {"state": "checking", "done": 0, "rows": 2}
    assert "data-import-progress" in client.get(answer.url).content.decode()
    work_on(run.pk)
    page = client.get(answer.url).content.decode()
    assert "1 row can be written" in page
    assert "This is not a phone number" in page
    report = body_of(client.get(reverse("admin:configuration_importrun_errors", args=[run.pk]))).decode("utf-8-sig")
    assert [line[:3] for line in csv.reader(io.StringIO(report))] == [["Row", "Column", "Cell"], ["3", "Number", "x"]]
    client.post(reverse("admin:configuration_importrun_write", args=[run.pk]))
    work_on(run.pk)
    page = client.get(answer.url).content.decode()
    assert "The import is done." in page
    assert [row.written for row in BlockedNumber.objects.all()] == ["+8613800138001"]


# --- Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The file is empty."),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old kind (.xls)"),
        (b"phrase\n", "headings and no rows"),
        (b"colour\nred\n", "There is no column colour here"),
    ],
)
def test_a_file_that_cannot_be_taken_says_why_beside_the_field(client, content, said):
    answer = client.post(page_of("keywords", "import"), {"file": SimpleUploadedFile("a.csv", content)})
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert not ImportRun.objects.exists()


def test_no_file_at_all_is_asked_for(client):
    answer = client.post(page_of("keywords", "import"), {})
    assert (answer.status_code, "Choose a file." in answer.content.decode()) == (400, True)


@pytest.mark.parametrize("sheet", sorted(SHEETS))
@pytest.mark.parametrize("kind", sorted(Role.BUILT_IN))
def test_each_role_imports_and_exports_just_what_it_may(account, sheet, kind):
    person = AgentFactory(account=account, kind=kind)
    client = as_person(person)
    enters = person.has_perm("agents.enter_admin")
    may_import, may_export = SHEETS[sheet].may_import(person), SHEETS[sheet].may_export(person)
    for name, args, may in (
        ("import", (), may_import),
        ("template", ("csv",), may_import),
        ("export", ("csv",), may_export),
    ):
        answer = client.get(page_of(sheet, name, *args))
        assert (answer.status_code == 200) == (enters and may), name
    if not may_import:
        client.post(page_of(sheet, "import"), {"file": a_file(["name"], ["x"])})
        assert not ImportRun.objects.exists()


def test_a_run_is_decided_by_a_post_alone(client, boss):
    client.post(page_of("keywords", "import"), {"file": a_file(["phrase"], ["a"])})
    run = ImportRun.objects.get()
    work_on(run.pk)
    client.get(reverse("admin:configuration_importrun_write", args=[run.pk]))
    client.get(reverse("admin:configuration_importrun_discard", args=[run.pk]))
    run.refresh_from_db()
    assert run.state == ImportRun.State.CHECKED


def test_a_colleague_without_the_right_to_see_all_finds_no_such_import(client, account):
    supervisor = as_person(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
    client.post(page_of("keywords", "import"), {"file": a_file(["phrase"], ["a"])})
    run = ImportRun.objects.get()
    work_on(run.pk)
    for name in ("change", "errors"):
        answer = supervisor.get(reverse(f"admin:configuration_importrun_{name}", args=[run.pk]), follow=True)
        assert "There is no such record" in answer.content.decode()
    assert supervisor.get(reverse("admin:configuration_importrun_progress", args=[run.pk])).status_code == 404
    for name in ("write", "discard"):
        supervisor.post(reverse(f"admin:configuration_importrun_{name}", args=[run.pk]))
    run.refresh_from_db()
    assert run.state == ImportRun.State.CHECKED


def test_who_may_not_write_a_column_is_told_and_offered_no_button(account, client):
    rows = (["staff_id", "name", "email", "role", "mobile"], ["1", "A", "a@example.com", "Agent", "13800138001"])
    client.post(page_of("agents", "import"), {"file": a_file(*rows)})
    run = ImportRun.objects.get()
    work_on(run.pk)
    permissions = ["agents.enter_admin", "agents.use_desk", "calls.view_call", "calls.see_full_number"]
    permissions += ["agents.view_agent", "agents.add_agent", "agents.change_agent", "configuration.view_importrun"]
    role = Role.objects.create(account=account, name="Clerk", permissions=permissions, data_scope="account")
    clerk = as_person(AgentFactory(account=account, role=role))
    write = reverse("admin:configuration_importrun_write", args=[run.pk])
    page = clerk.get(reverse("admin:configuration_importrun_change", args=[run.pk])).content.decode()
    assert "You may not change the column Mobile" in page and write not in page and "1380013" not in page
    assert "1380013" not in body_of(clerk.get(reverse("admin:configuration_importrun_errors", args=[run.pk]))).decode()
    assert clerk.post(write).status_code == 403
    assert write in client.get(reverse("admin:configuration_importrun_change", args=[run.pk])).content.decode()


# --- Export ----------------------------------------------------------------------------------------------------------


def blocked(account, number, **more) -> BlockedNumber:
    return BlockedNumber.objects.create(account=account, number=number, **more)


def test_an_export_is_what_the_list_shows_and_nothing_of_another_account(client, account):
    blocked(account, "+8613800138001", direction="outbound", reason="=one")
    blocked(account, "+8613800138002", reason="two")
    blocked(AccountFactory(), "+8613800138003", direction="outbound", reason="theirs")
    whole = rows_of(client.get(page_of("blacklist", "export", "csv")))
    assert [row[0] for row in whole] == ["Number", "+8613800138002", "+8613800138001"]
    narrowed = rows_of(client.get(page_of("blacklist", "export", "xlsx"), {"direction__exact": "outbound"}))
    assert [row[:3] for row in narrowed] == [["Number", "Direction", "Reason"], ["+8613800138001", "outbound", "=one"]]
    searched = rows_of(client.get(page_of("blacklist", "export", "csv"), {"q": "13800138002"}))
    assert [row[0] for row in searched[1:]] == ["+8613800138002"]


def test_the_buttons_keep_the_filters_of_the_list(client, account):
    blocked(account, "+8613800138001")
    page = client.get(page_of("blacklist", "changelist"), {"direction__exact": "inbound", "p": "1"}).content.decode()
    assert page_of("blacklist", "export", "csv") + "?direction__exact=inbound&quot;" in page.replace('"', "&quot;")


def test_filters_that_are_no_filters_are_refused_in_an_export_as_in_the_list(client, account):
    answer = client.get(page_of("blacklist", "export", "csv"), {"account__slug": "x"})
    assert answer["Location"] == page_of("blacklist", "changelist") + "?account__slug=x"  # where it is said
    assert client.get(page_of("blacklist", "export", "ods")).status_code == 404


def test_numbers_are_masked_for_who_may_not_see_them(account):
    role = Role.objects.create(
        account=account,
        name="Looks",
        permissions=["agents.enter_admin", "configuration.view_blockednumber"],
        data_scope="account",
    )
    blocked(account, "+8613800138001")
    rows = rows_of(as_person(AgentFactory(account=account, role=role)).get(page_of("blacklist", "export", "csv")))
    assert rows[1][0] == "+8613••••••001"


def test_an_export_is_in_the_audit_log_without_what_was_in_it(client, account, boss):
    blocked(account, "+8613800138001", reason="private")
    answer = client.get(page_of("blacklist", "export", "csv"))
    assert "no-store" in answer["Cache-Control"]
    assert "13800138001" in body_of(answer).decode()
    assert answer["Content-Disposition"].startswith('attachment; filename="blacklist-')
    entry = AuditEntry.objects.get(look="exported")
    assert (entry.actor_id, entry.account_id, entry.additional_data["n"]) == (boss.pk, account.pk, 1)
    assert "1380013" not in str(AuditEntry.objects.filter(pk=entry.pk).values())


def test_an_export_holds_no_formula_and_only_text(client, account):
    Keyword.objects.create(account=account, phrase="=1+1", category="\u3000＠sum")
    text = body_of(client.get(page_of("keywords", "export", "csv"))).decode("utf-8-sig")
    assert next(row for row in csv.reader(io.StringIO(text)) if "1+1" in row[0])[:2] == ["'=1+1", "'\u3000＠sum"]
    book = openpyxl.load_workbook(io.BytesIO(body_of(client.get(page_of("keywords", "export", "xlsx")))))
    assert {cell.data_type for row in book.active.iter_rows() for cell in row} == {"s"}


def test_an_export_asks_the_database_per_thousand_rows(client, account, django_assert_max_num_queries):
    BlockedNumber.objects.bulk_create(BlockedNumber(account=account, number=f"+8613800{n:06}") for n in range(1500))
    with django_assert_max_num_queries(14):
        assert len(rows_of(client.get(page_of("blacklist", "export", "csv")))) == 1501
