"""Fetches sound files from the addresses that platforms announced, if their host is one the account listed.

An address in an event is hostile until its host is found in the list: only listed hosts are asked, as `outgoing` asks,
each redirect included. A file is bounded in bytes and in time, and is what its content says.
"""

import base64
import datetime as dt
import logging
from typing import Any
from urllib.parse import SplitResult

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext_noop

from callcenter_site import outgoing
from callcenter_site.outgoing import OutgoingError
from calls import incoming, spool
from calls.models import AudioState, CallAudio, SoundKind, SoundSource
from calls.recordings import MISSING
from configuration.models import Account

log = logging.getLogger(__name__)

LEASE = dt.timedelta(minutes=15)
WAITS = (10, 30, 60, 300, 900, 3600, 7200, 14400, 21600, 36000)
"""Seconds from one attempt to the next, a day in all; the last one that fails is the end of it."""

NOT_LISTED = gettext_noop("its host is not among the sources of recordings")
NOT_TLS = gettext_noop("its address is without TLS, which its source does not allow")
TOO_LARGE = gettext_noop("the file is too large")
NOT_TAKEN = gettext_noop("the file was not taken: %(reason)s")
ERRORS = (NOT_LISTED, NOT_TLS, TOO_LARGE, NOT_TAKEN, incoming.OTHER_FILE, *outgoing.ERRORS)


# --- What is due -----------------------------------------------------------------------------------------------------


def fetch_due(*, at: dt.datetime, limit: int = 20) -> int:
    """Fetches announced files whose time has come, the longest waiting first; how many came."""
    n_fetched = 0
    for kind, model in incoming.MODELS.items():
        due = model.objects.filter(state__in=MISSING, retry_at__lte=at).order_by("retry_at")
        for row in list(due.select_related("account", "call")[:limit]):
            claimed = model.objects.filter(pk=row.pk, state__in=MISSING, retry_at=row.retry_at)
            # The lease is also what is left where this process dies: the row is due again then.
            if claimed.update(retry_at=at + LEASE) == 1:
                n_fetched += _fetch_row(kind, row, at=at)
    return n_fetched


def _fetch_row(kind: str, row: CallAudio, *, at: dt.datetime) -> bool:
    rows = type(row)._default_manager.filter(pk=row.pk, state__in=MISSING)
    try:
        with spool.coming_in() as part:
            download(row.reference, account=row.account, part=part)
            incoming.take(
                account=row.account,
                kind=SoundKind(kind),
                call_id=row.call.call_id,
                part=part,
                at=at,
                reference=row.reference,
                recorded_at=row.recorded_at,
                duration_seconds=row.duration_seconds,
            )
    except (spool.SpoolFull, incoming.TooManyWaiting):
        rows.update(retry_at=at + dt.timedelta(minutes=1))  # nobody's fault but ours: it does not count as an attempt
        return False
    except incoming.OtherFileStored:
        error = OutgoingError(incoming.OTHER_FILE, is_final=True)
    except ValidationError as refused:
        error = OutgoingError(NOT_TAKEN % {"reason": " ".join(refused.messages)})
    except OutgoingError as failed:
        error = failed
    else:
        rows.update(retry_at=None, error="")  # stored, or in the spool, from where it goes on by itself
        return True
    _put_off(rows, row, error, at)
    return False


def _put_off(rows: Any, row: CallAudio, error: OutgoingError, at: dt.datetime) -> None:
    log.info("sound file %s of kind %s was not fetched, attempt %d", row.pk, row._meta.model_name, row.attempts + 1)
    reason = error.reason[:200]
    if error.is_final or row.attempts >= len(WAITS):
        rows.update(state=AudioState.FAILED, retry_at=None, error=reason, attempts=row.attempts + 1)
    else:
        wait = dt.timedelta(seconds=WAITS[row.attempts])
        rows.update(retry_at=at + wait, error=reason, attempts=row.attempts + 1)


def try_again(*, account: Account | int, host: str, at: dt.datetime) -> int:
    """Lets the files of a host be asked for anew, after it was listed or its credential changed; how many."""
    addresses = Q(reference__startswith=f"https://{host}/") | Q(reference__startswith=f"http://{host}/")
    return sum(
        model.objects.for_account(account)
        .filter(addresses, state__in=MISSING)
        .update(state=AudioState.EXPECTED, attempts=0, retry_at=at, error="")
        for model in incoming.MODELS.values()
    )


# --- One file --------------------------------------------------------------------------------------------------------


def download(address: str, *, account: Account, part: spool.Part) -> None:
    """Writes what an address gives into the spool. Raises `OutgoingError`."""
    sources = {source.host: source for source in SoundSource.objects.for_account(account).filter(is_active=True)}

    def write(chunk: bytes) -> None:
        try:
            part.write(chunk)
        except spool.TooLarge as error:
            raise OutgoingError(TOO_LARGE, is_final=True) from error

    outgoing.download(address, headers_for=lambda place: _headers(_source_of(place, sources)), write=write)


def _source_of(place: SplitResult, sources: dict[str, SoundSource]) -> SoundSource:
    is_usual = place.port in (None, 443 if place.scheme == "https" else 80)
    source = sources.get(str(place.hostname) if is_usual else f"{place.hostname}:{place.port}")
    if source is None:
        raise OutgoingError(NOT_LISTED, is_final=True)
    if place.scheme == "http" and not source.allows_http:
        raise OutgoingError(NOT_TLS, is_final=True)
    return source


def _headers(source: SoundSource) -> dict[str, str]:
    headers = {"Accept": "audio/*, application/octet-stream;q=0.8"}
    if source.secret:
        whole = base64.b64encode(f"{source.user_name}:{source.secret}".encode()).decode()
        headers["Authorization"] = f"Basic {whole}" if source.user_name else f"Bearer {source.secret}"
    return headers
