"""People as integrators read and write them."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from agents.appointment import NUMBER_IN_USE, OWN_EMAIL_IS_ELSEWHERE, appoint, may_manage, phones_held, require_free_email
from agents.devices import advice_of
from agents.invitations import has_password, tell_of_change
from agents.membership import ALREADY_IN_GROUP, require_movable
from agents.models import (
    Agent,
    AgentPhone,
    DeviceCheck,
    SignInLink,
    SkillGroup,
    SkillGroupMember,
    Status,
    StatusChange,
    phone_index,
)
from agents.presence import CHOSEN_BY_AGENTS
from callcenter_site import legal_holds
from callcenter_site.rest import AccountSerializer, ListedItem, StrictFields
from configuration.access import holds
from configuration.models import Role

CHOSEN = [(one.value, one.label) for one in CHOSEN_BY_AGENTS]


class PhoneSerializer(ListedItem):
    kind = serializers.ChoiceField(choices=AgentPhone.Kind.choices, default=AgentPhone.Kind.EXTENSION)
    number = serializers.CharField(max_length=60, help_text="Written in any form, answered as E.164 or as the extension.")


class MembershipOfAgentSerializer(ListedItem):
    skill_group = serializers.IntegerField(source="skill_group_id", help_text="Id of the skill group.")
    priority = serializers.IntegerField(default=3, min_value=1, max_value=5, help_text="1 is asked first, 5 last.")


class AgentSerializer(AccountSerializer):
    natural_key = "staff_id"
    email = serializers.EmailField(max_length=254, help_text="Signs in with it. Unique in the whole installation.")
    name = serializers.CharField(max_length=100)
    nickname = serializers.CharField(max_length=100, required=False, allow_blank=True)
    status = serializers.ChoiceField(choices=Status.choices, read_only=True)
    phones = PhoneSerializer(  # type: ignore[call-arg]
        many=True,
        required=False,
        max_length=20,
        help_text="Replaces the numbers there are. Left out: they stay. Null in an answer: not yours to see.",
    )
    memberships = MembershipOfAgentSerializer(  # type: ignore[call-arg]
        many=True,
        required=False,
        max_length=200,
        help_text="Replaces the skill groups there are. Left out: they stay. Null in an answer: not yours to see.",
    )
    password = serializers.CharField(
        write_only=True,
        required=False,
        max_length=128,
        trim_whitespace=False,
        help_text="At least 10 characters. Without one an agent comes in by invitation.",
    )
    invite = serializers.BooleanField(
        write_only=True, default=False, help_text="Sends them a mail with a link to choose a password, good for three days."
    )

    class Meta:
        model = Agent
        fields: ClassVar[list[str]] = [
            "id",
            "staff_id",
            "email",
            "name",
            "nickname",
            "role",
            "cellphone_pickup",
            "phones",
            "memberships",
            "is_active",
            "status",
            "status_reason",
            "status_since",
            "is_online",
            "last_seen_at",
            "forced_offline_at",
            "created_at",
            "password",
            "invite",
        ]
        read_only_fields: ClassVar[list[str]] = [
            "is_active",
            "status_reason",
            "status_since",
            "is_online",
            "last_seen_at",
            "forced_offline_at",
            "created_at",
        ]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "role": {"required": True, "allow_null": False, "help_text": "Id of a role that may do no more than you."}
        }

    def to_representation(self, instance: Agent) -> dict[str, Any]:
        shown = super().to_representation(instance)
        for name, permission in (("phones", "agents.view_agentphone"), ("memberships", "agents.view_skillgroupmember")):
            if not self.asker.has_perm(permission):
                shown[name] = None
        return shown

    # --- Checking ----------------------------------------------------------------------------------------------------

    def validate_email(self, email: str) -> str:
        return email.strip()

    def validate_phones(self, phones: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each number as it will be stored, checked by the model, and nobody else's of this account."""
        self._require("agentphone", _("You may not change phone numbers."))
        account = self.asker.account
        errors: list[dict[str, Any]] = []
        rows: list[AgentPhone] = []
        for phone in phones:
            row = AgentPhone(account=account, kind=phone["kind"], number=phone["number"])
            fault: dict[str, Any] = {}
            try:
                row.clean()
            except DjangoValidationError as error:
                fault = error.message_dict
            row.number_hash = phone_index(row.number, account_id=account.pk)
            if any((other.kind, other.number_hash) == (row.kind, row.number_hash) for other in rows):
                fault = {"number": [_("This number stands in the list twice.")]}
            errors.append(fault)
            rows.append(row)
        held = phones_held(rows)
        for row, fault in zip(rows, errors, strict=True):
            there = held.get((row.kind, row.number_hash))
            if not fault and there is not None and there.agent_id != getattr(self.instance, "pk", None):
                fault["number"] = [NUMBER_IN_USE]
        if any(errors):
            raise ValidationError(errors)
        return [{"row": row} for row in rows]

    def validate_memberships(self, memberships: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self._require("skillgroupmember", _("You may not change who is in which skill group."))
        ids = [one["skill_group_id"] for one in memberships]
        there = set(self._groups().filter(pk__in=[pk for pk in ids if 0 < pk < 2**63]).values_list("pk", flat=True))
        errors = [
            {"skill_group": [_("There is no such row.")]}
            if pk not in there
            else {"skill_group": [_("This skill group stands in the list twice.")]}
            if pk in ids[:place]
            else {}
            for place, pk in enumerate(ids)
        ]
        if any(errors):
            raise ValidationError(errors)
        return memberships

    def _require(self, model: str, refusal: Any) -> None:
        if not holds(self.asker, [f"agents.{action}_{model}" for action in ("add", "change", "delete")]):
            raise PermissionDenied(refusal)

    def _groups(self) -> Any:
        return SkillGroup.objects.visible_to(self.asker).order_by()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        asker, agent = self.asker, self.instance
        is_own = agent is not None and agent.pk == asker.pk
        if agent is not None and not is_own and not may_manage(asker, agent):
            raise PermissionDenied(_("You cannot change somebody who may do more than you."))
        if is_own and ("password" in attrs or attrs.get("invite")):
            raise ValidationError(
                {"password": [_("Change your own password on the page for it, where the old one is asked for.")]}
            )
        if agent is not None and is_own and attrs.get("email", agent.email) != agent.email:
            raise ValidationError({"email": [OWN_EMAIL_IS_ELSEWHERE]})
        return super().validate(attrs)

    def fill(self, row: Agent, attrs: dict[str, Any]) -> None:
        given = dict(attrs)
        role: Role | None = given.pop("role", None)
        password = given.pop("password", None)
        self.given_phones, self.given_memberships = given.pop("phones", None), given.pop("memberships", None)
        self.invites = given.pop("invite", False)
        self.email_before = row.email if self.instance is not None else ""
        self.password_before = bool(password) and self.instance is not None and has_password(row)
        super().fill(row, given)
        errors: dict[str, Any] = {}
        if self.instance is None:
            row.set_unusable_password()
        checks: dict[str, Callable[[], None]] = {"email": lambda: require_free_email(row.email, agent=row)}
        if role is not None:
            checks["role"] = lambda: appoint(agent=row, role=role, by=self.asker)
        if password:
            checks["password"] = lambda: validate_password(password, row)
        for name, check in checks.items():
            try:
                check()
            except DjangoValidationError as error:
                errors[name] = error.messages
        if self.invites and not row.is_active:
            errors["invite"] = [_("They are not active: activate them first.")]
        if errors:
            raise ValidationError(errors)
        if password:
            row.set_password(password)

    def not_cleaned(self, row: Any) -> set[str]:
        return super().not_cleaned(row) | {"password"}

    def taken_error(self) -> ValidationError:
        """Two columns are unique: which one was it?"""
        try:
            require_free_email(self.row.email, agent=self.row)
        except DjangoValidationError as error:
            return ValidationError({"email": error.messages})
        return super().taken_error()

    # --- Saving ------------------------------------------------------------------------------------------------------

    def create(self, validated_data: dict[str, Any]) -> Agent:
        return self._saved()

    def update(self, instance: Agent, validated_data: dict[str, Any]) -> Agent:
        return self._saved()

    def _saved(self) -> Agent:
        agent: Agent = self.row
        agent.save()
        if self.password_before:
            tell_of_change(agent=agent, kind=SignInLink.Kind.PASSWORD, at=timezone.now())
        if self.email_before and self.email_before != agent.email:
            tell_of_change(agent=agent, kind=SignInLink.Kind.EMAIL, at=timezone.now(), address=self.email_before)
        if self.given_phones is not None:
            self._replace_phones(agent, [one["row"] for one in self.given_phones])
        if self.given_memberships is not None:
            self._replace_memberships(agent, {one["skill_group_id"]: one["priority"] for one in self.given_memberships})
        return agent

    def _replace_phones(self, agent: Agent, wanted: Iterable[AgentPhone]) -> None:
        there = {(phone.kind, bytes(phone.number_hash)): phone for phone in AgentPhone.objects.filter(agent=agent)}
        for phone in wanted:
            if there.pop((phone.kind, phone.number_hash), None) is None:
                phone.agent = agent
                phone.save()
        legal_holds.refuse(*there.values())
        for phone in there.values():
            phone.delete()

    def _replace_memberships(self, agent: Agent, wanted: dict[int, int]) -> None:
        """Only in groups the asker sees: of the others they know nothing, and so cannot mean to end them."""
        there = {
            member.skill_group_id: member
            for member in SkillGroupMember.objects.filter(agent=agent, skill_group__in=self._groups().values("pk"))
        }
        for group_id, priority in wanted.items():
            member = there.pop(group_id, None)
            if member is None:
                SkillGroupMember.objects.create(
                    account_id=self.asker.account_id, agent=agent, skill_group_id=group_id, priority=priority
                )
            elif member.priority != priority:
                member.priority = priority
                member.save()
        for member in there.values():
            member.delete()


class AgentStatusSerializer(serializers.ModelSerializer[Any]):
    """Where somebody stands now."""

    agent = serializers.IntegerField(source="pk", read_only=True)
    name = serializers.CharField(read_only=True)
    status = serializers.ChoiceField(choices=Status.choices, read_only=True)

    class Meta:
        model = Agent
        fields: ClassVar[list[str]] = [
            "agent",
            "staff_id",
            "name",
            "status",
            "status_reason",
            "status_since",
            "wrap_up_until",
            "break_after_call",
            "is_online",
            "last_seen_at",
            "forced_offline_at",
        ]
        read_only_fields = fields


class SetStatusSerializer(StrictFields):
    status = serializers.ChoiceField(choices=CHOSEN, help_text="Wrap-up comes with a call; it cannot be chosen.")
    reason = serializers.CharField(
        max_length=60, default="", allow_blank=True, help_text="Why, such as the name of a break reason."
    )


class StatusChangeSerializer(AccountSerializer):
    staff_id = serializers.CharField(source="agent.staff_id", read_only=True)

    class Meta:
        model = StatusChange
        fields: ClassVar[list[str]] = [
            "id",
            "agent",
            "staff_id",
            "status",
            "reason",
            "terminal",
            "source",
            "started_at",
            "ended_at",
        ]
        read_only_fields = fields


class SkillGroupSerializer(AccountSerializer):
    natural_key = "name"
    n_members = serializers.IntegerField(read_only=True, help_text="Active agents in it.")

    class Meta:
        model = SkillGroup
        fields: ClassVar[list[str]] = [
            "id",
            "name",
            "service_level_seconds",
            "short_abandon_seconds",
            "level_good",
            "level_poor",
            "wrap_up_seconds",
            "screen_pop",
            "quick_reply_group",
            "is_active",
            "n_members",
        ]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "service_level_seconds": {"min_value": 1, "max_value": 3600, "help_text": "Null: the account's."},
            "short_abandon_seconds": {"min_value": 0, "max_value": 3600, "help_text": "Null: the account's."},
            "level_good": {"min_value": 1, "help_text": "Percent from which live figures show its service level green."},
            "level_poor": {"min_value": 0, "help_text": "Percent below which they show it red."},
            "wrap_up_seconds": {
                "min_value": 0,
                "max_value": 3600,
                "help_text": "Wrap-up ends by itself after this time; 0: agents are available at once.",
            },
            "screen_pop": {"help_text": "Id of the inbound pop-up its calls open."},
            "quick_reply_group": {"help_text": "Id of the quick-reply group its agents see first."},
            "is_active": {"help_text": "A group out of use stays, for its calls and figures name it."},
        }


class MembershipSerializer(AccountSerializer):
    natural_key = "agent"
    in_use = ALREADY_IN_GROUP
    priority = serializers.IntegerField(default=3, min_value=1, max_value=5, help_text="1 is asked first, 5 last.")

    class Meta:
        model = SkillGroupMember
        fields: ClassVar[list[str]] = ["id", "skill_group", "agent", "priority"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A membership is of one agent in one group; another is another membership."""
        if self.instance is not None:
            for name in ("skill_group", "agent"):
                if name in attrs and attrs[name].pk != getattr(self.instance, f"{name}_id"):
                    raise ValidationError({name: [_("This cannot be changed. Delete the membership and make another.")]})
        try:
            require_movable([attrs["agent"] if self.instance is None else self.instance.agent], by=self.asker)
        except DjangoValidationError as error:
            raise ValidationError({"agent": error.messages}) from error
        return super().validate(attrs)


class DeviceCheckSerializer(AccountSerializer):
    staff_id = serializers.CharField(source="agent.staff_id", read_only=True)
    advice = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="Codes, the gravest first.")
    advice_text = serializers.SerializerMethodField(help_text="What to do about each, in English.")
    browser = serializers.CharField(read_only=True)
    operating_system = serializers.CharField(read_only=True)
    network_type = serializers.CharField(read_only=True)
    round_trip_ms = serializers.SerializerMethodField()
    downlink_mbps = serializers.SerializerMethodField()
    address = serializers.CharField(read_only=True, help_text="Network address it was made from.")

    class Meta:
        model = DeviceCheck
        fields: ClassVar[list[str]] = [
            "id",
            "agent",
            "staff_id",
            "checked_at",
            "result",
            "advice",
            "advice_text",
            "camera",
            "microphone",
            "speaker",
            "browser",
            "operating_system",
            "network_type",
            "round_trip_ms",
            "downlink_mbps",
            "address",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_advice_text(self, check: DeviceCheck) -> list[str]:
        return advice_of(check)

    def get_round_trip_ms(self, check: DeviceCheck) -> float | None:
        return _number(check.round_trip_ms)

    def get_downlink_mbps(self, check: DeviceCheck) -> float | None:
        return _number(check.downlink_mbps)


def _number(text: str) -> float | None:
    """What was measured; it is kept as encrypted text."""
    try:
        return float(text)
    except ValueError:
        return None


_NUMBER: dict[str, Any] = {"required": False, "allow_null": True, "min_value": 0}


class NewDeviceCheckSerializer(AccountSerializer):
    """What a softphone found. The result and the advice are worked out here."""

    camera = serializers.ChoiceField(choices=DeviceCheck.Part.choices, required=False)
    microphone = serializers.ChoiceField(choices=DeviceCheck.Part.choices, required=False)
    speaker = serializers.ChoiceField(choices=DeviceCheck.Part.choices, required=False)
    browser = serializers.CharField(max_length=80, required=False, allow_blank=True, help_text="Browser or softphone.")
    operating_system = serializers.CharField(max_length=80, required=False, allow_blank=True)
    network_type = serializers.CharField(max_length=20, required=False, allow_blank=True, help_text="Such as `4g` or `wifi`.")
    round_trip_ms = serializers.FloatField(max_value=60_000, **_NUMBER)
    jitter_ms = serializers.FloatField(max_value=60_000, **_NUMBER)
    downlink_mbps = serializers.FloatField(max_value=100_000, **_NUMBER)
    address = serializers.IPAddressField(required=False, help_text="The agent's network address, if you know it.")

    class Meta:
        model = DeviceCheck
        fields: ClassVar[list[str]] = [
            "agent",
            "camera",
            "microphone",
            "speaker",
            "browser",
            "operating_system",
            "network_type",
            "round_trip_ms",
            "jitter_ms",
            "downlink_mbps",
            "address",
        ]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return attrs  # `record_check` says what it means
