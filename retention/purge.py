"""Deletes what has had its time, each account by its own calendar.

What must never happen: a row goes before its expiry, under a hold, or another account's; a file stays that nothing
names. Every batch is one short transaction: it takes the account's gate, looks again at switch, holds and plans, deletes
under the condition its rows were chosen by, puts their files into the outbox, and adds counts and cursor to the run's
row. So a run killed anywhere is taken up where it was, two at once do no harm, and each row is counted once.

A run that would delete far more than usual waits for an administrator before its first delete.

The order is right to left through the apps: figures, calls, people's status changes.
"""

import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Max, Q
from django.utils.translation import gettext_noop
from django_celery_beat.models import PeriodicTask

from agents import erasure as agents
from agents.models import Agent
from analytics import erasure as analytics
from callcenter_site.erasure import Batch, Cursor, counting_only
from callcenter_site.transactions import again_on_deadlock
from calls import erasure as calls
from calls.models import Call
from configuration.models import Account
from retention import holds, outbox, policy, replica, telling
from retention.erasure import erase_sign_in_traces
from retention.ledger import LedgerKind, append
from retention.models import AccountGate, LegalHold, PurgeRun
from retention.taking_over import take_over

log = logging.getLogger(__name__)

State = PurgeRun.State

LEAST, MOST = 200, 5000
"""Rows in a batch."""
BATCH_SECONDS = 1.0
CUT_OFF_AFTER = dt.timedelta(minutes=10)
"""A run silent for this long is taken to be dead, and taken up."""
USUAL_TIMES, SHARE = 3, 0.2
"""A run waits for confirmation before it deletes more than so many times the usual, or more than this share of all calls."""
ALWAYS_ALLOWED = 100
"""Calls so few that no run waits."""
USUAL_OVER_RUNS = 30
CONFIRMED_SLACK = 1.1
"""What is due grows a little until somebody confirms it."""
JOB = "purge_expired"
"""Its name in the timetable: switched off there, runs stop before their next batch."""

BROKE_OFF = gettext_noop("%(error)s; the next run goes on")
SWITCHED_OFF = gettext_noop("switched off; goes on once it is switched on")
FAR_MORE = gettext_noop("far more than usual would go")
WAITS_SUBJECT = gettext_noop("A purge waits for your confirmation")
WAITS_TEXT = gettext_noop(
    "In %(account)s %(n)s calls have expired: far more than usual. Nothing is deleted by age until an administrator has looked "
    "whether a plan or a legal hold should keep them, and confirms: %(link)s"
)
UNDER_HOLD = gettext_noop("the account is under a legal hold")
REPLICA_BEHIND = gettext_noop("the replica is behind; the next run goes on")
# Of runs that were kept by an older release.
CUT_OFF = gettext_noop("cut off before it was finished; the next run went on")
FILES_LEFT = gettext_noop("%(n)s files could not be deleted; their calls stay until they can")
ERRORS = (CUT_OFF, FILES_LEFT, BROKE_OFF, SWITCHED_OFF, FAR_MORE, UNDER_HOLD, REPLICA_BEHIND)
"""What a run says of itself, as it is kept with it."""


class Fenced(Exception):
    """Another worker has taken the run up."""


class _Break(Exception):
    """Ends a run's work for now."""

    def __init__(self, state: str, why: str) -> None:
        super().__init__(why)
        self.state, self.why = state, why


def purge_due(*, at: dt.datetime) -> list[PurgeRun]:
    """Purges every account that was not yet purged on its present local day, and takes up what was cut off."""
    erase_sign_in_traces(at=at, failed_before=at - policy.FAILED_SIGN_IN_AGE)
    finished_runs = PurgeRun.objects.filter(state=State.DONE).values("account_id").annotate(last=Max("started_at"))
    done = dict(finished_runs.values_list("account_id", "last"))
    released = LegalHold.objects.exclude(released_at=None).values("account_id").annotate(last=Max("released_at"))
    freed = dict(released.values_list("account_id", "last"))
    fresh = PurgeRun.objects.filter(state=State.RUNNING, heartbeat_at__gte=at - CUT_OFF_AFTER)
    running = set(fresh.values_list("account_id", flat=True))
    stopped = set(AccountGate.objects.exclude(stopped_at=None).values_list("account_id", flat=True))
    finished = []
    for account in Account.objects.order_by("pk"):
        last = done.get(account.pk)
        is_done = last is not None and policy.local_day(account, last) >= policy.local_day(account, at)
        if last is not None and (since := freed.get(account.pk)) is not None and since > last:
            is_done = False  # what waited for a hold goes now
        if is_done or account.pk in running or account.pk in stopped or is_switched_off():
            continue
        try:
            finished.append(purge_account(account=account, at=at))
        except Exception:  # the run says so; the other accounts do not wait for this one
            log.exception("purge of account %s failed", account.pk)
    return finished


def purge_account(*, account: Account, at: dt.datetime, is_dry_run: bool = False) -> PurgeRun:
    """Deletes what has expired in one account, or goes on with a run that was cut off. While another worker is at it, its
    run is returned as it stands.

    A dry run goes the same way on a connection that cannot write, and keeps no run.
    """
    if is_dry_run:
        run = PurgeRun(account=account, started_at=at, heartbeat_at=at, cutoff=policy.cutoff(account, at=at))
        with counting_only():
            _Work(run, account, at, is_dry_run=True).do()
        run.state = State.DONE
        return run
    run, is_ours = again_on_deadlock(partial(_take_up, account, at))
    if is_ours:
        _work_on(run, account, at)
    return run


def tell_that_it_waits(run: PurgeRun, account: Account, *, at: dt.datetime) -> bool:
    """Mails administrators, once for each time a run waits; False: they were told, or the mail server does not answer."""
    waiting = PurgeRun.objects.filter(pk=run.pk, state=State.WAITING)
    if waiting.filter(told_at=None).update(told_at=at) != 1:
        return False
    values = {"account": account.name, "n": run.n_due, "link": telling.address_of("admin:retention_purgerun_change", run.pk)}
    try:
        telling.tell_administrators(account=account, subject=WAITS_SUBJECT, text=WAITS_TEXT, values=values)
    except OSError as error:  # told by the next run
        log.warning("that purge run %s waits could not be told: %s", run.pk, type(error).__name__)
        waiting.update(told_at=None)
        return False
    return True


def confirm(*, run: PurgeRun, by: Agent | None, at: dt.datetime) -> bool:
    """Lets a run go on that waits; False: it does not wait any more."""
    waiting = PurgeRun.objects.filter(pk=run.pk, state=State.WAITING)
    return bool(waiting.update(state=State.STOPPED, error="", told_at=None, confirmed_at=at, confirmed_by=by))


def switch(*, account: Account | int, is_on: bool, at: dt.datetime) -> None:
    """Stops an account's purge before its next batch, or lets it go on."""
    with transaction.atomic():
        holds.enter(account)
        AccountGate.objects.for_account(account).update(stopped_at=None if is_on else at)


def is_switched_off(account: Account | int | None = None) -> bool:
    """Whether the operator stopped the job in the timetable, or an administrator that of their account."""
    if PeriodicTask.objects.filter(name=JOB, enabled=False).exists():
        return True
    return account is not None and AccountGate.objects.for_account(account).exclude(stopped_at=None).exists()


def n_usual(account: Account, *, at: dt.datetime) -> float | None:
    """How many calls a day's run deletes; None: there is no run to tell by."""
    runs = PurgeRun.objects.for_account(account).filter(state=State.DONE, started_at__lt=at).order_by("-started_at")
    counted = [run.counts.get("calls", 0) for run in runs[:USUAL_OVER_RUNS]]
    counted = [n for n in counted if n]
    return sum(counted) / len(counted) if counted else None


def n_allowed(account: Account, *, at: dt.datetime) -> float:
    """How many calls a run may delete without being confirmed."""
    n_all = Call.objects.for_account(account).count()
    allowed = n_all * SHARE
    usual = n_usual(account, at=at)
    if usual is not None:
        last = PurgeRun.objects.for_account(account).filter(state=State.DONE).aggregate(last=Max("started_at"))["last"]
        n_days = max(1, (policy.local_day(account, at) - policy.local_day(account, last)).days)  # an outage is caught up with
        allowed = min(allowed, usual * USUAL_TIMES * n_days)
    return max(ALWAYS_ALLOWED, allowed)


def _take_up(account: Account, at: dt.datetime) -> tuple[PurgeRun, bool]:
    """The account's run, with a lease of ours; or another worker's, which is left alone. Of two at once, one waits."""
    with transaction.atomic():
        holds.enter(account)
        run = PurgeRun.objects.for_account(account).filter(state__in=PurgeRun.OPEN).order_by("-pk").first()
        if run is None:
            run = PurgeRun(account=account, started_at=at, heartbeat_at=at, cutoff=policy.cutoff(account, at=at), lease=1)
            run.save()
            return run, True
        return run, take_over(run, at=at, cut_off_after=CUT_OFF_AFTER)


def _work_on(run: PurgeRun, account: Account, at: dt.datetime) -> None:
    work = _Work(run, account, at, is_dry_run=False)
    try:
        work.make_sure_it_is_not_far_more_than_usual()
        work.do()
    except _Break as stop:
        work.close(stop.state, stop.why)
    except Fenced:
        log.warning("purge run %s was taken up by another worker", run.pk)
        run.refresh_from_db()
    except Exception as error:
        work.close(State.FAILED, BROKE_OFF % {"error": type(error).__name__})
        raise
    else:
        work.close(State.DONE)


class _Now(NamedTuple):
    """What a batch finds when it begins."""

    up_to: dt.date
    before: dt.datetime
    held: holds.Held
    days: list[tuple[dt.datetime, dt.datetime]]
    zone: dt.tzinfo

    def keep(self, clock: str) -> Q | None:
        """`clock` is a moment; "day" a local day."""
        kept = Q()
        for first, end in self.days:
            bounds: list[Any] = (
                [moment.astimezone(self.zone).date() for moment in (first, end)] if clock == "day" else [first, end]
            )
            kept |= Q(**{f"{clock}__gte": bounds[0], f"{clock}__lt": bounds[1]})
        return kept or None


class _Work:
    """One run over one account, batch by batch."""

    def __init__(self, run: PurgeRun, account: Account, at: dt.datetime, *, is_dry_run: bool) -> None:
        self.run, self.account, self.at, self.is_dry_run = run, account, at, is_dry_run
        self.began = time.monotonic()
        self.size = LEAST

    def do(self) -> None:
        steps: list[tuple[str, Callable[[_Now, Cursor | None, Counter[str]], Cursor | None]]] = [
            # Marks before the calls: counted again now, an old slot would lose the calls that have gone from it.
            ("marks", partial(self._rows, "marks", calls.erase_marks, "slot")),
            ("agent_marks", partial(self._rows, "marks", agents.erase_marks, "started_at")),
            *(
                (
                    f"intervals:{n}",
                    partial(self._rows, "intervals", partial(analytics.erase_counts, model=table), analytics.clock_of(table)),
                )
                for n, table in enumerate(analytics.COUNTS)
            ),
            ("crossings", partial(self._rows, "crossings", analytics.erase_crossings, "crossed_at")),
            ("calls", self._calls),
            ("agent_events", self._agent_events),
            ("events", self._raw_events),
            ("stray_events", partial(self._rows, "events", calls.erase_stray_events, "received_at")),
            ("tombstones", partial(self._rows, "tombstones", calls.erase_tombstones, "up_to")),
            ("unknown_names", partial(self._rows, "unknown_names", calls.erase_unknown_names, "first_seen_at")),
            ("status_changes", self._status_changes),
        ]
        names = [name for name, _ in steps]
        done = names.index(self.run.step) if self.run.step in names else 0
        for name, batch in steps[done:]:
            cursor = _cursor_of(self.run.cursor) if name == self.run.step else None
            self._walk(name, cursor, batch)

    def make_sure_it_is_not_far_more_than_usual(self) -> None:
        due = calls.ended_calls(account=self.account, up_to=policy.cutoff(self.account, at=self.at))
        n_due = holds.look(self.account).free(due).count()
        gone = self.run.counts.get("calls", 0)
        if self.run.confirmed_at is not None and n_due + gone <= self.run.n_due * CONFIRMED_SLACK + ALWAYS_ALLOWED:
            return
        self.run.n_due, self.run.confirmed_at = n_due + gone, None
        ours = PurgeRun.objects.filter(pk=self.run.pk, lease=self.run.lease)
        if not ours.update(n_due=self.run.n_due, cutoff=policy.cutoff(self.account, at=self.at), confirmed_at=None):
            raise Fenced
        # So few always may: all calls of the account need not be counted.
        if self.run.n_due > ALWAYS_ALLOWED and self.run.n_due > n_allowed(self.account, at=self.at):
            raise _Break(State.WAITING, FAR_MORE)

    def close(self, state: str, error: str = "") -> None:
        run = self.run
        run.state, run.error = state, error
        run.finished_at = None if state in PurgeRun.OPEN else self._now()
        if state == State.DONE:
            run.step, run.cursor = "", []
        with transaction.atomic():
            ours = PurgeRun.objects.filter(pk=run.pk, lease=run.lease, state=State.RUNNING)
            values = {"step": run.step, "cursor": run.cursor, "finished_at": run.finished_at}
            if ours.update(state=state, error=error, **values) and state in (State.DONE, State.FAILED):
                append(kind=LedgerKind.PURGE, account_id=run.account_id, at=self._now(), counts={"run": run.pk, **run.counts})
        if state == State.WAITING:
            tell_that_it_waits(run, self.account, at=self._now())

    def _rows(
        self, kind: str, erase: Callable[..., Batch], clock: str, now: _Now, after: Cursor | None, counts: Counter[str]
    ) -> Cursor | None:
        done = erase(account=self.account, before=now.before, after=after, limit=self.size, keep=now.keep(clock))
        counts[kind] += done.n_rows
        return done.cursor

    def _status_changes(self, now: _Now, after: Cursor | None, counts: Counter[str]) -> Cursor | None:
        keep = now.keep("ended_at") or Q()
        if now.held.agents:
            keep |= Q(agent_id__in=now.held.agents)
        done = agents.erase_status_changes(
            account=self.account, before=now.before, after=after, limit=self.size, keep=keep or None
        )
        counts["status_changes"] += done.n_rows
        return done.cursor

    def _calls(self, now: _Now, after: Cursor | None, counts: Counter[str]) -> Cursor | None:
        due = now.held.free(calls.ended_calls(account=self.account, up_to=now.up_to))
        ids, cursor = calls.next_calls(due, after=after, limit=self.size)
        if ids:
            gone, files = calls.erase_calls(account=self.account, calls=due, ids=ids)
            counts.update(gone)
            if not self.is_dry_run:
                outbox.put(account=self.account, keys=files, at=self.at, cause=f"purge:{self.run.pk}")
        return cursor

    def _agent_events(self, now: _Now, after: Cursor | None, counts: Counter[str]) -> Cursor | None:
        keep = now.keep("received_at") or Q()
        if now.held.agents:
            named = [agent.staff_id for agent in Agent.objects.filter(pk__in=now.held.agents)]
            keep |= Q(subject__in=named)
        done = calls.erase_agent_events(
            account=self.account, before=self.at - policy.RAW_EVENT_AGE, after=after, limit=self.size, keep=keep or None
        )
        counts["events"] += done.n_rows
        return done.cursor

    def _raw_events(self, now: _Now, after: Cursor | None, counts: Counter[str]) -> Cursor | None:
        done, n_sealed = calls.seal_calls(
            account=self.account,
            before=self.at - policy.RAW_EVENT_AGE,
            up_to=now.up_to,
            at=self.at,
            after=after,
            limit=self.size,
            keep=now.held.calls,
        )
        counts.update(events=done.n_rows, sealed=n_sealed)
        return done.cursor

    def _walk(
        self, step: str, cursor: Cursor | None, batch: Callable[[_Now, Cursor | None, Counter[str]], Cursor | None]
    ) -> None:
        """Batch after batch; their size follows the clock, so that nobody else waits long."""
        while True:
            replica_behind = not self.is_dry_run and not replica.wait_until_close()
            if replica_behind:
                raise _Break(State.STOPPED, REPLICA_BEHIND)
            began = time.monotonic()
            cursor = again_on_deadlock(partial(self._one_batch, step, cursor, batch), also=(calls.MovedMeanwhile,))
            if cursor is None:
                return
            took = time.monotonic() - began
            self.size = min(MOST, max(LEAST, int(self.size * min(2.0, BATCH_SECONDS / max(took, 0.001)))))

    def _one_batch(
        self, step: str, after: Cursor | None, batch: Callable[[_Now, Cursor | None, Counter[str]], Cursor | None]
    ) -> Cursor | None:
        """What it deleted, the files that are to go, and how far the run came are committed together."""
        counts: Counter[str] = Counter()
        with transaction.atomic():
            now = self._look()
            cursor = batch(now, after, counts)
            total = dict(+(Counter(self.run.counts) + counts))
            stored = _stored(cursor) if cursor else []
            if not self.is_dry_run:
                ours = PurgeRun.objects.filter(pk=self.run.pk, lease=self.run.lease, state=State.RUNNING)
                values = {"counts": total, "step": step, "cursor": stored, "cutoff": now.up_to}
                if not ours.update(heartbeat_at=self._now(), **values):
                    raise Fenced
        self.run.counts, self.run.step, self.run.cursor, self.run.cutoff = total, step, stored, now.up_to
        return cursor

    def _look(self) -> _Now:
        """Behind the gate: whether the run may go on, and what it must leave alone."""
        held = holds.look(self.account)
        if not self.is_dry_run and is_switched_off(self.account):
            raise _Break(State.STOPPED, SWITCHED_OFF)
        if held.is_whole:
            raise _Break(State.DONE, UNDER_HOLD)
        # By the clock of now: a run that goes past midnight, or a plan bought meanwhile, counts from the next batch.
        up_to = policy.cutoff(self.account, at=self._now())
        return _Now(
            up_to,
            policy.end_of_day(self.account, up_to),
            held,
            [(policy.start_of_day(self.account, first), policy.end_of_day(self.account, last)) for first, last in held.days],
            self.account.zone,
        )

    def _now(self) -> dt.datetime:
        return self.at + dt.timedelta(seconds=time.monotonic() - self.began)


def _stored(cursor: Cursor) -> list[Any]:
    clock, pk = cursor
    return [clock.isoformat(), pk]


def _cursor_of(stored: list[Any]) -> Cursor | None:
    if not stored:
        return None
    clock, pk = stored
    return (dt.datetime.fromisoformat(clock) if "T" in clock else dt.date.fromisoformat(clock)), int(pk)
