"""The lab's queue_log makes the records of what happened, as far as a queue_log can know it."""

import json
import random

import pytest

from calls.adapters.queue_log import QueueLog
from calls.vocabulary import problems_of
from tests.calls.adapters.asterisk.capture import AGENTS, SITE, at, folded, queue_log, truth
from tests.calls.adapters.asterisk.truth import of_agents, of_log

LONG_AFTER = at(1795475289 + 3600)


def read(lines, *, stop_every=None):
    """The events of lines; with `stop_every` reading stops and is taken up anew after every so many of them."""
    log, events = QueueLog(SITE), []
    for n, line in enumerate(lines, start=1):
        events += log.feed(line)
        if stop_every and n % stop_every == 0:
            kept = json.loads(json.dumps(log.state()))
            log = QueueLog(SITE)
            log.take_up(kept)
    return events + log.idle(LONG_AFTER)


def calls_in_queues():
    return {call["pbx"]["linkedid"]: call for call in truth()["calls"] if call["legs"]}


def differences(records):
    assert set(records) == set(calls_in_queues())
    return [line for call_id, call in calls_in_queues().items() for line in of_log(call, records[call_id])]


def test_every_call_is_told_as_it_happened():
    assert differences(folded(read(queue_log()))) == []


def test_every_event_is_one_the_portal_takes():
    events = read(queue_log())
    assert [problem for event in events for problem in problems_of(event["type"], event["data"])] == []
    assert len({event["id"] for event in events}) == len(events)


def test_agents_were_there_and_on_breaks_as_they_really_were():
    assert of_agents(read(queue_log()), within=1.05) == []


@pytest.mark.parametrize("every", [1, 2, 3, 7, 50])
def test_stopping_after_any_line_changes_nothing(every):
    assert read(queue_log(), stop_every=every) == read(queue_log())


def test_events_in_any_order_and_twice_make_the_same_records():
    events = read(queue_log())
    expected = folded(events)
    mixed = events * 2
    random.Random(7).shuffle(mixed)
    once = {event["id"]: event for event in mixed}
    assert folded(list(once.values())) == expected


def test_other_names_in_ids_change_nothing_but_the_ids():
    """`systemname` goes before unique ids, and ids given by Originate are any text."""
    renamed = [line.replace("|17954", "|madrid2-17954") for line in queue_log()]
    records = {call_id.removeprefix("madrid2-"): facts for call_id, facts in folded(read(renamed)).items()}
    assert differences(records) == []


def test_interfaces_instead_of_member_names_make_the_same_records():
    lines = []
    for line in queue_log():
        fields = line.split("|")
        extension = AGENTS.get(fields[3].casefold())
        if extension:
            fields[3] = f"Local/{extension}@agent-remote/n" if extension == "1008" else f"PJSIP/{extension}"
        lines.append("|".join(fields))
    assert differences(folded(read(lines))) == []


def test_a_log_that_begins_in_the_middle_still_tells_its_calls():
    half = queue_log()[len(queue_log()) // 2 :]
    whole = folded(read(queue_log()))
    for call_id, facts in folded(read(half)).items():
        agents = [leg.party for leg in facts.answered_legs]
        assert agents == [leg.party for leg in whole[call_id].answered_legs][-len(agents) :] if agents else True
        assert facts.state == "ended"
