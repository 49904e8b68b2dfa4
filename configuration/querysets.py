"""Questions about configuration, in the field's words."""

from typing import Self

from configuration.scoping import AccountQuerySet, Actor


class ImportRunQuerySet(AccountQuerySet):
    """Imports: one's own, or everybody's for whoever may see those, and of the lists one may import at all."""

    def visible_to(self, actor: Actor) -> Self:
        from configuration.importing import SHEETS  # the sheets know the models

        rows = (
            super().visible_to(actor).exclude(sheet__in=[name for name, sheet in SHEETS.items() if not sheet.may_import(actor)])
        )
        if actor.has_perm("configuration.view_importrun"):
            return rows
        return rows.filter(started_by=getattr(actor, "pk", None))
