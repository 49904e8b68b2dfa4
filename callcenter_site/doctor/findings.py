"""Looks at a running installation from end to end, and says of each thing how it is and how to mend it.

Nothing is changed: what is written to try a service is taken away again, no mail is sent, nothing is asked that waits for
long. A part that does not answer is a finding like any other, and the rest is looked at all the same. Nothing personal and no
secret stands in a finding: it is pasted into tickets.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

log = logging.getLogger(__name__)

OK, WARNING, ERROR, NOT_IN_USE = "ok", "warning", "error", "not in use"
STATES = (OK, NOT_IN_USE, WARNING, ERROR)
"""From well to bad."""


@dataclass(frozen=True)
class Finding:
    part: str
    name: str
    state: str
    said: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class Examined:
    """What a part is asked with: each call notes one finding."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.findings: list[Finding] = []

    def ok(self, name: str, said: str) -> None:
        self._note(name, OK, said)

    def warn(self, name: str, said: str, mend: str) -> None:
        self._note(name, WARNING, said, mend)

    def fail(self, name: str, said: str, mend: str) -> None:
        self._note(name, ERROR, said, mend)

    def not_in_use(self, name: str, said: str) -> None:
        self._note(name, NOT_IN_USE, said)

    def within(self, name: str, said: str, *, is_ok: bool, mend: str, is_grave: bool = True) -> None:
        if is_ok:
            self.ok(name, said)
        elif is_grave:
            self.fail(name, said, mend)
        else:
            self.warn(name, said, mend)

    def _note(self, name: str, state: str, said: str, mend: str = "") -> None:
        self.findings.append(Finding(self.part, name, state, said, mend))


PARTS = ("settings", "machine", "database", "keys", "cache", "queue", "store", "mail", "jobs", "events", "backups", "address")
"""In the order in which somebody would mend them: what comes first may be why the rest fails."""

Check = Callable[[Examined], None]
_checks: list[tuple[str, str, Check]] = []


def examines(part: str, *, otherwise: str) -> Callable[[Check], Check]:
    """Registers what looks at a part. `otherwise` says what to do where it could not even be asked. Apps register theirs
    when they are ready."""

    if part not in PARTS:
        raise ValueError(f"{part} is no part of a portal")

    def register(check: Check) -> Check:
        _checks.append((part, otherwise, check))
        return check

    return register


def examine(only: Iterable[str] = ()) -> Iterator[Finding]:
    """Part after part, so that whoever watches sees how far it is."""
    wanted = set(only)
    for part in PARTS:
        if wanted and part not in wanted:
            continue
        for name, otherwise, check in _checks:
            if name == part:
                yield from _findings(part, otherwise, check)


def _findings(part: str, otherwise: str, check: Check) -> list[Finding]:
    examined = Examined(part)
    try:
        check(examined)
    except Exception as error:  # whatever a service or its client raises: that is the finding
        log.debug("%s could not be examined", part, exc_info=error)
        examined.fail("answers", f"It could not be asked: {reason_of(error)}.", otherwise)
    return examined.findings


def reason_of(error: BaseException) -> str:
    """What failed, without what a client quotes: an address with its password, a value of a row."""
    answer: Any = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    return f"{type(error).__name__}" + (f" ({code or number})" if code or number else "")


def worst_of(findings: Iterable[Finding]) -> str:
    return max((finding.state for finding in findings), key=STATES.index, default=OK)
