"""Changing keys while the portal serves: those of the environment, and the data keys that encrypt personal columns.

Rewrapping puts every stored key under the newest key of the environment, after which the older ones can be removed.
Renewing goes further: each owner (an account, or the installation) gets a new data key, every value is written anew
under it, and the old one is destroyed. What must never happen: a value that no key opens, and an edit overwritten.

- A value is replaced only if it still is the bytes that were read.
- A new key is there before anything stands under it. Processes learn of it within `STALE_SECONDS`; until then, and for
  as long as a transaction may take, they may still write with the old one. So the last look at all values begins
  `SETTLE_SECONDS` after the new key was made, and an old key goes only if that look finds nothing under it.
- There is no cursor to lose: what is left to do are the values with an old number, so a run that was killed is taken up
  by the next, and two runs at once do no more than each other's work.

Index keys stay: with others, nobody would be found by number or email until every hash was made anew.
"""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, OperationalError, models, transaction
from django.db.models.functions import Substr
from django.utils import timezone

from configuration.encryption import (
    HEAD_BYTES,
    STALE_SECONDS,
    DecryptionError,
    EncryptedTextField,
    KeepsKey,
    current_number,
    decrypt,
    derived_index_key,
    derived_installation_keys,
    encrypt,
    forget_keys,
    key_number,
    new_wrapped_key,
    newest_key_id,
    rewrap,
    unwrap_key,
    wrap_key,
    wrapped_for,
)
from configuration.models import Account, DataKey

SETTLE_SECONDS = STALE_SECONDS + 90
"""From a new data key until nobody can still write with the old one: the longest statement may take 60 s."""
BATCH = 200
MOST_TRIES = 5
INSTALLATION = 0

Purpose = DataKey.Purpose


class RotationRefused(Exception):
    """Nothing was changed; the text says why, and what to do."""


@dataclass
class Outcome:
    """What a run did."""

    n_rewrapped: int = 0
    n_new_keys: int = 0
    n_values: int = 0
    n_edited_meanwhile: int = 0
    n_destroyed: int = 0
    unreadable: list[str] = field(default_factory=list)
    """Values that no key opens, by table, column and row. They stay as they are."""

    @property
    def did_nothing(self) -> bool:
        return not (self.n_rewrapped or self.n_new_keys or self.n_values or self.n_destroyed)


# --- The keys themselves ---------------------------------------------------------------------------------------------


def check_keys(account: Account | None = None) -> None:
    """Raises `RotationRefused` unless every stored key opens with what the environment holds."""
    problems: Counter[str] = Counter()
    for row in _keepers(account):
        try:
            unwrap_key(row.key_id, row.wrapped_key, row.bound_to())
        except DecryptionError:
            problems[row.key_id] += 1
    if problems:
        listed = ", ".join(
            f"{key_id or '(none)'}: {'missing' if key_id not in settings.ENCRYPTION_KEYS else 'not the same key'}, needed by {n}"
            for key_id, n in sorted(problems.items())
        )
        raise RotationRefused(
            f"Stored keys do not open with ENCRYPTION_KEYS ({listed}). Nothing was changed. Put the keys they were wrapped "
            "with back into ENCRYPTION_KEYS, under the same ids, the newest last."
        )


def count_keys(account: Account | None = None) -> Counter[str]:
    """How many stored keys hang on which key of the environment."""
    return Counter(row.key_id for row in _keepers(account))


def _keepers(account: Account | None, **but_not: str) -> Iterator[Any]:
    """Every row that keeps a wrapped key, in whichever app; with an account, those that are its own."""
    keepers: list[Any] = [model for model in apps.get_models() if issubclass(model, KeepsKey)]
    for model in keepers:
        rows = model._base_manager.exclude(wrapped_key=b"").order_by("pk")
        if account is not None and model is Account:
            rows = rows.filter(pk=account.pk)
        elif account is not None:
            if not hasattr(model, "account_id"):
                continue  # the installation's
            rows = rows.filter(account_id=account.pk)
        yield from rows.exclude(**but_not) if but_not else rows


def _of_owner(account: Account | None) -> tuple[Any, Any]:
    accounts, stored = Account.objects.all(), DataKey.objects.exclude(wrapped_key=b"")
    return (accounts, stored) if account is None else (accounts.filter(pk=account.pk), stored.filter(account=account))


def store_installation_keys() -> int:
    """Stores what until now follows from the oldest key of the environment, so that this one may go; how many.

    Raises `RotationRefused` if the first key is not the one that people's login hashes were made with.
    """
    if DataKey.objects.filter(owner=INSTALLATION).exists():
        return 0
    people: Any = get_user_model()
    person = people._default_manager.exclude(**{people.USERNAME_FIELD: ""}).order_by("pk").first()
    try:
        found = person is None or people._default_manager.get_by_natural_key(person.get_username()).pk == person.pk
    except (people.DoesNotExist, DecryptionError):
        found = False
    if not found:
        raise RotationRefused(
            "The first key of ENCRYPTION_KEYS is not the one this installation began with: nobody is found by their email. "
            "Nothing was changed. Put the oldest key first."
        )
    return _store(None, {Purpose(name): key for name, key in derived_installation_keys().items()})


def _store(account: Account | None, keys: dict[DataKey.Purpose, bytes]) -> int:
    """Stores keys that another run may be storing at this moment, all or none."""
    owner = account.pk if account else INSTALLATION
    try:
        with transaction.atomic():
            for purpose, key in keys.items():
                key_id, wrapped = wrap_key(key, wrapped_for(owner, purpose, 1))
                # Derived from a key that is older than it: never said to be made under the newest.
                made_under = next(iter(settings.ENCRYPTION_KEYS)) if account is None else account.key_id
                DataKey.objects.create(
                    account=account, purpose=purpose, key_id=key_id, wrapped_key=wrapped, made_under=made_under
                )
    except IntegrityError:
        return 0
    return len(keys)


def rewrap_keys(account: Account | None = None) -> int:
    """Puts stored keys under the newest key of the environment; how many were not."""
    n = 0
    for row in _keepers(account, key_id=newest_key_id()):
        n += rewrap(row, **({"key_made_under": row.key_made_under or row.key_id} if isinstance(row, Account) else {}))
    return n


def make_data_keys(account: Account | None = None, *, again: bool = False) -> int:
    """A new data key for each owner whose present one was ever wrapped by another key than the newest; how many.

    With `again`, for each owner that has only one: who has two is in the middle of a change.
    """
    n = 0
    for owner in _owners(account):
        of_owner = DataKey.objects.filter(owner=owner.pk if owner else INSTALLATION, purpose=Purpose.DATA)
        stored = list(of_owner.order_by("number").values_list("number", "made_under"))
        if owner is not None and owner.wrapped_key:
            stored.insert(0, (1, owner.key_made_under or owner.key_id))
        if not stored or not ((again and len(stored) == 1) or stored[-1][1] != newest_key_id()):
            continue
        if owner is not None and owner.wrapped_key and not owner.data_keys.filter(purpose=Purpose.INDEX).exists():
            _store(owner, {Purpose.INDEX: derived_index_key(unwrap_key(owner.key_id, bytes(owner.wrapped_key)))})
        number = stored[-1][0] + 1
        key_id, wrapped = new_wrapped_key(wrapped_for(owner.pk if owner else INSTALLATION, Purpose.DATA, number))
        try:
            with transaction.atomic():
                DataKey.objects.create(
                    account=owner, purpose=Purpose.DATA, number=number, key_id=key_id, wrapped_key=wrapped, made_under=key_id
                )
        except IntegrityError:
            continue  # another run was faster; its key is as new
        n += 1
    forget_keys()
    return n


def _owners(account: Account | None) -> Iterator[Account | None]:
    if account is not None:
        yield Account.objects.get(pk=account.pk)
        return
    yield None
    yield from Account.objects.order_by("pk").iterator(chunk_size=500)


# --- The values ------------------------------------------------------------------------------------------------------


def encrypted_columns() -> dict[type[models.Model], list[EncryptedTextField]]:
    """Every model that has encrypted columns, and which."""
    found = {
        model: [column for column in model._meta.concrete_fields if isinstance(column, EncryptedTextField)]
        for model in apps.get_models()
        if not model._meta.proxy
    }
    return {model: columns for model, columns in found.items() if columns}


def count_rows(account: Account | None = None) -> int:
    return sum(_rows(model, account).count() for model in encrypted_columns())


def count_values(account: Account | None = None) -> Counter[tuple[int, int | None]]:
    """How many values hang on which key: by owner (0: the installation) and number. None: no value of ours."""
    counts: Counter[tuple[int, int | None]] = Counter()
    for model, columns in encrypted_columns().items():
        for _pk, account_id, heads in _heads(model, columns, account):
            counts.update((account_id or INSTALLATION, key_number(head)) for head in heads if head)
    return counts


def renew_values(
    account: Account | None, outcome: Outcome, *, seen: Callable[[int], None] = lambda n: None
) -> Counter[tuple[int, int]]:
    """Writes every value anew that stands under another key than its owner's present one.

    Answers which old keys were still met, by owner and number, unreadable values included.
    """
    met: Counter[tuple[int, int]] = Counter()
    for model, columns in encrypted_columns().items():
        n, batch = 0, list[int]()
        for n, (pk, account_id, heads) in enumerate(_heads(model, columns, account), start=1):
            now = current_number(account_id)
            old = [number for head in heads if head and (number := key_number(head)) != now]
            met.update((account_id or INSTALLATION, number or 0) for number in old)
            if old:
                batch.append(pk)
            if len(batch) == BATCH:
                _renew_batch(model, columns, batch, outcome)
                batch = []
            if n % BATCH == 0:
                seen(BATCH)
        seen(n % BATCH)
        if batch:
            _renew_batch(model, columns, batch, outcome)
    return met


def _rows(model: type[models.Model], account: Account | None) -> Any:
    rows = model._base_manager.all()
    return rows if account is None else rows.filter(account_id=account.pk)


def _heads(
    model: type[models.Model], columns: list[EncryptedTextField], account: Account | None
) -> Iterator[tuple[int, int | None, list[bytes]]]:
    """Each row with the first bytes of its values, which say their key: a column may hold megabytes."""
    heads = {
        f"head_{n}": Substr(column.name, 1, HEAD_BYTES, output_field=models.BinaryField()) for n, column in enumerate(columns)
    }
    after = 0
    while True:
        rows = _rows(model, account).filter(pk__gt=after).order_by("pk").annotate(**heads)
        page = list(rows.values_list("pk", "account_id", *heads)[: BATCH * 5])
        for pk, account_id, *found in page:
            yield pk, account_id, [bytes(head or b"") for head in found]
        if len(page) < BATCH * 5:
            return
        after = page[-1][0]


def _renew_batch(model: type[models.Model], columns: list[EncryptedTextField], ids: list[int], outcome: Outcome) -> None:
    """One transaction, taken up again if the database broke it off; nothing is counted twice."""
    for attempt in range(1, MOST_TRIES + 1):
        part = Outcome()
        try:
            with transaction.atomic():
                for row in (
                    model._base_manager.filter(pk__in=ids)
                    .order_by("pk")
                    .values("pk", "account_id", *(column.attname for column in columns))
                ):
                    for column in columns:
                        _renew_value(model, column, row, part)
            break
        except OperationalError:
            if attempt == MOST_TRIES:
                raise
            time.sleep(0.1 * attempt)
    outcome.n_values += part.n_values
    outcome.n_edited_meanwhile += part.n_edited_meanwhile
    outcome.unreadable += [name for name in part.unreadable if name not in outcome.unreadable]


def _renew_value(model: type[models.Model], column: EncryptedTextField, row: dict[str, Any], outcome: Outcome) -> None:
    stored, account_id = row[column.attname], row["account_id"]
    if not stored or key_number(stored) == current_number(account_id):
        return
    try:
        text = decrypt(stored, account_id=account_id, context=column.context)
    except DecryptionError:
        outcome.unreadable.append(f"{column.context}#{row['pk']}")
        return
    renewed = encrypt(text, account_id=account_id, context=column.context)
    unchanged = {"pk": row["pk"], "account_id": account_id, column.name: bytes(stored)}
    if model._base_manager.filter(**unchanged).update(**{column.name: renewed}):
        outcome.n_values += 1
    else:
        outcome.n_edited_meanwhile += 1


# --- Letting go of the old keys --------------------------------------------------------------------------------------


def old_data_keys(account: Account | None = None) -> list[tuple[int, int]]:
    """Data keys that encrypt nothing new, by owner and number."""
    numbers: dict[int, set[int]] = {}
    _accounts, stored = _of_owner(account)
    for owner, number in stored.filter(purpose=Purpose.DATA).values_list("owner", "number"):
        numbers.setdefault(owner, set()).add(number)
    accounts, _stored = _of_owner(account)
    for pk in accounts.filter(pk__in=numbers).exclude(wrapped_key=b"").values_list("pk", flat=True):
        numbers[pk].add(1)
    return sorted((owner, number) for owner, there in numbers.items() for number in there if number != max(there))


def settles_at(account: Account | None = None) -> dt.datetime | None:
    """When nobody can write with an old data key any more; None where there is none."""
    owners = {owner for owner, _number in old_data_keys(account)}
    newest = DataKey.objects.filter(owner__in=owners, purpose=Purpose.DATA).aggregate(at=models.Max("created_at"))["at"]
    return newest + dt.timedelta(seconds=SETTLE_SECONDS) if newest else None


def destroy_keys(keys: Iterable[tuple[int, int]]) -> int:
    """Destroys data keys, by owner and number, that a look which began settled found nothing under; how many."""
    n = 0
    for owner, number in keys:
        n += DataKey.objects.filter(owner=owner, purpose=Purpose.DATA, number=number).delete()[0]
        if number == 1 and owner != INSTALLATION:
            n += Account.objects.filter(pk=owner).update(key_id="", wrapped_key=b"", key_made_under="")
    forget_keys()
    return n


# --- A whole run -----------------------------------------------------------------------------------------------------


def rotate(
    *,
    account: Account | None = None,
    data: bool = False,
    again: bool = False,
    seen: Callable[[int], None] = lambda n: None,
    wait: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Rewraps; with `data` renews as well, and returns when no value stands under an old key, and those keys are gone.

    With an account, only what is its own. `wait` is called with the seconds until nobody writes with an old key.
    """
    outcome = Outcome()
    check_keys(account)
    if account is None:
        outcome.n_rewrapped += store_installation_keys()
    outcome.n_rewrapped += rewrap_keys(account)
    forget_keys()
    if not data:
        return outcome
    outcome.n_new_keys = make_data_keys(account, again=again)
    if not old_data_keys(account):
        return outcome
    renew_values(account, outcome, seen=seen)
    while True:
        doomed, settled = old_data_keys(account), settles_at(account)
        left = (settled - timezone.now()).total_seconds() if settled else 0.0
        if left <= 0:
            break
        wait(left)
    forget_keys()
    # A value edited while it was renewed was read too early; at the second look it is what it is.
    for _attempt in range(MOST_TRIES):
        met = renew_values(account, outcome)
        if not met:
            break
    outcome.n_destroyed = destroy_keys(key for key in doomed if key not in met)
    return outcome
