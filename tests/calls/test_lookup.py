"""Provider and location that the platform does not say."""

import pytest
from django.urls import reverse

from calls.ingest import accept_events, fold_due
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
