"""The configuration pages in a real browser: dragged into order, previewed while typing, a prompt uploaded and played."""

from collections.abc import Iterator

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from configuration.models import BlockedNumber, BreakReason, IvrPrompt, Keyword, QuickReply, QuickReplyGroup, Role, ScreenPop
from tests.browser.conftest import PLAYS_UNASKED, chromium
from tests.browser.test_record_page import tone
from tests.factories import PASSWORD, AgentFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(PLAYS_UNASKED) as running:
        yield running


@pytest.fixture
def page(browser, live_server, account) -> Iterator[Page]:
    """Signed in; fails the test if the page asks for what the security policy forbids, or a script breaks."""
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{live_server.url}/admin/login/")
    page.fill("input[name=username]", person.email)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_load_state("networkidle")
    complaints.clear()  # of the page one lands on
    page.complaints = complaints
    yield page
    page.close()
    assert complaints == []


def names(account) -> list[str]:
    return list(BreakReason.objects.for_account(account).order_by("order").values_list("name", flat=True))


def handle(page, name: str):
    return page.get_by_role("button", name=f"Move {name}:")


@pytest.fixture
def reasons(page, live_server, account) -> None:
    for order, name in enumerate(["Meal", "Rest", "Meeting"]):
        BreakReason.objects.create(account=account, name=name, order=order)
    page.goto(live_server.url + reverse("admin:configuration_breakreason_changelist"))


def drag(page, what, onto) -> None:
    start, end = what.bounding_box(), onto.bounding_box()
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2 + 12, steps=8)
    page.mouse.up()


def test_a_row_is_dragged_to_its_place_and_stays_there(page, reasons, account):
    drag(page, handle(page, "Meal"), handle(page, "Meeting"))
    expect(page.locator(".sort-said")).to_have_text("The order is saved.")
    assert names(account) == ["Rest", "Meeting", "Meal"]
    page.reload()
    assert [row.inner_text().split("\t")[-2].strip() for row in page.locator("#result_list tbody tr").all()] == [
        "Rest",
        "Meeting",
        "Meal",
    ]


def test_a_row_is_moved_by_the_arrow_keys(page, reasons, account):
    handle(page, "Meeting").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator(".sort-said")).to_have_text("The order is saved.")
    assert names(account) == ["Meeting", "Meal", "Rest"]
    assert handle(page, "Meeting").evaluate("handle => handle === document.activeElement")


def test_a_reply_stays_in_its_group_when_dragged(page, live_server, account):
    for n, group_name in enumerate(["Greetings", "Closing"]):
        group = QuickReplyGroup.objects.create(account=account, name=group_name, order=n)
        for order in range(2):
            QuickReply.objects.create(account=account, group=group, title=f"{group_name} {order}", text="x", order=order)
    page.goto(live_server.url + reverse("admin:configuration_quickreply_changelist"))
    drag(page, handle(page, "Greetings 0"), handle(page, "Closing 1"))
    expect(page.locator(".sort-said")).to_have_text("The order is saved.")
    titles = list(QuickReply.objects.order_by(*QuickReply._meta.ordering).values_list("title", flat=True))
    assert titles == ["Greetings 1", "Greetings 0", "Closing 0", "Closing 1"]


def test_an_order_that_cannot_be_saved_is_said(page, reasons, account):
    page.route("**/sort/", lambda route: route.abort())
    handle(page, "Meeting").press("ArrowUp")
    expect(page.locator(".sort-said.is-bad")).to_be_visible()
    assert names(account) == ["Meal", "Rest", "Meeting"]
    page.unroute("**/sort/")
    page.complaints.clear()  # of the request that was cut off


def test_a_pop_up_is_previewed_as_one_types_and_nothing_is_asked_for(page, live_server, account):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(live_server.url + reverse("admin:configuration_screenpop_add"))
    page.fill("[name=name]", "CRM")
    page.fill("[name=url_template]", "https://crm.example.com/?n=")
    page.locator('[data-insert="{caller_number}"]').click()
    expect(page.locator(".pop-address code")).to_have_text("https://crm.example.com/?n=%2B8613800138000")
    page.check("[name=fields_shown][value=location]")
    page.check("[name=fields_shown][value=caller_number]")
    expect(page.locator(".pop-card dt")).to_have_text(["Caller number", "Location"])
    page.get_by_role("button", name="Move location:").press("ArrowUp")
    page.get_by_role("button", name="Move location:").press("ArrowUp")
    expect(page.locator(".pop-card dt")).to_have_text(["Location", "Caller number"])
    page.fill("[name=url_template]", "http://crm.example.com")
    expect(page.locator("[data-live] .setup-bad")).to_contain_text("https://")
    page.fill("[name=url_template]", "https://crm.example.com/{caller_number}")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/screenpop/")
    assert ScreenPop.objects.get().fields_shown == ["location", "caller_number"]
    assert not [url for url in asked if "crm.example.com" in url]


def test_a_reply_is_previewed_with_its_placeholders(page, live_server, account):
    group = QuickReplyGroup.objects.create(account=account, name="Greetings")
    reply = QuickReply.objects.create(account=account, group=group, title="Hello", text="Hello {agent_name}")
    page.goto(live_server.url + reverse("admin:configuration_quickreply_change", args=[reply.pk]))
    expect(page.locator(".setup-said")).to_have_text("Hello Li Na")
    page.locator("[name=text]").press("End")
    page.locator('[data-insert="{provider}"]').click()
    expect(page.locator(".setup-said")).to_have_text("Hello Li NaChina Mobile")


def test_a_prompt_is_uploaded_and_played(page, live_server, account):
    page.goto(live_server.url + reverse("admin:configuration_ivrprompt_add"))
    expect(page.locator("[name=text]")).to_be_visible()
    expect(page.locator("[name=audio]")).to_be_hidden()
    page.fill("[name=code]", "welcome")
    page.select_option("[name=kind]", "audio")
    expect(page.locator("[name=text]")).to_be_hidden()
    page.set_input_files("[name=audio]", {"name": "hello.wav", "mimeType": "audio/wav", "buffer": tone(3)})
    page.get_by_role("button", name="Save and continue editing").click()
    page.wait_for_url("**/change/")
    prompt = IvrPrompt.objects.get()
    assert prompt.audio_bytes == len(tone(3))
    page.evaluate("document.querySelector('audio').play()")
    page.wait_for_function("document.querySelector('audio').currentTime > 0.2")
    assert page.evaluate("Math.round(document.querySelector('audio').duration)") == 3


def test_a_number_is_checked_without_leaving_a_trace_in_the_address(page, live_server, account):
    BlockedNumber.objects.create(account=account, number="+86138", is_prefix=True, reason="Region")
    page.goto(live_server.url + reverse("admin:configuration_blockednumber_changelist"))
    page.fill("form[data-live-form] [name=number]", "138 0013 8000")
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".setup-found")).to_contain_text("Region")
    assert "138" not in page.url


def test_keywords_are_marked_while_one_types(page, live_server, account):
    Keyword.objects.create(account=account, phrase="refund")
    page.goto(live_server.url + reverse("admin:configuration_keyword_changelist"))
    page.get_by_text("Try your keywords on a text").click()
    page.fill("[name=text]", "I want a REFUND now")
    expect(page.locator(".setup-text mark")).to_have_text("REFUND")


def test_a_key_gets_its_end_from_a_choice_and_asks_for_a_time_only_then(page, live_server, account):
    page.goto(live_server.url + reverse("admin:configuration_apikey_add"))
    expect(page.locator("[name=expires_at_0]")).to_be_hidden()
    page.select_option("[name=lasts]", "")
    expect(page.locator("[name=expires_at_0]")).to_be_visible()


@pytest.mark.parametrize("model", ["role", "blockednumber", "keyword", "screenpop", "breakreason"])
def test_the_lists_fit_a_phone(page, live_server, account, model):
    BreakReason.objects.create(account=account, name="Meal")
    BlockedNumber.objects.create(account=account, number="+8613800138000")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(live_server.url + reverse(f"admin:configuration_{model}_changelist"))
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
