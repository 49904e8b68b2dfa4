"""The kinds of filter that lists of the API declare."""

import datetime as dt
import re
from typing import Any

import django_filters
from django import forms
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django_filters.fields import IsoDateTimeField


class _MomentField(IsoDateTimeField):
    """A time that says its zone. A plus sign that was not percent-encoded arrives as a space and is read as meant."""

    default_error_messages = {"invalid": _("Write it as 2026-11-24T09:00:00+08:00 or …Z, with a zone.")}

    def to_python(self, value: Any) -> dt.datetime | None:
        text = re.sub(r" (\d\d:?\d\d)$", r"+\1", str(value or "").strip())
        if text and not re.search(r"(Z|z|[+-]\d\d:?\d\d)$", text):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        try:
            moment: dt.datetime | None = super().to_python(text)
            return moment and moment.astimezone(dt.UTC)
        except OverflowError as error:  # an end of the calendar, which other zones do not have
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from error


class MomentFilter(django_filters.IsoDateTimeFilter):
    field_class = _MomentField


class TruthFilter(django_filters.ChoiceFilter):
    """true or false, and nothing else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, choices=[("true", "true"), ("false", "false")], **kwargs)

    def filter(self, rows: Any, value: str) -> Any:
        return rows if not value else rows.filter(**{self.field_name: value == "true"})


class _IdField(forms.IntegerField):
    default_error_messages = {"invalid": _("Give an id, a number.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"min_value": 1, "max_value": 2**63 - 1})

    def to_python(self, value: Any) -> int | None:
        if value not in self.empty_values and not re.fullmatch(r"[0-9]{1,19}", str(value)):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class IdFilter(django_filters.NumberFilter):
    """A related row by its id. The list holds the asker's rows only, so another account's id finds what nobody's does."""

    field_class = _IdField

    def get_max_validator(self) -> None:
        return None


class SearchFilter(django_filters.CharFilter):
    """Rows that contain a text in any of some columns, letter case aside where the database says so."""

    def __init__(self, *columns: str, **kwargs: Any) -> None:
        self.columns = columns
        super().__init__(**{"help_text": "Contained in any of: " + ", ".join(columns) + ".", "max_length": 100} | kwargs)

    def filter(self, rows: Any, value: str) -> Any:
        if not value:
            return rows
        found = Q()
        for column in self.columns:
            found |= Q(**{f"{column}__icontains": value})
        return rows.filter(found)
