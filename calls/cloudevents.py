"""The CloudEvents 1.0 JSON format on the wire: how a body is read, and how request and answer are described.

Text that is half a surrogate pair is read as such: it stays with its own event instead of spoiling the whole batch.
"""

from collections import Counter
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from callcenter_site.rest import JsonParser, PayloadTooLarge


class CloudEventsParser(JsonParser):
    media_type = "application/cloudevents+json"
    most_bytes = settings.EVENT_BODY_BYTES

    def too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body is larger than {self.most_bytes} bytes; send fewer events at once.")


class CloudEventsBatchParser(CloudEventsParser):
    media_type = "application/cloudevents-batch+json"


class PlainEventsParser(CloudEventsParser):
    media_type = "application/json"


class CloudEventSerializer(serializers.Serializer[Any]):
    """Describes an event for the documentation; events are checked by `ingest.accept_events`."""

    specversion = serializers.CharField(default="1.0")
    id = serializers.CharField(max_length=255, help_text="Together with `source` the idempotency key.")
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=255, help_text="Which system tells, such as `pbx-1`."
    )
    type = serializers.CharField(help_text="Such as `call.started`.")
    subject = serializers.CharField(max_length=255, help_text="The call's id; for `agent.status_changed` the agent.")
    time = serializers.DateTimeField(help_text="When it happened, with zone.")
    sequence = serializers.CharField(required=False, max_length=40, help_text="Orders events of the same instant.")
    data = serializers.DictField(help_text="What the type carries.")  # type: ignore[assignment]


class ProblemSerializer(serializers.Serializer[Any]):
    field = serializers.CharField()
    reason = serializers.CharField()


class EventAnswerSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="The event's place in the list, from 0.")
    id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=["accepted", "duplicate", "dropped", "rejected"])
    code = serializers.ChoiceField(choices=[202, 200, 400, 409])
    errors = ProblemSerializer(many=True)  # type: ignore[assignment]
    warnings = ProblemSerializer(many=True)


class EventAnswersSerializer(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    dropped = serializers.IntegerField(help_text="About something that was erased.")
    rejected = serializers.IntegerField()
    results = EventAnswerSerializer(many=True)


def answer_to(answers: list[dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """Body and status: 202 if anything was accepted, 200 if all was known before or erased, else what is wrong with the rest."""
    counts = Counter(answer["status"] for answer in answers)
    codes = {answer["code"] for answer in answers}
    refused = codes - {200}
    status = 202 if 202 in codes else (409 if refused == {409} else 400) if refused else 200
    return {**{name: counts[name] for name in ("accepted", "duplicate", "dropped", "rejected")}, "results": answers}, status


EVENT_EXAMPLES = [
    OpenApiExample(
        "A call begins",
        value={
            "specversion": "1.0",
            "id": "evt-1001",
            "source": "pbx-1",
            "type": "call.started",
            "subject": "call-42",
            "time": "2026-11-24T09:00:00+08:00",
            "data": {"direction": "inbound", "calling_number": "+8613800138000", "called_number": "+861055500001"},
        },
        request_only=True,
    ),
    OpenApiExample(
        "Accepted",
        value={
            "accepted": 1,
            "duplicate": 0,
            "dropped": 0,
            "rejected": 0,
            "results": [{"index": 0, "id": "evt-1001", "status": "accepted", "code": 202, "errors": [], "warnings": []}],
        },
        response_only=True,
        status_codes=["202"],
    ),
]
