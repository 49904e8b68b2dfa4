"""What an agent sees of a call at the desk: while it rings, while they talk, and until they have written about it.

Only for the agent whose part in the call it is. The numbers, and whatever digits callers and colleagues left in texts, are
masked for roles that see none whole; addresses and quick replies are then filled in without them.

The customer's last calls are those of the whole account, whoever took them: that is what the panel is for, and an
administrator chooses per pop-up whether agents see them. Beyond their data scope agents see what became of a call and what
was written about it, not who took it, and no way into its record.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from agents.models import Agent, SkillGroup
from callcenter_site.audit import Look, log_look
from callcenter_site.phone_numbers import is_number, readable
from calls.masking import customer_number, own_number, sees_numbers, service_number, shown, shown_text
from calls.models import Call, CallLeg, CallState, Direction, IvrStep, LegKind, LegResult
from calls.remarks import Remark, current_remark, dispositions, only_adds
from calls.timeline import group_name, holds_of
from configuration.keywords import Piece, find_hits, in_pieces
from configuration.models import Keyword, QuickReply, Role, ScreenPop, ServiceNumber
from configuration.placeholders import fill, fill_url

LONGEST_CALL = dt.timedelta(hours=12)
WRITE_UP_WITHIN = dt.timedelta(hours=2)
"""For so long a call that nothing was written about stays at the desk."""
MOST_CALLS = 6
MOST_LAST_CALLS = 5
MOST_STEPS = 30
MOST_REPLIES = 200
MOST_PAGES = 5
RINGING, TALKING, HELD, WRITE_UP, MISSED = "ringing", "talking", "held", "write_up", "missed"


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that belongs on an agent's desk now."""

    call_id: int
    version: str
    """Another one: there is something new to see."""
    is_over: bool


@dataclass(frozen=True, slots=True)
class Step:
    prompt: str
    name: str
    input: list[Piece]
    input_kind: str


@dataclass(frozen=True, slots=True)
class LastCall:
    started_at: dt.datetime
    direction: str
    outcome: str
    label: str | Promise
    group: str
    agent: str
    disposition: str
    remark: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the customer's own system."""

    name: str
    address: str
    host: str


@dataclass(slots=True)
class Panel:
    call: Call
    leg: CallLeg
    version: str
    at: dt.datetime
    stage: str
    label: str
    since: dt.datetime
    number: str
    """As it is shown."""
    number_to_copy: str
    is_masked: bool
    service_number: str
    service_label: str
    group: str
    fields: list[str]
    """What is shown, in its order."""
    waited_since: dt.datetime | None = None
    """While the caller still waits: since when, had they waited in one go."""
    waited_seconds: float | None = None
    steps: list[Step] = field(default_factory=list)
    n_steps_left_out: int = 0
    last_calls: list[LastCall] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    replies: list[tuple[str, str]] = field(default_factory=list)
    may_remark: bool = False
    remark: Remark = field(default_factory=lambda: Remark("", ""))
    remark_shown: str = ""
    only_adds: bool = False
    dispositions: list[str] = field(default_factory=list)
    hits: list[Keyword] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return self.stage in (WRITE_UP, MISSED)

    @property
    def stage_seconds(self) -> float:
        return max(0.0, (self.at - self.since).total_seconds())

    @property
    def waits_seconds(self) -> float | None:
        """Of a caller who still waits."""
        return max(0.0, (self.at - self.waited_since).total_seconds()) if self.waited_since else None

    @property
    def is_inbound(self) -> bool:
        return self.call.direction == Direction.INBOUND

    @property
    def talk_seconds(self) -> float | None:
        """Of a part that is over."""
        if self.leg.answered_at is None or not self.is_over:
            return None
        return max(0.0, (self.since - self.leg.answered_at).total_seconds() - self.leg.hold_seconds)


# --- Which calls -----------------------------------------------------------------------------------------------------


def open_calls(*, agent: Agent, at: dt.datetime) -> list[OpenCall]:
    """The calls that ring for an agent, that they speak in, or that they took and nobody has written about yet; the newest
    last. One query along the agent's own parts, which every data scope covers."""
    going_on = Q(ended_at=None, call__ended_at=None)
    to_write = Q(answered_at__isnull=False, ended_at__gt=at - WRITE_UP_WITHIN, call__remark="", call__disposition="")
    legs = _own_legs(agent).filter(going_on | to_write, offered_at__gt=at - LONGEST_CALL)
    rows = legs.order_by("-offered_at", "-pk").values_list("call_id", "call__folded_at", "ended_at")[: 2 * MOST_CALLS]
    newest: dict[int, OpenCall] = {}
    for call_id, folded_at, ended_at in rows:  # of two parts in one call, the later one
        newest.setdefault(call_id, OpenCall(call_id, _version(folded_at), is_over=ended_at is not None))
    return list(newest.values())[:MOST_CALLS][::-1]


def _own_legs(agent: Agent) -> Any:
    return CallLeg.objects.for_account(agent.account_id or 0).filter(agent_id=agent.pk, kind=LegKind.AGENT)


def _version(folded_at: dt.datetime) -> str:
    return f"{folded_at.timestamp():.6f}"


# --- One call --------------------------------------------------------------------------------------------------------


def panel_of(*, agent: Agent, call_id: int, at: dt.datetime) -> Panel | None:
    """All that an agent is shown of a call they have a part in; None: they have none. A look at a whole number is noted,
    once an hour, however often the panel is drawn."""
    legs = _own_legs(agent).filter(call_id=call_id).select_related("call__skill_group__screen_pop", "skill_group__screen_pop")
    leg = legs.order_by("-seq").first()
    if leg is None:
        return None
    call, whole = leg.call, sees_numbers(agent)
    stage, label, since = _stage(leg)
    group: SkillGroup | None = leg.skill_group or call.skill_group
    pops = _pops(agent, group)
    center = service_number(call)
    panel = Panel(
        call=call,
        leg=leg,
        version=_version(call.folded_at),
        at=at,
        stage=stage,
        label=label,
        since=since,
        number=readable(customer_number(call)) if whole else shown(customer_number(call), whole=False),
        number_to_copy=customer_number(call) if whole else "",
        is_masked=not whole and bool(customer_number(call)),
        service_number=readable(own_number(call, whole=whole)),
        service_label=_label_of(agent, center),
        group=str(group) if group else group_name(leg),
        fields=_fields(pops),
    )
    _add_wait(panel)
    _add_ivr(panel, whole)
    if ScreenPop.Field.LAST_CALLS in panel.fields:
        panel.last_calls = _last_calls(agent, call, whole)
    values = _values(panel, agent, whole)
    panel.pages = [Page(pop.name, address, _host(address)) for pop in pops if (address := fill_url(pop.url_template, values))]
    panel.replies = [(title, fill(text, values)) for title, text in _replies(group)]
    if leg.answered_at is not None:
        panel.may_remark = True
        panel.remark = current_remark(call)
        panel.remark_shown = shown_text(panel.remark.text, whole=whole)
        panel.only_adds = only_adds(agent, panel.remark)
        panel.dispositions = dispositions(account_id=call.account_id, current=panel.remark.disposition)
    if whole and customer_number(call):
        log_look(Look.NUMBERS, Call, [call.pk], actor=agent, place="pop-up", once_in_seconds=3600)
    return panel


def _stage(leg: CallLeg) -> tuple[str, str, dt.datetime]:
    """Where the agent's part in the call stands, in a word, and since when."""
    call: Any = leg.call
    ended_at = leg.ended_at or (call.ended_at if call.state == CallState.ENDED else None)
    if leg.answered_at is None:
        if ended_at is None:
            return RINGING, _("Calling") if call.direction == Direction.OUTBOUND else _("Ringing"), leg.offered_at
        label = LegResult(leg.result).label if leg.result in LegResult.values else _("Not answered")
        return MISSED, str(label), ended_at
    if ended_at is not None:
        return WRITE_UP, _("Write-up"), ended_at
    holds = holds_of(leg)
    if holds and holds[-1][1] is None:
        return HELD, _("On hold"), holds[-1][0]
    return TALKING, _("Talking"), leg.answered_at


def _pops(agent: Agent, group: SkillGroup | None) -> list[ScreenPop]:
    """The group's own pop-up; where it has none, the account's in their order."""
    if group is not None and group.screen_pop is not None and group.screen_pop.is_active:
        return [group.screen_pop]
    rows = ScreenPop.objects.for_account(agent.account_id or 0).filter(is_active=True)
    return list(rows.order_by("order", "name")[:MOST_PAGES])


def _fields(pops: Sequence[ScreenPop]) -> list[str]:
    """What the pop-ups name, the first one's first; all there is, where none names anything."""
    named = dict.fromkeys(one for pop in pops for one in pop.fields_shown if one in ScreenPop.Field.values)
    return list(named) or list(ScreenPop.Field.values)


def _label_of(agent: Agent, number: str) -> str:
    if not number:
        return ""
    rows = ServiceNumber.objects.for_account(agent.account_id or 0).filter(number=number)
    return rows.values_list("label", flat=True).first() or ""


def _add_wait(panel: Panel) -> None:
    entries = list(panel.call.queue_entries.values_list("entered_at", "left_at", "wait_seconds"))
    if not entries:
        return
    waited = sum(seconds for _entered, left_at, seconds in entries if left_at is not None)
    still = [entered_at for entered_at, left_at, _seconds in entries if left_at is None]
    if still and panel.stage == RINGING:
        panel.waited_since = min(still) - dt.timedelta(seconds=waited)
    else:
        waited += sum(max(0.0, ((panel.leg.answered_at or panel.since) - entered_at).total_seconds()) for entered_at in still)
        panel.waited_seconds = waited


def _add_ivr(panel: Panel, whole: bool) -> None:
    if ScreenPop.Field.IVR_PATH not in panel.fields:
        return
    rows: list[IvrStep] = list(panel.call.ivr_steps.order_by("-seq")[: MOST_STEPS + 1])
    panel.n_steps_left_out = max(0, panel.call.ivr_steps.count() - MOST_STEPS) if len(rows) > MOST_STEPS else 0
    rows = list(reversed(rows[:MOST_STEPS]))
    has_words = any(step.input and step.input_kind != "keys" for step in rows)
    keywords: Iterable[Keyword] = (
        list(Keyword.objects.for_account(panel.call.account_id).filter(is_active=True)) if has_words else ()
    )
    found: dict[int, Keyword] = {}
    for step in rows:
        said = shown_text(step.input, whole=whole)
        hits = find_hits(said, keywords) if step.input_kind != "keys" else []
        found |= {hit.keyword.pk: hit.keyword for hit in hits}
        panel.steps.append(
            Step(
                prompt=shown_text(step.prompt, whole=whole),
                name=shown_text(step.step, whole=whole),
                input=in_pieces(said, hits) if said else [],
                input_kind=step.input_kind,
            )
        )
    panel.hits = list(found.values())


def _last_calls(agent: Agent, call: Call, whole: bool) -> list[LastCall]:
    """The newest of both directions, each along its own index: numbers like a test line have any number of calls."""
    number = customer_number(call)
    if not is_number(number) or len(number) < 3:
        return []
    rows = Call.objects.for_account(call.account_id).exclude(pk=call.pk).select_related("agent", "skill_group")
    found = [
        row
        for column, directions in (
            ("calling_number", [Direction.INBOUND]),
            ("called_number", [Direction.OUTBOUND, Direction.INTERNAL]),
        )
        for row in rows.filter(**{column: number}, started_at__lte=call.started_at).order_by("-started_at", "-pk")[
            : 2 * MOST_LAST_CALLS
        ]
        if row.direction in directions
    ]
    found.sort(key=lambda row: (row.started_at, row.pk), reverse=True)
    return [_last_call(agent, row, whole) for row in found[:MOST_LAST_CALLS]]


def _last_call(agent: Agent, row: Call, whole: bool) -> LastCall:
    if row.agent_id == agent.pk:
        who = _("you")
    else:
        sees_colleagues = agent.data_scope == Role.DataScope.ACCOUNT
        who = str(row.agent) if row.agent is not None and sees_colleagues else ""
    return LastCall(
        started_at=row.started_at,
        direction=row.direction,
        outcome=row.outcome,
        label=row.get_outcome_display() if row.outcome else row.get_state_display(),
        group=str(row.skill_group) if row.skill_group else "",
        agent=who,
        disposition=row.disposition,
        remark=shown_text(row.remark, whole=whole),
    )


def _replies(group: SkillGroup | None) -> Iterable[tuple[str, str]]:
    if group is None or group.quick_reply_group_id is None:
        return []
    rows = QuickReply.objects.for_account(group.account_id).filter(group_id=group.quick_reply_group_id, is_active=True)
    return rows.order_by("order", "title").values_list("title", "text")[:MOST_REPLIES]


def _values(panel: Panel, agent: Agent, whole: bool) -> dict[str, Any]:
    """What placeholders stand for. A role that sees no whole numbers gets none by way of an address or a sentence."""
    path = [part for step in panel.steps for part in (step.name, "".join(piece.text for piece in step.input)) if part]
    return {
        "caller_number": panel.number_to_copy,
        "called_number": own_number(panel.call, whole=whole),
        "provider": panel.call.provider,
        "location": panel.call.location,
        "skill_group": panel.group,
        "agent_name": agent.nickname or agent.name,
        "agent_staff_id": agent.staff_id,
        "call_id": panel.call.call_id,
        "ivr_path": " > ".join(path) if whole else shown_text(" > ".join(path), whole=False),
        "started_at": f"{timezone.localtime(panel.call.started_at):%Y-%m-%d %H:%M}",
    }


def _host(address: str) -> str:
    return address.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
