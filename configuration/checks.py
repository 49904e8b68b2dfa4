"""System checks on the lists that come and go as files."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.core.checks import CheckMessage, Error, Tags, register

from callcenter_site.admin import PortalAdmin


@register(Tags.admin)
def check_sheets(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A list goes in and out only through the base that keeps accounts apart, and only from a page of the portal."""
    from configuration.importing.sheet import SHEETS, Sheet  # the sheets know the models

    found: list[CheckMessage] = []
    offered = set()
    for page in admin.site._registry.values():
        sheet = getattr(page, "sheet", None)
        if sheet is None:
            continue
        if not (isinstance(sheet, type) and issubclass(sheet, Sheet)) or SHEETS.get(sheet.name) is not sheet:
            found.append(
                Error(
                    f"{type(page).__name__} brings rows in through {sheet!r}, which does not keep accounts apart.",
                    hint="Derive it from configuration.importing.sheet.Sheet and register it.",
                    obj=type(page),
                    id="callcenter.E040",
                )
            )
            continue
        offered.add(sheet)
        if sheet.model is not page.model or not isinstance(page, PortalAdmin):
            found.append(
                Error(
                    f"{type(page).__name__} offers {sheet.__name__}, whose rows are not the page's own.",
                    hint="Offer a sheet on the page of its model, which is a PortalAdmin.",
                    obj=type(page),
                    id="callcenter.E041",
                )
            )
    found += [
        Error(
            f"{sheet.__name__} belongs to no page.",
            hint="Put configuration.admin.imports.SheetAdmin before the bases of its model's page, and name the sheet there.",
            obj=sheet,
            id="callcenter.E042",
        )
        for sheet in SHEETS.values()
        if sheet not in offered
    ]
    return found
