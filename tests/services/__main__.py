"""`python -m tests.services COMMAND…`: runs a command beside the services and answers with its exit status."""

import os
import signal
import subprocess
import sys
from types import FrameType

from tests.services import ServiceMissing, running_services

if len(sys.argv) < 2:
    sys.exit(__doc__)


def leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


signal.signal(signal.SIGTERM, leave)
try:
    with running_services() as settings:
        command = subprocess.Popen(sys.argv[1:], env=os.environ | settings)
        signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches the command as well, which then ends by itself
        try:
            status = command.wait()
        finally:
            if command.poll() is None:
                command.terminate()
                command.wait()
except ServiceMissing as error:
    sys.exit(f"{error}.")
sys.exit(status)
