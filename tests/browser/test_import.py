"""One whole walk in a real browser: a list's button, a file, what it would do, the decision, the list."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from callcenter_site import sheets
from configuration.importing.run import work_on
from configuration.models import BlockedNumber, ImportRun, Role
from tests.factories import PASSWORD, AccountFactory, AgentFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(browser, live_server, transactional_db) -> Iterator[Page]:
    boss = AgentFactory(account=AccountFactory(), kind=Role.Kind.ADMINISTRATOR)
    BlockedNumber.objects.create(account=boss.account, number="+8613800138002", reason="old")
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error.stack)))
    page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
    page.goto(f"{live_server.url}/admin/login/")
    page.fill("[name=username]", boss.email)
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/admin/**")
    yield page
    page.close()


def test_from_the_lists_button_to_the_list_again(page, live_server, tmp_path):
    file = tmp_path / "blocked.csv"
    rows = [["Number", "Reason"], ["13800138001", "new one"], ["13800138002", "changed"], ["##", "bad"]]
    file.write_bytes(b"".join(sheets.csv_chunks(rows)))
    page.goto(f"{live_server.url}/admin/configuration/blockednumber/")
    page.get_by_role("link", name="Import", exact=True).click()
    page.set_input_files("input[type=file]", str(file))
    expect(page.locator("[data-import-name]")).to_have_text("blocked.csv")
    page.get_by_role("button", name="Upload and check").click()

    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "0")
    run = ImportRun.objects.get()
    work_on(run.pk)  # no worker runs beside a test

    expect(page.get_by_text("2 rows can be written")).to_be_visible()
    expect(page.locator("del")).to_have_text("old")
    expect(page.get_by_role("cell", name="##")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="All of them as CSV").click()
    assert b"##" in download.value.path().read_bytes()
    page.get_by_role("button", name="Write all good rows").click()
    expect(page.get_by_role("heading", name="The rows are being written")).to_be_visible()
    work_on(run.pk)

    expect(page.get_by_text("The import is done.")).to_be_visible()
    page.get_by_role("link", name="To the list").click()
    expect(page.get_by_text("+8613800138001")).to_be_visible()
    assert page.faults == []


def test_a_file_too_large_is_not_even_sent(page, live_server, tmp_path):
    file = tmp_path / "large.csv"
    file.write_bytes(b"x" * (sheets.MAX_BYTES + 1))
    page.goto(f"{live_server.url}/admin/configuration/blockednumber/import/")
    page.set_input_files("input[type=file]", str(file))
    page.get_by_role("button", name="Upload and check").click()
    expect(page.locator("[data-import-name]")).to_have_text("The file is larger than 10 MB. Split it into several.")
    assert page.url.endswith("/import/")
