"""A wrong setting stops the start with its name, and never with its value."""

import base64
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from callcenter_site import env

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv("SETTING", raising=False)
    monkeypatch.delenv("SETTING_FILE", raising=False)


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        (lambda: env.boolean("SETTING", False), "maybe"),
        (lambda: env.integer("SETTING", 1), "ten"),
        (lambda: env.integer("SETTING", 1), "1.5"),
        (lambda: env.integer("SETTING", 1, minimum=1), "0"),
        (lambda: env.integer("SETTING", 1), "-1"),
        (lambda: env.choice("SETTING", ("INFO", "ERROR"), default="INFO"), "LOUD"),
        (lambda: env.url("SETTING", schemes=("http", "https")), "portal.example.com"),
        (lambda: env.url("SETTING", schemes=("redis",)), "http://portal.example.com"),
        (lambda: env.database("SETTING", default=""), "postgres://u:pw-secret@h/n"),
        (lambda: env.database("SETTING", default=""), "mysql://u:pw-secret@h/"),
        (lambda: env.database("SETTING", default=""), "mysql://u:pw-secret@h:port/n"),
        (lambda: env.keys("SETTING", fallback=settings.VAR_DIR), "2026:c2hvcnQ="),
        (lambda: env.keys("SETTING", fallback=settings.VAR_DIR), KEY),
        (lambda: env.keys("SETTING", fallback=settings.VAR_DIR), f"{'i' * 21}:{KEY}"),
        (lambda: env.keys("SETTING", fallback=settings.VAR_DIR), "2026:not base64 at all!"),
    ],
)
def test_a_wrong_value_is_refused_by_name_without_repeating_it(monkeypatch, read, wrong):
    monkeypatch.setenv("SETTING", wrong)
    with pytest.raises(ImproperlyConfigured, match="SETTING") as caught:
        read()
    assert wrong not in str(caught.value) and "pw-secret" not in str(caught.value)


def test_an_empty_value_is_the_default(monkeypatch):
    monkeypatch.setenv("SETTING", "")
    assert env.text("SETTING", "x") == "x"
    assert env.boolean("SETTING", True) is True
    assert env.integer("SETTING", 7) == 7
    assert env.words("SETTING", ("a",)) == ["a"]
    assert env.url("SETTING", schemes=("http",), default="http://a") == "http://a"


@pytest.mark.parametrize(
    ("given", "meant"), [("yes", True), ("TRUE", True), ("1", True), ("Off", False), ("no", False), ("0", False)]
)
def test_true_and_false_have_several_spellings(monkeypatch, given, meant):
    monkeypatch.setenv("SETTING", given)
    assert env.boolean("SETTING", not meant) is meant


def test_a_list_forgives_spaces_and_empty_places(monkeypatch):
    monkeypatch.setenv("SETTING", " a.example.com, ,b.example.com,")
    assert env.words("SETTING") == ["a.example.com", "b.example.com"]


def test_a_file_named_by_the_setting_goes_before_the_setting(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("SETTING", "from the environment")
    monkeypatch.setenv("SETTING_FILE", str(tmp_path / "secret"))
    assert env.text("SETTING") == "from the file"


def test_a_file_that_cannot_be_read_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("SETTING_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(ImproperlyConfigured, match="SETTING_FILE"):
        env.text("SETTING", "a default")


def test_the_newest_key_is_the_last(monkeypatch):
    monkeypatch.setenv("SETTING", f"2025:{KEY}, 2026:{KEY.rstrip('=')}")
    assert list(env.keys("SETTING", fallback=settings.VAR_DIR)) == ["2025", "2026"]


def test_a_secret_nobody_set_is_made_once_and_kept_for_its_owner(tmp_path):
    path = tmp_path / "secrets" / "one"
    first = env.kept_secret(path)
    assert env.kept_secret(path) == first and len(first) >= 40
    assert path.stat().st_mode & 0o077 == 0


def test_a_database_address_may_carry_escaped_characters(monkeypatch):
    monkeypatch.setenv("SETTING", "mysql://portal:p%40ss%2Fword@db:3307/calls")
    config = env.database("SETTING", default="")
    assert (config["USER"], config["PASSWORD"], config["HOST"], config["PORT"], config["NAME"]) == (
        "portal",
        "p@ss/word",
        "db",
        3307,
        "calls",
    )


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "PUBLIC_URL", "DEBUG", "INBOX_MAX", "LOG_LEVEL"]
)
def test_the_portal_does_not_start_with_a_wrong_setting_and_says_which(tmp_path, name):
    start = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings.BASE_DIR,
        env=os.environ | {"VAR_DIR": str(tmp_path), name: "wrong-value"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert start.returncode != 0
    assert f"{name}: expected" in start.stderr
    assert "wrong-value" not in start.stderr


@pytest.mark.parametrize(
    ("address", "port", "starttls", "tls"),
    [
        ("smtp://mail.example.com", 25, False, False),
        ("smtp+tls://mail.example.com", 587, True, False),
        ("smtps://mail.example.com", 465, False, True),
        ("smtps://mail.example.com:2465", 2465, False, True),
    ],
)
def test_a_mail_server_is_told_by_its_address(monkeypatch, tmp_path, address, port, starttls, tls):
    monkeypatch.setenv("EMAIL_URL", address)
    told = env.mail("EMAIL_URL", fallback=tmp_path)
    assert told["EMAIL_HOST"] == "mail.example.com"
    assert (told["EMAIL_PORT"], told["EMAIL_USE_TLS"], told["EMAIL_USE_SSL"]) == (port, starttls, tls)


def test_the_mail_servers_credentials_may_carry_escaped_characters(monkeypatch, tmp_path):
    monkeypatch.setenv("EMAIL_URL", "smtps://portal%40example.com:p%2Fw%3Ard@mail.example.com")
    told = env.mail("EMAIL_URL", fallback=tmp_path)
    assert (told["EMAIL_HOST_USER"], told["EMAIL_HOST_PASSWORD"]) == ("portal@example.com", "p/w:rd")


def test_without_a_mail_server_mails_become_files(monkeypatch, tmp_path):
    monkeypatch.delenv("EMAIL_URL", raising=False)
    told = env.mail("EMAIL_URL", fallback=tmp_path)
    assert told == {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": tmp_path}


@pytest.mark.parametrize(
    "wrong", ["mail.example.com", "http://mail.example.com", "smtps://", "smtps://u:secret@h:port", "smtp://h/x"]
)
def test_a_wrong_mail_address_stops_the_start_without_being_repeated(monkeypatch, tmp_path, wrong):
    monkeypatch.setenv("EMAIL_URL", wrong)
    with pytest.raises(ImproperlyConfigured) as said:
        env.mail("EMAIL_URL", fallback=tmp_path)
    assert "EMAIL_URL" in str(said.value) and "secret" not in str(said.value)


def test_the_sender_of_mails_is_an_address(monkeypatch):
    for good in ("portal@example.com", "Call center <portal@example.com>"):
        monkeypatch.setenv("DEFAULT_FROM_EMAIL", good)
        assert env.sender("DEFAULT_FROM_EMAIL", default="") == good
    for wrong in ("portal", "Call center", "a@b\nBcc: c@d"):
        monkeypatch.setenv("DEFAULT_FROM_EMAIL", wrong)
        with pytest.raises(ImproperlyConfigured):
            env.sender("DEFAULT_FROM_EMAIL", default="")
