"""The commands under script/: what they say, and what they refuse, without starting anything."""

import os
import subprocess

import pytest
from django.conf import settings

SCRIPTS = sorted(path for folder in ("script", ".ci") for path in (settings.BASE_DIR / folder).iterdir() if path.is_file())


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_executable_bash_without_faults_of_grammar(script):
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    done = run("bash", "-n", str(script))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["server", "setup", "test"])
def test_help_says_how_to_use_it_and_starts_nothing(name):
    done = run(f"script/{name}", "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"Usage: script/{name}")


@pytest.mark.parametrize("arguments", [["--prot", "8000"], ["--port"], ["extra"]])
def test_the_server_refuses_what_it_does_not_know(arguments):
    done = run("script/server", *arguments)
    assert done.returncode == 2 and "Usage: script/server" in done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "08x", ""])
def test_the_server_refuses_a_port_that_is_none(port):
    done = run("script/server", f"--port={port}")
    assert done.returncode == 1 and done.stderr == "--port: expected a number from 1 to 65535.\n"
