"""Device checks as their administrator reads them."""

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.models import DeviceCheck
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db

LIST = "admin:agents_devicecheck_changelist"


def check(agent, **values) -> DeviceCheck:
    return DeviceCheck.objects.create(account=agent.account, agent=agent, **{"result": "good"} | values)


def test_the_page_shows_what_is_encrypted_and_the_advice_in_words(page, agent):
    row = check(
        agent,
        result="bad",
        advice=["microphone_missing", "no such code"],
        browser="Safari 26",
        operating_system="macOS 26",
        network_type="4g",
        round_trip_ms="480",
        downlink_mbps="1.5",
        address="203.0.113.9",
    )
    shown = page.get(reverse("admin:agents_devicecheck_change", args=[row.pk])).content.decode()
    for text in ("No microphone was found", "Safari 26", "macOS 26", "480", "1.5", "203.0.113.9"):
        assert text in shown
    assert "no such code" not in shown
    assert "not fit for calls" in shown and "&#x27;bad&#x27;" not in shown


def test_nobody_types_or_deletes_one(page, agent):
    row = check(agent)
    assert page.get(reverse("admin:agents_devicecheck_add")).status_code == 403
    assert page.post(reverse("admin:agents_devicecheck_change", args=[row.pk]), {"result": "bad"}).status_code == 403
    assert page.post(reverse("admin:agents_devicecheck_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_it_narrows_by_result_agent_and_time(page, account, agent):
    now = timezone.now()
    old = check(agent, checked_at=now - dt.timedelta(days=9))
    bad = check(AgentFactory(account=account), result="bad")
    address = reverse(LIST)
    for query, rows in (
        ({"result__exact": "bad"}, [bad]),
        ({"agent__id__exact": agent.pk}, [old]),
        ({"period": "7d"}, [bad]),
        ({"to": f"{now - dt.timedelta(days=8):%Y-%m-%d}"}, [old]),
    ):
        assert list(page.get(address, query).context["cl"].result_list) == rows, query


def test_a_supervisor_sees_those_of_their_groups(account, agent, supervisor, sign_in):
    ours = check(agent)
    foreign = check(AgentFactory(account=account))
    client = sign_in(supervisor)
    assert list(client.get(reverse(LIST)).context["cl"].result_list) == [ours]
    assert client.get(reverse("admin:agents_devicecheck_change", args=[foreign.pk])).status_code == 302


def test_the_list_goes_along_an_index_at_one_cost(page, agent, django_assert_num_queries):
    for _ in range(3):
        check(agent)
    page.get(reverse(LIST))  # what a process asks once
    with CaptureQueriesContext(connection) as few:
        page.get(reverse(LIST))
    for _ in range(20):
        check(agent)
    with django_assert_num_queries(len(few)):
        page.get(reverse(LIST))
    if connection.vendor == "sqlite":
        asked = [query["sql"] for query in few if "ORDER BY" in query["sql"] and "agents_devicecheck" in query["sql"]]
        assert asked
        with connection.cursor() as cursor:
            for sql in asked:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                plan = str(cursor.fetchall())
                assert "device_check_time" in plan and "TEMP B-TREE" not in plan, plan
