"""The end of an account: access stops at once, what it had goes when nobody can take that back any more, its key last.

What is left is the account's row, with nothing personal in it, and the ledger, which never had anything.
"""

import datetime as dt

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from callcenter_site.erasure import delete_rows
from callcenter_site.streams import account_topic, publish
from configuration import encryption
from configuration.models import Account, DataKey
from retention import ledger
from retention.backups.reach import forget_account
from retention.ledger import LedgerKind
from retention.models import DeletionRequest

REACTIVATION = dt.timedelta(days=14)
"""From receipt. With backups and snapshots each kept for a week, thirty days leave sixteen for what is live."""


def end_access(request: DeletionRequest, *, at: dt.datetime) -> dt.datetime:
    """Nobody signs in, no key opens anything, nothing is taken in; returns until when that can be undone."""
    if Account.objects.filter(pk=request.account_id, terminated_at=None).update(terminated_at=at) != 1:
        raise ValidationError(_("The account is terminated already."))
    until = max(at, request.received_at + REACTIVATION)
    ledger.append(kind=LedgerKind.TERMINATION, account_id=request.account_id, at=at, request_id=str(request.pk))
    transaction.on_commit(lambda: publish([account_topic(request.account_id)]))
    return until


def restore_access(request: DeletionRequest, *, at: dt.datetime) -> None:
    Account.objects.filter(pk=request.account_id).update(terminated_at=None)
    ledger.append(kind=LedgerKind.REACTIVATION, account_id=request.account_id, at=at, request_id=str(request.pk))


def destroy(request: DeletionRequest, *, at: dt.datetime) -> None:
    """Empties the account's row and destroys its keys: whatever copy of its data is left anywhere opens no more."""
    account_id = request.account_id
    # What a night that was under way has written since the last search: gone with the key, and now named for the store.
    forget_account(account=request.account, at=at, cause=f"deletion:{request.pk}")
    delete_rows(Agent.objects.for_account(account_id).exclude(pk__in=_pointed_at(account_id)))
    Account.objects.filter(pk=account_id).update(
        name=f"#{account_id}", slug=f"terminated-{account_id}", key_id="", wrapped_key=b"", key_made_under=""
    )
    delete_rows(DataKey.objects.filter(account_id=account_id))
    ledger.append(kind=LedgerKind.KEY_DESTROYED, account_id=account_id, at=at, request_id=str(request.pk))
    transaction.on_commit(encryption.forget_keys)


def _pointed_at(account_id: int) -> set[int]:
    """People whose empty rows must stay, for something that stays points to them."""
    ids: set[int] = set()
    for relation in Agent._meta.get_fields(include_hidden=True):
        if relation.auto_created and not relation.concrete and relation.related_model is not None:
            field = relation.field  # type: ignore[union-attr]
            rows = relation.related_model._base_manager.filter(**{f"{field.name}__account_id": account_id})  # type: ignore[union-attr]
            ids.update(rows.values_list(field.attname, flat=True))
    return ids
