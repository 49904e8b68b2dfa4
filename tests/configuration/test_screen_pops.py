"""Which addresses an inbound pop-up may open."""

import pytest
from django.core.exceptions import ValidationError

from configuration.screen_pops import check_address


@pytest.mark.parametrize("host", ["crm.example。evil.com", "crm．example", "ｃrm.example", "crm.exa\u00admple", "straße.de"])
def test_a_host_that_reads_as_another_than_is_opened_is_refused(host):
    with pytest.raises(ValidationError) as caught:
        check_address(f"https://{host}/?n={{caller_number}}")
    assert caught.value.code == "bad_host"


@pytest.mark.parametrize("host", ["crm.example.com", "CRM.Example.com", "例え.jp", "München.de", "[::1]:8443"])
def test_a_host_in_its_usual_spelling_is_taken(host):
    check_address(f"https://{host}/?n={{caller_number}}")
