"""Nothing is forgotten: every table says how long its rows live."""

from dataclasses import replace

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.db import models

from callcenter_site.erasure import Kept, Lifetime
from retention.backups import kinds
from retention.checks import check_declarations, problems_of
from retention.erasure import KEPT

TABLES = apps.get_models(include_auto_created=True)


def ids(kept, tables=TABLES):
    return [problem.id for problem in problems_of(kept, tables)]


def test_every_model_of_ours_and_of_libraries_has_its_line():
    assert run_checks(tags=["retention"]) == []


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model._meta.label)
def test_a_model_without_a_line_fails_the_check(model):
    assert ids([line for line in KEPT if line.model != model._meta.label]) == ["retention.E001"]


def test_two_lines_for_one_model_fail_the_check():
    assert ids([*KEPT, KEPT[0]]) == ["retention.E002"]


def test_a_line_for_a_model_that_is_gone_fails_the_check():
    assert ids([*KEPT, Kept("calls.Fax", Lifetime.CONFIGURATION)]) == ["retention.E003"]


@pytest.mark.parametrize("wrong", [{"clock": "expired_on"}, {"people": ("caller",)}, {"files": ("sound",)}, {"account": "owner"}])
def test_a_line_with_a_name_that_is_no_field_fails_the_check(wrong):
    kept = [replace(line, **wrong) if line.model == "calls.Voicemail" else line for line in KEPT]
    assert ids(kept) == ["retention.E004"]


def test_a_file_field_that_its_line_does_not_name_fails_the_check():
    class Fax(models.Model):
        scan = models.FileField()

        class Meta:
            app_label = "tests"
            managed = False

    try:
        line = Kept("tests.Fax", Lifetime.CONFIGURATION, account="")
        assert ids([line], [Fax]) == ["retention.E005"]
        assert ids([replace(line, files=("scan",))], [Fax]) == []
    finally:
        del apps.all_models["tests"]["fax"]


def test_what_is_kept_for_a_time_names_its_clock():
    kept = [replace(line, clock="") if line.model == "calls.Call" else line for line in KEPT]
    assert ids(kept) == ["retention.E006"]


def test_what_could_not_be_restored_fails_a_check_of_its_own(monkeypatch):
    monkeypatch.setattr(kinds, "problems", lambda kept: ["calls.Fax is restored before calls.Call, which it points to"])
    assert [problem.id for problem in check_declarations(None)] == ["retention.E008"]


def test_every_row_below_a_call_lives_as_long_as_the_call():
    rows = [line for line in KEPT if line.model != "retention.HeldCall"]  # it goes with its hold, and holds the call until then
    below = [line for line in rows if any(f.name == "call" for f in apps.get_model(line.model)._meta.get_fields())]
    assert {line.model for line in below} >= {"calls.CallLeg", "calls.QueueEntry", "calls.IvrStep", "calls.Recording"}
    assert {(line.lifetime, line.clock) for line in below} == {(Lifetime.CALL_DATA, "call__ended_on")}
