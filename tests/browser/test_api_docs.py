"""The API's documentation, in a real browser: under the portal's content security policy, script and all."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(browser, live_server) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=live_server.url)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    yield page
    page.close()
    assert faults == []


def test_the_docs_list_every_group_of_operations_and_open_one(page):
    page.goto("/api/docs/")
    groups = page.locator(".opblock-tag")
    for name in ("account", "agents", "calls", "events", "figures", "recordings"):
        expect(groups.filter(has_text=name).first).to_be_visible(timeout=30_000)
    page.get_by_placeholder("Filter by tag").fill("events")
    expect(groups).to_have_count(1)
    groups.first.click()
    page.locator(".opblock-summary-description").filter(has_text="Post call events").click()
    expect(page.get_by_text("together name an event")).to_be_visible()
    expect(page.get_by_role("button", name="Try it out")).to_be_visible()
