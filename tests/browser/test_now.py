"""The page of now in a real browser: numbers follow the calls as events come, and the view stands in the address."""

import datetime as dt
from collections.abc import Iterator

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from agents.models import Agent, Status
from agents.presence import change_status
from analytics.models import SavedView
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.factories import PASSWORD, AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def center(transactional_db):
    account = AccountFactory()
    for name in ("Sales", "Support"):
        group = SkillGroupFactory(account=account, name=name)
        MemberFactory(skill_group=group, agent=AgentFactory(account=account, staff_id=name[:2], name=f"Agent of {name}"))
    return account


@pytest.fixture
def page(browser, live_server, center) -> Iterator[Page]:
    boss = AgentFactory(account=center, kind=Role.Kind.ADMINISTRATOR)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(f"{live_server.url}/admin/login/?next=/admin/now/")
    page.fill("[name=username]", boss.email)
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_url("**/admin/now/")
    yield page
    assert page.faults == []
    page.close()


def test_numbers_groups_and_people_follow_the_calls_as_events_come(page, center):
    queued = page.locator('[data-now="calls.in_queue"]')
    row = page.locator("tr[data-now-group]", has_text="Sales")
    expect(queued).to_have_text("0")
    now = timezone.now()
    take_in(Story(center, now, "waits").queued(0, "Sales"), at=now)
    expect(queued).to_have_text("1", timeout=8000)
    expect(row.locator("[data-now-column=in_queue]")).to_have_text("1")
    expect(row.locator("[data-now-column=in_queue]")).to_have_attribute("data-mood", "bad")  # nobody is available
    wait = row.locator("[data-now-column=longest_wait_seconds]")
    first = wait.text_content()
    expect(wait).not_to_have_text(first, timeout=5000)

    agent = Agent.objects.get(account=center, staff_id="Sa")
    change_status(agent=agent, status=Status.AVAILABLE, at=timezone.now())
    person = page.locator("[data-now-agent]", has_text="Agent of Sales")
    expect(person.locator("[data-now-doing]")).to_have_text("Available", timeout=8000)
    take_in(Story(center, now, "waits").answered(10, "Sa"), at=now + dt.timedelta(seconds=10))
    expect(queued).to_have_text("0", timeout=8000)
    expect(person.locator("[data-now-doing]")).to_have_text("On a call", timeout=8000)


def test_a_view_of_now_is_kept_and_opened_by_keyboard(page, center):
    page.focus("[data-now-activity=break]")
    page.keyboard.press("Enter")
    page.wait_for_url("**activity=break")
    page.focus("details.saved-filters > summary")
    page.keyboard.press("Enter")
    page.locator("[data-saves-view] [name=name]").focus()
    page.keyboard.type("Who rests")
    page.keyboard.press("Enter")
    page.wait_for_load_state()
    expect(page.locator("details.saved-filters > summary")).to_contain_text("Who rests")
    assert SavedView.objects.get().query == "activity=break"
    page.goto(page.url.split("?")[0])
    page.focus("details.saved-filters > summary")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**activity=break")
    expect(page.locator("[data-now-activity=break]")).to_have_attribute("aria-pressed", "true")
