"""Next week's calls: usual weekdays, without holidays, better than the week before, by the clock on the wall."""

import datetime as dt
import random
import zoneinfo

import pytest
import time_machine
from django.urls import reverse

from analytics.forecast import forecast, half_hours_of, measure, read_history, unusual_days, usual_day
from analytics.models import AgentInterval, GroupTotal
from analytics.staffing import Aim, Load, required
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

TODAY = dt.date(2026, 3, 4)  # a Wednesday
AT = dt.datetime(2026, 3, 4, 4, 0, tzinfo=dt.UTC)


def weeks_of(n_weeks, calls, today=TODAY):
    """History by a rule: the calls of a day and half hour."""
    days = [today - dt.timedelta(days=n) for n in range(1, 7 * n_weeks + 1)]
    return {day: {half: float(calls(day, half)) for half in range(48)} for day in days}


def test_a_day_is_the_mean_of_the_last_four_same_weekdays_known_before():
    monday = dt.date(2026, 3, 9)
    values = {1: 100, 2: 8, 3: 12, 4: 10, 5: 14, 6: 90}  # by weeks before; the last Monday is after what is known
    history = {monday - dt.timedelta(weeks=weeks): {20: float(n)} for weeks, n in values.items()}
    usual = usual_day(history, monday, before=dt.date(2026, 2, 28), unusual=set())
    assert usual[20] == (8 + 12 + 10 + 14) / 4
    assert usual_day(history, monday, before=dt.date(2025, 1, 1), unusual=set()) is None


def test_holidays_and_outages_are_left_out():
    history = weeks_of(6, lambda day, half: 10 if 16 <= half < 40 and day.weekday() < 5 else 0)
    holiday, rush = dt.date(2026, 2, 17), dt.date(2026, 2, 12)
    history[holiday] = dict.fromkeys(range(48), 0.0)
    history[rush] = dict.fromkeys(range(48), 40.0)
    assert unusual_days(history) == {holiday, rush}
    usual = usual_day(history, dt.date(2026, 3, 10), before=TODAY, unusual=unusual_days(history))
    assert usual[20] == 10


@pytest.mark.parametrize("seed", range(3))
def test_it_beats_the_week_before_on_a_rolling_origin(seed):
    rng = random.Random(seed)

    def calls(day, half):
        expected = max(0.0, 12 - abs(half - 24) * 0.8) * (1.3 if day.weekday() == 0 else 0.4 if day.weekday() > 4 else 1)
        return sum(rng.random() < expected / 60 for _ in range(60))

    history = weeks_of(10, calls)
    history[dt.date(2026, 2, 17)] = dict.fromkeys(range(48), 0.0)  # a holiday
    accuracy = measure(history, today=TODAY)
    assert accuracy.wape < accuracy.wape_of_week_before * 0.9
    assert 0 < accuracy.wape < 1
    assert accuracy.n_days == 27


def test_what_is_measured_knows_nothing_of_what_came():
    history = weeks_of(3, lambda day, half: 10 if day < dt.date(2026, 2, 18) else 30)
    assert measure(history, today=TODAY).wape > 0.3  # the level rose, and nobody could know
    assert measure(weeks_of(1, lambda day, half: 5), today=TODAY) is None
    assert measure({}, today=TODAY) is None


def test_a_day_has_the_half_hours_of_its_clock():
    zone = zoneinfo.ZoneInfo("America/New_York")
    days = (dt.date(2026, 3, 8), dt.date(2026, 3, 9), dt.date(2026, 11, 1))
    assert [len(half_hours_of(day, zone)) for day in days] == [46, 48, 50]
    twice = [one.isoformat() for one in half_hours_of(dt.date(2026, 11, 1), zone) if one.hour == 1]
    assert twice == [f"2026-11-01T01:{minute}:00-0{offset}:00" for offset in (4, 5) for minute in ("00", "30")]


@pytest.fixture
def group(account):
    group = SkillGroupFactory(account=account, name="Sales")
    agent = AgentFactory(account=account)
    MemberFactory(skill_group=group, agent=agent)
    noon = dt.datetime(2026, 3, 3, 4, 0, tzinfo=dt.UTC)  # Tuesday, 12:00 in Shanghai
    for weeks in range(5):
        for minutes, n in ((0, 30), (15, 50)):
            GroupTotal.objects.create(
                account=account,
                skill_group=group,
                slot=noon - dt.timedelta(weeks=weeks) + dt.timedelta(minutes=minutes),
                n_entries=n + 5,
                n_rejected=5,
                n_legs=n,
                talk_seconds=170 * n,
                wrap_up_seconds=10 * n,
            )
    AgentInterval.objects.create(account=account, agent=agent, slot=noon, available_seconds=400, on_call_seconds=500)
    AgentInterval.objects.create(account=account, agent=AgentFactory(account=account), slot=noon, available_seconds=900)
    return group


@pytest.mark.django_db
def test_each_half_hour_says_how_many_agents_it_needs_beside_who_was_there(group):
    found = forecast(group, at=AT, aim=Aim(0.8, 20, shrinkage=0.3))
    assert len(found.half_hours) == 7 * 48
    assert found.half_hours[0].start.isoformat() == "2026-03-09T00:00:00+08:00"
    busy = [one for one in found.half_hours if one.calls]
    assert [one.start.isoformat() for one in busy] == ["2026-03-10T12:00:00+08:00"]
    needed = required(Load(80, 1800, 180), aim=Aim(0.8, 20))
    assert (busy[0].calls, busy[0].required, busy[0].there) == (80, needed, 0.5)
    assert busy[0].scheduled > needed
    assert (found.handle_seconds, found.patience_seconds) == (180, None)


@pytest.mark.django_db
def test_an_hour_that_comes_twice_counts_as_one():
    account = AccountFactory(time_zone="America/New_York")
    group = SkillGroupFactory(account=account)
    for hour in (5, 6):  # 01:00 in summer, and 01:00 in winter
        for minute in (0, 15):
            slot = dt.datetime(2026, 11, 1, hour, minute, tzinfo=dt.UTC)
            GroupTotal.objects.create(account=account, skill_group=group, slot=slot, n_entries=3)
    assert read_history(group, today=dt.date(2026, 11, 2))[dt.date(2026, 11, 1)][2] == 6


@pytest.mark.django_db
def test_the_page_shows_and_gives_out_what_it_knows(client, account, group):
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
    url = reverse("analytics:forecast")
    with time_machine.travel(AT, tick=False):
        page = client.get(url)
        assert page.context["has_history"] and len(page.context["days"]) == 7
        csv = client.get(url, {"download": "csv"}).content.decode("utf-8-sig").splitlines()
        assert len(csv) == 1 + 7 * 48
        assert next(line for line in csv if "2026-03-10T12:00+08:00" in line).startswith("Sales,2026-03-10T12:00+08:00,80")
        assert b"".join(client.get(url, {"download": "xlsx"}).streaming_content)[:2] == b"PK"
        assert list(client.get(url, {"level": "nan"}).context["form"].errors) == ["level"]


@pytest.mark.django_db
def test_another_accounts_group_is_none_and_an_empty_one_says_so(client, account, group):
    other = AccountFactory()
    client.force_login(AgentFactory(account=other, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
    page = client.get(reverse("analytics:forecast"), {"skill_group": group.pk})
    assert page.context["group"] is None and "Sales" not in page.content.decode()
    own = SkillGroupFactory(account=other, name="Own")
    page = client.get(reverse("analytics:forecast"), {"skill_group": group.pk})
    assert page.context["group"] == own and not page.context["has_history"]


@pytest.mark.django_db
def test_the_api_gives_what_the_page_shows_and_refuses_what_it_cannot_read(client, account):
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(boss)
    group = SkillGroupFactory(account=account, name="Sales")
    foreign = SkillGroupFactory(account=AccountFactory())
    for weeks in range(1, 5):
        start = dt.datetime(2026, 3, 4, 1, tzinfo=dt.UTC) - dt.timedelta(weeks=weeks)  # Wednesday, 9:00 in Shanghai
        GroupTotal.objects.create(account=account, skill_group=group, slot=start, n_entries=30)
    address = "/api/v1/staffing/forecast/"
    with time_machine.travel(AT, tick=False):
        answer = client.get(address, {"skill_group": group.pk, "level": "90"}).json()
        refused = {
            name: client.get(address, said)
            for name, said in {
                "skill_group": {"skill_group": foreign.pk},
                "level": {"skill_group": group.pk, "level": "0"},
                "occupancy": {"skill_group": group.pk, "occupancy": "many"},
                "horizon": {"skill_group": group.pk, "horizon": "9"},
            }.items()
        }
        nothing = client.get(address)
    nine = [one for one in answer["half_hours"] if one["start"].startswith("2026-03-11T09:00") or one["calls"]]
    assert len(nine) == 1 and nine[0]["calls"] == 30 and nine[0]["start"].endswith("09:00:00+08:00")
    assert len(answer["half_hours"]) == 7 * 48
    for name, one in refused.items():
        assert one.status_code == 400 and [fault["field"] for fault in one.json()["errors"]] == [name], name
    assert nothing.status_code == 400
