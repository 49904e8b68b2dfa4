"""How the API describes itself: what each operation may answer besides what it is for, worked out from the operation."""

from collections.abc import Callable, Collection
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

IDEMPOTENCY_KEY = "Idempotency-Key"


class FaultSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(help_text="The field at fault, such as `phones[0].number`; empty: none in particular.")
    reason = serializers.CharField(help_text="What is wrong, and what to do.")


class ErrorSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="What went wrong.")
    errors = FaultSerializer(many=True, required=False, help_text="Only where fields are at fault.")  # type: ignore[assignment]


_MEANINGS = {
    400: "A field or parameter is wrong; `errors` names each.",
    401: "No valid credential came with the request.",
    403: "The key's scopes, or the person's role, do not include this.",
    404: "There is no such row, or it is not yours to see.",
    409: "It does not go together with how things are now.",
    413: "The body is too large.",
    415: "The body is of a kind that is not taken.",
    422: f"This `{IDEMPOTENCY_KEY}` came before with another request.",
    503: "The portal cannot take more for the moment; nothing was accepted. Send it again after `Retry-After`.",
    507: "The disk is full; nothing was accepted. Send it again after `Retry-After`.",
    429: "Too much at once, of this key, this account or this address, or too much waits already; nothing was accepted. Send it "
    "again after `Retry-After`.",
}

_EXAMPLES = {
    400: {"detail": "The request is not valid.", "errors": [{"field": "name", "reason": "This field is required."}]},
    401: {"detail": "The API key is unknown, expired or revoked."},
    403: {"detail": "You do not have permission to perform this action."},
    404: {"detail": "Not found."},
    413: {"detail": "The body is larger than 1048576 bytes."},
    415: {"detail": 'Unsupported media type "text/plain" in request.'},
    429: {"detail": "Too many requests. Expected available in 3 seconds."},
}


class PortalSchema(AutoSchema):
    def get_override_parameters(self) -> list[Any]:
        told = list(super().get_override_parameters())
        if self._is_once():
            told.append(
                OpenApiParameter(
                    IDEMPOTENCY_KEY,
                    str,
                    OpenApiParameter.HEADER,
                    description="A name of your choice for this request, 1 to 255 printable characters. Sent again within "
                    "a day it makes nothing twice: the first answer comes again.",
                )
            )
        return told

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        for code in self._refusals():
            if str(code) not in bodies:
                body = self._get_response_for_code(ErrorSerializer, str(code), ["application/json"], direction)  # type: ignore[no-untyped-call]
                body["content"]["application/json"]["example"] = _EXAMPLES.get(code, {"detail": _MEANINGS[code]})
                bodies[str(code)] = body | {"description": _MEANINGS[code]}
        return dict(sorted(bodies.items()))

    def _refusals(self) -> list[int]:
        # Spectacular gives its schema objects these while it asks them.
        has_body = self.method in ("POST", "PUT", "PATCH") and self.get_request_serializer() is not None
        codes = {401, 403, 429, *getattr(self._handler(), "also_answers", ())}
        if has_body:
            codes |= {400, 413, 415}
        if self._is_list_view() or self.get_override_parameters():
            codes.add(400)
        if "{" in self.path:
            codes.add(404)
        if self.method == "DELETE" and "{" in self.path:
            codes.add(409)
        if self._is_once():
            codes |= {400, 409, 422}
        return sorted(codes)

    def _is_once(self) -> bool:
        return bool(getattr(self._handler(), "takes_idempotency_key", False))

    def _handler(self) -> Any:
        return getattr(self.view, getattr(self.view, "action", None) or self.method.lower(), None)


def also_answers(*codes: int) -> Callable[[Any], Any]:
    """Names what else a view's method may answer."""

    def name(handler: Any) -> Any:
        handler.also_answers = codes
        return handler

    return name


def resource(
    *,
    one: str,
    many: str,
    example: dict[str, Any],
    written: Collection[str],
    note: str = "",
    secret: dict[str, Any] | None = None,
    **actions: dict[str, Any],
) -> Callable[[Any], Any]:
    """Describes the usual operations of a kind of row. `written` names what of the example a body holds, `secret` adds what
    is never answered; `actions` says more of single ones."""
    body = {name: value for name, value in example.items() if name in written} | (secret or {})
    told = OpenApiExample(one.capitalize(), value=example, response_only=True)
    asked = OpenApiExample(one.capitalize(), value=body, request_only=True)
    change = OpenApiExample("One field", value=dict([next(iter(body.items()))]), request_only=True)
    article = "an" if one[0] in "aeiouI" else "a"
    usual: dict[str, dict[str, Any]] = {
        "list": {"summary": f"List {many}", "description": "Newest first. Follow `next` for older ones.", "examples": [told]},
        "create": {"summary": f"Add {article} {one}", "description": note, "examples": [asked, told]},
        "retrieve": {"summary": f"Show {article} {one}", "examples": [told]},
        "update": {
            "summary": f"Replace {article} {one}",
            "description": "What the body leaves out goes back to what a new one starts with.",
            "examples": [asked, told],
        },
        "partial_update": {
            "summary": f"Change {article} {one}",
            "description": "What the body leaves out stays as it is.",
            "examples": [change, told],
        },
        "destroy": {"summary": f"Delete {article} {one}"},
    }

    def describe(view: Any) -> Any:
        described = {
            action: extend_schema(**{"description": ""} | words | actions.get(action, {}))
            for action, words in usual.items()
            if hasattr(view, action)
        }
        return extend_schema_view(**described)(view)

    return describe
