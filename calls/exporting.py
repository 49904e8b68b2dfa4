"""Service records taken away as a file: asked for in the list or over the API, written by a worker, kept for a day.

What must never happen: somebody gets a row or a number that they would not see on the screen when the file is written. So
whose file it is, their scope and their rights are looked up by the worker, not by whoever asked.

Rows are read newest first, a page at a time, each page after the last row of the one before: neither their number nor what
happens meanwhile changes what a page costs.
"""

import datetime as dt
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import QueryDict
from django.utils import timezone, translation
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from rest_framework.exceptions import APIException

from agents.models import Agent, SkillGroup
from callcenter_site import audit, celery, file_runs, sheets
from calls import masking, narrowing
from calls.filters import CallFilterSet
from calls.models import Call, CallLeg, CallState, Direction, ExportRun, LegKind, LegResult, Outcome, Party
from configuration.api_keys import ApiKeyActor
from configuration.models import Account

log = logging.getLogger(__name__)

MAY_EXPORT = "calls.view_call"
MOST_AT_WORK = 3
"""Exports of one account that wait or are written at once."""
KEPT_FOR = dt.timedelta(days=1)
PAGE = 2000
PROBLEMS: dict[str, Any] = {
    "forbidden": _("Whoever asked for this export may no longer see these records."),
    "failed": _("The export failed several times. The failure is in the portal's log."),
    "late": _("The export was not finished within a day."),
}


# --- Asking for one --------------------------------------------------------------------------------------------------


def open_export(*, actor: Any, asked: Mapping[str, Sequence[str]], kind: str, with_legs: bool, at: dt.datetime) -> ExportRun:
    """Puts an export in line. `asked` are parameters of the API's list, by name.

    Raises `ValidationError` where they cannot be read, and where the account has enough exports at work.
    """
    if getattr(actor, "account_id", None) is None or not actor.has_perm(MAY_EXPORT):
        raise PermissionDenied
    _narrowed(actor, asked)
    key = getattr(actor, "key", None)
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=actor.account_id)  # two at once are counted one after the other
        if ExportRun.objects.for_account(actor.account_id).filter(state__in=ExportRun.AT_WORK).count() >= MOST_AT_WORK:
            raise ValidationError(
                _("%(n)d exports of your account are being written. Wait for one of them, or cancel it."),
                params={"n": MOST_AT_WORK},
            )
        run: ExportRun = ExportRun.objects.create(
            account=actor.account,
            started_by_id=None if key is not None else actor.pk,
            api_key=key,
            language=translation.get_language() or settings.LANGUAGE_CODE,
            kind=kind,
            with_legs=with_legs,
            asked=json.dumps({name: list(values) for name, values in asked.items()}),
            created_at=at,
        )
        transaction.on_commit(lambda: nudge(run.pk))
    return run


def cancel(run: ExportRun, *, at: dt.datetime) -> bool:
    return file_runs.cancel(run, at=at)


def belongs_to(run: ExportRun, actor: Any) -> bool:
    """Whose file it is: it holds what its owner may see, which others may not."""
    key = getattr(actor, "key", None)
    return run.api_key_id == key.pk if key is not None else run.started_by_id is not None and run.started_by_id == actor.pk


def nudge(run_id: int) -> None:
    from calls.tasks import write_export  # tasks call this module

    celery.nudge(write_export, run_id)


def _narrowed(actor: Any, asked: Mapping[str, Sequence[str]], *, before: dt.datetime | None = None) -> Any:
    data = QueryDict(mutable=True)
    for name, values in asked.items():
        data.setlist(name, list(values))
    if unknown := sorted(set(asked) - set(CallFilterSet.base_filters)):
        raise ValidationError({name: _("This parameter is not known here.") for name in unknown})
    request: Any = SimpleNamespace(user=actor)
    narrowing_form = CallFilterSet(data=data, queryset=Call.objects.none(), request=request)
    if not narrowing_form.is_valid():
        raise ValidationError({name: [str(error) for error in errors] for name, errors in narrowing_form.errors.items()})
    said = narrowing_form.form.cleaned_data
    ends = [moment for moment in (said["started_before"], before) if moment is not None]
    rows = narrowing.listed_for(actor, start=said["started_after"], end=min(ends, default=None))
    if before is not None:
        rows = rows.filter(started_at__lt=before)
    try:
        return CallFilterSet(data=data, queryset=rows, request=request).qs
    except APIException as error:
        raise PermissionDenied from error


# --- Writing it ------------------------------------------------------------------------------------------------------


def work_on(run_id: int, *, clock: Callable[[], dt.datetime] = timezone.now) -> bool:
    """Writes a run; False if there was nothing to do or somebody else is at it."""
    at = clock()
    if not file_runs.take_up(ExportRun.objects.filter(pk=run_id), at=at, n_calls=0):
        return False
    run: ExportRun = ExportRun.objects.select_related("account", "started_by__role", "api_key__account").get(pk=run_id)
    if run.lease > file_runs.MAX_LEASES:
        file_runs.fail(run, "failed", at=at)
        return True
    actor = actor_of(run, at=at)
    if actor is None:
        file_runs.fail(run, "forbidden", at=at)
        return True
    with translation.override(run.language), timezone.override(run.account.zone), audit.acting(actor):
        work = _Work(run, actor, clock)
        file_runs.work(run, lambda: _write(work), clock=clock)
    return True


def actor_of(run: ExportRun, *, at: dt.datetime) -> Any | None:
    """Whoever asked, if they still may see records."""
    actor: Any = None
    if run.api_key is not None:
        actor = ApiKeyActor(run.api_key) if run.api_key.is_usable(at=at) and run.account.is_open else None
    elif run.started_by is not None:
        person = Agent.objects.select_related("account", "role").get(pk=run.started_by_id)
        actor = person if person.is_active and person.account_id == run.account_id else None
    return actor if actor is not None and actor.has_perm(MAY_EXPORT) else None


class _Work:
    def __init__(self, run: ExportRun, actor: Any, clock: Callable[[], dt.datetime]) -> None:
        self.run, self.actor, self.clock = run, actor, clock
        self.n_calls = self.n_rows = 0

    def mark(self, **changes: Any) -> None:
        file_runs.mark(self.run, at=self.clock(), **changes)

    def done(self) -> dict[str, Any]:
        run = self.run
        audit.log_export(Call, self.n_calls, actor=self.actor, export=run.pk, kind=run.kind, with_legs=run.with_legs)
        return {"n_calls": self.n_calls, "n_rows": self.n_rows}


def _write(work: _Work) -> None:
    with _file_of(work.run, Lines(work)) as file:
        file_runs.store(work.run, file, clock=work.clock, done=work.done)


def _file_of(run: ExportRun, lines: Iterable[Sequence[object]]) -> IO[bytes]:
    if run.kind == ExportRun.Kind.XLSX:
        return sheets.write_xlsx(lines, title=str(Call._meta.verbose_name_plural), widths=[18] * 40)
    return sheets.write_csv(lines)


_LABELLED = (Direction, Outcome, CallState, Party, LegKind, LegResult)
_TO_THE_SECOND = len("2026-11-24 09:00:00")
_COLUMNS = [field.attname for field in Call._meta.concrete_fields if not field.primary_key]
_LEG_COLUMNS = [field.attname for field in CallLeg._meta.concrete_fields if not field.primary_key]


class Lines:
    """The rows of the file, the first of them headings."""

    def __init__(self, work: _Work) -> None:
        self.work, self.run = work, work.run
        self.whole = masking.sees_numbers(work.actor)
        account_id = self.run.account_id
        self.agents = {one.pk: f"{one.name} ({one.staff_id})" for one in Agent.objects.for_account(account_id)}
        self.groups = dict(SkillGroup.objects.for_account(account_id).values_list("pk", "name"))
        self.zone = self.run.account.zone
        # Looked up once in the language of the file, not once a row.
        self.labels = {choices: {value: str(label) for value, label in choices.choices} for choices in _LABELLED}

    def __iter__(self) -> Iterator[Sequence[object]]:
        headings = [capfirst(str(heading)) for heading, _value in _OF_CALL]
        if self.run.with_legs:
            headings += [capfirst(str(heading)) for heading, _value in _OF_LEG]
        yield headings
        asked = json.loads(self.run.asked)
        rows = _narrowed(self.work.actor, asked, before=self.run.created_at)
        for page in pages(rows):
            legs = self._legs([call.pk for call in page]) if self.run.with_legs else {}
            for call in page:
                cells = [value(self, call) for _heading, value in _OF_CALL]
                self.work.n_calls += 1
                if not self.run.with_legs:
                    self.work.n_rows += 1
                    yield cells
                    continue
                for leg in legs.get(call.pk, [None]):
                    self.work.n_rows += 1
                    yield cells + [value(self, leg) if leg is not None else "" for _heading, value in _OF_LEG]
            self.work.mark(n_calls=self.work.n_calls, n_rows=self.work.n_rows, reached_at=page[-1].started_at)
        self.work.mark(then_silent_for=file_runs.PACKING)

    def _legs(self, call_ids: list[int]) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = defaultdict(list)
        legs = CallLeg.objects.for_account(self.run.account_id).filter(call_id__in=call_ids).order_by("call_id", "seq")
        for leg in legs.values_list(*_LEG_COLUMNS, named=True):
            found[leg.call_id].append(leg)
        return found

    def time(self, moment: dt.datetime | None) -> str:
        return moment.astimezone(self.zone).isoformat(" ")[:_TO_THE_SECOND] if moment else ""

    def label(self, choices: Any, value: str) -> str:
        return self.labels[choices].get(value, value)

    def number(self, number: str) -> str:
        return masking.shown(number, whole=self.whole)

    def text(self, text: str) -> str:
        return masking.shown_text(text, whole=self.whole)


def pages(rows: Any, size: int = PAGE) -> Iterator[list[Any]]:
    """The rows, newest first, a page at a time, along the index of the time of start; as plain tuples with names."""
    rows = rows.order_by("-started_at", "-pk").values_list("pk", *_COLUMNS, named=True)
    page = list(rows[:size])
    while page:
        yield page
        last = page[-1]
        if len(page) < size:
            return
        page = list(rows.filter(started_at__lte=last.started_at).exclude(started_at=last.started_at, pk__gte=last.pk)[:size])


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def _calling(lines: Lines, call: Call) -> str:
    return call.calling_number if call.direction == Direction.OUTBOUND else lines.number(call.calling_number)


def _looked_up(call: Call) -> str:
    found = [_of_call(name) for name in ("provider", "location") if getattr(call, f"is_{name}_looked_up")]
    return ", ".join(str(name) for name in found)


def _called(lines: Lines, call: Call) -> str:
    return call.called_number if call.direction == Direction.INBOUND else lines.number(call.called_number)


def _of_call(name: str) -> Any:
    column: Any = Call._meta.get_field(name)
    return column.verbose_name


def _of_leg(name: str) -> Any:
    column: Any = CallLeg._meta.get_field(name)
    return column.verbose_name


Cell = Callable[[Lines, Any], object]
_OF_CALL: list[tuple[Any, Cell]] = [
    (_of_call("call_id"), lambda lines, call: call.call_id),
    (_of_call("direction"), lambda lines, call: lines.label(Direction, call.direction)),
    (_of_call("call_type"), lambda lines, call: call.call_type),
    (_of_call("calling_number"), _calling),
    (_of_call("called_number"), _called),
    (_of_call("provider"), lambda lines, call: call.provider),
    (_of_call("location"), lambda lines, call: call.location),
    (_("looked up by the number"), lambda lines, call: _looked_up(call)),
    (_("started (account's time)"), lambda lines, call: lines.time(call.started_at)),
    (_("answered (account's time)"), lambda lines, call: lines.time(call.answered_at)),
    (_("ended (account's time)"), lambda lines, call: lines.time(call.ended_at)),
    (_of_call("outcome"), lambda lines, call: lines.label(Outcome, call.outcome) or lines.label(CallState, call.state)),
    (_of_call("disconnect_party"), lambda lines, call: lines.label(Party, call.disconnect_party)),
    (_of_call("agent"), lambda lines, call: lines.agents.get(call.agent_id, "")),
    (_of_call("skill_group"), lambda lines, call: lines.groups.get(call.skill_group_id, "")),
    (_("whole call, seconds"), lambda lines, call: _seconds(call.total_seconds) if call.ended_at else ""),
    (_("in IVR, seconds"), lambda lines, call: _seconds(call.ivr_seconds)),
    (_("wait, seconds"), lambda lines, call: _seconds(call.wait_seconds)),
    (_("ringing, seconds"), lambda lines, call: _seconds(call.ring_seconds)),
    (_("talk, seconds"), lambda lines, call: _seconds(call.talk_seconds)),
    (_("hold, seconds"), lambda lines, call: _seconds(call.hold_seconds)),
    (_("wrap-up, seconds"), lambda lines, call: _seconds(call.wrap_up_seconds)),
    (_of_call("n_transfers"), lambda lines, call: call.n_transfers),
    (_of_call("rating_score"), lambda lines, call: _seconds(call.rating_score)),
    (_("rating scale"), lambda lines, call: call.rating_scale or ""),
    (_of_call("disposition"), lambda lines, call: call.disposition),
    (_of_call("remark"), lambda lines, call: lines.text(call.remark)),
]


def _party(lines: Lines, leg: CallLeg) -> str:
    if leg.kind == LegKind.EXTERNAL:
        return lines.number(leg.number)
    return lines.agents.get(leg.agent_id, "") if leg.agent_id else lines.text(leg.agent_reference)


def _target(lines: Lines, leg: CallLeg) -> str:
    return lines.agents.get(leg.transfer_agent_id, "") if leg.transfer_agent_id else lines.text(leg.transfer_to)


_OF_LEG: list[tuple[Any, Cell]] = [
    (_("leg"), lambda lines, leg: leg.seq),
    (_("party of the leg"), lambda lines, leg: lines.label(LegKind, leg.kind)),
    (pgettext_lazy("of a leg", "who"), _party),
    (_("skill group of the leg"), lambda lines, leg: lines.groups.get(leg.skill_group_id, leg.skill_group_reference)),
    (_of_leg("terminal"), lambda lines, leg: leg.terminal),
    (_("provider of the leg"), lambda lines, leg: leg.provider),
    (_("leg offered"), lambda lines, leg: lines.time(leg.offered_at)),
    (_("leg answered"), lambda lines, leg: lines.time(leg.answered_at)),
    (_("leg ended"), lambda lines, leg: lines.time(leg.ended_at)),
    (_("hold of the leg, seconds"), lambda lines, leg: _seconds(leg.hold_seconds)),
    (_of_leg("result"), lambda lines, leg: lines.label(LegResult, leg.result)),
    (_of_leg("transfer_kind"), lambda lines, leg: leg.transfer_kind),
    (_of_leg("transfer_to"), _target),
]


# --- Looking after them ----------------------------------------------------------------------------------------------


def continue_exports(*, clock: Callable[[], dt.datetime] = timezone.now) -> int:
    """Takes up runs whose nudge was lost or whose worker died; how many."""
    due = ExportRun.objects.filter(file_runs.is_due(clock())).order_by("created_at").values_list("pk", flat=True)
    return sum(work_on(pk, clock=clock) for pk in list(due))


def exports_to_forget(*, at: dt.datetime) -> Any:
    return ExportRun.objects.filter(created_at__lt=at - KEPT_FOR)


def forget_exports(*, at: dt.datetime) -> int:
    """Removes exports older than a day, each file before its row; how many rows went."""
    return file_runs.forget(exports_to_forget(at=at), at=at)
