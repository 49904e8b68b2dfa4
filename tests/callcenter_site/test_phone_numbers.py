"""Numbers in one form, whichever way they were written."""

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callcenter_site import phone_numbers
from callcenter_site.phone_numbers import canonical, is_number

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
