"""What a customer sets up: the account itself, roles, numbers, prompts, and the lists calls are handled by."""

import zoneinfo
from typing import Any

from auditlog.registry import auditlog
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from callcenter_site.phone_numbers import validate_region
from configuration.encryption import new_wrapped_key
from configuration.scoping import AccountOwned, AccountsQuerySet


def validate_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(_("%(value)s is not an IANA time zone; write it like Asia/Shanghai."), params={"value": value})


class Account(models.Model):
    """A customer's call center. Everything it owns carries its id."""

    class Language(models.TextChoices):
        ENGLISH = "en", _("English")
        CHINESE = "zh-hans", _("Simplified Chinese")

    name = models.CharField(_("name"), max_length=100)
    slug = models.SlugField(_("short name"), max_length=50, unique=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[validate_time_zone], help_text=_("Days and reports follow it.")
    )
    region = models.CharField(
        _("phone region"),
        max_length=2,
        default="CN",
        validators=[validate_region],
        help_text=_("Two-letter country in which a number without + is read."),
    )
    language = models.CharField(_("language"), max_length=10, choices=Language, default=Language.ENGLISH)
    service_level_seconds = models.PositiveIntegerField(
        _("service level target (seconds)"), default=20, validators=[MinValueValidator(1), MaxValueValidator(3600)]
    )
    short_abandon_seconds = models.PositiveIntegerField(
        _("short abandon (seconds)"),
        default=5,
        validators=[MaxValueValidator(3600)],
        help_text=_("Callers who give up within this time are left out of the service level."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    terminated_at = models.DateTimeField(_("terminated"), null=True, blank=True, editable=False)
    key_id = models.CharField(max_length=20, editable=False, default="")
    wrapped_key = models.BinaryField(editable=False, default=b"")

    objects = AccountsQuerySet.as_manager()

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding and not self.wrapped_key:
            self.key_id, self.wrapped_key = new_wrapped_key()
        super().save(*args, **kwargs)

    def get_additional_data(self) -> dict[str, Any]:
        return {"account": self.pk}

    @property
    def is_open(self) -> bool:
        return self.terminated_at is None

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)


class Role(AccountOwned):
    """What its people may do (Django permissions) and whose records they see (data scope)."""

    class Kind(models.TextChoices):
        ADMINISTRATOR = "administrator", _("Administrator")
        SUPERVISOR = "supervisor", _("Supervisor")
        INSPECTOR = "inspector", _("Quality inspector")
        AGENT = "agent", _("Agent")
        CUSTOM = "custom", _("Custom")

    class DataScope(models.TextChoices):
        OWN = "own", _("own records")
        GROUPS = "groups", _("own skill groups")
        ACCOUNT = "account", _("whole account")

    BUILT_IN = frozenset({Kind.ADMINISTRATOR, Kind.SUPERVISOR, Kind.INSPECTOR, Kind.AGENT})

    name = models.CharField(_("name"), max_length=60)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind, default=Kind.CUSTOM, editable=False)
    data_scope = models.CharField(_("sees"), max_length=10, choices=DataScope, default=DataScope.OWN)
    permissions = models.JSONField(_("permissions"), default=list, blank=True)

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="role_name_once")]

    def __str__(self) -> str:
        return str(self.get_kind_display()) if self.is_built_in else self.name

    @property
    def is_built_in(self) -> bool:
        return self.kind in self.BUILT_IN


class ServiceNumber(AccountOwned):
    """A number the center owns: callers dial it, or agents call out from it."""

    class Direction(models.TextChoices):
        INBOUND = "inbound", _("inbound")
        OUTBOUND = "outbound", _("outbound")
        BOTH = "both", _("both")

    number = models.CharField(_("number"), max_length=32, help_text=_("As +8610… or in national form."))
    label = models.CharField(_("label"), max_length=60, blank=True)
    provider = models.CharField(_("telecom provider"), max_length=60, blank=True)
    direction = models.CharField(_("direction"), max_length=10, choices=Direction, default=Direction.BOTH)
    default_skill_group = models.CharField(_("default skill group"), max_length=60, blank=True)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("service number")
        verbose_name_plural = _("service numbers")
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["account", "number"], name="service_number_once")]

    def __str__(self) -> str:
        return self.label or self.number


class ApiKey(AccountOwned):
    """An integrator's credential. The secret is shown once; only its SHA-256 is kept."""

    class Scope(models.TextChoices):
        EVENTS_WRITE = "events:write", _("post events")
        CALLS_READ = "calls:read", _("read service records")
        FIGURES_READ = "figures:read", _("read figures")

    name = models.CharField(_("name"), max_length=60, help_text=_("Which system uses it."))
    prefix = models.CharField(_("prefix"), max_length=12, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["account", "created_at"], name="api_key_account")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_usable(self, *, at: Any) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


auditlog.register(Account, exclude_fields=["key_id", "wrapped_key"])
auditlog.register(Role)
auditlog.register(ServiceNumber)
auditlog.register(ApiKey, exclude_fields=["secret_hash", "last_used_at"])
