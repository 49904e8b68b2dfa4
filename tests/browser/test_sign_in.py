"""Signing in, in a real browser, as each of those who do."""

import datetime as dt
from base64 import b32decode
from collections.abc import Iterator

import pytest
from django.utils import timezone
from django_otp.oath import totp
from playwright.sync_api import Page, expect

from agents import second_factor
from agents.models import Agent, Authenticator, StatusChange
from configuration.models import Account, Role
from tests.factories import PASSWORD, AccountFactory, AgentFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


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
    expect(page.get_by_role("timer")).to_have_text("0:02", timeout=5000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the phone"
    assert [row.status for row in StatusChange.objects.filter(agent=agent)] == ["available"]
    page.locator("summary[aria-label='Menu of Fang']").click()
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    page.locator("summary").first.click()
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
    page.get_by_role("textbox", name="Name").fill("PBX")
    page.get_by_text("Post events").click()
    page.get_by_role("button", name="Save", exact=True).click()
    shown = page.locator("#api-key").inner_text()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == shown


def code_of(key: str, at: dt.datetime | None = None) -> str:
    ago = timezone.now() - (at or timezone.now())
    return f"{totp(b32decode(key.replace(' ', '')), t0=int(ago.total_seconds())):06d}"


def turned_on(agent: Agent) -> list[str]:
    """Recovery codes of a second factor set up a while ago, so that the code of now is unused."""
    before = timezone.now() - dt.timedelta(minutes=5)
    key = second_factor.begin_set_up(agent=agent, at=before)
    return second_factor.confirm_set_up(agent=agent, code=code_of(key, before), at=before)


def fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_agent_sets_up_a_second_factor_on_a_phone(page, center):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    agent = AgentFactory(account=center)
    sign_in(page, agent.email)
    page.goto("/sign-in/")
    page.get_by_role("link", name="Set it up").click()
    expect(page.get_by_role("img", name="The key as a picture")).to_be_visible()
    assert fits(page), "the page is wider than the phone"
    page.get_by_text("Cannot scan? Type the key").click()
    key = page.locator("#key").inner_text()
    page.get_by_label("Code the app shows").fill(code_of(key))
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("heading", name="Your second factor is on")).to_be_visible()
    codes = page.locator("#recovery-codes li").all_inner_texts()
    assert len(codes) == 10 and fits(page)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").split() == codes
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    kept = download.value.path().read_text()
    assert download.value.suggested_filename == "recovery-codes.txt" and all(code in kept for code in codes)
    page.get_by_role("link", name="I have kept them").click()
    expect(page).to_have_url("/desk/")
    assert Authenticator.objects.get(user=agent).confirmed


def test_the_second_step_takes_the_code_of_the_phone(page, center):
    agent = AgentFactory(account=center)
    turned_on(agent)
    sign_in(page, agent.email)
    expect(page.get_by_label("Code")).to_be_focused()
    page.goto("/desk/")
    expect(page).to_have_url("/admin/login/?next=/desk/")
    sign_in(page, agent.email)
    page.get_by_label("Code").fill("12345")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not right")
    page.wait_for_timeout(1100)
    page.get_by_label("Code").fill(code_of(Authenticator.objects.get(user=agent).key))
    page.keyboard.press("Enter")
    expect(page).to_have_url("/desk/")


def test_a_recovery_code_opens_once(page, center):
    agent = AgentFactory(account=center, kind=Role.Kind.SUPERVISOR)
    codes = turned_on(agent)
    sign_in(page, agent.email)
    page.get_by_role("link", name="No phone at hand?").click()
    page.get_by_label("Recovery code").fill(codes[0])
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("9 recovery codes are left.")).to_be_visible()
    page.context.clear_cookies()
    sign_in(page, agent.email)
    page.get_by_role("link", name="No phone at hand?").click()
    page.get_by_label("Recovery code").fill(codes[0])
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("This code is not right, or was used already.")).to_be_visible()


def test_whose_role_requires_it_is_led_to_the_set_up_and_then_let_in(page, center):
    boss = AgentFactory(account=center, kind=Role.Kind.ADMINISTRATOR)
    Role.objects.filter(pk=boss.role_id).update(requires_second_factor=True)
    sign_in(page, boss.email, start="/admin/agents/agent/")
    expect(page.get_by_text("Your role signs in with a second factor.")).to_be_visible()
    page.goto("/admin/configuration/role/")
    expect(page).to_have_url("/sign-in/second-factor/set-up/?next=%2Fadmin%2Fconfiguration%2Frole%2F")
    page.get_by_text("Cannot scan? Type the key").click()
    page.get_by_label("Code the app shows").fill(code_of(page.locator("#key").inner_text()))
    page.get_by_role("button", name="Turn it on").click()
    page.get_by_role("link", name="I have kept them").click()
    expect(page).to_have_url("/admin/configuration/role/")


def test_an_invited_person_gets_from_the_link_to_the_desk(page, center, browser, live_server, settings):
    settings.PUBLIC_URL = live_server.url
    settings.MAIL_IS_SET = False
    page.set_viewport_size({"width": 1280, "height": 900})
    sign_in(page, AgentFactory(account=center, kind=Role.Kind.ADMINISTRATOR).email)
    person = AgentFactory(account=center, name="Li Na", email="li@example.com")
    person.set_unusable_password()
    person.save()
    page.goto(f"/admin/agents/agent/{person.pk}/sign-in/")
    page.get_by_role("button", name="Send invitation").click()
    page.get_by_role("button", name="Show the link").click()
    link = page.locator("#sign-in-link").inner_text()
    theirs = browser.new_context(viewport={"width": 390, "height": 800}).new_page()
    theirs.goto(link)
    expect(theirs).to_have_url(f"{live_server.url}/sign-in/password/set/")
    assert fits(theirs)
    for label in ("New password", "New password confirmation"):
        theirs.get_by_label(label, exact=True).fill("a long enough password")
    theirs.get_by_role("button", name="Set the password").click()
    expect(theirs.get_by_text("Your password is set.")).to_be_visible()
    theirs.get_by_label("Email").fill("li@example.com")
    theirs.get_by_label("Password").fill("a long enough password")
    theirs.get_by_role("button", name="Log in").click()
    expect(theirs).to_have_url(f"{live_server.url}/desk/")
    theirs.goto(link)
    expect(theirs.get_by_text("It was used already")).to_be_visible()
    theirs.context.close()
