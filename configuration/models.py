"""What a customer sets up: the account itself, roles, numbers, prompts, and the lists calls are handled by."""

import zoneinfo
from typing import Any

from auditlog.registry import auditlog
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from callcenter_site.fields import Sha256Field
from callcenter_site.phone_numbers import canonical, is_number, provider_of, validate_region
from configuration.encryption import EncryptedTextField, new_wrapped_key
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
    requires_second_factor = models.BooleanField(
        _("second factor required"), default=False, help_text=_("Its people sign in with a code from their phone as well.")
    )

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
    provider = models.CharField(
        _("telecom provider"), max_length=60, blank=True, help_text=_("Empty: looked up from the number.")
    )
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

    def clean(self) -> None:
        self.number = canonical(self.number, self.account.region)
        if not is_number(self.number):
            raise ValidationError({"number": _("This is not a phone number.")})
        self.provider = self.provider or provider_of(self.number)


class IvrPrompt(AccountOwned):
    """What a caller hears: text the platform's voice reads, a text in the engine's own language, or an audio file."""

    class Kind(models.TextChoices):
        TTS = "tts", _("text to speech")
        ENGINE = "engine", _("engine text")
        AUDIO = "audio", _("audio file")

    code = models.SlugField(_("code"), max_length=60, help_text=_("Events and call flows name the prompt by it."))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.TTS)
    text = models.TextField(_("text"), max_length=2000, blank=True)
    language = models.CharField(_("language"), max_length=20, blank=True, help_text=_("A language tag such as en or zh-CN."))
    is_active = models.BooleanField(_("in use"), default=True)
    audio_key = models.CharField(max_length=200, blank=True, editable=False)
    audio_type = models.CharField(max_length=60, blank=True, editable=False)
    audio_bytes = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("IVR prompt")
        verbose_name_plural = _("IVR prompts")
        ordering = ["code"]
        constraints = [models.UniqueConstraint(fields=["account", "code"], name="ivr_prompt_once")]

    def __str__(self) -> str:
        return self.code


class BlockedNumber(AccountOwned):
    """A number, or all numbers that begin with a prefix, whose calls are refused."""

    class Direction(models.TextChoices):
        INBOUND = "inbound", _("inbound")
        OUTBOUND = "outbound", _("outbound")
        BOTH = "both", _("both")

    number = models.CharField(_("number"), max_length=32, help_text=_("In any written form. End it with * for a prefix."))
    is_prefix = models.BooleanField(_("prefix"), default=False, editable=False)
    direction = models.CharField(_("direction"), max_length=10, choices=Direction, default=Direction.INBOUND)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    blocked_until = models.DateTimeField(_("until"), null=True, blank=True, help_text=_("Empty: for good."))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("blocked number")
        verbose_name_plural = _("blacklist")
        ordering = ["-created_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["account", "number", "is_prefix"], name="blocked_number_once")]
        indexes = [models.Index(fields=["account", "created_at", "id"], name="blocked_time")]

    def __str__(self) -> str:
        return self.written

    @property
    def written(self) -> str:
        """As people write it: a prefix with its star."""
        return f"{self.number}*" if self.is_prefix else self.number


class Keyword(AccountOwned):
    """A phrase looked for in what callers say and agents write."""

    class Severity(models.TextChoices):
        INFO = "info", _("note")
        WARNING = "warning", _("warning")
        CRITICAL = "critical", _("critical")

    class MatchMode(models.TextChoices):
        WORD = "word", _("whole word")
        ANYWHERE = "anywhere", _("anywhere")

    phrase = models.CharField(_("phrase"), max_length=100)
    category = models.CharField(_("category"), max_length=60, blank=True)
    severity = models.CharField(_("severity"), max_length=10, choices=Severity, default=Severity.INFO)
    match_mode = models.CharField(_("found"), max_length=10, choices=MatchMode, default=MatchMode.WORD)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("keyword")
        verbose_name_plural = _("keywords")
        ordering = ["phrase"]
        constraints = [models.UniqueConstraint(fields=["account", "phrase"], name="keyword_once")]

    def __str__(self) -> str:
        return self.phrase


class QuickReplyGroup(AccountOwned):
    """Quick replies that belong together; a skill group may point at the one its agents need."""

    name = models.CharField(_("name"), max_length=60)
    order = models.PositiveIntegerField(_("order"), default=0)

    class Meta:
        verbose_name = _("quick-reply group")
        verbose_name_plural = _("quick-reply groups")
        ordering = ["order", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="quick_reply_group_once")]

    def __str__(self) -> str:
        return self.name


class QuickReply(AccountOwned):
    """A sentence an agent sends or reads out with one click."""

    group = models.ForeignKey(QuickReplyGroup, on_delete=models.PROTECT, related_name="replies", verbose_name=_("group"))
    title = models.CharField(_("title"), max_length=100)
    text = models.TextField(_("text"), max_length=2000)
    order = models.PositiveIntegerField(_("order"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("quick reply")
        verbose_name_plural = _("quick replies")
        ordering = ["group__order", "group__name", "order", "title"]
        constraints = [models.UniqueConstraint(fields=["group", "title"], name="quick_reply_once")]
        indexes = [models.Index(fields=["account", "group", "order"], name="quick_reply_order")]

    def __str__(self) -> str:
        return self.title


class ScreenPop(AccountOwned):
    """A page of the customer's own system that opens beside a ringing call."""

    class Field(models.TextChoices):
        CALLER_NUMBER = "caller_number", _("caller number")
        PROVIDER = "provider", _("telecom provider")
        LOCATION = "location", _("location")
        IVR_PATH = "ivr_path", _("IVR path")
        LAST_CALLS = "last_calls", _("last calls")

    name = models.CharField(_("name"), max_length=60)
    url_template = models.CharField(
        _("address"), max_length=1000, blank=True, help_text=_("https:// with placeholders such as {caller_number}.")
    )
    fields_shown = models.JSONField(_("fields shown"), default=list, blank=True)
    order = models.PositiveIntegerField(_("order"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("inbound pop-up")
        verbose_name_plural = _("inbound pop-ups")
        ordering = ["order", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="screen_pop_once")]

    def __str__(self) -> str:
        return self.name


class BreakReason(AccountOwned):
    """Why an agent is on a break; they choose it at the desk."""

    name = models.CharField(_("name"), max_length=60)
    order = models.PositiveIntegerField(_("order"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("break reason")
        verbose_name_plural = _("break reasons")
        ordering = ["order", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="break_reason_once")]

    def __str__(self) -> str:
        return self.name


class Disposition(AccountOwned):
    """The result code an agent gives a call."""

    name = models.CharField(_("name"), max_length=60)
    order = models.PositiveIntegerField(_("order"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("disposition")
        verbose_name_plural = _("dispositions")
        ordering = ["order", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="disposition_once")]

    def __str__(self) -> str:
        return self.name


class ApiKey(AccountOwned):
    """An integrator's credential. The secret is shown once; only its SHA-256 is kept."""

    class Scope(models.TextChoices):
        EVENTS_WRITE = "events:write", _("post events")
        CALLS_READ = "calls:read", _("read service records")
        FIGURES_READ = "figures:read", _("read figures")
        AGENTS_READ = "agents:read", _("read agents and their status")
        AGENTS_WRITE = "agents:write", _("manage agents, skill groups and status")
        CONFIGURATION_READ = "configuration:read", _("read configuration")
        CONFIGURATION_WRITE = "configuration:write", _("manage configuration")
        BLACKLIST_CHECK = "blacklist:check", _("ask whether a number is blocked")

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


class ImportRun(AccountOwned):
    """One file of rows somebody brought in: checked first, written when they say so.

    The rows stand here encrypted until they are written or a day has passed; the report stays.
    """

    class State(models.TextChoices):
        CHECKING = "checking", _("being checked")
        CHECKED = "checked", _("checked")
        WRITING = "writing", _("being written")
        DONE = "done", _("done")
        DISCARDED = "discarded", _("discarded")
        FAILED = "failed", _("failed")

    OPEN = frozenset({State.CHECKING, State.CHECKED, State.WRITING})

    sheet = models.CharField(_("what"), max_length=40, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.CHECKING, editable=False)
    rows = EncryptedTextField(editable=False)
    n_rows = models.PositiveIntegerField(_("rows"), default=0)
    n_done = models.PositiveIntegerField(_("rows gone through"), default=0)
    n_new = models.PositiveIntegerField(_("new"), default=0)
    n_changed = models.PositiveIntegerField(_("changed"), default=0)
    n_same = models.PositiveIntegerField(_("unchanged"), default=0)
    n_bad = models.PositiveIntegerField(_("with errors"), default=0)
    errors = EncryptedTextField(editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    heartbeat_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="import_time"),
            models.Index(fields=["state", "heartbeat_at"], name="import_state"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.sheet}"


class IdempotencyKey(AccountOwned):
    """A request over the API that named itself, so that sending it again makes nothing twice. Forgotten after a day."""

    key_hash = Sha256Field(editable=False)
    """Of whoever asked and the key they chose: two who choose the same key do not meet."""
    request_hash = Sha256Field(editable=False)
    """Keyed, for a short body could be guessed from a plain one."""
    claimed_at = models.DateTimeField(editable=False)
    """Since when somebody works on it; names their turn, if it is taken over from one who died."""
    status_code = models.PositiveSmallIntegerField(null=True, editable=False)
    """Null: not answered yet."""
    answer = EncryptedTextField(editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        constraints = [models.UniqueConstraint(fields=["account", "key_hash"], name="idempotency_key_once")]
        indexes = [models.Index(fields=["created_at", "id"], name="idempotency_time")]

    def __str__(self) -> str:
        return f"#{self.pk}"


for _model in (IvrPrompt, BlockedNumber, Keyword, QuickReplyGroup, QuickReply, ScreenPop, BreakReason, Disposition):
    auditlog.register(_model)
auditlog.register(Account, exclude_fields=["key_id", "wrapped_key"])
auditlog.register(Role)
auditlog.register(ServiceNumber)
auditlog.register(ApiKey, exclude_fields=["secret_hash", "last_used_at"])
