"""Configuration over the API."""

import datetime as dt
import tempfile
from functools import partial
from typing import Any

import django_filters
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from django.db.models import Count
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from callcenter_site import stored_audio
from callcenter_site.audit import Look, LooksAreLogged
from callcenter_site.filters import IdFilter, MomentFilter, SearchFilter, TruthFilter
from callcenter_site.openapi import resource
from callcenter_site.paging import NewestFirstByTime
from callcenter_site.phone_numbers import canonical
from callcenter_site.rest import (
    Conflict,
    Deletes,
    PayloadTooLarge,
    PortalView,
    PortalViewSet,
    fault_list,
    finds,
    once,
    permissions_on,
)
from configuration.access import CHECK_NUMBER, RIGHTS, holds, may_change_role, may_give_role, may_give_scope
from configuration.api_keys import create_api_key, revoke_api_keys
from configuration.blacklist import block_numbers, find_block, sees_numbers
from configuration.keywords import keyword_hits
from configuration.models import (
    Account,
    ApiKey,
    BlockedNumber,
    BreakReason,
    Disposition,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
    ScreenPop,
    ServiceNumber,
)
from configuration.placeholders import fill_url, samples
from configuration.prompts import MAX_BYTES, drop_audio, store_audio
from configuration.serializers import (
    AccountSettingsSerializer,
    ApiKeySerializer,
    BlockedAnswersSerializer,
    BlockedNumberSerializer,
    BlockedNumbersSerializer,
    BreakReasonSerializer,
    CheckedNumberSerializer,
    CheckNumberSerializer,
    DispositionSerializer,
    IvrPromptSerializer,
    KeywordHitsSerializer,
    KeywordSerializer,
    LinkSerializer,
    MadeApiKeySerializer,
    MatchTextSerializer,
    NewApiKeySerializer,
    OneOfManyBlockedSerializer,
    PreviewSerializer,
    QuickReplyGroupSerializer,
    QuickReplySerializer,
    RightsSerializer,
    RoleSerializer,
    ScreenPopSerializer,
    ServiceNumberSerializer,
)
from configuration.views import prompt_link

_MADE_AT = "2026-11-24T01:00:00Z"


# --- Numbers and prompts ---------------------------------------------------------------------------------------------


class ServiceNumberFilterSet(django_filters.FilterSet):
    number = django_filters.CharFilter(method="by_number", max_length=60, help_text="Whole, in any written form.")
    direction = django_filters.ChoiceFilter(choices=ServiceNumber.Direction.choices)
    is_active = TruthFilter("is_active")
    search = SearchFilter("number", "label")

    def by_number(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(number=canonical(value, self.request.user.account.region))


@resource(
    one="service number",
    many="service numbers",
    example={
        "id": 31,
        "number": "+861055500001",
        "label": "Sales line",
        "provider": "China Telecom",
        "direction": "both",
        "default_skill_group": "Support",
        "is_active": True,
    },
    written=["number", "label", "provider", "direction", "default_skill_group", "is_active"],
    note="A number the center owns. An empty provider is looked up from the number.",
)
class ServiceNumberViewSet(Deletes, PortalViewSet):
    queryset = ServiceNumber.objects.all()
    serializer_class = ServiceNumberSerializer
    filterset_class = ServiceNumberFilterSet
    required_permissions = permissions_on("configuration", "servicenumber")


class SoundParser(BaseParser):
    """A sound file as the body itself, onto the disk as it comes in."""

    media_type = "audio/*"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        file = tempfile.SpooledTemporaryFile(max_size=512 * 1024)  # noqa: SIM115  (goes when nobody holds it)
        n_bytes = 0
        while chunk := stream.read(64 * 1024):
            n_bytes += len(chunk)
            if n_bytes > MAX_BYTES:
                raise PayloadTooLarge(f"The file is larger than {MAX_BYTES // 1024**2} MB.")
            file.write(chunk)
        file.seek(0)
        return file


class AnyBytesParser(SoundParser):
    media_type = "application/octet-stream"


class IvrPromptFilterSet(django_filters.FilterSet):
    code = django_filters.CharFilter("code", max_length=60)
    kind = django_filters.ChoiceFilter(choices=IvrPrompt.Kind.choices)
    is_active = TruthFilter("is_active")
    search = SearchFilter("code", "text")


@resource(
    one="IVR prompt",
    many="IVR prompts",
    example={
        "id": 21,
        "code": "welcome",
        "kind": "tts",
        "text": "Welcome. For sales press 1.",
        "language": "en",
        "is_active": True,
        "audio_type": "",
        "audio_bytes": 0,
    },
    written=["code", "kind", "text", "language", "is_active"],
    note="Its sound file, if it is to have one, is put afterwards.",
)
class IvrPromptViewSet(Deletes, PortalViewSet):
    queryset = IvrPrompt.objects.all()
    serializer_class = IvrPromptSerializer
    filterset_class = IvrPromptFilterSet
    required_permissions = permissions_on("configuration", "ivrprompt")

    def saved(self, serializer: Any) -> IvrPrompt:
        prompt: IvrPrompt = super().saved(serializer)
        if prompt.kind != IvrPrompt.Kind.AUDIO:
            transaction.on_commit(partial(drop_audio, prompt))
        return prompt

    def remove(self, row: IvrPrompt) -> None:
        drop_audio(row)
        super().remove(row)

    @extend_schema(
        summary="Get a link to a prompt's sound file",
        responses=LinkSerializer,
        examples=[
            OpenApiExample(
                "A link",
                value={"url": "https://portal.example.com/api/prompt-sound/…/", "expires_at": _MADE_AT},
                response_only=True,
            )
        ],
    )
    @action(
        detail=True,
        methods=["get"],
        parser_classes=(SoundParser, AnyBytesParser, MultiPartParser),
        required_permissions={
            "GET": "configuration.view_ivrprompt",
            "PUT": "configuration.change_ivrprompt",
            "DELETE": "configuration.change_ivrprompt",
        },
    )
    def audio(self, request: Request, pk: str) -> Response:
        prompt = self.get_object()
        if not prompt.audio_bytes:
            raise NotFound("This prompt has no sound file.")
        answer = {
            "url": request.build_absolute_uri(prompt_link(prompt)),
            "expires_at": timezone.now() + dt.timedelta(seconds=stored_audio.LINK_SECONDS),
        }
        return Response(LinkSerializer(answer).data, headers={"Cache-Control": "no-store"})

    @extend_schema(
        summary="Put a prompt's sound file",
        description="WAV, MP3, OGG or M4A by its content, whatever its name says, of at most 5 MB: as the body itself, or as the "
        "part `file` of a form. The prompt becomes an `audio` prompt; a file it had is replaced.",
        request={
            "audio/*": OpenApiTypes.BINARY,
            "application/octet-stream": OpenApiTypes.BINARY,
            "multipart/form-data": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}},
        },
        responses=IvrPromptSerializer,
    )
    @audio.mapping.put
    def put_audio(self, request: Request, pk: str) -> Response:
        prompt = self.get_object()
        content: Any = request.data.get("file") if isinstance(request.data, dict) else request.data
        if not hasattr(content, "read"):
            raise ValidationError({"file": [_("Send the sound file, as the body or as the part file of a form.")]})
        try:
            # Outside a transaction: the row must name the file before there is one.
            store_audio(prompt=prompt, content=content, at=timezone.now())
        except DjangoValidationError as error:
            raise ValidationError({"file": error.messages}) from error
        with transaction.atomic():
            self.lock()
            prompt.kind = IvrPrompt.Kind.AUDIO
            prompt.save(update_fields=["kind"])
            return Response(self.shown(prompt))

    @extend_schema(summary="Delete a prompt's sound file", description="Not while the prompt is an `audio` prompt.")
    @audio.mapping.delete
    def delete_audio(self, request: Request, pk: str) -> Response:
        prompt = self.get_object()
        if prompt.kind == IvrPrompt.Kind.AUDIO:
            raise Conflict("An audio prompt needs its file. Make it a text first.")
        drop_audio(prompt)
        return Response(status=204)


# --- The blacklist ---------------------------------------------------------------------------------------------------


class BlockedNumbersNewestFirst(NewestFirstByTime):
    time_field = "created_at"


class BlockedNumberFilterSet(django_filters.FilterSet):
    number = django_filters.CharFilter(
        method="by_number", max_length=60, help_text="Whole, in any written form, or a prefix with its `*`: the row of just this."
    )
    is_prefix = TruthFilter("is_prefix")
    direction = django_filters.ChoiceFilter(choices=BlockedNumber.Direction.choices)
    created_after = MomentFilter("created_at", "gte", help_text="Added at this time or later.")
    created_before = MomentFilter("created_at", "lt", help_text="Added before this time.")
    in_force = TruthFilter(method="by_in_force", help_text="Whether the row blocks now, its time not being over.")

    def by_number(self, rows: Any, name: str, value: str) -> Any:
        meant = BlockedNumber(account=self.request.user.account, number=value)
        meant.confirm_broad = True
        try:
            meant.clean()
        except DjangoValidationError:
            return rows.none()
        return rows.filter(number=meant.number, is_prefix=meant.is_prefix)

    def by_in_force(self, rows: Any, name: str, value: str) -> Any:
        over = {"blocked_until__lte": timezone.now()}
        return rows.exclude(**over) if value == "true" else rows.filter(**over)


@resource(
    one="blocked number",
    many="blocked numbers",
    example={
        "id": 501,
        "number": "+8613800138000",
        "is_prefix": False,
        "direction": "inbound",
        "reason": "Repeated abuse",
        "blocked_until": None,
        "created_at": _MADE_AT,
    },
    written=["number", "direction", "reason", "blocked_until"],
    note="A number or, with a `*` at its end, all numbers that begin so. A prefix that takes in a whole country needs "
    "`confirm_broad`.",
)
class BlockedNumberViewSet(LooksAreLogged, Deletes, PortalViewSet):
    find = finds(
        BlockedNumberSerializer,
        many="blocked numbers",
        permission="configuration.view_blockednumber",
        example={"number": "138 0013 8000"},
    )
    look = Look.NUMBERS
    queryset = BlockedNumber.objects.all()
    serializer_class = BlockedNumberSerializer
    pagination_class = BlockedNumbersNewestFirst
    filterset_class = BlockedNumberFilterSet
    required_permissions = permissions_on("configuration", "blockednumber")

    def shows(self, request: Any) -> bool:
        return sees_numbers(request.user)

    @extend_schema(
        summary="Block many numbers",
        description="Each item is answered by itself: a bad one does not reject its neighbours.",
        request=BlockedNumbersSerializer,
        responses={200: BlockedAnswersSerializer},
        examples=[
            OpenApiExample(
                "Two numbers",
                value={"items": [{"number": "138 0013 8000", "reason": "Abuse"}, {"number": "+86170*", "direction": "both"}]},
                request_only=True,
            ),
            OpenApiExample(
                "Two numbers",
                value={
                    "created": 1,
                    "rejected": 1,
                    "results": [
                        {"index": 0, "status": "created", "id": 502, "errors": []},
                        {
                            "index": 1,
                            "status": "rejected",
                            "id": None,
                            "errors": [{"field": "number", "reason": "This is in use already."}],
                        },
                    ],
                },
                response_only=True,
            ),
        ],
    )
    @action(detail=False, methods=["post"], pagination_class=None, filterset_class=None)
    @once
    def bulk(self, request: Request) -> Response:
        asked = BlockedNumbersSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        one: Any = OneOfManyBlockedSerializer(context=self.get_serializer_context())
        asker: Any = request.user
        results: list[dict[str, Any]] = []
        rows: dict[int, BlockedNumber] = {}
        for index, item in enumerate(asked.validated_data["items"]):
            results.append({"index": index, "status": "rejected", "id": None, "errors": []})
            try:
                one.run_validation(item)
            except ValidationError as error:
                results[index]["errors"] = fault_list(error.detail)
            else:
                rows[index] = one.row
        ids = block_numbers(account=asker.account, rows=list(rows.values()), by=asker)
        for index, pk in zip(rows, ids, strict=True):
            if pk is None:
                results[index]["errors"] = fault_list(one.taken_error().detail)
            else:
                results[index] |= {"status": "created", "id": pk}
        created = len(ids) - ids.count(None)
        return Response({"created": created, "rejected": len(results) - created, "results": results})


class BlacklistCheckView(PortalView):
    required_permissions = {"POST": CHECK_NUMBER}

    @extend_schema(
        operation_id="blacklist_check",
        summary="Ask whether a number is blocked",
        description="Made to be asked for each call: one indexed query, however long the list. The number itself goes before a "
        "prefix, a longer prefix before a shorter one. The number is not kept, and stands in no log.",
        tags=["blacklist"],
        request=CheckNumberSerializer,
        responses=CheckedNumberSerializer,
        examples=[
            OpenApiExample("A number", value={"number": "138 0013 8000", "direction": "inbound"}, request_only=True),
            OpenApiExample(
                "Blocked",
                value={"blocked": True, "id": 501, "match": "+8613800138000", "reason": "Repeated abuse", "until": None},
                response_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        asked = CheckNumberSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        asker: Any = request.user
        row = find_block(account=asker.account, at=timezone.now(), **asked.validated_data)
        answer = {
            "blocked": row is not None,
            "id": row and row.pk,
            "match": row and row.written,
            "reason": row.reason if row else "",
            "until": row and row.blocked_until,
        }
        return Response(CheckedNumberSerializer(answer).data, headers={"Cache-Control": "no-store"})


# --- Words -----------------------------------------------------------------------------------------------------------


class KeywordFilterSet(django_filters.FilterSet):
    category = django_filters.CharFilter("category", max_length=60)
    severity = django_filters.ChoiceFilter(choices=Keyword.Severity.choices)
    is_active = TruthFilter("is_active")
    search = SearchFilter("phrase", "category")


@resource(
    one="keyword",
    many="keywords",
    example={
        "id": 71,
        "phrase": "refund",
        "category": "Complaints",
        "severity": "warning",
        "match_mode": "word",
        "is_active": True,
    },
    written=["phrase", "category", "severity", "match_mode", "is_active"],
    note="A phrase looked for in what callers say and agents write.",
)
class KeywordViewSet(Deletes, PortalViewSet):
    queryset = Keyword.objects.all()
    serializer_class = KeywordSerializer
    filterset_class = KeywordFilterSet
    required_permissions = permissions_on("configuration", "keyword")

    @extend_schema(
        summary="Find keywords in a text",
        description="Every place where a keyword in use stands, from the front. Nothing is stored.",
        request=MatchTextSerializer,
        responses={200: KeywordHitsSerializer},
        examples=[
            OpenApiExample("A remark", value={"text": "The customer asks for a refund."}, request_only=True),
            OpenApiExample(
                "One hit",
                value={
                    "hits": [
                        {
                            "id": 71,
                            "phrase": "refund",
                            "category": "Complaints",
                            "severity": "warning",
                            "start": 24,
                            "end": 30,
                        }
                    ]
                },
                response_only=True,
            ),
        ],
    )
    @action(
        detail=False,
        methods=["post"],
        pagination_class=None,
        filterset_class=None,
        required_permissions={"POST": "configuration.view_keyword"},
    )
    def match(self, request: Request) -> Response:
        asked = MatchTextSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        asker: Any = request.user
        hits = keyword_hits(account=asker.account, text=asked.validated_data["text"])
        return Response(KeywordHitsSerializer({"hits": hits}).data)


class QuickReplyGroupFilterSet(django_filters.FilterSet):
    search = SearchFilter("name")


@resource(
    one="quick-reply group",
    many="quick-reply groups",
    example={"id": 5, "name": "Greetings", "order": 1, "n_replies": 4},
    written=["name", "order"],
    destroy={"description": "Only an empty one goes."},
)
class QuickReplyGroupViewSet(Deletes, PortalViewSet):
    queryset = QuickReplyGroup.objects.annotate(n_replies=Count("replies"))
    serializer_class = QuickReplyGroupSerializer
    filterset_class = QuickReplyGroupFilterSet
    required_permissions = permissions_on("configuration", "quickreplygroup")


class QuickReplyFilterSet(django_filters.FilterSet):
    group = IdFilter("group_id", help_text="Id of the quick-reply group.")
    is_active = TruthFilter("is_active")
    search = SearchFilter("title", "text")


@resource(
    one="quick reply",
    many="quick replies",
    example={
        "id": 61,
        "group": 5,
        "title": "Opening hours",
        "text": "We answer calls on {called_number} from 9 to 18.",
        "order": 1,
        "is_active": True,
    },
    written=["group", "title", "text", "order", "is_active"],
)
class QuickReplyViewSet(Deletes, PortalViewSet):
    queryset = QuickReply.objects.all()
    serializer_class = QuickReplySerializer
    filterset_class = QuickReplyFilterSet
    required_permissions = permissions_on("configuration", "quickreply")


# --- What agents see and choose from ---------------------------------------------------------------------------------


class NamedFilterSet(django_filters.FilterSet):
    is_active = TruthFilter("is_active")
    search = SearchFilter("name")


@resource(
    one="inbound pop-up",
    many="inbound pop-ups",
    example={
        "id": 2,
        "name": "CRM",
        "url_template": "https://crm.example.com/?number={caller_number}",
        "fields_shown": ["caller_number", "ivr_path"],
        "order": 1,
        "is_active": True,
    },
    written=["name", "url_template", "fields_shown", "order", "is_active"],
    note="A page that opens beside a ringing call: over HTTPS, its host written out, placeholders after it.",
)
class ScreenPopViewSet(Deletes, PortalViewSet):
    queryset = ScreenPop.objects.all()
    serializer_class = ScreenPopSerializer
    filterset_class = NamedFilterSet
    required_permissions = permissions_on("configuration", "screenpop")

    @extend_schema(
        summary="Preview an inbound pop-up",
        description="The address it opens for a sample call, every value percent-encoded.",
        responses=PreviewSerializer,
        examples=[
            OpenApiExample(
                "A sample call",
                value={
                    "url": "https://crm.example.com/?number=%2B8613800138000",
                    "sample": {"caller_number": "+8613800138000"},
                },
                response_only=True,
            )
        ],
    )
    @action(detail=True, methods=["get"])
    def preview(self, request: Request, pk: str) -> Response:
        return Response({"url": fill_url(self.get_object().url_template, samples()), "sample": samples()})


@resource(
    one="break reason",
    many="break reasons",
    example={"id": 81, "name": "Lunch", "order": 1, "is_active": True},
    written=["name", "order", "is_active"],
)
class BreakReasonViewSet(Deletes, PortalViewSet):
    queryset = BreakReason.objects.all()
    serializer_class = BreakReasonSerializer
    filterset_class = NamedFilterSet
    required_permissions = permissions_on("configuration", "breakreason")


@resource(
    one="disposition",
    many="dispositions",
    example={"id": 91, "name": "Order placed", "order": 1, "is_active": True},
    written=["name", "order", "is_active"],
)
class DispositionViewSet(Deletes, PortalViewSet):
    queryset = Disposition.objects.all()
    serializer_class = DispositionSerializer
    filterset_class = NamedFilterSet
    required_permissions = permissions_on("configuration", "disposition")


# --- Who may do what -------------------------------------------------------------------------------------------------


class RoleFilterSet(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(choices=Role.Kind.choices)
    search = SearchFilter("name")


@resource(
    one="role",
    many="roles",
    example={
        "id": 3,
        "name": "Quick-reply editor",
        "kind": "custom",
        "data_scope": "own",
        "permissions": ["configuration.view_quickreply", "configuration.view_quickreplygroup"],
        "requires_second_factor": False,
    },
    written=["name", "data_scope", "permissions", "requires_second_factor"],
    note="Nobody gives more than they hold. Of a built-in role, and of one's own, only the second factor can be asked for.",
    destroy={"description": "Only one that nobody has, and no built-in one."},
)
class RoleViewSet(Deletes, PortalViewSet):
    queryset = Role.objects.all()
    serializer_class = RoleSerializer
    filterset_class = RoleFilterSet
    required_permissions = permissions_on("configuration", "role")

    def get_object(self) -> Role:
        role: Role = super().get_object()
        asker: Any = self.request.user
        method = self.request.method
        if method in ("PUT", "PATCH") and not may_give_role(asker, role):
            raise PermissionDenied("You cannot change a role that may do more than you.")
        if method == "DELETE" and not may_change_role(asker, role):
            raise PermissionDenied("Built-in roles stay, and so do your own and one that may do more than you.")
        return role


class RightsView(PortalView):
    required_permissions = {"GET": "configuration.view_role"}

    @extend_schema(
        operation_id="rights_list",
        summary="List what a role may allow",
        description="Each right in words, and the permissions it is made of. The words may change; the permissions are stable.",
        tags=["roles"],
        responses=RightsSerializer(many=True),
        filters=False,
    )
    def get(self, request: Request) -> Response:
        asker: Any = request.user
        answer = [
            {
                "title": str(title),
                "rights": [
                    {
                        "label": str(right.label),
                        "permissions": sorted(right.permissions),
                        "may_give": holds(asker, right.permissions),
                    }
                    for right in rights
                ],
            }
            for title, rights in RIGHTS
        ]
        return Response(answer)


class AccountView(PortalView):
    required_permissions = {"GET": "configuration.view_account", "PATCH": "configuration.change_account"}

    _example = {
        "id": 1,
        "name": "Acme",
        "slug": "acme",
        "time_zone": "Asia/Shanghai",
        "region": "CN",
        "language": "en",
        "service_level_seconds": 20,
        "short_abandon_seconds": 5,
        "level_good": 80,
        "level_poor": 60,
        "created_at": _MADE_AT,
    }

    @extend_schema(
        operation_id="account_retrieve",
        summary="Show the account's settings",
        responses=AccountSettingsSerializer,
        examples=[OpenApiExample("An account", value=_example, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        return Response(self.serializer(request).data)

    @extend_schema(
        operation_id="account_partial_update",
        summary="Change the account's settings",
        description="A new time zone or region holds from now on; what is stored stays as it is.",
        request=AccountSettingsSerializer,
        responses=AccountSettingsSerializer,
        examples=[
            OpenApiExample("The service level", value={"service_level_seconds": 30}, request_only=True),
            OpenApiExample("An account", value=_example, response_only=True),
        ],
    )
    def patch(self, request: Request) -> Response:
        with transaction.atomic():
            self.own(request).select_for_update().first()
            serializer = self.serializer(request, data=request.data, partial=True)
            serializer.is_valid(raise_exception=True)
            serializer.save()
        return Response(serializer.data)

    def own(self, request: Request) -> Any:
        """Of no account, as operators are: none, though they see every one in the admin."""
        asker: Any = request.user
        return Account.objects.visible_to(asker).filter(pk=asker.account_id)

    def serializer(self, request: Request, **given: Any) -> AccountSettingsSerializer:
        account = get_object_or_404(self.own(request))
        return AccountSettingsSerializer(account, context={"request": request}, **given)


class ApiKeyFilterSet(django_filters.FilterSet):
    is_usable = TruthFilter(method="by_usable", help_text="Neither revoked nor expired.")
    search = SearchFilter("name", "prefix")

    def by_usable(self, rows: Any, name: str, value: str) -> Any:
        over = rows.filter(revoked_at__isnull=False) | rows.filter(expires_at__lte=timezone.now())
        return over if value == "false" else rows.exclude(pk__in=over.order_by().values("pk"))


_KEY = {
    "id": 11,
    "name": "CRM",
    "prefix": "3f9c1a7be042",
    "scopes": ["agents:read", "calls:read"],
    "is_usable": True,
    "created_at": _MADE_AT,
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
}


@resource(
    one="API key",
    many="API keys",
    example=_KEY,
    written=["name", "scopes", "expires_at"],
    note="Only with scopes that the asker may give: a person those whose permissions they hold, a key those it has itself.",
    create={
        "request": NewApiKeySerializer,
        "responses": {201: MadeApiKeySerializer},
        "examples": [
            OpenApiExample("A key", value={"name": "CRM", "scopes": ["agents:read", "calls:read"]}, request_only=True),
            OpenApiExample(
                "A key, said once",
                value=_KEY | {"text": "3f9c1a7be042.V1StGXR8_Z5jdHi6B-myT0YyjXVqpX0dWQ3m0VfOq9k"},
                response_only=True,
            ),
        ],
    },
    update={"examples": [OpenApiExample("Its name", value={"name": "CRM, new"}, request_only=True)]},
)
class ApiKeyViewSet(PortalViewSet):
    queryset = ApiKey.objects.all()
    serializer_class = ApiKeySerializer
    filterset_class = ApiKeyFilterSet
    required_permissions = permissions_on("configuration", "apikey")
    said_once = ("text",)

    def get_serializer_class(self) -> type[ApiKeySerializer]:
        return NewApiKeySerializer if self.action == "create" else ApiKeySerializer

    @once
    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data
        with transaction.atomic():
            key, text = create_api_key(
                account=request.user.account,  # type: ignore[union-attr,arg-type]
                name=given["name"],
                scopes=given["scopes"],
                expires_at=given.get("expires_at"),
            )
            body = ApiKeySerializer(self.get_queryset().get(pk=key.pk), context=self.get_serializer_context()).data
        headers = {"Location": request.build_absolute_uri(f"{request.path}{key.pk}/"), "Cache-Control": "no-store"}
        return Response(body | {"text": text}, status=201, headers=headers)

    @extend_schema(
        summary="Revoke an API key",
        description="At once and for good. A key may revoke itself.",
        request=None,
        responses=ApiKeySerializer,
        examples=[OpenApiExample("A key", value=_KEY | {"is_usable": False, "revoked_at": _MADE_AT}, response_only=True)],
    )
    @action(detail=True, methods=["post"], required_permissions={"POST": "configuration.change_apikey"})
    def revoke(self, request: Request, pk: str) -> Response:
        with transaction.atomic():
            key = self.get_object()
            revoke_api_keys(keys=[key], at=timezone.now())
            return Response(self.shown(key))

    def get_object(self) -> ApiKey:
        """A key changes and revokes only what may no more than itself."""
        key: ApiKey = super().get_object()
        asker: Any = self.request.user
        is_key_that_writes = asker.pk is None and self.request.method not in ("GET", "HEAD")
        if is_key_that_writes and not all(may_give_scope(asker, scope) for scope in key.scopes):
            raise PermissionDenied("This key may do more than the one you ask with.")
        return key
