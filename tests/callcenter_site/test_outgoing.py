"""Requests to addresses that others wrote down: never into the inside, and never without end."""

import http.server
import socket
import threading
import time

import pytest

from callcenter_site import outgoing
from callcenter_site.outgoing import OutgoingError, is_public, post


class Host(http.server.ThreadingHTTPServer):
    def __init__(self):
        self.status, self.headers, self.asked = 204, {}, []
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                host.asked.append((self.path, dict(self.headers), body))
                self.send_response(host.status)
                for name, value in host.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.server_port}{path}"


@pytest.fixture
def host(settings):
    settings.FETCH_NETWORKS = ["127.0.0.0/8"]
    server = Host()
    yield server
    server.shutdown()
    server.server_close()


def sent(address, **options):
    return post(address, body=b"{}", headers={"Content-Type": "application/json"}, **options)


def refusal(address, **options):
    with pytest.raises(OutgoingError) as caught:
        sent(address, **options)
    return caught.value.reason, caught.value.is_final


@pytest.mark.parametrize("status", [204, 200, 410, 500])
def test_the_status_that_was_answered_is_told(host, status):
    host.status = status
    assert sent(host.url("/in"), allows_http=True) == status
    [(path, headers, body)] = host.asked
    assert (path, body, headers["Content-Type"]) == ("/in", b"{}", "application/json")


def test_a_redirect_of_what_was_posted_is_not_followed(host):
    host.status, host.headers = 307, {"Location": host.url("/other")}
    assert sent(host.url(), allows_http=True) == 307
    assert [path for path, _headers, _body in host.asked] == ["/"]


def test_nothing_is_posted_without_tls_unless_it_is_said(host):
    assert refusal(host.url()) == (outgoing.NOT_TLS, True) and not host.asked


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "169.254.169.254"])
def test_nothing_inside_is_asked_whatever_it_is_called(host, settings, name):
    settings.FETCH_NETWORKS = []
    reason, _is_final = refusal(f"http://{name}:{host.server_port}/", allows_http=True)
    assert reason in (outgoing.PRIVATE, outgoing.NO_SUCH_HOST) and not host.asked


def test_a_host_of_a_public_and_a_private_address_is_not_asked(settings, monkeypatch):
    settings.FETCH_NETWORKS = []
    found = [(2, 1, 6, "", ("8.8.8.8", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr("callcenter_site.outgoing.socket.getaddrinfo", lambda *args, **kwargs: found)
    assert refusal("https://hooks.example.com/") == (outgoing.PRIVATE, True)


@pytest.mark.parametrize("address", ["https://u:p@example.com/", "ftp://example.com/", "https://x:99999/", "https://a b/", "x"])
def test_what_is_no_address_is_not_asked(address):
    assert refusal(address) == (outgoing.NO_ADDRESS, True)


def test_a_host_that_sends_a_byte_now_and_then_is_not_listened_to_for_ever(settings, monkeypatch):
    settings.FETCH_NETWORKS = ["127.0.0.0/8"]
    monkeypatch.setattr("callcenter_site.outgoing.POST_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=[server], daemon=True).start()
        began = time.monotonic()
        assert refusal(f"http://127.0.0.1:{server.getsockname()[1]}/", allows_http=True) == (outgoing.TOO_SLOW, False)
    assert time.monotonic() - began < 25


def drip(server):
    connection, _address = server.accept()
    with connection:
        try:
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        except OSError:  # the other side went away, as it should
            pass


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "fec0::1",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_and_reserved_addresses_are_none_of_ours(settings, address):
    settings.FETCH_NETWORKS = []
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "119.28.28.28", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_asked(settings, address):
    settings.FETCH_NETWORKS = []
    assert is_public(address)
