"""Configuration as integrators read and write it. What a value must be like is said by the models, for pages and API alike."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from callcenter_site.rest import AccountSerializer, MomentField, StrictFields
from configuration.access import RIGHTS, frees_oneself, holds, may_change_role, may_give_scope, reaches
from configuration.api_keys import check_end
from configuration.blacklist import shown
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

GIVEABLE = sorted({permission for _title, rights in RIGHTS for right in rights for permission in right.permissions})
CHECKED_DIRECTIONS = [(one.value, one.label) for one in (BlockedNumber.Direction.INBOUND, BlockedNumber.Direction.OUTBOUND)]
ITEM_STATUS = [("created", "created"), ("rejected", "rejected")]
_MOST = 2**31 - 1
_ORDER = {"min_value": 0, "max_value": _MOST, "help_text": "Lists and menus show the smallest first."}


class AccountSettingsSerializer(AccountSerializer):
    region = serializers.CharField(max_length=2, help_text="Two-letter country in which a number without + is read.")

    class Meta:
        model = Account
        fields: ClassVar[list[str]] = [
            "id",
            "name",
            "slug",
            "time_zone",
            "region",
            "language",
            "service_level_seconds",
            "short_abandon_seconds",
            "level_good",
            "level_poor",
            "created_at",
        ]
        read_only_fields: ClassVar[list[str]] = ["slug", "created_at"]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "short_abandon_seconds": {"min_value": 0},
            "level_poor": {"min_value": 0},
        }

    def validate_region(self, region: str) -> str:
        return region.upper()


class ServiceNumberSerializer(AccountSerializer):
    natural_key = "number"

    class Meta:
        model = ServiceNumber
        fields: ClassVar[list[str]] = [
            "id",
            "number",
            "label",
            "provider",
            "direction",
            "default_skill_group",
            "priority",
            "is_active",
        ]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "number": {"help_text": "Written in any form, answered as E.164."},
            "default_skill_group": {
                "help_text": "Name of a skill group in use: its calls go there. It goes along when the group is renamed."
            },
        }


class IvrPromptSerializer(AccountSerializer):
    natural_key = "code"

    class Meta:
        model = IvrPrompt
        fields: ClassVar[list[str]] = ["id", "code", "kind", "text", "language", "is_active", "audio_type", "audio_bytes"]
        read_only_fields: ClassVar[list[str]] = ["audio_type", "audio_bytes"]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "kind": {"help_text": "A prompt becomes `audio` when its file is put; it cannot be so without one."},
        }

    def to_representation(self, instance: IvrPrompt) -> dict[str, Any]:
        """The file of what is no audio prompt any more goes when that is committed."""
        has_file = instance.kind == IvrPrompt.Kind.AUDIO
        return super().to_representation(instance) | ({} if has_file else {"audio_type": "", "audio_bytes": 0})


class BlockedNumberSerializer(AccountSerializer):
    natural_key = "number"
    confirm_broad = serializers.BooleanField(
        write_only=True,
        default=False,
        help_text="Say true to block a prefix that takes in a whole country, or everybody.",
    )

    class Meta:
        model = BlockedNumber
        fields: ClassVar[list[str]] = [
            "id",
            "number",
            "is_prefix",
            "direction",
            "reason",
            "blocked_until",
            "created_at",
            "confirm_broad",
        ]
        read_only_fields: ClassVar[list[str]] = ["is_prefix", "created_at"]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "number": {
                "help_text": "In any written form; a prefix ends with `*`. Answered as E.164, its middle hidden from who may "
                "not see whole numbers."
            },
            "blocked_until": {"help_text": "Null: for good."},
        }

    def to_representation(self, instance: BlockedNumber) -> dict[str, Any]:
        return super().to_representation(instance) | {"number": shown(instance, to=self.asker)}


class OneOfManyBlockedSerializer(BlockedNumberSerializer):
    """Whether it is there already is asked for all of them at once."""

    def is_taken(self, row: BlockedNumber) -> bool:
        return False


class BlockedNumbersSerializer(StrictFields):
    items = serializers.ListField(
        child=serializers.DictField(),
        min_length=1,
        max_length=1000,
        help_text="Up to 1,000 numbers, each as for one; each is answered by itself.",
    )


class BlockedItemSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="The item's place in the list, from 0.")
    status = serializers.ChoiceField(choices=ITEM_STATUS)
    id = serializers.IntegerField(allow_null=True)
    errors = serializers.ListField(  # type: ignore[assignment]
        child=serializers.DictField(child=serializers.CharField()), help_text="`field` and `reason` of each fault."
    )


class BlockedAnswersSerializer(serializers.Serializer[Any]):
    created = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = BlockedItemSerializer(many=True)


class CheckNumberSerializer(StrictFields):
    number = serializers.CharField(max_length=60, help_text="In any written form.")
    direction = serializers.ChoiceField(choices=CHECKED_DIRECTIONS, default="inbound")


class CheckedNumberSerializer(serializers.Serializer[Any]):
    blocked = serializers.BooleanField()
    id = serializers.IntegerField(allow_null=True, help_text="The row of the blacklist that decides; null: not blocked.")
    match = serializers.CharField(allow_null=True, help_text="That row's number, or its prefix with a `*`.")
    reason = serializers.CharField(allow_blank=True)
    until = serializers.DateTimeField(allow_null=True, help_text="Null where blocked: for good.")


class KeywordSerializer(AccountSerializer):
    natural_key = "phrase"

    class Meta:
        model = Keyword
        fields: ClassVar[list[str]] = ["id", "phrase", "category", "severity", "match_mode", "is_active"]


class MatchTextSerializer(StrictFields):
    text = serializers.CharField(
        max_length=20_000, allow_blank=True, trim_whitespace=False, help_text="What was said or written. It is not kept."
    )


class KeywordHitSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="keyword.pk")
    phrase = serializers.CharField(source="keyword.phrase")
    category = serializers.CharField(source="keyword.category", allow_blank=True)
    severity = serializers.ChoiceField(source="keyword.severity", choices=Keyword.Severity.choices)
    start = serializers.IntegerField(help_text="Place of its first character in the text, from 0.")
    end = serializers.IntegerField(help_text="Place after its last character.")


class KeywordHitsSerializer(serializers.Serializer[Any]):
    hits = KeywordHitSerializer(many=True)


class QuickReplyGroupSerializer(AccountSerializer):
    natural_key = "name"
    n_replies = serializers.IntegerField(read_only=True, help_text="Quick replies in it.")

    class Meta:
        model = QuickReplyGroup
        fields: ClassVar[list[str]] = ["id", "name", "order", "n_replies"]
        extra_kwargs: ClassVar[dict[str, Any]] = {"order": _ORDER}


class QuickReplySerializer(AccountSerializer):
    natural_key = "title"

    class Meta:
        model = QuickReply
        fields: ClassVar[list[str]] = ["id", "group", "title", "text", "order", "is_active"]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "order": _ORDER,
            "text": {"help_text": "May hold placeholders such as `{caller_number}`."},
            "group": {"help_text": "Id of its quick-reply group."},
        }


class ScreenPopSerializer(AccountSerializer):
    natural_key = "name"
    fields_shown = serializers.ListField(
        child=serializers.ChoiceField(choices=ScreenPop.Field.choices),
        required=False,
        max_length=len(ScreenPop.Field),
        help_text="What of the call is shown beside the page.",
    )

    class Meta:
        model = ScreenPop
        fields: ClassVar[list[str]] = ["id", "name", "url_template", "fields_shown", "order", "is_active"]
        extra_kwargs: ClassVar[dict[str, Any]] = {"order": _ORDER}


class PreviewSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(allow_blank=True, help_text="The address with its placeholders filled in from sample data.")
    sample = serializers.DictField(child=serializers.CharField(), help_text="The sample data, by placeholder.")


class BreakReasonSerializer(AccountSerializer):
    natural_key = "name"

    class Meta:
        model = BreakReason
        fields: ClassVar[list[str]] = ["id", "name", "order", "is_active"]
        extra_kwargs: ClassVar[dict[str, Any]] = {"order": _ORDER}


class DispositionSerializer(AccountSerializer):
    natural_key = "name"

    class Meta:
        model = Disposition
        fields: ClassVar[list[str]] = ["id", "name", "order", "is_active"]
        extra_kwargs: ClassVar[dict[str, Any]] = {"order": _ORDER}


class RoleSerializer(AccountSerializer):
    natural_key = "name"
    permissions = serializers.ListField(
        child=serializers.ChoiceField(choices=GIVEABLE),
        required=False,
        max_length=len(GIVEABLE),
        help_text="Names of permissions. `/api/v1/rights/` says in words which of them belong together.",
    )

    class Meta:
        model = Role
        fields: ClassVar[list[str]] = ["id", "name", "kind", "data_scope", "permissions", "requires_second_factor"]
        read_only_fields: ClassVar[list[str]] = ["kind"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Of a built-in role, and of one's own, only the second factor can be asked for."""
        role = self.instance
        if role is not None and not may_change_role(self.asker, role):
            given = attrs if self.partial else self.left_out() | attrs
            changed = {name for name, value in given.items() if value != getattr(role, name)}
            if changed - {"requires_second_factor"}:
                raise PermissionDenied("Of a built-in role, and of your own, you can change only the second factor.")
            if frees_oneself(self.asker, role, asks=given.get("requires_second_factor", role.requires_second_factor)):
                raise PermissionDenied("Somebody else has to turn off the second factor of your own role.")
        return super().validate(attrs)

    def validate_permissions(self, permissions: list[str]) -> list[str]:
        if not holds(self.asker, permissions):
            raise ValidationError(_("You can give only what you may do yourself."))
        return sorted(set(permissions))

    def validate_data_scope(self, scope: str) -> str:
        if not reaches(self.asker, scope):
            raise ValidationError(_("You can let others see only as far as you do."))
        return scope


class RightSerializer(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]
    permissions = serializers.ListField(child=serializers.CharField())
    may_give = serializers.BooleanField(help_text="Whether the asker holds all of it, and so may give it.")


class RightsSerializer(serializers.Serializer[Any]):
    title = serializers.CharField()
    rights = RightSerializer(many=True)


class ApiKeySerializer(AccountSerializer):
    """Afterwards a key can be renamed, given an end, or revoked."""

    natural_key = "name"
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ApiKey.Scope.choices), read_only=True)
    is_usable = serializers.SerializerMethodField(help_text="Neither revoked nor expired.")

    class Meta:
        model = ApiKey
        fields: ClassVar[list[str]] = [
            "id",
            "name",
            "prefix",
            "scopes",
            "is_usable",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        ]
        read_only_fields: ClassVar[list[str]] = ["prefix", "created_at", "revoked_at", "last_used_at"]
        extra_kwargs: ClassVar[dict[str, Any]] = {"expires_at": {"help_text": "Null: when it is revoked."}}

    def get_is_usable(self, key: ApiKey) -> bool:
        return key.is_usable(at=timezone.now())

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        is_told = "expires_at" in attrs or self.instance is None or not self.partial
        if is_told:
            try:
                check_end(expires_at=attrs.get("expires_at"), key=self.instance, asker=self.asker, at=timezone.now())
            except DjangoValidationError as error:
                raise ValidationError({"expires_at": error.messages}) from error
        return super().validate(attrs)


class NewApiKeySerializer(ApiKeySerializer):
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=ApiKey.Scope.choices), min_length=1, max_length=len(ApiKey.Scope)
    )

    def validate_scopes(self, scopes: list[str]) -> list[str]:
        if not all(may_give_scope(self.asker, scope) for scope in scopes):
            raise ValidationError(_("You can give only what you may do yourself."))
        return sorted(set(scopes))


class MadeApiKeySerializer(ApiKeySerializer):
    text = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="The key itself. It is said here and never again; null when this answer is repeated.",
    )

    class Meta(ApiKeySerializer.Meta):
        fields: ClassVar[list[str]] = [*ApiKeySerializer.Meta.fields, "text"]


class LinkSerializer(serializers.Serializer[Any]):
    url = serializers.URLField(help_text="Opens the file for a minute.")
    expires_at = MomentField()
