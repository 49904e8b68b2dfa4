"""What `manage.py doctor` finds, on services that are set wrongly and on such as are well."""

import datetime as dt
import http.server
import io
import json
import socketserver
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import botocore.session
import pytest
import redis
from botocore.stub import Stubber
from celery import Celery
from celery.contrib.testing.worker import start_worker
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules
from django_celery_beat.models import PeriodicTask

from callcenter_site.doctor import database, jobs, machine, redis_server, store
from callcenter_site.doctor.findings import ERROR, NOT_IN_USE, OK, PARTS, WARNING, Examined, examine
from callcenter_site.jobs import know
from callcenter_site.models import JobState
from callcenter_site.schedule import TIMETABLE
from callcenter_site.timetable import sync_timetable
from calls.models import CallEvent, EventState
from configuration.models import Account
from tests import services
from tests.factories import AccountFactory

on_mysql = pytest.mark.skipif(connection.vendor != "mysql", reason="asks MySQL and MariaDB")


def states(*parts: str) -> dict[str, str]:
    autodiscover_modules("doctor")
    return {finding.name: finding.state for finding in examine(parts)}


def found_by(check, *arguments) -> dict[str, str]:
    examined = Examined("tried")
    check(examined, *arguments)
    return {finding.name: finding.state for finding in examined.findings}


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(end.code), out.getvalue()
    return 0, out.getvalue()


# --- The command -----------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_every_part_is_looked_at_and_every_fault_says_how_to_mend_it(settings):
    settings.PUBLIC_URL, settings.PUBLIC_URL_IS_SET = "https://127.0.0.1:1", True
    code, said = run("--json")
    told = json.loads(said)
    assert {finding["part"] for finding in told["findings"]} == set(PARTS)
    assert code == 1 and told["state"] == ERROR
    for finding in told["findings"]:
        assert finding["said"]
        assert bool(finding["mend"]) == (finding["state"] in (WARNING, ERROR)), finding


@pytest.mark.django_db
def test_the_exit_code_says_whether_something_is_wrong(settings, monkeypatch):
    assert run("--only", "machine")[0] == 0
    monkeypatch.setattr(machine, "INODES_FREE", 2.0)
    assert run("--only", "machine")[0] == 0
    assert run("--only", "machine", "--strict")[0] == 1
    settings.DISK_FREE_BYTES = 2**60
    code, said = run("--only", "machine")
    assert code == 1 and "WRONG" in said and "-> Make room" in said and "1 wrong" in said


@pytest.mark.django_db
def test_a_part_that_fails_does_not_keep_the_rest_from_being_looked_at(settings, monkeypatch):
    settings.VAR_DIR = settings.VAR_DIR / "is-not-there"
    code, said = run("--only", "machine", "--only", "database", "--json")
    found = json.loads(said)["findings"]
    assert code == 1
    assert {one["name"]: one["state"] for one in found if one["part"] == "machine"}["answers"] == ERROR
    assert any(one["part"] == "database" and one["name"] == "migrations" for one in found)


@pytest.mark.django_db
def test_no_password_stands_in_what_is_said(settings):
    settings.REDIS_URL = "redis://:sesame-open@127.0.0.1:1/0"
    settings.CELERY_BROKER_URL, settings.CELERY_EMBEDDED = "redis://:sesame-open@127.0.0.1:1/1", False
    settings.MAIL_IS_SET, settings.EMAIL_BACKEND = True, "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "ada@example.com", "sesame-open"
    code, said = run("--json", "--only", "cache", "--only", "queue", "--only", "mail")
    assert code == 1
    assert [one["name"] for one in json.loads(said)["findings"]] == ["answers"] * 3
    assert "sesame" not in said and "ada@" not in said


# --- The machine -----------------------------------------------------------------------------------------------------
def test_secrets_others_can_read_are_found(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    (tmp_path / "secrets").mkdir()
    key = tmp_path / "secrets" / "secret_key"
    key.write_text("x")
    key.chmod(0o600)
    assert "secrets" not in found_by(machine.check_folder)
    key.chmod(0o640)
    assert found_by(machine.check_folder)["secrets"] == ERROR


@pytest.mark.parametrize(("answer", "expected"), [("yes", OK), ("no", WARNING), ("", NOT_IN_USE)])
def test_a_clock_nobody_keeps_is_found(monkeypatch, answer, expected):
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(machine.subprocess, "run", lambda *a, **k: SimpleNamespace(stdout=answer + "\n"))
    assert found_by(machine.check_clock) == {"clock": expected}


# --- The database ----------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_the_database_of_the_tests_is_well_but_for_what_makes_it_quick():
    found = states("database")
    wrong = {name for name, state in found.items() if state == ERROR}
    # The services of the tests need not outlive a loss of power, and are told so.
    assert wrong == ({"durability"} if connection.vendor == "mysql" else set())
    assert found["migrations"] == OK


@pytest.mark.django_db
def test_migrations_that_are_missing_or_of_a_later_release_are_found():
    recorder = MigrationRecorder(connection)
    recorder.record_applied("calls", "9999_of_the_next_release")
    assert states("database")["migrations"] == WARNING
    [(app, latest)] = MigrationLoader(connection).graph.leaf_nodes("retention")
    recorder.record_unapplied(app, latest)
    assert states("database")["migrations"] == ERROR


@on_mysql
@pytest.mark.django_db(transaction=True)
def test_tables_that_cut_names_or_know_no_transactions_are_found():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE doctor_tried (name varchar(5)) ENGINE=MyISAM CHARACTER SET latin1")
        try:
            found = states("database")
        finally:
            cursor.execute("DROP TABLE doctor_tried")
    assert found["character set of the tables"] == found["engine of the tables"] == ERROR
    assert states("database")["character set of the tables"] == OK


@on_mysql
@pytest.mark.django_db
def test_a_database_without_time_zones_is_found():
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONVERT_TZ('2000-01-01', 'UTC', 'Asia/Shanghai')")
        knows = cursor.fetchone() != (None,)
    assert states("database")["time zones"] == (OK if knows else WARNING)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"log_bin": "OFF"}, {"binary log": NOT_IN_USE}),
        (
            {"log_bin": "ON", "binlog_format": "ROW", "binlog_expire_logs_seconds": "604800"},
            {"binary log": OK, "age of the binary log": OK},
        ),
        (
            {"log_bin": "ON", "binlog_format": "STATEMENT", "binlog_expire_logs_seconds": "604801"},
            {"binary log": ERROR, "age of the binary log": WARNING},
        ),
        (
            {"log_bin": "1", "binlog_format": "MIXED", "binlog_expire_logs_seconds": "0", "expire_logs_days": "3.000000"},
            {"binary log": OK, "age of the binary log": OK},
        ),
        ({"log_bin": "1", "binlog_expire_logs_seconds": "0"}, {"binary log": OK, "age of the binary log": WARNING}),
    ],
)
def test_a_binary_log_that_keeps_what_was_erased_is_found(variables, expected):
    assert found_by(database._check_binlog, variables) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0, OK), (-3, WARNING), (301, ERROR)])
def test_a_database_whose_clock_differs_is_found(monkeypatch, seconds, expected):
    cursor = SimpleNamespace(
        execute=lambda sql: None, fetchone=lambda: ((timezone.now() + dt.timedelta(seconds=seconds)).replace(tzinfo=None),)
    )

    @contextmanager
    def opened():
        yield cursor

    monkeypatch.setattr(database, "connection", SimpleNamespace(cursor=opened))
    assert found_by(database._check_clock) == {"clock": expected}


# --- Redis -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Redis of these tests alone, whose settings they change."""
    try:
        with services._redis(tmp_path_factory.mktemp("redis")) as port:
            yield f"redis://127.0.0.1:{port}/0"
    except services.ServiceMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def set_on(server, settings):
    settings.REDIS_URL = settings.CELERY_BROKER_URL = server
    settings.CELERY_EMBEDDED = False
    client = redis.Redis.from_url(server)
    yield client.config_set
    for name, value in (("maxmemory", "0"), ("maxmemory-policy", "noeviction"), ("appendonly", "no")):
        client.config_set(name, value)
    client.close()


def test_a_redis_set_as_the_guide_says_is_well(set_on):
    set_on("maxmemory", "512mb")
    set_on("maxmemory-policy", "volatile-lru")
    set_on("appendonly", "yes")
    for check in (redis_server.check_cache, redis_server.check_broker):
        assert set(found_by(check).values()) == {OK}


def test_a_redis_that_throws_jobs_away_or_keeps_nothing_is_found(set_on):
    set_on("maxmemory", "512mb")
    set_on("maxmemory-policy", "allkeys-lru")
    found = found_by(redis_server.check_broker)
    assert (found["when it is full"], found["persistence"], found["memory"]) == (ERROR, WARNING, OK)
    assert found_by(redis_server.check_cache)["when it is full"] == OK


def test_a_redis_that_may_fill_the_machine_or_takes_nothing_new_is_found(set_on):
    assert found_by(redis_server.check_broker)["memory"] == WARNING
    set_on("maxmemory", "512mb")
    set_on("maxmemory-policy", "noeviction")
    assert found_by(redis_server.check_cache)["when it is full"] == WARNING
    assert found_by(redis_server.check_broker)["when it is full"] == OK


def test_a_full_redis_is_found_though_it_answers(set_on):
    set_on("maxmemory-policy", "noeviction")
    set_on("maxmemory", "1")
    examined = Examined("cache")
    with pytest.raises(redis.exceptions.ResponseError):
        redis_server.check_cache(examined)


# --- The store -------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_the_store_of_the_tests_is_well_and_nothing_is_left_in_it(settings):
    from django.core.files.storage import default_storage  # chosen by the fixture above every test

    found = states("store")
    assert ERROR not in found.values() and found["write, read, delete"] == OK
    assert not any(default_storage.exists(f"doctor/{name}") for name in listed(default_storage, "doctor"))
    if settings.COS_BUCKET:
        assert found["who may read"] == OK


def listed(storage, folder: str) -> list[str]:
    try:
        return storage.listdir(folder)[1]
    except FileNotFoundError:
        return []


@pytest.fixture
def stubbed():
    client = botocore.session.get_session().create_client(
        "s3", region_name="x", aws_access_key_id="x", aws_secret_access_key="x", endpoint_url="http://127.0.0.1:1"
    )
    with Stubber(client) as stub:
        yield client, stub


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"ID": "old", "Status": "Enabled", "Prefix": "", "Expiration": {"Days": 30}}, ERROR),
        ({"ID": "old", "Status": "Disabled", "Prefix": "", "Expiration": {"Days": 30}}, OK),
        ({"ID": "v", "Status": "Enabled", "Prefix": "", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}, OK),
        ({"ID": "m", "Status": "Enabled", "Prefix": "", "Expiration": {"ExpiredObjectDeleteMarker": True}}, OK),
    ],
)
def test_a_rule_that_deletes_recordings_is_found(stubbed, rule, expected):
    client, stub = stubbed
    stub.add_response("get_bucket_lifecycle_configuration", {"Rules": [rule]}, {"Bucket": "b"})
    assert found_by(store._check_lifecycle, client, "b") == {"lifecycle rules": expected}


@pytest.mark.parametrize(
    ("code", "expected"), [("NoSuchLifecycleConfiguration", OK), ("NotImplemented", NOT_IN_USE), ("AccessDenied", WARNING)]
)
def test_a_store_without_rules_or_that_does_not_tell_is_told_apart(stubbed, code, expected):
    client, stub = stubbed
    stub.add_client_error("get_bucket_lifecycle_configuration", code)
    assert found_by(store._check_lifecycle, client, "b") == {"lifecycle rules": expected}


def test_versions_that_may_not_be_listed_are_found(stubbed):
    client, stub = stubbed
    stub.add_response("get_bucket_versioning", {"Status": "Enabled"})
    stub.add_client_error("list_object_versions", "AccessDenied")
    assert found_by(store._check_versions, client, "b") == {"versions": ERROR}
    stub.add_response("get_bucket_versioning", {})
    assert found_by(store._check_versions, client, "b") == {"versions": OK}
    stub.add_client_error("get_bucket_versioning", "AccessDenied")
    assert found_by(store._check_versions, client, "b") == {"versions": ERROR}


@pytest.mark.parametrize(("status", "expected"), [(200, ERROR), (403, OK)])
def test_a_bucket_anybody_may_read_is_found(status, expected):
    with answering(lambda path: (status, {})) as address:
        client = SimpleNamespace(generate_presigned_url=lambda *a, **k: f"{address}/b/key?signature=x")
        assert found_by(store._check_stranger, client, "b", "key") == {"who may read": expected}


# --- Jobs ------------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_timetable_that_is_not_there_or_stands_still_is_found():
    assert states("jobs")["timetable"] == ERROR
    sync_timetable()
    know(TIMETABLE)
    assert states("jobs") == {"timetable": OK, "last success": OK}  # none is due yet
    JobState.objects.update(known_at=timezone.now() - dt.timedelta(days=3))
    assert states("jobs") == {"timetable": OK, "last success": ERROR}


@pytest.mark.django_db
def test_jobs_that_are_late_off_or_fail_are_named():
    sync_timetable()
    know(TIMETABLE)
    now = timezone.now()
    JobState.objects.update(succeeded_at=now)
    JobState.objects.filter(name="fold_events").update(succeeded_at=now - dt.timedelta(minutes=11))
    JobState.objects.filter(name="delete_files").update(n_failures=2, error="EndpointConnectionError")
    PeriodicTask.objects.filter(name="back_up").update(enabled=False)
    JobState.objects.filter(name="back_up").update(succeeded_at=now - dt.timedelta(days=9))
    found = {finding.name: finding for finding in examine(["jobs"])}
    assert found["last success"].said == "Late: fold_events."
    assert found["failures"].said == "Their last run failed: delete_files (EndpointConnectionError)."
    assert (found["switched off"].said, found["switched off"].state) == ("back_up.", WARNING)


@pytest.fixture
def broker(server, settings, monkeypatch):
    settings.CELERY_EMBEDDED = False
    app = Celery("tried", broker=server, set_as_current=False)
    app.conf.task_default_queue = "ingest"
    monkeypatch.setattr(jobs, "app", app)
    settings.CELERY_BROKER_URL, settings.CELERY_BROKER_TRANSPORT_OPTIONS = server, {}
    monkeypatch.setattr(jobs, "ANSWER_SECONDS", 0.7)
    return app


def test_queues_without_a_worker_are_found_and_waiting_jobs_counted(broker, monkeypatch):
    assert set(found_by(jobs.check_workers).values()) == {ERROR}
    assert set(found_by(jobs.check_depth).values()) == {OK}
    monkeypatch.setattr(jobs, "MANY_WAITING", 3)
    for _ in range(3):
        broker.send_task("tried.nothing", queue="retention")
    assert found_by(jobs.check_depth)["waiting in retention"] == WARNING
    assert found_by(jobs.check_depth)["waiting in ingest"] == OK


def test_a_worker_that_serves_its_queue_is_seen(broker):
    with start_worker(broker, pool="solo", perform_ping_check=False, queues="ingest", shutdown_timeout=20):
        found = found_by(jobs.check_workers)
    assert found["workers of ingest"] == OK and found["workers of retention"] == ERROR


# --- What the apps know ----------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_keys_that_do_not_open_are_found(account, settings):
    assert states("keys") == {"ENCRYPTION_KEYS": OK}
    settings.ENCRYPTION_KEYS = {"other": b"o" * 32}
    assert states("keys") == {"ENCRYPTION_KEYS": ERROR}


@pytest.mark.django_db
def test_events_that_wait_and_events_that_failed_are_found(account):
    assert states("events") == {"waiting": OK, "failed": OK, "sound files": OK}
    now = timezone.now()
    for number, state in enumerate((EventState.PENDING, EventState.DEAD)):
        key = bytes([number]) * 32
        CallEvent.objects.create(
            account=account, event_key=key, body_hash=key, call_key=key, source="s", event_id="1", type="t", subject="c",
            occurred_at=now, state=state, retry_at=now - dt.timedelta(minutes=2),
        )  # fmt: skip
    assert states("events") == {"waiting": ERROR, "failed": WARNING, "sound files": OK}


@pytest.mark.django_db
def test_an_account_nobody_backed_up_is_found():
    assert states("backups")["nightly"] == OK
    account = AccountFactory()
    assert states("backups")["nightly"] == OK  # its first night is still to come
    Account.objects.filter(pk=account.pk).update(created_at=timezone.now() - dt.timedelta(days=4))
    assert states("backups")["nightly"] == ERROR


# --- The address -----------------------------------------------------------------------------------------------------
@contextmanager
def answering(answer):
    """A web server of this test: a path in, a status and headers out."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *args):
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as tcp:
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{tcp.server_address[1]}"
        tcp.shutdown()


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((200, 200, 200), {"answers": OK, "sign-in page": OK, "styles and scripts": OK}),
        ((502, 301, 200), {"answers": ERROR, "sign-in page": ERROR, "styles and scripts": OK}),
        ((200, 200, 403), {"answers": OK, "sign-in page": OK, "styles and scripts": ERROR}),
    ],
)
def test_a_portal_that_is_not_reached_by_its_address_is_found(settings, codes, expected):
    answers = {"/healthz": codes[0], "/admin/login/": codes[1], "/static/callcenter_site/portal.css": codes[2]}
    with answering(lambda path: (answers[path], {})) as address:
        settings.PUBLIC_URL, settings.PUBLIC_URL_IS_SET = address, True
        assert states("address") == expected


def test_an_address_nobody_answers_at_is_found(settings):
    settings.PUBLIC_URL, settings.PUBLIC_URL_IS_SET = "https://127.0.0.1:1", True
    assert states("address") == {"answers": ERROR}
