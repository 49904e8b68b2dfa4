"""What agents did, per slot and day: by wall clock, split at borders; and the totals of local days."""

import datetime as dt
import hashlib
import random

import pytest
from django.db.models import Sum

from agents.models import StaleAgentTime
from agents.status_chain import StatusFact, record_status_changes
from analytics import reports, rollup
from analytics.models import AgentDay, AgentInterval, AgentTotal, CallDay, FillMark, GroupDay, QueueDay
from analytics.reports import Filters, Period
from callcenter_site.slots import SLOT, day_bounds
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.analytics.test_rollup import DAY, LATER, TEN, day_of, figures, groups, worked_example
from tests.factories import AgentFactory

__all__ = ["groups"]
pytestmark = pytest.mark.django_db
STATES = ("available", "ringing", "on_call", "acw", "not_ready", "break")


def status(agent, at, status):
    key = hashlib.sha256(f"{agent.pk}{at.isoformat()}{status}".encode()).digest()
    record_status_changes(account=agent.account, changes=[StatusFact(agent.pk, status, at, key)])


def person(account, staff_id):
    return next(one for one in account_agents(account) if one.staff_id == staff_id)


def account_agents(account):
    from agents.models import Agent  # staff IDs are encrypted: found by reading them

    return list(Agent.objects.filter(account=account))


def drain(at=LATER):
    while rollup.drain_stale_slots(at=at):
        pass


def busy(agent, start, n_slots):
    rows = AgentInterval.objects.filter(agent=agent, slot__gte=start, slot__lt=start + n_slots * SLOT)
    return sum(row.on_call_seconds + row.acw_seconds for row in rows)


def half_hours(account, agent):
    actor = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    steps = reports.series(actor=actor, period=day_of(account), filters=Filters(agent=agent), step="half_hour")
    return {step.label: step.sums for step in steps}


def test_the_worked_example_gives_the_time_of_agents(account, groups):
    take_in(*worked_example(account), at=LATER)
    a, b = person(account, "A"), person(account, "B")
    for minute, chosen in ((0, "available"), (45, "break"), (55, "available"), (60, "offline")):
        status(a, TEN + dt.timedelta(minutes=minute), chosen)
    drain()
    assert [busy(a, TEN, 2), busy(a, TEN + 2 * SLOT, 2)] == [570, 350]
    assert [busy(b, TEN, 2), busy(b, TEN + 2 * SLOT, 2)] == [135, 450]
    hour = reports.by_agent(
        actor=AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), period=day_of(account), filters=Filters()
    )
    whole = hour[a.pk].agents
    # The example leaves out that A's phone rang; here it did for c4 and c8, which joins both sides.
    assert whole["ringing_seconds"] == 65 and whole["break_seconds"] == 600
    assert sum(whole[f"{state}_seconds"] for state in STATES) == 3600
    assert (whole["on_call_seconds"] + whole["acw_seconds"]) / 3600 == pytest.approx(920 / 3600)
    assert hour[b.pk].agents["n_not_taken"] == 1
    assert whole["on_hold_seconds"] == 30
    first, second = (half_hours(account, a)[label].agents for label in ("10:00", "10:30"))
    assert (first["on_call_seconds"] + first["acw_seconds"], second["break_seconds"]) == (570, 600)


def test_waits_of_the_answered_are_the_same_by_group_by_agent_and_by_interval(account, groups):
    take_in(*worked_example(account), at=LATER)
    actor = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    scope = {"actor": actor, "period": day_of(account), "filters": Filters()}
    by_group = sum(sums.queues["answered_wait_seconds"] for sums in reports.by_skill_group(**scope).values())
    by_agent = sum(sums.agents["answered_wait_seconds"] for sums in reports.by_agent(**scope).values())
    assert by_group == by_agent == reports.sum_up(**scope).queues["answered_wait_seconds"] == 140
    rated = reports.figures(reports.sum_up(**scope), actor=actor, filters=Filters())
    assert (rated["agent_satisfaction"], rated["agent_csat"], rated["agent_response_rate"]) == (4.0, 0.75, 0.8)


def test_the_wait_of_a_call_is_that_of_all_its_queues(account, groups):
    take_in(*worked_example(account), at=LATER)
    found = figures(account)
    assert found["average_call_wait"] == 40.5
    assert (found["inbound_calls"], found["lost_calls"], found["call_loss_rate"]) == (10, 4, 0.4)
    assert (found["ringing_time"], found["transfer_rate"]) == (figures(account)["ringing_time"], 0.2)


def test_a_status_across_midnight_is_split_there(account):
    agent = AgentFactory(account=account)
    midnight = day_bounds(DAY, account.zone)[1]
    status(agent, midnight - dt.timedelta(minutes=10), "break")
    status(agent, midnight + dt.timedelta(minutes=20), "offline")
    drain(at=midnight + dt.timedelta(days=2))
    assert dict(AgentDay.objects.values_list("day", "break_seconds")) == {DAY: 600, DAY + dt.timedelta(days=1): 1200}


def test_an_open_status_is_counted_up_to_now_and_grows(account):
    agent = AgentFactory(account=account)
    status(agent, TEN, "available")
    for minutes, seconds in ((5, 300), (20, 1200), (100, 6000)):
        drain(at=TEN + dt.timedelta(minutes=minutes))
        assert AgentTotal.objects.aggregate(n=Sum("available_seconds"))["n"] == seconds


def test_a_talk_that_is_heard_of_late_and_goes_on_is_counted_from_its_beginning(account, groups):
    now = TEN + dt.timedelta(hours=2, minutes=10)
    drain(at=now)
    take_in(Story(account, TEN, "known").ended(5), at=now)  # time is counted up to now
    story = Story(account, TEN, "late").queued(5, "S").answered(60, "A")
    take_in(story, at=now)
    assert AgentTotal.objects.aggregate(n=Sum("on_call_seconds"))["n"] == (now - TEN).total_seconds() - 60
    assert rollup.recount(account=account, at=now) == 0
    story.items = []
    take_in(story.ended(600), at=now)
    assert AgentTotal.objects.aggregate(n=Sum("on_call_seconds"))["n"] == 540


def test_a_change_that_comes_late_is_counted_in_exactly_its_slots(account):
    agent = AgentFactory(account=account)
    status(agent, TEN, "available")
    status(agent, TEN + dt.timedelta(hours=3), "offline")
    drain()
    before = set(AgentInterval.objects.values_list("pk", flat=True))
    status(agent, TEN + dt.timedelta(hours=1), "break")
    assert [(row.started_at, row.ended_at) for row in StaleAgentTime.objects.all()] == [
        (TEN + dt.timedelta(hours=1), TEN + dt.timedelta(hours=3))
    ]
    drain()
    assert len(before & set(AgentInterval.objects.values_list("pk", flat=True))) == 4
    row = AgentDay.objects.get()
    assert (row.available_seconds, row.break_seconds) == (3600, 7200)
    assert rollup.recount(account=account, at=LATER) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rules_that_hold_on_any_day(account, groups, seed):
    chance = random.Random(seed)
    agents = [person(account, name) for name in "ABC"]
    moments = sorted(TEN + dt.timedelta(seconds=chance.randrange(14_400)) for _ in range(24))
    for moment in moments:
        status(chance.choice(agents), moment, chance.choice(["available", "busy", "break", "offline", "wrap_up"]))
    stories = []
    for n in range(30):
        at = TEN + dt.timedelta(seconds=chance.choice([900 * chance.randrange(16), chance.randrange(14_400)]))
        story, name = Story(account, at, f"r{n}").queued(5, chance.choice("ST")), chance.choice("ABC")
        wait = chance.choice([3, 20, 40, 700])
        if chance.random() < 0.7:
            story.rings(wait, name).answered(5 + wait, name).ended(5 + wait + chance.choice([4, 60, 1500]))
            story.at(5 + wait + 1600, "call.wrap_up_ended", agent=name)
        else:
            story.ended(5 + wait)
        stories.append(story)
    take_in(*stories, at=LATER)
    for row in AgentInterval.objects.all():
        assert sum(getattr(row, f"{state}_seconds") for state in STATES) <= 900
        assert row.on_hold_seconds <= row.on_call_seconds
        assert row.n_offers >= row.n_offers_answered + row.n_not_taken + row.n_offers_open
    actor = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    month = Period(DAY - dt.timedelta(days=1), DAY + dt.timedelta(days=1), account.zone)
    whole = reports.sum_up(actor=actor, period=month, filters=Filters())
    for step in ("interval", "half_hour", "hour", "day", "week", "month"):
        assert reports.total(reports.series(actor=actor, period=month, filters=Filters(), step=step)) == whole, step
    assert FillMark.objects.get().days_to > DAY  # the days were read from their totals
    FillMark.objects.update(days_to=None, zone="")
    assert reports.sum_up(actor=actor, period=month, filters=Filters()) == whole  # and now from the slots
    entries = sum(
        sums.queues["answered_wait_seconds"]
        for sums in reports.by_skill_group(actor=actor, period=month, filters=Filters()).values()
    )
    of_agents = sum(
        sums.agents["answered_wait_seconds"] for sums in reports.by_agent(actor=actor, period=month, filters=Filters()).values()
    )
    assert entries == of_agents


def test_another_zone_makes_the_days_anew_and_the_figures_are_right_meanwhile(account, groups):
    take_in(*worked_example(account), at=LATER)
    tables = (CallDay, QueueDay, GroupDay, AgentDay)
    assert {day for table in tables for day in table.objects.values_list("day", flat=True)} == {DAY}
    account.time_zone = "Pacific/Honolulu"  # ten in Shanghai is the afternoon before
    account.save()
    assert figures(account)["calls"] == 0
    assert figures(account, period=day_of(account, DAY - dt.timedelta(days=1)))["calls"] == 10
    drain(at=LATER + dt.timedelta(days=1))
    assert {day for table in tables for day in table.objects.values_list("day", flat=True)} == {DAY - dt.timedelta(days=1)}
    assert figures(account, period=day_of(account, DAY - dt.timedelta(days=1)))["calls"] == 10


def test_a_total_of_a_day_that_drifted_is_found_and_repaired(account, groups):
    take_in(*worked_example(account), at=LATER)
    CallDay.objects.update(n_calls=99)
    assert rollup.recount(account=account, at=LATER) == 1
    assert CallDay.objects.aggregate(n=Sum("n_calls"))["n"] == 10
    assert (FillMark.objects.get().n_drifted, FillMark.objects.get().recounted_at) == (1, LATER)
