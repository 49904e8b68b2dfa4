"""What agents are doing and whether they are there: who may set which status, heartbeats, and what ends by itself.

The chain of changes itself is kept by `agents.status_chain`. What must never happen: somebody a supervisor took offline
takes calls again before they were let back, and somebody at work is thrown out because a cache was emptied. So the
block is checked under the lock of the agent's row, and silence counts only where the database agrees.
"""

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from agents.models import Agent, Status, StatusChange
from agents.status_chain import BY_PEOPLE, StatusFact, record_status_changes
from agents.telling import tell_of_presence, tell_of_status
from callcenter_site.audit import log_rows
from callcenter_site.bulk import parts
from configuration.models import Account, AuditEntry, BreakReason
from configuration.scoping import Actor

CHOSEN_BY_AGENTS = (Status.AVAILABLE, Status.BUSY, Status.BREAK, Status.OFFLINE)
"""What an agent picks; wrap-up comes from the calls."""
DESK = "web"
"""The terminal of a status that lives as long as the agent's desk is open."""
GONE_AFTER = dt.timedelta(seconds=30)
WRITTEN_EVERY = dt.timedelta(seconds=20)
"""Heartbeats in between reach the cache only."""
CACHED_SECONDS = 300
_AN_INSTANT = dt.timedelta(microseconds=1)
Source = StatusChange.Source


# --- Setting a status ------------------------------------------------------------------------------------------------


def change_status(
    *,
    agent: Agent,
    status: str,
    at: dt.datetime,
    reason: str = "",
    terminal: str = "",
    source: str = Source.EVENT,
    change_key: bytes | None = None,
) -> StatusChange:
    """Records that an agent's status changed at a moment; without a key, agent, moment and status name the change.

    What events say is never refused. People choose among `CHOSEN_BY_AGENTS`, a break is for one of the account's
    reasons, nobody whom a supervisor took offline comes back this way, and choosing what is so already changes nothing.
    """
    if agent.account is None:
        raise ValidationError(_("An operator has no status."))
    _check(status, reason, source, agent.account_id)
    with transaction.atomic():
        held = Agent.objects.select_for_update().only(*_HELD).get(pk=agent.pk)
        if source in BY_PEOPLE:
            _refuse_while_away(held, status)
        now = current_status(agent)
        if now is not None and source in BY_PEOPLE and (now.status, now.reason) == (status, reason):
            change = now
        else:
            if now is not None and source in BY_PEOPLE:
                # Whoever chooses has the last word, also where the platform's clock is ahead of ours.
                at = max(at, now.started_at + _AN_INSTANT)
            key = change_key or _key(str(agent.pk), at.astimezone(dt.UTC).isoformat(), status)
            fact = StatusFact(
                agent_id=agent.pk,
                status=status,
                started_at=at,
                change_key=key,
                reason=reason,
                terminal=terminal or _inherited_terminal(held, now, source),
                source=source,
            )
            record_status_changes(account=agent.account, changes=[fact])
            change = StatusChange.objects.for_account(agent.account).get(change_key=key)
    agent.refresh_from_db(fields=[*_SHOWN])
    return change


_SHOWN = ("status", "status_reason", "status_since", "wrap_up_until", "break_after_call", "break_after_call_reason")
_HELD = ("account", "status", "status_since", "is_online", "last_seen_at", "is_active", "forced_offline_at")


def set_statuses(
    *, agents: Iterable[Agent], status: str, by: Actor, at: dt.datetime, reason: str = ""
) -> tuple[list[Agent], list[str]]:
    """Sets the status of many at once: for whom it is so now, and why the others' stay as they were.

    Of the people given, only those whom `by` sees.
    """
    source = Source.SUPERVISOR if isinstance(by, Agent) else Source.API
    _check(status, reason, source, by.account_id)
    with transaction.atomic():
        held, reasons = [], set()
        for agent in _held(agents, by):
            try:
                _refuse_while_away(agent, status)
            except ValidationError as error:
                reasons.update(error.messages)
            else:
                held.append(agent)
        rows = StatusChange.objects.for_account(by.account_id or 0).filter(agent__in=held, ended_at=None)
        now = {row.agent_id: row for row in rows.order_by("started_at", "change_key")}
        facts = [
            StatusFact(
                agent_id=agent.pk,
                status=status,
                started_at=max(at, agent.status_since + _AN_INSTANT) if agent.pk in now else at,
                change_key=_key(str(agent.pk), at.astimezone(dt.UTC).isoformat(), status),
                reason=reason,
                terminal=_inherited_terminal(agent, now.get(agent.pk), source),
                source=source,
            )
            for agent in held
            if agent.pk not in now or (now[agent.pk].status, now[agent.pk].reason) != (status, reason)
        ]
        for account in _accounts(held):
            record_status_changes(account=account, changes=facts)
    return held, sorted(reasons)


def break_reasons(account_id: int | None) -> list[str]:
    """The account's reasons in use, in their order."""
    rows = BreakReason.objects.for_account(account_id or 0).filter(is_active=True)
    return list(rows.order_by("order", "name").values_list("name", flat=True))


def _check(status: str, reason: str, source: str, account_id: int | None) -> None:
    if status not in Status.values:
        raise ValidationError({"status": [_("%(status)s is not a status.") % {"status": status}]})
    if source not in BY_PEOPLE:
        return
    if status not in CHOSEN_BY_AGENTS:
        raise ValidationError({"status": [_("Wrap-up comes with a call; it cannot be chosen.")]})
    if status == Status.BREAK:
        _check_reason(reason, account_id, is_needed=source == Source.AGENT)
    elif reason:
        raise ValidationError({"reason": [_("Only a break has a reason.")]})


def _check_reason(reason: str, account_id: int | None, *, is_needed: bool) -> None:
    """Free words only where the account has no reasons. Agents say why; who sends them on a break need not."""
    if len(reason) > 60:
        raise ValidationError({"reason": [_("A reason has at most 60 characters.")]})
    if not reason and not is_needed:
        return
    reasons = break_reasons(account_id)
    if reasons and reason not in reasons:
        raise ValidationError({"reason": [_("Choose one of these reasons: %(reasons)s.") % {"reasons": ", ".join(reasons)}]})


def _refuse_while_away(agent: Agent, status: str) -> None:
    if status == Status.OFFLINE:
        return
    if not agent.is_active:
        raise ValidationError({"status": [_("This agent is not active: activate them first.")]})
    if agent.forced_offline_at is not None:
        raise ValidationError({"status": [_("A supervisor has taken this agent offline and must let them back first.")]})


def current_status(agent: Agent) -> StatusChange | None:
    rows = StatusChange.objects.for_account(agent.account_id or 0).filter(agent_id=agent.pk, ended_at=None)
    return rows.order_by("-started_at", "-change_key").first()  # type: ignore[no-any-return]


def _inherited_terminal(agent: Agent, now: StatusChange | None, source: str) -> str:
    """Who sets somebody else's status does not move them: they go on where they work, and are gone when that is gone."""
    if source in (Source.EVENT, Source.AGENT):
        return ""
    if now is not None and now.status != Status.OFFLINE:
        return now.terminal
    return DESK if agent.is_online else ""


# --- Offline by order ------------------------------------------------------------------------------------------------


def force_offline(*, agents: Iterable[Agent], by: Actor, at: dt.datetime) -> list[Agent]:
    """Takes people offline until somebody lets them back; returns those for whom that is new.

    Of the people given, only those whom `by` sees. All of them or none.
    """
    with transaction.atomic():
        forced = [agent for agent in _held(agents, by) if agent.forced_offline_at is None]
        _not_oneself(forced, by, _("You cannot take yourself offline this way: choose the status Offline."))
        _write_forced(forced, at, by)
        facts = [
            StatusFact(
                agent_id=agent.pk,
                status=Status.OFFLINE,
                started_at=max(at, agent.status_since + _AN_INSTANT),
                change_key=_key("forced offline", str(agent.pk), at.astimezone(dt.UTC).isoformat()),
                source=Source.API if not isinstance(by, Agent) else Source.SUPERVISOR,
            )
            for agent in forced
            if agent.status != Status.OFFLINE
        ]
        for account in _accounts(forced):
            record_status_changes(account=account, changes=facts)
        _tell(forced)
    _read_again(forced)
    return forced


def restore_online(*, agents: Iterable[Agent], by: Actor, at: dt.datetime) -> list[Agent]:
    """Lets people back whom somebody took offline up to now; returns them. They choose their status themselves."""
    with transaction.atomic():
        held = [agent for agent in _held(agents, by) if agent.forced_offline_at is not None and agent.forced_offline_at <= at]
        _not_oneself(held, by, _("Somebody else must let you back."))
        _write_forced(held, None, by)
        _tell(held)
    return held


def _held(agents: Iterable[Agent], by: Actor) -> list[Agent]:
    """The people, locked in one order for everybody, and as they are now."""
    asked = [agent.pk for agent in agents]
    seen = Agent.objects.visible_to(by).filter(pk__in=asked, account__isnull=False).values_list("pk", flat=True)
    return list(Agent.objects.filter(pk__in=list(seen)).order_by("pk").select_for_update())


def _write_forced(agents: list[Agent], at: dt.datetime | None, by: Actor) -> None:
    """On maybe thousands of rows at once, with the entries that saving each of them would leave."""
    for part in parts(agents):
        ids = [agent.pk for agent in part]
        for account_id in {agent.account_id for agent in part}:
            Agent.objects.filter(pk__in=ids, account_id=account_id).order_by().update(forced_offline_at=at)
        said = [{"forced_offline_at": (agent.forced_offline_at, at)} for agent in part]
        log_rows(Agent, ids, actor=by, action=AuditEntry.Action.UPDATE, changes=said)
    for agent in agents:
        agent.forced_offline_at = at


def _read_again(agents: list[Agent]) -> None:
    for part in parts(agents):
        by_id = {agent.pk: agent for agent in part}
        for pk, *values in Agent.objects.filter(pk__in=by_id).order_by().values_list("pk", *_SHOWN):
            for name, value in zip(_SHOWN, values, strict=True):
                setattr(by_id[pk], name, value)


def _tell(agents: Iterable[Agent]) -> None:
    by_account: dict[int, list[int]] = defaultdict(list)
    for agent in agents:
        if agent.account_id is not None:
            by_account[agent.account_id].append(agent.pk)
    for account_id, ids in by_account.items():
        tell_of_status(account_id=account_id, agent_ids=ids)


def _accounts(agents: Iterable[Agent]) -> Iterable[Account]:
    return Account.objects.filter(pk__in={agent.account_id for agent in agents})


def _not_oneself(agents: Iterable[Agent], by: Actor, message: str) -> None:
    if isinstance(by, Agent) and any(agent.pk == by.pk for agent in agents):
        raise ValidationError(message)


# --- Break after this call -------------------------------------------------------------------------------------------


def plan_break(*, agent: Agent, reason: str = "") -> None:
    """Remembers that an agent goes on a break when the present call and its wrap-up are over."""
    _check_reason(reason, agent.account_id, is_needed=True)
    at_work = Agent.objects.filter(pk=agent.pk, status__in=[Status.AVAILABLE, Status.BUSY, Status.WRAP_UP])
    if not at_work.update(break_after_call=True, break_after_call_reason=reason):
        raise ValidationError(_("Only who is at work can plan a break."))
    _tell([agent])
    agent.refresh_from_db(fields=[*_SHOWN])


def cancel_planned_break(*, agent: Agent) -> None:
    Agent.objects.filter(pk=agent.pk).update(break_after_call=False, break_after_call_reason="")
    _tell([agent])
    agent.refresh_from_db(fields=[*_SHOWN])


# --- Wrap-up that ends by itself -------------------------------------------------------------------------------------


def extend_wrap_up(*, agent: Agent, at: dt.datetime) -> None:
    """Lets a wrap-up go on until the agent chooses a status."""
    running = Agent.objects.filter(pk=agent.pk, status=Status.WRAP_UP)
    if not running.filter(Q(wrap_up_until=None) | Q(wrap_up_until__gt=at)).update(wrap_up_until=None):
        raise ValidationError(_("The wrap-up is over."))
    _tell([agent])
    agent.refresh_from_db(fields=[*_SHOWN])


def end_wrap_up(*, agent: Agent, at: dt.datetime) -> bool:
    """Ends an agent's wrap-up before its time, with what follows it; whether there was one."""
    running = Agent.objects.filter(pk=agent.pk, status=Status.WRAP_UP)
    with transaction.atomic():
        if agent.account_id is None or not running.filter(Q(wrap_up_until=None) | Q(wrap_up_until__gt=at)).update(
            wrap_up_until=at
        ):
            return False
        ended = _end_wrap_ups(agent.account_id, [agent.pk], at)
    agent.refresh_from_db(fields=[*_SHOWN])
    return bool(ended)


def end_wrap_ups(*, at: dt.datetime) -> int:
    """Ends the wrap-ups whose time is over, each at the moment it was over; how many."""
    due = Agent.objects.filter(status=Status.WRAP_UP, wrap_up_until__lte=at).order_by().values_list("account_id", "pk")
    return sum(_end_wrap_ups(account_id, ids, at) for account_id, ids in _batches(due))


def _end_wrap_ups(account_id: int, ids: Sequence[int], at: dt.datetime) -> int:
    with transaction.atomic():
        over = list(
            Agent.objects.filter(pk__in=ids, account_id=account_id, status=Status.WRAP_UP, wrap_up_until__lte=at)
            .only(*_SHOWN, "account_id")
            .order_by("pk")
            .select_for_update()
        )
        if not over:
            return 0
        rows = StatusChange.objects.filter(account_id=account_id, agent_id__in=[agent.pk for agent in over], ended_at=None)
        terminals = dict(rows.values_list("agent_id", "terminal"))
        facts = [
            StatusFact(
                agent_id=agent.pk,
                status=Status.BREAK if agent.break_after_call else Status.AVAILABLE,
                started_at=max(agent.wrap_up_until, agent.status_since + _AN_INSTANT),  # type: ignore[type-var]
                change_key=_key("wrap-up over", str(agent.pk), agent.status_since.astimezone(dt.UTC).isoformat()),
                reason=agent.break_after_call_reason if agent.break_after_call else "",
                terminal=terminals.get(agent.pk, ""),
                source=Source.PORTAL,
            )
            for agent in over
        ]
        return record_status_changes(account=Account.objects.get(pk=account_id), changes=facts)


# --- There or gone ---------------------------------------------------------------------------------------------------


def see_agent(*, agent: Agent, at: dt.datetime) -> None:
    """Notes that an agent's desk is open. The cache hears of it each time, the database when that says something new."""
    cache.set(seen_key(agent.pk), at.timestamp(), CACHED_SECONDS)
    if agent.is_online and agent.last_seen_at is not None and at - agent.last_seen_at <= WRITTEN_EVERY:
        return
    not_later = Q(last_seen_at=None) | Q(last_seen_at__lte=at)
    if Agent.objects.filter(not_later, pk=agent.pk, is_active=True).update(is_online=True, last_seen_at=at):
        if not agent.is_online and agent.account_id is not None:
            tell_of_presence(account_id=agent.account_id)
        agent.is_online, agent.last_seen_at = True, at


def mark_gone(*, at: dt.datetime) -> int:
    """Ends the online status of those silent for 30 s, and takes those offline who worked at the desk; how many are gone.

    They are offline from the moment they were last seen. Where the cache knows nothing of somebody, it may have been
    emptied: then they are gone only when even a heartbeat that never reached the database would be too old.
    """
    silent = Agent.objects.filter(is_online=True, last_seen_at__lt=at - GONE_AFTER, account__isnull=False).order_by()
    n_gone = 0
    for account_id, ids in _batches(silent.values_list("account_id", "pk")):
        with transaction.atomic():
            held = Agent.objects.filter(pk__in=ids, is_online=True).only(*_HELD).order_by("pk").select_for_update()
            gone = _gone_among(list(held), at)
            for agent in gone:
                Agent.objects.filter(pk=agent.pk).update(is_online=False, last_seen_at=agent.last_seen_at)
            if gone:
                _close_desks(account_id, gone)
                tell_of_presence(account_id=account_id)
        n_gone += len(gone)
    return n_gone


def _gone_among(agents: list[Agent], at: dt.datetime) -> list[Agent]:
    """Those who are gone, with the last moment anybody saw them."""
    cached: dict[str, Any] = cache.get_many([seen_key(agent.pk) for agent in agents]) or {}
    gone = []
    for agent in agents:
        written = agent.last_seen_at
        if written is None or at - written <= GONE_AFTER:
            continue  # seen since the question was asked
        stamp = cached.get(seen_key(agent.pk))
        if stamp is None:
            if at - written > GONE_AFTER + WRITTEN_EVERY:
                gone.append(agent)
            continue
        agent.last_seen_at = max(written, dt.datetime.fromtimestamp(stamp, tz=dt.UTC))
        if at - agent.last_seen_at > GONE_AFTER:
            gone.append(agent)
    return gone


def _close_desks(account_id: int, gone: list[Agent]) -> None:
    seen = {agent.pk: agent.last_seen_at for agent in gone}
    rows = StatusChange.objects.filter(account_id=account_id, agent_id__in=seen, ended_at=None, terminal=DESK)
    facts = [
        StatusFact(
            agent_id=row.agent_id,
            status=Status.OFFLINE,
            # A status set after they were last seen stands for an instant, so that the last word is that they are gone.
            started_at=max(seen[row.agent_id], row.started_at + _AN_INSTANT),  # type: ignore[type-var]
            change_key=_key("gone", str(row.agent_id), seen[row.agent_id].isoformat()),  # type: ignore[union-attr]
            terminal=DESK,
            source=Source.PORTAL,
        )
        for row in rows.exclude(status=Status.OFFLINE)
    ]
    if facts:
        record_status_changes(account=Account.objects.get(pk=account_id), changes=facts)


def seen_key(agent_id: int) -> str:
    return f"agents.seen.{agent_id}"


def _key(*words: str) -> bytes:
    return hashlib.sha256("\0".join(words).encode()).digest()


def _batches(rows: Iterable[Any]) -> Iterator[tuple[int, Sequence[int]]]:
    """Ids by account, few enough for one transaction each."""
    by_account: dict[int, list[int]] = defaultdict(list)
    for account_id, pk in rows:
        by_account[account_id].append(pk)
    for account_id, ids in sorted(by_account.items()):
        for part in parts(ids):
            yield account_id, part
