"""Questions about what retention keeps, in the field's words."""

import datetime as dt
from typing import Self

from django.db.models import Q

from agents.querysets import sees_account
from configuration.scoping import AccountQuerySet, Actor


class WholeAccountQuerySet(AccountQuerySet):
    """What speaks of people all over the account, and so is for those who see all of it."""

    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.none()


LEASE = dt.timedelta(minutes=5)
"""A worker of a request that is silent for so long is taken to be dead."""


class RequestQuerySet(WholeAccountQuerySet):
    def due(self, at: dt.datetime) -> Self:
        """Those a worker may go on with: they wait for nothing, and no other is at them."""
        free = Q(heartbeat_at=None) | Q(heartbeat_at__lt=at - LEASE)
        return self.filter(free, Q(retry_at=None) | Q(retry_at__lte=at), state__in=self.model.AT_WORK)


class BackupObjectQuerySet(WholeAccountQuerySet):
    def without_manifest(self) -> Self:
        """The objects with rows in them."""
        return self.exclude(kind=self.model.MANIFEST)
