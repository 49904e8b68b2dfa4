"""The real services the suite runs against: MariaDB, Redis and an S3 store, without root and without containers.

Each listens on a private port of this machine, keeps its data in a temporary folder, and is stopped by its own
process id. `python -m tests.services COMMAND…` runs a command beside them; `pytest -p tests.services.plugin` does the
same for a run of pytest.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
STOP_SECONDS = 15
S3_KEY, S3_SECRET, S3_BUCKET = "test:tester", "secret-of-the-tests", "portal-test"
DATABASE_USER = "portal"

# A normal user's PATH leaves out where Debian puts servers.
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"])


class ServiceMissing(Exception):
    """A program is not installed here."""


def program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name, path=_SEARCH):
            return found
    raise ServiceMissing(f"{names[0]} is not installed")


@contextmanager
def running_services() -> Iterator[dict[str, str]]:
    """Starts all three; yields the settings that point the portal at them."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="portal-services-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        redis_port = stack.enter_context(_redis(folder))
        s3_port = stack.enter_context(_object_store(folder))
        mysql_port = stack.enter_context(_mariadb(folder))
        yield {
            "DATABASE_URL": f"mysql://{DATABASE_USER}:{DATABASE_USER}@127.0.0.1:{mysql_port}/portal",
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{redis_port}/15",
            "COS_BUCKET": S3_BUCKET,
            "COS_ENDPOINT": f"http://127.0.0.1:{s3_port}",
            "COS_REGION": "us-east-1",
            "COS_SECRET_ID": S3_KEY,
            "COS_SECRET_KEY": S3_SECRET,
            "COS_ADDRESSING": "path",
        }


@contextmanager
def _redis(folder: Path) -> Iterator[int]:
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with _process(folder, "redis", [program("redis-server"), *arguments]) as process:
        _wait("Redis", process, folder, lambda: _answers(port))
        yield port


@contextmanager
def _object_store(folder: Path) -> Iterator[int]:
    port, data = free_port(), folder / "s3"
    data.mkdir()
    if not _keeps_attributes(data):  # some temporary file systems do not, and the store writes them on every object
        (ROOT / "var").mkdir(exist_ok=True)
        data = Path(tempfile.mkdtemp(prefix="services-s3-", dir=ROOT / "var"))
    command = [sys.executable, "-m", "tests.services.object_store", str(data), str(port), S3_KEY, S3_SECRET]
    try:
        with _process(folder, "s3", command) as process:
            _wait("the S3 store", process, folder, lambda: _answers(port))
            yield port
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def _mariadb(folder: Path) -> Iterator[int]:
    port, data, own = free_port(), folder / "mysql", folder / "mysql.sock"
    as_root = ["--user=root"] if os.getuid() == 0 else []
    install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db", "--force", *as_root]
    install.append("--auth-root-authentication-method=normal")
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
    command = [
        program("mariadbd", "mysqld"),
        "--no-defaults",
        f"--datadir={data}",
        f"--tmpdir={folder}",
        f"--socket={own}",
        f"--pid-file={folder}/mysql.pid",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_unicode_ci",
        # Nothing here outlives the run, so nothing need reach the disk.
        "--innodb-buffer-pool-size=256M",
        "--innodb-log-file-size=256M",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-flush-method=nosync",
        "--innodb-doublewrite=0",
        "--skip-log-bin",
        *as_root,
    ]
    client = [program("mariadb", "mysql"), "--no-defaults", f"--socket={own}", "-uroot", "-e"]
    # Opened to the world of this machine only: the address above is the loopback.
    user = f"{DATABASE_USER}@'%'"
    opening = f"CREATE USER {user} IDENTIFIED BY '{DATABASE_USER}'; GRANT ALL ON *.* TO {user}; CREATE DATABASE portal"
    with _process(folder, "mysql", command) as process:
        _wait("MariaDB", process, folder, lambda: own.exists() and _run([*client, "SELECT 1"]))
        subprocess.run([*client, opening], check=True)
        yield port


@contextmanager
def _process(folder: Path, name: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the tests; the services are stopped after them
            preexec_fn=_die_with_parent,  # noqa: PLW1509  (nothing runs in threads yet when the services start)
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> None:
    """Asks the kernel to stop the service when the test run is killed without a chance to do it."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _wait(name: str, process: subprocess.Popen[bytes], folder: Path, ready: Callable[[], bool]) -> None:
    until = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            logs = "\n".join(file.read_text(errors="replace")[-2000:] for file in sorted(folder.glob("*.log")))
            raise RuntimeError(f"{name} did not start:\n{logs}")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _run(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _keeps_attributes(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.portal", b"1")
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
