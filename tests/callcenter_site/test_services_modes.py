"""The same code with and without services: files and S3, process memory and Redis, SQLite and MariaDB."""

import urllib.error
import urllib.request

import pytest
from django.conf import settings
from django.core.cache import caches
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.db import connection, transaction
from django.test.utils import override_settings

on_s3 = pytest.mark.skipif(not settings.COS_BUCKET, reason="needs an S3 store")
SOUND = bytes(range(256)) * 40


@pytest.fixture
def stored():
    name = default_storage.save("recordings/ab/sound.wav", ContentFile(SOUND))
    yield name
    default_storage.delete(name)


def test_a_file_comes_back_as_it_was_stored(stored):
    with default_storage.open(stored) as file:
        assert file.read() == SOUND
    assert default_storage.exists(stored) and default_storage.size(stored) == len(SOUND)


def test_a_file_of_the_same_name_replaces_nothing(stored):
    other = default_storage.save(stored, ContentFile(b"other"))
    try:
        assert other != stored
        with default_storage.open(stored) as file:
            assert file.read() == SOUND
    finally:
        default_storage.delete(other)


def test_deleting_twice_is_no_error(stored):
    default_storage.delete(stored)
    default_storage.delete(stored)
    assert not default_storage.exists(stored)


def fetch(url: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


@on_s3
def test_a_signed_link_plays_any_part_of_the_file(stored):
    url = default_storage.url(stored)
    assert fetch(url) == (200, SOUND)
    assert fetch(url, Range="bytes=10-19") == (206, SOUND[10:20])


@on_s3
def test_a_signed_link_lives_a_minute_at_most_and_opens_nothing_else(stored):
    url = default_storage.url(stored)
    lifetime = int(url.partition("X-Amz-Expires=")[2].partition("&")[0])
    assert lifetime <= 60
    other = default_storage.save("recordings/ab/other.wav", ContentFile(b"other"))
    try:
        assert fetch(url.replace(stored, other))[0] == 403
        assert fetch(url.partition("?")[0])[0] in (400, 401, 403)
    finally:
        default_storage.delete(other)


@on_s3
def test_a_large_file_goes_up_in_parts(tmp_path):
    content = SOUND * 1200  # 12 MB: boto3 cuts it
    name = default_storage.save("recordings/ab/large.wav", ContentFile(content))
    try:
        assert default_storage.size(name) == len(content)
        assert fetch(default_storage.url(name), Range="bytes=9000000-9000009")[1] == content[9000000:9000010]
    finally:
        default_storage.delete(name)


@on_s3
def test_wrong_credentials_store_nothing(settings):
    options = settings.STORAGES["default"]["OPTIONS"] | {"secret_key": "wrong"}
    settings.STORAGES = settings.STORAGES | {"default": settings.STORAGES["default"] | {"OPTIONS": options}}
    with pytest.raises(Exception, match=r"403|Forbidden|SignatureDoesNotMatch"):
        storages["default"].save("recordings/ab/wrong.wav", ContentFile(b"x"))


def test_what_is_cached_is_found_until_it_is_forgotten():
    cache = caches["default"]
    cache.set("answer", {"calls": 42}, 30)
    assert cache.get("answer") == {"calls": 42}
    cache.delete("answer")
    assert cache.get("answer") is None


@pytest.mark.django_db
def test_without_redis_the_cache_is_empty_and_pages_go_on(client):
    gone = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1},
        }
    }
    with override_settings(CACHES=gone, DJANGO_REDIS_IGNORE_EXCEPTIONS=True, REDIS_URL="redis://127.0.0.1:1/0"):
        cache = caches["default"]
        cache.set("answer", 1)
        assert cache.get("answer") is None
        assert client.get("/admin/login/").status_code == 200
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["cache"] == "failed"


@pytest.mark.django_db
def test_text_of_every_script_and_plane_is_stored(account):
    account.name = "呼叫中心 📞 Ünïcode"
    account.save()
    account.refresh_from_db()
    assert account.name == "呼叫中心 📞 Ünïcode"


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "mysql", reason="asks MySQL and MariaDB")
def test_a_session_is_strict_in_utc_and_sees_what_others_commit():
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@session.sql_mode, @@session.time_zone, @@character_set_client")
        mode, zone, characters = cursor.fetchone()
    assert "STRICT_TRANS_TABLES" in mode and zone == "+00:00" and characters == "utf8mb4"
    other = connection.copy()
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM configuration_account")
                (before,) = cursor.fetchone()
            with other.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO django_celery_beat_intervalschedule (every, period) VALUES (1, 'days')",
                )
            with connection.cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM django_celery_beat_intervalschedule")
                (seen,) = cursor.fetchone()
        assert (before, seen) == (0, 1)
    finally:
        other.close()
