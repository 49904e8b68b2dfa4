"""A name that nobody sees is none."""

import pytest
from django.core.exceptions import ValidationError

from agents.models import Agent, SkillGroup
from configuration.models import ApiKey, BreakReason, Disposition, QuickReply, QuickReplyGroup, Role, ScreenPop

UNSEEN = ["\u200b", "\ufeff\u202e", " \u200b "]


@pytest.mark.parametrize("model", [ApiKey, BreakReason, Disposition, QuickReplyGroup, Role, ScreenPop, SkillGroup, Agent])
@pytest.mark.parametrize("name", UNSEEN)
def test_a_name_without_a_visible_character_is_refused(model, name):
    with pytest.raises(ValidationError) as caught:
        model(name=name).clean()
    assert caught.value.message_dict["name"] == ["This field is required."]


@pytest.mark.parametrize("field", ["staff_id", "nickname"])
@pytest.mark.parametrize("text", UNSEEN)
def test_no_part_of_an_agents_name_is_unseen(field, text):
    with pytest.raises(ValidationError) as caught:
        Agent(**({"name": "Li Wei", "staff_id": "1001"} | {field: text})).clean()
    assert list(caught.value.message_dict) == [field]


def test_an_agent_needs_no_nickname():
    agent = Agent(name=" Li  Wei ", staff_id="1001", nickname="")
    agent.clean()
    assert (agent.name, agent.nickname) == ("Li Wei", "")


@pytest.mark.parametrize("field", ["title", "text"])
@pytest.mark.parametrize("text", UNSEEN)
def test_a_quick_reply_says_something(field, text):
    with pytest.raises(ValidationError) as caught:
        QuickReply(**({"title": "Hello", "text": "Hello"} | {field: text})).clean()
    assert list(caught.value.message_dict) == [field]


def test_an_unseen_character_beside_visible_ones_does_no_harm():
    row = BreakReason(name="Lunch\u200b")
    row.clean()
    assert row.name == "Lunch\u200b"
