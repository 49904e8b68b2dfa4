"""System checks: no table, and no file a row names, is without a line in an `erasure.py`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from callcenter_site.erasure import Kept, Lifetime
from retention.backups import kinds
from retention.erasure import KEPT
from retention.stores import uncovered

TIMED = frozenset({Lifetime.CALL_DATA, Lifetime.COUNTS, Lifetime.RAW_EVENTS, Lifetime.UNTIL_USED})


@register("retention")
def check_declarations(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    found = list(problems_of(KEPT, apps.get_models(include_auto_created=True)))
    return found or [
        Error(problem + ".", hint="See retention/backups/kinds.py.", id="retention.E008") for problem in kinds.problems(KEPT)
    ]


def problems_of(kept: Iterable[Kept], tables: Iterable[type[models.Model]]) -> Iterable[CheckMessage]:
    lines = list(kept)
    known = {model._meta.label: model for model in tables}
    for label, n_lines in Counter(line.model for line in lines).items():
        if n_lines > 1:
            yield Error(f"{label} has {n_lines} lines saying how long it is kept.", hint="Leave one.", id="retention.E002")
        if label not in known:
            yield Error(
                f"{label} has a line saying how long it is kept, but is no model.", hint="Remove it.", id="retention.E003"
            )
    said = {line.model: line for line in lines}
    unreached = set(uncovered(lines))
    for label, model in known.items():
        line = said.get(label)
        if line is None:
            hint = "Add a `Kept` to the app's erasure.py; to retention/erasure.py for a library's model."
            yield Error(f"Nothing says how long {label} is kept.", hint=hint, id="retention.E001")
            continue
        for name in (line.clock, line.account, *line.people, *line.files):
            if name and not _has_field(model, name):
                yield Error(f"The line of {label} names {name}, which is no field of it.", id="retention.E004")
        for field in model._meta.get_fields():
            if isinstance(field, models.FileField) and field.name not in line.files:
                yield Error(f"{label}.{field.name} names a file, and its line does not.", id="retention.E005")
        if line.model in unreached:
            hint = "Add the table to a store in the app's subjects.py."
            yield Error(f"{label} names people, and no request to erase one would look there.", hint=hint, id="retention.E007")
        if line.lifetime in TIMED and not line.clock:
            yield Error(f"{label} is kept for a time, and its line names no clock.", id="retention.E006")


def _has_field(model: type[models.Model], path: str) -> bool:
    name, _, rest = path.partition("__")
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return not rest or (field.related_model is not None and _has_field(field.related_model, rest))  # type: ignore[arg-type]
