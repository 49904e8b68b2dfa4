"""Short stories of the manager interface, of sites that are not the lab's; and any mix of messages."""

import random

import pytest

from calls.adapters.asterisk import Site
from calls.adapters.asterisk_events import ManagerEvents
from calls.models import Outcome
from calls.vocabulary import problems_of
from tests.calls.adapters.asterisk.capture import SITE, at, folded
from tests.calls.adapters.asterisk.server import events

T = 1795474697
CHANNEL = "{0}Channel: {1} {0}Uniqueid: {2} {0}Linkedid: {3}"


def frames_of(table: str):
    """`+2 DialBegin a>b DialString=x`: seconds, event, channel (and who it is dialled to), fields.

    Channels are named `uid:linked:name`, once; later the uid is enough.
    """
    names: dict[str, tuple[str, str]] = {}

    def channel(text, prefix=""):
        uid, *rest = text.split(":", 2)
        if rest:
            names[uid] = (rest[0], rest[1])
        linked, name = names[uid]
        return {f"{prefix}Uniqueid": uid, f"{prefix}Linkedid": linked, f"{prefix}Channel": name}

    for row in filter(None, (row.strip() for row in table.splitlines())):
        seconds, event, who, *fields = row.split()
        frame = {"Event": event, "Timestamp": f"{T + float(seconds):.6f}"}
        source, arrow, target = who.partition(">")
        frame |= channel(source) if source and source != "-" else {}
        frame |= channel(target, "Dest") if arrow else {}
        frame |= dict(field.split("=", 1) for field in fields)
        if event == "Move":
            names[source.partition(":")[0]] = (frame["to"], names[source][1])
            continue
        yield frame


def story(table: str, site: Site = SITE):
    heard, told = ManagerEvents(site), []
    for frame in frames_of(table):
        moment = at(float(frame["Timestamp"]))
        told += heard.feed(frame, moment)
        told += heard.tick(moment)
    told += heard.tick(at(T + 3600))
    assert [problem for event in told for problem in problems_of(event["type"], event["data"])] == []
    return folded(told)


def test_a_click_to_call_through_a_local_channel_talks_when_the_customer_answers():
    """As FreePBX makes them: Originate to Local/1001@from-internal, then the number outside."""
    table = """
        +0 Newchannel l1:l1:Local/1001@from-internal-0001;1 ChannelState=0
        +0 Newchannel l2:l1:Local/1001@from-internal-0001;2 ChannelState=4
        +0 Newchannel p:l1:PJSIP/1001-0001 ChannelState=0
        +0 DialBegin l2>p DialString=1001
        +3 DialEnd l2>p DialStatus=ANSWER
        +4 Newchannel t:l1:PJSIP/carrier-0002 ChannelState=0
        +4 DialBegin l1>t DialString=carrier/sip:912025550144@host CallerIDNum=+12025550100
        {middle}
        +20 Hangup t Cause={cause}
        +20 Hangup p Cause=16
        +20 Hangup l2 Cause=16
        +20 Hangup l1 Cause=16
    """
    call = story(table.format(middle="+9 DialEnd l1>t DialStatus=ANSWER", cause=16))["l1"]
    assert (call.direction, call.called_number, call.outcome, call.talk_seconds) == ("outbound", "12025550144", "answered", 11)
    call = story(table.format(middle="+9 DialEnd l1>t DialStatus=BUSY", cause=17))["l1"]
    assert (call.outcome, call.talk_seconds) == (Outcome.LINE_BUSY, 0)


def test_a_call_the_dialplan_passes_on_to_a_number_is_forwarded_once_it_is_answered():
    table = """
        +0 Newchannel c:c:PJSIP/carrier-0001 ChannelState=4 CallerIDNum=2025550111 Exten=2025550100 Context=in
        +1 Newchannel t:c:PJSIP/carrier-0002 ChannelState=0
        +1 DialBegin c>t DialString=+442079460000@carrier
        {middle}
        +30 HangupRequest c Cause=16
        +30 Hangup t Cause=16
        +30 Hangup c Cause=16
    """
    call = story(table.format(middle="+5 DialEnd c>t DialStatus=ANSWER"))["c"]
    assert (call.outcome, call.legs[0].party, call.legs[0].connected_seconds) == (Outcome.FORWARDED, "+442079460000", 25)
    assert story(table.format(middle="+25 DialEnd c>t DialStatus=NOANSWER"))["c"].outcome == Outcome.NOT_ANSWERED


def test_a_transfer_with_the_phones_own_second_call_joins_the_two():
    """The phone calls a colleague itself and then transfers: two linked ids become one."""
    calls = story("""
        +0 Newchannel c:c:PJSIP/carrier-0001 ChannelState=4 CallerIDNum=2025550111 Exten=2025550100 Context=in
        +1 Newchannel a:c:PJSIP/1001-0002 ChannelState=0
        +1 DialBegin c>a DialString=1001
        +4 DialEnd c>a DialStatus=ANSWER
        +9 Hold a MusicClass=default
        +10 Newchannel a2:a2:PJSIP/1001-0003 ChannelState=4 Exten=1002
        +10 Newchannel b:a2:PJSIP/1002-0004 ChannelState=0
        +10 DialBegin a2>b DialString=1002
        +13 DialEnd a2>b DialStatus=ANSWER
        +19 AttendedTransfer - Result=Success OrigTransfererUniqueid=a SecondTransfererUniqueid=a2
        +19 Move b to=c
        +19 BridgeEnter b BridgeUniqueid=x
        +19 Hangup a Cause=16
        +19 Hangup a2 Cause=16
        +40 HangupRequest c Cause=16
        +40 Hangup b Cause=16
        +40 Hangup c Cause=16
    """)
    first, second = calls["c"], calls["a2"]
    assert [(leg.party, leg.transfer_kind, leg.transfer_to) for leg in first.legs] == [
        ("1001", "attended", "1002"),
        ("1002", "", ""),
    ]
    assert [leg.connected_seconds for leg in first.legs] == [15, pytest.approx(21, abs=0.01)]
    assert (first.disconnect_party, first.hold_seconds) == ("customer", 10)
    assert (second.direction, second.state) == ("internal", "ended")


def test_codes_dialled_and_calls_listened_to_are_no_calls():
    assert (
        story("""
        +0 Newchannel a:a:PJSIP/1001-0001 ChannelState=4 Exten=*11 Context=phones
        +0 Newstate a ChannelState=6
        +2 Hangup a Cause=16
    """)
        == {}
    )


def test_the_dialplan_says_which_queue_refused_a_caller_to_who_may_hear_it():
    table = """
        +0 Newchannel c:c:PJSIP/carrier-0001 ChannelState=4 CallerIDNum=2025550111 Exten=2025550100 Context=in
        +1 Newexten c Application=Queue AppData=night,t,,,60
        {middle}
        +9 Hangup c Cause=16
    """
    call = story(table.format(middle="+2 Newexten c Application=Playback AppData=closed"))["c"]
    assert [(entry.skill_group, entry.outcome, entry.reason) for entry in call.entries] == [("night", "rejected", "no_agents")]
    call = story(table.format(middle="+2 QueueCallerJoin c Queue=night\n+5 HangupRequest c Cause=16"))["c"]
    assert call.outcome == Outcome.ABANDONED_IN_QUEUE
    assert story(table.format(middle="+5 HangupRequest c Cause=16"))["c"].entries == []


def test_a_trunk_that_is_named_like_an_extension_is_one_where_the_site_says_so():
    table = """
        +0 Newchannel c:c:PJSIP/123456-0001 ChannelState=4 CallerIDNum=2025550111 Exten=2025550100 Context=in
        +9 HangupRequest c Cause=16
        +9 Hangup c Cause=16
    """
    import re

    assert story(table) == {}
    assert story(table, Site(trunks=re.compile("123456")))["c"].direction == "inbound"


@pytest.mark.parametrize("seed", range(12))
def test_messages_lost_doubled_or_out_of_place_break_nothing_and_leave_nothing(seed):
    chance = random.Random(seed)
    mixed = []
    for frame, came_at in events():
        fate = chance.random()
        if fate < 0.04:
            continue
        mixed.append((frame, came_at))
        if fate > 0.97:
            mixed.append((frame, came_at))
        if fate > 0.94 and len(mixed) > 1:
            mixed[-1], mixed[-2] = mixed[-2], mixed[-1]
    heard, told, most = ManagerEvents(SITE), [], 0
    for frame, came_at in mixed:
        told += heard.feed(frame, at(came_at)) + heard.tick(at(came_at))
        most = max(most, heard.n_channels)
    assert [problem for event in told for problem in problems_of(event["type"], event["data"])] == []
    assert most < 200
    end = at(events()[-1][1])
    heard.audit([], end)
    told += heard.audit([], end)
    assert (heard.n_channels, len(heard._calls), len(heard._names)) == (0, 0, 0)
    assert all(facts.state for facts in folded(told).values())


@pytest.mark.parametrize("name", sorted({frame["Event"] for frame, _ in events()}))
def test_a_message_without_its_fields_is_passed_over(name):
    heard = ManagerEvents(SITE)
    for frame in ({"Event": name}, {"Event": name, "Uniqueid": "x", "Timestamp": "soon"}, {"Event": name, "DestUniqueid": "y"}):
        for event in heard.feed(frame, at(T)):
            assert problems_of(event["type"], event["data"]) == []
