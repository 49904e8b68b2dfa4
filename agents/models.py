"""People: agents and administrators, the skill groups they serve, and every change of their status."""

from typing import Any

from auditlog.registry import auditlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django_otp.models import Device, ThrottlingMixin

from agents.querysets import AgentManager, AgentQuerySet, OfAgentQuerySet, SkillGroupQuerySet
from callcenter_site.fields import Sha256Field
from callcenter_site.names import is_visible
from callcenter_site.phone_numbers import one_number
from configuration.encryption import EncryptedTextField, blind_index, installation_index
from configuration.models import QuickReplyGroup, Role, ScreenPop, ServiceNumber, check_levels, in_one_line, needed_name
from configuration.scoping import AccountOwned

EMAIL_CONTEXT = "agents_agent.email"


PHONE_CONTEXT = "agents_agentphone.number"


def phone_index(number: str, *, account_id: int | None) -> bytes:
    """Keyed hash under which a canonical number is found among an account's agents."""
    return blind_index(number, account_id=account_id, context=PHONE_CONTEXT)


def email_index(email: str) -> bytes:
    """Keyed hash under which a login email is found; letter case does not count."""
    return installation_index(email.strip().casefold(), context=EMAIL_CONTEXT)


def _with_hash(options: dict[str, Any], name: str) -> dict[str, Any]:
    """What `save` was told, with the keyed hash of a column beside that column."""
    columns = options.get("update_fields")
    return options | {"update_fields": {*columns, f"{name}_hash"}} if columns is not None and name in columns else options


class Status(models.TextChoices):
    """What an agent chose, or the platform reported. What they are doing is derived with their calls (METRICS §2.4)."""

    AVAILABLE = "available", _("Available")
    BUSY = "busy", _("Busy")
    BREAK = "break", _("Break")
    WRAP_UP = "wrap_up", _("Wrap-up")
    OFFLINE = "offline", _("Offline")


class Agent(AbstractBaseUser):
    """A person who signs in: agent, supervisor, inspector or administrator. Operators are superusers of no account."""

    class CellphonePickup(models.TextChoices):
        OFF = "off", _("off")
        WHEN_OFFLINE = "when_offline", _("when offline")
        ALWAYS = "always", _("always")

    account = models.ForeignKey(
        "configuration.Account", on_delete=models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    role = models.ForeignKey(Role, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("role"))
    staff_id = models.CharField(_("staff ID"), max_length=40, help_text=_("Unique in the account; events name agents by it."))
    email = EncryptedTextField(_("email"), max_length=254)
    email_hash = Sha256Field(unique=True, editable=False)
    name = EncryptedTextField(pgettext_lazy("of a person", "name"), max_length=100)
    nickname = EncryptedTextField(_("nickname"), max_length=100, blank=True)
    cellphone_pickup = models.CharField(
        _("cellphone pickup"), max_length=12, choices=CellphonePickup, default=CellphonePickup.OFF
    )
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.OFFLINE, editable=False)
    status_reason = models.CharField(_("reason"), max_length=60, blank=True, editable=False)
    status_since = models.DateTimeField(_("since"), default=timezone.now, editable=False)
    wrap_up_until = models.DateTimeField(null=True, editable=False)
    """When a wrap-up ends by itself; null: it waits for somebody to end it."""
    break_after_call = models.BooleanField(_("break after this call"), default=False, editable=False)
    break_after_call_reason = models.CharField(max_length=60, blank=True, editable=False)
    is_online = models.BooleanField(_("online"), default=False, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), null=True, editable=False)
    forced_offline_at = models.DateTimeField(_("forced offline"), null=True, editable=False)
    is_active = models.BooleanField(_("active"), default=True, help_text=_("Who is not active cannot sign in."))
    is_superuser = models.BooleanField(_("operator"), default=False, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)
    """When the person was erased: what is left is an empty row, so that what they did still adds up."""

    objects = AgentManager.from_queryset(AgentQuerySet)()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        verbose_name = _("agent")
        verbose_name_plural = _("agents")
        ordering = ["staff_id"]
        permissions = [
            ("enter_admin", "May enter the admin"),
            ("use_desk", "May use the agent desk"),
            ("set_status", "May set the status of others and take them offline"),
        ]
        indexes = [
            models.Index(fields=["is_online", "last_seen_at"], name="agent_seen"),
            models.Index(fields=["status", "wrap_up_until"], name="agent_wrap_up"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "staff_id"], name="staff_id_once"),
            models.CheckConstraint(
                condition=models.Q(account__isnull=False, is_superuser=False) | models.Q(account__isnull=True, is_superuser=True),
                name="agent_has_account_or_is_operator",
            ),
        ]

    def __str__(self) -> str:
        if self.erased_at is not None:
            return str(_("erased agent"))
        return self.name or self.staff_id or f"#{self.pk}"

    def clean(self) -> None:
        super().clean()
        errors: dict[str, Any] = {}
        for field in ("name", "staff_id"):
            try:
                setattr(self, field, needed_name(getattr(self, field), field=field))
            except ValidationError as error:
                errors |= error.error_dict
        self.nickname = in_one_line(self.nickname)
        if self.nickname and not is_visible(self.nickname):
            errors["nickname"] = _("There is nothing to see in this. Leave it empty or write a name.")
        if errors:
            raise ValidationError(errors)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email_hash = email_index(self.email)
        super().save(*args, **_with_hash(kwargs, "email"))

    def get_additional_data(self) -> dict[str, Any]:
        return {"account": self.account_id}

    def get_full_name(self) -> str:
        return str(self) if self.erased_at is not None else self.name

    def get_short_name(self) -> str:
        return self.nickname or self.get_full_name()

    @property
    def is_staff(self) -> bool:
        """Whether the admin lets this person in."""
        return self.is_active and self.has_perm("agents.enter_admin")

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        if not self.is_active:
            return False
        if self.is_superuser:
            return perm in OPERATOR_PERMISSIONS
        return self.role is not None and perm in self.role.permissions

    def has_perms(self, perms: Any, obj: Any = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perms)

    def has_module_perms(self, app_label: str) -> bool:
        held = OPERATOR_PERMISSIONS if self.is_superuser else (self.role.permissions if self.role else ())
        return self.is_active and any(perm.startswith(f"{app_label}.") for perm in held)

    @property
    def data_scope(self) -> str:
        return self.role.data_scope if self.role else Role.DataScope.OWN

    @property
    def second_factor(self) -> "Authenticator | None":
        """The second factor this person signs in with."""
        authenticator: Authenticator | None = getattr(self, "authenticator", None)
        return authenticator if authenticator is not None and authenticator.confirmed else None

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """What a session was begun with. With another password, role or second factor the others end."""
        factor = self.second_factor
        begun_with = f"{self.password}|{self.role_id}|{factor.confirmed_at.isoformat() if factor and factor.confirmed_at else ''}"
        return salted_hmac("agents.session", begun_with, secret=secret, algorithm="sha256").hexdigest()


class AgentPhone(AccountOwned):
    """A number an agent is reached on."""

    class Kind(models.TextChoices):
        EXTENSION = "extension", _("extension")
        MOBILE = "mobile", _("mobile")
        EXTERNAL = "external", _("external")

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="phones", verbose_name=_("agent"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.EXTENSION)
    number = EncryptedTextField(_("number"), max_length=32)
    number_hash = Sha256Field(editable=False)

    objects = OfAgentQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("phone")
        verbose_name_plural = _("phones")
        ordering = ["kind", "pk"]
        constraints = [models.UniqueConstraint(fields=["account", "kind", "number_hash"], name="agent_phone_once")]
        indexes = [
            models.Index(fields=["account", "number_hash"], name="agent_phone_number"),
            models.Index(fields=["account", "agent"], name="agent_phone_agent"),
        ]

    def __str__(self) -> str:
        return f"{self.agent_id} · {self.kind}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.number_hash = phone_index(self.number, account_id=self.account_id)
        super().save(*args, **_with_hash(kwargs, "number"))

    def clean(self) -> None:
        try:
            self.number = one_number(self.number, self.account.region)
        except ValidationError as error:
            raise ValidationError({"number": error}) from error


OPERATOR_PERMISSIONS = frozenset(
    {"agents.enter_admin", "configuration.view_account", "configuration.add_account", "configuration.change_account"}
    | {
        f"django_celery_beat.{action}_{model}"
        for action, model in (
            ("view", "periodictask"),
            ("change", "periodictask"),
            ("view", "intervalschedule"),
            ("add", "intervalschedule"),
            ("view", "crontabschedule"),
            ("add", "crontabschedule"),
        )
    }
)


class SkillGroup(AccountOwned):
    """A group of agents that calls are queued for."""

    name = models.CharField(_("name"), max_length=60)
    service_level_seconds = models.PositiveIntegerField(
        _("service level target (seconds)"), null=True, blank=True, help_text=_("Empty: the account's.")
    )
    short_abandon_seconds = models.PositiveIntegerField(
        _("short abandon (seconds)"), null=True, blank=True, help_text=_("Empty: the account's.")
    )
    level_good = models.PositiveSmallIntegerField(
        _("green from (%)"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("Empty: the account's."),
    )
    level_poor = models.PositiveSmallIntegerField(
        _("red below (%)"), null=True, blank=True, validators=[MaxValueValidator(100)], help_text=_("Empty: the account's.")
    )
    wrap_up_seconds = models.PositiveIntegerField(
        _("wrap-up (seconds)"),
        default=30,
        validators=[MaxValueValidator(3600)],
        help_text=_("Ends by itself after this time; 0: agents are available at once."),
    )
    screen_pop = models.ForeignKey(
        ScreenPop, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("inbound pop-up")
    )
    quick_reply_group = models.ForeignKey(
        QuickReplyGroup, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("quick replies")
    )
    is_active = models.BooleanField(_("in use"), default=True)
    members = models.ManyToManyField(Agent, through="SkillGroupMember", related_name="skill_groups", verbose_name=_("members"))

    objects = SkillGroupQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("skill group")
        verbose_name_plural = _("skill groups")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="skill_group_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def levels(self) -> tuple[int, int]:
        """From which service level, in percent, it is shown as good, and below which as poor."""
        account = self.account
        good = account.level_good if self.level_good is None else self.level_good
        return good, account.level_poor if self.level_poor is None else self.level_poor

    def clean(self) -> None:
        self.name = needed_name(self.name)
        check_levels(*self.levels)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Service numbers lead to a group by its name, so they go along when it gets another."""
        with transaction.atomic():
            was = type(self)._base_manager.filter(pk=self.pk).values_list("name", flat=True).first() if self.pk else None
            super().save(*args, **kwargs)
            if was is not None and was != self.name and "name" in (kwargs.get("update_fields") or ["name"]):
                for number in ServiceNumber.objects.for_account(self.account_id).filter(default_skill_group=was):
                    number.default_skill_group = self.name
                    number.save(update_fields=["default_skill_group"])


def name_of_group_in_use(account_id: int, name: str) -> str | None:
    rows = SkillGroup.objects.for_account(account_id).filter(name=name, is_active=True)
    return rows.values_list("name", flat=True).first()  # type: ignore[no-any-return]


class SkillGroupMember(AccountOwned):
    skill_group = models.ForeignKey(
        SkillGroup, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("skill group")
    )
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("agent"))
    priority = models.PositiveSmallIntegerField(
        _("priority"), default=3, choices=[(n, str(n)) for n in range(1, 6)], help_text=_("1 is asked first, 5 last.")
    )

    objects = OfAgentQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        ordering = ["priority", "pk"]
        constraints = [models.UniqueConstraint(fields=["skill_group", "agent"], name="member_once")]
        indexes = [models.Index(fields=["account", "agent"], name="member_account_agent")]

    def __str__(self) -> str:
        return f"{self.agent_id} · {self.skill_group_id}"


class StatusChange(AccountOwned):
    """An agent's status from one change to the next. The end is filled in when the next one comes; null: still so."""

    class Source(models.TextChoices):
        EVENT = "event", _("the platform")
        AGENT = "agent", _("the agent")
        SUPERVISOR = "supervisor", _("a supervisor")
        API = "api", _("the API")
        PORTAL = "portal", _("the portal")

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="status_changes", verbose_name=_("agent"))
    status = models.CharField(_("status"), max_length=10, choices=Status)
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    terminal = models.CharField(_("terminal"), max_length=20, blank=True)
    source = models.CharField(_("set by"), max_length=10, choices=Source, default=Source.EVENT)
    started_at = models.DateTimeField(_("from"))
    ended_at = models.DateTimeField(_("until"), null=True, blank=True)
    change_key = Sha256Field(help_text="The event it came from, or a hash of agent and time: the same change twice is one row.")

    objects = OfAgentQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("status change")
        verbose_name_plural = _("status changes")
        ordering = ["-started_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["account", "change_key"], name="status_change_once")]
        indexes = [
            models.Index(fields=["account", "agent", "started_at"], name="status_agent_time"),
            models.Index(fields=["account", "ended_at", "started_at"], name="status_open"),
            models.Index(fields=["account", "started_at", "id"], name="status_time"),
        ]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.status}"


class StaleAgentTime(AccountOwned):
    """A stretch in which what an agent did must be counted again; written with the changes, removed by whoever counted.

    Marks are only added, never updated, so writers do not wait for each other.
    """

    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="Null: up to now.")

    class Meta:
        indexes = [models.Index(fields=["account", "id"], name="stale_agent_time")]


class DeviceCheck(AccountOwned):
    """What the desk found when an agent checked their browser, sound, picture and network."""

    class Result(models.TextChoices):
        GOOD = "good", _("good")
        FAIR = "fair", _("usable")
        BAD = "bad", _("not fit for calls")

    class Part(models.TextChoices):
        """How one part of the check came out."""

        OK = "ok", _("works")
        SILENT = "silent", _("no sound")
        DENIED = "denied", _("permission denied")
        MISSING = "missing", _("not found")
        FAILED = "failed", _("does not work")
        SKIPPED = "skipped", _("not checked")

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="device_checks", verbose_name=_("agent"))
    checked_at = models.DateTimeField(_("checked"), default=timezone.now)
    result = models.CharField(_("result"), max_length=10, choices=Result)
    advice = models.JSONField(_("advice"), default=list, editable=False)
    """Codes of `agents.devices.ADVICE`: what to do, in the reader's language when it is read."""
    camera = models.CharField(_("camera"), max_length=10, choices=Part, default=Part.SKIPPED)
    microphone = models.CharField(_("microphone"), max_length=10, choices=Part, default=Part.SKIPPED)
    speaker = models.CharField(_("speaker"), max_length=10, choices=Part, default=Part.SKIPPED)
    browser = EncryptedTextField(_("browser"), max_length=80, blank=True)
    operating_system = EncryptedTextField(_("operating system"), max_length=80, blank=True)
    network_type = EncryptedTextField(_("network type"), max_length=20, blank=True)
    round_trip_ms = EncryptedTextField(_("round trip (ms)"), max_length=10, blank=True)
    downlink_mbps = EncryptedTextField(_("downlink (Mbit/s)"), max_length=10, blank=True)
    address = EncryptedTextField(_("network address"), max_length=45, blank=True)

    objects = OfAgentQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("device check")
        verbose_name_plural = _("device checks")
        ordering = ["-checked_at", "-pk"]
        indexes = [
            models.Index(fields=["account", "agent", "checked_at"], name="device_check_agent"),
            models.Index(fields=["account", "checked_at", "id"], name="device_check_time"),
        ]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.result}"


class Authenticator(ThrottlingMixin, Device):
    """A person's second factor: the app on their phone that shows codes. A key counts once a code made with it was typed."""

    name = None
    account = models.ForeignKey(
        "configuration.Account", on_delete=models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    user = models.OneToOneField(Agent, on_delete=models.CASCADE, related_name="authenticator", editable=False)
    confirmed = models.BooleanField(default=False, editable=False)
    confirmed_at = models.DateTimeField(null=True, editable=False)
    key = EncryptedTextField(max_length=64, blank=True, editable=False)
    new_key = EncryptedTextField(max_length=64, blank=True, editable=False)
    """Shown on the set-up page and not yet confirmed; in the way of nothing until it is."""
    new_key_at = models.DateTimeField(null=True, editable=False)
    last_step = models.BigIntegerField(default=-1, editable=False)
    """The time step of the last code accepted: no code of it or from before is accepted again."""

    class Meta:
        verbose_name = _("second factor")
        verbose_name_plural = _("second factors")

    def __str__(self) -> str:
        return f"#{self.user_id}"

    def get_throttle_factor(self) -> int:
        return 1

    def throttle_increment(self, commit: bool = True) -> None:
        """The pauses grow to some eight minutes and no further: whoever keeps failing must not shut the owner out for good."""
        super().throttle_increment(commit=False)
        self.throttling_failure_count = min(int(self.throttling_failure_count), 10)  # type: ignore[has-type]
        if commit:
            self.save(update_fields=["throttling_failure_timestamp", "throttling_failure_count"])


class RecoveryCode(models.Model):
    """Opens the second factor once, when the phone is lost. Shown when it is made; only its hash is kept."""

    account = models.ForeignKey(
        "configuration.Account", on_delete=models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="recovery_codes", editable=False)
    code_hash = Sha256Field(editable=False)
    made_at = models.DateTimeField(default=timezone.now, editable=False)
    used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        constraints = [models.UniqueConstraint(fields=["agent", "code_hash"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"#{self.pk}"


class SignInLink(models.Model):
    """A mail about somebody's sign-in. Most carry a link to set a password: an invitation, or for who forgot theirs; the
    others only tell what was changed. A row without a person was asked for with an email nobody has; it makes the answer
    to that take as long, and counts as well."""

    class Kind(models.TextChoices):
        INVITATION = "invitation", _("invitation")
        RESET = "reset", _("password reset")
        PASSWORD = "password", _("password changed")
        EMAIL = "email", _("email changed")
        FACTOR_ON = "factor_on", _("second factor set up")
        FACTOR_OFF = "factor_off", _("second factor turned off")
        CODES = "codes", _("new recovery codes")

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting to be sent")
        SENT = "sent", _("sent")
        FAILED = "failed", _("not delivered")

    account = models.ForeignKey(
        "configuration.Account", on_delete=models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, null=True, related_name="sign_in_links", editable=False)
    kind = models.CharField(max_length=10, choices=Kind, editable=False)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING, editable=False)
    problem = models.CharField(max_length=60, blank=True, editable=False)
    """What kind of failure the mail met, without anything the server said: that may quote the address."""
    n_tries = models.PositiveSmallIntegerField(default=0, editable=False)
    next_try_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField(editable=False)
    used_at = models.DateTimeField(null=True, editable=False)
    """When the password was set with it, or a newer link took its place."""
    email_hash = Sha256Field(editable=False)
    sent_to = EncryptedTextField(max_length=254, blank=True, default="", editable=False)
    """Where a mail goes that is not for the person's present email; emptied once it is gone."""
    asked_from = Sha256Field(null=True, editable=False)  # type: ignore[misc]  # the library's types know it as bytes only
    """Keyed hash of the address that asked; null: an administrator sent it."""

    class Meta:
        verbose_name = _("sign-in link")
        verbose_name_plural = _("sign-in links")
        indexes = [
            models.Index(fields=["state", "next_try_at"], name="sign_in_link_due"),
            models.Index(fields=["created_at", "id"], name="sign_in_link_time"),
            models.Index(fields=["email_hash", "created_at"], name="sign_in_link_email"),
            models.Index(fields=["asked_from", "created_at"], name="sign_in_link_from"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind}"


auditlog.register(
    Agent,
    exclude_fields=[
        "email_hash",
        "last_login",
        "status",
        "status_reason",
        "status_since",
        "wrap_up_until",
        "break_after_call",
        "break_after_call_reason",
        "is_online",
        "last_seen_at",
        "erased_at",
    ],
    mask_fields=["staff_id", "email", "name", "nickname", "password"],
    mask_callable="callcenter_site.audit.unsaid",
)
auditlog.register(
    AgentPhone, exclude_fields=["number_hash"], mask_fields=["number"], mask_callable="callcenter_site.audit.unsaid"
)
auditlog.register(SkillGroup)
auditlog.register(SkillGroupMember)
