import pytest

from callcenter_site.phone_numbers import HIDDEN, without_written, written_in
from callcenter_site.subjects import Subject, SubjectKind

NUMBER = "+8613800138000"
FORMS = [
    "+8613800138000",
    "13800138000",
    "008613800138000",
    "0086 138 0013 8000",
    "+86 138-0013-8000",
    "138 0013 8000",
    "(138) 0013-8000",
    "１３８００１３８０００",
    "＋８６１３８００１３８０００",
    "138\u00a00013\u00a08000",
    "138.0013.8000",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_number_is_found_in_text_in_every_form_it_is_written(form):
    text = f"Call back {form}, before 6 pm."
    [(start, end)] = written_in(text, NUMBER, "CN")
    assert form.endswith(text[start:end]) or text[start:end] in form
    hidden = without_written(text, NUMBER, "CN")
    assert len(hidden) == len(text)
    assert hidden.replace(HIDDEN, "").endswith(", before 6 pm.")
    assert "8000" not in hidden and "８０００" not in hidden


@pytest.mark.parametrize(
    "text", ["138001380001", "9913800138000999", "order 2381380013800", "8000", "", "+4413800138000", "13800138001"]
)
def test_digits_of_another_number_are_left_alone(text):
    assert written_in(text, NUMBER, "CN") == []
    assert without_written(text, NUMBER, "CN") == text


@pytest.mark.parametrize(
    "text", ["13900139000 13800138000", "2 13800138000 3", "20261124-13800138000", "138 0013 8000 138 0013 8001"]
)
def test_a_number_beside_other_digits_is_found(text):
    assert len(written_in(text, NUMBER, "CN")) == 1


def test_two_forms_in_one_text_are_both_found():
    assert len(written_in("+86 138 0013 8000 / 13800138000", NUMBER, "CN")) == 2


def test_a_subject_is_found_anywhere_in_json():
    subject = Subject(SubjectKind.NUMBER, 1, "CN", numbers=frozenset({NUMBER}))
    assert subject.stands_in({"a": [{"b": "tel:0086-138-0013-8000"}]})
    assert subject.stands_in({"a": 13800138000})
    assert subject.stands_in({"13800138000": 1})
    assert not subject.stands_in({"a": [True, None, 1.5, "13800138001"]})


def test_an_agent_is_named_by_whole_values_only():
    subject = Subject(SubjectKind.AGENT, 1, "CN", agent_id=3, names=frozenset({"1001", "Li Wei"}))
    assert subject.stands_in({"agent": "1001"})
    assert not subject.stands_in({"text": "order 1001"})
