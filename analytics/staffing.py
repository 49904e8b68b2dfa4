"""How many agents a load needs: Erlang C, and Erlang A where callers give up.

Pure arithmetic on a load that does not change within its period. Erlang C has no callers who give up, so it overstates
waits near a full load and says nothing beyond it: a load it cannot carry gives no figures, never wrong ones. Erlang A
holds for every load. Nothing here uses factorials; probabilities are kept as logarithms until they are added up.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

MOST_AGENTS = 20_000
_NEGLIGIBLE = -45.0
"""Logarithm of a share of the likeliest state that no figure shows."""


class Model(Enum):
    ERLANG_C = "erlang_c"
    ERLANG_A = "erlang_a"


@dataclass(frozen=True, slots=True)
class Load:
    """`calls` that come in a period, and the seconds an agent spends on each."""

    calls: float
    period_seconds: float
    handle_seconds: float

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self.calls / self.period_seconds

    @property
    def erlangs(self) -> float:
        return self.rate * self.handle_seconds


@dataclass(frozen=True, slots=True)
class Service:
    """What callers and agents find with so many agents. All but `agents` is None where a queue would only grow."""

    agents: int
    wait_probability: float | None
    service_level: float | None
    """Share of the calls offered that are answered within the target."""
    asa_seconds: float | None
    """Average wait of those who are answered."""
    average_wait_seconds: float | None
    """Of everybody, who gives up included."""
    occupancy: float | None
    queue: float | None
    """Average number of callers who wait."""
    abandonment_rate: float | None

    @property
    def is_stable(self) -> bool:
        return self.service_level is not None

    @property
    def service_level_of_served(self) -> float | None:
        if self.service_level is None or self.abandonment_rate is None:
            return None
        served = 1 - self.abandonment_rate
        return self.service_level / served if served > 0 else None


def erlang_b(erlangs: float, agents: int) -> float:
    """The share of calls that find every agent busy where nobody waits."""
    blocked = 1.0
    for k in range(1, agents + 1):
        blocked = erlangs * blocked / (k + erlangs * blocked)
    return blocked


# --- Erlang C --------------------------------------------------------------------------------------------------------


def erlang_c(load: Load, *, agents: int, target_seconds: float) -> Service:
    return _erlang_c(load, agents, target_seconds, erlang_b(load.erlangs, agents))


def _erlang_c(load: Load, agents: int, target_seconds: float, blocked: float) -> Service:
    erlangs, spare = load.erlangs, agents - load.erlangs
    if load.calls <= 0:
        return _idle(agents)
    if spare <= 0:
        return Service(agents, None, None, None, None, None, None, None)
    waits = agents * blocked / (agents - erlangs * (1 - blocked))
    asa = waits * load.handle_seconds / spare
    return Service(
        agents=agents,
        wait_probability=waits,
        service_level=1 - waits * math.exp(-spare * target_seconds / load.handle_seconds),
        asa_seconds=asa,
        average_wait_seconds=asa,
        occupancy=erlangs / agents,
        queue=waits * erlangs / spare,
        abandonment_rate=0.0,
    )


def _idle(agents: int) -> Service:
    return Service(agents, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def wait_quantile(load: Load, *, agents: int, share: float) -> float | None:
    """The wait that this share of the callers does not exceed under Erlang C; None: the queue would only grow."""
    waits = erlang_c(load, agents=agents, target_seconds=0).wait_probability
    if waits is None:
        return None
    if waits <= 1 - share:
        return 0.0
    return load.handle_seconds / (agents - load.erlangs) * math.log(waits / (1 - share))


# --- Erlang A --------------------------------------------------------------------------------------------------------


def erlang_a(load: Load, *, agents: int, target_seconds: float, patience_seconds: float) -> Service:
    """Callers give up after an exponential time of `patience_seconds` in the mean."""
    if load.calls <= 0:
        return _idle(agents)
    states = _states(load, agents, patience_seconds)
    giving_up = 1 / patience_seconds
    full_rate = agents / load.handle_seconds
    ratio = full_rate * patience_seconds
    within = _beta_shares(target_seconds / patience_seconds, ratio + 1)
    queue = waits = in_time = served_wait = ahead_seconds = 0.0
    for ahead, probability in enumerate(states[agents:]):
        # Of `ahead` callers in front the queue is left at the agents' rate and at that of giving up; whoever stands
        # behind them is served before giving up with `ratio / (ratio + ahead + 1)`.
        served = ratio / (ratio + ahead + 1)
        ahead_seconds += 1 / (full_rate + (ahead + 1) * giving_up)
        waits += probability
        queue += ahead * probability
        in_time += probability * served * next(within)
        served_wait += probability * served * ahead_seconds
    abandoned = min(1.0, giving_up * queue / load.rate)
    answered = 1 - abandoned
    return Service(
        agents=agents,
        wait_probability=waits,
        service_level=min(1.0, max(0.0, 1 - waits + in_time)),
        asa_seconds=served_wait / answered if answered > 0 else None,
        average_wait_seconds=queue / load.rate,
        occupancy=min(1.0, load.erlangs * answered / agents) if agents else 0.0,
        queue=queue,
        abandonment_rate=abandoned,
    )


def waits_within(load: Load, *, agents: int, seconds: float, patience_seconds: float) -> float:
    """The share of all callers, under Erlang A, who are answered or have given up within so many seconds."""
    states = _states(load, agents, patience_seconds)
    shares = _beta_shares(seconds / patience_seconds, agents / load.handle_seconds * patience_seconds)
    still_waiting = sum(probability * (1 - next(shares)) for probability in states[agents:])
    return 1 - still_waiting * math.exp(-seconds / patience_seconds)


def _states(load: Load, agents: int, patience_seconds: float) -> list[float]:
    """The probability of each number of callers, waiting or served, as far as it matters."""
    log_rate = math.log(load.rate)
    logs = [0.0]
    highest = 0.0
    while True:
        k = len(logs)
        leaving = min(k, agents) / load.handle_seconds + max(0, k - agents) / patience_seconds
        logs.append(logs[-1] + log_rate - math.log(leaving))
        highest = max(highest, logs[-1])
        if k > agents and leaving > load.rate and logs[-1] < highest + _NEGLIGIBLE:
            break
    shares = [math.exp(one - highest) for one in logs]
    total = math.fsum(shares)
    return [one / total for one in shares]


def _beta_shares(times: float, b: float) -> Iterator[float]:
    """The regularised incomplete beta function at `1 − e^−times` for a = 1, 2, 3 … and this b."""
    if times <= 0:
        while True:
            yield 0.0
    log_step, log_term, share, a = math.log(-math.expm1(-times)), -times * b, 1.0, 0
    while True:
        share -= math.exp(log_term)
        yield max(0.0, share)
        log_term += log_step + math.log((a + b) / (a + 1))
        a += 1


def patience(*, wait_seconds: float, n_abandoned: int) -> float | None:
    """Mean patience from what was seen: everybody's waits, those of the answered too, over the number who gave up. The
    mean wait of those who gave up would leave out all who had more patience. None: nobody gave up."""
    return wait_seconds / n_abandoned if n_abandoned > 0 and wait_seconds > 0 else None


# --- How many are needed ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Aim:
    """What is wanted: a share of the calls answered within some seconds, agents not busier than a share of their time."""

    service_level: float = 0.8
    target_seconds: float = 20
    most_occupancy: float = 1.0
    most_abandoned: float = 1.0
    shrinkage: float = 0.0
    """The share of paid time in which agents are not there for calls."""
    least_agents: int = 0


def serve(load: Load, *, agents: int, aim: Aim, patience_seconds: float | None) -> Service:
    """By Erlang A where a patience is given, else by Erlang C."""
    if patience_seconds is None:
        return erlang_c(load, agents=agents, target_seconds=aim.target_seconds)
    return erlang_a(load, agents=agents, target_seconds=aim.target_seconds, patience_seconds=patience_seconds)


def required(load: Load, *, aim: Aim, patience_seconds: float | None = None) -> int:
    """The least number of agents that reaches the aim; `ValueError` beyond `MOST_AGENTS`."""
    if load.calls <= 0:
        return aim.least_agents
    if load.erlangs >= MOST_AGENTS:
        raise ValueError(f"more than {MOST_AGENTS} agents")
    found = _required_c(load, aim) if patience_seconds is None else _required_a(load, aim, patience_seconds)
    return max(found, aim.least_agents)


def _reaches(service: Service, aim: Aim) -> bool:
    return (
        service.service_level is not None
        and service.service_level >= aim.service_level
        and (service.occupancy or 0) <= aim.most_occupancy
        and (service.abandonment_rate or 0) <= aim.most_abandoned
    )


def _required_c(load: Load, aim: Aim) -> int:
    first = math.floor(load.erlangs) + 1
    blocked = erlang_b(load.erlangs, first)
    for agents in range(first, MOST_AGENTS + 1):
        if _reaches(_erlang_c(load, agents, aim.target_seconds, blocked), aim):
            return agents
        blocked = load.erlangs * blocked / (agents + 1 + load.erlangs * blocked)
    raise ValueError(f"more than {MOST_AGENTS} agents")


def _required_a(load: Load, aim: Aim, patience_seconds: float) -> int:
    """Every figure of the aim gets better with each agent, so the least number is found by halving."""

    def is_enough(agents: int) -> bool:
        service = erlang_a(load, agents=agents, target_seconds=aim.target_seconds, patience_seconds=patience_seconds)
        return _reaches(service, aim)

    enough = max(1, math.ceil(load.erlangs))
    while not is_enough(enough):
        enough *= 2
        if enough > 2 * MOST_AGENTS:
            raise ValueError(f"more than {MOST_AGENTS} agents")
    too_few = 0
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if is_enough(middle):
            enough = middle
        else:
            too_few = middle
    return enough


def scheduled(agents: int, *, shrinkage: float) -> int:
    """How many to put on the rota so that so many are there."""
    return math.ceil(agents / (1 - shrinkage) - 1e-9)
