"""The derived timeline: every moment once, calls before wrap-up before ringing before what was chosen."""

import datetime as dt
import itertools
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.models import Status
from agents.presence import change_status
from calls.activity import Activity, Chosen, Leg, Stretch, activity_in, activity_of, derive
from tests.factories import AccountFactory, AgentFactory, CallFactory, CallLegFactory

START = dt.datetime(2026, 3, 2, 1, 0, tzinfo=dt.UTC)


def at(minutes: float) -> dt.datetime:
    return START + dt.timedelta(minutes=minutes)


def status(name: str, start: float, end: float | None, reason: str = "") -> Chosen:
    return Chosen(name, reason, at(start), None if end is None else at(end))


def leg(offered: float, answered: float | None, ended: float | None, wrapped: float | None = None, call: int = 7) -> Leg:
    return Leg(call, at(offered), *(None if moment is None else at(moment) for moment in (answered, ended, wrapped)))


def table(stretches: list[Stretch]) -> list[tuple[str, float, float]]:
    return [
        (one.state, *((moment - START).total_seconds() / 60 for moment in (one.started_at, one.ended_at))) for one in stretches
    ]


def drawn(
    chosen: list[Chosen], legs: list[Leg], start: float = 0, end: float = 60, now: float = 60
) -> list[tuple[str, float, float]]:
    return table(derive(chosen=chosen, legs=legs, start=at(start), end=at(end), at=at(now)))


def test_a_call_cuts_into_the_chosen_status():
    assert drawn([status("available", 0, None)], [leg(10, 11, 20, 22)]) == [
        ("available", 0, 10),
        ("ringing", 10, 11),
        ("on_call", 11, 20),
        ("acw", 20, 22),
        ("available", 22, 60),
    ]


def test_a_wrap_up_gives_way_to_the_next_call_and_goes_on_before_its_ringing():
    legs = [leg(0, 0, 10, 20, call=1), leg(14, 15, 18, None, call=2)]
    assert drawn([status("available", 0, None)], legs, end=30) == [
        ("on_call", 0, 10),
        ("acw", 10, 15),
        ("on_call", 15, 18),
        ("acw", 18, 20),
        ("available", 20, 30),
    ]


def test_an_offer_nobody_answered_rang_until_it_ended():
    assert drawn([status("break", 0, None, "lunch")], [leg(10, None, 12)], end=20) == [
        ("break", 0, 10),
        ("ringing", 10, 12),
        ("break", 12, 20),
    ]


def test_what_goes_on_reaches_to_now_and_the_future_is_not_told():
    assert drawn([status("available", 0, None)], [leg(50, 51, None)], now=55) == [
        ("available", 0, 50),
        ("ringing", 50, 51),
        ("on_call", 51, 55),
    ]
    assert drawn([status("available", 0, None)], [], start=60, end=120, now=60) == []


def test_before_the_first_change_and_where_nothing_is_known_people_are_offline():
    assert drawn([status("busy", 20, 40)], []) == [("offline", 0, 20), ("not_ready", 20, 40), ("offline", 40, 60)]
    assert drawn([], []) == [("offline", 0, 60)]


def test_a_chosen_wrap_up_is_wrap_up_and_reasons_divide_breaks():
    chosen = [status("wrap_up", 0, 10), status("break", 10, 20, "lunch"), status("break", 20, 60, "meeting")]
    stretches = derive(chosen=chosen, legs=[], start=at(0), end=at(60), at=at(60))
    assert [(one.state, one.reason) for one in stretches] == [("acw", ""), ("break", "lunch"), ("break", "meeting")]


def test_a_wrap_up_that_is_a_status_goes_before_ringing_and_after_a_call():
    chosen = [status("available", 0, 20), status("wrap_up", 20, 40), status("available", 40, None)]
    assert drawn(chosen, [leg(30, 35, 38), leg(38, None, 45)]) == [
        ("available", 0, 20),
        ("acw", 20, 35),
        ("on_call", 35, 38),
        ("acw", 38, 40),
        ("ringing", 40, 45),
        ("available", 45, 60),
    ]


def test_a_wrap_up_told_by_its_call_and_by_the_status_names_the_call():
    stretches = derive(chosen=[status("wrap_up", 10, 30)], legs=[leg(0, 0, 10, 20)], start=at(10), end=at(30), at=at(60))
    assert [(*row, one.call_id) for row, one in zip(table(stretches), stretches, strict=True)] == [
        ("acw", 10, 20, 7),
        ("acw", 20, 30, None),
    ]


def test_the_same_status_chosen_again_is_one_stretch():
    assert drawn([status("available", 0, 20), status("available", 20, None)], []) == [("available", 0, 60)]


def test_two_calls_at_once_are_told_one_after_the_other():
    legs = [leg(0, 0, 20, call=1), leg(10, 10, 30, call=2)]
    stretches = derive(chosen=[], legs=legs, start=at(0), end=at(40), at=at(60))
    assert [(one.call_id, *row) for one, row in zip(stretches, table(stretches), strict=True)] == [
        (1, "on_call", 0, 20),
        (2, "on_call", 20, 30),
        (None, "offline", 30, 40),
    ]


def test_it_is_clipped_to_the_window():
    assert drawn([status("available", -100, None)], [leg(-20, -10, 10)], end=30) == [("on_call", 0, 10), ("available", 10, 30)]


def test_a_break_over_midnight_gives_each_day_its_part():
    chosen = [status("break", -10, 20), status("available", 20, None)]
    before, after = drawn(chosen, [], start=-60, end=0), drawn(chosen, [], start=0, end=60)
    assert before[-1] == ("break", -10, 0) and after[0] == ("break", 0, 20)


MOMENTS = st.integers(-30, 90)
SPANS = st.lists(st.tuples(st.sampled_from(Status.values), st.integers(0, 40), st.sampled_from(["", "lunch"])), max_size=8)
LEGS = st.lists(st.tuples(MOMENTS, *[st.none() | st.integers(0, 40)] * 3), max_size=6)


@given(first=MOMENTS, spans=SPANS, offers=LEGS, length=st.integers(1, 80), now=st.integers(-5, 100), is_open=st.booleans())
def test_any_rows_give_one_unbroken_timeline(first, spans, offers, length, now, is_open):
    chosen, moment = [], first
    for name, minutes, reason in spans:
        chosen.append(status(name, moment, moment + minutes, reason))
        moment += minutes
    if chosen and is_open:
        chosen[-1] = Chosen(chosen[-1].status, chosen[-1].reason, chosen[-1].started_at, None)
    legs = []
    for call, (offered, rang, talked, wrapped) in enumerate(offers):
        answered = None if rang is None else offered + rang
        ended = None if talked is None else (answered if answered is not None else offered) + talked
        over = None if wrapped is None or ended is None or answered is None else ended + wrapped
        legs.append(leg(offered, answered, ended, over, call=call))
    start, end, until = at(0), at(length), at(now)
    stretches = derive(chosen=chosen, legs=legs, start=start, end=end, at=until)
    window = max(dt.timedelta(0), min(end, until) - start)
    assert sum((one.ended_at - one.started_at for one in stretches), dt.timedelta(0)) == window
    if stretches:
        assert (stretches[0].started_at, stretches[-1].ended_at) == (start, min(end, until))
    for before, after in itertools.pairwise(stretches):
        assert before.ended_at == after.started_at
        assert (before.state, before.reason, before.call_id) != (after.state, after.reason, after.call_id)
    for one in stretches:
        assert one.started_at < one.ended_at
        middle = one.started_at + (one.ended_at - one.started_at) / 2
        assert one.state == expected(chosen, legs, middle, min(end, until)), middle


def expected(chosen: list[Chosen], legs: list[Leg], moment: dt.datetime, end: dt.datetime) -> str:
    """The state of one moment, told from the definition alone."""

    def within(start: dt.datetime | None, until: dt.datetime | None) -> bool:
        return start is not None and start <= moment < (until or end)

    if any(within(one.answered_at, one.ended_at) for one in legs):
        return Activity.ON_CALL
    if any(one.wrap_up_ended_at and within(one.ended_at, one.wrap_up_ended_at) for one in legs if one.answered_at):
        return Activity.ACW
    if any(one.status == Status.WRAP_UP and within(one.started_at, one.ended_at) for one in chosen):
        return Activity.ACW
    if any(within(one.offered_at, one.answered_at or one.ended_at) for one in legs):
        return Activity.RINGING
    found = [one.status for one in chosen if within(one.started_at, one.ended_at)]
    names = {"busy": "not_ready", "wrap_up": "acw"}
    return names.get(found[0], found[0]) if found else Activity.OFFLINE


@pytest.mark.django_db
class TestFromTheDatabase:
    @pytest.mark.parametrize(("day", "hours"), [(dt.date(2026, 3, 8), 23), (dt.date(2026, 11, 1), 25), (dt.date(2026, 6, 1), 24)])
    def test_a_local_day_is_as_long_as_it_is(self, day, hours):
        zone = zoneinfo.ZoneInfo("America/New_York")
        account = AccountFactory(time_zone="America/New_York", region="US")
        agent = AgentFactory(account=account)
        start, end = (dt.datetime.combine(one, dt.time(), zone) for one in (day, day + dt.timedelta(days=1)))
        change_status(agent=agent, status="available", at=start - dt.timedelta(hours=1))
        change_status(agent=agent, status="offline", at=end + dt.timedelta(hours=1))
        stretches = activity_of(account=account, agent_ids=[agent.pk], start=start, end=end, at=end)[agent.pk]
        assert sum(one.seconds for one in stretches) == hours * 3600
        assert [one.state for one in stretches] == ["available"]

    def test_it_reads_statuses_and_legs_of_the_agents_asked_for(self, account):
        agent, other = AgentFactory(account=account), AgentFactory(account=account)
        change_status(agent=agent, status="available", at=at(0))
        change_status(agent=other, status="break", reason="lunch", at=at(30))
        call = CallFactory(account=account, started_at=at(10), ended_at=at(20))
        CallLegFactory(call=call, agent=agent, offered_at=at(10), answered_at=at(11), ended_at=at(20), wrap_up_ended_at=at(22))
        found = activity_of(account=account, agent_ids=[agent.pk, other.pk], start=at(0), end=at(60), at=at(60))
        assert table(found[agent.pk]) == [
            ("available", 0, 10),
            ("ringing", 10, 11),
            ("on_call", 11, 20),
            ("acw", 20, 22),
            ("available", 22, 60),
        ]
        assert {one.call_id for one in found[agent.pk]} == {None, call.pk}
        assert table(found[other.pk]) == [("offline", 0, 30), ("break", 30, 60)]

    def test_two_queries_for_any_number_of_agents(self, account, django_assert_num_queries):
        agents = [AgentFactory(account=account) for _ in range(5)]
        for one in agents:
            change_status(agent=one, status="available", at=at(0))
        with django_assert_num_queries(2):
            activity_of(account=account, agent_ids=[one.pk for one in agents], start=at(0), end=at(60), at=at(60))

    def test_several_windows_are_read_at_once_and_say_what_each_says_alone(self, account, django_assert_num_queries):
        agent = AgentFactory(account=account)
        change_status(agent=agent, status="available", at=at(-30))
        change_status(agent=agent, status="break", reason="lunch", at=at(90))
        week = 7 * 24 * 60
        for offered, answered, ended, wrapped in ((50, 55, 70, 75), (100, 101, None, None), (-week, -week, None, None)):
            call = CallFactory(account=account, started_at=at(offered))
            moments = [None if one is None else at(one) for one in (answered, ended, wrapped)]
            CallLegFactory(
                call=call,
                agent=agent,
                offered_at=at(offered),
                answered_at=moments[0],
                ended_at=moments[1],
                wrap_up_ended_at=moments[2],
            )
        windows = [(at(60), at(120)), (at(0), at(60)), (at(2 - week), at(60 - week)), (at(120), at(180))]
        with django_assert_num_queries(2):
            found = activity_in(account=account, agent_ids=[agent.pk], windows=windows, at=at(110))
        alone = [activity_of(account=account, agent_ids=[agent.pk], start=start, end=end, at=at(110)) for start, end in windows]
        assert found == alone
        assert [[state for state, *_ in table(one[agent.pk])] for one in found] == [
            ["on_call", "acw", "available", "break", "ringing", "on_call"],
            ["available", "ringing", "on_call"],
            ["on_call"],
            [],
        ]
        assert activity_in(account=account, agent_ids=[agent.pk], windows=[], at=at(110)) == []

    def test_people_of_another_account_did_nothing(self, account):
        stranger = AgentFactory()
        change_status(agent=stranger, status="available", at=at(0))
        found = activity_of(account=account, agent_ids=[stranger.pk], start=at(0), end=at(60), at=at(60))
        assert table(found[stranger.pk]) == [("offline", 0, 60)]
