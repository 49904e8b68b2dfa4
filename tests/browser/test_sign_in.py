"""Signing in, in a real browser, as each of those who do."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from agents.models import Agent, StatusChange
from configuration.models import Account, Role
from tests.factories import PASSWORD, AccountFactory, AgentFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Playwright's loop makes Django refuse its database calls in the same thread, which here are the test's own.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def center(transactional_db) -> Account:
    return AccountFactory(name="Harbour Travel", language="en")


@pytest.fixture
def page(browser, live_server) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 800}, base_url=live_server.url)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert faults == []


def sign_in(page: Page, email: str, password: str = PASSWORD, start: str = "/admin/login/") -> None:
    page.goto(start)
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_an_administrator_arrives_in_the_admin_of_their_account(page, center):
    sign_in(page, AgentFactory(account=center, kind=Role.Kind.ADMINISTRATOR).email)
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.get_by_text("Harbour Travel").first).to_be_visible()
    page.locator("a[href='/admin/agents/agent/']").first.click()
    expect(page).to_have_url("/admin/agents/agent/")


def test_a_supervisor_arrives_where_supervisors_work(page, center):
    sign_in(page, AgentFactory(account=center, kind=Role.Kind.SUPERVISOR).email)
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.get_by_role("link", name="Dashboard").first).to_be_visible()
    expect(page.locator("a[href='/admin/configuration/apikey/']")).to_have_count(0)


def test_an_agent_arrives_at_the_desk_and_sets_a_status_on_a_phone(page, center):
    agent = AgentFactory(account=center, name="Wang Fang", nickname="Fang")
    sign_in(page, agent.email)
    expect(page).to_have_url("/desk/")
    expect(page.get_by_role("heading", name="Offline")).to_be_visible()
    page.get_by_role("button", name="Available").click()
    expect(page.get_by_role("heading", name="Available")).to_be_visible()
    expect(page.get_by_role("timer")).to_have_text("0:00:02", timeout=5000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the phone"
    assert [row.status for row in StatusChange.objects.filter(agent=agent)] == ["available"]
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    page.locator("form[action$='sign-out/'] button").click()
    expect(page).to_have_url("/admin/login/")


def test_the_desk_asks_who_is_there_and_then_opens(page, center):
    sign_in(page, AgentFactory(account=center).email, start="/desk/")
    expect(page).to_have_url("/desk/")


def test_an_operator_sees_accounts_and_the_timetable(page, transactional_db):
    Agent.objects.create_superuser("op@example.com", PASSWORD, name="Op")
    sign_in(page, "op@example.com")
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.get_by_role("link", name="Timetable").first).to_be_visible()
    expect(page.locator("a[href='/admin/agents/agent/']")).to_have_count(0)


def test_a_wrong_password_is_told_without_telling_which(page, center):
    sign_in(page, AgentFactory(account=center).email, password="wrong")
    expect(page.get_by_text("Email and password do not match")).to_be_visible()


def test_a_new_api_key_is_shown_and_copied(page, center):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, AgentFactory(account=center, kind=Role.Kind.ADMINISTRATOR).email)
    page.goto("/admin/configuration/apikey/add/")
    page.get_by_label("Name").fill("PBX")
    page.get_by_text("Post events").click()
    page.get_by_role("button", name="Save", exact=True).click()
    shown = page.locator("#api-key").inner_text()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == shown
