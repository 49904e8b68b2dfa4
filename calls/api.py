"""Events in, service records out."""

from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer, extend_schema, extend_schema_view
from rest_framework.exceptions import PermissionDenied, Throttled, ValidationError
from rest_framework.fields import DateTimeField
from rest_framework.request import Request
from rest_framework.response import Response

from callcenter_site.audit import Look, LooksAreLogged
from callcenter_site.openapi import ErrorSerializer, also_answers
from callcenter_site.paging import NewestFirstByTime
from callcenter_site.rest import RETRY_SECONDS, AccountReadViewSet, Overloaded, PayloadTooLarge, PortalView, finds
from calls import ingest, masking, narrowing, tasks
from calls.cloudevents import (
    EVENT_EXAMPLES,
    CloudEventsBatchParser,
    CloudEventSerializer,
    CloudEventsParser,
    EventAnswersSerializer,
    PlainEventsParser,
    answer_to,
)
from calls.filters import CallFilterSet
from calls.models import Call
from calls.querysets import parts_seen_by
from calls.screening import Screening, screen_call
from calls.serializers import CallDetailSerializer, CallSerializer, ScreenCallSerializer, ScreeningSerializer
from configuration.access import SCREEN_CALL
from configuration.models import Account, BlockedNumber, IvrPrompt
from configuration.views import prompt_link

# Answered event by event; a body that is no list of events at all, as a whole.
_EVENTS_REFUSED = PolymorphicProxySerializer(
    component_name="EventsRefused", serializers=[EventAnswersSerializer, ErrorSerializer], resource_type_field_name=None
)


class EventsView(PortalView):
    """Events in. 202 means kept: what was accepted is committed before the answer leaves."""

    required_permissions = {"POST": "calls.add_callevent"}
    parser_classes = (CloudEventsParser, CloudEventsBatchParser, PlainEventsParser)

    @extend_schema(
        operation_id="events_create",
        summary="Post call events",
        description=(
            "One CloudEvent, or a list of up to 1,000, of at most 1 MiB in all. Each is answered by itself: a bad event does "
            "not reject its neighbours. `source` and `id` together name an event; sending it again is safe and answered "
            "as a duplicate. The event types and their data stand in the guide `docs/events.md`."
        ),
        request={
            "application/cloudevents+json": CloudEventSerializer,
            "application/cloudevents-batch+json": CloudEventSerializer(many=True),
            "application/json": CloudEventSerializer,
        },
        responses=dict.fromkeys((200, 202, 409), EventAnswersSerializer) | {400: _EVENTS_REFUSED},
        examples=EVENT_EXAMPLES,
    )
    @also_answers(413, 429, 503)
    def post(self, request: Request) -> Response:
        items = request.data if isinstance(request.data, list) else [request.data]
        if not items:
            raise ValidationError(ingest.NO_EVENT)
        if len(items) > settings.EVENT_BATCH:
            raise PayloadTooLarge(ingest.TOO_MANY_EVENTS % {"n": len(items), "most": settings.EVENT_BATCH})
        account: Account | None = getattr(request.user, "account", None)
        if account is None:
            raise PermissionDenied
        _make_room(account)
        answers = ingest.accept_events(account=account, items=items, at=timezone.now())
        body, status = answer_to(answers)
        if body["accepted"]:
            tasks.nudge()
        return Response(body, status=status)


def _make_room(account: Account) -> None:
    """Refuses before anything is taken."""
    if ingest.portal_is_full():
        raise Overloaded
    if ingest.account_is_full(account):
        raise Throttled(wait=RETRY_SECONDS)


_LET_IN = {
    "decision": "allow",
    "reason": "",
    "rule": None,
    "service_number": "+861055500001",
    "service_number_label": "Hotline",
    "skill_group": "Sales",
    "priority": 5,
    "provider": "China Mobile",
    "location": "Beijing",
    "prompts": [
        {"code": "welcome", "kind": "tts", "language": "en", "text": "Welcome to Harbour Travel.", "audio_url": None},
    ],
    "warnings": [],
}


class ScreenView(PortalView):
    required_permissions = {"POST": SCREEN_CALL}

    @extend_schema(
        operation_id="calls_screen",
        summary="Ask whether a call is let in",
        description="Asked before a call is accepted: the blacklist decides, and the service number says group, priority and "
        "prompts. A few indexed queries, however long the lists. Nothing of it is kept, and the numbers stand in no log. A "
        "number that is no service number of the account is let in, with a warning. Where the portal cannot be asked, let "
        "the call in.",
        tags=["calls"],
        request=ScreenCallSerializer,
        responses=ScreeningSerializer,
        examples=[
            OpenApiExample(
                "A call comes in",
                value={"calling_number": "138 0013 8000", "called_number": "010 5550 0001", "prompts": ["welcome"]},
                request_only=True,
            ),
            OpenApiExample("Let in", value=_LET_IN, response_only=True),
            OpenApiExample(
                "Turned away",
                value={
                    **_LET_IN,
                    "decision": "reject",
                    "reason": "Repeated abuse",
                    "rule": {"id": 501, "match": "+8613800138000", "until": None},
                },
                response_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        asked = ScreenCallSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        asker: Any = request.user
        given = asked.validated_data
        screening = screen_call(
            account=asker.account,
            calling_number=given["calling_number"],
            called_number=given["called_number"],
            direction=given["direction"],
            prompt_codes=given.get("prompts"),
            at=timezone.now(),
        )
        return Response(_as_answer(screening, request), headers={"Cache-Control": "no-store"})


def _as_answer(screening: Screening, request: Request) -> dict[str, Any]:
    """What `ScreeningSerializer` describes. Put together by hand: a caller waits, and a serializer takes a fifth of the time."""
    owned = screening.service_number
    return {
        "decision": "allow" if screening.is_allowed else "reject",
        "reason": screening.block.reason if screening.block else "",
        "rule": screening.block and _as_rule(screening.block),
        "service_number": owned and owned.number,
        "service_number_label": owned.label if owned else "",
        "skill_group": owned.default_skill_group if owned else "",
        "priority": owned.priority if owned else 0,
        "provider": screening.provider,
        "location": screening.location,
        "prompts": [_as_prompt(prompt, request) for prompt in screening.prompts],
        "warnings": [{"field": name, "reason": reason} for name, reason in screening.warnings],
    }


def _as_rule(block: BlockedNumber) -> dict[str, Any]:
    until = DateTimeField().to_representation(block.blocked_until) if block.blocked_until else None
    return {"id": block.pk, "match": block.written, "until": until}


def _as_prompt(prompt: IvrPrompt, request: Request) -> dict[str, Any]:
    is_audio = prompt.kind == IvrPrompt.Kind.AUDIO
    link = request.build_absolute_uri(prompt_link(prompt)) if is_audio and prompt.audio_bytes else None
    return {
        "code": prompt.code,
        "kind": prompt.kind,
        "language": prompt.language,
        "text": "" if is_audio else prompt.text,
        "audio_url": link,
    }


_LISTED = OpenApiExample(
    "An answered call",
    value={
        "id": 48211,
        "call_id": "20261124-000417",
        "direction": "inbound",
        "call_type": "",
        "state": "ended",
        "outcome": "answered",
        "calling_number": "+8613800138000",
        "called_number": "+861055500001",
        "provider": "China Mobile",
        "is_provider_looked_up": False,
        "location": "Beijing",
        "is_location_looked_up": True,
        "started_at": "2026-11-24T01:00:00Z",
        "answered_at": "2026-11-24T01:00:31Z",
        "ended_at": "2026-11-24T01:04:31Z",
        "end_is_inferred": False,
        "ivr_entered_at": "2026-11-24T01:00:00Z",
        "ivr_left_at": "2026-11-24T01:00:12Z",
        "ivr_exit": "to_queue",
        "ivr_seconds": 12.0,
        "wait_seconds": 19.0,
        "ring_seconds": 6.0,
        "talk_seconds": 210.0,
        "hold_seconds": 30.0,
        "connected_seconds": 240.0,
        "wrap_up_seconds": 25.0,
        "disconnect_party": "customer",
        "end_cause": "completed",
        "agent": "1001",
        "skill_group": "Sales",
        "n_transfers": 0,
        "rating_asked": True,
        "rating_score": 5.0,
        "rating_scale": 5,
        "disposition": "order placed",
        "remark": "",
    },
    response_only=True,
)
_PARTS: dict[str, Any] = {
    "legs": [
        {
            "seq": 1,
            "kind": "agent",
            "agent": "1001",
            "agent_reference": "",
            "skill_group": "Sales",
            "queue_seq": 1,
            "terminal": "web",
            "number": "",
            "provider": "",
            "offered_at": "2026-11-24T01:00:25Z",
            "answered_at": "2026-11-24T01:00:31Z",
            "ended_at": "2026-11-24T01:04:31Z",
            "wrap_up_ended_at": "2026-11-24T01:04:56Z",
            "holds": [["2026-11-24T01:02:00Z", "2026-11-24T01:02:30Z"]],
            "hold_seconds": 30.0,
            "result": "answered",
            "transfer_kind": "",
            "transfer_agent": None,
            "transfer_to": "",
            "transferred_at": None,
        }
    ],
    "queue_entries": [
        {
            "seq": 1,
            "skill_group": "Sales",
            "skill_group_reference": "",
            "cause": "ivr",
            "priority": None,
            "entered_at": "2026-11-24T01:00:12Z",
            "left_at": "2026-11-24T01:00:31Z",
            "wait_seconds": 19.0,
            "outcome": "answered",
            "reason": "",
            "while_ringing": False,
        }
    ],
    "ivr_steps": [
        {
            "seq": 1,
            "step": "menu",
            "prompt": "For sales press 1.",
            "prompt_kind": "tts",
            "prompted_at": "2026-11-24T01:00:01Z",
            "input": "1",
            "input_kind": "keys",
            "input_at": "2026-11-24T01:00:12Z",
        }
    ],
    "recordings": [
        {
            "id": 9120,
            "recorded_at": "2026-11-24T01:04:31Z",
            "duration_seconds": 240.0,
            "state": "stored",
            "content_type": "audio/wav",
            "n_bytes": 3840044,
        }
    ],
    "voicemails": [],
}


@extend_schema_view(
    list=extend_schema(
        summary="List service records",
        description="Newest first. Follow `next` for older ones; a call that arrives meanwhile shifts nothing.",
        examples=[_LISTED],
    ),
    retrieve=extend_schema(
        summary="Show a service record",
        description="With its legs, queue entries, IVR steps, and the recordings and voicemail that the asker may know of.",
        examples=[OpenApiExample("With its parts", value={**_LISTED.value, **_PARTS}, response_only=True)],
    ),
)
class CallViewSet(LooksAreLogged, AccountReadViewSet):
    look = Look.NUMBERS
    find = finds(
        CallSerializer,
        many="service records",
        permission="calls.view_call",
        example={"number": "138 0013 8000", "outcome": ["abandoned_in_queue", "abandoned_while_ringing"], "limit": 20},
    )
    queryset = Call.objects.select_related("agent", "skill_group")
    serializer_class = CallSerializer
    pagination_class = NewestFirstByTime
    filterset_class = CallFilterSet
    required_permissions = {"GET": "calls.view_call"}

    def get_queryset(self) -> Any:
        asker: Any = self.request.user
        if self.action == "list" and not getattr(self, "swagger_fake_view", False):
            return narrowing.listed_for(asker).select_related("agent", "skill_group")
        rows = super().get_queryset()
        if self.action != "retrieve" or getattr(self, "swagger_fake_view", False):
            return rows
        return rows.prefetch_related(*parts_seen_by(asker))

    def shows(self, request: Any) -> bool:
        return masking.sees_numbers(request.user)

    def get_serializer_class(self) -> type[CallSerializer]:
        return CallDetailSerializer if self.action == "retrieve" else CallSerializer
