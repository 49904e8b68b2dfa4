"""A wallboard in a real browser: by a link alone it fills the screen, follows the calls, says when it is stale and goes dark."""

import datetime as dt
from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.utils import timezone
from playwright.sync_api import Page, expect

from analytics import wallboard
from analytics.models import Display
from tests.analytics.events import Story, take_in
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def display(transactional_db):
    account = AccountFactory()
    group = SkillGroupFactory(account=account, name="Sales")
    MemberFactory(skill_group=group, agent=AgentFactory(account=account, staff_id="A", name="Zhang Wei"))
    take_in(Story(account, timezone.now() - dt.timedelta(seconds=5), "waits").queued(0, "Sales"), at=timezone.now())
    return Display.objects.create(account=account, name="Floor", queue_warning=2, queue_alarm=3)


@pytest.fixture
def page(browser, live_server, display, settings) -> Iterator[Page]:
    settings.PUBLIC_URL = live_server.url
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(wallboard.make_link(display=display, at=timezone.now()))
    expect(page.locator("[data-wall-name]")).to_have_text("Floor")
    yield page
    page.close()


def wait(display, n):
    now = timezone.now()
    take_in(*(Story(display.account, now, f"more{n}-{one}").queued(0, "Sales") for one in range(n)), at=now)


def test_a_change_arrives_and_turns_its_tile_yellow_and_red(page, display):
    tile = page.locator("[data-tile=in_queue]")
    expect(tile.locator("strong")).to_have_text("1")
    wait(display, 1)
    expect(tile.locator("strong")).to_have_text("2", timeout=8000)
    expect(tile).to_have_attribute("data-mood", "fair")
    wait(display, 2)
    expect(tile).to_have_attribute("data-mood", "bad", timeout=8000)
    longest = page.locator("[data-tile=longest_wait_seconds] strong")
    before = longest.text_content()
    expect(longest).not_to_have_text(before, timeout=5000)
    assert "Zhang" not in page.content()
    assert page.faults == []


def test_it_says_since_when_it_is_stale_and_comes_back(page):
    stale = page.locator("[data-wall-stale]")
    expect(stale).to_have_text("")
    page.route("**/wallboard/show/figures/", lambda route: route.abort())
    expect(stale).to_contain_text("Stale since", timeout=8000)
    assert page.locator("body.is-stale").count() == 1
    page.unroute("**/wallboard/show/figures/")
    expect(stale).to_have_text("", timeout=15000)


def test_a_revoked_link_goes_dark(page, display):
    expect(page.locator("[data-tile=in_queue]")).to_be_visible()
    display.refresh_from_db()
    wallboard.revoke_link(display=display)
    expect(page.locator("[data-wall-message]")).to_contain_text("shows nothing any more", timeout=8000)
    assert page.locator("[data-tile]:visible").count() == 0


def test_what_is_changed_on_its_page_is_on_the_screen(page, display):
    display.refresh_from_db()
    display.tiles, display.name = ["talking"], "Hall"
    display.save()
    cache.clear()
    expect(page.locator("[data-wall-name]")).to_have_text("Hall", timeout=8000)
    assert page.locator("[data-tile]").count() == 1


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160), (390, 844)])
def test_it_fits_a_tv_4k_and_a_phone(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    expect(page.locator("[data-tile=in_queue] strong")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    digits = page.locator("[data-tile=in_queue] strong").bounding_box()
    if width > 1000:
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight + 1")
        assert digits["height"] > height / 14  # to be read from across the room
    for tile in page.locator("[data-tile]").all():
        outer, inner = tile.bounding_box(), tile.locator("strong").bounding_box()
        assert inner["y"] + inner["height"] <= outer["y"] + outer["height"] + 1
