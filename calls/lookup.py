"""Telecom provider and location of a customer's number, where the platform does not say.

They follow from the plan of numbers: whom a range was given to, and where. A number carried along to another provider, or a
phone on a journey, is somewhere else; so what was looked up is marked, and the platform's word goes before it.
"""

import re
from functools import lru_cache

from django.conf import settings

from callcenter_site.phone_numbers import location_of, provider_of
from calls.masking import customer_number
from calls.models import Call

MOST_PROVIDER = 60
MOST_LOCATION = 100


def look_up(call: Call, *, language: str) -> None:
    """Fills in what is missing, and says that it was looked up."""
    call.is_provider_looked_up = call.is_location_looked_up = False
    number = customer_number(call)
    if (call.provider and call.location) or not number.startswith("+") or not settings.LOOK_UP_NUMBERS:
        return
    provider, location = _found(number, language)
    if not call.provider and provider:
        call.provider, call.is_provider_looked_up = provider[:MOST_PROVIDER], True
    if not call.location and location:
        call.location, call.is_location_looked_up = location[:MOST_LOCATION], True


def warm() -> None:
    """Reads the plans of numbers, which takes seconds the first time: whoever holds locks while looking numbers up does so
    before taking them."""
    if settings.LOOK_UP_NUMBERS:
        _found("+8613800000000", "en")


def is_warm() -> bool:
    return not settings.LOOK_UP_NUMBERS or _found_by.cache_info().currsize > 0


def _found(number: str, language: str) -> tuple[str, str]:
    return _found_by(_beginning_of(number), language)


def _beginning_of(number: str) -> str:
    """A number that stands for all that have the same answer."""
    found = _CHINESE_MOBILE.fullmatch(number)
    return f"{found[1]}0000" if found else number


_CHINESE_MOBILE = re.compile(r"(\+861[3-9][0-9]{5})[0-9]{4}")
"""China's mobile numbers are given out by their first seven digits, so ten thousand of them have one answer."""


@lru_cache(maxsize=20_000)
def _found_by(number: str, language: str) -> tuple[str, str]:
    spoken = language.partition("-")[0]  # the plans know languages, not how they are written
    return provider_of(number, spoken), location_of(number, spoken)
