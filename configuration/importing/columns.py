"""Columns of a list that comes and goes as a file: how they are called, and what their cells may say."""

import datetime as dt
import re
import unicodedata
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from callcenter_site.phone_numbers import mask

if TYPE_CHECKING:
    from configuration.importing.sheet import Sheet

Text = str | Promise


class _Keep:
    """In place of a value: the row keeps what it has."""


KEEP = _Keep()


def in_every_language(text: Text) -> dict[str, str]:
    """What a text reads in each language of the portal."""
    said = {}
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            said[code] = str(text)
    return said


def folded(text: str) -> str:
    """Text for comparing headings and choices: width, case and spaces do not count."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("_", " ").split()).rstrip("* :")


class Column:
    """A column of a sheet: how it is called, what its cells may say, and which field of a row they are about."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """Permissions to write it, beside those for the row."""
    seen_with: ClassVar[frozenset[str]] = frozenset()
    """Permissions to see it, beside that for the row."""

    def __init__(
        self,
        name: str,
        heading: Text,
        *,
        help: Text = "",
        example: Text = "",
        required: bool = False,
        needed_by_new: bool = False,
        field: str = "",
        width: int = 18,
    ) -> None:
        self.name, self.heading, self.help, self.example = name, heading, help, example
        self.required, self.field, self.width = required, field or name, width
        self.needed_by_new = needed_by_new
        """Whether only rows that are there already do without it."""
        self._known_as: frozenset[str] = frozenset()

    def known_as(self) -> frozenset[str]:
        if not self._known_as:
            self._known_as = frozenset(folded(said) for said in (self.name, *in_every_language(self.heading).values()))
        return self._known_as

    @property
    def title(self) -> str:
        said = str(self.heading)
        return said[:1].upper() + said[1:]

    def read(self, text: str, sheet: "Sheet") -> Any:
        """The value a cell means. Raises `ValidationError`."""
        return text

    def put(self, row: Any, value: Any) -> None:
        if value is not KEEP:
            setattr(row, self.field, value)

    def show(self, row: Any, sheet: "Sheet") -> str:
        """The cell of a row; `read` understands it."""
        return str(getattr(row, self.field))

    def masked(self, shown: str) -> str:
        """What somebody sees who may not see numbers in full."""
        return shown


class NumberColumn(Column):
    """A phone number of somebody outside the center."""

    def masked(self, shown: str) -> str:
        return mask(shown)


class WholeNumber(Column):
    def read(self, text: str, sheet: "Sheet") -> Any:
        if not text:
            return KEEP
        if re.fullmatch(r"[0-9]{1,9}", text) is None:
            raise ValidationError(_("Write a whole number."))
        return int(text)


class Choice(Column):
    """One of a few words, in any of the portal's languages."""

    def __init__(self, name: str, heading: Text, choices: type[models.Choices], **rest: Any) -> None:
        super().__init__(name, heading, **rest)
        self.choices = choices
        self._meant: dict[str, str] = {}

    def read(self, text: str, sheet: "Sheet") -> Any:
        if not text:
            return KEEP
        value = self.meant().get(folded(text))
        if value is None:
            raise ValidationError(
                _("Write one of: %(choices)s."), params={"choices": ", ".join(str(label) for label in self.choices.labels)}
            )
        return value

    def meant(self) -> dict[str, str]:
        if not self._meant:
            for value, label in self.choices.choices:
                for said in (str(value), *in_every_language(label or "").values()):
                    self._meant[folded(said)] = str(value)
        return self._meant

    def show(self, row: Any, sheet: "Sheet") -> str:
        value = getattr(row, self.field)
        return str(dict(self.choices.choices).get(value, value))


YES, NO = pgettext_lazy("in a cell of a list", "yes"), pgettext_lazy("in a cell of a list", "no")


class YesNo(Column):
    _meant: ClassVar[dict[str, bool]] = {}

    def read(self, text: str, sheet: "Sheet") -> Any:
        if not text:
            return KEEP
        if not self._meant:
            for value, words in ((True, "yes y true 1 on x 是 真 ✓"), (False, "no n false 0 off 否 假")):
                self._meant.update(dict.fromkeys(words.split(), value))
            for value, said in ((True, YES), (False, NO)):
                self._meant.update(dict.fromkeys(map(folded, in_every_language(said).values()), value))
        meant = self._meant.get(folded(text))
        if meant is None:
            raise ValidationError(_("Write yes or no."))
        return meant

    def show(self, row: Any, sheet: "Sheet") -> str:
        return str(YES if getattr(row, self.field) else NO)


class Moment(Column):
    """A day, which counts in full, or a time; both in the account's time zone. Empty: none."""

    _WRITTEN = re.compile(
        r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,6})?)?)?([+-]\d{2}:?\d{2}|Z)?"
    )

    def read(self, text: str, sheet: "Sheet") -> Any:
        if not text:
            return None
        found = self._WRITTEN.fullmatch(text)
        try:
            if found is None:
                raise ValueError
            year, month, day, hour, minute, second, fraction, offset = found.groups()
            date = dt.datetime(int(year), int(month), int(day))  # noqa: DTZ001  (given its zone below)
            if hour is None:
                return (date + dt.timedelta(days=1)).replace(tzinfo=sheet.zone).astimezone(dt.UTC)
            micro = round(float(fraction or 0) * 1_000_000)
            at = date.replace(hour=int(hour), minute=int(minute), second=int(second or 0), microsecond=micro)
            zone: dt.tzinfo | None = sheet.zone
            if offset:
                zone = dt.datetime.fromisoformat(f"2000-01-01T00:00:00{offset.replace('Z', '+00:00')}").tzinfo
            return at.replace(tzinfo=zone).astimezone(dt.UTC)
        except (ValueError, OverflowError) as error:
            raise ValidationError(_("Write a day or time like 2026-12-31 or 2026-12-31 18:00.")) from error

    def show(self, row: Any, sheet: "Sheet") -> str:
        value = getattr(row, self.field)
        if value is None:
            return ""
        local = value.astimezone(sheet.zone)
        # The hour that comes twice when clocks go back is told apart by its offset.
        is_twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        return str((local if is_twice else local.replace(tzinfo=None)).isoformat(sep=" "))
