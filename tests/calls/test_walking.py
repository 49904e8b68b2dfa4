"""Lists that several conditions narrow: whole where there is time, and honest about how far they came where not."""

import datetime as dt
import itertools

import pytest
from django.test import Client
from django.utils import timezone

from calls import narrowing, walking
from calls.models import Call
from calls.walking import Walk
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory, CallFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/calls/call/"
START = dt.datetime(2026, 3, 2, 9, 0, 0, 250_000, tzinfo=dt.UTC)
PAIR = "period=all&direction=inbound&answered=no"


@pytest.fixture
def calls(account):
    """Forty calls an hour or days apart, one in four missed."""
    made = []
    for n in range(40):
        at = START + dt.timedelta(hours=n + 30 * (n // 10) ** 2)
        made.append(CallFactory(account=account, started_at=at, answered_at=None if n % 4 == 0 else at, direction="inbound"))
    return made


@pytest.fixture
def missed(calls):
    return [call.pk for call in reversed(calls) if call.answered_at is None]


@pytest.fixture
def no_time(monkeypatch):
    """Time for one stretch only, each twice as long as the one before."""
    ticks = itertools.count()
    monkeypatch.setattr(walking, "BUDGET_SECONDS", 0.01)
    monkeypatch.setattr(walking.time, "monotonic", lambda: 0.05 * next(ticks))


def rows(account, order):
    return Call.objects.for_account(account).filter(answered_at=None).order_by(order)


@pytest.mark.parametrize("order", ["-started_at", "started_at"])
def test_a_walk_with_time_finds_all_in_order(account, missed, order):
    walk = Walk(account.pk, None, None, is_newest_first=order == "-started_at")
    assert walk.ids(rows(account, order), wanted=100, needed=0) == (missed if order == "-started_at" else missed[::-1])
    assert walk.reached is None


@pytest.mark.parametrize("wanted", [1, 3, 9])
def test_no_more_than_wanted_are_given(account, missed, wanted):
    walk = Walk(account.pk, None, None)
    assert walk.ids(rows(account, "-started_at"), wanted=wanted, needed=0) == missed[:wanted]
    assert walk.reached is None


@pytest.mark.parametrize("order", ["-started_at", "started_at"])
def test_walks_that_are_cut_off_and_gone_on_with_meet_each_call_once(account, missed, no_time, order):
    newest_first, found, start, end = order == "-started_at", [], None, None
    for _ in range(1000):
        walk = Walk(account.pk, start, end, is_newest_first=newest_first)
        part = rows(account, order)
        part = part.filter(started_at__gte=start) if start else part
        part = part.filter(started_at__lt=end) if end else part
        found += walk.ids(part, wanted=100, needed=0)
        if walk.reached is None:
            break
        assert walk.reached.microsecond == 0, "the address that goes on has whole seconds"
        start, end = (start, walk.reached) if newest_first else (walk.reached, end)
    assert found == (missed if newest_first else missed[::-1])


def test_what_stands_before_the_page_asked_for_is_looked_for_longer(account, missed, no_time, monkeypatch):
    monkeypatch.setattr(walking, "MOST_BUDGETS", 10_000)
    short, long = Walk(account.pk, None, None), Walk(account.pk, None, None)
    assert len(short.ids(rows(account, "-started_at"), wanted=100, needed=0)) < len(
        long.ids(rows(account, "-started_at"), wanted=100, needed=5)
    )


def test_where_there_is_no_call_nothing_is_walked(account):
    walk = Walk(account.pk, None, None)
    assert walk.ids(rows(account, "-started_at"), wanted=10, needed=0) == [] and walk.reached is None


def test_another_accounts_calls_are_neither_ends_nor_found(account, missed):
    other = CallFactory(account=AccountFactory(), started_at=START - dt.timedelta(days=900), answered_at=None)
    walk = Walk(account.pk, None, None, is_newest_first=False)
    assert walk._ends()[0] > other.started_at
    assert other.pk not in walk.ids(rows(account, "started_at"), wanted=100, needed=0)


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def page(person, query):
    client = Client()
    client.force_login(person)
    return client.get(f"{LIST}?{query}")


def test_the_list_is_whole_where_there_is_time(boss, missed, monkeypatch):
    monkeypatch.setattr(narrowing, "FEW", -1)
    shown = page(boss, PAIR)
    assert [call.pk for call in shown.context["cl"].result_list] == missed
    assert "were not looked at" not in shown.content.decode() and "10 service records" in shown.content.decode()


def test_a_list_that_was_cut_off_says_how_far_it_came_and_leads_on(boss, missed, monkeypatch, no_time):
    monkeypatch.setattr(narrowing, "FEW", -1)
    found, query = [], PAIR
    for _ in range(1000):
        shown = page(boss, query)
        changes = shown.context["cl"]
        found += [call.pk for call in changes.result_list]
        if changes.beyond is None:
            break
        text = shown.content.decode()
        assert "Look at older calls" in text and changes.paginator.is_bounded
        assert ("No call since" in text) == (not changes.result_list)
        query = changes.beyond["link"].removeprefix("?")
    assert found == missed and "to=" in query and "answered=no" in query


def test_a_list_by_one_condition_or_of_few_is_not_walked(boss, calls, account, no_time):
    assert page(boss, "period=all&answered=no").context["cl"].beyond is None
    sought = page(boss, "period=all&answered=no&talk_from=5")
    assert sought.context["cl"].queryset.is_sought and sought.context["cl"].beyond is None


def test_a_week_hour_that_cannot_be_read_is_no_failure(boss, calls):
    assert page(boss, "period=all&week_hour=9-99&answered=no").status_code == 302


def test_the_few_are_given_out_whole(boss, account):
    now = timezone.now()
    made = [
        CallFactory(account=account, started_at=now - dt.timedelta(minutes=n), total_seconds=9, ended_at=now) for n in range(5)
    ]
    shown = page(boss, "period=all&length_from=5")
    assert [call.pk for call in shown.context["cl"].result_list] == [call.pk for call in made]
