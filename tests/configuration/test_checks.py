"""The portal does not start with a list that goes in or out past the base."""

import pytest
from django.contrib import admin

from configuration.checks import check_sheets
from configuration.importing.sheet import SHEETS, Sheet
from configuration.models import Keyword
from configuration.sheets import BlacklistSheet, KeywordSheet


def found() -> list[str]:
    return [message.id for message in check_sheets(None)]


def test_every_sheet_of_the_portal_is_fine():
    assert found() == []
    assert len(SHEETS) >= 9


@pytest.mark.parametrize(
    ("sheet", "ids"),
    [
        (object(), ["callcenter.E040", "callcenter.E042"]),
        (type("Foreign", (), {"name": "keywords", "model": Keyword}), ["callcenter.E040", "callcenter.E042"]),
        (
            type("Unregistered", (Sheet,), {"name": "keywords", "model": Keyword}),
            ["callcenter.E040", "callcenter.E042"],
        ),
        (BlacklistSheet, ["callcenter.E041", "callcenter.E042"]),
    ],
)
def test_a_page_with_another_sheet_is_refused(monkeypatch, sheet, ids):
    monkeypatch.setattr(type(admin.site._registry[Keyword]), "sheet", sheet)
    assert found() == ids


def test_a_sheet_without_a_page_is_refused(monkeypatch):
    monkeypatch.setitem(SHEETS, "lost", type("Lost", (KeywordSheet,), {"name": "lost"}))
    assert found() == ["callcenter.E042"]
