"""Requests that the portal sends out to addresses which somebody else wrote down.

What must never happen: such an address makes the portal ask something inside its own network. So a host is resolved
once, every address it has must be public, the connection goes to one of those and nowhere else, and each redirect is
looked at in the same way. Every request is bounded in bytes and in time as a whole, however slowly the other side talks.
"""

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3
from django.conf import settings
from django.utils.translation import gettext_noop
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

CONNECT_SECONDS, READ_SECONDS = 5, 20
DOWNLOAD_SECONDS, POST_SECONDS = 600, 15
MOST_REDIRECTS = 3
CHUNK = 64 * 1024
USER_AGENT = "callcenter-portal"

NOT_TLS = gettext_noop("its address is without TLS")
PRIVATE = gettext_noop("its host lies in a private network")
NO_SUCH_HOST = gettext_noop("its host has no address")
NO_CONNECTION = gettext_noop("its host does not answer")
BAD_CERTIFICATE = gettext_noop("the certificate of its host is not valid")
REFUSED = gettext_noop("its host answered %(status)s")
TOO_MANY_REDIRECTS = gettext_noop("its host sends from one address to the next")
TOO_SLOW = gettext_noop("its host answered too slowly")
BROKEN_OFF = gettext_noop("the connection was cut off")
NO_ADDRESS = gettext_noop("its reference is no address that can be asked")
ERRORS = (
    NOT_TLS,
    PRIVATE,
    NO_SUCH_HOST,
    NO_CONNECTION,
    BAD_CERTIFICATE,
    REFUSED,
    TOO_MANY_REDIRECTS,
    TOO_SLOW,
    BROKEN_OFF,
    NO_ADDRESS,
)


class OutgoingError(Exception):
    """Why an address could not be asked. `is_final`: trying again would not help until somebody changes something."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final


def download(address: str, *, headers_for: Callable[[SplitResult], Mapping[str, str]], write: Callable[[bytes], object]) -> None:
    """Writes what an address gives. `headers_for` is asked about the address and about each it redirects to, and raises
    `OutgoingError` where that one may not be asked: a credential goes to its own host alone."""
    with _time_limit(DOWNLOAD_SECONDS) as until, _pool() as pool:
        for _hop in range(MOST_REDIRECTS + 1):
            headers = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **headers_for(read_address(address))}
            with _in_words(until):
                answer: Any = _ask(pool, "GET", address, headers)
                if answer.status in (301, 302, 303, 307, 308) and (target := answer.headers.get("Location")):
                    answer.close()
                    address = urljoin(address, target)
                    continue
                if answer.status != 200:
                    raise OutgoingError(REFUSED % {"status": answer.status})
                try:
                    for chunk in answer.stream(CHUNK, decode_content=False):
                        if time.monotonic() > until:
                            raise OutgoingError(TOO_SLOW)
                        write(chunk)
                finally:
                    answer.close()
            return
    raise OutgoingError(TOO_MANY_REDIRECTS)


def post(address: str, *, body: bytes, headers: Mapping[str, str], allows_http: bool = False) -> int:
    """Sends a body and gives the status that was answered. A redirect is an answer like any other: nobody is followed with
    what was meant for one address. Raises `OutgoingError` where there was no answer."""
    if read_address(address).scheme == "http" and not allows_http:
        raise OutgoingError(NOT_TLS, is_final=True)
    with _time_limit(POST_SECONDS) as until, _pool() as pool, _in_words(until):
        answer: Any = _ask(pool, "POST", address, {"User-Agent": USER_AGENT, **headers}, body)
        answer.close()  # nothing it says is read: it could be endless
        return int(answer.status)


def read_address(address: str) -> SplitResult:
    """The parts of an address that may be asked at all. Raises `OutgoingError`."""
    try:
        place = urlsplit(address)
        _port = place.port  # raises where it is no number
    except ValueError as error:
        raise OutgoingError(NO_ADDRESS, is_final=True) from error
    if place.scheme not in ("https", "http") or not place.hostname or "@" in place.netloc or not address.isprintable():
        raise OutgoingError(NO_ADDRESS, is_final=True)
    return place


def _ask(pool: urllib3.PoolManager, method: str, address: str, headers: Mapping[str, str], body: bytes | None = None) -> Any:
    return pool.request(
        method,
        address,
        body=body,
        headers=headers,
        redirect=False,
        retries=False,
        preload_content=False,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
    )


@contextlib.contextmanager
def _in_words(until: float) -> Iterator[None]:
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _reason_of(error, is_late=time.monotonic() > until) from error


def _reason_of(error: Exception, *, is_late: bool) -> OutgoingError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OutgoingError):
            return cause
        # What the system itself says about a socket has a reason that is text.
        cause = None if isinstance(cause, OSError) else cause.__cause__ or getattr(cause, "reason", None)
    if isinstance(error, urllib3.exceptions.LocationValueError):
        return OutgoingError(NO_ADDRESS, is_final=True)
    if isinstance(error, urllib3.exceptions.SSLError):
        return OutgoingError(BAD_CERTIFICATE)
    if is_late or isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return OutgoingError(TOO_SLOW)
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return OutgoingError(BROKEN_OFF)
    return OutgoingError(NO_CONNECTION)


# --- Bounded in time -------------------------------------------------------------------------------------------------

_opened: ContextVar[list[Any]] = ContextVar("opened")


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[float]:
    """Cuts the connections off when the time is over. The timeout of a socket begins anew with every byte that comes, so
    a host that sends one now and then would otherwise be listened to for ever."""
    connections: list[Any] = []
    token = _opened.set(connections)
    timer = threading.Timer(seconds, _cut_off, [connections])
    timer.daemon = True
    timer.start()
    try:
        yield time.monotonic() + seconds
    finally:
        timer.cancel()
        _opened.reset(token)


def _cut_off(connections: list[Any]) -> None:
    for connection in list(connections):
        with contextlib.suppress(OSError, AttributeError):  # closed meanwhile
            connection.sock.shutdown(socket.SHUT_RDWR)


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
                _opened.get().append(connection)
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
    """Where a host may be reached. Raises `OutgoingError` where any of its addresses is not public: one that is half inside
    is not to be trusted at all."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OutgoingError(NO_SUCH_HOST) from error
    if not all(is_public(str(place[4][0])) for place in found):
        raise OutgoingError(PRIVATE, is_final=True)
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
