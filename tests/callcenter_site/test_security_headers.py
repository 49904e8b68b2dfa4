"""Every answer, whoever gives it and however it goes wrong, carries what keeps a browser safe."""

import asyncio
import re

import pytest
from django.conf import settings as portal
from django.test import Client
from django.test.utils import override_settings

from callcenter_site import streams

PAGES = [
    "/admin/login/",
    "/security/",
    "/privacy/",
    "/api/v1/agents/",
    "/api/docs/",
    "/healthz",
    "/no-such-page",
    "/api/v1/no-such-page",
    "/sign-in/password/forgotten/",
]
SCRIPTS_FROM = {"'self'", "'unsafe-eval'"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def over_tls(settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True


def directives(answer) -> dict[str, set[str]]:
    return {
        name: set(rest) for name, *rest in (part.split() for part in answer["Content-Security-Policy"].split(";") if part.strip())
    }


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_says_what_a_browser_may_do_with_it(client, over_tls, path):
    answer = client.get(path, secure=True)
    assert answer.status_code in (200, 401, 404)
    policy = directives(answer)
    assert policy["script-src"] <= SCRIPTS_FROM
    assert policy["frame-ancestors"] == policy["object-src"] == {"'none'"}
    assert policy["base-uri"] == policy["form-action"] == policy["default-src"] == {"'self'"}
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Strict-Transport-Security"].startswith("max-age=31536000; includeSubDomains")
    assert "geolocation=()" in answer["Permissions-Policy"]


def test_an_answer_of_a_failure_carries_them_as_well(over_tls, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("configuration.security_views.rights_of_roles", fails)
    answer = Client(raise_request_exception=False).get("/security/", secure=True)
    assert answer.status_code == 500
    assert directives(answer)["frame-ancestors"] == {"'none'"}
    assert answer["Strict-Transport-Security"] and answer["X-Content-Type-Options"] == "nosniff"


def test_a_plain_request_is_sent_to_https_before_anything_is_looked_at(client, over_tls, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = client.get("/admin/login/")
    assert (answer.status_code, answer["Location"]) == (301, "https://testserver/admin/login/")


@pytest.mark.parametrize(
    "path", ["/admin/login/", "/security/", "/privacy/", "/api/docs/", "/sign-in/password/forgotten/", "/no-such-page"]
)
def test_no_page_holds_a_script_or_takes_one_from_elsewhere(client, path):
    page = client.get(path).content.decode()
    for attributes, body in re.findall(r"<script\b([^>]*)>(.*?)</script>", page, re.S):
        source = re.search(r'src="([^"]*)"', attributes)
        if "application/json" in attributes:
            continue
        assert not body.strip()
        assert source and source[1].startswith("/"), attributes
    assert not re.search(r"\son[a-z]+=", re.sub(r"@[a-z.]+=", "", page))
    for link in re.findall(r'<link[^>]+href="([^"]*)"', page):
        assert link.startswith("/"), link


def test_pages_with_people_on_them_are_not_kept_by_the_browser(client):
    for path in ("/admin/login/", "/sign-in/password/forgotten/"):
        assert "no-store" in client.get(path)["Cache-Control"]


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(client, over_tls):
    client.get("/admin/login/", secure=True)
    assert client.cookies["csrftoken"]["samesite"] == "Lax" and client.cookies["csrftoken"]["secure"]
    assert portal.SESSION_COOKIE_HTTPONLY and portal.SESSION_COOKIE_SAMESITE == "Lax"


@override_settings(REDIS_URL="")
def test_a_stream_that_is_refused_or_runs_is_neither_kept_nor_guessed_at():
    sent = []

    async def ask(path: str, query: str) -> None:
        async def receive():
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
        await streams.Streams(None)(scope, receive, send)

    asyncio.run(ask(streams.PATH, "to=nothing"))
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    assert sent[0]["status"] in (400, 403, 404)
    assert "no-store" in headers["cache-control"] and headers["x-content-type-options"] == "nosniff"
