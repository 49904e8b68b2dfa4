"""`python -m tests.api_contract`: asks a portal of its own what its description says it answers, and what it does not.

schemathesis makes requests from `/api/schema/`, good ones and bad ones, and holds each answer against the description. The
portal is one process on SQLite with a small demo, started on a free port and stopped afterwards. Exits as schemathesis does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.services import ROOT, free_port

START_SECONDS = 120
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
MAKE_KEY = """
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey
print(create_api_key(account=Account.objects.order_by("pk").first(), name="contract", scopes=list(ApiKey.Scope.values))[1])
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=240, help="how long requests are made (default 240)")
    parser.add_argument("--seed", default="1", help="another seed asks other things")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="portal-contract-"))
    # A random body may revoke or expire the key it came with, or close the account: those two are asked by the tests.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_", "CELERY_", "COS_"))
    } | {"VAR_DIR": str(folder), "LOG_LEVEL": "ERROR", "LIMIT_PER_KEY": "0", "LIMIT_PER_ACCOUNT": "0", "LIMIT_PER_ADDRESS": "0"}
    try:
        for command in (
            ["migrate", "-v0"],
            ["collectstatic", "--noinput", "-v0"],
            ["load_demo", "--calls", "200", "--days", "2"],
        ):
            _manage(environment, *command)
        key = _manage(environment, "shell", "-v0", "-c", MAKE_KEY).strip().splitlines()[-1]
        port = free_port()
        with (folder / "serve.log").open("wb") as log:
            portal = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--port", str(port)], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            _wait_for(f"http://127.0.0.1:{port}/healthz")
            status = subprocess.run(_asking(port, key, given), cwd=folder, check=False).returncode
        finally:
            portal.terminate()
            portal.wait(15)
        failures = [line for line in (folder / "serve.log").read_text().splitlines() if '"level": "error"' in line]
        print(*failures[:20], sep="\n")
        return status
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _asking(port: int, key: str, given: argparse.Namespace) -> list[str]:
    program = str(Path(sys.executable).with_name("schemathesis"))
    return [
        *[program, "run", f"http://127.0.0.1:{port}/api/schema/", "--header", f"Authorization: Api-Key {key}"],
        *["--phases", "examples,fuzzing", "--checks", CHECKS, "--exclude-path-regex", "api-keys|/account/$"],
        *["--max-time", str(given.seconds), "--max-examples", "10", "--seed", given.seed, "--generation-database", "none"],
        *["--request-timeout", "30", "--continue-on-failure", "--no-shrink", "--workers", "2", "--no-color"],
    ]


def _manage(environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _wait_for(address: str) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
