"""The desk and its device check in a real browser, with the browser's make-believe microphone and camera."""

import datetime as dt
import struct
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from agents.models import Agent, DeviceCheck, Status, StatusChange
from agents.presence import change_status, force_offline, restore_online
from configuration.models import Account, BreakReason, Role
from tests.factories import (
    PASSWORD,
    AccountFactory,
    AgentFactory,
    CallFactory,
    CallLegFactory,
    MemberFactory,
    SkillGroupFactory,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


PHONE, SCREEN = {"width": 360, "height": 740}, {"width": 1440, "height": 900}
MAKE_BELIEVE = ["--no-sandbox", "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"]
ALLOWED = "--use-fake-ui-for-media-stream"
SOON = 6_000
"""A change made elsewhere shows within five seconds."""


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable]:
    with sync_playwright() as playwright:

        @contextmanager
        def browser(*args: str) -> Iterator:
            running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(args))
            yield running
            running.close()

        yield browser


@pytest.fixture(scope="module")
def browser(launch) -> Iterator:
    with launch(*MAKE_BELIEVE, ALLOWED) as running:
        yield running


@pytest.fixture
def center(transactional_db) -> Account:
    account = AccountFactory(name="Harbour Travel", language="en")
    for order, name in enumerate(("Lunch", "Training")):
        BreakReason.objects.create(account=account, name=name, order=order)
    return account


@pytest.fixture
def agent(center) -> Agent:
    return AgentFactory(account=center, name="Wang Fang", nickname="Fang")


@pytest.fixture
def supervisor(center, agent) -> Agent:
    leader = AgentFactory(account=center, kind=Role.Kind.SUPERVISOR, name="Shen Yue")
    group = SkillGroupFactory(account=center)
    MemberFactory(skill_group=group, agent=agent)
    MemberFactory(skill_group=group, agent=leader)
    return leader


def open_context(browser, live_server, person: Agent, viewport=SCREEN, **options) -> BrowserContext:
    context = browser.new_context(viewport=viewport, base_url=live_server.url, **options)
    page = context.new_page()
    page.goto("/admin/login/?next=/desk/")
    page.get_by_label("Email").fill(person.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/desk/")
    return context


@pytest.fixture
def context(browser, live_server, agent) -> Iterator[BrowserContext]:
    context = open_context(browser, live_server, agent)
    yield context
    context.close()


@pytest.fixture
def page(context) -> Iterator[Page]:
    page = context.pages[0]
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" and "ERR_" not in said.text else None)
    yield page
    # Refusals that a test provokes, and "busy, ask again"; the browser notes each answer of that kind.
    expected = ("400", "401", "403", "409", "503")
    assert [fault for fault in faults if not any(f"a status of {code}" in fault for code in expected)] == []


def status_of(page: Page):
    return page.locator("#desk-label")


def fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- Status ----------------------------------------------------------------------------------------------------------


def test_a_status_is_set_without_loading_the_page_again(page, agent):
    page.evaluate("window.isSamePage = true")
    page.get_by_role("button", name="Available").click()
    expect(status_of(page)).to_have_text("Available ")
    expect(page.get_by_role("button", name="Available")).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("timer")).to_have_text("0:02", timeout=5000)
    assert page.evaluate("window.isSamePage")
    assert page.title().startswith("● Available")
    row = StatusChange.objects.get(agent=agent)
    assert (row.status, row.source, row.terminal) == ("available", "agent", "web")


def test_a_break_is_one_click_on_its_reason(page, agent):
    page.get_by_role("button", name="Lunch").click()
    expect(status_of(page)).to_have_text("Break Lunch")
    expect(page.get_by_role("switch", name="Break after this call")).to_be_hidden()
    agent.refresh_from_db()
    assert (agent.status, agent.status_reason) == ("break", "Lunch")


def test_a_wrong_clock_of_the_computer_changes_no_timer(browser, live_server, agent):
    change_status(agent=agent, status=Status.AVAILABLE, at=timezone.now() - dt.timedelta(minutes=3), source="agent")
    context = browser.new_context(viewport=SCREEN, base_url=live_server.url)
    context.add_init_script("const now = Date.now; Date.now = () => now() + 3600_000")
    page = context.new_page()
    page.goto("/admin/login/?next=/desk/")
    page.get_by_label("Email").fill(agent.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("timer")).to_contain_text("3:0")
    context.close()


def test_two_tabs_agree_and_the_second_goes_on_when_the_first_is_closed(page, context, agent):
    other = context.new_page()
    other.goto("/desk/")
    other.get_by_role("button", name="Busy").click()
    expect(status_of(page)).to_have_text("Busy ", timeout=2000)
    page.get_by_role("button", name="Training").click()
    expect(status_of(other)).to_have_text("Break Training", timeout=2000)
    page.close()
    change_status(agent=agent, status=Status.AVAILABLE, at=timezone.now())
    expect(status_of(other)).to_have_text("Available ", timeout=SOON)


def test_only_one_of_several_tabs_asks_the_portal(page, context):
    other = context.new_page()
    other.goto("/desk/")
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url) if "/desk/state/" in request.url else None)
    other.wait_for_timeout(7000)
    assert 1 <= len(asked) <= 3


def test_the_heartbeat_says_that_the_agent_is_there(page, agent):
    page.wait_for_timeout(1500)
    agent.refresh_from_db()
    assert agent.is_online
    assert timezone.now() - agent.last_seen_at < dt.timedelta(seconds=20)


def test_a_break_after_this_call_is_switched_with_its_reason_and_follows_the_wrap_up(page, agent):
    page.get_by_role("button", name="Available").click()
    page.get_by_label("Reason of the break after this call").select_option("Training")
    switch = page.get_by_role("switch", name="Break after this call")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    now = timezone.now()
    change_status(agent=agent, status=Status.WRAP_UP, at=now)
    Agent.objects.filter(pk=agent.pk).update(wrap_up_until=now + dt.timedelta(seconds=60))
    expect(page.get_by_text("Ends by itself in 0:5")).to_be_visible(timeout=SOON)
    page.get_by_role("button", name="More time").click()
    expect(page.get_by_text("Ends when you say so")).to_be_visible()
    expect(page.get_by_role("button", name="More time")).to_be_hidden()
    page.get_by_role("button", name="Ready now").click()
    expect(status_of(page)).to_have_text("Break Training")


def test_a_change_by_somebody_else_shows_soon_says_by_whom_and_is_read_out(page, agent):
    change_status(agent=agent, status=Status.BUSY, at=timezone.now(), source="supervisor")
    expect(status_of(page)).to_have_text("Busy ", timeout=SOON)
    expect(page.get_by_text("Set by a supervisor.", exact=True)).to_be_visible()
    expect(page.locator("[data-said]")).to_have_text("Your status: Busy Set by a supervisor.")


def test_who_is_taken_offline_is_told_whom_to_ask_and_can_set_nothing_until_let_back(page, agent, supervisor):
    page.get_by_role("button", name="Available").click()
    expect(status_of(page)).to_have_text("Available ")
    force_offline(agents=[agent], by=supervisor, at=timezone.now())
    expect(page.get_by_role("heading", name="A supervisor has taken you offline")).to_be_visible(timeout=SOON)
    expect(page.get_by_text("To come back, ask Shen Yue.", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Available")).to_be_hidden()
    page.keyboard.press("1")
    restore_online(agents=[agent], by=supervisor, at=timezone.now())
    expect(page.get_by_role("button", name="Available")).to_be_visible(timeout=SOON)
    agent.refresh_from_db()
    assert agent.status == "offline"


def test_a_choice_that_comes_too_late_is_refused_in_words(page, agent, supervisor):
    page.route("**/desk/state/", lambda route: route.abort())
    page.route("**/desk/heartbeat/", lambda route: route.abort())
    page.wait_for_timeout(1_000)  # what was asked before still comes, and must not tell of what follows
    force_offline(agents=[agent], by=supervisor, at=timezone.now())
    page.get_by_role("button", name="Available").click()
    expect(page.get_by_text("A supervisor has taken this agent offline")).to_be_visible()
    expect(page.get_by_role("button", name="Available")).to_be_hidden()


def test_who_fell_silent_comes_back_with_one_click(page, agent):
    page.get_by_role("button", name="Lunch").click()
    expect(status_of(page)).to_have_text("Break Lunch")
    change_status(agent=agent, status=Status.OFFLINE, at=timezone.now(), source="portal", terminal="web")
    page.get_by_role("button", name="Back to Break").click(timeout=SOON)
    expect(status_of(page)).to_have_text("Break Lunch")
    expect(page.get_by_role("heading", name="You were taken offline")).to_be_hidden()


# --- Connection and session ------------------------------------------------------------------------------------------


def test_a_lost_connection_is_said_and_so_is_that_nothing_was_saved(page, agent):
    page.context.set_offline(True)
    page.route("**/desk/**", lambda route: route.abort())
    expect(page.get_by_text("No connection to the portal")).to_be_visible(timeout=15_000)
    page.get_by_role("button", name="Busy").click()
    expect(page.get_by_text("That did not reach the portal")).to_be_visible()
    expect(status_of(page)).to_have_text("Offline ")
    page.context.set_offline(False)
    page.unroute("**/desk/**")
    expect(page.get_by_text("No connection to the portal")).to_be_hidden(timeout=20_000)
    assert not StatusChange.objects.exists()


def test_a_session_that_ended_is_said_and_leads_to_the_sign_in(page):
    page.context.clear_cookies()
    expect(page.get_by_text("You are signed out")).to_be_visible(timeout=SOON)
    page.get_by_role("link", name="Sign in").click()
    page.wait_for_url("**/admin/login/?next=/desk/")


def test_a_page_of_somebody_else_sends_nothing_in_the_name_of_whoever_signed_in_after_them(page, context, center):
    other = AgentFactory(account=center)
    tab = context.new_page()
    tab.goto("/desk/")
    tab.locator(".desk-menu summary").click()
    tab.get_by_role("button", name="Sign out").click()
    tab.get_by_label("Email").fill(other.email)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Busy").click()
    expect(page.get_by_text("Somebody else has signed in in this browser")).to_be_visible()
    other.refresh_from_db()
    assert other.status == "offline"


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_keys_set_the_status_and_are_listed(page, agent):
    page.keyboard.press("1")
    expect(status_of(page)).to_have_text("Available ")
    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(status_of(page)).to_have_text("Break Training")
    page.keyboard.press("2")
    expect(status_of(page)).to_have_text("Busy ")
    page.keyboard.press("b")
    expect(page.get_by_role("switch")).to_have_attribute("aria-checked", "true")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("4")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    agent.refresh_from_db()
    assert agent.status == "busy"


def test_keys_do_nothing_while_somebody_types_and_can_be_switched_off(page, center, agent):
    BreakReason.objects.filter(account=center).delete()
    page.reload()
    field = page.get_by_placeholder("Reason, if you like")
    field.fill("")
    field.press_sequentially("1 b 2 d?")
    assert field.input_value() == "1 b 2 d?"
    page.get_by_role("heading", name="Your calls today").click()
    page.keyboard.press("Control+1")
    page.locator(".desk-menu summary").click()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Use these keys.").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("1")
    page.reload()
    page.keyboard.press("1")
    page.wait_for_timeout(500)
    assert not StatusChange.objects.filter(agent=agent).exists()


# --- Own calls, menu, phone ------------------------------------------------------------------------------------------


def test_own_calls_appear_by_themselves_after_a_call(page, agent):
    expect(page.get_by_text("No calls yet today")).to_be_visible()
    CallLegFactory(call=CallFactory(account=agent.account, started_at=timezone.now()), agent=agent)
    change_status(agent=agent, status=Status.WRAP_UP, at=timezone.now())
    expect(page.get_by_role("cell", name="+8613800138000")).to_be_visible(timeout=SOON)


def test_language_colours_and_password_are_in_the_desks_own_menu(page):
    menu = page.locator(".desk-menu summary")
    menu.click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_class("dark")
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    menu.click()
    page.get_by_role("button", name="English").click()
    menu.click()
    page.get_by_role("link", name="Change password").click()
    expect(page.get_by_role("heading", name="Change password")).to_be_visible()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("a battery of correct horses")
    page.get_by_label("New password confirmation").fill("a battery of correct horses")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()


@pytest.mark.parametrize("viewport", [PHONE, SCREEN], ids=["phone", "screen"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_scrolls_sideways_and_everything_can_be_touched(browser, live_server, agent, supervisor, viewport, theme):
    BreakReason.objects.create(account=agent.account, name="Donaudampfschifffahrtsgesellschaftsversammlung", order=9)
    CallLegFactory(call=CallFactory(account=agent.account, started_at=timezone.now()), agent=agent)
    context = open_context(browser, live_server, agent, viewport, color_scheme=theme)
    page = context.pages[0]
    expect(page.get_by_text("+8613800138000")).to_be_visible()
    assert fits(page)
    small = page.evaluate(
        """[...document.querySelectorAll("main button, main select, main a, .desk-bar summary")]
             .filter(one => one.getClientRects().length).map(one => [one.textContent.trim(), one.getBoundingClientRect()])
             .filter(([, box]) => box.height < 44 || box.width < 44).map(([text]) => text)"""
    )
    assert small == []
    page.locator(".desk-menu summary").click()
    assert fits(page)
    force_offline(agents=[agent], by=supervisor, at=timezone.now())
    expect(page.get_by_role("heading", name="A supervisor has taken you offline")).to_be_visible(timeout=SOON)
    assert fits(page)
    for address in ("/desk/device-check/", "/sign-in/password/"):
        page.goto(address)
        assert fits(page), address
    context.close()


def test_without_scripts_the_desk_is_a_page_of_forms(browser, live_server, agent):
    client = Client()
    client.force_login(agent, backend="agents.sign_in.RoleBackend")
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page = context.new_page()
    page.goto("/desk/")
    page.get_by_role("button", name="Lunch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Break Lunch")
    page.get_by_role("button", name="Available").click()
    page.get_by_role("switch", name="Break after this call").click()
    expect(page.get_by_role("switch")).to_have_attribute("aria-checked", "true")
    agent.refresh_from_db()
    assert (agent.status, agent.break_after_call, agent.is_online) == ("available", True, True)
    context.close()


# --- Device check ----------------------------------------------------------------------------------------------------


def step(page: Page, name: str):
    return page.locator(f"[data-step={name}]")


def check_to(page: Page, name: str) -> None:
    """Goes to a step by skipping those before it."""
    page.goto("/desk/device-check/")
    step(page, "browser").get_by_role("button", name="Start").click()
    for before in ("microphone", "speaker", "camera", "network"):
        if before == name:
            return
        step(page, before).get_by_role("button", name="Skip").click()


def test_the_whole_check_is_made_stored_and_listed(page, agent):
    page.goto("/desk/device-check/")
    page.keyboard.press("Enter")  # nothing is pressed yet
    step(page, "browser").get_by_role("button", name="Start").click()
    expect(page.get_by_text("You can be heard.")).to_be_visible(timeout=10_000)
    expect(step(page, "microphone").locator("option")).not_to_have_count(0)
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Play the test tone").click()
    page.get_by_role("button", name="Yes").click(timeout=10_000)
    page.get_by_role("button", name="Check the camera").click()
    expect(page.get_by_text("The camera works.")).to_be_visible(timeout=10_000)
    assert page.evaluate("document.querySelector('[data-video]').videoWidth") > 0
    step(page, "camera").get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="All is well: you can take calls")).to_be_visible(timeout=30_000)
    expect(page.locator("[data-past]")).to_contain_text("Good")
    check = DeviceCheck.objects.get(agent=agent)
    assert (check.result, check.advice) == ("good", [])
    assert (check.microphone, check.speaker, check.camera) == ("ok", "ok", "ok")
    assert "Chrom" in check.browser
    assert check.operating_system == "Linux"
    assert int(check.round_trip_ms) < 300
    assert float(check.downlink_mbps) > 0.5
    assert check.address == "127.0.0.1"
    page.get_by_role("link", name="To the desk").click()
    expect(page.get_by_text("Device check: good")).to_be_visible()


def test_leaving_a_step_closes_the_microphone(page):
    page.add_init_script(
        """const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
           window.tracks = [];
           navigator.mediaDevices.getUserMedia = async what => {
             const got = await ask(what);
             tracks.push(...got.getTracks());
             return got;
           };"""
    )
    check_to(page, "microphone")
    expect(page.get_by_text("You can be heard.")).to_be_visible(timeout=10_000)
    assert page.evaluate("tracks.map(track => track.readyState)") == ["live"]
    step(page, "microphone").get_by_role("button", name="Skip").click()
    assert page.evaluate("tracks.map(track => track.readyState)") == ["ended"]


def test_everything_can_be_skipped_and_then_nothing_is_called_good(page, agent):
    check_to(page, "")
    expect(page.get_by_role("heading", name="You can take calls, with some reservations")).to_be_visible(timeout=10_000)
    expect(page.locator("[data-result-advice] li")).to_have_text(
        ["The microphone was not checked.", "The sound was not checked.", "The network was not checked."]
    )
    check = DeviceCheck.objects.get(agent=agent)
    assert (check.result, check.microphone, check.round_trip_ms) == ("fair", "skipped", "")


def test_a_tone_nobody_heard_makes_the_check_bad_with_advice(page, agent):
    check_to(page, "speaker")
    page.get_by_role("button", name="Play the test tone").click()
    page.get_by_role("button", name="No", exact=True).click(timeout=10_000)
    expect(step(page, "speaker").get_by_text("Turn up the volume")).to_be_visible()
    step(page, "speaker").get_by_role("button", name="Next").click()
    step(page, "camera").get_by_role("button", name="Skip").click()
    expect(page.get_by_role("heading", name="Not fit for calls yet")).to_be_visible(timeout=30_000)
    assert DeviceCheck.objects.get(agent=agent).speaker == "silent"


def test_a_result_that_does_not_arrive_can_be_stored_again(page, agent):
    page.goto("/desk/device-check/")
    page.route("**/desk/device-check/", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    step(page, "browser").get_by_role("button", name="Start").click()
    for name in ("microphone", "speaker", "camera", "network"):
        step(page, name).get_by_role("button", name="Skip").click()
    expect(page.get_by_role("heading", name="The result is not stored")).to_be_visible()
    page.unroute("**/desk/device-check/")
    page.get_by_role("button", name="Store the result").click()
    expect(page.get_by_role("heading", name="You can take calls, with some reservations")).to_be_visible()
    assert DeviceCheck.objects.filter(agent=agent).count() == 1


def test_a_network_that_does_not_answer_is_said_and_can_be_skipped(page):
    page.route("**/desk/probe/**", lambda route: route.abort())
    check_to(page, "network")
    expect(step(page, "network").get_by_text("The network could not be measured")).to_be_visible()
    expect(step(page, "network").get_by_role("button", name="Try again")).to_be_visible()


def test_a_denied_permission_is_explained_for_this_browser(launch, live_server, agent):
    with launch(*MAKE_BELIEVE, "--deny-permission-prompts") as browser:
        page = open_context(browser, live_server, agent).pages[0]
        check_to(page, "microphone")
        expect(page.get_by_text("The browser may not use the microphone. This is how you allow it:")).to_be_visible()
        expect(page.get_by_text("Click the sign at the left of the address").first).to_be_visible()
        expect(step(page, "microphone").get_by_role("button", name="Try again")).to_be_visible()
        step(page, "microphone").get_by_role("button", name="Next").click()
        for name in ("speaker", "camera", "network"):
            step(page, name).get_by_role("button", name="Skip").click()
        expect(page.get_by_role("heading", name="Not fit for calls yet")).to_be_visible()
        assert DeviceCheck.objects.get(agent=agent).microphone == "denied"


def test_a_computer_without_a_microphone_is_told_to_plug_one_in(launch, live_server, agent):
    with launch("--no-sandbox", ALLOWED) as browser:
        page = open_context(browser, live_server, agent).pages[0]
        check_to(page, "microphone")
        expect(page.get_by_text("No microphone was found. Plug in the headset, then check again.")).to_be_visible()
        step(page, "microphone").get_by_role("button", name="Next").click()
        expect(step(page, "microphone")).to_contain_text("Not found")


def test_a_microphone_that_hears_nothing_is_called_silent(launch, live_server, agent, tmp_path):
    with wave.open(str(tmp_path / "silence.wav"), "wb") as sound:
        sound.setparams((1, 2, 48_000, 0, "NONE", ""))
        sound.writeframes(struct.pack("<h", 0) * 48_000)
    with launch(*MAKE_BELIEVE, ALLOWED, f"--use-file-for-fake-audio-capture={tmp_path}/silence.wav") as browser:
        page = open_context(browser, live_server, agent).pages[0]
        check_to(page, "microphone")
        expect(page.get_by_text("nothing was heard")).to_be_visible(timeout=12_000)
        step(page, "microphone").get_by_role("button", name="Next").click()
        expect(step(page, "microphone")).to_contain_text("No sound")


def test_without_https_the_cause_is_told(page):
    page.add_init_script(
        "Object.defineProperty(window, 'isSecureContext', { value: false });"
        "Object.defineProperty(Navigator.prototype, 'mediaDevices', { value: undefined })"
    )
    page.goto("/desk/device-check/")
    expect(page.get_by_text("This page was opened without https")).to_be_visible()
    step(page, "browser").get_by_role("button", name="Start").click()
    expect(step(page, "microphone").get_by_text("Open it with https://")).to_be_visible()
