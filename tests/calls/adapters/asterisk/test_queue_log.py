"""Single lines and short stories of a queue_log."""

import contextlib
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.adapters.asterisk import Site, read_agents
from calls.adapters.queue_log import _VERBS, LineProblem, QueueLog, parse_line
from calls.models import EntryOutcome, LegResult, Outcome
from calls.vocabulary import problems_of
from tests.calls.adapters.asterisk.capture import at, folded

T = 1767254400
SITE = Site(agents={"ann": "1001", "bob": "1002"})


def lines_of(table: str) -> list[str]:
    """`+9 c1 support Ann CONNECT 9|17.5|4`: seconds, call, queue, agent, event, data."""
    lines = []
    for row in filter(None, (row.strip() for row in table.splitlines())):
        seconds, call, queue, agent, verb, *data = row.split(" ", 5)
        lines.append(f"{T + int(seconds)}|{call}|{queue}|{agent}|{verb}|{data[0] if data else ''}")
    return lines


def read(table: str, site: Site = SITE, **options):
    log = QueueLog(site, **options)
    events = [event for line in lines_of(table) for event in log.feed(line)]
    return events + log.idle(at(T + 90_000)), log


def story(table: str, site: Site = SITE):
    events, _ = read(table, site)
    assert [problem for event in events for problem in problems_of(event["type"], event["data"])] == []
    return folded(events)


def statuses(table: str, site: Site = SITE):
    events, _ = read(table, site)
    return [(event["data"]["agent"], event["data"]["status"], event["data"].get("reason")) for event in events]


def test_an_answered_call():
    call = story("""
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +9 c1 support Ann RINGNOANSWER 5000
        +15 c1 support Bob CONNECT 15|x|4
        +135 c1 support Bob COMPLETECALLER 15|120|1
    """)["c1"]
    assert (call.outcome, call.disconnect_party, call.calling_number) == (Outcome.ANSWERED, "customer", "13800138000")
    assert [(leg.party, leg.result, (leg.offered_at - at(T)).seconds) for leg in call.legs] == [
        ("1001", LegResult.NO_ANSWER, 4),
        ("1002", LegResult.ANSWERED, 11),
    ]
    assert (call.wait_seconds, call.talk_seconds, call.ring_seconds) == (15, 120, 9)


@pytest.mark.parametrize(
    ("ending", "outcome", "reason"),
    [
        ("+30 c1 support NONE ABANDON 1|1|30", Outcome.ABANDONED_IN_QUEUE, ""),
        ("+30 c1 support NONE EXITWITHTIMEOUT 1|1|30", Outcome.TIMED_OUT, "timeout"),
        ("+30 c1 support NONE EXITEMPTY 1|1|30", Outcome.NO_AGENT, "no_agents"),
        ("+30 c1 support NONE LEAVEEMPTY 1|1|30", Outcome.NO_AGENT, "no_agents"),
        ("+30 c1 support NONE EXITWITHKEY 1|1|1|30", Outcome.CALLBACK, "callback"),
        ("+30 c1 support NONE EXITWITHKEY 9|1|1|30", Outcome.NOT_ANSWERED, "key"),
        ("+30 c1 support NONE WITHDRAW 1|1|30|closing", Outcome.NOT_ANSWERED, "withdrawn"),
        ("+30 c1 support NONE SYSCOMPAT", Outcome.FAILED, "error"),
    ],
)
def test_every_way_to_leave_unanswered(ending, outcome, reason):
    site = Site(exit_keys={"1": "callback"})
    call = story(f"+0 c1 support NONE ENTERQUEUE |13800138000|1\n{ending}", site)["c1"]
    assert (call.outcome, call.entries[0].reason, call.wait_seconds) == (outcome, reason, 30)
    assert (call.ended_at - at(T)).seconds == 30


@pytest.mark.parametrize(
    ("verb", "outcome"), [("JOINEMPTY", Outcome.NO_AGENT), ("FULL", Outcome.OVERFLOWED), ("CLOSED", Outcome.CLOSED)]
)
def test_a_queue_that_takes_nobody_in_has_rejected_the_caller(verb, outcome):
    call = story(f"+0 c1 support NONE {verb}")["c1"]
    assert (call.outcome, call.entries[0].outcome) == (outcome, EntryOutcome.REJECTED)


def test_a_caller_who_gave_up_while_phones_rang_is_told_so():
    call = story("""
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +7 c1 support Ann RINGCANCELED 6866
        +7 c1 support NONE ABANDON 1|1|7
    """)["c1"]
    assert (call.outcome, call.legs[0].result) == (Outcome.ABANDONED_WHILE_RINGING, LegResult.CALLER_GAVE_UP)


def test_phones_that_rang_together_and_were_not_the_first_are_answered_elsewhere():
    call = story("""
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +5 c1 support Ann RINGCANCELED 5000
        +5 c1 support Bob CONNECT 5|x|5
        +9 c1 support Bob COMPLETEAGENT 5|4|1
    """)["c1"]
    assert {leg.party: leg.result for leg in call.legs} == {"1001": LegResult.ELSEWHERE, "1002": LegResult.ANSWERED}
    assert (call.disconnect_party, call.ring_seconds) == ("agent", 5)


def test_several_lines_of_one_second_that_differ_only_by_agent_are_each_itself():
    call = story("""
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +5 c1 support Ann RINGNOANSWER 5000
        +5 c1 support Bob RINGNOANSWER 5000
        +9 c1 support NONE ABANDON 1|1|9
    """)["c1"]
    assert [(leg.party, leg.result, leg.offered_at) for leg in call.legs] == [
        ("1001", LegResult.NO_ANSWER, at(T)),
        ("1002", LegResult.NO_ANSWER, at(T)),
    ]


def test_two_equal_lines_are_two_events_and_the_same_ones_when_read_again():
    table = "+0 c1 support NONE ENTERQUEUE |1380013|1\n" + "+5 c1 support Ann RINGNOANSWER 0\n" * 2
    events, _ = read(table)
    assert len({event["id"] for event in events}) == len(events) == 6
    assert read(table)[0] == events


def test_a_transfer_to_another_queue_is_one_call_with_two_visits():
    call = story("""
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +3 c1 support Ann CONNECT 3|x|3
        +9 c1 support Ann BLINDTRANSFER 602|phones|3|6|1
        +9 c1 sales NONE ENTERQUEUE |13800138000|1
        +12 c1 sales Bob CONNECT 3|y|3
        +20 c1 sales Bob COMPLETECALLER 3|8|1
    """)["c1"]
    assert [(entry.skill_group, entry.cause) for entry in call.entries] == [("support", "direct"), ("sales", "transfer")]
    assert [(leg.party, leg.transfer_kind, leg.transfer_to) for leg in call.legs] == [
        ("1001", "blind", "sales"),
        ("1002", "", ""),
    ]
    assert (call.n_transfers, call.talk_seconds) == (1, 14)


@pytest.mark.parametrize(
    ("extension", "target", "legs"), [("1009", "1009", 1), ("912025550100", "12025550100", 2), ("ext-night", "ext-night", 1)]
)
def test_a_transfer_out_of_the_queues_leads_to_its_extension_and_ends_what_is_known(extension, target, legs):
    for verb in ("BLINDTRANSFER", "TRANSFER"):
        call = story(
            f"""
            +0 c1 support NONE ENTERQUEUE |13800138000|1
            +3 c1 support Ann CONNECT 3|x|3
            +9 c1 support Ann {verb} {extension}|phones|3|6|1
            """,
            Site(agents=SITE.agents, outside_prefix="9"),
        )["c1"]
        assert (call.legs[0].transfer_to, call.talk_seconds, len(call.legs)) == (target, 6, legs)
        assert (call.outcome, (call.ended_at - at(T)).seconds) == (Outcome.ANSWERED, 9)


@pytest.mark.parametrize("data", ["BRIDGE|b1|3|6|1", "APP|Voicemail|3|6|1", "LINK|PJSIP/1-1|PJSIP/2-2|3|6|1"])
def test_each_form_of_an_attended_transfer_is_read(data):
    call = story(f"+9 c1 support Ann ATTENDEDTRANSFER {data}")["c1"]
    assert (call.wait_seconds, call.talk_seconds, call.legs[0].transfer_kind) == (3, 6, "attended")


def test_an_agent_who_asks_in_a_queue_before_they_transfer_is_no_call_of_their_own():
    calls = story("""
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +3 c1 support Ann CONNECT 3|x|3
        +9 c2 sales NONE ENTERQUEUE |1001|1
        +11 c2 sales Bob CONNECT 2|y|2
        +15 c1 support Ann ATTENDEDTRANSFER BRIDGE|b|3|12|1
        +30 c2 sales Bob COMPLETECALLER 2|19|1
    """)
    assert set(calls) == {"c1"}
    assert [(leg.party, leg.transfer_to, leg.connected_seconds) for leg in calls["c1"].legs] == [
        ("1001", "sales", 12),
        ("1002", "", 19),
    ]
    assert calls["c1"].disconnect_party == "customer"


def test_a_consultation_that_fails_is_no_abandoned_customer():
    calls = story("""
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +3 c1 support Ann CONNECT 3|x|3
        +9 c2 sales NONE ENTERQUEUE |1001|1
        +15 c2 sales Bob RINGCANCELED 6000
        +15 c2 sales NONE ABANDON 1|1|6
        +40 c1 support Ann COMPLETEAGENT 3|37|1
    """)
    assert set(calls) == {"c1"}
    assert [(entry.skill_group, entry.outcome, entry.reason) for entry in calls["c1"].entries] == [
        ("support", EntryOutcome.ANSWERED, ""),
        ("sales", EntryOutcome.FLOW_OUT, "withdrawn"),
    ]
    assert (calls["c1"].outcome, calls["c1"].disconnect_party, calls["c1"].talk_seconds) == (Outcome.ANSWERED, "agent", 37)


def test_extensions_that_call_a_queue_are_internal_calls():
    assert story("+0 c1 support NONE ENTERQUEUE |1044|1\n+3 c1 support NONE ABANDON 1|1|3")["c1"].direction == "internal"


def test_the_next_channel_number_alone_does_not_make_two_callers_one():
    calls = story("""
        +0 1767254400.1 support NONE ENTERQUEUE |13800138000|1
        +3 1767254400.1 support Ann CONNECT 3|1767254400.2|3
        +4 1767254400.3 sales NONE ENTERQUEUE |13900139000|1
        +9 1767254400.3 sales NONE ABANDON 1|1|5
        +20 1767254400.1 support Ann COMPLETECALLER 3|17|1
    """)
    assert {call_id: call.outcome for call_id, call in calls.items()} == {
        "1767254400.1": Outcome.ANSWERED,
        "1767254400.3": Outcome.ABANDONED_IN_QUEUE,
    }


def test_a_restart_of_asterisk_ends_what_was_under_way_with_the_last_it_said():
    calls = story("""
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +5 c2 support NONE ENTERQUEUE |13800138001|2
        +9 c2 support Ann CONNECT 4|x|4
        +60 NONE NONE Bob PAUSEALL lunch
        +25200 NONE NONE NONE QUEUESTART
    """)
    assert (calls["c1"].outcome, calls["c1"].wait_seconds, calls["c1"].entries[0].outcome) == (Outcome.LOST_CONTACT, 60, "lost")
    assert (calls["c2"].outcome, calls["c2"].talk_seconds) == (Outcome.ANSWERED, 51)


def test_the_number_dialled_is_known_where_the_dialplan_logs_it():
    call = story("+0 c1 support NONE DID 12025550100\n+0 c1 support NONE ENTERQUEUE |13800138000|1")["c1"]
    assert call.called_number == "12025550100"


def test_a_withheld_caller_has_no_number():
    assert story("+0 c1 support NONE ENTERQUEUE |anonymous|1")["c1"].calling_number == ""
    assert story("+0 c1 support NONE ENTERQUEUE ||1")["c1"].calling_number == ""


def test_work_after_a_call_ends_when_wazo_says():
    call = story("""
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +3 c1 support Ann CONNECT 3|x|3
        +9 c1 support Ann COMPLETEAGENT 3|6|1
        +9 c1 support Ann WRAPUPSTART 30
    """)["c1"]
    assert call.wrap_up_seconds == 30


# --- Agents ----------------------------------------------------------------------------------------------------------


def test_agents_log_in_with_their_first_queue_and_out_with_their_last():
    assert statuses("""
        +0 MANAGER support PJSIP/1001 ADDMEMBER
        +0 MANAGER sales PJSIP/1001 ADDMEMBER
        +9 MANAGER sales PJSIP/1001 REMOVEMEMBER
        +9 MANAGER support PJSIP/1001 REMOVEMEMBER
        +9 MANAGER support Local/1002@agents/n ADDMEMBER PAUSED
    """) == [("1001", "available", None), ("1001", "offline", None), ("1002", "break", None)]


def test_a_new_reason_is_a_new_break_and_each_pause_is_told_once():
    assert statuses("""
        +0 NONE NONE Ann PAUSEALL lunch
        +0 NONE support Ann PAUSE lunch
        +0 NONE sales Ann PAUSE lunch
        +5 NONE NONE Ann PAUSEALL training
        +9 NONE support Ann UNPAUSE
        +9 NONE sales Ann UNPAUSE
        +9 NONE NONE Ann UNPAUSEALL
    """) == [("1001", "break", "lunch"), ("1001", "break", "training"), ("1001", "available", None)]


def test_a_pause_in_one_of_several_queues_counts_as_the_site_says():
    table = """
        +0 MANAGER support PJSIP/1001 ADDMEMBER
        +0 MANAGER sales PJSIP/1001 ADDMEMBER
        +5 NONE sales Ann PAUSE Auto-Pause
        +9 NONE sales Ann UNPAUSE
    """
    assert [said[1] for said in statuses(table)] == ["available", "break", "available"]
    assert [said[1] for said in statuses(table, Site(agents=SITE.agents, is_away_when_paused_in_part=False))] == ["available"]


def test_a_logoff_whose_login_the_log_does_not_have_began_when_it_says():
    events, _ = read("+600 NONE NONE Agent/1001 AGENTLOGOFF PJSIP/1001|540")
    assert [(event["data"]["status"], event["time"]) for event in events] == [
        ("available", at(T + 60).isoformat()),
        ("offline", at(T + 600).isoformat()),
    ]


def test_old_callback_logins_are_read():
    table = "+0 NONE NONE Agent/1001 AGENTCALLBACKLOGIN 1001@x\n+9 NONE NONE Agent/1001 AGENTCALLBACKLOGOFF 1001@x|9|Auto"
    assert [said[1] for said in statuses(table)] == ["available", "offline"]


def test_both_names_of_an_agent_are_one():
    site = Site(agents=read_agents(["# who is who", "Ann Ample,a-7", "PJSIP/1001,a-7", '"Bee, Bob",bob@example.com']))
    assert {site.agent_of_log(name) for name in ("Ann Ample", "ann ample", "PJSIP/1001", "pjsip/1001/n")} == {"a-7"}
    assert site.agent_of_log("Bee, Bob") == "bob@example.com"
    assert site.agent_of_log("SIP/2044") == "2044"
    assert site.agent_of_log("Zoë Kühn") == "Zoë Kühn"


# --- Anything ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "1767254400|c1|q|a",
        "soon|c1|q|a|CONNECT|",
        "1767254400|c1|q|a|",
        "1767254400|c\x00|q|a|CONNECT|",
        f"1767254400|c1|{'q' * 61}|a|X|",
    ],
)
def test_a_line_that_cannot_be_read_says_why_and_the_next_is_read(text):
    log = QueueLog(SITE)
    with pytest.raises(LineProblem):
        log.feed(text)
    assert log.feed(f"{T}|c1|support|NONE|ENTERQUEUE||13800138000|1")


@pytest.mark.parametrize("data", ["a|b|c", "9|x|soon"])
def test_a_field_that_is_no_number_is_said(data):
    with pytest.raises(LineProblem, match="CONNECT: field"):
        QueueLog(SITE).feed(f"{T}|c1|support|Ann|CONNECT|{data}")


def test_unknown_events_are_counted():
    _, log = read("+0 c1 support NONE NOVELTY 1|2\n+0 NONE NONE NONE CONFIGRELOAD")
    assert log.unknown == {"NOVELTY": 1}


def test_times_that_are_written_out_are_in_the_zone_of_the_site():
    zone = dt.timezone(dt.timedelta(hours=8))
    assert parse_line("2026-01-01 16:00:00.250000|c1|q|NONE|ENTERQUEUE|", zone=zone).at == at(T - 7200 + 5600 + 1600.25)
    assert parse_line("1767254400|c1|q|NONE|ENTERQUEUE|", zone=zone).at == at(T)


def test_what_began_before_it_is_kept_is_left_out_whole():
    table = """
        +0 c1 support NONE ENTERQUEUE |13800138000|1
        +0 NONE NONE Ann PAUSEALL lunch
        +20 c1 support Ann CONNECT 20|x|4
        +30 c2 support NONE ENTERQUEUE |13800138000|1
        +40 c1 support Ann COMPLETECALLER 20|20|1
    """
    events, log = read(table, oldest=at(T + 10))
    assert {event["subject"] for event in events} == {"c2"}
    assert log.n_expired == 1


_word = st.text(alphabet="abcXYZ019./-|é\t ", max_size=12)
_row = st.tuples(
    st.integers(0, 400),
    st.sampled_from(["c1", "c2", "1767254400.7", "NONE", ""]),
    st.one_of(_word, st.sampled_from(["support", "sales", "NONE"])),
    st.sampled_from(["Ann", "PJSIP/1001", "Local/1002@x/n", "NONE", ""]),
    st.sampled_from([*_VERBS, "NOVELTY"]),
    st.lists(st.one_of(_word, st.integers(-5, 10**6).map(str)), max_size=6),
)


@given(st.lists(_row, max_size=30), st.integers(0, 30))
def test_no_log_breaks_the_reader_and_stopping_anywhere_changes_nothing(rows, stop):
    lines = [f"{T + seconds}|{call}|{queue}|{agent}|{verb}|{'|'.join(data)}" for seconds, call, queue, agent, verb, data in rows]

    def read_all(stop_at):
        log, events = QueueLog(SITE), []
        for n, line in enumerate(lines):
            if n == stop_at:
                kept, log = json.loads(json.dumps(log.state())), QueueLog(SITE)
                log.take_up(kept)
            try:
                events += log.feed(line)
            except LineProblem:
                continue
        return events + log.idle(at(T + 90_000)), log

    events, log = read_all(None)
    assert read_all(stop)[0] == events
    assert not log.open_subjects
    for event in events:
        assert problems_of(event["type"], event["data"]) == []
    folded(events)


@given(st.text(max_size=80))
def test_any_text_is_a_line_or_a_problem(text):
    with contextlib.suppress(LineProblem):
        QueueLog(SITE).feed(text)
