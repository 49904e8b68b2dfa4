"""How tables that grow are paged: they are never counted, and never walked from their start.

The admin counts up to a bound that moves with the page looked at. The API goes on after the last row it gave, by the
time and id of that row, so a page costs the same at any depth and a row that arrives meanwhile shifts nothing.
"""

import base64
import datetime as dt
import json
import re
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

COUNTED_AHEAD = 1000
"""Rows the admin counts beyond the page it shows."""


class CountingPaginator(Paginator):  # type: ignore[type-arg]
    """Django's own, with its count said in words that every language can put in its order."""

    template_name = "admin/pagination_counted.html"
    is_bounded = False


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts only as far as somebody may page next, and says "1,000+" beyond."""

    template_name = "admin/pagination_counted.html"

    def __init__(self, *args: Any, page_asked_for: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.needed = page_asked_for * self.per_page
        """Rows up to the end of the page asked for."""
        self.bound = COUNTED_AHEAD * (1 + (self.needed + self.per_page) // COUNTED_AHEAD)

    @cached_property
    def n_found(self) -> int:
        """How many there are, up to one more than the bound."""
        rows: Any = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        # Ordered as the list is: the index that gives the page also gives the count, and the walk stops at the bound.
        return rows[: self.bound + 1].count()

    @property
    def count(self) -> int:  # type: ignore[override]
        return min(self.n_found, self.bound)

    @property
    def shown_bound(self) -> str:
        return number_format(self.bound, force_grouping=True)

    @property
    def is_bounded(self) -> bool:
        """Whether there are more rows than were counted."""
        return self.n_found > self.bound


def page_asked_for(request: HttpRequest) -> int:
    asked = request.GET.get("p", "1")
    return int(asked[:6]) if asked.isascii() and asked.isdigit() else 1


class _AfterTheLast(BasePagination):
    """Pages of a list that go on after the last row given."""

    page_size = 50
    max_page_size = 500

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        self.request = request
        size = self._size(request)
        rows = self.in_order(queryset)
        if cursor := request.query_params.get("cursor"):
            try:
                rows = self.after(rows, _read_cursor(cursor))
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                raise exceptions.ValidationError({"cursor": [_("This is not a cursor of ours; start without one.")]}) from error
        page = list(rows[: size + 1])
        self.has_more = len(page) > size
        self.page = page[:size]
        return self.page

    def in_order(self, rows: Any) -> Any:
        raise NotImplementedError

    def after(self, rows: Any, place: list[Any]) -> Any:
        """The rows that follow a place. Raises `ValueError` or `TypeError` for a place this list does not have."""
        raise NotImplementedError

    def place_of(self, row: Any) -> list[Any]:
        raise NotImplementedError

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self._next_link(), "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {
                "next": {
                    "type": "string",
                    "format": "uri",
                    "nullable": True,
                    "example": "https://portal.example.com/api/v1/…/?cursor=WyIyMDI2LTExLTI0VDAxOjAwOjAwKzAwOjAwIiwgNDgyMTFd",
                    "description": "The address of the next older page; null on the last one.",
                },
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "schema": {"type": "string"},
                "description": "Where to go on; taken from `next`.",
            },
            {
                "name": "limit",
                "in": "query",
                "required": False,
                "schema": {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size},
                "description": "Rows on a page.",
            },
        ]

    def _size(self, request: Request) -> int:
        asked = request.query_params.get("limit")
        if asked is None:
            return self.page_size
        if not re.fullmatch(r"[0-9]{1,6}", asked) or not 1 <= int(asked) <= self.max_page_size:
            raise exceptions.ValidationError({"limit": [_("Give a number from 1 to %(most)d.") % {"most": self.max_page_size}]})
        return int(asked)

    def next_cursor(self) -> str | None:
        """Where the page after this one begins; null: there is none."""
        return _write_cursor(self.place_of(self.page[-1])) if self.has_more else None

    def _next_link(self) -> str | None:
        cursor = self.next_cursor()
        if cursor is None:
            return None
        parameters = [(name, value) for name, values in self.request.query_params.lists() for value in values if name != "cursor"]
        parameters.append(("cursor", cursor))
        return self.request.build_absolute_uri(f"{self.request.path}?{urlencode(parameters)}")


class NewestFirst(_AfterTheLast):
    """Ordered by id: the one key that no two rows share, so that no row is shown twice or skipped."""

    def in_order(self, rows: Any) -> Any:
        return rows.order_by("-pk")

    def after(self, rows: Any, place: list[Any]) -> Any:
        (pk,) = place
        return rows.filter(pk__lt=_id(pk))

    def place_of(self, row: Any) -> list[Any]:
        return [row.pk]


class NewestFirstByTime(_AfterTheLast):
    """Pages of a table ordered by a time and then the id, newest first."""

    time_field = "started_at"

    def in_order(self, rows: Any) -> Any:
        return rows.order_by(f"-{self.time_field}", "-pk")

    def after(self, rows: Any, place: list[Any]) -> Any:
        moment, pk = place
        at = dt.datetime.fromisoformat(moment)
        if at.utcoffset() is None:
            raise ValueError(moment)
        at = at.astimezone(dt.UTC)  # the database takes UTC, and the ends of the calendar have none of it
        # The first condition alone already bounds the index; the second drops what was given at the same instant.
        return rows.filter(**{f"{self.time_field}__lte": at}).exclude(Q(**{self.time_field: at}) & Q(pk__gte=_id(pk)))

    def place_of(self, row: Any) -> list[Any]:
        return [getattr(row, self.time_field).isoformat(), row.pk]


def _id(pk: Any) -> int:
    if not isinstance(pk, int) or isinstance(pk, bool) or not 0 <= pk < 2**63:
        raise ValueError(pk)
    return pk


def _write_cursor(place: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read_cursor(text: str) -> list[Any]:
    place = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if not isinstance(place, list):
        raise TypeError
    return place
