"""Six calendar months, by the account's calendar."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configuration.models import Account
from retention.policy import cutoff, end_of_day, is_expired, last_day_kept, local_day, months_later

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
    ("today", "last_expired"),
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
def test_the_cutoff_compares_expiry_days(today, last_expired):
    account = Account(time_zone="UTC")
    at = dt.datetime.combine(day(today), dt.time(12), dt.UTC)
    assert cutoff(account, at=at) == day(last_expired)


@given(st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1)))
def test_the_cutoff_is_the_very_last_expired_day(today):
    account = Account(time_zone="UTC")
    last = cutoff(account, at=dt.datetime.combine(today, dt.time(), dt.UTC))
    assert is_expired(last, today=today)
    assert not is_expired(last + DAY, today=today)


@given(st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1)), st.integers(-30, 30))
def test_a_month_later_is_in_that_month(start, months):
    later = months_later(start, months)
    assert later.year * 12 + later.month == start.year * 12 + start.month + months
    assert later.day <= start.day


def test_the_day_is_the_accounts_own():
    at = dt.datetime(2026, 7, 15, 23, 30, tzinfo=dt.UTC)
    shanghai, honolulu = (Account(time_zone=name) for name in ("Asia/Shanghai", "Pacific/Honolulu"))
    assert local_day(shanghai, at) == day("2026-07-16")
    assert local_day(honolulu, at) == day("2026-07-15")
    assert cutoff(shanghai, at=at) == day("2026-01-15")
    assert cutoff(honolulu, at=at) == day("2026-01-14")


def test_a_day_ends_where_the_clock_was_changed_too():
    account = Account(time_zone="America/New_York")
    assert end_of_day(account, day("2025-03-09")) == dt.datetime(2025, 3, 10, 4, tzinfo=dt.UTC)
    assert end_of_day(account, day("2025-03-08")) == dt.datetime(2025, 3, 9, 5, tzinfo=dt.UTC)
