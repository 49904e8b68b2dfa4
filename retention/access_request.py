"""What do you hold on this person? The stores of a deletion request are searched, counted, and shown in one file.

What must never happen: the file outlives its week, or is opened by whoever has only its address. So its row names it before
there is one, it goes by way of the outbox, and it is opened by a link that dies within a minute.
"""

import datetime as dt
import io
import json
import logging
import tempfile
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from callcenter_site import legal_holds
from callcenter_site.bulk import parts
from callcenter_site.celery import nudge
from callcenter_site.subjects import SubjectKind
from configuration.models import Account
from retention import ledger, outbox, stores, subject_values
from retention.ledger import LedgerKind
from retention.models import AccessRequest
from retention.stores import pages

log = logging.getLogger(__name__)

State = AccessRequest.State

KEPT_FOR = dt.timedelta(days=7)
MOST_ATTEMPTS = 5
PAUSE = dt.timedelta(minutes=2)
SHOWN_AT_ONCE = 200
KINDS = (SubjectKind.NUMBER, SubjectKind.AGENT, SubjectKind.CALL)
MAY_ASK = "retention.add_accessrequest"
MAY_SEE = "retention.view_accessrequest"


def open_request(
    *, account: Account, kind: str, said: dict[str, Any], by: Any, at: dt.datetime, reference: str = ""
) -> AccessRequest:
    """Raises `ValidationError` on the field at fault."""
    with transaction.atomic():
        cleaned = subject_values.clean(account, kind if kind in KINDS else "", said, erases=False)
        request = AccessRequest(
            account=account,
            kind=kind,
            reference=reference,
            created_at=at,
            retry_at=at,
            requested_by=getattr(by, "pk", None),
            api_key=getattr(getattr(by, "key", None), "pk", None),
        )
        subject_values.seal(request, cleaned)
        request.save(force_insert=True)
        transaction.on_commit(lambda: _nudge(request.pk))
    return request


def _nudge(request_id: int) -> None:
    from retention.tasks import answer_access_request  # tasks call this module

    nudge(answer_access_request, request_id)


def work_due(*, clock: Callable[[], dt.datetime] = timezone.now) -> int:
    due = AccessRequest.objects.due(clock()).order_by("pk").values_list("pk", flat=True)
    return sum(work_on(pk, clock=clock) for pk in list(due))


def work_on(request_id: int, *, clock: Callable[[], dt.datetime] = timezone.now) -> bool:
    """Puts the file together; False: it is not due, or another worker has it."""
    at = clock()
    claimed = AccessRequest.objects.due(at).filter(pk=request_id)
    if claimed.update(lease=F("lease") + 1, heartbeat_at=at, state=State.WORKING, attempts=F("attempts") + 1) != 1:
        return False
    request: AccessRequest = AccessRequest.objects.select_related("account").get(pk=request_id)
    mine = AccessRequest.objects.filter(pk=request.pk, lease=request.lease, state=State.WORKING)
    try:
        _answer(request, mine, clock)
    except Exception:
        log.exception("access request %s failed", request.pk)
        failed = request.attempts >= MOST_ATTEMPTS
        changes: dict[str, Any] = {"state": State.FAILED, "finished_at": clock()} if failed else {"retry_at": clock() + PAUSE}
        mine.update(heartbeat_at=None, **changes)
    return True


def _answer(request: AccessRequest, mine: Any, clock: Callable[[], dt.datetime]) -> None:
    at = clock()
    subject = subject_values.subject_of(request, up_to=at)
    counts: dict[str, int] = {}
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for store in stores.stores_for(subject.kind):
                ids = [pk for page in pages(store, subject) for pk in page.ids]
                counts[store.name] = len(ids)
                if ids and store.show is not None:
                    with archive.open(f"{store.name}.json", "w") as part, io.TextIOWrapper(part, encoding="utf-8") as text:
                        _write(
                            text,
                            (row for some in parts(ids, SHOWN_AT_ONCE) for row in store.show(subject, list(some))),
                        )
                if mine.update(heartbeat_at=clock()) != 1:
                    return
            summary = {"asked_at": request.created_at, "written_at": at, "about": request.kind, "found": counts}
            archive.writestr("summary.json", json.dumps(summary, indent=2, default=_encoded))
        n_bytes = file.tell()
        file.seek(0)
        if request.key:  # an earlier attempt may have been cut off after its file was written
            outbox.put(account=request.account_id, keys=[request.key], at=at, cause=f"access:{request.pk}")
        key = f"access/{uuid.uuid4().hex}.zip"
        if mine.update(key=key) != 1:
            return
        default_storage.save(key, File(file))
    with transaction.atomic():
        done = {"state": State.DONE, "counts": counts, "n_bytes": n_bytes, "finished_at": clock(), "heartbeat_at": None}
        if mine.update(**done) != 1:
            outbox.put(account=request.account_id, keys=[key], at=at, cause=f"access:{request.pk}")
            return
        found = {name: n for name, n in counts.items() if n}
        ledger.append(
            kind=LedgerKind.ACCESS_EXPORT, account_id=request.account_id, at=at, counts=found, request_id=f"access:{request.pk}"
        )


def _write(text: Any, rows: Any) -> None:
    text.write("[")
    for number, row in enumerate(rows):
        text.write(",\n" if number else "\n")
        text.write(json.dumps(row, ensure_ascii=False, default=_encoded))
    text.write("\n]\n")


def _encoded(value: Any) -> Any:
    return JSONEncoder().default(value)


def forget_files(*, at: dt.datetime) -> int:
    """Removes files and whom they were about after their week; how many."""
    n_gone = 0
    for request in AccessRequest.objects.filter(finished_at__lt=at - KEPT_FOR, state__in=[State.DONE, State.FAILED]):
        with transaction.atomic():
            if legal_holds.kept([request]):
                continue
            if request.key:
                outbox.put(account=request.account_id, keys=[request.key], at=at, cause=f"access:{request.pk}")
            n_gone += AccessRequest.objects.filter(pk=request.pk, state=request.state).update(state=State.GONE, key="", n_bytes=0)
    subject_values.forget(AccessRequest.objects.filter(state=State.GONE), before=at)
    return n_gone
