"""What the records say, held against what really happened."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any

from calls.lifecycle import CallFacts, LegFacts
from calls.models import EntryOutcome, LegResult, Outcome
from tests.calls.adapters.asterisk.capture import number, truth

VISIT_OUTCOMES = {
    "answered": (EntryOutcome.ANSWERED, ""),
    "abandoned": (EntryOutcome.ABANDONED, ""),
    "timeout": (EntryOutcome.FLOW_OUT, "timeout"),
    "leave_empty": (EntryOutcome.FLOW_OUT, "no_agents"),
}
UNANSWERED_RINGS = {LegResult.NO_ANSWER, LegResult.ELSEWHERE, LegResult.CANCELLED, LegResult.CALLER_GAVE_UP}
OUTCOMES = {
    "answered": {Outcome.ANSWERED},
    "transferred_answered": {Outcome.ANSWERED},
    "transferred_abandoned": {Outcome.ANSWERED},
    "transferred_voicemail": {Outcome.ANSWERED},
    "answered_after_failed_transfer": {Outcome.ANSWERED},
    "abandoned_ivr": {Outcome.ABANDONED_IN_IVR},
    "abandoned_queue": {Outcome.ABANDONED_IN_QUEUE, Outcome.ABANDONED_WHILE_RINGING},
    "voicemail": {Outcome.VOICEMAIL},
    "join_empty_no_message": {Outcome.NO_AGENT},
    "queue_full": {Outcome.OVERFLOWED},
    "queue_left_empty": {Outcome.NO_AGENT},
    "timeout_no_message": {Outcome.TIMED_OUT},
    "callback_requested": {Outcome.CALLBACK},
    "rejected": {Outcome.NOT_ANSWERED},
    "cancelled": {Outcome.CANCELLED},
    "busy": {Outcome.LINE_BUSY},
    "no_answer": {Outcome.NOT_ANSWERED},
    "agent_no_answer": {Outcome.NOT_ANSWERED},
}
FAILED = {"c021": Outcome.REFUSED, "c053": Outcome.UNREACHABLE, "c068": Outcome.UNREACHABLE}
"""What the truth calls failed, by the cause the carrier gave: refused, congestion, no such number."""
NO_MESSAGE = {"c095": Outcome.NOT_ANSWERED}
"""The voicemail ran and threw the message away as too short."""


def visits(call: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(call["legs"], key=lambda leg: leg["join_t"])


def expected_visit(call: dict[str, Any], visit: dict[str, Any]) -> tuple[str, str, str]:
    if visit["outcome"] == "exit_key":
        return visit["queue"], EntryOutcome.FLOW_OUT, "callback" if call["callback_requested"] else "voicemail"
    return visit["queue"], *VISIT_OUTCOMES[visit["outcome"]]


def talks(call: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Who spoke, from when to when. On an outbound call the talk begins when the customer answers."""
    if call["direction"] == "outbound" and call["agent_ext"]:
        return [(str(call["agent_ext"]), call["answer_t"], call["end_t"])] if call["answer_t"] else []
    legs = [leg for leg in [*call["legs"], *call.get("ext_legs", [])] if leg["answer_t"]]
    return sorted(((str(leg["agent_ext"]), leg["answer_t"], leg["end_t"]) for leg in legs), key=lambda talk: talk[1])


def rang(legs: list[LegFacts]) -> Counter[tuple[str, str, str]]:
    kinds = {LegResult.ANSWERED: "answered", LegResult.REJECTED: "rejected"}
    return Counter(
        (leg.party, leg.skill_group, kinds.get(leg.result) or ("not_answered" if leg.result in UNANSWERED_RINGS else "?"))
        for leg in legs
    )


class Differences(list[str]):
    def __init__(self, call: dict[str, Any]) -> None:
        self.call = call

    def same(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            self.append(f"{self.call['id']} ({self.call['type']}): {what} is {found!r}, was {expected!r}")

    def near(self, what: str, found: Any, expected: float, within: float) -> None:
        if found is None or abs(found.timestamp() - expected) > within:
            self.append(f"{self.call['id']} ({self.call['type']}): {what} is {found}, off {expected} by more than {within} s")


def of_queues(call: dict[str, Any], facts: CallFacts, *, within: float, has_reasons: bool = True) -> Differences:
    """Everything about waiting, ringing for a queue and talking; all that a queue_log can know."""
    found = Differences(call)
    entries = [entry for entry in facts.entries if entry.outcome != EntryOutcome.REJECTED]
    told = [(entry.skill_group, str(entry.outcome), entry.reason) for entry in entries]
    found.same("what it waited for", told, [expected_visit(call, visit) for visit in visits(call)])
    for entry, visit in zip(entries, visits(call), strict=False):
        found.near("the entry", entry.entered_at, visit["join_t"], within)
        # A caller's key counts from its beginning for the PBX and to its end for them.
        within_exit = max(within, 0.25)
        found.near("the end of the wait", entry.left_at, visit["answer_t"] or visit["end_t"], within_exit)
    return found


def of_log(call: dict[str, Any], facts: CallFacts) -> Differences:
    """Times of a queue_log are whole seconds, cut off."""
    found = of_queues(call, facts, within=1.05)
    spoke = [talk for talk in talks(call) if talk[0] in {str(leg["agent_ext"]) for leg in call["legs"]}]
    found.same("who spoke", [leg.party for leg in facts.answered_legs], [agent for agent, _, _ in spoke])
    for leg, (_, answered, ended) in zip(facts.answered_legs, spoke, strict=False):
        found.near("the answer", leg.answered_at, answered, 1.05)
        found.near("the end of the talk", leg.ended_at, ended, 1.05)
    # The log tells that a phone was answered elsewhere only if the caller left at that moment, and refused like rung out.
    elsewhere = {ring["end_t"] for ring in call["rings"] if ring["result"] == "answered"}
    expected = Counter(
        (str(ring["ext"]), ring["queue"], "answered" if ring["result"] == "answered" else "not_answered")
        for ring in call["rings"]
        if ring["queue"] and (ring["result"] != "not_answered" or all(abs(ring["end_t"] - end) > 0.2 for end in elsewhere))
    )
    found.same("what rang", rang(facts.agent_legs), expected)
    found.same("it ended", str(facts.state), "ended")
    return found


def of_live(call: dict[str, Any], facts: CallFacts, *, within: float = 0.15) -> Differences:
    found = of_queues(call, facts, within=within)
    refused = [(entry.skill_group, entry.reason) for entry in facts.entries if entry.outcome == EntryOutcome.REJECTED]
    reasons = {"JOINEMPTY": "no_agents", "FULL": "full"}
    why = call["join_refused"]
    found.same("what refused it", refused, [(why["queue"], reasons[why["why"]])] if why else [])
    found.same("direction", str(facts.direction), call["direction"])
    outcomes = {FAILED[call["id"]]} if call["outcome"] == "failed" else OUTCOMES[call["outcome"]]
    if str(facts.outcome) not in ({NO_MESSAGE[call["id"]]} if call["id"] in NO_MESSAGE else outcomes):
        found.same("outcome", str(facts.outcome), call["outcome"])
    found.near("the start", facts.started_at, call["start_t"], within)
    found.near("the end", facts.ended_at, call["end_t"], within)
    _parties(found, call, facts)
    spoke = talks(call)
    found.same("who spoke", [leg.party for leg in facts.answered_legs], [agent for agent, _, _ in spoke])
    for leg, (_, answered, ended) in zip(facts.answered_legs, spoke, strict=False):
        found.near("the answer", leg.answered_at, answered, within)
        found.near("the end of the talk", leg.ended_at, ended, within)
    _rings(found, call, facts)
    found.same("keys", [step.input for step in facts.steps if step.input_at], call["digits"])
    holds = [(leg.party, start, end) for leg in facts.legs for start, end in leg.holds]
    found.same("who held", [party for party, _, _ in holds], [str(hold["by"]) for hold in call["hold"]])
    for (_, start, end), hold in zip(holds, call["hold"], strict=False):
        found.near("the hold", start, hold["t"], within)
        found.near("the end of the hold", end, hold["t"] + hold["s"], within)
    transfers = [(leg.transfer_kind, leg.party, leg.transfer_to) for leg in facts.legs if leg.transfer_kind]
    done = [(made["kind"], str(made["from_ext"]), str(made["to"])) for made in call["transfers"] if made["completed"]]
    found.same("transfers", transfers, done)
    found.same("the count of transfers", facts.n_transfers, len(done))
    found.same("voicemail", len(facts.voicemails), int(bool(call["voicemail"] and call["voicemail"]["left"])))
    found.same("rating", facts.rating_score, call["survey"])
    return found


def _parties(found: Differences, call: dict[str, Any], facts: CallFacts) -> None:
    other = "agent" if call["direction"] == "internal" else "customer"
    who = {"agent": "agent", "caller": other, "callee": other, "network": "system", "pbx": "system", "pbx_timeout": "system"}
    found.same("who ended it", str(facts.disconnect_party), who[call["hung_up_by"]])
    if call["direction"] == "inbound":
        found.same("the caller", number(facts.calling_number), number(call["caller"]))
        found.same("the number dialled", number(facts.called_number), number(call["did"]))
    elif call["direction"] == "outbound":
        found.same("the number called", number(facts.called_number), number(call["callee"]))
    else:
        found.same(
            "the extensions", (facts.calling_number, facts.called_number), (str(call["agent_ext"]), str(call["callee_ext"]))
        )


def _rings(found: Differences, call: dict[str, Any], facts: CallFacts) -> None:
    """Of a call by a click the agent's own phone rings first. That it was picked up is no talk: that begins with the other
    side, and where there was none the ring is told as cancelled."""
    is_own_phone = call["direction"] == "outbound" and not call["queues"]
    legs = [leg for leg in facts.agent_legs if call["rings"] or not is_own_phone]
    expected = Counter((str(ring["ext"]), ring["queue"] or "", ring["result"]) for ring in call["rings"])
    if is_own_phone and call["answer_t"] is None and call.get("agent_answer_t"):
        expected = Counter((agent, group, "not_answered") for agent, group, _ in expected)
    found.same("what rang", rang(legs), expected)
    rings = sorted(call["rings"], key=lambda ring: (str(ring["ext"]), ring["t"]))
    for leg, ring in zip(sorted(legs, key=lambda leg: (leg.party, leg.offered_at)), rings, strict=False):
        found.near("the ring", leg.offered_at, ring["t"], 0.3)
        if not is_own_phone:
            found.near("the end of the ring", leg.answered_at or leg.ended_at, ring["end_t"], 0.3)


@dataclass(frozen=True)
class Said:
    agent: str
    status: str
    reason: str
    at: float
    is_dialled: bool = False
    """Done with a code on the phone: the PBX acts once it is dialled."""


def agent_statuses(events: list[dict[str, Any]]) -> list[Said]:
    return [
        Said(data["agent"], data["status"], data.get("reason", ""), dt.datetime.fromisoformat(event["time"]).timestamp())
        for event in events
        if event["type"] == "agent.status_changed"
        for data in (event["data"],)
    ]


def expected_statuses() -> list[Said]:
    """What agents did: a pause in any of their queues is a break, and being unpaused twice is nothing new."""
    found: list[Said] = []
    last: dict[str, tuple[str, str]] = {}
    for change in truth()["agent_events"]:
        reason = change["reason"] or ""
        said = {
            "login": ("available", ""),
            "logout": ("offline", ""),
            "pause": ("break", reason),
            "auto_pause": ("break", reason),
            "unpause": ("available", ""),
        }.get(change["action"])
        agent = str(change["agent_ext"])
        if said is not None and last.get(agent) != said:
            last[agent] = said
            found.append(Said(agent, *said, change["t"], is_dialled=change["via"] == "phone"))
    return found


def of_agents(events: list[dict[str, Any]], *, within: float) -> list[str]:
    found: list[str] = []
    expected = sorted(expected_statuses(), key=lambda said: (said.agent, said.at))
    told = sorted(agent_statuses(events), key=lambda said: (said.agent, said.at))
    if [(said.agent, said.status, said.reason) for said in told] != [(said.agent, said.status, said.reason) for said in expected]:
        return [f"statuses were {expected}, are {told}"]
    for is_said, was in zip(told, expected, strict=True):
        if abs(is_said.at - was.at) > (4.5 if was.is_dialled else within):
            found.append(f"{was} was told at {is_said.at}")
    return found
