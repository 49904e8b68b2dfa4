"""The drawing of a call: what stands where, and what is told."""

import datetime as dt
import zoneinfo
from itertools import pairwise

import pytest

from calls.models import Call, EntryOutcome, LegKind, LegResult, Outcome
from calls.timeline import Timeline, draw
from tests.factories import AgentFactory, CallFactory, CallLegFactory, IvrStepFactory, QueueEntryFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")
START = dt.datetime(2026, 11, 24, 1, 0, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def drawn(call: Call, *, now: float = 10_000, zone: zoneinfo.ZoneInfo = SHANGHAI, whole: bool = True) -> Timeline:
    return draw(Call.objects.get(pk=call.pk), at=at(now), zone=zone, whole_numbers=whole)


def picture(timeline: Timeline) -> dict[str, list[tuple[str, float, float]]]:
    """Lane by lane, each band with its seconds from the start."""
    return {
        lane.title: [
            (band.kind, (band.start - START).total_seconds(), (band.until - START).total_seconds()) for band in lane.bands
        ]
        for lane in timeline.lanes
    }


@pytest.fixture
def rich_call(account):
    """IVR 0-10, Claims 10-40 with Wang not answering, Li 40-100 with a hold, blind to Sales, Zhao 115-200, wrap-up to 230."""
    wang, li, zhao = (AgentFactory(account=account, name=name) for name in ("Wang", "Li", "Zhao"))
    claims, sales = (SkillGroupFactory(account=account, name=name) for name in ("Claims", "Sales"))
    call = CallFactory(
        account=account, started_at=START, ended_at=at(200), ivr_entered_at=START, ivr_left_at=at(10), ivr_seconds=10
    )
    IvrStepFactory(call=call, prompted_at=at(1), input_at=at(9), input="2")
    QueueEntryFactory(call=call, skill_group=claims, entered_at=at(10), left_at=at(40))
    QueueEntryFactory(call=call, skill_group=sales, entered_at=at(100), left_at=at(115))
    CallLegFactory(call=call, agent=wang, offered_at=at(12), answered_at=None, ended_at=at(30), result=LegResult.NO_ANSWER)
    CallLegFactory(
        call=call,
        agent=li,
        offered_at=at(31),
        answered_at=at(40),
        ended_at=at(100),
        holds=[[at(60).isoformat(), at(70).isoformat()]],
        hold_seconds=10,
        transfer_kind="blind",
        transfer_to="Sales",
        wrap_up_ended_at=at(120),
    )
    CallLegFactory(call=call, agent=zhao, offered_at=at(105), answered_at=at(115), ended_at=at(200), wrap_up_ended_at=at(230))
    return call


def test_every_stay_is_a_band_in_the_lane_of_its_party(rich_call):
    assert picture(drawn(rich_call)) == {
        "IVR": [("ivr", 0, 10)],
        "Queue: Claims": [("queue", 10, 40)],
        "Wang": [("ring", 12, 30)],
        "Li": [("ring", 31, 40), ("talk", 40, 60), ("hold", 60, 70), ("talk", 70, 100), ("wrap_up", 100, 120)],
        "Queue: Sales": [("queue", 100, 115)],
        "Zhao": [("ring", 105, 115), ("talk", 115, 200), ("wrap_up", 200, 230)],
    }


def test_bands_are_to_scale_over_the_call_and_its_wrap_up(rich_call):
    timeline = drawn(rich_call)
    talk = timeline.lanes[-1].bands[1]
    assert (timeline.start, timeline.end) == (START, at(230))
    assert talk.left == pytest.approx(115 / 230 * 100, abs=0.01)
    assert talk.width == pytest.approx(85 / 230 * 100, abs=0.01)
    assert timeline.length == "3 min 20 s"  # the call itself, without the wrap-up


def test_a_transfer_is_an_arrow_to_the_lane_that_starts_next(rich_call):
    timeline = drawn(rich_call)
    [arrow] = timeline.transfers
    assert arrow.at == at(100) and arrow.label == "Li transferred the call to Sales"
    assert [timeline.lanes[arrow.top].title, timeline.lanes[arrow.bottom].title] == ["Li", "Queue: Sales"]
    assert not arrow.points_up


def test_an_attended_transfer_stands_where_it_was_made(account):
    call = CallFactory(account=account, started_at=START, ended_at=at(100))
    CallLegFactory(
        call=call, offered_at=START, ended_at=at(60), transfer_kind="attended", transfer_to="1002", transferred_at=at(30)
    )
    CallLegFactory(call=call, offered_at=at(30), answered_at=at(35), ended_at=at(100))
    assert drawn(call).transfers[0].at == at(30)


def test_the_arrow_points_up_where_the_target_stands_above(account):
    """Back to somebody who had the call before."""
    li, zhao = AgentFactory(account=account), AgentFactory(account=account)
    call = CallFactory(account=account, started_at=START, ended_at=at(100))
    CallLegFactory(call=call, agent=li, offered_at=START, ended_at=at(20), transfer_kind="blind", transfer_to="x")
    CallLegFactory(call=call, agent=zhao, offered_at=at(20), ended_at=at(50), transfer_kind="blind", transfer_to="y")
    CallLegFactory(call=call, agent=li, offered_at=at(50), ended_at=at(100))
    timeline = drawn(call)
    assert [lane.title for lane in timeline.lanes] == [li.name, zhao.name]  # one lane for each agent, however often
    assert [mark.points_up for mark in timeline.transfers] == [False, True]


def test_the_story_is_told_in_order_and_ends_with_who_hung_up(rich_call):
    story = drawn(rich_call).story
    assert [moment.at for moment in story] == sorted(moment.at for moment in story)
    texts = [moment.text for moment in story]
    assert texts[0] == "Call from +8613800138000"
    assert texts.index("Li transferred the call to Sales") < texts.index("Queued for Sales")
    assert "Wang did not answer" in texts and "Li put the call on hold" in texts
    assert [text for text in texts if "hung up" in text] == ["The customer hung up"]
    assert texts[-1] == "Zhao finished the wrap-up"


def test_every_band_and_mark_leads_to_a_line_of_the_story(rich_call):
    timeline = drawn(rich_call)
    targets = [item.story for lane in timeline.lanes for item in [*lane.bands, *lane.marks]] + [timeline.hangup.story]
    assert all(1 <= line <= len(timeline.story) for line in targets)
    assert timeline.story[timeline.hangup.story - 1].kind == "hangup"


def test_an_open_call_runs_to_now_and_nobody_has_hung_up(account):
    call = CallFactory(account=account, open=True, started_at=START, answered_at=at(20))
    CallLegFactory(call=call, offered_at=at(10), answered_at=at(20), ended_at=None, holds=[[at(40).isoformat(), None]])
    timeline = drawn(call, now=90)
    assert timeline.is_running and timeline.hangup is None and timeline.end == at(90)
    assert [(band.kind, band.end is None) for band in timeline.lanes[0].bands] == [
        ("ring", False),
        ("talk", False),
        ("hold", True),
    ]
    assert timeline.lanes[0].bands[-1].until == at(90)


def test_a_call_of_no_length_and_without_parts_is_drawn(account):
    call = CallFactory(account=account, outcome=Outcome.NOT_ANSWERED, started_at=START, ended_at=START)
    timeline = drawn(call)
    assert picture(timeline) == {"Call": [("call", 0, 0)]} and timeline.length == "0 s"
    assert timeline.end > timeline.start  # nothing divides by zero


def test_clocks_that_run_backwards_do_not_break_the_drawing(account):
    call = CallFactory(account=account, started_at=START, ended_at=at(10))
    CallLegFactory(call=call, offered_at=at(-5), answered_at=at(-8), ended_at=at(-9), wrap_up_ended_at=at(-20))
    timeline = drawn(call)
    assert timeline.start == at(-8)
    assert all(0 <= band.left <= 100 and band.width >= 0 for lane in timeline.lanes for band in lane.bands)


def test_a_call_that_went_silent_says_that_its_end_is_a_conclusion(account):
    call = CallFactory(account=account, started_at=START, ended_at=at(10), outcome=Outcome.LOST_CONTACT, end_is_inferred=True)
    timeline = drawn(call)
    assert timeline.hangup.label == "Lost contact"
    assert "conclusion" in timeline.story[-1].detail


def test_forty_legs_get_forty_lanes(account):
    call = CallFactory(account=account, started_at=START, ended_at=at(400))
    for n in range(40):
        CallLegFactory(
            call=call, agent=None, agent_reference=f"x{n}", offered_at=at(10 * n), answered_at=None, ended_at=at(10 * n + 8)
        )
    assert len(drawn(call).lanes) == 40


def test_numbers_and_long_inputs_are_hidden_from_who_may_not_see_them(account):
    call = CallFactory(account=account, started_at=START, ended_at=at(100))
    IvrStepFactory(call=call, prompted_at=at(1), input="4401886622119", input_at=at(5))
    CallLegFactory(call=call, transfer_kind="blind", transfer_to="+862155667788", ended_at=at(50))
    CallLegFactory(call=call, kind=LegKind.EXTERNAL, number="+862155667788", offered_at=at(50))
    told = str(drawn(call, whole=False))
    assert all(secret not in told for secret in ("8613800138000", "1886622", "55667"))
    assert "+8613" in told


def test_an_agent_the_portal_does_not_know_is_named_as_the_platform_did(account):
    call = CallFactory(account=account, started_at=START)
    CallLegFactory(call=call, agent=None, agent_reference="zoe@pbx")
    assert drawn(call).lanes[0].title == "zoe@pbx"


def test_leaving_the_queue_says_why(account):
    call = CallFactory(account=account, started_at=START, outcome=Outcome.TIMED_OUT)
    QueueEntryFactory(call=call, entered_at=at(0), left_at=at(60), outcome=EntryOutcome.FLOW_OUT, reason="timeout")
    QueueEntryFactory(call=call, entered_at=at(60), left_at=at(90), outcome=EntryOutcome.ABANDONED, while_ringing=True)
    texts = " ".join(moment.text for moment in drawn(call).story)
    assert "waited too long" in texts and "gave up while it rang" in texts


@pytest.mark.parametrize(
    ("zone", "length", "first", "step"),
    [
        ("Asia/Shanghai", 240, "09:00:00", 30),
        ("Asia/Kolkata", 4 * 3600, "06:30:00", 1800),
        ("Asia/Kathmandu", 7 * 3600, "07:00:00", 3600),  # 5 h 45 min from UTC: round hours are round there
        ("UTC", 3, "01:00:00", 1),
    ],
)
def test_ticks_stand_at_round_local_times(account, zone, length, first, step):
    call = CallFactory(account=account, started_at=START, ended_at=at(length))
    ticks = drawn(call, zone=zoneinfo.ZoneInfo(zone)).ticks
    assert ticks[0].at.astimezone(zoneinfo.ZoneInfo(zone)).strftime("%H:%M:%S") == first
    assert {(later.at - tick.at).total_seconds() for tick, later in pairwise(ticks)} == {step}
    assert len(ticks) <= 9


def test_a_tick_of_the_next_day_says_so(account):
    midnight = dt.datetime(2026, 11, 24, 16, 0, tzinfo=dt.UTC)  # in Shanghai
    call = CallFactory(
        account=account, started_at=midnight - dt.timedelta(minutes=5), ended_at=midnight + dt.timedelta(minutes=5)
    )
    assert [tick.at for tick in drawn(call).ticks if tick.has_date] == [midnight]
