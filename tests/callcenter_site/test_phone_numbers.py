"""Numbers in one form, whichever way they were written."""

import re

import phonenumbers
import pytest
from django.core.exceptions import ValidationError
from hypothesis import example, given
from hypothesis import strategies as st

from callcenter_site import phone_numbers
from callcenter_site.phone_numbers import canonical, is_number, one_number, one_prefix

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
CODES = sorted(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
digits = st.text("0123456789", min_size=1, max_size=14)


@st.composite
def nearly_numbers(draw) -> str:
    """A number of some country with a digit or two that may be wrong."""
    kind = draw(st.sampled_from([phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE]))
    found = phonenumbers.example_number_for_type(draw(st.sampled_from(REGIONS)), kind)
    text = phonenumbers.format_number(found, draw(st.sampled_from([0, 1, 2]))) if found else "+8613800138000"
    at, digit = draw(st.integers(0, len(text) - 1)), draw(st.sampled_from("0123456789"))
    return text[:at] + digit + text[at + 1 :]


@example("13800138000", "CN")
@example("8613800138000", "CN")  # a country code without its plus
@example("12025550123", "US")
@example("+390612345678", "IT")
@given(st.one_of(digits, st.builds("+{}{}".format, st.sampled_from(CODES), digits), nearly_numbers()), st.sampled_from(REGIONS))
def test_the_quick_way_reads_a_number_as_the_library_does(number, region):
    quick = canonical.__wrapped__(number, region)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phone_numbers, "_plain_number", lambda text, region: None)
        assert quick == canonical.__wrapped__(number, region)


@pytest.mark.parametrize("number", ["13800138000", "+8613800138000", "8613800138000", "+14155550100", "+6281234567890"])
def test_common_numbers_are_read_the_quick_way(number):
    found = phone_numbers._plain_number(number, "CN")
    assert found == canonical(number, "CN") or (number.startswith("86") and found is None)


@pytest.mark.parametrize("text", ["nobody 1013", "1-800-FLOWERS", "alice@pbx.example", "13800138000 ext 5", "PJSIP/10010010"])
def test_what_has_letters_is_nobodys_number(text):
    kept = canonical(text, "US")
    assert not kept.startswith("+")
    assert not is_number(kept)


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("138 0013 8000", "CN", "+8613800138000"),
        ("(0)138-0013.8000", "CN", "+8613800138000"),
        ("０１０－５５５５　０００１", "CN", "+861055550001"),
        ("\u202a+86 138 0013 8000\u202c", "CN", "+8613800138000"),  # as copied from an address book
        ("٠١٢٣٤٥٦٧٨٩٠", "EG", "+201234567890"),
        ("030/901820", "DE", "+4930901820"),
        ("+49 30/901820", "DE", "+4930901820"),
        ("8001", "CN", "8001"),
        ("95588", "CN", "95588"),
        ("*97", "CN", "*97"),
    ],
)
def test_a_typed_number_is_read_in_any_usual_form(written, region, number):
    assert one_number(written, region) == number


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("13800138000,13800138001", "more than one number"),
        ("13800138000、13800138001", "more than one number"),
        ("8001;8002", "more than one number"),
        ("8001/8002", "more than one number"),
        ("01055550001/01055550002", "more than one number"),
        ("13800138000 13800138001", "too long"),
        ("Ⅷ123456", "“Ⅷ” cannot be"),
        ("①3800138000", "“①” cannot be"),
        ("138x00138000", "not a phone number"),
        ("+12", "too short"),
        ("7", "too short"),
        ("**", "not a phone number"),
        ("8001*5+", "not a phone number"),
        ("138+00138000", "not a phone number"),
        ("1" * 21, "too long"),
        ("+" + "9" * 16, "too long"),
    ],
)
def test_what_is_no_single_number_is_refused_in_plain_words(written, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        one_number(written, "CN")


@pytest.mark.parametrize(
    ("written", "region", "prefix"),
    [
        ("86138", "CN", "+86138"),
        ("86", "CN", "+86"),
        ("138", "CN", "+86138"),
        ("0861", "CN", "+86861"),  # nobody dials a 0 before a country code
        ("852", "CN", "+86852"),  # Zunyi, not Hong Kong
        ("010", "CN", "+8610"),
        ("0755", "CN", "+86755"),
        ("1415", "US", "+1415"),
        ("4420", "GB", "+4420"),
        ("8522", "HK", "+8522"),
        ("2222", "HK", "+8522222"),
        ("+999", "CN", None),
        ("138,139", "CN", None),
        ("Ⅷ1", "CN", None),
    ],
)
def test_a_prefix_may_have_its_country_code_without_a_plus(written, region, prefix):
    if prefix is None:
        with pytest.raises(ValidationError):
            one_prefix(written, region)
    else:
        assert one_prefix(written, region) == prefix
