"""Deletion requests: from the day somebody asks until nothing is found any more, within thirty days.

What must never happen: a request completes while something of its subject is left, or what could not be looked into
counts as nothing. So each store is a step of its own that is found, erased batch by batch and searched again; a step
without a store, or one that failed, keeps the request open and is told. Every batch is one transaction: what is under a
hold is asked for in it, the step's counts are committed with what went, and a worker that lost its lease writes nothing.
Killed anywhere, the next one goes on from the step's cursor.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from analytics.rollup import keep_counts
from callcenter_site.celery import nudge
from callcenter_site.subjects import Page, Store, Subject, SubjectKind, Work
from callcenter_site.transactions import again_on_deadlock
from calls import subjects as calls
from calls.models import Call
from configuration.models import Account
from retention import certificate, holds, ledger, outbox, stores, subject_values, termination
from retention.backups import subjects as backups
from retention.backups.reach import Rewritten
from retention.ledger import LedgerKind
from retention.models import DeletionRequest, ErasureStep

log = logging.getLogger(__name__)

State, StepState = DeletionRequest.State, ErasureStep.State

DUE_AFTER = dt.timedelta(days=30)
VALUE_KEPT = dt.timedelta(days=7)
"""After the end, whom it was about is still readable, for questions; then its key is destroyed."""
BATCH = 500
MOST_PASSES = 5
"""After so many searches that still found something, somebody should look."""
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(minutes=1), dt.timedelta(hours=6)
HELD_PAUSE = dt.timedelta(hours=1)
NO_STORE = "no_store"
LEFT_OVER = "left_over"
BACKUPS_LEFT = "backups_left"
ERRORS: dict[str, Any] = {
    NO_STORE: _("The portal does not know how to look into this store. Nothing in it was erased."),
    LEFT_OVER: _("The search afterwards found something again and again. Look for what keeps writing it."),
    BACKUPS_LEFT: _("Some backups do not open, or are just being written. They are tried again: see the backups."),
}
APPROVE = "retention.approve_deletionrequest"


class Stopped(Exception):
    """The request was cancelled, or another worker has it."""


class BackupsLeft(Exception):
    """Objects could not be looked into: nobody knows what is in them."""


# --- Asked for and decided -------------------------------------------------------------------------------------------


def open_request(
    *,
    account: Account,
    kind: str,
    said: dict[str, Any],
    by: Any,
    at: dt.datetime,
    received_at: dt.datetime | None = None,
    keeps_block: str = "",
    reference: str = "",
) -> DeletionRequest:
    """Puts a request down. One about the same subject that is still open makes it a duplicate.

    Raises `ValidationError` on the field at fault. `received_at`: when the person asked, if that was before now.
    """
    received = received_at or at
    if received > at:
        raise ValidationError({"received_at": _("This day lies in the future.")})
    if at - received > DUE_AFTER:
        raise ValidationError({"received_at": _("This is more than 30 days ago: the request would be overdue already.")})
    if keeps_block and kind != SubjectKind.NUMBER:
        raise ValidationError({"keeps_block": _("Only a phone number can stay blocked.")})
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account.pk)  # of two who ask at once, one is the duplicate
        cleaned = subject_values.clean(account, kind, said)
        request = DeletionRequest(
            account=account,
            kind=kind,
            reference=reference,
            received_at=received,
            due_at=received + DUE_AFTER,
            keeps_block=keeps_block,
            retry_at=at,
            requested_by=getattr(by, "pk", None),
            api_key=getattr(getattr(by, "key", None), "pk", None),
        )
        subject_values.seal(request, cleaned)
        same = DeletionRequest.objects.for_account(account).filter(subject_hash=request.subject_hash, kind=kind)
        request.duplicate_of = same.filter(state__in=DeletionRequest.OPEN).order_by("pk").first()
        if request.duplicate_of is not None:
            request.state, request.finished_at = State.DUPLICATE, at
        request.save(force_insert=True)
        _tell(request, LedgerKind.REQUEST_RECEIVED, at=at, note=request.state if request.is_over else kind)
        nudge_on_commit(request)
    return request


def scope(request: DeletionRequest, *, at: dt.datetime, beat: Callable[[], None] | None = None) -> None:
    """Counts what would go, store by store. Erases nothing. `beat` is called while backups are read, which may take long."""
    subject = subject_values.subject_of(request, up_to=at)
    found: list[ErasureStep] = []
    for position, store in enumerate(stores.stores_for(subject.kind), start=1):
        found.append(
            ErasureStep(
                account=request.account,
                request=request,
                position=position,
                store=store.name,
                n_found=stores.count(store, subject),
            )
        )
    for position, label in enumerate(stores.uncovered(), start=len(found) + 1):
        found.append(
            ErasureStep(
                account=request.account, request=request, position=position, store=label, state=StepState.FAILED, error=NO_STORE
            )
        )
    n_backed_up = backups.count_subject(subject=subject, beat=beat).n_rows
    found.append(_backups_step(request, position=len(found) + 1, n_found=n_backed_up))
    with transaction.atomic():
        mine = DeletionRequest.objects.filter(pk=request.pk, state=State.RECEIVED)
        if mine.update(state=State.SCOPED, heartbeat_at=None) != 1:
            return
        ErasureStep.objects.filter(request=request).delete()
        ErasureStep.objects.bulk_create(found)
    request.state = State.SCOPED


def _backups_step(request: DeletionRequest, *, position: int, n_found: int = 0) -> ErasureStep:
    return ErasureStep(account=request.account, request=request, position=position, store=stores.BACKUPS, n_found=n_found)


def may_approve(request: DeletionRequest, actor: Any) -> bool:
    """Terminating an account needs a second person: whoever asked does not say yes to it."""
    if not actor.has_perm(APPROVE) or getattr(actor, "pk", None) is None:
        return False
    return request.kind != SubjectKind.ACCOUNT or actor.pk != request.requested_by


def approve(request: DeletionRequest, *, by: Any, at: dt.datetime) -> None:
    """Raises `ValidationError` where it cannot be approved now."""
    if not may_approve(request, by):
        if by.has_perm(APPROVE):
            raise ValidationError(
                _("Terminating the account needs a second administrator: whoever asked for it cannot approve it.")
            )
        raise PermissionDenied
    with transaction.atomic():
        changes: dict[str, Any] = {"state": State.APPROVED, "approved_by": by.pk, "approved_at": at, "retry_at": at}
        if request.kind == SubjectKind.ACCOUNT:
            changes["runs_from"] = changes["retry_at"] = termination.end_access(request, at=at)
        if DeletionRequest.objects.filter(pk=request.pk, state=State.SCOPED).update(**changes) != 1:
            raise ValidationError(_("This request is not waiting for approval."))
        request.refresh_from_db()
        _tell(request, LedgerKind.REQUEST_APPROVED, at=at)
        nudge_on_commit(request)


def reject(request: DeletionRequest, *, reason: str, by: Any, at: dt.datetime) -> None:
    if not by.has_perm(APPROVE):
        raise PermissionDenied
    if reason not in DeletionRequest.Reason.values:
        raise ValidationError({"reason": _("Choose why it is rejected.")})
    _end(request, State.REJECTED, LedgerKind.REQUEST_REJECTED, at=at, among=DeletionRequest.UNDECIDED, rejected_for=reason)


def may_cancel(request: DeletionRequest, actor: Any) -> bool:
    """Whoever may approve, and whoever asked."""
    key_id = getattr(getattr(actor, "key", None), "pk", None)
    is_own = request.api_key == key_id if key_id is not None else request.requested_by == getattr(actor, "pk", None)
    return is_own or bool(actor.has_perm(APPROVE))


def stoppable(request: DeletionRequest) -> frozenset[str]:
    """The states in which it can be stopped. A termination that has begun to run cannot: half an account is of no use to
    anybody."""
    going_on = {State.RUNNING, State.ERASED, State.HELD} if request.kind != SubjectKind.ACCOUNT else set()
    return DeletionRequest.UNDECIDED | going_on


def cancel(request: DeletionRequest, *, by: Any, at: dt.datetime) -> dict[str, int]:
    """Stops a request. Before it ran nothing has gone; half-way, what went by then, by store."""
    if not may_cancel(request, by):
        raise PermissionDenied
    _end(request, State.CANCELLED, LedgerKind.REQUEST_CANCELLED, at=at, among=stoppable(request))
    return deleted_by_store(request)


def take_back(request: DeletionRequest, *, at: dt.datetime) -> None:
    """Opens an account again whose end was approved and has not begun. Called by operators."""
    _end(request, State.CANCELLED, LedgerKind.REQUEST_CANCELLED, at=at, among=DeletionRequest.UNDECIDED)


def _end(request: DeletionRequest, state: str, kind: LedgerKind, *, at: dt.datetime, among: Any, **changes: Any) -> None:
    with transaction.atomic():
        was_approved = request.kind == SubjectKind.ACCOUNT and request.approved_at is not None
        mine = DeletionRequest.objects.filter(pk=request.pk, state__in=among)
        if mine.update(state=state, finished_at=at, lease=F("lease") + 1, heartbeat_at=None, **changes) != 1:
            raise ValidationError(
                _("It is too late for this: the request is %(state)s."), params={"state": request.get_state_display()}
            )
        request.refresh_from_db()
        _tell(request, kind, at=at, counts=deleted_by_store(request), note=request.rejected_for)
        if was_approved:
            termination.restore_access(request, at=at)


def deleted_by_store(request: DeletionRequest) -> dict[str, int]:
    return {name: n for name, n in request.steps.order_by("position").values_list("store", "n_deleted") if n}


def _tell(
    request: DeletionRequest, kind: LedgerKind, *, at: dt.datetime, counts: Any = None, note: str = "", store: str = ""
) -> Any:
    return ledger.append(
        kind=kind, account_id=request.account_id, at=at, store=store, counts=counts, request_id=str(request.pk), note_code=note
    )


def nudge_on_commit(request: DeletionRequest) -> None:
    from retention.tasks import work_on_request  # tasks call this module

    transaction.on_commit(lambda: nudge(work_on_request, request.pk))


# --- Worked on -------------------------------------------------------------------------------------------------------


def work_due(*, clock: Callable[[], dt.datetime] = timezone.now) -> int:
    """Goes on with every request that is due; how many were worked on."""
    due = DeletionRequest.objects.due(clock()).order_by("received_at").values_list("pk", flat=True)
    return sum(work_on(pk, clock=clock) for pk in list(due))


def work_on(request_id: int, *, clock: Callable[[], dt.datetime] = timezone.now) -> bool:
    """Brings a request as far as it will go now; False: it is not due, or another worker has it."""
    at = clock()
    mine = DeletionRequest.objects.due(at).filter(pk=request_id)
    if mine.update(lease=F("lease") + 1, heartbeat_at=at) != 1:
        return False
    request: DeletionRequest = DeletionRequest.objects.select_related("account").get(pk=request_id)
    work = _Worker(request, clock)
    try:
        work.go_on()
    except Stopped:
        log.info("deletion request %s was stopped or taken over", request_id)
        return True
    except Exception:
        log.exception("deletion request %s failed; it is tried again", request_id)
        work.rest(FIRST_PAUSE)
        return True
    return True


class _Worker:
    """One worker's turn at one request."""

    def __init__(self, request: DeletionRequest, clock: Callable[[], dt.datetime]) -> None:
        self.request, self.clock = request, clock
        self.lease = request.lease
        self.cause = f"deletion:{request.pk}"

    def mark(self, **changes: Any) -> None:
        """Says that the worker lives; every write goes with it."""
        mine = DeletionRequest.objects.filter(pk=self.request.pk, lease=self.lease, state=self.request.state)
        if mine.update(heartbeat_at=self.clock(), **changes) != 1:
            raise Stopped
        for name, value in changes.items():
            setattr(self.request, name, value)

    def rest(self, pause: dt.timedelta) -> None:
        mine = DeletionRequest.objects.filter(pk=self.request.pk, lease=self.lease)
        mine.update(heartbeat_at=None, retry_at=self.clock() + pause)

    def go_on(self) -> None:
        if self.request.state == State.RECEIVED:
            scope(self.request, at=self.clock(), beat=self.mark)
            return
        if self.request.state in (State.APPROVED, State.HELD):
            self._begin()
        if self.request.state == State.RUNNING:
            self._erase()
        if self.request.state == State.ERASED:
            self._verify()
        if self.request.state == State.VERIFIED:
            self._complete()

    def _begin(self) -> None:
        """A pass over all stores. What was held before is looked at again."""
        at = self.clock()
        subject_values.bring_up_to_date(self.request)
        steps = ErasureStep.objects.filter(request=self.request)
        with transaction.atomic():
            if not steps.filter(store=stores.BACKUPS).exists():  # scoped by a release that did not reach them
                last = steps.aggregate(last=Max("position"))["last"] or 0
                _backups_step(self.request, position=last + 1).save(force_insert=True)
            steps.exclude(error=NO_STORE).update(
                state=StepState.WAITING, cursor=None, n_held=0, n_left=None, attempts=0, error=""
            )
            subject = subject_values.subject_of(self.request, up_to=at)
            if not holds.look(self.request.account_id).names(subject):
                calls.remember(subject, at=at)
            self.mark(state=State.RUNNING, started_at=self.request.started_at or at, up_to=at, n_passes=self.request.n_passes + 1)

    def _erase(self) -> None:
        subject = subject_values.subject_of(self.request, up_to=self.request.up_to)
        failed = 0
        for step in ErasureStep.objects.filter(request=self.request).order_by("position"):
            if step.state in (StepState.DONE, StepState.HELD):
                continue
            is_backups = step.store == stores.BACKUPS
            store = stores.store_named(step.store, subject.kind)
            if store is None and not is_backups:
                ErasureStep.objects.filter(pk=step.pk).update(state=StepState.FAILED, error=NO_STORE)
                failed += 1
                continue
            if is_backups and failed:
                continue  # what is left of the live rows says what goes from them
            try:
                if store is None:
                    self._erase_backups(step, subject)
                else:
                    self._erase_store(step, store, subject)
            except Stopped:
                raise
            except Exception as error:  # whatever it is: the other stores do not wait for this one
                log.exception("deletion request %s: the store %s failed", self.request.pk, step.store)
                code = BACKUPS_LEFT if isinstance(error, BackupsLeft) else type(error).__name__[:60]
                again = {"attempts": F("attempts") + 1, "error": code}
                ErasureStep.objects.filter(pk=step.pk).update(state=StepState.FAILED, **again)
                failed += 1
        if failed:
            tries = max(ErasureStep.objects.filter(request=self.request).values_list("attempts", flat=True), default=1)
            self.rest(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries, 12)))
            return
        self.mark(state=State.ERASED, erased_at=self.clock())

    def _erase_store(self, step: ErasureStep, store: Store, subject: Subject) -> None:
        for page in stores.pages(store, subject, BATCH, after=step.cursor):
            again_on_deadlock(partial(self._batch, step, store, subject, page))
        self._close(step)

    def _erase_backups(self, step: ErasureStep, subject: Subject) -> None:
        """Object by object, outside of any transaction; the cursor says which was the last."""

        def note(place: Any, done: Rewritten) -> None:
            with transaction.atomic():
                self.mark()
                ErasureStep.objects.filter(pk=step.pk).update(
                    state=StepState.RUNNING,
                    cursor=place,
                    n_deleted=F("n_deleted") + done.n_changed,
                    n_held=F("n_held") + done.n_held,
                )

        def told(place: Any, done: Rewritten) -> None:
            again_on_deadlock(partial(note, place, done))
            step.n_deleted += done.n_changed
            step.n_held += done.n_held

        with transaction.atomic():
            is_held = holds.look(self.request.account_id).names(subject)
        if is_held:
            n_held = backups.search_subject(subject=subject, beat=self.mark).n_rows
            told([], Rewritten(0, n_held, 0, n_held, 0))
        else:
            done = backups.erase_subject(
                subject=subject,
                at=self.clock(),
                request_id=str(self.request.pk),
                cause=self.cause,
                after=step.cursor,
                told=told,
            )
            if done.n_left:
                ErasureStep.objects.filter(pk=step.pk).update(cursor=None)
                raise BackupsLeft
        self._close(step)

    def _close(self, step: ErasureStep) -> None:
        with transaction.atomic():
            self.mark()
            ErasureStep.objects.filter(pk=step.pk).update(state=StepState.HELD if step.n_held else StepState.DONE, error="")
            if step.n_deleted or step.n_held:
                told = {"deleted": step.n_deleted, "held": step.n_held}
                _tell(self.request, LedgerKind.ERASURE_STEP, at=self.clock(), store=step.store[:40], counts=told)

    def _batch(self, step: ErasureStep, store: Store, subject: Subject, page: Page) -> None:
        at = self.clock()
        work = Work(
            at=at,
            put_files=lambda keys: self._put_files(keys, at),
            keep_figures=lambda ids: self._keep_figures(subject, list(ids)),
        )
        n_deleted = n_held = 0
        with transaction.atomic():
            self.mark()
            held = holds.look(self.request.account_id) if page.ids else None
            if held is not None and held.names(subject):
                n_held = len(page.ids)
            elif held is not None:
                work.held_calls = held.calls
                kept = kept_by_holds(store, page.ids) if held.is_any else set()
                n_deleted, n_held = store.erase(subject, [one for one in page.ids if one not in kept], work)
                n_held += len(kept)
            ErasureStep.objects.filter(pk=step.pk).update(
                state=StepState.RUNNING,
                cursor=page.cursor,
                n_deleted=F("n_deleted") + n_deleted,
                n_held=F("n_held") + n_held,
            )
        step.n_deleted += n_deleted
        step.n_held += n_held
        for then in work.after:
            then()

    def _put_files(self, keys: Iterable[str], at: dt.datetime) -> None:
        outbox.put(account=self.request.account_id, keys=keys, at=at, cause=self.cause)

    def _keep_figures(self, subject: Subject, ids: list[int]) -> None:
        if subject.kind != SubjectKind.ACCOUNT:  # its figures go as well
            keep_counts(account=self.request.account, call_ids=ids, unnamed=subject.numbers)

    def _verify(self) -> None:
        """Searches every store again. What is under a hold is left, and nothing else."""
        at = self.clock()
        subject = subject_values.subject_of(self.request, up_to=self.request.up_to)
        left: dict[str, int] = {}
        again: list[int] = []
        for step in ErasureStep.objects.filter(request=self.request).order_by("position"):
            if step.store == stores.BACKUPS:
                if again:
                    continue  # read again once the live rows are gone
                there = backups.search_subject(subject=subject, beat=self.mark)
                step.n_left = there.n_rows + there.n_unreadable
            else:
                store = stores.store_named(step.store, subject.kind)
                if store is None:
                    raise RuntimeError(f"the store {step.store} is gone")
                step.n_left = stores.count(store, subject)
            self.mark()
            ErasureStep.objects.filter(pk=step.pk).update(n_left=step.n_left)
            if step.n_left:
                left[step.store] = step.n_left
            if step.n_left > step.n_held:
                again.append(step.pk)
        if again:
            self._search_again(again)
            return
        if not self._files_are_gone():
            self.rest(FIRST_PAUSE)
            return
        with transaction.atomic():
            _tell(self.request, LedgerKind.VERIFICATION, at=at, counts=left)
            if left:
                self.mark(state=State.HELD)
            else:
                self.mark(state=State.VERIFIED, verified_at=at)
        if left:
            self.rest(HELD_PAUSE)

    def _search_again(self, step_ids: list[int]) -> None:
        at = self.clock()
        steps = ErasureStep.objects.filter(pk__in=step_ids)
        is_last = self.request.n_passes >= MOST_PASSES
        steps.update(
            state=StepState.FAILED if is_last else StepState.WAITING, cursor=None, n_held=0, error=LEFT_OVER if is_last else ""
        )
        self.mark(state=State.RUNNING, up_to=at, n_passes=self.request.n_passes + 1)
        if is_last:
            self.rest(LONGEST_PAUSE)
        else:
            self._erase()
            if self.request.state == State.ERASED:
                self._verify()

    def _files_are_gone(self) -> bool:
        while outbox.left(account=self.request.account_id, cause=self.cause):
            done = outbox.work(at=self.clock())
            self.mark()
            if not done.n_deleted:
                return False
        return True

    def _complete(self) -> None:
        at = self.clock()
        with transaction.atomic():
            if self.request.kind == SubjectKind.ACCOUNT:
                termination.destroy(self.request, at=at)
            entry = _tell(self.request, LedgerKind.REQUEST_COMPLETED, at=at, counts=deleted_by_store(self.request))
            told, signature = certificate.make(self.request, entry=entry, at=at)
            self.mark(state=State.COMPLETED, finished_at=at, certificate=told, signature=signature)


def kept_by_holds(store: Store, ids: list[Any]) -> set[Any]:
    """What a hold keeps of another subject than the request's. Calls are asked for by the store itself, which locks them."""
    model = apps.get_model(store.models[0])
    if model is Call or not hasattr(model, "account_id"):
        return set()
    return holds.kept(model._base_manager.filter(pk__in=ids))


def forget_subjects(*, at: dt.datetime) -> int:
    """Destroys the keys of requests that ended a week ago; how many."""
    return subject_values.forget(DeletionRequest.objects.all(), before=at - VALUE_KEPT)
