"""Erlang B, C and A against published points (METRICS §8), against each other, and against a plain simulation."""

import heapq
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.staffing import (
    Aim,
    Load,
    erlang_a,
    erlang_b,
    erlang_c,
    patience,
    required,
    scheduled,
    wait_quantile,
    waits_within,
)

HALF_HOUR = 1800


def near(value, printed):
    """As near as the printed digits tell."""
    digits = len(str(printed).partition(".")[2])
    return value == pytest.approx(printed, abs=0.501 * 10**-digits)


@pytest.mark.parametrize(("erlangs", "agents", "blocked"), [(2, 5, 0.0367), (10, 14, 0.0568), (5, 10, 0.0184)])
def test_erlang_b_agrees_with_the_tables(erlangs, agents, blocked):
    assert near(erlang_b(erlangs, agents), blocked)


@pytest.mark.parametrize(
    ("load", "agents", "target", "waits", "level", "asa", "occupancy"),
    [
        (Load(100, HALF_HOUR, 180), 11, 20, 0.6821, 0.3896, 122.8, 0.909),
        (Load(100, HALF_HOUR, 180), 12, 20, 0.4494, 0.6402, 40.4, 0.833),
        (Load(100, HALF_HOUR, 180), 13, 20, 0.2853, 0.7956, 17.1, 0.769),
        (Load(100, HALF_HOUR, 180), 14, 20, 0.1741, 0.8884, 7.84, 0.714),
        (Load(100, HALF_HOUR, 180), 15, 20, 0.102, 0.941, 3.67, 0.667),
        (Load(360, HALF_HOUR, 240), 55, 20, 0.2387, 0.8668, 8.18, 0.873),
        (Load(10, 300, 300), 12, 30, 0.4494, 0.6321, 67.4, 0.833),
        (Load(1440, HALF_HOUR, 60), 50, None, 0.694, None, 20.8, 0.96),
    ],
)
def test_erlang_c_agrees_with_what_was_published(load, agents, target, waits, level, asa, occupancy):
    service = erlang_c(load, agents=agents, target_seconds=target or 20)
    assert near(service.wait_probability, waits)
    assert near(service.asa_seconds, asa)
    assert near(service.occupancy, occupancy)
    if level is not None:
        assert near(service.service_level, level)


def test_erlang_c_tells_the_wait_that_a_share_of_callers_does_not_exceed():
    assert near(wait_quantile(Load(1440, HALF_HOUR, 60), agents=50, share=0.9), 58.1)
    assert wait_quantile(Load(100, HALF_HOUR, 180), agents=14, share=0.8) == 0  # fewer than a fifth wait at all
    assert wait_quantile(Load(100, HALF_HOUR, 180), agents=10, share=0.8) is None


@pytest.mark.parametrize(
    ("load", "agents", "patience_seconds", "waits", "occupancy", "abandoned"),
    [
        (Load(1440, HALF_HOUR, 60), 50, 120, 0.468, 0.93, 0.031),
        (Load(918, HALF_HOUR, 200), 100, 200, 0.5917, 0.969, 0.0499),
        (Load(918, HALF_HOUR, 200), 100, 800, 0.774, 0.983, 0.0364),
        (Load(100, HALF_HOUR, 180), 14, 300, 0.1453, 0.704, None),
    ],
)
def test_erlang_a_agrees_with_what_was_published(load, agents, patience_seconds, waits, occupancy, abandoned):
    service = erlang_a(load, agents=agents, target_seconds=20, patience_seconds=patience_seconds)
    assert near(service.wait_probability, waits)
    assert near(service.occupancy, occupancy)
    if abandoned is not None:
        assert near(service.abandonment_rate, abandoned)


def test_erlang_a_tells_the_waits_that_were_published():
    mandelbaum = erlang_a(Load(1440, HALF_HOUR, 60), agents=50, target_seconds=20, patience_seconds=120)
    assert near(mandelbaum.average_wait_seconds, 3.7)
    assert near(waits_within(Load(1440, HALF_HOUR, 60), agents=50, seconds=12.5, patience_seconds=120), 0.9)
    whitt = erlang_a(Load(918, HALF_HOUR, 200), agents=100, target_seconds=20, patience_seconds=200)
    assert near(whitt.service_level_of_served, 0.7986)
    assert near(whitt.asa_seconds, 9.8)
    patient = erlang_a(Load(918, HALF_HOUR, 200), agents=100, target_seconds=20, patience_seconds=800)
    assert near(patient.service_level_of_served, 0.469)
    assert near(patient.asa_seconds, 29.1)
    small = erlang_a(Load(100, HALF_HOUR, 180), agents=14, target_seconds=20, patience_seconds=300)
    assert near(small.service_level, 0.9168)
    assert near(small.average_wait_seconds, 4.2)


def test_the_least_numbers_that_were_published():
    assert required(Load(360, HALF_HOUR, 240), aim=Aim(0.8, 20)) == 54
    assert required(Load(100, HALF_HOUR, 180), aim=Aim(0.8, 20)) == 14
    whitt = Load(900, HALF_HOUR, 200)
    found = [n for n in range(90, 105) if _both(whitt, n)]
    assert found[0] == 99
    # The paper counts in time of those served; of those offered, as the portal does, it takes one more.
    assert required(whitt, aim=Aim(0.8, 20, most_abandoned=0.05), patience_seconds=200) == 100


def _both(load, agents):
    service = erlang_a(load, agents=agents, target_seconds=20, patience_seconds=200)
    return service.abandonment_rate < 0.05 and service.service_level_of_served >= 0.8


def test_a_load_that_cannot_be_carried_gives_no_figures():
    service = erlang_c(Load(100, HALF_HOUR, 180), agents=10, target_seconds=20)
    assert not service.is_stable
    assert (service.service_level, service.asa_seconds, service.occupancy, service.queue) == (None, None, None, None)
    overload = erlang_a(Load(100, HALF_HOUR, 180), agents=8, target_seconds=20, patience_seconds=60)
    assert overload.is_stable
    assert 0.2 < overload.abandonment_rate < 0.3  # the two erlangs too many, and some
    assert overload.occupancy > 0.85


def test_without_calls_nobody_waits_and_the_least_staff_is_there():
    nothing = Load(0, HALF_HOUR, 180)
    assert erlang_c(nothing, agents=0, target_seconds=20).service_level == 1
    assert erlang_a(nothing, agents=0, target_seconds=20, patience_seconds=60).asa_seconds == 0
    assert required(nothing, aim=Aim()) == 0
    assert required(nothing, aim=Aim(least_agents=2), patience_seconds=60) == 2


def test_occupancy_is_capped_beside_the_service_level():
    load = Load(3600, HALF_HOUR, 240)
    uncapped = required(load, aim=Aim(0.8, 20))
    capped = required(load, aim=Aim(0.8, 20, most_occupancy=0.85))
    assert load.erlangs / uncapped > 0.85
    assert capped == math.ceil(load.erlangs / 0.85)


def test_shrinkage_divides_and_rounds_up_once():
    assert scheduled(14, shrinkage=0.3) == 20
    assert scheduled(7, shrinkage=0.3) == 10  # 7 / 0.7 is a hair above 10 in binary
    assert scheduled(15, shrinkage=0.3) == 22
    assert scheduled(0, shrinkage=0.5) == 0


def test_a_target_of_no_seconds_counts_only_those_who_do_not_wait():
    load = Load(100, HALF_HOUR, 180)
    for service in (
        erlang_c(load, agents=13, target_seconds=0),
        erlang_a(load, agents=13, target_seconds=0, patience_seconds=120),
    ):
        assert service.service_level == pytest.approx(1 - service.wait_probability)


def test_patience_counts_the_waits_of_those_who_were_answered_too():
    assert patience(wait_seconds=3000, n_abandoned=25) == 120
    assert patience(wait_seconds=3000, n_abandoned=0) is None
    assert patience(wait_seconds=0, n_abandoned=3) is None


loads = st.builds(Load, st.integers(1, 800), st.just(HALF_HOUR), st.integers(20, 600))


@settings(deadline=None, max_examples=60)
@given(loads, st.integers(1, 40), st.integers(0, 120))
def test_with_endless_patience_erlang_a_is_erlang_c(load, spare, target):
    agents = math.floor(load.erlangs * 1.05) + 1 + spare
    c = erlang_c(load, agents=agents, target_seconds=target)
    a = erlang_a(load, agents=agents, target_seconds=target, patience_seconds=1e9)
    assert a.wait_probability == pytest.approx(c.wait_probability, abs=1e-4)
    assert a.service_level == pytest.approx(c.service_level, abs=1e-4)
    assert a.asa_seconds == pytest.approx(c.asa_seconds, rel=1e-3, abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(loads, st.integers(1, 100))
def test_without_patience_erlang_a_is_erlang_b(load, agents):
    a = erlang_a(load, agents=agents, target_seconds=20, patience_seconds=1e-6)
    assert a.abandonment_rate == pytest.approx(erlang_b(load.erlangs, agents), abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(loads, st.integers(1, 120), st.integers(0, 120), st.integers(5, 900))
def test_one_agent_more_never_makes_it_worse(load, agents, target, patience_seconds):
    few = erlang_a(load, agents=agents, target_seconds=target, patience_seconds=patience_seconds)
    more = erlang_a(load, agents=agents + 1, target_seconds=target, patience_seconds=patience_seconds)
    assert more.service_level >= few.service_level - 1e-9
    assert more.abandonment_rate <= few.abandonment_rate + 1e-9
    assert 0 <= few.service_level <= 1 - few.abandonment_rate + 1e-6
    assert 0 <= few.occupancy <= 1


@settings(deadline=None, max_examples=40)
@given(loads, st.sampled_from([0.5, 0.8, 0.95]), st.sampled_from([None, 60, 300]))
def test_what_is_required_is_the_least_that_is_enough(load, level, patience_seconds):
    aim = Aim(level, 20, most_occupancy=0.9)
    agents = required(load, aim=aim, patience_seconds=patience_seconds)

    def is_enough(n):
        if patience_seconds is None:
            service = erlang_c(load, agents=n, target_seconds=20)
        else:
            service = erlang_a(load, agents=n, target_seconds=20, patience_seconds=patience_seconds)
        return service.is_stable and service.service_level >= level and service.occupancy <= 0.9

    assert is_enough(agents)
    assert agents == 1 or not is_enough(agents - 1)


def test_more_agents_than_anybody_has_are_refused():
    with pytest.raises(ValueError, match="20000"):
        required(Load(10_000_000, HALF_HOUR, 600), aim=Aim())


def test_erlang_a_is_what_a_simulation_of_single_callers_gives():
    load, agents, patience_seconds, target = Load(120, HALF_HOUR, 180), 11, 90, 20
    rng = random.Random(7)
    free_at = [0.0] * agents
    clock, n, n_answered, n_in_time, waits = 0.0, 60_000, 0, 0, 0.0
    for _ in range(n):
        clock += rng.expovariate(load.rate)
        wait = max(0.0, free_at[0] - clock)
        if wait > rng.expovariate(1 / patience_seconds):
            continue
        heapq.heapreplace(free_at, clock + wait + rng.expovariate(1 / load.handle_seconds))
        n_answered += 1
        n_in_time += wait <= target
        waits += wait
    service = erlang_a(load, agents=agents, target_seconds=target, patience_seconds=patience_seconds)
    assert service.abandonment_rate == pytest.approx(1 - n_answered / n, abs=0.01)
    assert service.service_level == pytest.approx(n_in_time / n, abs=0.01)
    assert service.asa_seconds == pytest.approx(waits / n_answered, rel=0.05)
