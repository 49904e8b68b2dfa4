"""README and docs name what there is: settings, commands, files, headings."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from callcenter_site.schedule import TIMETABLE

ROOT: Path = settings.BASE_DIR
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def headings(page: Path) -> set[str]:
    """The anchors of a page, made as the hosts of code make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src(?:set)?="([^"]+)"', text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        goal = (page.parent / file).resolve() if file else page
        assert goal.is_file(), f"{page.name} points to {target}"
        assert not anchor or anchor in headings(goal), f"{page.name} points to {target}"


def test_the_readme_tells_every_setting_and_no_other():
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "callcenter_site" / "settings.py").read_text()))
    table = (ROOT / "README.md").read_text().partition("## Settings\n")[2].partition("\n## ")[0]
    told = {name for cell in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`([A-Z_]+)`", cell)}
    assert told == read


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page):
    told = set(re.findall(r"manage\.py ([a-z_]+)", page.read_text()))
    assert told <= set(get_commands())


def test_every_command_of_ours_is_told():
    ours = {path.stem for path in ROOT.glob("*/management/commands/*.py") if path.stem != "__init__"}
    told = set(re.findall(r"`([a-z_]+)", (ROOT / "docs" / "operations.md").read_text()))
    told |= set(re.findall(r"manage\.py ([a-z_]+)", (ROOT / "docs" / "operations.md").read_text()))
    assert ours <= told


def test_every_job_of_the_timetable_is_told():
    text = (ROOT / "docs" / "operations.md").read_text().partition("## The timetable\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| ([a-z_]+) \|", text, re.M)) - {"job"} == set(TIMETABLE)


def test_the_readme_leads_to_every_page():
    row = re.search(r"^\| `docs/` \|.*$", (ROOT / "README.md").read_text(), re.M)
    assert row is not None
    assert set(re.findall(r"\]\(docs/([^)]+)\)", row[0])) == {page.name for page in PAGES[1:]}


def test_pictures_are_small_enough_to_load_at_once():
    for picture in (ROOT / "docs" / "images").glob("*.png"):
        assert picture.stat().st_size < 250_000, picture.name
