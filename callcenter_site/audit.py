"""The audit log: who did what to which row, and who looked at what. It holds ids; names, numbers, emails and addresses
stay where they are erased with their person.

Changes come from the library, which watches `save` and `delete`; looks are said by whoever shows something. An entry
without account is of the installation.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from auditlog import get_logentry_model
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import models
from django.db.models import Model
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from callcenter_site.bulk import insert_rows

MOST_IDS = 1000
"""Ids of rows that one entry names; an export of more says how many there were."""
KEYS_EVERY_SECONDS = 60
"""A program that asks for the same again and again leaves one entry in this time."""

_acting: ContextVar[Callable[[], Any] | None] = ContextVar("acting", default=None)


class Look(models.TextChoices):
    """What somebody looked at, where nothing was changed."""

    LISTENED = "listened", _("listened to a recording")
    NUMBERS = "numbers", _("saw whole numbers")
    PERSON = "person", _("opened a person's data")
    PHONES = "phones", _("saw an agent's phone numbers")
    DEVICES = "devices", _("saw an agent's device and network data")
    EXPORTED = "exported", _("exported rows")


class AuditMiddleware:
    """Whatever a request changes or shows is put down to whoever made it, an API key included."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = _acting.set(lambda: request.user)  # asked when an entry is made: a key is known only to the API's views
        try:
            return self.get_response(request)
        finally:
            _acting.reset(token)


@contextmanager
def acting(actor: Any) -> Iterator[None]:
    """Puts down what a task does to the person or key it works for."""
    token = _acting.set(lambda: actor)
    try:
        yield
    finally:
        _acting.reset(token)


@receiver(pre_save, sender=settings.AUDITLOG_LOGENTRY_MODEL, dispatch_uid="audit-ids")
def fill_in_ids(sender: Any, instance: Any, **kwargs: Any) -> None:
    """By whom, in which account, which row: by id. What a row is called may be a person's name; the library would copy
    it into the entry."""
    model = instance.content_type.model_class()
    label = model._meta.label if model else instance.content_type.model
    instance.object_repr = f"{label}#{instance.object_pk}" if instance.object_pk else label
    said = dict(instance.additional_data or {})
    if "account" in said:
        instance.account_id = said.pop("account")
        instance.additional_data = said or None
    who = _acting.get()
    if who is not None and instance.actor_id is None and instance.api_key_id is None:
        instance.actor_id, instance.api_key_id = _ids_of(who())
    instance.cid = instance.cid or _request_id()


def unsaid(value: str) -> str:
    """What an entry holds in place of a value that is personal or secret: that the field changed, and nothing of it."""
    return "…"


def log_update(row: Model, **changes: tuple[Any, Any]) -> Any:
    """Says that fields of a row changed, each from one value to another, where no `save` says it: a guarded update sends
    no signal."""
    entries = get_logentry_model()
    return entries.objects.log_create(row, action=entries.Action.UPDATE, changes=_as_text(changes))


def log_rows(
    model: type[Model],
    ids: Sequence[int],
    *,
    actor: Any,
    action: int,
    names: Iterable[str] = (),
    changes: Mapping[str, tuple[Any, Any]] | Sequence[Mapping[str, tuple[Any, Any]]] = (),
) -> None:
    """An entry for each of many rows where no `save` makes it: that fields were written, and nothing of them; or what they
    changed from and to, all alike or each by itself."""
    if not ids:
        return
    each = [changes] * len(ids) if isinstance(changes, Mapping) else changes or [dict.fromkeys(names, ("…", "…"))] * len(ids)
    at, kind = timezone.now(), ContentType.objects.get_for_model(model).pk
    actor_id, key_id = _ids_of(actor)
    cid = _request_id()
    label, account_id = model._meta.label, actor.account_id
    columns = "account_id actor_id api_key_id content_type_id object_pk object_id object_repr action changes look timestamp cid"
    insert_rows(
        get_logentry_model(),
        columns.split(),
        [
            (account_id, actor_id, key_id, kind, str(pk), pk, f"{label}#{pk}", int(action), _as_text(said), "", at, cid)
            for pk, said in zip(ids, each, strict=True)
        ],
    )


def _as_text(changes: Mapping[str, tuple[Any, Any]]) -> dict[str, list[str]]:
    return {name: [str(value) for value in pair] for name, pair in changes.items()}


def log_look(
    look: Look, model: type[Model], ids: Sequence[int], *, actor: Any, place: str = "", once_in_seconds: int = 0, **more: Any
) -> None:
    """Says that an actor was shown these rows, in one entry and one statement; with no rows, nothing.

    A person's every page view is told; of a part of a page that fetches itself again, the same rows once in a time. Of an
    API key, which may ask every second, one entry a minute for each `place`, naming the rows of its first answer.
    """
    if not ids:
        return
    actor_id, key_id = _ids_of(actor)
    what = f"{look}:{model._meta.label_lower}:{place}"
    if key_id is not None and _told_already(f"looked:key:{key_id}:{what}", KEYS_EVERY_SECONDS):
        return
    if once_in_seconds and _told_already(f"looked:{actor_id}:{what}:{hash(tuple(ids))}", once_in_seconds):
        return
    one = ids[0] if len(ids) == 1 else None
    if one is None:
        more |= {"ids": list(ids[:MOST_IDS]), "n": len(ids)}
    entries = get_logentry_model()
    entries.objects.create(
        account_id=actor.account_id,
        actor_id=actor_id,
        api_key_id=key_id,
        content_type=ContentType.objects.get_for_model(model),
        object_pk="" if one is None else str(one),
        object_id=one,
        action=entries.Action.ACCESS,
        look=look,
        additional_data=more or None,
    )


def log_export(model: type[Model], n_rows: int, *, actor: Any, **more: Any) -> None:
    """Says that an actor took a whole list away as a file."""
    actor_id, key_id = _ids_of(actor)
    entries = get_logentry_model()
    entries.objects.create(
        account_id=actor.account_id,
        actor_id=actor_id,
        api_key_id=key_id,
        content_type=ContentType.objects.get_for_model(model),
        object_pk="",
        action=entries.Action.ACCESS,
        look=Look.EXPORTED,
        additional_data={"n": n_rows, **more},
    )


class LooksAreLogged:
    """For an API view of rows: each answer that shows them is a look, named in `look`.

    Put before the view's base. `shows` may say that an answer to this asker holds nothing worth an entry.
    """

    look: Look

    def shows(self, request: Any) -> bool:
        return True

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        view: Any = self
        if (request.method == "GET" or view.action == "list") and response.status_code == 200 and self.shows(request):
            data = response.data
            rows = data.get("results", [data]) if isinstance(data, dict) else data
            model = view.queryset.model
            log_look(self.look, model, [row["id"] for row in rows], actor=request.user, place=view.action)
        return response


def _request_id() -> str | None:
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))[:64] or None


def _told_already(key: str, seconds: int) -> bool:
    """`add` answers None where the cache cannot be asked: then each time is told, rather than none."""
    return cache.add(key, 1, seconds) is False


def _ids_of(actor: Any) -> tuple[int | None, int | None]:
    """Person and API key, one of them; neither for the portal itself."""
    key = getattr(actor, "key", None)
    return (None, key.pk) if key is not None else (getattr(actor, "pk", None), None)
