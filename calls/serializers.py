"""Service records as integrators read them. Durations are in seconds, times in UTC."""

from typing import Any, ClassVar

from rest_framework import serializers

from callcenter_site.openapi import FaultSerializer
from callcenter_site.rest import AccountSerializer, StrictFields
from calls import masking
from calls.models import Call, CallLeg, Direction, IvrStep, QueueEntry, Recording, Voicemail
from calls.uploads import one_line
from configuration.models import IvrPrompt

_STAFF_ID = "Staff ID; null where no agent is known."


class _PartSerializer(AccountSerializer):
    """Hides numbers where the asker may not see them."""

    @property
    def sees_numbers(self) -> bool:
        return masking.sees_numbers(self.context["request"].user)


class CallLegSerializer(_PartSerializer):
    agent = serializers.CharField(source="agent.staff_id", default=None, allow_null=True, help_text=_STAFF_ID)
    agent_reference = serializers.SerializerMethodField(help_text="What the platform called an agent the portal does not know.")
    skill_group = serializers.CharField(source="skill_group.name", default=None, allow_null=True)
    number = serializers.SerializerMethodField(help_text="The external center's number.")
    holds = serializers.ListField(
        child=serializers.ListField(child=serializers.DateTimeField(allow_null=True), min_length=2, max_length=2),
        help_text="Stretches on hold as [from, to]; the last one may have no end yet.",
    )
    transfer_agent = serializers.CharField(source="transfer_agent.staff_id", default=None, allow_null=True, help_text=_STAFF_ID)
    transfer_to = serializers.SerializerMethodField(
        help_text="The skill group, number or unknown agent this party passed the call on to."
    )

    class Meta:
        model = CallLeg
        fields: ClassVar[list[str]] = [
            "seq",
            "kind",
            "agent",
            "agent_reference",
            "skill_group",
            "queue_seq",
            "terminal",
            "number",
            "provider",
            "offered_at",
            "answered_at",
            "ended_at",
            "wrap_up_ended_at",
            "holds",
            "hold_seconds",
            "result",
            "transfer_kind",
            "transfer_agent",
            "transfer_to",
            "transferred_at",
        ]

    def get_agent_reference(self, leg: CallLeg) -> str:
        return masking.shown_text(leg.agent_reference, whole=self.sees_numbers)

    def get_number(self, leg: CallLeg) -> str:
        return masking.shown(leg.number, whole=self.sees_numbers)

    def get_transfer_to(self, leg: CallLeg) -> str:
        return masking.shown_text(leg.transfer_to, whole=self.sees_numbers)


class QueueEntrySerializer(_PartSerializer):
    skill_group = serializers.CharField(source="skill_group.name", default=None, allow_null=True)
    skill_group_reference = serializers.CharField(help_text="What the platform called a group the portal does not know.")

    class Meta:
        model = QueueEntry
        fields: ClassVar[list[str]] = [
            "seq",
            "skill_group",
            "skill_group_reference",
            "cause",
            "priority",
            "entered_at",
            "left_at",
            "wait_seconds",
            "outcome",
            "reason",
            "while_ringing",
        ]


class IvrStepSerializer(_PartSerializer):
    prompt = serializers.SerializerMethodField(help_text="The prompt's code or its text.")
    input = serializers.SerializerMethodField(help_text="What the caller entered.")

    class Meta:
        model = IvrStep
        fields: ClassVar[list[str]] = ["seq", "step", "prompt", "prompt_kind", "prompted_at", "input", "input_kind", "input_at"]

    def get_prompt(self, step: IvrStep) -> str:
        return masking.shown_text(step.prompt, whole=self.sees_numbers)

    def get_input(self, step: IvrStep) -> str:
        return masking.shown_text(step.input, whole=self.sees_numbers)


class RecordingSerializer(AccountSerializer):
    class Meta:
        model = Recording
        fields: ClassVar[list[str]] = ["id", "recorded_at", "duration_seconds", "state", "content_type", "n_bytes"]


class VoicemailSerializer(AccountSerializer):
    skill_group = serializers.CharField(source="skill_group.name", default=None, allow_null=True)
    heard_by = serializers.CharField(source="heard_by.staff_id", default=None, allow_null=True, help_text=_STAFF_ID)

    class Meta:
        model = Voicemail
        fields: ClassVar[list[str]] = [*RecordingSerializer.Meta.fields, "skill_group", "heard_by", "heard_at"]


class CallSerializer(_PartSerializer):
    """A service record without its parts."""

    calling_number = serializers.SerializerMethodField(help_text="Masked where the key or role may not see whole numbers.")
    called_number = serializers.SerializerMethodField(help_text="Masked where the key or role may not see whole numbers.")
    connected_seconds = serializers.FloatField(help_text="Talk and hold.")
    agent = serializers.CharField(source="agent.staff_id", default=None, allow_null=True, help_text=_STAFF_ID)
    skill_group = serializers.CharField(
        source="skill_group.name", default=None, allow_null=True, help_text="Name of the skill group."
    )
    remark = serializers.SerializerMethodField(help_text="The agent's free text; numbers in it are masked like the others.")

    class Meta:
        model = Call
        fields: ClassVar[list[str]] = [
            "id",
            "call_id",
            "direction",
            "call_type",
            "state",
            "outcome",
            "calling_number",
            "called_number",
            "provider",
            "is_provider_looked_up",
            "location",
            "is_location_looked_up",
            "started_at",
            "answered_at",
            "ended_at",
            "end_is_inferred",
            "ivr_entered_at",
            "ivr_left_at",
            "ivr_exit",
            "ivr_seconds",
            "wait_seconds",
            "ring_seconds",
            "talk_seconds",
            "hold_seconds",
            "connected_seconds",
            "wrap_up_seconds",
            "disconnect_party",
            "end_cause",
            "agent",
            "skill_group",
            "n_transfers",
            "rating_asked",
            "rating_score",
            "rating_scale",
            "disposition",
            "remark",
        ]

    def get_calling_number(self, call: Call) -> str:
        return masking.shown(call.calling_number, whole=self.sees_numbers or call.direction == Direction.OUTBOUND)

    def get_called_number(self, call: Call) -> str:
        return masking.shown(call.called_number, whole=self.sees_numbers or call.direction == Direction.INBOUND)

    def get_remark(self, call: Call) -> str:
        return masking.shown_text(call.remark, whole=self.sees_numbers)


class CallDetailSerializer(CallSerializer):
    """A service record with its parts."""

    legs = CallLegSerializer(many=True)
    queue_entries = QueueEntrySerializer(many=True)
    ivr_steps = IvrStepSerializer(many=True)
    recordings = RecordingSerializer(many=True)
    voicemails = VoicemailSerializer(many=True)

    class Meta(CallSerializer.Meta):
        fields: ClassVar[list[str]] = [
            *CallSerializer.Meta.fields,
            "legs",
            "queue_entries",
            "ivr_steps",
            "recordings",
            "voicemails",
        ]


class ScreenCallSerializer(StrictFields):
    calling_number = serializers.CharField(
        max_length=60,
        allow_blank=True,
        validators=[one_line],
        help_text="In any written form; empty: the caller withholds it.",
    )
    called_number = serializers.CharField(
        max_length=60, allow_blank=True, validators=[one_line], help_text="In any written form."
    )
    direction = serializers.ChoiceField(choices=[Direction.INBOUND, Direction.OUTBOUND], default=Direction.INBOUND)
    prompts = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        max_length=100,
        help_text="Codes of the prompts your call flow plays. Left out: all in use; an empty list: none.",
    )


class ScreeningRuleSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk", help_text="The row of the blacklist that decides.")
    match = serializers.CharField(source="written", help_text="Its number, or its prefix with a `*`.")
    until = serializers.DateTimeField(source="blocked_until", allow_null=True, help_text="Null: for good.")


class ScreenedPromptSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    kind = serializers.ChoiceField(choices=IvrPrompt.Kind.choices)
    language = serializers.CharField(allow_blank=True)
    text = serializers.CharField(allow_blank=True, help_text="Empty for `audio`.")
    audio_url = serializers.CharField(
        allow_null=True, help_text="For `audio`: where its file is fetched, for a minute. Keep it by the prompt's code."
    )


class ScreeningSerializer(serializers.Serializer[Any]):
    decision = serializers.ChoiceField(choices=["allow", "reject"])
    reason = serializers.CharField(allow_blank=True, help_text="What the blacklist says of a number that is rejected.")
    rule = ScreeningRuleSerializer(allow_null=True, help_text="Null: allowed.")
    service_number = serializers.CharField(allow_null=True, help_text="As E.164; null: none of this account in use.")
    service_number_label = serializers.CharField(allow_blank=True)
    skill_group = serializers.CharField(allow_blank=True, help_text="The service number's default group.")
    priority = serializers.IntegerField(help_text="Of the service number's callers, 0 to 1000.")
    provider = serializers.CharField(allow_blank=True, help_text="Telecom provider of the customer's number, where known.")
    location = serializers.CharField(allow_blank=True, help_text="Where the customer's number is from, where known.")
    prompts = ScreenedPromptSerializer(many=True)
    warnings = FaultSerializer(many=True, help_text="What is odd about the question; it is answered all the same.")
