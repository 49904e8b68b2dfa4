"""The guide to the API says what the API does: its scopes, routes, filters and every example in it."""

import io
import json
import re
import urllib.request
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client

from configuration.models import ApiKey, BlockedNumber, Keyword
from tests.callcenter_site.test_rest import schema, world  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db

GUIDE = (settings.BASE_DIR / "docs" / "api.md").read_text()
SECTIONS = re.split(r"^(?=##+ )", GUIDE, flags=re.M)
STEP = re.compile(r"""^api ([A-Z]+) ("[^"]+"|\S+)(?: '(.*?)')?$""", re.M | re.S)


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)


def told_routes() -> dict[str, tuple[list[str], list[str]]]:
    """Path, its methods, and the filters told below it (of a list: its own)."""
    found = {}
    for told in re.findall(r"^(`[\w/{}-]+` (?:[A-Z]+ ?)+.*?)\n(?=\n)", GUIDE, re.M | re.S):
        routes, _, filters = told.partition("Filters:")
        for path, methods in re.findall(r"`([\w/{}-]+)` ((?:[A-Z]+ ?)+)", routes):
            found[path] = (methods.split(), names(filters))
    return found


def test_every_route_is_told_with_its_methods_and_no_other(schema):  # noqa: F811
    there = {path.removeprefix("/api/v1/"): {method.upper() for method in methods} for path, methods in schema["paths"].items()}
    assert {path: set(methods) for path, (methods, _filters) in told_routes().items()} == there


def test_every_filter_is_told_and_no_other(schema):  # noqa: F811
    told = told_routes()
    for path, methods in schema["paths"].items():
        name = path.removeprefix("/api/v1/")
        asked = [one["name"] for one in methods.get("get", {}).get("parameters", []) if one["in"] == "query"]
        if "cursor" in asked:
            assert sorted(told[name][1]) == sorted(set(asked) - {"cursor", "limit"}), name


def test_every_scope_is_told_and_no_other():
    table = GUIDE.partition("## Keys and scopes")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z:]+)` \|", table, re.M) == list(ApiKey.Scope.values)


def test_every_refusal_that_is_described_is_told(schema):  # noqa: F811
    described = {code for methods in schema["paths"].values() for told in methods.values() for code in told["responses"]}
    table = GUIDE.partition("## Errors")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `(\d+)` \|", table, re.M))
    assert {code for code in described if code >= "400"} <= told


def assert_holds(told: Any, got: Any, place: str) -> None:
    """What is told is in the answer; the answer may say more."""
    if isinstance(told, dict):
        assert set(told) <= set(got), place
        for name, value in told.items():
            assert_holds(value, got[name], f"{place}.{name}")
    elif isinstance(told, list):
        assert len(told) == len(got), place
        for number, value in enumerate(told):
            assert_holds(value, got[number], f"{place}[{number}]")
    else:
        assert told == got, place


RUN = [section for section in SECTIONS if any(kind == "sh" and STEP.search(code) for kind, code in blocks(section))]


@pytest.mark.parametrize("section", RUN, ids=lambda section: section.partition("\n")[0].strip("# "))
def test_the_examples_of_each_section_run_and_answer_as_told(section, world, api_key):  # noqa: F811
    client = Client(headers={"authorization": f"Api-Key {api_key}"})
    Keyword.objects.all().delete()
    BlockedNumber.objects.all().delete()
    answer: Any = None
    with transaction.atomic():
        for kind, code in blocks(section):
            if kind == "json":
                assert_holds(json.loads(code), answer.json(), section.partition("\n")[0])
            for method, path, body in STEP.findall(code) if kind == "sh" else ():
                if body:
                    json.loads(body)
                address = f"/api/v1/{path.strip(chr(34))}"
                answer = (
                    client.generic(method, address, body, content_type="application/json")
                    if method != "GET"
                    else client.get(address)
                )
                assert answer.status_code < 300, f"{method} {path}: {answer.content[:300]!r}"
        transaction.set_rollback(True)


def test_every_kind_of_row_has_an_example_in_the_shell_and_in_python():
    """What is only read is read in it."""
    shell = "\n".join(code for kind, code in blocks(GUIDE) if kind == "sh")
    (program,) = [code for kind, code in blocks(GUIDE) if kind == "python"]
    for path, (methods, _filters) in told_routes().items():
        if "{" in path or path in ("events", "calls/", "live/", "summary/"):
            continue
        verb = "POST" if "POST" in methods else "GET"
        assert re.search(rf'^api (POST|PATCH|GET) "?{re.escape(path)}', shell, re.M), path
        if path.count("/") == 1 and path != "rights/":
            assert f'"{path}"' in program, f"{verb} {path}"


def test_the_python_program_runs_as_it_stands(client, api_key, monkeypatch, capsys):
    def urlopen(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        headers = {name: value for name, value in request.header_items() if name != "Content-type"}
        sent = {"data": request.data or b"", "content_type": "application/json"}
        path = request.full_url.partition("/api/v1/")[2]
        answer = client.generic(request.get_method(), f"/api/v1/{path}", **sent, headers=headers)
        assert answer.status_code < 300, f"{request.get_method()} {path}: {answer.content!r}"
        return io.BytesIO(answer.content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setenv("PORTAL_KEY", api_key)
    (program,) = [code for kind, code in blocks(GUIDE) if kind == "python"]
    exec(compile(program, "docs/api.md", "exec"), {"__name__": "told"})
    told = "['3001'] ['break'] https://help.example.com/?from=%2B8613800138000 1 True Asia/Shanghai\n"
    assert capsys.readouterr().out == told
