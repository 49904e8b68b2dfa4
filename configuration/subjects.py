"""What configuration holds on somebody: a blocked number, rows of imports, answers kept for whoever asks again."""

import json
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from callcenter_site.erasure import delete_rows
from callcenter_site.subjects import PEOPLE, SCANNED, Erased, Page, Store, Subject, SubjectKind, Work, first_ids, paged
from configuration.blacklist import block_hash, stand_in
from configuration.models import Account, BlockedNumber, IdempotencyKey, ImportChunk, ImportRun

NUMBER, ACCOUNT = SubjectKind.NUMBER, SubjectKind.ACCOUNT
SEALED_AT_ONCE = 500
"""Rows that are decrypted to look into them."""


# --- The blacklist ---------------------------------------------------------------------------------------------------


def _find_blocked(subject: Subject, after: Any, limit: int) -> Page:
    rows = BlockedNumber.objects.for_account(subject.account_id).filter(pk__gt=after or 0).order_by("pk")
    page = rows.only("number", "is_prefix", "reason", "number_hash")[:SCANNED]
    return paged(((row.pk, _is_of(subject, row) or subject.is_named(row.reason)) for row in page), SCANNED)


def _is_of(subject: Subject, row: BlockedNumber) -> bool:
    return not row.is_prefix and row.number_hash is None and subject.is_number(row.number)


def _erase_blocked(subject: Subject, ids: list[Any], work: Work) -> Erased:
    """Removes the entry; or leaves it to block by a keyed hash, which names the number to nobody."""
    account = Account.objects.get(pk=subject.account_id)
    n_erased = 0
    rows = BlockedNumber.objects.for_account(account).filter(pk__in=ids).order_by("pk").select_for_update()
    for row in rows:
        mine = BlockedNumber.objects.filter(pk=row.pk)
        if not _is_of(subject, row):
            n_erased += mine.update(reason=subject.hidden(row.reason) if subject.spans(row.reason) else "")
        elif subject.keeps_block:
            n_erased += mine.update(number=stand_in(account, row.number), number_hash=block_hash(account, row.number), reason="")
        else:
            n_erased += delete_rows(mine)
    return Erased(n_erased)


def _show_blocked(subject: Subject, ids: list[Any]) -> Any:
    for row in BlockedNumber.objects.for_account(subject.account_id).filter(pk__in=ids).order_by("pk"):
        yield {
            "number": row.written,
            "direction": row.direction,
            "reason": row.reason,
            "blocked_until": row.blocked_until,
            "created_at": row.created_at,
        }


# --- What is kept encrypted for a day --------------------------------------------------------------------------------


def _sealed(model: Any, *columns: str) -> Any:
    """Finds the rows in whose encrypted JSON the subject stands."""

    def find(subject: Subject, after: Any, limit: int) -> Page:
        rows = model._base_manager.filter(account_id=subject.account_id, pk__gt=after or 0).order_by("pk")
        page = rows.only("account_id", *columns)[:SEALED_AT_ONCE]
        return paged(((row.pk, any(_stands_in(subject, getattr(row, name)) for name in columns)) for row in page), SEALED_AT_ONCE)

    return find


def _stands_in(subject: Subject, text: str) -> bool:
    if not text:
        return False
    try:
        return subject.stands_in(json.loads(text))
    except ValueError:
        return subject.is_named(text)


def _find_answers(subject: Subject, after: Any, limit: int) -> Page:
    if subject.kind == ACCOUNT:
        return first_ids(IdempotencyKey.objects.for_account(subject.account_id), after, limit)
    return _sealed(IdempotencyKey, "answer")(subject, after, limit)  # type: ignore[no-any-return]


def _erase_answers(subject: Subject, ids: list[Any], work: Work) -> Erased:
    return Erased(delete_rows(IdempotencyKey.objects.for_account(subject.account_id).filter(pk__in=ids)))


def _erase_previews(subject: Subject, ids: list[Any], work: Work) -> Erased:
    return Erased(ImportRun._base_manager.filter(account_id=subject.account_id, pk__in=ids).update(preview=b""))


def _erase_rows(subject: Subject, ids: list[Any], work: Work) -> Erased:
    """The rows of the file go, and an import that still has to write them is given up: a part of it is not what was asked."""
    chunks = ImportChunk._base_manager.filter(account_id=subject.account_id, pk__in=ids)
    runs = ImportRun._base_manager.filter(pk__in=chunks.values("run_id"), state__in=ImportRun.OPEN)
    runs.update(state=ImportRun.State.DISCARDED, finished_at=timezone.now())
    return Erased(chunks.update(rows=b"", errors=b""))


STORES: tuple[Store, ...] = (
    Store(
        "blacklist",
        _("blacklist"),
        PEOPLE,
        ("configuration.BlockedNumber",),
        _find_blocked,
        _erase_blocked,
        _show_blocked,
    ),
    Store(
        "kept_answers",
        _("answers of the API kept for a day"),
        PEOPLE | {ACCOUNT},
        ("configuration.IdempotencyKey",),
        _find_answers,
        _erase_answers,
    ),
    Store(
        "import_previews",
        _("previews of imports"),
        PEOPLE,
        ("configuration.ImportRun",),
        _sealed(ImportRun, "preview"),
        _erase_previews,
    ),
    Store(
        "import_rows",
        _("rows of imports"),
        PEOPLE,
        ("configuration.ImportChunk",),
        _sealed(ImportChunk, "rows", "errors"),
        _erase_rows,
    ),
)
