"""Takes the pictures of the guide from the running demo, in light and dark, and says which pages could not be taken.

    ./script/server &
    .venv/bin/python docs/pictures.py [NAME ...]

Without names all are taken. Those of `set-up.md` are of an account that is just being made, and are not among them.
"""

import argparse
import io
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).with_name("images")
WIDTH = 1440
ADMINISTRATOR, SUPERVISOR, AGENT = "administrator", "supervisor", "agent"
FIRST_ROW = "#result_list tbody th a, #result_list tbody a"


@dataclass(frozen=True)
class Picture:
    path: str
    height: int = 900
    """Pixels from the top; a page that is shorter ends where it ends."""
    who: str = ADMINISTRATOR
    click: str = ""
    """What is clicked before, such as the first row of a list."""
    width: int = WIDTH


PICTURES = {
    # Signing in
    "sign-in": Picture("/admin/login/?next=/admin/", who=""),
    "second-factor": Picture("/sign-in/second-factor/set-up/"),
    # Figures
    "now": Picture("/admin/now/", height=1300, who=SUPERVISOR),
    "dashboard": Picture("/admin/dashboard/?period=last_7_days", height=1300, who=SUPERVISOR),
    "agents-figures": Picture("/admin/dashboard/agents/?period=yesterday", height=1200, who=SUPERVISOR),
    "quality": Picture("/admin/dashboard/quality/?period=last_7_days", height=1300, who=SUPERVISOR),
    "reports": Picture(
        "/admin/reports/?metrics=offered&metrics=service_level&metrics=asa&group_by=day&group_by=skill_group&period=last_week",
        height=1400,
        who=SUPERVISOR,
    ),
    "wallboard": Picture("/wallboard/", width=1920, height=1080, who=SUPERVISOR),
    "staffing": Picture("/admin/staffing/", height=1300, who=SUPERVISOR),
    "forecast": Picture("/admin/staffing/forecast/", height=1300, who=SUPERVISOR),
    # Records
    "records": Picture("/admin/calls/call/"),
    "record": Picture("/admin/calls/call/?recording=yes&remark=yes", height=1300, click=FIRST_ROW),
    "voicemail": Picture("/admin/calls/voicemail/"),
    # People
    "agents": Picture("/admin/agents/agent/"),
    "agent": Picture("/admin/agents/agent/", height=1300, click=FIRST_ROW),
    "status-changes": Picture("/admin/agents/statuschange/"),
    "device-checks": Picture("/admin/agents/devicecheck/"),
    "roles": Picture("/admin/configuration/role/", height=1300),
    "role": Picture("/admin/configuration/role/add/", height=1000),
    "skill-groups": Picture("/admin/agents/skillgroup/"),
    # Configuration
    "account": Picture("/admin/configuration/account/"),
    "service-numbers": Picture("/admin/configuration/servicenumber/"),
    "quick-replies": Picture("/admin/configuration/quickreply/"),
    "quick-reply-groups": Picture("/admin/configuration/quickreplygroup/"),
    "pop-up": Picture("/admin/configuration/screenpop/", height=1200, click=FIRST_ROW),
    "prompts": Picture("/admin/configuration/ivrprompt/"),
    "blacklist": Picture("/admin/configuration/blockednumber/"),
    "keywords": Picture("/admin/configuration/keyword/"),
    "break-reasons": Picture("/admin/configuration/breakreason/"),
    "dispositions": Picture("/admin/configuration/disposition/"),
    "api-keys": Picture("/admin/configuration/apikey/"),
    "api-key": Picture("/admin/configuration/apikey/add/"),
    "audit-log": Picture("/admin/configuration/auditentry/"),
    "connections": Picture("/admin/calls/connection/"),
    "incoming-sounds": Picture("/admin/calls/incomingsound/"),
    "sound-sources": Picture("/admin/calls/soundsource/"),
    "unknown-names": Picture("/admin/calls/unknownname/"),
    "events": Picture("/admin/calls/callevent/"),
    # Keeping and deleting
    "privacy": Picture("/admin/privacy/", height=1400),
    "promise": Picture("/privacy/", height=1200, who=""),
    "purge-runs": Picture("/admin/retention/purgerun/"),
    # The desk
    "desk": Picture("/desk/", who=AGENT),
    "device-check": Picture("/desk/device-check/", height=1100, who=AGENT),
}


def sign_ins(file: Path) -> dict[str, tuple[str, str]]:
    """Email and password by role, from what the demo wrote down."""
    lines = re.findall(r"^  (administrator|supervisor|agent)\s+(\S+@\S+)\s+(\S+)$", file.read_text(), re.MULTILINE)
    return {role: (email, password) for role, email, password in lines}


def take(browser: Browser, base: str, people: dict[str, tuple[str, str]], wanted: list[str]) -> list[str]:
    """The names that could not be taken."""
    missing = []
    for theme in ("light", "dark"):
        for who in ("", ADMINISTRATOR, SUPERVISOR, AGENT):
            names = [name for name in wanted if PICTURES[name].who == who]
            if not names:
                continue
            context = browser.new_context(color_scheme=theme, viewport={"width": WIDTH, "height": 900})  # type: ignore[arg-type]
            page = context.new_page()
            if who:
                page.goto(f"{base}/admin/login/?next=/desk/")
                page.fill("[name=username]", people[who][0])
                page.fill("[name=password]", people[who][1])
                page.press("[name=password]", "Enter")
                page.wait_for_load_state()
            for name in names:
                file = IMAGES / f"{name}{'-dark' if theme == 'dark' else ''}.png"
                if not _take(page, base, PICTURES[name], file):
                    missing.append(file.stem)
            context.close()
    return missing


def _take(page: Page, base: str, picture: Picture, file: Path) -> bool:
    page.set_viewport_size({"width": picture.width, "height": 900})
    answer = page.goto(base + picture.path)
    if answer is None or not answer.ok:
        return False
    page.wait_for_load_state()
    if picture.click:
        link = page.locator(picture.click).first
        if not link.count():
            return False
        page.goto(link.evaluate("link => link.href"))
        page.wait_for_load_state()
    full = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": picture.width, "height": min(full, picture.height)})
    page.wait_for_timeout(2_000)  # charts draw themselves
    image = Image.open(io.BytesIO(page.screenshot()))
    # 256 colours are enough for a page, and a third of the size.
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(PICTURES)}")
    parser.add_argument("--base", default="http://127.0.0.1:8000", help="where the demo runs")
    parser.add_argument("--sign-ins", type=Path, default=Path("var/demo/sign-ins.txt"), help="what the demo wrote down")
    parser.add_argument("--chromium", default=None, help="the browser to use, if not Playwright's own")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(PICTURES)
    if unknown:
        parser.error(f"no such picture: {', '.join(sorted(unknown))}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.chromium, args=["--no-sandbox"])
        missing = take(browser, asked.base, sign_ins(asked.sign_ins), asked.names or list(PICTURES))
        browser.close()
    parser.exit(1 if missing else 0, "".join(f"not taken: {name}\n" for name in missing))


if __name__ == "__main__":
    main()
