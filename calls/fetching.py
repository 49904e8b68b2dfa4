"""Fetches sound files from the addresses that platforms announced, if their host is one the account listed.

What must never happen: an address in an event makes the portal ask something inside its own network. So a host is
resolved once, every address it has must be public, the connection goes to one of those and nowhere else, and each
redirect is looked at in the same way. A file is bounded in bytes and in time, and is what its content says.
"""

import base64
import datetime as dt
import ipaddress
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext_noop
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from calls import incoming, spool
from calls.models import AudioState, CallAudio, SoundKind, SoundSource
from calls.recordings import MISSING
from configuration.models import Account

log = logging.getLogger(__name__)

LEASE = dt.timedelta(minutes=15)
MOST_SECONDS = 600
CONNECT_SECONDS, READ_SECONDS = 5, 20
MOST_REDIRECTS = 3
WAITS = (10, 30, 60, 300, 900, 3600, 7200, 14400, 21600, 36000)
"""Seconds from one attempt to the next, a day in all; the last one that fails is the end of it."""

NOT_LISTED = gettext_noop("its host is not among the sources of recordings")
NOT_TLS = gettext_noop("its address is without TLS, which its source does not allow")
PRIVATE = gettext_noop("its host lies in a private network")
NO_SUCH_HOST = gettext_noop("its host has no address")
NO_CONNECTION = gettext_noop("its host does not answer")
BAD_CERTIFICATE = gettext_noop("the certificate of its host is not valid")
REFUSED = gettext_noop("its host answered %(status)s")
TOO_MANY_REDIRECTS = gettext_noop("its host sends from one address to the next")
TOO_LARGE = gettext_noop("the file is too large")
TOO_SLOW = gettext_noop("the file came too slowly")
BROKEN_OFF = gettext_noop("the file was cut off on its way")
NO_ADDRESS = gettext_noop("its reference is no address that can be asked")
NOT_TAKEN = gettext_noop("the file was not taken: %(reason)s")
ERRORS = (
    NOT_LISTED,
    NOT_TLS,
    PRIVATE,
    NO_SUCH_HOST,
    NO_CONNECTION,
    BAD_CERTIFICATE,
    REFUSED,
    TOO_MANY_REDIRECTS,
    TOO_LARGE,
    TOO_SLOW,
    BROKEN_OFF,
    NO_ADDRESS,
    NOT_TAKEN,
    incoming.OTHER_FILE,
)


class FetchError(Exception):
    """Why a file could not be fetched. `is_final`: trying again would not help until somebody changes something."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final


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
        error = FetchError(incoming.OTHER_FILE, is_final=True)
    except ValidationError as refused:
        error = FetchError(NOT_TAKEN % {"reason": " ".join(refused.messages)})
    except FetchError as failed:
        error = failed
    else:
        rows.update(retry_at=None, error="")  # stored, or in the spool, from where it goes on by itself
        return True
    _put_off(rows, row, error, at)
    return False


def _put_off(rows: Any, row: CallAudio, error: FetchError, at: dt.datetime) -> None:
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
    """Writes what an address gives into the spool. Raises `FetchError`."""
    until = time.monotonic() + MOST_SECONDS
    sources = {source.host: source for source in SoundSource.objects.for_account(account).filter(is_active=True)}
    with _pool() as pool:
        for _hop in range(MOST_REDIRECTS + 1):
            place, source = _allowed(address, sources)
            try:
                answer = _ask(pool, address, place, source)
                if answer.status in (301, 302, 303, 307, 308) and (target := answer.headers.get("Location")):
                    answer.close()
                    address = urljoin(address, target)
                    continue
                if answer.status != 200:
                    raise FetchError(REFUSED % {"status": answer.status})
                _take_in(answer, part, until)
            except urllib3.exceptions.HTTPError as error:
                raise _in_words(error) from error
            return
    raise FetchError(TOO_MANY_REDIRECTS)


def _allowed(address: str, sources: dict[str, SoundSource]) -> tuple[SplitResult, SoundSource]:
    try:
        place = urlsplit(address)
        port = place.port
    except ValueError as error:
        raise FetchError(NO_ADDRESS, is_final=True) from error
    if place.scheme not in ("https", "http") or not place.hostname or "@" in place.netloc or not address.isprintable():
        raise FetchError(NO_ADDRESS, is_final=True)
    named = place.hostname if port in (None, 443 if place.scheme == "https" else 80) else f"{place.hostname}:{port}"
    source = sources.get(named)
    if source is None:
        raise FetchError(NOT_LISTED, is_final=True)
    if place.scheme == "http" and not source.allows_http:
        raise FetchError(NOT_TLS, is_final=True)
    return place, source


def _ask(pool: urllib3.PoolManager, address: str, place: SplitResult, source: SoundSource) -> Any:
    headers = {
        "Accept": "audio/*, application/octet-stream;q=0.8",
        "Accept-Encoding": "identity",
        "User-Agent": "callcenter-portal",
    }
    if source.secret:  # goes to its own host alone: it is looked up anew for each redirect
        whole = base64.b64encode(f"{source.user_name}:{source.secret}".encode()).decode()
        headers["Authorization"] = f"Basic {whole}" if source.user_name else f"Bearer {source.secret}"
    return pool.request(
        "GET",
        address,
        headers=headers,
        redirect=False,
        retries=False,
        preload_content=False,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
    )


def _take_in(answer: Any, part: spool.Part, until: float) -> None:
    try:
        for chunk in answer.stream(spool.CHUNK, decode_content=False):
            if time.monotonic() > until:
                raise FetchError(TOO_SLOW)
            part.write(chunk)
    except spool.TooLarge as error:
        raise FetchError(TOO_LARGE, is_final=True) from error
    finally:
        answer.close()


def _in_words(error: Exception) -> FetchError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FetchError):
            return cause
        cause = cause.__cause__ or getattr(cause, "reason", None) if not isinstance(cause, socket.gaierror) else None
    if isinstance(error, urllib3.exceptions.SSLError):
        return FetchError(BAD_CERTIFICATE)
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return FetchError(TOO_SLOW)
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return FetchError(BROKEN_OFF)
    return FetchError(NO_CONNECTION)


# --- Only to public addresses ----------------------------------------------------------------------------------------


def _pool() -> urllib3.PoolManager:
    # No proxy of the environment is used: through one, the address would be resolved where nobody checks it.
    pool = urllib3.PoolManager(num_pools=4, maxsize=1)
    pool.pool_classes_by_scheme = {"http": _PublicHttpPool, "https": _PublicHttpsPool}
    return pool


class _Public:
    """Connects to the address that was checked, not to a name that could be resolved to another one in between."""

    def _new_conn(self) -> socket.socket:
        connection: Any = self
        last: OSError | None = None
        for address in public_addresses(connection._dns_host, connection.port):
            connection_socket = socket.socket(address[0], socket.SOCK_STREAM)
            try:
                connection_socket.settimeout(CONNECT_SECONDS)
                connection_socket.connect(address[1])
            except OSError as error:
                connection_socket.close()
                last = error
            else:
                connection_socket.settimeout(READ_SECONDS)
                return connection_socket
        raise urllib3.exceptions.NewConnectionError(connection, "no address answers") from last


class _PublicHttp(_Public, HTTPConnection):
    pass


class _PublicHttps(_Public, HTTPSConnection):
    pass


class _PublicHttpPool(HTTPConnectionPool):
    ConnectionCls = _PublicHttp


class _PublicHttpsPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHttps


def public_addresses(host: str, port: int) -> Iterator[tuple[socket.AddressFamily, Any]]:
    """Where a host may be reached. Raises `FetchError` where any of its addresses is not public: one that is half inside
    is not to be trusted at all."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(NO_SUCH_HOST) from error
    if not all(is_public(str(place[4][0])) for place in found):
        raise FetchError(PRIVATE, is_final=True)
    for place in found:
        yield place[0], place[4]


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether an address belongs to the world: no private, local or reserved range, nor one of those inside another; or
    whether it lies in a network that the operator opened."""
    address: Any = ipaddress.ip_address(text.partition("%")[0])
    if any(address in ipaddress.ip_network(network) for network in settings.FETCH_NETWORKS):
        return True
    if isinstance(address, ipaddress.IPv6Address):
        inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64 or int(address) >> 32 == 0:
            inside.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if any(one is not None and not is_public(str(one)) for one in inside):
            return False
        if address.ipv4_mapped is not None:
            return True
        if address.is_site_local:
            return False
    return bool(address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified))
