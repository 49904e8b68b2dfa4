"""`/metrics`: closed by default, added up over processes, and nobody in it."""

import datetime as dt
import ipaddress
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as portal
from django.db import OperationalError
from django.urls import resolve
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from analytics.models import FillMark
from callcenter_site import prometheus
from calls.ingest import accept_events, fold_due
from calls.models import StaleCallSlot
from retention.models import BackupRun, DeletionRequest, FileDeletion, PurgeRun
from tests.factories import AccountFactory, AgentFactory, CallFactory

HERE = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
"""Where the process of the tests counts."""
LOOPBACK = [ipaddress.ip_network("127.0.0.1")]

COUNTS = """
import sys
import django
django.setup()
from callcenter_site.prometheus import REQUESTS, REQUEST_SECONDS, WATCHERS
REQUESTS.labels("/test", "GET", 200).inc(int(sys.argv[1]))
REQUEST_SECONDS.labels("/test", "GET").observe(0.04)
WATCHERS.labels("test").inc(int(sys.argv[1]))
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, settings, monkeypatch):
    settings.METRICS_DIR = tmp_path / "metrics"
    settings.METRICS_DIR.mkdir()
    monkeypatch.setattr(prometheus, "_kept", (0.0, []))
    return settings.METRICS_DIR


@pytest.fixture
def opened(settings):
    settings.METRICS_NETWORKS = LOOPBACK


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text, name, **labels):
    return samples(text).get((name, *sorted(labels.items())))


def read(client):
    prometheus._kept = (0.0, [])
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return answer.content.decode()


# --- Who may read it -------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_it_does_not_exist_until_it_is_opened(client, settings):
    settings.METRICS_TOKEN, settings.METRICS_NETWORKS = "", []
    answer = client.get("/metrics")
    assert (answer.status_code, answer.content) == (404, b"Not Found\n")
    assert client.get("/metrics", headers={"authorization": "Bearer "}).status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "status"),
    [("Bearer secret-token", 200), ("Bearer secret-toke", 404), ("secret-token", 404), ("Bearer sécret", 404), ("", 404)],
)
def test_the_token_opens_it(client, settings, given, status):
    settings.METRICS_TOKEN, settings.METRICS_NETWORKS = "secret-token", []
    assert client.get("/metrics", headers={"authorization": given}).status_code == status


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "status"), [("10.20.0.7", 200), ("10.20.1.7", 404), ("fd00::7", 200), ("", 404), ("nonsense", 404)]
)
def test_an_address_of_the_networks_opens_it(client, settings, address, status):
    settings.METRICS_NETWORKS = [ipaddress.ip_network("10.20.0.0/24"), ipaddress.ip_network("fd00::/64")]
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == status


@pytest.mark.django_db
def test_it_is_only_read_and_needs_no_https(client, settings, opened):
    settings.SECURE_SSL_REDIRECT = True
    assert client.post("/metrics").status_code == 405
    assert client.get("/metrics").status_code == 200


# --- Requests --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_request_counts_by_its_route_which_holds_no_value(client, opened, settings):
    settings.METRICS_DIR = HERE
    refused = {"route": f"/{resolve('/api/v1/calls/1/').route}", "method": "GET", "status": "401"}
    before = value(read(client), "portal_requests_total", **refused) or 0
    for _ in range(3):
        client.get("/api/v1/calls/13800138000/")
    client.get("/no/such/page/13800138000")
    client.generic("BREW", "/healthz")
    text = read(client)
    assert value(text, "portal_requests_total", **refused) >= before + 3
    assert value(text, "portal_requests_total", route="none", method="GET", status="404")
    assert value(text, "portal_requests_total", route="/healthz", method="other", status="200")
    assert "13800138000" not in text and "BREW" not in text
    assert value(text, "portal_request_seconds_bucket", route="/healthz", method="other", le="0.3")


@pytest.mark.django_db
def test_static_files_are_not_counted(client, opened, settings):
    settings.METRICS_DIR = HERE
    client.get("/static/callcenter_site/portal.css")
    assert "/static/" not in read(client)


# --- Several processes -----------------------------------------------------------------------------------------------


def counting(folder, n):
    process = subprocess.Popen(
        [sys.executable, "-c", COUNTS, str(n)],
        cwd=portal.BASE_DIR,
        env=os.environ | {"METRICS_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "callcenter_site.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "counted\n"
    return process


@pytest.mark.django_db
def test_processes_are_added_up_and_a_sum_never_falls_when_one_ends(client, opened, folder):
    first, second = counting(folder, 2), counting(folder, 3)
    try:
        text = read(client)
        asked = {"route": "/test", "method": "GET"}
        assert value(text, "portal_requests_total", status="200", **asked) == 5
        assert value(text, "portal_live_watchers", kind="test") == 5
        first.kill()
        first.wait()
        for _ in range(2):  # what an ended process counted is added up once
            text = read(client)
            assert value(text, "portal_requests_total", status="200", **asked) == 5
            assert value(text, "portal_request_seconds_count", **asked) == 2
            assert value(text, "portal_request_seconds_bucket", le="0.05", **asked) == 2
            assert value(text, "portal_live_watchers", kind="test") == 3  # its pages went with it
        second.communicate("")
        text = read(client)
        assert value(text, "portal_requests_total", status="200", **asked) == 5
        assert not value(text, "portal_live_watchers", kind="test")
        assert {path.name for path in folder.glob("*.db")} == {
            f"{kind}_{prometheus.HOST}-ended.db" for kind in ("counter", "histogram")
        }
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


def test_a_process_of_another_machine_is_left_alone_until_it_is_long_silent(folder):
    there = folder / "counter_elsewhere-1.db"
    there.write_bytes(b"")
    prometheus.fold_ended(folder)
    assert there.exists()
    past = timezone.now().timestamp() - 25 * 3600
    os.utime(there, (past, past))
    prometheus.fold_ended(folder)  # it is not even whole
    assert not there.exists()
    gauge = folder / "gauge_livesum_elsewhere-1.db"
    gauge.write_bytes(b"")
    os.utime(gauge, (past, past))
    prometheus.fold_ended(folder)
    assert not gauge.exists()


# --- What the database says ------------------------------------------------------------------------------------------


def event(n, **more):
    return {
        "specversion": "1.0",
        "id": f"e{n}",
        "source": "test",
        "type": "call.started",
        "subject": f"c{n}",
        "time": timezone.now().isoformat(),
        "data": {"direction": "inbound", "calling_number": "+8613800138000", "called_number": "+862088886666"},
    } | more


@pytest.mark.django_db
def test_events_are_counted_on_their_way_into_records(client, opened, settings, account):
    settings.METRICS_DIR = HERE
    text = read(client)
    before = {answer: value(text, "portal_events_total", answer=answer) or 0 for answer in ("accepted", "duplicate", "rejected")}
    folded = value(text, "portal_folded_events_total", of="calls") or 0
    lags = value(text, "portal_fold_lag_seconds_count", of="calls") or 0
    at = timezone.now() - dt.timedelta(seconds=90)
    first = event(1)
    accept_events(account=account, items=[first, event(2), first, {"id": "bad"}], at=at)
    text = read(client)
    assert value(text, "portal_inbox_events") == 2
    assert 90 <= value(text, "portal_inbox_oldest_seconds") < 120
    after = {answer: value(text, "portal_events_total", answer=answer) for answer in before}
    # At least: the suite's other process counts into the same folder.
    assert all(after[answer] >= before[answer] + n for answer, n in (("accepted", 2), ("duplicate", 1), ("rejected", 1)))
    fold_due(at=timezone.now())
    text = read(client)
    assert value(text, "portal_inbox_events") == value(text, "portal_inbox_oldest_seconds") == 0
    assert value(text, "portal_folded_events_total", of="calls") >= folded + 2
    assert value(text, "portal_fold_lag_seconds_count", of="calls") >= lags + 1  # they came together
    assert "+8613800138000" not in text and "13800138000" not in text


@pytest.mark.django_db
def test_promises_are_told_by_the_account_that_is_worst_off(client, opened):
    now = timezone.now()
    hours = dt.timedelta(hours=1)
    late, fresh, closed = (AccountFactory(created_at=now - 90 * hours) for _ in range(3))
    closed.terminated_at = now
    closed.save()
    for account, ago in ((late, 50), (fresh, 2)):
        times = {"started_at": now - ago * hours, "heartbeat_at": now - ago * hours, "finished_at": now - ago * hours}
        BackupRun.objects.create(account=account, day=now.date(), state=BackupRun.State.DONE, **times)
        PurgeRun.objects.create(account=account, state=PurgeRun.State.DONE, **times)
    waits = PurgeRun.objects.create(account=late, state=PurgeRun.State.WAITING, n_due=700, counts={"calls": 200, "sealed": 9})
    PurgeRun.objects.create(account=fresh, state=PurgeRun.State.FAILED, started_at=now - 5 * hours)
    PurgeRun.objects.create(account=fresh, state=PurgeRun.State.DONE, finished_at=now - hours)
    FileDeletion.objects.create(
        account=late, key="a", key_hash=b"a" * 32, cause="purge:1", state="blocked", put_at=now - 3 * hours, due_at=now
    )
    DeletionRequest.objects.create(account=late, kind="number", due_at=now - hours, state=DeletionRequest.State.SCOPED)
    DeletionRequest.objects.create(account=late, kind="number", due_at=now - hours, state=DeletionRequest.State.COMPLETED)
    DeletionRequest.objects.create(account=fresh, kind="number", due_at=now + 48 * hours)
    text = read(client)
    assert value(text, "portal_backup_oldest_seconds") == pytest.approx(50 * 3600, abs=60)
    assert value(text, "portal_purge_oldest_success_seconds") == pytest.approx(50 * 3600, abs=60)
    assert value(text, "portal_purge_runs", state="waiting") == 1
    assert value(text, "portal_purge_runs", state="failed") == 0  # made up for since
    assert (value(text, "portal_purge_calls_due"), value(text, "portal_purge_rows_deleted")) == (700, waits.n_deleted)
    assert value(text, "portal_files_to_delete", state="blocked") == 1
    assert value(text, "portal_files_to_delete_oldest_seconds") == pytest.approx(3 * 3600, abs=60)
    assert value(text, "portal_deletion_requests_open") == 2
    assert value(text, "portal_deletion_requests_overdue") == 1
    assert value(text, "portal_deletion_requests_due_seconds") == pytest.approx(-3600, abs=60)


@pytest.mark.django_db
def test_counts_are_as_old_as_those_of_the_account_furthest_behind(client, opened, account):
    now = timezone.now()
    other = AccountFactory()
    for one, ago in ((account, 40), (other, 400)):
        FillMark.objects.create(account=one, filled_at=now - dt.timedelta(seconds=ago))
    assert value(read(client), "portal_rollup_lag_seconds") == 0  # nothing is marked
    StaleCallSlot.objects.create(account=account, slot=now)
    text = read(client)
    assert value(text, "portal_rollup_lag_seconds") == pytest.approx(40, abs=20)
    assert value(text, "portal_rollup_marks") == 1


@pytest.mark.django_db
def test_a_part_that_cannot_be_read_is_named_and_hides_no_other(client, opened, monkeypatch):
    def lost():
        raise OperationalError("gone away")

    monkeypatch.setattr("retention.gauges.gauges", lost)
    text = read(client)
    assert value(text, "portal_unread", part="retention.gauges.gauges") == 1
    assert value(text, "portal_unread", part="calls.gauges.gauges") == 0
    assert value(text, "portal_inbox_events") == 0


@pytest.mark.django_db
def test_nobody_is_in_it(client, opened, settings):
    settings.METRICS_DIR = HERE
    account = AccountFactory(name="Kanari Ltd", slug="kanari-ltd")
    AgentFactory(account=account, name="Wang Fang", email="wang.fang@example.com", staff_id="staff-4711")
    CallFactory(account=account, calling_number="+8613800138000")
    client.get("/admin/agents/agent/?q=wang.fang@example.com")
    client.get("/admin/agents/agent/staff-4711/change/")
    text = read(client)
    for personal in ("Kanari", "kanari", "Wang", "wang.fang", "staff-4711", "13800138000"):
        assert personal not in text


@pytest.mark.django_db
def test_reading_asks_the_database_little(client, opened, django_assert_max_num_queries):
    for _ in range(5):
        FillMark.objects.create(account=AccountFactory())
    with django_assert_max_num_queries(32):
        read(client)
