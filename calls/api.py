"""Events in, service records out."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view

from callcenter_site.paging import NewestFirstByTime
from callcenter_site.rest import AccountReadViewSet, DeclaredFilters, PortalView
from calls.filters import CallFilterSet
from calls.models import Call
from calls.querysets import PARTS
from calls.serializers import CallDetailSerializer, CallSerializer


class EventsView(PortalView):
    required_permissions = {}


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
        "location": "Beijing",
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
            "transfer_to": "",
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
        description="With its legs, queue entries, IVR steps, recordings and voicemail.",
        examples=[OpenApiExample("With its parts", value={**_LISTED.value, **_PARTS}, response_only=True)],
    ),
)
class CallViewSet(AccountReadViewSet):
    queryset = Call.objects.select_related("agent", "skill_group")
    serializer_class = CallSerializer
    pagination_class = NewestFirstByTime
    filter_backends = (DeclaredFilters,)
    filterset_class = CallFilterSet
    required_permissions = {"GET": "calls.view_call"}

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        return rows.prefetch_related(*PARTS) if self.action == "retrieve" else rows

    def get_serializer_class(self) -> type[CallSerializer]:
        return CallDetailSerializer if self.action == "retrieve" else CallSerializer

    def filter_queryset(self, queryset: Any) -> Any:
        """Filters narrow the list; one record is found by its id alone."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset
