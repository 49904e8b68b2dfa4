"""Sound files as integrators send and read them."""

from typing import Any, ClassVar

from rest_framework import serializers

from callcenter_site.rest import StrictFields
from calls.models import AudioState, CallAudio, IncomingSound, Voicemail
from calls.serializers import RecordingSerializer
from calls.wording import why_no_sound

_STAFF_ID = "Staff ID; null where no agent is known."
SOUND_STATES = [*AudioState.choices, *IncomingSound.State.choices]
"""Where a sound file is: those of a record's row, and those of a file that is not in a record yet."""
_CALL_ID = "The telephony platform's ID of the call."


class SoundSerializer(RecordingSerializer):
    """A recording by itself, with the call it belongs to."""

    call = serializers.IntegerField(source="call_id", help_text="Id of the service record.")
    call_id = serializers.CharField(source="call.call_id", help_text=_CALL_ID)
    error = serializers.SerializerMethodField(help_text="Why its file is not here, where it was asked for.")

    class Meta(RecordingSerializer.Meta):
        fields: ClassVar[list[str]] = [*RecordingSerializer.Meta.fields, "sha256", "call", "call_id", "error"]
        read_only_fields = fields

    def get_error(self, row: CallAudio) -> str:
        return why_no_sound(row.error)


class MessageSerializer(SoundSerializer):
    """A voicemail, with what became of it. `heard`, `called_back` and `assigned_to` are there to be changed."""

    skill_group = serializers.CharField(source="skill_group.name", default=None, allow_null=True)
    heard_by = serializers.CharField(source="heard_by.staff_id", default=None, allow_null=True, help_text=_STAFF_ID)
    assigned_to = serializers.CharField(source="assigned_to.staff_id", default=None, allow_null=True, help_text=_STAFF_ID)
    called_back_by = serializers.CharField(source="called_back_by.staff_id", default=None, allow_null=True, help_text=_STAFF_ID)

    class Meta(SoundSerializer.Meta):
        model = Voicemail  # type: ignore[assignment]
        fields: ClassVar[list[str]] = [
            *SoundSerializer.Meta.fields,
            "skill_group",
            "heard_at",
            "heard_by",
            "assigned_to",
            "called_back_at",
            "called_back_by",
        ]
        read_only_fields = fields


class MessageChangeSerializer(StrictFields):
    heard = serializers.BooleanField(required=False)
    called_back = serializers.BooleanField(required=False)
    assigned_to = serializers.CharField(
        required=False, allow_null=True, max_length=40, help_text="Staff ID of the agent who takes care of it; null: nobody."
    )


class SentSoundSerializer(serializers.Serializer[Any]):
    """What became of a file that was sent."""

    id = serializers.IntegerField(allow_null=True, help_text="Id of the recording or voicemail; null while it is in no record.")
    state = serializers.ChoiceField(
        choices=SOUND_STATES,
        help_text="`stored`: in the record. `spooled`: safe with the portal, which moves it as soon as the store is back. "
        "`waiting`: stored, until its call is known, for at most seven days.",
    )
    call_id = serializers.CharField(help_text=_CALL_ID)
    recorded_at = serializers.DateTimeField(allow_null=True)
    duration_seconds = serializers.FloatField(allow_null=True)
    content_type = serializers.CharField()
    n_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()


class SoundLinkSerializer(serializers.Serializer[Any]):
    url = serializers.URLField(help_text="Opens this one file, whole or in parts, without a credential.")
    expires_at = serializers.DateTimeField()
