"""A name that nobody sees is none."""

import pytest
from django.core.exceptions import ValidationError

from configuration.models import ApiKey, BreakReason, Disposition, QuickReplyGroup, Role, ScreenPop


@pytest.mark.parametrize("model", [ApiKey, BreakReason, Disposition, QuickReplyGroup, Role, ScreenPop])
@pytest.mark.parametrize("name", ["\u200b", "\ufeff\u202e", " \u200b "])
def test_a_name_without_a_visible_character_is_refused(model, name):
    with pytest.raises(ValidationError) as caught:
        model(name=name).clean()
    assert caught.value.message_dict["name"] == ["This field is required."]


def test_an_unseen_character_beside_visible_ones_does_no_harm():
    row = BreakReason(name="Lunch\u200b")
    row.clean()
    assert row.name == "Lunch\u200b"
