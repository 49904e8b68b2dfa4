"""Which keywords stand in what was said and written of calls: found when a call is over or its remark changes, and anew for
the calls of the last month when the account's keywords change.

Hits follow from text and keywords alone, so finding them again ends the same.
"""

import datetime as dt
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from django.db import transaction

from callcenter_site.bulk import insert_rows
from calls.models import Call, HitPlace, IvrStep, KeywordHit, KeywordMark
from configuration.keywords import Finder
from configuration.models import Account, Keyword

MOST_HITS = 50
"""Of one call; the first of them stand for the rest."""
MATCHED_DAYS = 30
AT_ONCE = 500
_COLUMNS = ("account_id", "call_id", "started_at", "phrase", "category", "severity", "place", "seq", "start", "end")
SPEECH = "speech"


def note_hits(
    account: Account, calls: list[Call], steps: Iterable[Any], *, added_to: set[int], new: set[int] | None = None
) -> None:
    """Brings in line the hits of these calls. `steps` are theirs, but of those in `added_to`, whose steps are not at hand and
    whose hits in the IVR stay. Of `new` calls no hits are looked for in the database. A call that goes on has none yet."""
    texts: dict[int, list[tuple[str, int, str]]] = defaultdict(list)
    for step in steps:
        if step.input_kind == SPEECH and step.input.strip():
            texts[step.call_id].append((HitPlace.IVR, step.seq, step.input))
    for call in calls:
        if call.has_remark:
            texts[call.pk].append((HitPlace.REMARK, 0, call.remark))
    finder = Finder(_keywords(account)) if texts else None
    found: set[tuple[Any, ...]] = set()
    for call in calls:
        if finder is None or call.ended_at is None:
            continue
        hits = [
            (account.pk, call.pk, call.started_at, *_said(hit), place, seq, hit.start, hit.end)
            for place, seq, text in texts[call.pk]
            for hit in finder.find(text)
        ]
        found.update(hits[:MOST_HITS])
    old = [call.pk for call in calls if new is None or call.pk not in new]
    rows: Any = KeywordHit.objects.for_account(account).filter(call_id__in=old)
    stored = {values[1:]: (values[0], values) for values in rows.values_list("pk", *_COLUMNS)} if old else {}
    gone = [
        pk
        for row, (pk, _values) in stored.items()
        if row not in found and not (row[1] in added_to and row[_COLUMNS.index("place")] == HitPlace.IVR)
    ]
    if gone:
        stale = KeywordHit.objects.filter(pk__in=gone)
        stale._raw_delete(stale.db)
    insert_rows(KeywordHit, _COLUMNS, sorted(found - stored.keys()))


def _said(hit: Any) -> tuple[str, str, str]:
    return hit.keyword.phrase, hit.keyword.category, str(hit.keyword.severity)


def _keywords(account: Account) -> list[Keyword]:
    return list(Keyword.objects.for_account(account).filter(is_active=True))


def marked(text: str, hits: Iterable[KeywordHit]) -> list[dict[str, Any]]:
    """The text in pieces, each with the hits it lies in. Hiding digits leaves every character at its place."""
    hits = [hit for hit in hits if hit.end <= len(text)]
    cuts = sorted({0, len(text), *(hit.start for hit in hits), *(hit.end for hit in hits)})
    pieces = []
    for start, end in pairwise(cuts):
        over = [hit for hit in hits if hit.start <= start and hit.end >= end]
        worst = max((hit.severity for hit in over), key=list(Keyword.Severity.values).index, default="")
        pieces.append({"text": text[start:end], "hits": over, "severity": worst})
    return pieces


# --- When keywords change --------------------------------------------------------------------------------------------


def match_anew(*, clock: Callable[[], dt.datetime], seconds: float = 20) -> int:
    """Goes on matching the calls of accounts whose keywords changed, for a while; how many calls were matched."""
    until = time.monotonic() + seconds
    n_calls = 0
    for account in Account.objects.filter(terminated_at=None).order_by("pk"):
        while time.monotonic() < until and (n := _match_some(account, clock())) is not None:
            n_calls += n
    return n_calls


def _match_some(account: Account, at: dt.datetime) -> int | None:
    """The next calls of an account, newest first; None where all were matched with the keywords of now."""
    keywords = _keywords(account)
    wanted = _fingerprint(keywords)
    mark = KeywordMark.objects.for_account(account).first()
    if wanted == (mark.matched if mark else ""):
        return None
    if mark is None:
        mark, _made = KeywordMark.objects.get_or_create(account=account)
    if mark.matching != wanted:
        mark.matching, mark.reached_at, mark.reached_id = wanted, None, 0
    rows: Any = Call.objects.for_account(account).filter(started_at__gte=at - dt.timedelta(days=MATCHED_DAYS))
    if mark.reached_at is not None:
        rows = rows.filter(started_at__lte=mark.reached_at).exclude(started_at=mark.reached_at, pk__gte=mark.reached_id)
    page = list(rows.order_by("-started_at", "-pk").values_list("pk", "started_at")[:AT_ONCE])
    with transaction.atomic():
        ids = [pk for pk, _started_at in page]
        # The order of everybody who locks calls.
        calls = list(Call.objects.for_account(account).filter(pk__in=ids).order_by("pk").select_for_update())
        steps = IvrStep.objects.for_account(account).filter(call_id__in=ids, input_kind=SPEECH)
        note_hits(account, calls, steps, added_to=set())
        if len(page) < AT_ONCE:
            mark.matched, mark.matching, mark.reached_at, mark.reached_id = wanted, "", None, 0
        else:
            mark.reached_id, mark.reached_at = page[-1]
        mark.save()
    return len(page)


def _fingerprint(keywords: Iterable[Keyword]) -> str:
    """Empty for no keywords: an account that never had any has nothing to match."""
    said = sorted([one.phrase, one.category, str(one.severity), str(one.match_mode)] for one in keywords)
    return hashlib.sha256(repr(said).encode()).hexdigest() if said else ""
