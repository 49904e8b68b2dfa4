"""What every API view stands on: who may, which account, how lists are paged, and how an error reads.

An error answer is always `{"detail": "...", "errors": [{"field": "...", "reason": "..."}]}`; `errors` only where fields
are at fault. Rows of another account answer like rows that do not exist.
"""

import logging
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, OperationalError
from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions, serializers, status, viewsets
from rest_framework.pagination import BasePagination, CursorPagination
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

log = logging.getLogger(__name__)

RETRY_SECONDS = 5


class Overloaded(exceptions.APIException):
    """The portal cannot take more for the moment."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The portal cannot take more for the moment. Nothing was accepted; send it again."
    wait = RETRY_SECONDS  # sent as Retry-After


class RequiredPermission(BasePermission):
    """Each view says in `required_permissions` what each method needs; a method without a line is refused."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = getattr(view, "required_permissions", {}).get("GET" if request.method == "HEAD" else request.method)
        has_no_handler = not hasattr(view, (request.method or "").lower())
        if request.method == "OPTIONS" or has_no_handler:  # the latter is answered 405, to whoever is signed in
            return bool(request.user and request.user.is_authenticated)
        return bool(needed and request.user and request.user.is_authenticated and request.user.has_perm(needed))


class NewestFirst(CursorPagination):
    """Ordered by id: the one key that no two rows share, so that no row is shown twice or skipped."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500


class DeclaredFilters(DjangoFilterBackend):
    """Filters a list by what its filter set declares; any other name is an error, never a filter that did nothing."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        declared = {"cursor", "limit", "format", *view.filterset_class.base_filters}
        if unknown := sorted(set(request.query_params) - declared):
            raise exceptions.ValidationError({name: ["This parameter is not known here."] for name in unknown})
        return super().filter_queryset(request, queryset, view)


class PortalView(APIView):
    """A view that is no list of rows. What it touches must come from `visible_to(request.user)`."""

    permission_classes = (RequiredPermission,)
    required_permissions: ClassVar[dict[str, str]] = {}


class AccountSerializer(serializers.ModelSerializer[Any]):
    """Lists its fields; an unknown field in the body is an error, and the account is never among them."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["This field is not known here."] for name in unknown})
        return super().to_internal_value(data)


class AccountReadViewSet(viewsets.ReadOnlyModelViewSet[Any]):
    """Lists and shows the rows of the asker's account, narrowed by their data scope."""

    permission_classes = (RequiredPermission,)
    pagination_class: type[BasePagination] = NewestFirst
    required_permissions: ClassVar[dict[str, str]] = {}

    def get_queryset(self) -> Any:
        rows: Any = super().get_queryset()
        return rows.none() if getattr(self, "swagger_fake_view", False) else rows.visible_to(self.request.user)


def answer_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turns what went wrong into one shape of answer, and a lost database into 503 with Retry-After."""
    if isinstance(error, OperationalError):
        log.error("database unavailable: %s", type(error).__name__)
        return Response(
            {"detail": "The database is not available. Nothing was accepted; send it again."},
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    if isinstance(error, DatabaseError):
        raise error
    if isinstance(error, DjangoValidationError):
        error = exceptions.ValidationError(error.message_dict if hasattr(error, "error_dict") else error.messages)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    response = exception_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return response
    if isinstance(error, exceptions.ValidationError):
        response.data = {"detail": "The request is not valid.", "errors": list(_flat(error.detail))}
    else:
        response.data = {"detail": str(error.detail)}
    return response


def _flat(detail: Any, field: str = "") -> Any:
    if isinstance(detail, dict):
        for name, below in detail.items():
            yield from _flat(below, f"{field}.{name}" if field else str(name))
    elif isinstance(detail, list):
        for position, below in enumerate(detail):
            yield from _flat(below, f"{field}[{position}]" if isinstance(below, dict) else field)
    else:
        yield {"field": field, "reason": str(detail)}
