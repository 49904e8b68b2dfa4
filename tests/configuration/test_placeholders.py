"""Placeholders: which there are, what is wrong with a template, and hostile values that stay where they are put."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from configuration.placeholders import PLACEHOLDERS, check_placeholders, fill, fill_url, samples

ADDRESS = "https://crm.example.com/customers/{caller_number}/calls?who={agent_name}#at={started_at}"


def test_every_placeholder_may_be_used_and_says_what_it_is():
    check_placeholders(" ".join(f"{{{name}}}" for name in PLACEHOLDERS))
    assert all(str(one.description) and one.sample for one in PLACEHOLDERS.values())


@pytest.mark.parametrize("text", ["{customer}", "Hello {Caller_Number}", "{}", "{ caller_number }", "{caller_number!r}", "{0}"])
def test_an_unknown_placeholder_is_named_together_with_those_there_are(text):
    with pytest.raises(ValidationError) as error:
        check_placeholders(text)
    assert error.value.code == "unknown_placeholder"
    said = error.value.messages[0]
    assert text[text.index("{") :] in said
    assert "{ivr_path}" in said


@pytest.mark.parametrize("text", ["{caller_number", "caller_number}", "{{caller_number}}", "a } b { c", "{caller_number}}"])
def test_a_brace_without_its_partner_is_refused(text):
    with pytest.raises(ValidationError) as error:
        check_placeholders(text)
    assert error.value.code == "unbalanced_braces"


def test_a_very_long_unknown_name_is_cut_in_the_message():
    with pytest.raises(ValidationError) as error:
        check_placeholders("{" + "x" * 5000 + "}")
    assert len(error.value.messages[0]) < 400


def test_a_text_is_filled_in_and_what_has_no_value_left_out():
    assert fill("Hello, {agent_name} here, {provider}.", {"agent_name": "Li Na", "provider": None}) == "Hello, Li Na here, ."


def test_a_value_is_not_read_as_a_template_again():
    values = {"provider": "{agent_staff_id}", "agent_staff_id": "1001"}
    assert fill("{provider}", values) == "{agent_staff_id}"
    assert "1001" not in fill_url("https://x.example/{provider}", values)


def test_a_value_brings_no_line_breaks():
    assert fill("{location}", {"location": "a\r\nb\u2028c\x00d"}) == "a  b c d"


@pytest.mark.parametrize(
    "value",
    [
        "../../admin",
        "a\r\nSet-Cookie: x=1",
        '"><script>alert(1)</script>',
        "北京 #1?x=y&z",
        "@evil.example",
        "\\\\evil",
        "%2e%2e/",
        "a" * 5000,
    ],
)
def test_a_hostile_value_stays_in_its_place(value):
    filled = fill_url(ADDRESS, {"caller_number": value, "agent_name": value, "started_at": value})
    assert filled.isascii()
    assert not set(filled) & set("\r\n\"'<> \\")
    parts = urlsplit(filled)
    assert parts.netloc == "crm.example.com"
    assert len(parts.path.split("/")) == 4
    plain = value.replace("\r\n", "  ")
    assert unquote(parts.path.split("/")[2]) == plain
    assert parse_qs(parts.query, keep_blank_values=True) == {"who": [plain]}
    assert unquote(parts.fragment) == f"at={plain}"


@pytest.mark.parametrize("value", [".", "..", "...", " .. "])
def test_a_value_of_dots_does_not_climb_to_the_folder_above(value):
    assert fill_url("https://x.example/a/{provider}/b", {"provider": value}) == "https://x.example/a//b"


@given(st.text(alphabet=st.characters(), max_size=60))
def test_no_value_whatever_leaves_the_host_or_its_segment(value):
    parts = urlsplit(fill_url(ADDRESS, dict.fromkeys(PLACEHOLDERS, value)))
    assert (parts.scheme, parts.netloc) == ("https", "crm.example.com")
    assert parts.path.count("/") == 3
    assert not {".", ".."} & set(unquote(parts.path).split("/")[2:3]) or value.strip(". ")


def test_samples_fill_every_placeholder():
    assert "{" not in fill(" ".join(f"{{{name}}}" for name in PLACEHOLDERS), samples())
