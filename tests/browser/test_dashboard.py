"""The dashboard in a real browser: live tiles move, say when they are stale, and the page holds on any screen."""

import datetime as dt
from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.utils import timezone
from playwright.sync_api import Page, expect

from calls.models import Call
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.browser.test_player import stored
from tests.browser.test_record_page import tone
from tests.factories import PASSWORD, AccountFactory, AgentFactory, MemberFactory, RecordingFactory, SkillGroupFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def center(transactional_db):
    account = AccountFactory()
    group = SkillGroupFactory(account=account, name="Sales")
    agent = AgentFactory(account=account, staff_id="A")
    MemberFactory(skill_group=group, agent=agent)
    now = timezone.now()
    take_in(
        *(
            Story(account, now - dt.timedelta(seconds=90 + n), f"call{n}").ivr(0).queued(5, "Sales").answered(15, "A").ended(60)
            for n in range(4)
        ),
        Story(account, now - dt.timedelta(seconds=20), "waits").queued(0, "Sales"),
        at=now,
    )
    return account


@pytest.fixture
def page(browser, live_server, center) -> Iterator[Page]:
    boss = AgentFactory(account=center, kind=Role.Kind.ADMINISTRATOR)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
    page.goto(f"{live_server.url}/admin/login/")
    page.fill("[name=username]", boss.email)
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    page.goto(f"{live_server.url}/admin/")
    yield page
    page.close()


def test_signing_in_leads_to_figures_and_a_drawn_chart_without_an_error(page):
    page.wait_for_url("**/admin/dashboard/")
    assert page.text_content("[data-metric=calls]") == "5"
    painted = page.evaluate(
        """() => { const c = document.querySelector("canvas[data-portal-chart]");
                   return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(value => value) }"""
    )
    assert painted
    assert page.faults == []


def test_live_tiles_follow_the_calls(page, center):
    queued = page.locator('[data-live="calls.in_queue"]')
    expect(queued).to_have_text("1")
    take_in(Story(center, timezone.now(), "one more").queued(0, "Sales"), at=timezone.now())
    expect(queued).to_have_text("2", timeout=8000)
    wait = page.locator('[data-live="longest_wait_seconds"]')
    first = wait.text_content()
    expect(wait).not_to_have_text(first, timeout=5000)


def test_live_tiles_say_since_when_they_are_stale_and_recover(page):
    stale = page.locator("[data-live-stale]")
    expect(stale).to_have_text("")
    page.route("**/api/v1/live/", lambda route: route.abort())
    expect(stale).to_contain_text("Stale since", timeout=8000)
    page.unroute("**/api/v1/live/")
    cache.clear()
    expect(stale).to_have_text("", timeout=15000)


def test_the_help_of_a_tile_shows_its_formula_by_keyboard(page):
    tip = page.locator("#help-service_level")
    expect(tip).to_be_hidden()
    page.focus("[aria-describedby=help-service_level]")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("answered in target ÷ (answered + abandoned − short)")


def test_choosing_a_filter_stands_in_the_address(page):
    page.select_option("[name=direction]", "outbound")
    page.wait_for_url("**direction=outbound**")
    assert "skill_group=" not in page.url and "from=" not in page.url
    assert page.text_content("[data-metric=calls]") == "0"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_no_screen_scrolls_sideways(page, theme, width):
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 844})
    page.reload()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_went_wrong_yesterday_at_ten_with_whom_and_how_it_sounded_is_four_clicks_away(page, live_server, center):
    ten = dt.datetime.combine(timezone.localdate(timezone=center.zone) - dt.timedelta(days=1), dt.time(10, 5), tzinfo=center.zone)
    take_in(
        Story(center, ten, "went wrong")
        .queued(5, "Sales")
        .answered(65, "A")
        .at(90, "call.rated", asked=True, score=1, scale=5)
        .ended(95),
        Story(center, ten + dt.timedelta(hours=2), "went well").queued(0, "Sales").answered(3, "A").ended(60),
        at=timezone.now(),
    )
    wrong = Call.objects.get(call_id="went wrong")
    stored(RecordingFactory(call=wrong), tone(20), "audio/wav")
    page.goto(f"{live_server.url}/admin/dashboard/")

    page.click("text=Yesterday")  # 1
    page.wait_for_url("**period=yesterday**")
    page.wait_for_function("window.Chart && Chart.getChart(document.querySelector('canvas[data-portal-chart]'))")
    bar = page.evaluate(
        """() => { const chart = Chart.getChart(document.querySelector("canvas[data-portal-chart=chart-data]"));
                   const { x, y, base } = chart.getDatasetMeta(0).data[chart.data.labels.indexOf("10:00")];
                   chart.canvas.scrollIntoView({ block: "center" });
                   const box = chart.canvas.getBoundingClientRect();
                   return { x: box.x + x, y: box.y + (y + base) / 2 } }"""
    )
    page.mouse.click(bar["x"], bar["y"])  # 2
    page.wait_for_url("**/admin/calls/call/**")
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(1)  # not the one of noon
    expect(rows).to_contain_text(wrong.agent.name)

    rows.locator("a").first.click()  # 3
    page.wait_for_url(f"**/admin/calls/call/{wrong.pk}/change/**")
    page.click(".player-play")  # 4
    page.wait_for_function("document.querySelector('audio').currentTime > 0.2")
    assert page.faults == []


def test_the_week_by_hours_is_read_and_followed_by_keyboard(page, live_server, center):
    cell = page.locator(".figures-hours td a").first
    expect(cell).to_be_visible()
    n_calls = cell.inner_text()
    cell.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**week_hour=**")
    assert page.locator("#result_list tbody tr").count() == int(n_calls)


def test_a_dashboard_that_is_worked_out_anew_says_so(page):
    page.evaluate("document.addEventListener('click', event => event.preventDefault())")  # the answer never comes
    page.click("text=Last 7 days")
    expect(page.locator(".figures")).to_have_attribute("aria-busy", "true")
