"""The catalogue: every entry is whole, divides by nothing that is 0, and is shown as people write it."""

import pytest

from analytics.metrics import CATALOGUE, METRICS, Good, Source, Unit
from analytics.models import AgentInterval, CallInterval, QueueInterval
from analytics.tables import counters_of
from analytics.wording import change, shown

TABLES = {Source.CALLS: CallInterval, Source.QUEUES: QueueInterval, Source.AGENTS: AgentInterval}


def test_names_are_unique():
    assert len(METRICS) == len(CATALOGUE)


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_every_metric_is_made_of_counters_that_are_counted(metric):
    assert metric.counters <= set(counters_of(TABLES[metric.source]))
    assert str(metric.help) and str(metric.formula) and str(metric.label)


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_without_a_call_counts_are_zero_and_everything_divided_is_nothing(metric):
    value = metric.value(dict.fromkeys(counters_of(TABLES[metric.source]), 0))
    assert value is None if metric.bottom or metric.percentile else value == 0


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_shares_and_scores_are_divided_and_counts_are_not(metric):
    if metric.unit is Unit.COUNT:
        assert not metric.bottom
    elif metric.unit is not Unit.SECONDS:
        assert metric.bottom


def test_percentiles_are_read_off_the_buckets_and_no_wait_is_longer_than_the_longest():
    counters = dict.fromkeys(counters_of(QueueInterval), 0) | {"n_waited_0": 5, "n_waited_20": 4, "n_waited_600": 1}
    counters["longest_wait_seconds"] = 900.0
    assert [METRICS[name].value(counters) for name in ("median_wait", "wait_90", "wait_95")] == [5, 30, 750]
    assert METRICS["median_wait"].value(counters | {"n_waited_20": 0, "n_waited_600": 0, "longest_wait_seconds": 2.0}) == 1


def test_ciscos_own_example_comes_out():
    """70 answered in time, 10 abandoned in time, 20 late, 100 offered."""
    counters = dict.fromkeys(counters_of(QueueInterval), 0) | {
        "n_entries": 100,
        "n_answered": 90,
        "n_answered_in_target": 70,
        "n_abandoned": 10,
        "n_abandoned_in_target": 10,
    }
    level = {name: METRICS[f"service_level_abandons_{name}"].value(counters) for name in ("ignored", "negative", "positive")}
    assert {name: round(value, 3) for name, value in level.items()} == {"ignored": 0.778, "negative": 0.7, "positive": 0.8}


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (Unit.RATIO, None, "–"),
        (Unit.RATIO, 0, "0.0 %"),
        (Unit.RATIO, 0.625, "62.5 %"),
        (Unit.RATIO, 0.9995, "100.0 %"),
        (Unit.RATIO, 0.12345, "12.3 %"),
        (Unit.RATIO, 0.0125 + 0.00025, "1.3 %"),
        (Unit.SECONDS, 32.4, "32.4 s"),
        (Unit.SECONDS, 2.25, "2.3 s"),
        (Unit.SECONDS, 59.96, "1:00"),
        (Unit.SECONDS, 324.0, "5:24"),
        (Unit.SECONDS, 3700, "1:01:40"),
        (Unit.COUNT, 0, "0"),
        (Unit.SCORE, 4.25, "4.3"),
    ],
)
def test_figures_are_rounded_when_shown_halves_up(unit, value, text):
    assert shown(unit, value) == text


def test_a_change_says_whether_it_is_good_news():
    assert change(METRICS["service_level"], 0.8, 0.75) == ("+5.0 pp", "good")
    assert change(METRICS["abandonment_rate"], 0.08, 0.05) == ("+3.0 pp", "bad")
    assert change(METRICS["average_wait"], 15, 30) == ("−50 %", "good")
    assert change(METRICS["calls"], 20, 10) == ("+100 %", "even")
    assert METRICS["calls"].good is Good.NEITHER


def test_nothing_is_compared_with_nothing():
    assert change(METRICS["service_level"], None, 0.5) == ("", "even")
    assert change(METRICS["service_level"], 0.5, None) == ("", "even")
    assert change(METRICS["answered"], 5, 0) == ("", "even")
    assert change(METRICS["answered"], 5, 5) == ("±0 %", "even")
