"""The pages of an import, and the files a list goes away as."""

import csv
import io

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from callcenter_site import sheets as files
from configuration.importing import SHEETS, work_on
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
    from configuration.importing import errors_of

    excused = {"There is no skill group Sales:1."} if sheet == "agents" and language == "en" else set()
    said = {said for _row, column, _cell, said in errors_of(run)}
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
