"""What the demo keeps beside the database: sign-ins, the key of its telephony, and how far things have come.

Everything here is for the owner's eyes only, and replaced as a whole, so that a stop at any moment leaves the old
file or the new one.
"""

import json
import os
from pathlib import Path
from typing import Any

from django.conf import settings

SIGN_INS = "sign-ins.txt"
API_KEY = "api_key"
HISTORY = "history.json"
LIVE = "live.json"


def path_of(name: str) -> Path:
    folder = Path(settings.VAR_DIR) / "demo"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / name


def write(name: str, text: str) -> None:
    path = path_of(name)
    new = path.with_name(f".{name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def write_json(name: str, value: dict[str, Any]) -> None:
    write(name, json.dumps(value))


def read_json(name: str) -> dict[str, Any] | None:
    """None when the file is missing or cannot be understood."""
    try:
        value = json.loads(path_of(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
