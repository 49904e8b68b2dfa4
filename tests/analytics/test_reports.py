"""Periods, filters and steps of reports."""

import datetime as dt
import zoneinfo

import pytest
from django.core.exceptions import ValidationError

from analytics import reports
from analytics.metrics import METRICS, Source
from analytics.reports import Filters, Period, read_filters, read_period, read_step
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
NOW = dt.datetime(2026, 3, 1, 17, 10, tzinfo=dt.UTC)  # already 2 March in Shanghai
D = dt.date


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({}, D(2026, 3, 2), D(2026, 3, 2)),
        ({"period": "yesterday"}, D(2026, 3, 1), D(2026, 3, 1)),
        ({"period": "last_7_days"}, D(2026, 2, 24), D(2026, 3, 2)),
        ({"period": "this_month"}, D(2026, 3, 1), D(2026, 3, 2)),
        ({"period": "last_month"}, D(2026, 2, 1), D(2026, 2, 28)),
        ({"from": "2026-01-05", "to": "2026-01-07"}, D(2026, 1, 5), D(2026, 1, 7)),
        ({"from": "2026-02-05"}, D(2026, 2, 5), D(2026, 3, 2)),
        ({"to": "2026-02-05"}, D(2026, 2, 5), D(2026, 2, 5)),
        ({"period": "yesterday", "from": "2026-01-05", "to": "2026-01-05"}, D(2026, 1, 5), D(2026, 1, 5)),
    ],
)
def test_a_period_is_local_days(query, first, last):
    period = read_period(query, zone=SHANGHAI, at=NOW)
    assert (period.first, period.last) == (first, last)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-03-02", "to": "2026-03-01"}, "to"),
        ({"from": "2025-01-01", "to": "2026-02-05"}, "to"),
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"from": "0001-01-01", "to": "0001-01-02"}, "from"),
        ({"to": "9999-12-31"}, "to"),
        ({"from": "２０２６-01-01"}, "from"),
        ({"period": "century"}, "period"),
    ],
)
def test_a_period_that_cannot_be_names_its_field(query, field):
    with pytest.raises(ValidationError) as error:
        read_period(query, zone=SHANGHAI, at=NOW)
    assert list(error.value.message_dict) == [field]


def test_four_hundred_days_are_allowed():
    assert read_period({"from": "2025-01-01", "to": "2026-02-04"}, zone=SHANGHAI, at=NOW).n_days == 400


def test_a_running_period_is_compared_with_as_much_of_the_one_before():
    today = read_period({}, zone=SHANGHAI, at=NOW)
    before = today.before(at=NOW)
    assert (before.first, before.last) == (D(2026, 3, 1), D(2026, 3, 1))
    assert before.end == dt.datetime(2026, 3, 1, 1, 0, tzinfo=SHANGHAI)  # it is 01:10: whole slots only
    month = read_period({"period": "this_month"}, zone=SHANGHAI, at=NOW).before(at=NOW)
    assert (month.first, month.end) == (D(2026, 2, 1), dt.datetime(2026, 2, 2, 1, 0, tzinfo=SHANGHAI))


def test_a_period_that_is_over_is_compared_with_the_whole_one_before():
    month = read_period({"period": "last_month"}, zone=SHANGHAI, at=NOW).before(at=NOW)
    assert (month.first, month.last, month.until) == (D(2026, 1, 1), D(2026, 1, 31), None)
    week = Period(D(2026, 1, 5), D(2026, 1, 11), SHANGHAI).before(at=NOW)
    assert (week.first, week.last) == (D(2025, 12, 29), D(2026, 1, 4))


def test_the_31st_is_compared_with_the_end_of_a_shorter_month():
    at = dt.datetime(2026, 3, 31, 4, tzinfo=dt.UTC)
    before = read_period({"period": "this_month"}, zone=SHANGHAI, at=at).before(at=at)
    assert (before.first, before.last) == (D(2026, 2, 1), D(2026, 2, 28))


def labels(day, step):
    return [step.label for step in reports.series(actor=NOBODY, period=Period(day, day, NEW_YORK), filters=Filters(), step=step)]


class Nobody:
    account_id = None

    def has_perm(self, perm, obj=None):
        return False


NOBODY = Nobody()


@pytest.mark.django_db
def test_the_hour_that_comes_twice_is_labelled_with_its_offset():
    found = labels(D(2025, 11, 2), "half_hour")
    assert len(found) == 50
    assert found[:7] == ["00:00", "00:30", "01:00−04:00", "01:30−04:00", "01:00−05:00", "01:30−05:00", "02:00"]


@pytest.mark.django_db
def test_the_hour_that_is_skipped_has_no_step():
    found = labels(D(2025, 3, 9), "half_hour")
    assert len(found) == 46
    assert found[2:6] == ["01:00", "01:30", "03:00", "03:30"]


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Eucla"])
def test_half_hours_are_those_of_the_wall_clock(zone):
    period = Period(D(2026, 3, 2), D(2026, 3, 2), zoneinfo.ZoneInfo(zone))
    steps = reports.series(actor=NOBODY, period=period, filters=Filters(), step="half_hour")
    assert [step.label for step in steps][:3] == ["00:00", "00:30", "01:00"]
    assert len(steps) == 48


@pytest.mark.django_db
def test_a_clock_changed_by_half_an_hour_cuts_its_own_step():
    """Lord Howe goes from 02:00 to 02:30: the hour 02 is half an hour long."""
    period = Period(D(2025, 10, 5), D(2025, 10, 5), zoneinfo.ZoneInfo("Australia/Lord_Howe"))
    steps = reports.series(actor=NOBODY, period=period, filters=Filters(), step="hour")
    assert (
        sum((step.end.astimezone(dt.UTC) - step.start.astimezone(dt.UTC) for step in steps), dt.timedelta())
        == period.end - period.start
    )


def test_the_step_follows_the_length_of_the_period():
    def step(n_days):
        return read_step({}, Period(D(2026, 1, 1), D(2026, 1, 1) + dt.timedelta(days=n_days - 1), SHANGHAI))

    assert [step(n) for n in (1, 2, 7, 8, 400)] == ["half_hour", "half_hour", "hour", "day", "day"]
    with pytest.raises(ValidationError) as error:
        read_step({"step": "minute"}, Period(D(2026, 1, 1), D(2026, 1, 1), SHANGHAI))
    assert list(error.value.message_dict) == ["step"]


@pytest.mark.django_db
def test_a_group_of_another_account_answers_like_one_that_does_not_exist(account):
    actor = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    foreign = SkillGroupFactory(account=AccountFactory())
    said = []
    for text in (str(foreign.pk), "999999999", "0", "x", "٣", "9" * 30):
        with pytest.raises(ValidationError) as error:
            read_filters({"skill_group": text}, actor=actor)
        said.append(error.value.message_dict)
    assert all(one == said[0] for one in said)
    assert list(said[0]) == ["skill_group"]


TEN = dt.datetime(2026, 3, 2, 10, tzinfo=SHANGHAI)
DAY = Period(D(2026, 3, 2), D(2026, 3, 2), SHANGHAI)


@pytest.fixture
def mixed(account):
    """Two groups, two numbers, both directions."""
    groups = {name: SkillGroupFactory(account=account, name=name) for name in "ST"}
    AgentFactory(account=account, staff_id="A")
    take_in(
        Story(account, TEN, "a", called="+861055500001").queued(1, "S").answered(5, "A").ended(60),
        Story(account, TEN, "b", called="+861055500002").queued(1, "S").ended(60),
        Story(account, TEN, "c", called="+861055500002").queued(1, "T").answered(31, "A").ended(60),
        Story(account, TEN, "d", direction="outbound").answered(31, "A").ended(60),
        at=NOW + dt.timedelta(days=1),
    )
    return groups


@pytest.mark.django_db
def test_filters_narrow_calls_and_queues_alike(account, mixed):
    actor = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)

    def found(**filters):
        figures = reports.summary(actor=actor, period=DAY, filters=Filters(**filters))
        return figures["calls"], figures["offered"], figures["service_level"]

    assert found() == (4, 3, 1 / 3)
    assert found(direction="inbound") == (3, 3, 1 / 3)
    assert found(direction="outbound") == (1, 0, None)
    assert found(service_number="+861055500002") == (2, 2, 0)
    assert found(skill_group=mixed["S"]) == (None, 2, 1 / 2)
    assert found(skill_group=mixed["S"], service_number="+861055500002") == (None, 1, 0)


@pytest.mark.django_db
def test_people_see_the_figures_of_their_data_scope(account, mixed):
    supervisor = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    MemberFactory(agent=supervisor, skill_group=mixed["T"])
    figures = reports.summary(actor=supervisor, period=DAY, filters=Filters())
    assert (figures["calls"], figures["offered"], figures["longest_wait"]) == (None, 1, 30)
    assert list(reports.by_skill_group(actor=supervisor, period=DAY, filters=Filters())) == [mixed["T"].pk]
    agent = AgentFactory(account=account)
    figures = reports.summary(actor=agent, period=DAY, filters=Filters())
    assert {name for name, value in figures.items() if value is not None and METRICS[name].source is not Source.AGENTS} == set()
    assert (figures["calls_taken"], figures["online_time"]) == (0, 0)  # their own
    assert reports.by_skill_group(actor=agent, period=DAY, filters=Filters()) == {}


@pytest.mark.django_db
def test_sums_over_groups_are_the_whole(account, mixed):
    actor = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    groups = reports.by_skill_group(actor=actor, period=DAY, filters=Filters())
    whole = reports.sum_up(actor=actor, period=DAY, filters=Filters())
    for name in ("n_entries", "answered_wait_seconds", "n_answered", "wait_seconds"):
        assert sum(sums.queues[name] for sums in groups.values()) == whole.queues[name]


@pytest.mark.django_db
def test_days_add_up_to_the_month(account, mixed):
    actor = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    month = Period(D(2026, 3, 1), D(2026, 3, 31), SHANGHAI)
    days = reports.series(actor=actor, period=month, filters=Filters(), step="day")
    assert len(days) == 31
    assert reports.total(days) == reports.sum_up(actor=actor, period=month, filters=Filters())


@pytest.mark.django_db
def test_a_report_asks_a_fixed_number_of_questions(account, mixed, django_assert_num_queries):
    actor = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    month = Period(D(2026, 3, 1), D(2026, 3, 31), SHANGHAI)
    with django_assert_num_queries(4):
        reports.series(actor=actor, period=month, filters=Filters(), step="hour")
    with django_assert_num_queries(4):
        reports.summary(actor=actor, period=month, filters=Filters())
    with django_assert_num_queries(2):
        reports.by_skill_group(actor=actor, period=month, filters=Filters())
