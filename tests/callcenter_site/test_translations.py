"""The Chinese of the portal is whole, compiled, and shown to whom it should be. Needs no gettext tools."""

import ast
import gettext
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation
from django.utils.html import escape
from django.utils.translation.template import templatize

from analytics.metrics import CATALOGUE
from analytics.models import CallInterval
from callcenter_site.errors import failed
from callcenter_site.kept_sentences import in_readers_language
from calls.ingest import FOLD_FAILED, NO_SUCH_AGENT
from calls.wording import why_not_folded
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory

FOLDER = Path(settings.BASE_DIR) / "locale" / "zh_Hans" / "LC_MESSAGES"
SOURCES = ("agents", "analytics", "callcenter_site", "calls", "configuration", "retention", "templates")
HOW_TO = "run script/translations, fill in locale/zh_Hans/LC_MESSAGES/django.po, and run it again"
Key = tuple[str, str, str]
"""Context, text, and text for several; empty where there is none."""


@dataclass
class Entry:
    context: str = ""
    text: str = ""
    plural: str = ""
    said: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)

    @property
    def key(self) -> Key:
        return self.context, self.text, self.plural


def read_po(path: Path) -> list[Entry]:
    """The entries in order, the header first. Entries marked as obsolete are an error."""
    entries: list[Entry] = []
    entry, into = Entry(), ""
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        assert not line.startswith("#~"), f"obsolete: {line}"
        if not line.strip():
            if entry.said:
                entries.append(entry)
            entry = Entry()
        elif line.startswith("#,"):
            entry.flags.update(flag.strip() for flag in line[2:].split(","))
        elif not line.startswith("#"):
            keyword, _, literal = ("", "", line) if line.startswith('"') else line.partition(" ")
            into = keyword or into
            value = ast.literal_eval(literal.strip())
            if into.startswith("msgstr"):
                entry.said[into] = entry.said.get(into, "") + value
            else:
                name = {"msgctxt": "context", "msgid": "text", "msgid_plural": "plural"}[into]
                setattr(entry, name, getattr(entry, name) + value)
    return entries


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return read_po(FOLDER / "django.po")


# --- What stands in the source ---------------------------------------------------------------------------------------

_SHAPES = {"": ("text",), "n": ("text", "plural"), "p": ("context", "text"), "np": ("context", "text", "plural")}
_CALL = re.compile(r"^(n|p|np)?gettext(?:_lazy|_noop)?$")
_LITERAL = r"""(?:u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*")"""
_IN_TEMPLATE = re.compile(rf"(?<!\w)(_|n?p?gettext)\(\s*({_LITERAL}(?:\s*,\s*{_LITERAL})*)")


def _key(name: str, texts: list[str]) -> Key | None:
    found = _CALL.match("gettext" if name == "_" else name)
    shape = _SHAPES[found[1] or ""] if found else ()
    if not shape or len(texts) < len(shape):
        return None
    given = dict(zip(shape, texts, strict=False))
    return given.get("context", ""), given["text"], given.get("plural", "")


def in_python(path: Path) -> set[Key]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
    }
    keys = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in aliases:
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            keys.add(_key(aliases[node.func.id], texts))
    return {key for key in keys if key is not None}


def in_template(path: Path) -> set[Key]:
    code = templatize(path.read_text(encoding="utf-8"))
    keys = {
        _key(name, [ast.literal_eval(text) for text in re.findall(_LITERAL, texts)]) for name, texts in _IN_TEMPLATE.findall(code)
    }
    return {key for key in keys if key is not None}


def in_source() -> dict[Key, Path]:
    found: dict[Key, Path] = {}
    for folder in SOURCES:
        root = Path(settings.BASE_DIR) / folder
        for path in sorted(root.rglob("*.py")):
            found.update(dict.fromkeys(in_python(path), path))
        for path in sorted([*root.rglob("*.html"), *root.rglob("*.txt")]):
            found.update(dict.fromkeys(in_template(path), path))
    return found


def test_every_text_of_the_source_has_an_entry_and_every_entry_a_text(entries):
    source = in_source()
    known = {entry.key for entry in entries[1:]}
    assert len(source) > 500
    missing = sorted(f"{key[1]!r} in {path.relative_to(settings.BASE_DIR)}" for key, path in source.items() if key not in known)
    assert not missing, f"{HOW_TO}; without an entry: {missing}"
    unused = sorted(known - source.keys())
    assert not unused, f"{HOW_TO}; in no source: {unused}"


# --- What stands in the catalogue ------------------------------------------------------------------------------------


def test_no_entry_is_untranslated_or_unsure(entries):
    header, *texts = entries
    assert header.text == "" and "nplurals=1" in header.said["msgstr"]
    assert len({entry.key for entry in texts}) == len(texts)
    assert [entry.key for entry in texts if not all(entry.said.values()) or "fuzzy" in entry.flags] == []
    wanted = {entry.key: {"msgstr[0]"} if entry.plural else {"msgstr"} for entry in texts}
    assert {entry.key: set(entry.said) for entry in texts} == wanted


def test_no_text_is_left_in_english(entries):
    same = {entry.text for entry in entries[1:] if entry.text in entry.said.values()}
    assert same == {"IVR"}


GAPS = re.compile(r"%\(\w+\)[sd]|%%|%[sd]|\{\w*\}")


def test_a_translation_has_the_gaps_of_its_text(entries):
    for entry in entries[1:]:
        for said in entry.said.values():
            assert sorted(GAPS.findall(said)) == sorted(GAPS.findall(entry.plural or entry.text)), entry.key


def test_a_translation_can_be_filled_in(entries):
    for entry in entries[1:]:
        text = entry.plural or entry.text
        gaps = GAPS.findall(text)
        if not gaps or "{" in gaps[0]:
            continue
        names = re.findall(r"%\((\w+)\)", text)
        values = dict.fromkeys(names, 7) if names else tuple(7 for gap in gaps if gap != "%%")
        for said in entry.said.values():
            assert "7" in said % values, entry.key


def test_the_compiled_catalogue_says_what_the_text_says(entries):
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = dict(gettext.GNUTranslations(file)._catalog)  # type: ignore[attr-defined]
    del compiled[""]
    written = {}
    for entry in entries[1:]:
        name = f"{entry.context}\x04{entry.text}" if entry.context else entry.text
        written[(name, 0) if entry.plural else name] = next(iter(entry.said.values()))
    assert compiled == written, HOW_TO


# --- Who sees it -----------------------------------------------------------------------------------------------------


@pytest.fixture
def chinese(db):
    return AccountFactory(language="zh-hans")


@pytest.fixture
def person(client, chinese):
    person = AgentFactory(account=chinese, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return person


def language_of(answer) -> str:
    return re.search(r'<html lang="([\w-]+)"', answer.text)[1]


def test_pages_follow_the_account_until_the_person_chooses(client, person):
    assert language_of(client.get("/admin/dashboard/", headers={"Accept-Language": "en"})) == "zh-hans"
    client.post("/i18n/setlang/", {"language": "en", "next": "/admin/"})
    assert language_of(client.get("/admin/dashboard/")) == "en"
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/admin/"})
    assert language_of(client.get("/desk/")) == "zh-hans"


def test_the_sign_in_page_follows_the_browser_and_offers_the_choice(client, db):
    page = client.get("/admin/login/?next=/admin/", headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert language_of(page) == "zh-hans" and "邮箱" in page.text
    assert 'value="en"' in page.text and 'value="zh-hans"' in page.text
    answer = client.post("/i18n/setlang/", {"language": "en", "next": "/admin/login/?next=/admin/"})
    assert answer.url == "/admin/login/?next=/admin/"
    assert language_of(client.get(answer.url, headers={"Accept-Language": "zh-CN"})) == "en"


@pytest.mark.parametrize("path", ["/admin/dashboard/", "/admin/calls/call/", "/admin/agents/agent/", "/desk/"])
def test_signed_in_pages_offer_the_choice(client, person, path):
    page = client.get(path).text
    assert 'action="/i18n/setlang/"' in page and "English" in page and "简体中文" in page


def test_every_figure_is_named_in_chinese_on_the_dashboard(client, person):
    CallInterval.objects.create(account=person.account, slot="2026-01-01T00:00Z", direction="inbound", n_calls=1)
    page = client.get("/admin/dashboard/?period=last_month").text + client.get("/admin/dashboard/parts/?period=last_month").text
    for metric in CATALOGUE:
        for text in (metric.label, metric.help, metric.formula):
            with translation.override("zh-hans"):
                chinese = str(text)
            with translation.override("en"):
                english = str(text)
            assert chinese != english
            assert f">{escape(chinese)}<" in page, metric.name
            assert f">{escape(english)}<" not in page, metric.name


def test_the_api_speaks_english_whoever_asks(client, person, api_key):
    said = client.get("/api/v1/summary/?period=never", headers={"Accept-Language": "zh-CN"})
    assert said.json()["errors"][0]["reason"].startswith("never is no period")
    assert said.headers["Content-Language"] == "en"
    client.logout()
    said = client.get("/api/v1/calls/?limit=x", headers={"Authorization": f"Api-Key {api_key}", "Accept-Language": "zh-CN"})
    assert said.json()["errors"][0]["reason"] == "Give a number from 1 to 500."
    said = client.get("/api/v1/calls/", headers={"Accept-Language": "zh-CN"})
    assert said.json()["detail"] == "Authentication credentials were not provided."
    schema = client.get("/api/schema/", headers={"Accept-Language": "zh-CN"})
    assert schema.status_code == 200 and not re.search("[一-鿿]", schema.content.decode())


def test_what_cannot_be_shown_is_said_in_the_readers_language(client, person):
    missing = client.get("/nothing/here")
    assert missing.status_code == 404 and "没有这个页面" in missing.text and "nothing" not in missing.text
    assert client.get("/api/v1/nothing").json() == {"detail": "Not found."}
    role = Role.objects.create(account=person.account, name="Clerk", permissions=["agents.enter_admin"], data_scope="account")
    person.role = role
    person.save()
    client.force_login(person, backend="agents.sign_in.RoleBackend")  # another role ends the session
    refused = client.get("/admin/dashboard/")
    assert refused.status_code == 403 and "您无权访问" in refused.text


@pytest.mark.django_db
def test_a_failure_is_answered_without_the_theme_or_the_database(rf, django_assert_num_queries):
    with django_assert_num_queries(0), translation.override("zh-hans"):
        answer = failed(rf.get("/admin/"))
        assert answer.status_code == 500 and "出错了" in answer.content.decode()
        assert failed(rf.get("/api/v1/live/")).headers["Content-Type"] == "application/json"


def test_reasons_kept_in_english_are_read_in_the_readers_language():
    assert why_not_folded(FOLD_FAILED % {"error": "KeyError"}) == "KeyError while folding"
    with translation.override("zh-hans"):
        assert why_not_folded(NO_SUCH_AGENT) == "没有座席使用该工号或邮箱"
        assert why_not_folded(FOLD_FAILED % {"error": "KeyError"}) == "处理时出错：KeyError"
        assert why_not_folded("something older") == "something older"
        assert why_not_folded("") == ""
        assert in_readers_language("why (and how).", ["why (and how)."]) == "why (and how)."
