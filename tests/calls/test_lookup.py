"""Provider and location that the platform does not say."""

import pytest
from django.urls import reverse

from callcenter_site.phone_numbers import location_of, provider_of
from calls import lookup
from calls.ingest import accept_events, fold_due, get_ready
from calls.models import Call, Direction
from configuration.models import Role
from tests.factories import AgentFactory
from tests.scenarios import at, events_of

pytestmark = pytest.mark.django_db

NOW = at("12:00:00")


def fold(account, text: str) -> Call:
    accept_events(account=account, items=events_of(text), at=NOW)
    while fold_due(at=NOW):
        pass
    return Call.objects.get(account=account)


def origin(call: Call) -> tuple:
    return call.provider, call.is_provider_looked_up, call.location, call.is_location_looked_up


def test_what_the_platform_does_not_say_is_looked_up_and_marked(account, client):
    call = fold(account, "10:00:00 started calling_number=13800138000\n10:00:09 ended")
    assert origin(call) == ("China Mobile", True, "Beijing", True)
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    page = client.get(reverse("admin:calls_call_change", args=[call.pk])).content.decode()
    assert page.count("looked up by the number") == 2


def test_it_is_said_in_the_accounts_language(account):
    account.language = "zh-hans"
    account.save()
    call = fold(account, "10:00:00 started calling_number=13800138000\n10:00:09 ended")
    assert origin(call) == ("中国移动", True, "北京市", True)


def test_the_platforms_word_wins_also_when_it_comes_later(account):
    call = fold(account, "10:00:00 started calling_number=13800138000 provider=Other\n10:00:09 ended")
    assert origin(call) == ("Other", False, "Beijing", True)


def test_the_customers_number_is_looked_up_whoever_called(account):
    call = fold(
        account, "10:00:00 started direction=outbound calling_number=01055500001 called_number=13800138000\n10:00:09 ended"
    )
    assert call.direction == Direction.OUTBOUND and call.provider == "China Mobile"


def test_an_operator_may_have_nothing_looked_up(account, settings):
    settings.LOOK_UP_NUMBERS = False
    call = fold(account, "10:00:00 started calling_number=13800138000\n10:00:09 ended")
    assert origin(call) == ("", False, "", False)


@pytest.mark.parametrize("number", ["8001", "anonymous", "", "+999123456789"])
def test_what_is_no_number_of_a_country_has_neither(account, number):
    call = fold(account, f"10:00:00 started calling_number={number}\n10:00:09 ended")
    assert origin(call) == ("", False, "", False)


@pytest.mark.parametrize("number", ["+8613800138000", "+8617090001234", "+8619912345678", "+8613012345678"])
def test_what_is_kept_for_ten_thousand_mobile_numbers_is_what_each_would_get(number):
    for end in ("0000", "1234", "5000", "9999"):
        one = number[:-4] + end
        assert lookup._found(one, "zh-hans") == (provider_of(one, "zh"), location_of(one, "zh"))


@pytest.mark.parametrize("number", ["+8613800138", "+861380013800012", "+861055500001", "+8612345678901", "+4917612345678"])
def test_other_numbers_are_looked_up_whole(number):
    assert lookup._beginning_of(number) == number


def test_the_plans_are_read_before_anything_is_locked_and_only_for_something_to_fold(account, settings):
    lookup._found_by.cache_clear()
    get_ready(at=NOW)
    assert not lookup.is_warm()
    accept_events(account=account, items=events_of("10:00:00 started calling_number=13800138000"), at=NOW)
    get_ready(at=NOW)
    assert lookup.is_warm()
    lookup._found_by.cache_clear()
    settings.LOOK_UP_NUMBERS = False
    get_ready(at=NOW)
    assert lookup._found_by.cache_info().currsize == 0
