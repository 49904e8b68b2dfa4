"""What stands under deploy/ fits the portal: settings, queues, addresses and limits, and its own tools read it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from callcenter_site.management.commands.serve import QUEUES

ROOT: Path = settings.BASE_DIR
DEPLOY = ROOT / "deploy"
APPS = ("callcenter_site", "configuration", "agents", "calls", "analytics", "retention")
OF_THE_SERVER = {"FORWARDED_ALLOW_IPS"}
"""Read by uvicorn itself."""
SHOW = "import callcenter_site.settings as s; print(s.COS_BUCKET, s.SILENT_CALL_SECONDS, s.ALLOWED_HOSTS)"
LINE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", re.M)


def template() -> dict[str, str]:
    """Each setting of the template with what stands behind it, whether it is a comment or not."""
    return dict(LINE.findall((DEPLOY / "portal.env").read_text()))


def settings_read() -> set[str]:
    sources = [path for app in APPS for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts]
    return {name for path in sources for name in re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', path.read_text())}


def queues() -> set[str]:
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    return routed | {settings.CELERY_TASK_DEFAULT_QUEUE}


def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())


def test_the_template_holds_every_setting_and_no_other():
    told = [name.removesuffix("_FILE") for name, _value in LINE.findall((DEPLOY / "portal.env").read_text())]
    assert len(told) == len(set(told))
    assert set(told) == settings_read() | OF_THE_SERVER


def test_every_setting_of_the_template_is_explained_right_above_it():
    explained = False
    for line in (DEPLOY / "portal.env").read_text().splitlines():
        if LINE.match(line):
            assert explained, f"{line} has nothing above it that says what it is"
        else:
            explained = line.startswith("# ") and not line.startswith("# ---")


def test_the_portal_starts_with_every_line_of_the_template_in_use(tmp_path):
    kept = {
        "SECRET_KEY": "x" * 60,
        "ENCRYPTION_KEYS": "2026:" + "A" * 43,
        "DATABASE_URL": "mysql://portal:secret@127.0.0.1/portal",
        "COS_SECRET_ID": "id",
        "COS_SECRET_KEY": "key",
        "EMAIL_URL": "smtps://user:secret@mail.example.com:465",
        "ASTERISK_SECRET": "secret",
        "METRICS_TOKEN": "token",
        "SENTRY_DSN": "https://key@sentry.example.com/1",
    }
    environment = {"PATH": os.environ["PATH"]}
    for name, value in template().items():
        if name == "SIGNING_KEY_FILE":
            continue
        if name.endswith("_FILE"):
            file = tmp_path / name
            file.write_text(kept[name.removesuffix("_FILE")])
        environment[name] = str(tmp_path / ("var" if name == "VAR_DIR" else name)) if name.endswith(("_FILE", "_DIR")) else value
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import callcenter_site.settings as s; print(s.COS_BUCKET, s.SILENT_CALL_SECONDS, s.ALLOWED_HOSTS)",
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "recordings-1250000000 14400 ['portal.example.com', '127.0.0.1']"


def test_what_the_template_gives_as_a_default_is_the_default(monkeypatch):
    """Numbers and switches; the rest are examples of what somebody else would write."""
    source = (ROOT / "callcenter_site" / "settings.py").read_text()
    for name, value in template().items():
        found = re.search(rf'env\.(?:integer|boolean)\("{name}", (?:default=)?([\w* ]+)', source)
        if found:
            assert str(eval(found[1])).lower() == value.lower(), name  # a number or a product of numbers


def test_every_queue_has_a_worker():
    assert set(QUEUES.split(",")) == queues()
    commands = [service["command"] for name, service in compose()["services"].items() if name.startswith("worker-")]
    assert {command[command.index("-Q") + 1] for command in commands} == queues()
    unit = (DEPLOY / "systemd" / "portal-worker@.service").read_text()
    assert set(re.findall(r"@(\w+)", unit.partition("[Unit]")[0])) == queues()


def test_the_containers_depend_on_services_that_are_there():
    whole = compose()
    for name, service in whole["services"].items():
        assert set(service.get("depends_on", ())) <= set(whole["services"]), name
        assert ":" in service["image"], f"{name} takes whatever is newest"
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            named = source in whole["volumes"]
            ours = (DEPLOY / "compose" / source).resolve().exists()
            assert named or ours or source.startswith(("/", "./secrets")), f"{name} mounts {source}"


def test_no_process_of_the_portal_runs_as_root_in_a_container():
    final = (DEPLOY / "Dockerfile").read_text().rpartition("FROM ")[2]
    assert re.search(r"^USER (\d+):\d+$", final, re.M)[1] != "0"
    assert "HEALTHCHECK" in final
    ours = [service for service in compose()["services"].values() if service["image"].startswith("portal:")]
    assert ours and all(one["cap_drop"] == ["ALL"] and one["read_only"] for one in ours)


def test_the_image_holds_the_whole_program_and_nothing_else():
    taken = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert taken == {*APPS, "locale", "templates", "manage.py", "requirements.txt"}
    for name in taken:
        assert (ROOT / name).exists()
    # requirements.txt is one file: pip in the image reads no other.
    assert "-r " not in (ROOT / "requirements.txt").read_text()


def test_the_web_server_lets_through_what_the_portal_takes():
    site = (DEPLOY / "nginx" / "portal.conf").read_text()
    uploads = re.search(r"location ~ (\S+) \{(.*?)\n    \}", site, re.S)
    for path in settings.UPLOAD_PATHS:
        assert re.match(uploads[1], path)
    megabytes = {int(size) * 1024 * 1024 for size in re.findall(r"client_max_body_size (\d+)m", uploads[2])}
    assert megabytes and min(megabytes) >= settings.UPLOAD_BODY_BYTES
    rest = int(re.search(r"\n    client_max_body_size (\d+)m", site)[1]) * 1024 * 1024
    assert rest >= settings.BODY_BYTES
    assert "X-Forwarded-For $remote_addr;" in (DEPLOY / "nginx" / "proxy.conf").read_text()  # set, never passed through
    streams = site.partition("location /streams/")[2].partition("}")[0]
    assert "proxy_buffering off;" in streams


@pytest.fixture
def nginx(tmp_path):
    found = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if not found:
        pytest.skip("nginx is not installed")
    return found


def test_nginx_takes_the_site(nginx, tmp_path):
    certificate = make_certificate(tmp_path)
    file = site_for(tmp_path, certificate=certificate)
    done = subprocess.run([nginx, "-t", "-p", str(tmp_path), "-c", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr, done.stderr


def make_certificate(folder: Path) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
            *["-subj", "/CN=portal.example.com", "-addext", "subjectAltName=DNS:portal.example.com"],
            *["-keyout", str(key), "-out", str(certificate)],
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def site_for(folder: Path, *, certificate: tuple[Path, Path], port: int = 18443) -> Path:
    """The shipped site with the places of this machine: what an operator would replace, and no more."""
    (folder / "logs").mkdir(exist_ok=True)
    site = (DEPLOY / "nginx" / "portal.conf").read_text()
    for name in ("upstream.conf", "proxy.conf"):
        shutil.copy(DEPLOY / "nginx" / name, folder / name)
    for old, new in (
        ("/etc/letsencrypt/live/portal.example.com/fullchain.pem", str(certificate[0])),
        ("/etc/letsencrypt/live/portal.example.com/privkey.pem", str(certificate[1])),
        ("/etc/nginx/portal/", f"{folder}/"),
        ("/var/log/nginx/", f"{folder}/logs/"),
    ):
        assert old in site
        site = site.replace(old, new)
    site = re.sub(r"listen \[::\][^\n]+\n", "", site)
    site = site.replace("listen 443", f"listen 127.0.0.1:{port}").replace("listen 80;", f"listen 127.0.0.1:{port + 1};")
    whole = folder / "nginx.conf"
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole.write_text(
        f"pid {folder}/nginx.pid;\nerror_log {folder}/logs/error.log;\nevents {{}}\n"
        f"http {{\n    include /etc/nginx/mime.types;\n{temporary}{site}\n}}\n"
    )
    return whole


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path):
    units = tmp_path / "etc" / "systemd" / "system"
    shutil.copytree(DEPLOY / "systemd", units)
    instances = {"web": "8001", "worker": "ingest", "asterisk": "acme"}
    named = [units / "portal.target", units / "portal-beat.service", units / "portal-migrate.service"]
    for name, instance in instances.items():
        named.append(units / f"portal-{name}@{instance}.service")
        shutil.copy(units / f"portal-{name}@.service", named[-1])
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, named)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "portal" in line and "is not executable" not in line]
    assert said == [], done.stderr


def test_every_service_is_confined():
    common = (DEPLOY / "systemd" / "portal-.service.d" / "10-common.conf").read_text()
    for wanted in ("User=portal", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n", "UMask=0027"):
        assert wanted in common
    for unit in (DEPLOY / "systemd").glob("*.service"):
        assert unit.name.startswith("portal-"), "the common part reaches units of this name alone"
        assert "User=" not in unit.read_text() and "ProtectSystem=" not in unit.read_text()
