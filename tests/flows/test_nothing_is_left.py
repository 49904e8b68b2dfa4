"""A number, and an account, are walked through everything that keeps something, erased, and looked for where they could be
left: every column of every table as the database holds it, every version of every object, cache, logs, a restored backup."""

import datetime as dt
import io
import json
import logging

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.cache import cache, caches
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.urls import reverse

from agents.models import Agent
from analytics.models import SavedView
from calls.models import Call
from configuration.models import AuditEntry, DataKey, Role
from retention import certificate, deletion
from retention.backups.crypt import Keys
from retention.backups.night import back_up
from retention.backups.objects import rows_in
from retention.models import BackupObject, DeletionRequest, FileDeletion
from tests.factories import AgentFactory, SkillGroupFactory
from tests.retention.test_backup_restore import bring_back, lose
from tests.retention.test_subjects import FORMS, NUMBER, everywhere

pytestmark = pytest.mark.django_db

NIGHT = dt.datetime(2026, 11, 24, 20, 0, tzinfo=dt.UTC)
"""After the day of the calls is over and backed up."""
LATER = NIGHT + dt.timedelta(hours=4)


def database():
    """All tables there are, ours or not, row by row, as raw as the database gives them."""
    lines = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                lines.append(f"{table} " + " ".join(_text(value) for value in row))
    return "\n".join(lines)


def opened():
    """The same through the models, which open what is encrypted, and sessions."""
    lines = [str(session.get_decoded()) for session in Session.objects.all()]
    for model in apps.get_models(include_auto_created=True):
        for row in model._base_manager.all():
            lines.append(
                f"{model._meta.label} " + " ".join(_text(row.__dict__[field.attname]) for field in model._meta.concrete_fields)
            )
    return "\n".join(lines)


def _text(value):
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


def objects():
    """Names and contents of all there is in the store, in a bucket of every version, also of those a marker hides."""
    if settings.COS_BUCKET:
        client, place = default_storage.connection.meta.client, default_storage.location
        for page in client.get_paginator("list_object_versions").paginate(Bucket=settings.COS_BUCKET, Prefix=place):
            for marker in page.get("DeleteMarkers", ()):
                yield marker["Key"].removeprefix(place).lstrip("/"), b""
            for one in page.get("Versions", ()):
                body = client.get_object(Bucket=settings.COS_BUCKET, Key=one["Key"], VersionId=one["VersionId"])["Body"]
                yield one["Key"].removeprefix(place).lstrip("/"), body.read()
        return
    folders = [""]
    while folders:
        folder = folders.pop()
        below, names = default_storage.listdir(folder or ".")
        folders += [f"{folder}/{name}".lstrip("/") for name in below]
        for name in names:
            key = f"{folder}/{name}".lstrip("/")
            with default_storage.open(key) as file:
                yield key, file.read()


def store():
    return "\n".join(f"{name} {content.decode('latin-1')}" for name, content in objects())


def backups(account):
    keys = Keys.of(account.pk)
    rows = BackupObject.objects.for_account(account).without_manifest().exclude(key="")
    return repr([list(rows_in(one, keys=keys)) for one in rows])


def kept_in_cache():
    if settings.REDIS_URL:
        client = cache.client.get_client()
        return "\n".join(
            f"{_text(key)} {client.dump(key).decode('latin-1')} {cache.client.decode(client.get(key))!r}"
            if client.type(key) == b"string"
            else f"{_text(key)} {client.dump(key).decode('latin-1')}"
            for key in client.keys("*")
        )
    return "\n".join(f"{key} {value!r}" for key, value in caches["default"]._cache.items())


@pytest.fixture
def log():
    """What any logger of the process says, at every level, as the portal writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    for old in root.handlers:
        if old.formatter is not None:
            handler.setFormatter(old.formatter)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(autouse=True)
def versions():
    if settings.COS_BUCKET:
        client = default_storage.connection.meta.client
        client.put_bucket_versioning(Bucket=settings.COS_BUCKET, VersioningConfiguration={"Status": "Enabled"})


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def named(text, words):
    return [line[:300] for line in text.splitlines() if any(word in line for word in words)]


def to_the_end(request, by, at):
    deletion.work_on(request.pk, clock=lambda: at)
    deletion.approve(request, by=by, at=at)
    request.refresh_from_db()
    deletion.work_on(request.pk, clock=lambda: max(at, request.runs_from or at))
    request.refresh_from_db()
    assert request.state == "completed", [(step.store, step.state, step.error, step.n_left) for step in request.steps.all()]


def test_a_number_that_went_through_everything_is_erased_and_found_nowhere(account, boss, client, log, tmp_path):
    words = (NUMBER, NUMBER.removeprefix("+"), *FORMS)
    AgentFactory(account=account, staff_id="1001")
    SkillGroupFactory(account=account, name="S")
    everywhere(account)
    SavedView.objects.create(account=account, owner=boss, page="dashboard", name="VIP", query="number=138+0013+8000")
    client.force_login(boss, backend="agents.sign_in.RoleBackend")
    # It is looked for, looked at and opened, so that sessions, caches, audit log and access log have had their chance.
    call = Call.objects.get(account=account, calling_number=NUMBER)
    records = reverse("admin:calls_call_changelist")
    assert client.get(records, {"q": "138 0013 8000"}, follow=True).status_code == 200
    assert client.get(records, {"customer": "138 0013 8000"}, follow=True).status_code == 200
    assert NUMBER in client.get(reverse("admin:calls_call_change", args=[call.pk])).content.decode()
    client.get(reverse("admin:configuration_blockednumber_changelist"), {"q": "13800138000"})
    client.get(reverse("retention:privacy"))
    assert back_up(account=account, at=NIGHT).state == "done"
    assert named(database(), words) and named(opened(), words) and any(word in backups(account) for word in words)
    assert AuditEntry.objects.filter(account=account).exists()
    request = deletion.open_request(account=account, kind="number", said={"number": "0086 138 0013 8000"}, by=boss, at=LATER)
    client.get(reverse("admin:retention_deletionrequest_change", args=[request.pk]))
    to_the_end(request, boss, LATER)
    client.get(reverse("admin:retention_deletionrequest_change", args=[request.pk]))
    # For a week the request itself can be read by whoever may, under a key of its own.
    assert deletion.forget_subjects(at=LATER + dt.timedelta(days=8)) == 1
    assert named(database(), words) == []
    assert named(opened(), words) == []
    assert named(store(), words) == []
    assert [word for word in words if word in backups(account)] == []
    assert not FileDeletion.objects.exists()
    assert named(kept_in_cache(), words) == []
    assert "request_finished" in log.getvalue()
    assert named(log.getvalue(), words) == []
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(certificate.as_file(DeletionRequest.objects.get(pk=request.pk))))
    call_command("verify_certificate", str(path))
    lose(account)
    bring_back(account, with_raw_events=True)
    assert Call.objects.filter(account_id=account.pk).exists()
    assert named(database(), words) == []
    assert named(opened(), words) == []


def test_an_account_from_its_creation_to_its_end_leaves_its_row_and_the_ledger(account, boss, client, log, tmp_path):
    second = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, name="Zephyrine Quill", email="zephyrine@quill.example")
    AgentFactory(account=account, staff_id="1001", name="Ottoline Marsh", nickname="Otto")
    SkillGroupFactory(account=account, name="S")
    words = (NUMBER, NUMBER.removeprefix("+"), *FORMS, "Zephyrine", "zephyrine", "Ottoline", "Husband")
    everywhere(account)
    client.force_login(second, backend="agents.sign_in.RoleBackend")
    client.get(reverse("admin:agents_agent_changelist"))
    client.get(reverse("retention:privacy"))
    assert back_up(account=account, at=NIGHT).state == "done"
    assert named(opened(), words) and store()
    request = deletion.open_request(account=account, kind="account", said={}, by=boss, at=LATER)
    deletion.work_on(request.pk, clock=lambda: LATER)
    deletion.approve(request, by=second, at=LATER)
    assert client.get(reverse("admin:agents_agent_changelist")).status_code == 302  # access has ended
    end = LATER + dt.timedelta(days=15)
    deletion.work_on(request.pk, clock=lambda: end)
    request.refresh_from_db()
    assert request.state == "completed", [(step.store, step.state, step.error, step.n_left) for step in request.steps.all()]
    deletion.forget_subjects(at=end + dt.timedelta(days=8))
    assert named(database(), words) == []
    assert named(opened(), words) == []
    left = [name for name, _content in objects()]
    assert [name for name in left if not name.startswith("ledger/")] == []
    assert not DataKey.objects.filter(account=account).exists()
    assert not Agent.objects.filter(account=account).exclude(name="").exists()
    assert not Session.objects.exists()
    assert named(kept_in_cache(), words) == []
    assert named(log.getvalue(), words) == []
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(certificate.as_file(request)))
    call_command("verify_certificate", str(path))
