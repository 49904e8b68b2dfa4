"""Rows of finished calls, read as events."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from calls.adapters.table import MappingError, RowProblem, load_mapping, read_mapping

UTC = dt.UTC
BERLIN = ZoneInfo("Europe/Berlin")

BASE = """
source = "test"
[file]
date = "%Y-%m-%d"
time = "%H:%M:%S"
[call]
id = "id"
"""
CLOCKS = (
    BASE
    + """
[times]
started = { date = "day", time = "start" }
answered = { date = "day", time = "answer" }
ended = { date = "day", time = "end" }
"""
)


def read(mapping, row, zone=BERLIN, **options):
    return read_mapping(mapping).read(row, zone=zone, **options)


def times(call, zone=UTC):
    return {e["type"]: dt.datetime.fromisoformat(e["time"]).astimezone(zone).strftime("%d %H:%M:%S") for e in call.events}


def generic(**cells):
    row = dict.fromkeys(load_mapping("generic").columns, "")
    row |= {
        "call_id": "1",
        "called_number": "+861055500001",
        "started_at": "2026-03-02 10:00:00",
        "ended_at": "2026-03-02 10:05:00",
    }
    return load_mapping("generic").read(row | cells, zone=ZoneInfo("Asia/Shanghai"))


def clocks(day, start, answer, end, **options):
    return times(read(CLOCKS, {"id": "1", "day": day, "start": start, "answer": answer, "end": end}, **options))


# --- Wall clocks -----------------------------------------------------------------------------------------------------


def test_wall_time_is_read_in_the_zone():
    assert clocks("2026-07-01", "10:00:00", "10:00:20", "10:05:00") == {
        "call.started": "01 08:00:00",
        "call.answered": "01 08:00:20",
        "call.ended": "01 08:05:00",
    }


def test_a_call_goes_on_past_midnight():
    assert clocks("2026-01-31", "23:59:50", "00:00:05", "00:10:00", zone=UTC) == {
        "call.started": "31 23:59:50",
        "call.answered": "01 00:00:05",
        "call.ended": "01 00:10:00",
    }


def test_a_time_a_little_before_the_start_is_no_midnight_but_an_error():
    with pytest.raises(RowProblem, match="end: lies before answer"):
        clocks("2026-01-31", "10:00:00", "10:00:05", "09:59:00")


def test_times_that_the_clock_skipped_are_counted_on_from_before_the_change():
    # 29 March 2026, 02:00 to 03:00 does not exist in Berlin.
    assert clocks("2026-03-29", "02:30:00", "02:30:10", "02:40:00") == {
        "call.started": "29 01:30:00",
        "call.answered": "29 01:30:10",
        "call.ended": "29 01:40:00",
    }


def test_a_call_across_the_skipped_hour_keeps_its_true_length():
    assert clocks("2026-03-29", "01:59:00", "01:59:30", "03:01:00") == {
        "call.started": "29 00:59:00",
        "call.answered": "29 00:59:30",
        "call.ended": "29 01:01:00",
    }


def test_of_an_hour_that_comes_twice_the_second_is_meant_when_the_first_is_over():
    # 25 October 2026: 02:00 to 03:00 comes twice in Berlin.
    assert clocks("2026-10-25", "02:50:00", "02:50:10", "02:05:00") == {
        "call.started": "25 00:50:00",
        "call.answered": "25 00:50:10",
        "call.ended": "25 01:05:00",
    }


def test_a_shift_moves_the_start_by_days_of_wall_time_and_keeps_all_lengths():
    shifted = clocks("2026-03-22", "09:00:00", "09:00:10", "09:05:00", shift_days=7)
    assert shifted == {
        "call.started": "29 07:00:00",
        "call.answered": "29 07:00:10",
        "call.ended": "29 07:05:00",
    }  # was 08:00 UTC
    skipped = clocks("2026-03-22", "01:59:00", "01:59:30", "02:10:00", shift_days=7)
    assert skipped == {"call.started": "29 00:59:00", "call.answered": "29 00:59:30", "call.ended": "29 01:10:00"}


def test_a_shift_out_of_the_calendar_is_refused():
    with pytest.raises(RowProblem, match="calendar"):
        clocks("2026-03-22", "09:00:00", "09:00:10", "09:05:00", shift_days=10**7)


def test_a_moment_with_its_own_offset_does_not_follow_the_zone():
    call = generic(started_at="2026-03-02T10:00:00+01:00", ended_at="2026-03-02T09:05:00Z")
    assert times(call) == {"call.started": "02 09:00:00", "call.ended": "02 09:05:00"}


# --- Lengths ---------------------------------------------------------------------------------------------------------

LENGTHS = (
    BASE
    + """
[times]
started = { date = "day", time = "start" }
answered = { after = "started", seconds = "wait" }
ended = { after = "answered", between = ["from", "to"] }
"""
)


def lengths(wait="20", begin="10:00:00", end="10:01:00"):
    row = {"id": "1", "day": "2026-03-02", "start": "10:00:00", "wait": wait, "from": begin, "to": end}
    return times(read(LENGTHS, row, zone=UTC))


@pytest.mark.parametrize(
    ("wait", "answered"), [("20", "10:00:20"), ("0:20", "10:00:20"), ("1:00:20", "11:00:20"), ("2.0", "10:00:02")]
)
def test_a_length_is_seconds_or_a_clock(wait, answered):
    assert lengths(wait)["call.answered"] == f"02 {answered}"


def test_a_length_between_two_columns_crosses_midnight():
    assert lengths("0", "23:59:00", "00:01:00")["call.ended"] == "02 10:02:00"


def test_a_negative_length_is_an_error_unless_it_is_said_to_be_none():
    with pytest.raises(RowProblem, match="wait: '-5' is a negative length"):
        lengths("-5")
    row = {"id": "1", "day": "2026-03-02", "start": "10:00:00", "wait": "-5", "from": "10:00:00", "to": "10:00:01"}
    mapping = LENGTHS.replace('seconds = "wait"', 'seconds = "wait", negative = "zero"')
    assert times(read(mapping, row, zone=UTC))["call.answered"] == "02 10:00:00"


@pytest.mark.parametrize("text", ["soon", "1:2:x", "nan", "inf", "1e9"])
def test_what_is_no_length_names_its_column(text):
    with pytest.raises(RowProblem, match=r"^wait: "):
        lengths(text)


def test_a_time_may_be_held_to_be_no_earlier_than_another():
    mapping = CLOCKS.replace('time = "answer" }', 'time = "answer", not_before = "started" }')
    row = {"id": "1", "day": "2026-03-02", "start": "10:00:00", "answer": "09:59:58", "end": "10:01:00"}
    assert times(read(mapping, row, zone=UTC))["call.answered"] == "02 10:00:00"


# --- Values and conditions -------------------------------------------------------------------------------------------


def test_a_value_may_join_columns_be_translated_be_unknown_or_depend_on_others():
    mapping = (
        BASE.replace(
            'id = "id"',
            """
id = { columns = ["line", "id"] }
direction = { column = "way", values = { in = "inbound", out = "outbound" } }
agent = { column = "who", unknown = ["-"], otherwise = "nobody" }
skill_group = [{ when = { column = "n", above = 3 }, value = "many" }, { when = { column = "n", below = 2 }, column = "who" }]
""",
        )
        + """
[times]
started = "s"
answered = "s"
ended = "s"
"""
    )
    row = {"line": "A", "id": "7", "way": "out", "who": "-", "n": "4", "s": "2026-03-02 10:00"}
    call = read(mapping, row)
    assert call.call_id == "A/7"
    assert [event["data"] for event in call.events] == [
        {"direction": "outbound", "calling_number": "", "called_number": ""},
        {"agent": "nobody", "skill_group": "many"},
        {"party": "customer"},
    ]
    assert read(mapping, row | {"n": "1", "who": "S"}).events[1]["data"] == {"agent": "S", "skill_group": "S"}
    assert read(mapping, row | {"n": "3"}).events[1]["data"] == {"agent": "nobody"}
    with pytest.raises(RowProblem, match="way: 'sideways' is not among the values"):
        read(mapping, row | {"way": "sideways"})


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('{ column = "a", is = "x" }', True),
        ('{ column = "a", is_not = "x" }', False),
        ('{ column = "a", in = ["x", "y"] }', True),
        ('{ column = "a", not_in = ["x", "y"] }', False),
        ('{ column = "b", empty = true }', True),
        ('{ column = "b", empty = false }', False),
        ('{ column = "n", is = 5 }', True),
        ('{ column = "n", above = 5 }', False),
        ('{ column = "n", below = 6 }', True),
        ('{ all = [{ column = "a", is = "x" }, { column = "n", above = 9 }] }', False),
        ('{ any = [{ column = "a", is = "y" }, { column = "n", above = 4 }] }', True),
        ('{ not = { any = [{ column = "a", is = "x" }] } }', False),
    ],
)
def test_conditions(condition, holds):
    mapping = read_mapping(CLOCKS + f'[[skip]]\nwhen = {condition}\nreason = "left out"')
    assert mapping.skipped({"a": "x", "b": "", "n": "5"}) == ("left out" if holds else None)


# --- The generic mapping ---------------------------------------------------------------------------------------------


def test_a_full_row_becomes_every_event():
    call = generic(
        direction="inbound",
        calling_number="13800138000",
        skill_group="Sales",
        agent="1001",
        ivr_at="2026-03-02 10:00:00",
        queued_at="2026-03-02 10:00:10",
        ringing_at="2026-03-02 10:00:20",
        answered_at="2026-03-02 10:00:25",
        wrap_up_ended_at="2026-03-02 10:05:30",
        outcome="answered",
        ended_by="agent",
        rating="4",
        disposition="sold",
        remark="Wants the blue one.",
    )
    assert [(event["type"].removeprefix("call."), event["data"]) for event in call.events] == [
        ("started", {"direction": "inbound", "calling_number": "13800138000", "called_number": "+861055500001"}),
        ("ivr_prompted", {"step": "ivr", "prompt": "IVR"}),
        ("queued", {"skill_group": "Sales"}),
        ("ringing", {"agent": "1001", "skill_group": "Sales"}),
        ("answered", {"agent": "1001", "skill_group": "Sales"}),
        ("ended", {"party": "agent"}),
        ("wrap_up_ended", {"agent": "1001"}),
        ("rated", {"asked": True, "score": 4, "scale": 5}),
        ("remarked", {"text": "Wants the blue one.", "disposition": "sold"}),
    ]
    assert len({event["id"] for event in call.events}) == len(call.events)
    assert {(event["source"], event["subject"]) for event in call.events} == {("import", "1")}
    assert call.last_at > call.ended_at


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"call_id": ""}, "call_id", "every call needs an id"),
        ({"call_id": "x" * 201}, "call_id", "at most 200 characters"),
        ({"call_id": "a\x00b"}, "call_id", "control characters"),
        ({"started_at": ""}, "started_at", "every call needs its start"),
        ({"ended_at": ""}, "ended_at", "only finished calls"),
        ({"started_at": "tomorrow"}, "started_at", "'tomorrow' does not read as iso"),
        ({"ended_at": "2026-03-02 09:00:00"}, "ended_at", "lies before started_at"),
        ({"queued_at": "2026-03-02 10:01:00"}, "skill_group", "is missing"),
        ({"calling_number": "9" * 40}, "calling_number", "at most 32"),
        ({"direction": "sideways"}, "direction", "must be one of"),
        ({"ended_by": "nobody"}, "ended_by", "must be one of"),
        ({"rating": "good"}, "rating", "'good' is no number"),
        ({"rating": "9"}, "rating", "higher than the scale"),
        ({"rating": "4", "rating_scale": "ten"}, "rating_scale", "'ten' is no number"),
        ({"outcome": "great"}, "outcome", "'great' is no outcome; expected one of answered"),
        ({"outcome": "answered"}, "outcome", "says answered, but by its times the call was not_answered"),
        ({"outcome": "abandoned_in_queue", "ivr_at": "2026-03-02 10:00:00"}, "outcome", "was abandoned_in_ivr"),
        ({"remark": "x" * 5001}, "remark", "at most 5000"),
        ({"started_at": "0001-01-01", "ended_at": "0001-01-01"}, "started_at", "outside the calendar"),
    ],
)
def test_what_is_wrong_with_a_row_names_column_and_reason(cells, column, reason):
    with pytest.raises(RowProblem) as caught:
        generic(**cells)
    assert caught.value.column == column
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("outcome", "cells"),
    [
        ("answered", {"answered_at": "2026-03-02 10:00:00"}),
        ("abandoned_in_ivr", {"ivr_at": "2026-03-02 10:00:00"}),
        ("self_served", {"ivr_at": "2026-03-02 10:00:00"}),
        ("abandoned_in_queue", {"queued_at": "2026-03-02 10:00:00", "skill_group": "S"}),
        ("abandoned_while_ringing", {"ringing_at": "2026-03-02 10:00:00", "agent": "1"}),
        ("timed_out", {"queued_at": "2026-03-02 10:00:00", "skill_group": "S"}),
        ("overflowed", {"queued_at": "2026-03-02 10:00:00", "skill_group": "S"}),
        ("no_agent", {}),
        ("closed", {}),
        ("blocked", {}),
        ("not_answered", {"direction": "outbound"}),
        ("line_busy", {"direction": "outbound"}),
        ("refused", {"direction": "outbound"}),
        ("unreachable", {"direction": "outbound"}),
        ("cancelled", {"direction": "outbound"}),
        ("lost_contact", {}),
        ("failed", {}),
    ],
)
def test_every_outcome_a_table_can_state_is_what_the_record_will_say(outcome, cells):
    assert generic(outcome=outcome, **cells).events


# --- Mappings that are not usable ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source = ", "It is no TOML"),
        (CLOCKS.replace('source = "test"', ""), "source is missing"),
        (CLOCKS.replace('id = "id"', ""), "call.id is missing"),
        (CLOCKS.replace("ended", "finished"), "times: unknown key finished; known are .*ended"),
        (CLOCKS.replace('id = "id"', 'id = "id"\nnumber = "n"'), "call: unknown key number"),
        (CLOCKS.replace('time = "end"', 'clock = "end"'), "times.ended: unknown key clock"),
        (
            CLOCKS.replace('{ date = "day", time = "end" }', '{ after = "wrap_up_ended" }'),
            "times.ended.after: expected one of started",
        ),
        (CLOCKS.replace('{ date = "day", time = "start" }', '{ time = "start" }'), "times.started: the start .* needs a date"),
        (
            CLOCKS.replace('{ date = "day", time = "end" }', '{ date = "day" }'),
            "times.ended: expected one of column, time, after",
        ),
        (CLOCKS.replace('id = "id"', "id = 7"), "call.id: expected a table"),
        (CLOCKS.replace('"id"', '{ value = "x", column = "y" }'), "call.id: expected one of column, columns, value"),
        (CLOCKS.replace("[file]", '[file]\ntime_zone = "Berlin"'), "file.time_zone: 'Berlin' is no time zone"),
        (CLOCKS.replace("[file]", '[file]\nencoding = "klingon"'), "file.encoding: 'klingon'"),
        (CLOCKS.replace("[file]", '[file]\ndelimiter = "::"'), "file.delimiter"),
        (CLOCKS + '[[skip]]\nwhen = { column = "a", like = "b" }\nreason = "r"', r"skip\[1\].when: unknown key like"),
        (CLOCKS + '[[skip]]\nwhen = { column = "a" }\nreason = "r"', r"skip\[1\].when: a condition has a column and one of"),
        (CLOCKS.replace('id = "id"', 'id = "id"\nrating = "r"'), "call.rating_scale is missing"),
    ],
)
def test_a_mapping_that_is_not_usable_says_where(text, message):
    with pytest.raises(MappingError, match=message):
        read_mapping(text)


def test_an_unknown_mapping_names_those_that_are_shipped(tmp_path):
    with pytest.raises(MappingError, match=r"There is no mapping 'avaya'\. Shipped: generic"):
        load_mapping("avaya")
    with pytest.raises(MappingError, match="cannot be read: No such file"):
        load_mapping(str(tmp_path / "mine.toml"))
