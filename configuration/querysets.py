"""Questions about configuration, in the field's words."""

from typing import Self

from configuration.scoping import AccountQuerySet, Actor


class ImportRunQuerySet(AccountQuerySet):
    """Imports: one's own, or everybody's for whoever may see those, and of the lists one may import at all.

    What others bring in speaks of rows all over the account, so it is for those who see all of it.
    """

    def visible_to(self, actor: Actor) -> Self:
        from configuration.access import reaches  # asks what roles say, and they are models
        from configuration.importing.sheet import SHEETS  # the sheets know the models
        from configuration.models import Role  # the models import their querysets

        rows = (
            super().visible_to(actor).exclude(sheet__in=[name for name, sheet in SHEETS.items() if not sheet.may_import(actor)])
        )
        if actor.has_perm("configuration.view_importrun") and reaches(actor, Role.DataScope.ACCOUNT):
            return rows
        return rows.filter(started_by=getattr(actor, "pk", None))
