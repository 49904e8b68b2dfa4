"""Every place where a subject may stand, in the order in which they are erased: right to left through the apps.

What must never happen: a table that names people is in no store, and a request about one of them completes. A system
check fails for such a table (`retention/checks.py`), and where it is there all the same, a request about it fails.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.db import models
from django.utils.functional import lazystr
from django.utils.translation import gettext_lazy as _

from agents.subjects import STORES as AGENTS
from analytics.subjects import STORES as ANALYTICS
from callcenter_site.erasure import Kept, Lifetime
from callcenter_site.subjects import PEOPLE, Erased, Page, Store, Subject, SubjectKind, Work, first_ids, whole_rows
from calls.subjects import STORES as CALLS
from configuration.subjects import STORES as CONFIGURATION
from retention.erasure import KEPT
from retention.models import LegalHold
from retention.models.holds import number_hash

OURS = ("analytics", "calls", "agents", "configuration")
BACKUPS = "backups"
"""Comes after all of these, and is not one of them: no row is locked there, and files are written (`deletion.py`)."""
NAMES_NOBODY = frozenset(
    {"retention.HeldCall", "calls.CallSeenBy", "agents.StatusChange", "configuration.AuditEntry", "admin.LogEntry"}
)
"""They point to a person by the id of their row, which is all that an erased person leaves."""
SHELLS = frozenset({"configuration.Account", "configuration.DataKey", "agents.Agent"})
"""Rows that stay, emptied, for others that stay point to them; and the keys, which are destroyed last."""


def _hold_hashes(subject: Subject) -> list[bytes]:
    return [number_hash(subject.account_id, number) for number in subject.numbers]


def _find_holds(subject: Subject, after: Any, limit: int) -> Page:
    rows = LegalHold.objects.for_account(subject.account_id)
    return first_ids(rows.filter(number_hash__in=_hold_hashes(subject)), after, limit)


def _erase_holds(subject: Subject, ids: list[Any], work: Work) -> Erased:
    """One that was released keeps its reference and its days, and no number. One in force stays as it is."""
    rows = LegalHold.objects.for_account(subject.account_id).filter(pk__in=ids)
    n_held = rows.filter(released_at=None).count()
    return Erased(rows.exclude(released_at=None).update(number="", number_hash=b""), n_held)


_HOLDS = Store("legal_holds", _("legal holds"), PEOPLE, ("retention.LegalHold",), _find_holds, _erase_holds)
_BY_HAND: tuple[Store, ...] = (_HOLDS, *ANALYTICS, *CALLS, *AGENTS, *CONFIGURATION)


def stores_for(kind: str) -> list[Store]:
    """The stores a request of this kind goes through, in order."""
    if kind != SubjectKind.ACCOUNT:
        return [store for store in _BY_HAND if SubjectKind(kind) in store.kinds]
    by_hand = [store for store in _BY_HAND if SubjectKind(kind) in store.kinds]
    done = {label for store in by_hand for label in store.models}
    whole = list(_whole_tables(done))
    # People are emptied when nothing that belongs to them is left, and what they were given goes after that.
    people = [store for store in by_hand if store.name == "agents"]
    given = [store for store in whole if store.models[0].startswith("configuration.")]
    return [
        *(store for store in by_hand if store not in people),
        *(store for store in whole if store not in given),
        *people,
        *given,
    ]


def titles(kind: str) -> dict[str, Any]:
    """What stores are called on pages and certificates, by name."""
    return {store.name: store.title for store in stores_for(kind)} | {BACKUPS: _("backups")}


def store_named(name: str, kind: str) -> Store | None:
    return next((store for store in stores_for(kind) if store.name == name), None)


def pages(store: Store, subject: Subject, limit: int = 5000, *, after: Any = None) -> Iterator[Page]:
    """What is found in a store, page by page: each is looked for when the one before it was worked on."""
    while True:
        page = store.find(subject, after, limit)
        yield page
        after = page.cursor
        if after is None:
            return


def count(store: Store, subject: Subject) -> int:
    return sum(len(page.ids) for page in pages(store, subject))


def uncovered(kept: Iterable[Kept] | None = None, stores: Iterable[Store] | None = None) -> list[str]:
    """Tables that name people and are in no store that can be asked about a person."""
    asked = [store for store in (_BY_HAND if stores is None else stores) if store.kinds & PEOPLE]
    covered = {label for store in asked for label in store.models} | NAMES_NOBODY
    return [
        line.model
        for line in (KEPT if kept is None else kept)
        if line.people and line.model not in covered and line.lifetime not in (Lifetime.PROOF, Lifetime.INSTALLATION)
    ]


def _whole_tables(done: set[str]) -> Iterator[Store]:
    """Every other table of an account, each after those that point to it, so that one added later goes as well."""
    lines = {line.model: line for line in KEPT}
    for model in _children_first():
        line = lines.get(model._meta.label)
        if line is not None and line.account == "account" and model._meta.label not in done | SHELLS:
            yield _whole_table(model, line)


def _children_first() -> list[type[models.Model]]:
    todo = [model for app in OURS for model in apps.get_app_config(app).get_models(include_auto_created=True)]
    ordered: list[type[models.Model]] = []
    while todo:
        pointed_at = {
            field.remote_field.model
            for model in todo
            for field in model._meta.concrete_fields
            if field.remote_field and field.remote_field.model is not model
        }
        free = [model for model in todo if model not in pointed_at]
        if not free:
            raise RuntimeError(f"tables that point at each other: {', '.join(model._meta.label for model in todo)}")
        ordered += free
        todo = [model for model in todo if model not in free]
    return ordered


def _whole_table(model: Any, line: Kept) -> Store:
    def rows(subject: Subject) -> Any:
        return model._base_manager.filter(account_id=subject.account_id)

    find, delete = whole_rows(rows)

    def erase(subject: Subject, ids: list[Any], work: Work) -> Erased:
        for name in line.files:
            named = rows(subject).filter(pk__in=ids).exclude(**{name: ""})
            work.put_files(set(named.values_list(name, flat=True)))
        return delete(subject, ids, work)

    name = model._meta.label_lower.replace(".", "_")
    return Store(
        name, lazystr(model._meta.verbose_name_plural), frozenset({SubjectKind.ACCOUNT}), (model._meta.label,), find, erase
    )
