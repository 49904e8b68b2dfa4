"""Administrators are told of a plan's end when its grace begins, 7 days and 1 day before the grace ends, each once."""

import datetime as dt
import smtplib

import pytest
from django.core import mail

from configuration.models import Role
from retention import plans, telling
from retention.models import PlanNotice, StoragePlan
from tests.factories import AccountFactory, AgentFactory

LAST = dt.date(2026, 8, 31)
END = dt.date(2026, 9, 14)


@pytest.fixture
def chief(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


@pytest.fixture
def plan(account, chief):
    AgentFactory(account=account)
    AgentFactory(kind=Role.Kind.ADMINISTRATOR)
    return StoragePlan.objects.create(account=account, months=12, from_day=dt.date(2026, 3, 1), to_day=LAST)


def tell(day, hour=12):
    return plans.tell_of_ends(at=dt.datetime.combine(day, dt.time(hour), dt.UTC))


def test_each_step_is_told_once(plan, chief):
    days = [LAST + dt.timedelta(days=n) for n in range(20)]
    again = 0
    for day in days:
        tell(day)
        again += tell(day, hour=13)
    assert [day for day in days if PlanNotice.objects.filter(told_at__date=day).exists()] == [
        LAST + dt.timedelta(days=1),
        END - dt.timedelta(days=7),
        END - dt.timedelta(days=1),
    ]
    assert again == 0
    assert [message.to for message in mail.outbox] == [[chief.email]] * 3
    assert "2026-09-14" in mail.outbox[0].subject
    assert "older than 6 months" in mail.outbox[0].body


def test_the_day_begins_with_the_accounts(plan):
    assert tell(LAST, hour=15) == 0  # 23:00 in Shanghai
    assert tell(LAST, hour=17) == 1


def test_after_an_outage_only_the_nearest_is_told(plan):
    assert tell(END - dt.timedelta(days=1)) == 1
    assert PlanNotice.objects.get().step == "day"
    assert tell(END) == 0


def test_a_plan_that_another_follows_is_not_told(account, plan):
    StoragePlan.objects.create(account=account, months=12, from_day=dt.date(2026, 9, 1))
    assert tell(LAST + dt.timedelta(days=1)) == 0


def test_a_plan_followed_by_a_shorter_one_is_told_with_what_remains(account, plan):
    StoragePlan.objects.create(account=account, months=9, from_day=dt.date(2026, 9, 1))
    assert tell(LAST + dt.timedelta(days=1)) == 1
    assert "older than 9 months" in mail.outbox[0].body


def test_a_plan_that_is_renewed_and_lapses_again_is_told_again(plan):
    tell(LAST + dt.timedelta(days=1))
    StoragePlan.objects.update(to_day=dt.date(2027, 8, 31))
    assert tell(LAST + dt.timedelta(days=2)) == 0
    assert tell(dt.date(2027, 9, 1)) == 1


def test_a_mail_server_that_is_away_is_asked_again(plan, monkeypatch):
    def away(**kwargs):
        raise smtplib.SMTPServerDisconnected

    with monkeypatch.context() as patch:
        patch.setattr(telling, "tell_administrators", away)
        assert tell(LAST + dt.timedelta(days=1)) == 0
    assert not PlanNotice.objects.exists()
    assert tell(LAST + dt.timedelta(days=1), hour=13) == 1


def test_mails_are_in_the_accounts_language_and_name_nobody(plan, account, chief):
    account.language = "zh-hans"
    account.save()
    tell(LAST + dt.timedelta(days=1))
    assert chief.name not in mail.outbox[0].body
    assert AccountFactory().name not in mail.outbox[0].body
