"""A ringing call at the desk, in a real browser and against the portal as it is served, streams and worker included."""

import contextlib
import datetime as dt
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(settings.REDIS_URL), reason="starts a portal with nothing configured; once is enough"),
]

PHONE, SCREEN = {"width": 360, "height": 740}, {"width": 1440, "height": 900}
PASSWORD = "correct horse battery"
START_SECONDS = 120
SOON = 10_000
"""For this machine, whatever else it does; `benchmarks/desks.py` holds the second."""

SCENE = """
import django
django.setup()
from agents.models import Agent, SkillGroup
from configuration.access import create_built_in_roles
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey, Disposition, Keyword, QuickReply, QuickReplyGroup, Role, ScreenPop
account = Account.objects.create(name="Harbour Travel", slug="harbour", time_zone="Asia/Shanghai", region="CN", language="en")
roles = create_built_in_roles(account)
blind = Role.objects.create(account=account, name="Blind", permissions=["agents.use_desk", "calls.view_call"])
for staff_id, role in (("1001", roles["agent"]), ("1002", blind), ("1003", roles["agent"])):
    agent = Agent(account=account, role=role, staff_id=staff_id, email=f"{staff_id}@example.com", name=f"Agent {staff_id}")
    agent.set_password("PASSWORD")
    agent.save()
replies = QuickReplyGroup.objects.create(account=account, name="Bookings")
for title, text in (("Greeting", "Good morning, this is {agent_name}."), ("Refund", "It takes five working days.")):
    QuickReply.objects.create(account=account, group=replies, title=title, text=text)
pop = ScreenPop.objects.create(account=account, name="CRM", url_template="https://crm.example.com/?n={caller_number}")
SkillGroup.objects.create(account=account, name="Bookings", screen_pop=pop, quick_reply_group=replies, wrap_up_seconds=60)
Disposition.objects.create(account=account, name="Booked")
Disposition.objects.create(account=account, name="Complaint")
Keyword.objects.create(account=account, phrase="refund")
print(create_api_key(account=account, name="pbx", scopes=[ApiKey.Scope.EVENTS_WRITE, ApiKey.Scope.CALLS_READ])[1])
""".replace("PASSWORD", PASSWORD)


class Portal:
    """`manage.py serve` with a folder of its own, which may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = os.environ | {
            "VAR_DIR": str(folder),
            "LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "callcenter_site.settings",
        }
        self.run("manage.py", "migrate", "--verbosity", "0")
        self.run("manage.py", "collectstatic", "--noinput", "--verbosity", "0")
        self.key = self.run("-c", SCENE).strip().splitlines()[-1]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.process: subprocess.Popen | None = None

    def run(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=settings.BASE_DIR, env=self.env, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def start(self) -> None:
        command = [sys.executable, "manage.py", "serve", "--port", str(self.port)]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=self.env, stdout=log, stderr=log)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=5):
                return
            time.sleep(0.2)
        raise AssertionError(f"the portal did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def ask(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Api-Key {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=30) as answer:
            return json.load(answer)

    def tell(self, call: str, *events: tuple[str, float, dict[str, Any]]) -> None:
        now = dt.datetime.now(dt.UTC)
        items = [
            {
                "specversion": "1.0",
                "source": "pbx",
                "id": f"{call}-{kind}-{time.time_ns()}-{place}",
                "type": kind,
                "subject": call,
                "time": (now + dt.timedelta(seconds=seconds)).isoformat(),
                "data": data,
            }
            for place, (kind, seconds, data) in enumerate(events)
        ]
        assert self.ask("/api/v1/events", items)["accepted"] == len(items)

    def ring(self, call: str, staff_id: str) -> None:
        numbers = {"calling_number": "+8613800138000", "called_number": "+861055500001"}
        self.tell(
            call,
            ("call.started", -30, {"direction": "inbound", "provider": "China Mobile", "location": "Beijing", **numbers}),
            ("call.ivr_prompted", -29, {"step": "reason", "prompt": "What is it about?", "kind": "tts"}),
            ("call.ivr_input", -25, {"step": "reason", "input": "I want a refund", "kind": "speech"}),
            ("call.queued", -20, {"skill_group": "Bookings"}),
            ("call.ringing", -1, {"agent": staff_id, "skill_group": "Bookings"}),
        )

    def record(self, call: str) -> dict[str, Any]:
        rows = self.ask(f"/api/v1/calls/?call_id={call}")["results"]
        assert len(rows) == 1
        return rows[0]

    def looks(self) -> int:
        with sqlite3.connect(self.folder / "portal.sqlite3") as database:
            return database.execute("SELECT COUNT(*) FROM configuration_auditentry WHERE look = 'numbers'").fetchone()[0]


@pytest.fixture(scope="module")
def portal(tmp_path_factory) -> Iterator[Portal]:
    running = Portal(tmp_path_factory.mktemp("portal"))
    running.start()
    yield running
    running.stop()


@contextlib.contextmanager
def desk_of(browser, portal: Portal, staff_id: str, viewport=SCREEN) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=viewport, base_url=portal.url)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto("/admin/login/?next=/desk/")
    page.get_by_label("Email").fill(f"{staff_id}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/desk/")
    hears(page)
    yield context
    context.close()


def hears(page: Page) -> None:
    expect(page.locator(".desk.is-live")).to_have_count(1, timeout=START_SECONDS * 1000)


def panel(page: Page):
    return page.locator("[data-call]")


def stage(page: Page, name: str) -> None:
    expect(page.locator(f"[data-call][data-stage={name}]")).to_be_visible(timeout=SOON)


def fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def eventually(check) -> None:
    until = time.monotonic() + SOON / 1000
    while not check() and time.monotonic() < until:
        time.sleep(0.1)
    assert check()


@pytest.mark.parametrize("viewport", [SCREEN, PHONE], ids=["screen", "phone"])
def test_a_call_from_its_ringing_to_its_finished_record(browser, portal, viewport):
    call = f"whole-{viewport['width']}"
    with desk_of(browser, portal, "1001", viewport) as context:
        page = context.pages[0]
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        portal.ring(call, "1001")
        stage(page, "ringing")
        assert page.title().startswith("☎ ")
        for text in ("+86 138 0013 8000", "China Mobile", "Beijing", "Bookings", "What is it about?"):
            expect(panel(page)).to_contain_text(text)
        expect(panel(page).locator("mark")).to_have_text("refund")
        link = panel(page).get_by_role("link", name="Open customer page")
        assert link.get_attribute("href") == "https://crm.example.com/?n=%2B8613800138000"
        assert "noopener" in (link.get_attribute("rel") or "")
        expect(panel(page).locator("textarea")).to_have_count(0)
        assert fits(page)

        page.keyboard.press("q")
        page.keyboard.type("morning")
        expect(panel(page).locator(".call-replies li:visible")).to_have_count(1)
        page.keyboard.press("Enter")
        expect(panel(page).locator(".call-replies .is-copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == "Good morning, this is Agent 1001."

        portal.tell(call, ("call.answered", 0, {"agent": "1001", "skill_group": "Bookings"}))
        stage(page, "talking")
        assert not page.title().startswith("☎ ")
        panel(page).locator("textarea").fill("Wants the money back.")
        panel(page).get_by_role("radio", name="Complaint").check()
        portal.tell(call, ("call.ended", 0, {"party": "customer"}))
        stage(page, "write_up")
        expect(panel(page).locator("textarea")).to_have_value("Wants the money back.")
        page.reload()
        stage(page, "write_up")
        expect(panel(page).locator("textarea")).to_have_value("Wants the money back.")
        expect(panel(page).get_by_role("radio", name="Complaint")).to_be_checked()
        panel(page).locator("textarea").press("Control+Enter")
        expect(panel(page)).to_have_count(0, timeout=SOON)
        portal.tell(call, ("call.rated", 1, {"asked": True, "score": 4, "scale": 5}))
        eventually(lambda: portal.record(call)["rating_score"] == 4)
        record = portal.record(call)
        wanted = ("answered", "1001", "Bookings", "Complaint", "Wants the money back.")
        assert tuple(record[name] for name in ("outcome", "agent", "skill_group", "disposition", "remark")) == wanted
        page.reload()
        hears(page)
        expect(panel(page)).to_have_count(0)
        assert faults == []


def test_every_tab_shows_it_and_what_one_finishes_leaves_the_others(browser, portal):
    with desk_of(browser, portal, "1001") as context:
        first, second = context.pages[0], context.new_page()
        second.goto("/desk/")
        portal.ring("tabs", "1001")
        for page in (first, second):
            stage(page, "ringing")
        portal.tell("tabs", ("call.answered", 0, {"agent": "1001"}), ("call.ended", 0.1, {"party": "customer"}))
        for page in (first, second):
            stage(page, "write_up")
        first.close()  # the one that led
        panel(second).get_by_role("button", name="Put away").click()
        expect(panel(second)).to_have_count(0)
        portal.ring("tabs-2", "1001")
        stage(second, "ringing")
        portal.tell("tabs-2", ("call.ended", 0, {"party": "customer"}))
        stage(second, "missed")
        expect(panel(second)).to_have_count(0, timeout=15_000)


def test_only_the_desk_it_rings_at_shows_it(browser, portal):
    with desk_of(browser, portal, "1001") as mine, desk_of(browser, portal, "1003") as theirs:
        portal.ring("mine", "1001")
        stage(mine.pages[0], "ringing")
        theirs.pages[0].wait_for_timeout(1_000)
        expect(panel(theirs.pages[0])).to_have_count(0)
        portal.tell("mine", ("call.ended", 0, {"party": "customer"}))


def test_a_role_that_sees_no_whole_number_has_none_in_its_page(browser, portal):
    looks = portal.looks()
    with desk_of(browser, portal, "1002") as context:
        page = context.pages[0]
        portal.ring("masked", "1002")
        stage(page, "ringing")
        assert "138000" not in page.content().replace(" ", "")
        expect(panel(page)).to_contain_text("+8613")
        portal.tell("masked", ("call.ended", 0, {"party": "customer"}))
    assert portal.looks() == looks


def test_after_a_restart_the_desk_hears_again_and_shows_what_it_missed(browser, portal):
    with desk_of(browser, portal, "1003") as context:
        page = context.pages[0]
        portal.stop()
        expect(page.locator(".desk.is-live")).to_have_count(0, timeout=30_000)
        portal.start()
        portal.ring("restart", "1003")
        expect(panel(page)).to_be_visible(timeout=START_SECONDS * 1000)
        hears(page)
        portal.tell("restart", ("call.answered", 0, {"agent": "1003"}))
        stage(page, "talking")
        portal.tell("restart", ("call.remarked", 0, {"text": "By the platform."}))
        expect(panel(page).locator("textarea")).to_have_value("By the platform.", timeout=SOON)
        portal.tell("restart", ("call.ended", 0, {"party": "customer"}))
