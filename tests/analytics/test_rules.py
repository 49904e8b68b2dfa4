"""Rules of counting that hold for any figures: queues over time, stretches cut at borders, percentiles, steps of a period."""

import datetime as dt
import itertools
import math
import zoneinfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analytics import live
from analytics.counting import _split
from analytics.metrics import CATALOGUE, METRICS, WAIT_EDGES, WAITED, Source
from analytics.models import QueueInterval
from analytics.periods import STEPS, stretches
from analytics.reports import Period
from callcenter_site.slots import SLOT, SLOT_SECONDS
from calls.models import QueueEntry
from tests.analytics.events import post
from tests.analytics.test_agent_counts import drain
from tests.analytics.test_rollup import LATER, TEN, actor_of, groups, worked_example

__all__ = ["groups"]
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
SHORT_DAY, LONG_DAY = dt.date(2026, 3, 8), dt.date(2026, 11, 1)

# --- Little ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_length_of_the_queue_over_time_is_what_callers_waited(account, groups):
    """8: what live figures say from moment to moment, and what is counted of it afterwards, are the same seconds."""
    items = sorted((item for story in worked_example(account) for item in story.items), key=lambda item: item["time"])
    border = TEN + dt.timedelta(minutes=30)
    lengths: list[tuple[dt.datetime, dict[str, int]]] = []
    for time, some in itertools.groupby(items, key=lambda item: item["time"]):
        now = dt.datetime.fromisoformat(time)
        post(account, list(some), at=now)
        told = live.now(actor=actor_of(account), at=now)
        lengths.append((now, {group.name: group.queues.in_queue + group.queues.ringing for group in told.groups}))
    drain(at=LATER)

    def over_time(name, start, end):
        total = 0.0
        for (since, found), (until, _next) in itertools.pairwise(lengths):
            total += found[name] * max(0.0, (min(until, end) - max(since, start)).total_seconds())
        return total

    hour = TEN + dt.timedelta(hours=1)
    entries = QueueEntry.objects.for_account(account).values_list("skill_group__name", "entered_at", "left_at")
    for name, waits in (("S", 254.0), ("T", 70.0)):
        assert over_time(name, TEN, hour) == waits
        counted = QueueInterval.objects.filter(skill_group=groups[name]).values_list("wait_seconds", flat=True)
        assert math.fsum(counted) == waits
        for start, end in ((TEN, border), (border, hour)):  # clipped to the window: c8 waits over the border
            clipped = [
                max(0.0, (min(left, end) - max(entered, start)).total_seconds())
                for group, entered, left in entries
                if group == name
            ]
            assert over_time(name, start, end) == sum(clipped)
    assert over_time("S", TEN, border) == 10 + 4 + 40 + 90 + 15 + 10  # of the 25 that c8 waited 15 are of the second half hour
    assert {now: found["S"] for now, found in lengths}[TEN + dt.timedelta(minutes=29, seconds=50)] == 1


# --- Without a database ----------------------------------------------------------------------------------------------


@given(start=st.integers(0, 10**13), length=st.integers(0, 40 * 3600 * 1000))
def test_a_stretch_is_split_at_borders_and_nothing_is_lost(start, length):
    parts = list(_split(start, start + length))
    assert sum(part for _number, part in parts) == length
    border = SLOT_SECONDS * 1000
    assert [number for number, _part in parts] == list(range(start // border, start // border + len(parts)))
    assert all(0 < part <= border for _number, part in parts)


@given(waits=st.lists(st.floats(0, 4000).map(lambda wait: round(wait, 3)), min_size=1), share=st.sampled_from([0.5, 0.9, 0.95]))
def test_a_percentile_lies_in_the_bucket_of_the_wait_it_stands_for(waits, share):
    edges = (0, *WAIT_EDGES, math.inf)
    counters = dict.fromkeys(WAITED, 0) | {"longest_wait_seconds": max(waits)}
    for wait in waits:
        counters[f"n_waited_{max(edge for edge in edges if edge <= wait)}"] += 1
    found = {metric.percentile: metric.value(counters) for metric in CATALOGUE if metric.percentile}
    true = sorted(waits)[math.ceil(share * len(waits)) - 1]
    start = max(edge for edge in edges if edge <= true)
    end = edges[edges.index(start) + 1]
    assert start <= found[share] <= min(end, max(waits))
    assert found[0.5] <= found[0.9] <= found[0.95] <= max(waits)


@given(
    zone=st.sampled_from(["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Asia/Shanghai", "Africa/Casablanca"]),
    first=st.dates(dt.date(2024, 1, 1), dt.date(2027, 12, 31)),
    n_days=st.integers(1, 40),
    step=st.sampled_from(list(STEPS)),
)
@example(zone="America/New_York", first=SHORT_DAY, n_days=1, step="hour")
@example(zone="America/New_York", first=LONG_DAY, n_days=1, step="half_hour")
@example(zone="Australia/Lord_Howe", first=dt.date(2026, 4, 5), n_days=1, step="hour")
def test_the_steps_of_a_period_follow_each_other_and_are_the_period(zone, first, n_days, step):
    period = Period(first, first + dt.timedelta(days=n_days - 1), zoneinfo.ZoneInfo(zone))
    parts = stretches(period, step)
    assert parts[0].start == period.start and parts[-1].end == period.end
    for one, following in itertools.pairwise(parts):
        assert one.end == following.start
    assert len({part.value for part in parts}) == len(parts)
    lengths = {(end.astimezone(dt.UTC) - start.astimezone(dt.UTC)) for start, end in ((p.start, p.end) for p in parts)}
    assert all(length >= SLOT and length % SLOT == dt.timedelta() for length in lengths)
    if step == "day":
        assert lengths <= {dt.timedelta(hours=hours) for hours in (23, 23.5, 24, 24.5, 25)}


def test_days_of_another_length_are_there():
    for day, hours in ((SHORT_DAY, 23), (LONG_DAY, 25)):
        period = Period(day, day, NEW_YORK)
        assert period.end - period.start == dt.timedelta(hours=hours)
        assert len(stretches(period, "interval")) == hours * 4


def test_every_ratio_without_anything_is_nothing():
    for metric in METRICS.values():
        if metric.bottom:
            assert metric.value(dict.fromkeys(metric.counters, 0)) is None
    assert {metric.source for metric in CATALOGUE} == set(Source)
