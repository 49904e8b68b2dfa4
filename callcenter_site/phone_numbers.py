"""Phone numbers in the one form the portal stores and compares: E.164 where a number can be read as one."""

import re
from functools import lru_cache

import phonenumbers
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MAX_LENGTH = 32
_FULL_WIDTH = str.maketrans("０１２３４５６７８９＋", "0123456789+")
_NOISE = re.compile(r"[^\d+*#A-Za-z@.]")


def validate_region(value: str) -> None:
    if value not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError(_("%(value)s is not a two-letter country such as CN or US."), params={"value": value})


@lru_cache(maxsize=50_000)
def canonical(number: str, region: str) -> str:
    """E.164 if the number can be read as one, else the number without spaces and punctuation.

    Extensions, short codes and withheld callers stay as the platform wrote them; "00" is read as "+".
    """
    text = _NOISE.sub("", number.strip().translate(_FULL_WIDTH))[:MAX_LENGTH]
    if text.startswith("00"):
        text = "+" + text[2:]
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return text
    if len(text.lstrip("+")) < 7 or not phonenumbers.is_possible_number(parsed):
        return text
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def mask(number: str) -> str:
    """The number with its middle hidden, for those who may not see it whole: +8613•••••000."""
    if len(number) <= 6:
        return number
    shown = 5 if number.startswith("+") else 3
    return number[:shown] + "•" * (len(number) - shown - 3) + number[-3:]


def is_number(text: str) -> bool:
    """Whether somebody could dial it: digits, perhaps with a plus, a star or a hash."""
    return re.fullmatch(r"\+?[\d*#]{2,31}", text) is not None


def provider_of(number: str, language: str = "en") -> str:
    """The telecom provider a number was given out by; empty where none is known, as for fixed lines. Numbers are carried
    along in many countries, so it is a guess and whoever knows better overrides it."""
    from phonenumbers import carrier  # 0.2 s and some megabytes: only for those who ask

    try:
        return str(carrier.name_for_number(phonenumbers.parse(number), language))
    except phonenumbers.NumberParseException:
        return ""
