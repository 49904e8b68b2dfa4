"""axe looks at the pages of figures and at the main lists, in a real browser, light and dark, and finds nothing."""

import datetime as dt

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page

from analytics import report_runs, wallboard
from analytics.models import Display, SavedView
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.factories import PASSWORD, AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


FIGURES = (
    "/admin/now/",
    "/admin/dashboard/",
    "/admin/dashboard/agents/",
    "/admin/dashboard/quality/",
    "/admin/reports/?metrics=offered&metrics=service_level&group_by=skill_group&period=today",
    "/admin/staffing/",
    "/admin/staffing/forecast/",
    "/admin/analytics/savedreport/",
    "/admin/analytics/reportrun/",
    "/admin/analytics/display/",
    "/admin/analytics/alertrule/",
    "/admin/analytics/alertcrossing/",
)
LISTS = (
    "/admin/calls/call/",
    "/admin/calls/voicemail/",
    "/admin/agents/agent/",
    "/admin/agents/skillgroup/",
    "/admin/configuration/role/",
    "/admin/privacy/",
)
OF_THE_THEME = (
    "[x-data='searchCommand()']",  # the palette of the theme's sidebar
    "#nav-sidebar",
    "#header",
)
"""Parts that django-unfold draws by itself on every page."""


@pytest.fixture
def center(transactional_db):
    account = AccountFactory()
    groups = [SkillGroupFactory(account=account, name=name) for name in ("Sales", "Support")]
    agent = AgentFactory(account=account, staff_id="A", name="Zhang Wei")
    for group in groups:
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


def faults_of(page: Page, **options) -> list[str]:
    """What axe finds, in one line each: the rule, and where."""
    found = Axe().run(page, **options).response["violations"]
    return [f"{one['id']} ({one['impact']}): {node['html'][:160]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_the_pages_of_figures_and_the_main_lists(browser, live_server, center, theme):
    boss = AgentFactory(account=center, kind=Role.Kind.ADMINISTRATOR)
    query = "metrics=offered&group_by=skill_group&period=today"
    report = report_runs.save_report(person=boss, name="Queues", data=QueryDict(query), is_shared=True, at=timezone.now())
    run = report_runs.open_run(actor=boss, data=QueryDict(query), kind="csv", at=timezone.now(), report=report)
    report_runs.work_on(run.pk)
    SavedView.objects.create(account=center, owner=boss, page="period", name="Mine", query="period=today", is_shared=True)
    agent = type(boss).objects.get(account=center, staff_id="A")
    pages = [
        *FIGURES,
        *LISTS,
        reverse("analytics:agent", args=[agent.pk]),
        reverse("admin:analytics_savedreport_change", args=[report.pk]),
        reverse("admin:analytics_reportrun_change", args=[run.pk]),
    ]
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.goto(f"{live_server.url}/admin/login/")
    page.fill("[name=username]", boss.email)
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    found = {}
    for address in pages:
        answer = page.goto(live_server.url + address)
        assert answer is not None and answer.status == 200, address
        page.wait_for_load_state("networkidle" if address == "/admin/dashboard/" else "load")
        for menu in page.query_selector_all("details.saved-filters > summary"):
            menu.click()
        assert ("dark" in page.evaluate("document.documentElement.className")) == (theme == "dark"), address
        faults = faults_of(page, context={"exclude": [[one] for one in OF_THE_THEME]})
        if faults:
            found[address] = faults
    context.close()
    assert found == {}, "\n".join(f"{address}: {fault}" for address, faults in found.items() for fault in faults)


def test_axe_finds_nothing_on_a_wallboard(browser, live_server, center, settings):
    settings.PUBLIC_URL = live_server.url
    display = Display.objects.create(account=center, name="Floor", queue_warning=1, queue_alarm=2)
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    page.goto(wallboard.make_link(display=display, at=timezone.now()))
    page.wait_for_selector("[data-tile=in_queue] strong:has-text('1')")
    assert faults_of(page) == []
    page.close()
