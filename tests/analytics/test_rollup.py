"""Counting into slots: the worked example of the metrics page, and the rules every count keeps."""

import datetime as dt
import random
import zoneinfo

import pytest
from django.core.management import call_command
from django.db.models import Sum

from agents.models import SkillGroup
from analytics import counting, reports, rollup
from analytics.erasure import COUNTS
from analytics.metrics import ANSWERED_WAITS, METRICS, WAITED, Source
from analytics.models import CallInterval, ErasedCount, FillMark, GroupTotal, QueueInterval, QueueTotal
from analytics.reports import Filters, Period
from callcenter_site.slots import SLOT, slot_of
from calls.models import Call, QueueEntry, StaleCallSlot
from configuration.api_keys import ApiKeyActor
from configuration.models import ApiKey
from tests.analytics.events import Story, post, take_in
from tests.factories import AccountFactory, AgentFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

UTC = dt.UTC
SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")
DAY = dt.date(2026, 3, 2)
TEN = dt.datetime(2026, 3, 2, 10, tzinfo=SHANGHAI)
LATER = dt.datetime(2026, 3, 3, tzinfo=UTC)


def actor_of(account):
    return ApiKeyActor(ApiKey(account=account, scopes=[]))


def day_of(account, day=DAY):
    return Period(day, day, account.zone)


def figures(account, group=None, period=None):
    return reports.summary(actor=actor_of(account), period=period or day_of(account), filters=Filters(skill_group=group))


def t(minute, second=0):
    return minute * 60 + second


@pytest.fixture
def groups(account):
    for staff_id in "ABC":
        AgentFactory(account=account, staff_id=staff_id)
    return {name: SkillGroupFactory(account=account, name=name) for name in "ST"}


def worked_example(account):
    """METRICS §6, each call as its events; times are minutes and seconds after ten."""

    def call(name, minute, second=0):
        story = Story(account, TEN, name)
        story.items[0]["time"] = (TEN + dt.timedelta(seconds=t(minute, second))).isoformat()
        return story.ivr(t(minute, second))

    def talk(story, agent, queued, answered, ended, worked):
        return (
            story.queued(queued, "S")
            .rings(queued, agent)
            .answered(answered, agent)
            .ended(ended)
            .at(worked, "call.wrap_up_ended", agent=agent)
        )

    c1 = call("c1", 0)
    c1.queued(20, "S").answered(30, "A").at(100, "call.held", agent="A").at(130, "call.resumed", agent="A").ended(t(4, 30))
    c1.at(t(5), "call.wrap_up_ended", agent="A").at(t(4, 40), "call.rated", asked=True, score=5, scale=5)
    c2 = call("c2", 3).ended(t(3, 25))
    c3 = call("c3", 5).queued(t(5, 15), "S").ended(t(5, 19))
    c4 = talk(call("c4", 6), "A", t(6, 10), t(6, 50), t(10, 50), t(11, 50)).at(t(12), "call.rated", asked=True, score=4, scale=5)
    c5 = call("c5", 12).queued(t(12, 20), "S").ended(t(13, 50))
    c6 = call("c6", 20).ended(t(21), "system", cause="self_served")
    c7 = talk(call("c7", 27), "B", t(27, 30), t(27, 45), t(36, 45), t(37, 30)).at(
        t(37), "call.rated", asked=True, score=2, scale=5
    )
    c8 = talk(call("c8", 29, 30), "A", t(29, 50), t(30, 15), t(33, 15), t(33, 45)).at(
        t(34), "call.rated", asked=True, score=5, scale=5
    )
    c9 = call("c9", 40).queued(t(40, 10), "S").answered(t(40, 20), "A")
    c9.at(t(42, 20), "call.transferred", **{"from": "A", "to_skill_group": "T", "kind": "blind"})
    c9.at(t(42, 40), "call.wrap_up_ended", agent="A").queued(t(42, 20), "T").rings(t(42, 25), "B")
    c9.at(t(42, 40), "call.ring_ended", agent="B", reason="no_answer").rings(t(42, 41), "C").answered(t(43), "C")
    c9.ended(t(48)).at(t(48, 20), "call.wrap_up_ended", agent="C").at(t(49), "call.rated", asked=True)
    c10 = call("c10", 50).queued(t(50, 5), "S").at(t(51, 5), "call.dequeued", reason="timeout", skill_group="S")
    c10.queued(t(51, 5), "T").ended(t(51, 35))
    return [c1, c2, c3, c4, c5, c6, c7, c8, c9, c10]


def test_the_worked_example_comes_out_digit_for_digit(account, groups):
    take_in(*worked_example(account), at=LATER)
    whole, s, t_ = figures(account), figures(account, groups["S"]), figures(account, groups["T"])
    assert {
        name: whole[name] for name in ("calls", "answered", "abandoned_in_ivr", "self_served", "to_manual", "never_reached")
    } == {
        "calls": 10,
        "answered": 5,
        "abandoned_in_ivr": 1,
        "self_served": 1,
        "to_manual": 8,
        "never_reached": 3,
    }
    assert (whole["ivr_abandonment_rate"], whole["connection_rate"], whole["manual_answer_rate"]) == (0.1, 0.5, 0.625)
    assert [s[name] for name in ("queue_entries", "queue_answered", "abandoned", "left_queue")] == [8, 5, 2, 1]
    assert [t_[name] for name in ("queue_entries", "queue_answered", "abandoned", "left_queue")] == [2, 1, 1, 0]
    assert whole["queue_entries"] == 10
    assert s["asa"] == 20.0
    assert (s["average_wait"], whole["average_wait"]) == (254 / 8, 32.4)
    assert s["longest_wait"] == 90
    assert [
        s[name]
        for name in (
            "service_level",
            "service_level_abandons_negative",
            "service_level_abandons_ignored",
            "service_level_abandons_positive",
            "service_level_removed_from_queue",
            "service_level_of_answered",
            "service_level_with_flow_outs",
        )
    ] == [3 / 6, 3 / 7, 3 / 6, 4 / 7, 4 / 8, 3 / 5, 3 / 7]
    assert (s["abandonment_rate_raw"], s["abandonment_rate"]) == (2 / 8, 1 / 7)
    assert (s["aht"], whole["call_handle_time"], whole["average_duration"]) == (301.0, 365.0, 324.0)
    assert (whole["satisfaction"], whole["csat"], whole["response_rate"]) == (4.0, 0.75, 0.8)


def test_the_worked_example_by_half_hour_counts_by_when_the_queue_was_entered(account, groups):
    take_in(*worked_example(account), at=LATER)
    steps = reports.series(
        actor=actor_of(account), period=day_of(account), filters=Filters(skill_group=groups["S"]), step="half_hour"
    )
    first, second = (step.sums.queues for step in steps if step.label in ("10:00", "10:30"))
    assert (first["n_entries"], first["n_answered"], first["n_abandoned"], METRICS["asa"].value(first)) == (6, 4, 2, 22.5)
    assert (second["n_entries"], second["n_answered"], second["n_abandoned"], second["n_flow_out"]) == (2, 1, 0, 1)
    assert sum(step.sums.queues["n_entries"] for step in steps) == 8


def everything():
    rows = {}
    for model in COUNTS:
        names = [field.attname for field in model._meta.concrete_fields if not field.primary_key]
        rows[model] = sorted(model.objects.values_list(*names), key=repr)
    return rows


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_events_shuffled_doubled_and_in_pieces_give_the_same_rows(account, groups, seed):
    items = [item for story in worked_example(account) for item in story.items]
    post(account, items, at=LATER)
    rollup.drain_stale_slots(at=LATER)
    expected = everything()
    assert {model for model, rows in expected.items() if not rows} == {ErasedCount}
    Call.objects.all().delete()
    for model in COUNTS:
        model.objects.all().delete()
    from calls.models import CallEvent  # only this test looks at the inbox

    CallEvent.objects.all().delete()
    mixed = items + items[::3]
    random.Random(seed).shuffle(mixed)
    for first in range(0, len(mixed), 7):
        post(account, mixed[first : first + 7], at=LATER)
        rollup.drain_stale_slots(at=LATER)
    assert everything() == expected
    assert not StaleCallSlot.objects.exists()


def test_counting_again_changes_nothing_and_finds_no_drift(account, groups):
    take_in(*worked_example(account), at=LATER)
    before = everything()
    assert rollup.recount(account=account, at=LATER) == 0
    assert [
        refilled
        for refilled in rollup.rebuild(account=account, start=TEN, end=TEN + dt.timedelta(hours=2), at=LATER)
        if refilled.changed
    ] == []
    assert rollup.drain_stale_slots(at=LATER) == 0
    assert everything() == before


def test_every_row_adds_up(account, groups):
    take_in(*worked_example(account), at=LATER)
    rows = QueueInterval.objects.all()
    assert rows
    for row in rows:
        assert row.n_entries == row.n_answered + row.n_abandoned + row.n_flow_out + row.n_rejected + row.n_lost + row.n_open
        assert sum(getattr(row, name) for name in WAITED) == row.n_answered + row.n_abandoned + row.n_flow_out
        assert sum(getattr(row, name) for name in ANSWERED_WAITS) == row.n_answered
    entries = rows.aggregate(n=Sum("n_entries"))["n"]
    assert entries - QueueEntry.objects.values("call").distinct().count() == 2  # c9 and c10 entered twice


def test_totals_are_the_sums_of_the_rows_they_are_made_of(account, groups):
    take_in(*worked_example(account), at=LATER)
    actor = actor_of(account)
    both = [
        reports.summary(actor=actor, period=day_of(account), filters=filters)
        for filters in (Filters(), Filters(direction="inbound"))
    ]
    finest = {name: value for name, value in both[1].items() if METRICS[name].source is not Source.AGENTS}
    assert finest and finest == {name: both[0][name] for name in finest}  # summed from the finest rows
    of_group = [
        reports.summary(actor=actor, period=day_of(account), filters=Filters(skill_group=groups["S"], direction=direction))
        for direction in ("", "inbound")
    ]
    assert of_group[0] == of_group[1]
    for model in (GroupTotal, QueueTotal):
        buckets = [
            [sum(column) for column in zip(*rows.objects.values_list(*WAITED), strict=True)] for rows in (model, QueueInterval)
        ]
        assert buckets[0] == buckets[1]


def test_no_numerator_exceeds_its_denominator_in_any_slot(account, groups):
    take_in(*worked_example(account), at=LATER)
    steps = reports.series(actor=actor_of(account), period=day_of(account), filters=Filters(), step="hour")
    for step in steps:
        for metric in METRICS.values():
            value = metric.value(step.sums.of(metric.source))
            if metric.unit.value == "ratio":
                assert value is None or 0 <= value <= 1, metric.name
            if metric.bottom and value is not None:
                assert value >= 0, metric.name


@pytest.mark.parametrize(
    ("wait", "in_target", "bucket"),
    [(19.999, 1, 3), (20.0, 1, 4), (20.001, 0, 4), (30.0, 0, 5), (600.0, 0, 12), (0.0, 1, 0)],
)
def test_a_wait_as_long_as_the_target_is_in_it_but_in_the_bucket_that_begins_there(account, groups, wait, in_target, bucket):
    take_in(Story(account, TEN, "c").queued(0, "S").answered(wait, "A").ended(wait + 10), at=LATER)
    row = QueueInterval.objects.get()
    assert row.n_answered_in_target == in_target
    assert [index for index, name in enumerate(WAITED) if getattr(row, name)] == [bucket]


@pytest.mark.parametrize(("wait", "short"), [(5.0, 1), (5.001, 0), (4.999, 1)])
def test_an_abandon_at_the_short_limit_is_short(account, groups, wait, short):
    take_in(Story(account, TEN, "c").queued(0, "S").ended(wait), at=LATER)
    row = QueueInterval.objects.get()
    assert (row.n_abandoned, row.n_abandoned_short) == (1, short)


def test_a_call_on_the_border_belongs_to_the_slot_that_begins(account, groups):
    border = TEN + dt.timedelta(minutes=30)
    take_in(
        Story(account, border, "on").queued(0, "S").ended(30),
        Story(account, border - dt.timedelta(milliseconds=1), "before").queued(0, "S").ended(30),
        at=LATER,
    )
    assert list(CallInterval.objects.order_by("slot").values_list("slot", "n_calls")) == [(border - SLOT, 1), (border, 1)]
    assert list(QueueInterval.objects.order_by("slot").values_list("slot", "n_entries")) == [(border - SLOT, 1), (border, 1)]


def test_an_answer_after_the_border_counts_where_the_queue_was_entered(account, groups):
    take_in(Story(account, TEN, "c").queued(890, "S").answered(905, "A").ended(1000), at=LATER)
    entered, answered = QueueInterval.objects.order_by("slot")
    assert (entered.slot, entered.n_entries, entered.n_answered, entered.wait_seconds, entered.n_legs) == (TEN, 1, 1, 15.0, 0)
    assert (answered.slot, answered.n_entries, answered.n_legs, answered.talk_seconds) == (TEN + SLOT, 0, 1, 95.0)


def test_the_limits_of_the_group_go_before_those_of_the_account(account, groups):
    SkillGroup.objects.filter(name="S").update(service_level_seconds=60, short_abandon_seconds=0)
    take_in(
        Story(account, TEN, "a").queued(0, "S").answered(50, "A").ended(60),
        Story(account, TEN, "b").queued(0, "S").ended(3),
        Story(account, TEN, "c").queued(0, "T").answered(50, "B").ended(60),
        Story(account, TEN, "d").queued(0, "nobody knows this group").answered(50, "B").ended(60),
        at=LATER,
    )
    found = {row.skill_group_id: (row.n_answered_in_target, row.n_abandoned_short) for row in QueueInterval.objects.all()}
    assert found == {groups["S"].pk: (1, 0), groups["T"].pk: (0, 0), None: (0, 0)}


def test_an_answer_at_once_is_offered_answered_and_in_target_but_no_queue_entry(account, groups):
    take_in(Story(account, TEN, "c").ivr(0).answered(10, "A", skill_group="S").ended(70), at=LATER)
    found = figures(account)
    assert [found[name] for name in ("offered", "queue_answered", "queue_entries", "answered_at_once")] == [1, 1, 0, 1]
    assert (found["service_level"], found["asa"], found["average_wait"]) == (1, 0, None)
    assert (found["to_manual"], found["never_reached"], found["aht"]) == (1, 0, 60)


def test_an_outbound_call_is_no_answer_at_once(account, groups):
    take_in(Story(account, TEN, "c", direction="outbound").answered(10, "A", skill_group="S").ended(70), at=LATER)
    found = figures(account)
    assert [found[name] for name in ("calls", "answered", "to_manual", "offered", "service_level")] == [1, 1, 0, 0, None]
    assert CallInterval.objects.get().service_number == "+8613800138000"


def test_blocked_calls_are_in_no_number_but_their_own(account, groups):
    take_in(Story(account, TEN, "c").ended(0, "system", cause="blocked"), at=LATER)
    found = figures(account)
    assert found["blocked"] == 1
    assert {name for name, value in found.items() if value} == {"blocked"}


def test_an_open_call_is_counted_and_its_times_are_not_averaged_yet(account, groups):
    story = Story(account, TEN, "c").queued(0, "S").answered(10, "A")
    take_in(story, Story(account, TEN, "d").queued(0, "S"), at=LATER)
    found = figures(account)
    assert (found["calls"], found["answered"], found["average_duration"], found["aht"], found["waiting"]) == (2, 1, None, None, 1)
    story.items = []
    take_in(story.ended(100), at=LATER)
    assert figures(account)["average_duration"] == 90


def test_an_answer_is_counted_when_it_is_given_not_when_the_talk_ends(account, groups):
    take_in(Story(account, TEN, "c").rings(890, "A", skill_group="S").answered(905, "A"), at=LATER)
    assert list(QueueInterval.objects.values_list("slot", "n_at_once")) == [(TEN + SLOT, 1)]


def test_numbers_that_differ_in_letter_case_are_one_number(account, groups):
    take_in(Story(account, TEN, "a", called="AA0101"), Story(account, TEN, "b", called="aa0101"), at=LATER)
    assert list(CallInterval.objects.values_list("service_number", "n_calls")) == [("AA0101", 2)]


def test_a_call_that_moves_to_another_slot_leaves_the_old_one(account, groups):
    story = Story(account, TEN + SLOT, "c")
    late_start = story.items.pop()
    take_in(story.queued(10, "S"), at=LATER)
    assert CallInterval.objects.get().slot == TEN + SLOT
    late_start["time"] = TEN.isoformat()
    story.items = [late_start]
    take_in(story, at=LATER)
    assert CallInterval.objects.get().slot == TEN


def test_another_account_stays_untouched(account, groups):
    other = AccountFactory()
    SkillGroupFactory(account=other, name="S")
    take_in(Story(other, TEN, "c1").queued(0, "S").ended(30), at=LATER)
    theirs = everything()
    take_in(*worked_example(account), at=LATER)
    list(rollup.rebuild(account=account, start=TEN, end=TEN + SLOT, force=True, at=LATER))
    rollup.recount(account=account, at=LATER)
    names = [field.attname for field in QueueInterval._meta.concrete_fields if not field.primary_key]
    assert sorted(QueueInterval.objects.for_account(other).values_list(*names), key=repr) == theirs[QueueInterval]
    assert figures(other)["calls"] == 1


def test_erasing_a_call_does_not_uncount_it_unless_forced(account, groups):
    take_in(*worked_example(account), at=LATER)
    before = everything()
    Call.objects.filter(call_id__in=["c1", "c2", "c3"]).delete()
    refilled = list(rollup.rebuild(account=account, start=TEN, end=TEN + dt.timedelta(hours=1), at=LATER))
    assert everything() == before
    assert {slot for run in refilled for slot in run.kept} == {TEN}
    Call.objects.all().delete()
    call_command("rebuild_intervals", "--account", account.slug, "--from", "2026-03-02", "--to", "2026-03-02")
    assert everything() == before
    call_command("rebuild_intervals", "--account", account.slug, "--from", "2026-03-02", "--to", "2026-03-02", "--force")
    assert not any(everything().values())


def test_drift_is_reported_and_repaired(account, groups):
    take_in(*worked_example(account), at=LATER)
    before = everything()
    CallInterval.objects.filter(slot=TEN).update(n_calls=99)
    QueueInterval.objects.filter(slot=TEN + SLOT).delete()
    CallInterval.objects.create(account=account, slot=TEN + 8 * SLOT, direction="inbound", n_calls=1)
    assert rollup.recount(account=account, at=LATER) == 3
    assert everything() == before


def test_a_slot_that_is_marked_has_not_drifted(account, groups):
    post(account, worked_example(account)[0].items, at=LATER)
    assert rollup.recount(account=account, at=LATER) == 0
    assert StaleCallSlot.objects.exists()  # the mark is the drainer's to clear
    assert figures(account)["calls"] == 1


def test_rows_doubled_in_the_past_are_made_one(account, groups):
    take_in(Story(account, TEN, "c").queued(0, "nobody knows this group").ended(30), at=LATER)
    before = everything()
    row = QueueInterval.objects.get()
    row.pk = None
    row.save()
    assert rollup.recount(account=account, at=LATER) == 1
    assert everything() == before


def test_a_mark_left_while_slots_are_counted_is_not_lost(account, groups, monkeypatch):
    post(account, Story(account, TEN, "a").items, at=LATER)
    count_calls = counting.count_calls

    def count_and_be_overtaken(*args):
        result = count_calls(*args)
        StaleCallSlot.objects.create(account=account, slot=TEN)
        return result

    monkeypatch.setattr(counting, "count_calls", count_and_be_overtaken)
    rollup.drain_stale_slots(at=LATER)
    assert StaleCallSlot.objects.count() == 1


def test_a_fill_that_breaks_off_leaves_marks_and_rows_as_they_were(account, groups, monkeypatch):
    take_in(Story(account, TEN, "a").items and Story(account, TEN, "a"), at=LATER)
    before = everything()
    post(account, Story(account, TEN, "b").items, at=LATER)
    n_marks = StaleCallSlot.objects.count()

    def break_off(*args):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(counting, "count_queues", break_off)
        with pytest.raises(RuntimeError):
            rollup.drain_stale_slots(at=LATER)
    assert (everything(), StaleCallSlot.objects.count()) == (before, n_marks)
    rollup.drain_stale_slots(at=LATER)
    assert figures(account)["calls"] == 2


def test_a_pass_is_bounded_and_only_a_whole_pass_moves_the_freshness(account, groups):
    post(account, [item for n in range(6) for item in Story(account, TEN + n * 8 * SLOT, f"c{n}").items], at=LATER)
    assert rollup.drain_stale_slots(at=LATER, limit=2) == 2
    assert FillMark.objects.get().filled_at is None
    while rollup.drain_stale_slots(at=LATER, limit=2):
        pass
    assert rollup.drain_stale_slots(at=LATER) == 0
    assert CallInterval.objects.count() == 6


def test_freshness_says_what_still_waits(account, groups):
    at = LATER
    assert reports.freshness(account=account, at=at) == reports.Freshness(at, is_behind=False)
    take_in(Story(account, TEN, "a"), at=at)
    assert reports.freshness(account=account, at=at).counted_to == at
    later = at + dt.timedelta(minutes=5)
    post(account, Story(account, TEN, "b").items, at=later)
    assert reports.freshness(account=account, at=later) == reports.Freshness(at, is_behind=True)
    rollup.drain_stale_slots(at=later)
    assert reports.freshness(account=account, at=later) == reports.Freshness(later, is_behind=False)


def test_filling_asks_a_fixed_number_of_questions(account, groups, django_assert_max_num_queries):
    post(
        account,
        [item for n in range(40) for item in Story(account, TEN + dt.timedelta(minutes=n), f"c{n}").queued(1, "S").items],
        at=LATER,
    )
    with django_assert_max_num_queries(100):
        rollup.drain_stale_slots(at=LATER)


def test_where_nothing_changed_and_no_day_ended_the_counts_are_not_locked(account, groups, django_assert_num_queries):
    take_in(*worked_example(account), at=LATER)
    rollup.drain_stale_slots(at=LATER)
    with django_assert_num_queries(3):  # two kinds of marks, and the fill marks
        rollup.drain_stale_slots(at=LATER + dt.timedelta(seconds=5))


@pytest.mark.parametrize(
    ("zone", "day", "n_slots"),
    [
        ("America/New_York", dt.date(2025, 3, 9), 92),
        ("America/New_York", dt.date(2025, 11, 2), 100),
        ("Asia/Kolkata", dt.date(2025, 11, 2), 96),
        ("Asia/Kathmandu", dt.date(2025, 11, 2), 96),
        ("Australia/Lord_Howe", dt.date(2025, 10, 5), 94),
    ],
)
@pytest.mark.parametrize("step", ["half_hour", "hour", "day"])
def test_the_steps_of_a_day_add_up_to_the_day(groups, account, zone, day, n_slots, step):
    account.time_zone = zone
    account.save()
    period = day_of(account, day)
    slots = [period.start + n * SLOT for n in range(n_slots)]
    assert slots[-1] + SLOT == period.end
    take_in(
        *(Story(account, slot + dt.timedelta(seconds=1), f"c{slot}").queued(2, "S").answered(9, "A").ended(20) for slot in slots),
        Story(account, period.start - dt.timedelta(seconds=1), "the day before"),
        Story(account, period.end, "the day after"),
        at=LATER,
    )
    actor = actor_of(account)
    steps = reports.series(actor=actor, period=period, filters=Filters(), step=step)
    whole = reports.sum_up(actor=actor, period=period, filters=Filters())
    total = reports.total(steps)
    assert whole.calls["n_calls"] == n_slots
    assert reports.figures(total, actor=actor, filters=Filters()) == reports.figures(whole, actor=actor, filters=Filters())
    assert len({step.label for step in steps}) == len(steps)
    assert all(step.start.minute % 30 == 0 for step in steps)
    assert [a.end for a in steps[:-1]] == [b.start for b in steps[1:]]


def test_slots_of_the_facts_are_slots_of_the_counts(account, groups):
    take_in(*worked_example(account), at=LATER)
    assert set(CallInterval.objects.values_list("slot", flat=True)) == {
        slot_of(at) for at in Call.objects.values_list("started_at", flat=True)
    }
