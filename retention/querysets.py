"""Questions about what retention keeps, in the field's words."""

from typing import Self

from agents.querysets import sees_account
from configuration.scoping import AccountQuerySet, Actor


class WholeAccountQuerySet(AccountQuerySet):
    """What speaks of people all over the account, and so is for those who see all of it."""

    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.none()


class BackupObjectQuerySet(WholeAccountQuerySet):
    def without_manifest(self) -> Self:
        """The objects with rows in them."""
        return self.exclude(kind=self.model.MANIFEST)
