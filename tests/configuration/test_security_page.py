"""The page on security says of each role what the portal itself goes by."""

import datetime as dt
import re

import pytest
from django.urls import reverse

from configuration.access import RIGHTS, ROLE_PERMISSIONS
from configuration.models import Role
from configuration.security_views import rights_of_roles

pytestmark = pytest.mark.django_db


def test_everybody_may_read_it_without_a_query_of_any_account(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = client.get("/security/")
    assert answer.status_code == 200
    page = answer.content.decode()
    for _title, rights in RIGHTS:
        for right in rights:
            assert str(right.label).replace("'", "&#x27;") in page


def test_it_says_for_how_long_sign_in_pauses_and_a_session_lasts(client, settings):
    settings.AXES_FAILURE_LIMIT, settings.AXES_COOLOFF_TIME, settings.SESSION_COOKIE_AGE = 8, 0.25, 12 * 3600
    page = client.get("/security/").text
    assert "After 8 failed attempts sign-in pauses for 15 minutes" in page and "A session ends after 12 hours." in page


def test_a_right_is_ticked_for_exactly_the_roles_that_hold_all_of_it():
    told = {str(row["label"]): row["held"] for _title, rows in rights_of_roles() for row in rows}
    assert told["Listen to recordings and voicemail"] == [True, True, True, False]
    assert told["Make and revoke API keys"] == [True, False, False, False]
    assert told["Use the agent desk"] == [True, True, False, True]
    assert len(told) == sum(len(rights) for _title, rights in RIGHTS)


def test_a_role_that_loses_a_right_loses_its_tick(monkeypatch):
    kept = ROLE_PERMISSIONS[Role.Kind.INSPECTOR] - {"calls.listen_recording"}
    monkeypatch.setitem(ROLE_PERMISSIONS, Role.Kind.INSPECTOR, kept)
    told = {str(row["label"]): row["held"] for _title, rows in rights_of_roles() for row in rows}
    assert told["Listen to recordings and voicemail"] == [True, True, False, False]


def test_the_sign_in_page_leads_there(client):
    assert reverse("security:page") in client.get("/admin/login/").content.decode()


def test_whom_to_tell_is_told_where_it_is_set(client, settings):
    assert client.get("/.well-known/security.txt").status_code == 404
    settings.SECURITY_CONTACT, settings.PUBLIC_URL = "mailto:security@portal.example.com", "https://portal.example.com"
    file = client.get("/.well-known/security.txt")
    assert file["Content-Type"].startswith("text/plain")
    fields = dict(re.findall(r"^([\w-]+): (.+)$", file.content.decode(), re.M))
    assert fields["Contact"] == "mailto:security@portal.example.com"
    assert fields["Canonical"] == "https://portal.example.com/.well-known/security.txt"
    left = dt.datetime.fromisoformat(fields["Expires"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=30) < left < dt.timedelta(days=365)  # the standard asks for less than a year
    assert "mailto:security@portal.example.com" in client.get("/security/").content.decode()
