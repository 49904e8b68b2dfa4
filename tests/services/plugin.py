"""`pytest -p tests.services.plugin`: the run gets real services.

They are started on import, because pytest-django reads the settings before any hook of ours is asked. The workers of
xdist inherit the addresses; what they must not share is told apart in `tests/conftest.py`.
"""

import atexit
import os

from tests.services import running_services

if "PYTEST_XDIST_WORKER" not in os.environ:
    _services = running_services()
    os.environ.update(_services.__enter__())
    atexit.register(_services.__exit__, None, None, None)
