"""What every API view stands on: who may, which account, how rows are written, and how an error reads.

An error answer is always `{"detail": "...", "errors": [{"field": "...", "reason": "..."}]}`; `errors` only where fields
are at fault. Rows of another account answer like rows that do not exist, also where a body points at them by id. What a
write made is read back through the asker's own rows, or rolled back.
"""

import functools
import json
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, IntegrityError, OperationalError, models, transaction
from django.db.models import ProtectedError
from django.http import Http404, QueryDict
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, inline_serializer
from rest_framework import exceptions, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.metadata import BaseMetadata
from rest_framework.pagination import BasePagination
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView, exception_handler

from callcenter_site import legal_holds
from callcenter_site.limits import address_key, seconds_to_wait
from callcenter_site.openapi import IDEMPOTENCY_KEY
from callcenter_site.ownership import IN_USE, is_of_one_account, taken
from callcenter_site.paging import NewestFirst

if TYPE_CHECKING:
    _RowField = serializers.PrimaryKeyRelatedField[Any]
else:
    _RowField = serializers.PrimaryKeyRelatedField

log = logging.getLogger(__name__)

RETRY_SECONDS = 5


class Overloaded(exceptions.APIException):
    """The portal cannot take more for the moment."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The portal cannot take more for the moment. Nothing was accepted; send it again."
    wait = RETRY_SECONDS  # sent as Retry-After


class PayloadTooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."


class Conflict(exceptions.APIException):
    """What is asked for does not go together with how things are now."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This does not go together with how things are now."


class JsonParser(BaseParser):
    """Reads a body of bounded size. The standard library's parser refuses what is not JSON, and is told to refuse the
    words for infinity as well."""

    media_type = "application/json"
    most_bytes = 1024 * 1024

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        meta = parser_context["request"].META if parser_context else {}
        if meta.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
            raise exceptions.UnsupportedMediaType("compressed")
        declared = meta.get("CONTENT_LENGTH") or "0"
        if declared.isdigit() and int(declared) > self.most_bytes:
            raise self.too_large()
        body = stream.read(self.most_bytes + 1)
        if len(body) > self.most_bytes:
            raise self.too_large()
        try:
            return json.loads(body, parse_constant=_refuse_constant)
        except UnicodeDecodeError as error:
            raise exceptions.ParseError("The body is not UTF-8.") from error
        except RecursionError as error:
            raise exceptions.ParseError("The body is nested too deeply.") from error
        except ValueError as error:
            place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            raise exceptions.ParseError(f"The body is not JSON{place}.") from error

    def too_large(self) -> exceptions.APIException:
        return PayloadTooLarge(f"The body is larger than {self.most_bytes} bytes.")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class PortalMetadata(BaseMetadata):
    """What OPTIONS answers: where to read on. The description of fields is the same for everybody and stands there."""

    def determine_metadata(self, request: Request, view: APIView) -> dict[str, Any]:
        return {"methods": view.allowed_methods, "docs": request.build_absolute_uri("/api/docs/")}


class RequiredPermission(BasePermission):
    """Each view says in `required_permissions` what each method needs; a method without a line is refused."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = getattr(view, "required_permissions", {}).get("GET" if request.method == "HEAD" else request.method)
        has_no_handler = not hasattr(view, (request.method or "").lower())
        if request.method == "OPTIONS" or has_no_handler:  # the latter is answered 405, to whoever is signed in
            return bool(request.user and request.user.is_authenticated)
        return bool(needed and request.user and request.user.is_authenticated and request.user.has_perm(needed))


class Limits(BaseThrottle):
    """How much a key, or a person, and their account may ask of the API within a minute."""

    _wait = 0

    def allow_request(self, request: Request, view: APIView) -> bool:
        asker: Any = request.user
        key, person, account = getattr(request.auth, "pk", None), getattr(asker, "pk", None), getattr(asker, "account_id", None)
        for kind, who, most in (
            ("key", key, settings.LIMIT_PER_KEY),
            ("person", person, settings.LIMIT_PER_KEY),
            ("account", account, settings.LIMIT_PER_ACCOUNT),
        ):
            if who is not None:
                self._wait = seconds_to_wait(kind, who, most=most)
            if self._wait:
                return False
        return True

    def wait(self) -> float:
        return float(self._wait)


class Limited(APIView):
    """What every view counts: who asks by whom they are, and who does not say it by their address. A valid key is never shut
    out for what others at its address do."""

    throttle_classes = (Limits,)

    def perform_authentication(self, request: Request) -> None:
        try:
            super().perform_authentication(request)
        except exceptions.AuthenticationFailed:
            self._count_stranger(request)
            raise
        if not request.user.is_authenticated:
            self._count_stranger(request)

    def throttled(self, request: Request, wait: float | None) -> NoReturn:
        raise exceptions.Throttled(wait, "Too many requests.")

    def _count_stranger(self, request: Request) -> None:
        address = address_key(request.META.get("REMOTE_ADDR", ""))
        if wait := seconds_to_wait("address", address, most=settings.LIMIT_PER_ADDRESS):
            self.throttled(request, wait)


class DeclaredFilters(DjangoFilterBackend):
    """Filters a list by what its filter set declares; any other name is an error, never a filter that did nothing."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        filters = getattr(view, "filterset_class", None)
        paging = {"cursor", "limit"} if getattr(view, "pagination_class", None) else set()
        declared = paging | {"format", *(filters.base_filters if filters else ())}
        if unknown := sorted(set(request.query_params) - declared):
            raise exceptions.ValidationError({name: ["This parameter is not known here."] for name in unknown})
        return super().filter_queryset(request, queryset, view)


class PortalView(Limited):
    """A view that is no list of rows. What it touches must come from `visible_to(request.user)`."""

    permission_classes = (RequiredPermission,)
    parser_classes: Any = (JsonParser,)
    metadata_class = PortalMetadata
    required_permissions: ClassVar[dict[str, str]] = {}


def permissions_on(app: str, model: str) -> dict[str, str]:
    """What each method on a plain resource needs."""
    actions = {"GET": "view", "POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}
    return {method: f"{app}.{action}_{model}" for method, action in actions.items()}


class OwnRowField(_RowField):
    """A related row by its id, looked up among the rows the asker may see. One of another account is as missing as one
    of nobody's."""

    default_error_messages = {
        "does_not_exist": _("There is no such row."),
        "incorrect_type": _("Give the id of a row, a number."),
    }

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("incorrect_type")
        rows: Any = self.get_queryset()
        row = rows.visible_to(self.context["request"].user).filter(pk=data).first()
        if row is None:
            self.fail("does_not_exist")
        return row


class MomentField(serializers.DateTimeField):
    """A time that says its zone: without one, whose would it be?"""

    default_error_messages = {"no_zone": _("Write it as 2026-11-24T09:00:00+08:00 or …Z, with a zone.")}

    def to_internal_value(self, value: Any) -> Any:
        if not isinstance(value, str) or not re.search(r"(Z|z|[+-]\d\d:?\d\d)$", value.strip(), re.ASCII):
            self.fail("no_zone")
        return super().to_internal_value(value)


class StrictFields(serializers.Serializer[Any]):
    """An unknown field in the body is an error: a misspelt name must not pass for a value that was taken."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["This field is not known here."] for name in unknown})
        return super().to_internal_value(data)


class ListedItem(StrictFields):
    """An item of a list in a body. It is given whole, also where PATCH leaves out other fields; the REST framework would
    let parts of it be missing as well."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if self.parent is None:
            return super().run_validation(data)
        alone = type(self)(data=data, context=self.context)
        alone.is_valid(raise_exception=True)
        return alone.validated_data


class AccountSerializer(StrictFields, serializers.ModelSerializer[Any]):
    """Lists its fields; the account is never among them. Checks shape; the model's own `clean` checks meaning."""

    serializer_related_field = OwnRowField
    serializer_field_mapping = serializers.ModelSerializer.serializer_field_mapping | {models.DateTimeField: MomentField}
    natural_key: ClassVar[str] = ""
    """The field to name where the account has such a row already."""
    in_use: ClassVar[Any] = IN_USE
    row: Any

    def get_validators(self) -> list[Any]:
        return []  # uniqueness within the account is checked below, on the field that people know the row by

    @property
    def _model(self) -> Any:
        return self.Meta.model

    @property
    def asker(self) -> Any:
        return self.context["request"].user

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Makes the row as it would be saved and asks the model whether that has a meaning."""
        self.row = row = self.instance or self._model(account=self.asker.account)
        if self.instance is not None and not self.partial:
            attrs = self.left_out() | attrs
        self.fill(row, attrs)
        try:
            row.full_clean(exclude=self.not_cleaned(row), validate_unique=False, validate_constraints=False)
        except DjangoValidationError as error:
            raise serializers.ValidationError(self.on_fields(error)) from error
        if self.is_taken(row):
            raise self.taken_error()
        return attrs

    def is_taken(self, row: Any) -> bool:
        return taken(row)

    def fill(self, row: Any, attrs: dict[str, Any]) -> None:
        for name, value in attrs.items():
            setattr(row, name, value)

    def left_out(self) -> dict[str, Any]:
        """PUT replaces: what the body leaves out goes back to what a new row starts with."""
        model_fields = {field.name: field for field in self._model._meta.concrete_fields}
        return {
            field.source: model_fields[field.source].get_default()
            for field in self.fields.values()
            if not field.read_only and not field.required and field.source is not None and field.source in model_fields
        }

    def not_cleaned(self, row: Any) -> set[str]:
        """Related rows were looked up already; asking for each of them again would cost a query."""
        return {field.name for field in row._meta.concrete_fields if field.remote_field}

    def on_fields(self, error: DjangoValidationError) -> dict[str, list[str]]:
        """The model's errors under the names the body has for its columns."""
        if not hasattr(error, "error_dict"):
            return {"": error.messages}
        known = {field.source: name for name, field in self.fields.items()}
        return {known.get(name, ""): messages for name, messages in error.message_dict.items()}

    def taken_error(self) -> serializers.ValidationError:
        return serializers.ValidationError({self.natural_key: [self.in_use]})

    def create(self, validated_data: dict[str, Any]) -> Any:
        self.row.save()
        return self.row

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        self.row.save()
        return self.row


class AccountReadViewSet(Limited, viewsets.ReadOnlyModelViewSet[Any]):
    """Lists and shows the rows of the asker's account, narrowed by their data scope."""

    permission_classes = (RequiredPermission,)
    parser_classes: Any = (JsonParser,)
    metadata_class = PortalMetadata
    required_permissions: ClassVar[dict[str, str]] = {}
    pagination_class: type[BasePagination] = NewestFirst
    filter_backends = (DeclaredFilters,)
    lookup_value_regex = "[0-9]{1,19}"

    def get_queryset(self) -> Any:
        rows: Any = super().get_queryset()
        return rows.none() if getattr(self, "swagger_fake_view", False) else rows.visible_to(self.request.user)

    def filter_queryset(self, queryset: Any) -> Any:
        """Filters narrow the list; one row is found by its id alone."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset


def finds(serializer: Any, *, many: str, permission: str, example: dict[str, Any]) -> Any:
    """The action `find` of a view: its list, asked for with the filters in the body. What stands in an address ends up in
    the logs of proxies and in histories, and a phone number or an email must not."""

    @extend_schema(
        summary=f"Find {many}",
        description="The same as the list, with its filters in the body: use it for what is personal, for addresses stand in "
        "logs. Filters are those of the list; one that may be given several times is a list here. `limit` and `cursor` as well: "
        "for the next page send the same body with the `cursor` of the answer.",
        request=OpenApiTypes.OBJECT,
        responses=inline_serializer(
            f"Found{serializer.__name__.removesuffix('Serializer')}",
            {
                "cursor": serializers.CharField(allow_null=True, help_text="For the next page; null on the last one."),
                "results": serializer(many=True),
            },
        ),
        examples=[OpenApiExample(f"Find {many}", value=example, request_only=True)],
        filters=False,
    )
    @action(detail=False, methods=["post"], required_permissions={"POST": permission})
    def find(self: Any, request: Request) -> Response:
        if request.query_params:
            raise exceptions.ValidationError({name: ["Filters stand in the body here."] for name in request.query_params})
        self.action = "list"  # which it is to all that follows: filters, rows, serializer, audit log
        request._request.GET = as_query(request.data)  # type: ignore[assignment]
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return Response({"cursor": self.paginator.next_cursor(), "results": self.get_serializer(rows, many=True).data})

    return find


def as_query(asked: Any) -> QueryDict:
    """Filters of a body, as an address would have them."""
    if not isinstance(asked, dict):
        raise exceptions.ParseError("Give an object of filters.")
    query = QueryDict(mutable=True)
    for name, given in asked.items():
        for value in given if isinstance(given, list) else [given]:
            if value is None or isinstance(value, dict | list):
                raise exceptions.ValidationError({name: ["Give a text, a number, true or false, or a list of these."]})
            if isinstance(value, str) and not _is_whole_unicode(value):
                raise exceptions.ValidationError({name: ["This is not valid Unicode (half of a surrogate pair)."]})
            query.appendlist(name, str(value).lower() if isinstance(value, bool) else str(value))
    return query


def _is_whole_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def once(handler: Callable[..., Response]) -> Callable[..., Response]:
    """A view's method that makes something, and honours the header `Idempotency-Key`. What was answered is remembered in
    rows of an app, which `settings.ANSWER_ONCE` names."""

    @functools.wraps(handler)
    def answered_once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        make = functools.partial(handler, view, request, *args, **kwargs)
        key = request.headers.get(IDEMPOTENCY_KEY)
        if key is None:
            return make()
        answer: Callable[..., Response] = import_string(settings.ANSWER_ONCE)
        return answer(request=request, key=key, make=make, said_once=getattr(view, "said_once", ()))

    answered_once.takes_idempotency_key = True  # type: ignore[attr-defined]
    return answered_once


class PortalViewSet(AccountReadViewSet):
    """Rows that are made and changed as well, by people and programs. Whoever lets them be deleted adds `Deletes`."""

    @once
    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        with transaction.atomic():
            row = self.saved(serializer)
            body = self.shown(row)
        return Response(
            body,
            status=status.HTTP_201_CREATED,
            headers={"Location": request.build_absolute_uri(f"{request.path}{row.pk}/")},
        )

    def update(self, request: Request, pk: str) -> Response:
        return self._changed(request, partial=False)

    def partial_update(self, request: Request, pk: str) -> Response:
        return self._changed(request, partial=True)

    def _changed(self, request: Request, *, partial: bool) -> Response:
        with transaction.atomic():
            self.lock()
            serializer = self.get_serializer(self.get_object(), data=request.data, partial=partial)
            return Response(self.shown(self.saved(serializer)))

    def lock(self) -> None:
        """Two changes of one row come one after the other, so that neither writes back what the other replaced."""
        rows = self.get_queryset().model._default_manager.visible_to(self.request.user).filter(pk=self.kwargs["pk"])
        if rows.order_by().select_for_update().values_list("pk").first() is None:
            raise Http404

    def saved(self, serializer: Any) -> Any:
        """Checks and saves. A row that somebody else made meanwhile gets the answer of one that was there before."""
        serializer.is_valid(raise_exception=True)
        try:
            with transaction.atomic():
                return serializer.save()
        except IntegrityError as error:
            if taken(serializer.row):
                raise serializer.taken_error() from error
            raise Conflict("Something this row points to was changed or deleted meanwhile. Look again.") from error

    def shown(self, row: Any) -> Any:
        """The row as it reads now, if the asker may see it and all it points to; else nothing of it is kept."""
        kept = self.get_queryset().filter(pk=row.pk).first()
        if kept is None or not is_of_one_account(row):
            raise exceptions.PermissionDenied("What you saved would not be yours to see, so it was not kept.")
        return self.get_serializer(kept).data


class Deletes(PortalViewSet):
    """Rows that may go. One that is in use stays."""

    def destroy(self, request: Request, pk: str) -> Response:
        with transaction.atomic():
            self.lock()
            try:
                row = self.get_object()
                legal_holds.refuse(row)
                self.remove(row)
            except legal_holds.UnderHold:
                raise
            except ProtectedError as error:
                raise Conflict("It is in use and stays. Take it from those who use it first.") from error
        return Response(status=status.HTTP_204_NO_CONTENT)

    def remove(self, row: Any) -> None:
        row.delete()


def answer_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turns what went wrong into one shape of answer, and a lost database into 503 with Retry-After."""
    if isinstance(error, legal_holds.UnderHold):
        error = Conflict(str(legal_holds.SAID))
    if isinstance(error, OperationalError):
        log.error("database unavailable: %s", type(error).__name__)
        return Response(
            {"detail": "The database is not available. Nothing was accepted; send it again."},
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    if isinstance(error, DatabaseError):
        raise error
    if isinstance(error, RequestDataTooBig):
        error = PayloadTooLarge()
    if isinstance(error, DjangoValidationError):
        error = exceptions.ValidationError(error.message_dict if hasattr(error, "error_dict") else {"": error.messages})
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    response = exception_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return response
    if isinstance(error, exceptions.ValidationError):
        response.data = {"detail": "The request is not valid.", "errors": fault_list(error.detail)}
    else:
        response.data = {"detail": str(error.detail)}
    return response


def fault_list(detail: Any) -> list[dict[str, str]]:
    """Errors as they are answered: a flat list of fields and reasons."""
    return list(_flat(detail))


_NO_FIELD = {NON_FIELD_ERRORS, "non_field_errors"}
"""What Django and the REST framework call an error that is about no single field; here that is an empty name."""


def _flat(detail: Any, field: str = "") -> Any:
    if isinstance(detail, dict):
        for name, below in detail.items():
            if isinstance(name, int):
                yield from _flat(below, f"{field}[{name}]")
            else:
                yield from _flat(below, f"{field}.{'' if name in _NO_FIELD else name}".strip("."))
    elif isinstance(detail, list):
        for position, below in enumerate(detail):
            yield from _flat(below, f"{field}[{position}]" if isinstance(below, dict) else field)
    else:
        yield {"field": _sayable(field, 200), "reason": _sayable(str(detail), 1000)}


def _sayable(text: str, most: int) -> str:
    """A bounded text that can be encoded: names and values of a request come back in the words about them."""
    short = text if len(text) <= most else f"{text[: most - 1]}…"
    return short.encode("utf-8", "replace").decode()
