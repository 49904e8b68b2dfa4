"""Files are fetched from hosts the account listed, from public addresses, in time; or it is said why not."""

import datetime as dt
import http.server
import threading

import pytest
from django.utils import timezone

from callcenter_site import outgoing
from calls import fetching, spool
from calls.fetching import WAITS, fetch_due
from calls.models import AudioState, Recording, SoundSource
from tests.calls.sounds import WAV
from tests.factories import CallFactory, RecordingFactory

pytestmark = pytest.mark.django_db


class Host(http.server.ThreadingHTTPServer):
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self):
        self.answers: dict = {}
        self.asked: list = []
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host.asked.append((self.path, dict(self.headers)))
                status, headers, body = host.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.name = f"127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://{self.name}{path}"


@pytest.fixture
def host():
    server = Host()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def set_up(settings, tmp_path):
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.FETCH_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def source(account, host):
    return SoundSource.objects.create(account=account, host=host.name, allows_http=True)


def announced(account, reference, **fields):
    fields = {"state": AudioState.EXPECTED, "key": "", "duration_seconds": None, "retry_at": timezone.now()} | fields
    return RecordingFactory(call=CallFactory(account=account), reference=reference, **fields)


def now():
    return timezone.now() + dt.timedelta(seconds=1)


def test_an_announced_file_is_fetched_into_its_row(account, host, source):
    host.answers["/a.wav?x=1"] = (200, {}, WAV)
    row = announced(account, host.url("/a.wav?x=1"))
    assert fetch_due(at=now()) == 1 and fetch_due(at=now()) == 0
    row.refresh_from_db()
    assert (row.state, row.n_bytes, row.duration_seconds, row.retry_at, row.error) == (AudioState.STORED, len(WAV), 0.5, None, "")
    assert len(host.asked) == 1 and "Authorization" not in host.asked[0][1] and not list(spool._folder().glob("*"))


@pytest.mark.parametrize(("user_name", "sent"), [("u", "Basic dTpwdw=="), ("", "Bearer pw")])
def test_the_sources_credential_is_sent(account, host, source, user_name, sent):
    SoundSource.objects.all().delete()
    SoundSource.objects.create(account=account, host=host.name, allows_http=True, user_name=user_name, secret="pw")
    announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    assert host.asked[0][1]["Authorization"] == sent


def failed(row):
    row.refresh_from_db()
    return row.state, row.retry_at is None, row.error


@pytest.mark.parametrize("change", [{"is_active": False}, {"host": "other.example.com"}])
def test_only_listed_hosts_are_asked(account, host, source, change):
    SoundSource.objects.update(**change)
    row = announced(account, host.url("/a.wav"))
    assert fetch_due(at=now()) == 0
    assert failed(row) == (AudioState.FAILED, True, fetching.NOT_LISTED) and not host.asked


def test_another_accounts_source_lists_nothing(account, host):
    SoundSource.objects.create(account=CallFactory().account, host=host.name, allows_http=True)
    row = announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    assert failed(row)[2] == fetching.NOT_LISTED and not host.asked


def test_without_tls_only_where_the_source_says_so(account, host, source):
    SoundSource.objects.update(allows_http=False)
    row = announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    assert failed(row)[2] == fetching.NOT_TLS and not host.asked


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1"])
def test_nothing_inside_is_asked_whatever_it_is_called(account, host, settings, name):
    settings.FETCH_NETWORKS = []
    SoundSource.objects.create(account=account, host=f"{name.strip('[]')}:{host.server_port}", allows_http=True)
    row = announced(account, f"http://{name}:{host.server_port}/a.wav")
    fetch_due(at=now())
    assert row.error in ("",) and failed(row)[0] in (AudioState.FAILED, AudioState.EXPECTED)
    assert failed(row)[2] in (outgoing.PRIVATE, fetching.NOT_LISTED, outgoing.NO_SUCH_HOST) and not host.asked


def test_a_host_of_a_public_and_a_private_address_is_not_asked(account, host, settings, monkeypatch):
    settings.FETCH_NETWORKS = []
    SoundSource.objects.create(account=account, host="files.example.com", allows_http=True)
    found = [(2, 1, 6, "", ("8.8.8.8", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr("callcenter_site.outgoing.socket.getaddrinfo", lambda *args, **kwargs: found)
    row = announced(account, "http://files.example.com/a.wav")
    fetch_due(at=now())
    assert failed(row) == (AudioState.FAILED, True, outgoing.PRIVATE)


def test_a_redirect_is_followed_to_listed_hosts_only(account, host, source):
    host.answers["/a.wav"] = (302, {"Location": "/b.wav"}, b"")
    host.answers["/b.wav"] = (200, {}, WAV)
    assert announced(account, host.url("/a.wav")) and fetch_due(at=now()) == 1
    host.answers["/c.wav"] = (302, {"Location": "http://169.254.169.254/latest/meta-data"}, b"")
    row = announced(account, host.url("/c.wav"))
    fetch_due(at=now())
    assert failed(row)[2] == fetching.NOT_LISTED


def test_a_redirect_into_the_inside_is_not_followed(account, host, source, settings):
    settings.FETCH_NETWORKS = ["127.0.0.1/32"]
    SoundSource.objects.create(account=account, host="127.0.0.2", allows_http=True)
    host.answers["/a.wav"] = (302, {"Location": "http://127.0.0.2/b.wav"}, b"")
    row = announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    assert failed(row) == (AudioState.FAILED, True, outgoing.PRIVATE)


def test_a_circle_of_redirects_ends(account, host, source):
    host.answers["/a.wav"] = (302, {"Location": "/a.wav"}, b"")
    row = announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    assert failed(row)[2] == outgoing.TOO_MANY_REDIRECTS and len(host.asked) == 4


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((503, {}, b""), "its host answered 503"),
        ((200, {}, b"<html>"), "the file was not taken: This is not a WAV, MP3, OGG or M4A sound file, whatever its name says."),
        ((200, {}, WAV[:-10]), "the file was not taken: The file is cut off: it says that it goes on where it ends."),
        ((200, {"Content-Length": str(len(WAV) + 5)}, WAV), outgoing.BROKEN_OFF),
    ],
)
def test_what_may_yet_come_is_asked_again_for_a_day_and_then_given_up(account, host, source, answer, reason):
    host.answers["/a.wav"] = answer
    row, at = announced(account, host.url("/a.wav")), now()
    # The host hangs up where it says there is more: it closes at the end of its answer.
    for wait in WAITS:
        fetch_due(at=at)
        row.refresh_from_db()
        assert (row.state, row.error, row.retry_at) == (AudioState.EXPECTED, reason, at + dt.timedelta(seconds=wait))
        at = row.retry_at
    fetch_due(at=at)
    assert failed(row) == (AudioState.FAILED, True, reason)
    assert dt.timedelta(hours=22) < at - now() <= dt.timedelta(hours=24)


def test_nobody_answering_is_tried_again(account, host, source):
    host.shutdown()
    host.server_close()
    row = announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    assert failed(row) == (AudioState.EXPECTED, False, outgoing.NO_CONNECTION)


def test_a_file_without_end_is_given_up(account, host, source, monkeypatch):
    monkeypatch.setattr("calls.spool.MAX_BYTES", len(WAV) - 1)
    host.answers["/a.wav"] = (200, {}, WAV)
    row = announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    assert failed(row) == (AudioState.FAILED, True, fetching.TOO_LARGE)


def test_a_file_that_comes_too_slowly_is_left(account, host, source, monkeypatch):
    monkeypatch.setattr("callcenter_site.outgoing.DOWNLOAD_SECONDS", -1)
    host.answers["/a.wav"] = (200, {}, WAV)
    row = announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    assert failed(row)[2] == outgoing.TOO_SLOW


def test_a_full_spool_costs_no_attempt(account, host, source, settings):
    settings.SPOOL_FILES = 0
    row = announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    row.refresh_from_db()
    assert (row.state, row.attempts, row.error) == (AudioState.EXPECTED, 0, "") and row.retry_at > now() and not host.asked


def test_a_source_listed_later_fetches_what_was_refused(account, host):
    row = announced(account, host.url("/a.wav"))
    fetch_due(at=now())
    host.answers["/a.wav"] = (200, {}, WAV)
    SoundSource.objects.create(account=account, host=host.name, allows_http=True)
    assert fetching.try_again(account=account, host=host.name, at=now()) == 1
    assert fetch_due(at=now()) == 1
    assert Recording.objects.get(pk=row.pk).state == AudioState.STORED


@pytest.mark.parametrize("reference", ["http://u:p@127.0.0.1/a", "https://[::1", "http://a b/", "https:///a", "http://x:99999/a"])
def test_what_is_no_address_is_not_asked(account, reference):
    row = announced(account, reference)
    fetch_due(at=now())
    assert failed(row)[0] == AudioState.FAILED and failed(row)[2] in (outgoing.NO_ADDRESS, fetching.NOT_LISTED)


def test_two_workers_ask_once(account, host, source):
    host.answers["/a.wav"] = (200, {}, WAV)
    row = announced(account, host.url("/a.wav"))
    at = now()
    Recording.objects.filter(pk=row.pk).update(retry_at=at + fetching.LEASE)  # the other has it
    assert fetch_due(at=at) == 0 and not host.asked
    assert fetch_due(at=at + fetching.LEASE) == 1  # and died
