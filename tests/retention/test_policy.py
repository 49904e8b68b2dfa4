"""Six calendar months, by the account's calendar."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configuration.models import Account
from retention.models import StoragePlan
from retention.policy import cutoff, end_of_day, is_expired, last_day_kept, last_expired, local_day, months, months_later
from tests.factories import AccountFactory

DAY = dt.timedelta(days=1)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("ended_on", "kept_to"),
    [
        ("2026-01-15", "2026-07-15"),
        ("2026-08-31", "2027-02-28"),
        ("2027-08-31", "2028-02-29"),  # a leap year
        ("2027-08-29", "2028-02-29"),
        ("2026-03-31", "2026-09-30"),
        ("2028-02-29", "2028-08-29"),
        ("2026-12-31", "2027-06-30"),
        ("2026-07-01", "2027-01-01"),
    ],
)
def test_a_call_is_kept_for_six_calendar_months_clamped_to_the_end_of_the_month(ended_on, kept_to):
    assert last_day_kept(day(ended_on)) == day(kept_to)


def test_the_last_day_counts_in_full():
    assert not is_expired(day("2026-01-15"), today=day("2026-07-15"))
    assert is_expired(day("2026-01-15"), today=day("2026-07-16"))


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        ("2026-07-16", "2026-01-15"),
        ("2027-02-28", "2026-08-27"),  # four days of August all expire with the end of February
        ("2027-03-01", "2026-08-31"),
        ("2028-02-29", "2027-08-28"),
        ("2028-03-01", "2027-08-31"),
        ("2026-09-30", "2026-03-29"),
        ("2026-10-01", "2026-03-31"),
        ("2026-08-31", "2026-02-28"),
    ],
)
def test_the_cutoff_compares_expiry_days(today, expected):
    assert last_expired(today=day(today), months=6) == day(expected)


@given(st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1)), st.integers(6, 120))
def test_the_cutoff_is_the_very_last_expired_day(today, kept):
    last = last_expired(today=today, months=kept)
    assert is_expired(last, today=today, months=kept)
    assert not is_expired(last + DAY, today=today, months=kept)


@given(st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1)), st.integers(-30, 30))
def test_a_month_later_is_in_that_month(start, months):
    later = months_later(start, months)
    assert later.year * 12 + later.month == start.year * 12 + start.month + months
    assert later.day <= start.day


def test_the_day_is_the_accounts_own(db):
    at = dt.datetime(2026, 7, 15, 23, 30, tzinfo=dt.UTC)
    shanghai, honolulu = (AccountFactory(time_zone=name) for name in ("Asia/Shanghai", "Pacific/Honolulu"))
    assert local_day(shanghai, at) == day("2026-07-16")
    assert local_day(honolulu, at) == day("2026-07-15")
    assert cutoff(shanghai, at=at) == day("2026-01-15")
    assert cutoff(honolulu, at=at) == day("2026-01-14")


def test_a_day_ends_where_the_clock_was_changed_too():
    account = Account(time_zone="America/New_York")
    assert end_of_day(account, day("2025-03-09")) == dt.datetime(2025, 3, 10, 4, tzinfo=dt.UTC)
    assert end_of_day(account, day("2025-03-08")) == dt.datetime(2025, 3, 9, 5, tzinfo=dt.UTC)


# --- Storage plans ---------------------------------------------------------------------------------------------------


def plan(account, kept, from_day, to_day=None, **fields):
    return StoragePlan.objects.create(
        account=account, months=kept, from_day=day(from_day), to_day=to_day and day(to_day), **fields
    )


@pytest.mark.parametrize(
    ("today", "kept"),
    [
        ("2026-02-28", 6),
        ("2026-03-01", 12),  # its first day
        ("2026-08-31", 12),  # its last
        ("2026-09-01", 12),  # the grace begins
        ("2026-09-14", 12),  # and its last day
        ("2026-09-15", 6),
    ],
)
def test_a_plan_counts_from_its_first_day_to_the_end_of_its_grace(account, today, kept):
    plan(account, 12, "2026-03-01", "2026-08-31")
    assert months(account, today=day(today)) == kept
    assert months(AccountFactory(), today=day(today)) == 6


def test_of_plans_that_overlap_the_longest_counts(account):
    plan(account, 24, "2026-01-01", "2026-03-31", kind="trial")
    plan(account, 12, "2026-02-01")
    assert [months(account, today=day(text)) for text in ("2026-01-15", "2026-02-15", "2026-04-14", "2026-04-15")] == [
        24,
        24,
        24,
        12,
    ]


def test_a_plan_without_an_end_goes_on(account):
    plan(account, 12, "2020-01-01")
    assert months(account, today=day("2040-01-01")) == 12


def test_a_plan_moves_the_cutoff(account):
    plan(account, 12, "2026-01-01")
    assert cutoff(account, at=dt.datetime(2026, 7, 16, 12, tzinfo=dt.UTC)) == day("2025-07-15")
