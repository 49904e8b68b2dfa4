"""Phone numbers in the one form the portal stores and compares: E.164 where a number can be read as one."""

import re
import unicodedata
from functools import lru_cache
from typing import Any

import phonenumbers
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MAX_LENGTH = 32
_FULL_WIDTH = str.maketrans("０１２３４５６７８９＋", "0123456789+")
_LONG_DIGITS = re.compile(r"\+?\d(?:[ \-.()/\u00a0\u2010-\u2015]{0,3}\d){6,}")
_LETTERS = re.compile(r"[A-Za-z@]")
_NOISE = re.compile(r"[^\d+*#A-Za-z@.]")


def validate_region(value: str) -> None:
    if value not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError(_("%(value)s is not a two-letter country such as CN or US."), params={"value": value})


@lru_cache(maxsize=50_000)
def canonical(number: str, region: str) -> str:
    """E.164 if the number can be read as one, else the number without spaces and punctuation.

    Extensions, short codes and withheld callers stay as the platform wrote them; "00" is read as "+". So does whatever
    has letters, a name or an address: read as a telephone's keys, it would be somebody's number.
    """
    text = _NOISE.sub("", number.strip().translate(_FULL_WIDTH))[:MAX_LENGTH]
    if _LETTERS.search(text):
        return text
    if text.startswith("00"):
        text = "+" + text[2:]
    if (plain := _plain_number(text, region)) is not None:
        return plain
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return text
    if len(text.lstrip("+")) < 7 or not phonenumbers.is_possible_number(parsed):
        return text
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def _plain_number(text: str, region: str) -> str | None:
    """What parsing makes of the commonest numbers, in a quarter of its time; None: it has to be parsed.

    Those are numbers with nothing to be taken off or turned round: the country's plan knows this length, and the number
    begins with nothing that people dial before it.
    """
    if re.fullmatch(r"\+?[1-9][0-9]{6,14}", text) is None:
        return None
    if text.startswith("+"):
        code = next((text[1:end] for end in (2, 3, 4) if _regions_of(text[1:end])), "")
        metadata, rest = _plan(code), text[1 + len(code) :]
        is_whole = True
    else:
        code = str(phonenumbers.country_code_for_region(region))
        metadata, rest = _metadata(region), text
        # A number that the plan does not know may stand here with its country code, or be dialled abroad.
        is_whole = metadata is not None and _is_of_plan(metadata, rest) and _regions_of(code)[:1] == (region,)
    if metadata is None or not is_whole or rest.startswith("0") or len(rest) < 7:
        return None
    if len(rest) not in metadata.general_desc.possible_length or _begins(metadata.national_prefix_for_parsing, rest):
        return None
    return f"+{code}{rest}"


def _is_of_plan(metadata: Any, rest: str) -> bool:
    pattern = metadata.general_desc.national_number_pattern
    return bool(pattern and re.fullmatch(pattern, rest)) and not _begins(metadata.international_prefix, rest)


def _begins(pattern: str | None, text: str) -> bool:
    return pattern is not None and pattern != "" and re.match(pattern, text) is not None


@lru_cache(maxsize=300)
def _plan(code: str) -> Any:
    regions = _regions_of(code)
    return phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0]) if regions else None


HIDDEN = "•"
SHARED_BEGINNING = 8
"""Characters, plus and country code among them: +8613800."""


def mask(number: str) -> str:
    """The number with its middle hidden, for those who may not see it whole: +8613•••••000.

    At least four digits are hidden. Up to six characters are an extension or a short code, and stay.
    """
    if len(number) <= 6:
        return number
    shown = min(5 if number.startswith("+") else 3, len(number) - 7)
    return number[:shown] + HIDDEN * (len(number) - shown - 3) + number[-3:]


def mask_written(written: str) -> str:
    """The same of what may be a prefix with its star. A beginning that very many numbers share is no secret."""
    number = written.removesuffix("*")
    star = written[len(number) :]
    return written if star and len(number) <= SHARED_BEGINNING else mask(number) + star


def mask_text(text: str) -> str:
    """Free text with every run of digits hidden that is long enough to be a number, in whatever way it is grouped."""
    return _LONG_DIGITS.sub(lambda found: mask(found.group()), text)


def written_in(text: str, number: str, region: str) -> list[tuple[int, int]]:
    """Where a canonical number stands in free text, in any form people write it: grouped, national, with 00 or +, full-width.

    Only whole: the same digits inside a longer number are another number. Numbers shorter than seven digits are looked
    for in no text, for they may be anything.
    """
    ending = number.lstrip("+")[-_TELLING:]
    if len(ending) < _TELLING:
        return []
    found: list[tuple[int, int]] = []
    for run in _DIGIT_RUNS.finditer(text):
        if ending not in "".join(_digit(character) for character in run.group() if character.isdigit()):
            continue
        groups = [one.span() for one in _DIGIT_GROUPS.finditer(text, *run.span())]
        first = 0
        while first < len(groups):
            for last in range(min(len(groups), first + _MOST_GROUPS) - 1, first - 1, -1):
                start, end = groups[first][0], groups[last][1]
                if canonical(text[start:end], region) == number:
                    found.append((start, end))
                    first = last
                    break
            first += 1
    return found


_TELLING = 7
_MOST_GROUPS = 12
_DIGIT_RUNS = re.compile(r"[+＋]?\d(?:[ \-.()/\u00a0\u2010-\u2015\u3000]{0,3}[+＋]?\d){6,}")
_DIGIT_GROUPS = re.compile(r"[+＋]?\d+")


def without_written(text: str, number: str, region: str) -> str:
    """The text with a number hidden wherever it stands. Every other character keeps its place."""
    for start, end in written_in(text, number, region):
        text = text[:start] + HIDDEN * (end - start) + text[end:]
    return text


def readable(number: str) -> str:
    """As people write it across borders: +86 138 0013 8000. What is no E.164 number stays as it is."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def is_number(text: str) -> bool:
    """Whether somebody could dial it: digits, perhaps with a plus, a star or a hash."""
    return re.fullmatch(r"(?=.*\d)\+?[\d*#]{2,31}", text) is not None


def one_number(written: str, region: str) -> str:
    """What somebody typed as a number, in its canonical form. Refused in plain words: several numbers in one, signs that
    no number has, and too few or too many digits.

    The platform's own numbers are not asked this: whatever it writes is kept.
    """
    _require_one(written, region)
    text = _without_noise(written)
    number = canonical(text, region)
    digits = len(re.findall(r"\d", number))
    if "*" in text + number or "#" in text + number:
        # Read as a telephone's keys, 8001*5 would be somebody's number; and a code of stars alone is none.
        is_one = number == text and re.fullmatch(r"[\d*#]{2,20}", text, re.ASCII) is not None and digits > 0
    else:
        is_one = re.fullmatch(r"\+?\d+", number, re.ASCII) is not None
    if not is_one:
        raise ValidationError(_("This is not a phone number."))
    if number.startswith("+") and digits < 7:
        raise ValidationError(_("This is too short: after + come the country code and the whole number."))
    if digits < 2 and number.isdigit():
        raise ValidationError(_("This is too short for a phone number."))
    if digits > (15 if number.startswith("+") else 20):
        raise ValidationError(_("This is too long for one phone number."))
    return number


def one_prefix(written: str, region: str) -> str:
    """The same of the beginning of numbers, without its star."""
    _require_one(written, region)
    prefix = canonical_prefix(written, region)
    if re.fullmatch(r"\+?\d{0,31}", prefix, re.ASCII) is None:
        raise ValidationError(_("This is not the beginning of a phone number. Write it like 138* or +86138*."))
    if len(prefix) > 16:
        raise ValidationError(_("This is longer than a phone number."))
    if len(prefix) > 1 and not _begins_some_country(prefix[1:]):
        raise ValidationError(_("No country has a code that begins like this."))
    return prefix


def _without_noise(written: str) -> str:
    """A number as typed, without what people put between its digits; those of any script become 0 to 9."""
    if written.isascii():
        return _NOT_DIALLED.sub("", written)
    text = unicodedata.normalize("NFKC", written)
    return "".join(_digit(character) for character in text if character.isdecimal() or character in "+*#")


_NOT_DIALLED = re.compile(r"[^0-9+*#]")
_USUAL = re.compile(r"[0-9+*# ().-]+")
_LIST = re.compile(r"[,;|，、；\n\r\t]")


def _require_one(written: str, region: str) -> None:
    text = written.strip()
    if _USUAL.fullmatch(text):
        return
    if _LIST.search(text) or _is_list_with_slashes(text, region):
        raise ValidationError(
            _("This is more than one number. Enter one number here, each further one in a field or row of its own.")
        )
    for character in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(character)
        if kind[0] == "L":
            raise ValidationError(_("This is not a phone number."))
        if kind not in ("Nd", "Zs", "Pd", "Ps", "Pe", "Cf") and character not in "+＋*＊#＃./．／·\u2212":
            raise ValidationError(_("“%(sign)s” cannot be in a phone number."), params={"sign": character})


def _is_list_with_slashes(text: str, region: str) -> bool:
    """8001/8002 are two; in 030/1234567 the slash only ends the area code."""
    parts = [part for part in re.split(r"[/／]", text) if part.strip()]
    if len(parts) < 2:
        return False
    is_area_code = len(parts) == 2 and parts[0].strip().startswith(("0", "+", "(", "（"))
    return not (is_area_code and canonical(_without_noise(text), region).startswith("+") and len(_without_noise(parts[0])) < 8)


def _begins_some_country(digits: str) -> bool:
    """Whether a country code begins with these digits, or they with one."""
    return any(code.startswith(digits) or digits.startswith(code) for code in map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


def provider_of(number: str, language: str = "en") -> str:
    """The telecom provider a number was given out by; empty where none is known, as for fixed lines. Numbers are carried
    along in many countries, so it is a guess and whoever knows better overrides it."""
    from phonenumbers import carrier  # 0.2 s and some megabytes: only for those who ask

    try:
        return str(carrier.name_for_number(phonenumbers.parse(number), language))
    except phonenumbers.NumberParseException:
        return ""


def location_of(number: str, language: str = "en") -> str:
    """Where a number was given out, as exactly as its country's plan says: a town, a province, a country; empty where it says
    nothing. Tens of megabytes of prefixes are read when it is first asked."""
    from phonenumbers import geocoder  # 0.5 s: only for those who ask

    try:
        return str(geocoder.description_for_number(phonenumbers.parse(number), language))
    except phonenumbers.NumberParseException:
        return ""


def canonical_prefix(prefix: str, region: str) -> str:
    """The beginning of numbers, in the form of the numbers themselves: `+86138` for 138, 0086-138 or ＋８６ 138.

    The 0 people dial before an area code goes where the region drops it. Digits without a plus that begin with the
    region's own country code, and with nothing its numbers begin with, have that code already: 86138 is +86138 in China.
    Empty: every number begins so.
    """
    text = "".join(_digit(character) for character in _NOISE.sub("", prefix.translate(_FULL_WIDTH)))
    if text.startswith("00"):
        text = "+" + text[2:]
    if text.startswith("+") or not text:
        code = next((text[1:end] for end in (2, 3, 4) if _regions_of(text[1:end])), "")
        rest = text[1 + len(code) :]
        trunk = _trunk_prefix(_regions_of(code)[0]) if code else ""
        return f"+{code}{rest[1:]}" if trunk == "0" and len(rest) > 1 and rest.startswith("0") else text
    trunk = _trunk_prefix(region)
    code = str(phonenumbers.country_code_for_region(region))
    if trunk and len(text) > len(trunk) and text.startswith(trunk):
        text = text[len(trunk) :]
    elif text.isdecimal() and text.startswith(code) and not _begins_a_number(text, region):
        return f"+{text}"
    return f"+{code}{text}"


_KINDS = ("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan")


@lru_cache(maxsize=1_000)
def _begins_a_number(digits: str, region: str) -> bool:
    """Whether the region's plan gives out a number that begins with these digits, written without a trunk prefix.

    Patterns cannot be asked what begins them, so the digits are filled up to whole numbers: one digit, then one other all
    the way. Every range of a plan is met by one of these.
    """
    metadata = _metadata(region)
    for kind in _KINDS:
        plan = getattr(metadata, kind, None)
        if plan is None or not plan.national_number_pattern:
            continue
        pattern = re.compile(plan.national_number_pattern)
        for length in plan.possible_length:
            missing = length - len(digits)
            if missing < 0:
                continue
            for first in "0123456789" if missing else ("",):
                for other in "0123456789" if missing > 1 else ("",):
                    if pattern.fullmatch(digits + first + other * (missing - 1)):
                        return True
    return False


def is_broad(prefix: str) -> bool:
    """Whether a canonical prefix takes in a whole country, or nearly: at most one digit more than its code."""
    digits = prefix.removeprefix("+")
    for code in map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE):
        if code.startswith(digits) or (digits.startswith(code) and len(digits) <= len(code) + 1):
            return True
    return any(
        re.fullmatch(f"(?:{pattern})", digits[1:]) is not None
        for region in (_regions_of("1") if digits.startswith("1") else ())
        if (pattern := _leading_digits(region))
    )


def _digit(character: str) -> str:
    value = unicodedata.digit(character, None)
    return character if value is None else str(value)


def _regions_of(code: str) -> tuple[str, ...]:
    return phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code), ()) if code.isdigit() else ()


def _metadata(region: str) -> Any:
    return phonenumbers.PhoneMetadata.metadata_for_region(region, None)


def _trunk_prefix(region: str) -> str:
    metadata = _metadata(region)
    return (metadata.national_prefix or "") if metadata else ""


def _leading_digits(region: str) -> str:
    metadata = _metadata(region)
    return (metadata.leading_digits or "") if metadata else ""
